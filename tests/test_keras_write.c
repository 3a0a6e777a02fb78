/* Keras files as they are written: what Keras looks for in them, and that they are read back. */
#include "test.h"

#include <hdf5.h>

#include "base/arena.h"
#include "ventral/io.h"
#include "ventral/model.h"
#include "ventral/resnet.h"
#include "ventral/weights.h"

static char root[4096], path[4200], again[4200];

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    snprintf(path, sizeof path, "%s/model.h5", root);
    snprintf(again, sizeof again, "%s/again.h5", root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    return 0;
}

static vt_model *make_model(bool shared, bool linear)
{
    vt_model *model;
    vt_compact_options o = {.filters = {3, 4, 2, 5, 6},
                            .height = 20,
                            .width = 20,
                            .epsilon = 0.02,
                            .linear = linear,
                            .outputs = shared ? 7 : 1,
                            .shared = shared,
                            .seed = 4};
    assert_ok(vt_compact_new(&model, &o));
    for (int i = 0; i < vt_graph_param_count(vt_model_graph(model)); i++) {
        vt_tensor *t = &vt_graph_param(vt_model_graph(model), i)->value;
        for (int64_t k = 0; k < vt_tensor_count(t); k++)
            ((float *)t->data)[k] = (float)(i + 1) + 0.001f * (float)k;
    }
    return model;
}

static void assert_same_file(const char *a, const char *b)
{
    void *x, *y;
    size_t x_size, y_size;
    assert_ok(vt_file_read(&x, &x_size, a));
    assert_ok(vt_file_read(&y, &y_size, b));
    assert_int_equal(x_size, y_size);
    assert_memory_equal(x, y, x_size);
    free(x);
    free(y);
}

static void test_models_come_back(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        vt_model *model = make_model(kind & 1, kind & 2), *back;
        vt_compact_options a, b;
        assert_ok(vt_model_write_keras(model, path));
        assert_ok(vt_model_read(&back, path));
        assert_string_equal("keras", vt_model_source(back));
        assert_string_equal(vt_model_architecture(model), vt_model_architecture(back));
        assert_ok(vt_model_compact_options(model, &a));
        assert_ok(vt_model_compact_options(back, &b));
        assert_memory_equal(a.filters, b.filters, sizeof a.filters);
        assert_int_equal(a.height, b.height);
        assert_int_equal(a.width, b.width);
        assert_int_equal(a.outputs, b.outputs);
        assert_true(a.epsilon == b.epsilon && a.linear == b.linear && a.shared == b.shared);
        for (int i = 0; i < vt_graph_param_count(vt_model_graph(model)); i++) {
            const vt_param *p = vt_graph_param(vt_model_graph(model), i);
            const vt_param *q = vt_graph_find_param(vt_model_graph(back), p->name);
            assert_memory_equal(p->value.data, q->value.data, vt_tensor_bytes(&p->value));
        }
        assert_ok(vt_model_write_keras(back, again));
        assert_same_file(path, again);
        vt_model_free(model);
        vt_model_free(back);
    }
}

static const vt_tensor *need(const vt_tensor_map *map, const char *name, const char *shape)
{
    char text[100], whole[200];
    snprintf(whole, sizeof whole, "model_weights/%s:0", name);
    const vt_tensor *t = vt_tensor_map_find(map, whole);
    if (!t) fail_msg("no dataset %s", whole);
    assert_string_equal(shape, vt_tensor_shape_text(t, text, sizeof text));
    assert_int_equal(VT_F32, t->dtype);
    return t;
}

static void test_layouts(void **state)
{
    (void)state;
    vt_model *model = make_model(true, false);
    vt_tensor_map *map;
    assert_ok(vt_model_write_keras(model, path));
    assert_ok(vt_hdf5_read(&map, path));
    assert_int_equal(38, vt_tensor_map_count(map));
    assert_string_equal("tensorflow", vt_tensor_map_get_text(map, "@backend"));
    assert_string_equal("2.2.4-tf", vt_tensor_map_get_text(map, "model_weights@keras_version"));
    assert_non_null(strstr(vt_tensor_map_get_text(map, "@model_config"), "spatial_pool_stage"));
    const vt_tensor *full = need(map, "layer0_conv/layer0_conv/kernel", "(5, 5, 3, 3)");
    const vt_tensor *deep = need(map, "layer2_conv/layer2_conv/depthwise_kernel", "(5, 5, 4, 1)");
    const vt_tensor *point = need(map, "layer2_conv/layer2_conv/pointwise_kernel", "(1, 1, 4, 2)");
    need(map, "layer2_conv/layer2_conv/bias", "(2,)");
    need(map, "layer4_bn/layer4_bn/moving_variance", "(6,)");
    need(map, "mixing_stage/mixing_stage/kernel", "(1, 1, 6, 7)");
    need(map, "spatial_pool_stage/spatial_pool_stage/depthwise_kernel", "(5, 5, 7, 1)");
    const vt_tensor *own[] = {
        &vt_graph_find_param(vt_model_graph(model), "layer0_conv.kernel")->value,
        &vt_graph_find_param(vt_model_graph(model), "layer2_conv.depthwise_kernel")->value,
        &vt_graph_find_param(vt_model_graph(model), "layer2_conv.pointwise_kernel")->value};
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 5; x++)
            for (int c = 0; c < 3; c++) {
                for (int f = 0; f < 3; f++)
                    assert_true(vt_tensor_get(full, ((y * 5 + x) * 3 + c) * 3 + f) ==
                                vt_tensor_get(own[0], ((f * 5 + y) * 5 + x) * 3 + c));
                assert_true(vt_tensor_get(deep, (y * 5 + x) * 4 + c) ==
                            vt_tensor_get(own[1], (c * 5 + y) * 5 + x));
            }
    for (int i = 0; i < 4; i++)
        for (int o = 0; o < 2; o++)
            assert_true(vt_tensor_get(point, i * 2 + o) == vt_tensor_get(own[2], o * 4 + i));
    vt_tensor_map_free(map);
    vt_model_free(model);
}

