/* Partial least squares regression: what scikit-learn's PLSRegression(scale=False) computes. All
 * matrices are row-major. NaN or infinity anywhere is VT_ENUMERIC. */
#ifndef VENTRAL_PLS_H
#define VENTRAL_PLS_H

#include "ventral/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_pls vt_pls;

/* Zero means the default in brackets, which are scikit-learn's but for the components. */
typedef struct vt_pls_options {
    int components;   /* [25], as Brain-Score has it */
    int iterations;   /* of the power method for a component, at most [500] */
    double tolerance; /* squared change of a component's weights at which it stops [1e-6] */
} vt_pls_options;

/* Fits x (samples, features) to y (samples, targets). Each component is the direction of x of unit
 * length whose scores covary most with y; x and y are then deflated by these (Wold 1975; Geladi &
 * Kowalski 1986). Memory beside inputs and weights grows with samples^2, never with features^2.
 * There are fewer components where less than asked explains y entirely. VT_EINVAL: components
 * beyond features or samples - 1. NULL `options`: defaults. Free with vt_pls_free. */
vt_status vt_pls_fit(vt_pls **out, const double *x, const double *y, int64_t samples,
                     int64_t features, int64_t targets, const vt_pls_options *options);
vt_status vt_pls_fit_float(vt_pls **out, const float *x, const double *y, int64_t samples,
                           int64_t features, int64_t targets, const vt_pls_options *options);
void vt_pls_free(vt_pls *pls);

/* Predictions (samples, targets) from x (samples, features). */
vt_status vt_pls_predict(const vt_pls *pls, double *out, const double *x, int64_t samples);
vt_status vt_pls_predict_float(const vt_pls *pls, double *out, const float *x, int64_t samples);

int64_t vt_pls_features(const vt_pls *pls);
int64_t vt_pls_targets(const vt_pls *pls);
int vt_pls_components(const vt_pls *pls);
const double *vt_pls_weights(const vt_pls *pls); /* (features, targets): y = (x - mean) w + mean y;
                                                    borrowed */

#ifdef __cplusplus
}
#endif
#endif
