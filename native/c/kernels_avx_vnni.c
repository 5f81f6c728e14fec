/* Kernels for x86-64 with AVX2 and AVX-VNNI: most client processors since 2021, which have no AVX-512. */
#include "kernels.h"

#if defined(__x86_64__) && defined(SOVITS_VNNI_AND_AMX)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,avxvnni")
#endif

#include "kernels_x86.h"

enum { WIDTH = 8, PART = 4, TILE = 3 };
typedef __m256 vec_f32;
#define load_f32 _mm256_loadu_ps
#define load_f16(w) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(w)))
#define set_f32 _mm256_set1_ps
#define fma_f32 _mm256_fmadd_ps
#define store_f32 _mm256_storeu_ps
#define zero_f32 _mm256_setzero_ps
typedef __m256i vec_i32;
#define load_i8(w) _mm256_loadu_si256((const __m256i *)(w))
#define set_i8 _mm256_set1_epi32
#define dot_i8 _mm256_dpbusd_avx_epi32
#define store_i32(y, v) _mm256_storeu_si256((__m256i *)(y), v)
#define zero_i32 _mm256_setzero_si256

#include "kernels_tiles.h"
#include "kernels_convolve_avx2.h"
#include "kernels_convolve_i8.h"

const struct kernels kernels_avx_vnni = KERNELS("AVX-VNNI", panel_i8, quantize, NULL);

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
