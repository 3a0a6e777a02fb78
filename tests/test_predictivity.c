/* Neural predictivity: neurons made of a known layer, the same by the plain way, formulas, and
 * neurons and images that cannot be scored. */
#include "test.h"

#include "base/arena.h"
#include "neural/kernel_ridge.h"
#include "ventral/io.h"
#include "ventral/pls.h"
#include "ventral/predict.h"
#include "ventral/predictivity.h"
#include "ventral/readout.h"
#include "ventral/resnet.h"
#include "ventral/rng.h"
#include "ventral/score.h"

enum { IMAGES = 90, SIDE = 32, NEURONS = 7, REPEATS = 6, COMPONENTS = 8 };

static vt_model *model;
static vt_stimulus_set *stimuli;
static char folder[4096];

static int set_up(void **state)
{
    (void)state;
    vt_resnet_options options = {
        .depth = 18, .width = 0.125, .classes = 5, .image = SIDE, .seed = 3};
    assert_ok(vt_resnet_new(&model, &options));
    vt_tensor images;
    char path[4200];
    assert_ok(vt_tensor_new(&images, VT_U8, 4, (int64_t[]){IMAGES, SIDE, SIDE, 3}));
    vt_rng rng;
    vt_rng_init(&rng, 1, VT_RNG_IMAGE, 0, 0);
    uint8_t *pixels = images.data;
    for (int i = 0; i < IMAGES;
         i++) { /* noise of patches of 4 x 4, each image of its own contrast */
        double contrast = 20 + 100 * vt_rng_uniform(&rng), patch[64][3];
        for (int k = 0; k < 64 * 3; k++)
            patch[k / 3][k % 3] = 128 + contrast * (2 * vt_rng_uniform(&rng) - 1);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                for (int c = 0; c < 3; c++)
                    *pixels++ = (uint8_t)patch[y / 4 * 8 + x / 4][c];
    }
    new_folder(folder);
    snprintf(path, sizeof path, "%s/images.npy", folder);
    assert_ok(vt_npy_write(&images, path));
    vt_tensor_free(&images);
    assert_ok(vt_stimulus_set_open(&stimuli, path));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vt_stimulus_set_close(stimuli);
    vt_model_free(model);
    remove_folder(folder);
    return 0;
}

typedef struct features {
    float *data;
    int64_t count; /* of an image */
} features;

static vt_status receive(void *context, int which, int64_t first, int64_t count,
                         const vt_tensor *values)
{
    features *f = context;
    (void)which;
    f->count = vt_tensor_count(values) / count;
    if (!f->data) f->data = malloc((size_t)(IMAGES * f->count) * sizeof(float));
    memcpy(f->data + first * f->count, values->data, vt_tensor_bytes(values));
    return VT_OK;
}

static features features_at(const char *layer)
{
    features f = {.data = NULL};
    vt_predict_options options = {.tap = layer, .receive = receive, .context = &f};
    assert_ok(vt_predict(&model, 1, stimuli, &options));
    return f;
}

/* Neurons that are sums of a layer's features, with noise in their repeats. */
typedef struct recording {
    double averaged[NEURONS * IMAGES], raw[NEURONS * IMAGES * REPEATS];
    int64_t labels[IMAGES];
    vt_predictivity_neurons neurons;
} recording;

static recording *make_recording(const char *layer, double noise)
{
    recording *r = calloc(1, sizeof *r);
    features f = features_at(layer);
    vt_rng rng;
    vt_rng_init(&rng, 2, VT_RNG_NEURON, 0, 0);
    for (int n = 0; n < NEURONS; n++) {
        double *weights = malloc((size_t)f.count * 8), drive[IMAGES], mean = 0, variance = 0;
        for (int64_t j = 0; j < f.count; j++)
            weights[j] = j % 37 == n ? vt_rng_normal(&rng) : 0;
        for (int i = 0; i < IMAGES; i++) {
            drive[i] = 0;
            for (int64_t j = 0; j < f.count; j++)
                drive[i] += weights[j] * (double)f.data[i * f.count + j];
            mean += drive[i] / IMAGES;
        }
        for (int i = 0; i < IMAGES; i++)
            variance += (drive[i] - mean) * (drive[i] - mean) / IMAGES;
        assert_true(variance > 0);
        for (int i = 0; i < IMAGES; i++) {
            double sum = 0;
            for (int k = 0; k < REPEATS; k++) {
                double response = 10 + 3 * (drive[i] - mean) / sqrt(variance);
                response += noise * 3 * vt_rng_normal(&rng);
                r->raw[(n * IMAGES + i) * REPEATS + k] = response;
                sum += response;
            }
            r->averaged[n * IMAGES + i] = sum / REPEATS;
        }
        free(weights);
    }
    for (int i = 0; i < IMAGES; i++)
        r->labels[i] = i % 9;
    r->neurons = (vt_predictivity_neurons){.stimuli = stimuli,
                                           .images = IMAGES,
                                           .neurons = NEURONS,
                                           .repeats = REPEATS,
                                           .averaged = r->averaged,
                                           .raw = r->raw,
                                           .labels = r->labels};
    free(f.data);
    return r;
}

