/* Resizing: bit for bit against Pillow, and the properties of the filter. */
#include "test.h"

#include <zlib.h>

#include "io/image.h"

/* A hash of the index: every value at every scale. */
static vt_image noise(int height, int width)
{
    vt_image image;
    assert_ok(vt_image_new(&image, height, width, "noise"));
    for (uint32_t i = 0; i < (uint32_t)(height * width * 3); i++)
        image.pixels[i] = (uint8_t)(i * 2654435761u >> 24);
    return image;
}

static vt_image resized(const vt_image *image, int height, int width)
{
    vt_image out;
    assert_ok(vt_image_resize(&out, image, height, width));
    assert_int_equal(height, out.height);
    assert_int_equal(width, out.width);
    return out;
}

/* Sizes from and to, CRC-32 of the pixels of Image.resize((width, height), BILINEAR) in Pillow
 * 9.5. */
static const struct {
    int from_height, from_width, height, width;
    uint32_t crc;
} references[] = {
    {112, 112, 64, 64, 0xae272777u},   {112, 112, 1, 1, 0x76d7ed14u},
    {112, 112, 224, 224, 0x47c75b9du}, {112, 112, 17, 113, 0x534ab7a9u},
    {112, 112, 113, 17, 0x557ae533u},  {112, 112, 112, 115, 0x57a348e0u},
    {112, 112, 115, 112, 0x64d462d0u}, {112, 112, 333, 2, 0xa61a58c9u},
    {37, 53, 112, 112, 0x36a1771cu},   {37, 53, 64, 64, 0x318ffee4u},
    {37, 53, 1, 1, 0x5bd50299u},       {37, 53, 224, 224, 0x24a15f0du},
    {37, 53, 17, 113, 0x6998d56bu},    {37, 53, 113, 17, 0x0961a8fau},
    {37, 53, 37, 56, 0xd9572cd5u},     {37, 53, 40, 53, 0xc7ac6e02u},
    {37, 53, 333, 2, 0xb435927au},     {1, 1, 112, 112, 0xd5167dd1u},
    {1, 1, 64, 64, 0x61855634u},       {1, 1, 224, 224, 0xf4553d84u},
    {1, 1, 17, 113, 0x7e3664c1u},      {1, 1, 113, 17, 0x7e3664c1u},
    {1, 1, 1, 4, 0xc3d41215u},         {1, 1, 4, 1, 0xc3d41215u},
    {1, 1, 333, 2, 0x524b095fu},       {5, 1, 112, 112, 0x93808191u},
    {5, 1, 64, 64, 0x200273f2u},       {5, 1, 1, 1, 0xeffef79fu},
    {5, 1, 224, 224, 0xf6f669b7u},     {5, 1, 17, 113, 0xa18a87ceu},
    {5, 1, 113, 17, 0xb6659a7bu},      {5, 1, 5, 4, 0x5af561d3u},
    {5, 1, 8, 1, 0x7ed0b2ebu},         {5, 1, 333, 2, 0xd4e89d43u},
    {64, 48, 112, 112, 0x776626b4u},   {64, 48, 64, 64, 0x707edfcau},
    {64, 48, 1, 1, 0xe5f31066u},       {64, 48, 224, 224, 0x1aae7aafu},
    {64, 48, 17, 113, 0xe6e0f8e4u},    {64, 48, 113, 17, 0x5d8a56a0u},
    {64, 48, 64, 51, 0xb89bf7cbu},     {64, 48, 67, 48, 0xa2b8f06du},
    {64, 48, 333, 2, 0x809bd218u},     {300, 7, 112, 112, 0xbc919dbbu},
    {300, 7, 64, 64, 0x35863c11u},     {300, 7, 1, 1, 0xe5f31066u},
    {300, 7, 224, 224, 0x644a9351u},   {300, 7, 17, 113, 0xdc9298f4u},
    {300, 7, 113, 17, 0x1d0d670eu},    {300, 7, 300, 10, 0x48caaaffu},
    {300, 7, 303, 7, 0xd0e9fb34u},     {300, 7, 333, 2, 0x6acef5aeu},
};

static void test_matches_pillow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof references / sizeof *references; i++) {
        vt_image image = noise(references[i].from_height, references[i].from_width);
        vt_image out = resized(&image, references[i].height, references[i].width);
        uint32_t crc = (uint32_t)crc32(0, out.pixels, (uInt)(out.height * out.width * 3));
        if (crc != references[i].crc)
            fail_msg("%d x %d to %d x %d: crc 0x%08x", image.height, image.width, out.height,
                     out.width, crc);
        vt_image_free(&image);
        vt_image_free(&out);
    }
}

