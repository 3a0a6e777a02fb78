/* The first layers in training as one kernel: against plain loops in double, with the ordinary
 * kernels where those must be taken, the same bits from any number of threads; its inner loops for
 * every instruction set of this processor. */
#include "test.h"

#include "backend/stream_isa.h"
#include "base/arena.h"
#include "ventral/graph.h"
#include "ventral/progress.h"
#include "ventral/rng.h"

static void put(vt_tensor *t, int64_t i, double value)
{
    if (t->dtype == VT_F64)
        ((double *)t->data)[i] = value;
    else
        ((float *)t->data)[i] = (float)value;
}

/* Values that are the same in float and double. */
static void fill(vt_tensor *t, uint64_t seed, double mean, double scale)
{
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_INIT, 0, 0);
    for (int64_t i = 0; i < vt_tensor_count(t); i++)
        put(t, i, (double)(float)(mean + scale * vt_rng_normal(&rng)));
}

/* ---- networks ---- */

typedef struct layers {
    int height, width, channels, filters, batch;
    vt_conv2d_options conv, depth; /* without names and filters */
    bool unbiased, padded_explicitly;
    double mean; /* of the images */
} layers;

typedef struct network {
    vt_graph *graph;
    vt_node image, conv, norm, relu, depth;
    vt_plan *plan;
} network;

static void build(network *n, const layers *l, vt_dtype dtype)
{
    assert_ok(vt_graph_new(&n->graph, dtype, VT_NAMES_KERAS));
    vt_graph *g = n->graph;
    vt_conv2d_options conv = l->conv, depth = l->depth;
    conv.name = "conv", depth.name = "depth";
    conv.filters = depth.filters = depth.groups = l->filters;
    conv.padding = depth.padding = l->padded_explicitly ? VT_PAD_EXPLICIT : VT_PAD_SAME;
    n->image = vt_input(g, "image", 3, (int64_t[]){l->height, l->width, l->channels});
    n->conv = vt_conv2d(g, n->image, &conv);
    n->norm = vt_batch_norm(
        g, n->conv,
        &(vt_batch_norm_options){
            .name = "norm", .epsilon = 1e-3, .momentum = 0.3, .unbiased = l->unbiased});
    n->relu = vt_relu(g, n->norm, "relu");
    n->depth = vt_conv2d(g, n->relu, &depth);
    assert_ok(vt_graph_finish(g, 1));
    for (int i = 0; i < vt_graph_param_count(g); i++) {
        vt_param *p = vt_graph_param(g, i);
        bool positive = strstr(p->name, "variance") != NULL;
        fill(&p->value, 10 + (uint64_t)i, positive ? 3 : 0, positive ? 0.1 : 0.4);
    }
}

static void plan(network *n, const layers *l, vt_backend_kind backend)
{
    vt_plan_options options = {.batch = l->batch,
                               .training = true,
                               .backward = true,
                               .outputs = &n->depth,
                               .output_count = 1,
                               .backend = backend};
    assert_ok(vt_plan_new(&n->plan, n->graph, &options));
    fill(vt_plan_input(n->plan, n->image), 2, l->mean, 50);
}

static void run(network *n)
{
    fill(vt_plan_seed(n->plan, n->depth), 3, 0.1, 1);
    for (int i = 0; i < 2; i++) { /* gradients add up, running statistics go on */
        assert_ok(vt_plan_forward(n->plan));
        assert_ok(vt_plan_backward(n->plan));
    }
}

static void network_free(network *n)
{
    vt_plan_free(n->plan);
    vt_graph_free(n->graph);
}

/* Largest difference in units of the largest expected value. */
static double difference(const vt_tensor *actual, const vt_tensor *expected)
{
    double most = 0, scale = 0;
    for (int64_t i = 0; i < vt_tensor_count(expected); i++) {
        double e = vt_tensor_get(expected, i), d = fabs(vt_tensor_get(actual, i) - e);
        if (!(d <= most)) most = d;
        scale = fmax(scale, fabs(e));
    }
    return most / (scale > 0 ? scale : 1);
}

static void expect(int row, const char *what, double error, double tolerance)
{
    if (!(error <= tolerance)) fail_msg("case %d, %s: off by %g", row, what, error);
}

