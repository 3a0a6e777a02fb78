/* Streamed convolution, compiled for avx2. */
#define LANES 8
#define ACCUMULATORS 12
#if defined(__x86_64__)
#include "backend/stream_gradient_loops.h"

const vt_stream_isa vt_stream_isa_avx2 = {"avx2",           LANES, BLOCK, full, depthwise, gather,
                                          gather_depthwise, pass};
#endif
