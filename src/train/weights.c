/* All parameters of a float32 graph as one block, in their order. */
#include "train/weights.h"

#include <string.h>

/* The graph is not changed: vt_graph_param lends parameters to those who do. */
static const vt_tensor *value_at(const vt_graph *graph, int index)
{
    return &vt_graph_param((vt_graph *)graph, index)->value;
}

int64_t vt_weights_count(const vt_graph *graph)
{
    int64_t count = 0;
    for (int i = 0; i < vt_graph_param_count(graph); i++)
        count += vt_tensor_count(value_at(graph, i));
    return count;
}

void vt_weights_gather(const vt_graph *graph, float *block)
{
    for (int i = 0; i < vt_graph_param_count(graph); i++) {
        const vt_tensor *value = value_at(graph, i);
        memcpy(block, value->data, vt_tensor_bytes(value));
        block += vt_tensor_count(value);
    }
}

void vt_weights_scatter(vt_graph *graph, const float *block)
{
    for (int i = 0; i < vt_graph_param_count(graph); i++) {
        vt_tensor *value = &vt_graph_param(graph, i)->value;
        memcpy(value->data, block, vt_tensor_bytes(value));
        block += vt_tensor_count(value);
    }
    vt_graph_touch(graph);
}
