/* Models made ready to answer batches: which node is read, a plan a model. */
#include "neural/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static bool is_within(const char *node, const char *module)
{
    size_t length = strlen(module);
    return length == 0 || (strncmp(node, module, length) == 0 && node[length] == '.');
}

static bool has_module(const vt_graph *graph, vt_node last, const char *name)
{
    for (vt_node node = 0; node <= last; node++)
        if (is_within(vt_graph_node_name(graph, node), name)) return true;
    return false;
}

/* The innermost module that encloses the wanted tap, "" for the whole model, and what it has up to
 * the model's output. */
static void list_modules(char *list, size_t size, char module[VT_NAME_SIZE], const vt_graph *graph,
                         vt_node output, const char *tap)
{
    snprintf(module, VT_NAME_SIZE, "%s", tap);
    do {
        char *dot = strrchr(module, '.');
        *(dot ? dot : module) = '\0';
    } while (!has_module(graph, output, module));
    size_t inner = strlen(module) + (*module != '\0'), known = 0, used = 0;
    const char *last = "";
    list[0] = '\0';
    for (vt_node node = 0; node <= output && used < size; node++) {
        const char *name = vt_graph_node_name(graph, node);
        if (!is_within(name, module)) continue;
        size_t length = inner + strcspn(name + inner, ".");
        if (length == known && strncmp(name, last, length) == 0) continue;
        used += (size_t)snprintf(list + used, size - used, "%s%.*s", used ? ", " : "", (int)length,
                                 name);
        last = name;
        known = length;
    }
}

vt_status vt_runner_find(vt_node *out, vt_model *model, const char *tap)
{
    vt_graph *graph = vt_model_graph(model);
    vt_node node = tap ? vt_graph_find(graph, tap) : vt_model_output(model);
    if (node != VT_NO_NODE) {
        *out = node;
        return VT_OK;
    }
    char list[600], module[VT_NAME_SIZE];
    list_modules(list, sizeof list, module, graph, vt_model_output(model), tap);
    return vt_error(VT_ENOTFOUND, "%s has no node '%s'; %s has %s", vt_model_label(model), tap,
                    *module ? module : "it", list);
}

static vt_status make_plan(vt_runner *runner, int model)
{
    const vt_runner_options *o = &runner->options;
    vt_plan_options options = {.batch = o->batch,
                               .outputs = &runner->nodes[model],
                               .output_count = 1,
                               .backend = o->backend,
                               .bf16 = o->bf16,
                               .workspace = o->workspace};
    return vt_plan_new(&runner->plans[model], vt_model_graph(o->models[model]), &options);
}

vt_status vt_runner_new(vt_runner *out, const vt_runner_options *options)
{
    *out = (vt_runner){.options = *options};
    out->nodes = vt_alloc((size_t)options->count, sizeof *out->nodes);
    out->plans = vt_alloc((size_t)options->count, sizeof *out->plans);
    if (!out->nodes || !out->plans) return VT_ENOMEM;
    for (int m = 0; m < options->count; m++)
        VT_TRY(vt_runner_find(&out->nodes[m], options->models[m], options->tap));
    for (int m = 0; m < options->count; m++)
        VT_TRY(make_plan(out, m));
    return VT_OK;
}

void vt_runner_free(vt_runner *runner)
{
    for (int m = 0; runner->plans && m < runner->options.count; m++)
        vt_plan_free(runner->plans[m]);
    free(runner->plans);
    free(runner->nodes);
    *runner = (vt_runner){.plans = NULL};
}

vt_status vt_runner_run(const vt_runner *runner, int model, const float *pixels,
                        const vt_tensor **out)
{
    vt_plan *plan = runner->plans[model];
    vt_tensor *input = vt_plan_input(plan, vt_model_input(runner->options.models[model]));
    if (input) memcpy(input->data, pixels, vt_tensor_bytes(input));
    VT_TRY(vt_plan_forward(plan));
    *out = vt_plan_output(plan, runner->nodes[model]);
    return VT_OK;
}
