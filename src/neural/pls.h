/* Partial least squares in terms of samples, for those who have their Gram matrix. */
#ifndef VT_NEURAL_PLS_H
#define VT_NEURAL_PLS_H

#include "ventral/pls.h"

/* The options with their defaults in place; VT_EINVAL when they are impossible. */
vt_status vt_pls_check_options(vt_pls_options *out, const vt_pls_options *options);

/* Dual weights: out (samples, targets) such that X' out are the weights. `gram` (samples, samples)
 * is centered, both triangles there; y (samples, targets) is centered and becomes what is left of
 * it. *out_components: how many there were to find. BLAS uses the threads it was told to. */
vt_status vt_pls_dual(double *out, int *out_components, const double *gram, double *y,
                      int64_t samples, int64_t targets, const vt_pls_options *options);

#endif
