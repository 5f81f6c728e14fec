/* Loops of int8 convolutions. Included after kernels_tiles.h and kernels_convolve.h by a kernels_*.c that has defined
 *   vec_i32, load_i8, set_i8 (four codes), dot_i8, load_i32, f32_from_i32
 *   bits_of (float32 as int32), max_i32, max_u32, store_bytes (the last one of each number)
 *   ROWS_OF_2_I8, ROWS_OF_1_I8: rows whose sums of that many panels stay in registers
 *   SIGNED_CODES where dot_i8 multiplies signed numbers: codes are less by 128
 * Nothing is fused here, so that every processor rounds alike. */
#ifndef SOVITS_KERNELS_CONVOLVE_I8_H
#define SOVITS_KERNELS_CONVOLVE_I8_H

/* What sums begin with, of a panel's vector. */
static inline vec_i32 start_of(const int8_t *w, int vector) {
    int32_t start[WIDTH];
    memcpy(start, w + 4 * WIDTH * vector, sizeof start);
#if defined(SIGNED_CODES)
    for (int i = 0; i < WIDTH; i++) start[i] = start[i] / CODES_ZERO * (CODES_ZERO - 128);
#endif
    return load_i32(start);
}

/* ROWS rows of some panels, as PRODUCT_TILE of kernels_convolve.h; the float sums are only touched after a segment. */
#define CODES_TILE(NAME, ROWS, PANELS)                                                                           \
    static void NAME(const struct products *p, const int8_t *w, const uint8_t *x, float *y, int64_t width) {     \
        enum { ALL = (PANELS) * VECTORS };                                                                       \
        const int64_t stride = p->stride, panel = p->panel;                                                      \
        const int32_t k = p->k;                                                                                  \
        vec_f32 total[ROWS][ALL];                                                                                \
        UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int j = 0; j < ALL; j++) total[r][j] = zero_f32();     \
        for (int32_t s = 0; s < p->segments; s++, x += p->segment) {                                             \
            vec_i32 sum[ROWS][ALL];                                                                              \
            UNROLL for (int j = 0; j < ALL; j++) {                                                               \
                vec_i32 start = start_of(w + j / VECTORS * panel, j % VECTORS);                                  \
                UNROLL for (int r = 0; r < ROWS; r++) sum[r][j] = start;                                         \
            }                                                                                                    \
            w += CODES_VECTOR;                                                                                   \
            for (int32_t i = 0; i < k; i += 4, w += CODES_VECTOR) {                                              \
                if (ALL > ROWS) {                                                                                \
                    vec_i32 four[ROWS];                                                                          \
                    UNROLL for (int r = 0; r < ROWS; r++) four[r] = four_codes(x + CODES_HEAD + r * stride + i); \
                    UNROLL for (int j = 0; j < ALL; j++) {                                                       \
                        vec_i32 v = load_i8(w + j / VECTORS * panel + j % VECTORS * WIDTH * 4);                  \
                        UNROLL for (int r = 0; r < ROWS; r++) sum[r][j] = dot_i8(sum[r][j], four[r], v);         \
                    }                                                                                            \
                    continue;                                                                                    \
                }                                                                                                \
                UNROLL for (int j = 0; j < ALL; j += VECTORS)                                                    \
                    __builtin_prefetch(w + j / VECTORS * panel + CONVOLVE_AHEAD * 4);                            \
                vec_i32 v[ALL];                                                                                  \
                UNROLL for (int j = 0; j < ALL; j++)                                                             \
                    v[j] = load_i8(w + j / VECTORS * panel + j % VECTORS * WIDTH * 4);                           \
                UNROLL for (int r = 0; r < ROWS; r++) {                                                          \
                    vec_i32 four = four_codes(x + CODES_HEAD + r * stride + i);                                  \
                    UNROLL for (int j = 0; j < ALL; j++) sum[r][j] = dot_i8(sum[r][j], four, v[j]);              \
                }                                                                                                \
            }                                                                                                    \
            UNROLL for (int r = 0; r < ROWS; r++) {                                                              \
                vec_f32 scale = set_f32(scale_of(x + r * stride));                                               \
                UNROLL for (int j = 0; j < ALL; j++)                                                             \
                    total[r][j] = add_f32(total[r][j], mul_f32(f32_from_i32(sum[r][j]), scale));                 \
            }                                                                                                    \
        }                                                                                                        \
        UNROLL for (int j = 0; j < ALL; j++) {                                                                   \
            vec_f32 scale = load_f32((const float *)(w + j / VECTORS * panel) + j % VECTORS * WIDTH);            \
            UNROLL for (int r = 0; r < ROWS; r++)                                                                \
                store_f32(y + r * width + j * WIDTH, mul_f32(total[r][j], scale));                               \
        }                                                                                                        \
    }

