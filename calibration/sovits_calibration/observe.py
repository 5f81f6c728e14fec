"""Runs a bundle over the corpus and keeps what each graph was fed."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import soundfile

from sovits_calibration.corpus import CorpusSentence, corpus
from sovits_runtime.audio import hubert_wave
from sovits_runtime.audio.mel import reference_mel
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.session import BindableSession, Binding, SessionOptions
from sovits_runtime.speech.reference import Recording, Reference
from sovits_runtime.speech.types import SpeechOptions
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.text.bert_tokens import BertTokenizer, char_features

logger = logging.getLogger(__name__)

Feeds = Mapping[str, Array]
Progress = Callable[[str, int, int], None]

MAX_TOKENS = 40
FLOW_STEPS = 2
WAVE_RATE = 32000
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
    bundle: Bundle, waves: Sequence[Recording] = (), *, progress: Progress = lambda *_: None
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
    voice = _ObservedVoice(bundle, SessionOptions(native=False))  # its graphs are what is measured
    with voice:
        sentences = corpus(voice.spec.symbols)
        references = voice.references(waves, sentences[0])
        for i, sentence in enumerate(sentences):
            progress(f"speak {sentence.language}", i, len(sentences))
            voice.begin()
            voice.say(sentence, references[i % len(references)], seed=i)
    for name, log in voice.logs.items():
        if log.dropped:
            told = "%s: %d of %d calls are not measured, their inputs would take more than %d MiB"
            logger.warning(told, name, log.dropped, log.dropped + len(log.kept), MAX_BYTES >> 20)
    return {name: log.kept for name, log in voice.logs.items()}


class _ObservedVoice(Synthesizer):
    """A voice whose graphs note their inputs."""

    def __init__(self, bundle: Bundle, options: SessionOptions) -> None:
        self.logs: dict[str, CallLog] = {name: CallLog() for name in bundle.graph_names}
        super().__init__(bundle, options)

    def _session(self, name: str, device: str | None = None) -> BindableSession:
        return _Recorder(super()._session(name, device), self.logs[name])

    def begin(self) -> None:
        """Tells the logs that a sentence or a recording begins."""
        for log in self.logs.values():
            log.calls = 0

    def references(self, waves: Sequence[Recording], sentence: CorpusSentence) -> list[Reference]:
        """Prepared voices: of the recordings where the bundle can read some, of recorded values elsewhere."""
        g = self.bundle.golden("request")
        encoder = self.reference_encoder
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
        phones = self.phone_ids(sentence.phones)
        bert = self._bert(phones, self._features(sentence))
        built_in = [_recording(g["wave"], peak) for peak in LOUDNESS]
        encoded = []
        for recording in (*built_in, *waves):
            self.begin()
            encoded.append(encoder.encode([recording], phones, bert, key=""))
        return encoded

    def say(self, sentence: CorpusSentence, reference: Reference, *, seed: int) -> None:
        """Speaks one sentence."""
        steps = FLOW_STEPS if self.spec.flow else None
        options = SpeechOptions(seed=seed, max_tokens=MAX_TOKENS, flow_steps=steps)
        self.synthesize(sentence.phones, reference, bert=self._features(sentence), options=options)

    def _features(self, sentence: CorpusSentence) -> Array | None:
        if not sentence.norm_text or "bert" not in self.logs:
            return None
        session = self.open_graph("bert")
        tokenizer = BertTokenizer(self.bundle.graph_path("bert").parent)
        encoded = char_features(
            sentence.norm_text, tokenizer, encode=lambda ids: session.run({"input_ids": ids})["features"]
        )
        return np.repeat(encoded, sentence.word2ph, axis=0)


class _Recorder:
    """A session that notes its inputs."""

    def __init__(self, session: BindableSession, log: CallLog) -> None:
        self.spec = session.spec
        self.provider = session.provider
        self.cache_quantum = session.cache_quantum
        self.grown_caches = session.grown_caches
        self._session = session
        self._log = log

    def run(self, feeds: Feeds) -> dict[str, Array]:
        self._log.note(feeds)
        return self._session.run(feeds)

    def bind(self, arrays: Feeds) -> Binding:
        inputs = {name: arrays[name] for name in self.spec.input_names}
        return _RecordingBinding(self._session.bind(arrays), inputs, self._log)


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
