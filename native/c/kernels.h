/* The inner loops of a step, once for each instruction set. */
#ifndef SOVITS_KERNELS_H
#define SOVITS_KERNELS_H

#include <stdint.h>

/* Of each architecture, the better the later. */
enum isa {
    ISA_GENERIC,
    ISA_AVX2,
    ISA_AVX_VNNI,
    ISA_AVX512,
    ISA_AVX512_BF16,
    ISA_AMX,
    ISA_NEON,
    ISA_DOTPROD,
    ISA_I8MM,
    ISA_COUNT
};

struct products {
    int64_t panel, stride, segment;
    int32_t panels, segments, k;
};

/* Rows of int8 that convolutions read: a code is CODES_ZERO and so many scales of the row, up to 255. Most rows come from
 * a leaky ReLU, which leaves little below zero. Weights: of each segment what sums begin with, so that CODES_ZERO counts
 * nothing, then [k / 4][16 outputs][4]; after all segments the scales. */
enum { CODES_ZERO = 32, CODES_HEAD = 16, CODES_VECTOR = 64 };
#define CODES_SEGMENT(k) (CODES_VECTOR + 16 * (k))

/* (sum + bias + residual + total) * scale, written as it is and after a leaky ReLU of a slope up to 1, in float32 or
 * bfloat16. All but the bias [width] may be NULL, and lie `stride` numbers apart from row to row. */
struct finish {
    const float *bias, *residual, *total;
    float *raw, *active;
    uint16_t *active_bf16;
    int64_t stride;
    float scale, slope;
};

struct kernels {
    const char *name;

    /* y [rows][64] of a panel, float32 or float16 weights [k][64], for x [rows][k], `stride` numbers from row to row.
     * Each output is summed in the order of k, whatever the number of rows. */
    void (*panel_f32)(const float *weight, const float *x, int64_t stride, int k, int rows, float *y);
    void (*panel_f16)(const uint16_t *weight, const float *x, int64_t stride, int k, int rows, float *y);

    /* y [rows][64] of an int8 panel [groups][64][4]: exact sums of products of codes and weights. */
    void (*panel_i8)(const int8_t *weight, const uint8_t *x, int64_t stride, int groups, int rows, int32_t *y);

    /* Up to HEADS_TOGETHER heads: y = softmax(q K^T / sqrt(size)) V, q and y [heads][size], over `rows` keys and values
     * of each, `stride` numbers from head to head; score has room for ATTENTION_FLOATS. `next`: keys that are read next,
     * as many, or NULL. */
    void (*attend)(const float *q, const float *keys, const float *values, int64_t stride, int heads, int rows, int size,
                   float *score, float *y, const float *next);

    /* The same over keys and values in float16, and how they become it: the nearest. */
    void (*attend_f16)(const float *q, const uint16_t *keys, const uint16_t *values, int64_t stride, int heads, int rows,
                       int size, float *score, float *y, const uint16_t *next);
    void (*nearest_f16)(const float *x, int n, uint16_t *y);

    /* score = exp(scale * score - its maximum); returns the sum. Writes up to the next multiple of SCORE_BLOCK. */
    float (*scaled_exp)(float *score, int rows, float scale);

    /* Codes of a row as ONNX's DynamicQuantizeLinear gives them: the range, 0 included, in 255 steps. Where panel_i8
     * multiplies signed numbers, codes and zero are less by 128: what is left of their difference is the same. */
    void (*quantize)(const float *x, int k, uint8_t *codes, float *scale, int32_t *zero);

    /* y = what the sums of a panel, of one row, stand for: of codes with this scale and zero, and of `count` outputs with
     * sums, scales and biases (or NULL) of their own. */
    void (*numbers_of_sums)(const int32_t *total, int count, float code_scale, int32_t code_zero, const int32_t *sum,
                            const float *scale, const float *bias, float *y);

    /* x = norm(x + y) */
    void (*add_and_norm)(float *x, const float *y, int width, const float *weight, const float *bias, float epsilon);

