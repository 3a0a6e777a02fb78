/* Training of convolution, batch normalization, ReLU and depthwise convolution at once:
 *
 *     z = w.p + b,  x = (z - m) r,  a = relu(gamma x + beta),  y = depthwise convolution of a
 *
 * for all patches p of the images. The maps z and a, by far the largest of a compact model, are
 * never stored. The mean of z is w.mean(p) + b and its variance w'Cw, C the covariance of the
 * patches (patches.h). Forward is then a stream (stream.h) with the normalization folded into the
 * kernel. Backward makes each row of a anew, with its gradient from that of y, and where a > 0 that
 * is the gradient g of gamma x + beta. With G = sum of g p and S = sum of g over the N patches
 *
 *     dbeta = S,  dgamma = sum of g x = r w.(G - S mean(p)),  db = 0,
 *     dw = gamma r (G - S mean(p) - dgamma r C w),
 *
 * which is batch normalization's gradient (batch_norm.c) summed over patches. Nobody may want the
 * images' gradient.
 *
 * Sums of some rows are float, others double; they are taken in pieces that do not depend on the
 * number of threads. */
#include "backend/stem.h"

#include "backend/channel_sums.h"
#include "backend/patches.h"
#include "backend/stream.h"
#include "base/arena.h"
#include "ventral/progress.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { UNITS = 32, BAND_ROWS = 8, PIECES = 32, FLUSH_ROWS = 16 };
enum { MAX_PATCH = 256, MAX_KERNEL_ROWS = 32, MAX_WORKER_BYTES = 8 << 20 };

typedef struct stem {
    vt_stem_layers layers;
    vt_patches patches;
    const vt_stream_isa *isa;
    vt_arena *arena;
    vt_kernel stream; /* forward */
    int threads;
    int64_t filters, size, taps, pitch; /* size: of a patch; pitch: filters in whole vectors */
    int64_t bands;                      /* of an image, where there are few images */
    float *kernel, *bias;               /* with the normalization folded in */
    float *packed, *packed_bias;        /* the same, as the loops want them */
    float *turned;                      /* depthwise kernel: see turn_kernel */
    float *zeros;                       /* a pixel */
    /* Rows of gradients of y wait in a ring: rows, zeros at the left, pixels with all padding. */
    int64_t ring_rows, ring_left, ring_width;
    int64_t line_width; /* of a row of a with its padding */
} stem;

/* ---- memory: saved, and scratch of backward ---- */

static double *saved_mean(const vt_op_args *args)
{
    return args->saved;
}

static double *saved_covariance(const stem *s, const vt_op_args *args)
{
    return saved_mean(args) + s->size;
}

static double *saved_r(const stem *s, const vt_op_args *args)
{
    return saved_covariance(s, args) + s->size * s->size;
}

/* G, gradient of the depthwise kernel and S: rows of pitch. */
static int64_t sums_count(const stem *s)
{
    return (s->size + s->taps + 1) * s->pitch;
}

static double *piece_sums(const stem *s, const vt_op_args *args, int64_t piece)
{
    return (double *)args->scratch + piece * sums_count(s);
}

typedef struct worker {
    float *frame;       /* the image in its padding */
    float *line;        /* a row of a, in the depthwise convolution's padding */
    float *gradient;    /* of that row */
    float *ring, *sums; /* rows of dy; sums not yet flushed */
    int64_t held;       /* rows of dy up to this one are in the ring or were */
} worker;

static int64_t worker_floats(const stem *s)
{
    return (int64_t)vt_patches_frame_floats(&s->patches) +
           (s->line_width + s->layers.depth[1].in + s->ring_rows * s->ring_width) * s->pitch +
           sums_count(s);
}

static worker worker_new(const stem *s, const vt_op_args *args)
{
    int64_t floats = (worker_floats(s) + 15) / 16 * 16;
    worker w = {.frame = (float *)piece_sums(s, args, PIECES) + omp_get_thread_num() * floats};
    memset(w.frame, 0, (size_t)floats * sizeof *w.frame);
    w.line = w.frame + vt_patches_frame_floats(&s->patches);
    w.gradient = w.line + s->line_width * s->pitch;
    w.ring = w.gradient + s->layers.depth[1].in * s->pitch;
    w.sums = w.ring + s->ring_rows * s->ring_width * s->pitch;
    return w;
}

