/* The trained networks in assets/ open, say what they are, are small, and tell classes apart: their
 * scores of one image differ, and those of two images, too. */
#include <sys/stat.h>

#include "test.h"
#include "ventral/ventral.h"

static const struct {
    const char *file, *network;
    vt_formulation formulation;
} assets[] = {
    {"resnet18_baseline", "resnet18", VT_DESCRIBED},
    {"resnet18_baseline_free", "resnet18", VT_DESCRIBED},
    {"resnet18_composite_a_described", "resnet18-composite_a", VT_DESCRIBED},
    {"resnet18_composite_a_released", "resnet18-composite_a", VT_RELEASED},
};

static void check_asset(const char *file, const char *network, vt_formulation formulation)
{
    enum { CLASSES = 200, PIXELS = 64 * 64 };
    char path[4096], name[64];
    struct stat info;
    vt_model *model;
    vt_resnet_options options;
    vt_plan *plan;
    snprintf(path, sizeof path, "%s/assets/%s.safetensors", TEST_SOURCE_DIR, file);
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_size < 1500000);
    assert_ok(vt_model_read(&model, path));
    assert_ok(vt_model_resnet_options(model, &options));
    assert_string_equal(vt_resnet_name(&options, name, sizeof name), network);
    assert_int_equal(options.formulation, formulation);
    assert_int_equal(vt_model_outputs(model), CLASSES);
    vt_node output = vt_model_output(model);
    assert_ok(vt_plan_new(&plan, vt_model_graph(model),
                          &(vt_plan_options){.batch = 2, .outputs = &output, .output_count = 1}));
    float *x = vt_plan_input(plan, vt_model_input(model))->data;
    for (int i = 0; i < 2 * PIXELS; i++) /* a grating and a gradient of colours */
        for (int c = 0; c < 3; c++)
            x[3 * i + c] = i < PIXELS ? (i % 64 / 4 % 2 ? 1 : -1) : (float)(i % 64 * (c - 1)) / 64;
    assert_ok(vt_plan_forward(plan));
    const float *scores = vt_plan_output(plan, output)->data;
    double spread = 0, difference = 0;
    for (int k = 0; k < CLASSES; k++) {
        spread = fmax(spread, fabs(scores[k] - scores[0]));
        difference = fmax(difference, fabs(scores[k] - scores[CLASSES + k]));
    }
    assert_true(spread > 1 && spread < 100);
    assert_true(difference > 1 && difference < 100);
    vt_plan_free(plan);
    vt_model_free(model);
}

static void test_assets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++)
        check_asset(assets[i].file, assets[i].network, assets[i].formulation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_assets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
