/* What a kind of layer is: one constant row. Each file of this room defines the rows of its layers;
 * ops.def lists them. Sizes are NHWC, kernels OHWI. */
#ifndef VT_OPS_OP_H
#define VT_OPS_OP_H

#include "ventral/graph.h"

#define VT_OP_MAX_INPUTS 2
#define VT_OP_MAX_PARAMS 8

/* Sizes of one sample, without the batch. */
typedef struct vt_shape {
    int ndim;
    int64_t size[VT_MAX_DIMS - 1];
    bool batchless; /* losses: the whole batch gives one value; ndim 1, size 1 */
} vt_shape;

typedef enum vt_init {
    VT_INIT_ZERO,
    VT_INIT_ONE,
    VT_INIT_CONSTANT,       /* scale */
    VT_INIT_NORMAL,         /* mean `mean`, s.d. scale */
    VT_INIT_UNIFORM,        /* U(low, high) */
    VT_INIT_GLOROT_UNIFORM, /* U(-l, l), l = sqrt(6 / (fan_in + fan_out)); Glorot & Bengio 2010 */
} vt_init;

typedef struct vt_param_spec {
    const char *role; /* Keras's word: kernel, bias, gamma, beta, moving_mean, moving_variance */
    const char *name; /* full name that replaces NODE.role, or NULL */
    int ndim;
    int64_t size[VT_MAX_DIMS];
    bool is_buffer;
    vt_init init;
    double fan_in, fan_out, mean, scale, low, high;
} vt_param_spec;

/* Given: name, options, inputs and in[]. infer fills out, params and param[]. */
typedef struct vt_op_shape {
    const char *name; /* the node's, for messages */
    const void *options;
    int inputs;
    vt_shape in[VT_OP_MAX_INPUTS];
    vt_shape out;
    int params;
    vt_param_spec param[VT_OP_MAX_PARAMS];
} vt_op_shape;

/* One node at work. Tensors carry the batch in front (batchless ones do not) and are contiguous;
 * all have the same dtype, VT_F32 or VT_F64. */
typedef struct vt_op_args {
    const void *options;
    int64_t batch;
    bool training;
    vt_tensor in[VT_OP_MAX_INPUTS];
    vt_tensor out;
    vt_tensor param[VT_OP_MAX_PARAMS]; /* ndim -1, data NULL for an absent one */
    /* Backward adds into these; data is NULL where no gradient is wanted. What `overwrite` says is
     * written instead: for kernels that promise to mind it. */
    vt_tensor grad_in[VT_OP_MAX_INPUTS];
    bool overwrite[VT_OP_MAX_INPUTS];
    vt_tensor grad_out;
    vt_tensor grad_param[VT_OP_MAX_PARAMS];
    void *saved;   /* saved_bytes, written by forward, read by backward */
    void *scratch; /* scratch_bytes, undefined before and after each call */
    uint64_t seed; /* dropout: masks are drawn from (seed, step, node, sample) */
    uint32_t step, node;
    bool relu; /* apply ReLU to the output (inference: conv2d, linear; always: batch_norm) */
} vt_op_args;

enum {
    VT_OP_BACKWARD_READS_IN = 1,  /* backward looks at in[] */
    VT_OP_BACKWARD_READS_OUT = 2, /* backward looks at out */
    VT_OP_IN_PLACE = 4,           /* forward may have out.data == in[0].data */
    VT_OP_VIEW = 8,               /* out is in[0] under another shape: nothing is computed */
    VT_OP_OVERWRITES = 16,        /* backward minds args->overwrite */
    VT_OP_GRADIENT_IN_PLACE = 32, /* overwriting, it may have grad_in[0].data == grad_out.data */
};

typedef struct vt_op {
    const char *name;
    int inputs;
    size_t options_size;
    unsigned flags;
    /* Validates everything; kernels cannot fail. VT_ESHAPE or VT_EINVAL naming the node. */
    vt_status (*infer)(vt_op_shape *shape);
    void (*forward)(const vt_op_args *args);
    void (*backward)(const vt_op_args *args); /* NULL: no gradient */
    /* NULL: none needed. `args` has sizes but no data. */
    size_t (*saved_bytes)(const vt_op_args *args);
    size_t (*scratch_bytes)(const vt_op_args *args);
    int64_t (*flops)(const vt_op_shape *shape); /* forward, one sample; NULL: negligible */
} vt_op;

#define VT_OP(row) extern const vt_op vt_op_##row;
#include "ops/ops.def"
#undef VT_OP

#endif
