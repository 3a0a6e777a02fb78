/* ventral prune: what it writes and shows, teachers, curves, mistakes, kills, full disks. */
#include "cli.h"

static char root[4096];
static const char *images, *model, *other, *shared, *out;

/* Tagged filters that matter, and one in each layer that reaches nothing. */
static void write_prunable(const char *path, const char *session, uint64_t seed)
{
    vt_model *made;
    vt_compact_options o = {
        .filters = {5, 6, 5, 5, 5}, .height = 16, .width = 16, .outputs = 1, .seed = seed};
    assert_ok(vt_compact_new(&made, &o));
    vt_graph *graph = vt_model_graph(made);
    for (int k = 0; k < VT_COMPACT_LAYERS; k++) {
        char name[64];
        snprintf(name, sizeof name, "layer%d_bn.moving_variance", k);
        vt_tensor *t = &vt_graph_find_param(graph, name)->value;
        for (int64_t i = 0; i < vt_tensor_count(t); i++)
            ((float *)t->data)[i] = k ? 0.1f : 2000;
        snprintf(name, sizeof name, "layer%d_bn.beta", k);
        t = &vt_graph_find_param(graph, name)->value;
        for (int64_t i = 0; i < vt_tensor_count(t); i++)
            ((float *)t->data)[i] = 1;
    }
    if (session) {
        vt_model_session s = {.count = 1, .first_neuron = 3};
        snprintf(s.id, sizeof s.id, "%s", session);
        assert_ok(vt_model_add_session(made, &s));
    }
    assert_ok(vt_model_write(made, path));
    vt_model_free(made);
}

