/* Image sources, sessions in both layouts, writing them, subsets and splits. */
#include "test.h"

#include <sys/stat.h>
#include <zlib.h>

#include "base/arena.h"
#include "io/image.h"
#include "ventral/io.h"
#include "ventral/progress.h"
#include "ventral/session.h"

static const char *join(const char *folder, const char *name)
{
    static char paths[4][8192];
    static int next;
    char *path = paths[next++ % 4];
    if (snprintf(path, sizeof paths[0], "%s/%s", folder, name) >= (int)sizeof paths[0])
        fail_msg("the path of %s is too long", name);
    return path;
}

/* An image that says which one it is: every pixel is (value, 255 - value, 128). */
static vt_image plain_image(int height, int width, int value)
{
    vt_image image;
    assert_ok(vt_image_new(&image, height, width, "plain"));
    for (int i = 0; i < height * width; i++) {
        image.pixels[3 * i] = (uint8_t)value;
        image.pixels[3 * i + 1] = (uint8_t)(255 - value);
        image.pixels[3 * i + 2] = 128;
    }
    return image;
}

static void *plain_png(size_t *size, int height, int width, int value)
{
    void *data;
    vt_image image = plain_image(height, width, value);
    assert_ok(vt_png_encode(&data, size, &image));
    vt_image_free(&image);
    return data;
}

static void write_png(const char *path, int height, int width, int value)
{
    size_t size;
    void *data = plain_png(&size, height, width, value);
    assert_ok(vt_file_write(path, data, size));
    free(data);
}

/* A zip of PNGs named names[i], whose pixels have the value i; NULL ends the list. */
static void write_zip(const char *path, const char *const *names)
{
    vt_zip_writer *zip;
    assert_ok(vt_zip_writer_new(&zip, path));
    for (int i = 0; names[i]; i++) {
        size_t size;
        void *data = plain_png(&size, 4, 6, i);
        assert_ok(vt_zip_writer_add(zip, names[i], data, size, true));
        free(data);
    }
    assert_ok(vt_zip_writer_finish(zip));
}

static void assert_images(vt_image_source *source, int count, const char *const *names,
                          const int *values)
{
    assert_int_equal(count, vt_image_source_count(source));
    for (int i = 0; i < count; i++) {
        vt_image image;
        assert_string_equal(names[i], vt_image_source_name(source, i));
        assert_ok(vt_image_source_read(source, i, &image));
        assert_int_equal(values[i], image.pixels[0]);
        vt_image_free(&image);
    }
    assert_null(vt_image_source_name(source, count));
    assert_null(vt_image_source_name(source, -1));
}

static void test_zip_source_order_and_names(void **state)
{
    (void)state;
    char folder[4096];
    vt_image_source *source;
    new_folder(folder);
    const char *path = join(folder, "a.zip");
    write_zip(path, (const char *[]){"x/image10.png", "x/image2.PNG", "__MACOSX/x/._image2.png",
                                     "x/.hidden.png", "x/readme.txt", "x/image1.png", NULL});
    assert_ok(vt_image_source_open(&source, path));
    assert_images(source, 3, (const char *[]){"image1.png", "image2.PNG", "image10.png"},
                  (int[]){5, 1, 0});
    vt_image image;
    assert_status(VT_EINVAL, vt_image_source_read(source, 3, &image));
    assert_message("no image 3; there are 3");
    assert_status(VT_EINVAL, vt_image_source_read(source, -1, &image));
    vt_image_source_close(source);
    remove_folder(folder);
}

