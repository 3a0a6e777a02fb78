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

static dnnl_status_t layout_new(layout *out, const vt_dnnl_tensor *t, dnnl_data_type_t type,
                                bool any)
{
    if (t->ndim == 0) return dnnl_success;
#if DNNL_VERSION_MAJOR >= 3
    if (any)
        return dnnl_memory_desc_create_with_tag(out, t->ndim, t->size, type, dnnl_format_tag_any);
    return dnnl_memory_desc_create_with_strides(out, t->ndim, t->size, type, t->stride);
#else
    out->present = true;
    if (any)
        return dnnl_memory_desc_init_by_tag(&out->desc, t->ndim, t->size, type,
                                            dnnl_format_tag_any);
    return dnnl_memory_desc_init_by_strides(&out->desc, t->ndim, t->size, type, t->stride);
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

static const char *implementation(const_dnnl_primitive_desc_t desc)
{
    const char *name = NULL;
    dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name);
    return name ? name : "";
}

static bool is_gemm(dnnl_primitive_desc_t desc)
{
    return strstr(implementation(desc), "gemm");
}

/* What the descriptor of a convolution is made of. oneDNN counts dilations from 0. */
typedef struct parts {
    dnnl_engine_t engine;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t hint; /* backward: the forward descriptor */
    layout src, weights, bias, dst;
    dnnl_dims_t dilation;
} parts;

#if DNNL_VERSION_MAJOR >= 3

/* Moves `desc` to the first implementation by matrix products, if there is one. */
static void choose_gemm(dnnl_primitive_desc_t *desc)
{
    dnnl_primitive_desc_t other;
    if (is_gemm(*desc) || dnnl_primitive_desc_clone(&other, *desc) != dnnl_success) return;
    while (dnnl_primitive_desc_next_impl(other) == dnnl_success)
        if (is_gemm(other)) {
            dnnl_primitive_desc_destroy(*desc);
            *desc = other;
            return;
        }
    dnnl_primitive_desc_destroy(other);
}

static dnnl_status_t desc_new(dnnl_primitive_desc_t *out, const vt_dnnl_conv *c, vt_dnnl_pass pass,
                              const parts *p)
{
    const vt_dnnl_window *w = &c->window;
    dnnl_prop_kind_t forward =
        pass == VT_DNNL_INFERENCE ? dnnl_forward_inference : dnnl_forward_training;
    dnnl_status_t status;
    if (pass == VT_DNNL_BACKWARD_DATA)
        status = dnnl_convolution_backward_data_primitive_desc_create(
            out, p->engine, dnnl_convolution_direct, p->src, p->weights, p->dst, w->stride,
            p->dilation, w->before, w->after, p->hint, p->attr);
    else if (pass == VT_DNNL_BACKWARD_WEIGHTS)
        status = dnnl_convolution_backward_weights_primitive_desc_create(
            out, p->engine, dnnl_convolution_direct, p->src, p->weights, NULL, p->dst, w->stride,
            p->dilation, w->before, w->after, p->hint, p->attr);
    else
        status = dnnl_convolution_forward_primitive_desc_create(
            out, p->engine, forward, dnnl_convolution_direct, p->src, p->weights, p->bias, p->dst,
            w->stride, p->dilation, w->before, w->after, p->attr);
    if (status == dnnl_success && c->gemm && pass == c->pass) choose_gemm(out);
    return status;
}

#else

/* The first implementation of an operation, or the first by matrix products, if there is one. */
static dnnl_status_t find(dnnl_primitive_desc_t *out, const dnnl_convolution_desc_t *op,
                          const parts *p, bool gemm)
{
    dnnl_primitive_desc_iterator_t it;
    dnnl_status_t status =
        dnnl_primitive_desc_iterator_create(&it, op, p->attr, p->engine, p->hint);
    if (status != dnnl_success) return status;
    *out = dnnl_primitive_desc_iterator_fetch(it);
    if (!*out) status = dnnl_out_of_memory;
    while (*out && gemm && !is_gemm(*out) &&
           dnnl_primitive_desc_iterator_next(it) == dnnl_success) {
        dnnl_primitive_desc_t next = dnnl_primitive_desc_iterator_fetch(it);
        if (next && is_gemm(next)) {
            dnnl_primitive_desc_destroy(*out);
            *out = next;
        } else if (next) {
            dnnl_primitive_desc_destroy(next);
        }
    }
    dnnl_primitive_desc_iterator_destroy(it);
    return status;
}

