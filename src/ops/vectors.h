/* Short loops over contiguous REALs, shared by the layers with parameters. Included inside the part
 * of a file that is compiled for each precision (see real.h), hence without a guard. */

static inline REAL FN(dot)(const REAL *a, const REAL *b, int64_t n)
{
    REAL sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* y += s x */
static inline void FN(axpy)(REAL *restrict y, REAL s, const REAL *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += s * x[i];
}

/* y[column] += the column's sum in x (rows, columns), summed in double: gradients of biases. */
static void FN(add_column_sums)(REAL *y, const REAL *x, int64_t rows, int64_t columns)
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
