/* Rounding to bfloat16, a whole tensor at a time. */
#include "backend/bfloat16.h"

#include "backend/vectorized.h"
#include "base/half.h"

enum { CHUNK = 1 << 14 };

VECTORIZED static void round_chunk(uint16_t *restrict to, const float *restrict from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = vt_bfloat16_from_float(from[i]);
}

void vt_bfloat16_round(uint16_t *to, const float *from, int64_t n, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (n > 2 * CHUNK)
    for (int64_t first = 0; first < n; first += CHUNK)
        round_chunk(to + first, from + first, n - first < CHUNK ? n - first : CHUNK);
}
