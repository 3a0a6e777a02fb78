/* Two-dimensional convolution (correlation, as all networks mean it), stride s, dilation d, padding
 * p; output o reads the C channels of its group g:
 *
 *     y[n,i,j,o] = b[o] + sum over u,v,c of K[o,u,v,c] x[n, s i - p + d u, s j - p + d v, g C + c]
 *
 * and its gradients: of b the sum of dy, of K and x the same triple products summed over (n, i, j)
 * and over (o, u, v). The innermost loops run over contiguous channels: with one group and no
 * dilation over all of a kernel row at once, for depthwise kernels over the channels themselves. */
#ifndef REAL
#include "ops/check.h"
#include "ops/real.h"

#include <string.h>

typedef struct conv {
    vt_window rows, columns;
    int64_t batch, channels, filters, taps;
    int64_t group_channels, group_filters; /* of one group */
    bool depthwise;
    bool merged; /* the taps of a kernel row are contiguous in the input, too */
} conv;

static bool is_depthwise(int groups, int64_t channels, int64_t filters)
{
    return groups > 1 && groups == channels && groups == filters;
}

static conv sizes(const vt_op_args *args)
{
    const vt_conv2d_options *o = args->options;
    int groups = o->groups ? o->groups : 1;
    vt_window w[2] = {{0}}; /* they resolve: infer saw to that */
    vt_conv2d_windows(w, o, args->in[0].size + 1);
    conv c = {
        .rows = w[0],
        .columns = w[1],
        .batch = args->batch,
        .channels = args->in[0].size[3],
        .filters = o->filters,
        .taps = (int64_t)o->kernel[0] * o->kernel[1],
        .merged = groups == 1 && w[1].dilation == 1,
    };
    c.group_channels = c.channels / groups;
    c.group_filters = c.filters / groups;
    c.depthwise = is_depthwise(groups, c.channels, c.filters);
    return c;
}

/* Runs of contiguous kernel elements at one output column and one kernel row: `count` runs of
 * `length`, the next one `kernel_step` further in the kernel row and `input_step` in the input. */
typedef struct runs {
    int64_t count, length, kernel_at, input_at, kernel_step, input_step;
} runs;

static runs runs_at(const conv *c, int64_t column)
{
    int64_t first, last;
    vt_window_taps(&c->columns, column, &first, &last);
    int64_t taps = last > first ? last - first : 0;
    int64_t input_column =
        column * c->columns.stride - c->columns.before + first * c->columns.dilation;
    return (runs){
        .count = c->merged ? taps > 0 : taps,
        .length = c->merged ? taps * c->channels : c->group_channels,
        .kernel_at = first * c->group_channels,
        .input_at = input_column * c->channels,
        .kernel_step = c->group_channels,
        .input_step = c->columns.dilation * c->channels,
    };
}

/* Output row that reads input row `row` through kernel row `tap`, or -1. */
static int64_t output_row(const conv *c, int64_t row, int64_t tap)
{
    int64_t at = row + c->rows.before - tap * c->rows.dilation;
    if (at < 0 || at % c->rows.stride != 0 || at / c->rows.stride >= c->rows.out) return -1;
    return at / c->rows.stride;
}

/* Filters from `filter` on that are worked on at once: they must share their group. */
static int64_t filters_at(const conv *c, int64_t filter)
{
    return filter % c->group_filters + TOGETHER <= c->group_filters ? TOGETHER : 1;
}

/* Output columns from `column` on that are worked on at once: they must see the whole kernel. */
static int64_t columns_at(const conv *c, int64_t column)
{
    const vt_window *w = &c->columns;
    int64_t first = column * w->stride - w->before;
    int64_t last = first + (TOGETHER - 1) * w->stride + (int64_t)(w->kernel - 1) * w->dilation;
    return first >= 0 && last < w->in && column + TOGETHER <= w->out ? TOGETHER : 1;
}

static int64_t operations(const conv *c)
{
    return c->batch * c->rows.out * c->columns.out * c->taps * c->filters * c->group_channels;
}

