/* Layers: what the table of op_cases.h cannot say: small known values (from PyTorch 2.13 where
 * said so), special numbers, properties. */
#include "test.h"

#include "op_driver.h"

/* ---- helpers ---- */

static void set(const vt_tensor *t, int count, const double *values)
{
    assert_int_equal(vt_tensor_count(t), count);
    for (int i = 0; i < count; i++)
        op_set(t, i, values[i]);
}

static void expect(const vt_tensor *t, int count, const double *values, double tolerance)
{
    assert_int_equal(vt_tensor_count(t), count);
    for (int i = 0; i < count; i++)
        assert_close(vt_tensor_get(t, i), values[i], tolerance);
}

#define SET(tensor, ...)                                                                           \
    set(&(tensor), sizeof((double[]){__VA_ARGS__}) / sizeof(double), (double[]){__VA_ARGS__})
#define EXPECT(tensor, tolerance, ...)                                                             \
    expect(&(tensor), sizeof((double[]){__VA_ARGS__}) / sizeof(double), (double[]){__VA_ARGS__},   \
           tolerance)

/* The case on the reference in double, ready for backward. */
static void open_case(op_run *r, const char *text)
{
    op_case c = op_parse(text);
    assert_true(op_open(r, &vt_backend_reference, &c, &(op_mode){VT_F64, .backward = true}));
}

static void fill_arange(const vt_tensor *t, double first)
{
    for (int64_t i = 0; i < vt_tensor_count(t); i++)
        op_set(t, i, first + (double)i);
}

/* ---- convolution ---- */

/* PyTorch 2.13: conv2d(padding='same') of an even kernel pads at the bottom right. */
static void test_conv2d_known(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "conv2d n1h3w4c1k2o1 same");
    fill_arange(&r.args.in[0], 1);
    fill_arange(&r.args.grad_out, 0);
    SET(r.args.param[0], 1, -2, 3, .5);
    SET(r.args.param[1], .25);
    op_forward(&r);
    op_backward(&r);
    EXPECT(r.args.out, 0, 15.25, 17.75, 20.25, 28.25, 25.25, 27.75, 30.25, 44.25, -10.75, -11.75,
           -12.75, 12.25);
    EXPECT(r.args.grad_in[0], 0, 0, 1, 0, -1, 4, 0, 2.5, 5, 20, 10, 12.5, 15);
    EXPECT(r.args.grad_param[0], 0, 572, 417, 280, 190);
    EXPECT(r.args.grad_param[1], 0, 66);
    op_close(&r);
}

/* TensorFlow's 'same' with stride 2 starts its windows at the first pixel of an even row, where
 * PyTorch's padding=1 starts before it. */
static void test_conv2d_same_stride(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "conv2d n1h1w4c1k1x3s2o1 same nobias");
    SET(r.args.in[0], 1, 2, 3, 4);
    SET(r.args.param[0], 1, 1, 1);
    op_forward(&r);
    EXPECT(r.args.out, 0, 6, 7);
    op_close(&r);
    open_case(&r, "conv2d n1h1w4c1k1x3s2o1p0,0,1,1 nobias");
    SET(r.args.in[0], 1, 2, 3, 4);
    SET(r.args.param[0], 1, 1, 1);
    op_forward(&r);
    EXPECT(r.args.out, 0, 3, 9);
    op_close(&r);
}

/* One bright pixel paints the kernel turned by 180 degrees, in the filter's own place. */
static void test_conv2d_impulse(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "conv2d n1h9w9c2k3x5o2p1,1,2,2 nobias");
    op_set_all(&r.args.in[0], 0);
    op_set(&r.args.in[0], (4 * 9 + 4) * 2 + 1, 1); /* channel 1 */
    op_forward(&r);
    for (int64_t i = 0; i < 9; i++)
        for (int64_t j = 0; j < 9; j++)
            for (int64_t o = 0; o < 2; o++) {
                int64_t u = 4 - i + 1, v = 4 - j + 2;
                bool inside = u >= 0 && u < 3 && v >= 0 && v < 5;
                double k =
                    inside ? vt_tensor_get(&r.args.param[0], ((o * 3 + u) * 5 + v) * 2 + 1) : 0;
                assert_true(vt_tensor_get(&r.args.out, (i * 9 + j) * 2 + o) == k);
            }
    op_close(&r);
}

