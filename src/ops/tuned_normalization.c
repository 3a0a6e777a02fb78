/* Tuned normalization, opponent channel inhibition (Pogoncheff, Granley & Beyeler 2023):
 * y = x / (1 + W x) at every pixel. Channels lie on a circle of n; the weights fall as a Gaussian
 * with distance on it, of standard deviation s_c = max(sigmas[c], 0.5) and normalized to sum 1:
 *
 *     p_c(m) = exp(-d(m)^2 / 2 s_c^2) / sum over m of the same,  m = 0 .. n - 1
 *     described   W[c, (c + m) mod n] = p_c(m),  d(m) = min(m, n - m)
 *     released    W[(c - m) mod n, c] = p_c(m),  d(m) = |m - floor(n / 2)|
 *
 * Described, a channel is inhibited most by itself and its neighbours, and the weights of its pool
 * sum to 1. Released, c is the inhibiting channel, whose weights sum to 1 over those it inhibits,
 * most of all the channel on the other side of the circle.
 *
 * dL/ds_c = sum over m of dW p_c(m) (t(m) - sum of p_c t), t(m) = d(m)^2 / s_c^3. */
#include <math.h>
#include <stdlib.h>

#include "ops/check.h"
#include "ops/normalization.h"
#include "ops/real.h"
#include "ventral/v1_layers.h"

static bool is_released(const vt_op_args *args)
{
    const vt_tuned_normalization_options *o = args->options;
    return o->formulation == VT_RELEASED;
}

static double distance(bool released, int64_t n, int64_t m)
{
    if (released) return (double)llabs(m - n / 2);
    return (double)(m < n - m ? m : n - m);
}

/* Where p_c(m) is in W. */
static int64_t place(bool released, int64_t n, int64_t c, int64_t m)
{
    return released ? (c - m + n) % n * n + c : c * n + (c + m) % n;
}

static double sigma_of(const vt_op_args *args, int64_t c)
{
    double sigma = vt_element(&args->param[0], c);
    return sigma < VT_TUNED_LEAST_SIGMA ? VT_TUNED_LEAST_SIGMA : sigma;
}

static int width(const vt_op_args *args)
{
    (void)args;
    return 1;
}

static void make(const vt_op_args *args, const vt_tensor *kernel, const vt_tensor *bias)
{
    int64_t n = args->in[0].size[3];
    bool released = is_released(args);
#pragma omp parallel for schedule(static)                                                          \
    num_threads(vt_threads()) if (n * n > VT_PARALLEL_WORK / 16)
    for (int64_t c = 0; c < n; c++) {
        double s = sigma_of(args, c), sum = 0;
        vt_set_element(bias, c, 1);
        for (int64_t m = 0; m < n; m++) {
            double d = distance(released, n, m) / s;
            sum += exp(-0.5 * d * d);
        }
        for (int64_t m = 0; m < n; m++) {
            double d = distance(released, n, m) / s;
            vt_set_element(kernel, place(released, n, c, m), exp(-0.5 * d * d) / sum);
        }
    }
}

static double sigma_gradient(const vt_op_args *args, const vt_tensor *grad_kernel, int64_t c)
{
    int64_t n = args->in[0].size[3];
    bool released = is_released(args);
    double s = sigma_of(args, c), sum = 0, t_sum = 0, g_sum = 0, gt_sum = 0;
    for (int64_t m = 0; m < n; m++) {
        double d = distance(released, n, m) / s, p = exp(-0.5 * d * d), t = d * d / s;
        double g = vt_element(grad_kernel, place(released, n, c, m));
        sum += p;
        t_sum += p * t;
        g_sum += g * p;
        gt_sum += g * p * t;
    }
    return (gt_sum - g_sum * t_sum / sum) / sum;
}

static void gradient(const vt_op_args *args, const vt_tensor *grad_kernel,
                     const vt_tensor *grad_bias)
{
    (void)grad_bias; /* a constant */
    int64_t n = args->in[0].size[3];
#pragma omp parallel for schedule(static)                                                          \
    num_threads(vt_threads()) if (n * n > VT_PARALLEL_WORK / 16)
    for (int64_t c = 0; c < n; c++)
        if (!(vt_element(&args->param[0], c) < VT_TUNED_LEAST_SIGMA))
            vt_add_element(&args->grad_param[0], c, sigma_gradient(args, grad_kernel, c));
}

static vt_status infer(vt_op_shape *s)
{
    const vt_tuned_normalization_options *o = s->options;
    VT_TRY(vt_check_image(s));
    if (o->formulation != VT_DESCRIBED && o->formulation != VT_RELEASED)
        return vt_error(VT_EINVAL, "%s: unknown formulation %d", s->name, (int)o->formulation);
    int64_t n = s->in[0].size[2];
    if (n > INT32_MAX / n)
        return vt_error(VT_ESHAPE, "%s: a pool of every of %lld channels over all is too large",
                        s->name, (long long)n);
    s->out = s->in[0];
    s->params = 1;
    s->param[0] = (vt_param_spec){.role = "sigmas",
                                  .ndim = 1,
                                  .size = {n},
                                  .init = VT_INIT_UNIFORM,
                                  .low = (double)n / 8,
                                  .high = (double)n / 8 + 1};
    return vt_check_results(s);
}

static int64_t flops(const vt_op_shape *s)
{
    const int64_t *out = s->out.size;
    return vt_flops(5, (int64_t[]){2, out[2], out[2], out[0], out[1]});
}

static void forward(const vt_op_args *args)
{
    vt_normalization_forward(&vt_tuned, args);
}

static void backward(const vt_op_args *args)
{
    vt_normalization_backward(&vt_tuned, args);
}

static size_t saved_bytes(const vt_op_args *args)
{
    return vt_normalization_saved_bytes(&vt_tuned, args);
}

static size_t scratch_bytes(const vt_op_args *args)
{
    return vt_normalization_scratch_bytes(&vt_tuned, args);
}

const vt_op vt_op_tuned_normalization = {
    .name = "tuned_normalization",
    .inputs = 1,
    .options_size = sizeof(vt_tuned_normalization_options),
    .flags = VT_OP_BACKWARD_READS_IN,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .saved_bytes = saved_bytes,
    .scratch_bytes = scratch_bytes,
    .flops = flops,
};

const vt_normalization vt_tuned = {.bias = -1, .width = width, .make = make, .gradient = gradient};
