/* Distillation: students learn what their teacher does, alone as together; units, blur, held-out
 * images; teachers that say nothing or nonsense. Runs that stop are in test_distill_resume.c. */
#include "toy_distill.h"

#include "base/arena.h"
#include "neural/distill_run.h"
#include "ventral/resnet.h"

static int one_thread(void **state)
{
    (void)state;
    vt_threads_set(1);
    return 0;
}

static float *values_of(vt_model *model, const char *name)
{
    return vt_graph_find_param(vt_model_graph(model), name)->value.data;
}

/* Mean squared difference in units of the teacher's variance. */
static double error_of(const toy *t, vt_model *student, int64_t output, int teacher)
{
    float *y = toy_responses(t, student), *target = toy_responses(t, t->models[teacher]);
    int64_t count = vt_image_stream_count(t->stream), each = vt_model_outputs(student);
    double mean = 0, squares = 0, variance = 0;
    for (int64_t i = 0; i < count; i++)
        mean += target[i] / (double)count;
    for (int64_t i = 0; i < count; i++) {
        double d = y[i * each + output] - target[i];
        squares += d * d;
        variance += (target[i] - mean) * (target[i] - mean);
    }
    free(y);
    free(target);
    return squares / variance;
}

/* A compact student and a shared linear one learn; in the end both answer in their teacher's
 * units. */
static void test_students_learn(void **state)
{
    (void)state;
    toy t;
    toy_open(&t, 2, 900);
    vt_model *compact = toy_compact(8, 3), *shared = toy_shared(8, 2, 4);
    vt_distill_student list[] = {{compact, (int64_t[]){1}}, {shared, (int64_t[]){0, 1}}};
    vt_distill_options o = {
        .passes = 16, .stretch = 6480, .batch = 16, .rate = 4e-3, .cosine = true};
    vt_distill_report report;
    assert_ok(vt_distill(list, 2, t.teacher, t.stream, &o, &report));
    assert_int_equal(2, report.stretches);
    assert_int_equal(3, report.neurons);
    assert_int_equal(810, report.trained);
    assert_int_equal(90, report.held_out);
    assert_false(report.resumed);
    assert_true(report.processor_seconds > 0);
    assert_true(report.r[3] > 0.95);
    assert_true(report.r[5] > 0.9);
    assert_true(error_of(&t, compact, 0, 1) < 0.1);
    assert_true(error_of(&t, shared, 1, 1) < 0.2);
    for (int k = 3; k < 6; k++)
        assert_true(report.loss[k] < report.loss[k - 3]);
    vt_distill_report_free(&report);
    vt_model_free(compact);
    vt_model_free(shared);
    toy_close(&t);
}

/* Who learns beside a student changes none of its bits. */
static void test_together_as_alone(void **state)
{
    (void)state;
    toy t;
    toy_open(&t, 3, 60);
    vt_distill_options o = {.passes = 2, .stretch = 30, .batch = 8, .rate = 1e-3, .seed = 5};
    vt_model *together[3], *alone[3];
    int64_t neurons[][2] = {{2}, {0, 1}, {1}};
    vt_distill_student list[3];
    for (int i = 0; i < 3; i++) {
        together[i] = i == 1 ? toy_shared(5, 2, 7) : toy_compact(2 + 2 * i, 7);
        alone[i] = i == 1 ? toy_shared(5, 2, 7) : toy_compact(2 + 2 * i, 7);
        list[i] = (vt_distill_student){together[i], neurons[i]};
    }
    assert_ok(vt_distill(list, 3, t.teacher, t.stream, &o, NULL));
    for (int i = 0; i < 3; i++) {
        list[i].model = alone[i];
        assert_ok(vt_distill(&list[i], 1, t.teacher, t.stream, &o, NULL));
        toy_assert_same_weights(together[i], alone[i]);
        vt_model_free(together[i]);
        vt_model_free(alone[i]);
    }
    toy_close(&t);
}

/* At a rate at which no weight changes, what is left is the blur: of depthwise kernels and
 * readouts, between stretches only, and never of layer 0. Both students were trained before: folded
 * back, their weights are what they were. */
