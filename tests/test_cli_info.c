/* ventral info: models, arrays, named tensors, images, recordings, and what is none of them. */
#include "cli.h"

/* One folder for all tests. */
static char root[4096];

static int set_up(void **state)
{
    (void)state;
    vt_tensor t;
    vt_tensor_map *map;
    new_folder(root);
    cli_write_recording(cli_join(root, "rec"),
                        &(cli_recording){.id = "a", .images = 4, .neurons = 2, .size = 20});
    cli_write_recording(
        cli_join(root, "rec"),
        &(cli_recording){.id = "b", .images = 5, .neurons = 3, .repeats = 2, .size = 20});
    cli_write_model(cli_join(root, "model.safetensors"), "a", 2, 1);
    assert_ok(vt_tensor_new(&t, VT_I16, 2, (int64_t[]){3, 4}));
    snprintf(t.name, sizeof t.name, "counts");
    assert_ok(vt_npy_write(&t, cli_join(root, "t.npy")));
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(vt_tensor_map_add_copy(map, "counts", &t));
    assert_ok(vt_tensor_map_set_text(map, "made", "by hand"));
    assert_ok(vt_npz_write(map, cli_join(root, "t.npz")));
    assert_ok(vt_safetensors_write(map, cli_join(root, "t.safetensors")));
    vt_tensor_map_free(map);
    vt_tensor_free(&t);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    return 0;
}

static void test_common(void **state)
{
    (void)state;
    cli_check_command("info", "PATH", true);
    cli_misused("one path", "info", root, root);
}

/* Prints something that contains `says`, and JSON whose "kind" is `kind`; json_decref. */
static json_t *check_info(const char *name, const char *says, const char *kind)
{
    const char *path = cli_join(root, name);
    char *text = cli_output_of(cli_run("info", path));
    if (!strstr(text, says)) fail_msg("info %s does not say '%s': %s", name, says, text);
    free(text);
    json_t *r = cli_json("info", path);
    assert_string_equal(kind, json_string_value(json_object_get(r, "kind")));
    assert_string_equal(path, json_string_value(json_object_get(r, "path")));
    return r;
}

static int whole(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) fail_msg("%s is no whole number", key);
    return (int)json_integer_value(value);
}

static void test_model(void **state)
{
    (void)state;
    json_t *r = check_info("model.safetensors", "shared_compact model", "model");
    const char *architecture, *format, *session;
    int input[3], filters[5], outputs, parameters, first, neurons;
    assert_int_equal(
        0,
        json_unpack(r, "{s:s, s:s, s:[i,i,i], s:[i,i,i,i,i], s:i, s:i, s:[{s:s, s:i, s:i}]}",
                    "architecture", &architecture, "format", &format, "input", &input[0], &input[1],
                    &input[2], "filters", &filters[0], &filters[1], &filters[2], &filters[3],
                    &filters[4], "outputs", &outputs, "parameters", &parameters, "sessions",
                    "session", &session, "first_output", &first, "neurons", &neurons));
    assert_string_equal("shared_compact", architecture);
    assert_string_equal("safetensors", format);
    assert_string_equal("a", session);
    assert_int_equal(112, input[1]);
    assert_int_equal(3, filters[2]);
    assert_int_equal(2, outputs);
    assert_int_equal(2, neurons);
    vt_model *model;
    assert_ok(vt_model_read(&model, cli_join(root, "model.safetensors")));
    assert_int_equal(vt_model_parameters(model), parameters);
    assert_int_equal(vt_graph_node_count(vt_model_graph(model)),
                     json_array_size(json_object_get(r, "nodes")));
    vt_model_free(model);
    json_decref(r);
}

/* Networks of V1, by name: what is where, with how many parameters. */
static void test_networks(void **state)
{
    (void)state;
    enum { RESNET18 = 11689512, RESNET50 = 25557032, SURROUND = 3 * 16 * 16 };
    enum { LOCAL = 16 * 16 * 64 * 64 * 9, SHARED = 64 * 64 * 9, DIVISIVE = 6 * 64 * 64 + 1 };
    static const struct {
        const char *name;
        int parameters, components, first;
        const char *node, *component;
    } cases[] = {{"resnet50", RESNET50, 0, 0, "", ""},
                 {"resnet18-local_rf", RESNET18 - SHARED + LOCAL, 1, LOCAL, "layer1.1.conv2.1",
                  "local receptive fields"},
                 {"resnet18-composite_a", RESNET18 - SHARED + LOCAL + SURROUND + 2 * 64, 5, 0,
                  "maxpool", "cortical magnification"},
                 {"resnet18-div_norm", RESNET18 + 2 * DIVISIVE, 2, DIVISIVE, "layer1.0.dn",
                  "divisive normalization"}};
    char *text = cli_output_of(cli_run("info", "resnet18-tuned_norm"));
    if (!strstr(text, "parameters  11689640\n") || !strstr(text, "\ntuned normalization"))
        fail_msg("resnet18-tuned_norm: %s", text);
    free(text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *r = cli_json("info", cases[i].name), *list = json_object_get(r, "components");
        assert_int_equal(cases[i].parameters, whole(r, "parameters"));
        assert_string_equal("new", json_string_value(json_object_get(r, "format")));
        assert_int_equal(cases[i].components, json_array_size(list));
        double gflop = json_number_value(json_object_get(r, "gflop"));
        if (i == 0) /* 4.09e9 multiplications at 224 pixels */
            assert_close(gflop, 2 * 4.09 * 64 * 64 / (224 * 224), 0.01);
        const char *node, *component, *formulation;
        int parameters;
        if (cases[i].components > 0) {
            assert_int_equal(0, json_unpack(json_array_get(list, 0), "{s:s, s:s, s:s, s:i}", "node",
                                            &node, "component", &component, "formulation",
                                            &formulation, "parameters", &parameters));
            assert_string_equal(cases[i].node, node);
            assert_string_equal(cases[i].component, component);
            assert_string_equal("described", formulation);
            assert_int_equal(cases[i].first, parameters);
        }
        json_decref(r);
    }
    cli_fails("resnet51", "no such file, folder or network", "info", "resnet51");
}

