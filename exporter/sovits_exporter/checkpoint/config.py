"""The sizes that a checkpoint's config states, checked once: what layouts and modules are built from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sovits_exporter.checkpoint.inert import Inert, kind_of, one_line
from sovits_exporter.modeling.sizes import DEMO_DIT, MEL_BANDS, OFFICIAL_DIT, DitDims
from sovits_runtime.bundle.model_spec import model_spec
from sovits_runtime.errors import CheckpointError, shown

Config = Mapping[str, Any]

MAX_WIDTH, MAX_LAYERS = 8192, 128
HIDDEN_WIDTH, STYLE_WIDTH = 192, 512
"""Built into the original's reference encoder block, whatever the config says."""
_DIT_WIDTH = "cfm.estimator.proj_out.weight"
AUDIO = {"sampling_rate": 32000, "filter_length": 2048, "hop_length": 640, "win_length": 2048}


@dataclass(frozen=True)
class GptDims:
    """Sizes of the text-to-semantic model."""

    width: int
    heads: int
    layers: int
    phones: int
    tokens: int


@dataclass(frozen=True)
class DecoderDims:
    """Sizes of the HiFi-GAN decoder."""

    initial_channels: int
    upsample_rates: tuple[int, ...]
    upsample_kernels: tuple[int, ...]
    resblock_kernels: tuple[int, ...]
    resblock_dilations: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class SovitsDims:
    """Sizes of the tokens-to-waveform model; the names are those of the config.

    The decoder is that of HiFi-GAN, or the transformer of the flow matching.
    """

    inter_channels: int
    hidden_channels: int
    filter_channels: int
    n_heads: int
    n_layers: int
    kernel_size: int
    gin_channels: int
    decoder: DecoderDims | DitDims


def gpt_dims(config: Config) -> GptDims:
    """Reads the sizes of a GPT checkpoint.

    Raises:
        CheckpointError: A key is missing, or has a type or size that the original model cannot have.
    """
    spec = model_spec("v2")
    width = _even(config, "model.embedding_dim")
    _same(config, "model.hidden_dim", width)
    _same(config, "model.EOS", spec.eos)
    _same(config, "model.vocab_size", spec.codebook_size + 1)
    return GptDims(
        width=width,
        heads=_divisor(config, "model.head", width),
        layers=_integer(config, "model.n_layer", 1, MAX_LAYERS),
        phones=_integer(config, "model.phoneme_vocab_size"),
        tokens=spec.codebook_size + 1,
    )


def dit_dims(shapes: Mapping[str, tuple[int, ...]]) -> DitDims:
    """Returns the sizes of a file's transformer: the official ones, or those of the tiny demo, recognized by its width.

    Raises:
        CheckpointError: The width is neither.
    """
    known = {dims.width: dims for dims in (OFFICIAL_DIT, DEMO_DIT)}
    shape = shapes.get(
        _DIT_WIDTH, (MEL_BANDS, OFFICIAL_DIT.width)
    )  # a missing tensor is named with the others
    if len(shape) != 2 or shape[1] not in known:
        raise CheckpointError(
            f"tensor {_DIT_WIDTH} has shape {list(shape)}, expected [{MEL_BANDS}, {OFFICIAL_DIT.width}]; "
            "is the file of another version, or edited?"
        )
    return known[shape[1]]


def sovits_dims(config: Config, version: str, dit: DitDims | None = None) -> SovitsDims:
    """Reads the sizes of a SoVITS checkpoint.

    Args:
        config: Its training config.
        version: Its model version.
        dit: Sizes of the transformer, where the version's decoder is flow matching.

    Raises:
        CheckpointError: A key is missing, or has a type or size that the original model cannot have.
    """
    for key, value in AUDIO.items():
        _same(config, f"data.{key}", value)
    _same(config, "model.hidden_channels", HIDDEN_WIDTH)
    gin = _integer(config, "model.gin_channels")
    spec = model_spec(version)
    if not spec.speaker_network:
        _same(config, "model.gin_channels", STYLE_WIDTH)
    if spec.flow:
        _same(config, "model.inter_channels", HIDDEN_WIDTH)
    return SovitsDims(
        inter_channels=_even(config, "model.inter_channels"),
        hidden_channels=HIDDEN_WIDTH,
        filter_channels=_integer(config, "model.filter_channels"),
        n_heads=_divisor(config, "model.n_heads", HIDDEN_WIDTH),
        n_layers=_integer(config, "model.n_layers", 2, MAX_LAYERS),
        kernel_size=_odd(config, "model.kernel_size"),
        gin_channels=gin,
        decoder=(dit or OFFICIAL_DIT) if spec.flow else _decoder_dims(config),
    )


