"""HuBERT-base (chinese-hubert-base): 16 kHz wave to one 768-wide feature every 20 ms.

Architecture and attribute names are those of transformers' HubertModel with post-norm layers, so its state
dict loads as it is. Written for export: one item a batch, the sequence kept as rows [frames, width] so that
every linear layer is one Gemm, no branch on a length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sovits_exporter.modeling.pretrained_encoder import PretrainedEncoder, read_fields, without_prefix
from sovits_exporter.modeling.row_attention import attend_rows
from sovits_runtime.errors import CheckpointError, shown

DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-5,
    "conv_dim": (512,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "conv_bias": False,
    "feat_extract_norm": "group",
    "feat_proj_layer_norm": True,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
FIXED = {
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "do_stable_layer_norm": False,
    "conv_pos_batch_norm": False,
}
LIMITS = {"num_hidden_layers": 128, "conv_kernel": 64, "conv_stride": 64, "num_conv_pos_embeddings": 1024}
SAMPLES_PER_FRAME = 320
CONV_EPS = 1e-5  # norms of the conv stack ignore layer_norm_eps
POSITION_CONV = "encoder.pos_conv_embed.conv."
WEIGHT_NORM_NAMES = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)


@dataclass(frozen=True)
class HubertConfig:
    """Sizes of a HuBERT.

    Attributes:
        width: Width of the transformer, which is the width of the features.
        heads: Attention heads; divides `width`.
        layers: Transformer layers.
        inner: Width of the feed-forward.
        eps: Epsilon of the layer norms outside the conv stack.
        conv_dim: Channels of each conv layer; `conv_kernel` and `conv_stride` are as long.
        conv_kernel: Kernel of each conv layer.
        conv_stride: Stride of each conv layer.
        conv_bias: Whether the conv layers have a bias.
        conv_norm: `group` (each channel over time, first layer only) or `layer` (over channels, every layer).
        projection_norm: Whether a layer norm precedes the projection.
        position_kernel: Kernel of the positional conv.
        position_groups: Groups of the positional conv; divides `width`.
    """

    width: int
    heads: int
    layers: int
    inner: int
    eps: float
    conv_dim: tuple[int, ...]
    conv_kernel: tuple[int, ...]
    conv_stride: tuple[int, ...]
    conv_bias: bool
    conv_norm: str
    projection_norm: bool
    position_kernel: int
    position_groups: int

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width % self.position_groups:
            raise CheckpointError(
                f"HuBERT config: width {self.width} is not a multiple of {self.heads} heads and"
                f" {self.position_groups} position groups; the file is damaged"
            )
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride):
            raise CheckpointError(
                f"HuBERT config: conv_dim, conv_kernel and conv_stride have {len(self.conv_dim)},"
                f" {len(self.conv_kernel)} and {len(self.conv_stride)} entries, expected equally many"
            )
        if math.prod(self.conv_stride) != SAMPLES_PER_FRAME:
            raise CheckpointError(
                f"HuBERT config: conv_stride makes a frame of {math.prod(self.conv_stride)} samples, expected"
                f" {SAMPLES_PER_FRAME}; take the model GPT-SoVITS uses"
            )
        if self.conv_norm not in ("group", "layer"):
            raise CheckpointError(
                f"HuBERT config: feat_extract_norm is {shown(self.conv_norm)}, expected 'group' or 'layer'"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> HubertConfig:
        """Reads a HuBERT config.json; fields it does not name have transformers' defaults.

        Raises:
            CheckpointError: A field is damaged, or asks for an architecture that is not supported.
        """
        c = read_fields(config, DEFAULTS, fixed=FIXED, what="HuBERT", limits=LIMITS)
        return cls(
            width=c["hidden_size"],
            heads=c["num_attention_heads"],
            layers=c["num_hidden_layers"],
            inner=c["intermediate_size"],
            eps=c["layer_norm_eps"],
            conv_dim=c["conv_dim"],
            conv_kernel=c["conv_kernel"],
            conv_stride=c["conv_stride"],
            conv_bias=c["conv_bias"],
            conv_norm=c["feat_extract_norm"],
            projection_norm=c["feat_proj_layer_norm"],
            position_kernel=c["num_conv_pos_embeddings"],
            position_groups=c["num_conv_pos_embedding_groups"],
        )

    @property
    def min_samples(self) -> int:
        """Shortest wave that gives one frame: 400 samples for HuBERT-base."""
        samples = 1
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples


class ConvLayer(nn.Module):
    """Strided conv, norm (`group`, `layer` or none), gelu."""

    def __init__(self, config: HubertConfig, index: int) -> None:
        super().__init__()
        channels_in = config.conv_dim[index - 1] if index else 1
        channels = config.conv_dim[index]
        kernel, stride = config.conv_kernel[index], config.conv_stride[index]
        self.conv = nn.Conv1d(channels_in, channels, kernel, stride, bias=config.conv_bias)
        self.norm = config.conv_norm if config.conv_norm == "layer" or index == 0 else "none"
        if self.norm == "group":
            self.layer_norm: nn.GroupNorm | nn.LayerNorm = nn.GroupNorm(channels, channels, eps=CONV_EPS)
        elif self.norm == "layer":
            self.layer_norm = nn.LayerNorm(channels, eps=CONV_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [1, channels_in, n] to [1, channels, m]."""
        x = self.conv(x)
        if self.norm == "group":
            # One group a channel is instance norm, a single operator where group norm is exported as eleven.
            scale, shift = self.layer_norm.weight, self.layer_norm.bias
            x = torch.instance_norm(x, scale, shift, None, None, True, 0.0, CONV_EPS, False)
        elif self.norm == "layer":
            x = self.layer_norm(x.transpose(1, 2)).transpose(1, 2)
        return F.gelu(x)


