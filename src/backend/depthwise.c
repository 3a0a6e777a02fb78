/* Gradient of a depthwise convolution's kernel K (channels, u, v):
 *
 *     dK[c,u,v] = sum over n, i, j of dy[n,i,j,c] x[n, s i - p + d u, s j - p + d v, c]
 *
 * oneDNN's routines for plain NHWC memory run at a few percent of the processor's speed here. These
 * loops hold the sums of up to five taps of a kernel row and sixteen channels in registers while
 * they walk along an output row. Each image has its own sums, added in order of the images, so that
 * results do not depend on the number of threads. Where the kernel covers the whole input (a
 * spatial pooling) taps and channels are contiguous together and are split among threads instead.
 */
#include "backend/depthwise.h"

#include "backend/vectorized.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { MAX_TAPS = 5, MAX_PIECES = 64, COLUMN_CHUNKS = 32 };

typedef float vec8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float vec4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float vec1 __attribute__((may_alias));

/* A walk along an output row for taps that all stay inside the input. */
typedef struct walk {
    float *sums;                /* of the first tap; the next is sum_step further */
    const float *x, *gy;        /* of the first output; the next is x_step, gy_step further */
    int64_t count;              /* outputs */
    int64_t x_step, gy_step;    /* floats between neighbouring outputs */
    int64_t tap_step, sum_step; /* floats between neighbouring taps in x and in sums */
    int64_t channels;
    int taps;
} walk;

/* `width` vectors of channels from `c` on. */
#define DEFINE_WALK(name, vec)                                                                     \
    INLINE void name(const walk *w, int64_t c, const int taps, const int width)                    \
    {                                                                                              \
        enum { LANES = sizeof(vec) / sizeof(float) };                                              \
        vec sum[MAX_TAPS][2];                                                                      \
        _Pragma("GCC unroll 5") for (int t = 0; t < taps; t++)                                     \
            _Pragma("GCC unroll 2") for (int k = 0; k < width; k++) sum[t][k] =                    \
                *(const vec *)(w->sums + t * w->sum_step + c + k * LANES);                         \
        const float *x = w->x + c, *gy = w->gy + c;                                                \
        for (int64_t i = 0; i < w->count; i++, x += w->x_step, gy += w->gy_step)                   \
            _Pragma("GCC unroll 5") for (int t = 0; t < taps; t++)                                 \
                _Pragma("GCC unroll 2") for (int k = 0; k < width; k++) sum[t][k] +=               \
                *(const vec *)(gy + k * LANES) * *(const vec *)(x + t * w->tap_step + k * LANES);  \
        _Pragma("GCC unroll 5") for (int t = 0; t < taps; t++)                                     \
                _Pragma("GCC unroll 2") for (int k = 0; k < width; k++) *                          \
            (vec *)(w->sums + t * w->sum_step + c + k * LANES) = sum[t][k];                        \
    }
DEFINE_WALK(walk8, vec8)
DEFINE_WALK(walk4, vec4)
DEFINE_WALK(walk1, vec1)

INLINE void walk_channels(const walk *w, const int taps)
{
    int64_t c = 0;
    for (; c + 16 <= w->channels; c += 16)
        walk8(w, c, taps, 2);
    for (; c + 8 <= w->channels; c += 8)
        walk8(w, c, taps, 1);
    for (; c + 4 <= w->channels; c += 4)
        walk4(w, c, taps, 1);
    for (; c < w->channels; c++)
        walk1(w, c, taps, 1);
}

VECTORIZED static void walk_row(const walk *w)
{
    switch (w->taps) {
    case 1: walk_channels(w, 1); break;
    case 2: walk_channels(w, 2); break;
    case 3: walk_channels(w, 3); break;
    case 4: walk_channels(w, 4); break;
    default: walk_channels(w, 5); break;
    }
}

/* Outputs [first, last) for which kernel column `tap` lies inside the input. */
static void valid_outputs(const vt_window *w, int tap, int64_t *first, int64_t *last)
{
    int64_t offset = (int64_t)tap * w->dilation - w->before;
    *first = offset < 0 ? (-offset + w->stride - 1) / w->stride : 0;
    *last = offset < w->in ? (w->in - 1 - offset) / w->stride + 1 : 0;
    if (*last > w->out) *last = w->out;
}

static void walk_part(const vt_depthwise *d, const walk *row, int tap, int taps, int64_t first,
                      int64_t last)
{
    if (first >= last) return;
    const vt_window *w = &d->columns;
    walk part = *row;
    int64_t column = first * w->stride - w->before + (int64_t)tap * w->dilation;
    part.sums += tap * row->sum_step;
    part.x += column * d->channels;
    part.gy += first * d->channels;
    part.count = last - first;
    part.taps = taps;
    walk_row(&part);
}

/* All taps of one kernel row over one output row: together where all are inside, else singly. */
static void kernel_row(const vt_depthwise *d, const walk *row)
{
    const vt_window *w = &d->columns;
    for (int tap = 0; tap < w->kernel; tap += MAX_TAPS) {
        int taps = w->kernel - tap < MAX_TAPS ? w->kernel - tap : MAX_TAPS;
        int64_t first, last, unused;
        valid_outputs(w, tap, &first, &unused);
        valid_outputs(w, tap + taps - 1, &unused, &last);
        if (last < first) last = first;
        walk_part(d, row, tap, taps, first, last);
        for (int t = tap; t < tap + taps; t++) {
            int64_t begin, end;
            valid_outputs(w, t, &begin, &end);
            walk_part(d, row, t, 1, begin, end < first ? end : first);
            walk_part(d, row, t, 1, begin > last ? begin : last, end);
        }
    }
}

