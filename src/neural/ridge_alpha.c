/* The choice of ridge's alpha by cross-validation. */
#include "neural/ridge_alpha.h"

#include "base/arena.h"
#include "ventral/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_ALPHAS = 19 };

void vt_folds_get(int64_t *train, int64_t *first, int64_t *last, const int64_t *order,
                  int64_t count, int folds, int f)
{
    *first = count * f / folds;
    *last = count * (f + 1) / folds;
    memcpy(train, order, (size_t)*first * sizeof *train);
    memcpy(train + *first, order + *last, (size_t)(count - *last) * sizeof *train);
}

/* Adds to errors (candidates, targets) the squared errors on one fold's test samples. */
static vt_status add_fold_errors(double *errors, vt_ridge_problem *p, const int64_t *train,
                                 int64_t train_count, const int64_t *test, int64_t test_count,
                                 const double *candidates, int candidate_count)
{
    vt_ridge_system s;
    int64_t targets = p->targets;
    VT_TRY(vt_ridge_system_init(&s, p, train, train_count));
    double *projected = vt_alloc((size_t)(test_count * s.size), sizeof(double));
    double *room = vt_alloc((size_t)(s.size * targets), sizeof(double));
    double *prediction = vt_alloc((size_t)(test_count * targets), sizeof(double));
    double *alphas = vt_alloc((size_t)targets, sizeof(double));
    vt_status status = projected && room && prediction && alphas ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = vt_ridge_system_decompose(&s, targets);
    if (status == VT_OK) status = vt_ridge_system_project(projected, &s, p, test, test_count);
    for (int c = 0; status == VT_OK && c < candidate_count; c++) {
        for (int64_t t = 0; t < targets; t++)
            alphas[t] = candidates[c];
        vt_ridge_system_predict(prediction, &s, projected, test_count, alphas, targets, room);
        for (int64_t i = 0; i < test_count; i++)
            for (int64_t t = 0; t < targets; t++) {
                double e = prediction[i * targets + t] - p->y[test[i] * targets + t];
                errors[c * targets + t] += e * e;
            }
    }
    free(projected);
    free(room);
    free(prediction);
    free(alphas);
    vt_ridge_system_destroy(&s);
    return status;
}

/* alphas (targets) with the least error; errors (candidates, targets) are in units of variance. */
static void pick_alphas(double *alphas, const double *errors, const double *candidates, int count,
                        int64_t targets, bool per_target)
{
    int best_of_all = 0;
    double least_of_all = INFINITY;
    for (int c = 0; c < count; c++) {
        double sum = 0;
        for (int64_t t = 0; t < targets; t++)
            sum += errors[c * targets + t];
        if (sum < least_of_all) {
            least_of_all = sum;
            best_of_all = c;
        }
    }
    for (int64_t t = 0; t < targets; t++) {
        int best = best_of_all;
        for (int c = 0; per_target && c < count; c++)
            if (errors[c * targets + t] < errors[best * targets + t]) best = c;
        alphas[t] = candidates[best];
    }
}

/* Chooses alphas (targets) by cross-validation within `order` (count samples, dealt). */
static vt_status choose_alphas(double *alphas, vt_ridge_problem *p, const int64_t *order,
                               int64_t count, const double *candidates, int candidate_count,
                               int folds, bool per_target)
{
    int64_t targets = p->targets;
    double *errors = vt_alloc((size_t)(candidate_count * targets), sizeof(double));
    double *mean = vt_alloc((size_t)targets, sizeof(double));
    int64_t *train = vt_alloc((size_t)count, sizeof(int64_t));
    vt_status status = errors && mean && train ? VT_OK : VT_ENOMEM;
    for (int f = 0; status == VT_OK && f < folds; f++) {
        int64_t first, last;
        vt_folds_get(train, &first, &last, order, count, folds, f);
        status = add_fold_errors(errors, p, train, count - (last - first), order + first,
                                 last - first, candidates, candidate_count);
    }
    if (status == VT_OK) {
        vt_matrix y = {.f64 = p->y, .rows = p->x.rows, .columns = targets};
        vt_matrix_means(mean, &y, order, count);
        for (int64_t t = 0; t < targets; t++) {
            double total = 0;
            for (int64_t i = 0; i < count; i++) {
                double d = p->y[order[i] * targets + t] - mean[t];
                total += d * d;
            }
            bool silent = total <= 1e-28 * (double)count * mean[t] * mean[t]; /* rounding */
            for (int c = 0; c < candidate_count; c++)
                errors[c * targets + t] = silent ? 0 : errors[c * targets + t] / total;
        }
        pick_alphas(alphas, errors, candidates, candidate_count, targets, per_target);
    }
    free(errors);
    free(mean);
    free(train);
    return status;
}

vt_status vt_folds_check(int folds, int64_t samples)
{
    if (folds >= 2 && folds <= samples) return VT_OK;
    return vt_error(VT_EINVAL,
                    "%d folds of %lld images: there must be at least 2 and no more folds "
                    "than images",
                    folds, (long long)samples);
}

vt_status vt_ridge_check_options(const vt_ridge_options *o, int64_t samples)
{
    if (isnan(o->alpha) || isinf(o->alpha))
        return vt_error(VT_EINVAL, "ridge alpha %g must be finite", o->alpha);
    if (o->alpha >= 0) return VT_OK;
    if (o->alphas && o->alpha_count < 1)
        return vt_error(VT_EINVAL, "%d ridge alphas to choose from", o->alpha_count);
    for (int i = 0; o->alphas && i < o->alpha_count; i++)
        if (!(o->alphas[i] >= 0) || isinf(o->alphas[i]))
            return vt_error(VT_EINVAL, "ridge alpha %g must be finite and >= 0", o->alphas[i]);
    return vt_folds_check(o->folds, samples);
}

vt_status vt_ridge_choose_alphas(double *alphas, vt_ridge_problem *p, const int64_t *order,
                                 int64_t count, const vt_ridge_options *o)
{
    double standard[DEFAULT_ALPHAS], scale = 1;
    if (o->alpha >= 0) {
        for (int64_t t = 0; t < p->targets; t++)
            alphas[t] = o->alpha;
        return VT_OK;
    }
    if (!o->alphas) scale = vt_ridge_problem_scale(p);
    for (int i = 0; i < DEFAULT_ALPHAS; i++)
        standard[i] = scale * pow(10, -6 + 0.5 * i);
    return choose_alphas(alphas, p, order, count, o->alphas ? o->alphas : standard,
                         o->alphas ? o->alpha_count : DEFAULT_ALPHAS, o->folds, o->per_target);
}

vt_status vt_folds_deal(int64_t **out, int64_t count, uint64_t seed)
{
    int64_t *order = vt_alloc((size_t)count, sizeof(int64_t));
    if (!order) return VT_ENOMEM;
    for (int64_t i = 0; i < count; i++)
        order[i] = i;
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_SPLIT, 0, 0);
    vt_rng_shuffle(&rng, order, count);
    *out = order;
    return VT_OK;
}
