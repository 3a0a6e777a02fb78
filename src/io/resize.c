/* Separable resampling with a triangle or box filter, for images of 8 bits.
 *
 * An output pixel at x is a weighted mean of the input around c = (x + 1/2) s, with s = input size
 * / output size and weights t((i + 1/2 - c) / max(s, 1)): for the triangle t(u) = max(0, 1 - |u|),
 * linear interpolation when enlarging, an antialiasing filter when reducing; for the box t(u) = 1
 * in (-1/2, 1/2]. Weights are normalized in double and rounded to 22 bits, rows are resampled
 * before columns and rounded to 8 bits between, as Pillow does (Image.resize with BILINEAR or BOX,
 * without a box): results equal Pillow's bit for bit up to its version 12; version 13 takes columns
 * before rows for some sizes and rounds differently by one grey level there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/image.h"
#include "io/resize.h"

/* t(u), and the half width outside which it is 0. */
typedef struct shape {
    double (*weight)(double u);
    double half_width;
} shape;

static double triangle_weight(double u)
{
    return fabs(u) < 1 ? 1 - fabs(u) : 0;
}

static double box_weight(double u)
{
    return u > -0.5 && u <= 0.5 ? 1 : 0;
}

static const shape triangle = {triangle_weight, 1}, box = {box_weight, 0.5};

void vt_resampling_free(vt_resampling *resampling)
{
    free(resampling->first);
    free(resampling->count);
    free(resampling->weight);
    *resampling = (vt_resampling){.first = NULL};
}

static vt_status filter_new(vt_resampling *out, int input, int output, const shape *shape)
{
    double scale = (double)input / output;
    double wider = scale > 1 ? scale : 1, support = wider * shape->half_width;
    vt_resampling filter = {.stride = (size_t)ceil(support) * 2 + 1};
    double *exact = vt_alloc(filter.stride, sizeof *exact);
    filter.first = vt_alloc((size_t)output, sizeof *filter.first);
    filter.count = vt_alloc((size_t)output, sizeof *filter.count);
    filter.weight = vt_alloc((size_t)output * filter.stride, sizeof *filter.weight);
    if (!exact || !filter.first || !filter.count || !filter.weight) {
        free(exact);
        vt_resampling_free(&filter);
        return VT_ENOMEM;
    }
    for (int i = 0; i < output; i++) {
        double center = (i + 0.5) * scale, inverse = 1.0 / wider, sum = 0;
        int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
        if (first < 0) first = 0;
        if (end > input) end = input;
        for (int k = 0; k < end - first; k++) {
            exact[k] = shape->weight((k + first - center + 0.5) * inverse);
            sum += exact[k];
        }
        for (int k = 0; k < end - first; k++) /* the sum is never 0: the centre lies inside */
            filter.weight[(size_t)i * filter.stride + (size_t)k] =
                (int32_t)(0.5 + exact[k] / sum * (1 << VT_RESAMPLING_BITS));
        filter.first[i] = first;
        filter.count[i] = end - first;
    }
    free(exact);
    *out = filter;
    return VT_OK;
}

vt_status vt_resampling_new(vt_resampling *out, int input, int output)
{
    return filter_new(out, input, output, &triangle);
}

static void resample_rows(vt_image *out, const vt_image *in, const vt_resampling *filter)
{
    for (int y = 0; y < out->height; y++) {
        const uint8_t *row = in->pixels + (size_t)y * (size_t)in->width * 3;
        uint8_t *to = out->pixels + (size_t)y * (size_t)out->width * 3;
        for (int x = 0; x < out->width; x++, to += 3) {
            const int32_t *weight = filter->weight + (size_t)x * filter->stride;
            const uint8_t *from = row + 3 * (size_t)filter->first[x];
            int32_t sum[3] = {0, 0, 0};
            for (int k = 0; k < filter->count[x]; k++, from += 3)
                for (int c = 0; c < 3; c++)
                    sum[c] += from[c] * weight[k];
            for (int c = 0; c < 3; c++)
                to[c] = vt_resampling_round(sum[c]);
        }
    }
}

/* `sums` has one place for each byte of a row. */
static void resample_columns(vt_image *out, const vt_image *in, const vt_resampling *filter,
                             int32_t *sums)
{
    size_t row_bytes = (size_t)in->width * 3;
    for (int y = 0; y < out->height; y++) {
        uint8_t *to = out->pixels + (size_t)y * row_bytes;
        memset(sums, 0, row_bytes * sizeof *sums);
        for (int k = 0; k < filter->count[y]; k++) {
            int32_t weight = filter->weight[(size_t)y * filter->stride + (size_t)k];
            const uint8_t *from = in->pixels + (size_t)(filter->first[y] + k) * row_bytes;
            for (size_t i = 0; i < row_bytes; i++)
                sums[i] += from[i] * weight;
        }
        for (size_t i = 0; i < row_bytes; i++)
            to[i] = vt_resampling_round(sums[i]);
    }
}

static vt_status resize_rows(vt_image *out, const vt_image *image, int width, const shape *shape)
{
    vt_resampling filter;
    vt_image resized;
    VT_TRY(vt_image_new(&resized, image->height, width, "resized image"));
    vt_status status = filter_new(&filter, image->width, width, shape);
    if (status != VT_OK) {
        vt_image_free(&resized);
        return status;
    }
    resample_rows(&resized, image, &filter);
    vt_resampling_free(&filter);
    *out = resized;
    return VT_OK;
}

static vt_status resize_columns(vt_image *out, const vt_image *image, int height,
                                const shape *shape)
{
    vt_resampling filter = {0};
    vt_image resized;
    vt_status status = VT_OK;
    VT_TRY(vt_image_new(&resized, height, image->width, "resized image"));
    int32_t *sums = vt_alloc((size_t)image->width * 3, sizeof *sums);
    if (!sums) status = VT_ENOMEM;
    if (status == VT_OK) status = filter_new(&filter, image->height, height, shape);
    if (status == VT_OK) {
        resample_columns(&resized, image, &filter, sums);
        *out = resized;
    } else {
        vt_image_free(&resized);
    }
    vt_resampling_free(&filter);
    free(sums);
    return status;
}

static vt_status resize(vt_image *out, const vt_image *image, int height, int width,
                        const shape *shape)
{
    VT_TRY(vt_image_check(image));
    if (height < 1 || width < 1 || height > VT_IMAGE_MAX_PIXELS / width)
        return vt_error(VT_EINVAL, "an image cannot be resized to %d x %d pixels", width, height);
    if (width == image->width && height == image->height) {
        vt_image copy;
        VT_TRY(vt_image_new(&copy, height, width, "resized image"));
        memcpy(copy.pixels, image->pixels, (size_t)height * (size_t)width * 3);
        *out = copy;
        return VT_OK;
    }
    if (width == image->width) return resize_columns(out, image, height, shape);
    if (height == image->height) return resize_rows(out, image, width, shape);
    vt_image rows;
    VT_TRY(resize_rows(&rows, image, width, shape));
    vt_status status = resize_columns(out, &rows, height, shape);
    vt_image_free(&rows);
    return status;
}

vt_status vt_image_resize(vt_image *out, const vt_image *image, int height, int width)
{
    return resize(out, image, height, width, &triangle);
}

vt_status vt_image_resize_box(vt_image *out, const vt_image *image, int height, int width)
{
    return resize(out, image, height, width, &box);
}
