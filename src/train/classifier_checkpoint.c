/* The state of a run of training on disk: everything that decides how it goes on. Random numbers
 * are a function of seed, epoch and image, so the counters are all of their state. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "train/classifier_run.h"
#include "ventral/io.h"
#include "ventral/resnet.h"

enum { NUMBERS = 8, COLUMNS = sizeof(vt_train_epoch) / sizeof(double) };

static json_t *describe_transform(const vt_transform *t)
{
    return json_pack("[i,f,i,i,i,i,b,[f,f,f],[f,f,f]]", t->random_resized_crop, t->min_area,
                     t->resize_shorter, t->center_crop, t->pad_crop, t->size, (int)t->flip,
                     t->mean[0], t->mean[1], t->mean[2], t->sd[0], t->sd[1], t->sd[2]);
}

static json_t *describe_schedule(const vt_schedule *s)
{
    json_t *milestones = json_array();
    for (int i = 0; i < s->milestone_count; i++)
        json_array_append_new(milestones, json_real(s->milestones[i]));
    return json_pack("[i,f,f,f,f,f,o]", (int)s->kind, s->rate, s->factor, s->floor, s->warmup,
                     s->epochs, milestones);
}

/* FNV-1a (Fowler, Noll & Vo) of the names of all images. */
static json_t *describe_images(const vt_dataset *dataset)
{
    uint64_t hash = 0xcbf29ce484222325u;
    int64_t count = vt_dataset_count(dataset);
    for (int64_t i = 0; i < count; i++)
        for (const char *c = vt_dataset_name(dataset, i);; c++) {
            hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
            if (!*c) break;
        }
    return json_pack("[I,i,I]", (json_int_t)count, vt_dataset_classes(dataset), (json_int_t)hash);
}

/* Networks of different variants can have weights of the same names and sizes. */
static json_t *describe_network(const vt_model *model)
{
    vt_resnet_options o;
    char name[64];
    if (vt_model_resnet_options(model, &o) != VT_OK) return NULL;
    return json_pack("[s,s,f,i,f]", vt_resnet_name(&o, name, sizeof name),
                     vt_formulation_name(o.formulation), o.width, o.image, o.epsilon);
}

/* What must be the same for a checkpoint to be of this run. */
static char *describe(const vt_train_run *run)
{
    const vt_train_options *o = &run->options;
    json_t *root = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:o, s:f, s:f, s:i, s:f, s:b, s:b, s:I}", "network",
        describe_network(run->model), "images", describe_images(o->train), "validation",
        describe_images(o->validation), "transform", describe_transform(&o->train_transform),
        "validation_transform", describe_transform(&o->validation_transform), "epochs", o->epochs,
        "batch", o->batch, "schedule", describe_schedule(&o->schedule), "momentum", o->momentum,
        "decay", o->weight_decay, "replays", o->replays, "epsilon", o->free_epsilon, "frozen",
        (int)o->frozen_body, "bf16", (int)o->bf16, "seed", (json_int_t)o->seed);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) vt_error(VT_ENOMEM, "the run's description could not be made");
    return text;
}

static vt_status put_state(const vt_train_run *run, vt_tensor_map *map)
{
    vt_tensor numbers, history, delta;
    VT_TRY(vt_tensor_map_add(map, "run.numbers", VT_F64, 1, (int64_t[]){NUMBERS}, &numbers));
    const vt_tally *t = &run->tally;
    double values[NUMBERS] = {
        (double)run->epoch, (double)run->batch,   t->loss,        t->top1, t->top5,
        t->images,          (double)run->skipped, run->best_epoch};
    memcpy(numbers.data, values, sizeof values);
    VT_TRY(vt_tensor_map_add(map, "run.history", VT_F64, 2,
                             (int64_t[]){run->options.epochs, COLUMNS}, &history));
    memcpy(history.data, run->history, vt_tensor_bytes(&history));
    if (run->delta) {
        VT_TRY(vt_tensor_map_add(map, "run.delta", VT_F32, 1, &run->delta_floats, &delta));
        memcpy(delta.data, run->delta, vt_tensor_bytes(&delta));
    }
    return VT_OK;
}

/* Parameters as they lie in memory: "model.NAME". */
static vt_status put_model(const vt_train_run *run, vt_tensor_map *map)
{
    for (int i = 0; i < vt_graph_param_count(run->graph); i++) {
        const vt_param *param = vt_graph_param(run->graph, i);
        char name[VT_NAME_SIZE];
        snprintf(name, sizeof name, "model.%s", param->name);
        VT_TRY(vt_tensor_map_add_copy(map, name, &param->value));
    }
    return VT_OK;
}

