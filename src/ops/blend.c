/* Weighted mean of two layers of the same sizes: y = (1 - w) a + w b. A chain of them with weights
 * 1/2, 1/3, ... is the running mean of any number of layers. */
#ifndef REAL
#include "ops/check.h"
#include "ops/real.h"

#define REAL float
#include "ops/blend.c"
#undef REAL
#define REAL double
#include "ops/blend.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    const vt_blend_options *o = s->options;
    VT_TRY(vt_check_inputs(s));
    VT_TRY(vt_check_same(s, "the second input"));
    if (!(o->weight >= 0 && o->weight <= 1))
        return vt_error(VT_EINVAL, "%s: weight is %g, expected 0 to 1", s->name, o->weight);
    s->out = s->in[0];
    return VT_OK;
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_blend = {
    .name = "blend",
    .inputs = 2,
    .options_size = sizeof(vt_blend_options),
    .flags = VT_OP_IN_PLACE,
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
    REAL w = (REAL)((const vt_blend_options *)args->options)->weight;
#pragma omp parallel for simd schedule(static) num_threads(vt_threads()) if (n > VT_PARALLEL_WORK)
    for (int64_t i = 0; i < n; i++)
        y[i] = (1 - w) * a[i] + w * b[i];
}

static void FN(backward)(const vt_op_args *args)
{
    int64_t n = vt_tensor_count(&args->out);
    REAL w = (REAL)((const vt_blend_options *)args->options)->weight;
    const REAL *gy = args->grad_out.data;
    for (int input = 0; input < 2; input++) {
        REAL *gx = args->grad_in[input].data, share = input ? w : 1 - w;
        if (!gx) continue;
#pragma omp parallel for simd schedule(static) num_threads(vt_threads()) if (n > VT_PARALLEL_WORK)
        for (int64_t i = 0; i < n; i++)
            gx[i] += share * gy[i];
    }
}

#endif
