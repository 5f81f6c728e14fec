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

static inline float same(float x) { return x; }

/* Attention row by row over keys and values of a type, NUMBER of which is a float:
 *   dot_rows            score[row] = q . key of the rows from `row` on
 *   add_weighted_rows   y += score[row] * value of the rows from `row` on */
#define ATTENTION_ROWS(SUFFIX, TYPE, NUMBER)                                                                     \
    static inline void dot_rows##SUFFIX(const float *restrict q, const TYPE *restrict keys, int row, int rows,   \
                                        int size, float *restrict score) {                                       \
        for (; row < rows; row++) {                                                                              \
            const TYPE *key = keys + (int64_t)row * size;                                                        \
            float sum = 0;                                                                                       \
            for (int i = 0; i < size; i++) sum += q[i] * NUMBER(key[i]);                                         \
            score[row] = sum;                                                                                    \
        }                                                                                                        \
    }                                                                                                            \
    static inline void add_weighted_rows##SUFFIX(const float *restrict score, const TYPE *restrict values,       \
                                                 int row, int rows, int size, float *restrict y) {               \
        for (; row < rows; row++) {                                                                              \
            const TYPE *value = values + (int64_t)row * size;                                                    \
            for (int i = 0; i < size; i++) y[i] += score[row] * NUMBER(value[i]);                                \
        }                                                                                                        \
    }

ATTENTION_ROWS(, float, same)
ATTENTION_ROWS(_f16, uint16_t, f32_from_f16)

static inline float scaled_exp(float *restrict score, int rows, float scale) {
    float maximum = -INFINITY, lane[LANES] = {0}, sum = 0;
    for (int i = 0; i < rows; i++) {
        score[i] *= scale;
        maximum = score[i] > maximum ? score[i] : maximum;
    }
    int padded = (rows + SCORE_BLOCK - 1) / SCORE_BLOCK * SCORE_BLOCK;
    for (int i = rows; i < padded; i++) score[i] = -INFINITY;
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

#endif
