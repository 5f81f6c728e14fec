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

enum { WIDTH = 8, PART = 4, TILE = 3 };
typedef __m256 vec_f32;
#define load_f32 _mm256_loadu_ps
#define load_f16(w) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(w)))
#define set_f32 _mm256_set1_ps
#define fma_f32 _mm256_fmadd_ps
#define store_f32 _mm256_storeu_ps
#define zero_f32 _mm256_setzero_ps

#include "kernels_tiles.h"
#include "kernels_convolve_avx2.h"

enum { I8_TILE = 2 };

/* In 16 bits: pairs added, then in 32: no product saturates. 32 outputs of up to two rows. */
ALWAYS void tile_i8(const int rows, const int8_t *w, const uint8_t *x, int64_t stride, int groups, int32_t *y) {
    __m256i sum[I8_TILE][4];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 4; j++) sum[r][j] = _mm256_setzero_si256();
    for (int i = 0; i < groups; i++, w += 256) {
        __m256i v[I8_TILE];
        fetch(w, 128);
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x + r * stride + 4 * i, 4);
            v[r] = _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
        }
        for (int j = 0; j < 4; j++) {
            __m256i low = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 32 * j)));
            __m256i high = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 32 * j + 16)));
            for (int r = 0; r < rows; r++) {
                __m256i pairs = _mm256_hadd_epi32(_mm256_madd_epi16(v[r], low), _mm256_madd_epi16(v[r], high));
                sum[r][j] = _mm256_add_epi32(sum[r][j], pairs);
            }
        }
    }
    for (int r = 0; r < rows; r++) /* hadd works within halves: outputs 0 1 4 5 | 2 3 6 7 */
        for (int j = 0; j < 4; j++)
            _mm256_storeu_si256((__m256i *)(y + 64 * r + 8 * j), _mm256_permute4x64_epi64(sum[r][j], 0xd8));
}

static void panel_i8(const int8_t *w, const uint8_t *x, int64_t stride, int groups, int rows, int32_t *y) {
    for (int part = 0; part < 64; part += 32)
        for (int row = 0; row < rows; row += I8_TILE) {
            const int8_t *weights = w + 4 * part;
            const uint8_t *codes = x + row * stride;
            int32_t *sums = y + 64 * row + part;
            if (row + 1 < rows)
                tile_i8(2, weights, codes, stride, groups, sums);
            else
                tile_i8(1, weights, codes, stride, groups, sums);
        }
}

/* Even codes and weights, and odd ones, in 16 bits; pairs of products are added in 32. */
static inline __m256i dot_halves(__m256i sum, __m256i codes, __m256i weights) {
    __m256i even = _mm256_madd_epi16(_mm256_and_si256(codes, _mm256_set1_epi16(255)),
                                     _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8));
    __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(codes, 8), _mm256_srai_epi16(weights, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

typedef __m256i vec_i32;
#define load_i8(w) _mm256_loadu_si256((const __m256i *)(w))
#define set_i8 _mm256_set1_epi32
#define dot_i8 dot_halves

#include "kernels_convolve_i8.h"

const struct kernels kernels_avx2 = KERNELS("AVX2", panel_i8, quantize, NULL);

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
