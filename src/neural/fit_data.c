/* Data of a fit: sessions, z-scored responses, the order of images. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "neural/fit_run.h"
#include "ventral/rng.h"

static vt_status measure_neurons(vt_fit_run *run, vt_fit_group *g)
{
    int64_t count = g->end - g->begin;
    VT_TRY(vt_arena_alloc(run->arena, &g->mean, (size_t)g->neurons * sizeof *g->mean, "means"));
    VT_TRY(vt_arena_alloc(run->arena, &g->sd, (size_t)g->neurons * sizeof *g->sd, "deviations"));
    for (int64_t i = 0; i < g->neurons; i++) {
        const double *r = g->responses + i * g->images;
        double sum = 0, squares = 0;
        for (int64_t k = g->begin; k < g->end; k++)
            sum += r[k];
        g->mean[i] = sum / (double)count;
        for (int64_t k = g->begin; k < g->end; k++)
            squares += (r[k] - g->mean[i]) * (r[k] - g->mean[i]);
        g->sd[i] = sqrt(squares / (double)count);
        if (g->sd[i] < 1e-9) g->sd[i] = 1;
    }
    return VT_OK;
}

static vt_status open_group(vt_fit_run *run, vt_fit_group *g, const vt_fit_session *wanted)
{
    vt_session_info info;
    VT_TRY(vt_session_open(&g->session, run->options.recordings, wanted->id));
    vt_session_get_info(g->session, &info);
    if (!info.has_images)
        return vt_error(VT_ENOTFOUND, "session %s has no images in %s", info.id,
                        run->options.recordings);
    bool all = wanted->begin == 0 && wanted->end == 0;
    g->begin = wanted->begin;
    g->end = all ? info.images : wanted->end;
    g->images = info.images;
    g->neurons = info.neurons;
    if (g->begin < 0 || g->end > g->images || g->end - g->begin < 2)
        return vt_error(VT_EINVAL, "session %s: images %lld to %lld are wanted, there are %lld",
                        info.id, (long long)g->begin, (long long)g->end, (long long)g->images);
    const vt_tensor *averaged = vt_session_averaged(g->session);
    if (!averaged) return vt_error_context(VT_ENUMERIC, "session %s", info.id);
    g->responses = averaged->data;
    VT_TRY(vt_stimulus_set_from_images(&g->stimuli, vt_session_images(g->session)));
    return measure_neurons(run, g);
}

static vt_status open_taught(vt_fit_run *run)
{
    const vt_fit_taught *t = run->subject.taught;
    run->groups[0] = (vt_fit_group){.stimuli = t->stimuli,
                                    .indices = t->indices,
                                    .responses = t->responses,
                                    .end = t->images,
                                    .images = t->images,
                                    .neurons = t->neurons};
    run->neurons = t->neurons;
    return measure_neurons(run, &run->groups[0]);
}

/* The images that a front end sees, session by session. The validation session may be one of those
 * trained on. */
static vt_status open_features(vt_fit_run *run)
{
    const vt_fit_options *o = &run->options;
    const vt_fit_subject *subject = &run->subject;
    if (!subject->front) return VT_OK;
    vt_fit_session sessions[VT_FIT_SESSIONS + 1];
    vt_image_stream_options stream = {.recordings = o->recordings, .sessions = sessions};
    int64_t images = 0;
    for (int i = 0; i < o->session_count + (o->validation != NULL); i++) {
        bool last = i == o->session_count;
        const vt_fit_session *wanted = last ? o->validation : &o->sessions[i];
        vt_fit_group *g = last ? &run->validation : &run->groups[i];
        int same = 0;
        while (same < i && strcmp(o->sessions[same].id, wanted->id) != 0)
            same++;
        g->streamed = same < i ? run->groups[same].streamed : images;
        if (same < i) continue;
        sessions[stream.session_count] = (vt_fit_session){.begin = 0};
        strcpy(sessions[stream.session_count++].id, wanted->id);
        images += g->images;
    }
    vt_model_image_size(subject->core, &stream.height, &stream.width);
    VT_TRY(vt_image_stream_open(&run->stream, &stream));
    return vt_feature_cache_open(&run->features, subject->cache, subject->front, subject->tap);
}

static vt_status list_samples(vt_fit_run *run)
{
    for (int i = 0; i < run->options.session_count; i++)
        run->sample_count += run->groups[i].end - run->groups[i].begin;
    size_t count = (size_t)run->sample_count;
    VT_TRY(vt_arena_alloc(run->arena, &run->samples, count * sizeof *run->samples, "samples"));
    VT_TRY(vt_arena_alloc(run->arena, &run->order, count * sizeof *run->order, "samples"));
    vt_fit_sample *s = run->samples;
    for (int i = 0; i < run->options.session_count; i++)
        for (int64_t k = run->groups[i].begin; k < run->groups[i].end; k++)
            *s++ = (vt_fit_sample){i, k};
    if (run->options.batch > run->sample_count) run->options.batch = (int)run->sample_count;
    run->steps_per_epoch = run->sample_count / run->options.batch;
    return VT_OK;
}

