/* The common corruptions: against the libraries of the published program (make_corruptions.py),
 * against their definitions, and for every size, thread and failing allocation. */
#include "test.h"

#include "base/arena.h"
#include "data/corruption.h"
#include "io/image.h"
#include "ventral/io.h"
#include "ventral/progress.h"
#include "ventral/simulate.h"

enum { SIZE = 64, BYTES = SIZE * SIZE * 3, EVERY = 11 };

static vt_image new_image(int height, int width)
{
    vt_image image;
    assert_ok(vt_image_new(&image, height, width, "test"));
    return image;
}

static vt_image flat_image(int height, int width, int value)
{
    vt_image image = new_image(height, width);
    memset(image.pixels, value, (size_t)height * (size_t)width * 3);
    return image;
}

static vt_image leaves(int height, int width)
{
    vt_image image = new_image(height, width);
    assert_ok(vt_dead_leaves(image.pixels, height, width, 3, 1));
    return image;
}

static vt_image corrupted(const vt_image *image, vt_corruption kind, int severity, uint32_t index)
{
    vt_image out;
    assert_ok(vt_corrupt(&out, image, kind, severity, 20190507, index));
    assert_int_equal(image->height, out.height);
    assert_int_equal(image->width, out.width);
    return out;
}

/* ---- the published program's libraries ---- */

/* A ramp, checks, a disk and noise: the same as in make_corruptions.py. */
static int reference_value(int y, int x, int c)
{
    uint32_t noise = (uint32_t)((y * SIZE + x) * 3 + c) * 2654435761u >> 24;
    int ramp = 4 * x + 20 * c;
    if (y < 16) return ramp < 255 ? ramp : 255;
    if (y < 32) return 255 * ((x / 8 + y / 8 + c) % 2);
    if (y < 48) return (x - 32) * (x - 32) + (y - 40) * (y - 40) < 49 ? 200 - 60 * c : 40 + 30 * c;
    return 64 + (int)noise / 2;
}

static vt_image reference_image(void)
{
    vt_image image = new_image(SIZE, SIZE);
    for (int i = 0; i < BYTES; i++)
        image.pixels[i] = (uint8_t)reference_value(i / 3 / SIZE, i / 3 % SIZE, i % 3);
    return image;
}

/* Equal where it was written; other versions of the C library may round a sum otherwise. */
static void compare(const vt_image *image, vt_corruption kind, const vt_tensor *expected)
{
    int64_t pixels = expected->size[1];
    assert_int_equal((SIZE * SIZE + EVERY - 1) / EVERY, pixels);
    for (int severity = 1; severity <= VT_CORRUPTION_SEVERITIES; severity++) {
        vt_image out = corrupted(image, kind, severity, 7);
        const uint8_t *values = (uint8_t *)expected->data + (severity - 1) * pixels * 3;
        int worst = 0, different = 0;
        for (int64_t i = 0; i < pixels * 3; i++) {
            int off = abs(values[i] - out.pixels[i / 3 * EVERY * 3 + i % 3]);
            worst = off > worst ? off : worst;
            different += off > 0;
        }
        if (worst > 1 || different > pixels * 3 / 100)
            fail_msg("%s %d: %d levels off, %d of %d values differ", vt_corruption_name(kind),
                     severity, worst, different, (int)pixels * 3);
        vt_image_free(&out);
    }
}

static void test_published_definitions(void **state)
{
    (void)state;
    vt_tensor_map *map;
    assert_ok(vt_npz_read(&map, TEST_SOURCE_DIR "/tests/corruptions.npz"));
    vt_image image = reference_image();
    for (int kind = 0; kind < VT_CORRUPTIONS; kind++) {
        if (kind == VT_CORRUPTION_FROST) continue;
        const vt_tensor *expected = vt_tensor_map_find(map, vt_corruption_name(kind));
        assert_non_null(expected);
        compare(&image, (vt_corruption)kind, expected);
    }
    vt_image_free(&image);
    vt_tensor_map_free(map);
}

/* ---- noise against its distribution ---- */

enum { WIDE = 256, VALUES = WIDE * WIDE * 3 };