static void compare(int row, const layers *l, const char *kernel)
{
    network fast = {0}, exact = {0};
    build(&fast, l, VT_F32);
    build(&exact, l, VT_F64);
    plan(&fast, l, VT_BACKEND_AUTO);
    plan(&exact, l, VT_BACKEND_REFERENCE);
    assert_string_equal(kernel, vt_plan_kernel_name(fast.plan, fast.depth));
    run(&fast);
    run(&exact);
    expect(
        row, "output",
        difference(vt_plan_output(fast.plan, fast.depth), vt_plan_output(exact.plan, exact.depth)),
        1e-5);
    double largest = 0;
    for (int i = 0; i < vt_graph_param_count(exact.graph); i++) {
        const vt_param *p = vt_graph_param(exact.graph, i);
        for (int64_t k = 0; !p->is_buffer && k < vt_tensor_count(&p->gradient); k++)
            largest = fmax(largest, fabs(vt_tensor_get(&p->gradient, k)));
    }
    for (int i = 0; i < vt_graph_param_count(fast.graph); i++) {
        const vt_param *a = vt_graph_param(fast.graph, i), *e = vt_graph_param(exact.graph, i);
        expect(row, a->name, difference(&a->value, &e->value), 1e-6 + 2e-8 * l->mean);
        if (a->is_buffer) continue;
        if (strcmp(a->name, "conv.bias") != 0)
            expect(row, a->name, difference(&a->gradient, &e->gradient), 3e-5);
        else /* nothing but rounding in a batch normalization */
            for (int64_t k = 0; k < l->filters; k++)
                assert_close(vt_tensor_get(&a->gradient, k), 0, 1e-6 * largest);
    }
    network_free(&fast);
    network_free(&exact);
}

static const layers shapes[] = {
    {.height = 13,
     .width = 17,
     .channels = 3,
     .filters = 20,
     .batch = 3,
     .conv = {.kernel = {5, 5}},
     .depth = {.kernel = {5, 5}, .stride = {2, 2}, .no_bias = true}},
    {.height = 20,
     .width = 9,
     .channels = 3,
     .filters = 1,
     .batch = 2,
     .conv = {.kernel = {5, 5}},
     .depth = {.kernel = {5, 5}},
     .unbiased = true},
    {.height = 12,
     .width = 30,
     .channels = 1,
     .filters = 16,
     .batch = 40,
     .conv = {.kernel = {3, 3}, .stride = {2, 2}, .no_bias = true},
     .depth = {.kernel = {3, 3}, .no_bias = true},
     .mean = 100},
    {.height = 19,
     .width = 18,
     .channels = 2,
     .filters = 33,
     .batch = 5,
     .conv = {.kernel = {2, 4}, .stride = {1, 3}, .pad = {1, 0, 2, 5}},
     .depth = {.kernel = {3, 2}, .stride = {2, 3}, .dilation = {2, 1}, .pad = {0, 2, 3, 1}},
     .padded_explicitly = true},
    {.height = 21,
     .width = 22,
     .channels = 3,
     .filters = 101,
     .batch = 1,
     .conv = {.kernel = {7, 7}, .pad = {3, 3, 3, 3}},
     .padded_explicitly = true,
     .depth = {.kernel = {2, 2}, .stride = {3, 3}},
     .unbiased = true},
    {.height = 5,
     .width = 5,
     .channels = 3,
     .filters = 50,
     .batch = 7,
     .padded_explicitly = true,
     .conv = {.kernel = {5, 5}},
     .depth = {.kernel = {1, 1}}}, /* one pixel is left */
    {.height = 3,
     .width = 2,
     .channels = 4,
     .filters = 65,
     .batch = 6,
     .conv = {.kernel = {5, 5}},
     .depth = {.kernel = {7, 7}, .no_bias = true}},
    {.height = 11,
     .width = 8,
     .channels = 3,
     .filters = 3,
     .batch = 33,
     .conv = {.kernel = {1, 1}},
     .depth = {.kernel = {6, 7}, .dilation = {1, 2}}},
    {.height = 16,
     .width = 16,
     .channels = 3,
     .filters = 12,
     .batch = 4,
     .mean = 1000,
     .conv = {.kernel = {3, 3}, .stride = {4, 4}},
     .depth = {.kernel = {3, 3}, .stride = {1, 2}}},
};

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        compare((int)i, &shapes[i], "stem");
}

