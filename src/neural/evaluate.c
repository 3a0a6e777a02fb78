/* Scores of models on sessions. */
#include "ventral/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { BOOTSTRAP_SAMPLES = 2000, SPLITS = 50 };

/* Which of a model's outputs are the session's neurons. */
static vt_status outputs_for(vt_model_session *out, const vt_model *model,
                             const vt_session_info *info)
{
    const vt_model_session *known = vt_model_find_session(model, info->id);
    if (known) {
        if (known->first_neuron + known->count > info->neurons)
            return vt_error(VT_EINVAL,
                            "%s predicts neurons %lld to %lld of session %s, which has %lld",
                            vt_model_label(model), (long long)known->first_neuron,
                            (long long)(known->first_neuron + known->count - 1), info->id,
                            (long long)info->neurons);
        *out = *known;
        return VT_OK;
    }
    if (vt_model_session_count(model) > 0)
        return vt_error(VT_EINVAL, "%s was made for session %s%s, not for %s",
                        vt_model_label(model), vt_model_session_at(model, 0)->id,
                        vt_model_session_count(model) > 1 ? " and others" : "", info->id);
    if (vt_model_outputs(model) != info->neurons)
        return vt_error(VT_EINVAL,
                        "%s has %lld outputs and does not say which neurons of session %s "
                        "they are (it has %lld)",
                        vt_model_label(model), (long long)vt_model_outputs(model), info->id,
                        (long long)info->neurons);
    *out = (vt_model_session){.count = info->neurons};
    return VT_OK;
}

static bool wanted(const vt_score_options *options, int64_t neuron)
{
    if (!options->neurons) return true;
    for (int64_t i = 0; i < options->neuron_count; i++)
        if (options->neurons[i] == neuron) return true;
    return false;
}

/* The scored neurons, and for each the row of all predictions it is in. */
static vt_status choose(vt_session_score *score, int64_t **out_rows, vt_model *const *models,
                        int count, const vt_session_info *info, const vt_score_options *options)
{
    int64_t total = 0, row = 0;
    for (int m = 0; m < count; m++)
        total += vt_model_outputs(models[m]);
    score->neurons = vt_alloc((size_t)total, sizeof *score->neurons);
    *out_rows = vt_alloc((size_t)total, sizeof **out_rows);
    if (!score->neurons || !*out_rows) return VT_ENOMEM;
    for (int m = 0; m < count; m++) {
        vt_model_session s = {.count = 0};
        VT_TRY(outputs_for(&s, models[m], info));
        for (int64_t i = 0; i < s.count; i++) {
            if (!wanted(options, s.first_neuron + i)) continue;
            (*out_rows)[score->count] = row + s.first + i;
            score->neurons[score->count++] =
                (vt_neuron_score){.neuron = s.first_neuron + i, .model = m};
        }
        row += vt_model_outputs(models[m]);
    }
    for (int64_t i = 0; options->neurons && i < options->neuron_count; i++) {
        bool found = false;
        for (int64_t k = 0; k < score->count; k++)
            found = found || score->neurons[k].neuron == options->neurons[i];
        if (!found)
            return vt_error(VT_ENOTFOUND, "no model predicts neuron %lld of session %s",
                            (long long)options->neurons[i], info->id);
    }
    return VT_OK;
}

/* Keeps the rows of scored neurons. */
static vt_status keep_rows(vt_session_score *score, const vt_tensor *all, const int64_t *rows)
{
    int64_t images = all->size[1];
    VT_TRY(vt_tensor_new(&score->predictions, VT_F32, 2, (int64_t[]){score->count, images}));
    for (int64_t i = 0; i < score->count; i++)
        memcpy((float *)score->predictions.data + i * images,
               (const float *)all->data + rows[i] * images, (size_t)images * sizeof(float));
    return VT_OK;
}