static void check_blur(vt_model *student, vt_model *given, const char *readout, bool blurred)
{
    toy t;
    toy_open(&t, 2, 40);
    vt_model *both[] = {student, given};
    for (int i = 0; i < 2; i++)
        values_of(both[i], "layer0_bn.moving_mean")[0] = 0.5f;
    vt_distill_student one = {student, (int64_t[]){1, 0}};
    vt_distill_options o = {.rate = 1e-30, .batch = 6, .stretch = blurred ? 18 : 0};
    vt_distill_report report;
    assert_ok(vt_distill(&one, 1, t.teacher, t.stream, &o, &report));
    assert_int_equal(blurred ? 2 : 1, report.stretches);
    vt_distill_report_free(&report);
    if (blurred) {
        assert_ok(vt_blur_kernels(vt_model_graph(given), "_conv.depthwise_kernel", 0.5));
        assert_ok(vt_blur_kernels(vt_model_graph(given), readout, 0.5));
    }
    for (int i = 0; i < vt_graph_param_count(vt_model_graph(given)); i++) {
        const vt_param *a = vt_graph_param(vt_model_graph(given), i);
        const vt_param *b = vt_graph_param(vt_model_graph(student), i);
        for (int64_t k = 0; !a->is_buffer && k < vt_tensor_count(&a->value); k++)
            assert_close(vt_tensor_get(&b->value, k), vt_tensor_get(&a->value, k),
                         1e-5 * (1 + fabs(vt_tensor_get(&a->value, k))));
    }
    vt_model_free(student);
    vt_model_free(given);
    toy_close(&t);
}

static void test_blur(void **state)
{
    (void)state;
    for (int blurred = 0; blurred < 2; blurred++) {
        check_blur(toy_compact(3, 1), toy_compact(3, 1), "Beta.kernel", blurred);
        check_blur(toy_shared(3, 2, 1), toy_shared(3, 2, 1), "stage.depthwise_kernel", blurred);
    }
}

/* After a few steps, too, normalization is by the statistics of the images trained on. */
static void test_running_statistics(void **state)
{
    (void)state;
    toy t;
    toy_open(&t, 1, 50);
    vt_model *student = toy_compact(3, 1);
    vt_distill_student one = {student, (int64_t[]){0}};
    vt_distill_options o = {.rate = 1e-30, .batch = 16, .held_out = 2};
    assert_ok(vt_distill(&one, 1, t.teacher, t.stream, &o, NULL));
    const float *mean = values_of(student, "layer0_bn.moving_mean");
    const float *variance = values_of(student, "layer0_bn.moving_variance");
    /* The map before normalization, of all images, two of which were held out. */
    vt_plan *plan;
    vt_node conv = vt_graph_find(vt_model_graph(student), "layer0_conv");
    uint8_t *bytes = malloc((size_t)50 * TOY_SIZE * TOY_SIZE * 3);
    int64_t indices[50], pixels = 50 * TOY_SIZE * TOY_SIZE;
    for (int i = 0; i < 50; i++)
        indices[i] = i;
    assert_ok(vt_image_stream_read(t.stream, indices, 50, bytes));
    assert_ok(vt_plan_new(&plan, vt_model_graph(student),
                          &(vt_plan_options){.batch = 50, .outputs = &conv, .output_count = 1}));
    vt_preprocess(vt_plan_input(plan, vt_model_input(student))->data, bytes, pixels,
                  vt_model_preprocessing(student));
    assert_ok(vt_plan_forward(plan));
    const float *y = vt_plan_output(plan, conv)->data;
    for (int c = 0; c < 3; c++) {
        double sum = 0, squares = 0;
        for (int64_t k = 0; k < pixels; k++) {
            sum += y[3 * k + c] / (double)pixels;
            squares += (double)y[3 * k + c] * y[3 * k + c] / (double)pixels;
        }
        double expected = squares - sum * sum;
        assert_close(mean[c], sum, 0.1 * sqrt(expected));
        assert_close(variance[c], expected, 0.2 * expected);
    }
    vt_plan_free(plan);
    free(bytes);
    vt_model_free(student);
    toy_close(&t);
}

