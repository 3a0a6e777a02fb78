/* Training that stops: interrupted, out of memory, on a full disk, without permission, with numbers
 * that overflow; and checkpoints that are not this run's. Killed runs are in test_resume_train.c.
 */
#include "toy_training.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/arena.h"

#define CHECKPOINT "checkpoint.safetensors"

/* Asks to stop at the report number `left`. */
static bool stop_later(void *context, int64_t done, int64_t total, const char *line)
{
    int *left = context;
    (void)line;
    assert_true(done > 0 && done <= total);
    return --*left != 0;
}

/* Trains until it is stopped after `reports`; false when it ended before. */
static bool train_until(const vt_train_options *options, int reports)
{
    vt_model *model = toy_network(TOY_CLASSES, 1);
    vt_train_report report;
    vt_progress progress = {stop_later, &reports};
    vt_train_options o = *options;
    o.progress = &progress;
    vt_status status = vt_train_classifier(&report, model, &o);
    vt_model_free(model);
    if (status == VT_EINTERRUPTED) return true;
    assert_ok(status);
    vt_train_report_free(&report);
    return false;
}

/* The network the caller brings may be any: the checkpoint has the weights. */
static void go_on(const vt_train_options *options)
{
    vt_train_report report;
    vt_model_free(toy_train_new(&report, options, 99));
    assert_true(report.resumed);
    vt_train_report_free(&report);
}

/* Wherever it is stopped, in the middle of an epoch or in its validation, it ends the same. */
static void check_interruptions(const vt_train_options *whole_options)
{
    vt_train_options o = *whole_options;
    vt_dataset *few;
    write_toys(toy_root, "one each", TOY_CLASSES, 200, 1);
    assert_ok(vt_dataset_open(&few, toy_path("one each", ""), VT_PART_VALIDATION));
    o.validation = few;
    o.batch = 10;
    vt_model_free(toy_train_new(NULL, &o, 1));
    const char *whole = strrchr(o.folder, '/') + 1;
    int stops = 0;
    for (int at = 1;; at++, stops++) {
        o.folder = toy_path("stopped", "");
        bool stopped = train_until(&o, at);
        if (stopped) {
            train_until(&o, 2);
            go_on(&o);
        }
        toy_assert_same_run(whole, "stopped");
        remove_folder(o.folder);
        if (!stopped) break;
    }
    /* Two epochs, each with three batches to train on and one to validate on. */
    assert_int_equal(2 * (3 + 1), stops);
    vt_dataset_close(few);
}

static void test_interruptions(void **state)
{
    (void)state;
    vt_train_options o = toy_options("whole");
    o.train = toy_validation;
    check_interruptions(&o);
}

/* The change of the images is state as well, and so are the images left out. */
static void test_interruptions_of_free_training(void **state)
{
    (void)state;
    vt_dataset *damaged;
    write_toys(toy_root, "damaged", TOY_CLASSES, 0, 6);
    write_text(toy_root, "damaged/c2/003.png", "\x89PNG\r\n\x1a\n and no more");
    assert_ok(vt_dataset_open(&damaged, toy_path("damaged", ""), VT_PART_TRAIN));
    vt_train_options o = toy_options("whole free");
    o.train = damaged;
    o.replays = 2;
    o.free_epsilon = 4.0 / 255;
    check_interruptions(&o);
    void *text;
    size_t size;
    assert_ok(vt_file_read(&text, &size, toy_path("whole free", "metrics.csv")));
    int counted = 0; /* in the last column of both epochs */
    for (const char *line = text; (line = strstr(line, ",1\n")); line++)
        counted++;
    assert_int_equal(2, counted);
    free(text);
    /* Without the change of images, and with another bound, other weights come out. */
    o.batch = 10;
    vt_train_options plain = o, smaller = o;
    plain.folder = toy_path("plain", "");
    plain.replays = 0;
    smaller.folder = toy_path("smaller", "");
    smaller.free_epsilon = 1.0 / 255;
    vt_model *a, *b = toy_train_new(NULL, &plain, 1), *c = toy_train_new(NULL, &smaller, 1);
    assert_ok(vt_model_read(&a, toy_path("whole free", "last.safetensors")));
    const vt_model *models[] = {a, b, c};
    const vt_param *fc[3];
    for (int i = 0; i < 3; i++)
        fc[i] = vt_graph_find_param(vt_model_graph((vt_model *)models[i]), "fc.weight");
    size_t bytes = vt_tensor_bytes(&fc[0]->value);
    assert_memory_not_equal(fc[0]->value.data, fc[1]->value.data, bytes);
    assert_memory_not_equal(fc[0]->value.data, fc[2]->value.data, bytes);
    vt_model_free(a);
    vt_model_free(b);
    vt_model_free(c);
    vt_dataset_close(damaged);
}

