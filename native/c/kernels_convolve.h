/* Loops of convolutions. Included by a kernels_*.c that has named its target and defined, for vectors of WIDTH numbers:
 *   vec_f32, load_f32, set_f32, fma_f32, store_f32, zero_f32, and add_f32, sub_f32, mul_f32, max_f32
 *   vec_pairs, load_pairs, set_pairs (one pair everywhere): pairs of bfloat16, and either the float32 that their halves
 *   are, low_half and high_half, or dot_pairs
 *   store_bf16: the nearest bfloat16
 *   ROWS_OF_4, ROWS_OF_2, ROWS_OF_1: rows whose sums of that many panels stay in registers; 0 where none do
 */
#ifndef SOVITS_KERNELS_CONVOLVE_H
#define SOVITS_KERNELS_CONVOLVE_H

#include "bfloat.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { VECTORS = 16 / WIDTH }; /* of a panel */

ALWAYS_INLINE void product_tile_f32(const int rows, const int panels, const struct products *p, const float *w,
                                    const float *x, float *y, int64_t width) {
    vec_f32 sum[rows][panels * VECTORS];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < panels * VECTORS; j++) sum[r][j] = zero_f32();
    for (int32_t s = 0; s < p->segments; s++, x += p->segment)
        for (int32_t i = 0; i < p->k; i++, w += 16) {
            vec_f32 v[panels * VECTORS];
            for (int j = 0; j < panels; j++)
                for (int l = 0; l < VECTORS; l++) v[j * VECTORS + l] = load_f32(w + j * p->panel + l * WIDTH);
            for (int r = 0; r < rows; r++) {
                vec_f32 one = set_f32(x[r * p->stride + i]);
                for (int j = 0; j < panels * VECTORS; j++) sum[r][j] = fma_f32(v[j], one, sum[r][j]);
            }
        }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < panels * VECTORS; j++) store_f32(y + r * width + j * WIDTH, sum[r][j]);
}

#if !defined(dot_pairs)
ALWAYS_INLINE vec_f32 halves_dot(vec_f32 sum, vec_pairs a, vec_pairs b) {
    return fma_f32(high_half(a), high_half(b), fma_f32(low_half(a), low_half(b), sum));
}
#define dot_pairs halves_dot
#endif

ALWAYS_INLINE void product_tile_bf16(const int rows, const int panels, const struct products *p, const uint16_t *w,
                                     const uint16_t *x, float *y, int64_t width) {
    vec_f32 sum[rows][panels * VECTORS];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < panels * VECTORS; j++) sum[r][j] = zero_f32();
    for (int32_t s = 0; s < p->segments; s++, x += p->segment)
        for (int32_t i = 0; i < p->k; i += 2, w += 32) {
            vec_pairs v[panels * VECTORS];
            for (int j = 0; j < panels; j++)
                for (int l = 0; l < VECTORS; l++) v[j * VECTORS + l] = load_pairs(w + j * p->panel + 2 * l * WIDTH);
            for (int r = 0; r < rows; r++) {
                vec_pairs one = set_pairs(x + r * p->stride + i);
                for (int j = 0; j < panels * VECTORS; j++) sum[r][j] = dot_pairs(sum[r][j], v[j], one);
            }
        }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < panels * VECTORS; j++) store_f32(y + r * width + j * WIDTH, sum[r][j]);
}

/* Panels as many at a time as there are registers for. The last tile of rows begins earlier, if it would not be whole;
 * fewer rows than a tile are computed one by one: each sum has its order. */
#define PRODUCT_ROWS(TYPE, ROWS, PANELS)                                                                         \
    if (ROWS > 0 && p->panels - panel >= PANELS) {                                                               \
        const int whole = ROWS > 0 ? ROWS : 1; /* a tile of no rows is never compiled */                         \
        for (int row = 0; rows >= whole && row < rows; row += whole) {                                           \
            int at = row + whole <= rows ? row : rows - whole;                                                   \
            product_tile_##TYPE(whole, PANELS, p, w, x + at * p->stride, to + at * width, width);                \
        }                                                                                                        \
        for (int row = 0; rows < whole && row < rows; row++)                                                     \
            product_tile_##TYPE(1, PANELS, p, w, x + row * p->stride, to + row * width, width);                  \
        panel += PANELS;                                                                                         \
        continue;                                                                                                \
    }