static const char *const layers[] = {"input", "layer1", "layer2", "layer3", "layer4", "fc"};
enum { LAYERS = 6 };

static const vt_predictivity_options plain = {
    .layers = layers, .layer_count = LAYERS, .components = COMPONENTS, .splits = 4, .batch = 16};

static void test_known_layer_wins(void **state)
{
    (void)state;
    for (int which = 2; which < 5; which++) {
        recording *r = make_recording(layers[which], 0.3);
        vt_predictivity p;
        assert_ok(vt_predictivity_run(&p, model, &r->neurons, &plain));
        assert_int_equal(LAYERS, p.count);
        assert_int_equal(which, p.best);
        assert_int_equal(81, p.training);
        assert_int_equal(9, p.testing);
        /* Reliability of the mean of six repeats: variance 1 of signal, 0.09 / 6 of noise. */
        assert_close(p.ceiling, 1 / (1 + 0.09 / REPEATS), 0.01);
        assert_true(p.layers[which].r > 0.8);
        for (int l = 0; l < LAYERS; l++) {
            assert_string_equal(layers[l], p.layers[l].name);
            assert_close(p.layers[l].score, p.layers[l].r * p.layers[l].r / p.ceiling, 1e-12);
        }
        assert_int_equal(SIDE * SIDE * 3, p.layers[0].features);
        assert_int_equal(COMPONENTS, p.layers[1].components);
        assert_int_equal(5, p.layers[5].components); /* fc has five features */
        vt_predictivity_free(&p);
        free(r);
    }
}

/* Of other mappings too, and by name. */
static void test_ridge(void **state)
{
    (void)state;
    vt_predictivity_options options = plain;
    assert_ok(vt_predictivity_regression_parse(&options.regression, "ridge"));
    assert_string_equal("ridge", vt_predictivity_regression_name(options.regression));
    recording *r = make_recording("layer3", 0.3);
    vt_predictivity p;
    assert_ok(vt_predictivity_run(&p, model, &r->neurons, &options));
    assert_int_equal(3, p.best);
    assert_true(p.layers[3].r > 0.8);
    assert_int_equal(0, p.layers[3].components);
    vt_predictivity_free(&p);
    free(r);
    assert_status(VT_EINVAL, vt_predictivity_regression_parse(&options.regression, "lasso"));
    assert_message("pls and ridge");
}

/* Penalties are those that leave out each sample best, by fits without it, and the weights those of
 * ridge regression with them. */
