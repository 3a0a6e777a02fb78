/* Folds, and the choice of ridge's alpha by cross-validation. */
#ifndef VT_NEURAL_RIDGE_ALPHA_H
#define VT_NEURAL_RIDGE_ALPHA_H

#include "neural/ridge_system.h"
#include "ventral/readout.h"

/* Samples in random order (free with free()): consecutive parts of it are the folds. */
vt_status vt_folds_deal(int64_t **out, int64_t count, uint64_t seed);
/* VT_EINVAL unless there are 2 .. samples folds. */
vt_status vt_folds_check(int folds, int64_t samples);
/* Fold f: order[first .. last) are its test samples, the others go to `train` (count of room). */
void vt_folds_get(int64_t *train, int64_t *first, int64_t *last, const int64_t *order,
                  int64_t count, int folds, int f);

vt_status vt_ridge_check_options(const vt_ridge_options *o, int64_t samples);

/* Alphas (targets) for the dealt samples `order`: the given one, or the best of the candidates. */
vt_status vt_ridge_choose_alphas(double *alphas, vt_ridge_problem *p, const int64_t *order,
                                 int64_t count, const vt_ridge_options *o);

#endif
