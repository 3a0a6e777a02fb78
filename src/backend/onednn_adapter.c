/* oneDNN's C API behind one face: 2.6, where operations have descriptors and memory descriptors are
 * values, and 3.x, where primitive descriptors are made at once and memory descriptors are objects.
 * docs/onednn.md says how to build against either. */
#include "backend/onednn_adapter.h"

#include "base/arena.h"
#include "ventral/progress.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(VT_DNNL_DIMS == DNNL_MAX_NDIMS, "arrays as long as oneDNN wants them");

#define ALIGN 64

/* ---- what differs between the versions ---- */

/* `layout` is a memory descriptor of ours, `layout_ref` one lent to or by the library. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t layout;
typedef const_dnnl_memory_desc_t layout_ref;
#define REF(l) (l)
#else
typedef struct {
    dnnl_memory_desc_t desc;
    bool present;
} layout;
typedef const dnnl_memory_desc_t *layout_ref;
#define REF(l) ((l).present ? &(l).desc : NULL)
#endif

static dnnl_status_t layout_new(layout *out, const vt_dnnl_tensor *t, bool any)
{
    if (t->ndim == 0) return dnnl_success;
#if DNNL_VERSION_MAJOR >= 3
    if (any)
        return dnnl_memory_desc_create_with_tag(out, t->ndim, t->size, dnnl_f32,
                                                dnnl_format_tag_any);
    return dnnl_memory_desc_create_with_strides(out, t->ndim, t->size, dnnl_f32, t->stride);
#else
    out->present = true;
    if (any)
        return dnnl_memory_desc_init_by_tag(&out->desc, t->ndim, t->size, dnnl_f32,
                                            dnnl_format_tag_any);
    return dnnl_memory_desc_init_by_strides(&out->desc, t->ndim, t->size, dnnl_f32, t->stride);
#endif
}

static void layout_free(layout *l)
{
#if DNNL_VERSION_MAJOR >= 3
    if (*l) dnnl_memory_desc_destroy(*l);
#else
    (void)l;
#endif
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0, 0);
#else
    return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
#endif
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
#else
    return dnnl_post_ops_append_sum(ops, 1);
#endif
}

static bool is_gemm(dnnl_primitive_desc_t desc)
{
    const char *name = NULL;
    return dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name) == dnnl_success &&
           name && strstr(name, "gemm");
}

/* What the descriptor of an operation is made with, besides the operation's own arguments. */
typedef struct context {
    dnnl_engine_t engine;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t hint; /* backward: the forward descriptor */
    bool gemm;                  /* the first implementation by matrix products, if there is one */
} context;

#if DNNL_VERSION_MAJOR >= 3

static dnnl_status_t choose(dnnl_primitive_desc_t *desc, const context *x, dnnl_status_t status)
{
    if (status != dnnl_success || !x->gemm || is_gemm(*desc)) return status;
    dnnl_primitive_desc_t other;
    status = dnnl_primitive_desc_clone(&other, *desc);
    if (status != dnnl_success) return dnnl_success;
    while (dnnl_primitive_desc_next_impl(other) == dnnl_success)
        if (is_gemm(other)) {
            dnnl_primitive_desc_t first = *desc;
            *desc = other;
            other = first;
            break;
        }
    dnnl_primitive_desc_destroy(other);
    return dnnl_success;
}

#else

typedef union operation {
    dnnl_convolution_desc_t conv;
    dnnl_pooling_v2_desc_t pool;
    dnnl_batch_normalization_desc_t norm;
} operation;

static dnnl_status_t create(dnnl_primitive_desc_t *out, const operation *op, const context *x)
{
    dnnl_primitive_desc_iterator_t it;
    dnnl_status_t status =
        dnnl_primitive_desc_iterator_create(&it, op, x->attr, x->engine, x->hint);
    if (status != dnnl_success) return status;
    dnnl_primitive_desc_t first = dnnl_primitive_desc_iterator_fetch(it);
    *out = first;
    if (!first) status = dnnl_out_of_memory;
    while (first && x->gemm && !is_gemm(*out)) {
        if (*out != first) dnnl_primitive_desc_destroy(*out);
        *out = first;
        if (dnnl_primitive_desc_iterator_next(it) != dnnl_success) break;
        dnnl_primitive_desc_t next = dnnl_primitive_desc_iterator_fetch(it);
        if (!next) break;
        *out = next;
    }
    if (*out != first) dnnl_primitive_desc_destroy(first);
    dnnl_primitive_desc_iterator_destroy(it);
    return status;
}

