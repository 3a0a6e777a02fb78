/* Statistics of textures against the formula, their gradient against differences; synthesis and
 * noise. */
#include "test.h"

#include "base/arena.h"
#include "stimuli/texture_statistics.h"
#include "ventral/io.h"
#include "ventral/rng.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE };

static const vt_texture_options small = {.scales = 3, .orientations = 4, .neighbourhood = 7};

/* Leaning bars with soft dark and hard bright edges, and spots: structured at all scales. */
static void draw_pattern(double *out, int side)
{
    vt_rng rng;
    vt_rng_init(&rng, 1, VT_RNG_IMAGE, 0, 0);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            double wave = fmod(x + 0.5 * y + 2 * sin(y / 5.0) + 100, 16) / 16;
            double spot = hypot((x + y / 16 * 5) % 16 - 8, y % 16 - 8) < 3 ? 60 : 0;
            out[y * side + x] = 60 + 110 * wave * wave + spot + 5 * vt_rng_normal(&rng);
        }
}

static const double *data_of(const vt_tensor_map *map, const char *name, int64_t count)
{
    const vt_tensor *t = vt_tensor_map_find(map, name);
    if (!t) fail_msg("no %s", name);
    assert_int_equal(t->dtype, VT_F64);
    assert_int_equal(vt_tensor_count(t), count);
    return t->data;
}

/* ---- statistics ---- */

/* 710 of four scales and orientations and a neighbourhood of 7, as published, and the 16 means. */
static void test_shapes(void **state)
{
    (void)state;
    static double image[128 * 192];
    vt_tensor_map *map;
    for (int i = 0; i < 128 * 192; i++)
        image[i] = (i * 7919 % 256);
    assert_ok(vt_texture_statistics(&map, image, 128, 192, NULL));
    int64_t total = 0;
    for (int i = 0; i < vt_tensor_map_count(map); i++)
        total += vt_tensor_count(vt_tensor_map_at(map, i));
    assert_int_equal(total, 710 + 16);
    data_of(map, "pixel", 6);
    data_of(map, "lowpass.moments", 10);
    data_of(map, "highpass.variance", 1);
    data_of(map, "lowpass.autocorrelation", 5 * 25);
    data_of(map, "magnitude.autocorrelation", 16 * 25);
    data_of(map, "magnitude.orientations", 4 * 6);
    data_of(map, "magnitude.scales", 3 * 16);
    data_of(map, "phase.scales", 3 * 16 * 2);
    data_of(map, "magnitude.mean", 16);
    vt_tensor_map_free(map);
}

static double covariance(const double *a, const double *b, int count)
{
    double x = 0, y = 0, sum = 0;
    for (int i = 0; i < count; i++)
        x += a[i] / count, y += b[i] / count;
    for (int i = 0; i < count; i++)
        sum += (a[i] - x) * (b[i] - y) / count;
    return sum;
}