static void test_windows_not_taken(void **state)
{
    (void)state;
    layers large = shapes[0], dilated = shapes[0];
    large.channels = 12; /* 300 numbers in a patch */
    compare(-1, &large, "native");
    dilated.conv.dilation[0] = 2;
    compare(-2, &dilated, "native");
}

/* A filter without weights, one that ReLU closes, and images of one colour. */
static void test_dead_filters(void **state)
{
    (void)state;
    network fast = {0}, exact = {0}, *both[] = {&fast, &exact};
    for (int i = 0; i < 2; i++) {
        build(both[i], &shapes[0], i ? VT_F64 : VT_F32);
        vt_tensor *kernel = &vt_graph_find_param(both[i]->graph, "conv.kernel")->value;
        for (int64_t k = 0; k < 75; k++)
            put(kernel, k, 0);
        put(&vt_graph_find_param(both[i]->graph, "norm.gamma")->value, 1, 0);
        put(&vt_graph_find_param(both[i]->graph, "norm.beta")->value, 2, -50);
        plan(both[i], &shapes[0], i ? VT_BACKEND_REFERENCE : VT_BACKEND_AUTO);
        vt_tensor *image = vt_plan_input(both[i]->plan, both[i]->image);
        for (int64_t k = 0; k < vt_tensor_count(image); k++)
            put(image, k, 37);
        run(both[i]);
    }
    for (int i = 0; i < vt_graph_param_count(fast.graph); i++) {
        const vt_param *a = vt_graph_param(fast.graph, i), *e = vt_graph_param(exact.graph, i);
        expect(i, a->name, difference(&a->value, &e->value), 1e-6);
        if (!a->is_buffer && strcmp(a->name, "conv.bias") != 0)
            expect(i, a->name, difference(&a->gradient, &e->gradient), 1e-4);
    }
    network_free(&fast);
    network_free(&exact);
}

/* ---- when the ordinary kernels are taken ---- */

static const char *kernel_of(network *n, vt_plan_options options, vt_node node)
{
    static char name[32];
    vt_node outputs[] = {n->depth, n->relu};
    options.batch = 2;
    if (!options.outputs) options.outputs = outputs;
    if (!options.output_count) options.output_count = 1;
    assert_ok(vt_plan_new(&n->plan, n->graph, &options));
    snprintf(name, sizeof name, "%s", vt_plan_kernel_name(n->plan, node));
    vt_plan_free(n->plan);
    n->plan = NULL;
    return name;
}

static void test_ordinary_paths(void **state)
{
    (void)state;
    network n = {0};
    build(&n, &shapes[0], VT_F32);
    const vt_plan_options training = {.training = true, .backward = true};
    vt_plan_options o = training;
    vt_node all[] = {n.conv, n.norm, n.relu, n.depth};
    for (int i = 0; i < 4; i++)
        assert_string_equal("stem", kernel_of(&n, o, all[i]));
    for (int i = 0; i < 3; i++) { /* somebody looks at what is between */
        vt_node both[] = {n.depth, all[i]};
        o.outputs = both, o.output_count = 2;
        assert_string_not_equal("stem", kernel_of(&n, o, n.depth));
        o = training, o.gradients = &all[i], o.gradient_count = 1;
        assert_string_not_equal("stem", kernel_of(&n, o, n.depth));
        o = training;
    }
    o.gradients = &n.image, o.gradient_count = 1;
    assert_string_not_equal("stem", kernel_of(&n, o, n.depth));
    o = training, o.gradients = &n.depth, o.gradient_count = 1;
    assert_string_equal("stem", kernel_of(&n, o, n.depth));
    o = training, o.backward = false;
    assert_string_not_equal("stem", kernel_of(&n, o, n.depth));
    o = training, o.training = false;
    assert_string_not_equal("stem", kernel_of(&n, o, n.depth));
    o = training, o.backend = VT_BACKEND_ONEDNN;
    assert_string_not_equal("stem", kernel_of(&n, o, n.depth));
    o = training, o.backend = VT_BACKEND_REFERENCE;
    assert_string_equal("reference", kernel_of(&n, o, n.depth));
    o = training, o.frozen = true, o.gradients = &n.image, o.gradient_count = 1;
    assert_string_not_equal("stem", kernel_of(&n, o, n.depth));
    const char *const parts[] = {"conv", "norm.beta", "depth"};
    for (int i = 0; i < 3; i++) {
        vt_graph_set_trainable(n.graph, parts[i], false);
        assert_string_not_equal("stem", kernel_of(&n, training, n.depth));
        vt_graph_set_trainable(n.graph, parts[i], true);
    }
    assert_string_equal("stem", kernel_of(&n, training, n.depth));
    vt_graph_free(n.graph);
    build(&n, &shapes[0], VT_F64);
    assert_string_equal("reference", kernel_of(&n, training, n.depth));
    vt_graph_free(n.graph);
}

