"""Eager PyTorch on a GPU as a baseline: the modules of `bench_eager`, moved to the device, in FP32 or FP16."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from process import Skipped
from torch import Tensor, nn

from sovits_exporter.eager.baseline import EagerBaseline, EagerHifigan
from sovits_exporter.modeling import eager
from sovits_runtime.bench.workload import NEVER_ENDS
from sovits_runtime.speech.types import DEFAULT_NOISE_SCALE


class GpuEager:
    """Eager PyTorch on a device, for the workload that fits its checkpoints.

    Every tensor is made where it is used, and the sampling noise is there before anything is timed. In FP32 it
    computes in FP32, as we do: TF32 is switched off, for the whole process. In FP16 that stays as PyTorch has it.

    Args:
        gpt: The `.ckpt` file.
        sovits: The `.pth` file, of v1 to v2ProPlus.
        tokens: Most tokens of a sentence.
        device: A device of PyTorch.
        half: Run in FP16, as the original does by default on a GPU.

    Raises:
        Skipped: The voice is of a version that this baseline does not speak.
    """

    def __init__(
        self, gpt: Path, sovits: Path, tokens: int, *, device: str = "cuda", half: bool = False
    ) -> None:
        self.device = device
        self.dtype = torch.float16 if half else torch.float32
        torch.backends.cudnn.allow_tf32 = half
        torch.backends.cuda.matmul.allow_tf32 = False
        baseline = EagerBaseline(gpt, sovits)
        if not isinstance(baseline.decoder, EagerHifigan):
            raise Skipped(f"the eager baseline on a GPU speaks v1 to v2ProPlus, not {baseline.spec.version}")
        self.t2s = baseline.t2s.to(device, self.dtype)
        self.vits = baseline.decoder.vits.to(device, self.dtype)
        self.decoder = baseline.decoder
        self.extend: eager.Extend = eager.extend
        self.work = baseline.workload(tokens)
        draw = self.work.token_noise()
        self.noise = torch.from_numpy(np.stack([draw(i) for i in range(tokens)])).to(device)
        if half:
            self._mind_dtypes()

    def describe(self) -> dict[str, Any]:
        """What PyTorch runs, for reports."""
        return {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "dtype": str(self.dtype).removeprefix("torch."),
            "tf32": {
                "cudnn": torch.backends.cudnn.allow_tf32,
                "matmul": torch.backends.cuda.matmul.allow_tf32,
            },
        }

    def compile(self) -> None:
        """Puts `torch.compile` around the decode step; it runs when first needed."""
        self.extend = torch.compile(eager.extend, dynamic=True)

    def generate(self, count: int, phones: int | None = None) -> Iterator[int]:
        """Yields `count` tokens for the first `phones` of the target, or all; the first one after the prefill."""
        ids = np.concatenate([self.work.prompt_phones, self.work.phones[:phones]])
        steps = eager.generate(
            self.t2s,
            self._on(ids[None]),
            self._on(self.work.bert[None, : len(ids)]),
            self._on(self.work.prompt[None]),
            options=eager.EagerOptions(min_tokens=NEVER_ENDS),
            noise=self.noise.__getitem__,
            extend=self.extend,
        )
        return (step.token for step in islice(steps, count))

    def speak(self, count: int, phones: int) -> np.ndarray[Any, Any]:
        """Speaks `count` tokens for the first `phones` of the target; returns once the samples are on the host."""
        tokens = np.array(list(self.generate(count, phones)))
        return self.sound(tokens, self.work.phones[:phones]).float().cpu().numpy()

    @torch.inference_mode()
    def sound(self, tokens: np.ndarray[Any, Any], phones: np.ndarray[Any, Any]) -> Tensor:
        """Decodes tokens with the workload's speaker embedding: samples [n] on the device."""
        place = self._on(self.work.style)
        state = self.decoder.encoder(self._on(tokens[None]), self._on(phones[None]), place).to(self.dtype)
        like_inputs = {"dtype": self.dtype, "device": self.device}
        noise = torch.randn(1, self.vits.channels, state.shape[2], **like_inputs)
        z, _, _ = self.decoder.flow(state, place, noise, torch.full((1,), DEFAULT_NOISE_SCALE, **like_inputs))
        samples: Tensor = self.decoder.vocoder(z.to(self.dtype), place)[0]
        return samples

    def _on(self, array: np.ndarray[Any, Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _mind_dtypes(self) -> None:
        """Casts where the modules compute in FP32: positions, logits, and parts of the decoder."""
        for position in (self.t2s.ar_text_position, self.t2s.ar_audio_position):
            position.register_forward_hook(lambda module, inputs, output: output.to(self.dtype))
        self.t2s.ar_predict_layer.register_forward_hook(lambda module, inputs, output: output.float())
        for module in self.vits.modules():
            if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d, nn.Conv2d, nn.Linear, nn.LayerNorm)):
                module.register_forward_pre_hook(
                    lambda module, inputs: tuple(x.to(self.dtype) for x in inputs)
                )


def used_torch_bytes(device: str) -> int:
    """Memory of the GPU that is in use, by whomever, as PyTorch reports it; 0 on another device."""
    if device != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info()
    return total - free
