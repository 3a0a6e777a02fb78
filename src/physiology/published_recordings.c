/* Properties of the recordings of Ringach et al. 2002 and Freeman, Ziemba et al. 2013, as Marques,
 * Schrimpf & DiCarlo 2021 took them from the authors' MATLAB files. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "physiology/curves.h"
#include "physiology/references.h"

/* Puts a study's values (properties, count) under its properties. */
static void set_study(vt_references *references, int study, const double *values, int64_t count,
                      const char *source)
{
    int properties, first = vt_study_properties(study, &properties);
    for (int i = 0; i < properties; i++)
        vt_references_set(references, first + i, values + i * count, count, source);
}

/* ---- Ringach et al. ---- */

enum { SPONT, MAXDC, MINDC, MAXFIRST, ORIVAR, BW, PO, FIELDS, RINGACH_PROPERTIES = 12 };

static vt_status find_fields(const vt_tensor *field[FIELDS], const vt_tensor_map *map)
{
    static const char *const names[FIELDS] = {"db/spont",  "db/maxdc", "db/mindc", "db/maxfirst",
                                              "db/orivar", "db/bw",    "db/po"};
    for (int i = 0; i < FIELDS; i++) {
        field[i] = vt_tensor_map_find(map, names[i]);
        if (!field[i]) return vt_error(VT_EFORMAT, "the structure db has no %s", names[i] + 3);
        if (vt_tensor_count(field[i]) != vt_tensor_count(field[0]))
            return vt_error(VT_ESHAPE, "%s has %lld values, db/spont %lld", names[i],
                            (long long)vt_tensor_count(field[i]),
                            (long long)vt_tensor_count(field[0]));
    }
    return VT_OK;
}

vt_status vt_references_set_ringach(vt_references *references, const vt_tensor_map *map,
                                    const char *source)
{
    const vt_tensor *field[FIELDS];
    VT_TRY(find_fields(field, map));
    int64_t all = vt_tensor_count(field[0]), count = 0, row = 0;
    for (int64_t i = 0; i < all; i++)
        count += vt_tensor_get(field[MAXDC], i) > vt_tensor_get(field[SPONT], i) + 5;
    if (count == 0 || count > UINT32_MAX)
        return vt_error(VT_EFORMAT,
                        "%lld of %lld neurons in db respond enough (maxdc above spont + 5)",
                        (long long)count, (long long)all);
    double *values = vt_alloc((size_t)count, RINGACH_PROPERTIES * sizeof *values);
    if (!values) return VT_ENOMEM;
    for (int64_t i = 0; i < all; i++) {
        double v[FIELDS];
        for (int f = 0; f < FIELDS; f++)
            v[f] = vt_tensor_get(field[f], i);
        if (!(v[MAXDC] > v[SPONT] + 5)) continue;
        double bandwidth = v[BW] > 90 ? NAN : v[BW];
        const double made[RINGACH_PROPERTIES] = {v[SPONT],
                                                 v[MAXDC],
                                                 v[MINDC],
                                                 v[MAXFIRST],
                                                 v[MAXFIRST] / v[MAXDC],
                                                 v[ORIVAR],
                                                 bandwidth,
                                                 v[PO],
                                                 !isnan(bandwidth),
                                                 v[ORIVAR] / bandwidth,
                                                 v[PO] - v[ORIVAR],
                                                 v[PO] / bandwidth};
        for (int p = 0; p < RINGACH_PROPERTIES; p++)
            values[p * count + row] = made[p];
        row++;
    }
    set_study(references, VT_STUDY_RINGACH2002, values, count, source);
    free(values);
    return VT_OK;
}

/* ---- Freeman, Ziemba et al. ---- */

enum {
    BIN = 10, /* milliseconds */
    PEAK_FIRST = 7,
    PEAK_END = 22, /* bins in which the largest response is looked for */
    EARLIEST = 2,
    LONGEST_RISE = 10,
    WINDOW = 11, /* bins from the latency on */
    TEXTURE_PROPERTIES = 11,
};

/* Sizes of the array v1, and the neuron at work: spikes (bins, types, families, samples, reps) and
 * what becomes of them. */
typedef struct textures {
    int64_t milliseconds, bins, repetitions, samples, families;
    int64_t stimuli; /* 2 types x families x samples */
    const vt_tensor *v1;
    double *spikes; /* (bins, stimuli, repetitions) in each bin */
    double *family; /* (bins, 2 x families) spikes/s, means over samples and repetitions */
    double *rates;  /* (stimuli) spikes/s above baseline */
    double *means;  /* (2 x families) of those */
    double *counts; /* (stimuli) variance-stabilized */
} textures;

