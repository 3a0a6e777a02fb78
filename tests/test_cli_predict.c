/* ventral predict: what it writes for which stimuli, and what it says when it cannot. */
#include "cli.h"

#include "ventral/predict.h"
#include "ventral/resnet.h"

enum { IMAGES = 7, PIXELS = 112 * 112 * 3 };

/* One folder for all tests: recording "s", models, stimuli as zip, folder, bytes and floats. */
static char root[4096];
static const char *model, *other, *many, *images_zip;

static void write_npy(const char *path, vt_dtype dtype, int64_t count, const void *data)
{
    vt_tensor t;
    assert_ok(vt_tensor_init(&t, dtype, 4, (int64_t[]){count, 112, 112, 3}, (void *)data));
    assert_ok(vt_npy_write(&t, path));
}

static void write_stimuli(void)
{
    int size = 112;
    uint8_t *bytes = malloc((size_t)IMAGES * PIXELS);
    float *floats = malloc((size_t)IMAGES * PIXELS * sizeof *floats);
    assert_int_equal(0, mkdir(cli_join(root, "folder"), 0777));
    for (int i = 0; i < IMAGES; i++) {
        char name[64];
        void *png;
        size_t png_size;
        vt_image image;
        assert_ok(cli_image(&size, i, &image));
        memcpy(bytes + i * PIXELS, image.pixels, PIXELS);
        assert_ok(vt_png_encode(&png, &png_size, &image));
        snprintf(name, sizeof name, "folder/%d.png", i + 1);
        assert_ok(vt_file_write(cli_join(root, name), png, png_size));
        free(png);
        free(image.pixels);
    }
    for (int k = 0; k < IMAGES * PIXELS; k++)
        floats[k] = (float)bytes[k] - (float[]){116.222F, 109.270F, 100.381F}[k % 3];
    write_npy(cli_join(root, "bytes.npy"), VT_U8, IMAGES, bytes);
    write_npy(cli_join(root, "floats.npy"), VT_F32, IMAGES, floats);
    floats[3 * PIXELS + 5] = NAN;
    write_npy(cli_join(root, "nan.npy"), VT_F32, IMAGES, floats);
    free(bytes);
    free(floats);
}

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    cli_write_recording(root, &(cli_recording){.id = "s", .images = IMAGES, .neurons = 2});
    model = strdup(cli_join(root, "model.safetensors"));
    other = strdup(cli_join(root, "other.safetensors"));
    many = strdup(cli_join(root, "many.safetensors"));
    images_zip = strdup(cli_join(root, "images/images_s.zip"));
    cli_write_model(model, NULL, 1, 1);
    cli_write_model(other, NULL, 1, 2);
    cli_write_model(many, NULL, 3, 3);
    write_stimuli();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)model);
    free((void *)other);
    free((void *)many);
    free((void *)images_zip);
    return 0;
}

/* The float32 array of these sizes at `path`; vt_tensor_free. */
static vt_tensor read_result(const char *path, int ndim, const int64_t *size)
{
    vt_tensor t;
    assert_ok(vt_npy_read(&t, path));
    assert_int_equal(VT_F32, t.dtype);
    assert_int_equal(ndim, t.ndim);
    for (int i = 0; i < ndim; i++)
        assert_int_equal(size[i], t.size[i]);
    return t;
}

#define OUT cli_join(root, "out.npy")

static void test_common(void **state)
{
    (void)state;
    cli_check_command("predict", "--images", true);
    cli_misused("which model", "predict", "-i", images_zip, "-o", OUT);
    cli_misused("--images and --output", "predict", model, "-o", OUT);
    cli_misused("--images and --output", "predict", model, "-i", images_zip);
    cli_misused("--tap", "predict", model, other, "-i", images_zip, "-o", OUT, "--tap", "x");
    cli_misused("--batch", "predict", model, "-i", images_zip, "-o", OUT, "--batch", "-1");
}

