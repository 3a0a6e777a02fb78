/* The linear systems of ridge regression. */
#include "neural/ridge_system.h"

#include "base/arena.h"
#include "neural/gram.h"
#include "ventral/progress.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_ELEMENTS = 1 << 22 }; /* of the samples at a time: 32 MiB */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void vt_ridge_problem_destroy(vt_ridge_problem *p)
{
    free(p->gram);
    free(p->mean_x);
    free(p->block);
}

vt_status vt_ridge_problem_init(vt_ridge_problem *out, vt_matrix x, const double *y,
                                int64_t targets)
{
    vt_matrix targets_of = {.f64 = y, .rows = x.rows, .columns = targets};
    VT_TRY(vt_matrix_check(&x, "features", "image", "feature"));
    VT_TRY(vt_matrix_check(&targets_of, "responses", "image", "neuron"));
    vt_ridge_problem p = {.x = x, .y = y, .targets = targets};
    int64_t n = x.rows, features = x.columns;
    p.block_columns = vt_gram_block_columns(n, features);
    p.block_rows = smaller(n, BLOCK_ELEMENTS / features + 1);
    int64_t columns_room = n * p.block_columns, rows_room = p.block_rows * features;
    p.block = vt_alloc((size_t)(columns_room > rows_room ? columns_room : rows_room), 8);
    p.mean_x = vt_alloc((size_t)features, sizeof(double));
    bool dual = features > n;
    if (dual) p.gram = vt_alloc((size_t)(n * n), sizeof(double));
    if (!p.block || !p.mean_x || (dual && !p.gram)) {
        vt_ridge_problem_destroy(&p);
        return VT_ENOMEM;
    }
    vt_blas_threads(n * features * smaller(n, features));
    vt_matrix_means(p.mean_x, &x, NULL, n);
    if (dual) {
        vt_gram_add(p.gram, &x, p.mean_x, p.block, p.block_columns);
        vt_gram_mirror(p.gram, n);
    }
    *out = p;
    return VT_OK;
}

void vt_ridge_system_destroy(vt_ridge_system *s)
{
    free(s->matrix);
    free(s->right);
    free(s->values);
    free(s->mean_x);
    free(s->mean_y);
    free(s->gram_mean);
}

static void system_fill_primal(vt_ridge_system *s, vt_ridge_problem *p)
{
    int64_t features = p->x.columns, targets = p->targets;
    double *y = s->values; /* block_rows x targets: lent room */
    vt_matrix_means(s->mean_x, &p->x, s->rows, s->count);
    vt_matrix all_y = {.f64 = p->y, .rows = p->x.rows, .columns = targets};
    for (int64_t i = 0; i < s->count; i += p->block_rows) {
        int rows = (int)smaller(p->block_rows, s->count - i);
        vt_matrix_gather(p->block, &p->x, s->rows + i, rows, 0, features, s->mean_x);
        vt_matrix_gather(y, &all_y, s->rows + i, rows, 0, targets, s->mean_y);
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)features, rows, 1, p->block,
                    (int)features, 1, s->matrix, (int)features);
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)features, (int)targets, rows, 1,
                    p->block, (int)features, y, (int)targets, 1, s->right, (int)targets);
    }
}

static void system_fill_dual(vt_ridge_system *s, const vt_ridge_problem *p)
{
    s->part = (vt_gram_part){.gram = p->gram,
                             .total = p->x.rows,
                             .rows = s->rows,
                             .count = s->count,
                             .mean = s->gram_mean};
    vt_gram_center(s->matrix, &s->part);
    vt_matrix y = {.f64 = p->y, .rows = p->x.rows, .columns = p->targets};
    vt_matrix_gather(s->right, &y, s->rows, s->count, 0, p->targets, s->mean_y);
}

vt_status vt_ridge_system_init(vt_ridge_system *out, vt_ridge_problem *p, const int64_t *rows,
                               int64_t count)
{
    bool dual = p->gram != NULL;
    size_t size = (size_t)(dual ? count : p->x.columns), targets = (size_t)p->targets;
    size_t lent = dual ? 0 : (size_t)p->block_rows * targets;
    vt_ridge_system s = {.rows = rows, .count = count, .size = (int64_t)size};
    s.matrix = vt_alloc(size * size, sizeof(double));
    s.right = vt_alloc(size * targets, sizeof(double));
    s.values = vt_alloc(size > lent ? size : lent, sizeof(double));
    s.mean_x = vt_alloc(dual ? 0 : size, sizeof(double));
    s.mean_y = vt_alloc(targets, sizeof(double));
    s.gram_mean = vt_alloc(dual ? size : 0, sizeof(double));
    if (!s.matrix || !s.right || !s.values || !s.mean_x || !s.mean_y || !s.gram_mean) {
        vt_ridge_system_destroy(&s);
        return VT_ENOMEM;
    }
    vt_matrix y = {.f64 = p->y, .rows = p->x.rows, .columns = p->targets};
    vt_matrix_means(s.mean_y, &y, rows, count);
    if (dual)
        system_fill_dual(&s, p);
    else
        system_fill_primal(&s, p);
    *out = s;
    return VT_OK;
}

