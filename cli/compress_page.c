/* A compressed population's table, figures and page. */
#include "compress_page.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BOOTSTRAP_SAMPLES = 2000 };

double compress_r(const vt_compress_neuron *neuron, vt_compress_stage stage)
{
    return neuron->r[stage];
}

static double r2(const vt_compress_neuron *neuron, vt_compress_stage stage)
{
    return neuron->r[stage] * neuron->r[stage];
}

static double r2_er(const vt_compress_neuron *neuron, vt_compress_stage stage)
{
    return neuron->r2_er[stage];
}

double compress_r_teacher(const vt_compress_neuron *neuron, vt_compress_stage stage)
{
    return neuron->r_teacher[stage];
}

static double parameters(const vt_compress_neuron *neuron, vt_compress_stage stage)
{
    return (double)neuron->parameters[stage];
}

const compress_measure compress_measures[COMPRESS_MEASURES] = {{"parameters", parameters},
                                                               {"r", compress_r},
                                                               {"r2", r2},
                                                               {"r2_er", r2_er},
                                                               {"r_teacher", compress_r_teacher}};

static vt_status out_of_memory(void)
{
    return vt_error(VT_ENOMEM, "out of memory");
}

vt_status compress_median(vt_interval *out, const compress_result *result, compress_value value,
                          vt_compress_stage stage)
{
    int64_t count = result->report.count;
    double *values = malloc((size_t)count * sizeof *values);
    if (!values) return out_of_memory();
    for (int64_t i = 0; i < count; i++)
        values[i] = value(&result->report.neurons[i], stage);
    vt_status status = vt_median_interval(out, values, count, 0.9, BOOTSTRAP_SAMPLES, result->seed);
    free(values);
    return status;
}

/* ---- the table ---- */

static void print_csv(FILE *f, const vt_compress_report *report)
{
    fputs("neuron,filters0,filters1,filters2,filters3,filters4,compression", f);
    for (int m = 0; m < COMPRESS_MEASURES; m++)
        for (int s = 0; s < VT_COMPRESS_STAGES; s++)
            fprintf(f, ",%s_%s", compress_measures[m].name,
                    vt_compress_stage_name((vt_compress_stage)s));
    fputc('\n', f);
    for (int64_t i = 0; i < report->count; i++) {
        const vt_compress_neuron *n = &report->neurons[i];
        fprintf(f, "%lld", (long long)n->neuron);
        for (int k = 0; k < VT_COMPACT_LAYERS; k++)
            fprintf(f, ",%d", n->filters[k]);
        fprintf(f, ",%.4g",
                (double)n->parameters[VT_COMPRESS_TEACHER] /
                    (double)n->parameters[VT_COMPRESS_COMPACT]);
        for (int m = 0; m < COMPRESS_MEASURES; m++)
            for (int s = 0; s < VT_COMPRESS_STAGES; s++) {
                double value = compress_measures[m].value(n, (vt_compress_stage)s);
                if (isfinite(value))
                    fprintf(f, ",%.9g", value);
                else
                    fputc(',', f);
            }
        fputc('\n', f);
    }
}

static vt_status join(char out[4096], const compress_result *result, const char *name)
{
    if (snprintf(out, 4096, "%s/%s", result->folder, name) < 4096) return VT_OK;
    return vt_error(VT_EINVAL, "%s/%s: too long", result->folder, name);
}

vt_status compress_write_csv(const compress_result *result)
{
    char path[4096];
    vt_text_file file;
    VT_TRY(join(path, result, "neurons.csv"));
    VT_TRY(vt_text_file_begin(&file));
    print_csv(file.stream, &result->report);
    return vt_text_file_end(&file, path);
}

/* ---- figures ---- */

static vt_status draw_scatter(const compress_result *result)
{
    char path[4096];
    int64_t count = result->report.count;
    vt_plot_options options = {.x_label = "r of the teacher", .y_label = "r of the compact model"};
    double *x = malloc((size_t)count * 2 * sizeof *x);
    if (!x) return out_of_memory();
    for (int64_t i = 0; i < count; i++) {
        x[i] = result->report.neurons[i].r[VT_COMPRESS_TEACHER];
        x[count + i] = result->report.neurons[i].r[VT_COMPRESS_COMPACT];
    }
    vt_status status = join(path, result, "scatter.png");
    if (status == VT_OK) status = vt_plot_scatter(path, &options, x, x + count, count);
    free(x);
    return status;
}

