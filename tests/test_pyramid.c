/* Fourier transforms against the sum, and the steerable pyramid: inverse, energy, transposes, what
 * shifts and gratings do. */
#include "test.h"

#include "base/arena.h"
#include "stimuli/pyramid.h"
#include "ventral/rng.h"

static void fill(double *out, size_t count, uint32_t number)
{
    vt_rng rng;
    vt_rng_init(&rng, 5, VT_RNG_IMAGE, 0, number);
    for (size_t i = 0; i < count; i++)
        out[i] = vt_rng_normal(&rng);
}

/* ---- Fourier transforms ---- */

static void check_transform(int height, int width, int sign)
{
    size_t n = (size_t)height * (size_t)width;
    double complex *in = vt_alloc(n, sizeof *in), *out = vt_alloc(n, sizeof *out);
    vt_fft *fft;
    fill((double *)in, 2 * n, (uint32_t)n);
    assert_ok(vt_fft_new(&fft, height, width));
    vt_fft_run(fft, out, in, sign);
    for (int ky = 0; ky < height; ky++)
        for (int kx = 0; kx < width; kx++) {
            double complex sum = 0;
            for (int y = 0; y < height; y++)
                for (int x = 0; x < width; x++)
                    sum += in[y * width + x] *
                           cexp(sign * 2 * M_PI * I *
                                ((double)ky * y / height + (double)kx * x / width));
            assert_close(cabs(out[ky * width + kx] - sum), 0, 1e-12 * (double)n);
        }
    vt_fft_run(fft, out, out, -sign); /* in place, and back */
    for (size_t i = 0; i < n; i++)
        assert_close(cabs(out[i] / (double)n - in[i]), 0, 1e-14 * (double)n);
    vt_fft_free(fft);
    free(in);
    free(out);
}

static void test_fft(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1},   {1, 2},  {3, 1},   {4, 8},
                                   {12, 20}, {15, 9}, {30, 16}, {25, 27}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_transform(sizes[i][0], sizes[i][1], -1);
        check_transform(sizes[i][0], sizes[i][1], 1);
    }
}

static void test_fft_refuses(void **state)
{
    (void)state;
    vt_fft *fft;
    static const int sizes[][2] = {{0, 4}, {7, 4}, {4, 22}, {-2, 4}, {4, 2 * VT_FFT_MAX_SIDE}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_status(VT_EUNSUPPORTED, vt_fft_new(&fft, sizes[i][0], sizes[i][1]));
        assert_message("2, 3 and 5");
    }
    for (int64_t n = 0; n < 4; n++) {
        vt_alloc_fail_after(n);
        assert_status(VT_ENOMEM, vt_fft_new(&fft, 4, 6));
    }
    vt_alloc_fail_after(-1);
}

/* ---- the pyramid ---- */

enum { HEIGHT = 48, WIDTH = 80, SCALES = 3, PIXELS = HEIGHT * WIDTH };

typedef struct parts {
    vt_pyramid p;
    double *high, *low;
    double complex *band[SCALES][VT_PYRAMID_MAX_ORIENTATIONS];
    double complex *spectrum;
} parts;

static void decompose(parts *out, const double *image, int orientations)
{
    vt_pyramid *p = &out->p;
    assert_ok(vt_pyramid_init(p, HEIGHT, WIDTH, SCALES, orientations));
    out->spectrum = vt_alloc(PIXELS, sizeof *out->spectrum);
    out->high = vt_alloc(PIXELS, sizeof *out->high);
    out->low = vt_alloc(PIXELS, sizeof *out->low);
    vt_pyramid_analyze(p, out->spectrum, image);
    vt_pyramid_high(p, out->high, out->spectrum);
    vt_pyramid_low(p, out->low, out->spectrum, SCALES);
    for (int s = 0; s < SCALES; s++)
        for (int k = 0; k < orientations; k++) {
            out->band[s][k] = vt_alloc(PIXELS, sizeof **out->band[s]);
            vt_pyramid_band(p, out->band[s][k], out->spectrum, s, k, s);
        }
}

