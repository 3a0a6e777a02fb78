/* Batch normalization in float with vectors; see batch_norm.c. */
#ifndef VT_BACKEND_BATCH_NORM_H
#define VT_BACKEND_BATCH_NORM_H

#include "backend/backend.h"

vt_status vt_batch_norm_prepare(vt_kernel *out, const vt_kernel_request *request);

#endif
