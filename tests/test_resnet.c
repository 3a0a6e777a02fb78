/* The V1 networks against the authors' code (golden/v1_networks): scores, maps, parameter counts,
 * first steps of training; names, descriptions and what does not fit. */
#include "golden_network.h"
#include "models/resnet.h"
#include "ventral/ventral.h"

/* Under the sanitizers, minutes become quarters of an hour. */
#ifdef __SANITIZE_ADDRESS__
static const bool slow = true;
#else
static const bool slow = false;
#endif

/* The golden state as that variant. */
static vt_model *golden_network(const char *variant)
{
    vt_tensor_map *map = golden_state(variant);
    vt_model *model;
    assert_ok(vt_resnet_from_map(&model, map, "golden", variant));
    vt_tensor_map_free(map);
    return model;
}

static void test_set(vt_tensor *t, int64_t index, double value)
{
    if (t->dtype == VT_F64)
        ((double *)t->data)[index] = value;
    else
        ((float *)t->data)[index] = (float)value;
}

static vt_tensor_map *golden_values(const char *variant, const char *ending)
{
    char relative[128];
    vt_tensor_map *map;
    snprintf(relative, sizeof relative, "golden/v1_networks/%s%s", variant, ending);
    assert_ok(vt_npz_read(&map, shared_path(relative)));
    return map;
}

static double largest(const vt_tensor *t)
{
    double most = 0;
    for (int64_t i = 0; i < vt_tensor_count(t); i++)
        most = fmax(most, fabs(vt_tensor_get(t, i)));
    return most;
}

static double number(const vt_tensor_map *map, const char *name)
{
    return vt_tensor_get(vt_tensor_map_find(map, name), 0);
}

/* Means over positions of a map (2, H, W, C) against `expected` (2, C). */
static void check_means(const vt_tensor *map, const vt_tensor *expected, const char *variant)
{
    int64_t c = map->size[3], positions = map->size[1] * map->size[2];
    double scale = largest(expected);
    assert_int_equal(vt_tensor_count(expected), 2 * c);
    for (int64_t n = 0; n < 2; n++)
        for (int64_t k = 0; k < c; k++) {
            double sum = 0;
            for (int64_t p = 0; p < positions; p++)
                sum += ((const float *)map->data)[(n * positions + p) * c + k];
            double want = vt_tensor_get(expected, n * c + k);
            if (!(fabs(sum / (double)positions - want) <= 1e-4 * scale))
                fail_msg("%s: mean of channel %lld is %g, expected %g", variant, (long long)k,
                         sum / (double)positions, want);
        }
}

/* The first 8 channels and 4 x 4 positions of layer1 against (2, 8, 4, 4). */
static void check_corner(const vt_tensor *map, const vt_tensor *expected, const char *variant)
{
    double scale = largest(expected);
    for (int64_t i = 0; i < vt_tensor_count(expected); i++) {
        int64_t n = i / 128, c = i / 16 % 8, y = i / 4 % 4, x = i % 4;
        double got =
            ((const float *)
                 map->data)[((n * map->size[1] + y) * map->size[2] + x) * map->size[3] + c];
        if (!(fabs(got - vt_tensor_get(expected, i)) <= 1e-4 * scale))
            fail_msg("%s: layer1 at %lld, %lld, channel %lld is %g, expected %g", variant,
                     (long long)y, (long long)x, (long long)c, got, vt_tensor_get(expected, i));
    }
}

