/* Weights of resampling along one axis, for images whose pixels are not RGB. */
#ifndef VT_IO_RESIZE_H
#define VT_IO_RESIZE_H

#include "ventral/status.h"

enum { VT_RESAMPLING_BITS = 32 - 8 - 2 };

/* Output i is the sum over k < count[i] of weight[i * stride + k] times input first[i] + k, rounded
 * by vt_resampling_round; first and first + count never fall. The weights of an output sum to
 * 2^VT_RESAMPLING_BITS, but for their rounding. */
typedef struct vt_resampling {
    int *first, *count;
    int32_t *weight;
    size_t stride;
} vt_resampling;

/* The triangle filter of vt_image_resize; sizes of at least 1. */
vt_status vt_resampling_new(vt_resampling *out, int input, int output);
void vt_resampling_free(vt_resampling *resampling);

static inline uint8_t vt_resampling_round(int32_t sum)
{
    int32_t value = (sum + (1 << (VT_RESAMPLING_BITS - 1))) >> VT_RESAMPLING_BITS;
    return (uint8_t)(value > 255 ? 255 : value);
}

#endif
