/* oneDNN's convolution within a layer that makes its kernel from other parameters. */
#include "backend/made_conv.h"

#include <stdlib.h>
#include <string.h>

#include "backend/onednn.h"
#include "base/arena.h"

static size_t rounded(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

vt_status vt_made_conv_init(vt_made_conv *c, const vt_kernel_request *outer, int64_t channels,
                            int width, bool bias_gradient)
{
    *c = (vt_made_conv){.constant = outer->constant_params};
    vt_inner_conv_init(&c->inner, &outer->args, channels, width, bias_gradient);
    vt_op_args *args = &c->inner.args;
    vt_kernel_request request = {.op = &vt_op_conv2d,
                                 .args = *args,
                                 .backward = outer->backward,
                                 .bf16 = outer->bf16,
                                 .constant_params = c->constant};
    VT_TRY(vt_onednn_conv2d(&c->kernel, &request));
    size_t bias_bytes = vt_tensor_bytes(&args->param[1]);
    size_t kernel_bytes = rounded(c->inner.kernel_bytes);
    char *memory = vt_alloc(1, kernel_bytes + bias_bytes);
    if (!memory) {
        c->kernel.free(c->kernel.state);
        return VT_ENOMEM;
    }
    args->param[0].data = memory;
    args->param[1].data = memory + kernel_bytes;
    c->scratch_bytes = rounded(c->kernel.scratch_bytes);
    c->image_bytes = rounded(c->inner.image_bytes);
    if (outer->backward && args->grad_param[0].ndim >= 0)
        c->gradients_bytes = kernel_bytes + rounded(bias_bytes);
    return VT_OK;
}

void vt_made_conv_destroy(vt_made_conv *c)
{
    c->kernel.free(c->kernel.state);
    free(c->inner.args.param[0].data);
}

vt_status vt_made_conv_refresh(vt_made_conv *c)
{
    return c->kernel.refresh ? c->kernel.refresh(c->kernel.state, &c->inner.args) : VT_OK;
}

vt_status vt_made_conv_forward(vt_made_conv *c, void *x, void *y, void *scratch)
{
    vt_op_args args = c->inner.args;
    args.in[0].data = x;
    args.out.data = y;
    args.scratch = scratch;
    return c->kernel.forward(c->kernel.state, &args);
}

vt_status vt_made_conv_backward(vt_made_conv *c, void *x, void *gy, void *gx, void *scratch,
                                vt_made_gradients *out, void *gradients)
{
    vt_op_args args = c->inner.args;
    args.in[0].data = x;
    args.grad_out.data = gy;
    args.grad_in[0].data = gx;
    args.scratch = scratch;
    if (c->gradients_bytes) {
        memset(gradients, 0, c->gradients_bytes);
        args.grad_param[0].data = gradients;
        if (args.grad_param[1].ndim >= 0)
            args.grad_param[1].data = (char *)gradients + rounded(c->inner.kernel_bytes);
    }
    *out = (vt_made_gradients){args.grad_param[0], args.grad_param[1]};
    return c->kernel.backward(c->kernel.state, &args);
}
