/* Gaudy images: values from NumPy and SciPy, ties, constant images, hostile input. */
#include "test.h"

#include "base/arena.h"
#include "ventral/gaudy.h"

enum { HEIGHT = 6, WIDTH = 7, PIXELS = HEIGHT * WIDTH };

static void make_image(uint8_t *out)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < 3; c++)
                *out++ = (uint8_t)((37 * y + 53 * x + 91 * c + 11 * x * y * (c + 1)) % 256);
}

/* What numpy.mean and scipy.ndimage.gaussian_filter(image, (blur, blur, 0)) give: 1 for 255, the
 * pixels of R, then G, then B. */
static const struct {
    vt_gaudy_options options;
    const char *expected[3];
} cases[] = {
    {{VT_GAUDY_CHANNEL, 0},
     {"000110000110010110010010010011010111011010", "011100101001101001011101010110010100101101",
      "110001110010010010101010100100100110001111"}},
    {{VT_GAUDY_CHANNEL, 0.8},
     {"000110000110000111000111000011110111111111", "011100110011111000011100000110000000001101",
      "110001110010110011101001100100011110001111"}},
    {{VT_GAUDY_CHANNEL, 2.5},
     {"000000000000000000000111111011111111111111", "111111100111110000111000001100000110000011",
      "000111100011110001111000011100001110000111"}},
    {{VT_GAUDY_GLOBAL, 0},
     {"000110000110010110010010010011010011011010", "011100101001101001011101010110010100101101",
      "110011110110110010101010110100100110001111"}},
    {{VT_GAUDY_GLOBAL, 0.8},
     {"000110000110000110000110000011110011011110", "011100110011111000011100000110000000001101",
      "110011111111110011111001110100011110001111"}},
    {{VT_GAUDY_GLOBAL, 2.5},
     {"000000000000000000000000000011100001111000", "111111100111110000111000001100000110000011",
      "111111101111110011111000111100011110001111"}},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint8_t image[3 * PIXELS];
        make_image(image);
        assert_ok(vt_gaudy(image, HEIGHT, WIDTH, &cases[k].options));
        for (int i = 0; i < 3 * PIXELS; i++)
            assert_int_equal(image[i], cases[k].expected[i % 3][i / 3] == '1' ? 255 : 0);
    }
}

static void test_ties_are_white(void **state)
{
    (void)state;
    /* R: 10, 20, 30, mean 20; G: constant; B: black */
    uint8_t image[] = {10, 7, 0, 20, 7, 0, 30, 7, 0}, all[9];
    static const uint8_t channel[] = {0, 255, 255, 255, 255, 255, 255, 255, 255};
    static const uint8_t global[] = {255, 0, 0, 255, 0, 0, 255, 0, 0}; /* mean 81 / 9 = 9 */
    memcpy(all, image, sizeof image);
    assert_ok(vt_gaudy(image, 1, 3, &(vt_gaudy_options){.kind = VT_GAUDY_CHANNEL}));
    assert_memory_equal(image, channel, sizeof channel);
    assert_ok(vt_gaudy(all, 1, 3, &(vt_gaudy_options){.kind = VT_GAUDY_GLOBAL}));
    assert_memory_equal(all, global, sizeof global);
    for (int level = 0; level < 256; level += 51) /* blurred constants stay constant */
        for (int kind = VT_GAUDY_CHANNEL; kind <= VT_GAUDY_GLOBAL; kind++) {
            uint8_t flat[3 * PIXELS], white[3 * PIXELS];
            memset(flat, level, sizeof flat);
            memset(white, 255, sizeof white);
            vt_gaudy_options options = {(vt_gaudy_kind)kind, 1.3};
            assert_ok(vt_gaudy(flat, HEIGHT, WIDTH, &options));
            assert_memory_equal(flat, white, sizeof white);
        }
}

static void test_none_and_one_pixel(void **state)
{
    (void)state;
    uint8_t image[3 * PIXELS], same[3 * PIXELS], pixel[] = {1, 2, 3};
    make_image(image);
    make_image(same);
    assert_ok(vt_gaudy(image, HEIGHT, WIDTH, &(vt_gaudy_options){.blur = 2}));
    assert_memory_equal(image, same, sizeof image);
    assert_ok(vt_gaudy(pixel, 1, 1, &(vt_gaudy_options){VT_GAUDY_GLOBAL, VT_GAUDY_MAX_BLUR}));
    assert_int_equal(pixel[0], 0);
    assert_int_equal(pixel[1], 255); /* the mean itself */
    assert_int_equal(pixel[2], 255);
}

/* A gaudy image is its own gaudy image, unless it was constant. */
static void test_twice_is_once(void **state)
{
    (void)state;
    uint8_t image[3 * PIXELS], once[3 * PIXELS];
    for (int kind = VT_GAUDY_CHANNEL; kind <= VT_GAUDY_GLOBAL; kind++) {
        vt_gaudy_options options = {.kind = (vt_gaudy_kind)kind};
        make_image(image);
        assert_ok(vt_gaudy(image, HEIGHT, WIDTH, &options));
        memcpy(once, image, sizeof once);
        assert_ok(vt_gaudy(image, HEIGHT, WIDTH, &options));
        assert_memory_equal(image, once, sizeof once);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    uint8_t image[3 * PIXELS];
    vt_gaudy_kind kind = VT_GAUDY_NONE;
    static const double blurs[] = {-1, NAN, INFINITY, VT_GAUDY_MAX_BLUR + 1};
    make_image(image);
    for (int i = 0; i < 4; i++) {
        vt_gaudy_options options = {VT_GAUDY_GLOBAL, blurs[i]};
        assert_status(VT_EINVAL, vt_gaudy(image, HEIGHT, WIDTH, &options));
        assert_message("blur");
    }
    vt_gaudy_options options = {VT_GAUDY_GLOBAL, 0};
    assert_status(VT_EINVAL, vt_gaudy(image, 0, WIDTH, &options));
    assert_status(VT_EINVAL, vt_gaudy(image, HEIGHT, -1, &options));
    assert_status(VT_EINVAL, vt_gaudy(image, INT32_MAX, INT32_MAX, &options));
    assert_status(VT_EINVAL, vt_gaudy(NULL, HEIGHT, WIDTH, &options));
    assert_status(VT_ENOTFOUND, vt_gaudy_find(&kind, "garish"));
    assert_message("channel");
    assert_int_equal(kind, VT_GAUDY_NONE);
    assert_ok(vt_gaudy_find(&kind, "global"));
    assert_int_equal(kind, VT_GAUDY_GLOBAL);
}

static void test_memory_failures(void **state)
{
    (void)state;
    uint8_t image[3 * PIXELS], same[3 * PIXELS];
    vt_gaudy_options options = {VT_GAUDY_CHANNEL, 1};
    vt_status status = VT_ENOMEM;
    int allowed = 0;
    make_image(image);
    make_image(same);
    for (; status != VT_OK; allowed++) {
        assert_memory_equal(image, same, sizeof image);
        vt_alloc_fail_after(allowed);
        status = vt_gaudy(image, HEIGHT, WIDTH, &options);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
    }
    assert_true(allowed > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_ties_are_white),
        cmocka_unit_test(test_none_and_one_pixel),
        cmocka_unit_test(test_twice_is_once),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
