/* Partial least squares regression (Wold 1975; NIPALS as in scikit-learn's PLSRegression, mode A,
 * x and y deflated by the scores of x), in terms of samples (Rannar, Lindgren, Geladi & Wold 1994;
 * Rosipal & Trejo 2001). With X, Y centered, Y deflated and K = XX':
 *
 *   w = X'u / |X'u|, t = X_k w, q = Y't / t't, u = Y q / q'q     until w stays
 *   Y -= t t'Y / t't
 *
 * w is kept as X'a, and x is never deflated: X_k w = (I - TT') K a, T the scores so far, of length
 * one. Scores in terms of X itself are t = K s, and predictions from kernels K* are K* S T'Y. */
#include "neural/pls.h"

#include "base/arena.h"
#include "neural/gram.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

vt_status vt_pls_check_options(vt_pls_options *out, const vt_pls_options *options)
{
    vt_pls_options o = options ? *options : (vt_pls_options){.components = 0};
    if (o.components < 0 || o.iterations < 0 || !(o.tolerance >= 0) || !isfinite(o.tolerance))
        return vt_error(VT_EINVAL, "partial least squares: components, iterations and tolerance "
                                   "must be positive");
    if (o.components == 0) o.components = 25;
    if (o.iterations == 0) o.iterations = 500;
    if (o.tolerance == 0) o.tolerance = 1e-6;
    *out = o;
    return VT_OK;
}

/* ---- components, in terms of samples ---- */

typedef struct components {
    int n, m;           /* samples, targets */
    const double *gram; /* (n, n) */
    double *y;          /* (n, m) */
    double *answered;   /* (n, m): (I - TT') K Y */
    double *scores;     /* (components, n): T, orthonormal rows */
    double *duals;      /* (components, n): S */
    double *q, *u, *z;  /* (m); (n): Y q and (I - TT') K Y q */
    double *a, *t;      /* (n): of the power method: w = X'a, t = X_k w */
    double *overlap;    /* (components, max(m, 2)) */
    int found;
} components;

static void components_free(components *c)
{
    free(c->answered);
    free(c->scores);
    free(c->duals);
    free(c->q);
    free(c->u);
    free(c->z);
    free(c->a);
    free(c->t);
    free(c->overlap);
}

static vt_status components_new(components *c, int wanted)
{
    size_t n = (size_t)c->n, m = (size_t)c->m, k = (size_t)wanted;
    c->answered = vt_alloc(n * m, sizeof(double));
    c->scores = vt_alloc(k * n, sizeof(double));
    c->duals = vt_alloc(k * n, sizeof(double));
    c->q = vt_alloc(m, sizeof(double));
    c->u = vt_alloc(n, sizeof(double));
    c->z = vt_alloc(n, sizeof(double));
    c->a = vt_alloc(n, sizeof(double));
    c->t = vt_alloc(n, sizeof(double));
    c->overlap = vt_alloc(k, (m > 2 ? m : 2) * sizeof(double));
    return c->answered && c->scores && c->duals && c->q && c->u && c->z && c->a && c->t &&
                   c->overlap
               ? VT_OK
               : VT_ENOMEM;
}

/* Sets to zero the columns that rounding alone is left of, and finds the first other one; -1: none.
 * The bounds are scikit-learn's. */
static int first_target(components *c)
{
    int first = -1;
    for (int j = 0; j < c->m; j++) {
        double largest = 0;
        for (int i = 0; i < c->n; i++)
            largest = fmax(largest, fabs(c->y[(int64_t)i * c->m + j]));
        if (largest < 10 * DBL_EPSILON) {
            for (int i = 0; i < c->n; i++)
                c->y[(int64_t)i * c->m + j] = 0;
        } else if (first < 0) {
            first = j;
        }
    }
    return first;
}

/* answered = (I - TT') K Y */
static void answer(components *c)
{
    int n = c->n, m = c->m, k = c->found;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, m, n, 1, c->gram, n, c->y, m, 0,
                c->answered, m);
    if (k == 0) return;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, k, m, n, 1, c->scores, n, c->answered, m,
                0, c->overlap, m);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, m, k, -1, c->scores, n, c->overlap, m,
                1, c->answered, m);
}

