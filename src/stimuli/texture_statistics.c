/* The joint statistics of a texture's wavelet coefficients (Portilla & Simoncelli 2000,
 * section 3.2) of one image, and what moving its pixels does to them.
 *
 * Bands, their moduli and lowpass images are those of the complex steerable pyramid. Partially
 * reconstructed lowpass images are its lowpass images: the pyramid is a tight frame. For statistics
 * across scales the coarser band is interpolated by its Fourier transform, then its modulus taken
 * and its phase doubled: c^2 / |c|. Covariances are means of products over pixels. */
#include "stimuli/texture_statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

/* Below this share of the square of the mean a variance is rounding. */
#define NO_VARIANCE 1e-20

/* ---- memory ---- */

static vt_status allocate(vt_texture_meter *m)
{
    const vt_pyramid *p = &m->pyramid;
    size_t pixels = p->pixels[0], pad = 2 * (size_t)m->layout.reach;
    size_t padded = ((size_t)p->height[0] + pad) * ((size_t)p->width[0] + pad);
    VT_TRY(vt_arena_new(&m->arena));
#define NEW(pointer, count)                                                                        \
    VT_TRY(vt_arena_alloc(m->arena, &(pointer), (count) * sizeof *(pointer), "statistics"))
    NEW(m->spectrum, pixels);
    NEW(m->sum, pixels);
    NEW(m->high, pixels);
    NEW(m->scratch[0], padded);
    NEW(m->scratch[1], pixels);
    NEW(m->scratch[2], pixels);
    NEW(m->scratch_complex, pixels);
    for (int s = 0; s <= p->scales; s++)
        NEW(m->low[s], p->pixels[s]);
    for (int s = 0; s < p->scales; s++)
        for (int k = 0; k < p->orientations; k++) {
            NEW(m->band[s][k], p->pixels[s]);
            NEW(m->magnitude[s][k], p->pixels[s]);
            if (s + 1 == p->scales) continue;
            NEW(m->parent[s][k], p->pixels[s]);
            NEW(m->parent_magnitude[s][k], p->pixels[s]);
        }
#undef NEW
    return VT_OK;
}

vt_status vt_texture_meter_init(vt_texture_meter *out, int height, int width,
                                const vt_texture_options *options)
{
    *out = (vt_texture_meter){.arena = NULL};
    VT_TRY(vt_texture_layout_init(&out->layout, options));
    vt_texture_layout *l = &out->layout;
    VT_TRY(vt_pyramid_init(&out->pyramid, height, width, l->scales, l->orientations));
    int side = out->pyramid.height[l->scales], other = out->pyramid.width[l->scales];
    if (side < 2 * l->reach + 1 || other < 2 * l->reach + 1)
        return vt_error(VT_EUNSUPPORTED,
                        "an image of %d x %d pixels is too small for %d scales and a neighbourhood "
                        "of %d: its coarsest lowpass image has %d x %d",
                        width, height, l->scales, 2 * l->reach + 1, other, side);
    return allocate(out);
}

void vt_texture_meter_free(vt_texture_meter *meter)
{
    vt_pyramid_free(&meter->pyramid);
    vt_arena_free(meter->arena);
    *meter = (vt_texture_meter){.arena = NULL};
}

/* ---- one image ---- */

void vt_texture_moments(double moments[4], const double *x, size_t count)
{
    double n = (double)count, sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i];
    moments[0] = sum / n;
    double second = 0, third = 0, fourth = 0;
    for (size_t i = 0; i < count; i++) {
        double d = x[i] - moments[0], square = d * d;
        second += square;
        third += square * d;
        fourth += square * square;
    }
    moments[1] = second / n;
    moments[2] = third / n;
    moments[3] = fourth / n;
}

static bool has_variance(const double moments[4])
{
    return moments[1] > NO_VARIANCE * moments[0] * moments[0] && moments[1] > 0;
}

static void set_shape(double out[2], const double moments[4])
{
    bool some = has_variance(moments);
    out[0] = some ? moments[2] / pow(moments[1], 1.5) : 0;
    out[1] = some ? moments[3] / (moments[1] * moments[1]) : 3;
}

/* Takes away the mean, which is returned. */
static double centre(double *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i];
    for (size_t i = 0; i < count; i++)
        x[i] -= sum / (double)count;
    return sum / (double)count;
}

static double product(const double *a, const double *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum / (double)count;
}

/* `x` (height, width) with `reach` pixels of its other side around it. */
static void pad(double *out, const double *x, int height, int width, int reach)
{
    for (int y = -reach; y < height + reach; y++) {
        const double *row = x + (size_t)((y + height) % height) * (size_t)width;
        memcpy(out, row + width - reach, (size_t)reach * sizeof *out);
        memcpy(out + reach, row, (size_t)width * sizeof *out);
        memcpy(out + reach + width, row, (size_t)reach * sizeof *out);
        out += width + 2 * reach;
    }
}

