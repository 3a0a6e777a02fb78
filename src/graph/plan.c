/* Making a graph ready: what is needed, in which steps, where in memory; and running it. */
#include "graph/plan.h"

#include <stdlib.h>
#include <string.h>

/* Blocks lent so far; a plan that needs more gets a new one and earlier plans keep theirs. */
struct vt_workspace {
    vt_arena *arena;
    char *block;
    size_t bytes;
};

vt_status vt_workspace_new(vt_workspace **out)
{
    vt_workspace *workspace = vt_alloc(1, sizeof *workspace);
    if (!workspace) return VT_ENOMEM;
    vt_status status = vt_arena_new(&workspace->arena);
    if (status != VT_OK) {
        free(workspace);
        return status;
    }
    *out = workspace;
    return VT_OK;
}

void vt_workspace_free(vt_workspace *workspace)
{
    if (!workspace) return;
    vt_arena_free(workspace->arena);
    free(workspace);
}

vt_status vt_workspace_reserve(vt_workspace *workspace, size_t bytes, char **out)
{
    if (bytes > workspace->bytes) {
        char *block = NULL;
        VT_TRY(vt_arena_alloc(workspace->arena, &block, bytes, "activations"));
        workspace->block = block;
        workspace->bytes = bytes;
    }
    *out = workspace->block;
    return VT_OK;
}

static vt_status check_node(const vt_graph *graph, vt_node node, const char *what)
{
    if (node >= 0 && (size_t)node < graph->node_count) return VT_OK;
    return vt_error(VT_ENOTFOUND, "plan: %s %d is not a node of this graph", what, node);
}

static vt_status check_options(const vt_graph *graph, const vt_plan_options *options)
{
    if (!graph->finished) return vt_error(VT_EINVAL, "plan: the graph is not finished");
    if (options->batch < 1)
        return vt_error(VT_EINVAL, "plan: the batch is %lld, at least 1 is needed",
                        (long long)options->batch);
    if (options->output_count < 1) return vt_error(VT_EINVAL, "plan: no output is wanted");
    for (int i = 0; i < options->output_count; i++)
        VT_TRY(check_node(graph, options->outputs[i], "output"));
    for (int i = 0; i < options->gradient_count; i++)
        VT_TRY(check_node(graph, options->gradients[i], "gradient"));
    return VT_OK;
}

static vt_status copy_nodes(vt_plan *plan, const vt_node **list, int count)
{
    vt_node *copy = NULL;
    VT_TRY(vt_arena_alloc(plan->arena, &copy, (size_t)count * sizeof *copy, "plan"));
    if (count) memcpy(copy, *list, (size_t)count * sizeof *copy);
    *list = copy;
    return VT_OK;
}

/* Which nodes the outputs need, who consumes whom, who has a gradient. */
static vt_status analyse(vt_plan *plan)
{
    vt_graph *graph = plan->graph;
    const vt_plan_options *options = &plan->options;
    size_t count = graph->node_count;
    VT_TRY(vt_arena_alloc(plan->arena, &plan->nodes, count * sizeof *plan->nodes, "plan"));
    for (size_t i = 0; i < count; i++)
        plan->nodes[i] = (vt_plan_node){.consumer = VT_NO_NODE,
                                        .value_buffer = -1,
                                        .gradient_buffer = -1,
                                        .saved_buffer = -1,
                                        .step = -1};
    for (int i = 0; i < options->output_count; i++) {
        vt_plan_node *n = &plan->nodes[options->outputs[i]];
        n->needed = n->kept = true;
        n->seeded = options->backward;
    }
    for (vt_node node = (vt_node)count - 1; node >= 0; node--) {
        const vt_node_def *def = &graph->nodes[node];
        for (int i = 0; plan->nodes[node].needed && i < def->inputs; i++) {
            vt_plan_node *in = &plan->nodes[def->in[i]];
            in->needed = true;
            in->consumers++;
            in->consumer = node;
        }
    }
    for (int i = 0; i < options->gradient_count; i++) {
        vt_plan_node *n = &plan->nodes[options->gradients[i]];
        if (!n->needed)
            return vt_error(VT_EINVAL, "plan: no output depends on %s, whose gradient is wanted",
                            graph->nodes[options->gradients[i]].name);
        n->needs_gradient = options->backward;
    }
    for (vt_node node = 0; options->backward && node < (vt_node)count; node++) {
        const vt_node_def *def = &graph->nodes[node];
        vt_plan_node *n = &plan->nodes[node];
        for (int i = 0; i < def->inputs; i++)
            n->needs_gradient |= plan->nodes[def->in[i]].needs_gradient;
        for (int i = 0; i < def->params; i++)
            n->needs_gradient |= !plan->options.frozen && graph->params[def->param[i]].trainable;
    }
    return VT_OK;
}

static vt_status make(vt_plan *plan)
{
    VT_TRY(vt_arena_new(&plan->arena));
    if (!plan->options.workspace) VT_TRY(vt_workspace_new(&plan->own_workspace));
    VT_TRY(copy_nodes(plan, &plan->options.outputs, plan->options.output_count));
    VT_TRY(copy_nodes(plan, &plan->options.gradients, plan->options.gradient_count));
    VT_TRY(analyse(plan));
    VT_TRY(vt_plan_make_steps(plan));
    VT_TRY(vt_plan_make_kernels(plan));
    vt_plan_alias(plan);
    VT_TRY(vt_plan_place(plan));
    for (int i = 0; i < plan->options.output_count; i++) {
        vt_node node = plan->options.outputs[i];
        vt_tensor *seed = &plan->seeds[node];
        if (!seed->data) continue;
        memset(seed->data, 0, vt_tensor_bytes(seed));
        if (!plan->graph->nodes[node].shape.batchless) continue;
        if (seed->dtype == VT_F64)
            *(double *)seed->data = 1;
        else
            *(float *)seed->data = 1;
    }
    return VT_OK;
}

