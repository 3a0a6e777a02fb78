/* Receptive fields: at each of 21 x 21 positions the largest of a unit's eight rectified
 * activations, less that to the blank, rectified. The field's place is the centroid of the
 * positions above 5 % of the largest; its size the diameter of a disc of their area,
 * 2 sqrt(n step^2 / pi). */
#include "physiology/receptive_field.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { BLOCK = 2048, LOCATED = 256, GRATINGS = 8 }; /* units of a block; gratings at a position */
#define THRESHOLD 0.05

vt_status vt_field_maps_new(vt_field_maps *out, int64_t units, size_t bytes)
{
    size_t each = VT_FIELD_POSITIONS * sizeof *out->map;
    int64_t most = (int64_t)(bytes / each);
    *out = (vt_field_maps){.count = most < 1 ? 1 : most < units ? most : units};
    out->map = vt_alloc((size_t)out->count, each);
    return out->map ? VT_OK : VT_ENOMEM;
}

void vt_field_maps_free(vt_field_maps *maps)
{
    free(maps->map);
    *maps = (vt_field_maps){.map = NULL};
}

/* Units of the maps that a node has: from `begin` to before `end`, of all nodes'. */
typedef struct span {
    int64_t begin, end;
} span;

static span span_of(const vt_field_maps *maps, const vt_show_node *node)
{
    int64_t maps_end = maps->first + maps->count, node_end = node->first + node->units;
    span s = {maps->first > node->first ? maps->first : node->first,
              maps_end < node_end ? maps_end : node_end};
    return s;
}

/* Whether all activations of units [begin, end) were finite. */
static bool take_block(const vt_field_maps *maps, const vt_show_node *node, span s, int64_t first,
                       int64_t count, const float *activations)
{
    int bad = 0;
    int64_t units = s.end - s.begin;
    for (int64_t i = 0; i < count; i++) {
        float *restrict largest =
            maps->map + (first + i) / GRATINGS * maps->count + s.begin - maps->first;
        const float *restrict answer = activations + i * node->units + s.begin - node->first;
        for (int64_t u = 0; u < units; u++) {
            bad |= !vt_is_finite_bits(answer[u]);
            largest[u] = answer[u] > largest[u] ? answer[u] : largest[u];
        }
    }
    return !bad;
}

static vt_status receive(void *context, const vt_show *show, int node, int64_t first, int64_t count,
                         const float *activations)
{
    const vt_field_maps *maps = context;
    const vt_show_node *n = &show->nodes[node];
    span s = span_of(maps, n);
    bool bad = false;
#pragma omp parallel for schedule(static) num_threads(vt_threads()) reduction(|| : bad)
    for (int64_t begin = s.begin; begin < s.end; begin += BLOCK) {
        span block = {begin, s.end - begin < BLOCK ? s.end : begin + BLOCK};
        bad = !take_block(maps, n, block, first, count, activations) || bad;
    }
    for (int64_t i = 0; bad && i < count; i++)
        for (int64_t u = s.begin - n->first; u < s.end - n->first; u++)
            if (!vt_is_finite_bits(activations[i * n->units + u]))
                return vt_show_not_finite(show, node, u, activations[i * n->units + u]);
    return VT_OK;
}

vt_status vt_field_maps_record(vt_field_maps *maps, vt_show *show, int64_t first, int64_t count,
                               const float *blank)
{
    int64_t order[VT_FIELD_POSITIONS * GRATINGS];
    maps->first = first;
    maps->count = count;
    memset(maps->map, 0, (size_t)count * VT_FIELD_POSITIONS * sizeof *maps->map);
    /* All gratings at a position one after another, so that its row of the maps stays in cache. */
    for (int i = 0; i < VT_FIELD_POSITIONS * GRATINGS; i++)
        order[i] = i % GRATINGS * VT_FIELD_POSITIONS + i / GRATINGS;
    VT_TRY(vt_show_set(show, VT_GRATINGS_RECEPTIVE_FIELD, order, receive, maps));
#pragma omp parallel for schedule(static) num_threads(vt_threads())
    for (int p = 0; p < VT_FIELD_POSITIONS; p++) {
        float *row = maps->map + p * count;
        for (int64_t u = 0; u < count; u++) {
            float above = row[u] - blank[first + u];
            row[u] = above > 0 ? above : 0;
        }
    }
    return VT_OK;
}

static double degrees(double place)
{
    return (place - VT_FIELD_SIDE / 2) * VT_FIELD_STEP;
}

static void locate_block(const vt_field_maps *maps, int64_t begin, int count, double *position,
                         double *size)
{
    float largest[LOCATED] = {0};
    double sum[LOCATED] = {0}, y[LOCATED] = {0}, x[LOCATED] = {0}, area[LOCATED] = {0};
    const float *row = maps->map + begin;
    for (int p = 0; p < VT_FIELD_POSITIONS; p++, row += maps->count)
        for (int u = 0; u < count; u++)
            largest[u] = row[u] > largest[u] ? row[u] : largest[u];
    row = maps->map + begin;
    for (int p = 0; p < VT_FIELD_POSITIONS; p++, row += maps->count)
        for (int u = 0; u < count; u++) {
            if (row[u] <= largest[u] * THRESHOLD) continue;
            sum[u] += row[u];
            y[u] += (double)row[u] * (p / VT_FIELD_SIDE);
            x[u] += (double)row[u] * (p % VT_FIELD_SIDE);
            area[u]++;
        }
    for (int u = 0; u < count; u++) {
        bool driven = largest[u] > 0;
        position[2 * u] = driven ? degrees(y[u] / sum[u]) : NAN;
        position[2 * u + 1] = driven ? degrees(x[u] / sum[u]) : NAN;
        size[u] = driven ? 2 * VT_FIELD_STEP * sqrt(area[u] / M_PI) : NAN;
    }
}

void vt_field_maps_locate(const vt_field_maps *maps, int64_t first, int64_t count, double *position,
                          double *size)
{
#pragma omp parallel for schedule(static) num_threads(vt_threads())
    for (int64_t begin = 0; begin < count; begin += LOCATED) {
        int block = count - begin < LOCATED ? (int)(count - begin) : LOCATED;
        locate_block(maps, first - maps->first + begin, block, position + 2 * begin, size + begin);
    }
}
