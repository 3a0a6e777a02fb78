/* Gratings: the published sets and pictures, fast against naive drawing, screens against cropping
 * and resizing whole pictures, hostile values. */
#include "test.h"

#include "base/arena.h"
#include "stimuli/grating.h"
#include "ventral/image.h"
#include "ventral/io.h"

enum { PICTURE = 672, COUNT = 9097 };

static const vt_window whole = {.picture = PICTURE, .side = PICTURE, .resolution = 56};

static vt_grating at(vt_grating_set set, int64_t index)
{
    vt_grating g;
    assert_ok(vt_grating_set_at(&g, set, index));
    return g;
}

/* Grating i of all sets one after another. */
static vt_grating of_all(int64_t i)
{
    for (int set = 0; set < VT_GRATING_SETS; set++) {
        if (i < vt_grating_set_count(set)) return at(set, i);
        i -= vt_grating_set_count(set);
    }
    fail_msg("there are fewer gratings");
    return (vt_grating){0};
}

static vt_screen *screen_of(double resolution, double degrees, int height, int width)
{
    vt_screen *screen;
    vt_screen_options options = {resolution, degrees, height, width};
    assert_ok(vt_screen_new(&screen, &options));
    return screen;
}

static void *memory_of(size_t count)
{
    void *memory = malloc(count);
    assert_non_null(memory);
    return memory;
}

static void assert_same(const uint8_t *got, const uint8_t *expected, size_t count, int64_t index)
{
    for (size_t i = 0; i < count; i++)
        if (got[i] != expected[i])
            fail_msg("grating %lld, pixel %zu: %d, expected %d", (long long)index, i, got[i],
                     expected[i]);
}

static void test_sets(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 3528, 1152, 2112, 2304};
    vt_grating g;
    vt_grating_set set;
    int64_t total = 0;
    for (int k = 0; k < VT_GRATING_SETS; k++) {
        assert_int_equal(vt_grating_set_count(k), counts[k]);
        assert_ok(vt_grating_set_find(&set, vt_grating_set_name(k)));
        assert_int_equal(set, k);
        assert_status(VT_EINVAL, vt_grating_set_at(&g, k, counts[k]));
        assert_message(vt_grating_set_name(k));
        assert_status(VT_EINVAL, vt_grating_set_at(&g, k, -1));
        total += counts[k];
    }
    assert_int_equal(total, COUNT);
    assert_status(VT_ENOTFOUND, vt_grating_set_find(&set, "texture"));
    assert_message("'texture'");
    assert_message("spatial_frequency");
    assert_true(at(VT_GRATINGS_BLANK, 0).radius < 0);
}

static void test_published_parameters(void **state)
{
    (void)state;
    need_shared(path, "golden/physiology/properties.npz");
    vt_tensor_map *map;
    assert_ok(vt_npz_read(&map, path));
    for (int set = VT_GRATINGS_RECEPTIVE_FIELD; set < VT_GRATING_SETS; set++) {
        char name[64];
        snprintf(name, sizeof name, "stimuli.%s", vt_grating_set_name(set));
        const vt_tensor *expected = vt_tensor_map_find(map, name);
        assert_non_null(expected);
        assert_int_equal(expected->size[0], vt_grating_set_count(set));
        for (int64_t i = 0; i < expected->size[0]; i++) {
            vt_grating g = at(set, i);
            const double got[] = {g.y,         g.x,           g.contrast, g.radius,
                                  g.frequency, g.orientation, g.phase};
            if (memcmp(got, (const double *)expected->data + 7 * i, sizeof got) != 0)
                fail_msg("%s: grating %lld differs", name, (long long)i);
        }
    }
    vt_tensor_map_free(map);
}

static void test_published_pictures(void **state)
{
    (void)state;
    need_shared(path, "golden/physiology/gratings.npz");
    vt_tensor_map *map;
    vt_screen *screen = screen_of(0, 0, 0, 0);
    uint8_t *drawn = memory_of(PICTURE * PICTURE);
    assert_ok(vt_npz_read(&map, path));
    assert_int_equal(vt_tensor_map_count(map), 4);
    for (int i = 0; i < 4; i++) {
        const vt_tensor *expected = vt_tensor_map_at(map, i);
        char name[64];
        long long index;
        vt_grating_set set;
        assert_int_equal(sscanf(expected->name, "image.%63[a-z_].%lld", name, &index), 2);
        assert_ok(vt_grating_set_find(&set, name));
        vt_grating g = at(set, index);
        assert_ok(vt_screen_draw(screen, &g, 1, drawn));
        assert_int_equal(vt_tensor_bytes(expected), PICTURE * PICTURE);
        assert_same(drawn, expected->data, PICTURE * PICTURE, index);
        vt_grating_draw_naive(drawn, &whole, &g);
        assert_same(drawn, expected->data, PICTURE * PICTURE, index);
    }
    free(drawn);
    vt_screen_free(screen);
    vt_tensor_map_free(map);
}

