/* bench_loader DATASET TRANSFORM THREADS BATCHES: how fast the loader alone prepares batches of 128
 * training images in shuffled order. TRANSFORM is tiny or imagenet (the training recipes). Prints
 * JSON: images a second over BATCHES batches (0: one epoch) after the first, processor time a
 * image, and how many images were left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ventral/ventral.h"

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_loader: %s: %s\n", what, vt_error_message());
    exit(1);
}

int main(int argc, char **argv)
{
    bool imagenet = argc == 5 && strcmp(argv[2], "imagenet") == 0;
    if (argc != 5 || (!imagenet && strcmp(argv[2], "tiny") != 0)) {
        fprintf(stderr, "usage: bench_loader DATASET tiny|imagenet THREADS BATCHES\n");
        return 2;
    }
    vt_dataset *dataset;
    vt_loader *loader;
    double start = seconds(CLOCK_MONOTONIC);
    if (vt_dataset_open(&dataset, argv[1], VT_PART_TRAIN) != VT_OK) die("data set");
    double opened = seconds(CLOCK_MONOTONIC) - start;
    vt_loader_options options = {.dataset = dataset,
                                 .transform = imagenet ? vt_transform_imagenet_train
                                                       : vt_transform_tiny_train,
                                 .batch = 128,
                                 .shuffle = true,
                                 .drop_last = true,
                                 .seed = 1,
                                 .threads = atoi(argv[3])};
    if (vt_loader_new(&loader, &options) != VT_OK) die("loader");
    if (vt_loader_start(loader, 0, 0) != VT_OK) die("epoch");

    int64_t wanted = atoll(argv[4]), images = 0;
    double processor = 0;
    vt_loader_batch batch = {.count = 1};
    for (int64_t b = 0; batch.count > 0 && (wanted == 0 || b <= wanted); b++) {
        if (vt_loader_next(loader, &batch) != VT_OK) die("batch");
        if (b == 0) {
            start = seconds(CLOCK_MONOTONIC);
            processor = seconds(CLOCK_PROCESS_CPUTIME_ID);
        } else {
            images += batch.count;
        }
    }
    double wall = seconds(CLOCK_MONOTONIC) - start;
    processor = seconds(CLOCK_PROCESS_CPUTIME_ID) - processor;
    printf("{\"images\": %lld, \"images_per_second\": %.0f, \"processor_us_per_image\": %.1f, "
           "\"skipped\": %lld, \"open_seconds\": %.3f}\n",
           (long long)images, (double)images / wall, 1e6 * processor / (double)images,
           (long long)vt_loader_skipped(loader, NULL), opened);
    vt_loader_free(loader);
    vt_dataset_close(dataset);
    return 0;
}
