/* Scores of the stages of a compressed population: with recorded responses, and with the teacher's,
 * on the second half of the session's images. */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "neural/compress_run.h"

enum { BOOTSTRAP_SAMPLES = 2000 };

/* The score of one stage, rows in the order of run->neurons. */
typedef struct stage_score {
    vt_session_score score;
    int64_t *row; /* of run->neurons[i] in the score */
    vt_model **models;
    int model_count;
} stage_score;

static vt_status read_models(stage_score *s, const vt_compress_run *run, vt_compress_stage stage)
{
    char path[VT_COMPRESS_PATH];
    s->models = vt_alloc((size_t)run->count, sizeof *s->models);
    if (!s->models) return VT_ENOMEM;
    for (; s->model_count < run->count; s->model_count++) {
        VT_TRY(vt_compress_path(path, run, stage, run->neurons[s->model_count], "safetensors"));
        VT_TRY(vt_model_read(&s->models[s->model_count], path));
    }
    return VT_OK;
}

static vt_status score_models(stage_score *s, const vt_compress_run *run, vt_model *const *models,
                              int count)
{
    vt_score_options options = {.neurons = run->neurons,
                                .neuron_count = run->count,
                                .seed = run->options.distill.seed,
                                .progress = run->options.progress};
    VT_TRY(vt_range_parse(&options.begin, &options.end, "second", run->info.images));
    VT_TRY(vt_score_session(&s->score, models, count, run->session, &options));
    s->row = vt_alloc((size_t)run->count, sizeof *s->row);
    if (!s->row) return VT_ENOMEM;
    for (int64_t i = 0; i < run->count; i++)
        for (int64_t k = s->score.count - 1; k >= 0; k--)
            if (s->score.neurons[k].neuron == run->neurons[i]) s->row[i] = k;
    return VT_OK;
}

static vt_status score_stage(stage_score *s, const vt_compress_run *run, vt_compress_stage stage)
{
    if (stage == VT_COMPRESS_TEACHER)
        return score_models(s, run, run->teachers, run->teacher_count);
    VT_TRY(read_models(s, run, stage));
    return score_models(s, run, s->models, s->model_count);
}

static void free_stage(stage_score *s)
{
    vt_session_score_free(&s->score);
    for (int i = 0; i < s->model_count; i++)
        vt_model_free(s->models[i]);
    free(s->models);
    free(s->row);
}

/* Correlation of two rows of predictions. */
static vt_status correlate(double *out, const stage_score *a, const stage_score *b, int64_t neuron)
{
    int64_t images = a->score.end - a->score.begin;
    const float *x = (const float *)a->score.predictions.data + a->row[neuron] * images;
    const float *y = (const float *)b->score.predictions.data + b->row[neuron] * images;
    double *both = vt_alloc((size_t)images, 2 * sizeof *both);
    if (!both) return VT_ENOMEM;
    for (int64_t i = 0; i < images; i++) {
        both[i] = (double)x[i];
        both[images + i] = (double)y[i];
    }
    *out = vt_pearson(both, both + images, images);
    free(both);
    return VT_OK;
}

static vt_status fill_stage(vt_compress_neuron *out, const vt_compress_run *run,
                            const stage_score *s, const stage_score *teacher,
                            vt_compress_stage stage)
{
    for (int64_t i = 0; i < run->count; i++) {
        const vt_neuron_score *n = &s->score.neurons[s->row[i]];
        vt_model *model =
            stage == VT_COMPRESS_TEACHER ? run->teachers[n->model] : s->models[n->model];
        vt_compact_options shape;
        out[i].neuron = run->neurons[i];
        out[i].parameters[stage] = vt_model_parameters(model);
        out[i].r[stage] = n->r;
        out[i].r2_er[stage] = n->r2_er;
        VT_TRY(correlate(&out[i].r_teacher[stage], s, teacher, i));
        if (stage != VT_COMPRESS_COMPACT) continue;
        VT_TRY(vt_model_compact_options(model, &shape));
        for (int k = 0; k < VT_COMPACT_LAYERS; k++)
            out[i].filters[k] = shape.filters[k];
    }
    return VT_OK;
}

vt_status vt_compress_score(vt_compress_report *report, const vt_compress_run *run)
{
    stage_score teacher = {.model_count = 0};
    vt_compress_neuron *neurons = vt_alloc((size_t)run->count, sizeof *neurons);
    vt_status status = neurons ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = score_stage(&teacher, run, VT_COMPRESS_TEACHER);
    if (status == VT_OK) status = fill_stage(neurons, run, &teacher, &teacher, VT_COMPRESS_TEACHER);
    for (int k = VT_COMPRESS_STUDENT; k < VT_COMPRESS_STAGES && status == VT_OK; k++) {
        stage_score s = {.model_count = 0};
        vt_compress_stage stage = (vt_compress_stage)k;
        status = score_stage(&s, run, stage);
        if (status == VT_OK) status = fill_stage(neurons, run, &s, &teacher, stage);
        free_stage(&s);
    }
    free_stage(&teacher);
    if (status != VT_OK) {
        free(neurons);
        return status;
    }
    report->neurons = neurons;
    report->count = run->count;
    return VT_OK;
}

vt_status vt_compress_score_shared(vt_compress_shared *out, const vt_compress_run *run,
                                   vt_model *model)
{
    stage_score teacher = {.model_count = 0}, own = {.model_count = 0};
    double *r = vt_alloc((size_t)run->count, sizeof *r);
    vt_status status = r ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = score_stage(&teacher, run, VT_COMPRESS_TEACHER);
    if (status == VT_OK) status = score_models(&own, run, &model, 1);
    for (int64_t i = 0; i < run->count && status == VT_OK; i++)
        status = correlate(&r[i], &own, &teacher, i);
    if (status == VT_OK)
        status = vt_median_interval(&out->r_teacher, r, run->count, 0.9, BOOTSTRAP_SAMPLES,
                                    run->options.distill.seed);
    out->parameters = vt_model_parameters(model);
    out->r2 = own.score.r2;
    out->r2_er = own.score.r2_er;
    free_stage(&teacher);
    free_stage(&own);
    free(r);
    return status;
}
