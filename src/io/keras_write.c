/* Keras models in its legacy HDF5 format (keras/src/legacy/saving/legacy_h5_format.py), as Keras
 * 2.2.4-tf, which made the published files, laid it out and every later Keras reads it:
 *   attributes of the root: keras_version, backend, model_config (the config's JSON);
 *   model_weights, with keras_version, backend and layer_names: the layers in the config's order;
 *   model_weights/LAYER, with weight_names: LAYER/WEIGHT:0, ... in Keras's order of variables,
 *   each a float dataset model_weights/LAYER/LAYER/WEIGHT:0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/hdf5_write.h"
#include "io/json.h"
#include "ventral/weights.h"

#define ROOT "model_weights"
#define VERSION "2.2.4-tf"

typedef struct writer {
    const vt_tensor_map *map;
    json_t *layers;
    vt_arena *arena;
    vt_hdf5_item *items;
    int item_count;
    int written; /* tensors */
} writer;

static char *join(writer *w, const char *a, const char *b, const char *c)
{
    char *text = NULL;
    size_t size = strlen(a) + strlen(b) + strlen(c) + 1;
    if (vt_arena_alloc(w->arena, &text, size, "a name") == VT_OK)
        snprintf(text, size, "%s%s%s", a, b, c);
    return text;
}

static void add_item(writer *w, vt_hdf5_item item)
{
    w->items[w->item_count++] = item;
}

static void add_text(writer *w, const char *path, const char *name, const char *const *text)
{
    add_item(w, (vt_hdf5_item){
                    .kind = VT_HDF5_STRING, .path = path, .name = name, .texts = text, .count = 1});
}

static vt_status add_list(writer *w, const char *path, const char *name, const char *const *texts,
                          int count)
{
    size_t longest = 0;
    for (int i = 0; i < count; i++)
        if (strlen(texts[i]) > longest) longest = strlen(texts[i]);
    if (longest * (size_t)count > VT_HDF5_LONGEST_LIST)
        return vt_error(VT_EUNSUPPORTED, "%s of %s: a list of %d names is too long", name, path,
                        count);
    add_item(
        w,
        (vt_hdf5_item){
            .kind = VT_HDF5_STRINGS, .path = path, .name = name, .texts = texts, .count = count});
    return VT_OK;
}

static bool is_of_layer(const vt_tensor *t, const char *layer)
{
    size_t length = strlen(layer);
    return strncmp(t->name, layer, length) == 0 && t->name[length] == '.' &&
           !strpbrk(t->name + length + 1, "./");
}

static vt_status add_weight(writer *w, const vt_tensor *t, const char *group, const char *layer,
                            const char **name)
{
    if (t->dtype != VT_F32 && t->dtype != VT_F64)
        return vt_error(VT_EUNSUPPORTED, "%s is of %s; float32 and float64 can be written", t->name,
                        vt_dtype_name(t->dtype));
    char *short_name = join(w, layer, "/", t->name + strlen(layer) + 1);
    char *whole = short_name ? join(w, short_name, ":0", "") : NULL;
    char *path = whole ? join(w, group, "/", whole) : NULL;
    if (!path) return VT_ENOMEM;
    *name = whole;
    add_item(w, (vt_hdf5_item){.kind = VT_HDF5_DATASET, .path = path, .tensor = t});
    w->written++;
    return VT_OK;
}

static vt_status add_layer(writer *w, const char *layer)
{
    int count = vt_tensor_map_count(w->map), found = 0;
    const char **names, *group = join(w, ROOT "/", layer, ""),
                        *inner = group ? join(w, group, "/", layer) : NULL;
    if (!inner) return VT_ENOMEM;
    for (int i = 0; i < count; i++)
        found += is_of_layer(vt_tensor_map_at(w->map, i), layer);
    VT_TRY(vt_arena_alloc(w->arena, &names, ((size_t)found + 1) * sizeof *names, "names"));
    add_item(w, (vt_hdf5_item){.kind = VT_HDF5_GROUP, .path = group});
    if (found) add_item(w, (vt_hdf5_item){.kind = VT_HDF5_GROUP, .path = inner});
    found = 0;
    for (int i = 0; i < count; i++) {
        const vt_tensor *t = vt_tensor_map_at(w->map, i);
        if (is_of_layer(t, layer)) VT_TRY(add_weight(w, t, group, layer, &names[found++]));
    }
    return add_list(w, group, "weight_names", names, found);
}

