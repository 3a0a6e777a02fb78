/* bench_v1_layers DIR THREADS RUNS: times forward and backward of the layers of V1, as released, at
 * the sizes their network has, batch 128, and of a plain convolution of divisive normalization's
 * size. Writes DIR/LAYER.npz, two images with parameters and results, for another program to check.
 * Prints a line of JSON a layer: milliseconds of the runs in turn. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ventral/ventral.h"

enum { BATCH = 128, CHECKED = 2 };

typedef struct layer {
    const char *name;
    int64_t size[3];
    vt_node (*add)(vt_graph *graph, vt_node x);
} layer;

static vt_node center_surround(vt_graph *graph, vt_node x)
{
    return vt_center_surround(graph, x, &(vt_center_surround_options){"l", 16, 2, VT_RELEASED});
}

static vt_node local_receptive_field(vt_graph *graph, vt_node x)
{
    return vt_local_receptive_field(graph, x, &(vt_local_receptive_field_options){"l", 64, 3});
}

static vt_node divisive_normalization(vt_graph *graph, vt_node x)
{
    return vt_divisive_normalization(graph, x,
                                     &(vt_divisive_normalization_options){"l", 3, VT_RELEASED});
}

static vt_node tuned_normalization(vt_graph *graph, vt_node x)
{
    return vt_tuned_normalization(graph, x, &(vt_tuned_normalization_options){"l", VT_RELEASED});
}

static vt_node cortical_magnification(vt_graph *graph, vt_node x)
{
    return vt_cortical_magnification(graph, x,
                                     &(vt_cortical_magnification_options){"l", VT_RELEASED});
}

static vt_node convolution(vt_graph *graph, vt_node x)
{
    vt_conv2d_options o = {.name = "l", .filters = 256, .kernel = {3, 3}, .pad = {1, 1, 1, 1}};
    return vt_conv2d(graph, x, &o);
}

static const layer layers[] = {
    {"center_surround", {16, 16, 64}, center_surround},
    {"local_receptive_field", {16, 16, 64}, local_receptive_field},
    {"divisive_normalization", {16, 16, 256}, divisive_normalization},
    {"convolution", {16, 16, 256}, convolution},
    {"tuned_normalization", {16, 16, 256}, tuned_normalization},
    {"cortical_magnification", {32, 32, 64}, cortical_magnification},
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(vt_status status, const char *what)
{
    if (status == VT_OK) return;
    fprintf(stderr, "bench_v1_layers: %s: %s\n", what, vt_error_message());
    exit(1);
}

/* What follows a ReLU: a half of it 0, the rest positive. */
static void fill(vt_tensor *t, uint32_t item, bool rectified)
{
    vt_rng rng;
    vt_rng_init(&rng, 1, VT_RNG_IMAGE, 0, item);
    for (int64_t i = 0; i < vt_tensor_count(t); i++) {
        double value = vt_rng_normal(&rng);
        ((float *)t->data)[i] = (float)(rectified ? fmax(value, 0) : value);
    }
}

typedef struct run {
    vt_graph *graph;
    vt_plan *plan;
    vt_node x, y;
} run;

static void run_new(run *r, const layer *l, int64_t batch)
{
    must(vt_graph_new(&r->graph, VT_F32, VT_NAMES_TORCH), l->name);
    r->x = vt_input(r->graph, "x", 3, l->size);
    r->y = l->add(r->graph, r->x);
    must(vt_graph_finish(r->graph, 1), l->name);
    vt_plan_options o = {.batch = batch,
                         .training = true,
                         .backward = true,
                         .outputs = &r->y,
                         .output_count = 1,
                         .gradients = &r->x,
                         .gradient_count = 1};
    must(vt_plan_new(&r->plan, r->graph, &o), l->name);
    fill(vt_plan_input(r->plan, r->x), 0, true);
    fill(vt_plan_seed(r->plan, r->y), 1, false);
}

static void run_free(run *r)
{
    vt_plan_free(r->plan);
    vt_graph_free(r->graph);
}

static void once(const run *r, double *forward, double *backward)
{
    double start = seconds();
    must(vt_plan_forward(r->plan), "forward");
    double middle = seconds();
    must(vt_plan_backward(r->plan), "backward");
    *forward = 1e3 * (middle - start);
    *backward = 1e3 * (seconds() - middle);
}

static void put(vt_tensor_map *map, const char *prefix, const char *name, const vt_tensor *t)
{
    char full[VT_NAME_SIZE];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    must(vt_tensor_map_add_copy(map, full, t), full);
}

static void write_check(const layer *l, const char *folder)
{
    run r;
    double unused[2];
    vt_tensor_map *map;
    char path[4096];
    run_new(&r, l, CHECKED);
    once(&r, &unused[0], &unused[1]);
    must(vt_tensor_map_new(&map), l->name);
    put(map, "x", "", vt_plan_input(r.plan, r.x));
    put(map, "y", "", vt_plan_output(r.plan, r.y));
    put(map, "gy", "", vt_plan_seed(r.plan, r.y));
    put(map, "gx", "", vt_plan_gradient(r.plan, r.x));
    for (int p = 0; p < vt_graph_param_count(r.graph); p++) {
        const vt_param *param = vt_graph_param(r.graph, p);
        put(map, "param.", param->name + 2, &param->value); /* without "l." */
        if (!param->is_buffer) put(map, "grad.", param->name + 2, &param->gradient);
    }
    snprintf(path, sizeof path, "%s/%s.npz", folder, l->name);
    must(vt_npz_write(map, path), path);
    vt_tensor_map_free(map);
    run_free(&r);
}

static void measure(const layer *l, int runs)
{
    run r;
    double *times = calloc(2 * (size_t)runs + 2, sizeof *times);
    if (!times) exit(1);
    run_new(&r, l, BATCH);
    for (int i = 0; i <= runs; i++) /* the first does not count */
        once(&r, &times[2 * i], &times[2 * i + 1]);
    printf("{\"layer\": \"%s\", \"kernel\": \"%s\", \"batch\": %d", l->name,
           vt_plan_kernel_name(r.plan, r.y), BATCH);
    for (int side = 0; side < 2; side++) {
        printf(", \"%s\": [", side ? "backward" : "forward");
        for (int i = 1; i <= runs; i++)
            printf("%s%.3f", i > 1 ? ", " : "", times[2 * i + side]);
        printf("]");
    }
    printf("}\n");
    fflush(stdout);
    free(times);
    run_free(&r);
}

int main(int argc, char **argv)
{
    int threads = argc == 4 ? atoi(argv[2]) : 0, runs = argc == 4 ? atoi(argv[3]) : 0;
    if (threads < 1 || runs < 1 || runs > 1000) {
        fprintf(stderr, "usage: bench_v1_layers DIR THREADS RUNS\n");
        return 2;
    }
    vt_threads_set(threads);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        write_check(&layers[i], argv[1]);
        measure(&layers[i], runs);
    }
    return 0;
}
