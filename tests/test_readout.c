/* Factorized readout: recovery, optimality, generalisation, hostile input. */
#include "test.h"

#include "base/arena.h"
#include "neural/spatial_basis.h"
#include "ventral/progress.h"
#include "ventral/readout.h"
#include "ventral/rng.h"
#include "ventral/score.h"

/* Simulated neurons that read feature maps out through a pool and a mixing. */
typedef struct simulation {
    int samples, height, width, channels, targets;
    float *features;
    double *y, *clean;     /* (samples, targets): with noise, without */
    double *pool, *mixing; /* (targets, height, width), (targets, channels) */
} simulation;

/* Random fields, smooth over about `length` positions, rectified like a network's activations. */
static void random_fields(float *out, vt_rng *rng, int height, int width, int channels,
                          double length)
{
    enum { WAVES = 12 };
    double pi = acos(-1);
    for (int c = 0; c < channels; c++) {
        double fy[WAVES], fx[WAVES], phase[WAVES];
        for (int k = 0; k < WAVES; k++) {
            fy[k] = vt_rng_normal(rng) / length;
            fx[k] = vt_rng_normal(rng) / length;
            phase[k] = 2 * pi * vt_rng_uniform(rng);
        }
        for (int i = 0; i < height; i++)
            for (int j = 0; j < width; j++) {
                double sum = 0;
                for (int k = 0; k < WAVES; k++)
                    sum += cos(fy[k] * i + fx[k] * j + phase[k]) / sqrt(WAVES / 2.0);
                out[(i * width + j) * channels + c] = (float)fmax(sum, 0);
            }
    }
}

/* Pools are Gaussians at random places; `noise` is in units of the clean response's s.d. */
static simulation simulate(int samples, int height, int width, int channels, int targets,
                           double noise, uint64_t seed)
{
    simulation s = {samples, height, width, channels, targets, NULL, NULL, NULL, NULL, NULL};
    int positions = height * width, size = positions * channels;
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_NEURON, 0, 0);
    s.features = malloc((size_t)(samples * size) * sizeof(float));
    s.y = malloc((size_t)(samples * targets) * sizeof(double));
    s.clean = calloc((size_t)(samples * targets), sizeof(double));
    s.pool = malloc((size_t)(targets * positions) * sizeof(double));
    s.mixing = malloc((size_t)(targets * channels) * sizeof(double));
    for (int i = 0; i < samples; i++)
        random_fields(s.features + i * size, &rng, height, width, channels, 2.5);
    for (int t = 0; t < targets; t++) {
        double cy = height * (0.2 + 0.6 * vt_rng_uniform(&rng)), norm = 0;
        double cx = width * (0.2 + 0.6 * vt_rng_uniform(&rng)), sd = 0.12 * height;
        double *pool = s.pool + t * positions, *mixing = s.mixing + t * channels;
        for (int k = 0; k < positions; k++) {
            double dy = k / width - cy, dx = k % width - cx;
            pool[k] = exp(-(dy * dy + dx * dx) / (2 * sd * sd));
            norm += pool[k] * pool[k];
        }
        for (int k = 0; k < positions; k++)
            pool[k] /= sqrt(norm);
        for (int c = 0; c < channels; c++)
            mixing[c] = vt_rng_normal(&rng);
        double mean = 0, squares = 0;
        for (int i = 0; i < samples; i++) {
            double *y = &s.clean[i * targets + t];
            for (int k = 0; k < positions; k++)
                for (int c = 0; c < channels; c++)
                    *y += pool[k] * mixing[c] * s.features[i * size + k * channels + c];
            mean += *y / samples;
        }
        for (int i = 0; i < samples; i++)
            squares += pow(s.clean[i * targets + t] - mean, 2) / samples;
        for (int i = 0; i < samples; i++)
            s.y[i * targets + t] =
                10 + s.clean[i * targets + t] + noise * sqrt(squares) * vt_rng_normal(&rng);
    }
    return s;
}

static void simulation_destroy(simulation *s)
{
    free(s->features);
    free(s->y);
    free(s->clean);
    free(s->pool);
    free(s->mixing);
}

