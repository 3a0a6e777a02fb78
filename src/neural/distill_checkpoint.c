/* The state of a distillation on disk: everything that decides how it goes on. Random numbers are a
 * function of seed and pass, so the step is all of their state. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "neural/distill_run.h"
#include "train/weights.h"
#include "ventral/io.h"

enum { NUMBERS = 3 };

double vt_distill_seconds(const vt_distill_run *run)
{
    return run->before + (double)clock() / CLOCKS_PER_SEC - run->clock;
}

/* ---- what must be the same for a checkpoint to be of this run ---- */

static json_t *describe_options(const vt_distill_run *run)
{
    const vt_distill_options *o = &run->options;
    return json_pack("{s:I, s:i, s:I, s:i, s:f, s:f, s:b, s:f, s:f, s:b, s:I}", "held_out",
                     (json_int_t)run->held_out, "passes", o->passes, "stretch",
                     (json_int_t)run->stretch, "batch", o->batch, "rate", o->rate, "readout_rate",
                     o->readout_rate, "cosine", (int)o->cosine, "blur", o->blur, "clip",
                     o->clip_value, "bf16", (int)o->bf16, "seed", (json_int_t)o->seed);
}

static json_t *describe_images(const vt_distill_run *run)
{
    int height, width;
    vt_image_stream_size(run->stream, &height, &width);
    return json_pack("[I,i,i,I]", (json_int_t)(run->trained + run->held_out), height, width,
                     (json_int_t)run->names);
}

/* Shapes are in the sums of the weights as they came: another shape has other weights. */
static json_t *describe_students(const vt_distill_run *run)
{
    json_t *list = json_array();
    for (int i = 0; i < run->count; i++) {
        const vt_distill_pupil *p = &run->pupils[i];
        uint64_t sum = vt_hash64(p->given, (size_t)p->floats * sizeof *p->given, 0);
        json_array_append_new(list, json_pack("[I,I,I]", (json_int_t)p->outputs,
                                              (json_int_t)p->floats, (json_int_t)sum));
    }
    return list;
}

static json_t *describe_teacher(const vt_distill_run *run)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < run->neurons; i++) {
        const vt_teacher_neuron *n = vt_teacher_neuron_at(run->teacher, run->teacher_neuron[i]);
        json_array_append_new(list, json_pack("[s,I]", n->session, (json_int_t)n->neuron));
    }
    return list;
}

static const struct part {
    const char *key, *name;
    json_t *(*describe)(const vt_distill_run *run);
} parts[] = {
    {"run.options", "options", describe_options},
    {"run.images", "images", describe_images},
    {"run.students", "students", describe_students},
    {"run.teacher", "teacher", describe_teacher},
};
enum { PARTS = sizeof parts / sizeof *parts };

static char *text_of(const struct part *part, const vt_distill_run *run)
{
    json_t *root = part->describe(run);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) vt_error(VT_ENOMEM, "the run's description could not be made");
    return text;
}

/* ---- saving ---- */

static vt_status put(vt_tensor_map *map, const char *name, vt_dtype dtype, const void *data,
                     int64_t count)
{
    vt_tensor t;
    VT_TRY(vt_tensor_map_add(map, name, dtype, 1, &count, &t));
    memcpy(t.data, data, vt_tensor_bytes(&t));
    return VT_OK;
}

static vt_status put_state(const vt_distill_run *run, vt_tensor_map *map)
{
    double numbers[NUMBERS] = {(double)run->step, run->measured, vt_distill_seconds(run)};
    int64_t course = run->stretches * run->neurons;
    VT_TRY(put(map, "run.numbers", VT_F64, numbers, NUMBERS));
    VT_TRY(put(map, "run.sums", VT_F64, run->sums, run->neurons));
    VT_TRY(put(map, "run.loss", VT_F64, run->loss, course));
    VT_TRY(put(map, "run.r", VT_F64, run->r, course));
    VT_TRY(put(map, "run.mean", VT_F64, run->mean, run->neurons));
    return put(map, "run.sd", VT_F64, run->sd, run->neurons);
}