#define PRODUCTS(TYPE, NUMBER)                                                                                   \
    static void products_##TYPE(const struct products *p, const NUMBER *weight, const NUMBER *x, int rows,       \
                                float *y) {                                                                      \
        int64_t width = 16 * p->panels;                                                                          \
        for (int panel = 0; panel < p->panels;) {                                                                \
            const NUMBER *w = weight + panel * p->panel;                                                         \
            float *to = y + 16 * panel;                                                                          \
            PRODUCT_ROWS(TYPE, ROWS_OF_4, 4)                                                                     \
            PRODUCT_ROWS(TYPE, ROWS_OF_2, 2)                                                                     \
            PRODUCT_ROWS(TYPE, ROWS_OF_1, 1)                                                                     \
        }                                                                                                        \
    }

PRODUCTS(f32, float)
PRODUCTS(bf16, uint16_t)

static void finish(const struct finish *f, const float *sums, int width, int rows) {
    vec_f32 scale = set_f32(f->scale), slope = set_f32(f->slope);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < width; i += WIDTH) {
            int64_t at = r * f->stride + i;
            vec_f32 v = add_f32(load_f32(sums + (int64_t)r * width + i), load_f32(f->bias + i));
            if (f->residual) v = add_f32(v, load_f32(f->residual + at));
            if (f->total) v = mul_f32(add_f32(v, load_f32(f->total + at)), scale);
            if (f->raw) store_f32(f->raw + at, v);
            v = max_f32(v, mul_f32(v, slope));
            if (f->active) store_f32(f->active + at, v);
            if (f->active_bf16) store_bf16(f->active_bf16 + at, v);
        }
}

/* Points 0, 1, -1, 2, -2, 1/2 and infinity. Of the polynomial with those zeros, each point's input is the product of all
 * factors but its own with the seven inputs; the factor of 1/2 comes first, as `u`. */
static void transform(const float *x, int64_t step, int lanes, float *y, int64_t point) {
    vec_f32 half = set_f32(-0.5f), two = set_f32(2), four = set_f32(4), five = set_f32(-5), minus = set_f32(-1);
    for (int i = 0; i < lanes; i += WIDTH) {
        vec_f32 d[7], u[6];
        for (int j = 0; j < 7; j++) d[j] = load_f32(x + j * step + i);
        for (int j = 0; j < 6; j++) u[j] = fma_f32(d[j], half, d[j + 1]);
        vec_f32 u1 = fma_f32(minus, mul_f32(four, u[1]), u[3]), u2 = fma_f32(minus, mul_f32(four, u[2]), u[4]);
        vec_f32 t1 = sub_f32(u[3], u[1]), t2 = sub_f32(u[4], u[2]);
        float *to = y + i;
        store_f32(to, fma_f32(five, u[2], fma_f32(four, u[0], u[4])));
        store_f32(to + point, add_f32(u2, u1));
        store_f32(to + 2 * point, sub_f32(u2, u1));
        store_f32(to + 3 * point, fma_f32(two, t1, t2));
        store_f32(to + 4 * point, fma_f32(minus, mul_f32(two, t1), t2));
        store_f32(to + 5 * point, fma_f32(five, d[3], fma_f32(four, d[1], d[5])));
        store_f32(to + 6 * point, fma_f32(five, u[3], fma_f32(four, u[1], u[5])));
    }
}

/* Output i: the points' sums, each times its point to the power of i; infinity counts in the last. */
static void untransform(const float *sums, int64_t point, int width, float *y) {
    vec_f32 half = set_f32(0.5f), two = set_f32(2), four = set_f32(4), eight = set_f32(8);
    for (int i = 0; i < width; i += WIDTH) {
        vec_f32 m[7];
        for (int j = 0; j < 7; j++) m[j] = load_f32(sums + j * point + i);
        vec_f32 s1 = add_f32(m[1], m[2]), d1 = sub_f32(m[1], m[2]), s2 = add_f32(m[3], m[4]), d2 = sub_f32(m[3], m[4]);
        vec_f32 h1 = mul_f32(m[5], half), h2 = mul_f32(h1, half), h3 = mul_f32(h2, half);
        store_f32(y + i, add_f32(add_f32(m[0], m[5]), add_f32(s1, s2)));
        store_f32(y + width + i, add_f32(fma_f32(two, d2, d1), h1));
        store_f32(y + 2 * width + i, add_f32(fma_f32(four, s2, s1), h2));
        store_f32(y + 3 * width + i, add_f32(fma_f32(eight, d2, d1), add_f32(h3, m[6])));
    }
}

#endif
