/* Parts of one graph built again in another: a frozen front end before others' layers, the layers
 * of a model under a loss. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

/* `prefix` before a name, in the graph's memory. */
static vt_status prefixed(vt_graph *graph, const char **out, const char *prefix, const char *name)
{
    char *text;
    size_t bytes = strlen(prefix) + strlen(name) + 1;
    if (bytes > VT_NAME_SIZE)
        return vt_error(VT_EINVAL, "layer %s%s: names are at most %d bytes long", prefix, name,
                        VT_NAME_SIZE - 1);
    VT_TRY(vt_arena_alloc(graph->arena, &text, bytes, "name"));
    snprintf(text, bytes, "%s%s", prefix, name);
    *out = text;
    return VT_OK;
}

static vt_status copy_param(vt_graph *graph, const vt_graph *from, int index, const char *prefix)
{
    vt_param param = {.is_buffer = from->params[index].is_buffer,
                      .trainable = from->params[index].trainable};
    VT_TRY(vt_graph_reserve_param(graph));
    VT_TRY(prefixed(graph, &param.name, prefix, from->params[index].name));
    if (vt_graph_find_param(graph, param.name))
        return vt_error(VT_EINVAL, "two parameters are named %s", param.name);
    const vt_tensor *value = &from->params[index].value;
    VT_TRY(vt_tensor_init(&param.value, graph->dtype, value->ndim, value->size, NULL));
    strcpy(param.value.name, param.name);
    param.gradient = param.value;
    graph->specs[graph->param_count] = from->specs[index];
    graph->params[graph->param_count++] = param;
    return VT_OK;
}

/* `at` tells where the nodes of `from` have gone. */
static vt_status copy_node(vt_graph *graph, const vt_graph *from, vt_node node, vt_node *at,
                           const char *prefix)
{
    vt_node_def copy = from->nodes[node];
    VT_TRY(vt_graph_reserve_node(graph));
    VT_TRY(prefixed(graph, &copy.name, prefix, from->nodes[node].name));
    for (vt_node other = 0; (size_t)other < graph->node_count; other++)
        if (strcmp(graph->nodes[other].name, copy.name) == 0)
            return vt_error(VT_EINVAL, "two layers are named %s", copy.name);
    if (copy.options) {
        VT_TRY(vt_arena_alloc(graph->arena, &copy.options, copy.op->options_size, copy.name));
        memcpy(copy.options, from->nodes[node].options, copy.op->options_size);
    }
    for (int i = 0; i < copy.inputs; i++)
        copy.in[i] = at[copy.in[i]];
    for (int i = 0; i < copy.params; i++) {
        VT_TRY(copy_param(graph, from, from->nodes[node].param[i], prefix));
        copy.param[i] = (int)graph->param_count - 1;
    }
    at[node] = (vt_node)graph->node_count;
    graph->nodes[graph->node_count++] = copy;
    return VT_OK;
}

/* Marks what `output` needs beyond `input`. */
static void mark(bool *needed, const vt_graph *from, vt_node input, vt_node output)
{
    needed[output] = true;
    for (vt_node node = output; node >= 0; node--)
        for (int i = 0; needed[node] && node != input && i < from->nodes[node].inputs; i++)
            needed[from->nodes[node].in[i]] = true;
}

static vt_status copy(vt_graph *graph, vt_node x, const vt_graph *from, vt_node input,
                      vt_node output, const char *prefix, bool *needed, vt_node *at)
{
    if (graph->finished) return vt_error(VT_EINVAL, "%s: the graph is finished", prefix);
    if (graph->dtype != from->dtype)
        return vt_error(VT_EUNSUPPORTED, "layers of %s cannot join a graph of %s",
                        vt_dtype_name(from->dtype), vt_dtype_name(graph->dtype));
    const vt_shape *have = &graph->nodes[x].shape, *want = &from->nodes[input].shape;
    if (have->ndim != want->ndim ||
        memcmp(have->size, want->size, (size_t)want->ndim * sizeof *want->size) != 0)
        return vt_error(VT_ESHAPE, "%s and %s are of different sizes", graph->nodes[x].name,
                        from->nodes[input].name);
    mark(needed, from, input, output);
    at[input] = x;
    for (vt_node node = 0; node <= output; node++) {
        if (!needed[node] || node == input) continue;
        if (!from->nodes[node].op)
            return vt_error(VT_EINVAL, "layer %s needs the input %s, too", from->nodes[output].name,
                            from->nodes[node].name);
        VT_TRY(copy_node(graph, from, node, at, prefix));
    }
    return VT_OK;
}

vt_node vt_graph_copy(vt_graph *graph, vt_node x, const vt_graph *from, vt_node input,
                      vt_node output, const char *prefix)
{
    if (!graph || graph->mistake.code != VT_OK || x == VT_NO_NODE) return VT_NO_NODE;
    bool *needed = vt_alloc(from->node_count, sizeof *needed);
    vt_node *at = vt_alloc(from->node_count, sizeof *at), copied = VT_NO_NODE;
    vt_status status = needed && at ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = copy(graph, x, from, input, output, prefix, needed, at);
    if (status == VT_OK) copied = at[output];
    free(needed);
    free(at);
    return status == VT_OK ? copied : vt_graph_mistake(graph, status);
}

void vt_graph_copy_values(vt_graph *graph, const vt_graph *from, const char *prefix)
{
    size_t length = strlen(prefix);
    for (size_t i = 0; i < graph->param_count; i++) {
        vt_param *to = &graph->params[i];
        if (strncmp(to->name, prefix, length) != 0) continue;
        const vt_param *param = NULL;
        for (size_t k = 0; k < from->param_count && !param; k++)
            if (strcmp(from->params[k].name, to->name + length) == 0) param = &from->params[k];
        bool same = param && vt_tensor_bytes(&param->value) == vt_tensor_bytes(&to->value);
        if (same) memcpy(to->value.data, param->value.data, vt_tensor_bytes(&to->value));
    }
    vt_graph_touch(graph);
}

void vt_graph_set_momentum(vt_graph *graph, double momentum)
{
    for (size_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].op == &vt_op_batch_norm)
            ((vt_batch_norm_options *)graph->nodes[i].options)->momentum = momentum;
}
