/* How each study is repeated on a neuron's rates: which response is the largest, the tuning curve
 * through it, and the properties of that curve (Marques, Schrimpf & DiCarlo 2021). Over the phases
 * of a grating the response has a mean, DC, and an amplitude at the grating's own frequency,
 * AC = 2 |sum r exp(-2 pi i phase)| / phases. */
#include "physiology/studies.h"

#include <math.h>

#include "physiology/curves.h"

#define PI 3.14159265358979323846

enum { THRESHOLD = 5 }; /* spikes/s above baseline that make a neuron responsive */

/* The grid's cells (size, frequency, orientation) with the responses to their phases. */
static int64_t cell_count(const vt_stimulus_grid *g)
{
    return (int64_t)g->sizes * g->frequencies * g->orientations;
}

size_t vt_study_work(const vt_stimulus_grid *g)
{
    size_t cells = (size_t)cell_count(g), families = 2 * (size_t)g->families;
    size_t curve = VT_ORIENTATION_WORK((size_t)g->orientations);
    size_t frequency = VT_FREQUENCY_WORK((size_t)g->frequencies);
    size_t stabilized = (size_t)g->families * (size_t)g->samples;
    return 2 * cells + curve + frequency + families + stabilized;
}

/* DC and, where asked for, AC of each cell. */
static void components(double *dc, double *ac, const vt_stimulus_grid *g, const double *rates)
{
    int64_t cells = cell_count(g);
    for (int64_t cell = 0; cell < cells; cell++) {
        const double *r = rates + cell * g->phases;
        double sum = 0, x = 0, y = 0;
        for (int p = 0; p < g->phases; p++) {
            sum += r[p];
            x += r[p] * cos(2 * PI * p / g->phases);
            y += r[p] * sin(2 * PI * p / g->phases);
        }
        dc[cell] = sum / g->phases;
        if (ac) ac[cell] = 2 * hypot(x, y) / g->phases;
    }
}

static int64_t largest(const double *values, int64_t count)
{
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (values[i] > values[best]) best = i;
    return best;
}

/* A cell's indices. */
typedef struct cell {
    int64_t number;
    int size, frequency, orientation;
} cell;

static cell cell_at(const vt_stimulus_grid *g, int64_t number)
{
    return (cell){.number = number,
                  .orientation = (int)(number % g->orientations),
                  .frequency = (int)(number / g->orientations % g->frequencies),
                  .size = (int)(number / g->orientations / g->frequencies)};
}

static void note_preferred(vt_unit *unit, const vt_stimulus_grid *g, const cell *c)
{
    unit->preferred[0] = g->radius[c->size * g->frequencies + c->frequency];
    unit->preferred[1] = g->frequency[c->frequency];
    unit->preferred[2] = g->orientation[c->orientation];
}

/* The largest response of DC - baseline and AC: its cell, its value, and its component, to which
 * *component points afterwards. Ties go to the earlier cell, then to DC. */
static cell larger_component(const double **component, double *value, const vt_stimulus_grid *g,
                             const double *rates, double baseline, double *work)
{
    int64_t cells = cell_count(g);
    double *dc = work, *ac = dc + cells;
    components(dc, ac, g, rates);
    for (int64_t i = 0; i < cells; i++)
        dc[i] -= baseline;
    int64_t by_dc = largest(dc, cells), by_ac = largest(ac, cells);
    bool tie = ac[by_ac] == dc[by_dc];
    bool modulated = tie ? by_ac < by_dc : ac[by_ac] > dc[by_dc];
    *component = modulated ? ac : dc;
    *value = modulated ? ac[by_ac] : dc[by_dc];
    return cell_at(g, modulated ? by_ac : by_dc);
}

/* ---- gratings of several orientations ---- */

/* The orientation curve of DC through its largest value. */
static cell orientation_curve(vt_unit *unit, const vt_stimulus_grid *g, const double *dc)
{
    cell best = cell_at(g, largest(dc, cell_count(g)));
    for (int i = 0; i < g->orientations; i++)
        unit->curve[i] = dc[best.number - best.orientation + i];
    note_preferred(unit, g, &best);
    return best;
}

static void ringach(vt_unit *unit, const vt_stimulus_grid *g, double *rates, double baseline,
                    double *work)
{
    int64_t cells = cell_count(g);
    double *dc = work, *ac = dc + cells, bandwidth, peak;
    components(dc, ac, g, rates);
    cell best = orientation_curve(unit, g, dc);
    double max_dc = dc[best.number], max_ac = ac[best.number], min_dc = unit->curve[0];
    for (int i = 1; i < g->orientations; i++)
        min_dc = fmin(min_dc, unit->curve[i]);
    double variance = vt_circular_variance(unit->curve, g->orientation, g->orientations);
    double orthogonal = vt_orthogonal_ratio(unit->curve, g->orientations);
    vt_orientation_tuning(&bandwidth, &peak, unit->curve, g->orientation, g->orientations, 0.4,
                          0.707, ac + cells);
    const double values[] = {baseline,
                             max_dc,
                             min_dc,
                             max_ac,
                             max_ac / max_dc,
                             variance,
                             bandwidth,
                             orthogonal,
                             !isnan(bandwidth),
                             variance / bandwidth,
                             orthogonal - variance,
                             orthogonal / bandwidth};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        unit->values[i] = values[i];
    unit->responded = max_dc > baseline + THRESHOLD;
}

