/* Linear readouts from features to neurons: ridge regression, the factorized readout of feature
 * maps, and one face for both. All matrices are row-major. Features given as float are converted
 * block by block, so that the caller's matrix is the only large one. NaN or infinity anywhere is
 * VT_ENUMERIC. */
#ifndef VENTRAL_READOUT_H
#define VENTRAL_READOUT_H

#include "ventral/progress.h"
#include "ventral/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Ridge regression, intercept unpenalised: minimises |y - (x - mean_x) w - mean_y|^2 + alpha |w|^2
 * for every target, as scikit-learn's Ridge does (Hoerl & Kennard 1970). */
typedef struct vt_ridge vt_ridge;

typedef struct vt_ridge_options {
    double alpha;         /* < 0: chosen by cross-validation; 0: least squares of least norm */
    const double *alphas; /* candidates; NULL: 10^-6 .. 10^3 in half decades, times the mean squared
                             norm of a sample's centered features */
    int alpha_count;
    int bisections; /* > 0: instead of candidates, so many bisections of [alpha_low, alpha_high] */
    double alpha_low, alpha_high; /* the paper's 1e-6 and 1e5, of which ten leave steps of 100 */
    int folds;                    /* of the cross-validation; samples are dealt to them at random */
    uint64_t seed;
    bool per_target; /* an alpha for every target; else the one with the least squared error,
                        averaged over targets in units of their variance */
} vt_ridge_options;

vt_ridge_options vt_ridge_options_default(void); /* alpha -1, 5 folds, one alpha for all targets */

/* Fits x (samples, features) to y (samples, targets). Works on the smaller of the two Gram
 * matrices, so memory beside the inputs and weights grows with min(samples, features)^2. NULL
 * `options` are the default ones. Free with vt_ridge_free. */
vt_status vt_ridge_fit(vt_ridge **out, const double *x, const double *y, int64_t samples,
                       int64_t features, int64_t targets, const vt_ridge_options *options);
vt_status vt_ridge_fit_float(vt_ridge **out, const float *x, const double *y, int64_t samples,
                             int64_t features, int64_t targets, const vt_ridge_options *options);
void vt_ridge_free(vt_ridge *ridge);

/* Predictions (samples, targets) from x (samples, features). */
vt_status vt_ridge_predict(const vt_ridge *ridge, double *out, const double *x, int64_t samples);
vt_status vt_ridge_predict_float(const vt_ridge *ridge, double *out, const float *x,
                                 int64_t samples);

int64_t vt_ridge_features(const vt_ridge *ridge);
int64_t vt_ridge_targets(const vt_ridge *ridge);
const double *vt_ridge_weights(const vt_ridge *ridge);   /* (features, targets); borrowed */
const double *vt_ridge_intercept(const vt_ridge *ridge); /* (targets): y = x w + intercept */
const double *vt_ridge_alphas(const vt_ridge *ridge);    /* (targets): the alpha used for each */

/* Out-of-fold predictions (samples, targets): every sample is predicted by a ridge fitted to the
 * other folds, whose alpha, when it is to be chosen, is chosen by cross-validation within those
 * (nested, so that the score is unbiased). */
vt_status vt_ridge_cross_validate(double *out, const double *x, const double *y, int64_t samples,
                                  int64_t features, int64_t targets,
                                  const vt_ridge_options *options);
vt_status vt_ridge_cross_validate_float(double *out, const float *x, const double *y,
                                        int64_t samples, int64_t features, int64_t targets,
                                        const vt_ridge_options *options);

/* Factorized readout of feature maps (height, width, channels) f by neuron n:
 *   y_n = intercept_n + sum_s pool_n[s] sum_c mixing_n[c] f[s][c]
 * a 1x1 convolution followed by a spatial pool (Klindt et al. 2017). Minimises, with responses
 * in units of their standard deviation,
 *   sum (y - y_n)^2 + l2 |mixing|^2 |(1 + smoothness L) pool|^2,  L the discrete Laplacian.
 * One l2 is enough: any pair of penalties a |mixing|^2 + b |pool|^2 acts through a b only, since
 * scale moves freely between the factors. A pool cannot be resolved by some hundred images unless
 * it is smooth: smoothness is what lets the readout generalise. */
typedef struct vt_factorized vt_factorized;

typedef struct vt_factorized_options {
    double l2;         /* in units of the mean squared norm of a sample's (smoothed) features;
                          < 0: chosen by cross-validation */
    double smoothness; /* squared length of correlation of the pool, positions^2; 0: none;
                          < 0: chosen by cross-validation around (7.5% of the map's side)^2 */
    int iterations;    /* alternations at most; each solves mixing, then pool, exactly */
    int folds;         /* of the cross-validation */
    uint64_t seed;
    const vt_progress *progress; /* may be NULL */
} vt_factorized_options;

