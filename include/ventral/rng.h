/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random
 * numbers: as easy as 1, 2, 3").
 *
 * A generator is a value: its key says what it is for (seed, stream) and its counter where in that
 * stream it is (epoch, sample), so any thread can make the numbers of any sample. */
#ifndef VENTRAL_RNG_H
#define VENTRAL_RNG_H

#include "ventral/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    int used; /* words of block handed out */
} vt_rng;

/* Streams keep uses of one seed apart; a new use takes a new number. */
typedef enum vt_rng_stream {
    VT_RNG_INIT = 1,
    VT_RNG_SHUFFLE,
    VT_RNG_DROPOUT,
    VT_RNG_AUGMENT,
    VT_RNG_SPLIT,
    VT_RNG_BOOTSTRAP,
    VT_RNG_IMAGE,
    VT_RNG_NEURON,
    VT_RNG_SPIKES,
    VT_RNG_CORRUPTION,
    VT_RNG_ATTACK,
    VT_RNG_VARIANT,
    VT_RNG_SELECT,
    VT_RNG_STRATIFY,
    VT_RNG_TEXTURE,
} vt_rng_stream;

void vt_rng_init(vt_rng *out, uint64_t seed, uint32_t stream, uint32_t epoch, uint32_t sample);

uint32_t vt_rng_u32(vt_rng *rng);
double vt_rng_uniform(vt_rng *rng);                 /* [0, 1), 53 bits */
double vt_rng_normal(vt_rng *rng);                  /* mean 0, s.d. 1 (Box-Muller) */
uint32_t vt_rng_below(vt_rng *rng, uint32_t bound); /* 0 .. bound - 1, unbiased; 0 for bound 0 */
int64_t vt_rng_poisson(vt_rng *rng, double mean);   /* Poisson count; 0 for mean <= 0 */
void vt_rng_shuffle(vt_rng *rng, int64_t *items, int64_t count); /* Fisher-Yates */

#ifdef __cplusplus
}
#endif
#endif