/* Shift `d` of the autocorrelation: (0, 0 ... reach), then (1 ... reach, -reach ... reach). */
static void shift_at(int *y, int *x, int d, int reach)
{
    *y = d <= reach ? 0 : 1 + (d - reach - 1) / (2 * reach + 1);
    *x = d <= reach ? d : (d - reach - 1) % (2 * reach + 1) - reach;
}

static void correlate(vt_texture_meter *m, double *out, const double *x, int scale)
{
    int height = m->pyramid.height[scale], width = m->pyramid.width[scale];
    int reach = m->layout.reach, stride = width + 2 * reach;
    pad(m->scratch[0], x, height, width, reach);
    for (int d = 0; d < m->layout.shifts; d++) {
        int down, right;
        double sum = 0;
        shift_at(&down, &right, d, reach);
        for (int y = 0; y < height; y++) {
            const double *a = x + (size_t)y * (size_t)width;
            const double *b =
                m->scratch[0] + (size_t)(y + reach + down) * (size_t)stride + reach + right;
            double parts[4] = {0};
            int i = 0;
            for (; i + 4 <= width; i += 4)
                for (int j = 0; j < 4; j++)
                    parts[j] += a[i + j] * b[i + j];
            for (; i < width; i++)
                parts[0] += a[i] * b[i];
            sum += parts[0] + parts[1] + (parts[2] + parts[3]);
        }
        out[d] = sum / ((double)height * width);
    }
}

/* Adds to `out` what moving x does to its autocorrelation: a filter that is its own mirror. */
static void add_correlation(vt_texture_meter *m, double *out, const double *x, int scale,
                            const double *derivative)
{
    int height = m->pyramid.height[scale], width = m->pyramid.width[scale];
    int reach = m->layout.reach, stride = width + 2 * reach;
    pad(m->scratch[0], x, height, width, reach);
    for (int y = 0; y < height; y++) {
        double *to = out + (size_t)y * (size_t)width;
        const double *row = m->scratch[0] + (size_t)(y + reach) * (size_t)stride + reach;
        for (int d = 0; d < m->layout.shifts; d++) {
            int down, right;
            shift_at(&down, &right, d, reach);
            double factor = derivative[d] / ((double)height * width);
            const double *a = row + down * stride + right, *b = row - down * stride - right;
            for (int i = 0; i < width; i++)
                to[i] += factor * (a[i] + b[i]);
        }
    }
}

/* Adds what moving x does to skewness and kurtosis, of the given moments. */
static void add_shape(double *out, const double *x, size_t count, const double moments[4],
                      const double derivative[2])
{
    if (!has_variance(moments)) return;
    double n = (double)count, variance = moments[1];
    double skew = derivative[0] * 3 / (n * pow(variance, 1.5));
    double kurtosis = derivative[1] * 4 / (n * variance * variance);
    double skew_ratio = moments[2] / variance, kurtosis_ratio = moments[3] / variance;
    for (size_t i = 0; i < count; i++) {
        double d = x[i] - moments[0];
        out[i] += skew * (d * d - variance - skew_ratio * d) +
                  kurtosis * (d * d * d - moments[2] - kurtosis_ratio * d);
    }
}

/* ---- all statistics ---- */

static void decompose(vt_texture_meter *m, double *mean, const double *image)
{
    vt_pyramid *p = &m->pyramid;
    vt_pyramid_analyze(p, m->spectrum, image);
    vt_pyramid_high(p, m->high, m->spectrum);
    for (int s = 0; s <= p->scales; s++)
        vt_pyramid_low(p, m->low[s], m->spectrum, s);
    for (int s = 0; s < p->scales; s++)
        for (int k = 0; k < p->orientations; k++) {
            vt_pyramid_band(p, m->band[s][k], m->spectrum, s, k, s);
            for (size_t i = 0; i < p->pixels[s]; i++)
                m->magnitude[s][k][i] = sqrt(creal(m->band[s][k][i]) * creal(m->band[s][k][i]) +
                                             cimag(m->band[s][k][i]) * cimag(m->band[s][k][i]));
            *mean++ = centre(m->magnitude[s][k], p->pixels[s]);
            if (s + 1 == p->scales) continue;
            double complex *c = m->parent[s][k];
            vt_pyramid_band(p, c, m->spectrum, s + 1, k, s);
            for (size_t i = 0; i < p->pixels[s]; i++)
                m->parent_magnitude[s][k][i] =
                    sqrt(creal(c[i]) * creal(c[i]) + cimag(c[i]) * cimag(c[i]));
            centre(m->parent_magnitude[s][k], p->pixels[s]);
        }
}

