/* The interpolating cubic spline in terms of its second derivatives M at the points (de Boor 1978,
 * "A practical guide to splines", chapter IV), h the distances between points, d the slopes:
 *   h[i-1] M[i-1] + 2 (h[i-1] + h[i]) M[i] + h[i] M[i+1] = 6 (d[i] - d[i-1]),
 * and at both ends M[0] = M[1] + (M[1] - M[2]) h[0] / h[1]. */
#include "physiology/spline.h"

void vt_spline_fit(double *second, double *work, const double *x, const double *y, int count)
{
    double *upper = work, *m = second;
    int last = count - 1;
    /* Elimination from the second point to the last but one. */
    for (int i = 1; i < last; i++) {
        double before = x[i] - x[i - 1], after = x[i + 1] - x[i];
        double right = 6 * ((y[i + 1] - y[i]) / after - (y[i] - y[i - 1]) / before);
        double low = before, diagonal = 2 * (before + after), high = after;
        if (i == 1) {
            diagonal += before * (1 + before / after);
            high -= before * before / after;
            low = 0;
        }
        if (i == last - 1) {
            diagonal += after * (1 + after / before);
            low -= after * after / before;
            high = 0;
        }
        double pivot = diagonal - (i > 1 ? low * upper[i - 1] : 0);
        upper[i] = high / pivot;
        m[i] = (right - (i > 1 ? low * m[i - 1] : 0)) / pivot;
    }
    for (int i = last - 2; i >= 1; i--)
        m[i] -= upper[i] * m[i + 1];
    m[0] = m[1] + (m[1] - m[2]) * (x[1] - x[0]) / (x[2] - x[1]);
    m[last] = m[last - 1] +
              (m[last - 1] - m[last - 2]) * (x[last] - x[last - 1]) / (x[last - 1] - x[last - 2]);
}

double vt_spline_at(const double *x, const double *y, const double *second, int count,
                    double position)
{
    int low = 0, high = count - 1;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (position < x[middle])
            high = middle;
        else
            low = middle;
    }
    double h = x[high] - x[low], a = (x[high] - position) / h, b = (position - x[low]) / h;
    return a * y[low] + b * y[high] +
           ((a * a * a - a) * second[low] + (b * b * b - b) * second[high]) * h * h / 6;
}
