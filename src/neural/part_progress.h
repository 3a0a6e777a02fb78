/* Progress of work in equal parts, each of which reports its own. */
#ifndef VT_NEURAL_PART_PROGRESS_H
#define VT_NEURAL_PART_PROGRESS_H

#include "ventral/progress.h"

typedef struct vt_part_progress {
    const vt_progress *whole; /* NULL: nobody listens */
    const char *what;
    int part, parts;
    vt_progress progress;
} vt_part_progress;

/* Progress to hand to part `part` of `parts`, which goes on to `whole` with "what 2 of 5" before
 * its lines; `whole` itself when there is one part. */
const vt_progress *vt_part_progress_start(vt_part_progress *p, const vt_progress *whole,
                                          const char *what, int part, int parts);

#endif
