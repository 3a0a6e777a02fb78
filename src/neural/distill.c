/* Distillation: the loop (see ventral/distill.h; Cowley, Stan, Pillow & Smith 2026).
 *
 * Every batch of images is read once and shown to all students in turn, which share one block of
 * memory for their activations and know nothing of each other. */
#include "ventral/distill.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "neural/distill_run.h"
#include "ventral/score.h"

#define WARMUP 0.05 /* of all steps, with `cosine` */
#define SECONDS_BETWEEN_SAVES 60
enum { SETTLING = 16 }; /* batches from which running statistics are estimated */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static vt_status resolve(vt_distill_options *o)
{
    if (o->passes == 0) o->passes = 1;
    if (o->batch == 0) o->batch = 64;
    if (o->rate == 0) o->rate = 1e-4;
    if (o->blur == 0) o->blur = 0.5;
    if (o->readout_rate == 0) o->readout_rate = 1;
    if (o->blur < 0) o->blur = -1;
    if (o->passes < 1 || o->passes > 1000000 || o->batch < 2 || o->batch > 4096)
        return vt_error(VT_EINVAL, "distill: %d passes in batches of %d are not possible",
                        o->passes, o->batch);
    if (o->stretch < 0 || o->held_out < 0 || o->held_out == 1)
        return vt_error(VT_EINVAL,
                        "distill: stretches of %lld images, %lld held out; a correlation needs at "
                        "least 2",
                        (long long)o->stretch, (long long)o->held_out);
    if (!(o->rate > 0 && o->rate < INFINITY) || !(o->clip_value >= 0) || !isfinite(o->blur) ||
        !(o->readout_rate > 0 && o->readout_rate < INFINITY))
        return vt_error(VT_EINVAL,
                        "distill: rate %g, readout rate %g, clip %g and blur %g are not possible",
                        o->rate, o->readout_rate, o->clip_value, o->blur);
    return VT_OK;
}

/* ---- stretches ---- */

int vt_distill_due(const vt_distill_run *run, int64_t step)
{
    bool last = step == run->steps && step % run->stretch != 0;
    return step < 0 ? 0 : (int)(step / run->stretch) + last;
}

static vt_status report_progress(const vt_distill_run *run, const char *what)
{
    char line[160];
    int shown = run->measured;
    int used = snprintf(line, sizeof line, "%s %d of %d", what,
                        shown < run->stretches ? shown + 1 : shown, run->stretches);
    int64_t steps = run->step - shown * run->stretch;
    double loss = 0;
    for (int64_t i = 0; i < run->neurons; i++)
        loss += run->sums[i] / (double)run->neurons;
    if (steps > 0)
        used +=
            snprintf(line + used, sizeof line - (size_t)used, ", loss %.4f", loss / (double)steps);
    if (shown > 0)
        snprintf(line + used, sizeof line - (size_t)used, ", held-out r %.4f",
                 vt_median(run->r + (shown - 1) * run->neurons, run->neurons));
    return vt_progress_report(run->options.progress, run->step * run->options.batch,
                              run->steps * run->options.batch, line);
}

static vt_status correlate(const vt_distill_run *run, double *r)
{
    double *columns = vt_alloc((size_t)run->held_out, 2 * sizeof *columns);
    if (!columns) return VT_ENOMEM;
    double *a = columns, *b = columns + run->held_out;
    for (int64_t i = 0; i < run->neurons; i++) {
        for (int64_t k = 0; k < run->held_out; k++) {
            a[k] = run->predictions[k * run->neurons + i];
            b[k] = run->measured_targets[k * run->neurons + i];
        }
        r[i] = vt_pearson(a, b, run->held_out);
    }
    free(columns);
    return VT_OK;
}

/* The running statistics of training are late, by a hundred steps, and a few hundred steps after
 * the start they still are those of a new model. They are estimated anew with the weights as they
 * are now, on images of this pass. Whoever stops it begins it again. */
