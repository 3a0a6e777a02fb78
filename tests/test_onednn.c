/* The oneDNN backend against the reference backend: values, accumulated gradients, the same bits
 * from run to run. `test_onednn --speed [THREADS [CASE [reference]]]` times the published models'
 * layers, on request the reference's as well. */
#include "backend/backend.h"
#include "backend/onednn_adapter.h"
#include "base/arena.h"
#include "test.h"
#include "ventral/progress.h"

#include <time.h>

/* ---- one node and its memory ---- */

typedef struct node {
    vt_kernel_request request;
    vt_op_shape shape;
    vt_kernel kernel;
    vt_op_args args; /* of the kernel, with data */
    vt_tensor owned[16];
    int owned_count;
} node;

typedef struct want {
    bool training, backward, relu, constant_params, no_input_gradient, no_kernel_gradient, bf16;
} want;

static void tensor_new(node *n, vt_tensor *t, int ndim, const int64_t *size)
{
    assert_ok(vt_tensor_new(t, VT_F32, ndim, size));
    n->owned[n->owned_count++] = *t;
}

static void fill(vt_tensor *t, uint32_t stream, float low, float high)
{
    if (t->ndim < 0 || !t->data) return;
    float *x = t->data;
    int64_t count = vt_tensor_count(t);
    uint32_t state = stream * 2654435761u + 12345u;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = low + (high - low) * ((float)(state >> 8) / 16777216.0f);
    }
}

/* Describes `op` at work on a batch of inputs of `in` (without the batch) and asks `backend`. */
static vt_status node_new(node *n, const vt_backend *backend, const vt_op *op, const void *options,
                          int64_t batch, int ndim, const int64_t *in, const want *w)
{
    *n = (node){.shape = {.name = op->name, .options = options, .inputs = 1}};
    n->shape.in[0].ndim = ndim;
    memcpy(n->shape.in[0].size, in, (size_t)ndim * sizeof *in);
    assert_ok(op->infer(&n->shape));
    vt_op_args *a = &n->args;
    *a = (vt_op_args){.options = options, .batch = batch, .training = w->training, .relu = w->relu};
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++)
        a->in[i].ndim = a->grad_in[i].ndim = -1;
    for (int i = 0; i < VT_OP_MAX_PARAMS; i++)
        a->param[i].ndim = a->grad_param[i].ndim = -1;
    int64_t size[VT_MAX_DIMS] = {batch};
    memcpy(size + 1, in, (size_t)ndim * sizeof *in);
    tensor_new(n, &a->in[0], ndim + 1, size);
    if (w->backward && !w->no_input_gradient) tensor_new(n, &a->grad_in[0], ndim + 1, size);
    memcpy(size + 1, n->shape.out.size, sizeof n->shape.out.size);
    tensor_new(n, &a->out, n->shape.out.ndim + 1, size);
    if (w->backward) tensor_new(n, &a->grad_out, n->shape.out.ndim + 1, size);
    for (int i = 0; i < n->shape.params; i++) {
        const vt_param_spec *p = &n->shape.param[i];
        tensor_new(n, &a->param[i], p->ndim, p->size);
        if (w->backward && !p->is_buffer && !(w->no_kernel_gradient && i == 0))
            tensor_new(n, &a->grad_param[i], p->ndim, p->size);
        fill(&a->param[i], 40 + (uint32_t)i, p->is_buffer ? 0.5f : -1, 1);
    }
    fill(&a->in[0], 1, -1, 1);
    fill(&a->grad_out, 2, -1, 1);
    n->request = (vt_kernel_request){.op = op,
                                     .args = *a,
                                     .backward = w->backward,
                                     .bf16 = w->bf16,
                                     .constant_params = w->constant_params};
    vt_op_args *described = &n->request.args; /* sizes, no data */
    described->out.data = described->grad_out.data = NULL;
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++)
        described->in[i].data = described->grad_in[i].data = NULL;
    for (int i = 0; i < VT_OP_MAX_PARAMS; i++)
        described->param[i].data = described->grad_param[i].data = NULL;
    vt_status status = backend->prepare(&n->kernel, &n->request);
    if (status != VT_OK) return status;
    if (n->kernel.scratch_bytes) a->scratch = vt_alloc(1, n->kernel.scratch_bytes);
    if (n->kernel.saved_bytes) a->saved = vt_alloc(1, n->kernel.saved_bytes);
    if (n->kernel.scratch_bytes) assert_non_null(a->scratch);
    if (n->kernel.saved_bytes) assert_non_null(a->saved);
    if (n->kernel.refresh) assert_ok(n->kernel.refresh(n->kernel.state, a));
    return VT_OK;
}

