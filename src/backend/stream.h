/* Convolution chains run row by row. Each layer keeps only the rows its window covers, in cache, so
 * that the activations between layers never travel to memory; one image a thread. Inference only.
 */
#ifndef VT_BACKEND_STREAM_H
#define VT_BACKEND_STREAM_H

#include "backend/backend.h"
#include "backend/stream_isa.h"
#include "ops/conv_geometry.h"

/* y = relu?(kernel * x + bias). Full convolution (groups 1) or depthwise (groups = channels =
 * filters). A linear layer on a flattened map is a full convolution whose window is the map. */
typedef struct vt_stream_layer {
    bool depthwise, relu;
    int channels, filters;
    vt_window window[2];
    const float *kernel; /* (filters, height, width, channels or 1): read by refresh */
    const float *bias;   /* (filters) or NULL */
} vt_stream_layer;

/* VT_EUNSUPPORTED when a layer has another form. Layers are copied; kernels and biases borrowed. */
vt_status vt_stream_prepare(vt_kernel *out, const vt_stream_layer *layers, int count);

/* A full convolution's kernel (filters, inputs) as vt_stream_isa.full wants it: `inputs` times the
 * filters rounded up to whole vectors, in blocks of up to isa->block vectors, each
 * [row][column][channel][filter]. */
void vt_stream_pack(const vt_stream_isa *isa, const float *kernel, int inputs, int filters,
                    float *packed);

#endif
