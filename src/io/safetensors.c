/* safetensors: 8 bytes of header length, a JSON header, the elements.
 *
 * The header maps names to {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]} and
 * "__metadata__" to strings; see https://huggingface.co/docs/safetensors. As in the reference
 * implementation, offsets must tile the data exactly, so that a file has one meaning only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/file.h"
#include "io/json.h"

#define MAX_HEADER 100000000 /* the reference implementation's limit */
#define METADATA "__metadata__"

static const char *const dtype_codes[VT_DTYPE_COUNT] = {
    [VT_BOOL] = "BOOL", [VT_U8] = "U8",   [VT_I8] = "I8",   [VT_U16] = "U16", [VT_I16] = "I16",
    [VT_U32] = "U32",   [VT_I32] = "I32", [VT_U64] = "U64", [VT_I64] = "I64", [VT_F16] = "F16",
    [VT_BF16] = "BF16", [VT_F32] = "F32", [VT_F64] = "F64",
};

typedef struct entry {
    const char *name;
    vt_dtype dtype;
    int ndim;
    int64_t size[VT_MAX_DIMS];
    int64_t begin, end; /* bytes from the end of the header */
} entry;

typedef struct file {
    const char *label;
    const unsigned char *data; /* what follows the header */
    size_t size;
    entry *entries;
    size_t count;
} file;

static vt_status bad(const file *f, const char *name, const char *what)
{
    return vt_error(VT_EFORMAT, "%s: tensor %.127s: %s", f->label, name, what);
}

static vt_status parse_dtype(const file *f, entry *e, const char *code)
{
    for (int i = 0; i < VT_DTYPE_COUNT; i++) {
        if (strcmp(dtype_codes[i], code) != 0) continue;
        e->dtype = (vt_dtype)i;
        return VT_OK;
    }
    return vt_error(VT_EUNSUPPORTED, "%s: tensor %s: elements of type %.32s cannot be read",
                    f->label, e->name, code);
}

static vt_status parse_entry(const file *f, entry *e, const char *name, json_t *value)
{
    const char *code;
    json_t *shape, *offsets;
    vt_tensor t;
    if (strlen(name) >= VT_NAME_SIZE)
        return vt_error(VT_EUNSUPPORTED, "%s: the tensor name %.60s... is longer than %d bytes",
                        f->label, name, VT_NAME_SIZE - 1);
    e->name = name;
    if (json_unpack(value, "{s:s, s:o, s:o}", "dtype", &code, "shape", &shape, "data_offsets",
                    &offsets) != 0 ||
        !json_is_array(shape) || !json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)))
        return bad(f, name, "dtype, shape or data_offsets is missing or malformed");
    VT_TRY(parse_dtype(f, e, code));
    if (json_array_size(shape) > VT_MAX_DIMS)
        return vt_error(VT_EUNSUPPORTED, "%s: tensor %s: %zu dimensions; at most %d are supported",
                        f->label, name, json_array_size(shape), VT_MAX_DIMS);
    e->ndim = (int)json_array_size(shape);
    for (int i = 0; i < e->ndim; i++) {
        json_t *size = json_array_get(shape, (size_t)i);
        e->size[i] = json_integer_value(size);
        if (!json_is_integer(size) || e->size[i] < 0)
            return bad(f, name, "a size in its shape is no natural number");
    }
    if (vt_tensor_init(&t, e->dtype, e->ndim, e->size, NULL) != VT_OK)
        return bad(f, name, "its shape is too large");
    e->begin = json_integer_value(json_array_get(offsets, 0));
    e->end = json_integer_value(json_array_get(offsets, 1));
    if (e->begin < 0 || e->end < e->begin) return bad(f, name, "its data_offsets are out of order");
    if ((uint64_t)e->end > f->size)
        return bad(f, name, "its data reach beyond the end of the file");
    if ((size_t)(e->end - e->begin) != vt_tensor_bytes(&t))
        return bad(f, name, "its data_offsets do not fit its dtype and shape");
    return VT_OK;
}

static vt_status parse_metadata(const file *f, vt_tensor_map *map, json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata) || json_object_size(metadata) > VT_IO_MAX_ITEMS)
        return vt_error(VT_EFORMAT, "%s: " METADATA " is no object of at most %d strings", f->label,
                        VT_IO_MAX_ITEMS);
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return vt_error(VT_EFORMAT, "%s: " METADATA ": %.100s is no string", f->label, key);
        VT_TRY(vt_tensor_map_set_text(map, key, json_string_value(value)));
    }
    return VT_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const entry *x = *(entry *const *)a, *y = *(entry *const *)b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Sorted by offset, each tensor begins where the one before it ends. */
