/* Convolution of many small images: a matrix product for each output pixel and kernel row. */
#ifndef VT_BACKEND_PIXEL_PRODUCTS_H
#define VT_BACKEND_PIXEL_PRODUCTS_H

#include "ops/conv_geometry.h"

/* Windows: height, width. No groups, no bias. */
typedef struct vt_pixel_products {
    vt_window window[2];
    int64_t batch, channels, filters;
    int threads;
} vt_pixel_products;

/* So much of the windows lies outside the images that this is faster than to go over it, in float32
 * or, with `bf16`, in half the time. */
bool vt_pixel_products_pay(const vt_pixel_products *c, bool bf16);

vt_status vt_pixel_products_forward(const vt_pixel_products *c, const float *x, const float *kernel,
                                    float *y);
/* Adds to gx, or replaces what is there. */
vt_status vt_pixel_products_input_gradient(const vt_pixel_products *c, const float *kernel,
                                           const float *gy, float *gx, bool overwrite);
/* Adds to gk. */
vt_status vt_pixel_products_kernel_gradient(const vt_pixel_products *c, const float *x,
                                            const float *gy, float *gk);

#endif
