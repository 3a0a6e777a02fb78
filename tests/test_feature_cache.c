/* Features kept on disk: close to what the node has, the same to the bit whether found or computed,
 * whatever their scale; changed images, models and nodes are named; kills and full disks cost
 * little.
 */
#include "image_tree.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "ventral/feature_cache.h"
#include "ventral/predict.h"
#include "ventral/progress.h"
#include "ventral/rng.h"

enum { IMAGES = 20, SIDE = 16, FEATURES = 8 * 8 * 5 }; /* of the second layer */

static char folder[4096], images[4200], path[4200];
static vt_model *model;
static const char tap[] = "layer1_act";

static void write_noise(int number, uint32_t content)
{
    static uint8_t pixels[SIDE * SIDE * 3];
    char name[64];
    vt_rng rng;
    void *data;
    size_t size;
    vt_rng_init(&rng, 5, VT_RNG_IMAGE, 0, content);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)vt_rng_below(&rng, 256);
    assert_ok(
        vt_png_encode(&data, &size, &(vt_image){.height = SIDE, .width = SIDE, .pixels = pixels}));
    snprintf(name, sizeof name, "images/%d.png", number);
    write_file(folder, name, data, size);
    free(data);
}

static vt_model *new_model(uint64_t seed)
{
    vt_model *m;
    vt_compact_options options = {
        .filters = {4, 5, 3, 3, 3}, .height = SIDE, .width = SIDE, .outputs = 1, .seed = seed};
    assert_ok(vt_compact_new(&m, &options));
    return m;
}

static int make(void **state)
{
    (void)state;
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 0); /* where syncs are quick */
    new_folder(folder);
    snprintf(images, sizeof images, "%s/images", folder);
    snprintf(path, sizeof path, "%s/features", folder);
    for (int i = 0; i < IMAGES; i++)
        write_noise(i, (uint32_t)i);
    model = new_model(1);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    vt_model_free(model);
    remove_folder(folder);
    return 0;
}

static vt_image_stream *open_stream(void)
{
    vt_image_stream *stream;
    vt_image_stream_options options = {
        .paths = (const char *[]){images}, .path_count = 1, .height = SIDE, .width = SIDE};
    assert_ok(vt_image_stream_open(&stream, &options));
    return stream;
}

static const int64_t *counting(void)
{
    static int64_t indices[IMAGES];
    for (int i = 0; i < IMAGES; i++)
        indices[i] = i;
    return indices;
}

static void read_features(const char *file, int64_t count, float *out)
{
    vt_feature_cache *cache;
    vt_image_stream *stream = open_stream();
    assert_ok(vt_feature_cache_open(&cache, file, model, tap));
    assert_ok(vt_feature_cache_read(cache, stream, counting(), count, out));
    vt_feature_cache_close(cache);
    vt_image_stream_close(stream);
}

static off_t file_size(void)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_size : 0;
}

static vt_status copy(void *context, int number, int64_t first, int64_t count, const vt_tensor *t)
{
    (void)number;
    memcpy((float *)context + first * FEATURES, t->data,
           (size_t)(count * FEATURES) * sizeof(float));
    return VT_OK;
}

static void predict(float *out)
{
    vt_stimulus_set *stimuli;
    assert_ok(vt_stimulus_set_open(&stimuli, images));
    vt_predict_options options = {.tap = tap, .receive = copy, .context = out};
    assert_ok(vt_predict(&model, 1, stimuli, &options));
    vt_stimulus_set_close(stimuli);
}

/* Relative to each feature 2^-11, but for those that are next to nothing beside the largest. */
static void assert_near(const float *got, const float *expected)
{
    for (int i = 0; i < IMAGES; i++) {
        double largest = 0;
        for (int k = 0; k < FEATURES; k++)
            largest = fmax(largest, fabs(expected[i * FEATURES + k]));
        assert_true(largest > 0);
        for (int k = i * FEATURES; k < (i + 1) * FEATURES; k++)
            assert_close(got[k], expected[k], 0x1p-11 * fabs(expected[k]) + 0x1p-20 * largest);
    }
}

