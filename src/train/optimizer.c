/* Stochastic gradient descent with momentum, and Adam with decoupled weight decay.
 *
 * Adam (Kingma & Ba 2015): m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
 * w -= rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).
 * Decoupled decay: Loshchilov & Hutter 2019.
 *
 * It is bound by memory: one pass over gradients for their norms, and one that updates. Both go
 * over chunks of parameters that do not depend on the number of threads, nor do the results. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/vectorized.h"
#include "base/arena.h"
#include "ventral/progress.h"
#include "ventral/train.h"

enum { CHUNK = 16384, LANES = 16 };

typedef struct slot {
    vt_param *param;
    double decay, rate;
    float *first, *second; /* momentum, or Adam's m and v */
    double norm;           /* squared, of the present gradient */
    int64_t steps;         /* updates this parameter had: Adam's t */
} slot;

/* Some elements of one parameter. */
typedef struct chunk {
    int slot;
    int64_t first, count;
    double norm; /* squared, of the present gradient */
} chunk;

struct vt_optimizer {
    vt_graph *graph;
    vt_arena *arena;
    vt_optimizer_options options;
    slot *slots;
    int count;
    chunk *chunks;
    int64_t chunk_count;
};

static double or_default(double value, double standard)
{
    return value == 0 ? standard : value;
}

