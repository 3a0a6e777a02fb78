/* Teachers: responses are what the models answer, come back from the cache to the bit, survive
 * kills, reordering and extension; changed images and models are named. */
#include "image_tree.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "ventral/progress.h"
#include "ventral/resnet.h"
#include "ventral/rng.h"
#include "ventral/teacher.h"

enum { IMAGES = 40, SIDE = 32, MODELS = 3, NEURONS = 1 + 4 + 3 };

static char folder[4096], images[2][4200], cache[4200];
static vt_model *models[MODELS];

static void write_noise(const char *name, uint32_t number)
{
    static uint8_t pixels[SIDE * SIDE * 3];
    vt_rng rng;
    void *data;
    size_t size;
    vt_rng_init(&rng, 3, VT_RNG_IMAGE, 0, number);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)vt_rng_below(&rng, 256);
    assert_ok(
        vt_png_encode(&data, &size, &(vt_image){.height = SIDE, .width = SIDE, .pixels = pixels}));
    write_file(folder, name, data, size);
    free(data);
}

static vt_model *new_compact(int side, int outputs, bool shared, uint64_t seed)
{
    vt_model *model;
    vt_compact_options options = {.filters = {4, 4, 3, 3, 3},
                                  .height = side,
                                  .width = side,
                                  .outputs = outputs,
                                  .shared = shared,
                                  .seed = seed};
    assert_ok(vt_compact_new(&model, &options));
    return model;
}

/* A compact model, a shared one for larger images whose neurons 1 to 3 are a session's, and a
 * network of V1, which takes its images otherwise. */
static int make(void **state)
{
    (void)state;
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 0); /* where syncs are quick */
    new_folder(folder);
    snprintf(images[0], sizeof images[0], "%s/first", folder);
    snprintf(images[1], sizeof images[1], "%s/second", folder);
    snprintf(cache, sizeof cache, "%s/responses", folder);
    for (int i = 0; i < IMAGES; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%d.png", i < IMAGES / 2 ? "first" : "second", i);
        write_noise(name, (uint32_t)i);
    }
    models[0] = new_compact(SIDE, 1, false, 1);
    models[1] = new_compact(48, 4, true, 2);
    vt_resnet_options resnet = {.depth = 18, .width = 0.05, .classes = 3, .image = 32, .seed = 3};
    assert_ok(vt_resnet_new(&models[2], &resnet));
    assert_ok(vt_model_add_session(models[0], &(vt_model_session){"one", 0, 1, 7}));
    assert_ok(vt_model_add_session(models[1], &(vt_model_session){"two", 1, 3, 0}));
    return 0;
}

static int drop(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++)
        vt_model_free(models[i]);
    remove_folder(folder);
    return 0;
}

/* Folders `first` to `last`, in falling order when last < first. */
static vt_image_stream *open_stream(int first, int last, int side)
{
    vt_image_stream *stream;
    const char *paths[] = {images[first], images[last]};
    vt_image_stream_options options = {
        .paths = paths, .path_count = first == last ? 1 : 2, .height = side, .width = side};
    assert_ok(vt_image_stream_open(&stream, &options));
    return stream;
}

static vt_teacher *new_teacher(const char *path)
{
    vt_teacher *teacher;
    assert_ok(vt_teacher_new(&teacher, models, MODELS, &(vt_teacher_options){.cache = path}));
    return teacher;
}

static const int64_t *counting(void)
{
    static int64_t indices[IMAGES];
    for (int i = 0; i < IMAGES; i++)
        indices[i] = i;
    return indices;
}

/* Responses of a new teacher to the first `count` images of a stream. */
static void ask(const char *path, vt_image_stream *stream, int64_t count, float *out)
{
    vt_teacher *teacher = new_teacher(path);
    assert_ok(vt_teacher_responses(teacher, stream, counting(), count, out, NULL));
    vt_teacher_free(teacher);
}

static off_t cache_size(void)
{
    struct stat info;
    return stat(cache, &info) == 0 ? info.st_size : 0;
}

static void assert_same(const float *a, const float *b, int64_t count)
{
    assert_memory_equal(a, b, (size_t)count * NEURONS * sizeof *a);
}