static void test_writes_models_by_images(void **state)
{
    (void)state;
    cli_ok("predict", model, many, other, "-i", images_zip, "-o", OUT);
    vt_tensor all = read_result(OUT, 2, (int64_t[]){5, IMAGES});
    cli_ok("predict", other, "-i", images_zip, "-o", OUT, "--range", "2:6", "--batch", "3");
    vt_tensor part = read_result(OUT, 2, (int64_t[]){1, 4});
    const float *row = (const float *)all.data + 4 * IMAGES;
    for (int i = 0; i < 4; i++)
        assert_close(((float *)part.data)[i], row[2 + i], 1e-5 * (1 + fabs((double)row[2 + i])));
    assert_true(fabs((double)row[0] - row[1]) > 1e-4); /* images matter */
    vt_tensor_free(&all);
    vt_tensor_free(&part);
}

static void test_library_agrees(void **state)
{
    (void)state;
    vt_model *read;
    vt_stimulus_set *stimuli;
    vt_tensor expected;
    cli_ok("predict", many, "-i", images_zip, "-o", OUT);
    vt_tensor written = read_result(OUT, 2, (int64_t[]){3, IMAGES});
    assert_ok(vt_model_read(&read, many));
    assert_ok(vt_stimulus_set_open(&stimuli, images_zip));
    assert_ok(
        vt_predict_responses(&expected, &read, 1, stimuli, &(vt_predict_options){.begin = 0}));
    assert_memory_equal(expected.data, written.data, vt_tensor_bytes(&expected));
    vt_stimulus_set_close(stimuli);
    vt_model_free(read);
    vt_tensor_free(&expected);
    vt_tensor_free(&written);
}

/* Zip, folder, bytes and floats less the channel means by hand are the same stimuli. */
static void test_stimuli_are_one(void **state)
{
    (void)state;
    cli_ok("predict", model, "-i", images_zip, "-o", OUT);
    static const char *const others[] = {"folder", "bytes.npy", "floats.npy"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *again = cli_join(root, "again.npy");
        cli_ok("predict", model, "-i", cli_join(root, others[i]), "-o", again);
        cli_assert_same_file(OUT, again);
        unlink(again);
    }
}

static void test_tap(void **state)
{
    (void)state;
    json_t *root_json = cli_json("info", model), *node;
    size_t index;
    int taps = 0;
    json_array_foreach(json_object_get(root_json, "nodes"), index, node)
    {
        const char *name = json_string_value(json_object_get(node, "name"));
        const char *kind = json_string_value(json_object_get(node, "kind"));
        if (strcmp(kind, "conv2d") != 0 && strcmp(kind, "linear") != 0) continue;
        int64_t size[VT_MAX_DIMS] = {3};
        json_t *sizes = json_object_get(node, "size");
        int ndim = 1 + (int)json_array_size(sizes);
        for (int i = 1; i < ndim; i++)
            size[i] = json_integer_value(json_array_get(sizes, (size_t)i - 1));
        cli_ok("predict", model, "-i", images_zip, "-o", OUT, "-r", "1:4", "--tap", name);
        vt_tensor t = read_result(OUT, ndim, size);
        vt_tensor_free(&t);
        taps++;
    }
    assert_true(taps >= 6);
    json_decref(root_json);
    cli_fails("'nowhere'", "no node", "predict", model, "-i", images_zip, "-o", OUT, "--tap",
              "nowhere");
}

/* ---- networks of V1 ---- */

enum { SIDE = 64, SHOWN = 3 };

/* A small network with those weights, as its own file or as a state dictionary. */
static void write_network(const char *path, const char *name, bool state_dictionary)
{
    vt_model *network;
    vt_tensor_map *map;
    vt_resnet_options o = {.width = 0.0625, .classes = 6, .formulation = VT_RELEASED, .seed = 2};
    assert_ok(vt_resnet_parse_name(&o, name));
    assert_ok(vt_resnet_new(&network, &o));
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(state_dictionary ? vt_resnet_state_dict(network, map)
                               : vt_model_to_map(network, map));
    assert_ok(vt_safetensors_write(map, path));
    vt_tensor_map_free(map);
    vt_model_free(network);
}

