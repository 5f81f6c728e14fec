/* Kernels for x86-64 with AVX-512 F, BW, DQ, VL and VNNI. */
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

#include "kernels_portable.h"

#define LOAD_F32 _mm512_loadu_ps
#define LOAD_F16(x) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(x)))

/* Neighboring numbers added, of two vectors. */
ALWAYS __m512 pairs(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}

/* Halves added, of two vectors. */
ALWAYS __m512 halves(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}

/* Eight vectors of two rows each, as `halves` gives them: row r / 4 * 8 + r % 4 and the fourth after it in v[r]. */
ALWAYS __m512 sums_of_16(const __m512 v[8]) {
    __m512 a = pairs(pairs(v[0], v[1]), pairs(v[2], v[3])), b = pairs(pairs(v[4], v[5]), pairs(v[6], v[7]));
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

/* Blocks of attention as kernels_x86.h has them, in the same order of sums, sixteen rows at a time. */
#define ROWS(SUFFIX, TYPE, LOAD)                                                                                 \
    ALWAYS __m512 dot_row##SUFFIX(const float *q, const TYPE *key, int size) {                                   \
        __m512 sum = _mm512_setzero_ps();                                                                        \
        for (int i = 0; i < size; i += 16) sum = _mm512_fmadd_ps(LOAD(key + i), _mm512_loadu_ps(q + i), sum);    \
        return sum;                                                                                              \
    }                                                                                                            \
    ALWAYS void dot_rows##SUFFIX(const float *restrict q, const TYPE *restrict keys, const int rows,             \
                                 const int size, float *restrict score, const TYPE *ahead) {                     \
        __m512 v[8];                                                                                             \
        for (int r = 0; r < 8; r++) {                                                                            \
            fetch_rows(ahead + 2 * r * size, size * (int64_t)sizeof(TYPE));                                      \
            int row = r / 4 * 8 + r % 4, last = rows - 1;                                                        \
            const TYPE *one = keys + (row < last ? row : last) * size;                                           \
            const TYPE *other = keys + (row + 4 < last ? row + 4 : last) * size;                                 \
            v[r] = halves(dot_row##SUFFIX(q, one, size), dot_row##SUFFIX(q, other, size));                       \
        }                                                                                                        \
        _mm512_storeu_ps(score, sums_of_16(v));                                                                  \
    }                                                                                                            \
    ALWAYS void add_rows_of_32##SUFFIX(const float *restrict score, const TYPE *restrict values, const int rows, \
                                       float *restrict sum, const TYPE *ahead) {                                 \
        __m512 a[4];                                                                                             \
        for (int i = 0; i < 4; i++) a[i] = _mm512_loadu_ps(sum + 16 * i);                                        \
        for (int row = 0; row < rows; row += 2, values += 64, ahead += 64) {                                     \
            fetch_rows(ahead, 32 * (int64_t)sizeof(TYPE));                                                       \
            __m512 even = _mm512_set1_ps(score[row]);                                                            \
            for (int i = 0; i < 2; i++) a[i] = _mm512_fmadd_ps(LOAD(values + 16 * i), even, a[i]);               \
            if (row + 1 == rows) break;                                                                          \
            __m512 odd = _mm512_set1_ps(score[row + 1]);                                                         \
            for (int i = 2; i < 4; i++) a[i] = _mm512_fmadd_ps(LOAD(values + 16 * i), odd, a[i]);                \
        }                                                                                                        \
        for (int i = 0; i < 4; i++) _mm512_storeu_ps(sum + 16 * i, a[i]);                                        \
    }

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