#endif

/* The layouts of an operation; sliding windows count dilations from 0, as oneDNN does. */
typedef struct parts {
    layout src, weights, bias, dst;
    dnnl_dims_t dilation;
} parts;

static dnnl_status_t conv_desc(dnnl_primitive_desc_t *out, const void *operation_of,
                               vt_dnnl_pass pass, const parts *p, const context *x)
{
    const vt_dnnl_conv *c = operation_of;
    const vt_dnnl_window *w = &c->window;
    layout_ref src = REF(p->src), weights = REF(p->weights), bias = REF(p->bias), dst = REF(p->dst);
    dnnl_prop_kind_t forward =
        pass == VT_DNNL_INFERENCE ? dnnl_forward_inference : dnnl_forward_training;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_status_t status;
    if (pass == VT_DNNL_BACKWARD_DATA)
        status = dnnl_convolution_backward_data_primitive_desc_create(
            out, x->engine, dnnl_convolution_direct, src, weights, dst, w->stride, p->dilation,
            w->before, w->after, x->hint, x->attr);
    else if (pass == VT_DNNL_BACKWARD_WEIGHTS)
        status = dnnl_convolution_backward_weights_primitive_desc_create(
            out, x->engine, dnnl_convolution_direct, src, weights, bias, dst, w->stride,
            p->dilation, w->before, w->after, x->hint, x->attr);
    else
        status = dnnl_convolution_forward_primitive_desc_create(
            out, x->engine, forward, dnnl_convolution_direct, src, weights, bias, dst, w->stride,
            p->dilation, w->before, w->after, x->attr);
    return choose(out, x, status);
#else
    operation op;
    dnnl_status_t status;
    if (pass == VT_DNNL_BACKWARD_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(&op.conv, dnnl_convolution_direct,
                                                                  src, weights, dst, w->stride,
                                                                  p->dilation, w->before, w->after);
    else if (pass == VT_DNNL_BACKWARD_WEIGHTS)
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &op.conv, dnnl_convolution_direct, src, weights, bias, dst, w->stride, p->dilation,
            w->before, w->after);
    else
        status = dnnl_dilated_convolution_forward_desc_init(
            &op.conv, forward, dnnl_convolution_direct, src, weights, bias, dst, w->stride,
            p->dilation, w->before, w->after);
    return status != dnnl_success ? status : create(out, &op, x);
#endif
}

static dnnl_status_t pool_desc(dnnl_primitive_desc_t *out, const void *operation_of,
                               vt_dnnl_pass pass, const parts *p, const context *x)
{
    const vt_dnnl_pool *o = operation_of;
    const vt_dnnl_window *w = &o->window;
    layout_ref src = REF(p->src), dst = REF(p->dst);
    dnnl_prop_kind_t forward =
        pass == VT_DNNL_INFERENCE ? dnnl_forward_inference : dnnl_forward_training;
    dnnl_alg_kind_t algorithm = dnnl_pooling_max;
#if DNNL_VERSION_MAJOR >= 3
    if (!o->maximum)
        algorithm =
            o->count_padding ? dnnl_pooling_avg_include_padding : dnnl_pooling_avg_exclude_padding;
    dnnl_status_t status;
    if (pass == VT_DNNL_BACKWARD_DATA)
        status = dnnl_pooling_backward_primitive_desc_create(out, x->engine, algorithm, src, dst,
                                                             w->stride, w->kernel, p->dilation,
                                                             w->before, w->after, x->hint, x->attr);
    else
        status = dnnl_pooling_forward_primitive_desc_create(out, x->engine, forward, algorithm, src,
                                                            dst, w->stride, w->kernel, p->dilation,
                                                            w->before, w->after, x->attr);
    return choose(out, x, status);
#else
    if (!o->maximum)
        algorithm =
            o->count_padding ? dnnl_pooling_avg_include_padding : dnnl_pooling_avg_exclude_padding;
    operation op;
    dnnl_status_t status;
    if (pass == VT_DNNL_BACKWARD_DATA)
        status = dnnl_pooling_v2_backward_desc_init(&op.pool, algorithm, src, dst, w->stride,
                                                    w->kernel, p->dilation, w->before, w->after);
    else
        status =
            dnnl_pooling_v2_forward_desc_init(&op.pool, forward, algorithm, src, dst, w->stride,
                                              w->kernel, p->dilation, w->before, w->after);
    return status != dnnl_success ? status : create(out, &op, x);
#endif
}