static void node_free(node *n)
{
    if (n->kernel.free) n->kernel.free(n->kernel.state);
    free(n->args.scratch);
    free(n->args.saved);
    for (int i = 0; i < n->owned_count; i++)
        vt_tensor_free(&n->owned[i]);
}

/* Forward and backward from the same buffers and gradients, which are not zero. */
static void node_run(node *n)
{
    for (int i = 0; i < n->shape.params; i++)
        if (n->shape.param[i].is_buffer) fill(&n->args.param[i], 40 + (uint32_t)i, 0.5f, 1);
    if (n->args.scratch) memset(n->args.scratch, 0xff, n->kernel.scratch_bytes); /* NaN */
    assert_ok(n->kernel.forward(n->kernel.state, &n->args));
    if (!n->kernel.backward) return;
    fill(&n->args.grad_in[0], 3, -1, 1);
    for (int i = 0; i < VT_OP_MAX_PARAMS; i++)
        fill(&n->args.grad_param[i], 50 + (uint32_t)i, -1, 1);
    if (n->args.scratch) memset(n->args.scratch, 0xff, n->kernel.scratch_bytes);
    assert_ok(n->kernel.backward(n->kernel.state, &n->args));
}

/* Largest difference in units of the expected tensor's root mean square. */
static double difference(const vt_tensor *actual, const vt_tensor *expected)
{
    if (expected->ndim < 0 || !expected->data) return 0;
    const float *a = actual->data, *e = expected->data;
    int64_t count = vt_tensor_count(expected);
    double most = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - e[i]);
        if (!(d <= most)) most = d; /* NaN counts */
        squares += (double)e[i] * e[i];
    }
    return most / (sqrt(squares / (double)count) + 1e-30);
}

static void compare(const char *name, const node *a, const node *e, double tolerance)
{
    double d[] = {difference(&a->args.out, &e->args.out),
                  difference(&a->args.grad_in[0], &e->args.grad_in[0]),
                  difference(&a->args.grad_param[0], &e->args.grad_param[0]),
                  difference(&a->args.grad_param[1], &e->args.grad_param[1]),
                  difference(&a->args.param[2], &e->args.param[2]),
                  difference(&a->args.param[3], &e->args.param[3])};
    static const char *const what[] = {"output",
                                       "input gradient",
                                       "first parameter's gradient",
                                       "second parameter's gradient",
                                       "running mean",
                                       "running variance"};
    for (int i = 0; i < 6; i++)
        if (!(d[i] <= tolerance))
            fail_msg("%s: %s differs by %g, allowed %g", name, what[i], d[i], tolerance);
}

static uint64_t bits(const node *n)
{
    uint64_t hash = 1469598103934665603u;
    for (int t = 0; t < n->owned_count; t++) {
        const unsigned char *p = n->owned[t].data;
        size_t bytes = vt_tensor_bytes(&n->owned[t]);
        for (size_t i = 0; i < bytes; i++)
            hash = (hash ^ p[i]) * 1099511628211u;
    }
    return hash;
}

static void check(const char *name, const vt_op *op, const void *options, int64_t batch, int ndim,
                  const int64_t *in, const want *w, double tolerance)
{
    node actual, expected;
    vt_status status = node_new(&actual, &vt_backend_onednn, op, options, batch, ndim, in, w);
    if (status != VT_OK) fail_msg("%s: %s", name, vt_error_message());
    assert_ok(node_new(&expected, &vt_backend_reference, op, options, batch, ndim, in, w));
    node_run(&expected);
    node_run(&actual);
    compare(name, &actual, &expected, tolerance);
    uint64_t first = bits(&actual);
    node_run(&actual);
    assert_true(bits(&actual) == first);
    node_free(&actual);
    node_free(&expected);
}

/* ---- convolution and fully connected layers ---- */

