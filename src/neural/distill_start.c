/* The shared student that others start from.
 *
 * A flat readout has 784 weights a filter, which Adam finds slowly and which start as noise that
 * the convolutions below must learn through; a network of one neuron also gets its gradient from
 * one number an image. One shared core under as many Gaussian pools as there are neurons, trained
 * as vt_fit trains on recordings, comes as far in one pass over the images as single students do
 * in many (docs/compressing.md has figures), and costs what one of them costs. */
#include <stdlib.h>
#include <string.h>

#include "neural/distill_run.h"
#include "neural/fit_run.h"

/* (neurons, images) from (images, neurons) */
static double *transpose(const float *values, int64_t images, int64_t neurons)
{
    double *out = vt_alloc((size_t)images * (size_t)neurons, sizeof *out);
    for (int64_t k = 0; out && k < images; k++)
        for (int64_t i = 0; i < neurons; i++)
            out[i * images + k] = (double)values[k * neurons + i];
    return out;
}

static vt_status fit(vt_model **out, const vt_distill_run *run,
                     const vt_distill_start_options *options)
{
    vt_fit_session none = {.begin = 0};
    vt_fit_options how = {.sessions = &none,
                          .session_count = 1,
                          .epochs = options->passes,
                          .batch = options->batch,
                          .rate = options->rate,
                          .seed = options->seed,
                          .checkpoint = options->checkpoint,
                          .progress = options->progress};
    vt_fit_taught taught = {
        .indices = run->training, .images = run->trained, .neurons = run->neurons};
    vt_compact_options shape = {.shared = true};
    vt_model *core;
    double *responses = transpose(run->targets, run->trained, run->neurons);
    if (!responses) return VT_ENOMEM;
    taught.responses = responses;
    memcpy(shape.filters, options->filters, sizeof shape.filters);
    for (int k = 0; k < VT_COMPACT_LAYERS; k++)
        if (shape.filters[k] == 0) shape.filters[k] = 100;
    vt_image_stream_size(run->stream, &shape.height, &shape.width);
    vt_status status = vt_stimulus_set_from_stream(&taught.stimuli, run->stream);
    if (status == VT_OK) {
        status = vt_compact_new(&core, &shape);
        if (status == VT_OK) {
            status =
                vt_fit_core(out, NULL, &how, &(vt_fit_subject){.core = core, .taught = &taught});
            vt_model_free(core);
        }
        vt_stimulus_set_close(taught.stimuli);
    }
    free(responses);
    return status;
}

vt_status vt_distill_start(vt_model **out, const int64_t *neurons, int count, vt_teacher *teacher,
                           vt_image_stream *stream, const vt_distill_start_options *options)
{
    vt_distill_run run = {.options = {.held_out = options->held_out,
                                      .seed = options->seed,
                                      .progress = options->progress},
                          .stream = stream,
                          .teacher = teacher,
                          .neurons = count};
    if (count < 1) return vt_error(VT_EINVAL, "distill: a start without neurons");
    for (int i = 0; i < count; i++)
        if (neurons[i] < 0 || neurons[i] >= vt_teacher_count(teacher))
            return vt_error(VT_EINVAL, "distill: neuron %lld of a teacher with %lld",
                            (long long)neurons[i], (long long)vt_teacher_count(teacher));
    VT_TRY(vt_arena_new(&run.arena));
    vt_status status = vt_arena_alloc(run.arena, &run.teacher_neuron,
                                      (size_t)count * sizeof *run.teacher_neuron, "neurons");
    if (status == VT_OK) {
        memcpy(run.teacher_neuron, neurons, (size_t)count * sizeof *neurons);
        status = vt_distill_split(&run);
    }
    if (status == VT_OK) status = vt_distill_ask(&run);
    if (status == VT_OK) status = fit(out, &run, options);
    vt_arena_free(run.arena);
    return status;
}
