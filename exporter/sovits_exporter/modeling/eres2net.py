"""Speaker network ERes2NetV2 (width 24, scale 4, expansion 4).

Source: GPT-SoVITS, eres2net/ERes2NetV2.py, ERes2NetV2.forward3; eres2net/fusion.py, AFF. Attribute names equal those of
`pretrained_eres2netv2w24s4ep4.ckpt`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sovits_exporter.modeling.pretrained_encoder import PretrainedEncoder

BASE_WIDTH, SCALE, EXPANSION = 24, 4, 4
BANDS = 80
CEILING = 20.0
FUSION_REDUCTION = 4
UNUSED = re.compile(r"(^seg_|\.num_batches_tracked$)")


class BatchNorm(nn.Module):
    """Batch norm with the statistics of training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.running_mean: Tensor
        self.running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Maps [1, width, H, T] to the same shape."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


def _conv(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=kernel // 2, bias=False)


class AFF(nn.Module):
    """Attentional fusion: how much of each of two maps to take is computed from both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width // FUSION_REDUCTION
        self.local_att = nn.Sequential(
            nn.Conv2d(2 * width, inner, 1),
            BatchNorm(inner),
            nn.SiLU(),
            nn.Conv2d(inner, width, 1),
            BatchNorm(width),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Maps two [1, width, H, T] to one."""
        gate = torch.tanh(self.local_att(torch.cat([x, y], dim=1)))
        return x * (1.0 + gate) + y * (1.0 - gate)


class Block(nn.Module):
    """Bottleneck whose middle is a ladder of small convolutions, each also fed by the one before."""

    def __init__(self, n_in: int, planes: int, stride: int, *, fused: bool) -> None:
        super().__init__()
        width = planes * BASE_WIDTH // 64
        out = planes * EXPANSION
        self.conv1 = _conv(n_in, width * SCALE, 1, stride)
        self.bn1 = BatchNorm(width * SCALE)
        self.convs = nn.ModuleList(_conv(width, width, 3) for _ in range(SCALE))
        self.bns = nn.ModuleList(BatchNorm(width) for _ in range(SCALE))
        self.fuse_models = nn.ModuleList(AFF(width) for _ in range(SCALE - 1)) if fused else None
        self.conv3 = _conv(width * SCALE, out, 1)
        self.bn3 = BatchNorm(out)
        reshapes = stride != 1 or n_in != out
        self.shortcut = (
            nn.Sequential(_conv(n_in, out, 1, stride), BatchNorm(out)) if reshapes else nn.Sequential()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps [1, n_in, H, T] to [1, 4 planes, ceil(H / stride), ceil(T / stride)]."""
        parts = _clamp(self.bn1(self.conv1(x))).chunk(SCALE, dim=1)
        rungs: list[Tensor] = []
        for i, (part, conv, bn) in enumerate(zip(parts, self.convs, self.bns, strict=True)):
            rungs.append(_clamp(bn(conv(self._joined(i, rungs[-1], part) if rungs else part))))
        return _clamp(self.bn3(self.conv3(torch.cat(rungs, dim=1))) + self.shortcut(x))

    def _joined(self, i: int, rung: Tensor, part: Tensor) -> Tensor:
        if self.fuse_models is None:
            return rung + part
        return self.fuse_models[i - 1](rung, part)


def _clamp(x: Tensor) -> Tensor:
    return torch.clamp(x, 0.0, CEILING)


class ERes2NetV2(PretrainedEncoder):
    """Graph `speaker`: filter bank features to the speaker embedding, without the 192-wide head."""

    def __init__(self, channels: int, blocks: Sequence[int]) -> None:
        super().__init__()
        self.embedding_width = 8 * channels * EXPANSION * BANDS // 8
        self.conv1 = _conv(1, channels, 3)
        self.bn1 = BatchNorm(channels)
        self.layer1 = _layer(channels, channels, blocks[0], 1, fused=False)
        self.layer2 = _layer(channels * EXPANSION, 2 * channels, blocks[1], 2, fused=False)
        self.layer3 = _layer(2 * channels * EXPANSION, 4 * channels, blocks[2], 2, fused=True)
        self.layer4 = _layer(4 * channels * EXPANSION, 8 * channels, blocks[3], 2, fused=True)
        self.layer3_ds = _conv(4 * channels * EXPANSION, 8 * channels * EXPANSION, 3, 2)
        self.fuse34 = AFF(8 * channels * EXPANSION)

    @property
    def width(self) -> int:
        """Width of the embedding."""
        return self.embedding_width

    def own_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Leaves out the head and the counters of training."""
        return {name: tensor for name, tensor in tensors.items() if not UNUSED.search(name)}

    def forward(self, features: Tensor) -> Tensor:
        """Features [1, T, 80] to the embedding [1, 20480], the mean over time."""
        x = F.relu(self.bn1(self.conv1(features.transpose(1, 2).unsqueeze(1))))
        third = self.layer3(self.layer2(self.layer1(x)))
        fused = self.fuse34(self.layer4(third), self.layer3_ds(third))
        return fused.flatten(1, 2).mean(dim=-1)


def _layer(n_in: int, planes: int, count: int, stride: int, *, fused: bool) -> nn.Sequential:
    first = Block(n_in, planes, stride, fused=fused)
    return nn.Sequential(
        first, *(Block(planes * EXPANSION, planes, 1, fused=fused) for _ in range(count - 1))
    )
