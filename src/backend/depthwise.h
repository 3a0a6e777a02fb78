/* Gradient of a depthwise convolution's kernel, and column sums: where oneDNN has no fast routine.
 */
#ifndef VT_BACKEND_DEPTHWISE_H
#define VT_BACKEND_DEPTHWISE_H

#include "ops/conv_geometry.h"

typedef struct vt_depthwise {
    vt_window rows, columns;
    int64_t batch, channels;
    int threads;
} vt_depthwise;

size_t vt_depthwise_scratch_bytes(const vt_depthwise *d);

/* gk (channels, kernel rows, kernel columns) += the sums over images and outputs of
 * x[n, s i - p + d u, s j - p + d v, c] gy[n, i, j, c]. Independent of the thread count. */
void vt_depthwise_kernel_gradient(const vt_depthwise *d, const float *x, const float *gy, float *gk,
                                  float *scratch);

/* sums[c] += the sum over rows of x[row, c]; scratch of vt_column_scratch_bytes. */
size_t vt_column_scratch_bytes(int64_t columns);
void vt_column_sums_add(float *sums, const float *x, int64_t rows, int64_t columns, int threads,
                        double *scratch);

#endif
