/* PyTorch checkpoints: a zip archive NAME/ with data.pkl (a pickle of the state dictionary whose
 * tensors refer to storages), data/KEY (each storage's bytes) and byteorder. Format:
 * torch/serialization.py, caffe2/serialize/inline_container.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/pickle.h"
#include "io/zip.h"
#include "ventral/weights.h"

#define MAX_DEPTH 32       /* of dictionaries in dictionaries */
#define MAX_VISITS 1000000 /* shared values count as often as they are met */
#define MAX_ENTRIES 16384  /* tensors, and texts */
#define MAX_TEXTS (64u << 20)

typedef struct storage {
    const vt_pickle_value *key;
    void *data;
    size_t size;
} storage;

typedef struct reader {
    vt_zip *zip;
    char prefix[512]; /* of the archive's names: "archive/" */
    bool swap;        /* the file has the other byte order */
    vt_tensor_map *map;
    storage *storages; /* those read so far */
    size_t storage_count, storage_capacity;
    /* bytes still allowed: views may share storages, and archives compress, but not endlessly */
    uint64_t left, storages_left;
    size_t texts;
    int visits, tensor_count, text_count;
} reader;

/* The archive's folder: the one with data.pkl. */
static vt_status find_archive(reader *r, int64_t *pickle)
{
    static const char name[] = "data.pkl";
    for (int64_t i = 0; i < vt_zip_count(r->zip); i++) {
        const char *entry = vt_zip_name(r->zip, i), *base = strchr(entry, '/');
        base = base ? base + 1 : entry;
        size_t length = (size_t)(base - entry);
        if (strcmp(base, name) != 0 || length >= sizeof r->prefix) continue;
        memcpy(r->prefix, entry, length);
        r->prefix[length] = '\0';
        *pickle = i;
        return VT_OK;
    }
    return vt_error(VT_EFORMAT, "not a PyTorch checkpoint: the zip archive holds no data.pkl");
}

