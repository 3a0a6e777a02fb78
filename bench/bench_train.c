/* bench_train MODEL IMAGES.npy LABELS.npy LOSS THREADS RUNS [bf16]: training steps (forward,
 * backward, SGD with momentum and weight decay) of a network on one batch of float32 images, after
 * checking the first step's loss against LOSS to 1e-3. Prints JSON: milliseconds of each step. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ventral/ventral.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(vt_status status, const char *what)
{
    if (status == VT_OK) return;
    fprintf(stderr, "bench_train: %s: %s\n", what, vt_error_message());
    exit(1);
}

static void fill(vt_plan *plan, vt_node node, const vt_tensor *values)
{
    vt_tensor *input = vt_plan_input(plan, node);
    if (!input || vt_tensor_bytes(input) != vt_tensor_bytes(values)) {
        fprintf(stderr, "bench_train: arrays of another size than the network takes\n");
        exit(1);
    }
    memcpy(input->data, values->data, vt_tensor_bytes(values));
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr,
                "usage: bench_train MODEL IMAGES.npy LABELS.npy LOSS THREADS RUNS [bf16]\n");
        return 2;
    }
    vt_model *model;
    vt_tensor images, labels;
    vt_plan *plan;
    vt_optimizer *optimizer;
    double expected = atof(argv[4]);
    int runs = atoi(argv[6]);
    vt_threads_set(atoi(argv[5]));
    must(vt_model_read(&model, argv[1]), "model");
    must(vt_npy_read(&images, argv[2]), "images");
    must(vt_npy_read(&labels, argv[3]), "labels");
    vt_graph *graph = vt_model_graph(model);
    vt_node loss = vt_graph_find(graph, "loss");
    vt_plan_options options = {.batch = images.size[0],
                               .training = true,
                               .backward = true,
                               .outputs = &loss,
                               .output_count = 1,
                               .bf16 = argc > 7};
    vt_optimizer_options sgd = {.kind = VT_SGD, .momentum = 0.9, .weight_decay = 1e-5};
    must(vt_plan_new(&plan, graph, &options), "plan");
    must(vt_optimizer_new(&optimizer, graph, &sgd), "optimizer");
    fill(plan, vt_model_input(model), &images);
    fill(plan, vt_graph_find(graph, "label"), &labels);
    printf("{\"bytes\": %zu, \"runs\": [", vt_plan_bytes(plan));
    for (int run = -1; run < runs; run++) {
        double start = seconds();
        must(vt_plan_forward(plan), "forward");
        must(vt_plan_backward(plan), "backward");
        must(vt_optimizer_step(optimizer, 1e-3), "step");
        double value = vt_tensor_get(vt_plan_output(plan, loss), 0);
        if (run < 0 && !(fabs(value - expected) <= 1e-3 * fabs(expected))) {
            fprintf(stderr, "bench_train: loss %.6f, expected %.6f\n", value, expected);
            return 1;
        }
        if (run >= 0) printf("%s%.2f", run ? ", " : "", 1e3 * (seconds() - start));
    }
    puts("]}");
    vt_optimizer_free(optimizer);
    vt_plan_free(plan);
    vt_model_free(model);
    vt_tensor_free(&images);
    vt_tensor_free(&labels);
    return 0;
}
