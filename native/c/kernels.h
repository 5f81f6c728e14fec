/* The inner loops of a step, once for each instruction set. */
#ifndef SOVITS_KERNELS_H
#define SOVITS_KERNELS_H

#include <stdint.h>

enum isa { ISA_GENERIC, ISA_AVX2, ISA_AVX512 };

struct kernels {
    const char *name;

    /* y[0:64] of a panel, float32 or float16 weights [k][64]. */
    void (*panel_f32)(const float *weight, const float *x, int k, float *y);
    void (*panel_f16)(const uint16_t *weight, const float *x, int k, float *y);

    /* y[0:64] of an int8 panel [groups][64][4]: exact sums of uint8 x int8 products. */
    void (*panel_i8)(const int8_t *weight, const uint8_t *x, int groups, int32_t *y);

    /* One head: y = softmax(q K^T / sqrt(size)) V over keys and values [rows][size]; score has room for the rows,
     * rounded up to SCORE_BLOCK. */
    void (*attend)(const float *q, const float *keys, const float *values, int rows, int size, float *score, float *y);

    /* Codes of a row as ONNX's DynamicQuantizeLinear gives them: the range, 0 included, in 255 steps. */
    void (*quantize)(const float *x, int k, uint8_t *codes, float *scale, int32_t *zero);

    /* x = norm(x + y) */
    void (*add_and_norm)(float *x, const float *y, int width, const float *weight, const float *bias, float epsilon);

    /* float16 of n numbers; 0 where float16 cannot hold one of them exactly. */
    int (*f16_from_f32)(const float *x, int n, uint16_t *y);
};

enum { SCORE_BLOCK = 16 };

extern const struct kernels kernels_generic;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2, kernels_avx512;
#endif

/* The fastest kernels for this processor, chosen once. */
const struct kernels *kernels_in_use(void);

#endif