/* The library's own plan on the same images. */
static void check_against_plan(const char *network, const char *tap, const float *images)
{
    vt_model *read;
    vt_plan *plan;
    assert_ok(vt_model_read(&read, network));
    vt_node node = vt_graph_find(vt_model_graph(read), tap);
    assert_int_not_equal(node, VT_NO_NODE);
    assert_ok(vt_plan_new(&plan, vt_model_graph(read),
                          &(vt_plan_options){.batch = SHOWN, .outputs = &node, .output_count = 1}));
    vt_tensor *input = vt_plan_input(plan, vt_model_input(read));
    memcpy(input->data, images, vt_tensor_bytes(input));
    assert_ok(vt_plan_forward(plan));
    const vt_tensor *expected = vt_plan_output(plan, node);
    vt_tensor written = read_result(OUT, expected->ndim, expected->size);
    assert_memory_equal(expected->data, written.data, vt_tensor_bytes(expected));
    vt_tensor_free(&written);
    vt_plan_free(plan);
    vt_model_free(read);
}

static void test_networks(void **state)
{
    (void)state;
    static const char *const taps[] = {"layer1", "layer1.0.conv1", "layer1.1.dn", "layer4", "fc"};
    enum { VALUES = SHOWN * SIDE * SIDE * 3 };
    const char *network = cli_join(root, "images/network.safetensors");
    const char *floats = cli_join(root, "images/floats.npy");
    float *images = malloc(VALUES * sizeof *images);
    vt_tensor t;
    for (int i = 0; i < VALUES; i++)
        images[i] = (float)sin(0.37 * i + 0.001 * pow(i, 1.5));
    assert_ok(vt_tensor_init(&t, VT_F32, 4, (int64_t[]){SHOWN, SIDE, SIDE, 3}, images));
    assert_ok(vt_npy_write(&t, floats));
    write_network(network, "resnet18-composite_a", false);
    for (size_t i = 0; i < sizeof taps / sizeof *taps; i++) {
        cli_ok("predict", network, "-i", floats, "-o", OUT, "--tap", taps[i]);
        check_against_plan(network, taps[i], images);
    }
    free(images);
    cli_fails("'conv9'",
              "it has input, conv1, bn1, relu, maxpool, layer1, layer2, layer3, layer4, ",
              "predict", network, "-i", floats, "-o", OUT, "--tap", "conv9");
    cli_fails("'layer1.2'", "layer1 has layer1.0, layer1.1\n", "predict", network, "-i", floats,
              "-o", OUT, "--tap", "layer1.2");
    cli_fails("'layer1.0.conv3.weight'", "layer1.0 has layer1.0.conv1, layer1.0.bn1, ", "predict",
              network, "-i", floats, "-o", OUT, "--tap", "layer1.0.conv3.weight");
    cli_fails("''", "it has input, ", "predict", network, "-i", floats, "-o", OUT, "--tap", "");
}

/* Weights that do not say which network they are. */
static void test_named_network(void **state)
{
    (void)state;
    const char *weights = cli_join(root, "images/weights.safetensors");
    const char *floats = cli_join(root, "images/floats.npy");
    write_network(weights, "resnet18-composite_b", true);
    cli_fails("composite_b or resnet18-composite_g", "--network", "predict", weights, "-i", floats,
              "-o", OUT);
    cli_ok("predict", weights, "-i", floats, "-o", OUT, "--network", "resnet18-composite_b");
    vt_tensor b = read_result(OUT, 2, (int64_t[]){6, SHOWN});
    cli_ok("predict", weights, "-i", floats, "-o", OUT, "--network", "resnet18-composite_g");
    vt_tensor g = read_result(OUT, 2, (int64_t[]){6, SHOWN});
    assert_true(memcmp(b.data, g.data, vt_tensor_bytes(&b)) != 0);
    vt_tensor_free(&b);
    vt_tensor_free(&g);
    cli_fails("composite_z", "no network", "predict", weights, "-i", floats, "-o", OUT, "-n",
              "composite_z");
    cli_fails("model.safetensors", "a ResNet", "predict", model, "-i", images_zip, "-o", OUT, "-n",
              "resnet18");
}

static void test_json(void **state)
{
    (void)state;
    json_t *r = cli_json("predict", model, many, "-i", images_zip, "-o", OUT, "-r", "first");
    const char *output;
    int models, outputs, images;
    assert_int_equal(0, json_unpack(r, "{s:s, s:i, s:i, s:i}", "output", &output, "models", &models,
                                    "outputs", &outputs, "images", &images));
    assert_string_equal(OUT, output);
    assert_int_equal(2, models);
    assert_int_equal(4, outputs);
    assert_int_equal(3, images);
    assert_true(json_is_null(json_object_get(r, "tap")));
    json_decref(r);
}

