/* Shapes of layers: what is refused and with which words, what is inferred. */
#include "test.h"

#include "op_driver.h"

#include <limits.h>

static vt_status infer(const char *text)
{
    op_case c = op_parse(text);
    vt_op_shape s = {.name = "layer", .options = &c.options, .inputs = c.op->inputs};
    for (int i = 0; i < s.inputs; i++) {
        s.in[i].ndim = c.ndim;
        memcpy(s.in[i].size, c.size, sizeof c.size);
    }
    return c.op->infer(&s);
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        vt_status status;
        const char *message;
    } mistakes[] = {
        {"conv2d n1h4w4c3k3o4g2", VT_ESHAPE, "2 groups do not divide 3 channels and 4 filters"},
        {"conv2d n1h4w4c4k3o3g2", VT_ESHAPE, "2 groups do not divide 4 channels and 3 filters"},
        {"conv2d n1h4w4c4k3o4g-1", VT_ESHAPE, "-1 groups"},
        {"conv2d n1h4w4c3k3", VT_EINVAL, "0 filters"},
        {"conv2d n1h4w4c3o1", VT_EINVAL, "kernel height is 0"},
        {"conv2d n1h4w4c3k3x-2o1", VT_EINVAL, "kernel width is -2"},
        {"conv2d n1h4w4c3k3s-1o1", VT_EINVAL, "stride -1"},
        {"conv2d n1h4w4c3k3d1x-2o1", VT_EINVAL, "dilation -2"},
        {"conv2d n1h4w4c3k3o1p0,-1", VT_EINVAL, "padding 0 and -1"},
        {"conv2d n1h4w4c3k3o1p1 same", VT_EINVAL, "'same' and explicit padding 1 and 1"},
        {"conv2d n1h4w9c3k5o1", VT_ESHAPE, "window of 5 does not fit the height 4 padded by 0"},
        {"conv2d n1h9w4c3k3d2o1", VT_ESHAPE, "window of 5 does not fit the width 4 padded by 0"},
        {"conv2d n1c4k1o1", VT_ESHAPE, "input is (4,), expected (height, width, channels)"},
        {"conv2d n1h4w4c3k2000000000o1p2000000000", VT_EINVAL, "too large"},
        {"conv2d n1h4w4c3k3d2000000000o1 same", VT_EINVAL, "too large"},
        {"conv2d n1h4w4c3k3s2000000000o1 same", VT_EINVAL, "too large"},
        {"conv2d n1h200000000w200000000c20k1o1", VT_ESHAPE, "too large"},
        {"conv2d n1h2w2c200000000k3o200000000 same", VT_ESHAPE, "too large"},
        {"conv2d n1h4w-4c3k3o1", VT_ESHAPE, "is -4, expected at least 1"},
        {"linear n1h2w2c3o4", VT_ESHAPE, "input is (2, 2, 3), expected (features): flatten"},
        {"linear n1c3", VT_EINVAL, "0 units"},
        {"linear n1c0o1", VT_ESHAPE, "is 0, expected at least 1"},
        {"dropout n1c3r100", VT_EINVAL, "rate is 1"},
        {"dropout n1c3r-5", VT_EINVAL, "rate is -0.05"},
        {"max_pool n1h4w4c3", VT_EINVAL, "kernel height is 0"},
        {"max_pool n1h4w4c3k3p3", VT_EINVAL, "padding 3 and 3 must be less than the kernel's 3"},
        {"average_pool n1h4w4c3k5", VT_ESHAPE, "window of 5 does not fit"},
        {"average_pool n1c3k1", VT_ESHAPE, "expected (height, width, channels)"},
        {"max_pool n1h70000w70000c1k2", VT_ESHAPE, "too large to pool"},
        {"cross_entropy n1h2w2c3", VT_ESHAPE, "input is (2, 2, 3), expected (classes)"},
        {"cross_entropy n1c3", VT_ESHAPE, "target is (3,), expected (1,)"},
        {"center_surround n1h4w4c3o4k2", VT_EINVAL, "4 channels to filter, the input has 3"},
        {"center_surround n1h4w4c3k2", VT_EINVAL, "0 channels to filter"},
        {"center_surround n1h4w4c3o-1k2", VT_EINVAL, "-1 channels to filter"},
        {"center_surround n1h4w4c3o3", VT_EINVAL, "radius 0, expected 1 to 64"},
        {"center_surround n1h4w4c3o3k-1", VT_EINVAL, "radius -1"},
        {"center_surround n1h4w4c3o3k2000000000", VT_EINVAL, "radius 2000000000"},
        {"center_surround n1c3o1k1", VT_ESHAPE, "expected (height, width, channels)"},
        {"center_surround n1h1w1c2000000000o2000000000k1", VT_ESHAPE, "too large"},
        {"divisive_normalization n1h4w4c3k2", VT_EINVAL, "kernel 2, expected an odd number"},
        {"divisive_normalization n1h4w4c3", VT_EINVAL, "kernel 0"},
        {"divisive_normalization n1h4w4c3k-3", VT_EINVAL, "kernel -3"},
        {"divisive_normalization n1h4w4c3k1000001", VT_EINVAL, "kernel 1000001"},
        {"divisive_normalization n1c3k3", VT_ESHAPE, "expected (height, width, channels)"},
        {"divisive_normalization n1h1w1c2000000000k3", VT_ESHAPE, "too large"},
        {"tuned_normalization n1c3", VT_ESHAPE, "expected (height, width, channels)"},
        {"tuned_normalization n1h1w1c2000000000", VT_ESHAPE, "too large"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        vt_status status = infer(mistakes[i].text);
        if (status != mistakes[i].status) fail_msg("%s: status %d", mistakes[i].text, status);
        assert_message(mistakes[i].message);
        assert_int_equal(strncmp(vt_error_message(), "layer: ", 7), 0);
    }
}