static size_t backward_bytes(const stem *s)
{
    size_t floats = (size_t)(worker_floats(s) + 15);
    return PIECES * (size_t)sums_count(s) * sizeof(double) +
           (size_t)s->threads * floats * sizeof(float);
}

/* ---- forward ---- */

static double product(const float *w, const double *v, int64_t size)
{
    double sum = 0;
    for (int64_t k = 0; k < size; k++)
        sum += w[k] * v[k];
    return sum;
}

/* Cw of one filter. */
static void spread(const stem *s, const vt_op_args *args, const float *w, double *out)
{
    const double *covariance = saved_covariance(s, args);
    for (int64_t k = 0; k < s->size; k++)
        out[k] = product(w, covariance + k * s->size, s->size);
}

/* Moves the running statistics and folds the batch's into the kernel. */
static void fold(const stem *s, const vt_op_args *args)
{
    const vt_batch_norm_options *o = s->layers.norm;
    const float *bias = args->param[VT_STEM_BIAS].data;
    const float *gamma = args->param[VT_STEM_GAMMA].data, *beta = args->param[VT_STEM_BETA].data;
    float *moving_mean = args->param[VT_STEM_MOVING_MEAN].data;
    float *moving_variance = args->param[VT_STEM_MOVING_VARIANCE].data;
    const vt_window *h = s->layers.conv;
    double count = (double)(s->layers.batch * h[0].out * h[1].out), m = o->momentum;
    double *r = saved_r(s, args), spread_w[MAX_PATCH];
    for (int64_t f = 0; f < s->filters; f++) {
        const float *w = (const float *)args->param[VT_STEM_KERNEL].data + f * s->size;
        spread(s, args, w, spread_w);
        double mean = product(w, saved_mean(args), s->size);
        double variance = product(w, spread_w, s->size);
        if (variance < 0) variance = 0;
        r[f] = 1 / sqrt(variance + o->epsilon);
        double scale = gamma[f] * r[f];
        for (int64_t k = 0; k < s->size; k++)
            s->kernel[f * s->size + k] = (float)(scale * w[k]);
        s->bias[f] = (float)(beta[f] - scale * mean);
        if (bias) mean += bias[f];
        if (o->unbiased && count > 1) variance *= count / (count - 1);
        moving_mean[f] = (float)((1 - m) * moving_mean[f] + m * mean);
        moving_variance[f] = (float)((1 - m) * moving_variance[f] + m * variance);
    }
}

static vt_status forward(void *state, const vt_op_args *args)
{
    stem *s = state;
    vt_patches_moments(&s->patches, s->isa, s->threads, args->in[0].data, saved_mean(args),
                       saved_covariance(s, args), args->scratch);
    fold(s, args);
    vt_stream_pack(s->isa, s->kernel, (int)s->size, (int)s->filters, s->packed);
    memcpy(s->packed_bias, s->bias, (size_t)s->filters * sizeof *s->bias);
    VT_TRY(s->stream.refresh(s->stream.state, args));
    return s->stream.forward(s->stream.state, args);
}

/* ---- backward ---- */

/* The depthwise kernel for gradients: input (r, t) is read by the outputs ((r + before - u) /
 * stride, (t + before - v) / stride) that are whole. Which u and which v that are depends on the
 * phase (r + before) % stride, likewise t's. The positions of a pair of phases lie together, [u][v]
 * [channel]. */
static int phase_of(const vt_window *w, int position)
{
    return (int)((int64_t)position * w->dilation % w->stride);
}

static int phase_count(const vt_window *w, int phase)
{
    int count = 0;
    for (int k = 0; k < w->kernel; k++)
        count += phase_of(w, k) == phase;
    return count;
}

