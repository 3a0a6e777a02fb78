/* Tuning properties: against Brain-Score's on simulated neurons, on curves of known shape, and on
 * recordings that are not what they should be. */
#include "test.h"

#include "base/arena.h"
#include "physiology/curves.h"
#include "physiology/spline.h"
#include "ventral/io.h"
#include "ventral/tuning.h"

#define PI 3.14159265358979323846

/* ---- the table ---- */

static void test_table(void **state)
{
    (void)state;
    int scored = 0, printed = 0, in_category[VT_CATEGORIES + 1] = {0};
    assert_int_equal(32, vt_property_count());
    for (int i = 0; i < vt_property_count(); i++) {
        const vt_property *p = vt_property_at(i);
        double edges[VT_MAX_BINS + 1];
        assert_int_equal(i, vt_property_find(p->key));
        assert_in_range(p->bins, 2, VT_MAX_BINS);
        vt_property_edges(p, edges);
        for (int b = 0; b < p->bins; b++)
            assert_true(edges[b] < edges[b + 1]);
        assert_true((p->benchmark == NULL) == (p->category == VT_CATEGORY_UNSCORED));
        in_category[p->category]++;
        scored += p->benchmark != NULL;
        printed += p->benchmark && p->counts;
        int sum = 0;
        for (int b = 0; p->counts && b < p->bins; b++)
            sum += p->counts[b];
        assert_true(sum <= vt_study_at((int)p->study)->neurons);
    }
    assert_int_equal(22, scored);
    assert_int_equal(7, printed);
    const int expected[] = {7, 3, 4, 2, 1, 2, 3};
    for (int c = 0; c < VT_CATEGORIES; c++)
        assert_int_equal(expected[c], in_category[c]);
    assert_string_equal("surround_modulation", vt_category_name(VT_CATEGORY_SURROUND_MODULATION));
    assert_null(vt_category_name((vt_category)77));
    assert_int_equal(-1, vt_property_find("beauty"));
    assert_null(vt_property_at(-1));
    assert_null(vt_property_at(32));
    assert_null(vt_study_at(VT_STUDIES));

    double edges[VT_MAX_BINS + 1];
    vt_property_edges(vt_property_at(vt_property_find("variance_ratio")), edges);
    assert_close(edges[0], 0.01, 1e-17);
    assert_close(edges[6], 0.31622776601683794, 1e-16);
    assert_close(edges[12], 10, 0);
    vt_property_edges(vt_property_at(vt_property_find("preferred_orientation")), edges);
    assert_close(edges[1], 22.5, 0);
    assert_close(edges[4], 157.5, 0);
}

/* ---- against the reference ---- */

/* Names are texts: lines. */
static void check_names(const vt_tensor_map *golden, int study)
{
    char key[64], line[128];
    int count, first = vt_study_properties(study, &count);
    snprintf(key, sizeof key, "names.%s", vt_study_at(study)->name);
    const char *text = vt_tensor_map_get_text(golden, key);
    assert_non_null(text);
    for (int i = 0; i < count; i++) {
        size_t length = strcspn(text, "\n");
        assert_true(length < sizeof line);
        memcpy(line, text, length);
        line[length] = '\0';
        assert_string_equal(line, vt_property_at(first + i)->key);
        text += length + (text[length] == '\n');
    }
    assert_string_equal("", text);
}

static void check_study(const vt_tensor_map *golden, const vt_tuning *tuning, int study)
{
    char key[64];
    int count;
    vt_study_properties(study, &count);
    check_names(golden, study);
    snprintf(key, sizeof key, "properties.%s", vt_study_at(study)->name);
    const vt_tensor *expected = vt_tensor_map_find(golden, key);
    const vt_study_tuning *t = &tuning->study[study];
    assert_true(t->measured);
    assert_int_equal(expected->size[0], t->neurons);
    assert_int_equal(expected->size[1], count);
    for (int64_t i = 0; i < vt_tensor_count(expected); i++) {
        double value = t->values[i], wanted = vt_tensor_get(expected, i);
        if (isnan(wanted) ? !isnan(value) : !(fabs(value - wanted) <= 1e-9 * fmax(1, fabs(wanted))))
            fail_msg("%s, neuron %lld, property %lld: %.12g, expected %.12g", key,
                     (long long)(i / count), (long long)(i % count), value, wanted);
    }
}

