/* Kernels for x86-64 with AVX-512 F, BW, DQ, VL and VNNI. A panel of 64 outputs is four vectors. */
#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif

#include "kernels_x86.h"

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
enum { ROWS_OF_4 = 6, ROWS_OF_2 = 12, ROWS_OF_1 = 24 };

static inline __m512i set_pairs(const uint16_t *x) {
    int32_t pair;
    memcpy(&pair, x, 4);
    return _mm512_set1_epi32(pair);
}

/* What is no number stays none; its sign may be another. */
static inline void store_bf16(uint16_t *y, __m512 v) {
    __m512i bits = _mm512_castps_si512(v), even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
    bits = _mm512_mask_mov_epi32(bits, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc00000));
    _mm256_storeu_si256((__m256i *)y, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}

#include "kernels_convolve.h"

void panel_i8_avx512(const int8_t *weight, const uint8_t *x, int64_t stride, int groups, int rows, int32_t *y) {
    panel_i8(weight, x, stride, groups, rows, y);
}

const struct kernels kernels_avx512 = KERNELS("AVX-512 VNNI", panel_i8, quantize, products_bf16);

#if defined(SOVITS_VNNI_AND_AMX)

const struct kernels kernels_amx = KERNELS("AMX", panel_i8_amx, quantize, products_bf16);

#endif

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