static void test_mistakes_between_inputs(void **state)
{
    (void)state;
    static const vt_op *const pairs[] = {&vt_op_add, &vt_op_mean_squared_error,
                                         &vt_op_poisson_loss};
    for (int i = 0; i < 3; i++) {
        vt_op_shape s = {.name = "layer", .inputs = 2};
        s.in[0] = (vt_shape){.ndim = 3, .size = {2, 3, 4}};
        s.in[1] = (vt_shape){.ndim = 3, .size = {2, 3, 5}};
        assert_status(VT_ESHAPE, pairs[i]->infer(&s));
        assert_message("is (2, 3, 5), expected (2, 3, 4)");
    }
    vt_batch_norm_options bad[] = {{.epsilon = 0, .momentum = 0.1},
                                   {.epsilon = NAN, .momentum = 0.1},
                                   {.epsilon = 1e-3, .momentum = 1.5},
                                   {.epsilon = 1e-3, .momentum = NAN}};
    for (int i = 0; i < 4; i++) {
        vt_op_shape s = {.name = "layer", .inputs = 1, .options = &bad[i]};
        s.in[0] = (vt_shape){.ndim = 1, .size = {4}};
        assert_status(VT_EINVAL, vt_op_batch_norm.infer(&s));
        assert_message(i < 2 ? "epsilon" : "momentum");
    }
    const double weights[] = {-0.1, 1.1, NAN};
    for (int i = 0; i < 3; i++) {
        vt_blend_options blend = {.weight = weights[i]};
        vt_op_shape s = {.name = "layer", .inputs = 2, .options = &blend};
        s.in[0] = s.in[1] = (vt_shape){.ndim = 1, .size = {4}};
        assert_status(VT_EINVAL, vt_op_blend.infer(&s));
        assert_message("weight");
        s.in[1].size[0] = 5;
        assert_status(VT_ESHAPE, vt_op_blend.infer(&s));
    }
    vt_linear_options units = {.units = 3};
    vt_op_shape loss = {.name = "layer", .inputs = 1, .options = &units};
    loss.in[0] = (vt_shape){.ndim = 1, .size = {1}, .batchless = true};
    assert_status(VT_ESHAPE, vt_op_linear.infer(&loss));
    assert_message("is a loss");
}

