/* ventral evaluate: accuracy on images and on corrupted ones, as text, JSON and a figure, and what
 * it refuses. */
#include "cli.h"
#include "toy_images.h"

#include "ventral/classifier.h"
#include "ventral/resnet.h"

static char root[4096];
static const char *toy, *model, *compact;

static int set_up(void **state)
{
    (void)state;
    vt_model *network;
    new_folder(root);
    toy = strdup(cli_join(root, "toy"));
    model = strdup(cli_join(root, "model.safetensors"));
    compact = strdup(cli_join(root, "compact.safetensors"));
    write_toys(root, "toy/train", TOY_CLASSES, 0, 1);
    write_toys(root, "toy/val", TOY_CLASSES, 100, 3);
    assert_ok(vt_resnet_new(&network, &(vt_resnet_options){.variant = VT_RESNET_TUNED_NORM,
                                                           .depth = 18,
                                                           .width = 0.0625,
                                                           .classes = TOY_CLASSES}));
    assert_ok(vt_model_write(network, model));
    vt_model_free(network);
    cli_write_model(compact, NULL, 1, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)toy);
    free((void *)model);
    free((void *)compact);
    return 0;
}

#define IN(name) cli_join(root, name)
#define EVALUATE "evaluate", model, "-i", toy, "--transform", "tiny"

static void test_common(void **state)
{
    (void)state;
    cli_check_command("evaluate", "--corrupted", true);
    cli_misused("one model", "evaluate", "-i", toy);
    cli_misused("one model", "evaluate", model, model, "-i", toy);
    cli_misused("--images or --corrupted", "evaluate", model);
    cli_misused("--corrupted", "evaluate", model, "-i", toy, "-o", "x.svg");
    cli_misused("--batch", EVALUATE, "-b", "0");
    cli_misused("--limit", EVALUATE, "--limit", "-1");
}

static double real(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* The same as the library's; text and JSON agree. */
static void test_images(void **state)
{
    (void)state;
    vt_model *network;
    vt_dataset *images;
    vt_accuracy a;
    vt_evaluate_options o = {.transform = vt_transform_tiny_validation};
    assert_ok(vt_model_read(&network, model));
    assert_ok(vt_dataset_open(&images, toy, VT_PART_VALIDATION));
    assert_ok(vt_evaluate_classifier(&a, network, images, &o));
    vt_dataset_close(images);
    vt_model_free(network);
    json_t *r = cli_json(EVALUATE), *clean = json_object_get(r, "clean");
    assert_int_equal(1, json_object_size(r));
    assert_int_equal(5, json_object_size(clean));
    assert_close(real(clean, "images"), 3 * TOY_CLASSES, 0);
    assert_close(real(clean, "top1"), a.top1, 1e-9);
    assert_close(real(clean, "top5"), 1, 0);
    assert_close(real(clean, "loss"), a.loss, 1e-6);
    assert_close(real(clean, "skipped"), 0, 0);
    json_decref(r);
    char *text = cli_output_of(cli_run(EVALUATE, "-n", "resnet18-tuned_norm")), line[64];
    snprintf(line, sizeof line, "top-1 %6.2f %%", 100 * a.top1);
    assert_non_null(strstr(text, line));
    free(text);
    r = cli_json(EVALUATE, "--limit", "5", "-b", "2", "--bf16");
    assert_close(real(json_object_get(r, "clean"), "images"), 5, 0);
    json_decref(r);
}

static void test_corrupted(void **state)
{
    (void)state;
    const char *tree = IN("tree"), *figure = IN("figure.svg");
    cli_ok("corrupt", toy, "-o", tree, "-c", "fog,contrast", "-s", "1,3");
    json_t *r = cli_json(EVALUATE, "-c", tree, "-o", figure);
    json_t *list = json_object_get(r, "corruptions"), *fog = json_array_get(list, 1);
    assert_int_equal(2, json_array_size(list));
    assert_string_equal("fog", json_string_value(json_object_get(fog, "corruption")));
    json_t *severities = json_object_get(fog, "severities");
    assert_int_equal(5, json_array_size(severities));
    double first = real(json_array_get(severities, 0), "top1");
    double third = real(json_array_get(severities, 2), "top1");
    assert_true(json_is_null(json_array_get(severities, 1)));
    assert_close(real(json_array_get(severities, 2), "images"), 3 * TOY_CLASSES, 0);
    assert_close(real(fog, "mean_top1"), (first + third) / 2, 1e-9);
    assert_close(real(r, "mean_top1"),
                 (real(fog, "mean_top1") + real(json_array_get(list, 0), "mean_top1")) / 2, 1e-9);
    assert_non_null(json_object_get(r, "clean"));
    json_decref(r);
    void *svg;
    size_t size;
    assert_ok(vt_file_read(&svg, &size, figure));
    assert_non_null(strstr(svg, "<svg"));
    assert_non_null(strstr(svg, "weather")); /* fog's family */
    assert_non_null(strstr(svg, "digital")); /* contrast's */
    assert_null(strstr(svg, "noise"));       /* nothing of it in the tree */
    free(svg);
    char *text = cli_output_of(cli_run("evaluate", model, "-c", tree));
    assert_null(strstr(text, "unchanged"));
    assert_non_null(strstr(text, "contrast"));
    assert_non_null(strstr(text, "      -")); /* severities that are not there */
    assert_non_null(strstr(text, "mean"));
    free(text);
    cli_fails(IN("absent"), "", "evaluate", model, "-c", tree, "-o", IN("absent/figure.svg"));
    cli_fails(root, "folder", "evaluate", model, "-c", tree, "-o", root);
}

static void test_refusals(void **state)
{
    (void)state;
    write_toys(root, "three", 3, 0, 1);
    cli_fails("absent", "", "evaluate", IN("absent"), "-i", toy);
    cli_fails(compact, "ResNet", "evaluate", compact, "-i", toy);
    cli_fails(model, "it is a resnet18-tuned_norm, not a resnet18", EVALUATE, "-n", "resnet18");
    cli_fails("'resnet19'", "resnet18", EVALUATE, "-n", "resnet19");
    cli_fails("'huge'", "imagenet, tiny or crop", "evaluate", model, "-i", toy, "--transform",
              "huge");
    cli_fails(model, "4 classes, the images have 3", "evaluate", model, "-i", IN("three"));
    cli_fails("absent", "", "evaluate", model, "-i", IN("absent"));
    cli_fails("toy", "no corrupted images", "evaluate", model, "-c", toy);
    cli_fails("absent", "No such file", "evaluate", model, "-c", IN("absent"));
    write_toys(root, "wrong/fog/1", 3, 0, 1);
    cli_fails("wrong/fog/1", "4 classes, the images have 3", "evaluate", model, "-c", IN("wrong"));
    write_text(root, "text.safetensors", "not a model");
    cli_fails("text.safetensors", "", "evaluate", IN("text.safetensors"), "-i", toy);
}

/* Of twelve images one is damaged: it is left out and reported. Two are too many. */
static void test_damaged_images(void **state)
{
    (void)state;
    write_toys(root, "bad", TOY_CLASSES, 0, 3);
    write_text(root, "bad/c2/001.png", "no image");
    char *text = cli_output_of(cli_run("evaluate", model, "-i", IN("bad"), "--transform", "tiny"));
    assert_non_null(strstr(text, "(1 images could not be read)"));
    free(text);
    write_text(root, "bad/c2/002.png", "no image");
    cli_fails("c2/001.png", "more than a tenth", "evaluate", model, "-i", IN("bad"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),         cmocka_unit_test(test_images),
        cmocka_unit_test(test_corrupted),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_damaged_images),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