static inline vec_i32 four_codes(const uint8_t *x) {
    int32_t four;
    memcpy(&four, x, 4);
    return set_i8(four);
}

#if !defined(highest_i32)
/* The largest of a vector; highest_u32 compares as if there were no signs. */
static inline int32_t highest_i32(vec_i32 v) {
    int32_t one[WIDTH], highest;
    memcpy(one, &v, sizeof one);
    highest = one[0];
    for (int i = 1; i < WIDTH; i++) highest = one[i] > highest ? one[i] : highest;
    return highest;
}

static inline int32_t highest_u32(vec_i32 v) {
    uint32_t one[WIDTH], highest;
    memcpy(one, &v, sizeof one);
    highest = one[0];
    for (int i = 1; i < WIDTH; i++) highest = one[i] > highest ? one[i] : highest;
    return (int32_t)highest;
}
#endif

static inline float scale_of(const uint8_t *row) {
    float scale;
    memcpy(&scale, row, 4);
    return scale;
}

CODES_TILE(codes_of_2, ROWS_OF_2_I8, 2)
CODES_TILE(code_of_2, 1, 2)
CODES_TILE(codes_of_1, ROWS_OF_1_I8, 1)
CODES_TILE(code_of_1, 1, 1)

/* As PRODUCT_ROWS of kernels_convolve.h. */
#define CODES_ROWS_OF(PANELS)                                                                                    \
    for (int row = 0; rows >= ROWS_OF_##PANELS##_I8 && row < rows; row += ROWS_OF_##PANELS##_I8) {               \
        int at = row + ROWS_OF_##PANELS##_I8 <= rows ? row : rows - ROWS_OF_##PANELS##_I8;                       \
        codes_of_##PANELS(p, w, x + at * p->stride, to + at * width, width);                                     \
    }                                                                                                            \
    for (int row = 0; rows < ROWS_OF_##PANELS##_I8 && row < rows; row++)                                         \
        code_of_##PANELS(p, w, x + row * p->stride, to + row * width, width);

static void products_i8(const struct products *p, const int8_t *weight, const uint8_t *x, int rows, float *y) {
    int64_t width = 16 * p->panels;
    for (int panel = 0; panel < p->panels; panel += 2) {
        const int8_t *w = weight + panel * p->panel;
        float *to = y + 16 * panel;
        if (p->panels - panel > 1) {
            CODES_ROWS_OF(2)
        } else {
            CODES_ROWS_OF(1)
        }
    }
}

/* Numbers above zero are compared as their bits are, those below too, and what is no number is beyond both: its row has
 * no scale. */
static inline float scale_for(int32_t highest, int32_t lowest) {
    float above, below = 0;
    memcpy(&above, &highest, 4);
    if (lowest < 0) memcpy(&below, &lowest, 4);
    above *= 1.0f / (255 - CODES_ZERO);
    below *= -1.0f / CODES_ZERO;
    float scale = above > below || above != above ? above : below;
    return scale < 0x1p-100f ? 0 : scale;
}

#if defined(SIGNED_CODES)
#define ZERO_OF_CODES (CODES_ZERO - 128)
#else
#define ZERO_OF_CODES CODES_ZERO
#endif

/* A sum with 1.5 * 2^23 has the nearest whole number in its last bits. */
static inline void write_codes(const float *x, int width, float scale, uint8_t *row) {
    vec_f32 steps = set_f32(scale > 0 ? 1 / scale : 0), zero = set_f32(0x1.8p23f + ZERO_OF_CODES);
    memcpy(row, &scale, sizeof scale);
    for (int i = 0; i < width; i += WIDTH)
        store_bytes(row + CODES_HEAD + i, bits_of(add_f32(mul_f32(load_f32(x + i), steps), zero)));
}

static void finish_i8(const struct finish *f, float *sums, int width, int rows, uint8_t *codes, int64_t step) {
    for (int r = 0; r < rows; r++, sums += width, codes += step) {
        vec_i32 high = set_i8(0), low = high;
        for (int i = 0; i < width; i += WIDTH) {
            vec_f32 v = activated(f, load_f32(sums + i), r * f->stride + i, i);
            store_f32(sums + i, v);
            high = max_i32(high, bits_of(v));
            low = max_u32(low, bits_of(v));
        }
        write_codes(sums, width, scale_for(highest_i32(high), highest_u32(low)), codes);
    }
}

#endif
