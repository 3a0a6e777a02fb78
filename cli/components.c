/* What training made of a network's components: tables, figures, and a summary. */
#include "components.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct learned {
    vt_model *model;
    const char *folder;
    vt_center_surround_pair *pairs;
    vt_tuned_width *widths;
    vt_unit_field *fields;
    vt_filter_preference *filters;
    int64_t pair_count, width_count, field_count, filter_count;
    const char *field_node; /* whose receptive fields; NULL: none */
    const vt_param *kernel; /* of the first layer; NULL: none */
} learned;

/* ---- measuring ---- */

/* The first layer's filters: the first parameter that has one weight a colour. */
static const vt_param *find_kernel(vt_model *model)
{
    vt_graph *graph = vt_model_graph(model);
    for (int i = 0; i < vt_graph_param_count(graph); i++) {
        const vt_param *p = vt_graph_param(graph, i);
        if (p->value.ndim == 4 && p->value.size[3] == 3 && p->value.dtype == VT_F32) return p;
    }
    return NULL;
}

static vt_status measure(learned *l)
{
    vt_resnet_options options;
    VT_TRY(vt_center_surround_pairs(&l->pairs, &l->pair_count, l->model));
    VT_TRY(vt_tuned_widths(&l->widths, &l->width_count, l->model));
    if (vt_model_resnet_options(l->model, &options) == VT_OK) {
        l->field_node = "layer1";
        VT_TRY(vt_unit_fields(&l->fields, &l->field_count, l->model, l->field_node, 0,
                              (uint64_t)cli_options.seed));
    }
    l->kernel = find_kernel(l->model);
    if (l->kernel) {
        VT_TRY(vt_filter_preferences(&l->filters, &l->kernel->value));
        l->filter_count = l->kernel->value.size[0];
    }
    return VT_OK;
}

/* ---- tables ---- */

typedef void row_printer(FILE *to, const learned *l, int64_t index);

static const char *node_name(const learned *l, vt_node node)
{
    return vt_graph_node_name(vt_model_graph(l->model), node);
}

static void print_pair(FILE *to, const learned *l, int64_t i)
{
    const vt_center_surround_pair *p = &l->pairs[i];
    fprintf(to, "%s,%d,%d,%.7g,%.7g,%.7g,%.7g,%.7g,%.7g\n", node_name(l, p->node), p->output,
            p->input, p->sigma1, p->sigma2_scale, p->total_scale, p->center, p->surround, p->ratio);
}

static void print_width(FILE *to, const learned *l, int64_t i)
{
    const vt_tuned_width *w = &l->widths[i];
    fprintf(to, "%s,%d,%d,%.7g,%.7g\n", node_name(l, w->node), w->channel, w->channels, w->sigma,
            w->fraction);
}

static void print_field(FILE *to, const learned *l, int64_t i)
{
    const vt_unit_field *f = &l->fields[i];
    fprintf(to, "%d,%d,%.5f,%.5f,%.5f,%.5f\n", f->row, f->column, f->y, f->x, f->eccentricity,
            f->size);
}

static void print_filter(FILE *to, const learned *l, int64_t i)
{
    const vt_filter_preference *p = &l->filters[i];
    fprintf(to, "%lld,%g,%g,%.5f,%.5f,%.5f,%.5f,%.5f,%.2f,%.5f\n", (long long)i, p->orientation,
            p->frequency, p->selectivity, p->colour[0], p->colour[1], p->colour[2], p->chromatic,
            p->hue, p->separable);
}

static vt_status write_table(const learned *l, const char *name, const char *head,
                             row_printer *print, int64_t count)
{
    char path[4400];
    vt_text_file file;
    if (count == 0) return VT_OK;
    VT_TRY(vt_text_file_begin(&file));
    fputs(head, file.stream);
    for (int64_t i = 0; i < count; i++)
        print(file.stream, l, i);
    snprintf(path, sizeof path, "%s/%s.csv", l->folder, name);
    return vt_text_file_end(&file, path);
}

static vt_status write_tables(const learned *l)
{
    VT_TRY(write_table(l, "center_surround",
                       "node,output,input,sigma1,sigma2_scale,total_scale,center_sd,surround_sd,"
                       "ratio\n",
                       print_pair, l->pair_count));
    VT_TRY(write_table(l, "tuned_normalization", "node,channel,channels,sigma,fraction\n",
                       print_width, l->width_count));
    VT_TRY(write_table(l, "receptive_fields", "row,column,y,x,eccentricity,size\n", print_field,
                       l->field_count));
    return write_table(l, "filters",
                       "filter,orientation,frequency,orientation_selectivity,red,green,blue,"
                       "chromatic,hue,separable\n",
                       print_filter, l->filter_count);
}

/* ---- figures ---- */