/* matrix -> eigenvectors, right -> right in their basis. */
vt_status vt_ridge_system_decompose(vt_ridge_system *s, int64_t targets)
{
    VT_TRY(vt_symmetric_eigen(s->matrix, s->values, s->size));
    double *turned = vt_alloc((size_t)(s->size * targets), sizeof(double));
    if (!turned) return VT_ENOMEM;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->size, (int)targets, (int)s->size,
                1, s->matrix, (int)s->size, s->right, (int)targets, 0, turned, (int)targets);
    free(s->right);
    s->right = turned;
    return VT_OK;
}

/* 1 / (eigenvalue + alpha); directions without variance get 0 where alpha does not help. */
static double filter(const vt_ridge_system *s, int64_t k, double alpha)
{
    double largest = fmax(s->values[s->size - 1], 0), value = fmax(s->values[k], 0) + alpha;
    return value > (double)s->size * DBL_EPSILON * largest ? 1 / value : 0;
}

/* Samples in the eigenvectors' basis: out (count, size). */
vt_status vt_ridge_system_project(double *out, const vt_ridge_system *s, vt_ridge_problem *p,
                                  const int64_t *rows, int64_t count)
{
    int64_t size = s->size;
    if (!p->gram) {
        for (int64_t i = 0; i < count; i += p->block_rows) {
            int64_t n = smaller(p->block_rows, count - i);
            vt_matrix_gather(p->block, &p->x, rows + i, n, 0, size, s->mean_x);
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)size, (int)size, 1,
                        p->block, (int)size, s->matrix, (int)size, 0, out + i * size, (int)size);
        }
        return VT_OK;
    }
    double *kernel = vt_alloc((size_t)(count * size), sizeof(double));
    if (!kernel) return VT_ENOMEM;
    vt_gram_center_others(kernel, &s->part, rows, count);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)count, (int)size, (int)size, 1,
                kernel, (int)size, s->matrix, (int)size, 0, out, (int)size);
    free(kernel);
    return VT_OK;
}

/* (size, targets): right filtered with each target's alpha. */
static void system_filter(double *out, const vt_ridge_system *s, const double *alphas,
                          int64_t targets)
{
    for (int64_t k = 0; k < s->size; k++)
        for (int64_t t = 0; t < targets; t++)
            out[k * targets + t] = s->right[k * targets + t] * filter(s, k, alphas[t]);
}

/* Predictions (count, targets) from projected samples, an alpha for each target. */
void vt_ridge_system_predict(double *out, const vt_ridge_system *s, const double *projected,
                             int64_t count, const double *alphas, int64_t targets, double *room)
{
    system_filter(room, s, alphas, targets);
    for (int64_t i = 0; i < count; i++)
        memcpy(out + i * targets, s->mean_y, (size_t)targets * sizeof *out);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)targets, (int)s->size,
                1, projected, (int)s->size, room, (int)targets, 1, out, (int)targets);
}

double vt_ridge_problem_scale(const vt_ridge_problem *p)
{
    double sum = 0;
    int64_t n = p->x.rows;
    if (p->gram) {
        for (int64_t i = 0; i < n; i++)
            sum += p->gram[i * n + i];
    } else {
        for (int64_t i = 0; i < n; i++) {
            vt_matrix_gather(p->block, &p->x, &i, 1, 0, p->x.columns, p->mean_x);
            sum += cblas_ddot((int)p->x.columns, p->block, 1, p->block, 1);
        }
    }
    return sum > 0 ? sum / (double)n : 1;
}

vt_status vt_ridge_system_solve(vt_ridge_system *s, const double *alphas, int64_t targets)
{
    int64_t size = s->size;
    bool one = alphas[0] > 0;
    for (int64_t t = 1; t < targets; t++)
        one = one && alphas[t] == alphas[0];
    if (one) {
        double *copy = vt_alloc((size_t)(size * size), sizeof(double));
        double *solution = vt_alloc((size_t)(size * targets), sizeof(double));
        vt_status status = copy && solution ? VT_OK : VT_ENOMEM;
        if (status == VT_OK) {
            memcpy(copy, s->matrix, (size_t)(size * size) * sizeof *copy);
            memcpy(solution, s->right, (size_t)(size * targets) * sizeof *solution);
            for (int64_t i = 0; i < size; i++)
                copy[i * size + i] += alphas[0];
            status = vt_cholesky_solve(copy, solution, size, targets);
        }
        if (status == VT_OK) memcpy(s->right, solution, (size_t)(size * targets) * sizeof(double));
        free(copy);
        free(solution);
        if (status != VT_ENUMERIC)
            return status; /* else alpha is too small for it to be definite */
    }
    VT_TRY(vt_ridge_system_decompose(s, targets));
    double *filtered = vt_alloc((size_t)(size * targets), sizeof(double));
    if (!filtered) return VT_ENOMEM;
    system_filter(filtered, s, alphas, targets);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)size, (int)targets, (int)size, 1,
                s->matrix, (int)size, filtered, (int)targets, 0, s->right, (int)targets);
    free(filtered);
    return VT_OK;
}