/* Mean, variance, and correlation with the value `step` bytes on. */
typedef struct moments {
    double mean, variance, correlation;
} moments;

static moments measure(const uint8_t *values, int count, int step)
{
    moments m = {0};
    double product = 0;
    for (int i = 0; i < count; i++)
        m.mean += values[i] / (double)count;
    for (int i = 0; i < count; i++)
        m.variance += (values[i] - m.mean) * (values[i] - m.mean) / count;
    for (int i = 0; i + step < count; i++)
        product += (values[i] - m.mean) * (values[i + step] - m.mean) / (count - step);
    m.correlation = product / m.variance;
    return m;
}

/* Truncation takes half a level on average, up to `truncation` more or less. */
static void expect_noise(vt_corruption kind, int severity, int grey, double sd, double truncation)
{
    static const int steps[] = {1, 3, 3 * WIDE}; /* channel, column, row */
    vt_image image = flat_image(WIDE, WIDE, grey), out = corrupted(&image, kind, severity, 0);
    for (int i = 0; i < 3; i++) {
        moments m = measure(out.pixels, VALUES, steps[i]);
        assert_close(m.mean, grey - 0.5, 4 * sd / sqrt(VALUES) + truncation);
        assert_close(sqrt(m.variance), sd, 0.01 * sd);
        assert_close(m.correlation, 0, 5 / sqrt(VALUES));
    }
    vt_image_free(&image);
    vt_image_free(&out);
}

static void test_noise_moments(void **state)
{
    (void)state;
    /* 1/12 is the variance of truncation. The last three severities are cut off at 0 and 255. */
    for (int severity = 1; severity <= 2; severity++)
        expect_noise(VT_CORRUPTION_GAUSSIAN_NOISE, severity, 127,
                     sqrt(pow(255 * (severity == 1 ? 0.04 : 0.08), 2) + 1 / 12.0), 0.02);
    /* Poisson: variance = mean / photons, in units of white; 0.5: multiples of 255 / photons */
    static const double photons[] = {250, 100, 50};
    for (int severity = 1; severity <= 3; severity++)
        expect_noise(VT_CORRUPTION_SHOT_NOISE, severity, 64,
                     sqrt(64 * 255 / photons[severity - 1] + 1 / 12.0), 0.5);
}

static void test_impulses(void **state)
{
    (void)state;
    static const double amount[] = {0.01, 0.02, 0.05, 0.08, 0.14};
    vt_image image = flat_image(WIDE, WIDE, 60);
    for (int severity = 1; severity <= 5; severity++) {
        vt_image out = corrupted(&image, VT_CORRUPTION_IMPULSE_NOISE, severity, 0);
        int black = 0, white = 0;
        for (int i = 0; i < VALUES; i++) {
            black += out.pixels[i] == 0;
            white += out.pixels[i] == 255;
            assert_true(out.pixels[i] == 0 || out.pixels[i] == 60 || out.pixels[i] == 255);
        }
        double p = amount[severity - 1], sd = sqrt(p * (1 - p) * VALUES);
        assert_close(black + white, p * VALUES, 4 * sd);
        assert_close(black - white, 0, 4 * sqrt(p * VALUES));
        vt_image_free(&out);
    }
    vt_image_free(&image);
}

/* ---- other properties ---- */

/* What only moves or averages pixels leaves an even image as it is; a level may be truncated, and
 * JPEG of quality 25 has grey in steps of 4 levels. */
static void test_even_images_stay(void **state)
{
    (void)state;
    static const vt_corruption kinds[] = {
        VT_CORRUPTION_DEFOCUS_BLUR, VT_CORRUPTION_GLASS_BLUR,       VT_CORRUPTION_MOTION_BLUR,
        VT_CORRUPTION_ZOOM_BLUR,    VT_CORRUPTION_CONTRAST,         VT_CORRUPTION_ELASTIC_TRANSFORM,
        VT_CORRUPTION_PIXELATE,     VT_CORRUPTION_JPEG_COMPRESSION,
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int severity = 1; severity <= 5; severity++)
            for (int grey = 0; grey < 256; grey += 51) {
                vt_image image = flat_image(48, 64, grey);
                vt_image out = corrupted(&image, kinds[k], severity, 1);
                for (int i = 0; i < 48 * 64 * 3; i++)
                    if (abs(out.pixels[i] - grey) >
                        (kinds[k] == VT_CORRUPTION_JPEG_COMPRESSION ? 2 : 1))
                        fail_msg("%s %d makes %d of %d", vt_corruption_name(kinds[k]), severity,
                                 out.pixels[i], grey);
                vt_image_free(&image);
                vt_image_free(&out);
            }
}

