/* Kernels for x86-64 with AVX-512 BF16, which multiplies pairs of bfloat16, and with AMX: the processors that have the
 * latter have both. */
#include "kernels.h"

#if defined(__x86_64__) && defined(SOVITS_VNNI_AND_AMX)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")
#endif

#include "kernels_x86.h"

#define dot_pairs(sum, a, b) _mm512_dpbf16_ps(sum, (__m512bh)(a), (__m512bh)(b))

/* The nearest; numbers below the least normal one become 0. */
static inline void store_bf16(uint16_t *y, __m512 v) {
    __m256bh half = _mm512_cvtneps_pbh(v);
    memcpy(y, &half, sizeof half);
}

#include "kernels_avx512.h"

const struct kernels kernels_avx512_bf16 = KERNELS("AVX-512 BF16", panel_i8, quantize, NULL);

const struct kernels kernels_amx = KERNELS("AMX", panel_i8_amx, quantize, convolve_bf16_amx);

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
