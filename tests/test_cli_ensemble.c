/* ventral ensemble: what it writes and reports, what it refuses, and that killed runs end the same.
 */
#include "cli.h"

#include "ventral/ensemble.h"
#include "ventral/rng.h"

enum { IMAGES = 40, KILLED_RUNS = TEST_SANITIZED ? 1 : 4, MOST_KILLS = 4 };

/* One folder for all tests: sessions "a" and "b", and what is made of them. */
static char root[4096];
static const char *rec, *out, *whole;
static double whole_seconds;

#define ENSEMBLE(output, members)                                                                  \
    "ensemble", "-R", rec, "-s", "a,b", "-o", output, "-m", members, "--stem", "4,4",              \
        "--channels", "8", "--blocks", "1", "-e", "2", "-b", "8", "--threads", "2"

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    rec = strdup(cli_join(root, "rec"));
    out = strdup(cli_join(root, "out.safetensors"));
    whole = strdup(cli_join(root, "whole.safetensors"));
    cli_write_recording(rec, &(cli_recording){.id = "a", .images = IMAGES, .neurons = 3});
    cli_write_recording(rec, &(cli_recording){.id = "b", .images = IMAGES, .neurons = 2});
    cli_result r = cli_run(ENSEMBLE(whole, "2"));
    whole_seconds = r.seconds;
    free(cli_output_of(r));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)rec);
    free((void *)out);
    free((void *)whole);
    return 0;
}

static void test_common(void **state)
{
    (void)state;
    cli_check_command("ensemble", "--members", true);
    cli_misused("are needed", "ensemble", "-R", rec, "-s", "a");
    cli_misused("no operands", ENSEMBLE(out, "1"), "a");
    cli_misused("--members 0", ENSEMBLE(out, "0"));
    cli_misused("1 to 64", ENSEMBLE(out, "65"));
    cli_misused("both or neither", ENSEMBLE(out, "1"), "--front", whole);
    cli_misused("both or neither", ENSEMBLE(out, "1"), "--tap", "layer1");
    cli_misused("--stem", ENSEMBLE(out, "1"), "--front", whole, "--tap", "layer1");
    cli_misused("--core", ENSEMBLE(out, "1"), "--core", whole);
    cli_misused("--cache", ENSEMBLE(out, "1"), "--cache", whole);
    cli_misused("--training 'alone'", ENSEMBLE(out, "1"), "--training", "alone");
    cli_misused("--blur", ENSEMBLE(out, "1"), "--training", "paper", "--blur", "0.5");
    cli_misused("--training", "ensemble", "-R", rec, "-s", "a", "-o", out, "--core", whole,
                "--training", "joint");
}

static void test_report(void **state)
{
    (void)state;
    const char *output;
    int neurons, images, parameters;
    json_t *members, *r = cli_json(ENSEMBLE(out, "2"), "--validate", "b:first");
    assert_int_equal(0, json_unpack(r, "{s:s, s:i, s:i, s:i, s:o}", "output", &output, "neurons",
                                    &neurons, "images", &images, "parameters", &parameters,
                                    "members", &members));
    assert_string_equal(out, output);
    assert_int_equal(5, neurons);
    assert_int_equal(2 * IMAGES, images);
    assert_int_equal(2, json_array_size(members));
    for (size_t i = 0; i < 2; i++) {
        json_t *member = json_array_get(members, i);
        assert_int_equal(2, json_integer_value(json_object_get(member, "epochs")));
        assert_true(json_is_real(json_object_get(member, "validation")));
        assert_int_equal(2, json_array_size(json_object_get(member, "history")));
    }
    json_decref(r);
    vt_model *model;
    assert_ok(vt_model_read(&model, out));
    assert_int_equal(parameters, vt_model_parameters(model));
    assert_int_equal(2, vt_model_session_count(model));
    vt_model_free(model);
    cli_assert_only(root, ";rec;out.safetensors;whole.safetensors;");
    char *text = cli_output_of(cli_run("info", out));
    assert_non_null(strstr(text, "ensemble"));
    assert_non_null(strstr(text, "members     2"));
    free(text);
    r = cli_json("info", out);
    assert_int_equal(2, json_integer_value(json_object_get(r, "members")));
    json_decref(r);
    cli_ok("score", out, "-R", rec, "-s", "b");
    unlink(out);
}

