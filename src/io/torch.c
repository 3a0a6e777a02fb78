/* PyTorch checkpoints since version 1.6: a zip archive NAME/ with data.pkl (a pickle of the state
 * dictionary whose tensors refer to storages), data/KEY (each storage's bytes) and byteorder.
 * Format: torch/serialization.py, caffe2/serialize/inline_container.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/torch.h"
#include "io/zip.h"
#include "ventral/weights.h"

typedef struct storage {
    const vt_pickle_value *key;
    void *data;
    size_t size;
} storage;

typedef struct reader {
    vt_zip *zip;
    char prefix[512];  /* of the archive's names: "archive/" */
    bool swap;         /* the file has the other byte order */
    storage *storages; /* those read so far */
    size_t storage_count, storage_capacity;
    uint64_t storages_left; /* bytes still allowed */
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

static vt_status find_storage(void *context, const vt_pickle_value *wanted, const void **data,
                              size_t *size)
{
    reader *r = context;
    const vt_pickle_value *key = wanted->storage.key;
    for (size_t i = 0; i < r->storage_count; i++) {
        const vt_pickle_value *known = r->storages[i].key;
        if (known->text.length == key->text.length &&
            memcmp(known->text.bytes, key->text.bytes, key->text.length) == 0) {
            *data = r->storages[i].data;
            *size = r->storages[i].size;
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
    *data = s->data;
    *size = s->size;
    return VT_OK;
}

static vt_status read_archive(reader *r, vt_tensor_map *map, uint64_t limit)
{
    int64_t entry = -1;
    void *bytes = NULL;
    size_t size;
    vt_arena *arena = NULL;
    vt_pickle pickle;
    VT_TRY(find_archive(r, &entry));
    VT_TRY(read_byte_order(r));
    VT_TRY(vt_zip_read_limited(r->zip, entry, VT_PICKLE_MAX_BYTES, &bytes, &size));
    vt_status status = vt_arena_new(&arena);
    if (status == VT_OK) status = vt_pickle_parse(&pickle, arena, bytes, size);
    if (status == VT_OK)
        status = vt_torch_flatten(map, pickle.top, &(vt_torch_storages){find_storage, r, r->swap},
                                  limit);
    for (size_t i = 0; i < r->storage_count; i++)
        free(r->storages[i].data);
    free(r->storages);
    vt_arena_free(arena);
    free(bytes);
    return status;
}

static vt_status parse_archive(vt_tensor_map *map, const void *data, size_t size)
{
    reader r = {.storages_left = vt_torch_limit(size)};
    VT_TRY(vt_zip_open_memory(&r.zip, data, size, "its zip archive"));
    vt_status status = read_archive(&r, map, vt_torch_limit(size));
    vt_zip_close(r.zip);
    return status;
}

vt_status vt_torch_parse(vt_tensor_map **out, const void *data, size_t size, const char *label)
{
    bool stream = vt_torch_is_stream(data, size);
    if (vt_torch_is_tar(data, size))
        return vt_error(VT_EUNSUPPORTED,
                        "%s: a tar, as the first versions of PyTorch saved; save it again with a "
                        "newer one: torch.save(torch.load(FILE, weights_only=False), FILE)",
                        label);
    if (!stream && (size < 4 || memcmp(data, "PK\3\4", 4) != 0))
        return vt_error(VT_EFORMAT, "%s: not a PyTorch checkpoint (neither zip nor stream)", label);
    vt_tensor_map *map;
    VT_TRY(vt_tensor_map_new(&map));
    vt_status status = stream ? vt_torch_parse_stream(map, data, size) //
                              : parse_archive(map, data, size);
    if (status != VT_OK) {
        vt_tensor_map_free(map);
        return vt_error_context(status, "%s", label);
    }
    *out = map;
    return VT_OK;
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
