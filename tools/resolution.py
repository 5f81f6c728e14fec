"""Asks pip what it would install on each Python, as on a machine that has PyPI and nothing else: nothing is installed.

    python tools/resolution.py [--python 3.11 3.12 ...] [--jobs N]

Every extra, and what `make demo` and `make test` install, in newest and in pinned versions (constraints.txt). pip's
configuration, its links to local folders and further indexes are switched off. The kernels of this checkout, which are
not on PyPI, stand in by name and version. Prints a table and, below it, what pip
says where a set does not fit together; exits 1 then.

For a Python that is not the running one pip takes wheels alone. What PyPI has as source was read with the running
Python, and stands in with its name, version and requirements; whether it compiles is not tried. The extras `tensorrt`
and `tensorrt13` are left out: PyPI has stubs of their libraries, which fetch them from NVIDIA's own index as soon as
pip looks at them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environment import CONSTRAINTS, DEMO, LAZY, ROOT, TESTS, TESTS_CUDA_13

RUNNING = ".".join(map(str, sys.version_info[:2]))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
KEPT_VARIABLES = frozenset({"PIP_CERT", "PIP_PROXY", "PIP_DEFAULT_TIMEOUT", "PIP_CACHE_DIR"})
"""Of the variables that pip reads: ways to the network, none of which adds a package."""
FOR_PYTHON = """
import sys
import pip._vendor.packaging.markers as markers
own, version = markers.default_environment, sys.argv.pop(1)
markers.default_environment = lambda: {**own(), "python_version": version, "python_full_version": version + ".0"}
from pip._internal.cli.main import main
sys.exit(main())
"""
"""pip takes wheels for the Python that it is told, but judges markers by the one that runs it."""
CUDA_PARTS = ("cuda", "nvidia", "triton")
NOT_ON_PYPI = frozenset({"tensorrt", "tensorrt13"})
"""Extras."""
WHEELS_FOR_SOME = frozenset({"pocketsphinx"})
"""Packages with wheels for some Pythons; on the others pip compiles them (5.1.1 did, on 3.12 and 3.14)."""
NEWEST, PINNED = "newest", "pinned"


@dataclass(frozen=True)
class Case:
    """A set of packages on a Python.

    Attributes:
        name: Of the set, for the table.
        extras: Of this project.
        versions: `NEWEST` or `PINNED`.
        cpu: Whether PyTorch's CPU build is at hand, as from its own index.
    """

    name: str
    extras: tuple[str, ...]
    versions: str
    cpu: bool = False

    @property
    def row(self) -> str:
        """Its row of the table."""
        return f"{self.name}, {self.versions}"


def every_case() -> list[Case]:
    """All sets, each in newest and in pinned versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [extra for extra in project["optional-dependencies"] if extra not in NOT_ON_PYPI]
    cases = []
    for versions in (NEWEST, PINNED):
        cases += [Case("base", (), versions), *(Case(f"[{extra}]", (extra,), versions) for extra in extras)]
        for name, asked, cuda_13 in (("make demo", DEMO, DEMO), ("make test", TESTS, TESTS_CUDA_13)):
            cases += [
                Case(f"{name}, PyPI", cuda_13, versions),
                Case(f"{name}, CPU build", asked, versions, cpu=True),
            ]
    return cases


class Pip:
    """The running Python's pip, with nothing but PyPI.

    Args:
        folder: Where stand-ins are written: `sources` for what PyPI has as source only, `cpu` for PyTorch's CPU build.

    Raises:
        subprocess.CalledProcessError: The project's wheel cannot be built.
    """

    def __init__(self, folder: Path) -> None:
        self.sources, self.cpu, self._own = folder / "sources", folder / "cpu", folder / "own"
        for one in (self.sources, self.cpu, self._own):
            one.mkdir()
        native = tomllib.loads((ROOT / "native/pyproject.toml").read_text(encoding="utf-8"))["project"]
        write_stand_in(self._own, native["name"], native["version"], ())
        self._target = folder / "target"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PIP_") or k in KEPT_VARIABLES}
        self._variables = kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        build = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(folder),
            str(ROOT),
        ]
        subprocess.run(build, env=self._variables, check=True)
        (self._project,) = folder.glob("*.whl")

    def plan(self, case: Case, python: str) -> Mapping[str, Any] | str:
        """What pip would install: its report; or what it says instead."""
        extras = f"[{','.join(case.extras)}]" if case.extras else ""
        options = ["--find-links", str(self._own)] + (["--find-links", str(self.cpu)] if case.cpu else [])
        if python != RUNNING:
            options += ["--python-version", python, "--only-binary=:all:", "--target", str(self._target)]
            options += ["--find-links", str(self.sources)]
        if case.versions == PINNED:
            options += ["-c", str(CONSTRAINTS)]
        command = [
            sys.executable,
            "-c",
            FOR_PYTHON,
            python,
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
        ]
        done = subprocess.run(
            [*command, LAZY, "--report", "-", *options, f"{self._project}{extras}"],
            env=self._variables, capture_output=True, text=True, encoding="utf-8",
        )  # fmt: skip
        if done.returncode:
            return "\n".join(
                line for line in done.stderr.strip().splitlines() if not line.startswith("WARNING")
            )
        report: Mapping[str, Any] = json.loads(done.stdout)
        return report


