/* The compact models of V4 neurons and their shared kin (Cowley et al. 2026, see model.h). Layer
 * and parameter names are those of the published files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "graph/graph.h"
#include "models/compact.h"
#include "models/model.h"

const vt_preprocessing vt_preprocessing_v4 = {{116.222f, 109.270f, 100.381f}, {1, 1, 1}};

/* layer0: a full 5 x 5 convolution. */
static vt_node first_layer(vt_graph *g, vt_node x, const vt_compact_options *o)
{
    return vt_conv2d(g, x,
                     &(vt_conv2d_options){.name = "layer0_conv",
                                          .filters = o->filters[0],
                                          .kernel = {5, 5},
                                          .padding = VT_PAD_SAME});
}

/* layer1..4: 5 x 5 depthwise, then 1 x 1; one layer in the published files. */
static vt_node separable_layer(vt_graph *g, vt_node x, const vt_compact_options *o, int layer)
{
    char depth[32], depth_kernel[64], point[32], point_kernel[64];
    int stride = layer == 1 || layer == 2 ? 2 : 1, channels = o->filters[layer - 1];
    snprintf(depth, sizeof depth, "layer%d_conv_depth", layer);
    snprintf(depth_kernel, sizeof depth_kernel, "layer%d_conv.depthwise_kernel", layer);
    snprintf(point, sizeof point, "layer%d_conv", layer);
    snprintf(point_kernel, sizeof point_kernel, "layer%d_conv.pointwise_kernel", layer);
    x = vt_conv2d(g, x,
                  &(vt_conv2d_options){.name = depth,
                                       .kernel_name = depth_kernel,
                                       .filters = channels,
                                       .groups = channels,
                                       .kernel = {5, 5},
                                       .stride = {stride, stride},
                                       .padding = VT_PAD_SAME,
                                       .no_bias = true});
    return vt_conv2d(g, x,
                     &(vt_conv2d_options){.name = point,
                                          .kernel_name = point_kernel,
                                          .filters = o->filters[layer],
                                          .kernel = {1, 1}});
}

vt_node vt_compact_core(vt_graph *g, vt_node x, const vt_compact_options *o, double momentum)
{
    for (int layer = 0; layer < VT_COMPACT_LAYERS; layer++) {
        char name[32];
        x = layer == 0 ? first_layer(g, x, o) : separable_layer(g, x, o, layer);
        snprintf(name, sizeof name, "layer%d_bn", layer);
        x = vt_batch_norm(
            g, x,
            &(vt_batch_norm_options){.name = name, .epsilon = o->epsilon, .momentum = momentum});
        snprintf(name, sizeof name, "layer%d_act", layer);
        if (!o->linear) x = vt_relu(g, x, name);
    }
    return x;
}

static vt_node flat_readout(vt_graph *g, vt_node x)
{
    x = vt_flatten(g, x, "embeddings");
    return vt_linear(g, x, &(vt_linear_options){.name = "Beta", .units = 1});
}

/* Mixing of channels for each neuron, then a weight a position. */
static vt_node shared_readout(vt_graph *g, vt_node x, int neurons)
{
    int64_t size[VT_MAX_DIMS];
    if (vt_graph_node_size(g, x, size) != 3) return VT_NO_NODE;
    x = vt_conv2d(
        g, x, &(vt_conv2d_options){.name = "mixing_stage", .filters = neurons, .kernel = {1, 1}});
    x = vt_conv2d(g, x,
                  &(vt_conv2d_options){.name = "spatial_pool_stage",
                                       .kernel_name = "spatial_pool_stage.depthwise_kernel",
                                       .filters = neurons,
                                       .groups = neurons,
                                       .kernel = {(int)size[0], (int)size[1]}});
    return vt_flatten(g, x, "output_responses");
}

static vt_status check_options(const vt_compact_options *o)
{
    for (int i = 0; i < VT_COMPACT_LAYERS; i++)
        if (o->filters[i] < 1 || o->filters[i] > 4096)
            return vt_error(VT_EINVAL,
                            "compact model: layer %d has %d filters; 1 to 4096 are possible", i,
                            o->filters[i]);
    if (o->height < 8 || o->width < 8 || o->height > 4096 || o->width > 4096)
        return vt_error(VT_EINVAL, "compact model: images of %d x %d; 8 to 4096 are possible",
                        o->height, o->width);
    if (!(o->epsilon > 0))
        return vt_error(VT_EINVAL, "compact model: epsilon %g must be above 0", o->epsilon);
    if (o->outputs < 0 || (!o->shared && o->outputs > 1))
        return vt_error(VT_EINVAL, "compact model: %d outputs; a flat readout has one", o->outputs);
    return VT_OK;
}

static vt_status build(vt_model *model)
{
    const vt_compact_options *o = &model->options.compact;
    VT_TRY(vt_graph_new(&model->graph, VT_F32, VT_NAMES_KERAS));
    vt_graph *g = model->graph;
    model->input = vt_input(g, "image_input", 3, (int64_t[]){o->height, o->width, 3});
    model->core_input = model->input;
    vt_node x = vt_compact_core(g, model->input, o, VT_COMPACT_MOMENTUM);
    if (o->outputs > 0) x = o->shared ? shared_readout(g, x, o->outputs) : flat_readout(g, x);
    model->output = x;
    return VT_OK;
}

