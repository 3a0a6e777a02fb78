/* The choice of ridge's alpha by cross-validation: the best of candidates, or bisection (as in the
 * code of Cowley, Stan, Pillow & Smith 2026). One decomposition a fold serves all alphas. */
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

/* One fold: what its training samples' system predicts of its test samples needs no more than this,
 * whatever the alphas. */
typedef struct fold {
    vt_ridge_system system; /* without its matrix */
    const int64_t *test;
    int64_t count;
    double *projected; /* (count, system.size) */
} fold;

/* Cross-validated errors, for any alphas. */
typedef struct search {
    const vt_ridge_problem *problem;
    fold *folds;
    int count;
    double *total;      /* (targets) sums of squares about the mean; 0: the target never varies */
    double *room;       /* (largest system.size, targets) */
    double *prediction; /* (largest test set, targets) */
} search;

static void search_destroy(search *s)
{
    for (int f = 0; s->folds && f < s->count; f++) {
        vt_ridge_system_destroy(&s->folds[f].system);
        free(s->folds[f].projected);
    }
    free(s->folds);
    free(s->total);
    free(s->room);
    free(s->prediction);
}

static vt_status fold_init(fold *out, vt_ridge_problem *p, const int64_t *train, int64_t count)
{
    VT_TRY(vt_ridge_system_init(&out->system, p, train, count));
    VT_TRY(vt_ridge_system_decompose(&out->system, p->targets));
    out->projected = vt_alloc((size_t)(out->count * out->system.size), sizeof(double));
    if (!out->projected) return VT_ENOMEM;
    VT_TRY(vt_ridge_system_project(out->projected, &out->system, p, out->test, out->count));
    free(out->system.matrix);
    out->system.matrix = NULL;
    return VT_OK;
}

static vt_status measure_totals(search *s, const int64_t *order, int64_t count)
{
    int64_t targets = s->problem->targets;
    const double *y = s->problem->y;
    vt_matrix responses = {.f64 = y, .rows = s->problem->x.rows, .columns = targets};
    double *mean = vt_alloc((size_t)targets, sizeof *mean);
    if (!mean) return VT_ENOMEM;
    vt_matrix_means(mean, &responses, order, count);
    for (int64_t t = 0; t < targets; t++) {
        double total = 0;
        for (int64_t i = 0; i < count; i++) {
            double d = y[order[i] * targets + t] - mean[t];
            total += d * d;
        }
        bool silent = total <= 1e-28 * (double)count * mean[t] * mean[t]; /* rounding */
        s->total[t] = silent ? 0 : total;
    }
    free(mean);
    return VT_OK;
}

/* Of the samples `order` (count, dealt); destroyed by the caller, also after a failure. */
static vt_status search_init(search *s, vt_ridge_problem *p, const int64_t *order, int64_t count,
                             int folds)
{
    int64_t targets = p->targets, largest = 0, size = p->gram ? count : p->x.columns;
    *s = (search){.problem = p, .count = folds};
    s->folds = vt_alloc((size_t)folds, sizeof *s->folds);
    s->total = vt_alloc((size_t)targets, sizeof *s->total);
    int64_t *train = vt_alloc((size_t)count, sizeof *train);
    vt_status status = s->folds && s->total && train ? VT_OK : VT_ENOMEM;
    for (int f = 0; status == VT_OK && f < folds; f++) {
        int64_t first, last;
        vt_folds_get(train, &first, &last, order, count, folds, f);
        s->folds[f].test = order + first;
        s->folds[f].count = last - first;
        largest = largest > last - first ? largest : last - first;
        status = fold_init(&s->folds[f], p, train, count - (last - first));
    }
    free(train);
    VT_TRY(status);
    s->room = vt_alloc((size_t)(size * targets), sizeof *s->room);
    s->prediction = vt_alloc((size_t)(largest * targets), sizeof *s->prediction);
    if (!s->room || !s->prediction) return VT_ENOMEM;
    return measure_totals(s, order, count);
}

/* Squared errors (targets) with an alpha for each target, in units of the variance. */
static void search_errors(double *errors, search *s, const double *alphas)
{
    int64_t targets = s->problem->targets;
    memset(errors, 0, (size_t)targets * sizeof *errors);
    for (int f = 0; f < s->count; f++) {
        const fold *k = &s->folds[f];
        vt_ridge_system_predict(s->prediction, &k->system, k->projected, k->count, alphas, targets,
                                s->room);
        for (int64_t i = 0; i < k->count; i++)
            for (int64_t t = 0; t < targets; t++) {
                double e = s->prediction[i * targets + t] - s->problem->y[k->test[i] * targets + t];
                errors[t] += e * e;
            }
    }
    for (int64_t t = 0; t < targets; t++)
        errors[t] = s->total[t] > 0 ? errors[t] / s->total[t] : 0;
}

/* With one alpha for all, every target counts its errors' sum. */
static void share_errors(double *errors, int64_t targets)
{
    double sum = 0;
    for (int64_t t = 0; t < targets; t++)
        sum += errors[t];
    for (int64_t t = 0; t < targets; t++)
        errors[t] = sum;
}