static void devalois_a(vt_unit *unit, const vt_stimulus_grid *g, double *rates, double baseline,
                       double *work)
{
    int64_t cells = cell_count(g);
    double bandwidth, peak;
    components(work, NULL, g, rates);
    cell best = orientation_curve(unit, g, work);
    vt_orientation_tuning(&bandwidth, &peak, unit->curve, g->orientation, g->orientations, 0.2, 0.5,
                          work + cells);
    unit->values[0] = peak >= 157.5 ? peak - 180 : peak;
    unit->responded = work[best.number] > baseline + THRESHOLD;
}

/* ---- gratings of several frequencies ---- */

static void frequency_curve(vt_unit *unit, const vt_stimulus_grid *g, const double *component,
                            const cell *best)
{
    for (int i = 0; i < g->frequencies; i++)
        unit->curve[i] = component[(best->size * (int64_t)g->frequencies + i) * g->orientations +
                                   best->orientation];
    note_preferred(unit, g, best);
}

static void devalois_b(vt_unit *unit, const vt_stimulus_grid *g, double *rates, double baseline,
                       double *work)
{
    const double *component;
    double value, bandwidth;
    cell best = larger_component(&component, &value, g, rates, baseline, work);
    frequency_curve(unit, g, component, &best);
    vt_frequency_tuning(&bandwidth, &unit->values[0], unit->curve, g->frequency, g->frequencies,
                        work + 2 * cell_count(g));
    unit->responded = value > THRESHOLD;
}

static void schiller(vt_unit *unit, const vt_stimulus_grid *g, double *rates, double baseline,
                     double *work)
{
    int64_t cells = cell_count(g);
    double bandwidth, peak;
    components(work, NULL, g, rates);
    cell best = cell_at(g, largest(work, cells));
    frequency_curve(unit, g, work, &best);
    vt_frequency_tuning(&bandwidth, &peak, unit->curve, g->frequency, g->frequencies, work + cells);
    unit->values[0] = !isnan(bandwidth);
    unit->values[1] = bandwidth;
    unit->responded = work[best.number] > baseline + THRESHOLD;
}

/* ---- gratings of several sizes ---- */

static void cavanaugh(vt_unit *unit, const vt_stimulus_grid *g, double *rates, double baseline,
                      double *work)
{
    const double *component;
    double value, *radius = work + 2 * cell_count(g);
    cell best = larger_component(&component, &value, g, rates, baseline, work);
    for (int i = 0; i < g->sizes; i++) {
        unit->curve[i] =
            component[(i * (int64_t)g->frequencies + best.frequency) * g->orientations +
                      best.orientation];
        radius[i] = g->radius[i * g->frequencies];
    }
    note_preferred(unit, g, &best);
    vt_size_tuning t = vt_size_tuning_of(unit->curve, radius, g->sizes);
    unit->values[0] = t.suppression;
    unit->values[1] = t.suppression >= 0.1;
    unit->values[2] = t.summation;
    unit->values[3] = t.surround;
    unit->values[4] = t.surround / t.summation;
    unit->responded = value > THRESHOLD;
}

/* ---- textures ---- */

static double mean_of(const double *values, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += values[i];
    return sum / count;
}

static void freeman_ziemba(vt_unit *unit, const vt_stimulus_grid *g, double *rates, double baseline,
                           double *work)
{
    int half = g->families * g->samples;
    double *noise = work, *texture = noise + g->families, *stabilized = texture + g->families;
    /* counts in a tenth of a second, their variance stabilized (Freeman & Tukey 1950) */
    for (int i = 0; i < half; i++) {
        double count = rates[half + i] / 10;
        stabilized[i] = sqrt(count) + sqrt(count + 1);
    }
    for (int i = 0; i < 2 * half; i++)
        rates[i] -= baseline;
    for (int f = 0; f < g->families; f++) {
        noise[f] = mean_of(rates + f * g->samples, g->samples);
        texture[f] = mean_of(rates + half + f * g->samples, g->samples);
        unit->curve[f] = texture[f];
    }
    vt_variance_shares shares = vt_variance_shares_of(stabilized, g->families, g->samples);
    double modulation = vt_texture_modulation(texture, noise, g->families);
    double max_noise = rates[largest(rates, half)];
    double max_texture = rates[half + largest(rates + half, half)];
    const double values[] = {modulation,
                             fabs(modulation),
                             vt_sparseness(texture, g->families),
                             vt_sparseness(noise, g->families),
                             vt_sparseness(rates + half, half),
                             vt_sparseness(rates, half),
                             shares.ratio,
                             shares.sample,
                             shares.family,
                             max_texture,
                             max_noise};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        unit->values[i] = values[i];
    for (int i = 0; i < 3; i++)
        unit->preferred[i] = NAN;
    unit->responded = fmax(max_texture, max_noise) > THRESHOLD;
}

const vt_study_method vt_study_methods[VT_STUDIES] = {
    [VT_STUDY_RINGACH2002] = {VT_CURVE_ORIENTATION, ringach},
    [VT_STUDY_DEVALOIS1982A] = {VT_CURVE_ORIENTATION, devalois_a},
    [VT_STUDY_DEVALOIS1982B] = {VT_CURVE_FREQUENCY, devalois_b},
    [VT_STUDY_SCHILLER1976] = {VT_CURVE_FREQUENCY, schiller},
    [VT_STUDY_CAVANAUGH2002A] = {VT_CURVE_RADIUS, cavanaugh},
    [VT_STUDY_FREEMANZIEMBA2013] = {VT_CURVE_FAMILY, freeman_ziemba},
};
