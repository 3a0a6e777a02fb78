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

/* A node's tensor with the batch in front and no data. */
vt_status vt_graph_node_tensor(const vt_graph *graph, vt_node node, int64_t batch, vt_tensor *out);

#endif
