/* Depthwise convolution, kernel K (channels, u, v):
 *
 *     y[n,i,j,c] = b[c] + sum over u, v of K[c,u,v] x[n, s i - p + d u, s j - p + d v, c]
 *
 * with gradients of b: the sums of dy; of K: the same products summed over n, i, j; of x: those
 * summed over the outputs that read it. oneDNN's routines read plain NHWC memory in small pieces
 * far apart, and its gradient of K reaches a few percent of the processor's speed.
 *
 * Here the last rows of an image wait in a ring, copied once, padded with zeros at their sides so
 * that no tap leaves them, and their channels padded to whole vectors. A row of outputs (or of
 * input gradients, of one column in every stride) then takes one pass along a row of the ring for
 * each kernel row. An image is cut into bands where there are few; bands are spread over threads.
 * Sums over images add bands in order: results do not depend on the number of threads. */
#include "backend/depthwise.h"

#include "backend/channel_sums.h"
#include "backend/depthwise_rows.h"
#include "backend/vectorized.h"
#include "base/arena.h"
#include "ops/conv_geometry.h"
#include "ventral/progress.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 8, MAX_RING_ROWS = 64, MAX_RING_BYTES = 4 << 20, MAX_SUMS = 64 };
enum { UNITS = 32, BAND_ROWS = 8 }; /* images are cut where there are fewer, not too finely */

/* The last rows of an image of `columns` pixels, each between zeros. */
typedef struct ring {
    int64_t rows, left, columns, width; /* padding at the left, pixels, and with all padding */
} ring;

typedef struct depthwise {
    vt_window rows, columns;
    int64_t batch, channels, pitch; /* pitch: channels in whole vectors */
    int64_t taps, bands;
    int threads;
    bool relu;
    ring x, gy, line; /* line: one row of gy or of outputs, without padding */
    ring gx;          /* one row of input gradients */
} depthwise;

/* Memory of one thread, and where its scratch is. */
typedef struct worker {
    float *ring, *line;
    int64_t held[MAX_RING_ROWS]; /* row in each slot of the ring, or -1 */
} worker;

static int64_t ring_floats(const depthwise *d, const ring *r)
{
    return r->rows * r->width * d->pitch;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t worker_floats(const depthwise *d)
{
    return most(ring_floats(d, &d->x), ring_floats(d, &d->gy)) +
           most(ring_floats(d, &d->line), ring_floats(d, &d->gx));
}

/* ---- scratch: packed kernel, workers, sums of kernel gradients ---- */

static float *packed_kernel(const vt_op_args *args)
{
    return args->scratch;
}

static float *worker_memory(const depthwise *d, const vt_op_args *args, int64_t thread)
{
    return packed_kernel(args) + d->taps * d->pitch + thread * worker_floats(d);
}

static float *kernel_sums(const depthwise *d, const vt_op_args *args, int64_t piece)
{
    return worker_memory(d, args, d->threads) + piece * d->taps * d->pitch;
}

static int64_t sum_pieces(const depthwise *d)
{
    int64_t units = d->batch * d->bands;
    return units < MAX_SUMS ? units : MAX_SUMS;
}

static worker worker_new(const depthwise *d, const vt_op_args *args, const ring *r)
{
    float *memory = worker_memory(d, args, omp_get_thread_num());
    memset(memory, 0, (size_t)worker_floats(d) * sizeof *memory);
    return (worker){.ring = memory, .line = memory + ring_floats(d, r)};
}

static void forget(worker *w)
{
    for (int i = 0; i < MAX_RING_ROWS; i++)
        w->held[i] = -1;
}

/* ---- rows ---- */

typedef float vec __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* Whole vectors of every pixel but the last: what the last vector brings along from the next pixel
 * lies in the padding, where it meets zeros of the kernel or sums that nobody reads. */
VECTORIZED static void copy_in(float *restrict to, const float *restrict from, int64_t pixels,
                               int64_t channels, int64_t pitch)
{
    for (int64_t i = 0; i < pixels - 1; i++, to += pitch, from += channels)
        for (int64_t c = 0; c < pitch; c += LANES) {
            *(vec *)(to + c) = *(const vec *)(from + c);
            __asm__ volatile(""); /* else the compiler calls memcpy, slow for so little */
        }
    memcpy(to, from, (size_t)channels * sizeof *to);
}

VECTORIZED static void copy_out(float *restrict to, const float *restrict from, int64_t pixels,
                                int64_t channels, int64_t pitch)
{
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < channels; c++)
            to[i * channels + c] = from[i * pitch + c];
}

