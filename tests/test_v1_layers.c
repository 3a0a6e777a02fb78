/* The layers of V1 against the authors' code (reference values of the released formulation, their
 * gradients too), what the described formulation promises, initial values, hostile graphs. */
#include "test.h"

#include "base/arena.h"
#include "op_driver.h"
#include "ventral/io.h"

/* ---- reference values of the authors' code ---- */

static const vt_tensor *member(const vt_tensor_map *map, const char *prefix, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const vt_tensor *t = vt_tensor_map_find(map, full);
    if (!t) fail_msg("no array %s", full);
    return t;
}

/* Their activations are NCHW, ours NHWC. */
static int64_t theirs(const vt_tensor *ours, int64_t i)
{
    int64_t c = i % ours->size[3], w = i / ours->size[3] % ours->size[2];
    int64_t h = i / ours->size[3] / ours->size[2] % ours->size[1];
    int64_t n = i / ours->size[3] / ours->size[2] / ours->size[1];
    return ((n * ours->size[3] + c) * ours->size[1] + h) * ours->size[2] + w;
}

static void take_image(const vt_tensor *ours, const vt_tensor *reference)
{
    assert_int_equal(vt_tensor_count(ours), vt_tensor_count(reference));
    for (int64_t i = 0; i < vt_tensor_count(ours); i++)
        op_set(ours, i, vt_tensor_get(reference, theirs(ours, i)));
}

/* Equal to 1e-5 of the largest element. `image`: the order of dimensions differs. */
static void expect_equal(const char *what, const vt_tensor *ours, const vt_tensor *reference,
                         bool image)
{
    assert_int_equal(vt_tensor_count(ours), vt_tensor_count(reference));
    double largest = op_largest(reference), worst = 0;
    for (int64_t i = 0; i < vt_tensor_count(ours); i++) {
        double expected = vt_tensor_get(reference, image ? theirs(ours, i) : i);
        double off = fabs(vt_tensor_get(ours, i) - expected);
        if (!(off <= 1e-5 * largest))
            fail_msg("%s: element %lld is %.9g, the authors' %.9g", what, (long long)i,
                     vt_tensor_get(ours, i), expected);
        worst = fmax(worst, off);
    }
    assert_true(largest > 0);
    print_message("%s: within %.1e of the largest\n", what, worst / largest);
}

static void check_reference(const vt_tensor_map *map, const char *text, const char *prefix,
                            const vt_backend *backend, vt_dtype dtype)
{
    op_run r;
    op_case c = op_parse(text);
    char what[256], name[128];
    assert_true(op_open(&r, backend, &c, &(op_mode){.dtype = dtype, .backward = true}));
    take_image(&r.args.in[0], member(map, "x", ""));
    take_image(&r.args.grad_out, member(map, "gy", ""));
    for (int p = 0; p < r.shape.params; p++) {
        snprintf(name, sizeof name, "param.%s", prefix);
        const vt_tensor *value = member(map, name, r.shape.param[p].role);
        assert_int_equal(vt_tensor_count(&r.args.param[p]), vt_tensor_count(value));
        for (int64_t i = 0; i < vt_tensor_count(value); i++)
            op_set(&r.args.param[p], i, vt_tensor_get(value, i));
    }
    op_forward(&r);
    op_backward(&r);
    snprintf(what, sizeof what, "%s, %s, %s", text, backend->name, vt_dtype_name(dtype));
    expect_equal(what, &r.args.out, member(map, "y", ""), true);
    expect_equal(what, &r.args.grad_in[0], member(map, "gx", ""), true);
    for (int p = 0; p < r.shape.params; p++) {
        if (r.shape.param[p].is_buffer) continue;
        snprintf(name, sizeof name, "grad.%s", prefix);
        snprintf(what, sizeof what, "%s, %s, %s, %s", text, backend->name, vt_dtype_name(dtype),
                 r.shape.param[p].role);
        expect_equal(what, &r.args.grad_param[p], member(map, name, r.shape.param[p].role), false);
    }
    op_close(&r);
}

static void check_references(const char *path, const char *text, const char *prefix)
{
    vt_tensor_map *map;
    assert_ok(vt_npz_read(&map, path));
    check_reference(map, text, prefix, &vt_backend_reference, VT_F64);
    check_reference(map, text, prefix, &vt_backend_reference, VT_F32);
    check_reference(map, text, prefix, &vt_backend_onednn, VT_F32);
    vt_tensor_map_free(map);
}

