"""Text to semantic tokens: prefill, then one token a step on a cache that is updated in place."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.session import BindableSession, Binding
from sovits_runtime.errors import ShapeError, SovitsError
from sovits_runtime.machine.process_memory import return_freed_memory
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS, Generation, Noise, Step, TokenStream, tokens_until
from sovits_runtime.t2s.sampling import SamplingOptions

SPARE = 2
"""Buffers of requests that ended which are kept for the next ones. A sentence's caches may take 40 MB."""


class TextToSemantic:
    """The two graphs of the GPT. Safe to use from several threads: each request has its own cache."""

    def __init__(self, prefill: BindableSession, step: BindableSession) -> None:
        self.prefill = prefill
        self.step = step
        self.cache_names = [name for name, _ in step.spec.aliases]
        self.vocab = _size(step.spec.tensor("seen").shape[1])
        bert = prefill.spec.tensor("bert").shape
        self.bert_width = _size(bert[2])
        self._pool: list[_State] = []

    def steps(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
        forced: NDArray[np.int64] | None = None,
    ) -> Generator[Step, None, None]:
        """Yields one `Step` a token, without end: the caller decides when to stop.

        Args:
            phones: int64 [T], of reference and target.
            bert: float32 [T, 1024].
            prompt: int64 [P], semantic tokens of the reference; may be empty.
            options: Sampling options.
            noise: Gives Exp(1) samples float32 [1, V] for step 0, 1, 2, ...
            forced: int64 [n]; step i is fed forced[i] in place of the token it sampled; the steps end after n + 1.

        Raises:
            ShapeError: Wrong shapes, or more than the model's 1500 new tokens.
        """
        state = self._acquire(phones, bert, prompt, options)
        try:
            state.arrays["noise"][...] = noise(0)
            yield state.run(state.prefill_binding)
            count = MAX_NEW_TOKENS if forced is None else len(forced)
            for i in range(1, count + 1):
                if forced is not None:
                    state.override(int(forced[i - 1]))
                state.advance(i, noise(i))
                yield state.run(state.step_binding)
        finally:
            self._release(state)
        if forced is None:
            raise ShapeError(f"the model makes at most {MAX_NEW_TOKENS} tokens in one go; split the text")

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
        """Generates until the model ends or `max_tokens` are made; arguments as in `steps`."""
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
        """As `generate`, but gives each token as it is made."""
        return TokenStream(
            tokens_until(self.steps(phones, bert, prompt, options=options, noise=noise), max_tokens)
        )

    def open_row(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
    ) -> HostRow:
        """Opens a request as a row of a batch; see `t2s.rows`. Arguments as in `steps`."""
        state = self._acquire(phones, bert, prompt, options)
        return HostRow(state, noise, lambda: self._release(state))

    def step_rows(self, rows: Sequence[HostRow], *, lean: bool = False) -> list[Step | Exception]:
        """Makes the next token of every row; see `t2s.rows.RowMaker.step_rows`.

        Where the step takes several rows, they run together: weights are read once for all.
        """
        failed: dict[int, Exception] = {}
        for i, row in enumerate(rows):
            try:
                row.advance()
            except Exception as error:  # of this row alone
                failed[i] = error
        ready = [row.state.step_binding for i, row in enumerate(rows) if i not in failed]
        problems = iter(self._run_together(ready, lean=lean))
        return [failed[i] if i in failed else next(problems) or row.made() for i, row in enumerate(rows)]

    def _run_together(self, bindings: list[Binding], *, lean: bool) -> list[Exception | None]:
        """Runs steps in one go; if that fails, each alone, so that only the row that is to blame fails."""
        together = getattr(self.step, "run_together", None)
        if together is not None and bindings:
            try:
                together(bindings, lean=lean)
            except SovitsError:
                pass
            else:
                return [None] * len(bindings)
        return [_problem_of(binding.run) for binding in bindings]

    def _acquire(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        options: SamplingOptions,
    ) -> _State:
        try:
            state = self._pool.pop()  # in one go, without a lock that a fork could copy locked
        except IndexError:
            state = _State(self.prefill, self.step, vocab=self.vocab, cache_names=self.cache_names)
        state.start(phones, bert, prompt, options)
        return state

    def _release(self, state: _State) -> None:
        if len(self._pool) < SPARE:
            self._pool.append(state)


