/* Training and testing classifiers: they learn, the defaults are the published recipe, the files
 * say what happened, equal seeds give equal bytes. Checkpoints are in test_classifier_resume.c. */
#include "toy_training.h"

#include <jansson.h>

#include "train/classifier_run.h"

/* ---- what is learned ---- */

static vt_accuracy accuracy_of(vt_model *model, vt_dataset *dataset, int batch)
{
    vt_accuracy a;
    vt_evaluate_options o = {.transform = vt_transform_tiny_validation, .batch = batch};
    assert_ok(vt_evaluate_classifier(&a, model, dataset, &o));
    return a;
}

static void assert_same_weights(vt_model *a, vt_model *b)
{
    vt_graph *x = vt_model_graph(a), *y = vt_model_graph(b);
    for (int i = 0; i < vt_graph_param_count(x); i++)
        assert_memory_equal(vt_graph_param(x, i)->value.data, vt_graph_param(y, i)->value.data,
                            vt_tensor_bytes(&vt_graph_param(x, i)->value));
}

static void test_learns(void **state)
{
    (void)state;
    vt_train_report report;
    vt_train_options o = toy_options("learns");
    o.epochs = 8;
    o.batch = 8;
    vt_model *model = toy_train_new(&report, &o, 1), *best, *last;
    const vt_train_epoch *h = report.history;
    assert_int_equal(8, report.epochs);
    assert_false(report.resumed);
    assert_true(h[0].loss > 0.8 && h[7].loss < 0.5 * h[0].loss);
    assert_true(h[7].top1 > 0.8);
    /* Best is the first epoch with the highest validation accuracy, and its file that network. */
    int first = 0;
    for (int e = 1; e < 8; e++)
        if (h[e].validation_top1 > h[first].validation_top1) first = e;
    assert_int_equal(first + 1, report.best_epoch);
    assert_true(h[first].validation_top1 > 0.75);
    assert_ok(vt_model_read(&best, toy_path("learns", "best.safetensors")));
    vt_accuracy a = accuracy_of(best, toy_validation, 8);
    assert_close(a.top1, h[first].validation_top1, 0);
    assert_close(a.loss, h[first].validation_loss, 0);
    assert_int_equal(TOY_CLASSES * TOY_VALIDATION, a.images);
    assert_int_equal(0, a.skipped);
    assert_close(a.top5, 1, 0); /* of four classes */
    assert_ok(vt_model_read(&last, toy_path("learns", "last.safetensors")));
    assert_same_weights(model, last);
    vt_model_free(model);
    vt_model_free(best);
    vt_model_free(last);
    vt_train_report_free(&report);
}

/* Batches change no statistics of a test, only how float32 rounds. */
static void test_evaluation_batches(void **state)
{
    (void)state;
    vt_model *model = toy_network(TOY_CLASSES, 5);
    vt_accuracy whole = accuracy_of(model, toy_train, 0), parts = accuracy_of(model, toy_train, 7);
    assert_close(whole.loss, parts.loss, 1e-5);
    assert_close(whole.top1, parts.top1, 0);
    assert_int_equal(48, parts.images);
    vt_evaluate_options some = {.transform = vt_transform_tiny_validation, .limit = 10, .batch = 4};
    assert_ok(vt_evaluate_classifier(&parts, model, toy_train, &some));
    assert_int_equal(10, parts.images);
    vt_model_free(model);
}

static void test_frozen_body(void **state)
{
    (void)state;
    vt_model *before = toy_network(TOY_CLASSES, 1), *after = toy_network(TOY_CLASSES, 1);
    vt_train_options o = toy_options("frozen");
    vt_train_report report;
    o.frozen_body = true;
    assert_ok(vt_train_classifier(&report, after, &o));
    vt_graph *a = vt_model_graph(before), *b = vt_model_graph(after);
    int moved = 0;
    for (int i = 0; i < vt_graph_param_count(a); i++) {
        const vt_param *p = vt_graph_param(a, i), *q = vt_graph_param(b, i);
        bool same = memcmp(p->value.data, q->value.data, vt_tensor_bytes(&p->value)) == 0;
        bool should = p->is_buffer || strncmp(p->name, "fc.", 3) == 0;
        if (same == should) fail_msg("%s %s", p->name, same ? "stayed" : "changed");
        moved += should;
        assert_int_equal(p->trainable, q->trainable); /* the next training is not frozen */
    }
    assert_true(moved > 2);
    vt_train_report_free(&report);
    vt_model_free(before);
    vt_model_free(after);
}

