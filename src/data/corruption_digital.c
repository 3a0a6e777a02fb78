/* Digital corruptions.
 *
 *   contrast          m + c (x - m), m the mean of the image's channel
 *   pixelate          reduced to a part of the size by box filter, enlarged again by box filter
 *   jpeg_compression  JPEG of low quality, chroma at half resolution, decoded
 *
 * Hendrycks & Dietterich 2019; constants of Tiny-ImageNet-C. */
#include <stdlib.h>

#include "data/corruption.h"
#include "io/image.h"
#include "io/jpeg.h"

vt_status vt_corrupt_contrast(vt_image *image, int severity, vt_rng *rng)
{
    (void)rng;
    static const double contrast[] = {0.4, 0.3, 0.2, 0.1, 0.05};
    size_t pixels = (size_t)image->height * (size_t)image->width;
    for (size_t c = 0; c < 3; c++) {
        double sum = 0;
        for (size_t i = 0; i < pixels; i++)
            sum += image->pixels[3 * i + c] / 255.0;
        double mean = sum / (double)pixels;
        for (size_t i = 0; i < pixels; i++) {
            double x = image->pixels[3 * i + c] / 255.0;
            image->pixels[3 * i + c] =
                vt_corruption_byte((x - mean) * contrast[severity - 1] + mean);
        }
    }
    return VT_OK;
}

/* Takes over the pixels of `from`. */
static void replace(vt_image *image, vt_image *from)
{
    vt_image_free(image);
    *image = *from;
}

vt_status vt_corrupt_pixelate(vt_image *image, int severity, vt_rng *rng)
{
    (void)rng;
    static const double part[] = {0.9, 0.8, 0.7, 0.6, 0.5};
    int height = (int)(image->height * part[severity - 1]);
    int width = (int)(image->width * part[severity - 1]);
    vt_image small, large;
    VT_TRY(vt_image_resize_box(&small, image, height > 0 ? height : 1, width > 0 ? width : 1));
    vt_status status = vt_image_resize_box(&large, &small, image->height, image->width);
    vt_image_free(&small);
    if (status == VT_OK) replace(image, &large);
    return status;
}

vt_status vt_corrupt_jpeg_compression(vt_image *image, int severity, vt_rng *rng)
{
    (void)rng;
    static const int quality[] = {65, 58, 50, 40, 25};
    void *data;
    size_t size;
    vt_image decoded;
    VT_TRY(vt_jpeg_encode_420(&data, &size, image, quality[severity - 1]));
    vt_status status = vt_jpeg_decode(&decoded, data, size, "jpeg_compression");
    free(data);
    if (status == VT_OK) replace(image, &decoded);
    return status;
}
