/* Which kernel calls a plan makes: a call a node, one for a batch normalization with its ReLU, or
 * in training one for a network's first layers, or at inference one for a convolution with both, or
 * for a whole chain of these. */
#include <math.h>
#include <string.h>

#include "graph/plan.h"

static const vt_node_def *def_of(const vt_plan *plan, vt_node node)
{
    return &plan->graph->nodes[node];
}

static bool is_weighted(const vt_plan *plan, vt_node node)
{
    const vt_op *op = def_of(plan, node)->op;
    return op == &vt_op_conv2d || op == &vt_op_linear;
}

/* The only consumer of a node whose own values nobody asked for; VT_NO_NODE otherwise. */
static vt_node sole_consumer(const vt_plan *plan, vt_node node)
{
    const vt_plan_node *n = &plan->nodes[node];
    return n->consumers == 1 && !n->kept ? n->consumer : VT_NO_NODE;
}

static bool next_is(const vt_plan *plan, vt_node node, const vt_op *op)
{
    return node != VT_NO_NODE && def_of(plan, node)->op == op;
}

/* Takes the ReLU behind a batch normalization into its step. */
static void fuse_relu(vt_plan *plan, vt_step *step)
{
    vt_node next = sole_consumer(plan, step->last);
    if (vt_plan_wants_gradient(plan, step->last) || !next_is(plan, next, &vt_op_relu)) return;
    step->relu = true;
    step->last = next;
}

/* Takes the batch normalization and ReLU behind a convolution into its step. */
static vt_status fuse(vt_plan *plan, vt_step *step)
{
    vt_node next = sole_consumer(plan, step->last);
    VT_TRY(vt_arena_alloc(plan->arena, &step->folded, sizeof *step->folded, "plan"));
    step->folded_count = 1;
    step->folded[0] = (vt_folded){.node = step->first, .batch_norm = VT_NO_NODE};
    if (next_is(plan, next, &vt_op_batch_norm)) {
        step->folded[0].batch_norm = step->last = next;
        next = sole_consumer(plan, step->last);
    }
    if (next_is(plan, next, &vt_op_relu)) {
        step->relu = true;
        step->last = next;
    }
    return VT_OK;
}

/* Memory for the folded parameters of a step. */
static vt_status allocate_folded(vt_plan *plan, vt_folded *folded)
{
    const vt_node_def *def = def_of(plan, folded->node);
    const vt_param *kernel = &plan->graph->params[def->param[0]];
    int64_t filters = kernel->value.size[0];
    folded->kernel = kernel->value;
    VT_TRY(vt_arena_alloc(plan->arena, &folded->kernel.data, vt_tensor_bytes(&kernel->value),
                          def->name));
    VT_TRY(vt_tensor_init(&folded->bias, kernel->value.dtype, 1, &filters, NULL));
    return vt_arena_alloc(plan->arena, &folded->bias.data, vt_tensor_bytes(&folded->bias),
                          def->name);
}

static void set_value(vt_tensor *t, int64_t i, double value)
{
    if (t->dtype == VT_F64)
        ((double *)t->data)[i] = value;
    else
        ((float *)t->data)[i] = (float)value;
}

static double param_value(const vt_plan *plan, const vt_node_def *def, int which, int64_t i)
{
    return vt_tensor_get(&plan->graph->params[def->param[which]].value, i);
}

static void fold_one(const vt_plan *plan, vt_folded *folded)
{
    const vt_node_def *def = def_of(plan, folded->node);
    const vt_node_def *norm =
        folded->batch_norm == VT_NO_NODE ? NULL : def_of(plan, folded->batch_norm);
    int64_t filters = folded->kernel.size[0];
    int64_t each = vt_tensor_count(&folded->kernel) / filters;
    for (int64_t f = 0; f < filters; f++) {
        double scale = 1, shift = 0;
        if (norm) { /* gamma, beta, moving mean, moving variance */
            double epsilon = ((const vt_batch_norm_options *)norm->options)->epsilon;
            scale = param_value(plan, norm, 0, f) / sqrt(param_value(plan, norm, 3, f) + epsilon);
            shift = param_value(plan, norm, 1, f) - scale * param_value(plan, norm, 2, f);
        }
        for (int64_t i = f * each; i < (f + 1) * each; i++)
            set_value(&folded->kernel, i, scale * param_value(plan, def, 0, i));
        double bias = def->params > 1 ? param_value(plan, def, 1, f) : 0;
        set_value(&folded->bias, f, scale * bias + shift);
    }
}

