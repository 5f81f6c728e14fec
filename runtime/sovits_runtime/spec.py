"""The model versions as a table: code asks a row for what it needs and never tests for a version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sovits_runtime.errors import CheckpointError


@dataclass(frozen=True)
class ModelSpec:
    """What sets one model version apart.

    Attributes:
        version: Official name of the version.
        symbols: Which symbol table its phones index.
        n_symbols: Rows of that table.
        reference_bins: Spectrogram bins that the reference encoder reads (of 1025).
        decoder: "hifigan": tokens to waveform in one pass; "cfm": flow matching to mel, then a vocoder.
        speaker_network: Whether the style takes an ERes2NetV2 speaker embedding.
        sample_rate: Of the speech it makes, in Hz.
        exportable: Whether this release exports it.
        decoder_width: Channels that a full-size HiFi-GAN starts with.
    """

    version: str
    symbols: Literal["v1", "v2"]
    n_symbols: int
    reference_bins: int
    decoder: Literal["hifigan", "cfm"]
    speaker_network: bool
    sample_rate: int
    exportable: bool
    decoder_width: int = 512

    # Common to all versions.
    token_rate_hz: int = 25
    eos: int = 1024
    codebook_size: int = 1024
    reference_sample_rate: int = 32000
    ssl_sample_rate: int = 16000
    speaker_width: int = 20480


MODEL_SPECS: dict[str, ModelSpec] = {
    row.version: row
    for row in (
        ModelSpec("v1", "v1", 322, 1025, "hifigan", False, 32000, exportable=True),
        ModelSpec("v2", "v2", 732, 704, "hifigan", False, 32000, exportable=True),
        ModelSpec("v2Pro", "v2", 732, 704, "hifigan", True, 32000, exportable=True),
        ModelSpec("v2ProPlus", "v2", 732, 704, "hifigan", True, 32000, exportable=True, decoder_width=768),
        ModelSpec("v3", "v2", 732, 704, "cfm", False, 24000, exportable=False),
        ModelSpec("v4", "v2", 732, 704, "cfm", False, 48000, exportable=False),
    )
}


def model_spec(version: str) -> ModelSpec:
    """Returns the row of `version`.

    Raises:
        CheckpointError: No such version.
    """
    if version not in MODEL_SPECS:
        raise CheckpointError(
            f"model version {version!r} is unknown; known versions: {', '.join(MODEL_SPECS)}"
        )
    return MODEL_SPECS[version]