/* What one model answers to one image of the stream, the plain way. */
static void predict(vt_model *model, const uint8_t *pixels, float *out)
{
    int height, width;
    vt_plan *plan;
    vt_image resized, image = {.height = SIDE, .width = SIDE, .pixels = (uint8_t *)pixels};
    vt_node output = vt_model_output(model);
    vt_model_image_size(model, &height, &width);
    vt_plan_options options = {
        .batch = 1, .outputs = &output, .output_count = 1, .backend = VT_BACKEND_REFERENCE};
    assert_ok(vt_plan_new(&plan, vt_model_graph(model), &options));
    assert_ok(vt_image_resize(&resized, &image, height, width));
    vt_preprocess(vt_plan_input(plan, vt_model_input(model))->data, resized.pixels, height * width,
                  vt_model_preprocessing(model));
    assert_ok(vt_plan_forward(plan));
    memcpy(out, vt_plan_output(plan, output)->data, (size_t)vt_model_outputs(model) * sizeof *out);
    vt_image_free(&resized);
    vt_plan_free(plan);
}

static void test_what_models_answer(void **state)
{
    (void)state;
    static float got[IMAGES * NEURONS], again[IMAGES * NEURONS];
    static uint8_t pixels[IMAGES * SIDE * SIDE * 3];
    vt_image_stream *stream = open_stream(0, 1, SIDE);
    vt_teacher *teacher = new_teacher(NULL);
    assert_int_equal(NEURONS, vt_teacher_count(teacher));
    assert_ok(vt_teacher_responses(teacher, stream, counting(), IMAGES, got, NULL));
    assert_ok(vt_image_stream_read(stream, counting(), IMAGES, pixels));
    double spread = 0;
    for (int i = 0; i < IMAGES; i += 3) {
        float expected[NEURONS];
        predict(models[0], pixels + i * SIDE * SIDE * 3, expected);
        predict(models[1], pixels + i * SIDE * SIDE * 3, expected + 1);
        predict(models[2], pixels + i * SIDE * SIDE * 3, expected + 5);
        for (int n = 0; n < NEURONS; n++) {
            assert_close(got[i * NEURONS + n], expected[n], 1e-4 * (1 + fabs(expected[n])));
            spread += fabs(expected[n] - got[n]);
        }
    }
    assert_true(spread > 0.1); /* images are not all answered alike */

    /* Whatever else is asked, and how the images come. */
    for (int i = 0; i < IMAGES; i += 7)
        assert_ok(
            vt_teacher_responses(teacher, stream, &(int64_t){i}, 1, again + i * NEURONS, NULL));
    for (int i = 0; i < IMAGES; i += 7)
        assert_same(got + i * NEURONS, again + i * NEURONS, 1);
    assert_ok(vt_teacher_answer(teacher, stream, counting(), IMAGES, pixels, again, NULL));
    assert_same(got, again, IMAGES);
    assert_ok(vt_teacher_responses(teacher, stream, NULL, 0, again, NULL));
    assert_status(VT_EINVAL,
                  vt_teacher_responses(teacher, stream, &(int64_t){IMAGES}, 1, again, NULL));
    vt_teacher_free(teacher);
    vt_image_stream_close(stream);
}

static void test_whose_neurons(void **state)
{
    (void)state;
    vt_teacher *teacher = new_teacher(NULL);
    static const vt_teacher_neuron expected[NEURONS] = {
        {"one", 7, 0, 0}, {"", 0, 1, 0}, {"two", 0, 1, 1}, {"two", 1, 1, 2},
        {"two", 2, 1, 3}, {"", 0, 2, 0}, {"", 1, 2, 1},    {"", 2, 2, 2}};
    for (int i = 0; i < NEURONS; i++) {
        const vt_teacher_neuron *neuron = vt_teacher_neuron_at(teacher, i);
        assert_string_equal(expected[i].session, neuron->session);
        assert_int_equal(expected[i].neuron, neuron->neuron);
        assert_int_equal(expected[i].model, neuron->model);
        assert_int_equal(expected[i].output, neuron->output);
    }
    assert_null(vt_teacher_neuron_at(teacher, -1));
    assert_null(vt_teacher_neuron_at(teacher, NEURONS));
    assert_int_equal(3, vt_teacher_find(teacher, "two", 1));
    assert_int_equal(0, vt_teacher_find(teacher, "one", 7));
    assert_int_equal(-1, vt_teacher_find(teacher, "one", 0));
    assert_int_equal(-1, vt_teacher_find(teacher, "three", 0));
    vt_teacher_free(teacher);
}

