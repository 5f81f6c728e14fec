"""The original repository's v4 on request, in the original's own environment; a worker of `flow.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from original_worker import dict_of, gpt_run
from worker import Run, checkout_arguments, serve

VOCODER = {
    "initial_channel": 100,
    "resblock": "1",
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "upsample_rates": [10, 6, 2, 2, 2],
    "upsample_initial_channel": 512,
    "upsample_kernel_sizes": [20, 12, 4, 4, 4],
    "gin_channels": 0,
    "is_bias": True,
}
WINDOW, PROMPT = 1000, 500


def load(options: argparse.Namespace) -> tuple[Mapping[str, Run], Mapping[str, Any]]:
    sys.path[:0] = [str(options.original / "GPT_SoVITS"), str(options.original)]
    import torch

    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    with np.load(options.workload) as arrays:
        work = {name: arrays[name] for name in arrays.files}
    runs = {"gpt": gpt_run(options.gpt, work), "decode": decode_run(options, work)}
    return runs, {"versions": {"torch": torch.__version__}}


def decode_run(options: argparse.Namespace, work: dict[str, Any]) -> Run:
    """What the original does with tokens: features of prompt and speech, windows of flow matching, vocoder."""
    import torch
    from module.models import Generator

    net, spectrogram = model(options.sovits, work["wave"])
    vocoder = Generator(**VOCODER)
    vocoder.remove_weight_norm()
    vocoder.load_state_dict(torch.load(options.vocoder, map_location="cpu", weights_only=False))
    vocoder.eval()
    names = ("prompt", "prompt_phones", "tokens", "phones")
    prompt, prompt_phones, tokens, phones = (torch.from_numpy(work[name][None]) for name in names)
    reference = torch.randn(1, 100, len(work["wave"]) // 320)

    def run(steps: int) -> dict[str, Any]:
        features, ge = net.decode_encp(prompt[None], prompt_phones, spectrogram)
        shared = min(reference.shape[2], features.shape[2])
        mel, features = reference[:, :, :shared][:, :, -PROMPT:], features[:, :, :shared][:, :, -PROMPT:]
        length = mel.shape[2]
        said, _ = net.decode_encp(tokens[None], phones, spectrogram, ge)
        made = []
        for chunk in said.split(WINDOW - length, dim=2):
            window = torch.cat([features, chunk], 2).transpose(2, 1)
            spoken = net.cfm.inference(window, torch.LongTensor([window.shape[1]]), mel, steps)[:, :, length:]
            mel, features = spoken[:, :, -length:], chunk[:, :, -length:]
            made.append(spoken)
        with torch.inference_mode():
            return {"samples": int(vocoder(torch.cat(made, 2) * 7 - 5).shape[-1])}

    return run


def model(path: str, wave: Any) -> tuple[Any, Any]:
    """The original's v4 with the weights of a checkpoint, and the spectrogram of the reference."""
    import torch
    from module.mel_processing import spectrogram_torch
    from module.models import SynthesizerTrnV3

    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    settings, data = dict_of(checkpoint["config"]["model"]), dict_of(checkpoint["config"]["data"])
    settings.update(version="v4", semantic_frame_rate="25hz")
    segment = dict_of(checkpoint["config"]["train"])["segment_size"] // data["hop_length"]
    net = SynthesizerTrnV3(data["filter_length"] // 2 + 1, segment, n_speakers=data["n_speakers"], **settings)
    weights = {name: value.float() for name, value in checkpoint["weight"].items()}
    missing = net.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise SystemExit(f"{path}: the original's model misses {missing[:3]}")
    net.eval()
    lengths = (data["filter_length"], data["sampling_rate"], data["hop_length"], data["win_length"])
    return net, spectrogram_torch(torch.from_numpy(wave[None]), *lengths, center=False)


if __name__ == "__main__":
    options = checkout_arguments(__doc__, "original", "vocoder")
    serve(lambda: load(options))
