"""What a pickle describes once it was read and not run: plain values, tensors that still lie in the file, placeholders.

A pickle names functions and classes. None of them is imported; what they would have made is an `Inert`, which only
notes what was asked. It is harmless where nobody needs it, and refused where a value is needed: see `mapping_of`.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sovits_runtime.errors import printable, shown

STORAGES: dict[str, torch.dtype] = {
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
_NUMPY_SCALARS = {"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"}
_NUMPY_CODES = {"b1", "f2", "f4", "f8", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8))}
_KEY_BOUND = 1 << 31
_LONGEST_WORD = 120


@dataclass(frozen=True, slots=True)
class StorageRef:
    """A run of `numel` numbers in the file, kept in the record called `key`."""

    key: str
    dtype: torch.dtype
    numel: int


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor that still lies in the file: where it starts in its storage, its sizes and its strides."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Global:
    """A function or class that a pickle names; it is not looked up."""

    name: str


class Mapped(dict[Any, Any]):
    """A dict of a pickle. Its keys are strings or small integers, so that no choice of keys makes it slow.

    Attributes:
        odd: The type of a key that is neither, and was left out with its value; "" where there was none.
    """

    __slots__ = ("odd",)

    def __init__(self) -> None:
        super().__init__()
        self.odd = ""

    def put(self, key: object, value: object) -> None:
        """Sets an item, as far as its key is one that a checkpoint needs."""
        if type(key) is str or (type(key) is int and abs(key) < _KEY_BOUND):
            self[key] = value
        else:
            self.odd = kind_of(key)


class Inert:
    """What a function or class that is not known here would have made of its arguments.

    Attributes:
        name: Of the function or class.
        args: What it was called with.
        state: What was set on the object afterwards, such as its attributes.
        entries: Items that were set on it, where it is some kind of dict.
    """

    __slots__ = ("args", "entries", "name", "state")

    def __init__(self, name: str, args: object = ()) -> None:
        self.name = name
        self.args = args
        self.state: object = None
        self.entries: Mapped | None = None


def mapping_of(value: object) -> Mapped | None:
    """Returns a value as a mapping, if it is one: a dict of any class, or an object with attributes.

    So the trainer's config is read whatever its class is called, and wherever that lay.
    """
    if isinstance(value, Inert):
        value = value.state if value.entries is None else value.entries
    return value if isinstance(value, Mapped) and not value.odd else None


def plain(value: object) -> object:
    """Returns NumPy's numbers and strings as Python's; anything else as it is."""
    if not isinstance(value, Inert) or value.name not in _NUMPY_SCALARS:
        return value
    args: Any = value.args
    try:
        dtype, data = args[0], _bytes_of(args[1])
        code, order = dtype.args[0], dtype.state[1] if dtype.state else "<"
        if code[0] == "U":
            return data.decode("utf-32-le" if order == "<" else "utf-32-be").rstrip("\0")
        if code not in _NUMPY_CODES:
            return value
        return np.frombuffer(data, np.dtype(code).newbyteorder(order if order in "<>" else "="))[0].item()
    except (AttributeError, LookupError, TypeError, ValueError):
        return value


def _bytes_of(data: Any) -> bytes:
    """Bytes, or what Python 3 writes for them in the pickles that Python 2 can read."""
    if isinstance(data, Inert) and data.name == "_codecs.encode":
        args: Any = data.args
        return codecs.encode(args[0], {"latin1": "latin-1"}[args[1]])
    if not isinstance(data, bytes):
        raise TypeError("no bytes")
    return data


def tensors_in(value: object) -> Mapping[str, TensorRef | Inert]:
    """Returns the named tensors of a mapping, as far as there are some, those of unknown kinds included."""
    items = mapping_of(value) or Mapped()
    return {
        name: tensor
        for name, tensor in items.items()
        if isinstance(name, str) and (isinstance(tensor, TensorRef) or is_special_tensor(tensor))
    }


def is_special_tensor(value: object) -> bool:
    """Whether a value is a tensor of a kind that cannot be read: of another device, sparse, quantized."""
    return isinstance(value, Inert) and value.name.startswith(_TENSOR_MAKERS)


_TENSOR_MAKERS = ("torch._utils._rebuild", "torch._tensor._rebuild")
_RARE = ("holds numbers of a type that no GPT-SoVITS file has", ".float()")
_SPECIAL_FORMS: Mapping[str, tuple[str, str]] = {
    "_rebuild_sparse_tensor": ("is sparse", ".to_dense()"),
    "_rebuild_sparse_csr_tensor": ("is sparse", ".to_dense()"),
    "_rebuild_qtensor": ("is quantized", ".dequantize()"),
    "_rebuild_tensor_v2": _RARE,
    "_rebuild_tensor_v3": _RARE,
    "_rebuild_meta_tensor_no_storage": ("has a shape and no values", "its values"),
}
"""Function that makes it -> what is the matter, and what to save instead; any other one is for a device."""
_OF_A_DEVICE = ("was saved from a device that PyTorch's CPU build does not know", ".cpu()")


def special_tensor_problem(tensor: Inert) -> str:
    """Says why a tensor of a kind that cannot be read is none, and what to do."""
    problem, remedy = _SPECIAL_FORMS.get(tensor.name.rpartition(".")[2], _OF_A_DEVICE)
    return (
        f"{problem}, expected a plain tensor; load the file where it was made and save it again with {remedy}"
    )


def kind_of(value: object) -> str:
    """The type of a value, as the file names it."""
    return one_line(value.name) if isinstance(value, Inert | Global) else type(value).__name__


def one_line(value: object) -> str:
    """Returns `value` as one short printable line, since a stranger may have written it."""
    if isinstance(value, BaseException):
        value = value.args[0] if len(value.args) == 1 else str(value)
    if isinstance(value, Inert | Global):
        value = f"a {value.name}"
    text = printable((value if isinstance(value, str) else shown(value))[: 2 * _LONGEST_WORD])
    return text if len(text) <= _LONGEST_WORD else f"{text[: _LONGEST_WORD - 3]}..."
