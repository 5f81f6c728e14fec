"""Everything that can only be learnt on an NVIDIA GPU, in one run of less than ten minutes, without internet.

    python benchmarks/gpu_report.py [BUNDLE] [--checkpoints FOLDER] [-o benchmarks/results/NAME.json]

Parts: what the doctor says; the runtime's plumbing (streams, events, captured graphs, caches in place) with toy
kernels; the own kernels of the GPT's step against the CPU; engines built, loaded and verified where TensorRT is
installed; ONNX Runtime on CUDA where it is installed, with and without the own kernels; latency of each beside eager
PyTorch in FP32 and FP16 and `torch.compile`, in this process. A part that fails says why, and the others go on. BUNDLE
is a bundle built by `sovits-export build`, best with --fp16; without it only the doctor and the plumbing are reported.
CHECKPOINTS holds the .ckpt and .pth that the bundle was made of.

Exit code: 0 when every part that could run passed, 1 when one failed or there is no GPU.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from gpu_convolutions import FRAMES, VOCODER, time_vocoder
from gpu_latency import TOKENS, latency_of_bundle, latency_of_eager, table
from gpu_steps import prove_steps
from toy_gpt import BERT_WIDTH, VOCAB, expected_tokens, toy_engines

from sovits_engines.device import Driver, probe_driver_apart
from sovits_runtime.backends.tensorrt import REFERENCE_GRAPHS
from sovits_runtime.bundle import Bundle
from sovits_runtime.gpu.device import Layout
from sovits_runtime.gpu.step_spec import CACHE_LENGTHS
from sovits_runtime.gpu.tokens import DeviceTextToSemantic
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.page import json_text
from sovits_runtime.sampling import SamplingOptions
from sovits_runtime.t2s import seeded_noise
from sovits_runtime.verify import verify_bundle

LIMIT_S = 600
REPEATS = 10
CACHE_ROWS = 512
"""Enough for 100 phones, 125 prompt tokens and 150 new ones."""
VERSIONS = (
    "sovits-export", "numpy", "onnxruntime", "onnxruntime-gpu", "torch", "cuda-bindings", "tensorrt-cu12-bindings",
    "tensorrt-rtx-cu12-bindings",
)  # fmt: skip


class Skipped(Exception):  # noqa: N818 - no error
    """A part cannot run here, for the reason given."""


@dataclass
class Run:
    """What the parts share.

    Attributes:
        driver: What the driver told.
        bundle: The bundle, if one was given.
        checkpoints: Folder of its checkpoints, if one was given.
        repeats: Repetitions of each timing.
        deadline: When no further part is begun, as `time.monotonic()`.
        parts: Results so far, by name.
    """

    driver: Driver
    bundle: Bundle | None
    checkpoints: Path | None
    repeats: int
    deadline: float
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def need_bundle(self) -> Bundle:
        """Returns the bundle, or skips the part."""
        if self.bundle is None:
            raise Skipped("no bundle was given")
        return self.bundle

    def need_checkpoints(self) -> tuple[Path, Path]:
        """Returns the two files, or skips the part."""
        if self.checkpoints is None:
            raise Skipped("no checkpoints were given")
        from sovits_exporter.bench_eager import find_pair

        return find_pair(str(self.checkpoints))


Part = Callable[[Run], dict[str, Any]]


def run_parts(run: Run, parts: dict[str, Part], say: Callable[[str], None] = print) -> bool:
    """Runs every part; returns whether none failed."""
    for name, part in parts.items():
        start = time.monotonic()
        if start > run.deadline:
            result: dict[str, Any] = {"status": "skipped", "reason": "out of time"}
        else:
            try:
                result = {"status": "passed", **part(run)}
            except Skipped as reason:
                result = {"status": "skipped", "reason": str(reason)}
            except ImportError as error:
                result = {"status": "skipped", "reason": f"not installed: {error}"}
            except Exception as error:
                trace = traceback.format_exc(limit=-4)
                result = {"status": "failed", "reason": f"{type(error).__name__}: {error}", "trace": trace}
        run.parts[name] = {**result, "seconds": round(time.monotonic() - start, 2)}
        say(f"{result['status']:<8} {name:<28} {result.get('reason', result.get('summary', ''))}")
        _forget()
    return all(part["status"] != "failed" for part in run.parts.values())


def doctor(run: Run) -> dict[str, Any]:
    """What is installed, and whether it fits."""
    from sovits_exporter.cli_doctor import examine

    diagnosis = examine(run.bundle.path if run.bundle else None, run.bundle.shared if run.bundle else None)
    bad = [f"{f.topic}: {f.text}" for f in diagnosis.findings if f.level in ("warning", "error")]
    gpus = ", ".join(gpu.name for gpu in run.driver.gpus)
    return {"summary": f"{gpus}; {len(bad)} warnings", "diagnosis": diagnosis.to_json()}


def streams(run: Run) -> dict[str, Any]:
    """Copies on two streams joined by an event, and pinned memory back."""
    from sovits_runtime.gpu.cuda import open_cuda

    device = open_cuda()
    layout, size = Layout(), 1 << 24
    for name in ("a", "b", "c"):
        layout.add(name, (size,), "float32")
    memory = device.memory(layout.nbytes)
    a, b, c = layout.place(memory).values()
    first, second, event = device.stream(), device.stream(), device.event()
    host, back = device.pinned((size,), np.float32), device.pinned((size,), np.float32)
    wrong = 0
    for number in range(8):
        host[...] = np.arange(size, dtype=np.float32) + number
        first.upload(a, host)
        for _ in range(10):
            first.copy(b, a)
        first.record(event)
        second.wait(event)
        second.copy(c, b)
        second.download(back, c)
        second.synchronize()
        wrong += int(np.count_nonzero(back != host))
    memory.free()
    if wrong:
        raise AssertionError(f"{wrong} numbers came back wrong")
    free, total = device.free_bytes()
    return {"summary": "8 rounds right", "free_bytes": free, "total_bytes": total}


def token_scheduler(run: Run, *, capture: bool = True) -> dict[str, Any]:
    """The scheduler with toy kernels: captured steps, caches in place, ends, cache growth; against NumPy."""
    from sovits_runtime.gpu.cuda import open_cuda

    device = open_cuda()
    engines = toy_engines(device, (64, 128, 512))
    t2s = DeviceTextToSemantic(device, engines, slots=2, strict=capture, capture=capture)
    rng, ends = np.random.default_rng(0), 0
    for number in range(20):
        phones, prompt = rng.integers(0, 50, rng.integers(1, 40)), rng.integers(0, 60, rng.integers(0, 40))
        options = SamplingOptions(min_tokens=int(rng.integers(0, 200)))
        want = expected_tokens(phones, prompt, options=options, noise=_noise(number), max_tokens=300)
        bert = np.zeros((len(phones), BERT_WIDTH), np.float32)
        got = t2s.generate(phones, bert, prompt, options=options, noise=_noise(number), max_tokens=300)
        if got.tokens.tolist() != want:
            raise AssertionError(
                f"request {number}: {len(got.tokens)} tokens differ from the {len(want)} expected"
            )
        ends += got.stop_reason == "eos"
    t2s.close()
    return {"summary": f"20 requests right, {ends} of them ended by themselves"}


def enqueued_scheduler(run: Run) -> dict[str, Any]:
    """The same without captured graphs."""
    return token_scheduler(run, capture=False)


def step_kernels(run: Run) -> dict[str, Any]:
    """The own kernels of the GPT's step against ONNX Runtime's CPU, and how many tokens they make."""
    from sovits_runtime.gpu.cuda import open_cuda
    from sovits_runtime.gpu.step_compile import cuda_kernels
    from sovits_runtime.gpu.step_kernel import open_kernel_steps

    bundle, device = run.need_bundle(), open_cuda()
    steps = open_kernel_steps(device, bundle, CACHE_LENGTHS, cuda_kernels(device))
    found = prove_steps(bundle, device, steps, repeats=run.repeats)
    rates = ", ".join(f"{found[f'tokens_per_s_{way}']} tokens/s {way}" for way in ("captured", "enqueued"))
    return {"summary": f"{rates}, logits {found['logits']:.1e}", **found}


def engines(run: Run) -> dict[str, Any]:
    """Builds what the bundle lacks for this GPU: tokens and sound, with one cache length to stay within the time."""
    from sovits_engines.build import build_engines
    from sovits_engines.targets import build_targets
    from sovits_runtime.trt_api import ENTERPRISE, RTX, load_api

    bundle = run.need_bundle()
    if not any(_loads(load_api, flavour) for flavour in (RTX, ENTERPRISE)):
        raise Skipped("no TensorRT is installed")
    names = tuple(name for name in bundle.graph_names if name not in REFERENCE_GRAPHS)
    results = build_engines(bundle, build_targets()[:1], graphs=names, cache_sizes=(CACHE_ROWS,))
    built = [r for r in results if r.built]
    records = [
        {"name": r.record.name, "bytes": r.record.bytes, "built": r.built, "seconds": r.seconds}
        for r in results
    ]
    seconds = sum(r.seconds for r in built)
    return {"summary": f"{len(results)} engines, {len(built)} built in {seconds:.0f} s", "engines": records}


def verify_tensorrt(run: Run) -> dict[str, Any]:
    """The bundle on TensorRT against the PyTorch values it carries."""
    if run.parts.get("engines", {}).get("status") != "passed":
        raise Skipped("there are no engines")
    return _verify(run, "tensorrt")


def verify_onnxruntime(run: Run) -> dict[str, Any]:
    """The bundle on ONNX Runtime's CUDA provider against the PyTorch values it carries."""
    _need_ort_cuda()
    return _verify(run, "onnxruntime")