/* Moving the image by the stride moves the output by one, away from the borders. */
static void test_conv2d_shift(void **state)
{
    (void)state;
    static const char *const texts[] = {"conv2d n1h14w14c3k3s2o5p1", "conv2d n1h14w14c3k3s2o3g3p1"};
    for (int t = 0; t < 2; t++) {
        op_run a, b;
        open_case(&a, texts[t]);
        open_case(&b, texts[t]);
        int64_t filters = a.args.out.size[3];
        for (int64_t i = 0; i < 14 * 14 * 3; i++) {
            int64_t h = i / 3 / 14, w = i / 3 % 14;
            bool inside = h >= 2 && w >= 2;
            op_set(&b.args.in[0], i,
                   inside ? vt_tensor_get(&a.args.in[0], i - (2 * 14 + 2) * 3) : 0.5);
        }
        op_forward(&a);
        op_forward(&b);
        for (int64_t i = 1; i < 6; i++)
            for (int64_t j = 1; j < 6; j++)
                for (int64_t o = 0; o < filters; o++)
                    assert_close(vt_tensor_get(&b.args.out, ((i + 1) * 7 + j + 1) * filters + o),
                                 vt_tensor_get(&a.args.out, (i * 7 + j) * filters + o), 1e-14);
        op_close(&a);
        op_close(&b);
    }
}

/* f(2 a - 3 b) = 2 f(a) - 3 f(b) for layers without constants. */
static void test_linearity(void **state)
{
    (void)state;
    static const char *const texts[] = {"conv2d n2h7w6c4k3o5s2 same nobias",
                                        "conv2d n2h7w6c4k3o4g4d2p2 nobias", "linear n3c20o7 nobias",
                                        "average_pool n2h7w6c3k3s2p1"};
    for (int t = 0; t < 4; t++) {
        op_run a, b, mix;
        open_case(&a, texts[t]);
        open_case(&b, texts[t]);
        open_case(&mix, texts[t]);
        for (int64_t i = 0; i < vt_tensor_count(&a.args.in[0]); i++) {
            op_set(&b.args.in[0], i, sin((double)i));
            op_set(&mix.args.in[0], i,
                   2 * vt_tensor_get(&a.args.in[0], i) - 3 * vt_tensor_get(&b.args.in[0], i));
        }
        op_forward(&a);
        op_forward(&b);
        op_forward(&mix);
        for (int64_t i = 0; i < vt_tensor_count(&a.args.out); i++)
            assert_close(vt_tensor_get(&mix.args.out, i),
                         2 * vt_tensor_get(&a.args.out, i) - 3 * vt_tensor_get(&b.args.out, i),
                         1e-13);
        op_close(&a);
        op_close(&b);
        op_close(&mix);
    }
}

/* ---- batch normalization ---- */

/* PyTorch 2.13: batch_norm(training=True, momentum=0.1, eps=1e-5). */
static void test_batch_norm_known(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "batch_norm n4c2 training unbiased");
    r.c.options.batch_norm.epsilon = 1e-5;
    SET(r.args.in[0], 1, -3, 2, .5, 4, 0, 8, 2);
    SET(r.args.param[0], 1.5, .5);
    SET(r.args.param[1], .1, -.2);
    SET(r.args.param[2], 1, 2);
    SET(r.args.param[3], 3, 4);
    SET(r.args.grad_out, 1, 4, 9, 16, 25, 36, 49, 64);
    op_forward(&r);
    op_backward(&r);
    EXPECT(r.args.out, 1e-14, -1.4386318632442898, -0.9916914487761561, -0.8791293675190934,
           -0.027893163309531288, 0.23987562393129913, -0.16557863266190626, 2.4778856068320843,
           0.3851632447475936);
    EXPECT(r.args.param[2], 1e-14, 1.275, 1.7875);
    EXPECT(r.args.param[3], 1e-14, 3.6583333333333337, 4.039583333333334);
    EXPECT(r.args.grad_in[0], 1e-12, -0.7006090234345261, 1.184983278588599, -0.03893119984001041,
           -5.66924263858652, 1.2844244473490214, 1.2894157328844953, -0.5448842240744864,
           3.1948436271134257);
    EXPECT(r.args.grad_param[0], 1e-12, 73.10832610809231, 76.55312095992048);
    EXPECT(r.args.grad_param[1], 1e-12, 84, 120);
    op_close(&r);
}