vt_status vt_plan_new(vt_plan **out, vt_graph *graph, const vt_plan_options *options)
{
    VT_TRY(check_options(graph, options));
    vt_plan *plan = vt_alloc(1, sizeof *plan);
    if (!plan) return VT_ENOMEM;
    plan->graph = graph;
    plan->options = *options;
    vt_status status = make(plan);
    if (status != VT_OK) {
        vt_plan_free(plan);
        return status;
    }
    *out = plan;
    return VT_OK;
}

void vt_plan_free(vt_plan *plan)
{
    if (!plan) return;
    for (int s = 0; s < plan->step_count; s++)
        if (plan->steps[s].kernel.free) plan->steps[s].kernel.free(plan->steps[s].kernel.state);
    vt_arena_free(plan->arena);
    vt_workspace_free(plan->own_workspace);
    free(plan);
}

static bool holds(const vt_plan *plan, vt_node node)
{
    return node >= 0 && (size_t)node < plan->graph->node_count && plan->nodes[node].needed;
}

vt_tensor *vt_plan_input(vt_plan *plan, vt_node node)
{
    return holds(plan, node) && !plan->graph->nodes[node].op ? &plan->values[node] : NULL;
}

const vt_tensor *vt_plan_output(const vt_plan *plan, vt_node node)
{
    return holds(plan, node) && plan->nodes[node].kept ? &plan->values[node] : NULL;
}

vt_tensor *vt_plan_seed(vt_plan *plan, vt_node node)
{
    return holds(plan, node) && plan->seeds[node].data ? &plan->seeds[node] : NULL;
}

const vt_tensor *vt_plan_gradient(const vt_plan *plan, vt_node node)
{
    for (int i = 0; i < plan->options.gradient_count; i++)
        if (plan->options.gradients[i] == node && plan->gradients[node].data)
            return &plan->gradients[node];
    return NULL;
}

/* Folds and packs the parameters anew when their values changed. */
static vt_status refresh(vt_plan *plan)
{
    if (plan->options.training || plan->version == plan->graph->version) return VT_OK;
    vt_plan_fold(plan);
    for (int s = 0; s < plan->step_count; s++) {
        vt_step *step = &plan->steps[s];
        if (step->kernel.refresh) VT_TRY(step->kernel.refresh(step->kernel.state, &step->args));
    }
    plan->version = plan->graph->version;
    return VT_OK;
}

vt_status vt_plan_forward(vt_plan *plan)
{
    VT_TRY(refresh(plan));
    for (int s = 0; s < plan->step_count; s++) {
        vt_step *step = &plan->steps[s];
        VT_TRY(step->kernel.forward(step->kernel.state, &step->args));
    }
    return VT_OK;
}

static void add_tensor(vt_tensor *sum, const vt_tensor *t)
{
    int64_t count = vt_tensor_count(t);
    for (int64_t i = 0; i < count; i++)
        if (t->dtype == VT_F64)
            ((double *)sum->data)[i] += ((const double *)t->data)[i];
        else
            ((float *)sum->data)[i] += ((const float *)t->data)[i];
}

/* Puts the seeds where the outputs' gradients are; views of one another share a gradient. */
static void plant_seeds(vt_plan *plan)
{
    const vt_plan_options *options = &plan->options;
    for (int i = 0; i < options->output_count; i++) {
        vt_tensor *gradient = &plan->gradients[options->outputs[i]];
        if (gradient->data) memset(gradient->data, 0, vt_tensor_bytes(gradient));
    }
    for (int i = 0; i < options->output_count; i++) {
        vt_tensor *gradient = &plan->gradients[options->outputs[i]];
        const vt_tensor *seed = &plan->seeds[options->outputs[i]];
        if (seed->data && gradient->data) add_tensor(gradient, seed);
    }
}

vt_status vt_plan_backward(vt_plan *plan)
{
    if (!plan->options.backward)
        return vt_error(VT_EINVAL, "this plan was made without gradients (options.backward)");
    plant_seeds(plan);
    for (int s = plan->step_count - 1; s >= 0; s--) {
        vt_step *step = &plan->steps[s];
        for (int i = 0; i < step->clear_count; i++)
            memset(step->clear[i].data, 0, vt_tensor_bytes(&step->clear[i]));
        if (step->backward) VT_TRY(step->kernel.backward(step->kernel.state, &step->args));
    }
    return VT_OK;
}

void vt_plan_set_step(vt_plan *plan, uint32_t step)
{
    for (int s = 0; s < plan->step_count; s++)
        plan->steps[s].args.step = step;
}

size_t vt_plan_bytes(const vt_plan *plan)
{
    return plan->block_bytes;
}

const char *vt_plan_kernel_name(const vt_plan *plan, vt_node node)
{
    if (!holds(plan, node)) return NULL;
    while (vt_plan_is_view(plan, node))
        node = plan->graph->nodes[node].in[0];
    if (plan->nodes[node].step < 0) return NULL;
    return plan->steps[plan->nodes[node].step].kernel.name;
}
