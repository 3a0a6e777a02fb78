/* ventral train: a classifier from images. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"

/* What was asked for, as it stands on the command line. */
typedef struct request {
    char *images, *network, *formulation, *output, *from, *transform, *schedule, *milestones;
    double width, rate, momentum, decay, epsilon, save_seconds;
    int epochs, batch, replays, freeze, bf16;
} request;

static vt_status parse_milestones(vt_schedule *out, const char *text)
{
    const char *list = text;
    do {
        char *end;
        double epoch = strtod(list, &end);
        if (end == list || !(epoch > 0) || out->milestone_count == 8 || (*end && *end != ','))
            return vt_error(VT_EINVAL, "--milestones %s: up to 8 epochs such as 60,80 are needed",
                            text);
        out->milestones[out->milestone_count++] = epoch;
        list = *end ? end + 1 : end;
    } while (*list);
    return VT_OK;
}

static vt_status parse_schedule(vt_schedule *out, const request *r)
{
    const char *kind = r->schedule ? r->schedule : "step";
    *out = (vt_schedule){.rate = r->rate, .factor = 0.1, .epochs = r->epochs};
    if (strcmp(kind, "step") == 0) {
        out->kind = VT_SCHEDULE_STEP;
        return parse_milestones(out, r->milestones ? r->milestones : "60,80");
    }
    if (r->milestones) return vt_error(VT_EINVAL, "--milestones are those of --schedule step");
    if (strcmp(kind, "cosine") == 0) {
        out->kind = VT_SCHEDULE_COSINE;
        out->warmup = 0.05 * r->epochs;
    } else if (strcmp(kind, "constant") == 0) {
        out->kind = VT_SCHEDULE_CONSTANT;
    } else {
        return vt_error(VT_EINVAL, "--schedule %s: step, cosine or constant", kind);
    }
    return VT_OK;
}

/* Copies into `to` what `from` has under the same name and in the same size; a last layer for other
 * classes stays as it is. */
static vt_status take_weights(vt_model *to, vt_model *from)
{
    vt_graph *target = vt_model_graph(to);
    bool other_classes = vt_model_outputs(to) != vt_model_outputs(from);
    for (int i = 0; i < vt_graph_param_count(target); i++) {
        vt_param *param = vt_graph_param(target, i);
        const vt_param *source = vt_graph_find_param(vt_model_graph(from), param->name);
        if (other_classes && strncmp(param->name, "fc.", 3) == 0) continue;
        if (!source || vt_tensor_bytes(&source->value) != vt_tensor_bytes(&param->value))
            return vt_error(VT_EINVAL, "%s: it is another network: it has no %s of this size",
                            vt_model_label(from), param->name);
        memcpy(param->value.data, source->value.data, vt_tensor_bytes(&param->value));
    }
    vt_graph_touch(target);
    return VT_OK;
}

/* The network to train: a new one, or one that was trained before, with a head for these classes.
 */
static vt_status make_network(vt_model **out, const request *r, int classes)
{
    vt_resnet_options options = {.width = r->width};
    vt_model *source = NULL, *model = NULL;
    vt_status status = VT_OK;
    if (r->from) {
        status = vt_resnet_read(&source, r->from, r->network);
        if (status == VT_OK) status = vt_model_resnet_options(source, &options);
    } else {
        status = vt_resnet_parse_name(&options, r->network);
        if (status == VT_OK) status = cli_find_formulation(&options.formulation, r->formulation);
    }
    options.classes = classes;
    options.seed = (uint64_t)cli_options.seed;
    if (status == VT_OK) status = vt_resnet_new(&model, &options);
    if (status == VT_OK && source) status = take_weights(model, source);
    vt_model_free(source);
    if (status == VT_OK)
        *out = model;
    else
        vt_model_free(model);
    return status;
}

