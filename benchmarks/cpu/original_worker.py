"""The original repository's models on request, in the original's own environment; a worker of `low_latency.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from worker import Run, checkout_arguments, serve


def load(options: argparse.Namespace) -> tuple[Mapping[str, Run], Mapping[str, Any]]:
    sys.path[:0] = [str(options.original / "GPT_SoVITS"), str(options.original)]
    import torch

    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    with np.load(options.workload) as arrays:
        work = {name: arrays[name] for name in arrays.files}
    runs = {"gpt": gpt_run(options.gpt, work), "sovits": sovits_run(options.sovits, work)}
    return runs, {"versions": {"torch": torch.__version__}}


def gpt_run(path: str, work: dict[str, Any]) -> Run:
    """The original's plain decode loop over a given number of tokens."""
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

    def run(tokens: int) -> dict[str, Any]:
        output_tokens, _ = decoder.infer_panel(
            phones,
            torch.tensor([phones.shape[1]]),
            prompt,
            bert,
            top_k=15,
            top_p=1,
            temperature=1,
            early_stop_num=tokens - 1,
        )
        return {"tokens": int(output_tokens.shape[1] - prompt.shape[1])}

    return run


def sovits_run(path: str, work: dict[str, Any]) -> Run:
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
    return lambda: {"samples": int(net.decode(codes, phones, [spectrogram], speed=1).shape[-1])}


def dict_of(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else dict(vars(value))


if __name__ == "__main__":
    options = checkout_arguments(__doc__, "original")
    serve(lambda: load(options))
