/* Sums over rows of channels, for gradients that oneDNN computes slowly. */
#ifndef VT_BACKEND_CHANNEL_SUMS_H
#define VT_BACKEND_CHANNEL_SUMS_H

#include "ventral/status.h"

/* sums[c] += the sum over rows of x[row, c]: gradient of a bias. `scratch` holds as many bytes as
 * vt_column_scratch_bytes says. The same on any number of threads. */
size_t vt_column_scratch_bytes(int64_t columns);
void vt_column_sums_add(float *sums, const float *x, int64_t rows, int64_t columns, int threads,
                        double *scratch);

/* gk[c, t] += the sum over images n of x[n, t, c] gy[n, c]: gradient of a depthwise kernel that
 * covers its whole input. `scratch`: taps * channels floats. The same on any number of threads. */
typedef struct vt_spatial_pool {
    int64_t batch, taps, channels;
    int threads;
} vt_spatial_pool;
void vt_spatial_pool_gradient(const vt_spatial_pool *p, const float *x, const float *gy, float *gk,
                              float *scratch);

#endif