static vt_status draw(const request *r, const vt_train_report *report)
{
    VT_TRY(vt_plot_check());
    int n = report->epochs;
    double *values = calloc((size_t)n * 4, sizeof *values);
    if (!values) return vt_error(VT_ENOMEM, "out of memory");
    for (int e = 0; e < n; e++) {
        const vt_train_epoch *h = &report->history[e];
        values[e] = h->loss;
        values[n + e] = h->validation_loss;
        values[2 * n + e] = 100 * h->top1;
        values[3 * n + e] = 100 * h->validation_top1;
    }
    vt_plot_line losses[] = {{"training", values, n}, {"validation", values + n, n}};
    vt_plot_line accuracies[] = {{"training", values + 2 * n, n},
                                 {"validation", values + 3 * n, n}};
    char path[1100];
    snprintf(path, sizeof path, "%s/loss.svg", r->output);
    vt_status status = vt_plot_lines(
        path, &(vt_plot_options){.x_label = "epoch", .y_label = "cross-entropy"}, losses, 2);
    snprintf(path, sizeof path, "%s/accuracy.svg", r->output);
    if (status == VT_OK)
        status = vt_plot_lines(path, &(vt_plot_options){.x_label = "epoch", .y_label = "top-1 (%)"},
                               accuracies, 2);
    free(values);
    return status;
}

static int print_report(const request *r, const vt_model *model, const vt_train_report *report)
{
    const vt_train_epoch *best = &report->history[report->best_epoch - 1];
    const vt_train_epoch *last = &report->history[report->epochs - 1];
    vt_resnet_options options;
    char name[64] = "";
    if (vt_model_resnet_options(model, &options) == VT_OK)
        vt_resnet_name(&options, name, sizeof name);
    if (cli_options.json)
        return cli_print_json(json_pack(
            "{s:s, s:s, s:I, s:i, s:i, s:f, s:f, s:f, s:f, s:I, s:b}", "output", r->output,
            "network", name, "parameters", (json_int_t)vt_model_parameters(model), "epochs",
            report->epochs, "best_epoch", report->best_epoch, "best_top1", best->validation_top1,
            "best_top5", best->validation_top5, "last_top1", last->validation_top1, "train_loss",
            last->loss, "skipped", (json_int_t)last->skipped, "resumed", (int)report->resumed));
    printf("%s: %s, %lld parameters, %d epochs\n", r->output, name,
           (long long)vt_model_parameters(model), report->epochs);
    printf("validation top-1 %.2f %%, top-5 %.2f %% (epoch %d, best.safetensors); at the end %.2f "
           "%%\n",
           100 * best->validation_top1, 100 * best->validation_top5, report->best_epoch,
           100 * last->validation_top1);
    if (last->skipped > 0)
        printf("%.0f images could not be read in the last epoch\n", last->skipped);
    return cli_finish();
}

static int train(const request *r, vt_model *model, vt_train_options *o)
{
    vt_train_report report;
    cli_progress progress;
    o->progress = cli_progress_start(&progress, "train");
    vt_status status = vt_train_classifier(&report, model, o);
    cli_progress_end(&progress);
    if (status == VT_EINTERRUPTED) {
        cli_note("ventral: stopped; the same command goes on from %s/checkpoint.safetensors",
                 r->output);
        return CLI_FAILED;
    }
    if (status != VT_OK) return cli_fail();
    if (draw(r, &report) != VT_OK) cli_note("ventral: no figures: %s", vt_error_message());
    int code = print_report(r, model, &report);
    vt_train_report_free(&report);
    return code;
}

static int run(const request *r)
{
    vt_model *model = NULL;
    cli_recipe recipe;
    vt_train_options o = {.epochs = r->epochs,
                          .batch = r->batch,
                          .momentum = r->momentum,
                          .weight_decay = r->decay,
                          .no_momentum = r->momentum == 0,
                          .no_weight_decay = r->decay == 0,
                          .replays = r->replays,
                          .free_epsilon = r->epsilon / 255,
                          .frozen_body = r->freeze,
                          .bf16 = r->bf16,
                          .seed = (uint64_t)cli_options.seed,
                          .folder = r->output,
                          .save_seconds = r->save_seconds};
    int code = CLI_FAILED;
    vt_status status = cli_find_recipe(&recipe, r->transform);
    if (status == VT_OK) status = parse_schedule(&o.schedule, r);
    if (status == VT_OK) status = vt_dataset_open(&o.train, r->images, VT_PART_TRAIN);
    if (status == VT_OK) status = vt_dataset_open(&o.validation, r->images, VT_PART_VALIDATION);
    if (status == VT_OK) status = make_network(&model, r, vt_dataset_classes(o.train));
    if (status == VT_OK) {
        o.train_transform = recipe.train;
        o.validation_transform = recipe.validation;
        code = train(r, model, &o);
    } else {
        code = cli_fail();
    }
    vt_model_free(model);
    vt_dataset_close(o.train);
    vt_dataset_close(o.validation);
    return code;
}

