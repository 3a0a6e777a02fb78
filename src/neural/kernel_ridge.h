/* Ridge regression in terms of samples, for those who have their Gram matrix, each target with the
 * penalty that leaves out one sample at a time best. */
#ifndef VT_NEURAL_KERNEL_RIDGE_H
#define VT_NEURAL_KERNEL_RIDGE_H

#include "ventral/status.h"

#include <stdint.h>

/* Penalties tried: the mean eigenvalue of the Gram matrix times 10^-6, 10^-5, ..., 10^5. */
enum { VT_KERNEL_RIDGE_ALPHAS = 12, VT_KERNEL_RIDGE_FIRST = -6 };

/* Dual weights: out (samples, targets) such that X' out are the weights. `gram` (samples, samples)
 * is centered, both triangles there, and used up; y (samples, targets) is centered. alphas
 * (targets) are those chosen; may be NULL. BLAS uses the threads it was told to. */
vt_status vt_kernel_ridge_dual(double *out, double *alphas, double *gram, const double *y,
                               int64_t samples, int64_t targets);

#endif
