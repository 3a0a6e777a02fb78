/* JPEG and PNG: pixels against Pillow's, every kind of PNG, damage, limits, encoding. */
#include "test.h"

#include <zlib.h>

#include "base/arena.h"
#include "io/image.h"
#include "ventral/io.h"

/* CRC-32 of the RGB pixels of the files in fuzz/corpus: of JPEGs as Pillow 9.5 decodes them and
 * converts them to RGB, of PNGs as they were made (16 bits rounded to 8, alpha dropped). */
static const struct {
    const char *file;
    int height, width;
    uint32_t crc;
} references[] = {
    {"jpeg/grey.jpg", 19, 27, 0xc12ff3d1u},
    {"jpeg/444.jpg", 19, 27, 0x107a3052u},
    {"jpeg/422.jpg", 19, 27, 0xff7d4137u},
    {"jpeg/420.jpg", 19, 27, 0x9d8044d4u},
    {"jpeg/progressive.jpg", 19, 27, 0x9d8044d4u},
    {"jpeg/cmyk.jpg", 19, 27, 0x74ee4f39u},
    {"jpeg/one.jpg", 1, 1, 0xbeaddb1cu},
    {"jpeg/restart.jpg", 19, 27, 0x9d8044d4u},
    {"jpeg/optimized.jpg", 19, 27, 0x8236741eu},
    {"png/grey1.png", 19, 27, 0xd18fcab9u},
    {"png/grey1_adam7.png", 19, 27, 0xd18fcab9u},
    {"png/grey2.png", 19, 27, 0x23f4823fu},
    {"png/grey4.png", 19, 27, 0xef171f37u},
    {"png/grey8.png", 19, 27, 0x7542aff1u},
    {"png/grey8_adam7.png", 19, 27, 0x7542aff1u},
    {"png/grey16.png", 19, 27, 0xa481a7b1u},
    {"png/grey16_adam7.png", 19, 27, 0xa481a7b1u},
    {"png/rgb8.png", 19, 27, 0x87d722eeu},
    {"png/rgb8_adam7.png", 19, 27, 0x87d722eeu},
    {"png/rgb16.png", 19, 27, 0xde62aae9u},
    {"png/rgb16_adam7.png", 19, 27, 0xde62aae9u},
    {"png/palette1.png", 19, 27, 0xaebac090u},
    {"png/palette1_adam7.png", 19, 27, 0xaebac090u},
    {"png/palette2.png", 19, 27, 0x17dc2f6eu},
    {"png/palette4.png", 19, 27, 0x9f3e0eefu},
    {"png/palette8.png", 19, 27, 0xc478fc05u},
    {"png/palette8_adam7.png", 19, 27, 0xc478fc05u},
    {"png/grey_alpha8.png", 19, 27, 0x7542aff1u},
    {"png/grey_alpha8_adam7.png", 19, 27, 0x7542aff1u},
    {"png/grey_alpha16.png", 19, 27, 0xa481a7b1u},
    {"png/grey_alpha16_adam7.png", 19, 27, 0xa481a7b1u},
    {"png/rgb_alpha8.png", 19, 27, 0x87d722eeu},
    {"png/rgb_alpha8_adam7.png", 19, 27, 0x87d722eeu},
    {"png/rgb_alpha16.png", 19, 27, 0xde62aae9u},
    {"png/rgb_alpha16_adam7.png", 19, 27, 0xde62aae9u},
    {"png/palette_transparent.png", 19, 27, 0xc478fc05u},
    {"png/rgb_transparent.png", 19, 27, 0x87d722eeu},
    {"png/ancillary.png", 19, 27, 0x7542aff1u},
    {"png/one.png", 1, 1, 0xff41d912u},
};

static char *corpus_path(char path[4096], const char *file)
{
    snprintf(path, 4096, "%s/fuzz/corpus/%s", TEST_SOURCE_DIR, file);
    return path;
}

static uint32_t pixels_crc(const vt_image *image)
{
    return (uint32_t)crc32(0, image->pixels, (uInt)(image->height * image->width * 3));
}

