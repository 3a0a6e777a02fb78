/* Maximum pooling in float with vectors; see max_pool.c. */
#ifndef VT_BACKEND_MAX_POOL_H
#define VT_BACKEND_MAX_POOL_H

#include "backend/backend.h"

vt_status vt_max_pool_prepare(vt_kernel *out, const vt_kernel_request *request);

#endif
