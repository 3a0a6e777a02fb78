/* State dictionaries of PyTorch as named tensors: nested dictionaries and lists become names with
 * dots, views become contiguous, numbers and strings become texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/torch.h"

#define MAX_DEPTH 32       /* of dictionaries in dictionaries */
#define MAX_VISITS 1000000 /* shared values count as often as they are met */
#define MAX_ENTRIES 16384  /* tensors, and texts */
#define MAX_TEXTS (64u << 20)

typedef struct reader {
    vt_tensor_map *map;
    const vt_torch_storages *storages;
    uint64_t left; /* bytes of tensors still allowed */
    size_t texts;
    int visits, tensor_count, text_count;
} reader;

uint64_t vt_torch_limit(size_t file_size)
{
    return ((uint64_t)64 << 20) + 16 * (uint64_t)file_size;
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
    const vt_pickle_value *storage = t->storage;
    vt_dtype dtype = storage->storage.dtype;
    int64_t width = (int64_t)vt_dtype_size(dtype);
    const void *data = NULL;
    size_t stored = 0;
    vt_tensor view;
    if (++r->tensor_count > MAX_ENTRIES)
        return vt_error(VT_EUNSUPPORTED, "holds more than %d tensors", MAX_ENTRIES);
    VT_TRY(vt_tensor_init(&view, dtype, t->ndim, t->size, NULL));
    size_t bytes = vt_tensor_bytes(&view);
    if (bytes > r->left)
        return vt_error(VT_EUNSUPPORTED, "its tensors are far larger than the file");
    r->left -= bytes;
    if (bytes == 0) return vt_tensor_map_add(r->map, name, dtype, t->ndim, t->size, NULL);
    VT_TRY(r->storages->find(r->storages->context, storage, &data, &stored));
    uint64_t elements = stored / (size_t)width, first = (uint64_t)storage->storage.offset;
    if (first > elements || (uint64_t)storage->storage.count > elements - first)
        return vt_error(VT_EFORMAT, "its storage has %zu bytes, too few for %lld elements of %s",
                        stored, (long long)(storage->storage.offset + storage->storage.count),
                        vt_dtype_name(dtype));
    view.data = (char *)(uintptr_t)data + (storage->storage.offset + t->offset) * width;
    for (int i = 0; i < t->ndim; i++) /* the stride of a single element may be anything */
        view.stride[i] = t->size[i] > 1 ? t->stride[i] * width : 0;
    VT_TRY(vt_tensor_map_add_copy(r->map, name, &view));
    if (r->storages->swap) swap_bytes(vt_tensor_map_find(r->map, name));
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

vt_status vt_torch_flatten(vt_tensor_map *map, const vt_pickle_value *top,
                           const vt_torch_storages *storages, uint64_t limit)
{
    reader r = {.map = map, .storages = storages, .left = limit};
    char name[VT_NAME_SIZE] = "";
    if (top->kind != VT_PICKLE_DICT)
        return vt_error(VT_EUNSUPPORTED, "holds no state dictionary; save one: "
                                         "torch.save(model.state_dict(), ...)");
    VT_TRY(flatten(&r, name, top, 0));
    return vt_tensor_map_set_text(map, "format", "torch");
}