static vt_status check_tiling(const file *f)
{
    int64_t reached = 0;
    vt_status status = VT_OK;
    entry **order = vt_alloc(f->count, sizeof *order);
    if (!order) return VT_ENOMEM;
    for (size_t i = 0; i < f->count; i++)
        order[i] = &f->entries[i];
    qsort(order, f->count, sizeof *order, compare_offsets);
    for (size_t i = 0; i < f->count && status == VT_OK; i++) {
        if (order[i]->begin != reached)
            status = bad(f, order[i]->name,
                         order[i]->begin < reached ? "its data overlap those of another tensor"
                                                   : "there is a gap before its data");
        reached = order[i]->end;
    }
    if (status == VT_OK && (uint64_t)reached != f->size)
        status = vt_error(VT_EFORMAT, "%s: %llu bytes follow the last tensor", f->label,
                          (unsigned long long)(f->size - (uint64_t)reached));
    free(order);
    return status;
}

static vt_status parse_header(file *f, vt_tensor_map *map, json_t *header)
{
    const char *name;
    json_t *value;
    vt_tensor t;
    if (json_object_size(header) > VT_IO_MAX_ITEMS)
        return vt_error(VT_EUNSUPPORTED, "%s: %zu tensors; the limit is %d", f->label,
                        json_object_size(header), VT_IO_MAX_ITEMS);
    f->entries = vt_alloc(json_object_size(header), sizeof *f->entries);
    if (!f->entries) return VT_ENOMEM;
    json_object_foreach(header, name, value)
    {
        if (strcmp(name, METADATA) == 0)
            VT_TRY(parse_metadata(f, map, value));
        else
            VT_TRY(parse_entry(f, &f->entries[f->count++], name, value));
    }
    VT_TRY(check_tiling(f));
    for (size_t i = 0; i < f->count; i++) {
        const entry *e = &f->entries[i];
        VT_TRY(vt_tensor_map_add(map, e->name, e->dtype, e->ndim, e->size, &t));
        memcpy(t.data, f->data + e->begin, (size_t)(e->end - e->begin));
        if (e->dtype == VT_BOOL) /* any other value would not be a C bool */
            for (int64_t k = 0; k < e->end - e->begin; k++)
                ((unsigned char *)t.data)[k] = ((unsigned char *)t.data)[k] != 0;
    }
    return VT_OK;
}

vt_status vt_safetensors_parse(vt_tensor_map **out, const void *data, size_t size,
                               const char *label)
{
    const unsigned char *bytes = data;
    uint64_t length;
    json_t *header = NULL;
    vt_tensor_map *map = NULL;
    if (size < 8) return vt_error(VT_EFORMAT, "%s: not a safetensors file: it is too short", label);
    memcpy(&length, bytes, 8);
    if (length > MAX_HEADER || length < 2 || (size > 8 && bytes[8] != '{'))
        return vt_error(VT_EFORMAT, "%s: not a safetensors file: its first bytes are others",
                        label);
    if (length > size - 8) return vt_error(VT_EFORMAT, "%s: truncated within the header", label);
    file f = {.label = label, .data = bytes + 8 + length, .size = size - 8 - length};
    vt_status status = vt_json_parse(&header, (const char *)bytes + 8, length, label);
    if (status == VT_OK) status = vt_tensor_map_new(&map);
    if (status == VT_OK) status = parse_header(&f, map, header);
    free(f.entries);
    json_decref(header);
    if (status != VT_OK) {
        vt_tensor_map_free(map);
        return status;
    }
    *out = map;
    return VT_OK;
}

vt_status vt_safetensors_read(vt_tensor_map **out, const char *path)
{
    void *data;
    size_t size;
    VT_TRY(vt_file_read(&data, &size, path));
    vt_status status = vt_safetensors_parse(out, data, size, path);
    free(data);
    return status;
}

/* Calls `visit` on the tensors in the order of their data: by falling element size, else as in the
 * map. Aligned data is what lets other readers map the file. */
static vt_status visit_tensors(const vt_tensor_map *map,
                               vt_status (*visit)(const vt_tensor *t, int index, void *context),
                               void *context)
{
    for (size_t item = 8; item > 0; item /= 2)
        for (int i = 0; i < vt_tensor_map_count(map); i++) {
            const vt_tensor *t = vt_tensor_map_at(map, i);
            if (vt_dtype_size(t->dtype) == item) VT_TRY(visit(t, i, context));
        }
    return VT_OK;
}

typedef struct layout {
    int64_t *begin; /* of each tensor, by its place in the map */
    int64_t reached;
} layout;

