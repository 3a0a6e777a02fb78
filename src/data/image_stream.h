/* Telling streams apart. */
#ifndef VT_DATA_IMAGE_STREAM_H
#define VT_DATA_IMAGE_STREAM_H

#include "ventral/image_stream.h"

/* A number that no other stream of this process has or had. */
uint32_t vt_image_stream_serial(const vt_image_stream *stream);

#endif