/* A part first, then all, then in another order: each image is stored once. */
static void test_extension_and_order(void **state)
{
    (void)state;
    static float plain[IMAGES * NEURONS], got[IMAGES * NEURONS], turned[IMAGES * NEURONS];
    vt_image_stream *both = open_stream(0, 1, SIDE), *part = open_stream(0, 0, SIDE);
    vt_image_stream *reversed = open_stream(1, 0, SIDE);
    unlink(cache);
    ask(NULL, both, IMAGES, plain);
    ask(cache, part, IMAGES / 2, got);
    assert_same(plain, got, IMAGES / 2);
    off_t half = cache_size();
    ask(cache, both, IMAGES, got);
    assert_same(plain, got, IMAGES);
    off_t whole = cache_size();
    assert_true(whole - half < half);
    assert_true(whole - half > IMAGES / 2 * NEURONS * 4);
    ask(cache, reversed, IMAGES, turned);
    assert_same(plain, turned + IMAGES / 2 * NEURONS, IMAGES / 2);
    assert_same(plain + IMAGES / 2 * NEURONS, turned, IMAGES / 2);
    assert_int_equal(whole, cache_size());

    /* Some there and some not, in any order, one twice. */
    vt_teacher *teacher;
    const int64_t mixed[] = {30, 2, 25, 2, 39, 0};
    unlink(cache);
    ask(cache, part, IMAGES / 2, got);
    teacher = new_teacher(cache);
    assert_ok(vt_teacher_responses(teacher, both, mixed, 6, got, NULL));
    assert_ok(vt_teacher_responses(teacher, both, mixed, 6, turned, NULL));
    for (int i = 0; i < 6; i++)
        assert_same(plain + mixed[i] * NEURONS, got + i * NEURONS, 1);
    assert_same(got, turned, 6);
    vt_teacher_free(teacher);

    /* Images of another size are other images. */
    vt_image_stream *larger = open_stream(0, 0, SIDE + 8);
    ask(cache, larger, IMAGES / 2, got);
    assert_memory_not_equal(plain, got, sizeof(float) * NEURONS);
    ask(cache, part, IMAGES / 2, got);
    assert_same(plain, got, IMAGES / 2);
    vt_image_stream_close(larger);
    vt_image_stream_close(both);
    vt_image_stream_close(part);
    vt_image_stream_close(reversed);
}

static void test_changed_image(void **state)
{
    (void)state;
    static float plain[IMAGES * NEURONS], got[IMAGES * NEURONS];
    vt_image_stream *stream = open_stream(0, 0, SIDE);
    unlink(cache);
    ask(cache, stream, IMAGES / 2, plain);
    vt_image_stream_close(stream);

    vt_teacher *teacher = new_teacher(cache);
    write_noise("first/4.png", 1000);
    stream = open_stream(0, 0, SIDE);
    off_t before = cache_size();
    assert_status(VT_EINVAL,
                  vt_teacher_responses(teacher, stream, counting(), IMAGES / 2, got, NULL));
    assert_message("first/4.png has changed");
    assert_message(cache);
    assert_int_equal(before, cache_size());
    const int64_t others[] = {0, 1, 2, 3, 5, 6};
    assert_ok(vt_teacher_responses(teacher, stream, others, 6, got, NULL));
    assert_same(plain, got, 4);
    vt_image_stream_close(stream);
    write_noise("first/4.png", 4);
    stream = open_stream(0, 0, SIDE);
    assert_ok(vt_teacher_responses(teacher, stream, counting(), IMAGES / 2, got, NULL));
    assert_same(plain, got, IMAGES / 2);
    vt_teacher_free(teacher);
    vt_image_stream_close(stream);
}