static vt_status place_tensor(const vt_tensor *t, int index, void *context)
{
    layout *l = context;
    l->begin[index] = l->reached;
    l->reached += (int64_t)vt_tensor_bytes(t);
    return VT_OK;
}

static vt_status put_tensor(const vt_tensor *t, int index, void *context)
{
    vt_tensor dense = *t;
    (void)index;
    bool copied = !vt_tensor_is_contiguous(t);
    if (copied) VT_TRY(vt_tensor_convert(&dense, t, t->dtype));
    vt_status status = vt_file_writer_put(context, dense.data, vt_tensor_bytes(t));
    if (copied) vt_tensor_free(&dense);
    return status;
}

static vt_status add_texts(json_t *header, const vt_tensor_map *map)
{
    json_t *metadata = json_object();
    if (json_object_set_new(header, METADATA, metadata) != 0)
        return vt_error(VT_ENOMEM, "out of memory for a header");
    for (int i = 0; i < vt_tensor_map_text_count(map); i++) {
        const char *key, *text;
        vt_tensor_map_text_at(map, i, &key, &text);
        if (json_object_set_new(metadata, key, json_string(text)) != 0)
            return vt_error(VT_EINVAL, "text %s is not valid UTF-8", key);
    }
    return VT_OK;
}

static vt_status add_entry(json_t *header, const vt_tensor *t, int64_t begin)
{
    json_t *shape = json_array();
    if (strcmp(t->name, METADATA) == 0) {
        json_decref(shape);
        return vt_error(VT_EINVAL, "no tensor can be named " METADATA);
    }
    for (int i = 0; i < t->ndim; i++)
        json_array_append_new(shape, json_integer(t->size[i]));
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_codes[t->dtype], "shape",
                              shape, "data_offsets", (json_int_t)begin,
                              (json_int_t)(begin + (int64_t)vt_tensor_bytes(t)));
    if (json_object_set_new(header, t->name, entry) != 0)
        return vt_error(VT_EINVAL, "the tensor name %s is not valid UTF-8", t->name);
    return VT_OK;
}

/* The header's JSON, to be freed with free(), padded with spaces to a multiple of 8 bytes. */
static vt_status encode_header(char **out, size_t *out_size, const vt_tensor_map *map,
                               const layout *l)
{
    vt_status status = VT_OK;
    char *text = NULL;
    json_t *header = json_object();
    if (!header) return vt_error(VT_ENOMEM, "out of memory for a header");
    if (vt_tensor_map_text_count(map) > 0) status = add_texts(header, map);
    for (int i = 0; i < vt_tensor_map_count(map) && status == VT_OK; i++)
        status = add_entry(header, vt_tensor_map_at(map, i), l->begin[i]);
    size_t length = status == VT_OK ? json_dumpb(header, NULL, 0, JSON_COMPACT) : 0;
    size_t padded = (length + 7) / 8 * 8;
    if (status == VT_OK && padded > MAX_HEADER)
        status =
            vt_error(VT_EUNSUPPORTED, "names and texts of %zu bytes; the limit is 100 MB", length);
    if (status == VT_OK && !(text = vt_alloc(padded, 1))) status = VT_ENOMEM;
    if (status == VT_OK) {
        json_dumpb(header, text, length, JSON_COMPACT);
        memset(text + length, ' ', padded - length);
        *out = text;
        *out_size = padded;
    }
    json_decref(header);
    return status;
}

static vt_status write_file(const vt_tensor_map *map, const char *header, size_t size,
                            const char *path)
{
    vt_file_writer w;
    uint64_t length = size;
    VT_TRY(vt_file_writer_open(&w, path));
    vt_status status = vt_file_writer_put(&w, &length, sizeof length);
    if (status == VT_OK) status = vt_file_writer_put(&w, header, size);
    if (status == VT_OK) status = visit_tensors(map, put_tensor, &w);
    if (status == VT_OK) return vt_file_writer_commit(&w);
    vt_file_writer_abort(&w);
    return status;
}

vt_status vt_safetensors_write(const vt_tensor_map *map, const char *path)
{
    layout l = {.begin = vt_alloc((size_t)vt_tensor_map_count(map), sizeof(int64_t))};
    char *header = NULL;
    size_t size = 0;
    if (!l.begin) return VT_ENOMEM;
    vt_status status = visit_tensors(map, place_tensor, &l);
    if (status == VT_OK) status = encode_header(&header, &size, map, &l);
    if (status != VT_OK)
        vt_error_context(status, "%s", path);
    else
        status = write_file(map, header, size, path);
    free(header);
    free(l.begin);
    return status;
}
