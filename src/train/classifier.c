/* Training a classifier: the loop (see ventral/classifier.h). */
#include "train/classifier_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static vt_status resolve(vt_train_options *o)
{
    if (o->epochs == 0) o->epochs = 100;
    if (o->batch == 0) o->batch = 128;
    if (o->momentum == 0) o->momentum = 0.9;
    if (o->no_momentum) o->momentum = 0;
    if (o->weight_decay == 0) o->weight_decay = 1e-5;
    if (o->no_weight_decay) o->weight_decay = 0;
    if (o->save_seconds == 0) o->save_seconds = 300;
    if (o->schedule.rate == 0)
        o->schedule = (vt_schedule){.kind = VT_SCHEDULE_STEP,
                                    .rate = 0.1,
                                    .factor = 0.1,
                                    .milestones = {60, 80},
                                    .milestone_count = 2};
    if (o->schedule.epochs == 0) o->schedule.epochs = o->epochs;
    if (o->epochs < 1 || o->epochs > 100000 || o->batch < 1 || o->batch > 65536)
        return vt_error(VT_EINVAL, "training: %d epochs of batches of %d are not possible",
                        o->epochs, o->batch);
    if (!(o->schedule.rate > 0 && o->schedule.rate < INFINITY))
        return vt_error(VT_EINVAL, "training: a learning rate of %g; it must be above 0",
                        o->schedule.rate);
    if (!(o->momentum >= 0 && o->momentum < 1))
        return vt_error(VT_EINVAL, "training: a momentum of %g; 0 to below 1 are possible",
                        o->momentum);
    if (!(o->weight_decay >= 0 && o->weight_decay < INFINITY))
        return vt_error(VT_EINVAL, "training: a weight decay of %g; it must be at least 0",
                        o->weight_decay);
    if (!(o->save_seconds > 0))
        return vt_error(VT_EINVAL, "training: %g seconds between checkpoints; above 0 are possible",
                        o->save_seconds);
    if (o->replays < 0 || o->replays > 1000)
        return vt_error(VT_EINVAL, "training: %d replays; 0 to 1000 are possible", o->replays);
    if (o->replays > 0 && !(o->free_epsilon > 0 && o->free_epsilon <= 1))
        return vt_error(VT_EINVAL,
                        "training: Free adversarial training needs an epsilon above 0, at most 1 "
                        "(all of the range), not %g",
                        o->free_epsilon);
    return VT_OK;
}

static vt_status check_data(const vt_train_run *run)
{
    const vt_train_options *o = &run->options;
    if (!o->train || !o->validation)
        return vt_error(VT_EINVAL, "training: images to train on and to validate on are needed");
    VT_TRY(vt_classifier_check(run->model, o->train, &o->train_transform));
    return vt_classifier_check(run->model, o->validation, &o->validation_transform);
}

/* Until thaw(), only the last layer learns. */
static vt_status freeze(vt_train_run *run)
{
    int count = vt_graph_param_count(run->graph);
    if (!run->options.frozen_body) return VT_OK;
    run->was_trainable = vt_alloc((size_t)count, sizeof *run->was_trainable);
    if (!run->was_trainable) return VT_ENOMEM;
    for (int i = 0; i < count; i++)
        run->was_trainable[i] = vt_graph_param(run->graph, i)->trainable;
    vt_graph_set_trainable(run->graph, "", false);
    vt_graph_set_trainable(run->graph, "fc.", true);
    return VT_OK;
}

static void thaw(vt_train_run *run)
{
    for (int i = 0; run->was_trainable && i < vt_graph_param_count(run->graph); i++)
        vt_graph_param(run->graph, i)->trainable = run->was_trainable[i];
    free(run->was_trainable);
}

static vt_status make_plan(vt_train_run *run, vt_plan **out, int64_t batch)
{
    vt_node input = vt_model_input(run->model);
    vt_plan_options options = {.batch = batch,
                               .training = true,
                               .backward = true,
                               .outputs = run->outputs,
                               .output_count = 2,
                               .gradients = &input,
                               .gradient_count = run->options.replays > 0 ? 1 : 0,
                               .bf16 = run->options.bf16,
                               .seed = run->options.seed,
                               .workspace = run->workspace};
    return vt_plan_new(out, run->graph, &options);
}

static vt_status make_delta(vt_train_run *run)
{
    int height, width;
    if (run->options.replays == 0) return VT_OK;
    vt_model_image_size(run->model, &height, &width);
    run->delta_floats = (int64_t)run->options.batch * height * width * 3;
    run->delta = vt_alloc((size_t)run->delta_floats, sizeof *run->delta);
    return run->delta ? VT_OK : VT_ENOMEM;
}

