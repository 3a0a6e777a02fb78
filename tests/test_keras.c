/* Keras models: small files of every kind, the published models in three formats, hostile files. */
#include "test.h"

#include "base/arena.h"
#include "stored_zip.h"
#include "ventral/io.h"
#include "ventral/weights.h"

#define CORPUS TEST_SOURCE_DIR "/fuzz/corpus/keras/"

static vt_tensor_map *read_corpus(const char *name)
{
    char path[4096];
    vt_tensor_map *map = NULL;
    snprintf(path, sizeof path, CORPUS "%s", name);
    assert_ok(vt_keras_read(&map, path));
    assert_string_equal(vt_tensor_map_get_text(map, "format"), "keras");
    return map;
}

static const vt_tensor *need(const vt_tensor_map *map, const char *name, const char *shape)
{
    char text[100];
    const vt_tensor *t = vt_tensor_map_find(map, name);
    if (!t) fail_msg("no tensor %s", name);
    if (strcmp(vt_tensor_shape_text(t, text, sizeof text), shape) != 0)
        fail_msg("%s has shape %s, expected %s", name, text, shape);
    return t;
}

typedef struct expected {
    const char *name, *shape;
} expected;

/* These tensors in this order, their values 0, 1/4, 2/4, ... */
static void check_ramps(const vt_tensor_map *map, const expected *wanted, int count)
{
    for (int i = 0; i < count; i++) {
        const vt_tensor *t = need(map, wanted[i].name, wanted[i].shape);
        assert_ptr_equal(t, vt_tensor_map_at(map, i));
        for (int64_t k = 0; k < vt_tensor_count(t); k++)
            assert_true(vt_tensor_get(t, k) == (double)k / 4);
    }
    assert_int_equal(vt_tensor_map_count(map), count);
}

#define check_file(file, wanted, with_config)                                                      \
    do {                                                                                           \
        vt_tensor_map *map = read_corpus(file);                                                    \
        check_ramps(map, wanted, (int)(sizeof wanted / sizeof wanted[0]));                         \
        assert_int_equal(vt_tensor_map_get_text(map, "config") != NULL, with_config);              \
        vt_tensor_map_free(map);                                                                   \
    } while (0)

static void names_weights_by_class_and_number(void **state)
{
    static const expected all[] = {
        {"zero.kernel", "(2, 2, 3, 4)"},
        {"zero.bias", "(4,)"},
        {"zero_bn.gamma", "(4,)"},
        {"zero_bn.beta", "(4,)"},
        {"zero_bn.moving_mean", "(4,)"},
        {"zero_bn.moving_variance", "(4,)"},
        {"one.depthwise_kernel", "(2, 2, 4, 1)"},
        {"one.pointwise_kernel", "(1, 1, 4, 2)"},
        {"one.bias", "(2,)"},
        {"one_bn.beta", "(2,)"},
        {"one_bn.moving_mean", "(2,)"},
        {"one_bn.moving_variance", "(2,)"},
        {"two.kernel", "(1, 1, 2, 2)"},
        {"pool.depthwise_kernel", "(2, 2, 2, 1)"},
        {"pool.bias", "(2,)"},
        {"Beta.kernel", "(8, 1)"},
        {"Beta.bias", "(1,)"},
    };
    (void)state;
    check_file("functional.keras", all, true);
}

static void names_weights_by_layer(void **state)
{
    static const expected own[] = {{"one_bn.beta", "(2,)"},
                                   {"one_bn.moving_mean", "(2,)"},
                                   {"one_bn.moving_variance", "(2,)"},
                                   {"Beta.kernel", "(8, 1)"},
                                   {"Beta.bias", "(1,)"}};
    /* the config lists the layers backwards: only the names beside the variables tell */
    static const expected noted[] = {{"one_bn.beta", "(2,)"},
                                     {"one_bn.moving_mean", "(2,)"},
                                     {"one_bn.moving_variance", "(2,)"}};
    static const expected nested[] = {{"last.kernel", "(1, 2)"},
                                      {"inner.a.kernel", "(2, 3)"},
                                      {"inner.b.bias", "(3,)"},
                                      {"heads.query_dense.0", "(2, 2)"}};
    /* no config: groups are the names, and classes known by them */
    static const expected plain[] = {{"batch_normalization_1.gamma", "(2,)"},
                                     {"batch_normalization_1.beta", "(2,)"},
                                     {"batch_normalization_1.moving_mean", "(2,)"},
                                     {"dense.kernel", "(8, 1)"},
                                     {"dense.bias", "(1,)"}};
    (void)state;
    check_file("by_name.keras", own, true);
    check_file("noted.keras", noted, true);
    check_file("nested.keras", nested, true);
    check_file("plain.weights.h5", plain, false);
}

