/* Students of a distillation: new models, or models that were trained or pruned before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "distill.h"

void distill_name_of(distill_name out, const vt_teacher *teacher, int64_t index)
{
    const vt_teacher_neuron *n = vt_teacher_neuron_at(teacher, index);
    if (*n->session)
        snprintf(out, sizeof(distill_name), "%s_neuron%lld", n->session, (long long)n->neuron);
    else
        snprintf(out, sizeof(distill_name), "neuron%lld", (long long)index);
}

static vt_status allocate(distill_students *s, int64_t models, int64_t neurons)
{
    s->list = calloc(models > 0 ? (size_t)models : 1, sizeof *s->list);
    s->neurons = calloc(neurons > 0 ? (size_t)neurons : 1, sizeof *s->neurons);
    return s->list && s->neurons ? VT_OK : vt_error(VT_ENOMEM, "out of memory");
}

/* ---- new students ---- */

/* --filters, --shared and --linear; without them the paper's five layers of 100. */
static vt_status parse_shape(vt_compact_options *out, const distill_request *r)
{
    *out = (vt_compact_options){
        .filters = {100, 100, 100, 100, 100}, .linear = r->linear, .shared = r->shared > 0};
    int *f = out->filters;
    if (r->shared > 0) f[0] = f[1] = f[2] = r->shared;
    return r->filters ? cli_filters_parse(f, r->filters) : VT_OK;
}

/* Whose neurons `count` outputs from `first` are; neurons that follow each other in a session are
 * one entry. */
static vt_status add_sessions(vt_model *model, const vt_teacher *teacher, const int64_t *neurons,
                              int64_t count)
{
    for (int64_t i = 0; i < count;) {
        const vt_teacher_neuron *first = vt_teacher_neuron_at(teacher, neurons[i]);
        vt_model_session session = {.first = i, .count = 1, .first_neuron = first->neuron};
        memcpy(session.id, first->session, sizeof session.id);
        for (; i + session.count < count; session.count++) {
            const vt_teacher_neuron *n = vt_teacher_neuron_at(teacher, neurons[i + session.count]);
            if (strcmp(n->session, first->session) != 0 ||
                n->neuron != first->neuron + session.count)
                break;
        }
        i += session.count;
        if (*session.id) VT_TRY(vt_model_add_session(model, &session));
    }
    return VT_OK;
}

/* FNV-1a (Fowler, Noll & Vo). */
static uint64_t hash(const char *text, uint64_t seed)
{
    uint64_t value = 0xcbf29ce484222325u ^ seed;
    for (; *text; text++)
        value = (value ^ (unsigned char)*text) * 0x100000001b3u;
    return value;
}

/* Initial weights depend on whose student it is, not on who learns beside it. */
static vt_status make_new(vt_model **out, const vt_compact_options *shape,
                          const vt_teacher *teacher, const int64_t *neurons, int64_t count)
{
    vt_compact_options options = *shape;
    distill_name name;
    distill_name_of(name, teacher, neurons[0]);
    options.outputs = (int)count;
    options.seed =
        shape->shared ? (uint64_t)cli_options.seed : hash(name, (uint64_t)cli_options.seed);
    VT_TRY(vt_compact_new(out, &options));
    vt_status status = add_sessions(*out, teacher, neurons, count);
    if (status != VT_OK) {
        vt_model_free(*out);
        *out = NULL;
    }
    return status;
}

static vt_status make_all_new(distill_students *s, const distill_request *r,
                              const vt_teacher *teacher)
{
    vt_compact_options shape;
    int64_t *listed = NULL, count = vt_teacher_count(teacher);
    VT_TRY(parse_shape(&shape, r));
    if (r->neurons) {
        vt_status status = vt_index_list_parse(&listed, &count, r->neurons, count);
        if (status != VT_OK) return vt_error_context(status, "--neurons");
    }
    vt_status status = allocate(s, shape.shared ? 1 : count, count);
    for (int64_t i = 0; status == VT_OK && i < count; i++)
        s->neurons[i] = listed ? listed[i] : i;
    free(listed);
    s->neuron_count = count;
    int64_t each = shape.shared ? count : 1;
    for (int64_t i = 0; status == VT_OK && i < count; i += each) {
        vt_distill_student *student = &s->list[s->count++];
        student->neurons = s->neurons + i;
        status = make_new(&student->model, &shape, teacher, s->neurons + i, each);
    }
    return status;
}

/* ---- students that were there before ---- */

/* The teacher's neuron that an output is; -1: none. */
static int64_t find_neuron(const vt_teacher *teacher, const vt_model *model, int64_t output)
{
    for (int k = 0; k < vt_model_session_count(model); k++) {
        const vt_model_session *s = vt_model_session_at(model, k);
        if (output >= s->first && output < s->first + s->count)
            return vt_teacher_find(teacher, s->id, s->first_neuron + output - s->first);
    }
    return -1;
}

static vt_status take_given(distill_students *s, const vt_teacher *teacher)
{
    int64_t outputs = 0;
    for (int m = 0; m < s->from.count; m++)
        outputs += vt_model_outputs(s->from.models[m]);
    VT_TRY(allocate(s, s->from.count, outputs));
    for (int m = 0; m < s->from.count; m++) {
        vt_model *model = s->from.models[m];
        s->list[s->count++] = (vt_distill_student){model, s->neurons + s->neuron_count};
        for (int64_t i = 0; i < vt_model_outputs(model); i++) {
            int64_t neuron = find_neuron(teacher, model, i);
            if (neuron < 0)
                return vt_error(VT_ENOTFOUND,
                                vt_model_session_count(model) == 0
                                    ? "%s: the file does not say whose neurons it predicts"
                                    : "%s: the teacher has no neuron that its output %lld is",
                                s->from.paths[m], (long long)i);
            s->neurons[s->neuron_count++] = neuron;
        }
    }
    return VT_OK;
}

vt_status distill_make_students(distill_students *out, const distill_request *r,
                                const vt_teacher *teacher)
{
    *out = (distill_students){.count = 0};
    if (!r->from) return make_all_new(out, r, teacher);
    const char *paths[] = {r->from};
    if (cli_model_folders_open(&out->from, paths, 1, r->epsilon) != CLI_DONE) return VT_EIO;
    return take_given(out, teacher);
}

void distill_free_students(distill_students *s)
{
    bool given = s->from.models != NULL;
    for (int i = 0; !given && i < s->count; i++)
        vt_model_free(s->list[i].model);
    if (given) cli_models_close(&s->from);
    free(s->list);
    free(s->neurons);
}
