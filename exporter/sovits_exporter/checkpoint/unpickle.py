"""Reads the pickle of a checkpoint without running it.

A pickle is a program: Python's own reader imports and calls whatever it names. Checkpoints come from
strangers, so this reader interprets the program itself, over inert values. A global stays a name: nothing is imported,
called or set. What a few names of torch would build is described instead, as a `TensorRef` or a `Mapped`; what all
others would build is an `Inert`, to be judged by whoever needs that value. So a file is not refused for what nobody
reads, such as the paths and dates of the trainer. Names that can only serve to run code are refused all the same: such
a file is dangerous elsewhere.

A small program can also ask for endless work or memory. The machine counts its steps and all items that it makes.
"""

from __future__ import annotations

import gc
import io
import pickletools
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sovits_exporter.checkpoint.code_names import runs_code
from sovits_exporter.checkpoint.inert import (
    STORAGES,
    Global,
    Inert,
    Mapped,
    StorageRef,
    TensorRef,
    kind_of,
    one_line,
)
from sovits_runtime.errors import CheckpointError

MAX_PICKLE_BYTES = 16 << 20
MAX_STEPS, MAX_ITEMS = 4_000_000, 4_000_000
"""A training state of 1,500 tensors with its optimizer takes some 100,000 steps."""
_MEMO_BOUND = 1 << 32


def read_pickle(data: bytes) -> Any:
    """Returns what the first pickle in `data` describes: see `checkpoint/inert.py` for the values.

    Raises:
        CheckpointError: It asks for something that only serves to run code (the message names it), is damaged, or
            asks for more work than any checkpoint.
    """
    return read_next_pickle(io.BytesIO(data))[0]