static void assert_train_fails(const vt_train_options *options, vt_status expected,
                               const char *says, const char *also)
{
    vt_train_report report;
    vt_model *model = toy_network(TOY_CLASSES, 1);
    assert_status(expected, vt_train_classifier(&report, model, options));
    assert_message(says);
    assert_message(also);
    vt_model_free(model);
}

/* A learning rate at which float32 overflows. The checkpoint before that stays and loads. */
static void test_overflow(void **state)
{
    (void)state;
    void *before, *after;
    size_t before_size, after_size;
    vt_train_options o = toy_options("overflow");
    o.schedule.rate = 1e19;
    o.save_seconds = 1e-9; /* after every batch */
    assert_train_fails(&o, VT_ENUMERIC, "training", "learning rate (1e+19)");
    assert_message("epoch 1, batch");
    assert_ok(vt_file_read(&before, &before_size, toy_path("overflow", CHECKPOINT)));
    assert_train_fails(&o, VT_ENUMERIC, "training", "learning rate (1e+19)");
    assert_ok(vt_file_read(&after, &after_size, toy_path("overflow", CHECKPOINT)));
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, before_size);
    free(before);
    free(after);
}

/* ---- checkpoints ---- */

static void test_checkpoints_of_others(void **state)
{
    (void)state;
    vt_dataset *renamed;
    write_toys(toy_root, "renamed", TOY_CLASSES, 1, TOY_TRAIN);
    assert_ok(vt_dataset_open(&renamed, toy_path("renamed", ""), VT_PART_TRAIN));
    vt_train_options o = toy_options("mine"), changed;
    assert_true(train_until(&o, 2));
#define REFUSES(change)                                                                            \
    changed = o;                                                                                   \
    change;                                                                                        \
    assert_train_fails(&changed, VT_EINVAL, "mine/" CHECKPOINT, "choose another folder")
    REFUSES(changed.seed++);
    REFUSES(changed.epochs++);
    REFUSES(changed.batch--);
    REFUSES(changed.schedule.rate *= 2);
    REFUSES(changed.schedule.kind = VT_SCHEDULE_COSINE);
    REFUSES(changed.momentum = 0.8);
    REFUSES(changed.no_weight_decay = true);
    REFUSES(changed.frozen_body = true);
    REFUSES((changed.replays = 1, changed.free_epsilon = 0.1));
    REFUSES(changed.train_transform = vt_transform_imagenet_train);
    REFUSES(changed.validation_transform = vt_transform_imagenet_validation);
    REFUSES(changed.train = renamed);
    REFUSES(changed.validation = toy_train);
#undef REFUSES
    /* Composites A and D have weights of the same names and sizes. */
    vt_model *a, *d;
    vt_train_report report;
    vt_resnet_options options = {
        .variant = VT_RESNET_COMPOSITE_A, .depth = 18, .width = 0.0625, .classes = TOY_CLASSES};
    int one = 1;
    vt_progress progress = {stop_later, &one};
    changed = o;
    changed.folder = toy_path("composite", "");
    changed.progress = &progress;
    assert_ok(vt_resnet_new(&a, &options));
    assert_status(VT_EINTERRUPTED, vt_train_classifier(&report, a, &changed));
    changed.progress = NULL;
    options.variant = VT_RESNET_COMPOSITE_D;
    assert_ok(vt_resnet_new(&d, &options));
    assert_status(VT_EINVAL, vt_train_classifier(&report, d, &changed));
    assert_message("another network");
    vt_model_free(d);
    options.variant = VT_RESNET_COMPOSITE_A;
    options.formulation = VT_RELEASED;
    assert_ok(vt_resnet_new(&d, &options));
    assert_status(VT_EINVAL, vt_train_classifier(&report, d, &changed));
    vt_model_free(a);
    vt_model_free(d);
    go_on(&o); /* the first is as it was */
    vt_dataset_close(renamed);
}

