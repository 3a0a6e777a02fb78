/* Graphs and plans: building mistakes, fusion and streaming against plain loops, memory reuse,
 * gradients through whole networks, optimisers. */
#include "test.h"

#include "base/arena.h"
#include "graph/memory.h"
#include "ventral/graph.h"
#include "ventral/model.h"
#include "ventral/progress.h"
#include "ventral/rng.h"
#include "ventral/train.h"

static void fill(vt_tensor *t, uint64_t seed, double scale)
{
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_INIT, 0, 0);
    int64_t count = vt_tensor_count(t);
    for (int64_t i = 0; i < count; i++) {
        double value = scale * vt_rng_normal(&rng);
        if (t->dtype == VT_F64)
            ((double *)t->data)[i] = value;
        else
            ((float *)t->data)[i] = (float)value;
    }
}

/* Running statistics and affine parameters away from their neutral start. */
static void disturb(vt_graph *graph)
{
    for (int i = 0; i < vt_graph_param_count(graph); i++) {
        vt_param *param = vt_graph_param(graph, i);
        vt_tensor noise;
        assert_ok(vt_tensor_new(&noise, VT_F64, param->value.ndim, param->value.size));
        fill(&noise, 100 + (uint64_t)i, 1);
        bool variance = strstr(param->name, "variance") || strstr(param->name, "running_var");
        for (int64_t k = 0; k < vt_tensor_count(&noise); k++) {
            double x = ((double *)noise.data)[k], old = vt_tensor_get(&param->value, k);
            double value = variance ? 0.5 + x * x : param->value.ndim == 1 ? old + 0.3 * x : old;
            if (param->value.dtype == VT_F64)
                ((double *)param->value.data)[k] = value;
            else
                ((float *)param->value.data)[k] = (float)value;
        }
        vt_tensor_free(&noise);
    }
    vt_graph_touch(graph);
}

static double worst_difference(const vt_tensor *a, const vt_tensor *b)
{
    double worst = 0, scale = 0;
    assert_int_equal(vt_tensor_count(a), vt_tensor_count(b));
    for (int64_t i = 0; i < vt_tensor_count(a); i++) {
        double x = vt_tensor_get(a, i), y = vt_tensor_get(b, i);
        assert_true(isfinite(x) && isfinite(y));
        worst = fmax(worst, fabs(x - y));
        scale = fmax(scale, fabs(y));
    }
    return worst / (scale > 0 ? scale : 1);
}

static void compare_backends(vt_graph *graph, vt_node input, vt_node output, int64_t batch,
                             vt_backend_kind kind, const char *expected_kernel)
{
    vt_plan *fast, *plain;
    vt_plan_options options = {.batch = batch, .outputs = &output, .output_count = 1};
    options.backend = kind;
    assert_ok(vt_plan_new(&fast, graph, &options));
    options.backend = VT_BACKEND_REFERENCE;
    assert_ok(vt_plan_new(&plain, graph, &options));
    fill(vt_plan_input(fast, input), 1, 60);
    fill(vt_plan_input(plain, input), 1, 60);
    if (expected_kernel) assert_string_equal(expected_kernel, vt_plan_kernel_name(fast, output));
    for (int run = 0; run < 2; run++) { /* the second run finds dirty buffers */
        assert_ok(vt_plan_forward(fast));
        assert_ok(vt_plan_forward(plain));
        assert_true(worst_difference(vt_plan_output(fast, output), vt_plan_output(plain, output)) <
                    1e-5);
    }
    vt_plan_free(fast);
    vt_plan_free(plain);
}

static void test_streamed_compact_models(void **state)
{
    (void)state;
    const int filters[][VT_COMPACT_LAYERS] = {
        {48, 60, 3, 7, 3}, {1, 2, 3, 4, 5}, {25, 24, 17, 33, 8}, {8, 16, 9, 3, 3}};
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        for (int shared = 0; shared < 2; shared++) {
            vt_compact_options options = {.height = 20 + 8 * (int)i,
                                          .width = 28,
                                          .outputs = shared ? 11 : 1,
                                          .shared = shared,
                                          .linear = i == 2};
            memcpy(options.filters, filters[i], sizeof options.filters);
            vt_model *model;
            assert_ok(vt_compact_new(&model, &options));
            disturb(vt_model_graph(model));
            compare_backends(vt_model_graph(model), vt_model_input(model), vt_model_output(model),
                             3, VT_BACKEND_AUTO, "stream");
            compare_backends(vt_model_graph(model), vt_model_input(model), vt_model_output(model),
                             3, VT_BACKEND_ONEDNN, NULL);
            vt_model_free(model);
        }
}

