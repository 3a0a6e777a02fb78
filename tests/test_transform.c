/* Transformations: pixels against torchvision's, normalization, random numbers, refusals. */
#include "test.h"

#include <zlib.h>

#include "base/arena.h"
#include "io/image.h"
#include "ventral/dataset.h"

enum { SEED = 7, EPOCH = 3 };

/* Every value at every scale; as in make_transform_fixtures.py. */
static vt_image noise(int height, int width)
{
    vt_image image;
    assert_ok(vt_image_new(&image, height, width, "noise"));
    for (uint32_t i = 0; i < (uint32_t)(height * width * 3); i++)
        image.pixels[i] = (uint8_t)(i * 2654435761u >> 24);
    return image;
}

/* A transformation of seed 7, epoch 3 and the row's number as index, the size of the image, CRC-32
 * of the pixels before normalization: printed by tests/make_transform_fixtures.py, torchvision
 * 0.28 on Pillow 12.3. */
static const struct {
    vt_transform transform;
    int height, width;
    uint32_t crc;
} references[] = {
    {{.random_resized_crop = 224, .size = 64, .flip = true}, 375, 500, 0x1d72dd0cu},
    {{.random_resized_crop = 224, .size = 64, .flip = true}, 500, 333, 0x308bf2bau},
    {{.random_resized_crop = 224, .size = 64, .flip = true}, 64, 64, 0xb7ffa559u},
    {{.random_resized_crop = 224, .size = 64, .flip = true}, 37, 53, 0x8c37f02du},
    {{.random_resized_crop = 224, .size = 64, .flip = true}, 1, 1, 0x61855634u},
    {{.random_resized_crop = 224, .size = 64, .flip = true}, 7, 300, 0xe7926d12u},
    {{.random_resized_crop = 224, .size = 64, .flip = true}, 300, 7, 0xd226dffcu},
    {{.random_resized_crop = 224, .size = 64, .flip = true}, 223, 226, 0xe36aa72au},
    {{.random_resized_crop = 224, .size = 64, .flip = true}, 97, 91, 0x800aaeccu},
    {{.random_resized_crop = 64, .min_area = 0.9}, 375, 500, 0xa5fba83bu},
    {{.random_resized_crop = 64, .min_area = 0.9}, 500, 333, 0x1c03be25u},
    {{.random_resized_crop = 64, .min_area = 0.9}, 64, 64, 0x9ab4db43u},
    {{.random_resized_crop = 64, .min_area = 0.9}, 37, 53, 0xb6f9d349u},
    {{.random_resized_crop = 64, .min_area = 0.9}, 1, 1, 0x61855634u},
    {{.random_resized_crop = 64, .min_area = 0.9}, 7, 300, 0x67aebcedu},
    {{.random_resized_crop = 64, .min_area = 0.9}, 300, 7, 0x9ca42504u},
    {{.random_resized_crop = 64, .min_area = 0.9}, 223, 226, 0xa5a704ffu},
    {{.random_resized_crop = 64, .min_area = 0.9}, 97, 91, 0x992bd616u},
    {{.resize_shorter = 256, .center_crop = 224, .size = 64}, 375, 500, 0xd6da3dfeu},
    {{.resize_shorter = 256, .center_crop = 224, .size = 64}, 500, 333, 0x07a9ed80u},
    {{.resize_shorter = 256, .center_crop = 224, .size = 64}, 64, 64, 0x0236b080u},
    {{.resize_shorter = 256, .center_crop = 224, .size = 64}, 37, 53, 0x5895b533u},
    {{.resize_shorter = 256, .center_crop = 224, .size = 64}, 1, 1, 0x61855634u},
    {{.resize_shorter = 256, .center_crop = 224, .size = 64}, 7, 300, 0xc021ea5fu},
    {{.resize_shorter = 256, .center_crop = 224, .size = 64}, 300, 7, 0x55b250e4u},
    {{.resize_shorter = 256, .center_crop = 224, .size = 64}, 223, 226, 0x5fe81acdu},
    {{.resize_shorter = 256, .center_crop = 224, .size = 64}, 97, 91, 0x876228b8u},
    {{.resize_shorter = 40, .center_crop = 33}, 375, 500, 0x423407e0u},
    {{.resize_shorter = 40, .center_crop = 33}, 500, 333, 0x11fb3d20u},
    {{.resize_shorter = 40, .center_crop = 33}, 64, 64, 0x05c485aau},
    {{.resize_shorter = 40, .center_crop = 33}, 37, 53, 0xa6f74c24u},
    {{.resize_shorter = 40, .center_crop = 33}, 1, 1, 0xe3109700u},
    {{.resize_shorter = 40, .center_crop = 33}, 7, 300, 0x70e19952u},
    {{.resize_shorter = 40, .center_crop = 33}, 300, 7, 0x76179e1eu},
    {{.resize_shorter = 40, .center_crop = 33}, 223, 226, 0xa159e045u},
    {{.resize_shorter = 40, .center_crop = 33}, 97, 91, 0x7001ba2au},
    {{.center_crop = 64}, 375, 500, 0xa694d80cu},
    {{.center_crop = 64}, 500, 333, 0xfba78d86u},
    {{.center_crop = 64}, 64, 64, 0x32ece539u},
    {{.center_crop = 64}, 37, 53, 0x7d992afau},
    {{.center_crop = 64}, 1, 1, 0xe14c301du},
    {{.center_crop = 64}, 7, 300, 0xda85e1d8u},
    {{.center_crop = 64}, 300, 7, 0x3bdc6e70u},
    {{.center_crop = 64}, 223, 226, 0x3303fbe3u},
    {{.center_crop = 64}, 97, 91, 0xa590f00eu},
    {{.center_crop = 90, .pad_crop = 4, .flip = true}, 375, 500, 0x42f0de75u},
    {{.center_crop = 90, .pad_crop = 4, .flip = true}, 500, 333, 0x824affd9u},
    {{.center_crop = 90, .pad_crop = 4, .flip = true}, 64, 64, 0x098a458au},
    {{.center_crop = 90, .pad_crop = 4, .flip = true}, 37, 53, 0x8769a52au},
    {{.center_crop = 90, .pad_crop = 4, .flip = true}, 1, 1, 0x19f300b9u},
    {{.center_crop = 90, .pad_crop = 4, .flip = true}, 7, 300, 0x1379eb2eu},
    {{.center_crop = 90, .pad_crop = 4, .flip = true}, 300, 7, 0x20b61a51u},
    {{.center_crop = 90, .pad_crop = 4, .flip = true}, 223, 226, 0x85f05f5du},
    {{.center_crop = 90, .pad_crop = 4, .flip = true}, 97, 91, 0xca7a3f3du},
    {{.pad_crop = 8, .size = 32}, 375, 500, 0x86ddf290u},
    {{.pad_crop = 8, .size = 32}, 500, 333, 0xdd008eeeu},
    {{.pad_crop = 8, .size = 32}, 64, 64, 0x28203522u},
    {{.pad_crop = 8, .size = 32}, 37, 53, 0xbdeb5303u},
    {{.pad_crop = 8, .size = 32}, 1, 1, 0x67e6c984u},
    {{.pad_crop = 8, .size = 32}, 7, 300, 0x67e6c984u},
    {{.pad_crop = 8, .size = 32}, 300, 7, 0xfa03d6dfu},
    {{.pad_crop = 8, .size = 32}, 223, 226, 0xb48fedcdu},
    {{.pad_crop = 8, .size = 32}, 97, 91, 0x10200cf8u},
    {{.size = 64, .flip = true}, 375, 500, 0x51d70e14u},
    {{.size = 64, .flip = true}, 500, 333, 0xea5bdca6u},
    {{.size = 64, .flip = true}, 64, 64, 0xd4bbbcb0u},
    {{.size = 64, .flip = true}, 37, 53, 0x318ffee4u},
    {{.size = 64, .flip = true}, 1, 1, 0x61855634u},
    {{.size = 64, .flip = true}, 7, 300, 0x4c29019du},
    {{.size = 64, .flip = true}, 300, 7, 0x3c9fe9d6u},
    {{.size = 64, .flip = true}, 223, 226, 0xa5a704ffu},
    {{.size = 64, .flip = true}, 97, 91, 0x1de1592eu},
};

