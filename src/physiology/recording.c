/* Recording from a network: receptive fields, units at the gratings' centre, their responses.
 *
 * One affine map turns activations a of all units into spikes/s, max(0, slope max(0, a) + offset),
 * such that medians over responsive units are those of V1: 33.8 spikes/s for the largest mean over
 * phases in the orientation set, 0.82 for the blank. A unit is responsive whose largest mean,
 * above the blank, exceeds 5 / 243.1 of the largest of any kept unit (Marques, Schrimpf & DiCarlo
 * 2021; constants of V1 recordings, Ringach et al. 2002). */
#include "ventral/recording.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "neural/runner.h"
#include "physiology/receptive_field.h"

#define MAP_BYTES ((size_t)512 << 20)
/* Of V1 neurons, spikes/s: medians of the largest response and of that to grey; how much more than
 * that to grey a response is, and the largest response of any neuron. */
#define LARGEST 33.8
#define SPONTANEOUS 0.82
#define THRESHOLD 5.0
#define ANY_LARGEST 243.1
enum { PHASES = 8 };

typedef struct recorder {
    vt_recording *out; /* its map under way */
    vt_show show;
    const vt_recording_options *options;
    float *blank;            /* (units) */
    double *position, *size; /* (units, 2), (units): in the map */
    int64_t *kept;           /* (kept) units */
    float *maps;             /* (kept, VT_FIELD_POSITIONS) */
    size_t kept_room;
    double *responses; /* (kept, stimuli) of the set that is shown */
    int64_t stimuli;
} recorder;

/* ---- the blank ---- */

static vt_status receive_blank(void *context, const vt_show *show, int64_t first, int64_t count,
                               const float *activations)
{
    recorder *r = context;
    (void)first;
    (void)count;
    for (int64_t u = 0; u < show->units; u++) {
        if (!vt_is_finite_bits(activations[u])) return vt_show_not_finite(show, u, activations[u]);
        r->blank[u] = activations[u] > 0 ? activations[u] : 0;
    }
    return VT_OK;
}

/* ---- receptive fields ---- */

static vt_status keep(recorder *r, const vt_field_maps *maps, int64_t unit)
{
    size_t count = (size_t)r->out->kept;
    if (count == r->kept_room) {
        size_t room = count ? 2 * count : 64;
        int64_t *kept = vt_grow(r->kept, count, room, sizeof *kept);
        if (!kept) return VT_ENOMEM;
        r->kept = kept;
        float *grown = vt_grow(r->maps, count, room, VT_FIELD_POSITIONS * sizeof *grown);
        if (!grown) return VT_ENOMEM;
        r->maps = grown;
        r->kept_room = room;
    }
    r->kept[count] = unit;
    for (int p = 0; p < VT_FIELD_POSITIONS; p++)
        r->maps[count * VT_FIELD_POSITIONS + (size_t)p] =
            maps->map[p * maps->count + unit - maps->first];
    r->out->kept++;
    return VT_OK;
}

static double distance(const double *position)
{
    return hypot(position[0] - VT_FIELD_CENTRE, position[1] - VT_FIELD_CENTRE);
}

static vt_status map_units(recorder *r, vt_field_maps *maps)
{
    int64_t units = r->show.units, room = maps->count;
    for (int64_t first = 0; first < units; first += room) {
        int64_t count = units - first < room ? units - first : room;
        VT_TRY(vt_field_maps_record(maps, &r->show, first, count, r->blank));
        vt_field_maps_locate(maps, r->position + 2 * first, r->size + first);
        for (int64_t u = first; u < first + count; u++) {
            r->out->answering += !isnan(r->size[u]);
            if (distance(r->position + 2 * u) <= VT_FIELD_REACH) VT_TRY(keep(r, maps, u));
        }
    }
    return VT_OK;
}