static dnnl_status_t norm_desc(dnnl_primitive_desc_t *out, const void *operation_of,
                               vt_dnnl_pass pass, const parts *p, const context *x)
{
    const vt_dnnl_norm *o = operation_of;
    layout_ref src = REF(p->src);
    unsigned flags = dnnl_use_scale | dnnl_use_shift;
    if (o->global_stats) flags |= dnnl_use_global_stats;
    dnnl_prop_kind_t forward =
        pass == VT_DNNL_INFERENCE ? dnnl_forward_inference : dnnl_forward_training;
    float epsilon = (float)o->epsilon;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_status_t status;
    if (pass == VT_DNNL_BACKWARD_WEIGHTS)
        status = dnnl_batch_normalization_backward_primitive_desc_create(
            out, x->engine, dnnl_backward, src, src, src, epsilon, flags, x->hint, x->attr);
    else
        status = dnnl_batch_normalization_forward_primitive_desc_create(
            out, x->engine, forward, src, src, epsilon, flags, x->attr);
    return choose(out, x, status);
#else
    operation op;
    dnnl_status_t status;
    if (pass == VT_DNNL_BACKWARD_WEIGHTS)
        status = dnnl_batch_normalization_backward_desc_init(&op.norm, dnnl_backward, src, src,
                                                             epsilon, flags);
    else
        status = dnnl_batch_normalization_forward_desc_init(&op.norm, forward, src, epsilon, flags);
    return status != dnnl_success ? status : create(out, &op, x);
#endif
}

/* ---- primitives ---- */

typedef struct argument {
    vt_dnnl_arg id;
    bool output, accumulate;
    dnnl_memory_t user;       /* the caller's memory; NULL: the caller's is used as it is */
    dnnl_memory_t own;        /* what the primitive reads or writes */
    dnnl_primitive_t reorder; /* between both; NULL: an accumulating output that is only added */
    size_t offset, bytes;     /* of `own` in scratch */
    void *packed;             /* memory of `own` that stays; NULL: none */
} argument;

struct vt_dnnl_primitive {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_primitive_desc_t desc;
    argument args[VT_DNNL_ARG_COUNT];
    int arg_count, threads;
    dnnl_memory_t scratchpad;
    size_t scratch_bytes, workspace_bytes;
    const char *what;
};

static const int numbers[VT_DNNL_ARG_COUNT] = {
    [VT_DNNL_SRC] = DNNL_ARG_SRC,
    [VT_DNNL_WEIGHTS] = DNNL_ARG_WEIGHTS,
    [VT_DNNL_BIAS] = DNNL_ARG_BIAS,
    [VT_DNNL_DST] = DNNL_ARG_DST,
    [VT_DNNL_MEAN] = DNNL_ARG_MEAN,
    [VT_DNNL_VARIANCE] = DNNL_ARG_VARIANCE,
    [VT_DNNL_SCALE] = DNNL_ARG_SCALE,
    [VT_DNNL_SHIFT] = DNNL_ARG_SHIFT,
    [VT_DNNL_WORKSPACE] = DNNL_ARG_WORKSPACE,
    [VT_DNNL_DIFF_SRC] = DNNL_ARG_DIFF_SRC,
    [VT_DNNL_DIFF_WEIGHTS] = DNNL_ARG_DIFF_WEIGHTS,
    [VT_DNNL_DIFF_BIAS] = DNNL_ARG_DIFF_BIAS,
    [VT_DNNL_DIFF_DST] = DNNL_ARG_DIFF_DST,
    [VT_DNNL_DIFF_SCALE] = DNNL_ARG_DIFF_SCALE,
    [VT_DNNL_DIFF_SHIFT] = DNNL_ARG_DIFF_SHIFT,
};

static vt_status check(const char *what, dnnl_status_t status)
{
    switch (status) {
    case dnnl_success: return VT_OK;
    case dnnl_out_of_memory: return vt_error(VT_ENOMEM, "oneDNN, %s: out of memory", what);
    case dnnl_unimplemented:
        return vt_error(VT_EUNSUPPORTED, "oneDNN, %s: not implemented for these sizes", what);
    case dnnl_invalid_arguments: return vt_error(VT_EINVAL, "oneDNN, %s: invalid arguments", what);
    default: return vt_error(VT_EUNSUPPORTED, "oneDNN, %s: status %d", what, (int)status);
    }
}

