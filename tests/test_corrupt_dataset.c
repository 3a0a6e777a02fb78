/* Corrupted copies of a data set: layout, resuming, what is refused, failing allocations. */
#include "image_tree.h"

#include <ftw.h>

#include "base/arena.h"
#include "ventral/corruption.h"

enum { IMAGES = 3, SIDE = 64, FILES = VT_CORRUPTIONS };

/* Two classes; b's image is in a folder below it. */
static vt_dataset *new_dataset(const char *folder)
{
    char path[4200];
    vt_dataset *dataset;
    vt_image image = {.height = 40, .width = 30, .pixels = calloc(40 * 30, 3)};
    void *jpeg;
    size_t size;
    assert_non_null(image.pixels);
    for (int i = 0; i < 40 * 30 * 3; i++)
        image.pixels[i] = (uint8_t)(i * 7);
    assert_ok(vt_jpeg_encode(&jpeg, &size, &image, 95));
    write_grey(folder, "set/val/a/one.png", 90);
    write_grey(folder, "set/train/a/one.png", 90);
    write_file(folder, "set/val/a/two.JPEG", jpeg, size);
    write_file(folder, "set/val/b/images/one.JPEG", jpeg, size);
    write_file(folder, "set/train/b/one.JPEG", jpeg, size);
    free(jpeg);
    vt_image_free(&image);
    snprintf(path, sizeof path, "%s/set", folder);
    assert_ok(vt_dataset_open(&dataset, path, VT_PART_VALIDATION));
    assert_int_equal(IMAGES, vt_dataset_count(dataset));
    return dataset;
}

static vt_corrupt_report corrupt(const char *folder, vt_dataset *dataset,
                                 const vt_corrupt_options *options)
{
    vt_corrupt_report report;
    assert_ok(vt_corrupt_dataset(&report, folder, dataset, options, NULL));
    return report;
}

static void assert_pixels(const vt_image *expected, const vt_image *image, int tolerance)
{
    assert_int_equal(expected->height, image->height);
    assert_int_equal(expected->width, image->width);
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        assert_in_range(image->pixels[i] + tolerance - expected->pixels[i], 0, 2 * tolerance);
}

static void test_layout(void **state)
{
    (void)state;
    char folder[4096], out[4200], part[4300];
    vt_dataset *dataset = new_dataset(new_folder(folder)), *written;
    vt_corrupt_options options = {.seed = 5, .severities = {[2] = true}};
    options.kinds[VT_CORRUPTION_FOG] = options.kinds[VT_CORRUPTION_CONTRAST] = true;
    snprintf(out, sizeof out, "%s/c", folder);
    vt_corrupt_report report = corrupt(out, dataset, &options);
    assert_int_equal(2 * IMAGES, report.written);
    assert_int_equal(0, report.kept);
    snprintf(part, sizeof part, "%s/fog/3", out);
    assert_ok(vt_dataset_open(&written, part, VT_PART_VALIDATION));
    static const char *const names[IMAGES] = {"a/one.png", "a/two.JPEG", "b/one.JPEG"};
    assert_int_equal(IMAGES, vt_dataset_count(written));
    for (int i = 0; i < IMAGES; i++) {
        vt_image image, small, expected, stored;
        assert_string_equal(names[i], vt_dataset_name(written, i));
        assert_int_equal(vt_dataset_label(dataset, i), vt_dataset_label(written, i));
        assert_ok(vt_dataset_read(dataset, i, &image));
        assert_ok(vt_image_resize(&small, &image, SIDE, SIDE));
        assert_ok(vt_corrupt(&expected, &small, VT_CORRUPTION_FOG, 3, 5, (uint32_t)i));
        assert_ok(vt_dataset_read(written, i, &stored));
        assert_pixels(&expected, &stored, strstr(names[i], ".png") ? 0 : 90);
        vt_image_free(&image);
        vt_image_free(&small);
        vt_image_free(&expected);
        vt_image_free(&stored);
    }
    vt_dataset_close(written);
    vt_dataset_close(dataset);
    remove_folder(folder);
}

/* Chroma at half resolution and Pillow's tables for quality 85: its DQT segment begins with the
 * luminance table 5 3 3 5 7 12 15 18 ... in zigzag order. */
static void test_jpeg_as_published(void **state)
{
    (void)state;
    char folder[4096], out[4200], path[4300];
    vt_dataset *dataset = new_dataset(new_folder(folder));
    vt_corrupt_options options = {.severities = {true}};
    options.kinds[VT_CORRUPTION_PIXELATE] = true;
    snprintf(out, sizeof out, "%s/c", folder);
    corrupt(out, dataset, &options);
    snprintf(path, sizeof path, "%s/pixelate/1/a/two.JPEG", out);
    void *data;
    size_t size;
    assert_ok(vt_file_read(&data, &size, path));
    static const uint8_t tables[] = {0xff, 0xdb, 0, 67, 0, 5, 3, 4, 4, 4, 3, 5};
    static const uint8_t frame[] = {0xff, 0xc0, 0, 17, 8, 0, 64, 0, 64, 3, 1, 0x22, 0, 2, 0x11, 1};
    assert_non_null(memmem(data, size, tables, sizeof tables));
    assert_non_null(memmem(data, size, frame, sizeof frame));
    free(data);
    vt_dataset_close(dataset);
    remove_folder(folder);
}

static int files_left;

static int count_file(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)at;
    if (type == FTW_F && strstr(path, ".tmp")) fail_msg("%s was left there", path);
    files_left += type == FTW_F;
    return 0;
}

