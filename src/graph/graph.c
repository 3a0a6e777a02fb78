/* Building a graph: nodes in order of construction, each checked as it is added. */
#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ventral/rng.h"

vt_status vt_graph_new(vt_graph **out, vt_dtype dtype, vt_naming naming)
{
    if (dtype != VT_F32 && dtype != VT_F64)
        return vt_error(VT_EINVAL, "a graph computes in float32 or float64, not %s",
                        vt_dtype_name(dtype));
    vt_graph *graph = vt_alloc(1, sizeof *graph);
    if (!graph) return VT_ENOMEM;
    graph->dtype = dtype;
    graph->naming = naming;
    graph->version = 1;
    vt_status status = vt_arena_new(&graph->arena);
    if (status != VT_OK) {
        free(graph);
        return status;
    }
    *out = graph;
    return VT_OK;
}

void vt_graph_free(vt_graph *graph)
{
    if (!graph) return;
    vt_arena_free(graph->arena);
    free(graph->nodes);
    free(graph->params);
    free(graph->specs);
    free(graph);
}

vt_node vt_graph_mistake(vt_graph *graph, vt_status code)
{
    if (graph->mistake.code == VT_OK) vt_error_save(&graph->mistake, code);
    return VT_NO_NODE;
}

vt_status vt_graph_reserve_node(vt_graph *graph)
{
    if (graph->node_count < graph->node_capacity) return VT_OK;
    size_t capacity = graph->node_capacity ? 2 * graph->node_capacity : 32;
    vt_node_def *nodes = vt_grow(graph->nodes, graph->node_count, capacity, sizeof *nodes);
    if (!nodes) return VT_ENOMEM;
    graph->nodes = nodes;
    graph->node_capacity = capacity;
    return VT_OK;
}

vt_status vt_graph_reserve_param(vt_graph *graph)
{
    if (graph->param_count < graph->param_capacity) return VT_OK;
    size_t capacity = graph->param_capacity ? 2 * graph->param_capacity : 64;
    vt_param *params = vt_grow(graph->params, graph->param_count, capacity, sizeof *params);
    if (!params) return VT_ENOMEM;
    graph->params = params;
    vt_param_spec *specs = vt_grow(graph->specs, graph->param_count, capacity, sizeof *specs);
    if (!specs) return VT_ENOMEM;
    graph->specs = specs;
    graph->param_capacity = capacity;
    return VT_OK;
}

/* PyTorch's word for a parameter that Keras calls `role`. */
static const char *torch_role(const char *role)
{
    static const char *const pairs[][2] = {{"kernel", "weight"},
                                           {"gamma", "weight"},
                                           {"beta", "bias"},
                                           {"moving_mean", "running_mean"},
                                           {"moving_variance", "running_var"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(role, pairs[i][0]) == 0) return pairs[i][1];
    return role;
}

static vt_status param_name(vt_graph *graph, const char *node, const vt_param_spec *spec,
                            const char **out)
{
    const char *role = graph->naming == VT_NAMES_TORCH ? torch_role(spec->role) : spec->role;
    char *name = NULL;
    size_t bytes = spec->name ? strlen(spec->name) + 1 : strlen(node) + strlen(role) + 2;
    if (bytes > VT_NAME_SIZE)
        return vt_error(VT_EINVAL, "layer %s: parameter names are at most %d bytes long", node,
                        VT_NAME_SIZE - 1);
    VT_TRY(vt_arena_alloc(graph->arena, &name, bytes, "parameter name"));
    if (spec->name)
        memcpy(name, spec->name, bytes);
    else
        snprintf(name, bytes, "%s.%s", node, role);
    if (vt_graph_find_param(graph, name))
        return vt_error(VT_EINVAL, "two parameters are named %s", name);
    *out = name;
    return VT_OK;
}

static vt_status add_params(vt_graph *graph, vt_node_def *node, const vt_op_shape *shape)
{
    node->params = shape->params;
    for (int i = 0; i < shape->params; i++) {
        const vt_param_spec *spec = &shape->param[i];
        vt_param param = {.is_buffer = spec->is_buffer, .trainable = !spec->is_buffer};
        VT_TRY(vt_graph_reserve_param(graph));
        VT_TRY(param_name(graph, node->name, spec, &param.name));
        VT_TRY(vt_tensor_init(&param.value, graph->dtype, spec->ndim, spec->size, NULL));
        strcpy(param.value.name, param.name);
        param.gradient = param.value;
        node->param[i] = (int)graph->param_count;
        graph->specs[graph->param_count] = *spec;
        graph->params[graph->param_count++] = param;
    }
    return VT_OK;
}

static vt_node named(const vt_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0) return (vt_node)i;
    return VT_NO_NODE;
}

