/* ventral select: which images of a pool to show next. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models.h"
#include "streams.h"

enum { MAX_MEMBERS = 256, NODE_NAME = 24 };

typedef struct select_request {
    char *strategy, *neurons, *gaudy, *features, *format, *cache, *output;
    long long count, candidates;
    double blur, random;
    int lowest, bf16;
} select_request;

/* Models as they are given, or the members of one ensemble. */
typedef struct member_list {
    vt_select_member items[MAX_MEMBERS], features;
    char nodes[MAX_MEMBERS][NODE_NAME];
    int count;
} member_list;

static vt_status list_members(member_list *out, const cli_models *models, bool disagree)
{
    vt_model *first = models->models[0];
    bool ensemble = disagree && models->count == 1;
    for (out->count = 0;; out->count++) {
        char node[NODE_NAME];
        snprintf(node, sizeof node, "member%d", out->count);
        bool more = ensemble ? vt_graph_find(vt_model_graph(first), node) != VT_NO_NODE
                             : out->count < models->count;
        if (!more) break;
        if (out->count == MAX_MEMBERS)
            return vt_error(VT_EINVAL, "more than %d models or members", MAX_MEMBERS);
        memcpy(out->nodes[out->count], node, sizeof node);
        out->items[out->count] = (vt_select_member){ensemble ? first : models->models[out->count],
                                                    ensemble ? out->nodes[out->count] : NULL};
    }
    if (!ensemble || out->count > 0) return VT_OK;
    return vt_error(VT_EINVAL,
                    "%s is no ensemble, so nothing disagrees: give several models of the same "
                    "neurons",
                    vt_model_label(first));
}

static vt_status list_neurons(int64_t **out, int64_t *count, const char *text,
                              const member_list *members, bool disagree)
{
    int64_t all = 0;
    for (int m = 0; m < (disagree ? 1 : members->count); m++)
        all += vt_model_outputs(members->items[m].model);
    vt_status status = vt_index_list_parse(out, count, text, all);
    return status == VT_OK ? VT_OK : vt_error_context(status, "--neurons");
}

static int64_t count_of(const vt_selection *s, vt_select_strategy strategy)
{
    int64_t count = 0;
    for (int64_t i = 0; i < s->count; i++)
        count += s->items[i].strategy == strategy;
    return count;
}

static int report(const select_request *r, const vt_selection *s, vt_image_stream *pool)
{
    long long random = count_of(s, VT_SELECT_RANDOM);
    long long covering = count_of(s, VT_SELECT_DISAGREEMENT);
    json_int_t images = vt_image_stream_count(pool);
    if (cli_options.json) {
        json_t *root = json_pack("{s:s, s:s, s:I, s:I, s:I, s:o}", "output", r->output, "strategy",
                                 r->strategy, "pool", images, "selected", (json_int_t)s->count,
                                 "random", (json_int_t)random, "radius",
                                 covering > 0 ? cli_number(s->radius) : json_null());
        return cli_print_json(root);
    }
    printf("%s: %lld of %lld images", r->output, (long long)s->count, (long long)images);
    if (covering > 0)
        printf(", %lld of them where models disagree, %lld at random; radius of the core-set %.4g",
               covering, random, s->radius);
    putchar('\n');
    return cli_finish();
}

static int choose(const select_request *r, vt_image_stream *pool, const vt_select_options *options,
                  vt_select_format format)
{
    vt_selection selection;
    cli_progress progress;
    vt_select_options o = *options;
    o.progress = cli_progress_start(&progress, "select");
    vt_status status = vt_select(&selection, pool, &o);
    cli_progress_end(&progress);
    if (status != VT_OK) return cli_fail();
    status = vt_selection_write(&selection, pool, r->output, format);
    int code = status == VT_OK ? report(r, &selection, pool) : cli_fail();
    vt_selection_free(&selection);
    return code;
}

static int run(const select_request *r, const cli_models *models, vt_select_options *o,
               const vt_gaudy_options *gaudy, vt_select_format format)
{
    static member_list members;
    int64_t *neurons = NULL;
    int height = 0, width = 0;
    bool disagree = o->strategy == VT_SELECT_DISAGREEMENT;
    vt_status status = VT_OK;
    if (models->count > 0) {
        vt_model_image_size(models->models[0], &height, &width);
        status = list_members(&members, models, disagree);
        o->members = members.items;
        o->member_count = members.count;
        members.features = (vt_select_member){models->models[0], r->features};
        if (r->features) o->features = &members.features;
    }
    if (status == VT_OK && r->neurons)
        status = list_neurons(&neurons, &o->neuron_count, r->neurons, &members, disagree);
    o->neurons = neurons;
    vt_image_stream *pool = NULL;
    cli_stream_options.gaudy = *gaudy;
    if (status == VT_OK) status = cli_stream_open(&pool, height, width);
    int code = status == VT_OK ? choose(r, pool, o, format) : cli_fail();
    vt_image_stream_close(pool);
    free(neurons);
    return code;
}

