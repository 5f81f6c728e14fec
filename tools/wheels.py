"""Builds everything that a release has, on one machine, for all of them: `make wheels`.

    python tools/wheels.py [--out dist] [--only PLATFORM ...] [--twice] [--tag v0.1.0]

The kernels as a wheel for each platform that native/pyproject.toml names, compiled by Zig; the project's wheel; and the
sources of both. The tools have fixed versions, in a virtual environment of their own, so that the same sources give
the same files bit for bit: `--twice` builds all of it a second time, from nothing, and compares. What has to be equal
between the two packages is looked at first, with `--tag` also the release's name.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from environment import ROOT, Environment, SetupError, say
from library_format import faults

NATIVE = ROOT / "native"
TOOLS = ("hatchling==1.33.0", "ziglang==0.17.1")
"""Of releases. Another one of either gives other bytes, so they are raised on purpose alone."""
ABI_PLACES = {
    "native/c/gpt_step.h": r"SOVITS_ABI = (\d+)",
    "runtime/sovits_runtime/backends/native.py": r"^ABI = (\d+)",
}


def project(folder: Path) -> Mapping[str, Any]:
    """What a folder's pyproject.toml says."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def platforms() -> tuple[str, ...]:
    """Those that wheels of the kernels are made for."""
    hooks = project(NATIVE)["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
    return tuple(hooks["custom"]["platforms"])


def check_release(root: Path = ROOT, tag: str = "") -> str:
    """Compares what must be equal between the two packages.

    Args:
        root: Of the checkout.
        tag: The release's name; empty where it has none yet.

    Returns:
        The version.

    Raises:
        SetupError: A version, the extra's pin, an ABI number or the tag is another one.
    """
    main, native = (project(root / folder)["project"] for folder in (".", "native"))
    version = str(main["version"])
    if native["version"] != version:
        raise SetupError(
            f"pyproject.toml has version {version}, native/pyproject.toml {native['version']}; make them equal"
        )
    pins = [one for one in main["optional-dependencies"]["cpu"] if one.startswith(native["name"])]
    if [pin.split(";")[0].strip() for pin in pins] != [f"{native['name']}=={version}"]:
        raise SetupError(f"the extra [cpu] has {pins}, expected {native['name']}=={version} and its markers")
    found = {}
    for name, pattern in ABI_PLACES.items():
        match = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        found[name] = match[1] if match else "none"
    if len(set(found.values())) != 1:
        said = ", ".join(f"{name}: {abi}" for name, abi in found.items())
        raise SetupError(f"the interface's number is not the same on both sides ({said})")
    if tag and tag != f"v{version}":
        raise SetupError(
            f"the release is called {tag}, expected v{version}; raise the versions or name it so"
        )
    return version


def build(env: Environment, out: Path, *, only: Sequence[str], cache: Path) -> None:
    """Builds into a folder.

    Args:
        env: With the tools.
        out: Where to; files of other versions in it stay.
        only: Platforms of the kernels; without any, all of them, and everything else.
        cache: Zig's.

    Raises:
        SetupError: Something does not build.
    """
    out.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[Path, str, str]] = [(NATIVE, "wheel", name) for name in only or platforms()]
    if not only:
        jobs += [(NATIVE, "sdist", ""), (ROOT, "wheel", ""), (ROOT, "sdist", "")]
    kept = {k: v for k, v in os.environ.items() if k not in ("CC", "CFLAGS", "SOVITS_NATIVE_PLATFORM")}
    kept |= {"ZIG_GLOBAL_CACHE_DIR": str(cache.absolute()), "SOURCE_DATE_EPOCH": "1580601600"}
    for folder, target, name in jobs:
        variables = kept | ({"SOVITS_NATIVE_PLATFORM": name} if name else {})
        command = [str(env.python), "-m", "hatchling", "build", "-t", target, "-d", str(out.absolute())]
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, encoding="utf-8"
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-3000:]
            raise SetupError(f"{folder.name or folder} {target} {name}: does not build:\n{said}")
        if name:
            look_at(out, name)


def look_at(out: Path, name: str) -> None:
    """Looks at the library in a platform's wheel.

    Args:
        out: Where the wheel is.
        name: Of the platform.

    Raises:
        SetupError: It is not for that platform.
    """
    system, _, machine = name.partition("_")
    (wheel,) = (path for path in out.glob(f"sovits_export_native-*{machine}.whl") if system in path.name)
    with zipfile.ZipFile(wheel) as archive:
        (library,) = (one for one in archive.namelist() if "/_gpt_step." in one)
        if wrong := faults(name, archive.read(library)):
            raise SetupError(f"{wheel.name}: its library is not for {name}: {'; '.join(wrong)}")


def differences(first: Path, second: Path) -> list[str]:
    """Names of files that are not the same, bit for bit, in two folders."""
    names = {path.name for folder in (first, second) for path in folder.iterdir()}
    return sorted(name for name in names if content(first / name) != content(second / name))


def content(path: Path) -> bytes | None:
    """Of a file; None where there is none."""
    return path.read_bytes() if path.is_file() else None


def tools_in(folder: Path) -> Environment:
    """The environment of the tools, made where it is not there yet.

    Raises:
        SetupError: It cannot be made.
    """
    env = Environment(folder.absolute())
    env.create()
    if env.pip("install", "--quiet", *TOOLS):
        raise SetupError(f"{' and '.join(TOOLS)} could not be installed (see above)")
    return env


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="[dist]")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        choices=platforms(),
        metavar="PLATFORM",
        help="kernels of these alone",
    )
    parser.add_argument("--twice", action="store_true", help="build all a second time and compare")
    parser.add_argument("--tag", default="", help="the release's name, to be compared with the versions")
    parser.add_argument("--tools", type=Path, default=ROOT / ".venv-wheels", help="[.venv-wheels]")
    given = parser.parse_args(arguments)
    try:
        version = check_release(tag=given.tag)
        env = tools_in(given.tools)
        with tempfile.TemporaryDirectory() as folder:
            first = Path(folder) / "first"
            build(env, first, only=given.only, cache=given.tools / "zig-cache")
            if given.twice:
                build(env, Path(folder) / "second", only=given.only, cache=Path(folder) / "zig-cache")
                if different := differences(first, Path(folder) / "second"):
                    raise SetupError(f"built twice, not the same: {', '.join(different)}")
            given.out.mkdir(parents=True, exist_ok=True)
            for path in sorted(first.iterdir()):
                shutil.copyfile(path, given.out / path.name)
                print(
                    f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {path.stat().st_size:,} bytes"
                )
        say(
            f"version {version}, in {given.out}"
            + (", built twice, the same bit for bit" if given.twice else "")
        )
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
