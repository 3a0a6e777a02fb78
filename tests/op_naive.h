/* The layers once more, from their definitions and as simply as possible, in double: images are
 * padded first, then every sum is written out. Nothing is shared with the library. */
#ifndef OP_NAIVE_H
#define OP_NAIVE_H

#include "naive_polar.h"
#include "op_driver.h"

typedef struct naive_image {
    int64_t n, h, w, c;
    double *x;
} naive_image;

static double naive_at(const naive_image *m, int64_t n, int64_t h, int64_t w, int64_t c)
{
    assert_true(n < m->n && h >= 0 && h < m->h && w >= 0 && w < m->w && c < m->c);
    return m->x[((n * m->h + h) * m->w + w) * m->c + c];
}

/* TensorFlow's 'same': pad so that ceil(in / stride) windows fit, the odd row at the end. */
static void naive_same(int pad[2], int64_t in, int kernel, int stride, int dilation)
{
    int64_t windows = (in + stride - 1) / stride;
    int64_t needed = (windows - 1) * stride + (kernel - 1) * dilation + 1;
    int64_t missing = needed > in ? needed - in : 0;
    pad[0] = (int)(missing / 2);
    pad[1] = (int)(missing - missing / 2);
}

static naive_image naive_pad(const vt_tensor *x, const int pad[4], double value)
{
    naive_image m = {x->size[0], x->size[1] + pad[0] + pad[1], x->size[2] + pad[2] + pad[3],
                     x->size[3], NULL};
    int64_t count = m.n * m.h * m.w * m.c;
    assert_non_null(m.x = malloc((size_t)count * sizeof(double)));
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i % m.c, w = i / m.c % m.w - pad[2], h = i / m.c / m.w % m.h - pad[0];
        int64_t n = i / m.c / m.w / m.h;
        bool inside = h >= 0 && h < x->size[1] && w >= 0 && w < x->size[2];
        m.x[i] =
            inside ? vt_tensor_get(x, ((n * x->size[1] + h) * x->size[2] + w) * m.c + c) : value;
    }
    return m;
}

static int naive_or(int value, int otherwise)
{
    return value ? value : otherwise;
}

static vt_tensor naive_conv2d(const op_run *r)
{
    const vt_conv2d_options *o = &r->c.options.conv2d;
    const vt_tensor *x = &r->args.in[0], *k = &r->args.param[0], *b = &r->args.param[1];
    int sh = naive_or(o->stride[0], 1), sw = naive_or(o->stride[1], 1);
    int dh = naive_or(o->dilation[0], 1), dw = naive_or(o->dilation[1], 1);
    int pad[4];
    memcpy(pad, o->pad, sizeof pad);
    if (o->padding == VT_PAD_SAME) {
        naive_same(pad, x->size[1], o->kernel[0], sh, dh);
        naive_same(pad + 2, x->size[2], o->kernel[1], sw, dw);
    }
    naive_image m = naive_pad(x, pad, 0);
    int64_t out_h = (m.h - (o->kernel[0] - 1) * dh - 1) / sh + 1;
    int64_t out_w = (m.w - (o->kernel[1] - 1) * dw - 1) / sw + 1;
    int groups = naive_or(o->groups, 1);
    int64_t group_in = m.c / groups, group_out = o->filters / groups, at = 0;
    vt_tensor y;
    assert_ok(vt_tensor_new(&y, VT_F64, 4, (int64_t[]){m.n, out_h, out_w, o->filters}));
    for (int64_t n = 0; n < m.n; n++)
        for (int64_t i = 0; i < out_h; i++)
            for (int64_t j = 0; j < out_w; j++)
                for (int64_t f = 0; f < o->filters; f++) {
                    double sum = o->no_bias ? 0 : vt_tensor_get(b, f);
                    for (int64_t u = 0; u < o->kernel[0]; u++)
                        for (int64_t v = 0; v < o->kernel[1]; v++)
                            for (int64_t c = 0; c < group_in; c++)
                                sum += vt_tensor_get(k, ((f * o->kernel[0] + u) * o->kernel[1] +
                                                         v) * group_in +
                                                            c) *
                                       naive_at(&m, n, i * sh + u * dh, j * sw + v * dw,
                                                f / group_out * group_in + c);
                    ((double *)y.data)[at++] = sum;
                }
    free(m.x);
    return y;
}

