/* Convolution by rings, compiled for avx2. */
#define PIXELS 6
#if defined(__x86_64__)
#include "backend/ring_conv_loops.h"

const vt_ring_isa vt_ring_avx2 = {sums, forward, weights};
#endif