class FeatureExtractor(nn.Module):
    """The conv stack, under its official name."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList(ConvLayer(config, i) for i in range(len(config.conv_dim)))

    def forward(self, wave: Tensor) -> Tensor:
        """Maps a wave [1, n] to rows [frames, channels]."""
        x = wave.unsqueeze(1)
        for layer in self.conv_layers:
            x = layer(x)
        rows: Tensor = x[0].transpose(0, 1)
        return rows


class FeatureProjection(nn.Module):
    """Conv channels to the transformer's width."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        channels = config.conv_dim[-1]
        self.layer_norm = nn.LayerNorm(channels, eps=config.eps) if config.projection_norm else nn.Identity()
        self.projection = nn.Linear(channels, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [frames, channels] to [frames, width]."""
        rows: Tensor = self.projection(self.layer_norm(x))
        return rows


class PositionalConv(nn.Module):
    """Grouped conv that keeps the length; an even kernel looks one row further back than ahead."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        kernel = config.position_kernel
        self.padding = (kernel // 2, (kernel - 1) // 2)
        self.conv = nn.Conv1d(config.width, config.width, kernel, groups=config.position_groups)

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [frames, width] to the positional term of the same shape."""
        padded = F.pad(x.transpose(0, 1).unsqueeze(0), self.padding)
        return F.gelu(self.conv(padded)[0].transpose(0, 1))


class Attention(nn.Module):
    """Self-attention over rows."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [frames, width] to rows."""
        attended = attend_rows(self.q_proj(x), self.k_proj(x), self.v_proj(x), heads=self.heads)
        rows: Tensor = self.out_proj(attended)
        return rows


class FeedForward(nn.Module):
    """Linear, gelu, linear."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(width, inner)
        self.output_dense = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [frames, width] to rows."""
        rows: Tensor = self.output_dense(F.gelu(self.intermediate_dense(x)))
        return rows


class EncoderLayer(nn.Module):
    """Post-norm transformer layer."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads)
        self.layer_norm = nn.LayerNorm(config.width, eps=config.eps)
        self.feed_forward = FeedForward(config.width, config.inner)
        self.final_layer_norm = nn.LayerNorm(config.width, eps=config.eps)

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [frames, width] to rows."""
        x = self.layer_norm(x + self.attention(x))
        rows: Tensor = self.final_layer_norm(x + self.feed_forward(x))
        return rows


class Encoder(nn.Module):
    """Positional conv, norm and the layers."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.pos_conv_embed = PositionalConv(config)
        self.layer_norm = nn.LayerNorm(config.width, eps=config.eps)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [frames, width] to rows."""
        rows: Tensor = self.layer_norm(x + self.pos_conv_embed(x))
        for layer in self.layers:
            rows = layer(rows)
        return rows


class Hubert(PretrainedEncoder):
    """Graph `hubert`: last hidden state of a raw wave.

    GPT-SoVITS feeds the wave as it is; the feature extractor's normalisation is not applied.
    Source: GPT-SoVITS, feature_extractor/cnhubert.py, CNHubert.forward.
    """

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = FeatureExtractor(config)
        self.feature_projection = FeatureProjection(config)
        self.encoder = Encoder(config)

    def forward(self, wave16: Tensor) -> Tensor:
        """Encodes a wave.

        Args:
            wave16: float32 [1, n_samples], 16 kHz mono, -1 to 1, at least `config.min_samples` long.

        Returns:
            float32 [1, T, width]; frames of 320 samples, T = (n_samples - 80) // 320 for HuBERT-base.
        """
        rows: Tensor = self.encoder(self.feature_projection(self.feature_extractor(wave16)))
        return rows.unsqueeze(0)

    @property
    def width(self) -> int:
        """Width of the features."""
        return self.config.width

    def own_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Strips the `hubert.` prefix, folds the weight norm, leaves out the training mask."""
        own = without_prefix(tensors, "hubert.")
        own.pop("masked_spec_embed", None)
        for names in WEIGHT_NORM_NAMES:
            magnitude, direction = (own.pop(POSITION_CONV + name, None) for name in names)
            if magnitude is not None and direction is not None:
                own[POSITION_CONV + "weight"] = _fold_weight_norm(magnitude, direction)
        return own


def _fold_weight_norm(magnitude: Tensor, direction: Tensor) -> Tensor:
    """Weight norm over dim 2: each kernel tap [width, width / groups] is scaled to its magnitude."""
    if direction.dim() != 3 or magnitude.shape != (1, 1, direction.shape[2]):
        raise CheckpointError(
            f"HuBERT weights: {POSITION_CONV}* has magnitude {list(magnitude.shape)} and direction"
            f" {list(direction.shape)}, expected [1, 1, kernel] and [width, width / groups, kernel]"
        )
    direction = direction.float()
    length: Tensor = torch.linalg.vector_norm(direction, dim=(0, 1), keepdim=True)
    return direction * (magnitude.float() / length)