/* Float data far from zero: E[x^2] - E[x]^2 would lose the variance altogether. */
static void test_batch_norm_far_from_zero(void **state)
{
    (void)state;
    op_case c = op_parse("batch_norm n1000c1 training");
    op_run r;
    assert_true(op_open(&r, &vt_backend_reference, &c, &(op_mode){0}));
    for (int64_t i = 0; i < 1000; i++)
        op_set(&r.args.in[0], i, i % 2 ? 10001 : 9999);
    op_set_all(&r.args.param[0], 1);
    op_set_all(&r.args.param[1], 0);
    op_forward(&r);
    for (int64_t i = 0; i < 1000; i++)
        assert_close(vt_tensor_get(&r.args.out, i), (i % 2 ? 1 : -1) / sqrt(1.001), 1e-6);
    op_close(&r);
}

/* One row has variance 0 and no unbiased variance; nothing may become infinite. */
static void test_batch_norm_one_row(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "batch_norm n1c2 training unbiased");
    SET(r.args.in[0], 3, -7);
    SET(r.args.param[1], .5, 2);
    SET(r.args.param[2], 1, 1);
    SET(r.args.param[3], 1, 2);
    op_forward(&r);
    op_backward(&r);
    EXPECT(r.args.out, 0, .5, 2);
    EXPECT(r.args.param[2], 1e-15, 1.2, .2);
    EXPECT(r.args.param[3], 1e-15, .9, 1.8);
    EXPECT(r.args.grad_in[0], 1e-14, 0, 0);
    op_close(&r);
}

static void test_batch_norm_inference_keeps_statistics(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "batch_norm n4c1");
    SET(r.args.in[0], 1, 2, 3, 7);
    SET(r.args.param[0], 2);
    SET(r.args.param[1], 1);
    SET(r.args.param[2], 3);
    SET(r.args.param[3], 4 - 1e-3);
    op_forward(&r);
    EXPECT(r.args.out, 1e-15, -1, 0, 1, 5);
    EXPECT(r.args.param[2], 0, 3);
    EXPECT(r.args.param[3], 0, 4 - 1e-3);
    op_close(&r);
}

/* ---- pooling ---- */

static void test_max_pool_ties_and_specials(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "max_pool n1h2w6c1k2");
    SET(r.args.in[0], 5, 5, -INFINITY, -INFINITY, 1, NAN, /**/ 5, 5, -INFINITY, -INFINITY, NAN, 2);
    SET(r.args.grad_out, 1, 2, 4);
    op_forward(&r);
    op_backward(&r);
    assert_true(vt_tensor_get(&r.args.out, 0) == 5);
    assert_true(vt_tensor_get(&r.args.out, 1) == -INFINITY);
    assert_true(isnan(vt_tensor_get(&r.args.out, 2)));
    EXPECT(r.args.grad_in[0], 0, 1, 0, 2, 0, 0, 4, /**/ 0, 0, 0, 0, 0, 0);
    op_close(&r);
}

static void test_pool_padding(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "max_pool n1h1w3c1k1x3s2p0,0,1,1");
    SET(r.args.in[0], -3, -4, -5);
    op_forward(&r);
    EXPECT(r.args.out, 0, -3, -4);
    op_close(&r);
    open_case(&r, "average_pool n1h1w3c1k1x3s2p0,0,1,1");
    SET(r.args.in[0], -3, -5, -7);
    op_forward(&r);
    EXPECT(r.args.out, 1e-15, -4, -6);
    op_close(&r);
    open_case(&r, "average_pool n1h1w3c1k1x3s2p0,0,1,1 count");
    SET(r.args.in[0], -3, -5, -7);
    op_forward(&r);
    EXPECT(r.args.out, 1e-15, -8.0 / 3, -4);
    op_close(&r);
}

/* ---- relu ---- */

static void test_relu_specials(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "relu n1c5");
    SET(r.args.in[0], -INFINITY, -0.0, 0, INFINITY, NAN);
    SET(r.args.grad_out, 1, 1, 1, 1, 1);
    op_forward(&r);
    op_backward(&r);
    assert_true(vt_tensor_get(&r.args.out, 0) == 0);
    assert_true(vt_tensor_get(&r.args.out, 3) == INFINITY);
    assert_true(isnan(vt_tensor_get(&r.args.out, 4)));
    EXPECT(r.args.grad_in[0], 0, 0, 0, 0, 1, 0);
    op_close(&r);
}

/* ---- dropout ---- */

