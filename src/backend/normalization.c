/* Normalization by a pool of responses, y = x / D with D = K * x + b, of float32: oneDNN convolves,
 * and each direction goes once more over the activations. Forward leaves D for backward, or
 * convolves into y where there is none. */
#include <stdlib.h>

#include "backend/made_conv.h"
#include "backend/v1_layers.h"
#include "backend/vectorized.h"
#include "base/arena.h"
#include "ops/normalization.h"
#include "ventral/progress.h"

enum { PIECES = 64 };

typedef struct norm {
    const vt_normalization *op;
    vt_made_conv conv;
    bool backward;
    int64_t count; /* of activations */
    int threads;
} norm;

VECTORIZED static void divide(float *restrict y, const float *restrict x, const float *restrict d,
                              int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] / d[i];
}

/* y = x / y */
VECTORIZED static void divide_by(float *restrict y, const float *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] / y[i];
}

/* q = -gy x / d^2, gx += gy / d */
VECTORIZED static void gradients(float *restrict q, float *restrict gx, const float *restrict x,
                                 const float *restrict d, const float *restrict gy, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float r = 1 / d[i], direct = gy[i] * r;
        gx[i] += direct;
        q[i] = -direct * (x[i] * r);
    }
}

VECTORIZED static void pool_gradients(float *restrict q, const float *restrict x,
                                      const float *restrict d, const float *restrict gy, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float r = 1 / d[i];
        q[i] = -gy[i] * r * (x[i] * r);
    }
}

static int64_t piece_at(const norm *s, int64_t piece)
{
    return piece * s->count / PIECES;
}

static vt_status refresh(void *state, const vt_op_args *args)
{
    norm *s = state;
    const vt_op_args *inner = &s->conv.inner.args;
    s->op->make(args, &inner->param[0], &inner->param[1]);
    return vt_made_conv_refresh(&s->conv);
}

static vt_status forward(void *state, const vt_op_args *args)
{
    norm *s = state;
    const float *x = args->in[0].data;
    float *y = args->out.data, *d = s->backward ? args->saved : y;
    if (!s->conv.constant) VT_TRY(refresh(state, args));
    VT_TRY(vt_made_conv_forward(&s->conv, args->in[0].data, d, args->scratch));
#pragma omp parallel for schedule(static) num_threads(s->threads) if (s->count > 32768)
    for (int64_t piece = 0; piece < PIECES; piece++) {
        int64_t at = piece_at(s, piece), n = piece_at(s, piece + 1) - at;
        if (s->backward)
            divide(y + at, x + at, d + at, n);
        else
            divide_by(y + at, x + at, n);
    }
    return VT_OK;
}

/* Scratch: the convolution's, q, gradients of kernel and bias. */
static vt_status backward(void *state, const vt_op_args *args)
{
    norm *s = state;
    const float *x = args->in[0].data, *d = args->saved, *gy = args->grad_out.data;
    char *scratch = args->scratch;
    float *gx = args->grad_in[0].data, *q = (float *)(scratch + s->conv.scratch_bytes);
#pragma omp parallel for schedule(static) num_threads(s->threads) if (s->count > 32768)
    for (int64_t piece = 0; piece < PIECES; piece++) {
        int64_t at = piece_at(s, piece), n = piece_at(s, piece + 1) - at;
        if (gx)
            gradients(q + at, gx + at, x + at, d + at, gy + at, n);
        else
            pool_gradients(q + at, x + at, d + at, gy + at, n);
    }
    vt_made_gradients made;
    VT_TRY(vt_made_conv_backward(&s->conv, args->in[0].data, q, gx, scratch, &made,
                                 (char *)q + s->conv.image_bytes));
    if (made.kernel.data) s->op->gradient(args, &made.kernel, &made.bias);
    return VT_OK;
}

static void norm_free(void *state)
{
    norm *s = state;
    vt_made_conv_destroy(&s->conv);
    free(s);
}

static vt_status prepare(vt_kernel *out, const vt_kernel_request *request,
                         const vt_normalization *op)
{
    const vt_op_args *args = &request->args;
    norm *s = vt_alloc(1, sizeof *s);
    if (!s) return VT_ENOMEM;
    s->op = op;
    s->backward = request->backward;
    s->count = vt_tensor_count(&args->out);
    s->threads = vt_threads();
    vt_status status = vt_made_conv_init(&s->conv, request, args->in[0].size[3], op->width(args),
                                         vt_normalization_wants_bias(op, args));
    if (status != VT_OK) {
        free(s);
        return status;
    }
    const vt_made_conv *c = &s->conv;
    *out = (vt_kernel){.name = c->kernel.name,
                       .state = s,
                       .forward = forward,
                       .backward = request->backward ? backward : NULL,
                       .refresh = c->constant ? refresh : NULL,
                       .free = norm_free,
                       .scratch_bytes = c->scratch_bytes,
                       .saved_bytes = request->backward ? c->image_bytes : 0};
    if (request->backward) out->scratch_bytes += c->image_bytes + c->gradients_bytes;
    return VT_OK;
}

vt_status vt_divisive_normalization_prepare(vt_kernel *out, const vt_kernel_request *request)
{
    return prepare(out, request, &vt_divisive);
}

vt_status vt_tuned_normalization_prepare(vt_kernel *out, const vt_kernel_request *request)
{
    return prepare(out, request, &vt_tuned);
}
