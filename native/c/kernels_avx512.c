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

void panel_i8_avx512(const int8_t *weight, const uint8_t *x, int64_t stride, int groups, int rows, int32_t *y) {
    panel_i8(weight, x, stride, groups, rows, y);
}

const struct kernels kernels_avx512 = KERNELS("AVX-512 VNNI", panel_i8, quantize);

#if defined(SOVITS_VNNI_AND_AMX)

const struct kernels kernels_amx = KERNELS("AMX", panel_i8_amx, quantize);

#endif

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
