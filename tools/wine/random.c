/* bcryptprimitives.dll, which the Rust of tokenizers draws from and wine before 8.21 has not. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID bytes, ULONG count); /* RtlGenRandom, of advapi32 */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count) {
    for (SIZE_T done = 0; done < count; done += 0x10000) {
        ULONG part = (ULONG)(count - done < 0x10000 ? count - done : 0x10000);
        if (!SystemFunction036(bytes + done, part)) return FALSE;
    }
    return TRUE;
}