static void textures_destroy(textures *t)
{
    free(t->spikes);
    free(t->family);
    free(t->rates);
    free(t->means);
    free(t->counts);
}

static vt_status textures_init(textures *out, const vt_tensor *v1)
{
    char shape[96];
    textures t = {.v1 = v1};
    if (v1->ndim != 6 || v1->size[4] != 2 || v1->size[1] % BIN != 0 ||
        v1->size[1] <= PEAK_END * BIN || v1->size[0] < 1 || v1->size[2] < 1 || v1->size[3] < 2 ||
        v1->size[5] < 2 || v1->size[3] > VT_CURVE_MAX_POINTS || v1->size[5] > VT_CURVE_MAX_POINTS ||
        v1->size[0] > UINT32_MAX)
        return vt_error(VT_ESHAPE,
                        "v1: %s; (cells, 300 ms, repetitions, samples, 2: noise and texture, "
                        "families) is needed",
                        vt_tensor_shape_text(v1, shape, sizeof shape));
    t.milliseconds = v1->size[1];
    t.bins = t.milliseconds / BIN;
    t.repetitions = v1->size[2];
    t.samples = v1->size[3];
    t.families = v1->size[5];
    t.stimuli = 2 * t.families * t.samples;
    t.spikes = vt_alloc((size_t)(t.bins * t.stimuli * t.repetitions), sizeof(double));
    t.family = vt_alloc((size_t)(t.bins * 2 * t.families), sizeof(double));
    t.rates = vt_alloc((size_t)t.stimuli, sizeof(double));
    t.means = vt_alloc((size_t)(2 * t.families), sizeof(double));
    t.counts = vt_alloc((size_t)t.stimuli, sizeof(double));
    if (!t.spikes || !t.family || !t.rates || !t.means || !t.counts) {
        textures_destroy(&t);
        return VT_ENOMEM;
    }
    *out = t;
    return VT_OK;
}

/* Spikes of a cell in each bin, and the means of families; false: one is not finite. */
static bool bin_spikes(textures *t, int64_t cell)
{
    double all = 0;
    int64_t at = cell * t->milliseconds * t->repetitions * t->stimuli, n = t->repetitions;
    memset(t->spikes, 0, (size_t)(t->bins * t->stimuli * n) * sizeof(double));
    memset(t->family, 0, (size_t)(t->bins * 2 * t->families) * sizeof(double));
    for (int64_t ms = 0; ms < t->milliseconds; ms++)
        for (int64_t r = 0; r < n; r++)
            for (int64_t s = 0; s < t->samples; s++)
                for (int64_t k = 0; k < 2 * t->families; k++) { /* type and family */
                    double spikes = vt_tensor_get(t->v1, at++);
                    int64_t stimulus = k * t->samples + s, bin = ms / BIN;
                    all += spikes;
                    t->spikes[(bin * t->stimuli + stimulus) * n + r] += spikes;
                    t->family[bin * 2 * t->families + k] +=
                        spikes * (1000. / BIN) / (double)(n * t->samples);
                }
    return isfinite(all);
}

/* First bin after the response to the preferred textures began to rise from its smallest value. */
static int64_t latency(const textures *t)
{
    int64_t width = 2 * t->families, best = PEAK_FIRST * width, lowest;
    for (int64_t i = best; i < PEAK_END * width; i++)
        if (t->family[i] > t->family[best]) best = i;
    int64_t peak = best / width;
    const double *curve = t->family + best % width; /* a value a bin, `width` apart */
    double most = 0;
    for (int64_t b = 0; b < t->bins; b++)
        most = fmax(most, curve[b * width]);
    lowest = peak - LONGEST_RISE > EARLIEST ? peak - LONGEST_RISE : EARLIEST;
    for (int64_t b = lowest; b < peak; b++)
        if (curve[b * width] < curve[lowest * width]) lowest = b;
    double level = curve[lowest * width] + 0.15 * (most - curve[lowest * width]);
    int64_t last = lowest;
    for (int64_t b = lowest; b <= peak; b++)
        if (curve[b * width] <= level) last = b;
    return last + 1;
}

/* The mean response of all textures in the bin where it is smallest. */
static double baseline(const textures *t)
{
    double smallest = INFINITY;
    for (int64_t b = 0; b < t->bins; b++) {
        double sum = 0;
        for (int64_t k = 0; k < 2 * t->families; k++)
            sum += t->family[b * 2 * t->families + k];
        smallest = fmin(smallest, sum / (double)(2 * t->families));
    }
    return smallest;
}