vt_status vt_fit_open_data(vt_fit_run *run)
{
    const vt_fit_options *o = &run->options;
    VT_TRY(vt_arena_alloc(run->arena, &run->groups, (size_t)o->session_count * sizeof *run->groups,
                          "sessions"));
    if (run->subject.taught) VT_TRY(open_taught(run));
    for (int i = 0; i < o->session_count && !run->subject.taught; i++) {
        vt_fit_group *g = &run->groups[i];
        for (int k = 0; k < i; k++)
            if (strcmp(o->sessions[i].id, o->sessions[k].id) == 0)
                return vt_error(VT_EINVAL, "session %s is given twice", o->sessions[i].id);
        VT_TRY(open_group(run, g, &o->sessions[i]));
        g->first = run->neurons;
        run->neurons += g->neurons;
    }
    run->outputs = run->neurons; /* those of other sessions have no response to an image */
    run->absent = NAN;
    if (o->validation) VT_TRY(open_group(run, &run->validation, o->validation));
    VT_TRY(open_features(run));
    return list_samples(run);
}

static void close_group(vt_fit_group *g)
{
    vt_stimulus_set_close(g->stimuli);
    vt_session_close(g->session);
}

void vt_fit_close_data(vt_fit_run *run)
{
    for (int i = 0; run->groups && !run->subject.taught && i < run->options.session_count; i++)
        close_group(&run->groups[i]);
    close_group(&run->validation);
    vt_feature_cache_close(run->features);
    vt_image_stream_close(run->stream);
}

void vt_fit_shuffle(vt_fit_run *run, int epoch)
{
    vt_rng rng;
    for (int64_t i = 0; i < run->sample_count; i++)
        run->order[i] = i;
    vt_rng_init(&rng, run->options.seed, VT_RNG_SHUFFLE, (uint32_t)epoch, 0);
    vt_rng_shuffle(&rng, run->order, run->sample_count);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Responses of one sample. */
static void fill_target(const vt_fit_run *run, const vt_fit_sample *s, float *target)
{
    const vt_fit_group *g = &run->groups[s->group];
    for (int64_t i = 0; i < run->outputs; i++)
        target[i] = run->absent;
    for (int64_t i = 0; i < g->neurons; i++)
        target[g->first + i] =
            (float)((g->responses[i * g->images + s->image] - g->mean[i]) / g->sd[i]);
}

vt_status vt_fit_load_images(vt_fit_run *run, const vt_fit_group *g, const int64_t *images,
                             int64_t count, float *out)
{
    const vt_model *core = run->subject.core;
    int height, width;
    int64_t indices[count];
    if (run->features) {
        for (int64_t i = 0; i < count; i++)
            indices[i] = g->streamed + images[i];
        return vt_feature_cache_read(run->features, run->stream, indices, count, out);
    }
    vt_model_image_size(core, &height, &width);
    for (int64_t i = 0; i < count; i++)
        indices[i] = g->indices ? g->indices[images[i]] : images[i];
    VT_TRY(
        vt_stimulus_set_read(g->stimuli, indices, count, height, width, &core->preprocessing, out));
    for (int64_t k = 0; k < count * height * width * 3; k++)
        out[k] *= (float)(1 / VT_FIT_PIXEL_SCALE);
    return VT_OK;
}

vt_status vt_fit_load_batch(vt_fit_run *run, int64_t step)
{
    int batch = run->options.batch;
    int64_t indices[batch], images[batch];
    vt_tensor *input = vt_plan_input(run->plan, run->image);
    vt_tensor *groups = vt_plan_input(run->plan, run->group); /* NULL: the readout is one for all */
    float *targets = vt_plan_input(run->plan, run->target)->data;
    int64_t floats = vt_tensor_count(input) / batch;
    memcpy(indices, run->order + step * batch, sizeof indices);
    qsort(indices, (size_t)batch, sizeof *indices, ascending); /* sessions together */
    for (int first = 0; first < batch;) {
        int group = run->samples[indices[first]].group, count = 0;
        for (; first + count < batch && run->samples[indices[first + count]].group == group;
             count++) {
            const vt_fit_sample *s = &run->samples[indices[first + count]];
            images[count] = s->image;
            if (groups) ((float *)groups->data)[first + count] = (float)group;
            fill_target(run, s, targets + (first + count) * run->outputs);
        }
        VT_TRY(vt_fit_load_images(run, &run->groups[group], images, count,
                                  (float *)input->data + first * floats));
        first += count;
    }
    return VT_OK;
}
