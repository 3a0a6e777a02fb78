/* A convolution inside a layer: its options and sizes. */
#include "ops/inner_conv.h"

static vt_tensor sized(vt_dtype dtype, int ndim, const int64_t *size)
{
    vt_tensor t = {.dtype = dtype, .ndim = ndim};
    int64_t stride = (int64_t)vt_dtype_size(dtype);
    for (int i = ndim - 1; i >= 0; i--) {
        t.size[i] = size[i];
        t.stride[i] = stride;
        stride *= size[i];
    }
    return t;
}

void vt_inner_conv_init(vt_inner_conv *c, const vt_op_args *outer, int64_t channels, int width,
                        bool bias_gradient)
{
    const int64_t *in = outer->in[0].size;
    vt_dtype dtype = outer->out.dtype;
    int pad = width / 2;
    bool params = false;
    for (int i = 0; i < VT_OP_MAX_PARAMS; i++)
        params = params || outer->grad_param[i].ndim >= 0;

    *c = (vt_inner_conv){.options = {.name = "inner",
                                     .filters = (int)channels,
                                     .kernel = {width, width},
                                     .pad = {pad, pad, pad, pad}}};
    vt_op_args *a = &c->args;
    *a = (vt_op_args){.options = &c->options, .batch = outer->batch, .training = outer->training};
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++)
        a->in[i].ndim = a->grad_in[i].ndim = -1;
    for (int i = 0; i < VT_OP_MAX_PARAMS; i++)
        a->param[i].ndim = a->grad_param[i].ndim = -1;
    a->in[0] = a->out = a->grad_out = sized(dtype, 4, (int64_t[]){in[0], in[1], in[2], channels});
    a->param[0] = sized(dtype, 4, (int64_t[]){channels, width, width, channels});
    a->param[1] = sized(dtype, 1, &channels);
    if (outer->grad_in[0].ndim >= 0) a->grad_in[0] = a->in[0];
    if (params) a->grad_param[0] = a->param[0];
    if (bias_gradient) a->grad_param[1] = a->param[1];
    c->kernel_bytes = vt_tensor_bytes(&a->param[0]);
    c->image_bytes = vt_tensor_bytes(&a->in[0]);
    c->scratch_bytes = vt_op_conv2d.scratch_bytes(a);
}
