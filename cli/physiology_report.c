/* Properties of V1 neurons as tables, JSON and CSV. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "physiology.h"

void physiology_words(char out[64], const char *name)
{
    snprintf(out, 64, "%s", name);
    for (char *c = out; *c; c++)
        if (*c == '_') *c = ' ';
}

void physiology_coverage(char out[64], const vt_average *average)
{
    if (average->scored == 0)
        snprintf(out, 64, "none of %d scored", average->of);
    else
        snprintf(out, 64, "%d of %d scored", average->scored, average->of);
}

const vt_average *physiology_average(const physiology_result *result, int category)
{
    const vt_physiology_scores *s = &result->scores;
    return category < VT_CATEGORIES ? &s->category[category] : &s->overall;
}

const vt_average *physiology_most_covered(const physiology_results *results, int category)
{
    const vt_average *best = physiology_average(&results->list[0], category);
    for (int i = 1; i < results->count; i++) {
        const vt_average *a = physiology_average(&results->list[i], category);
        if (a->scored > best->scored) best = a;
    }
    return best;
}

void physiology_mark(char out[400], const physiology_result *r)
{
    snprintf(out, 400,
             "Textures: %.250s. Scores of textures say nothing about the published textures.",
             r->textures);
}

static int64_t with_value(const vt_property_score *s, const vt_property *p)
{
    int64_t sum = 0;
    for (int i = 0; i < p->bins; i++)
        sum += s->counts[i];
    return sum;
}

/* ---- the terminal ---- */

static void print_number(int width, double value)
{
    if (isfinite(value))
        printf(" %*.3f", width, value);
    else
        printf(" %*s", width, "-");
}

/* A score with its error; - without. */
static void print_score(double score, double error)
{
    print_number(8, score);
    if (isfinite(score) && isfinite(error)) printf(" ±%.2f", error);
}

static void print_property(const vt_property *p, const vt_property_score *s)
{
    printf("  %-44s %6" PRId64, p->label, s->units);
    if (!s->measured) {
        puts("  not shown");
        return;
    }
    printf(" %10.4g", s->median);
    if (!s->has_reference) {
        puts("  no reference");
        return;
    }
    print_number(10, s->raw.mean);
    printf(" ±%.3f", s->raw.sd);
    print_number(8, s->ceiling.mean);
    print_score(s->score, s->error);
    putchar('\n');
}

static void print_category(const physiology_result *r, int category)
{
    char words[64], coverage[64];
    bool scored = category < VT_CATEGORIES;
    physiology_words(words, vt_category_name((vt_category)category));
    if (scored) {
        physiology_coverage(coverage, &r->scores.category[category]);
        printf("%-46s %44s", words, coverage);
        print_score(r->scores.category[category].score, r->scores.category[category].error);
        putchar('\n');
    } else {
        puts("measured, but in no benchmark");
    }
    for (int i = 0; i < vt_property_count(); i++)
        if ((int)vt_property_at(i)->category == category)
            print_property(vt_property_at(i), &r->scores.property[i]);
}

/* Once for all results that were shown the same. */
static void print_marks(const physiology_result *list, int count)
{
    char text[400];
    for (int i = 0; i < count; i++) {
        bool said = i > 0 && list[i - 1].textures && list[i].textures &&
                    strcmp(list[i - 1].textures, list[i].textures) == 0;
        if (!list[i].textures || said) continue;
        physiology_mark(text, &list[i]);
        puts(text);
    }
}

static int print_one(const physiology_result *r)
{
    char coverage[64];
    printf("%s%s%s, %" PRId64 " neurons\n\n", r->model, *r->layer ? " " : "", r->layer,
           r->of_layer.tuning.neurons);
    printf("  %-44s %6s %10s %10s %6s %8s %8s\n", "property", "units", "median", "similarity", "",
           "ceiling", "score");
    for (int c = 0; c <= VT_CATEGORIES; c++)
        print_category(r, c);
    physiology_coverage(coverage, &r->scores.overall);
    printf("%-46s %44s", "mean of the categories", coverage);
    print_score(r->scores.overall.score, r->scores.overall.error);
    puts("\n± of a score: its standard error, from how few neurons there are");
    print_marks(r, 1);
    return cli_finish();
}

/* In 11 columns after a space; "±" has two bytes. */
static void print_average(const vt_average *a)
{
    if (isfinite(a->score) && isfinite(a->error))
        printf("  %.3f±%.2f", a->score, a->error);
    else
        print_number(11, a->score);
}