static void test_golden(void **state)
{
    (void)state;
    need_shared(path, "golden/physiology/properties.npz");
    vt_tensor_map *golden;
    vt_tuning tuning;
    assert_ok(vt_npz_read(&golden, path));
    assert_ok(vt_tuning_measure(&tuning, golden));
    assert_int_equal(40, tuning.neurons);
    for (int s = 0; s < VT_STUDIES; s++)
        check_study(golden, &tuning, s);

    /* what a study kept: the curve's largest value is the largest mean response */
    const vt_study_tuning *r = &tuning.study[VT_STUDY_RINGACH2002];
    int properties;
    vt_study_properties(VT_STUDY_RINGACH2002, &properties);
    const vt_tensor *baseline = vt_tensor_map_find(golden, "baseline");
    assert_int_equal(12, r->points);
    for (int64_t i = 0; i < r->neurons; i++) {
        double most = 0;
        for (int k = 0; k < r->points; k++)
            most = fmax(most, r->curves[i * r->points + k]);
        assert_true(most == r->values[i * properties + 1]);
        assert_true(vt_tensor_get(baseline, r->neuron[i]) == r->values[i * properties]);
        assert_true(r->preferred[3 * i + 2] >= 0 && r->preferred[3 * i + 2] < 180);
    }

    double *values;
    int64_t count;
    assert_ok(vt_tuning_values(&values, &count, &tuning, vt_property_find("max_noise")));
    assert_int_equal(38, count);
    assert_true(values[37] == tuning.study[VT_STUDY_FREEMANZIEMBA2013].values[38 * 11 - 1]);
    free(values);
    vt_tuning_free(&tuning);
    vt_tensor_map_free(golden);
}

/* ---- curves of known shape ---- */

static void test_spline(void **state)
{
    (void)state;
    enum { N = 9 };
    double x[N], y[N], second[N], work[N];
    for (int count = VT_CURVE_MIN_POINTS; count <= N; count++) {
        for (int i = 0; i < count; i++) {
            x[i] = i + 0.3 * sin(i);
            y[i] = 2 - x[i] + 0.5 * x[i] * x[i] - 0.25 * x[i] * x[i] * x[i];
        }
        vt_spline_fit(second, work, x, y, count);
        for (double t = -1; t < 10; t += 0.37) /* a cubic is its own spline, beyond the ends too */
            assert_close(vt_spline_at(x, y, second, count, t),
                         2 - t + 0.5 * t * t - 0.25 * t * t * t, 1e-10);
    }
    /* a step: SciPy's UnivariateSpline(x, y, s=0) */
    const double knots[] = {0, 1, 2, 3, 4, 5, 6}, step[] = {0, 0, 0, 1, 1, 1, 1};
    vt_spline_fit(second, work, knots, step, 7);
    assert_close(vt_spline_at(knots, step, second, 7, 0.5), 0.1272321428571429, 1e-12);
    assert_close(vt_spline_at(knots, step, second, 7, 2.25), 0.22237723214285715, 1e-12);
    assert_close(vt_spline_at(knots, step, second, 7, 6.5), 0.8325892857142856, 1e-12);
}

static void test_orientation_curves(void **state)
{
    (void)state;
    enum { N = 12 };
    double degrees[N], curve[N], work[VT_ORIENTATION_WORK(N)], bandwidth, peak;
    for (int i = 0; i < N; i++) {
        degrees[i] = 15 * i;
        curve[i] = 10 * (1 + cos(2 * (degrees[i] - 40) * PI / 180));
    }
    assert_close(vt_circular_variance(curve, degrees, N), 0.5, 1e-12);
    assert_close(vt_orthogonal_ratio(curve, N), curve[9] / curve[3], 0);
    vt_orientation_tuning(&bandwidth, &peak, curve, degrees, N, 0.4, 0.707, work);
    assert_close(peak, 40, 0);
    /* smoothing leaves mean and phase, and of the modulation (1 + 0.8 cos 30 degrees) / 1.8 */
    double left = (1 + 0.8 * cos(PI / 6)) / 1.8;
    double half = 90 / PI * acos((0.707 * (1 + left) - 1) / left);
    assert_in_range(bandwidth * 2, ceil(2 * half), ceil(2 * half) + 2); /* sampled at degrees */

    for (int i = 0; i < N; i++) /* falls to 80 % at most: broad */
        curve[i] = 10 + cos(2 * (degrees[i] - 40) * PI / 180);
    vt_orientation_tuning(&bandwidth, &peak, curve, degrees, N, 0.4, 0.707, work);
    assert_true(isnan(bandwidth));

    /* constant and silent curves */
    for (int i = 0; i < N; i++)
        curve[i] = 7;
    assert_close(vt_circular_variance(curve, degrees, N), 1, 1e-12);
    assert_close(vt_orthogonal_ratio(curve, N), 1, 0);
    vt_orientation_tuning(&bandwidth, &peak, curve, degrees, N, 0.4, 0.707, work);
    assert_true(isnan(bandwidth));
    memset(curve, 0, sizeof curve);
    assert_true(isnan(vt_circular_variance(curve, degrees, N)));
    assert_true(isnan(vt_orthogonal_ratio(curve, N)));
}