static vt_status prepare(vt_train_run *run)
{
    VT_TRY(resolve(&run->options));
    const vt_train_options *o = &run->options;
    VT_TRY(check_data(run));
    run->graph = vt_model_graph(run->model);
    run->outputs[0] = vt_model_output(run->model);
    run->outputs[1] = vt_graph_find(run->graph, "loss");
    VT_TRY(freeze(run));
    run->history = vt_alloc((size_t)o->epochs, sizeof *run->history);
    if (!run->history) return VT_ENOMEM;
    vt_optimizer_options sgd = {
        .kind = VT_SGD, .momentum = o->momentum, .weight_decay = o->weight_decay};
    VT_TRY(vt_optimizer_new(&run->optimizer, run->graph, &sgd));
    VT_TRY(vt_workspace_new(&run->workspace));
    int64_t count = vt_dataset_count(o->train), rest = count % o->batch;
    if (count >= o->batch) VT_TRY(make_plan(run, &run->plan, o->batch));
    if (rest) VT_TRY(make_plan(run, &run->rest_plan, rest));
    VT_TRY(make_delta(run));
    vt_loader_options loader = {.dataset = o->train,
                                .transform = o->train_transform,
                                .batch = o->batch,
                                .shuffle = true,
                                .seed = o->seed};
    VT_TRY(vt_loader_new(&run->loader, &loader));
    run->batches = vt_loader_batches(run->loader);
    return vt_train_make_folder(run);
}

/* x = clip(images + delta) to the range of values. */
static void add_delta(const vt_train_run *run, float *x, const float *images, int64_t floats)
{
    const vt_preprocessing *p = vt_model_preprocessing(run->model);
#pragma omp parallel for num_threads(vt_threads())
    for (int64_t i = 0; i < floats; i++) {
        float low = -p->mean[i % 3] / p->sd[i % 3], high = (255 - p->mean[i % 3]) / p->sd[i % 3];
        x[i] = fminf(fmaxf(images[i] + run->delta[i], low), high);
    }
}

/* delta <- clip(delta + epsilon sign(dL/dx)) */
static void change_delta(vt_train_run *run, const float *gradient, int64_t floats)
{
    const vt_preprocessing *p = vt_model_preprocessing(run->model);
    float epsilon = (float)run->options.free_epsilon;
#pragma omp parallel for num_threads(vt_threads())
    for (int64_t i = 0; i < floats; i++) {
        float e = epsilon * 255 / p->sd[i % 3];
        float d = run->delta[i] + e * (float)((gradient[i] > 0) - (gradient[i] < 0));
        run->delta[i] = fminf(fmaxf(d, -e), e);
    }
}

static vt_status train_once(vt_train_run *run, vt_plan *plan, double rate)
{
    VT_TRY(vt_plan_forward(plan));
    double loss = vt_tensor_get(vt_plan_output(plan, run->outputs[1]), 0);
    if (!isfinite(loss))
        return vt_error(VT_ENUMERIC,
                        "training: the loss is %g in epoch %lld, batch %lld of %lld: the learning "
                        "rate (%g) may be too high; the last checkpoint in %s is kept",
                        loss, (long long)run->epoch + 1, (long long)run->batch + 1,
                        (long long)run->batches, rate, run->options.folder);
    VT_TRY(vt_plan_backward(plan));
    vt_status status = vt_optimizer_step(run->optimizer, rate);
    if (status != VT_OK)
        return vt_error_context(status, "training, epoch %lld, batch %lld of %lld",
                                (long long)run->epoch + 1, (long long)run->batch + 1,
                                (long long)run->batches);
    return VT_OK;
}

static vt_status train_batch(vt_train_run *run, const vt_loader_batch *batch)
{
    vt_plan *plan = batch->count == run->options.batch ? run->plan : run->rest_plan;
    vt_tensor *x = vt_plan_input(plan, vt_model_input(run->model));
    vt_tensor *label = vt_plan_input(plan, vt_graph_find(run->graph, "label"));
    int64_t floats = vt_tensor_count(x), step = run->epoch * run->batches + run->batch;
    int replays = run->options.replays;
    double rate = vt_schedule_rate(&run->options.schedule,
                                   (double)run->epoch + (double)run->batch / (double)run->batches);
    memcpy(label->data, batch->labels, vt_tensor_bytes(label));
    if (!replays) memcpy(x->data, batch->images, vt_tensor_bytes(x));
    for (int k = 0; k < (replays ? replays : 1); k++) {
        if (replays) add_delta(run, x->data, batch->images, floats);
        vt_plan_set_step(plan, (uint32_t)(replays ? step * replays + k : step));
        VT_TRY(train_once(run, plan, rate));
        const vt_tensor *scores = vt_plan_output(plan, run->outputs[0]);
        vt_tally_add(&run->tally, scores->data, batch->labels, batch->count, scores->size[1]);
        if (replays)
            change_delta(run, vt_plan_gradient(plan, vt_model_input(run->model))->data, floats);
    }
    run->batch++;
    return VT_OK;
}

/* Progress counts the images of both parts; `done` are this epoch's. */
static vt_status report(const vt_train_run *run, int64_t done, const char *line)
{
    const vt_train_options *o = &run->options;
    int64_t images = vt_dataset_count(o->train) + vt_dataset_count(o->validation);
    return vt_progress_report(o->progress, run->epoch * images + done, o->epochs * images, line);
}

