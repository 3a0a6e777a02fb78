/* ventral predictivity: tables, JSON and CSV of layers, and what cannot be scored. */
#include "cli.h"

#include "ventral/resnet.h"

enum { IMAGES = 40, NEURONS = 4 };

static char root[4096];
static const char *rec, *model, *labels;

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    rec = strdup(cli_join(root, "rec"));
    model = strdup(cli_join(root, "net.safetensors"));
    labels = strdup(cli_join(root, "labels.txt"));
    cli_write_recording(
        rec, &(cli_recording){
                 .id = "a", .images = IMAGES, .neurons = NEURONS, .repeats = 4, .size = 32});
    cli_write_recording(
        rec, &(cli_recording){.id = "b", .images = IMAGES, .neurons = NEURONS, .size = 32});
    vt_resnet_options options = {.depth = 18, .width = 0.125, .classes = 5, .image = 32, .seed = 3};
    vt_model *network;
    assert_ok(vt_resnet_new(&network, &options));
    assert_ok(vt_model_write(network, model));
    vt_model_free(network);
    FILE *file = fopen(labels, "w");
    assert_non_null(file);
    for (int i = 0; i < IMAGES; i++)
        fprintf(file, "%s\r\n", i % 2 ? "texture" : "noise");
    fclose(file);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)rec);
    free((void *)model);
    free((void *)labels);
    return 0;
}

static double number(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("%s is no number", key);
    return json_number_value(value);
}

static void test_misuse(void **state)
{
    (void)state;
    cli_check_command("predictivity", "--all-layers", true);
    cli_misused("one model", "predictivity", "-R", rec, "-s", "a", "-a");
    cli_misused("either --recordings or", "predictivity", model, "-s", "a", "-a");
    cli_misused("go together", "predictivity", model, "-A", "a.nc", "-a");
    cli_misused("either --recordings or", "predictivity", model, "-A", "a.nc", "-i", "x", "-R", rec,
                "-a");
    cli_misused("either --layers or", "predictivity", model, "-R", rec, "-s", "a");
    cli_misused("either --layers or", "predictivity", model, "-R", rec, "-s", "a", "-a", "-l",
                "fc");
    cli_misused("at least 1", "predictivity", model, "-R", rec, "-s", "a", "-a", "--splits", "0");
    cli_fails("layers", "between commas", "predictivity", model, "-R", rec, "-s", "a", "-l", "fc,");
    cli_fails("layer8", "it has", "predictivity", model, "-R", rec, "-s", "a", "-l", "layer8",
              "--components", "5");
    cli_fails("formula", "2023", "predictivity", model, "-R", rec, "-s", "a", "-l", "fc",
              "--formula", "old");
    cli_fails("regression", "ridge", "predictivity", model, "-R", rec, "-s", "a", "-l", "fc",
              "--regression", "lasso");
    cli_fails("36 for training", "too few for 36", "predictivity", model, "-R", rec, "-s", "a",
              "-l", "fc", "--components", "36");
}

static void test_json_and_csv(void **state)
{
    (void)state;
    const char *csv = cli_join(root, "table.csv");
    json_t *r = cli_json("predictivity", model, "-R", rec, "-s", "a", "-l", "layer1,fc,layer1",
                         "--components", "5", "--formula", "2023", "--labels", labels, "-o", csv);
    json_t *table = json_object_get(r, "layers"), *layer;
    size_t index;
    double best = -INFINITY, ceiling = number(r, "ceiling");
    const char *best_name = "";
    assert_string_equal("a", json_string_value(json_object_get(r, "session")));
    assert_string_equal("2023", json_string_value(json_object_get(r, "formula")));
    assert_string_equal("pls", json_string_value(json_object_get(r, "regression")));
    assert_int_equal(36, (int)number(r, "training"));
    assert_int_equal(4, (int)number(r, "testing"));
    assert_int_equal(NEURONS, json_array_size(json_object_get(r, "ceilings")));
    assert_int_equal(3, json_array_size(table));
    json_array_foreach(table, index, layer)
    {
        double value = number(layer, "r");
        assert_close(number(layer, "predictivity"), value / ceiling * value / ceiling, 1e-8);
        assert_int_equal(NEURONS, json_array_size(json_object_get(layer, "neurons")));
        if (value > best) {
            best = value;
            best_name = json_string_value(json_object_get(layer, "layer"));
        }
    }
    assert_string_equal(best_name, json_string_value(json_object_get(r, "best")));
    assert_close(number(json_array_get(table, 0), "r"), number(json_array_get(table, 2), "r"), 0);
    void *text;
    size_t size;
    assert_ok(vt_file_read(&text, &size, csv));
    assert_int_equal(
        0, strncmp(text, "layer,features,r,r_sd,ceiling,predictivity,best\nlayer1,512,", 59));
    free(text);
    json_decref(r);
}

static void test_table(void **state)
{
    (void)state;
    cli_result r = cli_run("predictivity", model, "-R", rec, "-s", "b", "--all-layers",
                           "--components", "3", "--splits", "2", "--seed", "5");
    assert_int_equal(0, r.code);
    assert_non_null(strstr(r.out, "no ceiling"));
    assert_non_null(strstr(r.out, "layer4.1.relu"));
    assert_non_null(strstr(r.out, "  best\n"));
    cli_free(&r);
}

static void test_bad_labels(void **state)
{
    (void)state;
    const char *bad = cli_join(root, "bad.txt");
    static const char *const texts[] = {"a\nb\n", ""};
    for (int i = 0; i < 2; i++) {
        assert_ok(vt_file_write(bad, texts[i], strlen(texts[i])));
        cli_fails("bad.txt", "fewer lines than the 40 images", "predictivity", model, "-R", rec,
                  "-s", "a", "-l", "fc", "--components", "3", "--labels", bad);
    }
    char many[2 * IMAGES + 3];
    for (int i = 0; i <= IMAGES; i++)
        memcpy(many + 2 * i, "x\n", 3);
    assert_ok(vt_file_write(bad, many, 2 * IMAGES + 2));
    cli_fails("bad.txt", "more lines", "predictivity", model, "-R", rec, "-s", "a", "-l", "fc",
              "--components", "3", "--labels", bad);
    cli_fails("none.txt", "", "predictivity", model, "-R", rec, "-s", "a", "-l", "fc",
              "--components", "3", "--labels", cli_join(root, "none.txt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_json_and_csv),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_bad_labels),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