static void test_frequency_curves(void **state)
{
    (void)state;
    enum { N = 22 };
    double frequency[N], curve[N], work[VT_FREQUENCY_WORK(N)], bandwidth, peak;
    for (int i = 0; i < N; i++) {
        frequency[i] = exp2(-1.375 + 0.25 * i);
        curve[i] = exp(-0.5 * pow((log2(frequency[i]) - 1) / 0.8, 2));
    }
    vt_frequency_tuning(&bandwidth, &peak, curve, frequency, N, work);
    assert_close(log2(peak), 1, 5.25 / 99 / 2 + 1e-9); /* between two of 100 places */
    /* two octaves to the sides together, a little more by smoothing */
    double octaves = 2 * 0.8 * sqrt(-2 * log(0.707));
    assert_in_range(-log2(bandwidth / 100) * 1000, 1000 * octaves, 1000 * (octaves + 0.15));
    for (int i = 0; i < N; i++) /* low-pass: nothing below the peak */
        curve[i] = exp(-0.3 * i);
    vt_frequency_tuning(&bandwidth, &peak, curve, frequency, N, work);
    assert_true(isnan(bandwidth));
    assert_close(peak, frequency[0], 0.1);
}

static void test_size_curves(void **state)
{
    (void)state;
    const double radius[] = {0.1, 0.2, 0.4, 0.8, 1.6, 3.2};
    const double suppressed[] = {2, 9.6, 10, 6, 4.1, 4}, summing[] = {1, 2, 3, 4, 5, 5.2};
    const double inhibited[] = {5, 10, 2, -4.1, -3.9, -4}, silent[6] = {0};
    vt_size_tuning t = vt_size_tuning_of(suppressed, radius, 6);
    assert_close(t.suppression, 0.6, 1e-12);
    assert_close(t.summation, 0.4, 0);
    assert_close(t.surround, 3.2, 0);
    t = vt_size_tuning_of(summing, radius, 6);
    assert_close(t.suppression, 0, 0);
    assert_true(isnan(t.summation) && isnan(t.surround));
    t = vt_size_tuning_of(inhibited, radius, 6); /* below the baseline */
    assert_close(t.suppression, 1.4, 1e-12);
    assert_close(t.surround, 1.6, 0);
    t = vt_size_tuning_of(silent, radius, 6);
    assert_true(isnan(t.suppression) && isnan(t.summation) && isnan(t.surround));
}

static void test_textures(void **state)
{
    (void)state;
    const double texture[] = {3, 1, 0, 5}, noise[] = {1, 3, 0, 5}, one[] = {0, 0, 7, 0};
    assert_close(vt_texture_modulation(texture, noise, 2), 0, 1e-15);
    assert_close(vt_texture_modulation(texture, noise, 3), 0, 1e-15); /* 0 / 0 is left out */
    assert_close(vt_texture_modulation(texture, noise, 1), 0.5, 1e-15);
    assert_true(isnan(vt_texture_modulation(texture + 2, noise + 2, 1)));
    assert_close(vt_sparseness(one, 4), 1, 1e-15);
    assert_close(vt_sparseness((const double[]){2, 2, 2}, 3), 0, 1e-15);
    assert_true(isnan(vt_sparseness((const double[]){0, 0}, 2)));

    /* all variance between families, all within them, none */
    const double families[] = {1, 1, 1, 5, 5, 5}, samples[] = {1, 5, 3, 5, 1, 3}, none[6] = {0};
    vt_variance_shares v = vt_variance_shares_of(families, 2, 3);
    assert_close(v.family, 1, 1e-12);
    assert_close(v.ratio, 51, 1e-9);
    v = vt_variance_shares_of(samples, 2, 3);
    assert_close(v.sample, 1.5, 1e-12); /* the family's estimate is below zero */
    assert_close(v.family, -0.5, 1e-12);
    assert_true(isnan(vt_variance_shares_of(none, 2, 3).ratio));
}