/* Other layers between, a ReLU missing, groups that are no channels, two readers of the ReLU. */
static void test_other_chains(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        network n = {0};
        assert_ok(vt_graph_new(&n.graph, VT_F32, VT_NAMES_KERAS));
        vt_graph *g = n.graph;
        n.image = vt_input(g, "image", 3, (int64_t[]){9, 9, 4});
        vt_conv2d_options conv = {.name = "conv", .filters = 8, .kernel = {3, 3}};
        vt_conv2d_options depth = {.name = "depth", .filters = 8, .groups = 8, .kernel = {3, 3}};
        if (kind == 0) conv.groups = 2;
        if (kind == 1) depth.filters = 16;
        if (kind == 2) depth.groups = 4;
        vt_node x = vt_conv2d(g, n.image, &conv);
        x = vt_batch_norm(g, x, &(vt_batch_norm_options){.name = "norm", .epsilon = 1e-3});
        if (kind != 3) x = vt_relu(g, x, "relu");
        if (kind == 4) x = vt_dropout(g, x, &(vt_dropout_options){.name = "drop", .rate = 0.5});
        n.relu = n.depth = vt_conv2d(g, x, &depth);
        assert_ok(vt_graph_finish(g, 1));
        const vt_plan_options training = {.training = true, .backward = true};
        assert_string_not_equal("stem", kernel_of(&n, training, n.depth));
        vt_graph_free(g);
    }
}

/* ---- sums do not depend on threads; memory can run short ---- */

static void test_threads(void **state)
{
    (void)state;
    network n[2] = {0};
    const layers *l = &shapes[4]; /* one image, in bands */
    for (int i = 0; i < 2; i++) {
        vt_threads_set(i ? 3 : 1);
        build(&n[i], l, VT_F32);
        plan(&n[i], l, VT_BACKEND_AUTO);
        run(&n[i]);
    }
    vt_threads_set(0);
    for (int i = 0; i < vt_graph_param_count(n[0].graph); i++) {
        const vt_param *a = vt_graph_param(n[0].graph, i), *b = vt_graph_param(n[1].graph, i);
        assert_memory_equal(a->value.data, b->value.data, vt_tensor_bytes(&a->value));
        if (!a->is_buffer)
            assert_memory_equal(a->gradient.data, b->gradient.data, vt_tensor_bytes(&a->gradient));
    }
    network_free(&n[0]);
    network_free(&n[1]);
}

static void test_memory_runs_short(void **state)
{
    (void)state;
    network n = {0};
    build(&n, &shapes[0], VT_F32);
    vt_plan_options options = {
        .batch = 2, .training = true, .backward = true, .outputs = &n.depth, .output_count = 1};
    vt_status status = VT_ENOMEM;
    int failures = 0;
    for (; status != VT_OK; failures++) {
        vt_alloc_fail_after(failures);
        status = vt_plan_new(&n.plan, n.graph, &options);
        vt_alloc_fail_after(-1);
        if (status != VT_OK) assert_status(VT_ENOMEM, status);
    }
    assert_true(failures > 10);
    network_free(&n);
}

