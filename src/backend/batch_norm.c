/* Batch normalization (Ioffe & Szegedy 2015) of float32, (rows, channels):
 *
 *     y = gamma r (x - mean) + beta,  r = 1 / sqrt(variance + epsilon)
 *     dx = gamma r (dy - mean(dy) - r^2 (x - mean) mean(dy (x - mean)))
 *
 * and in inference, where mean and variance are constants, dx = gamma r dy. A ReLU behind it is
 * part of it: backward finds out from x where it let through. It is bound by memory: forward reads
 * x twice and backward x and dy twice, no more. Mean and variance come from one pass over x - p,
 * where the pivot p is the mean of some rows all over the batch: it lies within a fraction of a
 * standard deviation of the mean, so that the squares do not cancel. oneDNN's routine takes three
 * passes, and slow ones unless the channels are a multiple of its vector.
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
    bool relu;
} norm;

/* What depends on the column alone, as the loops over rows need it, [width] each. */
typedef struct columns {
    float *m, *s, *t; /* y = (x - m) s + t */
    float *k, *p, *q; /* dx = k dy - p - q (x - m) */
} columns;

/* Memory: `saved` holds mean[channels] and r[channels] in double; scratch holds
 * sums[CHUNKS][2][width] in double, then block sums [CHUNKS][2][width] and columns [6][width] in
 * float. */
static double *chunk_sums(const norm *b, const vt_op_args *args, int64_t chunk)
{
    return (double *)args->scratch + chunk * 2 * b->width;
}

static float *block_sums(const norm *b, const vt_op_args *args, int64_t chunk)
{
    return (float *)chunk_sums(b, args, CHUNKS) + chunk * 2 * b->width;
}

static columns columns_of(const norm *b, const vt_op_args *args)
{
    float *first = block_sums(b, args, CHUNKS);
    int64_t w = b->width;
    return (columns){first, first + w, first + 2 * w, first + 3 * w, first + 4 * w, first + 5 * w};
}

static size_t scratch_bytes(const norm *b)
{
    return (size_t)b->width * (CHUNKS * 2 * (sizeof(double) + sizeof(float)) + 6 * sizeof(float));
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Repeats the first `channels` of `width` values. */
static void repeat(const norm *b, float *values)
{
    for (int64_t i = b->channels; i < b->width; i++)
        values[i] = values[i - b->channels];
}

/* s1 += x - p, s2 += (x - p)^2 */
VECTORIZED static void add_squares(float *restrict s1, float *restrict s2, const float *restrict x,
                                   const float *restrict p, int64_t rows, int64_t n)
{
    for (; rows > 0; rows--, x += n)
        for (int64_t i = 0; i < n; i++) {
            float d = x[i] - p[i];
            s1[i] += d;
            s2[i] += d * d;
        }
}

/* dy where the ReLU, if there is one, let through. */
static ALWAYS_INLINE float passed(float gy, float d, float s, float t, bool relu)
{
    return !relu || d * s + t > 0 ? gy : 0;
}

/* s1 += dy, s2 += dy (x - m) */
static ALWAYS_INLINE void products(float *restrict s1, float *restrict s2, const float *restrict x,
                                   const float *restrict gy, const columns *c, int64_t rows,
                                   int64_t n, bool relu)
{
    const float *restrict m = c->m, *restrict s = c->s, *restrict t = c->t;
    for (; rows > 0; rows--, x += n, gy += n)
        for (int64_t i = 0; i < n; i++) {
            float d = x[i] - m[i], g = passed(gy[i], d, s[i], t[i], relu);
            s1[i] += g;
            s2[i] += g * d;
        }
}

VECTORIZED static void add_products(float *s1, float *s2, const float *x, const float *gy,
                                    const columns *c, int64_t rows, int64_t n)
{
    products(s1, s2, x, gy, c, rows, n, false);
}

VECTORIZED static void add_passed_products(float *s1, float *s2, const float *x, const float *gy,
                                           const columns *c, int64_t rows, int64_t n)
{
    products(s1, s2, x, gy, c, rows, n, true);
}

VECTORIZED static void flush(double *restrict sums, float *restrict block, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        sums[i] += block[i];
        block[i] = 0;
    }
}

