/* Who shares memory with whom, and for how long everything must live. */
#include <string.h>

#include "graph/plan.h"

/* ReLU and the like may overwrite their input when nobody needs it afterwards. */
static bool may_overwrite_input(const vt_plan *plan, vt_node node)
{
    const vt_node_def *def = &plan->graph->nodes[node];
    vt_node in = def->in[0];
    const vt_plan_node *source = &plan->nodes[in];
    const vt_op *maker = plan->graph->nodes[in].op;
    if (!(def->op->flags & VT_OP_IN_PLACE) || !maker || source->step < 0) return false;
    if (source->kept || source->consumers != 1 || source->root != in) return false;
    if (!plan->options.backward) return true;
    return !(maker->flags & VT_OP_BACKWARD_READS_OUT) &&
           !(def->op->flags & VT_OP_BACKWARD_READS_IN);
}

/* A step's backward may turn the gradient of its output into that of its input where nobody else
 * writes the latter or wants the former. */
static bool may_overwrite_gradient(const vt_plan *plan, const vt_step *step)
{
    vt_node in = plan->graph->nodes[step->first].in[0];
    if (!step->kernel.in_place_gradient || !step->backward || step->args.grad_in[0].ndim < 0)
        return false;
    if (vt_plan_wants_gradient(plan, step->last)) return false;
    for (;; in = plan->graph->nodes[in].in[0]) {
        if (plan->nodes[in].consumers != 1 || plan->nodes[in].kept) return false;
        if (!vt_plan_is_view(plan, in)) return true;
    }
}

void vt_plan_alias(vt_plan *plan)
{
    for (vt_node node = 0; node < (vt_node)plan->graph->node_count; node++) {
        vt_plan_node *n = &plan->nodes[node];
        const vt_node_def *def = &plan->graph->nodes[node];
        n->root = n->gradient_root = node;
        if (!n->needed || !def->op) continue;
        if (vt_plan_is_view(plan, node)) {
            n->root = plan->nodes[def->in[0]].root;
            n->gradient_root = plan->nodes[def->in[0]].gradient_root;
        } else if (n->step >= 0 && plan->steps[n->step].first == node &&
                   may_overwrite_input(plan, node)) {
            n->root = plan->nodes[def->in[0]].root;
        }
        if (n->step >= 0 && plan->steps[n->step].last == node &&
            may_overwrite_gradient(plan, &plan->steps[n->step])) {
            vt_node in = plan->graph->nodes[plan->steps[n->step].first].in[0];
            n->gradient_root = plan->nodes[in].gradient_root;
        }
    }
}

static int add_buffer(vt_plan *plan, size_t bytes, int first, int last)
{
    plan->buffers[plan->buffer_count] = (vt_buffer){.bytes = bytes, .first = first, .last = last};
    return plan->buffer_count++;
}

static void live_at(vt_plan *plan, int buffer, int step)
{
    vt_buffer *b = &plan->buffers[buffer];
    if (step < b->first) b->first = step;
    if (step > b->last) b->last = step;
}

/* Forward steps are 0 .. S-1, the backward of step s is 2S-1-s; `always` covers before and after.
 */
static int backward_time(const vt_plan *plan, int step)
{
    return 2 * plan->step_count - 1 - step;
}

static vt_status node_bytes(const vt_plan *plan, vt_node node, size_t *out)
{
    vt_tensor t;
    VT_TRY(vt_graph_node_tensor(plan->graph, node, plan->options.batch, &t));
    *out = vt_tensor_bytes(&t);
    return VT_OK;
}

/* One value buffer a root that some step writes or reads. */
static vt_status make_value_buffers(vt_plan *plan)
{
    int always = 2 * plan->step_count;
    for (vt_node node = 0; node < (vt_node)plan->graph->node_count; node++) {
        vt_plan_node *n = &plan->nodes[node], *root = &plan->nodes[n->root];
        bool is_input = !plan->graph->nodes[node].op;
        bool made = n->step >= 0 && plan->steps[n->step].last == node;
        if (!n->needed || (!made && !is_input && n->root == node)) continue;
        if (n->root == node) {
            size_t bytes;
            VT_TRY(node_bytes(plan, node, &bytes));
            n->value_buffer = is_input ? add_buffer(plan, bytes, -1, always)
                                       : add_buffer(plan, bytes, n->step, n->step);
        }
        if (root->value_buffer < 0) continue;
        if (made) live_at(plan, root->value_buffer, n->step);
        if (n->kept) live_at(plan, root->value_buffer, always);
    }
    return VT_OK;
}

static void live_for_step(vt_plan *plan, int s)
{
    const vt_step *step = &plan->steps[s];
    const vt_node_def *def = &plan->graph->nodes[step->first];
    unsigned flags = def->op->flags;
    for (int i = 0; i < def->inputs; i++) {
        int buffer = plan->nodes[plan->nodes[def->in[i]].root].value_buffer;
        live_at(plan, buffer, s);
        if (step->backward && (flags & VT_OP_BACKWARD_READS_IN))
            live_at(plan, buffer, backward_time(plan, s));
    }
    if (step->backward && (step->relu || (flags & VT_OP_BACKWARD_READS_OUT)))
        live_at(plan, plan->nodes[plan->nodes[step->last].root].value_buffer,
                backward_time(plan, s));
}

