/* The inside of a graph, for the files of this room. */
#ifndef VT_GRAPH_GRAPH_H
#define VT_GRAPH_GRAPH_H

#include "base/arena.h"
#include "ops/op.h"

typedef struct vt_node_def {
    const vt_op *op; /* NULL for an input */
    const char *name;
    void *options;
    int inputs;
    vt_node in[VT_OP_MAX_INPUTS];
    vt_shape shape;
    int params;
    int param[VT_OP_MAX_PARAMS]; /* index into vt_graph.params */
    int64_t flops;
} vt_node_def;

struct vt_graph {
    vt_arena *arena; /* names, options, parameter blocks */
    vt_dtype dtype;
    vt_naming naming;
    vt_node_def *nodes;
    size_t node_count, node_capacity;
    vt_param *params;
    vt_param_spec *specs; /* one a parameter */
    size_t param_count, param_capacity;
    bool finished;
    vt_error_state mistake; /* the first one made while building */
    uint64_t version;       /* grows with every change of parameter values */
};

/* Adds a node, or notes the mistake. A mistake already made passes through silently. */
vt_node vt_graph_add(vt_graph *graph, const vt_op *op, const char *name, const void *options,
                     int inputs, const vt_node *in);

/* vt_graph_finish for those who fill in all parameters themselves: they are 0. VT_EFORMAT, before
 * memory is taken, for more than `most` of them: a file's description may say anything. */
vt_status vt_graph_finish_empty(vt_graph *graph, int64_t most);

/* copy.c: adds the nodes of a finished graph that `output` needs beyond `input`, `x` standing for
 * `input`; names of nodes and parameters get `prefix`. Values of parameters are not copied
 * (vt_graph_copy_values). Returns the copy of `output`. */
vt_node vt_graph_copy(vt_graph *graph, vt_node x, const vt_graph *from, vt_node input,
                      vt_node output, const char *prefix);
/* Copies the values of the parameters that are named alike, but for `prefix` in `graph`. */
void vt_graph_copy_values(vt_graph *graph, const vt_graph *from, const char *prefix);
/* Sets the momentum of every batch normalization's running statistics. */
void vt_graph_set_momentum(vt_graph *graph, double momentum);

/* graph.c, for copy.c: room for one more; keeps the first mistake. */
vt_status vt_graph_reserve_node(vt_graph *graph);
vt_status vt_graph_reserve_param(vt_graph *graph);
vt_node vt_graph_mistake(vt_graph *graph, vt_status code);

/* A node's tensor with the batch in front and no data. */
vt_status vt_graph_node_tensor(const vt_graph *graph, vt_node node, int64_t batch, vt_tensor *out);

#endif
