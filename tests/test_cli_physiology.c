/* ventral physiology: tables, JSON, CSV and page from recorded responses; references from files. */
#include "cli.h"
#include "group_folder.h"

#include "ventral/similarity.h"

enum { NEURONS = 12, GRATINGS = 2 * 4 * 6 * 4 };

/* Neurons tuned for size, frequency, orientation and phase, shown gratings of one set. */
static void add_set(vt_tensor_map *map, const char *set)
{
    char name[64];
    vt_tensor stimuli, responses;
    snprintf(name, sizeof name, "stimuli.%s", set);
    assert_ok(vt_tensor_map_add(map, name, VT_F64, 2, (int64_t[]){GRATINGS, 7}, &stimuli));
    snprintf(name, sizeof name, "responses.%s", set);
    assert_ok(vt_tensor_map_add(map, name, VT_F64, 2, (int64_t[]){NEURONS, GRATINGS}, &responses));
    for (int i = 0; i < GRATINGS; i++) {
        int phase = i % 4, orientation = i / 4 % 6, frequency = i / 24 % 4, size = i / 96;
        double radius = strcmp(set, "orientation") == 0 ? (size + 2) / exp2(frequency) : size + 1;
        const double row[] = {0.5, 0.5, 1, radius, exp2(frequency), 30. * orientation, 90. * phase};
        memcpy((double *)stimuli.data + 7 * (size_t)i, row, sizeof row);
        for (int n = 0; n < NEURONS; n++)
            ((double *)responses.data)[n * GRATINGS + i] =
                1 + n * exp(-pow(frequency - 0.3 * n, 2)) * (2 - size * 0.1 * (n % 5)) *
                        (1 + cos((orientation - n) * 1.0471975511965976)) *
                        (1 + 0.1 * n * cos(phase * 1.5707963267948966));
    }
}

/* FOLDER/responses.npz; without sizes when asked for. */
static const char *responses(bool sizes)
{
    const char *path = cli_join(folder, "responses.npz");
    vt_tensor_map *map;
    vt_tensor baseline;
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(vt_tensor_map_add(map, "baseline", VT_F64, 2, (int64_t[]){NEURONS, 1}, &baseline));
    add_set(map, "orientation");
    add_set(map, "spatial_frequency");
    if (sizes) add_set(map, "size");
    assert_ok(vt_npz_write(map, path));
    vt_tensor_map_free(map);
    return path;
}

static json_t *property_of(json_t *result, const char *key)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(result, "properties"), i,
                       p) if (strcmp(json_string_value(json_object_get(p, "property")), key) ==
                              0) return p;
    fail_msg("no property %s", key);
    return NULL;
}

static double number(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("%s is no number", key);
    return json_number_value(value);
}

static void test_json(void **state)
{
    (void)state;
    json_t *root = cli_json("physiology", "--responses", responses(true));
    json_t *result = json_array_get(json_object_get(root, "results"), 0);
    assert_int_equal(NEURONS, number(result, "neurons"));
    assert_int_equal(32, json_array_size(json_object_get(result, "properties")));
    json_t *p = property_of(result, "surround_suppression_index");
    int64_t units = (int64_t)number(p, "units"), sum = 0;
    assert_in_range(units, 4, NEURONS);
    assert_true(json_is_true(json_object_get(p, "measured")));
    assert_close(number(p, "score"), number(p, "similarity") / number(p, "ceiling"), 1e-9);
    assert_int_equal(11, json_array_size(json_object_get(p, "edges")));
    for (size_t i = 0; i < 10; i++)
        sum += json_integer_value(json_array_get(json_object_get(p, "counts"), i));
    assert_int_equal(units, sum);
    assert_int_equal(66,
                     json_integer_value(json_array_get(json_object_get(p, "reference_counts"), 0)));
    p = property_of(result, "circular_variance");
    assert_true(json_is_null(json_object_get(p, "score")));
    assert_true(json_is_null(json_object_get(p, "reference")));
    p = property_of(result, "texture_sparseness");
    assert_true(json_is_false(json_object_get(p, "measured")));
    json_t *orientation = json_object_get(json_object_get(result, "categories"), "orientation");
    assert_int_equal(1, number(orientation, "scored"));
    assert_int_equal(7, number(orientation, "of"));
    assert_int_equal(7, number(json_object_get(result, "mean"), "scored"));
    double mean = number(json_object_get(result, "mean"), "score");
    json_decref(root);

    /* the seed decides, whatever the threads */
    root = cli_json("physiology", "--responses", responses(true), "--threads", "1");
    result = json_array_get(json_object_get(root, "results"), 0);
    assert_true(mean == number(json_object_get(result, "mean"), "score"));
    json_decref(root);
    root = cli_json("physiology", "--responses", responses(true), "--seed", "1");
    result = json_array_get(json_object_get(root, "results"), 0);
    assert_true(mean != number(json_object_get(result, "mean"), "score"));
    json_decref(root);
}

