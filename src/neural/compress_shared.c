/* Shared models of a population by their number of filters: how few does it need? */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "neural/compress_run.h"

enum { LATE_FILTERS = 100 }; /* of layers 3 and 4, as in the paper */

/* The teacher's neurons, as the run's are in order. */
static vt_status list_taught(int64_t **out, const vt_compress_run *run)
{
    int64_t *taught = vt_alloc((size_t)run->count, sizeof *taught);
    if (!taught) return VT_ENOMEM;
    for (int64_t i = 0; i < run->count; i++)
        taught[i] = vt_teacher_find(run->teacher, run->info.id, run->neurons[i]);
    *out = taught;
    return VT_OK;
}

static vt_status distil(vt_model **out, const vt_compress_run *run, const int64_t *taught,
                        const int filters[VT_COMPACT_LAYERS], const char *checkpoint,
                        const vt_progress *progress)
{
    vt_distill_options options = run->options.distill;
    vt_compact_options shape = {.outputs = (int)run->count, .shared = true, .seed = options.seed};
    vt_model *model;
    options.checkpoint = checkpoint;
    options.progress = progress;
    for (int k = 0; k < VT_COMPACT_LAYERS; k++)
        shape.filters[k] = filters[k];
    vt_image_stream_size(run->stream, &shape.height, &shape.width);
    VT_TRY(vt_compact_new(&model, &shape));
    vt_status status = vt_distill(&(vt_distill_student){model, taught}, 1, run->teacher,
                                  run->stream, &options, NULL);
    if (status == VT_OK)
        *out = model;
    else
        vt_model_free(model);
    return status;
}

static vt_status start(vt_model **out, const vt_compress_run *run, const int64_t *taught,
                       const int filters[VT_COMPACT_LAYERS], const char *checkpoint,
                       const vt_progress *progress)
{
    const vt_compress_options *o = &run->options;
    vt_distill_start_options options = {.held_out = o->distill.held_out,
                                        .passes = o->start_passes,
                                        .seed = o->distill.seed,
                                        .checkpoint = checkpoint,
                                        .progress = progress};
    for (int k = 0; k < VT_COMPACT_LAYERS; k++)
        options.filters[k] = filters[k];
    return vt_distill_start(out, taught, (int)run->count, run->teacher, run->stream, &options);
}

/* Neurons that follow each other are one entry. */
static vt_status name_neurons(vt_model *model, const vt_compress_run *run)
{
    for (int64_t i = 0; i < run->count;) {
        vt_model_session s = {.first = i, .count = 1, .first_neuron = run->neurons[i]};
        snprintf(s.id, sizeof s.id, "%s", run->info.id);
        while (i + s.count < run->count && run->neurons[i + s.count] == run->neurons[i] + s.count)
            s.count++;
        VT_TRY(vt_model_add_session(model, &s));
        i += s.count;
    }
    return VT_OK;
}

static vt_status get_model(vt_model **out, const vt_compress_run *run, const int64_t *taught,
                           int filters)
{
    char path[VT_COMPRESS_PATH], checkpoint[VT_COMPRESS_PATH], name[128];
    const int layers[VT_COMPACT_LAYERS] = {filters, filters, filters, LATE_FILTERS, LATE_FILTERS};
    vt_compress_progress progress;
    snprintf(name, sizeof name, "shared/%s_filters%d.safetensors", run->info.id, filters);
    VT_TRY(vt_compress_join(path, run, name));
    if (access(path, F_OK) == 0) return vt_model_read(out, path);
    snprintf(name, sizeof name, "shared/%s_filters%d.checkpoint", run->info.id, filters);
    VT_TRY(vt_compress_join(checkpoint, run, name));
    const vt_progress *shown =
        vt_compress_begin(&progress, run, "shared model of %d filters", filters);
    clock_t began = clock();
    vt_model *model;
    VT_TRY(run->options.start_only ? start(&model, run, taught, layers, checkpoint, shown)
                                   : distil(&model, run, taught, layers, checkpoint, shown));
    vt_status status = name_neurons(model, run);
    if (status == VT_OK) status = vt_model_write(model, path);
    if (status == VT_OK)
        status = vt_compress_add_seconds(run, (double)(clock() - began) / CLOCKS_PER_SEC);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    unlink(checkpoint);
    *out = model;
    return VT_OK;
}

vt_status vt_compress_make_shared(vt_compress_report *report, const vt_compress_run *run)
{
    int count = run->options.shared_count;
    int64_t *taught;
    if (count == 0) return VT_OK;
    VT_TRY(list_taught(&taught, run));
    vt_compress_shared *shared = vt_alloc((size_t)count, sizeof *shared);
    vt_status status = shared ? VT_OK : VT_ENOMEM;
    for (int i = 0; i < count && status == VT_OK; i++) {
        vt_model *model = NULL;
        status = get_model(&model, run, taught, run->options.shared[i]);
        if (status == VT_OK) status = vt_compress_score_shared(&shared[i], run, model);
        shared[i].filters = run->options.shared[i];
        vt_model_free(model);
    }
    free(taught);
    if (status != VT_OK) {
        free(shared);
        return status;
    }
    report->shared = shared;
    report->shared_count = count;
    return VT_OK;
}