static void test_features(void **state)
{
    (void)state;
    static float expected[IMAGES * FEATURES], got[IMAGES * FEATURES], again[IMAGES * FEATURES];
    vt_feature_cache *cache;
    vt_image_stream *stream = open_stream();
    unlink(path);
    predict(expected);
    assert_ok(vt_feature_cache_open(&cache, path, model, tap));
    int64_t size[VT_MAX_DIMS];
    assert_int_equal(3, vt_feature_cache_size(cache, size));
    assert_int_equal(8, size[0]);
    assert_int_equal(8, size[1]);
    assert_int_equal(5, size[2]);
    assert_ok(vt_feature_cache_read(cache, stream, counting(), IMAGES, got));
    assert_near(got, expected);
    assert_ok(vt_feature_cache_read(cache, stream, counting(), IMAGES, again));
    assert_memory_equal(got, again, sizeof got);
    vt_feature_cache_close(cache);
    off_t stored = file_size();
    assert_in_range(stored, IMAGES * FEATURES * 2, IMAGES * (FEATURES * 2 + 40) + 600);

    read_features(path, IMAGES, again);
    assert_memory_equal(got, again, sizeof got);
    assert_int_equal(stored, file_size());
    read_features(NULL, IMAGES, again);
    assert_memory_equal(got, again, sizeof got);
    /* By halves, the second one backwards. */
    const int64_t rest[] = {19, 3, 18, 17, 17, 0};
    unlink(path);
    read_features(path, 10, again);
    assert_ok(vt_feature_cache_open(&cache, path, model, tap));
    assert_ok(vt_feature_cache_read(cache, stream, rest, 6, again));
    for (int i = 0; i < 6; i++)
        assert_memory_equal(got + rest[i] * FEATURES, again + i * FEATURES, FEATURES * sizeof *got);
    vt_feature_cache_close(cache);
    vt_image_stream_close(stream);
}

/* Features near the ends of float32. */
static void test_scales(void **state)
{
    (void)state;
    static const float scales[] = {1e30f, 1e-34f, 0};
    static float expected[IMAGES * FEATURES], got[IMAGES * FEATURES];
    vt_param *gamma = vt_graph_find_param(vt_model_graph(model), "layer1_bn.gamma");
    assert_non_null(gamma);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 5; k++)
            ((float *)gamma->value.data)[k] = scales[i];
        vt_graph_touch(vt_model_graph(model));
        unlink(path);
        predict(expected);
        read_features(path, IMAGES, got);
        if (scales[i] > 0) assert_near(got, expected);
        for (int k = 0; scales[i] == 0 && k < IMAGES * FEATURES; k++)
            assert_true(got[k] == 0 && expected[k] == 0);
        read_features(path, IMAGES, expected);
        assert_memory_equal(got, expected, sizeof got);
    }
    for (int k = 0; k < 5; k++)
        ((float *)gamma->value.data)[k] = 1;
    vt_graph_touch(vt_model_graph(model));
}

static void test_changes(void **state)
{
    (void)state;
    static float got[IMAGES * FEATURES];
    vt_feature_cache *cache;
    unlink(path);
    read_features(path, IMAGES, got);
    vt_model *other = new_model(2);
    assert_status(VT_EINVAL, vt_feature_cache_open(&cache, path, other, tap));
    assert_message("holds features at layer1_act of the model, which has changed since");
    vt_model_free(other);
    assert_status(VT_EINVAL, vt_feature_cache_open(&cache, path, model, "layer2_act"));
    assert_message("holds features at layer1_act, not features at layer2_act");
    assert_status(VT_ENOTFOUND, vt_feature_cache_open(&cache, path, model, "layer9"));
    assert_message("layer9");
    char png[4300];
    snprintf(png, sizeof png, "%s/1.png", images);
    assert_status(VT_EFORMAT, vt_feature_cache_open(&cache, png, model, tap));

    write_noise(7, 700);
    vt_image_stream *stream = open_stream();
    assert_ok(vt_feature_cache_open(&cache, path, model, tap));
    assert_status(VT_EINVAL, vt_feature_cache_read(cache, stream, counting(), IMAGES, got));
    assert_message("images/7.png has changed");
    vt_feature_cache_close(cache);
    vt_image_stream_close(stream);
    write_noise(7, 7);
}

