/* Where buffers that live for part of a run lie in one block: buffers whose lives overlap get
 * separate places, others share. */
#ifndef VT_GRAPH_MEMORY_H
#define VT_GRAPH_MEMORY_H

#include "ventral/status.h"

typedef struct vt_buffer {
    size_t bytes;
    int first, last; /* steps, inclusive, during which the content matters */
    size_t offset;   /* result, a multiple of 64 */
} vt_buffer;

/* Greedy by size: the largest first, each at the lowest offset free during its life. Gives the size
 * of the block in *out_bytes. */
vt_status vt_memory_place(vt_buffer *buffers, int count, size_t *out_bytes);

#endif
