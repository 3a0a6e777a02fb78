/* Weights of compact models from the three layouts the published files have.
 *
 *             native (OHWI)      Keras                      PyTorch
 * full        (O, H, W, I)       (H, W, I, O)               (O, I, H, W)
 * depthwise   (C, H, W, 1)       (H, W, C, 1)               (C, 1, H, W)
 * dense       (units, features)  (features, units)          (units, features)
 * The published PyTorch files keep the readout in Keras's order of features: row, column, channel.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "models/compact.h"
#include "models/model.h"

typedef enum layout { NATIVE, KERAS, TORCH } layout;

static layout layout_of(const vt_tensor_map *map)
{
    const char *format = vt_tensor_map_get_text(map, "format");
    if (format && strcmp(format, "keras") == 0) return KERAS;
    return format && strcmp(format, "torch") == 0 ? TORCH : NATIVE;
}

/* The name a PyTorch file has for one of our parameters: layer1_conv.depthwise_kernel is
 * layers.layer1_conv_depth.weight. */
static void torch_name(char *out, size_t size, const char *name)
{
    static const char *const roles[][2] = {{".depthwise_kernel", "_depth.weight"},
                                           {".pointwise_kernel", "_point.weight"},
                                           {".kernel", ".weight"},
                                           {".gamma", ".weight"},
                                           {".beta", ".bias"},
                                           {".moving_mean", ".running_mean"},
                                           {".moving_variance", ".running_var"}};
    const char *dot = strrchr(name, '.');
    int stem = (int)(dot - name);
    const char *role = dot;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(dot, roles[i][0]) == 0) role = roles[i][1];
    bool separable = strstr(name, "_conv.bias") && strcmp(name, "layer0_conv.bias") != 0;
    snprintf(out, size, "layers.%.*s%s", stem, name, separable ? "_point.bias" : role);
}

static const vt_tensor *find(const vt_tensor_map *map, layout from, const char *name, char *used,
                             size_t used_size)
{
    snprintf(used, used_size, "%s", name);
    if (from != TORCH) return vt_tensor_map_find(map, name);
    torch_name(used, used_size, name);
    const vt_tensor *t = vt_tensor_map_find(map, used);
    if (t) return t;
    memmove(used, used + strlen("layers."), strlen(used) - strlen("layers.") + 1);
    return vt_tensor_map_find(map, used);
}

/* Order of dimensions that turns a kernel of layout `from` into OHWI; NULL: it stays. */
static const int *kernel_order(layout from, const char *name, int ndim)
{
    static const int keras_full[] = {3, 0, 1, 2}, keras_depthwise[] = {2, 0, 1, 3},
                     keras_dense[] = {1, 0}, torch[] = {0, 2, 3, 1};
    if (from == KERAS && ndim == 4)
        return strstr(name, ".depthwise_kernel") ? keras_depthwise : keras_full;
    if (from == KERAS && ndim == 2) return keras_dense;
    return from == TORCH && ndim == 4 ? torch : NULL;
}

static const vt_tensor *find_plain(const vt_tensor_map *map, const char *parameter, char *used,
                                   size_t used_size)
{
    return find(map, NATIVE, parameter, used, used_size);
}

static const vt_tensor *find_torch(const vt_tensor_map *map, const char *parameter, char *used,
                                   size_t used_size)
{
    return find(map, TORCH, parameter, used, used_size);
}

static vt_status turn(vt_tensor *out, const vt_tensor *t, const vt_param *param, layout from)
{
    const int *order = kernel_order(from, param->name, t->ndim);
    return order ? vt_tensor_permute(out, t, order) : vt_tensor_convert(out, t, t->dtype);
}

static vt_status turn_native(vt_tensor *out, const vt_tensor *t, const vt_param *param)
{
    return turn(out, t, param, NATIVE);
}

static vt_status turn_keras(vt_tensor *out, const vt_tensor *t, const vt_param *param)
{
    return turn(out, t, param, KERAS);
}

static vt_status turn_torch(vt_tensor *out, const vt_tensor *t, const vt_param *param)
{
    return turn(out, t, param, TORCH);
}

static bool no_constants(const char *name)
{
    (void)name;
    return false;
}

/* How often the statistics moved is not part of the function. */
static bool torch_counter(const char *name)
{
    return vt_ends_with(name, "num_batches_tracked");
}