/* Dilation, asymmetric padding, rows a stride skips. */
static void test_streamed_odd_windows(void **state)
{
    (void)state;
    vt_graph *g;
    assert_ok(vt_graph_new(&g, VT_F32, VT_NAMES_TORCH));
    vt_node input = vt_input(g, "x", 3, (int64_t[]){23, 19, 5});
    vt_node y = vt_conv2d(
        g, input,
        &(vt_conv2d_options){
            .name = "a", .filters = 10, .kernel = {3, 2}, .dilation = {2, 3}, .pad = {3, 0, 1, 4}});
    y = vt_conv2d(
        g, y,
        &(vt_conv2d_options){
            .name = "b", .filters = 7, .kernel = {1, 1}, .stride = {3, 2}, .no_bias = true});
    y = vt_conv2d(g, y,
                  &(vt_conv2d_options){.name = "c",
                                       .filters = 7,
                                       .groups = 7,
                                       .kernel = {4, 3},
                                       .dilation = {1, 2},
                                       .pad = {2, 3, 2, 2}});
    y = vt_conv2d(g, y, &(vt_conv2d_options){.name = "d", .filters = 9, .kernel = {3, 3}});
    assert_ok(vt_graph_finish(g, 5));
    compare_backends(g, input, y, 2, VT_BACKEND_AUTO, "stream");
    vt_graph_free(g);
}

/* A tap anywhere gives the same values as plain loops, and the same final output. */
static void test_taps(void **state)
{
    (void)state;
    vt_model *model;
    vt_compact_options options = {
        .filters = {6, 5, 4, 3, 3}, .height = 16, .width = 16, .outputs = 4, .shared = true};
    assert_ok(vt_compact_new(&model, &options));
    vt_graph *g = vt_model_graph(model);
    disturb(g);
    for (vt_node node = 1; node < vt_graph_node_count(g); node++) {
        vt_node outputs[2] = {node, vt_model_output(model)};
        vt_plan *plans[2];
        for (int k = 0; k < 2; k++) {
            vt_plan_options o = {.batch = 2,
                                 .outputs = outputs,
                                 .output_count = 2,
                                 .backend = k ? VT_BACKEND_REFERENCE : VT_BACKEND_AUTO};
            assert_ok(vt_plan_new(&plans[k], g, &o));
            fill(vt_plan_input(plans[k], vt_model_input(model)), 3, 50);
            assert_ok(vt_plan_forward(plans[k]));
        }
        for (int k = 0; k < 2; k++)
            assert_true(worst_difference(vt_plan_output(plans[0], outputs[k]),
                                         vt_plan_output(plans[1], outputs[k])) < 1e-5);
        vt_plan_free(plans[0]);
        vt_plan_free(plans[1]);
    }
    vt_model_free(model);
}

static void test_partial_plan_computes_only_what_is_needed(void **state)
{
    (void)state;
    vt_model *model;
    assert_ok(
        vt_compact_new(&model, &(vt_compact_options){.filters = {4, 4, 4, 4, 4}, .outputs = 1}));
    vt_graph *g = vt_model_graph(model);
    vt_node tap = vt_graph_find(g, "layer1_act");
    vt_plan *part, *whole;
    vt_node last = vt_model_output(model);
    assert_ok(
        vt_plan_new(&part, g, &(vt_plan_options){.batch = 1, .outputs = &tap, .output_count = 1}));
    assert_ok(vt_plan_new(&whole, g,
                          &(vt_plan_options){.batch = 1, .outputs = &last, .output_count = 1}));
    assert_null(vt_plan_kernel_name(part, last));
    assert_null(vt_plan_output(part, last));
    assert_non_null(vt_plan_kernel_name(part, tap));
    assert_non_null(vt_plan_kernel_name(whole, last));
    vt_plan_free(part);
    vt_plan_free(whole);
    vt_model_free(model);
}