/* Puts `count` numbers at `first` of the checkpoint's "run.numbers". */
static void change_numbers(const char *path, int first, double value)
{
    vt_tensor_map *map;
    assert_ok(vt_safetensors_read(&map, path));
    const vt_tensor *numbers = vt_tensor_map_find(map, "run.numbers");
    ((double *)numbers->data)[first] = value;
    assert_ok(vt_safetensors_write(map, path));
    vt_tensor_map_free(map);
}

static void test_damaged_checkpoints(void **state)
{
    (void)state;
    vt_train_options o = toy_options("damage");
    const char *path = toy_path("damage", CHECKPOINT);
    void *data;
    size_t size;
    assert_true(train_until(&o, 4));
    assert_ok(vt_file_read(&data, &size, path));
    const size_t keeps[] = {0, 7, 300, size / 2, size - 1};
    for (size_t i = 0; i < sizeof keeps / sizeof *keeps; i++) {
        assert_ok(vt_file_write(path, data, keeps[i]));
        assert_train_fails(&o, VT_EFORMAT, "damage/" CHECKPOINT, "");
    }
    assert_ok(vt_file_write(path, "not a checkpoint at all", 23));
    assert_train_fails(&o, VT_EFORMAT, "damage/" CHECKPOINT, "");
    vt_model *model = toy_network(TOY_CLASSES, 1);
    assert_ok(vt_model_write(model, path)); /* a model, not a checkpoint */
    vt_model_free(model);
    assert_train_fails(&o, VT_EINVAL, "damage/" CHECKPOINT, "another network");
    /* Counters: epoch, batch, four sums, skipped images, best epoch. */
    const struct {
        int at;
        double value;
    } changes[] = {{0, -1},  {0, 3},     {0, NAN}, {1, -1}, {1, 1e300}, {6, -1},
                   {6, NAN}, {6, 1e300}, {7, 0},   {7, 2},  {7, NAN}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        assert_ok(vt_file_write(path, data, size));
        change_numbers(path, 0, 1); /* as after one epoch, */
        change_numbers(path, 7, 1); /* which was the best */
        change_numbers(path, changes[i].at, changes[i].value);
        assert_train_fails(&o, VT_EFORMAT, "damage/" CHECKPOINT, "counters are out of range");
    }
    assert_ok(vt_file_write(path, data, size));
    go_on(&o);
    free(data);
}

/* ---- disk and memory ---- */

static void test_impossible_folders(void **state)
{
    (void)state;
    vt_train_options o = toy_options("file");
    write_text(toy_root, "file", "in the way");
    assert_train_fails(&o, VT_EIO, o.folder, "not a folder");
    o.folder = toy_path("absent/folder", "");
    assert_train_fails(&o, VT_EIO, "absent/folder", "No such file");
    o.folder = "";
    assert_train_fails(&o, VT_EINVAL, "folder", "needed");
    o.folder = NULL;
    assert_train_fails(&o, VT_EINVAL, "folder", "needed");
    mkdir(toy_path("taken", ""), 0777);
    mkdir(toy_path("taken", CHECKPOINT), 0777);
    o.folder = toy_path("taken", "");
    assert_train_fails(&o, VT_EIO, "taken/" CHECKPOINT, "it is a folder");
}

