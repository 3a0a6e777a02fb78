/* MATLAB files: level 5 (MATLAB 5 to 7.2), and 7.3, which is HDF5. "MAT-File Format", The
 * MathWorks: a header of 128 bytes, then elements of a tag and data; an array is an element of
 * elements, possibly compressed by zlib. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/arena.h"
#include "io/file.h"
#include "io/hdf5_child.h"
#include "ventral/io.h"
#include "ventral/weights.h"

/* Kinds of element. */
enum { MI_INT8 = 1, MI_INT32 = 5, MI_UINT32 = 6, MI_MATRIX = 14, MI_COMPRESSED = 15 };
/* Classes of array. */
enum { MX_STRUCT = 2, MX_DOUBLE = 6, MX_UINT64 = 15 };
enum { MX_COMPLEX = 0x0800 }; /* flag */

enum { HEADER = 128, MOST_FIELDS = 4096, DEEPEST = 16 };
#define SMALLEST_LIMIT ((size_t)64 << 20) /* bytes of arrays from however small a file */
#define EXPANSION 1032                    /* of compressed data, at most: what deflate can do */

typedef struct parser {
    vt_tensor_map *map;
    bool swap;
    size_t left;   /* bytes that may still be made */
    char *skipped; /* names of arrays left out, lines */
    size_t skipped_used, skipped_capacity;
} parser;

typedef struct bytes {
    const uint8_t *data;
    size_t size;
} bytes;

typedef struct element {
    uint32_t kind;
    bytes body;
} element;

static vt_status corrupt(const char *what)
{
    return vt_error(VT_EFORMAT, "a damaged MATLAB file: %s", what);
}

static uint32_t word(const parser *p, const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return p->swap ? __builtin_bswap32(value) : value;
}

/* Takes the next element from `from`. */
static vt_status take(element *out, bytes *from, const parser *p)
{
    if (from->size < 8) return corrupt("it ends within a tag");
    uint32_t kind = word(p, from->data), size = word(p, from->data + 4);
    const uint8_t *body = from->data + 8;
    size_t taken = 8;
    if (kind >> 16) { /* small: size, kind and up to four bytes in one tag */
        size = kind >> 16;
        kind &= 0xffff;
        body = from->data + 4;
        if (size > 4) return corrupt("a small element of more than 4 bytes");
    } else {
        if (size > from->size - 8) return corrupt("an element is longer than what is left");
        taken += size;
        size_t padding = kind == MI_COMPRESSED ? 0 : (8 - size % 8) % 8;
        taken += padding < from->size - taken ? padding : from->size - taken;
    }
    *out = (element){kind, {body, size}};
    from->data += taken;
    from->size -= taken;
    return VT_OK;
}

static vt_status take_kind(bytes *out, uint32_t kind, const char *what, bytes *from,
                           const parser *p)
{
    element e = {0};
    VT_TRY(take(&e, from, p));
    if (e.kind != kind) return corrupt(what);
    *out = e.body;
    return VT_OK;
}

static vt_status spend(parser *p, size_t size)
{
    if (size > p->left)
        return vt_error(VT_EUNSUPPORTED, "its arrays are too large for a file of this size");
    p->left -= size;
    return VT_OK;
}

/* ---- numbers ---- */

static bool stored_type(vt_dtype *out, uint32_t kind)
{
    static const struct {
        uint32_t kind;
        vt_dtype dtype;
    } types[] = {{1, VT_I8},  {2, VT_U8},  {3, VT_I16}, {4, VT_U16},  {5, VT_I32},
                 {6, VT_U32}, {7, VT_F32}, {9, VT_F64}, {12, VT_I64}, {13, VT_U64}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].kind == kind) {
            *out = types[i].dtype;
            return true;
        }
    return false;
}

static void copy_elements(void *to, const uint8_t *from, size_t count, size_t width, bool swap)
{
    memcpy(to, from, count * width);
    uint8_t *bytes = to;
    for (size_t i = 0; swap && i < count; i++)
        for (size_t k = 0; k < width / 2; k++) {
            uint8_t other = bytes[i * width + k];
            bytes[i * width + k] = bytes[(i + 1) * width - 1 - k];
            bytes[(i + 1) * width - 1 - k] = other;
        }
}

/* A column-major array of another dtype, as `name`. */
static vt_status add_array(parser *p, const char *name, vt_dtype dtype, vt_tensor *columns)
{
    static const int turned[VT_MAX_DIMS][VT_MAX_DIMS] = {
        {0}, {1, 0}, {2, 1, 0}, {3, 2, 1, 0}, {4, 3, 2, 1, 0}, {5, 4, 3, 2, 1, 0}};
    vt_tensor rows, made;
    VT_TRY(vt_tensor_permute(&rows, columns, turned[columns->ndim - 1]));
    vt_status status = vt_tensor_convert(&made, &rows, dtype);
    vt_tensor_free(&rows);
    if (status != VT_OK) return status;
    status = vt_tensor_map_add_copy(p->map, name, &made);
    vt_tensor_free(&made);
    return status;
}