/* Some of each kind, computed from the pyramid's bands as the definitions have it. */
static void test_values(void **state)
{
    (void)state;
    static double image[PIXELS], a[PIXELS], b[PIXELS], c[PIXELS];
    static double complex band[PIXELS], spectrum[PIXELS];
    vt_tensor_map *map;
    vt_pyramid p;
    draw_pattern(image, SIDE);
    assert_ok(vt_texture_statistics(&map, image, SIDE, SIDE, &small));
    assert_ok(vt_pyramid_init(&p, SIDE, SIDE, 3, 4));
    vt_pyramid_analyze(&p, spectrum, image);

    double mean = 0, m2 = 0, m3 = 0, m4 = 0, least = image[0], most = image[0];
    for (int i = 0; i < PIXELS; i++)
        mean += image[i] / PIXELS;
    for (int i = 0; i < PIXELS; i++) {
        double d = image[i] - mean;
        m2 += d * d / PIXELS, m3 += d * d * d / PIXELS, m4 += d * d * d * d / PIXELS;
        least = fmin(least, image[i]), most = fmax(most, image[i]);
    }
    const double expected[] = {mean, m2, m3 / pow(m2, 1.5), m4 / m2 / m2, least, most};
    for (int i = 0; i < 6; i++)
        assert_close(data_of(map, "pixel", 6)[i], expected[i], 1e-9);

    vt_pyramid_high(&p, a, spectrum);
    assert_close(*data_of(map, "highpass.variance", 1), covariance(a, a, PIXELS), 1e-9);

    /* autocorrelation of lowpass image 1, 32 x 32, at (0, 3) and (2, -1): 4 + 7 + 2 */
    vt_pyramid_low(&p, a, spectrum, 1);
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 32; x++) {
            b[y * 32 + x] = a[y * 32 + (x + 3) % 32];
            c[y * 32 + x] = a[(y + 2) % 32 * 32 + (x + 31) % 32];
        }
    const double *low = data_of(map, "lowpass.autocorrelation", 4 * 25);
    assert_close(low[25 + 3], covariance(a, b, 1024), 1e-9);
    assert_close(low[25 + 13], covariance(a, c, 1024), 1e-9);

    /* bands 1 and 3 of scale 1 */
    vt_pyramid_band(&p, band, spectrum, 1, 1, 1);
    for (int i = 0; i < 1024; i++)
        a[i] = cabs(band[i]), c[i] = creal(band[i]);
    vt_pyramid_band(&p, band, spectrum, 1, 3, 1);
    for (int i = 0; i < 1024; i++)
        b[i] = cabs(band[i]);
    assert_close(data_of(map, "magnitude.orientations", 18)[6 + 4], covariance(a, b, 1024), 1e-9);
    const double *magnitude = data_of(map, "magnitude.autocorrelation", 12 * 25);
    assert_close(magnitude[5 * 25], covariance(a, a, 1024), 1e-9);

    /* and band 2 of scale 2 beside band 1 of scale 1 */
    vt_pyramid_band(&p, band, spectrum, 2, 2, 1);
    for (int i = 0; i < 1024; i++)
        b[i] = cabs(band[i]);
    assert_close(data_of(map, "magnitude.scales", 32)[16 + 4 + 2], covariance(a, b, 1024), 1e-9);
    for (int part = 0; part < 2; part++) {
        for (int i = 0; i < 1024; i++) {
            double complex twice = cabs(band[i]) * cexp(2 * I * carg(band[i]));
            b[i] = part == 0 ? creal(twice) : cimag(twice);
        }
        assert_close(data_of(map, "phase.scales", 64)[2 * (16 + 4 + 2) + part],
                     covariance(c, b, 1024), 1e-9);
    }
    vt_pyramid_free(&p);
    vt_tensor_map_free(map);
}

/* Of every statistic along a random direction; the two that no gradient is given of are left out.
 */
static void test_gradient(void **state)
{
    (void)state;
    static double image[PIXELS], moved[PIXELS], direction[PIXELS], gradient[PIXELS];
    vt_texture_meter m;
    vt_rng rng;
    vt_rng_init(&rng, 3, VT_RNG_IMAGE, 0, 0);
    draw_pattern(image, SIDE);
    for (int i = 0; i < PIXELS; i++) {
        image[i] = (image[i] - 120) / 40;
        direction[i] = vt_rng_normal(&rng);
    }
    assert_ok(vt_texture_meter_init(&m, SIDE, SIDE, &small));
    int count = m.layout.count, checked = 0;
    double *up = vt_alloc((size_t)count, 3 * sizeof *up), *down = up + count, *one = down + count;
    static const double step = 1e-5;
    for (int i = 0; i < PIXELS; i++)
        moved[i] = image[i] + step * direction[i];
    vt_texture_measure(&m, up, moved);
    for (int i = 0; i < PIXELS; i++)
        moved[i] = image[i] - step * direction[i];
    vt_texture_measure(&m, down, moved);
    vt_texture_measure(&m, one, image);
    double *derivative = vt_alloc((size_t)count, sizeof *derivative);
    for (int i = 0; i < m.layout.first[VT_TEXTURE_MEAN]; i += i < 60 ? 1 : 7) {
        if (i == 4 || i == 5) continue;
        memset(derivative, 0, (size_t)count * sizeof *derivative);
        derivative[i] = 1;
        vt_texture_gradient(&m, gradient, image, derivative);
        double along = 0;
        for (int k = 0; k < PIXELS; k++)
            along += gradient[k] * direction[k];
        double expected = (up[i] - down[i]) / (2 * step);
        if (!(fabs(along - expected) <= 2e-6 * (1 + fabs(expected))))
            fail_msg("statistic %d: gradient %.12g, difference %.12g", i, along, expected);
        checked++;
    }
    assert_true(checked > 100);
    free(derivative);
    free(up);
    vt_texture_meter_free(&m);
}