static void test_folder_source(void **state)
{
    (void)state;
    char folder[4096];
    vt_image_source *source;
    new_folder(folder);
    assert_status(VT_ENOTFOUND, vt_image_source_open(&source, folder));
    assert_message("no images in it");
    write_png(join(folder, "b010.png"), 4, 6, 10);
    write_png(join(folder, "b9.jpeg"), 4, 6, 9); /* by content, not by name */
    write_png(join(folder, "a.Jpg"), 4, 6, 1);
    write_png(join(folder, "b009.png"), 4, 6, 8);
    assert_int_equal(0, mkdir(join(folder, "c.png"), 0777));
    assert_int_equal(0, mkfifo(join(folder, "d.png"), 0666));
    assert_ok(vt_image_source_open(&source, folder));
    assert_images(source, 4, (const char *[]){"a.Jpg", "b9.jpeg", "b009.png", "b010.png"},
                  (int[]){1, 9, 8, 10});
    assert_ok(vt_file_write(join(folder, "b9.jpeg"), "rubbish", 7));
    vt_image image;
    assert_status(VT_EFORMAT, vt_image_source_read(source, 1, &image));
    assert_message("/b9.jpeg: not a JPEG or PNG");
    vt_image_source_close(source);
    assert_status(VT_ENOTFOUND, vt_image_source_open(&source, join(folder, "absent.zip")));
    assert_message("absent.zip");
    assert_status(VT_EINVAL, vt_image_source_open(&source, join(folder, "a.Jpg")));
    assert_message("a folder, a .zip of JPEG and PNG files or a .npy");
    remove_folder(folder);
}

static void test_array_source(void **state)
{
    (void)state;
    char folder[4096];
    vt_image_source *source;
    vt_tensor t;
    new_folder(folder);
    const char *path = join(folder, "images.npy");
    assert_ok(vt_tensor_new(&t, VT_U8, 4, (int64_t[]){12, 3, 5, 3}));
    for (int i = 0; i < 12; i++)
        memset((char *)t.data + i * 45, 7 * i, 45);
    assert_ok(vt_npy_write(&t, path));
    assert_ok(vt_image_source_open(&source, path));
    assert_int_equal(12, vt_image_source_count(source));
    assert_string_equal("11", vt_image_source_name(source, 11));
    uint8_t pixels[12 * 45];
    assert_ok(vt_image_source_read_batch(source, 0, 12, 3, 5, pixels));
    assert_memory_equal(t.data, pixels, sizeof pixels);
    assert_int_equal(0, truncate(path, 300));
    assert_status(VT_EIO, vt_image_source_read_batch(source, 0, 12, 3, 5, pixels));
    assert_message("the file has shrunk");
    vt_image_source_close(source);
    assert_status(VT_EFORMAT, vt_image_source_open(&source, path));

    t.dtype = VT_I8;
    assert_ok(vt_npy_write(&t, path));
    assert_status(VT_ESHAPE, vt_image_source_open(&source, path));
    assert_message("uint8 array (images, height, width, 3)");
    assert_ok(vt_file_write(path, "", 0));
    assert_status(VT_EFORMAT, vt_image_source_open(&source, path));
    vt_tensor_free(&t);
    remove_folder(folder);
}

/* Batches on several threads: order, resizing, and the first of several errors. */
static void test_batches(void **state)
{
    (void)state;
    enum { N = 40, H = 5, W = 3 };
    char folder[4096], name[64];
    vt_image_source *source;
    uint8_t pixels[N * H * W * 3];
    new_folder(folder);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "%d.png", i);
        write_png(join(folder, name), i % 2 ? H : 9, W, i);
    }
    assert_ok(vt_image_source_open(&source, folder));
    for (int threads = 1; threads <= 4; threads += 3) {
        vt_threads_set(threads);
        assert_ok(vt_image_source_read_batch(source, 3, N - 3, H, W, pixels));
        for (int i = 3; i < N; i++)
            for (int k = 0; k < H * W * 3; k += 3)
                assert_int_equal(i, pixels[(i - 3) * H * W * 3 + k]);
        const int64_t list[] = {7, 0, 39, 7};
        assert_ok(vt_image_source_read_list(source, list, 4, H, W, pixels));
        for (int i = 0; i < 4; i++)
            assert_int_equal(list[i], pixels[i * H * W * 3]);
    }
    assert_ok(vt_image_source_read_batch(source, N, 0, H, W, pixels));
    assert_status(VT_EINVAL, vt_image_source_read_batch(source, N - 1, 2, H, W, pixels));
    assert_message("no 2 images from image 39 on; there are 40");
    assert_status(VT_EINVAL, vt_image_source_read_batch(source, INT64_MAX, 2, H, W, pixels));
    assert_status(VT_EINVAL, vt_image_source_read_list(source, &(int64_t){N}, 1, H, W, pixels));
    assert_status(VT_EINVAL, vt_image_source_read_batch(source, 0, 1, 0, W, pixels));
    assert_ok(vt_file_write(join(folder, "31.png"), "x", 1));
    assert_ok(vt_file_write(join(folder, "17.png"), "x", 1));
    for (int i = 0; i < 20; i++) {
        assert_status(VT_EFORMAT, vt_image_source_read_batch(source, 0, N, H, W, pixels));
        assert_message("/17.png: not a JPEG");
    }
    vt_threads_set(0);
    vt_image_source_close(source);
    remove_folder(folder);
}

