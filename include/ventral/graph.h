/* Networks: a graph of layers, made ready by a plan, run as often as wanted.
 *
 * A graph is built once: every layer call returns the node it made, or VT_NO_NODE after a mistake,
 * which later calls pass on; vt_graph_finish reports the first one. Sizes of nodes are those of one
 * sample, (height, width, channels) or (features); a plan adds the batch in front. */
#ifndef VENTRAL_GRAPH_H
#define VENTRAL_GRAPH_H

#include "ventral/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_graph vt_graph;
typedef int vt_node;
#define VT_NO_NODE (-1)

/* Names of parameters: LAYER.kernel, .bias, .gamma, .beta, .moving_mean, .moving_variance as Keras
 * has them, or LAYER.weight, .bias, .running_mean, .running_var as PyTorch has. */
typedef enum vt_naming { VT_NAMES_KERAS, VT_NAMES_TORCH } vt_naming;

/* dtype: VT_F32, or VT_F64 for gradient checks (reference backend only). */
vt_status vt_graph_new(vt_graph **out, vt_dtype dtype, vt_naming naming);
void vt_graph_free(vt_graph *graph);

/* Allocates parameters (one block) and gradients (another) and initialises them from `seed`; no
 * layer can be added after. Fails with the first mistake made while building. */
vt_status vt_graph_finish(vt_graph *graph, uint64_t seed);

/* ---- layers ---- */

typedef enum vt_padding {
    VT_PAD_EXPLICIT, /* pad[]: top, bottom, left, right; all 0 is TensorFlow's 'valid' */
    VT_PAD_SAME,     /* TensorFlow's 'same': output = ceil(input / stride), odd row at the bottom */
} vt_padding;

/* In all options zero means the usual: stride, dilation and groups 1. `name` is required. */
typedef struct vt_conv2d_options {
    const char *name;
    const char *kernel_name, *bias_name; /* NULL: NAME.kernel or NAME.weight, NAME.bias */
    int filters, kernel[2], stride[2], dilation[2], groups;
    vt_padding padding;
    int pad[4];
    bool no_bias;
} vt_conv2d_options;

typedef struct vt_linear_options {
    const char *name;
    int units;
    bool no_bias;
} vt_linear_options;

/* y = gamma (x - mean) / sqrt(variance + epsilon) + beta over all but the last dimension. Running
 * statistics move by `momentum` (PyTorch's sense: 0.1 there, 0.01 for Keras's 0.99); the running
 * variance is the batch's biased one (Keras) or, with `unbiased`, n / (n - 1) times it (PyTorch).
 */
typedef struct vt_batch_norm_options {
    const char *name;
    double epsilon, momentum;
    bool unbiased;
} vt_batch_norm_options;

typedef struct vt_pool_options {
    const char *name;
    int kernel[2], stride[2]; /* stride 0: the kernel's size */
    vt_padding padding;
    int pad[4];
    bool count_padding; /* average pooling: divide by the whole window (PyTorch's default) */
} vt_pool_options;

typedef struct vt_dropout_options {
    const char *name;
    double rate;   /* probability of dropping; kept values are scaled by 1 / (1 - rate) */
    bool channels; /* drop whole feature maps */
} vt_dropout_options;

typedef struct vt_blend_options {
    const char *name;
    double weight; /* of the second layer */
} vt_blend_options;

/* A readout of a feature map by Gaussian pools (see src/ops/gaussian_readout.c), for training on
 * several recordings at once. Parameters: mixing (neurons, channels), bias (neurons), position
 * (neurons, 2) in pixels from the map's centre, row first, and log_sd (neurons, 2). */
#define VT_READOUT_GROUPS 64
typedef struct vt_gaussian_readout_options {
    const char *name;
    int group_count;
    int neurons[VT_READOUT_GROUPS]; /* of each group */
    double sd;                      /* of the pools at the start, pixels */
} vt_gaussian_readout_options;

vt_node vt_input(vt_graph *graph, const char *name, int ndim, const int64_t *size);
vt_node vt_conv2d(vt_graph *graph, vt_node x, const vt_conv2d_options *options);
vt_node vt_linear(vt_graph *graph, vt_node x, const vt_linear_options *options);
vt_node vt_batch_norm(vt_graph *graph, vt_node x, const vt_batch_norm_options *options);
vt_node vt_relu(vt_graph *graph, vt_node x, const char *name);
vt_node vt_add(vt_graph *graph, vt_node a, vt_node b, const char *name);
/* (1 - weight) a + weight b, weight from 0 to 1. */
vt_node vt_blend(vt_graph *graph, vt_node a, vt_node b, const vt_blend_options *options);
vt_node vt_max_pool(vt_graph *graph, vt_node x, const vt_pool_options *options);
vt_node vt_average_pool(vt_graph *graph, vt_node x, const vt_pool_options *options);
vt_node vt_dropout(vt_graph *graph, vt_node x, const vt_dropout_options *options);
vt_node vt_flatten(vt_graph *graph, vt_node x, const char *name);
/* `group`: an input of one number a sample, the recording it belongs to. Outputs of other groups'
 * neurons are 0. */
vt_node vt_gaussian_readout(vt_graph *graph, vt_node features, vt_node group,
                            const vt_gaussian_readout_options *options);

/* Losses: one number a batch. Targets that are NaN do not count (mean squared error, Poisson).
 * mean_squared_error: mean of (x - t)^2. poisson_loss: mean of x - t log(x + 1e-8), x >= 0.
 * cross_entropy: mean over samples of -log softmax(x)[t]; t holds one class number a sample. */
