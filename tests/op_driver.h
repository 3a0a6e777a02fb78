/* One layer of the table on one backend, with its own memory: what a plan does for a node. */
#ifndef OP_DRIVER_H
#define OP_DRIVER_H

#include "backend/backend.h"
#include "op_cases.h"
#include "ventral/rng.h"

typedef struct op_run {
    op_case c;
    vt_op_shape shape;
    vt_kernel kernel;
    vt_op_args args;
    bool backward;
} op_run;

/* How a case is to be run; zero: float32 forward on its own output. */
typedef struct op_mode {
    vt_dtype dtype;
    bool backward, relu, constant_params, in_place;
    bool no_input_gradient, no_param_gradient;
    /* Where the kernel can: gradients of inputs replace NaN, and lie where the output's do. */
    bool overwrite, gradient_in_place;
} op_mode;

static vt_tensor op_tensor(vt_dtype dtype, int64_t batch, int ndim, const int64_t *size)
{
    int64_t all[VT_MAX_DIMS] = {batch};
    int first = batch > 0;
    memcpy(all + first, size, (size_t)ndim * sizeof *size);
    vt_tensor t;
    assert_ok(vt_tensor_init(&t, dtype, ndim + first, all, NULL));
    return t;
}

/* Own allocations, exactly as large as promised, so that the sanitizers see every step outside. */
static void op_allocate(vt_tensor *t)
{
    if (t->ndim >= 0) assert_non_null(t->data = calloc(vt_tensor_bytes(t), 1));
}

static void op_set(const vt_tensor *t, int64_t i, double value)
{
    if (t->dtype == VT_F64)
        ((double *)t->data)[i] = value;
    else
        ((float *)t->data)[i] = (float)value;
}

static inline void op_set_all(const vt_tensor *t, double value)
{
    for (int64_t i = 0; t->data && i < vt_tensor_count(t); i++)
        op_set(t, i, value);
}

/* A number that float can hold, so that both precisions start from the same. */
static double op_uniform(vt_rng *rng, double low, double high)
{
    return (float)(low + (high - low) * vt_rng_uniform(rng));
}

/* Distances between any two are at least 1/128: no difference quotient changes a maximum. */
static void op_fill_distinct(const vt_tensor *t, vt_rng *rng)
{
    int64_t n = vt_tensor_count(t), *order = malloc((size_t)n * sizeof *order);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    vt_rng_shuffle(rng, order, n);
    for (int64_t i = 0; i < n; i++)
        op_set(t, i, (double)(order[i] - n / 2) / 128);
    free(order);
}

static void op_fill_input(const op_run *r, int input, vt_rng *rng)
{
    const vt_tensor *t = &r->args.in[input];
    const vt_op *op = r->c.op;
    if (op == &vt_op_max_pool) {
        op_fill_distinct(t, rng);
        return;
    }
    for (int64_t i = 0; i < vt_tensor_count(t); i++) {
        double x = op_uniform(rng, -1, 1);
        if (op == &vt_op_relu) x += x < 0 ? -0.01 : 0.01; /* away from the kink */
        if (op == &vt_op_batch_norm) x += 3;
        if (op == &vt_op_divisive_normalization || op == &vt_op_tuned_normalization) x = fabs(x);
        if (op == &vt_op_poisson_loss) x = input ? vt_rng_below(rng, 6) : x + 1.1;
        if (op == &vt_op_cross_entropy)
            x = input ? vt_rng_below(rng, (uint32_t)r->c.size[0]) : 3 * x;
        if (input && r->c.nan && vt_rng_below(rng, 4) == 0) x = NAN;
        op_set(t, i, x);
    }
}