static void reads_legacy_files(void **state)
{
    static const expected legacy[] = {{"zero_bn.gamma", "(4,)"},
                                      {"zero_bn.beta", "(4,)"},
                                      {"zero_bn.moving_mean", "(4,)"},
                                      {"zero_bn.moving_variance", "(4,)"},
                                      {"one.depthwise_kernel", "(2, 2, 4, 1)"},
                                      {"one.pointwise_kernel", "(1, 1, 4, 2)"},
                                      {"one.bias", "(2,)"},
                                      {"pool.depthwise_kernel", "(2, 2, 2, 1)"},
                                      {"pool.bias", "(2,)"}};
    static const expected weights[] = {{"Beta.kernel", "(8, 1)"},
                                       {"Beta.bias", "(1,)"},
                                       {"one_bn.beta", "(2,)"},
                                       {"one_bn.moving_mean", "(2,)"},
                                       {"one_bn.moving_variance", "(2,)"}};
    static const expected nested[] = {{"inner.first.bias", "(2,)"},
                                      {"inner.first.kernel", "(1, 2)"},
                                      {"inner.second.bias", "(2,)"},
                                      {"inner.second.kernel", "(1, 2)"},
                                      {"last.kernel", "(2, 1)"}};
    (void)state;
    check_file("legacy.h5", legacy, true);
    check_file("legacy_weights.h5", weights, false);
    check_file("legacy_nested.h5", nested, false);
}

/* The published compact models */

typedef struct formats {
    vt_tensor_map *keras, *legacy, *torch;
} formats;

/* The tensor `name` of the Keras files plus `shift` equals `torch_name` permuted: order[i] is the
 * Keras dimension that is dimension i in PyTorch. */
static void compare_formats(const formats *f, const char *name, const char *torch_name,
                            const int *order, double shift)
{
    const vt_tensor *keras = vt_tensor_map_find(f->keras, name),
                    *legacy = vt_tensor_map_find(f->legacy, name),
                    *torch = vt_tensor_map_find(f->torch, torch_name);
    if (!keras || !legacy || !torch) fail_msg("no tensor %s or %s", name, torch_name);
    vt_tensor permuted;
    assert_ok(vt_tensor_permute(&permuted, keras, order));
    assert_int_equal(permuted.ndim, torch->ndim);
    assert_int_equal(keras->dtype, VT_F32);
    assert_int_equal(torch->dtype, VT_F64);
    assert_memory_equal(permuted.size, torch->size, sizeof permuted.size);
    assert_memory_equal(keras->size, legacy->size, sizeof keras->size);
    assert_memory_equal(keras->data, legacy->data, vt_tensor_bytes(keras));
    for (int64_t i = 0; i < vt_tensor_count(torch); i++) {
        double value = vt_tensor_get(&permuted, i), other = vt_tensor_get(torch, i);
        assert_true(isfinite(value) && isfinite(other));
        assert_close(other, value + shift, shift > 0 ? 4e-9 : 0);
    }
    vt_tensor_free(&permuted);
}