/* The optimiser's tensors of one dtype as one, `block`, in their order, or back into them. */
static void copy_tensors(const vt_tensor_map *optimizer, vt_dtype dtype, char *block, bool back)
{
    for (int i = 0; i < vt_tensor_map_count(optimizer); i++) {
        const vt_tensor *t = vt_tensor_map_at(optimizer, i);
        size_t bytes = vt_tensor_bytes(t);
        if (t->dtype != dtype) continue;
        memcpy(back ? t->data : block, back ? block : t->data, bytes);
        block += bytes;
    }
}

static int64_t count_of(const vt_tensor_map *optimizer, vt_dtype dtype)
{
    int64_t count = 0;
    for (int i = 0; i < vt_tensor_map_count(optimizer); i++) {
        const vt_tensor *t = vt_tensor_map_at(optimizer, i);
        if (t->dtype == dtype) count += vt_tensor_count(t);
    }
    return count;
}

/* Two hundred students have thousands of tensors; each one's become three. */
static void name_of(char name[VT_NAME_SIZE], int student, const char *what)
{
    snprintf(name, VT_NAME_SIZE, "student%d.%s", student, what);
}

static vt_status put_student(const vt_distill_run *run, int i, vt_tensor_map *map,
                             const vt_tensor_map *optimizer)
{
    const vt_distill_pupil *p = &run->pupils[i];
    char name[VT_NAME_SIZE];
    vt_tensor weights, moments, steps;
    int64_t floats = count_of(optimizer, VT_F32), integers = count_of(optimizer, VT_I64);
    name_of(name, i, "weights");
    VT_TRY(vt_tensor_map_add(map, name, VT_F32, 1, &p->floats, &weights));
    vt_weights_gather(p->graph, weights.data);
    name_of(name, i, "moments");
    VT_TRY(vt_tensor_map_add(map, name, VT_F32, 1, &floats, &moments));
    copy_tensors(optimizer, VT_F32, moments.data, false);
    name_of(name, i, "steps");
    VT_TRY(vt_tensor_map_add(map, name, VT_I64, 1, &integers, &steps));
    copy_tensors(optimizer, VT_I64, steps.data, false);
    return VT_OK;
}

static vt_status collect(const vt_distill_run *run, vt_tensor_map *map)
{
    for (int k = 0; k < PARTS; k++) {
        char *text = text_of(&parts[k], run);
        if (!text) return VT_ENOMEM;
        vt_status status = vt_tensor_map_set_text(map, parts[k].key, text);
        free(text);
        VT_TRY(status);
    }
    VT_TRY(put_state(run, map));
    for (int i = 0; i < run->count; i++) {
        vt_tensor_map *optimizer;
        VT_TRY(vt_tensor_map_new(&optimizer));
        vt_status status = vt_optimizer_save(run->pupils[i].optimizer, optimizer);
        if (status == VT_OK) status = put_student(run, i, map, optimizer);
        vt_tensor_map_free(optimizer);
        VT_TRY(status);
    }
    return VT_OK;
}

vt_status vt_distill_save(const vt_distill_run *run)
{
    vt_tensor_map *map;
    if (!run->options.checkpoint) return VT_OK;
    VT_TRY(vt_tensor_map_new(&map));
    vt_status status = collect(run, map);
    if (status == VT_OK) status = vt_safetensors_write(map, run->options.checkpoint);
    vt_tensor_map_free(map);
    return status;
}

/* ---- resuming ---- */

static vt_status check_description(const vt_distill_run *run, const vt_tensor_map *map)
{
    for (int k = 0; k < PARTS; k++) {
        const char *found = vt_tensor_map_get_text(map, parts[k].key);
        char *text = text_of(&parts[k], run);
        if (!text) return VT_ENOMEM;
        bool same = found && strcmp(found, text) == 0;
        free(text);
        if (!same)
            return vt_error(VT_EINVAL,
                            "%s: the checkpoint is of a distillation with other %s; repeat those, "
                            "or remove the file to start anew",
                            run->options.checkpoint, parts[k].name);
    }
    return VT_OK;
}

static const void *get(const vt_tensor_map *map, const char *name, vt_dtype dtype, int64_t count)
{
    const vt_tensor *t = vt_tensor_map_find(map, name);
    return t && t->dtype == dtype && vt_tensor_count(t) == count ? t->data : NULL;
}

static vt_status incomplete(const vt_distill_run *run)
{
    return vt_error(VT_EFORMAT, "%s: the checkpoint is incomplete", run->options.checkpoint);
}

/* Another teacher, or the same one changed, has other responses; other numbers of threads may round
 * them otherwise. */