#define REAL float
#include "ops/conv2d.c"
#undef REAL
#define REAL double
#include "ops/conv2d.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    const vt_conv2d_options *o = s->options;
    vt_window w[2];
    VT_TRY(vt_check_image(s));
    int64_t channels = s->in[0].size[2];
    int groups = o->groups ? o->groups : 1;
    if (o->filters < 1)
        return vt_error(VT_EINVAL, "%s: %d filters, expected at least 1", s->name, o->filters);
    if (groups < 1 || channels % groups || o->filters % groups)
        return vt_error(VT_ESHAPE, "%s: %d groups do not divide %lld channels and %d filters",
                        s->name, groups, (long long)channels, o->filters);
    vt_window_options window = {o->kernel, o->stride, o->dilation, o->padding, o->pad};
    VT_TRY(vt_check_windows(s, &window, w));

    s->out = (vt_shape){.ndim = 3, .size = {w[0].out, w[1].out, o->filters}};
    /* Keras's fans; its depthwise kernels are (rows, columns, channels, 1). */
    double taps = (double)o->kernel[0] * o->kernel[1];
    bool depthwise = is_depthwise(groups, channels, o->filters);
    s->params = o->no_bias ? 1 : 2;
    s->param[0] = (vt_param_spec){
        .role = "kernel",
        .name = o->kernel_name,
        .ndim = 4,
        .size = {o->filters, o->kernel[0], o->kernel[1], channels / groups},
        .init = VT_INIT_GLOROT_UNIFORM,
        .fan_in = taps * (double)(depthwise ? channels : channels / groups),
        .fan_out = taps * (depthwise ? 1 : o->filters),
    };
    s->param[1] = (vt_param_spec){.role = "bias",
                                  .name = o->bias_name,
                                  .ndim = 1,
                                  .size = {o->filters},
                                  .init = VT_INIT_ZERO};
    return vt_check_results(s);
}

static int64_t flops(const vt_op_shape *s)
{
    const int64_t *k = s->param[0].size, *out = s->out.size;
    return vt_flops(7, (int64_t[]){2, k[0], k[1], k[2], k[3], out[0], out[1]});
}