/* oneDNN asks OpenMP for the thread count; callers' settings are put back. */
static int enter(int threads)
{
    int before = omp_get_max_threads();
    if (before != threads) omp_set_num_threads(threads);
    return before;
}

static void leave(int before, int threads)
{
    if (before != threads) omp_set_num_threads(before);
}

static void reserve(vt_dnnl_primitive *p, size_t *offset, size_t bytes)
{
    *offset = p->scratch_bytes;
    p->scratch_bytes += (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static dnnl_status_t reorder_new(vt_dnnl_primitive *p, dnnl_primitive_t *out, layout_ref from,
                                 layout_ref to, bool sum)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success && sum) {
        status = dnnl_post_ops_create(&ops);
        if (status == dnnl_success) status = append_sum(ops);
        if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, ops);
    }
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&desc, from, p->engine, to, p->engine, attr);
    if (status == dnnl_success) status = dnnl_primitive_create(out, desc);
    if (desc) dnnl_primitive_desc_destroy(desc);
    if (ops) dnnl_post_ops_destroy(ops);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return status;
}

/* `wanted`: the primitive's own layout; NULL where it is the caller's. */
static dnnl_status_t add_arg(vt_dnnl_primitive *p, vt_dnnl_arg id, const vt_dnnl_tensor *tensor,
                             layout_ref wanted)
{
    if (tensor->ndim == 0) return dnnl_success;
    argument *a = &p->args[p->arg_count++];
    a->id = id;
    a->accumulate = id >= VT_DNNL_DIFF_SRC && id != VT_DNNL_DIFF_DST;
    layout user = {0};
    dnnl_status_t status = layout_new(&user, tensor, false);
    if (status != dnnl_success) return status;
    if (!wanted) wanted = REF(user);
    bool same = dnnl_memory_desc_equal(REF(user), wanted);
    status = dnnl_memory_create(&a->own, wanted, p->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success && (a->accumulate || !same)) {
        a->bytes = dnnl_memory_desc_get_size(wanted);
        reserve(p, &a->offset, a->bytes);
        status = dnnl_memory_create(&a->user, REF(user), p->engine, DNNL_MEMORY_NONE);
    }
    if (status == dnnl_success && !same) {
        a->output = a->accumulate || id == VT_DNNL_DST;
        status = a->output ? reorder_new(p, &a->reorder, wanted, REF(user), a->accumulate)
                           : reorder_new(p, &a->reorder, REF(user), wanted, false);
    }
    layout_free(&user);
    return status;
}

static layout_ref query(const vt_dnnl_primitive *p, dnnl_query_t what, int index)
{
    return dnnl_primitive_desc_query_md(p->desc, what, index);
}

/* The workspace has the library's own layout; callers see bytes. */
static dnnl_status_t add_workspace(vt_dnnl_primitive *p)
{
    layout_ref wanted = query(p, dnnl_query_workspace_md, 0);
    if (!wanted || dnnl_memory_desc_get_size(wanted) == 0) return dnnl_success;
    p->workspace_bytes = dnnl_memory_desc_get_size(wanted);
    argument *a = &p->args[p->arg_count++];
    a->id = VT_DNNL_WORKSPACE;
    return dnnl_memory_create(&a->own, wanted, p->engine, DNNL_MEMORY_NONE);
}

typedef dnnl_status_t (*describe)(dnnl_primitive_desc_t *, const void *, vt_dnnl_pass,
                                  const parts *, const context *);

typedef struct wishes {
    vt_dnnl_pass pass;
    bool relu, bf16, gemm;
    const char *what;
} wishes;

static dnnl_status_t attr_new(dnnl_primitive_attr_t *out, const wishes *w)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && w->bf16)
        status = dnnl_primitive_attr_set_fpmath_mode(*out, dnnl_fpmath_mode_bf16);
    if (status == dnnl_success && w->relu) {
        status = dnnl_post_ops_create(&ops);
        if (status == dnnl_success) status = append_relu(ops);
        if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*out, ops);
    }
    if (ops) dnnl_post_ops_destroy(ops);
    return status;
}

