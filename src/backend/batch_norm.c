/* Batch normalization (Ioffe & Szegedy 2015) of float32, (rows, channels):
 *
 *     y = gamma r (x - mean) + beta,  r = 1 / sqrt(variance + epsilon)
 *     dx = gamma r (dy - mean(dy) - r^2 (x - mean) mean(dy (x - mean)))
 *
 * and in inference, where mean and variance are constants, dx = gamma r dy. It is bound by memory:
 * forward reads x twice and backward x and dy twice, no more. Mean and variance come from one pass
 * over x - p, where the pivot p is the mean of some rows all over the batch: it lies within a
 * fraction of a standard deviation of the mean, so that the squares do not cancel. oneDNN's routine
 * takes three passes, and slow ones unless the channels are a multiple of its vector.
 *
 * Sums of BLOCK rows in float go into sums of a chunk in double; chunks do not depend on the number
 * of threads. Eight rows are treated as one where the channels do not fill vectors. */
#include "backend/batch_norm.h"

#include "backend/vectorized.h"
#include "base/arena.h"
#include "ventral/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GAMMA, BETA, MOVING_MEAN, MOVING_VARIANCE };
enum { CHUNKS = 64, BLOCK = 32, PIVOT_ROWS = 64 };

typedef struct norm {
    int64_t rows, channels;
    int64_t fold, width; /* rows treated as one, and their floats: fold * channels */
    int threads;
} norm;

/* Memory: `saved` holds mean[channels] and r[channels] in double; scratch holds
 * sums[CHUNKS][2][width] in double, then block sums [CHUNKS][2][width] and coefficients [4][width]
 * in float. */
static double *chunk_sums(const norm *b, const vt_op_args *args, int64_t chunk)
{
    return (double *)args->scratch + chunk * 2 * b->width;
}

static float *block_sums(const norm *b, const vt_op_args *args, int64_t chunk)
{
    return (float *)chunk_sums(b, args, CHUNKS) + chunk * 2 * b->width;
}

static float *coefficients(const norm *b, const vt_op_args *args)
{
    return block_sums(b, args, CHUNKS);
}

static size_t scratch_bytes(const norm *b)
{
    return (size_t)b->width * (CHUNKS * 2 * (sizeof(double) + sizeof(float)) + 4 * sizeof(float));
}

/* Repeats the first `channels` of `width` values. */
static void repeat(const norm *b, float *values)
{
    for (int64_t i = b->channels; i < b->width; i++)
        values[i] = values[i - b->channels];
}

/* s1 += x - p, s2 += (x - p)^2 */
VECTORIZED static void add_squares(float *restrict s1, float *restrict s2, const float *restrict x,
                                   const float *restrict p, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float d = x[i] - p[i];
        s1[i] += d;
        s2[i] += d * d;
    }
}

/* s1 += dy, s2 += dy (x - m) */
VECTORIZED static void add_products(float *restrict s1, float *restrict s2, const float *restrict x,
                                    const float *restrict m, const float *restrict gy, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        s1[i] += gy[i];
        s2[i] += gy[i] * (x[i] - m[i]);
    }
}

VECTORIZED static void flush(double *restrict sums, float *restrict block, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        sums[i] += block[i];
        block[i] = 0;
    }
}

/* y = (x - m) s + t */
VECTORIZED static void normalize(float *restrict y, const float *restrict x,
                                 const float *restrict m, const float *restrict s,
                                 const float *restrict t, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - m[i]) * s[i] + t[i];
}

/* dx += a dy - b - c (x - m) */
VECTORIZED static void add_gradient(float *restrict gx, const float *restrict gy,
                                    const float *restrict x, const float *restrict m,
                                    const float *restrict a, const float *restrict b,
                                    const float *restrict c, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        gx[i] += a[i] * gy[i] - b[i] - c[i] * (x[i] - m[i]);
}

/* Pairs of sums over all rows into totals[2][channels], the first chunk's sums: of x - m and its
 * square (gy NULL), or of dy and dy (x - m). */
