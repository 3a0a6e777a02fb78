/* Convolution and fully connected layers on oneDNN. Activations stay plain NHWC, for which oneDNN
 * has compiled kernels wherever it matters; kernels are packed into its own layouts, once where
 * they are constant. A fully connected layer is a pointwise convolution of an image of one column.
 *
 * oneDNN overwrites gradients and ours accumulate. Matrix products accumulate by themselves and do
 * the backward passes of pointwise layers. Other gradients of the input are computed some images at
 * a time, so that what is added next is still in the cache; where nothing is there yet they are
 * written at once. For products in bfloat16 images are rounded here: once for both gradients, and
 * faster than by oneDNN's reorder. */
#include "backend/bfloat16.h"
#include "backend/channel_sums.h"
#include "backend/depthwise.h"
#include "backend/onednn.h"
#include "backend/onednn_adapter.h"
#include "backend/pixel_products.h"
#include "base/arena.h"
#include "ops/conv_geometry.h"
#include "ventral/progress.h"

#include <stdlib.h>

enum { SLICE_BYTES = 2 << 20 }; /* a thread's share of an input gradient that waits to be added */

typedef struct geometry {
    int64_t batch, channels, filters, groups;
    vt_window window[2];
    bool bias, relu, bf16;
} geometry;

typedef struct conv {
    geometry g;
    int threads;
    vt_dnnl_primitive *forward, *data, *weights; /* NULL: done otherwise or not wanted */
    bool forward_bf16, data_bf16, weights_bf16;  /* they read images in bfloat16 */
    size_t rounded_x, rounded_gy;                /* where these are in scratch */
    int64_t slice;                               /* images of one run of `data` */
    bool product;                                /* pointwise: backward by matrix products */
    bool spatial_pool;                           /* a depthwise kernel that covers its input */
    vt_pixel_products pixels;
} conv;

static int64_t in_pixels(const geometry *g)
{
    return g->window[0].in * g->window[1].in;
}

static int64_t out_pixels(const geometry *g)
{
    return g->window[0].out * g->window[1].out;
}

static bool is_pointwise(const geometry *g)
{
    for (int i = 0; i < 2; i++) {
        const vt_window *w = &g->window[i];
        if (w->kernel != 1 || w->stride != 1 || w->before || w->after) return false;
    }
    return g->groups == 1;
}

static vt_dnnl_tensor image(int64_t batch, int64_t channels, int64_t height, int64_t width)
{
    return (vt_dnnl_tensor){.ndim = 4,
                            .size = {batch, channels, height, width},
                            .stride = {height * width * channels, 1, width * channels, channels}};
}

/* OHWI memory as [G,] O, I, H, W. */
static vt_dnnl_tensor kernel(const geometry *g)
{
    int64_t o = g->filters / g->groups, i = g->channels / g->groups;
    int64_t h = g->window[0].kernel, w = g->window[1].kernel, filter = h * w * i;
    if (g->groups == 1)
        return (vt_dnnl_tensor){.ndim = 4, .size = {o, i, h, w}, .stride = {filter, 1, w * i, i}};
    return (vt_dnnl_tensor){
        .ndim = 5, .size = {g->groups, o, i, h, w}, .stride = {o * filter, filter, 1, w * i, i}};
}

/* Whether oneDNN's 1 x 1 kernels would write past their memory in this layer's kernel gradient:
 * they gather pixels by whole blocks of 8 or 16 channels where there are fewer
 * (https://github.com/uxlfoundation/oneDNN/issues/6035). */
static bool overflows(const geometry *g)
{
    const vt_window *h = &g->window[0], *w = &g->window[1];
    bool strided = h->stride > 1 || w->stride > 1;
    return h->kernel == 1 && w->kernel == 1 && strided && g->channels / g->groups < 16;
}

/* Measured on AVX2 (docs/onednn.md). With 512-bit vectors the library's first choice is right. */
static void choose(const geometry *g, vt_dnnl_conv *c)
{
    if (c->pass == VT_DNNL_BACKWARD_WEIGHTS && overflows(g)) {
        c->gemm = true;
        c->bf16 = c->src.bf16 = c->dst.bf16 = false;
        return;
    }
    if (g->groups != 1 || vt_dnnl_has_avx512()) return;
    bool large = g->window[0].kernel * g->window[1].kernel > 1;
    if (g->channels < 8) {
        c->gemm = c->pass == VT_DNNL_BACKWARD_DATA ||
                  (c->pass == VT_DNNL_BACKWARD_WEIGHTS && g->filters >= 48);
    } else if (large && g->channels % 8 == 0 && g->filters % 8 == 0) {
        c->blocked = out_pixels(g) >= 14 * 14;
        c->gemm = c->pass == VT_DNNL_BACKWARD_WEIGHTS && !c->blocked;
    }
}

