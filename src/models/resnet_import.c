/* Weights of V1 networks from torchvision's and the authors' files, and back.
 *
 *                      here                    PyTorch
 * convolution          (O, H, W, I)            (O, I, H, W)
 * local fields         (Y, X, O, H W, I)       (1, O, I, Y, X, H W)
 * pairs of channels    (out, in)               (out in, 1, 1) or (out, in, 1, 1)
 *
 * Checkpoints hold the network under "model." or "state_dict.", with "module." before each name
 * when it was trained on several GPUs, beside states of the optimizer. The authors' cortical
 * magnification network is a Sequential, whose modules have numbers: 0 is conv1, 1 bn1, 4 to 7
 * layer1 to layer4, 10 fc. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"
#include "models/model.h"
#include "models/resnet.h"
#include "ventral/io.h"
#include "ventral/weights.h"

/* Not learned: how often statistics moved, and tables the layers compute for themselves. */
static bool is_constant(const char *name)
{
    static const char *const tails[] = {
        "num_batches_tracked", ".kernel_dists",  ".channel_distances",  ".x_coords",
        ".y_coords",           ".pooling_masks", ".pooling_mask_counts"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        if (vt_ends_with(name, tails[i])) return true;
    return false;
}

/* ---- names ---- */

static const char *const modules[] = {
    [0] = "conv1",  [1] = "bn1",    [4] = "layer1", [5] = "layer2",
    [6] = "layer3", [7] = "layer4", [10] = "fc"};

/* What stands before the names of the network, or NULL when there is no network. */
static const char *prefix_of(const vt_tensor_map *map)
{
    static const char *const prefixes[] = {"",
                                           "module.",
                                           "model.",
                                           "model.module.",
                                           "state_dict.",
                                           "state_dict.module.",
                                           "model_state_dict.",
                                           "model_state_dict.module."};
    char name[64];
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        snprintf(name, sizeof name, "%sconv1.weight", prefixes[i]);
        if (vt_tensor_map_find(map, name)) return prefixes[i];
        snprintf(name, sizeof name, "%s4.0.conv1.weight", prefixes[i]);
        if (vt_tensor_map_find(map, name)) return prefixes[i];
    }
    return NULL;
}

/* layer1.0.conv1.weight of 4.0.conv1.weight; a name that begins with a word stays. */
static void plain_name(char *out, size_t size, const char *name)
{
    char *end;
    long number = strtol(name, &end, 10);
    bool numbered = end != name && *end == '.' && number >= 0 &&
                    number < (long)(sizeof modules / sizeof *modules) && modules[number];
    if (numbered)
        snprintf(out, size, "%s%s", modules[number], end);
    else
        snprintf(out, size, "%s", name);
}

void vt_resnet_sequential_name(char *out, size_t size, const char *name)
{
    size_t length = strcspn(name, ".");
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        if (modules[i] && strlen(modules[i]) == length && strncmp(modules[i], name, length) == 0) {
            snprintf(out, size, "%zu%s", i, name + length);
            return;
        }
    snprintf(out, size, "%s", name);
}

/* The network's learned tensors under plain names. */
static vt_status canonical(vt_tensor_map **out, const vt_tensor_map *map)
{
    const char *prefix = prefix_of(map);
    size_t length = strlen(prefix);
    vt_tensor_map *plain;
    VT_TRY(vt_tensor_map_new(&plain));
    vt_status status = VT_OK;
    for (int i = 0; i < vt_tensor_map_count(map) && status == VT_OK; i++) {
        const vt_tensor *t = vt_tensor_map_at(map, i);
        char name[VT_NAME_SIZE];
        if (strncmp(t->name, prefix, length) != 0 || is_constant(t->name)) continue;
        plain_name(name, sizeof name, t->name + length);
        status = vt_tensor_map_add_copy(plain, name, t);
    }
    if (status == VT_OK)
        *out = plain;
    else
        vt_tensor_map_free(plain);
    return status;
}

/* ---- layouts ---- */

