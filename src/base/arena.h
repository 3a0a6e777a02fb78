/* An arena: many allocations, one free. Memory is zeroed and 64-byte aligned. */
#ifndef VT_BASE_ARENA_H
#define VT_BASE_ARENA_H

#include "ventral/status.h"

typedef struct vt_arena vt_arena;

vt_status vt_arena_new(vt_arena **out);
void vt_arena_free(vt_arena *arena);

/* VT_ENOMEM names `what` in its message. Zero bytes give a valid pointer. */
vt_status vt_arena_alloc(vt_arena *arena, void *out_pointer, size_t bytes, const char *what);
/* Copy of a string; NULL when memory is short or `text` is NULL. */
char *vt_arena_strdup(vt_arena *arena, const char *text);

/* Heap memory, zeroed, 64-byte aligned; NULL with a message when short. Free with free(). Every
 * allocation of the library goes through here so that tests can make the n-th one fail. */
void *vt_alloc(size_t count, size_t size);
/* Grows `pointer` (from vt_alloc or NULL) from old_count to new_count elements, zeroing the tail.
 * On failure returns NULL and leaves `pointer` alone. */
void *vt_grow(void *pointer, size_t old_count, size_t new_count, size_t size);
char *vt_strdup(const char *text);

/* Tests: the allocation after `successes` more fails, once; negative switches it off. */
void vt_alloc_fail_after(int64_t successes);

/* a * b and a + b into *out; false when they overflow. */
static inline bool vt_mul_ok(size_t *out, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool vt_add_ok(size_t *out, size_t a, size_t b)
{
    return !__builtin_add_overflow(a, b, out);
}

#endif