/* A member of structures in an array, as numbers. */
typedef struct values {
    const void *first;
    size_t stride;
    int64_t count;
} values;
/* No address is taken within an array that is not there. */
#define VALUES(array, member, number)                                                              \
    {                                                                                              \
        (number) > 0 ? &(array)->member : NULL, sizeof *(array), number                            \
    }

static double value_at(const values *v, int64_t i)
{
    double value;
    memcpy(&value, (const char *)v->first + (size_t)i * v->stride, sizeof value);
    return value;
}

enum { BINS = 24, CURVE = 2 * BINS + 2 };

/* Few values make few bins. */
static int bins_for(const values *v)
{
    return v->count < 100 ? BINS / 2 : BINS;
}

/* The outline of a histogram from low to high, share of the finite values; returns its points. */
static int outline(double *x, double *y, const values *v, double low, double high)
{
    double counts[BINS] = {0}, total = 0;
    int bins = bins_for(v);
    for (int64_t i = 0; i < v->count; i++) {
        double value = value_at(v, i);
        if (!isfinite(value)) continue;
        int bin = (int)((value - low) / (high - low) * bins);
        counts[bin < 0 ? 0 : bin >= bins ? bins - 1 : bin]++;
        total++;
    }
    x[0] = low;
    x[2 * bins + 1] = high;
    y[0] = y[2 * bins + 1] = 0;
    for (int b = 0; b < bins; b++) {
        x[2 * b + 1] = low + (high - low) * b / bins;
        x[2 * b + 2] = low + (high - low) * (b + 1) / bins;
        y[2 * b + 1] = y[2 * b + 2] = total > 0 ? counts[b] / total : 0;
    }
    return 2 * bins + 2;
}

typedef struct histogram {
    const char *file, *title, *x_label;
    double low, high; /* both 0: the range of the values */
    int count;
    const char *names[2]; /* NULL: no legend */
    values values[2];
} histogram;

static void find_range(double *low, double *high, const histogram *h)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int k = 0; k < h->count; k++)
        for (int64_t i = 0; i < h->values[k].count; i++) {
            double value = value_at(&h->values[k], i);
            if (!isfinite(value)) continue;
            *low = fmin(*low, value);
            *high = fmax(*high, value);
        }
    if (!(*high > *low)) { /* one value, or none */
        *low -= 0.5;
        *high += 0.5;
    }
}

static vt_status draw_histogram(const learned *l, const histogram *h)
{
    double x[2][CURVE], y[2][CURVE], low = h->low, high = h->high;
    vt_plot_curve curves[2];
    char path[4400];
    if (h->values[0].count == 0) return VT_OK;
    if (low == 0 && high == 0) find_range(&low, &high, h);
    if (!isfinite(low) || !isfinite(high)) return VT_OK; /* nothing finite */
    for (int k = 0; k < h->count; k++) {
        int points = outline(x[k], y[k], &h->values[k], low, high);
        curves[k] = (vt_plot_curve){h->names[k], x[k], y[k], points};
    }
    snprintf(path, sizeof path, "%s/%s.png", l->folder, h->file);
    vt_plot_options options = {.title = h->title, .x_label = h->x_label, .y_label = "share"};
    return vt_plot_curves(path, &options, curves, h->count);
}

/* Mean size of the receptive fields by eccentricity, in bins. */
static vt_status draw_fields(const learned *l)
{
    enum { RINGS = 12 };
    double sum[RINGS] = {0}, far[RINGS] = {0}, most = 0, x[RINGS], y[RINGS];
    int64_t count[RINGS] = {0}, used = 0;
    char path[4400];
    for (int64_t i = 0; i < l->field_count; i++)
        if (isfinite(l->fields[i].size)) most = fmax(most, l->fields[i].eccentricity);
    for (int64_t i = 0; i < l->field_count; i++) {
        const vt_unit_field *f = &l->fields[i];
        if (!isfinite(f->size)) continue;
        int ring = most > 0 ? (int)(f->eccentricity / most * RINGS) : 0;
        if (ring >= RINGS) ring = RINGS - 1;
        sum[ring] += f->size;
        far[ring] += f->eccentricity;
        count[ring]++;
    }
    for (int r = 0; r < RINGS; r++) {
        if (count[r] == 0) continue;
        x[used] = far[r] / (double)count[r];
        y[used++] = sum[r] / (double)count[r];
    }
    if (used == 0) return VT_OK;
    snprintf(path, sizeof path, "%s/receptive_fields.png", l->folder);
    vt_plot_options options = {.title = "Receptive fields of layer1",
                               .x_label = "eccentricity, pixels",
                               .y_label = "mean size, pixels"};
    return vt_plot_curves(path, &options, &(vt_plot_curve){NULL, x, y, used}, 1);
}

static vt_status draw_filters(const learned *l)
{
    vt_image picture;
    char path[4400];
    if (l->filter_count == 0) return VT_OK;
    int columns = l->filter_count < 16 ? (int)l->filter_count : 16;
    VT_TRY(vt_picture_filters(&picture, &l->kernel->value, columns, 6, 4));
    snprintf(path, sizeof path, "%s/filters.png", l->folder);
    vt_status status = vt_picture_write(&picture, path);
    vt_image_free(&picture);
    return status;
}

