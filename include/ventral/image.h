/* Images (8-bit RGB) and ordered sets of images read one at a time. */
#ifndef VENTRAL_IMAGE_H
#define VENTRAL_IMAGE_H

#include "ventral/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VT_IMAGE_MAX_PIXELS 100000000 /* larger images are refused */

/* RGB, interleaved, rows from the top; `pixels` holds height x width x 3 bytes. */
typedef struct vt_image {
    int height, width;
    uint8_t *pixels;
} vt_image;

/* Decodes a JPEG or PNG, told apart by its content; `label` names it in errors. JPEGs give what
 * libjpeg gives by default (accurate integer DCT, smooth chroma upsampling), CMYK is converted.
 * Grey becomes RGB, palettes are applied, alpha is dropped, 16 bits are rounded to 8; colour
 * profiles, gamma and EXIF orientation are ignored. Whatever libjpeg or libpng finds corrupt, a
 * missing end included, is VT_EFORMAT. Free with vt_image_free. */
vt_status vt_image_decode(vt_image *out, const void *data, size_t size, const char *label);
vt_status vt_image_read(vt_image *out, const char *path);
void vt_image_free(vt_image *image);

/* `quality` is 1 to 100; chroma is kept at full resolution (4:4:4). Free `*out` with free(). */
vt_status vt_jpeg_encode(void **out, size_t *out_size, const vt_image *image, int quality);
vt_status vt_png_encode(void **out, size_t *out_size, const vt_image *image);

/* Triangle-filter resampling whose filter widens with the reduction (antialiasing): what Pillow's
 * Image.resize((width, height), BILINEAR) gives, bit for bit up to Pillow 12 and within one grey
 * level in Pillow 13. `out` may not be `image`. */
vt_status vt_image_resize(vt_image *out, const vt_image *image, int height, int width);

/* An ordered set of images; memory does not grow with their size, only with their names. */
typedef struct vt_image_source vt_image_source;

/* `path` is a zip of images, a folder of images (not recursive) or a .npy of uint8 (images, height,
 * width, 3) in C order. Images are the files ending in .jpg, .jpeg or .png (any case); dot files
 * and __MACOSX/ are skipped. They are ordered by name, numbers in names by value: image2 comes
 * before image10, image0002 before image0010. */
vt_status vt_image_source_open(vt_image_source **out, const char *path);
void vt_image_source_close(vt_image_source *source);
int64_t vt_image_source_count(const vt_image_source *source);
/* File name without its folders; borrowed; NULL when out of range. Images of a .npy are named by
 * their index. */
const char *vt_image_source_name(const vt_image_source *source, int64_t index);
/* Decodes one image. Safe from several threads at once. Errors name the set and the image. */
vt_status vt_image_source_read(vt_image_source *source, int64_t index, vt_image *out);

/* Reads images first .. first + count - 1, resized to height x width where they differ, as uint8
 * (count, height, width, 3) into `out`; decodes on vt_threads() threads. On failure the error is
 * that of the first image that failed, and the content of `out` is undefined. */
vt_status vt_image_source_read_batch(vt_image_source *source, int64_t first, int64_t count,
                                     int height, int width, uint8_t *out);
/* The same for the images listed, in that order; an index may appear more than once. */
vt_status vt_image_source_read_list(vt_image_source *source, const int64_t *indices, int64_t count,
                                    int height, int width, uint8_t *out);

#ifdef __cplusplus
}
#endif
#endif
