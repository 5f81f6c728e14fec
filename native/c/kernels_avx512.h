/* Vectors of 512 bits; a panel of 64 outputs is four. Included by kernels_avx512*.c after they have named their target and
 * defined store_bf16. */
#ifndef SOVITS_KERNELS_AVX512_H
#define SOVITS_KERNELS_AVX512_H

enum { WIDTH = 16, PART = 4, TILE = 6 };
typedef __m512 vec_f32;
typedef __m512i vec_i32;
#define load_f32 _mm512_loadu_ps
#define load_f16(w) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w)))
#define set_f32 _mm512_set1_ps
#define fma_f32 _mm512_fmadd_ps
#define store_f32 _mm512_storeu_ps
#define zero_f32 _mm512_setzero_ps
#define load_i8 _mm512_loadu_si512
#define set_i8 _mm512_set1_epi32
#define dot_i8 _mm512_dpbusd_epi32
#define store_i32 _mm512_storeu_si512
#define zero_i32 _mm512_setzero_si512

#include "kernels_tiles.h"

#define add_f32 _mm512_add_ps
#define sub_f32 _mm512_sub_ps
#define mul_f32 _mm512_mul_ps
#define max_f32 _mm512_max_ps
typedef __m512i vec_pairs;
#define load_pairs _mm512_loadu_si512
#define low_half(v) _mm512_castsi512_ps(_mm512_slli_epi32(v, 16))
#define high_half(v) _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32((int)0xffff0000)))
#define ROWS_OF_4 6
#define ROWS_OF_2 12
#define ROWS_OF_1 24

static inline __m512i set_pairs(const uint16_t *x) {
    int32_t pair;
    memcpy(&pair, x, 4);
    return _mm512_set1_epi32(pair);
}

#include "kernels_convolve.h"

#define load_i32 _mm512_loadu_si512
#define f32_from_i32 _mm512_cvtepi32_ps
#define bits_of _mm512_castps_si512
#define max_i32 _mm512_max_epi32
#define max_u32 _mm512_max_epu32
#define highest_i32 _mm512_reduce_max_epi32
#define highest_u32(v) ((int32_t)_mm512_reduce_max_epu32(v))
#define store_bytes(y, v) _mm_storeu_si128((__m128i *)(y), _mm512_cvtepi32_epi8(v))
#define ROWS_OF_2_I8 6
#define ROWS_OF_1_I8 12

#include "kernels_convolve_i8.h"

#endif
