/* ventral compress: the whole chain on a small population, from given teachers and from a core;
 * killed at any moment it ends in the same files; what it refuses. */
#include "cli.h"

#include "ventral/ensemble.h"
#include "ventral/report.h"
#include "ventral/rng.h"

enum { SIZE = 32, IMAGES = 24, NEURONS = 3, MOST_KILLS = 4, KILLED_RUNS = TEST_SANITIZED ? 1 : 3 };

static char root[4096];
static const char *rec, *teacher;

/* Weights that make the responses of a model to different images differ. */
static void write_teacher(const char *path, uint64_t seed)
{
    vt_model *model;
    vt_compact_options o = {.filters = {3, 3, 4, 3, 3},
                            .height = SIZE,
                            .width = SIZE,
                            .outputs = NEURONS,
                            .shared = true,
                            .seed = seed};
    assert_ok(vt_compact_new(&model, &o));
    vt_param *variance = vt_graph_find_param(vt_model_graph(model), "layer0_bn.moving_variance");
    for (int k = 0; k < 3; k++)
        ((float *)variance->value.data)[k] = 2000;
    vt_graph_touch(vt_model_graph(model));
    assert_ok(vt_model_add_session(model, &(vt_model_session){.id = "a", .count = NEURONS}));
    assert_ok(vt_model_write(model, path));
    vt_model_free(model);
}

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    rec = strdup(cli_join(root, "rec"));
    teacher = strdup(cli_join(root, "teacher.safetensors"));
    cli_write_recording(rec, &(cli_recording){"a", IMAGES, NEURONS, 2, SIZE});
    cli_write_recording(rec, &(cli_recording){"b", 2 * IMAGES, 1, 0, SIZE});
    write_teacher(teacher, 3);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)rec);
    free((void *)teacher);
    return 0;
}

typedef char folder_path[4200];

static void in_root(folder_path out, const char *name)
{
    snprintf(out, sizeof(folder_path), "%s/%s", root, name);
}

#define COMPRESS(output)                                                                           \
    "compress", teacher, "-R", rec, "--session", "a", "-s", "b,a:first", "--generate", "20", "-o", \
        output, "-f", "5,4,4,4,4", "--start", "1", "-p", "1", "--rate", "0.002", "--group", "2",   \
        "-b", "8", "--held-out", "8", "--prune-images", "30", "--refit", "--cosine", "--threads",  \
        "2"

static const char *path_of(const char *folder, const char *stage, int neuron, const char *ending)
{
    char name[128];
    snprintf(name, sizeof name, "%s/a_neuron%d.%s", stage, neuron, ending);
    return cli_join(folder, name);
}

static void test_chain(void **state)
{
    (void)state;
    folder_path folder;
    in_root(folder, "chain");
    json_t *report = cli_json(COMPRESS(folder), "--shared", "2,3");
    json_t *neurons = json_object_get(report, "neurons");
    assert_int_equal(NEURONS, json_array_size(neurons));
    assert_int_equal(2, json_array_size(json_object_get(report, "shared")));
    for (int n = 0; n < NEURONS; n++) {
        json_t *neuron = json_array_get(neurons, (size_t)n);
        json_t *filters = json_object_get(neuron, "filters");
        vt_model *model;
        vt_compact_options shape;
        assert_ok(vt_model_read(&model, path_of(folder, "compact", n, "safetensors")));
        assert_ok(vt_model_compact_options(model, &shape));
        assert_int_equal(n, vt_model_find_session(model, "a")->first_neuron);
        for (int k = 0; k < VT_COMPACT_LAYERS; k++) {
            assert_int_equal(shape.filters[k],
                             json_integer_value(json_array_get(filters, (size_t)k)));
            assert_in_range(shape.filters[k], 3, 5);
        }
        json_t *parameters = json_object_get(neuron, "parameters");
        assert_int_equal(vt_model_parameters(model),
                         (int64_t)json_number_value(json_object_get(parameters, "compact")));
        json_t *taught = json_object_get(neuron, "r_teacher");
        assert_close(json_real_value(json_object_get(taught, "teacher")), 1, 1e-12);
        assert_true(json_is_real(json_object_get(taught, "compact")));
        assert_true(json_is_number(json_object_get(json_object_get(neuron, "r2_er"), "pruned")));
        vt_model_free(model);
        assert_ok(vt_model_read(&model, path_of(folder, "compact", n, "h5")));
        vt_model_free(model);
    }
    json_decref(report);
    assert_int_equal(0, access(cli_join(folder, "neurons.csv"), R_OK));
    if (vt_plot_check() == VT_OK) assert_int_equal(0, access(cli_join(folder, "index.html"), R_OK));
    /* What is there is shown again, and nothing trained anew: the seconds stay. */
    void *before, *after;
    size_t size;
    assert_ok(vt_file_read(&before, &size, cli_join(folder, "seconds.json")));
    cli_ok(COMPRESS(folder), "--shared", "2,3");
    assert_ok(vt_file_read(&after, &size, cli_join(folder, "seconds.json")));
    assert_string_equal((char *)before, (char *)after);
    free(before);
    free(after);
}

