"""Eager PyTorch as a rival for `bench`: the same checkpoint, run the way the original runs it.

The decode loop grows its cache by concatenation; the reference spectrogram comes from `torch.stft`; the vocoder uses
plain 1-D convolutions, weight norm removed. It is a stand-in: `benchmarks/compare_original.py` runs the original
itself. Run as a program it measures itself in a fresh process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sovits_exporter.build import build_models
from sovits_exporter.checkpoint import check_pair, load_gpt, load_sovits
from sovits_exporter.modeling.eager import EagerOptions, generate
from sovits_exporter.modeling.hifigan import LAST_SLOPE, SLOPE, Generator, ResBlock
from sovits_exporter.modeling.reference_encoder import HOP, N_FFT
from sovits_exporter.modeling.t2s import BERT_WIDTH
from sovits_exporter.modeling.vits import PriorAndFlow, PromptTokens, SemanticEncoder, SynthesizerTrn
from sovits_exporter.pretrained import load_hubert
from sovits_exporter.speaker_file import OFFICIAL as SPEAKER
from sovits_runtime.bench_probe import measure, print_facts
from sovits_runtime.bench_voice import StageRuns
from sovits_runtime.bench_workload import NEVER_ENDS, TOKENS, Workload, make_workload
from sovits_runtime.errors import CheckpointError
from sovits_runtime.graph import Array
from sovits_runtime.request import DEFAULT_NOISE_SCALE


def find_pair(place: str) -> tuple[Path, Path]:
    """Finds the checkpoints that `place` names: "GPT,SOVITS", or a folder that holds one .ckpt and one .pth.

    Raises:
        CheckpointError: It is neither.
    """
    gpt, comma, sovits = place.partition(",")
    if comma:
        return Path(gpt), Path(sovits)
    found = [
        sorted(p for p in Path(place).glob(f"*{suffix}") if p.name != SPEAKER) for suffix in (".ckpt", ".pth")
    ]
    if any(len(files) != 1 for files in found):
        counts = " and ".join(
            f"{len(files)} {suffix}" for files, suffix in zip(found, (".ckpt", ".pth"), strict=True)
        )
        raise CheckpointError(
            f"{place}: holds {counts}, expected a folder with one of each; or name the two files as GPT.ckpt,SOVITS.pth"
        )
    return found[0][0], found[1][0]


class EagerRival:
    """The PyTorch models of a pair of checkpoints.

    Args:
        gpt: The `.ckpt` file.
        sovits: The `.pth` file.
        hubert: Folder of chinese-hubert-base; without it the stage is left out.
        threads: Threads within one operator; None leaves PyTorch's default.

    Raises:
        CheckpointError: A checkpoint or folder cannot be used.
    """

    name = "PyTorch eager"

    def __init__(
        self, gpt: Path, sovits: Path, *, hubert: Path | None = None, threads: int | None = None
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.paths = (gpt, sovits)
        pair = load_gpt(gpt), load_sovits(sovits)
        check_pair(*pair)
        models = build_models(*pair)
        assert isinstance(models.vits, SynthesizerTrn)
        self.spec, self.t2s, self.vits = models.spec, models.t2s, models.vits
        self.hubert: nn.Module | None = load_hubert(hubert).eval() if hubert else None
        self.threads = torch.get_num_threads()
        self.note = (
            f"PyTorch {torch.__version__}, fp32, {self.threads} threads; growing cache, torch.stft, Conv1d vocoder "
            "without weight norm"
        )

    def workload(self, tokens: int) -> Workload:
        """Makes the workload that fits these checkpoints, equal to that of their bundle."""
        return make_workload(
            tokens=tokens,
            style_width=self.vits.style_width,
            channels=self.vits.channels,
            n_symbols=self.spec.n_symbols,
            bert_width=BERT_WIDTH,
            vocab=self.t2s.config.vocab,
        )

    def stages(self, work: Workload) -> StageRuns:
        """See `Party.stages`."""
        runs: dict[str, Callable[[], object]] = {
            "prompt_tokens": _call(PromptTokens(self.vits), work.ssl),
            "reference_style": _call(self.reference_style, work.wave[None], work.speaker),
            "sovits_encoder": _call(
                SemanticEncoder(self.vits), work.tokens[None], work.phones[None], work.style
            ),
            "sovits_flow": _call(PriorAndFlow(self.vits), work.state, work.style, work.noise, _scale()),
            "sovits_vocoder": _call(self.vocode, work.z, work.style),
            "utterance": lambda: self.speak(work, len(work.tokens), work.phones),
            "first_audio": lambda: self.speak(
                work, len(work.tokens) // 2, work.phones[: len(work.phones) // 2]
            ),
        }
        return runs if self.hubert is None else {"hubert": _call(self.hubert, work.wave_16k[None]), **runs}

    def generate(self, work: Workload, phones: Array | None = None) -> Iterator[int]:
        """See `Party.generate`; `phones` replaces the target's."""
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

    @torch.inference_mode()
    def speak(self, work: Workload, count: int, phones: Array) -> Tensor:
        """Speaks `count` tokens for `phones` from the prepared reference; returns the waveform [n]."""
        tokens = torch.tensor([list(islice(self.generate(work, phones), count))])
        style = torch.from_numpy(work.style)
        state = SemanticEncoder(self.vits)(tokens, torch.from_numpy(phones[None]), style)
        noise = torch.randn(1, self.vits.channels, state.shape[2])
        z, _, _ = PriorAndFlow(self.vits)(state, style, noise, torch.from_numpy(_scale()))
        return self.vocode(z, style)[0]

    def reference_style(self, wave: Tensor, speaker: Tensor) -> Tensor:
        """Wave [1, n] at 32 kHz to style [1, gin, 1], by way of `torch.stft`."""
        return self.vits.style(stft_spectrogram(wave), speaker if self.spec.speaker_network else None)

    def vocode(self, z: Tensor, style: Tensor) -> Tensor:
        """Latent [1, C, F] and style [1, gin, 1] to a waveform [1, n], by 1-D convolutions."""
        return vocode_1d(self.vits.dec, z, style)

    def probe_command(self) -> list[str]:
        """See `Party.probe_command`."""
        return [sys.executable, "-m", "sovits_exporter.bench_eager", *map(str, self.paths), str(self.threads)]