/* The model without its parameters' memory. */
static vt_status make(vt_model **out, const vt_compact_options *options)
{
    vt_model *model = vt_alloc(1, sizeof *model);
    if (!model) return VT_ENOMEM;
    vt_compact_options *o = &model->options.compact;
    *o = *options;
    if (o->height == 0) o->height = 112;
    if (o->width == 0) o->width = 112;
    if (o->epsilon == 0) o->epsilon = 1e-3;
    model->architecture = o->shared ? &vt_architecture_shared_compact : &vt_architecture_compact;
    model->preprocessing = vt_preprocessing_v4;
    model->outputs = o->outputs;
    model->source = "new";
    vt_status status = check_options(o);
    if (status == VT_OK) status = build(model);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    *out = model;
    return VT_OK;
}

static vt_status finish(vt_model **out, vt_model *model, vt_status status)
{
    if (status == VT_OK)
        *out = model;
    else
        vt_model_free(model);
    return status;
}

vt_status vt_compact_new(vt_model **out, const vt_compact_options *options)
{
    vt_model *model;
    VT_TRY(make(&model, options));
    return finish(out, model, vt_graph_finish(model->graph, options->seed));
}

vt_status vt_model_compact_options(const vt_model *model, vt_compact_options *out)
{
    if (model->architecture != &vt_architecture_compact &&
        model->architecture != &vt_architecture_shared_compact)
        return vt_error(VT_EUNSUPPORTED, "%s: a compact model is needed, this is a %s",
                        vt_model_label(model), vt_model_architecture(model));
    *out = model->options.compact;
    return VT_OK;
}

/* ---- in files ---- */

static int describe(json_t *root, const vt_model *model)
{
    const vt_compact_options *o = &model->options.compact;
    json_t *filters = json_array();
    for (int i = 0; i < VT_COMPACT_LAYERS; i++)
        json_array_append_new(filters, json_integer(o->filters[i]));
    return json_object_update_new(root,
                                  json_pack("{s:o, s:[i,i,i], s:f, s:b, s:i}", "filters", filters,
                                            "input", o->height, o->width, 3, "epsilon", o->epsilon,
                                            "linear", (int)o->linear, "outputs", o->outputs));
}

static vt_status parse(vt_compact_options *o, json_t *root, const char *label)
{
    json_error_t error;
    json_t *filters;
    int channels, linear;
    if (json_unpack_ex(root, &error, 0, "{s:o, s:[i,i,i], s:F, s:b, s:i}", "filters", &filters,
                       "input", &o->height, &o->width, &channels, "epsilon", &o->epsilon, "linear",
                       &linear, "outputs", &o->outputs) != 0)
        return vt_error(VT_EFORMAT, "%s: its description of the model is not usable: %s", label,
                        error.text);
    o->linear = linear;
    if (channels != 3 || json_array_size(filters) != VT_COMPACT_LAYERS)
        return vt_error(VT_EUNSUPPORTED,
                        "%s: no compact model with %zu layers on %d colours is known", label,
                        json_array_size(filters), channels);
    for (int i = 0; i < VT_COMPACT_LAYERS; i++)
        o->filters[i] = (int)json_integer_value(json_array_get(filters, (size_t)i));
    return VT_OK;
}

static vt_status create_kind(vt_model **out, json_t *root, const char *label, bool shared)
{
    vt_compact_options options = {.shared = shared};
    VT_TRY(parse(&options, root, label));
    vt_model *model;
    vt_status status = make(&model, &options);
    if (status == VT_OK)
        status =
            finish(out, model, vt_graph_finish_empty(model->graph, vt_description_weights(root)));
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", label);
}

static vt_status create_compact(vt_model **out, json_t *root, const char *label)
{
    return create_kind(out, root, label, false);
}

static vt_status create_shared(vt_model **out, json_t *root, const char *label)
{
    return create_kind(out, root, label, true);
}

/* What no other kind claims is reported as an unfit compact model. */
static bool knows(const vt_tensor_map *map)
{
    (void)map;
    return true;
}

static vt_status infer(vt_model **out, const vt_tensor_map *map, const char *label)
{
    vt_compact_options options;
    VT_TRY(vt_compact_infer(&options, map, label));
    vt_status status = vt_compact_new(out, &options);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", label);
}

static vt_status export(const vt_model *model, vt_tensor_map *map)
{
    for (int i = 0; i < vt_graph_param_count(model->graph); i++) {
        const vt_param *param = vt_graph_param(model->graph, i);
        VT_TRY(vt_tensor_map_add_copy(map, param->name, &param->value));
    }
    return VT_OK;
}

static int maps(const vt_model *model, vt_model_map *out)
{
    const char *last = model->options.compact.linear ? "layer4_bn" : "layer4_act";
    *out = (vt_model_map){.node = vt_graph_find(model->graph, last)};
    return 1;
}

static vt_status with_outputs(vt_model **out, const vt_model *model, int outputs)
{
    vt_compact_options options = model->options.compact;
    options.shared = true;
    options.outputs = outputs;
    vt_model *made;
    VT_TRY(vt_compact_new(&made, &options));
    vt_graph_copy_values(made->graph, model->graph, "");
    *out = made;
    return VT_OK;
}

const vt_architecture vt_architecture_compact = {
    .name = "compact",
    .describe = describe,
    .create = create_compact,
    .knows = knows,
    .infer = infer,
    .import = vt_compact_import,
    .export = export,
    .maps = maps,
    .with_outputs = with_outputs,
};

const vt_architecture vt_architecture_shared_compact = {
    .name = "shared_compact",
    .describe = describe,
    .create = create_shared,
    .import = vt_compact_import,
    .export = export,
    .maps = maps,
    .with_outputs = with_outputs,
};