/* ---- training ---- */

/* Losses of a few steps of gradient descent of a small compact model. */
static void train(vt_backend_kind backend, double *losses, int steps)
{
    vt_graph *g;
    assert_ok(vt_graph_new(&g, VT_F32, VT_NAMES_KERAS));
    vt_node image = vt_input(g, "image", 3, (int64_t[]){24, 24, 3}), x = image;
    vt_node target = vt_input(g, "target", 1, (int64_t[]){1});
    x = vt_conv2d(g, x,
                  &(vt_conv2d_options){
                      .name = "c0", .filters = 20, .kernel = {5, 5}, .padding = VT_PAD_SAME});
    vt_batch_norm_options norm = {.name = "n0", .epsilon = 1e-3, .momentum = 0.01};
    x = vt_relu(g, vt_batch_norm(g, x, &norm), "r0");
    x = vt_conv2d(g, x,
                  &(vt_conv2d_options){.name = "d1",
                                       .filters = 20,
                                       .groups = 20,
                                       .kernel = {5, 5},
                                       .stride = {2, 2},
                                       .padding = VT_PAD_SAME,
                                       .no_bias = true});
    x = vt_conv2d(g, x, &(vt_conv2d_options){.name = "p1", .filters = 10, .kernel = {1, 1}});
    norm.name = "n1";
    x = vt_flatten(g, vt_relu(g, vt_batch_norm(g, x, &norm), "r1"), "flat");
    x = vt_linear(g, x, &(vt_linear_options){.name = "readout", .units = 1});
    vt_node loss = vt_mean_squared_error(g, x, target, "loss");
    assert_ok(vt_graph_finish(g, 3));
    vt_plan *p;
    vt_plan_options options = {.batch = 16,
                               .training = true,
                               .backward = true,
                               .outputs = &loss,
                               .output_count = 1,
                               .backend = backend};
    assert_ok(vt_plan_new(&p, g, &options));
    const char *kernel = vt_plan_kernel_name(p, vt_graph_find(g, "d1"));
    assert_string_equal(backend == VT_BACKEND_AUTO ? "stem" : "native", kernel);
    for (int step = 0; step < steps; step++) {
        fill(vt_plan_input(p, image), 50 + (uint64_t)step % 3, 0, 60);
        fill(vt_plan_input(p, target), 80 + (uint64_t)step % 3, 0, 1);
        vt_graph_zero_gradients(g);
        assert_ok(vt_plan_forward(p));
        assert_ok(vt_plan_backward(p));
        losses[step] = vt_tensor_get(vt_plan_output(p, loss), 0);
        for (int i = 0; i < vt_graph_param_count(g); i++) {
            vt_param *param = vt_graph_param(g, i);
            for (int64_t k = 0; param->trainable && k < vt_tensor_count(&param->value); k++)
                ((float *)param->value.data)[k] -= 1e-3f * ((float *)param->gradient.data)[k];
        }
    }
    vt_plan_free(p);
    vt_graph_free(g);
}

static void test_training(void **state)
{
    (void)state;
    enum { STEPS = 12 };
    double fused[STEPS], ordinary[STEPS];
    train(VT_BACKEND_AUTO, fused, STEPS);
    train(VT_BACKEND_ONEDNN, ordinary, STEPS);
    assert_true(fused[STEPS - 1] < 0.8 * fused[2]); /* it learns */
    for (int i = 0; i < STEPS; i++)
        assert_close(fused[i] / ordinary[i], 1, 1e-4);
}

/* ---- inner loops ---- */

static int instruction_sets(const vt_stream_isa *sets[3])
{
    int count = 0;
    sets[count++] = &vt_stream_isa_base;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        sets[count++] = &vt_stream_isa_avx2;
    if (__builtin_cpu_supports("avx512f")) sets[count++] = &vt_stream_isa_avx512;
#endif
    return count;
}

enum { ROW = 4096, SUMS = 8192 };

static void noise(float *x, int count, uint64_t seed)
{
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_INIT, 0, 0);
    for (int i = 0; i < count; i++)
        x[i] = (float)vt_rng_normal(&rng);
}