vt_node vt_mean_squared_error(vt_graph *graph, vt_node x, vt_node target, const char *name);
vt_node vt_poisson_loss(vt_graph *graph, vt_node x, vt_node target, const char *name);
vt_node vt_cross_entropy(vt_graph *graph, vt_node x, vt_node target, const char *name);

/* ---- what a graph holds ---- */

typedef struct vt_param {
    const char *name;
    vt_tensor value; /* kernels OHWI; linear kernels (units, features) */
    vt_tensor
        gradient;   /* same sizes; accumulated by training plans. Buffers have none (data NULL) */
    bool trainable; /* false: a frozen parameter, or running statistics */
    bool is_buffer; /* running statistics */
} vt_param;

int vt_graph_node_count(const vt_graph *graph);
/* The node of that name, or the last one of that module: "layer1" finds the output of layer1.*;
 * VT_NO_NODE when absent. */
vt_node vt_graph_find(const vt_graph *graph, const char *name);
const char *vt_graph_node_name(const vt_graph *graph, vt_node node);
const char *vt_graph_node_kind(const vt_graph *graph, vt_node node); /* "conv2d", "relu", ... */
/* Sizes of one sample; returns their number. */
int vt_graph_node_size(const vt_graph *graph, vt_node node, int64_t size[VT_MAX_DIMS]);
int64_t vt_graph_node_flops(const vt_graph *graph, vt_node node); /* forward, one sample */

int vt_graph_param_count(const vt_graph *graph);
vt_param *vt_graph_param(vt_graph *graph, int index);             /* borrowed */
vt_param *vt_graph_find_param(vt_graph *graph, const char *name); /* borrowed; NULL when absent */
/* Call after writing parameter values directly: plans made before fold them anew. */
void vt_graph_touch(vt_graph *graph);
/* Freezes or frees the parameters whose names start with `prefix`; plans made later obey. */
void vt_graph_set_trainable(vt_graph *graph, const char *prefix, bool trainable);
void vt_graph_zero_gradients(vt_graph *graph);
/* Sets epsilon of every batch normalization; plans made later obey. VT_EINVAL unless above 0. */
vt_status vt_graph_set_epsilon(vt_graph *graph, double epsilon);

/* ---- plans ---- */

typedef struct vt_plan vt_plan;

typedef enum vt_backend_kind {
    VT_BACKEND_AUTO,      /* the fastest kernel for each layer, the reference where there is none */
    VT_BACKEND_REFERENCE, /* plain loops, the definition the others are tested against */
    VT_BACKEND_ONEDNN,    /* oneDNN where it can, without this library's own fused kernels */
} vt_backend_kind;

/* Memory that several plans use in turn; plans sharing one must not run at the same time. Their
 * inputs are filled in and their results read before another of them runs. */
typedef struct vt_workspace vt_workspace;
vt_status vt_workspace_new(vt_workspace **out);
void vt_workspace_free(vt_workspace *workspace);

typedef struct vt_plan_options {
    int64_t batch;
    bool training; /* batch statistics, dropout active */
    bool backward; /* gradients of the outputs with respect to trainable parameters and `gradients`
                    */
    bool frozen;   /* gradients of `gradients` alone, none of parameters */
    const vt_node *outputs; /* what is wanted; only what these need is planned */
    int output_count;
    const vt_node *gradients; /* nodes whose gradients are wanted too, such as the input */
    int gradient_count;
    vt_backend_kind backend;
    bool bf16;               /* bfloat16 products with float32 sums, where the processor has them */
    uint64_t seed;           /* of dropout */
    vt_workspace *workspace; /* NULL: the plan's own */
} vt_plan_options;

/* VT_ENOTFOUND for unknown nodes, VT_EINVAL for a batch below 1. Allocates all a run needs. */
vt_status vt_plan_new(vt_plan **out, vt_graph *graph, const vt_plan_options *options);
void vt_plan_free(vt_plan *plan);

/* Tensors with the batch in front, borrowed, valid as long as the plan: inputs to fill before a
 * run; outputs to read after it; seeds, the gradients at the outputs, to fill before
 * vt_plan_backward (a loss's is 1 from the start, others' are 0); gradients of the nodes in
 * options.gradients. NULL when the plan does not hold it. */
vt_tensor *vt_plan_input(vt_plan *plan, vt_node node);
const vt_tensor *vt_plan_output(const vt_plan *plan, vt_node node);
vt_tensor *vt_plan_seed(vt_plan *plan, vt_node node);
const vt_tensor *vt_plan_gradient(const vt_plan *plan, vt_node node);

vt_status vt_plan_forward(vt_plan *plan);
vt_status vt_plan_backward(vt_plan *plan); /* after forward; parameter gradients accumulate */
/* Which random numbers dropout draws: the same (seed, step) gives the same masks. */
void vt_plan_set_step(vt_plan *plan, uint32_t step);
size_t vt_plan_bytes(const vt_plan *plan); /* memory held for activations, gradients, scratch */
/* Kernel that runs a node: "reference", "onednn", "native", or, several layers in one, "stream" or
 * "stem"; NULL when not planned. */
const char *vt_plan_kernel_name(const vt_plan *plan, vt_node node);

/* Instruction set of this library's own kernels here: "base", "avx2" or "avx512". */
const char *vt_backend_instructions(void);
/* Version of the oneDNN library in use. */
void vt_backend_onednn_version(int *major, int *minor, int *patch);

#ifdef __cplusplus
}
#endif
#endif