static void test_readout_of_a_session(void **state)
{
    (void)state;
    json_t *r = cli_json("ensemble", "--core", whole, "-R", rec, "-s", "b:first", "-o", out);
    assert_int_equal(2, json_integer_value(json_object_get(r, "neurons")));
    json_decref(r);
    vt_model *model;
    vt_ensemble_options o;
    assert_ok(vt_model_read(&model, out));
    assert_ok(vt_model_ensemble_options(model, &o));
    assert_int_equal(2, o.members);
    assert_string_equal("b", vt_model_session_at(model, 0)->id);
    vt_model_free(model);
    cli_ok("score", out, "-R", rec, "-s", "b", "--half", "second");
    cli_ok("predict", out, "--tap", "member1", "--images", cli_join(rec, "images/images_b.zip"),
           "-o", cli_join(root, "p.npy"));
    unlink(cli_join(root, "p.npy"));
    unlink(out);
    cli_ok("ensemble", "-c", whole, "-R", rec, "-s", "b:first", "-o", out, "--readout", "ridge");
    cli_ok("score", out, "-R", rec, "-s", "b", "--half", "second");
    r = cli_json("info", out);
    assert_int_equal(2, json_integer_value(json_object_get(r, "outputs")));
    json_decref(r);
    unlink(out);
    cli_misused("there are ridge and factorized", "ensemble", "-c", whole, "-R", rec, "-s", "b",
                "-o", out, "--readout", "lasso");
    cli_misused("--readout", ENSEMBLE(out, "1"), "--readout", "ridge");
    cli_misused("one session at a time", "ensemble", "-c", whole, "-R", rec, "-s", "a,b", "-o",
                out);
}

static void test_front_end(void **state)
{
    (void)state;
    const char *front = cli_join(root, "front.safetensors");
    cli_write_model(front, "a", 3, 1);
    cli_ok("ensemble", "-R", rec, "-s", "a", "-o", out, "-m", "1", "--front", front, "--tap",
           "layer1_act", "--channels", "4", "--blocks", "1", "-e", "1", "-b", "8");
    cli_fails("nowhere", "front.safetensors", "ensemble", "-R", rec, "-s", "a", "-o", whole,
              "--front", front, "--tap", "nowhere");
    const char *kept = cli_join(root, "features"), *again = cli_join(root, "again.safetensors");
    for (int i = 0; i < 2; i++) { /* made, and found */
        cli_ok("ensemble", "-R", rec, "-s", "a", "-o", again, "-m", "1", "--front", front, "--tap",
               "layer1_act", "--channels", "4", "--blocks", "1", "-e", "1", "-b", "8", "--cache",
               kept);
        cli_assert_same_file(out, again);
    }
    cli_write_model(front, "a", 3, 2);
    cli_fails("features", "front.safetensors", "ensemble", "-R", rec, "-s", "a", "-o", again, "-m",
              "1", "--front", front, "--tap", "layer1_act", "--cache", kept);
    unlink(kept);
    unlink(again);
    unlink(front); /* the file is whole */
    json_t *r = cli_json("info", out);
    assert_string_equal("layer1_act", json_string_value(json_object_get(r, "tap")));
    json_decref(r);
    cli_ok("score", out, "-R", rec, "-s", "a");
    unlink(out);
}

static void test_impossible_wishes(void **state)
{
    (void)state;
    cli_fails("session", "a, b", "ensemble", "-R", rec, "-s", "c", "-o", out);
    cli_fails("--stem", "two numbers", "ensemble", "-R", rec, "-s", "a", "-o", out, "--stem", "4");
    cli_fails("channels", "even", "ensemble", "-R", rec, "-s", "a", "-o", out, "--channels", "3");
    cli_fails("absent", "", "ensemble", "-c", cli_join(root, "absent"), "-R", rec, "-s", "a", "-o",
              out);
    cli_fails("nowhere/x", "No such file", ENSEMBLE(cli_join(root, "nowhere/x"), "1"));
    cli_assert_only(root, ";rec;whole.safetensors;");
}

/* Runs the command, killed at random times, until it ends as `expected`. */
static void check_kills(const char *const *args, const char *expected, int runs)
{
    vt_rng rng;
    int all = 0;
    vt_rng_init(&rng, (uint64_t)getpid(), VT_RNG_SPLIT, 0, 0);
    for (int run = 0; run < runs || all == 0; run++) {
        for (int kills = 0;; kills++, all++) {
            cli_how how = {.signal = kills < MOST_KILLS ? SIGKILL : 0,
                           .signal_after = whole_seconds * 1.2 * vt_rng_uniform(&rng)};
            cli_result r = cli_run_how(args, &how);
            if (r.signal != SIGKILL) {
                free(cli_output_of(r));
                break;
            }
            cli_free(&r);
            if (access(out, F_OK) == 0) cli_assert_same_file(expected, out); /* whole or absent */
        }
        cli_assert_same_file(expected, out);
        unlink(out);
        if (all == 0) whole_seconds /= 2;
    }
    print_message("%d kills\n", all);
}