VECTORIZED static void add_out(float *restrict to, const float *restrict from, int64_t pixels,
                               int64_t channels, int64_t pitch)
{
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < channels; c++)
            to[i * channels + c] += from[i * pitch + c];
}

/* Pixel 0 of row `row` of `image`, after the padding; NULL where there is none. */
static float *ring_row(const depthwise *d, const ring *r, worker *w, const float *image,
                       int64_t row)
{
    int64_t slot = row % r->rows;
    float *pixels = w->ring + (slot * r->width + r->left) * d->pitch;
    if (w->held[slot] != row) {
        copy_in(pixels, image + row * r->columns * d->channels, r->columns, d->channels, d->pitch);
        w->held[slot] = row;
    }
    return pixels;
}

static void pack_kernel(const depthwise *d, const float *kernel, float *packed)
{
    memset(packed, 0, (size_t)(d->taps * d->pitch) * sizeof *packed);
    for (int64_t c = 0; c < d->channels; c++)
        for (int64_t t = 0; t < d->taps; t++)
            packed[t * d->pitch + c] = kernel[c * d->taps + t];
}

/* A walk along output row `i` and the taps of kernel row `u`. */
static vt_taps output_taps(const depthwise *d, const float *image, worker *w, int64_t i, int64_t u,
                           float *kernel)
{
    const vt_window *h = &d->rows, *v = &d->columns;
    const float *x = ring_row(d, &d->x, w, image, i * h->stride - h->before + u * h->dilation);
    return (vt_taps){.y = w->line,
                     .kernel = kernel + u * v->kernel * d->pitch,
                     .x = x - v->before * d->pitch,
                     .count = v->out,
                     .y_step = d->pitch,
                     .x_step = v->stride * d->pitch,
                     .tap_step = v->dilation * d->pitch,
                     .kernel_step = d->pitch,
                     .taps = v->kernel,
                     .channels = d->pitch};
}

/* Rows of a band of an image of `rows`; units count all images' bands. */
static void band(const depthwise *d, int64_t unit, int64_t rows, int64_t *first, int64_t *last)
{
    *first = unit % d->bands * rows / d->bands;
    *last = (unit % d->bands + 1) * rows / d->bands;
}

/* ---- forward ---- */

VECTORIZED static void start_row(float *restrict line, const float *restrict bias, int64_t pixels,
                                 int64_t channels, int64_t pitch)
{
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < channels; c++)
            line[i * pitch + c] = bias[c];
}

VECTORIZED static void rectify(float *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = x[i] < 0 ? 0 : x[i];
}

static void forward_band(const depthwise *d, const vt_op_args *args, worker *w, int64_t unit)
{
    const vt_window *h = &d->rows, *v = &d->columns;
    int64_t image = unit / d->bands, first, last, from, to;
    const float *bias = args->param[1].data;
    const float *x = (const float *)args->in[0].data + image * h->in * v->in * d->channels;
    float *y = (float *)args->out.data + image * h->out * v->out * d->channels;
    forget(w);
    band(d, unit, h->out, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (bias)
            start_row(w->line, bias, v->out, d->channels, d->pitch);
        else
            memset(w->line, 0, (size_t)(v->out * d->pitch) * sizeof(float));
        vt_window_taps(h, i, &from, &to);
        for (int64_t u = from; u < to; u++) {
            vt_taps taps = output_taps(d, x, w, i, u, packed_kernel(args));
            vt_taps_apply(&taps);
        }
        float *row = y + i * v->out * d->channels;
        copy_out(row, w->line, v->out, d->channels, d->pitch);
        if (d->relu) rectify(row, v->out * d->channels);
    }
}

static vt_status forward(void *state, const vt_op_args *args)
{
    const depthwise *d = state;
    pack_kernel(d, args->param[0].data, packed_kernel(args));
#pragma omp parallel num_threads(d->threads)
    {
        worker w = worker_new(d, args, &d->x);
#pragma omp for schedule(dynamic)
        for (int64_t unit = 0; unit < d->batch * d->bands; unit++)
            forward_band(d, args, &w, unit);
    }
    return VT_OK;
}