/* Where a parameter's values are drawn from. */
static void op_param_range(const op_run *r, const char *role, double *low, double *high)
{
    static const struct {
        const char *role;
        double low, high;
    } ranges[] = {
        {"gamma", 0.5, 1.5},
        {"moving_variance", 0.5, 1.5},
        {"moving_mean", 2, 3},
        {"sigma1", -0.1, 2},
        {"sigma2_scale", 0.8, 2},
        {"total_scale", 0.5, 2},
        {"A", -1, 1},
        {"rho", -1, 2},
        {"sigma", -0.5, 2},
        {"theta", 0, 6},
        {"v", -1, 3},
        {"w", -1, 3},
        {"sigmas", 0.3, 3},
    };
    *low = -0.5;
    *high = 0.5;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!strcmp(role, ranges[i].role)) {
            *low = ranges[i].low;
            *high = ranges[i].high;
        }
    if (r->c.op == &vt_op_divisive_normalization && !strcmp(role, "bias")) *low = *high = -1.5;
}

static void op_fill(const op_run *r)
{
    vt_rng rng;
    vt_rng_init(&rng, 7, VT_RNG_INIT, 0, 0);
    for (int i = 0; i < r->c.op->inputs; i++)
        op_fill_input(r, i, &rng);
    for (int p = 0; p < r->shape.params; p++) {
        const char *role = r->shape.param[p].role;
        double low, high;
        op_param_range(r, role, &low, &high);
        for (int64_t i = 0; i < vt_tensor_count(&r->args.param[p]); i++)
            op_set(&r->args.param[p], i, op_uniform(&rng, low, high));
    }
    for (int64_t i = 0; i < vt_tensor_count(&r->args.grad_out); i++)
        op_set(&r->args.grad_out, i, op_uniform(&rng, -1, 1));
}

static void op_infer(op_run *r, const op_case *c)
{
    *r = (op_run){.c = *c};
    r->shape = (vt_op_shape){.name = c->text, .options = &r->c.options, .inputs = c->op->inputs};
    for (int i = 0; i < c->op->inputs; i++) {
        r->shape.in[i].ndim = c->ndim;
        memcpy(r->shape.in[i].size, c->size, sizeof c->size);
    }
    if (c->op == &vt_op_cross_entropy) r->shape.in[1] = (vt_shape){.ndim = 1, .size = {1}};
    assert_ok(c->op->infer(&r->shape));
}

/* Everything of the case, filled; false (and nothing held) when the backend declines it. */
static inline bool op_open(op_run *r, const vt_backend *backend, const op_case *c,
                           const op_mode *mode)
{
    op_infer(r, c);
    vt_op_args *a = &r->args;
    vt_dtype dtype = mode->dtype == VT_F64 ? VT_F64 : VT_F32;
    *a = (vt_op_args){.options = &r->c.options,
                      .batch = c->batch,
                      .training = c->training,
                      .seed = 11,
                      .step = 3,
                      .node = 5,
                      .relu = mode->relu};
    r->backward = mode->backward;
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++)
        a->in[i].ndim = a->grad_in[i].ndim = -1;
    for (int p = 0; p < VT_OP_MAX_PARAMS; p++)
        a->param[p].ndim = a->grad_param[p].ndim = -1;
    for (int i = 0; i < c->op->inputs; i++) {
        a->in[i] = op_tensor(dtype, c->batch, r->shape.in[i].ndim, r->shape.in[i].size);
        bool label = i == 1 && c->op == &vt_op_cross_entropy;
        if (mode->backward && !label && !mode->no_input_gradient) a->grad_in[i] = a->in[i];
    }
    for (int p = 0; p < r->shape.params; p++) {
        const vt_param_spec *spec = &r->shape.param[p];
        a->param[p] = op_tensor(dtype, 0, spec->ndim, spec->size);
        if (mode->backward && !spec->is_buffer && !mode->no_param_gradient)
            a->grad_param[p] = a->param[p];
    }
    int64_t out_batch = r->shape.out.batchless ? 0 : c->batch;
    a->out = a->grad_out = op_tensor(dtype, out_batch, r->shape.out.ndim, r->shape.out.size);

    vt_kernel_request request = {c->op, *a, mode->backward, false, mode->constant_params};
    vt_status status = backend->prepare(&r->kernel, &request);
    if (status == VT_EUNSUPPORTED) return false;
    assert_ok(status);
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++) {
        op_allocate(&a->in[i]);
        op_allocate(&a->grad_in[i]);
    }
    for (int p = 0; p < VT_OP_MAX_PARAMS; p++) {
        op_allocate(&a->param[p]);
        op_allocate(&a->grad_param[p]);
    }
    op_allocate(&a->grad_out);
    if (mode->in_place || (c->op->flags & VT_OP_VIEW))
        a->out.data = a->in[0].data;
    else
        op_allocate(&a->out);
    a->scratch = malloc(r->kernel.scratch_bytes + !r->kernel.scratch_bytes);
    a->saved = malloc(r->kernel.saved_bytes + !r->kernel.saved_bytes);
    for (int i = 0; mode->overwrite && r->kernel.overwrites && i < VT_OP_MAX_INPUTS; i++) {
        a->overwrite[i] = true;
        op_set_all(&a->grad_in[i], NAN);
    }
    if (mode->gradient_in_place && r->kernel.in_place_gradient) {
        free(a->grad_in[0].data);
        a->grad_in[0].data = a->grad_out.data;
        a->overwrite[0] = true;
    }
    op_fill(r);
    if (r->kernel.refresh) assert_ok(r->kernel.refresh(r->kernel.state, a));
    return true;
}

