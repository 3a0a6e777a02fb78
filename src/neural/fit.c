/* Fitting a shared compact model directly to recordings: the loop (see ventral/fit.h). */
#include "ventral/fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "neural/fit_run.h"

#define AVERAGE_DECAY 0.99
#define WARMUP 0.1 /* of all epochs */
#define SECONDS_BETWEEN_SAVES 60

static vt_status resolve(vt_fit_options *out, const vt_fit_options *given)
{
    vt_fit_options o = *given;
    if (o.session_count < 1 || o.session_count > VT_FIT_SESSIONS)
        return vt_error(VT_EINVAL, "fit: %d sessions; 1 to %d are possible", o.session_count,
                        VT_FIT_SESSIONS);
    if (o.epochs == 0) o.epochs = 10;
    if (o.batch == 0) o.batch = 32;
    if (o.rate == 0) o.rate = 0.006;
    if (o.weight_decay == 0) o.weight_decay = 1e-4;
    if (o.epochs < 1 || o.epochs > 100000 || o.batch < 2 || o.batch > 4096)
        return vt_error(VT_EINVAL, "fit: %d epochs of batches of %d are not possible", o.epochs,
                        o.batch);
    if (!(o.rate > 0) || !(o.weight_decay >= 0) || !(o.blur >= 0) || o.patience < 0)
        return vt_error(VT_EINVAL, "fit: rate, weight decay, blur and patience cannot be negative");
    *out = o;
    return VT_OK;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void average_weights(vt_fit_run *run)
{
    double t = (double)run->step;
    float keep = (float)fmin(AVERAGE_DECAY, (1 + t) / (10 + t));
    float *average = run->average;
    for (int i = 0; i < vt_graph_param_count(run->graph); i++) {
        const vt_tensor *value = &vt_graph_param(run->graph, i)->value;
        const float *w = value->data;
        for (int64_t k = 0; k < vt_tensor_count(value); k++, average++)
            *average = keep * *average + (1 - keep) * w[k];
    }
}

vt_status vt_fit_step(vt_fit_run *run, int64_t batch, double rate)
{
    VT_TRY(vt_fit_load_batch(run, batch));
    vt_plan_set_step(run->plan, (uint32_t)run->step);
    VT_TRY(vt_plan_forward(run->plan));
    double loss = vt_tensor_get(vt_plan_output(run->plan, run->loss), 0);
    if (!isfinite(loss))
        return vt_error(VT_ENUMERIC,
                        "the loss is not finite at step %lld: try a lower rate than %g",
                        (long long)run->step, run->options.rate);
    VT_TRY(vt_plan_backward(run->plan));
    VT_TRY(vt_optimizer_step(run->optimizer, rate));
    run->loss_sum += loss;
    run->step++;
    return VT_OK;
}

static vt_status take_step(vt_fit_run *run)
{
    const vt_fit_options *o = &run->options;
    vt_schedule schedule = {.kind = VT_SCHEDULE_COSINE,
                            .rate = o->rate,
                            .warmup = WARMUP * o->epochs,
                            .epochs = o->epochs};
    double epoch = (double)run->step / (double)run->steps_per_epoch;
    double rate = fmax(vt_schedule_rate(&schedule, epoch), 1e-3 * o->rate);
    VT_TRY(vt_fit_step(run, run->step % run->steps_per_epoch, rate));
    average_weights(run);
    return VT_OK;
}

vt_status vt_fit_end_round(vt_fit_run *run, double loss)
{
    vt_fit_epoch *record = &run->history[run->done];
    record->loss = loss;
    record->validation = NAN;
    if (run->validation.session) VT_TRY(vt_fit_validate(run, run->average, &record->validation));
    run->done++;
    double score = run->validation.session ? record->validation : run->done;
    if (run->best_epoch == 0 || score > run->best_score) {
        run->best_epoch = run->done;
        run->best_score = score;
        memcpy(run->best, run->average, (size_t)run->floats * sizeof *run->best);
    }
    run->loss_sum = 0;
    return VT_OK;
}

static vt_status end_epoch(vt_fit_run *run)
{
    VT_TRY(vt_fit_end_round(run, run->loss_sum / (double)run->steps_per_epoch));
    if (run->options.blur > 0)
        VT_TRY(vt_blur_kernels(run->graph, ".depthwise_kernel", run->options.blur));
    return VT_OK;
}

/* ---- the loop ---- */

static vt_status report_progress(const vt_fit_run *run)
{
    char line[160];
    int done = run->done;
    int64_t in_epoch = run->step % run->steps_per_epoch;
    double loss = in_epoch ? run->loss_sum / (double)in_epoch
                  : done   ? run->history[done - 1].loss
                           : NAN;
    int used = snprintf(line, sizeof line, "epoch %d of %d, loss %.4f",
                        done < run->rounds ? done + 1 : done, run->rounds, loss);
    if (done > 0 && isfinite(run->history[done - 1].validation))
        snprintf(line + used, sizeof line - (size_t)used, ", validation r %.4f",
                 run->history[done - 1].validation);
    return vt_progress_report(run->options.progress, run->step * run->options.batch,
                              run->steps * run->options.batch, line);
}

bool vt_fit_out_of_patience(const vt_fit_run *run)
{
    return run->options.patience > 0 && run->validation.session &&
           run->done - run->best_epoch >= run->options.patience;
}

vt_status vt_fit_keep(vt_fit_run *run, vt_status status, bool due)
{
    if (run->saved == 0) run->saved = seconds();
    if (status == VT_OK && !due && seconds() - run->saved <= SECONDS_BETWEEN_SAVES) return VT_OK;
    vt_error_state why;
    vt_error_save(&why, status);
    VT_TRY(vt_fit_save(run));
    run->saved = seconds();
    return status == VT_OK ? VT_OK : vt_error_restore(&why);
}

static vt_status train(vt_fit_run *run)
{
    int shuffled = -1;
    while (run->step < run->steps && !vt_fit_out_of_patience(run)) {
        if (shuffled != run->done) vt_fit_shuffle(run, shuffled = run->done);
        VT_TRY(take_step(run));
        bool epoch_ends = run->step % run->steps_per_epoch == 0;
        if (epoch_ends) VT_TRY(end_epoch(run));
        VT_TRY(vt_fit_keep(run, report_progress(run), epoch_ends));
    }
    return VT_OK;
}

static vt_status fit_jointly(vt_fit_run *run, const vt_fit_options *options)
{
    VT_TRY(resolve(&run->options, options));
    VT_TRY(vt_fit_open_data(run));
    run->rounds = run->options.epochs;
    run->steps = run->steps_per_epoch * run->rounds;
    VT_TRY(vt_arena_alloc(run->arena, &run->history, (size_t)run->rounds * sizeof *run->history,
                          "history"));
    VT_TRY(vt_fit_make_network(run));
    VT_TRY(vt_fit_resume(run));
    run->done = (int)(run->step / run->steps_per_epoch);
    return train(run);
}

static vt_status make_report(vt_fit_report *out, const vt_fit_run *run)
{
    int epochs = run->done;
    vt_fit_epoch *history = vt_alloc((size_t)epochs, sizeof *history);
    if (!history) return VT_ENOMEM;
    memcpy(history, run->history, (size_t)epochs * sizeof *history);
    *out = (vt_fit_report){.epochs = epochs,
                           .best_epoch = run->best_epoch,
                           .resumed = run->resumed,
                           .images = run->sample_count,
                           .neurons = run->neurons,
                           .history = history};
    return VT_OK;
}

vt_status vt_fit_core(vt_model **out, vt_fit_report *report, const vt_fit_options *options,
                      const vt_fit_subject *subject)
{
    vt_fit_run run = {.subject = *subject};
    vt_model *model = NULL;
    vt_status status = vt_arena_new(&run.arena);
    if (status == VT_OK)
        status =
            subject->by_session ? vt_fit_by_session(&run, options) : fit_jointly(&run, options);
    if (status == VT_OK) status = vt_fit_export(&model, &run, run.best, !subject->by_session);
    if (status == VT_OK && report) status = make_report(report, &run);
    vt_fit_free_network(&run);
    if (run.arena) vt_fit_close_data(&run);
    vt_arena_free(run.arena);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    *out = model;
    return VT_OK;
}

vt_status vt_fit(vt_model **out, vt_fit_report *report, const vt_fit_options *options)
{
    static const int filters[VT_COMPACT_LAYERS] = {16, 32, 32, 64, 64};
    vt_compact_options shape = {.shared = true};
    vt_model *core;
    bool no_filters = true;
    for (int i = 0; i < VT_COMPACT_LAYERS; i++)
        no_filters = no_filters && options->filters[i] == 0;
    memcpy(shape.filters, no_filters ? filters : options->filters, sizeof filters);
    VT_TRY(vt_compact_new(&core, &shape));
    vt_status status = vt_fit_core(out, report, options, &(vt_fit_subject){.core = core});
    vt_model_free(core);
    return status;
}

void vt_fit_report_free(vt_fit_report *report)
{
    free(report->history);
    report->history = NULL;
}