/* Images of other folders than recordings, which are then for the scores alone. */
static void test_images_of_a_folder(void **state)
{
    (void)state;
    folder_path folder;
    in_root(folder, "photographs");
    cli_ok("compress", teacher, "-R", rec, "--session", "a", "-n", "0", "--images",
           cli_join(rec, "images/images_b.zip"), "-o", folder, "-f", "5,4,4,4,4", "-b", "8",
           "--threads", "2");
    assert_int_equal(0, access(path_of(folder, "compact", 0, "h5"), R_OK));
    cli_misused("belong together", "prune", teacher, "-R", rec, "-o", folder);
    cli_misused("which images?", "compress", teacher, "-R", rec, "--session", "a", "-o", folder);
}

/* The score command finds what the table says. */
static void test_scores(void **state)
{
    (void)state;
    folder_path folder;
    in_root(folder, "chain");
    json_t *report = cli_json(COMPRESS(folder), "--shared", "2,3");
    json_t *score = cli_json("score", path_of(folder, "pruned", 1, "safetensors"), "-R", rec, "-s",
                             "a", "--half", "second");
    json_t *r = json_object_get(json_array_get(json_object_get(report, "neurons"), 1), "r");
    json_t *row = json_array_get(json_object_get(score, "neurons"), 0);
    assert_close(json_real_value(json_object_get(r, "pruned")),
                 json_real_value(json_object_get(row, "r")), 1e-9);
    json_decref(report);
    json_decref(score);
}

static void test_core(void **state)
{
    (void)state;
    folder_path core, folder;
    in_root(core, "core.safetensors");
    in_root(folder, "from_core");
    vt_model *model;
    vt_ensemble_options o = {
        .members = 2, .stem = {3, 4}, .channels = 4, .blocks = 1, .height = SIZE, .width = SIZE};
    assert_ok(vt_ensemble_new(&model, &o, NULL, NULL));
    assert_ok(vt_model_write(model, core));
    vt_model_free(model);
    json_t *report = cli_json("compress", core, "-R", rec, "--session", "a", "-n", "1", "-s",
                              "b,a:first", "-o", folder, "-f", "4,4,4,4,4", "--start", "1",
                              "--start-only", "-b", "8", "--prune-images", "20", "--retrain", "1");
    assert_int_equal(1, json_array_size(json_object_get(report, "neurons")));
    json_decref(report);
    assert_ok(vt_model_read(&model, cli_join(folder, "teacher/a.safetensors")));
    assert_int_equal(NEURONS, vt_model_outputs(model));
    vt_model_free(model);
}

/* ---- stopped at any moment ---- */

static void assert_same_products(const char *a, const char *b)
{
    static const char *const stages[] = {"student", "pruned", "compact"};
    for (int n = 0; n < NEURONS; n++)
        for (size_t s = 0; s < 3; s++)
            cli_assert_same_file(path_of(a, stages[s], n, "safetensors"),
                                 path_of(b, stages[s], n, "safetensors"));
    cli_assert_same_file(cli_join(a, "neurons.csv"), cli_join(b, "neurons.csv"));
}

