"""Load a bundle, take a reference voice, speak."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import Audio
from sovits_runtime.audio.files import AudioSource, read_content
from sovits_runtime.backends.open import open_voice
from sovits_runtime.backends.voice import GptSteps, LoadOptions, VocoderEngine, VoiceBackend
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import HUBERT, PROMPT_TOKENS, REFERENCE_STYLE, SPEAKER
from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import BackendError
from sovits_runtime.machine.process_memory import return_freed_memory
from sovits_runtime.speech.attempts import log_problem, one_ahead
from sovits_runtime.speech.chunk_plan import chunks_from
from sovits_runtime.speech.chunk_stream import ChunkStream, until_closed
from sovits_runtime.speech.decoder import SpeechDecoder
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.speech.hifigan_decoder import HifiganDecoder
from sovits_runtime.speech.lifetime import CLOSED, Lifetime
from sovits_runtime.speech.noise import NormalNoise
from sovits_runtime.speech.plausible import (
    empty,
    endless,
    loudest,
    silent,
    too_short,
    transcript_warning,
)
from sovits_runtime.speech.reference import Recording, Reference, ReferenceEncoder, ReferenceStore
from sovits_runtime.speech.speaker import Speaker
from sovits_runtime.speech.stored import StoredReferences
from sovits_runtime.speech.types import (
    AudioSentence,
    Chunk,
    ChunkOptions,
    PhoneInput,
    Phrase,
    SpeechOptions,
    TokenSequence,
)
from sovits_runtime.t2s.generator import SemanticGenerator
from sovits_runtime.t2s.limits import check_count
from sovits_runtime.text.g2pw_place import chosen_folder
from sovits_runtime.text.parts import DEFAULT_IDLE_S
from sovits_runtime.text.split import STREAM

if TYPE_CHECKING:  # whoever speaks phones alone does not wait for the text front end
    from sovits_runtime.speech.bert_features import BertFeatures
    from sovits_runtime.speech.text_reader import TextReader
    from sovits_runtime.text.user_lexicon import Lexicon
    from sovits_runtime.text.zh.g2pw import PolyphoneReader

logger = logging.getLogger(__name__)

DECODERS: dict[str, type[SpeechDecoder]] = {"hifigan": HifiganDecoder, "cfm": FlowMatchingDecoder}
"""Decoder kind of `ModelSpec` -> its class."""


class Synthesizer(Speaker):
    """A loaded voice. Safe to use from several threads: each request has its own state.

    Use `Synthesizer.load`; the parts (`text_to_semantic`, `decoder`, `reference_encoder`) are public and can be used
    alone with arrays and given noise.

    Args:
        backend: What runs the graphs, from `open_voice`.

    Attributes:
        spec: What its version is like.
        stored: The references that the bundle carries.
        options: How it was loaded.
        runs_on: Graph -> what runs it, of the graphs opened so far.
    """

    def __init__(self, backend: VoiceBackend) -> None:
        super().__init__(backend.bundle.spec, Lifetime(forks=backend.options.device == "cpu"))
        self.bundle = backend.bundle
        self.options = backend.options
        self.runs_on = backend.runs_on
        self._backend: VoiceBackend | None = backend
        self._references = ReferenceStore(self.bundle)
        self.stored = StoredReferences(self.bundle)
        self._reference_encoder: ReferenceEncoder | None = None
        try:
            self._decoder = DECODERS[self.spec.decoder].open(backend.graph, self.spec)
            backend.warm()
        except BaseException:
            self.close()
            raise

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str] | Bundle,
        *,
        device: str = "cpu",
        backend: str = "onnxruntime",
        threads: int | None = None,
        requests: int = 1,
        gpt_steps: GptSteps = "auto",
        vocoder_engine: VocoderEngine = "auto",
        plan: str = "auto",
        strict: bool = False,
        shared: str | os.PathLike[str] | None = None,
        full_check: bool = False,
    ) -> Synthesizer:
        """Opens a bundle for speaking.

        Args:
            bundle: The bundle's folder, or an opened one.
            device: See `LoadOptions`, as for the next seven.
            backend: "onnxruntime" or "tensorrt".
            threads: Threads within one operator.
            requests: On a GPU, how many requests may be in flight.
            gpt_steps: What runs the GPT's steps: "auto", "onnxruntime" or "native".
            vocoder_engine: On a CPU, what runs the vocoder: "auto", "onnxruntime" or "native".
            plan: On a CPU: "auto", "none", "tuned", "exact" or a plan's file.
            strict: Whether what cannot run as requested is an error.
            shared: Folder of shared parts, when not beside the bundle.
            full_check: Compare the sha256 of every file first.

        Raises:
            BundleError: The bundle is damaged or incomplete.
            BackendError: The device cannot be used.
        """
        if not isinstance(bundle, Bundle):
            bundle = Bundle.open(bundle, shared=shared, full=full_check)
        options = LoadOptions(
            device=device,
            backend=backend,
            threads=threads,
            requests=requests,
            gpt_steps=gpt_steps,
            vocoder_engine=vocoder_engine,
            plan=plan,
            strict=strict,
        )
        return cls(open_voice(bundle, options))

    def __enter__(self) -> Synthesizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees sessions and caches; what is called afterwards raises `BackendError`.

        Requests of other threads end with that error too, at their next token or graph, and are waited for. Streams
        that nobody reads from are freed.
        """
        self._lifetime.end()
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()
        self._reference_encoder = None
        self._release_text_graphs()
        for name in ("_decoder", "_bert", "_polyphones", "text"):
            self.__dict__.pop(name, None)

    def _release_text_graphs(self) -> None:
        for name in ("_bert", "_polyphones"):
            opened = self.__dict__.get(name)  # when first needed
            if opened is not None:
                opened.release()

    def describe(self) -> dict[str, Any]:
        """The requested device and backend, and what runs each graph; on a GPU, also memory."""
        requested = {
            "device": self.options.device,
            "backend": self.options.backend,
            "graphs": dict(self.runs_on),
        }
        return {**requested, **(self._backend.describe() if self._backend else {})}

    @property
    def backend(self) -> VoiceBackend:
        """What runs the graphs.

        Raises:
            BackendError: The voice is closed.
        """
        if self._backend is None:
            raise BackendError(CLOSED)
        return self._backend

    @property
    def text_to_semantic(self) -> SemanticGenerator:
        """The GPT."""
        return self.backend.text_to_semantic

    @property
    def decoder(self) -> SpeechDecoder:
        """What turns semantic tokens into sound."""
        self.backend  # noqa: B018 - refuses a closed voice
        return self._decoder

    @property
    def reference_encoder(self) -> ReferenceEncoder:
        """The graphs that read recordings, opened when first needed."""
        if self._reference_encoder is None:
            self._reference_encoder = ReferenceEncoder(
                self._open_if_there(HUBERT),
                self.open_graph(PROMPT_TOKENS),
                style=self.open_graph(REFERENCE_STYLE),
                speaker=self._open_if_there(SPEAKER),
                flow=self.spec.flow,
            )
        return self._reference_encoder

    @cached_property
    def text(self) -> TextReader:
        """Reads text for this voice; opened when first needed."""
        return self.open_reader()

    @property
    def chunks(self) -> ChunkOptions:
        """How `stream` cuts unless told: as suits the speed of this machine, where `sovits-export tune` measured it."""
        return chunks_from(self.backend.chunks)

    def open_graph(self, name: str) -> Session:
        """Opens a graph of the bundle on the backend of this voice."""
        return self.backend.graph(name)

    def open_reader(
        self,
        *,
        official: bool = False,
        method: str = STREAM,
        without: Iterable[str] = (),
        lexicon: Lexicon | None = None,
        idle_s: float = DEFAULT_IDLE_S,
    ) -> TextReader:
        """Opens a text front end for this voice; set `text` to it to make it that of `stream_text`.

        Args:
            official: Read as the original does, its plain misreadings included.
            method: How text is cut: `"stream"`, or `"cut0"` to `"cut5"` of the original.
            without: Names of kinds of rewriting that are left out, such as `"roman-numerals"`.
            lexicon: Readings of names and other words.
            idle_s: Seconds after which a sentence of text that comes in parts is spoken although more may come.

        Raises:
            TextError: No such method or kind, the lexicon has phones that this voice lacks, or `SOVITS_G2PW_DIR`
                names a folder that cannot be used.
            BackendError: The G2PW model there cannot be opened.
        """
        from sovits_runtime.speech.text_reader import TextReader
        from sovits_runtime.text.pipeline import TextFrontend
        from sovits_runtime.text.user_lexicon import Lexicon

        frontend = TextFrontend(
            self.spec.symbols,
            official,
            method,
            polyphones=self._polyphones,
            without=frozenset(without),
            lexicon=lexicon or Lexicon(),
            idle_s=idle_s,
        )
        return TextReader(frontend, self._bert)

    @cached_property
    def _bert(self) -> BertFeatures:
        from sovits_runtime.speech.bert_features import BertFeatures

        return BertFeatures(self.bundle, self.open_graph, self._lifetime.work)

    @cached_property
    def _polyphones(self) -> PolyphoneReader | None:
        folder = None if self.spec.symbols == "v1" else chosen_folder()  # v1 was trained without
        if folder is None:
            return None
        from sovits_runtime.text.zh.g2pw import polyphone_reader

        return polyphone_reader(folder, tokenizer=self._bert.tokenizer_folder, threads=self.options.threads)

    def _open_if_there(self, name: str) -> Session | None:
        return self.open_graph(name) if name in self.bundle.graph_names else None

    def release_feature_graphs(self) -> None:
        """Closes the graphs that only read recordings and text (HuBERT, speaker network, reference_style, BERT, G2PW).

        Prepared references stay. What is needed again is opened again.
        """
        self._reference_encoder = None
        self._release_text_graphs()
        return_freed_memory()

    def reference(
        self,
        recording: AudioSource,
        phones: PhoneInput = (),
        *,
        bert: NDArray[np.float32] | None = None,
        more_recordings: Sequence[AudioSource] = (),
        official: bool = False,
    ) -> Reference:
        """Prepares a voice to clone.

        The result is kept by content, see `ReferenceStore`. A transcript that cannot be all that is said, or holds more
        than that, is named in a warning.

        Args:
            recording: WAV, FLAC, OGG or MP3 of 3 to 10 s (path, bytes or file object).
            phones: Of its transcript. Without them the voice comes from the global speaker embedding alone.
            bert: float32 [T, 1024] of a Chinese transcript; None: zeros, as for every other language.
            more_recordings: Further recordings of the voice, whose speaker embedding is averaged in.
            official: Resample the recording for HuBERT as the original does since v5; else as it did before.

        Raises:
            AudioError: A recording cannot be read or has the wrong length.
            BundleError: The bundle has no HuBERT, or no speaker network where its version needs one.
            TextError: No transcript, and the version cannot do without.
        """
        with self._lifetime.work():
            recordings = [Recording(*read_content(r)) for r in (recording, *more_recordings)]
            ids = self.phone_ids(phones) if len(phones) else np.zeros(0, np.int64)
            features = self.bert_or_zeros(ids, bert)
            made = self._references.get(
                recordings, ids, features, encoder=lambda: self.reference_encoder, official=official
            )
        if warning := transcript_warning(ids, len(made.prompt), self.spec.symbols):
            logger.warning("%s: %s", recordings[0].name, warning)
        return made

    def reference_from_text(
        self,
        recording: AudioSource,
        text: str,
        *,
        language: str,
        more_recordings: Sequence[AudioSource] = (),
        official: bool = False,
    ) -> Reference:
        """Prepares a voice from a recording and its transcript as text.

        Args:
            recording: As in `reference`, as are the errors.
            text: Its transcript.
            language: Language or mode of the transcript.
            more_recordings: As in `reference`.
            official: As in `reference`; how the transcript is read is up to `text`.
        """
        transcript = self.text.transcript(text, language)
        return self.reference(
            recording,
            transcript.phones,
            bert=transcript.bert,
            more_recordings=more_recordings,
            official=official,
        )

    def synthesize(
        self,
        phones: PhoneInput,
        reference: Reference,
        *,
        bert: NDArray[np.float32] | None = None,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> AudioSentence:
        """Speaks one sentence.

        Args:
            phones: Of the sentence.
            reference: The voice to clone.
            bert: float32 [T, 1024] of a Chinese sentence; None: zeros.
            options: How to speak.
            noise: The decoder's noise; None: sampled from the seed.

        Raises:
            GenerationError: No usable speech within the allowed retries.
            ShapeError: The version does not take what the options ask.
        """
        how = (options or SpeechOptions()).with_seed()
        utterance = self.generate(phones, reference, bert=bert, options=how)
        return self._heard(utterance, reference, bert=bert, options=how, noise=noise)

    def synthesize_many(
        self,
        phrases: Sequence[Phrase | PhoneInput],
        reference: Reference,
        *,
        batch_size: int | None = None,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> Iterator[AudioSentence]:
        """Speaks sentences in batches; those of a batch are decoded in one go, as the original does by default.

        Neighbours in a batch change the audio slightly, so it differs from `synthesize`'s.

        Args:
            phrases: Phones, or a `Phrase` where a sentence has BERT features.
            reference: The voice to clone.
            batch_size: How many sentences are decoded together; None: all.
            options: How to speak.
            noise: The decoder's noise, for all batches in turn; None: sampled from the seed.

        Raises:
            GenerationError: No usable speech within the allowed retries.
            ShapeError: A batch of less than one sentence.
        """
        size = len(phrases) or 1 if batch_size is None else batch_size
        check_count("batch_size", size, 1, hint=", or None for all")
        how = (options or SpeechOptions()).with_seed()
        for start in range(0, len(phrases), size):
            batch = [_phrase(p) for p in phrases[start : start + size]]
            utterances = [self.generate(p.phones, reference, bert=p.bert, options=how) for p in batch]
            spoken = self.decode_joined(utterances, reference, options=how, noise=noise)
            for phrase, utterance, sentence in zip(batch, utterances, spoken, strict=True):
                yield self._heard(
                    utterance, reference, bert=phrase.bert, options=how, noise=noise, spoken=sentence
                )

    def synthesize_each(
        self,
        phrases: Iterable[Phrase | PhoneInput],
        reference: Reference,
        *,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> Iterator[AudioSentence]:
        """Speaks sentence by sentence: each is yielded as soon as it is whole. Arguments as in `synthesize_many`."""
        how = (options or SpeechOptions()).with_seed()

        def generate(phrase: Phrase | PhoneInput) -> tuple[Phrase, TokenSequence]:
            phrase = _phrase(phrase)
            return phrase, self.generate(phrase.phones, reference, bert=phrase.bert, options=how)

        ahead = one_ahead if self.backend.overlaps else map
        for phrase, utterance in ahead(generate, phrases):
            yield self._heard(utterance, reference, bert=phrase.bert, options=how, noise=noise)

    def stream(
        self,
        phrases: Iterable[Phrase | PhoneInput],
        reference: Reference,
        *,
        chunks: ChunkOptions | None = None,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> ChunkStream:
        """Speaks in chunks: the first sounds while the rest of its sentence is still being made.

        Nothing is made before it is asked for, so a slow listener costs no memory; closing the stream, from any thread,
        frees the sentence's state at once. v3 to v5 speak in windows of flow matching, once the sentence's tokens are
        there.

        Args:
            phrases: Phones, or a `Phrase` where a sentence has BERT features.
            reference: The voice to clone.
            chunks: How to cut; None: what suits this machine where `sovits-export tune` measured it, else the defaults.
            options: How to speak.
            noise: The decoder's noise, for all sentences in turn; None: sampled from the seed.

        Raises:
            GenerationError: A sentence ended before its first token, within the allowed retries.
            BundleError: The bundle was built by a release that did not speak in chunks.
        """
        how, cut = (options or SpeechOptions()).with_seed(), chunks or self.chunks

        def make(closed: threading.Event) -> Generator[Chunk, None, None]:
            for i, phrase in enumerate(map(_phrase, phrases)):
                yield from self._chunks(
                    phrase, reference, index=i, chunks=cut, options=how, noise=noise, closed=closed
                )
                return_freed_memory()

        return self._lifetime.watch(ChunkStream(make, self._lifetime.work, seed=how.seed))

    def _chunks(
        self,
        phrase: Phrase,
        reference: Reference,
        *,
        index: int,
        chunks: ChunkOptions,
        options: SpeechOptions,
        noise: NormalNoise | None,
        closed: threading.Event,
    ) -> Iterator[Chunk]:
        """Yields one sentence in chunks, the pause after it as the last.

        What was given out cannot be taken back: only a sentence that ends before its first token is sampled again.
        """
        ids, rate, level = self.phone_ids(phrase.phones), self.spec.sample_rate, 0.0
        tries = self._attempts(ids, reference, bert=phrase.bert, options=options, problem_of=empty)
        with closing(tries):
            for attempt, tokens in tries:
                sound = self.decoder.stream(
                    until_closed(tokens, closed),
                    ids,
                    reference=reference,
                    options=options,
                    chunks=chunks,
                    noise=noise or self.decoder_noise(options, attempt),
                )
                for samples in sound:
                    level = max(level, loudest(samples, rate))
                    if len(samples):
                        yield Chunk(samples, rate, sentence=index)
        problem = endless(tokens, options) or too_short(tokens, ids, self.spec.symbols)
        if problem := problem or silent(level, ids, self.spec.symbols):
            log_problem(len(ids), attempt, problem)
        pause = np.zeros(round(rate * options.pause_s), np.float32)
        yield Chunk(pause, rate, sentence=index, stop_reason=tokens.stop_reason)

    def stream_text(
        self,
        text: str | Iterable[str],
        reference: Reference,
        *,
        language: str,
        chunks: ChunkOptions | None = None,
        options: SpeechOptions | None = None,
    ) -> ChunkStream:
        """Speaks a text of any length in chunks. Arguments and errors as in `stream` and `TextReader.phrases`."""
        phrases = self.text.phrases(text, language)
        return self.stream(phrases, reference, chunks=chunks, options=options)

    def synthesize_text(
        self, text: str, reference: Reference, *, language: str, options: SpeechOptions | None = None
    ) -> Audio:
        """Speaks a text as a whole. Arguments and errors as in `synthesize` and `TextReader.phrases`."""
        phrases = self.text.phrases(text, language)
        return Audio.concatenate(list(self.synthesize_each(phrases, reference, options=options)))

    def say(
        self,
        text: str,
        *,
        reference: Reference | str | None = None,
        language: str | None = None,
        options: SpeechOptions | None = None,
    ) -> Audio:
        """Speaks a text with the voice that the bundle carries.

        Args:
            text: Of any length.
            reference: Name of a reference in the bundle, such as an emotion, or a prepared one; None: the first.
            language: Language or mode of the text; None: that of its script, see `likely_language`.
            options: How to speak.

        Raises:
            BundleError: The bundle carries no reference, or none of that name.
            TextError: The text cannot be read, or the extra of its language is not installed.
            GenerationError: No usable speech within the allowed retries.
        """
        from sovits_runtime.text.host import likely_language

        whose = reference if isinstance(reference, Reference) else self.stored.get(reference)
        if language is None:
            own = "" if isinstance(reference, Reference) else self.stored.language(reference)
            language = likely_language(text, own)
        return self.synthesize_text(text, whose, language=language, options=options)


def _phrase(phrase: Phrase | PhoneInput) -> Phrase:
    return phrase if isinstance(phrase, Phrase) else Phrase(phrase)
