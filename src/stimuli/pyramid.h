/* The complex steerable pyramid (Simoncelli & Freeman 1995, "The steerable pyramid: a flexible
 * architecture for multi-scale derivative computation"; Portilla & Simoncelli 2000, with analytic
 * subbands), in the frequency domain.
 *
 * With u = 2^s |w| / pi, low_s is 1 for u <= 1/2, cos(pi/2 (1 + log2 u)) up to u = 1, then 0.
 *   highpass    sqrt(1 - low_0^2)
 *   band s, k   low_s sqrt(1 - low_(s+1)^2) 2 alpha (-i)^(K-1) cos^(K-1)(angle - pi k / K), on the
 *               half plane where the cosine is positive, alpha^2 sum_k cos^(2K-2) = 1
 *   lowpass s   low_s
 * Band s and lowpass s are images smaller by 2^s each way; values keep their amplitude. A band's
 * real part is the response of the real filter, its modulus the local amplitude. Borders wrap. */
#ifndef VT_STIMULI_PYRAMID_H
#define VT_STIMULI_PYRAMID_H

#include "stimuli/fft.h"

enum { VT_PYRAMID_MAX_SCALES = 8, VT_PYRAMID_MAX_ORIENTATIONS = 8 };

/* One thread at a time may use it. */
typedef struct vt_pyramid {
    int scales, orientations;
    int height[VT_PYRAMID_MAX_SCALES + 1], width[VT_PYRAMID_MAX_SCALES + 1];
    size_t pixels[VT_PYRAMID_MAX_SCALES + 1]; /* of scale s; the last: the last lowpass image */
    vt_fft *fft[VT_PYRAMID_MAX_SCALES + 1];
    double complex turn;                                              /* (-i)^(orientations - 1) */
    double *high;                                                     /* (height, width) */
    double *low[VT_PYRAMID_MAX_SCALES + 1];                           /* of each scale's size */
    double *band[VT_PYRAMID_MAX_SCALES][VT_PYRAMID_MAX_ORIENTATIONS]; /* without `turn` */
    double complex *spectrum; /* (height, width): scratch of the calls below */
    double *memory;
} vt_pyramid;

/* `out` is freed by vt_pyramid_free, also after a failure. VT_EUNSUPPORTED for sides that are not
 * multiples of 2^scales, or have prime factors beyond 5; VT_EINVAL for other numbers. */
vt_status vt_pyramid_init(vt_pyramid *out, int height, int width, int scales, int orientations);
void vt_pyramid_free(vt_pyramid *pyramid);

/* Spectrum (height, width) of an image. */
void vt_pyramid_analyze(vt_pyramid *p, double complex *spectrum, const double *image);
/* Band (scale, orientation) from the image's spectrum, as an image of scale `at` <= scale. */
void vt_pyramid_band(vt_pyramid *p, double complex *out, const double complex *spectrum, int scale,
                     int orientation, int at);
/* Lowpass image `scale`, 0 to scales; it is real. */
void vt_pyramid_low(vt_pyramid *p, double *out, const double complex *spectrum, int scale);
void vt_pyramid_high(vt_pyramid *p, double *out, const double complex *spectrum);

/* The transposes: of d(sum)/d(band) = Re(gradient) + i Im(gradient) the part of d(sum)/d(image),
 * added to `sum` as a spectrum, which vt_pyramid_gather turns into an image. `gradient` is used up.
 */
void vt_pyramid_add_band(vt_pyramid *p, double complex *sum, double complex *gradient, int scale,
                         int orientation, int at);
void vt_pyramid_add_low(vt_pyramid *p, double complex *sum, const double *gradient, int scale);
void vt_pyramid_add_high(vt_pyramid *p, double complex *sum, const double *gradient);
void vt_pyramid_gather(vt_pyramid *p, double *image, const double complex *sum);

#endif
