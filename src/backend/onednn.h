/* The layers of the oneDNN backend, one function each; see backend.h for what they promise. */
#ifndef VT_BACKEND_ONEDNN_H
#define VT_BACKEND_ONEDNN_H

#include "backend/backend.h"

vt_status vt_onednn_conv2d(vt_kernel *out, const vt_kernel_request *request);
vt_status vt_onednn_linear(vt_kernel *out, const vt_kernel_request *request);

#endif