/* ---- backward ---- */

static void kernel_band(const depthwise *d, const vt_op_args *args, worker *w, int64_t unit,
                        float *sums)
{
    const vt_window *h = &d->rows, *v = &d->columns;
    int64_t image = unit / d->bands, first, last, from, to;
    const float *x = (const float *)args->in[0].data + image * h->in * v->in * d->channels;
    const float *gy = (const float *)args->grad_out.data + image * h->out * v->out * d->channels;
    forget(w);
    band(d, unit, h->out, &first, &last);
    for (int64_t i = first; i < last; i++) {
        copy_in(w->line, gy + i * v->out * d->channels, v->out, d->channels, d->pitch);
        vt_window_taps(h, i, &from, &to);
        for (int64_t u = from; u < to; u++) {
            vt_taps taps = output_taps(d, x, w, i, u, sums);
            vt_taps_gather(&taps);
        }
    }
}

static void kernel_gradient(const depthwise *d, const vt_op_args *args)
{
    float *gk = args->grad_param[0].data;
    int64_t pieces = sum_pieces(d), units = d->batch * d->bands, size = d->taps * d->pitch;
#pragma omp parallel num_threads(d->threads)
    {
        worker w = worker_new(d, args, &d->x);
#pragma omp for schedule(dynamic)
        for (int64_t p = 0; p < pieces; p++) {
            float *sums = kernel_sums(d, args, p);
            memset(sums, 0, (size_t)size * sizeof *sums);
            for (int64_t unit = p * units / pieces; unit < (p + 1) * units / pieces; unit++)
                kernel_band(d, args, &w, unit, sums);
        }
#pragma omp for schedule(static)
        for (int64_t t = 0; t < d->taps; t++)
            for (int64_t c = 0; c < d->channels; c++) {
                double sum = 0;
                for (int64_t p = 0; p < pieces; p++)
                    sum += kernel_sums(d, args, p)[t * d->pitch + c];
                gk[c * d->taps + t] += (float)sum;
            }
    }
}

/* Adds to the input gradients of one row what the outputs `gy` of one row give through kernel row
 * `u`. Columns j, j + stride, ... are reached by the same taps v, those where stride divides
 * j + before - dilation v, and by neighbouring outputs. */
static void add_input_row(const depthwise *d, const float *gy, float *kernel, float *line)
{
    const vt_window *v = &d->columns;
    for (int64_t j = 0; j < v->stride && j < v->in; j++) {
        int64_t first = 0, step = 1;
        while (first < v->kernel && (j + v->before - first * v->dilation) % v->stride)
            first++;
        if (first == v->kernel) continue;
        while (step * v->dilation % v->stride)
            step++;
        vt_taps taps = {.y = line + j * d->pitch,
                        .kernel = kernel + first * d->pitch,
                        .x = gy + (j + v->before - first * v->dilation) / v->stride * d->pitch,
                        .count = (v->in - j + v->stride - 1) / v->stride,
                        .y_step = v->stride * d->pitch,
                        .x_step = d->pitch,
                        .tap_step = -(step * v->dilation / v->stride) * d->pitch,
                        .kernel_step = step * d->pitch,
                        .taps = (v->kernel - first + step - 1) / step,
                        .channels = d->pitch};
        vt_taps_apply(&taps);
    }
}

static void input_band(const depthwise *d, const vt_op_args *args, worker *w, int64_t unit)
{
    const vt_window *h = &d->rows, *v = &d->columns;
    int64_t image = unit / d->bands, first, last;
    const float *gy = (const float *)args->grad_out.data + image * h->out * v->out * d->channels;
    float *gx = (float *)args->grad_in[0].data + image * h->in * v->in * d->channels;
    forget(w);
    band(d, unit, h->in, &first, &last);
    for (int64_t row = first; row < last; row++) {
        bool touched = false;
        for (int64_t u = h->kernel - 1; u >= 0; u--) {
            int64_t at = row + h->before - u * h->dilation;
            if (at < 0 || at % h->stride || at / h->stride >= h->out) continue;
            if (!touched) memset(w->line, 0, (size_t)(v->in * d->pitch) * sizeof(float));
            touched = true;
            add_input_row(d, ring_row(d, &d->gy, w, gy, at / h->stride),
                          packed_kernel(args) + u * v->kernel * d->pitch, w->line);
        }
        if (touched) add_out(gx + row * v->in * d->channels, w->line, v->in, d->channels, d->pitch);
    }
}