/* ---- recordings ---- */

enum { SIZES = 2, FREQUENCIES = 4, ORIENTATIONS = 6, PHASES = 4, GRATINGS = 192, NEURONS = 3 };
enum { FAMILIES = 3, SAMPLES = 4, TEXTURES = 2 * FAMILIES * SAMPLES };

static double *add(vt_tensor_map *map, const char *name, int ndim, int64_t a, int64_t b)
{
    vt_tensor t;
    assert_ok(vt_tensor_map_add(map, name, VT_F64, ndim, (int64_t[]){a, b}, &t));
    return t.data;
}

/* Gratings of every kind; neuron 0 never answers, 1 always alike, 2 is tuned. */
static void add_gratings(vt_tensor_map *map, const char *set, int64_t neurons)
{
    char name[64];
    snprintf(name, sizeof name, "stimuli.%s", set);
    double *stimuli = add(map, name, 2, GRATINGS, 7);
    snprintf(name, sizeof name, "responses.%s", set);
    double *responses = add(map, name, 2, neurons, GRATINGS);
    for (int i = 0; i < GRATINGS; i++) {
        int phase = i % PHASES, orientation = i / PHASES % ORIENTATIONS;
        int frequency = i / PHASES / ORIENTATIONS % FREQUENCIES, size = i / (GRATINGS / SIZES);
        double radius = strcmp(set, "orientation") == 0 ? (size + 2) / exp2(frequency) : size + 1;
        memcpy(stimuli + 7L * i,
               (double[]){0.5, 0.5, 1, radius, exp2(frequency), 30. * orientation, 90. * phase},
               7 * sizeof(double));
        if (neurons == 0) continue;
        responses[i] = 0;
        responses[GRATINGS + i] = 20;
        responses[2 * GRATINGS + i] = 8 * (2 - size) * exp(-pow(frequency - 1.4, 2)) *
                                      (1 + cos((orientation - 2) * PI / 3)) *
                                      (1 + cos(phase * PI / 2));
    }
}

static void add_textures(vt_tensor_map *map, int64_t neurons)
{
    double *responses = add(map, "responses.texture", 2, neurons, TEXTURES);
    double *type = add(map, "texture.type", 1, TEXTURES, 0);
    double *family = add(map, "texture.family", 1, TEXTURES, 0);
    double *sample = add(map, "texture.sample", 1, TEXTURES, 0);
    for (int i = 0; i < TEXTURES; i++) {
        type[i] = i / FAMILIES / SAMPLES + 1;
        family[i] = 10 * (i / SAMPLES % FAMILIES);
        sample[i] = -(i % SAMPLES);
        if (neurons == 0) continue;
        responses[i] = 0;
        responses[TEXTURES + i] = 20;
        responses[2 * TEXTURES + i] = 10 * type[i] + family[i] + 0.1 * sample[i] * family[i];
    }
}

static vt_tensor_map *recording(int64_t neurons)
{
    vt_tensor_map *map;
    assert_ok(vt_tensor_map_new(&map));
    add(map, "baseline", 2, neurons, 1);
    add_gratings(map, "orientation", neurons);
    add_gratings(map, "spatial_frequency", neurons);
    add_gratings(map, "size", neurons);
    add_textures(map, neurons);
    return map;
}

static double value_of(const vt_tuning *tuning, const char *key, int64_t neuron)
{
    int property = vt_property_find(key), count;
    const vt_study_tuning *t = &tuning->study[vt_property_at(property)->study];
    int first = vt_study_properties((int)vt_property_at(property)->study, &count);
    for (int64_t i = 0; i < t->neurons; i++)
        if (t->neuron[i] == neuron) return t->values[i * count + property - first];
    fail_msg("%s: neuron %d did not respond", key, (int)neuron);
    return 0;
}

