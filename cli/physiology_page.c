/* Pages of tuning properties: every distribution beside its reference, scores, some units. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "physiology.h"

enum { MOST_CELLS = 12 };

typedef char cell[128];

static void paragraph(vt_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void paragraph(vt_page *page, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    vt_page_paragraph(page, text);
}

static void put_number(cell out, double value, const char *format)
{
    if (!isfinite(value)) {
        snprintf(out, sizeof(cell), "–");
        return;
    }
    if (strcmp(format, "short") == 0)
        snprintf(out, sizeof(cell), "%.3g", value);
    else
        snprintf(out, sizeof(cell), "%.3f", value);
}

/* A score with its standard error. */
static void put_score(cell out, double score, double error)
{
    if (isfinite(score) && isfinite(error))
        snprintf(out, sizeof(cell), "%.3f ± %.2f", score, error);
    else
        put_number(out, score, "");
}

static void put_row(vt_page *page, cell *text, int count)
{
    const char *cells[MOST_CELLS];
    for (int i = 0; i < count; i++)
        cells[i] = text[i];
    vt_page_table_row(page, cells);
}

/* ---- distributions ---- */

static int64_t shares(double out[VT_MAX_BINS], const int64_t *counts, int bins)
{
    int64_t sum = 0;
    for (int i = 0; i < bins; i++)
        sum += counts[i];
    for (int i = 0; i < bins; i++)
        out[i] = sum > 0 ? (double)counts[i] / (double)sum : 0;
    return sum;
}

static void put_label(char out[128], const vt_property *p)
{
    snprintf(out, 128, "%s%s%s%s", p->label, *p->unit ? " (" : "", p->unit, *p->unit ? ")" : "");
}

static vt_status draw_property(const char *path, int number, const vt_property_score *s,
                               const vt_reference *reference)
{
    static const char *const answers[] = {"no", "yes"};
    const vt_property *p = vt_property_at(number);
    double edges[VT_MAX_BINS + 1], model[VT_MAX_BINS], target[VT_MAX_BINS];
    char label[128];
    put_label(label, p);
    vt_property_edges(p, edges);
    shares(model, s->counts, p->bins);
    if (reference) shares(target, reference->counts, p->bins);
    vt_plot_options options = {.x_label = label,
                               .y_label = "share of neurons",
                               .width = PHYSIOLOGY_FIGURE_WIDTH,
                               .height = PHYSIOLOGY_FIGURE_HEIGHT};
    vt_plot_histogram histogram = {.bins = p->bins,
                                   .edges = edges,
                                   .logarithmic = p->logarithmic,
                                   .shares = model,
                                   .reference = reference ? target : NULL,
                                   .bin_names = p->bins == 2 ? answers : NULL};
    return vt_plot_distribution(path, &options, &histogram);
}

static void put_caption(char out[512], const vt_property *p, const vt_property_score *s)
{
    double unused[VT_MAX_BINS];
    int64_t with_value = shares(unused, s->counts, p->bins);
    int used = snprintf(out, 512, "%s. ", vt_study_at((int)p->study)->title);
    cell score;
    put_score(score, s->score, s->error);
    if (!s->has_reference)
        used += snprintf(out + used, 512 - (size_t)used, "No reference. ");
    else if (isfinite(s->score))
        used += snprintf(out + used, 512 - (size_t)used, "Score %s: similarity %.3f of %.3f. ",
                         score, s->raw.mean, s->ceiling.mean);
    used += snprintf(out + used, 512 - (size_t)used, "%" PRId64 " units", s->units);
    if (with_value < s->units)
        used += snprintf(out + used, 512 - (size_t)used, ", %" PRId64 " of them without a value",
                         s->units - with_value);
    snprintf(out + used, 512 - (size_t)used, ".");
}

static vt_status put_figure(vt_page *page, const char *folder, int number,
                            const physiology_result *r, const vt_references *references)
{
    const vt_property *p = vt_property_at(number);
    const vt_property_score *s = &r->scores.property[number];
    char path[4600], source[256], caption[512];
    if (!s->measured) return VT_OK;
    snprintf(source, sizeof source, "%s.svg", p->key);
    snprintf(path, sizeof path, "%s/%s", folder, source);
    VT_TRY(draw_property(path, number, s, vt_references_at(references, number)));
    put_caption(caption, p, s);
    vt_page_figure(page, source, p->label, caption, PHYSIOLOGY_FIGURE_WIDTH);
    return VT_OK;
}

static bool any_measured(const physiology_result *r, int category)
{
    for (int i = 0; i < vt_property_count(); i++)
        if ((int)vt_property_at(i)->category == category && r->scores.property[i].measured)
            return true;
    return false;
}

