/* Nodes of the V1 layers. */
#include "ventral/v1_layers.h"

#include "graph/graph.h"

vt_node vt_local_receptive_field(vt_graph *graph, vt_node x,
                                 const vt_local_receptive_field_options *options)
{
    return vt_graph_add(graph, &vt_op_local_receptive_field, options->name, options, 1, &x);
}

vt_node vt_cortical_magnification(vt_graph *graph, vt_node x,
                                  const vt_cortical_magnification_options *options)
{
    return vt_graph_add(graph, &vt_op_cortical_magnification, options->name, options, 1, &x);
}

vt_node vt_center_surround(vt_graph *graph, vt_node x, const vt_center_surround_options *options)
{
    return vt_graph_add(graph, &vt_op_center_surround, options->name, options, 1, &x);
}

vt_node vt_divisive_normalization(vt_graph *graph, vt_node x,
                                  const vt_divisive_normalization_options *options)
{
    return vt_graph_add(graph, &vt_op_divisive_normalization, options->name, options, 1, &x);
}

vt_node vt_tuned_normalization(vt_graph *graph, vt_node x,
                               const vt_tuned_normalization_options *options)
{
    return vt_graph_add(graph, &vt_op_tuned_normalization, options->name, options, 1, &x);
}
