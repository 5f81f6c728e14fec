"""Trains the waveform decoder: latent frames to sound, with spectral losses first and judges later."""

from __future__ import annotations

from pathlib import Path

import click
import corpus
import features
import numpy as np
import soundfile
import soxr
import torch
import torch.nn.functional as F
from discriminators import Judges, judge_loss, maker_losses
from layout import decoder_config
from progress import Progress
from torch import Tensor

from sovits_exporter.modeling.hifigan import LAST_SLOPE, SLOPE, Generator

STEPS = 3500
SAVE_EVERY = 500
SPECTRAL_SHARE = 15.0  # beside what the judges say
JUDGES_EVERY = 2  # they cost twice what the decoder itself costs
HOP = 640
EXACT_STAGES = 2  # the last ones stay in float32: bfloat16 would put noise where the spectrum is empty
RESOLUTIONS = ((2048, 400), (1024, 200), (512, 100))


def run(dec: Generator, z: Tensor, style: Tensor) -> Tensor:
    """`Generator.forward` with all but the last stages in bfloat16: z [B, C, F], style [B, 512, 1] to [B, 640 F]."""
    n, stages = len(dec.config.resblock_kernels), len(dec.ups)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = dec.conv_pre(z.unsqueeze(2)) + dec.cond(style.unsqueeze(2))
    for i in range(stages):
        exact = i >= stages - EXACT_STAGES
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not exact):
            x = dec.ups[i](F.leaky_relu(x.float() if exact else x, SLOPE))
            x = sum(block(x) for block in dec.resblocks[i * n : (i + 1) * n]) / n
    return torch.tanh(dec.conv_post(F.leaky_relu(x, LAST_SLOPE)))[:, 0, 0]


class SpectralLoss(torch.nn.Module):
    """Distance of log magnitudes and of magnitudes at several resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = torch.nn.ParameterList(
            torch.nn.Parameter(torch.hann_window(n), requires_grad=False) for n, _ in RESOLUTIONS
        )

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Compares waves [B, n]."""
        losses = []
        for (size, hop), window in zip(RESOLUTIONS, self.windows, strict=True):
            a, b = (_magnitude(x, size, hop, window) for x in (made, real))
            floor = 2e-3 * size**0.5
            losses.append((torch.log(a + floor) - torch.log(b + floor)).abs().mean())
            losses.append((a - b).abs().mean() / b.mean())
        return torch.stack(losses).sum() / len(RESOLUTIONS)


def _magnitude(x: Tensor, size: int, hop: int, window: Tensor) -> Tensor:
    spectrum = torch.stft(x, size, hop, window=window, return_complex=True)
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-8)


class Segments:
    """Draws pieces of recordings: latents [B, 64, F] and waves [B, 640 F] at 32 kHz.

    With `drawn`, what the prior draws for the same sentences, every other piece comes from that.
    """

    def __init__(
        self,
        recordings: list[corpus.Recording],
        measured: list[np.ndarray],
        drawn: list[np.ndarray] | None,
        frames: int,
        seed: int,
    ) -> None:
        self.sources, self.frames = [measured, drawn or measured], frames
        self.waves = [
            soxr.resample(r.wave.astype(np.float32) / 32768, 1, 2, quality="HQ") for r in recordings
        ]
        self.rng = np.random.default_rng(seed)
        self.usable = [i for i, z in enumerate(measured) if len(z) > frames + 2]
        weights = np.array([len(measured[i]) for i in self.usable], float)
        self.share = weights / weights.sum()

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """Draws a batch."""
        z, waves = [], []
        for i in self.rng.choice(self.usable, batch, p=self.share):
            latents = self.sources[self.rng.integers(2)][i]
            start = self.rng.integers(0, len(latents) - self.frames)
            z.append(latents[start : start + self.frames].T)
            waves.append(self.waves[i][start * HOP : (start + self.frames) * HOP])
        return torch.from_numpy(np.stack(z)), torch.from_numpy(np.stack(waves))


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--steps", default=STEPS, show_default=True)
@click.option(
    "--judges-from", default=0.8, show_default=True, help="Share of the steps after which judges join."
)
@click.option("--batch", default=8, show_default=True)
@click.option("--frames", default=24, show_default=True)
@click.option("--rate", default=8e-4, show_default=True, help="Learning rate at the start.")
@click.option("--start", type=click.Path(path_type=Path), help="Weights to go on from.")
@click.option(
    "--latents", type=click.Path(path_type=Path), help="What the prior draws for the training sentences."
)
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    data: Path,
    out: Path,
    steps: int,
    judges_from: float,
    batch: int,
    frames: int,
    rate: float,
    start: Path | None,
    latents: Path | None,
    threads: int,
    seed: int,
) -> None:
    """Trains on DATA/train.npz; writes OUT/vocoder.pt and samples."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    recordings = corpus.load(data / "train.npz")
    basis = features.load_basis(data / "basis.npz")
    measured = features.load_latents(data / "latents.npz")
    segments = Segments(
        recordings, measured, features.load_latents(latents) if latents else None, frames, seed
    )
    tests = corpus.load(data / "test.npz")[:6]
    test_z = features.measure(tests, basis)[0]
    dec = Generator(decoder_config())
    style = torch.load(data / "style.pt")
    judges, spectral = Judges(), SpectralLoss()
    if start:
        state = torch.load(start)
        dec.load_state_dict(state["dec"])
        if "judges" in state:
            judges.load_state_dict(state["judges"])
    maker = torch.optim.AdamW(dec.parameters(), rate, betas=(0.8, 0.99), weight_decay=1e-4)
    judge = torch.optim.AdamW(judges.parameters(), 4e-4, betas=(0.8, 0.99))
    progress, step = Progress(4), 0
    while step < steps:
        done = step / steps
        for group in maker.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 200) * (0.05**done)
        latent, real = segments.draw(batch)
        noisy = latent + 0.03 * torch.randn_like(latent)
        made = run(dec, noisy, style.expand(batch, -1, -1))
        spectral_loss = spectral(made, real)
        loss = SPECTRAL_SHARE * spectral_loss
        losses = [float(spectral_loss.detach()), 0.0, 0.0, 0.0]
        if done >= judges_from and step % JUDGES_EVERY == 0:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                fooled = judge_loss(judges(real), judges(made.detach()))
            judge.zero_grad(set_to_none=True)
            fooled.backward()
            judge.step()
            for parameter in judges.parameters():
                parameter.requires_grad_(False)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                recognised, unlike = maker_losses(judges(real), judges(made))
            for parameter in judges.parameters():
                parameter.requires_grad_(True)
            loss = loss + recognised + unlike
            losses[1:] = [float(fooled.detach()), float(recognised.detach()), float(unlike.detach())]
        maker.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(dec.parameters(), 50.0)
        maker.step()
        progress.add(losses)
        step += 1
        if step % SAVE_EVERY == 0:
            _save(out, dec, judges, test_z, style)
    _save(out, dec, judges, test_z, style)


@torch.inference_mode()
def _save(out: Path, dec: Generator, judges: Judges, latents: list[np.ndarray], style: Tensor) -> None:
    torch.save({"dec": dec.state_dict(), "judges": judges.state_dict()}, out / "vocoder.pt")
    for i, z in enumerate(latents):
        wave = dec(torch.from_numpy(z.T[None].copy()), style)[0].numpy()
        soundfile.write(out / f"test{i}.wav", wave, 32000)


if __name__ == "__main__":
    main()
