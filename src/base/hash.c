/* XXH64: four lanes of 8 bytes, each multiplied, rotated and multiplied, merged and mixed at the
 * end (Collet, "xxHash fast digest algorithm", version 0.1.1). */
#include "base/hash.h"

#include <string.h>

static const uint64_t prime[6] = {0,
                                  0x9E3779B185EBCA87u,
                                  0xC2B2AE3D27D4EB4Fu,
                                  0x165667B19E3779F9u,
                                  0x85EBCA77C2B2AE63u,
                                  0x27D4EB2F165667C5u};

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

/* Numbers are read lowest byte first. */
static uint64_t read64(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static uint64_t read32(const unsigned char *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap32(x);
#endif
    return x;
}

static uint64_t round64(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * prime[2], 31) * prime[1];
}

/* The stripes of 32 bytes; moves *p past them. */
static uint64_t mix_stripes(const unsigned char **p, size_t size, uint64_t seed)
{
    uint64_t lane[4] = {seed + prime[1] + prime[2], seed + prime[2], seed, seed - prime[1]};
    for (size_t i = 0; i < size / 32; i++, *p += 32)
        for (int k = 0; k < 4; k++)
            lane[k] = round64(lane[k], read64(*p + 8 * k));
    uint64_t hash =
        rotate(lane[0], 1) + rotate(lane[1], 7) + rotate(lane[2], 12) + rotate(lane[3], 18);
    for (int k = 0; k < 4; k++)
        hash = (hash ^ round64(0, lane[k])) * prime[1] + prime[4];
    return hash;
}

uint64_t vt_hash64(const void *data, size_t size, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t hash = size >= 32 ? mix_stripes(&p, size, seed) : seed + prime[5];
    size_t left = size % 32;
    hash += size;
    for (; left >= 8; p += 8, left -= 8)
        hash = rotate(hash ^ round64(0, read64(p)), 27) * prime[1] + prime[4];
    if (left >= 4) {
        hash = rotate(hash ^ read32(p) * prime[1], 23) * prime[2] + prime[3];
        p += 4, left -= 4;
    }
    for (; left > 0; p++, left--)
        hash = rotate(hash ^ *p * prime[5], 11) * prime[1];
    hash = (hash ^ hash >> 33) * prime[2];
    hash = (hash ^ hash >> 29) * prime[3];
    return hash ^ hash >> 32;
}
