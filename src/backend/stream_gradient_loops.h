/* The inner loops of gradients of streamed convolution, with those of stream_loops.h, as which this
 * is included.
 *
 * gather: as many sums of kernel gradients as fit stay in registers while the loop walks along a
 * row of pixels. gather_depthwise: so do those of neighbouring taps, for several kernel rows. */
#include "backend/stream_loops.h"

#define TAPS 5 /* kernel positions together */

/* `inputs` inputs from k on of a kernel row, `vectors` vectors of filters from `first` on. */
ALWAYS_INLINE void gather_tile(const vt_stream_gather *g, int row, int k, int first,
                               const int inputs, const int vectors)
{
    vec sum[ACCUMULATORS];
    float *to = g->sums + (int64_t)(row * g->tap_length + k) * g->step + first * LANES;
    const float *in = g->rows[row] + k, *gradient = g->row + first * LANES;
    for (int i = 0; i < inputs; i++)
        for (int v = 0; v < vectors; v++)
            sum[i * vectors + v] = load(to + i * g->step + v * LANES);
    for (int x = 0; x < g->width; x++, in += g->in_stride, gradient += g->g_step) {
        vec each[BLOCK];
        for (int v = 0; v < vectors; v++)
            each[v] = load(gradient + v * LANES);
        for (int i = 0; i < inputs; i++)
            for (int v = 0; v < vectors; v++)
                sum[i * vectors + v] += in[i] * each[v];
    }
    for (int i = 0; i < inputs; i++)
        for (int v = 0; v < vectors; v++)
            store(to + i * g->step + v * LANES, sum[i * vectors + v]);
}

/* All inputs for a block of filters; alone, a vector leaves registers for twice as many. */
#define GATHER_COLUMN(vectors)                                                                     \
    static void gather_column_##vectors(const vt_stream_gather *g, int first)                      \
    {                                                                                              \
        enum { most = vectors * TAPS <= ACCUMULATORS ? TAPS : ACCUMULATORS / vectors };            \
        enum { inputs = vectors == 1 ? 2 * TAPS : most };                                          \
        for (int row = 0; row < g->kernel_rows; row++) {                                           \
            int k = 0;                                                                             \
            for (; k + inputs <= g->tap_length; k += inputs)                                       \
                gather_tile(g, row, k, first, inputs, vectors);                                    \
            for (; k + most <= g->tap_length; k += most)                                           \
                gather_tile(g, row, k, first, most, vectors);                                      \
            switch (g->tap_length - k) {                                                           \
            case 4: gather_tile(g, row, k, first, 4, vectors); break;                              \
            case 3: gather_tile(g, row, k, first, 3, vectors); break;                              \
            case 2: gather_tile(g, row, k, first, 2, vectors); break;                              \
            case 1: gather_tile(g, row, k, first, 1, vectors); break;                              \
            }                                                                                      \
        }                                                                                          \
    }
GATHER_COLUMN(1)
GATHER_COLUMN(2)
GATHER_COLUMN(3)
#if BLOCK > 3
GATHER_COLUMN(4)
#endif

static void gather(const vt_stream_gather *g)
{
    int vectors = g->step / LANES;
    for (int first = 0; first < vectors; first += BLOCK)
        switch (vectors - first) {
        case 1: gather_column_1(g, first); break;
        case 2: gather_column_2(g, first); break;
#if BLOCK > 3
        case 3: gather_column_3(g, first); break;
        default: gather_column_4(g, first);
#else
        default: gather_column_3(g, first);
#endif
        }
}

/* One vector of channels, `rows` kernel rows from `first` on and `taps` taps from `tap` on. */
ALWAYS_INLINE void gather_taps(const vt_stream_gather *g, int channel, int first, int tap,
                               const int rows, const int taps)
{
    vec sum[ACCUMULATORS];
    const float *in = g->row + tap * g->tap_step + channel;
    for (int row = 0; row < rows; row++)
        for (int t = 0; t < taps; t++)
            sum[row * taps + t] =
                load(g->sums + g->starts[first + row] + (tap + t) * g->step + channel);
    for (int x = 0; x < g->width; x++, in += g->in_stride)
        for (int row = 0; row < rows; row++) {
            vec each = load(g->rows[first + row] + (int64_t)x * g->g_step + channel);
            for (int t = 0; t < taps; t++)
                sum[row * taps + t] += each * load(in + t * g->tap_step);
        }
    for (int row = 0; row < rows; row++)
        for (int t = 0; t < taps; t++)
            store(g->sums + g->starts[first + row] + (tap + t) * g->step + channel,
                  sum[row * taps + t]);
}

#define GATHER_TAPS(rows)                                                                          \
    static void gather_rows_##rows(const vt_stream_gather *g, int channel, int first)              \
    {                                                                                              \
        int tap = 0;                                                                               \
        for (; tap + TAPS <= g->taps; tap += TAPS)                                                 \
            gather_taps(g, channel, first, tap, rows, TAPS);                                       \
        switch (g->taps - tap) {                                                                   \
        case 4: gather_taps(g, channel, first, tap, rows, 4); break;                               \
        case 3: gather_taps(g, channel, first, tap, rows, 3); break;                               \
        case 2: gather_taps(g, channel, first, tap, rows, 2); break;                               \
        case 1: gather_taps(g, channel, first, tap, rows, 1); break;                               \
        }                                                                                          \
    }
GATHER_TAPS(1)
GATHER_TAPS(2)
#if ACCUMULATORS >= 3 * TAPS
GATHER_TAPS(3)
#endif

static void gather_depthwise(const vt_stream_gather *g)
{
    for (int channel = 0; channel < g->step; channel += LANES) {
        int row = 0;
#if ACCUMULATORS >= 3 * TAPS
        for (; row + 3 <= g->kernel_rows; row += 3)
            gather_rows_3(g, channel, row);
#endif
        for (; row + 2 <= g->kernel_rows; row += 2)
            gather_rows_2(g, channel, row);
        if (row < g->kernel_rows) gather_rows_1(g, channel, row);
    }
}

static void pass(float *g, const float *y, float *sums, int pixels, int step)
{
    for (int channel = 0; channel < step; channel += LANES) {
        vec sum = load(sums + channel);
        for (int64_t at = channel; at < (int64_t)pixels * step; at += step) {
            ints positive = load(y + at) > 0;
            vec left = (vec)((ints)load(g + at) & positive);
            store(g + at, left);
            sum += left;
        }
        store(sums + channel, sum);
    }
}
