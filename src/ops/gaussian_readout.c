/* Readout of a feature map by Gaussian spatial pools, a group of neurons a sample.
 *
 * y_i = b_i + sum_c m_ic sum_yx p_i(y) q_i(x) f(y, x, c), p_i and q_i as in gaussian_pool.h. It is
 * the mixing and spatial pooling of Cowley et al. 2026 with each pool held to a separable Gaussian,
 * four numbers instead of one a position, after the Gaussian readout of Lurz et al. 2021.
 *
 * A batch mixes recordings: sample n was shown to the neurons of group g(n) only, the other outputs
 * are 0 and get no gradient. With d = dL/dy_i: dL/dm = d z_i, dL/df = d m p q, and the pools'
 * gradient goes through u(y, x) = sum_c d m_ic f(y, x, c) to position and log sd. */
#ifndef REAL
#include <math.h>

#include "ops/check.h"
#include "ops/gaussian_pool.h"
#include "ops/real.h"

enum { MIXING, BIAS, POSITION, LOG_SD };

typedef struct sizes {
    int64_t batch, height, width, channels, neurons;
    const vt_gaussian_readout_options *options;
} sizes;

static sizes sizes_of(const vt_op_args *args)
{
    const int64_t *in = args->in[0].size;
    return (sizes){args->batch, in[1], in[2], in[3], args->param[MIXING].size[0], args->options};
}

/* Neurons [first, last) of a group; none for a group there is not. */
static void group_range(const vt_gaussian_readout_options *o, double group, int64_t *first,
                        int64_t *last)
{
    *first = *last = 0;
    for (int g = 0; g < o->group_count; g++) {
        *first = *last;
        *last += o->neurons[g];
        if (group == g) return;
    }
    *first = *last = 0;
}

#define REAL float
#include "ops/gaussian_readout.c"
#undef REAL
#define REAL double
#include "ops/gaussian_readout.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    const vt_gaussian_readout_options *o = s->options;
    VT_TRY(vt_check_inputs(s));
    VT_TRY(vt_check_batched(s));
    VT_TRY(vt_check_image(s));
    if (o->group_count < 1 || o->group_count > VT_READOUT_GROUPS)
        return vt_error(VT_EINVAL, "%s: %d groups of neurons, 1 to %d are possible", s->name,
                        o->group_count, VT_READOUT_GROUPS);
    int64_t neurons = 0, channels = s->in[0].size[2];
    for (int g = 0; g < o->group_count; g++) {
        if (o->neurons[g] < 1)
            return vt_error(VT_EINVAL, "%s: group %d has %d neurons", s->name, g, o->neurons[g]);
        neurons += o->neurons[g];
    }
    if (s->in[1].ndim != 1 || s->in[1].size[0] != 1)
        return vt_error(VT_ESHAPE, "%s: the group is one number a sample", s->name);
    if (!(o->sd > 0)) return vt_error(VT_EINVAL, "%s: sd %g must be above 0", s->name, o->sd);
    s->out = (vt_shape){.ndim = 1, .size = {neurons}};
    s->params = 4;
    s->param[MIXING] = (vt_param_spec){.role = "mixing",
                                       .ndim = 2,
                                       .size = {neurons, channels},
                                       .init = VT_INIT_NORMAL,
                                       .scale = 0.1 / sqrt((double)channels)};
    s->param[BIAS] = (vt_param_spec){.role = "bias", .ndim = 1, .size = {neurons}};
    s->param[POSITION] = (vt_param_spec){.role = "position", .ndim = 2, .size = {neurons, 2}};
    s->param[LOG_SD] = (vt_param_spec){.role = "log_sd",
                                       .ndim = 2,
                                       .size = {neurons, 2},
                                       .init = VT_INIT_CONSTANT,
                                       .scale = log(o->sd)};
    return vt_check_results(s);
}