typedef struct small_net {
    vt_graph *g;
    vt_node x, target, loss, branch;
} small_net;

/* Convolutions, normalization, a branch that is added back, pooling, dropout, readout, loss. */
static small_net make_small_net(vt_dtype dtype)
{
    small_net net;
    assert_ok(vt_graph_new(&net.g, dtype, VT_NAMES_TORCH));
    net.x = vt_input(net.g, "x", 3, (int64_t[]){7, 6, 3});
    net.target = vt_input(net.g, "t", 1, (int64_t[]){4});
    vt_node y = vt_conv2d(net.g, net.x,
                          &(vt_conv2d_options){.name = "conv1",
                                               .filters = 6,
                                               .kernel = {3, 3},
                                               .padding = VT_PAD_SAME,
                                               .stride = {2, 1}});
    y = vt_batch_norm(net.g, y,
                      &(vt_batch_norm_options){.name = "bn1", .epsilon = 1e-3, .momentum = 0.1});
    y = vt_relu(net.g, y, "relu1");
    net.branch = y;
    y = vt_conv2d(
        net.g, y,
        &(vt_conv2d_options){
            .name = "conv2", .filters = 6, .groups = 3, .kernel = {3, 3}, .padding = VT_PAD_SAME});
    y = vt_add(net.g, y, net.branch, "add");
    y = vt_dropout(net.g, y, &(vt_dropout_options){.name = "drop", .rate = 0.3, .channels = true});
    y = vt_average_pool(net.g, y, &(vt_pool_options){.name = "pool", .kernel = {2, 2}});
    y = vt_flatten(net.g, y, "flat");
    y = vt_linear(net.g, y, &(vt_linear_options){.name = "fc", .units = 4});
    net.loss = vt_mean_squared_error(net.g, y, net.target, "loss");
    assert_ok(vt_graph_finish(net.g, 11));
    disturb(net.g);
    return net;
}

static double loss_of(vt_plan *plan, const small_net *net)
{
    assert_ok(vt_plan_forward(plan));
    return vt_tensor_get(vt_plan_output(plan, net->loss), 0);
}

static void check_gradient(vt_plan *plan, const small_net *net, double *values,
                           const double *gradient, int64_t count, const char *name)
{
    const double h = 1e-5;
    for (int64_t i = 0; i < count; i += 1 + count / 25) {
        double old = values[i];
        values[i] = old + h;
        vt_graph_touch(net->g);
        double up = loss_of(plan, net);
        values[i] = old - h;
        vt_graph_touch(net->g);
        double down = loss_of(plan, net);
        values[i] = old;
        vt_graph_touch(net->g);
        double numeric = (up - down) / (2 * h);
        if (fabs(numeric - gradient[i]) > 1e-6 * fmax(1, fabs(numeric)))
            fail_msg("%s[%lld]: numeric %.10g, analytic %.10g", name, (long long)i, numeric,
                     gradient[i]);
    }
}

static void test_gradients_through_a_network(void **state)
{
    (void)state;
    for (int training = 0; training < 2; training++) {
        small_net net = make_small_net(VT_F64);
        vt_plan *plan;
        vt_plan_options options = {.batch = 5,
                                   .training = training,
                                   .backward = true,
                                   .outputs = &net.loss,
                                   .output_count = 1,
                                   .gradients = &net.x,
                                   .gradient_count = 1,
                                   .seed = 9};
        assert_ok(vt_plan_new(&plan, net.g, &options));
        fill(vt_plan_input(plan, net.x), 1, 1);
        fill(vt_plan_input(plan, net.target), 2, 1);
        vt_plan_set_step(plan, 4);
        for (int twice = 0; twice < 2; twice++) { /* gradients accumulate until zeroed */
            vt_graph_zero_gradients(net.g);
            loss_of(plan, &net);
            assert_ok(vt_plan_backward(plan));
        }
        const vt_tensor *gx = vt_plan_gradient(plan, net.x);
        vt_tensor kept;
        assert_ok(vt_tensor_convert(&kept, gx, VT_F64));
        check_gradient(plan, &net, vt_plan_input(plan, net.x)->data, kept.data, vt_tensor_count(gx),
                       "x");
        vt_tensor_free(&kept);
        for (int i = 0; i < vt_graph_param_count(net.g); i++) {
            vt_param *p = vt_graph_param(net.g, i);
            if (p->trainable)
                check_gradient(plan, &net, p->value.data, p->gradient.data,
                               vt_tensor_count(&p->value), p->name);
        }
        vt_plan_free(plan);
        vt_graph_free(net.g);
    }
}