static vt_status fit(vt_factorized **out, const simulation *s, int samples,
                     const vt_factorized_options *options)
{
    return vt_factorized_fit(out, s->features, s->y, samples, s->height, s->width, s->channels,
                             s->targets, options);
}

static double cosine(const double *a, const double *b, int count)
{
    double aa = 0, bb = 0, ab = 0;
    for (int i = 0; i < count; i++) {
        aa += a[i] * a[i];
        bb += b[i] * b[i];
        ab += a[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

static void test_recovers_noiseless_readout(void **state)
{
    (void)state;
    simulation s = simulate(150, 7, 6, 5, 3, 0, 1);
    vt_factorized_options options = vt_factorized_options_default();
    options.l2 = 1e-7;
    options.smoothness = 0;
    options.iterations = 200;
    vt_factorized *r;
    assert_ok(fit(&r, &s, s.samples, &options));
    assert_int_equal(vt_factorized_targets(r), 3);
    assert_close(vt_factorized_l2(r), 1e-7, 0);
    assert_close(vt_factorized_smoothness(r), 0, 0);
    for (int t = 0; t < 3; t++) {
        assert_true(cosine(vt_factorized_pool(r) + t * 42, s.pool + t * 42, 42) > 0.9995);
        for (int c = 0; c < 5; c++)
            assert_close(vt_factorized_mixing(r)[t * 5 + c], s.mixing[t * 5 + c], 0.02);
        assert_close(vt_factorized_intercept(r)[t], 10, 0.1);
    }
    vt_factorized_free(r);
    simulation_destroy(&s);
}

/* 200 noisy images: far fewer than weights. The factorized readout must find the receptive fields,
 * and predict new images much better than ridge does. */
static void test_generalises_better_than_ridge(void **state)
{
    (void)state;
    enum { TRAIN = 200, TEST = 200, SIDE = 12, CHANNELS = 8, TARGETS = 5 };
    enum { MAP = SIDE * SIDE, SIZE = MAP * CHANNELS };
    simulation s = simulate(TRAIN + TEST, SIDE, SIDE, CHANNELS, TARGETS, 1, 2);
    vt_factorized *r;
    vt_ridge *ridge;
    static double readout[TEST * TARGETS], plain[TEST * TARGETS];
    double truth[TEST], a[TEST], b[TEST], with[TARGETS], without[TARGETS];
    assert_ok(fit(&r, &s, TRAIN, NULL));
    assert_ok(vt_ridge_fit_float(&ridge, s.features, s.y, TRAIN, SIZE, TARGETS, NULL));
    assert_ok(vt_factorized_predict(r, readout, s.features + TRAIN * SIZE, TEST));
    assert_ok(vt_ridge_predict_float(ridge, plain, s.features + TRAIN * SIZE, TEST));
    for (int t = 0; t < TARGETS; t++) {
        for (int i = 0; i < TEST; i++) {
            truth[i] = s.clean[(TRAIN + i) * TARGETS + t];
            a[i] = readout[i * TARGETS + t];
            b[i] = plain[i * TARGETS + t];
        }
        with[t] = vt_pearson(truth, a, TEST);
        without[t] = vt_pearson(truth, b, TEST);
        assert_true(cosine(vt_factorized_pool(r) + t * MAP, s.pool + t * MAP, MAP) > 0.8);
    }
    double better = vt_median(with, TARGETS), ridge_only = vt_median(without, TARGETS);
    assert_true(better > 0.92);
    assert_true(1 - better * better < 0.6 * (1 - ridge_only * ridge_only));
    assert_true(vt_factorized_smoothness(r) > 0 && vt_factorized_l2(r) > 0);
    vt_factorized_free(r);
    vt_ridge_free(ridge);
    simulation_destroy(&s);
}

/* At the solution each factor is the ridge regression that the other one leaves. */
static void check_is_stationary(int samples, int height, int width, int channels)
{
    simulation s = simulate(samples, height, width, channels, 2, 0.5, 3);
    int positions = height * width, size = positions * channels;
    double *pooled = malloc((size_t)(samples * channels) * 8), *y = malloc((size_t)samples * 8);
    double *mixed = malloc((size_t)(samples * positions) * 8), scale = 0;
    vt_factorized_options options = vt_factorized_options_default();
    options.l2 = 0.02;
    options.smoothness = 0;
    options.iterations = 400;
    vt_factorized *r;
    assert_ok(fit(&r, &s, samples, &options));
    for (int j = 0; j < size; j++) {
        double mean = 0, squares = 0;
        for (int i = 0; i < samples; i++)
            mean += s.features[i * size + j] / (double)samples;
        for (int i = 0; i < samples; i++)
            squares += pow(s.features[i * size + j] - mean, 2);
        scale += squares / samples;
    }
    for (int t = 0; t < 2; t++) {
        const double *pool = vt_factorized_pool(r) + t * positions;
        const double *mixing = vt_factorized_mixing(r) + t * channels;
        double length = 0, sum = 0;
        memset(pooled, 0, (size_t)(samples * channels) * 8);
        memset(mixed, 0, (size_t)(samples * positions) * 8);
        for (int i = 0; i < samples; i++) {
            y[i] = s.y[i * 2 + t];
            for (int k = 0; k < positions; k++)
                for (int c = 0; c < channels; c++) {
                    double f = s.features[i * size + k * channels + c];
                    pooled[i * channels + c] += pool[k] * f;
                    mixed[i * positions + k] += mixing[c] * f;
                }
        }
        for (int k = 0; k < positions; k++)
            sum += pool[k];
        for (int c = 0; c < channels; c++)
            length += mixing[c] * mixing[c];
        assert_true(sum >= 0);
        assert_close(cosine(pool, pool, positions), 1, 1e-6);
        vt_ridge_options ridge_options = vt_ridge_options_default();
        vt_ridge *ridge;
        ridge_options.alpha = options.l2 * scale;
        assert_ok(vt_ridge_fit(&ridge, pooled, y, samples, channels, 1, &ridge_options));
        for (int c = 0; c < channels; c++)
            assert_close(vt_ridge_weights(ridge)[c], mixing[c], 0.02 * sqrt(length));
        vt_ridge_free(ridge);
        ridge_options.alpha = options.l2 * scale * length;
        assert_ok(vt_ridge_fit(&ridge, mixed, y, samples, positions, 1, &ridge_options));
        for (int k = 0; k < positions; k++)
            assert_close(vt_ridge_weights(ridge)[k], pool[k], 0.02);
        vt_ridge_free(ridge);
    }
    vt_factorized_free(r);
    simulation_destroy(&s);
    free(pooled);
    free(mixed);
    free(y);
}

static void test_is_stationary(void **state)
{
    (void)state;
    check_is_stationary(80, 4, 3, 5);
    check_is_stationary(40, 8, 7, 6); /* more positions than images: the dual form */
    check_is_stationary(30, 1, 1, 7); /* a pool of one position: ridge */
    check_is_stationary(30, 5, 1, 1); /* one channel */
}

static void test_predicts_what_it_says(void **state)
{
    (void)state;
    enum { N = 40, H = 6, W = 4, C = 3, T = 5 };
    simulation s = simulate(N, H, W, C, T, 0.5, 4);
    double out[N * T];
    vt_factorized *r;
    assert_ok(fit(&r, &s, N, NULL));
    assert_ok(vt_factorized_predict(r, out, s.features, N));
    for (int t = 0; t < T; t++) {
        double residual = 0;
        for (int i = 0; i < N; i++) {
            double expected = vt_factorized_intercept(r)[t];
            for (int k = 0; k < H * W; k++)
                for (int c = 0; c < C; c++)
                    expected += vt_factorized_pool(r)[t * H * W + k] *
                                vt_factorized_mixing(r)[t * C + c] *
                                s.features[(i * H * W + k) * C + c];
            assert_close(out[i * T + t], expected, 1e-4);
            residual += out[i * T + t] - s.y[i * T + t];
        }
        assert_close(residual / N, 0, 1e-4); /* the intercept is not penalised */
    }
    vt_factorized_free(r);
    simulation_destroy(&s);
}

static void test_same_on_any_threads(void **state)
{
    (void)state;
    simulation s = simulate(60, 6, 6, 4, 5, 0.5, 5);
    vt_factorized *one, *two;
    vt_threads_set(1);
    assert_ok(fit(&one, &s, 60, NULL));
    vt_threads_set(2);
    assert_ok(fit(&two, &s, 60, NULL));
    vt_threads_set(0);
    assert_close(vt_factorized_l2(one), vt_factorized_l2(two), 0);
    for (int i = 0; i < 5 * 36; i++)
        assert_close(vt_factorized_pool(one)[i], vt_factorized_pool(two)[i], 1e-4);
    vt_factorized_free(one);
    vt_factorized_free(two);
    simulation_destroy(&s);
}

static void test_silent_neurons_and_features(void **state)
{
    (void)state;
    enum { N = 40, H = 4, W = 4, C = 3, T = 3 };
    simulation s = simulate(N, H, W, C, T, 0.5, 6);
    double out[N * T];
    vt_factorized *r;
    for (int i = 0; i < N; i++)
        s.y[i * T + 1] = 0.1;
    assert_ok(fit(&r, &s, N, NULL));
    for (int c = 0; c < C; c++)
        assert_close(vt_factorized_mixing(r)[C + c], 0, 0);
    assert_close(vt_factorized_intercept(r)[1], 0.1, 1e-12);
    vt_factorized_free(r);
    for (int i = 0; i < N * H * W * C; i++)
        s.features[i] = 0.1f;
    assert_ok(fit(&r, &s, N, NULL));
    assert_ok(vt_factorized_predict(r, out, s.features, N));
    for (int i = 0; i < N * T; i++)
        assert_close(out[i], out[i % T], 1e-3);
    vt_factorized_free(r);
    simulation_destroy(&s);
}

static void test_hostile_input(void **state)
{
    (void)state;
    enum { N = 12, H = 3, W = 2, C = 2, T = 2 };
    simulation s = simulate(N, H, W, C, T, 0.5, 7);
    vt_factorized *r = NULL;
    vt_factorized_options options = vt_factorized_options_default();
    options.l2 = NAN;
    assert_status(VT_EINVAL, fit(&r, &s, N, &options));
    options = vt_factorized_options_default();
    options.smoothness = INFINITY;
    assert_status(VT_EINVAL, fit(&r, &s, N, &options));
    options = vt_factorized_options_default();
    options.iterations = 0;
    assert_status(VT_EINVAL, fit(&r, &s, N, &options));
    options = vt_factorized_options_default();
    options.folds = N + 1;
    assert_status(VT_EINVAL, fit(&r, &s, N, &options));
    assert_message("folds");
    assert_status(VT_EINVAL, fit(&r, &s, 0, NULL));
    assert_status(VT_EINVAL, vt_factorized_fit(&r, s.features, s.y, N, H, 0, C, T, NULL));
    assert_status(VT_EINVAL, vt_factorized_fit(&r, s.features, s.y, N, H, W, C, -1, NULL));
    assert_status(VT_EINVAL, vt_factorized_fit(&r, s.features, s.y, N, INT64_MAX, W, C, T, NULL));
    assert_status(VT_EINVAL,
                  vt_factorized_fit(&r, s.features, s.y, N, 1 << 20, 1 << 12, C, T, NULL));
    s.features[5] = NAN;
    assert_status(VT_ENUMERIC, fit(&r, &s, N, NULL));
    assert_message("image 0, feature 5");
    s.features[5] = 0;
    s.y[3 * T + 1] = INFINITY;
    assert_status(VT_ENUMERIC, fit(&r, &s, N, NULL));
    assert_message("image 3, neuron 1");
    assert_null(r);
    vt_factorized_free(NULL);
    simulation_destroy(&s);
}

static void test_memory_failures(void **state)
{
    (void)state;
    enum { N = 12, H = 3, W = 2, C = 2, T = 2 };
    simulation s = simulate(N, H, W, C, T, 0.5, 8);
    vt_factorized_options options = vt_factorized_options_default();
    options.l2 = 0.1;
    options.folds = 2;
    options.iterations = 1;
    vt_factorized *r = NULL;
    vt_status status = VT_ENOMEM;
    int64_t allowed = 0;
    for (; status != VT_OK; allowed++) {
        vt_alloc_fail_after(allowed);
        status = fit(&r, &s, N, &options);
        assert_true(status == VT_OK || (status == VT_ENOMEM && !r));
    }
    assert_true(allowed > 30);
    double out[N * T];
    for (int i = 0; i < 4; i++) {
        vt_alloc_fail_after(i);
        assert_status(VT_ENOMEM, vt_factorized_predict(r, out, s.features, N));
    }
    vt_alloc_fail_after(-1);
    vt_factorized_free(r);
    simulation_destroy(&s);
}

typedef struct watch {
    int64_t calls, last, total, stop_after;
} watch;

static bool watch_report(void *context, int64_t done, int64_t total, const char *line)
{
    watch *w = context;
    assert_non_null(line);
    assert_true(done > w->last && done <= total);
    w->last = done;
    w->total = total;
    return ++w->calls != w->stop_after;
}

static void test_progress(void **state)
{
    (void)state;
    simulation s = simulate(30, 4, 4, 3, 2, 0.5, 9);
    watch seen = {0, 0, 0, 0};
    vt_progress progress = {watch_report, &seen};
    vt_factorized_options options = vt_factorized_options_default();
    options.progress = &progress;
    vt_factorized *r = NULL;
    assert_ok(fit(&r, &s, 30, &options));
    assert_true(seen.calls > 30);
    assert_int_equal(seen.last, seen.total);
    vt_factorized_free(r);
    r = NULL;
    seen = (watch){0, 0, 0, 3};
    assert_status(VT_EINTERRUPTED, fit(&r, &s, 30, &options));
    assert_int_equal(seen.calls, 3);
    assert_null(r);
    simulation_destroy(&s);
}

/* The cosines are orthonormal, and their eigenvalues those of the reflecting grid's Laplacian. */
static void test_spatial_basis(void **state)
{
    (void)state;
    enum { H = 5, W = 4, C = 2 };
    vt_spatial_basis b;
    float features[H * W * C], out[H * W * C];
    double map[H * W], coefficients[H * W] = {0};
    assert_ok(vt_spatial_basis_init(&b, H, W, 100));
    assert_int_equal(b.count, H * W);
    for (int k = 0; k < H * W; k++) {
        coefficients[k] = 1;
        vt_spatial_basis_expand(&b, map, coefficients);
        coefficients[k] = 0;
        for (int i = 0; i < H; i++)
            for (int j = 0; j < W; j++) {
                double here = map[i * W + j], sum = 0;
                const int dy[] = {-1, 1, 0, 0}, dx[] = {0, 0, -1, 1};
                for (int d = 0; d < 4; d++) {
                    int y = i + dy[d], x = j + dx[d];
                    if (y >= 0 && y < H && x >= 0 && x < W) sum += here - map[y * W + x];
                }
                assert_close(sum, b.laplacian[k] * here, 1e-12);
                features[(i * W + j) * C] = (float)here;
                features[(i * W + j) * C + 1] = (float)(2 * here);
            }
        assert_ok(vt_spatial_basis_project(&b, out, features, 1, C));
        for (int l = 0; l < H * W; l++) {
            assert_close(out[l * C], l == k, 1e-6);
            assert_close(out[l * C + 1], 2 * (l == k), 1e-6);
        }
    }
    vt_spatial_basis_destroy(&b);
    assert_ok(vt_spatial_basis_init(&b, H, W, 0));
    assert_int_equal(b.count, 1);
    vt_spatial_basis_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovers_noiseless_readout),
        cmocka_unit_test(test_generalises_better_than_ridge),
        cmocka_unit_test(test_is_stationary),
        cmocka_unit_test(test_predicts_what_it_says),
        cmocka_unit_test(test_same_on_any_threads),
        cmocka_unit_test(test_silent_neurons_and_features),
        cmocka_unit_test(test_hostile_input),
        cmocka_unit_test(test_memory_failures),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_spatial_basis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
