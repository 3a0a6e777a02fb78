/* Where the members of an ensemble disagree (see ventral/ensemble.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "neural/part_progress.h"
#include "ventral/ensemble.h"
#include "ventral/select.h"

/* Responses of all members: (stimuli, members, neurons). */
typedef struct response_table {
    float *data;
    int64_t begin, stimuli, neurons;
    int members, member; /* in all; the one that is shown stimuli */
} response_table;

static vt_status receive(void *context, int model, int64_t first, int64_t count,
                         const vt_tensor *values)
{
    const response_table *t = context;
    (void)model;
    for (int64_t i = 0; i < count; i++)
        memcpy(t->data + ((first - t->begin + i) * t->members + t->member) * t->neurons,
               (const float *)values->data + i * t->neurons, (size_t)t->neurons * sizeof(float));
    return VT_OK;
}

static vt_status fill_table(response_table *t, vt_model *model, vt_stimulus_set *stimuli,
                            const vt_predict_options *options)
{
    for (t->member = 0; t->member < t->members; t->member++) {
        char node[32];
        vt_part_progress part;
        vt_predict_options show = *options;
        snprintf(node, sizeof node, "member%d", t->member);
        show.tap = node;
        show.receive = receive;
        show.context = t;
        show.progress =
            vt_part_progress_start(&part, options->progress, "member", t->member, t->members);
        VT_TRY(vt_predict(&model, 1, stimuli, &show));
    }
    return VT_OK;
}

/* Unbiased, over members. */
static double deviation_at(const response_table *t, int64_t stimulus, int64_t neuron)
{
    const float *y = t->data + stimulus * t->members * t->neurons + neuron;
    double mean = 0, squares = 0;
    for (int m = 0; m < t->members; m++)
        mean += y[m * t->neurons] / (double)t->members;
    for (int m = 0; m < t->members; m++)
        squares += (y[m * t->neurons] - mean) * (y[m * t->neurons] - mean);
    return sqrt(squares / (t->members - 1));
}

static vt_status measure(vt_tensor *deviation, vt_tensor *distance, const response_table *t)
{
    vt_tensor sd, median;
    VT_TRY(vt_tensor_new(&sd, VT_F64, 2, (int64_t[]){t->neurons, t->stimuli}));
    vt_status status = vt_tensor_new(&median, VT_F64, 1, &t->stimuli);
    if (status == VT_OK)
        status = vt_disagreement(median.data, t->data, t->stimuli, t->members, t->neurons);
    else
        median.data = NULL;
    if (status != VT_OK) {
        vt_tensor_free(&sd);
        vt_tensor_free(&median);
        return status;
    }
    for (int64_t i = 0; i < t->neurons; i++)
        for (int64_t k = 0; k < t->stimuli; k++)
            ((double *)sd.data)[i * t->stimuli + k] = deviation_at(t, k, i);
    *deviation = sd;
    *distance = median;
    return VT_OK;
}

vt_status vt_ensemble_disagreement(vt_tensor *deviation, vt_tensor *distance, vt_model *model,
                                   vt_stimulus_set *stimuli, const vt_predict_options *options)
{
    vt_ensemble_options shape;
    VT_TRY(vt_model_ensemble_options(model, &shape));
    if (shape.members < 2 || shape.outputs < 1)
        return vt_error(VT_EINVAL, "%s: %d members with %d neurons have nothing to disagree about",
                        vt_model_label(model), shape.members, shape.outputs);
    int64_t count = vt_stimulus_set_count(stimuli);
    bool all = options->begin == 0 && options->end == 0;
    int64_t end = all ? count : options->end;
    if (options->begin < 0 || end > count || options->begin >= end)
        return vt_error(VT_EINVAL, "stimuli %lld to %lld are wanted, there are %lld",
                        (long long)options->begin, (long long)end, (long long)count);
    response_table table = {.begin = options->begin,
                            .stimuli = end - options->begin,
                            .neurons = shape.outputs,
                            .members = shape.members};
    table.data = vt_alloc((size_t)(table.stimuli * table.members),
                          (size_t)table.neurons * sizeof *table.data);
    if (!table.data) return VT_ENOMEM;
    vt_status status = fill_table(&table, model, stimuli, options);
    if (status == VT_OK) status = measure(deviation, distance, &table);
    free(table.data);
    return status;
}