/* The same of Image.resize((width, height), BOX) in Pillow 12.3. */
static const struct {
    int from_height, from_width, height, width;
    uint32_t crc;
} box_references[] = {
    {112, 112, 64, 64, 0x4b0c071eu}, {112, 112, 17, 113, 0x781b049fu},
    {37, 53, 112, 112, 0x40c9a678u}, {37, 53, 64, 64, 0x3d578d66u},
    {37, 53, 33, 47, 0x0d3d4057u},   {64, 64, 57, 57, 0xa41a33a4u},
    {64, 64, 44, 44, 0x52235b21u},   {38, 38, 64, 64, 0x67671523u},
    {300, 7, 17, 113, 0xf43679b1u},  {1, 1, 5, 3, 0x3046e8c7u},
    {64, 48, 1, 1, 0x7669cb06u},
};

static void test_box_matches_pillow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof box_references / sizeof *box_references; i++) {
        vt_image image = noise(box_references[i].from_height, box_references[i].from_width), out;
        assert_ok(
            vt_image_resize_box(&out, &image, box_references[i].height, box_references[i].width));
        uint32_t crc = (uint32_t)crc32(0, out.pixels, (uInt)(out.height * out.width * 3));
        if (crc != box_references[i].crc)
            fail_msg("%d x %d to %d x %d: crc 0x%08x", image.height, image.width, out.height,
                     out.width, crc);
        vt_image_free(&image);
        vt_image_free(&out);
    }
}

static void test_constant_stays_constant(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 7, 64, 111, 112, 500};
    vt_image image;
    assert_ok(vt_image_new(&image, 37, 41, "grey"));
    for (int value = 0; value < 256; value += 51) {
        memset(image.pixels, value, 37 * 41 * 3);
        for (int h = 0; h < 8; h++)
            for (int w = 0; w < 8; w++) {
                vt_image out = resized(&image, sizes[h], sizes[w]);
                for (int i = 0; i < sizes[h] * sizes[w] * 3; i++)
                    assert_int_equal(value, out.pixels[i]);
                vt_image_free(&out);
            }
    }
    vt_image_free(&image);
}

/* Halving: weights 1 3 3 1 over 8 in the interior, by hand. */
static void test_halving_by_hand(void **state)
{
    (void)state;
    vt_image image;
    assert_ok(vt_image_new(&image, 1, 8, "row"));
    const int row[8] = {0, 40, 80, 200, 120, 8, 64, 255};
    for (int x = 0; x < 8; x++)
        for (int c = 0; c < 3; c++)
            image.pixels[3 * x + c] = (uint8_t)(c == 0 ? row[x] : c == 1 ? 255 - row[x] : 9);
    vt_image out = resized(&image, 1, 4);
    for (int x = 1; x < 3; x++) {
        double mean =
            (row[2 * x - 1] + 3.0 * row[2 * x] + 3.0 * row[2 * x + 1] + row[2 * x + 2]) / 8;
        assert_close(out.pixels[3 * x], mean, 0.51);
        assert_close(out.pixels[3 * x + 1], 255 - mean, 0.51);
        assert_int_equal(9, out.pixels[3 * x + 2]);
    }
    assert_close(out.pixels[0], (3.0 * row[0] + 3.0 * row[1] + row[2]) / 7, 0.51);
    vt_image_free(&image);
    vt_image_free(&out);
}

static void test_same_size_copies(void **state)
{
    (void)state;
    vt_image image = noise(13, 17), out = resized(&image, 13, 17);
    assert_ptr_not_equal(image.pixels, out.pixels);
    assert_memory_equal(image.pixels, out.pixels, 13 * 17 * 3);
    vt_image_free(&image);
    vt_image_free(&out);
}

static void test_refuses(void **state)
{
    (void)state;
    vt_image image = noise(4, 5), out, none = {0};
    static const int sizes[][2] = {{0, 3}, {3, 0}, {-1, 3}, {1 << 20, 1 << 20}};
    for (int i = 0; i < 4; i++)
        assert_status(VT_EINVAL, vt_image_resize(&out, &image, sizes[i][0], sizes[i][1]));
    assert_status(VT_EINVAL, vt_image_resize(&out, &none, 3, 3));
    vt_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches_pillow),          cmocka_unit_test(test_box_matches_pillow),
        cmocka_unit_test(test_constant_stays_constant), cmocka_unit_test(test_halving_by_hand),
        cmocka_unit_test(test_same_size_copies),        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