typedef struct conv_case {
    const char *name;
    int channels, filters, groups, size[2], kernel, stride, dilation;
    bool same;
    int pad[4];
} conv_case;

static vt_conv2d_options conv_options(const conv_case *c)
{
    return (vt_conv2d_options){.name = "conv",
                               .filters = c->filters,
                               .groups = c->groups,
                               .kernel = {c->kernel, c->kernel},
                               .stride = {c->stride, c->stride},
                               .dilation = {c->dilation, c->dilation},
                               .padding = c->same ? VT_PAD_SAME : VT_PAD_EXPLICIT,
                               .pad = {c->pad[0], c->pad[1], c->pad[2], c->pad[3]}};
}

static const conv_case convs[] = {
    {"first layer", 3, 25, 1, {20, 24}, 5, 1, 1, true, {0}},
    {"first layer, 100", 3, 100, 1, {13, 11}, 5, 1, 1, true, {0}},
    {"one channel", 1, 7, 1, {9, 8}, 3, 1, 1, true, {0}},
    {"depthwise stride 2", 25, 25, 25, {14, 16}, 5, 2, 1, true, {0}},
    {"depthwise odd size", 100, 100, 100, {9, 13}, 5, 2, 1, true, {0}},
    {"depthwise", 37, 37, 37, {9, 7}, 5, 1, 1, true, {0}},
    {"depthwise 7x7", 9, 9, 9, {12, 12}, 7, 3, 1, true, {0}},
    {"depthwise dilated", 16, 16, 16, {17, 15}, 3, 1, 3, true, {0}},
    {"depthwise wide padding", 6, 6, 6, {3, 3}, 5, 1, 1, false, {4, 3, 4, 2}},
    {"depthwise stride 2 dilated 3", 10, 10, 10, {15, 16}, 3, 2, 3, true, {0}},
    {"depthwise stride 2 dilated 2", 11, 11, 11, {15, 16}, 3, 2, 2, true, {0}},
    {"depthwise stride 4 kernel 2", 5, 5, 5, {17, 15}, 2, 4, 1, false, {1, 0, 0, 1}},
    {"depthwise 11x11", 8, 8, 8, {13, 20}, 11, 1, 1, true, {0}},
    {"spatial pool", 21, 21, 21, {12, 12}, 12, 1, 1, false, {0}},
    {"dilated kernel of the input's size", 6, 6, 6, {4, 4}, 4, 1, 2, false, {0, 3, 0, 3}},
    {"grouped", 12, 18, 3, {9, 9}, 3, 1, 1, true, {0}},
    {"pointwise", 25, 37, 1, {8, 9}, 1, 1, 1, true, {0}},
    {"pointwise stride 2", 16, 24, 1, {9, 8}, 1, 2, 1, true, {0}},
    {"3x3", 24, 32, 1, {16, 17}, 3, 1, 1, false, {1, 1, 1, 1}},
    {"3x3 stride 2", 16, 16, 1, {28, 30}, 3, 2, 1, false, {1, 1, 1, 1}},
    {"3x3 small", 32, 16, 1, {7, 7}, 3, 1, 1, false, {1, 1, 1, 1}},
    {"3x3 dilated", 8, 16, 1, {15, 16}, 3, 1, 2, true, {0}},
    {"stem", 3, 16, 1, {32, 32}, 7, 2, 1, false, {3, 3, 3, 3}},
};
enum { CONVS = sizeof convs / sizeof *convs };

static void convolution_equals_reference(void **state)
{
    (void)state;
    for (int i = 0; i < CONVS; i++) {
        vt_conv2d_options o = conv_options(&convs[i]);
        int64_t in[] = {convs[i].size[0], convs[i].size[1], convs[i].channels};
        want train = {.training = true, .backward = true};
        check(convs[i].name, &vt_op_conv2d, &o, 6, 3, in, &train, 2e-5);
        want infer = {.relu = true, .constant_params = true};
        check(convs[i].name, &vt_op_conv2d, &o, 3, 3, in, &infer, 2e-5);
    }
}