/* The power method for the next w, from the column `start` of Y; leaves w's `a`. */
static void find_direction(components *c, int start, const vt_pls_options *o)
{
    int n = c->n, m = c->m;
    cblas_dcopy(n, c->y + start, m, c->u, 1);
    cblas_dcopy(n, c->answered + start, m, c->z, 1);
    for (int iteration = 0; iteration < o->iterations; iteration++) {
        double uu = cblas_ddot(n, c->u, 1, c->u, 1), change = 0;
        double length = sqrt(fmax(cblas_ddot(n, c->u, 1, c->z, 1), 0)) / uu + DBL_EPSILON;
        double scale = 1 / (uu * length);
        for (int i = 0; i < n; i++) {
            double a = scale * c->u[i], t = scale * c->z[i];
            change += (a - c->a[i]) * (t - c->t[i]);
            c->a[i] = a;
            c->t[i] = t;
        }
        if (m == 1 || (iteration > 0 && change < o->tolerance)) break;
        double tt = cblas_ddot(n, c->t, 1, c->t, 1);
        if (!(tt > 0)) break;
        cblas_dgemv(CblasRowMajor, CblasTrans, n, m, 1 / tt, c->y, m, c->t, 1, 0, c->q, 1);
        double qq = cblas_ddot(m, c->q, 1, c->q, 1) + DBL_EPSILON;
        cblas_dgemv(CblasRowMajor, CblasNoTrans, n, m, 1 / qq, c->y, m, c->q, 1, 0, c->u, 1);
        cblas_dgemv(CblasRowMajor, CblasNoTrans, n, m, 1 / qq, c->answered, m, c->q, 1, 0, c->z, 1);
    }
}

/* Makes the score of direction `a`: K a made orthogonal to the scores before, twice because of
 * rounding, and of length one; false when nothing is left. */
static bool add_score(components *c, double total)
{
    int n = c->n, k = c->found;
    double rounding = n * DBL_EPSILON;
    /* a'K a is 1 as far as X_k'u was more than rounding. */
    if (!(cblas_ddot(n, c->a, 1, c->a, 1) * rounding * total < 1)) return false;
    double *t = c->scores + (int64_t)k * n, *s = c->duals + (int64_t)k * n;
    cblas_dsymv(CblasRowMajor, CblasUpper, n, 1, c->gram, n, c->a, 1, 0, t, 1);
    memcpy(s, c->a, (size_t)n * sizeof *s);
    for (int pass = 0; pass < 2 && k > 0; pass++) {
        cblas_dgemv(CblasRowMajor, CblasNoTrans, k, n, 1, c->scores, n, t, 1, 0, c->overlap, 1);
        cblas_dgemv(CblasRowMajor, CblasTrans, k, n, -1, c->scores, n, c->overlap, 1, 1, t, 1);
        cblas_dgemv(CblasRowMajor, CblasTrans, k, n, -1, c->duals, n, c->overlap, 1, 1, s, 1);
    }
    double length = cblas_dnrm2(n, t, 1);
    if (!(length > rounding * sqrt(total))) return false;
    cblas_dscal(n, 1 / length, t, 1);
    cblas_dscal(n, 1 / length, s, 1);
    return true;
}

/* out += s q', Y -= t q', q = Y't. */
static void take_score(components *c, double *out)
{
    int n = c->n, m = c->m;
    const double *t = c->scores + (int64_t)c->found * n, *s = c->duals + (int64_t)c->found * n;
    cblas_dgemv(CblasRowMajor, CblasTrans, n, m, 1, c->y, m, t, 1, 0, c->q, 1);
    cblas_dger(CblasRowMajor, n, m, 1, s, 1, c->q, 1, out, m);
    cblas_dger(CblasRowMajor, n, m, -1, t, 1, c->q, 1, c->y, m);
    c->found++;
}

vt_status vt_pls_dual(double *out, int *out_components, const double *gram, double *y,
                      int64_t samples, int64_t targets, const vt_pls_options *options)
{
    components c = {.n = (int)samples, .m = (int)targets, .gram = gram, .y = y};
    double total = 0;
    for (int64_t i = 0; i < samples; i++)
        total += gram[i * samples + i];
    if (!isfinite(total))
        return vt_error(VT_ENUMERIC, "features are too large: their squares overflow");
    vt_status status = components_new(&c, options->components);
    if (status == VT_OK) memset(out, 0, (size_t)(samples * targets) * sizeof *out);
    while (status == VT_OK && c.found < options->components) {
        int start = first_target(&c);
        if (start < 0) break;
        answer(&c);
        find_direction(&c, start, options);
        if (!add_score(&c, total)) break;
        take_score(&c, out);
    }
    *out_components = c.found;
    components_free(&c);
    return status;
}

/* ---- of features ---- */

struct vt_pls {
    int64_t features, targets;
    int components;
    double *mean_x, *mean_y, *weights;
};

void vt_pls_free(vt_pls *pls)
{
    if (!pls) return;
    free(pls->mean_x);
    free(pls->mean_y);
    free(pls->weights);
    free(pls);
}

static vt_status pls_new(vt_pls **out, int64_t features, int64_t targets)
{
    size_t weights;
    if (!vt_mul_ok(&weights, (size_t)features, (size_t)targets))
        return vt_error(VT_EINVAL, "%lld features of %lld targets are too many",
                        (long long)features, (long long)targets);
    vt_pls *pls = vt_alloc(1, sizeof *pls);
    if (!pls) return VT_ENOMEM;
    pls->features = features;
    pls->targets = targets;
    pls->mean_x = vt_alloc((size_t)features, sizeof(double));
    pls->mean_y = vt_alloc((size_t)targets, sizeof(double));
    pls->weights = vt_alloc(weights, sizeof(double));
    if (!pls->mean_x || !pls->mean_y || !pls->weights) {
        vt_pls_free(pls);
        return VT_ENOMEM;
    }
    *out = pls;
    return VT_OK;
}

