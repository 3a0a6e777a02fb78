/* Layers: the table of op_cases.h run as values, gradients, backends against the reference and,
 * with `test_ops --speed`, for time. What the table cannot say is in test_op_details.c. */
#include "test.h"

#include "op_naive.h"
#include "op_naive_v1.h"

#include "ventral/progress.h"

#include <time.h>

/* Backends tested in float against the reference in double. */
static const vt_backend *const backends[] = {&vt_backend_reference, &vt_backend_onednn, NULL};

static bool is_view(const op_case *c)
{
    return c->op->flags & VT_OP_VIEW;
}

/* ---- values ---- */

static bool naive(const op_run *r, vt_tensor *y, double *moving)
{
    const vt_op *op = r->c.op;
    if (op == &vt_op_dropout && r->c.training) return false;
    if (op == &vt_op_conv2d)
        *y = naive_conv2d(r);
    else if (op == &vt_op_linear)
        *y = naive_linear(r);
    else if (op == &vt_op_batch_norm)
        *y = naive_batch_norm(r, moving);
    else if (op == &vt_op_max_pool || op == &vt_op_average_pool)
        *y = naive_pool(r);
    else if (op == &vt_op_local_receptive_field)
        *y = naive_local_receptive_field(r);
    else if (op == &vt_op_cortical_magnification)
        *y = naive_cortical_magnification(r);
    else if (op == &vt_op_center_surround)
        *y = naive_center_surround(r);
    else if (op == &vt_op_divisive_normalization || op == &vt_op_tuned_normalization)
        *y = naive_normalization(r);
    else if (r->shape.out.batchless)
        *y = naive_loss(r);
    else
        *y = naive_elementwise(r);
    return true;
}

static void check_values(const op_case *c, vt_dtype dtype, double tolerance)
{
    op_run r;
    vt_tensor y;
    double moving[128];
    assert_true(op_open(&r, &vt_backend_reference, c, &(op_mode){.dtype = dtype}));
    if (naive(&r, &y, moving)) {
        op_forward(&r);
        assert_int_equal(r.args.out.ndim, y.ndim);
        assert_memory_equal(r.args.out.size, y.size, (size_t)y.ndim * sizeof *y.size);
        op_assert_near(c->text, &r.args.out, &y, tolerance);
        vt_tensor_free(&y);
    }
    if (c->op == &vt_op_batch_norm) {
        int64_t channels = r.shape.param[2].size[0];
        for (int64_t i = 0; i < 2 * channels; i++)
            assert_close(vt_tensor_get(&r.args.param[i < channels ? 2 : 3], i % channels),
                         moving[i], tolerance * 10);
    }
    op_close(&r);
}

static void test_values(void **state)
{
    (void)state;
    for (int i = 0; i < OP_CASE_COUNT; i++) {
        op_case c = op_parse(op_cases[i]);
        check_values(&c, VT_F64, 1e-12);
        check_values(&c, VT_F32, 1e-5);
    }
}

/* ---- gradients ---- */

/* sum of grad_out * out, the function whose gradients backward computes. */
static double objective(op_run *r)
{
    double sum = 0;
    op_forward(r);
    for (int64_t i = 0; i < vt_tensor_count(&r->args.out); i++)
        sum += vt_tensor_get(&r->args.out, i) * vt_tensor_get(&r->args.grad_out, i);
    return sum;
}

enum { STEP_BITS = 17 }; /* 2^-17, about 1e-5: exact sums with numbers that float can hold */

/* Central difference of the objective while all elements of `x` move along `direction`. */
static double difference(op_run *r, const vt_tensor *x, const double *direction)
{
    double *value = x->data, step = ldexp(1, -STEP_BITS), ends[2];
    int64_t n = vt_tensor_count(x);
    double *before = malloc((size_t)n * sizeof *before);
    memcpy(before, value, (size_t)n * sizeof *before);
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < n; i++)
            value[i] = before[i] + (side ? -step : step) * direction[i];
        ends[side] = objective(r);
    }
    memcpy(value, before, (size_t)n * sizeof *before);
    free(before);
    return (ends[0] - ends[1]) / (2 * step);
}

static void check_gradient(op_run *r, const vt_tensor *x, const vt_tensor *gradient, double offset,
                           const char *what)
{
    int64_t n = vt_tensor_count(x), work = vt_tensor_count(&r->args.out) * n;
    int64_t samples = work > 3000000 ? 2 : work > 100000 ? 6 : 24;
    double *direction = calloc((size_t)n, sizeof *direction), largest = 0, slope = 0, norm = 0;
    vt_rng rng;
    vt_rng_init(&rng, 3, VT_RNG_INIT, 0, 0);
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(vt_tensor_get(gradient, i) - offset));
    for (int64_t k = 0; k < samples && k < n; k++) {
        int64_t i = n <= samples ? k : vt_rng_below(&rng, (uint32_t)n);
        direction[i] = 1;
        double expected = difference(r, x, direction);
        direction[i] = 0;
        double actual = vt_tensor_get(gradient, i) - offset;
        if (!(fabs(actual - expected) <= 1e-6 * fmax(largest, 1e-2)))
            fail_msg("%s: gradient of %s at %lld is %.10g, differences give %.10g", r->c.text, what,
                     (long long)i, actual, expected);
    }
    for (int64_t i = 0; i < n; i++) {
        direction[i] = op_uniform(&rng, -1, 1);
        slope += direction[i] * (vt_tensor_get(gradient, i) - offset);
        norm += fabs(vt_tensor_get(gradient, i) - offset);
    }
    double expected = difference(r, x, direction);
    if (!(fabs(slope - expected) <= 1e-6 * fmax(norm / 4, 1e-2)))
        fail_msg("%s: slope of %s is %.10g, differences give %.10g", r->c.text, what, slope,
                 expected);
    free(direction);
}