static double *column_sums(const norm *b, const vt_op_args *args, const float *m, const float *gy)
{
    const float *x = args->in[0].data;
    int64_t whole = b->rows / b->fold, w = b->width;
#pragma omp parallel for schedule(static) num_threads(b->threads)
    for (int64_t chunk = 0; chunk < CHUNKS; chunk++) {
        double *sums = chunk_sums(b, args, chunk);
        float *block = block_sums(b, args, chunk);
        memset(sums, 0, 2 * (size_t)w * sizeof *sums);
        memset(block, 0, 2 * (size_t)w * sizeof *block);
        int64_t first = chunk * whole / CHUNKS, last = (chunk + 1) * whole / CHUNKS;
        for (int64_t row = first; row < last; row++) {
            if (gy)
                add_products(block, block + w, x + row * w, m, gy + row * w, w);
            else
                add_squares(block, block + w, x + row * w, m, w);
            if ((row - first) % BLOCK == BLOCK - 1) flush(sums, block, 2 * w);
        }
        if (chunk == CHUNKS - 1) { /* rows that do not make a whole fold */
            int64_t at = whole * w, n = b->rows * b->channels - at;
            if (gy)
                add_products(block, block + w, x + at, m, gy + at, n);
            else
                add_squares(block, block + w, x + at, m, n);
        }
        flush(sums, block, 2 * w);
    }
    double *totals = chunk_sums(b, args, 0);
    for (int64_t chunk = 1; chunk < CHUNKS; chunk++)
        for (int64_t i = 0; i < 2 * w; i++)
            totals[i] += totals[chunk * 2 * w + i];
    for (int part = 0; part < 2; part++)
        for (int64_t c = 0; c < b->channels; c++) {
            double sum = 0;
            for (int64_t f = 0; f < b->fold; f++)
                sum += totals[part * w + f * b->channels + c];
            totals[part * b->channels + c] = sum;
        }
    return totals;
}

/* p = mean of PIVOT_ROWS rows spread over the batch. */
static void pivot(const norm *b, const float *x, float *p)
{
    int64_t count = b->rows < PIVOT_ROWS ? b->rows : PIVOT_ROWS;
    for (int64_t c = 0; c < b->channels; c++) {
        double sum = 0;
        for (int64_t k = 0; k < count; k++)
            sum += x[k * b->rows / count * b->channels + c];
        p[c] = (float)(sum / (double)count);
    }
    repeat(b, p);
}

static void batch_statistics(const norm *b, const vt_op_args *args)
{
    const vt_batch_norm_options *o = args->options;
    float *moving_mean = args->param[MOVING_MEAN].data;
    float *moving_variance = args->param[MOVING_VARIANCE].data;
    float *p = coefficients(b, args);
    double *mean = args->saved, *r = mean + b->channels;
    double rows = (double)b->rows, m = o->momentum;
    pivot(b, args->in[0].data, p);
    const double *sums = column_sums(b, args, p, NULL);
    for (int64_t c = 0; c < b->channels; c++) {
        double shift = sums[c] / rows;
        double squares = sums[b->channels + c] - shift * sums[c]; /* around the mean */
        if (squares < 0) squares = 0;
        mean[c] = p[c] + shift;
        r[c] = 1 / sqrt(squares / rows + o->epsilon);
        double variance = squares / (o->unbiased && b->rows > 1 ? rows - 1 : rows);
        moving_mean[c] = (float)((1 - m) * moving_mean[c] + m * mean[c]);
        moving_variance[c] = (float)((1 - m) * moving_variance[c] + m * variance);
    }
}

static void running_statistics(const norm *b, const vt_op_args *args)
{
    const vt_batch_norm_options *o = args->options;
    const float *mean = args->param[MOVING_MEAN].data;
    const float *variance = args->param[MOVING_VARIANCE].data;
    double *saved = args->saved;
    for (int64_t c = 0; c < b->channels; c++) {
        saved[c] = mean[c];
        saved[b->channels + c] = 1 / sqrt(variance[c] + o->epsilon);
    }
}

