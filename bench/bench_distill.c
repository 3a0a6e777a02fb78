/* bench_distill make DIR BATCH NEURONS: writes images.npy (BATCH, 112, 112, 3), targets.npy (BATCH,
 * NEURONS) and weights of students of five times 100 filters, student_0.safetensors and on.
 *
 * bench_distill time DIR THREADS RUNS NEURONS [bf16]: training steps (forward, backward, Adam) of
 * the students of NEURONS neurons, one after the other on one batch, after checking two images'
 * loss and gradients against plain loops. Prints JSON: the first losses, bytes, milliseconds of
 * each step of all students. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ventral/ventral.h"

typedef struct student {
    vt_model *model;
    vt_plan *plan;
    vt_optimizer *optimizer;
} student;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(vt_status status, const char *what)
{
    if (status == VT_OK) return;
    fprintf(stderr, "bench_distill: %s: %s\n", what, vt_error_message());
    exit(1);
}

static const char *in_folder(const char *folder, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *student_path(const char *folder, int number)
{
    char name[64];
    snprintf(name, sizeof name, "student_%d.safetensors", number);
    return in_folder(folder, name);
}

/* ---- make ---- */

/* Smooth images, as natural ones are: a random walk along rows, from the row above. */
static void draw(float *image, vt_rng *rng)
{
    const int row = 112 * 3;
    for (int i = 0; i < 112 * row; i++) {
        float left = i % row >= 3 ? image[i - 3] : 0, above = i >= row ? image[i - row] : left;
        image[i] = 0.49f * (left + above) + 20 * (float)vt_rng_normal(rng);
    }
}

static int make(const char *folder, int batch, int neurons)
{
    vt_tensor images, targets;
    vt_rng rng;
    vt_rng_init(&rng, 1, VT_RNG_INIT, 0, 0);
    must(vt_tensor_new(&images, VT_F32, 4, (int64_t[]){batch, 112, 112, 3}), "images");
    must(vt_tensor_new(&targets, VT_F32, 2, (int64_t[]){batch, neurons}), "targets");
    for (int i = 0; i < batch; i++)
        draw((float *)images.data + i * 112 * 112 * 3, &rng);
    for (int i = 0; i < batch * neurons; i++)
        ((float *)targets.data)[i] = (float)vt_rng_normal(&rng);
    must(vt_npy_write(&images, in_folder(folder, "images.npy")), "images");
    must(vt_npy_write(&targets, in_folder(folder, "targets.npy")), "targets");
    for (int n = 0; n < neurons; n++) {
        vt_model *model;
        vt_compact_options options = {
            .filters = {100, 100, 100, 100, 100}, .outputs = 1, .seed = (uint64_t)n};
        must(vt_compact_new(&model, &options), "student");
        must(vt_model_write(model, student_path(folder, n)), "student");
        vt_model_free(model);
    }
    vt_tensor_free(&images);
    vt_tensor_free(&targets);
    return 0;
}

/* ---- time ---- */

static void plan_student(student *s, int64_t batch, vt_backend_kind backend, bool bf16,
                         vt_workspace *workspace)
{
    vt_node output = vt_model_output(s->model);
    vt_plan_options options = {.batch = batch,
                               .training = true,
                               .backward = true,
                               .outputs = &output,
                               .output_count = 1,
                               .backend = backend,
                               .bf16 = bf16,
                               .workspace = workspace};
    must(vt_plan_new(&s->plan, vt_model_graph(s->model), &options), "plan");
}

/* Forward and backward of the mean squared error of neuron `n`, which is returned. */
static double learn(student *s, const vt_tensor *images, const vt_tensor *targets, int n)
{
    vt_node output = vt_model_output(s->model);
    vt_tensor *in = vt_plan_input(s->plan, vt_model_input(s->model));
    memcpy(in->data, images->data, vt_tensor_bytes(in));
    must(vt_plan_forward(s->plan), "forward");
    const float *y = vt_plan_output(s->plan, output)->data;
    float *seed = vt_plan_seed(s->plan, output)->data;
    int64_t batch = in->size[0];
    double loss = 0;
    for (int64_t i = 0; i < batch; i++) {
        float d = y[i] - ((const float *)targets->data)[i * targets->size[1] + n];
        seed[i] = 2 * d / (float)batch;
        loss += (double)d * d / (double)batch;
    }
    must(vt_plan_backward(s->plan), "backward");
    return loss;
}

static double worst(const vt_tensor *a, const vt_tensor *b, double scale)
{
    double most = 0;
    for (int64_t i = 0; i < vt_tensor_count(b); i++)
        most = fmax(most, fabs(vt_tensor_get(a, i) - vt_tensor_get(b, i)));
    return most / scale;
}

