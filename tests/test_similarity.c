/* Similarity of distributions: against the published measure and its published ceilings; reference
 * distributions from every kind of file. */
#include "group_folder.h"
#include "netcdf.h"
#include "test.h"

#include "base/arena.h"
#include "physiology/references.h"
#include "ventral/io.h"
#include "ventral/progress.h"
#include "ventral/similarity.h"
#include "ventral/weights.h"

static int property(const char *key)
{
    int number = vt_property_find(key);
    if (number < 0) fail_msg("there is no property %s", key);
    return number;
}

/* ---- the measure ---- */

static void test_golden(void **state)
{
    (void)state;
    need_shared(path, "golden/physiology/properties.npz");
    vt_tensor_map *golden;
    assert_ok(vt_npz_read(&golden, path));
    const vt_tensor *p = vt_tensor_map_find(golden, "ks.p"),
                    *q = vt_tensor_map_find(golden, "ks.q");
    const vt_tensor *expected = vt_tensor_map_find(golden, "ks.similarity");
    int bins = (int)p->size[1];
    assert_int_equal(12, p->size[0]);
    for (int64_t i = 0; i < p->size[0]; i++)
        assert_close(vt_ks_similarity((const double *)p->data + i * bins,
                                      (const double *)q->data + i * bins, bins),
                     vt_tensor_get(expected, i), 1e-12);
    vt_tensor_map_free(golden);
}

static void test_measure(void **state)
{
    (void)state;
    const double p[] = {0.5, 0.5, 0}, first[] = {1, 0, 0}, last[] = {0, 0, 1}, bad[] = {NAN, 0, 0};
    assert_close(vt_ks_similarity(p, p, 3), 1, 0);
    assert_close(vt_ks_similarity(first, last, 3), 0, 0);
    assert_close(vt_ks_similarity(last, p, 3), 0, 0); /* nothing is farther */
    assert_close(vt_ks_similarity(first, p, 3), 0.5, 0);
    assert_true(isnan(vt_ks_similarity(bad, p, 3)));
    assert_true(isnan(vt_ks_similarity(p, bad, 3)));
    assert_true(isnan(vt_ks_similarity(p, p, 1)));
}

