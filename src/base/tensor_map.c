/* Ordered collections of named tensors with string metadata. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/tensor.h"

typedef struct text_entry {
    char *key, *value;
} text_entry;

struct vt_tensor_map {
    vt_tensor **items; /* each its own allocation: borrowed pointers survive growth */
    size_t count, capacity;
    text_entry *texts;
    size_t text_count, text_capacity;
};

vt_status vt_tensor_map_new(vt_tensor_map **out)
{
    vt_tensor_map *map = vt_alloc(1, sizeof *map);
    if (!map) return VT_ENOMEM;
    *out = map;
    return VT_OK;
}

void vt_tensor_map_free(vt_tensor_map *map)
{
    if (!map) return;
    for (size_t i = 0; i < map->count; i++) {
        vt_tensor_free(map->items[i]);
        free(map->items[i]);
    }
    for (size_t i = 0; i < map->text_count; i++) {
        free(map->texts[i].key);
        free(map->texts[i].value);
    }
    free(map->items);
    free(map->texts);
    free(map);
}

int vt_tensor_map_count(const vt_tensor_map *map)
{
    return (int)map->count;
}

const vt_tensor *vt_tensor_map_at(const vt_tensor_map *map, int index)
{
    return index >= 0 && (size_t)index < map->count ? map->items[index] : NULL;
}

const vt_tensor *vt_tensor_map_find(const vt_tensor_map *map, const char *name)
{
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->items[i]->name, name) == 0) return map->items[i];
    return NULL;
}

/* Room for one more element in an array that doubles. */
static vt_status reserve(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return VT_OK;
    void *old, *grown;
    size_t wanted = *capacity ? 2 * *capacity : 16;
    memcpy(&old, array, sizeof old);
    grown = vt_grow(old, count, wanted, size);
    if (!grown) return VT_ENOMEM;
    memcpy(array, &grown, sizeof grown);
    *capacity = wanted;
    return VT_OK;
}

/* Takes over the tensor's memory, also on failure. */
static vt_status adopt(vt_tensor_map *map, const char *name, vt_tensor t, vt_tensor *out)
{
    vt_status status = VT_OK;
    vt_tensor *item = NULL;
    if (strlen(name) >= VT_NAME_SIZE)
        status = vt_error(VT_EINVAL, "the tensor name %.60s... is longer than %d bytes", name,
                          VT_NAME_SIZE - 1);
    else if (vt_tensor_map_find(map, name))
        status = vt_error(VT_EINVAL, "two tensors are named %s", name);
    else
        status = reserve(&map->items, map->count, &map->capacity, sizeof *map->items);
    if (status == VT_OK && !(item = vt_alloc(1, sizeof *item))) status = VT_ENOMEM;
    if (status != VT_OK) {
        vt_tensor_free(&t);
        return status;
    }
    strcpy(t.name, name);
    *item = t;
    map->items[map->count++] = item;
    if (out) *out = t;
    return VT_OK;
}

vt_status vt_tensor_map_add(vt_tensor_map *map, const char *name, vt_dtype dtype, int ndim,
                            const int64_t *size, vt_tensor *out)
{
    vt_tensor t;
    VT_TRY(vt_tensor_new(&t, dtype, ndim, size));
    return adopt(map, name, t, out);
}

vt_status vt_tensor_map_add_copy(vt_tensor_map *map, const char *name, const vt_tensor *t)
{
    vt_tensor copy;
    VT_TRY(vt_tensor_convert(&copy, t, t->dtype));
    return adopt(map, name, copy, NULL);
}

static text_entry *find_text(const vt_tensor_map *map, const char *key)
{
    for (size_t i = 0; i < map->text_count; i++)
        if (strcmp(map->texts[i].key, key) == 0) return &map->texts[i];
    return NULL;
}

vt_status vt_tensor_map_set_text(vt_tensor_map *map, const char *key, const char *value)
{
    char *copy = vt_strdup(value);
    if (!copy) return VT_ENOMEM;
    text_entry *entry = find_text(map, key);
    if (entry) {
        free(entry->value);
        entry->value = copy;
        return VT_OK;
    }
    char *key_copy = vt_strdup(key);
    if (!key_copy ||
        reserve(&map->texts, map->text_count, &map->text_capacity, sizeof *map->texts) != VT_OK) {
        free(key_copy);
        free(copy);
        return VT_ENOMEM;
    }
    map->texts[map->text_count++] = (text_entry){key_copy, copy};
    return VT_OK;
}

const char *vt_tensor_map_get_text(const vt_tensor_map *map, const char *key)
{
    const text_entry *entry = find_text(map, key);
    return entry ? entry->value : NULL;
}

int vt_tensor_map_text_count(const vt_tensor_map *map)
{
    return (int)map->text_count;
}

void vt_tensor_map_text_at(const vt_tensor_map *map, int index, const char **key,
                           const char **value)
{
    bool inside = index >= 0 && (size_t)index < map->text_count;
    *key = inside ? map->texts[index].key : NULL;
    *value = inside ? map->texts[index].value : NULL;
}