/* Rows of different memory, sums that are not zero at first. */
static void check_gather(const vt_stream_isa *isa, int vectors, int length)
{
    static float rows[3][ROW], g[ROW], sums[SUMS], expected[SUMS];
    const float *at[3] = {rows[0], rows[1], rows[2]};
    vt_stream_gather gather = {.rows = at,
                               .row = g,
                               .sums = sums,
                               .width = 9,
                               .kernel_rows = 3,
                               .in_stride = 4,
                               .tap_length = length,
                               .step = vectors * isa->lanes,
                               .g_step = vectors * isa->lanes + 3};
    noise(rows[0], 3 * ROW, 1), noise(g, ROW, 2), noise(sums, SUMS, 3);
    memcpy(expected, sums, sizeof sums);
    for (int k = 0; k < 3 * length; k++)
        for (int x = 0; x < 9; x++)
            for (int f = 0; f < gather.step; f++)
                expected[k * gather.step + f] +=
                    rows[k / length][4 * x + k % length] * g[x * gather.g_step + f];
    isa->gather(&gather);
    for (int i = 0; i < SUMS; i++)
        assert_close(sums[i], expected[i], 1e-4);
}

static void check_gather_depthwise(const vt_stream_isa *isa, int rows, int taps)
{
    static float g[6][ROW / 4], row[ROW], sums[SUMS], expected[SUMS];
    const float *at[6];
    int starts[6], step = 2 * isa->lanes;
    noise(g[0], 6 * ROW / 4, 1), noise(row, ROW, 2), noise(sums, SUMS, 3);
    memcpy(expected, sums, sizeof sums);
    for (int r = 0; r < rows; r++) {
        at[r] = g[5 - r];
        starts[r] = (2 * r + 1) * taps * step;
        for (int t = 0; t < taps; t++)
            for (int x = 0; x < 7; x++)
                for (int c = 0; c < step; c++)
                    expected[starts[r] + t * step + c] +=
                        at[r][x * step + c] * row[(2 * x + 3 * t) * step + c];
    }
    isa->gather_depthwise(&(vt_stream_gather){.rows = at,
                                              .row = row,
                                              .sums = sums,
                                              .width = 7,
                                              .kernel_rows = rows,
                                              .starts = starts,
                                              .in_stride = 2 * step,
                                              .taps = taps,
                                              .tap_step = 3 * step,
                                              .g_step = step,
                                              .step = step});
    for (int i = 0; i < SUMS; i++)
        assert_close(sums[i], expected[i], 1e-4);
}

static void check_pass(const vt_stream_isa *isa)
{
    enum { PIXELS = 5 };
    float g[PIXELS * 32], y[PIXELS * 32], sums[32], expected[32];
    int step = 2 * isa->lanes;
    noise(g, PIXELS * step, 1), noise(y, PIXELS * step, 2), noise(sums, step, 3);
    y[0] = 0, y[1] = -0.0f, y[2] = NAN, y[3] = 1e-30f;
    memcpy(expected, sums, sizeof sums);
    float before = g[3];
    for (int i = 0; i < PIXELS * step; i++)
        if (y[i] > 0) expected[i % step] += g[i];
    isa->pass(g, y, sums, PIXELS, step);
    assert_true(g[0] == 0 && g[1] == 0 && g[2] == 0 && g[3] == before);
    for (int i = 0; i < step; i++)
        assert_close(sums[i], expected[i], 1e-5);
}

static void test_instruction_sets(void **state)
{
    (void)state;
    const vt_stream_isa *sets[3];
    int count = instruction_sets(sets);
    for (int i = 0; i < count; i++) {
        for (int vectors = 1; vectors <= 9; vectors++)
            for (int length = 1; length <= 16; length += 1 + length / 6)
                check_gather(sets[i], vectors, length);
        for (int rows = 1; rows <= 6; rows++)
            for (int taps = 1; taps <= 11; taps++)
                check_gather_depthwise(sets[i], rows, taps);
        check_pass(sets[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_windows_not_taken),
        cmocka_unit_test(test_dead_filters),
        cmocka_unit_test(test_ordinary_paths),
        cmocka_unit_test(test_other_chains),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_memory_runs_short),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_instruction_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
