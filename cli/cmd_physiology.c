/* ventral physiology: tuning properties of neurons, and how like those of V1 they are. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "physiology.h"

typedef struct physiology_request {
    char *responses, *output;
    char **references;
} physiology_request;

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void results_free(physiology_results *results)
{
    for (int i = 0; i < results->count; i++) {
        physiology_result *r = &results->list[i];
        free(r->model);
        free(r->layer);
        free(r->folder);
        vt_tuning_free(&r->tuning);
        vt_physiology_scores_free(&r->scores);
    }
    free(results->list);
    vt_references_free(results->references);
}

static vt_status read_references(vt_references **out, char *const *files)
{
    VT_TRY(vt_references_new(out));
    for (; files && *files; files++)
        VT_TRY(vt_references_read(*out, *files));
    return VT_OK;
}

static vt_status prepare(const physiology_request *r)
{
    if (!r->output) return VT_OK;
    struct stat info;
    VT_TRY(vt_plot_check());
    if (mkdir(r->output, 0777) == 0) return VT_OK;
    int reason = errno == EEXIST ? ENOTDIR : errno;
    if (stat(r->output, &info) == 0 && S_ISDIR(info.st_mode)) return VT_OK;
    return vt_error(VT_EIO, "%s: cannot make this folder: %s", r->output, strerror(reason));
}

/* Responses that were recorded elsewhere. */
static vt_status measure_file(physiology_results *out, const char *path)
{
    vt_tensor_map *map;
    out->list = calloc(1, sizeof *out->list);
    if (!out->list) return vt_error(VT_ENOMEM, "out of memory");
    out->count = 1;
    out->list->model = strdup(base_name(path));
    out->list->layer = strdup("");
    if (!out->list->model || !out->list->layer) return vt_error(VT_ENOMEM, "out of memory");
    VT_TRY(vt_npz_read(&map, path));
    vt_status status = vt_tuning_measure(&out->list->tuning, map);
    vt_tensor_map_free(map);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", path);
}

static vt_status score_all(physiology_results *results)
{
    for (int i = 0; i < results->count; i++)
        VT_TRY(vt_physiology_score(&results->list[i].scores, &results->list[i].tuning,
                                   results->references, (uint64_t)cli_options.seed));
    return VT_OK;
}

static int run(const physiology_request *r)
{
    physiology_results results = {.count = 0};
    vt_status status = prepare(r);
    if (status == VT_OK) status = read_references(&results.references, r->references);
    if (status == VT_OK) status = measure_file(&results, r->responses);
    if (status == VT_OK) status = score_all(&results);
    if (status == VT_OK && r->output) {
        status = physiology_write_tables(&results, r->output);
        if (status == VT_OK) status = physiology_write_pages(&results, r->output);
    }
    int code = CLI_FAILED;
    if (status != VT_OK)
        cli_fail();
    else
        code = cli_options.json ? physiology_print_json(&results) : physiology_print(&results);
    results_free(&results);
    return code;
}

int cmd_physiology(int argc, const char **argv)
{
    physiology_request request = {0};
    int operand_count;
    struct poptOption table[] = {{"responses", 'r', POPT_ARG_STRING, &request.responses, 0,
                                  "Responses to gratings and textures that were recorded elsewhere",
                                  "FILE.npz"},
                                 {"reference", 'R', POPT_ARG_ARGV, &request.references, 0,
                                  "Distributions of V1 neurons (.mat, .nc, .npz or .csv) beside "
                                  "those built in; may be given "
                                  "several times",
                                  "FILE"},
                                 {"output", 'o', POPT_ARG_STRING, &request.output, 0,
                                  "Folder of the page, its figures and tables as CSV", "DIR"},
                                 CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "--responses FILE.npz");
    if (!context) return CLI_MISUSED;
    cli_operands(context, &operand_count);
    int code;
    if (operand_count > 0)
        code = cli_misuse("physiology: no operands are taken");
    else if (!request.responses)
        code = cli_misuse("physiology: which --responses?");
    else
        code = run(&request);
    cli_free_options(table);
    poptFreeContext(context);
    return code;
}
