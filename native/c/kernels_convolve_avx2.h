/* Loops of convolutions with vectors of 256 bits. Included after kernels_tiles.h. */
#ifndef SOVITS_KERNELS_CONVOLVE_AVX2_H
#define SOVITS_KERNELS_CONVOLVE_AVX2_H

#define add_f32 _mm256_add_ps
#define sub_f32 _mm256_sub_ps
#define mul_f32 _mm256_mul_ps
#define max_f32 _mm256_max_ps
typedef __m256i vec_pairs;
#define load_pairs(w) _mm256_loadu_si256((const __m256i *)(w))
#define low_half(v) _mm256_castsi256_ps(_mm256_slli_epi32(v, 16))
#define high_half(v) _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000)))
#define ROWS_OF_2 3
#define ROWS_OF_1 6

#define load_i32(x) _mm256_loadu_si256((const __m256i *)(x))
#define f32_from_i32 _mm256_cvtepi32_ps
#define bits_of _mm256_castps_si256
#define max_i32 _mm256_max_epi32
#define max_u32 _mm256_max_epu32
#define ROWS_OF_2_I8 3
#define ROWS_OF_1_I8 6

static inline __m256i set_pairs(const uint16_t *x) {
    int32_t pair;
    memcpy(&pair, x, 4);
    return _mm256_set1_epi32(pair);
}

/* What is no number stays none; its sign may be another. */
static inline void store_bf16(uint16_t *y, __m256 v) {
    __m256i bits = _mm256_castps_si256(v), even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    bits = _mm256_add_epi32(bits, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff)));
    __m256i none = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    bits = _mm256_srli_epi32(_mm256_blendv_epi8(bits, _mm256_set1_epi32(0x7fc00000), none), 16);
    bits = _mm256_permute4x64_epi64(_mm256_packus_epi32(bits, bits), 0x08);
    _mm_storeu_si128((__m128i *)y, _mm256_castsi256_si128(bits));
}

static inline void store_bytes(uint8_t *y, __m256i v) {
    v = _mm256_shuffle_epi8(v, _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12,
                                                -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    __m128i bytes = _mm_unpacklo_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64((__m128i *)y, bytes);
}

#include "kernels_convolve.h"

#endif
