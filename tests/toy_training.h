/* A small network and toy images to train it on, for tests of training and of attacks. */
#ifndef TOY_TRAINING_H
#define TOY_TRAINING_H

#include "toy_images.h"
#include "ventral/classifier.h"
#include "ventral/resnet.h"

enum { TOY_TRAIN = 12, TOY_VALIDATION = 6 }; /* images a class */

static char toy_root[4096];
static vt_dataset *toy_train, *toy_validation;

static inline int toy_set_up(void **state)
{
    (void)state;
    char path[4200];
    new_folder(toy_root);
    write_toys(toy_root, "toy/train", TOY_CLASSES, 0, TOY_TRAIN);
    write_toys(toy_root, "toy/val", TOY_CLASSES, 100, TOY_VALIDATION);
    snprintf(path, sizeof path, "%s/toy", toy_root);
    assert_ok(vt_dataset_open(&toy_train, path, VT_PART_TRAIN));
    assert_ok(vt_dataset_open(&toy_validation, path, VT_PART_VALIDATION));
    return 0;
}

static inline int toy_tear_down(void **state)
{
    (void)state;
    vt_dataset_close(toy_train);
    vt_dataset_close(toy_validation);
    remove_folder(toy_root);
    return 0;
}

/* A path below the tests' folder; it stays valid. */
static inline const char *toy_path(const char *folder, const char *file)
{
    static char paths[128][4400];
    static int count;
    char path[4400];
    snprintf(path, sizeof path, "%s/%s%s%s", toy_root, folder, *file ? "/" : "", file);
    for (int i = 0; i < count; i++)
        if (strcmp(paths[i], path) == 0) return paths[i];
    if (count == 128) fail_msg("too many paths");
    return strcpy(paths[count++], path);
}

static inline vt_model *toy_network(int classes, uint64_t seed)
{
    vt_model *model;
    assert_ok(vt_resnet_new(
        &model,
        &(vt_resnet_options){.depth = 18, .width = 0.0625, .classes = classes, .seed = seed}));
    return model;
}

static inline vt_train_options toy_options(const char *folder)
{
    return (vt_train_options){.train = toy_train,
                              .validation = toy_validation,
                              .train_transform = vt_transform_tiny_train,
                              .validation_transform = vt_transform_tiny_validation,
                              .epochs = 2,
                              .batch = 20, /* the last of an epoch is of 8 */
                              .schedule = {.kind = VT_SCHEDULE_CONSTANT, .rate = 0.02},
                              .seed = 3,
                              .folder = toy_path(folder, "")};
}

static inline void toy_assert_same_file(const char *a, const char *b)
{
    void *x, *y;
    size_t x_size, y_size;
    assert_ok(vt_file_read(&x, &x_size, a));
    assert_ok(vt_file_read(&y, &y_size, b));
    if (x_size != y_size || memcmp(x, y, x_size) != 0) fail_msg("%s and %s differ", a, b);
    free(x);
    free(y);
}

/* The files of two runs are the same, byte for byte. */
static inline void toy_assert_same_run(const char *a, const char *b)
{
    static const char *const names[] = {"best.safetensors", "last.safetensors",
                                        "checkpoint.safetensors", "metrics.csv", "metrics.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        toy_assert_same_file(toy_path(a, names[i]), toy_path(b, names[i]));
}

/* Trains a new network and gives it back. */
static inline vt_model *toy_train_new(vt_train_report *report, const vt_train_options *options,
                                      uint64_t network_seed)
{
    vt_model *model = toy_network(TOY_CLASSES, network_seed);
    vt_train_report mine;
    assert_ok(vt_train_classifier(&mine, model, options));
    if (report)
        *report = mine;
    else
        vt_train_report_free(&mine);
    return model;
}

#endif
