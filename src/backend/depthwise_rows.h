/* The two inner loops of depthwise convolution, over the pixels of one row. */
#ifndef VT_BACKEND_DEPTHWISE_ROWS_H
#define VT_BACKEND_DEPTHWISE_ROWS_H

#include <stdint.h>

/* Pixels hold `channels` floats, a multiple of 8. Steps count floats: between neighbouring pixels
 * of y and of x, between the places in x that neighbouring taps read, between taps in `kernel`. */
typedef struct vt_taps {
    float *y, *kernel;
    const float *x;
    int64_t count; /* pixels of y */
    int64_t y_step, x_step, tap_step, kernel_step;
    int64_t taps, channels;
} vt_taps;

/* y[i, c] += sum over t of kernel[t, c] x[i + t, c] */
void vt_taps_apply(const vt_taps *t);
/* kernel[t, c] += sum over i of y[i, c] x[i + t, c] */
void vt_taps_gather(const vt_taps *t);

#endif