static vt_status parse_numbers(parser *p, const char *name, int class_number, const int64_t *size,
                               int ndim, bytes *from)
{
    static const vt_dtype classes[] = {VT_F64, VT_F32, VT_I8,  VT_U8,  VT_I16,
                                       VT_U16, VT_I32, VT_U32, VT_I64, VT_U64};
    vt_dtype dtype = classes[class_number - MX_DOUBLE], stored;
    int64_t backwards[VT_MAX_DIMS];
    element e = {0};
    vt_tensor columns;
    VT_TRY(take(&e, from, p));
    if (!stored_type(&stored, e.kind)) return corrupt("an array of unknown numbers");
    for (int i = 0; i < ndim; i++)
        backwards[i] = size[ndim - 1 - i];
    if (vt_tensor_init(&columns, stored, ndim, backwards, NULL) != VT_OK ||
        vt_tensor_bytes(&columns) != e.body.size)
        return corrupt("an array's sizes do not fit its data");
    size_t count = (size_t)vt_tensor_count(&columns);
    VT_TRY(spend(p, count * vt_dtype_size(dtype)));
    VT_TRY(vt_tensor_new(&columns, stored, ndim, backwards));
    copy_elements(columns.data, e.body.data, count, vt_dtype_size(stored), p->swap);
    vt_status status = add_array(p, name, dtype, &columns);
    vt_tensor_free(&columns);
    return status;
}

/* ---- arrays ---- */

static vt_status skip(parser *p, const char *name)
{
    size_t needed = p->skipped_used + strlen(name) + 2;
    if (needed > p->skipped_capacity) {
        VT_TRY(spend(p, 2 * needed));
        char *grown = vt_grow(p->skipped, p->skipped_used, 2 * needed, 1);
        if (!grown) return VT_ENOMEM;
        p->skipped = grown;
        p->skipped_capacity = 2 * needed;
    }
    p->skipped_used += (size_t)snprintf(p->skipped + p->skipped_used, strlen(name) + 2, "%s%s",
                                        p->skipped_used ? "\n" : "", name);
    return VT_OK;
}

static vt_status parse_matrix(parser *p, const char *path, bytes from, int depth);

/* Fields of one structure become arrays PATH/FIELD. */
static vt_status parse_fields(parser *p, const char *path, bytes *from, int depth)
{
    bytes length = {0}, names = {0};
    VT_TRY(take_kind(&length, MI_INT32, "a structure without its fields' names", from, p));
    VT_TRY(take_kind(&names, MI_INT8, "a structure without its fields' names", from, p));
    size_t width = length.size == 4 ? word(p, length.data) : 0;
    if (width == 0 || width > VT_NAME_SIZE || names.size % width != 0 ||
        names.size / width > MOST_FIELDS)
        return corrupt("a structure's fields' names");
    for (size_t i = 0; i < names.size / width; i++) {
        char name[VT_NAME_SIZE];
        bytes body = {0};
        const char *field = (const char *)names.data + i * width;
        VT_TRY(take_kind(&body, MI_MATRIX, "a structure's field is no array", from, p));
        int used = snprintf(name, sizeof name, "%s/%.*s", path, (int)strnlen(field, width), field);
        if (used < (int)sizeof name) VT_TRY(parse_matrix(p, name, body, depth + 1));
    }
    return VT_OK;
}

static vt_status parse_sizes(int64_t *size, int *ndim, bytes from, const parser *p)
{
    if (from.size % 4 != 0 || from.size < 8) return corrupt("an array without sizes");
    *ndim = from.size / 4 <= VT_MAX_DIMS ? (int)(from.size / 4) : VT_MAX_DIMS + 1;
    for (int i = 0; i < *ndim && *ndim <= VT_MAX_DIMS; i++) {
        size[i] = (int32_t)word(p, from.data + 4 * i);
        if (size[i] < 0) return corrupt("an array of negative size");
    }
    return VT_OK;
}

/* The array `path` (a variable of its own name where empty); kinds that are not read are left out.
 */
