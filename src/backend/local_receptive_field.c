/* Local receptive fields of float32 by matrix products (oneDNN's), one a position and row of the
 * kernel. Images of the batch are the rows of a matrix that lies in the activations as they are:
 * its rows are a whole image apart, and what a kernel row covers is contiguous. Nothing is gathered
 * or scattered, and both gradients are added in place.
 *
 * Positions are shared out among the threads. The fields of neighbours overlap, so the gradient of
 * the input is added for every kernel-th row of positions at a time: these touch different rows of
 * the input, and each sum has one order whatever the number of threads. */
#include "backend/local_receptive_field.h"

#include "backend/onednn_adapter.h"
#include "base/arena.h"
#include "ops/local_receptive_field.h"
#include "ventral/progress.h"

#include <stdlib.h>

enum { IMAGES = 64 }; /* of the input's gradient at once: more tasks than rows */

typedef struct local {
    vt_local_layer layer;
    int threads;
} local;

/* A parallel loop reports the worst of its products; their messages stay with other threads. */
static vt_status worst(int status)
{
    if (status == VT_OK) return VT_OK;
    return vt_error((vt_status)status, "local receptive fields: a matrix product failed");
}

static int forward_position(const vt_local_layer *l, const vt_op_args *args, int64_t p)
{
    const float *x = args->in[0].data, *w = args->param[0].data;
    vt_local_field field = vt_local_field_at(l, p);
    int status = VT_OK;
    for (int64_t r = 0; r < field.rows && status == VT_OK; r++) {
        vt_dnnl_product product = {.transpose_b = true,
                                   .m = l->batch,
                                   .n = l->filters,
                                   .k = field.length,
                                   .beta = r > 0,
                                   .threads = 1,
                                   .row_a = l->image,
                                   .row_b = l->filter_step,
                                   .row_c = l->positions * l->filters};
        status = vt_dnnl_product_run(&product, x + vt_local_input(l, &field, 0, r),
                                     w + vt_local_weight(l, &field, p, 0, r),
                                     (float *)args->out.data + p * l->filters);
    }
    return status;
}

static vt_status forward(void *state, const vt_op_args *args)
{
    const local *s = state;
    int status = VT_OK;
#pragma omp parallel for schedule(static) num_threads(s->threads) reduction(max : status)
    for (int64_t p = 0; p < s->layer.positions; p++) {
        int one = forward_position(&s->layer, args, p);
        if (one > status) status = one;
    }
    return worst(status);
}

static int kernel_gradient_position(const vt_local_layer *l, const vt_op_args *args, int64_t p)
{
    const float *x = args->in[0].data, *gy = args->grad_out.data;
    vt_local_field field = vt_local_field_at(l, p);
    int status = VT_OK;
    for (int64_t r = 0; r < field.rows && status == VT_OK; r++) {
        vt_dnnl_product product = {.transpose_a = true,
                                   .m = l->filters,
                                   .n = field.length,
                                   .k = l->batch,
                                   .beta = 1,
                                   .threads = 1,
                                   .row_a = l->positions * l->filters,
                                   .row_b = l->image,
                                   .row_c = l->filter_step};
        status = vt_dnnl_product_run(
            &product, gy + p * l->filters, x + vt_local_input(l, &field, 0, r),
            (float *)args->grad_param[0].data + vt_local_weight(l, &field, p, 0, r));
    }
    return status;
}

static vt_status kernel_gradient(const local *s, const vt_op_args *args)
{
    int status = VT_OK;
#pragma omp parallel for schedule(static) num_threads(s->threads) reduction(max : status)
    for (int64_t p = 0; p < s->layer.positions; p++) {
        int one = kernel_gradient_position(&s->layer, args, p);
        if (one > status) status = one;
    }
    return worst(status);
}

/* One position and some images, from `first` on. */
static int input_gradient_position(const vt_local_layer *l, const vt_op_args *args, int64_t p,
                                   int64_t first)
{
    const float *w = args->param[0].data, *gy = args->grad_out.data;
    vt_local_field field = vt_local_field_at(l, p);
    int status = VT_OK;
    for (int64_t r = 0; r < field.rows && status == VT_OK; r++) {
        vt_dnnl_product product = {.m = l->batch - first < IMAGES ? l->batch - first : IMAGES,
                                   .n = field.length,
                                   .k = l->filters,
                                   .beta = 1,
                                   .threads = 1,
                                   .row_a = l->positions * l->filters,
                                   .row_b = l->filter_step,
                                   .row_c = l->image};
        status = vt_dnnl_product_run(&product, gy + (first * l->positions + p) * l->filters,
                                     w + vt_local_weight(l, &field, p, 0, r),
                                     (float *)args->grad_in[0].data +
                                         vt_local_input(l, &field, first, r));
    }
    return status;
}

static vt_status input_gradient(const local *s, const vt_op_args *args)
{
    const vt_local_layer *l = &s->layer;
    int64_t parts = (l->batch + IMAGES - 1) / IMAGES;
    int status = VT_OK;
    for (int64_t phase = 0; phase < l->kernel && phase < l->height; phase++) {
        int64_t rows = (l->height - phase + l->kernel - 1) / l->kernel;
#pragma omp parallel for schedule(dynamic) num_threads(s->threads) reduction(max : status)
        for (int64_t task = 0; task < rows * parts; task++) {
            int64_t row = phase + task / parts * l->kernel;
            for (int64_t p = row * l->width; p < (row + 1) * l->width; p++) {
                int one = input_gradient_position(l, args, p, task % parts * IMAGES);
                if (one > status) status = one;
            }
        }
    }
    return worst(status);
}

static vt_status backward(void *state, const vt_op_args *args)
{
    if (args->grad_in[0].data) VT_TRY(input_gradient(state, args));
    if (args->grad_param[0].data) VT_TRY(kernel_gradient(state, args));
    return VT_OK;
}

vt_status vt_local_receptive_field_prepare(vt_kernel *out, const vt_kernel_request *request)
{
    local *s = vt_alloc(1, sizeof *s);
    if (!s) return VT_ENOMEM;
    *s = (local){vt_local_layer_of(&request->args), vt_threads()};
    *out = (vt_kernel){.name = "onednn",
                       .state = s,
                       .forward = forward,
                       .backward = request->backward ? backward : NULL,
                       .free = free};
    return VT_OK;
}