static vt_status nobody(const recorder *r)
{
    const vt_subject *s = &r->show.subject;
    const char *node = vt_graph_node_name(s->graph, s->node);
    if (r->out->answering == 0)
        return vt_error(
            VT_ENOTFOUND,
            "%s: %s: none of its %lld units answers to small gratings more than to grey", s->label,
            node, (long long)r->show.units);
    double least = INFINITY, nearest[2] = {NAN, NAN};
    for (int64_t u = 0; u < r->show.units; u++) {
        if (!(distance(r->position + 2 * u) < least)) continue; /* NaN: no receptive field */
        least = distance(r->position + 2 * u);
        memcpy(nearest, r->position + 2 * u, sizeof nearest);
    }
    return vt_error(VT_ENOTFOUND,
                    "%s: %s: none of its %lld units has its receptive field within %g degrees of "
                    "(%g, %g); of the %lld that answer the nearest has it at (%.3f, %.3f)",
                    s->label, node, (long long)r->show.units, VT_FIELD_REACH, VT_FIELD_CENTRE,
                    VT_FIELD_CENTRE, (long long)r->out->answering, nearest[0], nearest[1]);
}

static vt_status add(recorder *r, const char *name, vt_dtype dtype, int ndim, const int64_t *size,
                     void *out_data)
{
    vt_tensor t;
    VT_TRY(vt_tensor_map_add(r->out->map, name, dtype, ndim, size, &t));
    memcpy(out_data, &t.data, sizeof t.data);
    return VT_OK;
}

static vt_status find_units(recorder *r)
{
    vt_field_maps maps;
    int64_t units = r->show.units;
    size_t bytes = r->options->map_bytes > 0 ? r->options->map_bytes : MAP_BYTES;
    VT_TRY(add(r, "node.position", VT_F64, 2, (int64_t[]){units, 2}, &r->position));
    VT_TRY(add(r, "node.size", VT_F64, 1, &units, &r->size));
    vt_status status = vt_field_maps_new(&maps, units, bytes);
    if (status == VT_OK) {
        int64_t passes = (units + maps.count - 1) / maps.count;
        r->show.total = passes * vt_grating_set_count(VT_GRATINGS_RECEPTIVE_FIELD);
        for (int set = 0; set < VT_GRATING_SETS; set++)
            if (set != VT_GRATINGS_RECEPTIVE_FIELD) r->show.total += vt_grating_set_count(set);
        if (r->options->textures) r->show.total += vt_texture_set_count(r->options->textures);
        status = vt_show_set(&r->show, VT_GRATINGS_BLANK, NULL, receive_blank, r);
        if (status == VT_OK) status = map_units(r, &maps);
    }
    vt_field_maps_free(&maps);
    if (status == VT_OK && r->out->kept == 0) status = nobody(r);
    return status;
}

/* ---- the units that are kept ---- */

static vt_status describe_units(recorder *r)
{
    int64_t kept = r->out->kept, *unit;
    double *position, *size;
    float *map;
    VT_TRY(add(r, "unit", VT_I64, 2, (int64_t[]){kept, 3}, &unit));
    VT_TRY(add(r, "unit.position", VT_F64, 2, (int64_t[]){kept, 2}, &position));
    VT_TRY(add(r, "unit.size", VT_F64, 1, &kept, &size));
    VT_TRY(add(r, "unit.map", VT_F32, 3, (int64_t[]){kept, VT_FIELD_SIDE, VT_FIELD_SIDE}, &map));
    for (int64_t k = 0; k < kept; k++) {
        int64_t u = r->kept[k], column = u / r->show.size[2];
        unit[3 * k] = column / r->show.size[1];
        unit[3 * k + 1] = column % r->show.size[1];
        unit[3 * k + 2] = u % r->show.size[2];
        memcpy(position + 2 * k, r->position + 2 * u, 2 * sizeof *position);
        size[k] = r->size[u];
    }
    memcpy(map, r->maps, (size_t)kept * VT_FIELD_POSITIONS * sizeof *map);
    return VT_OK;
}

