/* Recording from a network: receptive fields, units at the gratings' centre, their responses.
 *
 * One affine map turns activations a of all units into spikes/s, max(0, slope max(0, a) + offset),
 * such that medians over responsive units are those of V1: 33.8 spikes/s for the largest mean over
 * phases in the orientation set, 0.82 for the blank. A unit is responsive whose largest mean,
 * above the blank, exceeds 5 / 243.1 of the largest of any kept unit (Marques, Schrimpf & DiCarlo
 * 2021; constants of V1 recordings, Ringach et al. 2002). */
#include "physiology/recording.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "physiology/receptive_field.h"

#define MOST_MAP_BYTES ((size_t)2 << 30)
/* Of V1 neurons, spikes/s: medians of the largest response and of that to grey; how much more than
 * that to grey a response is, and the largest response of any neuron. */
#define LARGEST 33.8
#define SPONTANEOUS 0.82
#define THRESHOLD 5.0
#define ANY_LARGEST 243.1
enum { PHASES = 8 };

/* What is recorded from one node. */
typedef struct site {
    vt_recording *out; /* its map under way */
    const vt_show_node *node;
    double *position, *size; /* (units, 2), (units): in the map */
    int64_t *kept;           /* (kept) units */
    float *maps;             /* (kept, VT_FIELD_POSITIONS) */
    size_t kept_room;
    double *responses; /* (kept, stimuli) of the set that is shown */
} site;

typedef struct recorder {
    site *sites; /* (show.count) */
    vt_show show;
    const vt_recording_options *options;
    float *blank; /* (units of all nodes): rectified */
    int64_t stimuli;
} recorder;

static vt_status add(const site *s, const char *name, vt_dtype dtype, int ndim, const int64_t *size,
                     void *out_data)
{
    vt_tensor t;
    VT_TRY(vt_tensor_map_add(s->out->map, name, dtype, ndim, size, &t));
    memcpy(out_data, &t.data, sizeof t.data);
    return VT_OK;
}

static const char *name_of(const recorder *r, const site *s)
{
    return vt_graph_node_name(r->show.subject.graph, s->node->node);
}

static bool has_units(const recorder *r)
{
    for (int i = 0; i < r->show.count; i++)
        if (!*r->sites[i].out->reason) return true;
    return false;
}

/* ---- the blank ---- */

static vt_status receive_blank(void *context, const vt_show *show, int node, int64_t first,
                               int64_t count, const float *activations)
{
    const recorder *r = context;
    float *blank = r->blank + show->nodes[node].first;
    (void)first;
    (void)count;
    for (int64_t u = 0; u < show->nodes[node].units; u++) {
        if (!vt_is_finite_bits(activations[u]))
            return vt_show_not_finite(show, node, u, activations[u]);
        blank[u] = activations[u] > 0 ? activations[u] : 0;
    }
    return VT_OK;
}

/* ---- receptive fields ---- */

/* `unit` is of the node. */
static vt_status keep(site *s, const vt_field_maps *maps, int64_t unit)
{
    size_t count = (size_t)s->out->kept;
    if (count == s->kept_room) {
        size_t room = count ? 2 * count : 64;
        int64_t *kept = vt_grow(s->kept, count, room, sizeof *kept);
        if (!kept) return VT_ENOMEM;
        s->kept = kept;
        float *grown = vt_grow(s->maps, count, room, VT_FIELD_POSITIONS * sizeof *grown);
        if (!grown) return VT_ENOMEM;
        s->maps = grown;
        s->kept_room = room;
    }
    s->kept[count] = unit;
    for (int p = 0; p < VT_FIELD_POSITIONS; p++)
        s->maps[count * VT_FIELD_POSITIONS + (size_t)p] =
            maps->map[p * maps->count + s->node->first + unit - maps->first];
    s->out->kept++;
    return VT_OK;
}

static double distance(const double *position)
{
    return hypot(position[0] - VT_FIELD_CENTRE, position[1] - VT_FIELD_CENTRE);
}

/* Those of its units that the maps are of, if any. */
static vt_status locate(site *s, const vt_field_maps *maps)
{
    const vt_show_node *n = s->node;
    int64_t begin = maps->first - n->first, end = begin + maps->count;
    if (begin < 0) begin = 0;
    if (end > n->units) end = n->units;
    if (begin >= end) return VT_OK;
    vt_field_maps_locate(maps, n->first + begin, end - begin, s->position + 2 * begin,
                         s->size + begin);
    for (int64_t u = begin; u < end; u++) {
        s->out->answering += !isnan(s->size[u]);
        if (distance(s->position + 2 * u) <= VT_FIELD_REACH) VT_TRY(keep(s, maps, u));
    }
    return VT_OK;
}

