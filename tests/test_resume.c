/* A fit that is killed at any moment and run again ends in the same bytes as one that is not. */
#include "cli.h"

#include "ventral/rng.h"

enum { KILLED_RUNS = TEST_SANITIZED ? 3 : 10, MOST_KILLS = 4 };

/* The recordings, the file an uninterrupted fit made, and how long it took. */
static char root[4096];
static const char *rec, *whole;
static double whole_seconds;

#define FIT(output)                                                                                \
    "fit", "-R", rec, "-s", "a,b", "-o", output, "-f", "4,4,4,4,4", "-e", "3", "-b", "8",          \
        "--threads", "2"

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    rec = strdup(cli_join(root, "rec"));
    whole = strdup(cli_join(root, "whole.safetensors"));
    cli_write_recording(rec, &(cli_recording){.id = "a", .images = 60, .neurons = 3});
    cli_write_recording(rec, &(cli_recording){.id = "b", .images = 60, .neurons = 2});
    cli_result r = cli_run(FIT(whole));
    whole_seconds = r.seconds;
    free(cli_output_of(r));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)rec);
    free((void *)whole);
    return 0;
}

/* Runs the fit to its end, killing it up to MOST_KILLS times after random delays; the number of
 * kills. */
static int fit_under_fire(const char *output, vt_rng *rng)
{
    const char *const args[] = {"ventral", FIT(output), NULL};
    int kills = 0;
    for (;;) {
        cli_how how = {.signal = kills < MOST_KILLS ? SIGKILL : 0,
                       .signal_after = whole_seconds * 1.2 * vt_rng_uniform(rng)};
        cli_result r = cli_run_how(args, &how);
        if (r.signal != SIGKILL) {
            free(cli_output_of(r));
            return kills;
        }
        cli_free(&r);
        kills++;
        if (access(output, F_OK) == 0) cli_assert_same_file(whole, output); /* whole or absent */
    }
}

static void test_killed_runs_end_the_same(void **state)
{
    (void)state;
    vt_rng rng;
    int kills = 0;
    vt_rng_init(&rng, (uint64_t)getpid(), VT_RNG_SPLIT, 0, 0);
    for (int run = 0; run < KILLED_RUNS || kills == 0; run++) {
        char name[32];
        snprintf(name, sizeof name, "killed%d.safetensors", run);
        const char *output = cli_join(root, name);
        int before = kills;
        kills += fit_under_fire(output, &rng);
        cli_assert_same_file(whole, output);
        unlink(output);
        if (kills == before) whole_seconds /= 2; /* the machine was slower when it was measured */
    }
    print_message("%d kills in runs of %.2g s\n", kills, whole_seconds);
}

/* Ctrl-C: says how to go on, and the same command does. */
static void test_interrupt(void **state)
{
    (void)state;
    const char *output = cli_join(root, "interrupted.safetensors");
    const char *const args[] = {"ventral", FIT(output), "--json", NULL};
    const char *checkpoint = strdup(cli_join(root, "interrupted.safetensors.checkpoint"));
    for (int tries = 0; tries < 50; tries++) {
        cli_how how = {.signal = SIGINT, .signal_when = checkpoint}; /* after the first epoch */
        cli_result r = cli_run_how(args, &how);
        if (r.code == 0) { /* it was faster */
            cli_free(&r);
            unlink(output);
            continue;
        }
        cli_assert_fails(r, 1, "interrupted.safetensors.checkpoint", "the same command goes on");
        assert_int_not_equal(0, access(output, F_OK));
        json_t *report = cli_json(FIT(output));
        assert_true(json_is_true(json_object_get(report, "resumed")));
        json_decref(report);
        cli_assert_same_file(whole, output);
        assert_int_not_equal(0, access(checkpoint, F_OK));
        unlink(output);
        free((void *)checkpoint);
        return;
    }
    fail_msg("no interruption came in time");
}

/* A checkpoint that is cut short or of something else is refused, and stays where it is. */
static void test_bad_checkpoint(void **state)
{
    (void)state;
    void *data;
    size_t size;
    const char *output = cli_join(root, "kept.safetensors");
    const char *checkpoint = cli_join(root, "kept.safetensors.checkpoint");
    cli_ok(FIT(output), "--keep-checkpoint");
    cli_assert_same_file(whole, output);
    unlink(output);
    assert_ok(vt_file_read(&data, &size, checkpoint));
    const size_t keeps[] = {0, 5, 500, size / 2, size - 1};
    for (size_t i = 0; i < sizeof keeps / sizeof *keeps; i++) {
        assert_ok(vt_file_write(checkpoint, data, keeps[i]));
        cli_fails("kept.safetensors.checkpoint", "", FIT(output));
        assert_int_not_equal(0, access(output, F_OK));
        assert_int_equal(0, access(checkpoint, F_OK));
    }
    free(data);
    assert_ok(vt_file_write(checkpoint, "something else altogether", 25));
    cli_fails("kept.safetensors.checkpoint", "", FIT(output));
    cli_write_model(checkpoint, "a", 3, 1);
    cli_fails("kept.safetensors.checkpoint", "other options", FIT(output));
    unlink(checkpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_runs_end_the_same),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_bad_checkpoint),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