static void test_matches_torchvision(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof references / sizeof *references; i++) {
        const vt_transform *transform = &references[i].transform;
        size_t values =
            (size_t)vt_transform_size(transform) * (size_t)vt_transform_size(transform) * 3;
        vt_image image = noise(references[i].height, references[i].width);
        float *out = calloc(values, sizeof *out);
        uint8_t *levels = calloc(values, 1);
        assert_true(out && levels);
        assert_ok(vt_transform_apply(transform, &image, SEED, EPOCH, (uint32_t)i, out));
        for (size_t k = 0; k < values; k++)
            levels[k] = (uint8_t)lrintf((out[k] * 0.5f + 0.5f) * 255);
        uint32_t crc = (uint32_t)crc32(0, levels, (uInt)values);
        if (crc != references[i].crc)
            fail_msg("row %zu, %d x %d: crc 0x%08x", i, image.height, image.width, crc);
        free(levels);
        free(out);
        vt_image_free(&image);
    }
}

/* ToTensor and Normalize of the usual ImageNet mean and s.d. in PyTorch 2.13, bit for bit: CRC-32
 * of the 256 float32 values of each channel. */
static void test_normalizes_as_pytorch(void **state)
{
    (void)state;
    static const uint32_t crcs[3] = {0x3fb36a59u, 0xc0f51e01u, 0x8060ccffu};
    static const vt_transform transform = {
        .size = 16, .mean = {0.485f, 0.456f, 0.406f}, .sd = {0.229f, 0.224f, 0.225f}};
    vt_image image;
    float out[256][3], channel[256];
    assert_ok(vt_image_new(&image, 16, 16, "levels"));
    for (int i = 0; i < 256 * 3; i++)
        image.pixels[i] = (uint8_t)(i / 3);
    assert_ok(vt_transform_apply(&transform, &image, 0, 0, 0, out[0]));
    for (int c = 0; c < 3; c++) {
        for (int i = 0; i < 256; i++)
            channel[i] = out[i][c];
        assert_int_equal(crcs[c], crc32(0, (const void *)channel, sizeof channel));
    }
    vt_image_free(&image);
}

