/* bfloat16 in plain C: the upper half of a float32. */
#ifndef SOVITS_BFLOAT_H
#define SOVITS_BFLOAT_H

#include <stdint.h>
#include <string.h>

static inline float f32_from_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* The nearest, of two the even one; what is no number stays none. */
static inline uint16_t bf16_nearest(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (value != value) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
