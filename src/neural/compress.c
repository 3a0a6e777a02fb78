/* The whole chain for a population of neurons: distil, prune, retrain, score (see
 * ventral/compress.h). A stage's models are written when all of its group are trained; until then
 * the state is in the group's checkpoint. */
#include "ventral/compress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "neural/compress_run.h"
#include "ventral/rng.h"
#include "ventral/weights.h"

const char *vt_compress_stage_name(vt_compress_stage stage)
{
    static const char *const names[] = {"teacher", "student", "pruned", "compact"};
    return stage >= 0 && stage < VT_COMPRESS_STAGES ? names[stage] : "?";
}

/* ---- progress ---- */

static bool report_stage(void *context, int64_t done, int64_t total, const char *line)
{
    const vt_compress_progress *p = context;
    char text[320];
    snprintf(text, sizeof text, "%s%s%s", p->label, line ? ": " : "", line ? line : "");
    return vt_progress_report(p->outer, done, total, text) == VT_OK;
}

const vt_progress *vt_compress_begin(vt_compress_progress *p, const vt_compress_run *run,
                                     const char *format, ...)
{
    va_list arguments;
    p->outer = run->options.progress;
    p->progress = (vt_progress){report_stage, p};
    va_start(arguments, format);
    vsnprintf(p->label, sizeof p->label, format, arguments);
    va_end(arguments);
    return &p->progress;
}

/* ---- a group of neurons ---- */

typedef struct group {
    const int64_t *neurons; /* of the session */
    int count;
    int64_t *taught; /* of the teacher */
    vt_model **models;
} group;

static vt_status group_init(group *g, const vt_compress_run *run, int64_t first)
{
    int64_t left = run->count - first;
    *g = (group){.neurons = run->neurons + first,
                 .count = (int)(left < run->options.group ? left : run->options.group)};
    g->taught = vt_alloc((size_t)g->count, sizeof *g->taught);
    g->models = vt_alloc((size_t)g->count, sizeof *g->models);
    if (!g->taught || !g->models) return VT_ENOMEM;
    for (int i = 0; i < g->count; i++)
        g->taught[i] = vt_teacher_find(run->teacher, run->info.id, g->neurons[i]);
    return VT_OK;
}

static void group_empty(group *g)
{
    for (int i = 0; g->models && i < g->count; i++) {
        vt_model_free(g->models[i]);
        g->models[i] = NULL;
    }
}

static void group_destroy(group *g)
{
    group_empty(g);
    free(g->taught);
    free(g->models);
}

static vt_status is_made(bool *out, const vt_compress_run *run, vt_compress_stage stage,
                         const group *g)
{
    char path[VT_COMPRESS_PATH];
    *out = true;
    for (int i = 0; i < g->count; i++) {
        VT_TRY(vt_compress_path(path, run, stage, g->neurons[i], "safetensors"));
        *out = *out && access(path, F_OK) == 0;
    }
    return VT_OK;
}

static vt_status read_group(group *g, const vt_compress_run *run, vt_compress_stage stage)
{
    char path[VT_COMPRESS_PATH];
    group_empty(g);
    for (int i = 0; i < g->count; i++) {
        VT_TRY(vt_compress_path(path, run, stage, g->neurons[i], "safetensors"));
        VT_TRY(vt_model_read(&g->models[i], path));
    }
    return VT_OK;
}

static vt_status write_model(const vt_compress_run *run, vt_compress_stage stage, int64_t neuron,
                             const vt_model *model)
{
    char path[VT_COMPRESS_PATH];
    VT_TRY(vt_compress_path(path, run, stage, neuron, "safetensors"));
    return vt_model_write(model, path);
}

/* ---- stages ---- */

static const vt_progress *begin(vt_compress_progress *p, const vt_compress_run *run,
                                const char *what, const group *g)
{
    long long first = g->neurons[0], last = g->neurons[g->count - 1];
    return first == last ? vt_compress_begin(p, run, "%s neuron %lld", what, first)
                         : vt_compress_begin(p, run, "%s neurons %lld to %lld", what, first, last);
}

