/* Loops of convolutions. Included by a kernels_*.c that has named its target and defined, for vectors of WIDTH numbers:
 *   vec_f32, load_f32, set_f32, fma_f32, store_f32, zero_f32, and add_f32, sub_f32, mul_f32, max_f32
 *   vec_pairs, load_pairs, set_pairs (one pair everywhere): pairs of bfloat16, and either the float32 that their halves
 *   are, low_half and high_half, or dot_pairs
 *   store_bf16: the nearest bfloat16
 *   ROWS_OF_4, ROWS_OF_2, ROWS_OF_1: rows whose sums of that many panels stay in registers; undefined where none do
 */
#ifndef SOVITS_KERNELS_CONVOLVE_H
#define SOVITS_KERNELS_CONVOLVE_H

#include "bfloat.h"

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

enum { VECTORS = 16 / WIDTH }; /* of a panel */
enum { CONVOLVE_AHEAD = 40 * 16 }; /* weights come from afar, and each one's last use is soon: they are asked for so far ahead */

#if !defined(dot_pairs)
static inline __attribute__((always_inline)) vec_f32 halves_dot(vec_f32 sum, vec_pairs a, vec_pairs b) {
    return fma_f32(high_half(a), high_half(b), fma_f32(low_half(a), low_half(b), sum));
}
#define dot_pairs halves_dot
#endif

#define set_number(x) set_f32(*(x))
#define fma_number(sum, a, b) fma_f32(a, b, sum)

/* Sums of ROWS rows in registers, for which the compiler unrolls all loops over rows and vectors. Inputs are GROUP
 * numbers at a time, of VECTOR_TYPE. Of rows and vectors, those stay in registers that are fewer. */
#define PRODUCT_TILE(NAME, NUMBER, ROWS, PANELS, GROUP, VECTOR_TYPE, LOAD, SET, DOT)                             \
    static void NAME(const struct products *p, const NUMBER *w, const NUMBER *x, float *y, int64_t width) {      \
        enum { ALL = (PANELS) * VECTORS };                                                                       \
        const int64_t stride = p->stride, panel = p->panel;                                                      \
        const int32_t k = p->k;                                                                                  \
        vec_f32 sum[ROWS][ALL];                                                                                  \
        UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int j = 0; j < ALL; j++) sum[r][j] = zero_f32();       \
        for (int32_t s = 0; s < p->segments; s++, x += p->segment)                                               \
            for (int32_t i = 0; i < k; i += GROUP, w += 16 * GROUP) {                                            \
                if (ALL > ROWS) {                                                                                \
                    VECTOR_TYPE one[ROWS];                                                                       \
                    UNROLL for (int r = 0; r < ROWS; r++) one[r] = SET(x + r * stride + i);                      \
                    UNROLL for (int j = 0; j < ALL; j++) {                                                       \
                        VECTOR_TYPE v = LOAD(w + j / VECTORS * panel + j % VECTORS * WIDTH * GROUP);             \
                        UNROLL for (int r = 0; r < ROWS; r++) sum[r][j] = DOT(sum[r][j], v, one[r]);             \
                    }                                                                                            \
                    continue;                                                                                    \
                }                                                                                                \
                UNROLL for (int j = 0; j < ALL; j += VECTORS) __builtin_prefetch(w + j / VECTORS * panel + CONVOLVE_AHEAD * GROUP);\
                VECTOR_TYPE v[ALL];                                                                              \
                UNROLL for (int j = 0; j < ALL; j++)                                                             \
                    v[j] = LOAD(w + j / VECTORS * panel + j % VECTORS * WIDTH * GROUP);                          \
                UNROLL for (int r = 0; r < ROWS; r++) {                                                          \
                    VECTOR_TYPE one = SET(x + r * stride + i);                                                   \
                    UNROLL for (int j = 0; j < ALL; j++) sum[r][j] = DOT(sum[r][j], v[j], one);                  \
                }                                                                                                \
            }                                                                                                    \
        UNROLL for (int r = 0; r < ROWS; r++)                                                                    \
            UNROLL for (int j = 0; j < ALL; j++) store_f32(y + r * width + j * WIDTH, sum[r][j]);                \
    }