/* Every way in which backward may share memory: a chain, both inputs of a sum, one node twice, a
 * view in between. What else is wanted forbids some of it and must not change a number. */
static small_net make_sharing_net(vt_dtype dtype, vt_node nodes[5])
{
    small_net net;
    vt_batch_norm_options norm = {.name = "bn1", .epsilon = 1e-3, .momentum = 0.1};
    assert_ok(vt_graph_new(&net.g, dtype, VT_NAMES_TORCH));
    net.x = vt_input(net.g, "x", 3, (int64_t[]){4, 4, 3});
    net.target = vt_input(net.g, "t", 1, (int64_t[]){4});
    vt_node y = vt_relu(net.g, net.x, "relu0");
    nodes[0] = y = vt_batch_norm(net.g, y, &norm);
    nodes[1] = net.branch = y = vt_relu(net.g, y, "relu1");
    norm.name = "bn2";
    y = vt_batch_norm(net.g, y, &norm);
    nodes[2] = y = vt_add(net.g, y, net.branch, "add");
    nodes[3] = y = vt_relu(net.g, y, "relu2");
    y = vt_add(net.g, y, y, "twice");
    nodes[4] = y = vt_flatten(net.g, y, "flat");
    y = vt_relu(net.g, y, "relu3");
    y = vt_linear(net.g, y, &(vt_linear_options){.name = "fc", .units = 4});
    net.loss = vt_mean_squared_error(net.g, y, net.target, "loss");
    assert_ok(vt_graph_finish(net.g, 11));
    disturb(net.g);
    return net;
}

static void test_gradients_that_share_memory(void **state)
{
    (void)state;
    for (int dtype = 0; dtype < 2; dtype++) {
        vt_tensor all[8] = {0}; /* the first way's gradients: of x, then of the parameters */
        for (int way = 0; way < 8; way++) {
            vt_node nodes[5];
            small_net net = make_sharing_net(dtype ? VT_F32 : VT_F64, nodes);
            bool wanted = way & 1, kept = way > 1; /* one node's gradient, or its values */
            vt_node gradients[] = {net.x, nodes[way / 2]}, outputs[] = {net.loss, nodes[way / 2]};
            vt_plan *plan;
            assert_ok(vt_plan_new(&plan, net.g,
                                  &(vt_plan_options){.batch = 6,
                                                     .training = true,
                                                     .backward = true,
                                                     .outputs = outputs,
                                                     .output_count = kept ? 2 : 1,
                                                     .gradients = gradients,
                                                     .gradient_count = wanted ? 2 : 1}));
            fill(vt_plan_input(plan, net.x), 1, 1);
            fill(vt_plan_input(plan, net.target), 2, 1);
            loss_of(plan, &net);
            assert_ok(vt_plan_backward(plan));
            for (int i = -1, k = 0; i < vt_graph_param_count(net.g); i++) {
                if (i >= 0 && !vt_graph_param(net.g, i)->trainable) continue;
                const vt_tensor *t =
                    i < 0 ? vt_plan_gradient(plan, net.x) : &vt_graph_param(net.g, i)->gradient;
                if (way == 0) assert_ok(vt_tensor_convert(&all[k], t, t->dtype));
                for (int64_t e = 0; e < vt_tensor_count(t); e++)
                    assert_true(vt_tensor_get(t, e) == vt_tensor_get(&all[k], e));
                k++;
            }
            if (dtype == 0 && way == 0)
                check_gradient(plan, &net, vt_plan_input(plan, net.x)->data, all[0].data,
                               vt_tensor_count(&all[0]), "x");
            vt_plan_free(plan);
            vt_graph_free(net.g);
        }
        for (int k = 0; k < 8; k++)
            vt_tensor_free(&all[k]);
    }
}

