/* ventral compress: compact models of a session's neurons, from a teacher to the page of results.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress_page.h"
#include "distill_options.h"
#include "models.h"
#include "streams.h"

enum { MOST_SHARED = 64 };

typedef struct compress_request {
    char *session, *neurons, *output, *filters, *form, *shared;
    int group, start, start_only, refit, retrain;
    long long prune_images;
    double retrain_rate, threshold, epsilon;
} compress_request;

/* The images that scores are taken on must not be learned from. */
static vt_status check_stream(const char *session, int64_t images)
{
    vt_fit_session sessions[VT_FIT_SESSIONS];
    int count = 0;
    if (!cli_stream_options.sessions) return VT_OK;
    VT_TRY(cli_sessions_parse(sessions, &count, cli_stream_options.recordings,
                              cli_stream_options.sessions));
    for (int i = 0; i < count; i++)
        if (strcmp(sessions[i].id, session) == 0 &&
            (sessions[i].end == 0 || sessions[i].end > images / 2))
            return vt_error(VT_EINVAL,
                            "--sessions has images of the second half of session %s, which only "
                            "test: say %s:first, or leave it out",
                            session, session);
    return VT_OK;
}

/* "5,10,25" */
static vt_status read_shared(int shared[MOST_SHARED], int *count, const char *text)
{
    for (const char *at = text; at && *at; at += *at == ',') {
        char *end;
        long filters = strtol(at, &end, 10);
        if (end == at || (*end && *end != ',') || filters < 1 || filters > 4096 ||
            *count == MOST_SHARED)
            return vt_error(VT_EINVAL,
                            "--shared '%s': up to %d numbers of filters are needed, as 5,10,25",
                            text, MOST_SHARED);
        shared[(*count)++] = (int)filters;
        at = end;
    }
    return VT_OK;
}

static vt_status read_options(vt_compress_options *o, const compress_request *r)
{
    vt_prune_form form;
    VT_TRY(cli_prune_form_parse(&form, r->form));
    if (r->filters) VT_TRY(cli_filters_parse(o->filters, r->filters));
    o->group = r->group;
    o->start_passes = r->start;
    o->start_only = r->start_only;
    o->prune_images = r->prune_images;
    o->prune = (vt_prune_options){.form = form, .threshold = r->threshold, .refit = r->refit};
    o->distill = cli_distill_asked();
    o->retrain = o->distill;
    if (r->retrain != 0) o->retrain.passes = r->retrain;
    if (r->retrain_rate != 0) o->retrain.rate = r->retrain_rate;
    return VT_OK;
}

/* Teachers say whose neurons they predict; a core does not. */
static void assign(vt_compress_options *o, const cli_models *models)
{
    if (models->count == 1 && vt_model_outputs(models->models[0]) == 0)
        o->core = models->models[0];
    else {
        o->teachers = models->models;
        o->teacher_count = models->count;
    }
}

/* ---- results ---- */

static json_t *interval(const vt_interval *m)
{
    return json_pack("{s:o, s:o, s:o}", "median", cli_number(m->median), "low", cli_number(m->low),
                     "high", cli_number(m->high));
}

static json_t *stage_values(const vt_compress_neuron *n, compress_value value)
{
    json_t *values = json_object();
    for (int s = 0; s < VT_COMPRESS_STAGES; s++) {
        vt_compress_stage stage = (vt_compress_stage)s;
        json_object_set_new(values, vt_compress_stage_name(stage), cli_number(value(n, stage)));
    }
    return values;
}

static json_t *neuron_json(const vt_compress_neuron *n)
{
    json_t *filters = json_array();
    for (int k = 0; k < VT_COMPACT_LAYERS; k++)
        json_array_append_new(filters, json_integer(n->filters[k]));
    json_t *root = json_pack("{s:I, s:o}", "neuron", (json_int_t)n->neuron, "filters", filters);
    for (int m = 0; m < COMPRESS_MEASURES; m++)
        json_object_set_new(root, compress_measures[m].name,
                            stage_values(n, compress_measures[m].value));
    return root;
}

