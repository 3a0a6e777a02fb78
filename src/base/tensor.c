/* Tensors: sizes, strides, conversion, permutation. */
#include "ventral/tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/half.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[VT_DTYPE_COUNT] = {
    [VT_BOOL] = {"bool", 1},   [VT_U8] = {"uint8", 1},      [VT_I8] = {"int8", 1},
    [VT_U16] = {"uint16", 2},  [VT_I16] = {"int16", 2},     [VT_U32] = {"uint32", 4},
    [VT_I32] = {"int32", 4},   [VT_U64] = {"uint64", 8},    [VT_I64] = {"int64", 8},
    [VT_F16] = {"float16", 2}, [VT_BF16] = {"bfloat16", 2}, [VT_F32] = {"float32", 4},
    [VT_F64] = {"float64", 8},
};

size_t vt_dtype_size(vt_dtype dtype)
{
    return (unsigned)dtype < VT_DTYPE_COUNT ? dtypes[dtype].size : 0;
}

const char *vt_dtype_name(vt_dtype dtype)
{
    return (unsigned)dtype < VT_DTYPE_COUNT ? dtypes[dtype].name : "unknown";
}

int64_t vt_tensor_count(const vt_tensor *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->ndim; i++)
        count *= t->size[i];
    return count;
}

size_t vt_tensor_bytes(const vt_tensor *t)
{
    return (size_t)vt_tensor_count(t) * vt_dtype_size(t->dtype);
}

bool vt_tensor_is_contiguous(const vt_tensor *t)
{
    int64_t expected = (int64_t)vt_dtype_size(t->dtype);
    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->size[i] != 1 && t->stride[i] != expected) return false;
        expected *= t->size[i];
    }
    return true;
}

vt_status vt_tensor_init(vt_tensor *out, vt_dtype dtype, int ndim, const int64_t *size, void *data)
{
    if (vt_dtype_size(dtype) == 0) return vt_error(VT_EINVAL, "unknown dtype %d", (int)dtype);
    if (ndim < 0 || ndim > VT_MAX_DIMS)
        return vt_error(VT_ESHAPE, "%d dimensions; at most %d are supported", ndim, VT_MAX_DIMS);
    vt_tensor t = {.dtype = dtype, .ndim = ndim, .data = data};
    bool empty = false;
    for (int i = 0; i < ndim; i++) {
        if (size[i] < 0) return vt_error(VT_ESHAPE, "size %lld is negative", (long long)size[i]);
        t.size[i] = size[i];
        empty = empty || size[i] == 0;
    }
    int64_t bytes = (int64_t)vt_dtype_size(dtype);
    for (int i = ndim - 1; i >= 0; i--) {
        t.stride[i] = bytes;
        int64_t extent = empty && size[i] == 0 ? 1 : size[i]; /* keeps the product meaningful */
        if (__builtin_mul_overflow(bytes, extent, &bytes) || bytes > PTRDIFF_MAX / 2)
            return vt_error(VT_ESHAPE, "a tensor of these sizes cannot be addressed");
    }
    *out = t;
    return VT_OK;
}

vt_status vt_tensor_new(vt_tensor *out, vt_dtype dtype, int ndim, const int64_t *size)
{
    vt_tensor t;
    VT_TRY(vt_tensor_init(&t, dtype, ndim, size, NULL));
    t.data = vt_alloc(vt_tensor_bytes(&t), 1);
    if (!t.data) return VT_ENOMEM;
    *out = t;
    return VT_OK;
}

void vt_tensor_free(vt_tensor *t)
{
    if (!t) return;
    free(t->data);
    t->data = NULL;
}

/* Byte offset of a flat row-major index. */
static int64_t offset_of(const vt_tensor *t, int64_t index)
{
    int64_t offset = 0;
    for (int i = t->ndim - 1; i >= 0; i--) {
        offset += index % t->size[i] * t->stride[i];
        index /= t->size[i];
    }
    return offset;
}

