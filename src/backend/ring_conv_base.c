/* Convolution by rings for any processor. */
#define PIXELS 2
#include "backend/ring_conv_loops.h"

const vt_ring_isa vt_ring_base = {sums, forward, weights};
