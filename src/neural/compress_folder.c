/* The folder of a run of vt_compress: where products lie, what they were made with (run.json), and
 * the processor time they took (seconds.json). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/arena.h"
#include "models/model.h"
#include "neural/compress_run.h"
#include "ventral/io.h"

vt_status vt_compress_join(char out[VT_COMPRESS_PATH], const vt_compress_run *run, const char *name)
{
    int n = snprintf(out, VT_COMPRESS_PATH, "%s/%s", run->options.folder, name);
    if (n >= VT_COMPRESS_PATH)
        return vt_error(VT_EINVAL, "%s/%s: too long", run->options.folder, name);
    return VT_OK;
}

vt_status vt_compress_path(char out[VT_COMPRESS_PATH], const vt_compress_run *run,
                           vt_compress_stage stage, int64_t neuron, const char *extension)
{
    char name[160];
    snprintf(name, sizeof name, "%s/%s_neuron%lld.%s", vt_compress_stage_name(stage), run->info.id,
             (long long)neuron, extension);
    return vt_compress_join(out, run, name);
}

/* ---- what the run is made with ---- */

static json_t *describe_distill(const vt_distill_options *o)
{
    return json_pack("{s:I, s:i, s:I, s:i, s:f, s:f, s:b, s:f, s:f, s:b, s:I}", "held_out",
                     (json_int_t)o->held_out, "passes", o->passes, "stretch",
                     (json_int_t)o->stretch, "batch", o->batch, "rate", o->rate, "readout_rate",
                     o->readout_rate, "cosine", (int)o->cosine, "blur", o->blur, "clip_value",
                     o->clip_value, "bf16", (int)o->bf16, "seed", (json_int_t)o->seed);
}

/* The names of the stream's images, and the bytes of the first. */
static vt_status describe_images(json_t **out, const vt_compress_run *run)
{
    char name[VT_IMAGE_NAME_SIZE], text[32];
    uLong sum = crc32(0, NULL, 0);
    int64_t count = vt_image_stream_count(run->stream);
    for (int64_t i = 0; i < count; i++) {
        vt_image_stream_name(run->stream, i, name);
        sum = crc32(sum, (const Bytef *)name, (uInt)strlen(name) + 1);
    }
    snprintf(text, sizeof text, "%08lx", sum);
    *out = json_pack("{s:I, s:s}", "count", (json_int_t)count, "names", text);
    return *out ? VT_OK : vt_error(VT_ENOMEM, "out of memory");
}

static vt_status add_checksum(json_t *list, const vt_model *model)
{
    char text[32];
    uint64_t sum;
    VT_TRY(vt_model_checksum(model, &sum));
    snprintf(text, sizeof text, "%016llx", (unsigned long long)sum);
    return json_array_append_new(list, json_string(text)) == 0
               ? VT_OK
               : vt_error(VT_ENOMEM, "out of memory");
}

/* Checksums of the core, or of the teachers. */
static vt_status describe_teachers(json_t **out, const vt_compress_run *run)
{
    const vt_compress_options *o = &run->options;
    json_t *list = json_array();
    vt_status status = o->core ? add_checksum(list, o->core) : VT_OK;
    for (int i = 0; i < o->teacher_count && status == VT_OK; i++)
        status = add_checksum(list, o->teachers[i]);
    if (status == VT_OK)
        *out = list;
    else
        json_decref(list);
    return status;
}

/* What a group starts from depends on who is in it. */
static json_t *describe_start(const vt_compress_run *run)
{
    const vt_compress_options *o = &run->options;
    json_t *root = json_pack("{s:i}", "passes", o->start_passes);
    if (o->start_passes == 0) return root;
    json_t *neurons = json_array();
    for (int64_t i = 0; i < o->neuron_count; i++)
        json_array_append_new(neurons, json_integer(o->neurons[i]));
    json_object_set_new(root, "group", json_integer(o->group));
    json_object_set_new(root, "neurons", neurons);
    return root;
}

static vt_status describe(json_t **out, const vt_compress_run *run)
{
    const vt_compress_options *o = &run->options;
    const vt_prune_options *p = &o->prune;
    json_t *images, *teachers;
    VT_TRY(describe_images(&images, run));
    vt_status status = describe_teachers(&teachers, run);
    if (status != VT_OK) {
        json_decref(images);
        return status;
    }
    json_t *filters = json_array();
    for (int k = 0; k < VT_COMPACT_LAYERS; k++)
        json_array_append_new(filters, json_integer(o->filters[k]));
    json_t *prune = json_pack("{s:s, s:f, s:i, s:b, s:I}", "form",
                              p->form == VT_PRUNE_RELEASED ? "released" : "corrected", "threshold",
                              p->threshold, "minimum", p->minimum, "refit", (int)p->refit, "images",
                              (json_int_t)o->prune_images);
    *out = json_pack("{s:s, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}", "session", run->info.id,
                     "filters", filters, "start", describe_start(run), "start_only",
                     (int)o->start_only, "distill", describe_distill(&o->distill), "prune", prune,
                     "retrain", describe_distill(&o->retrain), "images", images,
                     o->core ? "core" : "teachers", teachers);
    return *out ? VT_OK : vt_error(VT_ENOMEM, "out of memory");
}

