"""Reads the pickle of a checkpoint without running it.

A pickle is a program: Python's own reader imports and calls whatever it names. Checkpoints come from
strangers, so this reader interprets the program itself, over inert values. A global stays a name; only the
names in `CALLABLE` and `STORAGES` pass, and what they build is a plain dict or the description of a tensor.
Nothing is imported, no attribute is set, and any other name is refused the moment the pickle asks for it.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from sovits_runtime.errors import CheckpointError

MAX_PICKLE_BYTES = 16 << 20

HPARAMS = "utils.HParams"
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


@dataclass(frozen=True)
class StorageRef:
    """A run of `numel` numbers in the file, kept in the record called `key`."""

    key: str
    dtype: torch.dtype
    numel: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor that still lies in the file: where it starts in its storage, its sizes and its strides."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Number of elements."""
        n = 1
        for size in self.shape:
            n *= size
        return n


@dataclass(frozen=True)
class _Global:
    name: str


class _Ordered(dict[Any, Any]):
    """Stands for collections.OrderedDict."""


class _HParams(dict[Any, Any]):
    """Stands for an object of the original trainer's config class: its attributes as keys."""


def read_pickle(data: bytes) -> Any:
    """Returns what the first pickle in `data` describes: plain values, dicts, lists, tuples and `TensorRef`.

    Raises:
        CheckpointError: It asks for a global that no checkpoint needs (the message names it), or is damaged.
    """
    machine = _Machine()
    try:
        for opcode, arg, _ in pickletools.genops(data):
            machine.step(opcode.name, arg)
        (value,) = machine.stack
    except CheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError) as e:
        raise CheckpointError(
            f"its pickle is damaged ({one_line(e)}); download or copy the file again"
        ) from e
    return value


