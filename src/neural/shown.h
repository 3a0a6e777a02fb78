/* A batch of images as models of different sizes and preprocessing are shown it. */
#ifndef VT_NEURAL_SHOWN_H
#define VT_NEURAL_SHOWN_H

#include "neural/image_records.h"

typedef struct vt_shown {
    int64_t batch;    /* images with room for, those behind the last being black */
    uint8_t *resized; /* (batch, height, width, 3) of the largest size */
    float *pixels;
    int height, width; /* of what is in `pixels`; 0: nothing yet */
    vt_preprocessing preprocessing;
} vt_shown;

/* Room for images of as many pixels. */
vt_status vt_shown_init(vt_shown *out, int64_t batch, size_t pixels);
void vt_shown_destroy(vt_shown *shown);

/* The batch, resized and preprocessed; what the last call made is used again where it is the same.
 * A new batch begins with `first`. *out is lent until the next call. */
vt_status vt_shown_make(vt_shown *shown, const vt_image_batch *batch, bool first, int height,
                        int width, const vt_preprocessing *preprocessing, const float **out);

#endif
