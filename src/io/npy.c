/* NumPy's .npy: magic, version, header length, a Python dictionary, the elements.
 *
 * The dictionary is {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }: NumPy's NEP 1 and
 * numpy/lib/format.py. Its three keys may come in any order; nothing else of Python is understood.
 */
#include "io/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "readers and writers here copy little-endian elements as they are");

#define MAX_HEADER 65535

typedef struct cursor {
    const char *p, *end;
    const char *label;
} cursor;

static vt_status bad(const cursor *c, const char *what)
{
    return vt_error(VT_EFORMAT, "%s: not a valid .npy header: %s", c->label, what);
}

static void skip_spaces(cursor *c)
{
    while (c->p < c->end && *c->p == ' ')
        c->p++;
}

static bool take(cursor *c, char wanted)
{
    skip_spaces(c);
    if (c->p == c->end || *c->p != wanted) return false;
    c->p++;
    return true;
}

static bool take_word(cursor *c, const char *word)
{
    size_t length = strlen(word);
    skip_spaces(c);
    if ((size_t)(c->end - c->p) < length || memcmp(c->p, word, length) != 0) return false;
    c->p += length;
    return true;
}

/* A quoted string without escapes, shorter than `size`. */
static bool take_string(cursor *c, char *out, size_t size)
{
    skip_spaces(c);
    if (c->p == c->end || (*c->p != '\'' && *c->p != '"')) return false;
    char quote = *c->p++;
    size_t length = 0;
    for (; c->p < c->end && *c->p != quote; c->p++) {
        if (length + 1 >= size || *c->p == '\\' || *c->p < ' ') return false;
        out[length++] = *c->p;
    }
    if (c->p == c->end) return false;
    c->p++;
    out[length] = '\0';
    return true;
}

static bool take_digits(cursor *c, int64_t *out)
{
    int64_t value = 0;
    const char *start = c->p;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *c->p - '0', &value))
            return false;
    *out = value;
    return c->p > start;
}

/* (), (3,), (3, 4), (3, 4,) */
static vt_status parse_shape(cursor *c, vt_npy_header *h)
{
    bool comma = true;
    h->ndim = 0;
    if (!take(c, '(')) return bad(c, "'shape' is no tuple");
    while (!take(c, ')')) {
        int64_t size;
        skip_spaces(c);
        if (!comma || !take_digits(c, &size))
            return bad(c, "'shape' is no tuple of sizes that can be addressed");
        if (c->p < c->end && *c->p == 'L') c->p++; /* Python 2 wrote 3L */
        if (h->ndim == VT_MAX_DIMS)
            return vt_error(VT_EUNSUPPORTED, "%s: an array of more than %d dimensions", c->label,
                            VT_MAX_DIMS);
        h->size[h->ndim++] = size;
        comma = take(c, ',');
    }
    if (h->ndim == 1 && !comma) return bad(c, "'shape' is no tuple");
    return VT_OK;
}

/* '<f4', '|b1', '>U12', '?' */
static vt_status parse_descr(cursor *c, vt_npy_header *h)
{
    char text[32];
    skip_spaces(c);
    if (c->p < c->end && strchr("[({", *c->p))
        return vt_error(VT_EUNSUPPORTED,
                        "%s: a structured array (records); save its fields as arrays of their own",
                        c->label);
    if (!take_string(c, text, sizeof text)) return bad(c, "'descr' is no dtype");
    const char *type = text + (*text && strchr("<>|=", *text) ? 1 : 0);
    if (strcmp(type, "?") == 0) type = "b1";
    if (*type == 'O')
        return vt_error(VT_EUNSUPPORTED,
                        "%s: an array of Python objects (pickled); save numeric arrays instead",
                        c->label);
    int64_t item;
    cursor digits = {.p = type + (*type ? 1 : 0), .end = type + strlen(type)};
    if (!take_digits(&digits, &item) || digits.p != digits.end || item > 1 << 30)
        return bad(c, "'descr' is no dtype");
    h->kind = *type;
    h->swapped = *text == '>';
    bool text_kind = h->kind == 'U' || h->kind == 'S';
    h->item = (size_t)item * (h->kind == 'U' ? 4 : 1);
    if (!text_kind && vt_npy_dtype(h) == VT_DTYPE_COUNT)
        return vt_error(VT_EUNSUPPORTED, "%s: arrays of dtype '%s' cannot be read", c->label, text);
    return VT_OK;
}

