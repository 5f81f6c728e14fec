/* Kernels for AArch64 with dot products of int8 (FEAT_DotProd): most processors since 2018. */
#include "kernels.h"

#if defined(__aarch64__)

#if defined(__clang__)
#include <arm_neon.h>
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#include "kernels_arm.h"

#define dot_i8(sum, codes, weights) vdotq_s32(sum, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(codes))

#include "kernels_tiles.h"

#define SIGNED_CODES
#include "kernels_convolve_i8.h"

const struct kernels kernels_dotprod = KERNELS("dot product", panel_i8, quantize_signed, NULL);

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
