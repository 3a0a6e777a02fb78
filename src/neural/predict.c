/* Streaming stimuli through models, batch by batch. */
#include "ventral/predict.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "neural/runner.h"

typedef struct predictor {
    vt_model *const *models;
    int count, height, width;
    const vt_preprocessing *preprocessing;
    vt_stimulus_set *stimuli;
    const vt_predict_options *options;
    int64_t begin, end, batch;
    vt_workspace *workspace;
    vt_runner runner, rest; /* full batches and the last, shorter one */
    float *pixels;
    int64_t *indices;
} predictor;

static vt_status check(predictor *p)
{
    if (p->count < 1) return vt_error(VT_EINVAL, "no model to predict with");
    vt_model_image_size(p->models[0], &p->height, &p->width);
    p->preprocessing = vt_model_preprocessing(p->models[0]);
    for (int m = 1; m < p->count; m++) {
        int height, width;
        vt_model_image_size(p->models[m], &height, &width);
        if (height != p->height || width != p->width)
            return vt_error(VT_EINVAL,
                            "%s takes images of %d x %d, the first model %d x %d: predict them "
                            "separately",
                            vt_model_label(p->models[m]), height, width, p->height, p->width);
        if (memcmp(vt_model_preprocessing(p->models[m]), p->preprocessing,
                   sizeof *p->preprocessing) != 0)
            return vt_error(VT_EINVAL,
                            "%s preprocesses images in another way than the first model: predict "
                            "them separately",
                            vt_model_label(p->models[m]));
    }
    int64_t count = vt_stimulus_set_count(p->stimuli);
    p->begin = p->options->begin;
    p->end = p->options->begin == 0 && p->options->end == 0 ? count : p->options->end;
    if (p->begin < 0 || p->end > count || p->begin >= p->end)
        return vt_error(VT_EINVAL, "stimuli %lld to %lld are wanted, there are %lld",
                        (long long)p->begin, (long long)p->end, (long long)count);
    p->batch = p->options->batch > 0 ? p->options->batch : 50;
    if (p->batch > p->end - p->begin) p->batch = p->end - p->begin;
    return VT_OK;
}

static vt_status make_runner(predictor *p, vt_runner *runner, int64_t batch)
{
    vt_runner_options options = {.models = p->models,
                                 .count = p->count,
                                 .tap = p->options->tap,
                                 .batch = batch,
                                 .backend = p->options->backend,
                                 .bf16 = p->options->bf16,
                                 .workspace = p->workspace};
    return vt_runner_new(runner, &options);
}

static vt_status prepare(predictor *p)
{
    VT_TRY(check(p));
    p->indices = vt_alloc((size_t)p->batch, sizeof *p->indices);
    p->pixels =
        vt_alloc((size_t)p->batch * (size_t)p->height * (size_t)p->width * 3, sizeof *p->pixels);
    if (!p->indices || !p->pixels) return VT_ENOMEM;
    VT_TRY(vt_workspace_new(&p->workspace));
    return make_runner(p, &p->runner, p->batch);
}

static vt_status run_batch(predictor *p, const vt_runner *runner, int64_t first, int64_t count)
{
    const vt_tensor *values;
    for (int64_t i = 0; i < count; i++)
        p->indices[i] = first + i;
    VT_TRY(vt_stimulus_set_read(p->stimuli, p->indices, count, p->height, p->width,
                                p->preprocessing, p->pixels));
    for (int m = 0; m < p->count; m++) {
        VT_TRY(vt_runner_run(runner, m, p->pixels, &values));
        VT_TRY(p->options->receive(p->options->context, m, first, count, values));
    }
    return VT_OK;
}

static vt_status run(predictor *p)
{
    for (int64_t first = p->begin; first < p->end; first += p->batch) {
        int64_t count = p->end - first < p->batch ? p->end - first : p->batch;
        if (count < p->batch) VT_TRY(make_runner(p, &p->rest, count));
        VT_TRY(run_batch(p, count < p->batch ? &p->rest : &p->runner, first, count));
        VT_TRY(vt_progress_report(p->options->progress, first + count - p->begin, p->end - p->begin,
                                  NULL));
    }
    return VT_OK;
}

vt_status vt_predict(vt_model *const *models, int count, vt_stimulus_set *stimuli,
                     const vt_predict_options *options)
{
    predictor p = {.models = models, .count = count, .stimuli = stimuli, .options = options};
    vt_status status = prepare(&p);
    if (status == VT_OK) status = run(&p);
    vt_runner_free(&p.runner);
    vt_runner_free(&p.rest);
    free(p.indices);
    free(p.pixels);
    vt_workspace_free(p.workspace);
    return status;
}

/* ---- responses as a matrix ---- */

typedef struct matrix {
    vt_tensor *out;
    const int64_t *first_row; /* one a model */
    int64_t begin;
} matrix;

static vt_status receive_responses(void *context, int model, int64_t first, int64_t count,
                                   const vt_tensor *values)
{
    const matrix *m = context;
    int64_t outputs = vt_tensor_count(values) / count, images = m->out->size[1];
    for (int64_t i = 0; i < count; i++)
        for (int64_t o = 0; o < outputs; o++)
            ((float *)m->out->data)[(m->first_row[model] + o) * images + first - m->begin + i] =
                ((const float *)values->data)[i * outputs + o];
    return VT_OK;
}

vt_status vt_predict_responses(vt_tensor *out, vt_model *const *models, int count,
                               vt_stimulus_set *stimuli, const vt_predict_options *options)
{
    vt_predict_options o = *options;
    vt_tensor responses;
    for (int m = 0; m < count; m++)
        if (vt_model_outputs(models[m]) < 1)
            return vt_error(
                VT_EINVAL,
                "%s has no neurons to predict; fit it a readout (--core), or name a node "
                "(--tap)",
                vt_model_label(models[m]));
    int64_t rows = 0, *first_row = vt_alloc((size_t)count, sizeof *first_row);
    if (!first_row) return VT_ENOMEM;
    for (int m = 0; m < count; m++) {
        first_row[m] = rows;
        rows += vt_model_outputs(models[m]);
    }
    if (o.begin == 0 && o.end == 0) o.end = vt_stimulus_set_count(stimuli);
    vt_status status = o.end > o.begin ? VT_OK : vt_error(VT_EINVAL, "no stimuli are wanted");
    if (status == VT_OK)
        status = vt_tensor_new(&responses, VT_F32, 2, (int64_t[]){rows, o.end - o.begin});
    if (status == VT_OK) {
        matrix m = {&responses, first_row, o.begin};
        o.tap = NULL;
        o.receive = receive_responses;
        o.context = &m;
        status = vt_predict(models, count, stimuli, &o);
        if (status == VT_OK)
            *out = responses;
        else
            vt_tensor_free(&responses);
    }
    free(first_row);
    return status;
}
