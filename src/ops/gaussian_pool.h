/* One axis of a Gaussian spatial pool: p(k) = e(k) / (floor + sum e),
 * e(k) = exp(-(k - centre - position)^2 / (2 sd^2)). */
#ifndef VT_OPS_GAUSSIAN_POOL_H
#define VT_OPS_GAUSSIAN_POOL_H

#include <math.h>
#include <stdint.h>

/* Keeps a pool that has left the map from dividing by nothing. */
#define VT_POOL_FLOOR 1e-6

/* Writes e(k) and returns floor + sum e. */
static inline double vt_gaussian_bump(double *e, int64_t length, double position, double log_sd)
{
    double sd = exp(log_sd), sum = VT_POOL_FLOOR;
    for (int64_t k = 0; k < length; k++) {
        double d = ((double)k - 0.5 * (double)(length - 1) - position) / sd;
        e[k] = exp(-0.5 * d * d);
        sum += e[k];
    }
    return sum;
}

static inline void vt_gaussian_pool(double *pool, int64_t length, double position, double log_sd)
{
    double sum = vt_gaussian_bump(pool, length, position, log_sd);
    for (int64_t k = 0; k < length; k++)
        pool[k] /= sum;
}

#endif
