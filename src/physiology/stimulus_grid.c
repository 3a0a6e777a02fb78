/* Which response belongs to which grating or texture: the sets are whole grids, as Marques,
 * Schrimpf & DiCarlo 2021 have them. */
#include "physiology/stimulus_grid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "physiology/curves.h"

enum { MOST_STIMULI = 1 << 24 };
enum { POSITION_Y, POSITION_X, CONTRAST, RADIUS, FREQUENCY, ORIENTATION, PHASE, PARAMETERS };

static const char *const names[PARAMETERS] = {
    "position y", "position x", "contrast", "radius", "spatial frequency", "orientation", "phase"};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts `values` and keeps one of each. */
static int64_t distinct(double *values, int64_t count)
{
    int64_t kept = 0;
    qsort(values, (size_t)count, sizeof *values, compare);
    for (int64_t i = 0; i < count; i++)
        if (kept == 0 || values[i] != values[kept - 1]) values[kept++] = values[i];
    return kept;
}

/* Values that parameter `p` takes among the stimuli (count, PARAMETERS), allocated. */
static vt_status levels(double **out, int *count, const double *stimuli, int64_t stimulus_count,
                        int p, const char *set)
{
    double *values = vt_alloc((size_t)stimulus_count, sizeof *values);
    if (!values) return VT_ENOMEM;
    for (int64_t i = 0; i < stimulus_count; i++)
        values[i] = stimuli[i * PARAMETERS + p];
    int64_t found = distinct(values, stimulus_count);
    if (found > VT_CURVE_MAX_POINTS) {
        free(values);
        return vt_error(VT_ESHAPE, "stimuli.%s: %lld values of %s; %d are possible", set,
                        (long long)found, names[p], VT_CURVE_MAX_POINTS);
    }
    *out = values;
    *count = (int)found;
    return VT_OK;
}

/* ---- gratings ---- */

static vt_status off_grid(const char *set, int64_t stimulus, int p)
{
    return vt_error(VT_ESHAPE,
                    "stimuli.%s: the %s of stimulus %lld is not what a whole grid has there; phase "
                    "runs fastest, then orientation, spatial frequency and radius",
                    set, names[p], (long long)stimulus);
}

static vt_status check_stimulus(const vt_stimulus_grid *g, const double *stimuli, int64_t i,
                                const char *set, bool by_cycles)
{
    const double *s = stimuli + i * PARAMETERS;
    int phase = (int)(i % g->phases), orientation = (int)(i / g->phases % g->orientations);
    int64_t cell = i / g->phases / g->orientations; /* (size, frequency) */
    int frequency = (int)(cell % g->frequencies);
    if (s[FREQUENCY] != g->frequency[frequency]) return off_grid(set, i, FREQUENCY);
    if (s[ORIENTATION] != g->orientation[orientation]) return off_grid(set, i, ORIENTATION);
    /* phases: those of the first gratings again and again */
    if (s[PHASE] != stimuli[phase * PARAMETERS + PHASE] ||
        (phase > 0 && s[PHASE] <= s[PHASE - PARAMETERS]))
        return off_grid(set, i, PHASE);
    if (s[RADIUS] != g->radius[cell] ||
        (cell >= g->frequencies && g->radius[cell] <= g->radius[cell - g->frequencies]))
        return off_grid(set, i, RADIUS);
    if (!by_cycles && g->radius[cell] != g->radius[cell - frequency])
        return off_grid(set, i, RADIUS);
    for (int p = POSITION_Y; p <= CONTRAST; p++)
        if (s[p] != stimuli[p]) return off_grid(set, i, p);
    return VT_OK;
}

static vt_status find_axes(vt_stimulus_grid *g, const double *stimuli, const char *set)
{
    double *phases;
    VT_TRY(levels(&phases, &g->phases, stimuli, g->stimuli, PHASE, set));
    free(phases);
    VT_TRY(levels(&g->frequency, &g->frequencies, stimuli, g->stimuli, FREQUENCY, set));
    VT_TRY(levels(&g->orientation, &g->orientations, stimuli, g->stimuli, ORIENTATION, set));
    int64_t inner = (int64_t)g->phases * g->orientations * g->frequencies;
    if (g->stimuli % inner != 0 || g->stimuli / inner > VT_CURVE_MAX_POINTS)
        return vt_error(VT_ESHAPE,
                        "stimuli.%s: %lld stimuli are no grid of %d spatial frequencies, %d "
                        "orientations and %d phases",
                        set, (long long)g->stimuli, g->frequencies, g->orientations, g->phases);
    g->sizes = (int)(g->stimuli / inner);
    if (g->phases < 2 || g->orientations < 2 || !(g->frequency[0] > 0))
        return vt_error(VT_ESHAPE,
                        "stimuli.%s: tuning needs two phases and two orientations or more, and "
                        "spatial frequencies above 0",
                        set);
    return VT_OK;
}

