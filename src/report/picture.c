/* Pictures of images, filters and maps, as RGB images. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/image.h"
#include "ventral/io.h"
#include "ventral/report.h"

vt_status vt_picture_write(const vt_image *image, const char *path)
{
    void *data;
    size_t size;
    VT_TRY(vt_png_encode(&data, &size, image));
    vt_status status = vt_file_write(path, data, size);
    free(data);
    return status;
}

/* A white image for a grid of `count` cells. */
static vt_status grid_new(vt_image *out, int64_t count, int columns, int height, int width, int gap,
                          const char *label)
{
    if (count < 1 || columns < 1 || height < 1 || width < 1 || gap < 0)
        return vt_error(VT_EINVAL,
                        "%s: %lld cells of %d x %d in rows of %d, %d apart, are not possible",
                        label, (long long)count, height, width, columns, gap);
    int64_t across = count < columns ? count : columns, down = (count + columns - 1) / columns;
    int64_t total_height, total_width;
    if (__builtin_mul_overflow(down, (int64_t)height + gap, &total_height) ||
        __builtin_mul_overflow(across, (int64_t)width + gap, &total_width))
        return vt_error(VT_EUNSUPPORTED, "%s: too large", label);
    VT_TRY(vt_image_new(out, total_height - gap, total_width - gap, label));
    memset(out->pixels, 255, (size_t)out->height * (size_t)out->width * 3);
    return VT_OK;
}

static uint8_t *pixel_at(const vt_image *image, int64_t y, int64_t x)
{
    return image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
}

static void fill_square(vt_image *image, int64_t y, int64_t x, int side, const uint8_t rgb[3])
{
    for (int i = 0; i < side; i++)
        for (int k = 0; k < side; k++)
            memcpy(pixel_at(image, y + i, x + k), rgb, 3);
}

/* ---- contact sheets ---- */

static vt_status paste(vt_image *sheet, const vt_image *image, int64_t y, int64_t x, int height,
                       int width)
{
    vt_image resized = {0};
    if (image->height != height || image->width != width) {
        VT_TRY(vt_image_resize(&resized, image, height, width));
        image = &resized;
    }
    for (int i = 0; i < height; i++)
        memcpy(pixel_at(sheet, y + i, x), image->pixels + (size_t)i * (size_t)width * 3,
               (size_t)width * 3);
    vt_image_free(&resized);
    return VT_OK;
}

vt_status vt_picture_sheet(vt_image *out, const vt_image *images, int count, int columns,
                           int height, int width, int gap)
{
    vt_image sheet;
    VT_TRY(grid_new(&sheet, count, columns, height, width, gap, "contact sheet"));
    vt_status status = VT_OK;
    for (int i = 0; i < count && status == VT_OK; i++) {
        status = vt_image_check(&images[i]);
        if (status != VT_OK) break;
        status = paste(&sheet, &images[i], (int64_t)(i / columns) * (height + gap),
                       (int64_t)(i % columns) * (width + gap), height, width);
    }
    if (status != VT_OK) {
        vt_image_free(&sheet);
        return status;
    }
    *out = sheet;
    return VT_OK;
}

/* ---- filters ---- */

static uint8_t level(double value)
{
    return (uint8_t)lrint(fmin(fmax(value, 0), 255));
}