/* Mean absolute difference in levels. */
static double difference(const vt_image *a, const vt_image *b)
{
    double sum = 0;
    int count = a->height * a->width * 3;
    for (int i = 0; i < count; i++)
        sum += abs(a->pixels[i] - b->pixels[i]);
    return sum / count;
}

/* More severe is farther from the image, but for three whose published constants exchange one kind
 * of damage for another: frost (brightens, then covers), elastic (shifts far, then ripples), glass
 * blur from 3 to 4 (one pass over a wider reach instead of two). */
static void test_damage_grows(void **state)
{
    (void)state;
    enum { IMAGES = 12 };
    vt_image images[IMAGES];
    for (int i = 0; i < IMAGES; i++) {
        images[i] = new_image(SIZE, SIZE);
        assert_ok(vt_dead_leaves(images[i].pixels, SIZE, SIZE, 11, (uint32_t)i));
    }
    for (int kind = 0; kind < VT_CORRUPTIONS; kind++) {
        double damage[6] = {0};
        for (int severity = 1; severity <= 5; severity++)
            for (int i = 0; i < IMAGES; i++) {
                vt_image out = corrupted(&images[i], (vt_corruption)kind, severity, (uint32_t)i);
                damage[severity] += difference(&images[i], &out) / IMAGES;
                vt_image_free(&out);
            }
        assert_true(damage[1] > 0.5);
        for (int severity = 2; severity <= 5; severity++) {
            bool exempt = kind == VT_CORRUPTION_FROST || kind == VT_CORRUPTION_ELASTIC_TRANSFORM ||
                          (kind == VT_CORRUPTION_GLASS_BLUR && severity == 4);
            if (!exempt && damage[severity] <= damage[severity - 1])
                fail_msg("%s: damage %g at severity %d, %g before",
                         vt_corruption_name((vt_corruption)kind), damage[severity], severity,
                         damage[severity - 1]);
        }
        if (kind != VT_CORRUPTION_ELASTIC_TRANSFORM) assert_true(damage[5] > damage[1]);
    }
    for (int i = 0; i < IMAGES; i++)
        vt_image_free(&images[i]);
}

/* On black, snow is flakes over an even ground, each with its twin turned by 180 degrees. */
static void test_snow_has_twins(void **state)
{
    (void)state;
    vt_image image = flat_image(SIZE, SIZE, 0);
    for (int severity = 1; severity <= 5; severity++) {
        vt_image out = corrupted(&image, VT_CORRUPTION_SNOW, severity, 2);
        int flakes = 0;
        for (int i = 0; i < SIZE * SIZE; i++) {
            assert_int_equal(out.pixels[3 * i], out.pixels[3 * (SIZE * SIZE - 1 - i) + 1]);
            flakes += out.pixels[3 * i] > out.pixels[0] + 10;
        }
        assert_true(flakes > 10);
        vt_image_free(&out);
    }
    vt_image_free(&image);
}

/* With the same numbers, frost adds the same to every image: c0 x + c1 frost. */
static void test_frost_blends(void **state)
{
    (void)state;
    static const double keep[] = {1, 0.9, 0.8, 0.75, 0.7}, add[] = {0.3, 0.4, 0.45, 0.5, 0.55};
    vt_image black = flat_image(SIZE, SIZE, 0), grey = flat_image(SIZE, SIZE, 100);
    for (int severity = 1; severity <= 5; severity++) {
        vt_image alone = corrupted(&black, VT_CORRUPTION_FROST, severity, 4);
        vt_image over = corrupted(&grey, VT_CORRUPTION_FROST, severity, 4);
        int ice = 0;
        for (int i = 0; i < BYTES; i++) {
            double expected = alone.pixels[i] + keep[severity - 1] * 100;
            assert_close(over.pixels[i], fmin(expected, 255), 1);
            assert_true(alone.pixels[i] <= 255 * add[severity - 1]);
            ice += alone.pixels[i] > 200 * add[severity - 1];
        }
        assert_true(ice > BYTES / 50 && ice < BYTES / 2); /* needles, and gaps between them */
        moments m = measure(alone.pixels, BYTES, 3);
        assert_true(sqrt(m.variance) > 25 * add[severity - 1]);
        vt_image_free(&alone);
        vt_image_free(&over);
    }
    vt_image_free(&black);
    vt_image_free(&grey);
}

