/* Normalization by a pool of responses, y = x / (K * x + b): a convolution with a kernel K and a
 * semi-saturation b that a layer makes from its parameters. No epsilon keeps the divisor from zero,
 * as in the published code; K and b are positive, and so is x after a ReLU. */
#ifndef VT_OPS_NORMALIZATION_H
#define VT_OPS_NORMALIZATION_H

#include "ops/inner_conv.h"

typedef struct vt_normalization {
    int bias;                             /* the parameter behind b, -1 where b is a constant */
    int (*width)(const vt_op_args *args); /* of the kernel, odd */
    /* Writes the kernel (channels, width, width, channels) and the bias (channels). */
    void (*make)(const vt_op_args *args, const vt_tensor *kernel, const vt_tensor *bias);
    /* From their gradients (of the bias only where it is wanted) to those of the parameters, added.
     */
    void (*gradient)(const vt_op_args *args, const vt_tensor *grad_kernel,
                     const vt_tensor *grad_bias);
} vt_normalization;

static inline bool vt_normalization_wants_bias(const vt_normalization *n, const vt_op_args *args)
{
    return n->bias >= 0 && args->grad_param[n->bias].ndim >= 0;
}

extern const vt_normalization vt_divisive, vt_tuned;
#define VT_TUNED_LEAST_SIGMA 0.5 /* bound of sigmas */

/* The plain loops, for either precision. */
void vt_normalization_forward(const vt_normalization *n, const vt_op_args *args);
void vt_normalization_backward(const vt_normalization *n, const vt_op_args *args);
size_t vt_normalization_saved_bytes(const vt_normalization *n, const vt_op_args *args);
size_t vt_normalization_scratch_bytes(const vt_normalization *n, const vt_op_args *args);

#endif
