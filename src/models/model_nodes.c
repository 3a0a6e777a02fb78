/* Finding a node of a model by its name, and saying what there is where it is not. */
#include <stdio.h>
#include <string.h>

#include "ventral/model.h"

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

/* The innermost module that would enclose the wanted node, "" for the whole model, and what it has
 * up to the model's output. */
static void list_modules(char *list, size_t size, char module[VT_NAME_SIZE], const vt_graph *graph,
                         vt_node output, const char *wanted)
{
    snprintf(module, VT_NAME_SIZE, "%s", wanted);
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

vt_status vt_model_find(vt_node *out, vt_model *model, const char *name)
{
    vt_graph *graph = vt_model_graph(model);
    vt_node node = name ? vt_graph_find(graph, name) : vt_model_output(model);
    if (node != VT_NO_NODE) {
        *out = node;
        return VT_OK;
    }
    char list[600], module[VT_NAME_SIZE];
    list_modules(list, sizeof list, module, graph, vt_model_output(model), name);
    return vt_error(VT_ENOTFOUND, "%s has no node '%s'; %s has %s", vt_model_label(model), name,
                    *module ? module : "it", list);
}