/* A column a stage of `value`. */
static vt_status draw_stages(const compress_result *result, const char *name, const char *label,
                             compress_value value, vt_compress_stage first)
{
    char path[4096];
    const char *names[VT_COMPRESS_STAGES];
    vt_plot_options options = {.y_label = label};
    int64_t count = result->report.count, used = 0;
    int groups = VT_COMPRESS_STAGES - (int)first;
    double *values = malloc((size_t)(count * groups) * sizeof *values);
    int *group = malloc((size_t)(count * groups) * sizeof *group);
    vt_status status = values && group ? join(path, result, name) : out_of_memory();
    for (int s = 0; s < groups && status == VT_OK; s++) {
        vt_compress_stage stage = (vt_compress_stage)((int)first + s);
        names[s] = vt_compress_stage_name(stage);
        for (int64_t i = 0; i < count; i++) {
            group[used] = s;
            values[used++] = value(&result->report.neurons[i], stage);
        }
    }
    if (status == VT_OK)
        status = vt_plot_strips(path, &options, names, groups, group, values, used);
    free(values);
    free(group);
    return status;
}

static vt_status draw_filters(const compress_result *result)
{
    static const char *const names[] = {"layer 0", "layer 1", "layer 2", "layer 3", "layer 4"};
    char path[4096];
    vt_plot_options options = {.y_label = "filters of the compact model"};
    int64_t count = result->report.count, used = 0;
    double *values = malloc((size_t)count * VT_COMPACT_LAYERS * sizeof *values);
    int *group = malloc((size_t)count * VT_COMPACT_LAYERS * sizeof *group);
    vt_status status = values && group ? join(path, result, "filters.png") : out_of_memory();
    for (int k = 0; k < VT_COMPACT_LAYERS && status == VT_OK; k++)
        for (int64_t i = 0; i < count; i++) {
            group[used] = k;
            values[used++] = result->report.neurons[i].filters[k];
        }
    if (status == VT_OK)
        status = vt_plot_strips(path, &options, names, VT_COMPACT_LAYERS, group, values, used);
    free(values);
    free(group);
    return status;
}

/* ---- the page ---- */

