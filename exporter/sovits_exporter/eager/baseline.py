"""Eager PyTorch as the baseline of `bench`: the same checkpoint, run the way the original runs it.

The decode loop grows its cache by concatenation; the reference spectrogram comes from `torch.stft`; convolutions are
plain 1-D ones, weight norm removed. It is a stand-in: `benchmarks/cpu/low_latency.py` runs the original
itself. Run as a program it measures itself in a fresh process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sovits_exporter.building.pretrained_tree import SPEAKER
from sovits_exporter.checkpoint.models import build_models
from sovits_exporter.checkpoint.official import check_pair, load_gpt, load_sovits
from sovits_exporter.checkpoint.pretrained import load_hubert
from sovits_exporter.checkpoint.speaker import OFFICIAL as SPEAKER_FILE
from sovits_exporter.checkpoint.speaker import read_speaker
from sovits_exporter.checkpoint.vocoder import HIFIGAN_FILE
from sovits_exporter.eager.conv import run_in_one_dimension
from sovits_exporter.eager.flow import eager_flow_decoder, find_vocoder
from sovits_exporter.modeling.eager import EagerOptions, generate
from sovits_exporter.modeling.reference_encoder import HOP, N_FFT
from sovits_exporter.modeling.t2s import BERT_WIDTH
from sovits_exporter.modeling.vits import (
    PriorAndFlow,
    PromptTokens,
    ReferenceStyle,
    SemanticEncoder,
    Sovits,
    SynthesizerTrn,
    Vocoder,
)
from sovits_runtime.audio import REFERENCE_RATE, speaker_wave
from sovits_runtime.audio.fbank import fbank
from sovits_runtime.bench.probe import measure, print_facts
from sovits_runtime.bench.runner import StageRuns, condition_width, decoder_runs, reference_of
from sovits_runtime.bench.workload import NEVER_ENDS, TOKENS, Workload, make_workload
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.errors import CheckpointError
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.speech.noise import seeded_normal
from sovits_runtime.speech.types import DEFAULT_NOISE_SCALE, SpeechOptions, TokenSequence


def find_pair(place: str, *, base: Path | None = None) -> tuple[Path, Path]:
    """Finds the checkpoints that `place` names: "GPT,SOVITS", or a folder that holds one .ckpt and one .pth.

    The base of a LoRA fine-tune, and what versions need besides, may lie in that folder too.

    Raises:
        CheckpointError: It is neither.
    """
    gpt, comma, sovits = place.partition(",")
    if comma:
        return Path(gpt), Path(sovits)
    others = {SPEAKER_FILE, HIFIGAN_FILE, *([base.name] if base else [])}
    by_suffix = [
        sorted(p for p in Path(place).glob(f"*{suffix}") if p.name not in others)
        for suffix in (".ckpt", ".pth")
    ]
    if any(len(files) != 1 for files in by_suffix):
        counts = " and ".join(
            f"{len(files)} {suffix}" for files, suffix in zip(by_suffix, (".ckpt", ".pth"), strict=True)
        )
        raise CheckpointError(
            f"{place}: holds {counts}, expected a folder with one of each; or name the two files as GPT.ckpt,SOVITS.pth"
        )
    return by_suffix[0][0], by_suffix[1][0]


class EagerDecoder(Protocol):
    """The part behind the GPT."""

    def stages(self, work: Workload) -> StageRuns:
        """Returns one call for each stage."""

    def speak(self, utterance: TokenSequence, work: Workload) -> object:
        """Speaks tokens from the prepared reference."""


class EagerHifigan:
    """Encoder, prior and flow, vocoder of v1 to v2ProPlus."""

    def __init__(self, vits: SynthesizerTrn) -> None:
        self.vits = vits
        self.encoder, self.flow, self.vocoder = SemanticEncoder(vits), PriorAndFlow(vits), Vocoder(vits)

    def stages(self, work: Workload) -> StageRuns:
        """Calls that time encoder, flow and vocoder."""
        return {
            "sovits_encoder": _call(self.encoder, work.tokens[None], work.phones[None], work.style),
            "sovits_flow": _call(self.flow, work.state, work.style, work.noise, _scale()),
            "sovits_vocoder": _call(self.vocoder, work.z, work.style),
        }

    @torch.inference_mode()
    def speak(self, utterance: TokenSequence, work: Workload) -> object:
        """Tokens to waveform."""
        tokens, phones, style = map(torch.from_numpy, (utterance.tokens, utterance.phones, work.style))
        state = self.encoder(tokens[None], phones[None], style)
        noise = torch.randn(1, self.vits.channels, state.shape[2])
        z, _, _ = self.flow(state, style, noise, torch.from_numpy(_scale()))
        return self.vocoder(z, style)


class EagerFlow:
    """Features, flow matching and vocoder of v3 to v5."""

    def __init__(self, decoder: FlowMatchingDecoder) -> None:
        self.decoder = decoder

    def stages(self, work: Workload) -> StageRuns:
        """Calls that time encoder, features, flow matching and vocoder."""
        return decoder_runs(self.decoder, work)

    def speak(self, utterance: TokenSequence, work: Workload) -> object:
        """Tokens to waveform, by way of a mel."""
        noise = seeded_normal(np.random.default_rng(0))
        return self.decoder.speak(utterance, reference_of(work), options=SpeechOptions(), noise=noise)


def _decoder(vits: Sovits, spec: ModelSpec, sovits: Path) -> EagerDecoder:
    if spec.flow is not None:
        return EagerFlow(eager_flow_decoder(vits, spec, vocoder=find_vocoder(sovits, spec.flow)))
    assert isinstance(vits, SynthesizerTrn)
    run_in_one_dimension(vits)
    return EagerHifigan(vits)


def _speaker(spec: ModelSpec, sovits: Path) -> nn.Module | None:
    """The speaker network, where the version has one and its file lies beside the SoVITS file."""
    path = SPEAKER.find(sovits.parent) if spec.speaker_network else None
    return read_speaker(path).module() if path else None


class EagerBaseline:
    """The PyTorch models of a pair of checkpoints.

    Args:
        gpt: The `.ckpt` file.
        sovits: The `.pth` file.
        hubert: Folder of chinese-hubert-base; without it the stage is left out.
            The speaker network and the vocoder, which some versions have, are looked for beside the `.pth` file.
        base: The complete model that a LoRA fine-tune was trained on.
        version: Model version, needed only where the files do not tell.
        threads: Threads within one operator; None leaves PyTorch's default.

    Raises:
        CheckpointError: A checkpoint or folder cannot be used.
    """

    name = "PyTorch eager"
    tokens_at_once = 1

    def __init__(
        self,
        gpt: Path,
        sovits: Path,
        *,
        hubert: Path | None = None,
        base: Path | None = None,
        version: str | None = None,
        threads: int | None = None,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.source = (gpt, sovits, base or "", version or "")
        pair = load_gpt(gpt), load_sovits(sovits, base=base, version=version)
        check_pair(*pair)
        models = build_models(*pair)
        self.spec, self.t2s, self.vits = models.spec, models.t2s, models.vits
        self.style = ReferenceStyle(models.vits)
        self.decoder = _decoder(models.vits, models.spec, sovits)
        self.hubert: nn.Module | None = load_hubert(hubert).eval() if hubert else None
        self.speaker = _speaker(models.spec, sovits)
        self.threads = torch.get_num_threads()
        self.note = (
            f"PyTorch {torch.__version__}, fp32, {self.threads} threads; growing cache, torch.stft, 1-D "
            "convolutions without weight norm"
        )

    def workload(self, tokens: int) -> Workload:
        """Makes the workload that fits these checkpoints, equal to that of their bundle."""
        return make_workload(
            tokens=tokens,
            style_width=self.vits.style_width,
            channels=self.vits.state_channels if self.spec.flow else self.vits.channels,
            n_symbols=self.spec.n_symbols,
            bert_width=BERT_WIDTH,
            vocab=self.t2s.config.vocab,
            flow=self.spec.flow,
            condition_width=condition_width(self.decoder.decoder)
            if isinstance(self.decoder, EagerFlow)
            else None,
        )

    def stages(self, work: Workload) -> StageRuns:
        """The calls that time each stage of the PyTorch models; see `Runner.stages`."""
        runs: dict[str, Callable[[], object]] = {
            "prompt_tokens": _call(PromptTokens(self.vits), work.ssl),
            "reference_style": _call(self.reference_style, work.wave[None], work.speaker),
            **self.decoder.stages(work),
            "utterance": lambda: self.speak(work, len(work.tokens), work.phones),
            "first_audio": lambda: self.speak(
                work, len(work.tokens) // 2, work.phones[: len(work.phones) // 2]
            ),
        }
        if self.hubert is not None:
            runs["hubert"] = _call(self.hubert, work.wave_16k[None])
        if self.speaker is not None:
            runs["speaker"] = _call(self.embed_speaker, work.wave)
        return runs

    def generate(self, work: Workload, phones: Array | None = None) -> Iterator[int]:
        """Generates tokens of the workload; `phones` replaces the target's. See `Runner.generate`."""
        target = work.phones if phones is None else phones
        ids = np.concatenate([work.prompt_phones, target])
        noise = work.token_noise()
        steps = generate(
            self.t2s,
            torch.from_numpy(ids[None]),
            torch.from_numpy(work.bert[None, : len(ids)]),
            torch.from_numpy(work.prompt[None]),
            options=EagerOptions(min_tokens=NEVER_ENDS),
            noise=lambda i: torch.from_numpy(noise(i)),
        )
        return (step.token for step in steps)

    def speak(self, work: Workload, count: int, phones: Array) -> object:
        """Speaks `count` tokens for `phones` from the prepared reference."""
        tokens = np.array(list(islice(self.generate(work, phones), count)))
        return self.decoder.speak(TokenSequence(tokens, phones), work)

    def reference_style(self, wave: Tensor, speaker: Tensor) -> Tensor:
        """Wave [1, n] at 32 kHz to style [1, gin, 1], by way of `torch.stft`."""
        return self.style.style(stft_spectrogram(wave), speaker if self.spec.speaker_network else None)

    def embed_speaker(self, wave: Tensor) -> Tensor:
        """Wave [n] at 32 kHz to the speaker embedding [1, 20480]; features in NumPy, as ours."""
        assert self.speaker is not None
        features = fbank(speaker_wave(wave.numpy(), REFERENCE_RATE))
        embedding: Tensor = self.speaker(torch.from_numpy(features[None]))
        return embedding

    def probe_command(self) -> list[str]:
        """The command that loads the checkpoints in a fresh process; see `Runner.probe_command`."""
        return [
            sys.executable,
            "-m",
            "sovits_exporter.eager.baseline",
            *map(str, self.source),
            str(self.threads),
        ]


