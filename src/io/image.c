/* Decoding an image by its content, and the memory of images. */
#include "io/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/jpeg.h"
#include "io/png.h"
#include "ventral/io.h"

static const uint8_t jpeg_start[] = {0xff, 0xd8, 0xff};
static const uint8_t png_start[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

vt_status vt_image_new(vt_image *out, int64_t height, int64_t width, const char *label)
{
    if (height < 1 || width < 1)
        return vt_error(VT_EFORMAT, "%s: an image of %lld x %lld pixels is empty", label,
                        (long long)width, (long long)height);
    if (height > VT_IMAGE_MAX_PIXELS / width)
        return vt_error(VT_EUNSUPPORTED, "%s: %lld x %lld pixels are more than the %d supported",
                        label, (long long)width, (long long)height, VT_IMAGE_MAX_PIXELS);
    uint8_t *pixels = vt_alloc((size_t)height * (size_t)width, 3);
    if (!pixels) return vt_error_context(VT_ENOMEM, "%s", label);
    *out = (vt_image){.height = (int)height, .width = (int)width, .pixels = pixels};
    return VT_OK;
}

vt_status vt_image_check(const vt_image *image)
{
    if (!image->pixels || image->height < 1 || image->width < 1 ||
        image->height > VT_IMAGE_MAX_PIXELS / image->width)
        return vt_error(VT_EINVAL, "an image of %d x %d pixels cannot be used", image->width,
                        image->height);
    return VT_OK;
}

void vt_image_free(vt_image *image)
{
    if (!image) return;
    free(image->pixels);
    *image = (vt_image){0};
}

static bool starts_with(const void *data, size_t size, const uint8_t *start, size_t length)
{
    return size >= length && memcmp(data, start, length) == 0;
}

vt_status vt_image_decode(vt_image *out, const void *data, size_t size, const char *label)
{
    if (size == 0) return vt_error(VT_EFORMAT, "%s: the image is empty (0 bytes)", label);
    if (starts_with(data, size, jpeg_start, sizeof jpeg_start))
        return vt_jpeg_decode(out, data, size, label);
    if (starts_with(data, size, png_start, sizeof png_start))
        return vt_png_decode(out, data, size, label);
    return vt_error(VT_EFORMAT, "%s: not a JPEG or PNG image", label);
}

vt_status vt_image_read(vt_image *out, const char *path)
{
    void *data;
    size_t size;
    VT_TRY(vt_file_read(&data, &size, path));
    vt_status status = vt_image_decode(out, data, size, path);
    free(data);
    return status;
}
