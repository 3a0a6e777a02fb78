/* Data sets on disk: every layout in folders and zips, the order of classes and images, what is
 * refused and how. */
#include "image_tree.h"

#include <unistd.h>

#include "base/arena.h"
#include "ventral/dataset.h"

static vt_dataset *opened(const char *path, vt_dataset_part part)
{
    vt_dataset *dataset;
    assert_ok(vt_dataset_open(&dataset, path, part));
    return dataset;
}

static void assert_refused(vt_status status, const char *path, vt_dataset_part part,
                           const char *message)
{
    vt_dataset *dataset = NULL;
    assert_status(status, vt_dataset_open(&dataset, path, part));
    assert_null(dataset);
    assert_message(message);
}

/* Image `index` is `name` of class `label` and shows the grey `level`. */
static void assert_image(vt_dataset *dataset, int64_t index, const char *name, int label, int level)
{
    vt_image image;
    assert_string_equal(name, vt_dataset_name(dataset, index));
    assert_int_equal(label, vt_dataset_label(dataset, index));
    assert_ok(vt_dataset_read(dataset, index, &image));
    assert_int_equal(4, image.height);
    assert_int_equal(level, image.pixels[0]);
    vt_image_free(&image);
}

static char *joined(char path[4096], const char *root, const char *name)
{
    if (snprintf(path, 4096, "%s/%s", root, name) >= 4096) fail_msg("long path");
    return path;
}

static void zip_grey(vt_zip_writer *zip, const char *name, int level)
{
    size_t size;
    void *data = grey_png(&size, level);
    assert_ok(vt_zip_writer_add(zip, name, data, size, false));
    free(data);
}

/* ---- ImageFolder ---- */

static void test_folder_of_classes(void **state)
{
    (void)state;
    char root[4096];
    new_folder(root);
    write_grey(root, "b/2.png", 1);
    write_grey(root, "b/10.PNG", 2);
    write_grey(root, "a/x.png", 3);
    write_grey(root, "a-b/y.png", 4);     /* '-' sorts before '/', the class a before a-b */
    write_grey(root, "B/z.png", 5);       /* capitals come first */
    write_grey(root, "a/z/below.png", 6); /* folders within a class belong to it */
    write_grey(root, "a/.hidden.png", 7);
    write_grey(root, "__MACOSX/a/x.png", 8);
    write_grey(root, "direct.png", 9);
    write_text(root, "a/notes.txt", "no image");
    for (int part = VT_PART_TRAIN; part <= VT_PART_VALIDATION; part++) {
        vt_dataset *dataset = opened(root, part);
        assert_int_equal(4, vt_dataset_classes(dataset));
        assert_string_equal("B", vt_dataset_class_name(dataset, 0));
        assert_string_equal("a", vt_dataset_class_name(dataset, 1));
        assert_string_equal("a-b", vt_dataset_class_name(dataset, 2));
        assert_string_equal("b", vt_dataset_class_name(dataset, 3));
        assert_null(vt_dataset_class_name(dataset, 4));
        assert_null(vt_dataset_class_name(dataset, -1));
        assert_int_equal(6, vt_dataset_count(dataset));
        assert_image(dataset, 0, "B/z.png", 0, 5);
        assert_image(dataset, 1, "a/x.png", 1, 3);
        assert_image(dataset, 2, "a/z/below.png", 1, 6);
        assert_image(dataset, 3, "a-b/y.png", 2, 4);
        assert_image(dataset, 4, "b/10.PNG", 3, 2);
        assert_image(dataset, 5, "b/2.png", 3, 1);
        vt_image image;
        assert_null(vt_dataset_name(dataset, 6));
        assert_int_equal(-1, vt_dataset_label(dataset, -1));
        assert_status(VT_EINVAL, vt_dataset_read(dataset, 6, &image));
        vt_dataset_close(dataset);
    }
    remove_folder(root);
}

