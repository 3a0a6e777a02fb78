/* Gradient attacks on classifiers (see ventral/attack.h): in units of the model's input,
 *
 *     Linf:  x <- clip(x + step sign(dL/dx)),          |x - x0| <= epsilon
 *     L2:    x <- clip(x + step dL/dx / |dL/dx|_2),   |x - x0|_2 <= epsilon
 *
 * with statistics of batch normalization as in inference. Values of the model's input are (v -
 * mean) / sd of each colour, so epsilon is divided by sd; the range is that of v from 0 to 255. */
#include "ventral/attack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/progress.h"
#include "ventral/rng.h"

struct vt_attacker {
    vt_attack attack;
    vt_model *model;
    vt_plan *plan;
    vt_node loss;
    int64_t batch, floats; /* images at a time, values of one */
    float *original;
    float scale[3]; /* one unit of the range, in units of the input */
    float lowest[3], highest[3];
};

static vt_status check(const vt_attack *a, int64_t batch)
{
    if (batch < 1 || batch > INT32_MAX)
        return vt_error(VT_EINVAL, "attack: batches of %lld images are not possible",
                        (long long)batch);
    if (!(a->epsilon > 0) || !isfinite(a->epsilon))
        return vt_error(VT_EINVAL, "attack: epsilon %g must be above 0", a->epsilon);
    if (a->steps < 1 || a->steps > 100000)
        return vt_error(VT_EINVAL, "attack: %d steps; 1 to 100000 are possible", a->steps);
    if (!(a->step > 0) || !isfinite(a->step))
        return vt_error(VT_EINVAL, "attack: a step of %g must be above 0", a->step);
    return VT_OK;
}

static void set_range(vt_attacker *a)
{
    const vt_preprocessing *p = vt_model_preprocessing(a->model);
    for (int c = 0; c < 3; c++) {
        a->scale[c] = 255 / p->sd[c];
        a->lowest[c] = (0 - p->mean[c]) / p->sd[c];
        a->highest[c] = (255 - p->mean[c]) / p->sd[c];
    }
}

static vt_status prepare(vt_attacker *a)
{
    vt_graph *graph = vt_model_graph(a->model);
    vt_node input = vt_model_input(a->model);
    int64_t size[VT_MAX_DIMS];
    a->loss = vt_graph_find(graph, "loss");
    if (a->loss == VT_NO_NODE)
        return vt_error(VT_EUNSUPPORTED, "%s: a classifier is needed, this is a %s",
                        vt_model_label(a->model), vt_model_architecture(a->model));
    vt_graph_node_size(graph, input, size);
    a->floats = size[0] * size[1] * size[2];
    a->original = vt_alloc((size_t)(a->batch * a->floats), sizeof *a->original);
    if (!a->original) return VT_ENOMEM;
    set_range(a);
    vt_plan_options options = {.batch = a->batch,
                               .backward = true,
                               .frozen = true,
                               .outputs = &a->loss,
                               .output_count = 1,
                               .gradients = &input,
                               .gradient_count = 1};
    return vt_plan_new(&a->plan, graph, &options);
}

vt_status vt_attacker_new(vt_attacker **out, vt_model *model, const vt_attack *attack,
                          int64_t batch)
{
    vt_attacker *a = vt_alloc(1, sizeof *a);
    if (!a) return VT_ENOMEM;
    a->attack = *attack;
    a->model = model;
    a->batch = batch;
    if (a->attack.steps == 0) a->attack.steps = 1;
    if (a->attack.step == 0)
        a->attack.step = attack->epsilon * (a->attack.steps > 1 ? 2.5 / a->attack.steps : 1);
    vt_status status = check(&a->attack, batch);
    if (status == VT_OK) status = prepare(a);
    if (status != VT_OK) {
        vt_attacker_free(a);
        return status;
    }
    *out = a;
    return VT_OK;
}

void vt_attacker_free(vt_attacker *a)
{
    if (!a) return;
    vt_plan_free(a->plan);
    free(a->original);
    free(a);
}

