"""Runs the original repository's models on request, in the original's own environment; needs nothing of ours.

Started by `compare_original.py`. Reads one stage name a line, runs it once, answers one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--original", type=Path, required=True)
    parser.add_argument("--gpt", required=True)
    parser.add_argument("--sovits", required=True)
    parser.add_argument("--workload", required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    # The original prints freely; only this channel carries answers.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path[:0] = [str(options.original / "GPT_SoVITS"), str(options.original)]
    start = time.perf_counter()
    import torch

    torch.set_num_threads(options.threads)
    with np.load(options.workload) as arrays:
        work = {name: arrays[name] for name in arrays.files}
    runs = {"gpt": gpt_run(options.gpt, work), "sovits": sovits_run(options.sovits, work)}
    answer(channel, {"ready_s": time.perf_counter() - start, "torch": torch.__version__})
    for line in sys.stdin:
        start = time.perf_counter()
        with torch.inference_mode():
            size = runs[line.strip()]()
        answer(channel, {"seconds": time.perf_counter() - start, "size": size})


def gpt_run(path: str, work: dict[str, Any]) -> Callable[[], int]:
    """The original's plain decode loop over the workload's number of tokens."""
    import torch
    from AR.models.t2s_model import Text2SemanticDecoder

    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    decoder = Text2SemanticDecoder(config=checkpoint["config"], top_k=3)
    weights = {name.removeprefix("model."): value.float() for name, value in checkpoint["weight"].items()}
    decoder.load_state_dict(weights)
    decoder.eval()
    decoder.EOS = -1  # no token has this number, so the length is the same for everyone
    phones = torch.from_numpy(work["all_phones"][None])
    bert = torch.from_numpy(work["bert"].T[None].copy())
    prompt = torch.from_numpy(work["prompt"][None])
    count = len(work["tokens"])

    def run() -> int:
        tokens, _ = decoder.infer_panel(
            phones,
            torch.tensor([phones.shape[1]]),
            prompt,
            bert,
            top_k=15,
            top_p=1,
            temperature=1,
            early_stop_num=count - 1,
        )
        return int(tokens.shape[1] - prompt.shape[1])

    return run


def sovits_run(path: str, work: dict[str, Any]) -> Callable[[], int]:
    """The original's `decode`: style of the reference's spectrogram (made before), encoder, flow, vocoder."""
    import torch
    from module.mel_processing import spectrogram_torch
    from module.models import SynthesizerTrn

    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    config = checkpoint["config"]
    model, data = dict_of(config["model"]), dict_of(config["data"])
    model.update(version="v2", semantic_frame_rate="25hz")
    net = SynthesizerTrn(
        data["filter_length"] // 2 + 1,
        dict_of(config["train"])["segment_size"] // data["hop_length"],
        n_speakers=data["n_speakers"],
        **model,
    )
    weights = {name: value.float() for name, value in checkpoint["weight"].items()}
    missing = net.load_state_dict(weights, strict=False).missing_keys
    if any(not name.startswith("enc_q.") for name in missing):
        raise SystemExit(f"{path}: the original's model misses {missing[:3]}")
    net.eval()
    lengths = (data["filter_length"], data["sampling_rate"], data["hop_length"], data["win_length"])
    spectrogram = spectrogram_torch(torch.from_numpy(work["wave"][None]), *lengths, center=False)
    codes, phones = torch.from_numpy(work["tokens"][None, None]), torch.from_numpy(work["phones"][None])
    return lambda: int(net.decode(codes, phones, [spectrogram], speed=1).shape[-1])


def dict_of(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else dict(vars(value))


def answer(channel: TextIO, value: dict[str, Any]) -> None:
    channel.write(json.dumps(value) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
