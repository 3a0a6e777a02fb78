/* Normalization by a pool of responses: with D = K * x + b, y = x / D,
 *
 *     q = -dy x / D^2,    dx = dy / D + K' * q,    dK and db: those of the convolution for q.
 *
 * forward saves D. */
#ifndef REAL
#include "ops/normalization.h"

#include <string.h>

#include "ops/real.h"

static void inner(vt_inner_conv *c, const vt_normalization *n, const vt_op_args *args)
{
    vt_inner_conv_init(c, args, args->in[0].size[3], n->width(args),
                       vt_normalization_wants_bias(n, args));
}

static size_t bias_bytes(const vt_inner_conv *c)
{
    return vt_tensor_bytes(&c->args.param[1]);
}

/* Scratch: kernel, bias, the convolution's; in backward then q and the gradients of kernel and
 * bias. */
static void place(vt_inner_conv *c, const vt_normalization *n, const vt_op_args *args)
{
    char *at = args->scratch;
    inner(c, n, args);
    c->args.param[0].data = at;
    c->args.param[1].data = at += c->kernel_bytes;
    c->args.scratch = at += bias_bytes(c);
    c->args.in[0].data = args->in[0].data;
    c->args.out.data = args->saved;
    n->make(args, &c->args.param[0], &c->args.param[1]);
}

static void place_gradients(vt_inner_conv *c, const vt_op_args *args)
{
    char *at = (char *)c->args.scratch + c->scratch_bytes;
    c->args.grad_out.data = at;
    c->args.grad_in[0].data = args->grad_in[0].data;
    at += c->image_bytes;
    if (c->args.grad_param[0].ndim < 0) return;
    memset(at, 0, c->kernel_bytes + bias_bytes(c));
    c->args.grad_param[0].data = at;
    if (c->args.grad_param[1].ndim >= 0) c->args.grad_param[1].data = at + c->kernel_bytes;
}

#define REAL float
#include "ops/normalization.c"
#undef REAL
#define REAL double
#include "ops/normalization.c"
#undef REAL

VT_BOTH(divide)
VT_BOTH(pool_gradient)

void vt_normalization_forward(const vt_normalization *n, const vt_op_args *args)
{
    vt_inner_conv c;
    place(&c, n, args);
    vt_op_conv2d.forward(&c.args);
    divide(args);
}

void vt_normalization_backward(const vt_normalization *n, const vt_op_args *args)
{
    vt_inner_conv c;
    place(&c, n, args);
    place_gradients(&c, args);
    vt_op_args q = *args;
    q.scratch = c.args.grad_out.data;
    pool_gradient(&q);
    vt_op_conv2d.backward(&c.args);
    if (c.args.grad_param[0].data) n->gradient(args, &c.args.grad_param[0], &c.args.grad_param[1]);
}

size_t vt_normalization_saved_bytes(const vt_normalization *n, const vt_op_args *args)
{
    vt_inner_conv c;
    inner(&c, n, args);
    return c.image_bytes;
}

size_t vt_normalization_scratch_bytes(const vt_normalization *n, const vt_op_args *args)
{
    vt_inner_conv c;
    inner(&c, n, args);
    return 2 * (c.kernel_bytes + bias_bytes(&c)) + c.scratch_bytes + c.image_bytes;
}

#else

static void FN(divide)(const vt_op_args *args)
{
    const REAL *x = args->in[0].data, *divisor = args->saved;
    REAL *y = args->out.data;
    int64_t count = vt_tensor_count(&args->out);
    for (int64_t i = 0; i < count; i++)
        y[i] = x[i] / divisor[i];
}

/* q into scratch, and what reaches x past the pool. */
static void FN(pool_gradient)(const vt_op_args *args)
{
    const REAL *x = args->in[0].data, *divisor = args->saved, *gy = args->grad_out.data;
    REAL *gx = args->grad_in[0].data, *q = args->scratch;
    int64_t count = vt_tensor_count(&args->out);
    for (int64_t i = 0; i < count; i++) {
        REAL direct = gy[i] / divisor[i];
        q[i] = -direct * (x[i] / divisor[i]);
        if (gx) gx[i] += direct;
    }
}

#endif
