/* Partial least squares: scikit-learn's values, NIPALS as the textbook has it, what is degenerate.
 */
#include "test.h"

#include "base/arena.h"
#include "ventral/io.h"
#include "ventral/pls.h"
#include "ventral/progress.h"
#include "ventral/rng.h"

static double *normals(int64_t count, uint32_t which, double mean)
{
    double *x = malloc((size_t)count * sizeof *x);
    vt_rng rng;
    vt_rng_init(&rng, 7, VT_RNG_INIT, 0, which);
    for (int64_t i = 0; i < count; i++)
        x[i] = mean + vt_rng_normal(&rng);
    return x;
}

static void center(double *x, double *mean, int n, int p)
{
    for (int j = 0; j < p; j++) {
        mean[j] = 0;
        for (int i = 0; i < n; i++)
            mean[j] += x[i * p + j] / n;
        for (int i = 0; i < n; i++)
            x[i * p + j] -= mean[j];
    }
}

/* NIPALS on the features themselves. Instead of the weights, which need the inverse of P'W, it
 * deflates the test samples as the training samples were. */
static void textbook(double *out, const double *x_in, const double *y_in, const double *test_in,
                     int n, int p, int m, int tests, int wanted)
{
    double *x = malloc((size_t)(n * p) * 8), *y = malloc((size_t)(n * m) * 8);
    double *test = malloc((size_t)(tests * p) * 8), *mean = malloc((size_t)(p > m ? p : m) * 8);
    double *w = malloc((size_t)p * 8), *old = calloc((size_t)p, 8), *t = malloc((size_t)n * 8);
    double *u = malloc((size_t)n * 8), *load = malloc((size_t)p * 8), *q = malloc((size_t)m * 8);
    memcpy(x, x_in, (size_t)(n * p) * 8);
    memcpy(y, y_in, (size_t)(n * m) * 8);
    center(x, mean, n, p);
    for (int i = 0; i < tests * p; i++)
        test[i] = test_in[i] - mean[i % p];
    center(y, mean, n, m);
    for (int i = 0; i < tests * m; i++)
        out[i] = mean[i % m];
    for (int k = 0; k < wanted; k++) {
        double tt = 0;
        for (int i = 0; i < n; i++)
            u[i] = y[i * m];
        for (int iteration = 0; iteration < 500; iteration++) {
            double length = 0, change = 0, qq = 0;
            for (int j = 0; j < p; j++) {
                w[j] = 0;
                for (int i = 0; i < n; i++)
                    w[j] += x[i * p + j] * u[i];
                length += w[j] * w[j];
            }
            for (int j = 0; j < p; j++) {
                w[j] /= sqrt(length);
                change += (w[j] - old[j]) * (w[j] - old[j]);
                old[j] = w[j];
            }
            tt = 0;
            for (int i = 0; i < n; i++) {
                t[i] = 0;
                for (int j = 0; j < p; j++)
                    t[i] += x[i * p + j] * w[j];
                tt += t[i] * t[i];
            }
            for (int j = 0; j < m; j++) {
                q[j] = 0;
                for (int i = 0; i < n; i++)
                    q[j] += y[i * m + j] * t[i] / tt;
                qq += q[j] * q[j];
            }
            if (m == 1 || (iteration > 0 && change < 1e-6)) break;
            for (int i = 0; i < n; i++) {
                u[i] = 0;
                for (int j = 0; j < m; j++)
                    u[i] += y[i * m + j] * q[j] / qq;
            }
        }
        for (int j = 0; j < p; j++) {
            load[j] = 0;
            for (int i = 0; i < n; i++)
                load[j] += x[i * p + j] * t[i] / tt;
        }
        for (int i = 0; i < n * p; i++)
            x[i] -= t[i / p] * load[i % p];
        for (int i = 0; i < n * m; i++)
            y[i] -= t[i / m] * q[i % m];
        for (int i = 0; i < tests; i++) {
            double score = 0;
            for (int j = 0; j < p; j++)
                score += test[i * p + j] * w[j];
            for (int j = 0; j < p; j++)
                test[i * p + j] -= score * load[j];
            for (int j = 0; j < m; j++)
                out[i * m + j] += score * q[j];
        }
    }
    double *const all[] = {x, y, test, mean, w, old, t, u, load, q};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void check_textbook(int n, int p, int m, int components)
{
    enum { TESTS = 9 };
    double *x = normals(n * p, 1, 4), *y = normals(n * m, 2, -3), *test = normals(TESTS * p, 3, 4);
    double *expected = malloc((size_t)(TESTS * m) * 8), *out = malloc((size_t)(TESTS * m) * 8);
    float *x_float = malloc((size_t)(n * p) * 4), *test_float = malloc((size_t)(TESTS * p) * 4);
    for (int i = 0; i < n * p; i++)
        x[i] = x_float[i] = (float)(x[i] * (1 + 10.0 / (1 + i % p)));
    for (int i = 0; i < TESTS * p; i++)
        test[i] = test_float[i] = (float)(test[i] * (1 + 10.0 / (1 + i % p)));
    for (int i = 0; i < n * m; i++)
        y[i] += x[i / m * p] * (1 + i % m);
    textbook(expected, x, y, test, n, p, m, TESTS, components);
    vt_pls_options options = {.components = components};
    vt_pls *pls;
    assert_ok(vt_pls_fit(&pls, x, y, n, p, m, &options));
    assert_int_equal(components, vt_pls_components(pls));
    assert_int_equal(p, vt_pls_features(pls));
    assert_int_equal(m, vt_pls_targets(pls));
    assert_ok(vt_pls_predict(pls, out, test, TESTS));
    for (int i = 0; i < TESTS * m; i++)
        assert_close(out[i], expected[i], 1e-8);
    vt_pls_free(pls);
    assert_ok(vt_pls_fit_float(&pls, x_float, y, n, p, m, &options));
    assert_ok(vt_pls_predict_float(pls, out, test_float, TESTS));
    for (int i = 0; i < TESTS * m; i++)
        assert_close(out[i], expected[i], 1e-8);
    vt_pls_free(pls);
    void *const all[] = {x, y, test, expected, out, x_float, test_float};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void test_textbook(void **state)
{
    (void)state;
    check_textbook(30, 80, 5, 7);
    check_textbook(60, 12, 3, 12); /* as many components as features: least squares */
    check_textbook(20, 50, 1, 4);
    check_textbook(15, 40, 33, 5); /* more targets than samples */
    check_textbook(5, 1, 2, 1);
}

static void test_golden(void **state)
{
    (void)state;
    need_shared(path, "golden/statistics/statistics.npz");
    vt_tensor_map *map;
    assert_ok(vt_npz_read(&map, path));
    const vt_tensor *x = vt_tensor_map_find(map, "pls.x"), *y = vt_tensor_map_find(map, "pls.y");
    const vt_tensor *test = vt_tensor_map_find(map, "pls.x_test");
    const vt_tensor *expected = vt_tensor_map_find(map, "pls.prediction");
    vt_tensor y64;
    assert_ok(vt_tensor_convert(&y64, y, VT_F64));
    double *out = malloc(vt_tensor_bytes(expected));
    vt_pls *pls;
    assert_ok(vt_pls_fit_float(&pls, x->data, y64.data, x->size[0], x->size[1], y->size[1], NULL));
    assert_int_equal(25, vt_pls_components(pls));
    assert_ok(vt_pls_predict_float(pls, out, test->data, test->size[0]));
    for (int64_t i = 0; i < vt_tensor_count(expected); i++)
        assert_close(out[i], vt_tensor_get(expected, i), 1e-8);
    free(out);
    vt_pls_free(pls);
    vt_tensor_free(&y64);
    vt_tensor_map_free(map);
}

/* Neurons that never vary are predicted by their mean and change nothing of the others. */
static void test_constant_target(void **state)
{
    (void)state;
    enum { N = 20, P = 30 };
    double *x = normals(N * P, 11, 0), *y = normals(N, 12, 2), both[2 * N], out[2 * N], alone[N];
    for (int i = 0; i < N; i++) {
        both[2 * i] = 0.1;
        both[2 * i + 1] = y[i];
    }
    vt_pls_options options = {.components = 4};
    vt_pls *pls;
    assert_ok(vt_pls_fit(&pls, x, both, N, P, 2, &options));
    assert_ok(vt_pls_predict(pls, out, x, N));
    vt_pls_free(pls);
    assert_ok(vt_pls_fit(&pls, x, y, N, P, 1, &options));
    assert_ok(vt_pls_predict(pls, alone, x, N));
    vt_pls_free(pls);
    for (int i = 0; i < N; i++) {
        assert_close(out[2 * i], 0.1, 1e-12);
        assert_close(out[2 * i + 1], alone[i], 1e-9);
    }
    free(x);
    free(y);
}

/* Features of rank 3, a response that two directions explain: no component is made of rounding. */
static void test_exhausted(void **state)
{
    (void)state;
    enum { N = 25, P = 40, RANK = 3 };
    double *base = normals(N * RANK, 13, 0), *mix = normals(RANK * P, 14, 0), x[N * P], y[N],
           out[N];
    double *noise = normals(N, 15, 0);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < P; j++) {
            x[i * P + j] = 5;
            for (int k = 0; k < RANK; k++)
                x[i * P + j] += base[i * RANK + k] * mix[k * P + j];
        }
        y[i] = 3 + base[i * RANK] - 2 * base[i * RANK + 1];
    }
    vt_pls_options options = {.components = 10};
    vt_pls *pls;
    assert_ok(vt_pls_fit(&pls, x, y, N, P, 1, &options));
    assert_true(vt_pls_components(pls) <= RANK);
    assert_ok(vt_pls_predict(pls, out, x, N));
    for (int i = 0; i < N; i++)
        assert_close(out[i], y[i], 1e-9);
    vt_pls_free(pls);
    assert_ok(vt_pls_fit(&pls, x, noise, N, P, 1, &options));
    assert_int_equal(RANK, vt_pls_components(pls));
    vt_pls_free(pls);
    for (int i = 0; i < N * P; i++)
        x[i] = 1.5; /* nothing to explain with: the mean */
    assert_ok(vt_pls_fit(&pls, x, y, N, P, 1, &options));
    assert_int_equal(0, vt_pls_components(pls));
    assert_ok(vt_pls_predict(pls, out, x, N));
    double mean = 0;
    for (int i = 0; i < N; i++)
        mean += y[i] / N;
    for (int i = 0; i < N; i++)
        assert_close(out[i], mean, 1e-12);
    vt_pls_free(pls);
    free(base);
    free(mix);
    free(noise);
}

