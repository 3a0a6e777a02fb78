/* Center-surround antagonism of float32, image by image: the filtered channels are copied into a
 * padded frame and summed over rings around each pixel (ring_conv.h: a difference of Gaussians
 * depends on distance alone), multiplied with the weights of rings, and put back beside the others
 * in one pass. Up to 16 channels; more are left to the plain loops.
 *
 * Images are cut into CHUNKS, each with a frame and sums of weights of its own, which are added in
 * order: results do not depend on the number of threads. */
#include "ops/center_surround.h"

#include <stdlib.h>
#include <string.h>

#include "backend/ring_conv.h"
#include "backend/v1_layers.h"
#include "base/arena.h"
#include "ventral/progress.h"
#include "ventral/v1_layers.h"

enum { CHUNKS = 16, LANES = VT_RING_LANES };

typedef struct surround {
    vt_rings rings;
    vt_ring_image conv; /* borrows the rings */
    const vt_ring_isa *isa;
    int64_t batch, all, filtered; /* images, channels */
    bool backward, constant;
    int threads;
    size_t frame, sums, plane, weights; /* floats: padded image, sums over rings, output, kernel */
    float *kernel, *turned, *bias;
    vt_tensor made, gradient; /* kernel (channels, taps, taps, channels), and its gradient */
} surround;

static int64_t pixels_of(const surround *s)
{
    return (int64_t)s->conv.height * s->conv.width;
}

/* What a chunk works with, in scratch memory. */
typedef struct workplace {
    float *frame, *sums;
    float *plane; /* (height, width, LANES) */
    float *weights;
} workplace;

static size_t workplace_floats(const surround *s)
{
    return s->frame + s->sums + s->plane + s->weights;
}

static workplace workplace_at(const surround *s, const vt_op_args *args, int chunk)
{
    float *at = (float *)args->scratch + (size_t)chunk * workplace_floats(s);
    workplace w = {.frame = at, .sums = at + s->frame};
    w.plane = w.sums + s->sums;
    w.weights = w.plane + s->plane;
    return w;
}

/* ---- kernels by rings ---- */

/* K[o, position, c] into (ring, c, o), and into (ring, o, c) for backward. */
static void pack(surround *s)
{
    int side = 2 * s->rings.radius + 1, depth = s->conv.depth, c = (int)s->filtered;
    const float *made = s->made.data;
    for (int o = 0; o < c; o++)
        for (int p = 0; p < side * side; p++)
            for (int i = 0; i < c; i++) {
                float w = made[(o * side * side + p) * c + i];
                int ring = s->rings.ring[p];
                s->kernel[(ring * depth + i) * LANES + o] = w;
                s->turned[(ring * depth + o) * LANES + i] = w;
            }
}

static vt_status refresh(void *state, const vt_op_args *args)
{
    surround *s = state;
    vt_dog_kernel(args, &s->made);
    memcpy(s->bias, args->param[VT_DOG_BIAS].data, (size_t)s->filtered * sizeof *s->bias);
    pack(s);
    return VT_OK;
}

/* The sums of all chunks, as K lies: the gradient of a ring's weight in equal parts. */
static void unpack_gradient(const surround *s, const vt_op_args *args)
{
    int side = 2 * s->rings.radius + 1, depth = s->conv.depth, c = (int)s->filtered;
    float *out = s->gradient.data;
    for (int r = 0; r < s->rings.count; r++)
        for (int k = 0; k < c * c; k++) {
            int o = k / c, i = k % c;
            double sum = 0;
            for (int chunk = 0; chunk < CHUNKS; chunk++)
                sum += workplace_at(s, args, chunk).weights[(r * depth + i) * LANES + o];
            for (int p = 0; p < side * side; p++)
                if (s->rings.ring[p] == r)
                    out[(o * side * side + p) * c + i] = (float)(sum / s->rings.size[r]);
        }
}

/* ---- images ---- */

/* The first channels of an image, `step` floats a pixel, into the middle of a frame. */
static void frame_image(const surround *s, float *frame, const float *image, int64_t step)
{
    const vt_ring_image *c = &s->conv;
    int pad = s->rings.radius, row = (c->width + 2 * pad) * c->depth;
    for (int y = 0; y < c->height; y++)
        for (int x = 0; x < c->width; x++)
            memcpy(frame + (y + pad) * row + (x + pad) * c->depth,
                   image + ((int64_t)y * c->width + x) * step, (size_t)s->filtered * sizeof *frame);
}

static void forward_image(const surround *s, const vt_op_args *args, const workplace *w, int64_t n)
{
    int64_t pixels = pixels_of(s), all = s->all, filtered = s->filtered;
    const float *x = (const float *)args->in[0].data + n * pixels * all;
    float *y = (float *)args->out.data + n * pixels * all;
    frame_image(s, w->frame, x, all);
    if (s->backward) {
        float *saved = (float *)args->saved + n * pixels * filtered;
        for (int64_t p = 0; p < pixels; p++)
            memcpy(saved + p * filtered, x + p * all, (size_t)filtered * sizeof *x);
    }
    s->isa->sums(&s->conv, w->frame, w->sums);
    s->isa->forward(&s->conv, w->sums, s->kernel, s->bias, w->plane);
    for (int64_t p = 0; p < pixels; p++) {
        memcpy(y + p * all, w->plane + p * LANES, (size_t)filtered * sizeof *y);
        if (y != x)
            memcpy(y + p * all + filtered, x + p * all + filtered,
                   (size_t)(all - filtered) * sizeof *y);
    }
}