def verify_kernels(run: Run) -> dict[str, Any]:
    """The same with the own kernels for the GPT's steps."""
    _need_ort_cuda()
    return _verify(run, "onnxruntime", native=True)


def latency_tensorrt(run: Run) -> dict[str, Any]:
    """Latency of TensorRT."""
    if run.parts.get("engines", {}).get("status") != "passed":
        raise Skipped("there are no engines")
    return latency_of_bundle(run.need_bundle(), "tensorrt", repeats=run.repeats)


def latency_onnxruntime(run: Run) -> dict[str, Any]:
    """Latency of ONNX Runtime on CUDA."""
    _need_ort_cuda()
    return latency_of_bundle(run.need_bundle(), "onnxruntime", repeats=run.repeats)


def latency_kernels(run: Run) -> dict[str, Any]:
    """Latency of ONNX Runtime on CUDA with the own kernels for the GPT's steps."""
    _need_ort_cuda()
    return latency_of_bundle(run.need_bundle(), "onnxruntime", repeats=run.repeats, native=True)


def vocoder_ways(run: Run) -> dict[str, Any]:
    """ONNX Runtime's ways to convolve, to see which should be the default."""
    bundle = run.need_bundle()
    _need_ort_cuda()
    if VOCODER not in bundle.graph_names:
        raise Skipped(f"the bundle has no {VOCODER}")
    found = time_vocoder(bundle, repeats=run.repeats)
    fastest = min(found, key=lambda way: found[way][str(FRAMES[-1])])
    return {"summary": f"fastest: {fastest}, {found[fastest]} ms", "ways": found}


