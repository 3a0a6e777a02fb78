/* Where arithmetic runs. A backend turns one node, with all sizes known, into a kernel; a plan asks
 * its backends in order and takes the first that does not decline. */
#ifndef VT_BACKEND_BACKEND_H
#define VT_BACKEND_BACKEND_H

#include "ops/op.h"

/* A node made ready on a backend. */
typedef struct vt_kernel {
    const char *name; /* the backend's */
    void *state;
    vt_status (*forward)(void *state, const vt_op_args *args);
    vt_status (*backward)(void *state, const vt_op_args *args); /* NULL when not requested */
    /* Constant parameters (see the request) have new values: pack them. NULL: nothing to do. Called
     * once before the first forward, too. */
    vt_status (*refresh)(void *state, const vt_op_args *args);
    void (*free)(void *state);
    size_t scratch_bytes;   /* args->scratch of both directions */
    size_t saved_bytes;     /* args->saved */
    bool overwrites;        /* backward minds args->overwrite */
    bool in_place_gradient; /* overwriting, it may have grad_in[0].data == grad_out.data */
} vt_kernel;

/* How a node will be used. `args` holds sizes, dtype and options, and no data; grad_in[i].ndim and
 * grad_param[i].ndim are -1 where no gradient is wanted. */
typedef struct vt_kernel_request {
    const vt_op *op;
    vt_op_args args;
    bool backward;
    bool bf16;            /* bfloat16 products with float32 sums are welcome */
    bool constant_params; /* parameters change only before a `refresh`: kernels may keep packed
                             copies */
} vt_kernel_request;

typedef struct vt_backend {
    const char *name;
    /* VT_EUNSUPPORTED declines: the next backend is asked. */
    vt_status (*prepare)(vt_kernel *out, const vt_kernel_request *request);
} vt_backend;

extern const vt_backend vt_backend_reference; /* takes every op, float and double */
extern const vt_backend vt_backend_onednn; /* float32 convolution, linear, normalization, pooling */

#endif