/* A list of names, separated by spaces; "" for an empty one. */
static void read_list(char out[2000], hid_t file, const char *group, const char *attribute)
{
    char data[4000] = "";
    hid_t object = H5Gopen2(file, group, H5P_DEFAULT);
    assert_true(object >= 0);
    hid_t list = H5Aopen(object, attribute, H5P_DEFAULT), space = H5Aget_space(list),
          type = H5Aget_type(list);
    assert_int_equal(1, H5Sget_simple_extent_ndims(space));
    size_t count = (size_t)H5Sget_simple_extent_npoints(space), size = H5Tget_size(type);
    out[0] = '\0';
    if (count == 0) {
        assert_int_equal(H5T_FLOAT, H5Tget_class(type));
    } else {
        assert_int_equal(H5T_STRING, H5Tget_class(type));
        assert_true(count * size < sizeof data);
        assert_true(H5Aread(list, type, data) >= 0);
    }
    for (size_t i = 0; i < count; i++)
        snprintf(out + strlen(out), 2000 - strlen(out), "%s%.*s", i ? " " : "", (int)size,
                 data + i * size);
    H5Tclose(type);
    H5Sclose(space);
    H5Aclose(list);
    H5Gclose(object);
}

/* Keras finds layers and weights by these lists, and gives weights to layers by their order. */
static void test_lists_of_names(void **state)
{
    (void)state;
    char list[2000];
    vt_model *model = make_model(false, false);
    assert_ok(vt_model_write_keras(model, path));
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    read_list(list, file, "/model_weights", "layer_names");
    assert_string_equal("image_input layer0_conv layer0_bn layer0_act layer1_conv layer1_bn "
                        "layer1_act layer2_conv layer2_bn layer2_act layer3_conv layer3_bn "
                        "layer3_act layer4_conv layer4_bn layer4_act embeddings Beta",
                        list);
    read_list(list, file, "/model_weights/layer3_conv", "weight_names");
    assert_string_equal("layer3_conv/depthwise_kernel:0 layer3_conv/pointwise_kernel:0 "
                        "layer3_conv/bias:0",
                        list);
    read_list(list, file, "/model_weights/layer3_bn", "weight_names");
    assert_string_equal("layer3_bn/gamma:0 layer3_bn/beta:0 layer3_bn/moving_mean:0 "
                        "layer3_bn/moving_variance:0",
                        list);
    read_list(list, file, "/model_weights/Beta", "weight_names");
    assert_string_equal("Beta/kernel:0 Beta/bias:0", list);
    read_list(list, file, "/model_weights/layer3_act", "weight_names");
    assert_string_equal("", list);
    H5Fclose(file);
    vt_model_free(model);
}

/* Reads, writes, reads: the same tensors in the same order. */
static void check_map(const char *from)
{
    vt_tensor_map *map, *back;
    assert_ok(vt_keras_read(&map, from));
    assert_ok(vt_keras_write(map, path));
    assert_ok(vt_keras_read(&back, path));
    assert_int_equal(vt_tensor_map_count(map), vt_tensor_map_count(back));
    assert_string_equal(vt_tensor_map_get_text(map, "config"),
                        vt_tensor_map_get_text(back, "config"));
    for (int i = 0; i < vt_tensor_map_count(map); i++) {
        const vt_tensor *a = vt_tensor_map_at(map, i), *b = vt_tensor_map_at(back, i);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->ndim, b->ndim);
        assert_memory_equal(a->size, b->size, (size_t)a->ndim * sizeof *a->size);
        assert_memory_equal(a->data, b->data, vt_tensor_bytes(a));
    }
    vt_tensor_map_free(map);
    vt_tensor_map_free(back);
}

static void test_any_model(void **state)
{
    (void)state;
    check_map(TEST_SOURCE_DIR "/fuzz/corpus/keras/functional.keras");
}

