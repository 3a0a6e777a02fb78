/* Textures from photographs: an image that starts as noise with the photograph's autocorrelation
 * descends on the squared distance of its statistics from the photograph's.
 *
 * Portilla & Simoncelli 2000 project on one group of statistics after another; descent on all of
 * them at once has no step that undoes another and a distance that never grows. It is by limited
 * memory BFGS (Nocedal 1980) with steps halved until they pay (Armijo). Pixels beyond the
 * photograph's range add their squared excess and are clipped in the end. Numbers are in units of
 * the photograph: mean 0, variance 1. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "stimuli/texture_statistics.h"
#include "ventral/rng.h"

enum { ITERATIONS = 100, MEMORY = 12, HALVINGS = 20 };
#define DISTANCE 0.01
#define FIRST_STEP 0.1 /* standard deviations: root mean square of the first move */
#define SUFFICIENT 1e-4

typedef struct synthesis {
    vt_texture_meter meter;
    size_t pixels;
    double *target, *unit, *statistics, *derivative; /* (count of statistics) */
    double least, most;
    double *x, *gradient, *next, *next_gradient, *direction; /* (pixels) */
    double *moves[MEMORY], *changes[MEMORY];                 /* of x and of its gradient */
    double rho[MEMORY];
    int kept; /* pairs in all; pair i is at i % MEMORY */
    vt_arena *arena;
} synthesis;

/* ---- noise ---- */

/* Spectra of an image and of white noise, in one block that `*out` owns, and their transform. */
static vt_status make_spectra(vt_fft **fft, double complex **out, const double *image, int height,
                              int width, vt_rng *rng)
{
    size_t pixels = (size_t)height * (size_t)width;
    VT_TRY(vt_fft_new(fft, height, width));
    double complex *spectra = vt_alloc(pixels, 2 * sizeof *spectra);
    if (!spectra) {
        vt_fft_free(*fft);
        return VT_ENOMEM;
    }
    for (size_t i = 0; i < pixels; i++) {
        spectra[i] = image[i];
        spectra[pixels + i] = vt_rng_normal(rng);
    }
    vt_fft_run(*fft, spectra, spectra, -1);
    vt_fft_run(*fft, spectra + pixels, spectra + pixels, -1);
    *out = spectra;
    return VT_OK;
}

static void finish(double *out, vt_fft *fft, double complex *spectra, size_t pixels)
{
    vt_fft_run(fft, spectra, spectra, 1);
    for (size_t i = 0; i < pixels; i++)
        out[i] = creal(spectra[i]) / (double)pixels;
    free(spectra);
    vt_fft_free(fft);
}

vt_status vt_texture_noise(double *out, const double *image, int height, int width, uint64_t seed,
                           uint32_t number)
{
    vt_fft *fft;
    vt_rng rng;
    double complex *spectra;
    size_t pixels = (size_t)height * (size_t)width;
    vt_rng_init(&rng, seed, VT_RNG_TEXTURE, number, 0);
    VT_TRY(make_spectra(&fft, &spectra, image, height, width, &rng));
    for (size_t i = 1; i < pixels; i++) { /* the first is the mean */
        double complex noise = spectra[pixels + i];
        double size = cabs(noise), amplitude = cabs(spectra[i]);
        spectra[i] = size > 0 ? noise * (amplitude / size) : amplitude;
    }
    finish(out, fft, spectra, pixels);
    return VT_OK;
}

/* Parzen's window: its transform is nowhere negative, and leaks little of one frequency to others.
 */
static double window(int at, int side, int reach)
{
    double t = (double)(at < side - at ? at : side - at) / reach;
    if (t <= 0.5) return 1 - 6 * t * t * (1 - t);
    return t < 1 ? 2 * (1 - t) * (1 - t) * (1 - t) : 0;
}

/* Noise that has the autocorrelation of `image`, of mean 0, as far as the statistics look, and not
 * its whole spectrum: that would keep the places of what repeats. */