static vt_status check_inputs(const vt_graph *graph, const char *name, int inputs,
                              const vt_node *in)
{
    if (graph->finished) return vt_error(VT_EINVAL, "layer %s: the graph is finished", name);
    if (!name || !*name) return vt_error(VT_EINVAL, "a layer has no name");
    if (named(graph, name) != VT_NO_NODE)
        return vt_error(VT_EINVAL, "two layers are named %s", name);
    for (int i = 0; i < inputs; i++)
        if (in[i] < 0 || (size_t)in[i] >= graph->node_count)
            return vt_error(VT_EINVAL, "layer %s: its input %d is not a layer of this graph", name,
                            i);
    return VT_OK;
}

static vt_status add_op(vt_graph *graph, const vt_op *op, const char *name, const void *options,
                        int inputs, const vt_node *in)
{
    VT_TRY(check_inputs(graph, name, inputs, in));
    VT_TRY(vt_graph_reserve_node(graph));
    vt_node_def node = {.op = op, .inputs = inputs};
    node.name = vt_arena_strdup(graph->arena, name);
    if (!node.name) return VT_ENOMEM;
    if (options) {
        VT_TRY(vt_arena_alloc(graph->arena, &node.options, op->options_size, name));
        memcpy(node.options, options, op->options_size);
    }
    vt_op_shape shape = {.name = name, .options = node.options, .inputs = inputs};
    for (int i = 0; i < inputs; i++) {
        node.in[i] = in[i];
        shape.in[i] = graph->nodes[in[i]].shape;
    }
    VT_TRY(op->infer(&shape));
    VT_TRY(add_params(graph, &node, &shape));
    node.shape = shape.out;
    node.flops = op->flops ? op->flops(&shape) : 0;
    graph->nodes[graph->node_count++] = node;
    return VT_OK;
}

vt_node vt_graph_add(vt_graph *graph, const vt_op *op, const char *name, const void *options,
                     int inputs, const vt_node *in)
{
    if (!graph || graph->mistake.code != VT_OK) return VT_NO_NODE;
    vt_status status = add_op(graph, op, name, options, inputs, in);
    return status == VT_OK ? (vt_node)graph->node_count - 1 : vt_graph_mistake(graph, status);
}

vt_node vt_input(vt_graph *graph, const char *name, int ndim, const int64_t *size)
{
    if (!graph || graph->mistake.code != VT_OK) return VT_NO_NODE;
    vt_status status = check_inputs(graph, name, 0, NULL);
    vt_tensor sized;
    if (status == VT_OK && (ndim < 1 || ndim >= VT_MAX_DIMS))
        status = vt_error(VT_ESHAPE, "input %s: %d dimensions; 1 to %d are possible", name, ndim,
                          VT_MAX_DIMS - 1);
    if (status == VT_OK) status = vt_tensor_init(&sized, graph->dtype, ndim, size, NULL);
    if (status == VT_OK && vt_tensor_count(&sized) == 0)
        status = vt_error(VT_ESHAPE, "input %s is empty", name);
    if (status == VT_OK) status = vt_graph_reserve_node(graph);
    vt_node_def node = {.shape = {.ndim = ndim}};
    if (status == VT_OK && !(node.name = vt_arena_strdup(graph->arena, name))) status = VT_ENOMEM;
    if (status != VT_OK) return vt_graph_mistake(graph, status);
    memcpy(node.shape.size, size, (size_t)ndim * sizeof *size);
    graph->nodes[graph->node_count++] = node;
    return (vt_node)graph->node_count - 1;
}

vt_node vt_conv2d(vt_graph *graph, vt_node x, const vt_conv2d_options *options)
{
    return vt_graph_add(graph, &vt_op_conv2d, options->name, options, 1, &x);
}

vt_node vt_linear(vt_graph *graph, vt_node x, const vt_linear_options *options)
{
    return vt_graph_add(graph, &vt_op_linear, options->name, options, 1, &x);
}

vt_node vt_batch_norm(vt_graph *graph, vt_node x, const vt_batch_norm_options *options)
{
    return vt_graph_add(graph, &vt_op_batch_norm, options->name, options, 1, &x);
}

vt_node vt_relu(vt_graph *graph, vt_node x, const char *name)
{
    return vt_graph_add(graph, &vt_op_relu, name, NULL, 1, &x);
}

vt_node vt_add(vt_graph *graph, vt_node a, vt_node b, const char *name)
{
    return vt_graph_add(graph, &vt_op_add, name, NULL, 2, (vt_node[]){a, b});
}

