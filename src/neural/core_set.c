/* What active learning measures: how far the members of an ensemble disagree, and which points
 * cover the others.
 *
 * Greedy k-centre: the chosen points leave every other one within twice the smallest radius that as
 * many centres can have (Gonzalez 1985; Sener & Savarese 2018, "Active learning for convolutional
 * neural networks: a core-set approach"). */
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "base/arena.h"
#include "neural/linalg.h"
#include "ventral/score.h"
#include "ventral/select.h"

static double squared_distance(const float *a, const float *b, int64_t size)
{
    double sum = 0;
    for (int64_t i = 0; i < size; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum;
}

/* `distances` has room for one of each pair. */
static double disagreement(const float *responses, int members, int64_t neurons, double *distances)
{
    int64_t count = 0;
    for (int i = 0; i < members; i++)
        for (int j = 0; j < i; j++)
            distances[count++] =
                sqrt(squared_distance(responses + i * neurons, responses + j * neurons, neurons));
    return vt_median(distances, count);
}

vt_status vt_disagreement(double *out, const float *responses, int64_t images, int members,
                          int64_t neurons)
{
    if (images < 0 || members < 2 || neurons < 1)
        return vt_error(VT_EINVAL,
                        "disagreement of %d members about %lld neurons: two and one are needed",
                        members, (long long)neurons);
    int64_t pairs = (int64_t)members * (members - 1) / 2;
    int threads = vt_threads_for(images * pairs * neurons);
    double *room = vt_alloc((size_t)pairs, (size_t)threads * sizeof *room);
    if (!room) return VT_ENOMEM;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < images; i++)
        out[i] = disagreement(responses + i * members * neurons, members, neurons,
                              room + omp_get_thread_num() * pairs);
    free(room);
    return VT_OK;
}

vt_status vt_core_set(int64_t *out, double *radius, const float *points, int64_t count,
                      int64_t size, int64_t wanted)
{
    if (wanted < 1 || wanted > count || size < 1)
        return vt_error(VT_EINVAL, "a core-set of %lld of %lld points", (long long)wanted,
                        (long long)count);
    double *nearest = vt_alloc((size_t)count, sizeof *nearest); /* squared, to a chosen point */
    if (!nearest) return VT_ENOMEM;
    for (int64_t i = 0; i < count; i++)
        nearest[i] = INFINITY;
    int64_t centre = 0;
    for (int64_t k = 0; k < wanted; k++) {
        out[k] = centre;
        nearest[centre] = -1; /* of points that are alike, too, each is taken once */
#pragma omp parallel for num_threads(vt_threads_for(count *size))
        for (int64_t i = 0; i < count; i++)
            if (nearest[i] > 0) {
                double d = squared_distance(points + i * size, points + centre * size, size);
                nearest[i] = d < nearest[i] ? d : nearest[i];
            }
        int64_t farthest = 0;
        for (int64_t i = 1; i < count; i++)
            if (nearest[i] > nearest[farthest]) farthest = i;
        centre = farthest;
    }
    *radius = nearest[centre] > 0 ? sqrt(nearest[centre]) : 0;
    free(nearest);
    return VT_OK;
}