static void test_damaged_zips(void **state)
{
    (void)state;
    char folder[4096];
    vt_image_source *source;
    vt_image image;
    void *data;
    size_t size;
    new_folder(folder);
    const char *path = join(folder, "a.zip");
    vt_zip_writer *zip;
    char jpeg_path[4096];
    snprintf(jpeg_path, sizeof jpeg_path, "%s/fuzz/corpus/jpeg/truncated.jpg", TEST_SOURCE_DIR);
    assert_ok(vt_file_read(&data, &size, jpeg_path));
    assert_ok(vt_zip_writer_new(&zip, path));
    assert_ok(vt_zip_writer_add(zip, "s/image0001.jpg", data, size, false));
    assert_ok(vt_zip_writer_finish(zip));
    free(data);
    assert_ok(vt_image_source_open(&source, path));
    assert_status(VT_EFORMAT, vt_image_source_read(source, 0, &image));
    assert_message("a.zip: entry s/image0001.jpg: corrupt or unsupported JPEG");
    vt_image_source_close(source);

    assert_ok(vt_file_read(&data, &size, path));
    assert_ok(vt_file_write(path, data, size - 30));
    assert_status(VT_EFORMAT, vt_image_source_open(&source, path));
    assert_message("a.zip");
    free(data);
    remove_folder(folder);
}

static vt_status read_plain(void *context, int64_t index, vt_image *out)
{
    int64_t *fail_at = context;
    if (fail_at && index == *fail_at) return vt_error(VT_EIO, "image %d failed", (int)index);
    *out = plain_image(4, 6, (int)index);
    return VT_OK;
}

enum { NEURONS = 3, IMAGES = 12, REPEATS = 4 };

/* raw(n, i, r) = 100 n + i + r with some missing; averaged = mean of those present. */
static void fill_responses(vt_tensor *averaged, vt_tensor *raw)
{
    assert_ok(vt_tensor_new(averaged, VT_F64, 2, (int64_t[]){NEURONS, IMAGES}));
    assert_ok(vt_tensor_new(raw, VT_F64, 3, (int64_t[]){NEURONS, IMAGES, REPEATS}));
    for (int cell = 0; cell < NEURONS * IMAGES; cell++) {
        double sum = 0, *values = (double *)raw->data + cell * REPEATS;
        int present = 0;
        for (int r = 0; r < REPEATS; r++) {
            bool missing = r > 0 && (cell + r) % 3 == 0;
            values[r] = missing ? NAN : 100 * (cell / IMAGES) + cell % IMAGES + r;
            sum += missing ? 0 : values[r];
            present += !missing;
        }
        ((double *)averaged->data)[cell] = sum / present;
    }
}

static void assert_same_values(const vt_tensor *expected, const vt_tensor *actual)
{
    assert_int_equal(expected->ndim, actual->ndim);
    assert_int_equal(VT_F64, actual->dtype);
    for (int d = 0; d < expected->ndim; d++)
        assert_int_equal(expected->size[d], actual->size[d]);
    for (int64_t i = 0; i < vt_tensor_count(expected); i++) {
        double a = vt_tensor_get(expected, i), b = vt_tensor_get(actual, i);
        assert_true(a == b || (isnan(a) && isnan(b)));
    }
}

