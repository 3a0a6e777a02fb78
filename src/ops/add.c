/* Sum of two layers of the same sizes: y = a + b. */
#ifndef REAL
#include "ops/check.h"
#include "ops/real.h"

#define REAL float
#include "ops/add.c"
#undef REAL
#define REAL double
#include "ops/add.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    VT_TRY(vt_check_inputs(s));
    VT_TRY(vt_check_same(s, "the second input"));
    s->out = s->in[0];
    return VT_OK;
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_add = {
    .name = "add",
    .inputs = 2,
    .flags = VT_OP_IN_PLACE | VT_OP_OVERWRITES | VT_OP_GRADIENT_IN_PLACE,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};

#else

static void FN(forward)(const vt_op_args *args)
{
    int64_t n = vt_tensor_count(&args->out);
    const REAL *a = args->in[0].data, *b = args->in[1].data; /* a may be y */
    REAL *y = args->out.data;
#pragma omp parallel for simd schedule(static) num_threads(vt_threads()) if (n > VT_PARALLEL_WORK)
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void FN(backward)(const vt_op_args *args)
{
    int64_t n = vt_tensor_count(&args->out);
    const REAL *gy = args->grad_out.data;
    for (int input = 0; input < 2; input++) {
        REAL *gx = args->grad_in[input].data; /* the first may be gy */
        if (!gx || gx == gy) continue;
        if (args->overwrite[input]) {
#pragma omp parallel for simd schedule(static) num_threads(vt_threads()) if (n > VT_PARALLEL_WORK)
            for (int64_t i = 0; i < n; i++)
                gx[i] = gy[i];
            continue;
        }
#pragma omp parallel for simd schedule(static) num_threads(vt_threads()) if (n > VT_PARALLEL_WORK)
        for (int64_t i = 0; i < n; i++)
            gx[i] += gy[i];
    }
}

#endif