static vt_status map_units(recorder *r, vt_field_maps *maps)
{
    int64_t units = r->show.units, room = maps->count;
    for (int64_t first = 0; first < units; first += room) {
        int64_t count = units - first < room ? units - first : room;
        VT_TRY(vt_field_maps_record(maps, &r->show, first, count, r->blank));
        for (int i = 0; i < r->show.count; i++)
            VT_TRY(locate(&r->sites[i], maps));
    }
    return VT_OK;
}

static void nobody(site *s)
{
    vt_recording *out = s->out;
    if (out->answering == 0) {
        snprintf(out->reason, sizeof out->reason,
                 "none of its %lld units answers to small gratings more than to grey",
                 (long long)out->units);
        return;
    }
    double least = INFINITY, nearest[2] = {NAN, NAN};
    for (int64_t u = 0; u < s->node->units; u++) {
        if (!(distance(s->position + 2 * u) < least)) continue; /* NaN: no receptive field */
        least = distance(s->position + 2 * u);
        memcpy(nearest, s->position + 2 * u, sizeof nearest);
    }
    snprintf(out->reason, sizeof out->reason,
             "none of its %lld units has its receptive field within %g degrees of (%g, %g); of the "
             "%lld that answer the nearest has it at (%.3f, %.3f)",
             (long long)out->units, VT_FIELD_REACH, VT_FIELD_CENTRE, VT_FIELD_CENTRE,
             (long long)out->answering, nearest[0], nearest[1]);
}

static int64_t total_of(const recorder *r, int64_t passes)
{
    int64_t total = passes * vt_grating_set_count(VT_GRATINGS_RECEPTIVE_FIELD);
    for (int set = 0; set < VT_GRATING_SETS; set++)
        if (set != VT_GRATINGS_RECEPTIVE_FIELD) total += vt_grating_set_count(set);
    return total + (r->options->textures ? vt_texture_set_count(r->options->textures) : 0);
}

static size_t map_bytes(const vt_recording_options *options)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t eighth = pages > 0 && page > 0 ? (size_t)pages / 8 * (size_t)page : MOST_MAP_BYTES;
    if (options->map_bytes > 0) return options->map_bytes;
    return eighth < MOST_MAP_BYTES ? eighth : MOST_MAP_BYTES;
}

static vt_status find_units(recorder *r)
{
    vt_field_maps maps;
    int64_t units = r->show.units;
    vt_status status = vt_field_maps_new(&maps, units, map_bytes(r->options));
    if (status == VT_OK) {
        r->show.total = total_of(r, (units + maps.count - 1) / maps.count);
        status = vt_show_set(&r->show, VT_GRATINGS_BLANK, NULL, receive_blank, r);
        if (status == VT_OK) status = map_units(r, &maps);
    }
    vt_field_maps_free(&maps);
    for (int i = 0; i < r->show.count && status == VT_OK; i++)
        if (r->sites[i].out->kept == 0) nobody(&r->sites[i]);
    return status;
}

/* ---- the units that are kept ---- */

static vt_status describe_units(site *s)
{
    int64_t kept = s->out->kept, *unit;
    double *position, *size;
    float *map;
    VT_TRY(add(s, "unit", VT_I64, 2, (int64_t[]){kept, 3}, &unit));
    VT_TRY(add(s, "unit.position", VT_F64, 2, (int64_t[]){kept, 2}, &position));
    VT_TRY(add(s, "unit.size", VT_F64, 1, &kept, &size));
    VT_TRY(add(s, "unit.map", VT_F32, 3, (int64_t[]){kept, VT_FIELD_SIDE, VT_FIELD_SIDE}, &map));
    for (int64_t k = 0; k < kept; k++) {
        int64_t u = s->kept[k], column = u / s->node->size[2];
        unit[3 * k] = column / s->node->size[1];
        unit[3 * k + 1] = column % s->node->size[1];
        unit[3 * k + 2] = u % s->node->size[2];
        memcpy(position + 2 * k, s->position + 2 * u, 2 * sizeof *position);
        size[k] = s->size[u];
    }
    memcpy(map, s->maps, (size_t)kept * VT_FIELD_POSITIONS * sizeof *map);
    return VT_OK;
}

static vt_status receive_kept(void *context, const vt_show *show, int node, int64_t first,
                              int64_t count, const float *activations)
{
    const recorder *r = context;
    const site *s = &r->sites[node];
    for (int64_t k = 0; k < s->out->kept; k++)
        for (int64_t i = 0; i < count; i++) {
            float value = activations[i * s->node->units + s->kept[k]];
            if (!vt_is_finite_bits(value)) return vt_show_not_finite(show, node, s->kept[k], value);
            s->responses[k * r->stimuli + first + i] = value > 0 ? value : 0;
        }
    return VT_OK;
}

