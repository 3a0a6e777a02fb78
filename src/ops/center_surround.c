/* Center-surround antagonism (Pogoncheff, Granley & Beyeler 2023): the first C channels are
 * convolved among themselves with differences of Gaussians, the others pass,
 *
 *     y[n,i,j,o] = b[o] + sum over u,v,c of K[o,u,v,c] x[n, i - r + u, j - r + v, c],  o < C
 *     y[n,i,j,o] = x[n,i,j,o],                                                         o >= C
 *
 * with K from center_surround_kernel.c and a constant bias. Gradients are those of the convolution;
 * K's goes on to the parameters. sigma1 and sigma2_scale start as U(r / 2, r / 2 + 1), total_scale
 * as N(0, 4). Backward reads a copy of the C channels alone, so that forward may overwrite its
 * input. */
#ifndef REAL
#include "ops/center_surround.h"

#include <string.h>

#include "ops/check.h"
#include "ops/real.h"
#include "ventral/v1_layers.h"

typedef struct sizes {
    int64_t pixels, all, filtered; /* channels */
} sizes;

static sizes sizes_of(const vt_op_args *args)
{
    const vt_center_surround_options *o = args->options;
    const int64_t *in = args->in[0].size;
    return (sizes){in[0] * in[1] * in[2], in[3], o->channels};
}

static void inner(vt_inner_conv *c, const vt_op_args *args)
{
    const vt_center_surround_options *o = args->options;
    vt_inner_conv_init(c, args, o->channels, 2 * o->radius + 1, false);
}

#define REAL float
#include "ops/center_surround.c"
#undef REAL
#define REAL double
#include "ops/center_surround.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    const vt_center_surround_options *o = s->options;
    VT_TRY(vt_check_image(s));
    if (o->formulation != VT_DESCRIBED && o->formulation != VT_RELEASED)
        return vt_error(VT_EINVAL, "%s: unknown formulation %d", s->name, (int)o->formulation);
    if (o->channels < 1 || o->channels > s->in[0].size[2])
        return vt_error(VT_EINVAL, "%s: %d channels to filter, the input has %lld", s->name,
                        o->channels, (long long)s->in[0].size[2]);
    if (o->radius < 1 || o->radius > VT_DOG_MAX_RADIUS)
        return vt_error(VT_EINVAL, "%s: radius %d, expected 1 to %d", s->name, o->radius,
                        VT_DOG_MAX_RADIUS);
    s->out = s->in[0];
    s->params = 4;
    static const char *const roles[] = {"sigma1", "sigma2_scale", "total_scale"};
    for (int p = 0; p < 3; p++)
        s->param[p] = (vt_param_spec){.role = roles[p],
                                      .ndim = 2,
                                      .size = {o->channels, o->channels},
                                      .init = VT_INIT_UNIFORM,
                                      .low = o->radius / 2.0,
                                      .high = o->radius / 2.0 + 1};
    s->param[VT_DOG_TOTAL_SCALE].init = VT_INIT_NORMAL;
    s->param[VT_DOG_TOTAL_SCALE].scale = 2;
    s->param[VT_DOG_BIAS] = (vt_param_spec){
        .role = "bias", .ndim = 1, .size = {o->channels}, .is_buffer = true, .init = VT_INIT_ZERO};
    return vt_check_results(s);
}

static int64_t flops(const vt_op_shape *s)
{
    const vt_center_surround_options *o = s->options;
    int width = 2 * o->radius + 1;
    const int64_t *out = s->out.size;
    return vt_flops(7, (int64_t[]){2, o->channels, o->channels, width, width, out[0], out[1]});
}

static size_t saved_bytes(const vt_op_args *args)
{
    vt_inner_conv c;
    inner(&c, args);
    return c.image_bytes;
}

/* Kernel and its gradient, the convolution's scratch, two images of the filtered channels. */
static size_t scratch_bytes(const vt_op_args *args)
{
    vt_inner_conv c;
    inner(&c, args);
    return 2 * c.kernel_bytes + c.scratch_bytes + 2 * c.image_bytes;
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_center_surround = {
    .name = "center_surround",
    .inputs = 1,
    .options_size = sizeof(vt_center_surround_options),
    .flags = VT_OP_IN_PLACE,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .saved_bytes = saved_bytes,
    .scratch_bytes = scratch_bytes,
    .flops = flops,
};

#else

/* Scratch, as laid out above. */
static REAL *FN(kernel_at)(const vt_inner_conv *c, const vt_op_args *args, int index)
{
    char *scratch = args->scratch;
    return (REAL *)(scratch + (size_t)index * c->kernel_bytes);
}

static REAL *FN(image_at)(const vt_inner_conv *c, const vt_op_args *args, int index)
{
    char *images = (char *)args->scratch + 2 * c->kernel_bytes + c->scratch_bytes;
    return (REAL *)(images + (size_t)index * c->image_bytes);
}

static void FN(make_kernel)(vt_inner_conv *c, const vt_op_args *args)
{
    c->args.param[0].data = FN(kernel_at)(c, args, 0);
    c->args.param[1].data = args->param[VT_DOG_BIAS].data;
    c->args.scratch = FN(kernel_at)(c, args, 2);
    vt_dog_kernel(args, &c->args.param[0]);
}

static void FN(forward)(const vt_op_args *args)
{
    sizes s = sizes_of(args);
    const REAL *x = args->in[0].data;
    REAL *y = args->out.data, *filtered = args->saved;
    vt_inner_conv c;
    inner(&c, args);
    FN(make_kernel)(&c, args);
    c.args.in[0].data = filtered;
    c.args.out.data = FN(image_at)(&c, args, 0);
    for (int64_t i = 0; i < s.pixels; i++)
        memcpy(filtered + i * s.filtered, x + i * s.all, (size_t)s.filtered * sizeof(REAL));
    vt_op_conv2d.forward(&c.args);
    const REAL *result = c.args.out.data;
    if (x != y) memcpy(y, x, (size_t)(s.pixels * s.all) * sizeof(REAL));
    for (int64_t i = 0; i < s.pixels; i++)
        memcpy(y + i * s.all, result + i * s.filtered, (size_t)s.filtered * sizeof(REAL));
}

static void FN(backward)(const vt_op_args *args)
{
    sizes s = sizes_of(args);
    const REAL *gy = args->grad_out.data;
    REAL *gx = args->grad_in[0].data;
    vt_inner_conv c;
    inner(&c, args);
    FN(make_kernel)(&c, args);
    REAL *g = FN(image_at)(&c, args, 0), *gf = FN(image_at)(&c, args, 1);
    for (int64_t i = 0; i < s.pixels; i++)
        memcpy(g + i * s.filtered, gy + i * s.all, (size_t)s.filtered * sizeof(REAL));
    memset(gf, 0, c.image_bytes);
    c.args.in[0].data = args->saved;
    c.args.grad_out.data = g;
    if (gx) c.args.grad_in[0].data = gf;
    if (c.args.grad_param[0].ndim >= 0) {
        c.args.grad_param[0].data = FN(kernel_at)(&c, args, 1);
        memset(c.args.grad_param[0].data, 0, c.kernel_bytes);
    }
    vt_op_conv2d.backward(&c.args);
    if (c.args.grad_param[0].data) vt_dog_gradient(args, &c.args.grad_param[0]);
    if (!gx) return;
    for (int64_t i = 0; i < s.pixels; i++)
        for (int64_t k = 0; k < s.all; k++)
            gx[i * s.all + k] += k < s.filtered ? gf[i * s.filtered + k] : gy[i * s.all + k];
}

#endif