vt_node vt_blend(vt_graph *graph, vt_node a, vt_node b, const vt_blend_options *options)
{
    return vt_graph_add(graph, &vt_op_blend, options->name, options, 2, (vt_node[]){a, b});
}

vt_node vt_max_pool(vt_graph *graph, vt_node x, const vt_pool_options *options)
{
    return vt_graph_add(graph, &vt_op_max_pool, options->name, options, 1, &x);
}

vt_node vt_average_pool(vt_graph *graph, vt_node x, const vt_pool_options *options)
{
    return vt_graph_add(graph, &vt_op_average_pool, options->name, options, 1, &x);
}

vt_node vt_dropout(vt_graph *graph, vt_node x, const vt_dropout_options *options)
{
    return vt_graph_add(graph, &vt_op_dropout, options->name, options, 1, &x);
}

vt_node vt_flatten(vt_graph *graph, vt_node x, const char *name)
{
    return vt_graph_add(graph, &vt_op_flatten, name, NULL, 1, &x);
}

vt_node vt_gaussian_readout(vt_graph *graph, vt_node features, vt_node group,
                            const vt_gaussian_readout_options *options)
{
    return vt_graph_add(graph, &vt_op_gaussian_readout, options->name, options, 2,
                        (vt_node[]){features, group});
}

vt_node vt_mean_squared_error(vt_graph *graph, vt_node x, vt_node target, const char *name)
{
    return vt_graph_add(graph, &vt_op_mean_squared_error, name, NULL, 2, (vt_node[]){x, target});
}

vt_node vt_poisson_loss(vt_graph *graph, vt_node x, vt_node target, const char *name)
{
    return vt_graph_add(graph, &vt_op_poisson_loss, name, NULL, 2, (vt_node[]){x, target});
}

vt_node vt_cross_entropy(vt_graph *graph, vt_node x, vt_node target, const char *name)
{
    return vt_graph_add(graph, &vt_op_cross_entropy, name, NULL, 2, (vt_node[]){x, target});
}

static void set_element(vt_tensor *t, int64_t i, double value)
{
    if (t->dtype == VT_F64)
        ((double *)t->data)[i] = value;
    else
        ((float *)t->data)[i] = (float)value;
}

static void initialise(vt_param *param, const vt_param_spec *spec, uint64_t seed, uint32_t index)
{
    int64_t count = vt_tensor_count(&param->value);
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_INIT, 0, index);
    double limit = sqrt(6 / (spec->fan_in + spec->fan_out));
    for (int64_t i = 0; i < count; i++)
        switch (spec->init) {
        case VT_INIT_ZERO: set_element(&param->value, i, 0); break;
        case VT_INIT_ONE: set_element(&param->value, i, 1); break;
        case VT_INIT_CONSTANT: set_element(&param->value, i, spec->scale); break;
        case VT_INIT_NORMAL:
            set_element(&param->value, i, spec->mean + spec->scale * vt_rng_normal(&rng));
            break;
        case VT_INIT_UNIFORM:
            set_element(&param->value, i,
                        spec->low + (spec->high - spec->low) * vt_rng_uniform(&rng));
            break;
        case VT_INIT_GLOROT_UNIFORM:
            set_element(&param->value, i, limit * (2 * vt_rng_uniform(&rng) - 1));
            break;
        }
}

/* Bytes of a parameter in its block: the next multiple of 64. */
static size_t block_bytes(const vt_param *param)
{
    return (vt_tensor_bytes(&param->value) + 63) & ~(size_t)63;
}

static vt_status check_count(const vt_graph *graph, int64_t most)
{
    for (size_t i = 0; i < graph->param_count; i++) {
        int64_t count = vt_tensor_count(&graph->params[i].value);
        if (count > most)
            return vt_error(VT_EFORMAT, "the model described has more weights than there are");
        most -= count;
    }
    return VT_OK;
}

vt_status vt_graph_finish_empty(vt_graph *graph, int64_t most)
{
    if (graph->mistake.code != VT_OK) return vt_error_restore(&graph->mistake);
    if (graph->finished) return vt_error(VT_EINVAL, "the graph is finished already");
    VT_TRY(check_count(graph, most));
    size_t value_bytes = 0, gradient_bytes = 0;
    for (size_t i = 0; i < graph->param_count; i++) {
        value_bytes += block_bytes(&graph->params[i]);
        if (!graph->params[i].is_buffer) gradient_bytes += block_bytes(&graph->params[i]);
    }
    char *values = NULL, *gradients = NULL;
    VT_TRY(vt_arena_alloc(graph->arena, &values, value_bytes, "parameters"));
    VT_TRY(vt_arena_alloc(graph->arena, &gradients, gradient_bytes, "gradients"));
    for (size_t i = 0; i < graph->param_count; i++) {
        vt_param *param = &graph->params[i];
        param->value.data = values;
        values += block_bytes(param);
        if (!param->is_buffer) {
            param->gradient.data = gradients;
            gradients += block_bytes(param);
        }
    }
    graph->finished = true;
    return VT_OK;
}