/* The depthwise kernel with its channels last, or sums of the kernel's gradient over one image. */
static size_t scratch_bytes(const vt_op_args *args)
{
    const vt_conv2d_options *o = args->options;
    int groups = o->groups ? o->groups : 1;
    int64_t channels = args->in[0].size[3];
    size_t kernel = (size_t)o->filters * (size_t)o->kernel[0] * (size_t)o->kernel[1] *
                    (size_t)(channels / groups);
    return kernel * vt_dtype_size(args->out.dtype);
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_conv2d = {
    .name = "conv2d",
    .inputs = 1,
    .options_size = sizeof(vt_conv2d_options),
    .flags = VT_OP_BACKWARD_READS_IN,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .scratch_bytes = scratch_bytes,
    .flops = flops,
};

#else
#include "ops/vectors.h"

/* ---- one output row at a time ---- */

static void FN(forward_row)(const conv *c, REAL *restrict y, const REAL *restrict x,
                            const REAL *restrict kernel, const REAL *restrict bias, int64_t row)
{
    int64_t first_row, last_row;
    vt_window_taps(&c->rows, row, &first_row, &last_row);
    int64_t filter_size = c->taps * c->group_channels;
    int64_t kernel_row = c->columns.kernel * c->group_channels;
    int64_t input_row = c->columns.in * c->channels;
    int64_t top = (row * c->rows.stride - c->rows.before) * input_row;

    for (int64_t o = 0, filters; o < c->filters; o += filters) {
        const REAL *filter = kernel + o * filter_size;
        int64_t group_at = o / c->group_filters * c->group_channels;
        filters = filters_at(c, o);
        for (int64_t j = 0; j < c->columns.out; j++) {
            runs r = runs_at(c, j);
            REAL *sum = y + j * c->filters + o;
            for (int64_t k = 0; k < filters; k++)
                sum[k] = bias ? bias[o + k] : 0;
            for (int64_t u = first_row; u < last_row; u++) {
                const REAL *k = filter + u * kernel_row + r.kernel_at;
                int64_t at = top + u * c->rows.dilation * input_row + r.input_at + group_at;
                for (int64_t v = 0; v < r.count; v++) {
                    FN(add_dots)(sum, (int)filters, k, filter_size, x + at, r.length);
                    k += r.kernel_step;
                    at += r.input_step;
                }
            }
        }
    }
}

/* `kernel` is (taps, channels). */
static void FN(depthwise_forward_row)(const conv *c, REAL *restrict y, const REAL *restrict x,
                                      const REAL *restrict kernel, const REAL *restrict bias,
                                      int64_t row)
{
    int64_t n = c->channels, first_row, last_row, first, last;
    vt_window_taps(&c->rows, row, &first_row, &last_row);
    for (int64_t j = 0; j < c->columns.out; j++, y += n) {
        vt_window_taps(&c->columns, j, &first, &last);
        for (int64_t i = 0; i < n; i++)
            y[i] = bias ? bias[i] : 0;
        for (int64_t u = first_row; u < last_row; u++)
            for (int64_t v = first; v < last; v++) {
                int64_t h = row * c->rows.stride - c->rows.before + u * c->rows.dilation;
                int64_t w = j * c->columns.stride - c->columns.before + v * c->columns.dilation;
                const REAL *in = x + (h * c->columns.in + w) * n;
                const REAL *k = kernel + (u * c->columns.kernel + v) * n;
                for (int64_t i = 0; i < n; i++)
                    y[i] += k[i] * in[i];
            }
    }
}

static void FN(channels_last)(REAL *restrict out, const REAL *restrict kernel, const conv *c)
{
    for (int64_t i = 0; i < c->channels; i++)
        for (int64_t tap = 0; tap < c->taps; tap++)
            out[tap * c->channels + i] = kernel[i * c->taps + tap];
}

static void FN(forward)(const vt_op_args *args)
{
    conv c = sizes(args);
    const REAL *x = args->in[0].data, *kernel = args->param[0].data, *bias = args->param[1].data;
    REAL *y = args->out.data;
    int64_t in_image = c.rows.in * c.columns.in * c.channels;
    int64_t out_row = c.columns.out * c.filters;
    if (c.depthwise) FN(channels_last)(args->scratch, kernel, &c);
#pragma omp parallel for schedule(static) collapse(2)                                              \
    num_threads(vt_threads()) if (operations(&c) > VT_PARALLEL_WORK)
    for (int64_t n = 0; n < c.batch; n++)
        for (int64_t row = 0; row < c.rows.out; row++) {
            REAL *to = y + (n * c.rows.out + row) * out_row;
            if (c.depthwise)
                FN(depthwise_forward_row)(&c, to, x + n * in_image, args->scratch, bias, row);
            else
                FN(forward_row)(&c, to, x + n * in_image, kernel, bias, row);
        }
}

/* ---- gradient of the input, one of its rows at a time ---- */

static void FN(input_gradient_row)(const conv *c, REAL *restrict gx, const REAL *restrict gy,
                                   const REAL *restrict kernel, int64_t row)
{
    int64_t filter_size = c->taps * c->group_channels;
    int64_t kernel_row = c->columns.kernel * c->group_channels;
    for (int64_t u = 0; u < c->rows.kernel; u++) {
        int64_t from = output_row(c, row, u);
        if (from < 0) continue;
        const REAL *gy_row = gy + from * c->columns.out * c->filters;
        for (int64_t o = 0, filters; o < c->filters; o += filters) {
            const REAL *k = kernel + o * filter_size + u * kernel_row;
            int64_t group_at = o / c->group_filters * c->group_channels;
            filters = filters_at(c, o);
            for (int64_t j = 0; j < c->columns.out; j++) {
                runs r = runs_at(c, j);
                const REAL *g = gy_row + j * c->filters + o, *w = k + r.kernel_at;
                int64_t at = r.input_at + group_at;
                for (int64_t v = 0; v < r.count; v++) {
                    FN(add_rows)(gx + at, g, (int)filters, w, filter_size, r.length);
                    w += r.kernel_step;
                    at += r.input_step;
                }
            }
        }
    }
}

static void FN(depthwise_input_gradient_row)(const conv *c, REAL *restrict gx,
                                             const REAL *restrict gy, const REAL *restrict kernel,
                                             int64_t row)
{
    int64_t n = c->channels, first, last;
    for (int64_t u = 0; u < c->rows.kernel; u++) {
        int64_t from = output_row(c, row, u);
        if (from < 0) continue;
        for (int64_t j = 0; j < c->columns.out; j++) {
            const REAL *g = gy + (from * c->columns.out + j) * n;
            vt_window_taps(&c->columns, j, &first, &last);
            for (int64_t v = first; v < last; v++) {
                int64_t w = j * c->columns.stride - c->columns.before + v * c->columns.dilation;
                const REAL *k = kernel + (u * c->columns.kernel + v) * n;
                for (int64_t i = 0; i < n; i++)
                    gx[w * n + i] += k[i] * g[i];
            }
        }
    }
}

static void FN(input_gradient)(const vt_op_args *args, const conv *c)
{
    const REAL *gy = args->grad_out.data, *kernel = args->param[0].data;
    REAL *gx = args->grad_in[0].data;
    int64_t in_row = c->columns.in * c->channels;
    int64_t out_image = c->rows.out * c->columns.out * c->filters;
    if (c->depthwise) FN(channels_last)(args->scratch, kernel, c);
#pragma omp parallel for schedule(static) collapse(2)                                              \
    num_threads(vt_threads()) if (operations(c) > VT_PARALLEL_WORK)
    for (int64_t n = 0; n < c->batch; n++)
        for (int64_t row = 0; row < c->rows.in; row++) {
            REAL *to = gx + (n * c->rows.in + row) * in_row;
            if (c->depthwise)
                FN(depthwise_input_gradient_row)(c, to, gy + n * out_image, args->scratch, row);
            else
                FN(input_gradient_row)(c, to, gy + n * out_image, kernel, row);
        }
}

/* ---- gradient of the kernel: summed an image at a time, for float's sake ---- */

static void FN(filter_gradient)(const conv *c, REAL *restrict sum, const REAL *restrict x,
                                const REAL *restrict gy, int64_t filter)
{
    int64_t kernel_row = c->columns.kernel * c->group_channels;
    int64_t input_row = c->columns.in * c->channels;
    int64_t input_step = c->columns.stride * c->channels; /* to the next output column's window */
    int64_t group_at = filter / c->group_filters * c->group_channels;
    for (int64_t i = 0; i < c->rows.out; i++) {
        int64_t first_row, last_row;
        vt_window_taps(&c->rows, i, &first_row, &last_row);
        int64_t top = (i * c->rows.stride - c->rows.before) * input_row + group_at;
        for (int64_t j = 0, columns; j < c->columns.out; j += columns) {
            runs r = runs_at(c, j);
            REAL g[TOGETHER];
            columns = columns_at(c, j);
            for (int64_t k = 0; k < columns; k++)
                g[k] = gy[(i * c->columns.out + j + k) * c->filters + filter];
            for (int64_t u = first_row; u < last_row; u++) {
                int64_t at = top + u * c->rows.dilation * input_row + r.input_at;
                REAL *to = sum + u * kernel_row + r.kernel_at;
                for (int64_t v = 0; v < r.count; v++) {
                    FN(add_rows)(to, g, (int)columns, x + at, input_step, r.length);
                    to += r.kernel_step;
                    at += r.input_step;
                }
            }
        }
    }
}

/* Channels [first_channel, first_channel + n) into sum[taps][n]. */
static void FN(depthwise_gradient)(const conv *c, REAL *restrict sum, const REAL *restrict x,
                                   const REAL *restrict gy, int64_t first_channel, int64_t n)
{
    for (int64_t i = 0; i < c->rows.out; i++)
        for (int64_t j = 0; j < c->columns.out; j++) {
            const REAL *g = gy + (i * c->columns.out + j) * c->channels + first_channel;
            int64_t first_row, last_row, first, last;
            vt_window_taps(&c->rows, i, &first_row, &last_row);
            vt_window_taps(&c->columns, j, &first, &last);
            for (int64_t u = first_row; u < last_row; u++)
                for (int64_t v = first; v < last; v++) {
                    int64_t h = i * c->rows.stride - c->rows.before + u * c->rows.dilation;
                    int64_t w = j * c->columns.stride - c->columns.before + v * c->columns.dilation;
                    const REAL *in = x + (h * c->columns.in + w) * c->channels + first_channel;
                    REAL *to = sum + (u * c->columns.kernel + v) * n;
                    for (int64_t k = 0; k < n; k++)
                        to[k] += g[k] * in[k];
                }
        }
}

static void FN(kernel_gradient)(const vt_op_args *args, const conv *c)
{
    const REAL *x = args->in[0].data, *gy = args->grad_out.data;
    REAL *gk = args->grad_param[0].data;
    int64_t in_image = c->rows.in * c->columns.in * c->channels;
    int64_t out_image = c->rows.out * c->columns.out * c->filters;
    int64_t filter_size = c->taps * c->group_channels;
    int64_t block = c->depthwise ? 16 : 1; /* filters a piece */
#pragma omp parallel for schedule(static)                                                          \
    num_threads(vt_threads()) if (operations(c) > VT_PARALLEL_WORK)
    for (int64_t first = 0; first < c->filters; first += block) {
        int64_t n = vt_min(block, c->filters - first);
        REAL *sum = (REAL *)args->scratch + first * filter_size;
        for (int64_t image = 0; image < c->batch; image++) {
            const REAL *in = x + image * in_image, *g = gy + image * out_image;
            memset(sum, 0, (size_t)(n * filter_size) * sizeof(REAL));
            if (c->depthwise) {
                FN(depthwise_gradient)(c, sum, in, g, first, n);
                for (int64_t k = 0; k < n; k++)
                    for (int64_t tap = 0; tap < c->taps; tap++)
                        gk[(first + k) * c->taps + tap] += sum[tap * n + k];
            } else {
                FN(filter_gradient)(c, sum, in, g, first);
                for (int64_t k = 0; k < filter_size; k++)
                    gk[first * filter_size + k] += sum[k];
            }
        }
    }
}

static void FN(backward)(const vt_op_args *args)
{
    conv c = sizes(args);
    REAL *gb = args->grad_param[1].data;
    int64_t pixels = c.batch * c.rows.out * c.columns.out;
    if (args->grad_in[0].data) FN(input_gradient)(args, &c);
    if (args->grad_param[0].data) FN(kernel_gradient)(args, &c);
    if (gb) FN(add_column_sums)(gb, args->grad_out.data, pixels, c.filters);
}

#endif
