/* PNG through libpng.
 *
 * libpng reports errors by a call that must not return: ours keeps the message and jumps back to
 * the guarded function. What has to survive the jump lives in a struct of the caller, not in
 * locals of the guarded function, which the jump leaves undefined. */
#include "io/png.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/image.h"

/* Deflate expands at most 1032-fold: a file that promises more pixels is refused before memory is
 * taken for them. */
enum { MAX_EXPANSION = 1032 };

struct codec {
    jmp_buf jump;
    png_structp png;
    png_infop info;
    char message[256]; /* libpng's, when it failed */
    const char *label;
    vt_status status;
    vt_image image;
    const uint8_t *input;
    size_t input_size, position;
    uint8_t *output;
    size_t output_size, output_capacity;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct codec *codec = png_get_error_ptr(png);
    strncpy(codec->message, message, sizeof codec->message - 1);
    longjmp(codec->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep to, size_t size)
{
    struct codec *codec = png_get_io_ptr(png);
    if (size > codec->input_size - codec->position) png_error(png, "the data end early");
    memcpy(to, codec->input + codec->position, size);
    codec->position += size;
}

/* Shape, size limits and memory; the only step with errors of its own. */
static vt_status prepare_decoding(struct codec *codec)
{
    int64_t height = png_get_image_height(codec->png, codec->info);
    int64_t width = png_get_image_width(codec->png, codec->info);
    uint64_t bytes = (uint64_t)png_get_rowbytes(codec->png, codec->info) * (uint64_t)height;
    if (bytes / MAX_EXPANSION > codec->input_size)
        return vt_error(VT_EFORMAT, "%s: truncated PNG: %lld x %lld pixels in %zu bytes",
                        codec->label, (long long)width, (long long)height, codec->input_size);
    return vt_image_new(&codec->image, height, width, codec->label);
}

/* True when decoded; false with codec->status or codec->message set. */
static bool decode_guarded(struct codec *codec)
{
    png_structp png = codec->png;
    png_infop info = codec->info;
    if (setjmp(codec->jump)) return false;
    png_set_read_fn(png, codec, on_read);
    /* Colour profiles, texts and the like are skipped unread; tRNS is not among them. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_user_limits(png, VT_IMAGE_MAX_PIXELS, VT_IMAGE_MAX_PIXELS);
    png_read_info(png, info);
    codec->status = prepare_decoding(codec);
    if (codec->status != VT_OK) return false;
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_scale_16(png);
    png_set_gray_to_rgb(png);
    png_set_strip_alpha(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    size_t row_bytes = (size_t)codec->image.width * 3;
    if (png_get_rowbytes(png, info) != row_bytes) png_error(png, "unknown pixel format");
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < codec->image.height; y++)
            png_read_row(png, codec->image.pixels + (size_t)y * row_bytes, NULL);
    png_read_end(png, NULL);
    return true;
}

vt_status vt_png_decode(vt_image *out, const void *data, size_t size, const char *label)
{
    struct codec codec = {.label = label, .input = data, .input_size = size};
    codec.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &codec, on_error, on_warning);
    codec.info = codec.png ? png_create_info_struct(codec.png) : NULL;
    if (!codec.info)
        codec.status = vt_error(VT_ENOMEM, "%s: no memory for a PNG decoder", label);
    else if (decode_guarded(&codec))
        *out = codec.image;
    else if (codec.status == VT_OK)
        codec.status = vt_error(VT_EFORMAT, "%s: corrupt PNG: %s", label, codec.message);
    if (codec.status != VT_OK) free(codec.image.pixels);
    png_destroy_read_struct(&codec.png, &codec.info, NULL);
    return codec.status;
}

static void on_write(png_structp png, png_bytep from, size_t size)
{
    struct codec *codec = png_get_io_ptr(png);
    size_t needed = codec->output_size + size;
    if (needed > codec->output_capacity) {
        size_t capacity = needed + needed / 2;
        uint8_t *grown = vt_grow(codec->output, codec->output_size, capacity, 1);
        if (!grown) {
            codec->status = VT_ENOMEM;
            png_error(png, "out of memory");
        }
        codec->output = grown;
        codec->output_capacity = capacity;
    }
    memcpy(codec->output + codec->output_size, from, size);
    codec->output_size = needed;
}

static void on_flush(png_structp png)
{
    (void)png;
}

static bool encode_guarded(struct codec *codec)
{
    png_structp png = codec->png;
    if (setjmp(codec->jump)) return false;
    png_set_write_fn(png, codec, on_write, on_flush);
    png_set_user_limits(png, VT_IMAGE_MAX_PIXELS, VT_IMAGE_MAX_PIXELS);
    png_set_IHDR(png, codec->info, (png_uint_32)codec->image.width,
                 (png_uint_32)codec->image.height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, codec->info);
    for (int y = 0; y < codec->image.height; y++)
        png_write_row(png, codec->image.pixels + (size_t)y * (size_t)codec->image.width * 3);
    png_write_end(png, NULL);
    return true;
}

vt_status vt_png_encode(void **out, size_t *out_size, const vt_image *image)
{
    VT_TRY(vt_image_check(image));
    struct codec codec = {.image = *image};
    codec.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &codec, on_error, on_warning);
    codec.info = codec.png ? png_create_info_struct(codec.png) : NULL;
    if (!codec.info) {
        codec.status = vt_error(VT_ENOMEM, "no memory for a PNG encoder");
    } else if (encode_guarded(&codec)) {
        *out = codec.output;
        *out_size = codec.output_size;
    } else if (codec.status == VT_OK) {
        codec.status = vt_error(VT_EINVAL, "an image of %d x %d pixels could not be stored: %s",
                                image->width, image->height, codec.message);
    }
    if (codec.status != VT_OK) free(codec.output);
    png_destroy_write_struct(&codec.png, &codec.info);
    return codec.status;
}
