/* Complete state dictionaries of V1 networks: names, sizes and order are the authors'
 * (golden/v1_networks), tables have the authors' values (golden/v1_layers), and what was written is
 * read back as the same network. */
#include "golden_network.h"

#include "base/arena.h"
#include "models/resnet.h"
#include "ops/polar_map.h"
#include "ventral/ventral.h"

static vt_tensor_map *state_of(const vt_model *model)
{
    vt_tensor_map *map;
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(vt_resnet_state_dict(model, map));
    assert_string_equal(vt_tensor_map_get_text(map, "format"), "pt");
    return map;
}

static vt_model *small_network(const char *name, vt_formulation formulation)
{
    vt_model *model;
    vt_resnet_options o = {.width = 0.0625, .classes = 7, .formulation = formulation, .seed = 4};
    assert_ok(vt_resnet_parse_name(&o, name));
    assert_ok(vt_resnet_new(&model, &o));
    return model;
}

static vt_dtype dtype_of(const char *name)
{
    if (golden_ends(name, "num_batches_tracked")) return VT_I64;
    if (golden_ends(name, "pooling_masks") || golden_ends(name, "pooling_mask_counts"))
        return VT_F16;
    return VT_F32;
}

/* ---- against the authors' ---- */

static void check_entries(const char *variant)
{
    char relative[128], sizes[128];
    vt_model *model;
    vt_resnet_options o = {.formulation = VT_RELEASED};
    snprintf(relative, sizeof relative, "golden/v1_networks/%s.state.json", variant);
    json_t *entries = json_load_file(shared_path(relative), 0, NULL), *entry;
    size_t i;
    assert_non_null(entries);
    assert_ok(vt_resnet_parse_name(&o, variant));
    assert_ok(vt_resnet_new_empty(&model, &o, INT64_MAX));
    vt_tensor_map *map = state_of(model);
    if (vt_tensor_map_count(map) != (int)json_array_size(entries))
        fail_msg("%s: %d entries, expected %zu", variant, vt_tensor_map_count(map),
                 json_array_size(entries));
    json_array_foreach(entries, i, entry)
    {
        const vt_tensor *t = vt_tensor_map_at(map, (int)i);
        const char *name = json_string_value(json_array_get(entry, 0));
        json_t *want = json_array_get(entry, 1);
        bool same = strcmp(t->name, name) == 0 && t->ndim == (int)json_array_size(want) &&
                    t->dtype == dtype_of(name);
        for (int d = 0; same && d < t->ndim; d++)
            same = t->size[d] == json_integer_value(json_array_get(want, (size_t)d));
        if (!same)
            fail_msg("%s: entry %zu is %s %s %s, expected %s", variant, i, t->name,
                     vt_dtype_name(t->dtype), vt_tensor_shape_text(t, sizes, sizeof sizes), name);
    }
    json_decref(entries);
    vt_tensor_map_free(map);
    vt_model_free(model);
}

static void test_entries(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_networks/resnet50.state.json");
    for (int v = 0; v < GOLDEN_VARIANTS; v++)
        check_entries(golden_variants[v]);
}

/* What the authors' dictionary held comes back bit for bit. */
static void test_values(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_networks/composite_a.state.json");
    vt_model *model;
    vt_tensor_map *golden = golden_state("composite_a");
    assert_ok(vt_resnet_from_map(&model, golden, "golden", "composite_a"));
    vt_tensor_map *map = state_of(model);
    for (int i = 0; i < vt_tensor_map_count(golden); i++) {
        const vt_tensor *want = vt_tensor_map_at(golden, i), *got = vt_tensor_map_at(map, i);
        if (golden_is_table(want->name)) continue;
        if (memcmp(want->data, got->data, vt_tensor_bytes(want)) != 0)
            fail_msg("%s came back with other values", want->name);
    }
    vt_tensor_map_free(golden);
    vt_tensor_map_free(map);
    vt_model_free(model);
}

static void check_table(const char *network, const char *entry, const char *file, const char *name)
{
    vt_tensor_map *golden;
    vt_model *model = small_network(network, VT_RELEASED);
    vt_tensor_map *map = state_of(model);
    assert_ok(vt_npz_read(&golden, shared_path(file)));
    const vt_tensor *want = vt_tensor_map_find(golden, name), *got = vt_tensor_map_find(map, entry);
    assert_true(want && got);
    assert_int_equal(got->dtype, want->dtype);
    assert_int_equal(vt_tensor_bytes(got), vt_tensor_bytes(want));
    assert_memory_equal(got->data, want->data, vt_tensor_bytes(want));
    vt_tensor_map_free(golden);
    vt_tensor_map_free(map);
    vt_model_free(model);
}

static void test_tables(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_layers/tuned_norm.npz");
    check_table("center_surround", "layer1.1.conv2.1.dog_conv.kernel_dists",
                "golden/v1_layers/center_surround.npz", "param.dog_conv.kernel_dists");
    check_table("resnet18-composite_d", "layer1.0.conv2.dog.dog_conv.kernel_dists",
                "golden/v1_layers/center_surround.npz", "param.dog_conv.kernel_dists");
    /* 16 channels, as many as layer1 of a sixteenth of a ResNet-50 has */
    check_table("tuned_norm", "layer1.2.dn.channel_distances", "golden/v1_layers/tuned_norm.npz",
                "param.channel_distances");
}

/* ---- what needs no reference ---- */

