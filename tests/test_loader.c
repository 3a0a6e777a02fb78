/* The loader: order, labels and pixels of batches whatever the threads and the first batch, damaged
 * images, errors handed over, stopping early. */
#include "image_tree.h"

#include <unistd.h>

#include "base/arena.h"
#include "ventral/dataset.h"

enum { CLASSES = 3, IMAGES = 30, SIDE = 2, VALUES = SIDE * SIDE * 3 };

static const vt_transform plain = {.size = SIDE};
/* Every random step: equal pixels mean equal random numbers. */
static const vt_transform random_steps = {
    .random_resized_crop = 8, .min_area = 0.1, .pad_crop = 2, .size = SIDE, .flip = true};

struct fixture {
    char root[4096];
    vt_dataset *dataset;
};

/* Image i is of grey level 8 i. */
static void make_images(struct fixture *f)
{
    new_folder(f->root);
    for (int i = 0; i < IMAGES; i++) {
        char name[64];
        snprintf(name, sizeof name, "c%d/%02d.png", i * CLASSES / IMAGES, i);
        write_grey(f->root, name, 8 * i);
    }
}

static void open_images(struct fixture *f)
{
    assert_ok(vt_dataset_open(&f->dataset, f->root, VT_PART_TRAIN));
    assert_int_equal(IMAGES, vt_dataset_count(f->dataset));
}

static void finish(struct fixture *f)
{
    vt_dataset_close(f->dataset);
    remove_folder(f->root);
}

static void damage(const struct fixture *f, int index)
{
    char name[64];
    snprintf(name, sizeof name, "c%d/%02d.png", index * CLASSES / IMAGES, index);
    write_text(f->root, name, "\x89PNG\r\n\x1a\n and no more");
}

static vt_loader *new_loader(const struct fixture *f, vt_loader_options options)
{
    vt_loader *loader;
    options.dataset = f->dataset;
    if (options.batch == 0) options.batch = 4;
    if (vt_transform_size(&options.transform) == 0) options.transform = plain;
    assert_ok(vt_loader_new(&loader, &options));
    return loader;
}

/* All that an epoch delivers, from batch `first` on. */
struct epoch {
    int64_t count, batches;
    float images[IMAGES * VALUES], labels[IMAGES];
    int64_t indices[IMAGES];
};

static void read_epoch(struct epoch *out, vt_loader *loader, uint32_t number, int64_t first)
{
    vt_loader_batch batch;
    *out = (struct epoch){0};
    assert_ok(vt_loader_start(loader, number, first));
    for (;;) {
        assert_ok(vt_loader_next(loader, &batch));
        if (batch.count == 0) break;
        assert_true(out->count + batch.count <= IMAGES);
        memcpy(out->images + out->count * VALUES, batch.images,
               (size_t)batch.count * VALUES * sizeof(float));
        memcpy(out->labels + out->count, batch.labels, (size_t)batch.count * sizeof(float));
        memcpy(out->indices + out->count, batch.indices, (size_t)batch.count * sizeof(int64_t));
        out->count += batch.count;
        out->batches++;
    }
    assert_ok(vt_loader_next(loader, &batch)); /* the end stays the end */
    assert_int_equal(0, batch.count);
}

static void assert_equal_epochs(const struct epoch *a, const struct epoch *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->indices, b->indices, sizeof a->indices);
    assert_memory_equal(a->labels, b->labels, sizeof a->labels);
    assert_memory_equal(a->images, b->images, sizeof a->images);
}

/* Each place holds the image that its index names, with that image's label. */
static void assert_places(const struct epoch *e)
{
    for (int64_t i = 0; i < e->count; i++) {
        assert_in_range(e->indices[i], 0, IMAGES - 1);
        assert_close(e->labels[i], (double)(e->indices[i] * CLASSES / IMAGES), 0);
        for (int v = 0; v < VALUES; v++)
            assert_close(e->images[i * VALUES + v], (double)e->indices[i] * 8 / 127.5 - 1, 1e-6);
    }
}

static void test_in_order(void **state)
{
    (void)state;
    struct fixture f;
    struct epoch epoch;
    make_images(&f);
    open_images(&f);
    vt_loader *loader = new_loader(&f, (vt_loader_options){.threads = 2});
    assert_int_equal(8, vt_loader_batches(loader));
    read_epoch(&epoch, loader, 0, 0);
    assert_int_equal(IMAGES, epoch.count); /* the last batch has two */
    assert_int_equal(8, epoch.batches);
    for (int i = 0; i < IMAGES; i++)
        assert_int_equal(i, epoch.indices[i]);
    assert_places(&epoch);
    assert_int_equal(0, vt_loader_skipped(loader, NULL));
    vt_loader_free(loader);

    loader = new_loader(&f, (vt_loader_options){.drop_last = true});
    assert_int_equal(7, vt_loader_batches(loader));
    read_epoch(&epoch, loader, 0, 0);
    assert_int_equal(28, epoch.count);
    vt_loader_free(loader);
    finish(&f);
}

