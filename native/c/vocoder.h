/* The HiFi-GAN generator of GPT-SoVITS on a CPU: latent frames to a waveform, of any length, in memory that does not
 * grow with it. Weights stay where the caller keeps them packed, a mapped file for instance. */
#ifndef SOVITS_VOCODER_H
#define SOVITS_VOCODER_H

#include "gpt_step.h"

/* A 1-D convolution: rate 0 keeps the length; rate >= 1 is a transposed one to `rate` times the length. */
typedef struct {
    /* SOVITS_F32; SOVITS_BF16: weights and what they multiply are rounded to bfloat16, sums are not; SOVITS_I8: likewise
     * to int8, with a scale an output, and one a position of the input, which is found while that is written. */
    int32_t form;
    int32_t inputs, outputs, kernel, dilation, rate;
    const void *weight; /* as sovits_pack_conv gives them */
    const float *bias;  /* [outputs], or NULL */
} sovits_conv;

typedef struct {
    int32_t stages, blocks, pairs, unused; /* blocks a stage, pairs of convolutions a block */
    float slope, last_slope;               /* of the leaky ReLUs, and of the one before `post` */
    sovits_conv pre, condition, post;      /* condition.weight NULL: no style; int8 is none of these but `post` */
    const sovits_conv *up;                 /* [stages] */
    const sovits_conv *convs;              /* [stages][blocks][pairs][2]: the dilated one, the plain one; a stage's
                                            * are of one form */
} sovits_vocoder;

/* Bytes of packed weights, by all fields but `weight` and `bias`; -1 where they fit no convolution. */
SOVITS_API int64_t sovits_conv_bytes(const sovits_conv *conv);

/* Packs weights [outputs][inputs][kernel], those of a transposed one [inputs][outputs][kernel]. The same bytes on every
 * processor. 0; -2 where the sizes fit no convolution. */
SOVITS_API int32_t sovits_pack_conv(const sovits_conv *conv, const float *weight, void *packed);

/* wave [frames * product of rates] of z [inputs][frames] and style [style], which may be NULL without `condition`.
 * The samples do not depend on the number of threads. 0; -1 without memory; -2 where sizes do not fit. */
SOVITS_API int32_t sovits_vocode(sovits_pool *pool, const sovits_vocoder *vocoder, int64_t frames, const float *z,
                                 const float *style, float *wave);

#endif
