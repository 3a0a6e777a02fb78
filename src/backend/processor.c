/* What the arithmetic runs on. */
#include <oneapi/dnnl/dnnl.h>

#include "backend/stream_isa.h"
#include "ventral/graph.h"

const vt_stream_isa *vt_stream_isa_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return &vt_stream_isa_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &vt_stream_isa_avx2;
#endif
    return &vt_stream_isa_base;
}

const char *vt_backend_instructions(void)
{
    return vt_stream_isa_best()->name;
}

void vt_backend_onednn_version(int *major, int *minor, int *patch)
{
    const dnnl_version_t *version = dnnl_version();
    *major = version->major;
    *minor = version->minor;
    *patch = version->patch;
}
