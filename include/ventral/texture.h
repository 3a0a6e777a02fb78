/* Textures: the statistics of Portilla & Simoncelli 2000 ("A parametric texture model based on
 * joint statistics of complex wavelet coefficients", Int. J. Computer Vision 40:49), naturalistic
 * textures synthesised from photographs, noise with the same spectrum, and sets of both, with which
 * V1 and V2 neurons are told apart (Freeman, Ziemba, Heeger, Simoncelli & Movshon 2013). */
#ifndef VENTRAL_TEXTURE_H
#define VENTRAL_TEXTURE_H

#include "ventral/progress.h"
#include "ventral/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- statistics ---- */

/* Zero means the default in brackets. */
typedef struct vt_texture_options {
    int scales;        /* of the steerable pyramid [4] */
    int orientations;  /* [4] */
    int neighbourhood; /* odd; autocorrelations reach this far, less one, by two [7] */
} vt_texture_options;

/* Statistics of an image (height, width), borders wrapping, as named float64 tensors; S scales, K
 * orientations, M neighbourhood, L = (M^2 + 1) / 2 shifts: (0, 0..), then rows below, left to
 * right: pixel (6): mean, variance, skewness, kurtosis, smallest, largest lowpass.moments (S + 1,
 * 2): skewness and kurtosis of the lowpass images, the finest first highpass.variance (1)
 *   lowpass.autocorrelation (S + 1, L)
 *   magnitude.autocorrelation (S, K, L): of the bands' moduli, less their means
 *   magnitude.orientations (S, K (K - 1) / 2): their covariances within a scale
 *   magnitude.scales (S - 1, K, K): with those of the next coarser scale
 *   phase.scales (S - 1, K, K, 2): of bands' real parts with the real and imaginary parts of the
 *     next coarser scale's bands, their phase doubled
 *   magnitude.mean (S, K): not one of the published 710; the unit of others in vt_texture_distance
 * Of a band without variance skewness is 0 and kurtosis 3. VT_EUNSUPPORTED: sides that are not
 * multiples of 2^S, with other prime factors than 2, 3, 5, or below M 2^S; VT_ENUMERIC: a pixel
 * that is not finite. */
vt_status vt_texture_statistics(vt_tensor_map **out, const double *image, int height, int width,
                                const vt_texture_options *options);

/* How far `statistics` are from `target`, both of vt_texture_statistics with the same options: root
 * mean square of differences, covariances in units of the target's variances, kurtosis in units of
 * the target's; without smallest and largest pixel and magnitude.mean. VT_ESHAPE: not alike;
 * VT_ENUMERIC: a target without variance. */
vt_status vt_texture_distance(double *out, const vt_tensor_map *target,
                              const vt_tensor_map *statistics);

/* ---- one image ---- */

/* Zero means the default in brackets. */
typedef struct vt_texture_synthesis {
    vt_texture_options statistics;
    int iterations;  /* at most [100] */
    double distance; /* done when vt_texture_distance is below [0.01] */
    uint64_t seed;   /* the images of a seed, ... */
    uint32_t number; /* ... 0, 1, ..., differ */
} vt_texture_synthesis;

typedef struct vt_texture_result {
    int iterations;
    double start, distance; /* vt_texture_distance from the photograph: of noise; of the texture */
} vt_texture_result;

/* A texture of the photograph (height, width), both in grey levels: pixels descend from noise
 * (L-BFGS) until the statistics are the photograph's, then are kept within its smallest and
 * largest. Deterministic; one thread. `out` may not be `photograph`; `result` may be NULL. Errors
 * of vt_texture_statistics; VT_ENUMERIC for a photograph of one grey. */
vt_status vt_texture_synthesize(double *out, vt_texture_result *result, const double *photograph,
                                int height, int width, const vt_texture_synthesis *options);

/* Noise with the Fourier amplitudes of `image` (height, width) and random phases; the mean stays.
 * VT_EUNSUPPORTED: sides with prime factors beyond 5. */
vt_status vt_texture_noise(double *out, const double *image, int height, int width, uint64_t seed,
                           uint32_t number);

#ifdef __cplusplus
}
#endif
#endif