static void test_errors(void **state)
{
    (void)state;
    enum { N = 10, P = 8 };
    double *x = normals(N * P, 16, 0), *y = normals(N, 17, 0);
    vt_pls_options options = {.components = 9};
    vt_pls *pls = NULL;
    assert_status(VT_EINVAL, vt_pls_fit(&pls, x, y, N, P, 1, &options));
    assert_message("9 components of 8 features of 10 images");
    assert_status(VT_EINVAL, vt_pls_fit(&pls, x, y, N, P, 1, NULL));
    options.components = 5;
    assert_status(VT_EINVAL, vt_pls_fit(&pls, x, y, 5, P, 1, &options));
    assert_status(VT_EINVAL, vt_pls_fit(&pls, x, y, 0, P, 1, &options));
    assert_status(VT_EINVAL, vt_pls_fit(&pls, x, y, N, P, 0, &options));
    assert_status(VT_EINVAL, vt_pls_fit(&pls, x, y, N, P, 1, &(vt_pls_options){.components = -1}));
    assert_status(VT_EINVAL, vt_pls_fit(&pls, x, y, N, P, 1, &(vt_pls_options){.tolerance = NAN}));
    x[3 * P + 2] = NAN;
    assert_status(VT_ENUMERIC, vt_pls_fit(&pls, x, y, N, P, 1, &options));
    assert_message("image 3, feature 2");
    x[3 * P + 2] = 1e200; /* finite, its square is not */
    assert_status(VT_ENUMERIC, vt_pls_fit(&pls, x, y, N, P, 1, &options));
    assert_message("overflow");
    x[3 * P + 2] = 0;
    y[4] = INFINITY;
    assert_status(VT_ENUMERIC, vt_pls_fit(&pls, x, y, N, P, 1, &options));
    assert_message("image 4, neuron 0");
    assert_null(pls);
    y[4] = 0;
    assert_ok(vt_pls_fit(&pls, x, y, N, P, 1, &options));
    x[0] = NAN;
    double out[N];
    assert_status(VT_ENUMERIC, vt_pls_predict(pls, out, x, N));
    vt_pls_free(pls);
    vt_pls_free(NULL);
    free(x);
    free(y);
}

static void test_no_memory(void **state)
{
    (void)state;
    enum { N = 10, P = 12 };
    double *x = normals(N * P, 18, 0), *y = normals(2 * N, 19, 0);
    vt_pls_options options = {.components = 3};
    int64_t allowed = 0;
    for (vt_status status = VT_ENOMEM; status != VT_OK; allowed++) {
        vt_pls *pls = NULL;
        vt_alloc_fail_after(allowed);
        status = vt_pls_fit(&pls, x, y, N, P, 2, &options);
        vt_alloc_fail_after(-1);
        if (status == VT_OK)
            vt_pls_free(pls);
        else
            assert_status(VT_ENOMEM, status);
    }
    assert_true(allowed > 10);
    free(x);
    free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_textbook),        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_constant_target), cmocka_unit_test(test_exhausted),
        cmocka_unit_test(test_errors),          cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
