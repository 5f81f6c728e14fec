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
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#endif

enum { XMM_YMM = 6, ZMM = 0xe6, TILES = 3 << 17 };            /* of XCR0 */
enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };         /* arch_prctl(2), ARCH_REQ_XCOMP_PERM */
enum { FMA = 1 << 12, OSXSAVE = 1 << 27, F16C = 1 << 29 };    /* leaf 1, ecx */
enum { AVX2 = 1 << 5, AVX512F = 1 << 16, AVX512DQ = 1 << 17 }; /* leaf 7, ebx */
enum { AVX512BW = 1 << 30, AVX512_VNNI = 1 << 11 };           /* ebx, ecx */
#define AVX512VL (1u << 31)
enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25 }; /* edx */
enum { AVX_VNNI = 1 << 4, AVX512_BF16 = 1 << 5 };                    /* leaf 7, subleaf 1, eax */

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Linux and Windows both want to be asked before a process uses tiles. */
static int tiles_are_ours(void) {
#if defined(__linux__)
    return !syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA);
#elif defined(_WIN32)
    typedef BOOL(WINAPI enable)(DWORD64); /* since Windows 11 and Server 2022 */
    HMODULE kernel = GetModuleHandleA("kernel32.dll");
    enable *ask = kernel ? (enable *)(void *)GetProcAddress(kernel, "EnableProcessOptionalXStateFeatures") : NULL;
    return ask && ask((DWORD64)1 << TILE_DATA);
#else
    return 0;
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
    uint32_t more = 0; /* of subleaf 1 */
    if (a) __get_cpuid_count(7, 1, &more, &unused, &unused, &unused);
    if (isa == ISA_AVX_VNNI) return all(more, AVX_VNNI);
    if ((state & ZMM) != ZMM || !all(b, AVX512F | AVX512DQ | AVX512BW | AVX512VL) || !all(c, AVX512_VNNI)) return 0;
    if (isa == ISA_AVX512) return 1;
    if (!all(more, AVX512_BF16)) return 0;
    if (isa == ISA_AVX512_BF16) return 1;
    return (state & TILES) == TILES && all(d, AMX_TILE | AMX_INT8 | AMX_BF16) && tiles_are_ours();
}

#elif defined(__aarch64__)

/* NEON, FMA and conversions of float16 are part of every AArch64. */
enum { HAS_DOTPROD, HAS_I8MM };

#if defined(__linux__)

#include <sys/auxv.h>

enum { CAPABILITIES = 16, CAPABILITIES_2 = 26 }; /* AT_HWCAP, AT_HWCAP2 */
enum { ASIMDDP = 1 << 20, I8MM = 1 << 13 };

static int has(int feature) {
    return feature == HAS_DOTPROD ? (getauxval(CAPABILITIES) & ASIMDDP) != 0 : (getauxval(CAPABILITIES_2) & I8MM) != 0;
}

#elif defined(__APPLE__)

#include <stddef.h>
#include <sys/sysctl.h>

static int has(int feature) {
    int value = 0;
    size_t size = sizeof value;
    const char *name = feature == HAS_DOTPROD ? "hw.optional.arm.FEAT_DotProd" : "hw.optional.arm.FEAT_I8MM";
    return !sysctlbyname(name, &value, &size, NULL, 0) && value;
}

#elif defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

enum { DOTPROD_PRESENT = 43, I8MM_PRESENT = 66 }; /* PF_ARM_V82_..._INSTRUCTIONS_AVAILABLE */

static int has(int feature) {
    return IsProcessorFeaturePresent(feature == HAS_DOTPROD ? DOTPROD_PRESENT : I8MM_PRESENT) != 0;
}

#else

static int has(int feature) {
    (void)feature;
    return 0;
}

#endif

int processor_has(enum isa isa) {
    if (isa == ISA_GENERIC || isa == ISA_NEON) return 1;
    if (isa == ISA_DOTPROD) return has(HAS_DOTPROD);
    return isa == ISA_I8MM && has(HAS_DOTPROD) && has(HAS_I8MM);
}

#else

int processor_has(enum isa isa) { return isa == ISA_GENERIC; }

#endif