/* Names the first difference of two descriptions, "distill.rate is 0.001 there, 0.0001 here". */
static vt_status explain(const char *path, const char *inside, json_t *there, json_t *here)
{
    const char *key;
    json_t *mine;
    json_object_foreach(here, key, mine)
    {
        json_t *theirs = json_object_get(there, key);
        if (json_equal(theirs, mine)) continue;
        if (json_is_object(mine) && json_is_object(theirs)) return explain(path, key, theirs, mine);
        char *a = theirs ? json_dumps(theirs, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        char *b = json_dumps(mine, JSON_ENCODE_ANY | JSON_COMPACT);
        vt_status status =
            vt_error(VT_EINVAL,
                     "%s: the folder is of another run: %s%s%s is %s there and %s here; repeat its "
                     "options or choose another folder",
                     path, inside, *inside ? "." : "", key, a ? a : "absent", b ? b : "?");
        free(a);
        free(b);
        return status;
    }
    return vt_error(VT_EFORMAT, "%s: not the description of a run", path);
}

static vt_status compare(const char *path, json_t *here)
{
    json_error_t why;
    void *text;
    size_t size;
    VT_TRY(vt_file_read(&text, &size, path));
    json_t *there = json_loadb(text, size, 0, &why);
    free(text);
    if (!there) return vt_error(VT_EFORMAT, "%s: %s", path, why.text);
    vt_status status = json_equal(there, here) ? VT_OK : explain(path, "", there, here);
    json_decref(there);
    return status;
}

static vt_status write_json(const char *path, json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2));
    if (!text) return vt_error(VT_ENOMEM, "out of memory");
    vt_status status = vt_file_write(path, text, strlen(text));
    free(text);
    return status;
}

/* Numbers compare as they are written, so both sides have been through text. */
static vt_status as_written(json_t **value)
{
    char *text = json_dumps(*value, JSON_COMPACT);
    json_decref(*value);
    *value = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return *value ? VT_OK : vt_error(VT_ENOMEM, "out of memory");
}

vt_status vt_compress_open_folder(const vt_compress_run *run)
{
    char path[VT_COMPRESS_PATH];
    json_t *here;
    VT_TRY(vt_folder_make(run->options.folder));
    for (int s = 0; s < VT_COMPRESS_STAGES; s++) {
        if (s == VT_COMPRESS_TEACHER && !run->options.core) continue;
        VT_TRY(vt_compress_join(path, run, vt_compress_stage_name((vt_compress_stage)s)));
        VT_TRY(vt_folder_make(path));
    }
    if (run->options.shared_count > 0) {
        VT_TRY(vt_compress_join(path, run, "shared"));
        VT_TRY(vt_folder_make(path));
    }
    VT_TRY(vt_compress_join(path, run, "run.json"));
    VT_TRY(describe(&here, run));
    vt_status status = as_written(&here);
    if (status == VT_OK)
        status = access(path, F_OK) == 0 ? compare(path, here) : write_json(path, here);
    json_decref(here);
    return status;
}

/* ---- processor time ---- */

vt_status vt_compress_get_seconds(double *out, const vt_compress_run *run)
{
    char path[VT_COMPRESS_PATH];
    void *text;
    size_t size;
    *out = 0;
    VT_TRY(vt_compress_join(path, run, "seconds.json"));
    if (access(path, F_OK) != 0) return VT_OK;
    VT_TRY(vt_file_read(&text, &size, path));
    json_t *root = json_loadb(text, size, 0, NULL);
    free(text);
    *out = json_number_value(json_object_get(root, "processor_seconds"));
    json_decref(root);
    return VT_OK;
}

vt_status vt_compress_add_seconds(const vt_compress_run *run, double seconds)
{
    char path[VT_COMPRESS_PATH];
    double before;
    VT_TRY(vt_compress_get_seconds(&before, run));
    VT_TRY(vt_compress_join(path, run, "seconds.json"));
    json_t *root = json_pack("{s:f}", "processor_seconds", before + seconds);
    vt_status status = root ? write_json(path, root) : vt_error(VT_ENOMEM, "out of memory");
    json_decref(root);
    return status;
}
