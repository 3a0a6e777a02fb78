/* Batch normalization (Ioffe & Szegedy 2015) over all but the last dimension:
 *
 *     y = gamma z + beta,  z = (x - mean) r,  r = 1 / sqrt(variance + epsilon)
 *
 * Training takes mean and (biased) variance from the batch and moves the running statistics:
 *     dx = gamma r (dy - mean(dy) - z mean(dy z)),  dgamma = sum(dy z),  dbeta = sum(dy).
 * Inference takes the running statistics, which are constants: dx = gamma r dy.
 *
 * Sums run in double over fixed chunks of rows, then over the chunks: the same on any number of
 * threads. The variance is the mean of squared distances from the mean, which cannot cancel. */
#ifndef REAL
#include "ops/check.h"
#include "ops/real.h"

#include <math.h>
#include <string.h>

enum { GAMMA, BETA, MOVING_MEAN, MOVING_VARIANCE };
enum { MAX_CHUNKS = 32 };

typedef struct sizes {
    int64_t rows, channels, chunks, chunk_rows;
    bool parallel;
} sizes;

static sizes sizes_of(const vt_op_args *args)
{
    const vt_tensor *x = &args->in[0];
    sizes s = {.rows = 1, .channels = x->size[x->ndim - 1]};
    for (int i = 0; i < x->ndim - 1; i++)
        s.rows *= x->size[i];
    s.chunk_rows = (s.rows + MAX_CHUNKS - 1) / MAX_CHUNKS;
    s.chunks = (s.rows + s.chunk_rows - 1) / s.chunk_rows;
    s.parallel = s.rows * s.channels > VT_PARALLEL_WORK;
    return s;
}

/* Forward saves mean[channels], r[channels]; both directions sum in [2][chunks][channels]. */
static size_t saved_bytes(const vt_op_args *args)
{
    return 2 * (size_t)sizes_of(args).channels * sizeof(double);
}

static size_t scratch_bytes(const vt_op_args *args)
{
    return 2 * MAX_CHUNKS * (size_t)sizes_of(args).channels * sizeof(double);
}

/* Adds the chunks' sums into the first chunk's. */
static void add_chunks(double *sums, const sizes *s)
{
    for (int64_t chunk = 1; chunk < s->chunks; chunk++)
        for (int64_t c = 0; c < s->channels; c++)
            sums[c] += sums[chunk * s->channels + c];
}

#define REAL float
#include "ops/batch_norm.c"
#undef REAL
#define REAL double
#include "ops/batch_norm.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    const vt_batch_norm_options *o = s->options;
    VT_TRY(vt_check_inputs(s));
    VT_TRY(vt_check_batched(s));
    if (!(o->epsilon > 0) || isinf(o->epsilon))
        return vt_error(VT_EINVAL, "%s: epsilon is %g, expected above 0", s->name, o->epsilon);
    if (!(o->momentum >= 0 && o->momentum <= 1))
        return vt_error(VT_EINVAL, "%s: momentum is %g, expected 0 to 1", s->name, o->momentum);
    int64_t channels = s->in[0].size[s->in[0].ndim - 1];
    s->out = s->in[0];
    s->params = 4;
    static const vt_param_spec params[4] = {
        {.role = "gamma", .init = VT_INIT_ONE},
        {.role = "beta", .init = VT_INIT_ZERO},
        {.role = "moving_mean", .init = VT_INIT_ZERO, .is_buffer = true},
        {.role = "moving_variance", .init = VT_INIT_ONE, .is_buffer = true},
    };
    for (int i = 0; i < 4; i++) {
        s->param[i] = params[i];
        s->param[i].ndim = 1;
        s->param[i].size[0] = channels;
    }
    return vt_check_results(s);
}

