/* The best of many, kept while they pass by; and draws without replacement. */
#ifndef VT_NEURAL_SELECT_RANK_H
#define VT_NEURAL_SELECT_RANK_H

#include "ventral/status.h"

typedef struct vt_ranked {
    double score;
    int64_t index;
} vt_ranked;

/* The `capacity` largest scores; of equal ones those of lower index. A heap whose root goes next.
 */
typedef struct vt_ranking {
    vt_ranked *items;
    int64_t count, capacity;
} vt_ranking;

vt_status vt_ranking_init(vt_ranking *out, int64_t capacity);
void vt_ranking_destroy(vt_ranking *ranking);
void vt_ranking_offer(vt_ranking *ranking, double score, int64_t index);
/* Best first; nothing can be offered any more. */
void vt_ranking_sort(vt_ranking *ranking);

/* Draws `wanted` of 0 .. count - 1 but for the `taken_count` ascending ones in `taken`, every set
 * as likely as any other; ascending. At least `wanted` must be left. Depends on the seed, and on
 * how many are taken and which. */
void vt_draw(int64_t *out, int64_t wanted, int64_t count, const int64_t *taken, int64_t taken_count,
             uint64_t seed);

#endif
