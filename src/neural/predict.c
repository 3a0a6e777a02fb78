/* Streaming stimuli through models, batch by batch. */
#include "ventral/predict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

typedef struct predictor {
    vt_model *const *models;
    int count, height, width;
    vt_stimulus_set *stimuli;
    const vt_predict_options *options;
    int64_t begin, end, batch;
    vt_workspace *workspace;
    vt_plan **plans, **rest_plans; /* full batches and the last, shorter one */
    vt_node *nodes;
    float *pixels;
    int64_t *indices;
} predictor;

static vt_status find_node(predictor *p, int model)
{
    const char *tap = p->options->tap;
    vt_graph *graph = vt_model_graph(p->models[model]);
    p->nodes[model] = tap ? vt_graph_find(graph, tap) : vt_model_output(p->models[model]);
    if (p->nodes[model] != VT_NO_NODE) return VT_OK;
    char list[600] = "";
    for (vt_node node = 0; node < vt_graph_node_count(graph); node++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", node ? ", " : "",
                 vt_graph_node_name(graph, node));
    }
    return vt_error(VT_ENOTFOUND, "%s has no node '%s'; it has %s",
                    vt_model_label(p->models[model]), tap, list);
}

static vt_status make_plans(predictor *p, vt_plan **plans, int64_t batch)
{
    for (int m = 0; m < p->count; m++) {
        vt_plan_options options = {.batch = batch,
                                   .outputs = &p->nodes[m],
                                   .output_count = 1,
                                   .backend = p->options->backend,
                                   .bf16 = p->options->bf16,
                                   .workspace = p->workspace};
        VT_TRY(vt_plan_new(&plans[m], vt_model_graph(p->models[m]), &options));
    }
    return VT_OK;
}

static vt_status check(predictor *p)
{
    vt_compact_options first, other;
    if (p->count < 1) return vt_error(VT_EINVAL, "no model to predict with");
    vt_model_get_options(p->models[0], &first);
    p->height = first.height;
    p->width = first.width;
    for (int m = 1; m < p->count; m++) {
        vt_model_get_options(p->models[m], &other);
        if (other.height != first.height || other.width != first.width)
            return vt_error(VT_EINVAL,
                            "%s takes images of %d x %d, the first model %d x %d: predict them "
                            "separately",
                            vt_model_label(p->models[m]), other.height, other.width, first.height,
                            first.width);
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

static vt_status prepare(predictor *p)
{
    size_t models = (size_t)p->count;
    VT_TRY(check(p));
    p->plans = vt_alloc(models, sizeof *p->plans);
    p->rest_plans = vt_alloc(models, sizeof *p->rest_plans);
    p->nodes = vt_alloc(models, sizeof *p->nodes);
    p->indices = vt_alloc((size_t)p->batch, sizeof *p->indices);
    p->pixels =
        vt_alloc((size_t)p->batch * (size_t)p->height * (size_t)p->width * 3, sizeof *p->pixels);
    if (!p->plans || !p->rest_plans || !p->nodes || !p->indices || !p->pixels) return VT_ENOMEM;
    VT_TRY(vt_workspace_new(&p->workspace));
    for (int m = 0; m < p->count; m++)
        VT_TRY(find_node(p, m));
    return make_plans(p, p->plans, p->batch);
}

static vt_status run_batch(predictor *p, vt_plan **plans, int64_t first, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        p->indices[i] = first + i;
    VT_TRY(vt_stimulus_set_read(p->stimuli, p->indices, count, p->height, p->width, p->pixels));
    for (int m = 0; m < p->count; m++) {
        vt_tensor *input = vt_plan_input(plans[m], vt_model_input(p->models[m]));
        if (input) memcpy(input->data, p->pixels, vt_tensor_bytes(input));
        VT_TRY(vt_plan_forward(plans[m]));
        VT_TRY(p->options->receive(p->options->context, m, first, count,
                                   vt_plan_output(plans[m], p->nodes[m])));
    }
    return VT_OK;
}

static vt_status run(predictor *p)
{
    for (int64_t first = p->begin; first < p->end; first += p->batch) {
        int64_t count = p->end - first < p->batch ? p->end - first : p->batch;
        if (count < p->batch) VT_TRY(make_plans(p, p->rest_plans, count));
        VT_TRY(run_batch(p, count < p->batch ? p->rest_plans : p->plans, first, count));
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
    for (int m = 0; m < count; m++) {
        if (p.plans) vt_plan_free(p.plans[m]);
        if (p.rest_plans) vt_plan_free(p.rest_plans[m]);
    }
    free(p.plans);
    free(p.rest_plans);
    free(p.nodes);
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