/* What does not belong together; 0 when all does. */
static int check(const select_request *r, const vt_select_options *o, int models)
{
    bool disagree = o->strategy == VT_SELECT_DISAGREEMENT, top = o->strategy == VT_SELECT_TOP;
    if (!r->output) return cli_misuse("select: --output is needed");
    if (o->strategy == VT_SELECT_RANDOM && models > 0)
        return cli_misuse("select: models have no say in what is drawn at random");
    if (o->strategy != VT_SELECT_RANDOM && models == 0)
        return cli_misuse("select: which models? --strategy %s needs them", r->strategy);
    if (r->lowest && !top) return cli_misuse("select: --lowest is for --strategy top");
    if ((r->features || r->candidates || !isnan(r->random)) && !disagree)
        return cli_misuse("select: --features, --candidates and --random are for --strategy "
                          "disagreement");
    if (r->neurons && models == 0) return cli_misuse("select: --neurons needs models");
    if (r->blur != 0 && !r->gaudy) return cli_misuse("select: --blur is for --gaudy images");
    if (r->count < 0) return cli_misuse("select: --count %lld: at least 1 is needed", r->count);
    if (r->random < 0 || r->random > 1)
        return cli_misuse("select: --random %g: a share of 0 to 1 is needed", r->random);
    return cli_stream_check("select", false);
}

static int prepare(const select_request *r, const char **paths, int count)
{
    cli_models models = {.count = 0};
    vt_gaudy_options gaudy = {.blur = r->blur};
    vt_select_options o = {.count = r->count,
                           .lowest = r->lowest,
                           .candidates = r->candidates,
                           .random = isnan(r->random) ? 0
                                     : r->random > 0  ? r->random
                                                      : -1,
                           .cache = r->cache,
                           .bf16 = r->bf16,
                           .seed = (uint64_t)cli_options.seed};
    bool jpeg = r->format && strcmp(r->format, "jpeg") == 0;
    if (!r->strategy) return cli_misuse("select: --strategy random, top or disagreement?");
    if (vt_select_find(&o.strategy, r->strategy) != VT_OK)
        return cli_misuse("select: %s", vt_error_message());
    if (r->gaudy && vt_gaudy_find(&gaudy.kind, r->gaudy) != VT_OK)
        return cli_misuse("select: %s", vt_error_message());
    if (r->format && !jpeg && strcmp(r->format, "png") != 0)
        return cli_misuse("select: --format '%s': png or jpeg", r->format);
    int code = check(r, &o, count);
    if (code != CLI_DONE) return code;
    if (count > 0 && cli_models_open(&models, paths, count, NULL, 0) != CLI_DONE) return cli_fail();
    code = run(r, &models, &o, &gaudy, jpeg ? VT_SELECT_JPEG : VT_SELECT_PNG);
    if (count > 0) cli_models_close(&models);
    return code;
}

int cmd_select(int argc, const char **argv)
{
    select_request r = {.random = NAN};
    struct poptOption table[] = {
        {"strategy", 'S', POPT_ARG_STRING, &r.strategy, 0, "random, top or disagreement", "NAME"},
        {"count", 'n', POPT_ARG_LONGLONG, &r.count, 0, "Images; top: of each neuron (default: 500)",
         "N"},
        {"output", 'o', POPT_ARG_STRING, &r.output, 0, "Folder for the list and the images", "DIR"},
        {"neurons", 'N', POPT_ARG_STRING, &r.neurons, 0, "Only these outputs (default: all)",
         "LIST"},
        {"lowest", 'l', POPT_ARG_NONE, &r.lowest, 0, "top: the smallest responses instead", NULL},
        {"random", 0, POPT_ARG_DOUBLE, &r.random, 0,
         "disagreement: share of images drawn at random (default: 0.5)", "X"},
        {"candidates", 0, POPT_ARG_LONGLONG, &r.candidates, 0,
         "disagreement: images the core-set is taken from (default: 8 for each)", "N"},
        {"features", 0, POPT_ARG_STRING, &r.features, 0,
         "disagreement: node of the first model that the core-set covers (default: responses)",
         "NODE"},
        {"gaudy", 'g', POPT_ARG_STRING, &r.gaudy, 0,
         "Makes the pool's images gaudy: channel or global", "KIND"},
        {"blur", 0, POPT_ARG_DOUBLE, &r.blur, 0, "s.d. of a blur before, pixels (default: 0)", "X"},
        {"format", 0, POPT_ARG_STRING, &r.format, 0, "Images as png or jpeg (default: png)",
         "NAME"},
        {"cache", 'c', POPT_ARG_STRING, &r.cache, 0, "File that keeps responses to the pool",
         "FILE"},
        {"bf16", 0, POPT_ARG_NONE, &r.bf16, 0, "bfloat16 products where the processor has them",
         NULL},
        CLI_STREAM,
        CLI_COMMON};
    poptContext context =
        cli_parse(argc, argv, table, "--strategy NAME --images PATH --output DIR [MODEL...]");
    if (!context) return CLI_MISUSED;
    int operand_count;
    const char **operands = cli_operands(context, &operand_count);
    int code = prepare(&r, operands, operand_count);
    cli_free_options(table);
    poptFreeContext(context);
    return code;
}
