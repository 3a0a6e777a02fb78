/* Pruning: statistics, choice and the smaller network put together, for one threshold or many. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "neural/prune.h"
#include "ventral/score.h"

enum { BATCH = 32 };

/* ---- responses to images ---- */

typedef struct runner {
    vt_model *const *models;
    int count;
    const vt_prune_images *images;
    vt_workspace *workspace;
    vt_plan **plans;
    uint8_t *bytes;
    float *pixels;
    int64_t image_pixels;
} runner;

static void free_plans(runner *r)
{
    for (int m = 0; r->plans && m < r->count; m++) {
        vt_plan_free(r->plans[m]);
        r->plans[m] = NULL;
    }
}

static vt_status make_plans(runner *r, int64_t batch)
{
    free_plans(r);
    for (int m = 0; m < r->count; m++) {
        vt_node output = vt_model_output(r->models[m]);
        VT_TRY(vt_plan_new(
            &r->plans[m], vt_model_graph(r->models[m]),
            &(vt_plan_options){
                .batch = batch, .outputs = &output, .output_count = 1, .workspace = r->workspace}));
    }
    return VT_OK;
}

static vt_status run_batch(runner *r, double *out, int64_t first, int64_t part)
{
    VT_TRY(vt_image_stream_read(r->images->stream, r->images->indices + first, part, r->bytes));
    vt_preprocess(r->pixels, r->bytes, part * r->image_pixels,
                  vt_model_preprocessing(r->models[0]));
    for (int m = 0; m < r->count; m++) {
        vt_tensor *input = vt_plan_input(r->plans[m], vt_model_input(r->models[m]));
        memcpy(input->data, r->pixels, vt_tensor_bytes(input));
        VT_TRY(vt_plan_forward(r->plans[m]));
        const vt_tensor *values = vt_plan_output(r->plans[m], vt_model_output(r->models[m]));
        for (int64_t i = 0; i < part; i++)
            out[m * r->images->count + first + i] = ((const float *)values->data)[i];
    }
    return VT_OK;
}

static vt_status run_all(runner *r, double *out, const vt_progress *progress)
{
    int height, width;
    int64_t planned = 0, count = r->images->count;
    vt_model_image_size(r->models[0], &height, &width);
    r->image_pixels = (int64_t)height * width;
    r->plans = vt_alloc((size_t)r->count, sizeof *r->plans);
    r->bytes = vt_alloc(BATCH * (size_t)r->image_pixels, 3);
    r->pixels = vt_alloc(BATCH * (size_t)r->image_pixels, 3 * sizeof *r->pixels);
    if (!r->plans || !r->bytes || !r->pixels) return VT_ENOMEM;
    VT_TRY(vt_workspace_new(&r->workspace));
    for (int64_t first = 0; first < count; first += BATCH) {
        int64_t part = count - first < BATCH ? count - first : BATCH;
        if (part != planned) VT_TRY(make_plans(r, part));
        planned = part;
        VT_TRY(run_batch(r, out, first, part));
        VT_TRY(vt_progress_report(progress, first + part, count, NULL));
    }
    return VT_OK;
}

vt_status vt_prune_responses(double *out, vt_model *const *models, int count,
                             const vt_prune_images *images, const vt_progress *progress)
{
    runner r = {.models = models, .count = count, .images = images};
    vt_status status = run_all(&r, out, progress);
    free_plans(&r);
    free(r.plans);
    free(r.bytes);
    free(r.pixels);
    vt_workspace_free(r.workspace);
    return status;
}

/* ---- one threshold ---- */

static void fill_report(vt_prune_report *out, const vt_prune_statistics *s,
                        const vt_prune_choice *choice, const vt_model *small)
{
    for (int k = 0; k < VT_COMPACT_LAYERS; k++)
        out->layers[k] = (vt_prune_layer){s->shape.filters[k], choice->count[k], choice->kept[k]};
    out->parameters_before = vt_model_parameters(s->model);
    out->parameters_after = vt_model_parameters(small);
    out->r_before = vt_pearson(s->response, s->target, s->count);
    out->r_after = NAN;
}

vt_status vt_prune_select(vt_model **out, vt_prune_report *report, const vt_prune_statistics *s,
                          const vt_prune_options *options)
{
    vt_prune_choice choice;
    vt_model *small;
    VT_TRY(vt_prune_choose(&choice, s, options));
    vt_status status = vt_prune_build(&small, s, &choice, options->refit);
    if (status == VT_OK) {
        fill_report(report, s, &choice, small);
        *out = small;
    }
    vt_prune_choice_free(&choice);
    return status;
}