static void test_strange_names(void **state)
{
    (void)state;
    char root[4096];
    new_folder(root);
    write_grey(root, "new\nline/ sp ace%s.png", 1);
    write_grey(root, "\xff\xfe/na\xefve'\"$(x).png", 2);
    write_grey(root, "\xc3\xa4/..png.png", 3); /* a dot file */
    write_grey(root, "\xc3\xa4/a..png", 4);
    vt_dataset *dataset = opened(root, VT_PART_TRAIN);
    assert_int_equal(3, vt_dataset_count(dataset));
    assert_image(dataset, 0, "new\nline/ sp ace%s.png", 0, 1);
    assert_image(dataset, 1, "\xc3\xa4/a..png", 1, 4);
    assert_image(dataset, 2, "\xff\xfe/na\xefve'\"$(x).png", 2, 2);
    vt_dataset_close(dataset);
    remove_folder(root);
}

static void make_parts(char root[4096])
{
    new_folder(root);
    write_grey(root, "train/n02/a.png", 1);
    write_grey(root, "train/n01/b.png", 2);
    write_grey(root, "train/n01/c.png", 3);
    write_grey(root, "val/n02/d.png", 4);
    write_grey(root, "val/n01/e.png", 5);
}

static void test_parts(void **state)
{
    (void)state;
    char root[4096];
    make_parts(root);
    vt_dataset *dataset = opened(root, VT_PART_TRAIN);
    assert_int_equal(3, vt_dataset_count(dataset));
    assert_image(dataset, 0, "train/n01/b.png", 0, 2);
    assert_image(dataset, 2, "train/n02/a.png", 1, 1);
    vt_dataset_close(dataset);
    dataset = opened(root, VT_PART_VALIDATION);
    assert_int_equal(2, vt_dataset_count(dataset));
    assert_image(dataset, 0, "val/n01/e.png", 0, 5);
    assert_image(dataset, 1, "val/n02/d.png", 1, 4);
    vt_dataset_close(dataset);
    remove_folder(root);
}

static void test_refuses_parts_that_differ(void **state)
{
    (void)state;
    char root[4096], path[4096], other[4096];
    make_parts(root);
    write_grey(root, "val/n03/f.png", 6);
    assert_refused(VT_EFORMAT, root, VT_PART_VALIDATION,
                   "class 'n03' is in val/ but not in train/");
    write_grey(root, "train/n03/f.png", 6);
    write_grey(root, "train/n04/f.png", 6);
    assert_refused(VT_EFORMAT, root, VT_PART_VALIDATION,
                   "class 'n04' is in train/ but not in val/");
    mkdir(joined(path, root, "val/n04"), 0777);
    assert_refused(VT_EFORMAT, root, VT_PART_VALIDATION, "no images of class 'n04' in val/");
    mkdir(joined(path, root, "train/n00"), 0777);
    assert_refused(VT_EFORMAT, root, VT_PART_TRAIN, "no images of class 'n00' in train/");
    remove_folder(joined(path, root, "val"));
    assert_refused(VT_ENOTFOUND, root, VT_PART_VALIDATION, "no folder val/");
    write_grey(root, "val/flat.png", 1);
    assert_refused(VT_EFORMAT, root, VT_PART_VALIDATION, "move its images into val/CLASS/");
    assert_int_equal(0, rename(joined(path, root, "train"), joined(other, root, "training")));
    assert_refused(VT_ENOTFOUND, root, VT_PART_TRAIN, "no folder train/");
    remove_folder(root);
}

static void test_refuses_what_is_no_data_set(void **state)
{
    (void)state;
    char root[4096], path[4096];
    new_folder(root);
    assert_refused(VT_EFORMAT, root, VT_PART_TRAIN, "no class folders");
    assert_refused(VT_ENOTFOUND, joined(path, root, "absent"), VT_PART_TRAIN, "absent");
    write_text(root, "text.zip", "not a zip");
    assert_refused(VT_EFORMAT, joined(path, root, "text.zip"), VT_PART_TRAIN, "text.zip");
    write_text(root, "empty.zip", "");
    assert_refused(VT_EFORMAT, joined(path, root, "empty.zip"), VT_PART_TRAIN, "empty");
    assert_refused(VT_EINVAL, root, (vt_dataset_part)7, "part 7");
    write_grey(root, "a/1.png", 1);
    assert_int_equal(0, symlink("..", joined(path, root, "a/loop")));
    assert_refused(VT_EFORMAT, root, VT_PART_TRAIN, "does a link lead back?");
    remove_folder(root);
}