/* Gradients start at `offset`, which must stay in the sum. */
static void check_gradients(const op_case *c)
{
    const double offset = 0.5;
    static const char *const inputs[] = {"input 0", "input 1"};
    op_run r;
    assert_true(op_open(&r, &vt_backend_reference, c, &(op_mode){VT_F64, .backward = true}));
    vt_op_args *a = &r.args;
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++)
        op_set_all(&a->grad_in[i], offset);
    for (int p = 0; p < VT_OP_MAX_PARAMS; p++)
        op_set_all(&a->grad_param[p], offset);
    op_forward(&r);
    op_backward(&r);
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++) {
        if (!a->grad_in[i].data) continue;
        if (c->nan && i == 1) { /* a missing target has no gradient, and no difference either */
            for (int64_t k = 0; k < vt_tensor_count(&a->in[1]); k++)
                if (isnan(vt_tensor_get(&a->in[1], k)))
                    assert_true(vt_tensor_get(&a->grad_in[1], k) == offset);
        } else {
            check_gradient(&r, &a->in[i], &a->grad_in[i], offset, inputs[i]);
        }
    }
    for (int p = 0; p < r.shape.params; p++)
        if (a->grad_param[p].data)
            check_gradient(&r, &a->param[p], &a->grad_param[p], offset, r.shape.param[p].role);
    op_close(&r);
}

static void test_gradients(void **state)
{
    (void)state;
    for (int i = 0; i < OP_CASE_COUNT; i++) {
        op_case c = op_parse(op_cases[i]);
        if (!is_view(&c)) check_gradients(&c);
    }
}

/* ---- the same, asked in other ways ---- */

static void run(op_run *r)
{
    op_forward(r);
    if (r->backward) op_backward(r);
}

/* Every result of `b` has the same bits in `a`, where both have it. */
static void assert_same_bits(const op_run *a, const op_run *b, const char *what)
{
    const vt_tensor *t[2][2 + VT_OP_MAX_INPUTS + 2 * VT_OP_MAX_PARAMS] = {{&a->args.out},
                                                                          {&b->args.out}};
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++) {
        t[0][1 + i] = &a->args.grad_in[i];
        t[1][1 + i] = &b->args.grad_in[i];
    }
    for (int p = 0; p < VT_OP_MAX_PARAMS; p++) {
        int at = 1 + VT_OP_MAX_INPUTS + 2 * p;
        t[0][at] = &a->args.param[p];
        t[1][at] = &b->args.param[p];
        t[0][at + 1] = &a->args.grad_param[p];
        t[1][at + 1] = &b->args.grad_param[p];
    }
    for (int i = 0; i < 1 + VT_OP_MAX_INPUTS + 2 * VT_OP_MAX_PARAMS; i++)
        if (t[0][i]->data && t[1][i]->data &&
            memcmp(t[0][i]->data, t[1][i]->data, vt_tensor_bytes(t[1][i])))
            fail_msg("%s: result %d differs %s", a->c.text, i, what);
}

/* Runs the case as `mode` says and expects the bits of `expected`. */
static void expect_same(const op_run *expected, const op_mode *mode, const char *what)
{
    op_run r;
    assert_true(op_open(&r, &vt_backend_reference, &expected->c, mode));
    run(&r);
    assert_same_bits(&r, expected, what);
    op_close(&r);
}

static void test_thread_counts(void **state)
{
    (void)state;
    for (int i = 0; i < OP_CASE_COUNT; i++) {
        op_case c = op_parse(op_cases[i]);
        if (is_view(&c)) continue;
        op_mode mode = {.backward = true};
        op_run one;
        vt_threads_set(1);
        assert_true(op_open(&one, &vt_backend_reference, &c, &mode));
        run(&one);
        for (int threads = 2; threads <= 3; threads++) {
            vt_threads_set(threads);
            expect_same(&one, &mode, "with more threads");
        }
        vt_threads_set(0);
        op_close(&one);
    }
}