static vt_status report_batch(const vt_train_run *run)
{
    const vt_tally *t = &run->tally;
    int64_t count = vt_dataset_count(run->options.train), done = run->batch * run->options.batch;
    char line[128];
    snprintf(line, sizeof line, "epoch %lld/%d  loss %.3f  top-1 %.1f %%",
             (long long)run->epoch + 1, run->options.epochs, t->loss / t->images,
             100 * t->top1 / t->images);
    return report(run, done < count ? done : count, line);
}

static bool report_validation(void *context, int64_t done, int64_t total, const char *line)
{
    const vt_train_run *run = context;
    char text[64];
    (void)total, (void)line;
    snprintf(text, sizeof text, "epoch %lld/%d  validation", (long long)run->epoch + 1,
             run->options.epochs);
    return report(run, vt_dataset_count(run->options.train) + done, text) == VT_OK;
}

/* What is left of an epoch; state is saved now and then, and when asked to stop. */
static vt_status train_epoch(vt_train_run *run)
{
    double saved = seconds();
    int64_t skipped = run->skipped; /* in the part of the epoch done before a resumption */
    VT_TRY(vt_loader_start(run->loader, (uint32_t)run->epoch, run->batch));
    while (run->batch < run->batches) {
        vt_loader_batch batch;
        VT_TRY(vt_loader_next(run->loader, &batch));
        if (batch.count == 0) break;
        VT_TRY(train_batch(run, &batch));
        run->skipped = skipped + vt_loader_skipped(run->loader, NULL);
        vt_status status = report_batch(run);
        bool due = seconds() - saved > run->options.save_seconds;
        if (due || status == VT_EINTERRUPTED) {
            VT_TRY(vt_train_save(run));
            saved = seconds();
        }
        VT_TRY(status);
    }
    return VT_OK;
}

/* Tests on the validation images; when asked to stop, they are to be begun again. */
static vt_status validate(vt_train_run *run, vt_accuracy *out)
{
    const vt_train_options *o = &run->options;
    vt_progress progress = {report_validation, run};
    vt_evaluate_options evaluation = {.transform = o->validation_transform,
                                      .batch = o->batch,
                                      .bf16 = o->bf16,
                                      .progress = &progress};
    vt_status status = vt_evaluate_classifier(out, run->model, o->validation, &evaluation);
    if (status == VT_EINTERRUPTED) VT_TRY(vt_train_save(run));
    return status;
}

/* Puts the epoch into the history; whether it is the best so far. */
static bool note_epoch(vt_train_run *run, const vt_accuracy *validation)
{
    const vt_tally *t = &run->tally;
    run->history[run->epoch] =
        (vt_train_epoch){.epoch = (double)run->epoch + 1,
                         .rate = vt_schedule_rate(&run->options.schedule, (double)run->epoch),
                         .loss = t->loss / t->images,
                         .top1 = t->top1 / t->images,
                         .top5 = t->top5 / t->images,
                         .validation_loss = validation->loss,
                         .validation_top1 = validation->top1,
                         .validation_top5 = validation->top5,
                         .skipped = (double)(run->skipped + validation->skipped)};
    run->epoch++;
    run->batch = 0;
    run->tally = (vt_tally){0};
    run->skipped = 0;
    if (run->best_epoch > 0 &&
        validation->top1 <= run->history[run->best_epoch - 1].validation_top1)
        return false;
    run->best_epoch = (int)run->epoch;
    return true;
}

/* The checkpoint comes after the models: who dies in between repeats the end of the epoch. */
static vt_status finish_epoch(vt_train_run *run)
{
    vt_accuracy validation;
    char path[1024];
    VT_TRY(validate(run, &validation));
    if (note_epoch(run, &validation))
        VT_TRY(
            vt_model_write(run->model, vt_train_path(run, "best.safetensors", path, sizeof path)));
    VT_TRY(vt_model_write(run->model, vt_train_path(run, "last.safetensors", path, sizeof path)));
    VT_TRY(vt_train_save(run));
    return vt_train_write_metrics(run);
}

/* The metrics so far are written first: they may be older than the checkpoint, and a folder that
 * cannot be written is found out before hours of work. */
static vt_status train(vt_train_run *run)
{
    VT_TRY(prepare(run));
    VT_TRY(vt_train_resume(run));
    VT_TRY(vt_train_write_metrics(run));
    while (run->epoch < run->options.epochs) {
        VT_TRY(train_epoch(run));
        VT_TRY(finish_epoch(run));
    }
    return VT_OK;
}

vt_status vt_train_classifier(vt_train_report *report, vt_model *model,
                              const vt_train_options *options)
{
    vt_train_run run = {.options = *options, .model = model};
    vt_status status = train(&run);
    if (status == VT_OK)
        *report = (vt_train_report){.epochs = (int)run.epoch,
                                    .best_epoch = run.best_epoch,
                                    .resumed = run.resumed,
                                    .history = run.history};
    else
        free(run.history);
    vt_loader_free(run.loader);
    vt_plan_free(run.plan);
    vt_plan_free(run.rest_plan);
    vt_workspace_free(run.workspace);
    vt_optimizer_free(run.optimizer);
    free(run.delta);
    thaw(&run);
    return status;
}

void vt_train_report_free(vt_train_report *report)
{
    free(report->history);
    report->history = NULL;
}
