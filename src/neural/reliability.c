/* Scores that know the trial-to-trial noise: noise-corrected R^2, split-half reliability and
 * signal-to-noise ratio (Pospisil & Bair 2021, eLife 10:e61834). */
#include "ventral/score.h"

#include "base/arena.h"
#include "ventral/rng.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

/* What the repeats say: means of the images that have one, and the noise around them. */
typedef struct repeat_statistics {
    double *mean;    /* (count) */
    int64_t *image;  /* (count) which image each mean belongs to */
    int64_t count;   /* images with at least one repeat */
    double repeats;  /* median number of repeats over those */
    double variance; /* mean trial variance over images with two repeats; NaN when none has */
} repeat_statistics;

static vt_status check_responses(const double *responses, int64_t images, int64_t repeats)
{
    size_t total;
    if (images < 1 || repeats < 1 || !vt_mul_ok(&total, (size_t)images, (size_t)repeats) ||
        total > PTRDIFF_MAX / sizeof(double))
        return vt_error(VT_EINVAL, "responses of %lld images and %lld repeats: both must be > 0",
                        (long long)images, (long long)repeats);
    for (size_t i = 0; i < total; i++)
        if (isinf(responses[i]))
            return vt_error(VT_ENUMERIC, "response to image %zu, repeat %zu is infinite",
                            i / (size_t)repeats, i % (size_t)repeats);
    return VT_OK;
}

static void statistics_destroy(repeat_statistics *s)
{
    free(s->mean);
    free(s->image);
}

static vt_status statistics_new(repeat_statistics *out, const double *responses, int64_t images,
                                int64_t repeats)
{
    VT_TRY(check_responses(responses, images, repeats));
    repeat_statistics s = {.mean = vt_alloc((size_t)images, sizeof(double)),
                           .image = vt_alloc((size_t)images, sizeof(int64_t))};
    double *counts = vt_alloc((size_t)images, sizeof(double));
    if (!s.mean || !s.image || !counts) {
        free(counts);
        statistics_destroy(&s);
        return VT_ENOMEM;
    }
    double variance_sum = 0;
    int64_t variances = 0;
    for (int64_t i = 0; i < images; i++) {
        const double *row = responses + i * repeats;
        double sum = 0, squares = 0;
        int64_t n = 0;
        for (int64_t r = 0; r < repeats; r++) {
            if (isnan(row[r])) continue;
            sum += row[r];
            n++;
        }
        if (n == 0) continue;
        double mean = sum / (double)n;
        for (int64_t r = 0; r < repeats; r++)
            if (!isnan(row[r])) squares += (row[r] - mean) * (row[r] - mean);
        if (n > 1) {
            variance_sum += squares / (double)(n - 1);
            variances++;
        }
        s.mean[s.count] = mean;
        s.image[s.count] = i;
        counts[s.count++] = (double)n;
    }
    s.repeats = vt_median(counts, s.count);
    s.variance = variances ? variance_sum / (double)variances : NAN;
    free(counts);
    *out = s;
    return VT_OK;
}

vt_status vt_r2_er(double *out, const double *prediction, const double *responses, int64_t images,
                   int64_t repeats)
{
    repeat_statistics s;
    VT_TRY(statistics_new(&s, responses, images, repeats));
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    bool varies = false;
    for (int64_t i = 0; i < s.count; i++) {
        double x = prediction[s.image[i]];
        if (!isfinite(x)) {
            vt_status status = vt_error(VT_ENUMERIC, "prediction of image %lld is not finite",
                                        (long long)s.image[i]);
            statistics_destroy(&s);
            return status;
        }
        varies = varies || x != prediction[s.image[0]];
        mean_x += x;
        mean_y += s.mean[i];
    }
    double m = (double)s.count;
    mean_x /= m;
    mean_y /= m;
    for (int64_t i = 0; i < s.count; i++) {
        double x = prediction[s.image[i]] - mean_x, y = s.mean[i] - mean_y;
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    double noise = s.variance / s.repeats; /* variance of a repeat mean */
    double score = (xy * xy - noise * xx) / (xx * yy - noise * (m - 1) * xx);
    *out = varies && isfinite(score) ? score : NAN;
    statistics_destroy(&s);
    return VT_OK;
}

vt_status vt_snr(double *out, const double *responses, int64_t images, int64_t repeats)
{
    repeat_statistics s;
    VT_TRY(statistics_new(&s, responses, images, repeats));
    double m = (double)s.count, mean = 0, squares = 0;
    for (int64_t i = 0; i < s.count; i++)
        mean += s.mean[i] / m;
    for (int64_t i = 0; i < s.count; i++)
        squares += (s.mean[i] - mean) * (s.mean[i] - mean);
    *out = s.count < 2 ? NAN : (squares - (m - 1) * s.variance / s.repeats) / (m * s.variance);
    statistics_destroy(&s);
    return VT_OK;
}

/* Halves of the repeats of one image; false when it has fewer than two. */
static bool split_image(double *first, double *second, const double *row, int64_t repeats,
                        int64_t *order, vt_rng *rng)
{
    int64_t n = 0;
    for (int64_t r = 0; r < repeats; r++)
        if (!isnan(row[r])) order[n++] = r;
    if (n < 2) return false;
    vt_rng_shuffle(rng, order, n);
    double sums[2] = {0, 0};
    for (int64_t k = 0; k < n; k++)
        sums[k >= n / 2] += row[order[k]];
    *first = sums[0] / (double)(n / 2);
    *second = sums[1] / (double)(n - n / 2);
    return true;
}

vt_status vt_split_half(double *out, const double *responses, int64_t images, int64_t repeats,
                        int splits, uint64_t seed)
{
    VT_TRY(check_responses(responses, images, repeats));
    if (splits < 1) return vt_error(VT_EINVAL, "%d splits: at least one is needed", splits);
    if (images > UINT32_MAX)
        return vt_error(VT_EINVAL, "%lld images are too many", (long long)images);
    double *first = vt_alloc((size_t)images, sizeof(double));
    double *second = vt_alloc((size_t)images, sizeof(double));
    int64_t *order = vt_alloc((size_t)repeats, sizeof(int64_t));
    vt_status status = first && second && order ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) {
        double sum = 0;
        for (int k = 0; k < splits; k++) {
            int64_t used = 0;
            for (int64_t i = 0; i < images; i++) {
                vt_rng rng;
                vt_rng_init(&rng, seed, VT_RNG_SPLIT, (uint32_t)k, (uint32_t)i);
                used += split_image(&first[used], &second[used], responses + i * repeats, repeats,
                                    order, &rng);
            }
            sum += vt_pearson(first, second, used);
        }
        double r = sum / splits;
        *out = 2 * r / (1 + r);
    }
    free(first);
    free(second);
    free(order);
    return status;
}