static void test_default_range(void **state)
{
    (void)state;
    static const vt_transform transform = {.size = 1};
    uint8_t pixels[3] = {0, 255, 51};
    vt_image image = {.height = 1, .width = 1, .pixels = pixels};
    float out[3];
    assert_ok(vt_transform_apply(&transform, &image, 0, 0, 0, out));
    assert_close(out[0], -1, 0);
    assert_close(out[1], 1, 0);
    assert_close(out[2], -0.6, 1e-6);
}

/* The left half black, the right half white: the flip is seen in the first value. */
static void test_flips_half_of_the_images(void **state)
{
    (void)state;
    static const vt_transform transform = {.size = 2, .flip = true};
    uint8_t pixels[12] = {0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255};
    vt_image image = {.height = 2, .width = 2, .pixels = pixels};
    int flipped = 0, changed = 0;
    for (uint32_t index = 0; index < 2000; index++) {
        float out[12], next[12];
        assert_ok(vt_transform_apply(&transform, &image, SEED, EPOCH, index, out));
        assert_ok(vt_transform_apply(&transform, &image, SEED, EPOCH + 1, index, next));
        assert_true(out[0] == -out[3] && out[6] == out[0]);
        flipped += out[0] > 0;
        changed += out[0] != next[0];
    }
    /* 1000 +- 22.4 (s.d.); 5 s.d. */
    assert_in_range(flipped, 888, 1112);
    assert_in_range(changed, 888, 1112);
}

/* The paddings of 1 around one white pixel put it, or black, at each of 9 places. */
static void test_pad_crop_reaches_all_places(void **state)
{
    (void)state;
    static const vt_transform transform = {.pad_crop = 1, .size = 3};
    uint8_t pixels[27] = {0};
    vt_image image = {.height = 3, .width = 3, .pixels = pixels};
    int counts[9] = {0};
    memset(pixels + 12, 255, 3);
    for (uint32_t index = 0; index < 1800; index++) {
        float out[27];
        int white = 0;
        assert_ok(vt_transform_apply(&transform, &image, SEED, EPOCH, index, out));
        for (int i = 0; i < 9; i++)
            if (out[3 * i] > 0) white++, counts[i]++;
        assert_int_equal(1, white);
    }
    for (int i = 0; i < 9; i++) /* 200 +- 13.3 */
        assert_in_range(counts[i], 133, 267);
}

