/* PyTorch checkpoints before version 1.6: a stream of pickles - a magic number, the protocol's
 * number, facts about the machine, the state dictionary, the keys of its storages - and then, for
 * each key in this order, the number of elements (int64) and the elements, all little-endian.
 * Format: torch/serialization.py (_legacy_save), aten's storage serialization. */
#include <stdlib.h>
#include <string.h>

#include "io/torch.h"

enum { PROTOCOL = 1001 };

/* A storage of the state dictionary; data NULL: the stream does not hold it. */
typedef struct storage {
    const vt_pickle_value *key;
    size_t width; /* of an element */
    const unsigned char *data;
    size_t size;
} storage;

typedef struct stream {
    const unsigned char *at, *end;
    storage *storages; /* by key */
    size_t count;
} stream;

/* ---- telling them apart ---- */

/* The first pickle, 0x1950a86a20f9469cfc6c, of whatever protocol; protocol 4 and later may put it
 * in a frame. Returns where its number begins, or NULL. */
static const unsigned char *find_magic(const unsigned char *data, size_t size)
{
    static const unsigned char magic[13] = {0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                            0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
    size_t at = size > 2 && data[2] == 0x95 ? 11 : 2;
    bool found =
        size >= at + sizeof magic && data[0] == 0x80 && memcmp(data + at, magic, sizeof magic) == 0;
    return found ? data + at + sizeof magic : NULL;
}

bool vt_torch_is_stream(const void *data, size_t size)
{
    return find_magic(data, size) != NULL;
}

bool vt_torch_is_tar(const void *data, size_t size)
{
    return size >= 262 && memcmp((const char *)data + 257, "ustar", 5) == 0;
}

/* ---- storages ---- */

static int compare_keys(const vt_pickle_value *a, const vt_pickle_value *b)
{
    size_t n = a->text.length, m = b->text.length;
    if (n != m) return n < m ? -1 : 1;
    return n ? memcmp(a->text.bytes, b->text.bytes, n) : 0;
}

static int compare_storages(const void *a, const void *b)
{
    const storage *s = a, *t = b;
    return compare_keys(s->key, t->key);
}

static storage *find(const stream *s, const vt_pickle_value *key)
{
    storage wanted = {.key = key};
    return s->count ? bsearch(&wanted, s->storages, s->count, sizeof wanted, compare_storages)
                    : NULL;
}

/* The storages that the state dictionary speaks of, each once. */
static vt_status list_storages(stream *s, const vt_pickle_value *first)
{
    size_t count = 0, kept = 0;
    for (const vt_pickle_value *v = first; v; v = v->storage.next)
        count++;
    if (count == 0) return VT_OK;
    if (!(s->storages = vt_alloc(count, sizeof *s->storages))) return VT_ENOMEM;
    for (const vt_pickle_value *v = first; v; v = v->storage.next)
        s->storages[s->count++] =
            (storage){.key = v->storage.key, .width = vt_dtype_size(v->storage.dtype)};
    qsort(s->storages, s->count, sizeof *s->storages, compare_storages);
    for (size_t i = 0; i < s->count; i++) {
        if (kept == 0 || compare_storages(&s->storages[kept - 1], &s->storages[i]) != 0)
            s->storages[kept++] = s->storages[i];
        else if (s->storages[kept - 1].width != s->storages[i].width)
            return vt_error(VT_EFORMAT, "a storage has elements of two sizes");
    }
    s->count = kept;
    return VT_OK;
}

/* The elements that follow the last pickle. */
static vt_status take_elements(stream *s, const vt_pickle_value *keys)
{
    for (size_t i = 0; i < keys->list.count; i++) {
        const vt_pickle_value *key = keys->list.items[i];
        storage *storage = key->kind == VT_PICKLE_TEXT ? find(s, key) : NULL;
        if (!storage || storage->data)
            return vt_error(VT_EFORMAT, "its list of storages is not that of its tensors");
        uint64_t count = 0, left = (uint64_t)(s->end - s->at);
        if (left < 8) return vt_error(VT_EFORMAT, "truncated: storage %zu is missing", i);
        for (int k = 0; k < 8; k++)
            count |= (uint64_t)s->at[k] << 8 * k;
        if (count > (left - 8) / storage->width)
            return vt_error(VT_EFORMAT,
                            "truncated: storage %zu has %llu elements, %llu bytes are "
                            "left of the file",
                            i, (unsigned long long)count, (unsigned long long)left - 8);
        storage->data = s->at + 8;
        storage->size = (size_t)count * storage->width;
        s->at += 8 + storage->size;
    }
    return VT_OK;
}

static vt_status find_storage(void *context, const vt_pickle_value *wanted, const void **data,
                              size_t *size)
{
    const storage *found = find(context, wanted->storage.key);
    if (!found || !found->data) return vt_error(VT_EFORMAT, "its storage is missing");
    *data = found->data;
    *size = found->size;
    return VT_OK;
}

/* ---- the stream ---- */

static vt_status next_pickle(stream *s, vt_arena *arena, vt_pickle *out)
{
    VT_TRY(vt_pickle_parse(out, arena, s->at, (size_t)(s->end - s->at)));
    s->at += out->used;
    return VT_OK;
}

static vt_status read_stream(stream *s, vt_arena *arena, vt_tensor_map *map, uint64_t limit)
{
    vt_pickle protocol, machine, state, keys;
    VT_TRY(next_pickle(s, arena, &protocol));
    if (protocol.top->kind != VT_PICKLE_INT || protocol.top->integer != PROTOCOL)
        return vt_error(VT_EUNSUPPORTED, "its protocol is not number %d", PROTOCOL);
    VT_TRY(next_pickle(s, arena, &machine));
    VT_TRY(next_pickle(s, arena, &state));
    VT_TRY(next_pickle(s, arena, &keys));
    if (keys.top->kind != VT_PICKLE_LIST) return vt_error(VT_EFORMAT, "it has no list of storages");
    VT_TRY(list_storages(s, state.storages));
    VT_TRY(take_elements(s, keys.top));
    bool big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    return vt_torch_flatten(map, state.top, &(vt_torch_storages){find_storage, s, big_endian},
                            limit);
}

vt_status vt_torch_parse_stream(vt_tensor_map *map, const void *data, size_t size)
{
    vt_arena *arena;
    stream s = {.at = find_magic(data, size), .end = (const unsigned char *)data + size};
    VT_TRY(vt_arena_new(&arena));
    vt_status status = read_stream(&s, arena, map, vt_torch_limit(size));
    free(s.storages);
    vt_arena_free(arena);
    return status;
}