vt_status vt_picture_filters(vt_image *out, const vt_tensor *kernels, int columns, int scale,
                             int gap)
{
    char shape[64];
    if (kernels->ndim != 4 || kernels->size[3] != 3 || kernels->dtype != VT_F32 ||
        !vt_tensor_is_contiguous(kernels))
        return vt_error(VT_ESHAPE,
                        "filters to show: %s %s, float32 (filters, height, width, 3) "
                        "is needed",
                        vt_dtype_name(kernels->dtype),
                        vt_tensor_shape_text(kernels, shape, sizeof shape));
    int64_t height = kernels->size[1], width = kernels->size[2], each = height * width * 3;
    if (height < 1 || width < 1 || height > 1024 || width > 1024 || scale < 1 || scale > 1024)
        return vt_error(VT_EINVAL, "filters to show: %lld x %lld weights, scale %d; 1 to 1024",
                        (long long)height, (long long)width, scale);
    VT_TRY(grid_new(out, kernels->size[0], columns, (int)height * scale, (int)width * scale, gap,
                    "filters"));
    for (int64_t o = 0; o < kernels->size[0]; o++) {
        const float *w = (const float *)kernels->data + o * each;
        double largest = 0;
        for (int64_t i = 0; i < each; i++)
            if (isfinite(w[i])) largest = fmax(largest, fabs((double)w[i]));
        for (int64_t i = 0; i < height * width; i++) {
            uint8_t rgb[3];
            for (int c = 0; c < 3; c++) {
                double v = w[3 * i + c];
                rgb[c] = level(127.5 + (isfinite(v) && largest > 0 ? 127.5 * v / largest : 0));
            }
            fill_square(out, o / columns * (height * scale + gap) + i / width * scale,
                        o % columns * (width * scale + gap) + i % width * scale, scale, rgb);
        }
    }
    return VT_OK;
}

/* ---- maps ---- */

/* White to dark blue; lightness falls evenly (ColorBrewer's "Blues", C. Brewer). */
static void heat_colour(uint8_t rgb[3], double t)
{
    static const uint8_t stops[][3] = {{255, 255, 255}, {222, 235, 247}, {198, 219, 239},
                                       {158, 202, 225}, {107, 174, 214}, {66, 146, 198},
                                       {33, 113, 181},  {8, 81, 156},    {8, 48, 107}};
    enum { LAST = sizeof stops / sizeof *stops - 1 };
    double at = fmin(fmax(t, 0), 1) * LAST;
    int i = at < LAST ? (int)at : LAST - 1;
    for (int c = 0; c < 3; c++)
        rgb[c] = level(stops[i][c] + (at - i) * (stops[i + 1][c] - stops[i][c]));
}

vt_status vt_picture_heat(vt_image *out, const vt_tensor *values, double low, double high,
                          int scale)
{
    char shape[64];
    if (values->ndim != 2)
        return vt_error(VT_ESHAPE, "values to show: %s, (rows, columns) is needed",
                        vt_tensor_shape_text(values, shape, sizeof shape));
    int64_t rows = values->size[0], columns = values->size[1];
    if (!(low < high) || scale < 1 || scale > 1024 || rows < 1 || columns < 1 || rows > 1 << 20 ||
        columns > 1 << 20)
        return vt_error(VT_EINVAL, "values to show: %lld x %lld between %g and %g, scale %d",
                        (long long)rows, (long long)columns, low, high, scale);
    VT_TRY(vt_image_new(out, rows * scale, columns * scale, "values to show"));
    for (int64_t i = 0; i < rows * columns; i++) {
        uint8_t rgb[3] = {190, 190, 190};
        double v = vt_tensor_get(values, i);
        if (!isnan(v)) heat_colour(rgb, (v - low) / (high - low));
        fill_square(out, i / columns * scale, i % columns * scale, scale, rgb);
    }
    return VT_OK;
}

void vt_picture_circle(vt_image *image, double x, double y, double radius, const uint8_t rgb[3])
{
    for (int i = 0; i < image->height; i++)
        for (int k = 0; k < image->width; k++) {
            double from_line = fabs(hypot(k + 0.5 - x, i + 0.5 - y) - radius);
            double ink = fmin(fmax(1.5 - from_line, 0), 1);
            uint8_t *pixel = pixel_at(image, i, k);
            for (int c = 0; c < 3 && ink > 0; c++)
                pixel[c] = level(pixel[c] + ink * (rgb[c] - pixel[c]));
        }
}
