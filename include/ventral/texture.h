/* Textures: the statistics of Portilla & Simoncelli 2000 ("A parametric texture model based on
 * joint statistics of complex wavelet coefficients", Int. J. Computer Vision 40:49), naturalistic
 * textures synthesised from photographs, noise with the same spectrum, and sets of both, with which
 * V1 and V2 neurons are told apart (Freeman, Ziemba, Heeger, Simoncelli & Movshon 2013). */
#ifndef VENTRAL_TEXTURE_H
#define VENTRAL_TEXTURE_H

#include "ventral/grating.h"
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
 * mean square of differences, covariances in units of the target's variances (at least a thousandth
 * of the pixels', of moduli a twentieth of their band's power), kurtosis in units of the target's;
 * without smallest and largest pixel, magnitude.mean, and shapes of lowpass images with less than a
 * thousandth of the variance. VT_ESHAPE: not alike; VT_ENUMERIC: a target without variance. */
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

/* A texture of the photograph (height, width), both in grey levels: pixels descend (L-BFGS)
 * from noise with its autocorrelation until the statistics are the photograph's, then are kept
 * within its smallest and largest. Deterministic; one thread. `out` may not be `photograph`;
 * `result` may be NULL. Errors of vt_texture_statistics; VT_ENUMERIC for a photograph of one grey.
 */
vt_status vt_texture_synthesize(double *out, vt_texture_result *result, const double *photograph,
                                int height, int width, const vt_texture_synthesis *options);

/* Noise with the Fourier amplitudes of `image` (height, width) and random phases; the mean stays.
 * VT_EUNSUPPORTED: sides with prime factors beyond 5. */
vt_status vt_texture_noise(double *out, const double *image, int height, int width, uint64_t seed,
                           uint32_t number);

/* ---- sets of stimuli ---- */

#define VT_TEXTURE_DEGREES 4 /* of visual angle that an image spans */

typedef enum vt_texture_type { VT_TEXTURE_IS_NOISE = 1, VT_TEXTURE_IS_TEXTURE } vt_texture_type;

typedef struct vt_texture_stimulus {
    int64_t type, family, sample; /* type: vt_texture_type */
} vt_texture_stimulus;

typedef struct vt_texture_set vt_texture_set;

/* Noise and texture of every sample of every family, square images of one size, held in memory, in
 * the order of type, family and sample. `path` is a folder or zip of images named as the published
 * ones, tex-320x320-im13-smp2.png and noise-320x320-im13-smp2.png; or a folder with textures.csv,
 * which lists the images of the folder, or of its images.zip: a line of names, then a line an
 * image; file, family, sample (numbers) and type (noise or texture) are needed, and origin, where
 * it is there, the same in all lines. VT_EFORMAT: other names or lines, a set that is not whole,
 * images of other sizes; errors of vt_image_source_open. */
vt_status vt_texture_set_open(vt_texture_set **out, const char *path);
void vt_texture_set_close(vt_texture_set *set);
int64_t vt_texture_set_count(const vt_texture_set *set);
/* Borrowed; NULL out of range. */
const vt_texture_stimulus *vt_texture_set_at(const vt_texture_set *set, int64_t index);
/* What textures.csv says they come from, as "synthesised from 15 photographs of leaves.zip"; NULL
 * where it says nothing. */
const char *vt_texture_set_origin(const vt_texture_set *set);
/* Of all pixels and what they are. */
uint64_t vt_texture_set_checksum(const vt_texture_set *set);

/* Image `index` as shown (Marques et al. 2021): within a raised-cosine aperture of 4 degrees, (1 +
 * cos(pi r / 2 degrees)) / 2, unless all images are 128 outside of it already; its centre at (0.5,
 * 0.5) degrees on grey 128; then resized as vt_image_resize does. `screen` is as for gratings, but
 * without `resolution`, which is the images', and for 8 degrees where it says none; `out` holds its
 * height x width grey bytes. Any thread may call. */
vt_status vt_texture_set_draw(const vt_texture_set *set, int64_t index,
                              const vt_screen_options *screen, uint8_t *out);

/* Zero means the default in brackets. */
typedef struct vt_texture_families {
    vt_texture_synthesis synthesis; /* its `number` is not used */
    int samples;                    /* of each family [15] */
    int side;                       /* of the images, pixels [320] */
    const vt_progress *progress;    /* textures */
} vt_texture_families;

/* A family from each image of `photographs` (what vt_image_source_open takes), grey, its middle
 * square: textures of it, and noise with the spectrum of each texture, as PNGs in `folder`, made
 * where it is not there, and textures.csv in the end, which says of all that they are synthesised,
 * and how far each texture is from its photograph (vt_texture_distance). PNGs of an earlier call
 * with the same photographs and options, one that was stopped, are kept. Deterministic, whatever
 * the threads. */
vt_status vt_texture_families_write(const char *folder, const char *photographs,
                                    const vt_texture_families *options);

#ifdef __cplusplus
}
#endif
#endif