static void test_damaged_images_fail_when_read(void **state)
{
    (void)state;
    char root[4096], path[4096];
    vt_image image;
    new_folder(root);
    write_text(root, "a/1.jpg", "\xff\xd8\xff no JPEG");
    write_text(root, "a/2.jpg", "");
    assert_int_equal(0, symlink("nowhere", joined(path, root, "a/3.jpg")));
    vt_dataset *dataset = opened(root, VT_PART_TRAIN);
    assert_int_equal(3, vt_dataset_count(dataset));
    assert_status(VT_EFORMAT, vt_dataset_read(dataset, 0, &image));
    assert_message("a/1.jpg");
    assert_status(VT_EFORMAT, vt_dataset_read(dataset, 1, &image));
    assert_status(VT_ENOTFOUND, vt_dataset_read(dataset, 2, &image));
    vt_dataset_close(dataset);
    remove_folder(root);
}

/* ---- Tiny-ImageNet ---- */

static const char annotations[] =
    "val_0.png\tn02\t0\t0\t9\t9\r\n\nval_10.png\tn01\nval_1.png\tn02\t1";

static void make_tiny(char root[4096])
{
    new_folder(root);
    write_text(root, "wnids.txt", "n02\r\nn01\n");
    write_text(root, "words.txt", "n01\tgoldfish\n");
    write_grey(root, "train/n02/images/n02_0.png", 1);
    write_grey(root, "train/n01/images/n01_0.png", 2);
    write_text(root, "train/n01/n01_boxes.txt", "n01_0.png\t0\t0\t9\t9\n");
    write_text(root, "val/val_annotations.txt", annotations);
    write_grey(root, "val/images/val_0.png", 3);
    write_grey(root, "val/images/val_1.png", 4);
    write_grey(root, "val/images/val_10.png", 5);
}

static void check_tiny(const char *path)
{
    vt_dataset *dataset = opened(path, VT_PART_TRAIN);
    assert_int_equal(2, vt_dataset_classes(dataset));
    assert_int_equal(2, vt_dataset_count(dataset));
    assert_image(dataset, 0, "train/n01/images/n01_0.png", 0, 2);
    assert_image(dataset, 1, "train/n02/images/n02_0.png", 1, 1);
    vt_dataset_close(dataset);
    dataset = opened(path, VT_PART_VALIDATION);
    assert_int_equal(3, vt_dataset_count(dataset));
    assert_image(dataset, 0, "val/images/val_0.png", 1, 3);
    assert_image(dataset, 1, "val/images/val_1.png", 1, 4);
    assert_image(dataset, 2, "val/images/val_10.png", 0, 5);
    vt_dataset_close(dataset);
}

static void test_tiny_imagenet_folder(void **state)
{
    (void)state;
    char root[4096];
    make_tiny(root);
    check_tiny(root);
    remove_folder(root);
}

static void zip_text(vt_zip_writer *zip, const char *prefix, const char *name, const char *text)
{
    char entry[256];
    snprintf(entry, sizeof entry, "%s%s", prefix, name);
    assert_ok(vt_zip_writer_add(zip, entry, text, strlen(text), true));
}

