/* Maximum pooling of float32 with vectors over channels: forward gives what the reference gives,
 * its output and positions of the maxima, so that the reference's backward serves both. oneDNN's
 * routine drops NaN and, for plain NHWC memory, takes several times as long. */
#include "backend/max_pool.h"

#include "backend/vectorized.h"
#include "base/arena.h"
#include "ops/conv_geometry.h"
#include "ventral/progress.h"

#include <stdlib.h>

typedef struct pool {
    const vt_op *op;
    vt_window rows, columns;
    int64_t batch, channels;
    int threads;
} pool;

/* Takes over what is greater. NaN wins once and is not beaten again. */
VECTORIZED static void take_greater(float *restrict best, int32_t *restrict at,
                                    const float *restrict x, int32_t place, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        bool wins = !(x[i] <= best[i]) & (best[i] == best[i]);
        best[i] = wins ? x[i] : best[i];
        at[i] = wins ? place : at[i];
    }
}

static void pool_row(const pool *p, const float *image, int64_t row, float *y, int32_t *saved)
{
    int64_t first, last, left, right, channels = p->channels;
    vt_window_taps(&p->rows, row, &first, &last);
    int64_t top = row * p->rows.stride - p->rows.before;
    for (int64_t column = 0; column < p->columns.out; column++) {
        vt_window_taps(&p->columns, column, &left, &right);
        int64_t start = column * p->columns.stride - p->columns.before;
        float *best = y + column * channels;
        int32_t *at = saved + column * channels;
        int64_t place = (top + first) * p->columns.in + start + left;
        for (int64_t c = 0; c < channels; c++) {
            best[c] = image[place * channels + c];
            at[c] = (int32_t)place;
        }
        for (int64_t u = first; u < last; u++)
            for (int64_t v = left; v < right; v++) {
                place = (top + u) * p->columns.in + start + v;
                take_greater(best, at, image + place * channels, (int32_t)place, channels);
            }
    }
}

static vt_status forward(void *state, const vt_op_args *args)
{
    const pool *p = state;
    const float *x = args->in[0].data;
    float *y = args->out.data;
    int32_t *saved = args->saved;
    int64_t in = p->rows.in * p->columns.in * p->channels, out = p->columns.out * p->channels;
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int64_t i = 0; i < p->batch * p->rows.out; i++)
        pool_row(p, x + i / p->rows.out * in, i % p->rows.out, y + i * out, saved + i * out);
    return VT_OK;
}

static vt_status backward(void *state, const vt_op_args *args)
{
    const pool *p = state;
    p->op->backward(args);
    return VT_OK;
}

vt_status vt_max_pool_prepare(vt_kernel *out, const vt_kernel_request *request)
{
    const vt_op_args *args = &request->args;
    vt_window w[2] = {0};
    vt_pool_windows(w, args->options, args->in[0].size + 1);
    pool *p = vt_alloc(1, sizeof *p);
    if (!p) return VT_ENOMEM;
    *p = (pool){request->op, w[0], w[1], args->batch, args->in[0].size[3], vt_threads()};
    *out = (vt_kernel){.name = "native",
                       .state = p,
                       .forward = forward,
                       .backward = request->backward ? backward : NULL,
                       .free = free,
                       .saved_bytes = request->op->saved_bytes(args)};
    return VT_OK;
}