/* Everything but the arguments. */
static dnnl_status_t open(vt_dnnl_primitive *p, describe make, const void *operation_of,
                          const parts *parts, const wishes *w)
{
    p->what = w->what;
    dnnl_status_t status = dnnl_engine_create(&p->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags);
    context x = {.engine = p->engine};
    if (status == dnnl_success) status = attr_new(&x.attr, w);
    if (status == dnnl_success && w->pass >= VT_DNNL_BACKWARD_DATA)
        status = make(&x.hint, operation_of, VT_DNNL_TRAINING, parts, &x);
    x.gemm = w->gemm;
    if (status == dnnl_success) status = make(&p->desc, operation_of, w->pass, parts, &x);
    if (status == dnnl_success && strncmp(vt_dnnl_implementation(p), "ref", 3) == 0)
        status = dnnl_unimplemented;
    if (status == dnnl_success) status = dnnl_primitive_create(&p->primitive, p->desc);
    if (x.hint) dnnl_primitive_desc_destroy(x.hint);
    if (x.attr) dnnl_primitive_attr_destroy(x.attr);
    if (status != dnnl_success) return status;
    layout_ref scratchpad = query(p, dnnl_query_scratchpad_md, 0);
    size_t offset;
    reserve(p, &offset, dnnl_memory_desc_get_size(scratchpad));
    return dnnl_memory_create(&p->scratchpad, scratchpad, p->engine, DNNL_MEMORY_NONE);
}

static vt_status primitive_new(vt_dnnl_primitive **out)
{
    vt_dnnl_primitive *p = vt_alloc(1, sizeof *p);
    if (!p) return VT_ENOMEM;
    p->threads = vt_threads();
    *out = p;
    return VT_OK;
}

static vt_status finish(vt_dnnl_primitive **out, vt_dnnl_primitive *p, const char *what,
                        dnnl_status_t dnnl)
{
    vt_status status = check(what, dnnl);
    if (status == VT_OK)
        *out = p;
    else
        vt_dnnl_free(p);
    return status;
}

vt_status vt_dnnl_conv_new(vt_dnnl_primitive **out, const vt_dnnl_conv *c)
{
    static const char *const names[] = {"convolution", "convolution (training)",
                                        "convolution backward by data",
                                        "convolution backward by weights"};
    vt_dnnl_primitive *p;
    VT_TRY(primitive_new(&p));
    int before = enter(p->threads);
    parts parts = {.dilation = {c->window.dilation[0] - 1, c->window.dilation[1] - 1}};
    wishes w = {c->pass, c->relu, c->bf16, c->gemm, names[c->pass]};
    dnnl_status_t s = layout_new(&parts.src, &c->src, c->blocked);
    if (s == dnnl_success) s = layout_new(&parts.weights, &c->weights, true);
    if (s == dnnl_success) s = layout_new(&parts.bias, &c->bias, false);
    if (s == dnnl_success) s = layout_new(&parts.dst, &c->dst, c->blocked);
    if (s == dnnl_success) s = open(p, conv_desc, c, &parts, &w);
    if (s == dnnl_success && c->pass == VT_DNNL_BACKWARD_DATA) {
        s = add_arg(p, VT_DNNL_DIFF_DST, &c->dst, query(p, dnnl_query_diff_dst_md, 0));
        if (s == dnnl_success)
            s = add_arg(p, VT_DNNL_WEIGHTS, &c->weights, query(p, dnnl_query_weights_md, 0));
        if (s == dnnl_success)
            s = add_arg(p, VT_DNNL_DIFF_SRC, &c->src, query(p, dnnl_query_diff_src_md, 0));
    } else if (s == dnnl_success && c->pass == VT_DNNL_BACKWARD_WEIGHTS) {
        s = add_arg(p, VT_DNNL_SRC, &c->src, query(p, dnnl_query_src_md, 0));
        if (s == dnnl_success)
            s = add_arg(p, VT_DNNL_DIFF_DST, &c->dst, query(p, dnnl_query_diff_dst_md, 0));
        if (s == dnnl_success)
            s = add_arg(p, VT_DNNL_DIFF_WEIGHTS, &c->weights,
                        query(p, dnnl_query_diff_weights_md, 0));
        if (s == dnnl_success)
            s = add_arg(p, VT_DNNL_DIFF_BIAS, &c->bias, query(p, dnnl_query_diff_weights_md, 1));
    } else if (s == dnnl_success) {
        s = add_arg(p, VT_DNNL_SRC, &c->src, query(p, dnnl_query_src_md, 0));
        if (s == dnnl_success)
            s = add_arg(p, VT_DNNL_WEIGHTS, &c->weights, query(p, dnnl_query_weights_md, 0));
        if (s == dnnl_success) s = add_arg(p, VT_DNNL_BIAS, &c->bias, NULL);
        if (s == dnnl_success) s = add_arg(p, VT_DNNL_DST, &c->dst, query(p, dnnl_query_dst_md, 0));
    }
    layout_free(&parts.src), layout_free(&parts.weights);
    layout_free(&parts.bias), layout_free(&parts.dst);
    leave(before, p->threads);
    return finish(out, p, w.what, s);
}

