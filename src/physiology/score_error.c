/* How far scores would differ had other units been recorded: their standard errors, by the
 * bootstrap (Efron 1979). As many units as there are, with all their properties, are drawn with
 * replacement; the similarity of a sample is that of its distribution, 0 where no unit has a value,
 * and its means are taken as those of the scores. */
#include "physiology/score_error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/progress.h"
#include "ventral/rng.h"

enum { SAMPLES = 1000, NO_BIN = -1 };

typedef struct resampler {
    const vt_physiology_scores *scores;
    const vt_references *references;
    int64_t neurons;
    int properties, columns;
    int8_t *bin;   /* (properties, neurons); NO_BIN: no value, or not in the study */
    double *score; /* (SAMPLES, columns): properties, categories, overall */
} resampler;

static vt_status find_bins(resampler *r, const vt_tuning *tuning, int property)
{
    const vt_property *p = vt_property_at(property);
    int8_t *bin = r->bin + property * r->neurons;
    double *values, edges[VT_MAX_BINS + 1];
    int64_t count;
    VT_TRY(vt_tuning_values(&values, &count, tuning, property));
    vt_property_edges(p, edges);
    memset(bin, NO_BIN, (size_t)r->neurons);
    for (int64_t i = 0; i < count; i++)
        bin[tuning->study[p->study].neuron[i]] = (int8_t)vt_bin_of(values[i], edges, p->bins);
    free(values);
    return VT_OK;
}

/* The score of a property in a sample of neurons. */
static double score_of(const resampler *r, int property, const int64_t *drawn)
{
    const vt_property *p = vt_property_at(property);
    const vt_property_score *s = &r->scores->property[property];
    const int8_t *bin = r->bin + property * r->neurons;
    int64_t counts[VT_MAX_BINS] = {0};
    double sample[VT_MAX_BINS], target[VT_MAX_BINS];
    if (isnan(s->score)) return NAN;
    for (int64_t i = 0; i < r->neurons; i++)
        if (bin[drawn[i]] != NO_BIN) counts[bin[drawn[i]]]++;
    vt_shares(sample, counts, p->bins);
    vt_shares(target, vt_references_at(r->references, property)->counts, p->bins);
    double similarity = vt_ks_similarity(sample, target, p->bins);
    return (isnan(similarity) ? 0 : similarity) / s->ceiling.mean;
}

static void score_sample(const resampler *r, int number, int64_t *drawn, uint64_t seed)
{
    double *score = r->score + (int64_t)number * r->columns;
    vt_average category[VT_CATEGORIES], overall;
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_BOOTSTRAP, 1 + (uint32_t)r->properties, (uint32_t)number);
    for (int64_t i = 0; i < r->neurons; i++)
        drawn[i] = vt_rng_below(&rng, (uint32_t)r->neurons);
    for (int i = 0; i < r->properties; i++)
        score[i] = score_of(r, i, drawn);
    vt_score_means(category, &overall, score);
    for (int c = 0; c < VT_CATEGORIES; c++)
        score[r->properties + c] = category[c].score;
    score[r->columns - 1] = overall.score;
}

/* Standard deviation over samples; NaN where there is no score. */
static double deviation(const resampler *r, int column)
{
    double sum = 0, squares = 0;
    for (int s = 0; s < SAMPLES; s++)
        sum += r->score[(int64_t)s * r->columns + column];
    for (int s = 0; s < SAMPLES; s++) {
        double difference = r->score[(int64_t)s * r->columns + column] - sum / SAMPLES;
        squares += difference * difference;
    }
    return sqrt(squares / SAMPLES);
}

static vt_status resample(resampler *r, uint64_t seed)
{
    int threads = vt_threads();
    int64_t *drawn = vt_alloc((size_t)threads * (size_t)r->neurons, sizeof *drawn);
    if (!drawn) return VT_ENOMEM;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int t = 0; t < threads; t++)
        for (int s = t; s < SAMPLES; s += threads)
            score_sample(r, s, drawn + t * r->neurons, seed);
    free(drawn);
    return VT_OK;
}

vt_status vt_score_errors(vt_physiology_scores *scores, const vt_tuning *tuning,
                          const vt_references *references, uint64_t seed)
{
    int properties = vt_property_count(), columns = properties + VT_CATEGORIES + 1;
    resampler r = {.scores = scores,
                   .references = references,
                   .neurons = tuning->neurons,
                   .properties = properties,
                   .columns = columns};
    if (r.neurons < 2) return VT_OK; /* nothing is known about others */
    r.bin = vt_alloc((size_t)r.neurons, (size_t)properties * sizeof *r.bin);
    r.score = vt_alloc((size_t)SAMPLES * (size_t)columns, sizeof *r.score);
    vt_status status = r.bin && r.score ? VT_OK : VT_ENOMEM;
    for (int i = 0; i < properties && status == VT_OK; i++)
        status = find_bins(&r, tuning, i);
    if (status == VT_OK) status = resample(&r, seed);
    if (status == VT_OK) {
        for (int i = 0; i < properties; i++)
            scores->property[i].error = deviation(&r, i);
        for (int c = 0; c < VT_CATEGORIES; c++)
            scores->category[c].error = deviation(&r, properties + c);
        scores->overall.error = deviation(&r, columns - 1);
    }
    free(r.bin);
    free(r.score);
    return status;
}