/* Crops are of at least the smallest area: a gradient's slope tells the width of the box. */
static void test_random_crops_have_the_area_and_ratio_asked(void **state)
{
    (void)state;
    static const vt_transform transform = {.random_resized_crop = 100, .min_area = 0.25};
    vt_image image;
    float *out = malloc(sizeof(float) * 100 * 100 * 3);
    double smallest = 1, largest = 0;
    assert_non_null(out);
    assert_ok(vt_image_new(&image, 250, 250, "gradient"));
    for (int i = 0; i < 250 * 250; i++) {
        image.pixels[3 * i] = (uint8_t)(i % 250);
        image.pixels[3 * i + 1] = (uint8_t)(i / 250);
    }
    for (uint32_t index = 0; index < 200; index++) {
        assert_ok(vt_transform_apply(&transform, &image, SEED, EPOCH, index, out));
        const float *first = out + (10 * 100 + 10) * 3, *last = out + (90 * 100 + 90) * 3;
        double width = (last[0] - first[0]) * 127.5 / 80 * 100;
        double height = (last[1] - first[1]) * 127.5 / 80 * 100, area = width * height / 62500;
        assert_in_range((int)(width / height * 1000), 730, 1370);
        smallest = fmin(smallest, area), largest = fmax(largest, area);
    }
    assert_true(smallest > 0.24 && smallest < 0.29);
    assert_true(largest > 0.9 && largest < 1.03);
    free(out);
    vt_image_free(&image);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        vt_transform transform;
        int size;
    } cases[] = {
        {{.size = 64, .center_crop = 224}, 64},
        {{.center_crop = 224, .resize_shorter = 256}, 224},
        {{.random_resized_crop = 224, .resize_shorter = 64}, 64},
        {{.random_resized_crop = 224}, 224},
        {{.resize_shorter = 256}, 0},
        {{.flip = true}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(cases[i].size, vt_transform_size(&cases[i].transform));
    assert_int_equal(64, vt_transform_size(&vt_transform_imagenet_train));
    assert_int_equal(64, vt_transform_size(&vt_transform_imagenet_validation));
    assert_int_equal(64, vt_transform_size(&vt_transform_tiny_train));
    assert_int_equal(64, vt_transform_size(&vt_transform_tiny_validation));
}

static void test_refuses(void **state)
{
    (void)state;
    static const vt_transform wrong[] = {
        {.size = 0},
        {.resize_shorter = 64},
        {.size = -1},
        {.size = 1 << 20},
        {.size = 8, .pad_crop = -2},
        {.size = 8, .min_area = 1.5},
        {.size = 8, .min_area = NAN},
        {.size = 8, .sd = {1, 0, 1}},
        {.size = 8, .sd = {1, NAN, 1}},
        {.size = 8, .mean = {INFINITY, 0, 0}, .sd = {1, 1, 1}},
    };
    vt_image image = noise(8, 8), none = {0};
    float out[8 * 8 * 3];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_status(VT_EINVAL, vt_transform_apply(&wrong[i], &image, 0, 0, 0, out));
    assert_status(VT_EINVAL, vt_transform_apply(&(vt_transform){.size = 8}, &none, 0, 0, 0, out));
    vt_image_free(&image);
    image = noise(30000, 1); /* its longer side would be 300 million pixels long */
    vt_transform narrow = {.resize_shorter = 10000, .center_crop = 8};
    assert_status(VT_EUNSUPPORTED, vt_transform_apply(&narrow, &image, 0, 0, 0, out));
    vt_image_free(&image);
}

static void test_survives_lack_of_memory(void **state)
{
    (void)state;
    static const vt_transform transform = {.random_resized_crop = 20,
                                           .resize_shorter = 30,
                                           .center_crop = 24,
                                           .pad_crop = 2,
                                           .size = 9};
    float expected[9 * 9 * 3], out[9 * 9 * 3];
    vt_image image = noise(40, 50);
    vt_status status = VT_ENOMEM;
    assert_ok(vt_transform_apply(&transform, &image, SEED, EPOCH, 1, expected));
    int64_t n = 0;
    for (; status != VT_OK && n < 1000; n++) {
        vt_alloc_fail_after(n);
        status = vt_transform_apply(&transform, &image, SEED, EPOCH, 1, out);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
    }
    assert_true(n > 5);
    assert_ok(status);
    assert_memory_equal(expected, out, sizeof out);
    vt_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches_torchvision),
        cmocka_unit_test(test_normalizes_as_pytorch),
        cmocka_unit_test(test_default_range),
        cmocka_unit_test(test_flips_half_of_the_images),
        cmocka_unit_test(test_pad_crop_reaches_all_places),
        cmocka_unit_test(test_random_crops_have_the_area_and_ratio_asked),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_survives_lack_of_memory),
    };
    return cmocka_run_group_tests_name("transform", tests, NULL, NULL);
}
