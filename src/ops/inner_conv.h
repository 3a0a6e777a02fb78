/* A convolution inside a layer, whose kernel the layer makes from its own parameters: one group,
 * stride 1, zero padding that keeps the size. */
#ifndef VT_OPS_INNER_CONV_H
#define VT_OPS_INNER_CONV_H

#include "ops/op.h"

typedef struct vt_inner_conv {
    vt_conv2d_options options;
    vt_op_args args; /* of vt_op_conv2d: sizes, no data; in and out are alike */
    size_t kernel_bytes, image_bytes, scratch_bytes;
} vt_inner_conv;

/* `channels` to `channels` with a kernel `width` (odd) square, beside the layer at work in `outer`.
 * The kernel's gradient is wanted where any of the outer's parameters has one, the bias's
 * with `bias_gradient`. */
void vt_inner_conv_init(vt_inner_conv *conv, const vt_op_args *outer, int64_t channels, int width,
                        bool bias_gradient);

/* Elements of a parameter of either precision, in double. */
static inline double vt_element(const vt_tensor *t, int64_t i)
{
    return t->dtype == VT_F64 ? ((const double *)t->data)[i] : ((const float *)t->data)[i];
}

static inline void vt_set_element(const vt_tensor *t, int64_t i, double value)
{
    if (t->dtype == VT_F64)
        ((double *)t->data)[i] = value;
    else
        ((float *)t->data)[i] = (float)value;
}

/* Adds to an element of a gradient, where one is wanted. */
static inline void vt_add_element(const vt_tensor *t, int64_t i, double value)
{
    if (t->data) vt_set_element(t, i, vt_element(t, i) + value);
}

#endif