/* Glass blur without its Gaussian (severity 1) shows colours from within a pixel. */
static void test_glass_scatters_nearby(void **state)
{
    (void)state;
    vt_image image = new_image(SIZE, SIZE);
    for (int i = 0; i < SIZE * SIZE; i++) { /* position as colour; these survive x / 255 * 255 */
        image.pixels[3 * i] = (uint8_t)(i % SIZE);
        image.pixels[3 * i + 1] = (uint8_t)(i / SIZE);
        image.pixels[3 * i + 2] = 0;
    }
    vt_image out = corrupted(&image, VT_CORRUPTION_GLASS_BLUR, 1, 0);
    int moved = 0;
    for (int i = 0; i < SIZE * SIZE; i++) {
        int dx = out.pixels[3 * i] - i % SIZE, dy = out.pixels[3 * i + 1] - i / SIZE;
        /* up to one left and above, or a chain of such; truncation may take a level */
        assert_true(dx <= 0 && dy <= 0 && dx >= -3 && dy >= -3);
        moved += dx < 0 || dy < 0;
    }
    assert_true(moved > SIZE * SIZE / 2);
    vt_image_free(&image);
    vt_image_free(&out);
}

/* ---- randomness ---- */

enum { RUNS = VT_CORRUPTIONS * VT_CORRUPTION_SEVERITIES };

static void run_all(vt_image out[RUNS], const vt_image *image)
{
    vt_status failed = VT_OK;
#pragma omp parallel for schedule(dynamic, 1) num_threads(vt_threads())
    for (int i = 0; i < RUNS; i++)
        if (vt_corrupt(&out[i], image, (vt_corruption)(i / 5), i % 5 + 1, 1, 2) != VT_OK)
            failed = VT_EINVAL;
    assert_ok(failed);
}

static void test_same_on_all_threads(void **state)
{
    (void)state;
    vt_image image = leaves(SIZE, SIZE), one[RUNS], four[RUNS];
    vt_threads_set(1);
    run_all(one, &image);
    vt_threads_set(4);
    run_all(four, &image);
    vt_threads_set(0);
    for (int i = 0; i < RUNS; i++) {
        assert_memory_equal(one[i].pixels, four[i].pixels, BYTES);
        vt_image_free(&one[i]);
        vt_image_free(&four[i]);
    }
    vt_image_free(&image);
}

static void test_seed_and_index(void **state)
{
    (void)state;
    static const char *const fixed = "defocus_blur zoom_blur brightness contrast pixelate "
                                     "jpeg_compression";
    vt_image image = leaves(SIZE, SIZE);
    for (int kind = 0; kind < VT_CORRUPTIONS; kind++) {
        vt_image a = {0}, b = {0}, c = {0};
        assert_ok(vt_corrupt(&a, &image, (vt_corruption)kind, 3, 1, 0));
        assert_ok(vt_corrupt(&b, &image, (vt_corruption)kind, 3, 1, 1));
        assert_ok(vt_corrupt(&c, &image, (vt_corruption)kind, 3, (uint64_t)1 << 32 | 1, 0));
        bool random = !strstr(fixed, vt_corruption_name((vt_corruption)kind));
        assert_int_equal(random, memcmp(a.pixels, b.pixels, BYTES) != 0);
        assert_int_equal(random, memcmp(a.pixels, c.pixels, BYTES) != 0);
        vt_image_free(&a);
        vt_image_free(&b);
        vt_image_free(&c);
    }
    vt_image_free(&image);
}

/* ---- sizes, refusals, failures ---- */