/* ---- options ---- */

/* SGD at 0.1, momentum 0.9, weight decay 1e-5, batches of 128: two steps, so that momentum counts.
 */
static void test_default_recipe(void **state)
{
    (void)state;
    write_toys(toy_root, "many/train", 2, 0, 66);
    write_toys(toy_root, "many/val", 2, 100, 1);
    vt_dataset *many, *validation;
    assert_ok(vt_dataset_open(&many, toy_path("many", ""), VT_PART_TRAIN));
    assert_ok(vt_dataset_open(&validation, toy_path("many", ""), VT_PART_VALIDATION));
    vt_train_options o = toy_options("default");
    o.train = many;
    o.validation = validation;
    o.batch = 0;
    o.schedule = (vt_schedule){.kind = VT_SCHEDULE_CONSTANT};
    o.epochs = 1;
    vt_model *model = toy_network(2, 1);
    vt_train_report report;
    assert_ok(vt_train_classifier(&report, model, &o));
    assert_close(report.history[0].rate, 0.1, 0);
    vt_train_report_free(&report);
    const struct {
        const char *name;
        int batch;
        double rate, momentum, decay;
        bool no_momentum, no_decay, same;
    } cases[] = {
        {"recipe", 128, 0.1, 0.9, 1e-5, false, false, true},
        {"batch", 127, 0, 0, 0, false, false, false},
        {"rate", 0, 0.11, 0, 0, false, false, false},
        {"momentum", 0, 0, 0.8, 0, false, false, false},
        {"decay", 0, 0, 0, 2e-5, false, false, false},
        {"no momentum", 0, 0, 0, 0, true, false, false},
        {"no decay", 0, 0, 0, 0, false, true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_model *again = toy_network(2, 1), *read;
        o.folder = toy_path(cases[i].name, "");
        o.batch = cases[i].batch;
        o.schedule.rate = cases[i].rate;
        o.momentum = cases[i].momentum;
        o.weight_decay = cases[i].decay;
        o.no_momentum = cases[i].no_momentum;
        o.no_weight_decay = cases[i].no_decay;
        assert_ok(vt_train_classifier(&report, again, &o));
        vt_train_report_free(&report);
        assert_ok(vt_model_read(&read, toy_path(cases[i].name, "last.safetensors")));
        assert_same_weights(again, read);
        const vt_param *a = vt_graph_find_param(vt_model_graph(model), "conv1.weight");
        const vt_param *b = vt_graph_find_param(vt_model_graph(again), "conv1.weight");
        bool same = memcmp(a->value.data, b->value.data, vt_tensor_bytes(&a->value)) == 0;
        if (same != cases[i].same) fail_msg("%s: same weights: %d", cases[i].name, same);
        vt_model_free(again);
        vt_model_free(read);
    }
    vt_model_free(model);
    vt_dataset_close(many);
    vt_dataset_close(validation);
}

static bool stop_at_once(void *context, int64_t done, int64_t total, const char *line)
{
    (void)done;
    assert_non_null(line);
    *(int64_t *)context = total;
    return false;
}

/* 100 epochs, a tenth of the rate from epoch 60, a hundredth from 80. */
static void test_default_schedule(void **state)
{
    (void)state;
    write_toys(toy_root, "few", 2, 0, 1);
    vt_dataset *few;
    int64_t total = 0;
    vt_train_report report;
    assert_ok(vt_dataset_open(&few, toy_path("few", ""), VT_PART_TRAIN));
    vt_train_options o = toy_options("stopped");
    vt_progress progress = {stop_at_once, &total};
    o.train = o.validation = few;
    o.epochs = 0;
    o.schedule.rate = 0;
    o.progress = &progress;
    vt_model *model = toy_network(2, 1);
    assert_status(VT_EINTERRUPTED, vt_train_classifier(&report, model, &o));
    assert_int_equal(100 * (2 + 2), total);
    o.progress = NULL;
    o.epochs = 82;
    o.folder = toy_path("schedule", "");
    assert_ok(vt_train_classifier(&report, model, &o));
    for (int e = 0; e < 82; e++)
        assert_close(report.history[e].rate, e < 60 ? 0.1 : e < 80 ? 0.01 : 0.001, 1e-12);
    vt_train_report_free(&report);
    o.epochs = 4; /* a cosine of no length is as long as the training */
    o.schedule = (vt_schedule){.kind = VT_SCHEDULE_COSINE, .rate = 0.2};
    o.folder = toy_path("cosine", "");
    assert_ok(vt_train_classifier(&report, model, &o));
    for (int e = 0; e < 4; e++)
        assert_close(report.history[e].rate, 0.1 * (1 + cos(3.141592653589793 * e / 4)), 1e-12);
    vt_train_report_free(&report);
    vt_model_free(model);
    vt_dataset_close(few);
}

static void test_refusals(void **state)
{
    (void)state;
    const struct {
        vt_train_options change;
        const char *says;
    } cases[] = {
        {{.epochs = -1}, "-1 epochs"},
        {{.batch = -5}, "batches of -5"},
        {{.batch = 1 << 20}, "batches of 1048576"},
        {{.momentum = 1}, "momentum of 1"},
        {{.momentum = NAN}, "momentum of"},
        {{.weight_decay = -1}, "weight decay of -1"},
        {{.schedule = {.rate = -0.1}}, "rate of -0.1"},
        {{.schedule = {.rate = INFINITY}}, "rate of inf"},
        {{.schedule = {.rate = NAN}}, "rate of"},
        {{.replays = 2}, "epsilon above 0"},
        {{.replays = 2, .free_epsilon = 1.5}, "not 1.5"},
        {{.replays = -1}, "-1 replays"},
        {{.save_seconds = -1}, "-1 seconds"},
    };
    vt_model *model = toy_network(TOY_CLASSES, 1), *compact;
    vt_train_report report;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_train_options o = cases[i].change, usual = toy_options("refused");
        o.train = usual.train;
        o.validation = usual.validation;
        o.train_transform = usual.train_transform;
        o.validation_transform = usual.validation_transform;
        o.folder = usual.folder;
        assert_status(VT_EINVAL, vt_train_classifier(&report, model, &o));
        assert_message(cases[i].says);
    }
    vt_train_options o = toy_options("refused");
    o.train_transform.size = 32;
    assert_status(VT_EINVAL, vt_train_classifier(&report, model, &o));
    assert_message("32 x 32");
    o = toy_options("refused");
    o.validation_transform = (vt_transform){.flip = true};
    assert_status(VT_EINVAL, vt_train_classifier(&report, model, &o));
    o = toy_options("refused");
    o.validation = NULL;
    assert_status(VT_EINVAL, vt_train_classifier(&report, model, &o));
    vt_model *five = toy_network(5, 1);
    o = toy_options("refused");
    assert_status(VT_EINVAL, vt_train_classifier(&report, five, &o));
    assert_message("5 classes, the images have 4");
    vt_compact_options filters = {.filters = {1, 1, 1, 1, 1}, .outputs = 1};
    assert_ok(vt_compact_new(&compact, &filters));
    assert_status(VT_EUNSUPPORTED, vt_train_classifier(&report, compact, &o));
    assert_message("a classifier is needed, this is a compact");
    assert_int_not_equal(0, access(o.folder, F_OK)); /* nothing was begun */
    vt_model_free(model);
    vt_model_free(five);
    vt_model_free(compact);
}