/* `floats` of rows of n. */
VECTORIZED static void normalize(float *restrict y, const float *restrict x, const columns *c,
                                 int64_t floats, int64_t n)
{
    const float *restrict m = c->m, *restrict s = c->s, *restrict t = c->t;
    for (; floats > 0; floats -= n, x += n, y += n)
        for (int64_t i = 0, last = least(n, floats); i < last; i++)
            y[i] = (x[i] - m[i]) * s[i] + t[i];
}

VECTORIZED static void normalize_rectify(float *restrict y, const float *restrict x,
                                         const columns *c, int64_t floats, int64_t n)
{
    const float *restrict m = c->m, *restrict s = c->s, *restrict t = c->t;
    for (; floats > 0; floats -= n, x += n, y += n)
        for (int64_t i = 0, last = least(n, floats); i < last; i++) {
            float z = (x[i] - m[i]) * s[i] + t[i];
            y[i] = z < 0 ? 0 : z;
        }
}

/* dx = k dy - p - q (x - m), added or not; dx may be dy's memory. */
static ALWAYS_INLINE void gradient(float *gx, const float *gy, const float *restrict x,
                                   const columns *c, int64_t floats, int64_t n, bool relu, bool add)
{
    const float *restrict m = c->m, *restrict s = c->s, *restrict t = c->t;
    const float *restrict k = c->k, *restrict p = c->p, *restrict q = c->q;
    for (; floats > 0; floats -= n, x += n, gy += n, gx += n) {
        int64_t last = least(n, floats);
#pragma omp simd
        for (int64_t i = 0; i < last; i++) {
            float d = x[i] - m[i], before = add ? gx[i] : 0;
            gx[i] = before + (k[i] * passed(gy[i], d, s[i], t[i], relu) - p[i] - q[i] * d);
        }
    }
}

VECTORIZED static void add_gradient(float *gx, const float *gy, const float *x, const columns *c,
                                    int64_t floats, int64_t n, bool relu)
{
    if (relu)
        gradient(gx, gy, x, c, floats, n, true, true);
    else
        gradient(gx, gy, x, c, floats, n, false, true);
}

VECTORIZED static void set_gradient(float *gx, const float *gy, const float *x, const columns *c,
                                    int64_t floats, int64_t n, bool relu)
{
    if (relu)
        gradient(gx, gy, x, c, floats, n, true, false);
    else
        gradient(gx, gy, x, c, floats, n, false, false);
}

/* Sums of `rows` rows of n: of x - m and its square (gy NULL), or of dy and dy (x - m). */
static void add_rows(const norm *b, float *block, const float *x, const float *gy, const columns *c,
                     int64_t rows, int64_t n)
{
    if (!gy)
        add_squares(block, block + b->width, x, c->m, rows, n);
    else if (b->relu)
        add_passed_products(block, block + b->width, x, gy, c, rows, n);
    else
        add_products(block, block + b->width, x, gy, c, rows, n);
}

