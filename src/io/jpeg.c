/* JPEG through libjpeg-turbo's TurboJPEG interface.
 *
 * Decoding keeps libjpeg's defaults, the accurate integer DCT and smooth ("fancy") chroma
 * upsampling, so that pixels equal those of Pillow and OpenCV bit for bit: responses predicted
 * from them are compared with published ones. Every warning of libjpeg (data that ends early,
 * corrupt codes) is an error: it would otherwise fill the rest of the image with grey. */
#include "io/jpeg.h"

#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "base/arena.h"
#include "io/image.h"

/* In Huffman-coded data each 8 x 8 block takes at least one bit, so a byte describes at most 512
 * pixels: a file that promises more is refused before memory is taken for it. */
enum { MAX_PIXELS_PER_BYTE = 512 };

static vt_status turbojpeg_error(tjhandle handle, const char *label)
{
    const char *reason = tjGetErrorStr2(handle);
    vt_status code = strstr(reason, "emory") ? VT_ENOMEM : VT_EFORMAT;
    return vt_error(code, "%s: corrupt or unsupported JPEG: %s", label, reason);
}

/* a * b / 255, rounded, for a and b of 0 to 255. */
static inline int product_of_255ths(int a, int b)
{
    int product = a * b + 128;
    return (product + (product >> 8)) >> 8;
}

/* CMYK in JPEGs is stored inverted (0 is full ink), as Adobe's programs write it; the conversion
 * without profiles, R = (1 - C)(1 - K), has the rounding of Pillow's. */
static void rgb_from_inverted_cmyk(uint8_t *rgb, const uint8_t *cmyk, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        int k = cmyk[4 * i + 3];
        for (int c = 0; c < 3; c++)
            rgb[3 * i + (size_t)c] =
                (uint8_t)(k - product_of_255ths(255 - cmyk[4 * i + (size_t)c], k));
    }
}

static vt_status decode_pixels(const vt_image *image, int colorspace, tjhandle handle,
                               const void *data, size_t size, const char *label)
{
    bool cmyk = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
    size_t pixels = (size_t)image->height * (size_t)image->width;
    uint8_t *inks = NULL;
    if (cmyk && !(inks = vt_alloc(pixels, 4))) return vt_error_context(VT_ENOMEM, "%s", label);
    vt_status status = VT_OK;
    if (tjDecompress2(handle, data, (unsigned long)size, cmyk ? inks : image->pixels, image->width,
                      0, image->height, cmyk ? TJPF_CMYK : TJPF_RGB,
                      TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS) != 0)
        status = turbojpeg_error(handle, label);
    else if (cmyk)
        rgb_from_inverted_cmyk(image->pixels, inks, pixels);
    free(inks);
    return status;
}

vt_status vt_jpeg_decode(vt_image *out, const void *data, size_t size, const char *label)
{
    int width = 0, height = 0, subsampling, colorspace;
    vt_image image = {0};
    vt_status status;
    tjhandle handle = tjInitDecompress();
    if (!handle) return vt_error(VT_ENOMEM, "%s: no memory for a JPEG decoder", label);
    if (tjDecompressHeader3(handle, data, (unsigned long)size, &width, &height, &subsampling,
                            &colorspace) != 0) {
        status = turbojpeg_error(handle, label);
        goto done;
    }
    if ((int64_t)width * height / MAX_PIXELS_PER_BYTE > (int64_t)size) {
        status = vt_error(VT_EFORMAT, "%s: truncated JPEG: %d x %d pixels in %zu bytes", label,
                          width, height, size);
        goto done;
    }
    VT_TRY_GOTO(vt_image_new(&image, height, width, label), done);
    VT_TRY_GOTO(decode_pixels(&image, colorspace, handle, data, size, label), done);
    *out = image;
    image.pixels = NULL;
done:
    free(image.pixels);
    tjDestroy(handle);
    return status;
}

static vt_status encode(void **out, size_t *out_size, const vt_image *image, int quality,
                        int subsampling)
{
    VT_TRY(vt_image_check(image));
    if (quality < 1 || quality > 100)
        return vt_error(VT_EINVAL, "JPEG quality %d is not between 1 and 100", quality);
    tjhandle handle = tjInitCompress();
    if (!handle) return vt_error(VT_ENOMEM, "no memory for a JPEG encoder");
    unsigned char *data = NULL;
    unsigned long size = 0;
    vt_status status = VT_OK;
    if (tjCompress2(handle, image->pixels, image->width, 0, image->height, TJPF_RGB, &data, &size,
                    subsampling, quality, TJFLAG_ACCURATEDCT) != 0) {
        status = vt_error(VT_EINVAL, "an image of %d x %d pixels could not be stored as JPEG: %s",
                          image->width, image->height, tjGetErrorStr2(handle));
        goto done;
    }
    void *copy = vt_alloc(size, 1); /* TurboJPEG's own memory may not be given to free() */
    if (!copy) {
        status = VT_ENOMEM;
        goto done;
    }
    memcpy(copy, data, size);
    *out = copy;
    *out_size = size;
done:
    tjFree(data);
    tjDestroy(handle);
    return status;
}

vt_status vt_jpeg_encode(void **out, size_t *out_size, const vt_image *image, int quality)
{
    return encode(out, out_size, image, quality, TJSAMP_444);
}

vt_status vt_jpeg_encode_420(void **out, size_t *out_size, const vt_image *image, int quality)
{
    return encode(out, out_size, image, quality, TJSAMP_420);
}
