"""Text to semantic tokens on a device: the loop of `sovits_runtime.t2s.host_loop`, without the host in it.

The host enqueues steps in small batches, one batch ahead of the one it is waiting for, and looks at the tokens of a
batch when its event is reached. Steps past the end of speech run in vain, and their tokens are dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import ShapeError
from sovits_runtime.gpu.device import Device, Event
from sovits_runtime.gpu.pool import SlotPool
from sovits_runtime.t2s.device_rows import DeviceRows
from sovits_runtime.t2s.device_slot import GptEngines, TokenSlot, slot_bytes
from sovits_runtime.t2s.device_step import HISTORY, NOISE_ROWS, STOPPED
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS, Generation, Noise, Step, StopReason, TokenStream
from sovits_runtime.t2s.sampling import SamplingOptions

POLL_STEPS = 8
"""Steps between two looks at the tokens."""
AHEAD = 2
"""Batches in flight: while the host looks at one, the device works on the other."""
WARM_STEPS = 3
"""The first one sets up what an engine sets up, the second is captured, the third replayed."""


class _Batch(NamedTuple):
    event: Event
    stop: int
    """Tokens made when the event is reached."""


class DeviceTextToSemantic:
    """The GPT on a device. Safe to use from several threads: each request has a slot of its own.

    Args:
        engines: Prefill and steps.
        slots: Requests in flight; more wait for their turn.
        rows: Sentences that an engine may step together; 0: none.
        poll_steps: Steps between two looks at the tokens.
        capture: Whether to capture the step once and replay it.
        strict: Whether a step that cannot be captured is an error instead of being enqueued each time.

    Attributes:
        prefill: The prefill engine.
        step: The step engine of the longest cache.
        rows: What steps sentences together; None: each steps by itself.
    """

    def __init__(
        self,
        device: Device,
        engines: GptEngines,
        *,
        slots: int = 1,
        rows: int = 0,
        poll_steps: int = POLL_STEPS,
        capture: bool = True,
        strict: bool = False,
    ) -> None:
        self.slot_bytes = slot_bytes(engines)
        self.prefill, self.step = engines.prefill, engines.steps[-1]
        self.lengths = engines.lengths
        self.cache_names = [name for name, _ in self.step.spec.aliases]
        _, self.vocab = self.step.spec.tensor("seen").resolve({})
        _, _, self.bert_width = self.prefill.spec.tensor("bert").resolve({"phones": 1})
        self._poll = poll_steps
        self._event = device.event
        self._slots = SlotPool(lambda: TokenSlot(device, engines, capture=capture, strict=strict), slots)
        self._no_rows = engines.no_batches
        self.rows: DeviceRows | None = None
        if rows and engines.batches:
            self.rows = DeviceRows(
                device,
                engines,
                rows=rows,
                check=self._check,
                poll_steps=poll_steps,
                capture=capture,
                strict=strict,
            )

    @property
    def memory_bytes(self) -> int:
        """Most device memory that all slots and rows together take; weights are apart."""
        return self.slot_bytes * self._slots.size + (self.rows.memory_bytes if self.rows else 0)

    @property
    def fallback(self) -> str:
        """Why steps are enqueued instead of replayed; empty when they are replayed, or none ran yet."""
        own = next((slot.fallback for slot in self._slots.all() if slot.fallback), "")
        return own or (self.rows.fallback if self.rows else "")

    @property
    def rows_title(self) -> str:
        """How many sentences step together, for reports."""
        if self.rows is None:
            return f"one by one: {self._no_rows}" if self._no_rows else "one by one"
        return f"{', '.join(map(str, self.rows.sizes))} together"

    def warm(self) -> None:
        """Makes all slots and runs a few steps on every cache length, so that no request pays for first times.

        Memory is allocated, sessions and contexts are opened and steps are captured here. Nothing may be in flight.

        Raises:
            BackendError: There is not enough memory, an engine fails, or a step cannot be captured and must be.
        """
        ranges = self.prefill.spec.dim_ranges
        phones, prompt = (np.zeros(ranges[name].min, np.int64) for name in ("phones", "prompt"))
        bert, noise = (
            np.zeros((len(phones), self.bert_width), np.float32),
            np.ones((1, self.vocab), np.float32),
        )
        try:
            with ExitStack() as stack:
                for slot in [stack.enter_context(self._slots.slot()) for _ in range(self._slots.size)]:
                    for index in range(len(self.lengths)):
                        run = _Run(slot, self.lengths, lambda _: noise, 1 + WARM_STEPS)
                        run.start(phones, bert, prompt, options=SamplingOptions(), index=index)
                        run.launch(WARM_STEPS)
                    slot.stream.synchronize()
            if self.rows:
                self.rows.warm()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees the slots and the rows."""
        self._slots.close()
        if self.rows:
            self.rows.close()

    def generate(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
        max_tokens: int = MAX_NEW_TOKENS,
    ) -> Generation:
        """Generates until the model ends or `max_tokens` are made; see `TextToSemantic.generate`."""
        return self.tokens(phones, bert, prompt, options=options, noise=noise, max_tokens=max_tokens).finish()

    def tokens(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
        max_tokens: int = MAX_NEW_TOKENS,
    ) -> TokenStream:
        """Gives tokens as batches of them come back; see `TextToSemantic.tokens`."""
        index = self._check(phones, prompt)
        total = min(max(max_tokens, 1), MAX_NEW_TOKENS)

        def batches() -> Generator[int, None, StopReason]:
            with self._slots.slot() as slot:
                run = _Run(slot, self.lengths, noise, total)
                run.start(phones, bert, prompt, options=options, index=index)
                return (yield from self._batches(run))

        return TokenStream(batches())

    def _batches(self, run: _Run) -> Generator[int, None, StopReason]:
        # AHEAD batches are in flight: while the host waits for one and hands out its tokens, the device has the next
        # one to work on. Batch 0 is the prefill with the first token, each other one up to POLL_STEPS steps.
        #
        #   time    ------------------------------------------------------------------------------------------>
        #   device  | 0: prefill     | 1: steps        | 2: steps        | 3: steps        |
        #   host    E0 E1 w0 ........t0 E2 w1 .........t1 E3 w2 .........t2 E4 w3 .........t3
        #
        #   E enqueue a batch, the copy of its tokens to the host and an event, then sample noise for the block ahead
        #   w wait for the batch's event                     t hand out its tokens
        #
        # Where t2 finds the end of speech, batch 3 is already enqueued. It runs for nothing and its tokens are
        # dropped; the next request in this slot queues up behind it on the same stream.
        history = run.slot.history
        batches = deque([_Batch(run.mark(self._event()), 1)])
        done = 0
        while done < run.total:
            while run.made < run.total and len(batches) < AHEAD:
                run.launch(self._poll)
                batches.append(_Batch(run.mark(self._event()), run.made))
                run.prepare_noise()
            event, stop = batches.popleft()
            event.synchronize()
            end = run.end(done, stop)
            yield from history[done : stop if end is None else end].tolist()
            if end is not None:
                return "eos"
            done = stop
        return "max_tokens"

    def steps(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
        forced: NDArray[np.int64] | None = None,
    ) -> Iterator[Step]:
        """Yields one `Step` a token, waiting for each; see `TextToSemantic.steps`."""
        index = self._check(phones, prompt)
        seen = np.zeros(self.vocab, np.bool_)
        seen[prompt] = True
        with self._slots.slot() as slot:
            run = _Run(slot, self.lengths, noise, 1)
            run.start(phones, bert, prompt, options=options, index=index)
            yield (step := self._read(slot))
            run.total = MAX_NEW_TOKENS + 1 if forced is None else len(forced) + 1
            while run.made < run.total:
                if forced is not None or step.stop:
                    token = step.token if forced is None else int(forced[run.made - 1])
                    seen[token] = True
                    slot.override(token, seen)
                else:
                    seen[step.token] = True
                run.launch_one()
                yield (step := self._read(slot))
        if forced is None:
            raise ShapeError(f"the model makes at most {MAX_NEW_TOKENS} tokens in one go; split the text")

    def _read(self, slot: TokenSlot) -> Step:
        token, stop = int(slot.read("next_token")[0]), bool(slot.read("next_stopped")[0])
        return Step(token, stop, slot.read("logits")[0])

    def _check(self, phones: NDArray[np.int64], prompt: NDArray[np.int64]) -> int:
        """Returns the index of the shortest caches that take the request."""
        ranges = self.prefill.spec.dim_ranges
        for name, size in (("phones", len(phones)), ("prompt", len(prompt))):
            if not ranges[name].min <= size <= ranges[name].max:
                raise ShapeError(
                    f"{name}: got {size}, the engines take {ranges[name].min} to {ranges[name].max}; split the text, "
                    "or build engines with a wider range"
                )
        positions = len(phones) + len(prompt)
        for index, length in enumerate(self.lengths):
            if positions < length:
                return index
        raise ShapeError(
            f"{len(phones)} phones and {len(prompt)} prompt tokens need more than {self.lengths[-1]} "
            "cache rows; split the text, or build engines with a longer cache"
        )