/* ---- bad input ---- */

static const char known[] = ";folder;images;responses_repeat_averaged;model.safetensors;"
                            "other.safetensors;many.safetensors;bytes.npy;floats.npy;nan.npy;";

/* One failing run must leave nothing behind. */
static void fails_cleanly(const char *names, const char *says, const char *model_path,
                          const char *images)
{
    unlink(OUT);
    cli_fails(names, says, "predict", model_path, "-i", images, "-o", OUT);
    cli_assert_only(root, known);
}

static void test_missing_and_strange_files(void **state)
{
    (void)state;
    fails_cleanly("absent.pt", "No such file", cli_join(root, "absent.pt"), images_zip);
    fails_cleanly("absent.zip", "No such file", model, cli_join(root, "absent.zip"));
    fails_cleanly(root, "folder", root, images_zip);
    fails_cleanly("/images", "no images", model, cli_join(root, "images"));
    fails_cleanly("nan.npy", "NaN", model, cli_join(root, "nan.npy"));
    fails_cleanly("model.safetensors", "", model, model);
    fails_cleanly("floats.npy", "not a model", cli_join(root, "floats.npy"), images_zip);
}

/* The first `size` bytes of a file, some changed, under another name. */
static void damage(const char *from, const char *to, size_t keep, size_t change_at, int change)
{
    void *data;
    size_t size;
    assert_ok(vt_file_read(&data, &size, from));
    if (keep > size) keep = size;
    if (change_at < keep) ((unsigned char *)data)[change_at] ^= (unsigned char)change;
    assert_ok(vt_file_write(to, data, keep));
    free(data);
}

static void test_damaged_images(void **state)
{
    (void)state;
    struct stat info;
    assert_int_equal(0, mkdir(cli_join(root, "images/bad"), 0777));
    const char *bad = cli_join(root, "images/bad/bad.zip");
    assert_int_equal(0, stat(images_zip, &info));
    size_t size = (size_t)info.st_size;
    damage(images_zip, bad, 0, 0, 0);
    fails_cleanly("bad.zip", "", model, bad);
    damage(images_zip, bad, size / 2, SIZE_MAX, 0);
    fails_cleanly("bad.zip", "", model, bad);
    damage(images_zip, bad, size, size / 2, 0x55);
    fails_cleanly("bad.zip", "image", model, bad);
    const char *npy = cli_join(root, "images/bad/bad.npy");
    damage(cli_join(root, "floats.npy"), npy, 100000, SIZE_MAX, 0);
    fails_cleanly("bad.npy", "", model, npy);
    damage(cli_join(root, "floats.npy"), npy, 0, SIZE_MAX, 0);
    fails_cleanly("bad.npy", "", model, npy);
    damage(cli_join(root, "floats.npy"), npy, SIZE_MAX, 20, 0x55);
    fails_cleanly("bad.npy", "", model, npy);
    damage(cli_join(root, "bytes.npy"), npy, 100000, SIZE_MAX, 0);
    fails_cleanly("bad.npy", "", model, npy);
}

/* A zip whose second image is a JPEG cut short, or no image at all. */
static void test_damaged_jpeg_in_zip(void **state)
{
    (void)state;
    int side = 64;
    vt_image image;
    void *jpeg;
    size_t jpeg_size;
    assert_ok(cli_image(&side, 3, &image));
    assert_ok(vt_jpeg_encode(&jpeg, &jpeg_size, &image, 90));
    free(image.pixels);
    const char *path = cli_join(root, "images/bad/jpeg.zip");
    const struct {
        const void *data;
        size_t size;
    } seconds[] = {{jpeg, jpeg_size / 2}, {jpeg, 0}, {"no image at all", 15}};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        vt_zip_writer *zip;
        assert_ok(vt_zip_writer_new(&zip, path));
        assert_ok(vt_zip_writer_add(zip, "a1.jpg", jpeg, jpeg_size, false));
        assert_ok(vt_zip_writer_add(zip, "a2.jpg", seconds[i].data, seconds[i].size, false));
        assert_ok(vt_zip_writer_finish(zip));
        fails_cleanly("jpeg.zip", "a2.jpg", model, path);
    }
    free(jpeg);
}

