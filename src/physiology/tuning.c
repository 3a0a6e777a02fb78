/* Tuning properties of recorded neurons: every study whose stimuli were shown, neuron by neuron. */
#include "ventral/tuning.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "physiology/curves.h"
#include "physiology/studies.h"
#include "ventral/progress.h"

void vt_tuning_free(vt_tuning *tuning)
{
    for (int s = 0; s < VT_STUDIES; s++) {
        vt_study_tuning *t = &tuning->study[s];
        free(t->neuron);
        free(t->values);
        free(t->x);
        free(t->curves);
        free(t->preferred);
    }
    *tuning = (vt_tuning){.neurons = 0};
}

/* The response to grey of each neuron, and how many there are. */
static vt_status read_baseline(double **out, int64_t *neurons, const vt_tensor_map *recording)
{
    char shape[64];
    const vt_tensor *t = vt_tensor_map_find(recording, "baseline");
    if (!t) return vt_error(VT_ENOTFOUND, "there is no 'baseline', the responses to grey");
    int64_t count = vt_tensor_count(t);
    if (t->ndim < 1 || t->ndim > 2 || t->size[0] != count)
        return vt_error(VT_ESHAPE, "baseline: %s; (neurons) or (neurons, 1) is needed",
                        vt_tensor_shape_text(t, shape, sizeof shape));
    double *baseline = vt_alloc((size_t)count, sizeof *baseline);
    if (!baseline) return VT_ENOMEM;
    for (int64_t i = 0; i < count; i++) {
        baseline[i] = vt_tensor_get(t, i);
        if (!isfinite(baseline[i])) {
            free(baseline);
            return vt_error(VT_ENUMERIC, "baseline: that of neuron %lld is not finite",
                            (long long)i);
        }
    }
    *out = baseline;
    *neurons = count;
    return VT_OK;
}

static vt_status set_axis(vt_study_tuning *t, const vt_stimulus_grid *g, vt_curve_axis axis,
                          const char *set)
{
    t->points = axis == VT_CURVE_ORIENTATION ? g->orientations
                : axis == VT_CURVE_FREQUENCY ? g->frequencies
                : axis == VT_CURVE_RADIUS    ? g->sizes
                                             : g->families;
    if (axis == VT_CURVE_FREQUENCY && t->points < VT_CURVE_MIN_POINTS)
        return vt_error(VT_ESHAPE, "stimuli.%s: %d spatial frequencies; a curve needs %d", set,
                        t->points, VT_CURVE_MIN_POINTS);
    t->x = vt_alloc((size_t)t->points, sizeof *t->x);
    if (!t->x) return VT_ENOMEM;
    for (int i = 0; i < t->points; i++)
        t->x[i] = axis == VT_CURVE_ORIENTATION ? g->orientation[i]
                  : axis == VT_CURVE_FREQUENCY ? g->frequency[i]
                  : axis == VT_CURVE_RADIUS    ? g->radius[i * g->frequencies]
                                               : i + 1;
    return VT_OK;
}

/* Where the `i`-th neuron's results are. */
static vt_unit unit_at(const vt_study_tuning *t, int properties, int64_t i)
{
    return (vt_unit){.values = t->values + i * properties,
                     .curve = t->curves + i * t->points,
                     .preferred = t->preferred + 3 * i};
}

/* Keeps the neurons that responded, one after the other. */
static void compact(vt_study_tuning *t, int properties, const bool *responded, int64_t neurons)
{
    for (int64_t i = 0; i < neurons; i++) {
        if (!responded[i]) continue;
        vt_unit from = unit_at(t, properties, i), to = unit_at(t, properties, t->neurons);
        memmove(to.values, from.values, (size_t)properties * sizeof(double));
        memmove(to.curve, from.curve, (size_t)t->points * sizeof(double));
        memmove(to.preferred, from.preferred, 3 * sizeof(double));
        t->neuron[t->neurons++] = i;
    }
}

/* Work of one thread: a neuron's responses and what a study needs. */
static vt_status measure_neurons(vt_study_tuning *t, const vt_stimulus_grid *g,
                                 const vt_study_method *method, const double *baseline,
                                 bool *responded)
{
    int properties, threads = vt_threads();
    int64_t neurons = g->responses->size[0];
    vt_study_properties((int)(method - vt_study_methods), &properties);
    size_t share = (size_t)g->stimuli + vt_study_work(g);
    double *work = vt_alloc((size_t)threads, share * sizeof *work);
    if (!work) return VT_ENOMEM;
    vt_error_state failure = {.code = VT_OK};
#pragma omp parallel for schedule(dynamic, 16) num_threads(threads)
    for (int64_t i = 0; i < neurons; i++) {
        double *rates = work + (size_t)omp_get_thread_num() * share;
        vt_unit unit = unit_at(t, properties, i);
        vt_status status = vt_stimulus_grid_row(rates, g, i);
        if (status == VT_OK) {
            method->measure(&unit, g, rates, baseline[i], rates + g->stimuli);
            responded[i] = unit.responded;
        } else {
#pragma omp critical(vt_tuning_failure)
            vt_error_save(&failure, status);
        }
    }
    free(work);
    if (failure.code != VT_OK) return vt_error_restore(&failure);
    compact(t, properties, responded, neurons);
    return VT_OK;
}