def read_next_pickle(stream: io.BytesIO) -> tuple[Any, dict[str, StorageRef]]:
    """Reads the pickle that begins here; the stream stands behind it then.

    Returns:
        What it describes, and the storages that it mentions, by key.

    Raises:
        CheckpointError: As `read_pickle`.
    """
    machine = _Machine()
    try:
        with _no_garbage_collection():
            for opcode, arg, _ in pickletools.genops(stream):
                machine.step(opcode.name, arg)
        (value,) = machine.stack
    except CheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as e:
        raise CheckpointError(
            f"its pickle is damaged ({one_line(e)}); download or copy the file again"
        ) from e
    return value, machine.storages


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """The collector would walk over all values again and again, and find none to free."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Machine:
    """The stack machine of the pickle language, cut down to what writes data."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, StorageRef] = {}
        self._globals: dict[tuple[str, str], Global] = {}
        self._steps = self._items = 0

    def step(self, name: str, arg: Any) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise _too_much(f"more than {MAX_STEPS} steps")
        if name in _LITERALS:
            self.stack.append(arg)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _ACTIONS:
            _ACTIONS[name](self, arg)
        else:
            instruction = f"{name} {arg}" if isinstance(arg, int) else name
            raise CheckpointError(
                f"its pickle holds the instruction {one_line(instruction)}, which no checkpoint needs; "
                "nothing was run; take the file from a source you trust"
            )

    def spend(self, items: int) -> None:
        """Counts items that are made, copies included."""
        self._items += items
        if self._items > MAX_ITEMS:
            raise _too_much(f"more than {MAX_ITEMS} values")

    def popped_to_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        self.spend(len(items))
        return items

    def popped(self, n: int) -> list[Any]:
        items = [self.stack.pop() for _ in range(n)]
        return items[::-1]

    def remember(self, index: int | None) -> None:
        index = len(self.memo) if index is None else index
        if not 0 <= index < _MEMO_BOUND:
            raise ValueError("a value is remembered under no sane number")
        self.memo[index] = self.stack[-1]

    def new_dict(self, items: list[Any]) -> None:
        self.stack.append(Mapped())
        self.set_items(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.entries = target.entries or Mapped()
            target = target.entries
        if not isinstance(target, Mapped):
            raise TypeError("items are set on something that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target.put(key, value)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Inert):  # what a list or set of some class holds, nobody needs
            raise TypeError("items are appended to something that is not a list")

    def push_global(self, module: str, name: str) -> None:
        asked = self._globals.get((module, name))
        if asked is None:
            asked = Global(f"{module}.{name}")
            if runs_code(module, name):
                raise CheckpointError(
                    f"its pickle asks for {one_line(asked.name)}, which no checkpoint needs and which could run code; "
                    "nothing was run; take the file from a source you trust"
                )
            self._globals[module, name] = asked
        self.stack.append(asked)

    def call(self, function: Any, args: Any) -> None:
        if not isinstance(function, Global | Inert) or not isinstance(args, tuple):
            raise TypeError("something is called that is not a function")
        self.spend(1)
        known = CALLABLE.get(function.name) if isinstance(function, Global) else None
        self.stack.append(known(self, *args) if known else Inert(function.name, args))

    def new_object(self, cls: Any, args: Any) -> None:
        if not isinstance(cls, Global | Inert) or not isinstance(args, tuple):
            raise TypeError("an object of something that is not a class is built")
        self.spend(1)
        self.stack.append(Inert(cls.name, args))

    def set_state(self, state: Any) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif not isinstance(target, Mapped):  # a known dict's attributes are torch's bookkeeping
            raise TypeError("a state is set on something that has none")

    def push_storage(self, description: Any) -> None:
        if not isinstance(description, tuple) or description[0] not in ("storage", "module"):
            raise TypeError("a storage is described in an unknown way")
        if description[0] == "module":  # the source of a whole model's class, in files of old PyTorch
            self.stack.append(Inert(kind_of(description[1])))
            return
        _, cls, key, _location, numel, *view = description
        if (
            not isinstance(cls, Global)
            or not isinstance(key, str)
            or not _is_size(numel)
            or view not in ([], [None])
        ):
            raise TypeError("a storage is described in an unknown way")
        if cls.name not in STORAGES:
            self.stack.append(Inert(cls.name))
            return
        self.storages[key] = StorageRef(key, STORAGES[cls.name], numel)
        self.stack.append(self.storages[key])


def _too_much(what: str) -> CheckpointError:
    return CheckpointError(
        f"its pickle asks for {what}, which no checkpoint needs; nothing was run; take the file from a source you trust"
    )


def _ordered_dict(machine: _Machine, items: Any = ()) -> Mapped:
    machine.spend(len(items))
    result = Mapped()
    for key, value in items:
        result.put(key, value)
    return result


def _rebuilt_tensor(
    machine: _Machine, storage: Any, offset: Any, shape: Any, stride: Any, *_gradient_state: Any
) -> TensorRef | Inert:
    if isinstance(storage, Inert):
        return Inert("torch._utils._rebuild_tensor_v2")
    if not isinstance(storage, StorageRef) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise TypeError("a tensor is described in an unknown way")
    if len(shape) != len(stride) or len(shape) > 8 or not all(map(_is_size, (offset, *shape, *stride))):
        raise TypeError("a tensor's shape is damaged")
    ref = TensorRef(storage, offset, shape, stride)
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if ref.numel > storage.numel or (ref.numel and last >= storage.numel):
        raise ValueError(f"a tensor of shape {list(shape)} reaches beyond its {storage.numel} stored numbers")
    return ref


def _rebuilt_parameter(machine: _Machine, tensor: Any, *_gradient_state: Any) -> TensorRef | Inert:
    if not isinstance(tensor, TensorRef | Inert):
        raise TypeError("a parameter is described in an unknown way")
    return tensor


def _reconstructed(machine: _Machine, cls: Any, *_base_and_args: Any) -> Inert:
    if not isinstance(cls, Global | Inert):
        raise TypeError("an object of something that is not a class is built")
    return Inert(cls.name)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 48


CALLABLE: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _rebuilt_tensor,
    "torch._utils._rebuild_parameter": _rebuilt_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuilt_parameter,
    "copy_reg._reconstructor": _reconstructed,
    "copyreg._reconstructor": _reconstructed,
}

_PLAIN = {"int", "int_or_bool", "float", "str", "bytes", "bytearray", "bytes_or_str"}
_LITERALS = {  # the opcodes that push their own argument
    op.name
    for op in pickletools.opcodes
    if not op.stack_before and len(op.stack_after) == 1 and op.arg and op.stack_after[0].name in _PLAIN
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_Action = Callable[[_Machine, Any], object]


def _nothing(machine: _Machine, arg: Any) -> None:
    """For opcodes that frame the pickle."""


def _recall(machine: _Machine, arg: Any) -> None:
    machine.stack.append(machine.memo[arg])


def _instance(machine: _Machine, arg: Any) -> None:
    """An object as Python 2 wrote it: its arguments lie above the mark."""
    args = tuple(machine.popped_to_mark())
    machine.push_global(*arg.split(" ", 1))
    machine.new_object(machine.stack.pop(), args)


def _instance_below(machine: _Machine, arg: Any) -> None:
    cls, *args = machine.popped_to_mark()
    machine.new_object(cls, tuple(args))


def _frozen_set(machine: _Machine, arg: Any) -> None:
    machine.popped_to_mark()
    machine.stack.append(Inert("builtins.frozenset"))


def _new_object_by_keywords(machine: _Machine, arg: Any) -> None:
    cls, args, _keywords = machine.popped(3)
    machine.new_object(cls, args)


_ACTIONS: dict[str, _Action] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _recall),
    "MARK": lambda m, arg: m.marks.append(len(m.stack)),
    "POP": lambda m, arg: m.popped(1),
    "POP_MARK": lambda m, arg: m.popped_to_mark(),
    "DUP": lambda m, arg: m.stack.append(m.stack[-1]),
    "EMPTY_DICT": lambda m, arg: m.stack.append(Mapped()),
    "EMPTY_LIST": lambda m, arg: m.stack.append([]),
    "EMPTY_SET": lambda m, arg: m.stack.append(Inert("builtins.set")),
    "ADDITEMS": lambda m, arg: m.extend(m.popped_to_mark()),
    "FROZENSET": _frozen_set,
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
    "OBJ": _instance_below,
    "STACK_GLOBAL": lambda m, arg: m.push_global(*map(one_line, m.popped(2))),
    "REDUCE": lambda m, arg: m.call(*m.popped(2)),
    "NEWOBJ": lambda m, arg: m.new_object(*m.popped(2)),
    "NEWOBJ_EX": _new_object_by_keywords,
    "BUILD": lambda m, arg: m.set_state(*m.popped(1)),
    "BINPERSID": lambda m, arg: m.push_storage(*m.popped(1)),
}
