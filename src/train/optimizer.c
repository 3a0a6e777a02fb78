/* Stochastic gradient descent with momentum, and Adam with decoupled weight decay.
 *
 * Adam (Kingma & Ba 2015): m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
 * w -= rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).
 * Decoupled decay: Loshchilov & Hutter 2019. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/train.h"

typedef struct slot {
    vt_param *param;
    double decay, rate;
    float *first, *second; /* momentum, or Adam's m and v */
    double norm;           /* squared, of the present gradient */
    int64_t steps;         /* updates this parameter had: Adam's t */
} slot;

struct vt_optimizer {
    vt_graph *graph;
    vt_arena *arena;
    vt_optimizer_options options;
    slot *slots;
    int count;
};

static double or_default(double value, double standard)
{
    return value == 0 ? standard : value;
}

static vt_status make_slots(vt_optimizer *optimizer)
{
    vt_graph *graph = optimizer->graph;
    int params = vt_graph_param_count(graph);
    int states = optimizer->options.kind == VT_ADAM ? 2 : 1;
    int64_t elements = 0;
    VT_TRY(vt_arena_alloc(optimizer->arena, &optimizer->slots,
                          (size_t)params * sizeof *optimizer->slots, "optimiser"));
    for (int i = 0; i < params; i++) {
        vt_param *param = vt_graph_param(graph, i);
        if (!param->trainable) continue;
        if (param->value.dtype != VT_F32)
            return vt_error(VT_EUNSUPPORTED, "optimiser: parameter %s is %s, not float32",
                            param->name, vt_dtype_name(param->value.dtype));
        optimizer->slots[optimizer->count++] =
            (slot){.param = param, .decay = optimizer->options.weight_decay, .rate = 1};
        elements += vt_tensor_count(&param->value);
    }
    float *block = NULL;
    VT_TRY(vt_arena_alloc(optimizer->arena, &block, (size_t)(elements * states) * sizeof *block,
                          "optimiser state"));
    for (int i = 0; i < optimizer->count; i++) {
        slot *s = &optimizer->slots[i];
        int64_t n = vt_tensor_count(&s->param->value);
        s->first = block;
        block += n;
        if (states < 2) continue;
        s->second = block;
        block += n;
    }
    return VT_OK;
}

vt_status vt_optimizer_new(vt_optimizer **out, vt_graph *graph, const vt_optimizer_options *options)
{
    vt_optimizer *optimizer = vt_alloc(1, sizeof *optimizer);
    if (!optimizer) return VT_ENOMEM;
    optimizer->graph = graph;
    optimizer->options = *options;
    vt_optimizer_options *o = &optimizer->options;
    o->beta1 = or_default(o->beta1, 0.9);
    o->beta2 = or_default(o->beta2, 0.999);
    o->epsilon = or_default(o->epsilon, 1e-8);
    vt_status status = vt_arena_new(&optimizer->arena);
    if (status == VT_OK) status = make_slots(optimizer);
    if (status != VT_OK) {
        vt_optimizer_free(optimizer);
        return status;
    }
    *out = optimizer;
    return VT_OK;
}

void vt_optimizer_free(vt_optimizer *optimizer)
{
    if (!optimizer) return;
    vt_arena_free(optimizer->arena);
    free(optimizer);
}

void vt_optimizer_set_decay(vt_optimizer *optimizer, const char *prefix, double decay)
{
    for (int i = 0; i < optimizer->count; i++)
        if (strncmp(optimizer->slots[i].param->name, prefix, strlen(prefix)) == 0)
            optimizer->slots[i].decay = decay;
}

void vt_optimizer_set_rate(vt_optimizer *optimizer, const char *prefix, double factor)
{
    for (int i = 0; i < optimizer->count; i++)
        if (strncmp(optimizer->slots[i].param->name, prefix, strlen(prefix)) == 0)
            optimizer->slots[i].rate = factor;
}

static double squared_norm(const slot *s)
{
    const float *g = s->param->gradient.data;
    int64_t n = vt_tensor_count(&s->param->gradient);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)g[i] * g[i];
    return sum;
}

static void scale_gradient(const slot *s, float factor)
{
    float *g = s->param->gradient.data;
    int64_t n = vt_tensor_count(&s->param->gradient);
    for (int64_t i = 0; i < n; i++)
        g[i] *= factor;
}

static void step_sgd(const vt_optimizer *optimizer, slot *s, float rate)
{
    float *w = s->param->value.data, *velocity = s->first;
    const float *g = s->param->gradient.data;
    int64_t n = vt_tensor_count(&s->param->value);
    float momentum = (float)optimizer->options.momentum, decay = (float)s->decay;
    float clip = (float)or_default(optimizer->options.clip_value, INFINITY);
    for (int64_t i = 0; i < n; i++) {
        float d = fminf(fmaxf(g[i], -clip), clip) + decay * w[i];
        velocity[i] = momentum * velocity[i] + d;
        w[i] -= rate * velocity[i];
    }
}