/* Rates above baseline and stabilized counts in the window after the latency. */
static void respond(textures *t)
{
    int64_t first = latency(t), n = t->repetitions, end = first + WINDOW;
    if (end > t->bins) end = t->bins;
    double grey = baseline(t), window = (double)(end - first);
    for (int64_t i = 0; i < t->stimuli; i++) {
        double all = 0;
        t->counts[i] = 0;
        for (int64_t r = 0; r < n; r++) {
            double count = 0;
            for (int64_t b = first; b < end; b++)
                count += t->spikes[(b * t->stimuli + i) * n + r];
            all += count;
            count *= 10 / window; /* as if in 100 ms */
            t->counts[i] += (sqrt(count) + sqrt(count + 1)) / (double)n;
        }
        t->rates[i] = fmax(0, all * (1000. / BIN) / (window * (double)n) - grey);
    }
    for (int64_t k = 0; k < 2 * t->families; k++) {
        t->means[k] = 0;
        for (int64_t s = 0; s < t->samples; s++)
            t->means[k] += t->rates[k * t->samples + s] / (double)t->samples;
    }
}

static void measure_cell(double out[TEXTURE_PROPERTIES], textures *t, int64_t cell)
{
    if (!bin_spikes(t, cell)) {
        for (int p = 0; p < TEXTURE_PROPERTIES; p++)
            out[p] = NAN;
        return;
    }
    respond(t);
    int families = (int)t->families;
    int64_t half = t->stimuli / 2;
    double max_noise = 0, max_texture = 0;
    for (int64_t i = 0; i < half; i++) {
        max_noise = fmax(max_noise, t->rates[i]);
        max_texture = fmax(max_texture, t->rates[half + i]);
    }
    double modulation = vt_texture_modulation(t->means + families, t->means, families);
    vt_variance_shares shares = vt_variance_shares_of(t->counts + half, families, (int)t->samples);
    const double values[TEXTURE_PROPERTIES] = {modulation,
                                               fabs(modulation),
                                               vt_sparseness(t->means + families, families),
                                               vt_sparseness(t->means, families),
                                               vt_sparseness(t->rates + half, half),
                                               vt_sparseness(t->rates, half),
                                               shares.ratio,
                                               shares.sample,
                                               shares.family,
                                               max_texture,
                                               max_noise};
    memcpy(out, values, sizeof values);
}

vt_status vt_freeman_ziemba_measure(double **out, const vt_tensor *v1)
{
    textures t = {.v1 = NULL};
    VT_TRY(textures_init(&t, v1));
    int64_t cells = v1->size[0];
    double *values = vt_alloc((size_t)cells, TEXTURE_PROPERTIES * sizeof *values);
    for (int64_t i = 0; i < cells && values; i++) {
        double made[TEXTURE_PROPERTIES];
        measure_cell(made, &t, i);
        for (int p = 0; p < TEXTURE_PROPERTIES; p++)
            values[p * cells + i] = made[p];
    }
    textures_destroy(&t);
    if (!values) return VT_ENOMEM;
    *out = values;
    return VT_OK;
}

/* MATLAB has the sizes the other way round than HDF5, which files of version 7.3 are. */
static bool in_matlabs_order(const vt_tensor *v1)
{
    return v1->ndim == 6 && v1->size[1] == 2 && v1->size[4] > PEAK_END * BIN;
}

vt_status vt_references_set_freeman_ziemba(vt_references *references, const vt_tensor *v1,
                                           const char *source)
{
    double *values = NULL;
    vt_tensor turned = {.data = NULL};
    if (in_matlabs_order(v1)) {
        VT_TRY(vt_tensor_permute(&turned, v1, (const int[]){5, 4, 3, 2, 1, 0}));
        v1 = &turned;
    }
    vt_status status = vt_freeman_ziemba_measure(&values, v1);
    int64_t cells = v1->size[0], defined = 0;
    for (int64_t i = 0; status == VT_OK && i < cells; i++)
        defined += !isnan(values[i]);
    if (status == VT_OK && defined == 0)
        status =
            vt_error(VT_ENUMERIC, "v1: none of the %lld cells has all its responses and spikes",
                     (long long)cells);
    if (status == VT_OK) set_study(references, VT_STUDY_FREEMANZIEMBA2013, values, cells, source);
    free(values);
    vt_tensor_free(&turned);
    return status;
}