void vt_plan_fold(const vt_plan *plan)
{
    for (int s = 0; s < plan->step_count; s++)
        for (int i = 0; i < plan->steps[s].folded_count; i++)
            fold_one(plan, &plan->steps[s].folded[i]);
}

/* Passes over views: the node whose values a step's input really is. */
static vt_node behind_views(const vt_plan *plan, vt_node node)
{
    while (vt_plan_is_view(plan, node))
        node = def_of(plan, node)->in[0];
    return node;
}

/* `later` reads only what `earlier` makes, and nobody else wants that. */
static bool follows(const vt_plan *plan, const vt_step *earlier, const vt_step *later)
{
    vt_node node = def_of(plan, later->first)->in[0], source = behind_views(plan, node);
    if (source != earlier->last) return false;
    for (; node != source; node = def_of(plan, node)->in[0])
        if (plan->nodes[node].kept || plan->nodes[node].consumers != 1) return false;
    return sole_consumer(plan, source) != VT_NO_NODE;
}

static bool stream_layer(const vt_plan *plan, const vt_step *step, vt_stream_layer *out)
{
    const vt_node_def *def = def_of(plan, step->first);
    vt_node source = behind_views(plan, def->in[0]);
    const vt_shape *in = &def_of(plan, source)->shape;
    const vt_folded *folded = &step->folded[0];
    if (in->ndim != 3 || plan->graph->dtype != VT_F32) return false;
    *out = (vt_stream_layer){.relu = step->relu,
                             .channels = (int)in->size[2],
                             .kernel = folded->kernel.data,
                             .bias = folded->bias.data};
    if (def->op == &vt_op_linear) {
        out->filters = ((const vt_linear_options *)def->options)->units;
        for (int i = 0; i < 2; i++) {
            out->window[i] = (vt_window){.in = in->size[i], .kernel = (int)in->size[i]};
            if (!vt_window_resolve(&out->window[i], VT_PAD_EXPLICIT)) return false;
        }
        return true;
    }
    const vt_conv2d_options *options = def->options;
    int groups = options->groups > 1 ? options->groups : 1;
    out->filters = options->filters;
    out->depthwise = groups > 1;
    if (groups > 1 && (groups != out->channels || out->filters != groups)) return false;
    return vt_conv2d_windows(out->window, options, in->size);
}

/* Turns steps [begin, end) into one, if the stream backend takes them. Without depthwise layers a
 * chain is bound by arithmetic, at which oneDNN is better (docs/onednn.md). */
static vt_status try_chain(vt_plan *plan, int begin, int end, bool *out_done)
{
    vt_stream_layer *layers = NULL;
    int count = end - begin;
    *out_done = false;
    VT_TRY(vt_arena_alloc(plan->arena, &layers, (size_t)count * sizeof *layers, "plan"));
    bool depthwise = false;
    for (int i = 0; i < count; i++) {
        if (!stream_layer(plan, &plan->steps[begin + i], &layers[i])) return VT_OK;
        depthwise |= layers[i].depthwise;
    }
    if (!depthwise) return VT_OK;
    vt_step chain = {.first = plan->steps[begin].first, .last = plan->steps[end - 1].last};
    vt_status status = vt_stream_prepare(&chain.kernel, layers, count);
    if (status == VT_EUNSUPPORTED) return VT_OK;
    VT_TRY(status);
    *out_done = true;
    vt_folded *folded = NULL;
    status = vt_arena_alloc(plan->arena, &folded, (size_t)count * sizeof *folded, "plan");
    if (status != VT_OK) {
        chain.kernel.free(chain.kernel.state);
        return status;
    }
    for (int i = 0; i < count; i++)
        folded[i] = plan->steps[begin + i].folded[0];
    chain.folded = folded;
    chain.folded_count = count;
    plan->steps[begin] = chain;
    memmove(&plan->steps[begin + 1], &plan->steps[end],
            (size_t)(plan->step_count - end) * sizeof *plan->steps);
    plan->step_count -= count - 1;
    return VT_OK;
}

