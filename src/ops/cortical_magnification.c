/* Cortical magnification: a (32, 32) image resampled along rays and rings around the centre of gaze
 * to (16, 16), rows eccentricity, columns polar angle, each channel by itself (Pogoncheff, Granley
 * & Beyeler 2023). With the constant sparse matrix M of polar_map.c: y = M x, dL/dx = M^T dL/dy. */
#ifndef REAL
#include "ops/check.h"
#include "ops/polar_map.h"
#include "ops/real.h"

#include <string.h>

static const vt_polar_map *map_of(const vt_op_args *args)
{
    const vt_cortical_magnification_options *o = args->options;
    return vt_polar_map_of(o->formulation);
}

#define REAL float
#include "ops/cortical_magnification.c"
#undef REAL
#define REAL double
#include "ops/cortical_magnification.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    const vt_cortical_magnification_options *o = s->options;
    char text[128];
    VT_TRY(vt_check_image(s));
    if (o->formulation != VT_DESCRIBED && o->formulation != VT_RELEASED)
        return vt_error(VT_EINVAL, "%s: unknown formulation %d", s->name, (int)o->formulation);
    if (s->in[0].size[0] != VT_POLAR_IMAGE || s->in[0].size[1] != VT_POLAR_IMAGE)
        return vt_error(VT_ESHAPE, "%s: input is %s, expected (32, 32, channels)", s->name,
                        vt_shape_text(&s->in[0], text, sizeof text));
    s->out = (vt_shape){.ndim = 3, .size = {VT_POLAR_CORTEX, VT_POLAR_CORTEX, s->in[0].size[2]}};
    return vt_check_results(s);
}

static int64_t flops(const vt_op_shape *s)
{
    const vt_cortical_magnification_options *o = s->options;
    int64_t entries = vt_polar_map_of(o->formulation)->forward.start[VT_POLAR_SITES];
    return vt_flops(3, (int64_t[]){2, entries, s->in[0].size[2]});
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_cortical_magnification = {
    .name = "cortical_magnification",
    .inputs = 1,
    .options_size = sizeof(vt_cortical_magnification_options),
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .flops = flops,
};

#else

/* y (batch, rows, channels) += m x, x (batch, columns, channels) */
static void FN(add_product)(const vt_tensor *y, const vt_sparse *m, const vt_tensor *x)
{
    int64_t batch = x->size[0], pixels = x->size[1] * x->size[2], channels = x->size[3];
    int64_t work = batch * m->start[m->rows] * channels;
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (work > VT_PARALLEL_WORK)
    for (int64_t i = 0; i < batch * m->rows; i++) {
        const REAL *image = (const REAL *)x->data + i / m->rows * pixels * channels;
        REAL *restrict to = (REAL *)y->data + i * channels;
        for (int e = m->start[i % m->rows]; e < m->start[i % m->rows + 1]; e++) {
            const REAL *restrict from = image + m->column[e] * channels;
            REAL weight = (REAL)m->weight[e];
            for (int64_t c = 0; c < channels; c++)
                to[c] += weight * from[c];
        }
    }
}

static void FN(forward)(const vt_op_args *args)
{
    memset(args->out.data, 0, vt_tensor_bytes(&args->out));
    FN(add_product)(&args->out, &map_of(args)->forward, &args->in[0]);
}

static void FN(backward)(const vt_op_args *args)
{
    if (!args->grad_in[0].data) return;
    FN(add_product)(&args->grad_in[0], &map_of(args)->backward, &args->grad_out);
}

#endif
