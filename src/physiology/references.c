/* Published distributions: those printed with the studies, and files' own. */
#include "physiology/references.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"
#include "ventral/io.h"
#include "ventral/weights.h"

vt_status vt_references_new(vt_references **out)
{
    vt_references *r = vt_alloc(1, sizeof *r);
    if (!r) return VT_ENOMEM;
    r->reference = vt_alloc((size_t)vt_property_count(), sizeof *r->reference);
    if (!r->reference) {
        free(r);
        return VT_ENOMEM;
    }
    for (int i = 0; i < vt_property_count(); i++) {
        const vt_property *p = vt_property_at(i);
        if (!p->counts) continue;
        const vt_study *study = vt_study_at((int)p->study);
        r->reference[i] = (vt_reference){.neurons = study->neurons, .source = study->journal};
        for (int b = 0; b < p->bins; b++)
            r->reference[i].counts[b] = p->counts[b];
    }
    *out = r;
    return VT_OK;
}

void vt_references_free(vt_references *references)
{
    if (!references) return;
    for (int i = 0; i < references->source_count; i++)
        free(references->sources[i]);
    free(references->sources);
    free(references->reference);
    free(references);
}

const vt_reference *vt_references_at(const vt_references *references, int property)
{
    if (!vt_property_at(property) || references->reference[property].neurons == 0) return NULL;
    return &references->reference[property];
}

void vt_references_set(vt_references *references, int property, const double *values, int64_t count,
                       const char *source)
{
    vt_reference *r = &references->reference[property];
    *r = (vt_reference){.neurons = count, .source = source};
    vt_property_histogram(r->counts, vt_property_at(property), values, count);
}

/* ---- values by key ---- */

static vt_status set_values(vt_references *references, int property, const double *values,
                            int64_t count, const char *source)
{
    int64_t defined = 0;
    for (int64_t i = 0; i < count; i++)
        defined += !isnan(values[i]);
    if (defined == 0 || count > UINT32_MAX)
        return vt_error(VT_EFORMAT, "%s: %lld values, %lld of them not NaN",
                        vt_property_at(property)->key, (long long)count, (long long)defined);
    vt_references_set(references, property, values, count, source);
    return VT_OK;
}

/* Element (i, column) of a vector or, with columns > 1, of a matrix, as doubles. */
static vt_status set_column(vt_references *references, int property, const vt_tensor *t,
                            int64_t column, int64_t columns, const char *source)
{
    int64_t count = vt_tensor_count(t) / columns;
    double *values = vt_alloc((size_t)count, sizeof *values);
    if (!values) return VT_ENOMEM;
    for (int64_t i = 0; i < count; i++)
        values[i] = vt_tensor_get(t, i * columns + column);
    vt_status status = set_values(references, property, values, count, source);
    free(values);
    return status;
}

vt_status vt_references_set_vectors(vt_references *references, int *found, const vt_tensor_map *map,
                                    const char *source)
{
    for (int i = 0; i < vt_property_count(); i++) {
        const char *key = vt_property_at(i)->key;
        const vt_tensor *t = vt_tensor_map_find(map, key);
        if (!t) continue;
        if (t->ndim < 1 || t->ndim > 2 || t->size[0] != vt_tensor_count(t))
            return vt_error(VT_ESHAPE, "%s: a vector is needed, a value a neuron", key);
        VT_TRY(set_column(references, i, t, 0, 1, source));
        ++*found;
    }
    return VT_OK;
}

/* A matrix whose columns are named by the lines of `names`. */
static vt_status set_matrix(vt_references *references, int *found, const vt_tensor *matrix,
                            const char *names, const char *source)
{
    for (int64_t line = 0; line < matrix->size[1]; line++) {
        char key[VT_NAME_SIZE];
        size_t length = strcspn(names, "\n");
        snprintf(key, sizeof key, "%.*s", (int)(length < sizeof key ? length : 0), names);
        int property = vt_property_find(key);
        if (property >= 0) {
            VT_TRY(set_column(references, property, matrix, line, matrix->size[1], source));
            ++*found;
        }
        names += length + (names[length] == '\n');
    }
    return VT_OK;
}

/* The matrix with a column, or else a row, for each of `count` properties; `across`: a row. Where
 * the file names dimensions, these tell, else the sizes. */
static const vt_tensor *find_matrix(bool *across, const vt_tensor_map *map, int64_t count)
{
    for (int i = 0; i < vt_tensor_map_count(map); i++) {
        const vt_tensor *t = vt_tensor_map_at(map, i);
        char key[VT_NAME_SIZE + 16];
        if (t->ndim != 2 || (t->size[0] != count && t->size[1] != count)) continue;
        snprintf(key, sizeof key, "%s@dimensions", t->name);
        const char *names = vt_tensor_map_get_text(map, key);
        *across = t->size[1] != count ||
                  (names && t->size[0] == count && strncmp(names, "neuronal_property\n", 18) == 0);
        return t;
    }
    return NULL;
}