static void test_shuffles(void **state)
{
    (void)state;
    struct fixture f;
    struct epoch first, second, other_seed;
    int seen[IMAGES] = {0};
    make_images(&f);
    open_images(&f);
    vt_loader *loader = new_loader(&f, (vt_loader_options){.shuffle = true, .seed = 5});
    read_epoch(&first, loader, 0, 0);
    read_epoch(&second, loader, 1, 0);
    vt_loader_free(loader);
    loader = new_loader(&f, (vt_loader_options){.shuffle = true, .seed = 6});
    read_epoch(&other_seed, loader, 0, 0);
    vt_loader_free(loader);
    assert_places(&first);
    for (int i = 0; i < IMAGES; i++)
        seen[first.indices[i]]++;
    for (int i = 0; i < IMAGES; i++)
        assert_int_equal(1, seen[i]);
    assert_memory_not_equal(first.indices, second.indices, sizeof first.indices);
    assert_memory_not_equal(first.indices, other_seed.indices, sizeof first.indices);
    finish(&f);
}

static void test_same_whatever_the_threads(void **state)
{
    (void)state;
    struct fixture f;
    struct epoch expected, got;
    make_images(&f);
    damage(&f, 3);
    damage(&f, 4);
    open_images(&f);
    for (int threads = 1; threads <= 7; threads++) {
        vt_loader *loader = new_loader(
            &f, (vt_loader_options){
                    .shuffle = true, .seed = 5, .threads = threads, .transform = random_steps});
        for (uint32_t epoch = 0; epoch < 3; epoch++)
            read_epoch(&got, loader, epoch, 0);
        if (threads == 1) expected = got;
        assert_equal_epochs(&expected, &got);
        assert_int_equal(2, vt_loader_skipped(loader, NULL));
        vt_loader_free(loader);
    }
    finish(&f);
}

static void test_resumes_at_a_batch(void **state)
{
    (void)state;
    struct fixture f;
    struct epoch whole, rest;
    make_images(&f);
    open_images(&f);
    vt_loader *loader =
        new_loader(&f, (vt_loader_options){.shuffle = true, .seed = 5, .transform = random_steps});
    read_epoch(&whole, loader, 2, 0);
    for (int64_t first = 0; first <= 8; first++) {
        read_epoch(&rest, loader, 2, first);
        int64_t passed = first * 4 < IMAGES ? first * 4 : IMAGES;
        size_t count = (size_t)(IMAGES - passed);
        assert_int_equal(count, rest.count);
        assert_memory_equal(whole.indices + passed, rest.indices, count * sizeof(int64_t));
        assert_memory_equal(whole.images + passed * VALUES, rest.images,
                            count * VALUES * sizeof(float));
    }
    assert_status(VT_EINVAL, vt_loader_start(loader, 2, 9));
    assert_status(VT_EINVAL, vt_loader_start(loader, 2, -1));
    vt_loader_free(loader);
    finish(&f);
}

static void test_a_batch_stays_until_the_next_call(void **state)
{
    (void)state;
    struct fixture f;
    vt_loader_batch batch;
    float images[4 * VALUES];
    int64_t indices[4];
    make_images(&f);
    open_images(&f);
    vt_loader *loader = new_loader(&f, (vt_loader_options){.threads = 3});
    assert_ok(vt_loader_start(loader, 0, 0));
    for (int i = 0; i < 5; i++) {
        assert_ok(vt_loader_next(loader, &batch));
        memcpy(images, batch.images, sizeof images);
        memcpy(indices, batch.indices, sizeof indices);
        usleep(10000); /* the ring fills meanwhile */
        assert_memory_equal(images, batch.images, sizeof images);
        assert_memory_equal(indices, batch.indices, sizeof indices);
    }
    vt_loader_free(loader);
    finish(&f);
}

/* ---- damage ---- */