static void test_references(void **state)
{
    (void)state;
    const char *csv = cli_join(folder, "v1.csv");
    const char *text = "circular_variance,modulation_ratio\n0.2,0.5\n0.4,1\n0.7,\n";
    assert_ok(vt_file_write(csv, text, strlen(text)));
    json_t *root = cli_json("physiology", "--responses", responses(false), "--reference", csv);
    json_t *result = json_array_get(json_object_get(root, "results"), 0);
    json_t *p = property_of(result, "circular_variance");
    assert_non_null(strstr(json_string_value(json_object_get(p, "reference")), "v1.csv"));
    assert_true(number(p, "score") > 0);
    json_t *orientation = json_object_get(json_object_get(result, "categories"), "orientation");
    assert_int_equal(2, number(orientation, "scored"));
    p = property_of(result, "surround_diameter"); /* not shown */
    assert_true(json_is_null(json_object_get(p, "score")));
    assert_true(number(p, "ceiling") > 0.9);
    json_decref(root);

    char *table = cli_output_of(cli_run("physiology", "-r", responses(false), "-R", csv));
    const char *expected[] = {"responses.npz, 12 neurons", "2 of 7 scored", "none of 2 scored",
                              "no reference", "not shown"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!strstr(table, expected[i])) fail_msg("no '%s' in\n%s", expected[i], table);
    free(table);
}

static void assert_in_file(const char *path, const char *wanted)
{
    void *text;
    size_t size;
    assert_ok(vt_file_read(&text, &size, path));
    if (!strstr(text, wanted)) fail_msg("%s does not contain '%s'", path, wanted);
    free(text);
}

static void test_page(void **state)
{
    (void)state;
    char page[4200];
    snprintf(page, sizeof page, "%s/page", folder);
    if (system("gnuplot --version >/dev/null 2>&1") != 0) {
        print_message("skipped: no gnuplot\n");
        skip();
    }
    cli_ok("physiology", "--responses", responses(true), "--output", page);
    assert_in_file(cli_join(page, "index.html"), "Surround modulation");
    assert_in_file(cli_join(page, "index.html"), "src=\"circular_variance.svg\"");
    assert_in_file(cli_join(page, "index.html"), "J. Neurophysiol. 88:2530");
    assert_in_file(cli_join(page, "circular_variance.svg"), "<svg");
    assert_in_file(cli_join(page, "scores.csv"),
                   "responses.npz,,cavanaugh2002a,surround_suppression_index,surround_modulation,"
                   "Cavanaugh2002-surround_suppression_index,");
    assert_in_file(cli_join(page, "units.csv"), "\nresponses.npz,,11,");
    assert_int_equal(-1, access(cli_join(page, "texture_sparseness.svg"), F_OK));
    cli_fails("responses.npz", "folder", "physiology", "--responses", responses(true), "--output",
              responses(true));
}