    /* y [rows][16 * panels]: sums of `segments` times k products, x's rows `stride` numbers apart and its segments
     * `segment`; weights [panels][segments * k][16], `panel` numbers from panel to panel, bfloat16
     * [panels][segments * k / 2][16][2]. The sum of an output is the same, bit for bit, whatever the number of rows. */
    void (*products_f32)(const struct products *p, const float *weight, const float *x, int rows, float *y);
    void (*products_bf16)(const struct products *p, const uint16_t *weight, const uint16_t *x, int rows, float *y);

    /* The same sums of rows of int8: exact in a segment, then float32, in one order on every processor; `panel`, `stride`
     * and `segment` are bytes. */
    void (*products_i8)(const struct products *p, const int8_t *weight, const uint8_t *x, int rows, float *y);

    /* `finish` to rows of int8, `step` bytes apart. What is activated is left in place of the sums. */
    void (*finish_i8)(const struct finish *f, float *sums, int width, int rows, uint8_t *codes, int64_t step);

    /* Products and `finish` in one, or NULL. Reads up to 63 rows more. */
    void (*convolve_bf16)(const struct products *p, const struct finish *f, const uint16_t *weight, const uint16_t *x,
                          int64_t rows);

    /* Sums [rows][width] to where they go. */
    void (*finish)(const struct finish *f, const float *sums, int width, int rows);

    /* Fast convolution, four outputs of four taps by seven products, for rows `step` numbers apart: the seven inputs of
     * x, each [lanes], to y, `point` numbers from one to the next; and seven sums [width] to the four outputs. */
    void (*transform)(const float *x, int64_t step, int lanes, float *y, int64_t point);
    void (*untransform)(const float *sums, int64_t point, int width, float *y);

    /* float16 of n numbers; 0 where float16 cannot hold one of them exactly. */
    int (*f16_from_f32)(const float *x, int n, uint16_t *y);
};

/* The loops of one file, which all files call the same. */
#define KERNELS(NAME, PANEL_I8, QUANTIZE, CONVOLVE_BF16) \
    {                                          \
        .name = NAME,                          \
        .panel_f32 = panel_f32,                \
        .panel_f16 = panel_f16,                \
        .panel_i8 = PANEL_I8,                  \
        .attend = attend,                      \
        .attend_f16 = attend_f16,              \
        .nearest_f16 = nearest_f16,            \
        .scaled_exp = scaled_exp,              \
        .quantize = QUANTIZE,                  \
        .numbers_of_sums = numbers_of_sums,    \
        .add_and_norm = add_and_norm,          \
        .f16_from_f32 = f16_row_from_f32,      \
        .products_f32 = products_f32,          \
        .products_bf16 = products_bf16,        \
        .products_i8 = products_i8,            \
        .finish_i8 = finish_i8,                \
        .convolve_bf16 = CONVOLVE_BF16,        \
        .finish = finish,                      \
        .transform = transform,                \
        .untransform = untransform,            \
    }

enum { SCORE_BLOCK = 16, HEADS_TOGETHER = 4 };
#define ATTENTION_FLOATS(rows, size) (HEADS_TOGETHER * (((rows) + SCORE_BLOCK - 1) / SCORE_BLOCK * SCORE_BLOCK + 2 * (size)))
enum { TILE_ROWS = 16 }; /* most rows of a panel's call */

extern const struct kernels kernels_generic;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2, kernels_avx512;
#if defined(__clang__) || __GNUC__ >= 11 /* older compilers do not know these instructions */
#define SOVITS_VNNI_AND_AMX
extern const struct kernels kernels_avx_vnni, kernels_avx512_bf16, kernels_amx;
#endif
#elif defined(__aarch64__)
extern const struct kernels kernels_neon, kernels_dotprod, kernels_i8mm;
#endif

/* Int8 panels by AVX-512 VNNI, and by AMX, which leaves to the former what is too small for it. */
void panel_i8_avx512(const int8_t *weight, const uint8_t *x, int64_t stride, int groups, int rows, int32_t *y);
void panel_i8_amx(const int8_t *weight, const uint8_t *x, int64_t stride, int groups, int rows, int32_t *y);

void convolve_bf16_amx(const struct products *p, const struct finish *f, const uint16_t *weight, const uint16_t *x,
                       int64_t rows);

/* The fastest kernels for this processor, chosen once. */
const struct kernels *kernels_in_use(void);

#endif
