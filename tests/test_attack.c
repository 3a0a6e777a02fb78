/* Attacks: the fast gradient sign method is exactly its equation, changes keep to the ball and to
 * the range of values, more steps find higher losses, and training against them helps. */
#include "toy_training.h"

#include "base/arena.h"
#include "ventral/rng.h"

enum { IMAGES = 10, FLOATS = TOY_SIDE * TOY_SIDE * 3 };

/* A network trained on the toy images, and some of these as it takes them. */
static vt_model *model;
static float clean[IMAGES * FLOATS], labels[IMAGES];
static const int64_t indices[IMAGES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

static int set_up(void **state)
{
    toy_set_up(state);
    vt_train_options o = toy_options("trained");
    o.epochs = 8;
    o.batch = 8;
    model = toy_train_new(NULL, &o, 1);
    for (int i = 0; i < IMAGES; i++) {
        static uint8_t pixels[FLOATS];
        labels[i] = (float)(i % TOY_CLASSES);
        toy_pixels(pixels, i % TOY_CLASSES, i);
        if (i == 0) memset(pixels, 0, FLOATS / 3); /* at an end of the range */
        if (i == 1) memset(pixels, 255, FLOATS / 3);
        vt_preprocess(clean + i * FLOATS, pixels, TOY_SIDE * TOY_SIDE, &vt_preprocessing_v1);
    }
    return 0;
}

static int tear_down(void **state)
{
    vt_model_free(model);
    return toy_tear_down(state);
}

/* Attacks the first `count` images, `batch` at a time. */
static void attack_all(float *images, const vt_attack *attack, int count, int batch)
{
    vt_attacker *attacker;
    memcpy(images, clean, (size_t)count * FLOATS * sizeof *images);
    assert_ok(vt_attacker_new(&attacker, model, attack, batch));
    for (int i = 0; i < count; i += batch)
        assert_ok(vt_attacker_run(attacker, images + i * FLOATS, labels + i, indices + i,
                                  count - i < batch ? count - i : batch));
    vt_attacker_free(attacker);
}

/* Loss of each image, and its gradient with respect to the images when asked for. */
static void losses(double *out, float *gradient, const float *images, int count)
{
    vt_plan *plan;
    vt_graph *graph = vt_model_graph(model);
    vt_node input = vt_model_input(model), loss = vt_graph_find(graph, "loss");
    vt_plan_options options = {.batch = 1,
                               .backward = true,
                               .frozen = true,
                               .outputs = &loss,
                               .output_count = 1,
                               .gradients = &input,
                               .gradient_count = 1};
    assert_ok(vt_plan_new(&plan, graph, &options));
    for (int i = 0; i < count; i++) {
        memcpy(vt_plan_input(plan, input)->data, images + i * FLOATS, FLOATS * sizeof *images);
        memcpy(vt_plan_input(plan, vt_graph_find(graph, "label"))->data, labels + i,
               sizeof *labels);
        assert_ok(vt_plan_forward(plan));
        out[i] = vt_tensor_get(vt_plan_output(plan, loss), 0);
        if (!gradient) continue;
        assert_ok(vt_plan_backward(plan));
        memcpy(gradient + i * FLOATS, vt_plan_gradient(plan, input)->data, FLOATS * sizeof(float));
    }
    vt_plan_free(plan);
}

static double sum(const double *values, int count)
{
    double total = 0;
    for (int i = 0; i < count; i++)
        total += values[i];
    return total;
}

static float limited(double x)
{
    return (float)fmin(fmax(x, -1), 1);
}

/* x + epsilon sign(dL/dx): the network's input is -1 to 1, twice the range of values. */
static void test_fgsm(void **state)
{
    (void)state;
    static float images[FLOATS], gradient[FLOATS];
    double loss, raised;
    vt_attack attack = {.epsilon = 4.0 / 255};
    attack_all(images, &attack, 1, 1);
    losses(&loss, gradient, clean, 1);
    int ups = 0, downs = 0;
    for (int k = 0; k < FLOATS; k++) {
        int sign = (gradient[k] > 0) - (gradient[k] < 0);
        ups += sign > 0;
        downs += sign < 0;
        assert_close(images[k], limited(clean[k] + 8.0 / 255 * sign), 2e-7);
    }
    assert_true(ups > FLOATS / 10 && downs > FLOATS / 10);
    losses(&raised, NULL, images, 1);
    assert_true(raised > loss);
}

/* One step of length epsilon along the gradient. */
static void test_l2_step(void **state)
{
    (void)state;
    enum { I = 2 }; /* an image that does not reach the ends of the range */
    static float images[(I + 1) * FLOATS], gradient[(I + 1) * FLOATS];
    double loss[I + 1], norm = 0;
    vt_attack attack = {.norm = VT_NORM_L2, .epsilon = 0.25};
    attack_all(images, &attack, I + 1, 1);
    losses(loss, gradient, clean, I + 1);
    const float *g = gradient + I * FLOATS, *x = images + I * FLOATS, *x0 = clean + I * FLOATS;
    for (int k = 0; k < FLOATS; k++)
        norm += (double)g[k] * g[k];
    for (int k = 0; k < FLOATS; k++)
        assert_close(x[k], limited(x0[k] + 0.5 * g[k] / sqrt(norm)), 1e-6);
}

/* Every combination stays within its ball and the range, up to rounding, and reaches the ball's
 * surface. */
static void test_bounds(void **state)
{
    (void)state;
    static float images[IMAGES * FLOATS];
    for (int kind = 0; kind < 8; kind++) {
        vt_attack attack = {.norm = kind & 1 ? VT_NORM_L2 : VT_NORM_LINF,
                            .epsilon = kind & 1 ? 0.7 : 3.0 / 255,
                            .steps = kind & 2 ? 4 : 1,
                            .step = kind & 2   ? 0
                                    : kind & 1 ? 5
                                               : 0.1,
                            .random_start = kind & 4,
                            .seed = 8};
        attack_all(images, &attack, IMAGES, IMAGES);
        double furthest = 0;
        for (int i = 0; i < IMAGES; i++) {
            double largest = 0, square = 0;
            for (int k = i * FLOATS; k < (i + 1) * FLOATS; k++) {
                assert_true(images[k] >= -1 && images[k] <= 1);
                double change = ((double)images[k] - clean[k]) / 2;
                largest = fmax(largest, fabs(change));
                square += change * change;
            }
            double size = attack.norm == VT_NORM_L2 ? sqrt(square) : largest;
            assert_true(size <= attack.epsilon * (1 + 1e-5));
            furthest = fmax(furthest, size);
        }
        assert_true(furthest > 0.99 * attack.epsilon);
    }
}

/* The same images whatever the batch and the number of threads, others for another seed. Float32
 * rounds otherwise in batches of another size, so that a gradient of nearly zero may change sign.
 */
static void test_batches_and_seeds(void **state)
{
    (void)state;
    static float whole[IMAGES * FLOATS], other[IMAGES * FLOATS];
    vt_attack attack = {.epsilon = 4.0 / 255, .steps = 2, .random_start = true, .seed = 5};
    attack_all(whole, &attack, IMAGES, IMAGES);
    attack_all(other, &attack, IMAGES, IMAGES);
    assert_memory_equal(whole, other, sizeof whole);
    int threads = vt_threads();
    vt_threads_set(threads > 1 ? 1 : 2);
    attack_all(other, &attack, IMAGES, IMAGES);
    vt_threads_set(0);
    assert_memory_equal(whole, other, sizeof whole);
    attack_all(other, &attack, IMAGES, 4); /* the last batch has two */
    double a[IMAGES], b[IMAGES];
    int differ = 0;
    for (int k = 0; k < IMAGES * FLOATS; k++)
        differ += fabs((double)whole[k] - other[k]) > 1e-6;
    assert_true(differ < IMAGES * FLOATS / 100);
    losses(a, NULL, whole, IMAGES);
    losses(b, NULL, other, IMAGES);
    for (int i = 0; i < IMAGES; i++)
        assert_close(a[i], b[i], 0.02 * (1 + fabs(a[i])));
    attack.seed++;
    attack_all(other, &attack, IMAGES, IMAGES);
    differ = 0;
    for (int k = 0; k < IMAGES * FLOATS; k++)
        differ += fabs((double)whole[k] - other[k]) > 1e-6;
    assert_true(differ > IMAGES * FLOATS / 10);
}

/* Uniform in the ball: of Linf each change by itself, of L2 in all directions alike and nearly all
 * on the surface, as in 12,288 dimensions. */
static void test_random_start(void **state)
{
    (void)state;
    static float images[IMAGES * FLOATS];
    const double tiny = 1e-12; /* a step that moves nothing */
    vt_attack linf = {.epsilon = 0.01, .step = tiny, .random_start = true, .seed = 2};
    attack_all(images, &linf, IMAGES, IMAGES);
    double mean = 0, square = 0;
    int count = 0;
    for (int k = 2 * FLOATS; k < IMAGES * FLOATS; k++) {
        if (fabs((double)clean[k]) > 0.97) continue; /* cut off at the ends of the range */
        double u = ((double)images[k] - clean[k]) / 0.02;
        mean += u;
        square += u * u;
        count++;
    }
    assert_true(count > 80000);
    assert_close(mean / count, 0, 0.01);
    assert_close(square / count, 1.0 / 3, 0.005);
    vt_attack l2 = {
        .norm = VT_NORM_L2, .epsilon = 1, .step = tiny, .random_start = true, .seed = 2};
    attack_all(images, &l2, IMAGES, IMAGES);
    for (int i = 2; i < IMAGES; i++) {
        square = mean = 0;
        for (int k = i * FLOATS; k < (i + 1) * FLOATS; k++) {
            double d = ((double)images[k] - clean[k]) / 2;
            mean += d;
            square += d * d;
        }
        assert_close(sqrt(square), 1, 2e-3);
        assert_close(mean, 0, 5); /* of sd 1: as many up as down */
    }
}

static void test_more_steps_find_more(void **state)
{
    (void)state;
    static float images[IMAGES * FLOATS];
    double before[IMAGES], after[IMAGES], total[3];
    losses(before, NULL, clean, IMAGES);
    const int steps[3] = {1, 4, 10};
    for (int i = 0; i < 3; i++) {
        vt_attack attack = {.epsilon = 2.0 / 255, .steps = steps[i]};
        attack_all(images, &attack, IMAGES, IMAGES);
        losses(after, NULL, images, IMAGES);
        total[i] = sum(after, IMAGES);
    }
    assert_true(total[0] > sum(before, IMAGES));
    assert_true(total[1] >= total[0]);
    assert_true(total[2] >= total[1]);
}

static vt_accuracy accuracy_under(vt_model *network, const vt_attack *attack)
{
    vt_accuracy a;
    vt_evaluate_options o = {
        .transform = vt_transform_tiny_validation, .attack = attack, .batch = 10};
    assert_ok(vt_evaluate_classifier(&a, network, toy_train, &o));
    assert_int_equal(TOY_CLASSES * TOY_TRAIN, a.images);
    return a;
}

/* Accuracy falls with epsilon; Free adversarial training (Shafahi et al. 2019) keeps more of it. */
static void test_accuracy_and_free_training(void **state)
{
    (void)state;
    vt_train_options o = toy_options("free");
    o.epochs = 10;
    o.batch = 8;
    o.replays = 2;
    o.free_epsilon = 8.0 / 255;
    vt_model *hardened = toy_train_new(NULL, &o, 1);
    vt_attack attack = {.epsilon = 8.0 / 255, .steps = 4, .random_start = true};
    vt_accuracy plain_clean = accuracy_under(model, NULL);
    vt_accuracy plain = accuracy_under(model, &attack);
    vt_accuracy hard_clean = accuracy_under(hardened, NULL);
    vt_accuracy hard = accuracy_under(hardened, &attack);
    print_message("top-1 of plain training %.2f, attacked %.2f; of Free training %.2f, %.2f\n",
                  plain_clean.top1, plain.top1, hard_clean.top1, hard.top1);
    assert_true(plain_clean.top1 > 0.7 && hard_clean.top1 > 0.7);
    assert_true(plain.top1 < plain_clean.top1 - 0.3);
    assert_true(hard.top1 > plain.top1 + 0.1);
    attack.epsilon = 1.0 / 255;
    vt_accuracy less = accuracy_under(model, &attack);
    assert_true(less.loss < plain.loss && less.loss > plain_clean.loss);
    vt_model_free(hardened);
}

static void test_refusals(void **state)
{
    (void)state;
    const struct {
        vt_attack attack;
        int64_t batch;
        const char *says;
    } cases[] = {
        {{.epsilon = 0}, 1, "epsilon 0"},
        {{.epsilon = -1}, 1, "epsilon -1"},
        {{.epsilon = NAN}, 1, "epsilon"},
        {{.epsilon = INFINITY}, 1, "epsilon inf"},
        {{.epsilon = 1, .steps = -1}, 1, "-1 steps"},
        {{.epsilon = 1, .step = -1}, 1, "step of -1"},
        {{.epsilon = 1, .step = NAN}, 1, "step of"},
        {{.epsilon = 1}, 0, "batches of 0"},
        {{.epsilon = 1}, -3, "batches of -3"},
    };
    vt_attacker *attacker;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_status(VT_EINVAL,
                      vt_attacker_new(&attacker, model, &cases[i].attack, cases[i].batch));
        assert_message(cases[i].says);
    }
    vt_model *compact;
    vt_attack attack = {.epsilon = 0.1};
    vt_compact_options filters = {.filters = {1, 1, 1, 1, 1}, .outputs = 1};
    assert_ok(vt_compact_new(&compact, &filters));
    assert_status(VT_EUNSUPPORTED, vt_attacker_new(&attacker, compact, &attack, 1));
    assert_message("a classifier is needed");
    vt_model_free(compact);
    static float images[3 * FLOATS];
    assert_ok(vt_attacker_new(&attacker, model, &attack, 2));
    assert_status(VT_EINVAL, vt_attacker_run(attacker, images, labels, indices, 3));
    assert_message("3 images, at most 2");
    assert_ok(vt_attacker_run(attacker, images, labels, indices, 0));
    vt_attacker_free(attacker);
    int failures = 0;
    vt_status status = VT_ENOMEM;
    for (int64_t n = 0; status != VT_OK; n += 1 + n / 8, failures++) {
        vt_alloc_fail_after(n);
        status = vt_attacker_new(&attacker, model, &attack, 2);
        vt_alloc_fail_after(-1);
        if (status != VT_OK) assert_status(VT_ENOMEM, status);
    }
    vt_attacker_free(attacker);
    assert_true(failures > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fgsm),
        cmocka_unit_test(test_l2_step),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_batches_and_seeds),
        cmocka_unit_test(test_random_start),
        cmocka_unit_test(test_more_steps_find_more),
        cmocka_unit_test(test_accuracy_and_free_training),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