static void test_write_and_open_published(void **state)
{
    (void)state;
    char folder[4096];
    vt_tensor averaged, raw;
    vt_session *session;
    vt_session_info info;
    new_folder(folder);
    const char *root = join(folder, "data_V4_responses");
    fill_responses(&averaged, &raw);
    vt_session_write_options options = {
        .images = IMAGES, .read_image = read_plain, .averaged = &averaged, .raw = &raw};
    for (int format = VT_SESSION_JPEG; format <= VT_SESSION_PNG; format++) {
        char id[8] = {(char)('a' + format), '1', '\0'};
        options.format = format;
        assert_ok(vt_session_write(root, id, &options));
        assert_ok(vt_session_open(&session, format ? folder : root, id));
        vt_session_get_info(session, &info);
        assert_string_equal(id, info.id);
        assert_int_equal(IMAGES, info.images);
        assert_int_equal(NEURONS, info.neurons);
        assert_int_equal(REPEATS, info.repeats);
        assert_true(info.has_averaged && info.has_raw && info.has_images);
        assert_same_values(&averaged, vt_session_averaged(session));
        assert_same_values(&raw, vt_session_raw(session));
        vt_image_source *images = vt_session_images(session);
        assert_string_equal(format ? "image0012.png" : "image0012.jpg",
                            vt_image_source_name(images, 11));
        for (int i = 0; i < IMAGES; i++) {
            vt_image image;
            assert_ok(vt_image_source_read(images, i, &image));
            assert_int_equal(4, image.height);
            assert_int_equal(6, image.width);
            assert_true(abs(image.pixels[0] - i) <= (format ? 0 : 2));
            vt_image_free(&image);
        }
        vt_session_close(session);
    }
    assert_status(VT_EINVAL, vt_session_write(root, "a1", &options));
    assert_message("exists already");

    char **ids;
    int64_t count;
    assert_ok(vt_session_list(&ids, &count, folder));
    assert_int_equal(2, count);
    assert_string_equal("a1", ids[0]);
    assert_string_equal("b1", ids[1]);
    vt_session_list_free(ids, count);
    assert_status(VT_EINVAL, vt_session_open(&session, root, NULL));
    assert_message("holds 2 sessions; choose one of a1, b1");
    assert_status(VT_ENOTFOUND, vt_session_open(&session, root, "c1"));
    assert_message("no session c1: looked for responses_repeat_averaged/responses_c1.npy");
    assert_message("sessions there: a1, b1");
    assert_status(VT_EINVAL, vt_session_open(&session, root, "../x"));
    vt_tensor_free(&averaged);
    vt_tensor_free(&raw);
    remove_folder(folder);
}

static void test_averages_from_raw(void **state)
{
    (void)state;
    char folder[4096];
    vt_tensor averaged, raw;
    vt_session *session;
    vt_session_info info;
    new_folder(folder);
    fill_responses(&averaged, &raw);
    assert_int_equal(0, mkdir(join(folder, "responses_raw"), 0777));
    assert_ok(vt_npy_write(&raw, join(folder, "responses_raw/responses_7.npy")));
    assert_ok(vt_session_open(&session, folder, NULL));
    assert_same_values(&averaged, vt_session_averaged(session));
    assert_null(vt_session_images(session));
    assert_message("session 7: no images: there is no ");
    assert_message("/images/images_7.zip");
    vt_session_close(session);

    for (int r = 0; r < REPEATS; r++) /* neuron 1, image 5 never shown */
        ((double *)raw.data)[(IMAGES + 5) * REPEATS + r] = NAN;
    assert_ok(vt_npy_write(&raw, join(folder, "responses_raw/responses_7.npy")));
    assert_ok(vt_session_open(&session, folder, "7"));
    vt_session_get_info(session, &info);
    assert_true(info.has_raw && !info.has_averaged && !info.has_images);
    assert_int_equal(IMAGES, info.images);
    assert_same_values(&raw, vt_session_raw(session));
    assert_null(vt_session_averaged(session));
    assert_message("session 7: no averaged responses: neuron 1 has no repeat of image 5");
    vt_session_close(session);

    ((double *)raw.data)[3] = INFINITY;
    assert_ok(vt_npy_write(&raw, join(folder, "responses_raw/responses_7.npy")));
    assert_status(VT_ENUMERIC, vt_session_open(&session, folder, "7"));
    assert_message("responses_7.npy: the response of neuron 0 to image 0 is infinite");
    vt_tensor_free(&averaged);
    vt_tensor_free(&raw);
    remove_folder(folder);
}

