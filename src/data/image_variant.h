/* Varied versions of images. */
#ifndef VT_DATA_IMAGE_VARIANT_H
#define VT_DATA_IMAGE_VARIANT_H

#include "ventral/image.h"
#include "ventral/rng.h"

/* Draws one varied version, (height, width, 3) bytes: see image_variant.c. */
vt_status vt_image_vary(uint8_t *out, const vt_image *image, int height, int width, vt_rng *rng);

#endif