/* Two recordings in one batch: values against the definition, gradients against differences. */
static void test_gaussian_readout(void **state)
{
    (void)state;
    small_net net;
    assert_ok(vt_graph_new(&net.g, VT_F64, VT_NAMES_KERAS));
    net.x = vt_input(net.g, "f", 3, (int64_t[]){6, 5, 4});
    vt_node group = vt_input(net.g, "group", 1, (int64_t[]){1});
    net.target = vt_input(net.g, "t", 1, (int64_t[]){5});
    vt_node y =
        vt_gaussian_readout(net.g, net.x, group,
                            &(vt_gaussian_readout_options){
                                .name = "readout", .group_count = 2, .neurons = {3, 2}, .sd = 1.5});
    net.loss = vt_mean_squared_error(net.g, y, net.target, "loss");
    assert_ok(vt_graph_finish(net.g, 3));
    vt_param *mixing = vt_graph_find_param(net.g, "readout.mixing");
    vt_param *bias = vt_graph_find_param(net.g, "readout.bias");
    vt_param *position = vt_graph_find_param(net.g, "readout.position");
    vt_param *log_sd = vt_graph_find_param(net.g, "readout.log_sd");
    fill(&mixing->value, 21, 1);
    fill(&bias->value, 22, 1);
    fill(&position->value, 23, 1);
    vt_graph_touch(net.g);
    vt_node outputs[2] = {net.loss, y};
    vt_plan *plan;
    assert_ok(vt_plan_new(&plan, net.g,
                          &(vt_plan_options){.batch = 3,
                                             .training = true,
                                             .backward = true,
                                             .outputs = outputs,
                                             .output_count = 2,
                                             .gradients = &net.x,
                                             .gradient_count = 1}));
    double *f = vt_plan_input(plan, net.x)->data, *t = vt_plan_input(plan, net.target)->data;
    fill(vt_plan_input(plan, net.x), 1, 1);
    fill(vt_plan_input(plan, net.target), 2, 1);
    double *groups = vt_plan_input(plan, group)->data;
    groups[0] = 0, groups[1] = 1, groups[2] = 0;
    for (int n = 0; n < 3; n++)
        for (int i = 0; i < 5; i++)
            if ((i >= 3) != (groups[n] == 1)) t[n * 5 + i] = NAN;
    loss_of(plan, &net);
    const double *out = vt_plan_output(plan, y)->data;
    for (int n = 0; n < 3; n++)
        for (int i = 0; i < 5; i++) {
            double sum = 0, total[2] = {1e-6, 1e-6}, pool[2][6];
            const double *p = (double *)position->value.data + 2 * i;
            const double *s = (double *)log_sd->value.data + 2 * i;
            for (int axis = 0; axis < 2; axis++)
                for (int k = 0; k < 6 - axis; k++) {
                    double d = (k - (5 - axis) / 2.0 - p[axis]) / exp(s[axis]);
                    total[axis] += pool[axis][k] = exp(-d * d / 2);
                }
            for (int c = 0; c < 4; c++)
                for (int yy = 0; yy < 6; yy++)
                    for (int x = 0; x < 5; x++)
                        sum += ((double *)mixing->value.data)[4 * i + c] * pool[0][yy] / total[0] *
                               pool[1][x] / total[1] * f[((n * 6 + yy) * 5 + x) * 4 + c];
            bool mine = (i >= 3) == (groups[n] == 1);
            double expected = mine ? sum + ((double *)bias->value.data)[i] : 0;
            assert_close(out[n * 5 + i], expected, 1e-12);
        }
    vt_graph_zero_gradients(net.g);
    assert_ok(vt_plan_backward(plan));
    vt_tensor kept;
    assert_ok(vt_tensor_convert(&kept, vt_plan_gradient(plan, net.x), VT_F64));
    check_gradient(plan, &net, f, kept.data, vt_tensor_count(&kept), "features");
    vt_tensor_free(&kept);
    for (int i = 0; i < vt_graph_param_count(net.g); i++) {
        vt_param *p = vt_graph_param(net.g, i);
        check_gradient(plan, &net, p->value.data, p->gradient.data, vt_tensor_count(&p->value),
                       p->name);
    }
    vt_plan_free(plan);
    vt_graph_free(net.g);
}