static void input_gradient(const depthwise *d, const vt_op_args *args)
{
    pack_kernel(d, args->param[0].data, packed_kernel(args));
#pragma omp parallel num_threads(d->threads)
    {
        worker w = worker_new(d, args, &d->gy);
#pragma omp for schedule(dynamic)
        for (int64_t unit = 0; unit < d->batch * d->bands; unit++)
            input_band(d, args, &w, unit);
    }
}

static vt_status backward(void *state, const vt_op_args *args)
{
    const depthwise *d = state;
    if (args->grad_in[0].data) input_gradient(d, args);
    if (args->grad_param[0].data) kernel_gradient(d, args);
    if (args->grad_param[1].data)
        vt_column_sums_add(args->grad_param[1].data, args->grad_out.data,
                           d->batch * d->rows.out * d->columns.out, d->channels, d->threads,
                           args->scratch);
    return VT_OK;
}

/* ---- preparing ---- */

static void size_rings(depthwise *d)
{
    const vt_window *h = &d->rows, *v = &d->columns;
    int64_t reach = (int64_t)(v->kernel - 1) * v->dilation; /* of the last tap */
    int64_t right = (v->out - 1) * v->stride + reach - v->before;
    d->x = (ring){.rows = (int64_t)(h->kernel - 1) * h->dilation + 1,
                  .left = v->before,
                  .columns = v->in,
                  .width = v->before + most(v->in, right + 1)};
    /* Column j of the input reads outputs from (j + before - reach) / stride on. */
    int64_t left = most(0, (reach - v->before + v->stride - 1) / v->stride);
    d->gy = (ring){.rows = (int64_t)(h->kernel - 1) * h->dilation / h->stride + 1,
                   .left = left,
                   .columns = v->out,
                   .width = left + most(v->out, (v->in - 1 + v->before) / v->stride + 1)};
    d->line = (ring){.rows = 1, .columns = v->out, .width = v->out};
    d->gx = (ring){.rows = 1, .columns = v->in, .width = v->in};
}

vt_status vt_depthwise_prepare(vt_kernel *out, const vt_kernel_request *request)
{
    const vt_op_args *args = &request->args;
    const vt_conv2d_options *o = args->options;
    vt_window w[2] = {0};
    vt_conv2d_windows(w, o, args->in[0].size + 1);
    depthwise layer = {.rows = w[0],
                       .columns = w[1],
                       .batch = args->batch,
                       .channels = args->in[0].size[3],
                       .taps = (int64_t)w[0].kernel * w[1].kernel,
                       .threads = vt_threads(),
                       .relu = args->relu};
    if (o->groups < 2 || o->groups != layer.channels || o->filters != layer.channels)
        return vt_error(VT_EUNSUPPORTED, "the convolution is not depthwise");
    layer.pitch = (layer.channels + LANES - 1) / LANES * LANES;
    layer.bands = (UNITS + layer.batch - 1) / layer.batch;
    if (layer.bands > w[0].out / BAND_ROWS) layer.bands = most(1, w[0].out / BAND_ROWS);
    size_rings(&layer);
    if (layer.x.rows > MAX_RING_ROWS || layer.gy.rows > MAX_RING_ROWS ||
        worker_floats(&layer) * (int64_t)sizeof(float) > MAX_RING_BYTES)
        return vt_error(VT_EUNSUPPORTED, "the depthwise kernel is too large");
    depthwise *d = vt_alloc(1, sizeof *d);
    if (!d) return VT_ENOMEM;
    *d = layer;
    size_t floats = (size_t)(d->taps * d->pitch + d->threads * worker_floats(d));
    if (request->backward) floats += (size_t)(sum_pieces(d) * d->taps * d->pitch);
    size_t bytes = floats * sizeof(float), sums = vt_column_scratch_bytes(d->channels);
    *out = (vt_kernel){.name = "native",
                       .state = d,
                       .forward = forward,
                       .backward = request->backward ? backward : NULL,
                       .free = free,
                       .scratch_bytes = bytes > sums ? bytes : sums};
    return VT_OK;
}