static vt_status measure_study(vt_study_tuning *t, int study, const vt_stimulus_grid *g,
                               const double *baseline)
{
    const vt_study_method *method = &vt_study_methods[study];
    int properties;
    size_t neurons = (size_t)g->responses->size[0], values, points;
    vt_study_properties(study, &properties);
    VT_TRY(set_axis(t, g, method->axis, vt_study_at(study)->set));
    if (!vt_mul_ok(&values, neurons, (size_t)properties) ||
        !vt_mul_ok(&points, neurons, (size_t)t->points))
        return vt_error(VT_ENOMEM, "out of memory");
    t->neuron = vt_alloc(neurons, sizeof *t->neuron);
    t->values = vt_alloc(values, sizeof *t->values);
    t->curves = vt_alloc(points, sizeof *t->curves);
    t->preferred = vt_alloc(neurons, 3 * sizeof *t->preferred);
    bool *responded = vt_alloc(neurons, sizeof *responded);
    vt_status status = t->neuron && t->values && t->curves && t->preferred && responded
                           ? measure_neurons(t, g, method, baseline, responded)
                           : VT_ENOMEM;
    free(responded);
    t->measured = true;
    return status;
}

/* All studies that used this set of stimuli. */
static vt_status measure_set(vt_tuning *out, const vt_tensor_map *recording, const char *set,
                             const double *baseline)
{
    vt_stimulus_grid grid;
    VT_TRY(vt_stimulus_grid_init(&grid, recording, set));
    vt_status status = VT_OK;
    if (grid.responses->size[0] != out->neurons)
        status = vt_error(VT_ESHAPE, "responses.%s are of %lld neurons, baseline of %lld", set,
                          (long long)grid.responses->size[0], (long long)out->neurons);
    for (int s = 0; s < VT_STUDIES && status == VT_OK; s++)
        if (strcmp(vt_study_at(s)->set, set) == 0)
            status = measure_study(&out->study[s], s, &grid, baseline);
    vt_stimulus_grid_destroy(&grid);
    return status;
}

/* Whether `study` is the first that used its set of stimuli. */
static bool is_first_of_set(int study)
{
    for (int s = 0; s < study; s++)
        if (strcmp(vt_study_at(s)->set, vt_study_at(study)->set) == 0) return false;
    return true;
}

vt_status vt_tuning_measure(vt_tuning *out, const vt_tensor_map *recording)
{
    vt_tuning tuning = {.neurons = 0};
    double *baseline = NULL;
    int shown = 0;
    VT_TRY(read_baseline(&baseline, &tuning.neurons, recording));
    vt_status status = VT_OK;
    for (int s = 0; s < VT_STUDIES && status == VT_OK; s++) {
        char name[VT_NAME_SIZE];
        snprintf(name, sizeof name, "responses.%s", vt_study_at(s)->set);
        if (!is_first_of_set(s) || !vt_tensor_map_find(recording, name)) continue;
        status = measure_set(&tuning, recording, vt_study_at(s)->set, baseline);
        shown++;
    }
    free(baseline);
    if (status == VT_OK && shown == 0)
        status = vt_error(VT_ENOTFOUND,
                          "there are no responses.orientation, responses.spatial_frequency, "
                          "responses.size or responses.texture");
    if (status != VT_OK) {
        vt_tuning_free(&tuning);
        return status;
    }
    *out = tuning;
    return VT_OK;
}

vt_status vt_tuning_values(double **out, int64_t *count, const vt_tuning *tuning, int property)
{
    const vt_property *p = vt_property_at(property);
    if (!p) return vt_error(VT_EINVAL, "there is no property %d", property);
    const vt_study_tuning *t = &tuning->study[p->study];
    int properties, first = vt_study_properties((int)p->study, &properties);
    double *values = vt_alloc((size_t)t->neurons, sizeof *values);
    if (!values) return VT_ENOMEM;
    for (int64_t i = 0; i < t->neurons; i++)
        values[i] = t->values[i * properties + property - first];
    *out = values;
    *count = t->neurons;
    return VT_OK;
}