/* A layer's tuning is kept: killed, the same command goes on; done, nothing is recorded again. */
static void test_models(void **state)
{
    (void)state;
    const char *model = TEST_SOURCE_DIR "/assets/resnet18_baseline.safetensors";
    char out[4200], kept[4300];
    if (system("gnuplot --version >/dev/null 2>&1") != 0) {
        print_message("skipped: no gnuplot\n");
        skip();
    }
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(kept, sizeof kept, "%s/resnet18_baseline.bn1.npz", out);
    const char *const args[] = {"ventral", "physiology", model, "--layers",
                                "bn1",     "--output",   out,   NULL};
    cli_result killed = cli_run_how(args, &(cli_how){.signal = SIGKILL, .signal_after = 0.3});
    assert_true(killed.signal == SIGKILL || killed.code == 0); /* a fast machine is done */
    cli_free(&killed);
    json_t *first = cli_json("physiology", model, "--layers", "bn1", "--output", out);
    json_t *a = json_array_get(json_object_get(first, "results"), 0);
    assert_string_equal("bn1", json_string_value(json_object_get(a, "layer")));
    assert_int_equal(8192, number(a, "units"));
    assert_true(number(a, "neurons") > 0 && number(a, "neurons") <= number(a, "answering"));
    assert_in_file(cli_join(out, "index.html"), "resnet18_baseline, bn1");
    assert_int_equal(0, access(kept, R_OK));
    void *fields, *again;
    size_t size, again_size;
    assert_ok(vt_file_read(&fields, &size, cli_join(out, "fields.png")));

    json_t *second = cli_json("physiology", model, "--layers", "bn1", "--output", out);
    json_t *b = json_array_get(json_object_get(second, "results"), 0);
    assert_true(json_is_true(json_object_get(b, "loaded")));
    json_object_del(a, "loaded");
    json_object_del(b, "loaded");
    assert_true(json_equal(a, b));
    assert_ok(vt_file_read(&again, &again_size, cli_join(out, "fields.png")));
    assert_int_equal(size, again_size);
    assert_memory_equal(fields, again, size);
    free(fields);
    free(again);
    json_decref(first);
    json_decref(second);

    /* of several layers those that are kept are not recorded again */
    json_t *both = cli_json("physiology", model, "--layers", "bn1,maxpool", "--output", out);
    json_t *alone = cli_json("physiology", model, "--layers", "maxpool");
    a = json_array_get(json_object_get(both, "results"), 0);
    b = json_array_get(json_object_get(both, "results"), 1);
    assert_true(json_is_true(json_object_get(a, "loaded")));
    assert_true(json_is_false(json_object_get(b, "loaded")));
    assert_true(json_equal(b, json_array_get(json_object_get(alone, "results"), 0)));
    json_decref(both);
    json_decref(alone);

    /* a layer that answers to nothing does not end a run over several */
    char silent[4300];
    vt_tensor_map *map;
    snprintf(silent, sizeof silent, "%s/silent.safetensors", folder);
    assert_ok(vt_safetensors_read(&map, model));
    const vt_tensor *weights = vt_tensor_map_find(map, "conv1.weight");
    memset(weights->data, 0, vt_tensor_bytes(weights));
    assert_ok(vt_safetensors_write(map, silent));
    vt_tensor_map_free(map);
    for (int run = 0; run < 2; run++) { /* recorded, then loaded */
        char *table =
            cli_output_of(cli_run("physiology", model, silent, "--layers", "bn1", "--output", out));
        if (!strstr(table, "silent bn1: ")) fail_msg("no reason in\n%s", table);
        free(table);
    }
    assert_in_file(cli_join(out, "index.html"), "silent, bn1 was not measured: ");
    assert_in_file(cli_join(out, "resnet18_baseline.bn1/index.html"), "resnet18_baseline, bn1");
    assert_int_equal(-1, access(cli_join(out, "silent.bn1/index.html"), F_OK));
    cli_fails("silent, bn1", "gratings", "physiology", silent, "--layers", "bn1", "--output", out);

    /* of receptive fields something is missing */
    assert_ok(vt_npz_read(&map, kept));
    vt_tensor *positions = (vt_tensor *)vt_tensor_map_find(map, "unit.map");
    positions->size[1] /= 3;
    assert_ok(vt_npz_write(map, kept));
    vt_tensor_map_free(map);
    cli_fails("unit.map", kept, "physiology", model, "--layers", "bn1", "--output", out);

    /* another file in its place is not overwritten */
    assert_ok(vt_file_write(kept, "PK", 2));
    cli_fails("bn1", kept, "physiology", model, "--layers", "bn1", "--output", out);
    cli_fails("nowhere", "resnet18_baseline", "physiology", model, "--layers", "nowhere");
    cli_fails("bn1 twice", "names", "physiology", model, model, "--layers", "bn1");
    cli_fails("--layers", "between commas", "physiology", model, "--layers", "bn1,");

    /* of several models all layers are there before any is recorded */
    const char *other = TEST_SOURCE_DIR "/assets/resnet18_composite_a_described.safetensors";
    cli_fails("resnet18_baseline", "layer1.0.dn", "physiology", other, model, "--layers",
              "layer1.0.dn", "--output", out);
    assert_int_equal(-1,
                     access(cli_join(out, "resnet18_composite_a_described.layer1.0.dn.npz"), F_OK));

    /* models of the same name are told apart by their folders */
    char twin[4200], *table;
    snprintf(twin, sizeof twin, "%s/twin", folder);
    assert_ok(vt_folder_make(twin));
    snprintf(twin, sizeof twin, "%s/twin/silent.safetensors", folder);
    assert_int_equal(0, link(silent, twin));
    table = cli_output_of(cli_run("physiology", silent, twin, "--layers", "bn1", "--output", out));
    if (!strstr(table, "twin/silent bn1: ")) fail_msg("no folder in\n%s", table);
    free(table);
    assert_int_equal(0, access(cli_join(out, "twin_silent.bn1.npz"), R_OK));
}

/* Textures of a model's layer are measured, and marked in table, JSON, page and file; others are
 * other results. */
/* The last column, `textures`, says where they come from in every row of a property of textures,
 * and of a unit, which has them all. */
