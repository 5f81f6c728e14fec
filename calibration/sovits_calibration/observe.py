"""Runs a bundle over the corpus and keeps the inputs of each graph."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import soundfile

from sovits_calibration.corpus import CorpusSentence, corpus
from sovits_runtime.audio import hubert_wave
from sovits_runtime.audio.mel import reference_mel
from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.names import BERT, PREFILL, STEP
from sovits_runtime.bundle.session import BindableSession, Binding, Session
from sovits_runtime.machine.progress import Progress, no_progress
from sovits_runtime.speech.reference import Recording, Reference
from sovits_runtime.speech.types import SpeechOptions
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.host_loop import TextToSemantic
from sovits_runtime.text.bert_tokens import BertTokenizer, char_features

logger = logging.getLogger(__name__)

Feeds = Mapping[str, Array]

MAX_TOKENS = 40
FLOW_STEPS = 2
WAVE_RATE = ModelSpec.reference_sample_rate
LOUDNESS = (1.0, 0.05, 0.99)  # of the built-in recording, by peak; the first leaves it as it is
KEPT_CALLS = (1, 2, 16)
MAX_BYTES = 1 << 30


@dataclass
class CallLog:
    """Inputs of some calls of one graph: the first, second and 16th of each sentence and recording.

    Attributes:
        calls: Calls since the sentence began.
        kept: Their inputs.
        bytes: Memory that those take.
        dropped: Calls that were not kept for want of memory.
    """

    calls: int = 0
    kept: list[Feeds] = field(default_factory=list)
    bytes: int = 0
    dropped: int = 0

    def note(self, feeds: Feeds) -> None:
        """Keeps a copy of the feeds where this call is one to keep and memory allows."""
        self.calls += 1
        if self.calls not in KEPT_CALLS:
            return
        size = sum(a.nbytes for a in feeds.values())
        if self.bytes + size > MAX_BYTES:
            self.dropped += 1
            return
        self.bytes += size
        self.kept.append({name: a.copy() for name, a in feeds.items()})


def observe(
    bundle: Bundle, waves: Sequence[Recording] = (), *, progress: Progress = no_progress
) -> dict[str, list[Feeds]]:
    """Speaks the corpus and returns what the graphs were fed, by graph.

    Args:
        bundle: An FP32 bundle.
        waves: Recordings of 3 to 10 s to read as references, beside the built-in one.
        progress: Called with the language, sentences done and sentences in all.

    Raises:
        AudioError: A recording cannot be read or has the wrong length.
        TextError: The bundle holds BERT, and the tokenizers package is not installed.
    """
    backend = RecordingVoice(bundle)
    with Synthesizer(backend) as voice:
        observer = _Observer(voice, backend)
        sentences = corpus(voice.spec.symbols)
        references = observer.references(waves, sentences[0])
        for i, sentence in enumerate(sentences):
            progress(f"speak {sentence.language}", i, len(sentences))
            backend.begin()
            observer.say(sentence, references[i % len(references)], seed=i)
    for name, log in backend.logs.items():
        if log.dropped:
            message = "%s: %d of %d calls are not measured, their inputs would take more than %d MiB"
            logger.warning(message, name, log.dropped, log.dropped + len(log.kept), MAX_BYTES >> 20)
    return {name: log.kept for name, log in backend.logs.items()}


class RecordingVoice:
    """A voice on the CPU whose graphs note their inputs; a `VoiceBackend`.

    Args:
        bundle: An FP32 bundle. Its graphs are what is measured, so they run on ONNX Runtime, without native kernels.

    Attributes:
        logs: Graph -> its inputs.
    """

    chunks = None
    overlaps = False

    def __init__(self, bundle: Bundle) -> None:
        self._voice = CpuVoice(
            bundle, LoadOptions(gpt_steps="onnxruntime", vocoder_engine="onnxruntime", plan="none")
        )
        self.bundle, self.options, self.runs_on = bundle, self._voice.options, self._voice.runs_on
        self.logs: dict[str, CallLog] = {name: CallLog() for name in bundle.graph_names}
        gpt = self._voice.text_to_semantic
        self.text_to_semantic = TextToSemantic(
            _BindableRecorder(gpt.prefill, self.logs[PREFILL]),
            _BindableRecorder(gpt.step, self.logs[STEP]),
        )

    def graph(self, name: str) -> Session:
        """Opens a graph that notes its inputs; see `VoiceBackend.graph`."""
        return _Recorder(self._voice.graph(name), self.logs[name])

    def begin(self) -> None:
        """Tells the logs that a sentence or a recording begins."""
        for log in self.logs.values():
            log.calls = 0

    def warm(self) -> None:
        """Nothing: the first run would be recorded."""

    def describe(self) -> dict[str, Any]:
        """Nothing beyond `runs_on`."""
        return {}

    def close(self) -> None:
        """Frees the voice; what was recorded stays."""
        self._voice.close()


class _Observer:
    """Reads recordings and speaks sentences, so that every graph of a voice is called."""

    def __init__(self, voice: Synthesizer, backend: RecordingVoice) -> None:
        self.voice = voice
        self.backend = backend

    def references(self, waves: Sequence[Recording], sentence: CorpusSentence) -> list[Reference]:
        """Prepared voices: of the recordings where the bundle can read some, of recorded values elsewhere."""
        g = self.voice.bundle.golden("request")
        encoder = self.voice.reference_encoder
        if encoder.hubert is None or (encoder.needs_speaker and encoder.speaker is None):
            if encoder.hubert is not None:
                encoder.hubert.run({"wave": hubert_wave(g["wave"], WAVE_RATE)[None]})
            if encoder.speaker is not None:
                encoder.speaker_of(g["wave"], WAVE_RATE)
            style = {"wave": g["wave"][None]} | ({"speaker": g["speaker"]} if encoder.needs_speaker else {})
            encoder.style.run(style)
            prompt, phones = encoder.tokens(g["ssl"]), g["prompt_phones"]
            mel = None if encoder.flow is None else reference_mel(g["wave"], WAVE_RATE, flow=encoder.flow)
            return [Reference("", phones, g["bert"][: len(phones)], prompt, g["style"], mel)]
        phones = self.voice.phone_ids(sentence.phones)
        bert = self.voice.bert_or_zeros(phones, self._features(sentence))
        built_in = [_recording(g["wave"], peak) for peak in LOUDNESS]
        encoded = []
        for recording in (*built_in, *waves):
            self.backend.begin()
            encoded.append(encoder.encode([recording], phones, bert, key=""))
        return encoded

    def say(self, sentence: CorpusSentence, reference: Reference, *, seed: int) -> None:
        """Speaks one sentence."""
        steps = FLOW_STEPS if self.voice.spec.flow else None
        options = SpeechOptions(seed=seed, max_tokens=MAX_TOKENS, flow_steps=steps)
        self.voice.synthesize(sentence.phones, reference, bert=self._features(sentence), options=options)

    def _features(self, sentence: CorpusSentence) -> Array | None:
        """BERT features of a sentence; computed each time, for BERT is observed too."""
        if not sentence.norm_text or BERT not in self.backend.logs:
            return None
        encoded = char_features(
            sentence.norm_text,
            self._tokenizer,
            encode=lambda ids: self._bert.run({"input_ids": ids})["features"],
        )
        return np.repeat(encoded, sentence.word2ph, axis=0)

    @cached_property
    def _tokenizer(self) -> BertTokenizer:
        return BertTokenizer(self.voice.bundle.graph_path(BERT).parent)

    @cached_property
    def _bert(self) -> Session:
        return self.voice.open_graph(BERT)


class _Recorder:
    """A session that notes its inputs."""

    def __init__(self, session: Session, log: CallLog) -> None:
        self.spec = session.spec
        self.provider = session.provider
        self._session = session
        self._log = log

    def run(self, feeds: Feeds) -> dict[str, Array]:
        self._log.note(feeds)
        return self._session.run(feeds)


class _BindableRecorder(_Recorder):
    """A session of the GPT that notes its inputs."""

    def __init__(self, session: BindableSession, log: CallLog) -> None:
        super().__init__(session, log)
        self.cache_quantum = session.cache_quantum
        self.grown_caches = session.grown_caches
        self._bindable = session

    def bind(self, arrays: Feeds) -> Binding:
        inputs = {name: arrays[name] for name in self.spec.input_names}
        return _RecordingBinding(self._bindable.bind(arrays), inputs, self._log)


class _RecordingBinding:
    def __init__(self, binding: Binding, inputs: Feeds, log: CallLog) -> None:
        self._binding = binding
        self._inputs = inputs
        self._log = log

    def run(self) -> None:
        self._log.note(self._inputs)
        self._binding.run()


def _recording(wave: Array, peak: float) -> Recording:
    content = io.BytesIO()
    loud = wave if peak == 1.0 else wave * (peak / np.abs(wave).max())
    soundfile.write(content, loud, WAVE_RATE, format="WAV", subtype="FLOAT")
    return Recording(f"the built-in recording at a peak of {peak}", content.getvalue())
