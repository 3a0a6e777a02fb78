/* Training of a network's first layers as one kernel: convolution of the images, batch
 * normalization, ReLU, depthwise convolution; see stem.c. */
#ifndef VT_BACKEND_STEM_H
#define VT_BACKEND_STEM_H

#include "backend/backend.h"
#include "ops/conv_geometry.h"

/* Parameters of the step, in this order; gradients of all but the running statistics. */
enum {
    VT_STEM_KERNEL,
    VT_STEM_BIAS, /* absent or there */
    VT_STEM_GAMMA,
    VT_STEM_BETA,
    VT_STEM_MOVING_MEAN,
    VT_STEM_MOVING_VARIANCE,
    VT_STEM_DEPTH_KERNEL,
    VT_STEM_DEPTH_BIAS, /* absent or there */
    VT_STEM_PARAMS,
};

typedef struct vt_stem_layers {
    vt_window conv[2], depth[2]; /* height, width; conv without groups, depth(wise) on its output */
    int64_t batch;
    int channels, filters;
    const vt_batch_norm_options *norm;      /* borrowed, as the depthwise layer's parameters */
    const float *depth_kernel, *depth_bias; /* bias: NULL where there is none */
} vt_stem_layers;

/* Forward and backward; no gradient of the images. VT_EUNSUPPORTED for windows too large. */
vt_status vt_stem_prepare(vt_kernel *out, const vt_stem_layers *layers);

#endif