/* Trains the shared model that the group's students start from, or reads it. */
static vt_status get_start(vt_model **out, const group *g, const vt_compress_run *run)
{
    char path[VT_COMPRESS_PATH], checkpoint[VT_COMPRESS_PATH];
    vt_compress_progress progress;
    const vt_compress_options *o = &run->options;
    VT_TRY(vt_compress_path(path, run, VT_COMPRESS_STUDENT, g->neurons[0], "start"));
    if (access(path, F_OK) == 0) return vt_model_read(out, path);
    VT_TRY(
        vt_compress_path(checkpoint, run, VT_COMPRESS_STUDENT, g->neurons[0], "start.checkpoint"));
    vt_distill_start_options options = {.held_out = o->distill.held_out,
                                        .passes = o->start_passes,
                                        .seed = o->distill.seed,
                                        .checkpoint = checkpoint,
                                        .progress = begin(&progress, run, "starting", g)};
    memcpy(options.filters, o->filters, sizeof options.filters);
    clock_t began = clock();
    VT_TRY(vt_distill_start(out, g->taught, g->count, run->teacher, run->stream, &options));
    VT_TRY(vt_model_write(*out, path));
    VT_TRY(vt_compress_add_seconds(run, (double)(clock() - began) / CLOCKS_PER_SEC));
    unlink(checkpoint);
    return VT_OK;
}

static vt_status name_student(vt_model *student, const vt_compress_run *run, int64_t neuron)
{
    vt_model_session own = {.count = 1, .first_neuron = neuron};
    snprintf(own.id, sizeof own.id, "%s", run->info.id);
    return vt_model_add_session(student, &own);
}

static vt_status split_start(group *g, const vt_compress_run *run)
{
    vt_model *start = NULL;
    vt_status status = get_start(&start, g, run);
    for (int i = 0; i < g->count && status == VT_OK; i++) {
        status = vt_compact_split(&g->models[i], start, i);
        if (status == VT_OK) status = name_student(g->models[i], run, g->neurons[i]);
    }
    vt_model_free(start);
    return status;
}

static vt_status new_students(group *g, const vt_compress_run *run)
{
    for (int i = 0; i < g->count; i++) {
        vt_compact_options shape = {.outputs = 1,
                                    .seed = run->options.distill.seed + (uint64_t)g->neurons[i]};
        vt_image_stream_size(run->stream, &shape.height, &shape.width);
        memcpy(shape.filters, run->options.filters, sizeof shape.filters);
        VT_TRY(vt_compact_new(&g->models[i], &shape));
        VT_TRY(name_student(g->models[i], run, g->neurons[i]));
    }
    return VT_OK;
}

static vt_status write_group(const group *g, const vt_compress_run *run, vt_compress_stage stage)
{
    for (int i = 0; i < g->count; i++)
        VT_TRY(write_model(run, stage, g->neurons[i], g->models[i]));
    return VT_OK;
}

/* Trains the group's models and writes them as `stage`. */
static vt_status train(group *g, const vt_compress_run *run, vt_compress_stage stage,
                       const vt_distill_options *given)
{
    char checkpoint[VT_COMPRESS_PATH];
    vt_compress_progress progress;
    vt_distill_report report;
    VT_TRY(vt_compress_path(checkpoint, run, stage, g->neurons[0], "checkpoint"));
    vt_distill_options options = *given;
    options.checkpoint = checkpoint;
    options.progress =
        begin(&progress, run, stage == VT_COMPRESS_STUDENT ? "distilling" : "retraining", g);
    vt_distill_student *students = vt_alloc((size_t)g->count, sizeof *students);
    if (!students) return VT_ENOMEM;
    for (int i = 0; i < g->count; i++)
        students[i] = (vt_distill_student){g->models[i], &g->taught[i]};
    vt_status status = vt_distill(students, g->count, run->teacher, run->stream, &options, &report);
    free(students);
    VT_TRY(status);
    double seconds = report.processor_seconds;
    vt_distill_report_free(&report);
    VT_TRY(write_group(g, run, stage));
    VT_TRY(vt_compress_add_seconds(run, seconds));
    unlink(checkpoint);
    return VT_OK;
}

/* Some images of the stream, the same for every neuron, in ascending order. */
static vt_status choose_images(int64_t **out, int64_t *out_count, const vt_compress_run *run)
{
    int64_t total = vt_image_stream_count(run->stream), wanted = run->options.prune_images;
    int64_t *all = vt_alloc((size_t)total, sizeof *all), count = 0;
    vt_rng rng;
    if (!all) return VT_ENOMEM;
    if (wanted > total) wanted = total;
    vt_rng_init(&rng, run->options.distill.seed, VT_RNG_SPLIT, 1, 0);
    for (int64_t i = 0; i < total; i++)
        if (vt_rng_uniform(&rng) * (double)(total - i) < (double)(wanted - count)) all[count++] = i;
    *out = all;
    *out_count = count;
    return VT_OK;
}

