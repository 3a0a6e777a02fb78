/* Dense linear algebra of the readouts: matrices of float or double read as centered double blocks,
 * symmetric eigenvectors and positive definite systems by LAPACK. */
#ifndef VT_NEURAL_LINALG_H
#define VT_NEURAL_LINALG_H

#include "ventral/progress.h"

/* A row-major matrix of the caller's; exactly one of the pointers is set. */
typedef struct vt_matrix {
    const double *f64;
    const float *f32;
    int64_t rows, columns;
} vt_matrix;

/* VT_EINVAL when a size is not in 1 .. INT32_MAX (LAPACK's range) or memory could not hold it;
 * VT_ENUMERIC, naming row and column, when an element is not finite. `row_name` is what a row
 * means ("image"), `column_name` a column. */
vt_status vt_matrix_check(const vt_matrix *m, const char *what, const char *row_name,
                          const char *column_name);

/* out (count, columns) = elements of the rows `rows` (NULL: the first `count`) and the columns from
 * `first`, less `mean` (all columns of the matrix; NULL: 0). */
void vt_matrix_gather(double *out, const vt_matrix *m, const int64_t *rows, int64_t count,
                      int64_t first, int64_t columns, const double *mean);

/* Means (columns) of the rows `rows` (NULL: the first `count`). */
void vt_matrix_means(double *out, const vt_matrix *m, const int64_t *rows, int64_t count);

/* y = (x - mean_x) weights + mean_y */
typedef struct vt_linear_map {
    const double *mean_x, *mean_y; /* (columns of x), (targets) */
    const double *weights;         /* (columns of x, targets) */
    int64_t targets;
} vt_linear_map;

/* out (rows, targets) from features, which are checked and read in blocks of rows. */
vt_status vt_matrix_predict(double *out, const vt_matrix *x, const vt_linear_map *map);

/* Threads worth starting for about `work` multiplications: one for little work, which waiting for
 * each other would only slow down. */
static inline int vt_threads_for(int64_t work)
{
    return work > 1 << 20 ? vt_threads() : 1;
}

/* Has BLAS use that many threads. For each function that is going to call BLAS; 0 within loops that
 * are parallel themselves. */
void vt_blas_threads(int64_t work);

/* Eigenvalues, ascending, and eigenvectors of the symmetric `a` (n, n), of which the upper triangle
 * (row <= column) is read: row k of `a` becomes eigenvector k. VT_ENUMERIC when it fails. */
vt_status vt_symmetric_eigen(double *a, double *values, int64_t n);

/* Solves a x = b for symmetric positive definite `a` (n, n), upper triangle read, and b (n, m),
 * which becomes x; `a` is destroyed. VT_ENUMERIC when `a` is not positive definite. */
vt_status vt_cholesky_solve(double *a, double *b, int64_t n, int64_t m);

#endif
