/* Losses between a layer x and a target t of the same sizes, means over the targets that are not
 * NaN (all NaN: loss 0, no gradient):
 *
 *     mean_squared_error  (x - t)^2                 d/dx = 2 (x - t)
 *     poisson_loss        x - t log(x + 1e-8)       d/dx = 1 - t / (x + 1e-8)
 *
 * The second is the negative log-likelihood of a Poisson count t of mean x, up to a constant. */
#ifndef REAL
#include "ops/check.h"
#include "ops/real.h"

#include <math.h>

#define POISSON_EPSILON 1e-8
enum { CHUNK = 4096 };

typedef struct partial {
    double sum, count;
} partial;

static int64_t chunk_count(const vt_op_args *args)
{
    return (vt_tensor_count(&args->in[0]) + CHUNK - 1) / CHUNK;
}

/* Forward saves the number of targets that count. */
static size_t saved_bytes(const vt_op_args *args)
{
    (void)args;
    return sizeof(double);
}

static size_t scratch_bytes(const vt_op_args *args)
{
    return (size_t)chunk_count(args) * sizeof(partial);
}

#define REAL float
#include "ops/loss.c"
#undef REAL
#define REAL double
#include "ops/loss.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    VT_TRY(vt_check_inputs(s));
    VT_TRY(vt_check_batched(s));
    VT_TRY(vt_check_same(s, "the target"));
    s->out = (vt_shape){.ndim = 1, .size = {1}, .batchless = true};
    return VT_OK;
}

VT_BOTH(squared_forward)
VT_BOTH(squared_backward)
VT_BOTH(poisson_forward)
VT_BOTH(poisson_backward)

const vt_op vt_op_mean_squared_error = {
    .name = "mean_squared_error",
    .inputs = 2,
    .flags = VT_OP_BACKWARD_READS_IN,
    .infer = infer,
    .forward = squared_forward,
    .backward = squared_backward,
    .saved_bytes = saved_bytes,
    .scratch_bytes = scratch_bytes,
};

const vt_op vt_op_poisson_loss = {
    .name = "poisson_loss",
    .inputs = 2,
    .flags = VT_OP_BACKWARD_READS_IN,
    .infer = infer,
    .forward = poisson_forward,
    .backward = poisson_backward,
    .saved_bytes = saved_bytes,
    .scratch_bytes = scratch_bytes,
};

#else

static void FN(forward)(const vt_op_args *args, bool poisson)
{
    const REAL *x = args->in[0].data, *t = args->in[1].data;
    int64_t n = vt_tensor_count(&args->in[0]), chunks = chunk_count(args);
    partial *partials = args->scratch, total = {0};
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (n > VT_PARALLEL_WORK)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        partial p = {0};
        int64_t last = vt_min((chunk + 1) * CHUNK, n);
        for (int64_t i = chunk * CHUNK; i < last; i++) {
            if (isnan(t[i])) continue;
            double a = x[i], b = t[i];
            p.sum += poisson ? a - b * log(a + POISSON_EPSILON) : (a - b) * (a - b);
            p.count++;
        }
        partials[chunk] = p;
    }
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        total.sum += partials[chunk].sum;
        total.count += partials[chunk].count;
    }
    *(REAL *)args->out.data = total.count > 0 ? (REAL)(total.sum / total.count) : 0;
    *(double *)args->saved = total.count;
}

static void FN(backward)(const vt_op_args *args, bool poisson)
{
    const REAL *x = args->in[0].data, *t = args->in[1].data;
    REAL *gx = args->grad_in[0].data, *gt = args->grad_in[1].data;
    int64_t n = vt_tensor_count(&args->in[0]);
    double count = *(const double *)args->saved;
    if (count == 0) return;
    double scale = *(const REAL *)args->grad_out.data / count;
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (n > VT_PARALLEL_WORK)
    for (int64_t i = 0; i < n; i++) {
        if (isnan(t[i])) continue;
        double a = x[i], b = t[i], shifted = a + POISSON_EPSILON;
        if (gx) gx[i] += (REAL)(scale * (poisson ? 1 - b / shifted : 2 * (a - b)));
        if (gt) gt[i] += (REAL)(scale * (poisson ? -log(shifted) : 2 * (b - a)));
    }
}

static void FN(squared_forward)(const vt_op_args *args)
{
    FN(forward)(args, false);
}

static void FN(squared_backward)(const vt_op_args *args)
{
    FN(backward)(args, false);
}

static void FN(poisson_forward)(const vt_op_args *args)
{
    FN(forward)(args, true);
}

static void FN(poisson_backward)(const vt_op_args *args)
{
    FN(backward)(args, true);
}

#endif
