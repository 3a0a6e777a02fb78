/* ventral ensemble: several networks of neurons from recordings, or their readout of new neurons.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models.h"
#include "readouts.h"
#include "streams.h"

typedef struct ensemble_request {
    char *recordings, *sessions, *validate, *output, *core, *front, *network, *tap, *stem, *cache,
        *training, *readout;
    double rate, blur;
    int members, channels, blocks, epochs, batch, patience, keep;
} ensemble_request;

static bool by_visits(const ensemble_request *r)
{
    return r->training && strcmp(r->training, "paper") == 0;
}

static double best_validation(const vt_fit_report *fit)
{
    return fit->history[fit->best_epoch - 1].validation;
}

/* `sessions`: of visits; NULL for epochs. */
static json_t *member_json(const vt_fit_report *fit, const vt_fit_session *sessions)
{
    const char *round = sessions ? "visit" : "epoch";
    json_t *history = json_array();
    for (int e = 0; e < fit->epochs; e++) {
        const vt_fit_epoch *one = &fit->history[e];
        json_t *entry = json_pack("{s:i, s:o, s:o}", round, e + 1, "loss", cli_number(one->loss),
                                  "validation", cli_number(one->validation));
        if (sessions) {
            json_object_set_new(entry, "session", json_string(sessions[one->session].id));
            json_object_set_new(entry, "passes", json_integer(one->passes));
        }
        json_array_append_new(history, entry);
    }
    return json_pack("{s:i, s:i, s:b, s:o, s:o}", sessions ? "visits" : "epochs", fit->epochs,
                     sessions ? "best_visit" : "best_epoch", fit->best_epoch, "resumed",
                     (int)fit->resumed, "validation", cli_number(best_validation(fit)), "history",
                     history);
}

static int print_report(const vt_ensemble_report *report, const vt_model *model, const char *output,
                        const vt_fit_session *sessions)
{
    const vt_fit_report *first = &report->fits[0];
    if (!cli_options.json) {
        printf("%s: %d members, %lld neurons%s, %lld parameters, %lld images\n", output,
               report->members, (long long)first->neurons, sessions ? " (none kept)" : "",
               (long long)vt_model_parameters(model), (long long)first->images);
        printf("member  %s kept    loss  validation r\n", sessions ? "visit" : "epoch");
        for (int i = 0; i < report->members; i++) {
            const vt_fit_report *fit = &report->fits[i];
            printf("%6d  %4d of %2d  %.4f", i, fit->best_epoch, fit->epochs,
                   fit->history[fit->best_epoch - 1].loss);
            if (isfinite(best_validation(fit))) printf("  %.4f", best_validation(fit));
            putchar('\n');
        }
        return cli_finish();
    }
    json_t *members = json_array();
    for (int i = 0; i < report->members; i++)
        json_array_append_new(members, member_json(&report->fits[i], sessions));
    return cli_print_json(json_pack("{s:s, s:I, s:I, s:I, s:o}", "output", output, "neurons",
                                    (json_int_t)first->neurons, "images", (json_int_t)first->images,
                                    "parameters", (json_int_t)vt_model_parameters(model), "members",
                                    members));
}

static int fit_all(const ensemble_request *request, vt_ensemble_fit_options *options)
{
    vt_model *model;
    vt_ensemble_report report;
    cli_progress progress;
    options->fit.progress = cli_progress_start(&progress, "ensemble");
    vt_status status = vt_ensemble_fit(&model, &report, options);
    cli_progress_end(&progress);
    if (status == VT_EINTERRUPTED) {
        cli_note("ventral: stopped; the same command goes on from %s.0 and on",
                 options->fit.checkpoint);
        return CLI_FAILED;
    }
    if (status != VT_OK) return cli_fail();
    int code = CLI_FAILED;
    if (vt_model_write(model, request->output) != VT_OK) {
        cli_fail();
    } else {
        if (!request->keep) vt_ensemble_remove_checkpoints(options->fit.checkpoint, report.members);
        code = print_report(&report, model, request->output,
                            by_visits(request) ? options->fit.sessions : NULL);
    }
    vt_ensemble_report_free(&report);
    vt_model_free(model);
    return code;
}