static vt_tensor naive_pool(const op_run *r)
{
    const vt_pool_options *o = &r->c.options.pool;
    const vt_tensor *x = &r->args.in[0];
    bool maximum = r->c.op == &vt_op_max_pool;
    int sh = naive_or(o->stride[0], o->kernel[0]), sw = naive_or(o->stride[1], o->kernel[1]);
    int pad[4];
    memcpy(pad, o->pad, sizeof pad);
    if (o->padding == VT_PAD_SAME) {
        naive_same(pad, x->size[1], o->kernel[0], sh, 1);
        naive_same(pad + 2, x->size[2], o->kernel[1], sw, 1);
    }
    naive_image m = naive_pad(x, pad, NAN); /* NaN marks padding */
    int64_t out_h = (m.h - o->kernel[0]) / sh + 1, out_w = (m.w - o->kernel[1]) / sw + 1, at = 0;
    vt_tensor y;
    assert_ok(vt_tensor_new(&y, VT_F64, 4, (int64_t[]){m.n, out_h, out_w, m.c}));
    for (int64_t n = 0; n < m.n; n++)
        for (int64_t i = 0; i < out_h; i++)
            for (int64_t j = 0; j < out_w; j++)
                for (int64_t c = 0; c < m.c; c++) {
                    double largest = -INFINITY, sum = 0;
                    int inside = 0;
                    for (int u = 0; u < o->kernel[0]; u++)
                        for (int v = 0; v < o->kernel[1]; v++) {
                            double value = naive_at(&m, n, i * sh + u, j * sw + v, c);
                            if (isnan(value)) continue;
                            largest = fmax(largest, value);
                            sum += value;
                            inside++;
                        }
                    if (o->count_padding) inside = o->kernel[0] * o->kernel[1];
                    ((double *)y.data)[at++] = maximum ? largest : sum / inside;
                }
    free(m.x);
    return y;
}

/* Also returns the running statistics after the step in `moving`, mean then variance. */
static vt_tensor naive_batch_norm(const op_run *r, double *moving)
{
    const vt_batch_norm_options *o = &r->c.options.batch_norm;
    const vt_tensor *x = &r->args.in[0], *param = r->args.param;
    int64_t count = vt_tensor_count(x), channels = x->size[x->ndim - 1], rows = count / channels;
    vt_tensor y;
    assert_ok(vt_tensor_new(&y, VT_F64, x->ndim, x->size));
    for (int64_t c = 0; c < channels; c++) {
        double mean = vt_tensor_get(&param[2], c), variance = vt_tensor_get(&param[3], c);
        moving[c] = mean;
        moving[channels + c] = variance;
        if (r->c.training) {
            mean = variance = 0;
            for (int64_t i = c; i < count; i += channels)
                mean += vt_tensor_get(x, i) / (double)rows;
            for (int64_t i = c; i < count; i += channels)
                variance += pow(vt_tensor_get(x, i) - mean, 2) / (double)rows;
            double moved = o->unbiased ? variance * (double)rows / (double)(rows - 1) : variance;
            moving[c] += o->momentum * (mean - moving[c]);
            moving[channels + c] += o->momentum * (moved - moving[channels + c]);
        }
        for (int64_t i = c; i < count; i += channels)
            ((double *)y.data)[i] = vt_tensor_get(&param[0], c) * (vt_tensor_get(x, i) - mean) /
                                        sqrt(variance + o->epsilon) +
                                    vt_tensor_get(&param[1], c);
    }
    return y;
}

static vt_tensor naive_linear(const op_run *r)
{
    const vt_linear_options *o = &r->c.options.linear;
    const vt_tensor *x = &r->args.in[0], *w = &r->args.param[0], *b = &r->args.param[1];
    int64_t features = x->size[1];
    vt_tensor y;
    assert_ok(vt_tensor_new(&y, VT_F64, 2, (int64_t[]){x->size[0], o->units}));
    for (int64_t n = 0; n < x->size[0]; n++)
        for (int64_t u = 0; u < o->units; u++) {
            double sum = o->no_bias ? 0 : vt_tensor_get(b, u);
            for (int64_t f = 0; f < features; f++)
                sum += vt_tensor_get(w, u * features + f) * vt_tensor_get(x, n * features + f);
            ((double *)y.data)[n * o->units + u] = sum;
        }
    return y;
}

