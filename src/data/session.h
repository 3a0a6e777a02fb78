/* What reading and writing sessions share: paths, ids, checks of responses. */
#ifndef VT_DATA_SESSION_H
#define VT_DATA_SESSION_H

#include "ventral/session.h"

/* A path made by a printf format; NULL when memory is short. Free with free(). */
__attribute__((format(printf, 1, 2))) char *vt_path_format(const char *format, ...);

/* An id is part of file names: not empty, below 64 bytes, no '/', no leading dot. */
vt_status vt_session_check_id(const char *id);

/* Allocates a contiguous float64 copy of responses with `ndim` dimensions, none of them empty.
 * VT_ENUMERIC for infinities and, with two dimensions, NaN. `label` names them in errors. */
vt_status vt_responses_convert(vt_tensor *out, const vt_tensor *responses, int ndim,
                               const char *label);

#endif
