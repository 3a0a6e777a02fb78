/* JPEG through libjpeg-turbo. */
#ifndef VT_IO_JPEG_H
#define VT_IO_JPEG_H

#include "ventral/image.h"

vt_status vt_jpeg_decode(vt_image *out, const void *data, size_t size, const char *label);

#endif