static void test_published_model(void **state)
{
    (void)state;
    need_shared(published, "V4_compact_models/data_compact_models/models_h5/"
                           "compact_model_190923_neuron0.h5");
    check_map(published);
}

/* ---- failures ---- */

static vt_tensor_map *small_map(const char *config, const char *weight, vt_dtype dtype)
{
    vt_tensor_map *map;
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(vt_tensor_map_add(map, weight, dtype, 1, (int64_t[]){3}, NULL));
    if (config) assert_ok(vt_tensor_map_set_text(map, "config", config));
    return map;
}

#define LAYER(name) "{\"class_name\": \"Dense\", \"config\": {\"name\": \"" name "\"}}"
#define MODEL(layers) "{\"class_name\": \"Model\", \"config\": {\"layers\": [" layers "]}}"

static void test_unfit_maps(void **state)
{
    static const struct {
        const char *config, *weight;
        vt_dtype dtype;
        vt_status status;
        const char *says;
    } cases[] = {
        {NULL, "a.bias", VT_F32, VT_EINVAL, "no config"},
        {"{", "a.bias", VT_F32, VT_EFORMAT, "its config"},
        {"{}", "a.bias", VT_F32, VT_EUNSUPPORTED, "no layers"},
        {MODEL(""), "a.bias", VT_F32, VT_EINVAL, "a.bias belongs to no layer"},
        {MODEL(LAYER("b")), "a.bias", VT_F32, VT_EINVAL, "a.bias belongs to no layer"},
        {MODEL(LAYER("a")), "a.inner.bias", VT_F32, VT_EINVAL, "belongs to no layer"},
        {MODEL(LAYER("a") "," LAYER("a")), "a.bias", VT_F32, VT_EINVAL, "two layers"},
        {MODEL(LAYER("a/b")), "a/b.bias", VT_F32, VT_EUNSUPPORTED, "layer 0"},
        {MODEL(LAYER("")), "a.bias", VT_F32, VT_EUNSUPPORTED, "layer 0"},
        {MODEL("7"), "a.bias", VT_F32, VT_EUNSUPPORTED, "layer 0"},
        {MODEL(MODEL("")), "a.bias", VT_F32, VT_EUNSUPPORTED, "layer 0"},
        {MODEL(LAYER("a")), "a.bias", VT_I32, VT_EUNSUPPORTED, "a.bias is of int32"},
        {MODEL(LAYER("a")), "a.b/c", VT_F32, VT_EINVAL, "a.b/c"},
    };
    (void)state;
    unlink(path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_tensor_map *map = small_map(cases[i].config, cases[i].weight, cases[i].dtype);
        assert_status(cases[i].status, vt_keras_write(map, path));
        assert_message(cases[i].says);
        assert_message("model.h5");
        assert_int_not_equal(0, access(path, F_OK));
        vt_tensor_map_free(map);
    }
    vt_tensor_map *map = small_map(MODEL(LAYER("a")), "a.bias", VT_F64);
    assert_ok(vt_keras_write(map, path));
    char nowhere[4300];
    snprintf(nowhere, sizeof nowhere, "%s/none/model.h5", root);
    assert_status(VT_ENOTFOUND, vt_keras_write(map, nowhere));
    assert_status(VT_EIO, vt_keras_write(map, root));
    vt_tensor_map_free(map);
}

static void test_other_models(void **state)
{
    (void)state;
    vt_model *model;
    vt_compact_options o = {.filters = {1, 1, 1, 1, 1}, .height = 8, .width = 8};
    assert_ok(vt_compact_new(&model, &o));
    assert_status(VT_EUNSUPPORTED, vt_model_write_keras(model, path));
    assert_message("no readout");
    vt_model_free(model);
    vt_resnet_options resnet = {.depth = 0};
    assert_ok(vt_resnet_parse_name(&resnet, "resnet18"));
    resnet.width = 0.0625;
    resnet.classes = 3;
    assert_ok(vt_resnet_new(&model, &resnet));
    assert_status(VT_EUNSUPPORTED, vt_model_write_keras(model, path));
    vt_model_free(model);
}

static void test_memory_failures(void **state)
{
    (void)state;
    vt_model *model = make_model(false, false);
    vt_status status = VT_ENOMEM;
    int64_t allowed = 0;
    for (; status != VT_OK; allowed++) {
        unlink(path);
        vt_alloc_fail_after(allowed);
        status = vt_model_write_keras(model, path);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
        if (access(path, F_OK) == 0) check_map(path); /* whole, perhaps its folder not synced */
    }
    assert_true(allowed > 60);
    vt_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models_come_back), cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_lists_of_names),   cmocka_unit_test(test_any_model),
        cmocka_unit_test(test_published_model),  cmocka_unit_test(test_unfit_maps),
        cmocka_unit_test(test_other_models),     cmocka_unit_test(test_memory_failures),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