static void test_center_surround_reference(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_layers/center_surround.npz");
    check_references(path, "center_surround n2h12w12c10o4k2 released", "dog_conv.");
}

static void test_divisive_reference(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_layers/divisive_norm.npz");
    check_references(path, "divisive_normalization n2h9w9c6k3 released", "");
}

static void test_tuned_reference(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_layers/tuned_norm.npz");
    check_references(path, "tuned_normalization n2h7w7c16 released", "");
}

/* ---- what tells the formulations apart ---- */

/* The layer's response to one bright pixel of channel `channel` in the middle of the image. */
static void open_impulse(op_run *r, const char *text, int64_t channel)
{
    op_case c = op_parse(text);
    assert_true(op_open(r, &vt_backend_reference, &c, &(op_mode){.dtype = VT_F64}));
    const int64_t *size = r->args.in[0].size;
    op_set_all(&r->args.in[0], 0);
    op_set(&r->args.in[0], ((size[1] / 2) * size[2] + size[2] / 2) * size[3] + channel, 1);
}

/* Described kernels change sign between center and surround and have length |total_scale|; the
 * released ones have one sign. */
static void check_signs(const char *text, bool changes)
{
    op_run r;
    open_impulse(&r, text, 1);
    op_set_all(&r.args.param[3], 0);
    op_forward(&r);
    const vt_tensor *y = &r.args.out;
    for (int64_t o = 0; o < 3; o++) {
        double lowest = INFINITY, highest = -INFINITY, squares = 0;
        for (int64_t i = 0; i < 13 * 13; i++) {
            double value = vt_tensor_get(y, i * 4 + o);
            int64_t u = i / 13 - 6, v = i % 13 - 6;
            if (llabs(u) > 4 || llabs(v) > 4) { /* outside of the kernel */
                assert_true(value == 0);
                continue;
            }
            lowest = fmin(lowest, value);
            highest = fmax(highest, value);
            squares += value * value;
        }
        assert_int_equal(changes, lowest < 0 && highest > 0);
        if (changes) assert_close(sqrt(squares), vt_tensor_get(&r.args.param[2], o * 3 + 1), 1e-12);
    }
    op_close(&r);
}

static void test_signs_of_kernels(void **state)
{
    (void)state;
    check_signs("center_surround n1h13w13c4o3k4", true);
    check_signs("center_surround n1h13w13c4o3k4 released", false);
}

/* With every response 1, 1 / y - 1 is the sum of a pool's weights; with one response e alone,
 * 1 / y - 1 of its own channel is e times its weight on itself. */
static void test_tuned_pools(void **state)
{
    (void)state;
    for (int released = 0; released < 2; released++) {
        op_run r;
        op_case c = op_parse(released ? "tuned_normalization n1h1w1c24 released"
                                      : "tuned_normalization n1h1w1c24");
        assert_true(op_open(&r, &vt_backend_reference, &c, &(op_mode){.dtype = VT_F64}));
        op_set_all(&r.args.in[0], 1);
        op_forward(&r);
        bool all_one = true;
        for (int64_t i = 0; i < 24; i++)
            all_one = all_one && fabs(1 / vt_tensor_get(&r.args.out, i) - 2) < 1e-12;
        assert_int_equal(all_one, !released);
        op_set_all(&r.args.param[0], 3);
        op_set_all(&r.args.in[0], 0);
        op_set(&r.args.in[0], 7, 1);
        op_forward(&r);
        double self = 1 / vt_tensor_get(&r.args.out, 7) - 1, total = 0;
        for (int d = -12; d < 12; d++)
            total += exp(-d * d / 18.0);
        assert_close(self, (released ? exp(-8) : 1) / total, 1e-12);
        op_close(&r);
    }
}

/* The mean initial v and w are the middle of a described window however it is turned, and the top
 * left of a released 3x3 one that is not. */
