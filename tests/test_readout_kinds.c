/* Readouts through one face: the kinds' own results, bisection, nested cross-validation, storing.
 */
#include "test.h"

#include "base/arena.h"
#include "neural/ridge_alpha.h"
#include "ventral/io.h"
#include "ventral/readout.h"

enum { N = 24, D = 5, T = 3 };

/* Whole numbers, so that other programs have the same ones. */
static float x[N * D];
static double y[N * T];
static const vt_readout_features flat = {x, N, 1, 1, D};

static int make_data(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < D; j++)
            x[i * D + j] = (float)((i * 37 + j * 91 + i * i * (j + 2) * 5) % 127 - 63);
        const float *xi = x + i * D;
        double noise[T];
        for (int t = 0; t < T; t++)
            noise[t] = (i * i * 31 + t * 57 + i * 13) % 41 - 20;
        y[i * T] = xi[0] - xi[3] + 0.5 * noise[0];
        y[i * T + 1] = 0.2 * xi[1] + 0.1 * xi[2] + noise[1];
        y[i * T + 2] = noise[2] + 0.02 * xi[4];
    }
    return 0;
}

static vt_readout_options bisection(bool per_target)
{
    vt_readout_options o = vt_readout_options_default(VT_READOUT_RIDGE);
    o.ridge.bisections = 10;
    o.ridge.folds = 4;
    o.ridge.seed = 3;
    o.ridge.per_target = per_target;
    return o;
}

/* Values by a program in NumPy that fits each fold with each alpha it tries from the start. */
static void test_bisection(void **state)
{
    (void)state;
    static const double each[T] = {537.109375994629, 10595.703125894044, 1e5};
    static const double expected[2][T] = {{-18.39529583, 2.39955264, 7.24373193},
                                          {-24.76501092, -7.43179276, 5.96045881}};
    double predicted[N * T];
    vt_readout_options o = bisection(false);
    vt_readout *r;
    assert_ok(vt_readout_fit(&r, &flat, y, T, &o));
    assert_ok(vt_readout_predict(r, predicted, &flat));
    for (int t = 0; t < T; t++) {
        assert_close(vt_ridge_alphas(vt_readout_ridge(r))[t], 5517.578125944824, 1e-8);
        for (int i = 0; i < 2; i++)
            assert_close(predicted[i * T + t], expected[i][t], 1e-7);
    }
    vt_readout_free(r);
    o = bisection(true);
    assert_ok(vt_readout_fit(&r, &flat, y, T, &o));
    for (int t = 0; t < T; t++)
        assert_close(vt_ridge_alphas(vt_readout_ridge(r))[t], each[t], 1e-8);
    vt_readout_free(r);
}

static void test_nested_bisection(void **state)
{
    (void)state;
    static const int rows[] = {0, 7, 23};
    static const double all[3][T] = {{-11.98058154, 3.77597274, 5.88132974},
                                     {7.80692624, -11.2970074, 1.02446806},
                                     {-56.25571378, 2.14064725, 4.45659244}};
    static const double each[3][T] = {{-13.76994009, -0.13322731, 4.68559256},
                                      {14.30672397, -11.48559066, 3.81899565},
                                      {-79.30826629, -0.94451128, 3.85655832}};
    double out[N * T];
    for (int per_target = 0; per_target < 2; per_target++) {
        vt_readout_options o = bisection(per_target);
        assert_ok(vt_readout_cross_validate(out, &flat, y, T, &o));
        for (int i = 0; i < 3; i++)
            for (int t = 0; t < T; t++)
                assert_close(out[rows[i] * T + t], (per_target ? each : all)[i][t], 1e-7);
    }
}

/* ---- factorized ---- */

enum { S = 40, H = 4, W = 3, C = 3, SIZE = H * W * C };
static float maps[S * SIZE];
static double responses[S * T];
static const vt_readout_features shaped = {maps, S, H, W, C};