static void check_network(const char *variant)
{
    vt_model *model = golden_network(variant);
    vt_tensor_map *golden = golden_values(variant, ".npz");
    vt_graph *graph = vt_model_graph(model);
    vt_node nodes[] = {vt_model_output(model), vt_graph_find(graph, "layer1"),
                       vt_graph_find(graph, "layer4")};
    vt_plan *plan;
    assert_int_equal(vt_model_parameters(model), (int64_t)number(golden, "trainable"));
    assert_ok(vt_plan_new(&plan, graph,
                          &(vt_plan_options){.batch = 2, .outputs = nodes, .output_count = 3}));
    golden_images(vt_plan_input(plan, vt_model_input(model))->data, 2);
    assert_ok(vt_plan_forward(plan));
    const vt_tensor *scores = vt_plan_output(plan, nodes[0]);
    const vt_tensor *expected = vt_tensor_map_find(golden, "logits");
    double scale = largest(expected), worst = 0;
    for (int64_t i = 0; i < vt_tensor_count(expected); i++)
        worst = fmax(worst, fabs(vt_tensor_get(scores, i) - vt_tensor_get(expected, i)));
    if (!(worst <= 1e-4 * scale)) fail_msg("%s: scores differ by %g", variant, worst / scale);
    check_means(vt_plan_output(plan, nodes[1]), vt_tensor_map_find(golden, "layer1_mean"), variant);
    check_means(vt_plan_output(plan, nodes[2]), vt_tensor_map_find(golden, "layer4_mean"), variant);
    check_corner(vt_plan_output(plan, nodes[1]), vt_tensor_map_find(golden, "layer1_corner"),
                 variant);
    vt_plan_free(plan);
    vt_tensor_map_free(golden);
    vt_model_free(model);
}

static void test_all_networks(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_networks/resnet50.npz");
    for (int v = 0; v < GOLDEN_VARIANTS; v++)
        if (!slow || strcmp(golden_variants[v], "composite_a") == 0 ||
            strcmp(golden_variants[v], "div_norm") == 0)
            check_network(golden_variants[v]);
}

/* ---- training ---- */

/* A plan of training steps and plain SGD in float64: v = 0.9 v + g + 1e-5 w, w -= rate v. */
typedef struct trainee {
    vt_model *model;
    vt_graph *graph;
    vt_plan *plan;
    vt_node loss;
    double *velocity[512];
} trainee;

static void start_training(trainee *t, vt_model *model, int batch, vt_backend_kind backend)
{
    *t = (trainee){.model = model, .graph = vt_model_graph(model)};
    t->loss = vt_graph_find(t->graph, "loss");
    assert_true(vt_graph_param_count(t->graph) <= 512);
    assert_ok(vt_plan_new(&t->plan, t->graph,
                          &(vt_plan_options){.batch = batch,
                                             .training = true,
                                             .backward = true,
                                             .outputs = &t->loss,
                                             .output_count = 1,
                                             .backend = backend}));
    vt_tensor *images = vt_plan_input(t->plan, vt_model_input(model));
    vt_tensor *labels = vt_plan_input(t->plan, vt_graph_find(t->graph, "label"));
    float *x = malloc((size_t)vt_tensor_count(images) * sizeof *x);
    golden_images(x, batch);
    for (int64_t i = 0; i < vt_tensor_count(images); i++)
        test_set(images, i, x[i]);
    for (int i = 0; i < batch; i++)
        test_set(labels, i, (double)(7 * i % vt_model_outputs(model)));
    free(x);
}

static void show_noise(trainee *t)
{
    vt_tensor *images = vt_plan_input(t->plan, vt_model_input(t->model));
    vt_rng rng;
    vt_rng_init(&rng, 5, VT_RNG_IMAGE, 0, 0);
    for (int64_t i = 0; i < vt_tensor_count(images); i++)
        test_set(images, i, (float)vt_rng_normal(&rng));
}

static double forward(trainee *t)
{
    assert_ok(vt_plan_forward(t->plan));
    return vt_tensor_get(vt_plan_output(t->plan, t->loss), 0);
}

static void step(trainee *t, double rate)
{
    for (int i = 0; i < vt_graph_param_count(t->graph); i++) {
        vt_param *p = vt_graph_param(t->graph, i);
        int64_t n = vt_tensor_count(&p->value);
        if (p->is_buffer) continue;
        if (!t->velocity[i]) t->velocity[i] = calloc((size_t)n, sizeof(double));
        for (int64_t k = 0; k < n; k++) {
            double w = vt_tensor_get(&p->value, k), *v = &t->velocity[i][k];
            *v = 0.9 * *v + vt_tensor_get(&p->gradient, k) + 1e-5 * w;
            test_set(&p->value, k, w - rate * *v);
        }
    }
    vt_graph_zero_gradients(t->graph);
    vt_graph_touch(t->graph);
}