static vt_status best_candidates(double *alphas, search *s, const double *candidates, int count,
                                 bool per_target)
{
    int64_t targets = s->problem->targets;
    double *errors = vt_alloc((size_t)targets, sizeof *errors);
    double *least = vt_alloc((size_t)targets, sizeof *least);
    double *tried = vt_alloc((size_t)targets, sizeof *tried);
    vt_status status = errors && least && tried ? VT_OK : VT_ENOMEM;
    for (int c = 0; status == VT_OK && c < count; c++) {
        for (int64_t t = 0; t < targets; t++)
            tried[t] = candidates[c];
        search_errors(errors, s, tried);
        if (!per_target) share_errors(errors, targets);
        for (int64_t t = 0; t < targets; t++)
            if (c == 0 || errors[t] < least[t]) {
                least[t] = errors[t];
                alphas[t] = candidates[c];
            }
    }
    free(errors);
    free(least);
    free(tried);
    return status;
}

/* Bisection: low, middle and high end of an interval, then of one of its halves, where an end is
 * better than the middle or the middle of a half is; else of its middle half. */
enum { LOW, MIDDLE, HIGH, LEFT, RIGHT, PLACES };

/* One target's step: alphas and errors, [place * targets + t]. */
static void bisect(double *alphas, double *errors, int64_t targets, int64_t t)
{
#define ERROR(place) errors[(place)*targets + t]
#define MOVE(to, from)                                                                             \
    (alphas[(to)*targets + t] = alphas[(from)*targets + t], ERROR(to) = ERROR(from))
    bool ends = ERROR(LOW) < ERROR(MIDDLE) || ERROR(HIGH) < ERROR(MIDDLE);
    bool left = ends ? ERROR(LOW) < ERROR(MIDDLE)
                     : ERROR(LEFT) < ERROR(MIDDLE) && ERROR(LEFT) < ERROR(RIGHT);
    bool right = !left && (ends || (ERROR(RIGHT) < ERROR(MIDDLE) && ERROR(RIGHT) < ERROR(LEFT)));
    if (left) {
        MOVE(HIGH, MIDDLE);
        MOVE(MIDDLE, LEFT);
    } else if (right) {
        MOVE(LOW, MIDDLE);
        MOVE(MIDDLE, RIGHT);
    } else {
        MOVE(LOW, LEFT);
        MOVE(HIGH, RIGHT);
    }
#undef MOVE
#undef ERROR
}

static void try_place(double *alphas, double *errors, search *s, int place, bool per_target)
{
    int64_t targets = s->problem->targets;
    search_errors(errors + place * targets, s, alphas + place * targets);
    if (!per_target) share_errors(errors + place * targets, targets);
}

static vt_status bisected(double *out, search *s, const vt_ridge_options *o)
{
    int64_t targets = s->problem->targets;
    double *alphas = vt_alloc((size_t)targets, PLACES * sizeof *alphas);
    double *errors = vt_alloc((size_t)targets, PLACES * sizeof *errors);
    vt_status status = alphas && errors ? VT_OK : VT_ENOMEM;
    for (int64_t t = 0; status == VT_OK && t < targets; t++) {
        alphas[LOW * targets + t] = o->alpha_low;
        alphas[HIGH * targets + t] = o->alpha_high;
        alphas[MIDDLE * targets + t] = o->alpha_low + (o->alpha_high - o->alpha_low) / 2;
    }
    for (int place = LOW; status == VT_OK && place <= HIGH; place++)
        try_place(alphas, errors, s, place, o->per_target);
    for (int step = 0; status == VT_OK && step < o->bisections; step++) {
        for (int64_t t = 0; t < targets; t++) {
            const double *low = alphas + LOW * targets, *middle = alphas + MIDDLE * targets;
            const double *high = alphas + HIGH * targets;
            alphas[LEFT * targets + t] = low[t] + (middle[t] - low[t]) / 2;
            alphas[RIGHT * targets + t] = middle[t] + (high[t] - middle[t]) / 2;
        }
        try_place(alphas, errors, s, LEFT, o->per_target);
        try_place(alphas, errors, s, RIGHT, o->per_target);
        for (int64_t t = 0; t < targets; t++)
            bisect(alphas, errors, targets, t);
    }
    for (int64_t t = 0; status == VT_OK && t < targets; t++) {
        int best = MIDDLE;
        for (int place = LOW; place <= HIGH; place++)
            if (errors[place * targets + t] < errors[best * targets + t]) best = place;
        out[t] = alphas[best * targets + t];
    }
    free(alphas);
    free(errors);
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
    if (o->bisections < 0 || (o->bisections > 0 && !(o->alpha_low >= 0 && isfinite(o->alpha_high) &&
                                                     o->alpha_low < o->alpha_high)))
        return vt_error(VT_EINVAL,
                        "%d bisections for ridge alpha between %g and %g: the ends must be finite, "
                        "ordered and >= 0",
                        o->bisections, o->alpha_low, o->alpha_high);
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
    search s;
    double standard[DEFAULT_ALPHAS], scale = 1;
    if (o->alpha >= 0) {
        for (int64_t t = 0; t < p->targets; t++)
            alphas[t] = o->alpha;
        return VT_OK;
    }
    if (!o->alphas && o->bisections == 0) scale = vt_ridge_problem_scale(p);
    for (int i = 0; i < DEFAULT_ALPHAS; i++)
        standard[i] = scale * pow(10, -6 + 0.5 * i);
    vt_status status = search_init(&s, p, order, count, o->folds);
    if (status == VT_OK && o->bisections > 0)
        status = bisected(alphas, &s, o);
    else if (status == VT_OK)
        status = best_candidates(alphas, &s, o->alphas ? o->alphas : standard,
                                 o->alphas ? o->alpha_count : DEFAULT_ALPHAS, o->per_target);
    search_destroy(&s);
    return status;
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