static void test_frozen_parameters_get_no_gradient(void **state)
{
    (void)state;
    small_net net = make_small_net(VT_F32);
    vt_graph_set_trainable(net.g, "conv", false);
    vt_graph_set_trainable(net.g, "bn", false);
    vt_plan *plan;
    assert_ok(vt_plan_new(&plan, net.g,
                          &(vt_plan_options){.batch = 2,
                                             .training = true,
                                             .backward = true,
                                             .outputs = &net.loss,
                                             .output_count = 1}));
    fill(vt_plan_input(plan, net.x), 1, 1);
    fill(vt_plan_input(plan, net.target), 2, 1);
    assert_ok(vt_plan_forward(plan));
    assert_ok(vt_plan_backward(plan));
    for (int i = 0; i < vt_graph_param_count(net.g); i++) {
        vt_param *p = vt_graph_param(net.g, i);
        if (!p->gradient.data) continue;
        double sum = 0;
        for (int64_t k = 0; k < vt_tensor_count(&p->gradient); k++)
            sum += fabs(vt_tensor_get(&p->gradient, k));
        assert_int_equal(sum > 0, strncmp(p->name, "fc", 2) == 0);
    }
    vt_plan_free(plan);
    vt_graph_free(net.g);
}

/* Training lowers the loss, by the same steps whatever other plans share the workspace. */
static void test_training(void **state)
{
    (void)state;
    const vt_optimizer_options kinds[] = {
        {.kind = VT_SGD, .momentum = 0.9, .weight_decay = 1e-5, .clip_value = 0.5},
        {.kind = VT_ADAM, .weight_decay = 1e-3}};
    for (int k = 0; k < 2; k++) {
        double first = 0, last[2];
        for (int run = 0; run < 2; run++) {
            small_net net = make_small_net(VT_F32);
            vt_workspace *workspace;
            vt_plan *plan, *other;
            vt_optimizer *optimizer;
            assert_ok(vt_workspace_new(&workspace));
            vt_plan_options options = {.batch = 8,
                                       .training = true,
                                       .backward = true,
                                       .outputs = &net.loss,
                                       .output_count = 1,
                                       .workspace = run ? workspace : NULL};
            assert_ok(vt_plan_new(&plan, net.g, &options));
            options.batch = 7; /* as of an epoch's last batch */
            assert_ok(vt_plan_new(&other, net.g, &options));
            assert_ok(vt_optimizer_new(&optimizer, net.g, &kinds[k]));
            for (uint32_t step = 0; step < 40; step++) {
                fill(vt_plan_input(other, net.x), 5, 1);
                fill(vt_plan_input(other, net.target), 6, 1);
                vt_plan_set_step(other, step);
                assert_ok(vt_plan_forward(other));
                assert_ok(vt_plan_backward(other));
                assert_ok(vt_optimizer_step(optimizer, 0.01));
                fill(vt_plan_input(plan, net.x), 1, 1);
                fill(vt_plan_input(plan, net.target), 2, 1);
                vt_plan_set_step(plan, step);
                assert_ok(vt_plan_forward(plan));
                last[run] = vt_tensor_get(vt_plan_output(plan, net.loss), 0);
                if (step == 0) first = last[run];
                assert_ok(vt_plan_backward(plan));
                assert_ok(vt_optimizer_step(optimizer, 0.01));
            }
            vt_optimizer_free(optimizer);
            vt_plan_free(plan);
            vt_plan_free(other);
            vt_graph_free(net.g);
            vt_workspace_free(workspace);
        }
        assert_true(last[0] < 0.8 * first);
        assert_true(last[0] == last[1]);
    }
}

/* Training plans of two batch sizes in one workspace, as an epoch's last batch needs: a plan finds
 * its loss's seed as it left it, whatever ran in between. */