static vt_status receive_kept(void *context, const vt_show *show, int64_t first, int64_t count,
                              const float *activations)
{
    recorder *r = context;
    for (int64_t k = 0; k < r->out->kept; k++)
        for (int64_t i = 0; i < count; i++) {
            float value = activations[i * show->units + r->kept[k]];
            if (!vt_is_finite_bits(value)) return vt_show_not_finite(show, r->kept[k], value);
            r->responses[k * r->stimuli + first + i] = value > 0 ? value : 0;
        }
    return VT_OK;
}

/* Rectified activations to a set, as responses.SET, and its parameters, as stimuli.SET. */
static vt_status record_set(recorder *r, vt_grating_set set)
{
    char name[64];
    vt_grating *stimuli;
    r->stimuli = vt_grating_set_count(set);
    snprintf(name, sizeof name, "stimuli.%s", vt_grating_set_name(set));
    VT_TRY(add(r, name, VT_F64, 2, (int64_t[]){r->stimuli, 7}, &stimuli));
    for (int64_t i = 0; i < r->stimuli; i++)
        VT_TRY(vt_grating_set_at(&stimuli[i], set, i));
    snprintf(name, sizeof name, "responses.%s", vt_grating_set_name(set));
    VT_TRY(add(r, name, VT_F64, 2, (int64_t[]){r->out->kept, r->stimuli}, &r->responses));
    return vt_show_set(&r->show, set, NULL, receive_kept, r);
}

/* As responses.texture, with what each texture is, and where they come from. */
static vt_status record_textures(recorder *r, const vt_texture_set *set)
{
    int64_t *type, *family, *sample;
    const char *origin = vt_texture_set_origin(set);
    r->stimuli = vt_texture_set_count(set);
    VT_TRY(add(r, "texture.type", VT_I64, 1, &r->stimuli, &type));
    VT_TRY(add(r, "texture.family", VT_I64, 1, &r->stimuli, &family));
    VT_TRY(add(r, "texture.sample", VT_I64, 1, &r->stimuli, &sample));
    for (int64_t i = 0; i < r->stimuli; i++) {
        const vt_texture_stimulus *is = vt_texture_set_at(set, i);
        type[i] = is->type;
        family[i] = is->family;
        sample[i] = is->sample;
    }
    if (origin) VT_TRY(vt_tensor_map_set_text(r->out->map, "textures", origin));
    VT_TRY(add(r, "responses.texture", VT_F64, 2, (int64_t[]){r->out->kept, r->stimuli},
               &r->responses));
    return vt_show_textures(&r->show, set, receive_kept, r);
}

/* ---- spikes a second ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int64_t count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* The largest mean over phases. */
static double largest_mean(const double *responses, int64_t stimuli)
{
    double largest = 0;
    for (int64_t i = 0; i < stimuli; i += PHASES) {
        double sum = 0;
        for (int k = 0; k < PHASES; k++)
            sum += responses[i + k];
        largest = fmax(largest, sum / PHASES);
    }
    return largest;
}

/* `largest` and `blank` (kept) are used up. */
static vt_status find_rates(recorder *r, double *largest, double *blank)
{
    vt_recording *out = r->out;
    const vt_subject *s = &r->show.subject;
    double any = -INFINITY;
    for (int64_t k = 0; k < out->kept; k++)
        any = fmax(any, largest[k] - blank[k]);
    for (int64_t k = 0; k < out->kept; k++) {
        if (!(largest[k] - blank[k] > THRESHOLD / ANY_LARGEST * any)) continue;
        largest[out->responsive] = largest[k];
        blank[out->responsive++] = blank[k];
    }
    if (!(any > 0) || out->responsive == 0)
        return vt_error(VT_ENOTFOUND,
                        "%s: %s: none of the %lld units with a receptive field at (%g, %g) answers "
                        "to gratings of the orientation set more than to grey",
                        s->label, vt_graph_node_name(s->graph, s->node), (long long)out->kept,
                        VT_FIELD_CENTRE, VT_FIELD_CENTRE);
    double grey = median(blank, out->responsive);
    out->slope = (LARGEST - SPONTANEOUS) / (median(largest, out->responsive) - grey);
    out->offset = SPONTANEOUS - out->slope * grey;
    return VT_OK;
}

