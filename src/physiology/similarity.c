/* Bootstrapped Kolmogorov-Smirnov similarity of distributions (Marques, Schrimpf & DiCarlo 2021),
 * its ceilings and its means. Only the bin that a unit falls into matters, so units are drawn as
 * bins. */
#include "ventral/similarity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "physiology/score_error.h"
#include "ventral/progress.h"
#include "ventral/rng.h"
#include "ventral/score.h"

enum { SAMPLES = 1000, MOST_UNDEFINED = SAMPLES / 10 };

double vt_ks_similarity(const double *p, const double *q, int bins)
{
    double p_sum = 0, q_sum = 0, distance = 0, farthest_first = 0, farthest_last = 0;
    for (int i = 0; i < bins; i++) {
        p_sum += p[i];
        q_sum += q[i];
        if (isnan(p_sum) || isnan(q_sum)) return NAN;
        distance = fmax(distance, fabs(p_sum - q_sum));
        farthest_first = fmax(farthest_first, fabs(1 - q_sum));
        farthest_last = fmax(farthest_last, fabs((i == bins - 1) - q_sum));
    }
    return bins < 2 ? NAN : 1 - distance / fmax(farthest_first, farthest_last);
}

int vt_bin_of(double value, const double *edges, int bins)
{
    int bin = 0;
    if (isnan(value)) return -1;
    while (bin < bins - 1 && value >= edges[bin + 1])
        bin++;
    return bin;
}

void vt_property_histogram(int64_t *counts, const vt_property *property, const double *values,
                           int64_t count)
{
    double edges[VT_MAX_BINS + 1];
    vt_property_edges(property, edges);
    memset(counts, 0, (size_t)property->bins * sizeof *counts);
    for (int64_t i = 0; i < count; i++) {
        int bin = vt_bin_of(values[i], edges, property->bins);
        if (bin >= 0) counts[bin]++;
    }
}

void vt_shares(double *out, const int64_t *counts, int bins)
{
    int64_t sum = 0;
    for (int i = 0; i < bins; i++)
        sum += counts[i];
    for (int i = 0; i < bins; i++)
        out[i] = sum > 0 ? (double)counts[i] / (double)sum : NAN;
}

/* Similarity of one sample. `ends[i]` units are in bins 0 to i. */
static double sample_similarity(const int64_t *ends, int bins, int64_t units, int64_t draws,
                                const double *reference, vt_rng *rng)
{
    int64_t drawn[VT_MAX_BINS] = {0};
    double sample[VT_MAX_BINS];
    for (int64_t i = 0; i < draws; i++) {
        int64_t unit = vt_rng_below(rng, (uint32_t)units);
        int bin = 0;
        while (bin < bins && unit >= ends[bin])
            bin++;
        if (bin < bins) drawn[bin]++;
    }
    vt_shares(sample, drawn, bins);
    return vt_ks_similarity(sample, reference, bins);
}

static vt_similarity summarize(const double *similarities)
{
    double sum = 0, squares = 0;
    int defined = 0;
    for (int s = 0; s < SAMPLES; s++) {
        if (isnan(similarities[s])) continue;
        sum += similarities[s];
        defined++;
    }
    if (SAMPLES - defined > MOST_UNDEFINED) return (vt_similarity){0, 0};
    double mean = sum / defined;
    for (int s = 0; s < SAMPLES; s++)
        if (!isnan(similarities[s])) squares += (similarities[s] - mean) * (similarities[s] - mean);
    return (vt_similarity){mean, sqrt(squares / defined)};
}

