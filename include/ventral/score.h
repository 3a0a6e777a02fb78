/* How well responses are predicted, and how well they could be: correlation, noise-corrected R^2,
 * split-half reliability, signal-to-noise ratio, and medians over neurons with their intervals.
 *
 * Responses of one neuron are (images, repeats), row-major, spike counts; NaN marks a repeat that
 * was not recorded. Infinite values are an error (VT_ENUMERIC). A score that is not defined for a
 * neuron is NaN, not an error, so that one silent neuron does not end an analysis. */
#ifndef VENTRAL_SCORE_H
#define VENTRAL_SCORE_H

#include "ventral/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Pearson's correlation of two vectors; NaN when either is constant or holds a NaN, or count < 2.
 */
double vt_pearson(const double *x, const double *y, int64_t count);

/* Noise-corrected R^2 of a noiseless prediction (images) with noisy responses (images, repeats):
 * with centered prediction x, centered repeat mean y, m images, n the median number of repeats and
 * s2 the mean over images of the unbiased trial variance,
 *   [(sum xy)^2 - s2/n sum x^2] / [sum x^2 sum y^2 - s2/n (m - 1) sum x^2]
 * (Pospisil & Bair 2021, eLife 10:e61834). Images without a repeat are left out of every term,
 * images with one repeat only out of s2. Unbiased, hence sometimes above 1 or below 0. NaN when no
 * image has two repeats, fewer than two images are left, or the prediction is constant. */
vt_status vt_r2_er(double *out, const double *prediction, const double *responses, int64_t images,
                   int64_t repeats);

/* Reliability of the repeat mean: the repeats of each image are split at random into two halves
 * (an odd one goes to the second), the halves' means correlated over images, r averaged over
 * `splits` splits, then corrected to full length: 2r / (1 + r) (Spearman 1910, Brown 1910). Images
 * with fewer than two repeats are left out; NaN when fewer than two remain or responses are flat.
 */
vt_status vt_split_half(double *out, const double *responses, int64_t images, int64_t repeats,
                        int splits, uint64_t seed);

/* Signal-to-noise ratio: variance over images of the expected response by trial variance,
 *   [sum y^2 - (m - 1) s2/n] / (m s2), y, m, n, s2 as in vt_r2_er
 * (the unbiased estimate of the dynamic range over that of the trial variance, Pospisil & Bair
 * 2021). Negative when the noise explains more than the variance seen; NaN where vt_r2_er has no
 * trial variance; infinite when the trials never vary and the images do. */
vt_status vt_snr(double *out, const double *responses, int64_t images, int64_t repeats);

/* Median; NaNs are ignored; NaN when nothing is left. */
double vt_median(const double *values, int64_t count);

typedef struct vt_interval {
    double median, low, high;
} vt_interval;

/* Median and its percentile bootstrap interval (Efron 1979): `samples` resamplings with
 * replacement, percentiles (1 -+ level) / 2 of their medians, interpolated linearly. NaNs are
 * ignored; all three are NaN when nothing is left. VT_EINVAL unless 0 < level < 1, samples > 0. */
vt_status vt_median_interval(vt_interval *out, const double *values, int64_t count, double level,
                             int samples, uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
