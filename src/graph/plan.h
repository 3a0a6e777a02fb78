/* The inside of a plan, for the files of this room. */
#ifndef VT_GRAPH_PLAN_H
#define VT_GRAPH_PLAN_H

#include "backend/backend.h"
#include "backend/stem.h"
#include "backend/stream.h"
#include "graph/graph.h"
#include "graph/memory.h"

/* A convolution or linear layer with the batch normalization after it folded in:
 * kernel' = kernel gamma / sqrt(variance + epsilon), bias' likewise. */
typedef struct vt_folded {
    vt_node node, batch_norm; /* batch_norm: VT_NO_NODE where there is none */
    vt_tensor kernel, bias;   /* the plan's own; bias.data NULL: none */
} vt_folded;

/* One kernel call. It covers a node, a node with what is fused into it, or a chain of those. */
typedef struct vt_step {
    vt_node first, last; /* input of `first`, output of `last` */
    vt_folded *folded;   /* inference: one a convolution or linear layer covered */
    int folded_count;
    bool relu;
    bool stem; /* training: convolution to depthwise convolution in one (backend/stem.h) */
    vt_kernel kernel;
    vt_op_args args;
    bool backward;
    int clear_count; /* gradients to zero before this step's backward: nobody wrote them yet */
    vt_tensor clear[VT_OP_MAX_INPUTS];
} vt_step;

typedef struct vt_plan_node {
    bool needed, kept, needs_gradient;
    int consumers;
    vt_node consumer;                                /* the last one */
    vt_node root;                                    /* whose memory holds this node's values */
    vt_node gradient_root;                           /* whose memory holds its gradient */
    int value_buffer, gradient_buffer, saved_buffer; /* of a root; -1: none */
    bool seeded;                                     /* an output whose gradient is given */
    int step;                                        /* that computes it; -1: an input or a view */
} vt_plan_node;

struct vt_plan {
    vt_graph *graph;
    vt_arena *arena; /* everything but the workspace and the kernels' state */
    vt_plan_options options;
    vt_plan_node *nodes;
    vt_step *steps;
    int step_count;
    vt_buffer *buffers;
    int buffer_count;
    size_t scratch_bytes, block_bytes;
    char *block;
    vt_workspace *own_workspace;
    vt_tensor *values, *gradients, *seeds; /* one a node; data NULL where absent */
    uint64_t version;                      /* of the parameters folded in */
};

/* Memory of at least `bytes` in the workspace; what it lent before stays valid. */
vt_status vt_workspace_reserve(vt_workspace *workspace, size_t bytes, char **out);

/* plan_steps.c: decides the steps (fusion, chains). */
vt_status vt_plan_make_steps(vt_plan *plan);
/* plan_memory.c: decides who shares memory with whom, places buffers, binds all pointers. */
void vt_plan_alias(vt_plan *plan);
vt_status vt_plan_place(vt_plan *plan);
/* plan_steps.c: asks the backends for kernels. */
vt_status vt_plan_make_kernels(vt_plan *plan);
/* Computes the folded kernels from the parameters' present values. */
void vt_plan_fold(const vt_plan *plan);

/* Inference computes nothing for these: the output is the input. */
static inline bool vt_plan_is_view(const vt_plan *plan, vt_node node)
{
    const vt_op *op = plan->graph->nodes[node].op;
    if (!op) return false;
    return (op->flags & VT_OP_VIEW) || (op == &vt_op_dropout && !plan->options.training);
}

/* Somebody asked for the gradient of this node's output. */
static inline bool vt_plan_wants_gradient(const vt_plan *plan, vt_node node)
{
    for (int i = 0; i < plan->options.gradient_count; i++)
        if (plan->options.gradients[i] == node) return true;
    return false;
}

#endif