def _decoder_dims(config: Config) -> DecoderDims:
    _same(config, "model.resblock", "1")
    rates = _integers(config, "model.upsample_rates")
    if math.prod(rates) != AUDIO["hop_length"]:
        raise _wrong(config, "model.upsample_rates", f"factors of {AUDIO['hop_length']}")
    kernels = _integers(config, "model.upsample_kernel_sizes", len(rates))
    if any(k < u or (k - u) % 2 for k, u in zip(kernels, rates, strict=True)):
        raise _wrong(
            config, "model.upsample_kernel_sizes", f"each a rate of {list(rates)} plus an even number"
        )
    initial = _integer(config, "model.upsample_initial_channel")
    if initial % (1 << len(rates)):
        raise _wrong(config, "model.upsample_initial_channel", f"a multiple of {1 << len(rates)}")
    resblock_kernels = _integers(config, "model.resblock_kernel_sizes")
    if not all(k % 2 for k in resblock_kernels):
        raise _wrong(config, "model.resblock_kernel_sizes", "odd numbers")
    return DecoderDims(initial, rates, kernels, resblock_kernels, _dilations(config, len(resblock_kernels)))


def _dilations(config: Config, blocks: int) -> tuple[tuple[int, ...], ...]:
    key = "model.resblock_dilation_sizes"
    value = _value(config, key)
    if not isinstance(value, list) or len(value) != blocks or not all(_are_sizes(v, 3) for v in value):
        raise _wrong(config, key, f"{blocks} lists of 3 positive integers")
    return tuple(map(tuple, value))


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise CheckpointError(
                f"its config lacks {key}, expected the config of an official training run; "
                "take the file that the training wrote as its result"
            )
        value = value[part]
    return value


def _wrong(config: Config, key: str, expected: str) -> CheckpointError:
    value = _value(config, key)
    text = one_line(value) if isinstance(value, Inert) else shown(value)
    return CheckpointError(
        f"its config has {key} = {text} ({kind_of(value)}), expected {expected}; "
        "take a file that the official training wrote"
    )


def _same(config: Config, key: str, expected: int | str) -> None:
    value = _value(config, key)
    if type(value) is not type(expected) or value != expected:
        raise _wrong(config, key, repr(expected))


def _is_size(value: object, low: int = 1, high: int = MAX_WIDTH) -> bool:
    return type(value) is int and low <= value <= high


def _are_sizes(value: object, count: int | None = None) -> bool:
    return isinstance(value, list) and all(map(_is_size, value)) and len(value) == (count or len(value))


def _integer(config: Config, key: str, low: int = 1, high: int = MAX_WIDTH) -> int:
    value = _value(config, key)
    if not _is_size(value, low, high):
        raise _wrong(config, key, f"an integer from {low} to {high}")
    return int(value)


def _integers(config: Config, key: str, count: int | None = None) -> tuple[int, ...]:
    value = _value(config, key)
    if not _are_sizes(value, count) or not 1 <= len(value) <= 16:
        raise _wrong(config, key, f"a list of {count or '1 to 16'} positive integers")
    return tuple(value)


def _even(config: Config, key: str) -> int:
    value = _integer(config, key)
    if value % 2:
        raise _wrong(config, key, "an even number")
    return value


def _odd(config: Config, key: str) -> int:
    value = _integer(config, key)
    if value % 2 == 0:
        raise _wrong(config, key, "an odd number")
    return value


def _divisor(config: Config, key: str, whole: int) -> int:
    value = _integer(config, key)
    if whole % value:
        raise _wrong(config, key, f"a divisor of {whole}")
    return value