static int make_maps(void **state)
{
    for (int i = 0; i < S * SIZE; i++)
        maps[i] = (float)sin(0.37 * i + 0.011 * i * (i % 7));
    for (int i = 0; i < S; i++)
        for (int t = 0; t < T; t++) {
            double sum = 5 + 0.3 * sin(3.1 * i + t);
            for (int k = 0; k < H * W; k++)
                for (int c = 0; c < C; c++)
                    sum += exp(-0.3 * (k - 3 - t) * (k - 3 - t)) * (c - t) *
                           maps[i * SIZE + k * C + c];
            responses[i * T + t] = sum;
        }
    return make_data(state);
}

static vt_readout_options factorized(void)
{
    vt_readout_options o = vt_readout_options_default(VT_READOUT_FACTORIZED);
    o.factorized.folds = 4;
    o.factorized.seed = 3;
    return o;
}

static void test_is_the_kinds_own(void **state)
{
    (void)state;
    double a[S * T], b[S * T];
    vt_readout *r;
    vt_ridge *ridge;
    vt_factorized *own;
    vt_readout_options o = factorized();
    assert_ok(vt_readout_fit(&r, &shaped, responses, T, NULL));
    assert_int_equal(vt_readout_kind_of(r), VT_READOUT_RIDGE);
    assert_int_equal(vt_readout_targets(r), T);
    assert_null(vt_readout_factorized(r));
    assert_ok(vt_ridge_fit_float(&ridge, maps, responses, S, SIZE, T, NULL));
    assert_ok(vt_readout_predict(r, a, &shaped));
    assert_ok(vt_ridge_predict_float(ridge, b, maps, S));
    assert_memory_equal(a, b, sizeof a);
    vt_readout_free(r);
    vt_ridge_free(ridge);
    assert_ok(vt_readout_fit(&r, &shaped, responses, T, &o));
    assert_int_equal(vt_readout_kind_of(r), VT_READOUT_FACTORIZED);
    assert_null(vt_readout_ridge(r));
    assert_ok(vt_factorized_fit(&own, maps, responses, S, H, W, C, T, &o.factorized));
    assert_ok(vt_readout_predict(r, a, &shaped));
    assert_ok(vt_factorized_predict(own, b, maps, S));
    assert_memory_equal(a, b, sizeof a);
    assert_close(vt_factorized_l2(vt_readout_factorized(r)), vt_factorized_l2(own), 0);
    vt_readout_free(r);
    vt_factorized_free(own);
}

/* Each fold predicted by a fit to the others, one call a fold. */
static void test_factorized_folds(void **state)
{
    (void)state;
    double out[S * T], one[S * T];
    int64_t *order, train[S], first, last;
    vt_readout_options o = factorized();
    assert_ok(vt_readout_cross_validate(out, &shaped, responses, T, &o));
    assert_ok(vt_folds_deal(&order, S, 3));
    for (int f = 0; f < 4; f++) {
        static float x_train[S * SIZE];
        double y_train[S * T];
        vt_factorized *r;
        vt_folds_get(train, &first, &last, order, S, 4, f);
        for (int i = 0; i < S - (int)(last - first); i++) {
            memcpy(x_train + i * SIZE, maps + train[i] * SIZE, SIZE * sizeof *maps);
            memcpy(y_train + i * T, responses + train[i] * T, T * sizeof *responses);
        }
        assert_ok(
            vt_factorized_fit(&r, x_train, y_train, S - (last - first), H, W, C, T, &o.factorized));
        assert_ok(vt_factorized_predict(r, one, maps, S));
        for (int64_t i = first; i < last; i++)
            for (int t = 0; t < T; t++)
                assert_close(out[order[i] * T + t], one[order[i] * T + t], 1e-6);
        vt_factorized_free(r);
    }
    free(order);
}