static void check_neuron(int neuron)
{
    static const int vector[] = {0}, hwio[] = {3, 2, 0, 1}, depthwise[] = {2, 3, 0, 1},
                     dense[] = {1, 0};
    static const char *const bn[][2] = {{"gamma", "weight"},
                                        {"beta", "bias"},
                                        {"moving_mean", "running_mean"},
                                        {"moving_variance", "running_var"}};
    static const char folder[] = "V4_compact_models/data_compact_models";
    char path[200], name[VT_NAME_SIZE], torch_name[VT_NAME_SIZE];
    formats f;
    snprintf(path, sizeof path, "%s/models_keras/compact_model_190923_neuron%d.keras", folder,
             neuron);
    assert_ok(vt_keras_read(&f.keras, shared_path(path)));
    snprintf(path, sizeof path, "%s/models_h5/compact_model_190923_neuron%d.h5", folder, neuron);
    assert_ok(vt_keras_read(&f.legacy, shared_path(path)));
    snprintf(path, sizeof path, "%s/models_torch/compact_model_190923_neuron%d.pt", folder, neuron);
    assert_ok(vt_torch_read(&f.torch, shared_path(path)));

    assert_int_equal(vt_tensor_map_count(f.keras), 36); /* 2 + 4 x 3 + 5 x 4 + 2 */
    assert_int_equal(vt_tensor_map_count(f.legacy), 36);
    assert_int_equal(vt_tensor_map_count(f.torch), 36 + 5); /* num_batches_tracked */
    assert_non_null(strstr(vt_tensor_map_get_text(f.keras, "config"), "\"layer0_conv\""));
    assert_non_null(strstr(vt_tensor_map_get_text(f.legacy, "config"), "\"layer0_conv\""));
    for (int i = 0; i < 36; i++)
        assert_string_equal(vt_tensor_map_at(f.keras, i)->name,
                            vt_tensor_map_at(f.legacy, i)->name);
    compare_formats(&f, "layer0_conv.kernel", "layers.layer0_conv.weight", hwio, 0);
    compare_formats(&f, "layer0_conv.bias", "layers.layer0_conv.bias", vector, 0);
    for (int layer = 0; layer < 5; layer++) {
        for (int i = 0; i < 4; i++) {
            snprintf(name, sizeof name, "layer%d_bn.%s", layer, bn[i][0]);
            snprintf(torch_name, sizeof torch_name, "layers.layer%d_bn.%s", layer, bn[i][1]);
            /* From layer 1 on, the authors' conversion added Keras's epsilon to the variances
             * (in single precision), though the PyTorch layers add one of their own again. */
            compare_formats(&f, name, torch_name, vector, layer > 0 && i == 3 ? 0.001 : 0);
        }
        if (layer == 0) continue;
        snprintf(name, sizeof name, "layer%d_conv.depthwise_kernel", layer);
        snprintf(torch_name, sizeof torch_name, "layers.layer%d_conv_depth.weight", layer);
        compare_formats(&f, name, torch_name, depthwise, 0);
        snprintf(name, sizeof name, "layer%d_conv.pointwise_kernel", layer);
        snprintf(torch_name, sizeof torch_name, "layers.layer%d_conv_point.weight", layer);
        compare_formats(&f, name, torch_name, hwio, 0);
        snprintf(name, sizeof name, "layer%d_conv.bias", layer);
        snprintf(torch_name, sizeof torch_name, "layers.layer%d_conv_point.bias", layer);
        compare_formats(&f, name, torch_name, vector, 0);
    }
    /* The readout's inputs are in Keras's order (height, width, channel) in all three files: the
     * PyTorch model of the authors permutes before it flattens. */
    compare_formats(&f, "Beta.kernel", "layers.Beta.weight", dense, 0);
    compare_formats(&f, "Beta.bias", "layers.Beta.bias", vector, 0);
    const vt_tensor *readout = vt_tensor_map_find(f.keras, "Beta.kernel");
    const vt_tensor *last = vt_tensor_map_find(f.keras, "layer4_conv.bias");
    assert_int_equal(readout->size[0], 28 * 28 * last->size[0]);
    vt_tensor_map_free(f.keras);
    vt_tensor_map_free(f.legacy);
    vt_tensor_map_free(f.torch);
}

static void formats_of_published_models_agree(void **state)
{
    (void)state;
    need_shared(folder, "V4_compact_models/data_compact_models/models_torch");
    (void)folder;
    for (int neuron = 0; neuron < 33; neuron++)
        check_neuron(neuron);
}

static void reads_shared_models(void **state)
{
    static const char *const paths[] = {
        "V4_compact_models/data_shared_compact_models/from_ensemble_model/"
        "shared_compact_model_25filters.keras",
        "V4_compact_models/data_shared_compact_models/from_V4data_direct_fit/"
        "shared_compact_model_25filters.keras",
        "V4_compact_models/data_shared_compact_models/from_ensemble_model/"
        "shared_compact_model_100filters.keras"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        need_shared(path, paths[i]);
        vt_tensor_map *map;
        assert_ok(vt_keras_read(&map, path));
        need(map, "layer0_conv.kernel", i == 2 ? "(5, 5, 3, 100)" : "(5, 5, 3, 25)");
        need(map, "mixing_stage.kernel", "(1, 1, 100, 219)");
        need(map, "mixing_stage.bias", "(219,)");
        need(map, "spatial_pool_stage.depthwise_kernel", "(28, 28, 219, 1)");
        need(map, "spatial_pool_stage.bias", "(219,)");
        assert_int_equal(vt_tensor_map_count(map), 2 + 4 * 3 + 5 * 4 + 4);
        for (int k = 0; k < vt_tensor_map_count(map); k++) {
            const vt_tensor *t = vt_tensor_map_at(map, k);
            for (int64_t e = 0; e < vt_tensor_count(t); e++)
                if (!isfinite(vt_tensor_get(t, e))) fail_msg("%s is not finite", t->name);
        }
        vt_tensor_map_free(map);
    }
}

/* Hostile files */

static void refuse(vt_status code, const char *message, const char *config, const char *weights)
{
    stored_zip z = {0};
    void *data = NULL;
    size_t size = 0;
    vt_tensor_map *map = NULL;
    char path[4096];
    if (config) stored_zip_add(&z, "config.json", config, strlen(config));
    if (weights) {
        snprintf(path, sizeof path, CORPUS "%s", weights);
        assert_ok(vt_file_read(&data, &size, path));
        stored_zip_add(&z, "model.weights.h5", data, size);
    }
    stored_zip_finish(&z);
    assert_status(code, vt_keras_parse(&map, z.data, z.size, "x.keras"));
    assert_null(map);
    assert_message("x.keras: ");
    assert_message(message);
    assert_null(strchr(vt_error_message(), '\n'));
    free(z.data);
    free(data);
}

