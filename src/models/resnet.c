/* Residual networks and their V1 variants: which component goes where.
 *
 * With 64 x 64 images: conv1 (stride 2) 32 x 32, max pooling or cortical magnification 16 x 16,
 * layer1 16 x 16 to layer4 2 x 2. Center-surround follows conv2 of layer1's blocks; local receptive
 * fields replace conv2 of its last block; normalizations follow each block's last ReLU. */
#include "models/resnet.h"

#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"
#include "models/model.h"
#include "ventral/rng.h"

const vt_preprocessing vt_preprocessing_v1 = {{127.5f, 127.5f, 127.5f}, {127.5f, 127.5f, 127.5f}};

enum { STAGES = 4, CENTER_SURROUND_CHANNELS = 16 };

/* The network under construction; `prefix` is the block's path. */
typedef struct builder {
    vt_graph *graph;
    const vt_resnet_options *o;
    unsigned components;
    bool composite; /* composites name their modules in another way than single variants */
    char prefix[32];
    char name[64];
} builder;

static const char *path(builder *b, const char *module)
{
    snprintf(b->name, sizeof b->name, "%s%s%s", b->prefix, *b->prefix ? "." : "", module);
    return b->name;
}

static int scaled(const builder *b, int channels)
{
    long wide = lround(channels * b->o->width);
    return wide < 1 ? 1 : (int)wide;
}

static vt_node conv(builder *b, vt_node x, const char *module, int filters, int kernel, int stride)
{
    int p = kernel / 2;
    return vt_conv2d(b->graph, x,
                     &(vt_conv2d_options){.name = path(b, module),
                                          .filters = filters,
                                          .kernel = {kernel, kernel},
                                          .stride = {stride, stride},
                                          .pad = {p, p, p, p},
                                          .no_bias = true});
}

static vt_node norm(builder *b, vt_node x, const char *module)
{
    return vt_batch_norm(
        b->graph, x,
        &(vt_batch_norm_options){
            .name = path(b, module), .epsilon = b->o->epsilon, .momentum = 0.1, .unbiased = true});
}

static vt_node relu(builder *b, vt_node x, const char *module)
{
    return vt_relu(b->graph, x, path(b, module));
}

static vt_node center_surround(builder *b, vt_node x, const char *module)
{
    return vt_center_surround(
        b->graph, x,
        &(vt_center_surround_options){.name = path(b, module),
                                      .channels = scaled(b, CENTER_SURROUND_CHANNELS),
                                      .radius = VT_RESNET_SURROUND_RADIUS,
                                      .formulation = b->o->formulation});
}

static vt_node local_receptive_field(builder *b, vt_node x, const char *module, int filters)
{
    return vt_local_receptive_field(b->graph, x,
                                    &(vt_local_receptive_field_options){
                                        .name = path(b, module), .filters = filters, .kernel = 3});
}

/* conv2 of a block of layer1, with what surrounds or replaces it. */
static vt_node layer1_conv2(builder *b, vt_node x, int filters, bool last)
{
    if (last && (b->components & VT_HAS_LOCAL_RECEPTIVE_FIELDS)) {
        if (b->composite) return local_receptive_field(b, x, "conv2", filters);
        x = vt_dropout(
            b->graph, x,
            &(vt_dropout_options){.name = path(b, "conv2.0"), .rate = 0.5, .channels = true});
        return local_receptive_field(b, x, "conv2.1", filters);
    }
    if (b->components & VT_HAS_CENTER_SURROUND) {
        x = conv(b, x, b->composite ? "conv2.conv" : "conv2.0", filters, 3, 1);
        return center_surround(b, x, b->composite ? "conv2.dog.dog_conv" : "conv2.1.dog_conv");
    }
    return conv(b, x, "conv2", filters, 3, 1);
}

static vt_node normalization(builder *b, vt_node x)
{
    if (b->components & VT_HAS_DIVISIVE_NORMALIZATION)
        return vt_divisive_normalization(
            b->graph, x,
            &(vt_divisive_normalization_options){.name = path(b, "dn"),
                                                 .kernel = VT_RESNET_DIVISIVE_KERNEL,
                                                 .formulation = b->o->formulation});
    if (b->components & VT_HAS_TUNED_NORMALIZATION)
        return vt_tuned_normalization(b->graph, x,
                                      &(vt_tuned_normalization_options){
                                          .name = path(b, "dn"), .formulation = b->o->formulation});
    return x;
}

typedef struct block {
    int filters; /* of the convolutions before the widening one */
    int stride;
    bool in_layer1, first, last; /* of its layer */
} block;

