/* Varied versions of an image, as many as wanted.
 *
 * A crop of 70 to 100 % of the image's side, anywhere in it, mirrored half the time, is resized;
 * then each colour c of a pixel becomes
 *   brightness gain_c (mean + contrast (value - mean)),
 * mean that of all values of the crop, brightness and contrast 0.7 to 1.3, gains 0.9 to 1.1,
 * clipped to bytes. What neurons see in an image varies; that it is natural stays. */
#include "data/image_variant.h"

#include <math.h>
#include <string.h>

#include "io/image.h"

static double between(vt_rng *rng, double low, double high)
{
    return low + (high - low) * vt_rng_uniform(rng);
}

static vt_status crop(vt_image *out, const vt_image *image, vt_rng *rng)
{
    double side = between(rng, 0.7, 1);
    int height = (int)ceil(side * image->height), width = (int)ceil(side * image->width);
    size_t top = vt_rng_below(rng, (uint32_t)(image->height - height + 1));
    size_t left = vt_rng_below(rng, (uint32_t)(image->width - width + 1));
    bool mirrored = vt_rng_u32(rng) & 1;
    VT_TRY(vt_image_new(out, height, width, "varied image"));
    for (size_t y = 0; y < (size_t)height; y++) {
        const uint8_t *from = image->pixels + 3 * ((top + y) * (size_t)image->width + left);
        uint8_t *to = out->pixels + 3 * y * (size_t)width;
        if (!mirrored) memcpy(to, from, 3 * (size_t)width);
        for (size_t x = 0; mirrored && x < (size_t)width; x++)
            memcpy(to + 3 * x, from + 3 * ((size_t)width - 1 - x), 3);
    }
    return VT_OK;
}

/* All values of a colour change alike: one table for each. */
static void recolour(uint8_t *out, const uint8_t *in, size_t pixels, vt_rng *rng)
{
    uint8_t table[3][256];
    double contrast = between(rng, 0.7, 1.3), brightness = between(rng, 0.7, 1.3);
    uint64_t sum = 0;
    for (size_t i = 0; i < 3 * pixels; i++)
        sum += in[i];
    double mean = (double)sum / (double)(3 * pixels);
    for (int c = 0; c < 3; c++) {
        double gain = brightness * between(rng, 0.9, 1.1);
        for (int v = 0; v < 256; v++)
            table[c][v] = (uint8_t)lrint(fmin(fmax(gain * (mean + contrast * (v - mean)), 0), 255));
    }
    for (size_t i = 0; i < pixels; i++)
        for (int c = 0; c < 3; c++)
            out[3 * i + c] = table[c][in[3 * i + c]];
}

vt_status vt_image_vary(uint8_t *out, const vt_image *image, int height, int width, vt_rng *rng)
{
    vt_image cropped, resized;
    VT_TRY(crop(&cropped, image, rng));
    vt_status status = vt_image_resize(&resized, &cropped, height, width);
    vt_image_free(&cropped);
    VT_TRY(status);
    recolour(out, resized.pixels, (size_t)height * (size_t)width, rng);
    vt_image_free(&resized);
    return VT_OK;
}
