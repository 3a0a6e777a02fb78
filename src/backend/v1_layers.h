/* Layers of V1 that are a convolution with a kernel made from few parameters, float32: oneDNN
 * convolves, own loops do the rest. See backend.h for what the functions promise. */
#ifndef VT_BACKEND_V1_LAYERS_H
#define VT_BACKEND_V1_LAYERS_H

#include "backend/backend.h"

vt_status vt_center_surround_prepare(vt_kernel *out, const vt_kernel_request *request);
vt_status vt_divisive_normalization_prepare(vt_kernel *out, const vt_kernel_request *request);
vt_status vt_tuned_normalization_prepare(vt_kernel *out, const vt_kernel_request *request);

#endif