/* Files below a folder, none of which may be half-written. */
static int count_files(const char *folder)
{
    files_left = 0;
    assert_int_equal(0, nftw(folder, count_file, 8, FTW_PHYS));
    return files_left;
}

static bool stop_at_once(void *context, int64_t done, int64_t total, const char *line)
{
    (void)line;
    assert_int_equal(total, FILES * IMAGES);
    assert_true(done > 0 && done <= total);
    ++*(int *)context;
    return false;
}

static void test_goes_on(void **state)
{
    (void)state;
    char folder[4096], out[4200], path[4300];
    vt_dataset *dataset = new_dataset(new_folder(folder));
    vt_corrupt_options all = {.seed = 1, .severities = {[1] = true}}, one = all;
    one.limit = 1;
    vt_corrupt_report report = {.kept = -1};
    snprintf(out, sizeof out, "%s/c", folder);
    int calls = 0;
    vt_progress stop = {stop_at_once, &calls};
    report = corrupt(out, dataset, &one);
    assert_int_equal(FILES, report.written);
    assert_int_equal(FILES + 1, count_files(out)); /* and the note */
    assert_status(VT_EINTERRUPTED, vt_corrupt_dataset(&report, out, dataset, &all, &stop));
    assert_int_equal(1, calls);
    report = corrupt(out, dataset, &all);
    assert_int_equal(FILES * IMAGES, report.kept + report.written);
    assert_true(report.kept >= FILES);
    snprintf(path, sizeof path, "%s/snow/2/a/one.png", out);
    void *before, *after;
    size_t size, again;
    assert_ok(vt_file_read(&before, &size, path));
    assert_int_equal(0, unlink(path));
    report = corrupt(out, dataset, &all);
    assert_int_equal(1, report.written);
    assert_ok(vt_file_read(&after, &again, path));
    assert_int_equal(size, again);
    assert_memory_equal(before, after, size);
    assert_int_equal(FILES * IMAGES + 1, count_files(out));
    free(before);
    free(after);
    vt_dataset_close(dataset);
    remove_folder(folder);
}

static void assert_refused(vt_status expected, const char *folder, vt_dataset *dataset,
                           const vt_corrupt_options *options, const char *message)
{
    vt_corrupt_report report = {.kept = -7};
    assert_status(expected, vt_corrupt_dataset(&report, folder, dataset, options, NULL));
    assert_int_equal(-7, report.kept);
    assert_message(message);
}

static void test_refusals(void **state)
{
    (void)state;
    char folder[4096], out[4200], set[4200];
    vt_corrupt_options options = {.seed = 1, .limit = 1, .severities = {true}};
    options.kinds[VT_CORRUPTION_CONTRAST] = true;
    vt_dataset *dataset = new_dataset(new_folder(folder));
    assert_refused(VT_EINVAL, folder, dataset, &options, "not empty");
    assert_refused(VT_EIO, "/dev/null/c", dataset, &options, "/dev/null/c");
    snprintf(out, sizeof out, "%s/c", folder);
    corrupt(out, dataset, &options);
    options.seed = 2;
    assert_refused(VT_EINVAL, out, dataset, &options, "another seed");
    options.limit = -1;
    assert_refused(VT_EINVAL, out, dataset, &options, "-1");
    options = (vt_corrupt_options){.seed = 1};
    char *path = calloc(5001, 1);
    assert_non_null(path);
    assert_refused(VT_EINVAL, memset(path, 'x', 5000), dataset, &options, "too long");
    free(path);
    vt_dataset_close(dataset);
    snprintf(set, sizeof set, "%s/set", folder);
    write_grey(set, "val/a/more/one.png", 3);
    assert_ok(vt_dataset_open(&dataset, set, VT_PART_VALIDATION));
    assert_refused(VT_EINVAL, out, dataset, &options, "the same name");
    assert_message("val/a/more/one.png");
    vt_dataset_close(dataset);
    char twin[4300];
    snprintf(twin, sizeof twin, "%s/val/a/more/one.png", set);
    assert_int_equal(0, unlink(twin));
    write_text(set, "val/a/zero.png", "no image");
    snprintf(out, sizeof out, "%s/d", folder);
    assert_ok(vt_dataset_open(&dataset, set, VT_PART_VALIDATION));
    assert_refused(VT_EFORMAT, out, dataset, &options, "zero.png");
    vt_dataset_close(dataset);
    remove_folder(folder);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    char folder[4096], out[4200];
    vt_dataset *dataset = new_dataset(new_folder(folder));
    vt_corrupt_options options = {.limit = 1, .severities = {true}};
    options.kinds[VT_CORRUPTION_SNOW] = options.kinds[VT_CORRUPTION_PIXELATE] = true;
    vt_status status = VT_ENOMEM;
    for (int successes = 0; status != VT_OK; successes++) {
        vt_corrupt_report report;
        snprintf(out, sizeof out, "%s/%d", folder, successes);
        vt_alloc_fail_after(successes);
        status = vt_corrupt_dataset(&report, out, dataset, &options, NULL);
        vt_alloc_fail_after(-1);
        if (status != VT_OK) assert_status(VT_ENOMEM, status);
        if (access(out, F_OK) == 0) count_files(out);
        assert_true(successes < 1000);
    }
    vt_dataset_close(dataset);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_jpeg_as_published),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests_name("corrupt_dataset", tests, NULL, NULL);
}
