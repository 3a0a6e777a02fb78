/* Streams of images: order and names, sessions, varied and generated images, sources of one name,
 * threads, damaged images, memory that is short. */
#include "image_tree.h"

#include "base/arena.h"
#include "base/hash.h"
#include "data/image_source.h"
#include "ventral/image_stream.h"
#include "ventral/progress.h"
#include "ventral/session.h"
#include "ventral/simulate.h"

enum { SIDE = 16, BYTES = SIDE * SIDE * 3 };

/* A picture without symmetry that no transformation leaves alone. */
static void write_ramp(const char *root, const char *name, int side, int seed)
{
    size_t size;
    void *data;
    uint8_t *pixels = vt_alloc((size_t)side * (size_t)side, 3);
    for (int i = 0; i < side * side; i++) {
        int x = i % side, y = i / side;
        pixels[3 * i] = (uint8_t)(40 + 120 * x / side + seed);
        pixels[3 * i + 1] = (uint8_t)(60 + 100 * y / side);
        pixels[3 * i + 2] = (uint8_t)(50 + 90 * (x * y) / (side * side) + seed);
    }
    vt_image image = {.height = side, .width = side, .pixels = pixels};
    assert_ok(vt_png_encode(&data, &size, &image));
    write_file(root, name, data, size);
    free(data);
    free(pixels);
}

struct fixture {
    char root[4096];
    char paths[4][4200];
    const char *list[4];
};

/* a/images (two), b/images (one), b/more (one, of another size). */
static void make_images(struct fixture *f)
{
    static const char *const folders[] = {"a/images", "b/images", "b/more", "none"};
    new_folder(f->root);
    write_ramp(f->root, "a/images/1.png", SIDE, 0);
    write_ramp(f->root, "a/images/2.png", SIDE, 20);
    write_ramp(f->root, "b/images/1.png", SIDE, 40);
    write_ramp(f->root, "b/more/1.png", 3 * SIDE, 60);
    for (int i = 0; i < 4; i++) {
        snprintf(f->paths[i], sizeof f->paths[i], "%s/%s", f->root, folders[i]);
        f->list[i] = f->paths[i];
    }
}

static vt_image_stream *open_stream(vt_image_stream_options options)
{
    vt_image_stream *stream;
    options.height = options.width = SIDE;
    assert_ok(vt_image_stream_open(&stream, &options));
    return stream;
}

static void assert_name(const vt_image_stream *stream, int64_t index, const char *expected)
{
    char name[VT_IMAGE_NAME_SIZE];
    vt_image_stream_name(stream, index, name);
    assert_string_equal(expected, name);
}

static void read_all(vt_image_stream *stream, uint8_t *out)
{
    int64_t indices[64], count = vt_image_stream_count(stream);
    assert_in_range(count, 1, 64);
    for (int64_t i = 0; i < count; i++)
        indices[i] = i;
    assert_ok(vt_image_stream_read(stream, indices, count, out));
}

/* Vectors of the reference implementation (xxhsum 0.8). */
static void test_hash(void **state)
{
    (void)state;
    assert_true(vt_hash64("", 0, 0) == 0xEF46DB3751D8E999u);
    assert_true(vt_hash64("a", 1, 0) == 0xD24EC4F1A98C6E5Bu);
    assert_true(vt_hash64("abc", 3, 0) == 0x44BC2CF5AD770999u);
    const char *long_text = "Nobody inspects the spammish repetition";
    assert_true(vt_hash64(long_text, strlen(long_text), 0) == 0xFBCEA83C8A378BF1u);
    assert_true(vt_hash64("abc", 3, 1) != 0x44BC2CF5AD770999u);
}

static void test_order_and_names(void **state)
{
    (void)state;
    struct fixture f;
    static uint8_t pixels[64 * BYTES], leaves[BYTES];
    make_images(&f);
    vt_image_stream *stream =
        open_stream((vt_image_stream_options){.paths = (const char *[]){f.list[0], f.list[2]},
                                              .path_count = 2,
                                              .variants = 2,
                                              .generated = 3,
                                              .seed = 7});
    assert_int_equal(3 * 3 + 3, vt_image_stream_count(stream));
    assert_name(stream, 0, "images/1.png");
    assert_name(stream, 1, "images/2.png");
    assert_name(stream, 2, "more/1.png");
    assert_name(stream, 3, "images/1.png~7:1");
    assert_name(stream, 8, "more/1.png~7:2");
    assert_name(stream, 9, "leaves 7:0");
    assert_name(stream, 11, "leaves 7:2");
    assert_name(stream, 12, "");
    assert_name(stream, -1, "");
    read_all(stream, pixels);
    assert_int_equal(40, pixels[0]);
    assert_int_equal(60, pixels[BYTES]);
    /* The larger picture is resized: its corner lies further in. */
    assert_in_range(pixels[2 * BYTES], 100, 106);
    for (int i = 0; i < 3; i++) {
        assert_ok(vt_dead_leaves(leaves, SIDE, SIDE, 7, (uint32_t)i));
        assert_memory_equal(leaves, pixels + (9 + i) * BYTES, BYTES);
    }
    int height, width;
    vt_image_stream_size(stream, &height, &width);
    assert_int_equal(SIDE, height);
    assert_int_equal(SIDE, width);
    vt_image_stream_close(stream);
    remove_folder(f.root);
}