static void test_damaged_models(void **state)
{
    (void)state;
    const char *bad = cli_join(root, "images/bad/bad.safetensors");
    damage(model, bad, 0, SIZE_MAX, 0);
    fails_cleanly("bad.safetensors", "", bad, images_zip);
    damage(model, bad, 300, SIZE_MAX, 0);
    fails_cleanly("bad.safetensors", "", bad, images_zip);
    damage(model, bad, 3000, SIZE_MAX, 0);
    fails_cleanly("bad.safetensors", "", bad, images_zip);
    damage(model, bad, SIZE_MAX, 12, 0x55);
    fails_cleanly("bad.safetensors", "", bad, images_zip);
}

static void test_damaged_published_models(void **state)
{
    (void)state;
    static const char *const files[] = {"keras/compact_model_190923_neuron0.keras",
                                        "h5/compact_model_190923_neuron0.h5",
                                        "torch/compact_model_190923_neuron0.pt"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char relative[200], name[64];
        snprintf(relative, sizeof relative, "V4_compact_models/data_compact_models/models_%s",
                 files[i]);
        need_shared(path, relative);
        const char *dot = strrchr(files[i], '.');
        snprintf(name, sizeof name, "images/bad/bad%s", dot);
        const char *bad = cli_join(root, name);
        damage(path, bad, 20000, SIZE_MAX, 0);
        fails_cleanly(strrchr(bad, '/'), "", bad, images_zip);
        damage(path, bad, 10, SIZE_MAX, 0);
        fails_cleanly(strrchr(bad, '/'), "", bad, images_zip);
        damage(path, bad, SIZE_MAX, 1, 0x55);
        fails_cleanly(strrchr(bad, '/'), "", bad, images_zip);
    }
}

static void test_impossible_wishes(void **state)
{
    (void)state;
    unlink(OUT);
    cli_fails("5:9", "7", "predict", model, "-i", images_zip, "-o", OUT, "--range", "5:9");
    cli_fails("4:4", "", "predict", model, "-i", images_zip, "-o", OUT, "--range", "4:4");
    cli_fails("third", "", "predict", model, "-i", images_zip, "-o", OUT, "--range", "third");
    cli_fails("epsilon", "", "predict", model, "-i", images_zip, "-o", OUT, "--epsilon", "-1");
    cli_fails("nowhere/out.npy", "No such file", "predict", model, "-i", images_zip, "-o",
              cli_join(root, "nowhere/out.npy"));
    cli_fails(root, "folder", "predict", model, "-i", images_zip, "-o", root);
    cli_assert_only(root, known);
}

static void test_full_disk(void **state)
{
    (void)state;
    unlink(OUT);
    cli_how how = {.largest_file = 120};
    const char *const matrix[] = {"ventral", "predict", model, "-i", images_zip, "-o", OUT, NULL};
    cli_assert_fails(cli_run_how(matrix, &how), 1, "out.npy", "File too large");
    cli_assert_only(root, known);
    const char *const tap[] = {"ventral", "predict", model,   "-i",          images_zip,
                               "-o",      OUT,       "--tap", "layer0_conv", NULL};
    how.largest_file = 100000;
    cli_assert_fails(cli_run_how(tap, &how), 1, "out.npy", "File too large");
    cli_assert_only(root, known);
    /* What was there before stays. */
    cli_ok("predict", model, "-i", images_zip, "-o", OUT);
    const char *again = cli_join(root, "again.npy");
    cli_ok("predict", model, "-i", images_zip, "-o", again);
    how.largest_file = 120;
    cli_assert_fails(cli_run_how(matrix, &how), 1, "out.npy", "File too large");
    cli_assert_same_file(OUT, again);
    unlink(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_writes_models_by_images),
        cmocka_unit_test(test_library_agrees),
        cmocka_unit_test(test_stimuli_are_one),
        cmocka_unit_test(test_tap),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_named_network),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_missing_and_strange_files),
        cmocka_unit_test(test_damaged_images),
        cmocka_unit_test(test_damaged_jpeg_in_zip),
        cmocka_unit_test(test_damaged_models),
        cmocka_unit_test(test_damaged_published_models),
        cmocka_unit_test(test_impossible_wishes),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
