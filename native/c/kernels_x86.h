/* What all kernels for x86-64 share: attention, by vectors of 256 bits unless ROWS has others, and float16. Included
 * after the target is named. */
#ifndef SOVITS_KERNELS_X86_H
#define SOVITS_KERNELS_X86_H

#include <immintrin.h>

#include "half.h"
#include "kernels_portable.h"

#if !defined(ROWS)

#define LOAD_F32(x) _mm256_loadu_ps(x)
#define LOAD_F16(x) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x)))

/* Blocks of attention over keys and values of a type, of which LOAD gives eight as float32; four rows at a time, the
 * last one again where there are none. A dot product is summed in 16 lanes, then their halves, then neighbors. */
#define ROWS(SUFFIX, TYPE, LOAD)                                                                                 \
    ALWAYS void dot_rows##SUFFIX(const float *restrict q, const TYPE *restrict keys, const int rows,             \
                                 const int size, float *restrict score, const TYPE *ahead) {                     \
        for (int row = 0; row < rows; row += 4) {                                                                \
            __m256 low[4], high[4];                                                                              \
            for (int r = 0; r < 4; r++) {                                                                        \
                if (r % 2 == 0) fetch_rows(ahead + (row + r) * size, size * (int64_t)sizeof(TYPE));              \
                const TYPE *key = keys + (row + r < rows ? row + r : rows - 1) * size;                           \
                low[r] = high[r] = _mm256_setzero_ps();                                                          \
                for (int i = 0; i < size; i += 16) {                                                             \
                    low[r] = _mm256_fmadd_ps(LOAD(key + i), _mm256_loadu_ps(q + i), low[r]);                     \
                    high[r] = _mm256_fmadd_ps(LOAD(key + i + 8), _mm256_loadu_ps(q + i + 8), high[r]);           \
                }                                                                                                \
                low[r] = _mm256_add_ps(low[r], high[r]);                                                         \
            }                                                                                                    \
            __m256 sum = _mm256_hadd_ps(_mm256_hadd_ps(low[0], low[1]), _mm256_hadd_ps(low[2], low[3]));         \
            _mm_storeu_ps(score + row, _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1)));  \
        }                                                                                                        \
    }                                                                                                            \
    ALWAYS void add_rows_of_32##SUFFIX(const float *restrict score, const TYPE *restrict values, const int rows, \
                                       float *restrict sum, const TYPE *ahead) {                                 \
        __m256 a[8];                                                                                             \
        for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_ps(sum + 8 * i);                                         \
        for (int row = 0; row < rows; row += 2, values += 64, ahead += 64) {                                     \
            fetch_rows(ahead, 32 * (int64_t)sizeof(TYPE));                                                       \
            __m256 even = _mm256_set1_ps(score[row]);                                                            \
            for (int i = 0; i < 4; i++) a[i] = _mm256_fmadd_ps(LOAD(values + 8 * i), even, a[i]);                \
            if (row + 1 == rows) break;                                                                          \
            __m256 odd = _mm256_set1_ps(score[row + 1]);                                                         \
            for (int i = 4; i < 8; i++) a[i] = _mm256_fmadd_ps(LOAD(values + 8 * i), odd, a[i]);                 \
        }                                                                                                        \
        for (int i = 0; i < 8; i++) _mm256_storeu_ps(sum + 8 * i, a[i]);                                         \
    }

#endif

ROWS(, float, LOAD_F32)
ROWS(_f16, uint16_t, LOAD_F16)
BLOCKS_BY_ROWS(, float, 16)
BLOCKS_BY_ROWS(_f16, uint16_t, 16)
ATTEND(, float, dot_block, add_block)
ATTEND(_f16, uint16_t, dot_block_f16, add_block_f16)

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
