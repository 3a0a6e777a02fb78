/* Placing buffers by their lifetimes. */
#include "graph/memory.h"

#include <stdlib.h>

#include "base/arena.h"

static int by_falling_size(const void *a, const void *b)
{
    const vt_buffer *x = *(vt_buffer *const *)a, *y = *(vt_buffer *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x > y) - (x < y); /* a total order: the same plan every time */
}

static size_t end_of(const vt_buffer *buffer)
{
    return buffer->offset + ((buffer->bytes + 63) & ~(size_t)63);
}

/* The lowest offset where `buffer` meets none of the placed ones alive with it. */
static size_t lowest_offset(const vt_buffer *buffer, vt_buffer *const *placed, int count)
{
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < count; i++) {
            const vt_buffer *other = placed[i];
            bool together = other->first <= buffer->last && buffer->first <= other->last;
            if (together && other->offset < offset + buffer->bytes && offset < end_of(other)) {
                offset = end_of(other);
                moved = true;
            }
        }
    }
    return offset;
}

vt_status vt_memory_place(vt_buffer *buffers, int count, size_t *out_bytes)
{
    vt_buffer **order = vt_alloc((size_t)count, sizeof *order);
    if (!order) return VT_ENOMEM;
    for (int i = 0; i < count; i++)
        order[i] = &buffers[i];
    qsort(order, (size_t)count, sizeof *order, by_falling_size);
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        order[i]->offset = lowest_offset(order[i], order, i);
        if (end_of(order[i]) > bytes) bytes = end_of(order[i]);
    }
    free(order);
    *out_bytes = bytes;
    return VT_OK;
}
