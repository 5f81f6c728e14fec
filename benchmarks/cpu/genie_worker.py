"""Genie-TTS on request, in an environment of its own; a worker of `low_latency.py`.

Genie's own converter makes its model of the checkpoints, its own `ModelManager` loads it, and its own `t2s_cpu` and
vocoder session run. Left out are its package's start (audio devices, a web server, a download) and its text front end;
every session gets an explicit number of threads, and the end of speech is put off until enough tokens are made.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from worker import Run, serve

PACKAGE = "genie_tts"
STOP = 2  # which output of the step says that speech has ended


class Lasting:
    """Genie's step session, which ends after a given number of steps and not before."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.left = 0

    def get_inputs(self) -> Any:
        """As the session's."""
        return self.session.get_inputs()

    def run(self, names: Any, feeds: Any) -> Any:
        """As the session's, but for the end."""
        outputs = self.session.run(names, feeds)
        self.left -= 1
        outputs[STOP] = self.left <= 0
        return outputs


def load(options: argparse.Namespace) -> tuple[Mapping[str, Run], Mapping[str, Any]]:
    find_package(options.genie)
    import onnxruntime

    plain = onnxruntime.SessionOptions
    onnxruntime.SessionOptions = partial(session_options, plain, options.threads)
    os.environ.setdefault("GENIE_DATA_DIR", os.getcwd())  # its HuBERT and speaker network are not run
    os.environ.setdefault("HUBERT_MODEL_DIR", os.getcwd())
    os.environ.setdefault("SV_MODEL", os.getcwd())
    if not (options.converted / "vits_fp32.onnx").is_file():
        from genie_tts.Converter.Converter import convert

        convert(str(options.gpt), str(options.sovits), str(options.converted))
    from genie_tts.Core.Inference import tts_client
    from genie_tts.ModelManager import model_manager

    if not model_manager.load_character("voice", str(options.converted), "Japanese"):
        raise SystemExit(f"Genie cannot load its model from {options.converted}")
    model = model_manager.get("voice")
    with np.load(options.workload) as arrays:
        work = {name: arrays[name] for name in arrays.files}
    runs = {"gpt": gpt_run(tts_client, model, work), "sovits": sovits_run(model, work)}
    return runs, {"versions": {"onnxruntime": onnxruntime.__version__}}


def find_package(checkout: Path) -> None:
    """Makes Genie's modules importable without running the start of its package."""
    folder = checkout / "src" / PACKAGE
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or not folder.is_dir():
        raise SystemExit(f"{checkout}: not a checkout of Genie-TTS, it has no src/{PACKAGE}")
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)


def session_options(plain: Any, threads: int) -> Any:
    options = plain()
    options.intra_op_num_threads = threads
    return options


def gpt_run(client: Any, model: Any, work: dict[str, Any]) -> Run:
    prompt_len = len(work["prompt_phones"])
    step = Lasting(model.T2S_STAGE_DECODER)
    feeds = {
        "ref_seq": work["prompt_phones"][None],
        "ref_bert": work["bert"][:prompt_len],
        "text_seq": work["phones"][None],
        "text_bert": work["bert"][prompt_len:],
        "ssl_content": np.ascontiguousarray(work["ssl"].transpose(0, 2, 1)),
    }

    def run(tokens: int) -> dict[str, Any]:
        step.left = tokens - 1  # the prefill makes the first
        client.t2s_cpu(
            **feeds,
            encoder=model.T2S_ENCODER,
            first_stage_decoder=model.T2S_FIRST_STAGE_DECODER,
            stage_decoder=step,
        )
        return {"tokens": tokens - step.left}

    return run


def sovits_run(model: Any, work: dict[str, Any]) -> Run:
    """Genie's graph: spectrogram and style of the reference, encoder, flow, vocoder."""
    feeds = {
        "text_seq": work["phones"][None],
        "pred_semantic": work["tokens"][None, None],
        "ref_audio": work["wave"][None],
    }
    return lambda: {"samples": int(model.VITS.run(None, feeds)[0].shape[-1])}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genie", type=Path, required=True)
    parser.add_argument("--gpt", type=Path, required=True)
    parser.add_argument("--sovits", type=Path, required=True)
    parser.add_argument("--converted", type=Path, required=True, help="folder of its model; made if missing")
    parser.add_argument("--workload", required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    serve(lambda: load(options))