static void test_plain_layout(void **state)
{
    (void)state;
    char folder[4096];
    vt_tensor averaged, raw;
    vt_session *session;
    vt_session_info info;
    new_folder(folder);
    char day[8192], images[8300];
    snprintf(day, sizeof day, "%s/day1", folder);
    snprintf(images, sizeof images, "%s/images", day);
    fill_responses(&averaged, &raw);
    assert_int_equal(0, mkdir(day, 0777));
    assert_int_equal(0, mkdir(images, 0777));
    assert_status(VT_ENOTFOUND, vt_session_open(&session, folder, NULL));
    assert_message("no sessions");
    for (int i = 0; i < IMAGES; i++) {
        char name[32];
        snprintf(name, sizeof name, "image%d.png", i + 1);
        write_png(join(images, name), 4, 6, i);
    }
    assert_ok(vt_npy_write(&averaged, join(day, "responses.npy")));
    const char *roots[] = {folder, folder, day, day}, *ids[] = {"day1", NULL, NULL, "day1"};
    for (int i = 0; i < 4; i++) {
        vt_image image;
        assert_ok(vt_session_open(&session, roots[i], ids[i]));
        vt_session_get_info(session, &info);
        assert_string_equal("day1", info.id);
        assert_true(info.has_averaged && info.has_images && !info.has_raw);
        assert_null(vt_session_raw(session));
        assert_message("session day1: no raw responses");
        assert_ok(vt_image_source_read(vt_session_images(session), 9, &image));
        assert_int_equal(9, image.pixels[0]);
        vt_image_free(&image);
        vt_session_close(session);
    }
    assert_ok(vt_npy_write(&raw, join(day, "responses.npy")));
    assert_ok(vt_session_open(&session, folder, NULL));
    assert_same_values(&raw, vt_session_raw(session));
    assert_same_values(&averaged, vt_session_averaged(session));
    vt_session_close(session);

    assert_int_equal(0, unlink(join(images, "image5.png")));
    assert_status(VT_ESHAPE, vt_session_open(&session, folder, NULL));
    assert_message("images has 11 images, but");
    assert_message("responses.npy has responses to 12");
    for (int i = NEURONS; i < IMAGES; i++) {
        char name[32];
        snprintf(name, sizeof name, "image%d.png", i + 1);
        unlink(join(images, name));
    }
    assert_status(VT_ESHAPE, vt_session_open(&session, folder, NULL));
    assert_message("they may be transposed");

    ((double *)averaged.data)[IMAGES + 2] = NAN;
    assert_ok(vt_npy_write(&averaged, join(day, "responses.npy")));
    assert_status(VT_ENUMERIC, vt_session_open(&session, folder, NULL));
    assert_message("the response of neuron 1 to image 2 is NaN");
    vt_tensor flat;
    assert_ok(vt_tensor_init(&flat, VT_F64, 1, (int64_t[]){5}, averaged.data));
    assert_ok(vt_npy_write(&flat, join(day, "responses.npy")));
    assert_status(VT_ESHAPE, vt_session_open(&session, folder, NULL));
    assert_message("expected (neurons, images)");
    vt_tensor_free(&averaged);
    vt_tensor_free(&raw);
    remove_folder(folder);
}