static void end_training(trainee *t)
{
    for (int i = 0; i < 512; i++)
        free(t->velocity[i]);
    vt_plan_free(t->plan);
    vt_model_free(t->model);
}

static double length_of(const vt_tensor *t)
{
    double sum = 0;
    for (int64_t k = 0; k < vt_tensor_count(t); k++)
        sum += pow(vt_tensor_get(t, k), 2);
    return sqrt(sum);
}

static void check_length(const char *variant, const vt_param *param, double want, double tolerance)
{
    double got = length_of(&param->gradient);
    if (!(fabs(got - want) <= tolerance * want))
        fail_msg("%s: gradient of %s has length %.9g, expected %.9g", variant, param->name, got,
                 want);
}

/* A float64 network with the golden weights. */
static vt_model *golden_network_float64(const char *variant)
{
    vt_model *model, *single = golden_network(variant);
    vt_resnet_options options;
    assert_ok(vt_model_resnet_options(single, &options));
    options.float64 = true;
    assert_ok(vt_resnet_new(&model, &options));
    for (int i = 0; i < vt_graph_param_count(vt_model_graph(model)); i++) {
        const vt_tensor *from = &vt_graph_param(vt_model_graph(single), i)->value;
        vt_tensor *to = &vt_graph_param(vt_model_graph(model), i)->value;
        for (int64_t k = 0; k < vt_tensor_count(from); k++)
            test_set(to, k, vt_tensor_get(from, k));
    }
    vt_model_free(single);
    return model;
}

/* Loss and all gradients of the first step against PyTorch's in float64 (see
 * make_training_fixtures.py for why not golden's own in float32): even there, the order of the
 * images alone changes PyTorch's loss by 1e-6 and its gradients by 1e-4. */
static void check_training(const char *variant, const json_t *expected)
{
    enum { BATCH = 4 };
    trainee t;
    const char *name;
    json_t *norm;
    start_training(&t, golden_network_float64(variant), BATCH, VT_BACKEND_REFERENCE);
    double want = json_number_value(json_object_get(expected, "loss"));
    assert_close(forward(&t), want, 1e-5 * want);
    assert_ok(vt_plan_backward(t.plan));
    json_object_foreach(json_object_get(expected, "gradient_norms"), name, norm)
    {
        const vt_param *param = vt_graph_find_param(t.graph, name);
        if (!param) fail_msg("%s: no parameter %s", variant, name);
        check_length(variant, param, json_number_value(norm), 1e-3);
    }
    end_training(&t);
}

static void test_first_steps_of_training(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_networks/resnet50.state.json");
    if (slow) {
        print_message("skipped: too slow under the sanitizers\n");
        skip();
    }
    json_t *fixtures =
               json_load_file(TEST_SOURCE_DIR "/tests/fixtures/v1_training_float64.json", 0, NULL),
           *entry;
    const char *variant;
    assert_non_null(fixtures);
    json_object_foreach(fixtures, variant, entry)
    {
        check_training(variant, entry);
    }
    json_decref(fixtures);
}

/* Float32 and the fast kernels against float64 and plain loops, from initial weights, whose
 * statistics do not amplify rounding: losses of three steps and the first gradients to 1e-3. */
