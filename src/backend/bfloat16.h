/* Rounding to bfloat16, the upper half of a float32. */
#ifndef VT_BACKEND_BFLOAT16_H
#define VT_BACKEND_BFLOAT16_H

#include <stdint.h>

/* To the nearest, ties to even; NaN stays NaN. */
void vt_bfloat16_round(uint16_t *to, const float *from, int64_t n, int threads);

#endif