static vt_tensor naive_local_receptive_field(const op_run *r)
{
    const vt_local_receptive_field_options *o = &r->c.options.local_receptive_field;
    const vt_tensor *x = &r->args.in[0], *k = &r->args.param[0];
    int side = o->kernel, half = side / 2;
    naive_image m = naive_pad(x, (int[]){half, half, half, half}, 0);
    int64_t height = x->size[1], width = x->size[2], at = 0;
    vt_tensor y;
    assert_ok(vt_tensor_new(&y, VT_F64, 4, (int64_t[]){m.n, height, width, o->filters}));
    for (int64_t n = 0; n < m.n; n++)
        for (int64_t i = 0; i < height; i++)
            for (int64_t j = 0; j < width; j++)
                for (int64_t f = 0; f < o->filters; f++) {
                    double sum = 0;
                    int64_t kernel = ((i * width + j) * o->filters + f) * side * side * m.c;
                    for (int u = 0; u < side; u++)
                        for (int v = 0; v < side; v++)
                            for (int64_t c = 0; c < m.c; c++)
                                sum += vt_tensor_get(k, kernel + (u * side + v) * m.c + c) *
                                       naive_at(&m, n, i + u, j + v, c);
                    ((double *)y.data)[at++] = sum;
                }
    free(m.x);
    return y;
}

static vt_tensor naive_cortical_magnification(const op_run *r)
{
    vt_formulation formulation = r->c.options.cortical_magnification.formulation;
    const vt_tensor *x = &r->args.in[0];
    int64_t channels = x->size[3];
    naive_polar *p = naive_polar_new(formulation);
    vt_tensor y;
    assert_ok(vt_tensor_new(&y, VT_F64, 4, (int64_t[]){x->size[0], 16, 16, channels}));
    for (int64_t n = 0; n < x->size[0]; n++)
        for (int64_t c = 0; c < channels; c++) {
            double image[1024], map[16][16];
            for (int q = 0; q < 1024; q++)
                image[q] = vt_tensor_get(x, (n * 1024 + q) * channels + c);
            naive_polar_apply(p, formulation, image, map);
            for (int q = 0; q < 256; q++)
                ((double *)y.data)[(n * 256 + q) * channels + c] = map[q / 16][q % 16];
        }
    free(p);
    return y;
}

static vt_tensor naive_loss(const op_run *r)
{
    const vt_tensor *x = &r->args.in[0], *t = &r->args.in[1];
    vt_tensor y;
    assert_ok(vt_tensor_new(&y, VT_F64, 1, (int64_t[]){1}));
    double sum = 0, count = 0;
    if (r->c.op == &vt_op_cross_entropy) {
        for (int64_t n = 0; n < x->size[0]; n++) {
            int64_t row = n * x->size[1], label = (int64_t)vt_tensor_get(t, n);
            double total = 0;
            for (int64_t c = 0; c < x->size[1]; c++)
                total += exp(vt_tensor_get(x, row + c));
            sum -= log(exp(vt_tensor_get(x, row + label)) / total);
            count++;
        }
    } else {
        for (int64_t i = 0; i < vt_tensor_count(x); i++) {
            double a = vt_tensor_get(x, i), b = vt_tensor_get(t, i);
            if (isnan(b)) continue;
            sum += r->c.op == &vt_op_poisson_loss ? a - b * log(a + 1e-8) : (a - b) * (a - b);
            count++;
        }
    }
    *(double *)y.data = sum / count;
    return y;
}

/* relu, add, blend, flatten, and dropout where it is the identity. */
static vt_tensor naive_elementwise(const op_run *r)
{
    const vt_op *op = r->c.op;
    const vt_tensor *a = &r->args.in[0], *b = &r->args.in[1];
    vt_tensor y;
    assert_ok(vt_tensor_new(&y, VT_F64, a->ndim, a->size));
    for (int64_t i = 0; i < vt_tensor_count(a); i++) {
        double value = vt_tensor_get(a, i);
        if (op == &vt_op_relu) value = fmax(value, 0);
        if (op == &vt_op_add) value += vt_tensor_get(b, i);
        if (op == &vt_op_blend) value += r->c.options.blend.weight * (vt_tensor_get(b, i) - value);
        ((double *)y.data)[i] = value;
    }
    return y;
}

#endif
