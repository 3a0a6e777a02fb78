/* Streamed convolution, compiled for avx512. */
#define LANES 16
#define ACCUMULATORS 24
#if defined(__x86_64__)
#include "backend/stream_gradient_loops.h"

const vt_stream_isa vt_stream_isa_avx512 = {"avx512",         LANES, BLOCK, full, depthwise, gather,
                                            gather_depthwise, pass};
#endif
