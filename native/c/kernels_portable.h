/* Kernels in plain C that every instruction set has. Each kernels_*.c includes them after it has named its target, so
 * that the compiler vectorizes them for it. Sums run in 16 lanes, whose order is the same on every processor. */
#ifndef SOVITS_KERNELS_PORTABLE_H
#define SOVITS_KERNELS_PORTABLE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "half.h"
#include "kernels.h"

enum { LANES = 16 };

#define ALWAYS static inline __attribute__((always_inline))

/* exp to 1e-7, for numbers up to 0; what is no number stays none. Source: range reduction by ln 2 in two parts, a Taylor series, as Cephes does. */
static inline float exp_of(float x) {
    x = x < -87.0f ? -87.0f : x;
    float n = nearbyintf(x * 1.44269504f);
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    float exponent = n > -126.0f ? n : -126.0f; /* bounds for NaN and infinity alone, which no int32 holds */
    exponent = exponent < 127.0f ? exponent : 127.0f;
    int32_t bits = ((int32_t)exponent + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return p * power;
}

static inline float scaled_exp(float *restrict score, int rows, float scale) {
    float largest[LANES], lane[LANES] = {0}, maximum = -INFINITY, sum = 0;
    int padded = (rows + SCORE_BLOCK - 1) / SCORE_BLOCK * SCORE_BLOCK;
    for (int i = rows; i < padded; i++) score[i] = -INFINITY;
    for (int j = 0; j < LANES; j++) largest[j] = -INFINITY;
    for (int i = 0; i < padded; i += LANES)
        for (int j = 0; j < LANES; j++) {
            score[i + j] *= scale;
            largest[j] = score[i + j] > largest[j] ? score[i + j] : largest[j];
        }
    for (int j = 0; j < LANES; j++) maximum = largest[j] > maximum ? largest[j] : maximum;
    for (int i = 0; i < padded; i += LANES)
        for (int j = 0; j < LANES; j++) {
            score[i + j] = exp_of(score[i + j] - maximum);
            lane[j] += score[i + j];
        }
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

static void quantize(const float *restrict x, int k, uint8_t *restrict codes, float *scale, int32_t *zero) {
    float low[LANES] = {0}, high[LANES] = {0}, minimum = 0, maximum = 0;
    int i = 0;
    for (; i + LANES - 1 < k; i += LANES)
        for (int j = 0; j < LANES; j++) {
            low[j] = x[i + j] < low[j] ? x[i + j] : low[j];
            high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
        }
    for (; i < k; i++) {
        minimum = x[i] < minimum ? x[i] : minimum;
        maximum = x[i] > maximum ? x[i] : maximum;
    }
    for (int j = 0; j < LANES; j++) {
        minimum = low[j] < minimum ? low[j] : minimum;
        maximum = high[j] > maximum ? high[j] : maximum;
    }
    float step = maximum > minimum ? (maximum - minimum) / 255 : 1, zero_point = nearbyintf(-minimum / step);
    /* Within 0 to 255 as it is, but for infinite numbers and those that are none. */
    zero_point = zero_point > 0 ? zero_point : 0;
    zero_point = zero_point < 255 ? zero_point : 255;
    for (i = 0; i < k; i++) {
        float code = nearbyintf(x[i] / step) + zero_point;
        code = code > 0 ? code : 0;
        codes[i] = (uint8_t)(int32_t)(code < 255 ? code : 255);
    }
    *scale = step;
    *zero = (int32_t)zero_point;
}

static void numbers_of_sums(const int32_t *restrict total, int count, float code_scale, int32_t code_zero,
                            const int32_t *restrict sum, const float *restrict scale, const float *restrict bias,
                            float *restrict y) {
    for (int i = 0; i < count; i++) y[i] = (float)(total[i] - code_zero * sum[i]) * (code_scale * scale[i]);
    for (int i = 0; bias && i < count; i++) y[i] += bias[i];
}

static void add_and_norm(float *restrict x, const float *restrict y, int width, const float *restrict weight,
                         const float *restrict bias, float epsilon) {
    float lane[LANES] = {0}, mean = 0, variance = 0;
    for (int i = 0; i < width; i++) x[i] += y[i];
    int whole = width / LANES * LANES;
    for (int i = 0; i < whole; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j];
    for (int j = 0; j < LANES; j++) mean += lane[j];
    for (int i = whole; i < width; i++) mean += x[i];
    mean /= (float)width;
    for (int j = 0; j < LANES; j++) lane[j] = 0;
    for (int i = 0; i < whole; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (x[i + j] - mean) * (x[i + j] - mean);
    for (int j = 0; j < LANES; j++) variance += lane[j];
    for (int i = whole; i < width; i++) variance += (x[i] - mean) * (x[i] - mean);
    float scale = 1 / sqrtf(variance / (float)width + epsilon);
    for (int i = 0; i < width; i++) x[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

static inline float same(float x) { return x; }

/* Blocks of attention for a head of whatever size, of up to SCORE_BLOCK rows; NUMBER of a key or value is a float:
 *   dot_any   score[row] = q . key
 *   add_any   sum += score[row] * value; sum [2][size]: of even rows, and of odd ones */
#define ANY_BLOCKS(SUFFIX, TYPE, NUMBER)                                                                         \
    static inline void dot_any##SUFFIX(const float *restrict q, const TYPE *restrict keys, int rows, int size,   \
                                       float *restrict score, const TYPE *ahead) {                               \
        (void)ahead;                                                                                             \
        for (int row = 0; row < rows; row++) {                                                                   \
            float sum = 0;                                                                                       \
            for (int i = 0; i < size; i++) sum += q[i] * NUMBER(keys[row * size + i]);                           \
            score[row] = sum;                                                                                    \
        }                                                                                                        \
    }                                                                                                            \
    static inline void add_any##SUFFIX(const float *restrict score, const TYPE *restrict values, int rows,       \
                                       int size, float *restrict sum, const TYPE *ahead) {                       \
        (void)ahead;                                                                                             \
        for (int row = 0; row < rows; row++)                                                                     \
            for (int i = 0; i < size; i++) sum[row % 2 * size + i] += score[row] * NUMBER(values[row * size + i]); \
    }

ANY_BLOCKS(, float, same)
ANY_BLOCKS(_f16, uint16_t, f32_from_f16)

/* Two rows of keys or values that are read soon. */
ALWAYS void fetch_rows(const void *rows, int64_t bytes) {
    for (int64_t i = 0; i < 2 * bytes; i += 64) __builtin_prefetch((const char *)rows + i);
}

/* Blocks by `dot_rows` and `add_rows_of_32` of an instruction set, which the compiler unrolls for whole blocks of heads
 * of 32. Scores of other sizes that are multiples of STEP are summed in the same order. */
#define BLOCKS_BY_ROWS(SUFFIX, TYPE, STEP)                                                                       \
    static inline void dot_block##SUFFIX(const float *restrict q, const TYPE *restrict keys, int rows, int size, \
                                         float *restrict score, const TYPE *ahead) {                             \
        if (size == 32 && rows == SCORE_BLOCK)                                                                   \
            dot_rows##SUFFIX(q, keys, SCORE_BLOCK, 32, score, ahead);                                            \
        else if (size % STEP == 0)                                                                               \
            dot_rows##SUFFIX(q, keys, rows, size, score, ahead);                                                 \
        else                                                                                                     \
            dot_any##SUFFIX(q, keys, rows, size, score, ahead);                                                  \
    }                                                                                                            \
    static inline void add_block##SUFFIX(const float *restrict score, const TYPE *restrict values, int rows,     \
                                         int size, float *restrict sum, const TYPE *ahead) {                     \
        if (size != 32)                                                                                          \
            add_any##SUFFIX(score, values, rows, size, sum, ahead);                                              \
        else if (rows == SCORE_BLOCK)                                                                            \
            add_rows_of_32##SUFFIX(score, values, SCORE_BLOCK, sum, ahead);                                      \
        else                                                                                                     \
            add_rows_of_32##SUFFIX(score, values, rows, sum, ahead);                                             \
    }

/* Up to HEADS_TOGETHER heads, which take turns block by block: several streams are read from memory faster than one. While a block is used,
 * the head's next one is on its way; after the last keys the first values, after the last values the keys of `next`.
 * DOT and ADD are what ANY_BLOCKS describes; DOT may write a whole block. Sums of values lie behind the scores. */
#define ATTEND(SUFFIX, TYPE, DOT, ADD)                                                                           \
    static void attend##SUFFIX(const float *restrict q, const TYPE *restrict keys, const TYPE *restrict values,  \
                               int64_t stride, int heads, int rows, int size, float *restrict score,             \
                               float *restrict y, const TYPE *next) {                                            \
        int padded = (rows + SCORE_BLOCK - 1) / SCORE_BLOCK * SCORE_BLOCK;                                       \
        int64_t block = SCORE_BLOCK * (int64_t)size;                                                             \
        float *sums = score + (int64_t)heads * padded, total[HEADS_TOGETHER];                                    \
        for (int row = 0; row < padded; row += SCORE_BLOCK)                                                      \
            for (int head = 0; head < heads; head++) {                                                           \
                const TYPE *key = keys + head * stride + (int64_t)row * size;                                    \
                int last = row + SCORE_BLOCK >= rows;                                                            \
                DOT(q + head * size, key, last ? rows - row : SCORE_BLOCK, size, score + head * padded + row,    \
                    last ? values + head * stride : key + block);                                                \
            }                                                                                                    \
        for (int head = 0; head < heads; head++)                                                                 \
            total[head] = scaled_exp(score + head * padded, rows, 1 / sqrtf((float)size));                       \
        memset(sums, 0, (size_t)heads * 2 * (size_t)size * sizeof *sums);                                        \
        for (int row = 0; row < padded; row += SCORE_BLOCK)                                                      \
            for (int head = 0; head < heads; head++) {                                                           \
                const TYPE *value = values + head * stride + (int64_t)row * size;                                \
                int last = row + SCORE_BLOCK >= rows;                                                            \
                ADD(score + head * padded + row, value, last ? rows - row : SCORE_BLOCK, size,                   \
                    sums + 2 * head * size, !last ? value + block : next ? next + head * stride : value);        \
            }                                                                                                    \
        for (int head = 0; head < heads; head++)                                                                 \
            for (int i = 0; i < size; i++)                                                                       \
                y[head * size + i] = (sums[2 * head * size + i] + sums[(2 * head + 1) * size + i]) / total[head]; \
    }

#endif