static vt_dnnl_conv describe(const geometry *g, vt_dnnl_pass pass, int64_t batch)
{
    const vt_window *h = &g->window[0], *w = &g->window[1];
    vt_dnnl_conv c = {
        .pass = pass,
        .src = image(batch, g->channels, h->in, w->in),
        .weights = kernel(g),
        .dst = image(batch, g->filters, h->out, w->out),
        .relu = g->relu && pass <= VT_DNNL_TRAINING,
        .bf16 = g->bf16,
        .window = {.kernel = {h->kernel, w->kernel},
                   .stride = {h->stride, w->stride},
                   .dilation = {h->dilation, w->dilation},
                   .before = {h->before, w->before},
                   .after = {h->after, w->after}},
    };
    c.src.bf16 = g->bf16 && pass != VT_DNNL_BACKWARD_DATA;
    c.dst.bf16 = g->bf16 && pass >= VT_DNNL_BACKWARD_DATA;
    if (g->bias && pass <= VT_DNNL_TRAINING)
        c.bias = (vt_dnnl_tensor){.ndim = 1, .size = {g->filters}, .stride = {1}};
    choose(g, &c);
    return c;
}

/* The largest divisor of the batch whose input gradient stays in the cache, but no fewer images
 * than threads. */
static int64_t slice_of(const geometry *g, int threads)
{
    int64_t bytes = in_pixels(g) * g->channels * (int64_t)sizeof(float);
    int64_t most = (int64_t)threads * SLICE_BYTES / bytes;
    if (most < threads) most = threads;
    if (most > g->batch) most = g->batch;
    while (g->batch % most)
        most--;
    return most;
}

static bool is_spatial_pool(const geometry *g)
{
    for (int i = 0; i < 2; i++) {
        const vt_window *w = &g->window[i];
        if (w->kernel != w->in || w->out != 1 || w->before || w->dilation != 1) return false;
    }
    return g->groups > 1 && g->groups == g->channels && g->groups == g->filters;
}

static vt_spatial_pool spatial_pool(const conv *c)
{
    return (vt_spatial_pool){.batch = c->g.batch,
                             .taps = in_pixels(&c->g),
                             .channels = c->g.channels,
                             .threads = c->threads};
}

/* ---- running ---- */

/* x rounded to bfloat16 at `offset` in scratch, or as it is. */
static void *rounded(const conv *c, const vt_op_args *args, const vt_tensor *x, bool bf16,
                     size_t offset)
{
    if (!bf16) return x->data;
    uint16_t *to = (uint16_t *)((char *)args->scratch + offset);
    vt_bfloat16_round(to, x->data, vt_tensor_count(x), c->threads);
    return to;
}

static vt_status forward(void *state, const vt_op_args *args)
{
    conv *c = state;
    void *data[VT_DNNL_ARG_COUNT] = {
        [VT_DNNL_SRC] = rounded(c, args, &args->in[0], c->forward_bf16, c->rounded_x),
        [VT_DNNL_WEIGHTS] = args->param[0].data,
        [VT_DNNL_BIAS] = args->param[1].data,
        [VT_DNNL_DST] = args->out.data,
    };
    return vt_dnnl_run(c->forward, data, false, args->scratch);
}

static vt_status refresh(void *state, const vt_op_args *args)
{
    conv *c = state;
    VT_TRY(vt_dnnl_pack_weights(c->forward, args->param[0].data));
    if (c->data) VT_TRY(vt_dnnl_pack_weights(c->data, args->param[0].data));
    return VT_OK;
}

/* dx += dy K, or = : pointwise, rows are pixels. */
static vt_status product_data(const conv *c, const vt_op_args *args)
{
    vt_dnnl_product p = {.m = c->g.batch * in_pixels(&c->g),
                         .n = c->g.channels,
                         .k = c->g.filters,
                         .beta = args->overwrite[0] ? 0 : 1,
                         .threads = c->threads};
    return vt_dnnl_product_run(&p, args->grad_out.data, args->param[0].data, args->grad_in[0].data);
}

/* dK += dy' x */
static vt_status product_weights(const conv *c, const vt_op_args *args)
{
    vt_dnnl_product p = {.transpose_a = true,
                         .m = c->g.filters,
                         .n = c->g.channels,
                         .k = c->g.batch * in_pixels(&c->g),
                         .beta = 1,
                         .threads = c->threads};
    return vt_dnnl_product_run(&p, args->grad_out.data, args->in[0].data, args->grad_param[0].data);
}