/* What a fold predicts does not depend on its own responses: neither weights nor penalties do. */
static void check_is_nested(const vt_readout_options *o)
{
    double before[S * T], after[S * T], changed[S * T];
    int64_t *order, train[S], first, last;
    assert_ok(vt_readout_cross_validate(before, &shaped, responses, T, o));
    assert_ok(vt_folds_deal(&order, S, 3));
    vt_folds_get(train, &first, &last, order, S, 4, 2);
    memcpy(changed, responses, sizeof changed);
    for (int64_t i = first; i < last; i++)
        for (int t = 0; t < T; t++)
            changed[order[i] * T + t] += 1000 * sin((double)(7 * i + t));
    assert_ok(vt_readout_cross_validate(after, &shaped, changed, T, o));
    double largest = 0;
    for (int64_t i = 0; i < S; i++)
        for (int t = 0; t < T; t++) {
            double d = fabs(after[order[i] * T + t] - before[order[i] * T + t]);
            if (i >= first && i < last)
                assert_close(d, 0, 1e-9);
            else
                largest = fmax(largest, d);
        }
    assert_true(largest > 10); /* others' predictions do */
    free(order);
}

static void test_is_nested(void **state)
{
    (void)state;
    vt_readout_options ridge = bisection(false), f = factorized();
    check_is_nested(&ridge);
    ridge.ridge.bisections = 0;
    check_is_nested(&ridge);
    check_is_nested(&f);
}

typedef struct watch {
    int64_t calls, last, total, stop_after;
} watch;

static bool watch_report(void *context, int64_t done, int64_t total, const char *line)
{
    watch *w = context;
    (void)line;
    assert_true(done > w->last && done <= total);
    w->last = done;
    w->total = total;
    return ++w->calls != w->stop_after;
}

static void test_progress(void **state)
{
    (void)state;
    double out[S * T];
    watch seen = {0, 0, 0, 0};
    vt_progress progress = {watch_report, &seen};
    vt_readout_options o = factorized();
    o.factorized.progress = &progress;
    assert_ok(vt_readout_cross_validate(out, &shaped, responses, T, &o));
    assert_int_equal(seen.last, seen.total);
    seen = (watch){0, 0, 0, seen.calls - 2};
    out[0] = 17;
    assert_status(VT_EINTERRUPTED, vt_readout_cross_validate(out, &shaped, responses, T, &o));
    assert_close(out[0], 17, 0);
}

/* ---- storing ---- */

static void test_stored_beside_others(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    double a[S * T], b[S * T];
    vt_tensor_map *map;
    vt_tensor_map_new(&map);
    vt_readout_options o = factorized();
    vt_readout *r[2], *back;
    assert_ok(vt_readout_fit(&r[0], &shaped, responses, T, NULL));
    assert_ok(vt_readout_fit(&r[1], &shaped, responses, T, &o));
    assert_ok(vt_tensor_map_add(map, "layer0.kernel", VT_F32, 1, (int64_t[]){3}, NULL));
    assert_ok(vt_readout_to_map(r[0], map, "readout.190923"));
    assert_ok(vt_readout_to_map(r[1], map, "readout.201025"));
    assert_status(VT_EINVAL, vt_readout_to_map(r[1], map, "readout.201025"));
    new_folder(folder);
    snprintf(path, sizeof path, "%s/readouts.safetensors", folder);
    assert_ok(vt_safetensors_write(map, path));
    vt_tensor_map_free(map);
    assert_ok(vt_safetensors_read(&map, path));
    for (int k = 0; k < 2; k++) {
        assert_ok(vt_readout_from_map(&back, map, k ? "readout.201025" : "readout.190923", path));
        assert_int_equal(vt_readout_kind_of(back), vt_readout_kind_of(r[k]));
        assert_int_equal(vt_readout_targets(back), T);
        assert_ok(vt_readout_predict(r[k], a, &shaped));
        assert_ok(vt_readout_predict(back, b, &shaped));
        assert_memory_equal(a, b, sizeof a);
        vt_readout_free(back);
        vt_readout_free(r[k]);
    }
    assert_status(VT_ENOTFOUND, vt_readout_from_map(&back, map, "readout", path));
    assert_message(path);
    vt_tensor_map_free(map);
    remove_folder(folder);
}