static void test_dropout_masks(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "dropout n3c5000r30 training");
    op_set_all(&r.args.in[0], 1);
    op_set_all(&r.args.grad_out, 1);
    op_forward(&r);
    op_backward(&r);
    for (int64_t n = 0; n < 3; n++) {
        vt_rng rng;
        vt_rng_init(&rng, 11, VT_RNG_DROPOUT | 5 << 8, 3, (uint32_t)n);
        int kept = 0;
        for (int64_t i = n * 5000; i < (n + 1) * 5000; i++) {
            double y = vt_rng_u32(&rng) < 0.3 * 0x1p32 ? 0 : 1 / 0.7;
            assert_true(vt_tensor_get(&r.args.out, i) == y);
            assert_true(vt_tensor_get(&r.args.grad_in[0], i) == y);
            kept += y > 0;
        }
        assert_in_range(kept, 3500 - 130, 3500 + 130); /* four standard deviations */
    }
    op_close(&r);
}

/* Number of elements that differ from those under seed 11, step 3, node 5. */
static int differing(uint64_t seed, uint32_t step, uint32_t node)
{
    op_run a;
    open_case(&a, "dropout n1c1000r50 training");
    op_run b;
    open_case(&b, "dropout n1c1000r50 training");
    b.args.seed = seed;
    b.args.step = step;
    b.args.node = node;
    op_forward(&a);
    op_forward(&b);
    int count = 0;
    for (int64_t i = 0; i < 1000; i++)
        count += vt_tensor_get(&a.args.out, i) != vt_tensor_get(&b.args.out, i);
    op_close(&a);
    op_close(&b);
    return count;
}

static void test_dropout_keys(void **state)
{
    (void)state;
    assert_int_equal(differing(11, 3, 5), 0);
    assert_in_range(differing(12, 3, 5), 430, 570);
    assert_in_range(differing(11 + (1ull << 32), 3, 5), 430, 570);
    assert_in_range(differing(11, 4, 5), 430, 570);
    assert_in_range(differing(11, 3, 6), 430, 570);
}

static void test_dropout_channels(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "dropout n4h3w5c50r50 training channels");
    op_set_all(&r.args.in[0], 1);
    op_forward(&r);
    int dropped = 0;
    for (int64_t n = 0; n < 4; n++)
        for (int64_t c = 0; c < 50; c++) {
            double first = vt_tensor_get(&r.args.out, n * 750 + c);
            assert_true(first == 0 || first == 2);
            dropped += first == 0;
            for (int64_t i = 0; i < 15; i++)
                assert_true(vt_tensor_get(&r.args.out, n * 750 + i * 50 + c) == first);
        }
    assert_in_range(dropped, 70, 130);
    op_close(&r);
}

/* ---- losses ---- */

/* PyTorch 2.13: poisson_nll_loss(log_input=False, eps=1e-8), mse_loss, cross_entropy. */
static void test_losses_known(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "poisson_loss n2c2");
    SET(r.args.in[0], .5, 1, 3, 0);
    SET(r.args.in[1], 0, 2, 3, 1);
    SET(r.args.grad_out, 1);
    op_forward(&r);
    op_backward(&r);
    EXPECT(r.args.out, 1e-14, 4.90621096198701);
    EXPECT(r.args.grad_in[0], 1e-8, .25, -0.24999999500000009, 8.333333190169157e-10, -24999999.75);
    op_close(&r);

    open_case(&r, "mean_squared_error n1c4");
    SET(r.args.in[0], .5, -1, 3, 100);
    SET(r.args.in[1], 1, 1, 1, NAN);
    SET(r.args.grad_out, 1);
    op_forward(&r);
    op_backward(&r);
    EXPECT(r.args.out, 1e-15, 2.75);
    EXPECT(r.args.grad_in[0], 1e-15, -1.0 / 3, -4.0 / 3, 4.0 / 3, 0);
    op_close(&r);

    open_case(&r, "cross_entropy n2c3");
    SET(r.args.in[0], 1, 2, -1, 1000, -1000, 999);
    SET(r.args.in[1], 2, 0);
    SET(r.args.grad_out, 1);
    op_forward(&r);
    op_backward(&r);
    EXPECT(r.args.out, 1e-14, 1.8311369521432046);
    EXPECT(r.args.grad_in[0], 1e-14, 0.12974823017120957, 0.3526922563491206, -0.4824404865203301,
           -0.13447071068499755, 0, 0.13447071068499755);
    op_close(&r);
}