/* A kernel's blur in a flat readout is the one over its map. */
static void test_blur_of_a_flat_readout(void **state)
{
    (void)state;
    vt_model *model = toy_compact(2, 1);
    float *w = values_of(model, "Beta.kernel");
    memset(w, 0, 8 * 8 * 2 * sizeof *w);
    w[(3 * 8 + 4) * 2 + 1] = 1;
    assert_ok(vt_blur_kernels(vt_model_graph(model), "Beta.kernel", 0.5));
    double side = exp(-2), total = 1 + 2 * side + 2 * exp(-8);
    assert_close(w[(3 * 8 + 4) * 2 + 1], 1 / (total * total), 1e-6);
    assert_close(w[(3 * 8 + 5) * 2 + 1], side / (total * total), 1e-6);
    assert_close(w[(2 * 8 + 4) * 2 + 1], side / (total * total), 1e-6);
    assert_close(w[(3 * 8 + 4) * 2], 0, 0);
    vt_model_free(model);
}

/* Unfolding changes the units of what a trained model answers and nothing else; a new model answers
 * z-scored responses from the start. */
static void test_units(void **state)
{
    (void)state;
    toy t;
    toy_open(&t, 2, 30);
    vt_model *models[] = {toy_compact(3, 1), toy_shared(3, 2, 2), toy_compact(3, 1)};
    vt_distill_student list[] = {
        {models[0], (int64_t[]){1}}, {models[1], (int64_t[]){0, 1}}, {models[2], (int64_t[]){1}}};
    values_of(models[0], "layer3_bn.moving_variance")[1] = 2;
    values_of(models[1], "layer0_bn.moving_mean")[0] = 0.5f;
    double mean[] = {3, -2, 40, 7}, sd[] = {0.5, 3, 8, 2};
    float *before[3], *after;
    for (int m = 0; m < 3; m++)
        before[m] = toy_responses(&t, models[m]);
    vt_distill_run run = {.stream = t.stream, .teacher = t.teacher, .count = 3};
    assert_ok(vt_arena_new(&run.arena));
    assert_ok(vt_distill_enrol(&run, list));
    run.mean = mean;
    run.sd = sd;
    for (int fold = 0; fold < 2; fold++) {
        fold ? vt_distill_fold(&run) : vt_distill_unfold(&run);
        for (int m = 0, first = 0; m < 3; m++) {
            int64_t each = vt_model_outputs(models[m]);
            after = toy_responses(&t, models[m]);
            for (int64_t k = 0; k < 30 * each; k++) {
                double y = before[m][k], scale = sd[first + k % each], at = mean[first + k % each];
                double expected = fold == (m < 2) ? y : m < 2 ? (y - at) / scale : y * scale + at;
                assert_close(after[k], expected, 1e-5 * (fabs(expected) + fabs(at)));
            }
            free(after);
            first += (int)each;
        }
    }
    vt_distill_restore(&run);
    for (int m = 0; m < 3; m++) {
        after = toy_responses(&t, models[m]);
        assert_memory_equal(after, before[m],
                            30 * sizeof *after * (size_t)vt_model_outputs(models[m]));
        free(after);
        free(before[m]);
        vt_model_free(models[m]);
    }
    vt_distill_dismiss(&run);
    vt_arena_free(run.arena);
    toy_close(&t);
}

/* Variants of an image are held out together, the same ones wherever they stand in the stream. */
static void test_held_out_images_have_no_twins(void **state)
{
    (void)state;
    toy t;
    toy_open(&t, 1, 50);
    char path[4200];
    snprintf(path, sizeof path, "%s/images.npy", t.folder);
    vt_image_stream *stream;
    vt_image_stream_options o = {.paths = (const char *const[]){path},
                                 .path_count = 1,
                                 .variants = 3,
                                 .height = TOY_SIZE,
                                 .width = TOY_SIZE};
    assert_ok(vt_image_stream_open(&stream, &o));
    for (uint64_t seed = 0; seed < 3; seed++) {
        int held[50] = {0}, split = 0, all = 0;
        vt_distill_run run = {
            .stream = stream, .neurons = 1, .options = {.held_out = 20, .seed = seed}};
        assert_ok(vt_arena_new(&run.arena));
        assert_ok(vt_distill_split(&run));
        assert_int_equal(180, run.trained);
        for (int64_t i = 0; i < run.held_out; i++)
            held[run.measuring[i] % 50]++;
        for (int i = 0; i < 50; i++) {
            split += held[i] % 4 != 0;
            all += held[i] == 4;
        }
        assert_true(split <= 1 && all >= 4);
        vt_arena_free(run.arena);
    }
    vt_image_stream_close(stream);
    toy_close(&t);
}