static void test_histogram(void **state)
{
    (void)state;
    int64_t counts[VT_MAX_BINS];
    /* edges 0, 0.2, ... 2; values beyond the ends belong to the end bins, the last edge too */
    const double values[] = {-5, 0, 0.2, 0.19, 1.99, 2, 7, INFINITY, -INFINITY, NAN};
    const int64_t expected[] = {4, 1, 0, 0, 0, 0, 0, 0, 0, 4};
    vt_property_histogram(counts, vt_property_at(property("surround_suppression_index")), values,
                          10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(expected[i], counts[i]);
}

/* What Brain-Score's tests expect, to their tolerance. */
static void test_published_ceilings(void **state)
{
    (void)state;
    static const struct ceiling {
        const char *key;
        double expected;
    } ceilings[] = {{"grating_summation_field", .956},    {"surround_diameter", .955},
                    {"surround_suppression_index", .958}, {"preferred_orientation", .962},
                    {"peak_spatial_frequency", .967},     {"spatial_frequency_selective", .963},
                    {"spatial_frequency_bandwidth", .933}};
    vt_references *references;
    assert_ok(vt_references_new(&references));
    for (size_t i = 0; i < sizeof ceilings / sizeof *ceilings; i++) {
        int number = property(ceilings[i].key);
        const vt_reference *r = vt_references_at(references, number);
        vt_similarity a, b, other;
        assert_ok(vt_bootstrap_similarity(&a, number, r->counts, r->neurons, r, 0));
        assert_close(a.mean, ceilings[i].expected, 0.005);
        assert_in_range(1000 * a.sd, 5, 50);
        assert_ok(vt_bootstrap_similarity(&b, number, r->counts, r->neurons, r, 0));
        assert_ok(vt_bootstrap_similarity(&other, number, r->counts, r->neurons, r, 1));
        assert_true(a.mean == b.mean && a.sd == b.sd && a.mean != other.mean);
    }
    assert_null(vt_references_at(references, property("circular_variance")));
    assert_null(vt_references_at(references, 99));
    vt_references_free(references);
}

static void test_bootstrap_of_few(void **state)
{
    (void)state;
    vt_references *references;
    assert_ok(vt_references_new(&references));
    int number = property("spatial_frequency_selective");
    const vt_reference *r = vt_references_at(references, number);
    vt_similarity s;
    /* every sample is the same: 87 units in the second bin against 14 and 73 */
    assert_ok(vt_bootstrap_similarity(&s, number, (const int64_t[]){0, 5}, 5, r, 0));
    assert_close(s.mean, 1 - (14. / 87) / (73. / 87), 1e-12);
    assert_close(s.sd, 0, 1e-12);
    /* no unit has a value; one of 87 has, and is drawn in 63 % of the samples */
    assert_ok(vt_bootstrap_similarity(&s, number, (const int64_t[]){0, 0}, 5, r, 0));
    assert_true(s.mean == 0 && s.sd == 0);
    assert_ok(vt_bootstrap_similarity(&s, number, (const int64_t[]){0, 1}, 87, r, 0));
    assert_true(s.mean == 0 && s.sd == 0);
    assert_ok(vt_bootstrap_similarity(&s, number, (const int64_t[]){0, 0}, 0, r, 0));
    assert_true(isnan(s.mean) && isnan(s.sd));
    assert_status(VT_EINVAL, vt_bootstrap_similarity(&s, number, (const int64_t[]){4, 2}, 5, r, 0));
    assert_status(VT_EINVAL,
                  vt_bootstrap_similarity(&s, number, (const int64_t[]){-1, 2}, 5, r, 0));
    assert_status(VT_EINVAL, vt_bootstrap_similarity(&s, 99, (const int64_t[]){0, 2}, 5, r, 0));
    vt_references_free(references);
}

/* ---- scores ---- */

static void test_scores(void **state)
{
    (void)state;
    need_shared(path, "golden/physiology/properties.npz");
    vt_tensor_map *golden;
    vt_tuning tuning;
    vt_references *references;
    vt_physiology_scores scores;
    assert_ok(vt_npz_read(&golden, path));
    assert_ok(vt_tuning_measure(&tuning, golden));
    assert_ok(vt_references_new(&references));
    assert_ok(vt_physiology_score(&scores, &tuning, references, 3));
    double sum = 0;
    int categories = 0;
    for (int c = 0; c < VT_CATEGORIES; c++) {
        double mean = 0;
        int scored = 0, of = 0;
        for (int i = 0; i < vt_property_count(); i++) {
            const vt_property_score *s = &scores.property[i];
            if ((int)vt_property_at(i)->category != c) continue;
            of++;
            assert_true(s->has_reference == (vt_property_at(i)->counts != NULL));
            assert_true(isnan(s->score) == !s->has_reference);
            if (!s->has_reference) continue;
            assert_close(s->score, s->raw.mean / s->ceiling.mean, 1e-15);
            mean += s->score;
            scored++;
        }
        assert_int_equal(of, scores.category[c].of);
        assert_int_equal(scored, scores.category[c].scored);
        if (scored == 0) {
            assert_true(isnan(scores.category[c].score));
            continue;
        }
        assert_close(scores.category[c].score, mean / scored, 1e-12);
        sum += mean / scored;
        categories++;
    }
    assert_int_equal(4, categories);
    assert_int_equal(7, scores.overall.scored);
    assert_int_equal(22, scores.overall.of);
    assert_close(scores.overall.score, sum / 4, 1e-12);
    vt_physiology_scores_free(&scores);
    vt_tuning_free(&tuning);

    /* nothing measured: no score, and the references' ceilings all the same */
    vt_tuning nothing = {.neurons = 0};
    assert_ok(vt_physiology_score(&scores, &nothing, references, 3));
    assert_true(isnan(scores.overall.score));
    assert_int_equal(0, scores.overall.scored);
    assert_true(scores.property[property("surround_diameter")].ceiling.mean > 0.9);
    vt_physiology_scores_free(&scores);
    for (int i = 0; i < 3; i++) {
        vt_alloc_fail_after(i);
        assert_status(VT_ENOMEM, vt_physiology_score(&scores, &nothing, references, 3));
        vt_alloc_fail_after(-1);
    }
    vt_references_free(references);
    vt_tensor_map_free(golden);
}

/* A tuning in which one property of a study has these values, the others none; freed as any. */
static vt_tuning tuning_of(int number, const double *values, int64_t count, int64_t recorded)
{
    vt_study_id id = vt_property_at(number)->study;
    int properties, first = vt_study_properties((int)id, &properties);
    vt_tuning tuning = {.neurons = recorded};
    vt_study_tuning *t = &tuning.study[id];
    t->measured = true;
    t->neurons = count;
    t->neuron = vt_alloc((size_t)count, sizeof *t->neuron);
    t->values = vt_alloc((size_t)(count * properties), sizeof *t->values);
    for (int64_t i = 0; i < count; i++) {
        t->neuron[i] = recorded - count + i;
        for (int p = 0; p < properties; p++)
            t->values[i * properties + p] = first + p == number ? values[i] : NAN;
    }
    return tuning;
}

/* Half of 60 units are selective, fewer than of the published neurons: the similarity is linear in
 * that share, whose standard error is binomial. Of 240 neurons of which 60 have a value, so many
 * more or less are drawn, but it is the share among them that counts. */
static void test_errors(void **state)
{
    (void)state;
    enum { UNITS = 60 };
    vt_references *references;
    vt_physiology_scores a, b;
    double values[UNITS];
    int number = property("spatial_frequency_selective"), other = property("surround_diameter");
    assert_ok(vt_references_new(&references));
    const vt_reference *r = vt_references_at(references, number);
    double reference = (double)r->counts[1] / (double)r->neurons;
    for (int i = 0; i < UNITS; i++)
        values[i] = i % 2;
    for (int times = 1; times <= 4; times += 3) {
        vt_tuning tuning = tuning_of(number, values, UNITS, times * UNITS);
        vt_threads_set(1);
        assert_ok(vt_physiology_score(&a, &tuning, references, 0));
        vt_threads_set(2);
        assert_ok(vt_physiology_score(&b, &tuning, references, 0));
        const vt_property_score *s = &a.property[number];
        double expected = sqrt(0.25 / UNITS) / reference / s->ceiling.mean;
        assert_close(s->error, expected, 0.1 * expected);
        assert_true(s->error == b.property[number].error);
        assert_true(a.overall.error == b.overall.error);
        assert_true(isnan(a.property[other].error)); /* its stimuli were not shown */
        vt_physiology_scores_free(&a);
        vt_physiology_scores_free(&b);
        vt_tuning_free(&tuning);
    }
    vt_tuning one = tuning_of(number, values, 1, 1);
    assert_ok(vt_physiology_score(&a, &one, references, 0));
    assert_true(isfinite(a.overall.score));
    assert_true(isnan(a.property[number].error) && isnan(a.overall.error));
    vt_physiology_scores_free(&a);
    vt_tuning_free(&one);
    vt_references_free(references);
}

/* ---- files ---- */

static const char *in_folder(const char *name)
{
    static char path[8192];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void check_counts(const vt_references *references, const char *key, int64_t neurons,
                         const int64_t *expected)
{
    int number = property(key);
    const vt_reference *r = vt_references_at(references, number);
    if (!r) fail_msg("no reference of %s", key);
    assert_int_equal(neurons, r->neurons);
    for (int i = 0; i < vt_property_at(number)->bins; i++)
        assert_int_equal(expected[i], r->counts[i]);
}

static void test_tables(void **state)
{
    (void)state;
    vt_references *references;
    vt_tensor_map *map;
    vt_tensor t;
    assert_ok(vt_references_new(&references));
    const char *csv = "cell, \"modulation_ratio\" ,orientation_selective\r\n"
                      "a,0.1,1\r\nb,,0\n\nc,1.95,1\nd,nan,1";
    assert_ok(vt_file_write(in_folder("v1.csv"), csv, strlen(csv)));
    assert_ok(vt_references_read(references, in_folder("v1.csv")));
    check_counts(references, "modulation_ratio", 4,
                 (const int64_t[]){1, 0, 0, 0, 0, 0, 0, 0, 0, 1});
    check_counts(references, "orientation_selective", 4, (const int64_t[]){1, 3});
    assert_non_null(
        strstr(vt_references_at(references, property("modulation_ratio"))->source, "v1.csv"));

    /* another file's values take their place; other properties stay */
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(vt_tensor_map_add(map, "modulation_ratio", VT_F32, 1, (int64_t[]){3}, &t));
    ((float *)t.data)[1] = 0.5F;
    ((float *)t.data)[2] = NAN;
    assert_ok(vt_tensor_map_add(map, "surround_diameter", VT_F64, 2, (int64_t[]){2, 1}, &t));
    ((double *)t.data)[1] = 3;
    assert_ok(vt_tensor_map_add(map, "beauty", VT_F64, 1, (int64_t[]){2}, NULL));
    assert_ok(vt_npz_write(map, in_folder("v1.npz")));
    vt_tensor_map_free(map);
    assert_ok(vt_references_read(references, in_folder("v1.npz")));
    check_counts(references, "modulation_ratio", 3,
                 (const int64_t[]){1, 0, 1, 0, 0, 0, 0, 0, 0, 0});
    check_counts(references, "orientation_selective", 4, (const int64_t[]){1, 3});
    check_counts(references, "surround_diameter", 2, (const int64_t[]){1, 0, 0, 0, 0, 1, 0, 0});
    vt_references_free(references);
}

/* Written by xarray 2026.9 with netCDF4, the way Brain-Score's assemblies are. */
static void test_assembly(void **state)
{
    (void)state;
    vt_references *references;
    assert_ok(vt_references_new(&references));
    assert_ok(vt_references_read(references, TEST_SOURCE_DIR "/tests/fixtures/v1_properties.nc"));
    /* 1.27 0.08 1.63 1.21 1.09 1.63 and 0.54 NaN 1.83 1.46 1.87 0.005 */
    check_counts(references, "surround_suppression_index", 6,
                 (const int64_t[]){1, 0, 0, 0, 0, 1, 2, 0, 2, 0});
    check_counts(references, "grating_summation_field", 6,
                 (const int64_t[]){1, 0, 0, 1, 3, 0, 0, 0});
    vt_references_free(references);
}

/* As many neurons as properties, whose names are those of a dimension that xarray before 2022, with
 * which the published assemblies were written, calls neuronal_property_. */
static void test_square_assembly(void **state)
{
    (void)state;
    static const char *const names[] = {"modulation_ratio", "orientation_selective"};
    static const double data[] = {0.1, 0, 1.9, 1}; /* (neuroid, neuronal_property) */
    static const double turned[] = {0.1, 1.9, 0, 1};
    for (int across = 0; across < 2; across++) {
        vt_references *references;
        const char *path = in_folder("square.nc");
        hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        hid_t type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, H5T_VARIABLE);
        netcdf_put(file, "neuronal_property_", type, 1, (hsize_t[]){2}, names);
        netcdf_put(file, "data", H5T_NATIVE_DOUBLE, 2, (hsize_t[]){2, 2}, across ? turned : data);
        const char *const axes[] = {"neuroid", "neuronal_property", "neuroid"};
        netcdf_name_axes(file, "data", 2, axes + across);
        H5Tclose(type);
        H5Fclose(file);
        assert_ok(vt_references_new(&references));
        assert_ok(vt_references_read(references, path));
        check_counts(references, "modulation_ratio", 2,
                     (const int64_t[]){1, 0, 0, 0, 0, 0, 0, 0, 0, 1});
        check_counts(references, "orientation_selective", 2, (const int64_t[]){1, 1});
        vt_references_free(references);
    }
}

/* FOLDER/NAME.mat, a copy of a seed of the MATLAB reader's fuzz target. */
static const char *matlab_file(const char *seed, const char *name)
{
    char from[4096];
    void *data;
    size_t size;
    snprintf(from, sizeof from, "%s/fuzz/corpus/matlab/%s", TEST_SOURCE_DIR, seed);
    assert_ok(vt_file_read(&data, &size, from));
    assert_ok(vt_file_write(in_folder(name), data, size));
    free(data);
    return in_folder(name);
}

/* Three neurons: the second responds too little, the third is not selective. */
static void test_ringach(void **state)
{
    (void)state;
    vt_tensor_map *map;
    vt_references *references;
    assert_ok(vt_references_new(&references));
    assert_ok(vt_references_read(references, matlab_file("ringach", "Ringach2002.mat")));
    check_counts(references, "orientation_selective", 2, (const int64_t[]){1, 1});
    check_counts(references, "modulation_ratio", 2,
                 (const int64_t[]){1, 0, 0, 0, 0, 0, 0, 1, 0, 0});
    check_counts(references, "bandwidth", 2,
                 (const int64_t[]){0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    check_counts(references, "orthogonal_preferred_ratio", 2,
                 (const int64_t[]){1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});

    /* a field missing, and one of another length */
    assert_ok(vt_matlab_read(&map, matlab_file("kinds", "kinds.mat")));
    assert_status(VT_EFORMAT, vt_references_set_ringach(references, map, "here"));
    assert_message("no spont");
    vt_tensor_map_free(map);
    assert_ok(vt_matlab_read(&map, in_folder("Ringach2002.mat")));
    ((vt_tensor *)(uintptr_t)vt_tensor_map_find(map, "db/po"))->size[1] = 2;
    assert_status(VT_ESHAPE, vt_references_set_ringach(references, map, "here"));
    assert_message("db/po has 2 values");
    vt_tensor_map_free(map);
    vt_references_free(references);
}

/* Spikes by rule; the values are of the published analysis, in NumPy. */
enum { CELLS = 3, MS = 300, REPEATS = 2, SAMPLES = 3, FAMILIES = 4, PROPERTIES = 11 };

static bool spikes(int64_t i)
{
    uint64_t h = (uint64_t)i * 6364136223846793005U + 1442695040888963407U;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdU;
    h ^= h >> 33;
    int64_t family = i % FAMILIES, type = i / FAMILIES % 2, sample = i / FAMILIES / 2 % SAMPLES;
    int64_t ms = i / FAMILIES / 2 / SAMPLES / REPEATS % MS;
    int64_t cell = i / FAMILIES / 2 / SAMPLES / REPEATS / MS;
    double rate = 0.02;
    if (ms > 60 + 20 * cell && ms < 200 + 40 * cell)
        rate += 0.05 + 0.05 * (double)(type * (family % 3)) + 0.01 * (double)sample;
    return ldexp((double)(h >> 11), -53) < rate;
}

static void test_freeman_ziemba(void **state)
{
    (void)state;
    static const double expected[CELLS][PROPERTIES] = {
        {0.201457361699357, 0.201457361699357, 0.16644157883183, 0.0184164411685206,
         0.172567432042497, 0.120844675964824, 1.91842437646887, 0.336356672588632,
         0.663643327411368, 194.507575757576, 89.9621212121212},
        {0.238463446275946, 0.238463446275946, 0.186470714819175, 0.0344185180010244,
         0.199228399618137, 0.0728270524817172, 2.21357265673437, 0.303627349087805,
         0.696372650912195, 209.848484848485, 96.2121212121212},
        {0.229597914426829, 0.229597914426829, 0.0927296507757496, 0.0231630537229031,
         0.102700153583495, 0.0427249201220137, 2.10193851743619, 0.315274214544903,
         0.684725785455097, 185.037878787879, 94.1287878787879}};
    vt_tensor v1;
    double *values;
    const int64_t size[] = {CELLS, MS, REPEATS, SAMPLES, 2, FAMILIES};
    assert_ok(vt_tensor_new(&v1, VT_U8, 6, size));
    for (int64_t i = 0; i < vt_tensor_count(&v1); i++)
        ((uint8_t *)v1.data)[i] = spikes(i);
    assert_ok(vt_freeman_ziemba_measure(&values, &v1));
    for (int cell = 0; cell < CELLS; cell++)
        for (int p = 0; p < PROPERTIES; p++)
            assert_close(values[p * CELLS + cell], expected[cell][p], 1e-10);
    free(values);

    vt_references *references;
    assert_ok(vt_references_new(&references));
    assert_ok(vt_references_set_freeman_ziemba(references, &v1, "here"));
    check_counts(references, "texture_sparseness", 3,
                 (const int64_t[]){0, 3, 0, 0, 0, 0, 0, 0, 0, 0});

    /* a file of version 5 to 7.2: MATLAB's order of sizes */
    vt_tensor turned, missing;
    assert_ok(vt_tensor_permute(&turned, &v1, (const int[]){5, 4, 3, 2, 1, 0}));
    vt_references_free(references);
    assert_ok(vt_references_new(&references));
    assert_ok(vt_references_set_freeman_ziemba(references, &turned, "here"));
    check_counts(references, "texture_sparseness", 3,
                 (const int64_t[]){0, 3, 0, 0, 0, 0, 0, 0, 0, 0});
    vt_tensor_free(&turned);

    /* a cell with a response missing has no properties */
    assert_ok(vt_tensor_convert(&missing, &v1, VT_F32));
    for (int cell = 1; cell < CELLS; cell++)
        ((float *)missing.data)[vt_tensor_count(&v1) / CELLS * cell + 5] = NAN;
    assert_ok(vt_references_set_freeman_ziemba(references, &missing, "here"));
    check_counts(references, "texture_sparseness", 3,
                 (const int64_t[]){0, 1, 0, 0, 0, 0, 0, 0, 0, 0});
    ((float *)missing.data)[5] = NAN;
    assert_status(VT_ENUMERIC, vt_references_set_freeman_ziemba(references, &missing, "here"));
    assert_message("none of the 3 cells");
    check_counts(references, "texture_sparseness", 3,
                 (const int64_t[]){0, 1, 0, 0, 0, 0, 0, 0, 0, 0});
    vt_tensor_free(&missing);
    vt_references_free(references);
    v1.size[4] = 1;
    assert_status(VT_ESHAPE, vt_freeman_ziemba_measure(&values, &v1));
    assert_message("(cells, 300 ms");
    v1.size[4] = 2;
    vt_tensor_free(&v1);
}

static void refused(vt_references *references, const char *name, const char *text, vt_status code,
                    const char *says)
{
    const char *path = in_folder(name);
    vt_reference before = *vt_references_at(references, property("surround_diameter"));
    if (text) assert_ok(vt_file_write(path, text, strlen(text)));
    assert_status(code, vt_references_read(references, path));
    assert_message(name);
    assert_message(says);
    const vt_reference *after = vt_references_at(references, property("surround_diameter"));
    assert_memory_equal(&before, after, sizeof before);
}

/* Half a megabyte of commas, then as many lines: not a table of a terabyte. */
static void test_wide_table(void **state)
{
    (void)state;
    enum { SIZE = 1 << 19 };
    vt_references *references;
    char *text = vt_alloc(2 * SIZE + 1, 1);
    assert_non_null(text);
    memset(text, ',', SIZE);
    for (int i = 0; i < SIZE; i += 2)
        memcpy(text + SIZE + i, "\n1", 2);
    assert_ok(vt_references_new(&references));
    refused(references, "wide.csv", text, VT_EFORMAT, "line 2 has not 524289 fields");
    vt_references_free(references);
    free(text);
}

/* A file with an array of structures `db`: of a seed's elements, whose array is called `s`. */
static void structures_file(const char *name)
{
    static const char short_name[] = {1, 0, 0, 0, 1, 0, 0, 0, 's'};
    static const char long_name[] = {1, 0, 0, 0, 2, 0, 0, 0, 'd', 'b'};
    void *elements, *at;
    size_t size;
    assert_ok(
        vt_file_read(&elements, &size, TEST_SOURCE_DIR "/fuzz/corpus/matlab/array_of_structures"));
    char *file = calloc(1, 128 + size);
    memcpy(file + 126, "IM", 2);
    memcpy(file + 128, elements, size);
    assert_non_null(at = memmem(file + 128, size, short_name, sizeof short_name));
    memcpy(at, long_name, sizeof long_name);
    assert_ok(vt_file_write(in_folder(name), file, 128 + size));
    free(file);
    free(elements);
}

static void test_bad_files(void **state)
{
    (void)state;
    vt_references *references;
    assert_ok(vt_references_new(&references));
    refused(references, "a.txt", "1", VT_EINVAL, ".npz, .csv, .nc and .mat");
    refused(references, "none.csv", NULL, VT_ENOTFOUND, "none.csv");
    refused(references, "empty.csv", "", VT_ENOTFOUND, "circular_variance");
    refused(references, "other.csv", "a,b\n1,2\n", VT_ENOTFOUND, "circular_variance");
    refused(references, "word.csv", "surround_diameter\n1\nlarge\n", VT_EFORMAT,
            "line 3: 'large' is not a number");
    refused(references, "short.csv", "surround_diameter,bandwidth\n1,2\n3\n", VT_EFORMAT, "line 3");
    refused(references, "long.csv", "surround_diameter\n1\n2,3\n", VT_EFORMAT, "line 3");
    refused(references, "void.csv", "surround_diameter\n\n", VT_EFORMAT, "0 values");
    refused(references, "nan.csv", "surround_diameter,bandwidth\n1,\n3,nan\n", VT_EFORMAT,
            "bandwidth");
    refused(references, "a.npz", "PK", VT_EFORMAT, "a.npz");
    refused(references, "a.nc", "CDF\1", VT_EFORMAT, "NetCDF4");
    refused(references, "a.mat", "MATLAB 4, surely", VT_EFORMAT, "MATLAB");
    matlab_file("kinds", "kinds.mat");
    refused(references, "kinds.mat", NULL, VT_ENOTFOUND, "'db' of Ringach2002.mat");
    structures_file("array.mat");
    refused(references, "array.mat", NULL, VT_EFORMAT, "not an array of structures");
    vt_references_free(references);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),           cmocka_unit_test(test_measure),
        cmocka_unit_test(test_histogram),        cmocka_unit_test(test_published_ceilings),
        cmocka_unit_test(test_bootstrap_of_few), cmocka_unit_test(test_scores),
        cmocka_unit_test(test_errors),           cmocka_unit_test(test_tables),
        cmocka_unit_test(test_assembly),         cmocka_unit_test(test_square_assembly),
        cmocka_unit_test(test_ringach),          cmocka_unit_test(test_freeman_ziemba),
        cmocka_unit_test(test_bad_files),        cmocka_unit_test(test_wide_table),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