static void test_divisive_middle(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double theta;
        int64_t offset; /* of the peak from the middle, in rows and columns */
    } cases[] = {{"divisive_normalization n1h9w9c1k3", 1, 0},
                 {"divisive_normalization n1h9w9c1k5", 2, 0},
                 {"divisive_normalization n1h9w9c1k7", 3, 0},
                 {"divisive_normalization n1h9w9c1k3 released", 0, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        op_run r;
        op_case c = op_parse(cases[i].text);
        assert_true(op_open(&r, &vt_backend_reference, &c, &(op_mode){.dtype = VT_F64}));
        for (int p = 0; p < 7; p++)
            op_set_all(&r.args.param[p], 1);
        op_set_all(&r.args.param[2], 0.75); /* sigma */
        for (int p = 4; p <= 5; p++)
            op_set_all(&r.args.param[p], r.shape.param[p].mean);
        op_set_all(&r.args.param[3], cases[i].theta);
        /* A pixel that is bright inhibits its surround, where x is small. */
        op_set_all(&r.args.in[0], 1e-9);
        op_set(&r.args.in[0], 4 * 9 + 4, 1);
        op_forward(&r);
        double lowest = INFINITY;
        int64_t at = -1;
        for (int64_t k = 0; k < 81; k++) {
            double ratio = vt_tensor_get(&r.args.out, k) / vt_tensor_get(&r.args.in[0], k);
            if (ratio < lowest) {
                lowest = ratio;
                at = k;
            }
        }
        assert_int_equal(at, (4 + cases[i].offset) * 9 + 4 + cases[i].offset);
        op_close(&r);
    }
}

/* ---- in a graph ---- */

typedef struct network {
    vt_graph *graph;
    vt_node x, y;
} network;

static vt_status network_new(network *n, vt_formulation formulation, int channels, vt_dtype dtype)
{
    assert_ok(vt_graph_new(&n->graph, dtype, VT_NAMES_TORCH));
    vt_graph *g = n->graph;
    n->x = vt_input(g, "x", 3, (int64_t[]){6, 6, 96});
    vt_node a =
        vt_center_surround(g, n->x, &(vt_center_surround_options){"cs", channels, 2, formulation});
    vt_node b = vt_divisive_normalization(
        g, vt_relu(g, a, "relu"), &(vt_divisive_normalization_options){"dn", 3, formulation});
    n->y = vt_tuned_normalization(g, b, &(vt_tuned_normalization_options){"tn", formulation});
    return vt_graph_finish(g, 4);
}

static void expect_moments(const network *n, const char *name, double mean, double variance)
{
    const vt_param *p = vt_graph_find_param(n->graph, name);
    if (!p) fail_msg("no parameter %s", name);
    double count = (double)vt_tensor_count(&p->value), sum = 0, squares = 0;
    for (int64_t i = 0; i < vt_tensor_count(&p->value); i++)
        sum += vt_tensor_get(&p->value, i);
    for (int64_t i = 0; i < vt_tensor_count(&p->value); i++)
        squares += pow(vt_tensor_get(&p->value, i) - sum / count, 2);
    assert_close(sum / count, mean, 5 * sqrt(variance / count) + 1e-12);
    if (count > 50)
        assert_close(squares / (count - 1), variance, 8 * variance * sqrt(2 / count) + 1e-12);
}

static void test_initial_values(void **state)
{
    (void)state;
    network n;
    const double uniform = 1.0 / 12, two_pi = 6.283185307179586;
    assert_ok(network_new(&n, VT_DESCRIBED, 48, VT_F32));
    expect_moments(&n, "cs.sigma1", 1.5, uniform);
    expect_moments(&n, "cs.sigma2_scale", 1.5, uniform);
    expect_moments(&n, "cs.total_scale", 0, 4);
    expect_moments(&n, "cs.bias", 0, 0);
    expect_moments(&n, "dn.A", 0.5, uniform);
    expect_moments(&n, "dn.rho", 1.5, uniform);
    expect_moments(&n, "dn.sigma", 1.5, uniform);
    expect_moments(&n, "dn.theta", two_pi / 2, uniform * two_pi * two_pi);
    expect_moments(&n, "dn.v", 1, 1);
    expect_moments(&n, "dn.w", 1, 1);
    expect_moments(&n, "dn.bias", 1.5, uniform);
    expect_moments(&n, "tn.sigmas", 12.5, uniform);
    assert_true(vt_graph_find_param(n.graph, "cs.bias")->is_buffer);
    assert_int_equal(vt_graph_param_count(n.graph), 12);
    vt_graph_free(n.graph);
}

typedef struct use {
    bool training, backward; /* without training, parameters are constant between touches */
} use;

