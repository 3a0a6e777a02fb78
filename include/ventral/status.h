/* Status codes and the error message of the calling thread.
 *
 * Every function that can fail returns a vt_status: VT_OK (0) or a negative code. The message says
 * which file, tensor or argument failed and why; it is kept per thread and lives until that
 * thread's next failure. The library never prints, exits or aborts. */
#ifndef VENTRAL_STATUS_H
#define VENTRAL_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_status {
    VT_OK = 0,
    VT_EINVAL = -1,       /* an argument is out of its range */
    VT_ENOMEM = -2,       /* memory could not be allocated */
    VT_EIO = -3,          /* the system refused to read or write */
    VT_EFORMAT = -4,      /* a file is not what it should be: truncated, corrupt, another format */
    VT_ENOTFOUND = -5,    /* a file, tensor, node or name does not exist */
    VT_ESHAPE = -6,       /* sizes or dtypes do not fit together */
    VT_EUNSUPPORTED = -7, /* valid, but this build or backend cannot do it */
    VT_ENUMERIC = -8,     /* NaN, infinity, or a matrix that cannot be solved */
    VT_EINTERRUPTED = -9, /* stopped on request; what was saved can be resumed */
} vt_status;

/* Message of the last failure on this thread; "" when there was none. Borrowed. */
const char *vt_error_message(void);

/* Records a message (printf format) and returns `code`, so that `return vt_error(VT_EIO, ...)`
 * works. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
vt_status
vt_error(vt_status code, const char *format, ...);

/* Puts "<context>: " before the current message and returns `code` unchanged. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
vt_status
vt_error_context(vt_status code, const char *format, ...);

/* A message on its way from a worker thread to the thread that joins it. */
typedef struct vt_error_state {
    vt_status code;
    char message[1024];
} vt_error_state;

void vt_error_save(vt_error_state *out, vt_status code);
vt_status vt_error_restore(const vt_error_state *state); /* returns state->code */

/* Returns from the calling function when `expression` fails. */
#define VT_TRY(expression)                                                                         \
    do {                                                                                           \
        vt_status vt_try_status_ = (expression);                                                   \
        if (vt_try_status_ != VT_OK) return vt_try_status_;                                        \
    } while (0)

/* Jumps to `label` when `expression` fails, leaving the code in the variable `status`. */
#define VT_TRY_GOTO(expression, label)                                                             \
    do {                                                                                           \
        status = (expression);                                                                     \
        if (status != VT_OK) goto label;                                                           \
    } while (0)

/* Library version, "major.minor.patch". */
const char *vt_version(void);

#ifdef __cplusplus
}
#endif
#endif
