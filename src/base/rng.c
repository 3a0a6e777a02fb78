/* Philox4x32-10 and the distributions drawn from it. Constants and rounds: Salmon et al. 2011,
 * section 3.3 and table 2. */
#include "ventral/rng.h"

#include <math.h>
#include <string.h>

static void philox4x32_10(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c[4], k[2];
    memcpy(c, counter, sizeof c);
    memcpy(k, key, sizeof k);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1,
                            (uint32_t)(p0 >> 32) ^ c[3] ^ k[1], (uint32_t)p0};
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9u; /* golden ratio */
        k[1] += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    memcpy(out, c, sizeof c);
}

void vt_rng_init(vt_rng *out, uint64_t seed, uint32_t stream, uint32_t epoch, uint32_t sample)
{
    *out = (vt_rng){
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {0, stream, epoch, sample},
        .used = 4,
    };
}

uint32_t vt_rng_u32(vt_rng *rng)
{
    if (rng->used >= 4) {
        philox4x32_10(rng->block, rng->counter, rng->key);
        rng->counter[0]++;
        rng->used = 0;
    }
    return rng->block[rng->used++];
}

double vt_rng_uniform(vt_rng *rng)
{
    uint64_t high = vt_rng_u32(rng), low = vt_rng_u32(rng);
    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}

double vt_rng_normal(vt_rng *rng)
{
    double radius = sqrt(-2.0 * log(1.0 - vt_rng_uniform(rng)));
    return radius * cos(6.283185307179586 * vt_rng_uniform(rng));
}

uint32_t vt_rng_below(vt_rng *rng, uint32_t bound)
{
    if (bound == 0) return 0;
    uint32_t reject_below = -bound % bound; /* 2^32 mod bound: the biased remainder */
    for (;;) {
        uint64_t product = (uint64_t)vt_rng_u32(rng) * bound;
        if ((uint32_t)product >= reject_below) return (uint32_t)(product >> 32);
    }
}

int64_t vt_rng_poisson(vt_rng *rng, double mean)
{
    if (!(mean > 0)) return 0;
    /* A Poisson count of mean a + b is the sum of counts of means a and b: pieces of at most 16
     * keep exp(-mean) far from underflow. */
    int64_t count = 0;
    for (double left = mean; left > 0; left -= 16) {
        double limit = exp(-fmin(left, 16)), product = vt_rng_uniform(rng);
        while (product > limit) {
            count++;
            product *= vt_rng_uniform(rng);
        }
    }
    return count;
}

void vt_rng_shuffle(vt_rng *rng, int64_t *items, int64_t count)
{
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = vt_rng_below(rng, (uint32_t)(i + 1));
        int64_t swap = items[i];
        items[i] = items[j];
        items[j] = swap;
    }
}
