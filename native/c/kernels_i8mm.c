/* Kernels for AArch64 with products of uint8 and int8 (FEAT_I8MM): processors of about 2020 and later. */
#include "kernels.h"

#if defined(__aarch64__)

#if defined(__clang__)
#include <arm_neon.h>
#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod+i8mm")
#endif

#include "kernels_arm.h"

#define dot_i8(sum, codes, weights) vusdotq_s32(sum, vreinterpretq_u8_s32(codes), vreinterpretq_s8_s32(weights))

#include "kernels_tiles.h"

#include "kernels_convolve_i8.h"

const struct kernels kernels_i8mm = KERNELS("I8MM", panel_i8, quantize, NULL);

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
