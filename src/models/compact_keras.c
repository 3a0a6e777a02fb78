/* Compact models as Keras has them: the configuration of a functional model, as the published files
 * hold it, and the weights in Keras's layouts (compact_import.c lists them).
 *
 * Two things differ from the published .h5 files, which Keras 3 refuses: initializers do not name a
 * dtype, and separable convolutions no kernel_ settings, which they never had a use for. Nothing is
 * said of training. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "models/compact.h"
#include "models/model.h"
#include "ventral/weights.h"

static json_t *initializer(const char *name)
{
    if (strcmp(name, "GlorotUniform") == 0)
        return json_pack("{s:s, s:{s:n}}", "class_name", name, "config", "seed");
    return json_pack("{s:s, s:{}}", "class_name", name, "config");
}

/* Appends a layer whose input is the one before it. `settings` is taken over, NULL fails. */
static int add_layer(json_t *layers, const char *class_name, const char *name, json_t *settings)
{
    json_t *last = json_array_get(layers, json_array_size(layers) - 1), *inbound;
    const char *from = json_string_value(json_object_get(last, "name"));
    json_t *config =
        from ? json_pack("{s:s, s:b, s:s}", "name", name, "trainable", 1, "dtype", "float32")
             : json_pack("{s:s, s:s}", "name", name, "dtype", "float32");
    inbound = from ? json_pack("[[[s, i, i, {}]]]", from, 0, 0) : json_array();
    if (!settings || !config || json_object_update(config, settings) != 0) {
        json_decref(settings);
        json_decref(config);
        json_decref(inbound);
        return -1;
    }
    json_decref(settings);
    return json_array_append_new(layers,
                                 json_pack("{s:s, s:s, s:o, s:o}", "name", name, "class_name",
                                           class_name, "config", config, "inbound_nodes", inbound));
}

static json_t *convolution(int height, int width, int stride, const char *padding)
{
    return json_pack("{s:[i,i], s:[i,i], s:s, s:s, s:[i,i], s:s, s:b, s:o, s:n, s:n, s:n}",
                     "kernel_size", height, width, "strides", stride, stride, "padding", padding,
                     "data_format", "channels_last", "dilation_rate", 1, 1, "activation", "linear",
                     "use_bias", 1, "bias_initializer", initializer("Zeros"), "bias_regularizer",
                     "activity_regularizer", "bias_constraint");
}

/* Adds PREFIX_initializer, _regularizer and _constraint. */
static json_t *add_weight(json_t *settings, const char *prefix)
{
    char key[64];
    snprintf(key, sizeof key, "%s_initializer", prefix);
    int failed = json_object_set_new(settings, key, initializer("GlorotUniform"));
    snprintf(key, sizeof key, "%s_regularizer", prefix);
    failed |= json_object_set_new(settings, key, json_null());
    snprintf(key, sizeof key, "%s_constraint", prefix);
    failed |= json_object_set_new(settings, key, json_null());
    if (!failed) return settings;
    json_decref(settings);
    return NULL;
}

static json_t *add_integer(json_t *settings, const char *key, int value)
{
    if (json_object_set_new(settings, key, json_integer(value)) == 0) return settings;
    json_decref(settings);
    return NULL;
}

static json_t *full(int filters, int size)
{
    return add_weight(add_integer(convolution(size, size, 1, "same"), "filters", filters),
                      "kernel");
}

static json_t *separable(int filters, int stride)
{
    json_t *settings = add_integer(convolution(5, 5, stride, "same"), "filters", filters);
    settings = add_integer(settings, "depth_multiplier", 1);
    return add_weight(add_weight(settings, "depthwise"), "pointwise");
}

static json_t *normalization(double epsilon)
{
    return json_pack("{s:[i], s:f, s:f, s:b, s:b, s:o, s:o, s:o, s:o, s:n, s:n, s:n, s:n}", "axis",
                     3, "momentum", 0.99, "epsilon", epsilon, "center", 1, "scale", 1,
                     "beta_initializer", initializer("Zeros"), "gamma_initializer",
                     initializer("Ones"), "moving_mean_initializer", initializer("Zeros"),
                     "moving_variance_initializer", initializer("Ones"), "beta_regularizer",
                     "gamma_regularizer", "beta_constraint", "gamma_constraint");
}