static void test_parts(void **state)
{
    (void)state;
    for (int i = 0; i < OP_CASE_COUNT; i++) {
        op_case c = op_parse(op_cases[i]);
        if (is_view(&c)) continue;
        op_run all;
        assert_true(op_open(&all, &vt_backend_reference, &c, &(op_mode){.backward = true}));
        run(&all);
        expect_same(&all, &(op_mode){.backward = true, .no_input_gradient = true},
                    "without the input's gradient");
        expect_same(&all, &(op_mode){.backward = true, .no_param_gradient = true},
                    "without the parameters' gradients");
        if (c.op->flags & VT_OP_IN_PLACE) {
            op_run in_place;
            assert_true(op_open(&in_place, &vt_backend_reference, &c,
                                &(op_mode){.backward = true, .in_place = true}));
            run(&in_place);
            assert_same_bits(&in_place, &all, "in place");
            op_close(&in_place);
        }
        op_close(&all);
    }
}

/* The relu of a request is the layer's output and then max(., 0). */
static void test_fused_relu(void **state)
{
    (void)state;
    for (int i = 0; i < OP_CASE_COUNT; i++) {
        op_case c = op_parse(op_cases[i]);
        if (c.op != &vt_op_conv2d && c.op != &vt_op_linear) continue;
        op_run plain, fused;
        assert_true(op_open(&plain, &vt_backend_reference, &c, &(op_mode){0}));
        assert_true(op_open(&fused, &vt_backend_reference, &c, &(op_mode){.relu = true}));
        op_forward(&plain);
        op_forward(&fused);
        for (int64_t k = 0; k < vt_tensor_count(&plain.args.out); k++)
            assert_true(vt_tensor_get(&fused.args.out, k) ==
                        fmax(vt_tensor_get(&plain.args.out, k), 0));
        op_close(&plain);
        op_close(&fused);
    }
}

/* ---- backends against the reference in double ---- */

static void check_backend(const vt_backend *backend, const op_case *c, op_mode mode, int *declined)
{
    op_run actual, expected;
    if (!op_open(&actual, backend, c, &mode)) {
        ++*declined;
        return;
    }
    mode.dtype = VT_F64;
    mode.overwrite = mode.gradient_in_place = false;
    assert_true(op_open(&expected, &vt_backend_reference, c, &mode));
    run(&actual);
    run(&expected);
    char what[256];
    for (int i = 0; op_result(&expected, i); i++) {
        snprintf(what, sizeof what, "%s on %s, result %d", c->text, backend->name, i);
        op_assert_near(what, op_result(&actual, i), op_result(&expected, i), 1e-5);
    }
    op_close(&actual);
    op_close(&expected);
}

static void test_backends(void **state)
{
    (void)state;
    for (int b = 0; backends[b]; b++) {
        int declined = 0, all = 0;
        for (int i = 0; i < OP_CASE_COUNT; i++) {
            op_case c = op_parse(op_cases[i]);
            if (is_view(&c)) continue;
            bool can_fuse = !c.training && (c.op == &vt_op_conv2d || c.op == &vt_op_linear);
            bool norm = c.op == &vt_op_batch_norm;
            const op_mode modes[] = {
                {.backward = false},
                {.constant_params = true},
                {.backward = true},
                {.backward = true, .no_input_gradient = true},
                {.backward = true, .no_param_gradient = true},
                {.backward = true, .overwrite = true},
                {.backward = true, .gradient_in_place = true},
                {.relu = true, .backward = norm},
                {.relu = true, .constant_params = true},
                {.relu = true, .backward = true, .overwrite = true},
                {.relu = true, .backward = true, .gradient_in_place = true},
            };
            for (int m = 0; m < (norm ? 11 : can_fuse ? 9 : 7); m++, all++)
                check_backend(backends[b], &c, modes[m], &declined);
        }
        print_message("%s: %d of %d cases declined\n", backends[b]->name, declined, all);
        assert_true(declined < all);
    }
}

/* ---- speed ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best time of one call over at least three and a fifth of a second. */
static double best_time(op_run *r, void (*call)(op_run *))
{
    double best = INFINITY, spent = 0;
    for (int i = 0; i < 3 || spent < 0.2; i++) {
        double start = seconds();
        call(r);
        double took = seconds() - start;
        best = fmin(best, took);
        spent += took;
    }
    return best;
}

static void print_speed(const vt_backend *backend, const char *text)
{
    op_case c = op_parse(text);
    op_run r;
    if (!op_open(&r, backend, &c, &(op_mode){.backward = true})) return;
    double forward = best_time(&r, op_forward), backward = best_time(&r, op_backward);
    double work = c.op->flops ? (double)c.op->flops(&r.shape) * (double)c.batch * 1e-9 : 0;
    printf("%-40s %-10s forward %8.2f ms %7.2f GFLOP/s   backward %8.2f ms\n", text, backend->name,
           1e3 * forward, work / forward, 1e3 * backward);
    op_close(&r);
}

static int print_speeds(void)
{
    printf("%d threads\n", vt_threads());
    for (int i = 0; i < OP_SPEED_CASE_COUNT; i++)
        for (int b = 0; backends[b]; b++)
            print_speed(backends[b], op_speed_cases[i]);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--speed")) return print_speeds();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_thread_counts), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_fused_relu),    cmocka_unit_test(test_backends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
