/* ventral predictivity: how well a network's layers predict a session's neurons. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "labels.h"
#include "models.h"

typedef struct predictivity_request {
    char *recordings, *session, *assembly, *images, *layers, *formula, *regression, *labels,
        *network, *output;
    int all_layers, splits, components;
    double epsilon;
} predictivity_request;

/* Where the neurons come from, and what they are called. */
typedef struct neuron_source {
    vt_session *session;
    vt_assembly assembly;
    vt_image_source *images; /* of an assembly */
    int64_t *stimulus;
    vt_stimulus_set *stimuli;
    int64_t *labels;
    char name[64];
    vt_predictivity_neurons neurons;
} neuron_source;

static void source_close(neuron_source *s)
{
    vt_stimulus_set_close(s->stimuli);
    vt_session_close(s->session);
    vt_image_source_close(s->images);
    vt_assembly_free(&s->assembly);
    free(s->stimulus);
    free(s->labels);
}

static vt_status open_assembly(neuron_source *s, const predictivity_request *request)
{
    const char *slash = strrchr(request->assembly, '/');
    vt_assembly *a = &s->assembly;
    snprintf(s->name, sizeof s->name, "%s", slash ? slash + 1 : request->assembly);
    VT_TRY(vt_assembly_read(a, request->assembly, request->labels));
    VT_TRY(vt_image_source_open(&s->images, request->images));
    s->stimulus = calloc((size_t)a->images, sizeof *s->stimulus);
    if (!s->stimulus) return vt_error(VT_ENOMEM, "out of memory");
    vt_status status = vt_assembly_match(s->stimulus, a, s->images);
    if (status != VT_OK) return vt_error_context(status, "%s", request->images);
    VT_TRY(vt_stimulus_set_from_images(&s->stimuli, s->images));
    s->neurons = (vt_predictivity_neurons){.stimuli = s->stimuli,
                                           .stimulus = s->stimulus,
                                           .images = a->images,
                                           .neurons = a->neurons,
                                           .repeats = a->repeats,
                                           .averaged = a->averaged.data,
                                           .raw = a->repeats > 1 ? a->raw.data : NULL,
                                           .labels = a->labels};
    return VT_OK;
}

static vt_status source_open(neuron_source *s, const predictivity_request *request)
{
    vt_session_info info;
    if (request->assembly) return open_assembly(s, request);
    VT_TRY(vt_session_open(&s->session, request->recordings, request->session));
    vt_session_get_info(s->session, &info);
    snprintf(s->name, sizeof s->name, "%s", info.id);
    vt_image_source *images = vt_session_images(s->session);
    if (!images) return VT_ENOTFOUND;
    VT_TRY(vt_stimulus_set_from_images(&s->stimuli, images));
    if (request->labels) VT_TRY(cli_labels_read(&s->labels, request->labels, info.images));
    return vt_predictivity_neurons_of(&s->neurons, s->session, s->stimuli, s->labels);
}

/* ---- results ---- */

static json_t *layer_json(const vt_predictivity_layer *layer, int64_t neurons)
{
    json_t *r = json_array();
    for (int64_t i = 0; i < neurons; i++)
        json_array_append_new(r, cli_number(layer->neurons[i]));
    return json_pack("{s:s, s:I, s:i, s:o, s:o, s:o, s:o}", "layer", layer->name, "features",
                     (json_int_t)layer->features, "components", layer->components, "r",
                     cli_number(layer->r), "r_sd", cli_number(layer->r_sd), "predictivity",
                     cli_number(layer->score), "neurons", r);
}

static int print_json(const vt_predictivity *p, const char *session,
                      const vt_predictivity_options *options)
{
    json_t *layers = json_array(), *ceilings = json_array();
    for (int i = 0; i < p->count; i++)
        json_array_append_new(layers, layer_json(&p->layers[i], p->neurons));
    for (int64_t i = 0; i < p->neurons; i++)
        json_array_append_new(ceilings, cli_number(p->ceilings[i]));
    return cli_print_json(
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:s?}", "regression",
                  vt_predictivity_regression_name(options->regression), "session", session,
                  "images", (json_int_t)p->images, "neurons", (json_int_t)p->neurons, "training",
                  (json_int_t)p->training, "testing", (json_int_t)p->testing, "formula",
                  vt_predictivity_formula_name(options->formula), "ceiling", cli_number(p->ceiling),
                  "ceilings", ceilings, "layers", layers, "best",
                  p->best < 0 ? NULL : p->layers[p->best].name));
}

static int print_table(const vt_predictivity *p, const char *session,
                       const vt_predictivity_options *options)
{
    int width = 5;
    for (int i = 0; i < p->count; i++)
        if ((int)strlen(p->layers[i].name) > width) width = (int)strlen(p->layers[i].name);
    printf("session %s, %lld neurons, %lld images: %lld to learn from, %lld to predict\n", session,
           (long long)p->neurons, (long long)p->images, (long long)p->training,
           (long long)p->testing);
    if (isfinite(p->ceiling))
        printf("ceiling %.4f; predictivity is %s\n", p->ceiling,
               options->formula == VT_PREDICTIVITY_2023 ? "(r / ceiling)^2" : "r^2 / ceiling");
    else
        puts("no repeats, so no ceiling and no predictivity");
    printf("%-*s  features        r   +-sd  predictivity\n", width, "layer");
    for (int i = 0; i < p->count; i++) {
        const vt_predictivity_layer *l = &p->layers[i];
        printf("%-*s %9lld %8.4f %6.4f %13.4f%s\n", width, l->name, (long long)l->features, l->r,
               l->r_sd, l->score, i == p->best && p->count > 1 ? "  best" : "");
    }
    return cli_finish();
}