static void plans_new(vt_plan *plan[2], const network *n, use u)
{
    for (int i = 0; i < 2; i++) {
        vt_plan_options o = {.batch = 3,
                             .training = u.training,
                             .backward = u.backward,
                             .outputs = &n->y,
                             .output_count = 1,
                             .gradients = &n->x,
                             .gradient_count = u.backward,
                             .backend = i ? VT_BACKEND_AUTO : VT_BACKEND_REFERENCE};
        assert_ok(vt_plan_new(&plan[i], n->graph, &o));
    }
    assert_string_equal(vt_plan_kernel_name(plan[1], n->y), "onednn");
    vt_rng rng;
    vt_rng_init(&rng, 3, VT_RNG_INIT, 0, 0);
    float *a = vt_plan_input(plan[0], n->x)->data, *b = vt_plan_input(plan[1], n->x)->data;
    for (int64_t i = 0; i < vt_tensor_count(vt_plan_input(plan[0], n->x)); i++)
        a[i] = b[i] = (float)vt_rng_normal(&rng);
}

static void change_params(const network *n)
{
    vt_tensor *sigmas = &vt_graph_find_param(n->graph, "tn.sigmas")->value;
    for (int64_t i = 0; i < vt_tensor_count(sigmas); i++)
        ((float *)sigmas->data)[i] *= 0.75f;
    vt_tensor *sigma1 = &vt_graph_find_param(n->graph, "cs.sigma1")->value;
    for (int64_t i = 0; i < vt_tensor_count(sigma1); i++)
        ((float *)sigma1->data)[i] += 0.5f;
    vt_tensor *bias = &vt_graph_find_param(n->graph, "dn.bias")->value;
    *(float *)bias->data *= -2;
    vt_graph_touch(n->graph);
}

static void check_plans(const network *n, use u)
{
    vt_plan *plan[2];
    plans_new(plan, n, u);
    for (int round = 0; round < 2; round++) {
        for (int k = 0; k < 2; k++)
            assert_ok(vt_plan_forward(plan[k]));
        op_assert_near("plan", vt_plan_output(plan[1], n->y), vt_plan_output(plan[0], n->y), 1e-5);
        for (int k = 0; k < 2 && u.backward; k++) {
            op_set_all(vt_plan_seed(plan[k], n->y), 1);
            assert_ok(vt_plan_backward(plan[k]));
        }
        if (u.backward)
            op_assert_near("gradient", vt_plan_gradient(plan[1], n->x),
                           vt_plan_gradient(plan[0], n->x), 1e-5);
        change_params(n);
    }
    for (int k = 0; k < 2; k++)
        vt_plan_free(plan[k]);
}

/* A plan on the accelerated backend gives what the reference gives, values and gradients, also when
 * constant parameters change and the plan is told. */
static void test_plans_agree(void **state)
{
    (void)state;
    static const use uses[] = {{false, false}, {false, true}, {true, true}};
    for (int formulation = 0; formulation < 2; formulation++)
        for (int i = 0; i < 3; i++) {
            network n;
            assert_ok(network_new(&n, (vt_formulation)formulation, 24, VT_F32));
            check_plans(&n, uses[i]);
            vt_graph_free(n.graph);
        }
}

static void test_mistakes(void **state)
{
    (void)state;
    network n;
    assert_status(VT_EINVAL, network_new(&n, VT_DESCRIBED, 97, VT_F32));
    assert_message("cs: 97 channels to filter, the input has 96");
    vt_graph_free(n.graph);
    assert_status(VT_EINVAL, network_new(&n, (vt_formulation)7, 3, VT_F32));
    assert_message("cs: unknown formulation 7");
    vt_graph_free(n.graph);
}

/* Every allocation of planning fails once: an error, and nothing leaks. */
static void test_allocation_failures(void **state)
{
    (void)state;
    network n;
    assert_ok(network_new(&n, VT_DESCRIBED, 3, VT_F32));
    vt_plan_options o = {
        .batch = 1, .training = true, .backward = true, .outputs = &n.y, .output_count = 1};
    vt_plan *plan = NULL;
    int failures = 0;
    for (int64_t k = 0;; k++, failures++) {
        vt_alloc_fail_after(k);
        vt_status status = vt_plan_new(&plan, n.graph, &o);
        vt_alloc_fail_after(-1);
        if (status == VT_OK) break;
        assert_int_equal(status, VT_ENOMEM);
    }
    assert_true(failures > 10);
    vt_plan_free(plan);
    vt_graph_free(n.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_center_surround_reference),
        cmocka_unit_test(test_divisive_reference),
        cmocka_unit_test(test_tuned_reference),
        cmocka_unit_test(test_signs_of_kernels),
        cmocka_unit_test(test_tuned_pools),
        cmocka_unit_test(test_divisive_middle),
        cmocka_unit_test(test_initial_values),
        cmocka_unit_test(test_plans_agree),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
