/* Noise, independent in every pixel and channel; x is a value of 0 to 1.
 *
 *   gaussian_noise  x + N(0, sd^2)
 *   shot_noise      Poisson(x photons) / photons
 *   impulse_noise   0 or 1, equally likely, with probability `amount`; else x
 *
 * Hendrycks & Dietterich 2019; constants of Tiny-ImageNet-C. */
#include <math.h>

#include "data/corruption.h"

static size_t value_count(const vt_image *image)
{
    return (size_t)image->height * (size_t)image->width * 3;
}

vt_status vt_corrupt_gaussian_noise(vt_image *image, int severity, vt_rng *rng)
{
    static const double sd[] = {0.04, 0.08, 0.12, 0.15, 0.18};
    for (size_t i = 0, count = value_count(image); i < count; i++) {
        double x = image->pixels[i] / 255.0;
        image->pixels[i] = vt_corruption_byte(x + sd[severity - 1] * vt_rng_normal(rng));
    }
    return VT_OK;
}

/* A Poisson count by inversion: from one random number, where vt_rng_poisson takes about `mean` of
 * them. Means are at most 250, so that exp(-mean) is far from underflow. */
static double photon_count(double mean, vt_rng *rng)
{
    double u = vt_rng_uniform(rng), count = 0;
    double probability = exp(-mean), cumulative = probability;
    while (u >= cumulative && probability > 1e-300) { /* rounding can keep the sum below u */
        count++;
        probability *= mean / count;
        cumulative += probability;
    }
    return count;
}

vt_status vt_corrupt_shot_noise(vt_image *image, int severity, vt_rng *rng)
{
    static const double photons[] = {250, 100, 50, 30, 15};
    double most = photons[severity - 1];
    for (size_t i = 0, count = value_count(image); i < count; i++) {
        double x = image->pixels[i] / 255.0;
        image->pixels[i] = vt_corruption_byte(photon_count(x * most, rng) / most);
    }
    return VT_OK;
}

vt_status vt_corrupt_impulse_noise(vt_image *image, int severity, vt_rng *rng)
{
    static const double amount[] = {0.01, 0.02, 0.05, 0.08, 0.14};
    for (size_t i = 0, count = value_count(image); i < count; i++) {
        bool flipped = vt_rng_uniform(rng) < amount[severity - 1];
        if (flipped)
            image->pixels[i] = vt_rng_uniform(rng) < 0.5 ? 255 : 0;
        else /* the published images lose a level where x / 255 * 255 rounds below x */
            image->pixels[i] = vt_corruption_byte(image->pixels[i] / 255.0);
    }
    return VT_OK;
}
