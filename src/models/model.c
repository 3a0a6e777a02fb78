/* Models as files: safetensors with the architecture as JSON in the metadata. */
#include "models/model.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/io.h"
#include "ventral/weights.h"

static const char architecture_key[] = "ventral.model";

void vt_model_free(vt_model *model)
{
    if (!model) return;
    vt_graph_free(model->graph);
    free(model->sessions);
    free(model->label);
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
    return model->options.shared ? "shared_compact" : "compact";
}

const char *vt_model_source(const vt_model *model)
{
    return model->source;
}

const char *vt_model_label(const vt_model *model)
{
    return model->label ? model->label : "the model";
}

void vt_model_get_options(const vt_model *model, vt_compact_options *out)
{
    *out = model->options;
}

int64_t vt_model_outputs(const vt_model *model)
{
    return model->options.outputs;
}

vt_status vt_model_set_epsilon(vt_model *model, double epsilon)
{
    VT_TRY(vt_graph_set_epsilon(model->graph, epsilon));
    model->options.epsilon = epsilon;
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
        session->count > model->options.outputs ||
        session->first > model->options.outputs - session->count)
        return vt_error(VT_EINVAL, "session %s: outputs %lld to %lld, but the model has %d",
                        session->id, (long long)session->first,
                        (long long)(session->first + session->count - 1), model->options.outputs);
    size_t count = model->session_count;
    vt_model_session *sessions = vt_grow(model->sessions, count, count + 1, sizeof *sessions);
    if (!sessions) return VT_ENOMEM;
    model->sessions = sessions;
    sessions[model->session_count++] = *session;
    return VT_OK;
}

/* ---- architecture as JSON ---- */

static json_t *describe(const vt_model *model)
{
    const vt_compact_options *o = &model->options;
    json_t *filters = json_array(), *sessions = json_array();
    for (int i = 0; i < VT_COMPACT_LAYERS; i++)
        json_array_append_new(filters, json_integer(o->filters[i]));
    for (size_t i = 0; i < model->session_count; i++) {
        const vt_model_session *s = &model->sessions[i];
        json_array_append_new(sessions,
                              json_pack("{s:s, s:I, s:I, s:I}", "id", s->id, "first",
                                        (json_int_t)s->first, "count", (json_int_t)s->count,
                                        "first_neuron", (json_int_t)s->first_neuron));
    }
    return json_pack("{s:s, s:o, s:[i,i,i], s:f, s:b, s:i, s:o}", "architecture",
                     vt_model_architecture(model), "filters", filters, "input", o->height, o->width,
                     3, "epsilon", o->epsilon, "linear", (int)o->linear, "outputs", o->outputs,
                     "sessions", sessions);
}

static vt_status parse_options(vt_compact_options *o, json_t *root, const char *label)
{
    json_error_t error;
    const char *architecture;
    json_t *filters;
    int channels, linear;
    if (json_unpack_ex(root, &error, 0, "{s:s, s:o, s:[i,i,i], s:F, s:b, s:i}", "architecture",
                       &architecture, "filters", &filters, "input", &o->height, &o->width,
                       &channels, "epsilon", &o->epsilon, "linear", &linear, "outputs",
                       &o->outputs) != 0)
        return vt_error(VT_EFORMAT, "%s: its description of the model is not usable: %s", label,
                        error.text);
    o->shared = strcmp(architecture, "shared_compact") == 0;
    o->linear = linear;
    if ((!o->shared && strcmp(architecture, "compact") != 0) || channels != 3 ||
        json_array_size(filters) != VT_COMPACT_LAYERS)
        return vt_error(VT_EUNSUPPORTED, "%s: no model of the kind %s with %zu layers is known",
                        label, architecture, json_array_size(filters));
    for (int i = 0; i < VT_COMPACT_LAYERS; i++)
        o->filters[i] = (int)json_integer_value(json_array_get(filters, (size_t)i));
    return VT_OK;
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

/* ---- to and from named tensors ---- */

vt_status vt_model_to_map(const vt_model *model, vt_tensor_map *map)
{
    for (int i = 0; i < vt_graph_param_count(model->graph); i++) {
        const vt_param *param = vt_graph_param(model->graph, i);
        VT_TRY(vt_tensor_map_add_copy(map, param->name, &param->value));
    }
    json_t *root = describe(model);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) return vt_error(VT_ENOMEM, "the model's description could not be made");
    vt_status status = vt_tensor_map_set_text(map, architecture_key, text);
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
    vt_compact_options options = {.outputs = 0};
    vt_model *model = NULL;
    vt_status status = parse_options(&options, root, label);
    if (status == VT_OK) {
        status = vt_compact_new(&model, &options);
        if (status != VT_OK) status = vt_error_context(status, "%s", label);
    }
    if (status == VT_OK) status = parse_sessions(model, root, label);
    if (status == VT_OK) status = vt_model_import(model, map, label);
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
    vt_compact_options options;
    vt_model *model;
    VT_TRY(vt_model_infer_options(&options, map, label));
    vt_status status = vt_compact_new(&model, &options);
    if (status != VT_OK) return vt_error_context(status, "%s", label);
    status = vt_model_import(model, map, label);
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
    const char *text = vt_tensor_map_get_text(map, architecture_key);
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
    if (size > 8 && data[8] == '{') return vt_safetensors_parse(out, data, size, path);
    return vt_error(VT_EFORMAT,
                    "%s: not a model: expected .safetensors, .keras, .h5 or a zip-format .pt",
                    path);
}

vt_status vt_model_read(vt_model **out, const char *path)
{
    void *data;
    size_t size;
    vt_tensor_map *map;
    VT_TRY(vt_file_read(&data, &size, path));
    vt_status status = parse_any(&map, data, size, path);
    free(data);
    if (status != VT_OK) return status;
    status = vt_model_from_map(out, map, path);
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
