/* Models as files: safetensors with the architecture as JSON in the metadata. */
#include "models/model.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "io/torch.h"
#include "ventral/io.h"
#include "ventral/progress.h"
#include "ventral/weights.h"

static const char description_key[] = "ventral.model";
static const char weights_key[] = "elements"; /* only while a file is read */

/* In the order in which files without a description are tried. */
static const vt_architecture *const architectures[] = {
    &vt_architecture_resnet,
    &vt_architecture_shared_compact,
    &vt_architecture_compact,
    &vt_architecture_ensemble,
};
enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };

void vt_model_free(vt_model *model)
{
    if (!model) return;
    vt_graph_free(model->graph);
    free(model->sessions);
    free(model->label);
    free(model->front);
    free(model->tap);
    free(model);
}

vt_graph *vt_model_graph(vt_model *model)
{
    return model->graph;
}

vt_node vt_model_input(const vt_model *model)
{
    return model->input;
}

vt_node vt_model_output(const vt_model *model)
{
    return model->output;
}

const char *vt_model_architecture(const vt_model *model)
{
    return model->architecture->name;
}

const char *vt_model_source(const vt_model *model)
{
    return model->source;
}

const char *vt_model_label(const vt_model *model)
{
    return model->label ? model->label : "the model";
}

int64_t vt_model_outputs(const vt_model *model)
{
    return model->outputs;
}

void vt_model_image_size(const vt_model *model, int *height, int *width)
{
    int64_t size[VT_MAX_DIMS];
    vt_graph_node_size(model->graph, model->input, size);
    *height = (int)size[0];
    *width = (int)size[1];
}

const vt_preprocessing *vt_model_preprocessing(const vt_model *model)
{
    return &model->preprocessing;
}

void vt_preprocess(float *out, const uint8_t *images, int64_t pixels,
                   const vt_preprocessing *preprocessing)
{
    const float *mean = preprocessing->mean, *sd = preprocessing->sd;
#pragma omp parallel for num_threads(vt_threads())
    for (int64_t i = 0; i < pixels; i++)
        for (int c = 0; c < 3; c++)
            out[3 * i + c] = ((float)images[3 * i + c] - mean[c]) / sd[c];
}

vt_status vt_model_set_epsilon(vt_model *model, double epsilon)
{
    VT_TRY(vt_graph_set_epsilon(model->graph, epsilon));
    if (model->architecture == &vt_architecture_ensemble)
        model->options.ensemble.epsilon = epsilon;
    else if (model->architecture == &vt_architecture_resnet)
        model->options.resnet.epsilon = epsilon;
    else
        model->options.compact.epsilon = epsilon;
    return VT_OK;
}

int64_t vt_model_parameters(const vt_model *model)
{
    int64_t count = 0;
    for (int i = 0; i < vt_graph_param_count(model->graph); i++) {
        const vt_param *param = vt_graph_param(model->graph, i);
        if (!param->is_buffer) count += vt_tensor_count(&param->value);
    }
    return count;
}

int vt_model_session_count(const vt_model *model)
{
    return (int)model->session_count;
}

const vt_model_session *vt_model_session_at(const vt_model *model, int index)
{
    bool inside = index >= 0 && (size_t)index < model->session_count;
    return inside ? &model->sessions[index] : NULL;
}

const vt_model_session *vt_model_find_session(const vt_model *model, const char *id)
{
    for (size_t i = 0; i < model->session_count; i++)
        if (strcmp(model->sessions[i].id, id) == 0) return &model->sessions[i];
    return NULL;
}

vt_status vt_model_add_session(vt_model *model, const vt_model_session *session)
{
    if (session->first < 0 || session->count < 1 || session->first_neuron < 0 ||
        session->count > model->outputs || session->first > model->outputs - session->count)
        return vt_error(VT_EINVAL, "session %s: outputs %lld to %lld, but the model has %lld",
                        session->id, (long long)session->first,
                        (long long)(session->first + session->count - 1),
                        (long long)model->outputs);
    size_t count = model->session_count;
    vt_model_session *sessions = vt_grow(model->sessions, count, count + 1, sizeof *sessions);
    if (!sessions) return VT_ENOMEM;
    model->sessions = sessions;
    sessions[model->session_count++] = *session;
    return VT_OK;
}

/* ---- architecture as JSON ---- */

json_t *vt_model_describe(const vt_model *model)
{
    json_t *root = json_pack("{s:s}", "architecture", vt_model_architecture(model));
    if (root && model->architecture->describe(root, model) == 0) return root;
    json_decref(root);
    return NULL;
}

