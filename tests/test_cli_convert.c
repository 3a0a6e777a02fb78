/* ventral convert: what it writes, from which kinds of files, and what it says when it cannot. */
#include "cli.h"

#include "ventral/resnet.h"
#include "ventral/weights.h"

/* One folder for all tests: a network as this library's file ("own") and as a state dictionary
 * whose weights two variants share ("shared"), a compact model, a stranger. */
static char root[4096];
static const char *own, *shared, *compact, *stranger, *out, *npz;

static const char known[] = ";own.safetensors;shared.safetensors;compact.safetensors;"
                            "stranger.safetensors;cut.safetensors;";

static void write_network(const char *path, const char *name, bool state_dictionary)
{
    vt_model *network;
    vt_tensor_map *map;
    vt_resnet_options o = {.width = 0.0625, .classes = 6, .seed = 2};
    assert_ok(vt_resnet_parse_name(&o, name));
    assert_ok(vt_resnet_new(&network, &o));
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(state_dictionary ? vt_resnet_state_dict(network, map)
                               : vt_model_to_map(network, map));
    assert_ok(vt_safetensors_write(map, path));
    vt_tensor_map_free(map);
    vt_model_free(network);
}

/* A VGG's first layers. */
static void write_stranger(const char *path)
{
    vt_tensor_map *map;
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(
        vt_tensor_map_add(map, "features.0.weight", VT_F32, 4, (int64_t[]){8, 3, 3, 3}, NULL));
    assert_ok(vt_tensor_map_add(map, "features.0.bias", VT_F32, 1, (int64_t[]){8}, NULL));
    assert_ok(vt_tensor_map_add(map, "classifier.0.weight", VT_F32, 2, (int64_t[]){4, 8}, NULL));
    assert_ok(vt_safetensors_write(map, path));
    vt_tensor_map_free(map);
}

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    own = strdup(cli_join(root, "own.safetensors"));
    shared = strdup(cli_join(root, "shared.safetensors"));
    compact = strdup(cli_join(root, "compact.safetensors"));
    stranger = strdup(cli_join(root, "stranger.safetensors"));
    out = strdup(cli_join(root, "out.safetensors"));
    npz = strdup(cli_join(root, "out.npz"));
    write_network(own, "resnet18-composite_a", false);
    write_network(shared, "resnet18-composite_a", true);
    cli_write_model(compact, "s", 3, 1);
    write_stranger(stranger);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    const char *const paths[] = {own, shared, compact, stranger, out, npz};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        free((void *)paths[i]);
    remove_folder(root);
    return 0;
}

static void test_misuse(void **state)
{
    (void)state;
    cli_check_command("convert", "--state-dict", true);
    cli_misused("a model and a file", "convert", own);
    cli_misused("a model and a file", "convert", own, out, out);
    cli_misused("out.pt: only .safetensors, .npz and .h5", "convert", own,
                cli_join(root, "out.pt"));
    cli_misused(".safetensors: only", "convert", own, ".safetensors");
    cli_misused("--state-dict is PyTorch's", "convert", own, cli_join(root, "out.h5"),
                "--state-dict");
    cli_misused("there is no network 'resnet51'", "convert", own, out, "--network", "resnet51");
    cli_misused("no formulation 'wrong'", "convert", own, out, "--formulation", "wrong");
    cli_assert_only(root, known);
}

static void assert_same_tensors(const vt_tensor_map *a, const vt_tensor_map *b)
{
    assert_int_equal(vt_tensor_map_count(a), vt_tensor_map_count(b));
    for (int i = 0; i < vt_tensor_map_count(a); i++) {
        const vt_tensor *t = vt_tensor_map_at(a, i), *u = vt_tensor_map_find(b, t->name);
        assert_non_null(u);
        assert_int_equal(t->dtype, u->dtype);
        assert_int_equal(t->ndim, u->ndim);
        assert_memory_equal(t->size, u->size, (size_t)t->ndim * sizeof *t->size);
        assert_memory_equal(t->data, u->data, vt_tensor_bytes(t));
    }
}

static vt_tensor_map *read_map(const char *path)
{
    vt_tensor_map *map;
    assert_ok(strstr(path, ".npz") ? vt_npz_read(&map, path) : vt_safetensors_read(&map, path));
    return map;
}

static void assert_same_files(const char *a, const char *b)
{
    vt_tensor_map *first = read_map(a), *second = read_map(b);
    assert_same_tensors(first, second);
    vt_tensor_map_free(first);
    vt_tensor_map_free(second);
}

/* There and back again are the same weights; the description decides what they are. */
static void test_there_and_back(void **state)
{
    (void)state;
    vt_model *model;
    vt_resnet_options o;
    cli_ok("convert", own, out, "--formulation", "released", "--state-dict");
    assert_same_files(out, shared);
    cli_fails("composite_a or resnet18-composite_d", "--network", "convert", shared, out);
    cli_ok("convert", shared, out, "--network", "resnet18-composite_a");
    assert_same_files(out, own);
    assert_ok(vt_model_read(&model, out));
    assert_ok(vt_model_resnet_options(model, &o));
    assert_int_equal(VT_RESNET_COMPOSITE_A, o.variant);
    assert_int_equal(VT_RELEASED, o.formulation);
    vt_model_free(model);
    cli_ok("convert", out, out, "--formulation", "described"); /* onto itself */
    cli_assert_same_file(out, own);
    unlink(out);
}

static void test_npz(void **state)
{
    (void)state;
    cli_ok("convert", own, npz);
    assert_same_files(npz, own);
    cli_ok("convert", own, npz, "--state-dict", "--formulation", "released");
    assert_same_files(npz, shared);
    cli_ok("convert", compact, npz);
    assert_same_files(npz, compact);
    unlink(npz);
}

