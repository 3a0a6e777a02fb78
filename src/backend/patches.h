/* The patches of images that a convolution's windows see, and their moments. */
#ifndef VT_BACKEND_PATCHES_H
#define VT_BACKEND_PATCHES_H

#include "backend/stream_isa.h"
#include "ops/conv_geometry.h"

/* Windows without dilation: height, width. */
typedef struct vt_patches {
    vt_window window[2];
    int64_t batch;
    int channels;
} vt_patches;

/* Numbers in a patch, kernel rows outermost; and in one of its rows. */
int vt_patch_size(const vt_patches *p);
int vt_patch_row(const vt_patches *p);

/* An image between its padding, and a few floats behind it that loops may read. */
size_t vt_patches_frame_floats(const vt_patches *p);
size_t vt_patches_frame_row(const vt_patches *p); /* floats */
void vt_patches_frame(const vt_patches *p, const float *images, int64_t image, float *frame);

/* Mean (size) and covariance (size, size) of all patches of all images. The same on any number of
 * threads. */
size_t vt_patches_scratch_bytes(const vt_patches *p, int threads);
void vt_patches_moments(const vt_patches *p, const vt_stream_isa *isa, int threads,
                        const float *images, double *mean, double *covariance, void *scratch);

#endif