static json_t *describe(const vt_model *model)
{
    json_t *sessions = json_array();
    for (size_t i = 0; i < model->session_count; i++) {
        const vt_model_session *s = &model->sessions[i];
        json_array_append_new(sessions,
                              json_pack("{s:s, s:I, s:I, s:I}", "id", s->id, "first",
                                        (json_int_t)s->first, "count", (json_int_t)s->count,
                                        "first_neuron", (json_int_t)s->first_neuron));
    }
    json_t *root = vt_model_describe(model);
    if (root && json_object_set_new(root, "sessions", sessions) == 0) return root;
    json_decref(root);
    return NULL;
}

static vt_status find_architecture(const vt_architecture **out, json_t *root, const char *label)
{
    const char *name = json_string_value(json_object_get(root, "architecture"));
    if (!name)
        return vt_error(VT_EFORMAT, "%s: its description of the model names no architecture",
                        label);
    for (int i = 0; i < ARCHITECTURES; i++)
        if (strcmp(architectures[i]->name, name) == 0) {
            *out = architectures[i];
            return VT_OK;
        }
    return vt_error(VT_EUNSUPPORTED, "%s: no model of the kind %s is known", label, name);
}

static vt_status parse_sessions(vt_model *model, json_t *root, const char *label)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(root, "sessions"), index, entry)
    {
        vt_model_session session = {.count = 0};
        const char *id;
        json_int_t first, count, neuron;
        if (json_unpack(entry, "{s:s, s:I, s:I, s:I}", "id", &id, "first", &first, "count", &count,
                        "first_neuron", &neuron) != 0 ||
            strlen(id) >= sizeof session.id)
            return vt_error(VT_EFORMAT, "%s: its list of sessions is not usable", label);
        strcpy(session.id, id);
        session.first = first;
        session.count = count;
        session.first_neuron = neuron;
        vt_status status = vt_model_add_session(model, &session);
        if (status != VT_OK) return vt_error_context(VT_EFORMAT, "%s", label);
    }
    return VT_OK;
}

vt_status vt_model_checksum(const vt_model *model, uint64_t *out)
{
    json_t *root = vt_model_describe(model);
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(root);
    if (!text) return vt_error(VT_ENOMEM, "the model's description could not be made");
    uint64_t sum = vt_hash64(text, strlen(text), 0);
    free(text);
    sum = vt_hash64(&model->preprocessing, sizeof model->preprocessing, sum);
    for (int i = 0; i < vt_graph_param_count(model->graph); i++) {
        const vt_param *param = vt_graph_param(model->graph, i);
        sum = vt_hash64(param->name, strlen(param->name), sum);
        sum = vt_hash64(param->value.data, vt_tensor_bytes(&param->value), sum);
    }
    *out = sum;
    return VT_OK;
}

int64_t vt_description_weights(json_t *root)
{
    json_t *weights = json_object_get(root, weights_key);
    return weights ? json_integer_value(weights) : INT64_MAX;
}

vt_status vt_model_from_description(vt_model **out, json_t *root, const char *label)
{
    const vt_architecture *architecture = NULL;
    VT_TRY(find_architecture(&architecture, root, label));
    return architecture->create(out, root, label);
}

/* ---- maps and readouts ---- */

int vt_model_maps(const vt_model *model, vt_model_map maps[VT_ENSEMBLE_MEMBERS])
{
    return model->architecture->maps ? model->architecture->maps(model, maps) : 0;
}

vt_status vt_model_with_outputs(vt_model **out, const vt_model *model, int outputs)
{
    if (!model->architecture->with_outputs)
        return vt_error(VT_EUNSUPPORTED,
                        "%s: a compact model or an ensemble is needed, this is a %s",
                        vt_model_label(model), vt_model_architecture(model));
    return model->architecture->with_outputs(out, model, outputs);
}

vt_status vt_model_with_flat_readout(vt_model **out, const vt_model *model, int outputs)
{
    if (!model->architecture->with_flat_readout)
        return vt_error(
            VT_EUNSUPPORTED,
            "%s is a %s: an ensemble is needed, whose members' readouts can have a weight "
            "for every place and channel",
            vt_model_label(model), model->architecture->name);
    return model->architecture->with_flat_readout(out, model, outputs);
}

/* ---- to and from named tensors ---- */

vt_status vt_model_to_map(const vt_model *model, vt_tensor_map *map)
{
    VT_TRY(model->architecture->export(model, map));
    json_t *root = describe(model);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) return vt_error(VT_ENOMEM, "the model's description could not be made");
    vt_status status = vt_tensor_map_set_text(map, description_key, text);
    free(text);
    return status;
}

