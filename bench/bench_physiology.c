/* bench_physiology [MODEL [NODE [BATCH [THREADS]]]]: shows all 9,097 gratings to a network, by
 * default a new ResNet-50 of 64 x 64 pixels recorded at layer1, and prints JSON: units, seconds and
 * their shares (stimuli, network, analysis of responses, the tuning properties), and the memory it
 * took at most. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "ventral/ventral.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_physiology: %s: %s\n", what, vt_error_message());
    exit(1);
}

static long long peak_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (long long)usage.ru_maxrss * 1024;
}

int main(int argc, char **argv)
{
    vt_model *model;
    vt_recording recording;
    vt_recording_options options = {.batch = argc > 3 ? atoi(argv[3]) : 0};
    const char *path = argc > 1 ? argv[1] : "", *node = argc > 2 ? argv[2] : "layer1";
    vt_threads_set(argc > 4 ? atoi(argv[4]) : 0);
    vt_status status = *path ? vt_model_read(&model, path)
                             : vt_resnet_new(&model, &(vt_resnet_options){.depth = 50});
    if (status != VT_OK) die("model");
    double start = seconds();
    if (vt_record(&recording, model, node, &options) != VT_OK) die("recording");
    double recorded = seconds();
    vt_tuning tuning;
    if (vt_tuning_measure(&tuning, recording.map) != VT_OK) die("tuning");
    double end = seconds();
    const vt_recording_time *t = &recording.time;
    printf("{\"node\": \"%s\", \"units\": %lld, \"answering\": %lld, \"kept\": %lld, "
           "\"threads\": %d, \"seconds\": %.2f,\n \"stimuli\": %.2f, \"network\": %.2f, "
           "\"analysis\": %.2f, \"tuning\": %.2f, \"share_of_stimuli\": %.3f, \"peak_bytes\": "
           "%lld}\n",
           node, (long long)recording.units, (long long)recording.answering,
           (long long)recording.kept, vt_threads(), end - start, t->stimuli, t->network,
           t->analysis, end - recorded, t->stimuli / (end - start), peak_bytes());
    vt_tuning_free(&tuning);
    vt_recording_free(&recording);
    vt_model_free(model);
    return 0;
}