/* Pixels of a variant: bounds of what may happen to the ramp, and that it happens. */
static void test_variants(void **state)
{
    (void)state;
    enum { VARIANTS = 60 };
    struct fixture f;
    static uint8_t pixels[64 * BYTES];
    make_images(&f);
    vt_image_stream *stream = open_stream(
        (vt_image_stream_options){.paths = &f.list[1], .path_count = 1, .variants = VARIANTS});
    read_all(stream, pixels);
    int mirrored = 0, darker = 0, flatter = 0;
    for (int v = 1; v <= VARIANTS; v++) {
        const uint8_t *image = pixels + v * BYTES;
        for (int k = 0; k < v; k++)
            assert_memory_not_equal(image, pixels + k * BYTES, BYTES);
        int left = 0, right = 0, top = 0, bottom = 0, sum = 0, original = 0;
        for (int i = 0; i < SIDE; i++) {
            left += image[i * SIDE * 3];
            right += image[(i * SIDE + SIDE - 1) * 3];
            top += image[i * 3 + 1];
            bottom += image[((SIDE - 1) * SIDE + i) * 3 + 1];
        }
        for (int i = 0; i < BYTES; i++) {
            sum += image[i];
            original += pixels[i];
        }
        assert_true(bottom > top); /* never upside down */
        assert_true(left != right);
        mirrored += left > right;
        darker += sum < original;
        flatter += bottom - top < 90 * SIDE * 3 / 4;
        assert_true(sum > original / 2 && sum < original * 3 / 2);
    }
    assert_in_range(mirrored, VARIANTS / 4, VARIANTS * 3 / 4);
    assert_in_range(darker, VARIANTS / 4, VARIANTS * 3 / 4);
    assert_in_range(flatter, VARIANTS / 6, VARIANTS * 5 / 6);
    vt_image_stream_close(stream);
    remove_folder(f.root);
}

/* The same bytes whatever the threads, the order and the company they are read in. */
static void test_same_always(void **state)
{
    (void)state;
    struct fixture f;
    static uint8_t all[64 * BYTES], some[64 * BYTES];
    make_images(&f);
    vt_image_stream_options options = {
        .paths = f.list, .path_count = 3, .variants = 3, .generated = 4, .seed = 3};
    vt_image_stream *stream = open_stream(options);
    vt_threads_set(1);
    read_all(stream, all);
    int64_t count = vt_image_stream_count(stream), indices[64];
    for (int64_t i = 0; i < count; i++)
        indices[i] = count - 1 - i;
    indices[count] = 5; /* again */
    vt_threads_set(4);
    assert_ok(vt_image_stream_read(stream, indices, count + 1, some));
    vt_threads_set(0);
    for (int64_t i = 0; i <= count; i++)
        assert_memory_equal(all + indices[i] * BYTES, some + i * BYTES, BYTES);
    vt_image_stream_close(stream);

    options.seed = 4;
    stream = open_stream(options);
    read_all(stream, some);
    assert_memory_equal(all, some, 4 * BYTES); /* originals have no seed */
    for (int64_t i = 4; i < count; i++)
        assert_memory_not_equal(all + i * BYTES, some + i * BYTES, BYTES);
    vt_image_stream_close(stream);
    remove_folder(f.root);
}

/* Name and bytes of image 1 of a/images and of its second variant, in a stream. */
static void find_images(vt_image_stream *stream, const char *label, uint8_t *out)
{
    char wanted[2][VT_IMAGE_NAME_SIZE], name[VT_IMAGE_NAME_SIZE];
    snprintf(wanted[0], sizeof wanted[0], "%s/1.png", label);
    snprintf(wanted[1], sizeof wanted[1], "%s/1.png~0:2", label);
    for (int k = 0; k < 2; k++) {
        int found = 0;
        for (int64_t i = 0; i < vt_image_stream_count(stream); i++) {
            vt_image_stream_name(stream, i, name);
            if (strcmp(name, wanted[k]) != 0) continue;
            assert_ok(vt_image_stream_read(stream, &i, 1, out + k * BYTES));
            found++;
        }
        assert_int_equal(1, found);
    }
}

