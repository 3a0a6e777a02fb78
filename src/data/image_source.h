/* Where an image lies within its source. */
#ifndef VT_DATA_IMAGE_SOURCE_H
#define VT_DATA_IMAGE_SOURCE_H

#include "ventral/image.h"

/* Path inside the zip or folder, which is the image's own, as its file name need not be; the index
 * as text for a .npy. Borrowed; NULL when out of range. */
const char *vt_image_source_entry(const vt_image_source *source, int64_t index);

#endif
