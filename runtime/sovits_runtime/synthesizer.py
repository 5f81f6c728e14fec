"""Load a bundle, take a reference voice, speak."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import Audio
from sovits_runtime.audio.files import AudioSource, read_content
from sovits_runtime.backends.native import library_for, open_step
from sovits_runtime.backends.prepacked import MEMORY_MAPPED, STEP, find_prepacked
from sovits_runtime.bundle import CPU_FILE, Bundle
from sovits_runtime.bundle.feature_cache import reference_cache
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.session import BACKENDS, BindableSession, Session, SessionOptions, open_session
from sovits_runtime.errors import BackendError, BundleError, GenerationError, ShapeError, TextError
from sovits_runtime.machine import return_freed_memory
from sovits_runtime.machine.cuda_packages import installed_mix
from sovits_runtime.speech.chunk_stream import ChunkStream, sentence_chunks
from sovits_runtime.speech.decoder import GraphOpener, SemanticDecoder, SpeechDecoder
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.speech.reference import Recording, Reference, ReferenceEncoder, reference_key
from sovits_runtime.speech.types import (
    Chunk,
    ChunkOptions,
    NormalNoise,
    PhoneInput,
    Phrase,
    Sentence,
    SpeechOptions,
    Utterance,
    seeded_normal,
)
from sovits_runtime.t2s.host_loop import (
    MAX_NEW_TOKENS,
    SemanticGenerator,
    TextToSemantic,
    TokenStream,
    seeded_noise,
)
from sovits_runtime.text.symbols import symbol_ids

if TYPE_CHECKING:
    from sovits_runtime.backends.onnxruntime_cuda import OrtCudaVoice
    from sovits_runtime.backends.tensorrt import TensorRtVoice
    from sovits_runtime.speech.text_reader import TextSpeaker

logger = logging.getLogger(__name__)

REMEMBERED_REFERENCES = 32  # kept in memory
EVERY_TOKEN = {STEP}

DECODERS: dict[str, Callable[[GraphOpener, ModelSpec], SpeechDecoder]] = {
    "hifigan": SemanticDecoder.open,
    "cfm": FlowMatchingDecoder.open,
}
"""Decoder kind of `ModelSpec` -> what opens it."""


class Synthesizer:
    """A loaded voice. Safe to use from several threads: each request has its own state.

    Use `Synthesizer.load`; the parts (`text_to_semantic`, `decoder`, `reference_encoder`) are public and can be used
    alone with arrays and given noise.

    Attributes:
        runs_on: Graph -> what runs it, of the graphs opened so far.
    """

    def __init__(self, bundle: Bundle, options: SessionOptions) -> None:
        self.bundle = bundle
        self.spec = bundle.spec
        self.options = options
        self.runs_on: dict[str, str] = {}
        self.text_to_semantic: SemanticGenerator
        if options.backend not in BACKENDS:
            raise BackendError(
                f"backend {options.backend!r} is unknown; known backends: {', '.join(BACKENDS)}"
            )
        self._refuse_cpu_precision()
        self._native = library_for(bundle, options.native) if options.device == "cpu" else None
        if options.native and options.backend != "onnxruntime":
            raise BackendError(
                f"native kernels run beside backend 'onnxruntime', asked for {options.backend!r}"
            )
        self._prepacked = find_prepacked(bundle, native=options.native) if options.device == "cpu" else None
        self._gpu = self._open_gpu()
        if self._gpu:
            self.text_to_semantic, self.runs_on = self._gpu.text_to_semantic, self._gpu.runs_on
        else:
            self.text_to_semantic = TextToSemantic(self._session("gpt_prefill"), self._step())
        try:
            self.decoder = DECODERS[self.spec.decoder](self.open_graph, self.spec)
            if self._gpu:
                self._gpu.warm()
        except BaseException:
            self.close()
            raise
        self._reference_encoder: ReferenceEncoder | None = None
        self._references: dict[str, Reference] = {}

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str] | Bundle,
        *,
        device: str = "cpu",
        backend: str = "onnxruntime",
        threads: int | None = None,
        requests: int = 1,
        native: bool | None = None,
        strict: bool = False,
        shared: str | os.PathLike[str] | None = None,
        full_check: bool = False,
    ) -> Synthesizer:
        """Opens a bundle for speaking.

        Args:
            bundle: The bundle's folder, or an opened one.
            device: "cpu" or "cuda".
            backend: "onnxruntime", or "tensorrt" on "cuda" with engines that were built for this GPU.
            threads: Threads within one operator; None: the physical cores that affinity and container allow.
            requests: On a GPU, how many requests may be in flight; each takes device memory of its own.
            native: Whether the GPT's steps run on this project's own kernels: True, they must; False, they must not;
                None, on the CPU where `sovits-export-native` is installed and written for the processor and for the
                bundle's precision, on a GPU not. `describe` says what runs.
            strict: Whether what cannot run as asked is an error: a graph without an engine, steps that cannot be
                captured, operators that would run on the CPU. Otherwise it runs in another way, which is logged; what
                runs each graph is told by `describe`.
            shared: Folder of shared parts, when not beside the bundle.
            full_check: Compare the sha256 of every file first.

        Raises:
            BundleError: The bundle is damaged or incomplete.
            BackendError: The device cannot be used.
        """
        if not isinstance(bundle, Bundle):
            bundle = Bundle.open(bundle, shared=shared, full=full_check)
        options = SessionOptions(
            device, threads, backend=backend, requests=requests, native=native, strict=strict
        )
        return cls(bundle, options)

    def __enter__(self) -> Synthesizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees sessions and caches; the synthesizer cannot be used afterwards."""
        if self._gpu:
            self._gpu.close()
            self._gpu = None
        for name in ("text_to_semantic", "decoder", "_reference_encoder", "_references", "text"):
            self.__dict__.pop(name, None)

    def describe(self) -> dict[str, Any]:
        """What was asked for and what runs: device, backend, and by graph; on a GPU, also memory."""
        asked = {"device": self.options.device, "backend": self.options.backend, "graphs": dict(self.runs_on)}
        return {**asked, **(self._gpu.describe() if self._gpu else {})}

    def open_graph(self, name: str) -> Session:
        """Opens a graph of the bundle on the backend of this voice."""
        return self._gpu.graph(name) if self._gpu else self._session(name)

    def _step(self) -> BindableSession:
        if self._native is None:
            return self._session(STEP)
        prepacked = self._prepacked.path(STEP) if self._prepacked else None
        step = open_step(self._native, self.bundle, prepacked, self.options.threads)
        self.runs_on[STEP] = step.provider
        return step

    def _session(self, name: str, device: str | None = None) -> BindableSession:
        device = device or self.options.device
        prepacked = self._prepacked.path(name) if self._prepacked and device == "cpu" else None
        options = SessionOptions(
            device,
            self.options.threads,
            prepack=name not in MEMORY_MAPPED or prepacked is not None,
            keep_buffers=name in EVERY_TOKEN,
            optimized=prepacked is not None,
            strict=self.options.strict,
            tf32=self.bundle.manifest["graphs"][name]["precision"] == "fp16",
        )
        form = CPU_FILE if device == "cpu" else "file"
        path = prepacked or self.bundle.graph_path(name, form=form)
        session = open_session(path, self.bundle.graph_spec(name), options=options)
        self.runs_on[name] = session.provider
        return session

    def _refuse_cpu_precision(self) -> None:
        if self.options.device != "cpu" and self.bundle.cpu_only:
            raise BackendError(
                f"{self.bundle.path}: is {self.bundle.precision} for ONNX Runtime's CPU, and cannot run on "
                f"{self.options.device!r}; use device 'cpu', or the FP32 or FP16 bundle"
            )

    def _open_gpu(self) -> TensorRtVoice | OrtCudaVoice | None:
        tensorrt = self.options.backend == "tensorrt"
        if self.options.device != "cuda":
            if tensorrt:
                raise BackendError(
                    f"backend 'tensorrt' runs on device 'cuda', got {self.options.device!r}; name both, or use "
                    "backend 'onnxruntime'"
                )
            return None
        if mix := installed_mix(torch="torch" in sys.modules):
            logger.warning("%s", mix)
        if not tensorrt:
            from sovits_runtime.backends.onnxruntime_cuda import OrtCudaVoice

            return OrtCudaVoice(self.bundle, self.options, session=self._session)
        from sovits_runtime.backends.tensorrt import TensorRtVoice

        return TensorRtVoice(
            self.bundle,
            requests=self.options.requests,
            strict=self.options.strict,
            fallback=lambda name: self._session(name, "cpu"),
        )

    def _open_if_there(self, name: str) -> Session | None:
        return self.open_graph(name) if name in self.bundle.graph_names else None

    @property
    def reference_encoder(self) -> ReferenceEncoder:
        """The graphs that read recordings, opened when first needed."""
        if self._reference_encoder is None:
            self._reference_encoder = ReferenceEncoder(
                self._open_if_there("hubert"),
                self.open_graph("prompt_tokens"),
                style=self.open_graph("reference_style"),
                speaker=self._open_if_there("speaker"),
                flow=self.spec.flow,
            )
        return self._reference_encoder

    def release_feature_graphs(self) -> None:
        """Closes the graphs that only read recordings and text (HuBERT, speaker network, style, BERT).

        Prepared references stay. What is needed again is opened again.
        """
        self._reference_encoder = None
        if "text" in self.__dict__:
            self.text.release_bert()
        return_freed_memory()

    def phone_ids(self, phones: PhoneInput) -> NDArray[np.int64]:
        """Turns phone symbols (or ids, which are checked) into ids int64 [T].

        Raises:
            TextError: No phones, or an id outside the symbol table.
        """
        if len(phones) == 0:
            raise TextError("no phones given; expected at least one phone symbol or id")
        if isinstance(phones, np.ndarray):
            ids = phones.astype(np.int64)
        elif all(isinstance(p, str) for p in phones):
            ids = symbol_ids(tuple(phones), self.spec.symbols)
        else:
            raise TextError(f"phones: expected symbols (str) or an int64 array of ids, got {phones!r:.80}")
        if ids.ndim != 1 or ids.min() < 0 or ids.max() >= self.spec.n_symbols:
            raise TextError(
                f"phone ids: expected a list of 0 to {self.spec.n_symbols - 1}, got shape {list(ids.shape)} with "
                f"values {ids.min()} to {ids.max()}"
            )
        return ids

    def reference(
        self,
        recording: AudioSource,
        phones: PhoneInput = (),
        *,
        bert: NDArray[np.float32] | None = None,
        more_recordings: Sequence[AudioSource] = (),
    ) -> Reference:
        """Prepares a voice to clone.

        The result is kept by content: in memory, and in the bundle's `references/` or, where that cannot be written, in
        the user's cache folder (`$SOVITS_EXPORT_CACHE`).

        Args:
            recording: WAV, FLAC, OGG or MP3 of 3 to 10 s (path, bytes or file object).
            phones: Of its transcript. Without them the voice comes from the style alone.
            bert: float32 [T, 1024] of a Chinese transcript; None: zeros, as for every other language.
            more_recordings: Further recordings of the voice, whose style is averaged in.

        Raises:
            AudioError: A recording cannot be read or has the wrong length.
            BundleError: The bundle has no HuBERT, or no speaker network where its version needs one.
            TextError: No transcript, and the version cannot do without.
        """
        recordings = [Recording(*read_content(r)) for r in (recording, *more_recordings)]
        ids = self.phone_ids(phones) if len(phones) else np.zeros(0, np.int64)
        features = self._bert(ids, bert)
        key = reference_key(recordings, ids, features, self._reader_digest())
        reference = self._references.pop(key, None)
        if reference is None:
            reference = self._cached_reference(key, recordings, ids, features)
        self._references[key] = reference  # now the most recent one
        while len(self._references) > REMEMBERED_REFERENCES:
            self._references.pop(next(iter(self._references)), None)
        return reference

    def _reader_digest(self) -> str:
        names = ("prompt_tokens", "reference_style", "hubert", "speaker")
        return "".join(self.bundle.graph_digest(n) for n in names if n in self.bundle.graph_names)

    def _cached_reference(
        self, key: str, recordings: Sequence[Recording], ids: NDArray[np.int64], bert: NDArray[np.float32]
    ) -> Reference:
        def load(path: Path) -> Reference:
            found = Reference.load(path)
            if found.key != key:
                raise BundleError(f"it holds the reference {found.key}")
            return found

        return reference_cache(self.bundle.path).get(
            key,
            load=load,
            make=lambda: self.reference_encoder.encode(recordings, ids, bert, key=key),
            save=lambda reference, path: reference.save(path),
        )

    def _bert(self, ids: NDArray[np.int64], bert: NDArray[np.float32] | None) -> NDArray[np.float32]:
        width = self.text_to_semantic.bert_width
        if bert is None:
            return np.zeros((len(ids), width), np.float32)
        if bert.shape != (len(ids), width):
            raise TextError(
                f"BERT features: expected [{len(ids)}, {width}] for these phones, got {list(bert.shape)}"
            )
        return np.asarray(bert, np.float32)

    def synthesize(
        self,
        phones: PhoneInput,
        reference: Reference,
        *,
        bert: NDArray[np.float32] | None = None,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> Sentence:
        """Speaks one sentence.

        Args:
            phones: Of the sentence.
            reference: The voice.
            bert: float32 [T, 1024] of a Chinese sentence; None: zeros.
            options: How to speak.
            noise: The decoder's noise; None: drawn from the seed.

        Raises:
            GenerationError: No usable speech within the allowed retries.
        """
        utterance = self.generate(phones, reference, bert=bert, options=options)
        return self.decode(utterance, reference, options=options, noise=noise)

    def synthesize_many(
        self,
        sentences: Sequence[Phrase | PhoneInput],
        reference: Reference,
        *,
        batch_size: int | None = None,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> Iterator[Sentence]:
        """Speaks sentences in batches; those of a batch are decoded in one go, as the original does by default.

        What stands beside a sentence then colours it a little, so the audio differs from `synthesize`'s.

        Args:
            sentences: Phones, or a `Phrase` where a sentence has BERT features.
            reference: The voice.
            batch_size: How many sentences are decoded together; None: all.
            options: How to speak.
            noise: The decoder's noise, for all batches in turn; None: drawn from the seed.

        Raises:
            GenerationError: No usable speech within the allowed retries.
        """
        size = batch_size or len(sentences)
        phrases = [_phrase(s) for s in sentences]
        for start in range(0, len(phrases), size):
            utterances = [
                self.generate(p.phones, reference, bert=p.bert, options=options)
                for p in phrases[start : start + size]
            ]
            yield from self.decode_joined(utterances, reference, options=options, noise=noise)

    def synthesize_each(
        self,
        sentences: Iterable[Phrase | PhoneInput],
        reference: Reference,
        *,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> Iterator[Sentence]:
        """Speaks sentence by sentence: each is yielded as soon as it is whole. Arguments as in `synthesize_many`."""
        phrases = map(_phrase, sentences)

        def generate(phrase: Phrase) -> Utterance:
            return self.generate(phrase.phones, reference, bert=phrase.bert, options=options)

        for utterance in self._ahead(generate, phrases) if self._gpu else map(generate, phrases):
            yield self.decode(utterance, reference, options=options, noise=noise)

    @staticmethod
    def _ahead(generate: Callable[[Phrase], Utterance], phrases: Iterable[Phrase]) -> Iterator[Utterance]:
        """Makes the tokens of a sentence while the caller makes the sound of the one before."""
        with ThreadPoolExecutor(1, thread_name_prefix="tokens") as worker:
            following: Future[Utterance] | None = None
            for phrase in phrases:
                made, following = following, worker.submit(generate, phrase)
                if made is not None:
                    yield made.result()
            if following is not None:
                yield following.result()

    def stream(
        self,
        sentences: Iterable[Phrase | PhoneInput],
        reference: Reference,
        *,
        chunks: ChunkOptions | None = None,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> ChunkStream:
        """Speaks in chunks: the first sounds while the rest of its sentence is still being made.

        Nothing is made before it is asked for, so a slow listener costs no memory; closing the stream, from any thread,
        frees the sentence's state at once. v3 and v4 speak in windows of flow matching, once the sentence's tokens are
        there.

        Args:
            sentences: Phones, or a `Phrase` where a sentence has BERT features.
            reference: The voice.
            chunks: How to cut.
            options: How to speak.
            noise: The decoder's noise, for all sentences in turn; None: drawn from the seed.

        Raises:
            GenerationError: A sentence ended before its first token, within the allowed retries.
            BundleError: The bundle was built by a release that did not speak in chunks.
        """
        how, cut = options or SpeechOptions(), chunks or ChunkOptions()

        def make(closed: threading.Event) -> Generator[Chunk, None, None]:
            for i, phrase in enumerate(map(_phrase, sentences)):
                yield from sentence_chunks(
                    self, phrase, reference, index=i, chunks=cut, options=how, noise=noise, closed=closed
                )
                return_freed_memory()

        return ChunkStream(make)

    def tokens(
        self,
        phones: NDArray[np.int64],
        reference: Reference,
        *,
        bert: NDArray[np.float32] | None,
        options: SpeechOptions,
        attempt: int = 1,
    ) -> TokenStream:
        """Starts one sentence and gives its semantic tokens as they are made.

        Args:
            phones: int64 [T], of the sentence.
            reference: The voice.
            bert: float32 [T, 1024] of a Chinese sentence; None: zeros.
            options: How to speak.
            attempt: Each attempt draws from noise of its own.
        """
        return self.text_to_semantic.tokens(
            np.concatenate([reference.phones, phones]),
            np.concatenate([reference.bert, self._bert(phones, bert)]),
            reference.prompt,
            options=options.sampling,
            noise=seeded_noise(seeded_generators(options.seed, attempt)[0], self.text_to_semantic.vocab),
            max_tokens=options.max_tokens or MAX_NEW_TOKENS,
        )

    def decoder_noise(self, options: SpeechOptions, attempt: int = 1) -> NormalNoise:
        """Returns the source of the decoder's noise that belongs to a seed and an attempt."""
        return seeded_normal(seeded_generators(options.seed, attempt)[1])

    def generate(
        self,
        phones: PhoneInput,
        reference: Reference,
        *,
        bert: NDArray[np.float32] | None = None,
        options: SpeechOptions | None = None,
    ) -> Utterance:
        """Makes the semantic tokens of one sentence, for `decode`. Arguments and errors as in `synthesize`."""
        options = options or SpeechOptions()
        ids = self.phone_ids(phones)
        start = time.perf_counter()
        problem = ""
        for attempt in range(1, options.retries + 2):
            generation = self.tokens(ids, reference, bert=bert, options=options, attempt=attempt).finish()
            if len(generation.tokens) == 0:
                problem = "it ended before the first token"
            elif generation.stop_reason == "max_tokens" and options.max_tokens is None:
                problem = f"it did not end within {MAX_NEW_TOKENS} tokens"
            else:
                seconds = time.perf_counter() - start
                return Utterance(generation.tokens, ids, generation.stop_reason, attempt, seconds)
            logger.warning("sentence of %d phones, attempt %d: %s", len(ids), attempt, problem)
        raise GenerationError(
            f"no usable speech for {len(ids)} phones after {options.retries + 1} attempts: {problem}; try another "
            "seed or reference, a shorter sentence, or max_tokens to cut it"
        )

    def decode(
        self,
        utterance: Utterance,
        reference: Reference,
        *,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> Sentence:
        """Speaks tokens that `generate` made, or others. Arguments as in `synthesize`."""
        options = options or SpeechOptions()
        noise = noise or self.decoder_noise(options, utterance.attempts)
        start = time.perf_counter()
        samples = self.decoder.speak(utterance, reference, options=options, noise=noise)
        return_freed_memory()
        return self._sentence(samples, utterance, options, time.perf_counter() - start)

    def decode_joined(
        self,
        utterances: Sequence[Utterance],
        reference: Reference,
        *,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> list[Sentence]:
        """Speaks the tokens of several sentences in one go. Arguments as in `synthesize_many`."""
        options = options or SpeechOptions()
        if not utterances:
            raise ShapeError("no utterances given; expected at least one")
        noise = noise or self.decoder_noise(options, utterances[0].attempts)
        start = time.perf_counter()
        samples = self.decoder.speak_joined(utterances, reference, options=options, noise=noise)
        return_freed_memory()
        share = (time.perf_counter() - start) / len(utterances)
        return [self._sentence(s, u, options, share) for s, u in zip(samples, utterances, strict=True)]

    def _sentence(
        self, samples: NDArray[np.float32], utterance: Utterance, options: SpeechOptions, decode_s: float
    ) -> Sentence:
        peak = float(np.max(np.abs(samples), initial=0.0))
        samples = samples / peak if peak > 1 else samples
        silence = np.zeros(round(self.spec.sample_rate * options.pause_s), np.float32)
        return Sentence(
            np.concatenate([samples, silence]),
            self.spec.sample_rate,
            tokens=utterance.tokens,
            stop_reason=utterance.stop_reason,
            attempts=utterance.attempts,
            generate_s=utterance.generate_s,
            decode_s=decode_s,
        )

    @cached_property
    def text(self) -> TextSpeaker:
        """The text front end of this voice; opened when first needed."""
        from sovits_runtime.speech.text_reader import TextSpeaker

        return TextSpeaker(self)

    def stream_text(
        self,
        text: str | Iterable[str],
        reference: Reference,
        *,
        language: str,
        chunks: ChunkOptions | None = None,
        options: SpeechOptions | None = None,
    ) -> ChunkStream:
        """Speaks a text of any length in chunks, see `stream`. Arguments and errors as in `TextSpeaker.speak`."""
        phrases = self.text.phrases(text, language)
        return self.stream(phrases, reference, chunks=chunks, options=options)

    def synthesize_text(
        self, text: str, reference: Reference, *, language: str, options: SpeechOptions | None = None
    ) -> Audio:
        """Speaks a text as a whole. Arguments and errors as in `TextSpeaker.speak`."""
        return Audio.concatenate(list(self.text.speak(text, reference, language=language, options=options)))

    def reference_from_text(
        self, recording: AudioSource, text: str, *, language: str, more_recordings: Sequence[AudioSource] = ()
    ) -> Reference:
        """Prepares a voice from a recording and its words. Arguments and errors as in `TextSpeaker.reference`."""
        return self.text.reference(recording, text, language=language, more_recordings=more_recordings)


def _phrase(sentence: Phrase | PhoneInput) -> Phrase:
    return sentence if isinstance(sentence, Phrase) else Phrase(sentence)


def seeded_generators(seed: int, attempt: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Returns the generators of the sampling noise and of the decoder's noise."""
    tokens_seed, decoder_seed = np.random.SeedSequence([seed, attempt - 1]).spawn(2)
    return np.random.default_rng(tokens_seed), np.random.default_rng(decoder_seed)