static vt_status make_chunks(vt_optimizer *optimizer)
{
    int64_t count = 0;
    for (int i = 0; i < optimizer->count; i++)
        count += (vt_tensor_count(&optimizer->slots[i].param->value) + CHUNK - 1) / CHUNK;
    VT_TRY(vt_arena_alloc(optimizer->arena, &optimizer->chunks,
                          (size_t)count * sizeof *optimizer->chunks, "optimiser"));
    for (int i = 0; i < optimizer->count; i++) {
        int64_t n = vt_tensor_count(&optimizer->slots[i].param->value);
        for (int64_t first = 0; first < n; first += CHUNK)
            optimizer->chunks[optimizer->chunk_count++] =
                (chunk){.slot = i, .first = first, .count = n - first < CHUNK ? n - first : CHUNK};
    }
    return VT_OK;
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
    return make_chunks(optimizer);
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

/* The squares' sum, in an order that does not depend on the vectors' length. */
VECTORIZED static double squared_norm(const float *g, int64_t n)
{
    double lanes[LANES] = {0}, sum = 0;
    int64_t whole = n / LANES * LANES;
    for (int64_t i = 0; i < whole; i += LANES)
        for (int k = 0; k < LANES; k++)
            lanes[k] += (double)g[i + k] * g[i + k];
    for (int64_t i = whole; i < n; i++)
        lanes[i - whole] += (double)g[i] * g[i];
    for (int k = 0; k < LANES; k++)
        sum += lanes[k];
    return sum;
}

/* What the loops over one chunk need; they read each gradient and leave zero. */
typedef struct update {
    float factor, clip; /* on the gradient: first scaled, then into [-clip, clip] */
    float rate, momentum, decay;
    float b1, b2, epsilon, scale, root, keep; /* Adam */
} update;

static inline float clipped(float g, const update *u)
{
    float d = g * u->factor;
    d = d > u->clip ? u->clip : d;
    return d < -u->clip ? -u->clip : d;
}

VECTORIZED static void step_sgd(const update *restrict how, float *restrict w, float *restrict g,
                                float *restrict velocity, int64_t n)
{
    const update u = *how;
    for (int64_t i = 0; i < n; i++) {
        float d = clipped(g[i], &u) + u.decay * w[i];
        float v = u.momentum * velocity[i] + d;
        velocity[i] = v;
        w[i] -= u.rate * v;
        g[i] = 0;
    }
}

VECTORIZED static void step_adam(const update *restrict how, float *restrict w, float *restrict g,
                                 float *restrict m, float *restrict v, int64_t n)
{
    const update u = *how;
    for (int64_t i = 0; i < n; i++) {
        float d = clipped(g[i], &u);
        float first = u.b1 * m[i] + (1 - u.b1) * d;
        float second = u.b2 * v[i] + (1 - u.b2) * d * d;
        m[i] = first;
        v[i] = second;
        w[i] = u.keep * w[i] - u.scale * first / (sqrtf(second) * u.root + u.epsilon);
        g[i] = 0;
    }
}

static void step_chunk(const vt_optimizer *optimizer, const chunk *c, double rate, double factor)
{
    const vt_optimizer_options *o = &optimizer->options;
    const slot *s = &optimizer->slots[c->slot];
    float *w = (float *)s->param->value.data + c->first;
    float *g = (float *)s->param->gradient.data + c->first;
    update u = {.factor = (float)factor,
                .clip = (float)or_default(o->clip_value, INFINITY),
                .rate = (float)(rate * s->rate),
                .momentum = (float)o->momentum,
                .decay = (float)s->decay};
    if (o->kind == VT_SGD) {
        step_sgd(&u, w, g, s->first + c->first, c->count);
        return;
    }
    double correct1 = 1 - pow(o->beta1, (double)s->steps);
    double correct2 = 1 - pow(o->beta2, (double)s->steps);
    u.b1 = (float)o->beta1;
    u.b2 = (float)o->beta2;
    u.epsilon = (float)o->epsilon;
    u.scale = (float)(rate * s->rate / correct1);
    u.root = (float)(1 / sqrt(correct2));
    u.keep = (float)(1 - rate * s->rate * s->decay);
    step_adam(&u, w, g, s->first + c->first, s->second + c->first, c->count);
}

/* The squared norm of all gradients; every slot's is left in the slot. */
static double norms(vt_optimizer *optimizer)
{
    chunk *chunks = optimizer->chunks;
    double total = 0;
#pragma omp parallel for schedule(static) num_threads(vt_threads())
    for (int64_t k = 0; k < optimizer->chunk_count; k++) {
        const slot *s = &optimizer->slots[chunks[k].slot];
        const float *g = s->param->gradient.data;
        chunks[k].norm = squared_norm(g + chunks[k].first, chunks[k].count);
    }
    for (int i = 0; i < optimizer->count; i++)
        optimizer->slots[i].norm = 0;
    for (int64_t k = 0; k < optimizer->chunk_count; k++) {
        optimizer->slots[chunks[k].slot].norm += chunks[k].norm;
        total += chunks[k].norm;
    }
    return total;
}

/* Gradients of parameters that are not the optimiser's. */
static void zero_others(const vt_optimizer *optimizer)
{
    int next = 0;
    for (int i = 0; i < vt_graph_param_count(optimizer->graph); i++) {
        vt_param *param = vt_graph_param(optimizer->graph, i);
        if (next < optimizer->count && optimizer->slots[next].param == param)
            next++;
        else if (param->gradient.data)
            memset(param->gradient.data, 0, vt_tensor_bytes(&param->gradient));
    }
}

vt_status vt_optimizer_step(vt_optimizer *optimizer, double rate)
{
    double total = norms(optimizer), clip = optimizer->options.clip_norm;
    for (int i = 0; i < optimizer->count; i++)
        if (!isfinite(optimizer->slots[i].norm))
            return vt_error(
                VT_ENUMERIC,
                "the gradient of %s is not finite: the learning rate (%g) may be too high",
                optimizer->slots[i].param->name, rate);
    double factor = clip > 0 && total > clip * clip ? clip / sqrt(total) : 1;
    for (int i = 0; i < optimizer->count; i++)
        if (optimizer->slots[i].norm != 0) optimizer->slots[i].steps++;
#pragma omp parallel for schedule(static) num_threads(vt_threads())
    for (int64_t k = 0; k < optimizer->chunk_count; k++) {
        const chunk *c = &optimizer->chunks[k];
        if (optimizer->slots[c->slot].norm != 0) step_chunk(optimizer, c, rate, factor);
    }
    zero_others(optimizer);
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