static vt_status prune_one(const group *g, int i, const vt_compress_run *run,
                           const int64_t *indices, int64_t count, const float *responses)
{
    vt_compress_progress progress;
    vt_prune_options options = run->options.prune;
    vt_prune_report report;
    vt_model *pruned;
    int64_t neurons = vt_teacher_count(run->teacher);
    float *target = vt_alloc((size_t)count, sizeof *target);
    if (!target) return VT_ENOMEM;
    for (int64_t k = 0; k < count; k++)
        target[k] = responses[k * neurons + g->taught[i]];
    options.progress =
        vt_compress_begin(&progress, run, "pruning neuron %lld", (long long)g->neurons[i]);
    vt_status status =
        vt_prune(&pruned, &report, g->models[i], run->stream, indices, count, target, &options);
    free(target);
    VT_TRY(status);
    status = write_model(run, VT_COMPRESS_PRUNED, g->neurons[i], pruned);
    vt_model_free(pruned);
    return status;
}

static vt_status prune(group *g, const vt_compress_run *run)
{
    int64_t *indices, count;
    clock_t started = clock();
    VT_TRY(choose_images(&indices, &count, run));
    float *responses =
        vt_alloc((size_t)(count * vt_teacher_count(run->teacher)), sizeof *responses);
    vt_status status = responses ? VT_OK : VT_ENOMEM;
    if (status == VT_OK)
        status = vt_teacher_responses(run->teacher, run->stream, indices, count, responses,
                                      run->options.progress);
    for (int i = 0; i < g->count && status == VT_OK; i++)
        status = prune_one(g, i, run, indices, count, responses);
    free(responses);
    free(indices);
    if (status == VT_OK)
        status = vt_compress_add_seconds(run, (double)(clock() - started) / CLOCKS_PER_SEC);
    return status;
}

/* Beside every compact model, the same for Keras. */
static vt_status write_keras(const group *g, const vt_compress_run *run)
{
    char path[VT_COMPRESS_PATH];
    for (int i = 0; i < g->count; i++) {
        VT_TRY(vt_compress_path(path, run, VT_COMPRESS_COMPACT, g->neurons[i], "h5"));
        if (access(path, F_OK) != 0) VT_TRY(vt_model_write_keras(g->models[i], path));
    }
    return VT_OK;
}

static vt_status make_group(group *g, const vt_compress_run *run)
{
    bool made;
    VT_TRY(is_made(&made, run, VT_COMPRESS_STUDENT, g));
    if (!made) {
        VT_TRY(run->options.start_passes > 0 ? split_start(g, run) : new_students(g, run));
        VT_TRY(run->options.start_only ? write_group(g, run, VT_COMPRESS_STUDENT)
                                       : train(g, run, VT_COMPRESS_STUDENT, &run->options.distill));
    }
    VT_TRY(is_made(&made, run, VT_COMPRESS_PRUNED, g));
    if (!made) {
        VT_TRY(read_group(g, run, VT_COMPRESS_STUDENT));
        VT_TRY(prune(g, run));
    }
    VT_TRY(is_made(&made, run, VT_COMPRESS_COMPACT, g));
    VT_TRY(read_group(g, run, made ? VT_COMPRESS_COMPACT : VT_COMPRESS_PRUNED));
    if (!made) VT_TRY(train(g, run, VT_COMPRESS_COMPACT, &run->options.retrain));
    return write_keras(g, run);
}

/* ---- the run ---- */

static vt_status resolve(vt_compress_run *run, const vt_compress_options *given)
{
    vt_compress_options *o = &run->options;
    bool no_filters = true;
    *o = *given;
    if (o->group == 0) o->group = 10;
    if (o->prune_images == 0) o->prune_images = 5000;
    if (o->prune.threshold == 0) o->prune.threshold = 0.9;
    if (o->prune.minimum == 0) o->prune.minimum = 3;
    for (int i = 0; i < VT_COMPACT_LAYERS; i++)
        no_filters = no_filters && o->filters[i] == 0;
    for (int i = 0; i < VT_COMPACT_LAYERS && no_filters; i++)
        o->filters[i] = 100;
    if (o->start_passes < 0 || (o->start_only && o->start_passes == 0))
        return vt_error(VT_EINVAL, "compress: without distilling, students must start from a "
                                   "shared model trained in at least one pass");
    if (o->group < 1 || o->prune_images < 2)
        return vt_error(VT_EINVAL,
                        "compress: groups of %d neurons and pruning on %lld images are "
                        "not possible",
                        o->group, (long long)o->prune_images);
    return VT_OK;
}