class _Machine:
    """The stack machine of the pickle language, cut down to what writes data."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, arg: Any) -> None:
        if name in _LITERALS:
            self.stack.append(arg)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _ACTIONS:
            _ACTIONS[name](self, arg)
        else:
            instruction = f"{name} {arg}" if isinstance(arg, (str, int)) else name
            raise CheckpointError(
                f"its pickle holds the instruction {one_line(instruction)}, which no checkpoint needs; "
                "nothing was run; take the file from a source you trust"
            )

    def popped_to_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def popped(self, n: int) -> list[Any]:
        items = [self.stack.pop() for _ in range(n)]
        return items[::-1]

    def new_dict(self, items: list[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise TypeError("items are set on something that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int)):
                raise TypeError(f"a dict key is a {type(key).__name__}")
            target[key] = value

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError("items are appended to something that is not a list")
        target.extend(items)

    def push_global(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in _KNOWN:
            raise CheckpointError(
                f"its pickle asks for {one_line(full)}, which no checkpoint needs and which could run code; "
                "nothing was run; take the file from a source you trust"
            )
        self.stack.append(_Global(full))

    def call(self, function: Any, args: Any) -> None:
        if not isinstance(function, _Global) or function.name not in CALLABLE or not isinstance(args, tuple):
            raise TypeError("something is called that is not a function")
        self.stack.append(CALLABLE[function.name](*args))

    def new_object(self, cls: Any, args: Any) -> None:
        if not isinstance(cls, _Global) or cls.name != HPARAMS or args != ():
            raise TypeError("an object of an unknown class is built")
        self.stack.append(_HParams())

    def set_state(self, state: Any) -> None:
        target = self.stack[-1]
        if isinstance(target, _HParams) and isinstance(state, dict):
            target.update(state)
        elif not isinstance(target, _Ordered):  # an OrderedDict's attributes are torch's bookkeeping
            raise TypeError("a state is set on something that has none")

    def push_storage(self, description: Any) -> None:
        kind, cls, key, _location, numel = description
        if (
            kind != "storage"
            or not isinstance(cls, _Global)
            or not isinstance(key, str)
            or not _is_size(numel)
        ):
            raise TypeError("a storage is described in an unknown way")
        self.stack.append(StorageRef(key, STORAGES[cls.name], numel))


def _ordered_dict(items: Any = ()) -> _Ordered:
    result = _Ordered()
    for key, value in items:
        if not isinstance(key, (str, int)):
            raise TypeError(f"a dict key is a {type(key).__name__}")
        result[key] = value
    return result


def _rebuilt_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_gradient_state: Any) -> TensorRef:
    if not isinstance(storage, StorageRef) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise TypeError("a tensor is described in an unknown way")
    if len(shape) != len(stride) or len(shape) > 8 or not all(map(_is_size, (offset, *shape, *stride))):
        raise TypeError("a tensor's shape is damaged")
    ref = TensorRef(storage, offset, shape, stride)
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if ref.numel > storage.numel or (ref.numel and last >= storage.numel):
        raise ValueError(f"a tensor of shape {list(shape)} reaches beyond its {storage.numel} stored numbers")
    return ref


def _rebuilt_parameter(tensor: Any, *_gradient_state: Any) -> TensorRef:
    if not isinstance(tensor, TensorRef):
        raise TypeError("a parameter is described in an unknown way")
    return tensor


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 48


def one_line(value: object) -> str:
    """Returns `value` as one short printable line, since a stranger may have written it."""
    try:
        text = str(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a list inside itself
        return f"a {type(value).__name__}"
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 120 else text[:117] + "..."


CALLABLE: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _rebuilt_tensor,
    "torch._utils._rebuild_parameter": _rebuilt_parameter,
}
_KNOWN = {HPARAMS, *STORAGES, *CALLABLE}

_PLAIN = {"int", "int_or_bool", "float", "str", "bytes", "bytes_or_str"}
_LITERALS = {  # the opcodes that push their own argument
    op.name
    for op in pickletools.opcodes
    if not op.stack_before and len(op.stack_after) == 1 and op.arg and op.stack_after[0].name in _PLAIN
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_Action = Callable[[_Machine, Any], None]


def _nothing(machine: _Machine, arg: Any) -> None:
    """For opcodes that frame the pickle."""


def _remember(machine: _Machine, arg: Any) -> None:
    machine.memo[len(machine.memo) if arg is None else arg] = machine.stack[-1]


def _recall(machine: _Machine, arg: Any) -> None:
    machine.stack.append(machine.memo[arg])


def _instance(machine: _Machine, arg: Any) -> None:
    machine.push_global(*arg.split(" ", 1))
    raise TypeError("an instance is built in a way that only Python 2 used")


_ACTIONS: dict[str, _Action] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _recall),
    "MARK": lambda m, arg: m.marks.append(len(m.stack)),
    "EMPTY_DICT": lambda m, arg: m.stack.append({}),
    "EMPTY_LIST": lambda m, arg: m.stack.append([]),
    "DICT": lambda m, arg: m.new_dict(m.popped_to_mark()),
    "LIST": lambda m, arg: m.stack.append(m.popped_to_mark()),
    "TUPLE": lambda m, arg: m.stack.append(tuple(m.popped_to_mark())),
    "TUPLE1": lambda m, arg: m.stack.append(tuple(m.popped(1))),
    "TUPLE2": lambda m, arg: m.stack.append(tuple(m.popped(2))),
    "TUPLE3": lambda m, arg: m.stack.append(tuple(m.popped(3))),
    "SETITEM": lambda m, arg: m.set_items(m.popped(2)),
    "SETITEMS": lambda m, arg: m.set_items(m.popped_to_mark()),
    "APPEND": lambda m, arg: m.extend(m.popped(1)),
    "APPENDS": lambda m, arg: m.extend(m.popped_to_mark()),
    "GLOBAL": lambda m, arg: m.push_global(*arg.split(" ", 1)),
    "INST": _instance,
    "STACK_GLOBAL": lambda m, arg: m.push_global(*map(one_line, m.popped(2))),
    "REDUCE": lambda m, arg: m.call(*m.popped(2)),
    "NEWOBJ": lambda m, arg: m.new_object(*m.popped(2)),
    "BUILD": lambda m, arg: m.set_state(*m.popped(1)),
    "BINPERSID": lambda m, arg: m.push_storage(*m.popped(1)),
}