static vt_tensor_map *stored(vt_readout_kind kind)
{
    vt_tensor_map *map;
    vt_readout *r;
    vt_readout_options o = factorized();
    o.kind = kind;
    assert_ok(vt_readout_fit(&r, &shaped, responses, T, &o));
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(vt_readout_to_map(r, map, "r"));
    vt_readout_free(r);
    return map;
}

/* A copy of the map in which `name` has other sizes (ndim >= 0), or is left out (< 0). */
static vt_tensor_map *with(const vt_tensor_map *map, const char *name, vt_dtype dtype, int ndim,
                           const int64_t *size)
{
    vt_tensor_map *copy;
    assert_ok(vt_tensor_map_new(&copy));
    assert_ok(vt_tensor_map_set_text(copy, "r.kind", vt_tensor_map_get_text(map, "r.kind")));
    for (int i = 0; i < vt_tensor_map_count(map); i++) {
        const vt_tensor *t = vt_tensor_map_at(map, i);
        if (strcmp(t->name, name) != 0)
            assert_ok(vt_tensor_map_add_copy(copy, t->name, t));
        else if (ndim >= 0)
            assert_ok(vt_tensor_map_add(copy, name, dtype, ndim, size, NULL));
    }
    return copy;
}

static void refuse(vt_tensor_map *map, const char *says)
{
    vt_readout *r = NULL;
    assert_status(VT_EFORMAT, vt_readout_from_map(&r, map, "r", "file"));
    assert_message("file");
    assert_message(says);
    assert_null(r);
    vt_tensor_map_free(map);
}

static void test_hostile_maps(void **state)
{
    (void)state;
    static const char *const parts[2][5] = {
        {"r.maps", "r.weights", "r.feature_means", "r.response_means", "r.alphas"},
        {"r.maps", "r.pool", "r.mixing", "r.intercept", "r.penalties"}};
    for (int k = 0; k < 2; k++) {
        vt_tensor_map *map = stored(k ? VT_READOUT_FACTORIZED : VT_READOUT_RIDGE);
        for (int i = 0; i < 5; i++) {
            const char *name = parts[k][i];
            const vt_tensor *t = vt_tensor_map_find(map, name);
            assert_non_null(t);
            int64_t size[VT_MAX_DIMS];
            memcpy(size, t->size, sizeof size);
            refuse(with(map, name, VT_F64, -1, size), name);
            refuse(with(map, name, VT_F32, t->ndim, size), name);
            refuse(with(map, name, VT_F64, t->ndim - 1, size), name);
            size[0] += 1;
            refuse(with(map, name, VT_F64, t->ndim, size), "sizes");
            size[0] = 0;
            refuse(with(map, name, VT_F64, t->ndim, size), name);
            double *values = t->data, kept = values[0];
            values[0] = NAN;
            refuse(with(map, "", VT_F64, -1, NULL), "NaN");
            values[0] = kept;
        }
        double *sizes = vt_tensor_map_find(map, "r.maps")->data;
        static const double wrong[] = {0, -1, 2.5, 1e300, 5};
        for (int i = 0; i < 5; i++) {
            sizes[0] = wrong[i];
            refuse(with(map, "", VT_F64, -1, NULL), "maps");
        }
        assert_ok(vt_tensor_map_set_text(map, "r.kind", "spline"));
        refuse(map, "spline");
    }
}

