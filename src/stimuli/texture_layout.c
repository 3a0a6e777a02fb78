/* Where each statistic of a texture is in the vector, what it is counted in, and vectors as maps.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "stimuli/texture_statistics.h"

/* Of the pixels' variance: the smallest unit of a covariance, and the least that a lowpass image
 * has to have for its skewness and kurtosis to count. */
#define LEAST 1e-3
/* Of a band's power: the smallest unit of its modulus's variance, which is 0.21 for Gaussian noise
 * and next to nothing for a grating. */
#define LEAST_MODULUS 0.05

static const char *const names[VT_TEXTURE_GROUPS] = {
    "pixel",
    "lowpass.moments",
    "highpass.variance",
    "lowpass.autocorrelation",
    "magnitude.autocorrelation",
    "magnitude.orientations",
    "magnitude.scales",
    "phase.scales",
    "magnitude.mean",
};

const char *vt_texture_group_sizes(const vt_texture_layout *l, int group, int *dimensions,
                                   int64_t size[4])
{
    int s = l->scales, k = l->orientations;
    const int64_t sizes[VT_TEXTURE_GROUPS][5] = {
        {1, 6},
        {2, s + 1, 2},
        {1, 1},
        {2, s + 1, l->shifts},
        {3, s, k, l->shifts},
        {2, s, k * (k - 1) / 2},
        {3, s - 1, k, k},
        {4, s - 1, k, k, 2},
        {2, s, k},
    };
    *dimensions = (int)sizes[group][0];
    memcpy(size, sizes[group] + 1, 4 * sizeof *size);
    return names[group];
}

static int group_count(const vt_texture_layout *layout, int group)
{
    int dimensions;
    int64_t size[4], count = 1;
    vt_texture_group_sizes(layout, group, &dimensions, size);
    for (int i = 0; i < dimensions; i++)
        count *= size[i];
    return (int)count;
}

vt_status vt_texture_layout_init(vt_texture_layout *out, const vt_texture_options *options)
{
    vt_texture_layout l = {.scales = options && options->scales ? options->scales : 4,
                           .orientations =
                               options && options->orientations ? options->orientations : 4};
    int m = options && options->neighbourhood ? options->neighbourhood : 7;
    if (m < 1 || m > 31 || m % 2 == 0)
        return vt_error(VT_EINVAL, "a neighbourhood of %d pixels: odd numbers to 31 are possible",
                        m);
    if (l.scales < 1 || l.scales > VT_PYRAMID_MAX_SCALES || l.orientations < 2 ||
        l.orientations > VT_PYRAMID_MAX_ORIENTATIONS)
        return vt_error(VT_EINVAL,
                        "%d scales and %d orientations: 1 to %d and 2 to %d are possible", l.scales,
                        l.orientations, VT_PYRAMID_MAX_SCALES, VT_PYRAMID_MAX_ORIENTATIONS);
    l.reach = m / 2;
    l.shifts = (m * m + 1) / 2;
    for (int g = 0; g < VT_TEXTURE_GROUPS; g++) {
        l.first[g] = l.count;
        l.count += group_count(&l, g);
    }
    *out = l;
    return VT_OK;
}

/* ---- units ---- */

typedef struct spread {
    const vt_texture_layout *l;
    const double *target;
    double floor;
} spread;

static double at_least(const spread *s, double value)
{
    return fmax(value, s->floor);
}

static double low_variance(const spread *s, int scale)
{
    return at_least(s, s->target[s->l->first[VT_TEXTURE_LOW_AUTO] + scale * s->l->shifts]);
}

/* Mean square of a band. */
static double power(const spread *s, int scale, int k)
{
    int band = scale * s->l->orientations + k;
    double mean = s->target[s->l->first[VT_TEXTURE_MEAN] + band];
    double variance = s->target[s->l->first[VT_TEXTURE_MAGNITUDE_AUTO] + band * s->l->shifts];
    return at_least(s, variance + mean * mean);
}