/* Constant responses leave selectivity undefined or none, and never crash. */
static void test_degenerate_neurons(void **state)
{
    (void)state;
    vt_tensor_map *map = recording(NEURONS);
    vt_tuning t;
    assert_ok(vt_tuning_measure(&t, map));
    for (int s = 0; s < VT_STUDIES; s++) {
        assert_int_equal(2, t.study[s].neurons);
        assert_int_equal(1, t.study[s].neuron[0]);
        assert_int_equal(2, t.study[s].neuron[1]);
    }
    assert_close(value_of(&t, "circular_variance", 1), 1, 1e-12);
    assert_close(value_of(&t, "modulation_ratio", 1), 0, 1e-12);
    assert_true(isnan(value_of(&t, "bandwidth", 1)));
    assert_close(value_of(&t, "orientation_selective", 1), 0, 0);
    assert_close(value_of(&t, "spatial_frequency_selective", 1), 0, 0);
    assert_true(isnan(value_of(&t, "spatial_frequency_bandwidth", 1)));
    assert_close(value_of(&t, "surround_suppression_index", 1), 0, 0);
    assert_true(isnan(value_of(&t, "surround_diameter", 1)));
    assert_close(value_of(&t, "texture_modulation_index", 1), 0, 0);
    assert_true(isnan(value_of(&t, "variance_ratio", 1)));

    assert_close(value_of(&t, "max_dc", 2), 32 * exp(-0.16), 1e-9);
    assert_close(value_of(&t, "modulation_ratio", 2), 1, 1e-12);
    assert_close(value_of(&t, "preferred_orientation", 2), 60, 1);
    assert_close(value_of(&t, "surround_suppression_index", 2), 0.5, 1e-12);
    assert_close(value_of(&t, "grating_summation_field", 2), 2, 0);
    assert_close(value_of(&t, "surround_diameter", 2), 4, 0);
    assert_close(value_of(&t, "max_noise", 2), 30, 1e-12);
    const double *preferred = t.study[VT_STUDY_CAVANAUGH2002A].preferred + 3;
    assert_true(preferred[0] == 1 && preferred[1] == 2 && preferred[2] == 60);
    vt_tuning_free(&t);
    vt_tensor_map_free(map);

    map = recording(0);
    assert_ok(vt_tuning_measure(&t, map));
    for (int s = 0; s < VT_STUDIES; s++)
        assert_true(t.study[s].measured && t.study[s].neurons == 0);
    double *values;
    int64_t count;
    assert_ok(vt_tuning_values(&values, &count, &t, 5));
    assert_int_equal(0, count);
    free(values);
    assert_status(VT_EINVAL, vt_tuning_values(&values, &count, &t, 99));
    vt_tuning_free(&t);
    vt_tensor_map_free(map);
}

/* Textures are found whatever their order, and sets that were not shown are not measured. */
static void test_textures_in_any_order(void **state)
{
    (void)state;
    vt_tensor_map *map, *all = recording(NEURONS);
    vt_tuning t, expected;
    assert_ok(vt_tuning_measure(&expected, all));
    assert_ok(vt_tensor_map_new(&map));
    add(map, "baseline", 1, NEURONS, 0);
    add_textures(map, NEURONS);
    static const char *const names[] = {"responses.texture", "texture.type", "texture.family",
                                        "texture.sample"};
    for (int n = 0; n < 4; n++) {
        const vt_tensor *from = vt_tensor_map_find(all, names[n]);
        double *to = vt_tensor_map_find(map, names[n])->data;
        for (int64_t i = 0; i < vt_tensor_count(from); i++)
            to[i / TEXTURES * TEXTURES + i * 7 % TEXTURES] = vt_tensor_get(from, i);
    }
    assert_ok(vt_tuning_measure(&t, map));
    int study = VT_STUDY_FREEMANZIEMBA2013;
    for (int64_t i = 0; i < t.study[study].neurons * 11; i++)
        assert_true(t.study[study].values[i] == expected.study[study].values[i] ||
                    isnan(expected.study[study].values[i]));
    for (int s = 0; s < study; s++)
        assert_true(!t.study[s].measured && t.study[s].neurons == 0);
    vt_tuning_free(&t);
    vt_tuning_free(&expected);
    vt_tensor_map_free(map);
    vt_tensor_map_free(all);
}

