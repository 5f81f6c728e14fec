"""Reads the vocoders of v3 to v5: BigVGAN's folder, and `vocoder.pth`, a plain state dict; both read inertly."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sovits_exporter.checkpoint.inert import TensorRef, kind_of, mapping_of, one_line
from sovits_exporter.checkpoint.layout import Layout
from sovits_exporter.checkpoint.pretrained import CONFIG, Pretrained, read_config
from sovits_exporter.checkpoint.tensor_names import as_stored, official_names
from sovits_exporter.checkpoint.tensors import fold_weight_norm, read_tensors, tensor_refs
from sovits_exporter.checkpoint.torch_file import TorchFile, naming, open_torch_file
from sovits_exporter.modeling.bigvgan import TAPS
from sovits_exporter.modeling.sizes import MEL_BANDS
from sovits_runtime.bundle.files import sha256_file
from sovits_runtime.bundle.model_spec import MODEL_SPECS, FlowSpec
from sovits_runtime.errors import CheckpointError, shown

BIGVGAN_FOLDER, BIGVGAN_WEIGHTS, BIGVGAN_KEY = "bigvgan", "bigvgan_generator.pt", "generator"
HIFIGAN_FILE = "vocoder.pth"
HIFIGAN_SIZES = {
    "upsample_rates": [10, 6, 2, 2, 2],
    "upsample_kernel_sizes": [20, 12, 4, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
}
_STEMS = {
    "bigvgan": {"activation_post.act.alpha"},
    "hifigan": {"conv_pre.weight", "conv_pre.weight_v", "conv_pre.parametrizations.weight.original1"},
}
"""Names by which a vocoder is known, in this order; both may be under weight norm or not."""
_WIDTH = "conv_pre.bias"
_FIXED = {
    "resblock": "1",
    "num_mels": 100,
    "activation": "snakebeta",
    "snake_logscale": True,
    "use_tanh_at_final": False,
    "sampling_rate": 24000,
}
_MAX_CHANNELS = 8192


def official_vocoder(flow: FlowSpec) -> str:
    """Says which file or folder a version's vocoder is, for messages."""
    if flow.vocoder == "bigvgan":
        return f"the folder bigvgan_v2_24khz_100band_256x with {CONFIG} and {BIGVGAN_WEIGHTS}"
    return f"{HIFIGAN_FILE} of {flow.vocoder_folder}"


def read_vocoder(path: str | Path, flow: FlowSpec) -> Pretrained:
    """Reads and checks the vocoder of a version; nothing in its file is run.

    Args:
        path: `vocoder.pth`, or BigVGAN's folder or the weight file in it.
        flow: The version's numbers; they say which vocoder it takes.

    Raises:
        CheckpointError: It is missing, damaged, unsafe, not finite, or not the vocoder of that version.
    """
    path = Path(path)
    if path.is_dir():
        path = path / BIGVGAN_WEIGHTS
    with naming(path), open_torch_file(path) as file:
        _check_release(path, flow)
        refs = _state(file, flow)
        config = _config(path, refs, flow)
        layout = as_stored(vocoder_file_layout(config), refs)
        tensors = read_tensors(file, refs, layout)
        return Pretrained("vocoder", path, config, fold_weight_norm(tensors), _digest(path, config))


def vocoder_file_layout(config: Mapping[str, Any]) -> Layout:
    """Returns the tensors of the file; BigVGAN's convolutions are under weight norm, and it has filters."""
    plain = config["kind"] == "hifigan"
    layout: Layout = {}

    def conv(name: str, shape: tuple[int, int, int], bias: int) -> None:
        if plain:
            layout[f"{name}.weight"] = shape
        else:
            layout.update({f"{name}.weight_g": (shape[0], 1, 1), f"{name}.weight_v": shape})
        if bias:
            layout[f"{name}.bias"] = (bias,)

    def activation(name: str, channels: int) -> None:
        if not plain:
            layout.update({f"{name}.act.{part}": (channels,) for part in ("alpha", "beta")})
            layout.update(
                {f"{name}.{part}.filter": (1, 1, TAPS) for part in ("upsample", "downsample.lowpass")}
            )

    width, blocks = config["upsample_initial_channel"], config["resblock_kernel_sizes"]
    conv("conv_pre", (width, MEL_BANDS, 7), width)
    for i, kernel in enumerate(config["upsample_kernel_sizes"]):
        n = width >> (i + 1)
        conv(f"ups.{i}" if plain else f"ups.{i}.0", (2 * n, n, kernel), n)
        for j, (taps, dilations) in enumerate(zip(blocks, config["resblock_dilation_sizes"], strict=True)):
            block = f"resblocks.{i * len(blocks) + j}"
            for d in range(len(dilations)):
                conv(f"{block}.convs1.{d}", (n, n, taps), n)
                conv(f"{block}.convs2.{d}", (n, n, taps), n)
                activation(f"{block}.activations.{2 * d}", n)
                activation(f"{block}.activations.{2 * d + 1}", n)
    activation("activation_post", width >> len(config["upsample_rates"]))
    conv("conv_post", (1, width >> len(config["upsample_rates"]), 7), int(config["bias"]))
    return layout


