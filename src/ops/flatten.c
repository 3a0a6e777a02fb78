/* Every sample as one row of features, in row-major (height, width, channels) order: Keras's. */
#include "ops/check.h"

static vt_status infer(vt_op_shape *s)
{
    VT_TRY(vt_check_inputs(s));
    VT_TRY(vt_check_batched(s));
    int64_t count = 1;
    for (int i = 0; i < s->in[0].ndim; i++)
        count *= s->in[0].size[i];
    s->out = (vt_shape){.ndim = 1, .size = {count}};
    return vt_check_results(s);
}

/* Output and gradient share the input's memory, so there is nothing to move. */
static void forward(const vt_op_args *args)
{
    (void)args;
}

const vt_op vt_op_flatten = {
    .name = "flatten",
    .inputs = 1,
    .flags = VT_OP_VIEW,
    .infer = infer,
    .forward = forward,
    .backward = forward,
};
