/* Kernels for every AArch64: vectors of 128 bits, without products of int8 that are added in 32 bits. */
#include "kernels.h"

#if defined(__aarch64__)

#include "kernels_arm.h"

/* In 16 bits: no weight is -128, so that a sum of two products fits. */
static inline vec_i32 dot_signed(vec_i32 sum, vec_i32 codes, vec_i32 weights) {
    int8x16_t x = vreinterpretq_s8_s32(codes), w = vreinterpretq_s8_s32(weights);
    int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
}
#define dot_i8 dot_signed

#include "kernels_tiles.h"

#define SIGNED_CODES
#include "kernels_convolve_i8.h"

const struct kernels kernels_neon = KERNELS("NEON", panel_i8, quantize_signed, NULL);

#endif
