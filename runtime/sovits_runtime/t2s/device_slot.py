"""What one request for tokens needs on the device: buffers, contexts, a stream, captured steps. Allocated once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.graph_spec import GraphSpec, TensorSpec
from sovits_runtime.errors import ShapeError
from sovits_runtime.gpu.device import Context, Device, DeviceArray, Engine, Event, Graph, Layout, Stream
from sovits_runtime.t2s.captured_step import StepCapture
from sovits_runtime.t2s.device_step import FEEDBACK, HISTORY
from sovits_runtime.t2s.sampling import SamplingOptions

STAGED = ("phones", "bert", "prompt")
OPTIONS = ("top_k", "top_p", "temperature", "repetition_penalty", "min_tokens")


@dataclass(frozen=True)
class GptEngines:
    """The GPT on a device.

    Attributes:
        prefill: `gpt_prefill` that gives keys and values [1, H, T + P, D]; they become the caches' first positions.
        steps: Steps that feed themselves (see `device_step_spec`), one a cache length, shortest first.
        batches: Number of rows -> the same for a batch of so many (see `batch_step_spec`); empty: there are none.
        no_batches: Why there are none.
    """

    prefill: Engine
    steps: tuple[Engine, ...]
    batches: Mapping[int, tuple[Engine, ...]] = field(default_factory=dict)
    no_batches: str = ""

    def __post_init__(self) -> None:
        if not self.steps or list(self.lengths) != sorted(set(self.lengths)):
            raise ShapeError(
                f"decode steps for caches of {list(self.lengths)} rows: expected one or more, each longer than the "
                "one before; build the engines again"
            )

    @property
    def lengths(self) -> tuple[int, ...]:
        """Cache lengths of the steps, in positions."""
        return tuple(e.spec.tensor(e.spec.aliases[0][0]).resolve({})[2] for e in self.steps)


@dataclass
class _Length:
    """What a slot holds for one cache length."""

    caches: dict[str, DeviceArray]
    step: Context
    graph: Graph | None = None
    warm: bool = False


class TokenSlot:
    """Buffers, execution contexts and captured steps of one request in flight; requests use them one after the other.

    Args:
        engines: Their weights are shared with other slots.
        capture: Whether to replay captured steps; otherwise each is enqueued.
        strict: Whether a step that cannot be captured is an error.

    Attributes:
        nbytes: Device memory of the slot.
        first_stop: Pinned bool [1]; whether the prefill sampled the end of speech, once the first event is reached.
        history: Pinned int64 [HISTORY]; tokens that came back.
    """

    def __init__(self, device: Device, engines: GptEngines, *, capture: bool, strict: bool) -> None:
        self._capturing = StepCapture(capture=capture, strict=strict)
        self._engines = engines
        shared, state, caches, scratch = layouts(engines)
        self.nbytes = slot_bytes(engines)
        self._memory = device.memory(self.nbytes)
        self.arrays = shared.place(self._memory)
        self._state = DeviceArray(self._memory, shared.nbytes, (state.nbytes,), np.dtype(np.uint8))
        self.arrays |= state.place(self._memory, shared.nbytes)
        successor = shared.nbytes + state.nbytes
        self._next_state = DeviceArray(self._memory, successor, (state.nbytes,), np.dtype(np.uint8))
        following = state.place(self._memory, successor)
        self.arrays |= {f"next_{name}": array for name, array in following.items()}
        offset = successor + state.nbytes
        self.stream = device.stream(urgent=True)
        self.lengths: list[_Length] = []
        scratch_array = DeviceArray(
            self._memory, self.nbytes - scratch, (max(scratch, 0),), np.dtype(np.uint8)
        )
        self._prefill = engines.prefill.context(scratch_array)
        for engine, layout in zip(engines.steps, caches, strict=True):
            length = _Length(layout.place(self._memory, offset), engine.context(scratch_array))
            offset += layout.nbytes
            length.step.bind(self._named(engine.spec, length.caches))
            self.lengths.append(length)
        self._host = _pinned(device, engines)
        self.history = device.pinned((HISTORY,), np.int64)
        self.first_stop = device.pinned((1,), np.bool_)
        self._noise = [device.pinned(self.arrays["noise_block"].shape, np.float32) for _ in range(2)]
        self._noise_sent: list[Event] = [device.event() for _ in range(2)]

    @property
    def fallback(self) -> str:
        """Why steps are enqueued although `capture` is set; empty when they are captured."""
        return self._capturing.fallback

    def noise_staging(self, block: int) -> NDArray[np.float32]:
        """Pinned rows for noise block `block`, once the transfer that used them before is over."""
        self._noise_sent[block % 2].synchronize()
        return self._noise[block % 2]

    def send_noise(self, block: int) -> None:
        """Uploads what `noise_staging` was filled with; steps enqueued so far still read the block before."""
        self.stream.upload(self.arrays["noise_block"], self._noise[block % 2])
        self.stream.record(self._noise_sent[block % 2])

    def send_noise_row(self, row: int, noise: NDArray[np.float32]) -> None:
        """Uploads the noise [1, V] of one step; the stream must be idle. `send_noise` of block 0 sends row 0 again."""
        self._noise[0][row] = noise[0]
        self.stream.upload(self.arrays["noise_block"].row(row), self._noise[0][row : row + 1])

    def start(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        index: int,
    ) -> None:
        """Uploads a request and enqueues its prefill, into the caches of length `index`; noise row 0 must be there."""
        host, arrays, spec = self._host, self.arrays, self._engines.prefill.spec
        sizes = {"rows": len(phones) + len(prompt)}
        staged = upload_request(self.stream, host, arrays, (phones, bert, prompt), options)
        host["zero"][...] = 0
        host["one"][...] = 1
        self.stream.upload(arrays["step"], host["zero"])
        self.stream.upload(arrays["next_step"], host["one"])
        keys_values = {
            name: arrays[name].reshaped(t.resolve(sizes)) for name, t in key_value_tensors(self._engines)
        }
        first = {
            **staged,
            **keys_values,
            "noise": arrays["noise_block"].row(0),
            "stop": arrays["next_stopped"],
        }
        self._prefill.bind(self._named(spec, {}, **first))
        self._prefill.enqueue(self.stream)
        self._clear(index)
        for name, out in self._engines.steps[index].spec.aliases:
            self.stream.copy_positions(self.lengths[index].caches[name], keys_values[out], sizes["rows"])
        self.stream.copy(arrays["next_history"].span(0, 1), arrays["next_token"])
        self.stream.download(self.first_stop, arrays["next_stopped"])
        self.stream.copy(self._state, self._next_state)

    def steps(self, index: int, count: int) -> None:
        """Enqueues `count` steps on the caches of length `index`."""
        length = self.lengths[index]
        if count and self._capturing.wanted and length.graph is None:
            if not length.warm:  # what an engine sets up in its first run must not be part of the capture
                self._step(length)
                length.warm = True
                count -= 1
            if count:
                length.graph = self._capturing.captured(self.stream, lambda: self._step(length))
        for _ in range(count):
            if length.graph is not None:
                self.stream.launch(length.graph)
            else:
                self._step(length)

    def grow(self, index: int, count: int) -> None:
        """Copies the first `count` positions of the caches of length `index` into those of the next length."""
        old, new = self.lengths[index], self.lengths[index + 1]
        self._clear(index + 1)
        for name, cache in old.caches.items():
            self.stream.copy_positions(new.caches[name], cache, count)

    def override(self, token: int, seen: NDArray[np.bool_]) -> None:
        """Replaces the last sampled token and the set of seen tokens; the stream must be idle."""
        host = self._host
        host["token"][...], host["seen"][...], host["flag"][...] = token, seen, False
        for name, source in (("token", "token"), ("seen", "seen"), ("stopped", "flag")):
            self.stream.upload(self.arrays[name], host[source])

    def read(self, name: str) -> NDArray[Any]:
        """Waits for the stream and returns a copy of one of the arrays."""
        self.stream.download(self._host[name], self.arrays[name])
        self.stream.synchronize()
        return self._host[name].copy()

    def close(self) -> None:
        """Gives the memory back; no work may be pending."""
        for length in self.lengths:
            if length.graph is not None:
                length.graph.free()
        self._memory.free()

    def _clear(self, index: int) -> None:
        """Zeroes the caches: positions past the end are masked, but still enter as 0 * x, and 0 * NaN is NaN."""
        for cache in self.lengths[index].caches.values():
            self.stream.clear(cache)

    def _step(self, length: _Length) -> None:
        length.step.enqueue(self.stream)
        self.stream.copy(self._state, self._next_state)

    def _named(
        self, spec: GraphSpec, caches: Mapping[str, DeviceArray], **extra: DeviceArray
    ) -> dict[str, DeviceArray]:
        known = {**self.arrays, **caches, **{out: caches[name] for name, out in spec.aliases}, **extra}
        return {name: known[name] for name in (*spec.input_names, *spec.output_names)}


def upload_request(
    stream: Stream,
    host: Mapping[str, NDArray[Any]],
    arrays: Mapping[str, DeviceArray],
    given: tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]],
    options: SamplingOptions,
) -> dict[str, DeviceArray]:
    """Uploads what a prefill reads; returns phones, BERT features and prompt in their sizes.

    Args:
        stream: Idle as far as the pinned arrays go.
        host: Pinned arrays by name, of the largest sizes.
        arrays: Their places on the device.
        given: Phones [T], BERT features [T, W] and prompt [P].
        options: Sampling options.
    """
    phones, _, prompt = given
    staged: dict[str, DeviceArray] = {}
    contents: tuple[NDArray[Any], ...] = given
    for name, content in zip(STAGED, contents, strict=True):
        part = host[name][0, : len(content)]
        part[...] = content
        staged[name] = arrays[name].reshaped((1, *content.shape))
        if content.size:
            stream.upload(staged[name], part)
    seen = np.zeros(arrays["seen"].shape[1], np.bool_)
    seen[prompt] = True
    values: dict[str, Any] = {
        **options.arrays(len(seen)),
        "seen": seen,
        "text_len": len(phones),
        "prompt_len": len(prompt),
    }
    for name, value in values.items():
        host[name][...] = value
        stream.upload(arrays[name], host[name])
    return staged


def layouts(engines: GptEngines) -> tuple[Layout, Layout, tuple[Layout, ...], int]:
    """Returns what a slot holds: inputs and outputs, the state that feeds itself, caches by length, scratch bytes."""
    spec, prefill = engines.steps[-1].spec, engines.prefill.spec
    shared, state = Layout(), Layout()
    sizes = largest_sizes(engines)
    for name, t in [(name, prefill.tensor(name)) for name in STAGED] + key_value_tensors(engines):
        shared.add(name, t.resolve(sizes), t.dtype)
    for name in ("text_len", "prompt_len", *OPTIONS, "noise_block", "logits"):
        shared.add(name, spec.tensor(name).resolve({}), spec.tensor(name).dtype)
    for name in FEEDBACK:
        state.add(name, spec.tensor(name).resolve({}), spec.tensor(name).dtype)
    caches = []
    for engine in engines.steps:
        layout = Layout()
        for name, _ in engine.spec.aliases:
            t = engine.spec.tensor(name)
            layout.add(name, t.resolve({}), t.dtype)
        caches.append(layout)
    scratch = max(e.scratch_bytes for e in (engines.prefill, *engines.steps))
    return shared, state, tuple(caches), scratch


def slot_bytes(engines: GptEngines) -> int:
    """Device memory that one slot takes."""
    shared, state, caches, scratch = layouts(engines)
    return shared.nbytes + 2 * state.nbytes + sum(layout.nbytes for layout in caches) + scratch


def key_value_tensors(engines: GptEngines) -> list[tuple[str, TensorSpec]]:
    """Pairs of the step's name for a cache output and the prefill's tensor that fills it."""
    return [(out, engines.prefill.spec.tensor(out)) for _, out in engines.steps[-1].spec.aliases]


def largest_sizes(engines: GptEngines) -> dict[str, int]:
    """Largest sizes of the prefill's dimensions; positions that no cache could take need no room."""
    sizes = {name: r.max for name, r in engines.prefill.spec.dim_ranges.items()}
    return {**sizes, "rows": min(sizes["phones"] + sizes["prompt"], engines.lengths[-1])}


def _pinned(device: Device, engines: GptEngines) -> dict[str, NDArray[Any]]:
    """Host memory for what goes up and comes back."""
    step, prefill, sizes = engines.steps[-1].spec, engines.prefill.spec, largest_sizes(engines)
    tensors = {name: prefill.tensor(name) for name in STAGED}
    tensors |= {n: step.tensor(n) for n in ("token", "seen", "text_len", "prompt_len", *OPTIONS, "logits")}
    result = {name: device.pinned(t.resolve(sizes), t.dtype) for name, t in tensors.items()}
    for name in ("zero", "one"):
        result[name] = device.pinned((1,), np.int64)
    for name in ("flag", "next_stopped"):
        result[name] = device.pinned((1,), np.bool_)
    result["next_token"] = device.pinned((1,), np.int64)
    return result
