/* ventral evaluate: how well a network classifies images, and corrupted ones. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"

typedef struct request {
    char *images, *corrupted, *network, *transform, *output;
    int batch, limit, bf16;
} request;

/* ---- corrupted images ---- */

/* Mean top-1 over the severities there are, and their number. */
static double mean_of(const vt_corruption_score *s, int *severities)
{
    double sum = 0;
    *severities = 0;
    for (int k = 0; k < VT_SEVERITIES; k++)
        if (s->severity[k].images > 0) {
            sum += s->severity[k].top1;
            ++*severities;
        }
    return sum / *severities;
}

static double mean_of_all(const vt_corruption_score *scores, int count)
{
    double sum = 0;
    int total = 0;
    for (int i = 0; i < count; i++) {
        int severities;
        sum += mean_of(&scores[i], &severities) * severities;
        total += severities;
    }
    return sum / total;
}

static void print_table(const vt_corruption_score *scores, int count)
{
    printf("\ntop-1 in %% at severity      1      2      3      4      5   mean\n");
    for (int i = 0; i < count; i++) {
        int severities;
        printf("%-21s", scores[i].name);
        for (int k = 0; k < VT_SEVERITIES; k++)
            if (scores[i].severity[k].images > 0)
                printf(" %6.2f", 100 * scores[i].severity[k].top1);
            else
                printf("      -");
        printf(" %6.2f\n", 100 * mean_of(&scores[i], &severities));
    }
    printf("%-21s %41.2f\n", "mean", 100 * mean_of_all(scores, count));
}

static json_t *table_json(const vt_corruption_score *scores, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        int severities;
        json_t *levels = json_array();
        for (int k = 0; k < VT_SEVERITIES; k++)
            json_array_append_new(levels, scores[i].severity[k].images > 0
                                              ? cli_accuracy_json(&scores[i].severity[k])
                                              : json_null());
        json_array_append_new(list, json_pack("{s:s, s:f, s:o}", "corruption", scores[i].name,
                                              "mean_top1", mean_of(&scores[i], &severities),
                                              "severities", levels));
    }
    return list;
}

/* The corruptions' families, as their authors group them. */
static const struct {
    const char *name;
    const char *members[5];
} families[] = {
    {"noise", {"gaussian_noise", "shot_noise", "impulse_noise"}},
    {"blur", {"defocus_blur", "glass_blur", "motion_blur", "zoom_blur"}},
    {"weather", {"snow", "frost", "fog"}},
    {"digital", {"brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"}},
    {"all", {NULL}},
};
enum { FAMILIES = sizeof families / sizeof *families };

static bool belongs(const char *name, int family)
{
    if (family == FAMILIES - 1) return true;
    for (int i = 0; i < 5 && families[family].members[i]; i++)
        if (strcmp(name, families[family].members[i]) == 0) return true;
    return false;
}

/* Mean top-1 of a family in % at a severity; NaN where there is none. */
static double family_mean(const vt_corruption_score *scores, int count, int family, int severity)
{
    double sum = 0;
    int members = 0;
    for (int i = 0; i < count; i++)
        if (scores[i].severity[severity].images > 0 && belongs(scores[i].name, family)) {
            sum += 100 * scores[i].severity[severity].top1;
            members++;
        }
    return sum / members;
}

/* A line for each family over severities: fifteen lines would hide each other. */
static vt_status draw(const char *path, const vt_corruption_score *scores, int count)
{
    double values[FAMILIES][VT_SEVERITIES];
    vt_plot_line lines[FAMILIES];
    int drawn = 0;
    for (int f = 0; f < FAMILIES; f++) {
        bool any = false;
        for (int k = 0; k < VT_SEVERITIES; k++) {
            values[f][k] = family_mean(scores, count, f, k);
            any |= isfinite(values[f][k]);
        }
        if (any) lines[drawn++] = (vt_plot_line){families[f].name, values[f], VT_SEVERITIES};
    }
    return vt_plot_lines(path, &(vt_plot_options){.x_label = "severity", .y_label = "top-1 (%)"},
                         lines, drawn);
}

/* ---- the command ---- */

