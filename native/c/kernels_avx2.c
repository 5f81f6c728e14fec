/* Kernels for x86-64 with AVX2, FMA and F16C. A panel of 64 outputs is eight vectors. */
#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#include "kernels_x86.h"

static void panel_f32(const float *w, const float *x, int k, float *y) {
    __m256 a[8];
    for (int j = 0; j < 8; j++) a[j] = _mm256_setzero_ps();
    for (int i = 0; i < k; i++, w += 64) {
        __m256 v = _mm256_set1_ps(x[i]);
        for (int j = 0; j < 8; j++) a[j] = _mm256_fmadd_ps(_mm256_loadu_ps(w + 8 * j), v, a[j]);
    }
    for (int j = 0; j < 8; j++) _mm256_storeu_ps(y + 8 * j, a[j]);
}

static void panel_f16(const uint16_t *w, const float *x, int k, float *y) {
    __m256 a[8];
    for (int j = 0; j < 8; j++) a[j] = _mm256_setzero_ps();
    for (int i = 0; i < k; i++, w += 64) {
        __m256 v = _mm256_set1_ps(x[i]);
        for (int j = 0; j < 8; j++)
            a[j] = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(w + 8 * j))), v, a[j]);
    }
    for (int j = 0; j < 8; j++) _mm256_storeu_ps(y + 8 * j, a[j]);
}

/* In 16 bits: pairs added, then in 32: no product saturates. */
static void panel_i8(const int8_t *w, const uint8_t *x, int groups, int32_t *y) {
    __m256i a[8];
    for (int j = 0; j < 8; j++) a[j] = _mm256_setzero_si256();
    for (int i = 0; i < groups; i++, w += 256) {
        int32_t four;
        memcpy(&four, x + 4 * i, 4);
        __m256i v = _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
        for (int j = 0; j < 8; j++) {
            __m256i low = _mm256_madd_epi16(v, _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 32 * j))));
            __m256i high =
                _mm256_madd_epi16(v, _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 32 * j + 16))));
            a[j] = _mm256_add_epi32(a[j], _mm256_hadd_epi32(low, high));
        }
    }
    for (int j = 0; j < 8; j++) /* hadd works within halves: outputs 0 1 4 5 | 2 3 6 7 */
        _mm256_storeu_si256((__m256i *)(y + 8 * j), _mm256_permute4x64_epi64(a[j], 0xd8));
}

const struct kernels kernels_avx2 = {
    .name = "AVX2",
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