/* `gy` as the primitive reads it. */
static vt_status sliced_data(const conv *c, const vt_op_args *args, void *gy)
{
    int64_t in = c->slice * in_pixels(&c->g) * c->g.channels;
    size_t out = (size_t)(c->slice * out_pixels(&c->g) * c->g.filters) *
                 (c->data_bf16 ? sizeof(uint16_t) : sizeof(float));
    void *data[VT_DNNL_ARG_COUNT] = {[VT_DNNL_WEIGHTS] = args->param[0].data};
    for (int64_t i = 0; i < c->g.batch / c->slice; i++) {
        data[VT_DNNL_DIFF_SRC] = (float *)args->grad_in[0].data + i * in;
        data[VT_DNNL_DIFF_DST] = (char *)gy + (size_t)i * out;
        VT_TRY(vt_dnnl_run(c->data, data, args->overwrite[0], args->scratch));
    }
    return VT_OK;
}

static vt_status backward(void *state, const vt_op_args *args)
{
    conv *c = state;
    float *grad_kernel = args->grad_param[0].data, *grad_bias = args->grad_param[1].data;
    vt_spatial_pool pool = spatial_pool(c);
    void *gy = args->grad_out.data;
    bool data_bf16 = args->grad_in[0].data && c->data_bf16;
    void *rounded_gy =
        rounded(c, args, &args->grad_out, data_bf16 || c->weights_bf16, c->rounded_gy);
    if (args->grad_in[0].data && c->spatial_pool)
        vt_spatial_pool_input_gradient(&pool, args->param[0].data, args->grad_out.data,
                                       args->grad_in[0].data, args->scratch);
    else if (args->grad_in[0].data)
        VT_TRY(c->product ? product_data(c, args)
                          : sliced_data(c, args, c->data_bf16 ? rounded_gy : gy));
    if (c->weights) {
        void *data[VT_DNNL_ARG_COUNT] = {
            [VT_DNNL_SRC] = rounded(c, args, &args->in[0], c->weights_bf16, c->rounded_x),
            [VT_DNNL_DIFF_DST] = c->weights_bf16 ? rounded_gy : gy,
            [VT_DNNL_DIFF_WEIGHTS] = grad_kernel,
        };
        VT_TRY(vt_dnnl_run(c->weights, data, false, args->scratch));
    } else if (grad_kernel && c->product) {
        VT_TRY(product_weights(c, args));
    } else if (grad_kernel) {
        vt_spatial_pool_kernel_gradient(&pool, args->in[0].data, args->grad_out.data, grad_kernel,
                                        args->scratch);
    }
    if (grad_bias)
        vt_column_sums_add(grad_bias, args->grad_out.data, c->g.batch * out_pixels(&c->g),
                           c->g.filters, c->threads, args->scratch);
    return VT_OK;
}

static void conv_free(void *state)
{
    conv *c = state;
    vt_dnnl_free(c->forward);
    vt_dnnl_free(c->data);
    vt_dnnl_free(c->weights);
    free(c);
}

/* ---- preparing ---- */

static void need(vt_kernel *out, size_t bytes)
{
    if (out->scratch_bytes < bytes) out->scratch_bytes = bytes;
}

/* Room for `count` numbers in bfloat16 behind the scratch memory so far. */
static size_t reserve(vt_kernel *out, int64_t count)
{
    size_t offset = (out->scratch_bytes + 63) / 64 * 64;
    out->scratch_bytes = offset + (size_t)count * sizeof(uint16_t);
    return offset;
}

/* In float32, and so it is noted in `c`, where there is nothing fast for bfloat16. */
static vt_status primitive(vt_dnnl_primitive **p, vt_kernel *out, vt_dnnl_conv *c)
{
    vt_status status = vt_dnnl_conv_new(p, c);
    if (status == VT_EUNSUPPORTED && c->bf16) {
        c->bf16 = c->src.bf16 = c->dst.bf16 = false;
        status = vt_dnnl_conv_new(p, c);
    }
    VT_TRY(status);
    need(out, vt_dnnl_scratch_bytes(*p));
    return VT_OK;
}

static vt_status prepare_backward(conv *c, vt_kernel *out, const vt_op_args *args)
{
    const geometry *g = &c->g;
    bool kernel_gradient = args->grad_param[0].ndim >= 0;
    bool bias_gradient = args->grad_param[1].ndim >= 0;
    if (args->grad_in[0].ndim >= 0 && !c->product && !c->spatial_pool) {
        c->slice = slice_of(g, c->threads);
        vt_dnnl_conv data = describe(g, VT_DNNL_BACKWARD_DATA, c->slice);
        VT_TRY(primitive(&c->data, out, &data));
        c->data_bf16 = data.bf16;
    }
    if (c->spatial_pool) {
        need(out, (size_t)(in_pixels(g) * g->channels) * sizeof(float));
    } else if (kernel_gradient && !c->product) {
        vt_dnnl_conv weights = describe(g, VT_DNNL_BACKWARD_WEIGHTS, g->batch);
        VT_TRY(primitive(&c->weights, out, &weights));
        c->weights_bf16 = weights.bf16;
    }
    if (bias_gradient) need(out, vt_column_scratch_bytes(g->filters));
    out->backward = backward;
    out->overwrites = !c->spatial_pool;
    return VT_OK;
}

