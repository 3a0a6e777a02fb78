/* Sums over rows of channels, for gradients that oneDNN computes slowly. */
#ifndef VT_BACKEND_CHANNEL_SUMS_H
#define VT_BACKEND_CHANNEL_SUMS_H

#include "ventral/status.h"

/* sums[c] += the sum over rows of x[row, c]: gradient of a bias. `scratch` holds as many bytes as
 * vt_column_scratch_bytes says. The same on any number of threads. */
size_t vt_column_scratch_bytes(int64_t columns);
void vt_column_sums_add(float *sums, const float *x, int64_t rows, int64_t columns, int threads,
                        double *scratch);

/* Gradients of a depthwise kernel k[c, t] that covers its whole input, and of that input:
 * gk[c, t] += the sum over images n of x[n, t, c] gy[n, c], and gx[n, t, c] += k[c, t] gy[n, c].
 * `scratch`: taps * channels floats. The same on any number of threads. */
typedef struct vt_spatial_pool {
    int64_t batch, taps, channels;
    int threads;
} vt_spatial_pool;
void vt_spatial_pool_kernel_gradient(const vt_spatial_pool *p, const float *x, const float *gy,
                                     float *gk, float *scratch);
void vt_spatial_pool_input_gradient(const vt_spatial_pool *p, const float *kernel, const float *gy,
                                    float *gx, float *scratch);

#endif