static void convolution_without_some_gradients(void **state)
{
    (void)state;
    for (int i = 0; i < CONVS; i++) {
        vt_conv2d_options o = conv_options(&convs[i]);
        int64_t in[] = {convs[i].size[0], convs[i].size[1], convs[i].channels};
        want kernel_only = {.training = true, .backward = true, .no_input_gradient = true};
        want input_only = {.backward = true, .constant_params = true, .no_kernel_gradient = true};
        check(convs[i].name, &vt_op_conv2d, &o, 3, 3, in, &kernel_only, 2e-5);
        check(convs[i].name, &vt_op_conv2d, &o, 1, 3, in, &input_only, 2e-5);
        o.no_bias = true;
        check(convs[i].name, &vt_op_conv2d, &o, 2, 3, in, &kernel_only, 2e-5);
    }
}

/* Done by products of pixels: the same bits on any number of threads. */
static void convolution_of_small_images(void **state)
{
    (void)state;
    vt_conv2d_options o = {.name = "conv",
                           .filters = 270,
                           .kernel = {3, 3},
                           .stride = {1, 2},
                           .pad = {1, 1, 1, 1},
                           .no_bias = true};
    int64_t in[] = {2, 3, 70};
    want train = {.training = true, .backward = true};
    uint64_t first = 0;
    for (int threads = 1; threads <= 3; threads++) {
        node n;
        vt_threads_set(threads);
        check("small images", &vt_op_conv2d, &o, 35, 3, in, &train, 2e-5);
        assert_ok(node_new(&n, &vt_backend_onednn, &vt_op_conv2d, &o, 35, 3, in, &train));
        node_run(&n);
        if (threads == 1) first = bits(&n);
        assert_true(bits(&n) == first);
        node_free(&n);
    }
    vt_threads_set(0);
}

static void linear_equals_reference(void **state)
{
    (void)state;
    vt_linear_options o = {.name = "fc", .units = 19};
    int64_t in[] = {333};
    want train = {.training = true, .backward = true}, infer = {.constant_params = true};
    check("linear", &vt_op_linear, &o, 33, 1, in, &train, 2e-5);
    check("linear", &vt_op_linear, &o, 1, 1, in, &train, 2e-5);
    infer.relu = true;
    check("linear", &vt_op_linear, &o, 5, 1, in, &infer, 2e-5);
    o.no_bias = true;
    check("linear", &vt_op_linear, &o, 7, 1, in, &train, 2e-5);
}

/* ---- layers with loops of their own ---- */

static void normalization_equals_reference(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{9, 7, 25}, {5, 5, 100}, {4, 4, 8},
                                       {3, 5, 1},  {1, 1, 3},   {2, 3, 600}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        vt_batch_norm_options o = {
            .name = "norm", .epsilon = 1e-3, .momentum = 0.1, .unbiased = i % 2};
        want train = {.training = true, .backward = true}, constant = {.backward = true};
        want frozen = {.training = true, .backward = true, .no_input_gradient = true};
        check("normalization", &vt_op_batch_norm, &o, 7, 3, sizes[i], &train, 1e-5);
        check("normalization, 1 row", &vt_op_batch_norm, &o, 1, 3, sizes[i], &train, 1e-5);
        check("constant statistics", &vt_op_batch_norm, &o, 3, 3, sizes[i], &constant, 1e-5);
        check("no input gradient", &vt_op_batch_norm, &o, 3, 3, sizes[i], &frozen, 1e-5);
        check("features", &vt_op_batch_norm, &o, 50, 1, sizes[i] + 2, &train, 1e-5);
    }
}

/* The variance does not drown in the mean's square, nor in that of rows that differ from all. */
static void normalization_far_from_zero(void **state)
{
    (void)state;
    vt_batch_norm_options o = {.name = "norm", .epsilon = 1e-3, .momentum = 0.1};
    int64_t in[] = {8, 8, 12};
    want w = {.training = true, .backward = true};
    node a, e;
    assert_ok(node_new(&a, &vt_backend_onednn, &vt_op_batch_norm, &o, 4, 3, in, &w));
    assert_ok(node_new(&e, &vt_backend_reference, &vt_op_batch_norm, &o, 4, 3, in, &w));
    float *x = a.args.in[0].data;
    int64_t count = vt_tensor_count(&a.args.in[0]);
    for (int64_t i = 0; i < count; i++)
        x[i] = i < 12 ? -500 : 1000 + x[i];
    memcpy(e.args.in[0].data, x, (size_t)count * sizeof *x);
    node_run(&a);
    node_run(&e);
    compare("far from zero", &a, &e, 1e-5);
    node_free(&a);
    node_free(&e);
}