static void test_decoding_matches_pillow(void **state)
{
    (void)state;
    char path[4096];
    for (size_t i = 0; i < sizeof references / sizeof *references; i++) {
        vt_image image;
        assert_ok(vt_image_read(&image, corpus_path(path, references[i].file)));
        if (image.height != references[i].height || image.width != references[i].width ||
            pixels_crc(&image) != references[i].crc)
            fail_msg("%s: %d x %d, crc 0x%08x", references[i].file, image.height, image.width,
                     pixels_crc(&image));
        vt_image_free(&image);
        assert_null(image.pixels);
    }
}

static void test_truncation_is_an_error(void **state)
{
    (void)state;
    static const char *const files[] = {"jpeg/420.jpg", "jpeg/progressive.jpg", "jpeg/cmyk.jpg",
                                        "png/rgb8.png", "png/palette8_adam7.png"};
    char path[4096];
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        void *data;
        size_t size;
        assert_ok(vt_file_read(&data, &size, corpus_path(path, files[f])));
        for (size_t n = 0; n < size; n++) {
            vt_image image = {.height = -7};
            uint8_t *part = malloc(n + 1); /* an exact size shows reads beyond the end */
            part = realloc(part, n ? n : 1);
            memcpy(part, data, n);
            if (vt_image_decode(&image, part, n, "part.x") == VT_OK)
                fail_msg("%s decodes from %zu of %zu bytes", files[f], n, size);
            assert_message("part.x: ");
            assert_int_equal(-7, image.height);
            free(part);
        }
        free(data);
    }
}

/* Any byte may be wrong: an error or an image of the announced size, never a crash. */
static void test_damage(void **state)
{
    (void)state;
    static const char *const files[] = {"jpeg/420.jpg", "jpeg/progressive.jpg",
                                        "png/rgb_alpha8_adam7.png"};
    char path[4096];
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        unsigned char *data;
        size_t size;
        int refused = 0;
        assert_ok(vt_file_read((void **)&data, &size, corpus_path(path, files[f])));
        for (size_t n = 0; n < size; n++) {
            vt_image image;
            data[n] ^= 0x55;
            if (vt_image_decode(&image, data, size, "damaged") == VT_OK)
                vt_image_free(&image);
            else
                refused++;
            data[n] ^= 0x55;
        }
        assert_true(refused > (int)size / 8);
        free(data);
    }
}

static void test_unknown_formats(void **state)
{
    (void)state;
    vt_image image;
    char path[4096];
    assert_status(VT_EFORMAT, vt_image_decode(&image, "", 0, "a.jpg"));
    assert_message("a.jpg: the image is empty");
    assert_status(VT_EFORMAT, vt_image_decode(&image, "GIF89a", 6, "a.jpg"));
    assert_message("a.jpg: not a JPEG or PNG");
    assert_status(VT_ENOTFOUND, vt_image_read(&image, corpus_path(path, "jpeg/absent.jpg")));
    assert_message("absent.jpg");
}

/* Files whose headers promise far more pixels than their bytes can hold. */
static void test_bombs(void **state)
{
    (void)state;
    char path[4096];
    unsigned char *data;
    size_t size;
    vt_image image;
    assert_ok(vt_file_read((void **)&data, &size, corpus_path(path, "jpeg/444.jpg")));
    size_t frame = 0;
    while (frame + 9 < size && !(data[frame] == 0xff && data[frame + 1] == 0xc0))
        frame++;
    memcpy(data + frame + 5, "\x27\x0f\x27\x0f", 4); /* 9999 x 9999 */
    assert_status(VT_EFORMAT, vt_image_decode(&image, data, size, "bomb"));
    assert_message("9999 x 9999 pixels in");
    free(data);

    assert_ok(vt_file_read((void **)&data, &size, corpus_path(path, "png/rgb8.png")));
    memcpy(data + 16, "\0\0\x27\x0f\0\0\x27\x0f", 8);
    uint32_t crc = (uint32_t)crc32(0, data + 12, 17);
    for (int i = 0; i < 4; i++)
        data[29 + i] = (unsigned char)(crc >> (24 - 8 * i));
    assert_status(VT_EFORMAT, vt_image_decode(&image, data, size, "bomb"));
    assert_message("9999 x 9999 pixels in");
    free(data);
}