static void to_rates(const vt_recording *out, double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = fmax(0, out->slope * values[i] + out->offset);
}

static vt_status make_rates(recorder *r)
{
    vt_recording *out = r->out;
    int64_t kept = out->kept;
    double *baseline, *affine;
    const vt_tensor *shown = vt_tensor_map_find(out->map, "responses.orientation");
    double *scratch = vt_alloc((size_t)kept, 2 * sizeof *scratch);
    if (!scratch) return VT_ENOMEM;
    for (int64_t k = 0; k < kept; k++) {
        scratch[k] = largest_mean((double *)shown->data + k * shown->size[1], shown->size[1]);
        scratch[kept + k] = r->blank[r->kept[k]];
    }
    vt_status status = find_rates(r, scratch, scratch + kept);
    free(scratch);
    if (status != VT_OK) return status;
    VT_TRY(add(r, "baseline", VT_F64, 2, (int64_t[]){kept, 1}, &baseline));
    VT_TRY(add(r, "affine", VT_F64, 1, (int64_t[]){2}, &affine));
    for (int64_t k = 0; k < kept; k++)
        baseline[k] = r->blank[r->kept[k]];
    to_rates(out, baseline, kept);
    for (int i = 0; i < vt_tensor_map_count(out->map); i++) {
        const vt_tensor *t = vt_tensor_map_at(out->map, i);
        if (strncmp(t->name, "responses.", strlen("responses.")) == 0)
            to_rates(out, t->data, vt_tensor_count(t));
    }
    affine[0] = out->slope;
    affine[1] = out->offset;
    return VT_OK;
}

/* ---- all of it ---- */

static vt_status record(recorder *r, const vt_subject *subject)
{
    vt_recording *out = r->out;
    VT_TRY(vt_tensor_map_new(&out->map));
    VT_TRY(vt_tensor_map_set_text(out->map, "model", subject->label));
    VT_TRY(vt_tensor_map_set_text(out->map, "node",
                                  vt_graph_node_name(subject->graph, subject->node)));
    VT_TRY(vt_show_new(&r->show, subject, r->options, &out->time));
    out->units = r->show.units;
    r->blank = vt_alloc((size_t)r->show.units, sizeof *r->blank);
    if (!r->blank) return VT_ENOMEM;
    VT_TRY(find_units(r));
    VT_TRY(describe_units(r));
    VT_TRY(record_set(r, VT_GRATINGS_ORIENTATION));
    VT_TRY(record_set(r, VT_GRATINGS_SPATIAL_FREQUENCY));
    VT_TRY(record_set(r, VT_GRATINGS_SIZE));
    if (r->options->textures) VT_TRY(record_textures(r, r->options->textures));
    return make_rates(r);
}

vt_status vt_record_graph(vt_recording *out, const vt_subject *subject,
                          const vt_recording_options *options)
{
    vt_recording recording = {.units = 0};
    recorder r = {.out = &recording, .options = options};
    vt_status status = record(&r, subject);
    vt_show_free(&r.show);
    free(r.blank);
    free(r.kept);
    free(r.maps);
    if (status == VT_OK)
        *out = recording;
    else
        vt_recording_free(&recording);
    return status;
}

vt_status vt_record(vt_recording *out, vt_model *model, const char *node,
                    const vt_recording_options *options)
{
    vt_subject subject = {.graph = vt_model_graph(model),
                          .input = vt_model_input(model),
                          .preprocessing = vt_model_preprocessing(model),
                          .label = vt_model_label(model)};
    VT_TRY(vt_runner_find(&subject.node, model, node));
    return vt_record_graph(out, &subject, options);
}

void vt_recording_free(vt_recording *recording)
{
    vt_tensor_map_free(recording->map);
    *recording = (vt_recording){.units = 0};
}