static vt_status write_csv(const char *path, const vt_predictivity *p)
{
    vt_text_file file;
    VT_TRY(vt_text_file_begin(&file));
    fputs("layer,features,r,r_sd,ceiling,predictivity,best\n", file.stream);
    for (int i = 0; i < p->count; i++) {
        const vt_predictivity_layer *l = &p->layers[i];
        vt_csv_field(file.stream, l->name);
        fprintf(file.stream, ",%lld", (long long)l->features);
        vt_csv_next(file.stream, l->r);
        vt_csv_next(file.stream, l->r_sd);
        vt_csv_next(file.stream, p->ceiling);
        vt_csv_next(file.stream, l->score);
        fprintf(file.stream, ",%d\n", i == p->best);
    }
    return vt_text_file_end(&file, path);
}

/* ---- the command ---- */

static int report(const vt_predictivity *result, const char *session,
                  const vt_predictivity_options *options, const char *output)
{
    if (output && write_csv(output, result) != VT_OK) return cli_fail();
    return cli_options.json ? print_json(result, session, options)
                            : print_table(result, session, options);
}

static int run(vt_model *model, const predictivity_request *request)
{
    neuron_source source = {.session = NULL};
    vt_predictivity result;
    cli_progress progress;
    vt_predictivity_options options = {.splits = request->splits,
                                       .components = request->components,
                                       .seed = (uint64_t)cli_options.seed};
    const char **layers = NULL;
    vt_status status = VT_OK;
    if (request->formula)
        status = vt_predictivity_formula_parse(&options.formula, request->formula);
    if (status == VT_OK && request->regression)
        status = vt_predictivity_regression_parse(&options.regression, request->regression);
    if (status == VT_OK && request->layers)
        status = cli_split(&layers, &options.layer_count, request->layers, "--layers");
    options.layers = layers;
    if (status == VT_OK && request->output) status = cli_check_output(request->output);
    if (status == VT_OK) status = source_open(&source, request);
    if (status == VT_OK) {
        options.progress = cli_progress_start(&progress, "predictivity");
        status = vt_predictivity_run(&result, model, &source.neurons, &options);
        cli_progress_end(&progress);
    }
    int code = CLI_FAILED;
    if (status != VT_OK) {
        cli_fail();
    } else {
        code = report(&result, source.name, &options, request->output);
        vt_predictivity_free(&result);
    }
    source_close(&source);
    free(layers);
    return code;
}

static int check(const predictivity_request *r, int operands)
{
    if (operands != 1) return cli_misuse("predictivity: one model is needed");
    if (!r->recordings == !r->assembly)
        return cli_misuse("predictivity: either --recordings or --assembly is needed");
    if (!r->assembly != !r->images)
        return cli_misuse("predictivity: --assembly and --images go together");
    if (!r->layers == !r->all_layers)
        return cli_misuse("predictivity: either --layers or --all-layers is needed");
    if (r->splits < 1 || r->components < 1)
        return cli_misuse("predictivity: --splits and --components must be at least 1");
    return CLI_DONE;
}

int cmd_predictivity(int argc, const char **argv)
{
    predictivity_request request = {.splits = 10, .components = 25};
    struct poptOption table[] = {
        {"recordings", 'R', POPT_ARG_STRING, &request.recordings, 0, "Folder of recordings", "DIR"},
        {"session", 's', POPT_ARG_STRING, &request.session, 0, "Session", "ID"},
        {"assembly", 'A', POPT_ARG_STRING, &request.assembly, 0,
         "Instead of recordings: a Brain-Score assembly, NetCDF4", "FILE"},
        {"images", 'i', POPT_ARG_STRING, &request.images, 0,
         "Folder or zip of the assembly's stimuli, named by their identifiers", "PATH"},
        {"layers", 'l', POPT_ARG_STRING, &request.layers, 0,
         "Nodes or modules, as 'ventral info' lists them", "NODE,..."},
        {"all-layers", 'a', POPT_ARG_NONE, &request.all_layers, 0, "Every node", NULL},
        {"formula", 0, POPT_ARG_STRING, &request.formula, 0,
         "Of the score: 2026, r^2 / ceiling, or 2023, (r / ceiling)^2 (default: 2026)", "NAME"},
        {"labels", 0, POPT_ARG_STRING, &request.labels, 0,
         "Kinds of images, for stratified splits: a text file, a line an image, or the name of an "
         "assembly's coordinate",
         "FILE|NAME"},
        {"splits", 0, POPT_ARG_INT, &request.splits, 0,
         "Splits into training and test images (default: 10)", "N"},
        {"regression", 0, POPT_ARG_STRING, &request.regression, 0,
         "From features to neurons: pls, partial least squares (default), or ridge", "NAME"},
        {"components", 0, POPT_ARG_INT, &request.components, 0,
         "Components of partial least squares (default: 25)", "N"},
        {"output", 'o', POPT_ARG_STRING, &request.output, 0, "The table as CSV", "FILE"},
        {"network", 'n', POPT_ARG_STRING, &request.network, 0,
         "Which network the weights of a V1 network are, where they do not say", "NAME"},
        CLI_EPSILON(&request.epsilon),
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "MODEL --recordings DIR --session ID");
    if (!context) return CLI_MISUSED;
    int operand_count, code;
    const char **operands = cli_operands(context, &operand_count);
    cli_models models;
    code = check(&request, operand_count);
    if (code == CLI_DONE &&
        cli_models_open(&models, operands, 1, request.network, request.epsilon) != CLI_DONE) {
        code = cli_fail();
    } else if (code == CLI_DONE) {
        code = run(models.models[0], &request);
        cli_models_close(&models);
    }
    cli_free_options(table);
    poptFreeContext(context);
    return code;
}