static vt_status reshape(vt_tensor *t, int ndim, const int64_t *size)
{
    vt_tensor shaped;
    VT_TRY(vt_tensor_init(&shaped, t->dtype, ndim, size, t->data));
    strcpy(shaped.name, t->name);
    *t = shaped;
    return VT_OK;
}

static vt_status turn(vt_tensor *out, const vt_tensor *t, const vt_param *param)
{
    static const int local[] = {3, 4, 1, 5, 2, 0}, kernel[] = {0, 2, 3, 1};
    if (t->ndim == 6 && param->value.ndim == 5) {
        VT_TRY(vt_tensor_permute(out, t, local));
        if (out->size[5] == 1)
            return reshape(
                out, 5,
                (int64_t[]){out->size[0], out->size[1], out->size[2], out->size[3], out->size[4]});
        return VT_OK;
    }
    if (t->ndim == 4 && param->value.ndim == 4) return vt_tensor_permute(out, t, kernel);
    VT_TRY(vt_tensor_convert(out, t, t->dtype));
    if (t->ndim > 2 && vt_tensor_count(t) == vt_tensor_count(&param->value))
        return reshape(out, param->value.ndim, param->value.size);
    return VT_OK;
}

vt_status vt_resnet_to_torch(vt_tensor *out, const vt_param *param)
{
    static const int local[] = {2, 4, 0, 1, 3}, kernel[] = {0, 3, 1, 2};
    const vt_tensor *v = &param->value;
    if (v->ndim == 5) {
        VT_TRY(vt_tensor_permute(out, v, local));
        return reshape(
            out, 6,
            (int64_t[]){1, out->size[0], out->size[1], out->size[2], out->size[3], out->size[4]});
    }
    if (v->ndim == 4) return vt_tensor_permute(out, v, kernel);
    VT_TRY(vt_tensor_convert(out, v, v->dtype));
    if (strstr(param->name, ".dog_conv.") && v->ndim == 2)
        return reshape(out, 3, (int64_t[]){v->size[0] * v->size[1], 1, 1});
    if (strstr(param->name, ".dn.") && v->ndim == 2)
        return reshape(out, 4, (int64_t[]){v->size[0], v->size[1], 1, 1});
    return VT_OK;
}

static const vt_tensor *find(const vt_tensor_map *map, const char *parameter, char *used,
                             size_t used_size)
{
    snprintf(used, used_size, "%s", parameter);
    return vt_tensor_map_find(map, parameter);
}

vt_status vt_resnet_import(vt_model *model, const vt_tensor_map *map, const char *label)
{
    static const vt_import_rules rules = {find, is_constant, turn};
    vt_tensor_map *plain;
    if (!prefix_of(map))
        return vt_error(VT_EFORMAT, "%s: no tensor conv1.weight: this is not a ResNet", label);
    VT_TRY(canonical(&plain, map));
    vt_status status = vt_import(model, plain, label, &rules);
    vt_tensor_map_free(plain);
    return status;
}

vt_status vt_resnet_export(const vt_model *model, vt_tensor_map *map)
{
    for (int i = 0; i < vt_graph_param_count(model->graph); i++) {
        const vt_param *param = vt_graph_param(model->graph, i);
        vt_tensor turned;
        VT_TRY(vt_resnet_to_torch(&turned, param));
        vt_status status = vt_tensor_map_add_copy(map, param->name, &turned);
        vt_tensor_free(&turned);
        if (status != VT_OK) return status;
    }
    return vt_tensor_map_set_text(map, "format", "pt"); /* what libraries for Python look for */
}

/* ---- which network it is ---- */

static bool has(const vt_tensor_map *map, const char *name)
{
    return vt_tensor_map_find(map, name) != NULL;
}

static bool any_ends_with(const vt_tensor_map *map, const char *tail)
{
    for (int i = 0; i < vt_tensor_map_count(map); i++)
        if (vt_ends_with(vt_tensor_map_at(map, i)->name, tail)) return true;
    return false;
}