static int64_t flops(const vt_op_shape *s)
{
    int64_t factors[VT_MAX_DIMS] = {2};
    memcpy(factors + 1, s->out.size, sizeof s->out.size);
    return vt_flops(1 + s->out.ndim, factors);
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_batch_norm = {
    .name = "batch_norm",
    .inputs = 1,
    .options_size = sizeof(vt_batch_norm_options),
    .flags = VT_OP_BACKWARD_READS_IN,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .saved_bytes = saved_bytes,
    .scratch_bytes = scratch_bytes,
    .flops = flops,
};

#else

/* sums[c] = sum over rows of (x - mean)^power, power 1 (mean NULL: of x) or 2. */
static void FN(column_sums)(double *sums, const REAL *x, const double *mean, const sizes *s)
{
    memset(sums, 0, (size_t)(s->chunks * s->channels) * sizeof *sums);
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (s->parallel)
    for (int64_t chunk = 0; chunk < s->chunks; chunk++) {
        double *restrict sum = sums + chunk * s->channels;
        int64_t last = vt_min((chunk + 1) * s->chunk_rows, s->rows);
        for (int64_t row = chunk * s->chunk_rows; row < last; row++) {
            const REAL *restrict in = x + row * s->channels;
            if (!mean)
                for (int64_t c = 0; c < s->channels; c++)
                    sum[c] += in[c];
            else
                for (int64_t c = 0; c < s->channels; c++)
                    sum[c] += (in[c] - mean[c]) * (in[c] - mean[c]);
        }
    }
    add_chunks(sums, s);
}

/* mean and r of the batch into `saved`; moves the running statistics. */
static void FN(batch_statistics)(const vt_op_args *args, const sizes *s, double *saved)
{
    const vt_batch_norm_options *o = args->options;
    const REAL *x = args->in[0].data;
    REAL *moving_mean = args->param[MOVING_MEAN].data;
    REAL *moving_variance = args->param[MOVING_VARIANCE].data;
    double *mean = saved, *r = saved + s->channels, *sums = args->scratch;
    double rows = (double)s->rows, m = o->momentum;

    FN(column_sums)(sums, x, NULL, s);
    for (int64_t c = 0; c < s->channels; c++)
        mean[c] = sums[c] / rows;
    FN(column_sums)(sums, x, mean, s);
    for (int64_t c = 0; c < s->channels; c++) {
        double variance = sums[c] / rows;
        r[c] = 1 / sqrt(variance + o->epsilon);
        if (o->unbiased && s->rows > 1) variance = sums[c] / (rows - 1);
        moving_mean[c] = (REAL)((1 - m) * moving_mean[c] + m * mean[c]);
        moving_variance[c] = (REAL)((1 - m) * moving_variance[c] + m * variance);
    }
}

static void FN(running_statistics)(const vt_op_args *args, const sizes *s, double *saved)
{
    const vt_batch_norm_options *o = args->options;
    const REAL *mean = args->param[MOVING_MEAN].data, *variance = args->param[MOVING_VARIANCE].data;
    for (int64_t c = 0; c < s->channels; c++) {
        saved[c] = mean[c];
        saved[s->channels + c] = 1 / sqrt(variance[c] + o->epsilon);
    }
}

static void FN(forward)(const vt_op_args *args)
{
    sizes s = sizes_of(args);
    const REAL *x = args->in[0].data, *gamma = args->param[GAMMA].data;
    const REAL *beta = args->param[BETA].data;
    REAL *y = args->out.data;
    double *mean = args->saved, *r = mean + s.channels;
    if (args->training)
        FN(batch_statistics)(args, &s, mean);
    else
        FN(running_statistics)(args, &s, mean);
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (s.parallel)
    for (int64_t row = 0; row < s.rows; row++)
        for (int64_t c = 0; c < s.channels; c++) {
            int64_t i = row * s.channels + c;
            y[i] = (REAL)((x[i] - mean[c]) * (r[c] * gamma[c]) + beta[c]);
        }
}

/* Sums over rows of dy and of dy z, each [channels]. */
static void FN(gradient_sums)(const vt_op_args *args, const sizes *s, double *gy_sums,
                              double *gyz_sums)
{
    const REAL *x = args->in[0].data, *gy = args->grad_out.data;
    const double *mean = args->saved, *r = mean + s->channels;
    memset(gy_sums, 0, (size_t)(s->chunks * s->channels) * sizeof(double));
    memset(gyz_sums, 0, (size_t)(s->chunks * s->channels) * sizeof(double));
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (s->parallel)
    for (int64_t chunk = 0; chunk < s->chunks; chunk++) {
        double *restrict sum = gy_sums + chunk * s->channels;
        double *restrict sum_z = gyz_sums + chunk * s->channels;
        int64_t last = vt_min((chunk + 1) * s->chunk_rows, s->rows);
        for (int64_t row = chunk * s->chunk_rows; row < last; row++) {
            const REAL *restrict in = x + row * s->channels, *restrict g = gy + row * s->channels;
            for (int64_t c = 0; c < s->channels; c++) {
                sum[c] += g[c];
                sum_z[c] += g[c] * ((in[c] - mean[c]) * r[c]);
            }
        }
    }
    add_chunks(gy_sums, s);
    add_chunks(gyz_sums, s);
}

static void FN(backward)(const vt_op_args *args)
{
    sizes s = sizes_of(args);
    const REAL *x = args->in[0].data, *gy = args->grad_out.data, *gamma = args->param[GAMMA].data;
    REAL *gx = args->grad_in[0].data;
    REAL *ggamma = args->grad_param[GAMMA].data, *gbeta = args->grad_param[BETA].data;
    const double *mean = args->saved, *r = mean + s.channels;
    double *gy_sums = args->scratch, *gyz_sums = gy_sums + s.chunks * s.channels;

    FN(gradient_sums)(args, &s, gy_sums, gyz_sums);
    for (int64_t c = 0; c < s.channels; c++) {
        if (ggamma) ggamma[c] += (REAL)gyz_sums[c];
        if (gbeta) gbeta[c] += (REAL)gy_sums[c];
    }
    if (!gx) return;
    double share = args->training ? 1 / (double)s.rows : 0;
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (s.parallel)
    for (int64_t row = 0; row < s.rows; row++)
        for (int64_t c = 0; c < s.channels; c++) {
            int64_t i = row * s.channels + c;
            double z = (x[i] - mean[c]) * r[c];
            gx[i] +=
                (REAL)(gamma[c] * r[c] * (gy[i] - share * gy_sums[c] - z * (share * gyz_sums[c])));
        }
}

#endif
