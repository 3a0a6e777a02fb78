/* Ridge regression: w = (X'X + alpha I)^-1 X'Y = X' (XX' + alpha I)^-1 Y, X and Y centered
 * (Hoerl & Kennard 1970; the second, dual form in Saunders, Gammerman & Vovk 1998). */
#include "neural/readout.h"

#include "base/arena.h"
#include "neural/ridge_alpha.h"
#include "ventral/progress.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

vt_ridge_options vt_ridge_options_default(void)
{
    return (vt_ridge_options){.alpha = -1, .alpha_low = 1e-6, .alpha_high = 1e5, .folds = 5};
}

vt_status vt_ridge_new(vt_ridge **out, int64_t features, int64_t targets)
{
    vt_ridge *r = vt_alloc(1, sizeof *r);
    if (!r) return VT_ENOMEM;
    r->features = features;
    r->targets = targets;
    r->mean_x = vt_alloc((size_t)features, sizeof(double));
    r->mean_y = vt_alloc((size_t)targets, sizeof(double));
    r->weights = vt_alloc((size_t)features, (size_t)targets * sizeof(double));
    r->intercept = vt_alloc((size_t)targets, sizeof(double));
    r->alphas = vt_alloc((size_t)targets, sizeof(double));
    if (!r->mean_x || !r->mean_y || !r->weights || !r->intercept || !r->alphas) {
        vt_ridge_free(r);
        return VT_ENOMEM;
    }
    *out = r;
    return VT_OK;
}

void vt_ridge_set_intercept(vt_ridge *r)
{
    int targets = (int)r->targets;
    memcpy(r->intercept, r->mean_y, (size_t)r->targets * sizeof(double));
    cblas_dgemv(CblasRowMajor, CblasTrans, (int)r->features, targets, -1, r->weights, targets,
                r->mean_x, 1, 1, r->intercept, 1);
}

/* Fills means, weights and intercept from the solved system of all samples. */
static void ridge_fill(vt_ridge *r, vt_ridge_problem *p, const vt_ridge_system *s)
{
    int64_t targets = r->targets;
    memcpy(r->mean_x, p->mean_x, (size_t)r->features * sizeof(double));
    memcpy(r->mean_y, s->mean_y, (size_t)r->targets * sizeof(double));
    if (!p->gram) memcpy(r->weights, s->right, (size_t)(r->features * r->targets) * sizeof(double));
    if (p->gram)
        vt_gram_weights(r->weights, &p->x, s->rows, s->count, p->mean_x, s->right, targets,
                        p->block, p->block_columns);
    vt_ridge_set_intercept(r);
}

static vt_status fit(vt_ridge **out, vt_matrix x, const double *y, int64_t targets,
                     const vt_ridge_options *options)
{
    vt_ridge_options o = options ? *options : vt_ridge_options_default();
    vt_ridge_problem p;
    vt_ridge_system s = {0};
    vt_ridge *ridge = NULL;
    int64_t *order = NULL;
    VT_TRY(vt_ridge_problem_init(&p, x, y, targets));
    vt_status status = vt_ridge_check_options(&o, x.rows);
    if (status == VT_OK) status = vt_folds_deal(&order, x.rows, o.seed);
    if (status == VT_OK) status = vt_ridge_new(&ridge, x.columns, targets);
    if (status == VT_OK) status = vt_ridge_choose_alphas(ridge->alphas, &p, order, x.rows, &o);
    if (status == VT_OK) status = vt_ridge_system_init(&s, &p, order, x.rows);
    if (status == VT_OK) status = vt_ridge_system_solve(&s, ridge->alphas, targets);
    if (status == VT_OK) {
        ridge_fill(ridge, &p, &s);
        *out = ridge;
        ridge = NULL;
    }
    vt_ridge_free(ridge);
    free(order);
    vt_ridge_system_destroy(&s);
    vt_ridge_problem_destroy(&p);
    return status;
}

vt_status vt_ridge_fit(vt_ridge **out, const double *x, const double *y, int64_t samples,
                       int64_t features, int64_t targets, const vt_ridge_options *options)
{
    vt_matrix m = {.f64 = x, .rows = samples, .columns = features};
    return fit(out, m, y, targets, options);
}

vt_status vt_ridge_fit_float(vt_ridge **out, const float *x, const double *y, int64_t samples,
                             int64_t features, int64_t targets, const vt_ridge_options *options)
{
    vt_matrix m = {.f32 = x, .rows = samples, .columns = features};
    return fit(out, m, y, targets, options);
}

void vt_ridge_free(vt_ridge *ridge)
{
    if (!ridge) return;
    free(ridge->mean_x);
    free(ridge->mean_y);
    free(ridge->weights);
    free(ridge->intercept);
    free(ridge->alphas);
    free(ridge);
}

