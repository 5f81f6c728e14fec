"""The interface of what a benchmark times stage by stage, and a bundle behind it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Protocol

import numpy as np

from sovits_runtime.audio import REFERENCE_RATE
from sovits_runtime.backends.native import NativeStep
from sovits_runtime.backends.voice import GptSteps, VocoderEngine
from sovits_runtime.bench.workload import NEVER_ENDS, Workload, make_workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import FP16, FP32, STEP
from sovits_runtime.speech.decoder import SpeechDecoder
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import Phrase, SpeechOptions
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.device_loop import POLL_STEPS
from sovits_runtime.t2s.sampling import SamplingOptions

ENDLESS = SamplingOptions(min_tokens=NEVER_ENDS)
BACKEND_NAMES = {"onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT"}

StageRuns = Mapping[str, Callable[[], object]]
"""One call for each stage, by the names of `result.STAGES`."""


class Runner(Protocol):
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
        """Returns one call for each stage that it has."""

    def generate(self, work: Workload) -> Iterator[int]:
        """Yields the tokens of an endless sentence, the first after the prefill."""

    def probe_command(self) -> list[str]:
        """Returns a command that loads the runner in a fresh process and prints `ProcessFacts` as JSON.

        The time at which it was started, as `time.time()`, is appended to it.
        """


def workload_for(voice: Synthesizer, tokens: int) -> Workload:
    """Makes the workload that fits the sizes of a voice."""
    style = voice.decoder.encoder.spec.tensor("style").shape[1]
    assert isinstance(style, int)
    return make_workload(
        tokens=tokens,
        style_width=style,
        channels=voice.decoder.latent_channels,
        n_symbols=voice.spec.n_symbols,
        bert_width=voice.text_to_semantic.bert_width,
        vocab=voice.text_to_semantic.vocab,
        flow=voice.spec.flow,
        condition_width=condition_width(voice.decoder),
    )


class BundleRunner:
    """Our side: a bundle in the runtime; arguments as in `Synthesizer.load`."""

    name = "sovits-export"

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str,
        threads: int,
        backend: str = "onnxruntime",
        gpt_steps: GptSteps = "auto",
        vocoder_engine: VocoderEngine = "auto",
        plan: str = "auto",
    ) -> None:
        self.bundle = bundle
        self.device = device
        self.threads = threads
        self.tokens_at_once = POLL_STEPS if device == "cuda" else 1
        self._backend, self._gpt_steps, self._plan = backend, gpt_steps, plan
        self._vocoder_engine = vocoder_engine
        self.voice = Synthesizer.load(
            bundle,
            device=device,
            backend=backend,
            threads=threads,
            gpt_steps=gpt_steps,
            vocoder_engine=vocoder_engine,
            plan=plan,
        )
        self.note = f"{BACKEND_NAMES[backend]}; the GPT's steps: {self.voice.text_to_semantic.step.provider}"

    def workload(self, tokens: int) -> Workload:
        """Makes the workload that fits this bundle's sizes."""
        return workload_for(self.voice, tokens)

    def stages(self, work: Workload) -> StageRuns:
        """The calls that time each stage of the bundle; see `Runner.stages`."""
        encoder, reference = self.voice.reference_encoder, reference_of(work)
        style_feeds = {"wave": work.wave[None]} | ({"speaker": work.speaker} if encoder.needs_speaker else {})
        runs: dict[str, Callable[[], object]] = {
            "prompt_tokens": lambda: encoder.tokens(work.ssl),
            "reference_style": lambda: encoder.style.run(style_feeds),
            **decoder_runs(self.voice.decoder, work),
            "utterance": lambda: speak(self.voice, work, reference),
            "first_audio": lambda: self._first_chunk(work, reference),
        }
        if (hubert := encoder.hubert) is not None:
            runs["hubert"] = lambda: hubert.run({"wave": work.wave_16k[None]})
        if encoder.speaker is not None:
            runs["speaker"] = lambda: encoder.speaker_of(work.wave, REFERENCE_RATE)
        return runs

    def generate(self, work: Workload) -> Iterator[int]:
        """Generates tokens of the workload without end; see `Runner.generate`."""
        return iter(
            self.voice.text_to_semantic.tokens(
                work.all_phones, work.bert, work.prompt, options=ENDLESS, noise=work.token_noise()
            )
        )

    def probe_command(self) -> list[str]:
        """The command that loads the bundle in a fresh process; see `Runner.probe_command`."""
        shared = str(self.bundle.shared or "")
        place = (
            str(self.bundle.path),
            self.device,
            self._backend,
            str(self.threads),
            self._gpt_steps,
            self._vocoder_engine,
            self._plan,
            shared,
        )
        return [sys.executable, "-m", "sovits_runtime.bench.probe", *place]

    def bytes_per_token(self, work: Workload) -> int | None:
        """Returns the bytes a step must read: weights of layers and head, and the filled positions of the cache.

        Positions are counted at the middle of the generation. None for a precision whose weights this does not know.
        """
        size = {FP32: 4, FP16: 2}.get(self.bundle.manifest["graphs"][STEP]["precision"])
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
        with closing(
            self.voice.stream([phrase], reference, options=utterance_options(len(work.tokens)))
        ) as chunks:
            return next(chunks)


def condition_width(decoder: SpeechDecoder) -> int | None:
    """Returns how many numbers a frame the steps of flow matching are told; None without any."""
    if not isinstance(decoder, FlowMatchingDecoder):
        return None
    width = decoder.step.spec.tensor("condition").shape[2]
    assert isinstance(width, int)
    return width


def decoder_runs(decoder: SpeechDecoder, work: Workload) -> StageRuns:
    """Returns one call for each stage of a decoder."""
    arrays = work.decoder_arrays()
    return {stage.name: partial(stage.output, arrays) for stage in decoder.stages}


def reference_of(work: Workload) -> Reference:
    """Returns the workload's prepared reference."""
    phones = len(work.prompt_phones)
    mel = work.flow.reference_mel if work.flow else None
    return Reference("benchmark", work.prompt_phones, work.bert[:phones], work.prompt, work.style, mel)


def speak(voice: Synthesizer, work: Workload, reference: Reference) -> object:
    """Speaks the workload's utterance from its prepared reference."""
    bert = work.bert[len(work.prompt_phones) :]
    return voice.synthesize(work.phones, reference, bert=bert, options=utterance_options(len(work.tokens)))


def first_tokens(runner: Runner, work: Workload) -> list[int]:
    """Generates the workload's tokens."""
    return list(islice(runner.generate(work), len(work.tokens)))


def utterance_options(tokens: int) -> SpeechOptions:
    """Returns the options that make the workload's utterance exactly so long."""
    return SpeechOptions(ENDLESS, pause_s=0.0, max_tokens=max(1, tokens))
