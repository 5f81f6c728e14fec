"""SoVITS v3 to v5: encoder state to mel by conditional flow matching, and the graphs made of it.

Source: GPT-SoVITS, module/models.py, SynthesizerTrnV3, CFM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sovits_exporter.modeling.dit import DiT, GuidedDiT
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

    def __init__(self, estimator: DiT | GuidedDiT) -> None:
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
        self.cfm = FlowMatching(DiT(dims) if spec.flow.guidance is None else GuidedDiT(dims))


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
    """Graph `cfm_condition`: what one window of features tells every step."""

    def __init__(self, estimator: DiT) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, 512, T] to the condition [B, T, 512]."""
        return self.estimator.text_embed(features)


class CfmStep(nn.Module):
    """Graph `cfm_step`: one Euler step from noise towards the mel."""

    def __init__(self, estimator: DiT) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(
        self,
        x: Tensor,
        prompt_mel: Tensor,
        condition: Tensor,
        time: Tensor,
        step_size: Tensor,
        prompt_len: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Moves x.

        Args:
            x: float32 [B, 100, T], its prompt frames zero.
            prompt_mel: float32 [B, 100, T], normed mel of the prompt, zero after it.
            condition: float32 [B, T, 512].
            time: float32 [1], steps done over steps.
            step_size: float32 [1], one over steps.
            prompt_len: int64 [1], frames of the prompt.

        Returns:
            The velocity and the next x, each [B, 100, T]; of the latter the prompt frames are zero.
        """
        velocity = self.estimator.velocity(x, prompt_mel, condition, time, step_size)
        return velocity, _moved(x, velocity, step_size, prompt_len)


class GuidedCondition(nn.Module):
    """Graph `cfm_condition` of versions with guidance: what one window tells every step."""

    def __init__(self, estimator: GuidedDiT) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, features: Tensor, prompt_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, 512, T] and prompt [B, 100, T] to conditions [B, T, width]: without the prompt, and with it."""
        return self.estimator.prepare(features, prompt_mel)


class GuidedStep(nn.Module):
    """Graph `cfm_step` of versions with guidance; of a guided step the caller takes the velocities alone."""

    def __init__(self, estimator: GuidedDiT) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(
        self, x: Tensor, condition: Tensor, time: Tensor, step_size: Tensor, prompt_len: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Moves x; as `CfmStep`, but that the condition [B, T, width] knows the prompt."""
        velocity = self.estimator.velocity(x, condition, time)
        return velocity, _moved(x, velocity, step_size, prompt_len)


def _moved(x: Tensor, velocity: Tensor, step_size: Tensor, prompt_len: Tensor) -> Tensor:
    moves = torch.arange(x.shape[2], device=x.device) >= prompt_len
    return (x + step_size * velocity) * moves.to(x.dtype)