static vt_status put_category(vt_page *page, const char *folder, int category,
                              const physiology_result *r, const vt_references *references)
{
    char words[64], heading[320], coverage[64];
    if (!any_measured(r, category)) return VT_OK;
    physiology_words(words, vt_category_name((vt_category)category));
    words[0] = (char)(words[0] - 'a' + 'A');
    if (category == VT_CATEGORIES) {
        snprintf(heading, sizeof heading, "Measured, but in no benchmark");
    } else {
        const vt_average *a = &r->scores.category[category];
        physiology_coverage(coverage, a);
        if (a->scored > 0) {
            cell score;
            put_score(score, a->score, a->error);
            snprintf(heading, sizeof heading, "%s: %s (%s)", words, score, coverage);
        } else
            snprintf(heading, sizeof heading, "%s (%s)", words, coverage);
    }
    vt_page_heading(page, heading);
    vt_page_row_begin(page);
    vt_status status = VT_OK;
    for (int i = 0; i < vt_property_count() && status == VT_OK; i++)
        if ((int)vt_property_at(i)->category == category)
            status = put_figure(page, folder, i, r, references);
    vt_page_row_end(page);
    return status;
}

/* ---- tables ---- */

static void put_categories(vt_page *page, const physiology_result *r)
{
    static const char *const columns[] = {"Category", "Benchmarks", "Score"};
    cell text[3];
    vt_page_table_begin(page, columns, 3, 2);
    for (int c = 0; c <= VT_CATEGORIES; c++) {
        const vt_average *a = c < VT_CATEGORIES ? &r->scores.category[c] : &r->scores.overall;
        char words[64];
        physiology_words(words, c < VT_CATEGORIES ? vt_category_name((vt_category)c)
                                                  : "mean of the categories");
        snprintf(text[0], sizeof(cell), "%s", words);
        physiology_coverage(text[1], a);
        put_score(text[2], a->score, a->error);
        put_row(page, text, 3);
    }
    vt_page_table_end(page);
}

static void put_properties(vt_page *page, const physiology_result *r)
{
    static const char *const columns[] = {"Property",   "Study",   "Units", "Median",
                                          "Similarity", "Ceiling", "Score"};
    vt_page_heading(page, "All properties");
    vt_page_table_begin(page, columns, 7, 2);
    for (int i = 0; i < vt_property_count(); i++) {
        const vt_property *p = vt_property_at(i);
        const vt_property_score *s = &r->scores.property[i];
        cell text[7];
        char label[128];
        put_label(label, p);
        snprintf(text[0], sizeof(cell), "%s", label);
        snprintf(text[1], sizeof(cell), "%s", vt_study_at((int)p->study)->name);
        snprintf(text[2], sizeof(cell), "%" PRId64, s->units);
        put_number(text[3], s->median, "short");
        if (isfinite(s->raw.mean))
            snprintf(text[4], sizeof(cell), "%.3f ± %.3f", s->raw.mean, s->raw.sd);
        else
            snprintf(text[4], sizeof(cell), "%s", s->has_reference ? "–" : "no reference");
        put_number(text[5], s->ceiling.mean, "");
        put_score(text[6], s->score, s->error);
        put_row(page, text, 7);
    }
    vt_page_table_end(page);
}

static void put_studies(vt_page *page, const vt_references *references)
{
    static const char *const columns[] = {"Study", "Journal", "Properties with a reference",
                                          "Neurons of the reference", "From"};
    vt_page_heading(page, "Studies and references");
    vt_page_table_begin(page, columns, 5, 2);
    for (int s = 0; s < VT_STUDIES; s++) {
        const vt_study *study = vt_study_at(s);
        int count, found = 0, first = vt_study_properties(s, &count);
        const vt_reference *some = NULL;
        cell text[5];
        for (int i = first; i < first + count; i++) {
            const vt_reference *reference = vt_references_at(references, i);
            if (reference) some = reference;
            found += reference != NULL;
        }
        snprintf(text[0], sizeof(cell), "%s", study->title);
        snprintf(text[1], sizeof(cell), "%s", study->journal);
        snprintf(text[2], sizeof(cell), "%d of %d", found, count);
        snprintf(text[3], sizeof(cell), "–");
        if (some) snprintf(text[3], sizeof(cell), "%" PRId64, some->neurons);
        snprintf(text[4], sizeof(cell), "%s",
                 !some                            ? "–"
                 : some->source == study->journal ? "the publication"
                                                  : some->source);
        put_row(page, text, 5);
    }
    vt_page_table_end(page);
}

/* ---- pages ---- */

static void explain(vt_page *page)
{
    vt_page_paragraph(
        page,
        "Bars: the neurons shown here. Red line: the published neurons. Units are the neurons "
        "that responded by more than 5 spikes/s above baseline to a study's stimuli. "
        "Similarity is 1 minus the Kolmogorov-Smirnov distance over the largest distance "
        "possible, a mean over 1000 samples of as many units as were published; the ceiling is "
        "that of the published neurons with themselves, and the score is similarity by ceiling, "
        "± its standard error, from how few neurons are shown here. Properties, bins and means as "
        "in the "
        "benchmarks of Marques, Schrimpf & DiCarlo (2021). A mean covers the properties that "
        "have a reference, and says how many that is.");
}

static void put_mark(vt_page *page, const physiology_result *r)
{
    char text[400];
    if (!r->textures) return;
    physiology_mark(text, r);
    vt_page_paragraph(page, text);
}