/* Cut at many places; complete blocks are used and the rest is computed to the same bits. */
static void test_torn_tail(void **state)
{
    (void)state;
    static float expected[IMAGES * FEATURES], got[IMAGES * FEATURES];
    unlink(path);
    read_features(path, IMAGES, expected);
    off_t whole = file_size();
    for (off_t cut = whole - 1; cut > 0; cut -= 1 + cut / 23) {
        assert_int_equal(0, truncate(path, cut));
        read_features(path, IMAGES, got);
        assert_memory_equal(expected, got, sizeof got);
        assert_int_equal(whole, file_size());
    }
}

static void test_killed(void **state)
{
    (void)state;
    static float expected[IMAGES * FEATURES], got[IMAGES * FEATURES];
    vt_threads_set(1); /* threads do not outlive a fork */
    read_features(NULL, IMAGES, expected);
    unlink(path);
    for (int turn = 0; turn < 10; turn++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            vt_feature_cache *cache;
            vt_image_stream *stream = open_stream();
            for (int64_t i = 0;; i = (i + 1) % IMAGES)
                if (vt_feature_cache_open(&cache, path, model, tap) != VT_OK ||
                    vt_feature_cache_read(cache, stream, &i, 1, got) != VT_OK)
                    _exit(1);
                else
                    vt_feature_cache_close(cache);
        }
        usleep((useconds_t)(3000 + 2711 * turn));
        kill(child, SIGKILL);
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_true(WIFSIGNALED(status));
    }
    read_features(path, IMAGES, got);
    assert_memory_equal(expected, got, sizeof got);
    vt_threads_set(0);
}

static void test_full_disk(void **state)
{
    (void)state;
    static float expected[IMAGES * FEATURES], got[IMAGES * FEATURES];
    struct rlimit before, limit;
    vt_feature_cache *cache;
    vt_image_stream *stream = open_stream();
    unlink(path);
    read_features(path, 3, got);
    off_t size = file_size();
    assert_ok(vt_feature_cache_open(&cache, path, model, tap));
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = (rlim_t)size + 2000;
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &limit));
    vt_status status = vt_feature_cache_read(cache, stream, counting(), IMAGES, got);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &before));
    signal(SIGXFSZ, handler);
    assert_status(VT_EIO, status);
    assert_message(path);
    assert_int_equal(size, file_size());
    assert_ok(vt_feature_cache_read(cache, stream, counting(), IMAGES, got));
    vt_feature_cache_close(cache);
    vt_image_stream_close(stream);
    read_features(NULL, IMAGES, expected);
    assert_memory_equal(expected, got, sizeof got);
}

static void test_second_user(void **state)
{
    (void)state;
    vt_feature_cache *cache, *second;
    unlink(path);
    assert_ok(vt_feature_cache_open(&cache, path, model, tap));
    assert_status(VT_EIO, vt_feature_cache_open(&second, path, model, tap));
    assert_message("another process");
    vt_feature_cache_close(cache);
    assert_ok(vt_feature_cache_open(&cache, path, model, tap));
    vt_feature_cache_close(cache);
    vt_feature_cache_close(NULL);
}

static void test_short_memory(void **state)
{
    (void)state;
    static float expected[IMAGES * FEATURES], got[IMAGES * FEATURES];
    vt_feature_cache *cache = NULL;
    vt_image_stream *stream = open_stream();
    read_features(NULL, IMAGES, expected);
    vt_threads_set(1);
    vt_status status = VT_ENOMEM;
    int tries = 0;
    for (; status != VT_OK; tries++) {
        unlink(path);
        vt_alloc_fail_after(tries);
        status = vt_feature_cache_open(&cache, path, model, tap);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
    }
    assert_true(tries > 10);
    status = VT_ENOMEM;
    for (int i = 0; status != VT_OK; i++) { /* what was stored before a failure is used */
        vt_alloc_fail_after(i);
        status = vt_feature_cache_read(cache, stream, counting(), IMAGES, got);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
    }
    assert_memory_equal(expected, got, sizeof got);
    vt_feature_cache_close(cache);
    vt_threads_set(0);
    vt_image_stream_close(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features),    cmocka_unit_test(test_scales),
        cmocka_unit_test(test_changes),     cmocka_unit_test(test_torn_tail),
        cmocka_unit_test(test_killed),      cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_second_user), cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
