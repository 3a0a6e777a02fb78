/* The table of corruptions, and the arrays of numbers they work on. */
#include "data/corruption.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/image.h"

static const struct {
    const char *name;
    vt_corrupt_function *apply;
} corruptions[VT_CORRUPTIONS] = {
    [VT_CORRUPTION_GAUSSIAN_NOISE] = {"gaussian_noise", vt_corrupt_gaussian_noise},
    [VT_CORRUPTION_SHOT_NOISE] = {"shot_noise", vt_corrupt_shot_noise},
    [VT_CORRUPTION_IMPULSE_NOISE] = {"impulse_noise", vt_corrupt_impulse_noise},
    [VT_CORRUPTION_DEFOCUS_BLUR] = {"defocus_blur", vt_corrupt_defocus_blur},
    [VT_CORRUPTION_GLASS_BLUR] = {"glass_blur", vt_corrupt_glass_blur},
    [VT_CORRUPTION_MOTION_BLUR] = {"motion_blur", vt_corrupt_motion_blur},
    [VT_CORRUPTION_ZOOM_BLUR] = {"zoom_blur", vt_corrupt_zoom_blur},
    [VT_CORRUPTION_SNOW] = {"snow", vt_corrupt_snow},
    [VT_CORRUPTION_FROST] = {"frost", vt_corrupt_frost},
    [VT_CORRUPTION_FOG] = {"fog", vt_corrupt_fog},
    [VT_CORRUPTION_BRIGHTNESS] = {"brightness", vt_corrupt_brightness},
    [VT_CORRUPTION_CONTRAST] = {"contrast", vt_corrupt_contrast},
    [VT_CORRUPTION_ELASTIC_TRANSFORM] = {"elastic_transform", vt_corrupt_elastic_transform},
    [VT_CORRUPTION_PIXELATE] = {"pixelate", vt_corrupt_pixelate},
    [VT_CORRUPTION_JPEG_COMPRESSION] = {"jpeg_compression", vt_corrupt_jpeg_compression},
};

static bool is_corruption(vt_corruption kind)
{
    return (int)kind >= 0 && kind < VT_CORRUPTIONS;
}

const char *vt_corruption_name(vt_corruption kind)
{
    return is_corruption(kind) ? corruptions[kind].name : "?";
}

vt_status vt_corruption_find(vt_corruption *out, const char *name)
{
    char known[512] = "";
    for (int i = 0; i < VT_CORRUPTIONS; i++) {
        if (strcmp(name, corruptions[i].name) == 0) {
            *out = (vt_corruption)i;
            return VT_OK;
        }
        strcat(strcat(known, i ? ", " : ""), corruptions[i].name);
    }
    return vt_error(VT_ENOTFOUND, "there is no corruption '%.60s': there are %s", name, known);
}

vt_status vt_corrupt(vt_image *out, const vt_image *image, vt_corruption kind, int severity,
                     uint64_t seed, uint32_t index)
{
    VT_TRY(vt_image_check(image));
    if (!is_corruption(kind)) return vt_error(VT_EINVAL, "there is no corruption %d", (int)kind);
    if (severity < 1 || severity > VT_CORRUPTION_SEVERITIES)
        return vt_error(VT_EINVAL, "severity %d is not between 1 and %d", severity,
                        VT_CORRUPTION_SEVERITIES);
    vt_image corrupted;
    VT_TRY(vt_image_new(&corrupted, image->height, image->width, corruptions[kind].name));
    memcpy(corrupted.pixels, image->pixels, (size_t)image->height * (size_t)image->width * 3);
    vt_rng rng;
    uint32_t epoch = (uint32_t)(kind * VT_CORRUPTION_SEVERITIES + severity - 1);
    vt_rng_init(&rng, seed, VT_RNG_CORRUPTION, epoch, index);
    vt_status status = corruptions[kind].apply(&corrupted, severity, &rng);
    if (status == VT_OK)
        *out = corrupted;
    else
        vt_image_free(&corrupted);
    return status;
}

vt_status vt_field_new(vt_field *out, int height, int width, int channels)
{
    vt_field field = {height, width, channels, NULL};
    field.value = vt_alloc((size_t)height * (size_t)width, (size_t)channels * sizeof *field.value);
    if (!field.value) return VT_ENOMEM;
    *out = field;
    return VT_OK;
}

vt_status vt_field_from_image(vt_field *out, const vt_image *image)
{
    VT_TRY(vt_field_new(out, image->height, image->width, 3));
    for (size_t i = 0, count = vt_field_count(out); i < count; i++)
        out->value[i] = image->pixels[i] / 255.0;
    return VT_OK;
}

void vt_field_to_image(vt_image *image, const vt_field *field)
{
    for (size_t i = 0, count = vt_field_count(field); i < count; i++)
        image->pixels[i] = vt_corruption_byte(field->value[i]);
}
