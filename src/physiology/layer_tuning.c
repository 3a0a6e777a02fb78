/* Tuning of a layer, kept in a file with what it was measured from. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "models/model.h"
#include "physiology/recording.h"
#include "ventral/io.h"
#include "ventral/physiology.h"

/* What decides about the result: the text `made_of` of the file. */
typedef char origin[512];

static vt_status describe(origin out, const vt_model *model, const char *node,
                          const vt_recording_options *o)
{
    uint64_t checksum = 0;
    VT_TRY(vt_model_checksum(model, &checksum));
    double degrees = o->degrees != 0 ? o->degrees : 8;
    int used = snprintf(out, sizeof(origin), "weights %016" PRIx64 "\nnode %s\ndegrees %.17g\n%s",
                        checksum, node, degrees, o->bf16 ? "bfloat16" : "float32");
    if (o->textures && used < (int)sizeof(origin))
        used += snprintf(out + used, sizeof(origin) - (size_t)used, "\ntextures %016" PRIx64,
                         vt_texture_set_checksum(o->textures));
    if (used >= (int)sizeof(origin))
        return vt_error(VT_EINVAL, "%.100s...: too long a name of a node", node);
    return VT_OK;
}

/* ---- the file ---- */

static const char *const count_names[] = {"node.units", "node.answering", "node.kept",
                                          "node.responsive"};
enum { COUNTS = sizeof count_names / sizeof *count_names };

static void list_counts(int64_t *out[COUNTS], vt_layer_tuning *t)
{
    int64_t *const counts[COUNTS] = {&t->units, &t->answering, &t->kept, &t->responsive};
    memcpy(out, counts, sizeof counts);
}

static vt_status store(vt_tensor_map *map, vt_layer_tuning *t, const vt_tensor_map *recording,
                       const char *made_of)
{
    static const char *const copied[] = {"unit", "unit.position", "unit.size", "unit.map",
                                         "affine"};
    int64_t *counts[COUNTS];
    list_counts(counts, t);
    VT_TRY(vt_tensor_map_set_text(map, "made_of", made_of));
    if (*t->reason) return vt_tensor_map_set_text(map, "reason", t->reason);
    const char *textures = vt_tensor_map_get_text(recording, "textures");
    if (textures) VT_TRY(vt_tensor_map_set_text(map, "textures", textures));
    VT_TRY(vt_tuning_store(map, &t->tuning));
    for (int i = 0; i < COUNTS; i++) {
        vt_tensor count;
        VT_TRY(vt_tensor_init(&count, VT_I64, 0, NULL, counts[i]));
        VT_TRY(vt_tensor_map_add_copy(map, count_names[i], &count));
    }
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        const vt_tensor *from = vt_tensor_map_find(recording, copied[i]);
        if (from) VT_TRY(vt_tensor_map_add_copy(map, copied[i], from));
    }
    return VT_OK;
}

static vt_status keep(const char *path, vt_layer_tuning *t, const vt_tensor_map *recording,
                      const char *made_of)
{
    vt_tensor_map *map;
    VT_TRY(vt_tensor_map_new(&map));
    vt_status status = store(map, t, recording, made_of);
    if (status == VT_OK) status = vt_npz_write(map, path);
    vt_tensor_map_free(map);
    return status;
}

/* A copy of a recording's tensor, which has `each` elements a unit kept. */
static vt_status copy(void *out_data, const vt_tensor_map *map, const char *name, vt_dtype dtype,
                      int64_t kept, int64_t each)
{
    const vt_tensor *t = vt_tensor_map_find(map, name);
    if (!t || t->dtype != dtype || kept < 0 || vt_tensor_count(t) / each != kept ||
        vt_tensor_count(t) % each != 0)
        return vt_error(VT_EFORMAT, "%s is not there, or not of the size that it had", name);
    void *data = vt_alloc(vt_tensor_bytes(t) + 1, 1);
    if (!data) return VT_ENOMEM;
    if (vt_tensor_bytes(t) > 0) memcpy(data, t->data, vt_tensor_bytes(t));
    memcpy(out_data, &data, sizeof data);
    return VT_OK;
}

static vt_status copy_fields(vt_layer_tuning *out, const vt_tensor_map *map)
{
    int64_t positions = VT_FIELD_SIDE * VT_FIELD_SIDE;
    VT_TRY(copy(&out->map, map, "unit.map", VT_F32, out->kept, positions));
    VT_TRY(copy(&out->position, map, "unit.position", VT_F64, out->kept, 2));
    return copy(&out->size, map, "unit.size", VT_F64, out->kept, 1);
}

/* `out` is freed by vt_layer_tuning_free, also after a failure. */
static vt_status load(vt_layer_tuning *out, const vt_tensor_map *map)
{
    int64_t *counts[COUNTS];
    const char *reason = vt_tensor_map_get_text(map, "reason");
    *out = (vt_layer_tuning){.loaded = true};
    if (reason) {
        snprintf(out->reason, sizeof out->reason, "%s", reason);
        return VT_OK;
    }
    list_counts(counts, out);
    for (int i = 0; i < COUNTS; i++) {
        const vt_tensor *count = vt_tensor_map_find(map, count_names[i]);
        if (!count || vt_tensor_count(count) != 1)
            return vt_error(VT_EFORMAT, "%s is not there", count_names[i]);
        *counts[i] = (int64_t)vt_tensor_get(count, 0);
    }
    const vt_tensor *affine = vt_tensor_map_find(map, "affine");
    if (!affine || vt_tensor_count(affine) != 2) return vt_error(VT_EFORMAT, "affine is not there");
    out->slope = vt_tensor_get(affine, 0);
    out->offset = vt_tensor_get(affine, 1);
    VT_TRY(vt_tuning_load(&out->tuning, map));
    if (out->tuning.neurons != out->kept)
        return vt_error(VT_EFORMAT, "its numbers of units differ");
    return copy_fields(out, map);
}

