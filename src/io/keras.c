/* Keras models. Two formats:
 *   .keras: a zip archive of config.json and model.weights.h5, whose groups are named after the
 *     classes of the layers, counted in the config's order (layers/conv2d, layers/conv2d_1, ...),
 *     with the variables numbered in Keras's order under vars/ (keras/src/saving/saving_lib.py);
 *   legacy .h5: model_weights/LAYER/SCOPE/WEIGHT:0, the config in the attribute model_config
 *     (keras/src/legacy/saving/legacy_h5_format.py).
 * Files with weights alone (.weights.h5) lack the config, and model_weights. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/hdf5_child.h"
#include "io/json.h"
#include "io/zip.h"
#include "ventral/weights.h"

#define MAX_LAYERS 4096
#define MAX_DEPTH 8 /* of models within models */
#define MAX_CONFIG (16u << 20)

/* The variables of layers in the order in which Keras 3 numbers them. */
static const struct {
    const char *class_name, *weights[4];
} classes[] = {
    {"Conv1D", {"kernel", "bias"}},
    {"Conv2D", {"kernel", "bias"}},
    {"Conv3D", {"kernel", "bias"}},
    {"Conv1DTranspose", {"kernel", "bias"}},
    {"Conv2DTranspose", {"kernel", "bias"}},
    {"Conv3DTranspose", {"kernel", "bias"}},
    {"Dense", {"kernel", "bias"}},
    {"DepthwiseConv1D", {"depthwise_kernel", "bias"}},
    {"DepthwiseConv2D", {"depthwise_kernel", "bias"}},
    {"SeparableConv1D", {"depthwise_kernel", "pointwise_kernel", "bias"}},
    {"SeparableConv2D", {"depthwise_kernel", "pointwise_kernel", "bias"}},
    {"BatchNormalization", {"gamma", "beta", "moving_mean", "moving_variance"}},
    {"LayerNormalization", {"gamma", "beta"}},
    {"GroupNormalization", {"gamma", "beta"}},
};

#define CLASS_COUNT (sizeof classes / sizeof classes[0])

typedef struct layer {
    const char *name, *class_name; /* borrowed from the config */
    const json_t *config;
    char group[VT_NAME_SIZE]; /* its group in model.weights.h5 */
    int scope;                /* the model it belongs to; 0 is the outermost */
    int inner;                /* the scope of its own layers when it is a model, or 0 */
} layer;

/* A weight on its way to the result. */
typedef struct weight {
    const vt_tensor *tensor;
    char name[VT_NAME_SIZE];
    int layer, rank, index; /* sort keys */
    size_t layer_length;    /* of the part of the path that says the layer */
    bool whole;             /* legacy: named by all of its path */
} weight;

typedef struct reader {
    json_t *config;
    layer *layers;
    int layer_count, scope_count;
    vt_tensor_map *file; /* the HDF5 file's contents */
    weight *weights;
    int weight_count;
} reader;

/* Keras's to_snake_case: "SeparableConv2D" gives "separable_conv2d", "ReLU" "re_lu". An underscore
 * goes before a capital that follows a small letter, or that follows anything and precedes one. */
static void snake_case(char *out, size_t capacity, const char *name)
{
    size_t used = 0;
    for (size_t i = 0; name[i] && used + 2 < capacity; i++) {
        unsigned char c = (unsigned char)name[i], before = i ? (unsigned char)name[i - 1] : 0;
        bool word = isupper(c) && i && (islower(before) || islower((unsigned char)name[i + 1]));
        if (!isalnum(c) && c != '_') continue;
        if (word) out[used++] = '_';
        out[used++] = (char)tolower(c);
    }
    out[used] = '\0';
}

static const json_t *layer_list(const json_t *model)
{
    const json_t *config = json_object_get(model, "config");
    const json_t *list = json_is_array(config) ? config : json_object_get(config, "layers");
    return json_is_array(list) ? list : NULL;
}

