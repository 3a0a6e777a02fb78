/* Depthwise convolution in float with vectors; see depthwise.c. */
#ifndef VT_BACKEND_DEPTHWISE_H
#define VT_BACKEND_DEPTHWISE_H

#include "backend/backend.h"

/* VT_EUNSUPPORTED unless every channel has one filter of its own, and for kernels so large that
 * other ways are better. */
vt_status vt_depthwise_prepare(vt_kernel *out, const vt_kernel_request *request);

#endif
