/* The compact models of V4 neurons and their shared kin (Cowley et al. 2026, see model.h). Layer
 * and parameter names are those of the published files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "models/compact.h"
#include "models/model.h"

const float vt_model_channel_means[3] = {116.222f, 109.270f, 100.381f};

void vt_model_preprocess(float *out, const uint8_t *images, int64_t pixels)
{
#pragma omp parallel for
    for (int64_t i = 0; i < pixels; i++)
        for (int c = 0; c < 3; c++)
            out[3 * i + c] = (float)images[3 * i + c] - vt_model_channel_means[c];
}

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
    const vt_compact_options *o = &model->options;
    VT_TRY(vt_graph_new(&model->graph, VT_F32, VT_NAMES_KERAS));
    vt_graph *g = model->graph;
    model->input = vt_input(g, "image_input", 3, (int64_t[]){o->height, o->width, 3});
    vt_node x = vt_compact_core(g, model->input, o, 0.01);
    if (o->outputs > 0) x = o->shared ? shared_readout(g, x, o->outputs) : flat_readout(g, x);
    model->output = x;
    return vt_graph_finish(g, o->seed);
}

vt_status vt_compact_new(vt_model **out, const vt_compact_options *options)
{
    vt_model *model = vt_alloc(1, sizeof *model);
    if (!model) return VT_ENOMEM;
    model->options = *options;
    model->source = "new";
    if (model->options.height == 0) model->options.height = 112;
    if (model->options.width == 0) model->options.width = 112;
    if (model->options.epsilon == 0) model->options.epsilon = 1e-3;
    vt_status status = check_options(&model->options);
    if (status == VT_OK) status = build(model);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    *out = model;
    return VT_OK;
}
