/* Packed lists of names: sorting and searching. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "data/dataset_tree.h"

static vt_status reserve(vt_names *names, size_t bytes)
{
    if (names->count == names->capacity) {
        int64_t capacity = names->capacity ? 2 * names->capacity : 64;
        uint32_t *grown =
            vt_grow(names->start, (size_t)names->count, (size_t)capacity, sizeof *names->start);
        if (!grown) return VT_ENOMEM;
        names->start = grown;
        names->capacity = capacity;
    }
    if (bytes > UINT32_MAX - names->bytes)
        return vt_error(VT_EUNSUPPORTED, "the names of the images take more than 4 GiB");
    if (names->bytes + bytes > names->bytes_capacity) {
        size_t capacity = 2 * (names->bytes + bytes);
        char *grown = vt_grow(names->text, names->bytes, capacity, 1);
        if (!grown) return VT_ENOMEM;
        names->text = grown;
        names->bytes_capacity = capacity;
    }
    return VT_OK;
}

vt_status vt_names_add(vt_names *names, const char *name, size_t length)
{
    VT_TRY(reserve(names, length + 1));
    char *to = names->text + names->bytes;
    memcpy(to, name, length);
    to[length] = '\0';
    names->start[names->count++] = (uint32_t)names->bytes;
    names->bytes += length + 1;
    return VT_OK;
}

const char *vt_names_at(const vt_names *names, int64_t index)
{
    return names->text + names->start[index];
}

static int compare_bytes(const char *a, size_t length_a, const char *b, size_t length_b)
{
    int order = memcmp(a, b, length_a < length_b ? length_a : length_b);
    return order ? order : (length_a > length_b) - (length_a < length_b);
}

struct order {
    const char *text;
    size_t skip;
};

static int compare_names(const void *x, const void *y, void *context)
{
    const struct order *order = context;
    const char *a = order->text + *(const uint32_t *)x + order->skip;
    const char *b = order->text + *(const uint32_t *)y + order->skip;
    int by_class = compare_bytes(a, strcspn(a, "/"), b, strcspn(b, "/"));
    if (by_class) return by_class;
    const char *slash_a = strrchr(a, '/'), *slash_b = strrchr(b, '/');
    int by_folder = compare_bytes(a, slash_a ? (size_t)(slash_a - a) : 0, b,
                                  slash_b ? (size_t)(slash_b - b) : 0);
    return by_folder ? by_folder : strcmp(a, b);
}

void vt_names_sort(vt_names *names, size_t skip)
{
    struct order order = {.text = names->text, .skip = skip};
    if (names->count > 1)
        qsort_r(names->start, (size_t)names->count, sizeof *names->start, compare_names, &order);
}

int64_t vt_names_find(const vt_names *names, const char *name, size_t length)
{
    int64_t low = 0, high = names->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        const char *at = vt_names_at(names, middle);
        int order = compare_bytes(name, length, at, strlen(at));
        if (order == 0) return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

void vt_names_free(vt_names *names)
{
    free(names->text);
    free(names->start);
    *names = (vt_names){0};
}
