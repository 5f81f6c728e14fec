/* Dispatch: which kernels run on this processor. */
#include "kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "gpt_step.h"
#include "processor.h"

static const struct kernels *const kernels_of[ISA_COUNT] = {
    [ISA_GENERIC] = &kernels_generic,
#if defined(__x86_64__)
    [ISA_AVX2] = &kernels_avx2,
    [ISA_AVX512] = &kernels_avx512,
#if defined(SOVITS_VNNI_AND_AMX)
    [ISA_AVX_VNNI] = &kernels_avx_vnni,
    [ISA_AVX512_BF16] = &kernels_avx512_bf16,
    [ISA_AMX] = &kernels_amx,
#endif
#elif defined(__aarch64__)
    [ISA_NEON] = &kernels_neon,
    [ISA_DOTPROD] = &kernels_dotprod,
    [ISA_I8MM] = &kernels_i8mm,
#endif
};

static int can_run(enum isa isa) { return kernels_of[isa] && processor_has(isa); }

static enum isa chosen_isa(void) {
    /* For tests: the environment names kernels that a better processor is to run. */
    const char *wanted = getenv("SOVITS_NATIVE_KERNELS");
    for (enum isa isa = ISA_GENERIC; wanted && isa < ISA_COUNT; isa++)
        if (kernels_of[isa] && !strcmp(wanted, kernels_of[isa]->name) && can_run(isa)) return isa;
    enum isa best = ISA_COUNT - 1;
    while (!can_run(best)) best--;
    return best;
}

const struct kernels *kernels_in_use(void) {
    static const struct kernels *_Atomic chosen;
    if (!chosen) chosen = kernels_of[chosen_isa()];
    return chosen;
}

const char *sovits_kernels(void) { return kernels_in_use()->name; }