vt_status vt_compact_import(vt_model *model, const vt_tensor_map *map, const char *label)
{
    static const vt_import_rules rules[] = {[NATIVE] = {find_plain, no_constants, turn_native},
                                            [KERAS] = {find_plain, no_constants, turn_keras},
                                            [TORCH] = {find_torch, torch_counter, turn_torch}};
    return vt_import(model, map, label, &rules[layout_of(map)]);
}

/* ---- what the tensors say of the architecture ---- */

/* Size of the last layer's map along one side, and from it the image's: strides 2 and 2. */
static vt_status square_image(vt_compact_options *o, int64_t positions, const char *label)
{
    int64_t side = (int64_t)lround(sqrt((double)positions));
    if (side < 1 || side * side != positions || side > 1024)
        return vt_error(VT_EFORMAT, "%s: its readout has %lld positions, not a square map", label,
                        (long long)positions);
    o->height = o->width = (int)(4 * side);
    return VT_OK;
}

/* Filters of a convolution, the dimension that holds them being first (OHWI, OIHW) or last (HWIO).
 */
static int filters_of(const vt_tensor *t, layout from)
{
    return t && t->ndim == 4 ? (int)t->size[from == KERAS ? 3 : 0] : 0;
}

/* Epsilon and image size of the first layers in a Keras configuration; whether it has no ReLU. */
static void read_config(vt_compact_options *o, const char *config)
{
    json_t *root = json_loads(config, 0, NULL);
    json_t *layers = json_object_get(json_object_get(root, "config"), "layers"), *layer;
    size_t index, activations = 0;
    json_array_foreach(layers, index, layer)
    {
        json_t *settings = json_object_get(layer, "config");
        const char *kind = json_string_value(json_object_get(layer, "class_name"));
        json_t *shape = json_object_get(settings, "batch_shape");
        if (!shape) shape = json_object_get(settings, "batch_input_shape");
        if (json_array_size(shape) == 4) {
            o->height = (int)json_integer_value(json_array_get(shape, 1));
            o->width = (int)json_integer_value(json_array_get(shape, 2));
        }
        json_t *epsilon = json_object_get(settings, "epsilon");
        if (kind && strncmp(kind, "BatchNormalization", 18) == 0 && json_is_number(epsilon))
            o->epsilon = json_number_value(epsilon);
        const char *function = json_string_value(json_object_get(settings, "activation"));
        activations +=
            kind && strcmp(kind, "Activation") == 0 && function && strcmp(function, "relu") == 0;
    }
    if (layers) o->linear = activations == 0;
    json_decref(root);
}

vt_status vt_compact_infer(vt_compact_options *out, const vt_tensor_map *map, const char *label)
{
    layout from = layout_of(map);
    char name[64], used[VT_NAME_SIZE + 16];
    vt_compact_options o = {.epsilon = 1e-3}; /* PyTorch files do not say; Keras made them all */
    for (int i = 0; i < VT_COMPACT_LAYERS; i++) {
        snprintf(name, sizeof name, i ? "layer%d_conv.pointwise_kernel" : "layer%d_conv.kernel", i);
        o.filters[i] = filters_of(find(map, from, name, used, sizeof used), from);
        if (o.filters[i] < 1)
            return vt_error(VT_EFORMAT,
                            "%s: no model that is known: a compact V4 model has a tensor %s, a "
                            "ResNet conv1.weight",
                            label, name);
    }
    const vt_tensor *flat = find(map, from, "Beta.kernel", used, sizeof used);
    const vt_tensor *pool =
        find(map, from, "spatial_pool_stage.depthwise_kernel", used, sizeof used);
    if (pool && pool->ndim == 4) {
        o.shared = true;
        int64_t positions = vt_tensor_count(pool);
        o.outputs = (int)pool->size[from == KERAS ? 2 : 0];
        VT_TRY(square_image(&o, o.outputs ? positions / o.outputs : 0, label));
    } else if (flat) {
        o.outputs = 1;
        VT_TRY(square_image(&o, vt_tensor_count(flat) / o.filters[4], label));
    } else {
        return vt_error(VT_EFORMAT, "%s: neither Beta nor spatial_pool_stage: no readout", label);
    }
    const char *config = vt_tensor_map_get_text(map, "config");
    if (config) read_config(&o, config);
    *out = o;
    return VT_OK;
}