static vt_status draw(const learned *l)
{
    const histogram all[] = {
        {"center_surround",
         "Centers and surrounds",
         "standard deviation, pixels",
         0,
         0,
         2,
         {"center", "surround"},
         {VALUES(l->pairs, center, l->pair_count), VALUES(l->pairs, surround, l->pair_count)}},
        {"surround_ratio",
         "Surround by center",
         "ratio of standard deviations",
         0,
         0,
         1,
         {NULL},
         {VALUES(l->pairs, ratio, l->pair_count)}},
        {"tuned_normalization",
         "Widths of tuned normalization",
         "standard deviation, share of the channels",
         0,
         0,
         1,
         {NULL},
         {VALUES(l->widths, fraction, l->width_count)}},
        {"orientation",
         "Orientation that first filters prefer",
         "degrees",
         0,
         180,
         1,
         {NULL},
         {VALUES(l->filters, orientation, l->filter_count)}},
        {"selectivity",
         "Selectivity of first filters",
         "0: none, 1: complete",
         0,
         1,
         2,
         {"orientation", "colour"},
         {VALUES(l->filters, selectivity, l->filter_count),
          VALUES(l->filters, chromatic, l->filter_count)}},
    };
    VT_TRY(draw_filters(l));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        VT_TRY(draw_histogram(l, &all[i]));
    return draw_fields(l);
}

/* ---- summary ---- */

typedef struct summary {
    const char *name;
    values values;
} summary;

enum { SUMMARIES = 9 };

static void list_summaries(summary out[SUMMARIES], const learned *l)
{
    const summary all[SUMMARIES] = {
        {"center_sd", VALUES(l->pairs, center, l->pair_count)},
        {"surround_sd", VALUES(l->pairs, surround, l->pair_count)},
        {"surround_ratio", VALUES(l->pairs, ratio, l->pair_count)},
        {"tuned_width", VALUES(l->widths, sigma, l->width_count)},
        {"eccentricity", VALUES(l->fields, eccentricity, l->field_count)},
        {"field_size", VALUES(l->fields, size, l->field_count)},
        {"frequency", VALUES(l->filters, frequency, l->filter_count)},
        {"orientation_selectivity", VALUES(l->filters, selectivity, l->filter_count)},
        {"chromatic", VALUES(l->filters, chromatic, l->filter_count)}};
    memcpy(out, all, sizeof all);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Finite values, sorted; their number. The caller frees *out. */
static int64_t sorted(double **out, const values *v)
{
    int64_t count = 0;
    *out = malloc((size_t)(v->count > 0 ? v->count : 1) * sizeof **out);
    if (!*out) return 0;
    for (int64_t i = 0; i < v->count; i++) {
        double value = value_at(v, i);
        if (isfinite(value)) (*out)[count++] = value;
    }
    qsort(*out, (size_t)count, sizeof **out, compare);
    return count;
}

static int print_summary(const learned *l, const char *path)
{
    summary all[SUMMARIES];
    json_t *entries = json_object();
    list_summaries(all, l);
    if (!cli_options.json)
        printf("%s: tables and figures in %s\n%-24s  number   least  median    most\n", path,
               l->folder, "");
    for (int i = 0; i < SUMMARIES; i++) {
        double *numbers;
        int64_t count = sorted(&numbers, &all[i].values);
        if (count > 0) {
            double least = numbers[0], most = numbers[count - 1],
                   median = vt_median(numbers, count);
            if (!cli_options.json)
                printf("%-24s %7lld %7.4g %7.4g %7.4g\n", all[i].name, (long long)count, least,
                       median, most);
            json_object_set_new(entries, all[i].name,
                                json_pack("{s:I, s:f, s:f, s:f}", "number", (json_int_t)count,
                                          "least", least, "median", median, "most", most));
        }
        free(numbers);
    }
    if (cli_options.json)
        return cli_print_json(
            json_pack("{s:s, s:s, s:o}", "path", path, "folder", l->folder, "learned", entries));
    json_decref(entries);
    return cli_finish();
}

int cli_components(vt_model *model, const char *path, const char *folder)
{
    learned l = {.model = model, .folder = folder};
    vt_status status = vt_folder_make(folder);
    if (status == VT_OK) status = measure(&l);
    if (status == VT_OK) status = write_tables(&l);
    int code = CLI_FAILED;
    if (status != VT_OK) {
        cli_fail();
    } else {
        if (draw(&l) != VT_OK) cli_note("ventral: no figure: %s", vt_error_message());
        code = print_summary(&l, path);
    }
    free(l.pairs);
    free(l.widths);
    free(l.fields);
    free(l.filters);
    return code;
}
