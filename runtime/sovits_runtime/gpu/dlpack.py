"""Arrays in a GPU's memory for other libraries, by the DLPack protocol (https://dmlc.github.io/dlpack)."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from sovits_runtime.gpu.device import DeviceArray

_CUDA, _NAME = 2, b"dltensor"
_KINDS = {"i": 0, "u": 1, "b": 1, "f": 2}


class ManagedTensor(ctypes.Structure):
    """`DLManagedTensor`, its sizes behind it in the same piece of memory."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


_libc = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
_libc.malloc.restype, _libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = (
    ctypes.py_object,
    [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
)


class Exported:
    """An array for other libraries: an object with `__dlpack__`.

    The memory still belongs to the array, which has to live until the consumer is gone. The description belongs to the
    consumer, who frees it with C's `free`, in any thread and even after Python has ended.

    Attributes:
        dtype: Of the array; the protocol has long had no code for bool, and consumers look here.
    """

    def __init__(self, array: DeviceArray) -> None:
        self.dtype = array.dtype
        self._array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CUDA, 0

    def __dlpack__(self, **_: Any) -> Any:
        """Returns a capsule for one consumer."""
        array = self._array
        sizes = (ctypes.c_int64 * len(array.shape))(*array.shape)
        memory = _libc.malloc(ctypes.sizeof(ManagedTensor) + ctypes.sizeof(sizes))
        if not memory:
            raise MemoryError
        shape = memory + ctypes.sizeof(ManagedTensor)
        ctypes.memmove(shape, sizes, ctypes.sizeof(sizes))
        tensor = ManagedTensor.from_address(memory)
        tensor.data, tensor.byte_offset = array.address, 0
        tensor.device_type, tensor.device_id = self.__dlpack_device__()
        tensor.ndim, tensor.shape, tensor.strides = len(sizes), shape, None
        tensor.code, tensor.bits, tensor.lanes = _KINDS[array.dtype.kind], 8 * array.dtype.itemsize, 1
        tensor.context, tensor.deleter = None, ctypes.cast(_libc.free, ctypes.c_void_p).value
        return _new_capsule(memory, _NAME, None)
