/* bench_physiology [MODEL [NODE,... [BATCH [THREADS]]]]: shows all 9,097 gratings to a network, a
 * file or a new ResNet-50 of MODEL x MODEL pixels (64), recorded at one node or several at once
 * (layer1), and prints JSON: units, seconds and their shares (stimuli, network, analysis of
 * responses, the tuning properties), and the memory it took at most. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

enum { MAX_NODES = 16 };

/* Splits at the commas, in place; their number. */
static int split(char *nodes[MAX_NODES], char *list)
{
    int count = 0;
    for (char *node = strtok(list, ","); node && count < MAX_NODES; node = strtok(NULL, ","))
        nodes[count++] = node;
    return count;
}

int main(int argc, char **argv)
{
    vt_model *model;
    vt_recording recordings[MAX_NODES];
    vt_recording_options options = {.batch = argc > 3 ? atoi(argv[3]) : 0};
    char layer1[] = "layer1", *nodes[MAX_NODES], *end;
    const char *path = argc > 1 ? argv[1] : "";
    int count = split(nodes, argc > 2 ? argv[2] : layer1);
    vt_threads_set(argc > 4 ? atoi(argv[4]) : 0);
    vt_resnet_options resnet50 = {.depth = 50, .image = (int)strtol(path, &end, 10)};
    if ((*end ? vt_model_read(&model, path) : vt_resnet_new(&model, &resnet50)) != VT_OK)
        die("model");
    double start = seconds(), tuned = 0;
    if (vt_record(recordings, model, (const char *const *)nodes, count, &options) != VT_OK)
        die("recording");
    printf("{\"nodes\": [");
    for (int i = 0; i < count; i++) {
        vt_recording *r = &recordings[i];
        vt_tuning tuning = {.neurons = 0};
        double before = seconds();
        if (!*r->reason && vt_tuning_measure(&tuning, r->map) != VT_OK) die("tuning");
        tuned += seconds() - before;
        printf("%s{\"node\": \"%s\", \"units\": %lld, \"answering\": %lld, \"kept\": %lld}",
               i ? ",\n  " : "", nodes[i], (long long)r->units, (long long)r->answering,
               (long long)r->kept);
        if (*r->reason) fprintf(stderr, "%s: %s\n", nodes[i], r->reason);
        vt_tuning_free(&tuning);
    }
    double all = seconds() - start;
    const vt_recording_time *t = &recordings[0].time;
    printf("],\n \"threads\": %d, \"seconds\": %.2f, \"stimuli\": %.2f, \"network\": %.2f, "
           "\"analysis\": %.2f, \"tuning\": %.2f,\n \"share_of_stimuli\": %.3f, "
           "\"peak_bytes\": %lld}\n",
           vt_threads(), all, t->stimuli, t->network, t->analysis, tuned, t->stimuli / all,
           peak_bytes());
    for (int i = 0; i < count; i++)
        vt_recording_free(&recordings[i]);
    vt_model_free(model);
    return 0;
}