/* Gradients live from their first writer (a consumer's backward, or the seed) to their reader. */
static vt_status make_gradient_buffers(vt_plan *plan)
{
    int always = 2 * plan->step_count, begin = plan->step_count;
    for (vt_node node = 0; node < (vt_node)plan->graph->node_count; node++) {
        vt_plan_node *n = &plan->nodes[node];
        bool inside = n->step >= 0 && plan->steps[n->step].last != node;
        if (!n->needed || !n->needs_gradient || inside) continue;
        vt_plan_node *root = &plan->nodes[n->gradient_root];
        if (n->gradient_root == node) {
            size_t bytes;
            VT_TRY(node_bytes(plan, node, &bytes));
            int time = n->step >= 0 ? backward_time(plan, n->step) : always;
            n->gradient_buffer = add_buffer(plan, bytes, time, time);
        }
        if (n->seeded) live_at(plan, root->gradient_buffer, begin);
        for (vt_node user = node + 1; user < (vt_node)plan->graph->node_count; user++) {
            const vt_node_def *def = &plan->graph->nodes[user];
            const vt_plan_node *u = &plan->nodes[user];
            bool reads = false;
            for (int i = 0; i < def->inputs; i++)
                reads = reads || def->in[i] == node;
            if (u->needed && reads && u->step >= 0)
                live_at(plan, root->gradient_buffer, backward_time(plan, u->step));
        }
    }
    for (int i = 0; i < plan->options.gradient_count; i++) {
        vt_node root = plan->nodes[plan->options.gradients[i]].gradient_root;
        live_at(plan, plan->nodes[root].gradient_buffer, always);
    }
    return VT_OK;
}

static void *address(const vt_plan *plan, int buffer)
{
    return buffer < 0 ? NULL : plan->block + plan->buffers[buffer].offset;
}

/* Notes which gradients a step is the first to write: it overwrites them, or they start from zero.
 */
static void note_clear(vt_plan *plan, vt_step *step, bool *written)
{
    const vt_node_def *def = &plan->graph->nodes[step->first];
    for (int i = 0; i < def->inputs; i++) {
        vt_node root = plan->nodes[def->in[i]].gradient_root;
        if (!step->args.grad_in[i].data) continue;
        bool in_place = i == 0 && step->args.grad_in[i].data == step->args.grad_out.data;
        step->args.overwrite[i] = in_place || (!written[root] && step->kernel.overwrites);
        if (written[root]) continue;
        written[root] = true;
        if (!step->args.overwrite[i]) step->clear[step->clear_count++] = step->args.grad_in[i];
    }
}

static vt_status bind(vt_plan *plan)
{
    size_t nodes = plan->graph->node_count;
    bool *written = NULL;
    VT_TRY(vt_arena_alloc(plan->arena, &written, nodes, "plan"));
    VT_TRY(vt_arena_alloc(plan->arena, &plan->values, nodes * sizeof(vt_tensor), "plan"));
    VT_TRY(vt_arena_alloc(plan->arena, &plan->gradients, nodes * sizeof(vt_tensor), "plan"));
    VT_TRY(vt_arena_alloc(plan->arena, &plan->seeds, nodes * sizeof(vt_tensor), "plan"));
    for (vt_node node = 0; node < (vt_node)nodes; node++) {
        vt_plan_node *n = &plan->nodes[node];
        if (!n->needed) continue;
        VT_TRY(vt_graph_node_tensor(plan->graph, node, plan->options.batch, &plan->values[node]));
        plan->gradients[node] = plan->seeds[node] = plan->values[node];
        plan->seeds[node].data = NULL;
        plan->values[node].data = address(plan, plan->nodes[n->root].value_buffer);
        plan->gradients[node].data =
            n->needs_gradient ? address(plan, plan->nodes[n->gradient_root].gradient_buffer) : NULL;
        if (!n->seeded || !n->needs_gradient) continue;
        /* Seeds outlive the runs of other plans: they are not in the workspace. */
        VT_TRY(vt_arena_alloc(plan->arena, &plan->seeds[node].data,
                              vt_tensor_bytes(&plan->seeds[node]), "plan"));
        written[n->gradient_root] = true;
    }
    void *scratch = plan->block + plan->block_bytes - plan->scratch_bytes;
    for (int s = plan->step_count - 1; s >= 0; s--) {
        vt_step *step = &plan->steps[s];
        const vt_node_def *def = &plan->graph->nodes[step->first];
        vt_op_args *args = &step->args;
        args->scratch = scratch;
        args->saved = address(plan, plan->nodes[step->last].saved_buffer);
        args->out.data = plan->values[step->last].data;
        args->grad_out.data = step->backward ? plan->gradients[step->last].data : NULL;
        for (int i = 0; i < def->inputs; i++) {
            args->in[i].data = plan->values[def->in[i]].data;
            if (args->grad_in[i].ndim >= 0)
                args->grad_in[i].data = plan->gradients[def->in[i]].data;
        }
        note_clear(plan, step, written);
    }
    return VT_OK;
}

vt_status vt_plan_place(vt_plan *plan)
{
    size_t nodes = plan->graph->node_count, bytes;
    VT_TRY(vt_arena_alloc(plan->arena, &plan->buffers, 3 * nodes * sizeof *plan->buffers, "plan"));
    VT_TRY(make_value_buffers(plan));
    for (int s = 0; s < plan->step_count; s++) {
        vt_step *step = &plan->steps[s];
        live_for_step(plan, s);
        if (step->kernel.saved_bytes)
            plan->nodes[step->last].saved_buffer = add_buffer(
                plan, step->kernel.saved_bytes, s, step->backward ? backward_time(plan, s) : s);
    }
    if (plan->options.backward) VT_TRY(make_gradient_buffers(plan));
    VT_TRY(vt_memory_place(plan->buffers, plan->buffer_count, &bytes));
    plan->scratch_bytes = (plan->scratch_bytes + 63) & ~(size_t)63;
    plan->block_bytes = bytes + plan->scratch_bytes;
    vt_workspace *workspace =
        plan->options.workspace ? plan->options.workspace : plan->own_workspace;
    VT_TRY(vt_workspace_reserve(workspace, plan->block_bytes, &plan->block));
    return bind(plan);
}
