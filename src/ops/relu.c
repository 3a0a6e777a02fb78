/* Rectified linear unit: y = max(x, 0); NaN stays NaN, so that a diverged network shows.
 * dL/dx = dL/dy where y > 0, else 0. */
#ifndef REAL
#include "ops/check.h"
#include "ops/real.h"

#define REAL float
#include "ops/relu.c"
#undef REAL
#define REAL double
#include "ops/relu.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    VT_TRY(vt_check_inputs(s));
    s->out = s->in[0];
    return VT_OK;
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_relu = {
    .name = "relu",
    .inputs = 1,
    .flags = VT_OP_BACKWARD_READS_OUT | VT_OP_IN_PLACE | VT_OP_OVERWRITES | VT_OP_GRADIENT_IN_PLACE,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};

#else

static void FN(forward)(const vt_op_args *args)
{
    int64_t n = vt_tensor_count(&args->out);
    const REAL *x = args->in[0].data; /* may be y */
    REAL *y = args->out.data;
#pragma omp parallel for simd schedule(static) num_threads(vt_threads()) if (n > VT_PARALLEL_WORK)
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

static void FN(backward)(const vt_op_args *args)
{
    int64_t n = vt_tensor_count(&args->out);
    const REAL *y = args->out.data, *gy = args->grad_out.data;
    REAL *gx = args->grad_in[0].data; /* may be gy */
    if (!gx) return;
    if (args->overwrite[0]) {
#pragma omp parallel for simd schedule(static) num_threads(vt_threads()) if (n > VT_PARALLEL_WORK)
        for (int64_t i = 0; i < n; i++) {
            REAL g = gy[i];
            gx[i] = y[i] > 0 ? g : 0;
        }
        return;
    }
#pragma omp parallel for simd schedule(static) num_threads(vt_threads()) if (n > VT_PARALLEL_WORK)
    for (int64_t i = 0; i < n; i++) {
        REAL g = gy[i]; /* whatever y is: vectors cannot skip */
        gx[i] += y[i] > 0 ? g : 0;
    }
}

#endif