static void test_changed_models(void **state)
{
    (void)state;
    static float got[IMAGES * NEURONS];
    char path[4300];
    vt_teacher *teacher;
    vt_model *read, *list[MODELS] = {models[0], models[1], models[2]};
    const vt_teacher_options options = {.cache = cache};
    vt_image_stream *stream = open_stream(0, 0, SIDE);
    snprintf(path, sizeof path, "%s/pupil.safetensors", folder);
    assert_ok(vt_model_write(models[0], path));
    assert_ok(vt_model_read(&read, path));
    list[0] = read;
    unlink(cache);
    assert_ok(vt_teacher_new(&teacher, list, MODELS, &options));
    assert_ok(vt_teacher_responses(teacher, stream, counting(), 3, got, NULL));
    vt_teacher_free(teacher);
    ask(cache, stream, 3, got); /* the same weights, from elsewhere */

    vt_param *param = vt_graph_param(vt_model_graph(read), 0);
    float before = *(float *)param->value.data;
    *(float *)param->value.data = before * 1.0001f + 1e-6f;
    assert_status(VT_EINVAL, vt_teacher_new(&teacher, list, MODELS, &options));
    assert_message("pupil.safetensors, which has changed since");
    assert_message(cache);
    *(float *)param->value.data = before;
    assert_ok(vt_model_set_epsilon(read, 2e-3));
    assert_status(VT_EINVAL, vt_teacher_new(&teacher, list, MODELS, &options));
    assert_ok(vt_model_set_epsilon(read, 1e-3));
    assert_status(VT_EINVAL, vt_teacher_new(&teacher, list + 1, MODELS - 1, &options));
    assert_message("pupil.safetensors, which is not given now");
    list[1] = models[2];
    list[2] = models[1];
    assert_status(VT_EINVAL, vt_teacher_new(&teacher, list, MODELS, &options));
    assert_message("another order");
    list[1] = models[1];
    list[2] = models[2];
    assert_status(VT_EINVAL, vt_teacher_new(&teacher, list, MODELS,
                                            &(vt_teacher_options){.cache = cache, .bf16 = true}));
    assert_message("holds responses, not responses in bfloat16");
    assert_status(VT_EINVAL, vt_teacher_new(&teacher, list, 0, &options));
    vt_model_free(read);
    vt_image_stream_close(stream);
}

/* Kills its process, or asks it to stop, once so many images are done. */
struct stop {
    int64_t after;
    bool kill;
};

static bool stop_at(void *context, int64_t done, int64_t total, const char *line)
{
    const struct stop *stop = context;
    (void)line;
    assert_true(done <= total);
    if (done < stop->after) return true;
    if (stop->kill) raise(SIGKILL);
    return false;
}

/* A process killed while it computes, several times, at several moments; the last one ends in the
 * same responses. */
static void test_killed(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    static float plain[MANY * NEURONS], got[MANY * NEURONS];
    static int64_t indices[MANY];
    vt_image_stream *stream;
    vt_image_stream_options options = {.paths = (const char *[]){images[0], images[1]},
                                       .path_count = 2,
                                       .variants = MANY / IMAGES,
                                       .height = SIDE,
                                       .width = SIDE};
    for (int64_t i = 0; i < MANY; i++)
        indices[i] = MANY - i;
    vt_threads_set(1); /* threads do not outlive a fork */
    assert_ok(vt_image_stream_open(&stream, &options));
    vt_teacher *teacher = new_teacher(NULL);
    assert_ok(vt_teacher_responses(teacher, stream, indices, MANY, plain, NULL));
    vt_teacher_free(teacher);
    unlink(cache);
    off_t size = 0;
    int grown = 0;
    for (int64_t after = 200; after < 1000; after += 190) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            struct stop stop = {after, true};
            if (vt_teacher_new(&teacher, models, MODELS, &(vt_teacher_options){.cache = cache}) ==
                VT_OK)
                vt_teacher_responses(teacher, stream, indices, MANY, got,
                                     &(vt_progress){stop_at, &stop});
            _exit(1);
        }
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_true(cache_size() >= size);
        grown += cache_size() > size;
        size = cache_size();
    }
    assert_true(grown >= 3);
    teacher = new_teacher(cache);
    assert_ok(vt_teacher_responses(teacher, stream, indices, MANY, got, NULL));
    assert_same(plain, got, MANY);
    assert_true(cache_size() > size);
    vt_teacher_free(teacher);
    vt_threads_set(0);
    vt_image_stream_close(stream);
}

static void test_interrupted(void **state)
{
    (void)state;
    static float plain[IMAGES * NEURONS], got[IMAGES * NEURONS];
    vt_image_stream *stream = open_stream(0, 1, SIDE);
    ask(NULL, stream, IMAGES, plain);
    unlink(cache);
    struct stop stop = {1, false};
    vt_teacher *teacher = new_teacher(cache);
    off_t empty = cache_size();
    assert_status(VT_EINTERRUPTED, vt_teacher_responses(teacher, stream, counting(), IMAGES, got,
                                                        &(vt_progress){stop_at, &stop}));
    assert_true(cache_size() > empty + 30 * NEURONS * 4);
    assert_ok(vt_teacher_responses(teacher, stream, counting(), IMAGES, got, NULL));
    assert_same(plain, got, IMAGES);
    vt_teacher_free(teacher);
    vt_image_stream_close(stream);
}

