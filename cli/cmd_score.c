/* ventral score: how well models predict a session's neurons. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "models.h"

static json_t *interval_json(const vt_interval *v)
{
    return json_pack("[o, o]", cli_number(v->low), cli_number(v->high));
}

static int print_json(const vt_session_score *score, const vt_session_info *info,
                      const cli_models *models)
{
    json_t *neurons = json_array();
    for (int64_t i = 0; i < score->count; i++) {
        const vt_neuron_score *n = &score->neurons[i];
        json_array_append_new(neurons,
                              json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "neuron",
                                        (json_int_t)n->neuron, "model", models->paths[n->model],
                                        "r", cli_number(n->r), "r2", cli_number(n->r2), "r2_er",
                                        cli_number(n->r2_er), "snr", cli_number(n->snr),
                                        "reliability", cli_number(n->reliability)));
    }
    return cli_print_json(json_pack(
        "{s:s, s:I, s:[I,I], s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "session", info->id, "images",
        (json_int_t)(score->end - score->begin), "range", (json_int_t)score->begin,
        (json_int_t)score->end, "neurons", neurons, "median_r", cli_number(score->r.median),
        "median_r_interval", interval_json(&score->r), "median_r2", cli_number(score->r2.median),
        "median_r2_interval", interval_json(&score->r2), "median_r2_er",
        cli_number(score->r2_er.median), "median_r2_er_interval", interval_json(&score->r2_er)));
}

static void print_median(const char *name, const vt_interval *v)
{
    if (isfinite(v->median))
        printf("median %-6s %.4f   90 %% interval %.4f to %.4f\n", name, v->median, v->low,
               v->high);
}

static int print_table(const vt_session_score *score, const vt_session_info *info,
                       const cli_models *models)
{
    bool raw = info->has_raw;
    printf("session %s, images %lld to %lld\n", info->id, (long long)score->begin,
           (long long)score->end - 1);
    printf("neuron       r      r2%s  model\n", raw ? "   r2_er     snr  reliability" : "");
    for (int64_t i = 0; i < score->count; i++) {
        const vt_neuron_score *n = &score->neurons[i];
        printf("%6lld %7.4f %7.4f", (long long)n->neuron, n->r, n->r2);
        if (raw) printf(" %7.4f %7.3f      %7.4f", n->r2_er, n->snr, n->reliability);
        printf("  %s\n", models->paths[n->model]);
    }
    print_median("r", &score->r);
    print_median("r2", &score->r2);
    print_median("r2_er", &score->r2_er);
    return cli_finish();
}

typedef struct score_request {
    char *recordings, *session, *half, *range, *neurons;
} score_request;

static vt_status parse(vt_score_options *options, int64_t **neurons, const score_request *request,
                       const vt_session_info *info)
{
    const char *range = request->range ? request->range : request->half ? request->half : "all";
    VT_TRY(vt_range_parse(&options->begin, &options->end, range, info->images));
    if (!request->neurons) return VT_OK;
    vt_status status =
        vt_index_list_parse(neurons, &options->neuron_count, request->neurons, info->neurons);
    if (status != VT_OK) return vt_error_context(status, "--neurons");
    options->neurons = *neurons;
    return VT_OK;
}

static int run(const cli_models *models, const score_request *request)
{
    vt_session *session;
    vt_session_info info;
    vt_session_score score;
    int64_t *neurons = NULL;
    cli_progress progress;
    if (vt_session_open(&session, request->recordings, request->session) != VT_OK)
        return cli_fail();
    vt_session_get_info(session, &info);
    vt_score_options options = {.seed = (uint64_t)cli_options.seed,
                                .progress = cli_progress_start(&progress, "score")};
    vt_status status = parse(&options, &neurons, request, &info);
    if (status == VT_OK)
        status = vt_score_session(&score, models->models, models->count, session, &options);
    cli_progress_end(&progress);
    int code = CLI_FAILED;
    if (status != VT_OK) {
        cli_fail();
    } else {
        code = cli_options.json ? print_json(&score, &info, models)
                                : print_table(&score, &info, models);
        vt_session_score_free(&score);
    }
    free(neurons);
    vt_session_close(session);
    return code;
}

int cmd_score(int argc, const char **argv)
{
    score_request request = {0};
    int operand_count;
    double epsilon = 0;
    struct poptOption table[] = {
        {"recordings", 'R', POPT_ARG_STRING, &request.recordings, 0, "Folder of recordings", "DIR"},
        {"session", 's', POPT_ARG_STRING, &request.session, 0, "Session", "ID"},
        {"half", 0, POPT_ARG_STRING, &request.half, 0, "Half of the images: first or second",
         "first|second"},
        {"range", 'r', POPT_ARG_STRING, &request.range, 0, "Only these images", "A:B"},
        {"neurons", 'n', POPT_ARG_STRING, &request.neurons, 0, "Only these neurons, as 0,3,5-9",
         "LIST"},
        CLI_EPSILON(&epsilon),
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "MODEL... --recordings DIR --session ID");
    if (!context) return CLI_MISUSED;
    const char **operands = cli_operands(context, &operand_count);
    int code;
    cli_models models;
    if (operand_count < 1)
        code = cli_misuse("score: which model?");
    else if (!request.recordings)
        code = cli_misuse("score: --recordings is needed");
    else if (request.half && request.range)
        code = cli_misuse("score: --half or --range, not both");
    else if (cli_models_open(&models, operands, operand_count, NULL, epsilon) != CLI_DONE)
        code = cli_fail();
    else {
        code = run(&models, &request);
        cli_models_close(&models);
    }
    free(request.recordings);
    free(request.session);
    free(request.half);
    free(request.range);
    free(request.neurons);
    poptFreeContext(context);
    return code;
}