static void max_pool_equals_reference(void **state)
{
    (void)state;
    static const vt_pool_options options[] = {
        {.name = "pool", .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}},
        {.name = "pool", .kernel = {2, 3}, .padding = VT_PAD_SAME},
        {.name = "pool", .kernel = {4, 4}, .stride = {1, 2}},
    };
    static const int64_t sizes[][3] = {{9, 8, 25}, {4, 4, 8}, {6, 5, 1}};
    want w = {.training = true, .backward = true};
    for (int i = 0; i < 9; i++) {
        node a, e;
        const vt_pool_options *o = &options[i / 3];
        const int64_t *in = sizes[i % 3];
        check("max pool", &vt_op_max_pool, o, 3, 3, in, &w, 0);
        assert_ok(node_new(&a, &vt_backend_onednn, &vt_op_max_pool, o, 3, 3, in, &w));
        assert_ok(node_new(&e, &vt_backend_reference, &vt_op_max_pool, o, 3, 3, in, &w));
        float *x = a.args.in[0].data, *y = a.args.out.data, *z = e.args.out.data;
        for (int64_t k = 0; k < vt_tensor_count(&a.args.in[0]); k += 7)
            x[k] = k % 2 ? NAN : k % 3 ? 0.5f : INFINITY;
        memcpy(e.args.in[0].data, x, vt_tensor_bytes(&a.args.in[0]));
        node_run(&a);
        node_run(&e);
        for (int64_t k = 0; k < vt_tensor_count(&a.args.out); k++)
            assert_true(y[k] == z[k] || (isnan(y[k]) && isnan(z[k])));
        assert_memory_equal(a.args.grad_in[0].data, e.args.grad_in[0].data,
                            vt_tensor_bytes(&a.args.grad_in[0]));
        node_free(&a);
        node_free(&e);
    }
}

/* Where the processor has it: numbers are rounded to 8 bits, each off by up to 2^-9 of itself.
 * Errors of a sum's terms add like random steps: 2^-9 of the sum's own spread, the largest of
 * thousands of sums a few times that. A pass in float32 would be a hundred times as exact. */
static void bfloat16_is_close(void **state)
{
    (void)state;
    const conv_case wide = {"wide", 64, 128, 1, {8, 9}, 3, 1, 1, true, {0}};
    vt_conv2d_options options = conv_options(&wide);
    want w = {.training = true, .backward = true, .bf16 = true};
    node a, e;
    assert_ok(
        node_new(&a, &vt_backend_onednn, &vt_op_conv2d, &options, 8, 3, (int64_t[]){8, 9, 64}, &w));
    assert_ok(node_new(&e, &vt_backend_reference, &vt_op_conv2d, &options, 8, 3,
                       (int64_t[]){8, 9, 64}, &w));
    node_run(&a);
    node_run(&e);
    compare("bfloat16", &a, &e, 0.02);
    double least = vt_dnnl_has_bf16() ? 1e-4 : 0;
    assert_true(difference(&a.args.out, &e.args.out) >= least);
    assert_true(difference(&a.args.grad_in[0], &e.args.grad_in[0]) >= least);
    assert_true(difference(&a.args.grad_param[0], &e.args.grad_param[0]) >= least);
    node_free(&a);
    node_free(&e);
    for (int i = 0; i < CONVS; i++) {
        vt_conv2d_options o = conv_options(&convs[i]);
        int64_t in[] = {convs[i].size[0], convs[i].size[1], convs[i].channels};
        want train = {.training = true, .backward = true, .bf16 = true};
        check(convs[i].name, &vt_op_conv2d, &o, 2, 3, in, &train, 0.02);
    }
}