static vt_status from_description(vt_model **out, const vt_tensor_map *map, const char *text,
                                  const char *label)
{
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    if (!root)
        return vt_error(VT_EFORMAT, "%s: its description of the model is not JSON: %s", label,
                        error.text);
    vt_model *model = NULL;
    int64_t weights = 0;
    for (int i = 0; i < vt_tensor_map_count(map); i++)
        weights += vt_tensor_count(vt_tensor_map_at(map, i));
    vt_status status = json_object_set_new(root, weights_key, json_integer(weights)) == 0
                           ? vt_model_from_description(&model, root, label)
                           : vt_error(VT_EFORMAT, "%s: its description is no object", label);
    if (status == VT_OK) status = parse_sessions(model, root, label);
    if (status == VT_OK) status = model->architecture->import(model, map, label);
    json_decref(root);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    model->source = "safetensors";
    *out = model;
    return VT_OK;
}

/* Without a description: the architecture is what fits the names and sizes. */
static vt_status from_names(vt_model **out, const vt_tensor_map *map, const char *label)
{
    int kind = 0;
    while (!architectures[kind]->knows || !architectures[kind]->knows(map))
        kind++;
    vt_model *model;
    VT_TRY(architectures[kind]->infer(&model, map, label));
    vt_status status = architectures[kind]->import(model, map, label);
    if (status == VT_OK) status = vt_model_published_sessions(model, label);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    const char *format = vt_tensor_map_get_text(map, "format");
    model->source = !format                        ? "safetensors"
                    : strcmp(format, "keras") == 0 ? "keras"
                    : strcmp(format, "torch") == 0 ? "torch"
                                                   : "safetensors";
    *out = model;
    return VT_OK;
}

vt_status vt_model_from_map(vt_model **out, const vt_tensor_map *map, const char *label)
{
    const char *text = vt_tensor_map_get_text(map, description_key);
    vt_model *model;
    VT_TRY(text ? from_description(&model, map, text, label) : from_names(&model, map, label));
    model->label = vt_strdup(label);
    if (!model->label) {
        vt_model_free(model);
        return VT_ENOMEM;
    }
    *out = model;
    return VT_OK;
}

/* ---- files ---- */

static bool starts(const unsigned char *data, size_t size, const char *magic, size_t length)
{
    return size >= length && memcmp(data, magic, length) == 0;
}

/* Whether a zip holds a Keras model. */
static vt_status is_keras_zip(bool *out, const void *data, size_t size, const char *path)
{
    vt_zip *zip;
    VT_TRY(vt_zip_open_memory(&zip, data, size, path));
    *out = vt_zip_find(zip, "config.json") >= 0;
    vt_zip_close(zip);
    return VT_OK;
}

static vt_status parse_any(vt_tensor_map **out, const unsigned char *data, size_t size,
                           const char *path)
{
    if (starts(data, size, "\x89HDF\r\n\x1a\n", 8)) return vt_keras_parse(out, data, size, path);
    if (starts(data, size, "PK", 2)) {
        bool keras;
        VT_TRY(is_keras_zip(&keras, data, size, path));
        return keras ? vt_keras_parse(out, data, size, path)
                     : vt_torch_parse(out, data, size, path);
    }
    if (vt_torch_is_stream(data, size) || vt_torch_is_tar(data, size))
        return vt_torch_parse(out, data, size, path);
    if (size > 8 && data[8] == '{') return vt_safetensors_parse(out, data, size, path);
    return vt_error(VT_EFORMAT, "%s: not a model: expected .safetensors, .keras, .h5 or .pt", path);
}

vt_status vt_model_read_map(vt_tensor_map **out, const char *path)
{
    void *data;
    size_t size;
    VT_TRY(vt_file_read(&data, &size, path));
    vt_status status = parse_any(out, data, size, path);
    free(data);
    return status;
}

bool vt_model_is_described(const vt_tensor_map *map)
{
    return vt_tensor_map_get_text(map, description_key) != NULL;
}

vt_status vt_model_read(vt_model **out, const char *path)
{
    vt_tensor_map *map;
    VT_TRY(vt_model_read_map(&map, path));
    vt_status status = vt_model_from_map(out, map, path);
    vt_tensor_map_free(map);
    return status;
}

vt_status vt_model_write(const vt_model *model, const char *path)
{
    vt_tensor_map *map;
    VT_TRY(vt_tensor_map_new(&map));
    vt_status status = vt_model_to_map(model, map);
    if (status == VT_OK) status = vt_safetensors_write(map, path);
    vt_tensor_map_free(map);
    return status;
}