#define TILES(NAME, ROWS, PANELS)                                                                                \
    PRODUCT_TILE(NAME##_f32, float, ROWS, PANELS, 1, vec_f32, load_f32, set_number, fma_number)                  \
    PRODUCT_TILE(NAME##_bf16, uint16_t, ROWS, PANELS, 2, vec_pairs, load_pairs, set_pairs, dot_pairs)

#if defined(ROWS_OF_4)
TILES(rows_of_4, ROWS_OF_4, 4)
TILES(row_of_4, 1, 4)
#endif
#if defined(ROWS_OF_2)
TILES(rows_of_2, ROWS_OF_2, 2)
TILES(row_of_2, 1, 2)
#endif
TILES(rows_of_1, ROWS_OF_1, 1)
TILES(row_of_1, 1, 1)

/* All rows of some panels. The last tile of rows begins earlier, if it would not be whole; fewer rows than a tile are
 * computed one by one: each sum has its order. */
#define PRODUCT_ROWS(TYPE, PANELS)                                                                               \
    if (p->panels - panel >= PANELS) {                                                                           \
        const int whole = ROWS_OF_##PANELS;                                                                      \
        for (int row = 0; rows >= whole && row < rows; row += whole) {                                           \
            int at = row + whole <= rows ? row : rows - whole;                                                   \
            rows_of_##PANELS##_##TYPE(p, w, x + at * p->stride, to + at * width, width);                         \
        }                                                                                                        \
        for (int row = 0; rows < whole && row < rows; row++)                                                     \
            row_of_##PANELS##_##TYPE(p, w, x + row * p->stride, to + row * width, width);                        \
        panel += PANELS;                                                                                         \
        continue;                                                                                                \
    }
#if defined(ROWS_OF_4)
#define FOUR_PANELS(TYPE) PRODUCT_ROWS(TYPE, 4)
#else
#define FOUR_PANELS(TYPE)
#endif
#if defined(ROWS_OF_2)
#define TWO_PANELS(TYPE) PRODUCT_ROWS(TYPE, 2)
#else
#define TWO_PANELS(TYPE)
#endif

#define PRODUCTS(TYPE, NUMBER)                                                                                   \
    static void products_##TYPE(const struct products *p, const NUMBER *weight, const NUMBER *x, int rows,       \
                                float *y) {                                                                      \
        int64_t width = 16 * p->panels;                                                                          \
        for (int panel = 0; panel < p->panels;) {                                                                \
            const NUMBER *w = weight + panel * p->panel;                                                         \
            float *to = y + 16 * panel;                                                                          \
            FOUR_PANELS(TYPE)                                                                                    \
            TWO_PANELS(TYPE)                                                                                     \
            PRODUCT_ROWS(TYPE, 1)                                                                                \
        }                                                                                                        \
    }

PRODUCTS(f32, float)
PRODUCTS(bf16, uint16_t)

/* What a vector of sums becomes: written as it is, and returned activated. `at`: its place in rows, from column i on. */
static inline vec_f32 activated(const struct finish *f, vec_f32 sum, int64_t at, int i) {
    vec_f32 v = add_f32(sum, load_f32(f->bias + i));
    if (f->residual) v = add_f32(v, load_f32(f->residual + at));
    if (f->total) v = mul_f32(add_f32(v, load_f32(f->total + at)), set_f32(f->scale));
    if (f->raw) store_f32(f->raw + at, v);
    return max_f32(v, mul_f32(v, set_f32(f->slope)));
}

static void finish(const struct finish *f, const float *sums, int width, int rows) {
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < width; i += WIDTH) {
            int64_t at = r * f->stride + i;
            vec_f32 v = activated(f, load_f32(sums + (int64_t)r * width + i), at, i);
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
