/* Ridge regression: both forms, choice of alpha, nested cross-validation. */
#include "test.h"

#include "base/arena.h"
#include "ventral/io.h"
#include "ventral/progress.h"
#include "ventral/readout.h"
#include "ventral/rng.h"
#include "ventral/score.h"

/* Solves a x = b (n, m) in place by Gaussian elimination with pivoting: the reference. */
static void solve(double *a, double *b, int n, int m)
{
    for (int k = 0; k < n; k++) {
        int pivot = k;
        for (int i = k; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[pivot * n + k])) pivot = i;
        for (int j = 0; j < n; j++) {
            double t = a[k * n + j];
            a[k * n + j] = a[pivot * n + j];
            a[pivot * n + j] = t;
        }
        for (int j = 0; j < m; j++) {
            double t = b[k * m + j];
            b[k * m + j] = b[pivot * m + j];
            b[pivot * m + j] = t;
        }
        for (int i = 0; i < n; i++) {
            if (i == k) continue;
            double f = a[i * n + k] / a[k * n + k];
            for (int j = k; j < n; j++)
                a[i * n + j] -= f * a[k * n + j];
            for (int j = 0; j < m; j++)
                b[i * m + j] -= f * b[k * m + j];
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++)
            b[i * m + j] /= a[i * n + i];
}

/* The textbook: the intercept is one more unknown that is not penalised. */
static void textbook(double *weights, double *intercept, const double *x, const double *y, int n,
                     int p, int m, double alpha)
{
    int size = p + 1;
    double *a = calloc((size_t)(size * size), 8), *b = calloc((size_t)(size * m), 8);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < size; j++) {
            double xj = j < p ? x[i * p + j] : 1;
            for (int k = 0; k < size; k++)
                a[j * size + k] += xj * (k < p ? x[i * p + k] : 1);
            for (int k = 0; k < m; k++)
                b[j * m + k] += xj * y[i * m + k];
        }
    for (int j = 0; j < p; j++)
        a[j * size + j] += alpha;
    solve(a, b, size, m);
    memcpy(weights, b, (size_t)(p * m) * 8);
    memcpy(intercept, b + p * m, (size_t)m * 8);
    free(a);
    free(b);
}

static double *normals(int64_t count, uint32_t which, double mean)
{
    double *x = malloc((size_t)count * sizeof *x);
    vt_rng rng;
    vt_rng_init(&rng, 99, VT_RNG_INIT, 0, which);
    for (int64_t i = 0; i < count; i++)
        x[i] = mean + vt_rng_normal(&rng);
    return x;
}

static void check_textbook(int n, int p, int m, double alpha)
{
    double *x = normals(n * p, 1, 3), *y = normals(n * m, 2, -5);
    double *w = malloc((size_t)(p * m) * 8), *b = malloc((size_t)m * 8);
    double *prediction = malloc((size_t)(n * m) * 8), *from_float = malloc((size_t)(n * m) * 8);
    float *x_float = malloc((size_t)(n * p) * sizeof *x_float);
    for (int i = 0; i < n * p; i++) {
        x[i] = nearbyint(x[i] * 1024) / 1024; /* the same in float */
        x_float[i] = (float)x[i];
    }
    vt_ridge *ridge, *ridge_float;
    vt_ridge_options options = vt_ridge_options_default();
    options.alpha = alpha;
    textbook(w, b, x, y, n, p, m, alpha);
    assert_ok(vt_ridge_fit(&ridge, x, y, n, p, m, &options));
    assert_ok(vt_ridge_fit_float(&ridge_float, x_float, y, n, p, m, &options));
    assert_int_equal(vt_ridge_features(ridge), p);
    assert_int_equal(vt_ridge_targets(ridge), m);
    for (int i = 0; i < p * m; i++) {
        assert_close(vt_ridge_weights(ridge)[i], w[i], 1e-9);
        assert_close(vt_ridge_weights(ridge_float)[i], w[i], 1e-9);
    }
    for (int i = 0; i < m; i++) {
        assert_close(vt_ridge_intercept(ridge)[i], b[i], 1e-8);
        assert_close(vt_ridge_alphas(ridge)[i], alpha, 0);
    }
    assert_ok(vt_ridge_predict(ridge, prediction, x, n));
    assert_ok(vt_ridge_predict_float(ridge, from_float, x_float, n));
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) {
            double expected = b[j];
            for (int k = 0; k < p; k++)
                expected += x[i * p + k] * w[k * m + j];
            assert_close(prediction[i * m + j], expected, 1e-8);
            assert_close(from_float[i * m + j], expected, 1e-8);
        }
    vt_ridge_free(ridge);
    vt_ridge_free(ridge_float);
    free(x);
    free(x_float);
    free(y);
    free(w);
    free(b);
    free(prediction);
    free(from_float);
}

