/* One body for two precisions. A file of this room writes its kernels once, for REAL, in a part of
 * itself that it includes twice (relu.c is the shortest example); FN(name) there is name_float or
 * name_double, and VT_BOTH(name) outside makes the function that chooses by the node's dtype.
 *
 * Parallel loops cut their work into pieces that do not depend on the number of threads, each
 * written by one thread, so that results do not depend on it either. */
#ifndef VT_OPS_REAL_H
#define VT_OPS_REAL_H

#include "ops/op.h"
#include "ventral/progress.h"

#define VT_JOIN_(a, b) a##_##b
#define VT_JOIN(a, b) VT_JOIN_(a, b)
#define FN(name) VT_JOIN(name, REAL)

#define VT_BOTH(name)                                                                              \
    static void name(const vt_op_args *args)                                                       \
    {                                                                                              \
        if (args->out.dtype == VT_F64)                                                             \
            name##_double(args);                                                                   \
        else                                                                                       \
            name##_float(args);                                                                    \
    }

/* Fewer operations than this are done by one thread: starting others would take longer. */
#define VT_PARALLEL_WORK 32768

/* Rows of a matrix worked on at once (vectors.h): what is loaded for one serves all of them. */
enum { TOGETHER = 4 };

static inline int64_t vt_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
