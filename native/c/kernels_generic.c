/* Kernels for any processor: right, left to the compiler to vectorize. */
#include "half.h"
#include "kernels.h"
#include "kernels_portable.h"

static void row_f32(const float *w, const float *x, int k, float *y) {
    float sum[64] = {0};
    for (int i = 0; i < k; i++, w += 64)
        for (int j = 0; j < 64; j++) sum[j] += w[j] * x[i];
    memcpy(y, sum, sizeof sum);
}

static void row_f16(const uint16_t *w, const float *x, int k, float *y) {
    float sum[64] = {0};
    for (int i = 0; i < k; i++, w += 64)
        for (int j = 0; j < 64; j++) sum[j] += f32_from_f16(w[j]) * x[i];
    memcpy(y, sum, sizeof sum);
}

static void row_i8(const int8_t *w, const uint8_t *x, int groups, int32_t *y) {
    memset(y, 0, 64 * sizeof *y);
    for (int i = 0; i < groups; i++, w += 256)
        for (int j = 0; j < 64; j++)
            for (int l = 0; l < 4; l++) y[j] += w[4 * j + l] * x[4 * i + l];
}

/* Row by row: a panel stays in the cache from one to the next. */
static void panel_f32(const float *w, const float *x, int64_t stride, int k, int rows, float *y) {
    for (int row = 0; row < rows; row++) row_f32(w, x + row * stride, k, y + 64 * row);
}

static void panel_f16(const uint16_t *w, const float *x, int64_t stride, int k, int rows, float *y) {
    for (int row = 0; row < rows; row++) row_f16(w, x + row * stride, k, y + 64 * row);
}

static void panel_i8(const int8_t *w, const uint8_t *x, int64_t stride, int groups, int rows, int32_t *y) {
    for (int row = 0; row < rows; row++) row_i8(w, x + row * stride, groups, y + 64 * row);
}

#define ATTEND(SUFFIX, TYPE)                                                                                     \
    static void attend##SUFFIX(const float *restrict q, const TYPE *restrict keys, const TYPE *restrict values,  \
                               int rows, int size, float *restrict score, float *restrict y, const TYPE *next) { \
        (void)next;                                                                                              \
        dot_rows##SUFFIX(q, keys, 0, rows, size, score);                                                         \
        float sum = scaled_exp(score, rows, 1 / sqrtf((float)size));                                             \
        for (int i = 0; i < size; i++) y[i] = 0;                                                                 \
        add_weighted_rows##SUFFIX(score, values, 0, rows, size, y);                                              \
        for (int i = 0; i < size; i++) y[i] /= sum;                                                              \
    }

ATTEND(, float)
ATTEND(_f16, uint16_t)

static int f16_row_from_f32(const float *x, int n, uint16_t *y) {
    for (int i = 0; i < n; i++) {
        int32_t half = f16_from_f32(x[i]);
        if (half < 0) return 0;
        y[i] = (uint16_t)half;
    }
    return 1;
}

static void nearest_f16(const float *x, int n, uint16_t *y) {
    for (int i = 0; i < n; i++) y[i] = f16_nearest(x[i]);
}

const struct kernels kernels_generic = KERNELS("generic", panel_i8, quantize);
