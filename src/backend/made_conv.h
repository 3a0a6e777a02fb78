/* oneDNN's convolution within a layer that makes its kernel from other parameters. */
#ifndef VT_BACKEND_MADE_CONV_H
#define VT_BACKEND_MADE_CONV_H

#include "backend/backend.h"
#include "ops/inner_conv.h"

typedef struct vt_made_conv {
    vt_inner_conv inner; /* its args hold kernel and bias, in memory of their own */
    vt_kernel kernel;
    bool constant;          /* the outer's parameters change only before a refresh */
    size_t scratch_bytes;   /* of the convolution, a multiple of 64 as the other two */
    size_t image_bytes;     /* of its input, alike its output */
    size_t gradients_bytes; /* of kernel and bias, 0 where no gradient is wanted */
} vt_made_conv;

/* Not to be moved afterwards. VT_EUNSUPPORTED where oneDNN has nothing fast. */
vt_status vt_made_conv_init(vt_made_conv *c, const vt_kernel_request *outer, int64_t channels,
                            int width, bool bias_gradient);
void vt_made_conv_destroy(vt_made_conv *c);

/* Kernel and bias were written: packs them where they are constant. */
vt_status vt_made_conv_refresh(vt_made_conv *c);

/* y = kernel * x + bias */
vt_status vt_made_conv_forward(vt_made_conv *c, void *x, void *y, void *scratch);

/* Adds to gx, unless it is NULL. Gradients of kernel and bias start from zero in `gradients`. */
typedef struct vt_made_gradients {
    vt_tensor kernel, bias; /* data NULL where not wanted */
} vt_made_gradients;
vt_status vt_made_conv_backward(vt_made_conv *c, void *x, void *gy, void *gx, void *scratch,
                                vt_made_gradients *out, void *gradients);

#endif
