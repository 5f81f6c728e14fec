"""The GPT's prefill by the native kernels: text and prompt through the matrices that the step has packed already.

In int8 it multiplies whole tiles of rows by the step's own int8 weights, which takes a fraction of FP32's time. What is
added is how text becomes rows: embeddings and positions, here in NumPy, and the projection of BERT's features.
"""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import c_void_p, pointer
from typing import Any

import numpy as np

from sovits_runtime.backends.native import NativeStep, library, pointer_to, run_bound, with_half_caches
from sovits_runtime.backends.native_packing import pack_linear
from sovits_runtime.backends.native_structures import INPUTS, OUTPUTS, CPrompt, CRequest
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.gpt_weights import Floats, GptWeights, TextWeights, sine_positions
from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.bundle.memory_block import MemoryBlock
from sovits_runtime.bundle.names import PREFILL, STEP
from sovits_runtime.bundle.session import CPU_CACHE_QUANTUM, caches_in_memory
from sovits_runtime.errors import ShapeError

_OWN_INPUTS = ("token", "text_len", "prompt_len")
"""Inputs of a step that a prefill has not."""


def open_prefill(step: NativeStep, bundle: Bundle) -> NativePrefill:
    """Opens the prefill of a bundle on the threads and weights of its step.

    Raises:
        BundleError: The weights are damaged or not those of a GPT.
    """
    spec = bundle.graph_spec(PREFILL)
    weights = GptWeights.read(bundle.graph_path(PREFILL), bundle.graph_spec(STEP))
    text = TextWeights.read(bundle.graph_path(PREFILL), spec, weights.width)
    return NativePrefill(step, with_half_caches(spec) if step.half_caches else spec, weights, text)


class NativePrefill:
    """The prefill of a GPT, to be bound as the graph `gpt_prefill` is; see `BindableSession`.

    Args:
        step: Whose weights and threads it uses.
        spec: Of the graph.
        weights: What the step has; the embedding is copied, and nothing of it stays mapped.
        text: The weights of the text; likewise.
    """

    cache_quantum = CPU_CACHE_QUANTUM

    def __init__(self, step: NativeStep, spec: GraphSpec, weights: GptWeights, text: TextWeights) -> None:
        self.spec = spec
        self.provider = step.provider
        self.step = step
        self._tokens, self._token_scale = np.array(weights.embedding), np.float32(weights.position_scale)
        self._phones, self._phone_scale = np.array(text.embedding), np.float32(text.position_scale)
        lib = library()
        assert lib is not None  # the step has it
        packed = pack_linear(lib, text.bert, "fp32", MemoryBlock())
        self.bert_projection = pointer(step.linear(text.bert, packed))

    def embedded(self, phones: Array, prompt: Array) -> Floats:
        """Embeddings and positions of text int64 [T] and prompt int64 [P], float32 [T + P, width].

        Raises:
            ShapeError: A phone or token is unknown to the model.
        """
        width = self._tokens.shape[1]
        _check_range(phones, len(self._phones), "phone")
        _check_range(prompt, len(self._tokens), "token")
        of_text = self._phones[phones] + self._phone_scale * sine_positions(len(phones), width)
        of_prompt = self._tokens[prompt] + self._token_scale * sine_positions(len(prompt), width)
        return np.ascontiguousarray(np.concatenate([of_text, of_prompt]), np.float32)

    def grown_caches(self, capacity: int, *, old: Mapping[str, Array], rows: int) -> dict[str, Array]:
        """Makes all caches; see `BindableSession.grown_caches`."""
        return caches_in_memory(self.spec, capacity, old=old, rows=rows)

    def bind(self, arrays: Mapping[str, Any]) -> PrefillBinding:
        """Binds inputs, outputs and caches, which are filled in place; see `BindableSession.bind`."""
        return PrefillBinding(self, arrays)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the prefill on NumPy arrays; see `Session.run`."""
        return run_bound(self, feeds)


class PrefillBinding:
    """The prefill bound to arrays."""

    def __init__(self, prefill: NativePrefill, arrays: Mapping[str, Any]) -> None:
        spec = prefill.spec
        spec.check_bound(arrays)
        dims = spec.check({name: arrays[name] for name in spec.input_names})
        for name, out in spec.aliases:
            if arrays[name] is not arrays[out]:
                raise ShapeError(f"graph {spec.name}: {name} and {out} must be the same array")
        self._prefill = prefill
        self._arrays = dict(arrays)
        own = {name: np.zeros(1, np.int64) for name in _OWN_INPUTS}
        own["text_len"][0] = dims["phones"]
        self._arrays |= own
        caches = [arrays[name] for name, _ in spec.aliases]
        pointers = (c_void_p * len(caches))(*(pointer_to(cache) for cache in caches))
        named = {name: pointer_to(self._arrays[name]) for name in (*INPUTS, *OUTPUTS)}
        self._request = CRequest(cache=pointers, capacity=dims["cache_size"], **named)

    def run(self) -> None:
        """Runs the prefill; see `Binding.run`."""
        phones, prompt = self._arrays["phones"][0], self._arrays["prompt"][0]
        embedded = self._prefill.embedded(phones, prompt)
        bert = np.ascontiguousarray(self._arrays["bert"][0], np.float32)
        self._prefill.step.run_prompt(
            self._request,
            CPrompt(
                rows=len(embedded),
                embedded=pointer_to(embedded),
                bert=pointer_to(bert),
                bert_projection=self._prefill.bert_projection,
            ),
        )


def _check_range(ids: Array, count: int, what: str) -> None:
    if ids.size and not (int(ids.min()) >= 0 and int(ids.max()) < count):
        raise ShapeError(f"expected {what}s of 0 to {count - 1}, got {int(ids.min())} to {int(ids.max())}")