static void drop(parts *d)
{
    for (int s = 0; s < SCALES; s++)
        for (int k = 0; k < d->p.orientations; k++)
            free(d->band[s][k]);
    free(d->high);
    free(d->low);
    free(d->spectrum);
    vt_pyramid_free(&d->p);
}

/* Sum of squares: the image's, and the pyramid's with 4^s for scale s and half of bands. */
static void test_energy(void **state)
{
    (void)state;
    static double image[PIXELS];
    for (int orientations = 2; orientations <= 6; orientations++) {
        parts d;
        fill(image, PIXELS, (uint32_t)orientations);
        decompose(&d, image, orientations);
        double energy = 0, real = 0, sum = 0;
        for (int i = 0; i < PIXELS; i++) {
            sum += image[i] * image[i];
            energy += d.high[i] * d.high[i];
        }
        for (size_t i = 0; i < d.p.pixels[SCALES]; i++)
            energy += ldexp(d.low[i] * d.low[i], 2 * SCALES);
        real = energy;
        for (int s = 0; s < SCALES; s++)
            for (int k = 0; k < orientations; k++)
                for (size_t i = 0; i < d.p.pixels[s]; i++) {
                    double complex c = d.band[s][k][i];
                    energy += ldexp(creal(c) * creal(c) + cimag(c) * cimag(c), 2 * s - 1);
                    real += ldexp(creal(c) * creal(c), 2 * s);
                }
        assert_close(energy, sum, 1e-11 * sum);
        assert_close(real, sum, 1e-11 * sum);
        drop(&d);
    }
}

static void test_inverse(void **state)
{
    (void)state;
    static double image[PIXELS], back[PIXELS];
    for (int orientations = 2; orientations <= 6; orientations++) {
        parts d;
        fill(image, PIXELS, (uint32_t)orientations);
        decompose(&d, image, orientations);
        double complex *sum = vt_alloc(PIXELS, sizeof *sum);
        for (int s = 0; s < SCALES; s++)
            for (int k = 0; k < orientations; k++) {
                for (size_t i = 0; i < d.p.pixels[s]; i++)
                    d.band[s][k][i] *= ldexp(0.5, 2 * s);
                vt_pyramid_add_band(&d.p, sum, d.band[s][k], s, k, s);
            }
        for (size_t i = 0; i < d.p.pixels[SCALES]; i++)
            d.low[i] = ldexp(d.low[i], 2 * SCALES);
        vt_pyramid_add_low(&d.p, sum, d.low, SCALES);
        vt_pyramid_add_high(&d.p, sum, d.high);
        vt_pyramid_gather(&d.p, back, sum);
        for (int i = 0; i < PIXELS; i++)
            assert_close(back[i], image[i], 1e-12);
        free(sum);
        drop(&d);
    }
}

/* <band(x), g> = <x, transpose(g)>, also of a band that is shown as an image of a larger scale. */
static void test_transpose(void **state)
{
    (void)state;
    static double image[PIXELS], back[PIXELS];
    static double complex band[PIXELS], gradient[PIXELS], spectrum[PIXELS];
    vt_pyramid p;
    assert_ok(vt_pyramid_init(&p, HEIGHT, WIDTH, SCALES, 4));
    fill(image, PIXELS, 0);
    vt_pyramid_analyze(&p, spectrum, image);
    for (int s = 0; s < SCALES; s++)
        for (int at = s > 0 ? s - 1 : 0; at <= s; at++)
            for (int k = 0; k < 4; k++) {
                static double complex sum[PIXELS];
                double forth = 0, transposed = 0;
                memset(sum, 0, sizeof sum);
                fill((double *)gradient, 2 * p.pixels[at], (uint32_t)(4 * s + k));
                vt_pyramid_band(&p, band, spectrum, s, k, at);
                for (size_t i = 0; i < p.pixels[at]; i++)
                    forth += creal(conj(gradient[i]) * band[i]);
                vt_pyramid_add_band(&p, sum, gradient, s, k, at);
                vt_pyramid_gather(&p, back, sum);
                for (int i = 0; i < PIXELS; i++)
                    transposed += back[i] * image[i];
                assert_close(transposed, forth, 1e-10 * PIXELS);
            }
    vt_pyramid_free(&p);
}