static void test_replaces_damaged_images(void **state)
{
    (void)state;
    struct fixture f;
    struct epoch epoch;
    const char *error = "";
    make_images(&f);
    damage(&f, 12);
    damage(&f, 13);
    damage(&f, 29); /* the last: the first follows */
    open_images(&f);
    for (int threads = 1; threads < 4; threads++) {
        vt_loader *loader = new_loader(&f, (vt_loader_options){.threads = threads});
        for (int again = 0; again < 2; again++) {
            read_epoch(&epoch, loader, 0, 0);
            for (int i = 0; i < IMAGES; i++)
                assert_int_equal(i == 29 ? 0 : i == 12 ? 14 : i == 13 ? 14 : i, epoch.indices[i]);
            assert_places(&epoch);
            assert_int_equal(3, vt_loader_skipped(loader, &error));
            assert_non_null(strstr(error, "c1/12.png"));
        }
        assert_ok(vt_loader_start(loader, 0, 0));
        assert_int_equal(0, vt_loader_skipped(loader, &error));
        assert_null(error);
        vt_loader_free(loader);
    }
    finish(&f);
}

static void test_refuses_much_damage(void **state)
{
    (void)state;
    struct fixture f;
    vt_loader_batch batch = {.count = -7};
    make_images(&f);
    for (int i = 5; i < 9; i++)
        damage(&f, i);
    open_images(&f);
    for (int threads = 1; threads < 4; threads++) {
        vt_loader *loader = new_loader(&f, (vt_loader_options){.threads = threads});
        assert_ok(vt_loader_start(loader, 0, 0));
        assert_ok(vt_loader_next(loader, &batch));
        assert_ok(vt_loader_next(loader, &batch));
        assert_int_equal(3, vt_loader_skipped(loader, NULL));
        batch.count = -7;
        for (int again = 0; again < 2; again++) {
            assert_status(VT_EFORMAT, vt_loader_next(loader, &batch));
            assert_message("4 of 30 images cannot be decoded");
            assert_message("c0/05.png");
            assert_int_equal(-7, batch.count);
        }
        vt_loader_free(loader);
    }
    finish(&f);
}

static void test_refuses_when_nothing_decodes(void **state)
{
    (void)state;
    struct fixture f;
    vt_loader_batch batch;
    make_images(&f);
    for (int i = 0; i < IMAGES; i++)
        damage(&f, i);
    open_images(&f);
    vt_loader *loader = new_loader(&f, (vt_loader_options){.threads = 3});
    assert_ok(vt_loader_start(loader, 0, 0));
    assert_status(VT_EFORMAT, vt_loader_next(loader, &batch));
    assert_message("none of the images can be decoded");
    assert_message("c0/00.png");
    vt_loader_free(loader);
    finish(&f);
}

/* A file that is gone is not damage: the error comes at its batch, and every time. */
static void test_hands_over_errors(void **state)
{
    (void)state;
    struct fixture f;
    struct epoch epoch;
    vt_loader_batch batch;
    char path[4200];
    make_images(&f);
    open_images(&f);
    snprintf(path, sizeof path, "%s/c0/09.png", f.root);
    assert_int_equal(0, unlink(path));
    for (int threads = 1; threads < 4; threads++) {
        vt_loader *loader = new_loader(&f, (vt_loader_options){.threads = threads});
        assert_ok(vt_loader_start(loader, 0, 0));
        assert_ok(vt_loader_next(loader, &batch));
        assert_ok(vt_loader_next(loader, &batch));
        assert_int_equal(4, batch.indices[0]);
        for (int again = 0; again < 2; again++) {
            assert_status(VT_ENOTFOUND, vt_loader_next(loader, &batch));
            assert_message("c0/09.png");
        }
        read_epoch(&epoch, loader, 0, 3); /* what lies behind it can be had */
        assert_int_equal(18, epoch.count);
        vt_loader_free(loader);
    }
    finish(&f);
}

/* ---- life ---- */

static void test_stops_in_any_state(void **state)
{
    (void)state;
    struct fixture f;
    vt_loader_batch batch;
    make_images(&f);
    open_images(&f);
    vt_loader_free(NULL);
    for (int taken = -2; taken <= 9; taken++) {
        vt_loader *loader = new_loader(&f, (vt_loader_options){.threads = 3});
        if (taken >= -1) assert_ok(vt_loader_start(loader, 0, 0));
        for (int i = 0; i < taken; i++)
            assert_ok(vt_loader_next(loader, &batch));
        vt_loader_free(loader);
    }
    finish(&f);
}