/* Curves of orientation go round at 180 degrees. */
static vt_status check_orientations(const vt_stimulus_grid *g, const char *set)
{
    double first = g->orientation[0], last = g->orientation[g->orientations - 1];
    if (last - first >= 90 && last - first < 180) return VT_OK;
    return vt_error(VT_ESHAPE,
                    "stimuli.%s: orientations from %g to %g; degrees over half a circle are "
                    "needed, 0 and 180 not both",
                    set, first, last);
}

static vt_status init_gratings(vt_stimulus_grid *g, const double *stimuli, const char *set)
{
    /* as many cycles whatever the frequency: the radius depends on it */
    bool by_cycles = strcmp(set, "orientation") == 0;
    for (int64_t i = 0; i < g->stimuli * PARAMETERS; i++)
        if (!isfinite(stimuli[i]))
            return vt_error(VT_ENUMERIC, "stimuli.%s: the %s of stimulus %lld is not finite", set,
                            names[i % PARAMETERS], (long long)(i / PARAMETERS));
    VT_TRY(find_axes(g, stimuli, set));
    if (by_cycles) VT_TRY(check_orientations(g, set));
    int64_t cells = (int64_t)g->sizes * g->frequencies, step = g->stimuli / cells;
    g->radius = vt_alloc((size_t)cells, sizeof *g->radius);
    if (!g->radius) return VT_ENOMEM;
    for (int64_t cell = 0; cell < cells; cell++)
        g->radius[cell] = stimuli[cell * step * PARAMETERS + RADIUS];
    for (int64_t i = 0; i < g->stimuli; i++)
        VT_TRY(check_stimulus(g, stimuli, i, set, by_cycles));
    return VT_OK;
}

static vt_status find_stimuli(vt_stimulus_grid *g, const vt_tensor_map *recording, const char *set)
{
    char name[VT_NAME_SIZE], shape[64];
    vt_tensor copy;
    snprintf(name, sizeof name, "stimuli.%s", set);
    const vt_tensor *t = vt_tensor_map_find(recording, name);
    if (!t)
        return vt_error(VT_ENOTFOUND, "responses.%s without %s: which gratings were they?", set,
                        name);
    if (t->ndim != 2 || t->size[0] != g->stimuli || t->size[1] != PARAMETERS)
        return vt_error(VT_ESHAPE,
                        "%s: %s; responses.%s needs (%lld, %d): position y, position x, contrast, "
                        "radius, spatial frequency, orientation, phase",
                        name, vt_tensor_shape_text(t, shape, sizeof shape), set,
                        (long long)g->stimuli, PARAMETERS);
    VT_TRY(vt_tensor_convert(&copy, t, VT_F64));
    vt_status status = init_gratings(g, copy.data, set);
    vt_tensor_free(&copy);
    return status;
}

/* ---- textures ---- */

/* Distinct values of texture.NAME and, in `rank`, which of them each stimulus has. */
static vt_status rank_labels(int64_t *rank, int64_t *count, const vt_tensor_map *recording,
                             const char *label, int64_t stimuli)
{
    char name[VT_NAME_SIZE], shape[64];
    snprintf(name, sizeof name, "texture.%s", label);
    const vt_tensor *t = vt_tensor_map_find(recording, name);
    if (!t)
        return vt_error(VT_ENOTFOUND, "responses.texture without %s: which textures were they?",
                        name);
    if (t->ndim != 1 || t->size[0] != stimuli)
        return vt_error(VT_ESHAPE, "%s: %s; responses.texture needs (%lld)", name,
                        vt_tensor_shape_text(t, shape, sizeof shape), (long long)stimuli);
    double *values = vt_alloc((size_t)stimuli, sizeof *values);
    if (!values) return VT_ENOMEM;
    for (int64_t i = 0; i < stimuli; i++) {
        values[i] = vt_tensor_get(t, i);
        if (!isfinite(values[i])) {
            free(values);
            return vt_error(VT_ENUMERIC, "%s: value %lld is not finite", name, (long long)i);
        }
    }
    *count = distinct(values, stimuli);
    for (int64_t i = 0; i < stimuli; i++) {
        double value = vt_tensor_get(t, i);
        double *found = bsearch(&value, values, (size_t)*count, sizeof *values, compare);
        rank[i] = found - values;
    }
    free(values);
    return VT_OK;
}