/* Kernel positions before those of a pair of phases. */
static int phase_start(const stem *s, int row_phase, int column_phase)
{
    const vt_window *h = &s->layers.depth[0], *v = &s->layers.depth[1];
    int start = 0;
    for (int p = 0; p < row_phase; p++)
        start += phase_count(h, p) * v->kernel;
    for (int q = 0; q < column_phase; q++)
        start += phase_count(h, row_phase) * phase_count(v, q);
    return start;
}

static void turn_kernel(const stem *s, const float *kernel)
{
    const vt_window *h = &s->layers.depth[0], *v = &s->layers.depth[1];
    float *to = s->turned;
    for (int p = 0; p < h->stride; p++)
        for (int q = 0; q < v->stride; q++)
            for (int k = 0; k < h->kernel * v->kernel; k++) {
                if (phase_of(h, k / v->kernel) != p || phase_of(v, k % v->kernel) != q) continue;
                for (int64_t f = 0; f < s->filters; f++)
                    to[f] = kernel[f * s->taps + k];
                to += s->pitch;
            }
}

/* Pixel 0 of row i of dy. */
static float *ring_row(const stem *s, const worker *w, int64_t i)
{
    return w->ring + (i % s->ring_rows * s->ring_width + s->ring_left) * s->pitch;
}

static void fill_ring(const stem *s, worker *w, const float *gy, int64_t last)
{
    const vt_window *v = &s->layers.depth[1];
    for (; w->held < last; w->held++) {
        float *to = ring_row(s, w, w->held + 1);
        const float *from = gy + (w->held + 1) * v->out * s->filters;
        for (int64_t j = 0; j < v->out; j++)
            memcpy(to + j * s->pitch, from + j * s->filters, (size_t)s->filters * sizeof *to);
    }
}

/* The outputs that read a row of a: the first kernel row and how many of its phase come after, with
 * the row of dy of each. */
typedef struct readers {
    int phase, first, count; /* first: among the phase's kernel rows */
    const float *rows[MAX_KERNEL_ROWS];
    int starts[MAX_KERNEL_ROWS]; /* of kernel rows in the sums of the kernel's gradient */
} readers;

static void find_readers(const stem *s, worker *w, const float *gy, int64_t row, readers *r)
{
    const vt_window *h = &s->layers.depth[0];
    int seen = 0;
    *r = (readers){.phase = (int)((row + h->before) % h->stride)};
    for (int u = 0; u < h->kernel; u++) {
        if (phase_of(h, u) != r->phase) continue;
        int64_t i = (row + h->before - (int64_t)u * h->dilation);
        seen++;
        if (i < 0 || i / h->stride >= h->out) continue;
        i /= h->stride;
        fill_ring(s, w, gy, i);
        if (r->count == 0) r->first = seen - 1;
        r->starts[r->count] = (int)(u * s->layers.depth[1].kernel * s->pitch);
        r->rows[r->count++] = ring_row(s, w, i);
    }
}

/* The row of a from the image, in its padding. */
static void make_line(const stem *s, const worker *w, int64_t row)
{
    const vt_window *h = &s->layers.conv[0], *v = &s->layers.conv[1];
    const float *rows[MAX_PATCH];
    size_t floats = vt_patches_frame_row(&s->patches);
    for (int u = 0; u < h->kernel; u++)
        rows[u] = w->frame + (size_t)(row * h->stride + u) * floats;
    s->isa->full(&(vt_stream_row){.rows = rows,
                                  .out = w->line + s->layers.depth[1].before * s->pitch,
                                  .width = (int)v->out,
                                  .kernel_rows = h->kernel,
                                  .in_stride = v->stride * s->layers.channels,
                                  .taps = 1,
                                  .tap_length = vt_patch_row(&s->patches),
                                  .out_step = (int)s->pitch,
                                  .kernel = s->packed,
                                  .bias = s->packed_bias,
                                  .relu = true});
}