static vt_status make_chains(vt_plan *plan)
{
    for (int begin = 0; begin < plan->step_count; begin++) {
        if (!is_weighted(plan, plan->steps[begin].first)) continue;
        int end = begin + 1;
        while (end < plan->step_count && is_weighted(plan, plan->steps[end].first) &&
               follows(plan, &plan->steps[end - 1], &plan->steps[end]))
            end++;
        bool done;
        if (end - begin > 1) VT_TRY(try_chain(plan, begin, end, &done));
    }
    return VT_OK;
}

/* ---- the first layers in training ---- */

static bool all_trainable(const vt_plan *plan, vt_node node)
{
    const vt_node_def *def = def_of(plan, node);
    for (int i = 0; i < def->params; i++) {
        const vt_param *param = &plan->graph->params[def->param[i]];
        if (!param->is_buffer && !param->trainable) return false;
    }
    return true;
}

static int groups_of(const vt_plan *plan, vt_node node)
{
    int groups = ((const vt_conv2d_options *)def_of(plan, node)->options)->groups;
    return groups > 1 ? groups : 1;
}

/* Convolution, batch normalization, ReLU, depthwise convolution from `node` on, all of them trained
 * and nothing but the last one's output looked at. */
static bool find_stem(const vt_plan *plan, vt_node node, vt_node nodes[4])
{
    const vt_op *const ops[4] = {&vt_op_conv2d, &vt_op_batch_norm, &vt_op_relu, &vt_op_conv2d};
    for (int i = 0; i < 4; i++, node = sole_consumer(plan, node)) {
        if (!next_is(plan, node, ops[i]) || !all_trainable(plan, node)) return false;
        if (i < 3 && vt_plan_wants_gradient(plan, node)) return false;
        nodes[i] = node;
    }
    vt_node image = def_of(plan, nodes[0])->in[0];
    return !plan->nodes[image].needs_gradient && groups_of(plan, nodes[0]) == 1;
}

static vt_status try_stem(vt_plan *plan, vt_step *step)
{
    vt_node nodes[4];
    if (!find_stem(plan, step->first, nodes)) return VT_OK;
    const vt_node_def *conv = def_of(plan, nodes[0]), *depth = def_of(plan, nodes[3]);
    const vt_conv2d_options *options = depth->options;
    const int64_t *image = def_of(plan, conv->in[0])->shape.size;
    vt_stem_layers layers = {.batch = plan->options.batch,
                             .channels = (int)image[2],
                             .filters = (int)conv->shape.size[2],
                             .norm = def_of(plan, nodes[1])->options,
                             .depth_kernel = plan->graph->params[depth->param[0]].value.data};
    if (depth->params > 1) layers.depth_bias = plan->graph->params[depth->param[1]].value.data;
    if (groups_of(plan, nodes[3]) != layers.filters || options->filters != layers.filters ||
        !vt_conv2d_windows(layers.conv, conv->options, image) ||
        !vt_conv2d_windows(layers.depth, options, conv->shape.size))
        return VT_OK;
    vt_status status = vt_stem_prepare(&step->kernel, &layers);
    if (status == VT_EUNSUPPORTED) return VT_OK;
    VT_TRY(status);
    step->stem = true;
    step->last = nodes[3];
    return VT_OK;
}

vt_status vt_plan_make_steps(vt_plan *plan)
{
    int nodes = (int)plan->graph->node_count;
    const vt_plan_options *options = &plan->options;
    bool inference = !options->training && !options->backward;
    bool stem = options->training && options->backward && !options->frozen &&
                options->backend == VT_BACKEND_AUTO && plan->graph->dtype == VT_F32;
    VT_TRY(vt_arena_alloc(plan->arena, &plan->steps, (size_t)nodes * sizeof *plan->steps, "plan"));
    for (vt_node node = 0; node < nodes; node++) {
        vt_plan_node *n = &plan->nodes[node];
        if (!n->needed || n->step >= 0 || !def_of(plan, node)->op || vt_plan_is_view(plan, node))
            continue;
        vt_step *step = &plan->steps[plan->step_count++];
        *step = (vt_step){.first = node, .last = node};
        if (inference && is_weighted(plan, node)) {
            VT_TRY(fuse(plan, step));
            VT_TRY(allocate_folded(plan, &step->folded[0]));
        } else if (def_of(plan, node)->op == &vt_op_batch_norm) {
            fuse_relu(plan, step);
        } else if (stem) {
            VT_TRY(try_stem(plan, step));
        }
        for (vt_node covered = node;; covered = plan->nodes[covered].consumer) {
            plan->nodes[covered].step = plan->step_count - 1;
            if (covered == step->last) break;
        }
    }
    if (inference && plan->options.backend == VT_BACKEND_AUTO) VT_TRY(make_chains(plan));
    for (int s = 0; s < plan->step_count; s++) /* chains moved them */
        for (vt_node node = plan->steps[s].first;; node = plan->nodes[node].consumer) {
            plan->nodes[node].step = s;
            if (node == plan->steps[s].last) break;
        }
    return VT_OK;
}

