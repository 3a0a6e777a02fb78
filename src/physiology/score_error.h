/* Bins of values, means of scores, and how sure these are. */
#ifndef VT_PHYSIOLOGY_SCORE_ERROR_H
#define VT_PHYSIOLOGY_SCORE_ERROR_H

#include "ventral/similarity.h"

/* The bin of a value, those beyond the ends in the end bins; -1 for NaN. */
int vt_bin_of(double value, const double *edges, int bins);
/* Shares (bins) of the counts; NaN when all are 0. */
void vt_shares(double *out, const int64_t *counts, int bins);

/* Means of each category (VT_CATEGORIES) and of the categories, of the scores of all properties,
 * NaN where there is none. The errors stay. */
void vt_score_means(vt_average *category, vt_average *overall, const double *score);

/* Sets the errors of scores, categories and overall. */
vt_status vt_score_errors(vt_physiology_scores *scores, const vt_tuning *tuning,
                          const vt_references *references, uint64_t seed);

#endif