/* c^2 / |c| */
static inline double complex doubled(double complex c)
{
    double square = creal(c) * creal(c) + cimag(c) * cimag(c);
    return square > 0 ? vt_times(c, c) / sqrt(square) : 0;
}

static void measure_phases(double *out, const vt_texture_meter *m, int scale)
{
    const vt_pyramid *p = &m->pyramid;
    int n = p->orientations;
    double sum[VT_PYRAMID_MAX_ORIENTATIONS][VT_PYRAMID_MAX_ORIENTATIONS][2] = {{{0}}};
    for (size_t i = 0; i < p->pixels[scale]; i++) {
        double real[VT_PYRAMID_MAX_ORIENTATIONS];
        for (int k = 0; k < n; k++)
            real[k] = creal(m->band[scale][k][i]);
        for (int j = 0; j < n; j++) {
            double complex twice = doubled(m->parent[scale][j][i]);
            for (int k = 0; k < n; k++) {
                sum[k][j][0] += real[k] * creal(twice);
                sum[k][j][1] += real[k] * cimag(twice);
            }
        }
    }
    for (int k = 0; k < n; k++)
        for (int j = 0; j < n; j++) {
            *out++ = sum[k][j][0] / (double)p->pixels[scale];
            *out++ = sum[k][j][1] / (double)p->pixels[scale];
        }
}

void vt_texture_measure(vt_texture_meter *m, double *out, const double *image)
{
    const vt_pyramid *p = &m->pyramid;
    const int *first = m->layout.first;
    int shifts = m->layout.shifts, n = p->orientations;
    double moments[4], *pixel = out + first[VT_TEXTURE_PIXEL];
    double *across = out + first[VT_TEXTURE_ORIENTATIONS],
           *coarser = out + first[VT_TEXTURE_SCALES];
    decompose(m, out + first[VT_TEXTURE_MEAN], image);
    vt_texture_moments(moments, image, p->pixels[0]);
    pixel[0] = moments[0];
    pixel[1] = moments[1];
    set_shape(pixel + 2, moments);
    pixel[4] = pixel[5] = image[0];
    for (size_t i = 0; i < p->pixels[0]; i++) {
        pixel[4] = fmin(pixel[4], image[i]);
        pixel[5] = fmax(pixel[5], image[i]);
    }
    vt_texture_moments(moments, m->high, p->pixels[0]);
    out[first[VT_TEXTURE_HIGH_VARIANCE]] = moments[1];
    for (int s = 0; s <= p->scales; s++) {
        vt_texture_moments(moments, m->low[s], p->pixels[s]);
        set_shape(out + first[VT_TEXTURE_LOW_MOMENTS] + 2 * s, moments);
        centre(m->low[s], p->pixels[s]);
        correlate(m, out + first[VT_TEXTURE_LOW_AUTO] + s * shifts, m->low[s], s);
    }
    for (int s = 0; s < p->scales; s++) {
        for (int k = 0; k < n; k++) {
            const double *a = m->magnitude[s][k];
            correlate(m, out + first[VT_TEXTURE_MAGNITUDE_AUTO] + (s * n + k) * shifts, a, s);
            for (int j = k + 1; j < n; j++)
                *across++ = product(a, m->magnitude[s][j], p->pixels[s]);
            for (int j = 0; j < n && s + 1 < p->scales; j++)
                *coarser++ = product(a, m->parent_magnitude[s][j], p->pixels[s]);
        }
        if (s + 1 < p->scales) measure_phases(out + first[VT_TEXTURE_PHASE] + s * n * n * 2, m, s);
    }
}

/* ---- the gradient ---- */

/* Adds to `out` (K images of moduli, or the parents') what moving one does to a covariance. */
static void add_product(double *out, const double *other, size_t count, double derivative)
{
    double factor = derivative / (double)count;
    for (size_t i = 0; i < count; i++)
        out[i] += factor * other[i];
}

/* Derivatives by the modulus, and by the real part, of a band are those by the band. */
static void by_band(double complex *out, const double complex *band, const double *by_modulus,
                    const double *by_real, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double size = sqrt(creal(band[i]) * creal(band[i]) + cimag(band[i]) * cimag(band[i]));
        out[i] = (size > 0 ? by_modulus[i] / size * band[i] : 0) + by_real[i];
    }
}