static vt_status score_neuron(vt_neuron_score *n, const vt_session_score *score, const float *row,
                              const vt_tensor *averaged, const vt_tensor *raw, double *prediction,
                              uint64_t seed)
{
    int64_t images = score->end - score->begin;
    for (int64_t i = 0; i < images; i++)
        prediction[i] = (double)row[i];
    n->r = n->r2_er = n->snr = n->reliability = NAN;
    if (averaged) {
        int64_t width = averaged->size[1];
        n->r = vt_pearson(
            prediction, (const double *)averaged->data + n->neuron * width + score->begin, images);
    }
    n->r2 = n->r * n->r;
    if (!raw) return VT_OK;
    int64_t repeats = raw->size[2];
    const double *responses =
        (const double *)raw->data + (n->neuron * raw->size[1] + score->begin) * repeats;
    VT_TRY(vt_r2_er(&n->r2_er, prediction, responses, images, repeats));
    VT_TRY(vt_snr(&n->snr, responses, images, repeats));
    return vt_split_half(&n->reliability, responses, images, repeats, SPLITS, seed);
}

static vt_status summarise(vt_session_score *score, double *values, uint64_t seed)
{
    const struct {
        vt_interval *out;
        size_t offset;
    } what[] = {{&score->r, offsetof(vt_neuron_score, r)},
                {&score->r2, offsetof(vt_neuron_score, r2)},
                {&score->r2_er, offsetof(vt_neuron_score, r2_er)}};
    for (size_t w = 0; w < sizeof what / sizeof *what; w++) {
        for (int64_t i = 0; i < score->count; i++)
            memcpy(&values[i], (const char *)&score->neurons[i] + what[w].offset, sizeof *values);
        VT_TRY(vt_median_interval(what[w].out, values, score->count, 0.9, BOOTSTRAP_SAMPLES, seed));
    }
    return VT_OK;
}

static vt_status fill(vt_session_score *score, vt_session *session, const vt_score_options *options)
{
    const vt_tensor *averaged = vt_session_averaged(session), *raw = vt_session_raw(session);
    if (!averaged && !raw) return VT_ENOTFOUND;
    int64_t images = score->end - score->begin;
    int64_t longest = images > score->count ? images : score->count;
    double *scratch = vt_alloc((size_t)longest, sizeof *scratch);
    if (!scratch) return VT_ENOMEM;
    vt_status status = VT_OK;
    for (int64_t i = 0; i < score->count && status == VT_OK; i++)
        status = score_neuron(&score->neurons[i], score,
                              (const float *)score->predictions.data + i * images, averaged, raw,
                              scratch, options->seed);
    if (status == VT_OK) status = summarise(score, scratch, options->seed);
    free(scratch);
    return status;
}

vt_status vt_score_session(vt_session_score *out, vt_model *const *models, int count,
                           vt_session *session, const vt_score_options *options)
{
    vt_session_info info;
    vt_session_get_info(session, &info);
    if (!info.has_images)
        return vt_error(VT_ENOTFOUND, "session %s has no images to show to a model", info.id);
    bool all = options->begin == 0 && options->end == 0;
    vt_session_score score = {.begin = options->begin, .end = all ? info.images : options->end};
    vt_stimulus_set *stimuli = NULL;
    vt_tensor predictions = {.data = NULL};
    int64_t *rows = NULL;
    vt_status status = choose(&score, &rows, models, count, &info, options);
    if (status == VT_OK) status = vt_stimulus_set_from_images(&stimuli, vt_session_images(session));
    if (status == VT_OK) {
        vt_predict_options o = {
            .begin = score.begin, .end = score.end, .progress = options->progress};
        status = vt_predict_responses(&predictions, models, count, stimuli, &o);
    }
    if (status == VT_OK) status = keep_rows(&score, &predictions, rows);
    if (status == VT_OK) status = fill(&score, session, options);
    vt_stimulus_set_close(stimuli);
    vt_tensor_free(&predictions);
    free(rows);
    if (status != VT_OK) {
        vt_session_score_free(&score);
        return status;
    }
    *out = score;
    return VT_OK;
}

void vt_session_score_free(vt_session_score *score)
{
    free(score->neurons);
    vt_tensor_free(&score->predictions);
    score->neurons = NULL;
}
