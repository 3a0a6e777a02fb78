/* Convolution by rings, compiled for avx512. */
#define PIXELS 8
#if defined(__x86_64__)
#include "backend/ring_conv_loops.h"

const vt_ring_isa vt_ring_avx512 = {sums, forward, weights};
#endif