/* Room for responses.SET, and the parameters of its stimuli as stimuli.SET. */
static vt_status begin_set(site *s, vt_grating_set set)
{
    char name[64];
    vt_grating *stimuli;
    int64_t count = vt_grating_set_count(set);
    snprintf(name, sizeof name, "stimuli.%s", vt_grating_set_name(set));
    VT_TRY(add(s, name, VT_F64, 2, (int64_t[]){count, 7}, &stimuli));
    for (int64_t i = 0; i < count; i++)
        VT_TRY(vt_grating_set_at(&stimuli[i], set, i));
    snprintf(name, sizeof name, "responses.%s", vt_grating_set_name(set));
    return add(s, name, VT_F64, 2, (int64_t[]){s->out->kept, count}, &s->responses);
}

static vt_status record_set(recorder *r, vt_grating_set set)
{
    r->stimuli = vt_grating_set_count(set);
    for (int i = 0; i < r->show.count; i++)
        if (!*r->sites[i].out->reason) VT_TRY(begin_set(&r->sites[i], set));
    return vt_show_set(&r->show, set, NULL, receive_kept, r);
}

/* Room for responses.texture, with what each texture is, and where they come from. */
static vt_status begin_textures(site *s, const vt_texture_set *set)
{
    int64_t count = vt_texture_set_count(set), *type, *family, *sample;
    const char *origin = vt_texture_set_origin(set);
    VT_TRY(add(s, "texture.type", VT_I64, 1, &count, &type));
    VT_TRY(add(s, "texture.family", VT_I64, 1, &count, &family));
    VT_TRY(add(s, "texture.sample", VT_I64, 1, &count, &sample));
    for (int64_t i = 0; i < count; i++) {
        const vt_texture_stimulus *is = vt_texture_set_at(set, i);
        type[i] = is->type;
        family[i] = is->family;
        sample[i] = is->sample;
    }
    if (origin) VT_TRY(vt_tensor_map_set_text(s->out->map, "textures", origin));
    return add(s, "responses.texture", VT_F64, 2, (int64_t[]){s->out->kept, count}, &s->responses);
}