static void test_seed_outlasts_other_plans(void **state)
{
    (void)state;
    double gradient[2];
    for (int shared = 0; shared < 2; shared++) {
        small_net net = make_small_net(VT_F32);
        vt_workspace *workspace;
        vt_plan *plan, *other;
        assert_ok(vt_workspace_new(&workspace));
        vt_plan_options options = {.training = true,
                                   .backward = true,
                                   .outputs = &net.loss,
                                   .output_count = 1,
                                   .workspace = shared ? workspace : NULL};
        options.batch = 8;
        assert_ok(vt_plan_new(&other, net.g, &options));
        options.batch = 3;
        assert_ok(vt_plan_new(&plan, net.g, &options));
        fill(vt_plan_input(other, net.x), 5, 1);
        fill(vt_plan_input(other, net.target), 6, 1);
        assert_ok(vt_plan_forward(other));
        assert_ok(vt_plan_backward(other));
        vt_graph_zero_gradients(net.g);
        fill(vt_plan_input(plan, net.x), 1, 1);
        fill(vt_plan_input(plan, net.target), 2, 1);
        assert_ok(vt_plan_forward(plan));
        assert_ok(vt_plan_backward(plan));
        gradient[shared] = 0;
        for (int i = 0; i < vt_graph_param_count(net.g); i++) {
            const vt_tensor *g = &vt_graph_param(net.g, i)->gradient;
            for (int64_t k = 0; g->data && k < vt_tensor_count(g); k++)
                gradient[shared] += fabs(vt_tensor_get(g, k));
        }
        vt_plan_free(plan);
        vt_plan_free(other);
        vt_graph_free(net.g);
        vt_workspace_free(workspace);
    }
    assert_true(gradient[0] > 0);
    assert_true(gradient[0] == gradient[1]);
}

static void test_mistakes_are_named(void **state)
{
    (void)state;
    vt_graph *g;
    assert_ok(vt_graph_new(&g, VT_F32, VT_NAMES_KERAS));
    vt_node x = vt_input(g, "image", 3, (int64_t[]){8, 8, 3});
    vt_node bad =
        vt_conv2d(g, x, &(vt_conv2d_options){.name = "big", .filters = 2, .kernel = {9, 9}});
    assert_int_equal(VT_NO_NODE, bad);
    assert_int_equal(VT_NO_NODE, vt_relu(g, bad, "after"));
    assert_true(vt_graph_finish(g, 0) != VT_OK);
    assert_message("big");
    vt_graph_free(g);

    assert_ok(vt_graph_new(&g, VT_F32, VT_NAMES_KERAS));
    x = vt_input(g, "image", 3, (int64_t[]){8, 8, 3});
    vt_relu(g, x, "same");
    vt_relu(g, x, "same");
    assert_status(VT_EINVAL, vt_graph_finish(g, 0));
    assert_message("same");
    vt_graph_free(g);
    assert_status(VT_EINVAL, vt_graph_new(&g, VT_U8, VT_NAMES_KERAS));
}

static void test_buffers_alive_together_never_overlap(void **state)
{
    (void)state;
    vt_rng rng;
    vt_rng_init(&rng, 3, VT_RNG_SHUFFLE, 0, 0);
    for (int round = 0; round < 50; round++) {
        vt_buffer b[60];
        size_t bytes, sum = 0;
        for (int i = 0; i < 60; i++) {
            int first = (int)vt_rng_below(&rng, 50);
            b[i] = (vt_buffer){.bytes = vt_rng_below(&rng, 1000),
                               .first = first,
                               .last = first + (int)vt_rng_below(&rng, 8)};
            sum += b[i].bytes;
        }
        assert_ok(vt_memory_place(b, 60, &bytes));
        for (int i = 0; i < 60; i++)
            for (int j = 0; j < i; j++) {
                bool together = b[i].first <= b[j].last && b[j].first <= b[i].last;
                bool overlap = b[i].offset < b[j].offset + b[j].bytes &&
                               b[j].offset < b[i].offset + b[i].bytes;
                assert_false(together && overlap);
            }
        assert_true(bytes < sum);
    }
}