/* Fails, and leaves the student as it was. */
static void assert_distill_fails(toy *t, const vt_distill_options *o, vt_status expected,
                                 const char *says, const char *also)
{
    vt_model *student = toy_compact(2, 1), *same = toy_compact(2, 1);
    vt_distill_student one = {student, (int64_t[]){0}};
    vt_distill_report report = {.stretches = -7};
    assert_status(expected, vt_distill(&one, 1, t->teacher, t->stream, o, &report));
    assert_message(says);
    assert_message(also);
    assert_int_equal(-7, report.stretches);
    toy_assert_same_weights(student, same);
    vt_model_free(student);
    vt_model_free(same);
}

static void test_numbers_that_are_none(void **state)
{
    (void)state;
    toy t;
    toy_open(&t, 1, 40);
    vt_distill_options o = {.batch = 8}, fast = {.batch = 8, .rate = 1e30};
    assert_distill_fails(&t, &fast, VT_ENUMERIC, "student 1 of 1, step ", "1e+30");
    vt_graph *graph = vt_model_graph(t.models[0]);
    float *kernel = values_of(t.models[0], "Beta.kernel"),
          *bias = values_of(t.models[0], "Beta.bias");
    memset(kernel, 0, 8 * 8 * 2 * sizeof *kernel);
    bias[0] = 3;
    vt_graph_touch(graph);
    assert_distill_fails(&t, &o, VT_ENUMERIC, "response is 3 to all 36 images",
                         "session 'toy', neuron 0");
    bias[0] = NAN;
    vt_graph_touch(graph);
    assert_distill_fails(&t, &o, VT_ENUMERIC, "NaN", "images.npy");
    toy_close(&t);
}

static void test_options(void **state)
{
    (void)state;
    toy t;
    toy_open(&t, 1, 12);
    static const struct {
        vt_distill_options options;
        const char *says;
    } bad[] = {
        {{.passes = -1}, "passes"},      {{.batch = 1}, "batches of 1"},
        {{.rate = -1}, "rate -1"},       {{.rate = NAN}, "rate"},
        {{.blur = NAN}, "blur"},         {{.clip_value = -1}, "clip -1"},
        {{.held_out = 1}, "at least 2"}, {{.held_out = -3}, "at least 2"},
        {{.held_out = 11}, "12 images"}, {{.stretch = -1}, "stretches of -1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_distill_fails(&t, &bad[i].options, VT_EINVAL, bad[i].says, "distill");
    vt_distill_options o = {.batch = 4};
    vt_model *model = toy_compact(2, 1), *large, *resnet;
    vt_distill_student twice[] = {{model, (int64_t[]){0}}, {model, (int64_t[]){0}}};
    vt_distill_student unknown = {model, (int64_t[]){1}}, nobody = {NULL, NULL};
    assert_status(VT_EINVAL, vt_distill(twice, 0, t.teacher, t.stream, &o, NULL));
    assert_status(VT_EINVAL, vt_distill(twice, 2, t.teacher, t.stream, &o, NULL));
    assert_message("the same model");
    assert_status(VT_EINVAL, vt_distill(&unknown, 1, t.teacher, t.stream, &o, NULL));
    assert_message("neuron 1 of a teacher of 1");
    assert_status(VT_EINVAL, vt_distill(&nobody, 1, t.teacher, t.stream, &o, NULL));
    vt_compact_options shape = {.filters = {1, 1, 1, 1, 1}, .outputs = 1};
    assert_ok(vt_compact_new(&large, &shape));
    vt_distill_student wrong = {large, (int64_t[]){0}};
    assert_status(VT_ESHAPE, vt_distill(&wrong, 1, t.teacher, t.stream, &o, NULL));
    assert_message("images of 112 x 112, the images are 32 x 32");
    vt_resnet_options network = {.depth = 18, .width = 0.0625, .classes = 3};
    assert_ok(vt_resnet_new(&resnet, &network));
    wrong.model = resnet;
    assert_status(VT_EUNSUPPORTED, vt_distill(&wrong, 1, t.teacher, t.stream, &o, NULL));
    vt_model_free(model);
    vt_model_free(large);
    vt_model_free(resnet);
    toy_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_students_learn),
        cmocka_unit_test(test_together_as_alone),
        cmocka_unit_test(test_blur),
        cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_blur_of_a_flat_readout),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_held_out_images_have_no_twins),
        cmocka_unit_test(test_numbers_that_are_none),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, one_thread, NULL);
}