/* Runs of whole folds for `threads` threads; the last takes the rest, too. */
static void part_of(const norm *b, int64_t part, int64_t parts, int64_t *first, int64_t *last)
{
    int64_t whole = b->rows / b->fold;
    *first = part * whole / parts * b->width;
    *last = part == parts - 1 ? b->rows * b->channels : (part + 1) * whole / parts * b->width;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static vt_status forward(void *state, const vt_op_args *args)
{
    const norm *b = state;
    const float *x = args->in[0].data, *gamma = args->param[GAMMA].data;
    const float *beta = args->param[BETA].data;
    float *y = args->out.data;
    if (args->training)
        batch_statistics(b, args);
    else
        running_statistics(b, args);
    const double *mean = args->saved, *r = mean + b->channels;
    float *m = coefficients(b, args), *s = m + b->width, *t = s + b->width;
    for (int64_t c = 0; c < b->channels; c++) {
        m[c] = (float)mean[c];
        s[c] = (float)(r[c] * gamma[c]);
        t[c] = (float)(beta[c] - (mean[c] - m[c]) * r[c] * gamma[c]);
    }
    repeat(b, m), repeat(b, s), repeat(b, t);
#pragma omp parallel for schedule(static) num_threads(b->threads)
    for (int64_t part = 0; part < CHUNKS; part++) {
        int64_t first, last;
        part_of(b, part, CHUNKS, &first, &last);
        for (int64_t i = first; i < last; i += b->width)
            normalize(y + i, x + i, m, s, t, least(b->width, last - i));
    }
    return VT_OK;
}

static vt_status backward(void *state, const vt_op_args *args)
{
    const norm *b = state;
    const float *x = args->in[0].data, *gy = args->grad_out.data;
    const float *gamma = args->param[GAMMA].data;
    float *gx = args->grad_in[0].data;
    float *ggamma = args->grad_param[GAMMA].data, *gbeta = args->grad_param[BETA].data;
    const double *mean = args->saved, *r = mean + b->channels;
    float *m = coefficients(b, args), *k = m + b->width, *p = k + b->width, *q = p + b->width;
    for (int64_t c = 0; c < b->channels; c++)
        m[c] = (float)mean[c];
    repeat(b, m);
    const double *sums = column_sums(b, args, m, gy), *products = sums + b->channels;
    double share = args->training ? 1 / (double)b->rows : 0;
    for (int64_t c = 0; c < b->channels; c++) {
        /* m is the mean but for its rounding, which `off` puts right. */
        double off = mean[c] - m[c], product = products[c] - off * sums[c];
        double z = share * r[c] * r[c] * product, scale = gamma[c] * r[c];
        if (ggamma) ggamma[c] += (float)(r[c] * product);
        if (gbeta) gbeta[c] += (float)sums[c];
        k[c] = (float)scale;
        p[c] = (float)(scale * (share * sums[c] - z * off));
        q[c] = (float)(scale * z);
    }
    if (!gx) return VT_OK;
    repeat(b, k), repeat(b, p), repeat(b, q);
#pragma omp parallel for schedule(static) num_threads(b->threads)
    for (int64_t part = 0; part < CHUNKS; part++) {
        int64_t first, last;
        part_of(b, part, CHUNKS, &first, &last);
        for (int64_t i = first; i < last; i += b->width)
            add_gradient(gx + i, gy + i, x + i, m, k, p, q, least(b->width, last - i));
    }
    return VT_OK;
}

vt_status vt_batch_norm_prepare(vt_kernel *out, const vt_kernel_request *request)
{
    const vt_tensor *x = &request->args.in[0];
    norm *b = vt_alloc(1, sizeof *b);
    if (!b) return VT_ENOMEM;
    b->threads = vt_threads();
    b->channels = x->size[x->ndim - 1];
    b->rows = vt_tensor_count(x) / b->channels;
    b->fold = b->channels % 8 && b->channels < 512 ? 8 : 1;
    b->width = b->fold * b->channels;
    *out = (vt_kernel){.name = "native",
                       .state = b,
                       .forward = forward,
                       .backward = request->backward ? backward : NULL,
                       .free = free,
                       .scratch_bytes = scratch_bytes(b),
                       .saved_bytes = 2 * (size_t)b->channels * sizeof(double)};
    return VT_OK;
}
