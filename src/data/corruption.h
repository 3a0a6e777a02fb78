/* What the corruptions share: arrays of numbers of an image, their filters, and the table. */
#ifndef VT_DATA_CORRUPTION_H
#define VT_DATA_CORRUPTION_H

#include "ventral/corruption.h"
#include "ventral/rng.h"

/* Corrupts in place. */
typedef vt_status vt_corrupt_function(vt_image *image, int severity, vt_rng *rng);

vt_corrupt_function vt_corrupt_gaussian_noise, vt_corrupt_shot_noise, vt_corrupt_impulse_noise,
    vt_corrupt_defocus_blur, vt_corrupt_glass_blur, vt_corrupt_motion_blur, vt_corrupt_zoom_blur,
    vt_corrupt_snow, vt_corrupt_frost, vt_corrupt_fog, vt_corrupt_brightness, vt_corrupt_contrast,
    vt_corrupt_elastic_transform, vt_corrupt_pixelate, vt_corrupt_jpeg_compression;

/* Interleaved channels, rows from the top; free `value` with free(). */
typedef struct vt_field {
    int height, width, channels;
    double *value;
} vt_field;

vt_status vt_field_new(vt_field *out, int height, int width, int channels);
/* The image's pixels over 255. */
vt_status vt_field_from_image(vt_field *out, const vt_image *image);
/* Truncated, as NumPy's uint8() does and the published images were: 0.9999 of a level is lost. */
void vt_field_to_image(vt_image *image, const vt_field *field);

static inline size_t vt_field_count(const vt_field *field)
{
    return (size_t)field->height * (size_t)field->width * (size_t)field->channels;
}

/* A value of 0 to 1 as a byte, truncated. */
static inline uint8_t vt_corruption_byte(double value)
{
    return (uint8_t)((value < 0 ? 0 : value > 1 ? 1 : value) * 255);
}

static inline double vt_corruption_uniform(vt_rng *rng, double low, double high)
{
    return low + (high - low) * vt_rng_uniform(rng);
}

typedef enum vt_border {
    VT_BORDER_NEAREST, /* a a a | a b c d | d d d */
    VT_BORDER_REFLECT, /* c b a | a b c d | d c b */
    VT_BORDER_MIRROR,  /* d c b | a b c d | c b a, which OpenCV calls REFLECT_101 */
} vt_border;

/* The place within 0 .. size - 1 that stands for `index`, however far outside it is. */
int vt_border_index(int64_t index, int size, vt_border border);

/* Convolves rows and columns with a Gaussian cut off at round(truncate * sigma) pixels. */
vt_status vt_field_gaussian(vt_field *field, double sigma, double truncate, vt_border border);

/* The centre of `field`, 1 / factor of its size, enlarged linearly to its size; factor >= 1. */
vt_status vt_field_zoom(vt_field *out, const vt_field *field, double factor);

/* Blur along a line that begins at each pixel, `angle` in degrees from x towards y (down). Bytes
 * (height, width, channels) in place. */
typedef struct vt_motion {
    int radius; /* pixels; the line has 2 radius + 1 */
    double sigma, angle;
} vt_motion;
vt_status vt_corruption_motion(uint8_t *pixels, int height, int width, int channels,
                               const vt_motion *motion);

#endif
