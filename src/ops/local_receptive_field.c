/* Local receptive fields (Pogoncheff, Granley & Beyeler 2023): a convolution whose kernels are not
 * shared between positions, stride 1, zero padding that keeps the size, no bias:
 *
 *     y(i, j, f) = sum over u, v, c of W(i, j, f, u k + v, c) x(i + u - r, j + v - r, c),
 *
 * k = 2 r + 1. dL/dW(i, j, f, uv, c) = dy(i, j, f) x(i + u - r, j + v - r, c), summed over the
 * batch; dL/dx sums dy W over the positions whose kernels reach x. Taps outside the image are left
 * out; their weights have gradient 0. The taps of a kernel row inside the image and their channels
 * are contiguous in W and in x. */
#ifndef REAL
#include "ops/local_receptive_field.h"

#include "ops/check.h"
#include "ops/real.h"

#include <string.h>

static bool is_parallel(const vt_local_layer *l)
{
    return l->batch * l->positions * l->position_step > VT_PARALLEL_WORK;
}

/* Filters or images from `at` on to work on at once. */
static int64_t together(int64_t at, int64_t count)
{
    return at + TOGETHER <= count ? TOGETHER : 1;
}

#define REAL float
#include "ops/local_receptive_field.c"
#undef REAL
#define REAL double
#include "ops/local_receptive_field.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    const vt_local_receptive_field_options *o = s->options;
    VT_TRY(vt_check_image(s));
    if (o->filters < 1)
        return vt_error(VT_EINVAL, "%s: %d filters, expected at least 1", s->name, o->filters);
    if (o->kernel < 1 || o->kernel % 2 == 0)
        return vt_error(VT_EINVAL, "%s: kernel is %d, expected an odd number", s->name, o->kernel);
    const int64_t *in = s->in[0].size;
    s->out = (vt_shape){.ndim = 3, .size = {in[0], in[1], o->filters}};
    s->params = 1;
    s->param[0] =
        (vt_param_spec){.role = "kernel",
                        .ndim = 5,
                        .size = {in[0], in[1], o->filters, (int64_t)o->kernel * o->kernel, in[2]},
                        .init = VT_INIT_NORMAL,
                        .scale = 1};
    return vt_check_results(s);
}

/* Taps inside the image, summed over the positions along one side. */
static int64_t taps_inside(int64_t size, int64_t kernel)
{
    int64_t reach = vt_min(kernel / 2, size - 1);
    return size + reach * (2 * size - reach - 1);
}

static int64_t flops(const vt_op_shape *s)
{
    const vt_local_receptive_field_options *o = s->options;
    const int64_t *in = s->in[0].size;
    return vt_flops(5, (int64_t[]){2, taps_inside(in[0], o->kernel), taps_inside(in[1], o->kernel),
                                   in[2], o->filters});
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_local_receptive_field = {
    .name = "local_receptive_field",
    .inputs = 1,
    .options_size = sizeof(vt_local_receptive_field_options),
    .flags = VT_OP_BACKWARD_READS_IN,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .flops = flops,
};

#else
#include "ops/vectors.h"

static void FN(forward)(const vt_op_args *args)
{
    vt_local_layer l = vt_local_layer_of(args);
    const REAL *x = args->in[0].data, *w = args->param[0].data;
    REAL *y = args->out.data;
    memset(y, 0, vt_tensor_bytes(&args->out));
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (is_parallel(&l))
    for (int64_t p = 0; p < l.positions; p++) {
        vt_local_field field = vt_local_field_at(&l, p);
        for (int64_t n = 0; n < l.batch; n++)
            for (int64_t r = 0; r < field.rows; r++)
                for (int64_t f = 0, rows; f < l.filters; f += rows) {
                    rows = together(f, l.filters);
                    FN(add_dots)
                    (y + (n * l.positions + p) * l.filters + f, (int)rows,
                     w + vt_local_weight(&l, &field, p, f, r), l.filter_step,
                     x + vt_local_input(&l, &field, n, r), field.length);
                }
    }
}

static void FN(input_gradient)(const vt_op_args *args, const vt_local_layer *l)
{
    const REAL *w = args->param[0].data, *gy = args->grad_out.data;
    REAL *gx = args->grad_in[0].data;
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (is_parallel(l))
    for (int64_t n = 0; n < l->batch; n++)
        for (int64_t p = 0; p < l->positions; p++) {
            vt_local_field field = vt_local_field_at(l, p);
            for (int64_t r = 0; r < field.rows; r++)
                for (int64_t f = 0, rows; f < l->filters; f += rows) {
                    rows = together(f, l->filters);
                    FN(add_rows)
                    (gx + vt_local_input(l, &field, n, r),
                     gy + (n * l->positions + p) * l->filters + f, (int)rows,
                     w + vt_local_weight(l, &field, p, f, r), l->filter_step, field.length);
                }
        }
}

static void FN(kernel_gradient)(const vt_op_args *args, const vt_local_layer *l)
{
    const REAL *x = args->in[0].data, *gy = args->grad_out.data;
    REAL *gw = args->grad_param[0].data;
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (is_parallel(l))
    for (int64_t p = 0; p < l->positions; p++) {
        vt_local_field field = vt_local_field_at(l, p);
        for (int64_t f = 0; f < l->filters; f++)
            for (int64_t n = 0, rows; n < l->batch; n += rows) {
                REAL g[TOGETHER];
                rows = together(n, l->batch);
                for (int64_t k = 0; k < rows; k++)
                    g[k] = gy[((n + k) * l->positions + p) * l->filters + f];
                for (int64_t r = 0; r < field.rows; r++)
                    FN(add_rows)
                (gw + vt_local_weight(l, &field, p, f, r), g, (int)rows,
                 x + vt_local_input(l, &field, n, r), l->image, field.length);
            }
    }
}

static void FN(backward)(const vt_op_args *args)
{
    vt_local_layer l = vt_local_layer_of(args);
    if (args->grad_in[0].data) FN(input_gradient)(args, &l);
    if (args->grad_param[0].data) FN(kernel_gradient)(args, &l);
}

#endif