vt_status vt_dnnl_pool_new(vt_dnnl_primitive **out, const vt_dnnl_pool *o)
{
    vt_dnnl_primitive *p;
    VT_TRY(primitive_new(&p));
    int before = enter(p->threads);
    parts parts = {.dilation = {o->window.dilation[0] - 1, o->window.dilation[1] - 1}};
    wishes w = {.pass = o->pass,
                .what = o->pass == VT_DNNL_BACKWARD_DATA ? "pooling backward" : "pooling"};
    dnnl_status_t s = layout_new(&parts.src, &o->src, false);
    if (s == dnnl_success) s = layout_new(&parts.dst, &o->dst, false);
    if (s == dnnl_success) s = open(p, pool_desc, o, &parts, &w);
    if (s == dnnl_success) s = add_workspace(p);
    bool backward = o->pass == VT_DNNL_BACKWARD_DATA;
    if (s == dnnl_success)
        s = add_arg(p, backward ? VT_DNNL_DIFF_DST : VT_DNNL_SRC, backward ? &o->dst : &o->src,
                    NULL);
    if (s == dnnl_success)
        s = add_arg(p, backward ? VT_DNNL_DIFF_SRC : VT_DNNL_DST, backward ? &o->src : &o->dst,
                    NULL);
    layout_free(&parts.src), layout_free(&parts.dst);
    leave(before, p->threads);
    return finish(out, p, w.what, s);
}

vt_status vt_dnnl_norm_new(vt_dnnl_primitive **out, const vt_dnnl_norm *o)
{
    vt_dnnl_primitive *p;
    VT_TRY(primitive_new(&p));
    int before = enter(p->threads);
    bool backward = o->pass == VT_DNNL_BACKWARD_WEIGHTS;
    parts parts = {0};
    wishes w = {.pass = o->pass,
                .what = backward ? "batch normalization backward" : "batch normalization"};
    vt_dnnl_tensor vector = {.ndim = 1, .size = {o->src.size[1]}, .stride = {1}};
    dnnl_status_t s = layout_new(&parts.src, &o->src, false);
    if (s == dnnl_success) s = open(p, norm_desc, o, &parts, &w);
    static const vt_dnnl_arg forward_args[] = {VT_DNNL_SRC,      VT_DNNL_DST,   VT_DNNL_MEAN,
                                               VT_DNNL_VARIANCE, VT_DNNL_SCALE, VT_DNNL_SHIFT};
    static const vt_dnnl_arg backward_args[] = {
        VT_DNNL_SRC,      VT_DNNL_DIFF_DST, VT_DNNL_DIFF_SRC,   VT_DNNL_MEAN,
        VT_DNNL_VARIANCE, VT_DNNL_SCALE,    VT_DNNL_DIFF_SCALE, VT_DNNL_DIFF_SHIFT};
    const vt_dnnl_arg *ids = backward ? backward_args : forward_args;
    int count = backward ? 8 : 6, images = backward ? 3 : 2;
    for (int i = 0; i < count && s == dnnl_success; i++)
        s = add_arg(p, ids[i], i < images ? &o->src : &vector, NULL);
    layout_free(&parts.src);
    leave(before, p->threads);
    return finish(out, p, w.what, s);
}

