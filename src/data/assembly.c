/* Neuronal assemblies of Brain-Score, written by xarray as NetCDF4, which is HDF5: a variable
 * (presentation, neuroid, time_bin) and coordinates, vectors along one of these dimensions. */
#include "data/assembly.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/weights.h"

/* Repeats times images can be this many times the presentations, when repeats differ in number. */
enum { MOST_UNEVEN = 64 };

/* A vector of texts or numbers along the presentations, as texts. */
typedef struct coordinate {
    char *text;         /* lines, cut */
    const char **entry; /* (count) */
} coordinate;

static void coordinate_free(coordinate *c)
{
    free(c->text);
    free(c->entry);
}

static int64_t count_lines(const char *text)
{
    int64_t lines = 1;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static vt_status cut_lines(coordinate *out, const char *text, int64_t count)
{
    out->text = vt_strdup(text);
    out->entry = vt_alloc((size_t)count, sizeof *out->entry);
    if (!out->text || !out->entry) return VT_ENOMEM;
    char *line = out->text;
    for (int64_t i = 0; i < count; i++) {
        char *end = line + strcspn(line, "\n");
        out->entry[i] = line;
        line = *end ? end + 1 : end;
        *end = '\0';
    }
    return VT_OK;
}

/* Equal entries get equal numbers, in the order of their first appearance; returns how many there
 * are. `first` (count), when not NULL, gets where each number appeared first. */
typedef struct entry {
    const char *text;
    int64_t index;
} entry;

static int compare_entries(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static vt_status number_entries(int64_t *out, int64_t *out_count, int64_t *first,
                                const char *const *texts, int64_t count)
{
    entry *entries = vt_alloc((size_t)count, sizeof *entries);
    int64_t *leader = vt_alloc((size_t)count, sizeof *leader), found = 0;
    if (!entries || !leader) {
        free(entries);
        free(leader);
        return VT_ENOMEM;
    }
    for (int64_t i = 0; i < count; i++)
        entries[i] = (entry){texts[i], i};
    qsort(entries, (size_t)count, sizeof *entries, compare_entries);
    for (int64_t i = 0; i < count; i++) {
        bool same = i > 0 && strcmp(entries[i].text, entries[i - 1].text) == 0;
        leader[entries[i].index] = same ? leader[entries[i - 1].index] : entries[i].index;
    }
    for (int64_t i = 0; i < count; i++) {
        if (leader[i] == i) {
            if (first) first[found] = i;
            out[i] = found++;
        } else {
            out[i] = out[leader[i]];
        }
    }
    free(entries);
    free(leader);
    *out_count = found;
    return VT_OK;
}

/* ---- what the file holds ---- */

typedef struct layout {
    const char *path;
    const vt_tensor_map *map;
    const vt_tensor *data;
    coordinate identifiers;
    int64_t presentations, neurons, bins;
    int64_t presentation_step, neuron_step, bin_step; /* elements of data apart */
    double fill, missing, scale, offset;              /* of numbers that stand for others */
} layout;

/* What the file says of the variable `name`, NULL where nothing. */
static const char *note(const layout *l, const char *name, const char *what)
{
    char key[VT_NAME_SIZE + 32];
    snprintf(key, sizeof key, "%s@%s", name, what);
    return vt_tensor_map_get_text(l->map, key);
}

static double number_note(const layout *l, const char *what, double without)
{
    const char *text = note(l, l->data->name, what);
    return text ? strtod(text, NULL) : without;
}

/* Variables in groups, which Brain-Score's tools write as extras, are none of responses. */
static vt_status find_data(layout *l)
{
    for (int i = 0; i < vt_tensor_map_count(l->map); i++) {
        const vt_tensor *t = vt_tensor_map_at(l->map, i);
        if (t->ndim < 2 || t->ndim > 3 || strchr(t->name, '/')) continue;
        if (l->data)
            return vt_error(VT_EFORMAT, "%s: both %s and %s could be the responses", l->path,
                            l->data->name, t->name);
        l->data = t;
    }
    if (!l->data || vt_tensor_count(l->data) < 1)
        return vt_error(VT_EFORMAT,
                        "%s: no variable of responses (presentation, neuroid) or (presentation, "
                        "neuroid, time_bin)",
                        l->path);
    l->fill = number_note(l, "_FillValue", NAN);
    l->missing = number_note(l, "missing_value", NAN);
    l->scale = number_note(l, "scale_factor", 1);
    l->offset = number_note(l, "add_offset", 0);
    return VT_OK;
}

/* The vector `name` as texts, and its length; numbers become texts. */
static vt_status read_vector(coordinate *out, int64_t *out_count, const layout *l, const char *name)
{
    enum { DIGITS = 32 };
    const char *text = vt_tensor_map_get_text(l->map, name);
    const vt_tensor *t = vt_tensor_map_find(l->map, name);
    int64_t count = text ? count_lines(text) : t && t->ndim == 1 ? t->size[0] : 0;
    *out_count = count;
    if (text) return cut_lines(out, text, count);
    if (count == 0) return VT_OK;
    out->text = vt_alloc((size_t)count, DIGITS);
    out->entry = vt_alloc((size_t)count, sizeof *out->entry);
    if (!out->text || !out->entry) return VT_ENOMEM;
    for (int64_t i = 0; i < count; i++) {
        snprintf(out->text + i * DIGITS, DIGITS, "%.17g", vt_tensor_get(t, i));
        out->entry[i] = out->text + i * DIGITS;
    }
    return VT_OK;
}

/* Which of the `ndim` dimensions, whose names are lines, is called as the first line of `name`; -1:
 * none. */
static int axis_called(const char *names, int ndim, const char *name)
{
    size_t length = strcspn(name, "\n");
    for (int axis = 0; axis < ndim && names && *names; axis++) {
        size_t line = strcspn(names, "\n");
        if (line == length && memcmp(names, name, length) == 0) return axis;
        names += line + (names[line] == '\n');
    }
    return -1;
}

/* The axes by their names where the file has them, else by their sizes: time bins are the last. */
static bool find_axes(layout *l, const char *identifiers)
{
    const vt_tensor *t = l->data;
    const char *names = note(l, t->name, "dimensions"), *along = note(l, identifiers, "dimensions");
    int presentation = axis_called(names, t->ndim, along ? along : identifiers);
    if (!names) presentation = t->size[0] == l->presentations ? 0 : 1;
    int bin = t->ndim < 3 ? -1 : axis_called(names, t->ndim, "time_bin");
    if (t->ndim == 3 && bin < 0) bin = presentation == 2 ? 1 : 2;
    if (presentation < 0 || presentation == bin || t->size[presentation] != l->presentations)
        return false;
    int neuron = (t->ndim == 3 ? 3 : 1) - presentation - (bin < 0 ? 0 : bin);
    int64_t step[3] = {1, 1, 1};
    for (int i = t->ndim - 2; i >= 0; i--)
        step[i] = step[i + 1] * t->size[i + 1];
    l->presentation_step = step[presentation];
    l->neuron_step = step[neuron];
    l->neurons = t->size[neuron];
    l->bin_step = bin < 0 ? 0 : step[bin];
    l->bins = bin < 0 ? 1 : t->size[bin];
    return true;
}

static vt_status find_layout(layout *l)
{
    char shape[128];
    const char *name = "stimulus_id";
    VT_TRY(find_data(l));
    VT_TRY(read_vector(&l->identifiers, &l->presentations, l, name));
    if (l->presentations == 0) {
        name = "image_id";
        VT_TRY(read_vector(&l->identifiers, &l->presentations, l, name));
    }
    if (l->presentations == 0)
        return vt_error(VT_EFORMAT,
                        "%s: no coordinate stimulus_id or image_id that says what was shown",
                        l->path);
    if (!find_axes(l, name))
        return vt_error(VT_ESHAPE,
                        "%s: %s has shape %s, but %lld presentations have a stimulus: expected "
                        "(presentation, neuroid[, time_bin])",
                        l->path, l->data->name, vt_tensor_shape_text(l->data, shape, sizeof shape),
                        (long long)l->presentations);
    return VT_OK;
}

/* The coordinate of that name along the presentations. */
static vt_status read_coordinate(coordinate *out, const layout *l, const char *name)
{
    int64_t count;
    VT_TRY(read_vector(out, &count, l, name));
    if (count == l->presentations) return VT_OK;
    return vt_error(VT_ENOTFOUND, "%s: no coordinate '%s' along the %lld presentations", l->path,
                    name, (long long)l->presentations);
}

/* Mean over time bins; NaN where one is missing. */
static double response(const layout *l, int64_t presentation, int64_t neuron)
{
    int64_t cell = presentation * l->presentation_step + neuron * l->neuron_step;
    double sum = 0;
    for (int64_t b = 0; b < l->bins; b++) {
        double value = vt_tensor_get(l->data, cell + b * l->bin_step);
        if (value == l->fill || value == l->missing) return NAN;
        sum += value * l->scale + l->offset;
    }
    return sum / (double)l->bins;
}

/* ---- responses by stimulus ---- */

/* The most presentations that one stimulus has. */
static vt_status count_repeats(int64_t *out, const layout *l, const int64_t *stimulus,
                               int64_t images)
{
    int64_t *count = vt_alloc((size_t)images, sizeof *count), most = 0;
    if (!count) return VT_ENOMEM;
    for (int64_t i = 0; i < l->presentations; i++)
        if (++count[stimulus[i]] > most) most = count[stimulus[i]];
    free(count);
    if (most > MOST_UNEVEN * (l->presentations / images + 1))
        return vt_error(VT_EUNSUPPORTED,
                        "%s: one of %lld stimuli has %lld of the %lld presentations", l->path,
                        (long long)images, (long long)most, (long long)l->presentations);
    *out = most;
    return VT_OK;
}

static vt_status fill_raw(vt_assembly *a, const layout *l, const int64_t *stimulus)
{
    VT_TRY(count_repeats(&a->repeats, l, stimulus, a->images));
    VT_TRY(vt_tensor_new(&a->raw, VT_F64, 3, (int64_t[]){a->neurons, a->images, a->repeats}));
    double *raw = a->raw.data;
    for (int64_t i = 0; i < vt_tensor_count(&a->raw); i++)
        raw[i] = NAN;
    int64_t *used = vt_alloc((size_t)a->images, sizeof *used);
    if (!used) return VT_ENOMEM;
    vt_status status = VT_OK;
    for (int64_t p = 0; status == VT_OK && p < l->presentations; p++) {
        int64_t image = stimulus[p], repeat = used[image]++;
        for (int64_t n = 0; status == VT_OK && n < a->neurons; n++) {
            double value = response(l, p, n);
            raw[(n * a->images + image) * a->repeats + repeat] = value;
            if (isinf(value))
                status = vt_error(VT_ENUMERIC,
                                  "%s: the response of neuroid %lld in presentation "
                                  "%lld is infinite",
                                  l->path, (long long)n, (long long)p);
        }
    }
    free(used);
    return status;
}

static vt_status fill_averaged(vt_assembly *a, const layout *l)
{
    VT_TRY(vt_tensor_new(&a->averaged, VT_F64, 2, (int64_t[]){a->neurons, a->images}));
    const double *raw = a->raw.data;
    double *averaged = a->averaged.data;
    for (int64_t cell = 0; cell < a->neurons * a->images; cell++) {
        double sum = 0;
        int64_t count = 0;
        for (int64_t r = 0; r < a->repeats; r++)
            if (!isnan(raw[cell * a->repeats + r])) {
                sum += raw[cell * a->repeats + r];
                count++;
            }
        if (count == 0)
            return vt_error(VT_ENUMERIC, "%s: neuroid %lld has no response to stimulus %s", l->path,
                            (long long)(cell / a->images), a->stimuli[cell % a->images]);
        averaged[cell] = sum / (double)count;
    }
    return VT_OK;
}

static vt_status fill_labels(vt_assembly *a, const layout *l, const char *name,
                             const int64_t *first)
{
    coordinate kinds = {.text = NULL};
    int64_t count, *number = vt_alloc((size_t)l->presentations, sizeof *number);
    a->labels = vt_alloc((size_t)a->images, sizeof *a->labels);
    vt_status status = number && a->labels ? read_coordinate(&kinds, l, name) : VT_ENOMEM;
    if (status == VT_OK)
        status = number_entries(number, &count, NULL, kinds.entry, l->presentations);
    for (int64_t i = 0; status == VT_OK && i < a->images; i++)
        a->labels[i] = number[first[i]];
    coordinate_free(&kinds);
    free(number);
    return status;
}

static vt_status fill(vt_assembly *a, const layout *l, const char *labels)
{
    const char *const *ids = l->identifiers.entry;
    int64_t *stimulus = vt_alloc((size_t)l->presentations, sizeof *stimulus);
    int64_t *first = vt_alloc((size_t)l->presentations, sizeof *first);
    vt_status status = stimulus && first
                           ? number_entries(stimulus, &a->images, first, ids, l->presentations)
                           : VT_ENOMEM;
    a->neurons = l->neurons;
    if (status == VT_OK) {
        a->stimuli = vt_alloc((size_t)a->images, sizeof *a->stimuli);
        if (!a->stimuli) status = VT_ENOMEM;
    }
    for (int64_t i = 0; status == VT_OK && i < a->images; i++) {
        a->stimuli[i] = vt_strdup(ids[first[i]]);
        if (!a->stimuli[i]) status = VT_ENOMEM;
    }
    if (status == VT_OK) status = fill_raw(a, l, stimulus);
    if (status == VT_OK) status = fill_averaged(a, l);
    if (status == VT_OK && labels) status = fill_labels(a, l, labels, first);
    free(stimulus);
    free(first);
    return status;
}

vt_status vt_assembly_make(vt_assembly *out, const vt_tensor_map *map, const char *path,
                           const char *labels)
{
    vt_assembly assembly = {.images = 0};
    layout l = {.path = path, .map = map};
    vt_status status = find_layout(&l);
    if (status == VT_OK) status = fill(&assembly, &l, labels);
    coordinate_free(&l.identifiers);
    if (status == VT_OK)
        *out = assembly;
    else
        vt_assembly_free(&assembly);
    return status;
}

vt_status vt_assembly_read(vt_assembly *out, const char *path, const char *labels)
{
    vt_tensor_map *map;
    VT_TRY(vt_hdf5_read(&map, path));
    vt_status status = vt_assembly_make(out, map, path, labels);
    vt_tensor_map_free(map);
    return status;
}

void vt_assembly_free(vt_assembly *assembly)
{
    for (int64_t i = 0; assembly->stimuli && i < assembly->images; i++)
        free(assembly->stimuli[i]);
    free(assembly->stimuli);
    free(assembly->labels);
    vt_tensor_free(&assembly->raw);
    vt_tensor_free(&assembly->averaged);
    *assembly = (vt_assembly){.images = 0};
}

/* ---- images ---- */

/* Compares an identifier with a file's name, with or without its ending. */
static int compare_name(const char *id, const char *name)
{
    const char *dot = strrchr(name, '.');
    size_t stem = dot ? (size_t)(dot - name) : strlen(name);
    if (strlen(id) == stem && strncmp(id, name, stem) == 0) return 0;
    return strcmp(id, name);
}

vt_status vt_assembly_match(int64_t *out, const vt_assembly *assembly,
                            const vt_image_source *images)
{
    int64_t count = vt_image_source_count(images);
    int64_t next = 0; /* where the last one was: files tend to be in order */
    for (int64_t i = 0; i < assembly->images; i++) {
        int64_t k = 0;
        while (k < count && compare_name(assembly->stimuli[i],
                                         vt_image_source_name(images, (next + k) % count)) != 0)
            k++;
        if (k == count)
            return vt_error(VT_ENOTFOUND,
                            "stimulus %.200s is not among the %lld images: their file names must "
                            "be the identifiers",
                            assembly->stimuli[i], (long long)count);
        out[i] = (next + k) % count;
        next = out[i] + 1;
    }
    return VT_OK;
}
