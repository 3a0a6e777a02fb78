/* Training that is killed at any moment and run again ends in the same bytes as one that is not:
 * models, checkpoint and metrics. */
#include "cli.h"
#include "toy_images.h"

enum { KILLED_RUNS = TEST_SANITIZED ? 1 : 3, MOST_KILLS = 4 };

static char root[4096];
static const char *toy;

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    toy = strdup(cli_join(root, "toy"));
    write_toys(root, "toy/train", TOY_CLASSES, 0, 6);
    write_toys(root, "toy/val", TOY_CLASSES, 100, 2);
    write_text(root, "toy/train/c1/005.png", "no image"); /* what is left out is counted too */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)toy);
    return 0;
}

#define IN(name) cli_join(root, name)

/* `free_replays` "0": ordinary training. */
static cli_result train(const char *folder, const char *free_replays, const cli_how *how)
{
    const char *const args[] = {"ventral",
                                "train",
                                "-i",
                                toy,
                                "-n",
                                "resnet18",
                                "-w",
                                "0.0625",
                                "-o",
                                folder,
                                "--transform",
                                "tiny",
                                "-e",
                                "3",
                                "-b",
                                "10",
                                "-r",
                                "0.02",
                                "--threads",
                                "2",
                                "--save-every",
                                "0.0001",
                                "--free",
                                free_replays,
                                "--epsilon",
                                *free_replays == '0' ? "0" : "4",
                                NULL};
    return cli_run_how(args, how);
}

static void assert_same_run(const char *a, const char *b)
{
    static const char *const names[] = {"best.safetensors", "last.safetensors",
                                        "checkpoint.safetensors", "metrics.csv", "metrics.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cli_assert_same_file(cli_join(a, names[i]), cli_join(b, names[i]));
}

/* The number of times a run had to be killed before it came to its end. */
static int train_under_fire(const char *folder, const char *replays, double seconds, vt_rng *rng)
{
    for (int kills = 0;; kills++) {
        cli_how how = {.signal = kills < MOST_KILLS ? SIGKILL : 0,
                       .signal_after = seconds * 1.2 * vt_rng_uniform(rng)};
        cli_result r = train(folder, replays, &how);
        if (r.signal != SIGKILL) {
            free(cli_output_of(r));
            return kills;
        }
        cli_free(&r);
    }
}

static void check(const char *replays)
{
    vt_rng rng;
    int kills = 0;
    char whole[4200], killed[4200];
    snprintf(whole, sizeof whole, "%s/whole%s", root, replays);
    cli_result r = train(whole, replays, &(cli_how){.signal = 0});
    double seconds = r.seconds;
    free(cli_output_of(r));
    vt_rng_init(&rng, (uint64_t)getpid(), VT_RNG_SPLIT, 0, 0);
    for (int run = 0; run < KILLED_RUNS || kills == 0; run++) {
        snprintf(killed, sizeof killed, "%s/killed%s%d", root, replays, run);
        int before = kills;
        kills += train_under_fire(killed, replays, seconds, &rng);
        assert_same_run(whole, killed);
        if (kills == before) seconds /= 2; /* the machine was slower when they were measured */
    }
    print_message("%d kills in runs of %.2g s\n", kills, seconds);
}

static void test_killed_runs_end_the_same(void **state)
{
    (void)state;
    check("0");
}

/* Its change of the images goes from batch to batch. */
static void test_killed_free_training_ends_the_same(void **state)
{
    (void)state;
    check("2");
}

/* Ctrl-C: says how to go on, and the same command does. */
static void test_interrupt(void **state)
{
    (void)state;
    char folder[4120], checkpoint[4200];
    snprintf(folder, sizeof folder, "%s/interrupted", root);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.safetensors", folder);
    free(cli_output_of(train(IN("calm"), "0", &(cli_how){.signal = 0})));
    for (int tries = 0; tries < 50; tries++) {
        cli_how how = {.signal = SIGINT, .signal_when = checkpoint};
        cli_result r = train(folder, "0", &how);
        if (r.code == 0) { /* it was faster */
            cli_free(&r);
            remove_folder(folder);
            continue;
        }
        cli_assert_fails(r, 1, "interrupted/checkpoint.safetensors", "the same command goes on");
        free(cli_output_of(train(folder, "0", &(cli_how){.signal = 0})));
        assert_same_run(IN("calm"), folder);
        return;
    }
    fail_msg("no interruption came in time");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_runs_end_the_same),
        cmocka_unit_test(test_killed_free_training_ends_the_same),
        cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