static void test_arrays(void **state)
{
    (void)state;
    json_t *r = check_info("t.npy", "int16 (3, 4)", "array");
    assert_string_equal("int16", json_string_value(json_object_get(r, "dtype")));
    assert_int_equal(2, json_array_size(json_object_get(r, "size")));
    json_decref(r);
    static const char *const files[] = {"t.npz", "t.safetensors"};
    for (int i = 0; i < 2; i++) {
        r = check_info(files[i], "counts", "tensors");
        assert_int_equal(12, whole(r, "elements"));
        json_t *texts = json_object_get(r, "texts");
        assert_string_equal("by hand", json_string_value(json_object_get(texts, "made")));
        json_decref(r);
    }
}

static void test_images_and_recordings(void **state)
{
    (void)state;
    json_t *r = check_info("rec/images/images_a.zip", "4 images, the first 20 x 20", "images");
    assert_int_equal(4, whole(r, "images"));
    assert_int_equal(20, whole(r, "height"));
    json_decref(r);
    r = check_info("rec", "2 sessions", "recordings");
    json_t *b = json_array_get(json_object_get(r, "sessions"), 1);
    assert_string_equal("b", json_string_value(json_object_get(b, "session")));
    assert_int_equal(3, whole(b, "neurons"));
    assert_int_equal(5, whole(b, "images"));
    assert_int_equal(2, whole(b, "repeats"));
    assert_true(json_is_true(json_object_get(b, "has_raw")));
    json_decref(r);
    int size = 30;
    vt_image image;
    void *jpeg;
    size_t bytes;
    assert_ok(cli_image(&size, 0, &image));
    assert_ok(vt_jpeg_encode(&jpeg, &bytes, &image, 90));
    assert_ok(vt_file_write(cli_join(root, "one.jpg"), jpeg, bytes));
    free(jpeg);
    free(image.pixels);
    r = check_info("one.jpg", "image, 30 x 30", "image");
    assert_int_equal(30, whole(r, "width"));
    json_decref(r);
}

static void write_text(const char *name, const char *text)
{
    assert_ok(vt_file_write(cli_join(root, name), text, strlen(text)));
}

/* Rubbish and nothing, under every name that means something. */
static void test_rubbish(void **state)
{
    (void)state;
    static const char *const names[] = {"x.npy",   "x.npz",         "x.zip", "x.jpg",
                                        "x.png",   "x.safetensors", "x.h5",  "x.pt",
                                        "x.keras", "x.mat",         "x.txt", "x"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        write_text(names[i], "");
        cli_fails(names[i], "", "info", cli_join(root, names[i]));
        write_text(names[i], "this is no such file, whatever its name says; it is only text");
        cli_fails(names[i], "", "info", cli_join(root, names[i]));
        unlink(cli_join(root, names[i]));
    }
    write_text("x.h5", "\x89HDF\r\n\x1a\n and then rubbish");
    cli_fails("x.h5", "", "info", cli_join(root, "x.h5"));
    write_text("x.keras", "PK\x03\x04 and then rubbish");
    cli_fails("x.keras", "", "info", cli_join(root, "x.keras"));
    cli_fails("absent", "no such file", "info", cli_join(root, "absent"));
    assert_int_equal(0, mkdir(cli_join(root, "empty"), 0777));
    cli_fails("empty", "neither recordings nor images", "info", cli_join(root, "empty"));
}

/* Every file of recordings cut short. */
static void test_truncated(void **state)
{
    (void)state;
    static const char *const names[] = {"model.safetensors", "t.npy", "t.npz", "t.safetensors",
                                        "rec/images/images_a.zip"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *data;
        size_t size;
        const char *dot = strrchr(names[i], '.');
        char cut[32];
        snprintf(cut, sizeof cut, "cut%s", dot);
        assert_ok(vt_file_read(&data, &size, cli_join(root, names[i])));
        const size_t keeps[] = {0, 1, 9, size / 2, size - 1};
        for (size_t k = 0; k < sizeof keeps / sizeof *keeps; k++) {
            assert_ok(vt_file_write(cli_join(root, cut), data, keeps[k]));
            cli_fails(cut, "", "info", cli_join(root, cut));
        }
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_images_and_recordings),
        cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_truncated),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