class HostRow:
    """A request as a row of a batch; see `t2s.rows.Row`.

    Args:
        state: Its buffers.
        noise: As in `TextToSemantic.steps`.
        release: Gives the buffers back.
    """

    def __init__(self, state: _State, noise: Noise, release: Callable[[], None]) -> None:
        self.state = state
        self._noise = noise
        self._release: Callable[[], None] | None = release
        self._step = 0

    def first(self) -> Step:
        """Runs the prefill and returns the first token."""
        self.state.arrays["noise"][...] = self._noise(0)
        return self.state.run(self.state.prefill_binding)

    def advance(self) -> None:
        """Makes the buffers ready for the next step."""
        self._step += 1
        self.state.advance(self._step, self._noise(self._step))

    def made(self) -> Step:
        """What the step that ran has made."""
        return self.state.made()

    def close(self) -> None:
        """Gives the buffers back; a second call does nothing."""
        release, self._release = self._release, None
        if release is not None:
            release()


def _problem_of(run: Callable[[], None]) -> Exception | None:
    try:
        run()
    except Exception as error:
        return error
    return None


class _State:
    """Buffers of one request: caches, small inputs and outputs, and the two graphs bound to them.

    It knows the graphs and not the model, which keeps it: in a circle, neither would be freed with the voice.
    """

    def __init__(
        self, prefill: BindableSession, step: BindableSession, *, vocab: int, cache_names: list[str]
    ) -> None:
        self.prefill, self.step, self.vocab, self.cache_names = prefill, step, vocab, cache_names
        self.capacity = 0
        self.arrays: dict[str, Any] = {
            "token": np.zeros(1, np.int64),
            "step": np.zeros(1, np.int64),
            "text_len": np.zeros(1, np.int64),
            "prompt_len": np.zeros(1, np.int64),
            "seen": np.zeros((1, vocab), np.bool_),
            "noise": np.ones((1, vocab), np.float32),
            "next_token": np.zeros(1, np.int64),
            "stop": np.zeros(1, np.bool_),
            "next_seen": np.zeros((1, vocab), np.bool_),
            "logits": np.zeros((1, vocab), np.float32),
            **SamplingOptions().arrays(vocab),
        }
        self.prefill_binding: Binding
        self.step_binding: Binding

    def start(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        options: SamplingOptions,
    ) -> None:
        a = self.arrays
        for name, value in options.arrays(self.vocab).items():
            a[name][...] = value
        a["step"][0], a["text_len"][0], a["prompt_len"][0] = 0, len(phones), len(prompt)
        a["seen"][...] = False
        a["seen"][0, prompt] = True
        self.prefilled = len(phones) + len(prompt)
        self._reserve(self.prefilled + 1, keep=0)
        feeds = {
            "phones": np.ascontiguousarray(phones[None], np.int64),
            "bert": np.ascontiguousarray(bert[None], np.float32),
            "prompt": np.ascontiguousarray(prompt[None], np.int64),
        }
        self.prefill_binding = self.prefill.bind(self._named(self.prefill, feeds))

    def run(self, binding: Binding) -> Step:
        binding.run()
        return self.made()

    def made(self) -> Step:
        a = self.arrays
        return Step(int(a["next_token"][0]), bool(a["stop"][0]), a["logits"][0])

    def override(self, token: int) -> None:
        """Replaces the last sampled token by `token`."""
        a = self.arrays
        a["next_token"][0] = token
        a["next_seen"][...] = a["seen"]
        a["next_seen"][0, token] = True

    def advance(self, step: int, noise: NDArray[np.float32]) -> None:
        a = self.arrays
        a["step"][0] = step
        a["token"][0] = a["next_token"][0]
        a["seen"][...] = a["next_seen"]
        a["noise"][...] = noise
        self._reserve(self.prefilled + step, keep=self.prefilled + step - 1)

    def _reserve(self, positions: int, *, keep: int) -> None:
        """Makes room for as many positions, keeping the first `keep`, and binds the step graph to the buffers."""
        if positions <= self.capacity:
            return
        quantum, first = self.step.cache_quantum, not self.capacity
        self.capacity = -(-positions // quantum) * quantum
        old = {name: self.arrays[name] for name in self.cache_names if name in self.arrays}
        self.arrays |= self.step.grown_caches(self.capacity, old=old, rows=keep)
        del old
        self.step_binding = self.step.bind(self._named(self.step, {}))
        if not first:
            return_freed_memory()  # the smaller caches'

    def _named(self, session: BindableSession, extra: dict[str, Any]) -> dict[str, Any]:
        aliases = {out: name for name, out in session.spec.aliases}
        names = (*session.spec.input_names, *session.spec.output_names)
        return {n: extra[n] if n in extra else self.arrays[aliases.get(n, n)] for n in names}


def _size(dim: int | str) -> int:
    if isinstance(dim, str):
        raise ShapeError(
            f"expected a fixed size, got the dimension {dim!r}; the bundle's graph specs are damaged"
        )
    return dim