/* Lists the layers of a model and of the models in it, depth first. */
static vt_status list_layers(reader *r, const json_t *list, int scope, int depth)
{
    size_t index;
    const json_t *item;
    if (depth > MAX_DEPTH)
        return vt_error(VT_EUNSUPPORTED, "its config nests models more than %d deep", MAX_DEPTH);
    json_array_foreach(list, index, item)
    {
        const json_t *config = json_object_get(item, "config");
        const char *name = json_string_value(json_object_get(item, "name"));
        if (!name) name = json_string_value(json_object_get(config, "name"));
        const char *class_name = json_string_value(json_object_get(item, "class_name"));
        if (!name || !class_name)
            return vt_error(VT_EFORMAT, "layer %zu of its config has no name or no class", index);
        if (strlen(name) >= VT_NAME_SIZE || strlen(class_name) >= VT_NAME_SIZE)
            return vt_error(VT_EUNSUPPORTED, "layer %zu of its config has too long a name", index);
        if (r->layer_count == MAX_LAYERS)
            return vt_error(VT_EUNSUPPORTED, "its config has more than %d layers", MAX_LAYERS);
        layer *l = &r->layers[r->layer_count++];
        *l = (layer){.name = name, .class_name = class_name, .config = config, .scope = scope};
        char base[VT_NAME_SIZE - 12];
        int same = 0;
        for (layer *other = r->layers; other < l; other++)
            same += other->scope == scope && strcmp(other->class_name, class_name) == 0;
        snake_case(base, sizeof base, class_name);
        if (same)
            snprintf(l->group, sizeof l->group, "%s_%d", base, same);
        else
            snprintf(l->group, sizeof l->group, "%s", base);
        const json_t *inner = layer_list(item);
        if (inner) {
            l->inner = ++r->scope_count;
            VT_TRY(list_layers(r, inner, l->inner, depth + 1));
        }
    }
    return VT_OK;
}

static vt_status parse_config(reader *r, const char *text, const char *label)
{
    size_t size = strlen(text);
    if (size > MAX_CONFIG) return vt_error(VT_EUNSUPPORTED, "%s has %zu bytes", label, size);
    VT_TRY(vt_json_parse(&r->config, text, size, label));
    r->layers = vt_alloc(MAX_LAYERS, sizeof *r->layers);
    if (!r->layers) return VT_ENOMEM;
    const json_t *list = layer_list(r->config);
    return list ? list_layers(r, list, 0, 0) : VT_OK;
}

/* Name of variable `number` of a layer, or NULL when Keras's order is not known to us. */
static const char *variable_name(const char *class_name, const json_t *config, long number)
{
    for (size_t c = 0; c < CLASS_COUNT; c++) {
        if (strcmp(classes[c].class_name, class_name) != 0) continue;
        for (int i = 0; i < 4 && classes[c].weights[i]; i++) {
            const char *name = classes[c].weights[i];
            if (strcmp(name, "gamma") == 0 && json_is_false(json_object_get(config, "scale")))
                continue;
            if (strcmp(name, "beta") == 0 && json_is_false(json_object_get(config, "center")))
                continue;
            if (number-- == 0) return name;
        }
    }
    return NULL;
}

/* Without a config: the class whose group this must be ("conv2d_3": Conv2D). */
static const char *class_of_group(const char *group, size_t length)
{
    while (length > 0 && isdigit((unsigned char)group[length - 1]))
        length--;
    bool counted = length > 0 && group[length - 1] == '_';
    for (size_t c = 0; c < CLASS_COUNT; c++) {
        char base[VT_NAME_SIZE];
        snake_case(base, sizeof base, classes[c].class_name);
        size_t whole = strlen(base);
        if (strncmp(group, base, whole) == 0 &&
            (group[whole] == '/' || (counted && whole + 1 == length)))
            return classes[c].class_name;
    }
    return "";
}