static bool by_pixels(const geometry *g, const vt_pixel_products *pixels,
                      const vt_kernel_request *request)
{
    return g->groups == 1 && !g->bias && !g->relu && !request->constant_params &&
           vt_pixel_products_pay(pixels, g->bf16);
}

static vt_status pixels_forward(void *state, const vt_op_args *args)
{
    const conv *c = state;
    return vt_pixel_products_forward(&c->pixels, args->in[0].data, args->param[0].data,
                                     args->out.data);
}

static vt_status pixels_backward(void *state, const vt_op_args *args)
{
    const conv *c = state;
    if (args->grad_in[0].data)
        VT_TRY(vt_pixel_products_input_gradient(&c->pixels, args->param[0].data,
                                                args->grad_out.data, args->grad_in[0].data,
                                                args->overwrite[0]));
    if (!args->grad_param[0].data) return VT_OK;
    return vt_pixel_products_kernel_gradient(&c->pixels, args->in[0].data, args->grad_out.data,
                                             args->grad_param[0].data);
}

static vt_status prepare(vt_kernel *out, const vt_kernel_request *request, const geometry *g)
{
    conv *c = vt_alloc(1, sizeof *c);
    if (!c) return VT_ENOMEM;
    *c = (conv){.g = *g,
                .threads = vt_threads(),
                .product = is_pointwise(g) && !g->bf16,
                .spatial_pool = is_spatial_pool(g),
                .pixels = {.window = {g->window[0], g->window[1]},
                           .batch = g->batch,
                           .channels = g->channels,
                           .filters = g->filters,
                           .threads = vt_threads()}};
    if (by_pixels(g, &c->pixels, request)) {
        *out = (vt_kernel){.name = vt_backend_onednn.name,
                           .state = c,
                           .forward = pixels_forward,
                           .backward = request->backward ? pixels_backward : NULL,
                           .free = conv_free,
                           .overwrites = true};
        return VT_OK;
    }
    vt_kernel kernel = {.name = vt_backend_onednn.name,
                        .state = c,
                        .forward = forward,
                        .refresh = request->constant_params ? refresh : NULL,
                        .free = conv_free};
    vt_dnnl_conv first =
        describe(g, request->args.training ? VT_DNNL_TRAINING : VT_DNNL_INFERENCE, g->batch);
    vt_status status = primitive(&c->forward, &kernel, &first);
    c->forward_bf16 = first.bf16;
    if (status == VT_OK && request->backward) status = prepare_backward(c, &kernel, &request->args);
    if (c->forward_bf16 || c->weights_bf16)
        c->rounded_x = reserve(&kernel, g->batch * in_pixels(g) * g->channels);
    if (c->data_bf16 || c->weights_bf16)
        c->rounded_gy = reserve(&kernel, g->batch * out_pixels(g) * g->filters);
    if (status == VT_OK)
        *out = kernel;
    else
        conv_free(c);
    return status;
}

vt_status vt_onednn_conv2d(vt_kernel *out, const vt_kernel_request *request)
{
    const vt_op_args *args = &request->args;
    const vt_conv2d_options *o = args->options;
    geometry g = {.batch = args->batch,
                  .channels = args->in[0].size[3],
                  .filters = o->filters,
                  .groups = o->groups ? o->groups : 1,
                  .bias = args->param[1].ndim >= 0,
                  .relu = args->relu,
                  .bf16 = request->bf16 && vt_dnnl_has_bf16()};
    vt_conv2d_windows(g.window, o, args->in[0].size + 1);
    if (!is_spatial_pool(&g)) {
        vt_status status = vt_depthwise_prepare(out, request);
        if (status != VT_EUNSUPPORTED) return status;
    }
    return prepare(out, request, &g);
}

vt_status vt_onednn_linear(vt_kernel *out, const vt_kernel_request *request)
{
    const vt_op_args *args = &request->args;
    vt_window one = {.in = 1, .out = 1, .kernel = 1, .stride = 1, .dilation = 1};
    geometry g = {.batch = 1,
                  .channels = args->in[0].size[1],
                  .filters = args->out.size[1],
                  .groups = 1,
                  .window = {one, one},
                  .bias = args->param[1].ndim >= 0,
                  .relu = args->relu,
                  .bf16 = request->bf16 && vt_dnnl_has_bf16()};
    g.window[0].in = g.window[0].out = args->batch;
    return prepare(out, request, &g);
}
