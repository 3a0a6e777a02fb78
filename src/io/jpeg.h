/* JPEG through libjpeg-turbo. */
#ifndef VT_IO_JPEG_H
#define VT_IO_JPEG_H

#include "ventral/image.h"

vt_status vt_jpeg_decode(vt_image *out, const void *data, size_t size, const char *label);

/* vt_jpeg_encode with chroma at half resolution (4:2:0): what Pillow's save() writes by default,
 * apart from the tables of the Huffman code. */
vt_status vt_jpeg_encode_420(void **out, size_t *out_size, const vt_image *image, int quality);

#endif