static int print_json(const compress_result *result)
{
    json_t *neurons = json_array(), *medians = json_object();
    for (int64_t i = 0; i < result->report.count; i++)
        json_array_append_new(neurons, neuron_json(&result->report.neurons[i]));
    for (int m = 0; m < COMPRESS_MEASURES; m++) {
        json_t *stages = json_object();
        for (int s = 0; s < VT_COMPRESS_STAGES; s++) {
            vt_interval median;
            vt_compress_stage stage = (vt_compress_stage)s;
            if (compress_median(&median, result, compress_measures[m].value, stage) == VT_OK)
                json_object_set_new(stages, vt_compress_stage_name(stage), interval(&median));
        }
        json_object_set_new(medians, compress_measures[m].name, stages);
    }
    json_t *shared = json_array();
    for (int i = 0; i < result->report.shared_count; i++) {
        const vt_compress_shared *s = &result->report.shared[i];
        json_array_append_new(shared, json_pack("{s:i, s:I, s:o, s:o, s:o}", "filters", s->filters,
                                                "parameters", (json_int_t)s->parameters, "r2",
                                                interval(&s->r2), "r2_er", interval(&s->r2_er),
                                                "r_teacher", interval(&s->r_teacher)));
    }
    return cli_print_json(json_pack("{s:s, s:s, s:f, s:o, s:o, s:o}", "output", result->folder,
                                    "session", result->session, "processor_seconds",
                                    result->report.processor_seconds, "medians", medians, "neurons",
                                    neurons, "shared", shared));
}

static int print_table(const compress_result *result)
{
    puts("neuron  filters               parameters  r teacher  student   pruned  compact"
         "  with teacher");
    for (int64_t i = 0; i < result->report.count; i++) {
        const vt_compress_neuron *n = &result->report.neurons[i];
        printf(
            "%6lld  %3d %3d %3d %3d %3d  %12lld     %6.3f   %6.3f   %6.3f   %6.3f        %6.3f\n",
            (long long)n->neuron, n->filters[0], n->filters[1], n->filters[2], n->filters[3],
            n->filters[4], (long long)n->parameters[VT_COMPRESS_COMPACT], n->r[VT_COMPRESS_TEACHER],
            n->r[VT_COMPRESS_STUDENT], n->r[VT_COMPRESS_PRUNED], n->r[VT_COMPRESS_COMPACT],
            n->r_teacher[VT_COMPRESS_COMPACT]);
    }
    for (int s = 0; s < VT_COMPRESS_STAGES; s++) {
        vt_interval r, taught;
        vt_compress_stage stage = (vt_compress_stage)s;
        if (compress_median(&r, result, compress_r, stage) != VT_OK ||
            compress_median(&taught, result, compress_r_teacher, stage) != VT_OK)
            return cli_fail();
        printf("%-7s  median r %.4f (%.4f to %.4f), with the teacher %.4f (%.4f to %.4f)\n",
               vt_compress_stage_name(stage), r.median, r.low, r.high, taught.median, taught.low,
               taught.high);
    }
    for (int i = 0; i < result->report.shared_count; i++) {
        const vt_compress_shared *s = &result->report.shared[i];
        printf("shared, %d filters: %lld parameters, median r2 %.4f, r with the teacher %.4f\n",
               s->filters, (long long)s->parameters, s->r2.median, s->r_teacher.median);
    }
    printf("%.2f hours of processor time; %s/index.html shows it\n",
           result->report.processor_seconds / 3600, result->folder);
    return cli_finish();
}

static int show(compress_result *result)
{
    if (compress_write_csv(result) != VT_OK) return cli_fail();
    vt_status status = compress_write_page(result);
    if (status == VT_EUNSUPPORTED)
        cli_note("ventral: no page: %s", vt_error_message());
    else if (status != VT_OK)
        return cli_fail();
    return cli_options.json ? print_json(result) : print_table(result);
}

/* ---- the run ---- */

static vt_status compress(vt_compress_report *report, const vt_compress_options *options,
                          vt_session *session)
{
    vt_image_stream *stream;
    vt_session_info info;
    int height, width;
    vt_session_get_info(session, &info);
    VT_TRY(check_stream(info.id, info.images));
    vt_model_image_size(options->core ? options->core : options->teachers[0], &height, &width);
    VT_TRY(cli_stream_open(&stream, height, width));
    vt_status status = vt_compress(report, session, stream, options);
    vt_image_stream_close(stream);
    return status;
}