static void test_coordinates_and_masks(void **state)
{
    (void)state;
    static float masks[VT_POLAR_BINS * VT_POLAR_PIXELS], counts[VT_POLAR_BINS];
    vt_model *model = small_network("div_norm", VT_RELEASED);
    vt_tensor_map *map = state_of(model);
    const vt_tensor *x = vt_tensor_map_find(map, "layer1.2.dn.x_coords"),
                    *y = vt_tensor_map_find(map, "layer1.2.dn.y_coords"),
                    *m = vt_tensor_map_find(map, "lpp.pooling_masks"),
                    *n = vt_tensor_map_find(map, "lpp.pooling_mask_counts");
    assert_true(x && y && m && n);
    for (int row = 0; row < 3; row++)
        for (int column = 0; column < 3; column++) {
            assert_true(vt_tensor_get(x, 3 * row + column) == column + 1);
            assert_true(vt_tensor_get(y, 3 * row + column) == row + 1);
        }
    vt_polar_masks(masks, counts);
    for (int64_t i = 0; i < vt_tensor_count(m); i++)
        assert_true(vt_tensor_get(m, i) == (double)masks[i]);
    double pixels = 0;
    for (int64_t i = 0; i < vt_tensor_count(n); i++) {
        assert_true(vt_tensor_get(n, i) == (double)counts[i]);
        pixels += vt_tensor_get(n, i);
    }
    assert_true(pixels > 900); /* bins divide the pixels among themselves */
    vt_tensor_map_free(map);
    vt_model_free(model);
}

static void assert_same_weights(vt_model *a, vt_model *b)
{
    vt_graph *g = vt_model_graph(a), *h = vt_model_graph(b);
    assert_int_equal(vt_graph_param_count(g), vt_graph_param_count(h));
    for (int i = 0; i < vt_graph_param_count(g); i++) {
        const vt_param *p = vt_graph_param(g, i), *q = vt_graph_param(h, i);
        assert_string_equal(p->name, q->name);
        assert_int_equal(vt_tensor_bytes(&p->value), vt_tensor_bytes(&q->value));
        assert_memory_equal(p->value.data, q->value.data, vt_tensor_bytes(&p->value));
    }
}

static void test_read_back(void **state)
{
    (void)state;
    static const char *const depths[] = {"resnet18", "resnet34", "resnet50"};
    char name[64];
    for (int i = 0; i < 3 * GOLDEN_VARIANTS; i++) {
        const char *variant = golden_variants[i % GOLDEN_VARIANTS],
                   *depth = depths[i / GOLDEN_VARIANTS];
        bool plain = i % GOLDEN_VARIANTS == 0;
        vt_resnet_options o;
        snprintf(name, sizeof name, "%s%s%s", depth, plain ? "" : "-", plain ? "" : variant);
        vt_model *again, *model = small_network(name, VT_RELEASED);
        vt_tensor_map *map = state_of(model);
        assert_ok(vt_resnet_from_map(&again, map, "state", name));
        vt_tensor_map_free(map);
        assert_ok(vt_model_resnet_options(again, &o));
        assert_int_equal(o.formulation, VT_RELEASED);
        assert_same_weights(model, again);
        vt_model_free(model);
        vt_model_free(again);
    }
}

static void test_other_formulation(void **state)
{
    (void)state;
    vt_model *other, *model = small_network("composite_a", VT_RELEASED);
    vt_resnet_options o;
    assert_ok(vt_resnet_with_formulation(&other, model, VT_DESCRIBED));
    assert_ok(vt_model_resnet_options(other, &o));
    assert_int_equal(o.formulation, VT_DESCRIBED);
    assert_int_equal(o.variant, VT_RESNET_COMPOSITE_A);
    assert_same_weights(model, other);
    vt_model_free(model);
    vt_model_free(other);
}

static void test_other_models(void **state)
{
    (void)state;
    vt_model *model, *other;
    vt_tensor_map *map;
    vt_compact_options o = {.filters = {1, 1, 1, 1, 1}, .height = 32, .width = 32, .outputs = 1};
    assert_ok(vt_compact_new(&model, &o));
    assert_ok(vt_tensor_map_new(&map));
    assert_status(VT_EUNSUPPORTED, vt_resnet_state_dict(model, map));
    assert_status(VT_EUNSUPPORTED, vt_resnet_with_formulation(&other, model, VT_RELEASED));
    assert_message("a network of V1 (a ResNet) is needed");
    vt_tensor_map_free(map);
    vt_model_free(model);
}

static void test_lack_of_memory(void **state)
{
    (void)state;
    vt_model *model = small_network("resnet18-cortical_magnification", VT_RELEASED);
    int64_t n = 0;
    for (vt_status status = VT_ENOMEM; status != VT_OK; n += 11) {
        vt_tensor_map *map;
        assert_ok(vt_tensor_map_new(&map));
        vt_alloc_fail_after(n);
        status = vt_resnet_state_dict(model, map);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
        vt_tensor_map_free(map);
    }
    assert_true(n > 100);
    vt_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),      cmocka_unit_test(test_values),
        cmocka_unit_test(test_tables),       cmocka_unit_test(test_coordinates_and_masks),
        cmocka_unit_test(test_read_back),    cmocka_unit_test(test_other_formulation),
        cmocka_unit_test(test_other_models), cmocka_unit_test(test_lack_of_memory),
    };
    return cmocka_run_group_tests_name("resnet_state", tests, NULL, NULL);
}