/* Whatever allocation fails, making a model and a plan gives an error and leaks nothing. */
static void test_allocation_failures(void **state)
{
    (void)state;
    int failures = 0;
    for (int n = 0; n < 2000; n++) {
        vt_model *model = NULL;
        vt_plan *plan = NULL;
        vt_alloc_fail_after(n);
        vt_status status = vt_compact_new(
            &model, &(vt_compact_options){
                        .filters = {2, 2, 2, 2, 2}, .height = 8, .width = 8, .outputs = 1});
        if (status == VT_OK) {
            vt_node output = vt_model_output(model);
            status = vt_plan_new(&plan, vt_model_graph(model),
                                 &(vt_plan_options){.batch = 1,
                                                    .outputs = &output,
                                                    .output_count = 1,
                                                    .training = n % 2,
                                                    .backward = n % 2});
        }
        vt_alloc_fail_after(-1);
        if (status != VT_OK) {
            assert_status(VT_ENOMEM, status);
            failures++;
        }
        vt_plan_free(plan);
        vt_model_free(model);
        if (status == VT_OK && n % 2) break;
    }
    assert_true(failures > 50);
}

static void test_schedules(void **state)
{
    (void)state;
    vt_schedule cosine = {.kind = VT_SCHEDULE_COSINE, .rate = 2, .warmup = 1, .epochs = 11};
    assert_close(vt_schedule_rate(&cosine, 0.5), 1, 1e-12);
    assert_close(vt_schedule_rate(&cosine, 1), 2, 1e-12);
    assert_close(vt_schedule_rate(&cosine, 6), 1, 1e-12);
    assert_close(vt_schedule_rate(&cosine, 11), 0, 1e-12);
    vt_schedule step = {.kind = VT_SCHEDULE_STEP,
                        .rate = 1,
                        .factor = 0.1,
                        .milestones = {60, 80},
                        .milestone_count = 2};
    assert_close(vt_schedule_rate(&step, 59.9), 1, 0);
    assert_close(vt_schedule_rate(&step, 60), 0.1, 1e-15);
    assert_close(vt_schedule_rate(&step, 80), 0.01, 1e-15);
    vt_schedule decay = {.kind = VT_SCHEDULE_EXPONENTIAL, .rate = 2, .factor = 0.85};
    assert_close(vt_schedule_rate(&decay, 2), 2 * 0.85 * 0.85, 1e-12);
}

static void test_blur_keeps_a_flat_kernel_and_spreads_a_peak(void **state)
{
    (void)state;
    vt_graph *g;
    assert_ok(vt_graph_new(&g, VT_F32, VT_NAMES_KERAS));
    vt_node x = vt_input(g, "x", 3, (int64_t[]){9, 9, 2});
    vt_conv2d(g, x,
              &(vt_conv2d_options){.name = "c",
                                   .kernel_name = "c.depthwise_kernel",
                                   .filters = 2,
                                   .groups = 2,
                                   .kernel = {5, 5}});
    assert_ok(vt_graph_finish(g, 1));
    vt_param *p = vt_graph_find_param(g, "c.depthwise_kernel");
    float *w = p->value.data;
    for (int i = 0; i < 50; i++)
        w[i] = i < 25 ? 3 : i == 25 + 12;
    assert_ok(vt_blur_kernels(g, ".depthwise_kernel", 0.5));
    for (int i = 0; i < 25; i++)
        assert_close(w[i], 3, 1e-6);
    double side = exp(-2), total = 1 + 2 * side + 2 * exp(-8);
    assert_close(w[25 + 12], 1 / (total * total), 1e-4);
    assert_close(w[25 + 11] / w[25 + 12], side, 1e-3);
    vt_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streamed_compact_models),
        cmocka_unit_test(test_streamed_odd_windows),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_partial_plan_computes_only_what_is_needed),
        cmocka_unit_test(test_gradients_through_a_network),
        cmocka_unit_test(test_gradients_that_share_memory),
        cmocka_unit_test(test_gaussian_readout),
        cmocka_unit_test(test_frozen_parameters_get_no_gradient),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_seed_outlasts_other_plans),
        cmocka_unit_test(test_mistakes_are_named),
        cmocka_unit_test(test_buffers_alive_together_never_overlap),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_blur_keeps_a_flat_kernel_and_spreads_a_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
