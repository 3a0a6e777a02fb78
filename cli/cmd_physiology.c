/* ventral physiology: tuning properties of neurons, and how like those of V1 they are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models.h"
#include "physiology.h"

typedef struct physiology_request {
    char *responses, *output, *layers, *network, *textures;
    char **references;
    double degrees, epsilon;
    int batch, bf16;
} physiology_request;

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static vt_status out_of_memory(void)
{
    return vt_error(VT_ENOMEM, "out of memory");
}

static void results_free(physiology_results *results)
{
    for (int i = 0; i < results->count; i++) {
        physiology_result *r = &results->list[i];
        free(r->model);
        free(r->layer);
        free(r->name);
        free(r->textures);
        vt_layer_tuning_free(&r->of_layer);
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
    char path[4400];
    VT_TRY(vt_plot_check());
    VT_TRY(vt_folder_make(r->output));
    snprintf(path, sizeof path, "%s/scores.csv", r->output);
    return cli_check_output(path); /* before hours of recording */
}

/* Keeps what textures are said to come from; NULL: nothing is said. */
static vt_status mark(physiology_result *r, const char *origin)
{
    if (!origin) return VT_OK;
    r->textures = strdup(origin);
    return r->textures ? VT_OK : out_of_memory();
}

/* Responses that were recorded elsewhere. */
static vt_status measure_file(physiology_results *out, const char *path)
{
    vt_tensor_map *map;
    out->list = calloc(1, sizeof *out->list);
    if (!out->list) return out_of_memory();
    out->count = 1;
    out->list->model = strdup(base_name(path));
    out->list->layer = strdup("");
    if (!out->list->model || !out->list->layer) return out_of_memory();
    VT_TRY(vt_npz_read(&map, path));
    vt_status status = vt_tuning_measure(&out->list->of_layer.tuning, map);
    if (status == VT_OK) status = mark(out->list, vt_tensor_map_get_text(map, "textures"));
    vt_tensor_map_free(map);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", path);
}

/* ---- models ---- */

/* Name of the file without its ending, after the last `folders` of its path. */
static char *model_name(const char *path, int folders)
{
    const char *start = path + strlen(path);
    for (int slashes = 0; start > path; start--)
        if (start[-1] == '/' && slashes++ == folders) break;
    char *name = strdup(start);
    char *base = name ? strrchr(name, '/') : NULL, *dot = name ? strrchr(name, '.') : NULL;
    if (dot && dot > (base ? base + 1 : name)) *dot = '\0';
    return name;
}

/* How many folders tell the models apart; as many as there are where none do. */
static vt_status count_folders(int *out, const char **paths, int count)
{
    enum { MOST = 32 };
    bool same = true;
    for (*out = -1; same && *out < MOST;) {
        ++*out;
        same = false;
        for (int i = 1; i < count && !same; i++)
            for (int k = 0; k < i && !same; k++) {
                char *a = model_name(paths[i], *out), *b = model_name(paths[k], *out);
                bool room = a && b;
                same = room && strcmp(a, b) == 0;
                free(a);
                free(b);
                if (!room) return out_of_memory();
            }
    }
    return VT_OK;
}

/* MODEL.LAYER, which can be a file's name. */
static char *result_name(const char *model, const char *layer)
{
    size_t size = strlen(model) + strlen(layer) + 2;
    char *name = malloc(size);
    if (!name) return NULL;
    snprintf(name, size, "%s.%s", model, layer);
    for (char *c = name; *c; c++)
        if (*c == '/') *c = '_';
    return name;
}

static vt_status add_layer(physiology_results *out, const char *path, int folders,
                           const char *layer)
{
    physiology_result *r = &out->list[out->count++];
    r->model = model_name(path, folders);
    r->layer = strdup(layer);
    r->name = r->model && r->layer ? result_name(r->model, r->layer) : NULL;
    if (!r->name) return out_of_memory();
    for (const physiology_result *other = out->list; other < r; other++)
        if (strcmp(other->name, r->name) == 0)
            return vt_error(VT_EINVAL, "%s twice: models and layers need different names", r->name);
    return VT_OK;
}

