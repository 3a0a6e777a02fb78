/* Accuracy on trees of corrupted images: what they hold and do not hold, and that the accuracy is
 * that on each folder's images. */
#include "toy_training.h"

#include "base/arena.h"
#include "ventral/corruption.h"

static vt_model *model;

static int set_up(void **state)
{
    toy_set_up(state);
    model = toy_network(TOY_CLASSES, 3);
    return 0;
}

static int tear_down(void **state)
{
    vt_model_free(model);
    return toy_tear_down(state);
}

static vt_status evaluate(vt_corruption_score **scores, int *count, const char *tree)
{
    vt_evaluate_options o = {.transform = vt_transform_tiny_validation, .batch = 5};
    return vt_evaluate_corruptions(scores, count, model, toy_path(tree, ""), &o);
}

static void test_tree(void **state)
{
    (void)state;
    vt_corruption_score *scores;
    int count;
    write_toys(toy_root, "tree/snow/1", TOY_CLASSES, 0, 1);
    write_toys(toy_root, "tree/snow/4", TOY_CLASSES, 0, 3);
    write_toys(toy_root, "tree/fog/5", TOY_CLASSES, 7, 2);
    write_toys(toy_root, "tree/.hidden/1", TOY_CLASSES, 0, 1);
    write_toys(toy_root, "tree/other/6", TOY_CLASSES, 0, 1); /* there is no severity 6 */
    write_text(toy_root, "tree/fog/README", "x");
    write_text(toy_root, "tree/corruptions.json", "{}");
    assert_ok(evaluate(&scores, &count, "tree"));
    assert_int_equal(2, count);
    assert_string_equal("fog", scores[0].name);
    assert_string_equal("snow", scores[1].name);
    static const int images[2][VT_SEVERITIES] = {{0, 0, 0, 0, 8}, {4, 0, 0, 12, 0}};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < VT_SEVERITIES; k++)
            assert_int_equal(images[i][k], scores[i].severity[k].images);
    vt_dataset *part;
    vt_accuracy alone;
    vt_evaluate_options o = {.transform = vt_transform_tiny_validation};
    assert_ok(vt_dataset_open(&part, toy_path("tree/snow/4", ""), VT_PART_VALIDATION));
    assert_ok(vt_evaluate_classifier(&alone, model, part, &o));
    assert_close(alone.loss, scores[1].severity[3].loss, 1e-6);
    assert_close(alone.top1, scores[1].severity[3].top1, 0);
    vt_dataset_close(part);
    free(scores);
}

/* What vt_corrupt_dataset writes is such a tree. */
static void test_corrupted_dataset(void **state)
{
    (void)state;
    vt_corrupt_options some = {.severities = {true, false, true}};
    vt_corrupt_report report;
    vt_corruption_score *scores;
    int count;
    some.kinds[VT_CORRUPTION_CONTRAST] = some.kinds[VT_CORRUPTION_FOG] = true;
    assert_ok(vt_corrupt_dataset(&report, toy_path("made", ""), toy_validation, &some, NULL));
    assert_ok(evaluate(&scores, &count, "made"));
    assert_int_equal(2, count);
    assert_string_equal("contrast", scores[0].name);
    for (int k = 0; k < VT_SEVERITIES; k++)
        assert_int_equal(k == 0 || k == 2 ? TOY_CLASSES * TOY_VALIDATION : 0,
                         scores[0].severity[k].images);
    assert_true(scores[0].severity[0].loss != scores[0].severity[2].loss);
    free(scores);
}

static void test_refusals(void **state)
{
    (void)state;
    vt_corruption_score *scores;
    int count;
    assert_status(VT_ENOTFOUND, evaluate(&scores, &count, "absent"));
    assert_message("absent: No such file");
    write_text(toy_root, "file", "x");
    assert_status(VT_EIO, evaluate(&scores, &count, "file"));
    assert_message("file: Not a directory");
    write_text(toy_root, "empty/x.txt", "x");
    assert_status(VT_ENOTFOUND, evaluate(&scores, &count, "empty"));
    assert_message("empty: it holds no corrupted images");
    assert_status(VT_ENOTFOUND, evaluate(&scores, &count, "toy")); /* the images themselves */
    write_toys(toy_root, "three/fog/2", 3, 0, 1);
    assert_status(VT_EINVAL, evaluate(&scores, &count, "three"));
    assert_message("three/fog/2: ");
    assert_message("4 classes, the images have 3");
    write_text(toy_root, "hollow/fog/2/c0/none.txt", "x");
    assert_status(VT_EFORMAT, evaluate(&scores, &count, "hollow"));
    assert_message("hollow/fog/2");
}

/* Three folders that are not there, then the first batch of fog/4. */
static bool stop_at_fourth(void *context, int64_t done, int64_t total, const char *line)
{
    int *calls = context;
    assert_int_equal(2 * VT_SEVERITIES, total);
    assert_string_equal("fog", line);
    assert_int_equal(*calls < 3 ? *calls + 1 : 3, done);
    return ++*calls < 4;
}

static void test_stopped_and_short_of_memory(void **state)
{
    (void)state;
    vt_corruption_score *scores;
    int count, calls = 0;
    write_toys(toy_root, "both/fog/4", TOY_CLASSES, 0, 2);
    write_toys(toy_root, "both/snow/1", TOY_CLASSES, 0, 2);
    vt_progress progress = {stop_at_fourth, &calls};
    vt_evaluate_options o = {
        .transform = vt_transform_tiny_validation, .batch = 2, .progress = &progress};
    assert_status(VT_EINTERRUPTED,
                  vt_evaluate_corruptions(&scores, &count, model, toy_path("both", ""), &o));
    assert_int_equal(4, calls);
    int failures = 0;
    vt_status status = VT_ENOMEM;
    for (int64_t n = 0; status != VT_OK; n += 1 + n / 8, failures++) {
        vt_alloc_fail_after(n);
        status = evaluate(&scores, &count, "both");
        vt_alloc_fail_after(-1);
        if (status != VT_OK) assert_status(VT_ENOMEM, status);
    }
    assert_true(failures > 10);
    free(scores);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_corrupted_dataset),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_stopped_and_short_of_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