/* Found out before the first epoch, by somebody who may not write there. */
static void test_no_permission(void **state)
{
    (void)state;
    vt_train_options o = toy_options("forbidden");
    mkdir(o.folder, 0777);
    chmod(o.folder, 0555);
    chmod(toy_root, 0755);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        vt_train_report report;
        int reports = 1;
        vt_progress progress = {stop_later, &reports};
        vt_threads_set(1); /* the parent's threads are not here */
        o.progress = &progress;
        vt_model *model = toy_network(TOY_CLASSES, 1);
        if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
        vt_status status = vt_train_classifier(&report, model, &o);
        _exit(status == VT_EIO && strstr(vt_error_message(), "forbidden") &&
                      strstr(vt_error_message(), "Permission denied")
                  ? 0
                  : 1);
    }
    int status;
    assert_int_equal(pid, waitpid(pid, &status, 0));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("the child ended with %d", status);
    chmod(o.folder, 0755);
}

/* The disk is full when the models have been written but the checkpoint, which is larger, cannot
 * be. */
static void test_full_disk(void **state)
{
    (void)state;
    vt_train_options o = toy_options("roomy"), tight = toy_options("tight");
    struct rlimit before;
    struct stat model, checkpoint;
    void *old, *new;
    size_t old_size, new_size;
    vt_model_free(toy_train_new(NULL, &o, 1));
    assert_true(train_until(&tight, 2));
    assert_int_equal(0, stat(toy_path("roomy", "last.safetensors"), &model));
    assert_int_equal(0, stat(toy_path("roomy", CHECKPOINT), &checkpoint));
    assert_true(model.st_size < checkpoint.st_size);
    assert_ok(vt_file_read(&old, &old_size, toy_path("tight", CHECKPOINT)));
    getrlimit(RLIMIT_FSIZE, &before);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN); /* so that write() fails */
    struct rlimit limit = {(rlim_t)(model.st_size + 1000), before.rlim_max};
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &limit));
    assert_train_fails(&tight, VT_EIO, "tight/" CHECKPOINT, "File too large");
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &before));
    signal(SIGXFSZ, handler);
    assert_ok(vt_file_read(&new, &new_size, toy_path("tight", CHECKPOINT)));
    assert_int_equal(old_size, new_size);
    assert_memory_equal(old, new, old_size);
    free(old);
    free(new);
    go_on(&tight);
    toy_assert_same_run("roomy", "tight");
}

static void test_short_memory(void **state)
{
    (void)state;
    vt_dataset *few;
    write_toys(toy_root, "few", 2, 0, 2);
    assert_ok(vt_dataset_open(&few, toy_path("few", ""), VT_PART_TRAIN));
    vt_train_options o = toy_options("memory");
    o.train = o.validation = few;
    o.epochs = 1;
    o.batch = 3;
    o.replays = 1;
    o.free_epsilon = 0.01;
    o.frozen_body = true;
    vt_model *model = toy_network(2, 1);
    vt_status status = VT_ENOMEM;
    int failures = 0;
    for (int64_t n = 0; status != VT_OK; n += 1 + n / 12, failures++) {
        vt_train_report report;
        remove_folder(o.folder);
        vt_alloc_fail_after(n);
        status = vt_train_classifier(&report, model, &o);
        vt_alloc_fail_after(-1);
        if (status == VT_OK)
            vt_train_report_free(&report);
        else if (status != VT_ENOMEM)
            fail_msg("allocation %lld: status %d: %s", (long long)n, status, vt_error_message());
        assert_true(vt_graph_find_param(vt_model_graph(model), "conv1.weight")->trainable);
    }
    assert_true(failures > 40);
    vt_model_free(model);
    vt_dataset_close(few);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interruptions),
        cmocka_unit_test(test_interruptions_of_free_training),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_checkpoints_of_others),
        cmocka_unit_test(test_damaged_checkpoints),
        cmocka_unit_test(test_impossible_folders),
        cmocka_unit_test(test_no_permission),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, toy_set_up, toy_tear_down);
}