/* The parameters of one node, from place `first` on. */
static void describe_params(const vt_plan *plan, vt_step *step, vt_node node, int first)
{
    const vt_node_def *def = def_of(plan, node);
    for (int i = 0; i < def->params; i++) {
        const vt_param *param = &plan->graph->params[def->param[i]];
        step->args.param[first + i] = param->value;
        if (step->backward && param->trainable && !plan->options.frozen)
            step->args.grad_param[first + i] = param->gradient;
    }
}

/* Sizes of everything the kernel of a step will see; no data yet. */
static vt_status describe(const vt_plan *plan, vt_step *step)
{
    const vt_node_def *def = def_of(plan, step->first);
    vt_op_args *args = &step->args;
    int64_t batch = plan->options.batch;
    *args = (vt_op_args){.options = def->options,
                         .batch = batch,
                         .training = plan->options.training,
                         .seed = plan->options.seed,
                         .node = (uint32_t)step->first,
                         .relu = step->relu};
    step->backward = plan->nodes[step->last].needs_gradient;
    VT_TRY(vt_graph_node_tensor(plan->graph, step->last, batch, &args->out));
    args->grad_out = args->out;
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++)
        args->in[i].ndim = args->grad_in[i].ndim = -1;
    for (int i = 0; i < def->inputs; i++) {
        VT_TRY(vt_graph_node_tensor(plan->graph, def->in[i], batch, &args->in[i]));
        if (step->backward && plan->nodes[def->in[i]].needs_gradient)
            args->grad_in[i] = args->in[i];
    }
    for (int i = 0; i < VT_OP_MAX_PARAMS; i++)
        args->param[i].ndim = args->grad_param[i].ndim = -1;
    describe_params(plan, step, step->first, 0);
    if (step->stem) {
        vt_node norm = plan->nodes[step->first].consumer;
        describe_params(plan, step, norm, VT_STEM_GAMMA);
        describe_params(plan, step, step->last, VT_STEM_DEPTH_KERNEL);
    }
    if (step->folded) {
        args->param[0] = step->folded[0].kernel;
        args->param[1] = step->folded[0].bias;
    }
    return VT_OK;
}

static vt_status make_kernel(vt_plan *plan, vt_step *step)
{
    static const vt_backend *const all[] = {&vt_backend_onednn, &vt_backend_reference};
    int first = plan->options.backend == VT_BACKEND_REFERENCE ? 1 : 0;
    vt_kernel_request request = {.op = def_of(plan, step->first)->op,
                                 .args = step->args,
                                 .backward = step->backward,
                                 .bf16 = plan->options.bf16,
                                 .constant_params = !plan->options.training};
    vt_status status = VT_EUNSUPPORTED;
    for (int i = first; i < 2 && status == VT_EUNSUPPORTED; i++)
        status = all[i]->prepare(&step->kernel, &request);
    if (status != VT_OK)
        return vt_error_context(status, "layer %s", def_of(plan, step->first)->name);
    return VT_OK;
}

vt_status vt_plan_make_kernels(vt_plan *plan)
{
    for (int s = 0; s < plan->step_count; s++) {
        vt_step *step = &plan->steps[s];
        VT_TRY(describe(plan, step));
        if (!step->kernel.forward) VT_TRY(make_kernel(plan, step));
        if (step->kernel.scratch_bytes > plan->scratch_bytes)
            plan->scratch_bytes = step->kernel.scratch_bytes;
    }
    return VT_OK;
}
