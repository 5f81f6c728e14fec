"""GSV-TTS-Lite's models on request, in its own environment; a worker of `low_latency.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from worker import Run, checkout_arguments, serve

PACKAGE = "gsv_tts"
CACHES = [(1, 512), (1, 768), (1, 1024)]
"""Lengths of its caches for one sentence, as it has them by default."""


def load(options: argparse.Namespace) -> tuple[Mapping[str, Run], Mapping[str, Any]]:
    import torch

    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    prepare_package(options.lite)
    from gsv_tts.Config import Config
    from gsv_tts.Loader import get_gpt_weights, get_sovits_weights

    config = Config()
    config.device, config.dtype, config.use_flash_attn = torch.device("cpu"), torch.float32, False
    config.gpt_cache, config.sovits_cache = CACHES, []
    with np.load(options.workload) as arrays:
        work = {name: arrays[name] for name in arrays.files}
    runs = {
        "gpt": gpt_run(get_gpt_weights(options.gpt, config).t2s_model, work),
        "sovits": sovits_run(get_sovits_weights(options.sovits, config), work),
    }
    return runs, {"versions": {"torch": torch.__version__}}


def prepare_package(checkout: Path) -> None:
    """Makes its modules importable without running the start of its package (downloads, sound devices)."""
    package = ModuleType(PACKAGE)
    package.__path__ = [str(checkout / PACKAGE)]
    sys.modules[PACKAGE] = package


def gpt_run(model: Any, work: dict[str, Any]) -> Run:
    """Its streaming loop up to the first chunk, which is as long as asked for."""
    import torch

    model.EOS = -1  # no token has this number, so the length is the same for everyone
    phones = torch.from_numpy(work["all_phones"][None])
    bert = torch.from_numpy(work["bert"][None].copy())
    prompt = torch.from_numpy(work["prompt"][None])

    def run(tokens: int) -> dict[str, Any]:
        chunks = model.infer_stream(phones, prompt, bert, stream_chunk=tokens, debug=False)
        return {"tokens": int(next(chunks)[0].shape[-1])}

    return run


def sovits_run(voice: Any, work: dict[str, Any]) -> Run:
    """Its `decode`: encoder, flow, vocoder; the style is made before."""
    import torch

    data = voice.hps.data
    window = torch.hann_window(data.win_length)
    lengths = (data.filter_length, data.hop_length, data.win_length)
    wave = torch.from_numpy(work["wave"][None])
    style = voice.vq_model.get_ge(torch.stft(wave, *lengths, window, return_complex=True).abs())
    codes, phones = torch.from_numpy(work["tokens"][None, None]), torch.from_numpy(work["phones"][None])
    return lambda: {"samples": int(voice.vq_model.decode(codes, phones, style)[0].shape[-1])}


if __name__ == "__main__":
    options = checkout_arguments(__doc__, "lite")
    serve(lambda: load(options))