static void test_all_sizes(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {2, 3}, {5, 4}, {33, 130}, {200, 65}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        vt_image image = leaves(sizes[s][0], sizes[s][1]);
        for (int i = 0; i < RUNS; i++) {
            vt_image out = corrupted(&image, (vt_corruption)(i / 5), i % 5 + 1, (uint32_t)i);
            vt_image_free(&out);
        }
        vt_image_free(&image);
    }
}

static void test_borders(void **state)
{
    (void)state;
    static const struct {
        vt_border border;
        int size, places[11]; /* of -4 .. 6 */
    } rows[] = {
        {VT_BORDER_NEAREST, 3, {0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2}},
        {VT_BORDER_REFLECT, 3, {2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0}},
        {VT_BORDER_MIRROR, 3, {0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2}},
        {VT_BORDER_REFLECT, 1, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
        {VT_BORDER_MIRROR, 1, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int i = 0; i < 11; i++)
            assert_int_equal(rows[r].places[i],
                             vt_border_index(i - 4, rows[r].size, rows[r].border));
    assert_int_equal(1, vt_border_index(-(int64_t)6000000000 - 2, 3, VT_BORDER_REFLECT));
}

static void test_names(void **state)
{
    (void)state;
    vt_corruption kind;
    for (int i = 0; i < VT_CORRUPTIONS; i++) {
        assert_ok(vt_corruption_find(&kind, vt_corruption_name((vt_corruption)i)));
        assert_int_equal(i, kind);
    }
    assert_string_equal("gaussian_noise", vt_corruption_name(VT_CORRUPTION_GAUSSIAN_NOISE));
    assert_string_equal("?", vt_corruption_name(VT_CORRUPTIONS));
    assert_string_equal("?", vt_corruption_name((vt_corruption)-1));
    assert_status(VT_ENOTFOUND, vt_corruption_find(&kind, "sepia"));
    assert_message("'sepia'");
    assert_message("jpeg_compression");
}

static void test_refusals(void **state)
{
    (void)state;
    vt_image image = leaves(4, 4), none = {0}, out = {.height = -1};
    assert_status(VT_EINVAL, vt_corrupt(&out, &image, VT_CORRUPTIONS, 1, 0, 0));
    assert_status(VT_EINVAL, vt_corrupt(&out, &image, (vt_corruption)-1, 1, 0, 0));
    assert_status(VT_EINVAL, vt_corrupt(&out, &image, VT_CORRUPTION_FOG, 0, 0, 0));
    assert_status(VT_EINVAL, vt_corrupt(&out, &image, VT_CORRUPTION_FOG, 6, 0, 0));
    assert_message("severity 6");
    assert_status(VT_EINVAL, vt_corrupt(&out, &none, VT_CORRUPTION_FOG, 1, 0, 0));
    assert_int_equal(-1, out.height);
    vt_image_free(&image);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    vt_image image = leaves(9, 7);
    for (int kind = 0; kind < VT_CORRUPTIONS; kind++) {
        vt_status status = VT_ENOMEM;
        for (int successes = 0; status != VT_OK; successes++) {
            vt_image out = {.height = -1};
            vt_alloc_fail_after(successes);
            status = vt_corrupt(&out, &image, (vt_corruption)kind, 5, 0, 0);
            vt_alloc_fail_after(-1);
            if (status == VT_OK) {
                vt_image_free(&out);
                continue;
            }
            assert_status(VT_ENOMEM, status);
            assert_int_equal(-1, out.height);
            assert_true(successes < 1000);
        }
    }
    vt_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_definitions),
        cmocka_unit_test(test_noise_moments),
        cmocka_unit_test(test_impulses),
        cmocka_unit_test(test_even_images_stay),
        cmocka_unit_test(test_damage_grows),
        cmocka_unit_test(test_snow_has_twins),
        cmocka_unit_test(test_frost_blends),
        cmocka_unit_test(test_glass_scatters_nearby),
        cmocka_unit_test(test_same_on_all_threads),
        cmocka_unit_test(test_seed_and_index),
        cmocka_unit_test(test_all_sizes),
        cmocka_unit_test(test_borders),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests_name("corruption", tests, NULL, NULL);
}
