/* What `ventral prune` shows: tables, JSON, the curve as numbers and as a figure. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prune.h"

static double factor(const vt_prune_report *r)
{
    return (double)r->parameters_before / (double)r->parameters_after;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- the curve's files ---- */

static vt_status write_csv(const prune_request *request, const prune_results *results)
{
    char path[4400];
    vt_text_file file;
    VT_TRY(vt_text_file_begin(&file));
    fputs("model,threshold,layer0,layer1,layer2,layer3,layer4,parameters,compression,r_before,"
          "r_after\n",
          file.stream);
    for (int m = 0; m < results->count; m++)
        for (int i = 1; i <= request->steps; i++) {
            const vt_prune_report *r = &results->models[m].reports[i];
            vt_csv_field(file.stream, base_name(results->models[m].input));
            fprintf(file.stream, ",%.6g", request->thresholds[i]);
            for (int k = 0; k < VT_COMPACT_LAYERS; k++)
                fprintf(file.stream, ",%d", r->layers[k].after);
            fprintf(file.stream, ",%" PRId64 ",%.6g,%.6f,%.6f\n", r->parameters_after, factor(r),
                    r->r_before, r->r_after);
        }
    snprintf(path, sizeof path, "%s/curve.csv", request->output);
    return vt_text_file_end(&file, path);
}

static vt_status draw(const prune_request *request, const prune_results *results)
{
    enum { NAMED = 5 }; /* more names than colours would not help */
    char path[4400];
    int count = results->count, steps = request->steps;
    vt_plot_curve *curves = calloc((size_t)count, sizeof *curves);
    double *x = calloc((size_t)count * (size_t)steps * 2, sizeof *x);
    vt_status status = curves && x ? VT_OK : vt_error(VT_ENOMEM, "out of memory");
    for (int m = 0; m < count && status == VT_OK; m++) {
        double *at = x + (ptrdiff_t)m * steps * 2, *r = at + steps;
        for (int i = 0; i < steps; i++) {
            at[i] = (double)results->models[m].reports[i + 1].parameters_after;
            r[i] = results->models[m].reports[i + 1].r_after;
        }
        curves[m] = (vt_plot_curve){count <= NAMED ? base_name(results->models[m].input) : NULL, at,
                                    r, steps};
    }
    snprintf(path, sizeof path, "%s/curve.svg", request->output);
    if (status == VT_OK)
        status = vt_plot_curves(
            path, &(vt_plot_options){.x_label = "parameters", .y_label = "r with the target"},
            curves, count);
    free(curves);
    free(x);
    return status;
}

vt_status prune_write_curve(const prune_request *request, const prune_results *results)
{
    VT_TRY(write_csv(request, results));
    if (draw(request, results) != VT_OK) cli_note("ventral: no figure: %s", vt_error_message());
    return VT_OK;
}

/* ---- on standard output ---- */

static json_t *report_json(const vt_prune_report *r, double threshold)
{
    json_t *layers = json_array();
    for (int k = 0; k < VT_COMPACT_LAYERS; k++)
        json_array_append_new(layers,
                              json_pack("{s:i, s:i, s:o}", "before", r->layers[k].before, "after",
                                        r->layers[k].after, "kept", cli_number(r->layers[k].kept)));
    return json_pack("{s:f, s:o, s:I, s:I, s:o, s:o, s:o}", "threshold", threshold, "layers",
                     layers, "parameters_before", (json_int_t)r->parameters_before,
                     "parameters_after", (json_int_t)r->parameters_after, "compression",
                     cli_number(factor(r)), "r_before", cli_number(r->r_before), "r_after",
                     cli_number(r->r_after));
}

static int print_json(const prune_request *request, const prune_results *results)
{
    json_t *models = json_array();
    for (int m = 0; m < results->count; m++) {
        const prune_result *one = &results->models[m];
        json_t *entry = report_json(&one->reports[0], request->thresholds[0]);
        json_object_set_new(entry, "input", json_string(one->input));
        json_object_set_new(entry, "output", json_string(one->output));
        json_t *curve = request->steps ? json_array() : NULL;
        for (int i = 1; i <= request->steps; i++)
            json_array_append_new(curve, report_json(&one->reports[i], request->thresholds[i]));
        if (curve) json_object_set_new(entry, "curve", curve);
        json_array_append_new(models, entry);
    }
    return cli_print_json(
        json_pack("{s:o, s:I, s:I, s:s, s:i, s:b}", "models", models, "images",
                  (json_int_t)results->used, "held_out", (json_int_t)results->held_out, "form",
                  request->options.form == VT_PRUNE_RELEASED ? "released" : "corrected", "minimum",
                  request->options.minimum, "refit", (int)request->options.refit));
}

static void list_filters(char *out, size_t size, const vt_prune_report *r, bool after)
{
    size_t used = 0;
    for (int k = 0; k < VT_COMPACT_LAYERS && used < size; k++)
        used += (size_t)snprintf(out + used, size - used, "%s%d", k ? " " : "",
                                 after ? r->layers[k].after : r->layers[k].before);
}

static void print_row(const char *name, const vt_prune_report *r)
{
    char filters[80];
    list_filters(filters, sizeof filters, r, true);
    printf("%-34s  %-19s  %10" PRId64 "  %6.2f  %8.4f\n", name, filters, r->parameters_after,
           factor(r), r->r_after);
}

int prune_print(const prune_request *request, const prune_results *results)
{
    if (cli_options.json) return print_json(request, results);
    printf("%-34s  %-19s  %10s  %6s  %8s\n", "model", "filters", "parameters", "factor", "r");
    for (int m = 0; m < results->count; m++) {
        const prune_result *one = &results->models[m];
        char filters[80], name[64];
        list_filters(filters, sizeof filters, &one->reports[0], false);
        printf("%-34s  %-19s  %10" PRId64 "  %6s  %8.4f\n", base_name(one->input), filters,
               one->reports[0].parameters_before, "", one->reports[0].r_before);
        for (int i = 1; i <= request->steps; i++) {
            snprintf(name, sizeof name, "  threshold %g", request->thresholds[i]);
            print_row(name, &one->reports[i]);
        }
        snprintf(name, sizeof name, "  written, threshold %g", request->thresholds[0]);
        print_row(name, &one->reports[0]);
    }
    printf("r: with the target, on %" PRId64 " %s\n",
           results->held_out ? results->held_out : results->used,
           results->held_out ? "images not used for pruning" : "images that were pruned on");
    return cli_finish();
}
