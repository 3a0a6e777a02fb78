/* The complex steerable pyramid: masks, and products with them; see pyramid.h.
 *
 * It is a tight frame: the transpose, with 4^s for what is of scale s and half of it for bands,
 * since their imaginary parts repeat what the real ones say, is the inverse. */
#include "stimuli/pyramid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static double low_at(double radius, int scale)
{
    double u = ldexp(radius, scale) / M_PI;
    if (u <= 0.5) return 1;
    return u >= 1 ? 0 : cos(M_PI / 2 * (1 + log2(u)));
}

/* sqrt(1 - low^2), without its cancellation. */
static double high_at(double radius, int scale)
{
    double u = ldexp(radius, scale) / M_PI;
    if (u <= 0.5) return 0;
    return u >= 1 ? 1 : sin(M_PI / 2 * (1 + log2(u)));
}

/* alpha^-2 = K (2K - 2)! / (2^(K-1) (K-1)!)^2 */
static double angular_gain(int orientations)
{
    double sum = orientations;
    for (int i = 1; i < orientations; i++)
        sum *= (2.0 * i - 1) / (2.0 * i);
    return 1 / sqrt(sum);
}

static int signed_index(int i, int side)
{
    return i < side - side / 2 ? i : i - side;
}

static void fill_masks(vt_pyramid *p)
{
    double gain = 2 * angular_gain(p->orientations);
    for (int s = 0; s <= p->scales; s++)
        for (size_t i = 0; i < p->pixels[s]; i++) {
            int row = signed_index((int)(i / (size_t)p->width[s]), p->height[s]);
            int column = signed_index((int)(i % (size_t)p->width[s]), p->width[s]);
            double y = 2 * M_PI * row / p->height[0], x = 2 * M_PI * column / p->width[0];
            double radius = hypot(y, x), angle = atan2(y, x);
            double low = low_at(radius, s), ring = low * high_at(radius, s + 1);
            p->low[s][i] = low;
            if (s == 0) p->high[i] = high_at(radius, 0);
            for (int k = 0; k < p->orientations && s < p->scales; k++) {
                double cosine = cos(angle - M_PI * k / p->orientations);
                p->band[s][k][i] = cosine > 0 ? gain * ring * pow(cosine, p->orientations - 1) : 0;
            }
        }
}

static vt_status check(int height, int width, int scales, int orientations)
{
    if (scales < 1 || scales > VT_PYRAMID_MAX_SCALES || orientations < 2 ||
        orientations > VT_PYRAMID_MAX_ORIENTATIONS)
        return vt_error(VT_EINVAL,
                        "a pyramid of %d scales and %d orientations: 1 to %d and 2 to %d are "
                        "possible",
                        scales, orientations, VT_PYRAMID_MAX_SCALES, VT_PYRAMID_MAX_ORIENTATIONS);
    if (!vt_fft_can(height) || !vt_fft_can(width) || height % (2 << (scales - 1)) != 0 ||
        width % (2 << (scales - 1)) != 0)
        return vt_error(VT_EUNSUPPORTED,
                        "an image of %d x %d pixels: a pyramid of %d scales needs sides that are "
                        "multiples of %d, at most %d, and products of 2, 3 and 5",
                        width, height, scales, 2 << (scales - 1), VT_FFT_MAX_SIDE);
    return VT_OK;
}

vt_status vt_pyramid_init(vt_pyramid *out, int height, int width, int scales, int orientations)
{
    static const double complex turns[4] = {1, -I, -1, I};
    *out = (vt_pyramid){.scales = scales, .orientations = orientations};
    VT_TRY(check(height, width, scales, orientations));
    out->turn = turns[(orientations - 1) % 4];
    size_t pixels = (size_t)height * (size_t)width, masks = pixels;
    for (int s = 0; s <= scales; s++) {
        out->height[s] = height >> s;
        out->width[s] = width >> s;
        out->pixels[s] = (size_t)out->height[s] * (size_t)out->width[s];
        masks += out->pixels[s] * (size_t)(s < scales ? orientations + 1 : 1);
        VT_TRY(vt_fft_new(&out->fft[s], out->height[s], out->width[s]));
    }
    out->memory = vt_alloc(masks, sizeof *out->memory);
    out->spectrum = vt_alloc(pixels, sizeof *out->spectrum);
    if (!out->memory || !out->spectrum) return VT_ENOMEM;
    double *next = out->high = out->memory;
    next += pixels;
    for (int s = 0; s <= scales; s++) {
        out->low[s] = next;
        next += out->pixels[s];
        for (int k = 0; k < orientations && s < scales; k++, next += out->pixels[s])
            out->band[s][k] = next;
    }
    fill_masks(out);
    return VT_OK;
}