static vt_status check_teacher(const vt_distill_run *run, const double *mean, const double *sd)
{
    for (int64_t i = 0; i < run->neurons; i++)
        if (!(fabs(mean[i] - run->mean[i]) <= 1e-3 * run->sd[i] &&
              fabs(sd[i] - run->sd[i]) <= 1e-3 * run->sd[i]))
            return vt_error(
                VT_EINVAL,
                "%s: the checkpoint is of a distillation with another teacher: its "
                "responses to these images were of mean %g and s.d. %g, now they are of "
                "%g and %g",
                run->options.checkpoint, mean[i], sd[i], run->mean[i], run->sd[i]);
    return VT_OK;
}

static vt_status take_state(vt_distill_run *run, const vt_tensor_map *map)
{
    int64_t course = run->stretches * run->neurons;
    size_t bytes = (size_t)run->neurons * sizeof(double);
    const double *v = get(map, "run.numbers", VT_F64, NUMBERS);
    const double *sums = get(map, "run.sums", VT_F64, run->neurons);
    const double *loss = get(map, "run.loss", VT_F64, course);
    const double *r = get(map, "run.r", VT_F64, course);
    const double *mean = get(map, "run.mean", VT_F64, run->neurons);
    const double *sd = get(map, "run.sd", VT_F64, run->neurons);
    if (!v || !sums || !loss || !r || !mean || !sd) return incomplete(run);
    VT_TRY(check_teacher(run, mean, sd));
    if (!(v[0] >= 0 && v[0] <= (double)run->steps && v[2] >= 0) ||
        !(v[1] == vt_distill_due(run, (int64_t)v[0]) ||
          v[1] == vt_distill_due(run, (int64_t)v[0] - 1)))
        return vt_error(VT_EFORMAT, "%s: the checkpoint's counters are out of range",
                        run->options.checkpoint);
    run->step = (int64_t)v[0];
    run->measured = (int)v[1];
    run->before = v[2];
    memcpy(run->sums, sums, bytes);
    memcpy(run->mean, mean, bytes);
    memcpy(run->sd, sd, bytes);
    memcpy(run->loss, loss, (size_t)run->stretches * bytes);
    memcpy(run->r, r, (size_t)run->stretches * bytes);
    return VT_OK;
}

/* `optimizer` is what the optimiser saves now: its names and sizes are those that it loads. */
static vt_status take_student(vt_distill_run *run, int i, const vt_tensor_map *map,
                              vt_tensor_map *optimizer)
{
    vt_distill_pupil *p = &run->pupils[i];
    char name[VT_NAME_SIZE];
    name_of(name, i, "weights");
    const float *weights = get(map, name, VT_F32, p->floats);
    name_of(name, i, "moments");
    const void *moments = get(map, name, VT_F32, count_of(optimizer, VT_F32));
    name_of(name, i, "steps");
    const void *steps = get(map, name, VT_I64, count_of(optimizer, VT_I64));
    if (!weights || !moments || !steps) return incomplete(run);
    copy_tensors(optimizer, VT_F32, (char *)moments, true);
    copy_tensors(optimizer, VT_I64, (char *)steps, true);
    VT_TRY(vt_optimizer_load(p->optimizer, optimizer, run->options.checkpoint));
    vt_weights_scatter(p->graph, weights);
    return VT_OK;
}

static vt_status take(vt_distill_run *run, const vt_tensor_map *map)
{
    VT_TRY(check_description(run, map));
    VT_TRY(take_state(run, map));
    for (int i = 0; i < run->count; i++) {
        vt_tensor_map *optimizer;
        VT_TRY(vt_tensor_map_new(&optimizer));
        vt_status status = vt_optimizer_save(run->pupils[i].optimizer, optimizer);
        if (status == VT_OK) status = take_student(run, i, map, optimizer);
        vt_tensor_map_free(optimizer);
        VT_TRY(status);
    }
    run->resumed = true;
    return VT_OK;
}

vt_status vt_distill_resume(vt_distill_run *run)
{
    vt_tensor_map *map;
    if (!run->options.checkpoint || access(run->options.checkpoint, F_OK) != 0) return VT_OK;
    VT_TRY(vt_safetensors_read(&map, run->options.checkpoint));
    vt_status status = take(run, map);
    vt_tensor_map_free(map);
    return status;
}