static void step_adam(const vt_optimizer *optimizer, slot *s, double rate)
{
    const vt_optimizer_options *o = &optimizer->options;
    float *w = s->param->value.data, *m = s->first, *v = s->second;
    const float *g = s->param->gradient.data;
    int64_t n = vt_tensor_count(&s->param->value);
    float b1 = (float)o->beta1, b2 = (float)o->beta2, epsilon = (float)o->epsilon;
    float clip = (float)or_default(o->clip_value, INFINITY);
    double correct1 = 1 - pow(o->beta1, (double)s->steps);
    double correct2 = 1 - pow(o->beta2, (double)s->steps);
    float scale = (float)(rate / correct1), root = (float)(1 / sqrt(correct2));
    float keep = (float)(1 - rate * s->decay);
    for (int64_t i = 0; i < n; i++) {
        float d = fminf(fmaxf(g[i], -clip), clip);
        m[i] = b1 * m[i] + (1 - b1) * d;
        v[i] = b2 * v[i] + (1 - b2) * d * d;
        w[i] = keep * w[i] - scale * m[i] / (sqrtf(v[i]) * root + epsilon);
    }
}

vt_status vt_optimizer_step(vt_optimizer *optimizer, double rate)
{
    double total = 0, clip = optimizer->options.clip_norm;
    for (int i = 0; i < optimizer->count; i++) {
        slot *s = &optimizer->slots[i];
        s->norm = squared_norm(s);
        total += s->norm;
        if (!isfinite(s->norm))
            return vt_error(
                VT_ENUMERIC,
                "the gradient of %s is not finite: the learning rate (%g) may be too high",
                s->param->name, rate);
    }
    double factor = clip > 0 && total > clip * clip ? clip / sqrt(total) : 1;
    for (int i = 0; i < optimizer->count; i++) {
        slot *s = &optimizer->slots[i];
        if (s->norm == 0) continue;
        if (factor < 1) scale_gradient(s, (float)factor);
        s->steps++;
        if (optimizer->options.kind == VT_ADAM)
            step_adam(optimizer, s, rate * s->rate);
        else
            step_sgd(optimizer, s, (float)(rate * s->rate));
    }
    vt_graph_zero_gradients(optimizer->graph);
    vt_graph_touch(optimizer->graph);
    return VT_OK;
}

/* ---- state ---- */

static vt_status state_name(char out[VT_NAME_SIZE], const slot *s, const char *what)
{
    int n = snprintf(out, VT_NAME_SIZE, "optimizer.%s.%s", what, s->param->name);
    if (n < VT_NAME_SIZE) return VT_OK;
    return vt_error(VT_EINVAL, "parameter name %s is too long to store its state", s->param->name);
}

static vt_status save_array(vt_tensor_map *map, const slot *s, const char *what, const float *data)
{
    char name[VT_NAME_SIZE];
    vt_tensor t = s->param->value;
    t.data = (void *)data;
    VT_TRY(state_name(name, s, what));
    return vt_tensor_map_add_copy(map, name, &t);
}

vt_status vt_optimizer_save(const vt_optimizer *optimizer, vt_tensor_map *map)
{
    vt_tensor steps;
    int64_t count = optimizer->count;
    VT_TRY(vt_tensor_map_add(map, "optimizer.steps", VT_I64, 1, &count, &steps));
    for (int i = 0; i < optimizer->count; i++) {
        const slot *s = &optimizer->slots[i];
        ((int64_t *)steps.data)[i] = s->steps;
        VT_TRY(save_array(map, s, "first", s->first));
        if (s->second) VT_TRY(save_array(map, s, "second", s->second));
    }
    return VT_OK;
}

static vt_status load_array(const vt_tensor_map *map, const slot *s, const char *what, float *data,
                            const char *label)
{
    char name[VT_NAME_SIZE];
    VT_TRY(state_name(name, s, what));
    const vt_tensor *t = vt_tensor_map_find(map, name);
    if (!t || t->dtype != VT_F32 || vt_tensor_count(t) != vt_tensor_count(&s->param->value))
        return vt_error(VT_EFORMAT, "%s: no usable %s: the checkpoint is of another run", label,
                        name);
    memcpy(data, t->data, vt_tensor_bytes(t));
    return VT_OK;
}

vt_status vt_optimizer_load(vt_optimizer *optimizer, const vt_tensor_map *map, const char *label)
{
    const vt_tensor *steps = vt_tensor_map_find(map, "optimizer.steps");
    if (!steps || steps->dtype != VT_I64 || vt_tensor_count(steps) != optimizer->count)
        return vt_error(VT_EFORMAT,
                        "%s: no usable optimizer.steps: the checkpoint is of another run", label);
    for (int i = 0; i < optimizer->count; i++) {
        slot *s = &optimizer->slots[i];
        s->steps = ((const int64_t *)steps->data)[i];
        VT_TRY(load_array(map, s, "first", s->first, label));
        if (s->second) VT_TRY(load_array(map, s, "second", s->second, label));
    }
    return VT_OK;
}
