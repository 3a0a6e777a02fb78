/* A distillation that is killed at any moment and run again ends in the same bytes as one that is
 * not: students and course. */
#include "cli.h"
#include "ventral/rng.h"

enum { KILLED_RUNS = TEST_SANITIZED ? 1 : 2, MOST_KILLS = 3 };

static char root[4096];
static const char *teacher;

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    teacher = strdup(cli_join(root, "teacher.safetensors"));
    cli_write_model(teacher, "a", 2, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)teacher);
    return 0;
}

#define IN(name) cli_join(root, name)

static cli_result distill(const char *folder, const cli_how *how)
{
    const char *const args[] = {
        "ventral",  "distill",   "-t", teacher,     "--generate", "24", "-o",        folder,
        "--cosine", "-p",        "4",  "-b",        "8",          "-f", "2,2,2,2,2", "-r",
        "0.01",     "--threads", "2",  "--stretch", "16",         NULL};
    return cli_run_how(args, how);
}

static void assert_same_run(const char *a, const char *b)
{
    static const char *const names[] = {"a_neuron0.safetensors", "a_neuron1.safetensors",
                                        "distill.csv"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cli_assert_same_file(cli_join(a, names[i]), cli_join(b, names[i]));
}

/* The number of times a run had to be killed before it came to its end. */
static int distill_under_fire(const char *folder, double seconds, vt_rng *rng)
{
    for (int kills = 0;; kills++) {
        cli_how how = {.signal = kills < MOST_KILLS ? SIGKILL : 0,
                       .signal_after = seconds * 1.2 * vt_rng_uniform(rng)};
        cli_result r = distill(folder, &how);
        if (r.signal != SIGKILL) {
            free(cli_output_of(r));
            return kills;
        }
        cli_free(&r);
    }
}

static void test_killed_runs_end_the_same(void **state)
{
    (void)state;
    vt_rng rng;
    int kills = 0;
    cli_result r = distill(IN("whole"), &(cli_how){.signal = 0});
    double seconds = r.seconds;
    free(cli_output_of(r));
    vt_rng_init(&rng, (uint64_t)getpid(), VT_RNG_SPLIT, 0, 0);
    for (int run = 0; run < KILLED_RUNS || kills == 0; run++) {
        char killed[4200];
        snprintf(killed, sizeof killed, "%s/killed%d", root, run);
        int before = kills;
        kills += distill_under_fire(killed, seconds, &rng);
        assert_same_run(IN("whole"), killed);
        assert_int_not_equal(0, access(cli_join(killed, "checkpoint.safetensors"), F_OK));
        if (kills == before) seconds /= 2; /* the machine was slower when they were measured */
    }
    print_message("%d kills in runs of %.2g s\n", kills, seconds);
}

/* Ctrl-C: says how to go on, and the same command does. */
static void test_interrupt(void **state)
{
    (void)state;
    char folder[4120], checkpoint[4200];
    snprintf(folder, sizeof folder, "%s/interrupted", root);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.safetensors", folder);
    free(cli_output_of(distill(IN("calm"), &(cli_how){.signal = 0})));
    for (int tries = 0; tries < 50; tries++) {
        cli_result r = distill(folder, &(cli_how){.signal = SIGINT, .signal_when = checkpoint});
        if (r.code == 0) { /* it was faster */
            cli_free(&r);
            remove_folder(folder);
            continue;
        }
        cli_assert_fails(r, 1, "interrupted/checkpoint.safetensors", "the same command goes on");
        free(cli_output_of(distill(folder, &(cli_how){.signal = 0})));
        assert_same_run(IN("calm"), folder);
        return;
    }
    fail_msg("no interruption came in time");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_runs_end_the_same),
        cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
