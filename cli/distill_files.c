/* What a distillation leaves: models, the course as numbers and figures, a table. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "distill.h"

enum { MOST_LINES = 8 }; /* of single neurons in a figure */

static void path_in(char *out, size_t size, const distill_request *r, const char *name)
{
    snprintf(out, size, "%s/%s", r->output, name);
}

/* NAME.safetensors of the neuron, or shared.safetensors; of several shared ones the number, too. */
static void file_of(char *out, size_t size, const distill_students *s, const vt_teacher *teacher,
                    int student)
{
    const vt_distill_student *one = &s->list[student];
    distill_name name;
    distill_name_of(name, teacher, one->neurons[0]);
    if (vt_model_outputs(one->model) == 1)
        snprintf(out, size, "%s.safetensors", name);
    else if (s->count == 1)
        snprintf(out, size, "shared.safetensors");
    else
        snprintf(out, size, "shared%d.safetensors", student);
}

vt_status distill_write_models(const distill_request *r, const distill_students *s,
                               const vt_teacher *teacher)
{
    for (int i = 0; i < s->count; i++) {
        char name[160], path[4400];
        file_of(name, sizeof name, s, teacher, i);
        path_in(path, sizeof path, r, name);
        VT_TRY(vt_model_write(s->list[i].model, path));
    }
    return VT_OK;
}

static void print_course(FILE *to, const distill_students *s, const vt_teacher *teacher,
                         const vt_distill_report *report)
{
    fputs("stretch,session,neuron,loss,r\n", to);
    for (int k = 0; k < report->stretches; k++)
        for (int64_t i = 0; i < report->neurons; i++) {
            const vt_teacher_neuron *n = vt_teacher_neuron_at(teacher, s->neurons[i]);
            int64_t at = k * report->neurons + i;
            fprintf(to, "%d,%s,%lld,%.9g,%.9g\n", k + 1, n->session, (long long)n->neuron,
                    report->loss[at], report->r[at]);
        }
}

vt_status distill_write_course(const distill_request *r, const distill_students *s,
                               const vt_teacher *teacher, const vt_distill_report *report)
{
    char path[4400];
    vt_text_file file;
    VT_TRY(vt_text_file_begin(&file));
    print_course(file.stream, s, teacher, report);
    path_in(path, sizeof path, r, "distill.csv");
    return vt_text_file_end(&file, path);
}

/* ---- figures ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return isnan(y) ? -!isnan(x) : isnan(x) ? 1 : (x > y) - (x < y);
}

/* Each neuron's line, or the quartiles over neurons of each stretch. */
static vt_status draw_one(const distill_request *r, const char *name, const char *label,
                          const vt_distill_report *report, const double *values)
{
    int64_t n = report->neurons, stretches = report->stretches;
    int lines = n <= MOST_LINES ? (int)n : 3;
    double *sorted = calloc((size_t)n, sizeof *sorted);
    double *y = calloc((size_t)(lines * stretches), sizeof *y);
    if (!sorted || !y) {
        free(sorted);
        free(y);
        return vt_error(VT_ENOMEM, "out of memory");
    }
    vt_plot_line plotted[MOST_LINES];
    char names[MOST_LINES][32], path[4400];
    for (int64_t k = 0; k < stretches; k++) {
        memcpy(sorted, values + k * n, (size_t)n * sizeof *sorted);
        if (n > MOST_LINES) qsort(sorted, (size_t)n, sizeof *sorted, ascending);
        for (int i = 0; i < lines; i++)
            y[i * stretches + k] = sorted[n > MOST_LINES ? (n - 1) * (i + 1) / 4 : i];
    }
    for (int i = 0; i < lines; i++) {
        static const char *const quartiles[] = {"lower quartile", "median", "upper quartile"};
        snprintf(names[i], sizeof names[i], "neuron %d", i);
        plotted[i] =
            (vt_plot_line){n > MOST_LINES ? quartiles[i] : names[i], y + i * stretches, stretches};
    }
    path_in(path, sizeof path, r, name);
    vt_status status = vt_plot_lines(
        path, &(vt_plot_options){.x_label = "stretch", .y_label = label}, plotted, lines);
    free(sorted);
    free(y);
    return status;
}

vt_status distill_draw(const distill_request *r, const vt_distill_report *report)
{
    VT_TRY(vt_plot_check());
    VT_TRY(draw_one(r, "r.svg", "r with the teacher, held-out images", report, report->r));
    return draw_one(r, "loss.svg", "loss", report, report->loss);
}

/* ---- results ---- */

static int print_json(const distill_request *r, const distill_students *s,
                      const vt_teacher *teacher, const vt_distill_report *report)
{
    json_t *neurons = json_array();
    const double *loss = report->loss + (report->stretches - 1) * report->neurons;
    const double *last = report->r + (report->stretches - 1) * report->neurons;
    int64_t at = 0;
    for (int i = 0; i < s->count; i++) {
        char file[160];
        file_of(file, sizeof file, s, teacher, i);
        for (int64_t k = 0; k < vt_model_outputs(s->list[i].model); k++, at++) {
            const vt_teacher_neuron *n = vt_teacher_neuron_at(teacher, s->neurons[at]);
            json_array_append_new(neurons,
                                  json_pack("{s:s, s:I, s:s, s:o, s:o}", "session", n->session,
                                            "neuron", (json_int_t)n->neuron, "model", file, "loss",
                                            cli_number(loss[at]), "r", cli_number(last[at])));
        }
    }
    return cli_print_json(
        json_pack("{s:s, s:i, s:I, s:I, s:i, s:o, s:o, s:f, s:b}", "output", r->output, "students",
                  s->count, "images", (json_int_t)report->trained, "held_out",
                  (json_int_t)report->held_out, "stretches", report->stretches, "neurons", neurons,
                  "median_r", cli_number(vt_median(last, report->neurons)), "processor_seconds",
                  report->processor_seconds, "resumed", (int)report->resumed));
}

int distill_print(const distill_request *r, const distill_students *s, const vt_teacher *teacher,
                  const vt_distill_report *report)
{
    if (cli_options.json) return print_json(r, s, teacher, report);
    const double *loss = report->loss + (report->stretches - 1) * report->neurons;
    const double *last = report->r + (report->stretches - 1) * report->neurons;
    printf("%s: %d student%s of %lld neuron%s, %lld images to train on, %lld held out, %.0f "
           "processor seconds\n",
           r->output, s->count, s->count == 1 ? "" : "s", (long long)report->neurons,
           report->neurons == 1 ? "" : "s", (long long)report->trained, (long long)report->held_out,
           report->processor_seconds);
    puts("neuron                  loss       r");
    for (int64_t i = 0; i < report->neurons; i++) {
        distill_name name;
        distill_name_of(name, teacher, s->neurons[i]);
        printf("%-20s %7.4f %7.4f\n", name, loss[i], last[i]);
    }
    printf("median r %.4f\n", vt_median(last, report->neurons));
    return cli_finish();
}
