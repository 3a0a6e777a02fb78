/* ventral attack: a classifier's accuracy on images changed to fool it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"

enum { EPSILONS = 16 };

typedef struct request {
    char *images, *network, *transform, *norm, *epsilons;
    int steps, from_image, limit, batch;
    double step;
} request;

static vt_status parse_epsilons(double *out, int *count, const char *text)
{
    const char *list = text;
    *count = 0;
    do {
        char *end;
        double e = strtod(list, &end);
        if (end == list || !(e > 0) || *count == EPSILONS || (*end && *end != ','))
            return vt_error(VT_EINVAL, "--epsilon %s: up to %d numbers above 0 such as 1,2,4", text,
                            EPSILONS);
        out[(*count)++] = e;
        list = *end ? end + 1 : end;
    } while (*list);
    return VT_OK;
}

/* Sizes on the command line are grey levels for Linf and lengths in the range 0 to 1 for L2, as the
 * literature has them. */
static vt_status parse_attack(vt_attack *out, const request *r)
{
    *out = (vt_attack){.steps = r->steps,
                       .random_start = r->steps > 1 && !r->from_image,
                       .seed = (uint64_t)cli_options.seed};
    if (!r->norm || strcmp(r->norm, "linf") == 0)
        out->norm = VT_NORM_LINF;
    else if (strcmp(r->norm, "l2") == 0)
        out->norm = VT_NORM_L2;
    else
        return vt_error(VT_EINVAL, "--norm %s: linf or l2", r->norm);
    return VT_OK;
}

static int report(const request *r, const vt_attack *attack, const vt_accuracy *results,
                  const double *epsilons, int count)
{
    bool linf = attack->norm == VT_NORM_LINF;
    const char *unit = linf ? "grey levels" : "of the range 0 to 1";
    if (!cli_options.json) {
        cli_print_accuracy("unchanged", &results[0]);
        for (int i = 1; i < count; i++) {
            char what[64];
            snprintf(what, sizeof what, "%s, %s %g", r->steps > 1 ? "PGD" : "FGSM",
                     linf ? "Linf" : "L2", epsilons[i]);
            cli_print_accuracy(what, &results[i]);
        }
        return cli_finish();
    }
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        json_t *entry = cli_accuracy_json(&results[i]);
        json_object_set_new(entry, "epsilon", json_real(epsilons[i]));
        json_array_append_new(list, entry);
    }
    return cli_print_json(json_pack("{s:s, s:s, s:i, s:b, s:o}", "norm", linf ? "linf" : "l2",
                                    "unit", unit, "steps", r->steps, "random_start",
                                    (int)attack->random_start, "results", list));
}

static vt_status attack_all(vt_accuracy *results, const double *epsilons, int count,
                            vt_model *model, vt_dataset *images, const request *r,
                            const vt_attack *attack)
{
    cli_recipe recipe;
    vt_status status = cli_find_recipe(&recipe, r->transform);
    for (int i = 0; i < count && status == VT_OK; i++) {
        cli_progress progress;
        char what[32] = "attack";
        if (i > 0) snprintf(what, sizeof what, "attack %g", epsilons[i]);
        vt_attack a = *attack;
        double unit = attack->norm == VT_NORM_LINF ? 1.0 / 255 : 1;
        a.epsilon = epsilons[i] * unit;
        a.step = r->step * unit;
        vt_evaluate_options o = {.transform = recipe.validation,
                                 .batch = r->batch,
                                 .attack = i > 0 ? &a : NULL,
                                 .limit = r->limit,
                                 .progress = cli_progress_start(&progress, what)};
        status = vt_evaluate_classifier(&results[i], model, images, &o);
        cli_progress_end(&progress);
    }
    return status;
}

static int run(const request *r, const char *path)
{
    double epsilons[EPSILONS + 1] = {0};
    vt_accuracy results[EPSILONS + 1];
    int count = 0;
    vt_attack attack;
    vt_model *model = NULL;
    vt_dataset *images = NULL;
    vt_status status = parse_epsilons(epsilons + 1, &count, r->epsilons ? r->epsilons : "1,2,4,8");
    count++;
    if (status == VT_OK) status = parse_attack(&attack, r);
    if (status == VT_OK) status = vt_resnet_read(&model, path, r->network);
    if (status == VT_OK) status = vt_dataset_open(&images, r->images, VT_PART_VALIDATION);
    if (status == VT_OK) status = attack_all(results, epsilons, count, model, images, r, &attack);
    vt_model_free(model);
    vt_dataset_close(images);
    return status == VT_OK ? report(r, &attack, results, epsilons, count) : cli_fail();
}

int cmd_attack(int argc, const char **argv)
{
    request r = {.steps = 10, .batch = 128};
    struct poptOption table[] = {
        {"images", 'i', POPT_ARG_STRING, &r.images, 0, "Images in folders of classes, see train",
         "PATH"},
        {"epsilon", 'e', POPT_ARG_STRING, &r.epsilons, 0,
         "Largest changes: grey levels for linf, lengths for l2 (default: 1,2,4,8)", "A,B"},
        {"norm", 0, POPT_ARG_STRING, &r.norm, 0, "linf (default) or l2", "WHICH"},
        {"steps", 's', POPT_ARG_INT, &r.steps, 0,
         "1: FGSM; more: PGD from a random start (default: 10)", "N"},
        {"step", 0, POPT_ARG_DOUBLE, &r.step, 0,
         "Size of a step (default: epsilon for one, else 2.5 epsilon / steps)", "X"},
        {"no-random-start", 0, POPT_ARG_NONE, &r.from_image, 0, "PGD starts from the image itself",
         NULL},
        {"limit", 0, POPT_ARG_INT, &r.limit, 0, "Only so many images, evenly spaced", "N"},
        {"batch", 'b', POPT_ARG_INT, &r.batch, 0, "Images at a time (default: 128)", "N"},
        CLI_NETWORK(&r.network),
        CLI_RECIPE(&r.transform),
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "MODEL --images PATH");
    if (!context) return CLI_MISUSED;
    int operand_count, code;
    const char **operands = cli_operands(context, &operand_count);
    if (operand_count != 1)
        code = cli_misuse("attack: one model is needed");
    else if (!r.images)
        code = cli_misuse("attack: --images is needed");
    else if (r.steps < 1 || r.batch < 1)
        code = cli_misuse("attack: --steps and --batch: at least 1 is needed");
    else if (r.limit < 0 || !(r.step >= 0))
        code = cli_misuse("attack: --limit and --step cannot be negative");
    else
        code = run(&r, operands[0]);
    char *const texts[] = {r.images, r.network, r.transform, r.norm, r.epsilons};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    poptFreeContext(context);
    return code;
}