static void test_statistics_refuse(void **state)
{
    (void)state;
    static double image[PIXELS];
    vt_tensor_map *map, *other;
    assert_status(VT_EUNSUPPORTED, vt_texture_statistics(&map, image, 64, 64, NULL));
    assert_message("too small");
    assert_status(VT_EUNSUPPORTED, vt_texture_statistics(&map, image, 60, 64, &small));
    assert_message("multiples of 8");
    assert_status(VT_EUNSUPPORTED, vt_texture_statistics(&map, image, 0, -3, &small));
    assert_status(VT_EINVAL,
                  vt_texture_statistics(&map, image, 64, 64,
                                        &(vt_texture_options){.scales = 3, .neighbourhood = 4}));
    assert_status(VT_EINVAL,
                  vt_texture_statistics(&map, image, 64, 64, &(vt_texture_options){.scales = -1}));
    image[5] = NAN;
    assert_status(VT_ENUMERIC, vt_texture_statistics(&map, image, 64, 64, &small));
    image[5] = 0;

    /* one grey: no variance, no distance */
    double distance;
    assert_ok(vt_texture_statistics(&map, image, 64, 64, &small));
    assert_close(data_of(map, "pixel", 6)[3], 3, 0);
    assert_status(VT_ENUMERIC, vt_texture_distance(&distance, map, map));
    draw_pattern(image, SIDE);
    vt_texture_options two = {.scales = 2};
    assert_ok(vt_texture_statistics(&other, image, 64, 64, &two));
    assert_ok(vt_texture_distance(&distance, other, other));
    assert_true(distance == 0);
    assert_status(VT_ESHAPE, vt_texture_distance(&distance, other, map));
    vt_tensor_map_free(other);
    vt_tensor_map_free(map);
    assert_ok(vt_tensor_map_new(&map));
    assert_status(VT_ESHAPE, vt_texture_distance(&distance, map, map));
    vt_tensor_map_free(map);
    vt_status status = VT_ENOMEM;
    for (int64_t n = 0; status != VT_OK; n++) {
        assert_status(VT_ENOMEM, status);
        vt_alloc_fail_after(n);
        status = vt_texture_statistics(&map, image, 64, 64, &small);
    }
    vt_alloc_fail_after(-1);
    vt_tensor_map_free(map);
}

/* ---- synthesis ---- */

static double distance_of(const double *target, const double *image)
{
    vt_tensor_map *a, *b;
    double distance;
    assert_ok(vt_texture_statistics(&a, target, SIDE, SIDE, &small));
    assert_ok(vt_texture_statistics(&b, image, SIDE, SIDE, &small));
    assert_ok(vt_texture_distance(&distance, a, b));
    vt_tensor_map_free(a);
    vt_tensor_map_free(b);
    return distance;
}