static void check_precision(vt_resnet_options options)
{
    enum { BATCH = 16, STEPS = 3 };
    trainee t[2];
    char name[64];
    for (int i = 0; i < 2; i++) {
        vt_model *model;
        options.float64 = i == 1;
        assert_ok(vt_resnet_new(&model, &options));
        start_training(&t[i], model, BATCH, i ? VT_BACKEND_REFERENCE : VT_BACKEND_AUTO);
        show_noise(&t[i]);
    }
    vt_resnet_name(&options, name, sizeof name);
    for (int k = 0; k < STEPS; k++) {
        double loss = forward(&t[0]), want = forward(&t[1]);
        if (!(fabs(loss - want) <= 1e-3 * want))
            fail_msg("%s, step %d: loss %.7g, expected %.7g", name, k, loss, want);
        for (int i = 0; i < 2; i++)
            assert_ok(vt_plan_backward(t[i].plan));
        for (int i = 0; i < vt_graph_param_count(t[0].graph) && k == 0; i++) {
            const vt_param *param = vt_graph_param(t[0].graph, i);
            if (param->is_buffer) continue;
            check_length(name, param, length_of(&vt_graph_param(t[1].graph, i)->gradient), 1e-3);
        }
        for (int i = 0; i < 2; i++)
            step(&t[i], 0.002);
    }
    for (int i = 0; i < 2; i++)
        end_training(&t[i]);
}

static void test_single_against_double_precision(void **state)
{
    (void)state;
    static const vt_resnet_variant covering[] = {VT_RESNET_PLAIN, VT_RESNET_DIV_NORM,
                                                 VT_RESNET_LOCAL_RF, VT_RESNET_COMPOSITE_A};
    for (int i = 0; i < 8; i++)
        check_precision((vt_resnet_options){.variant = covering[i / 2],
                                            .depth = 18,
                                            .width = 0.125,
                                            .classes = 20,
                                            .formulation = i % 2 ? VT_RELEASED : VT_DESCRIBED,
                                            .seed = 1});
}

/* ---- names, files, mistakes ---- */

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *whole;
    } names[] = {{"resnet50", "resnet50"},
                 {"resnet18", "resnet18"},
                 {"composite_a", "resnet50-composite_a"},
                 {"resnet34-composite_g", "resnet34-composite_g"},
                 {"resnet50-tuned_norm", "resnet50-tuned_norm"}};
    char text[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vt_resnet_options o = {.depth = 0};
        assert_ok(vt_resnet_parse_name(&o, names[i].name));
        assert_string_equal(vt_resnet_name(&o, text, sizeof text), names[i].whole);
    }
    static const char *const wrong[] = {"",
                                        "resnet",
                                        "resnet101",
                                        "resnet18-",
                                        "resnet18composite_a",
                                        "composite_h",
                                        "resnet18-resnet50"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        vt_resnet_options o = {.depth = 7};
        assert_status(VT_EINVAL, vt_resnet_parse_name(&o, wrong[i]));
        assert_message("composite_a");
        assert_int_equal(o.depth, 7);
    }
}

static void test_impossible_networks(void **state)
{
    (void)state;
    vt_model *model;
    assert_status(VT_EINVAL, vt_resnet_new(&model, &(vt_resnet_options){.depth = 101}));
    assert_status(VT_EINVAL, vt_resnet_new(&model, &(vt_resnet_options){.width = -1}));
    assert_status(VT_EINVAL, vt_resnet_new(&model, &(vt_resnet_options){.width = NAN}));
    assert_status(VT_EINVAL, vt_resnet_new(&model, &(vt_resnet_options){.classes = -3}));
    assert_status(VT_EINVAL, vt_resnet_new(&model, &(vt_resnet_options){.image = 8}));
    assert_status(
        VT_ESHAPE,
        vt_resnet_new(&model, &(vt_resnet_options){.depth = 18,
                                                   .image = 96,
                                                   .variant = VT_RESNET_CORTICAL_MAGNIFICATION}));
    assert_message("maxpool");
}

/* Every variant at every depth, small: written, read back, the same scores bit for bit; its file
 * has PyTorch's names and layouts. */