static vt_node residual_block(builder *b, vt_node input, const block *k)
{
    bool bottleneck = b->o->depth >= 50;
    int stride = k->stride, out = bottleneck ? scaled(b, k->filters * 4) : scaled(b, k->filters);
    int filters = scaled(b, k->filters);
    vt_node x = bottleneck ? conv(b, input, "conv1", filters, 1, 1)
                           : conv(b, input, "conv1", filters, 3, stride);
    x = relu(b, norm(b, x, "bn1"), "relu1");
    x = k->in_layer1 ? layer1_conv2(b, x, filters, k->last)
                     : conv(b, x, "conv2", filters, 3, bottleneck ? stride : 1);
    x = norm(b, x, "bn2");
    if (bottleneck) {
        x = relu(b, x, "relu2");
        x = norm(b, conv(b, x, "conv3", out, 1, 1), "bn3");
    }
    vt_node identity = input;
    if (k->first && (stride != 1 || bottleneck)) {
        identity = conv(b, input, "downsample.0", out, 1, stride);
        identity = norm(b, identity, "downsample.1");
    }
    x = vt_add(b->graph, x, identity, path(b, "add"));
    x = relu(b, x, "relu");
    return k->in_layer1 ? normalization(b, x) : x;
}

static vt_node stem(builder *b, vt_node x)
{
    b->prefix[0] = '\0';
    x = relu(b, norm(b, conv(b, x, "conv1", scaled(b, 64), 7, 2), "bn1"), "relu");
    if (b->components & VT_HAS_CORTICAL_MAGNIFICATION)
        return vt_cortical_magnification(b->graph, x,
                                         &(vt_cortical_magnification_options){
                                             .name = "maxpool", .formulation = b->o->formulation});
    return vt_max_pool(
        b->graph, x,
        &(vt_pool_options){
            .name = "maxpool", .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}});
}

static vt_node head(builder *b, vt_node x)
{
    int64_t size[VT_MAX_DIMS] = {0};
    vt_graph_node_size(b->graph, x, size);
    x = vt_average_pool(
        b->graph, x, &(vt_pool_options){.name = "avgpool", .kernel = {(int)size[0], (int)size[1]}});
    x = vt_flatten(b->graph, x, "flatten");
    return vt_linear(b->graph, x, &(vt_linear_options){.name = "fc", .units = b->o->classes});
}

static int blocks_of(int depth, int stage)
{
    static const int small[STAGES] = {2, 2, 2, 2}, large[STAGES] = {3, 4, 6, 3};
    return depth == 18 ? small[stage] : large[stage];
}

static vt_status build(vt_model *model)
{
    const vt_resnet_options *o = &model->options.resnet;
    VT_TRY(vt_graph_new(&model->graph, o->float64 ? VT_F64 : VT_F32, VT_NAMES_TORCH));
    builder b = {.graph = model->graph,
                 .o = o,
                 .components = vt_resnet_components(o->variant),
                 .composite = o->variant >= VT_RESNET_COMPOSITE_A};
    model->input = vt_input(b.graph, "input", 3, (int64_t[]){o->image, o->image, 3});
    vt_node x = stem(&b, model->input);
    for (int stage = 0; stage < STAGES; stage++) {
        int blocks = blocks_of(o->depth, stage);
        for (int i = 0; i < blocks; i++) {
            block k = {.filters = 64 << stage,
                       .stride = stage > 0 && i == 0 ? 2 : 1,
                       .in_layer1 = stage == 0,
                       .first = i == 0,
                       .last = i == blocks - 1};
            snprintf(b.prefix, sizeof b.prefix, "layer%d.%d", stage + 1, i);
            x = residual_block(&b, x, &k);
        }
    }
    model->output = head(&b, x);
    vt_node label = vt_input(b.graph, "label", 1, (int64_t[]){1});
    vt_cross_entropy(b.graph, model->output, label, "loss");
    return VT_OK;
}

/* ---- initial weights, as the authors' code and torchvision have them ---- */

static void fill(vt_param *param, vt_rng *rng, bool normal, double scale)
{
    for (int64_t i = 0; i < vt_tensor_count(&param->value); i++) {
        float w = (float)(scale * (normal ? vt_rng_normal(rng) : 2 * vt_rng_uniform(rng) - 1));
        if (param->value.dtype == VT_F64)
            ((double *)param->value.data)[i] = w;
        else
            ((float *)param->value.data)[i] = w;
    }
}

/* Convolutions are normal with variance 2 / fan_out (He et al. 2015), but for those that the
 * center-surround variant puts in later, which keep PyTorch's default as its last layer does: U(-l,
 * l) with l = 1 / sqrt(fan_in). The components' layers bring their own. */