/* Entries for every layer of every model. */
static vt_status list_layers(physiology_results *out, const char **paths, int count,
                             const char *layers)
{
    const char **names;
    int name_count, folders;
    VT_TRY(count_folders(&folders, paths, count));
    VT_TRY(cli_split(&names, &name_count, layers, "--layers"));
    out->list = calloc((size_t)count * (size_t)name_count, sizeof *out->list);
    vt_status status = out->list ? VT_OK : out_of_memory();
    for (int i = 0; i < count && status == VT_OK; i++)
        for (int k = 0; k < name_count && status == VT_OK; k++)
            status = add_layer(out, paths[i], folders, names[k]);
    free(names);
    return status;
}

/* Where the layers' tuning is kept: FOLDER/NAME.npz of each, one allocation. */
static char **layer_paths(const physiology_result *list, int count, const char *folder)
{
    size_t size = (size_t)count * sizeof(char *);
    for (int i = 0; i < count; i++)
        size += strlen(folder) + strlen(list[i].name) + sizeof "/.npz";
    char **paths = malloc(size), *at = (char *)(paths + count);
    for (int i = 0; paths && i < count; i++) {
        paths[i] = at;
        at += sprintf(at, "%s/%s.npz", folder, list[i].name) + 1;
    }
    return paths;
}

static vt_status get_tuning(vt_layer_tuning *out, vt_model *model, const physiology_result *list,
                            int count, const physiology_request *q, const vt_texture_set *textures)
{
    char what[128];
    cli_progress progress;
    const char **nodes = calloc((size_t)count, sizeof *nodes);
    char **paths = q->output ? layer_paths(list, count, q->output) : NULL;
    vt_status status = nodes && (paths || !q->output) ? VT_OK : out_of_memory();
    for (int i = 0; nodes && i < count; i++)
        nodes[i] = list[i].layer;
    snprintf(what, sizeof what, "physiology %.100s", count == 1 ? list->name : list->model);
    vt_recording_options options = {.degrees = q->degrees,
                                    .batch = q->batch,
                                    .bf16 = q->bf16,
                                    .textures = textures,
                                    .progress = cli_progress_start(&progress, what)};
    if (status == VT_OK)
        status =
            vt_layer_tuning_get(out, model, nodes, (const char *const *)paths, count, &options);
    cli_progress_end(&progress);
    free(nodes);
    free(paths);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", list->model);
}

/* `only`: of one layer there is nothing else to show. */
static vt_status measure_model(physiology_result *list, int count, vt_model *model,
                               const physiology_request *q, const vt_texture_set *textures,
                               bool only)
{
    vt_layer_tuning *tuning = calloc((size_t)count, sizeof *tuning);
    if (!tuning) return out_of_memory();
    vt_status status = get_tuning(tuning, model, list, count, q, textures);
    for (int i = 0; i < count; i++) {
        list[i].of_layer = tuning[i];
        if (status == VT_OK && textures) status = mark(&list[i], vt_texture_set_origin(textures));
    }
    free(tuning);
    if (status == VT_OK && only && *list->of_layer.reason)
        return vt_error(VT_ENOTFOUND, "%s, %s: %s", list->model, list->layer,
                        list->of_layer.reason);
    return status;
}

/* Of several models all are looked at before hours are spent on the first. */
static vt_status check_layers(const physiology_result *list, int count, const char *path,
                              const physiology_request *q)
{
    cli_models models;
    vt_node node;
    if (cli_models_open(&models, &path, 1, q->network, q->epsilon) != CLI_DONE)
        return VT_EFORMAT; /* the message is set */
    vt_status status = VT_OK;
    for (int k = 0; k < count && status == VT_OK; k++)
        status = vt_model_find(&node, models.models[0], list[k].layer);
    cli_models_close(&models);
    return status;
}

