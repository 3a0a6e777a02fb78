/* What the layers' shape inference shares: checks whose messages name the node. */
#ifndef VT_OPS_CHECK_H
#define VT_OPS_CHECK_H

#include "ops/conv_geometry.h"
#include "ops/op.h"

/* Writes "(7, 5, 8)" into `text` and returns it. */
const char *vt_shape_text(const vt_shape *shape, char *text, size_t size);
bool vt_shape_equal(const vt_shape *a, const vt_shape *b);

/* Every input has 1 to VT_MAX_DIMS - 1 dimensions, positive sizes and a countable number of
 * elements. */
vt_status vt_check_inputs(const vt_op_shape *shape);
/* The output and the parameters, too, can be counted; the last step of an inference. */
vt_status vt_check_results(const vt_op_shape *shape);
/* Input 0 is an image (height, width, channels). */
vt_status vt_check_image(const vt_op_shape *shape);
/* Both inputs have the same sizes; `what` names the second. */
vt_status vt_check_same(const vt_op_shape *shape, const char *what);
/* No loss: its one value cannot go through a layer. */
vt_status vt_check_batched(const vt_op_shape *shape);

/* Resolves the window of a convolution or pooling over input 0, one dimension after the other. */
typedef struct vt_window_options {
    const int *kernel, *stride, *dilation; /* two each; dilation NULL: 1 */
    vt_padding padding;
    const int *pad; /* top, bottom, left, right */
} vt_window_options;
vt_status vt_check_windows(const vt_op_shape *shape, const vt_window_options *options,
                           vt_window w[2]);

/* Product of positive numbers, at most INT64_MAX. */
int64_t vt_flops(int n, const int64_t *factors);

#endif
