"""An opened bundle as one party of a benchmark: every stage as a call that can be timed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Protocol

import numpy as np

from sovits_runtime.audio import REFERENCE_RATE
from sovits_runtime.backends.native import NativeStep
from sovits_runtime.bench.decoder import DECODER_STAGES, StageRuns, latent_channels
from sovits_runtime.bench.workload import NEVER_ENDS, Workload, make_workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import Phrase, SpeechOptions
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.device_loop import POLL_STEPS
from sovits_runtime.t2s.sampling import SamplingOptions

ENDLESS = SamplingOptions(min_tokens=NEVER_ENDS)


class Party(Protocol):
    """Something that speaks and can be timed stage by stage, in this process.

    Attributes:
        name: For the report.
        note: What runs it.
        tokens_at_once: How many tokens come back together; each by itself can only be timed where that is 1.
    """

    name: str
    note: str
    tokens_at_once: int

    def stages(self, work: Workload) -> StageRuns:
        """Returns one call for each stage it has, by the names of `bench.STAGES`."""

    def generate(self, work: Workload) -> Iterator[int]:
        """Yields the tokens of an endless sentence, the first after the prefill."""

    def probe_command(self) -> list[str]:
        """Returns a command that loads the party in a fresh process and prints `ProcessFacts` as JSON.

        The time at which it was started, as `time.time()`, is appended to it.
        """


class Voice:
    """Our side: a bundle in the runtime."""

    name = "sovits-export"

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str,
        threads: int,
        backend: str = "onnxruntime",
        native: bool | None = None,
    ) -> None:
        self.bundle = bundle
        self.device = device
        self.threads = threads
        self.tokens_at_once = POLL_STEPS if device == "cuda" else 1
        self._backend, self._native = backend, native
        self.voice = Synthesizer.load(bundle, device=device, backend=backend, threads=threads, native=native)
        self.note = {"onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT"}[backend]

    def workload(self, tokens: int) -> Workload:
        """Makes the workload that fits this bundle's sizes."""
        style = self.voice.decoder.encoder.spec.tensor("style").shape[1]
        assert isinstance(style, int)
        return make_workload(
            tokens=tokens,
            style_width=style,
            channels=latent_channels(self.voice.decoder),
            n_symbols=self.voice.spec.n_symbols,
            bert_width=self.voice.text_to_semantic.bert_width,
            vocab=self.voice.text_to_semantic.vocab,
            flow=self.voice.spec.flow,
        )

    def stages(self, work: Workload) -> StageRuns:
        """See `Party.stages`."""
        encoder, reference = self.voice.reference_encoder, reference_of(work)
        style_feeds = {"wave": work.wave[None]} | ({"speaker": work.speaker} if encoder.needs_speaker else {})
        runs: dict[str, Callable[[], object]] = {
            "prompt_tokens": lambda: encoder.tokens(work.ssl),
            "reference_style": lambda: encoder.style.run(style_feeds),
            **DECODER_STAGES[self.voice.spec.decoder](self.voice.decoder, work),
            "utterance": lambda: speak(self.voice, work, reference),
            "first_audio": lambda: self._first_chunk(work, reference),
        }
        if (hubert := encoder.hubert) is not None:
            runs["hubert"] = lambda: hubert.run({"wave": work.wave_16k[None]})
        if encoder.speaker is not None:
            runs["speaker"] = lambda: encoder.speaker_of(work.wave, REFERENCE_RATE)
        return runs

    def generate(self, work: Workload) -> Iterator[int]:
        """See `Party.generate`."""
        return iter(
            self.voice.text_to_semantic.tokens(
                work.all_phones, work.bert, work.prompt, options=ENDLESS, noise=work.token_noise()
            )
        )

    def probe_command(self) -> list[str]:
        """See `Party.probe_command`."""
        shared = str(self.bundle.shared or "")
        native = {None: "auto", True: "yes", False: "no"}[self._native]
        place = (str(self.bundle.path), self.device, self._backend, str(self.threads), native, shared)
        return [sys.executable, "-m", "sovits_runtime.bench.probe", *place]

    def bytes_per_token(self, work: Workload) -> int | None:
        """Returns the bytes a step must read: weights of layers and head, and the rows of the cache that exist.

        The rows are counted at the middle of the generation. None for a precision whose weights this does not know.
        """
        size = {"fp32": 4, "fp16": 2}.get(self.bundle.manifest["graphs"]["gpt_step"]["precision"])
        t2s = self.voice.text_to_semantic
        native = t2s.step if isinstance(t2s.step, NativeStep) else None
        cache = t2s.step.spec.tensor(t2s.cache_names[0])
        heads, head_dim = cache.shape[1], cache.shape[3]
        if (size is None and native is None) or isinstance(heads, str) or isinstance(head_dim, str):
            return None
        width, layers = heads * head_dim, len(t2s.cache_names) // 2
        numbers = layers * (12 * width * width + 13 * width) + width * work.vocab
        weights = native.weight_bytes if native else numbers * (size or 0)
        rows = len(work.all_phones) + len(work.prompt) + len(work.tokens) // 2
        return weights + 2 * layers * rows * width * np.dtype(cache.dtype).itemsize

    def _first_chunk(self, work: Workload, reference: Reference) -> object:
        phrase = Phrase(work.phones, work.bert[len(work.prompt_phones) :])
        with closing(self.voice.stream([phrase], reference, options=_options(len(work.tokens)))) as chunks:
            return next(chunks)


def reference_of(work: Workload) -> Reference:
    """Returns the workload's prepared reference."""
    phones = len(work.prompt_phones)
    mel = work.flow.reference_mel if work.flow else None
    return Reference("benchmark", work.prompt_phones, work.bert[:phones], work.prompt, work.style, mel)


def speak(voice: Synthesizer, work: Workload, reference: Reference) -> object:
    """Speaks the workload's utterance from its prepared reference."""
    bert = work.bert[len(work.prompt_phones) :]
    return voice.synthesize(work.phones, reference, bert=bert, options=_options(len(work.tokens)))


def first_tokens(party: Party, work: Workload) -> list[int]:
    """Generates the workload's tokens."""
    return list(islice(party.generate(work), len(work.tokens)))


def _options(tokens: int) -> SpeechOptions:
    return SpeechOptions(ENDLESS, pause_s=0.0, max_tokens=max(1, tokens))