vt_status vt_prune(vt_model **out, vt_prune_report *report, vt_model *model,
                   vt_image_stream *stream, const int64_t *indices, int64_t count,
                   const float *target, const vt_prune_options *options)
{
    vt_prune_statistics *s;
    vt_prune_report made;
    vt_model *small = NULL;
    vt_prune_images images = {stream, indices, count, target};
    VT_TRY(vt_prune_measure(&s, model, stream, indices, count, target, options->progress));
    double *responses = vt_alloc((size_t)count, sizeof *responses);
    vt_status status = responses ? vt_prune_select(&small, &made, s, options) : VT_ENOMEM;
    if (status == VT_OK) status = vt_prune_responses(responses, &small, 1, &images, NULL);
    if (status == VT_OK) {
        made.r_after = vt_pearson(responses, s->target, count);
        *report = made;
        *out = small;
    } else {
        vt_model_free(small);
    }
    free(responses);
    vt_prune_statistics_free(s);
    return status;
}

/* ---- many thresholds ---- */

typedef struct curve {
    vt_model **models; /* the model before pruning, then those that differ */
    int model_count;
    int *model_of; /* of each threshold */
    vt_prune_choice *choices;
    double *responses, *target;
} curve;

static bool is_same(const vt_prune_choice *a, const vt_prune_choice *b)
{
    for (int k = 0; k < VT_COMPACT_LAYERS; k++)
        if (a->count[k] != b->count[k] ||
            memcmp(a->filters[k], b->filters[k], (size_t)a->count[k] * sizeof(int)) != 0)
            return false;
    return true;
}

static vt_status select_all(curve *c, vt_prune_report *reports, const vt_prune_statistics *s,
                            const double *thresholds, int count, const vt_prune_options *options)
{
    vt_prune_options o = *options;
    for (int i = 0; i < count; i++) {
        o.threshold = thresholds[i];
        if (o.threshold == 0)
            return vt_error(VT_EINVAL, "prune: threshold 0; above 0, up to 1 is possible");
        VT_TRY(vt_prune_choose(&c->choices[i], s, &o));
        int known = 0;
        while (known < i && !is_same(&c->choices[known], &c->choices[i]))
            known++;
        if (known < i) {
            c->model_of[i] = c->model_of[known];
        } else {
            VT_TRY(vt_prune_build(&c->models[c->model_count], s, &c->choices[i], o.refit));
            c->model_of[i] = c->model_count++;
        }
        fill_report(&reports[i], s, &c->choices[i], c->models[c->model_of[i]]);
    }
    return VT_OK;
}

static vt_status correlate(curve *c, vt_prune_report *reports, int count,
                           const vt_prune_images *images, const vt_progress *progress)
{
    int64_t n = images->count;
    c->responses = vt_alloc((size_t)c->model_count * (size_t)n, sizeof *c->responses);
    c->target = vt_alloc((size_t)n, sizeof *c->target);
    if (!c->responses || !c->target) return VT_ENOMEM;
    VT_TRY(vt_prune_responses(c->responses, c->models, c->model_count, images, progress));
    for (int64_t i = 0; i < n; i++)
        c->target[i] = images->target ? (double)images->target[i] : c->responses[i];
    for (int i = 0; i < count; i++) {
        reports[i].r_before = vt_pearson(c->responses, c->target, n);
        reports[i].r_after = vt_pearson(c->responses + c->model_of[i] * n, c->target, n);
    }
    return VT_OK;
}

static vt_status check_images(const vt_prune_statistics *s, const vt_prune_images *images)
{
    int height, width;
    vt_image_stream_size(images->stream, &height, &width);
    if (height != s->shape.height || width != s->shape.width)
        return vt_error(VT_EINVAL, "%s takes images of %d x %d, the stream has %d x %d",
                        vt_model_label(s->model), s->shape.height, s->shape.width, height, width);
    if (images->count < 2)
        return vt_error(VT_EINVAL, "%lld images to correlate over; at least 2 are needed",
                        (long long)images->count);
    return VT_OK;
}

vt_status vt_prune_curve(vt_prune_report *out, const vt_prune_statistics *s,
                         const double *thresholds, int count, const vt_prune_images *images,
                         const vt_prune_options *options)
{
    VT_TRY(check_images(s, images));
    size_t n = count > 0 ? (size_t)count : 0;
    curve c = {.models = vt_alloc(n + 1, sizeof *c.models),
               .model_of = vt_alloc(n + 1, sizeof *c.model_of),
               .choices = vt_alloc(n + 1, sizeof *c.choices)};
    vt_prune_report *reports = vt_alloc(n + 1, sizeof *reports);
    vt_status status = c.models && c.model_of && c.choices && reports ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) {
        c.models[c.model_count++] = s->model;
        status = select_all(&c, reports, s, thresholds, count, options);
    }
    if (status == VT_OK) status = correlate(&c, reports, count, images, options->progress);
    if (status == VT_OK) memcpy(out, reports, n * sizeof *out);
    for (int m = 1; m < c.model_count; m++)
        vt_model_free(c.models[m]);
    for (int i = 0; c.choices && i < count; i++)
        vt_prune_choice_free(&c.choices[i]);
    free(c.models);
    free(c.model_of);
    free(c.choices);
    free(c.responses);
    free(c.target);
    free(reports);
    return status;
}
