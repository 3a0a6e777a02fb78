/* What tuning curves and responses to textures say, one neuron at a time (Marques, Schrimpf &
 * DiCarlo 2021). Nothing here fails: what is not defined is NaN. */
#ifndef VT_PHYSIOLOGY_CURVES_H
#define VT_PHYSIOLOGY_CURVES_H

#include <stdint.h>

#define VT_CURVE_MIN_POINTS 4    /* a cubic spline needs them */
#define VT_CURVE_MAX_POINTS 4096 /* more than any set of stimuli has */

/* 1 - |sum r exp(2 i angle)| / sum |r|, angles in degrees (Ringach et al. 2002). */
double vt_circular_variance(const double *curve, const double *degrees, int count);

/* Response at right angles to the preferred orientation by the preferred one's; orientations are
 * evenly spaced. */
double vt_orthogonal_ratio(const double *curve, int count);

/* Orientation tuning: the curve, repeated three times over -180 to 360 degrees, is smoothed over
 * neighbours with weights side : 1 : side, and a spline through it is read at every degree.
 * *bandwidth is half the width, in degrees, at `level` of the peak, NaN when the curve does not
 * fall so low within 90 degrees; *peak is the degree of the peak, 0 to 179. `work` holds
 * VT_ORIENTATION_WORK(count) numbers. */
#define VT_ORIENTATION_WORK(count) (12 * (count) + 540)
void vt_orientation_tuning(double *bandwidth, double *peak, const double *curve,
                           const double *degrees, int count, double side, double level,
                           double *work);

/* Spatial frequency tuning: smoothed over neighbours with weights 0.2 : 1 : 0.2, the ends repeated,
 * then a spline on log2 of the frequency, read at 100 places. *bandwidth is the lower by the higher
 * frequency at which the response is 0.707 of the peak, in percent, NaN when it does not fall so
 * low on both sides; *peak is the peak's frequency. `work` holds VT_FREQUENCY_WORK(count) numbers.
 */
#define VT_FREQUENCY_WORK(count) (4 * (count) + 200)
void vt_frequency_tuning(double *bandwidth, double *peak, const double *curve,
                         const double *frequency, int count, double *work);

/* Size tuning (Cavanaugh et al. 2002). */
typedef struct vt_size_tuning {
    double suppression; /* (peak - response to the largest) / peak */
    double summation;   /* diameter of the smallest at 95 % of the peak */
    double surround;    /* diameter beyond the peak of the first within 5 % of the largest's */
} vt_size_tuning;       /* diameters are NaN when suppression is 0.1 or less */

vt_size_tuning vt_size_tuning_of(const double *curve, const double *radius, int count);

/* Mean over families of (texture - noise) / (texture + noise); NaN families are left out. */
double vt_texture_modulation(const double *texture, const double *noise, int families);

/* (1 - mean^2 / mean of squares) / (1 - 1 / count) (Vinje & Gallant 2000). */
double vt_sparseness(const double *responses, int64_t count);

/* Shares of variance between families and between samples of one family, from a nested analysis of
 * variance of (families, samples), and their ratio (Ziemba et al. 2016). */
typedef struct vt_variance_shares {
    double ratio, sample, family;
} vt_variance_shares;

vt_variance_shares vt_variance_shares_of(const double *responses, int families, int samples);

#endif
