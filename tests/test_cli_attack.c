/* ventral attack: the accuracies it reports, and what it refuses. What attacks do is tested in
 * test_attack.c. */
#include "cli.h"
#include "toy_images.h"

#include "ventral/resnet.h"

static char root[4096];
static const char *toy, *model;

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    toy = strdup(cli_join(root, "toy"));
    write_toys(root, "toy", TOY_CLASSES, 0, 8);
    cli_ok("train", "-i", toy, "-n", "resnet18", "-w", "0.0625", "-o", cli_join(root, "run"),
           "--transform", "tiny", "-e", "8", "-b", "8", "-r", "0.02", "--threads", "2");
    model = strdup(cli_join(root, "run/best.safetensors"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)toy);
    free((void *)model);
    return 0;
}

#define IN(name) cli_join(root, name)
#define ATTACK "attack", model, "-i", toy, "--transform", "tiny"

static void test_common(void **state)
{
    (void)state;
    cli_check_command("attack", "--no-random-start", true);
    cli_misused("one model", "attack", "-i", toy);
    cli_misused("one model", "attack", model, model, "-i", toy);
    cli_misused("--images", "attack", model);
    cli_misused("--steps and --batch", ATTACK, "-s", "0");
    cli_misused("--steps and --batch", ATTACK, "-b", "0");
    cli_misused("--limit", ATTACK, "--limit", "-1");
    cli_misused("--step", ATTACK, "--step", "-0.5");
    cli_misused("--step", ATTACK, "--step", "nan");
}

/* An entry for the images as they are and for each epsilon. */
static void check_results(json_t *r, const double *epsilons, int count, double images)
{
    json_t *results = json_object_get(r, "results");
    double before = 2, least = 2;
    assert_int_equal(count, json_array_size(results));
    for (int i = 0; i < count; i++) {
        const json_t *e = json_array_get(results, (size_t)i);
        double top1 = json_number_value(json_object_get(e, "top1"));
        assert_close(json_number_value(json_object_get(e, "epsilon")), epsilons[i], 1e-12);
        assert_close(json_number_value(json_object_get(e, "images")), images, 0);
        if (i == 0) before = top1;
        least = fmin(least, top1);
    }
    assert_true(before > 0.7);
    assert_true(least < before - 0.3);
}

static void test_pgd(void **state)
{
    (void)state;
    json_t *r = cli_json(ATTACK, "-e", "0.5,8", "-s", "3");
    const char *norm, *unit;
    int steps, random_start;
    assert_int_equal(0, json_unpack(r, "{s:s, s:s, s:i, s:b}", "norm", &norm, "unit", &unit,
                                    "steps", &steps, "random_start", &random_start));
    assert_string_equal("linf", norm);
    assert_string_equal("grey levels", unit);
    assert_int_equal(3, steps);
    assert_true(random_start);
    check_results(r, (const double[]){0, 0.5, 8}, 3, 8 * TOY_CLASSES);
    json_t *same = cli_json(ATTACK, "-e", "0.5,8", "-s", "3");
    assert_true(json_equal(r, same));
    json_decref(same);
    json_decref(r);
    char *text = cli_output_of(cli_run(ATTACK, "-e", "4", "-s", "2", "--limit", "6"));
    assert_non_null(strstr(text, "unchanged"));
    assert_non_null(strstr(text, "PGD, Linf 4 "));
    free(text);
}

static void test_fgsm_and_l2(void **state)
{
    (void)state;
    json_t *r = cli_json(ATTACK, "-e", "8", "-s", "1");
    assert_true(json_is_false(json_object_get(r, "random_start")));
    check_results(r, (const double[]){0, 8}, 2, 8 * TOY_CLASSES);
    json_decref(r);
    r = cli_json(ATTACK, "--norm", "l2", "-e", "3", "-s", "3", "--no-random-start", "-b", "5");
    assert_string_equal("l2", json_string_value(json_object_get(r, "norm")));
    assert_true(json_is_false(json_object_get(r, "random_start")));
    check_results(r, (const double[]){0, 3}, 2, 8 * TOY_CLASSES);
    json_decref(r);
    char *text = cli_output_of(cli_run(ATTACK, "-e", "8", "-s", "1", "--limit", "6"));
    assert_non_null(strstr(text, "FGSM, Linf 8 "));
    free(text);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const lists[] = {
        "",      "0",   "-1",
        "1,,2",  "1;2", "many",
        "8/255", "nan", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        cli_fails("--epsilon ", "up to 16 numbers above 0", ATTACK, "-e", lists[i]);
    cli_fails("--norm l1", "linf or l2", ATTACK, "--norm", "l1");
    cli_fails("epsilon inf", "above 0", ATTACK, "-e", "inf");
    cli_fails("steps", "100000", ATTACK, "-s", "100001");
    cli_fails("'blur'", "imagenet, tiny or crop", "attack", model, "-i", toy, "--transform",
              "blur");
    cli_fails(model, "not a resnet50", ATTACK, "-n", "resnet50");
    cli_fails("absent", "", "attack", IN("absent"), "-i", toy);
    cli_fails("absent", "", "attack", model, "-i", IN("absent"));
    cli_write_model(IN("compact.safetensors"), NULL, 1, 1);
    cli_fails("compact.safetensors", "ResNet", "attack", IN("compact.safetensors"), "-i", toy);
    write_toys(root, "three", 3, 0, 1);
    cli_fails(model, "4 classes, the images have 3", "attack", model, "-i", IN("three"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_pgd),
        cmocka_unit_test(test_fgsm_and_l2),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