/* An image moved by whole pixels of a scale: so are its band and lowpass image; and a band shown at
 * a larger scale passes through its values. */
static void test_shift(void **state)
{
    (void)state;
    static double image[PIXELS], moved[PIXELS];
    static double complex large[PIXELS];
    parts a, b;
    enum { DOWN = 8, RIGHT = 16 };
    fill(image, PIXELS, 0);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            moved[(y + DOWN) % HEIGHT * WIDTH + (x + RIGHT) % WIDTH] = image[y * WIDTH + x];
    decompose(&a, image, 4);
    decompose(&b, moved, 4);
    for (int s = 0; s < SCALES; s++)
        for (int k = 0; k < 4; k++) {
            int height = HEIGHT >> s, width = WIDTH >> s;
            if (s > 0) vt_pyramid_band(&a.p, large, a.spectrum, s, k, s - 1);
            for (int y = 0; y < height; y++)
                for (int x = 0; x < width; x++) {
                    int to = (y + (DOWN >> s)) % height * width + (x + (RIGHT >> s)) % width;
                    double complex c = a.band[s][k][y * width + x];
                    assert_close(cabs(b.band[s][k][to] - c), 0, 1e-12);
                    if (s > 0) assert_close(cabs(large[4 * y * width + 2 * x] - c), 0, 1e-12);
                }
        }
    drop(&a);
    drop(&b);
}

/* The modulus of a band does not care for a grating's phase; the band of the grating's orientation
 * answers most, that across it nothing. Orientation k: contours' normal at pi k / 4. */
static void test_gratings(void **state)
{
    (void)state;
    static double image[PIXELS];
    static const int waves[4][2] = {{0, 20}, {12, 20}, {12, 0}, {12, -20}}; /* cycles: y, x */
    for (int k = 0; k < 4; k++)
        for (int phase = 0; phase < 3; phase++) {
            parts d;
            for (int i = 0; i < PIXELS; i++) {
                double turn = (double)waves[k][0] * (i / WIDTH) / HEIGHT +
                              (double)waves[k][1] * (i % WIDTH) / WIDTH;
                image[i] = cos(2 * M_PI * turn + phase);
            }
            decompose(&d, image, 4);
            double first = cabs(d.band[0][k][0]);
            assert_true(first > 0.5);
            for (int i = 0; i < PIXELS; i++) {
                assert_close(cabs(d.band[0][k][i]), first, 1e-11);
                assert_close(cabs(d.band[0][(k + 2) % 4][i]), 0, 1e-11);
                assert_true(cabs(d.band[0][(k + 1) % 4][i]) < 0.5 * first);
            }
            drop(&d);
        }
}

static void test_refuses(void **state)
{
    (void)state;
    vt_pyramid p;
    static const int sizes[][2] = {{60, 64}, {64, 63}, {112, 64}, {0, 64}, {8, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_status(VT_EUNSUPPORTED, vt_pyramid_init(&p, sizes[i][0], sizes[i][1], 4, 4));
        assert_message("multiples of 16");
        vt_pyramid_free(&p);
    }
    static const int parts_of[][2] = {{0, 4}, {9, 4}, {4, 1}, {4, 9}};
    for (size_t i = 0; i < sizeof parts_of / sizeof *parts_of; i++) {
        assert_status(VT_EINVAL, vt_pyramid_init(&p, 64, 64, parts_of[i][0], parts_of[i][1]));
        vt_pyramid_free(&p);
    }
    vt_status status = VT_ENOMEM;
    for (int64_t n = 0; status != VT_OK; n++) {
        assert_status(VT_ENOMEM, status);
        vt_alloc_fail_after(n);
        status = vt_pyramid_init(&p, 16, 16, 1, 2);
        vt_pyramid_free(&p);
    }
    vt_alloc_fail_after(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fft),       cmocka_unit_test(test_fft_refuses),
        cmocka_unit_test(test_energy),    cmocka_unit_test(test_inverse),
        cmocka_unit_test(test_transpose), cmocka_unit_test(test_shift),
        cmocka_unit_test(test_gratings),  cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