def stft_spectrogram(wave: Tensor) -> Tensor:
    """Magnitudes [1, 1025, frames] of a wave [1, n], as the original computes them.

    Source: GPT-SoVITS, module/mel_processing.py, spectrogram_torch.
    """
    pad = (N_FFT - HOP) // 2
    padded = F.pad(wave[:, None], (pad, pad), mode="reflect")[:, 0]
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(padded, N_FFT, HOP, window=window, center=False, onesided=True, return_complex=True)
    return torch.sqrt(torch.view_as_real(spectrum).pow(2).sum(-1) + 1e-8)


def _call(function: Callable[..., object], *arrays: Array) -> Callable[[], object]:
    """A run of `function` on tensors that exist before it is timed."""
    tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays]

    def run() -> object:
        with torch.inference_mode():
            return function(*tensors)

    return run


def _scale() -> Array:
    return np.array([DEFAULT_NOISE_SCALE], np.float32)


def main(arguments: Sequence[str]) -> None:
    """Measures checkpoints; arguments: GPT, SoVITS, base and version or nothing, threads, time of the start."""
    gpt, sovits, base, version, threads, started = arguments

    def load() -> Callable[[], object]:
        baseline = EagerBaseline(
            Path(gpt),
            Path(sovits),
            base=Path(base) if base else None,
            version=version or None,
            threads=int(threads),
        )
        work = baseline.workload(TOKENS)
        return lambda: baseline.speak(work, len(work.tokens), work.phones)

    print_facts(measure(float(started), load))


if __name__ == "__main__":
    main(sys.argv[1:])