def _state(file: TorchFile, flow: FlowSpec) -> dict[str, TensorRef]:
    top = mapping_of(file.content)
    content = mapping_of(top[BIGVGAN_KEY]) if top and BIGVGAN_KEY in top else top
    names = [] if content is None else list(content)
    kind = next((kind for kind, stems in _STEMS.items() if not stems.isdisjoint(names)), None)
    if content is None or kind is None or not all(isinstance(name, str) for name in names):
        held = one_line(names[:3]) if names else f"a {kind_of(file.content)}"
        raise CheckpointError(f"holds {held}, expected a vocoder; take {official_vocoder(flow)}")
    if kind != flow.vocoder:
        owner = next(row.version for row in MODEL_SPECS.values() if row.flow and row.flow.vocoder == kind)
        raise _other_vocoder(owner, flow)
    return tensor_refs(official_names(content, kind))


def _config(path: Path, refs: Mapping[str, TensorRef], flow: FlowSpec) -> dict[str, Any]:
    if flow.vocoder == "hifigan":
        channels = next(iter(refs[_WIDTH].shape), 0) if _WIDTH in refs else 0
        config: dict[str, Any] = {**HIFIGAN_SIZES, "upsample_initial_channel": channels, "bias": True}
    else:
        config = _bigvgan_config(path.parent, flow)
    stages = len(config["upsample_rates"])
    channels = config["upsample_initial_channel"]
    if (
        math.prod(config["upsample_rates"]) != flow.vocoder_hop
        or not 0 < channels <= _MAX_CHANNELS
        or channels % 2**stages
    ):
        raise CheckpointError(
            f"makes {math.prod(config['upsample_rates'])} samples a frame from {channels} channels, expected "
            f"{flow.vocoder_hop} from a multiple of {2**stages}; take {official_vocoder(flow)}"
        )
    return {"kind": flow.vocoder, **config}


def _check_release(path: Path, flow: FlowSpec) -> None:
    """Refuses a file in the folder of another version's release: those of one kind differ in their weights alone."""
    folder = path.absolute().parent.name
    owners = {row.flow.vocoder_folder: row.version for row in reversed(MODEL_SPECS.values()) if row.flow}
    if folder in owners and folder != flow.vocoder_folder:
        raise _other_vocoder(owners[folder], flow)


def _other_vocoder(owner: str, flow: FlowSpec) -> CheckpointError:
    wanted = next(row.version for row in MODEL_SPECS.values() if row.flow == flow)
    return CheckpointError(
        f"is the vocoder of {owner}, expected that of {wanted}; take {official_vocoder(flow)}"
    )


def _bigvgan_config(folder: Path, flow: FlowSpec) -> dict[str, Any]:
    stored, _ = read_config(folder)
    for key, expected in _FIXED.items():
        if stored.get(key) != expected:
            raise CheckpointError(
                f"its {CONFIG} has {key} = {shown(stored.get(key))}, expected {expected!r}; "
                f"take {official_vocoder(flow)}"
            )
    config = {key: stored.get(key) for key in (*HIFIGAN_SIZES, "upsample_initial_channel")}
    if not _fit_together(config):
        raise CheckpointError(
            f"its {CONFIG} states sizes that BigVGAN cannot have; take {official_vocoder(flow)}"
        )
    return {**config, "bias": stored.get("use_bias_at_final", True) is True}


def _fit_together(config: Mapping[str, Any]) -> bool:
    rates, kernels, blocks, dilations = (config[key] for key in HIFIGAN_SIZES)
    return (
        all(map(_are_sizes, (rates, kernels, blocks)))
        and len(rates) == len(kernels)
        and all(k >= u and (k - u) % 2 == 0 for k, u in zip(kernels, rates, strict=True))
        and all(k % 2 for k in blocks)
        and isinstance(dilations, list)
        and len(dilations) == len(blocks)
        and all(map(_are_sizes, dilations))
        and type(config["upsample_initial_channel"]) is int
    )


def _are_sizes(value: object) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= 16
        and all(type(v) is int and 0 < v < 100 for v in value)
    )


def _digest(path: Path, config: Mapping[str, Any]) -> str:
    """Digest of the weight file; BigVGAN's sizes, which lie in another file, count as well."""
    if config["kind"] == "hifigan":
        return sha256_file(path)
    text = json.dumps(config, sort_keys=True)
    return hashlib.sha256(f"{text}{sha256_file(path)}".encode()).hexdigest()
