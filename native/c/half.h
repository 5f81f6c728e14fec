/* IEEE float16 in plain C, one number at a time. */
#ifndef SOVITS_HALF_H
#define SOVITS_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float f32_from_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff;
    float value;
    if (rest >= 0x7c00) { /* infinite, or no number */
        uint32_t bits = sign | 0x7f800000 | (rest & 0x3ff) << 13;
        memcpy(&value, &bits, 4);
        return value;
    }
    /* As an exponent too small by 112, which the product puts right, for subnormal numbers too. */
    uint32_t bits = rest << 13;
    memcpy(&value, &bits, 4);
    value *= 0x1p112f;
    return sign ? -value : value;
}

/* The float16 that equals a value, or -1 where none does. */
static inline int32_t f16_from_f32(float value) {
    uint32_t bits;
    float scaled = fabsf(value) * 0x1p-112f;
    memcpy(&bits, &scaled, 4);
    int32_t half = (int32_t)(bits >> 13) | (signbit(value) ? 0x8000 : 0);
    return fabsf(value) < 65536 && f32_from_f16((uint16_t)half) == value ? half : -1;
}

/* The nearest float16, of two the even one; infinite beyond the largest. */
static inline uint16_t f16_nearest(float value) {
    uint32_t bits;
    float scaled = fabsf(value) * 0x1p-112f;
    memcpy(&bits, &scaled, 4);
    bits = (bits + 0xfff + (bits >> 13 & 1)) >> 13;
    if (!(fabsf(value) < 65520)) bits = value == value ? 0x7c00 : 0x7e00;
    return (uint16_t)(bits | (signbit(value) ? 0x8000 : 0));
}

#endif