static float clamp(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

/* Length of a change in units of the range. */
static double length_of(const vt_attacker *a, const float *change)
{
    double sum = 0;
    for (int64_t i = 0; i < a->floats; i++) {
        double d = change[i] / a->scale[i % 3];
        sum += d * d;
    }
    return sqrt(sum);
}

static void project_linf(const vt_attacker *a, float *x, const float *x0)
{
    for (int64_t i = 0; i < a->floats; i++) {
        int c = (int)(i % 3);
        float e = (float)a->attack.epsilon * a->scale[c];
        x[i] = clamp(clamp(x[i], x0[i] - e, x0[i] + e), a->lowest[c], a->highest[c]);
    }
}

/* Into the ball, then into the range, which only shortens the change. */
static void project_l2(const vt_attacker *a, float *x, const float *x0)
{
    for (int64_t i = 0; i < a->floats; i++)
        x[i] -= x0[i];
    double length = length_of(a, x);
    float keep = length > a->attack.epsilon ? (float)(a->attack.epsilon / length) : 1;
    for (int64_t i = 0; i < a->floats; i++) {
        int c = (int)(i % 3);
        x[i] = clamp(x0[i] + keep * x[i], a->lowest[c], a->highest[c]);
    }
}

static void project(const vt_attacker *a, float *x, const float *x0)
{
    if (a->attack.norm == VT_NORM_L2)
        project_l2(a, x, x0);
    else
        project_linf(a, x, x0);
}

/* x + `size` along the gradient g with respect to the input; along g * scale in the range's units,
 * so along g * scale^2 in the input's. */
static void climb(const vt_attacker *a, float *x, const float *g, double size)
{
    if (a->attack.norm == VT_NORM_LINF) {
        for (int64_t i = 0; i < a->floats; i++)
            x[i] += (float)size * a->scale[i % 3] * (float)((g[i] > 0) - (g[i] < 0));
        return;
    }
    double sum = 0;
    for (int64_t i = 0; i < a->floats; i++) {
        double d = (double)g[i] * a->scale[i % 3];
        sum += d * d;
    }
    if (!(sum > 0)) return;
    double factor = size / sqrt(sum);
    for (int64_t i = 0; i < a->floats; i++)
        x[i] += (float)(factor * g[i]) * a->scale[i % 3] * a->scale[i % 3];
}

/* Uniform in the ball: for L2 a normal direction and a radius u^(1/n). */
static void start_at_random(const vt_attacker *a, float *x, int64_t index)
{
    vt_rng rng;
    vt_rng_init(&rng, a->attack.seed, VT_RNG_ATTACK, 0, (uint32_t)index);
    double e = a->attack.epsilon;
    if (a->attack.norm == VT_NORM_LINF) {
        for (int64_t i = 0; i < a->floats; i++)
            x[i] += (float)(e * (2 * vt_rng_uniform(&rng) - 1)) * a->scale[i % 3];
        return;
    }
    vt_rng again = rng;
    double sum = 0;
    for (int64_t i = 0; i < a->floats; i++) {
        double d = vt_rng_normal(&rng);
        sum += d * d;
    }
    double radius = e * pow(vt_rng_uniform(&rng), 1 / (double)a->floats) / sqrt(sum);
    for (int64_t i = 0; i < a->floats; i++)
        x[i] += (float)(radius * vt_rng_normal(&again)) * a->scale[i % 3];
}

vt_status vt_attacker_run(vt_attacker *a, float *images, const float *labels,
                          const int64_t *indices, int64_t count)
{
    vt_graph *graph = vt_model_graph(a->model);
    vt_node input = vt_model_input(a->model);
    float *x = vt_plan_input(a->plan, input)->data;
    float *target = vt_plan_input(a->plan, vt_graph_find(graph, "label"))->data;
    if (count < 0 || count > a->batch)
        return vt_error(VT_EINVAL, "attack: %lld images, at most %lld at a time", (long long)count,
                        (long long)a->batch);
    memcpy(a->original, images, (size_t)(count * a->floats) * sizeof *images);
    if (a->attack.random_start) {
#pragma omp parallel for num_threads(vt_threads())
        for (int64_t n = 0; n < count; n++) {
            start_at_random(a, images + n * a->floats, indices[n]);
            project(a, images + n * a->floats, a->original + n * a->floats);
        }
    }
    memset(x, 0, (size_t)(a->batch * a->floats) * sizeof *x);
    for (int64_t n = 0; n < a->batch; n++)
        target[n] = n < count ? labels[n] : 0;
    for (int step = 0; step < a->attack.steps; step++) {
        memcpy(x, images, (size_t)(count * a->floats) * sizeof *x);
        VT_TRY(vt_plan_forward(a->plan));
        VT_TRY(vt_plan_backward(a->plan));
        const float *g = vt_plan_gradient(a->plan, input)->data;
#pragma omp parallel for num_threads(vt_threads())
        for (int64_t n = 0; n < count; n++) {
            float *image = images + n * a->floats;
            climb(a, image, g + n * a->floats, a->attack.step);
            project(a, image, a->original + n * a->floats);
        }
    }
    return VT_OK;
}