/* With the front end open and the checkpoints named. */
static int train(const ensemble_request *request, vt_ensemble_fit_options *options)
{
    vt_model *front = NULL;
    if (request->front && cli_model_read(&front, request->front, request->network) != VT_OK)
        return cli_fail();
    options->front = front;
    char *checkpoint = malloc(strlen(request->output) + sizeof ".checkpoint");
    if (checkpoint) sprintf(checkpoint, "%s.checkpoint", request->output);
    options->fit.checkpoint = checkpoint;
    int code = checkpoint ? fit_all(request, options) : CLI_FAILED;
    free(checkpoint);
    vt_model_free(front);
    return code;
}

/* "16,32" */
static vt_status parse_stem(int *out, const char *text)
{
    char end;
    if (!text || (sscanf(text, "%d,%d%c", &out[0], &out[1], &end) == 2 && out[0] > 0 && out[1] > 0))
        return VT_OK;
    return vt_error(VT_EINVAL, "--stem '%s': two numbers are needed, as 16,32", text);
}

static int run(const ensemble_request *request)
{
    vt_fit_session sessions[VT_FIT_SESSIONS], validation;
    vt_ensemble_fit_options options = {.training = by_visits(request) ? VT_TRAINING_PAPER
                                                                      : VT_TRAINING_JOINT,
                                       .shape = {.members = request->members,
                                                 .channels = request->channels,
                                                 .blocks = request->blocks},
                                       .tap = request->tap,
                                       .cache = request->cache,
                                       .fit = {.recordings = request->recordings,
                                               .sessions = sessions,
                                               .epochs = request->epochs,
                                               .batch = request->batch,
                                               .rate = request->rate,
                                               .blur = request->blur,
                                               .patience = request->patience,
                                               .seed = (uint64_t)cli_options.seed}};
    vt_fit_options *fit = &options.fit;
    vt_status status = cli_check_output(request->output);
    if (status == VT_OK) status = parse_stem(options.shape.stem, request->stem);
    if (status == VT_OK)
        status = cli_sessions_parse(sessions, &fit->session_count, request->recordings,
                                    request->sessions);
    if (status == VT_OK && request->validate) {
        status = cli_session_parse(&validation, request->recordings, request->validate);
        fit->validation = &validation;
    }
    if (status != VT_OK) return cli_fail();
    return request->core
               ? cli_fit_readout(request->core, fit, request->readout, request->output, "ensemble")
               : train(request, &options);
}

/* What no file decides. */
static int check(const ensemble_request *r)
{
    if (!r->recordings || !r->sessions || !r->output)
        return cli_misuse("ensemble: --recordings, --sessions and --output are needed");
    if (!r->front != !r->tap)
        return cli_misuse("ensemble: --front and --tap are needed both or neither");
    if (r->front && r->stem) return cli_misuse("ensemble: --front leaves no place for --stem");
    if (r->members < 1 || r->members > VT_ENSEMBLE_MEMBERS)
        return cli_misuse("ensemble: --members %d: 1 to %d are possible", r->members,
                          VT_ENSEMBLE_MEMBERS);
    if (r->core && (r->front || r->validate || r->stem))
        return cli_misuse("ensemble: --core keeps the networks: no --front, --stem, --validate");
    if (r->training && !by_visits(r) && strcmp(r->training, "joint") != 0)
        return cli_misuse("ensemble: --training '%s': joint or paper is possible", r->training);
    if (r->core && r->training)
        return cli_misuse("ensemble: --core keeps the networks: no --training");
    if (r->readout && !r->core)
        return cli_misuse("ensemble: --readout is of a mapping: --core is needed");
    if (by_visits(r) && r->blur != 0)
        return cli_misuse("ensemble: --training paper blurs no kernels: no --blur");
    if (r->cache && !r->front)
        return cli_misuse("ensemble: --cache keeps features of a front end: --front is needed");
    return CLI_DONE;
}

