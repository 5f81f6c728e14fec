"""Eager PyTorch on a GPU as a rival: the modules of `bench_eager`, moved to the device, in FP32 or FP16."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sovits_exporter.bench_eager import EagerHifigan, EagerRival
from sovits_exporter.modeling import eager
from sovits_runtime.bench_workload import NEVER_ENDS, Workload
from sovits_runtime.errors import BackendError


class GpuEager:
    """Eager PyTorch on a device.

    Args:
        gpt: The `.ckpt` file.
        sovits: The `.pth` file, of v1 to v2ProPlus.
        device: A device of PyTorch.
        half: Run in FP16, as the original does by default on a GPU.

    Raises:
        BackendError: The voice is of a version that this rival does not speak.
    """

    def __init__(self, gpt: Path, sovits: Path, *, device: str = "cuda", half: bool = False) -> None:
        self.device = device
        self.dtype = torch.float16 if half else torch.float32
        rival = EagerRival(gpt, sovits)
        if not isinstance(rival.decoder, EagerHifigan):
            raise BackendError("the eager rival on a GPU speaks v1 to v2ProPlus")
        self.t2s = rival.t2s.to(device, self.dtype)
        self.vits = rival.decoder.vits.to(device, self.dtype)
        self.decoder = rival.decoder
        for position in (self.t2s.ar_text_position, self.t2s.ar_audio_position):
            position.register_forward_hook(self._in_dtype)  # positions are computed in FP32
        self.t2s.ar_predict_layer.register_forward_hook(lambda *args: args[-1].float())
        for module in self.vits.modules():
            if half and isinstance(
                module, (nn.Conv1d, nn.ConvTranspose1d, nn.Conv2d, nn.Linear, nn.LayerNorm)
            ):
                module.register_forward_pre_hook(self._inputs_in_dtype)  # after parts that are kept in FP32
        self.extend: Any = eager._extend

    def compile(self) -> None:
        """Puts `torch.compile` around the decode step; it runs when first needed."""
        self.extend = torch.compile(eager._extend, dynamic=True)

    def generate(self, work: Workload, phones: np.ndarray[Any, Any] | None = None) -> Iterator[int]:
        """Yields tokens without end; the first after the prefill."""
        ids = np.concatenate([work.prompt_phones, work.phones if phones is None else phones])
        noise = work.token_noise()
        plain, eager._extend = eager._extend, self.extend
        try:
            with torch.device(self.device):
                steps = eager.generate(
                    self.t2s,
                    self._on(ids[None]),
                    self._on(work.bert[None, : len(ids)]),
                    self._on(work.prompt[None]),
                    options=eager.EagerOptions(min_tokens=NEVER_ENDS),
                    noise=lambda i: torch.from_numpy(noise(i)).to(self.device),
                )
                for step in steps:
                    yield step.token
        finally:
            eager._extend = plain

    @torch.inference_mode()
    def speak(self, work: Workload, count: int, phones: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Speaks `count` tokens for `phones` from the prepared reference; returns once the samples are on the host."""
        tokens = np.array(list(islice(self.generate(work, phones), count)))
        return self.decode(tokens, phones, work.style)

    @torch.inference_mode()
    def decode(
        self, tokens: np.ndarray[Any, Any], phones: np.ndarray[Any, Any], style: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        """Makes the sound of tokens; returns once the samples are on the host."""
        with torch.device(self.device):
            place = self._on(style)
            state = self.decoder.encoder(self._on(tokens[None]), self._on(phones[None]), place).to(self.dtype)
            noise = torch.randn(1, self.vits.channels, state.shape[2]).to(self.dtype)
            z, _, _ = self.decoder.flow(state, place, noise, torch.full((1,), 0.5, dtype=self.dtype))
            return self.decoder.vocoder(z.to(self.dtype), place)[0].float().cpu().numpy()

    def _on(self, array: np.ndarray[Any, Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _inputs_in_dtype(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(x.to(self.dtype) for x in inputs)

    def _in_dtype(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return output.to(self.dtype)
