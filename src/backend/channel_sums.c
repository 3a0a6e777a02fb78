/* Sums over rows of channels. Rows are read as they lie in memory, in chunks that do not depend on
 * the number of threads. */
#include "backend/channel_sums.h"

#include "backend/vectorized.h"

#include <string.h>

enum { CHUNKS = 32 };

size_t vt_column_scratch_bytes(int64_t columns)
{
    return (size_t)(CHUNKS * columns) * sizeof(double);
}

VECTORIZED static void add_rows(double *restrict sums, const float *restrict x, int64_t rows,
                                int64_t columns)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            sums[c] += x[r * columns + c];
}

void vt_column_sums_add(float *sums, const float *x, int64_t rows, int64_t columns, int threads,
                        double *scratch)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * columns > 32768)
    for (int64_t k = 0; k < CHUNKS; k++) {
        int64_t first = k * rows / CHUNKS, last = (k + 1) * rows / CHUNKS;
        memset(scratch + k * columns, 0, (size_t)columns * sizeof(double));
        add_rows(scratch + k * columns, x + first * columns, last - first, columns);
    }
    for (int64_t c = 0; c < columns; c++) {
        double sum = 0;
        for (int64_t k = 0; k < CHUNKS; k++)
            sum += scratch[k * columns + c];
        sums[c] += (float)sum;
    }
}

VECTORIZED static void multiply_add(float *restrict sums, const float *restrict x,
                                    const float *restrict gy, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sums[i] += x[i] * gy[i];
}

void vt_spatial_pool_kernel_gradient(const vt_spatial_pool *p, const float *x, const float *gy,
                                     float *gk, float *scratch)
{
    int64_t taps = p->taps, channels = p->channels;
#pragma omp parallel num_threads(p->threads)
    {
#pragma omp for schedule(static)
        for (int64_t t = 0; t < taps; t++) {
            float *sums = scratch + t * channels;
            memset(sums, 0, (size_t)channels * sizeof(float));
            for (int64_t n = 0; n < p->batch; n++)
                multiply_add(sums, x + (n * taps + t) * channels, gy + n * channels, channels);
        }
#pragma omp for schedule(static)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t t = 0; t < taps; t++)
                gk[c * taps + t] += scratch[t * channels + c];
    }
}

void vt_spatial_pool_input_gradient(const vt_spatial_pool *p, const float *kernel, const float *gy,
                                    float *gx, float *scratch)
{
    int64_t taps = p->taps, channels = p->channels;
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int64_t t = 0; t < taps; t++) {
        float *packed = scratch + t * channels;
        for (int64_t c = 0; c < channels; c++)
            packed[c] = kernel[c * taps + t];
        for (int64_t n = 0; n < p->batch; n++)
            multiply_add(gx + (n * taps + t) * channels, packed, gy + n * channels, channels);
    }
}
