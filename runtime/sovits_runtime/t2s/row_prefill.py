"""What the prefill of a row needs on the device: a stream of its own, so that nobody else's steps wait for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.gpu.device import Device, DeviceArray, Layout
from sovits_runtime.t2s.device_slot import (
    OPTIONS,
    STAGED,
    GptEngines,
    key_value_tensors,
    largest_sizes,
    upload_request,
)
from sovits_runtime.t2s.sampling import SamplingOptions

_SMALL = (*OPTIONS, "step", "seen", "noise")
_NUMBERS = ("text_len", "prompt_len", "one", "last")
_MADE = ("next_token", "next_seen", "logits")


class RowPrefill:
    """Buffers and an execution context for one prefill after the other; see `sovits_runtime.gpu.pool.Slot`.

    Attributes:
        nbytes: Device memory that it takes.
        arrays: What a row takes over, by name: inputs, `next_token`, `next_seen`, `next_stopped`, `one`, `last`.
        keys_values: Keys and values of the last prefill, by the name of the cache that they are for.
        made: Reached when a prefill is done.
        taken: To be recorded where everything of it has been copied; the next prefill waits for that.
    """

    def __init__(self, device: Device, engines: GptEngines) -> None:
        self._spec, self._engines = engines.prefill.spec, engines
        layout, scratch = _layout(engines), engines.prefill.scratch_bytes
        self.nbytes = prefill_bytes(engines)
        self._memory = device.memory(self.nbytes)
        self.arrays = layout.place(self._memory)
        room = DeviceArray(self._memory, layout.nbytes, (scratch,), np.dtype(np.uint8))
        self.keys_values: dict[str, DeviceArray] = {}
        self.stream = device.stream()
        self.made, self.taken = device.event(), device.event()
        self._context = engines.prefill.context(room)
        sizes = largest_sizes(engines)
        staged = {name: self._spec.tensor(name).resolve(sizes) for name in STAGED}
        shapes = staged | {name: self.arrays[name].shape for name in self.arrays if name not in staged}
        self._host: dict[str, NDArray[Any]] = {
            name: device.pinned(shapes[name], self.arrays[name].dtype)
            for name in (*STAGED, *_SMALL, *_NUMBERS, "next_token", "next_stopped")
        }

    def run(
        self,
        given: tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]],
        *,
        options: SamplingOptions,
        noise: NDArray[np.float32],
        last: int,
    ) -> tuple[int, bool]:
        """Runs a prefill and waits for its token, and for whether the model ended.

        Args:
            given: Phones [T], BERT features [T, W] and prompt [P].
            options: Sampling options.
            noise: float32 [1, V], of the first token.
            last: Number of the step in which the row makes its last token.
        """
        host, arrays, stream = self._host, self.arrays, self.stream
        stream.wait(self.taken)
        staged = upload_request(stream, host, arrays, given, options)
        for name, value in (("noise", noise), ("step", 0), ("one", 1), ("last", last)):
            host[name][...] = value
            stream.upload(arrays[name], host[name])
        sizes = {"rows": len(given[0]) + len(given[2])}
        made = {out: arrays[out].reshaped(t.resolve(sizes)) for out, t in key_value_tensors(self._engines)}
        known = {**arrays, **staged, **made, "stop": arrays["next_stopped"]}
        self._context.bind({n: known[n] for n in (*self._spec.input_names, *self._spec.output_names)})
        self._context.enqueue(stream)
        for name in ("next_token", "next_stopped"):
            stream.download(host[name], arrays[name])
        stream.record(self.made)
        self.keys_values = {cache: made[out] for cache, out in self._engines.steps[-1].spec.aliases}
        self.made.synchronize()
        return int(host["next_token"][0]), bool(host["next_stopped"][0])

    def close(self) -> None:
        """Gives the memory back; no work may be pending."""
        self._memory.free()


def prefill_bytes(engines: GptEngines) -> int:
    """Device memory that one takes."""
    return _layout(engines).nbytes + engines.prefill.scratch_bytes


def _layout(engines: GptEngines) -> Layout:
    spec, sizes = engines.prefill.spec, largest_sizes(engines)
    layout = Layout()
    for name, t in [(n, spec.tensor(n)) for n in (*STAGED, *_SMALL, *_MADE)] + key_value_tensors(engines):
        layout.add(name, t.resolve(sizes), t.dtype)
    layout.add("next_stopped", (1,), np.bool_)
    for name in _NUMBERS:
        layout.add(name, (1,), np.int64)
    return layout
