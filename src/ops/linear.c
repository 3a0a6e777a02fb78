/* Fully connected layer: y = W x + b, W (units, features).
 * dL/dW = dy x^T, dL/db = dy, dL/dx = W^T dy, summed over the batch. */
#ifndef REAL
#include "ops/check.h"
#include "ops/real.h"

typedef struct sizes {
    int64_t batch, features, units;
    bool parallel;
} sizes;

static sizes sizes_of(const vt_op_args *args)
{
    sizes s = {args->batch, args->in[0].size[1], args->out.size[1], false};
    s.parallel = s.batch * s.features * s.units > VT_PARALLEL_WORK;
    return s;
}

/* Rows from `row` on to work on at once. */
static int64_t together(int64_t row, int64_t rows)
{
    return row + TOGETHER <= rows ? TOGETHER : 1;
}

#define REAL float
#include "ops/linear.c"
#undef REAL
#define REAL double
#include "ops/linear.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    const vt_linear_options *o = s->options;
    char text[128];
    VT_TRY(vt_check_inputs(s));
    VT_TRY(vt_check_batched(s));
    if (o->units < 1)
        return vt_error(VT_EINVAL, "%s: %d units, expected at least 1", s->name, o->units);
    if (s->in[0].ndim != 1)
        return vt_error(VT_ESHAPE, "%s: input is %s, expected (features): flatten it first",
                        s->name, vt_shape_text(&s->in[0], text, sizeof text));
    int64_t features = s->in[0].size[0];
    s->out = (vt_shape){.ndim = 1, .size = {o->units}};
    s->params = o->no_bias ? 1 : 2;
    s->param[0] = (vt_param_spec){.role = "kernel",
                                  .ndim = 2,
                                  .size = {o->units, features},
                                  .init = VT_INIT_GLOROT_UNIFORM,
                                  .fan_in = (double)features,
                                  .fan_out = o->units};
    s->param[1] =
        (vt_param_spec){.role = "bias", .ndim = 1, .size = {o->units}, .init = VT_INIT_ZERO};
    return vt_check_results(s);
}

static int64_t flops(const vt_op_shape *s)
{
    return vt_flops(3, (int64_t[]){2, s->param[0].size[0], s->param[0].size[1]});
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_linear = {
    .name = "linear",
    .inputs = 1,
    .options_size = sizeof(vt_linear_options),
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
    sizes s = sizes_of(args);
    int64_t f = s.features;
    const REAL *x = args->in[0].data, *w = args->param[0].data, *b = args->param[1].data;
    REAL *y = args->out.data;
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (s.parallel)
    for (int64_t block = 0; block < s.units; block += TOGETHER)
        for (int64_t n = 0; n < s.batch; n++)
            for (int64_t u = block, rows; u < s.units && u < block + TOGETHER; u += rows) {
                REAL *sum = y + n * s.units + u;
                rows = together(u, s.units);
                for (int64_t k = 0; k < rows; k++)
                    sum[k] = b ? b[u + k] : 0;
                FN(add_dots)(sum, (int)rows, w + u * f, f, x + n * f, f);
            }
}

static void FN(input_gradient)(const vt_op_args *args, const sizes *s)
{
    enum { BLOCK = 512 };
    int64_t f = s->features;
    const REAL *w = args->param[0].data, *gy = args->grad_out.data;
    REAL *gx = args->grad_in[0].data;
#pragma omp parallel for schedule(static) collapse(2) num_threads(vt_threads()) if (s->parallel)
    for (int64_t first = 0; first < f; first += BLOCK)
        for (int64_t n = 0; n < s->batch; n++)
            for (int64_t u = 0, rows; u < s->units; u += rows) {
                const REAL *g = gy + n * s->units + u;
                REAL *to = gx + n * f + first;
                rows = together(u, s->units);
                FN(add_rows)(to, g, (int)rows, w + u * f + first, f, vt_min(BLOCK, f - first));
            }
}

static void FN(kernel_gradient)(const vt_op_args *args, const sizes *s)
{
    int64_t f = s->features;
    const REAL *x = args->in[0].data, *gy = args->grad_out.data;
    REAL *gw = args->grad_param[0].data;
#pragma omp parallel for schedule(static) num_threads(vt_threads()) if (s->parallel)
    for (int64_t u = 0; u < s->units; u++)
        for (int64_t n = 0, rows; n < s->batch; n += rows) {
            REAL g[TOGETHER];
            rows = together(n, s->batch);
            for (int64_t k = 0; k < rows; k++)
                g[k] = gy[(n + k) * s->units + u];
            FN(add_rows)(gw + u * f, g, (int)rows, x + n * f, f, f);
        }
}

static void FN(backward)(const vt_op_args *args)
{
    sizes s = sizes_of(args);
    if (args->grad_in[0].data) FN(input_gradient)(args, &s);
    if (args->grad_param[0].data) FN(kernel_gradient)(args, &s);
    if (args->grad_param[1].data)
        FN(add_column_sums)(args->grad_param[1].data, args->grad_out.data, s.batch, s.units);
}

#endif
