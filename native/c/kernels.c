/* Dispatch: which kernels run on this processor. */
#include "kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "gpt_step.h"

static const struct kernels *const kernels_of[] = {
    [ISA_GENERIC] = &kernels_generic,
#if defined(__x86_64__)
    [ISA_AVX2] = &kernels_avx2,
    [ISA_AVX512] = &kernels_avx512,
#endif
};

static enum isa processor_isa(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    /* F16C is older than AVX2. */
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return ISA_GENERIC;
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return ISA_AVX512;
    return ISA_AVX2;
#else
    return ISA_GENERIC;
#endif
}

/* For tests: the environment names kernels that a better processor is to run. */
static enum isa limited_isa(enum isa isa) {
    const char *limit = getenv("SOVITS_NATIVE_KERNELS");
    for (enum isa lower = ISA_GENERIC; limit && lower < isa; lower++)
        if (!strcmp(limit, kernels_of[lower]->name)) return lower;
    return isa;
}

const struct kernels *kernels_in_use(void) {
    static const struct kernels *_Atomic chosen;
    if (!chosen) chosen = kernels_of[limited_isa(processor_isa())];
    return chosen;
}

const char *sovits_kernels(void) { return kernels_in_use()->name; }