static void backward_image(const surround *s, const vt_op_args *args, const workplace *w, int64_t n)
{
    static const float zero[LANES];
    int64_t pixels = pixels_of(s), all = s->all, filtered = s->filtered;
    const float *gy = (const float *)args->grad_out.data + n * pixels * all;
    float *gx = args->grad_in[0].data;
    if (s->gradient.data) {
        frame_image(s, w->frame, (const float *)args->saved + n * pixels * filtered, filtered);
        s->isa->sums(&s->conv, w->frame, w->sums);
        for (int64_t p = 0; p < pixels; p++)
            memcpy(w->plane + p * LANES, gy + p * all, (size_t)filtered * sizeof *gy);
        s->isa->weights(&s->conv, w->sums, w->plane, w->weights);
    }
    if (!gx) return;
    gx += n * pixels * all;
    frame_image(s, w->frame, gy, all);
    s->isa->sums(&s->conv, w->frame, w->sums);
    s->isa->forward(&s->conv, w->sums, s->turned, zero, w->plane);
    for (int64_t p = 0; p < pixels; p++) {
        for (int64_t i = 0; i < filtered; i++)
            gx[p * all + i] += w->plane[p * LANES + i];
        for (int64_t i = filtered; i < all; i++)
            gx[p * all + i] += gy[p * all + i];
    }
}

static void all_images(const surround *s, const vt_op_args *args,
                       void (*work)(const surround *, const vt_op_args *, const workplace *,
                                    int64_t))
{
#pragma omp parallel for schedule(static) num_threads(s->threads) if (s->batch > 1)
    for (int chunk = 0; chunk < CHUNKS; chunk++) {
        workplace w = workplace_at(s, args, chunk);
        memset(w.frame, 0, workplace_floats(s) * sizeof *w.frame);
        int64_t last = (chunk + 1) * s->batch / CHUNKS;
        for (int64_t n = chunk * s->batch / CHUNKS; n < last; n++)
            work(s, args, &w, n);
    }
}

static vt_status forward(void *state, const vt_op_args *args)
{
    surround *s = state;
    if (!s->constant) VT_TRY(refresh(state, args));
    all_images(s, args, forward_image);
    return VT_OK;
}

static vt_status backward(void *state, const vt_op_args *args)
{
    surround *s = state;
    all_images(s, args, backward_image);
    if (s->gradient.data) {
        unpack_gradient(s, args);
        vt_dog_gradient(args, &s->gradient);
    }
    return VT_OK;
}

static void surround_free(void *state)
{
    surround *s = state;
    free(s->kernel);
    free(s);
}

/* One block: packed kernels, bias, kernel and its gradient. */
static vt_status allocate(surround *s, bool gradient)
{
    int64_t side = 2 * s->rings.radius + 1, c = s->filtered, made = c * side * side * c;
    float *block = vt_alloc(2 * s->weights + LANES + 2 * (size_t)made, sizeof *block);
    if (!block) return VT_ENOMEM;
    s->kernel = block;
    s->turned = s->kernel + s->weights;
    s->bias = s->turned + s->weights;
    VT_TRY(vt_tensor_init(&s->made, VT_F32, 4, (int64_t[]){c, side, side, c}, s->bias + LANES));
    s->gradient = s->made;
    s->gradient.data = gradient ? s->bias + LANES + made : NULL;
    return VT_OK;
}

vt_status vt_center_surround_prepare(vt_kernel *out, const vt_kernel_request *request)
{
    const vt_center_surround_options *o = request->args.options;
    const int64_t *in = request->args.in[0].size;
    bool gradient = false;
    if (o->channels > LANES || o->radius > VT_RING_MAX_RADIUS || in[1] > 1 << 10 || in[2] > 1 << 10)
        return vt_error(VT_EUNSUPPORTED, "center-surround: too large for convolution by rings");
    surround *s = vt_alloc(1, sizeof *s);
    if (!s) return VT_ENOMEM;
    vt_rings_init(&s->rings, o->radius);
    s->conv = (vt_ring_image){&s->rings, (int)in[1], (int)in[2], (o->channels + 3) / 4 * 4};
    s->isa = vt_ring_best();
    s->batch = in[0];
    s->all = in[3];
    s->filtered = o->channels;
    s->backward = request->backward;
    s->constant = request->constant_params;
    s->threads = vt_threads();
    size_t depth = (size_t)s->conv.depth, pixels = (size_t)(in[1] * in[2]),
           pad = 2 * (size_t)o->radius;
    s->frame = ((size_t)in[1] + pad) * ((size_t)in[2] + pad) * depth;
    s->sums = (size_t)s->rings.count * pixels * depth;
    s->plane = pixels * LANES;
    s->weights = (size_t)s->rings.count * depth * LANES;
    for (int p = VT_DOG_SIGMA1; p <= VT_DOG_TOTAL_SCALE; p++)
        gradient |= request->backward && request->args.grad_param[p].ndim >= 0;
    vt_status status = allocate(s, gradient);
    if (status != VT_OK) {
        free(s);
        return status;
    }
    size_t saved = (size_t)(in[0] * in[1] * in[2] * s->filtered) * sizeof(float);
    *out = (vt_kernel){.name = "native",
                       .state = s,
                       .forward = forward,
                       .backward = request->backward ? backward : NULL,
                       .refresh = s->constant ? refresh : NULL,
                       .free = surround_free,
                       .scratch_bytes = CHUNKS * workplace_floats(s) * sizeof(float),
                       .saved_bytes = request->backward ? saved : 0};
    return VT_OK;
}