static void image_gradient(const vt_depthwise *d, const float *x, const float *gy, float *sums)
{
    const vt_window *h = &d->rows, *w = &d->columns;
    walk row = {
        .x_step = w->stride * d->channels,
        .gy_step = d->channels,
        .tap_step = w->dilation * d->channels,
        .sum_step = d->channels,
        .channels = d->channels,
    };
    for (int64_t i = 0; i < h->out; i++) {
        int64_t first, last;
        vt_window_taps(h, i, &first, &last);
        for (int64_t u = first; u < last; u++) {
            row.sums = sums + u * w->kernel * d->channels;
            row.x = x + (i * h->stride - h->before + u * h->dilation) * w->in * d->channels;
            row.gy = gy + i * w->out * d->channels;
            kernel_row(d, &row);
        }
    }
}

static int64_t taps_of(const vt_depthwise *d)
{
    return (int64_t)d->rows.kernel * d->columns.kernel;
}

static bool covers(const vt_window *w)
{
    return w->kernel == w->in && w->out == 1 && w->before == 0 && w->dilation == 1;
}

static bool is_full_size(const vt_depthwise *d)
{
    return covers(&d->rows) && covers(&d->columns);
}

static int64_t pieces_of(const vt_depthwise *d)
{
    if (is_full_size(d)) return 1;
    return d->batch < MAX_PIECES ? d->batch : MAX_PIECES;
}

size_t vt_depthwise_scratch_bytes(const vt_depthwise *d)
{
    return (size_t)(pieces_of(d) * taps_of(d) * d->channels) * sizeof(float);
}

VECTORIZED static void multiply_add(float *restrict sums, const float *restrict x,
                                    const float *restrict gy, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sums[i] += x[i] * gy[i];
}

/* gk[c,t] += the pieces' sums[p,t,c] of channels [first, last), added in double. */
static void add_pieces(const vt_depthwise *d, const float *sums, float *gk, int64_t first,
                       int64_t last)
{
    int64_t taps = taps_of(d), pieces = pieces_of(d);
    for (int64_t t = 0; t < taps; t++)
        for (int64_t c = first; c < last; c++) {
            double sum = 0;
            for (int64_t p = 0; p < pieces; p++)
                sum += sums[(p * taps + t) * d->channels + c];
            gk[c * taps + t] += (float)sum;
        }
}

void vt_depthwise_kernel_gradient(const vt_depthwise *d, const float *x, const float *gy, float *gk,
                                  float *scratch)
{
    int64_t taps = taps_of(d), size = taps * d->channels, pieces = pieces_of(d);
    int64_t in = d->rows.in * d->columns.in * d->channels;
    int64_t out = d->rows.out * d->columns.out * d->channels;
#pragma omp parallel num_threads(d->threads)
    {
        if (is_full_size(d)) {
#pragma omp for schedule(static)
            for (int64_t t = 0; t < taps; t++) {
                float *sums = scratch + t * d->channels;
                memset(sums, 0, (size_t)d->channels * sizeof(float));
                for (int64_t n = 0; n < d->batch; n++)
                    multiply_add(sums, x + n * in + t * d->channels, gy + n * out, d->channels);
            }
        } else {
#pragma omp for schedule(dynamic)
            for (int64_t p = 0; p < pieces; p++) {
                memset(scratch + p * size, 0, (size_t)size * sizeof(float));
                for (int64_t n = p * d->batch / pieces; n < (p + 1) * d->batch / pieces; n++)
                    image_gradient(d, x + n * in, gy + n * out, scratch + p * size);
            }
        }
#pragma omp for schedule(static)
        for (int64_t c = 0; c < d->channels; c += 16)
            add_pieces(d, scratch, gk, c, c + 16 < d->channels ? c + 16 : d->channels);
    }
}

/* ---- column sums ---- */

size_t vt_column_scratch_bytes(int64_t columns)
{
    return (size_t)(COLUMN_CHUNKS * columns) * sizeof(double);
}

VECTORIZED static void add_rows(double *restrict sums, const float *restrict x, int64_t rows,
                                int64_t columns)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            sums[c] += x[r * columns + c];
}

void vt_column_sums_add(float *sums, const float *x, int64_t rows, int64_t columns, int threads,
                        double *scratch)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * columns > 32768)
    for (int64_t k = 0; k < COLUMN_CHUNKS; k++) {
        int64_t first = k * rows / COLUMN_CHUNKS, last = (k + 1) * rows / COLUMN_CHUNKS;
        memset(scratch + k * columns, 0, (size_t)columns * sizeof(double));
        add_rows(scratch + k * columns, x + first * columns, last - first, columns);
    }
    for (int64_t c = 0; c < columns; c++) {
        double sum = 0;
        for (int64_t k = 0; k < COLUMN_CHUNKS; k++)
            sum += scratch[k * columns + c];
        sums[c] += (float)sum;
    }
}