static vt_status evaluate(const request *r, const char *path, vt_accuracy *clean,
                          vt_corruption_score **scores, int *count)
{
    vt_model *model = NULL;
    vt_dataset *images = NULL;
    cli_recipe recipe;
    cli_progress progress;
    VT_TRY(cli_find_recipe(&recipe, r->transform));
    VT_TRY(vt_resnet_read(&model, path, r->network));
    vt_evaluate_options o = {
        .transform = recipe.validation, .batch = r->batch, .limit = r->limit, .bf16 = r->bf16};
    vt_status status = VT_OK;
    if (r->images) {
        o.progress = cli_progress_start(&progress, "evaluate");
        status = vt_dataset_open(&images, r->images, VT_PART_VALIDATION);
        if (status == VT_OK) status = vt_evaluate_classifier(clean, model, images, &o);
        cli_progress_end(&progress);
    }
    if (status == VT_OK && r->corrupted) {
        /* The images are as large as the network's input already. */
        o.transform = vt_transform_tiny_validation;
        o.progress = cli_progress_start(&progress, "evaluate");
        status = vt_evaluate_corruptions(scores, count, model, r->corrupted, &o);
        cli_progress_end(&progress);
    }
    vt_dataset_close(images);
    vt_model_free(model);
    return status;
}

static int report(const request *r, const vt_accuracy *clean, const vt_corruption_score *scores,
                  int count)
{
    if (!cli_options.json) {
        if (r->images) cli_print_accuracy("unchanged", clean);
        if (r->corrupted) print_table(scores, count);
        return cli_finish();
    }
    json_t *root = json_object();
    if (r->images) json_object_set_new(root, "clean", cli_accuracy_json(clean));
    if (r->corrupted) {
        json_object_set_new(root, "corruptions", table_json(scores, count));
        json_object_set_new(root, "mean_top1", json_real(mean_of_all(scores, count)));
    }
    return cli_print_json(root);
}

static int run(const request *r, const char *path)
{
    vt_accuracy clean = {0};
    vt_corruption_score *scores = NULL;
    int count = 0;
    if (r->output && (cli_check_output(r->output) != VT_OK || vt_plot_check() != VT_OK))
        return cli_fail();
    if (evaluate(r, path, &clean, &scores, &count) != VT_OK) return cli_fail();
    int code = report(r, &clean, scores, count);
    if (code == CLI_DONE && r->output && draw(r->output, scores, count) != VT_OK) code = cli_fail();
    free(scores);
    return code;
}

int cmd_evaluate(int argc, const char **argv)
{
    request r = {.batch = 128};
    struct poptOption table[] = {
        {"images", 'i', POPT_ARG_STRING, &r.images, 0, "Validation images of a data set, see train",
         "PATH"},
        {"corrupted", 'c', POPT_ARG_STRING, &r.corrupted, 0,
         "Tree CORRUPTION/SEVERITY/CLASS/IMAGE, such as Tiny-ImageNet-C", "DIR"},
        {"output", 'o', POPT_ARG_STRING, &r.output, 0,
         "Figure of accuracy over severity, .png or .svg", "FILE"},
        CLI_RECIPE(&r.transform),
        CLI_NETWORK(&r.network),
        {"limit", 0, POPT_ARG_INT, &r.limit, 0, "Only so many images of each set, evenly spaced",
         "N"},
        {"batch", 'b', POPT_ARG_INT, &r.batch, 0, "Images at a time (default: 128)", "N"},
        {"bf16", 0, POPT_ARG_NONE, &r.bf16, 0, "bfloat16 products where the processor has them",
         NULL},
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "MODEL [--images PATH] [--corrupted DIR]");
    if (!context) return CLI_MISUSED;
    int operand_count, code;
    const char **operands = cli_operands(context, &operand_count);
    if (operand_count != 1)
        code = cli_misuse("evaluate: one model is needed");
    else if (!r.images && !r.corrupted)
        code = cli_misuse("evaluate: --images or --corrupted is needed");
    else if (r.output && !r.corrupted)
        code = cli_misuse("evaluate: --output draws the accuracy on --corrupted images");
    else if (r.batch < 1)
        code = cli_misuse("evaluate: --batch: at least 1 is needed");
    else if (r.limit < 0)
        code = cli_misuse("evaluate: --limit cannot be negative");
    else
        code = run(&r, operands[0]);
    char *const texts[] = {r.images, r.corrupted, r.network, r.transform, r.output};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    poptFreeContext(context);
    return code;
}
