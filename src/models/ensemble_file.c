/* Ensembles in files: their options, and the description of the front end's model within theirs;
 * of its weights, those of the layers that are used. */
#include <stdio.h>
#include <string.h>

#include "models/ensemble.h"

static int describe(json_t *root, const vt_model *model)
{
    const vt_ensemble_options *o = &model->options.ensemble;
    json_t *front = model->front ? json_loads(model->front, 0, NULL) : NULL;
    if (model->front && !front) return -1;
    int failed = json_object_update_new(
        root,
        json_pack("{s:i, s:[i,i], s:i, s:i, s:[i,i,i], s:f, s:i}", "members", o->members, "stem",
                  o->stem[0], o->stem[1], "channels", o->channels, "blocks", o->blocks, "input",
                  o->height, o->width, 3, "epsilon", o->epsilon, "outputs", o->outputs));
    if (o->flat) failed |= json_object_set_new(root, "readout", json_string("flat"));
    if (!front) return failed;
    failed |= json_object_set_new(root, "front", front);
    return failed | json_object_set_new(root, "tap", json_string(model->tap));
}

static vt_status parse(vt_ensemble_options *o, json_t *root, const char *label)
{
    json_error_t error;
    int colours;
    *o = (vt_ensemble_options){.members = 0};
    if (json_unpack_ex(root, &error, 0, "{s:i, s:[i,i], s:i, s:i, s:[i,i,i], s:F, s:i}", "members",
                       &o->members, "stem", &o->stem[0], &o->stem[1], "channels", &o->channels,
                       "blocks", &o->blocks, "input", &o->height, &o->width, &colours, "epsilon",
                       &o->epsilon, "outputs", &o->outputs) != 0)
        return vt_error(VT_EFORMAT, "%s: its description of the model is not usable: %s", label,
                        error.text);
    json_t *readout = json_object_get(root, "readout");
    const char *kind = json_string_value(readout);
    o->flat = kind && strcmp(kind, "flat") == 0;
    if (readout && !o->flat)
        return vt_error(VT_EUNSUPPORTED, "%s: its ensemble has an unknown readout '%.40s'", label,
                        kind ? kind : "");
    if (colours != 3)
        return vt_error(VT_EUNSUPPORTED, "%s: no ensemble on %d colours is known", label, colours);
    if (o->members < 1 || o->stem[0] < 1 || o->stem[1] < 1 || o->channels < 1 || o->blocks < 1 ||
        o->height < 1 || o->width < 1 || !(o->epsilon > 0))
        return vt_error(VT_EFORMAT, "%s: its description of the model has sizes of 0", label);
    return VT_OK;
}

static vt_status create_front(vt_model **out, const char **tap, json_t *root, const char *label)
{
    json_t *front = json_object_get(root, "front");
    const char *kind = json_string_value(json_object_get(front, "architecture"));
    *out = NULL;
    *tap = json_string_value(json_object_get(root, "tap"));
    if (!front) return VT_OK;
    if (kind && strcmp(kind, vt_architecture_ensemble.name) == 0)
        return vt_error(VT_EUNSUPPORTED, "%s: an ensemble cannot be a front end", label);
    if (!*tap) return vt_error(VT_EFORMAT, "%s: its front end ends nowhere", label);
    return vt_model_from_description(out, front, label);
}

static vt_status create(vt_model **out, json_t *root, const char *label)
{
    vt_ensemble_options options;
    vt_model *front;
    const char *tap;
    VT_TRY(parse(&options, root, label));
    VT_TRY(create_front(&front, &tap, root, label));
    vt_status status =
        vt_ensemble_new_empty(out, &options, front, tap, vt_description_weights(root));
    vt_model_free(front);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", label);
}

static const vt_tensor *find(const vt_tensor_map *map, const char *parameter, char *used,
                             size_t used_size)
{
    snprintf(used, used_size, "%s", parameter);
    return vt_tensor_map_find(map, parameter);
}

static bool no_constants(const char *name)
{
    (void)name;
    return false;
}

static vt_status turn(vt_tensor *out, const vt_tensor *t, const vt_param *param)
{
    (void)param;
    return vt_tensor_convert(out, t, t->dtype);
}

static vt_status import(vt_model *model, const vt_tensor_map *map, const char *label)
{
    static const vt_import_rules rules = {find, no_constants, turn};
    return vt_import(model, map, label, &rules);
}

static vt_status export(const vt_model *model, vt_tensor_map *map)
{
    for (int i = 0; i < vt_graph_param_count(model->graph); i++) {
        const vt_param *param = vt_graph_param(model->graph, i);
        VT_TRY(vt_tensor_map_add_copy(map, param->name, &param->value));
    }
    return VT_OK;
}

const vt_architecture vt_architecture_ensemble = {
    .name = "ensemble",
    .describe = describe,
    .create = create,
    .import = import,
    .export = export,
    .maps = vt_ensemble_maps,
    .with_outputs = vt_ensemble_with_outputs,
    .with_flat_readout = vt_ensemble_with_flat_readout,
};
