/* ventral info --components: tables and figures of what training made of a network. */
#include "cli.h"

#include "ventral/image.h"
#include "ventral/report.h"
#include "ventral/resnet.h"

static char root[4096];

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    vt_model *model;
    vt_resnet_options options = {
        .variant = VT_RESNET_COMPOSITE_A, .depth = 18, .width = 0.125, .classes = 3, .seed = 1};
    assert_ok(vt_resnet_new(&model, &options));
    vt_graph *graph = vt_model_graph(model);
    float *sigma1 = vt_graph_find_param(graph, "layer1.0.conv2.dog.dog_conv.sigma1")->value.data;
    for (int i = 0; i < 4; i++)
        sigma1[i] = 0.5F + 0.25F * (float)i;
    assert_ok(vt_model_write(model, cli_join(root, "net.safetensors")));
    vt_model_free(model);
    cli_write_model(cli_join(root, "compact.safetensors"), NULL, 2, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    return 0;
}

static int64_t rows(const char *path)
{
    void *text;
    size_t size;
    int64_t lines = 0;
    assert_ok(vt_file_read(&text, &size, path));
    for (size_t i = 0; i < size; i++)
        lines += ((char *)text)[i] == '\n';
    free(text);
    return lines - 1;
}

static void test_network(void **state)
{
    (void)state;
    char *folder = strdup(cli_join(root, "learned"));
    json_t *r = cli_json("info", cli_join(root, "net.safetensors"), "--components", folder);
    json_t *learned = json_object_get(r, "learned"),
           *center = json_object_get(learned, "center_sd");
    assert_int_equal(4, json_integer_value(json_object_get(center, "number")));
    assert_close(json_real_value(json_object_get(center, "least")), 0.5, 1e-6);
    assert_close(json_real_value(json_object_get(center, "median")), 0.875, 1e-6);
    assert_close(json_real_value(json_object_get(center, "most")), 1.25, 1e-6);
    json_decref(r);
    assert_int_equal(4, rows(cli_join(folder, "center_surround.csv")));
    assert_int_equal(16, rows(cli_join(folder, "tuned_normalization.csv")));
    assert_int_equal(256, rows(cli_join(folder, "receptive_fields.csv")));
    assert_int_equal(8, rows(cli_join(folder, "filters.csv")));
    if (vt_plot_check() == VT_OK) {
        vt_image image;
        assert_ok(vt_image_read(&image, cli_join(folder, "receptive_fields.png")));
        vt_image_free(&image);
    }
    free(folder);
}

static void test_others(void **state)
{
    (void)state;
    char *folder = strdup(cli_join(root, "compact"));
    cli_result r = cli_run("info", cli_join(root, "compact.safetensors"), "--components", folder);
    assert_int_equal(0, r.code);
    assert_non_null(strstr(r.out, "orientation_selectivity"));
    assert_null(strstr(r.out, "center_sd"));
    cli_free(&r);
    assert_int_equal(2, rows(cli_join(folder, "filters.csv")));
    assert_int_not_equal(0, access(cli_join(folder, "center_surround.csv"), F_OK));
    cli_fails("none", "", "info", cli_join(root, "none"), "--components", folder);
    cli_fails("compact", "", "info", folder, "--components", folder);
    cli_fails("no/folder", "", "info", cli_join(root, "compact.safetensors"), "--components",
              cli_join(root, "no/folder"));
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