static vt_status fill_page(vt_page *page, const char *folder, const physiology_result *r,
                           const vt_references *references)
{
    char coverage[64];
    physiology_coverage(coverage, &r->scores.overall);
    cell score;
    put_score(score, r->scores.overall.score, r->scores.overall.error);
    if (isfinite(r->scores.overall.score))
        paragraph(page, "%" PRId64 " neurons. Mean score of the categories: %s, %s.",
                  r->of_layer.tuning.neurons, score, coverage);
    else
        paragraph(page, "%" PRId64 " neurons; %s.", r->of_layer.tuning.neurons, coverage);
    put_mark(page, r);
    put_categories(page, r);
    explain(page);
    for (int c = 0; c <= VT_CATEGORIES; c++)
        VT_TRY(put_category(page, folder, c, r, references));
    VT_TRY(physiology_put_units(page, folder, r));
    put_properties(page, r);
    put_studies(page, references);
    return VT_OK;
}

static vt_status write_page(const char *folder, const physiology_result *r,
                            const vt_references *references)
{
    char title[512], path[4600];
    vt_page *page;
    snprintf(title, sizeof title, "V1 properties of %s%s%s", r->model, *r->layer ? ", " : "",
             r->layer);
    VT_TRY(vt_page_new(&page, title));
    vt_status status = fill_page(page, folder, r, references);
    snprintf(path, sizeof path, "%s/index.html", folder);
    if (status == VT_OK) status = vt_page_write(page, path);
    vt_page_free(page);
    return status;
}

/* A row a layer, a column a category of which anything is scored. */
static void put_comparison(vt_page *page, const physiology_results *results)
{
    static const char *const heads[] = {"Orientation", "Frequency", "Selectivity", "Size",
                                        "Surround",    "Texture",   "Magnitude",   "Mean"};
    const char *columns[MOST_CELLS] = {"Model", "Layer", "Units"};
    int category[MOST_CELLS], count = 3;
    cell text[MOST_CELLS];
    for (int c = 0; c <= VT_CATEGORIES; c++) {
        if (c < VT_CATEGORIES && physiology_most_covered(results, c)->scored == 0) continue;
        category[count] = c;
        columns[count++] = heads[c];
    }
    vt_page_table_begin(page, columns, count, 2);
    for (int i = 0; i < results->count; i++) {
        const physiology_result *r = &results->list[i];
        snprintf(text[0], sizeof(cell), "%s", r->model);
        snprintf(text[1], sizeof(cell), "%s", r->layer);
        snprintf(text[2], sizeof(cell), "%" PRId64, r->of_layer.tuning.neurons);
        for (int k = 3; k < count; k++)
            put_score(text[k], physiology_average(r, category[k])->score,
                      physiology_average(r, category[k])->error);
        put_row(page, text, count);
    }
    snprintf(text[0], sizeof(cell), "benchmarks scored");
    text[1][0] = text[2][0] = '\0';
    for (int k = 3; k < count; k++) {
        const vt_average *a = physiology_most_covered(results, category[k]);
        snprintf(text[k], sizeof(cell), "%d of %d", a->scored, a->of);
    }
    put_row(page, text, count);
    vt_page_table_end(page);
}

/* The page that compares layers. */
static void fill_comparison(vt_page *page, const physiology_results *results)
{
    paragraph(page, "Score of each category of properties that has a reference, and the mean of "
                    "these categories: 1 is as like the published neurons as these are to "
                    "themselves, ± its standard error, from how few units there are. Units are "
                    "those whose receptive field is at the gratings' centre.");
    put_mark(page, &results->list[0]);
    put_comparison(page, results);
    vt_page_heading(page, "Distributions and tuning curves");
    for (int i = 0; i < results->count; i++) {
        const physiology_result *r = &results->list[i];
        char target[512], name[512];
        if (*r->of_layer.reason) {
            paragraph(page, "%s, %s was not measured: %s.", r->model, r->layer, r->of_layer.reason);
            continue;
        }
        snprintf(target, sizeof target, "%s/index.html", r->name);
        snprintf(name, sizeof name, "%s, %s", r->model, r->layer);
        vt_page_link(page, target, name);
    }
    put_studies(page, results->references);
}

static vt_status write_comparison(const physiology_results *results, const char *folder)
{
    char path[4600];
    vt_page *page;
    for (int i = 0; i < results->count; i++) {
        if (*results->list[i].of_layer.reason) continue;
        snprintf(path, sizeof path, "%s/%s", folder, results->list[i].name);
        VT_TRY(vt_folder_make(path));
        VT_TRY(write_page(path, &results->list[i], results->references));
    }
    VT_TRY(vt_page_new(&page, "V1 properties of models"));
    fill_comparison(page, results);
    snprintf(path, sizeof path, "%s/index.html", folder);
    vt_status status = vt_page_write(page, path);
    vt_page_free(page);
    return status;
}

vt_status physiology_write_pages(const physiology_results *results, const char *folder)
{
    if (results->count > 1) return write_comparison(results, folder);
    return write_page(folder, &results->list[0], results->references);
}
