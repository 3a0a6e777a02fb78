/* Short loops over contiguous REALs, shared by the layers with parameters. Included inside the part
 * of a file that is compiled for each precision (see real.h), hence without a guard. */

/* sum[r] += a[r step ...] . x for `rows` rows, TOGETHER or 1. */
static inline void FN(add_dots)(REAL *sum, int rows, const REAL *a, int64_t step, const REAL *x,
                                int64_t n)
{
    REAL s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    if (rows == 1) {
#pragma omp simd reduction(+ : s0)
        for (int64_t i = 0; i < n; i++)
            s0 += a[i] * x[i];
        sum[0] += s0;
        return;
    }
    const REAL *b = a + step, *c = b + step, *d = c + step;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (int64_t i = 0; i < n; i++) {
        s0 += a[i] * x[i];
        s1 += b[i] * x[i];
        s2 += c[i] * x[i];
        s3 += d[i] * x[i];
    }
    sum[0] += s0;
    sum[1] += s1;
    sum[2] += s2;
    sum[3] += s3;
}

/* y += sum of s[r] a[r step ...] over `rows` rows, TOGETHER or 1. */
static inline void FN(add_rows)(REAL *restrict y, const REAL *s, int rows, const REAL *restrict a,
                                int64_t step, int64_t n)
{
    const REAL s0 = s[0];
    if (rows == 1) {
        for (int64_t i = 0; i < n; i++)
            y[i] += s0 * a[i];
        return;
    }
    const REAL s1 = s[1], s2 = s[2], s3 = s[3];
    const REAL *restrict b = a + step, *restrict c = b + step, *restrict d = c + step;
    for (int64_t i = 0; i < n; i++)
        y[i] += (s0 * a[i] + s1 * b[i]) + (s2 * c[i] + s3 * d[i]);
}

/* y[column] += the column's sum in x (rows, columns), summed in double: gradients of biases. */
static inline void FN(add_column_sums)(REAL *y, const REAL *x, int64_t rows, int64_t columns)
{
    enum { BLOCK = 16 };
#pragma omp parallel for schedule(static)                                                          \
    num_threads(vt_threads()) if (rows * columns > VT_PARALLEL_WORK)
    for (int64_t first = 0; first < columns; first += BLOCK) {
        int64_t n = vt_min(BLOCK, columns - first);
        double sum[BLOCK] = {0};
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < n; i++)
                sum[i] += x[r * columns + first + i];
        for (int64_t i = 0; i < n; i++)
            y[first + i] += (REAL)sum[i];
    }
}