static size_t saved_bytes(const vt_op_args *args)
{
    sizes s = sizes_of(args);
    int64_t pools = s.neurons * (s.height + s.width), pooled = s.batch * s.neurons * s.channels;
    return (size_t)(pools + pooled) * vt_dtype_size(args->out.dtype);
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_gaussian_readout = {
    .name = "gaussian_readout",
    .inputs = 2,
    .options_size = sizeof(vt_gaussian_readout_options),
    .flags = VT_OP_BACKWARD_READS_IN,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .saved_bytes = saved_bytes,
};

#else
static inline REAL FN(dot)(const REAL *a, const REAL *b, int64_t n)
{
    REAL sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* y += s x */
static inline void FN(axpy)(REAL *restrict y, REAL s, const REAL *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += s * x[i];
}

/* saved: pools (neurons, height + width), then pooled features z (batch, neurons, channels). */
static REAL *FN(pools)(const vt_op_args *args)
{
    return args->saved;
}

static REAL *FN(pooled)(const vt_op_args *args, const sizes *s)
{
    return (REAL *)args->saved + s->neurons * (s->height + s->width);
}

static void FN(make_pool)(REAL *pool, int64_t length, double position, double log_sd)
{
    double exact[length];
    vt_gaussian_pool(exact, length, position, log_sd);
    for (int64_t k = 0; k < length; k++)
        pool[k] = (REAL)exact[k];
}

static void FN(pool_features)(REAL *z, REAL *line, const REAL *f, const REAL *pool, const sizes *s)
{
    for (int64_t c = 0; c < s->channels; c++)
        z[c] = 0;
    for (int64_t y = 0; y < s->height; y++) {
        for (int64_t c = 0; c < s->channels; c++)
            line[c] = 0;
        for (int64_t x = 0; x < s->width; x++)
            FN(axpy)(line, pool[s->height + x], f + (y * s->width + x) * s->channels, s->channels);
        FN(axpy)(z, pool[y], line, s->channels);
    }
}

static void FN(forward)(const vt_op_args *args)
{
    sizes s = sizes_of(args);
    const REAL *mixing = args->param[MIXING].data, *bias = args->param[BIAS].data;
    const REAL *position = args->param[POSITION].data, *log_sd = args->param[LOG_SD].data;
    const REAL *features = args->in[0].data, *groups = args->in[1].data;
    REAL *out = args->out.data, *pools = FN(pools)(args), *pooled = FN(pooled)(args, &s);
    for (int64_t i = 0; i < s.neurons; i++) {
        REAL *pool = pools + i * (s.height + s.width);
        FN(make_pool)(pool, s.height, position[2 * i], log_sd[2 * i]);
        FN(make_pool)(pool + s.height, s.width, position[2 * i + 1], log_sd[2 * i + 1]);
    }
#pragma omp parallel for schedule(static) num_threads(vt_threads())
    for (int64_t n = 0; n < s.batch; n++) {
        int64_t first, last;
        group_range(s.options, groups[n], &first, &last);
        const REAL *f = features + n * s.height * s.width * s.channels;
        for (int64_t i = 0; i < s.neurons; i++) {
            REAL *z = pooled + (n * s.neurons + i) * s.channels;
            out[n * s.neurons + i] = 0;
            if (i < first || i >= last) continue;
            REAL line[s.channels];
            FN(pool_features)(z, line, f, pools + i * (s.height + s.width), &s);
            out[n * s.neurons + i] = bias[i] + FN(dot)(mixing + i * s.channels, z, s.channels);
        }
    }
}

static void FN(feature_gradient)(const vt_op_args *args, const sizes *s)
{
    const REAL *mixing = args->param[MIXING].data, *groups = args->in[1].data;
    const REAL *gout = args->grad_out.data, *pools = FN(pools)(args);
#pragma omp parallel for schedule(static) num_threads(vt_threads())
    for (int64_t n = 0; n < s->batch; n++) {
        int64_t first, last;
        group_range(s->options, groups[n], &first, &last);
        REAL *gf = (REAL *)args->grad_in[0].data + n * s->height * s->width * s->channels;
        for (int64_t i = first; i < last; i++) {
            const REAL *pool = pools + i * (s->height + s->width);
            REAL d = gout[n * s->neurons + i];
            for (int64_t y = 0; y < s->height; y++)
                for (int64_t x = 0; x < s->width; x++)
                    FN(axpy)
            (gf + (y * s->width + x) * s->channels, d * pool[y] * pool[s->height + x],
             mixing + i * s->channels, s->channels);
        }
    }
}

/* From dL/dpool to position and log sd: with e' the derivative of e,
 * dL/dtheta = (sum g e' - (sum g p) (sum e')) / (floor + sum e). */
static void FN(pool_gradient)(REAL *gposition, REAL *glog_sd, const double *g, int64_t length,
                              double position, double log_sd)
{
    double e[length], sd = exp(log_sd), ge[3] = {0}, e_sum[3] = {0};
    double sum = vt_gaussian_bump(e, length, position, log_sd);
    for (int64_t k = 0; k < length; k++) {
        double d = ((double)k - 0.5 * (double)(length - 1) - position) / sd;
        double derivative[3] = {e[k], e[k] * d / sd,
                                e[k] * d * d}; /* of nothing, position, log sd */
        for (int j = 0; j < 3; j++) {
            ge[j] += g[k] * derivative[j];
            e_sum[j] += derivative[j];
        }
    }
    double mean = ge[0] / sum;
    if (gposition) *gposition += (REAL)((ge[1] - mean * e_sum[1]) / sum);
    if (glog_sd) *glog_sd += (REAL)((ge[2] - mean * e_sum[2]) / sum);
}

/* One neuron's parameters, over the batch. */
static void FN(neuron_gradient)(const vt_op_args *args, const sizes *s, int64_t i)
{
    const REAL *m = (const REAL *)args->param[MIXING].data + i * s->channels;
    const REAL *position = args->param[POSITION].data, *log_sd = args->param[LOG_SD].data;
    const REAL *gout = args->grad_out.data, *groups = args->in[1].data;
    const REAL *pool = FN(pools)(args) + i * (s->height + s->width);
    REAL *gm = args->grad_param[MIXING].data, *gb = args->grad_param[BIAS].data;
    REAL *gp = args->grad_param[POSITION].data, *gs = args->grad_param[LOG_SD].data;
    double rows[s->height], columns[s->width];
    for (int64_t y = 0; y < s->height; y++)
        rows[y] = 0;
    for (int64_t x = 0; x < s->width; x++)
        columns[x] = 0;
    for (int64_t n = 0; n < s->batch; n++) {
        int64_t first, last;
        group_range(s->options, groups[n], &first, &last);
        if (i < first || i >= last) continue;
        REAL d = gout[n * s->neurons + i];
        if (gb) gb[i] += d;
        if (gm) FN(axpy)
        (gm + i * s->channels, d, FN(pooled)(args, s) + (n * s->neurons + i) * s->channels,
         s->channels);
        if (!gp && !gs) continue;
        const REAL *f = (const REAL *)args->in[0].data + n * s->height * s->width * s->channels;
        for (int64_t y = 0; y < s->height; y++)
            for (int64_t x = 0; x < s->width; x++) {
                double u = d * FN(dot)(f + (y * s->width + x) * s->channels, m, s->channels);
                rows[y] += u * pool[s->height + x];
                columns[x] += u * pool[y];
            }
    }
    if (!gp && !gs) return;
    FN(pool_gradient)
    (gp ? gp + 2 * i : NULL, gs ? gs + 2 * i : NULL, rows, s->height, position[2 * i],
     log_sd[2 * i]);
    FN(pool_gradient)
    (gp ? gp + 2 * i + 1 : NULL, gs ? gs + 2 * i + 1 : NULL, columns, s->width, position[2 * i + 1],
     log_sd[2 * i + 1]);
}

static void FN(backward)(const vt_op_args *args)
{
    sizes s = sizes_of(args);
    bool any = false;
    if (args->grad_in[0].data) FN(feature_gradient)(args, &s);
    for (int p = 0; p < 4; p++)
        any = any || args->grad_param[p].data;
    if (!any) return;
#pragma omp parallel for schedule(dynamic, 1) num_threads(vt_threads())
    for (int64_t i = 0; i < s.neurons; i++)
        FN(neuron_gradient)(args, &s, i);
}

#endif