vt_status vt_references_set_assembly(vt_references *references, int *found,
                                     const vt_tensor_map *map, const char *source)
{
    const char *names = vt_tensor_map_get_text(map, "neuronal_property");
    if (!names) names = vt_tensor_map_get_text(map, "neuronal_property_"); /* xarray before 2022 */
    if (!names)
        return vt_error(VT_EFORMAT, "no coordinate neuronal_property that names the properties");
    int64_t lines = 1;
    for (const char *c = names; *c; c++)
        lines += *c == '\n';
    bool across;
    const vt_tensor *values = find_matrix(&across, map, lines);
    if (!values)
        return vt_error(VT_EFORMAT, "no matrix (neuroid, neuronal_property) of %lld properties",
                        (long long)lines);
    if (!across) return set_matrix(references, found, values, names, source);
    vt_tensor turned;
    VT_TRY(vt_tensor_permute(&turned, values, (const int[]){1, 0}));
    vt_status status = set_matrix(references, found, &turned, names, source);
    vt_tensor_free(&turned);
    return status;
}

/* Whether the reader left `name` out. */
static bool left_out(const vt_tensor_map *map, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = vt_tensor_map_get_text(map, "skipped"); line && *line;) {
        size_t size = strcspn(line, "\n");
        if (size == length && memcmp(line, name, length) == 0) return true;
        line += size + (line[size] == '\n');
    }
    return false;
}

vt_status vt_references_set_matlab(vt_references *references, int *found, const vt_tensor_map *map,
                                   const char *source)
{
    const vt_tensor *v1 = vt_tensor_map_find(map, "v1");
    if (vt_tensor_map_find(map, "db/orivar")) {
        VT_TRY(vt_references_set_ringach(references, map, source));
        ++*found;
    }
    if (v1) {
        VT_TRY(vt_references_set_freeman_ziemba(references, v1, source));
        ++*found;
    }
    if (*found > 0) return VT_OK;
    if (left_out(map, "db") || left_out(map, "db/orivar"))
        return vt_error(VT_EFORMAT, "db must be one structure whose fields are vectors of numbers, "
                                    "a value a neuron, not an array of structures");
    return vt_error(VT_ENOTFOUND, "neither the structure 'db' of Ringach2002.mat, with 'orivar', "
                                  "nor the array 'v1' of FreemanZiemba2013_V1V2data.mat is in it");
}

/* ---- tables of text ---- */

typedef struct table {
    int *property;  /* (columns) -1: a column of something else */
    double *values; /* (columns, rows) */
    int64_t columns, rows;
} table;

/* A field up to ',' or the line's end, without blanks and quotes around it. */
static const char *take_field(char field[VT_NAME_SIZE], const char *text)
{
    size_t length = strcspn(text, ",\r\n");
    const char *end = text + length, *last = end;
    while (text < last && (isspace((unsigned char)*text) || *text == '"'))
        text++;
    while (text < last && (isspace((unsigned char)last[-1]) || last[-1] == '"'))
        last--;
    size_t kept = (size_t)(last - text) < VT_NAME_SIZE ? (size_t)(last - text) : VT_NAME_SIZE - 1;
    memcpy(field, text, kept);
    field[kept] = '\0';
    return end;
}

static const char *next_line(const char *text)
{
    text += strcspn(text, "\n");
    return *text ? text + 1 : text;
}

static int64_t count_fields(const char *line)
{
    int64_t fields = 1;
    for (; *line && *line != '\r' && *line != '\n'; line++)
        fields += *line == ',';
    return fields;
}

static bool is_blank(const char *line)
{
    return *line == '\n' || *line == '\r';
}

static vt_status parse_header(table *t, const char *text)
{
    char field[VT_NAME_SIZE];
    t->columns = count_fields(text);
    t->property = vt_alloc((size_t)t->columns, sizeof *t->property);
    if (!t->property) return VT_ENOMEM;
    for (int64_t i = 0; i < t->columns; i++) {
        text = take_field(field, text);
        t->property[i] = vt_property_find(field);
        if (*text == ',') text++;
    }
    return VT_OK;
}

/* Every row must have as many fields as there are columns: a table is no larger than its text. */
static vt_status count_rows(table *t, const char *text)
{
    int64_t line = 2;
    for (const char *c = next_line(text); *c; c = next_line(c), line++) {
        if (is_blank(c)) continue;
        if (count_fields(c) != t->columns)
            return vt_error(VT_EFORMAT, "line %lld has not %lld fields", (long long)line,
                            (long long)t->columns);
        t->rows++;
    }
    return VT_OK;
}

