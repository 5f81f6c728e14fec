"""Measures the latents of all recordings, and makes the style encoder that all other parts are trained behind."""

from __future__ import annotations

from pathlib import Path

import click
import corpus
import features
import numpy as np
import soxr
import torch
from layout import STYLE_WIDTH
from torch import Tensor

from sovits_exporter.modeling.reference_encoder import LinearSpectrogram, ReferenceEncoder
from sovits_runtime.bundle.model_spec import model_spec


def style_encoder(seed: int) -> ReferenceEncoder:
    """A style encoder whose vector is mostly its bias: one speaker has one style, whatever the recording."""
    torch.manual_seed(seed)
    encoder = ReferenceEncoder(model_spec("v2").reference_bins, STYLE_WIDTH)
    with torch.no_grad():
        encoder.fc.fc.weight.mul_(0.1)
        encoder.fc.fc.bias.normal_(0, 0.3)
    return encoder.eval()


def reference_style(data: Path, encoder: ReferenceEncoder) -> Tensor:
    """Returns the style [1, 512, 1] of the recording that comes with the voice."""
    wave = corpus.load(data / "reference.npz")[0].wave.astype(np.float32) / 32768
    wave = torch.from_numpy(soxr.resample(wave, 1, 2, quality="HQ"))
    with torch.inference_mode():
        return encoder(LinearSpectrogram()(wave[None])).clone()


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True)
def main(data: Path, seed: int) -> None:
    """Reads DATA/train.npz and reference.npz; writes basis.npz, latents.npz, style_encoder.pt and style.pt."""
    latents, basis = features.measure(corpus.load(data / "train.npz"))
    features.save_basis(data / "basis.npz", basis)
    features.save_latents(data / "latents.npz", latents)
    encoder = style_encoder(seed)
    torch.save(encoder.state_dict(), data / "style_encoder.pt")
    torch.save(reference_style(data, encoder), data / "style.pt")
    click.echo(f"{sum(map(len, latents))} frames; pitch {np.exp(basis.pitch[0]):.0f} Hz")


if __name__ == "__main__":
    main()