/* One element of a sound recording changed: which failure, and what it says. */
static void check_bad(const char *tensor, int64_t element, double value, vt_status expected,
                      const char *says)
{
    vt_tensor_map *map = recording(NEURONS);
    vt_tuning t;
    const vt_tensor *changed = vt_tensor_map_find(map, tensor);
    ((double *)changed->data)[element] = value;
    assert_status(expected, vt_tuning_measure(&t, map));
    assert_message(says);
    vt_tensor_map_free(map);
}

/* All orientations of the set `orientation` times `factor`. */
static void check_orientations(double factor, vt_status expected, const char *says)
{
    vt_tensor_map *map = recording(NEURONS);
    vt_tuning t;
    const vt_tensor *stimuli = vt_tensor_map_find(map, "stimuli.orientation");
    for (int64_t i = 5; i < vt_tensor_count(stimuli); i += 7)
        ((double *)stimuli->data)[i] *= factor;
    assert_status(expected, vt_tuning_measure(&t, map));
    assert_message(says);
    vt_tensor_map_free(map);
}

static void check_missing(const char *first, const char *second, vt_status expected,
                          const char *says)
{
    vt_tensor_map *all = recording(NEURONS), *map;
    vt_tuning t;
    assert_ok(vt_tensor_map_new(&map));
    for (int i = 0; i < vt_tensor_map_count(all); i++) {
        const vt_tensor *from = vt_tensor_map_at(all, i);
        if (strstr(from->name, first) || (second && strstr(from->name, second))) continue;
        assert_ok(vt_tensor_map_add_copy(map, from->name, from));
    }
    assert_status(expected, vt_tuning_measure(&t, map));
    assert_message(says);
    vt_tensor_map_free(map);
    vt_tensor_map_free(all);
}

static void test_bad_recordings(void **state)
{
    (void)state;
    check_bad("responses.size", 200, NAN, VT_ENUMERIC,
              "responses.size: response of neuron 1 to stimulus 8");
    check_bad("responses.texture", 0, INFINITY, VT_ENUMERIC,
              "responses.texture: response of neuron 0");
    check_bad("baseline", 2, NAN, VT_ENUMERIC, "baseline: that of neuron 2");
    check_bad("stimuli.size", 7 * 5 + 4, NAN, VT_ENUMERIC, "spatial frequency of stimulus 5");
    check_bad("stimuli.size", 7 * 5, 0, VT_ESHAPE, "position y of stimulus 5");
    check_bad("stimuli.size", 7 * 5 + 3, 4, VT_ESHAPE, "radius of stimulus 5");
    check_bad("stimuli.size", 7 * 5 + 5, 60, VT_ESHAPE, "orientation of stimulus 5");
    check_bad("stimuli.spatial_frequency", 6, 91, VT_ESHAPE,
              "stimuli.spatial_frequency: 192 stimuli are no grid");
    check_orientations(0.0174532925199433, VT_ESHAPE, "degrees over half a circle"); /* radians */
    check_orientations(2, VT_ESHAPE, "degrees over half a circle"); /* directions */
    check_bad("texture.sample", 3, 0, VT_ESHAPE, "stimuli 0 and 3");
    check_bad("texture.type", 3, 7, VT_ESHAPE, "3 types");
    check_bad("texture.family", 3, NAN, VT_ENUMERIC, "texture.family: value 3");
    check_missing("baseline", NULL, VT_ENOTFOUND, "baseline");
    check_missing("stimuli.size", NULL, VT_ENOTFOUND, "stimuli.size");
    check_missing("texture.family", NULL, VT_ENOTFOUND, "texture.family");
    check_missing("responses", NULL, VT_ENOTFOUND, "responses.orientation");

    static const struct bad_shape {
        const char *name;
        int64_t size[2];
        const char *says;
    } shapes[] = {{"baseline", {NEURONS, 2}, "(neurons, 1)"},
                  {"baseline", {NEURONS + 1, 1}, "are of 3 neurons, baseline of 4"},
                  {"responses.size", {NEURONS, GRATINGS + 1}, "stimuli.size"},
                  {"responses.size", {NEURONS, 0}, "responses.size"},
                  {"stimuli.size", {GRATINGS, 6}, "stimuli.size"}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        vt_tensor_map *all = recording(NEURONS), *map;
        vt_tuning t;
        assert_ok(vt_tensor_map_new(&map));
        add(map, shapes[i].name, 2, shapes[i].size[0], shapes[i].size[1]);
        for (int k = 0; k < vt_tensor_map_count(all); k++) {
            const vt_tensor *from = vt_tensor_map_at(all, k);
            if (!vt_tensor_map_find(map, from->name))
                assert_ok(vt_tensor_map_add_copy(map, from->name, from));
        }
        assert_status(VT_ESHAPE, vt_tuning_measure(&t, map));
        assert_message(shapes[i].says);
        vt_tensor_map_free(map);
        vt_tensor_map_free(all);
    }
}

