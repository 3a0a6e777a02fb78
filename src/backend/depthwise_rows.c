/* The inner loops of depthwise convolution. Up to five taps of sixteen channels stay in registers
 * while a loop walks along the row: AVX2 has sixteen of them. */
#include "backend/depthwise_rows.h"

#include "backend/vectorized.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { MAX_TAPS = 5, LANES = 8 };

typedef float vec __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

INLINE void apply(const vt_taps *s, int64_t c, const int taps, const int width)
{
    vec kernel[MAX_TAPS][2];
    UNROLL for (int t = 0; t < taps; t++) UNROLL for (int k = 0; k < width; k++) kernel[t][k] =
        *(const vec *)(s->kernel + t * s->kernel_step + c + k * LANES);
    float *y = s->y + c;
    const float *x = s->x + c;
    for (int64_t i = 0; i < s->count; i++, y += s->y_step, x += s->x_step)
        UNROLL for (int k = 0; k < width; k++)
        {
            vec sum = *(const vec *)(y + k * LANES);
            UNROLL for (int t = 0; t < taps; t++) sum +=
                kernel[t][k] * *(const vec *)(x + t * s->tap_step + k * LANES);
            *(vec *)(y + k * LANES) = sum;
        }
}

INLINE void gather(const vt_taps *s, int64_t c, const int taps, const int width)
{
    vec sum[MAX_TAPS][2];
    UNROLL for (int t = 0; t < taps; t++) UNROLL for (int k = 0; k < width; k++) sum[t][k] =
        *(const vec *)(s->kernel + t * s->kernel_step + c + k * LANES);
    const float *y = s->y + c, *x = s->x + c;
    for (int64_t i = 0; i < s->count; i++, y += s->y_step, x += s->x_step)
        UNROLL for (int t = 0; t < taps; t++) UNROLL for (int k = 0; k < width; k++) sum[t][k] +=
            *(const vec *)(y + k * LANES) * *(const vec *)(x + t * s->tap_step + k * LANES);
    UNROLL for (int t = 0; t < taps; t++) UNROLL for (int k = 0; k < width; k++) *
        (vec *)(s->kernel + t * s->kernel_step + c + k * LANES) = sum[t][k];
}

/* All channels, for a number of taps that the compiler knows. */
#define CHANNELS(loop, taps)                                                                       \
    do {                                                                                           \
        int64_t c = 0;                                                                             \
        for (; c + 2 * LANES <= s.channels; c += 2 * LANES)                                        \
            loop(&s, c, taps, 2);                                                                  \
        if (c < s.channels) loop(&s, c, taps, 1);                                                  \
    } while (0)

#define ALL_TAPS(loop)                                                                             \
    for (int64_t done = 0; done < whole->taps; done += MAX_TAPS) {                                 \
        vt_taps s = *whole;                                                                        \
        s.kernel += done * s.kernel_step;                                                          \
        s.x += done * s.tap_step;                                                                  \
        switch (s.taps - done) {                                                                   \
        case 1: CHANNELS(loop, 1); break;                                                          \
        case 2: CHANNELS(loop, 2); break;                                                          \
        case 3: CHANNELS(loop, 3); break;                                                          \
        case 4: CHANNELS(loop, 4); break;                                                          \
        default: CHANNELS(loop, 5);                                                                \
        }                                                                                          \
    }

VECTORIZED void vt_taps_apply(const vt_taps *whole){ALL_TAPS(apply)}

VECTORIZED void vt_taps_gather(const vt_taps *whole)
{
    ALL_TAPS(gather)
}
