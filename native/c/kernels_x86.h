/* Kernels with vectors of 256 bits, which AVX2 and AVX-512 both have. Included after the target is named. */
#ifndef SOVITS_KERNELS_X86_H
#define SOVITS_KERNELS_X86_H

#include <immintrin.h>

#include "half.h"
#include "kernels_portable.h"

/* Caches come from far away, in the order keys, values, keys of the next head: while one is read, the next is on its
 * way to the nearer cache. Four rows of `bytes` from `ahead` on; nothing where that is NULL. */
static inline void fetch_four_rows(const void *ahead, int row, int64_t bytes) {
    if (!ahead) return;
    for (int64_t i = 0; i < 4 * bytes; i += 64) _mm_prefetch((const char *)ahead + row * bytes + i, _MM_HINT_T1);
}

#define LOAD_F32(x) _mm256_loadu_ps(x)
#define LOAD_F16(x) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x)))

/* Attention over keys and values of a type, of which LOAD gives eight as float32:
 *   dot_four_rows        scores of four rows at a time; returns how many rows have theirs
 *   weighted_sum_of_32   y = weighted sum of rows of 32, two at a time; returns how many rows are in it */
#define ATTEND(SUFFIX, TYPE, LOAD)                                                                               \
    static inline int dot_four_rows##SUFFIX(const float *restrict q, const TYPE *restrict keys, int rows,        \
                                            int size, float *restrict score, const TYPE *ahead) {                \
        int row = 0;                                                                                             \
        if (size % 8 != 0) return 0;                                                                             \
        for (; row + 3 < rows; row += 4) {                                                                       \
            fetch_four_rows(ahead, row, size * (int64_t)sizeof(TYPE));                                           \
            const TYPE *key = keys + (int64_t)row * size;                                                        \
            __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;                                                 \
            for (int i = 0; i < size; i += 8) {                                                                  \
                __m256 v = _mm256_loadu_ps(q + i);                                                               \
                a = _mm256_fmadd_ps(LOAD(key + i), v, a);                                                        \
                b = _mm256_fmadd_ps(LOAD(key + size + i), v, b);                                                 \
                c = _mm256_fmadd_ps(LOAD(key + 2 * size + i), v, c);                                             \
                d = _mm256_fmadd_ps(LOAD(key + 3 * size + i), v, d);                                             \
            }                                                                                                    \
            a = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d)); /* four halves, then four halves */  \
            _mm_storeu_ps(score + row, _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));      \
        }                                                                                                        \
        return row;                                                                                              \
    }                                                                                                            \
    static inline int weighted_sum_of_32##SUFFIX(const float *restrict score, const TYPE *restrict values,       \
                                                 int rows, float *restrict y, const TYPE *ahead) {               \
        int row = 0;                                                                                             \
        __m256 a[8];                                                                                             \
        for (int i = 0; i < 8; i++) a[i] = _mm256_setzero_ps();                                                  \
        for (; row + 1 < rows; row += 2) {                                                                       \
            const TYPE *value = values + (int64_t)row * 32;                                                      \
            if (row % 4 == 0) fetch_four_rows(ahead, row, 32 * (int64_t)sizeof(TYPE));                           \
            __m256 s = _mm256_set1_ps(score[row]), t = _mm256_set1_ps(score[row + 1]);                           \
            for (int i = 0; i < 4; i++) a[i] = _mm256_fmadd_ps(LOAD(value + 8 * i), s, a[i]);                    \
            for (int i = 4; i < 8; i++) a[i] = _mm256_fmadd_ps(LOAD(value + 8 * i), t, a[i]);                    \
        }                                                                                                        \
        for (int i = 0; i < 4; i++) _mm256_storeu_ps(y + 8 * i, _mm256_add_ps(a[i], a[i + 4]));                  \
        return row;                                                                                              \
    }                                                                                                            \
    static void attend##SUFFIX(const float *restrict q, const TYPE *restrict keys, const TYPE *restrict values,  \
                               int rows, int size, float *restrict score, float *restrict y, const TYPE *next) { \
        int scored = dot_four_rows##SUFFIX(q, keys, rows, size, score, values);                                  \
        dot_rows##SUFFIX(q, keys, scored, rows, size, score);                                                    \
        float sum = scaled_exp(score, rows, 1 / sqrtf((float)size));                                             \
        int row = 0;                                                                                             \
        for (int i = 0; i < size; i++) y[i] = 0;                                                                 \
        if (size == 32) row = weighted_sum_of_32##SUFFIX(score, values, rows, y, next);                          \
        add_weighted_rows##SUFFIX(score, values, row, rows, size, y);                                            \
        for (int i = 0; i < size; i++) y[i] /= sum;                                                              \
    }

ATTEND(, float, LOAD_F32)
ATTEND(_f16, uint16_t, LOAD_F16)

static void nearest_f16(const float *x, int n, uint16_t *y) {
    int i = 0;
    for (; i + 7 < n; i += 8)
        _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) y[i] = f16_nearest(x[i]);
}

static int f16_row_from_f32(const float *x, int n, uint16_t *y) {
    int i = 0;
    for (; i + 7 < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m128i half = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
        if (_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_cvtph_ps(half), _CMP_NEQ_UQ))) return 0;
        _mm_storeu_si128((__m128i *)(y + i), half);
    }
    for (; i < n; i++) {
        int32_t half = f16_from_f32(x[i]);
        if (half < 0) return 0;
        y[i] = (uint16_t)half;
    }
    return 1;
}

#endif
