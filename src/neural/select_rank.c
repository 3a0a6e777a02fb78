/* Ranking by a bounded heap, and selection sampling (Knuth, The Art of Computer Programming 2,
 * algorithm 3.4.2 S): neither needs more memory than what it chooses. */
#include "neural/select_rank.h"

#include <stdlib.h>

#include "base/arena.h"
#include "ventral/rng.h"

static bool is_better(const vt_ranked *a, const vt_ranked *b)
{
    return a->score != b->score ? a->score > b->score : a->index < b->index;
}

vt_status vt_ranking_init(vt_ranking *out, int64_t capacity)
{
    *out =
        (vt_ranking){.items = vt_alloc((size_t)capacity, sizeof *out->items), .capacity = capacity};
    return out->items ? VT_OK : VT_ENOMEM;
}

void vt_ranking_destroy(vt_ranking *ranking)
{
    free(ranking->items);
}

static void swap(vt_ranked *a, vt_ranked *b)
{
    vt_ranked t = *a;
    *a = *b;
    *b = t;
}

static void sift_up(vt_ranked *heap, int64_t i)
{
    for (; i > 0 && is_better(&heap[(i - 1) / 2], &heap[i]); i = (i - 1) / 2)
        swap(&heap[(i - 1) / 2], &heap[i]);
}

static void sift_down(vt_ranked *heap, int64_t count)
{
    for (int64_t i = 0, child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && is_better(&heap[child], &heap[child + 1])) child++;
        if (!is_better(&heap[i], &heap[child])) return;
        swap(&heap[i], &heap[child]);
    }
}

void vt_ranking_offer(vt_ranking *r, double score, int64_t index)
{
    vt_ranked item = {score, index};
    if (r->count < r->capacity) {
        r->items[r->count] = item;
        sift_up(r->items, r->count++);
    } else if (r->capacity > 0 && is_better(&item, &r->items[0])) {
        r->items[0] = item;
        sift_down(r->items, r->count);
    }
}

static int compare(const void *a, const void *b)
{
    return is_better(a, b) ? -1 : 1;
}

void vt_ranking_sort(vt_ranking *r)
{
    if (r->count > 1) qsort(r->items, (size_t)r->count, sizeof *r->items, compare);
}

void vt_draw(int64_t *out, int64_t wanted, int64_t count, const int64_t *taken, int64_t taken_count,
             uint64_t seed)
{
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_SELECT, 0, 0);
    int64_t left = count - taken_count, next = 0;
    for (int64_t i = 0; wanted > 0; i++) {
        if (next < taken_count && taken[next] == i) {
            next++;
            continue;
        }
        if (vt_rng_uniform(&rng) * (double)left-- >= (double)wanted) continue;
        *out++ = i;
        wanted--;
    }
}