/* Scratch and saved memory start as NaN: nobody may count on zeros. */
static inline void op_forward(op_run *r)
{
    if (r->c.op->flags & VT_OP_VIEW) return;
    memset(r->args.scratch, 0xff, r->kernel.scratch_bytes);
    memset(r->args.saved, 0xff, r->kernel.saved_bytes);
    assert_ok(r->kernel.forward(r->kernel.state, &r->args));
}

static inline void op_backward(op_run *r)
{
    memset(r->args.scratch, 0xff, r->kernel.scratch_bytes);
    assert_ok(r->kernel.backward(r->kernel.state, &r->args));
}

static inline void op_close(op_run *r)
{
    vt_op_args *a = &r->args;
    if (a->out.data != a->in[0].data) free(a->out.data);
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++) {
        free(a->in[i].data);
        if (a->grad_in[i].data != a->grad_out.data) free(a->grad_in[i].data);
    }
    for (int p = 0; p < VT_OP_MAX_PARAMS; p++) {
        free(a->param[p].data);
        free(a->grad_param[p].data);
    }
    free(a->grad_out.data);
    free(a->scratch);
    free(a->saved);
    r->kernel.free(r->kernel.state);
}

/* The tensors a run writes, in order; NULL after the last. Backward's only where they are wanted.
 */
static inline const vt_tensor *op_result(const op_run *r, int index)
{
    const vt_op_args *a = &r->args;
    const vt_tensor *all[1 + VT_OP_MAX_INPUTS + 2 * VT_OP_MAX_PARAMS + 1] = {&a->out};
    int count = 1;
    for (int i = 0; i < VT_OP_MAX_INPUTS; i++)
        if (a->grad_in[i].data) all[count++] = &a->grad_in[i];
    for (int p = 0; p < VT_OP_MAX_PARAMS; p++) {
        if (a->grad_param[p].data) all[count++] = &a->grad_param[p];
        if (p < r->shape.params && r->shape.param[p].is_buffer) all[count++] = &a->param[p];
    }
    return index < count ? all[index] : NULL;
}

static double op_largest(const vt_tensor *t)
{
    double largest = 0;
    for (int64_t i = 0; i < vt_tensor_count(t); i++)
        largest = fmax(largest, fabs(vt_tensor_get(t, i)));
    return largest;
}

/* |a - b| <= tolerance * the largest |b| for every element. */
static inline void op_assert_near(const char *what, const vt_tensor *a, const vt_tensor *b,
                                  double tolerance)
{
    assert_int_equal(vt_tensor_count(a), vt_tensor_count(b));
    double limit = tolerance * fmax(op_largest(b), 1e-3);
    for (int64_t i = 0; i < vt_tensor_count(b); i++) {
        double x = vt_tensor_get(a, i), y = vt_tensor_get(b, i);
        if (!(fabs(x - y) <= limit))
            fail_msg("%s: element %lld is %.12g, expected %.12g", what, (long long)i, x, y);
    }
}

#endif
