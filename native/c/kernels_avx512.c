/* Kernels for x86-64 with AVX-512 F, BW, DQ, VL and VNNI.  */
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

/* What is no number stays none; its sign may be another. */
static inline void store_bf16(uint16_t *y, __m512 v) {
    __m512i bits = _mm512_castps_si512(v), even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
    bits = _mm512_mask_mov_epi32(bits, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc00000));
    _mm256_storeu_si256((__m256i *)y, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}

#include "kernels_avx512.h"

void panel_i8_avx512(const int8_t *weight, const uint8_t *x, int64_t stride, int groups, int rows, int32_t *y) {
    panel_i8(weight, x, stride, groups, rows, y);
}

const struct kernels kernels_avx512 = KERNELS("AVX-512 VNNI", panel_i8, quantize, NULL);

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
