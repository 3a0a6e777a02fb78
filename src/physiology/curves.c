/* Properties of tuning curves: what each is stands in curves.h. */
#include "physiology/curves.h"

#include <math.h>

#include "physiology/spline.h"

#define DEGREE (3.14159265358979323846 / 180)

static int largest(const double *values, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        if (values[i] > values[best]) best = i;
    return best;
}

double vt_circular_variance(const double *curve, const double *degrees, int count)
{
    double x = 0, y = 0, sum = 0;
    for (int i = 0; i < count; i++) {
        x += curve[i] * cos(2 * degrees[i] * DEGREE);
        y += curve[i] * sin(2 * degrees[i] * DEGREE);
        sum += fabs(curve[i]);
    }
    return 1 - hypot(x, y) / sum;
}

double vt_orthogonal_ratio(const double *curve, int count)
{
    int preferred = largest(curve, count);
    return curve[(preferred + count / 2) % count] / curve[preferred];
}

/* ---- curves read from a spline ---- */

/* Places below and above `peak` where the sampled curve first falls to `level` of it; -1: none. */
static void find_sides(int *below, int *above, const double *sampled, int count, int peak,
                       double level)
{
    double bound = sampled[peak] * level;
    *below = *above = -1;
    for (int i = peak - 1; i >= 0 && *below < 0; i--)
        if (sampled[i] <= bound) *below = i;
    for (int i = peak + 1; i < count && *above < 0; i++)
        if (sampled[i] <= bound) *above = i;
}

void vt_orientation_tuning(double *bandwidth, double *peak, const double *curve,
                           const double *degrees, int count, double side, double level,
                           double *work)
{
    int long_count = 3 * count, below, above;
    double *x = work, *y = x + long_count, *second = y + long_count, *rest = second + long_count;
    double *sampled = rest + long_count;
    double weight = 1 / (1 + 2 * side);
    for (int i = 0; i < long_count; i++) {
        /* beyond the ends of the repeated curve there is nothing: the published convolution */
        double before = i > 0 ? curve[(i - 1) % count] : 0;
        double after = i < long_count - 1 ? curve[(i + 1) % count] : 0;
        x[i] = degrees[i % count] + 180 * (i / count - 1);
        y[i] = weight * curve[i % count] + side * weight * (before + after);
    }
    vt_spline_fit(second, rest, x, y, long_count);
    for (int i = 0; i < 540; i++)
        sampled[i] = vt_spline_at(x, y, second, long_count, i - 180);
    int preferred = largest(sampled + 180, 180);
    find_sides(&below, &above, sampled, 540, preferred + 180, level);
    *peak = preferred;
    *bandwidth = below < 0 || above < 0 || above - below > 180 ? NAN : 0.5 * (above - below);
}

void vt_frequency_tuning(double *bandwidth, double *peak, const double *curve,
                         const double *frequency, int count, double *work)
{
    enum { PLACES = 100 };
    int below, above;
    double *x = work, *y = x + count, *second = y + count, *rest = second + count;
    double *places = rest + count, *sampled = places + PLACES;
    for (int i = 0; i < count; i++) {
        double before = curve[i > 0 ? i - 1 : 0], after = curve[i < count - 1 ? i + 1 : i];
        x[i] = log2(frequency[i]);
        y[i] = (curve[i] + 0.2 * (before + after)) / 1.4;
    }
    vt_spline_fit(second, rest, x, y, count);
    double step = (x[count - 1] - x[0]) / (PLACES - 1);
    for (int i = 0; i < PLACES; i++) {
        places[i] = i == PLACES - 1 ? x[count - 1] : x[0] + i * step;
        sampled[i] = vt_spline_at(x, y, second, count, places[i]);
    }
    int preferred = largest(sampled, PLACES);
    find_sides(&below, &above, sampled, PLACES, preferred, 0.707);
    *peak = exp2(places[preferred]);
    *bandwidth = below < 0 || above < 0 ? NAN : exp2(places[below]) / exp2(places[above]) * 100;
}

vt_size_tuning vt_size_tuning_of(const double *curve, const double *radius, int count)
{
    int preferred = largest(curve, count);
    double peak = curve[preferred], plateau = curve[count - 1];
    vt_size_tuning t = {.suppression = (peak - plateau) / peak, .summation = NAN, .surround = NAN};
    if (!(peak > 0 && t.suppression > 0.1)) return t;
    double threshold = plateau + 0.05 * fabs(plateau);
    for (int i = count - 1; i >= 0; i--) {
        if (curve[i] >= peak * 0.95) t.summation = 2 * radius[i];
        if (curve[i] <= threshold && i > preferred) t.surround = 2 * radius[i];
    }
    return t;
}

/* ---- textures ---- */

double vt_texture_modulation(const double *texture, const double *noise, int families)
{
    double sum = 0;
    int defined = 0;
    for (int i = 0; i < families; i++) {
        double index = (texture[i] - noise[i]) / (texture[i] + noise[i]);
        if (isnan(index)) continue;
        sum += index;
        defined++;
    }
    return sum / defined;
}

double vt_sparseness(const double *responses, int64_t count)
{
    double sum = 0, squares = 0, n = (double)count;
    for (int64_t i = 0; i < count; i++) {
        sum += responses[i];
        squares += responses[i] * responses[i];
    }
    return (1 - (sum / n) * (sum / n) / (squares / n)) / (1 - 1 / n);
}

vt_variance_shares vt_variance_shares_of(const double *responses, int families, int samples)
{
    /* Sums are of differences from one response, so that constant responses vary by exactly 0. */
    double all = 0, sample = 0, family = 0, origin = responses[0];
    for (int64_t i = 0; i < (int64_t)families * samples; i++)
        all += responses[i] - origin;
    all /= (double)families * samples;
    for (int f = 0; f < families; f++) {
        const double *row = responses + (int64_t)f * samples;
        double mean = 0;
        for (int s = 0; s < samples; s++)
            mean += row[s] - origin;
        mean /= samples;
        for (int s = 0; s < samples; s++)
            sample += (row[s] - origin - mean) * (row[s] - origin - mean);
        family += (mean - all) * (mean - all);
    }
    sample /= (double)families * (samples - 1);
    family = (samples * family / (families - 1) - sample) / samples;
    double total = sample + family;
    return (vt_variance_shares){.ratio = (family / total + 0.02) / (sample / total + 0.02),
                                .sample = sample / total,
                                .family = family / total};
}
