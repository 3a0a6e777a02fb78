/* Progress of work in equal parts. */
#include "neural/part_progress.h"

#include <stdio.h>

static bool report(void *context, int64_t done, int64_t total, const char *line)
{
    const vt_part_progress *p = context;
    char text[200];
    snprintf(text, sizeof text, "%s %d of %d%s%s", p->what, p->part + 1, p->parts, line ? ", " : "",
             line ? line : "");
    if (total < 0) return p->whole->report(p->whole->context, done, total, text);
    return p->whole->report(p->whole->context, p->part * total + done, p->parts * total, text);
}

const vt_progress *vt_part_progress_start(vt_part_progress *p, const vt_progress *whole,
                                          const char *what, int part, int parts)
{
    *p = (vt_part_progress){whole, what, part, parts, {report, p}};
    return whole && whole->report && parts > 1 ? &p->progress : whole;
}