static void add_band(vt_texture_meter *m, const double *derivative, int s, int k)
{
    vt_pyramid *p = &m->pyramid;
    const int *first = m->layout.first;
    int n = p->orientations, pairs = n * (n - 1) / 2;
    double *by_modulus = m->scratch[1], *by_real = m->scratch[2];
    size_t count = p->pixels[s];
    memset(by_modulus, 0, count * sizeof *by_modulus);
    memset(by_real, 0, count * sizeof *by_real);
    add_correlation(m, by_modulus, m->magnitude[s][k], s,
                    derivative + first[VT_TEXTURE_MAGNITUDE_AUTO] + (s * n + k) * m->layout.shifts);
    const double *across = derivative + first[VT_TEXTURE_ORIENTATIONS] + s * pairs;
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++, across++)
            if (a == k || b == k)
                add_product(by_modulus, m->magnitude[s][a == k ? b : a], count, *across);
    for (int j = 0; j < n && s + 1 < p->scales; j++) {
        int at = (s * n + k) * n + j;
        add_product(by_modulus, m->parent_magnitude[s][j], count,
                    derivative[first[VT_TEXTURE_SCALES] + at]);
        const double *phase = derivative + first[VT_TEXTURE_PHASE] + 2 * at;
        for (size_t i = 0; i < count; i++) {
            double complex twice = doubled(m->parent[s][j][i]);
            by_real[i] += (phase[0] * creal(twice) + phase[1] * cimag(twice)) / (double)count;
        }
    }
    by_band(m->scratch_complex, m->band[s][k], by_modulus, by_real, count);
    vt_pyramid_add_band(p, m->sum, m->scratch_complex, s, k, s);
}

/* Of scale s + 1's band j as an image of scale s. With c = r e^(ia), g the derivative by r e^(2ia):
 * by r it is Re(conj(g) e^(2ia)), by a, over r, -2 Im(conj(g) e^(2ia)). */
static void add_parent(vt_texture_meter *m, const double *derivative, int s, int j)
{
    vt_pyramid *p = &m->pyramid;
    const int *first = m->layout.first;
    int n = p->orientations;
    double *by_modulus = m->scratch[1];
    size_t count = p->pixels[s];
    const double complex *c = m->parent[s][j];
    memset(by_modulus, 0, count * sizeof *by_modulus);
    for (int k = 0; k < n; k++)
        add_product(by_modulus, m->magnitude[s][k], count,
                    derivative[first[VT_TEXTURE_SCALES] + (s * n + k) * n + j]);
    for (size_t i = 0; i < count; i++) {
        double g[2] = {0}, size = sqrt(creal(c[i]) * creal(c[i]) + cimag(c[i]) * cimag(c[i]));
        for (int k = 0; k < n; k++) {
            const double *phase = derivative + first[VT_TEXTURE_PHASE] + 2 * ((s * n + k) * n + j);
            g[0] += phase[0] * creal(m->band[s][k][i]) / (double)count;
            g[1] += phase[1] * creal(m->band[s][k][i]) / (double)count;
        }
        double complex u = size > 0 ? c[i] / size : 0;
        double complex turned = vt_times(vt_complex(g[0], -g[1]), vt_times(u, u));
        m->scratch_complex[i] =
            vt_times(u, vt_complex(creal(turned) + by_modulus[i], -2 * cimag(turned)));
    }
    vt_pyramid_add_band(p, m->sum, m->scratch_complex, s + 1, j, s);
}

void vt_texture_gradient(vt_texture_meter *m, double *out, const double *image,
                         const double *derivative)
{
    vt_pyramid *p = &m->pyramid;
    const int *first = m->layout.first;
    double moments[4], *scratch = m->scratch[1];
    size_t pixels = p->pixels[0];
    memset(m->sum, 0, pixels * sizeof *m->sum);
    for (size_t i = 0; i < pixels; i++)
        scratch[i] = derivative[first[VT_TEXTURE_HIGH_VARIANCE]] * 2 * m->high[i] / (double)pixels;
    vt_pyramid_add_high(p, m->sum, scratch);
    for (int s = 0; s <= p->scales; s++) {
        memset(scratch, 0, p->pixels[s] * sizeof *scratch);
        vt_texture_moments(moments, m->low[s], p->pixels[s]);
        add_shape(scratch, m->low[s], p->pixels[s], moments,
                  derivative + first[VT_TEXTURE_LOW_MOMENTS] + 2 * s);
        add_correlation(m, scratch, m->low[s], s,
                        derivative + first[VT_TEXTURE_LOW_AUTO] + s * m->layout.shifts);
        vt_pyramid_add_low(p, m->sum, scratch, s);
    }
    for (int s = 0; s < p->scales; s++)
        for (int k = 0; k < p->orientations; k++) {
            add_band(m, derivative, s, k);
            if (s + 1 < p->scales) add_parent(m, derivative, s, k);
        }
    vt_pyramid_gather(p, out, m->sum);
    vt_texture_moments(moments, image, pixels);
    const double *pixel = derivative + first[VT_TEXTURE_PIXEL];
    for (size_t i = 0; i < pixels; i++)
        out[i] += (pixel[0] + 2 * pixel[1] * (image[i] - moments[0])) / (double)pixels;
    add_shape(out, image, pixels, moments, pixel + 2);
}