/* ---- files ---- */

static void test_metrics(void **state)
{
    (void)state;
    vt_train_options o = toy_options("metrics");
    vt_train_report report;
    vt_model_free(toy_train_new(&report, &o, 1));
    FILE *csv = fopen(toy_path("metrics", "metrics.csv"), "r");
    FILE *json = fopen(toy_path("metrics", "metrics.jsonl"), "r");
    char line[1024];
    assert_non_null(fgets(line, sizeof line, csv));
    assert_string_equal("epoch,learning_rate,train_loss,train_top1,train_top5,validation_loss,"
                        "validation_top1,validation_top5,skipped\n",
                        line);
    for (int e = 0; e < 2; e++) {
        const vt_train_epoch *h = &report.history[e];
        double v[9];
        assert_non_null(fgets(line, sizeof line, csv));
        assert_int_equal(9, sscanf(line, "%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf", &v[0], &v[1], &v[2],
                                   &v[3], &v[4], &v[5], &v[6], &v[7], &v[8]));
        assert_close(v[0], e + 1, 0);
        assert_close(v[1], 0.02, 1e-9);
        assert_close(v[2], h->loss, 1e-5 * h->loss);
        assert_close(v[3] * 48, round(v[3] * 48), 1e-3); /* all images counted once */
        assert_close(v[6], h->validation_top1, 1e-5);
        assert_close(v[8], 0, 0);
        assert_non_null(fgets(line, sizeof line, json));
        json_t *root = json_loads(line, 0, NULL);
        assert_int_equal(9, json_object_size(root));
        assert_close(json_number_value(json_object_get(root, "epoch")), e + 1, 0);
        assert_close(json_real_value(json_object_get(root, "validation_loss")), v[5], 1e-9);
        json_decref(root);
    }
    assert_null(fgets(line, sizeof line, csv));
    assert_null(fgets(line, sizeof line, json));
    fclose(csv);
    fclose(json);
    vt_train_report_free(&report);
}