/* The gradient of the row of a; the columns of one phase at a time. */
static void make_gradient(const stem *s, const worker *w, const readers *r)
{
    const vt_window *v = &s->layers.depth[1];
    const float *rows[MAX_KERNEL_ROWS];
    if (v->kernel < v->stride || v->dilation > 1)
        memset(w->gradient, 0, (size_t)(v->in * s->pitch) * sizeof(float));
    for (int t = 0; t < v->stride && t < v->in; t++) {
        int phase = (t + v->before) % v->stride, taps = phase_count(v, phase);
        int start = phase_start(s, r->phase, phase) + r->first * taps, first = 0, next;
        if (taps == 0) continue;
        while (phase_of(v, first) != phase)
            first++;
        for (next = 1; phase_of(v, next) != 0;)
            next++;
        int64_t from = (t + v->before - (int64_t)first * v->dilation) / v->stride;
        for (int k = 0; k < r->count; k++)
            rows[k] = r->rows[k] + from * s->pitch;
        s->isa->depthwise(
            &(vt_stream_row){.rows = rows,
                             .out = w->gradient + t * s->pitch,
                             .width = (int)((v->in - t + v->stride - 1) / v->stride),
                             .kernel_rows = r->count,
                             .in_stride = (int)s->pitch,
                             .taps = taps,
                             .tap_step = -(int)(next * v->dilation / v->stride * s->pitch),
                             .out_step = (int)s->pitch,
                             .out_stride = (int)(v->stride * s->pitch),
                             .kernel = s->turned + start * s->pitch,
                             .bias = s->zeros});
    }
}

static void add_sums(const stem *s, const worker *w, const readers *r, int64_t row)
{
    const vt_window *h = s->layers.conv, *v = &s->layers.depth[1];
    const float *rows[MAX_PATCH];
    size_t floats = vt_patches_frame_row(&s->patches);
    float *depth_sums = w->sums + s->size * s->pitch;
    s->isa->gather_depthwise(&(vt_stream_gather){.rows = r->rows,
                                                 .row = w->line,
                                                 .sums = depth_sums,
                                                 .width = (int)v->out,
                                                 .kernel_rows = r->count,
                                                 .starts = r->starts,
                                                 .in_stride = (int)(v->stride * s->pitch),
                                                 .taps = v->kernel,
                                                 .tap_step = (int)(v->dilation * s->pitch),
                                                 .g_step = (int)s->pitch,
                                                 .step = (int)s->pitch});
    s->isa->pass(w->gradient, w->line + v->before * s->pitch, depth_sums + s->taps * s->pitch,
                 (int)v->in, (int)s->pitch);
    for (int u = 0; u < h[0].kernel; u++)
        rows[u] = w->frame + (size_t)(row * h[0].stride + u) * floats;
    s->isa->gather(&(vt_stream_gather){.rows = rows,
                                       .row = w->gradient,
                                       .sums = w->sums,
                                       .width = (int)v->in,
                                       .kernel_rows = h[0].kernel,
                                       .in_stride = h[1].stride * s->layers.channels,
                                       .tap_length = vt_patch_row(&s->patches),
                                       .g_step = (int)s->pitch,
                                       .step = (int)s->pitch});
}

static void flush(const stem *s, const worker *w, double *piece)
{
    for (int64_t i = 0; i < sums_count(s); i++)
        piece[i] += w->sums[i];
    memset(w->sums, 0, (size_t)sums_count(s) * sizeof *w->sums);
}

/* Sums over a band of rows of a of one image. */
static void backward_band(const stem *s, const vt_op_args *args, worker *w, int64_t unit,
                          double *piece)
{
    const vt_window *h = s->layers.depth;
    int64_t image = unit / s->bands, band = unit % s->bands;
    int64_t first = band * h[0].in / s->bands, last = (band + 1) * h[0].in / s->bands;
    const float *gy = (const float *)args->grad_out.data + image * h[0].out * h[1].out * s->filters;
    int64_t reach = (int64_t)(h[0].kernel - 1) * h[0].dilation;
    int64_t above = (first + h[0].before - reach) / h[0].stride - 1;
    vt_patches_frame(&s->patches, args->in[0].data, image, w->frame);
    w->held = above < -1 ? -1 : above;
    for (int64_t row = first; row < last; row++) {
        readers r;
        find_readers(s, w, gy, row, &r);
        if (r.count > 0) {
            make_line(s, w, row);
            make_gradient(s, w, &r);
            add_sums(s, w, &r, row);
        }
        if ((row - first) % FLUSH_ROWS == FLUSH_ROWS - 1 || row == last - 1) flush(s, w, piece);
    }
}