static void test_losses_without_targets(void **state)
{
    (void)state;
    static const char *const texts[] = {"mean_squared_error n2c3", "poisson_loss n2c3"};
    for (int t = 0; t < 2; t++) {
        op_run r;
        open_case(&r, texts[t]);
        op_set_all(&r.args.in[1], NAN);
        op_forward(&r);
        op_backward(&r);
        EXPECT(r.args.out, 0, 0);
        EXPECT(r.args.grad_in[0], 0, 0, 0, 0, 0, 0, 0);
        EXPECT(r.args.grad_in[1], 0, 0, 0, 0, 0, 0, 0);
        op_close(&r);
    }
}

/* A label that names no class shows as NaN, in its own sample's gradient only. */
static void test_cross_entropy_bad_labels(void **state)
{
    (void)state;
    const double bad[] = {-1, 3, 0.5, NAN, INFINITY, 1e30};
    for (int i = 0; i < 6; i++) {
        op_run r;
        open_case(&r, "cross_entropy n2c3");
        SET(r.args.in[1], 2, bad[i]);
        SET(r.args.grad_out, 1);
        op_forward(&r);
        op_backward(&r);
        assert_true(isnan(vt_tensor_get(&r.args.out, 0)));
        for (int64_t k = 0; k < 6; k++)
            assert_int_equal(isnan(vt_tensor_get(&r.args.grad_in[0], k)) != 0, k >= 3);
        op_close(&r);
    }
}

/* Scores that are minus infinity are classes masked out: probability 0, no gradient. */
static void test_cross_entropy_masked_class(void **state)
{
    (void)state;
    op_run r;
    open_case(&r, "cross_entropy n1c3");
    SET(r.args.in[0], 0, -INFINITY, 0);
    SET(r.args.in[1], 0);
    SET(r.args.grad_out, 2);
    op_forward(&r);
    op_backward(&r);
    EXPECT(r.args.out, 1e-15, log(2));
    EXPECT(r.args.grad_in[0], 1e-15, -1, 0, 1);
    op_close(&r);
}

/* ---- the reference backend ---- */

static void test_reference_requests(void **state)
{
    (void)state;
    op_case c = op_parse("relu n2c3");
    op_run r;
    op_infer(&r, &c);
    vt_kernel kernel = {.name = "untouched"};
    vt_kernel_request request = {.op = c.op, .args = {.options = &c.options, .batch = 2}};
    request.args.in[0] = op_tensor(VT_I32, 2, 1, (int64_t[]){3});
    request.args.out = request.args.in[0];
    assert_status(VT_EUNSUPPORTED, vt_backend_reference.prepare(&kernel, &request));
    assert_message("relu of int32");
    assert_string_equal(kernel.name, "untouched");

    request.args.in[0] = request.args.out = op_tensor(VT_F32, 2, 1, (int64_t[]){3});
    assert_ok(vt_backend_reference.prepare(&kernel, &request));
    assert_string_equal(kernel.name, "reference");
    assert_null(kernel.backward);
    kernel.free(kernel.state);
    request.backward = true;
    assert_ok(vt_backend_reference.prepare(&kernel, &request));
    assert_non_null(kernel.backward);
    kernel.free(kernel.state);

    vt_op without_gradient = vt_op_relu;
    without_gradient.backward = NULL;
    request.op = &without_gradient;
    assert_status(VT_EUNSUPPORTED, vt_backend_reference.prepare(&kernel, &request));
    assert_message("relu has no gradient");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv2d_known),
        cmocka_unit_test(test_conv2d_same_stride),
        cmocka_unit_test(test_conv2d_impulse),
        cmocka_unit_test(test_conv2d_shift),
        cmocka_unit_test(test_linearity),
        cmocka_unit_test(test_batch_norm_known),
        cmocka_unit_test(test_batch_norm_far_from_zero),
        cmocka_unit_test(test_batch_norm_one_row),
        cmocka_unit_test(test_batch_norm_inference_keeps_statistics),
        cmocka_unit_test(test_max_pool_ties_and_specials),
        cmocka_unit_test(test_pool_padding),
        cmocka_unit_test(test_relu_specials),
        cmocka_unit_test(test_dropout_masks),
        cmocka_unit_test(test_dropout_keys),
        cmocka_unit_test(test_dropout_channels),
        cmocka_unit_test(test_losses_known),
        cmocka_unit_test(test_losses_without_targets),
        cmocka_unit_test(test_cross_entropy_bad_labels),
        cmocka_unit_test(test_cross_entropy_masked_class),
        cmocka_unit_test(test_reference_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
