/* Ridge regression by the eigenvectors V and eigenvalues l of a centered Gram matrix K: dual
 * weights V diag(1 / (l + a)) V'y. Leaving out sample i changes its residual e_i to e_i / (1 -
 * h_i), h the diagonal of 11'/n + K (K + a)^-1, exactly (Allen 1974, Technometrics 16:125), so that
 * all penalties are judged from one decomposition. */
#include "neural/kernel_ridge.h"

#include "base/arena.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct decomposition {
    int n, targets;
    double *values;    /* (n) ascending */
    double *vectors;   /* (n, n) in columns; the Gram matrix's memory */
    double *projected; /* (n, targets): V'y */
    double *scaled;    /* (n, targets) */
    double *fitted;    /* (n, targets) */
    double *errors;    /* (targets): of the best penalty so far */
    double *best;      /* (targets) */
} decomposition;

static vt_status make_room(decomposition *d)
{
    size_t n = (size_t)d->n, targets = (size_t)d->targets;
    d->values = vt_alloc(n, sizeof(double));
    d->projected = vt_alloc(n, targets * sizeof(double));
    d->scaled = vt_alloc(n, targets * sizeof(double));
    d->fitted = vt_alloc(n, targets * sizeof(double));
    d->errors = vt_alloc(targets, sizeof(double));
    d->best = vt_alloc(targets, sizeof(double));
    return d->values && d->projected && d->scaled && d->fitted && d->errors && d->best ? VT_OK
                                                                                       : VT_ENOMEM;
}

static void give_back(decomposition *d)
{
    free(d->values);
    free(d->projected);
    free(d->scaled);
    free(d->fitted);
    free(d->errors);
    free(d->best);
}

/* out = V scaled */
static void rotate(const decomposition *d, double *out)
{
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, d->n, d->targets, d->n, 1, d->vectors,
                d->n, d->scaled, d->targets, 0, out, d->targets);
}

/* Keeps `alpha` for the targets that it leaves out best. */
static void judge(decomposition *d, double alpha, const double *y)
{
    for (int j = 0; j < d->n; j++) {
        double value = fmax(d->values[j], 0);
        for (int t = 0; t < d->targets; t++)
            d->scaled[(int64_t)j * d->targets + t] =
                value / (value + alpha) * d->projected[(int64_t)j * d->targets + t];
    }
    rotate(d, d->fitted);
    for (int i = 0; i < d->n; i++) {
        double leverage = 1.0 / d->n;
        for (int j = 0; j < d->n; j++) {
            double v = d->vectors[(int64_t)i * d->n + j], value = fmax(d->values[j], 0);
            leverage += v * v * value / (value + alpha);
        }
        double share = 1 / fmax(1 - leverage, 1e-12);
        for (int t = 0; t < d->targets; t++) { /* residuals in the place of what is fitted */
            int64_t at = (int64_t)i * d->targets + t;
            d->fitted[at] = (y[at] - d->fitted[at]) * share;
        }
    }
    for (int t = 0; t < d->targets; t++) {
        double error = 0;
        for (int i = 0; i < d->n; i++) {
            double e = d->fitted[(int64_t)i * d->targets + t];
            error += e * e;
        }
        if (d->best[t] > 0 && !(error < d->errors[t])) continue;
        d->best[t] = alpha;
        d->errors[t] = error;
    }
}

static void solve(double *out, decomposition *d)
{
    for (int j = 0; j < d->n; j++)
        for (int t = 0; t < d->targets; t++)
            d->scaled[(int64_t)j * d->targets + t] =
                d->projected[(int64_t)j * d->targets + t] / (fmax(d->values[j], 0) + d->best[t]);
    rotate(d, out);
}

vt_status vt_kernel_ridge_dual(double *out, double *alphas, double *gram, const double *y,
                               int64_t samples, int64_t targets)
{
    decomposition d = {.n = (int)samples, .targets = (int)targets, .vectors = gram};
    vt_status status = make_room(&d);
    double mean = 0;
    for (int i = 0; i < d.n; i++)
        mean += gram[(int64_t)i * d.n + i] / d.n;
    memset(out, 0, (size_t)(samples * targets) * sizeof *out);
    if (status == VT_OK && mean > 0) {
        if (LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'U', d.n, gram, d.n, d.values) != 0)
            status = vt_error(VT_ENUMERIC, "ridge: the images' inner products have no eigenvalues");
        if (status == VT_OK) {
            cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, d.n, d.targets, d.n, 1, d.vectors,
                        d.n, y, d.targets, 0, d.projected, d.targets);
            for (int k = 0; k < VT_KERNEL_RIDGE_ALPHAS; k++)
                judge(&d, mean * pow(10, VT_KERNEL_RIDGE_FIRST + k), y);
            solve(out, &d);
        }
    }
    if (status == VT_OK && alphas) memcpy(alphas, d.best, (size_t)targets * sizeof *alphas);
    give_back(&d);
    return status;
}
