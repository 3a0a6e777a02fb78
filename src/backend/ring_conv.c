/* Rings of positions, and the choice of an instruction set. */
#include "backend/ring_conv.h"

#include <stdlib.h>

void vt_rings_init(vt_rings *rings, int radius)
{
    int side = 2 * radius + 1, distances[VT_RING_MAX];
    *rings = (vt_rings){.radius = radius};
    for (int squared = 0; squared <= 2 * radius * radius; squared++)
        for (int p = 0; p < side * side; p++) {
            int u = p / side - radius, v = p % side - radius, n = rings->count;
            if (u * u + v * v != squared) continue;
            if (n == 0 || distances[n - 1] != squared) {
                distances[n] = squared;
                rings->count = ++n;
            }
            rings->ring[p] = n - 1;
            rings->size[n - 1]++;
        }
}

const vt_ring_isa *vt_ring_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return &vt_ring_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &vt_ring_avx2;
#endif
    return &vt_ring_base;
}
