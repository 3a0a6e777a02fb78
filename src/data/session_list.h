/* Which sessions a folder holds. */
#ifndef VT_DATA_SESSION_LIST_H
#define VT_DATA_SESSION_LIST_H

#include "ventral/session.h"

/* The folder of the published layout: `root` or its data_V4_responses; NULL when neither is one.
 * Free *out with free(). */
vt_status vt_session_published_root(char **out, const char *root);

/* The id of a `root` that is itself a plain session (holds responses.npy): the folder's name. Empty
 * when it is none. */
vt_status vt_session_own_id(char out[64], const char *root);

#endif