static void initialise(vt_model *model)
{
    const vt_resnet_options *o = &model->options.resnet;
    for (int i = 0; i < vt_graph_param_count(model->graph); i++) {
        vt_param *param = vt_graph_param(model->graph, i);
        const int64_t *size = param->value.size;
        vt_rng rng;
        vt_rng_init(&rng, o->seed, VT_RNG_INIT, 1, (uint32_t)i);
        if (param->value.ndim == 4) {
            bool uniform = vt_ends_with(param->name, "conv2.0.weight");
            double fan = (double)(size[1] * size[2] * (uniform ? size[3] : size[0]));
            fill(param, &rng, !uniform, sqrt((uniform ? 1 : 2) / fan));
        } else if (strncmp(param->name, "fc.", 3) == 0) {
            const vt_param *weight = vt_graph_find_param(model->graph, "fc.weight");
            fill(param, &rng, false, 1 / sqrt((double)weight->value.size[1]));
        }
    }
    vt_graph_touch(model->graph);
}

static vt_status check_options(const vt_resnet_options *o)
{
    if (o->depth != 18 && o->depth != 34 && o->depth != 50)
        return vt_error(VT_EINVAL, "network: depth %d; 18, 34 and 50 are possible", o->depth);
    if (o->variant < 0 || o->variant >= VT_RESNET_VARIANTS)
        return vt_error(VT_EINVAL, "network: there is no variant %d", (int)o->variant);
    if (!(o->width > 0 && o->width <= 16))
        return vt_error(VT_EINVAL, "network: width %g; above 0 to 16 is possible", o->width);
    if (o->classes < 1 || o->classes > 1000000)
        return vt_error(VT_EINVAL, "network: %d classes; 1 to 1000000 are possible", o->classes);
    if (o->image < 32 || o->image > 2048)
        return vt_error(VT_EINVAL, "network: images of %d pixels; 32 to 2048 are possible",
                        o->image);
    if (!(o->epsilon > 0)) return vt_error(VT_EINVAL, "network: epsilon must be above 0");
    return VT_OK;
}

/* The network without its parameters' memory. */
static vt_status make(vt_model **out, const vt_resnet_options *options)
{
    vt_model *model = vt_alloc(1, sizeof *model);
    if (!model) return VT_ENOMEM;
    vt_resnet_options *o = &model->options.resnet;
    *o = *options;
    if (o->depth == 0) o->depth = 50;
    if (o->width == 0) o->width = 1;
    if (o->classes == 0) o->classes = 1000;
    if (o->image == 0) o->image = 64;
    if (o->epsilon == 0) o->epsilon = 1e-5;
    model->architecture = &vt_architecture_resnet;
    model->preprocessing = vt_preprocessing_v1;
    model->outputs = o->classes;
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

vt_status vt_resnet_new(vt_model **out, const vt_resnet_options *options)
{
    vt_model *model;
    VT_TRY(make(&model, options));
    vt_status status = vt_graph_finish(model->graph, options->seed);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    initialise(model);
    *out = model;
    return VT_OK;
}

vt_status vt_resnet_new_empty(vt_model **out, const vt_resnet_options *options, int64_t most)
{
    vt_model *model;
    VT_TRY(make(&model, options));
    vt_status status = vt_graph_finish_empty(model->graph, most);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    *out = model;
    return VT_OK;
}

vt_status vt_model_resnet_options(const vt_model *model, vt_resnet_options *out)
{
    if (model->architecture != &vt_architecture_resnet)
        return vt_error(VT_EUNSUPPORTED, "%s: a network of V1 (a ResNet) is needed, this is a %s",
                        vt_model_label(model), vt_model_architecture(model));
    *out = model->options.resnet;
    return VT_OK;
}

vt_status vt_resnet_with_formulation(vt_model **out, const vt_model *model,
                                     vt_formulation formulation)
{
    vt_resnet_options options;
    vt_model *made;
    VT_TRY(vt_model_resnet_options(model, &options));
    options.formulation = formulation;
    VT_TRY(vt_resnet_new_empty(&made, &options, INT64_MAX));
    if (model->label && !(made->label = vt_strdup(model->label))) {
        vt_model_free(made);
        return VT_ENOMEM;
    }
    made->source = model->source;
    made->preprocessing = model->preprocessing;
    for (int i = 0; i < vt_graph_param_count(made->graph); i++) {
        vt_tensor *to = &vt_graph_param(made->graph, i)->value;
        memcpy(to->data, vt_graph_param(model->graph, i)->value.data, vt_tensor_bytes(to));
    }
    vt_graph_touch(made->graph);
    *out = made;
    return VT_OK;
}