static dnnl_status_t desc_new(dnnl_primitive_desc_t *out, const vt_dnnl_conv *c, vt_dnnl_pass pass,
                              const parts *p)
{
    const vt_dnnl_window *w = &c->window;
    layout_ref src = REF(p->src), weights = REF(p->weights), dst = REF(p->dst);
    dnnl_prop_kind_t forward =
        pass == VT_DNNL_INFERENCE ? dnnl_forward_inference : dnnl_forward_training;
    dnnl_convolution_desc_t op;
    dnnl_status_t status;
    if (pass == VT_DNNL_BACKWARD_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(&op, dnnl_convolution_direct, src,
                                                                  weights, dst, w->stride,
                                                                  p->dilation, w->before, w->after);
    else if (pass == VT_DNNL_BACKWARD_WEIGHTS)
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &op, dnnl_convolution_direct, src, weights, NULL, dst, w->stride, p->dilation,
            w->before, w->after);
    else
        status = dnnl_dilated_convolution_forward_desc_init(
            &op, forward, dnnl_convolution_direct, src, weights, REF(p->bias), dst, w->stride,
            p->dilation, w->before, w->after);
    return status == dnnl_success ? find(out, &op, p, c->gemm && pass == c->pass) : status;
}

#endif

/* ---- primitives ---- */

typedef struct argument {
    vt_dnnl_arg id;
    bool output, accumulate;
    dnnl_memory_t user;       /* the caller's memory; NULL: the caller's is used as it is */
    dnnl_memory_t own;        /* what the primitive reads or writes */
    dnnl_primitive_t reorder; /* between both; NULL: an accumulating output that is only added */
    size_t offset, bytes;     /* of `own` in scratch */
    size_t user_bytes;
    void *packed; /* memory of `own` that stays; NULL: none */
} argument;

struct vt_dnnl_primitive {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_primitive_desc_t desc;
    argument args[VT_DNNL_ARG_COUNT];
    int arg_count, threads;
    dnnl_memory_t scratchpad;
    size_t scratch_bytes;
    vt_dnnl_pass pass;
};

static const char *const names[] = {
    [VT_DNNL_INFERENCE] = "convolution",
    [VT_DNNL_TRAINING] = "convolution in training",
    [VT_DNNL_BACKWARD_DATA] = "gradient of a convolution's input",
    [VT_DNNL_BACKWARD_WEIGHTS] = "gradient of a convolution's kernel",
};

static const int numbers[VT_DNNL_ARG_COUNT] = {
    [VT_DNNL_SRC] = DNNL_ARG_SRC,           [VT_DNNL_WEIGHTS] = DNNL_ARG_WEIGHTS,
    [VT_DNNL_BIAS] = DNNL_ARG_BIAS,         [VT_DNNL_DST] = DNNL_ARG_DST,
    [VT_DNNL_DIFF_SRC] = DNNL_ARG_DIFF_SRC, [VT_DNNL_DIFF_WEIGHTS] = DNNL_ARG_DIFF_WEIGHTS,
    [VT_DNNL_DIFF_DST] = DNNL_ARG_DIFF_DST,
};

static vt_status check(const char *what, dnnl_status_t status)
{
    if (status == dnnl_success) return VT_OK;
    if (status == dnnl_out_of_memory) return vt_error(VT_ENOMEM, "oneDNN, %s: out of memory", what);
    return vt_error(VT_EUNSUPPORTED, "oneDNN, %s: %s", what,
                    status == dnnl_unimplemented       ? "not implemented for these sizes"
                    : status == dnnl_invalid_arguments ? "these sizes are not accepted"
                                                       : "it failed");
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

/* `what` and `index` ask for the layout that the primitive wants. */
static dnnl_status_t add_arg(vt_dnnl_primitive *p, vt_dnnl_arg id, const vt_dnnl_tensor *tensor,
                             dnnl_query_t what, int index)
{
    if (tensor->ndim == 0) return dnnl_success;
    layout_ref wanted = dnnl_primitive_desc_query_md(p->desc, what, index);
    argument *a = &p->args[p->arg_count++];
    a->id = id;
    a->accumulate = id == VT_DNNL_DIFF_SRC || id == VT_DNNL_DIFF_WEIGHTS;
    layout user = {0};
    dnnl_status_t status = layout_new(&user, tensor, tensor->bf16 ? dnnl_bf16 : dnnl_f32, false);
    if (status != dnnl_success) return status;
    bool same = dnnl_memory_desc_equal(REF(user), wanted);
    status = dnnl_memory_create(&a->own, wanted, p->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success && (a->accumulate || !same)) {
        a->bytes = dnnl_memory_desc_get_size(wanted);
        a->user_bytes = dnnl_memory_desc_get_size(REF(user));
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

static dnnl_status_t attr_new(dnnl_primitive_attr_t *out, const vt_dnnl_conv *c)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && c->relu) {
        status = dnnl_post_ops_create(&ops);
        if (status == dnnl_success) status = append_relu(ops);
        if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*out, ops);
    }
    if (ops) dnnl_post_ops_destroy(ops);
    return status;
}