/* The sums of all images, in the first piece. */
static double *all_sums(const stem *s, const vt_op_args *args)
{
    int64_t units = s->layers.batch * s->bands, count = sums_count(s);
#pragma omp parallel num_threads(s->threads)
    {
        worker w = worker_new(s, args);
#pragma omp for schedule(dynamic)
        for (int64_t p = 0; p < PIECES; p++) {
            double *piece = piece_sums(s, args, p);
            memset(piece, 0, (size_t)count * sizeof *piece);
            for (int64_t unit = p * units / PIECES; unit < (p + 1) * units / PIECES; unit++)
                backward_band(s, args, &w, unit, piece);
        }
    }
    double *sums = piece_sums(s, args, 0);
    for (int64_t p = 1; p < PIECES; p++)
        for (int64_t i = 0; i < count; i++)
            sums[i] += sums[p * count + i];
    return sums;
}

static void filter_gradients(const stem *s, const vt_op_args *args, const double *sums, int64_t f)
{
    const float *w = (const float *)args->param[VT_STEM_KERNEL].data + f * s->size;
    const float *gamma = args->param[VT_STEM_GAMMA].data;
    float *gw = (float *)args->grad_param[VT_STEM_KERNEL].data + f * s->size;
    float *gdepth = (float *)args->grad_param[VT_STEM_DEPTH_KERNEL].data + f * s->taps;
    const double *mean = saved_mean(args), *depth = sums + s->size * s->pitch;
    double sum = depth[s->taps * s->pitch + f], r = saved_r(s, args)[f], ggamma = 0;
    double centred[MAX_PATCH], spread_w[MAX_PATCH]; /* G - S mean(p), C w */
    spread(s, args, w, spread_w);
    for (int64_t k = 0; k < s->size; k++) {
        centred[k] = sums[k * s->pitch + f] - sum * mean[k];
        ggamma += r * w[k] * centred[k];
    }
    for (int64_t k = 0; k < s->size; k++)
        gw[k] += (float)(gamma[f] * r * (centred[k] - ggamma * r * spread_w[k]));
    ((float *)args->grad_param[VT_STEM_GAMMA].data)[f] += (float)ggamma;
    ((float *)args->grad_param[VT_STEM_BETA].data)[f] += (float)sum;
    for (int64_t k = 0; k < s->taps; k++)
        gdepth[k] += (float)depth[k * s->pitch + f];
}

static vt_status backward(void *state, const vt_op_args *args)
{
    const stem *s = state;
    turn_kernel(s, args->param[VT_STEM_DEPTH_KERNEL].data);
    const double *sums = all_sums(s, args);
    for (int64_t f = 0; f < s->filters; f++)
        filter_gradients(s, args, sums, f);
    const vt_window *w = s->layers.depth;
    if (args->grad_param[VT_STEM_DEPTH_BIAS].data)
        vt_column_sums_add(args->grad_param[VT_STEM_DEPTH_BIAS].data, args->grad_out.data,
                           s->layers.batch * w[0].out * w[1].out, s->filters, s->threads,
                           args->scratch);
    return VT_OK;
}

/* ---- preparing ---- */

static void release(void *state)
{
    stem *s = state;
    if (s->stream.free) s->stream.free(s->stream.state);
    vt_arena_free(s->arena);
    free(s);
}

static void size_lines(stem *s)
{
    const vt_window *h = &s->layers.depth[0], *v = &s->layers.depth[1];
    int64_t reach = (int64_t)(v->kernel - 1) * v->dilation;
    /* Column t reads dy from (t + before - reach) / stride to (t + before) / stride. */
    int64_t left = (reach - v->before + v->stride - 1) / v->stride;
    int64_t right = (v->in - 1 + v->before) / v->stride + 1;
    s->line_width = v->before + v->in + v->after;
    s->ring_rows = (int64_t)(h->kernel - 1) * h->dilation / h->stride + 1;
    s->ring_left = left > 0 ? left : 0;
    s->ring_width = s->ring_left + (right > v->out ? right : v->out);
}