/* Any options at all: refused, or sizes that are positive. The sanitizers watch the arithmetic. */
static void test_wild_options(void **state)
{
    (void)state;
    static const int wild[] = {0, 0, 1, 1, 1, 2, 3, 4, 5, 7, -1, 65536, 1 << 28, INT_MAX, INT_MIN};
    static const vt_op *const ops[] = {&vt_op_conv2d, &vt_op_max_pool, &vt_op_average_pool,
                                       &vt_op_linear};
    int accepted = 0;
    vt_rng rng;
    vt_rng_init(&rng, 1, VT_RNG_INIT, 0, 0);
    for (int round = 0; round < 40000; round++) {
        union {
            vt_conv2d_options conv2d;
            vt_pool_options pool;
            vt_linear_options linear;
        } o = {0};
        int value[14];
        for (int i = 0; i < 14; i++)
            value[i] = wild[vt_rng_below(&rng, i < 3 ? 10 : sizeof wild / sizeof *wild)];
        vt_padding padding = vt_rng_below(&rng, 2) ? VT_PAD_SAME : VT_PAD_EXPLICIT;
        const vt_op *op = ops[round % 4];
        int pad = vt_rng_below(&rng, 2) ? 0 : value[3];
        if (op == &vt_op_conv2d)
            o.conv2d = (vt_conv2d_options){.filters = value[4],
                                           .kernel = {value[5], value[6]},
                                           .stride = {value[7], value[8]},
                                           .dilation = {value[9], value[10]},
                                           .groups = value[11],
                                           .padding = padding,
                                           .pad = {pad, pad, 0, pad}};
        else if (op == &vt_op_linear)
            o.linear = (vt_linear_options){.units = value[4]};
        else
            o.pool = (vt_pool_options){.kernel = {value[5], value[6]},
                                       .stride = {value[7], value[8]},
                                       .padding = padding,
                                       .pad = {pad, 0, pad, pad}};
        vt_op_shape s = {.name = "layer", .options = &o, .inputs = 1};
        s.in[0].ndim = op == &vt_op_linear ? 1 : 3;
        for (int i = 0; i < 3; i++)
            s.in[0].size[i] = (int64_t)value[i] + (i < 2 ? value[12] : value[13]);
        if (op->infer(&s) != VT_OK) continue;
        accepted++;
        for (int i = 0; i < s.out.ndim; i++)
            assert_true(s.out.size[i] >= 1);
        assert_true(op->flops(&s) > 0);
    }
    assert_true(accepted > 1000);
}

static void expect_param(const vt_op_shape *s, int p, const char *role, double fan_in,
                         double fan_out, const char *sizes)
{
    char text[128];
    vt_tensor t = {.ndim = s->param[p].ndim};
    memcpy(t.size, s->param[p].size, sizeof t.size);
    assert_string_equal(s->param[p].role, role);
    assert_string_equal(vt_tensor_shape_text(&t, text, sizeof text), sizes);
    assert_true(s->param[p].fan_in == fan_in && s->param[p].fan_out == fan_out);
    assert_int_equal(s->param[p].init == VT_INIT_GLOROT_UNIFORM, fan_in > 0);
}

/* Fans: keras.initializers.compute_fans of (rows, columns, channels / groups, filters), depthwise
 * (rows, columns, channels, 1). */
static void test_params(void **state)
{
    (void)state;
    op_run r;
    op_case c = op_parse("conv2d n2h8w8c6k3x5o4g2");
    op_infer(&r, &c);
    assert_int_equal(r.shape.params, 2);
    expect_param(&r.shape, 0, "kernel", 45, 60, "(4, 3, 5, 3)");
    expect_param(&r.shape, 1, "bias", 0, 0, "(4,)");
    assert_int_equal(c.op->flops(&r.shape), 2 * 6 * 4 * 4 * 3 * 5 * 3);
    c = op_parse("conv2d n2h8w8c6k3x5o6g6 nobias");
    op_infer(&r, &c);
    assert_int_equal(r.shape.params, 1);
    expect_param(&r.shape, 0, "kernel", 90, 15, "(6, 3, 5, 1)");
    c = op_parse("conv2d n2h8w8c1k3o1");
    op_infer(&r, &c);
    expect_param(&r.shape, 0, "kernel", 9, 9, "(1, 3, 3, 1)");
    c = op_parse("linear n2c6o4");
    op_infer(&r, &c);
    assert_int_equal(r.shape.params, 2);
    expect_param(&r.shape, 0, "kernel", 6, 4, "(4, 6)");
    expect_param(&r.shape, 1, "bias", 0, 0, "(4,)");
    assert_int_equal(c.op->flops(&r.shape), 48);
    c = op_parse("batch_norm n2h3w3c6");
    op_infer(&r, &c);
    static const char *const roles[] = {"gamma", "beta", "moving_mean", "moving_variance"};
    assert_int_equal(r.shape.params, 4);
    for (int p = 0; p < 4; p++) {
        expect_param(&r.shape, p, roles[p], 0, 0, "(6,)");
        assert_int_equal(r.shape.param[p].is_buffer, p >= 2);
        assert_int_equal(r.shape.param[p].init, p % 3 ? VT_INIT_ZERO : VT_INIT_ONE);
    }
    c = op_parse("flatten n2h3w4c5");
    op_infer(&r, &c);
    assert_int_equal(r.shape.out.ndim, 1);
    assert_int_equal(r.shape.out.size[0], 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_mistakes_between_inputs),
        cmocka_unit_test(test_wild_options),
        cmocka_unit_test(test_params),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