static double magnitude_variance(const spread *s, int scale, int k)
{
    int band = scale * s->l->orientations + k;
    double variance = s->target[s->l->first[VT_TEXTURE_MAGNITUDE_AUTO] + band * s->l->shifts];
    return fmax(at_least(s, variance), LEAST_MODULUS * power(s, scale, k));
}

static void set_moments(double *unit, const vt_texture_layout *l, const double *target)
{
    int pixel = l->first[VT_TEXTURE_PIXEL], low = l->first[VT_TEXTURE_LOW_MOMENTS];
    unit[pixel] = sqrt(target[pixel + 1]);
    unit[pixel + 1] = target[pixel + 1];
    unit[pixel + 2] = 1;
    unit[pixel + 3] = fmax(target[pixel + 3], 1);
    unit[pixel + 4] = unit[pixel + 5] = INFINITY;
    for (int s = 0; s <= l->scales; s++) {
        double variance = target[l->first[VT_TEXTURE_LOW_AUTO] + s * l->shifts];
        bool counts = variance > LEAST * target[pixel + 1];
        unit[low + 2 * s] = counts ? 1 : INFINITY;
        unit[low + 2 * s + 1] = counts ? fmax(target[low + 2 * s + 1], 1) : INFINITY;
    }
}

static void set_bands(double *unit, const spread *s)
{
    const vt_texture_layout *l = s->l;
    int n = l->orientations;
    double *low = unit + l->first[VT_TEXTURE_LOW_AUTO];
    double *magnitude = unit + l->first[VT_TEXTURE_MAGNITUDE_AUTO];
    double *across = unit + l->first[VT_TEXTURE_ORIENTATIONS];
    double *coarser = unit + l->first[VT_TEXTURE_SCALES];
    double *phase = unit + l->first[VT_TEXTURE_PHASE];
    for (int i = 0; i <= l->scales; i++)
        for (int d = 0; d < l->shifts; d++)
            *low++ = low_variance(s, i);
    for (int i = 0; i < l->scales; i++)
        for (int k = 0; k < n; k++) {
            double variance = magnitude_variance(s, i, k);
            for (int d = 0; d < l->shifts; d++)
                *magnitude++ = variance;
            for (int j = k + 1; j < n; j++)
                *across++ = sqrt(variance * magnitude_variance(s, i, j));
            for (int j = 0; j < n && i + 1 < l->scales; j++) {
                *coarser++ = sqrt(variance * magnitude_variance(s, i + 1, j));
                phase[0] = phase[1] = sqrt(power(s, i, k) / 2 * power(s, i + 1, j));
                phase += 2;
            }
        }
}

vt_status vt_texture_units(double *out, const vt_texture_layout *l, const double *target)
{
    double variance = target[l->first[VT_TEXTURE_PIXEL] + 1];
    if (!(variance > 0) || isinf(variance))
        return vt_error(VT_ENUMERIC, "a texture of one grey: its pixels have variance %g",
                        variance);
    spread s = {l, target, LEAST * variance};
    set_moments(out, l, target);
    set_bands(out, &s);
    out[l->first[VT_TEXTURE_HIGH_VARIANCE]] =
        at_least(&s, target[l->first[VT_TEXTURE_HIGH_VARIANCE]]);
    for (int i = 0; i < l->scales * l->orientations; i++)
        out[l->first[VT_TEXTURE_MEAN] + i] = INFINITY;
    return VT_OK;
}

double vt_texture_sum(const double *target, const double *units, const double *statistics,
                      int count, int *counted)
{
    double sum = 0;
    *counted = 0;
    for (int i = 0; i < count; i++) {
        if (isinf(units[i])) continue;
        double difference = (statistics[i] - target[i]) / units[i];
        sum += difference * difference;
        ++*counted;
    }
    return sum;
}

/* ---- maps ---- */