def latency_eager_fp32(run: Run) -> dict[str, Any]:
    """Latency of eager PyTorch in FP32."""
    return _eager(run, half=False)


def latency_eager_fp16(run: Run) -> dict[str, Any]:
    """Latency of eager PyTorch in FP16."""
    return _eager(run, half=True)


def latency_compiled_fp16(run: Run) -> dict[str, Any]:
    """Latency of PyTorch in FP16 with `torch.compile` around the decode step."""
    return _eager(run, half=True, compiled=True)


PARTS: dict[str, Part] = {
    "doctor": doctor,
    "streams and events": streams,
    "token scheduler, captured": token_scheduler,
    "token scheduler, enqueued": enqueued_scheduler,
    "step kernels": step_kernels,
    "engines": engines,
    "verify on TensorRT": verify_tensorrt,
    "verify on ONNX Runtime CUDA": verify_onnxruntime,
    "verify with step kernels": verify_kernels,
    "latency, TensorRT": latency_tensorrt,
    "latency, ONNX Runtime CUDA": latency_onnxruntime,
    "latency, step kernels": latency_kernels,
    "vocoder, by convolution": vocoder_ways,
    "latency, eager FP32": latency_eager_fp32,
    "latency, eager FP16": latency_eager_fp16,
    "latency, compiled FP16": latency_compiled_fp16,
}