static void test_compact_models(void **state)
{
    (void)state;
    vt_model *model;
    cli_ok("convert", compact, out);
    cli_assert_same_file(compact, out);
    assert_ok(vt_model_read(&model, out));
    assert_int_equal(1, vt_model_session_count(model));
    vt_model_free(model);
    unlink(out);
    static const char *const wishes[][2] = {
        {"--state-dict", NULL}, {"--formulation=released", NULL}, {"--network=resnet18", NULL}};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        cli_fails("compact.safetensors", "ResNet", "convert", compact, out, wishes[i][0]);
    cli_assert_only(root, known);
}

/* Keras's own format, there and back. */
static void test_keras(void **state)
{
    (void)state;
    const char *file = cli_join(root, "out.h5");
    json_t *r = cli_json("convert", compact, file);
    assert_int_equal(38, json_integer_value(json_object_get(r, "tensors")));
    json_decref(r);
    cli_ok("convert", file, npz);
    assert_same_files(npz, compact);
    cli_fails("own.safetensors", "a compact model is needed", "convert", own, file);
    unlink(file);
    unlink(npz);
    cli_assert_only(root, known);
}

/* A published model, from Keras. */
static void test_published_model(void **state)
{
    (void)state;
    need_shared(keras, "V4_compact_models/data_compact_models/models_keras/"
                       "compact_model_190923_neuron0.keras");
    json_t *r = cli_json("convert", keras, out);
    assert_string_equal("keras", json_string_value(json_object_get(r, "format")));
    assert_int_equal(12232, json_integer_value(json_object_get(r, "parameters")));
    json_decref(r);
    vt_model *from, *to;
    assert_ok(vt_model_read(&from, keras));
    assert_ok(vt_model_read(&to, out));
    assert_string_equal("190923", vt_model_session_at(to, 0)->id);
    for (int i = 0; i < vt_graph_param_count(vt_model_graph(from)); i++) {
        const vt_param *a = vt_graph_param(vt_model_graph(from), i);
        const vt_param *b = vt_graph_find_param(vt_model_graph(to), a->name);
        assert_memory_equal(a->value.data, b->value.data, vt_tensor_bytes(&a->value));
    }
    vt_model_free(from);
    vt_model_free(to);
    unlink(out);
}

static void test_reports(void **state)
{
    (void)state;
    const char *network, *formulation, *written;
    int tensors, whole;
    json_t *r = cli_json("convert", shared, out, "--network", "resnet18-composite_d");
    assert_int_equal(0, json_unpack(r, "{s:s, s:s, s:s, s:i, s:b}", "output", &written, "network",
                                    &network, "formulation", &formulation, "tensors", &tensors,
                                    "state_dict", &whole));
    assert_string_equal(out, written);
    assert_string_equal("resnet18-composite_d", network);
    assert_string_equal("released", formulation);
    assert_false(whole);
    vt_tensor_map *map = read_map(out);
    assert_int_equal(vt_tensor_map_count(map), tensors);
    vt_tensor_map_free(map);
    json_decref(r);
    /* The authors' code has one formulation: whoever writes for it is told. */
    cli_result said = cli_run("convert", own, out, "--state-dict");
    assert_int_equal(0, said.code);
    assert_non_null(strstr(said.err, "described formulation"));
    cli_free(&said);
    unlink(out);
}

static void test_what_is_not_converted(void **state)
{
    (void)state;
    const char *cut = cli_join(root, "cut.safetensors");
    void *data;
    size_t size;
    cli_fails("stranger.safetensors", "no model that is known", "convert", stranger, out);
    cli_fails("stranger.safetensors", "not a ResNet", "convert", stranger, out, "-n", "resnet18");
    cli_fails("own.safetensors", "it is a resnet18-composite_a, not a resnet50", "convert", own,
              out, "-n", "resnet50");
    cli_fails("shared.safetensors", "missing: ", "convert", shared, out, "-n", "resnet50");
    cli_fails("absent.pt", "No such file", "convert", cli_join(root, "absent.pt"), out);
    cli_fails("nowhere", "No such file", "convert", own, cli_join(root, "nowhere/out.npz"));
    assert_ok(vt_file_read(&data, &size, shared));
    const size_t keeps[] = {0, 4, 9, 5000, size / 2, size - 1};
    for (size_t k = 0; k < sizeof keeps / sizeof *keeps; k++) {
        assert_ok(vt_file_write(cut, data, keeps[k]));
        cli_fails("cut.safetensors", "", "convert", cut, out, "-n", "resnet18-composite_a");
    }
    free(data);
    cli_assert_only(root, known);
}

static void test_full_disk(void **state)
{
    (void)state;
    cli_how how = {.largest_file = 5000};
    const char *const paths[] = {out, npz};
    for (int i = 0; i < 2; i++) {
        const char *const plain[] = {"ventral", "convert", own, paths[i], NULL};
        cli_assert_fails(cli_run_how(plain, &how), 1, strrchr(paths[i], '/'), "File too large");
    }
    const char *const keras[] = {"ventral", "convert", compact, cli_join(root, "out.h5"), NULL};
    cli_assert_fails(cli_run_how(keras, &how), 1, "out.h5", "File too large");
    cli_assert_only(root, known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_misuse),    cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_npz),       cmocka_unit_test(test_compact_models),
        cmocka_unit_test(test_keras),     cmocka_unit_test(test_published_model),
        cmocka_unit_test(test_reports),   cmocka_unit_test(test_what_is_not_converted),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