static void test_failed_write_leaves_nothing(void **state)
{
    (void)state;
    char folder[4096];
    vt_tensor averaged, raw;
    new_folder(folder);
    fill_responses(&averaged, &raw);
    int64_t fail_at = 9;
    vt_session_write_options options = {
        .images = IMAGES, .read_image = read_plain, .averaged = &averaged, .raw = &raw};
    options.context = &fail_at;
    assert_status(VT_EIO, vt_session_write(folder, "x", &options));
    assert_message("image 9 failed");
    options.context = NULL;
    assert_int_equal(0, rmdir(join(folder, "responses_raw")));
    assert_ok(vt_file_write(join(folder, "responses_raw"), "a file is in the way", 20));
    assert_int_not_equal(VT_OK, vt_session_write(folder, "x", &options));
    assert_int_not_equal(0, access(join(folder, "images/images_x.zip"), F_OK));
    assert_int_not_equal(0,
                         access(join(folder, "responses_repeat_averaged/responses_x.npy"), F_OK));

    options.images = IMAGES - 1;
    assert_status(VT_ESHAPE, vt_session_write(folder, "y", &options));
    assert_message("there are 11 images");
    options.images = IMAGES;
    raw.size[0]--;
    assert_status(VT_ESHAPE, vt_session_write(folder, "y", &options));
    assert_message("raw responses have shape (2, 12, 4)");
    raw.size[0]++;
    ((double *)averaged.data)[0] = NAN;
    assert_status(VT_ENUMERIC, vt_session_write(folder, "y", &options));
    assert_status(VT_EINVAL, vt_session_write(folder, "a/b", &options));
    assert_status(VT_EINVAL, vt_session_write(folder, "", &options));
    vt_tensor_free(&averaged);
    vt_tensor_free(&raw);
    remove_folder(folder);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    char folder[4096];
    vt_tensor averaged, raw;
    new_folder(folder);
    fill_responses(&averaged, &raw);
    vt_session_write_options options = {
        .images = IMAGES, .read_image = read_plain, .averaged = &averaged, .raw = &raw};
    assert_ok(vt_session_write(folder, "x", &options));
    int failures = 0;
    for (;; failures++) {
        vt_session *session = NULL;
        uint8_t pixels[2 * 3 * 3 * 3];
        vt_alloc_fail_after(failures);
        vt_status status = vt_session_open(&session, folder, NULL);
        if (status == VT_OK)
            status = vt_image_source_read_batch(vt_session_images(session), 1, 2, 3, 3, pixels);
        vt_alloc_fail_after(-1);
        vt_session_close(session);
        if (status == VT_OK) break;
        assert_int_equal(VT_ENOMEM, status);
    }
    assert_in_range(failures, 20, 400);
    vt_tensor_free(&averaged);
    vt_tensor_free(&raw);
    remove_folder(folder);
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t begin, end;
    } good[] = {{"all", 0, 11}, {"first", 0, 5}, {"second", 5, 11}, {"3:7", 3, 7},    {":4", 0, 4},
                {"9:", 9, 11},  {":", 0, 11},    {"0:11", 0, 11},   {"10:11", 10, 11}};
    static const char *const bad[] = {"",      "5",    "7:3",  "3:3",
                                      "0:12",  "11:",  "-1:3", "a:b",
                                      "1:2:3", "1: 2", "+1:2", "1:99999999999999999999",
                                      "third"};
    int64_t begin = -5, end = -5;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_ok(vt_range_parse(&begin, &end, good[i].text, 11));
        assert_int_equal(good[i].begin, begin);
        assert_int_equal(good[i].end, end);
    }
    begin = end = -5;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (vt_range_parse(&begin, &end, bad[i], 11) != VT_EINVAL) fail_msg("'%s'", bad[i]);
        assert_message("range '");
        assert_true(begin == -5 && end == -5);
    }
    assert_status(VT_EINVAL, vt_range_parse(&begin, &end, "first", 1)); /* half of 1 is none */
}

static void test_index_lists(void **state)
{
    (void)state;
    int64_t *list, count;
    assert_ok(vt_index_list_parse(&list, &count, "7,0,3-5", 8));
    const int64_t expected[] = {7, 0, 3, 4, 5};
    assert_int_equal(5, count);
    assert_memory_equal(expected, list, sizeof expected);
    free(list);
    static const char *const bad[] = {"",   "8",    "1,1",   "0-8",   "5-3",
                                      "1,", ",1",   "1,,2",  "a",     "-1",
                                      "2-", "1 ,2", "0-3,2", "1-2-3", "99999999999999999999",
                                      "1;2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (vt_index_list_parse(&list, &count, bad[i], 8) != VT_EINVAL) fail_msg("'%s'", bad[i]);
        assert_message("list '");
    }
    assert_status(VT_EINVAL, vt_index_list_parse(&list, &count, "0", 0));
}

