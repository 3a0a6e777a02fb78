/* Checksums of 64 bits, for finding damage and change, not for keeping out malice. */
#ifndef VT_BASE_HASH_H
#define VT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH64 (Collet, "xxHash fast digest algorithm", version 0.1.1): the same on all machines. */
uint64_t vt_hash64(const void *data, size_t size, uint64_t seed);

#endif
