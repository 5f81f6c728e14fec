"""Only for tests under wine, on a processor with AMX: asks Linux for the tiles.

ONNX Runtime for Windows uses them as soon as the processor offers them; Linux wants to be asked by arch_prctl(2)
(ARCH_REQ_XCOMP_PERM, 18), which no Windows function does. The code below is that system call; where there are no tiles
it fails without harm.
"""

import ctypes
import sys

CODE = bytes.fromhex(
    "5756"  # push rdi; push rsi, which Windows' functions keep
    "b89e000000"  # mov eax, 158
    "bf23100000"  # mov edi, 0x1023
    "be12000000"  # mov esi, 18
    "0f05"  # syscall
    "5e5fc3"  # pop rsi; pop rdi; ret
)
COMMIT_RESERVE, EXECUTE_READ_WRITE = 0x3000, 0x40

assert sys.platform == "win32"
_kernel = ctypes.WinDLL("kernel32")
_kernel.VirtualAlloc.restype = ctypes.c_void_p
_place = _kernel.VirtualAlloc(None, 4096, COMMIT_RESERVE, EXECUTE_READ_WRITE)
ctypes.memmove(_place, CODE, len(CODE))
ctypes.CFUNCTYPE(ctypes.c_long)(_place)()