static void test_left_out(void **state)
{
    (void)state;
    enum { N = 14, P = 6, M = 3 };
    double x[N * P], y[N * M], centered[N * P], rest[N * M], gram[N * N], dual[N * M], alphas[M];
    vt_rng rng;
    vt_rng_init(&rng, 3, VT_RNG_INIT, 0, 0);
    for (int i = 0; i < N * P; i++)
        x[i] = 5 + vt_rng_normal(&rng);
    for (int i = 0; i < N; i++)
        for (int t = 0; t < M; t++) /* from one feature to noise alone */
            y[i * M + t] = (M - 1 - t) * x[i * P + t] + (t + 0.1) * vt_rng_normal(&rng);
    double scale = 0;
    for (int j = 0; j < P; j++) {
        double mean = 0;
        for (int i = 0; i < N; i++)
            mean += x[i * P + j] / N;
        for (int i = 0; i < N; i++) {
            centered[i * P + j] = x[i * P + j] - mean;
            scale += centered[i * P + j] * centered[i * P + j] / N;
        }
    }
    for (int t = 0; t < M; t++) {
        double mean = 0;
        for (int i = 0; i < N; i++)
            mean += y[i * M + t] / N;
        for (int i = 0; i < N; i++)
            rest[i * M + t] = y[i * M + t] - mean;
    }
    for (int i = 0; i < N * N; i++) {
        gram[i] = 0;
        for (int j = 0; j < P; j++)
            gram[i] += centered[i / N * P + j] * centered[i % N * P + j];
    }
    assert_ok(vt_kernel_ridge_dual(dual, alphas, gram, rest, N, M));

    double best[M] = {0}, errors[M] = {0};
    for (int k = 0; k < VT_KERNEL_RIDGE_ALPHAS; k++) {
        vt_ridge_options o = vt_ridge_options_default();
        o.alpha = scale * pow(10, VT_KERNEL_RIDGE_FIRST + k);
        double error[M] = {0};
        for (int out = 0; out < N; out++) {
            double x_in[(N - 1) * P], y_in[(N - 1) * M], predicted[M];
            memcpy(x_in, x, (size_t)(out * P) * 8);
            memcpy(x_in + out * P, x + (out + 1) * P, (size_t)((N - 1 - out) * P) * 8);
            memcpy(y_in, y, (size_t)(out * M) * 8);
            memcpy(y_in + out * M, y + (out + 1) * M, (size_t)((N - 1 - out) * M) * 8);
            vt_ridge *ridge;
            assert_ok(vt_ridge_fit(&ridge, x_in, y_in, N - 1, P, M, &o));
            assert_ok(vt_ridge_predict(ridge, predicted, x + out * P, 1));
            for (int t = 0; t < M; t++)
                error[t] += pow(predicted[t] - y[out * M + t], 2);
            vt_ridge_free(ridge);
        }
        for (int t = 0; t < M; t++)
            if (best[t] == 0 || error[t] < errors[t]) {
                best[t] = o.alpha;
                errors[t] = error[t];
            }
    }
    for (int t = 0; t < M; t++) {
        assert_close(alphas[t], best[t], 1e-9 * best[t]);
        for (int i = 0; i < N; i++) { /* (K + alpha) dual = y */
            double sum = alphas[t] * dual[i * M + t];
            for (int j = 0; j < N; j++)
                for (int p = 0; p < P; p++)
                    sum += centered[i * P + p] * centered[j * P + p] * dual[j * M + t];
            assert_close(sum, rest[i * M + t], 1e-9);
        }
    }
    assert_true(alphas[0] < alphas[M - 1]);
    memset(gram, 0, sizeof gram); /* a dead layer predicts the mean */
    assert_ok(vt_kernel_ridge_dual(dual, NULL, gram, rest, N, M));
    for (int i = 0; i < N * M; i++)
        assert_true(dual[i] == 0);
}

/* The r of one split the plain way: PLS of the features themselves. */
static double plain_r(const features *f, const recording *rec, int split_index)
{
    vt_split split;
    assert_ok(vt_split_stratified(&split, rec->labels, IMAGES, 0.1, split_index, 4));
    int64_t n = split.train_count, t = split.test_count;
    float *x = malloc((size_t)(n * f->count) * 4), *test = malloc((size_t)(t * f->count) * 4);
    double *y = malloc((size_t)(n * NEURONS) * 8), *out = malloc((size_t)(t * NEURONS) * 8);
    double r[NEURONS], a[IMAGES], b[IMAGES];
    for (int64_t i = 0; i < n; i++) {
        memcpy(x + i * f->count, f->data + split.train[i] * f->count, (size_t)f->count * 4);
        for (int k = 0; k < NEURONS; k++)
            y[i * NEURONS + k] = rec->averaged[k * IMAGES + split.train[i]];
    }
    for (int64_t i = 0; i < t; i++)
        memcpy(test + i * f->count, f->data + split.test[i] * f->count, (size_t)f->count * 4);
    vt_pls *pls;
    vt_pls_options options = {.components = COMPONENTS};
    assert_ok(vt_pls_fit_float(&pls, x, y, n, f->count, NEURONS, &options));
    assert_ok(vt_pls_predict_float(pls, out, test, t));
    for (int k = 0; k < NEURONS; k++) {
        for (int64_t i = 0; i < t; i++) {
            a[i] = out[i * NEURONS + k];
            b[i] = rec->averaged[k * IMAGES + split.test[i]];
        }
        r[k] = vt_pearson(a, b, t);
    }
    vt_pls_free(pls);
    vt_split_free(&split);
    free(x);
    free(test);
    free(y);
    free(out);
    return vt_median(r, NEURONS);
}