static vt_status collect(const vt_train_run *run, vt_tensor_map *map)
{
    char *text = describe(run);
    if (!text) return VT_ENOMEM;
    vt_status status = vt_tensor_map_set_text(map, "run", text);
    free(text);
    VT_TRY(status);
    VT_TRY(put_model(run, map));
    VT_TRY(put_state(run, map));
    return vt_optimizer_save(run->optimizer, map);
}

vt_status vt_train_save(const vt_train_run *run)
{
    vt_tensor_map *map;
    char path[1024];
    VT_TRY(vt_tensor_map_new(&map));
    vt_status status = collect(run, map);
    if (status == VT_OK)
        status = vt_safetensors_write(
            map, vt_train_path(run, "checkpoint.safetensors", path, sizeof path));
    vt_tensor_map_free(map);
    return status;
}

static const vt_tensor *get(const vt_tensor_map *map, const char *name, vt_dtype dtype,
                            int64_t count)
{
    const vt_tensor *t = vt_tensor_map_find(map, name);
    return t && t->dtype == dtype && vt_tensor_count(t) == count ? t : NULL;
}

static vt_status take_model(vt_train_run *run, const vt_tensor_map *map, const char *path)
{
    for (int i = 0; i < vt_graph_param_count(run->graph); i++) {
        vt_param *param = vt_graph_param(run->graph, i);
        char name[VT_NAME_SIZE];
        snprintf(name, sizeof name, "model.%s", param->name);
        const vt_tensor *t = get(map, name, VT_F32, vt_tensor_count(&param->value));
        if (!t)
            return vt_error(VT_EINVAL,
                            "%s: the checkpoint is of another network: it has no %s of this size",
                            path, param->name);
        memcpy(param->value.data, t->data, vt_tensor_bytes(t));
    }
    vt_graph_touch(run->graph);
    return VT_OK;
}

static vt_status take_state(vt_train_run *run, const vt_tensor_map *map, const char *path)
{
    const vt_train_options *o = &run->options;
    const vt_tensor *numbers = get(map, "run.numbers", VT_F64, NUMBERS);
    const vt_tensor *history = get(map, "run.history", VT_F64, (int64_t)o->epochs * COLUMNS);
    const vt_tensor *delta = get(map, "run.delta", VT_F32, run->delta_floats);
    if (!numbers || !history || (run->delta && !delta))
        return vt_error(VT_EFORMAT, "%s: the checkpoint is incomplete", path);
    const double *v = numbers->data;
    if (!(v[0] >= 0 && v[0] <= o->epochs && v[1] >= 0 && v[1] <= (double)run->batches &&
          v[6] >= 0 && v[6] < 0x1p53 && v[7] >= (v[0] > 0) && v[7] <= v[0]))
        return vt_error(VT_EFORMAT, "%s: the checkpoint's counters are out of range", path);
    run->epoch = (int64_t)v[0];
    run->batch = (int64_t)v[1];
    run->tally = (vt_tally){v[2], v[3], v[4], v[5]};
    run->skipped = (int64_t)v[6];
    run->best_epoch = (int)v[7];
    memcpy(run->history, history->data, vt_tensor_bytes(history));
    if (run->delta) memcpy(run->delta, delta->data, vt_tensor_bytes(delta));
    return VT_OK;
}

static vt_status take(vt_train_run *run, const vt_tensor_map *map, const char *path)
{
    const char *found = vt_tensor_map_get_text(map, "run");
    char *text = describe(run);
    if (!text) return VT_ENOMEM;
    bool same = found && strcmp(found, text) == 0;
    free(text);
    if (!same)
        return vt_error(
            VT_EINVAL,
            "%s: the checkpoint is of a run of another network, other options or images; repeat "
            "those, or choose another folder",
            path);
    VT_TRY(take_model(run, map, path));
    VT_TRY(take_state(run, map, path));
    VT_TRY(vt_optimizer_load(run->optimizer, map, path));
    run->resumed = true;
    return VT_OK;
}

vt_status vt_train_resume(vt_train_run *run)
{
    vt_tensor_map *map;
    char path[1024];
    vt_train_path(run, "checkpoint.safetensors", path, sizeof path);
    if (access(path, F_OK) != 0) return VT_OK;
    VT_TRY(vt_safetensors_read(&map, path));
    vt_status status = take(run, map, path);
    vt_tensor_map_free(map);
    return status;
}