static void test_written_and_read(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    static const int depths[] = {18, 34, 50};
    new_folder(folder);
    snprintf(path, sizeof path, "%s/n.safetensors", folder);
    for (int i = 0; i < 3 * VT_RESNET_VARIANTS; i++) {
        vt_resnet_options o = {.variant = (vt_resnet_variant)(i % VT_RESNET_VARIANTS),
                               .depth = depths[i / VT_RESNET_VARIANTS],
                               .width = 0.0625,
                               .classes = 7,
                               .formulation = i % 2 ? VT_RELEASED : VT_DESCRIBED,
                               .seed = 3},
                          again;
        vt_model *models[2];
        float scores[2][7];
        assert_ok(vt_resnet_new(&models[0], &o));
        assert_ok(vt_model_write(models[0], path));
        assert_ok(vt_model_read(&models[1], path));
        assert_ok(vt_model_resnet_options(models[1], &again));
        assert_int_equal(again.variant, o.variant);
        assert_int_equal(again.depth, o.depth);
        assert_int_equal(again.formulation, o.formulation);
        for (int m = 0; m < 2; m++) {
            vt_plan *plan;
            vt_node output = vt_model_output(models[m]);
            assert_ok(
                vt_plan_new(&plan, vt_model_graph(models[m]),
                            &(vt_plan_options){.batch = 1, .outputs = &output, .output_count = 1}));
            golden_images(vt_plan_input(plan, vt_model_input(models[m]))->data, 1);
            assert_ok(vt_plan_forward(plan));
            memcpy(scores[m], vt_plan_output(plan, output)->data, sizeof scores[m]);
            vt_plan_free(plan);
            vt_model_free(models[m]);
        }
        assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
        vt_tensor_map *map;
        assert_ok(vt_safetensors_read(&map, path));
        const vt_tensor *conv1 = vt_tensor_map_find(map, "conv1.weight");
        assert_int_equal(conv1->size[1], 3);
        assert_int_equal(conv1->size[2], 7);
        vt_tensor_map_free(map);
    }
    remove_folder(folder);
}

static void test_prefixes_and_strangers(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"", "module.", "model.", "model.module.",
                                           "state_dict.module."};
    char folder[4096], path[4200];
    vt_model *model;
    vt_tensor_map *plain;
    new_folder(folder);
    assert_ok(
        vt_resnet_new(&model, &(vt_resnet_options){.depth = 18, .width = 0.0625, .classes = 5}));
    assert_ok(vt_tensor_map_new(&plain));
    assert_ok(vt_model_to_map(model, plain));
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        vt_tensor_map *map;
        vt_model *again;
        assert_ok(vt_tensor_map_new(&map));
        for (int k = 0; k < vt_tensor_map_count(plain); k++) {
            const vt_tensor *t = vt_tensor_map_at(plain, k);
            char name[VT_NAME_SIZE + 32];
            snprintf(name, sizeof name, "%s%s", prefixes[i], t->name);
            assert_ok(vt_tensor_map_add_copy(map, name, t));
        }
        if (strlen(prefixes[i]) > 7) /* beside the network */
            assert_ok(vt_tensor_map_add_copy(map, "optimizer.state.0", vt_tensor_map_at(plain, 0)));
        snprintf(path, sizeof path, "%s/%zu.safetensors", folder, i);
        assert_ok(vt_safetensors_write(map, path));
        assert_ok(vt_model_read(&again, path));
        assert_int_equal(vt_model_outputs(again), 5);
        vt_model_free(again);
        assert_status(VT_EFORMAT, vt_resnet_read(&again, path, "resnet34"));
        assert_message("missing: ");
        vt_tensor_map_free(map);
    }
    vt_tensor_map_free(plain);
    vt_model_free(model);
    remove_folder(folder);
}

/* Weights that several variants share need a name. */
static void test_ambiguous_weights(void **state)
{
    (void)state;
    need_shared(reference, "golden/v1_networks/composite_a.state.json");
    char folder[4096], path[4200];
    vt_tensor_map *map = golden_state("composite_a");
    vt_model *model;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    assert_ok(vt_safetensors_write(map, path));
    assert_status(VT_EINVAL, vt_model_read(&model, path));
    assert_message("resnet50-composite_a or resnet50-composite_d");
    vt_tensor_map_free(map);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_networks),
        cmocka_unit_test(test_first_steps_of_training),
        cmocka_unit_test(test_single_against_double_precision),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_impossible_networks),
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_prefixes_and_strangers),
        cmocka_unit_test(test_ambiguous_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
