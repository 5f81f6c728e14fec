"""Convolutions of height 1 run as the 1-D ones of the original, for eager PyTorch as a baseline."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from sovits_exporter.modeling.hifigan import FlatConv, FlatConvTranspose


def run_in_one_dimension(module: nn.Module) -> None:
    """Lets every convolution of height 1 run as a 1-D one, which is faster in eager PyTorch."""
    for part in module.modules():
        if type(part) in FORWARDS:
            part.forward = partial(FORWARDS[type(part)], part)


def _conv(conv: FlatConv, x: Tensor) -> Tensor:
    padding, dilation = int(conv.padding[-1]), conv.dilation[-1]
    weight = conv.weight.squeeze(2)
    y = F.conv1d(x.squeeze(2), weight, conv.bias, padding=padding, dilation=dilation, groups=conv.groups)
    return y.unsqueeze(2)


def _conv_transpose(conv: FlatConvTranspose, x: Tensor) -> Tensor:
    padding, stride = int(conv.padding[-1]), conv.stride[-1]
    weight = conv.weight.squeeze(2)
    return F.conv_transpose1d(x.squeeze(2), weight, conv.bias, stride=stride, padding=padding).unsqueeze(2)


FORWARDS: dict[type[nn.Module], Callable[..., Tensor]] = {
    FlatConv: _conv,
    FlatConvTranspose: _conv_transpose,
}
