"""Replays whole requests of the official pipeline (`e2e_*.npz`) by the public API, with the same noise.

Cases: `parallel` (sentences of a batch decoded in one go, batches by text length), `parallel_speed`, `naive` (one by
one) and `fragments`; of v5 also `defaults` and `stream`, which falls back to fragments there. `stream` and
`stream_fixed` of the others are not replayed: the official chunk streaming sends some tokens twice, which no option of
ours does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from conformance_sizes import building, load_golden, meta_of, sizes_of, write_checkpoints, write_vocoder
from numpy.typing import NDArray

from sovits_exporter.building.build import build
from sovits_exporter.building.request import BuildRequest
from sovits_exporter.demo.weights import unit
from sovits_exporter.demo.writers import write_speaker
from sovits_runtime import Phrase, Reference, SamplingOptions, SpeechOptions, Synthesizer
from sovits_runtime.audio.fbank import fbank
from sovits_runtime.audio.mel import reference_mel
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import model_spec
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.speech.noise import NormalNoise

CASES = ("parallel", "parallel_speed", "naive", "fragments")
CASES_OF_V5 = ("stream", "defaults")
SAMPLES_LIMIT = 1e-4  # of full scale
SHARE_LIMIT = 1e-3  # an SNR of 60 dB
SAMPLING = SamplingOptions(top_k=1, top_p=1.0, temperature=1.0, repetition_penalty=1.35)
PAUSE_RATE = 32000  # the official pause has the samples of 32 kHz, whatever the rate of the speech
THRESHOLD = 0.75
FLOW_STEPS = 4  # those of all recorded v3 and v4 speech

Golden = dict[str, Array]
Case = dict[str, Any]
Pcm = NDArray[np.int16]


def replay_requests(file: Path) -> Iterator[tuple[str, float, float]]:
    """Yields the name, error and limit of every case of an `e2e_*.npz`."""
    g = load_golden(file)
    meta = meta_of(g)
    with tempfile.TemporaryDirectory() as folder, build_voice(Path(folder), meta) as voice:
        request = Request(voice, g, meta)
        for case in (*CASES, *(CASES_OF_V5 if "max_target" in meta else ())):
            if f"{case}_audio" in g:
                yield request.compare(case)


def build_voice(folder: Path, meta: dict[str, Any]) -> Synthesizer:
    """Builds the voice of a file; versions with a speaker network get the full-size one."""
    sizes = sizes_of(meta)
    gpt, sovits = write_checkpoints(folder, sizes)
    request = BuildRequest(
        gpt=gpt, sovits=sovits, output=folder / "bundle", version=sizes.version, verify=False
    )
    if model_spec(sizes.version).speaker_network:
        request = replace(request, speaker=folder / "speaker.ckpt")
        write_speaker(request.speaker, tiny=False, seed=sizes.seed, report=lambda *_: None)
    if sizes.vocoder is not None:
        request = replace(request, vocoder=folder / "vocoder")
        write_vocoder(request.vocoder, sizes)
    build(request, progress=building)
    return Synthesizer.load(request.output)


class Request:
    """One official request, asked of our API."""

    def __init__(self, voice: Synthesizer, g: Golden, meta: dict[str, Any]) -> None:
        self.voice = voice
        self.g = g
        self.meta = meta
        if isinstance(voice.decoder, FlowMatchingDecoder):
            named = {
                "prompt_frames": "T_ref",
                "window_frames": "T_chunk",
                "speech_frames": "max_target",
                "prompt_tail": "tail",
            }
            sizes = {field: meta[key] for field, key in named.items() if key in meta}
            voice.decoder.flow = replace(voice.decoder.flow, **sizes)
        self.reference = self._reference()

    def _reference(self) -> Reference:
        g, encoder = self.g, self.voice.reference_encoder
        feeds = {"wave": g["in_wav32"][None]}
        if encoder.needs_speaker:
            assert encoder.speaker is not None
            feeds["speaker"] = encoder.speaker.run({"features": fbank(g["in_wav16"])[None]})["speaker"]
        style = encoder.style.run(feeds)["style"]
        bert = np.ascontiguousarray(g["in_prompt_bert"].T)
        mel, flow = None, self.voice.spec.flow
        if flow is not None:
            mel = reference_mel(g["in_wav_mel"], flow.mel_sample_rate, flow=flow)
        return Reference("golden", g["in_prompt_phones"], bert, g["in_prompt"], style, mel)

    def compare(self, case: str) -> tuple[str, float, float]:
        """Largest difference of 16-bit samples as a fraction of full scale; of v3 and v4, error over signal.

        A file does not say how many of its sentences a case reads: it is the number that gives the length.
        """
        expected, pieces = self.g[f"{case}_audio"], self.g[f"{case}_len"].tolist()
        for count in range(self._sentences, 0, -1):
            spoken = self.pieces(case, count)
            if [len(p) for p in spoken] == pieces:
                difference = np.concatenate(spoken).astype(np.float64) - expected
                if self.voice.spec.flow is None:
                    return f"{case}, samples", float(np.abs(difference).max() / 32768), SAMPLES_LIMIT
                share = np.sqrt(np.sum(difference**2) / np.sum(expected.astype(np.float64) ** 2))
                return f"{case}, error over signal", float(share), SHARE_LIMIT
        return f"{case}, length", float("inf"), 0.0

    @property
    def _sentences(self) -> int:
        return sum(name.startswith("in_phones_") for name in self.g)

    def pieces(self, case: str, count: int) -> list[Pcm]:
        """The audio of a case in the pieces that the official pipeline hands out."""
        settings, noise = self.meta["cases"][case], self._noise()
        if settings.get("parallel_infer", True):
            sentences = self._parallel(settings, count, noise)
        else:
            sentences = [self._naive(i, settings, noise) for i in range(count)]
        fragments = settings.get("return_fragment") or settings.get("streaming_mode")
        return sentences if fragments else [np.concatenate(sentences)]

    def _parallel(self, settings: Case, count: int, noise: NormalNoise) -> list[Pcm]:
        options, spoken = self._options(settings), {}
        for batch in self._batches(settings, count):
            phrases = [self._phrase(i) for i in batch]
            made = self.voice.synthesize_many(phrases, self.reference, options=options, noise=noise)
            spoken |= {i: official_pcm(s.samples) for i, s in zip(batch, made, strict=True)}
        return [spoken[i] for i in range(count)]

    def _naive(self, i: int, settings: Case, noise: NormalNoise) -> Pcm:
        """At its length limit this path makes a token more than the other and loses the first one."""
        options, phrase = self._options(settings), self._phrase(i)
        limit = self.meta["early_stop_num"] + 1
        utterance = self.voice.generate(
            phrase.phones, self.reference, bert=phrase.bert, options=replace(options, max_tokens=limit)
        )
        if utterance.stop_reason == "max_tokens":
            utterance = replace(utterance, tokens=utterance.tokens[1:])
        spoken = self.voice.decode(utterance, self.reference, options=options, noise=noise)
        return official_pcm(spoken.samples)

    def _options(self, settings: Case) -> SpeechOptions:
        pause = int(PAUSE_RATE * settings.get("fragment_interval", 0.3)) / self.voice.spec.sample_rate
        speed = settings.get("speed_factor", 1.0)
        return SpeechOptions(
            SAMPLING,
            speed=speed,
            pause_s=pause,
            max_tokens=self.meta["early_stop_num"],
            flow_steps=self._flow_steps(settings),
            guidance=settings.get("cfg_rate"),
        )

    def _flow_steps(self, settings: Case) -> int | None:
        """What a case names; before there was a choice, all were recorded with the same."""
        before = FLOW_STEPS if self.voice.spec.flow and "max_target" not in self.meta else None
        return settings.get("sample_steps", before)

    def _phrase(self, i: int) -> Phrase:
        return Phrase(self.g[f"in_phones_{i}"], np.ascontiguousarray(self.g[f"in_bert_{i}"].T))

    def _noise(self) -> NormalNoise:
        draws = iter(range(1 << 30))
        return lambda shape: unit(f"noise.{next(draws)}", shape, self.meta["seed"])

    def _batches(self, settings: Case, count: int) -> list[list[int]]:
        """Sentences by batch: in order, or sorted into buckets of similar text length.

        Source: GPT-SoVITS, TTS_infer_pack/TTS.py, TTS.to_batch.
        """
        size = settings.get("batch_size", 1)
        in_order = settings.get("speed_factor", 1.0) != 1 or self.voice.spec.flow is not None
        if in_order or not settings.get("split_bucket", True):
            return [list(range(count))[i : i + size] for i in range(0, count, size)]
        lengths = [int(self.g[f"in_textlen_{i}"]) for i in range(count)]
        rest = sorted(range(count), key=lambda i: lengths[i])
        batches = []
        while rest:
            batch = rest[:size]
            while len(batch) > 1 and not _alike([lengths[i] for i in batch]):
                batch.pop()
            batches.append(batch)
            rest = rest[len(batch) :]
        return batches


def _alike(lengths: list[int]) -> bool:
    return lengths[len(lengths) // 2] >= THRESHOLD * (sum(lengths) / len(lengths) + 1e-8)


def official_pcm(samples: NDArray[np.float32]) -> Pcm:
    """16-bit samples as the original makes them: cut off towards zero (ours are rounded)."""
    return (samples * np.float32(32768)).astype(np.int16)