static int set_up(void **state)
{
    vt_tensor t;
    (void)state;
    new_folder(root);
    images = strdup(cli_join(root, "images.npy"));
    model = strdup(cli_join(root, "model.safetensors"));
    other = strdup(cli_join(root, "other.safetensors"));
    shared = strdup(cli_join(root, "shared.safetensors"));
    out = strdup(cli_join(root, "out"));
    assert_ok(vt_tensor_new(&t, VT_U8, 4, (int64_t[]){60, 16, 16, 3}));
    for (int64_t i = 0; i < vt_tensor_count(&t); i++)
        ((uint8_t *)t.data)[i] = (uint8_t)((i * i / 7 + 31 * i / 768) % 251);
    assert_ok(vt_npy_write(&t, images));
    vt_tensor_free(&t);
    write_prunable(model, "a", 1);
    write_prunable(other, NULL, 2);
    cli_write_model(shared, "a", 3, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    const char *const paths[] = {images, model, other, shared, out};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        free((void *)paths[i]);
    remove_folder(root);
    return 0;
}

static const char known[] = ";images.npy;model.safetensors;other.safetensors;shared.safetensors;";

static void clear(void)
{
    remove_folder(out);
    cli_assert_only(root, known);
}

static void test_misuse(void **state)
{
    (void)state;
    cli_check_command("prune", "--images-used", true);
    cli_misused("--output", "prune", model, "--images", images);
    cli_misused("which images", "prune", model, "--output", out);
    static const char *const wrong[][2] = {
        {"--threshold=0", "--threshold 0"},     {"--threshold=1.5", "--threshold 1.5"},
        {"--threshold=nan", "--threshold"},     {"--minimum=0", "--minimum 0"},
        {"--images-used=1", "--images-used 1"}, {"--form=best", "--form best"},
        {"--curve=0.5", "--curve 0.5"},         {"--curve=0.9:0.5", "--curve"},
        {"--curve=0:0.5", "--curve"},           {"--curve=0.1:0.5:1", "--curve"},
        {"--curve=0.1:0.5:9x", "--curve"},      {"--curve=0.1:0.5:", "--curve"},
        {"--curve=0.1:1.1", "--curve"},         {"--curve=0.1:0.5:100000", "--curve"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cli_misused(wrong[i][1], "prune", model, "--images", images, "--output", out, wrong[i][0]);
    cli_assert_only(root, known);
}

static json_t *at(json_t *root_value, const char *list, size_t index)
{
    json_t *entry = json_array_get(json_object_get(root_value, list), index);
    assert_non_null(entry);
    return entry;
}

static void check_report(json_t *r)
{
    int total_before = 0, total_after = 0;
    double kept = 0;
    for (size_t k = 0; k < VT_COMPACT_LAYERS; k++) {
        json_t *layer = at(r, "layers", k);
        total_before += (int)json_integer_value(json_object_get(layer, "before"));
        total_after += (int)json_integer_value(json_object_get(layer, "after"));
        kept = json_number_value(json_object_get(layer, "kept"));
        assert_true(kept > 0 && kept < 1.5);
    }
    assert_int_equal(26, total_before);
    assert_true(total_after <= total_before && total_after >= 5);
    double r_after = json_number_value(json_object_get(r, "r_after"));
    assert_true(r_after >= -1 && r_after <= 1);
}

/* The files hold what the report says. */
static void check_files(json_t *r, bool keras)
{
    const char *path = json_string_value(json_object_get(r, "output"));
    vt_model *small;
    vt_compact_options o;
    assert_ok(vt_model_read(&small, path));
    assert_ok(vt_model_compact_options(small, &o));
    for (size_t k = 0; k < VT_COMPACT_LAYERS; k++)
        assert_int_equal(o.filters[k],
                         json_integer_value(json_object_get(at(r, "layers", k), "after")));
    assert_true(vt_model_parameters(small) ==
                json_integer_value(json_object_get(r, "parameters_after")));
    vt_model_free(small);
    if (!keras) return;
    char h5[4400];
    snprintf(h5, sizeof h5, "%.*s.h5", (int)(strlen(path) - strlen(".safetensors")), path);
    assert_ok(vt_model_read(&small, h5));
    assert_true(vt_model_parameters(small) ==
                json_integer_value(json_object_get(r, "parameters_after")));
    vt_model_free(small);
}

static void test_models(void **state)
{
    (void)state;
    json_t *r = cli_json("prune", model, other, "--images", images, "--output", out,
                         "--images-used", "40", "--threshold", "0.8", "--minimum", "2", "--h5");
    assert_int_equal(40, json_integer_value(json_object_get(r, "images")));
    assert_int_equal(20, json_integer_value(json_object_get(r, "held_out")));
    assert_string_equal("corrected", json_string_value(json_object_get(r, "form")));
    int sum[2] = {0, 0};
    for (size_t m = 0; m < 2; m++) {
        check_report(at(r, "models", m));
        check_files(at(r, "models", m), true);
        assert_true(fabs(json_number_value(json_object_get(at(r, "models", m), "r_before")) - 1) <
                    1e-9);
        for (size_t k = 0; k < VT_COMPACT_LAYERS; k++)
            sum[0] += (int)json_integer_value(
                json_object_get(at(at(r, "models", m), "layers", k), "after"));
    }
    json_decref(r);
    cli_assert_only(out, ";model.safetensors;other.safetensors;model.h5;other.h5;");
    remove_folder(out);
    r = cli_json("prune", model, other, "--images", images, "--output", out, "--images-used", "40",
                 "--threshold", "0.8", "--minimum", "2", "--form", "released");
    for (size_t m = 0; m < 2; m++)
        for (size_t k = 0; k < VT_COMPACT_LAYERS; k++)
            sum[1] += (int)json_integer_value(
                json_object_get(at(at(r, "models", m), "layers", k), "after"));
    json_decref(r);
    assert_true(sum[1] < sum[0]);
    clear();
    char *text = cli_output_of(cli_run("prune", model, "--images", images, "--output", out));
    assert_non_null(strstr(text, "5 6 5 5 5"));
    assert_non_null(strstr(text, "written, threshold 0.9"));
    assert_non_null(strstr(text, "60 images that were pruned on"));
    free(text);
    clear();
}

static void test_curve(void **state)
{
    (void)state;
    void *csv;
    size_t size;
    json_t *r = cli_json("prune", model, "--images", images, "--output", out, "--curve",
                         "0.5:0.95:4", "--minimum", "1");
    json_t *one = at(r, "models", 0);
    assert_int_equal(4, json_array_size(json_object_get(one, "curve")));
    json_int_t before = 0;
    for (size_t i = 0; i < 4; i++) {
        json_t *point = at(one, "curve", i);
        check_report(point);
        json_int_t now = json_integer_value(json_object_get(point, "parameters_after"));
        assert_true(now >= before);
        before = now;
    }
    assert_true(fabs(json_number_value(json_object_get(at(one, "curve", 3), "threshold")) - 0.95) <
                1e-12);
    json_decref(r);
    assert_ok(vt_file_read(&csv, &size, cli_join(out, "curve.csv")));
    int lines = 0;
    for (const char *c = csv; *c; c++)
        lines += *c == '\n';
    assert_int_equal(5, lines);
    assert_non_null(strstr(csv, "\nmodel.safetensors,0.65,"));
    free(csv);
    clear();
}

static void test_teachers(void **state)
{
    (void)state;
    const char *teacher = cli_join(root, "teacher.safetensors");
    write_prunable(teacher, "a", 1); /* the same network: the target is the model's own response */
    json_t *own = cli_json("prune", model, "--images", images, "--output", out);
    json_t *with =
        cli_json("prune", model, "--images", images, "--output", out, "--teacher", teacher);
    for (size_t k = 0; k < VT_COMPACT_LAYERS; k++)
        assert_int_equal(
            json_integer_value(json_object_get(at(at(own, "models", 0), "layers", k), "after")),
            json_integer_value(json_object_get(at(at(with, "models", 0), "layers", k), "after")));
    json_decref(own);
    json_decref(with);
    write_prunable(teacher, "a", 5); /* another one */
    with = cli_json("prune", model, "--images", images, "--output", out, "--teacher", teacher);
    double r = json_number_value(json_object_get(at(with, "models", 0), "r_before"));
    assert_true(r > -0.999 && r < 0.999);
    json_decref(with);
    cli_ok("prune", other, "--images", images, "--output", out, "--teacher", teacher);
    cli_fails("other.safetensors", "whose neuron", "prune", other, "--images", images, "--output",
              out, "--teacher", shared);
    write_prunable(teacher, "b", 5);
    cli_fails("model.safetensors", "neuron 3 of session a", "prune", model, "--images", images,
              "--output", out, "--teacher", teacher);
    unlink(teacher);
    clear();
}

static void test_failures(void **state)
{
    (void)state;
    cli_fails("model.safetensors", "overwritten", "prune", model, "--images", images, "--output",
              root);
    cli_fails("shared.safetensors", "one neuron", "prune", shared, "--generate", "3", "--output",
              out);
    cli_fails("gone.npy", "", "prune", model, "--images", cli_join(root, "gone.npy"), "--output",
              out);
    cli_fails("gone.safetensors", "", "prune", cli_join(root, "gone.safetensors"), "--images",
              images, "--output", out);
    cli_fails("images.npy", "not a folder", "prune", model, "--images", images, "--output", images);
    cli_fails("both become", "model", "prune", model, model, "--images", images, "--output", out);
    const char *large = cli_join(root, "large.safetensors");
    cli_write_model(large, "a", 1, 1);
    cli_fails("model.safetensors", "16 x 16", "prune", large, model, "--generate", "3", "--output",
              out);
    unlink(large);
    const char *const args[] = {"ventral",  "prune", model,     "--images", images,
                                "--output", out,     "--curve", "0.5:0.9",  NULL};
    cli_assert_fails(cli_run_how(args, &(cli_how){.largest_file = 2000}), 1, "model.safetensors",
                     "File too large");
    cli_assert_only(out, "");
    clear();
}

/* Killed at any moment: what is in the folder is whole. */
static void test_kills(void **state)
{
    (void)state;
    const char *const args[] = {"ventral", "prune", model,      "--images", images, "--generate",
                                "300",     "--h5",  "--output", out,        NULL};
    cli_result whole = cli_run_how(args, &(cli_how){.signal = 0});
    assert_int_equal(0, whole.code);
    for (int i = 1; i <= 8; i++) {
        remove_folder(out);
        cli_how how = {.signal = SIGKILL, .signal_after = whole.seconds * i / 8};
        cli_result r = cli_run_how(args, &how);
        for (int k = 0; k < 2; k++) {
            vt_model *small;
            const char *path = cli_join(out, k ? "model.h5" : "model.safetensors");
            if (access(path, F_OK) != 0) continue;
            assert_ok(vt_model_read(&small, path));
            vt_model_free(small);
        }
        cli_free(&r);
    }
    cli_free(&whole);
    clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_misuse),   cmocka_unit_test(test_models),
        cmocka_unit_test(test_curve),    cmocka_unit_test(test_teachers),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_kills),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
