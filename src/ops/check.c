/* What the layers' shape inference shares: checks whose messages name the node. */
#include "ops/check.h"

#include <limits.h>
#include <stdio.h>

/* Elements of one sample or parameter; 2^44 doubles are far beyond any memory and leave room to
 * multiply by a batch. */
#define MAX_COUNT ((int64_t)1 << 44)
/* A window's extent and padding: sums of them fit an int. */
#define MAX_EXTENT (INT_MAX / 8)

const char *vt_shape_text(const vt_shape *shape, char *text, size_t size)
{
    vt_tensor t = {.ndim = shape->ndim};
    for (int i = 0; i < shape->ndim && i < VT_MAX_DIMS - 1; i++)
        t.size[i] = shape->size[i];
    return vt_tensor_shape_text(&t, text, size);
}

bool vt_shape_equal(const vt_shape *a, const vt_shape *b)
{
    if (a->ndim != b->ndim || a->batchless != b->batchless) return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->size[i] != b->size[i]) return false;
    return true;
}

static vt_status check_sizes(const char *node, const char *what, int ndim, const int64_t *size)
{
    int64_t count = 1;
    for (int i = 0; i < ndim; i++) {
        if (size[i] < 1)
            return vt_error(VT_ESHAPE, "%s: dimension %d of %s is %lld, expected at least 1", node,
                            i, what, (long long)size[i]);
        if (size[i] > INT32_MAX || count > MAX_COUNT / size[i])
            return vt_error(VT_ESHAPE, "%s: %s is too large", node, what);
        count *= size[i];
    }
    return VT_OK;
}

vt_status vt_check_inputs(const vt_op_shape *s)
{
    for (int i = 0; i < s->inputs; i++) {
        if (s->in[i].ndim < 1 || s->in[i].ndim > VT_MAX_DIMS - 1)
            return vt_error(VT_ESHAPE, "%s: input %d has %d dimensions, expected 1 to %d", s->name,
                            i, s->in[i].ndim, VT_MAX_DIMS - 1);
        VT_TRY(check_sizes(s->name, "the input", s->in[i].ndim, s->in[i].size));
    }
    return VT_OK;
}

vt_status vt_check_results(const vt_op_shape *s)
{
    VT_TRY(check_sizes(s->name, "the output", s->out.ndim, s->out.size));
    for (int i = 0; i < s->params; i++)
        VT_TRY(check_sizes(s->name, s->param[i].role, s->param[i].ndim, s->param[i].size));
    return VT_OK;
}

vt_status vt_check_image(const vt_op_shape *s)
{
    VT_TRY(vt_check_inputs(s));
    VT_TRY(vt_check_batched(s));
    char text[128];
    if (s->in[0].ndim != 3)
        return vt_error(VT_ESHAPE, "%s: input is %s, expected (height, width, channels)", s->name,
                        vt_shape_text(&s->in[0], text, sizeof text));
    return VT_OK;
}

vt_status vt_check_same(const vt_op_shape *s, const char *what)
{
    char a[128], b[128];
    if (!vt_shape_equal(&s->in[0], &s->in[1]))
        return vt_error(VT_ESHAPE, "%s: %s is %s, expected %s like the first input", s->name, what,
                        vt_shape_text(&s->in[1], b, sizeof b),
                        vt_shape_text(&s->in[0], a, sizeof a));
    return VT_OK;
}

vt_status vt_check_batched(const vt_op_shape *s)
{
    for (int i = 0; i < s->inputs; i++)
        if (s->in[i].batchless)
            return vt_error(VT_ESHAPE, "%s: input %d is a loss, one value a batch", s->name, i);
    return VT_OK;
}

vt_status vt_check_windows(const vt_op_shape *s, const vt_window_options *o, vt_window w[2])
{
    static const char *const sides[2] = {"height", "width"};
    if (o->padding != VT_PAD_EXPLICIT && o->padding != VT_PAD_SAME)
        return vt_error(VT_EINVAL, "%s: unknown padding %d", s->name, (int)o->padding);
    for (int i = 0; i < 2; i++) {
        int stride = o->stride[i] ? o->stride[i] : 1;
        int dilation = o->dilation && o->dilation[i] ? o->dilation[i] : 1;
        int before = o->pad[2 * i], after = o->pad[2 * i + 1];
        if (o->kernel[i] < 1)
            return vt_error(VT_EINVAL, "%s: kernel %s is %d, expected at least 1", s->name,
                            sides[i], o->kernel[i]);
        if (stride < 1 || dilation < 1)
            return vt_error(VT_EINVAL, "%s: stride %d and dilation %d must be at least 1", s->name,
                            stride, dilation);
        if (before < 0 || after < 0)
            return vt_error(VT_EINVAL, "%s: padding %d and %d must not be negative", s->name,
                            before, after);
        if (o->padding == VT_PAD_SAME && (before || after))
            return vt_error(VT_EINVAL, "%s: padding 'same' and explicit padding %d and %d", s->name,
                            before, after);
        if ((int64_t)o->kernel[i] * dilation > MAX_EXTENT || before > MAX_EXTENT ||
            after > MAX_EXTENT || stride > MAX_EXTENT)
            return vt_error(VT_EINVAL, "%s: kernel, stride or padding is too large", s->name);
        w[i] = (vt_window){.in = s->in[0].size[i],
                           .kernel = o->kernel[i],
                           .stride = stride,
                           .dilation = dilation,
                           .before = before,
                           .after = after};
        if (!vt_window_resolve(&w[i], o->padding))
            return vt_error(VT_ESHAPE, "%s: window of %lld does not fit the %s %lld padded by %d",
                            s->name, (long long)(o->kernel[i] - 1) * dilation + 1, sides[i],
                            (long long)w[i].in, before + after);
    }
    return VT_OK;
}

int64_t vt_flops(int n, const int64_t *factors)
{
    int64_t product = 1;
    for (int i = 0; i < n; i++)
        if (__builtin_mul_overflow(product, factors[i], &product)) return INT64_MAX;
    return product;
}
