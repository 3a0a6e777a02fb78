/* How long-running library calls report: the caller passes a function, the library calls it. */
#ifndef VENTRAL_PROGRESS_H
#define VENTRAL_PROGRESS_H

#include "ventral/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_progress {
    /* Called with work done and in total (total < 0: unknown) and a short line about the state,
     * which may be NULL. Returning false asks the call to stop: it saves what it can and returns
     * VT_EINTERRUPTED. NULL: nothing is reported. */
    bool (*report)(void *context, int64_t done, int64_t total, const char *line);
    void *context;
} vt_progress;

/* Reports through `progress`, which may be NULL; VT_EINTERRUPTED when the caller wants to stop. */
vt_status vt_progress_report(const vt_progress *progress, int64_t done, int64_t total,
                             const char *line);

/* Threads used by the library's parallel loops; at least 1. `set` with 0 restores the default: the
 * processors this process may run on. */
int vt_threads(void);
void vt_threads_set(int count);

#ifdef __cplusplus
}
#endif
#endif
