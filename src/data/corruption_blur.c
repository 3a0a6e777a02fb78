/* Blurs.
 *
 *   defocus_blur  convolution with a disk, its rim softened by a 3 x 3 Gaussian
 *   glass_blur    Gaussian filter, pixels replaced by near ones at random, Gaussian filter
 *   motion_blur   Gaussian-weighted line from each pixel in a random direction of -45 to 45 degrees
 *   zoom_blur     mean of the image and its centre enlarged by 1.00, 1.01, 1.02, ...
 *
 * Hendrycks & Dietterich 2019; constants of Tiny-ImageNet-C. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "data/corruption.h"

/* ---- defocus ---- */

enum { DISK = 4 }; /* the largest radius and the softened rim */

typedef struct tap {
    int dx, dy;
    double weight;
} tap;

/* Weights as float32, as OpenCV has them: in even areas their sum decides which level is kept. */
static int disk_taps(tap taps[(2 * DISK + 1) * (2 * DISK + 1)], double radius, double sigma)
{
    double side = exp(-0.5 / (sigma * sigma)), soft[3] = {side, 1, side};
    int inside = 0, count = 0;
    for (int y = -DISK; y <= DISK; y++)
        for (int x = -DISK; x <= DISK; x++)
            inside += x * x + y * y <= radius * radius;
    for (int y = -DISK; y <= DISK; y++)
        for (int x = -DISK; x <= DISK; x++) {
            double weight = 0;
            for (int i = -1; i <= 1; i++)
                for (int j = -1; j <= 1; j++)
                    if ((x + j) * (x + j) + (y + i) * (y + i) <= radius * radius)
                        weight += soft[i + 1] * soft[j + 1];
            weight /= inside * (1 + 2 * side) * (1 + 2 * side);
            if (weight > 1e-12) taps[count++] = (tap){x, y, (float)weight};
        }
    return count;
}

vt_status vt_corrupt_defocus_blur(vt_image *image, int severity, vt_rng *rng)
{
    (void)rng;
    static const struct {
        double radius, sigma;
    } disk[] = {{0.5, 0.6}, {1, 0.1}, {1.5, 0.1}, {2.5, 0.01}, {3, 0.1}};
    tap taps[(2 * DISK + 1) * (2 * DISK + 1)];
    int count = disk_taps(taps, disk[severity - 1].radius, disk[severity - 1].sigma);
    vt_field sharp, blurred;
    VT_TRY(vt_field_from_image(&sharp, image));
    vt_status status = vt_field_new(&blurred, image->height, image->width, 3);
    if (status == VT_OK) {
        double *to = blurred.value;
        for (int y = 0; y < image->height; y++)
            for (int x = 0; x < image->width; x++, to += 3)
                for (int i = 0; i < count; i++) {
                    int from_y =
                        vt_border_index((int64_t)y + taps[i].dy, image->height, VT_BORDER_MIRROR);
                    int from_x =
                        vt_border_index((int64_t)x + taps[i].dx, image->width, VT_BORDER_MIRROR);
                    const double *from =
                        sharp.value + 3 * ((size_t)from_y * (size_t)image->width + (size_t)from_x);
                    for (int c = 0; c < 3; c++)
                        to[c] += taps[i].weight * from[c];
                }
        vt_field_to_image(image, &blurred);
        free(blurred.value);
    }
    free(sharp.value);
    return status;
}

/* ---- glass ---- */

static vt_status gaussian_image(vt_image *image, double sigma)
{
    vt_field field;
    VT_TRY(vt_field_from_image(&field, image));
    vt_status status = vt_field_gaussian(&field, sigma, 4, VT_BORDER_NEAREST);
    if (status == VT_OK) vt_field_to_image(image, &field);
    free(field.value);
    return status;
}

/* From the lower right corner, each pixel takes the colour of one up to `reach` above and to the
 * left, or reach - 1 below and to the right. The definition speaks of exchanging the two; in the
 * program that made the published images the other pixel keeps its colour (an assignment through
 * views of the same array), and so it does here. */
static void scatter(vt_image *image, int reach, vt_rng *rng)
{
    for (int y = image->height - reach; y > reach; y--)
        for (int x = image->width - reach; x > reach; x--) {
            int dx = (int)vt_rng_below(rng, 2 * (uint32_t)reach) - reach;
            int dy = (int)vt_rng_below(rng, 2 * (uint32_t)reach) - reach;
            size_t width = (size_t)image->width;
            memmove(image->pixels + 3 * ((size_t)y * width + (size_t)x),
                    image->pixels + 3 * ((size_t)(y + dy) * width + (size_t)(x + dx)), 3);
        }
}

vt_status vt_corrupt_glass_blur(vt_image *image, int severity, vt_rng *rng)
{
    static const struct {
        double sigma;
        int reach, iterations;
    } glass[] = {{0.1, 1, 1}, {0.5, 1, 1}, {0.6, 1, 2}, {0.7, 2, 1}, {0.9, 2, 2}};
    double sigma = glass[severity - 1].sigma;
    VT_TRY(gaussian_image(image, sigma));
    for (int i = 0; i < glass[severity - 1].iterations; i++)
        scatter(image, glass[severity - 1].reach, rng);
    return gaussian_image(image, sigma);
}

/* ---- motion and zoom ---- */

vt_status vt_corrupt_motion_blur(vt_image *image, int severity, vt_rng *rng)
{
    static const vt_motion motions[] = {
        {10, 1, 0}, {10, 1.5, 0}, {10, 2, 0}, {10, 2.5, 0}, {12, 3, 0}};
    vt_motion motion = motions[severity - 1];
    motion.angle = vt_corruption_uniform(rng, -45, 45);
    return vt_corruption_motion(image->pixels, image->height, image->width, 3, &motion);
}

/* The sum is float32 in the original, whose truncation shows its rounding. */
static vt_status zoom_mean(vt_image *image, int zooms, vt_field *sharp, vt_field *zoomed,
                           float *sum)
{
    const double step = 1.01 - 1; /* not 0.01 */
    size_t count = vt_field_count(sharp);
    for (size_t i = 0; i < count; i++)
        sharp->value[i] = (float)sharp->value[i];
    for (int zoom = 0; zoom < zooms; zoom++) {
        VT_TRY(vt_field_zoom(zoomed, sharp, 1 + zoom * step));
        for (size_t i = 0; i < count; i++)
            sum[i] += (float)zoomed->value[i];
    }
    for (size_t i = 0; i < count; i++) {
        float mean = ((float)sharp->value[i] + sum[i]) / (float)(zooms + 1);
        image->pixels[i] = (uint8_t)((mean > 1 ? 1 : mean) * 255);
    }
    return VT_OK;
}

vt_status vt_corrupt_zoom_blur(vt_image *image, int severity, vt_rng *rng)
{
    (void)rng;
    static const int zooms[] = {7, 12, 16, 21, 26}; /* up to 1.06, 1.11, 1.15, 1.20, 1.25 */
    vt_field sharp = {0}, zoomed = {0};
    float *sum = vt_alloc((size_t)image->height * (size_t)image->width, 3 * sizeof *sum);
    vt_status status = sum ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = vt_field_from_image(&sharp, image);
    if (status == VT_OK) status = vt_field_new(&zoomed, image->height, image->width, 3);
    if (status == VT_OK) status = zoom_mean(image, zooms[severity - 1], &sharp, &zoomed, sum);
    free(sharp.value);
    free(zoomed.value);
    free(sum);
    return status;
}
