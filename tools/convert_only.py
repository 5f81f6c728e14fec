"""Converts a tiny voice where nothing but the extra [convert] is installed: to FP16 and to int8, and verifies both.

    python tools/convert_only.py [--python PYTHON ...] [--bundle BUNDLE]

For each Python a new virtual environment gets `.[convert]`, so neither PyTorch nor what exports with it. `lint` reads
the voice there too. The voice is built by the running Python, which needs [export], unless a bundle is given; what is
converted is a copy. Prints what every command took; exits 1 where one fails.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ABSENT = ("torch", "onnxscript", "safetensors", "transformers")
"""What must not have come with the extra."""
BUILD = """
import sys
from pathlib import Path
from sovits_exporter.building.build import build
from sovits_exporter.building.request import BuildRequest
from sovits_exporter.demo.demo import write_demo_checkpoint
folder = Path(sys.argv[1])
files = write_demo_checkpoint(folder / "files", tiny=True, bert=True)
build(BuildRequest(gpt=files.gpt, sovits=files.sovits, output=folder / "voice", hubert=files.hubert, bert=files.bert))
"""
CONVERSIONS = {
    "fp16": ("--fp16",),
    # A tiny voice has random weights, which lose more to int8 than the limits for real voices allow.
    "int8": ("--precision", "gpt=int8,sovits=int8", "--max-kl", "1", "--min-snr", "12", "--max-log-mel", "3"),
}


def run(command: Sequence[object], what: str) -> bool:
    """Runs a command, prints how long it took and, where it failed, what it said; returns whether it did well."""
    start = time.perf_counter()
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, encoding="utf-8", cwd=tempfile.gettempdir()
    )
    result = "FAILS" if done.returncode else "good"
    print(f"{what:<24} {time.perf_counter() - start:6.1f} s  {result}", flush=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
    return not done.returncode


def convert(python: str, bundle: Path, folder: Path) -> bool:
    """Makes an environment and converts a bundle in it; returns whether all went well.

    Args:
        python: Which Python, a path or a name.
        bundle: The FP32 bundle, its shared parts beside it.
        folder: Where the environment and the new bundles go.
    """
    venv = folder / "venv"
    own, command = venv / "bin" / "python", venv / "bin" / "sovits-export"
    blocked = f"import importlib.util as u, sys; sys.exit(any(map(u.find_spec, {ABSENT})))"
    ready = (
        run([python, "-m", "venv", venv], f"{python} -m venv")
        and run([own, "-m", "pip", "install", "--quiet", f"{ROOT}[convert]"], "pip install .[convert]")
        and run([own, "-c", blocked], "no PyTorch")
    )
    return ready and all(
        [
            run([command, "convert", *options, bundle, "-o", folder / name], f"convert to {name}")
            and run([command, "verify", folder / name], f"verify {name}")
            for name, options in CONVERSIONS.items()
        ]
        + [run([command, "lint", bundle], "lint")]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="[the running one]")
    parser.add_argument(
        "--bundle", type=Path, help="an FP32 bundle with `shared` beside it [a tiny one is built]"
    )
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary)
        if given.bundle is None and not run([sys.executable, "-c", BUILD, built], "build a tiny voice"):
            return 1
        source = given.bundle.resolve() if given.bundle else built / "voice"
        good = []
        for i, python in enumerate(given.python):
            folder = built / str(i)
            for part in ("shared", source.name):
                shutil.copytree(source.parent / part, folder / part)
            good.append(convert(python, folder / source.name, folder))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