def write_stand_in(folder: Path, name: str, version: str, requires: Iterable[str]) -> None:
    """Writes a wheel without contents, for every Python.

    Args:
        folder: Where to.
        name: Of the package.
        version: Its version.
        requires: Its requirements.
    """
    stem = f"{re.sub(r'[-_.]+', '_', name)}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {line}" for line in requires]
    wheel = "Wheel-Version: 1.0\nGenerator: resolution\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", wheel)
        archive.writestr(f"{stem}.dist-info/RECORD", "")


def note_sources(pip: Pip, report: Mapping[str, Any]) -> None:
    """Writes stand-ins for what a report takes as source, or would take on another Python."""
    for one in report["install"]:
        url, metadata = one["download_info"]["url"], one["metadata"]
        source = not url.endswith(".whl") or metadata["name"] in WHEELS_FOR_SOME
        if source and not url.startswith("file:"):
            write_stand_in(
                pip.sources, metadata["name"], metadata["version"], metadata.get("requires_dist", ())
            )


def note_cpu_build(pip: Pip, report: Mapping[str, Any]) -> None:
    """Writes a stand-in for the CPU build of the PyTorch in a report: what it requires but CUDA's parts."""
    torch = next(one["metadata"] for one in report["install"] if one["metadata"]["name"] == "torch")
    requires = [line for line in torch["requires_dist"] if not line.startswith(CUDA_PARTS)]
    write_stand_in(pip.cpu, "torch", f"{torch['version']}+cpu", requires)


def ask(pip: Pip, pythons: Sequence[str], jobs: int) -> dict[tuple[str, str], Mapping[str, Any] | str]:
    """Asks pip for every set on every Python.

    Args:
        pip: Whom to ask.
        pythons: Such as 3.13.
        jobs: How many at once.

    Returns:
        By row and Python, pip's report or what it says instead.
    """
    cases = every_case()
    answers: dict[tuple[str, str], Mapping[str, Any] | str] = {}

    def fill(chosen: list[Case], on: Sequence[str]) -> None:
        asked = [(case, python) for python in on for case in chosen]
        with ThreadPoolExecutor(jobs) as pool:
            for (case, python), answer in zip(
                asked, pool.map(lambda one: pip.plan(*one), asked), strict=True
            ):
                # A refusal stays one when it is asked again; a network that was away for a moment does not.
                answers[case.row, python] = pip.plan(case, python) if isinstance(answer, str) else answer
                print(".", end="", flush=True)

    # The running Python first: what PyPI has as source only is read there. Then its CPU build is known as well.
    fill([case for case in cases if not case.cpu], (RUNNING,))
    for answer in answers.values():
        if not isinstance(answer, str):
            note_sources(pip, answer)
    for versions in (NEWEST, PINNED):
        answer = answers[f"[export], {versions}", RUNNING]
        if not isinstance(answer, str):
            note_cpu_build(pip, answer)
    fill([case for case in cases if case.cpu], (RUNNING,))
    fill(cases, [python for python in pythons if python != RUNNING])
    print()
    return answers


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python", nargs="+", default=PYTHONS, metavar="VERSION", help=f"[{' '.join(PYTHONS)}]"
    )
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="how many at once")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        answers = ask(Pip(Path(folder)), given.python, given.jobs)
        source = sorted(path.name.rsplit("-", 3)[0] for path in (Path(folder) / "sources").iterdir())
    rows = list(dict.fromkeys(row for row, _ in answers))
    width = max(map(len, rows))
    pythons = list(dict.fromkeys((*given.python, RUNNING)))
    print(f"{'packages that pip would install':<{width}}  {'  '.join(f'{python:>6}' for python in pythons)}")
    for row in rows:
        cells = (
            "FAILS" if isinstance(a := answers[row, p], str) else str(len(a["install"]) - 1) for p in pythons
        )
        print(f"{row:<{width}}  {'  '.join(f'{cell:>6}' for cell in cells)}")
    print(f"as source, on all Pythons or some: {', '.join(source) or 'none'}")
    failed = {place: answer for place, answer in answers.items() if isinstance(answer, str)}
    for (row, python), said in failed.items():
        print(f"\n{row}, Python {python}:\n{said}")
    print(f"\n{len(answers) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
