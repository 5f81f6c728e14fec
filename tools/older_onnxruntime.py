"""Has a voice speak on older releases of ONNX Runtime, which lack an operator of its graphs, and compares the sound.

    python tools/older_onnxruntime.py [--bundle BUNDLE] [--version 1.24.4 ...]

For each release a new virtual environment gets it and what speaking needs, without the C kernels; the project's own
sources are used as they lie here. There the bundle is verified and says its recorded sentence. The samples are
compared with those of the running Python's ONNX Runtime. Without a bundle a tiny voice is built, which needs
[export]. Prints a line a release; exits 1 where one fails or differs by more than `LIMIT`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from convert_only import BUILD

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("1.23.2", "1.24.4")
"""The last for Macs with an Intel processor, and the one that onnxruntime-directml's last is made of."""
PACKAGES = ("numpy", "click", "soundfile", "soxr")
LIMIT = 1e-4
"""Of full scale, as of the waveform in `verify`."""
SOURCES = os.pathsep.join(
    str(ROOT / name) for name in ("runtime", "engines", "calibration", "server", "exporter")
)
SPEAK = """
import sys
import numpy as np
from sovits_runtime import Synthesizer
from sovits_runtime.verify import verify_bundle
from sovits_runtime.bundle import Bundle
bundle = Bundle.open(sys.argv[1])
report = verify_bundle(bundle, threads=1, gpt_steps="onnxruntime", vocoder_engine="onnxruntime")
assert report.passed, report.failure()
with Synthesizer.load(bundle, threads=1, gpt_steps="onnxruntime", vocoder_engine="onnxruntime") as voice:
    print(voice.describe()["graphs"]["gpt_prefill"])
np.save(sys.argv[2], report.actual.samples)
"""


def run(*command: object, check: bool = True) -> str:
    """Runs a command with the project's own sources; returns what it printed.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, encoding="utf-8", env=environment
    )
    if check and done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        done.check_returncode()
    return done.stdout


def spoken(python: Path | str, bundle: Path, folder: Path) -> tuple[np.ndarray, str]:
    """Verifies a bundle in an environment; returns its samples and what ran the prefill."""
    target = folder / "samples.npy"
    told = run(python, "-c", SPEAK, bundle, target)
    return np.load(target), told.strip()


def environment(folder: Path, version: str) -> Path:
    """Makes an environment with a release of ONNX Runtime; returns its Python."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(python, "-m", "pip", "install", "--quiet", f"onnxruntime=={version}", *PACKAGES)
    return python


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, help="a bundle [a tiny one is built]")
    parser.add_argument("--version", nargs="+", default=VERSIONS, help=f"[{' '.join(VERSIONS)}]")
    given = parser.parse_args(arguments)
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.bundle is None:
            run(sys.executable, "-c", BUILD, folder)
        bundle = given.bundle.resolve() if given.bundle else folder / "voice"
        expected, _ = spoken(sys.executable, bundle, folder)
        for version in given.version:
            samples, told = spoken(environment(folder / version, version), bundle, folder)
            same = samples.shape == expected.shape
            off = float(np.abs(samples - expected).max()) if same else float("inf")
            good &= off <= LIMIT
            print(f"onnxruntime {version}: verified; samples differ by {off:.1e}, limit {LIMIT:g}; {told}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