/* Those sums over all rows into totals[2][channels], the first chunk's sums. */
static double *column_sums(const norm *b, const vt_op_args *args, const columns *c, const float *gy)
{
    const float *x = args->in[0].data;
    int64_t whole = b->rows / b->fold, w = b->width;
#pragma omp parallel for schedule(static) num_threads(b->threads)
    for (int64_t chunk = 0; chunk < CHUNKS; chunk++) {
        double *sums = chunk_sums(b, args, chunk);
        float *block = block_sums(b, args, chunk);
        memset(sums, 0, 2 * (size_t)w * sizeof *sums);
        memset(block, 0, 2 * (size_t)w * sizeof *block);
        int64_t last = (chunk + 1) * whole / CHUNKS;
        for (int64_t row = chunk * whole / CHUNKS; row < last; row += BLOCK) {
            add_rows(b, block, x + row * w, gy ? gy + row * w : NULL, c, least(BLOCK, last - row),
                     w);
            flush(sums, block, 2 * w);
        }
        if (chunk == CHUNKS - 1) { /* rows that do not make a whole fold */
            int64_t at = whole * w;
            add_rows(b, block, x + at, gy ? gy + at : NULL, c, 1, b->rows * b->channels - at);
            flush(sums, block, 2 * w);
        }
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
    columns columns = columns_of(b, args);
    double *mean = args->saved, *r = mean + b->channels;
    double rows = (double)b->rows, m = o->momentum;
    pivot(b, args->in[0].data, columns.m);
    const double *sums = column_sums(b, args, &columns, NULL);
    for (int64_t c = 0; c < b->channels; c++) {
        double shift = sums[c] / rows;
        double squares = sums[b->channels + c] - shift * sums[c]; /* around the mean */
        if (squares < 0) squares = 0;
        mean[c] = columns.m[c] + shift;
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

/* m, s and t from the statistics; backward must find the same bits again. */
static void make_columns(const norm *b, const vt_op_args *args, const columns *to)
{
    const float *gamma = args->param[GAMMA].data, *beta = args->param[BETA].data;
    const double *mean = args->saved, *r = mean + b->channels;
    for (int64_t c = 0; c < b->channels; c++) {
        to->m[c] = (float)mean[c];
        to->s[c] = (float)(r[c] * gamma[c]);
        to->t[c] = (float)(beta[c] - (mean[c] - to->m[c]) * r[c] * gamma[c]);
    }
    repeat(b, to->m), repeat(b, to->s), repeat(b, to->t);
}

static vt_status forward(void *state, const vt_op_args *args)
{
    const norm *b = state;
    const float *x = args->in[0].data;
    float *y = args->out.data;
    if (args->training)
        batch_statistics(b, args);
    else
        running_statistics(b, args);
    columns columns = columns_of(b, args);
    make_columns(b, args, &columns);
#pragma omp parallel for schedule(static) num_threads(b->threads)
    for (int64_t part = 0; part < CHUNKS; part++) {
        int64_t first, last;
        part_of(b, part, CHUNKS, &first, &last);
        if (b->relu)
            normalize_rectify(y + first, x + first, &columns, last - first, b->width);
        else
            normalize(y + first, x + first, &columns, last - first, b->width);
    }
    return VT_OK;
}

static void input_gradient(const norm *b, const vt_op_args *args, const columns *columns)
{
    const float *x = args->in[0].data, *gy = args->grad_out.data;
    float *gx = args->grad_in[0].data;
#pragma omp parallel for schedule(static) num_threads(b->threads)
    for (int64_t part = 0; part < CHUNKS; part++) {
        int64_t i, last;
        part_of(b, part, CHUNKS, &i, &last);
        if (args->overwrite[0])
            set_gradient(gx + i, gy + i, x + i, columns, last - i, b->width, b->relu);
        else
            add_gradient(gx + i, gy + i, x + i, columns, last - i, b->width, b->relu);
    }
}

static vt_status backward(void *state, const vt_op_args *args)
{
    const norm *b = state;
    const float *gamma = args->param[GAMMA].data;
    float *ggamma = args->grad_param[GAMMA].data, *gbeta = args->grad_param[BETA].data;
    const double *mean = args->saved, *r = mean + b->channels;
    columns to = columns_of(b, args);
    make_columns(b, args, &to);
    const double *sums = column_sums(b, args, &to, args->grad_out.data);
    const double *products = sums + b->channels;
    double share = args->training ? 1 / (double)b->rows : 0;
    for (int64_t c = 0; c < b->channels; c++) {
        /* m is the mean but for its rounding, which `off` puts right. */
        double off = mean[c] - to.m[c], product = products[c] - off * sums[c];
        double z = share * r[c] * r[c] * product, scale = gamma[c] * r[c];
        if (ggamma) ggamma[c] += (float)(r[c] * product);
        if (gbeta) gbeta[c] += (float)sums[c];
        to.k[c] = (float)scale;
        to.p[c] = (float)(scale * (share * sums[c] - z * off));
        to.q[c] = (float)(scale * z);
    }
    repeat(b, to.k), repeat(b, to.p), repeat(b, to.q);
    if (args->grad_in[0].data) input_gradient(b, args, &to);
    return VT_OK;
}

vt_status vt_batch_norm_prepare(vt_kernel *out, const vt_kernel_request *request)
{
    const vt_tensor *x = &request->args.in[0];
    norm *b = vt_alloc(1, sizeof *b);
    if (!b) return VT_ENOMEM;
    b->threads = vt_threads();
    b->relu = request->args.relu;
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
                       .overwrites = true,
                       .in_place_gradient = true,
                       .saved_bytes = 2 * (size_t)b->channels * sizeof(double)};
    return VT_OK;
}
