"""Load a bundle, take a reference voice, speak."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import Audio
from sovits_runtime.audio_file import AudioSource, read_content
from sovits_runtime.bundle import Bundle
from sovits_runtime.decoder import DEFAULT_NOISE_SCALE, SemanticDecoder
from sovits_runtime.errors import GenerationError, TextError
from sovits_runtime.reference import Recording, Reference, ReferenceEncoder, reference_key
from sovits_runtime.sampling import SamplingOptions
from sovits_runtime.session import Session, SessionOptions, open_session
from sovits_runtime.t2s import MAX_NEW_TOKENS, Generation, StopReason, TextToSemantic, seeded_noise
from sovits_runtime.text.symbols import symbol_ids

if TYPE_CHECKING:
    from sovits_runtime.speech_text import TextSpeaker

logger = logging.getLogger(__name__)

PhoneInput = Sequence[str] | NDArray[np.int64]

REMEMBERED_REFERENCES = 32  # kept in memory; all of them stay on disk
MEMORY_MAPPED = {"gpt_prefill"}  # shares its weights with gpt_step, so it must not hold a copy of its own


@dataclass(frozen=True)
class SpeechOptions:
    """How to speak.

    Attributes:
        sampling: How tokens are drawn.
        seed: Same seed, same speech, bit for bit on one machine.
        speed: Above 1 is faster.
        noise_scale: Liveliness of the decoder.
        pause_s: Silence after each sentence, in seconds.
        max_tokens: Limit of one sentence (25 tokens are one second). Reaching a limit that was given ends the
            sentence there; without one, a sentence that does not end by itself is drawn again.
        retries: How often a failed sentence (empty, or without an end) is drawn again with another seed.
    """

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    seed: int = 0
    speed: float = 1.0
    noise_scale: float = DEFAULT_NOISE_SCALE
    pause_s: float = 0.3
    max_tokens: int | None = None
    retries: int = 2


@dataclass(frozen=True, eq=False)
class Sentence(Audio):
    """One spoken sentence, with how it was made.

    Attributes:
        tokens: int64 [n], its semantic tokens.
        stop_reason: "eos", or "max_tokens" when the given limit cut it.
        attempts: 1, or more when generation had to be repeated.
        generate_s: Seconds spent on tokens.
        decode_s: Seconds spent on the waveform.
    """

    tokens: NDArray[np.int64] = field(repr=False)
    stop_reason: StopReason
    attempts: int
    generate_s: float
    decode_s: float


class Synthesizer:
    """A loaded voice. Safe to use from several threads: each request has its own state.

    Use `Synthesizer.load`; the parts (`text_to_semantic`, `decoder`, `reference_encoder`) are public and can be used
    alone with arrays and given noise.
    """

    def __init__(self, bundle: Bundle, options: SessionOptions) -> None:
        self.bundle = bundle
        self.spec = bundle.spec
        self.options = options
        self.text_to_semantic = TextToSemantic(self._open("gpt_prefill"), self._open("gpt_step"))
        self.decoder = SemanticDecoder(
            self._open("sovits_encoder"), self._open("sovits_flow"), self._open("sovits_vocoder")
        )
        self._reference_encoder: ReferenceEncoder | None = None
        self._references: dict[str, Reference] = {}

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str] | Bundle,
        *,
        device: str = "cpu",
        threads: int | None = None,
        shared: str | os.PathLike[str] | None = None,
        full_check: bool = False,
    ) -> Synthesizer:
        """Opens a bundle for speaking.

        Args:
            bundle: The bundle's folder, or an opened one.
            device: "cpu" or "cuda".
            threads: Threads within one operator; None: all physical cores.
            shared: Folder of shared parts, when not beside the bundle.
            full_check: Compare the sha256 of every file first.

        Raises:
            BundleError: The bundle is damaged or incomplete.
            BackendError: The device cannot be used.
        """
        if not isinstance(bundle, Bundle):
            bundle = Bundle.open(bundle, shared=shared, full=full_check)
        return cls(bundle, SessionOptions(device=device, threads=threads))

    def __enter__(self) -> Synthesizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees sessions and caches; the synthesizer cannot be used afterwards."""
        for name in ("text_to_semantic", "decoder", "_reference_encoder", "_references", "text"):
            self.__dict__.pop(name, None)

    def _open(self, name: str) -> Session:
        options = SessionOptions(self.options.device, self.options.threads, prepack=name not in MEMORY_MAPPED)
        return open_session(self.bundle.graph_path(name), self.bundle.graph_spec(name), options=options)

    def _open_if_there(self, name: str) -> Session | None:
        return self._open(name) if name in self.bundle.graph_names else None

    @property
    def reference_encoder(self) -> ReferenceEncoder:
        """The graphs that read recordings, opened when first needed."""
        if self._reference_encoder is None:
            self._reference_encoder = ReferenceEncoder(
                self._open_if_there("hubert"),
                self._open("prompt_tokens"),
                style=self._open("reference_style"),
                speaker=self._open_if_there("speaker"),
            )
        return self._reference_encoder

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
        """Prepares a voice to clone; the result is cached in memory and in the bundle's `references/`.

        Args:
            recording: WAV, FLAC, OGG or MP3 of 3 to 10 s (path, bytes or file object).
            phones: Of its transcript. Without them the voice comes from the style alone.
            bert: float32 [T, 1024] of a Chinese transcript; None: zeros, as for every other language.
            more_recordings: Further recordings of the voice, whose style is averaged in.

        Raises:
            AudioError: A recording cannot be read or has the wrong length.
            BundleError: The bundle has no HuBERT, or no speaker network where its version needs one.
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
        path = self.bundle.path / "references" / f"{key}.npz"
        if path.is_file():
            return Reference.load(path)
        reference = self.reference_encoder.encode(recordings, ids, bert, key=key)
        try:
            path.parent.mkdir(exist_ok=True)
            reference.save(path)
        except OSError as error:
            logger.warning("cannot keep the prepared reference in %s: %s", path.parent, error)
        return reference

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
    ) -> Sentence:
        """Speaks one sentence.

        Args:
            phones: Of the sentence.
            reference: The voice.
            bert: float32 [T, 1024] of a Chinese sentence; None: zeros.
            options: How to speak.

        Raises:
            GenerationError: No usable speech within the allowed retries.
        """
        options = options or SpeechOptions()
        ids = self.phone_ids(phones)
        features = self._bert(ids, bert)
        start = time.perf_counter()
        generation, attempt, rng = self._generate(ids, features, reference, options)
        middle = time.perf_counter()
        noise = self.decoder.draw_noise(rng, 2 * len(generation.tokens), speed=options.speed)
        samples = self.decoder.decode(
            generation.tokens,
            ids,
            style=reference.style,
            noise=noise,
            noise_scale=options.noise_scale,
        )
        peak = float(np.abs(samples).max())
        samples = samples / peak if peak > 1 else samples
        silence = np.zeros(int(self.spec.sample_rate * options.pause_s), np.float32)
        return Sentence(
            np.concatenate([samples, silence]),
            self.spec.sample_rate,
            tokens=generation.tokens,
            stop_reason=generation.stop_reason,
            attempts=attempt,
            generate_s=middle - start,
            decode_s=time.perf_counter() - middle,
        )

    def stream(
        self,
        sentences: Sequence[PhoneInput],
        reference: Reference,
        *,
        options: SpeechOptions | None = None,
    ) -> Iterator[Sentence]:
        """Speaks sentence by sentence: each is yielded as soon as it is ready. Arguments as in `synthesize`."""
        for phones in sentences:
            yield self.synthesize(phones, reference, options=options)

    @cached_property
    def text(self) -> TextSpeaker:
        """The text front end of this voice; opened when first needed."""
        from sovits_runtime.speech_text import TextSpeaker

        return TextSpeaker(self)

    def stream_text(
        self,
        text: str | Iterable[str],
        reference: Reference,
        *,
        language: str,
        options: SpeechOptions | None = None,
    ) -> Iterator[Sentence]:
        """Speaks a text of any length piece by piece. Arguments and errors as in `TextSpeaker.speak`."""
        return self.text.speak(text, reference, language=language, options=options)

    def synthesize_text(
        self, text: str, reference: Reference, *, language: str, options: SpeechOptions | None = None
    ) -> Audio:
        """Speaks a text as a whole. Arguments and errors as in `TextSpeaker.speak`."""
        return Audio.concatenate(list(self.stream_text(text, reference, language=language, options=options)))

    def reference_from_text(
        self, recording: AudioSource, text: str, *, language: str, more_recordings: Sequence[AudioSource] = ()
    ) -> Reference:
        """Prepares a voice from a recording and its words. Arguments and errors as in `TextSpeaker.reference`."""
        return self.text.reference(recording, text, language=language, more_recordings=more_recordings)

    def _generate(
        self,
        ids: NDArray[np.int64],
        bert: NDArray[np.float32],
        reference: Reference,
        options: SpeechOptions,
    ) -> tuple[Generation, int, np.random.Generator]:
        phones = np.concatenate([reference.phones, ids])
        features = np.concatenate([reference.bert, bert])
        problem = ""
        for attempt in range(1, options.retries + 2):
            tokens_seed, decoder_seed = np.random.SeedSequence([options.seed, attempt - 1]).spawn(2)
            generation = self.text_to_semantic.generate(
                phones,
                features,
                reference.prompt,
                options=options.sampling,
                noise=seeded_noise(np.random.default_rng(tokens_seed), self.text_to_semantic.vocab),
                max_tokens=options.max_tokens or MAX_NEW_TOKENS,
            )
            if len(generation.tokens) == 0:
                problem = "it ended before the first token"
            elif generation.stop_reason == "max_tokens" and options.max_tokens is None:
                problem = f"it did not end within {MAX_NEW_TOKENS} tokens"
            else:
                return generation, attempt, np.random.default_rng(decoder_seed)
            logger.warning("sentence of %d phones, attempt %d: %s", len(ids), attempt, problem)
        raise GenerationError(
            f"no usable speech for {len(ids)} phones after {options.retries + 1} attempts: {problem}; try another "
            "seed or reference, a shorter sentence, or max_tokens to cut it"
        )
