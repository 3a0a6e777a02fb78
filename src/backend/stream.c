/* Convolution chains run row by row (see stream.h): packing, ring buffers, scheduling.
 *
 * Every layer's input lies in a ring of as many rows as its window covers. A layer asked for its
 * next output row asks the layer before it for the rows still missing, and so on up to the image.
 */
#include "backend/stream.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "backend/stream_isa.h"
#include "base/arena.h"
#include "ventral/progress.h"

typedef struct stage {
    vt_stream_layer layer;
    int in_step, out_step; /* floats a pixel */
    int ring_rows;
    size_t row_floats;               /* of a padded input row */
    size_t ring_offset, line_offset; /* in a thread's scratch: the ring, one row of zeros */
    float *kernel, *bias;            /* packed */
} stage;

typedef struct stream {
    const vt_stream_isa *isa;
    vt_arena *arena;
    stage *stages;
    int count;
    int threads;
    size_t out_offset, rows_offset, thread_floats;
    int max_kernel_rows;
} stream;

static int round_up(int value, int multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static int kernel_inputs(const stage *s)
{
    const vt_window *w = s->layer.window;
    return w[0].kernel * w[1].kernel * (s->layer.depthwise ? 1 : s->layer.channels);
}

void vt_stream_pack(const vt_stream_isa *isa, const float *kernel, int inputs, int filters,
                    float *packed)
{
    int block = isa->block * isa->lanes, step = round_up(filters, isa->lanes);
    for (int first = 0; first < step; first += block) {
        int width = step - first < block ? step - first : block;
        for (int k = 0; k < inputs; k++)
            for (int f = first; f < first + width; f++)
                *packed++ = f < filters ? kernel[(int64_t)f * inputs + k] : 0;
    }
}

static void pack_depthwise(const stage *s)
{
    int inputs = kernel_inputs(s);
    for (int k = 0; k < inputs; k++)
        for (int c = 0; c < s->layer.filters; c++)
            s->kernel[(int64_t)k * s->out_step + c] = s->layer.kernel[(int64_t)c * inputs + k];
}

static vt_status refresh(void *state, const vt_op_args *args)
{
    stream *st = state;
    (void)args;
    for (int i = 0; i < st->count; i++) {
        stage *s = &st->stages[i];
        if (s->layer.depthwise)
            pack_depthwise(s);
        else
            vt_stream_pack(st->isa, s->layer.kernel, kernel_inputs(s), s->layer.filters, s->kernel);
        if (s->layer.bias)
            memcpy(s->bias, s->layer.bias, (size_t)s->layer.filters * sizeof *s->bias);
    }
    return VT_OK;
}

/* One image on its way through the chain, on one thread. */
typedef struct flight {
    const stream *st;
    const float *image;
    float *out, *scratch;
    int *produced; /* rows of each stage's input made so far */
} flight;

static float *ring_row(const flight *f, int index, int64_t row)
{
    const stage *s = &f->st->stages[index];
    return f->scratch + s->ring_offset + (size_t)(row % s->ring_rows) * s->row_floats;
}

static void make_row(flight *f, int index, int64_t y, float *out);

/* Makes row `row` of a stage's input: from the image, or by the stage before. */
static void make_input_row(flight *f, int index, int64_t row)
{
    const stage *s = &f->st->stages[index];
    float *line = ring_row(f, index, row) + (size_t)s->layer.window[1].before * (size_t)s->in_step;
    size_t floats = (size_t)s->layer.window[1].in * (size_t)s->in_step;
    if (index == 0)
        memcpy(line, f->image + (size_t)row * floats, floats * sizeof *line);
    else
        make_row(f, index - 1, row, line);
}

static void make_row(flight *f, int index, int64_t y, float *out)
{
    const stage *s = &f->st->stages[index];
    const vt_window *v = &s->layer.window[0], *h = &s->layer.window[1];
    const float **rows = (const float **)(f->scratch + f->st->rows_offset) +
                         (size_t)index * (size_t)f->st->max_kernel_rows;
    int64_t top = y * v->stride - v->before;
    int64_t bottom = top + (int64_t)(v->kernel - 1) * v->dilation;
    for (; f->produced[index] <= bottom && f->produced[index] < v->in; f->produced[index]++)
        make_input_row(f, index, f->produced[index]);
    for (int k = 0; k < v->kernel; k++) {
        int64_t row = top + (int64_t)k * v->dilation;
        bool inside = row >= 0 && row < v->in;
        rows[k] = inside ? ring_row(f, index, row) : f->scratch + s->line_offset;
    }
    bool whole_rows = !s->layer.depthwise && h->dilation == 1 && s->in_step == s->layer.channels;
    vt_stream_row r = {.rows = rows,
                       .out = out,
                       .width = (int)h->out,
                       .kernel_rows = v->kernel,
                       .in_stride = h->stride * s->in_step,
                       .taps = whole_rows ? 1 : h->kernel,
                       .tap_step = h->dilation * s->in_step,
                       .tap_length = s->layer.channels * (whole_rows ? h->kernel : 1),
                       .out_step = s->out_step,
                       .out_stride = s->out_step,
                       .kernel = s->kernel,
                       .bias = s->bias,
                       .relu = s->layer.relu};
    if (s->layer.depthwise)
        f->st->isa->depthwise(&r);
    else
        f->st->isa->full(&r);
}

static void fly(flight *f)
{
    const stream *st = f->st;
    const stage *last = &st->stages[st->count - 1];
    const vt_window *w = last->layer.window;
    float *line = f->scratch + st->out_offset;
    int filters = last->layer.filters;
    memset(f->produced, 0, (size_t)st->count * sizeof *f->produced);
    for (int64_t y = 0; y < w[0].out; y++) {
        make_row(f, st->count - 1, y, line);
        for (int64_t x = 0; x < w[1].out; x++, f->out += filters)
            memcpy(f->out, line + x * last->out_step, (size_t)filters * sizeof *line);
    }
}

static vt_status forward(void *state, const vt_op_args *args)
{
    const stream *st = state;
    const vt_window *in = st->stages[0].layer.window, *out = st->stages[st->count - 1].layer.window;
    int64_t in_floats = in[0].in * in[1].in * st->stages[0].layer.channels;
    int64_t out_floats = out[0].out * out[1].out * st->stages[st->count - 1].layer.filters;
#pragma omp parallel num_threads(st->threads)
    {
        float *scratch = (float *)args->scratch + st->thread_floats * (size_t)omp_get_thread_num();
        /* Padding at the ends of ring rows and the rows of zeros must be zero. */
        memset(scratch, 0, st->thread_floats * sizeof *scratch);
        int *produced = (int *)(scratch + st->thread_floats) - st->count;
#pragma omp for schedule(dynamic, 1)
        for (int64_t n = 0; n < args->batch; n++) {
            flight f = {.st = st,
                        .image = (const float *)args->in[0].data + n * in_floats,
                        .out = (float *)args->out.data + n * out_floats,
                        .scratch = scratch,
                        .produced = produced};
            fly(&f);
        }
    }
    return VT_OK;
}

static void release(void *state)
{
    stream *st = state;
    vt_arena_free(st->arena);
    free(st);
}

/* Takes `floats` of a thread's scratch, in whole cache lines. */
static size_t take(size_t *total, size_t floats)
{
    size_t offset = *total;
    *total += (floats + 15) & ~(size_t)15;
    return offset;
}

static vt_status make_stages(stream *st, const vt_stream_layer *layers)
{
    size_t total = 0, widest = 0;
    int lanes = st->isa->lanes;
    VT_TRY(vt_arena_alloc(st->arena, &st->stages, (size_t)st->count * sizeof *st->stages,
                          "streamed layers"));
    for (int i = 0; i < st->count; i++) {
        stage *s = &st->stages[i];
        s->layer = layers[i];
        const vt_window *w = s->layer.window;
        s->in_step =
            i == 0 && !s->layer.depthwise ? s->layer.channels : round_up(s->layer.channels, lanes);
        s->out_step = round_up(s->layer.filters, lanes);
        s->ring_rows = (w[0].kernel - 1) * w[0].dilation + 1;
        s->row_floats = (size_t)(w[1].before + w[1].in + w[1].after) * (size_t)s->in_step;
        s->ring_offset = take(&total, s->row_floats * (size_t)s->ring_rows);
        s->line_offset = take(&total, s->row_floats);
        if (w[0].kernel > st->max_kernel_rows) st->max_kernel_rows = w[0].kernel;
        size_t out_floats = (size_t)w[1].out * (size_t)s->out_step;
        if (out_floats > widest) widest = out_floats;
        VT_TRY(vt_arena_alloc(st->arena, &s->kernel,
                              (size_t)kernel_inputs(s) * (size_t)s->out_step * sizeof *s->kernel,
                              "streamed kernel"));
        VT_TRY(vt_arena_alloc(st->arena, &s->bias, (size_t)s->out_step * sizeof *s->bias,
                              "streamed bias"));
    }
    st->out_offset = take(&total, widest);
    _Static_assert(sizeof(float *) <= 2 * sizeof(float), "row pointers take two floats each");
    st->rows_offset = take(&total, (size_t)st->count * (size_t)st->max_kernel_rows * 2);
    take(&total, (size_t)st->count); /* rows produced, at the very end */
    st->thread_floats = total;
    return VT_OK;
}

static bool supported(const vt_stream_layer *layers, int count)
{
    for (int i = 0; i < count; i++) {
        const vt_stream_layer *l = &layers[i];
        if (l->depthwise && l->channels != l->filters) return false;
        if (i == 0 && l->depthwise) return false; /* image rows are not padded to vectors */
        if (i == 0) continue;
        const vt_stream_layer *before = &layers[i - 1];
        if (before->filters != l->channels || before->window[0].out != l->window[0].in ||
            before->window[1].out != l->window[1].in)
            return false;
    }
    return count > 0;
}

vt_status vt_stream_prepare(vt_kernel *out, const vt_stream_layer *layers, int count)
{
    if (!supported(layers, count)) return VT_EUNSUPPORTED;
    stream *st = vt_alloc(1, sizeof *st);
    if (!st) return VT_ENOMEM;
    st->isa = vt_stream_isa_best();
    st->count = count;
    st->threads = vt_threads();
    vt_status status = vt_arena_new(&st->arena);
    if (status == VT_OK) status = make_stages(st, layers);
    if (status != VT_OK) {
        release(st);
        return status;
    }
    *out = (vt_kernel){.name = "stream",
                       .state = st,
                       .forward = forward,
                       .refresh = refresh,
                       .free = release,
                       .scratch_bytes = st->thread_floats * sizeof(float) * (size_t)st->threads};
    return VT_OK;
}
