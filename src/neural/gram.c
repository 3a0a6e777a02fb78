/* Inner products of samples, made block by block from features that may be floats. */
#include "neural/gram.h"

#include <cblas.h>

enum { BLOCK_ELEMENTS = 1 << 22 };

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t vt_gram_block_columns(int64_t samples, int64_t features)
{
    return smaller(features, BLOCK_ELEMENTS / samples + 1);
}

void vt_gram_add(double *gram, const vt_matrix *x, const double *mean, double *block,
                 int64_t block_columns)
{
    int n = (int)x->rows;
    for (int64_t first = 0; first < x->columns; first += block_columns) {
        int columns = (int)smaller(block_columns, x->columns - first);
        vt_matrix_gather(block, x, NULL, n, first, columns, mean);
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, n, columns, 1, block, columns, 1, gram,
                    n);
    }
}

void vt_gram_mirror(double *gram, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++)
            gram[i * n + j] = gram[j * n + i];
}

void vt_gram_center(double *out, vt_gram_part *part)
{
    int64_t n = part->count;
    part->grand = 0;
    for (int64_t i = 0; i < n; i++) {
        const double *from = part->gram + part->rows[i] * part->total;
        part->mean[i] = 0;
        for (int64_t j = 0; j < n; j++) {
            double value = from[part->rows[j]];
            out[i * n + j] = value;
            part->mean[i] += value / (double)n;
        }
        part->grand += part->mean[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            out[i * n + j] += part->grand - part->mean[i] - part->mean[j];
}

void vt_gram_center_others(double *out, const vt_gram_part *part, const int64_t *others,
                           int64_t count)
{
    int64_t n = part->count;
    for (int64_t i = 0; i < count; i++) {
        const double *from = part->gram + others[i] * part->total;
        double mean = 0;
        for (int64_t j = 0; j < n; j++)
            mean += from[part->rows[j]] / (double)n;
        for (int64_t j = 0; j < n; j++)
            out[i * n + j] = from[part->rows[j]] - mean - part->mean[j] + part->grand;
    }
}

void vt_gram_weights(double *weights, const vt_matrix *x, const int64_t *rows, int64_t count,
                     const double *mean, const double *dual, int64_t targets, double *block,
                     int64_t block_columns)
{
    for (int64_t first = 0; first < x->columns; first += block_columns) {
        int columns = (int)smaller(block_columns, x->columns - first);
        vt_matrix_gather(block, x, rows, count, first, columns, mean);
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, columns, (int)targets, (int)count, 1,
                    block, columns, dual, (int)targets, 0, weights + first * targets, (int)targets);
    }
}
