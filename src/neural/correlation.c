/* Pearson's correlation, in two passes: r = sum xy / sqrt(sum x^2 sum y^2), x and y centered. */
#include "ventral/score.h"

#include <math.h>

/* Rounding gives a constant vector a tiny variance, so constancy is judged on the values. */
static bool is_constant(const double *x, int64_t count)
{
    for (int64_t i = 1; i < count; i++)
        if (x[i] != x[0]) return false;
    return true;
}

double vt_pearson(const double *x, const double *y, int64_t count)
{
    if (count < 2 || is_constant(x, count) || is_constant(y, count)) return NAN;
    double mean_x = 0, mean_y = 0;
    for (int64_t i = 0; i < count; i++) {
        mean_x += x[i];
        mean_y += y[i];
    }
    mean_x /= (double)count;
    mean_y /= (double)count;
    double xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < count; i++) {
        double dx = x[i] - mean_x, dy = y[i] - mean_y;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    double r = xy / (sqrt(xx) * sqrt(yy));
    return r > 1 ? 1 : r < -1 ? -1 : r;
}
