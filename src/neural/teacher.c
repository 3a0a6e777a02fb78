/* Teachers: the responses of many models to one stream of images: their outputs, and whose neurons
 * they are. */
#include "ventral/teacher.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "neural/probes.h"

struct vt_teacher {
    vt_teacher_neuron *neurons;
    int64_t neuron_count;
    vt_probes *probes;
};

static void describe_neuron(vt_teacher_neuron *out, const vt_model *model, int number,
                            int64_t output)
{
    *out = (vt_teacher_neuron){.neuron = output, .model = number, .output = output};
    for (int i = 0; i < vt_model_session_count(model); i++) {
        const vt_model_session *session = vt_model_session_at(model, i);
        if (output < session->first || output >= session->first + session->count) continue;
        memcpy(out->session, session->id, sizeof out->session);
        out->neuron = session->first_neuron + output - session->first;
        return;
    }
}

static vt_status list_neurons(vt_teacher *t, vt_model *const *models, int count)
{
    for (int m = 0; m < count; m++) {
        if (vt_model_outputs(models[m]) < 1)
            return vt_error(VT_EINVAL, "%s has no neurons, so it teaches nothing",
                            vt_model_label(models[m]));
        t->neuron_count += vt_model_outputs(models[m]);
    }
    t->neurons = vt_alloc((size_t)t->neuron_count, sizeof *t->neurons);
    if (!t->neurons) return VT_ENOMEM;
    vt_teacher_neuron *neuron = t->neurons;
    for (int m = 0; m < count; m++)
        for (int64_t o = 0; o < vt_model_outputs(models[m]); o++)
            describe_neuron(neuron++, models[m], m, o);
    return VT_OK;
}

static vt_status prepare(vt_teacher *t, vt_model *const *models, int count,
                         const vt_teacher_options *options)
{
    VT_TRY(list_neurons(t, models, count));
    vt_probe *probes = vt_alloc((size_t)count, sizeof *probes);
    if (!probes) return VT_ENOMEM;
    for (int m = 0; m < count; m++)
        probes[m].model = models[m];
    vt_probes_options o = {
        .probes = probes, .count = count, .cache = options->cache, .bf16 = options->bf16};
    vt_status status = vt_probes_new(&t->probes, &o);
    free(probes);
    return status;
}

vt_status vt_teacher_new(vt_teacher **out, vt_model *const *models, int count,
                         const vt_teacher_options *options)
{
    if (count < 1) return vt_error(VT_EINVAL, "a teacher needs models");
    vt_teacher *t = vt_alloc(1, sizeof *t);
    if (!t) return VT_ENOMEM;
    vt_status status = prepare(t, models, count, options);
    if (status != VT_OK) {
        vt_teacher_free(t);
        return status;
    }
    *out = t;
    return VT_OK;
}

void vt_teacher_free(vt_teacher *t)
{
    if (!t) return;
    vt_probes_free(t->probes);
    free(t->neurons);
    free(t);
}

int64_t vt_teacher_count(const vt_teacher *teacher)
{
    return teacher->neuron_count;
}

const vt_teacher_neuron *vt_teacher_neuron_at(const vt_teacher *teacher, int64_t index)
{
    return index >= 0 && index < teacher->neuron_count ? &teacher->neurons[index] : NULL;
}

int64_t vt_teacher_find(const vt_teacher *teacher, const char *session, int64_t neuron)
{
    for (int64_t i = 0; i < teacher->neuron_count; i++)
        if (teacher->neurons[i].neuron == neuron &&
            strcmp(teacher->neurons[i].session, session) == 0)
            return i;
    return -1;
}

vt_status vt_teacher_answer(vt_teacher *teacher, vt_image_stream *stream, const int64_t *indices,
                            int64_t count, const uint8_t *images, float *out,
                            const vt_progress *progress)
{
    return vt_probes_read(teacher->probes, stream, indices, count, images, out, progress);
}

vt_status vt_teacher_responses(vt_teacher *teacher, vt_image_stream *stream, const int64_t *indices,
                               int64_t count, float *out, const vt_progress *progress)
{
    return vt_teacher_answer(teacher, stream, indices, count, NULL, out, progress);
}