static void test_killed_runs_end_the_same(void **state)
{
    (void)state;
    folder_path whole;
    in_root(whole, "whole");
    vt_rng rng;
    int kills = 0;
    vt_rng_init(&rng, (uint64_t)getpid(), VT_RNG_SPLIT, 0, 0);
    cli_result first = cli_run(COMPRESS(whole));
    double seconds = first.seconds;
    free(cli_output_of(first));
    for (int run = 0; run < KILLED_RUNS || kills == 0; run++) {
        char name[32];
        snprintf(name, sizeof name, "killed%d", run);
        folder_path folder;
        in_root(folder, name);
        const char *const args[] = {"ventral", COMPRESS(folder), NULL};
        int before = kills;
        for (int more = MOST_KILLS; more >= 0; more--) {
            cli_how how = {.signal = more ? SIGKILL : 0,
                           .signal_after = seconds * vt_rng_uniform(&rng)};
            cli_result r = cli_run_how(args, &how);
            if (r.signal != SIGKILL) {
                free(cli_output_of(r));
                break;
            }
            cli_free(&r);
            kills++;
        }
        assert_same_products(whole, folder);
        if (kills == before) seconds /= 2; /* the machine was slower when they were measured */
    }
    print_message("%d kills in runs of %.2g s\n", kills, seconds);
}

/* ---- what is refused ---- */

static void test_other_runs(void **state)
{
    (void)state;
    folder_path folder;
    in_root(folder, "chain");
    cli_fails("run.json", "distill.rate", COMPRESS(folder), "--rate", "0.003");
    cli_fails("run.json", "prune.threshold", COMPRESS(folder), "--threshold", "0.8");
    cli_fails("run.json", "images", COMPRESS(folder), "--generate", "21");
    folder_path saved;
    in_root(saved, "saved.safetensors");
    assert_int_equal(0, rename(teacher, saved));
    cli_fails("teacher.safetensors", "No such file", COMPRESS(folder));
    write_teacher(teacher, 4);
    cli_fails("run.json", "teachers", COMPRESS(folder));
    assert_int_equal(0, rename(saved, teacher));
}

/* An image whose bytes changed is noticed where the cache knows it. */
static void test_changed_image(void **state)
{
    (void)state;
    folder_path folder, other, images;
    in_root(folder, "changed");
    in_root(other, "other");
    in_root(images, "rec/images/images_b.zip");
    cli_ok(COMPRESS(folder), "-n", "0");
    assert_int_equal(0, unlink(path_of(folder, "pruned", 0, "safetensors")));
    cli_write_recording(other, &(cli_recording){"b", 2 * IMAGES, 1, 0, SIZE - 8});
    assert_int_equal(0, rename(cli_join(other, "images/images_b.zip"), images));
    cli_fails("session b/image", "responses.cache", COMPRESS(folder), "-n", "0");
    assert_int_equal(0, unlink(images));
    cli_fails("session b", "images", COMPRESS(folder), "-n", "0");
    remove_folder(rec);
    cli_write_recording(rec, &(cli_recording){"a", IMAGES, NEURONS, 2, SIZE});
    cli_write_recording(rec, &(cli_recording){"b", 2 * IMAGES, 1, 0, SIZE});
}

static void test_refusals(void **state)
{
    (void)state;
    folder_path folder, blind;
    in_root(folder, "refused");
    in_root(blind, "blind.safetensors");
    cli_check_command("compress", "--session", true);
    cli_misused("--output", "compress", teacher, "-R", rec, "--session", "a");
    cli_fails("--sessions", "a:first", "compress", teacher, "-R", rec, "--session", "a", "-s", "a",
              "-o", folder);
    cli_fails("no session c", "a, b", "compress", teacher, "-R", rec, "--session", "c", "-s", "b",
              "-o", folder);
    cli_fails("--neurons", "3", COMPRESS(folder), "-n", "3");
    cli_fails("--form", "corrected or released", COMPRESS(folder), "--form", "both");
    cli_fails("--filters", "five", "compress", teacher, "-R", rec, "--session", "a", "-s", "b",
              "-o", folder, "-f", "5,4");
    cli_fails("--shared", "", COMPRESS(folder), "--shared", "5,-1");
    cli_fails("start", "pass", "compress", teacher, "-R", rec, "--session", "a", "-s", "b", "-o",
              folder, "--start-only");
    cli_write_model(blind, "elsewhere", 2, 1);
    cli_fails("session a", "no teacher", "compress", blind, "-R", rec, "--session", "a", "-s", "b",
              "-o", cli_join(root, "blind"));
    cli_fails("/proc/nowhere", "cannot be made", COMPRESS("/proc/nowhere"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_images_of_a_folder),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_core),
        cmocka_unit_test(test_killed_runs_end_the_same),
        cmocka_unit_test(test_other_runs),
        cmocka_unit_test(test_changed_image),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
