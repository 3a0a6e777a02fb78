/* ventral score: tables, JSON, chosen neurons and images, and recordings that cannot be scored. */
#include "cli.h"

#include "ventral/score.h"

enum { IMAGES = 9, NEURONS = 3 };

/* One folder for all tests: recordings with sessions "a" (averaged) and "b" (raw too), models. */
static char root[4096];
static const char *rec, *one_of_a, *all_of_b, *untold;

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    rec = strdup(cli_join(root, "rec"));
    one_of_a = strdup(cli_join(root, "compact_model_a_neuron0.safetensors"));
    all_of_b = strdup(cli_join(root, "b.safetensors"));
    untold = strdup(cli_join(root, "untold.safetensors"));
    cli_write_recording(rec, &(cli_recording){.id = "a", .images = IMAGES, .neurons = NEURONS});
    cli_write_recording(
        rec, &(cli_recording){.id = "b", .images = IMAGES, .neurons = NEURONS, .repeats = 4});
    cli_write_model(one_of_a, "a", 1, 1);
    cli_write_model(all_of_b, "b", NEURONS, 2);
    cli_write_model(untold, NULL, NEURONS, 3);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)rec);
    free((void *)one_of_a);
    free((void *)all_of_b);
    free((void *)untold);
    return 0;
}

static void test_common(void **state)
{
    (void)state;
    cli_check_command("score", "--recordings", true);
    cli_misused("which model", "score", "-R", rec, "-s", "a");
    cli_misused("--recordings", "score", one_of_a, "-s", "a");
    cli_misused("not both", "score", one_of_a, "-R", rec, "-s", "a", "--half", "first", "-r",
                "0:3");
}

static double number(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("%s is no number", key);
    return json_number_value(value);
}

static void assert_interval(json_t *root_json, const char *key, double median)
{
    json_t *interval = json_object_get(root_json, key);
    assert_int_equal(2, json_array_size(interval));
    assert_true(json_number_value(json_array_get(interval, 0)) <= median);
    assert_true(json_number_value(json_array_get(interval, 1)) >= median);
}

static void test_json_of_raw(void **state)
{
    (void)state;
    json_t *r = cli_json("score", all_of_b, "-R", rec, "-s", "b"), *neuron;
    size_t index;
    double values[NEURONS];
    assert_string_equal("b", json_string_value(json_object_get(r, "session")));
    assert_int_equal(IMAGES, (int)number(r, "images"));
    json_t *neurons = json_object_get(r, "neurons");
    assert_int_equal(NEURONS, json_array_size(neurons));
    json_array_foreach(neurons, index, neuron)
    {
        assert_int_equal(index, (int)number(neuron, "neuron"));
        assert_string_equal(all_of_b, json_string_value(json_object_get(neuron, "model")));
        values[index] = number(neuron, "r");
        assert_close(number(neuron, "r2"), values[index] * values[index], 1e-8);
        assert_true(json_is_number(json_object_get(neuron, "r2_er")));
        number(neuron, "reliability");
    }
    assert_close(number(r, "median_r"), vt_median(values, NEURONS), 1e-9);
    assert_interval(r, "median_r_interval", number(r, "median_r"));
    assert_interval(r, "median_r2_interval", number(r, "median_r2"));
    assert_interval(r, "median_r2_er_interval", number(r, "median_r2_er"));
    json_decref(r);
}

static void test_json_of_averaged(void **state)
{
    (void)state;
    json_t *r = cli_json("score", one_of_a, "-R", rec, "-s", "a", "--half", "second");
    json_t *neuron = json_array_get(json_object_get(r, "neurons"), 0);
    assert_int_equal(IMAGES - IMAGES / 2, (int)number(r, "images"));
    assert_int_equal(1, json_array_size(json_object_get(r, "neurons")));
    assert_true(json_is_null(json_object_get(neuron, "r2_er")));
    assert_true(json_is_null(json_object_get(neuron, "reliability")));
    assert_true(json_is_null(json_object_get(r, "median_r2_er")));
    assert_close(number(r, "median_r"), number(neuron, "r"), 1e-12);
    json_decref(r);
}

/* The r that it prints is the correlation of what predict writes with the responses. */
static void test_r_is_the_correlation(void **state)
{
    (void)state;
    const char *out = cli_join(root, "out.npy");
    cli_ok("predict", all_of_b, "-i", cli_join(rec, "images/images_b.zip"), "-o", out, "-r", "2:8");
    json_t *r = cli_json("score", all_of_b, "-R", rec, "-s", "b", "-r", "2:8");
    vt_tensor predicted, recorded;
    assert_ok(vt_npy_read(&predicted, out));
    assert_ok(vt_npy_read(&recorded, cli_join(rec, "responses_repeat_averaged/responses_b.npy")));
    for (int i = 0; i < NEURONS; i++) {
        double a[6], b[6];
        for (int k = 0; k < 6; k++) {
            a[k] = vt_tensor_get(&predicted, 6 * i + k);
            b[k] = vt_tensor_get(&recorded, IMAGES * i + 2 + k);
        }
        json_t *neuron = json_array_get(json_object_get(r, "neurons"), (size_t)i);
        assert_close(number(neuron, "r"), vt_pearson(a, b, 6), 1e-6);
    }
    vt_tensor_free(&predicted);
    vt_tensor_free(&recorded);
    json_decref(r);
    unlink(out);
}