vt_status vt_graph_finish(vt_graph *graph, uint64_t seed)
{
    VT_TRY(vt_graph_finish_empty(graph, INT64_MAX));
    for (size_t i = 0; i < graph->param_count; i++)
        initialise(&graph->params[i], &graph->specs[i], seed, (uint32_t)i);
    return VT_OK;
}

int vt_graph_node_count(const vt_graph *graph)
{
    return (int)graph->node_count;
}

vt_node vt_graph_find(const vt_graph *graph, const char *name)
{
    vt_node node = named(graph, name);
    size_t length = strlen(name);
    for (size_t i = graph->node_count; i-- > 0 && node == VT_NO_NODE;)
        if (strncmp(graph->nodes[i].name, name, length) == 0 && graph->nodes[i].name[length] == '.')
            node = (vt_node)i;
    return node;
}

static const vt_node_def *node_at(const vt_graph *graph, vt_node node)
{
    return node >= 0 && (size_t)node < graph->node_count ? &graph->nodes[node] : NULL;
}

const char *vt_graph_node_name(const vt_graph *graph, vt_node node)
{
    const vt_node_def *def = node_at(graph, node);
    return def ? def->name : NULL;
}

const char *vt_graph_node_kind(const vt_graph *graph, vt_node node)
{
    const vt_node_def *def = node_at(graph, node);
    return !def ? NULL : def->op ? def->op->name : "input";
}

int vt_graph_node_size(const vt_graph *graph, vt_node node, int64_t size[VT_MAX_DIMS])
{
    const vt_node_def *def = node_at(graph, node);
    if (!def) return 0;
    for (int i = 0; i < def->shape.ndim; i++)
        size[i] = def->shape.size[i];
    return def->shape.ndim;
}

int64_t vt_graph_node_flops(const vt_graph *graph, vt_node node)
{
    const vt_node_def *def = node_at(graph, node);
    return def ? def->flops : 0;
}

vt_status vt_graph_node_tensor(const vt_graph *graph, vt_node node, int64_t batch, vt_tensor *out)
{
    const vt_node_def *def = &graph->nodes[node];
    int64_t size[VT_MAX_DIMS] = {batch};
    int lead = def->shape.batchless ? 0 : 1;
    for (int i = 0; i < def->shape.ndim; i++)
        size[lead + i] = def->shape.size[i];
    VT_TRY(vt_tensor_init(out, graph->dtype, def->shape.ndim + lead, size, NULL));
    snprintf(out->name, sizeof out->name, "%s", def->name);
    return VT_OK;
}

int vt_graph_param_count(const vt_graph *graph)
{
    return (int)graph->param_count;
}

vt_param *vt_graph_param(vt_graph *graph, int index)
{
    return index >= 0 && (size_t)index < graph->param_count ? &graph->params[index] : NULL;
}

vt_param *vt_graph_find_param(vt_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->param_count; i++)
        if (strcmp(graph->params[i].name, name) == 0) return &graph->params[i];
    return NULL;
}

void vt_graph_touch(vt_graph *graph)
{
    graph->version++;
}

void vt_graph_set_trainable(vt_graph *graph, const char *prefix, bool trainable)
{
    for (size_t i = 0; i < graph->param_count; i++)
        if (!graph->params[i].is_buffer &&
            strncmp(graph->params[i].name, prefix, strlen(prefix)) == 0)
            graph->params[i].trainable = trainable;
}

void vt_graph_zero_gradients(vt_graph *graph)
{
    for (size_t i = 0; i < graph->param_count; i++)
        if (graph->params[i].gradient.data)
            memset(graph->params[i].gradient.data, 0, vt_tensor_bytes(&graph->params[i].gradient));
}

vt_status vt_graph_set_epsilon(vt_graph *graph, double epsilon)
{
    if (!(epsilon > 0) || !isfinite(epsilon))
        return vt_error(VT_EINVAL, "epsilon %g must be above 0", epsilon);
    for (size_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].op == &vt_op_batch_norm)
            ((vt_batch_norm_options *)graph->nodes[i].options)->epsilon = epsilon;
    vt_graph_touch(graph);
    return VT_OK;
}