/* In bfloat16 are the factors of the products; their sums, which are the results, are float32. */
static dnnl_status_t layouts_new(parts *p, const vt_dnnl_conv *c, vt_dnnl_pass pass)
{
    dnnl_data_type_t factor = c->bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_data_type_t src = pass == VT_DNNL_BACKWARD_DATA ? dnnl_f32 : factor;
    dnnl_data_type_t weights = pass == VT_DNNL_BACKWARD_WEIGHTS ? dnnl_f32 : factor;
    dnnl_data_type_t dst = pass >= VT_DNNL_BACKWARD_DATA ? factor : dnnl_f32;
    dnnl_status_t status = layout_new(&p->src, &c->src, src, c->blocked);
    if (status == dnnl_success) status = layout_new(&p->weights, &c->weights, weights, true);
    if (status == dnnl_success) status = layout_new(&p->bias, &c->bias, dnnl_f32, false);
    if (status == dnnl_success) status = layout_new(&p->dst, &c->dst, dst, c->blocked);
    for (int i = 0; i < 2; i++)
        p->dilation[i] = c->window.dilation[i] - 1;
    return status;
}

static void layouts_free(parts *p)
{
    layout_free(&p->src), layout_free(&p->weights);
    layout_free(&p->bias), layout_free(&p->dst);
}

/* The forward descriptor that those of backward passes are made with. */
static dnnl_status_t hint_new(dnnl_primitive_desc_t *out, const parts *like, const vt_dnnl_conv *c)
{
    parts parts = {.engine = like->engine, .attr = like->attr};
    dnnl_status_t status = layouts_new(&parts, c, VT_DNNL_TRAINING);
    if (status == dnnl_success) status = desc_new(out, c, VT_DNNL_TRAINING, &parts);
    layouts_free(&parts);
    return status;
}

/* The primitive without its arguments. */
static dnnl_status_t create(vt_dnnl_primitive *p, const vt_dnnl_conv *c)
{
    parts parts = {0};
    dnnl_status_t status = dnnl_engine_create(&p->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags);
    parts.engine = p->engine;
    if (status == dnnl_success) status = attr_new(&parts.attr, c);
    if (status == dnnl_success) status = layouts_new(&parts, c, c->pass);
    if (status == dnnl_success && c->pass >= VT_DNNL_BACKWARD_DATA)
        status = hint_new(&parts.hint, &parts, c);
    if (status == dnnl_success) status = desc_new(&p->desc, c, c->pass, &parts);
    if (status == dnnl_success && strncmp(implementation(p->desc), "ref", 3) == 0)
        status = dnnl_unimplemented; /* our own loops are faster */
    if (status == dnnl_success) status = dnnl_primitive_create(&p->primitive, p->desc);
    if (parts.hint) dnnl_primitive_desc_destroy(parts.hint);
    if (parts.attr) dnnl_primitive_attr_destroy(parts.attr);
    layouts_free(&parts);
    return status;
}

