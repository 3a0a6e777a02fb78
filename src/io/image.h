/* What the image codecs share: the allocation of an image within the size limit. */
#ifndef VT_IO_IMAGE_H
#define VT_IO_IMAGE_H

#include "ventral/image.h"

/* Allocates height x width pixels; VT_EUNSUPPORTED above VT_IMAGE_MAX_PIXELS. */
vt_status vt_image_new(vt_image *out, int64_t height, int64_t width, const char *label);

/* Checks an image that is to be encoded or resized. */
vt_status vt_image_check(const vt_image *image);

/* vt_image_resize with a box filter: means of the pixels that an output pixel covers when reducing,
 * the nearest pixel when enlarging; Pillow's BOX. */
vt_status vt_image_resize_box(vt_image *out, const vt_image *image, int height, int width);

#endif