static void make_tiny_zip(const char *path, const char *prefix)
{
    static const struct {
        const char *name;
        int level;
    } images[] = {{"train/n02/images/n02_0.png", 1}, {"train/n01/images/n01_0.png", 2},
                  {"val/images/val_10.png", 5},      {"val/images/val_1.png", 4},
                  {"val/images/val_0.png", 3},       {"__MACOSX/val/images/val_0.png", 6},
                  {"train/n01/images/._x.png", 7}};
    vt_zip_writer *zip;
    char entry[256];
    assert_ok(vt_zip_writer_new(&zip, path));
    zip_text(zip, "__MACOSX/", ".x", "macOS's own");
    zip_text(zip, prefix, "wnids.txt", "n01\nn02\n");
    zip_text(zip, prefix, "val/val_annotations.txt", annotations);
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        snprintf(entry, sizeof entry, "%s%s", prefix, images[i].name);
        zip_grey(zip, entry, images[i].level);
    }
    assert_ok(vt_zip_writer_finish(zip));
}

static void test_tiny_imagenet_zip(void **state)
{
    (void)state;
    char root[4096], path[4096];
    new_folder(root);
    make_tiny_zip(joined(path, root, "plain.zip"), "");
    check_tiny(path);
    make_tiny_zip(joined(path, root, "inner.zip"), "tiny-imagenet-200/");
    check_tiny(path);
    remove_folder(root);
}

static void test_zip_of_classes(void **state)
{
    (void)state;
    char root[4096], path[4096];
    vt_zip_writer *zip;
    new_folder(root);
    assert_ok(vt_zip_writer_new(&zip, joined(path, root, "classes.zip")));
    zip_grey(zip, "only/2.png", 2);
    zip_grey(zip, "only/1.png", 1);
    assert_ok(vt_zip_writer_finish(zip));
    vt_dataset *dataset = opened(path, VT_PART_TRAIN);
    assert_int_equal(1, vt_dataset_classes(dataset));
    assert_image(dataset, 0, "only/1.png", 0, 1);
    assert_image(dataset, 1, "only/2.png", 0, 2);
    vt_dataset_close(dataset);
    remove_folder(root);
}

static void test_truncated_zip(void **state)
{
    (void)state;
    char root[4096], path[4096], cut[4096];
    void *data;
    size_t size;
    new_folder(root);
    make_tiny_zip(joined(path, root, "whole.zip"), "");
    assert_ok(vt_file_read(&data, &size, path));
    for (size_t kept = 0; kept < size; kept += 97) {
        vt_dataset *dataset;
        write_file(root, "cut.zip", data, kept);
        assert_true(vt_dataset_open(&dataset, joined(cut, root, "cut.zip"), VT_PART_TRAIN) !=
                    VT_OK);
        assert_message("cut.zip");
    }
    free(data);
    remove_folder(root);
}

static void test_refuses_wrong_annotations(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"val_0.png\tn02\nval_1.png\tn09\n", "line 2: class 'n09' is not in the training part"},
        {"val_0.png\tn02\nval_1.png\tn01\nval_10.png\n", "line 3 is not FILE <tab> CLASS"},
        {"val_0.png\tn02\n\tn01\n", "line 2 is not FILE <tab> CLASS"},
        {"../x.png\tn02\n", "line 1 is not FILE <tab> CLASS"},
        {"val_0.png\tn02\nval_0.png\tn01\n", "'val_0.png' is named twice"},
        {"val_0.png\tn02\nval_1.png\tn01\n", "val/images/val_10.png is not in val/val_annotations"},
        {"val_0.png\tn02\nval_1.png\tn01\nval_10.png\tn01\nval_2.png\tn01\n",
         "val/images/val_2.png of val/val_annotations.txt is missing"},
        {"val_0.png\tn02\nval_1.png\tn02\nval_10.png\tn02\n", "no images of class 'n01' in val/"},
        {"\n\r\n", "no images in it"},
    };
    char root[4096];
    make_tiny(root);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(root, "val/val_annotations.txt", cases[i].text);
        assert_refused(VT_EFORMAT, root, VT_PART_VALIDATION, cases[i].message);
        assert_message(root);
    }
    write_file(root, "val/val_annotations.txt", "val_0.png\tn0\0002\n", 15);
    assert_refused(VT_EFORMAT, root, VT_PART_VALIDATION, "line 1 is not FILE <tab> CLASS");
    remove_folder(root);
}