static int print_many(const physiology_results *results)
{
    static const char *const heads[VT_CATEGORY_UNSCORED] = {
        "orientation", "frequency", "selectivity", "size", "surround", "texture", "magnitude"};
    int widest = 17;
    for (int i = 0; i < results->count; i++) {
        int width = (int)(strlen(results->list[i].model) + strlen(results->list[i].layer));
        if (width + 1 > widest) widest = width + 1;
    }
    printf("%-*s %7s", widest, "layer", "neurons");
    for (int c = 0; c < VT_CATEGORIES; c++)
        printf(" %11s", heads[c]);
    printf(" %11s\n", "mean");
    for (int i = 0; i < results->count; i++) {
        const physiology_result *r = &results->list[i];
        printf("%s %-*s %7" PRId64, r->model, widest - 1 - (int)strlen(r->model), r->layer,
               r->of_layer.tuning.neurons);
        for (int c = 0; c <= VT_CATEGORIES; c++)
            print_average(physiology_average(r, c));
        putchar('\n');
    }
    printf("%-*s %7s", widest, "benchmarks scored", "");
    for (int c = 0; c <= VT_CATEGORIES; c++) {
        const vt_average *a = physiology_most_covered(results, c);
        printf(" %5d of %2d", a->scored, a->of);
    }
    putchar('\n');
    puts("±: standard error, from how few neurons there are");
    for (int i = 0; i < results->count; i++) {
        const physiology_result *r = &results->list[i];
        if (*r->of_layer.reason) printf("%s %s: %s\n", r->model, r->layer, r->of_layer.reason);
    }
    print_marks(results->list, results->count);
    return cli_finish();
}

int physiology_print(const physiology_results *results)
{
    return results->count == 1 ? print_one(&results->list[0]) : print_many(results);
}

/* ---- JSON ---- */

static json_t *counts_json(const int64_t *counts, int bins)
{
    json_t *list = json_array();
    for (int i = 0; i < bins; i++)
        json_array_append_new(list, json_integer((json_int_t)counts[i]));
    return list;
}

static json_t *property_json(int number, const vt_property_score *s,
                             const vt_references *references)
{
    const vt_property *p = vt_property_at(number);
    const vt_study *study = vt_study_at((int)p->study);
    const vt_reference *reference = vt_references_at(references, number);
    double edges[VT_MAX_BINS + 1];
    json_t *list = json_array();
    vt_property_edges(p, edges);
    for (int i = 0; i <= p->bins; i++)
        json_array_append_new(list, json_real(edges[i]));
    return json_pack(
        "{s:s, s:s, s:s, s:s?, s:b, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:o}",
        "property", p->key, "study", study->name, "category", vt_category_name(p->category),
        "benchmark", p->benchmark, "measured", (int)s->measured, "units", (json_int_t)s->units,
        "with_value", (json_int_t)with_value(s, p), "median", cli_number(s->median), "similarity",
        cli_number(s->raw.mean), "similarity_sd", cli_number(s->raw.sd), "ceiling",
        cli_number(s->ceiling.mean), "score", cli_number(s->score), "error", cli_number(s->error),
        "edges", list, "counts", counts_json(s->counts, p->bins), "reference",
        reference ? reference->source : NULL, "reference_counts",
        reference ? counts_json(reference->counts, p->bins) : json_null());
}

static json_t *average_json(const vt_average *a)
{
    return json_pack("{s:o, s:o, s:i, s:i}", "score", cli_number(a->score), "error",
                     cli_number(a->error), "scored", a->scored, "of", a->of);
}

static json_t *result_json(const physiology_result *r, const vt_references *references)
{
    json_t *properties = json_array(), *categories = json_object();
    for (int i = 0; i < vt_property_count(); i++)
        json_array_append_new(properties, property_json(i, &r->scores.property[i], references));
    for (int c = 0; c < VT_CATEGORIES; c++)
        json_object_set_new(categories, vt_category_name((vt_category)c),
                            average_json(&r->scores.category[c]));
    json_t *root =
        json_pack("{s:s, s:s?, s:I, s:o, s:o, s:o}", "model", r->model, "textures", r->textures,
                  "neurons", (json_int_t)r->of_layer.tuning.neurons, "categories", categories,
                  "mean", average_json(&r->scores.overall), "properties", properties);
    if (*r->layer) {
        const vt_layer_tuning *t = &r->of_layer;
        json_object_update_new(
            root, json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:b, s:s?}", "layer", r->layer, "units",
                            (json_int_t)t->units, "answering", (json_int_t)t->answering,
                            "responsive", (json_int_t)t->responsive, "slope", cli_number(t->slope),
                            "offset", cli_number(t->offset), "loaded", (int)t->loaded, "reason",
                            *t->reason ? t->reason : NULL));
    }
    return root;
}

