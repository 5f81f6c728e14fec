/* What the processor and its operating system can run. x86 is asked by our own CPUID and XGETBV, since not every
 * compiler's run-time library answers (Zig's says no to all); of Arm the system is asked. */
#ifndef SOVITS_PROCESSOR_H
#define SOVITS_PROCESSOR_H

#include "kernels.h"

/* Whether kernels of an instruction set can run here. AMX is asked of Linux and Windows for the process by this. */
int processor_has(enum isa isa);

#endif