/* What fitting needs beside the result. */
typedef struct room {
    double *gram, *y, *dual, *block;
    int64_t block_columns;
} room;

static vt_status room_new(room *out, int64_t samples, int64_t features, int64_t targets)
{
    out->block_columns = vt_gram_block_columns(samples, features);
    out->gram = vt_alloc((size_t)samples, (size_t)samples * sizeof(double));
    out->y = vt_alloc((size_t)samples, (size_t)targets * sizeof(double));
    out->dual = vt_alloc((size_t)samples, (size_t)targets * sizeof(double));
    out->block = vt_alloc((size_t)samples, (size_t)out->block_columns * sizeof(double));
    return out->gram && out->y && out->dual && out->block ? VT_OK : VT_ENOMEM;
}

static void room_free(room *r)
{
    free(r->gram);
    free(r->y);
    free(r->dual);
    free(r->block);
}

static vt_status fill(vt_pls *pls, room *r, const vt_matrix *x, const vt_matrix *y,
                      const vt_pls_options *o)
{
    int64_t n = x->rows, targets = y->columns;
    vt_matrix_means(pls->mean_x, x, NULL, n);
    vt_matrix_means(pls->mean_y, y, NULL, n);
    vt_blas_threads(n * n * x->columns);
    vt_gram_add(r->gram, x, pls->mean_x, r->block, r->block_columns);
    vt_gram_mirror(r->gram, n);
    vt_matrix_gather(r->y, y, NULL, n, 0, targets, pls->mean_y);
    vt_blas_threads(n * targets); /* many small products, few large ones */
    VT_TRY(vt_pls_dual(r->dual, &pls->components, r->gram, r->y, n, targets, o));
    vt_blas_threads(n * x->columns * targets);
    vt_gram_weights(pls->weights, x, NULL, n, pls->mean_x, r->dual, targets, r->block,
                    r->block_columns);
    return VT_OK;
}

static vt_status fit(vt_pls **out, vt_matrix x, const double *y, int64_t targets,
                     const vt_pls_options *options)
{
    vt_pls_options o;
    vt_matrix responses = {.f64 = y, .rows = x.rows, .columns = targets};
    VT_TRY(vt_pls_check_options(&o, options));
    VT_TRY(vt_matrix_check(&x, "features", "image", "feature"));
    VT_TRY(vt_matrix_check(&responses, "responses", "image", "neuron"));
    if (o.components > x.columns || o.components > x.rows - 1)
        return vt_error(VT_EINVAL,
                        "%d components of %lld features of %lld images: at most as many as "
                        "features, and fewer than images",
                        o.components, (long long)x.columns, (long long)x.rows);
    vt_pls *pls = NULL;
    room r = {.gram = NULL};
    vt_status status = pls_new(&pls, x.columns, targets);
    if (status == VT_OK) status = room_new(&r, x.rows, x.columns, targets);
    if (status == VT_OK) status = fill(pls, &r, &x, &responses, &o);
    room_free(&r);
    if (status == VT_OK)
        *out = pls;
    else
        vt_pls_free(pls);
    return status;
}

vt_status vt_pls_fit(vt_pls **out, const double *x, const double *y, int64_t samples,
                     int64_t features, int64_t targets, const vt_pls_options *options)
{
    vt_matrix m = {.f64 = x, .rows = samples, .columns = features};
    return fit(out, m, y, targets, options);
}

vt_status vt_pls_fit_float(vt_pls **out, const float *x, const double *y, int64_t samples,
                           int64_t features, int64_t targets, const vt_pls_options *options)
{
    vt_matrix m = {.f32 = x, .rows = samples, .columns = features};
    return fit(out, m, y, targets, options);
}

static vt_status predict(const vt_pls *pls, double *out, vt_matrix x)
{
    vt_linear_map map = {pls->mean_x, pls->mean_y, pls->weights, pls->targets};
    return vt_matrix_predict(out, &x, &map);
}

vt_status vt_pls_predict(const vt_pls *pls, double *out, const double *x, int64_t samples)
{
    return predict(pls, out, (vt_matrix){.f64 = x, .rows = samples, .columns = pls->features});
}

vt_status vt_pls_predict_float(const vt_pls *pls, double *out, const float *x, int64_t samples)
{
    return predict(pls, out, (vt_matrix){.f32 = x, .rows = samples, .columns = pls->features});
}

int64_t vt_pls_features(const vt_pls *pls)
{
    return pls->features;
}

int64_t vt_pls_targets(const vt_pls *pls)
{
    return pls->targets;
}

int vt_pls_components(const vt_pls *pls)
{
    return pls->components;
}

const double *vt_pls_weights(const vt_pls *pls)
{
    return pls->weights;
}
