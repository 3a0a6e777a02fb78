/* Functions marked VECTORIZED are compiled for plain x86-64 and for AVX2; the loader chooses.
 * Without fused multiply-add, and with sums in an order that the source fixes, results are the
 * same. */
#ifndef VT_BACKEND_VECTORIZED_H
#define VT_BACKEND_VECTORIZED_H

/* Clang before 18 gives such functions a name that callers in other files do not find. */
#if defined(__x86_64__) && defined(__gnu_linux__) && (!defined(__clang__) || __clang_major__ >= 18)
#define VECTORIZED __attribute__((target_clones("avx2", "default")))
#else
#define VECTORIZED
#endif

/* For what such functions share: a call would leave their instruction set. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

#endif