vt_factorized_options vt_factorized_options_default(void); /* both chosen, 20 iterations, 5 folds */

/* Fits features (samples, height, width, channels) to y (samples, targets): ridge, the best rank-1
 * approximation of its weights, then alternating least squares. Of the features only low spatial
 * frequencies are copied when the pool is smooth, nothing when it need not be. A neuron that never
 * varies gets zero weights. Free with vt_factorized_free. */
vt_status vt_factorized_fit(vt_factorized **out, const float *features, const double *y,
                            int64_t samples, int64_t height, int64_t width, int64_t channels,
                            int64_t targets, const vt_factorized_options *options);
void vt_factorized_free(vt_factorized *readout);

/* Predictions (samples, targets) from features (samples, height, width, channels). */
vt_status vt_factorized_predict(const vt_factorized *readout, double *out, const float *features,
                                int64_t samples);

int64_t vt_factorized_targets(const vt_factorized *readout);
const double *vt_factorized_pool(const vt_factorized *readout);      /* (targets, height, width):
                                                                        norm 1, sum >= 0 */
const double *vt_factorized_mixing(const vt_factorized *readout);    /* (targets, channels) */
const double *vt_factorized_intercept(const vt_factorized *readout); /* (targets) */
double vt_factorized_l2(const vt_factorized *readout);               /* as given or chosen */
double vt_factorized_smoothness(const vt_factorized *readout);

/* ---- one face for both ---- */

typedef struct vt_readout vt_readout;

typedef enum vt_readout_kind {
    VT_READOUT_RIDGE,      /* of the flattened maps */
    VT_READOUT_FACTORIZED, /* started at the best rank-1 approximation (SVD) of ridge weights */
} vt_readout_kind;

typedef struct vt_readout_options {
    vt_readout_kind kind;
    vt_ridge_options ridge; /* of its kind: used by that */
    vt_factorized_options factorized;
} vt_readout_options;

vt_readout_options vt_readout_options_default(vt_readout_kind kind); /* the kinds' own defaults */

/* "ridge", "factorized"; VT_EINVAL, which lists them, for other names. */
const char *vt_readout_kind_name(vt_readout_kind kind);
vt_status vt_readout_kind_parse(vt_readout_kind *out, const char *name);

/* Feature maps (samples, height, width, channels), borrowed; features without places are maps of
 * height and width 1. */
typedef struct vt_readout_features {
    const float *data;
    int64_t samples, height, width, channels;
} vt_readout_features;

/* Fits features to y (samples, targets); errors are those of the kind's own fit. NULL `options`:
 * ridge by default. Free with vt_readout_free. */
vt_status vt_readout_fit(vt_readout **out, const vt_readout_features *x, const double *y,
                         int64_t targets, const vt_readout_options *options);
void vt_readout_free(vt_readout *readout);

/* Predictions (samples, targets). VT_ESHAPE when the maps are not of the fitted size. */
vt_status vt_readout_predict(const vt_readout *readout, double *out, const vt_readout_features *x);

/* Out-of-fold predictions (samples, targets): each of the kind's `folds` parts of the samples is
 * predicted by a readout fitted to the others, whose penalties, when they are to be chosen, are
 * chosen by cross-validation within those. Ridge needs no more memory than its fit; a factorized
 * readout copies one fold's training features. */
vt_status vt_readout_cross_validate(double *out, const vt_readout_features *x, const double *y,
                                    int64_t targets, const vt_readout_options *options);

vt_readout_kind vt_readout_kind_of(const vt_readout *readout);
int64_t vt_readout_targets(const vt_readout *readout);
/* Borrowed; NULL when it is of the other kind. */
const vt_ridge *vt_readout_ridge(const vt_readout *readout);
const vt_factorized *vt_readout_factorized(const vt_readout *readout);

/* Adds the readout to a map, such as that of a model (vt_model_to_map), as float64 tensors
 * PREFIX.weights, ... and the text PREFIX.kind; and back, with the same predictions to the bit.
 * `label` names the file in errors: VT_ENOTFOUND when the map has no readout PREFIX, VT_EFORMAT
 * when a tensor is missing, of another shape or not finite. */
vt_status vt_readout_to_map(const vt_readout *readout, vt_tensor_map *map, const char *prefix);
vt_status vt_readout_from_map(vt_readout **out, const vt_tensor_map *map, const char *prefix,
                              const char *label);

#ifdef __cplusplus
}
#endif
#endif