static void test_textbook(void **state)
{
    (void)state;
    check_textbook(40, 7, 3, 0.5);  /* primal */
    check_textbook(40, 7, 3, 0);    /* least squares */
    check_textbook(12, 30, 4, 2.5); /* dual */
    check_textbook(2, 1, 1, 0.1);
    check_textbook(15, 15, 1, 1e-3);
}

/* More unknowns than samples and alpha 0: passes through the samples, with the smallest weights,
 * which are a combination of the samples. */
static void test_least_norm(void **state)
{
    (void)state;
    enum { N = 6, P = 11 };
    double *x = normals(N * P, 5, 1), *y = normals(N, 6, 0), prediction[N];
    vt_ridge_options options = vt_ridge_options_default();
    vt_ridge *zero, *tiny;
    options.alpha = 0;
    assert_ok(vt_ridge_fit(&zero, x, y, N, P, 1, &options));
    assert_ok(vt_ridge_predict(zero, prediction, x, N));
    for (int i = 0; i < N; i++)
        assert_close(prediction[i], y[i], 1e-10);
    options.alpha = 1e-9;
    assert_ok(vt_ridge_fit(&tiny, x, y, N, P, 1, &options));
    for (int j = 0; j < P; j++)
        assert_close(vt_ridge_weights(zero)[j], vt_ridge_weights(tiny)[j], 1e-7);
    vt_ridge_free(zero);
    vt_ridge_free(tiny);
    free(x);
    free(y);
}

/* Leaving one sample out changes its residual by 1 / (1 - h), h its leverage: whatever the order of
 * the folds, cross-validation with as many folds as samples must agree. */
static void leave_one_out(double *out, const double *x, const double *y, int n, int p, double alpha)
{
    double *a = calloc((size_t)(p * p), 8), *b = malloc((size_t)(p * n) * 8);
    double *w = malloc((size_t)p * 8), *mean = calloc((size_t)p, 8), intercept;
    for (int i = 0; i < n * p; i++)
        mean[i % p] += x[i] / n;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < p; j++) {
            b[j * n + i] = x[i * p + j] - mean[j];
            for (int k = 0; k < p; k++)
                a[j * p + k] += (x[i * p + j] - mean[j]) * (x[i * p + k] - mean[k]);
        }
    for (int j = 0; j < p; j++)
        a[j * p + j] += alpha;
    solve(a, b, p, n);
    textbook(w, &intercept, x, y, n, p, 1, alpha);
    for (int i = 0; i < n; i++) {
        double leverage = 1.0 / n, fitted = intercept;
        for (int j = 0; j < p; j++) {
            leverage += (x[i * p + j] - mean[j]) * b[j * n + i];
            fitted += x[i * p + j] * w[j];
        }
        out[i] = y[i] - (y[i] - fitted) / (1 - leverage);
    }
    free(a);
    free(b);
    free(w);
    free(mean);
}

static void check_leave_one_out(int n, int p)
{
    const double candidates[] = {1e-3, 0.1, 1, 3, 10, 30, 100, 1000};
    enum { CANDIDATES = 8 };
    double *x = normals(n * p, 7, 2), *y = normals(n, 8, 0);
    double *expected = malloc((size_t)n * 8), *out = malloc((size_t)n * 8), least = INFINITY;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < p; j++)
            y[i] += x[i * p + j] / (1 + j);
    vt_ridge_options options = vt_ridge_options_default();
    options.folds = n;
    int best = -1;
    for (int c = 0; c < CANDIDATES; c++) {
        options.alpha = candidates[c];
        leave_one_out(expected, x, y, n, p, candidates[c]);
        assert_ok(vt_ridge_cross_validate(out, x, y, n, p, 1, &options));
        double error = 0;
        for (int i = 0; i < n; i++) {
            assert_close(out[i], expected[i], 1e-8);
            error += (expected[i] - y[i]) * (expected[i] - y[i]);
        }
        if (error < least) {
            least = error;
            best = c;
        }
    }
    assert_in_range(best, 1, CANDIDATES - 2); /* else the test would not tell */
    options.alpha = -1;
    options.alphas = candidates;
    options.alpha_count = CANDIDATES;
    vt_ridge *ridge;
    assert_ok(vt_ridge_fit(&ridge, x, y, n, p, 1, &options));
    assert_close(vt_ridge_alphas(ridge)[0], candidates[best], 0);
    vt_ridge_free(ridge);
    free(x);
    free(y);
    free(expected);
    free(out);
}

static void test_cross_validation_leaves_one_out(void **state)
{
    (void)state;
    check_leave_one_out(30, 8);  /* primal */
    check_leave_one_out(20, 33); /* dual */
}