static vt_status first_image(double *out, const double *image, int height, int width, int reach,
                             vt_rng *rng)
{
    vt_fft *fft;
    double complex *spectra;
    size_t pixels = (size_t)height * (size_t)width;
    VT_TRY(make_spectra(&fft, &spectra, image, height, width, rng));
    for (size_t i = 0; i < pixels; i++)
        spectra[i] = creal(spectra[i]) * creal(spectra[i]) + cimag(spectra[i]) * cimag(spectra[i]);
    vt_fft_run(fft, spectra, spectra, 1);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            spectra[(size_t)y * (size_t)width + (size_t)x] *=
                window(y, height, reach) * window(x, width, reach) / (double)pixels;
    vt_fft_run(fft, spectra, spectra, -1);
    for (size_t i = 0; i < pixels; i++)
        spectra[i] = spectra[pixels + i] * sqrt(fmax(creal(spectra[i]), 0) / (double)pixels);
    finish(out, fft, spectra, pixels);
    return VT_OK;
}

/* ---- descent ---- */

static double dot(const double *a, const double *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Mean squared distance and what leaves the range; `distance` is the root of the first. */
static double evaluate(synthesis *s, const double *x, double *gradient, double *distance)
{
    int count = s->meter.layout.count, counted;
    vt_texture_measure(&s->meter, s->statistics, x);
    double value = vt_texture_sum(s->target, s->unit, s->statistics, count, &counted) / counted;
    *distance = sqrt(value);
    for (int i = 0; i < count; i++)
        s->derivative[i] = isinf(s->unit[i]) ? 0
                                             : 2 * (s->statistics[i] - s->target[i]) /
                                                   (s->unit[i] * s->unit[i] * counted);
    vt_texture_gradient(&s->meter, gradient, x, s->derivative);
    double outside = 0;
    for (size_t i = 0; i < s->pixels; i++) {
        double excess = x[i] > s->most ? x[i] - s->most : x[i] < s->least ? x[i] - s->least : 0;
        outside += excess * excess;
        gradient[i] += 2 * excess / (double)s->pixels;
    }
    return value + outside / (double)s->pixels;
}

/* direction = -H gradient, H the inverse Hessian that the last moves tell of. */
static void find_direction(synthesis *s)
{
    double alpha[MEMORY] = {0}, *d = s->direction;
    size_t n = s->pixels;
    int oldest = s->kept > MEMORY ? s->kept - MEMORY : 0;
    for (size_t i = 0; i < n; i++)
        d[i] = -s->gradient[i];
    for (int k = s->kept - 1; k >= oldest; k--) {
        int at = k % MEMORY;
        alpha[at] = s->rho[at] * dot(s->moves[at], d, n);
        for (size_t i = 0; i < n; i++)
            d[i] -= alpha[at] * s->changes[at][i];
    }
    double scale = FIRST_STEP * sqrt((double)n / dot(s->gradient, s->gradient, n));
    if (s->kept > 0) {
        int last = (s->kept - 1) % MEMORY;
        scale = 1 / (s->rho[last] * dot(s->changes[last], s->changes[last], n));
    }
    for (size_t i = 0; i < n; i++)
        d[i] *= scale;
    for (int k = oldest; k < s->kept; k++) {
        int at = k % MEMORY;
        double beta = s->rho[at] * dot(s->changes[at], d, n);
        for (size_t i = 0; i < n; i++)
            d[i] += (alpha[at] - beta) * s->moves[at][i];
    }
}

/* One step down; whether there was one. */
static bool descend(synthesis *s, double *value, double *distance)
{
    size_t n = s->pixels;
    find_direction(s);
    double slope = dot(s->direction, s->gradient, n), step = 1;
    if (!(slope < 0)) return false;
    for (int trial = 0; trial < HALVINGS; trial++, step /= 2) {
        double next_distance;
        for (size_t i = 0; i < n; i++)
            s->next[i] = s->x[i] + step * s->direction[i];
        double next = evaluate(s, s->next, s->next_gradient, &next_distance);
        if (!(next <= *value + SUFFICIENT * step * slope)) continue;
        int at = s->kept % MEMORY;
        for (size_t i = 0; i < n; i++) {
            s->moves[at][i] = s->next[i] - s->x[i];
            s->changes[at][i] = s->next_gradient[i] - s->gradient[i];
        }
        double curvature = dot(s->moves[at], s->changes[at], n);
        if (curvature > 0) {
            s->rho[at] = 1 / curvature;
            s->kept++;
        }
        double *x = s->x, *gradient = s->gradient;
        s->x = s->next, s->gradient = s->next_gradient;
        s->next = x, s->next_gradient = gradient;
        *value = next;
        *distance = next_distance;
        return true;
    }
    return false;
}

/* ---- a texture ---- */

static vt_status allocate(synthesis *s)
{
    size_t count = (size_t)s->meter.layout.count;
    double **vectors[] = {&s->target, &s->unit, &s->statistics, &s->derivative};
    double **images[] = {&s->x, &s->gradient, &s->next, &s->next_gradient, &s->direction};
    VT_TRY(vt_arena_new(&s->arena));
    for (int i = 0; i < 4; i++)
        VT_TRY(vt_arena_alloc(s->arena, vectors[i], count * sizeof(double), "statistics"));
    for (int i = 0; i < 5; i++)
        VT_TRY(vt_arena_alloc(s->arena, images[i], s->pixels * sizeof(double), "a texture"));
    for (int i = 0; i < MEMORY; i++) {
        VT_TRY(vt_arena_alloc(s->arena, &s->moves[i], s->pixels * sizeof(double), "a texture"));
        VT_TRY(vt_arena_alloc(s->arena, &s->changes[i], s->pixels * sizeof(double), "a texture"));
    }
    return VT_OK;
}

/* Target and first image, in units of the photograph. */
static vt_status start(synthesis *s, const double *photograph, const double moments[4],
                       const vt_texture_synthesis *o)
{
    const vt_pyramid *p = &s->meter.pyramid;
    if (!(moments[1] > 0))
        return vt_error(VT_ENUMERIC, "a photograph of one grey, %g, has no texture", moments[0]);
    double deviation = sqrt(moments[1]);
    s->least = INFINITY, s->most = -INFINITY;
    for (size_t i = 0; i < s->pixels; i++) {
        s->next[i] = (photograph[i] - moments[0]) / deviation;
        s->least = fmin(s->least, s->next[i]);
        s->most = fmax(s->most, s->next[i]);
    }
    vt_texture_measure(&s->meter, s->target, s->next);
    VT_TRY(vt_texture_units(s->unit, &s->meter.layout, s->target));
    const vt_texture_layout *l = &s->meter.layout;
    vt_rng rng;
    vt_rng_init(&rng, o->seed, VT_RNG_TEXTURE, o->number, 1);
    return first_image(s->x, s->next, p->height[0], p->width[0], (l->reach + 1) << l->scales, &rng);
}

static void run(synthesis *s, vt_texture_result *result, const vt_texture_synthesis *o)
{
    int most = o->iterations > 0 ? o->iterations : ITERATIONS;
    double enough = o->distance > 0 ? o->distance : DISTANCE, distance;
    double value = evaluate(s, s->x, s->gradient, &distance);
    result->start = distance;
    while (result->iterations < most && distance > enough && descend(s, &value, &distance))
        result->iterations++;
    for (size_t i = 0; i < s->pixels; i++)
        s->x[i] = fmin(fmax(s->x[i], s->least), s->most);
    evaluate(s, s->x, s->gradient, &result->distance);
}

vt_status vt_texture_synthesize(double *out, vt_texture_result *result, const double *photograph,
                                int height, int width, const vt_texture_synthesis *options)
{
    synthesis s = {.arena = NULL};
    vt_texture_result found = {0};
    double moments[4] = {0};
    vt_status status = vt_texture_meter_init(&s.meter, height, width, &options->statistics);
    s.pixels = s.meter.pyramid.pixels[0];
    for (size_t i = 0; status == VT_OK && i < s.pixels; i++)
        if (!isfinite(photograph[i]))
            status = vt_error(VT_ENUMERIC, "pixel %zu of the photograph is %g", i, photograph[i]);
    if (status == VT_OK) status = allocate(&s);
    if (status == VT_OK) {
        vt_texture_moments(moments, photograph, s.pixels);
        status = start(&s, photograph, moments, options);
    }
    if (status == VT_OK) {
        run(&s, &found, options);
        for (size_t i = 0; i < s.pixels; i++)
            out[i] = moments[0] + sqrt(moments[1]) * s.x[i];
        if (result) *result = found;
    }
    vt_texture_meter_free(&s.meter);
    vt_arena_free(s.arena);
    return status;
}