static void test_growth_and_order(void **state)
{
    (void)state;
    struct fixture f;
    static uint8_t alone[2 * BYTES], others[2 * BYTES];
    make_images(&f);
    vt_image_stream *stream =
        open_stream((vt_image_stream_options){.paths = f.list, .path_count = 1, .variants = 2});
    find_images(stream, "images", alone);
    vt_image_stream_close(stream);
    stream = open_stream((vt_image_stream_options){.paths = (const char *[]){f.list[2], f.list[0]},
                                                   .path_count = 2,
                                                   .variants = 5,
                                                   .generated = 2});
    find_images(stream, "images", others);
    vt_image_stream_close(stream);
    assert_memory_equal(alone, others, sizeof alone);
    remove_folder(f.root);
}

/* Two folders called images are told apart by theirs, in either order. */
static void test_same_file_names(void **state)
{
    (void)state;
    struct fixture f;
    static uint8_t first[2 * BYTES], second[2 * BYTES];
    make_images(&f);
    for (int turn = 0; turn < 2; turn++) {
        const char *paths[] = {f.list[turn], f.list[!turn], f.list[2]};
        vt_image_stream *stream =
            open_stream((vt_image_stream_options){.paths = paths, .path_count = 3, .variants = 2});
        assert_name(stream, turn ? 0 : 2, "b/images/1.png");
        assert_name(stream, turn ? 1 : 0, "a/images/1.png");
        assert_name(stream, 3, "more/1.png");
        find_images(stream, "a/images", turn ? second : first);
        vt_image_stream_close(stream);
    }
    assert_memory_equal(first, second, sizeof first);
    remove_folder(f.root);
}

/* Files of one name in different folders of a zip; names longer than there is room for. */
static void test_names_within_zips(void **state)
{
    (void)state;
    char root[4096], path[4200], entry[700], name[VT_IMAGE_NAME_SIZE], other[VT_IMAGE_NAME_SIZE];
    size_t size;
    vt_zip_writer *w;
    new_folder(root);
    snprintf(path, sizeof path, "%s/set.zip", root);
    assert_ok(vt_zip_writer_new(&w, path));
    for (int i = 0; i < 4; i++) {
        void *data = grey_png(&size, 50 * i);
        if (i < 2)
            snprintf(entry, sizeof entry, "%c/x.png", 'a' + i);
        else
            snprintf(entry, sizeof entry, "%0600d/%d.png", 7, i);
        assert_ok(vt_zip_writer_add(w, entry, data, size, false));
        free(data);
    }
    assert_ok(vt_zip_writer_finish(w));
    vt_image_stream *stream = open_stream(
        (vt_image_stream_options){.paths = (const char *[]){path}, .path_count = 1, .variants = 1});
    assert_int_equal(8, vt_image_stream_count(stream));
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < i; k++) {
            vt_image_stream_name(stream, i, name);
            vt_image_stream_name(stream, k, other);
            assert_string_not_equal(name, other);
            assert_in_range(strlen(name), 12, VT_IMAGE_NAME_SIZE - 1);
        }
    assert_name(stream, 2, "set.zip/a/x.png");
    assert_name(stream, 3, "set.zip/b/x.png");
    vt_image_stream_name(stream, 4, name);
    assert_string_equal("~0:1", name + strlen(name) - 4);
    vt_image_stream_close(stream);
    remove_folder(root);
}

static void test_sessions(void **state)
{
    (void)state;
    char root[4096];
    static uint8_t pixels[64 * BYTES], wanted[BYTES];
    new_folder(root);
    vt_simulate_options simulate = VT_SIMULATE_DEFAULTS;
    simulate.sessions = 2;
    simulate.images = 5;
    simulate.neurons = simulate.repeats = 1;
    simulate.height = simulate.width = 56;
    assert_ok(vt_simulate(root, &simulate, NULL));
    const vt_fit_session sessions[] = {{"sim002", 1, 4}, {"sim001", 0, 0}, {"sim002", 4, 5}};
    vt_image_stream_options options = {
        .recordings = root, .sessions = sessions, .session_count = 3};
    vt_image_stream *stream = open_stream(options);
    assert_int_equal(9, vt_image_stream_count(stream));
    assert_name(stream, 0, "session sim002/image0002.jpg");
    assert_name(stream, 3, "session sim001/image0001.jpg");
    assert_name(stream, 8, "session sim002/image0005.jpg");
    read_all(stream, pixels);
    vt_session *session;
    assert_ok(vt_session_open(&session, root, "sim002"));
    assert_ok(vt_image_source_read_batch(vt_session_images(session), 3, 1, SIDE, SIDE, wanted));
    assert_memory_equal(wanted, pixels + 2 * BYTES, BYTES);
    vt_session_close(session);
    vt_image_stream_close(stream);

    const vt_fit_session twice[] = {{"sim002", 1, 4}, {"sim002", 3, 5}};
    options.sessions = twice;
    options.session_count = 2;
    assert_status(VT_EINVAL, vt_image_stream_open(&stream, &options));
    assert_message("session sim002: its images are given twice");
    options.sessions = (const vt_fit_session[]){{"sim001", 2, 6}};
    options.session_count = 1;
    assert_status(VT_EINVAL, vt_image_stream_open(&stream, &options));
    assert_message("session sim001: images 2 to 6");
    options.sessions = (const vt_fit_session[]){{"sim003", 0, 0}};
    assert_status(VT_ENOTFOUND, vt_image_stream_open(&stream, &options));
    options.recordings = NULL;
    assert_status(VT_EINVAL, vt_image_stream_open(&stream, &options));
    remove_folder(root);
}

