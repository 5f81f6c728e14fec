"""The normalising flow between prior and decoder latent, in the direction that speaks.

Source: GPT-SoVITS, module/models.py, ResidualCouplingBlock; module/modules.py, WN, ResidualCouplingLayer, Flip.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WN_LAYERS = 4
WN_KERNEL = 5
N_COUPLINGS = 4
CONTEXT = N_COUPLINGS * WN_LAYERS * (WN_KERNEL // 2)
"""Frames to either side that a frame of the latent depends on."""


class WN(nn.Module):
    """Gated convolutions with one conditioning layer for all; weight norm is folded when the checkpoint is read."""

    def __init__(
        self, hidden: int, style_width: int, layers: int = WN_LAYERS, kernel: int = WN_KERNEL
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.cond_layer = nn.Conv1d(style_width, 2 * hidden * layers, 1)
        self.in_layers = nn.ModuleList(
            nn.Conv1d(hidden, 2 * hidden, kernel, padding=kernel // 2) for _ in range(layers)
        )
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(hidden, 2 * hidden if i < layers - 1 else hidden, 1) for i in range(layers)
        )

    def forward(self, x: Tensor, style: Tensor, mask: Tensor | None = None) -> Tensor:
        """Maps x [1, hidden, T] with style [1, style_width, 1] to the summed skips [1, hidden, T].

        Where the mask float [1, 1, T] is 0, frames are silent for their neighbours.
        """
        conditions = self.cond_layer(style).chunk(len(self.in_layers), dim=1)
        total: Tensor | None = None
        for conv, res_skip, condition in zip(self.in_layers, self.res_skip_layers, conditions, strict=True):
            filtered, gate = (conv(x) + condition).chunk(2, dim=1)
            out = res_skip(torch.tanh(filtered) * torch.sigmoid(gate))
            if out.shape[1] > self.hidden:  # all but the last layer also feed the next one
                residual, out = out.chunk(2, dim=1)
                x = x + residual if mask is None else (x + residual) * mask
            total = out if total is None else total + out
        assert total is not None
        return total


class CouplingLayer(nn.Module):
    """Mean-only affine coupling."""

    def __init__(self, channels: int, hidden: int, style_width: int) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels // 2, hidden, 1)
        self.enc = WN(hidden, style_width)
        self.post = nn.Conv1d(hidden, channels // 2, 1)

    def reverse(self, x: Tensor, style: Tensor) -> Tensor:
        """Undoes the coupling of x [1, channels, T]."""
        kept, changed = x.chunk(2, dim=1)
        return torch.cat([kept, changed - self.post(self.enc(self.pre(kept), style))], dim=1)


class Flow(nn.Module):
    """Couplings at even places of `flows`, channel flips (without weights) at the odd ones."""

    def __init__(self, channels: int, hidden: int, style_width: int) -> None:
        super().__init__()
        self.flows = nn.ModuleList(
            CouplingLayer(channels, hidden, style_width) if i % 2 == 0 else nn.Identity()
            for i in range(2 * N_COUPLINGS)
        )

    def reverse(self, x: Tensor, style: Tensor) -> Tensor:
        """Maps a sample of the prior [1, channels, T] to the decoder's latent, same shape."""
        for layer in reversed(self.flows):
            x = layer.reverse(x, style) if isinstance(layer, CouplingLayer) else torch.flip(x, [1])
        return x
