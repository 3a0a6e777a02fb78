/* Cross-entropy of class scores: the mean over samples of log(sum of exp(x)) - x[t], t the number
 * of the sample's class. d/dx = softmax(x) - [class = t]. The largest score is subtracted before
 * exp, which cannot overflow then. A label that is no class number makes loss and gradient NaN. */
#ifndef REAL
#include "ops/check.h"
#include "ops/real.h"

#include <math.h>

/* The class a label names, or -1. */
static int64_t class_of(double label, int64_t classes)
{
    return label >= 0 && label < (double)classes && label == floor(label) ? (int64_t)label : -1;
}

/* Forward saves log(sum of exp(x)) of each sample. */
static size_t saved_bytes(const vt_op_args *args)
{
    return (size_t)args->batch * sizeof(double);
}

#define REAL float
#include "ops/cross_entropy.c"
#undef REAL
#define REAL double
#include "ops/cross_entropy.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    char text[128];
    VT_TRY(vt_check_inputs(s));
    VT_TRY(vt_check_batched(s));
    if (s->in[0].ndim != 1)
        return vt_error(VT_ESHAPE, "%s: input is %s, expected (classes)", s->name,
                        vt_shape_text(&s->in[0], text, sizeof text));
    if (s->in[1].ndim != 1 || s->in[1].size[0] != 1)
        return vt_error(VT_ESHAPE, "%s: target is %s, expected (1,), a class number", s->name,
                        vt_shape_text(&s->in[1], text, sizeof text));
    s->out = (vt_shape){.ndim = 1, .size = {1}, .batchless = true};
    return VT_OK;
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_cross_entropy = {
    .name = "cross_entropy",
    .inputs = 2,
    .flags = VT_OP_BACKWARD_READS_IN,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .saved_bytes = saved_bytes,
};

#else

static void FN(forward)(const vt_op_args *args)
{
    const REAL *x = args->in[0].data, *t = args->in[1].data;
    int64_t classes = args->in[0].size[1];
    double *log_sum = args->saved, loss = 0;
#pragma omp parallel for schedule(static)                                                          \
    num_threads(vt_threads()) if (args->batch * classes > VT_PARALLEL_WORK)
    for (int64_t n = 0; n < args->batch; n++) {
        const REAL *score = x + n * classes;
        double largest = score[0], sum = 0;
        for (int64_t c = 1; c < classes; c++)
            if (score[c] > largest) largest = score[c];
        for (int64_t c = 0; c < classes; c++)
            sum += exp(score[c] - largest);
        log_sum[n] = largest + log(sum);
    }
    for (int64_t n = 0; n < args->batch; n++) {
        int64_t class = class_of(t[n], classes);
        loss += class < 0 ? (double)NAN : log_sum[n] - x[n * classes + class];
    }
    *(REAL *)args->out.data = (REAL)(loss / (double)args->batch);
}

static void FN(backward)(const vt_op_args *args)
{
    const REAL *x = args->in[0].data, *t = args->in[1].data;
    REAL *gx = args->grad_in[0].data;
    int64_t classes = args->in[0].size[1];
    const double *log_sum = args->saved;
    double scale = *(const REAL *)args->grad_out.data / (double)args->batch;
    if (!gx) return;
#pragma omp parallel for schedule(static)                                                          \
    num_threads(vt_threads()) if (args->batch * classes > VT_PARALLEL_WORK)
    for (int64_t n = 0; n < args->batch; n++) {
        int64_t class = class_of(t[n], classes);
        for (int64_t c = 0; c < classes; c++) {
            double p = class < 0 ? (double)NAN : exp(x[n * classes + c] - log_sum[n]);
            gx[n * classes + c] += (REAL)(scale * (p - (c == class)));
        }
    }
}

#endif
