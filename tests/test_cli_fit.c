/* ventral fit: what it writes and reports, and what it refuses. */
#include "cli.h"

enum { IMAGES = 24, NEURONS = 3 };

/* One folder for all tests: sessions "a" and "b", and what is fitted. */
static char root[4096];
static const char *rec, *out;

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    rec = strdup(cli_join(root, "rec"));
    out = strdup(cli_join(root, "fitted.safetensors"));
    cli_write_recording(rec, &(cli_recording){.id = "a", .images = IMAGES, .neurons = NEURONS});
    cli_write_recording(
        rec, &(cli_recording){.id = "b", .images = IMAGES, .neurons = NEURONS, .repeats = 2});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)rec);
    free((void *)out);
    return 0;
}

#define FIT_OF(recordings, sessions, output, filters)                                              \
    "fit", "-R", recordings, "-s", sessions, "-o", output, "-f", filters, "-e", "2", "-b", "8",    \
        "--threads", "2"
#define FIT(sessions) FIT_OF(rec, sessions, out, "2,2,2,2,2")

static void test_common(void **state)
{
    (void)state;
    cli_check_command("fit", "--sessions", true);
    cli_misused("are needed", "fit", "-R", rec, "-s", "a");
    cli_misused("are needed", "fit", "-R", rec, "-o", out);
    cli_misused("are needed", "fit", "-s", "a", "-o", out);
    cli_misused("are needed", "fit", "-s", "a", "-s", "b", "--sessions", "a"); /* none is lost */
    cli_misused("no operands", FIT("a"), "a");
    cli_misused("--epochs", FIT("a"), "--epochs", "many");
}

static void test_two_sessions(void **state)
{
    (void)state;
    json_t *r = cli_json(FIT("a:first,b"));
    const char *output;
    int neurons, images, parameters, epochs, best, resumed;
    assert_int_equal(0,
                     json_unpack(r, "{s:s, s:i, s:i, s:i, s:i, s:i, s:b}", "output", &output,
                                 "neurons", &neurons, "images", &images, "parameters", &parameters,
                                 "epochs", &epochs, "best_epoch", &best, "resumed", &resumed));
    assert_string_equal(out, output);
    assert_int_equal(2 * NEURONS, neurons);
    assert_int_equal(IMAGES / 2 + IMAGES, images);
    assert_int_equal(2, epochs);
    assert_int_equal(2, best);
    assert_false(resumed);
    json_t *last = json_array_get(json_object_get(r, "history"), 1);
    assert_int_equal(2, json_integer_value(json_object_get(last, "epoch")));
    assert_true(json_is_real(json_object_get(last, "loss")));
    assert_true(json_is_null(json_object_get(last, "validation")));
    json_decref(r);
    cli_assert_only(root, ";rec;fitted.safetensors;");
    vt_model *model;
    assert_ok(vt_model_read(&model, out));
    assert_int_equal(parameters, vt_model_parameters(model));
    assert_int_equal(2, vt_model_session_count(model));
    assert_string_equal("b", vt_model_session_at(model, 1)->id);
    assert_int_equal(NEURONS, vt_model_session_at(model, 1)->first);
    vt_model_free(model);
    cli_ok("score", out, "-R", rec, "-s", "b");
    unlink(out);
}

static void test_validation_and_kept_checkpoint(void **state)
{
    (void)state;
    char *text = cli_output_of(cli_run(FIT("a"), "--validate", "b", "--keep-checkpoint"));
    assert_non_null(strstr(text, "validation r"));
    assert_non_null(strstr(text, "3 neurons"));
    free(text);
    cli_assert_only(root, ";rec;fitted.safetensors;fitted.safetensors.checkpoint;");
    const char *checkpoint = cli_join(root, "fitted.safetensors.checkpoint");
    unlink(out);
    /* A finished checkpoint gives the model without training; another run's is refused. */
    json_t *r = cli_json(FIT("a"), "--validate", "b", "--keep-checkpoint");
    assert_true(json_is_true(json_object_get(r, "resumed")));
    json_decref(r);
    unlink(out);
    cli_fails(checkpoint, "other options", FIT("a"));
    cli_fails(checkpoint, "other options", FIT("a"), "--validate", "b", "--seed", "1");
    cli_fails(checkpoint, "other options", FIT("a"), "--validate", "b", "--rate", "0.001");
    cli_fails(checkpoint, "other options", FIT("b"), "--validate", "a");
    cli_assert_only(root, ";rec;fitted.safetensors.checkpoint;");
    unlink(checkpoint);
}

static void test_impossible_wishes(void **state)
{
    (void)state;
    cli_fails("session", "a, b", FIT("c"));
    cli_fails("session a", "twice", FIT("a,a"));
    cli_fails("99", "24", FIT("a:0:99"));
    cli_fails("':first'", "session", FIT(":first"));
    cli_fails("absent", "", FIT_OF(cli_join(root, "absent"), "a", out, "2,2,2,2,2"));
    cli_fails("--filters", "five numbers", FIT_OF(rec, "a", out, "1,2"));
    cli_fails("filters", "", FIT_OF(rec, "a", out, "0,2,2,2,2"));
    cli_fails("epochs", "-1", FIT("a"), "--epochs", "-1");
    cli_fails("rate", "negative", FIT("a"), "--rate", "-1");
    cli_fails("session", "c", FIT("a"), "--validate", "c");
    cli_assert_only(root, ";rec;");
}

static void test_unwritable(void **state)
{
    (void)state;
    cli_fails("nowhere/x", "No such file",
              FIT_OF(rec, "a", cli_join(root, "nowhere/x"), "2,2,2,2,2"));
    cli_fails(rec, "folder", FIT_OF(rec, "a", rec, "2,2,2,2,2"));
    cli_how how = {.largest_file = 500};
    const char *const args[] = {"ventral", FIT("a"), NULL};
    cli_assert_fails(cli_run_how(args, &how), 1, "fitted.safetensors", "File too large");
    cli_assert_only(root, ";rec;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_two_sessions),
        cmocka_unit_test(test_validation_and_kept_checkpoint),
        cmocka_unit_test(test_impossible_wishes),
        cmocka_unit_test(test_unwritable),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