#define LAYERS(layers) "{\"class_name\":\"Functional\",\"config\":{\"layers\":[" layers "]}}"
#define LAYER(class_name, name)                                                                    \
    "{\"class_name\":\"" class_name "\",\"config\":{\"name\":\"" name "\"}}"

static void says_what_is_wrong(void **state)
{
    static const char good[] = LAYERS(LAYER("Dense", "d"));
    vt_tensor_map *map;
    (void)state;
    assert_status(VT_EFORMAT, vt_keras_parse(&map, "hello", 5, "x"));
    assert_message("x: not a Keras model: neither a zip archive nor HDF5");
    assert_status(VT_EFORMAT, vt_keras_parse(&map, NULL, 0, "x"));
    assert_status(VT_ENOTFOUND, vt_keras_read(&map, CORPUS "none.keras"));
    refuse(VT_EFORMAT, "holds no config.json", NULL, "plain.weights.h5");
    refuse(VT_EFORMAT, "holds no model.weights.h5", good, NULL);
    refuse(VT_EFORMAT, "config.json", "{\"layers\":", "plain.weights.h5");
    refuse(VT_EFORMAT, "model.weights.h5: not an HDF5 file", good, "functional.keras");
    refuse(VT_EFORMAT, "layers/batch_normalization_1/vars/0 belongs to no layer", good,
           "plain.weights.h5");
    refuse(VT_EFORMAT, "no name or no class", LAYERS("{\"class_name\":\"Dense\"}"),
           "plain.weights.h5");
    refuse(VT_EFORMAT, "no name or no class", LAYERS("7"), "plain.weights.h5");
    /* unknown classes number their weights; here two layers bear one name */
    refuse(VT_EFORMAT, "two tensors are named d.0",
           LAYERS(LAYER("batch_normalization", "x") "," LAYER("batch_normalization",
                                                              "d") "," LAYER("dense", "d")),
           "plain.weights.h5");
}

static void refuses_deep_configs(void **state)
{
    char *config = malloc(1 << 20);
    assert_non_null(config);
    (void)state;
    strcpy(config, LAYER("Dense", "d"));
    for (int i = 0; i < 20; i++) {
        char *outer = malloc(1 << 20);
        assert_non_null(outer);
        snprintf(outer, 1 << 20,
                 "{\"class_name\":\"Functional\",\"config\":{\"name\":\"m\",\"layers\":[%s]}}",
                 config);
        free(config);
        config = outer;
    }
    refuse(VT_EUNSUPPORTED, "deep", config, "plain.weights.h5");
    free(config);
}

static void survives_damage(void **state)
{
    static const char *const files[] = {"legacy_nested.h5", "nested.keras"};
    (void)state;
    for (int f = 0; f < 2; f++) {
        char path[4096];
        void *data;
        size_t size;
        vt_tensor_map *map;
        snprintf(path, sizeof path, CORPUS "%s", files[f]);
        assert_ok(vt_file_read(&data, &size, path));
        unsigned char *bytes = data;
        for (size_t length = 0; length < size - 1; length += size / 30) {
            if (vt_keras_parse(&map, data, length, "cut") == VT_OK)
                fail_msg("%s is read when cut to %zu bytes", files[f], length);
            assert_message("cut: ");
        }
        for (size_t at = 8; at < size; at += size / 60) {
            bytes[at] ^= 0xff;
            if (vt_keras_parse(&map, data, size, "damaged") == VT_OK) vt_tensor_map_free(map);
            bytes[at] ^= 0xff;
        }
        free(data);
    }
}

static void survives_lack_of_memory(void **state)
{
    void *data;
    size_t size;
    (void)state;
    assert_ok(vt_file_read(&data, &size, CORPUS "nested.keras"));
    int64_t n = 0;
    for (vt_status status = VT_ENOMEM; status != VT_OK; n++) {
        vt_tensor_map *map = NULL;
        vt_alloc_fail_after(n);
        status = vt_keras_parse(&map, data, size, "x");
        vt_alloc_fail_after(-1);
        if (status == VT_OK)
            vt_tensor_map_free(map);
        else
            assert_true(status == VT_ENOMEM && !map);
    }
    assert_true(n > 20);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_weights_by_class_and_number),
        cmocka_unit_test(names_weights_by_layer),
        cmocka_unit_test(reads_legacy_files),
        cmocka_unit_test(formats_of_published_models_agree),
        cmocka_unit_test(reads_shared_models),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(refuses_deep_configs),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests_name("keras", tests, NULL, NULL);
}