/* What is not a number is null in JSON. */
static void test_metrics_without_numbers(void **state)
{
    (void)state;
    vt_train_epoch epoch = {.epoch = 1, .validation_loss = NAN};
    vt_train_run run = {.options = {.folder = toy_root}, .history = &epoch, .epoch = 1};
    void *text;
    size_t size;
    assert_ok(vt_train_write_metrics(&run));
    assert_ok(vt_file_read(&text, &size, toy_path("metrics.jsonl", "")));
    json_t *root = json_loadb(text, size, 0, NULL);
    assert_non_null(root);
    assert_true(json_is_null(json_object_get(root, "validation_loss")));
    json_decref(root);
    free(text);
}

static void test_seeds(void **state)
{
    (void)state;
    vt_train_options o = toy_options("one");
    vt_model *one = toy_train_new(NULL, &o, 1);
    o.folder = toy_path("two", "");
    vt_model *two = toy_train_new(NULL, &o, 1);
    toy_assert_same_run("one", "two");
    o.folder = toy_path("three", "");
    o.seed++;
    vt_model *three = toy_train_new(NULL, &o, 1);
    const vt_param *a = vt_graph_find_param(vt_model_graph(one), "conv1.weight");
    const vt_param *b = vt_graph_find_param(vt_model_graph(three), "conv1.weight");
    assert_memory_not_equal(a->value.data, b->value.data, vt_tensor_bytes(&a->value));
    vt_model_free(one);
    vt_model_free(two);
    vt_model_free(three);
}

/* ---- scores ---- */

/* torch.nn.functional.cross_entropy and Tensor.topk of PyTorch 2 on the same numbers. */
static void test_scores_of_pytorch(void **state)
{
    (void)state;
    static const float scores[4 * 7] = {2,     -1,   0.5f, 3,     0,   1,   -2,  1.5f, 1.25f, -0.5f,
                                        0.75f, 2.5f, -3,   0.25f, .1f, .2f, .3f, 0.4f, 0.5f,  0.6f,
                                        0.7f,  90,   -80,  0,     10,  -20, 5,   1};
    static const float labels[4] = {3, 3, 0, 3};
    vt_tally t = {0};
    vt_tally_add(&t, scores, labels, 4, 7);
    assert_close(t.loss / t.images, 21.302393149625242, 1e-7);
    assert_close(t.top1, 1, 0);
    assert_close(t.top5, 3, 0);
    vt_tally_add(&t, scores, labels, 1, 7);
    assert_close(t.loss, 4 * 21.302393149625242 + 0.5069021634241717, 1e-6);
    assert_close(t.images, 5, 0);
}

/* Of equal scores the lower class is before; scores that are no numbers are never right. */
static void test_scores_without_order(void **state)
{
    (void)state;
    static const float equal[7] = {1, 1, 1, 1, 1, 1, 1};
    static const float nothing[7] = {NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    static const double right[7] = {1, 0, 0, 0, 0, 0, 0}, among[7] = {1, 1, 1, 1, 1, 0, 0};
    for (int c = 0; c < 7; c++) {
        float label = (float)c;
        vt_tally t = {0};
        vt_tally_add(&t, equal, &label, 1, 7);
        assert_close(t.top1, right[c], 0);
        assert_close(t.top5, among[c], 0);
        assert_close(t.loss, log(7), 1e-12);
        t = (vt_tally){0};
        vt_tally_add(&t, nothing, &label, 1, 7);
        assert_close(t.top1 + t.top5, 0, 0);
        assert_true(isnan(t.loss));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_evaluation_batches),
        cmocka_unit_test(test_frozen_body),
        cmocka_unit_test(test_default_recipe),
        cmocka_unit_test(test_default_schedule),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_metrics_without_numbers),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_scores_of_pytorch),
        cmocka_unit_test(test_scores_without_order),
    };
    return cmocka_run_group_tests(tests, toy_set_up, toy_tear_down);
}