static double statistic(const double *image, const char *name, int64_t count, int at)
{
    vt_tensor_map *map;
    assert_ok(vt_texture_statistics(&map, image, SIDE, SIDE, &small));
    double value = data_of(map, name, count)[at];
    vt_tensor_map_free(map);
    return value;
}

/* The texture has the photograph's statistics, noise of either does not: its pixels are Gaussian,
 * its bands' moduli less varied and their phases unrelated across scales. */
static void test_synthesis(void **state)
{
    (void)state;
    static double photograph[PIXELS], texture[PIXELS], noise[PIXELS];
    vt_texture_result result;
    draw_pattern(photograph, SIDE);
    vt_texture_synthesis options = {.statistics = small, .seed = 4};
    assert_ok(vt_texture_synthesize(texture, &result, photograph, SIDE, SIDE, &options));
    double left = distance_of(photograph, texture);
    assert_close(left, result.distance, 1e-9);
    assert_true(result.distance < 0.3 * result.start);
    assert_true(result.iterations > 10);
    double least = statistic(photograph, "pixel", 6, 4),
           most = statistic(photograph, "pixel", 6, 5);
    for (int i = 0; i < PIXELS; i++)
        assert_true(texture[i] >= least - 1e-9 && texture[i] <= most + 1e-9);
    assert_ok(vt_texture_noise(noise, texture, SIDE, SIDE, 4, 0));
    assert_true(left < 0.25 * distance_of(photograph, noise));
    assert_true(left < 0.25 * distance_of(texture, noise));
    double skew = statistic(photograph, "pixel", 6, 2);
    assert_true(skew > 0.4);
    assert_close(statistic(texture, "pixel", 6, 2), skew, 0.15);
    assert_close(statistic(noise, "pixel", 6, 2), 0, 0.3 * skew);

    /* another number is another texture, not the photograph moved a little */
    static double other[PIXELS];
    options.number = 1;
    assert_ok(vt_texture_synthesize(other, NULL, photograph, SIDE, SIDE, &options));
    double product = covariance(other, texture, PIXELS);
    assert_true(fabs(product) < 0.6 * covariance(texture, texture, PIXELS));
}

/* Bars that repeat: their modulus hardly varies and their coarsest lowpass image is nearly empty,
 * which must not drown all else. */
static void test_repeating(void **state)
{
    (void)state;
    static double photograph[PIXELS], texture[PIXELS];
    vt_texture_result result;
    vt_rng rng;
    vt_rng_init(&rng, 2, VT_RNG_IMAGE, 0, 0);
    for (int i = 0; i < PIXELS; i++)
        photograph[i] = 128 + 50 * cos(2 * M_PI * (i % SIDE) / 8) + vt_rng_normal(&rng);
    vt_texture_synthesis options = {.statistics = small, .seed = 4, .iterations = 60};
    assert_ok(vt_texture_synthesize(texture, &result, photograph, SIDE, SIDE, &options));
    vt_texture_meter m;
    assert_ok(vt_texture_meter_init(&m, SIDE, SIDE, &small));
    const int *first = m.layout.first, bars = m.layout.orientations; /* band 0 of scale 1 */
    double *target = vt_alloc((size_t)m.layout.count, 2 * sizeof *target);
    double *unit = target + m.layout.count, mean;
    vt_texture_measure(&m, target, photograph);
    assert_ok(vt_texture_units(unit, &m.layout, target));
    mean = target[first[VT_TEXTURE_MEAN] + bars];
    int modulus = first[VT_TEXTURE_MAGNITUDE_AUTO] + bars * m.layout.shifts;
    assert_true(mean > 10 && target[modulus] < 0.01 * mean * mean);
    assert_close(unit[modulus], 0.05 * (mean * mean + target[modulus]), 1e-9);
    assert_true(isinf(unit[first[VT_TEXTURE_LOW_MOMENTS] + 2 * 3 + 1]));
    assert_close(unit[first[VT_TEXTURE_LOW_MOMENTS]], 1, 0);
    free(target);
    vt_texture_meter_free(&m);
    if (!(result.distance < 0.05 * result.start))
        fail_msg("distance %g at the start, %g after %d steps", result.start, result.distance,
                 result.iterations);
}

