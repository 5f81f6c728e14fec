"""What OpenVINO's vocoder would take on lesser processors: its kernels are kept from newer instructions.

    python benchmarks/cpu/openvino_isa.py BUNDLE -o benchmarks/results/NAME.json

Each set of instructions runs in a process of its own, with one thread. Times are processor seconds of one window, the
least of several runs, so that other programs hardly count. ONNX Runtime has no such switch and runs once, as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.plan import Choice, Taken
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.machine import installed_versions, read_machine

SETS = ("", "AVX512_CORE_BF16", "AVX512_CORE", "AVX2")
"""Of the variable that oneDNN reads; "": all that the processor has."""
VARIABLE = "ONEDNN_MAX_CPU_ISA"
ENGINES = ("openvino-f32", "openvino-bf16")
VOCODER = "sovits_vocoder"
FRAMES = 64
RUNS = 5


def main() -> None:
    options = arguments()
    if options.engine:
        print(json.dumps(measure(options.bundle, options.engine)))
        return
    rows = []
    for instructions in SETS:
        for engine in ENGINES if instructions else ("onnxruntime", *ENGINES):
            command = [sys.executable, __file__, str(options.bundle), "--engine", engine]
            environment = os.environ | ({VARIABLE: instructions} if instructions else {})
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
            )
            seconds = json.loads(done.stdout) if done.returncode == 0 else None
            rows.append({"instructions": instructions or "all", "engine": engine, "seconds": seconds})
            print(rows[-1], flush=True)
            write(rows, options.output)


def measure(bundle: Path, engine: str) -> float:
    """Processor seconds of one window of the vocoder."""
    voice = CpuVoice(Bundle.open(bundle), LoadOptions(threads=1, plan="none"), Taken(Choice()))
    session = voice.open_with(VOCODER, engine)
    rng, spec = np.random.default_rng(0), session.spec
    shapes = {t.name: t.resolve({d.name: FRAMES for d in spec.dims}) for t in spec.inputs}
    feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    times = []
    for _ in range(RUNS + 1):
        start = time.process_time()
        session.run(feeds)
        times.append(time.process_time() - start)
    return min(times[1:])


def write(rows: list[dict[str, Any]], output: Path | None) -> None:
    if output is not None:
        result = {
            "machine": read_machine().to_json(),
            "versions": installed_versions(("onnxruntime", "openvino")),
            "frames": FRAMES,
            "threads": 1,
            "rows": rows,
        }
        output.write_text(json_text(result), encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="a full-size bundle of v1 to v2ProPlus")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
