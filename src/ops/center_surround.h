/* Kernels of center-surround antagonism, differences of Gaussians, for every backend. */
#ifndef VT_OPS_CENTER_SURROUND_H
#define VT_OPS_CENTER_SURROUND_H

#include "ops/inner_conv.h"

enum { VT_DOG_SIGMA1, VT_DOG_SIGMA2_SCALE, VT_DOG_TOTAL_SCALE, VT_DOG_BIAS };
enum { VT_DOG_MAX_RADIUS = 64 };
/* Bounds of sigma1 and sigma2_scale. */
#define VT_DOG_LEAST_SIGMA 0.1
#define VT_DOG_LEAST_RATIO 1.0001

/* Writes the convolution kernel (channels, 2 radius + 1, 2 radius + 1, channels). */
void vt_dog_kernel(const vt_op_args *args, const vt_tensor *kernel);
/* From the gradient of that kernel to those of the parameters, added. */
void vt_dog_gradient(const vt_op_args *args, const vt_tensor *grad_kernel);

#endif