static void test_refusals(void **state)
{
    (void)state;
    double out[S * T];
    vt_readout *r = NULL;
    vt_readout_options o = factorized();
    vt_readout_features bad = shaped;
    assert_ok(vt_readout_fit(&r, &shaped, responses, T, NULL));
    bad.width = 4;
    assert_status(VT_ESHAPE, vt_readout_predict(r, out, &bad));
    assert_message("4 x 3 x 3");
    vt_readout_free(r);
    r = NULL;
    bad.width = INT64_MAX;
    assert_status(VT_EINVAL, vt_readout_fit(&r, &bad, responses, T, NULL));
    assert_status(VT_EINVAL, vt_readout_cross_validate(out, &bad, responses, T, &o));
    bad.width = 0;
    assert_status(VT_EINVAL, vt_readout_cross_validate(out, &bad, responses, T, NULL));
    assert_status(VT_EINVAL, vt_readout_cross_validate(out, &shaped, responses, 0, &o));
    o.factorized.folds = S + 1;
    assert_status(VT_EINVAL, vt_readout_cross_validate(out, &shaped, responses, T, &o));
    assert_message("folds");
    static const double ends[][2] = {{1, 1}, {-1, 1}, {0, INFINITY}, {NAN, 1}, {0, NAN}};
    for (int i = 0; i < 5; i++) {
        o = bisection(false);
        o.ridge.alpha_low = ends[i][0];
        o.ridge.alpha_high = ends[i][1];
        assert_status(VT_EINVAL, vt_readout_fit(&r, &flat, y, T, &o));
        assert_message("bisections");
    }
    o = bisection(false);
    o.ridge.bisections = -1;
    assert_status(VT_EINVAL, vt_readout_fit(&r, &flat, y, T, &o));
    double kept = y[4];
    y[4] = NAN;
    o = factorized();
    assert_status(VT_ENUMERIC, vt_readout_cross_validate(out, &flat, y, T, &o));
    assert_message("image 1, neuron 1");
    y[4] = kept;
    assert_null(r);
    vt_readout_free(NULL);
}

static void test_memory_failures(void **state)
{
    (void)state;
    double out[S * T];
    vt_readout_options all[] = {bisection(true), factorized()};
    all[1].factorized.iterations = 1;
    all[1].factorized.l2 = 0.1;
    all[1].factorized.smoothness = 1;
    for (int k = 0; k < 2; k++) {
        vt_status status = VT_ENOMEM;
        int64_t allowed = 0;
        for (; status != VT_OK; allowed++) {
            vt_alloc_fail_after(allowed);
            out[0] = 17;
            status = vt_readout_cross_validate(out, &shaped, responses, T, &all[k]);
            assert_true(status == VT_OK || (status == VT_ENOMEM && out[0] == 17));
        }
        assert_true(allowed > 30);
        vt_tensor_map *map = NULL;
        vt_readout *r = NULL, *back = NULL;
        for (allowed = 0, status = VT_ENOMEM; status != VT_OK; allowed++) {
            vt_alloc_fail_after(allowed);
            status = vt_readout_fit(&r, &shaped, responses, T, &all[k]);
            assert_true(status == VT_OK || (status == VT_ENOMEM && !r));
        }
        for (allowed = 0, status = VT_ENOMEM; status != VT_OK; allowed++) {
            vt_tensor_map_free(map);
            vt_alloc_fail_after(-1);
            assert_ok(vt_tensor_map_new(&map));
            vt_alloc_fail_after(allowed);
            status = vt_readout_to_map(r, map, "r");
            assert_true(status == VT_OK || !vt_tensor_map_get_text(map, "r.kind"));
        }
        for (allowed = 0, status = VT_ENOMEM; status != VT_OK; allowed++) {
            vt_alloc_fail_after(allowed);
            status = vt_readout_from_map(&back, map, "r", "file");
            assert_true(status == VT_OK || (status == VT_ENOMEM && !back));
        }
        vt_alloc_fail_after(-1);
        vt_tensor_map_free(map);
        vt_readout_free(r);
        vt_readout_free(back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bisection),
        cmocka_unit_test(test_nested_bisection),
        cmocka_unit_test(test_is_the_kinds_own),
        cmocka_unit_test(test_factorized_folds),
        cmocka_unit_test(test_is_nested),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_stored_beside_others),
        cmocka_unit_test(test_hostile_maps),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory_failures),
    };
    return cmocka_run_group_tests(tests, make_maps, NULL);
}