/* Loads what is at `path` when it was made of the same; *found says so. */
static vt_status look(vt_layer_tuning *out, bool *found, const char *path, const char *made_of)
{
    vt_tensor_map *map;
    if (access(path, F_OK) != 0) return VT_OK;
    VT_TRY(vt_npz_read(&map, path));
    const char *text = vt_tensor_map_get_text(map, "made_of");
    vt_status status = VT_OK;
    if (!text)
        status = vt_error(VT_EFORMAT, "there is another file of this name: move it");
    else if (strcmp(text, made_of) == 0) {
        status = load(out, map);
        *found = status == VT_OK;
    }
    vt_tensor_map_free(map);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", path);
}

/* ---- recording ---- */

/* Layers of a model, of which those are recorded that were not found in their file. */
typedef struct layers {
    vt_layer_tuning *tuning; /* (count) */
    const char *const *nodes, *const *paths;
    origin *made_of; /* (count) */
    int count;
    const char **missing; /* (missing_count) their names, ... */
    int *missing_number;  /* ... and which they are */
    int missing_count;
} layers;

static vt_status look_for_all(layers *l, vt_model *model, const vt_recording_options *options)
{
    for (int i = 0; i < l->count; i++) {
        vt_node node;
        bool found = false;
        VT_TRY(vt_model_find(&node, model, l->nodes[i]));
        VT_TRY(describe(l->made_of[i], model, l->nodes[i], options));
        if (l->paths) VT_TRY(look(&l->tuning[i], &found, l->paths[i], l->made_of[i]));
        if (found) continue;
        l->missing[l->missing_count] = l->nodes[i];
        l->missing_number[l->missing_count++] = i;
    }
    return VT_OK;
}

static vt_status take(layers *l, int number, const vt_recording *r)
{
    vt_layer_tuning *t = &l->tuning[number];
    *t = (vt_layer_tuning){.units = r->units,
                           .answering = r->answering,
                           .kept = r->kept,
                           .responsive = r->responsive,
                           .slope = r->slope,
                           .offset = r->offset};
    memcpy(t->reason, r->reason, sizeof t->reason);
    if (!*t->reason) {
        VT_TRY(vt_tuning_measure(&t->tuning, r->map));
        VT_TRY(copy_fields(t, r->map));
    }
    return l->paths ? keep(l->paths[number], t, r->map, l->made_of[number]) : VT_OK;
}

static vt_status record_missing(layers *l, vt_model *model, const vt_recording_options *options)
{
    vt_recording *recordings = vt_alloc((size_t)l->count, sizeof *recordings);
    vt_status status = recordings ? VT_OK : VT_ENOMEM;
    for (int first = 0, count; first < l->missing_count && status == VT_OK; first += count) {
        count = vt_recording_group(model, l->missing + first, l->missing_count - first, options);
        status = vt_record(recordings, model, l->missing + first, count, options);
        bool recorded = status == VT_OK;
        for (int i = 0; i < count && recorded; i++) {
            if (status == VT_OK) status = take(l, l->missing_number[first + i], &recordings[i]);
            vt_recording_free(&recordings[i]);
        }
    }
    free(recordings);
    return status;
}

static void layers_free(layers *l)
{
    for (int i = 0; l->tuning && i < l->count; i++)
        vt_layer_tuning_free(&l->tuning[i]);
    free(l->tuning);
    free(l->made_of);
    free(l->missing);
    free(l->missing_number);
}

vt_status vt_layer_tuning_get(vt_layer_tuning *out, vt_model *model, const char *const *nodes,
                              const char *const *paths, int count,
                              const vt_recording_options *options)
{
    size_t n = count > 0 ? (size_t)count : 1;
    layers l = {.tuning = vt_alloc(n, sizeof *l.tuning),
                .nodes = nodes,
                .paths = paths,
                .made_of = vt_alloc(n, sizeof *l.made_of),
                .count = count,
                .missing = vt_alloc(n, sizeof *l.missing),
                .missing_number = vt_alloc(n, sizeof *l.missing_number)};
    bool room = l.tuning && l.made_of && l.missing && l.missing_number;
    vt_status status = room ? look_for_all(&l, model, options) : VT_ENOMEM;
    if (status == VT_OK) status = record_missing(&l, model, options);
    if (status == VT_OK && count > 0) {
        memcpy(out, l.tuning, (size_t)count * sizeof *out);
        memset(l.tuning, 0, (size_t)count * sizeof *out); /* they are the caller's now */
    }
    layers_free(&l);
    return status;
}

void vt_layer_tuning_free(vt_layer_tuning *tuning)
{
    vt_tuning_free(&tuning->tuning);
    free(tuning->map);
    free(tuning->position);
    free(tuning->size);
    *tuning = (vt_layer_tuning){.units = 0};
}
