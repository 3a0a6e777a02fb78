/* What first-layer filters prefer: k(y, x, colour) is split into profile(y, x) colour, and the
 * profile asked by gratings, A(f, theta) = |sum k exp(-2 pi i f (x cos theta + y sin theta))|.
 * Orientation selectivity is |sum A exp(2 i theta)| / sum A over orientations at the best f
 * (Ringach, Shapley & Hawken 2002). */
#include "ventral/components.h"

#include "base/arena.h"
#include "neural/linalg.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>

enum { ORIENTATIONS = 36, FREQUENCIES = 16 };
#define PI 3.14159265358979323846

/* The colour and, in `profile` (positions), what the filter is along it. */
static vt_status split(vt_filter_preference *out, double *profile, const float *kernel,
                       int64_t positions)
{
    double product[9] = {0}, values[3], energy = 0;
    for (int64_t i = 0; i < positions; i++)
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++)
                product[a * 3 + b] += (double)kernel[i * 3 + a] * (double)kernel[i * 3 + b];
    energy = product[0] + product[4] + product[8];
    if (!isfinite(energy))
        return vt_error(VT_ENUMERIC, "a filter of the first layer is not finite");
    if (energy == 0) return VT_OK;
    VT_TRY(vt_symmetric_eigen(product, values, 3));
    const double *colour = product + 6; /* of the largest eigenvalue */
    int largest = 0;
    for (int c = 1; c < 3; c++)
        if (fabs(colour[c]) > fabs(colour[largest])) largest = c;
    for (int c = 0; c < 3; c++)
        out->colour[c] = colour[largest] < 0 ? -colour[c] : colour[c];
    out->separable = values[2] / energy;
    for (int64_t i = 0; i < positions; i++)
        profile[i] = kernel[i * 3] * out->colour[0] + kernel[i * 3 + 1] * out->colour[1] +
                     kernel[i * 3 + 2] * out->colour[2];
    return VT_OK;
}

static void judge_colour(vt_filter_preference *p)
{
    double r = p->colour[0], g = p->colour[1], b = p->colour[2];
    double red_green = (r - g) / sqrt(2), blue_yellow = (2 * b - r - g) / sqrt(6);
    p->chromatic = red_green * red_green + blue_yellow * blue_yellow;
    p->hue = atan2(blue_yellow, red_green) * 180 / PI;
    if (p->hue < 0) p->hue += 360;
}

static double amplitude(const double *profile, int64_t height, int64_t width, double frequency,
                        double angle)
{
    double complex sum = 0;
    double along_x = 2 * PI * frequency * cos(angle), along_y = 2 * PI * frequency * sin(angle);
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            sum += profile[y * width + x] * cexp(-I * (along_x * (double)x + along_y * (double)y));
    return cabs(sum);
}

static void judge_orientation(vt_filter_preference *p, const double *profile, int64_t height,
                              int64_t width)
{
    double most = -1;
    for (int f = 1; f <= FREQUENCIES; f++) {
        double frequency = 0.5 * f / FREQUENCIES, sum = 0, best = -1, orientation = 0;
        double complex vector = 0;
        for (int k = 0; k < ORIENTATIONS; k++) {
            double angle = PI * k / ORIENTATIONS;
            double a = amplitude(profile, height, width, frequency, angle);
            sum += a;
            vector += a * cexp(2 * I * angle);
            if (a > best) {
                best = a;
                orientation = 180.0 * k / ORIENTATIONS;
            }
        }
        if (best <= most) continue;
        most = best;
        p->orientation = orientation;
        p->frequency = frequency;
        p->selectivity = cabs(vector) / sum;
    }
}

vt_status vt_filter_preferences(vt_filter_preference **out, const vt_tensor *kernels)
{
    char shape[128];
    if (kernels->ndim != 4 || kernels->dtype != VT_F32 || kernels->size[3] != 3 ||
        vt_tensor_count(kernels) < 1 || !vt_tensor_is_contiguous(kernels))
        return vt_error(VT_ESHAPE, "filters are float32 (filters, height, width, 3), not %s %s",
                        vt_dtype_name(kernels->dtype),
                        vt_tensor_shape_text(kernels, shape, sizeof shape));
    int64_t count = kernels->size[0], height = kernels->size[1], width = kernels->size[2];
    vt_filter_preference *all = vt_alloc((size_t)count, sizeof *all);
    double *profile = vt_alloc((size_t)(height * width), sizeof *profile);
    vt_status status = all && profile ? VT_OK : VT_ENOMEM;
    for (int64_t i = 0; status == VT_OK && i < count; i++) {
        vt_filter_preference *p = &all[i];
        *p = (vt_filter_preference){.orientation = NAN,
                                    .frequency = NAN,
                                    .selectivity = NAN,
                                    .chromatic = NAN,
                                    .hue = NAN,
                                    .separable = NAN};
        status = split(p, profile, (const float *)kernels->data + i * height * width * 3,
                       height * width);
        if (status != VT_OK || isnan(p->separable)) continue;
        judge_colour(p);
        judge_orientation(p, profile, height, width);
    }
    free(profile);
    if (status == VT_OK)
        *out = all;
    else
        free(all);
    return status;
}
