/* ventral fit: a model of neurons from recordings, or a readout of new neurons on a fitted core. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models.h"
#include "readouts.h"
#include "streams.h"

typedef struct fit_request {
    char *recordings, *sessions, *validate, *output, *filters, *core;
    double rate, blur;
    int epochs, batch, patience, keep;
} fit_request;

static int print_report(const vt_fit_report *report, const vt_model *model, const char *output)
{
    if (!cli_options.json) {
        printf("%s: %lld neurons, %lld parameters, %lld images, epoch %d of %d kept\n", output,
               (long long)report->neurons, (long long)vt_model_parameters(model),
               (long long)report->images, report->best_epoch, report->epochs);
        puts("epoch    loss  validation r");
        for (int e = 0; e < report->epochs; e++) {
            printf("%5d  %.4f", e + 1, report->history[e].loss);
            if (isfinite(report->history[e].validation))
                printf("  %.4f", report->history[e].validation);
            putchar('\n');
        }
        return cli_finish();
    }
    json_t *history = json_array();
    for (int e = 0; e < report->epochs; e++)
        json_array_append_new(history, json_pack("{s:i, s:o, s:o}", "epoch", e + 1, "loss",
                                                 cli_number(report->history[e].loss), "validation",
                                                 cli_number(report->history[e].validation)));
    return cli_print_json(
        json_pack("{s:s, s:I, s:I, s:I, s:i, s:i, s:b, s:o}", "output", output, "neurons",
                  (json_int_t)report->neurons, "images", (json_int_t)report->images, "parameters",
                  (json_int_t)vt_model_parameters(model), "epochs", report->epochs, "best_epoch",
                  report->best_epoch, "resumed", (int)report->resumed, "history", history));
}

static int fit_whole(const fit_request *request, vt_fit_options *options, const char *checkpoint)
{
    vt_model *model;
    vt_fit_report report;
    cli_progress progress;
    options->checkpoint = checkpoint;
    options->progress = cli_progress_start(&progress, "fit");
    vt_status status = vt_fit(&model, &report, options);
    cli_progress_end(&progress);
    if (status == VT_EINTERRUPTED) {
        cli_note("ventral: stopped; the same command goes on from %s", checkpoint);
        return CLI_FAILED;
    }
    if (status != VT_OK) return cli_fail();
    int code = CLI_FAILED;
    if (vt_model_write(model, request->output) != VT_OK) {
        cli_fail();
    } else {
        if (!request->keep) unlink(checkpoint);
        code = print_report(&report, model, request->output);
    }
    vt_fit_report_free(&report);
    vt_model_free(model);
    return code;
}

static int run(const fit_request *request)
{
    vt_fit_session sessions[VT_FIT_SESSIONS], validation;
    vt_fit_options options = {.recordings = request->recordings,
                              .sessions = sessions,
                              .epochs = request->epochs,
                              .batch = request->batch,
                              .rate = request->rate,
                              .blur = request->blur,
                              .patience = request->patience,
                              .seed = (uint64_t)cli_options.seed};
    vt_status status = cli_check_output(request->output);
    if (status == VT_OK && request->filters)
        status = cli_filters_parse(options.filters, request->filters);
    if (status == VT_OK)
        status = cli_sessions_parse(sessions, &options.session_count, request->recordings,
                                    request->sessions);
    if (status == VT_OK && request->validate) {
        status = cli_session_parse(&validation, request->recordings, request->validate);
        options.validation = &validation;
    }
    if (status != VT_OK) return cli_fail();
    if (request->core)
        return cli_fit_readout(request->core, &options, NULL, request->output, "fit");
    char *checkpoint = malloc(strlen(request->output) + sizeof ".checkpoint");
    if (!checkpoint) return CLI_FAILED;
    sprintf(checkpoint, "%s.checkpoint", request->output);
    int code = fit_whole(request, &options, checkpoint);
    free(checkpoint);
    return code;
}

int cmd_fit(int argc, const char **argv)
{
    fit_request r = {0};
    struct poptOption table[] = {
        {"recordings", 'R', POPT_ARG_STRING, &r.recordings, 0, "Folder of recordings", "DIR"},
        {"sessions", 's', POPT_ARG_STRING, &r.sessions, 0,
         "Sessions to fit; a range is A:B, first or second", "ID[:RANGE],..."},
        {"validate", 'v', POPT_ARG_STRING, &r.validate, 0,
         "Session that chooses the best epoch, by ridge regression on the core", "ID[:RANGE]"},
        {"output", 'o', POPT_ARG_STRING, &r.output, 0, "The model", "FILE.safetensors"},
        {"core", 'c', POPT_ARG_STRING, &r.core, 0,
         "Keep this model's convolutional core, fit a readout of one session's neurons", "MODEL"},
        {"filters", 'f', POPT_ARG_STRING, &r.filters, 0,
         "Filters of the five layers (default: 16,32,32,64,64)", "N,N,N,N,N"},
        {"epochs", 'e', POPT_ARG_INT, &r.epochs, 0, "Passes over the images (default: 10)", "N"},
        {"batch", 'b', POPT_ARG_INT, &r.batch, 0, "Images a step (default: 32)", "N"},
        {"rate", 0, POPT_ARG_DOUBLE, &r.rate, 0, "Highest learning rate (default: 0.006)", "X"},
        {"blur", 0, POPT_ARG_DOUBLE, &r.blur, 0,
         "Blur depthwise kernels between epochs, s.d. in pixels (default: none)", "X"},
        {"patience", 0, POPT_ARG_INT, &r.patience, 0,
         "Stop after N epochs without a better validation score (default: never)", "N"},
        {"keep-checkpoint", 0, POPT_ARG_NONE, &r.keep, 0,
         "Leave FILE.safetensors.checkpoint after success", NULL},
        CLI_COMMON};
    poptContext context =
        cli_parse(argc, argv, table, "--recordings DIR --sessions ID[:RANGE],... --output FILE");
    if (!context) return CLI_MISUSED;
    int operand_count, code;
    cli_operands(context, &operand_count);
    if (operand_count > 0)
        code = cli_misuse("fit: takes no operands");
    else if (!r.recordings || !r.sessions || !r.output)
        code = cli_misuse("fit: --recordings, --sessions and --output are needed");
    else
        code = run(&r);
    char *owned[] = {r.recordings, r.sessions, r.validate, r.output, r.filters, r.core};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    poptFreeContext(context);
    return code;
}
