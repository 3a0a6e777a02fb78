/* bench_predict MODEL IMAGES.npy EXPECTED.npy THREADS RUNS: predicts a batch of float32 images as
 * often as asked, after checking the predictions against EXPECTED (float32, one a image) to 1e-4 of
 * their standard deviation. Prints JSON: milliseconds of each run, and the rate of this machine's
 * float32 matrix product measured between the runs. */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ventral/ventral.h"

enum { MATRIX = 1024 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_predict: %s: %s\n", what, vt_error_message());
    exit(1);
}

/* GFLOP/s of one MATRIX x MATRIX x MATRIX product. */
static double product_rate(const float *a, const float *b, float *c)
{
    double start = seconds();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, MATRIX, MATRIX, MATRIX, 1, a, MATRIX, b,
                MATRIX, 0, c, MATRIX);
    return 2.0 * MATRIX * MATRIX * MATRIX / (seconds() - start) / 1e9;
}

static void check(const vt_tensor *got, const vt_tensor *expected)
{
    int64_t n = vt_tensor_count(expected);
    double mean = 0, variance = 0, worst = 0;
    if (vt_tensor_count(got) != n) die("another number of predictions than expected");
    for (int64_t i = 0; i < n; i++)
        mean += vt_tensor_get(expected, i) / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double e = vt_tensor_get(expected, i);
        variance += (e - mean) * (e - mean) / (double)n;
        worst = fmax(worst, fabs(vt_tensor_get(got, i) - e));
    }
    if (!(worst <= 1e-4 * sqrt(variance))) {
        fprintf(stderr, "bench_predict: predictions differ by %g of their s.d.\n",
                worst / sqrt(variance));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: bench_predict MODEL IMAGES.npy EXPECTED.npy THREADS RUNS\n");
        return 2;
    }
    int threads = atoi(argv[4]), runs = atoi(argv[5]);
    vt_model *model;
    vt_tensor images, expected;
    vt_plan *plan;
    vt_threads_set(threads);
    openblas_set_num_threads(threads);
    if (vt_model_read(&model, argv[1]) != VT_OK) die("model");
    if (vt_npy_read(&images, argv[2]) != VT_OK) die("images");
    if (vt_npy_read(&expected, argv[3]) != VT_OK) die("expected predictions");
    vt_node output = vt_model_output(model);
    vt_plan_options options = {.batch = images.size[0], .outputs = &output, .output_count = 1};
    if (vt_plan_new(&plan, vt_model_graph(model), &options) != VT_OK) die("plan");
    vt_tensor *input = vt_plan_input(plan, vt_model_input(model));
    if (vt_tensor_bytes(input) != vt_tensor_bytes(&images)) die("images of another size");
    memcpy(input->data, images.data, vt_tensor_bytes(&images));
    if (vt_plan_forward(plan) != VT_OK) die("forward");
    check(vt_plan_output(plan, output), &expected);

    float *matrices = calloc(3 * MATRIX * MATRIX, sizeof *matrices);
    if (!matrices) return 1;
    for (int i = 0; i < 2 * MATRIX * MATRIX; i++)
        matrices[i] = (float)(i % 17) - 8;
    int64_t flops = 0;
    for (vt_node n = 0; n < vt_graph_node_count(vt_model_graph(model)); n++)
        flops += vt_graph_node_flops(vt_model_graph(model), n) * images.size[0];
    printf("{\"kernel\": \"%s\", \"flops\": %lld, \"runs\": [", vt_plan_kernel_name(plan, output),
           (long long)flops);
    double best_rate = 0;
    for (int r = 0; r < runs; r++) {
        double rate =
            product_rate(matrices, matrices + MATRIX * MATRIX, matrices + 2 * MATRIX * MATRIX);
        double start = seconds();
        if (vt_plan_forward(plan) != VT_OK) die("forward");
        printf("%s%.4f", r ? ", " : "", 1e3 * (seconds() - start));
        if (rate > best_rate) best_rate = rate;
    }
    printf("], \"product_gflops\": %.2f}\n", best_rate);
    free(matrices);
    vt_plan_free(plan);
    vt_model_free(model);
    vt_tensor_free(&images);
    vt_tensor_free(&expected);
    return 0;
}
