/* PNG through libpng. */
#ifndef VT_IO_PNG_H
#define VT_IO_PNG_H

#include "ventral/image.h"

vt_status vt_png_decode(vt_image *out, const void *data, size_t size, const char *label);

#endif
