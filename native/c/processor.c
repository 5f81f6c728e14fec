#if defined(__linux__)
#define _GNU_SOURCE /* for syscall */
#endif
#include "processor.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <stdint.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { XMM_YMM = 6, ZMM = 0xe6, TILES = 3 << 17 };            /* of XCR0 */
enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };         /* arch_prctl(2), ARCH_REQ_XCOMP_PERM */
enum { FMA = 1 << 12, OSXSAVE = 1 << 27, F16C = 1 << 29 };    /* leaf 1, ecx */
enum { AVX2 = 1 << 5, AVX512F = 1 << 16, AVX512DQ = 1 << 17 }; /* leaf 7, ebx */
enum { AVX512BW = 1 << 30, AVX512_VNNI = 1 << 11 };           /* ebx, ecx */
#define AVX512VL (1u << 31)
enum { AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25 }; /* edx */
enum { AVX_VNNI = 1 << 4 };                      /* leaf 7, subleaf 1, eax */

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int tiles_are_ours(void) {
#if defined(__linux__)
    return !syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA);
#else
    return 1;
#endif
}

static int all(uint32_t bits, uint32_t wanted) { return (bits & wanted) == wanted; }

int processor_has(enum isa isa) {
    uint32_t a, b, c, d, basic, unused;
    if (isa == ISA_GENERIC) return 1;
    if (!__get_cpuid(1, &a, &b, &basic, &d) || !all(basic, FMA | OSXSAVE | F16C)) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !all(b, AVX2)) return 0;
    uint64_t state = enabled_state();
    if ((state & XMM_YMM) != XMM_YMM) return 0;
    if (isa == ISA_AVX2) return 1;
    if (isa == ISA_AVX_VNNI) {
        if (!a || !__get_cpuid_count(7, 1, &a, &b, &c, &unused)) return 0;
        return all(a, AVX_VNNI);
    }
    if ((state & ZMM) != ZMM || !all(b, AVX512F | AVX512DQ | AVX512BW | AVX512VL) || !all(c, AVX512_VNNI)) return 0;
    if (isa == ISA_AVX512) return 1;
    return (state & TILES) == TILES && all(d, AMX_TILE | AMX_INT8) && tiles_are_ours();
}

#else

int processor_has(enum isa isa) { return isa == ISA_GENERIC; }

#endif
