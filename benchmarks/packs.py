"""How large a voice pack is beside its bundle, how long it takes to unpack once, and to load ever after.

    python benchmarks/packs.py BUNDLE [--repeats 5] [-o benchmarks/results/NAME.json]

The bundle is packed without and with the parts that voices share, into a temporary folder with a cache of its own. Then
bundle and unpacked pack are loaded in turns in one process, their files in the page cache. Every file of the unpacked
pack is compared with the bundle's by sha256, so a pack that lost a bit ends this with an error.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sovits_exporter.packing.write import PackReport, PackRequest, SharedParts, write_pack
from sovits_runtime import Synthesizer
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.external_weights import map_external
from sovits_runtime.bundle.feature_cache import FOLDER_VARIABLE
from sovits_runtime.bundle.files import json_text
from sovits_runtime.machine import installed_versions, read_machine


def main() -> None:
    """Measures, and prints or writes the result."""
    options = arguments()
    bundle = Bundle.open(options.bundle, full=True)
    with tempfile.TemporaryDirectory(prefix="packs-") as folder:
        os.environ[FOLDER_VARIABLE] = f"{folder}/cache"
        apart, _ = packed(bundle, Path(folder), "apart")
        whole, pack_s = packed(bundle, Path(folder), "inside")
        unpack_s = timed(lambda: Bundle.open(whole.pack))
        Bundle.open(whole.pack, full=True)
        loads = loading(options.bundle, whole.pack, options.repeats)
    result = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": read_machine().to_json(),
        "versions": installed_versions(("sovits-export", "numpy", "onnxruntime")),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "bundle": {"version": bundle.spec.version, "precision": bundle.precision, "digest": bundle.digest},
        "bytes": {
            "bundle": apart.unpacked_bytes,
            "pack": apart.bytes,
            "shared": whole.unpacked_bytes - apart.unpacked_bytes,
            "shared_in_pack": whole.bytes - apart.bytes,
        },
        "weights": weights_of(bundle),
        "seconds": {"pack": pack_s, "first_open": unpack_s, **loads},
        "load_ratio": statistics.median(
            p / b for p, b in zip(loads["load_pack"], loads["load_bundle"], strict=True)
        ),
    }
    print(json_text({key: result[key] for key in ("bytes", "weights", "seconds", "load_ratio")}))
    if options.output:
        options.output.write_text(json_text(result), encoding="utf-8")


def packed(bundle: Bundle, folder: Path, shared: SharedParts) -> tuple[PackReport, float]:
    """A pack and how long it took."""
    request = PackRequest(bundle=bundle, output=folder / f"{shared}.sovits", name=shared, shared=shared)
    start = time.perf_counter()
    report = write_pack(request)
    return report, time.perf_counter() - start


def loading(bundle: Path, pack: Path, repeats: int) -> dict[str, list[float]]:
    """Seconds of each load, bundle and pack in turns; who begins changes."""
    contestants = {"load_bundle": bundle, "load_pack": pack}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for path in contestants.values():
        load(path)  # to warm up
    for turn in range(repeats):
        for name in sorted(contestants, reverse=bool(turn % 2)):
            seconds[name].append(timed(lambda path=contestants[name]: load(path)))  # type: ignore[misc]
    return seconds


def load(path: Path) -> None:
    """Loads a voice and closes it."""
    Synthesizer.load(path).close()


def timed(work: Callable[[], object]) -> float:
    """How many seconds something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def weights_of(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Of each weight file: its float32 weights, and how many bytes of them are in tensors of float16 numbers alone."""
    found: dict[str, dict[tuple[str, int], Any]] = {}
    for name in bundle.graph_names:
        path = bundle.graph_path(name)
        for (file, at), array in map_external(path).values():
            if array.dtype == np.float32:
                found.setdefault(file, {})[(str(path.parent), at)] = array
    return {
        file: {
            "bytes": sum(array.nbytes for array in arrays.values()),
            "float16_bytes": sum(array.nbytes for array in arrays.values() if is_float16(array)),
        }
        for file, arrays in found.items()
    }


def is_float16(array: Any) -> bool:
    """Whether every number is a float16 number, bit for bit."""
    with np.errstate(over="ignore"):
        halves = np.asarray(array).astype(np.float16).astype(np.float32)
    return bool(np.array_equal(halves.view(np.uint32), np.asarray(array).view(np.uint32)))


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