static vt_status read_byte_order(reader *r)
{
    char name[sizeof r->prefix + 16];
    snprintf(name, sizeof name, "%sbyteorder", r->prefix);
    int64_t entry = vt_zip_find(r->zip, name);
    if (entry < 0) return VT_OK; /* before PyTorch 2.1: as on the machine that wrote it */
    void *text;
    size_t size;
    VT_TRY(vt_zip_read_limited(r->zip, entry, 16, &text, &size));
    bool little = size == 6 && memcmp(text, "little", 6) == 0;
    bool big = size == 3 && memcmp(text, "big", 3) == 0;
    free(text);
    if (!little && !big) return vt_error(VT_EFORMAT, "its byte order is neither little nor big");
    r->swap = little != (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    return VT_OK;
}

static vt_status read_storage(reader *r, const vt_pickle_value *key, const storage **out)
{
    for (size_t i = 0; i < r->storage_count; i++) {
        const vt_pickle_value *known = r->storages[i].key;
        if (known->text.length == key->text.length &&
            memcmp(known->text.bytes, key->text.bytes, key->text.length) == 0) {
            *out = &r->storages[i];
            return VT_OK;
        }
    }
    if (r->storage_count == r->storage_capacity) {
        size_t capacity = r->storage_capacity ? 2 * r->storage_capacity : 64;
        storage *grown = vt_grow(r->storages, r->storage_count, capacity, sizeof *grown);
        if (!grown) return VT_ENOMEM;
        r->storages = grown;
        r->storage_capacity = capacity;
    }
    char name[sizeof r->prefix + 80];
    if (key->text.length > 64) return vt_error(VT_EFORMAT, "a storage has too long a name");
    snprintf(name, sizeof name, "%sdata/%.*s", r->prefix, (int)key->text.length, key->text.bytes);
    int64_t entry = vt_zip_find(r->zip, name);
    if (entry < 0) return vt_error(VT_EFORMAT, "the storage %s is missing", name);
    storage *s = &r->storages[r->storage_count];
    VT_TRY(vt_zip_read_limited(r->zip, entry, r->storages_left, &s->data, &s->size));
    r->storages_left -= s->size;
    s->key = key;
    r->storage_count++;
    *out = s;
    return VT_OK;
}

static void swap_bytes(const vt_tensor *t)
{
    size_t width = vt_dtype_size(t->dtype), bytes = vt_tensor_bytes(t);
    char *p = t->data;
    for (size_t at = 0; at < bytes; at += width)
        for (size_t i = 0; i < width / 2; i++) {
            char low = p[at + i];
            p[at + i] = p[at + width - 1 - i];
            p[at + width - 1 - i] = low;
        }
}

static vt_status add_tensor(reader *r, const char *name, const vt_pickle_tensor *t)
{
    vt_dtype dtype = t->storage->storage.dtype;
    int64_t width = (int64_t)vt_dtype_size(dtype);
    const storage *s = NULL;
    vt_tensor view;
    if (++r->tensor_count > MAX_ENTRIES)
        return vt_error(VT_EUNSUPPORTED, "holds more than %d tensors", MAX_ENTRIES);
    VT_TRY(vt_tensor_init(&view, dtype, t->ndim, t->size, NULL));
    size_t bytes = vt_tensor_bytes(&view);
    if (bytes > r->left)
        return vt_error(VT_EUNSUPPORTED, "its tensors are far larger than the file");
    r->left -= bytes;
    if (bytes == 0) return vt_tensor_map_add(r->map, name, dtype, t->ndim, t->size, NULL);
    VT_TRY(read_storage(r, t->storage->storage.key, &s));
    if ((uint64_t)t->storage->storage.count > s->size / (size_t)width)
        return vt_error(VT_EFORMAT, "its storage has %zu bytes, too few for %lld elements of %s",
                        s->size, (long long)t->storage->storage.count, vt_dtype_name(dtype));
    view.data = (char *)s->data + t->offset * width;
    for (int i = 0; i < t->ndim; i++) /* the stride of a single element may be anything */
        view.stride[i] = t->size[i] > 1 ? t->stride[i] * width : 0;
    VT_TRY(vt_tensor_map_add_copy(r->map, name, &view));
    if (r->swap) swap_bytes(vt_tensor_map_find(r->map, name));
    return VT_OK;
}

static vt_status add_text(reader *r, const char *name, const vt_pickle_value *v)
{
    char number[40];
    if (++r->text_count > MAX_ENTRIES)
        return vt_error(VT_EUNSUPPORTED, "holds more than %d texts and numbers", MAX_ENTRIES);
    switch (v->kind) {
    case VT_PICKLE_INT: snprintf(number, sizeof number, "%lld", (long long)v->integer); break;
    case VT_PICKLE_FLOAT: snprintf(number, sizeof number, "%.17g", v->real); break;
    case VT_PICKLE_BOOL:
        snprintf(number, sizeof number, "%s", v->integer ? "true" : "false");
        break;
    default: {
        r->texts += v->text.length;
        if (r->texts > MAX_TEXTS) return vt_error(VT_EUNSUPPORTED, "holds too long texts");
        char *text = vt_alloc(v->text.length + 1, 1);
        if (!text) return VT_ENOMEM;
        if (v->text.length) memcpy(text, v->text.bytes, v->text.length);
        vt_status status = vt_tensor_map_set_text(r->map, name, text);
        free(text);
        return status;
    }
    }
    return vt_tensor_map_set_text(r->map, name, number);
}

/* Appends ".key" (or "key" to an empty name) in place. */
static vt_status extend_name(char name[VT_NAME_SIZE], const char *key, size_t length)
{
    size_t used = strlen(name), dot = used > 0;
    if (used + dot + length >= VT_NAME_SIZE)
        return vt_error(VT_EUNSUPPORTED, "under %s: a name is longer than %d bytes", name,
                        VT_NAME_SIZE - 1);
    if (memchr(key, '\0', length)) return vt_error(VT_EFORMAT, "a name has a NUL byte");
    if (dot) name[used++] = '.';
    memcpy(name + used, key, length);
    name[used + length] = '\0';
    return VT_OK;
}

static vt_status flatten(reader *r, char name[VT_NAME_SIZE], const vt_pickle_value *v, int depth);

static vt_status flatten_items(reader *r, char name[VT_NAME_SIZE], const vt_pickle_value *v,
                               int depth)
{
    bool dictionary = v->kind == VT_PICKLE_DICT;
    size_t used = strlen(name), step = dictionary ? 2 : 1;
    for (size_t i = 0; i < v->list.count; i += step) {
        const vt_pickle_value *key = dictionary ? v->list.items[i] : NULL;
        char index[32];
        if (key && key->kind == VT_PICKLE_TEXT) {
            VT_TRY(extend_name(name, key->text.bytes, key->text.length));
        } else if (!key || key->kind == VT_PICKLE_INT) {
            long long number = key ? (long long)key->integer : (long long)i;
            int length = snprintf(index, sizeof index, "%lld", number);
            VT_TRY(extend_name(name, index, (size_t)length));
        } else {
            return vt_error(VT_EUNSUPPORTED, "a key of the state dictionary is no text");
        }
        VT_TRY(flatten(r, name, v->list.items[i + step - 1], depth + 1));
        name[used] = '\0';
    }
    return VT_OK;
}

static vt_status flatten(reader *r, char name[VT_NAME_SIZE], const vt_pickle_value *v, int depth)
{
    if (depth > MAX_DEPTH || ++r->visits > MAX_VISITS)
        return vt_error(VT_EFORMAT, "its dictionaries are nested without end");
    switch (v->kind) {
    case VT_PICKLE_TENSOR: {
        vt_status status = add_tensor(r, name, v->tensor);
        /* a repeated name or an impossible size is the file's fault, not the caller's */
        if (status == VT_EINVAL || status == VT_ESHAPE) status = VT_EFORMAT;
        return status == VT_OK ? VT_OK : vt_error_context(status, "tensor %s", name);
    }
    case VT_PICKLE_TUPLE:
    case VT_PICKLE_LIST:
    case VT_PICKLE_DICT: return flatten_items(r, name, v, depth);
    case VT_PICKLE_BOOL:
    case VT_PICKLE_INT:
    case VT_PICKLE_FLOAT:
    case VT_PICKLE_TEXT: return add_text(r, name, v);
    default: return VT_OK; /* None, bytes: nothing that describes a model */
    }
}

static vt_status read_checkpoint(reader *r)
{
    int64_t entry = -1;
    void *pickle = NULL;
    size_t size;
    vt_arena *arena = NULL;
    const vt_pickle_value *top;
    char name[VT_NAME_SIZE] = "";
    VT_TRY(find_archive(r, &entry));
    VT_TRY(read_byte_order(r));
    VT_TRY(vt_zip_read_limited(r->zip, entry, VT_PICKLE_MAX_BYTES, &pickle, &size));
    vt_status status;
    VT_TRY_GOTO(vt_arena_new(&arena), done);
    VT_TRY_GOTO(vt_pickle_parse(&top, arena, pickle, size), done);
    if (top->kind != VT_PICKLE_DICT) {
        status = vt_error(VT_EUNSUPPORTED, "holds no state dictionary; save one: "
                                           "torch.save(model.state_dict(), ...)");
        goto done;
    }
    VT_TRY_GOTO(flatten(r, name, top, 0), done);
    status = vt_tensor_map_set_text(r->map, "format", "torch");
done:
    for (size_t i = 0; i < r->storage_count; i++)
        free(r->storages[i].data);
    free(r->storages);
    vt_arena_free(arena);
    free(pickle);
    return status;
}

/* Files that torch.save wrote before version 1.6: a pickled magic number first, or a tar. */
static bool is_old(const unsigned char *data, size_t size)
{
    static const unsigned char magic[15] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                            0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
    return (size >= sizeof magic && memcmp(data, magic, sizeof magic) == 0) ||
           (size >= 262 && memcmp(data + 257, "ustar", 5) == 0);
}

vt_status vt_torch_parse(vt_tensor_map **out, const void *data, size_t size, const char *label)
{
    if (is_old(data, size))
        return vt_error(VT_EUNSUPPORTED,
                        "%s: saved in the format of PyTorch before 1.6; save it again with a newer "
                        "one: torch.save(torch.load(FILE), FILE)",
                        label);
    if (size < 4 || memcmp(data, "PK\3\4", 4) != 0)
        return vt_error(VT_EFORMAT, "%s: not a PyTorch checkpoint (no zip archive)", label);
    reader *r = vt_alloc(1, sizeof *r);
    if (!r) return VT_ENOMEM;
    r->left = r->storages_left = ((uint64_t)64 << 20) + 16 * (uint64_t)size;
    vt_status status = vt_zip_open_memory(&r->zip, data, size, "its zip archive");
    if (status == VT_OK) status = vt_tensor_map_new(&r->map);
    if (status == VT_OK) status = read_checkpoint(r);
    vt_zip_close(r->zip);
    if (status == VT_OK)
        *out = r->map;
    else
        vt_tensor_map_free(r->map);
    free(r);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", label);
}

vt_status vt_torch_read(vt_tensor_map **out, const char *path)
{
    void *data;
    size_t size;
    VT_TRY(vt_file_read(&data, &size, path));
    vt_status status = vt_torch_parse(out, data, size, path);
    free(data);
    return status;
}