static vt_status parse_dictionary(cursor *c, vt_npy_header *h)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    int seen = 0, key;
    bool comma = true;
    char name[16];
    if (!take(c, '{')) return bad(c, "it is no dictionary");
    while (!take(c, '}')) {
        if (!comma || !take_string(c, name, sizeof name) || !take(c, ':'))
            return bad(c, "a key is missing or malformed");
        key = strcmp(name, "descr") == 0           ? DESCR
              : strcmp(name, "fortran_order") == 0 ? ORDER
              : strcmp(name, "shape") == 0         ? SHAPE
                                                   : 0;
        if (!key || seen & key) return bad(c, "a key is unknown or comes twice");
        seen |= key;
        if (key == DESCR) {
            VT_TRY(parse_descr(c, h));
        } else if (key == SHAPE) {
            VT_TRY(parse_shape(c, h));
        } else {
            h->fortran = take_word(c, "True");
            if (!h->fortran && !take_word(c, "False"))
                return bad(c, "'fortran_order' is neither True nor False");
        }
        comma = take(c, ',');
    }
    if (seen != (DESCR | ORDER | SHAPE))
        return bad(c, "'descr', 'fortran_order' or 'shape' is missing");
    skip_spaces(c);
    if (c->p < c->end && *c->p == '\n') c->p++;
    return c->p == c->end ? VT_OK : bad(c, "something follows the dictionary");
}

vt_status vt_npy_header_parse(vt_npy_header *out, const void *data, size_t size, const char *label)
{
    const unsigned char *bytes = data;
    if (size < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return vt_error(VT_EFORMAT, "%s: not a .npy file: %s", label,
                        size < 10 ? "it is too short" : "its first bytes are others");
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
        return vt_error(VT_EUNSUPPORTED, "%s: version %d.%d of the .npy format is not known", label,
                        bytes[6], bytes[7]);
    size_t start = bytes[6] == 1 ? 10 : 12, length = bytes[8] | (size_t)bytes[9] << 8;
    if (start == 12 && size >= 12) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (start > size || length > size - start)
        return vt_error(VT_EFORMAT, "%s: truncated within the header", label);
    if (length > MAX_HEADER)
        return vt_error(VT_EUNSUPPORTED, "%s: a header of %zu bytes; the limit is %d", label,
                        length, MAX_HEADER);
    vt_npy_header h = {.count = 1};
    cursor c = {(const char *)bytes + start, (const char *)bytes + start + length, label};
    VT_TRY(parse_dictionary(&c, &h));

    bool empty = false, fits = true;
    for (int i = 0; i < h.ndim; i++)
        empty = empty || h.size[i] == 0;
    for (int i = 0; i < h.ndim && !empty; i++)
        fits = fits && vt_mul_ok(&h.count, h.count, (size_t)h.size[i]);
    if (empty) h.count = 0;
    size_t needed, present = size - start - length;
    if (!fits || !vt_mul_ok(&needed, h.count, h.item) || needed > present)
        return vt_error(VT_EFORMAT, "%s: truncated: %zu bytes cannot hold the array it announces",
                        label, present);
    if (needed < present)
        return vt_error(VT_EFORMAT, "%s: %zu bytes follow the array", label, present - needed);
    h.data = bytes + start + length;
    *out = h;
    return VT_OK;
}

vt_dtype vt_npy_dtype(const vt_npy_header *header)
{
    static const struct {
        char kind, item;
        vt_dtype dtype;
    } rows[] = {{'b', 1, VT_BOOL}, {'u', 1, VT_U8},  {'u', 2, VT_U16}, {'u', 4, VT_U32},
                {'u', 8, VT_U64},  {'i', 1, VT_I8},  {'i', 2, VT_I16}, {'i', 4, VT_I32},
                {'i', 8, VT_I64},  {'f', 2, VT_F16}, {'f', 4, VT_F32}, {'f', 8, VT_F64}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].kind == header->kind && (size_t)rows[i].item == header->item)
            return rows[i].dtype;
    return VT_DTYPE_COUNT;
}

/* Walks the target in row-major order, the first index varying fastest in the source. */
static void copy_fortran(char *target, const vt_npy_header *h)
{
    size_t stride[VT_MAX_DIMS], offset = 0;
    int64_t index[VT_MAX_DIMS] = {0};
    for (int i = 0; i < h->ndim; i++)
        stride[i] = i == 0 ? h->item : stride[i - 1] * (size_t)h->size[i - 1];
    for (size_t k = 0; k < h->count; k++) {
        memcpy(target + k * h->item, h->data + offset, h->item);
        for (int i = h->ndim - 1; i >= 0; i--) {
            offset += stride[i];
            if (++index[i] < h->size[i]) break;
            offset -= stride[i] * (size_t)h->size[i];
            index[i] = 0;
        }
    }
}