static double largest(const vt_tensor *t)
{
    double most = 1e-6;
    for (int64_t i = 0; i < vt_tensor_count(t); i++)
        most = fmax(most, fabs(vt_tensor_get(t, i)));
    return most;
}

/* Two images through the fast kernels and through plain loops. */
static void verify(const char *path, const vt_tensor *images, const vt_tensor *targets, bool bf16)
{
    student s[2] = {0};
    double loss[2], tolerance = bf16 ? 0.05 : 1e-3;
    /* Of two images' normalization bfloat16 leaves gradients of a rough likeness. */
    double gradient_tolerance = bf16 ? 0.4 : 1e-3;
    for (int i = 0; i < 2; i++) {
        must(vt_model_read(&s[i].model, path), "student");
        plan_student(&s[i], 2, i ? VT_BACKEND_REFERENCE : VT_BACKEND_AUTO, bf16, NULL);
        loss[i] = learn(&s[i], images, targets, 0);
    }
    bool agree = fabs(loss[0] - loss[1]) <= tolerance * loss[1];
    vt_graph *fast = vt_model_graph(s[0].model), *plain = vt_model_graph(s[1].model);
    for (int i = 0; i < vt_graph_param_count(plain); i++) {
        const vt_param *a = vt_graph_param(fast, i), *e = vt_graph_param(plain, i);
        size_t length = strlen(e->name);
        /* The gradient of a bias before batch normalization is nothing but rounding. */
        bool bias = length > 5 && strcmp(e->name + length - 5, ".bias") == 0 && e->name[0] == 'l';
        if (e->is_buffer || bias) continue;
        double error = worst(&a->gradient, &e->gradient, largest(&e->gradient));
        if (!(error <= gradient_tolerance))
            fprintf(stderr, "bench_distill: gradient of %s: off by %g\n", e->name, error);
        agree = agree && error <= gradient_tolerance;
    }
    if (!agree) {
        fprintf(stderr, "bench_distill: loss %g, plain loops %g: gradients or losses differ\n",
                loss[0], loss[1]);
        exit(1);
    }
    for (int i = 0; i < 2; i++) {
        vt_plan_free(s[i].plan);
        vt_model_free(s[i].model);
    }
}

static int measure(const char *folder, int runs, int neurons, bool bf16)
{
    vt_tensor images, targets;
    vt_workspace *workspace;
    size_t bytes = 0;
    must(vt_npy_read(&images, in_folder(folder, "images.npy")), "images");
    must(vt_npy_read(&targets, in_folder(folder, "targets.npy")), "targets");
    verify(student_path(folder, 0), &images, &targets, bf16);
    must(vt_workspace_new(&workspace), "workspace");
    student *students = calloc((size_t)neurons, sizeof *students);
    if (!students) return 1;
    for (int n = 0; n < neurons; n++) {
        student *s = &students[n];
        must(vt_model_read(&s->model, student_path(folder, n)), "student");
        plan_student(s, images.size[0], VT_BACKEND_AUTO, bf16, workspace);
        vt_optimizer_options adam = {.kind = VT_ADAM};
        must(vt_optimizer_new(&s->optimizer, vt_model_graph(s->model), &adam), "optimizer");
        if (vt_plan_bytes(s->plan) > bytes) bytes = vt_plan_bytes(s->plan);
    }
    printf("{\"bytes\": %zu, \"losses\": [", bytes);
    double *times = calloc((size_t)runs + 1, sizeof *times);
    for (int run = 0; times && run <= runs; run++) {
        double start = seconds();
        for (int n = 0; n < neurons; n++) {
            double loss = learn(&students[n], &images, &targets, n);
            must(vt_optimizer_step(students[n].optimizer, 1e-4), "step");
            if (run == 0) printf("%s%.7f", n ? ", " : "", loss);
        }
        times[run] = 1e3 * (seconds() - start);
    }
    printf("], \"runs\": [");
    for (int run = 1; times && run <= runs; run++) /* the first one warms up */
        printf("%s%.2f", run > 1 ? ", " : "", times[run]);
    puts("]}");
    for (int n = 0; n < neurons; n++) {
        vt_optimizer_free(students[n].optimizer);
        vt_plan_free(students[n].plan);
        vt_model_free(students[n].model);
    }
    free(times);
    free(students);
    vt_workspace_free(workspace);
    vt_tensor_free(&images);
    vt_tensor_free(&targets);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "make") == 0)
        return make(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (argc < 6 || strcmp(argv[1], "time") != 0) {
        fprintf(stderr, "usage: bench_distill make DIR BATCH NEURONS\n"
                        "       bench_distill time DIR THREADS RUNS NEURONS [bf16]\n");
        return 2;
    }
    vt_threads_set(atoi(argv[3]));
    return measure(argv[2], atoi(argv[4]), atoi(argv[5]), argc > 6);
}