/* One model after the other, so that only one is in memory. */
static vt_status measure_models(physiology_results *out, const char **paths, int count,
                                const physiology_request *q, const vt_texture_set *textures)
{
    VT_TRY(list_layers(out, paths, count, q->layers ? q->layers : "layer1"));
    int layers = out->count / count;
    for (int i = 0; i < count && count > 1; i++)
        VT_TRY(check_layers(&out->list[i * layers], layers, paths[i], q));
    for (int i = 0; i < count; i++) {
        cli_models models;
        if (cli_models_open(&models, &paths[i], 1, q->network, q->epsilon) != CLI_DONE)
            return VT_EFORMAT; /* the message is set */
        vt_status status = measure_model(&out->list[i * layers], layers, models.models[0], q,
                                         textures, out->count == 1);
        cli_models_close(&models);
        if (status != VT_OK) return status;
    }
    return VT_OK;
}

static vt_status show_and_measure(physiology_results *out, const char **paths, int count,
                                  const physiology_request *q)
{
    vt_texture_set *textures = NULL;
    if (q->textures) VT_TRY(vt_texture_set_open(&textures, q->textures));
    vt_status status = measure_models(out, paths, count, q, textures);
    vt_texture_set_close(textures);
    return status;
}

/* ---- the command ---- */

static vt_status score_all(physiology_results *results)
{
    for (int i = 0; i < results->count; i++)
        VT_TRY(vt_physiology_score(&results->list[i].scores, &results->list[i].of_layer.tuning,
                                   results->references, (uint64_t)cli_options.seed));
    return VT_OK;
}

static int run(const physiology_request *r, const char **paths, int count)
{
    physiology_results results = {.count = 0};
    vt_status status = prepare(r);
    if (status == VT_OK) status = read_references(&results.references, r->references);
    if (status == VT_OK)
        status = r->responses ? measure_file(&results, r->responses)
                              : show_and_measure(&results, paths, count, r);
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

static int check(const physiology_request *r, int operands)
{
    if (!r->responses == !operands)
        return cli_misuse("physiology: either models or --responses is needed");
    if (r->responses &&
        (r->layers || r->network || r->degrees != 0 || r->epsilon != 0 || r->bf16 || r->textures))
        return cli_misuse("physiology: --layers, --network, --textures, --degrees, --epsilon and "
                          "--bf16 are for models");
    return CLI_DONE;
}

int cmd_physiology(int argc, const char **argv)
{
    physiology_request request = {0};
    int operand_count;
    struct poptOption table[] = {
        {"layers", 'l', POPT_ARG_STRING, &request.layers, 0,
         "Nodes or modules, as 'ventral info' lists them (default: layer1)", "NODE,..."},
        {"responses", 'r', POPT_ARG_STRING, &request.responses, 0,
         "Instead of models, responses to gratings and textures recorded elsewhere", "FILE.npz"},
        {"reference", 'R', POPT_ARG_ARGV, &request.references, 0,
         "Distributions of V1 neurons (.mat, .nc, .npz or .csv) beside those built in; may be "
         "given several times",
         "FILE"},
        {"output", 'o', POPT_ARG_STRING, &request.output, 0,
         "Folder of the page, its figures, tables as CSV, and each layer's tuning", "DIR"},
        {"textures", 't', POPT_ARG_STRING, &request.textures, 0,
         "Textures and noise shown after the gratings, as 'ventral stimuli textures' writes them "
         "or the published PNGs",
         "PATH"},
        {"degrees", 'd', POPT_ARG_DOUBLE, &request.degrees, 0,
         "Visual field of the models' images, degrees (default: 8)", "X"},
        {"batch", 'b', POPT_ARG_INT, &request.batch, 0,
         "Stimuli at a time (default: 64, of images above 64 x 64 pixels fewer)", "N"},
        {"bf16", 0, POPT_ARG_NONE, &request.bf16, 0,
         "bfloat16 products where the processor has them", NULL},
        {"network", 'n', POPT_ARG_STRING, &request.network, 0,
         "Which network the weights of a V1 network are, where they do not say", "NAME"},
        CLI_EPSILON(&request.epsilon),
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "MODEL... | --responses FILE.npz");
    if (!context) return CLI_MISUSED;
    const char **operands = cli_operands(context, &operand_count);
    int code = check(&request, operand_count);
    if (code == CLI_DONE) code = run(&request, operands, operand_count);
    cli_free_options(table);
    poptFreeContext(context);
    return code;
}