/* What is stored is what is loaded. */
static void test_stored(void **state)
{
    (void)state;
    vt_tensor_map *map = recording(NEURONS), *stored;
    vt_tuning t, again;
    assert_ok(vt_tuning_measure(&t, map));
    t.study[2].measured = false; /* as if its stimuli had not been shown */
    assert_ok(vt_tensor_map_new(&stored));
    assert_ok(vt_tuning_store(stored, &t));
    t.study[2].measured = true;
    assert_ok(vt_tuning_load(&again, stored));
    assert_int_equal(NEURONS, again.neurons);
    for (int s = 0; s < VT_STUDIES; s++) {
        const vt_study_tuning *a = &t.study[s], *b = &again.study[s];
        int properties;
        vt_study_properties(s, &properties);
        assert_true(b->measured == (s != 2));
        if (!b->measured) continue;
        size_t n = (size_t)a->neurons;
        assert_true(a->neurons == b->neurons && a->points == b->points);
        assert_memory_equal(a->neuron, b->neuron, n * sizeof(int64_t));
        assert_memory_equal(a->values, b->values, n * (size_t)properties * sizeof(double));
        assert_memory_equal(a->curves, b->curves, n * (size_t)a->points * sizeof(double));
        assert_memory_equal(a->x, b->x, (size_t)a->points * sizeof(double));
        assert_memory_equal(a->preferred, b->preferred, n * 3 * sizeof(double));
    }
    vt_tuning_free(&again);
    assert_status(VT_EFORMAT, vt_tuning_load(&again, map));
    assert_message("recorded");

    /* a neuron that was not recorded; an array that is missing */
    ((int64_t *)vt_tensor_map_find(stored, "neuron.cavanaugh2002a")->data)[1] = NEURONS;
    assert_status(VT_EFORMAT, vt_tuning_load(&again, stored));
    assert_message("neuron 3 of 3");
    vt_tensor_map_free(map);
    assert_ok(vt_tensor_map_new(&map));
    for (int i = 0; i < vt_tensor_map_count(stored); i++) {
        const vt_tensor *from = vt_tensor_map_at(stored, i);
        if (strcmp(from->name, "curve.schiller1976") != 0)
            assert_ok(vt_tensor_map_add_copy(map, from->name, from));
    }
    assert_status(VT_EFORMAT, vt_tuning_load(&again, map));
    assert_message("curve.schiller1976");
    vt_tuning_free(&t);
    vt_tensor_map_free(map);
    vt_tensor_map_free(stored);
}

static void test_short_memory(void **state)
{
    (void)state;
    vt_tensor_map *map = recording(NEURONS);
    vt_tuning t;
    int failures = 0;
    for (int64_t i = 0; i < 1000; i++) {
        vt_alloc_fail_after(i);
        vt_status status = vt_tuning_measure(&t, map);
        vt_alloc_fail_after(-1);
        if (status == VT_OK) {
            vt_tuning_free(&t);
            break;
        }
        assert_int_equal(VT_ENOMEM, status);
        failures++;
    }
    assert_in_range(failures, 40, 200);
    vt_tensor_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_spline),
        cmocka_unit_test(test_orientation_curves),
        cmocka_unit_test(test_frequency_curves),
        cmocka_unit_test(test_size_curves),
        cmocka_unit_test(test_textures),
        cmocka_unit_test(test_degenerate_neurons),
        cmocka_unit_test(test_textures_in_any_order),
        cmocka_unit_test(test_bad_recordings),
        cmocka_unit_test(test_stored),
        cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
