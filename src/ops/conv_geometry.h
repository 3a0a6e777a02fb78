/* Window arithmetic shared by convolution and pooling: output sizes and TensorFlow's 'same'. */
#ifndef VT_OPS_CONV_GEOMETRY_H
#define VT_OPS_CONV_GEOMETRY_H

#include "ventral/graph.h"

/* One dimension of a sliding window. */
typedef struct vt_window {
    int64_t in, out;
    int kernel, stride, dilation, before, after; /* padding before and after */
} vt_window;

/* Output size and padding of one dimension. `before` and `after` hold the explicit padding on
 * entry. false when the window does not fit the padded input or an argument is out of range. */
static inline bool vt_window_resolve(vt_window *w, vt_padding padding)
{
    if (w->stride <= 0) w->stride = 1;
    if (w->dilation <= 0) w->dilation = 1;
    if (w->kernel < 1 || w->in < 1 || w->before < 0 || w->after < 0) return false;
    int64_t extent = (int64_t)(w->kernel - 1) * w->dilation + 1;
    if (padding == VT_PAD_SAME) {
        w->out = (w->in + w->stride - 1) / w->stride;
        int64_t total = (w->out - 1) * w->stride + extent - w->in;
        if (total < 0) total = 0;
        w->before = (int)(total / 2);
        w->after = (int)(total - total / 2);
    }
    int64_t padded = w->in + w->before + w->after;
    if (padded < extent) return false;
    w->out = (padded - extent) / w->stride + 1;
    return true;
}

/* Both dimensions of a convolution whose input is (height, width, channels). */
static inline bool vt_conv2d_windows(vt_window w[2], const vt_conv2d_options *o,
                                     const int64_t *in_size)
{
    for (int i = 0; i < 2; i++) {
        w[i] = (vt_window){.in = in_size[i],
                           .kernel = o->kernel[i],
                           .stride = o->stride[i],
                           .dilation = o->dilation[i],
                           .before = o->pad[2 * i],
                           .after = o->pad[2 * i + 1]};
        if (!vt_window_resolve(&w[i], o->padding)) return false;
    }
    return true;
}

/* Both dimensions of a pooling whose input is (height, width, channels). */
static inline bool vt_pool_windows(vt_window w[2], const vt_pool_options *o, const int64_t *in_size)
{
    for (int i = 0; i < 2; i++) {
        w[i] = (vt_window){.in = in_size[i],
                           .kernel = o->kernel[i],
                           .stride = o->stride[i] ? o->stride[i] : o->kernel[i],
                           .before = o->pad[2 * i],
                           .after = o->pad[2 * i + 1]};
        if (!vt_window_resolve(&w[i], o->padding)) return false;
    }
    return true;
}

/* Kernel positions [first, last) that fall inside the input for output `out`. */
static inline void vt_window_taps(const vt_window *w, int64_t out, int64_t *first, int64_t *last)
{
    int64_t start = out * w->stride - w->before, left = w->in - start;
    *first = start < 0 ? (-start + w->dilation - 1) / w->dilation : 0;
    *last = left > 0 ? (left + w->dilation - 1) / w->dilation : 0;
    if (*last > w->kernel) *last = w->kernel;
}

#endif