static vt_image pattern(int height, int width)
{
    vt_image image;
    assert_ok(vt_image_new(&image, height, width, "pattern"));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                image.pixels[(y * width + x) * 3 + c] =
                    (uint8_t)(127.5 + 127 * sin(0.11 * x + 0.05 * y * (c + 1)));
    return image;
}

static void test_png_round_trip(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {7, 300}, {112, 112}};
    for (int i = 0; i < 3; i++) {
        void *data;
        size_t size;
        vt_image image = pattern(sizes[i][0], sizes[i][1]), again;
        assert_ok(vt_png_encode(&data, &size, &image));
        assert_ok(vt_image_decode(&again, data, size, "again"));
        assert_int_equal(image.height, again.height);
        assert_int_equal(image.width, again.width);
        assert_int_equal(pixels_crc(&image), pixels_crc(&again));
        free(data);
        vt_image_free(&image);
        vt_image_free(&again);
    }
}

static void test_jpeg_round_trip(void **state)
{
    (void)state;
    static const int qualities[] = {50, 95, 100}, tolerances[] = {24, 8, 3};
    for (int q = 0; q < 3; q++) {
        void *data;
        size_t size;
        int worst = 0;
        vt_image image = pattern(50, 75), again;
        assert_ok(vt_jpeg_encode(&data, &size, &image, qualities[q]));
        assert_ok(vt_image_decode(&again, data, size, "again"));
        for (int i = 0; i < 50 * 75 * 3; i++) {
            int error = abs(image.pixels[i] - again.pixels[i]);
            worst = error > worst ? error : worst;
        }
        assert_in_range(worst, 0, tolerances[q]);
        free(data);
        vt_image_free(&image);
        vt_image_free(&again);
    }
}

static void test_encoding_refuses(void **state)
{
    (void)state;
    void *data;
    size_t size;
    vt_image empty = {0}, image = pattern(4, 4);
    assert_status(VT_EINVAL, vt_jpeg_encode(&data, &size, &empty, 95));
    assert_status(VT_EINVAL, vt_png_encode(&data, &size, &empty));
    assert_status(VT_EINVAL, vt_jpeg_encode(&data, &size, &image, 0));
    assert_status(VT_EINVAL, vt_jpeg_encode(&data, &size, &image, 101));
    assert_message("quality 101");
    vt_image_free(&image);
    vt_image wide = pattern(1, 65536); /* beyond JPEG's 16 bits */
    assert_status(VT_EINVAL, vt_jpeg_encode(&data, &size, &wide, 95));
    assert_message("65536 x 1");
    vt_image_free(&wide);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    static const char *const files[] = {"jpeg/cmyk.jpg", "png/rgb8.png"};
    char path[4096];
    for (int f = 0; f < 2; f++) {
        int failures = 0;
        for (;; failures++) {
            vt_image image = {0}, small = {0};
            void *png = NULL, *jpeg = NULL;
            size_t size;
            vt_alloc_fail_after(failures);
            vt_status status = vt_image_read(&image, corpus_path(path, files[f]));
            if (status == VT_OK) status = vt_image_resize(&small, &image, 5, 7);
            if (status == VT_OK) status = vt_png_encode(&png, &size, &small);
            if (status == VT_OK) status = vt_jpeg_encode(&jpeg, &size, &small, 90);
            vt_alloc_fail_after(-1);
            vt_image_free(&image);
            vt_image_free(&small);
            free(png);
            free(jpeg);
            if (status == VT_OK) break;
            assert_int_equal(VT_ENOMEM, status);
        }
        assert_in_range(failures, 10, 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoding_matches_pillow),
        cmocka_unit_test(test_truncation_is_an_error),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_unknown_formats),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_png_round_trip),
        cmocka_unit_test(test_jpeg_round_trip),
        cmocka_unit_test(test_encoding_refuses),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
