/* How well a classifier does: loss and accuracies, also on images an attack has changed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "train/classifier_run.h"

void vt_tally_add(vt_tally *tally, const float *scores, const float *labels, int64_t count,
                  int64_t classes)
{
    for (int64_t n = 0; n < count; n++) {
        const float *s = scores + n * classes;
        int64_t label = (int64_t)labels[n], above = 0;
        float highest = s[0];
        for (int64_t c = 0; c < classes; c++) {
            if (s[c] > highest) highest = s[c];
            bool below = s[c] < s[label] || (c >= label && s[c] == s[label]);
            above += !below; /* a score that is not a number is nobody's success */
        }
        double sum = exp((double)s[0] - highest);
        for (int64_t c = 1; c < classes; c++)
            sum += exp((double)s[c] - highest);
        tally->loss += log(sum) + highest - s[label];
        tally->top1 += above < 1;
        tally->top5 += above < 5;
        tally->images++;
    }
}

vt_status vt_classifier_check(vt_model *model, const vt_dataset *dataset,
                              const vt_transform *transform)
{
    int height, width, side = vt_transform_size(transform);
    const char *label = vt_model_label(model);
    vt_model_image_size(model, &height, &width);
    if (vt_graph_find(vt_model_graph(model), "loss") == VT_NO_NODE)
        return vt_error(VT_EUNSUPPORTED, "%s: a classifier is needed, this is a %s", label,
                        vt_model_architecture(model));
    if (vt_dataset_classes(dataset) != vt_model_outputs(model))
        return vt_error(VT_EINVAL, "%s has %lld classes, the images have %d", label,
                        (long long)vt_model_outputs(model), vt_dataset_classes(dataset));
    if (side != height || side != width)
        return vt_error(VT_EINVAL, "images are brought to %d x %d, but %s takes %d x %d", side,
                        side, label, height, width);
    return VT_OK;
}

typedef struct evaluation {
    vt_model *model;
    const vt_evaluate_options *options;
    int64_t batch;
    vt_plan *plan;
    vt_attacker *attacker;
    float *images;
    vt_tally tally;
} evaluation;

static vt_status make_plan(evaluation *e)
{
    vt_node output = vt_model_output(e->model);
    vt_plan_options options = {
        .batch = e->batch, .outputs = &output, .output_count = 1, .bf16 = e->options->bf16};
    return vt_plan_new(&e->plan, vt_model_graph(e->model), &options);
}

/* An incomplete last batch is filled with zeros, whose scores are not looked at. */
static vt_status run_batch(evaluation *e, const vt_loader_batch *batch)
{
    vt_tensor *x = vt_plan_input(e->plan, vt_model_input(e->model));
    size_t bytes = vt_tensor_bytes(x) / (size_t)e->batch * (size_t)batch->count;
    const float *images = batch->images;
    if (e->attacker) {
        memcpy(e->images, images, bytes);
        VT_TRY(
            vt_attacker_run(e->attacker, e->images, batch->labels, batch->indices, batch->count));
        images = e->images;
    }
    memset(x->data, 0, vt_tensor_bytes(x));
    memcpy(x->data, images, bytes);
    VT_TRY(vt_plan_forward(e->plan));
    const vt_tensor *scores = vt_plan_output(e->plan, vt_model_output(e->model));
    vt_tally_add(&e->tally, scores->data, batch->labels, batch->count, scores->size[1]);
    return VT_OK;
}

static vt_status run(evaluation *e, vt_loader *loader, int64_t images)
{
    int64_t done = 0;
    VT_TRY(vt_loader_start(loader, 0, 0));
    while (true) {
        vt_loader_batch batch;
        VT_TRY(vt_loader_next(loader, &batch));
        if (batch.count == 0) return VT_OK;
        VT_TRY(run_batch(e, &batch));
        done += batch.count;
        VT_TRY(vt_progress_report(e->options->progress, done, images, NULL));
    }
}

static vt_status prepare(evaluation *e)
{
    VT_TRY(make_plan(e));
    if (!e->options->attack) return VT_OK;
    e->images = vt_alloc(vt_tensor_bytes(vt_plan_input(e->plan, vt_model_input(e->model))), 1);
    if (!e->images) return VT_ENOMEM;
    return vt_attacker_new(&e->attacker, e->model, e->options->attack, e->batch);
}

vt_status vt_evaluate_classifier(vt_accuracy *out, vt_model *model, vt_dataset *dataset,
                                 const vt_evaluate_options *options)
{
    evaluation e = {.model = model, .options = options};
    vt_loader *loader = NULL;
    int64_t images = vt_dataset_count(dataset);
    if (options->limit > 0 && options->limit < images) images = options->limit;
    e.batch = options->batch > 0 ? options->batch : 128;
    if (e.batch > images) e.batch = images;
    VT_TRY(vt_classifier_check(model, dataset, &options->transform));
    vt_loader_options loading = {.dataset = dataset,
                                 .transform = options->transform,
                                 .batch = e.batch,
                                 .limit = options->limit};
    vt_status status = vt_loader_new(&loader, &loading);
    if (status == VT_OK) status = prepare(&e);
    if (status == VT_OK) status = run(&e, loader, images);
    const vt_tally *t = &e.tally;
    if (status == VT_OK)
        *out = (vt_accuracy){.loss = t->loss / t->images,
                             .top1 = t->top1 / t->images,
                             .top5 = t->top5 / t->images,
                             .images = (int64_t)t->images,
                             .skipped = vt_loader_skipped(loader, NULL)};
    vt_loader_free(loader);
    vt_attacker_free(e.attacker);
    vt_plan_free(e.plan);
    free(e.images);
    return status;
}