static bool is_local(const vt_tensor_map *plain, const char *name)
{
    const vt_tensor *t = vt_tensor_map_find(plain, name);
    return t && t->ndim == 6;
}

static vt_resnet_signs read_signs(const vt_tensor_map *map, const vt_tensor_map *plain)
{
    vt_resnet_signs s = {
        .center_surround = any_ends_with(plain, ".dog_conv.sigma1"),
        .divisive = has(plain, "layer1.0.dn.rho"),
        .tuned = has(plain, "layer1.0.dn.sigmas"),
        .magnification = any_ends_with(map, ".pooling_masks"),
        .sequential_names = !any_ends_with(map, "layer1.0.conv1.weight"),
    };
    for (int block = 1; block <= 2; block++) { /* the last of layer1: 1 of ResNet-18's, else 2 */
        char composite[64], single[64];
        snprintf(composite, sizeof composite, "layer1.%d.conv2.weight", block);
        snprintf(single, sizeof single, "layer1.%d.conv2.1.weight", block);
        s.composite_names |= is_local(plain, composite);
        s.local |= is_local(plain, composite) || is_local(plain, single);
    }
    s.composite_names |= any_ends_with(plain, "conv2.dog.dog_conv.sigma1");
    return s;
}

static vt_status read_shape(vt_resnet_options *o, const vt_tensor_map *plain, const char *label)
{
    const vt_tensor *conv1 = vt_tensor_map_find(plain, "conv1.weight");
    const vt_tensor *fc = vt_tensor_map_find(plain, "fc.weight");
    if (!conv1 || conv1->ndim != 4 || !fc || fc->ndim != 2 || conv1->size[0] > 1024 ||
        fc->size[0] > 1000000)
        return vt_error(VT_EFORMAT, "%s: conv1.weight or fc.weight is missing or not a ResNet's",
                        label);
    bool bottleneck = has(plain, "layer1.0.conv3.weight");
    o->depth = bottleneck ? 50 : has(plain, "layer1.2.conv1.weight") ? 34 : 18;
    if (bottleneck && has(plain, "layer3.6.conv1.weight"))
        return vt_error(VT_EUNSUPPORTED, "%s: a deeper ResNet than ResNet-50", label);
    o->width = (double)conv1->size[0] / 64;
    o->classes = (int)fc->size[0];
    return VT_OK;
}

/* The variant, from the weights alone. */
static vt_status choose(vt_resnet_options *o, const vt_resnet_signs *signs, const char *label)
{
    unsigned found = vt_resnet_candidates(signs);
    char list[256] = "", name[64];
    int count = 0;
    for (int v = 0; v < VT_RESNET_VARIANTS; v++) {
        if (!(found & 1u << v)) continue;
        vt_resnet_options option = {.variant = (vt_resnet_variant)v, .depth = o->depth};
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", count ? " or " : "",
                 vt_resnet_name(&option, name, sizeof name));
        if (count++ == 0) o->variant = option.variant;
    }
    if (count == 1) return VT_OK;
    if (count == 0)
        return vt_error(VT_EFORMAT, "%s: a ResNet with components that no known variant combines",
                        label);
    return vt_error(VT_EINVAL,
                    "%s: its weights fit %s, which differ in nothing a file shows: say which it is "
                    "with --network ('ventral convert' writes it down)",
                    label, list);
}

static vt_status infer_named(vt_model **out, const vt_tensor_map *map, const char *name,
                             const char *label)
{
    vt_resnet_options o = {.formulation = VT_RELEASED};
    vt_tensor_map *plain;
    VT_TRY(canonical(&plain, map));
    vt_status status = read_shape(&o, plain, label);
    vt_resnet_signs signs = read_signs(map, plain);
    vt_tensor_map_free(plain);
    if (status == VT_OK && !name) status = choose(&o, &signs, label);
    if (status != VT_OK) return status;
    if (name) status = vt_resnet_parse_name(&o, name);
    if (status == VT_OK) status = vt_resnet_new_empty(out, &o, INT64_MAX);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", label);
}