static void check_marks(const char *path, const char *origin)
{
    void *text;
    size_t size;
    int rows = 0, marked = 0, expected = 0;
    assert_ok(vt_file_read(&text, &size, path));
    for (char *line = text, *end; *line; line = end + 1, rows++) {
        assert_non_null(end = strchr(line, '\n'));
        *end = '\0';
        const char *last = strrchr(line, ',') + 1;
        bool units = strncmp(text, "model,layer,unit,", 17) == 0;
        if (rows == 0) assert_string_equal("textures", last);
        if (rows > 0 && (units || strstr(line, ",freemanziemba2013,"))) {
            expected++;
            assert_string_equal(origin, last);
        }
        marked += strcmp(origin, last) == 0;
    }
    assert_true(rows > 1 && expected > 0);
    assert_int_equal(expected, marked);
    free(text);
}

static void test_textures(void **state)
{
    (void)state;
    const char *model = TEST_SOURCE_DIR "/assets/resnet18_baseline.safetensors";
    char out[4200], photographs[4200], textures[4200], list[4300];
    static const char origin[] = "synthesised from 2 photographs of images.zip";
    if (system("gnuplot --version >/dev/null 2>&1") != 0) {
        print_message("skipped: no gnuplot\n");
        skip();
    }
    snprintf(out, sizeof out, "%s/textures_out", folder);
    snprintf(photographs, sizeof photographs, "%s/photographs", folder);
    snprintf(textures, sizeof textures, "%s/textures", folder);
    snprintf(list, sizeof list, "%s/textures.csv", textures);
    cli_ok("stimuli", "size", "-o", photographs, "-r", "200:202", "--degrees", "1", "-s", "40");
    cli_ok("stimuli", "textures", "-o", textures, "-p", cli_join(photographs, "images.zip"), "-n",
           "2", "-s", "32", "--scales", "2", "--iterations", "2");
    json_t *root =
        cli_json("physiology", model, "--layers", "bn1", "--output", out, "--textures", textures);
    json_t *a = json_array_get(json_object_get(root, "results"), 0);
    assert_string_equal(origin, json_string_value(json_object_get(a, "textures")));
    size_t i;
    json_t *property;
    bool measured = false;
    json_array_foreach(
        json_object_get(a, "properties"), i,
        property) if (strcmp(json_string_value(json_object_get(property, "property")),
                             "max_texture") == 0) measured =
        json_is_true(json_object_get(property, "measured"));
    assert_true(measured);
    json_decref(root);
    assert_in_file(cli_join(out, "index.html"), origin);
    check_marks(cli_join(out, "scores.csv"), origin);
    check_marks(cli_join(out, "units.csv"), origin);
    vt_tensor_map *map;
    assert_ok(vt_npz_read(&map, cli_join(out, "resnet18_baseline.bn1.npz")));
    assert_string_equal(origin, vt_tensor_map_get_text(map, "textures"));
    vt_tensor_map_free(map);

    /* once more, from the file */
    char *text = cli_output_of(
        cli_run("physiology", model, "--layers", "bn1", "--output", out, "--textures", textures));
    assert_non_null(strstr(text, origin));
    free(text);
    cli_fails("nowhere", "No such file", "physiology", model, "--textures", "nowhere");
    cli_misused("--textures", "physiology", "--responses", "x.npz", "--textures", textures);
}

static void test_misuse(void **state)
{
    (void)state;
    const char *none = cli_join(folder, "none.npz"), *csv = cli_join(folder, "other.csv");
    cli_check_command("physiology", "--responses", true);
    assert_ok(vt_file_write(csv, "a\n1\n", 4));
    cli_fails(none, "No such file", "physiology", "--responses", none);
    cli_fails("other.csv", "circular_variance", "physiology", "--responses", responses(true),
              "--reference", csv);
    vt_tensor_map *map;
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(vt_npz_write(map, none));
    vt_tensor_map_free(map);
    cli_fails(none, "baseline", "physiology", "--responses", none);
    cli_misused("either", "physiology", "model.pt", "--responses", none);
    cli_misused("--layers", "physiology", "--layers", "layer1", "--responses", none);
}

/* The scores of the reference neurons are those that the library gives. */
static void test_golden(void **state)
{
    (void)state;
    need_shared(path, "golden/physiology/properties.npz");
    json_t *root = cli_json("physiology", "--responses", path);
    json_t *result = json_array_get(json_object_get(root, "results"), 0);
    assert_int_equal(40, number(result, "neurons"));
    json_t *p = property_of(result, "texture_modulation_index");
    assert_int_equal(38, number(p, "units"));
    assert_true(json_is_null(json_object_get(p, "score")));
    assert_in_range(1000 * number(property_of(result, "peak_spatial_frequency"), "score"), 900,
                    950);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),     cmocka_unit_test(test_references),
        cmocka_unit_test(test_page),     cmocka_unit_test(test_models),
        cmocka_unit_test(test_textures), cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