void vt_npy_fill(vt_tensor *t, const vt_npy_header *h)
{
    unsigned char *bytes = t->data;
    if (h->fortran)
        copy_fortran(t->data, h);
    else if (h->count)
        memcpy(bytes, h->data, h->count * h->item);
    if (h->swapped && h->item > 1) {
        for (size_t k = 0; k < h->count; k++)
            for (size_t low = k * h->item, high = low + h->item - 1; low < high; low++, high--) {
                unsigned char byte = bytes[low];
                bytes[low] = bytes[high];
                bytes[high] = byte;
            }
    }
    if (h->kind == 'b') /* any other value would not be a C bool */
        for (size_t k = 0; k < h->count; k++)
            bytes[k] = bytes[k] != 0;
}

vt_status vt_npy_parse(vt_tensor *out, const void *data, size_t size, const char *label)
{
    vt_npy_header header;
    vt_tensor t;
    VT_TRY(vt_npy_header_parse(&header, data, size, label));
    vt_dtype dtype = vt_npy_dtype(&header);
    if (dtype == VT_DTYPE_COUNT)
        return vt_error(VT_EUNSUPPORTED, "%s: an array of strings, not of numbers", label);
    vt_status status = vt_tensor_new(&t, dtype, header.ndim, header.size);
    if (status != VT_OK) return vt_error_context(status, "%s", label);
    vt_npy_fill(&t, &header);
    *out = t;
    return VT_OK;
}

vt_status vt_npy_read(vt_tensor *out, const char *path)
{
    void *data;
    size_t size;
    VT_TRY(vt_file_read(&data, &size, path));
    vt_status status = vt_npy_parse(out, data, size, path);
    free(data);
    return status;
}

vt_status vt_npy_start(void **out, size_t *out_size, char **out_data, const char *descr, int ndim,
                       const int64_t *size, size_t bytes)
{
    /* At most 6 sizes of 19 digits. The header is padded so that the data are 64-byte aligned. */
    char header[320];
    size_t total;
    int length = 10 + snprintf(header + 10, sizeof header - 10,
                               "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < ndim; i++)
        length += snprintf(header + length, sizeof header - (size_t)length, "%s%lld", i ? ", " : "",
                           (long long)size[i]);
    length +=
        snprintf(header + length, sizeof header - (size_t)length, ndim == 1 ? ",), }" : "), }");
    size_t padded = ((size_t)length + 1 + 63) / 64 * 64;
    memset(header + length, ' ', padded - (size_t)length);
    header[padded - 1] = '\n';
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)((padded - 10) & 0xff);
    header[9] = (char)((padded - 10) >> 8);
    if (!vt_add_ok(&total, padded, bytes)) return vt_error(VT_ESHAPE, "the array is too large");
    char *file = vt_alloc(total, 1);
    if (!file) return VT_ENOMEM;
    memcpy(file, header, padded);
    *out = file;
    *out_size = total;
    *out_data = file + padded;
    return VT_OK;
}

vt_status vt_npy_encode(void **out, size_t *out_size, const vt_tensor *t)
{
    static const char *const descr[VT_DTYPE_COUNT] = {
        [VT_BOOL] = "|b1", [VT_U8] = "|u1",  [VT_I8] = "|i1",  [VT_U16] = "<u2",
        [VT_I16] = "<i2",  [VT_U32] = "<u4", [VT_I32] = "<i4", [VT_U64] = "<u8",
        [VT_I64] = "<i8",  [VT_F16] = "<f2", [VT_F32] = "<f4", [VT_F64] = "<f8",
    };
    vt_tensor dense = *t;
    char *data;
    if (vt_dtype_size(t->dtype) == 0 || !descr[t->dtype])
        return vt_error(VT_EUNSUPPORTED,
                        "tensor %s: NumPy has no dtype %s; convert it to float32 first", t->name,
                        vt_dtype_name(t->dtype));
    bool copied = !vt_tensor_is_contiguous(t);
    if (copied) VT_TRY(vt_tensor_convert(&dense, t, t->dtype));
    size_t bytes = vt_tensor_bytes(t);
    vt_status status = vt_npy_start(out, out_size, &data, descr[t->dtype], t->ndim, t->size, bytes);
    if (status == VT_OK && bytes) memcpy(data, dense.data, bytes);
    if (copied) vt_tensor_free(&dense);
    return status;
}

vt_status vt_npy_write(const vt_tensor *t, const char *path)
{
    void *data;
    size_t size;
    vt_status status = vt_npy_encode(&data, &size, t);
    if (status != VT_OK) return vt_error_context(status, "%s", path);
    status = vt_file_write(path, data, size);
    free(data);
    return status;
}
