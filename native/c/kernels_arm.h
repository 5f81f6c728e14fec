/* What all kernels for AArch64 share: vectors of 128 bits, attention, and float16. Included after the target is named. */
#ifndef SOVITS_KERNELS_ARM_H
#define SOVITS_KERNELS_ARM_H

#include <arm_neon.h>

#include "half.h"
#include "kernels_portable.h"

/* For kernels_tiles.h. A panel of 64 outputs is sixteen vectors; 24 sums leave 8 of 32 registers. */
enum { WIDTH = 4, PART = 8, TILE = 3 };
typedef float32x4_t vec_f32;
typedef int32x4_t vec_i32;
#define load_f32 vld1q_f32
#define load_f16(w) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(w)))
#define set_f32 vdupq_n_f32
#define fma_f32(a, b, sum) vfmaq_f32(sum, a, b)
#define store_f32 vst1q_f32
#define zero_f32() vdupq_n_f32(0)
#define load_i8(w) vreinterpretq_s32_s8(vld1q_s8(w))
#define set_i8 vdupq_n_s32
#define store_i32 vst1q_s32
#define zero_i32() vdupq_n_s32(0)

/* For kernels_convolve.h. */
#define add_f32 vaddq_f32
#define sub_f32 vsubq_f32
#define mul_f32 vmulq_f32
#define max_f32 vmaxq_f32
typedef uint32x4_t vec_pairs;
#define load_pairs(w) vreinterpretq_u32_u16(vld1q_u16(w))
#define low_half(v) vreinterpretq_f32_u32(vshlq_n_u32(v, 16))
#define high_half(v) vreinterpretq_f32_u32(vandq_u32(v, vdupq_n_u32(0xffff0000)))
#define ROWS_OF_2 3
#define ROWS_OF_1 6
#define load_i32 vld1q_s32
#define f32_from_i32 vcvtq_f32_s32
#define bits_of vreinterpretq_s32_f32
#define max_i32 vmaxq_s32
#define max_u32(a, b) vreinterpretq_s32_u32(vmaxq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)))
#define highest_i32 vmaxvq_s32
#define highest_u32(v) ((int32_t)vmaxvq_u32(vreinterpretq_u32_s32(v)))
#define ROWS_OF_2_I8 3
#define ROWS_OF_1_I8 6

static inline uint32x4_t set_pairs(const uint16_t *x) {
    uint32_t pair;
    memcpy(&pair, x, 4);
    return vdupq_n_u32(pair);
}

/* What is no number stays none; its sign may be another. */
static inline void store_bf16(uint16_t *y, float32x4_t v) {
    uint32x4_t bits = vreinterpretq_u32_f32(v), even = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    bits = vaddq_u32(bits, vaddq_u32(even, vdupq_n_u32(0x7fff)));
    bits = vbslq_u32(vceqq_f32(v, v), bits, vdupq_n_u32(0x7fc00000));
    vst1_u16(y, vshrn_n_u32(bits, 16));
}

static inline void store_bytes(uint8_t *y, int32x4_t v) {
    uint16x4_t halves = vmovn_u32(vreinterpretq_u32_s32(v));
    uint32x2_t bytes = vreinterpret_u32_u8(vmovn_u16(vcombine_u16(halves, halves)));
    uint32_t four = vget_lane_u32(bytes, 0);
    memcpy(y, &four, sizeof four);
}

#include "kernels_convolve.h"

/* Codes whose products are those of signed numbers: all, and the zero, less 128. */
static inline void quantize_signed(const float *restrict x, int k, uint8_t *restrict codes, float *scale,
                                   int32_t *zero) {
    quantize(x, k, codes, scale, zero);
    for (int i = 0; i < k; i++) codes[i] ^= 0x80;
    *zero -= 128;
}

/* Blocks of attention over keys and values of a type, of which LOAD gives four as float32; four rows at a time, the
 * last one again where there are none. */
#define ROWS(SUFFIX, TYPE, LOAD)                                                                                 \
    ALWAYS void dot_rows##SUFFIX(const float *restrict q, const TYPE *restrict keys, const int rows,             \
                                 const int size, float *restrict score, const TYPE *ahead) {                     \
        for (int row = 0; row < rows; row += 4) {                                                                \
            const TYPE *key[4];                                                                                  \
            for (int r = 0; r < 4; r += 2) fetch_rows(ahead + (row + r) * size, size * (int64_t)sizeof(TYPE));   \
            for (int r = 0; r < 4; r++) key[r] = keys + (row + r < rows ? row + r : rows - 1) * size;            \
            float32x4_t a = vdupq_n_f32(0), b = a, c = a, d = a;                                                 \
            for (int i = 0; i < size; i += 4) {                                                                  \
                float32x4_t v = vld1q_f32(q + i);                                                                \
                a = vfmaq_f32(a, LOAD(key[0] + i), v);                                                           \
                b = vfmaq_f32(b, LOAD(key[1] + i), v);                                                           \
                c = vfmaq_f32(c, LOAD(key[2] + i), v);                                                           \
                d = vfmaq_f32(d, LOAD(key[3] + i), v);                                                           \
            }                                                                                                    \
            vst1q_f32(score + row, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));                              \
        }                                                                                                        \
    }                                                                                                            \
    ALWAYS void add_rows_of_32##SUFFIX(const float *restrict score, const TYPE *restrict values, const int rows, \
                                       float *restrict sum, const TYPE *ahead) {                                 \
        float32x4_t a[16];                                                                                       \
        for (int i = 0; i < 16; i++) a[i] = vld1q_f32(sum + 4 * i);                                              \
        for (int row = 0; row < rows; row += 2, values += 64, ahead += 64) {                                     \
            fetch_rows(ahead, 32 * (int64_t)sizeof(TYPE));                                                       \
            for (int i = 0; i < 8; i++) a[i] = vfmaq_n_f32(a[i], LOAD(values + 4 * i), score[row]);              \
            if (row + 1 == rows) break;                                                                          \
            for (int i = 8; i < 16; i++) a[i] = vfmaq_n_f32(a[i], LOAD(values + 4 * i), score[row + 1]);         \
        }                                                                                                        \
        for (int i = 0; i < 16; i++) vst1q_f32(sum + 4 * i, a[i]);                                               \
    }

ROWS(, float, load_f32)
ROWS(_f16, uint16_t, load_f16)
BLOCKS_BY_ROWS(, float, 4)
BLOCKS_BY_ROWS(_f16, uint16_t, 4)
ATTEND(, float, dot_block, add_block)
ATTEND(_f16, uint16_t, dot_block_f16, add_block_f16)

static void nearest_f16(const float *x, int n, uint16_t *y) {
    int i = 0;
    for (; i + 3 < n; i += 4) vst1_u16(y + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    for (; i < n; i++) y[i] = f16_nearest(x[i]);
}

static int f16_row_from_f32(const float *x, int n, uint16_t *y) {
    int i = 0;
    for (; i + 3 < n; i += 4) {
        float32x4_t v = vld1q_f32(x + i);
        float16x4_t half = vcvt_f16_f32(v);
        if (vminvq_u32(vceqq_f32(v, vcvt_f32_f16(half))) == 0) return 0;
        vst1_u16(y + i, vreinterpret_u16_f16(half));
    }
    for (; i < n; i++) {
        int32_t half = f16_from_f32(x[i]);
        if (half < 0) return 0;
        y[i] = (uint16_t)half;
    }
    return 1;
}

#endif
