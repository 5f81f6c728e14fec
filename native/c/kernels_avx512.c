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

static void panel_f32(const float *w, const float *x, int k, float *y) {
    __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a;
    for (int i = 0; i < k; i++, w += 64) {
        __m512 v = _mm512_set1_ps(x[i]);
        a = _mm512_fmadd_ps(_mm512_loadu_ps(w), v, a);
        b = _mm512_fmadd_ps(_mm512_loadu_ps(w + 16), v, b);
        c = _mm512_fmadd_ps(_mm512_loadu_ps(w + 32), v, c);
        d = _mm512_fmadd_ps(_mm512_loadu_ps(w + 48), v, d);
    }
    _mm512_storeu_ps(y, a), _mm512_storeu_ps(y + 16, b), _mm512_storeu_ps(y + 32, c), _mm512_storeu_ps(y + 48, d);
}

static void panel_f16(const uint16_t *w, const float *x, int k, float *y) {
    __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a;
    for (int i = 0; i < k; i++, w += 64) {
        __m512 v = _mm512_set1_ps(x[i]);
        a = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)w)), v, a);
        b = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w + 16))), v, b);
        c = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w + 32))), v, c);
        d = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w + 48))), v, d);
    }
    _mm512_storeu_ps(y, a), _mm512_storeu_ps(y + 16, b), _mm512_storeu_ps(y + 32, c), _mm512_storeu_ps(y + 48, d);
}

static void panel_i8(const int8_t *w, const uint8_t *x, int groups, int32_t *y) {
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (int i = 0; i < groups; i++, w += 256) {
        int32_t four;
        memcpy(&four, x + 4 * i, 4);
        __m512i v = _mm512_set1_epi32(four);
        a = _mm512_dpbusd_epi32(a, v, _mm512_loadu_si512(w));
        b = _mm512_dpbusd_epi32(b, v, _mm512_loadu_si512(w + 64));
        c = _mm512_dpbusd_epi32(c, v, _mm512_loadu_si512(w + 128));
        d = _mm512_dpbusd_epi32(d, v, _mm512_loadu_si512(w + 192));
    }
    _mm512_storeu_si512(y, a), _mm512_storeu_si512(y + 16, b);
    _mm512_storeu_si512(y + 32, c), _mm512_storeu_si512(y + 48, d);
}

const struct kernels kernels_avx512 = {
    .name = "AVX-512 VNNI",
    .panel_f32 = panel_f32,
    .panel_f16 = panel_f16,
    .panel_i8 = panel_i8,
    .attend = attend,
    .quantize = quantize,
    .add_and_norm = add_and_norm,
    .f16_from_f32 = f16_row_from_f32,
};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