/* Every 23rd grating of all sets, and whole sets where $VENTRAL_TEST_ALL_GRATINGS is set. */
static void test_fast_is_naive(void **state)
{
    (void)state;
    int step = getenv("VENTRAL_TEST_ALL_GRATINGS") ? 1 : 23;
    vt_screen *screen = screen_of(0, 0, 0, 0);
    uint8_t *fast = memory_of(2 * PICTURE * PICTURE), *naive = fast + PICTURE * PICTURE;
    for (int64_t i = 0; i < COUNT; i += step) {
        vt_grating g = of_all(i);
        assert_ok(vt_screen_draw(screen, &g, 1, fast));
        vt_grating_draw_naive(naive, &whole, &g);
        assert_same(fast, naive, PICTURE * PICTURE, i);
    }
    free(fast);
    vt_screen_free(screen);
}

/* Where bytes turn, in the middle of bars, at edges of discs, at any place and contrast. */
static void test_fast_is_naive_anywhere(void **state)
{
    (void)state;
    static const vt_grating gratings[] = {
        {0, 0, 1, 4, 1, 0, 90},           {0, 0, 1, 4, 1, 90, 90},
        {0, 0, 1, 4, 1, 45, 270},         {0, 0, 1, 0, 1, 0, 90},
        {0, 0, 1, 1e-9, 1, 0, 90},        {0.5 / 56, 0, 1, 1.0 / 56, 2, 30, 0},
        {0, 0, 1, 5, 0, 0, 90},           {0, 0, 1, 5, 0, 0, 270},
        {0, 0, 0, 3, 1, 20, 10},          {0, 0, 0.5, 3, 2, 77, 123},
        {5.9, -5.9, 0.25, 1, 3, 10, 100}, {-7, 3, 1, 2, 1, 60, 0},
        {40, 40, 1, 3, 1, 0, 0},          {-40, -40, 1, 3, 1, 0, 0},
        {0, 0, 1, 100, 0.3, 12, 34},      {1, 2, 0.999, 30, 1e5, 33, 7},
        {0.1, 0.2, 1, 6, 28, 0, 90},      {0, 0, 1, 6, 56, 0, 90},
        {0, 0, 1, 6, 14, 45, 1e6},        {1, 1, 1, -2, 1, 0, 0},
    };
    static const double resolutions[] = {56, 7.25, 20};
    static const double degrees[] = {12, 8, 16, 5};
    for (int r = 0; r < 3; r++)
        for (int d = 0; d < 4; d++) {
            int side, width;
            vt_screen *screen = screen_of(resolutions[r], degrees[d], 0, 0);
            vt_screen_size(screen, &side, &width);
            assert_int_equal(side, width);
            int picture = (int)(12 * resolutions[r]);
            assert_int_equal(side, (int)rint(degrees[d] / 12 * picture));
            vt_window window = {picture, (int)rint((picture - side) / 2.0), side, resolutions[r]};
            size_t bytes = (size_t)side * (size_t)side;
            uint8_t *fast = memory_of(2 * bytes), *naive = fast + bytes;
            for (size_t i = 0; i < sizeof gratings / sizeof *gratings; i++) {
                assert_ok(vt_screen_draw(screen, &gratings[i], 1, fast));
                vt_grating_draw_naive(naive, &window, &gratings[i]);
                assert_same(fast, naive, bytes, (int64_t)i);
            }
            free(fast);
            vt_screen_free(screen);
        }
}

/* The middle of a whole picture, or the picture on grey, resized by vt_image_resize. */
static void expect_on_screen(uint8_t *out, const vt_grating *g, int side, int height, int width)
{
    vt_image picture = {side, side, memory_of((size_t)side * (size_t)side * 3)}, resized;
    uint8_t *naive = memory_of(PICTURE * PICTURE);
    vt_grating_draw_naive(naive, &whole, g);
    int first = (PICTURE - side) / 2;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            int row = y + first, column = x + first;
            bool in = row >= 0 && row < PICTURE && column >= 0 && column < PICTURE;
            memset(picture.pixels + 3 * (y * side + x), in ? naive[row * PICTURE + column] : 128,
                   3);
        }
    assert_ok(vt_image_resize(&resized, &picture, height, width));
    for (int i = 0; i < height * width; i++)
        out[i] = resized.pixels[3 * i];
    vt_image_free(&resized);
    free(picture.pixels);
    free(naive);
}