static void test_split(void **state)
{
    (void)state;
    vt_split split, again, other;
    assert_ok(vt_split_random(&split, 1200, 0.1, 0.2, 42));
    assert_int_equal(840, split.train_count);
    assert_int_equal(120, split.validation_count);
    assert_int_equal(240, split.test_count);
    const int64_t *parts[] = {split.train, split.validation, split.test};
    const int64_t counts[] = {840, 120, 240};
    char seen[1200] = {0};
    double sum = 0;
    for (int p = 0; p < 3; p++)
        for (int64_t i = 0; i < counts[p]; i++) {
            assert_true(i == 0 || parts[p][i] > parts[p][i - 1]);
            assert_int_equal(0, seen[parts[p][i]]++);
            if (p == 2) sum += (double)parts[p][i];
        }
    assert_close(sum / 240, 599.5, 80); /* spread over all images: s.d. of the mean is 20 */
    assert_ok(vt_split_random(&again, 1200, 0.1, 0.2, 42));
    assert_memory_equal(split.train, again.train, 1200 * sizeof(int64_t));
    assert_ok(vt_split_random(&other, 1200, 0.1, 0.2, 43));
    assert_memory_not_equal(split.test, other.test, 240 * sizeof(int64_t));
    vt_split_free(&split);
    vt_split_free(&again);
    vt_split_free(&other);
    assert_ok(vt_split_random(&split, 5, 0, 0, 1));
    assert_int_equal(5, split.train_count);
    vt_split_free(&split);
    static const double bad[][2] = {{0.5, 0.5}, {-0.1, 0.1}, {0.1, -0.1}, {NAN, 0}, {0.9, 0.2}};
    for (int i = 0; i < 5; i++)
        assert_status(VT_EINVAL, vt_split_random(&split, 100, bad[i][0], bad[i][1], 1));
    assert_status(VT_EINVAL, vt_split_random(&split, 3, 0.1, 0.1, 1));
    assert_message("3 items are too few");
    assert_status(VT_EINVAL, vt_split_random(&split, 0, 0, 0, 1));
}

/* 315 images of 15 kinds, 21 each, as 283 and 32: each kind has 18 or 19 to learn from. */
static void test_stratified_split(void **state)
{
    (void)state;
    enum { COUNT = 315, KINDS = 15 };
    int64_t labels[COUNT], uses[COUNT] = {0};
    for (int i = 0; i < COUNT; i++)
        labels[i] = 1000 - i * 7 % KINDS;
    vt_split split, again;
    for (int k = 0; k < 40; k++) {
        int tested[KINDS] = {0};
        char seen[COUNT] = {0};
        assert_ok(vt_split_stratified(&split, labels, COUNT, 0.1, k, 5));
        assert_int_equal(283, split.train_count);
        assert_int_equal(0, split.validation_count);
        assert_int_equal(32, split.test_count);
        for (int i = 0; i < 283; i++)
            seen[split.train[i]]++;
        for (int i = 0; i < 32; i++) {
            assert_true(i == 0 || split.test[i] > split.test[i - 1]);
            seen[split.test[i]]++;
            uses[split.test[i]]++;
            tested[1000 - labels[split.test[i]]]++;
        }
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(1, seen[i]);
        for (int i = 0; i < KINDS; i++)
            assert_in_range(tested[i], 2, 3);
        assert_ok(vt_split_stratified(&again, labels, COUNT, 0.1, k, 5));
        assert_memory_equal(split.train, again.train, sizeof labels);
        vt_split_free(&again);
        vt_split_free(&split);
    }
    int most = 0, never = 0;
    for (int i = 0; i < COUNT; i++) {
        if (uses[i] > most) most = (int)uses[i];
        never += uses[i] == 0;
    }
    assert_in_range(most, 5, 16); /* binomial: 40 of 0.1 */
    assert_in_range(never, 0, 20);
    assert_ok(vt_split_stratified(&split, labels, COUNT, 0.1, 0, 5));
    assert_ok(vt_split_stratified(&again, labels, COUNT, 0.1, 1, 5));
    assert_memory_not_equal(split.test, again.test, 32 * sizeof(int64_t));
    vt_split_free(&again);
    assert_ok(vt_split_stratified(&again, labels, COUNT, 0.1, 0, 6));
    assert_memory_not_equal(split.test, again.test, 32 * sizeof(int64_t));
    vt_split_free(&again);
    vt_split_free(&split);
    /* Without labels, or with as many kinds as items. */
    for (int i = 0; i < COUNT; i++)
        labels[i] = i;
    for (int k = 0; k < 2; k++) {
        assert_ok(vt_split_stratified(&split, k ? labels : NULL, COUNT, 0.25, 0, 0));
        assert_int_equal(79, split.test_count);
        assert_int_equal(236, split.train_count);
        vt_split_free(&split);
    }
    static const double bad[] = {0, 1, -0.1, NAN};
    for (int i = 0; i < 4; i++)
        assert_status(VT_EINVAL, vt_split_stratified(&split, NULL, 10, bad[i], 0, 0));
    assert_status(VT_EINVAL, vt_split_stratified(&split, NULL, 0, 0.1, 0, 0));
    assert_status(VT_EINVAL, vt_split_stratified(&split, NULL, 1, 0.1, 0, 0));
    assert_message("1 items are too few");
}

