/* Gaudy images: x -> 255 if x >= mean(x), else 0, by colour or over all colours; after a Gaussian
 * filter, where wanted (Cowley & Pillow 2020; the authors' code for V4 thresholds each colour). */
#include "ventral/gaudy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/corruption.h"
#include "ventral/image.h"

static const double equal = 1e-9; /* grey levels */

vt_status vt_gaudy_find(vt_gaudy_kind *out, const char *name)
{
    static const char *const names[] = {"none", "channel", "global"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (vt_gaudy_kind)i;
            return VT_OK;
        }
    return vt_error(VT_ENOTFOUND, "'%s' is no kind of gaudy image: none, channel or global", name);
}

/* Bytes `first`, `first` + step, ... of `count`: whole numbers, so that equality is exact. */
static void threshold_bytes(uint8_t *pixels, size_t count, size_t first, size_t step)
{
    uint64_t sum = 0, values = 0;
    for (size_t i = first; i < count; i += step, values++)
        sum += pixels[i];
    for (size_t i = first; i < count; i += step)
        pixels[i] = pixels[i] * values >= sum ? 255 : 0;
}

/* Sums of differences from one value: exactly 0 where all are alike. */
static void threshold_values(uint8_t *pixels, const double *value, size_t count, size_t first,
                             size_t step)
{
    double sum = 0, values = 0;
    for (size_t i = first; i < count; i += step, values++)
        sum += value[i] - value[first];
    double threshold = value[first] + sum / values - equal / 255;
    for (size_t i = first; i < count; i += step)
        pixels[i] = value[i] >= threshold ? 255 : 0;
}

static vt_status threshold_blurred(uint8_t *pixels, int height, int width, size_t step, double blur)
{
    vt_field field;
    vt_image image = {.height = height, .width = width, .pixels = pixels};
    VT_TRY(vt_field_from_image(&field, &image));
    vt_status status = vt_field_gaussian(&field, blur, 4, VT_BORDER_REFLECT);
    for (size_t first = 0; first < step && status == VT_OK; first++)
        threshold_values(pixels, field.value, vt_field_count(&field), first, step);
    free(field.value);
    return status;
}

vt_status vt_gaudy(uint8_t *pixels, int height, int width, const vt_gaudy_options *options)
{
    if (!pixels || height < 1 || width < 1 || height > VT_IMAGE_MAX_PIXELS / width)
        return vt_error(VT_EINVAL, "an image of %d x %d pixels cannot be made gaudy", width,
                        height);
    if (!(options->blur >= 0 && options->blur <= VT_GAUDY_MAX_BLUR))
        return vt_error(VT_EINVAL, "gaudy images after a blur of %g pixels: 0 to %d is possible",
                        options->blur, VT_GAUDY_MAX_BLUR);
    size_t step = options->kind == VT_GAUDY_CHANNEL ? 3 : 1;
    size_t count = (size_t)height * (size_t)width * 3;
    if (options->kind == VT_GAUDY_NONE) return VT_OK;
    if (options->blur > 0) return threshold_blurred(pixels, height, width, step, options->blur);
    for (size_t first = 0; first < step; first++)
        threshold_bytes(pixels, count, first, step);
    return VT_OK;
}