int physiology_print_json(const physiology_results *results)
{
    json_t *list = json_array();
    for (int i = 0; i < results->count; i++)
        json_array_append_new(list, result_json(&results->list[i], results->references));
    return cli_print_json(
        json_pack("{s:I, s:o}", "seed", (json_int_t)cli_options.seed, "results", list));
}

/* ---- CSV ---- */

static void put_names(FILE *f, const physiology_result *r)
{
    vt_csv_field(f, r->model);
    fputc(',', f);
    vt_csv_field(f, r->layer);
}

static void put_scores(FILE *f, const physiology_result *r, const vt_references *references)
{
    for (int i = 0; i < vt_property_count(); i++) {
        const vt_property *p = vt_property_at(i);
        const vt_property_score *s = &r->scores.property[i];
        const vt_reference *reference = vt_references_at(references, i);
        put_names(f, r);
        fprintf(f, ",%s,%s,%s,%s,%" PRId64 ",%" PRId64, vt_study_at((int)p->study)->name, p->key,
                vt_category_name(p->category), p->benchmark ? p->benchmark : "", s->units,
                with_value(s, p));
        vt_csv_next(f, s->median);
        vt_csv_next(f, s->raw.mean);
        vt_csv_next(f, s->raw.sd);
        vt_csv_next(f, s->ceiling.mean);
        vt_csv_next(f, s->score);
        vt_csv_next(f, s->error);
        fputc(',', f);
        vt_csv_field(f, reference ? reference->source : "");
        fputc(',', f);
        bool of_textures = p->study == VT_STUDY_FREEMANZIEMBA2013;
        vt_csv_field(f, of_textures && r->textures ? r->textures : "");
        fputc('\n', f);
    }
}

/* Where the study keeps `neuron`, searched from *at on; -1: it did not respond enough. */
static int64_t row_of(const vt_study_tuning *t, int64_t neuron, int64_t *at)
{
    while (*at < t->neurons && t->neuron[*at] < neuron)
        ++*at;
    return *at < t->neurons && t->neuron[*at] == neuron ? *at : -1;
}

static void put_units(FILE *f, const physiology_result *r)
{
    int64_t at[VT_STUDIES] = {0};
    for (int64_t neuron = 0; neuron < r->of_layer.tuning.neurons; neuron++) {
        put_names(f, r);
        fprintf(f, ",%" PRId64, neuron);
        for (int s = 0; s < VT_STUDIES; s++) {
            const vt_study_tuning *t = &r->of_layer.tuning.study[s];
            int properties;
            vt_study_properties(s, &properties);
            int64_t row = row_of(t, neuron, &at[s]);
            for (int i = 0; i < properties; i++)
                vt_csv_next(f, row < 0 ? NAN : t->values[row * properties + i]);
        }
        fputc(',', f);
        vt_csv_field(f, r->textures ? r->textures : "");
        fputc('\n', f);
    }
}

static vt_status write_table(const physiology_results *results, const char *folder,
                             const char *name, bool scores)
{
    char path[4400];
    vt_text_file file;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    VT_TRY(vt_text_file_begin(&file));
    FILE *f = file.stream;
    fputs(scores ? "model,layer,study,property,category,benchmark,units,with_value,median,"
                   "similarity,similarity_sd,ceiling,score,error,reference"
                 : "model,layer,unit",
          f);
    for (int i = 0; i < vt_property_count() && !scores; i++)
        fprintf(f, ",%s", vt_property_at(i)->key);
    fputs(",textures\n", f);
    for (int i = 0; i < results->count; i++) {
        if (scores)
            put_scores(f, &results->list[i], results->references);
        else
            put_units(f, &results->list[i]);
    }
    return vt_text_file_end(&file, path);
}

vt_status physiology_write_tables(const physiology_results *results, const char *folder)
{
    VT_TRY(write_table(results, folder, "scores.csv", true));
    return write_table(results, folder, "units.csv", false);
}
