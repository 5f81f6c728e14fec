/* Kernels for any processor: right, left to the compiler to vectorize. */
#include "bfloat.h"
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

ATTEND(, float, dot_any, add_any)
ATTEND(_f16, uint16_t, dot_any_f16, add_any_f16)

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

/* Vectors of 128 bits, as the compiler makes them of what the processor has. */
enum { WIDTH = 4 };
#define ROWS_OF_1 3
typedef float vec_f32 __attribute__((vector_size(16)));
typedef uint32_t vec_pairs __attribute__((vector_size(16)));

static inline vec_f32 load_f32(const float *x) {
    vec_f32 v;
    memcpy(&v, x, sizeof v);
    return v;
}

static inline vec_pairs load_pairs(const uint16_t *x) {
    vec_pairs v;
    memcpy(&v, x, sizeof v);
    return v;
}

static inline vec_pairs set_pairs(const uint16_t *x) {
    uint32_t pair;
    memcpy(&pair, x, sizeof pair);
    return (vec_pairs){pair, pair, pair, pair};
}

static inline vec_f32 set_f32(float x) { return (vec_f32){x, x, x, x}; }
static inline void store_f32(float *y, vec_f32 v) { memcpy(y, &v, sizeof v); }

static inline vec_f32 max_f32(vec_f32 a, vec_f32 b) {
    vec_pairs larger = (vec_pairs)(a > b);
    return (vec_f32)(((vec_pairs)a & larger) | ((vec_pairs)b & ~larger));
}

static inline void store_bf16(uint16_t *y, vec_f32 v) {
    for (int i = 0; i < WIDTH; i++) y[i] = bf16_nearest(v[i]);
}

#define zero_f32() set_f32(0)
#define add_f32(a, b) ((a) + (b))
#define sub_f32(a, b) ((a) - (b))
#define mul_f32(a, b) ((a) * (b))
#define fma_f32(a, b, sum) ((sum) + (a) * (b))
#define low_half(v) ((vec_f32)((v) << 16))
#define high_half(v) ((vec_f32)((v) & 0xffff0000u))

#include "kernels_convolve.h"

typedef int32_t vec_i32 __attribute__((vector_size(16)));

static inline vec_i32 load_i32(const int32_t *x) {
    vec_i32 v;
    memcpy(&v, x, sizeof v);
    return v;
}

static inline vec_i32 load_i8(const int8_t *w) {
    vec_i32 v;
    memcpy(&v, w, sizeof v);
    return v;
}

static inline vec_i32 set_i8(int32_t four) { return (vec_i32){four, four, four, four}; }

/* Byte by byte: of a code as it is, of a weight with its sign. */
static inline vec_i32 dot_i8(vec_i32 sum, vec_i32 codes, vec_i32 weights) {
    for (int i = 0; i < 4; i++) {
        sum += (codes & 255) * ((vec_i32)((vec_pairs)weights << 24) >> 24);
        codes >>= 8;
        weights >>= 8;
    }
    return sum;
}

static inline vec_i32 bits_of(vec_f32 v) { return (vec_i32)v; }

static inline vec_i32 max_i32(vec_i32 a, vec_i32 b) {
    vec_i32 larger = a > b;
    return (a & larger) | (b & ~larger);
}

static inline vec_i32 max_u32(vec_i32 a, vec_i32 b) {
    vec_i32 larger = (vec_pairs)a > (vec_pairs)b;
    return (a & larger) | (b & ~larger);
}

static inline void store_bytes(uint8_t *y, vec_i32 v) {
    for (int i = 0; i < WIDTH; i++) y[i] = (uint8_t)v[i];
}

#define f32_from_i32(v) __builtin_convertvector(v, vec_f32)
#define ROWS_OF_2_I8 2
#define ROWS_OF_1_I8 3

#include "kernels_convolve_i8.h"

const struct kernels kernels_generic = KERNELS("generic", panel_i8, quantize, NULL);