/* Appends ".part" in place. */
static vt_status append(char name[VT_NAME_SIZE], const char *part, size_t length)
{
    size_t used = strlen(name), dot = used > 0;
    if (used + dot + length >= VT_NAME_SIZE)
        return vt_error(VT_EUNSUPPORTED, "the name of the weight %.60s...%.*s is too long", name,
                        (int)(length < 60 ? length : 60), part);
    if (dot) name[used++] = '.';
    memcpy(name + used, part, length);
    name[used + length] = '\0';
    return VT_OK;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The part of a Keras 3 weight's path after "layers/", or NULL when it is no layer's. */
static const char *layers_part(const char *path)
{
    static const char current[] = "layers/", first[] = "_layer_checkpoint_dependencies/";
    if (begins(path, current)) return path + strlen(current);
    if (begins(path, first)) return path + strlen(first); /* Keras 2.12 */
    return NULL;
}

/* The layer of a group: by the name that Keras 3.9 on notes beside the variables, else by its
 * class and number or, `by_name`, by its own name. */
static const layer *find_layer(const reader *r, int scope, const char *path, const char *group,
                               size_t length, bool by_name)
{
    char key[VT_NAME_SIZE + 16];
    snprintf(key, sizeof key, "%.*s/vars@name", (int)(group - path + (ptrdiff_t)length), path);
    const char *noted = vt_tensor_map_get_text(r->file, key);
    for (int i = 0; i < r->layer_count; i++) {
        const layer *l = &r->layers[i];
        if (l->scope != scope) continue;
        const char *wanted = by_name ? l->name : l->group;
        if (noted ? strcmp(l->name, noted) == 0
                  : strncmp(wanted, group, length) == 0 && wanted[length] == '\0')
            return l;
    }
    return NULL;
}

/* Weights of layers that no config lists stay together, in the file's order. */
static void place_unlisted(weight *w, const weight *before)
{
    if (w->layer >= 0) return;
    bool same = before && before->layer_length == w->layer_length &&
                strncmp(before->tensor->name, w->tensor->name, w->layer_length) == 0;
    w->layer = same ? before->layer : MAX_LAYERS + w->index;
}

/* Names a weight of a Keras 3 file from its path. VT_ENOTFOUND when no layer has its group. */
static vt_status name_numbered(reader *r, weight *w, bool by_name)
{
    const char *path = w->tensor->name, *group = layers_part(path), *rest, *class_name;
    const layer *l = NULL;
    for (int scope = 0;; scope = l->inner) {
        size_t length = strcspn(group, "/");
        if (group[length] == '\0') return vt_error(VT_EFORMAT, "%s: no weight's path", path);
        w->layer_length = (size_t)(group - path) + length;
        rest = group + length + 1;
        if (r->layer_count) {
            l = find_layer(r, scope, path, group, length, by_name);
            if (!l) return vt_error(VT_ENOTFOUND, "%s belongs to no layer of the config", path);
            class_name = l->class_name;
            w->layer = (int)(l - r->layers);
            VT_TRY(append(w->name, l->name, strlen(l->name)));
        } else {
            class_name = class_of_group(group, length);
            VT_TRY(append(w->name, group, length));
        }
        if (!l || !l->inner || !layers_part(rest)) break;
        group = layers_part(rest);
    }
    char *end;
    const char *last = strrchr(rest, '/') ? strrchr(rest, '/') + 1 : rest;
    long number = strtol(last, &end, 10);
    bool counted = isdigit((unsigned char)*last) && *end == '\0' && number < MAX_LAYERS;
    if (counted) w->rank = (int)number;
    if (begins(rest, "vars/") && counted && last == rest + 5) {
        const char *known = variable_name(class_name, l ? l->config : NULL, number);
        return known ? append(w->name, known, strlen(known)) : append(w->name, last, strlen(last));
    }
    while (*rest) { /* layers within a layer: sub/vars/0 gives sub.0 */
        size_t length = strcspn(rest, "/");
        if (strncmp(rest, "vars/", 5) != 0 && strncmp(rest, "layers/", 7) != 0)
            VT_TRY(append(w->name, rest, length));
        rest += length + (rest[length] == '/');
    }
    return VT_OK;
}

static vt_status name_all_numbered(reader *r, bool by_name)
{
    int kept = 0, count = vt_tensor_map_count(r->file);
    for (int i = 0; i < count; i++) {
        const vt_tensor *t = vt_tensor_map_at(r->file, i);
        if (!layers_part(t->name)) continue; /* the optimizer's, metrics' */
        weight *w = &r->weights[kept++];
        *w = (weight){.tensor = t, .index = i, .layer = -1};
        VT_TRY(name_numbered(r, w, by_name));
        place_unlisted(w, kept > 1 ? w - 1 : NULL);
    }
    r->weight_count = kept;
    return VT_OK;
}

/* Place of a weight among its layer's, as in Keras 3. */
static int rank_of(const char *name)
{
    static const char *const order[] = {
        "depthwise_kernel", "pointwise_kernel", "kernel", "bias", "gamma", "beta",
        "moving_mean",      "moving_variance"};
    int count = (int)(sizeof order / sizeof order[0]), i = 0;
    while (i < count && strcmp(order[i], name) != 0)
        i++;
    return i;
}

/* Names a weight LAYER/SCOPE/WEIGHT:0, the path beginning after `skip` bytes: LAYER.WEIGHT, or
 * `whole`: LAYER.SCOPE.WEIGHT. Names of layers may themselves hold '/'. */
static vt_status name_legacy(reader *r, weight *w, size_t skip, bool whole)
{
    const char *path = w->tensor->name + skip;
    const layer *found = NULL;
    size_t length = strcspn(path, "/");
    for (int i = 0; i < r->layer_count; i++) {
        size_t size = strlen(r->layers[i].name);
        if (r->layers[i].scope == 0 && strncmp(path, r->layers[i].name, size) == 0 &&
            path[size] == '/' && (!found || size > length)) {
            found = &r->layers[i];
            length = size;
        }
    }
    if (path[length] == '\0') return vt_error(VT_EFORMAT, "%s: no weight's path", path);
    const char *rest = path + length + 1, *slash = strrchr(rest, '/');
    const char *last = whole || !slash ? rest : slash + 1, *colon = strrchr(last, ':');
    char weight_name[VT_NAME_SIZE];
    snprintf(weight_name, sizeof weight_name, "%.*s",
             (int)(colon ? (size_t)(colon - last) : strlen(last)), last);
    for (char *c = weight_name; *c; c++)
        if (*c == '/') *c = '.';
    if (found && begins(found->class_name, "DepthwiseConv") && strcmp(weight_name, "kernel") == 0)
        snprintf(weight_name, sizeof weight_name, "depthwise_kernel"); /* as Keras 3 writes .h5 */
    w->name[0] = '\0';
    w->layer = found ? (int)(found - r->layers) : -1;
    w->layer_length = skip + length;
    w->rank = rank_of(weight_name);
    w->whole = whole;
    VT_TRY(append(w->name, path, length));
    return append(w->name, weight_name, strlen(weight_name));
}

/* A model within the model may have several layers with a kernel: then all weights of that layer
 * are told apart by their whole paths. */
static vt_status tell_apart(reader *r, size_t skip)
{
    for (int i = 0; i < r->weight_count; i++)
        for (int j = 0; j < i; j++) {
            const weight *a = &r->weights[i], *b = &r->weights[j];
            if (a->whole || a->layer != b->layer || strcmp(a->name, b->name) != 0) continue;
            for (int k = 0; k < r->weight_count; k++) {
                weight *w = &r->weights[k];
                int layer = w->layer;
                if (layer != a->layer) continue;
                VT_TRY(name_legacy(r, w, skip, true));
                w->layer = layer;
            }
        }
    return VT_OK;
}

static vt_status name_all_legacy(reader *r)
{
    static const char weights[] = "model_weights/";
    int count = vt_tensor_map_count(r->file), kept = 0;
    bool inside = false;
    for (int i = 0; i < count; i++)
        inside = inside || begins(vt_tensor_map_at(r->file, i)->name, weights);
    size_t skip = inside ? strlen(weights) : 0;
    for (int i = 0; i < count; i++) {
        const vt_tensor *t = vt_tensor_map_at(r->file, i);
        if (inside ? !begins(t->name, weights) : begins(t->name, "optimizer_weights/")) continue;
        weight *w = &r->weights[kept++];
        *w = (weight){.tensor = t, .index = i};
        VT_TRY(name_legacy(r, w, skip, false));
        place_unlisted(w, kept > 1 ? w - 1 : NULL);
    }
    r->weight_count = kept;
    return tell_apart(r, skip);
}

static int compare_weights(const void *left, const void *right)
{
    const weight *a = left, *b = right;
    if (a->layer != b->layer) return a->layer < b->layer ? -1 : 1;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

/* A weight that the HDF5 reader left out would be missing silently. */
static vt_status check_skipped(const reader *r)
{
    const char *line = vt_tensor_map_get_text(r->file, "skipped");
    while (line && *line) {
        size_t length = strcspn(line, "\n");
        if (!begins(line, "optimizer"))
            return vt_error(VT_EUNSUPPORTED,
                            "the weight %.*s is not of a numeric type, or its name is too long",
                            (int)(length < 200 ? length : 200), line);
        line += length + (line[length] == '\n');
    }
    return VT_OK;
}

/* Names and copies the weights of r->file. */
static vt_status collect(vt_tensor_map **out, reader *r, const char *config)
{
    int count = vt_tensor_map_count(r->file);
    bool numbered = false;
    vt_tensor_map *map;
    r->weights = vt_alloc((size_t)count, sizeof *r->weights);
    if (!r->weights) return VT_ENOMEM;
    VT_TRY(check_skipped(r));
    for (int i = 0; i < count; i++)
        numbered = numbered || layers_part(vt_tensor_map_at(r->file, i)->name);
    if (numbered) {
        vt_status status = name_all_numbered(r, false);
        if (status == VT_ENOTFOUND) status = name_all_numbered(r, true);
        VT_TRY(status == VT_ENOTFOUND ? VT_EFORMAT : status);
    } else {
        VT_TRY(name_all_legacy(r));
    }
    if (r->weight_count == 0) return vt_error(VT_EFORMAT, "holds no weights of Keras layers");
    qsort(r->weights, (size_t)r->weight_count, sizeof *r->weights, compare_weights);
    VT_TRY(vt_tensor_map_new(&map));
    vt_status status = vt_tensor_map_set_text(map, "format", "keras");
    if (status == VT_OK && config) status = vt_tensor_map_set_text(map, "config", config);
    for (int i = 0; i < r->weight_count && status == VT_OK; i++)
        status = vt_tensor_map_add_copy(map, r->weights[i].name, r->weights[i].tensor);
    if (status == VT_OK)
        *out = map;
    else
        vt_tensor_map_free(map);
    return status == VT_EINVAL ? VT_EFORMAT : status; /* two weights of one name */
}

static vt_status read_hdf5(vt_tensor_map **out, reader *r, const void *data, size_t size)
{
    VT_TRY(vt_hdf5_parse(&r->file, data, size, "its weights"));
    const char *config = vt_tensor_map_get_text(r->file, "@model_config");
    if (config) VT_TRY(parse_config(r, config, "its config"));
    return collect(out, r, config);
}

static vt_status read_entry(vt_zip *zip, const char *name, uint64_t limit, void **out, size_t *size)
{
    int64_t entry = vt_zip_find(zip, name);
    if (entry < 0)
        return vt_error(VT_EFORMAT, "not a Keras model: the zip archive holds no %s", name);
    return vt_zip_read_limited(zip, entry, limit, out, size);
}

static vt_status read_archive(vt_tensor_map **out, reader *r, const void *data, size_t size)
{
    vt_zip *zip = NULL;
    void *config = NULL, *weights = NULL;
    size_t config_size, weights_size;
    uint64_t limit = ((uint64_t)64 << 20) + 4 * (uint64_t)size; /* weights hardly compress */
    vt_status status;
    VT_TRY_GOTO(vt_zip_open_memory(&zip, data, size, "its zip archive"), done);
    VT_TRY_GOTO(read_entry(zip, "config.json", MAX_CONFIG, &config, &config_size), done);
    VT_TRY_GOTO(read_entry(zip, "model.weights.h5", limit, &weights, &weights_size), done);
    VT_TRY_GOTO(parse_config(r, config, "config.json"), done);
    VT_TRY_GOTO(vt_hdf5_parse(&r->file, weights, weights_size, "model.weights.h5"), done);
    status = collect(out, r, config);
done:
    free(weights);
    free(config);
    vt_zip_close(zip);
    return status;
}

vt_status vt_keras_parse(vt_tensor_map **out, const void *data, size_t size, const char *label)
{
    reader r = {0};
    vt_status status;
    if (vt_hdf5_has_signature(data, size))
        status = read_hdf5(out, &r, data, size);
    else if (size >= 4 && memcmp(data, "PK\3\4", 4) == 0)
        status = read_archive(out, &r, data, size);
    else
        status = vt_error(VT_EFORMAT, "not a Keras model: neither a zip archive nor HDF5");
    vt_tensor_map_free(r.file);
    free(r.weights);
    free(r.layers);
    json_decref(r.config);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", label);
}

vt_status vt_keras_read(vt_tensor_map **out, const char *path)
{
    void *data;
    size_t size;
    VT_TRY(vt_file_read(&data, &size, path));
    vt_status status = vt_keras_parse(out, data, size, path);
    free(data);
    return status;
}