static vt_status settle(vt_distill_run *run)
{
    const float *images;
    int64_t count, batches = run->steps_per_pass < SETTLING ? run->steps_per_pass : SETTLING;
    vt_distill_shuffle(run, (run->step - 1) / run->steps_per_pass);
    vt_distill_reader_start(run->reader, run->ordered, batches * run->options.batch);
    for (int number = 0; number < batches; number++) {
        VT_TRY(vt_distill_reader_next(run->reader, &images, &count));
        VT_TRY(vt_distill_settle(run, images, number));
        VT_TRY(report_progress(run, "statistics of stretch"));
    }
    return VT_OK;
}

/* Correlations on held-out images. Whoever stops it begins it again. */
static vt_status measure(vt_distill_run *run, double *r)
{
    const float *images;
    int64_t count, first = 0;
    vt_distill_reader_start(run->reader, run->measuring, run->held_out);
    for (;;) {
        VT_TRY(vt_distill_reader_next(run->reader, &images, &count));
        if (count == 0) break;
        VT_TRY(vt_distill_predict(run, images, first, count));
        first += count;
        VT_TRY(report_progress(run, "measuring stretch"));
    }
    return correlate(run, r);
}

static vt_status end_stretch(vt_distill_run *run)
{
    int64_t offset = run->measured * run->neurons;
    int64_t steps = run->step - run->measured * run->stretch;
    VT_TRY(settle(run));
    VT_TRY(measure(run, run->r + offset));
    if (run->step < run->steps && run->options.blur > 0) VT_TRY(vt_distill_blur(run));
    for (int64_t i = 0; i < run->neurons; i++) {
        run->loss[offset + i] = run->sums[i] / (double)steps;
        run->sums[i] = 0;
    }
    run->measured++;
    return VT_OK;
}

/* ---- the loop ---- */

/* The reader goes on from the present step; batches are whole, so what is left over of a pass is
 * not shown in it. */
static void start_reading(vt_distill_run *run)
{
    int64_t batch = run->options.batch, done = run->step % run->steps_per_pass;
    vt_distill_shuffle(run, run->step / run->steps_per_pass);
    vt_distill_reader_start(run->reader, run->ordered + done * batch,
                            (run->steps_per_pass - done) * batch);
}

static vt_status take_step(vt_distill_run *run)
{
    const float *images;
    int64_t count, first = run->step % run->steps_per_pass * run->options.batch;
    double rate = run->options.rate, steps = (double)run->steps;
    vt_schedule schedule = {
        .kind = VT_SCHEDULE_COSINE, .rate = rate, .warmup = WARMUP * steps, .epochs = steps};
    if (run->options.cosine) rate = vt_schedule_rate(&schedule, (double)run->step + 0.5);
    VT_TRY(vt_distill_reader_next(run->reader, &images, &count));
    VT_TRY(vt_distill_step(run, images, first, rate));
    run->step++;
    return VT_OK;
}

static vt_status advance(vt_distill_run *run, bool *reading)
{
    if (!*reading) start_reading(run);
    VT_TRY(take_step(run));
    *reading = run->step % run->steps_per_pass != 0;
    return report_progress(run, "stretch");
}

static vt_status train(vt_distill_run *run)
{
    double saved = seconds();
    bool reading = false;
    while (run->measured < run->stretches) {
        bool ended = run->measured < vt_distill_due(run, run->step);
        vt_status status = ended ? end_stretch(run) : advance(run, &reading);
        if (status != VT_OK && status != VT_EINTERRUPTED) return status;
        reading = reading && !ended;
        if (status != VT_OK || ended || seconds() - saved > SECONDS_BETWEEN_SAVES) {
            vt_error_state why;
            vt_error_save(&why, status);
            VT_TRY(vt_distill_save(run));
            saved = seconds();
            if (status != VT_OK) return vt_error_restore(&why);
        }
    }
    return VT_OK;
}

