/* Smooth functions on a grid: the discrete cosines. */
#include "neural/spatial_basis.h"

#include "base/arena.h"
#include "neural/linalg.h"
#include "ventral/progress.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

static double eigenvalue(int64_t frequency, int64_t size)
{
    return 2 - 2 * cos(pi * (double)frequency / (double)size);
}

static double cosine(int64_t frequency, int64_t position, int64_t size)
{
    double norm = sqrt((frequency ? 2.0 : 1.0) / (double)size);
    return norm * cos(pi * (double)frequency * ((double)position + 0.5) / (double)size);
}

static int64_t frequencies_within(int64_t size, double limit)
{
    int64_t count = 1;
    while (count < size && eigenvalue(count, size) <= limit)
        count++;
    return count;
}

vt_status vt_spatial_basis_init(vt_spatial_basis *out, int64_t height, int64_t width, double limit)
{
    vt_spatial_basis b = {.height = height,
                          .width = width,
                          .rows = frequencies_within(height, limit),
                          .columns = frequencies_within(width, limit)};
    size_t most = (size_t)(b.rows * b.columns);
    b.y = vt_alloc((size_t)(b.rows * height), sizeof(double));
    b.x = vt_alloc((size_t)(b.columns * width), sizeof(double));
    b.row = vt_alloc(most, sizeof(int64_t));
    b.column = vt_alloc(most, sizeof(int64_t));
    b.laplacian = vt_alloc(most, sizeof(double));
    if (!b.y || !b.x || !b.row || !b.column || !b.laplacian) {
        vt_spatial_basis_destroy(&b);
        return VT_ENOMEM;
    }
    for (int64_t u = 0; u < b.rows; u++)
        for (int64_t i = 0; i < height; i++)
            b.y[u * height + i] = cosine(u, i, height);
    for (int64_t v = 0; v < b.columns; v++)
        for (int64_t j = 0; j < width; j++)
            b.x[v * width + j] = cosine(v, j, width);
    for (int64_t u = 0; u < b.rows; u++)
        for (int64_t v = 0; v < b.columns; v++) {
            double value = eigenvalue(u, height) + eigenvalue(v, width);
            if (value > limit && u + v > 0) continue;
            b.row[b.count] = u;
            b.column[b.count] = v;
            b.laplacian[b.count++] = value;
        }
    *out = b;
    return VT_OK;
}

void vt_spatial_basis_destroy(vt_spatial_basis *b)
{
    free(b->y);
    free(b->x);
    free(b->row);
    free(b->column);
    free(b->laplacian);
}

/* One sample: along y, then along x, then what is kept. `room` has (rows, width + columns,
 * channels). */
static void project_sample(const vt_spatial_basis *b, const float *y, const float *x, float *out,
                           const float *features, int64_t channels, float *room)
{
    int line = (int)(b->width * channels), c = (int)channels;
    float *turned = room + b->rows * line;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)b->rows, line, (int)b->height, 1, y,
                (int)b->height, features, line, 0, room, line);
    for (int64_t u = 0; u < b->rows; u++)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)b->columns, c, (int)b->width, 1,
                    x, (int)b->width, room + u * line, c, 0, turned + u * b->columns * channels, c);
    for (int64_t k = 0; k < b->count; k++)
        memcpy(out + k * channels, turned + (b->row[k] * b->columns + b->column[k]) * channels,
               (size_t)channels * sizeof *out);
}

vt_status vt_spatial_basis_project(const vt_spatial_basis *b, float *out, const float *features,
                                   int64_t samples, int64_t channels)
{
    int threads = vt_threads_for(samples * b->height * b->width * channels * b->rows);
    int64_t each = b->rows * (b->width + b->columns) * channels;
    int64_t y_count = b->rows * b->height, x_count = b->columns * b->width;
    float *cosines = vt_alloc((size_t)(y_count + x_count), sizeof *cosines);
    float *room = vt_alloc((size_t)threads, (size_t)each * sizeof *room);
    vt_status status = cosines && room ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) {
        for (int64_t i = 0; i < y_count; i++)
            cosines[i] = (float)b->y[i];
        for (int64_t i = 0; i < x_count; i++)
            cosines[y_count + i] = (float)b->x[i];
        vt_blas_threads(0);
#pragma omp parallel for num_threads(threads)
        for (int64_t i = 0; i < samples; i++)
            project_sample(b, cosines, cosines + y_count, out + i * b->count * channels,
                           features + i * b->height * b->width * channels, channels,
                           room + omp_get_thread_num() * each);
    }
    free(cosines);
    free(room);
    return status;
}

void vt_spatial_basis_expand(const vt_spatial_basis *b, double *map, const double *coefficients)
{
    for (int64_t i = 0; i < b->height; i++)
        for (int64_t j = 0; j < b->width; j++) {
            double sum = 0;
            for (int64_t k = 0; k < b->count; k++)
                sum += coefficients[k] * b->y[b->row[k] * b->height + i] *
                       b->x[b->column[k] * b->width + j];
            map[i * b->width + j] = sum;
        }
}