static void test_killed_runs_end_the_same(void **state)
{
    (void)state;
    check_kills((const char *const[]){"ventral", ENSEMBLE(out, "2"), NULL}, whole, KILLED_RUNS);
    cli_assert_only(root, ";rec;whole.safetensors;");
}

/* Ctrl-C names a checkpoint that is there. */
static void test_interrupted(void **state)
{
    (void)state;
    char first[4200];
    snprintf(first, sizeof first, "%s.checkpoint.0", out);
    cli_assert_fails(cli_run_how((const char *const[]){"ventral", ENSEMBLE(out, "2"), "--epochs",
                                                       "100000", NULL},
                                 &(cli_how){.signal = SIGINT, .signal_when = first}),
                     1, first, "goes on");
    assert_int_equal(0, unlink(first));
    cli_assert_only(root, ";rec;whole.safetensors;");
}

/* One session at a time: what is reported, that readouts come after, and killed runs. */
static void test_paper(void **state)
{
    (void)state;
    const char *core = cli_join(root, "core.safetensors");
    json_t *r = cli_json(ENSEMBLE(core, "2"), "--training", "paper", "--validate", "b:first");
    json_t *members = json_object_get(r, "members"), *first = json_array_get(members, 0);
    json_t *history = json_object_get(first, "history"), *last = json_array_get(history, 3);
    assert_int_equal(4, json_integer_value(json_object_get(first, "visits")));
    assert_true(json_integer_value(json_object_get(first, "best_visit")) >= 1);
    assert_int_equal(4, json_array_size(history));
    assert_int_equal(4, json_integer_value(json_object_get(last, "visit")));
    assert_int_equal(2, json_integer_value(json_object_get(last, "passes")));
    const char *session = json_string_value(json_object_get(last, "session"));
    assert_true(strcmp(session, "a") == 0 || strcmp(session, "b") == 0);
    json_decref(r);
    unlink(core);
    char *text = cli_output_of(cli_run(ENSEMBLE(core, "2"), "--training", "paper"));
    if (!strstr(text, "none kept") || !strstr(text, "visit kept")) fail_msg("%s", text);
    free(text);
    check_kills((const char *const[]){"ventral", ENSEMBLE(out, "2"), "--training", "paper", NULL},
                core, 1);
    cli_fails("core.safetensors", "no neurons", "predict", core, "--images",
              cli_join(rec, "images/images_b.zip"), "-o", out);
    cli_fails("core.safetensors", "0 outputs", "score", core, "-R", rec, "-s", "b");
    cli_ok("ensemble", "--core", core, "-R", rec, "-s", "b:first", "-o", out);
    cli_ok("score", out, "-R", rec, "-s", "b", "--half", "second");
    unlink(out);
    unlink(core);
    cli_assert_only(root, ";rec;whole.safetensors;");
}

/* Finished members are taken; those of other options, and damaged ones, are refused. */
static void test_checkpoints(void **state)
{
    (void)state;
    const char *last = cli_join(root, "out.safetensors.checkpoint.1");
    void *data;
    size_t size;
    cli_ok(ENSEMBLE(out, "2"), "--keep-checkpoint");
    json_t *r = cli_json(ENSEMBLE(out, "2"), "--keep-checkpoint");
    json_t *members = json_object_get(r, "members");
    assert_true(json_is_true(json_object_get(json_array_get(members, 1), "resumed")));
    json_decref(r);
    cli_assert_same_file(whole, out);
    cli_fails("out.safetensors.checkpoint.0", "other options", ENSEMBLE(out, "2"), "--rate", "0.1");
    assert_ok(vt_file_read(&data, &size, last));
    assert_ok(vt_file_write(last, data, size / 2));
    free(data);
    cli_fails(last, "", ENSEMBLE(out, "2"));
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "out.safetensors.checkpoint.%d", i);
        unlink(cli_join(root, name));
    }
    unlink(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_readout_of_a_session),
        cmocka_unit_test(test_front_end),
        cmocka_unit_test(test_impossible_wishes),
        cmocka_unit_test(test_killed_runs_end_the_same),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_paper),
        cmocka_unit_test(test_checkpoints),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
