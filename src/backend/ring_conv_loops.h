/* The loops of ring_conv.h. The including file defines PIXELS, how many outputs are computed
 * together: their sums stay in registers while each weight is loaded once for all. */
#include <string.h>

#include "backend/ring_conv.h"

enum { LANES = VT_RING_LANES, TOGETHER = 4 }; /* channels whose gradients are summed together */

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

static void add_row(float *restrict to, const float *restrict from, int count)
{
    for (int i = 0; i < count; i++)
        to[i] += from[i];
}

static void sums(const vt_ring_image *i, const float *frame, float *out)
{
    int row = i->width * i->depth, side = 2 * i->rings->radius + 1;
    int padded = (i->width + side - 1) * i->depth;
    memset(out, 0, (size_t)i->rings->count * (size_t)(i->height * row) * sizeof *out);
    for (int y = 0; y < i->height; y++)
        for (int p = 0; p < side * side; p++)
            add_row(out + (i->rings->ring[p] * i->height + y) * row,
                    frame + (y + p / side) * padded + p % side * i->depth, row);
}

/* `count` outputs, a constant where this is inlined. */
static inline __attribute__((always_inline)) void outputs(const vt_ring_image *i, const float *in,
                                                          const float *kernel, const float *bias,
                                                          float *out, int count)
{
    int depth = i->depth, plane = i->height * i->width * depth;
    lanes sum[PIXELS];
    for (int p = 0; p < count; p++)
        memcpy(&sum[p], bias, sizeof sum[p]);
    for (int r = 0; r < i->rings->count; r++, in += plane)
        for (int c = 0; c < depth; c++, kernel += LANES) {
            lanes w;
            memcpy(&w, kernel, sizeof w);
            for (int p = 0; p < count; p++)
                sum[p] += w * in[p * depth + c];
        }
    memcpy(out, sum, (size_t)count * sizeof *sum);
}

static void forward(const vt_ring_image *i, const float *in, const float *kernel, const float *bias,
                    float *out)
{
    int pixels = i->height * i->width, p = 0;
    for (; p + PIXELS <= pixels; p += PIXELS)
        outputs(i, in + p * i->depth, kernel, bias, out + p * LANES, PIXELS);
    for (; p < pixels; p++)
        outputs(i, in + p * i->depth, kernel, bias, out + p * LANES, 1);
}

static void weights(const vt_ring_image *i, const float *in, const float *gradient,
                    float *kernel_gradient)
{
    int depth = i->depth, pixels = i->height * i->width;
    for (int r = 0; r < i->rings->count; r++)
        for (int c = 0; c < depth; c += TOGETHER, kernel_gradient += TOGETHER * LANES) {
            const float *x = in + r * pixels * depth + c;
            lanes sum[TOGETHER];
            memcpy(sum, kernel_gradient, sizeof sum);
            for (int p = 0; p < pixels; p++) {
                lanes g;
                memcpy(&g, gradient + p * LANES, sizeof g);
                for (int k = 0; k < TOGETHER; k++)
                    sum[k] += g * x[p * depth + k];
            }
            memcpy(kernel_gradient, sum, sizeof sum);
        }
}