/* The same bits again, whatever the threads. */
static void test_same_again(void **state)
{
    (void)state;
    static double photograph[PIXELS], a[PIXELS], b[PIXELS];
    draw_pattern(photograph, SIDE);
    vt_texture_synthesis options = {.statistics = small, .iterations = 5, .seed = 9, .number = 3};
    vt_threads_set(1);
    assert_ok(vt_texture_synthesize(a, NULL, photograph, SIDE, SIDE, &options));
    vt_threads_set(4);
    assert_ok(vt_texture_synthesize(b, NULL, photograph, SIDE, SIDE, &options));
    assert_memory_equal(a, b, sizeof a);
    assert_ok(vt_texture_noise(a, photograph, SIDE, SIDE, 9, 3));
    vt_threads_set(0);
    assert_ok(vt_texture_noise(b, photograph, SIDE, SIDE, 9, 3));
    assert_memory_equal(a, b, sizeof a);
    assert_ok(vt_texture_noise(b, photograph, SIDE, SIDE, 9, 4));
    assert_true(memcmp(a, b, sizeof a) != 0);
}

/* Noise has the image's amplitudes, the mean's sign included, and other phases. */
static void test_noise(void **state)
{
    (void)state;
    enum { HEIGHT = 30, WIDTH = 45, COUNT = HEIGHT * WIDTH };
    static double image[SIDE * SIDE], noise[COUNT];
    static double complex a[COUNT], b[COUNT];
    vt_fft *fft;
    draw_pattern(image, SIDE);
    for (int i = 0; i < COUNT; i++)
        image[i] -= 500;
    assert_ok(vt_texture_noise(noise, image, HEIGHT, WIDTH, 1, 0));
    for (int i = 0; i < COUNT; i++)
        a[i] = image[i], b[i] = noise[i];
    assert_ok(vt_fft_new(&fft, HEIGHT, WIDTH));
    vt_fft_run(fft, a, a, -1);
    vt_fft_run(fft, b, b, -1);
    assert_close(creal(a[0]), creal(b[0]), 1e-8);
    double turned = 0;
    for (int i = 1; i < COUNT; i++) {
        assert_close(cabs(a[i]), cabs(b[i]), 1e-8);
        turned += cos(carg(a[i]) - carg(b[i])) / COUNT;
    }
    assert_true(fabs(turned) < 0.15);
    vt_fft_free(fft);
    assert_status(VT_EUNSUPPORTED, vt_texture_noise(noise, image, 7, 10, 1, 0));
}

static void test_synthesis_refuses(void **state)
{
    (void)state;
    static double image[PIXELS], out[PIXELS];
    vt_texture_synthesis options = {.statistics = small, .iterations = 1};
    assert_status(VT_ENUMERIC, vt_texture_synthesize(out, NULL, image, SIDE, SIDE, &options));
    assert_message("one grey");
    draw_pattern(image, SIDE);
    image[9] = INFINITY;
    assert_status(VT_ENUMERIC, vt_texture_synthesize(out, NULL, image, SIDE, SIDE, &options));
    image[9] = 0;
    assert_status(VT_EUNSUPPORTED, vt_texture_synthesize(out, NULL, image, SIDE, 22, &options));
    vt_status status = VT_ENOMEM;
    for (int64_t n = 0; status != VT_OK; n++) {
        assert_status(VT_ENOMEM, status);
        vt_alloc_fail_after(n);
        status = vt_texture_synthesize(out, NULL, image, SIDE, SIDE, &options);
    }
    vt_alloc_fail_after(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_statistics_refuse),
        cmocka_unit_test(test_synthesis),
        cmocka_unit_test(test_repeating),
        cmocka_unit_test(test_same_again),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_synthesis_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