static vt_status to_map(vt_tensor_map *map, const vt_texture_layout *layout, const double *vector)
{
    for (int g = 0; g < VT_TEXTURE_GROUPS; g++) {
        int dimensions;
        int64_t size[4];
        vt_tensor t;
        const char *name = vt_texture_group_sizes(layout, g, &dimensions, size);
        VT_TRY(vt_tensor_map_add(map, name, VT_F64, dimensions, size, &t));
        if (vt_tensor_count(&t) > 0)
            memcpy(t.data, vector + layout->first[g], (size_t)vt_tensor_count(&t) * sizeof *vector);
    }
    return VT_OK;
}

vt_status vt_texture_statistics(vt_tensor_map **out, const double *image, int height, int width,
                                const vt_texture_options *options)
{
    vt_texture_meter meter;
    vt_tensor_map *map = NULL;
    double *vector = NULL;
    for (size_t i = 0; height > 0 && width > 0 && i < (size_t)height * (size_t)width; i++)
        if (!isfinite(image[i]))
            return vt_error(VT_ENUMERIC, "pixel %zu of the image is %g", i, image[i]);
    vt_status status = vt_texture_meter_init(&meter, height, width, options);
    if (status == VT_OK) {
        vector = vt_alloc((size_t)meter.layout.count, sizeof *vector);
        status = vector ? vt_tensor_map_new(&map) : VT_ENOMEM;
    }
    if (status == VT_OK) {
        vt_texture_measure(&meter, vector, image);
        status = to_map(map, &meter.layout, vector);
    }
    free(vector);
    vt_texture_meter_free(&meter);
    if (status == VT_OK)
        *out = map;
    else
        vt_tensor_map_free(map);
    return status;
}

static vt_status wrong(const char *name)
{
    return vt_error(VT_ESHAPE, "%s: not as vt_texture_statistics gives it", name);
}

/* The options that a map was measured with, from its sizes. */
static vt_status find_layout(vt_texture_layout *out, const vt_tensor_map *map)
{
    const vt_tensor *t = vt_tensor_map_find(map, names[VT_TEXTURE_MAGNITUDE_AUTO]);
    if (!t || t->ndim != 3 || t->size[2] > 500 || t->size[0] > VT_PYRAMID_MAX_SCALES ||
        t->size[1] > VT_PYRAMID_MAX_ORIENTATIONS || t->size[0] < 1)
        return wrong(names[VT_TEXTURE_MAGNITUDE_AUTO]);
    vt_texture_options options = {.scales = (int)t->size[0],
                                  .orientations = (int)t->size[1],
                                  .neighbourhood = (int)lrint(sqrt(2.0 * (double)t->size[2] - 1))};
    return vt_texture_layout_init(out, &options);
}

static vt_status from_map(double *vector, const vt_texture_layout *layout, const vt_tensor_map *map)
{
    for (int g = 0; g < VT_TEXTURE_GROUPS; g++) {
        int dimensions;
        int64_t size[4];
        const char *name = vt_texture_group_sizes(layout, g, &dimensions, size);
        const vt_tensor *t = vt_tensor_map_find(map, name);
        if (!t || t->dtype != VT_F64 || t->ndim != dimensions) return wrong(name);
        for (int i = 0; i < dimensions; i++)
            if (t->size[i] != size[i]) return wrong(name);
        for (int64_t i = 0; i < vt_tensor_count(t); i++)
            vector[layout->first[g] + i] = vt_tensor_get(t, i);
    }
    return VT_OK;
}

vt_status vt_texture_distance(double *out, const vt_tensor_map *target,
                              const vt_tensor_map *statistics)
{
    vt_texture_layout layout;
    VT_TRY(find_layout(&layout, target));
    size_t count = (size_t)layout.count;
    double *a = vt_alloc(count, 3 * sizeof *a);
    if (!a) return VT_ENOMEM;
    vt_status status = from_map(a, &layout, target);
    if (status == VT_OK) status = from_map(a + count, &layout, statistics);
    if (status == VT_OK) status = vt_texture_units(a + 2 * count, &layout, a);
    if (status == VT_OK) {
        int counted;
        double sum = vt_texture_sum(a, a + 2 * count, a + count, layout.count, &counted);
        *out = sqrt(sum / counted);
    }
    free(a);
    return status;
}