static int run(const compress_request *request, const cli_models *models)
{
    vt_compress_options options = {.folder = request->output};
    compress_result result = {.folder = request->output, .seed = (uint64_t)cli_options.seed};
    vt_session *session = NULL;
    vt_session_info info = {.images = 0};
    int64_t *neurons = NULL;
    int shared[MOST_SHARED];
    cli_progress progress;
    options.shared = shared;
    assign(&options, models);
    options.progress = cli_progress_start(&progress, "compress");
    vt_status status = read_options(&options, request);
    if (status == VT_OK) status = read_shared(shared, &options.shared_count, request->shared);
    if (status == VT_OK)
        status = vt_session_open(&session, cli_stream_options.recordings, request->session);
    if (status == VT_OK) vt_session_get_info(session, &info);
    if (status == VT_OK && request->neurons) {
        status =
            vt_index_list_parse(&neurons, &options.neuron_count, request->neurons, info.neurons);
        if (status != VT_OK) status = vt_error_context(status, "--neurons");
        options.neurons = neurons;
    }
    if (status == VT_OK) status = compress(&result.report, &options, session);
    cli_progress_end(&progress);
    int code = CLI_FAILED;
    if (status == VT_EINTERRUPTED) {
        cli_note("ventral: stopped; the same command goes on from %s", request->output);
    } else if (status != VT_OK) {
        cli_fail();
    } else {
        result.session = info.id;
        code = show(&result);
    }
    vt_compress_report_free(&result.report);
    free(neurons);
    vt_session_close(session);
    return code;
}

int cmd_compress(int argc, const char **argv)
{
    compress_request r = {0};
    struct poptOption table[] = {
        {"session", 0, POPT_ARG_STRING, &r.session, 0,
         "Session whose neurons are compressed; its second half only tests", "ID"},
        {"neurons", 'n', POPT_ARG_STRING, &r.neurons, 0,
         "Only these neurons, as 0,3,5-9 (default: all that the models predict)", "LIST"},
        {"output", 'o', POPT_ARG_STRING, &r.output, 0, "Folder of models, table and page", "DIR"},
        CLI_STREAM,
        {"filters", 'f', POPT_ARG_STRING, &r.filters, 0,
         "Filters of the students' five layers (default: 100,100,100,100,100)", "N,N,N,N,N"},
        {"group", 'g', POPT_ARG_INT, &r.group, 0, "Neurons trained in one pass (default: 10)", "N"},
        {"start", 0, POPT_ARG_INT, &r.start, 0,
         "Start a group's students from one shared model, trained in N passes (default: each from "
         "random weights)",
         "N"},
        {"start-only", 0, POPT_ARG_NONE, &r.start_only, 0,
         "With --start: prune what students start from, without distilling them", NULL},
        {"retrain", 0, POPT_ARG_INT, &r.retrain, 0,
         "Passes of the pruned models (default: as --passes)", "N"},
        {"retrain-rate", 0, POPT_ARG_DOUBLE, &r.retrain_rate, 0,
         "That of the pruned models (default: as --rate)", "X"},
        {"threshold", 't', POPT_ARG_DOUBLE, &r.threshold, 0,
         "Share of variance that pruning keeps (default: 0.9)", "X"},
        {"refit", 0, POPT_ARG_NONE, &r.refit, 0,
         "Fit the weights that read the filters which stay, instead of copying them", NULL},
        {"form", 0, POPT_ARG_STRING, &r.form, 0,
         "Pruning: corrected (default), or released, which removes one filter more",
         "corrected|released"},
        {"prune-images", 0, POPT_ARG_LONGLONG, &r.prune_images, 0,
         "Images that pruning measures on (default: 5000)", "N"},
        {"shared", 0, POPT_ARG_STRING, &r.shared, 0,
         "Also one model for all neurons, with N filters in layers 0 to 2, for each N", "N,N,..."},
        CLI_DISTILLING,
        CLI_EPSILON(&r.epsilon),
        CLI_COMMON};
    poptContext context =
        cli_parse(argc, argv, table, "MODEL... --recordings DIR --session ID --output DIR");
    if (!context) return CLI_MISUSED;
    int count, code;
    cli_models models;
    const char **operands = cli_operands(context, &count);
    if (count < 1)
        code = cli_misuse("compress: which teacher? Models that predict the session's neurons, or "
                          "one core such as an ensemble");
    else if (!cli_stream_options.recordings || !r.session || !r.output)
        code = cli_misuse("compress: --recordings, --session and --output are needed");
    else if ((code = cli_distill_check("compress")) != CLI_DONE ||
             (code = cli_stream_check("compress", true)) != CLI_DONE)
        ;
    else if (cli_model_folders_open(&models, operands, count, r.epsilon) != CLI_DONE)
        code = cli_fail();
    else {
        code = run(&r, &models);
        cli_models_close(&models);
    }
    cli_free_options(table);
    poptFreeContext(context);
    return code;
}