static vt_status parse_row(table *t, int64_t row, const char *text, int64_t line)
{
    char field[VT_NAME_SIZE];
    for (int64_t i = 0; i < t->columns; i++) {
        char *end = field;
        text = take_field(field, text);
        double value = *field ? strtod(field, &end) : NAN;
        if (t->property[i] >= 0 && *end)
            return vt_error(VT_EFORMAT, "line %lld: '%s' is not a number", (long long)line, field);
        t->values[i * t->rows + row] = value;
        if (*text == ',') text++;
    }
    return VT_OK;
}

static vt_status parse_table(table *t, vt_references *references, int *found, const char *text,
                             const char *source)
{
    VT_TRY(parse_header(t, text));
    VT_TRY(count_rows(t, text));
    t->values = vt_alloc((size_t)t->columns, (size_t)t->rows * sizeof *t->values);
    if (!t->values) return VT_ENOMEM;
    int64_t line = 2, row = 0;
    for (const char *c = next_line(text); *c; c = next_line(c), line++)
        if (!is_blank(c)) VT_TRY(parse_row(t, row++, c, line));
    for (int64_t i = 0; i < t->columns; i++) {
        if (t->property[i] < 0) continue;
        VT_TRY(set_values(references, t->property[i], t->values + i * t->rows, t->rows, source));
        ++*found;
    }
    return VT_OK;
}

vt_status vt_references_set_table(vt_references *references, int *found, const char *text,
                                  const char *source)
{
    table t = {.property = NULL};
    vt_status status = parse_table(&t, references, found, text, source);
    free(t.property);
    free(t.values);
    return status;
}

/* ---- all kinds ---- */

/* Keeps the path for as long as the references live. */
static vt_status add_source(const char **out, vt_references *r, const char *path)
{
    char **grown =
        vt_grow(r->sources, (size_t)r->source_count, (size_t)r->source_count + 1, sizeof *grown);
    if (!grown) return VT_ENOMEM;
    r->sources = grown;
    char *copy = vt_strdup(path);
    if (!copy) return VT_ENOMEM;
    *out = r->sources[r->source_count++] = copy;
    return VT_OK;
}

typedef struct kind {
    const char *ending;
    vt_status (*read)(vt_tensor_map **out, const char *path); /* NULL: text */
    vt_status (*set)(vt_references *references, int *found, const vt_tensor_map *map,
                     const char *source);
} kind;

static vt_status read_kind(vt_references *references, int *found, const char *path,
                           const char *source, const kind *k)
{
    vt_tensor_map *map;
    void *text;
    size_t size;
    vt_status status;
    if (k->read) {
        VT_TRY(k->read(&map, path));
        status = k->set(references, found, map, source);
        vt_tensor_map_free(map);
    } else {
        VT_TRY(vt_file_read(&text, &size, path));
        status = vt_references_set_table(references, found, text, source);
        free(text);
    }
    return status;
}

/* All of the file, or nothing. */
static vt_status read_file(vt_references *references, const char *path, const kind *k)
{
    const char *source;
    int found = 0;
    size_t bytes = (size_t)vt_property_count() * sizeof *references->reference;
    vt_reference *before = vt_alloc(1, bytes);
    if (!before) return VT_ENOMEM;
    memcpy(before, references->reference, bytes);
    vt_status status = add_source(&source, references, path);
    if (status == VT_OK) status = read_kind(references, &found, path, source, k);
    if (status == VT_OK && found == 0)
        status = vt_error(VT_ENOTFOUND, "no property of V1 neurons is in it under its key, such as "
                                        "'circular_variance'");
    if (status != VT_OK) memcpy(references->reference, before, bytes);
    free(before);
    bool named = strncmp(vt_error_message(), path, strlen(path)) == 0; /* by the format's reader */
    return status == VT_OK || named ? status : vt_error_context(status, "%s", path);
}

vt_status vt_references_read(vt_references *references, const char *path)
{
    static const kind kinds[] = {{".csv", NULL, NULL},
                                 {".npz", vt_npz_read, vt_references_set_vectors},
                                 {".nc", vt_hdf5_read, vt_references_set_assembly},
                                 {".mat", vt_matlab_read, vt_references_set_matlab}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (vt_ends_with(path, kinds[i].ending)) return read_file(references, path, &kinds[i]);
    return vt_error(VT_EINVAL, "%s: distributions are read from .npz, .csv, .nc and .mat files",
                    path);
}
