/* The inner loops of streamed convolution over vectors of LANES floats with ACCUMULATORS registers
 * for sums. Included by one file an instruction set, which sets both and compiles with its flags.
 *
 * full: a small matrix product. PIXELS x VECTORS sums stay in registers while the loop walks
 * through the kernel's inputs: one broadcast a pixel, one load a vector, PIXELS x VECTORS
 * multiply-adds. depthwise: PIXELS sums of one vector of channels, walking through the window. */
#include <string.h>

#include "backend/stream_isa.h"

#define BLOCK (ACCUMULATORS >= 24 ? 4 : 3) /* vectors of filters */

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t ints __attribute__((vector_size(LANES * 4)));

static inline vec load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

static inline vec rectify(vec v)
{
    ints keep = ~(v < 0); /* NaN stays NaN */
    return (vec)((ints)v & keep);
}

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* `pixels` output pixels from x on, `vectors` vectors of filters from `first` on; both constants.
 */
ALWAYS_INLINE void full_tile(const vt_stream_row *r, int x, int first, const float *kernel,
                             const int pixels, const int vectors)
{
    vec sum[ACCUMULATORS];
    for (int v = 0; v < vectors; v++)
        for (int p = 0; p < pixels; p++)
            sum[p * vectors + v] = load(r->bias + (first + v) * LANES);
    for (int row = 0; row < r->kernel_rows; row++) {
        const float *in = r->rows[row] + (int64_t)x * r->in_stride;
        for (int tap = 0; tap < r->taps; tap++, in += r->tap_step)
            for (int k = 0; k < r->tap_length; k++, kernel += vectors * LANES) {
                vec weight[BLOCK];
                for (int v = 0; v < vectors; v++)
                    weight[v] = load(kernel + v * LANES);
                for (int p = 0; p < pixels; p++)
                    for (int v = 0; v < vectors; v++)
                        sum[p * vectors + v] += in[p * r->in_stride + k] * weight[v];
            }
    }
    for (int p = 0; p < pixels; p++)
        for (int v = 0; v < vectors; v++) {
            vec y = r->relu ? rectify(sum[p * vectors + v]) : sum[p * vectors + v];
            store(r->out + (int64_t)(x + p) * r->out_step + (first + v) * LANES, y);
        }
}

#define FULL_COLUMN(vectors)                                                                       \
    static void full_column_##vectors(const vt_stream_row *r, int first, const float *kernel)      \
    {                                                                                              \
        enum { pixels = ACCUMULATORS / vectors };                                                  \
        int x = 0;                                                                                 \
        for (; x + pixels <= r->width; x += pixels)                                                \
            full_tile(r, x, first, kernel, pixels, vectors);                                       \
        for (; x + 2 <= r->width; x += 2)                                                          \
            full_tile(r, x, first, kernel, 2, vectors);                                            \
        for (; x < r->width; x++)                                                                  \
            full_tile(r, x, first, kernel, 1, vectors);                                            \
    }
FULL_COLUMN(1)
FULL_COLUMN(2)
FULL_COLUMN(3)
#if BLOCK > 3
FULL_COLUMN(4)
#endif

static void full(const vt_stream_row *r)
{
    int vectors = r->out_step / LANES, inputs = r->kernel_rows * r->taps * r->tap_length;
    const float *kernel = r->kernel;
    for (int first = 0; first < vectors; first += BLOCK) {
        int count = vectors - first < BLOCK ? vectors - first : BLOCK;
        switch (count) {
        case 1: full_column_1(r, first, kernel); break;
        case 2: full_column_2(r, first, kernel); break;
        case 3: full_column_3(r, first, kernel); break;
#if BLOCK > 3
        default: full_column_4(r, first, kernel);
#endif
        }
        kernel += (int64_t)inputs * count * LANES;
    }
}

ALWAYS_INLINE void depthwise_tile(const vt_stream_row *r, int x, int channel, const int pixels)
{
    vec sum[8];
    const float *kernel = r->kernel + channel;
    for (int p = 0; p < pixels; p++)
        sum[p] = load(r->bias + channel);
    for (int row = 0; row < r->kernel_rows; row++) {
        const float *in = r->rows[row] + (int64_t)x * r->in_stride + channel;
        for (int tap = 0; tap < r->taps; tap++, in += r->tap_step, kernel += r->out_step) {
            vec weight = load(kernel);
            for (int p = 0; p < pixels; p++)
                sum[p] += load(in + p * r->in_stride) * weight;
        }
    }
    for (int p = 0; p < pixels; p++)
        store(r->out + (int64_t)(x + p) * r->out_stride + channel,
              r->relu ? rectify(sum[p]) : sum[p]);
}

static void depthwise(const vt_stream_row *r)
{
    int x = 0;
    for (; x + 8 <= r->width; x += 8)
        for (int channel = 0; channel < r->out_step; channel += LANES)
            depthwise_tile(r, x, channel, 8);
    for (; x < r->width; x++)
        for (int channel = 0; channel < r->out_step; channel += LANES)
            depthwise_tile(r, x, channel, 1);
}
