/* Heap allocation with failure injection, and arenas on top of it. */
#include "base/arena.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Atomic int64_t allocations_until_failure = -1;

void vt_alloc_fail_after(int64_t successes)
{
    atomic_store(&allocations_until_failure, successes);
}

static bool allocation_should_fail(void)
{
    int64_t left = atomic_load(&allocations_until_failure);
    if (left < 0) return false;
    return atomic_fetch_sub(&allocations_until_failure, 1) == 0;
}

enum { HUGE_PAGE = 2 << 20 };

/* Large blocks lie on huge pages where the system has them: what streams through memory then waits
 * less often for addresses to be translated. */
static void *allocate(size_t bytes)
{
    if (bytes < 2 * (size_t)HUGE_PAGE) return aligned_alloc(64, bytes);
    void *pointer; /* aligned_alloc would need a size that is a multiple of the alignment */
    if (posix_memalign(&pointer, HUGE_PAGE, bytes) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(pointer, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* or goes without */
#endif
    return pointer;
}

void *vt_alloc(size_t count, size_t size)
{
    size_t bytes, rounded;
    if (!vt_mul_ok(&bytes, count, size) || !vt_add_ok(&rounded, bytes, 64) ||
        rounded > PTRDIFF_MAX) {
        vt_error(VT_ENOMEM, "%zu elements of %zu bytes are more than can be addressed", count,
                 size);
        return NULL;
    }
    rounded &= ~(size_t)63; /* at least one byte more than asked: zero bytes work too */
    void *pointer = allocation_should_fail() ? NULL : allocate(rounded);
    if (!pointer) {
        vt_error(VT_ENOMEM, "out of memory: %zu bytes could not be allocated", bytes);
        return NULL;
    }
    memset(pointer, 0, rounded);
    return pointer;
}

void *vt_grow(void *pointer, size_t old_count, size_t new_count, size_t size)
{
    void *grown = vt_alloc(new_count, size);
    if (!grown) return NULL;
    size_t kept = old_count < new_count ? old_count : new_count;
    if (pointer && kept) memcpy(grown, pointer, kept * size);
    free(pointer);
    return grown;
}

char *vt_strdup(const char *text)
{
    if (!text) return NULL;
    size_t bytes = strlen(text) + 1;
    char *copy = vt_alloc(bytes, 1);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

struct vt_arena {
    void **blocks;
    size_t count, capacity;
};

vt_status vt_arena_new(vt_arena **out)
{
    vt_arena *arena = vt_alloc(1, sizeof *arena);
    if (!arena) return VT_ENOMEM;
    *out = arena;
    return VT_OK;
}

void vt_arena_free(vt_arena *arena)
{
    if (!arena) return;
    for (size_t i = 0; i < arena->count; i++)
        free(arena->blocks[i]);
    free(arena->blocks);
    free(arena);
}

vt_status vt_arena_alloc(vt_arena *arena, void *out_pointer, size_t bytes, const char *what)
{
    if (arena->count == arena->capacity) {
        size_t capacity = arena->capacity ? 2 * arena->capacity : 16;
        void **blocks = vt_grow(arena->blocks, arena->count, capacity, sizeof *blocks);
        if (!blocks) return vt_error_context(VT_ENOMEM, "%s", what);
        arena->blocks = blocks;
        arena->capacity = capacity;
    }
    void *block = vt_alloc(bytes, 1);
    if (!block) return vt_error_context(VT_ENOMEM, "%s", what);
    arena->blocks[arena->count++] = block;
    memcpy(out_pointer, &block, sizeof block);
    return VT_OK;
}

char *vt_arena_strdup(vt_arena *arena, const char *text)
{
    char *copy = NULL;
    if (!text) return NULL;
    size_t bytes = strlen(text) + 1;
    if (vt_arena_alloc(arena, &copy, bytes, "text") != VT_OK) return NULL;
    memcpy(copy, text, bytes);
    return copy;
}