static double load(vt_dtype dtype, const char *p)
{
    union {
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
        float f32;
        double f64;
    } v;
    memcpy(&v, p, vt_dtype_size(dtype));
    switch (dtype) {
    case VT_BOOL: return *(const unsigned char *)p != 0;
    case VT_U8: return *(const unsigned char *)p;
    case VT_I8: return *(const signed char *)p;
    case VT_U16: return v.u16;
    case VT_I16: return v.i16;
    case VT_U32: return v.u32;
    case VT_I32: return v.i32;
    case VT_U64: return (double)v.u64;
    case VT_I64: return (double)v.i64;
    case VT_F16: return vt_float_from_half(v.u16);
    case VT_BF16: return vt_float_from_bfloat16(v.u16);
    case VT_F32: return v.f32;
    case VT_F64: return v.f64;
    default: return NAN;
    }
}

static double saturate(double value, double low, double high)
{
    return value != value ? 0 : fmin(fmax(nearbyint(value), low), high);
}

static void store(vt_dtype dtype, char *p, double value)
{
    switch (dtype) {
    case VT_BOOL: *p = value != 0; return;
    case VT_U8: *(unsigned char *)p = (unsigned char)saturate(value, 0, UINT8_MAX); return;
    case VT_I8: *(signed char *)p = (signed char)saturate(value, INT8_MIN, INT8_MAX); return;
    case VT_U16: *(uint16_t *)p = (uint16_t)saturate(value, 0, UINT16_MAX); return;
    case VT_I16: *(int16_t *)p = (int16_t)saturate(value, INT16_MIN, INT16_MAX); return;
    case VT_U32: *(uint32_t *)p = (uint32_t)saturate(value, 0, UINT32_MAX); return;
    case VT_I32: *(int32_t *)p = (int32_t)saturate(value, INT32_MIN, INT32_MAX); return;
    case VT_U64:
        *(uint64_t *)p = value >= 0x1p64 ? UINT64_MAX : (uint64_t)saturate(value, 0, 0x1p64);
        return;
    case VT_I64:
        *(int64_t *)p = value >= 0x1p63 ? INT64_MAX : (int64_t)saturate(value, -0x1p63, 0x1p63);
        return;
    case VT_F16: *(uint16_t *)p = vt_half_from_float((float)value); return;
    case VT_BF16: *(uint16_t *)p = vt_bfloat16_from_float((float)value); return;
    case VT_F32: *(float *)p = (float)value; return;
    case VT_F64: *(double *)p = value; return;
    default: return;
    }
}

double vt_tensor_get(const vt_tensor *t, int64_t index)
{
    return load(t->dtype, (const char *)t->data + offset_of(t, index));
}

vt_status vt_tensor_convert(vt_tensor *out, const vt_tensor *t, vt_dtype dtype)
{
    vt_tensor copy;
    VT_TRY(vt_tensor_new(&copy, dtype, t->ndim, t->size));
    memcpy(copy.name, t->name, sizeof copy.name);
    int64_t count = vt_tensor_count(t);
    size_t from = vt_dtype_size(t->dtype), to = vt_dtype_size(dtype);
    const char *source = t->data;
    char *target = copy.data;
    bool dense = vt_tensor_is_contiguous(t);
    if (dense && dtype == t->dtype) {
        if (count) memcpy(target, source, (size_t)count * to);
    } else if (dtype == t->dtype) { /* exact for 64-bit integers too */
        for (int64_t i = 0; i < count; i++)
            memcpy(target + (size_t)i * to, source + offset_of(t, i), to);
    } else {
        for (int64_t i = 0; i < count; i++) {
            const char *p = source + (dense ? (int64_t)((size_t)i * from) : offset_of(t, i));
            store(dtype, target + (size_t)i * to, load(t->dtype, p));
        }
    }
    *out = copy;
    return VT_OK;
}

vt_status vt_tensor_permute(vt_tensor *out, const vt_tensor *t, const int *order)
{
    vt_tensor view = *t;
    bool seen[VT_MAX_DIMS] = {false};
    for (int i = 0; i < t->ndim; i++) {
        if (order[i] < 0 || order[i] >= t->ndim || seen[order[i]])
            return vt_error(VT_EINVAL, "tensor %s: the new order of dimensions is no permutation",
                            t->name);
        seen[order[i]] = true;
        view.size[i] = t->size[order[i]];
        view.stride[i] = t->stride[order[i]];
    }
    return vt_tensor_convert(out, &view, t->dtype);
}

const char *vt_tensor_shape_text(const vt_tensor *t, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < t->ndim && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? ", " : "",
                                 (long long)t->size[i]);
    if (used < size) snprintf(text + used, size - used, t->ndim == 1 ? ",)" : ")");
    return text;
}