/* A clean neuron deserves a small alpha, one of noise a large one; a silent one is no obstacle. */
static void test_alpha_of_each_target(void **state)
{
    (void)state;
    enum { N = 60, P = 90, T = 3 };
    double *x = normals(N * P, 9, 0), *y = normals(N * T, 10, 0), out[N * T];
    for (int i = 0; i < N; i++) {
        y[i * T] = 100 * x[i * P] + 50 * x[i * P + 1];
        y[i * T + 2] = 0.25;
    }
    vt_ridge_options options = vt_ridge_options_default();
    vt_ridge *one, *each;
    assert_ok(vt_ridge_fit(&one, x, y, N, P, T, NULL));
    options.per_target = true;
    assert_ok(vt_ridge_fit(&each, x, y, N, P, T, &options));
    assert_close(vt_ridge_alphas(one)[0], vt_ridge_alphas(one)[1], 0);
    assert_true(vt_ridge_alphas(each)[0] < vt_ridge_alphas(each)[1]);
    for (int j = 0; j < P; j++)
        assert_close(vt_ridge_weights(each)[j * T + 2], 0, 1e-12);
    /* Different alphas are solved as the same ones are. */
    vt_ridge *alone;
    double first[N];
    for (int i = 0; i < N; i++)
        first[i] = y[i * T];
    vt_ridge_options fixed = vt_ridge_options_default();
    fixed.alpha = vt_ridge_alphas(each)[0];
    assert_ok(vt_ridge_fit(&alone, x, first, N, P, 1, &fixed));
    for (int j = 0; j < P; j++)
        assert_close(vt_ridge_weights(each)[j * T], vt_ridge_weights(alone)[j], 1e-9);
    assert_ok(vt_ridge_cross_validate(out, x, y, N, P, T, &options));
    double clean[N], noise[N], predicted[N], nothing[N];
    for (int i = 0; i < N; i++) {
        clean[i] = y[i * T];
        predicted[i] = out[i * T];
        noise[i] = y[i * T + 1];
        nothing[i] = out[i * T + 1];
        assert_close(out[i * T + 2], 0.25, 1e-12);
    }
    assert_true(vt_pearson(clean, predicted, N) > 0.4);
    assert_true(!(vt_pearson(noise, nothing, N) > 0.4));
    vt_ridge_free(one);
    vt_ridge_free(each);
    vt_ridge_free(alone);
    free(x);
    free(y);
}

static void test_same_on_any_threads(void **state)
{
    (void)state;
    enum { N = 50, P = 300, T = 4 };
    double *x = normals(N * P, 12, 0), *y = normals(N * T, 13, 0), a[N * T], b[N * T];
    vt_threads_set(1);
    assert_ok(vt_ridge_cross_validate(a, x, y, N, P, T, NULL));
    vt_threads_set(2);
    assert_ok(vt_ridge_cross_validate(b, x, y, N, P, T, NULL));
    vt_threads_set(0);
    for (int i = 0; i < N * T; i++)
        assert_close(a[i], b[i], 1e-9);
    free(x);
    free(y);
}

static void test_hostile_input(void **state)
{
    (void)state;
    enum { N = 10, P = 4, T = 2 };
    double *x = normals(N * P, 14, 0), *y = normals(N * T, 15, 0), out[N * T];
    const double bad_alphas[] = {1, -2};
    vt_ridge *ridge = NULL;
    vt_ridge_options options = vt_ridge_options_default();
    options.alpha = NAN;
    assert_status(VT_EINVAL, vt_ridge_fit(&ridge, x, y, N, P, T, &options));
    options = vt_ridge_options_default();
    options.alphas = bad_alphas;
    assert_status(VT_EINVAL, vt_ridge_fit(&ridge, x, y, N, P, T, &options));
    options.alpha_count = 2;
    assert_status(VT_EINVAL, vt_ridge_fit(&ridge, x, y, N, P, T, &options));
    assert_message("-2");
    options = vt_ridge_options_default();
    options.folds = 11;
    assert_status(VT_EINVAL, vt_ridge_fit(&ridge, x, y, N, P, T, &options));
    options.folds = 1;
    assert_status(VT_EINVAL, vt_ridge_cross_validate(out, x, y, N, P, T, &options));
    options.folds = 10;
    assert_status(VT_EINVAL, vt_ridge_cross_validate(out, x, y, N, P, T, &options));
    assert_status(VT_EINVAL, vt_ridge_fit(&ridge, x, y, 0, P, T, NULL));
    assert_status(VT_EINVAL, vt_ridge_fit(&ridge, x, y, N, INT64_MAX / 2, T, NULL));
    assert_status(VT_EINVAL, vt_ridge_fit(&ridge, x, y, N, P, -1, NULL));
    x[3 * P + 1] = NAN;
    assert_status(VT_ENUMERIC, vt_ridge_fit(&ridge, x, y, N, P, T, NULL));
    assert_message("image 3, feature 1");
    x[3 * P + 1] = 0;
    y[4 * T + 1] = INFINITY;
    assert_status(VT_ENUMERIC, vt_ridge_fit(&ridge, x, y, N, P, T, NULL));
    assert_message("image 4, neuron 1");
    y[4 * T + 1] = 0;
    assert_null(ridge);
    /* Constant features: nothing to predict from but the mean. */
    for (int i = 0; i < N * P; i++)
        x[i] = 0.1;
    assert_ok(vt_ridge_fit(&ridge, x, y, N, P, T, NULL));
    assert_ok(vt_ridge_predict(ridge, out, x, N));
    for (int i = 0; i < N * T; i++)
        assert_close(out[i], out[i % T], 1e-12);
    x[2] = INFINITY;
    assert_status(VT_ENUMERIC, vt_ridge_predict(ridge, out, x, N));
    vt_ridge_free(ridge);
    vt_ridge_free(NULL);
    free(x);
    free(y);
}

