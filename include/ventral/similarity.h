/* How like V1 neurons are: the distributions of their tuning properties beside those of published
 * neurons, scored as the Brain-Score benchmarks of Marques, Schrimpf & DiCarlo 2021 score them. */
#ifndef VENTRAL_SIMILARITY_H
#define VENTRAL_SIMILARITY_H

#include "ventral/tuning.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 1 - D(p, q) / max(D(a, q), D(b, q)), where D is the largest difference of cumulative sums, a all
 * in the first bin and b all in the last. NaN for less than two bins, or when p or q has NaN. */
double vt_ks_similarity(const double *p, const double *q, int bins);

/* ---- published distributions ---- */

/* One property of a study's neurons. */
typedef struct vt_reference {
    int64_t counts[VT_MAX_BINS]; /* neurons in each bin; values beyond count in the end bins */
    int64_t neurons;             /* all of them; those in no bin have no value */
    const char *source;          /* file, or the publication; borrowed from the references */
} vt_reference;

/* The distributions at hand, one a property. */
typedef struct vt_references vt_references;

/* Those that the publications print: Cavanaugh et al., De Valois et al. (2), Schiller et al. */
vt_status vt_references_new(vt_references **out);
/* Adds or replaces what a file holds of any property, under its key:
 *   .npz: vectors of values; .csv: a column a property, a row a neuron, empty where undefined;
 *   .nc: Brain-Score's assemblies (NetCDF 4), (neuroid, neuronal_property);
 *   .mat: Ringach2002.mat, whose structure is db; FreemanZiemba2013_V1V2data.mat, whose array is
 * v1. VT_ENOTFOUND: none is in it; VT_EFORMAT: it is not what its name says. */
vt_status vt_references_read(vt_references *references, const char *path);
/* Borrowed; NULL when there is none. */
const vt_reference *vt_references_at(const vt_references *references, int property);
void vt_references_free(vt_references *references);

/* ---- scores ---- */

/* Counts values in the bins of a property; values beyond the ends count in the end bins, NaN
 * nowhere. */
void vt_property_histogram(int64_t *counts, const vt_property *property, const double *values,
                           int64_t count);

/* Of 1000 samples with as many units as there are published neurons, drawn with replacement: mean
 * and standard deviation of their similarity to the reference. Both are 0 when in more than 100 no
 * unit drawn had a value, and NaN when there is no unit to draw. */
typedef struct vt_similarity {
    double mean, sd;
} vt_similarity;

/* `counts` (bins) of `units` units, the rest without value. */
vt_status vt_bootstrap_similarity(vt_similarity *out, int property, const int64_t *counts,
                                  int64_t units, const vt_reference *reference, uint64_t seed);

typedef struct vt_property_score {
    bool measured;               /* the study's stimuli were shown */
    int64_t units;               /* that responded enough */
    int64_t counts[VT_MAX_BINS]; /* of them, in each bin; the others have no value */
    double median;               /* of those with a value; NaN: none has */
    bool has_reference;
    vt_similarity raw, ceiling; /* ceiling: the reference's own, as if it were the model's */
    double score;               /* raw by ceiling; NaN without reference or units */
    double error;               /* of the score, see vt_physiology_score */
} vt_property_score;

/* A mean and what it covers: `scored` of the `of` benchmarks. NaN when none is. */
typedef struct vt_average {
    double score, error;
    int scored, of;
} vt_average;

typedef struct vt_physiology_scores {
    vt_property_score *property; /* (vt_property_count()) */
    /* Means of a category's benchmarks, and of the categories' means, as on Brain-Score. */
    vt_average category[VT_CATEGORY_UNSCORED], overall;
} vt_physiology_scores;

/* Scores what was measured against the references there are. The same seed gives the same scores,
 * whatever else is scored. An `error` is the standard error that comes of how few neurons were
 * recorded: the standard deviation over 1000 samples of as many neurons (bootstrap); NaN for less
 * than two. Scores of two layers differ by more than chance where their difference is more than
 * about twice the root of their squared errors' sum. */
vt_status vt_physiology_score(vt_physiology_scores *out, const vt_tuning *tuning,
                              const vt_references *references, uint64_t seed);
void vt_physiology_scores_free(vt_physiology_scores *scores);

#ifdef __cplusplus
}
#endif
#endif
