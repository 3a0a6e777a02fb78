/* Pooling over windows of each channel.
 *
 * Maximum: padding never wins and NaN always does; the gradient goes to the first maximum, whose
 * position forward saves. Average: over the elements inside the image or, with count_padding, over
 * the whole window, the padding being zeros. */
#ifndef REAL
#include "ops/check.h"
#include "ops/real.h"

#include <string.h>

/* Channels are independent: backward hands out blocks of them, so overlapping windows never meet
 * in two threads. */
enum { CHANNEL_BLOCK = 32 };

typedef struct pool {
    vt_window rows, columns;
    int64_t batch, channels;
    bool parallel;
} pool;

static pool sizes(const vt_op_args *args)
{
    vt_window w[2] = {{0}}; /* they resolve: infer saw to that */
    vt_pool_windows(w, args->options, args->in[0].size + 1);
    pool p = {w[0], w[1], args->batch, args->in[0].size[3], false};
    p.parallel =
        p.batch * w[0].out * w[1].out * p.channels * w[0].kernel * w[1].kernel > VT_PARALLEL_WORK;
    return p;
}

/* The part of one output's window that lies inside the image. */
typedef struct area {
    int64_t top, bottom, left, right; /* bottom and right excluded */
} area;

static area area_at(const pool *p, int64_t row, int64_t column)
{
    int64_t top = row * p->rows.stride - p->rows.before;
    int64_t left = column * p->columns.stride - p->columns.before;
    area a = {top, vt_min(top + p->rows.kernel, p->rows.in), left,
              vt_min(left + p->columns.kernel, p->columns.in)};
    if (a.top < 0) a.top = 0;
    if (a.left < 0) a.left = 0;
    return a;
}

static double divisor(const vt_op_args *args, const pool *p, const area *a)
{
    const vt_pool_options *o = args->options;
    if (o->count_padding) return (double)p->rows.kernel * p->columns.kernel;
    return (double)(a->bottom - a->top) * (double)(a->right - a->left);
}

#define REAL float
#include "ops/pool.c"
#undef REAL
#define REAL double
#include "ops/pool.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    const vt_pool_options *o = s->options;
    vt_window w[2];
    VT_TRY(vt_check_image(s));
    int stride[2] = {o->stride[0] ? o->stride[0] : o->kernel[0],
                     o->stride[1] ? o->stride[1] : o->kernel[1]};
    vt_window_options window = {o->kernel, stride, NULL, o->padding, o->pad};
    VT_TRY(vt_check_windows(s, &window, w));
    for (int i = 0; i < 2; i++)
        if (w[i].before >= w[i].kernel || w[i].after >= w[i].kernel)
            return vt_error(VT_EINVAL, "%s: padding %d and %d must be less than the kernel's %d",
                            s->name, w[i].before, w[i].after, w[i].kernel);
    if (s->in[0].size[0] > INT32_MAX / s->in[0].size[1])
        return vt_error(VT_ESHAPE, "%s: image is too large to pool", s->name);
    s->out = (vt_shape){.ndim = 3, .size = {w[0].out, w[1].out, s->in[0].size[2]}};
    return vt_check_results(s);
}

static int64_t flops(const vt_op_shape *s)
{
    const vt_pool_options *o = s->options;
    const int64_t *out = s->out.size;
    return vt_flops(5, (int64_t[]){o->kernel[0], o->kernel[1], out[0], out[1], out[2]});
}

static size_t max_saved_bytes(const vt_op_args *args)
{
    return (size_t)vt_tensor_count(&args->out) * sizeof(int32_t);
}

VT_BOTH(max_forward)
VT_BOTH(max_backward)
VT_BOTH(average_forward)
VT_BOTH(average_backward)

const vt_op vt_op_max_pool = {
    .name = "max_pool",
    .inputs = 1,
    .options_size = sizeof(vt_pool_options),
    .infer = infer,
    .forward = max_forward,
    .backward = max_backward,
    .saved_bytes = max_saved_bytes,
    .flops = flops,
};

const vt_op vt_op_average_pool = {
    .name = "average_pool",
    .inputs = 1,
    .options_size = sizeof(vt_pool_options),
    .infer = infer,
    .forward = average_forward,
    .backward = average_backward,
    .flops = flops,
};

#else