static void packed_parameters_follow_refresh(void **state)
{
    (void)state;
    vt_conv2d_options o = conv_options(&convs[0]);
    int64_t in[] = {20, 24, 3};
    want w = {.constant_params = true};
    node a, e;
    assert_ok(node_new(&a, &vt_backend_onednn, &vt_op_conv2d, &o, 2, 3, in, &w));
    assert_ok(node_new(&e, &vt_backend_reference, &vt_op_conv2d, &o, 2, 3, in, &w));
    node_run(&a);
    for (int i = 0; i < 2; i++) {
        fill(&a.args.param[i], 70 + (uint32_t)i, -2, 2);
        fill(&e.args.param[i], 70 + (uint32_t)i, -2, 2);
    }
    assert_ok(a.kernel.refresh(a.kernel.state, &a.args));
    node_run(&a);
    node_run(&e);
    compare("refresh", &a, &e, 2e-5);
    node_free(&a);
    node_free(&e);
}

static const conv_case threads_case = {"3x3", 24, 32, 1, {16, 17}, 3, 1, 1, true, {0}};

/* What a kernel gives depends on the thread count it was prepared for only. */
static void threads_of_preparation_are_kept(void **state)
{
    (void)state;
    vt_conv2d_options o = conv_options(&threads_case);
    int64_t in[] = {16, 17, 24};
    want w = {.training = true, .backward = true};
    node n;
    vt_threads_set(2);
    assert_ok(node_new(&n, &vt_backend_onednn, &vt_op_conv2d, &o, 8, 3, in, &w));
    node_run(&n);
    uint64_t first = bits(&n);
    vt_threads_set(1);
    node_run(&n);
    assert_true(bits(&n) == first);
    vt_threads_set(0);
    node_free(&n);
}

static void what_it_declines(void **state)
{
    (void)state;
    node n;
    int64_t in[] = {4, 4, 3};
    want w = {0};
    assert_status(VT_EUNSUPPORTED,
                  node_new(&n, &vt_backend_onednn, &vt_op_relu, NULL, 2, 3, in, &w));
    assert_message("relu");
    node_free(&n);
}

static void allocation_failures(void **state)
{
    (void)state;
    vt_conv2d_options o = conv_options(&convs[0]);
    int64_t in[] = {20, 24, 3};
    want w = {.training = true, .backward = true};
    node n;
    assert_ok(node_new(&n, &vt_backend_onednn, &vt_op_conv2d, &o, 2, 3, in, &w));
    for (int i = 0;; i++) {
        vt_kernel kernel = {0};
        vt_alloc_fail_after(i);
        vt_status status = vt_backend_onednn.prepare(&kernel, &n.request);
        vt_alloc_fail_after(-1);
        if (status == VT_OK) {
            assert_true(i > 1);
            kernel.free(kernel.state);
            break;
        }
        assert_int_equal(VT_ENOMEM, status);
        assert_null(kernel.state);
    }
    node_free(&n);
}

/* ---- speed ---- */