static void test_refuses_wrong_wnids(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"n01\nn02\nn03\n", "class 'n03' is in wnids.txt but not in train/"},
        {"n01\n", "class 'n02' is in train/ but not in wnids.txt"},
        {"n01\nn0/2\n", "line 2 is no name of a class"},
        {"", "no classes in it"},
    };
    char root[4096];
    make_tiny(root);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(root, "wnids.txt", cases[i].text);
        assert_refused(VT_EFORMAT, root, VT_PART_TRAIN, cases[i].message);
    }
    remove_folder(root);
}

static void test_tiny_imagenet_itself(void **state)
{
    (void)state;
    need_shared(path, "tiny-imagenet-200-subset.zip");
    vt_dataset *train = opened(path, VT_PART_TRAIN);
    vt_dataset *validation = opened(path, VT_PART_VALIDATION);
    assert_int_equal(200, vt_dataset_classes(train));
    assert_int_equal(200, vt_dataset_classes(validation));
    assert_string_equal("n01443537", vt_dataset_class_name(train, 0));
    assert_int_equal(10000, vt_dataset_count(validation));
    /* The first lines of val_annotations.txt. */
    assert_string_equal("val/images/val_0.JPEG", vt_dataset_name(validation, 0));
    assert_string_equal("n03444034",
                        vt_dataset_class_name(validation, vt_dataset_label(validation, 0)));
    assert_string_equal("val/images/val_1.JPEG", vt_dataset_name(validation, 1));
    assert_string_equal("n04067472",
                        vt_dataset_class_name(validation, vt_dataset_label(validation, 1)));
    int64_t count = vt_dataset_count(train);
    for (int64_t i = 0; i < count; i++) {
        const char *name = vt_dataset_class_name(train, vt_dataset_label(train, i));
        if (strncmp(vt_dataset_name(train, i) + strlen("train/"), name, strlen(name)) != 0)
            fail_msg("%s is labelled %s", vt_dataset_name(train, i), name);
    }
    for (int64_t i = 0; i < count; i += 997) {
        vt_image image;
        assert_ok(vt_dataset_read(train, i, &image));
        assert_int_equal(64, image.height);
        assert_int_equal(64, image.width);
        vt_image_free(&image);
    }
    vt_dataset_close(train);
    vt_dataset_close(validation);
}

static void test_survives_lack_of_memory(void **state)
{
    (void)state;
    char root[4096], path[4096];
    make_tiny(root);
    make_tiny_zip(joined(path, root, "tiny.zip"), "tiny/");
    const char *const paths[] = {root, path};
    for (int i = 0; i < 2; i++) {
        vt_status status = VT_ENOMEM;
        int64_t n = 0;
        for (; status != VT_OK && n < 1000; n++) {
            vt_dataset *dataset = NULL;
            vt_image image;
            vt_alloc_fail_after(n);
            status = vt_dataset_open(&dataset, paths[i], VT_PART_VALIDATION);
            if (status == VT_OK && (status = vt_dataset_read(dataset, 0, &image)) == VT_OK)
                vt_image_free(&image);
            vt_alloc_fail_after(-1);
            vt_dataset_close(dataset);
            assert_true(status == VT_OK || status == VT_ENOMEM);
        }
        assert_ok(status);
        assert_true(n > 10);
    }
    remove_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder_of_classes),
        cmocka_unit_test(test_strange_names),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_refuses_parts_that_differ),
        cmocka_unit_test(test_refuses_what_is_no_data_set),
        cmocka_unit_test(test_damaged_images_fail_when_read),
        cmocka_unit_test(test_tiny_imagenet_folder),
        cmocka_unit_test(test_tiny_imagenet_zip),
        cmocka_unit_test(test_zip_of_classes),
        cmocka_unit_test(test_truncated_zip),
        cmocka_unit_test(test_refuses_wrong_annotations),
        cmocka_unit_test(test_refuses_wrong_wnids),
        cmocka_unit_test(test_tiny_imagenet_itself),
        cmocka_unit_test(test_survives_lack_of_memory),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
