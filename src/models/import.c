/* Weights into a graph by name: every parameter must be in the file with the sizes the model needs,
 * and everything in the file must be a parameter or a known constant. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/model.h"

static vt_status check_finite(const vt_tensor *t, const char *label)
{
    int64_t count = vt_tensor_count(t);
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(vt_tensor_get(t, i)))
            return vt_error(VT_ENUMERIC, "%s: tensor %s holds NaN or infinity", label, t->name);
    return VT_OK;
}

static vt_status check_sizes(const vt_tensor *turned, const vt_tensor *t, const vt_param *param,
                             const char *label)
{
    char have[128], want[128];
    bool same =
        turned->ndim == param->value.ndim &&
        memcmp(turned->size, param->value.size, (size_t)turned->ndim * sizeof *turned->size) == 0;
    if (same) return VT_OK;
    return vt_error(VT_ESHAPE, "%s: tensor %s of sizes %s comes out as %s, the model needs %s",
                    label, t->name, vt_tensor_shape_text(t, (char[128]){0}, 128),
                    vt_tensor_shape_text(turned, have, sizeof have),
                    vt_tensor_shape_text(&param->value, want, sizeof want));
}

static vt_status copy_param(vt_param *param, const vt_tensor *t, const vt_import_rules *rules,
                            const char *label)
{
    vt_tensor turned, plain;
    VT_TRY(rules->turn(&turned, t, param));
    vt_status status = check_sizes(&turned, t, param, label);
    if (status == VT_OK) status = vt_tensor_convert(&plain, &turned, param->value.dtype);
    vt_tensor_free(&turned);
    if (status != VT_OK) return status;
    status = check_finite(&plain, label);
    if (status == VT_OK) memcpy(param->value.data, plain.data, vt_tensor_bytes(&plain));
    vt_tensor_free(&plain);
    return status;
}

static void list_name(char *list, size_t size, const char *name)
{
    size_t used = strlen(list);
    if (used + 4 < size) snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

static bool is_known(vt_graph *graph, const vt_tensor_map *map, const vt_import_rules *rules,
                     const char *name)
{
    char used[VT_NAME_SIZE + 16];
    if (rules->is_constant(name)) return true;
    for (int i = 0; i < vt_graph_param_count(graph); i++) {
        const vt_param *param = vt_graph_param(graph, i);
        if (rules->find(map, param->name, used, sizeof used) && strcmp(used, name) == 0)
            return true;
    }
    return false;
}

vt_status vt_import(vt_model *model, const vt_tensor_map *map, const char *label,
                    const vt_import_rules *rules)
{
    vt_graph *graph = model->graph;
    char missing[400] = "", unknown[400] = "", used[VT_NAME_SIZE + 16];
    for (int i = 0; i < vt_graph_param_count(graph); i++) {
        const vt_param *param = vt_graph_param(graph, i);
        if (!rules->find(map, param->name, used, sizeof used))
            list_name(missing, sizeof missing, param->name);
    }
    for (int i = 0; i < vt_tensor_map_count(map); i++) {
        const char *name = vt_tensor_map_at(map, i)->name;
        if (!is_known(graph, map, rules, name)) list_name(unknown, sizeof unknown, name);
    }
    if (*missing || *unknown)
        return vt_error(VT_EFORMAT, "%s: weights do not fit a %s model%s%s%s%s", label,
                        vt_model_architecture(model), *missing ? "; missing: " : "", missing,
                        *unknown ? "; unknown: " : "", unknown);
    for (int i = 0; i < vt_graph_param_count(graph); i++) {
        vt_param *param = vt_graph_param(graph, i);
        VT_TRY(copy_param(param, rules->find(map, param->name, used, sizeof used), rules, label));
    }
    vt_graph_touch(graph);
    return VT_OK;
}
