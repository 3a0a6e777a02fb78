/* Convolution of many small images. With one pixel of all images, X[q] (batch, channels) and
 * Y[p] (batch, filters), and the kernel of one position, K[u,v] (filters, channels),
 *
 *     Y[p] = sum over u, v of X[q] K[u,v]',   q = s p - before + (u, v),
 *     dX[q] += dY[p] K[u,v],   dK[u,v] += dY[p]' X[q],
 *
 * where only positions inside the image take part: with 3 x 3 kernels and images of 2 x 2 pixels 16
 * of 36, of 4 x 4 pixels 100 of 144. Kernels that slide over padding multiply all. Rows of these
 * matrices lie far apart in memory, which products do not mind, and positions of a kernel row
 * follow each other in both K and X, so that they are one product of so many times the channels.
 *
 * Each task owns what it writes and runs on one thread: results do not depend on their number. */
#include "backend/pixel_products.h"

#include "backend/onednn_adapter.h"

#include <string.h>

enum { BLOCK = 256, KERNEL_BLOCK = 64 }; /* filters or channels of one task */

static int64_t positions(const vt_window *w)
{
    int64_t sum = 0, first, last;
    for (int64_t p = 0; p < w->out; p++) {
        vt_window_taps(w, p, &first, &last);
        sum += last > first ? last - first : 0;
    }
    return sum;
}

bool vt_pixel_products_pay(const vt_pixel_products *c, bool bf16)
{
    const vt_window *h = &c->window[0], *w = &c->window[1];
    if (h->out > 8 || w->out > 8 || h->dilation != 1 || w->dilation != 1) return false;
    int64_t all = h->out * h->kernel * w->out * w->kernel;
    return c->batch >= 32 && c->channels >= 64 && c->filters >= 64 &&
           4 * positions(h) * positions(w) <= (bf16 ? 2 : 3) * all;
}

static int64_t pixels_in(const vt_pixel_products *c)
{
    return c->window[0].in * c->window[1].in;
}

static int64_t pixels_out(const vt_pixel_products *c)
{
    return c->window[0].out * c->window[1].out;
}

static int64_t filter_floats(const vt_pixel_products *c)
{
    return c->window[0].kernel * c->window[1].kernel * c->channels;
}

/* The part of kernel row u that output column j sees: offsets of its first position in a filter and
 * in an image, and its floats (0: none). */
typedef struct run {
    int64_t kernel_at, image_at, floats;
} run;

static run run_at(const vt_pixel_products *c, int64_t i, int64_t j, int64_t u)
{
    const vt_window *h = &c->window[0], *w = &c->window[1];
    int64_t first, last, row = i * h->stride - h->before + u;
    vt_window_taps(w, j, &first, &last);
    if (row < 0 || row >= h->in || last <= first) return (run){0};
    int64_t column = j * w->stride - w->before + first;
    return (run){.kernel_at = (u * w->kernel + first) * c->channels,
                 .image_at = (row * w->in + column) * c->channels,
                 .floats = (last - first) * c->channels};
}

