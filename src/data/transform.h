/* Checking a transformation before threads apply it. */
#ifndef VT_DATA_TRANSFORM_H
#define VT_DATA_TRANSFORM_H

#include "ventral/dataset.h"

/* VT_EINVAL for values out of range and where the size of the result depends on the image. */
vt_status vt_transform_check(const vt_transform *transform);

#endif
