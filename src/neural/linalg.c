/* Dense linear algebra of the readouts, on OpenBLAS and LAPACKE. */
#include "neural/linalg.h"

#include "base/arena.h"
#include "ventral/progress.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_ELEMENTS = 1 << 22 };

vt_status vt_matrix_check(const vt_matrix *m, const char *what, const char *row_name,
                          const char *column_name)
{
    size_t elements, bytes;
    if (m->rows < 1 || m->columns < 1 || m->rows > INT32_MAX || m->columns > INT32_MAX ||
        !vt_mul_ok(&elements, (size_t)m->rows, (size_t)m->columns) ||
        !vt_mul_ok(&bytes, elements, sizeof(double)) || bytes > PTRDIFF_MAX)
        return vt_error(VT_EINVAL, "%s of size %lld x %lld: sizes must be from 1 to 2^31 - 1", what,
                        (long long)m->rows, (long long)m->columns);
    for (int64_t i = 0; i < m->rows; i++)
        for (int64_t j = 0; j < m->columns; j++) {
            double value = m->f64 ? m->f64[i * m->columns + j] : m->f32[i * m->columns + j];
            if (!isfinite(value))
                return vt_error(VT_ENUMERIC, "%s: the value of %s %lld, %s %lld is %s", what,
                                row_name, (long long)i, column_name, (long long)j,
                                isnan(value) ? "NaN" : "infinite");
        }
    return VT_OK;
}

void vt_matrix_gather(double *out, const vt_matrix *m, const int64_t *rows, int64_t count,
                      int64_t first, int64_t columns, const double *mean)
{
#pragma omp parallel for num_threads(vt_threads_for(count *columns))
    for (int64_t i = 0; i < count; i++) {
        int64_t offset = (rows ? rows[i] : i) * m->columns + first;
        double *to = out + i * columns;
        if (m->f64) {
            for (int64_t j = 0; j < columns; j++)
                to[j] = m->f64[offset + j] - (mean ? mean[first + j] : 0);
        } else {
            for (int64_t j = 0; j < columns; j++)
                to[j] = m->f32[offset + j] - (mean ? mean[first + j] : 0);
        }
    }
}

void vt_matrix_means(double *out, const vt_matrix *m, const int64_t *rows, int64_t count)
{
    memset(out, 0, (size_t)m->columns * sizeof *out);
    for (int64_t i = 0; i < count; i++) {
        int64_t offset = (rows ? rows[i] : i) * m->columns;
        if (m->f64) {
            for (int64_t j = 0; j < m->columns; j++)
                out[j] += m->f64[offset + j];
        } else {
            for (int64_t j = 0; j < m->columns; j++)
                out[j] += m->f32[offset + j];
        }
    }
    for (int64_t j = 0; j < m->columns; j++)
        out[j] /= (double)count;
}

vt_status vt_matrix_predict(double *out, const vt_matrix *x, const vt_linear_map *map)
{
    VT_TRY(vt_matrix_check(x, "features", "image", "feature"));
    int64_t rows = BLOCK_ELEMENTS / x->columns + 1;
    if (rows > x->rows) rows = x->rows;
    int targets = (int)map->targets, columns = (int)x->columns;
    double *block = vt_alloc((size_t)(rows * x->columns), sizeof(double));
    int64_t *wanted = vt_alloc((size_t)rows, sizeof(int64_t));
    vt_status status = block && wanted ? VT_OK : VT_ENOMEM;
    vt_blas_threads(x->rows * x->columns * targets);
    for (int64_t first = 0; status == VT_OK && first < x->rows; first += rows) {
        int64_t count = x->rows - first < rows ? x->rows - first : rows;
        for (int64_t i = 0; i < count; i++) {
            wanted[i] = first + i;
            memcpy(out + (first + i) * targets, map->mean_y, (size_t)targets * sizeof *out);
        }
        vt_matrix_gather(block, x, wanted, count, 0, columns, map->mean_x);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, targets, columns, 1,
                    block, columns, map->weights, targets, 1, out + first * targets, targets);
    }
    free(block);
    free(wanted);
    return status;
}

void vt_blas_threads(int64_t work)
{
    int count = vt_threads_for(work);
    if (openblas_get_num_threads() != count) openblas_set_num_threads(count);
}

static vt_status lapack_status(lapack_int info, const char *what)
{
    if (info == 0) return VT_OK;
    if (info == LAPACK_WORK_MEMORY_ERROR || info == LAPACK_TRANSPOSE_MEMORY_ERROR)
        return vt_error(VT_ENOMEM, "out of memory for %s", what);
    return vt_error(VT_ENUMERIC, "%s failed (LAPACK %d)", what, (int)info);
}

vt_status vt_symmetric_eigen(double *a, double *values, int64_t n)
{
    /* Read by columns the upper triangle is the lower one, and eigenvector k column k: row k. */
    return lapack_status(
        LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'L', (lapack_int)n, a, (lapack_int)n, values),
        "eigendecomposition");
}

vt_status vt_cholesky_solve(double *a, double *b, int64_t n, int64_t m)
{
    VT_TRY(lapack_status(LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', (lapack_int)n, a, (lapack_int)n),
                         "Cholesky factorization"));
    /* By rows, `a` now holds u with u' u = a in its upper triangle. */
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasUpper, CblasTrans, CblasNonUnit, (int)n, (int)m, 1,
                a, (int)n, b, (int)m);
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasUpper, CblasNoTrans, CblasNonUnit, (int)n, (int)m, 1,
                a, (int)n, b, (int)m);
    return VT_OK;
}
