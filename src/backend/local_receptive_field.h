/* Local receptive fields in float by matrix products; see local_receptive_field.c. */
#ifndef VT_BACKEND_LOCAL_RECEPTIVE_FIELD_H
#define VT_BACKEND_LOCAL_RECEPTIVE_FIELD_H

#include "backend/backend.h"

vt_status vt_local_receptive_field_prepare(vt_kernel *out, const vt_kernel_request *request);

#endif