static void FN(max_forward)(const vt_op_args *args)
{
    pool p = sizes(args);
    const REAL *x = args->in[0].data;
    REAL *y = args->out.data;
    int32_t *saved = args->saved;
#pragma omp parallel for schedule(static) collapse(2) num_threads(vt_threads()) if (p.parallel)
    for (int64_t n = 0; n < p.batch; n++)
        for (int64_t i = 0; i < p.rows.out; i++)
            for (int64_t j = 0; j < p.columns.out; j++) {
                area a = area_at(&p, i, j);
                int64_t to = ((n * p.rows.out + i) * p.columns.out + j) * p.channels;
                const REAL *image = x + n * p.rows.in * p.columns.in * p.channels;
                int64_t first = a.top * p.columns.in + a.left;
                REAL *restrict best = y + to;
                int32_t *restrict at = saved + to;
                memcpy(best, image + first * p.channels, (size_t)p.channels * sizeof(REAL));
                for (int64_t c = 0; c < p.channels; c++)
                    at[c] = (int32_t)first;
                for (int64_t h = a.top; h < a.bottom; h++)
                    for (int64_t w = a.left; w < a.right; w++) {
                        int64_t place = h * p.columns.in + w;
                        const REAL *restrict in = image + place * p.channels;
                        for (int64_t c = 0; c < p.channels; c++) {
                            /* NaN wins once and is not beaten again. */
                            bool wins = in[c] > best[c] || (in[c] != in[c] && best[c] == best[c]);
                            best[c] = wins ? in[c] : best[c];
                            at[c] = wins ? (int32_t)place : at[c];
                        }
                    }
            }
}

static void FN(max_backward)(const vt_op_args *args)
{
    pool p = sizes(args);
    const REAL *gy = args->grad_out.data;
    REAL *gx = args->grad_in[0].data;
    const int32_t *saved = args->saved;
    int64_t in_count = p.rows.in * p.columns.in, out_count = p.rows.out * p.columns.out;
    if (!gx) return;
#pragma omp parallel for schedule(static) collapse(2) num_threads(vt_threads()) if (p.parallel)
    for (int64_t n = 0; n < p.batch; n++)
        for (int64_t block = 0; block < p.channels; block += CHANNEL_BLOCK)
            for (int64_t i = 0; i < out_count; i++) {
                int64_t from = (n * out_count + i) * p.channels;
                int64_t last = vt_min(block + CHANNEL_BLOCK, p.channels);
                for (int64_t c = block; c < last; c++)
                    gx[(n * in_count + saved[from + c]) * p.channels + c] += gy[from + c];
            }
}

static void FN(average_forward)(const vt_op_args *args)
{
    pool p = sizes(args);
    const REAL *x = args->in[0].data;
    REAL *y = args->out.data;
#pragma omp parallel for schedule(static) collapse(2) num_threads(vt_threads()) if (p.parallel)
    for (int64_t n = 0; n < p.batch; n++)
        for (int64_t i = 0; i < p.rows.out; i++)
            for (int64_t j = 0; j < p.columns.out; j++) {
                area a = area_at(&p, i, j);
                const REAL *image = x + n * p.rows.in * p.columns.in * p.channels;
                REAL *restrict sum = y + ((n * p.rows.out + i) * p.columns.out + j) * p.channels;
                REAL scale = (REAL)(1 / divisor(args, &p, &a));
                memset(sum, 0, (size_t)p.channels * sizeof(REAL));
                for (int64_t h = a.top; h < a.bottom; h++)
                    for (int64_t w = a.left; w < a.right; w++) {
                        const REAL *restrict in = image + (h * p.columns.in + w) * p.channels;
                        for (int64_t c = 0; c < p.channels; c++)
                            sum[c] += in[c];
                    }
                for (int64_t c = 0; c < p.channels; c++)
                    sum[c] *= scale;
            }
}

static void FN(average_backward)(const vt_op_args *args)
{
    pool p = sizes(args);
    const REAL *gy = args->grad_out.data;
    REAL *gx = args->grad_in[0].data;
    if (!gx) return;
#pragma omp parallel for schedule(static) collapse(2) num_threads(vt_threads()) if (p.parallel)
    for (int64_t n = 0; n < p.batch; n++)
        for (int64_t block = 0; block < p.channels; block += CHANNEL_BLOCK)
            for (int64_t i = 0; i < p.rows.out; i++)
                for (int64_t j = 0; j < p.columns.out; j++) {
                    area a = area_at(&p, i, j);
                    const REAL *g = gy + ((n * p.rows.out + i) * p.columns.out + j) * p.channels;
                    REAL *image = gx + n * p.rows.in * p.columns.in * p.channels;
                    REAL scale = (REAL)(1 / divisor(args, &p, &a));
                    int64_t last = vt_min(block + CHANNEL_BLOCK, p.channels);
                    for (int64_t h = a.top; h < a.bottom; h++)
                        for (int64_t w = a.left; w < a.right; w++) {
                            REAL *restrict to = image + (h * p.columns.in + w) * p.channels;
                            for (int64_t c = block; c < last; c++)
                                to[c] += scale * g[c];
                        }
                }
}

#endif