static int check(const request *r)
{
    if (!r->images || !r->output) return cli_misuse("train: --images and --output are needed");
    if (!r->network && !r->from) return cli_misuse("train: --network (or --from) is needed");
    if (r->from && (r->formulation || r->width != 0))
        return cli_misuse("train: --formulation and --width are those of the network of --from");
    if (r->epochs < 1 || r->batch < 1)
        return cli_misuse("train: --epochs and --batch: at least 1 is needed");
    if (!(r->rate > 0) || !(r->save_seconds > 0))
        return cli_misuse("train: --rate and --save-every must be above 0");
    if (!(r->momentum >= 0) || !(r->decay >= 0) || !(r->width >= 0))
        return cli_misuse("train: --momentum, --weight-decay and --width cannot be negative");
    if ((r->replays != 0) != (r->epsilon != 0))
        return cli_misuse("train: --free and --epsilon belong together");
    if (r->replays != 0 && (r->replays < 1 || !(r->epsilon > 0)))
        return cli_misuse("train: --free needs at least 1 replay, and --epsilon above 0");
    return CLI_DONE;
}

int cmd_train(int argc, const char **argv)
{
    request r = {.epochs = 100,
                 .batch = 128,
                 .rate = 0.1,
                 .momentum = 0.9,
                 .decay = 1e-5,
                 .save_seconds = 300};
    struct poptOption table[] = {
        {"images", 'i', POPT_ARG_STRING, &r.images, 0,
         "Tiny-ImageNet as zip or folder, ImageNet, or folders of classes in train/ and val/",
         "PATH"},
        CLI_NETWORK(&r.network),
        {"output", 'o', POPT_ARG_STRING, &r.output, 0, "Folder of the run's files", "DIR"},
        {"formulation", 0, POPT_ARG_STRING, &r.formulation, 0,
         "How V1 components compute: described (default) or released", "WHICH"},
        {"width", 'w', POPT_ARG_DOUBLE, &r.width, 0, "Channels times this (default: 1)", "X"},
        {"from", 0, POPT_ARG_STRING, &r.from, 0, "Start from this network's weights", "MODEL"},
        {"freeze", 0, POPT_ARG_NONE, &r.freeze, 0, "Only the last layer learns", NULL},
        CLI_RECIPE(&r.transform),
        {"epochs", 'e', POPT_ARG_INT, &r.epochs, 0, "Passes over the images (default: 100)", "N"},
        {"batch", 'b', POPT_ARG_INT, &r.batch, 0, "Images a step (default: 128)", "N"},
        {"rate", 'r', POPT_ARG_DOUBLE, &r.rate, 0, "Learning rate (default: 0.1)", "X"},
        {"schedule", 0, POPT_ARG_STRING, &r.schedule, 0,
         "step (default), cosine with warm-up, or constant", "WHICH"},
        {"milestones", 0, POPT_ARG_STRING, &r.milestones, 0,
         "Epochs after which step divides the rate by ten (default: 60,80)", "A,B"},
        {"momentum", 0, POPT_ARG_DOUBLE, &r.momentum, 0, "Momentum (default: 0.9)", "X"},
        {"weight-decay", 0, POPT_ARG_DOUBLE, &r.decay, 0, "Weight decay (default: 0.00001)", "X"},
        {"free", 0, POPT_ARG_INT, &r.replays, 0, "Free adversarial training: replays of a batch",
         "M"},
        {"epsilon", 0, POPT_ARG_DOUBLE, &r.epsilon, 0, "Largest change of --free, in grey levels",
         "X"},
        {"bf16", 0, POPT_ARG_NONE, &r.bf16, 0, "bfloat16 products where the processor has them",
         NULL},
        {"save-every", 0, POPT_ARG_DOUBLE, &r.save_seconds, 0,
         "Seconds between checkpoints within an epoch (default: 300)", "S"},
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "--images PATH --network NAME --output DIR");
    if (!context) return CLI_MISUSED;
    int operand_count, code;
    cli_operands(context, &operand_count);
    code = operand_count > 0 ? cli_misuse("train: takes no operands") : check(&r);
    if (code == CLI_DONE) code = run(&r);
    char *const texts[] = {r.images, r.network,   r.formulation, r.output,
                           r.from,   r.transform, r.schedule,    r.milestones};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    poptFreeContext(context);
    return code;
}