static void paragraph(vt_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void paragraph(vt_page *page, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    vt_page_paragraph(page, text);
}

typedef char cell[64];

static void put_number(cell out, double value, const char *format)
{
    if (!isfinite(value))
        snprintf(out, sizeof(cell), "-");
    else if (strcmp(format, "whole") == 0)
        snprintf(out, sizeof(cell), "%.0f", value);
    else
        snprintf(out, sizeof(cell), "%.3f", value);
}

static vt_status put_medians(vt_page *page, const compress_result *result)
{
    static const char *const columns[] = {
        "Stage", "Parameters",         "r with responses",   "90 % interval",
        "r²",    "noise-corrected r²", "r with the teacher", "90 % interval"};
    vt_page_table_begin(page, columns, 8, 1);
    for (int s = 0; s < VT_COMPRESS_STAGES; s++) {
        vt_compress_stage stage = (vt_compress_stage)s;
        vt_interval m[COMPRESS_MEASURES];
        cell text[8];
        const char *cells[8];
        for (int k = 0; k < COMPRESS_MEASURES; k++)
            VT_TRY(compress_median(&m[k], result, compress_measures[k].value, stage));
        snprintf(text[0], sizeof(cell), "%s", vt_compress_stage_name(stage));
        put_number(text[1], m[0].median, "whole");
        put_number(text[2], m[1].median, "");
        snprintf(text[3], sizeof(cell), "%.3f to %.3f", m[1].low, m[1].high);
        put_number(text[4], m[2].median, "");
        put_number(text[5], m[3].median, "");
        put_number(text[6], m[4].median, "");
        snprintf(text[7], sizeof(cell), "%.3f to %.3f", m[4].low, m[4].high);
        for (int k = 0; k < 8; k++)
            cells[k] = text[k];
        vt_page_table_row(page, cells);
    }
    vt_page_table_end(page);
    return VT_OK;
}

static void put_neurons(vt_page *page, const compress_result *result)
{
    static const char *const columns[] = {"Neuron",      "Filters",   "Parameters",
                                          "Compression", "r teacher", "r student",
                                          "r pruned",    "r compact", "compact with teacher"};
    vt_page_table_begin(page, columns, 9, 2);
    for (int64_t i = 0; i < result->report.count; i++) {
        const vt_compress_neuron *n = &result->report.neurons[i];
        cell text[9];
        const char *cells[9];
        snprintf(text[0], sizeof(cell), "%lld", (long long)n->neuron);
        snprintf(text[1], sizeof(cell), "%d %d %d %d %d", n->filters[0], n->filters[1],
                 n->filters[2], n->filters[3], n->filters[4]);
        put_number(text[2], (double)n->parameters[VT_COMPRESS_COMPACT], "whole");
        snprintf(text[3], sizeof(cell), "%.3g",
                 (double)n->parameters[VT_COMPRESS_TEACHER] /
                     (double)n->parameters[VT_COMPRESS_COMPACT]);
        for (int s = 0; s < VT_COMPRESS_STAGES; s++)
            put_number(text[4 + s], n->r[s], "");
        put_number(text[8], n->r_teacher[VT_COMPRESS_COMPACT], "");
        for (int k = 0; k < 9; k++)
            cells[k] = text[k];
        vt_page_table_row(page, cells);
    }
    vt_page_table_end(page);
}

static void put_shared(vt_page *page, const compress_result *result)
{
    static const char *const columns[] = {"Filters in layers 0 to 2", "Parameters", "r²",
                                          "90 % interval", "r with the teacher"};
    vt_page_heading(page, "Shared models");
    vt_page_paragraph(page, "One model for all neurons, by its number of filters in layers 0 to 2: "
                            "the curve tells how few filters a population needs.");
    vt_page_table_begin(page, columns, 5, 0);
    for (int i = 0; i < result->report.shared_count; i++) {
        const vt_compress_shared *s = &result->report.shared[i];
        cell text[5];
        const char *cells[5];
        snprintf(text[0], sizeof(cell), "%d", s->filters);
        snprintf(text[1], sizeof(cell), "%lld", (long long)s->parameters);
        put_number(text[2], s->r2.median, "");
        snprintf(text[3], sizeof(cell), "%.3f to %.3f", s->r2.low, s->r2.high);
        put_number(text[4], s->r_teacher.median, "");
        for (int k = 0; k < 5; k++)
            cells[k] = text[k];
        vt_page_table_row(page, cells);
    }
    vt_page_table_end(page);
}

static vt_status put_figures(vt_page *page, const compress_result *result)
{
    VT_TRY(draw_scatter(result));
    VT_TRY(draw_stages(result, "r.png", "r with responses", compress_r, VT_COMPRESS_TEACHER));
    VT_TRY(draw_stages(result, "teacher.png", "r with the teacher", compress_r_teacher,
                       VT_COMPRESS_STUDENT));
    VT_TRY(draw_filters(result));
    vt_page_row_begin(page);
    vt_page_figure(page, "scatter.png", "r of compact models against r of their teachers",
                   "Each neuron: compact model against teacher, with recorded responses.", 420);
    vt_page_figure(page, "r.png", "r with recorded responses by stage",
                   "With recorded responses; the bar is the median.", 420);
    vt_page_figure(page, "teacher.png", "r with the teacher by stage",
                   "With the teacher's responses to the same images.", 420);
    vt_page_figure(page, "filters.png", "filters a layer", "What is left of each layer.", 420);
    vt_page_row_end(page);
    return VT_OK;
}

static vt_status fill_page(vt_page *page, const compress_result *result)
{
    paragraph(page,
              "%lld neurons of session %s. All scores are of the second half of its images, which "
              "neither readouts nor students have seen. Training and pruning took %.2f hours of "
              "processor time.",
              (long long)result->report.count, result->session,
              result->report.processor_seconds / 3600);
    VT_TRY(put_medians(page, result));
    VT_TRY(put_figures(page, result));
    vt_page_heading(page, "Neurons");
    put_neurons(page, result);
    if (result->report.shared_count > 0) put_shared(page, result);
    return VT_OK;
}

vt_status compress_write_page(const compress_result *result)
{
    char path[4096], title[128];
    vt_page *page;
    VT_TRY(join(path, result, "index.html"));
    snprintf(title, sizeof title, "Compact models of session %s", result->session);
    VT_TRY(vt_page_new(&page, title));
    vt_status status = fill_page(page, result);
    if (status == VT_OK) status = vt_page_write(page, path);
    vt_page_free(page);
    return status;
}