static vt_status place_textures(vt_stimulus_grid *g, const vt_tensor_map *recording, int64_t *ranks)
{
    int64_t n = g->stimuli, types, families, samples;
    int64_t *type = ranks, *family = type + n, *sample = family + n;
    VT_TRY(rank_labels(type, &types, recording, "type", n));
    VT_TRY(rank_labels(family, &families, recording, "family", n));
    VT_TRY(rank_labels(sample, &samples, recording, "sample", n));
    if (types != 2 || families > VT_CURVE_MAX_POINTS || n % 2 != 0 || n / 2 % families != 0 ||
        n / 2 / families != samples)
        return vt_error(VT_ESHAPE,
                        "responses.texture: %lld stimuli of %lld types, %lld families and %lld "
                        "samples; noise and texture of each sample of each family are needed",
                        (long long)n, (long long)types, (long long)families, (long long)samples);
    g->families = (int)families;
    g->samples = (int)samples;
    for (int64_t i = 0; i < n; i++)
        g->place[i] = -1;
    for (int64_t i = 0; i < n; i++) {
        int64_t *place = &g->place[(type[i] * families + family[i]) * samples + sample[i]];
        if (*place >= 0)
            return vt_error(VT_ESHAPE,
                            "responses.texture: stimuli %lld and %lld are the same texture",
                            (long long)*place, (long long)i);
        *place = i;
    }
    return VT_OK;
}

static vt_status init_textures(vt_stimulus_grid *g, const vt_tensor_map *recording)
{
    g->place = vt_alloc((size_t)g->stimuli, sizeof *g->place);
    int64_t *ranks = g->place ? vt_alloc((size_t)g->stimuli, 3 * sizeof *ranks) : NULL;
    vt_status status = ranks ? place_textures(g, recording, ranks) : VT_ENOMEM;
    free(ranks);
    return status;
}

/* ---- both ---- */

vt_status vt_stimulus_grid_init(vt_stimulus_grid *out, const vt_tensor_map *recording,
                                const char *set)
{
    char name[VT_NAME_SIZE], shape[64];
    vt_stimulus_grid g = {.place = NULL};
    snprintf(name, sizeof name, "responses.%s", set);
    g.responses = vt_tensor_map_find(recording, name);
    if (!g.responses) return vt_error(VT_ENOTFOUND, "there is no %s", name);
    if (g.responses->ndim != 2 || g.responses->size[1] < 1)
        return vt_error(VT_ESHAPE, "%s: %s; (neurons, stimuli) is needed", name,
                        vt_tensor_shape_text(g.responses, shape, sizeof shape));
    g.stimuli = g.responses->size[1];
    if (g.stimuli > MOST_STIMULI)
        return vt_error(VT_ESHAPE, "%s: %lld stimuli; %d are possible", name, (long long)g.stimuli,
                        MOST_STIMULI);
    bool textures = strcmp(set, "texture") == 0;
    vt_status status = textures ? init_textures(&g, recording) : find_stimuli(&g, recording, set);
    if (status != VT_OK) {
        vt_stimulus_grid_destroy(&g);
        return status;
    }
    *out = g;
    return VT_OK;
}

void vt_stimulus_grid_destroy(vt_stimulus_grid *grid)
{
    free(grid->frequency);
    free(grid->orientation);
    free(grid->radius);
    free(grid->place);
    *grid = (vt_stimulus_grid){.place = NULL};
}

vt_status vt_stimulus_grid_row(double *out, const vt_stimulus_grid *grid, int64_t neuron)
{
    for (int64_t i = 0; i < grid->stimuli; i++) {
        int64_t at = grid->place ? grid->place[i] : i;
        out[i] = vt_tensor_get(grid->responses, neuron * grid->stimuli + at);
        if (!isfinite(out[i]))
            return vt_error(VT_ENUMERIC,
                            "%s: response of neuron %lld to stimulus %lld is not "
                            "finite",
                            grid->responses->name, (long long)neuron, (long long)at);
    }
    return VT_OK;
}