/* The published recordings. CRC-32 of all pixels in order, as Pillow 13 decodes them. */
static void test_published_sessions(void **state)
{
    (void)state;
    need_shared(root, "V4_compact_models");
    static const struct {
        const char *id;
        int64_t neurons, images, repeats;
        uint32_t crc;
    } sessions[] = {{"190923", 33, 1200, 0, 0x40b0d84fu},
                    {"190925", 36, 1200, 0, 0xcab132ffu}, /* entries in arbitrary order */
                    {"210325", 50, 640, 10, 0x038d99cau}};
    for (size_t i = 0; i < sizeof sessions / sizeof *sessions; i++) {
        vt_session *session;
        vt_session_info info;
        assert_ok(vt_session_open(&session, root, sessions[i].id));
        vt_session_get_info(session, &info);
        assert_int_equal(sessions[i].neurons, info.neurons);
        assert_int_equal(sessions[i].images, info.images);
        assert_int_equal(sessions[i].repeats, info.repeats);
        vt_image_source *images = vt_session_images(session);
        uint8_t *pixels = vt_alloc((size_t)info.images, 112 * 112 * 3);
        assert_ok(vt_image_source_read_batch(images, 0, info.images, 112, 112, pixels));
        assert_int_equal(sessions[i].crc, crc32(0, pixels, (uInt)(info.images * 112 * 112 * 3)));
        for (int64_t k = 0; k < info.images; k++) {
            char name[32];
            snprintf(name, sizeof name, "image%04d.jpg", (int)k + 1);
            assert_string_equal(name, vt_image_source_name(images, k));
        }
        free(pixels);
        vt_session_close(session);
    }
}

static void test_published_raw_only(void **state)
{
    (void)state;
    need_shared(root, "V4_compact_models/data_V4_responses");
    vt_session *session;
    vt_session_info info;
    assert_ok(vt_session_open(&session, root, "201016"));
    vt_session_get_info(session, &info);
    assert_true(info.has_raw && info.has_averaged && !info.has_images);
    assert_int_equal(82, info.neurons);
    assert_int_equal(600, info.images);
    vt_session_close(session);
    char **ids;
    int64_t count;
    assert_ok(vt_session_list(&ids, &count, root));
    assert_int_equal(9, count);
    assert_string_equal("190923", ids[0]);
    assert_string_equal("201016", ids[5]);
    vt_session_list_free(ids, count);
    assert_status(VT_ENOTFOUND, vt_session_open(&session, root, "999999"));
    assert_message("sessions there: 190923, 190925");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zip_source_order_and_names),
        cmocka_unit_test(test_folder_source),
        cmocka_unit_test(test_array_source),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_damaged_zips),
        cmocka_unit_test(test_write_and_open_published),
        cmocka_unit_test(test_averages_from_raw),
        cmocka_unit_test(test_plain_layout),
        cmocka_unit_test(test_failed_write_leaves_nothing),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_index_lists),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_stratified_split),
        cmocka_unit_test(test_published_sessions),
        cmocka_unit_test(test_published_raw_only),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