int cmd_ensemble(int argc, const char **argv)
{
    ensemble_request r = {.members = 5};
    struct poptOption table[] = {
        {"recordings", 'R', POPT_ARG_STRING, &r.recordings, 0, "Folder of recordings", "DIR"},
        {"sessions", 's', POPT_ARG_STRING, &r.sessions, 0,
         "Sessions to learn; a range is A:B, first or second", "ID[:RANGE],..."},
        {"validate", 'v', POPT_ARG_STRING, &r.validate, 0,
         "Session that chooses each member's best epoch, by ridge regression on its map",
         "ID[:RANGE]"},
        {"output", 'o', POPT_ARG_STRING, &r.output, 0, "The ensemble", "FILE.safetensors"},
        {"training", 0, POPT_ARG_STRING, &r.training, 0,
         "All sessions mixed, or one after the other as the V4 paper has it (default: joint)",
         "joint|paper"},
        {"core", 'c', POPT_ARG_STRING, &r.core, 0,
         "Keep this ensemble's networks, fit readouts of one session's neurons", "ENSEMBLE"},
        {"readout", 0, POPT_ARG_STRING, &r.readout, 0,
         "Of --core: ridge, or factorized into mixing and pool (default: factorized)",
         "ridge|factorized"},
        {"members", 'm', POPT_ARG_INT, &r.members, 0, "Networks (default: 5)", "N"},
        {"front", 0, POPT_ARG_STRING, &r.front, 0,
         "Model whose first layers, frozen, the members share (default: stems on pixels)", "MODEL"},
        {"tap", 0, POPT_ARG_STRING, &r.tap, 0, "Its node that the members go on from", "NODE"},
        {"network", 'n', POPT_ARG_STRING, &r.network, 0,
         "What network the front end's weights are, where their file does not tell", "NAME"},
        {"cache", 0, POPT_ARG_STRING, &r.cache, 0,
         "File of the front end's features, made or extended", "FILE"},
        {"stem", 0, POPT_ARG_STRING, &r.stem, 0,
         "Filters of the two layers on pixels (default: 16,32)", "N,N"},
        {"channels", 0, POPT_ARG_INT, &r.channels, 0,
         "Channels of the members' maps (default: 64; with a front end 512)", "N"},
        {"blocks", 0, POPT_ARG_INT, &r.blocks, 0, "Residual blocks (default: 4)", "N"},
        {"epochs", 'e', POPT_ARG_INT, &r.epochs, 0, "Passes over the images (default: 10; paper 5)",
         "N"},
        {"batch", 'b', POPT_ARG_INT, &r.batch, 0, "Images a step (default: 32; paper 64)", "N"},
        {"rate", 0, POPT_ARG_DOUBLE, &r.rate, 0, "Highest learning rate (default: 0.006; paper 2)",
         "X"},
        {"blur", 0, POPT_ARG_DOUBLE, &r.blur, 0,
         "Blur depthwise kernels between epochs, s.d. in pixels (default: none)", "X"},
        {"patience", 0, POPT_ARG_INT, &r.patience, 0,
         "Stop a member after N epochs, or visits, without a better validation score (default: "
         "never)",
         "N"},
        {"keep-checkpoint", 0, POPT_ARG_NONE, &r.keep, 0,
         "Leave FILE.safetensors.checkpoint.0 and on after success", NULL},
        CLI_COMMON};
    poptContext context =
        cli_parse(argc, argv, table, "--recordings DIR --sessions ID[:RANGE],... --output FILE");
    if (!context) return CLI_MISUSED;
    int operand_count, code;
    cli_operands(context, &operand_count);
    code = operand_count > 0 ? cli_misuse("ensemble: takes no operands") : check(&r);
    if (code == CLI_DONE) code = run(&r);
    char *owned[] = {r.recordings, r.sessions, r.validate, r.output, r.core,     r.front,
                     r.network,    r.tap,      r.stem,     r.cache,  r.training, r.readout};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    poptFreeContext(context);
    return code;
}