static void test_table_and_chosen_neurons(void **state)
{
    (void)state;
    char *text = cli_output_of(cli_run("score", untold, "-R", rec, "-s", "b", "-n", "0,2"));
    assert_non_null(strstr(text, "session b"));
    assert_non_null(strstr(text, "reliability"));
    assert_non_null(strstr(text, "\n     2 "));
    assert_null(strstr(text, "\n     1 "));
    free(text);
    text = cli_output_of(cli_run("score", one_of_a, "-R", rec, "-s", "a"));
    assert_null(strstr(text, "r2_er"));
    assert_non_null(strstr(text, "median r "));
    free(text);
}

static void test_same_seed_same_text(void **state)
{
    (void)state;
    char *a = cli_output_of(cli_run("score", all_of_b, "-R", rec, "-s", "b", "--seed", "5"));
    char *b = cli_output_of(cli_run("score", all_of_b, "-R", rec, "-s", "b", "--seed", "5"));
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static void test_impossible_wishes(void **state)
{
    (void)state;
    cli_fails("session", "a, b", "score", one_of_a, "-R", rec, "-s", "c");
    cli_fails(rec, "a, b", "score", one_of_a, "-R", rec);
    cli_fails("compact_model_a_neuron0", "session", "score", one_of_a, "-R", rec, "-s", "b");
    cli_fails("--neurons", "0 to 2", "score", all_of_b, "-R", rec, "-s", "b", "-n", "3");
    cli_fails("neuron 1", "no model", "score", one_of_a, "-R", rec, "-s", "a", "-n", "1");
    cli_fails("0:10", "9", "score", one_of_a, "-R", rec, "-s", "a", "-r", "0:10");
    cli_fails("third", "", "score", one_of_a, "-R", rec, "-s", "a", "--half", "third");
    cli_fails("absent", "", "score", one_of_a, "-R", cli_join(root, "absent"), "-s", "a");
    cli_fails("absent.pt", "No such file", "score", cli_join(root, "absent.pt"), "-R", rec, "-s",
              "a");
    cli_fails(root, "folder", "score", root, "-R", rec, "-s", "a");
}

/* A model whose neuron the session does not have, and one with too many neurons to be its. */
static void test_models_that_do_not_fit(void **state)
{
    (void)state;
    const char *path = cli_join(root, "beyond.safetensors");
    vt_model *model;
    vt_compact_options options = {.filters = {1, 1, 1, 1, 1}, .outputs = 1};
    assert_ok(vt_compact_new(&model, &options));
    assert_ok(vt_model_add_session(
        model, &(vt_model_session){.id = "a", .count = 1, .first_neuron = NEURONS}));
    assert_ok(vt_model_write(model, path));
    vt_model_free(model);
    cli_fails("beyond.safetensors", "neuron", "score", path, "-R", rec, "-s", "a");
    cli_write_model(path, NULL, NEURONS + 1, 1);
    cli_fails("beyond.safetensors", "outputs", "score", path, "-R", rec, "-s", "a");
    unlink(path);
}

/* ---- recordings that are not as they should be ---- */

/* A copy of session "a" under root/bad whose responses a test then spoils. */
static const char *spoilt(int64_t images, double value)
{
    static char bad[8192];
    snprintf(bad, sizeof bad, "%s/bad", root);
    remove_folder(bad);
    cli_write_recording(bad, &(cli_recording){.id = "a", .images = IMAGES, .neurons = NEURONS});
    vt_tensor t;
    assert_ok(vt_tensor_new(&t, VT_F64, 2, (int64_t[]){NEURONS, images}));
    for (int64_t i = 0; i < vt_tensor_count(&t); i++)
        ((double *)t.data)[i] = (double)(i % 5);
    ((double *)t.data)[4] = value;
    assert_ok(vt_npy_write(&t, cli_join(bad, "responses_repeat_averaged/responses_a.npy")));
    vt_tensor_free(&t);
    return bad;
}

static void test_spoilt_recordings(void **state)
{
    (void)state;
    const char *bad = spoilt(IMAGES, NAN);
    cli_fails("responses_a.npy", "NaN", "score", one_of_a, "-R", bad, "-s", "a");
    bad = spoilt(IMAGES, INFINITY);
    cli_fails("responses_a.npy", "", "score", one_of_a, "-R", bad, "-s", "a");
    bad = spoilt(IMAGES + 1, 1);
    cli_fails("a", "9", "score", one_of_a, "-R", bad, "-s", "a");
    bad = spoilt(IMAGES, 1);
    const char *responses = cli_join(bad, "responses_repeat_averaged/responses_a.npy");
    const char *zip = cli_join(bad, "images/images_a.zip");
    assert_int_equal(0, truncate(responses, 150));
    cli_fails("responses_a.npy", "", "score", one_of_a, "-R", bad, "-s", "a");
    assert_int_equal(0, truncate(responses, 0));
    cli_fails("responses_a.npy", "", "score", one_of_a, "-R", bad, "-s", "a");
    bad = spoilt(IMAGES, 1);
    assert_int_equal(0, truncate(zip, 1000));
    cli_fails("images_a.zip", "", "score", one_of_a, "-R", bad, "-s", "a");
    assert_int_equal(0, unlink(zip));
    cli_fails("images", "session a", "score", one_of_a, "-R", bad, "-s", "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_json_of_raw),
        cmocka_unit_test(test_json_of_averaged),
        cmocka_unit_test(test_r_is_the_correlation),
        cmocka_unit_test(test_table_and_chosen_neurons),
        cmocka_unit_test(test_same_seed_same_text),
        cmocka_unit_test(test_impossible_wishes),
        cmocka_unit_test(test_models_that_do_not_fit),
        cmocka_unit_test(test_spoilt_recordings),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