static void test_refusals(void **state)
{
    (void)state;
    struct fixture f;
    vt_image_stream *stream;
    static uint8_t pixels[4 * BYTES];
    make_images(&f);
    assert_status(VT_EINVAL, vt_image_stream_open(&stream, &(vt_image_stream_options){.seed = 1}));
    assert_message("empty");
    vt_image_stream_options options = {.paths = f.list, .path_count = 4};
    assert_status(VT_ENOTFOUND, vt_image_stream_open(&stream, &options));
    assert_message("none");
    options.paths = (const char *[]){f.list[0], f.paths[0]};
    options.path_count = 2;
    assert_status(VT_EINVAL, vt_image_stream_open(&stream, &options));
    assert_message("given twice");
    options.path_count = 1;
    options.variants = -1;
    assert_status(VT_EINVAL, vt_image_stream_open(&stream, &options));
    options.variants = 0;
    options.generated = (int64_t)UINT32_MAX + 1;
    assert_status(VT_EINVAL, vt_image_stream_open(&stream, &options));
    options.generated = 0;
    options.height = -1;
    assert_status(VT_EINVAL, vt_image_stream_open(&stream, &options));

    write_text(f.root, "a/images/2.png", "\x89PNG\r\n\x1a\n and no more");
    stream = open_stream((vt_image_stream_options){.paths = f.list, .path_count = 1});
    assert_status(VT_EFORMAT, vt_image_stream_read(stream, (int64_t[]){0, 1}, 2, pixels));
    assert_message("a/images/2.png");
    assert_ok(vt_image_stream_read(stream, (int64_t[]){0}, 1, pixels));
    assert_status(VT_EINVAL, vt_image_stream_read(stream, (int64_t[]){2}, 1, pixels));
    assert_status(VT_EINVAL, vt_image_stream_read(stream, (int64_t[]){-1}, 1, pixels));
    assert_ok(vt_image_stream_read(stream, NULL, 0, pixels));
    vt_image_stream_close(stream);
    vt_image_stream_close(NULL);
    remove_folder(f.root);
}

static void test_short_memory(void **state)
{
    (void)state;
    struct fixture f;
    static uint8_t pixels[64 * BYTES];
    vt_image_stream *stream = NULL;
    make_images(&f);
    vt_image_stream_options options = {.paths = f.list,
                                       .path_count = 3,
                                       .variants = 1,
                                       .generated = 1,
                                       .height = SIDE,
                                       .width = SIDE};
    vt_status status = VT_ENOMEM;
    for (int i = 0; i < 200 && status != VT_OK; i++) {
        vt_alloc_fail_after(i);
        status = vt_image_stream_open(&stream, &options);
        vt_alloc_fail_after(-1);
        if (status != VT_OK) assert_int_equal(VT_ENOMEM, status);
    }
    assert_int_equal(VT_OK, status);
    int64_t indices[] = {0, 3, 4, 7, 8};
    status = VT_ENOMEM;
    for (int i = 0; i < 400 && status != VT_OK; i++) {
        vt_alloc_fail_after(i);
        status = vt_image_stream_read(stream, indices, 5, pixels);
        vt_alloc_fail_after(-1);
        if (status != VT_OK) assert_int_equal(VT_ENOMEM, status);
    }
    assert_int_equal(VT_OK, status);
    vt_image_stream_close(stream);
    remove_folder(f.root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_order_and_names),
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_same_always),
        cmocka_unit_test(test_growth_and_order),
        cmocka_unit_test(test_same_file_names),
        cmocka_unit_test(test_names_within_zips),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