/* Of the processor with one thread, so that other programs do not count; else of the wall. */
static double seconds(void)
{
    struct timespec t;
    clock_gettime(vt_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best_of(node *n, bool backward)
{
    double best = 1e9, begin = seconds();
    for (int i = 0; i < 20 && (i < 3 || seconds() - begin < 0.2); i++) {
        double t = seconds();
        if (backward)
            assert_ok(n->kernel.backward(n->kernel.state, &n->args));
        else
            assert_ok(n->kernel.forward(n->kernel.state, &n->args));
        t = seconds() - t;
        if (t < best) best = t;
    }
    return best;
}

/* Milliseconds of forward, backward by data and by parameters; negative where declined. */
static void times(double ms[3], const vt_backend *backend, const vt_op *op, const void *options,
                  int64_t batch, int ndim, const int64_t *in)
{
    want data = {.training = true, .backward = true, .no_kernel_gradient = true};
    want params = {.training = true, .backward = true, .no_input_gradient = true};
    node n;
    ms[0] = ms[1] = ms[2] = -1;
    if (node_new(&n, backend, op, options, batch, ndim, in, &data) == VT_OK) {
        node_run(&n);
        ms[0] = 1e3 * best_of(&n, false);
        if (n.shape.params > 1) { /* the bias's gradient belongs to the parameters */
            n.args.grad_param[1].data = NULL;
        }
        ms[1] = 1e3 * best_of(&n, true);
    }
    node_free(&n);
    if (n.shape.params && node_new(&n, backend, op, options, batch, ndim, in, &params) == VT_OK) {
        node_run(&n);
        ms[2] = 1e3 * best_of(&n, true);
        node_free(&n);
    }
}

typedef struct speed_case {
    conv_case conv;
    int batch;
} speed_case;

static const speed_case speeds[] = {
    {{"conv 5x5 3-25 @112", 3, 25, 1, {112, 112}, 5, 1, 1, true, {0}}, 16},
    {{"conv 5x5 3-100 @112", 3, 100, 1, {112, 112}, 5, 1, 1, true, {0}}, 16},
    {{"depthwise 5x5/2 25 @112", 25, 25, 25, {112, 112}, 5, 2, 1, true, {0}}, 16},
    {{"depthwise 5x5/2 100 @112", 100, 100, 100, {112, 112}, 5, 2, 1, true, {0}}, 16},
    {{"pointwise 25-25 @56", 25, 25, 1, {56, 56}, 1, 1, 1, true, {0}}, 16},
    {{"pointwise 100-100 @56", 100, 100, 1, {56, 56}, 1, 1, 1, true, {0}}, 16},
    {{"depthwise 5x5/2 100 @56", 100, 100, 100, {56, 56}, 5, 2, 1, true, {0}}, 16},
    {{"pointwise 100-100 @28", 100, 100, 1, {28, 28}, 1, 1, 1, true, {0}}, 16},
    {{"depthwise 5x5 25 @28", 25, 25, 25, {28, 28}, 5, 1, 1, true, {0}}, 16},
    {{"depthwise 5x5 100 @28", 100, 100, 100, {28, 28}, 5, 1, 1, true, {0}}, 16},
    {{"pointwise 100-219 @28", 100, 219, 1, {28, 28}, 1, 1, 1, true, {0}}, 16},
    {{"spatial pool 28x28 219", 219, 219, 219, {28, 28}, 28, 1, 1, false, {0}}, 16},
    {{"conv 7x7/2 3-64 @224", 3, 64, 1, {224, 224}, 7, 2, 1, false, {3, 3, 3, 3}}, 4},
    {{"conv 3x3 64-64 @56", 64, 64, 1, {56, 56}, 3, 1, 1, true, {0}}, 8},
    {{"conv 1x1 64-256 @56", 64, 256, 1, {56, 56}, 1, 1, 1, true, {0}}, 8},
    {{"conv 1x1 256-64 @56", 256, 64, 1, {56, 56}, 1, 1, 1, true, {0}}, 8},
    {{"conv 3x3/2 128-128 @56", 128, 128, 1, {56, 56}, 3, 2, 1, false, {1, 1, 1, 1}}, 8},
    {{"conv 1x1/2 256-512 @56", 256, 512, 1, {56, 56}, 1, 2, 1, true, {0}}, 8},
    {{"conv 3x3 128-128 @28", 128, 128, 1, {28, 28}, 3, 1, 1, true, {0}}, 8},
    {{"conv 3x3 256-256 @14", 256, 256, 1, {14, 14}, 3, 1, 1, true, {0}}, 8},
    {{"conv 3x3 512-512 @7", 512, 512, 1, {7, 7}, 3, 1, 1, true, {0}}, 8},
};

static void print_times(const char *name, double gflop, const double a[3], const double e[3])
{
    printf("%-26s", name);
    for (int i = 0; i < 3; i++)
        if (a[i] < 0)
            printf("        -      -       -");
        else
            printf(" %8.2f %6.1f %6.1fx", a[i], gflop / a[i] * 1e3, e[i] / a[i]);
    printf("\n");
    fflush(stdout);
}

static void print_norm_speed(const char *only)
{
    static const int sizes[][3] = {{16, 56, 25}, {16, 56, 100}, {16, 28, 219}, {8, 56, 256}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[64];
        const int *s = sizes[i];
        snprintf(name, sizeof name, "batch norm %d @%d", s[2], s[1]);
        if (only && !strstr(name, only)) continue;
        vt_batch_norm_options o = {.name = name, .epsilon = 1e-3, .momentum = 0.01};
        int64_t in[] = {s[1], s[1], s[2]};
        double a[3], e[3], gbytes = 4e-9 * s[0] * s[1] * s[1] * s[2];
        times(a, &vt_backend_onednn, &vt_op_batch_norm, &o, s[0], 3, in);
        times(e, &vt_backend_reference, &vt_op_batch_norm, &o, s[0], 3, in);
        print_times(name, gbytes, a, e);
        print_times("  reference", gbytes, e, e);
    }
}

static void print_pool_speed(const char *only)
{
    const char *name = "max pool 3x3/2 64 @112";
    if (only && !strstr(name, only)) return;
    vt_pool_options o = {.name = name, .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}};
    int64_t in[] = {112, 112, 64};
    double a[3], e[3], gbytes = 4e-9 * 8 * 112 * 112 * 64;
    times(a, &vt_backend_onednn, &vt_op_max_pool, &o, 8, 3, in);
    times(e, &vt_backend_reference, &vt_op_max_pool, &o, 8, 3, in);
    print_times(name, gbytes, a, e);
    print_times("  reference", gbytes, e, e);
}

static void print_linear_speed(const char *only)
{
    static const int sizes[][3] = {{16, 2048, 1000}, {64, 50176, 30}, {32, 784, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[64];
        const int *s = sizes[i];
        snprintf(name, sizeof name, "linear %d-%d", s[1], s[2]);
        if (only && !strstr(name, only)) continue;
        vt_linear_options o = {.name = name, .units = s[2]};
        int64_t in[] = {s[1]};
        double a[3], e[3], gflop = 2e-9 * s[0] * s[1] * s[2];
        times(a, &vt_backend_onednn, &vt_op_linear, &o, s[0], 1, in);
        times(e, &vt_backend_reference, &vt_op_linear, &o, s[0], 1, in);
        print_times(name, gflop, a, e);
    }
}

static void print_product_speed(void)
{
    enum { N = 1024 };
    vt_linear_options o = {.name = "product", .units = N, .no_bias = true};
    int64_t in[] = {N};
    double ms[3];
    times(ms, &vt_backend_onednn, &vt_op_linear, &o, N, 1, in);
    printf("matrix product of %d: %.1f GFLOP/s, %d threads\n", N, 2e-6 * N * N * N / ms[1],
           vt_threads());
}

static int speed(int threads, const char *only, bool with_reference)
{
    vt_threads_set(threads);
    print_product_speed();
    printf("%-26s %8s %6s %7s %8s %6s %7s %8s %6s %7s\n", "layer", "forward", "GF/s", "ratio",
           "data ms", "GF/s", "ratio", "params", "GF/s", "ratio");
    for (size_t i = 0; i < sizeof speeds / sizeof *speeds; i++) {
        const conv_case *c = &speeds[i].conv;
        if (only && !strstr(c->name, only)) continue;
        vt_conv2d_options o = conv_options(c);
        int64_t in[] = {c->size[0], c->size[1], c->channels};
        vt_op_shape shape = {.name = c->name, .options = &o, .inputs = 1};
        shape.in[0].ndim = 3;
        memcpy(shape.in[0].size, in, sizeof in);
        assert_ok(vt_op_conv2d.infer(&shape));
        double gflop = 1e-9 * (double)vt_op_conv2d.flops(&shape) * speeds[i].batch;
        double a[3], e[3] = {0};
        times(a, &vt_backend_onednn, &vt_op_conv2d, &o, speeds[i].batch, 3, in);
        if (with_reference)
            times(e, &vt_backend_reference, &vt_op_conv2d, &o, speeds[i].batch, 3, in);
        print_times(c->name, gflop, a, e);
    }
    print_linear_speed(only);
    print_norm_speed(only);
    print_pool_speed(only);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--speed") == 0)
        return speed(argc > 2 ? atoi(argv[2]) : 0, argc > 3 && *argv[3] ? argv[3] : NULL, argc > 4);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution_equals_reference),
        cmocka_unit_test(convolution_without_some_gradients),
        cmocka_unit_test(convolution_of_small_images),
        cmocka_unit_test(linear_equals_reference),
        cmocka_unit_test(normalization_equals_reference),
        cmocka_unit_test(normalization_far_from_zero),
        cmocka_unit_test(max_pool_equals_reference),
        cmocka_unit_test(bfloat16_is_close),
        cmocka_unit_test(packed_parameters_follow_refresh),
        cmocka_unit_test(threads_of_preparation_are_kept),
        cmocka_unit_test(what_it_declines),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