static bool supported(const stem *s)
{
    const vt_window *conv = s->layers.conv, *depth = s->layers.depth;
    return conv[0].dilation == 1 && conv[1].dilation == 1 && s->size <= MAX_PATCH &&
           depth[0].kernel <= MAX_KERNEL_ROWS && conv[0].out == depth[0].in &&
           conv[1].out == depth[1].in &&
           worker_floats(s) * (int64_t)sizeof(float) <= MAX_WORKER_BYTES;
}

static vt_status allocate(stem *s)
{
    size_t size = (size_t)s->size * sizeof(float), pixel = (size_t)s->pitch * sizeof(float);
    size_t filters = (size_t)s->filters;
    VT_TRY(vt_arena_new(&s->arena));
    VT_TRY(vt_arena_alloc(s->arena, &s->kernel, filters * size, "stem kernel"));
    VT_TRY(vt_arena_alloc(s->arena, &s->bias, filters * sizeof(float), "stem bias"));
    VT_TRY(vt_arena_alloc(s->arena, &s->packed, (size_t)s->pitch * size, "stem kernel"));
    VT_TRY(vt_arena_alloc(s->arena, &s->packed_bias, pixel, "stem bias"));
    VT_TRY(vt_arena_alloc(s->arena, &s->turned, (size_t)s->taps * pixel, "stem kernel"));
    return vt_arena_alloc(s->arena, &s->zeros, pixel, "stem zeros");
}

static vt_status prepare_stream(stem *s)
{
    const vt_stem_layers *l = &s->layers;
    vt_stream_layer layers[2] = {{.relu = true,
                                  .channels = l->channels,
                                  .filters = l->filters,
                                  .window = {l->conv[0], l->conv[1]},
                                  .kernel = s->kernel,
                                  .bias = s->bias},
                                 {.depthwise = true,
                                  .channels = l->filters,
                                  .filters = l->filters,
                                  .window = {l->depth[0], l->depth[1]},
                                  .kernel = l->depth_kernel,
                                  .bias = l->depth_bias}};
    return vt_stream_prepare(&s->stream, layers, 2);
}

vt_status vt_stem_prepare(vt_kernel *out, const vt_stem_layers *layers)
{
    stem *s = vt_alloc(1, sizeof *s);
    if (!s) return VT_ENOMEM;
    *s = (stem){.layers = *layers,
                .patches = {.window = {layers->conv[0], layers->conv[1]},
                            .batch = layers->batch,
                            .channels = layers->channels},
                .isa = vt_stream_isa_best(),
                .threads = vt_threads(),
                .filters = layers->filters,
                .taps = (int64_t)layers->depth[0].kernel * layers->depth[1].kernel};
    s->size = vt_patch_size(&s->patches);
    s->pitch = (s->filters + s->isa->lanes - 1) / s->isa->lanes * s->isa->lanes;
    s->bands = (UNITS + layers->batch - 1) / layers->batch;
    if (s->bands > layers->depth[0].in / BAND_ROWS) s->bands = layers->depth[0].in / BAND_ROWS;
    if (s->bands < 1) s->bands = 1;
    size_lines(s);
    vt_status status = supported(s) ? allocate(s) : VT_EUNSUPPORTED;
    if (status == VT_OK) status = prepare_stream(s);
    if (status != VT_OK) {
        release(s);
        return status;
    }
    size_t scratch = backward_bytes(s), sums = vt_column_scratch_bytes(s->filters);
    size_t moments = vt_patches_scratch_bytes(&s->patches, s->threads);
    if (scratch < sums) scratch = sums;
    if (scratch < moments) scratch = moments;
    if (scratch < s->stream.scratch_bytes) scratch = s->stream.scratch_bytes;
    *out = (vt_kernel){.name = "stem",
                       .state = s,
                       .forward = forward,
                       .backward = backward,
                       .free = release,
                       .scratch_bytes = scratch,
                       .saved_bytes =
                           (size_t)(s->size + s->size * s->size + s->filters) * sizeof(double)};
    return VT_OK;
}
