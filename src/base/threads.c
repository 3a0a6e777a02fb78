/* The thread count of the library's parallel loops, and progress reports. */
#include "ventral/progress.h"

#include <omp.h>
#include <stdatomic.h>

static _Atomic int wanted = 0;

int vt_threads(void)
{
    int count = atomic_load(&wanted);
    return count > 0 ? count : omp_get_num_procs();
}

void vt_threads_set(int count)
{
    atomic_store(&wanted, count > 0 ? count : 0);
    omp_set_num_threads(vt_threads());
}

vt_status vt_progress_report(const vt_progress *progress, int64_t done, int64_t total,
                             const char *line)
{
    if (!progress || !progress->report) return VT_OK;
    if (progress->report(progress->context, done, total, line)) return VT_OK;
    return vt_error(VT_EINTERRUPTED, "interrupted");
}
