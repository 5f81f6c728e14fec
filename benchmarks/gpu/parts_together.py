"""Parts of `report.py` about launches, fences, many at once, rows, and packages of other environments."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from batches import rows_together
from fences import cuda_launch, try_capture, try_fences
from part import CACHE_ROWS, Run, kernels, need_cuda_bindings, need_nvrtc, need_ort_cuda, open_gpu
from process import Skipped
from together import requests_together, tokens_beside_sound

from sovits_engines.build import build_engines
from sovits_engines.targets import BuildTarget, build_targets
from sovits_runtime.backends.tensorrt import REFERENCE_GRAPHS, TensorRtVoice
from sovits_runtime.backends.trt_api import ENTERPRISE, RTX, TITLES, TrtApi, load_api
from sovits_runtime.errors import BackendError
from sovits_runtime.verify import verify_bundle

OTHER_PARTS = (
    "doctor",
    "versions",
    "streams and events",
    "token scheduler, captured",
    "cooperative launch, captured",
    "step kernels",
    "verify on ONNX Runtime CUDA",
    "engines",
    "verify on TensorRT",
)
"""What is tried with the packages of the other CUDA line."""
REPORT = Path(__file__).with_name("report.py")
OTHER_LIMIT_S = 280


def cooperative_launch(run: Run) -> dict[str, Any]:
    """A cooperative launch in a captured graph, replayed."""
    device = open_gpu()
    need_nvrtc()
    return try_capture(device, *cuda_launch(device))


def memory_fences(run: Run) -> dict[str, Any]:
    """What the fences of the grid barrier let through, with a block on every multiprocessor."""
    device = open_gpu()
    need_nvrtc()
    return try_fences(device, *cuda_launch(device))


def requests_onnxruntime(run: Run) -> dict[str, Any]:
    """Requests at once on ONNX Runtime."""
    bundle = run.need_bundle()
    need_ort_cuda()
    return requests_together(bundle, "onnxruntime", repeats=_few(run))


def requests_kernels(run: Run) -> dict[str, Any]:
    """The same with the own kernels for the GPT's steps."""
    bundle = run.need_bundle()
    need_ort_cuda()
    kernels(run)
    return requests_together(bundle, "onnxruntime", gpt_steps="native", repeats=_few(run))


def requests_tensorrt(run: Run) -> dict[str, Any]:
    """The same on TensorRT."""
    need_cuda_bindings()
    return requests_together(run.need_bundle(), "tensorrt", repeats=_few(run))


def tokens_and_sound(run: Run) -> dict[str, Any]:
    """Tokens of one request while the sound of another is made."""
    bundle = run.need_bundle()
    need_ort_cuda()
    return tokens_beside_sound(bundle, "onnxruntime", repeats=_few(run))


def rows_onnxruntime(run: Run) -> dict[str, Any]:
    """Batches of 1 to 32 rows on ONNX Runtime's CUDA provider."""
    bundle = run.need_bundle()
    need_ort_cuda()
    return rows_together(bundle, "onnxruntime", repeats=_few(run))


def rows_tensorrt(run: Run) -> dict[str, Any]:
    """Batches of 1 to 32 rows, for which TensorRT has one engine a cache length."""
    bundle, target = run.need_bundle(), _target(run)
    names = tuple(name for name in bundle.graph_names if name not in REFERENCE_GRAPHS)
    built = build_engines(bundle, [target], graphs=names, cache_sizes=CACHE_ROWS, rows=True)
    need_cuda_bindings()
    seconds = sum(result.seconds for result in built if result.built)
    return {**rows_together(bundle, "tensorrt", repeats=_few(run)), "build_s": round(seconds, 1)}


def other_flavour(run: Run) -> dict[str, Any]:
    """Engines of the flavour of TensorRT that `engines` did not take, built and verified."""
    bundle, first = run.need_bundle(), _target(run).target.flavour
    other = ENTERPRISE if first == RTX else RTX
    target = _target(run, other)
    names = tuple(name for name in bundle.graph_names if name not in REFERENCE_GRAPHS)
    built = build_engines(bundle, [target], graphs=names, cache_sizes=CACHE_ROWS)
    need_cuda_bindings()

    def load(flavour: str) -> TrtApi:
        if flavour != other:
            raise BackendError(f"{TITLES[flavour]} is left out here")
        return load_api(flavour)

    options = TensorRtVoice.__init__.__kwdefaults__
    before, options["load"] = options["load"], load  # this part has a process of its own
    try:
        report = verify_bundle(bundle, device="cuda", backend="tensorrt")
    finally:
        options["load"] = before
    if not report.passed:
        raise AssertionError(report.failure())
    seconds = sum(result.seconds for result in built)
    title = f"{target.api.title}: {len(built)} engines in {seconds:.0f} s, {len(report.checks)} checks passed"
    return {"summary": title, "report": report.to_json()}


def other_line(run: Run) -> dict[str, Any]:
    """This report once more, as far as it is right or wrong, with the packages of the other CUDA line."""
    bundle = run.need_bundle()
    if run.other_python is None:
        raise Skipped("no --other-python was given: an environment with the packages of the other CUDA line")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "other.json")
        command = [str(run.other_python), str(REPORT), str(bundle.path), "--only", *OTHER_PARTS]
        command += ["--shared", str(bundle.shared)] if bundle.shared else []
        command += ["--repeats", "2", "--limit-s", str(OTHER_LIMIT_S), "-o", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not output.exists():
            last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
            raise RuntimeError(
                f"{run.other_python} gave no report: {last or f'exit status {done.returncode}'}"
            )
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return _other(found["parts"])


def _other(parts: dict[str, Any]) -> dict[str, Any]:
    """What the other environment's parts come to."""
    bad = {name: part.get("reason", "") for name, part in parts.items() if part["status"] == "failed"}
    if bad:
        raise AssertionError("; ".join(f"{name}: {reason}" for name, reason in bad.items()))
    passed = [name for name, part in parts.items() if part["status"] == "passed"]
    if not set(passed) - {"doctor", "versions"}:
        raise Skipped(
            "nothing of a GPU could run there: " + "; ".join(p.get("reason", "") for p in parts.values())
        )
    return {"summary": f"{len(passed)} of {len(parts)} parts passed: {', '.join(passed)}", "parts": parts}


def _target(run: Run, flavour: str | None = None) -> BuildTarget:
    try:
        return build_targets(flavour=flavour, driver=run.driver)[0]
    except BackendError as error:
        raise Skipped(str(error)) from error


def _few(run: Run) -> int:
    return max(1, run.repeats // 3)