/* Damage that only reading finds: the record's bytes. */
static void test_damage(void **state)
{
    (void)state;
    static float got[IMAGES * NEURONS];
    vt_image_stream *stream = open_stream(0, 1, SIDE);
    unlink(cache);
    ask(cache, stream, IMAGES / 2, got);
    off_t half = cache_size();
    ask(cache, stream, IMAGES, got);
    FILE *file = fopen(cache, "r+b");
    fseek(file, half - 3, SEEK_SET);
    fputs("~~", file);
    fclose(file);
    vt_teacher *teacher = new_teacher(cache);
    assert_status(VT_EFORMAT, vt_teacher_responses(teacher, stream, counting(), IMAGES, got, NULL));
    assert_message(cache);
    assert_message("damaged");
    assert_ok(vt_teacher_responses(teacher, stream, counting(), IMAGES / 2 - 1, got, NULL));
    vt_teacher_free(teacher);
    vt_image_stream_close(stream);
}

static void test_full_disk(void **state)
{
    (void)state;
    static float plain[IMAGES * NEURONS], got[IMAGES * NEURONS];
    struct rlimit before, limit;
    vt_image_stream *stream = open_stream(0, 1, SIDE);
    ask(NULL, stream, IMAGES, plain);
    unlink(cache);
    ask(cache, stream, 3, got);
    off_t size = cache_size();
    vt_teacher *teacher = new_teacher(cache);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = (rlim_t)size + 200;
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &limit));
    vt_status status = vt_teacher_responses(teacher, stream, counting(), IMAGES, got, NULL);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &before));
    signal(SIGXFSZ, handler);
    assert_status(VT_EIO, status);
    assert_message(cache);
    assert_int_equal(size, cache_size());
    assert_ok(vt_teacher_responses(teacher, stream, counting(), IMAGES, got, NULL));
    assert_same(plain, got, IMAGES);
    vt_teacher_free(teacher);
    vt_image_stream_close(stream);
}

static void test_not_finite(void **state)
{
    (void)state;
    static float got[IMAGES * NEURONS];
    vt_image_stream *stream = open_stream(0, 0, SIDE);
    vt_model *broken = new_compact(SIDE, 1, false, 1);
    vt_param *param =
        vt_graph_param(vt_model_graph(broken), vt_graph_param_count(vt_model_graph(broken)) - 1);
    *(float *)param->value.data = NAN;
    vt_teacher *teacher;
    unlink(cache);
    assert_ok(vt_teacher_new(&teacher, &broken, 1, &(vt_teacher_options){.cache = cache}));
    off_t empty = cache_size();
    assert_status(VT_ENUMERIC, vt_teacher_responses(teacher, stream, counting(), 5, got, NULL));
    assert_message("first/0.png");
    assert_message("NaN");
    assert_int_equal(empty, cache_size());
    vt_teacher_free(teacher);
    vt_model_free(broken);
    vt_image_stream_close(stream);
}

static void test_short_memory(void **state)
{
    (void)state;
    static float plain[IMAGES * NEURONS], got[IMAGES * NEURONS];
    vt_image_stream *stream = open_stream(0, 1, SIDE + 1);
    vt_teacher *teacher = NULL;
    ask(NULL, stream, IMAGES, plain);
    unlink(cache);
    vt_threads_set(1);
    vt_status status = VT_ENOMEM;
    int tries = 0;
    for (; status != VT_OK; tries++) {
        vt_alloc_fail_after(tries);
        status = vt_teacher_new(&teacher, models, MODELS, &(vt_teacher_options){.cache = cache});
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
    }
    assert_true(tries > 20);
    vt_teacher_free(teacher);
    status = VT_ENOMEM;
    for (int i = 0; status != VT_OK; i += 1 + i / 8) {
        unlink(cache);
        teacher = new_teacher(cache);
        vt_alloc_fail_after(i);
        status = vt_teacher_responses(teacher, stream, counting(), IMAGES, got, NULL);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
        vt_teacher_free(teacher);
    }
    assert_same(plain, got, IMAGES);
    vt_threads_set(0);
    vt_image_stream_close(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_models_answer),  cmocka_unit_test(test_whose_neurons),
        cmocka_unit_test(test_extension_and_order), cmocka_unit_test(test_changed_image),
        cmocka_unit_test(test_changed_models),      cmocka_unit_test(test_killed),
        cmocka_unit_test(test_interrupted),         cmocka_unit_test(test_damage),
        cmocka_unit_test(test_full_disk),           cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
