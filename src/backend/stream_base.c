/* Streamed convolution, compiled for any processor. */
#define LANES 4
#define ACCUMULATORS 12
#include "backend/stream_gradient_loops.h"

const vt_stream_isa vt_stream_isa_base = {"base",           LANES, BLOCK, full, depthwise, gather,
                                          gather_depthwise, pass};
