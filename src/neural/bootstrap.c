/* Medians over neurons and their percentile bootstrap (Efron 1979, Ann. Statist. 7:1). */
#include "ventral/score.h"

#include "base/arena.h"
#include "ventral/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Doubles as integers of the same order. */
static uint64_t ordered_key(double value)
{
    uint64_t bits;
    if (value == 0) value = 0; /* -0 and 0 are one value */
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

static double key_value(uint64_t key)
{
    uint64_t bits = key >> 63 ? key & ~(1ull << 63) : ~key;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The value with exactly `rank` others before it, found bit by bit: no memory is needed. */
static double select_rank(const double *values, int64_t count, int64_t rank)
{
    uint64_t key = 0;
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t candidate = key | 1ull << bit;
        int64_t below = 0;
        for (int64_t i = 0; i < count; i++)
            below += !isnan(values[i]) && ordered_key(values[i]) < candidate;
        if (below <= rank) key = candidate;
    }
    return key_value(key);
}

double vt_median(const double *values, int64_t count)
{
    int64_t valid = 0;
    for (int64_t i = 0; i < count; i++)
        valid += !isnan(values[i]);
    if (valid == 0) return NAN;
    double upper = select_rank(values, count, valid / 2);
    if (valid % 2) return upper;
    double lower = select_rank(values, count, valid / 2 - 1);
    return lower == upper ? upper : 0.5 * lower + 0.5 * upper;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of a resampling of sorted values, given how often each was drawn. */
static double drawn_median(const double *sorted, const int64_t *drawn, int64_t count)
{
    int64_t passed = 0, i = 0, low = (count - 1) / 2, high = count / 2;
    while (passed + drawn[i] <= low)
        passed += drawn[i++];
    double lower = sorted[i];
    while (passed + drawn[i] <= high)
        passed += drawn[i++];
    return lower == sorted[i] ? lower : 0.5 * lower + 0.5 * sorted[i];
}

static double percentile(const double *sorted, int64_t count, double fraction)
{
    double position = fraction * (double)(count - 1);
    int64_t i = (int64_t)position;
    if (i >= count - 1 || sorted[i] == sorted[i + 1]) return sorted[i];
    return sorted[i] + (position - (double)i) * (sorted[i + 1] - sorted[i]);
}

vt_status vt_median_interval(vt_interval *out, const double *values, int64_t count, double level,
                             int samples, uint64_t seed)
{
    if (!(level > 0 && level < 1) || samples < 1 || count < 0 || count > UINT32_MAX)
        return vt_error(VT_EINVAL,
                        "interval at level %g of %lld values from %d samples: the level must lie "
                        "between 0 and 1, samples be > 0",
                        level, (long long)count, samples);
    double *sorted = vt_alloc((size_t)count, sizeof(double));
    double *medians = vt_alloc((size_t)samples, sizeof(double));
    int64_t *drawn = vt_alloc((size_t)count, sizeof(int64_t));
    vt_status status = sorted && medians && drawn ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) {
        int64_t valid = 0;
        for (int64_t i = 0; i < count; i++)
            if (!isnan(values[i])) sorted[valid++] = values[i];
        qsort(sorted, (size_t)valid, sizeof(double), compare);
        *out = (vt_interval){NAN, NAN, NAN};
        for (int s = 0; valid > 0 && s < samples; s++) {
            vt_rng rng;
            vt_rng_init(&rng, seed, VT_RNG_BOOTSTRAP, 0, (uint32_t)s);
            memset(drawn, 0, (size_t)valid * sizeof *drawn);
            for (int64_t i = 0; i < valid; i++)
                drawn[vt_rng_below(&rng, (uint32_t)valid)]++;
            medians[s] = drawn_median(sorted, drawn, valid);
        }
        if (valid > 0) {
            qsort(medians, (size_t)samples, sizeof(double), compare);
            out->median = vt_median(sorted, valid);
            out->low = percentile(medians, samples, (1 - level) / 2);
            out->high = percentile(medians, samples, (1 + level) / 2);
        }
    }
    free(sorted);
    free(medians);
    free(drawn);
    return status;
}