static void test_same_as_plain(void **state)
{
    (void)state;
    recording *r = make_recording("layer2", 1);
    vt_predictivity_options options = plain;
    options.splits = 3;
    options.seed = 4;
    vt_predictivity p, again;
    assert_ok(vt_predictivity_run(&p, model, &r->neurons, &options));
    for (int l = 0; l < 3; l++) {
        features f = features_at(layers[l]);
        double sum = 0, squares = 0;
        for (int k = 0; k < 3; k++) {
            double value = plain_r(&f, r, k);
            sum += value / 3;
            squares += value * value / 3;
        }
        assert_close(p.layers[l].r, sum, 1e-8);
        assert_close(p.layers[l].r_sd, sqrt(squares - sum * sum), 1e-6);
        free(f.data);
    }
    /* Features in many parts give the same inner products. */
    options.memory = (size_t)IMAGES * 700 * sizeof(float);
    assert_ok(vt_predictivity_run(&again, model, &r->neurons, &options));
    for (int l = 0; l < LAYERS; l++) {
        assert_close(again.layers[l].r, p.layers[l].r, 1e-8);
        assert_int_equal(again.layers[l].features, p.layers[l].features);
    }
    vt_predictivity_free(&again);
    int64_t order[IMAGES];
    for (int i = 0; i < IMAGES; i++)
        order[i] = i;
    r->neurons.stimulus = order;
    options.memory = 0;
    assert_ok(vt_predictivity_run(&again, model, &r->neurons, &options));
    assert_close(again.layers[2].r, p.layers[2].r, 1e-12);
    vt_predictivity_free(&again);
    order[5] = 6; /* an image of another's: features change */
    assert_ok(vt_predictivity_run(&again, model, &r->neurons, &options));
    assert_true(fabs(again.layers[2].r - p.layers[2].r) > 1e-6);
    vt_predictivity_free(&p);
    vt_predictivity_free(&again);
    order[5] = IMAGES;
    assert_status(VT_EINVAL, vt_predictivity_run(&p, model, &r->neurons, &options));
    assert_message("stimulus 90");
    free(r);
}

static void test_all_layers(void **state)
{
    (void)state;
    recording *r = make_recording("layer2.0.relu", 0.3);
    vt_predictivity_options options = {.splits = 2, .components = 5};
    vt_predictivity p;
    assert_ok(vt_predictivity_run(&p, model, &r->neurons, &options));
    assert_true(p.count > 40);
    assert_string_equal("input", p.layers[0].name);
    assert_string_equal("fc", p.layers[p.count - 1].name);
    for (int l = 0; l < p.count; l++)
        assert_string_not_equal("flatten", p.layers[l].name);
    assert_int_equal(0, strncmp("layer2.0.", p.layers[p.best].name, 9));
    vt_predictivity_free(&p);
    free(r);
}

static void test_formulas(void **state)
{
    (void)state;
    vt_predictivity_formula formula;
    /* AlexNet on V1: r 0.466222, ceiling 0.873345. */
    assert_close(vt_predictivity_score(0.466222, 0.873345, VT_PREDICTIVITY_2023), 0.285, 5e-4);
    assert_close(vt_predictivity_score(0.466222, 0.873345, VT_PREDICTIVITY_2026), 0.249, 5e-4);
    assert_true(isnan(vt_predictivity_score(0.5, NAN, VT_PREDICTIVITY_2026)));
    assert_true(isnan(vt_predictivity_score(0.5, -0.1, VT_PREDICTIVITY_2023)));
    assert_ok(vt_predictivity_formula_parse(&formula, "2023"));
    assert_int_equal(VT_PREDICTIVITY_2023, formula);
    assert_string_equal("2023", vt_predictivity_formula_name(formula));
    assert_ok(vt_predictivity_formula_parse(&formula, "2026"));
    assert_int_equal(VT_PREDICTIVITY_2026, formula);
    assert_status(VT_EINVAL, vt_predictivity_formula_parse(&formula, "2024"));
    assert_message("2023");
}

