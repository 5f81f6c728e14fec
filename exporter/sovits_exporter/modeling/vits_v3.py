"""SoVITS v3 to v5: encoder state to mel by conditional flow matching, and the graphs made of it.

Source: GPT-SoVITS, module/models.py, SynthesizerTrnV3, CFM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sovits_exporter.modeling.dit import DiT
from sovits_exporter.modeling.flow import WN
from sovits_exporter.modeling.sizes import DitDims
from sovits_exporter.modeling.vits import Sovits
from sovits_runtime.bundle.model_spec import ModelSpec

WN_LAYERS = 8
BRIDGE_SLOPE = 0.01


class FeatureEncoder(nn.Module):
    """The part called `wns1`."""

    def __init__(self, width: int, style_width: int) -> None:
        super().__init__()
        self.pre = nn.Conv1d(width, width, 1)
        self.enc = WN(width, style_width, WN_LAYERS)
        self.proj = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, style: Tensor, mask: Tensor) -> Tensor:
        """Maps x [1, width, T], style [1, gin, 1] and mask float [1, 1, T] to [1, width, T], 0 where the mask is."""
        return self.proj(self.enc(self.pre(x) * mask, style, mask)) * mask


class FlowMatching(nn.Module):
    """The part called `cfm`."""

    def __init__(self, estimator: DiT) -> None:
        super().__init__()
        self.estimator = estimator


class SynthesizerTrnV3(Sovits):
    """Weights of one SoVITS checkpoint whose decoder is flow matching."""

    def __init__(self, config: Mapping[str, Any], spec: ModelSpec, dims: DitDims) -> None:
        super().__init__(config, spec)
        assert spec.flow is not None
        self.feature_rate = spec.flow.feature_rate
        width = spec.flow.feature_width
        self.bridge = nn.Sequential(nn.Conv1d(self.state_channels, width, 1), nn.LeakyReLU(BRIDGE_SLOPE))
        self.wns1 = FeatureEncoder(width, self.style_width)
        self.cfm = FlowMatching(DiT(dims, step_size_embedding=spec.flow.step_size_embedding))


class CfmFeatures(nn.Module):
    """Graph `cfm_features`: state to features at the frame rate of the mel."""

    def __init__(self, vits: SynthesizerTrnV3) -> None:
        super().__init__()
        self.bridge, self.wns1, self.feature_rate = vits.bridge, vits.wns1, vits.feature_rate

    def forward(self, state: Tensor, style: Tensor, valid_frames: Tensor) -> Tensor:
        """State [1, 192, N], style [1, 512, 1], valid_frames int64 [1] to features [1, 512, F].

        Features from `valid_frames` on are zero, and neighbours do not see them.
        """
        up, down = self.feature_rate
        bridged = self.bridge(state)
        target = torch.arange(state.shape[2] * up // down, device=state.device)
        source = torch.div(target * down, up, rounding_mode="trunc")
        spread = bridged.index_select(2, source)
        mask = (target < valid_frames).to(state.dtype)[None, None]
        return self.wns1(spread, style, mask)


class CfmCondition(nn.Module):
    """Graph `cfm_condition`: all that is the same in every step of one window, made once."""

    def __init__(self, estimator: DiT, *, guided: bool) -> None:
        super().__init__()
        self.estimator, self.guided = estimator, guided

    def forward(self, features: Tensor, prompt_mel: Tensor, prompt_len: Tensor) -> tuple[Tensor, ...]:
        """Prepares the steps.

        Args:
            features: float32 [B, 512, T].
            prompt_mel: float32 [B, 100, T], normed mel of the prompt, zero after it.
            prompt_len: int64 [1], frames of the prompt.

        Returns:
            Cosines and sines float32 [2, T, 32]; [1, 1, T], 0 in the prompt, whose frames no step moves, and 1 after
            it; where steps are guided, the condition without the prompt's mel; and the condition [B, T, width].
        """
        condition, unprompted, turn = self.estimator.prepare(features, prompt_mel)
        after = torch.arange(features.shape[2], device=features.device) >= prompt_len
        moves = after.to(features.dtype)[None, None]
        return (turn, moves, unprompted, condition) if self.guided else (turn, moves, condition)


class CfmStep(nn.Module):
    """Graph `cfm_step`: one Euler step from noise towards the mel; of a guided one the caller takes the velocities."""

    def __init__(self, estimator: DiT) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(
        self, x: Tensor, condition: Tensor, turn: Tensor, moves: Tensor, time: Tensor, step_size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Moves x.

        Args:
            x: float32 [B, 100, T], its prompt frames zero.
            condition: float32 [B, T, width]; as the next two, of `CfmCondition`.
            turn: float32 [2, T, 32].
            moves: float32 [1, 1, T].
            time: float32 [1], steps done over steps.
            step_size: float32 [1], one over steps.

        Returns:
            The velocity and the next x, each [B, 100, T]; of the latter the prompt frames are zero.
        """
        velocity = self.estimator.velocity(x, condition, turn, time, step_size)
        return velocity, (x + step_size * velocity) * moves