/* A layer's name; NULL when it has none that can be a group's, or is itself a model. */
static const char *layer_name(const json_t *layer)
{
    const char *name = json_string_value(json_object_get(json_object_get(layer, "config"), "name"));
    if (json_object_get(json_object_get(layer, "config"), "layers")) return NULL;
    return name && *name && !strpbrk(name, "/.") ? name : NULL;
}

static vt_status list_layers(writer *w, const char **names, int count)
{
    for (int i = 0; i < count; i++) {
        names[i] = layer_name(json_array_get(w->layers, (size_t)i));
        if (!names[i])
            return vt_error(VT_EUNSUPPORTED, "layer %d of its config is no plain named layer", i);
        for (int k = 0; k < i; k++)
            if (strcmp(names[i], names[k]) == 0)
                return vt_error(VT_EINVAL, "two layers of its config are named %.100s", names[i]);
    }
    return VT_OK;
}

static vt_status check_all_written(const writer *w, const char *const *names, int count)
{
    for (int i = 0; i < vt_tensor_map_count(w->map); i++) {
        const vt_tensor *t = vt_tensor_map_at(w->map, i);
        int k = 0;
        while (k < count && !is_of_layer(t, names[k]))
            k++;
        if (k == count)
            return vt_error(VT_EINVAL, "the weight %s belongs to no layer of its config", t->name);
    }
    return VT_OK;
}

static vt_status add_all(writer *w, const char *const *config)
{
    static const char *const version = VERSION, *const backend = "tensorflow";
    int count = (int)json_array_size(w->layers), tensors = vt_tensor_map_count(w->map);
    const char **names;
    VT_TRY(vt_arena_alloc(w->arena, &names, ((size_t)count + 1) * sizeof *names, "names"));
    VT_TRY(vt_arena_alloc(w->arena, &w->items,
                          ((size_t)count * 3 + (size_t)tensors + 8) * sizeof *w->items, "items"));
    VT_TRY(list_layers(w, names, count));
    VT_TRY(check_all_written(w, names, count));
    add_text(w, "/", "keras_version", &version);
    add_text(w, "/", "backend", &backend);
    add_text(w, "/", "model_config", config);
    add_item(w, (vt_hdf5_item){.kind = VT_HDF5_GROUP, .path = ROOT});
    add_text(w, ROOT, "keras_version", &version);
    add_text(w, ROOT, "backend", &backend);
    VT_TRY(add_list(w, ROOT, "layer_names", names, count));
    for (int i = 0; i < count; i++)
        VT_TRY(add_layer(w, names[i]));
    return VT_OK;
}

static vt_status write(writer *w, json_t **root, const char *path)
{
    const char *config = vt_tensor_map_get_text(w->map, "config");
    if (!config) return vt_error(VT_EINVAL, "%s: the model has no config", path);
    vt_status status = vt_json_parse(root, config, strlen(config), "its config");
    if (status != VT_OK) return vt_error_context(status, "%s", path);
    w->layers = json_object_get(json_object_get(*root, "config"), "layers");
    if (!json_is_array(w->layers) || json_array_size(w->layers) > 4096)
        return vt_error(VT_EUNSUPPORTED, "%s: its config lists no layers, or more than 4096", path);
    VT_TRY(vt_arena_new(&w->arena));
    status = add_all(w, &config);
    if (status != VT_OK) return vt_error_context(status, "%s", path);
    return vt_hdf5_write(w->items, w->item_count, path);
}

vt_status vt_keras_write(const vt_tensor_map *map, const char *path)
{
    writer w = {.map = map};
    json_t *root = NULL;
    vt_status status = write(&w, &root, path);
    json_decref(root);
    vt_arena_free(w.arena);
    return status;
}