class _Run:
    """The host's side of one request: what was launched, and which noise lies where."""

    def __init__(self, slot: TokenSlot, lengths: tuple[int, ...], noise: Noise, total: int) -> None:
        self.slot = slot
        self.total = total
        self.made = 0
        self._lengths = lengths
        self._noise = noise
        self._staged = self._sent = -1
        self._marked = 0

    def start(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        index: int,
    ) -> None:
        self.index, self.prefilled = index, len(phones) + len(prompt)
        self.slot.send_noise_row(0, self._noise(0))
        self.slot.start(phones, bert, prompt, options=options, index=index)
        self.made = 1  # the rest of the block is sampled while the prefill runs
        self._send(0)

    def launch(self, most: int) -> None:
        """Enqueues up to `most` steps that one block of noise and one cache length allow."""
        self._make_room()
        if self.made % NOISE_ROWS == 0:
            self._send(self.made // NOISE_ROWS)
        room = self._lengths[self.index] - self.prefilled - self.made + 1
        count = min(most, room, NOISE_ROWS - self.made % NOISE_ROWS, self.total - self.made)
        self.slot.steps(self.index, count)
        self.made += count

    def launch_one(self) -> None:
        """Enqueues one step with noise of its own; the stream must be idle."""
        self._make_room()
        self.slot.send_noise_row(self.made % NOISE_ROWS, self._noise(self.made))
        self.slot.steps(self.index, 1)
        self.made += 1

    def mark(self, event: Event) -> Event:
        """Asks for the tokens made since the last mark, to be read when the event is reached."""
        slot, marked = self.slot, self._marked
        slot.stream.download(slot.history[marked : self.made], slot.arrays["history"].span(marked, self.made))
        slot.stream.record(event)
        self._marked = self.made
        return event

    def prepare_noise(self) -> None:
        """Samples the next block of noise while the device is at work."""
        self._stage(self._sent + 1)

    def end(self, start: int, stop: int) -> int | None:
        """Where in the tokens `start` to `stop`, which must have come back, the model ended."""
        if start == 0 and self.slot.first_stop[0]:
            return 0
        stops = np.flatnonzero(self.slot.history[start:stop] == STOPPED)
        return start + int(stops[0]) if len(stops) else None

    def _send(self, block: int) -> None:
        self._stage(block)
        self.slot.send_noise(block)
        self._sent = block

    def _stage(self, block: int) -> None:
        if block <= self._staged:
            return
        self._staged = block
        staging = self.slot.noise_staging(block)
        for step in range(max(1, block * NOISE_ROWS), min((block + 1) * NOISE_ROWS, self.total)):
            staging[step % NOISE_ROWS] = self._noise(step)[0]

    def _make_room(self) -> None:
        """Moves to the next cache length when the position of the next step lies beyond this one."""
        needed = self.prefilled + self.made
        if needed <= self._lengths[self.index]:
            return
        if self.index + 1 == len(self._lengths):
            raise ShapeError(
                f"the sentence needs more than the {self._lengths[-1]} cache rows of the longest engine; "
                "split the text, or build engines with a longer cache"
            )
        self.slot.grow(self.index, needed - 1)
        self.index += 1


assert HISTORY > MAX_NEW_TOKENS
