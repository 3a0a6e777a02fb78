/* float16 (IEEE 754 binary16) and bfloat16 to and from float; round to nearest even. */
#ifndef VT_BASE_HALF_H
#define VT_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float vt_float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t vt_bits_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float vt_float_from_bfloat16(uint16_t half)
{
    return vt_float_from_bits((uint32_t)half << 16);
}

static inline uint16_t vt_bfloat16_from_float(float value)
{
    uint32_t bits = vt_bits_from_float(value), quiet_nan = bits >> 16 | 0x40u;
    uint32_t nearest = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet_nan : nearest);
}

static inline float vt_float_from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 0x1fu, mantissa = half & 0x3ffu;
    if (exponent == 31) return vt_float_from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent == 0) { /* zero or subnormal: mantissa times 2^-24 */
        float value = (float)mantissa * 0x1p-24f;
        return sign ? -value : value;
    }
    return vt_float_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t vt_half_from_float(float value)
{
    uint32_t bits = vt_bits_from_float(value), sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);  /* NaN */
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to infinity */
    if (magnitude < 0x38800000u) { /* subnormal: adding 0.5 rounds at 2^-24 in hardware */
        uint32_t rounded = vt_bits_from_float(vt_float_from_bits(magnitude) + 0.5f);
        return (uint16_t)(sign | (rounded - 0x3f000000u));
    }
    uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
}

#endif