void vt_pyramid_free(vt_pyramid *pyramid)
{
    for (int s = 0; s <= VT_PYRAMID_MAX_SCALES; s++)
        vt_fft_free(pyramid->fft[s]);
    free(pyramid->memory);
    free(pyramid->spectrum);
    *pyramid = (vt_pyramid){.memory = NULL};
}

/* ---- forth ---- */

void vt_pyramid_analyze(vt_pyramid *p, double complex *spectrum, const double *image)
{
    for (size_t i = 0; i < p->pixels[0]; i++)
        spectrum[i] = image[i];
    vt_fft_run(p->fft[0], spectrum, spectrum, -1);
}

/* Row `row` of the spectrum of an image of scale `from`, in that of the larger scale `at`. */
static size_t row_in(const vt_pyramid *p, int row, int from, int at)
{
    int index = signed_index(row, p->height[from]);
    return (size_t)(index < 0 ? index + p->height[at] : index) * (size_t)p->width[at];
}

/* out, of scale `at`, from the spectrum, masked by `mask` of scale `scale`, times `factor`. */
static void synthesize(vt_pyramid *p, double complex *out, const double complex *spectrum,
                       const double *mask, double complex factor, int scale, int at)
{
    int width = p->width[scale], right = width - width / 2;
    factor /= (double)p->pixels[0];
    memset(out, 0, p->pixels[at] * sizeof *out);
    for (int y = 0; y < p->height[scale]; y++) {
        const double complex *from = spectrum + row_in(p, y, scale, 0);
        double complex *to = out + row_in(p, y, scale, at);
        const double *m = mask + (size_t)y * (size_t)width;
        for (int x = 0; x < right; x++)
            to[x] = vt_times(factor, m[x] * from[x]);
        for (int x = right; x < width; x++)
            to[p->width[at] - width + x] = vt_times(factor, m[x] * from[p->width[0] - width + x]);
    }
    vt_fft_run(p->fft[at], out, out, 1);
}

void vt_pyramid_band(vt_pyramid *p, double complex *out, const double complex *spectrum, int scale,
                     int orientation, int at)
{
    synthesize(p, out, spectrum, p->band[scale][orientation], p->turn, scale, at);
}

static void synthesize_real(vt_pyramid *p, double *out, const double complex *spectrum,
                            const double *mask, int scale)
{
    synthesize(p, p->spectrum, spectrum, mask, 1, scale, scale);
    for (size_t i = 0; i < p->pixels[scale]; i++)
        out[i] = creal(p->spectrum[i]);
}

void vt_pyramid_low(vt_pyramid *p, double *out, const double complex *spectrum, int scale)
{
    synthesize_real(p, out, spectrum, p->low[scale], scale);
}

void vt_pyramid_high(vt_pyramid *p, double *out, const double complex *spectrum)
{
    synthesize_real(p, out, spectrum, p->high, 0);
}

/* ---- back ---- */

static void add(vt_pyramid *p, double complex *sum, double complex *gradient, const double *mask,
                double complex factor, int scale, int at)
{
    int width = p->width[scale], right = width - width / 2;
    vt_fft_run(p->fft[at], gradient, gradient, -1);
    for (int y = 0; y < p->height[scale]; y++) {
        double complex *to = sum + row_in(p, y, scale, 0);
        const double complex *from = gradient + row_in(p, y, scale, at);
        const double *m = mask + (size_t)y * (size_t)width;
        for (int x = 0; x < right; x++)
            to[x] += vt_times(factor, m[x] * from[x]);
        for (int x = right; x < width; x++)
            to[p->width[0] - width + x] += vt_times(factor, m[x] * from[p->width[at] - width + x]);
    }
}

void vt_pyramid_add_band(vt_pyramid *p, double complex *sum, double complex *gradient, int scale,
                         int orientation, int at)
{
    add(p, sum, gradient, p->band[scale][orientation], conj(p->turn), scale, at);
}

static void add_real(vt_pyramid *p, double complex *sum, const double *gradient, const double *mask,
                     int scale)
{
    for (size_t i = 0; i < p->pixels[scale]; i++)
        p->spectrum[i] = gradient[i];
    add(p, sum, p->spectrum, mask, 1, scale, scale);
}

void vt_pyramid_add_low(vt_pyramid *p, double complex *sum, const double *gradient, int scale)
{
    add_real(p, sum, gradient, p->low[scale], scale);
}

void vt_pyramid_add_high(vt_pyramid *p, double complex *sum, const double *gradient)
{
    add_real(p, sum, gradient, p->high, 0);
}

void vt_pyramid_gather(vt_pyramid *p, double *image, const double complex *sum)
{
    vt_fft_run(p->fft[0], p->spectrum, sum, 1);
    for (size_t i = 0; i < p->pixels[0]; i++)
        image[i] = creal(p->spectrum[i]) / (double)p->pixels[0];
}