def _eager(run: Run, *, half: bool, compiled: bool = False) -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        raise Skipped(f"PyTorch {torch.__version__} sees no GPU")
    pair, repeats = run.need_checkpoints(), max(2, run.repeats // 2)
    return latency_of_eager(pair, run.need_bundle(), half=half, compiled=compiled, repeats=repeats)


def _verify(run: Run, backend: str, *, native: bool = False) -> dict[str, Any]:
    bundle = run.need_bundle()
    report = verify_bundle(bundle, device="cuda", backend=backend, native=native)
    if not report.passed:
        raise AssertionError(report.failure())
    return {"summary": f"{len(report.checks)} checks passed", "report": report.to_json()}


def _need_ort_cuda() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise Skipped(f"onnxruntime {onnxruntime.__version__} has no CUDA provider")


def _loads(load_api: Callable[[str], object], flavour: str) -> bool:
    from sovits_runtime.errors import BackendError

    try:
        load_api(flavour)
    except BackendError:
        return False
    return True


def _forget() -> None:
    """Gives back what a part left on the GPU, so that the next one's memory is its own."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _noise(seed: int) -> Callable[[int], Any]:
    return seeded_noise(np.random.default_rng(seed), VOCAB)


def main() -> None:
    options = arguments()
    driver = probe_driver_apart()
    if not driver.gpus:
        reason = driver.problem or "the driver sees no GPU"
        print(f"no NVIDIA GPU can be used here ({reason}), so there is nothing to report", file=sys.stderr)
        sys.exit(1)
    bundle = Bundle.open(options.bundle, shared=options.shared) if options.bundle else None
    run = Run(driver, bundle, options.checkpoints, options.repeats, time.monotonic() + options.limit_s)
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    good = run_parts(run, PARTS)
    result = {
        "time": started,
        "machine": read_machine().to_json(),
        "gpus": [
            {"name": g.name, "capability": g.capability, "memory_bytes": g.memory_bytes} for g in driver.gpus
        ],
        "driver": driver.version,
        "versions": installed_versions(VERSIONS),
        "bundle": {"digest": bundle.digest, "model": dict(bundle.manifest["model"])} if bundle else None,
        "tokens": TOKENS,
        "parts": run.parts,
    }
    shown = table(run.parts)
    print(f"\n{shown}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json_text(result), encoding="utf-8")
    options.output.with_suffix(".md").write_text(
        f"{driver.gpus[0].name}, {started}\n\n{shown}", encoding="utf-8"
    )
    print(f"written: {options.output} and {options.output.with_suffix('.md').name}")
    sys.exit(0 if good else 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--shared", type=Path, help="folder of the parts that voices share")
    parser.add_argument(
        "--checkpoints", type=Path, help="folder of the .ckpt and .pth that the bundle was made of"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument(
        "--limit-s", type=float, default=LIMIT_S, help="no part is begun after this many seconds [600]"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/gpu.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