vt_status vt_bootstrap_similarity(vt_similarity *out, int property, const int64_t *counts,
                                  int64_t units, const vt_reference *reference, uint64_t seed)
{
    const vt_property *p = vt_property_at(property);
    int64_t ends[VT_MAX_BINS], sum = 0;
    double target[VT_MAX_BINS], similarities[SAMPLES];
    if (!p) return vt_error(VT_EINVAL, "there is no property %d", property);
    bool possible = units >= 0 && units <= UINT32_MAX && reference->neurons <= UINT32_MAX;
    for (int i = 0; i < p->bins; i++) {
        possible = possible && counts[i] >= 0 && counts[i] <= units - sum;
        if (possible) ends[i] = sum += counts[i];
    }
    if (!possible)
        return vt_error(VT_EINVAL, "%s: counts in bins that %lld units cannot have", p->key,
                        (long long)units);
    *out = (vt_similarity){NAN, NAN};
    if (units == 0) return VT_OK;
    vt_shares(target, reference->counts, p->bins);
#pragma omp parallel for schedule(static) num_threads(vt_threads())
    for (int s = 0; s < SAMPLES; s++) {
        vt_rng rng;
        vt_rng_init(&rng, seed, VT_RNG_BOOTSTRAP, 1 + (uint32_t)property, (uint32_t)s);
        similarities[s] = sample_similarity(ends, p->bins, units, reference->neurons, target, &rng);
    }
    *out = summarize(similarities);
    return VT_OK;
}

/* ---- all properties ---- */

static vt_status score_property(vt_property_score *out, int property, const vt_tuning *tuning,
                                const vt_reference *reference, uint64_t seed)
{
    const vt_property *p = vt_property_at(property);
    double *values;
    VT_TRY(vt_tuning_values(&values, &out->units, tuning, property));
    out->measured = tuning->study[p->study].measured;
    out->median = vt_median(values, out->units);
    vt_property_histogram(out->counts, p, values, out->units);
    free(values);
    if (!reference) return VT_OK;
    out->has_reference = true;
    VT_TRY(vt_bootstrap_similarity(&out->ceiling, property, reference->counts, reference->neurons,
                                   reference, seed));
    if (!out->measured) return VT_OK;
    VT_TRY(vt_bootstrap_similarity(&out->raw, property, out->counts, out->units, reference, seed));
    out->score = out->raw.mean / out->ceiling.mean;
    return VT_OK;
}

void vt_score_means(vt_average *category, vt_average *overall, const double *score)
{
    double sum = 0;
    int defined = 0;
    *overall = (vt_average){.error = NAN};
    for (int c = 0; c < VT_CATEGORIES; c++) {
        vt_average *a = &category[c];
        *a = (vt_average){.error = NAN};
        for (int i = 0; i < vt_property_count(); i++) {
            if ((int)vt_property_at(i)->category != c) continue;
            a->of++;
            if (isnan(score[i])) continue;
            a->score += score[i];
            a->scored++;
        }
        a->score /= a->scored;
        overall->of += a->of;
        overall->scored += a->scored;
        if (a->scored == 0) continue;
        sum += a->score;
        defined++;
    }
    overall->score = sum / defined;
}

static vt_status score_all(vt_physiology_scores *s, double *score, const vt_tuning *tuning,
                           const vt_references *references, uint64_t seed)
{
    static const vt_similarity none = {NAN, NAN};
    for (int i = 0; i < vt_property_count(); i++) {
        vt_property_score *p = &s->property[i];
        *p = (vt_property_score){
            .median = NAN, .raw = none, .ceiling = none, .score = NAN, .error = NAN};
        VT_TRY(score_property(p, i, tuning, vt_references_at(references, i), seed));
        score[i] = p->score;
    }
    vt_score_means(s->category, &s->overall, score);
    return vt_score_errors(s, tuning, references, seed);
}

vt_status vt_physiology_score(vt_physiology_scores *out, const vt_tuning *tuning,
                              const vt_references *references, uint64_t seed)
{
    size_t count = (size_t)vt_property_count();
    vt_physiology_scores s = {.property = vt_alloc(count, sizeof *s.property)};
    double *score = vt_alloc(count, sizeof *score);
    vt_status status =
        s.property && score ? score_all(&s, score, tuning, references, seed) : VT_ENOMEM;
    free(score);
    if (status == VT_OK)
        *out = s;
    else
        free(s.property);
    return status;
}

void vt_physiology_scores_free(vt_physiology_scores *scores)
{
    free(scores->property);
    *scores = (vt_physiology_scores){.property = NULL};
}