static vt_status parse_matrix(parser *p, const char *path, bytes from, int depth)
{
    bytes flags = {0}, sizes = {0}, name = {0};
    int64_t size[VT_MAX_DIMS] = {0};
    int ndim = 0;
    char own[VT_NAME_SIZE];
    if (depth > DEEPEST) return corrupt("structures in structures without end");
    if (from.size == 0) return VT_OK; /* an empty array */
    VT_TRY(take_kind(&flags, MI_UINT32, "an array without flags", &from, p));
    if (flags.size != 8) return corrupt("an array without flags");
    VT_TRY(take_kind(&sizes, MI_INT32, "an array without sizes", &from, p));
    VT_TRY(parse_sizes(size, &ndim, sizes, p));
    VT_TRY(take_kind(&name, MI_INT8, "an array without a name", &from, p));
    if (!*path) {
        int used =
            snprintf(own, sizeof own, "%.*s",
                     (int)strnlen((const char *)name.data, name.size < 256 ? name.size : 256),
                     (const char *)name.data);
        if (used == 0 || used >= (int)sizeof own) return VT_OK;
        path = own;
    }
    if (vt_tensor_map_count(p->map) >= VT_IO_MAX_ITEMS)
        return vt_error(VT_EUNSUPPORTED, "more than %d arrays", VT_IO_MAX_ITEMS);
    uint32_t flag = word(p, flags.data);
    int class_number = (int)(flag & 0xff);
    if (class_number == MX_STRUCT && ndim == 2 && size[0] == 1 && size[1] == 1)
        return parse_fields(p, path, &from, depth);
    if (ndim > VT_MAX_DIMS || class_number < MX_DOUBLE || class_number > MX_UINT64 ||
        flag & MX_COMPLEX)
        return skip(p, path);
    return parse_numbers(p, path, class_number, size, ndim, &from);
}

/* ---- the file ---- */

/* What comes out is at most EXPANSION times as much. */
static vt_status inflate_body(uint8_t **out, size_t *out_size, bytes from)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from.data, .avail_in = (uInt)from.size};
    size_t size = 0, capacity = 0;
    uint8_t *data = NULL;
    vt_status status = VT_OK;
    int code = Z_OK;
    if (inflateInit(&z) != Z_OK) return vt_error(VT_ENOMEM, "zlib does not start");
    while (code == Z_OK && status == VT_OK) {
        if (size == capacity) {
            size_t wanted = capacity ? 2 * capacity : 4 * from.size + 256;
            uint8_t *grown = vt_grow(data, capacity, wanted, 1);
            if (!grown) {
                status = VT_ENOMEM;
                break;
            }
            data = grown;
            capacity = wanted;
        }
        size_t room = capacity - size < UINT32_MAX ? capacity - size : UINT32_MAX;
        z.next_out = data + size;
        z.avail_out = (uInt)room;
        code = inflate(&z, Z_NO_FLUSH);
        size += room - z.avail_out;
    }
    inflateEnd(&z);
    if (status == VT_OK && code != Z_STREAM_END) status = corrupt("compressed data");
    if (status != VT_OK) {
        free(data);
        return status;
    }
    *out = data;
    *out_size = size;
    return VT_OK;
}

static vt_status parse_compressed(parser *p, bytes from)
{
    uint8_t *data = NULL;
    size_t size = 0;
    bytes body = {0};
    VT_TRY(inflate_body(&data, &size, from));
    bytes inside = {data, size};
    vt_status status = take_kind(&body, MI_MATRIX, "something compressed is no array", &inside, p);
    if (status == VT_OK) status = parse_matrix(p, "", body, 0);
    free(data);
    return status;
}

static vt_status parse_all(parser *p, bytes from)
{
    while (from.size > 0) {
        element e = {0};
        VT_TRY(take(&e, &from, p));
        if (e.kind == MI_COMPRESSED) VT_TRY(parse_compressed(p, e.body));
        if (e.kind == MI_MATRIX) VT_TRY(parse_matrix(p, "", e.body, 0));
    }
    return VT_OK;
}

static vt_status parse_level5(vt_tensor_map **out, const uint8_t *data, size_t size)
{
    uint16_t order;
    parser p = {.left = SMALLEST_LIMIT};
    if (size < HEADER)
        return vt_error(VT_EFORMAT, "not a MATLAB file of version 5 or later: too short");
    memcpy(&order, data + 126, sizeof order);
    if (order != 0x4d49 && order != 0x494d)
        return vt_error(VT_EFORMAT, "not a MATLAB file of version 5 or later; MATLAB writes one by "
                                    "save(..., '-v7')");
    p.swap = order == 0x494d;
    p.left += size <= (SIZE_MAX - p.left) / EXPANSION ? size * EXPANSION : 0;
    VT_TRY(vt_tensor_map_new(&p.map));
    vt_status status = parse_all(&p, (bytes){data + HEADER, size - HEADER});
    if (status == VT_OK && p.skipped) status = vt_tensor_map_set_text(p.map, "skipped", p.skipped);
    free(p.skipped);
    if (status != VT_OK) {
        vt_tensor_map_free(p.map);
        /* a name that repeats is the file's fault, not the caller's */
        return status == VT_EINVAL || status == VT_ESHAPE ? VT_EFORMAT : status;
    }
    *out = p.map;
    return VT_OK;
}

vt_status vt_matlab_parse(vt_tensor_map **out, const void *data, size_t size, const char *label)
{
    if (vt_hdf5_has_signature(data, size)) return vt_hdf5_parse(out, data, size, label);
    vt_status status = parse_level5(out, data, size);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", label);
}

vt_status vt_matlab_read(vt_tensor_map **out, const char *path)
{
    void *data;
    size_t size;
    VT_TRY(vt_file_read(&data, &size, path));
    vt_status status = vt_matlab_parse(out, data, size, path);
    free(data);
    return status;
}