static int64_t blocks_of(int64_t count, int64_t block)
{
    return (count + block - 1) / block;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Zeroes one pixel of all images, `count` floats of each. */
static void clear(float *at, int64_t batch, int64_t image, int64_t count)
{
    for (int64_t n = 0; n < batch; n++)
        memset(at + n * image, 0, (size_t)count * sizeof *at);
}

static vt_status output_pixel(const vt_pixel_products *c, const float *x, const float *kernel,
                              float *y, int64_t pixel, int64_t filter)
{
    int64_t columns = c->window[1].out, image = pixels_out(c) * c->filters;
    vt_dnnl_product p = {.transpose_b = true,
                         .m = c->batch,
                         .n = least(BLOCK, c->filters - filter),
                         .threads = 1,
                         .row_a = pixels_in(c) * c->channels,
                         .row_b = filter_floats(c),
                         .row_c = image};
    float *to = y + pixel * c->filters + filter;
    for (int64_t u = 0; u < c->window[0].kernel; u++) {
        run r = run_at(c, pixel / columns, pixel % columns, u);
        if (!r.floats) continue;
        p.k = r.floats;
        VT_TRY(vt_dnnl_product_run(&p, x + r.image_at,
                                   kernel + filter * filter_floats(c) + r.kernel_at, to));
        p.beta = 1;
    }
    if (p.beta == 0) clear(to, c->batch, image, p.n);
    return VT_OK;
}

vt_status vt_pixel_products_forward(const vt_pixel_products *c, const float *x, const float *kernel,
                                    float *y)
{
    vt_status status = VT_OK;
    int64_t blocks = blocks_of(c->filters, BLOCK);
#pragma omp parallel for schedule(dynamic) num_threads(c->threads)
    for (int64_t task = 0; task < pixels_out(c) * blocks; task++) {
        vt_status done = output_pixel(c, x, kernel, y, task / blocks, task % blocks * BLOCK);
#pragma omp critical(vt_pixel_products)
        if (status == VT_OK) status = done;
    }
    return status;
}

/* Of the output positions along one dimension, the one that reads `in` through kernel position `u`,
 * or -1. */
static int64_t reader(const vt_window *w, int64_t in, int64_t u)
{
    int64_t at = in + w->before - u;
    return at >= 0 && at % w->stride == 0 && at / w->stride < w->out ? at / w->stride : -1;
}

static vt_status input_pixel(const vt_pixel_products *c, const float *kernel, const float *gy,
                             float *gx, bool overwrite, int64_t pixel, int64_t channel)
{
    const vt_window *h = &c->window[0], *w = &c->window[1];
    vt_dnnl_product p = {.m = c->batch,
                         .n = least(BLOCK, c->channels - channel),
                         .k = c->filters,
                         .beta = overwrite ? 0 : 1,
                         .threads = 1,
                         .row_a = pixels_out(c) * c->filters,
                         .row_b = filter_floats(c),
                         .row_c = pixels_in(c) * c->channels};
    float *to = gx + pixel * c->channels + channel;
    for (int64_t u = 0; u < h->kernel; u++)
        for (int64_t v = 0; v < w->kernel; v++) {
            int64_t i = reader(h, pixel / w->in, u), j = reader(w, pixel % w->in, v);
            if (i < 0 || j < 0) continue;
            VT_TRY(vt_dnnl_product_run(&p, gy + (i * w->out + j) * c->filters,
                                       kernel + (u * w->kernel + v) * c->channels + channel, to));
            p.beta = 1;
        }
    if (p.beta == 0) clear(to, c->batch, p.row_c, p.n);
    return VT_OK;
}

vt_status vt_pixel_products_input_gradient(const vt_pixel_products *c, const float *kernel,
                                           const float *gy, float *gx, bool overwrite)
{
    vt_status status = VT_OK;
    int64_t blocks = blocks_of(c->channels, BLOCK);
#pragma omp parallel for schedule(dynamic) num_threads(c->threads)
    for (int64_t task = 0; task < pixels_in(c) * blocks; task++) {
        vt_status done =
            input_pixel(c, kernel, gy, gx, overwrite, task / blocks, task % blocks * BLOCK);
#pragma omp critical(vt_pixel_products)
        if (status == VT_OK) status = done;
    }
    return status;
}

static vt_status kernel_row(const vt_pixel_products *c, const float *x, const float *gy, float *gk,
                            int64_t u, int64_t filter)
{
    int64_t columns = c->window[1].out;
    vt_dnnl_product p = {.transpose_a = true,
                         .m = least(KERNEL_BLOCK, c->filters - filter),
                         .k = c->batch,
                         .beta = 1,
                         .threads = 1,
                         .row_a = pixels_out(c) * c->filters,
                         .row_b = pixels_in(c) * c->channels,
                         .row_c = filter_floats(c)};
    for (int64_t pixel = 0; pixel < pixels_out(c); pixel++) {
        run r = run_at(c, pixel / columns, pixel % columns, u);
        if (!r.floats) continue;
        p.n = r.floats;
        VT_TRY(vt_dnnl_product_run(&p, gy + pixel * c->filters + filter, x + r.image_at,
                                   gk + filter * filter_floats(c) + r.kernel_at));
    }
    return VT_OK;
}

vt_status vt_pixel_products_kernel_gradient(const vt_pixel_products *c, const float *x,
                                            const float *gy, float *gk)
{
    vt_status status = VT_OK;
    int64_t blocks = blocks_of(c->filters, KERNEL_BLOCK);
#pragma omp parallel for schedule(dynamic) num_threads(c->threads)
    for (int64_t task = 0; task < c->window[0].kernel * blocks; task++) {
        vt_status done = kernel_row(c, x, gy, gk, task / blocks, task % blocks * KERNEL_BLOCK);
#pragma omp critical(vt_pixel_products)
        if (status == VT_OK) status = done;
    }
    return status;
}