/* The neurons asked for, each of which a teacher must predict; or all that are predicted. */
static vt_status choose_neurons(vt_compress_run *run)
{
    const vt_compress_options *o = &run->options;
    int64_t most = o->neurons ? o->neuron_count : run->info.neurons;
    run->neurons = vt_alloc((size_t)most, sizeof *run->neurons);
    if (!run->neurons) return VT_ENOMEM;
    for (int64_t i = 0; i < most; i++) {
        int64_t neuron = o->neurons ? o->neurons[i] : i;
        if (vt_teacher_find(run->teacher, run->info.id, neuron) >= 0)
            run->neurons[run->count++] = neuron;
        else if (o->neurons)
            return vt_error(VT_ENOTFOUND, "no teacher predicts neuron %lld of session %s",
                            (long long)neuron, run->info.id);
    }
    if (run->count == 0)
        return vt_error(VT_ENOTFOUND, "no teacher predicts a neuron of session %s", run->info.id);
    return VT_OK;
}

/* The core with a readout of the session's first half, as it was made before or made now. */
static vt_status map_core(vt_compress_run *run)
{
    char path[VT_COMPRESS_PATH], name[96];
    vt_compress_progress progress;
    vt_fit_session half = {.begin = 0};
    snprintf(name, sizeof name, "teacher/%s.safetensors", run->info.id);
    VT_TRY(vt_compress_join(path, run, name));
    if (access(path, F_OK) == 0) return vt_model_read(&run->mapped, path);
    snprintf(half.id, sizeof half.id, "%s", run->info.id);
    VT_TRY(vt_range_parse(&half.begin, &half.end, "first", run->info.images));
    vt_readout_options readout = vt_readout_options_default(VT_READOUT_FACTORIZED);
    readout.factorized.seed = run->options.distill.seed;
    VT_TRY(vt_fit_readout(&run->mapped, run->options.core, run->session, &half, &readout,
                          vt_compress_begin(&progress, run, "mapping the core")));
    return vt_model_write(run->mapped, path);
}

static vt_status prepare(vt_compress_run *run, const vt_compress_options *options)
{
    char cache[VT_COMPRESS_PATH];
    VT_TRY(resolve(run, options));
    VT_TRY(vt_compress_open_folder(run));
    if (run->options.core) VT_TRY(map_core(run));
    run->teachers = run->options.core ? &run->mapped : run->options.teachers;
    run->teacher_count = run->options.core ? 1 : run->options.teacher_count;
    VT_TRY(vt_compress_join(cache, run, "responses.cache"));
    vt_teacher_options how = {.cache = cache};
    VT_TRY(vt_teacher_new(&run->teacher, run->teachers, run->teacher_count, &how));
    return choose_neurons(run);
}

vt_status vt_compress(vt_compress_report *report, vt_session *session, vt_image_stream *stream,
                      const vt_compress_options *options)
{
    vt_compress_run run = {.session = session, .stream = stream};
    vt_compress_report made = {.count = 0};
    vt_session_get_info(session, &run.info);
    vt_status status = prepare(&run, options);
    for (int64_t first = 0; first < run.count && status == VT_OK; first += run.options.group) {
        group g;
        status = group_init(&g, &run, first);
        if (status == VT_OK) status = make_group(&g, &run);
        group_destroy(&g);
    }
    if (status == VT_OK) status = vt_compress_score(&made, &run);
    if (status == VT_OK) status = vt_compress_make_shared(&made, &run);
    if (status == VT_OK) status = vt_compress_get_seconds(&made.processor_seconds, &run);
    vt_teacher_free(run.teacher);
    vt_model_free(run.mapped);
    free(run.neurons);
    if (status != VT_OK) {
        vt_compress_report_free(&made);
        return status;
    }
    *report = made;
    return VT_OK;
}

void vt_compress_report_free(vt_compress_report *report)
{
    free(report->neurons);
    free(report->shared);
    report->neurons = NULL;
    report->shared = NULL;
}