static dnnl_status_t add_args(vt_dnnl_primitive *p, const vt_dnnl_conv *c)
{
    layout_ref scratchpad = dnnl_primitive_desc_query_md(p->desc, dnnl_query_scratchpad_md, 0);
    size_t offset;
    reserve(p, &offset, dnnl_memory_desc_get_size(scratchpad));
    dnnl_status_t s = dnnl_memory_create(&p->scratchpad, scratchpad, p->engine, DNNL_MEMORY_NONE);
    bool data = c->pass == VT_DNNL_BACKWARD_DATA, weights = c->pass == VT_DNNL_BACKWARD_WEIGHTS;
    if (s == dnnl_success)
        s = data ? add_arg(p, VT_DNNL_DIFF_SRC, &c->src, dnnl_query_diff_src_md, 0)
                 : add_arg(p, VT_DNNL_SRC, &c->src, dnnl_query_src_md, 0);
    if (s == dnnl_success)
        s = weights ? add_arg(p, VT_DNNL_DIFF_WEIGHTS, &c->weights, dnnl_query_diff_weights_md, 0)
                    : add_arg(p, VT_DNNL_WEIGHTS, &c->weights, dnnl_query_weights_md, 0);
    if (s == dnnl_success)
        s = data || weights ? add_arg(p, VT_DNNL_DIFF_DST, &c->dst, dnnl_query_diff_dst_md, 0)
                            : add_arg(p, VT_DNNL_DST, &c->dst, dnnl_query_dst_md, 0);
    if (s == dnnl_success && !data && !weights)
        s = add_arg(p, VT_DNNL_BIAS, &c->bias, dnnl_query_weights_md, 1);
    return s;
}

vt_status vt_dnnl_conv_new(vt_dnnl_primitive **out, const vt_dnnl_conv *c)
{
    vt_dnnl_primitive *p = vt_alloc(1, sizeof *p);
    if (!p) return VT_ENOMEM;
    p->threads = vt_threads();
    p->pass = c->pass;
    int before = enter(p->threads);
    dnnl_status_t made = create(p, c);
    if (made == dnnl_success) made = add_args(p, c);
    leave(before, p->threads);
    vt_status status = check(names[c->pass], made);
    if (status == VT_OK)
        *out = p;
    else
        vt_dnnl_free(p);
    return status;
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
        return check(names[p->pass], status);
    }
    return VT_OK;
}

static void add(float *restrict y, const float *restrict x, size_t n, int threads)
{
#pragma omp parallel for simd schedule(static) num_threads(threads) if (n > 32768)
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

vt_status vt_dnnl_run(vt_dnnl_primitive *p, void *const data[VT_DNNL_ARG_COUNT], bool overwrite,
                      void *scratch)
{
    dnnl_exec_arg_t args[VT_DNNL_ARG_COUNT + 1];
    dnnl_status_t status = dnnl_success;
    int before = enter(p->threads), count = 0;
    for (int i = 0; i < p->arg_count && status == dnnl_success; i++) {
        argument *a = &p->args[i];
        bool direct = !a->user || (overwrite && a->accumulate && !a->reorder);
        void *own = a->packed ? a->packed : direct ? data[a->id] : (char *)scratch + a->offset;
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
        if (a->output && a->accumulate && overwrite) memset(data[a->id], 0, a->user_bytes);
        if (a->output)
            status = reorder_run(p, a);
        else if (a->accumulate && !overwrite)
            add(data[a->id], (const float *)((const char *)scratch + a->offset),
                a->bytes / sizeof(float), p->threads);
    }
    leave(before, p->threads);
    return check(names[p->pass], status);
}

vt_status vt_dnnl_product_run(const vt_dnnl_product *o, const float *a, const float *b, float *c)
{
    int64_t row_a = o->row_a ? o->row_a : o->transpose_a ? o->m : o->k;
    int64_t row_b = o->row_b ? o->row_b : o->transpose_b ? o->k : o->n;
    int64_t row_c = o->row_c ? o->row_c : o->n;
    int before = enter(o->threads);
    dnnl_status_t status = dnnl_sgemm(o->transpose_a ? 'T' : 'N', o->transpose_b ? 'T' : 'N', o->m,
                                      o->n, o->k, 1, a, row_a, b, row_b, o->beta, c, row_c);
    leave(before, o->threads);
    return check("matrix product", status);
}

static bool has(dnnl_cpu_isa_t isa)
{
    return (dnnl_get_effective_cpu_isa() & isa) == isa;
}

bool vt_dnnl_has_avx512(void)
{
    return has(dnnl_cpu_isa_avx512_core);
}

bool vt_dnnl_has_bf16(void)
{
    return has(dnnl_cpu_isa_avx512_core_bf16);
}
