/* Measured tuning as named tensors, and back. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/tuning.h"

/* One of a study's arrays. */
typedef struct part {
    const char *name; /* %s: the study */
    vt_dtype dtype;
    int ndim;
    int64_t size[2];
    void **data;
} part;

enum { PARTS = 5 };

static void list_parts(part out[PARTS], vt_study_tuning *t, int study)
{
    int properties;
    vt_study_properties(study, &properties);
    const part parts[PARTS] = {
        {"neuron.%s", VT_I64, 1, {t->neurons}, (void **)&t->neuron},
        {"properties.%s", VT_F64, 2, {t->neurons, properties}, (void **)&t->values},
        {"curve.%s.x", VT_F64, 1, {t->points}, (void **)&t->x},
        {"curve.%s", VT_F64, 2, {t->neurons, t->points}, (void **)&t->curves},
        {"preferred.%s", VT_F64, 2, {t->neurons, 3}, (void **)&t->preferred}};
    memcpy(out, parts, sizeof parts);
}

static void name_part(char name[VT_NAME_SIZE], const char *pattern, int study)
{
    const char *at = strstr(pattern, "%s");
    snprintf(name, VT_NAME_SIZE, "%.*s%s%s", (int)(at - pattern), pattern, vt_study_at(study)->name,
             at + 2);
}

vt_status vt_tuning_store(vt_tensor_map *map, const vt_tuning *tuning)
{
    vt_tensor recorded;
    int64_t neurons = tuning->neurons;
    VT_TRY(vt_tensor_init(&recorded, VT_I64, 0, NULL, &neurons));
    VT_TRY(vt_tensor_map_add_copy(map, "recorded", &recorded));
    for (int s = 0; s < VT_STUDIES; s++) {
        vt_study_tuning t = tuning->study[s];
        part parts[PARTS];
        list_parts(parts, &t, s);
        for (int i = 0; i < PARTS && t.measured; i++) {
            char name[VT_NAME_SIZE];
            vt_tensor tensor;
            name_part(name, parts[i].name, s);
            VT_TRY(vt_tensor_init(&tensor, parts[i].dtype, parts[i].ndim, parts[i].size,
                                  *parts[i].data));
            VT_TRY(vt_tensor_map_add_copy(map, name, &tensor));
        }
    }
    return VT_OK;
}

static vt_status missing(const char *name)
{
    return vt_error(VT_EFORMAT, "%s is not there, or not of the size that it had", name);
}

/* A copy of a tensor of exactly this kind. */
static vt_status load_part(const part *p, const vt_tensor_map *map, int study)
{
    char name[VT_NAME_SIZE];
    name_part(name, p->name, study);
    const vt_tensor *t = vt_tensor_map_find(map, name);
    if (!t || t->dtype != p->dtype || t->ndim != p->ndim) return missing(name);
    for (int i = 0; i < p->ndim; i++)
        if (t->size[i] != p->size[i]) return missing(name);
    *p->data = vt_alloc(vt_tensor_bytes(t), 1);
    if (!*p->data) return VT_ENOMEM;
    if (vt_tensor_bytes(t) > 0) memcpy(*p->data, t->data, vt_tensor_bytes(t));
    return VT_OK;
}

static vt_status load_study(vt_study_tuning *t, const vt_tensor_map *map, int study,
                            int64_t recorded)
{
    part parts[PARTS];
    char name[VT_NAME_SIZE];
    list_parts(parts, t, study);
    name_part(name, parts[0].name, study);
    const vt_tensor *neuron = vt_tensor_map_find(map, name);
    if (!neuron) return VT_OK;
    name_part(name, parts[2].name, study);
    const vt_tensor *x = vt_tensor_map_find(map, name);
    if (!x || x->ndim != 1 || neuron->ndim != 1 || x->size[0] > INT32_MAX) return missing(name);
    t->measured = true;
    t->neurons = neuron->size[0];
    t->points = (int)x->size[0];
    list_parts(parts, t, study);
    for (int i = 0; i < PARTS; i++)
        VT_TRY(load_part(&parts[i], map, study));
    for (int64_t i = 0; i < t->neurons; i++)
        if (t->neuron[i] < 0 || t->neuron[i] >= recorded)
            return vt_error(VT_EFORMAT, "neuron %lld of %lld", (long long)t->neuron[i],
                            (long long)recorded);
    return VT_OK;
}

vt_status vt_tuning_load(vt_tuning *out, const vt_tensor_map *map)
{
    vt_tuning tuning = {.neurons = 0};
    const vt_tensor *recorded = vt_tensor_map_find(map, "recorded");
    if (!recorded || recorded->dtype != VT_I64 || vt_tensor_count(recorded) != 1)
        return missing("recorded");
    tuning.neurons = *(const int64_t *)recorded->data;
    vt_status status = VT_OK;
    for (int s = 0; s < VT_STUDIES && status == VT_OK; s++)
        status = load_study(&tuning.study[s], map, s, tuning.neurons);
    if (status != VT_OK) {
        vt_tuning_free(&tuning);
        return status;
    }
    *out = tuning;
    return VT_OK;
}