static vt_status predict(const vt_ridge *ridge, double *out, vt_matrix x)
{
    vt_linear_map map = {ridge->mean_x, ridge->mean_y, ridge->weights, ridge->targets};
    return vt_matrix_predict(out, &x, &map);
}

vt_status vt_ridge_predict(const vt_ridge *ridge, double *out, const double *x, int64_t samples)
{
    return predict(ridge, out, (vt_matrix){.f64 = x, .rows = samples, .columns = ridge->features});
}

vt_status vt_ridge_predict_float(const vt_ridge *ridge, double *out, const float *x,
                                 int64_t samples)
{
    return predict(ridge, out, (vt_matrix){.f32 = x, .rows = samples, .columns = ridge->features});
}

int64_t vt_ridge_features(const vt_ridge *ridge)
{
    return ridge->features;
}

int64_t vt_ridge_targets(const vt_ridge *ridge)
{
    return ridge->targets;
}

const double *vt_ridge_weights(const vt_ridge *ridge)
{
    return ridge->weights;
}

const double *vt_ridge_intercept(const vt_ridge *ridge)
{
    return ridge->intercept;
}

const double *vt_ridge_alphas(const vt_ridge *ridge)
{
    return ridge->alphas;
}

/* Predicts the samples of one outer fold from the others. */
static vt_status predict_fold(double *out, vt_ridge_problem *p, const int64_t *train,
                              int64_t train_count, const int64_t *test, int64_t test_count,
                              const vt_ridge_options *o)
{
    int64_t targets = p->targets;
    vt_ridge_system s = {0};
    double *alphas = vt_alloc((size_t)targets, sizeof(double));
    double *prediction = vt_alloc((size_t)(test_count * targets), sizeof(double));
    double *projected = NULL, *room = NULL;
    vt_status status = alphas && prediction ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = vt_ridge_choose_alphas(alphas, p, train, train_count, o);
    if (status == VT_OK) status = vt_ridge_system_init(&s, p, train, train_count);
    if (status == VT_OK) status = vt_ridge_system_decompose(&s, targets);
    if (status == VT_OK) {
        projected = vt_alloc((size_t)(test_count * s.size), sizeof(double));
        room = vt_alloc((size_t)(s.size * targets), sizeof(double));
        status = projected && room ? vt_ridge_system_project(projected, &s, p, test, test_count)
                                   : VT_ENOMEM;
    }
    if (status == VT_OK) {
        vt_ridge_system_predict(prediction, &s, projected, test_count, alphas, targets, room);
        for (int64_t i = 0; i < test_count; i++)
            memcpy(out + test[i] * targets, prediction + i * targets,
                   (size_t)targets * sizeof *out);
    }
    free(alphas);
    free(prediction);
    free(projected);
    free(room);
    vt_ridge_system_destroy(&s);
    return status;
}

static vt_status cross_validate(double *out, vt_matrix x, const double *y, int64_t targets,
                                const vt_ridge_options *options)
{
    vt_ridge_options o = options ? *options : vt_ridge_options_default();
    vt_ridge_problem p;
    int64_t *order = NULL, *train = NULL;
    VT_TRY(vt_ridge_problem_init(&p, x, y, targets));
    double *predictions = vt_alloc((size_t)(x.rows * targets), sizeof(double));
    vt_status status = predictions ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = vt_folds_check(o.folds, x.rows);
    /* The inner folds divide what the largest outer one leaves. */
    if (status == VT_OK)
        status = vt_ridge_check_options(&o, x.rows - (x.rows + o.folds - 1) / o.folds);
    if (status == VT_OK) status = vt_folds_deal(&order, x.rows, o.seed);
    if (status == VT_OK) {
        train = vt_alloc((size_t)x.rows, sizeof(int64_t));
        if (!train) status = VT_ENOMEM;
    }
    for (int f = 0; status == VT_OK && f < o.folds; f++) {
        int64_t first, last;
        vt_folds_get(train, &first, &last, order, x.rows, o.folds, f);
        status = predict_fold(predictions, &p, train, x.rows - (last - first), order + first,
                              last - first, &o);
    }
    if (status == VT_OK) memcpy(out, predictions, (size_t)(x.rows * targets) * sizeof *out);
    free(predictions);
    free(order);
    free(train);
    vt_ridge_problem_destroy(&p);
    return status;
}

vt_status vt_ridge_cross_validate(double *out, const double *x, const double *y, int64_t samples,
                                  int64_t features, int64_t targets,
                                  const vt_ridge_options *options)
{
    vt_matrix m = {.f64 = x, .rows = samples, .columns = features};
    return cross_validate(out, m, y, targets, options);
}

vt_status vt_ridge_cross_validate_float(double *out, const float *x, const double *y,
                                        int64_t samples, int64_t features, int64_t targets,
                                        const vt_ridge_options *options)
{
    vt_matrix m = {.f32 = x, .rows = samples, .columns = features};
    return cross_validate(out, m, y, targets, options);
}