static void test_odd_neurons(void **state)
{
    (void)state;
    recording *r = make_recording("layer2", 0.3);
    vt_predictivity_options options = plain;
    options.splits = 2;
    vt_predictivity p;
    for (int i = 0; i < IMAGES; i++) { /* one never varies, one was not recorded twice */
        r->averaged[i] = 0.1;
        for (int k = 0; k < REPEATS; k++) {
            r->raw[i * REPEATS + k] = 0.1;
            if (k > 0) r->raw[(IMAGES + i) * REPEATS + k] = NAN;
        }
    }
    assert_ok(vt_predictivity_run(&p, model, &r->neurons, &options));
    assert_true(isnan(p.layers[2].neurons[0]));
    assert_true(isnan(p.ceilings[0]) && isnan(p.ceilings[1]));
    assert_true(p.layers[2].neurons[1] > 0.5 && p.layers[2].r > 0.5 && p.ceiling > 0.9);
    assert_int_equal(2, p.best);
    vt_predictivity_free(&p);
    r->neurons.raw = NULL;
    assert_ok(vt_predictivity_run(&p, model, &r->neurons, &options));
    assert_true(isnan(p.ceiling) && isnan(p.layers[2].score));
    assert_int_equal(2, p.best);
    vt_predictivity_free(&p);
    for (int i = 0; i < NEURONS * IMAGES; i++)
        r->averaged[i] = 2; /* none varies */
    assert_ok(vt_predictivity_run(&p, model, &r->neurons, &options));
    assert_int_equal(-1, p.best);
    assert_true(isnan(p.layers[2].r));
    vt_predictivity_free(&p);
    free(r);
}

static void test_errors(void **state)
{
    (void)state;
    recording *r = make_recording("layer2", 0.3);
    vt_predictivity p = {.best = 77};
    vt_predictivity_options options = plain;
    options.components = 81;
    assert_status(VT_EINVAL, vt_predictivity_run(&p, model, &r->neurons, &options));
    assert_message("too few for 81 components");
    options = plain;
    r->neurons.images = 10;
    assert_status(VT_EINVAL, vt_predictivity_run(&p, model, &r->neurons, &options));
    assert_message("two to test");
    r->neurons.images = IMAGES;
    options.layers = (const char *const[]){"layer1", "layer7"};
    options.layer_count = 2;
    assert_status(VT_ENOTFOUND, vt_predictivity_run(&p, model, &r->neurons, &options));
    assert_message("layer7");
    options = plain;
    options.test = 1.5;
    assert_status(VT_EINVAL, vt_predictivity_run(&p, model, &r->neurons, &options));
    options = plain;
    options.splits = -1;
    assert_status(VT_EINVAL, vt_predictivity_run(&p, model, &r->neurons, &options));
    r->averaged[IMAGES + 3] = NAN;
    assert_status(VT_ENUMERIC, vt_predictivity_run(&p, model, &r->neurons, &plain));
    assert_message("neuron 1, image 3");
    r->averaged[IMAGES + 3] = 1;
    vt_graph *graph = vt_model_graph(model);
    float *bias = vt_graph_find_param(graph, "fc.bias")->value.data, kept = bias[2];
    bias[2] = INFINITY;
    vt_graph_touch(graph);
    assert_status(VT_ENUMERIC, vt_predictivity_run(&p, model, &r->neurons, &plain));
    assert_message("fc: features: the value of image 0, feature 2");
    bias[2] = kept;
    vt_graph_touch(graph);
    assert_int_equal(77, p.best);
    free(r);
}

static bool stop(void *context, int64_t done, int64_t total, const char *line)
{
    (void)total;
    (void)line;
    return done < *(int64_t *)context;
}

static void test_interrupted(void **state)
{
    (void)state;
    recording *r = make_recording("layer2", 0.3);
    int64_t after = 32;
    vt_progress progress = {.report = stop, .context = &after};
    vt_predictivity_options options = plain;
    vt_predictivity p;
    options.progress = &progress;
    assert_status(VT_EINTERRUPTED, vt_predictivity_run(&p, model, &r->neurons, &options));
    free(r);
}

static void test_no_memory(void **state)
{
    (void)state;
    recording *r = make_recording("layer2", 0.3);
    vt_predictivity_options options = plain;
    options.layers = (const char *const[]){"layer4", "fc"};
    options.layer_count = 2;
    options.splits = 2;
    options.batch = IMAGES;
    int64_t allowed = 0, step = 1;
    for (vt_status status = VT_ENOMEM; status != VT_OK; allowed += step) {
        vt_predictivity p;
        vt_alloc_fail_after(allowed);
        status = vt_predictivity_run(&p, model, &r->neurons, &options);
        vt_alloc_fail_after(-1);
        if (status == VT_OK)
            vt_predictivity_free(&p);
        else
            assert_status(VT_ENOMEM, status);
        if (allowed == 40) step = 7;
    }
    assert_true(allowed > 40);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_layer_wins), cmocka_unit_test(test_ridge),
        cmocka_unit_test(test_left_out),         cmocka_unit_test(test_same_as_plain),
        cmocka_unit_test(test_all_layers),       cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_odd_neurons),      cmocka_unit_test(test_errors),
        cmocka_unit_test(test_interrupted),      cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