static vt_status record_textures(recorder *r, const vt_texture_set *set)
{
    r->stimuli = vt_texture_set_count(set);
    for (int i = 0; i < r->show.count; i++)
        if (!*r->sites[i].out->reason) VT_TRY(begin_textures(&r->sites[i], set));
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

/* Slope and offset, or why there are none. `largest` and `blank` (kept) are used up. */
static void find_rates(vt_recording *out, double *largest, double *blank)
{
    double any = -INFINITY;
    for (int64_t k = 0; k < out->kept; k++)
        any = fmax(any, largest[k] - blank[k]);
    for (int64_t k = 0; k < out->kept; k++) {
        if (!(largest[k] - blank[k] > THRESHOLD / ANY_LARGEST * any)) continue;
        largest[out->responsive] = largest[k];
        blank[out->responsive++] = blank[k];
    }
    if (!(any > 0) || out->responsive == 0) {
        snprintf(out->reason, sizeof out->reason,
                 "none of the %lld units with a receptive field at (%g, %g) answers to gratings of "
                 "the orientation set more than to grey",
                 (long long)out->kept, VT_FIELD_CENTRE, VT_FIELD_CENTRE);
        return;
    }
    double grey = median(blank, out->responsive);
    out->slope = (LARGEST - SPONTANEOUS) / (median(largest, out->responsive) - grey);
    out->offset = SPONTANEOUS - out->slope * grey;
}

static void to_rates(const vt_recording *out, double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = fmax(0, out->slope * values[i] + out->offset);
}

static vt_status make_rates(const recorder *r, site *s)
{
    vt_recording *out = s->out;
    int64_t kept = out->kept;
    const float *blank = r->blank + s->node->first;
    double *baseline, *affine;
    const vt_tensor *shown = vt_tensor_map_find(out->map, "responses.orientation");
    double *scratch = vt_alloc((size_t)kept, 2 * sizeof *scratch);
    if (!scratch) return VT_ENOMEM;
    for (int64_t k = 0; k < kept; k++) {
        scratch[k] = largest_mean((double *)shown->data + k * shown->size[1], shown->size[1]);
        scratch[kept + k] = blank[s->kept[k]];
    }
    find_rates(out, scratch, scratch + kept);
    free(scratch);
    if (*out->reason) return VT_OK;
    VT_TRY(add(s, "baseline", VT_F64, 2, (int64_t[]){kept, 1}, &baseline));
    VT_TRY(add(s, "affine", VT_F64, 1, (int64_t[]){2}, &affine));
    for (int64_t k = 0; k < kept; k++)
        baseline[k] = blank[s->kept[k]];
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

static vt_status begin(recorder *r, int number, vt_recording *out)
{
    site *s = &r->sites[number];
    const vt_show_node *node = &r->show.nodes[number];
    *s = (site){.out = out, .node = node};
    out->units = node->units;
    VT_TRY(vt_tensor_map_new(&out->map));
    VT_TRY(vt_tensor_map_set_text(out->map, "model", r->show.subject.label));
    VT_TRY(vt_tensor_map_set_text(out->map, "node", name_of(r, s)));
    VT_TRY(add(s, "node.position", VT_F64, 2, (int64_t[]){node->units, 2}, &s->position));
    return add(s, "node.size", VT_F64, 1, &node->units, &s->size);
}

static vt_status show_kept(recorder *r)
{
    for (int i = 0; i < r->show.count; i++)
        if (!*r->sites[i].out->reason) VT_TRY(describe_units(&r->sites[i]));
    VT_TRY(record_set(r, VT_GRATINGS_ORIENTATION));
    VT_TRY(record_set(r, VT_GRATINGS_SPATIAL_FREQUENCY));
    VT_TRY(record_set(r, VT_GRATINGS_SIZE));
    if (r->options->textures) VT_TRY(record_textures(r, r->options->textures));
    for (int i = 0; i < r->show.count; i++)
        if (!*r->sites[i].out->reason) VT_TRY(make_rates(r, &r->sites[i]));
    return VT_OK;
}

static vt_status record(recorder *r, vt_recording *out, const vt_subject *subject,
                        const vt_node *nodes, int count)
{
    VT_TRY(vt_show_new(&r->show, subject, nodes, count, r->options));
    r->sites = vt_alloc((size_t)count, sizeof *r->sites);
    r->blank = vt_alloc((size_t)r->show.units, sizeof *r->blank);
    if (!r->sites || !r->blank) return VT_ENOMEM;
    for (int i = 0; i < count; i++)
        VT_TRY(begin(r, i, &out[i]));
    VT_TRY(find_units(r));
    return has_units(r) ? show_kept(r) : VT_OK;
}

vt_status vt_record_graph(vt_recording *out, const vt_subject *subject, const vt_node *nodes,
                          int count, const vt_recording_options *options)
{
    recorder r = {.options = options};
    vt_recording *recordings = vt_alloc(count > 0 ? (size_t)count : 1, sizeof *recordings);
    if (!recordings) return VT_ENOMEM;
    vt_status status = record(&r, recordings, subject, nodes, count);
    for (int i = 0; r.sites && i < count; i++) {
        free(r.sites[i].kept);
        free(r.sites[i].maps);
    }
    for (int i = 0; i < count; i++) {
        vt_recording *one = &recordings[i];
        one->time = r.show.time;
        if (*one->reason) {
            vt_tensor_map_free(one->map);
            one->map = NULL;
        }
        if (status == VT_OK)
            out[i] = *one;
        else
            vt_recording_free(one);
    }
    free(r.sites);
    free(r.blank);
    free(recordings);
    vt_show_free(&r.show);
    return status;
}

vt_status vt_record(vt_recording *out, vt_model *model, const char *const *nodes, int count,
                    const vt_recording_options *options)
{
    vt_subject subject = {.graph = vt_model_graph(model),
                          .input = vt_model_input(model),
                          .preprocessing = vt_model_preprocessing(model),
                          .label = vt_model_label(model)};
    vt_node *found = vt_alloc(count > 0 ? (size_t)count : 1, sizeof *found);
    vt_status status = found ? VT_OK : VT_ENOMEM;
    for (int i = 0; i < count && status == VT_OK; i++)
        status = vt_model_find(&found[i], model, nodes[i]);
    if (status == VT_OK) status = vt_record_graph(out, &subject, found, count, options);
    free(found);
    return status;
}

int vt_recording_group(vt_model *model, const char *const *nodes, int count,
                       const vt_recording_options *options)
{
    double bytes = 0;
    int fitting = 0;
    for (; fitting < count; fitting++) {
        vt_node node;
        int64_t size[VT_MAX_DIMS];
        double units = 1;
        if (vt_model_find(&node, model, nodes[fitting]) != VT_OK) break;
        for (int d = vt_graph_node_size(vt_model_graph(model), node, size) - 1; d >= 0; d--)
            units *= (double)size[d];
        bytes += units * VT_FIELD_POSITIONS * sizeof(float);
        if (bytes > (double)map_bytes(options)) break;
    }
    return fitting > 1 ? fitting : 1;
}

void vt_recording_free(vt_recording *recording)
{
    vt_tensor_map_free(recording->map);
    *recording = (vt_recording){.units = 0};
}