static vt_status allocate(vt_distill_run *run)
{
    size_t neurons = (size_t)run->neurons * sizeof(double), course;
    if (!vt_mul_ok(&course, neurons, (size_t)run->stretches))
        return vt_error(VT_EINVAL, "distill: %d stretches are too many", run->stretches);
    VT_TRY(vt_arena_alloc(run->arena, &run->sums, neurons, "losses"));
    VT_TRY(vt_arena_alloc(run->arena, &run->loss, course, "the course"));
    VT_TRY(vt_arena_alloc(run->arena, &run->r, course, "the course"));
    return vt_arena_alloc(run->arena, &run->predictions,
                          (size_t)run->held_out * (size_t)run->neurons * sizeof(float),
                          "predictions");
}

static vt_status plan_time(vt_distill_run *run)
{
    vt_distill_options *o = &run->options;
    if (o->batch > run->trained) o->batch = (int)run->trained;
    run->steps_per_pass = run->trained / o->batch;
    run->steps = run->steps_per_pass * o->passes;
    run->stretch = o->stretch ? (o->stretch + o->batch / 2) / o->batch : run->steps_per_pass;
    if (run->stretch < 1) run->stretch = 1;
    int64_t stretches = (run->steps + run->stretch - 1) / run->stretch;
    if (stretches > 1000000)
        return vt_error(VT_EINVAL, "distill: %lld stretches are too many; lengthen them",
                        (long long)stretches);
    run->stretches = (int)stretches;
    return allocate(run);
}

static vt_status prepare(vt_distill_run *run, const vt_distill_student *students)
{
    VT_TRY(resolve(&run->options));
    VT_TRY(vt_arena_new(&run->arena));
    VT_TRY(vt_distill_enrol(run, students));
    VT_TRY(vt_distill_split(run));
    VT_TRY(plan_time(run));
    VT_TRY(vt_distill_plan(run));
    VT_TRY(vt_distill_ask(run));
    VT_TRY(vt_distill_reader_new(&run->reader, run->stream, run->options.batch,
                                 vt_model_preprocessing(students[0].model)));
    VT_TRY(vt_distill_resume(run));
    if (!run->resumed) vt_distill_unfold(run);
    vt_distill_standardize(run);
    return VT_OK;
}

static vt_status make_report(vt_distill_report *out, const vt_distill_run *run)
{
    size_t count = (size_t)(run->stretches * run->neurons);
    double *values = vt_alloc(count, 2 * sizeof *values);
    if (!values) return VT_ENOMEM;
    memcpy(values, run->loss, count * sizeof *values);
    memcpy(values + count, run->r, count * sizeof *values);
    *out = (vt_distill_report){.stretches = run->stretches,
                               .trained = run->trained,
                               .held_out = run->held_out,
                               .resumed = run->resumed,
                               .processor_seconds = vt_distill_seconds(run),
                               .neurons = run->neurons,
                               .loss = values,
                               .r = values + count};
    return VT_OK;
}

vt_status vt_distill(const vt_distill_student *students, int count, vt_teacher *teacher,
                     vt_image_stream *stream, const vt_distill_options *options,
                     vt_distill_report *report)
{
    vt_distill_run run = {.options = *options,
                          .stream = stream,
                          .teacher = teacher,
                          .count = count,
                          .clock = (double)clock() / CLOCKS_PER_SEC};
    vt_status status = prepare(&run, students);
    if (status == VT_OK) status = train(&run);
    if (status == VT_OK && report) status = make_report(report, &run);
    if (status == VT_OK)
        vt_distill_fold(&run);
    else
        vt_distill_restore(&run);
    vt_distill_reader_free(run.reader);
    vt_distill_dismiss(&run);
    vt_arena_free(run.arena);
    return status;
}

void vt_distill_report_free(vt_distill_report *report)
{
    free(report->loss);
    report->loss = report->r = NULL;
}