static void test_starts_again_at_any_time(void **state)
{
    (void)state;
    struct fixture f;
    struct epoch expected, got;
    vt_loader_batch batch;
    make_images(&f);
    open_images(&f);
    vt_loader *loader = new_loader(
        &f, (vt_loader_options){.shuffle = true, .threads = 3, .transform = random_steps});
    read_epoch(&expected, loader, 1, 0);
    for (int taken = 0; taken < 40; taken++) {
        assert_ok(vt_loader_start(loader, 2, 0));
        for (int i = 0; i < taken % 5; i++)
            assert_ok(vt_loader_next(loader, &batch));
    }
    read_epoch(&got, loader, 1, 0);
    assert_equal_epochs(&expected, &got);
    vt_loader_free(loader);
    finish(&f);
}

static void test_refuses_options(void **state)
{
    (void)state;
    struct fixture f;
    vt_loader *loader = NULL;
    vt_loader_batch batch;
    make_images(&f);
    open_images(&f);
    const vt_loader_options wrong[] = {
        {.dataset = NULL, .transform = plain, .batch = 4},
        {.dataset = f.dataset, .transform = plain, .batch = 0},
        {.dataset = f.dataset, .transform = plain, .batch = INT64_MAX},
        {.dataset = f.dataset, .transform = {.flip = true}, .batch = 4},
        {.dataset = f.dataset, .transform = plain, .batch = 4, .threads = -1},
        {.dataset = f.dataset, .transform = plain, .batch = 31, .drop_last = true},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_status(VT_EINVAL, vt_loader_new(&loader, &wrong[i]));
    assert_null(loader);
    loader = new_loader(&f, (vt_loader_options){.batch = 31});
    assert_int_equal(1, vt_loader_batches(loader));
    assert_status(VT_EINVAL, vt_loader_next(loader, &batch)); /* before any start */
    vt_loader_free(loader);
    finish(&f);
}

static void test_survives_lack_of_memory(void **state)
{
    (void)state;
    struct fixture f;
    vt_status status = VT_ENOMEM;
    int64_t n = 0;
    make_images(&f);
    open_images(&f);
    vt_loader_options options = {
        .dataset = f.dataset, .transform = random_steps, .batch = 4, .threads = 2};
    for (; n < 200; n++) {
        vt_loader *loader = NULL;
        vt_loader_batch batch = {.count = 1};
        vt_alloc_fail_after(n);
        status = vt_loader_new(&loader, &options);
        if (status == VT_OK) status = vt_loader_start(loader, 0, 0);
        while (status == VT_OK && batch.count > 0)
            status = vt_loader_next(loader, &batch);
        vt_alloc_fail_after(-1);
        vt_loader_free(loader);
        assert_true(status == VT_OK || status == VT_ENOMEM);
        if (n < 5) assert_status(VT_ENOMEM, status);
    }
    finish(&f);
}

static void test_tiny_imagenet(void **state)
{
    (void)state;
    need_shared(path, "tiny-imagenet-200-subset.zip");
    vt_dataset *dataset;
    vt_loader *loader;
    vt_loader_batch batch;
    float mean = 0;
    assert_ok(vt_dataset_open(&dataset, path, VT_PART_VALIDATION));
    vt_loader_options options = {.dataset = dataset,
                                 .transform = vt_transform_tiny_validation,
                                 .batch = 100,
                                 .shuffle = true,
                                 .threads = 2};
    assert_ok(vt_loader_new(&loader, &options));
    assert_int_equal(100, vt_loader_batches(loader));
    assert_ok(vt_loader_start(loader, 0, 0));
    for (int b = 0; b < 10; b++) {
        assert_ok(vt_loader_next(loader, &batch));
        for (int64_t i = 0; i < batch.count * 64 * 64 * 3; i++)
            mean += batch.images[i] / (10 * 100 * 64 * 64 * 3);
        for (int64_t i = 0; i < batch.count; i++)
            assert_close(batch.labels[i], vt_dataset_label(dataset, batch.indices[i]), 0);
    }
    assert_close(mean, -0.1, 0.1); /* photographs: levels are 114 on average */
    vt_loader_free(loader);
    vt_dataset_close(dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_shuffles),
        cmocka_unit_test(test_same_whatever_the_threads),
        cmocka_unit_test(test_resumes_at_a_batch),
        cmocka_unit_test(test_a_batch_stays_until_the_next_call),
        cmocka_unit_test(test_replaces_damaged_images),
        cmocka_unit_test(test_refuses_much_damage),
        cmocka_unit_test(test_refuses_when_nothing_decodes),
        cmocka_unit_test(test_hands_over_errors),
        cmocka_unit_test(test_stops_in_any_state),
        cmocka_unit_test(test_starts_again_at_any_time),
        cmocka_unit_test(test_refuses_options),
        cmocka_unit_test(test_survives_lack_of_memory),
        cmocka_unit_test(test_tiny_imagenet),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