static int add_core(json_t *layers, const vt_compact_options *o)
{
    int failed = add_layer(
        layers, "InputLayer", "image_input",
        json_pack("{s:[n,i,i,i], s:b}", "batch_input_shape", o->height, o->width, 3, "sparse", 0));
    for (int k = 0; k < VT_COMPACT_LAYERS; k++) {
        char name[32];
        snprintf(name, sizeof name, "layer%d_conv", k);
        failed |= k == 0 ? add_layer(layers, "Conv2D", name, full(o->filters[k], 5))
                         : add_layer(layers, "SeparableConv2D", name,
                                     separable(o->filters[k], k == 1 || k == 2 ? 2 : 1));
        snprintf(name, sizeof name, "layer%d_bn", k);
        failed |= add_layer(layers, "BatchNormalization", name, normalization(o->epsilon));
        snprintf(name, sizeof name, "layer%d_act", k);
        if (!o->linear)
            failed |=
                add_layer(layers, "Activation", name, json_pack("{s:s}", "activation", "relu"));
    }
    return failed;
}

static int add_flatten(json_t *layers, const char *name)
{
    return add_layer(layers, "Flatten", name, json_pack("{s:s}", "data_format", "channels_last"));
}

static int add_readout(json_t *layers, const vt_model *model, const vt_compact_options *o)
{
    int64_t map[VT_MAX_DIMS];
    if (!o->shared)
        return add_flatten(layers, "embeddings") |
               add_layer(
                   layers, "Dense", "Beta",
                   add_weight(json_pack("{s:i, s:s, s:b, s:o, s:n, s:n, s:n}", "units", 1,
                                        "activation", "linear", "use_bias", 1, "bias_initializer",
                                        initializer("Zeros"), "bias_regularizer",
                                        "activity_regularizer", "bias_constraint"),
                              "kernel"));
    vt_graph_node_size(model->graph, vt_graph_find(model->graph, "mixing_stage"), map);
    return add_layer(layers, "Conv2D", "mixing_stage", full(o->outputs, 1)) |
           add_layer(layers, "DepthwiseConv2D", "spatial_pool_stage",
                     add_weight(add_integer(convolution((int)map[0], (int)map[1], 1, "valid"),
                                            "depth_multiplier", 1),
                                "depthwise")) |
           add_flatten(layers, "output_responses");
}

static json_t *describe(const vt_model *model, const vt_compact_options *o)
{
    json_t *layers = json_array();
    if (!layers || add_core(layers, o) | add_readout(layers, model, o)) {
        json_decref(layers);
        return NULL;
    }
    return json_pack("{s:s, s:{s:s, s:o, s:[[s,i,i]], s:[[s,i,i]]}}", "class_name", "Model",
                     "config", "name", "model_1", "layers", layers, "input_layers", "image_input",
                     0, 0, "output_layers", o->shared ? "output_responses" : "Beta", 0, 0);
}

/* Order of dimensions that turns our kernel into Keras's; NULL: it stays. */
static const int *kernel_order(const vt_param *param)
{
    static const int full[] = {1, 2, 3, 0}, depthwise[] = {1, 2, 0, 3}, dense[] = {1, 0};
    if (param->value.ndim == 4) return strstr(param->name, ".depthwise_kernel") ? depthwise : full;
    return param->value.ndim == 2 ? dense : NULL;
}

static vt_status add_weights(vt_tensor_map *map, const vt_model *model)
{
    for (int i = 0; i < vt_graph_param_count(model->graph); i++) {
        const vt_param *param = vt_graph_param(model->graph, i);
        const int *order = kernel_order(param);
        vt_tensor turned;
        if (!order) {
            VT_TRY(vt_tensor_map_add_copy(map, param->name, &param->value));
            continue;
        }
        VT_TRY(vt_tensor_permute(&turned, &param->value, order));
        vt_status status = vt_tensor_map_add_copy(map, param->name, &turned);
        vt_tensor_free(&turned);
        VT_TRY(status);
    }
    return VT_OK;
}

static vt_status fill(vt_tensor_map *map, const vt_model *model, const vt_compact_options *o)
{
    json_t *config = describe(model, o);
    char *text = config ? json_dumps(config, JSON_ENSURE_ASCII) : NULL;
    json_decref(config);
    if (!text) return vt_error(VT_ENOMEM, "out of memory for the model's configuration");
    vt_status status = vt_tensor_map_set_text(map, "config", text);
    free(text);
    return status == VT_OK ? add_weights(map, model) : status;
}

vt_status vt_model_write_keras(const vt_model *model, const char *path)
{
    vt_compact_options o;
    vt_tensor_map *map;
    VT_TRY(vt_model_compact_options(model, &o));
    if (o.outputs < 1)
        return vt_error(VT_EUNSUPPORTED, "%s has no readout: a Keras file of it would be of no use",
                        vt_model_label(model));
    VT_TRY(vt_tensor_map_new(&map));
    vt_status status = fill(map, model, &o);
    if (status == VT_OK) status = vt_keras_write(map, path);
    vt_tensor_map_free(map);
    return status;
}