void vt_dnnl_free(vt_dnnl_primitive *p)
{
    if (!p) return;
    for (int i = 0; i < p->arg_count; i++) {
        argument *a = &p->args[i];
        if (a->reorder) dnnl_primitive_destroy(a->reorder);
        if (a->user) dnnl_memory_destroy(a->user);
        if (a->own) dnnl_memory_destroy(a->own);
        free(a->packed);
    }
    if (p->scratchpad) dnnl_memory_destroy(p->scratchpad);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    if (p->desc) dnnl_primitive_desc_destroy(p->desc);
    if (p->stream) dnnl_stream_destroy(p->stream);
    if (p->engine) dnnl_engine_destroy(p->engine);
    free(p);
}

size_t vt_dnnl_scratch_bytes(const vt_dnnl_primitive *p)
{
    return p->scratch_bytes;
}

size_t vt_dnnl_workspace_bytes(const vt_dnnl_primitive *p)
{
    return p->workspace_bytes;
}

const char *vt_dnnl_implementation(const vt_dnnl_primitive *p)
{
    const char *name = NULL;
    dnnl_primitive_desc_query(p->desc, dnnl_query_impl_info_str, 0, &name);
    return name ? name : "";
}

static dnnl_status_t reorder_run(const vt_dnnl_primitive *p, const argument *a)
{
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, a->output ? a->own : a->user},
                              {DNNL_ARG_TO, a->output ? a->user : a->own}};
    return dnnl_primitive_execute(a->reorder, p->stream, 2, args);
}

vt_status vt_dnnl_pack_weights(vt_dnnl_primitive *p, void *weights)
{
    for (int i = 0; i < p->arg_count; i++) {
        argument *a = &p->args[i];
        if (a->id != VT_DNNL_WEIGHTS || !a->reorder) continue;
        if (!a->packed) a->packed = vt_alloc(1, a->bytes);
        if (!a->packed) return VT_ENOMEM;
        int before = enter(p->threads);
        dnnl_status_t status = dnnl_memory_set_data_handle(a->user, weights);
        if (status == dnnl_success) status = dnnl_memory_set_data_handle(a->own, a->packed);
        if (status == dnnl_success) status = reorder_run(p, a);
        leave(before, p->threads);
        return check(p->what, status);
    }
    return VT_OK;
}

static void add(float *restrict y, const float *restrict x, size_t n, int threads)
{
#pragma omp parallel for simd schedule(static) num_threads(threads) if (n > 32768)
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

vt_status vt_dnnl_run(vt_dnnl_primitive *p, void *const data[VT_DNNL_ARG_COUNT], void *scratch)
{
    dnnl_exec_arg_t args[VT_DNNL_ARG_COUNT + 1];
    dnnl_status_t status = dnnl_success;
    int before = enter(p->threads), count = 0;
    for (int i = 0; i < p->arg_count && status == dnnl_success; i++) {
        argument *a = &p->args[i];
        void *own = a->packed ? a->packed : a->user ? (char *)scratch + a->offset : data[a->id];
        status = dnnl_memory_set_data_handle(a->own, own);
        if (status == dnnl_success && a->user)
            status = dnnl_memory_set_data_handle(a->user, data[a->id]);
        if (status == dnnl_success && a->reorder && !a->output && !a->packed)
            status = reorder_run(p, a);
        args[count++] = (dnnl_exec_arg_t){numbers[a->id], a->own};
    }
    if (status == dnnl_success) status = dnnl_memory_set_data_handle(p->scratchpad, scratch);
    args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, p->scratchpad};
    if (status == dnnl_success)
        status = dnnl_primitive_execute(p->primitive, p->stream, count, args);
    for (int i = 0; i < p->arg_count && status == dnnl_success; i++) {
        argument *a = &p->args[i];
        if (a->output)
            status = reorder_run(p, a);
        else if (a->accumulate)
            add(data[a->id], (const float *)((const char *)scratch + a->offset),
                a->bytes / sizeof(float), p->threads);
    }
    leave(before, p->threads);
    return check(p->what, status);
}

vt_status vt_dnnl_product_run(const vt_dnnl_product *o, const float *a, const float *b, float *c)
{
    int before = enter(o->threads);
    dnnl_status_t status =
        dnnl_sgemm(o->transpose_a ? 'T' : 'N', o->transpose_b ? 'T' : 'N', o->m, o->n, o->k, 1, a,
                   o->transpose_a ? o->m : o->k, b, o->transpose_b ? o->k : o->n, o->beta, c, o->n);
    leave(before, o->threads);
    return check("matrix product", status);
}

bool vt_dnnl_has_avx512(void)
{
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}