static vt_status infer(vt_model **out, const vt_tensor_map *map, const char *label)
{
    return infer_named(out, map, NULL, label);
}

static bool knows(const vt_tensor_map *map)
{
    return prefix_of(map) != NULL;
}

/* ---- the description in a file ---- */

static int describe(json_t *root, const vt_model *model)
{
    const vt_resnet_options *o = &model->options.resnet;
    char name[64];
    return json_object_update_new(
        root,
        json_pack("{s:s, s:s, s:f, s:i, s:i, s:f}", "network", vt_resnet_name(o, name, sizeof name),
                  "formulation", vt_formulation_name(o->formulation), "width", o->width, "classes",
                  o->classes, "image", o->image, "epsilon", o->epsilon));
}

static vt_status create(vt_model **out, json_t *root, const char *label)
{
    json_error_t error;
    const char *network, *formulation;
    vt_resnet_options o = {.seed = 0};
    if (json_unpack_ex(root, &error, 0, "{s:s, s:s, s:F, s:i, s:i, s:F}", "network", &network,
                       "formulation", &formulation, "width", &o.width, "classes", &o.classes,
                       "image", &o.image, "epsilon", &o.epsilon) != 0)
        return vt_error(VT_EFORMAT, "%s: its description of the model is not usable: %s", label,
                        error.text);
    o.formulation = strcmp(formulation, "released") == 0 ? VT_RELEASED : VT_DESCRIBED;
    if (strcmp(formulation, vt_formulation_name(o.formulation)) != 0)
        return vt_error(VT_EUNSUPPORTED, "%s: no formulation %s is known", label, formulation);
    vt_status status = vt_resnet_parse_name(&o, network);
    if (status == VT_OK) status = vt_resnet_new_empty(out, &o, vt_description_weights(root));
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", label);
}

static vt_status from_weights(vt_model **out, const vt_tensor_map *map, const char *path,
                              const char *name)
{
    if (!knows(map))
        return vt_error(VT_EFORMAT, "%s: no tensor conv1.weight: this is not a ResNet", path);
    vt_model *model;
    VT_TRY(infer_named(&model, map, name, path));
    vt_status status = vt_resnet_import(model, map, path);
    if (status == VT_OK && !(model->label = vt_strdup(path))) status = VT_ENOMEM;
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    model->source = "torch";
    *out = model;
    return VT_OK;
}

static vt_status check_name(const vt_model *model, const char *name)
{
    vt_resnet_options have, want = {.depth = 0};
    char text[64];
    VT_TRY(vt_model_resnet_options(model, &have));
    if (!name) return VT_OK;
    VT_TRY(vt_resnet_parse_name(&want, name));
    if (have.variant == want.variant && have.depth == want.depth) return VT_OK;
    return vt_error(VT_EINVAL, "%s: it is a %s, not a %s", vt_model_label(model),
                    vt_resnet_name(&have, text, sizeof text), name);
}

vt_status vt_resnet_from_map(vt_model **out, const vt_tensor_map *map, const char *label,
                             const char *name)
{
    vt_model *model = NULL;
    bool described = vt_model_is_described(map);
    vt_status status =
        described ? vt_model_from_map(&model, map, label) : from_weights(&model, map, label, name);
    if (status == VT_OK && described) status = check_name(model, name);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    *out = model;
    return VT_OK;
}

vt_status vt_resnet_read(vt_model **out, const char *path, const char *name)
{
    vt_tensor_map *map;
    VT_TRY(vt_model_read_map(&map, path));
    vt_status status = vt_resnet_from_map(out, map, path, name);
    vt_tensor_map_free(map);
    return status;
}

const vt_architecture vt_architecture_resnet = {
    .name = "resnet",
    .describe = describe,
    .create = create,
    .knows = knows,
    .infer = infer,
    .import = vt_resnet_import,
    .export = vt_resnet_export,
};
