/* The state of a fit on disk: everything that decides how it goes on. Random numbers are a function
 * of seed, epoch and step, so the step counter is all of their state. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "neural/fit_run.h"
#include "train/weights.h"
#include "ventral/io.h"

/* What must be the same for a checkpoint to be of this run: options, data, and the responses. */
static vt_status describe(char **out, const vt_fit_run *run)
{
    char front[24] = "";
    if (run->subject.front) {
        uint64_t checksum;
        VT_TRY(vt_model_checksum(run->subject.front, &checksum));
        snprintf(front, sizeof front, "%016" PRIx64, checksum);
    }
    const vt_fit_options *o = &run->options;
    json_t *sessions = json_array(), *core = vt_model_describe(run->subject.core);
    for (int i = 0; i < o->session_count + 1; i++) {
        const vt_fit_group *g = i < o->session_count ? &run->groups[i] : &run->validation;
        const char *id = i < o->session_count ? o->sessions[i].id
                         : o->validation      ? o->validation->id
                                              : "";
        double sum = 0;
        for (int64_t k = 0; k < g->neurons * g->images; k++)
            sum += g->responses[k] * (double)(k % 1009);
        json_array_append_new(sessions, json_pack("[s, I, I, I, f]", id, (json_int_t)g->begin,
                                                  (json_int_t)g->end, (json_int_t)g->neurons, sum));
    }
    json_t *root = json_pack("{s:o, s:o, s:i, s:i, s:f, s:f, s:f, s:i, s:I}", "sessions", sessions,
                             "core", core, "epochs", o->epochs, "batch", o->batch, "rate", o->rate,
                             "decay", o->weight_decay, "blur", o->blur, "patience", o->patience,
                             "seed", (json_int_t)o->seed);
    if (run->subject.by_session) json_object_set_new(root, "training", json_string("by session"));
    if (*front) json_object_set_new(root, "front", json_string(front));
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) return vt_error(VT_ENOMEM, "the run's description could not be made");
    *out = text;
    return VT_OK;
}

static vt_status put_block(vt_tensor_map *map, const char *name, const float *data, int64_t count)
{
    vt_tensor t;
    VT_TRY(vt_tensor_map_add(map, name, VT_F32, 1, &count, &t));
    memcpy(t.data, data, vt_tensor_bytes(&t));
    return VT_OK;
}

static vt_status put_numbers(vt_tensor_map *map, const vt_fit_run *run)
{
    vt_tensor numbers, history;
    int64_t count = 4;
    VT_TRY(vt_tensor_map_add(map, "run.numbers", VT_F64, 1, &count, &numbers));
    double *v = numbers.data;
    v[0] = (double)run->step;
    v[1] = run->loss_sum;
    v[2] = run->best_epoch;
    v[3] = run->best_score;
    VT_TRY(vt_tensor_map_add(map, "run.history", VT_F64, 2, (int64_t[]){run->rounds, 2}, &history));
    for (int i = 0; i < run->rounds; i++) {
        ((double *)history.data)[2 * i] = run->history[i].loss;
        ((double *)history.data)[2 * i + 1] = run->history[i].validation;
    }
    return VT_OK;
}

static vt_status collect(const vt_fit_run *run, vt_tensor_map *map, float *weights)
{
    char *text;
    VT_TRY(describe(&text, run));
    vt_status status = vt_tensor_map_set_text(map, "run", text);
    free(text);
    VT_TRY(status);
    vt_weights_gather(run->graph, weights);
    VT_TRY(put_block(map, "run.weights", weights, run->floats));
    VT_TRY(put_block(map, "run.average", run->average, run->floats));
    VT_TRY(put_block(map, "run.best", run->best, run->floats));
    VT_TRY(put_numbers(map, run));
    return vt_optimizer_save(run->optimizer, map);
}

vt_status vt_fit_save(const vt_fit_run *run)
{
    vt_tensor_map *map;
    if (!run->options.checkpoint) return VT_OK;
    float *weights = vt_alloc((size_t)run->floats, sizeof *weights);
    if (!weights) return VT_ENOMEM;
    vt_status status = vt_tensor_map_new(&map);
    if (status == VT_OK) {
        status = collect(run, map, weights);
        if (status == VT_OK) status = vt_safetensors_write(map, run->options.checkpoint);
        vt_tensor_map_free(map);
    }
    free(weights);
    return status;
}

static const vt_tensor *get(const vt_tensor_map *map, const char *name, vt_dtype dtype,
                            int64_t count)
{
    const vt_tensor *t = vt_tensor_map_find(map, name);
    return t && t->dtype == dtype && vt_tensor_count(t) == count ? t : NULL;
}

static vt_status take(vt_fit_run *run, const vt_tensor_map *map)
{
    const char *path = run->options.checkpoint, *found = vt_tensor_map_get_text(map, "run");
    char *text;
    VT_TRY(describe(&text, run));
    bool same = found && strcmp(found, text) == 0;
    free(text);
    if (!same)
        return vt_error(VT_EINVAL,
                        "%s: the checkpoint is of a run with other options or data; repeat those, "
                        "or remove the file to start anew",
                        path);
    const vt_tensor *weights = get(map, "run.weights", VT_F32, run->floats);
    const vt_tensor *average = get(map, "run.average", VT_F32, run->floats);
    const vt_tensor *best = get(map, "run.best", VT_F32, run->floats);
    const vt_tensor *numbers = get(map, "run.numbers", VT_F64, 4);
    const vt_tensor *history = get(map, "run.history", VT_F64, 2 * (int64_t)run->rounds);
    if (!weights || !average || !best || !numbers || !history)
        return vt_error(VT_EFORMAT, "%s: the checkpoint is incomplete", path);
    const double *v = numbers->data;
    if (!(v[0] >= 0 && v[0] <= (double)run->steps && v[2] >= 0 && v[2] <= run->rounds))
        return vt_error(VT_EFORMAT, "%s: the checkpoint's counters are out of range", path);
    VT_TRY(vt_optimizer_load(run->optimizer, map, path));
    vt_weights_scatter(run->graph, weights->data);
    memcpy(run->average, average->data, vt_tensor_bytes(average));
    memcpy(run->best, best->data, vt_tensor_bytes(best));
    for (int i = 0; i < run->rounds; i++) {
        run->history[i].loss = ((const double *)history->data)[2 * i];
        run->history[i].validation = ((const double *)history->data)[2 * i + 1];
    }
    run->step = (int64_t)v[0];
    run->loss_sum = v[1];
    run->best_epoch = (int)v[2];
    run->best_score = v[3];
    run->resumed = true;
    return VT_OK;
}

vt_status vt_fit_resume(vt_fit_run *run)
{
    vt_tensor_map *map;
    if (!run->options.checkpoint || access(run->options.checkpoint, F_OK) != 0) return VT_OK;
    VT_TRY(vt_safetensors_read(&map, run->options.checkpoint));
    vt_status status = take(run, map);
    vt_tensor_map_free(map);
    return status;
}