static void test_screens(void **state)
{
    (void)state;
    static const struct {
        double degrees;
        int side, height, width;
    } screens[] = {{8, 448, 64, 64},   {8, 448, 112, 112}, {12, 672, 64, 64},  {16, 896, 56, 64},
                   {8, 448, 500, 470}, {4, 224, 64, 64},   {2, 112, 112, 112}, {6, 336, 1, 1}};
    for (size_t k = 0; k < sizeof screens / sizeof *screens; k++) {
        int height = screens[k].height, width = screens[k].width;
        vt_screen *screen = screen_of(0, screens[k].degrees, height, width);
        size_t bytes = (size_t)height * (size_t)width;
        uint8_t *got = memory_of(2 * bytes), *expected = got + bytes;
        for (int64_t i = 0; i < COUNT; i += 911) {
            vt_grating g = of_all(i);
            assert_ok(vt_screen_draw(screen, &g, 1, got));
            expect_on_screen(expected, &g, screens[k].side, height, width);
            assert_same(got, expected, bytes, i);
        }
        free(got);
        vt_screen_free(screen);
    }
}

static void test_blank_and_batches(void **state)
{
    (void)state;
    enum { N = 7, SIDE = 64 };
    static uint8_t all[N * SIDE * SIDE], one[SIDE * SIDE];
    vt_grating gratings[N];
    vt_screen *screen = screen_of(0, 8, SIDE, SIDE);
    for (int i = 0; i < N; i++)
        gratings[i] = of_all(1000 * i);
    for (int threads = 1; threads < 4; threads++) {
        vt_threads_set(threads);
        memset(all, 0, sizeof all);
        assert_ok(vt_screen_draw(screen, gratings, N, all));
        for (int i = 0; i < N; i++) {
            assert_ok(vt_screen_draw(screen, &gratings[i], 1, one));
            assert_same(all + i * SIDE * SIDE, one, sizeof one, i);
        }
    }
    vt_threads_set(0);
    for (int i = 0; i < SIDE * SIDE; i++)
        assert_int_equal(all[i], 128);
    assert_ok(vt_screen_draw(screen, gratings, 0, all));
    vt_screen_free(screen);
}

static void test_refuses(void **state)
{
    (void)state;
    static const vt_screen_options impossible[] = {
        {.degrees = -1},
        {.degrees = NAN},
        {.degrees = 1e9},
        {.degrees = 1e-9},
        {.resolution = -56},
        {.resolution = NAN},
        {.resolution = 1e9},
        {.resolution = 1e-9},
        {.degrees = INFINITY},
        {.height = 64},
        {.width = 64},
        {.height = -1, .width = 9},
        {.height = 1 << 20, .width = 1 << 20},
    };
    vt_screen *screen = NULL;
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        assert_status(VT_EINVAL, vt_screen_new(&screen, &impossible[i]));
        assert_null(screen);
    }
    screen = screen_of(10, 2, 0, 0);
    static uint8_t out[20 * 20];
    const vt_grating good = {.radius = 1, .contrast = 1, .frequency = 1};
    for (int k = 0; k < 7; k++)
        for (int value = 0; value < 4; value++) {
            vt_grating two[2] = {good, good};
            double bad[] = {NAN, INFINITY, -INFINITY, 1e300};
            ((double *)&two[1])[k] = bad[value];
            assert_status(VT_EINVAL, vt_screen_draw(screen, two, 2, out));
            assert_message("grating 1");
        }
    vt_grating bright = good;
    bright.contrast = 1.01;
    assert_status(VT_EINVAL, vt_screen_draw(screen, &bright, 1, out));
    assert_message("contrast 1.01");
    vt_screen_free(screen);
    vt_screen_free(NULL);
}

static void test_memory_short(void **state)
{
    (void)state;
    char folder[4096];
    new_folder(folder);
    static uint8_t out[20 * 20];
    vt_grating g = {.radius = 0.5, .contrast = 1, .frequency = 1};
    bool failed = true;
    vt_threads_set(1);
    for (int n = 0; failed && n < 1000; n++) {
        vt_screen *screen = NULL;
        vt_alloc_fail_after(n);
        vt_status status =
            vt_screen_new(&screen, &(vt_screen_options){.resolution = 10, .degrees = 2});
        if (status == VT_OK) status = vt_screen_draw(screen, &g, 1, out);
        if (status == VT_OK)
            status = vt_grating_set_write(folder, VT_GRATINGS_SIZE, 0, 2, screen, NULL);
        vt_alloc_fail_after(-1);
        failed = status != VT_OK;
        if (failed) assert_int_equal(status, VT_ENOMEM);
        vt_screen_free(screen);
    }
    assert_false(failed);
    vt_threads_set(0);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_published_parameters),
        cmocka_unit_test(test_published_pictures),
        cmocka_unit_test(test_fast_is_naive),
        cmocka_unit_test(test_fast_is_naive_anywhere),
        cmocka_unit_test(test_screens),
        cmocka_unit_test(test_blank_and_batches),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_memory_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