def stft_spectrogram(wave: Tensor) -> Tensor:
    """Magnitudes [1, 1025, frames] of a wave [1, n], as the original computes them.

    Source: GPT-SoVITS, module/mel_processing.py, spectrogram_torch.
    """
    pad = (N_FFT - HOP) // 2
    padded = F.pad(wave[:, None], (pad, pad), mode="reflect")[:, 0]
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(padded, N_FFT, HOP, window=window, center=False, onesided=True, return_complex=True)
    return torch.sqrt(torch.view_as_real(spectrum).pow(2).sum(-1) + 1e-8)


def vocode_1d(dec: Generator, z: Tensor, style: Tensor) -> Tensor:
    """The vocoder as the original computes it, on tensors [1, C, T].

    Source: GPT-SoVITS, module/models.py, Generator.forward; module/modules.py, ResBlock1.forward.
    """
    assert dec.cond is not None
    x = _conv(dec.conv_pre, z) + _conv(dec.cond, style)
    per_stage = len(dec.config.resblock_kernels)
    for i, up in enumerate(dec.ups):
        x = _conv_transpose(up, F.leaky_relu(x, SLOPE))
        first, *others = dec.resblocks[i * per_stage : (i + 1) * per_stage]
        total = _block(first, x)
        for block in others:
            total += _block(block, x)
        x = total / per_stage
    return torch.tanh(_conv(dec.conv_post, F.leaky_relu(x, LAST_SLOPE)))[:, 0]


def _block(block: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(block, ResBlock)
    for conv_1, conv_2 in zip(block.convs1, block.convs2, strict=True):
        x = x + _conv(conv_2, F.leaky_relu(_conv(conv_1, F.leaky_relu(x, SLOPE)), SLOPE))
    return x


def _conv(conv: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(conv, nn.Conv1d | nn.Conv2d)
    return F.conv1d(
        x, _flat(conv.weight), conv.bias, padding=int(conv.padding[-1]), dilation=conv.dilation[-1]
    )


def _conv_transpose(conv: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(conv, nn.ConvTranspose1d | nn.ConvTranspose2d)
    weight, padding = _flat(conv.weight), int(conv.padding[-1])
    return F.conv_transpose1d(x, weight, conv.bias, stride=conv.stride[-1], padding=padding)


def _flat(weight: Tensor) -> Tensor:
    """The official 1-D weight [a, b, k], also of a module that keeps it as [a, b, 1, k]."""
    return weight.flatten(2)


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
    """Measures a pair of checkpoints; arguments: GPT, SoVITS, threads, time of the start."""
    gpt, sovits, threads, started = arguments

    def load() -> Callable[[], object]:
        rival = EagerRival(Path(gpt), Path(sovits), threads=int(threads))
        work = rival.workload(TOKENS)
        return lambda: rival.speak(work, len(work.tokens), work.phones)

    print_facts(measure(float(started), load))


if __name__ == "__main__":
    main(sys.argv[1:])