static void test_memory_failures(void **state)
{
    (void)state;
    enum { N = 10, T = 2 };
    for (int p = 4; p < 20; p += 12) {
        double *x = normals(N * p, 16, 0), *y = normals(N * T, 17, 0), out[N * T];
        vt_ridge *ridge = NULL;
        vt_status status = VT_ENOMEM;
        int64_t allowed = 0;
        for (; status != VT_OK; allowed++) {
            vt_alloc_fail_after(allowed);
            status = vt_ridge_fit(&ridge, x, y, N, p, T, NULL);
            assert_true(status == VT_OK || (status == VT_ENOMEM && !ridge));
        }
        assert_true(allowed > 20);
        status = VT_ENOMEM;
        vt_ridge_options options = vt_ridge_options_default();
        options.folds = 2;
        for (allowed = 0; status != VT_OK; allowed++) {
            vt_alloc_fail_after(allowed);
            status = vt_ridge_cross_validate(out, x, y, N, p, T, &options);
            assert_true(status == VT_OK || status == VT_ENOMEM);
        }
        vt_alloc_fail_after(0);
        assert_status(VT_ENOMEM, vt_ridge_predict(ridge, out, x, N));
        vt_alloc_fail_after(-1);
        vt_ridge_free(ridge);
        free(x);
        free(y);
    }
}

static void test_reference_values(void **state)
{
    (void)state;
    need_shared(path, "golden/statistics/statistics.npz");
    vt_tensor_map *map;
    vt_tensor x, y, x_test, prediction;
    assert_ok(vt_npz_read(&map, path));
    assert_ok(vt_tensor_convert(&x, vt_tensor_map_find(map, "pls.x"), VT_F64));
    assert_ok(vt_tensor_convert(&y, vt_tensor_map_find(map, "pls.y"), VT_F64));
    assert_ok(vt_tensor_convert(&x_test, vt_tensor_map_find(map, "pls.x_test"), VT_F64));
    const vt_tensor *expected = vt_tensor_map_find(map, "ridge.prediction");
    assert_ok(vt_tensor_new(&prediction, VT_F64, 2, expected->size));
    vt_ridge_options options = vt_ridge_options_default();
    options.alpha = vt_tensor_get(vt_tensor_map_find(map, "ridge.alpha"), 0);
    vt_ridge *ridge;
    assert_ok(vt_ridge_fit(&ridge, x.data, y.data, x.size[0], x.size[1], y.size[1], &options));
    assert_ok(vt_ridge_predict(ridge, prediction.data, x_test.data, x_test.size[0]));
    for (int64_t i = 0; i < vt_tensor_count(expected); i++) {
        double value = vt_tensor_get(expected, i);
        assert_close(vt_tensor_get(&prediction, i), value, 1e-9 * fabs(value));
    }
    vt_ridge_free(ridge);
    vt_tensor_free(&x);
    vt_tensor_free(&y);
    vt_tensor_free(&x_test);
    vt_tensor_free(&prediction);
    vt_tensor_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_textbook),
        cmocka_unit_test(test_least_norm),
        cmocka_unit_test(test_cross_validation_leaves_one_out),
        cmocka_unit_test(test_alpha_of_each_target),
        cmocka_unit_test(test_same_on_any_threads),
        cmocka_unit_test(test_hostile_input),
        cmocka_unit_test(test_memory_failures),
        cmocka_unit_test(test_reference_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
