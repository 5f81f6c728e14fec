"""What the checks on other systems share: Debian packages beside the system, wheels of another platform, a tiny voice.

Nothing is installed into the system by this file: packages are fetched by apt with a root of its own and unpacked. What
a machine cannot have raises `NotHereError`, and the check is skipped with its line.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environment import CONSTRAINTS, ROOT

MARKERS = """
import json, sys
import pip._vendor.packaging.markers as markers
own, other = markers.default_environment, json.loads(sys.argv.pop(1))
markers.default_environment = lambda: {**own(), **other}
from pip._internal.cli.main import main
sys.exit(main())
"""
"""pip takes wheels for the platform that it is told, but judges markers by the one that runs it."""
WINDOWS = {
    "sys_platform": "win32",
    "platform_system": "Windows",
    "os_name": "nt",
    "platform_machine": "AMD64",
}
ARM = {"platform_machine": "aarch64"}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
MAIN = "from sovits_exporter.cli.start import main; main()"
"""The command line, for a Python that has no script of it."""
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


class NotHereError(Exception):
    """This machine cannot run the check; the message says why."""


class CheckError(Exception):
    """The check found something wrong; the message says what."""


@dataclass
class Lines:
    """What a check did: a line each, with its seconds, as it happens."""

    width: int = 44
    failures: list[str] = field(default_factory=list)

    def say(self, what: str, start: float, result: str) -> None:
        """Prints a line."""
        print(f"{what:<{self.width}} {time.perf_counter() - start:6.1f} s  {result}", flush=True)

    def run(self, what: str, command: Sequence[object], **options: Any) -> str:
        """Runs a command that has to succeed; a failure is kept, with what it said.

        Returns:
            What it wrote to standard output.
        """
        start = time.perf_counter()
        done = subprocess.run(
            list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, **options
        )
        out = str(done.stdout, "utf-8", "replace")
        err = str(done.stderr, "utf-8", "replace")
        self.say(what, start, "FAILS" if done.returncode else "good")
        if done.returncode:
            self.failures.append(what)
            print(
                f"--- exit {done.returncode}: {command[0]} ...\n{out[-4000:]}\n{err[-4000:]}\n---", flush=True
            )
        return out

    def compare(self, what: str, values: Mapping[str, object]) -> None:
        """All values have to be the same."""
        same = len({json.dumps(value) for value in values.values()}) <= 1
        print(
            f"{what:<{self.width}} {'':8}  {'same: ' + ', '.join(values) if same else 'DIFFERENT'}",
            flush=True,
        )
        if not same:
            self.failures.append(f"{what}: {dict(values)}")


def need(program: str) -> str:
    """Path of a program.

    Raises:
        NotHereError: There is none.
    """
    found = shutil.which(program)
    if found is None:
        raise NotHereError(f"{program} is not installed")
    return found


def debian_packages(folder: Path, suite: str, architecture: str, names: Sequence[str], into: Path) -> None:
    """Fetches packages and what they need, and unpacks them; the system is neither asked nor changed.

    Args:
        folder: For apt's lists and files; kept between calls.
        suite: Of Debian.
        architecture: As Debian names it.
        names: Of packages.
        into: Where they are unpacked.

    Raises:
        NotHereError: There is no apt, no keyring of Debian's, or no way to its servers.
    """
    need("apt-get")
    need("dpkg")
    if not KEYRING.exists():
        raise NotHereError(f"{KEYRING} is missing (Debian's package debian-archive-keyring)")
    for part in ("state/lists/partial", "cache/archives/partial", "etc"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    source = f"deb [arch={architecture} signed-by={KEYRING}] {MIRROR} {suite} main\n"
    (folder / "sources.list").write_text(source, encoding="utf-8")
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Debug::NoLocking": "1",
    }
    apt = ["apt-get", "-q", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    for command in (["update"], ["install", "-y", "--download-only", *names]):
        done = subprocess.run([*apt, *command], capture_output=True, text=True, encoding="utf-8", check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise NotHereError(
                f"apt fetches no {', '.join(names)} of {suite} ({said[-1] if said else 'no reason given'})"
            )
    into.mkdir(parents=True, exist_ok=True)
    for package in sorted((folder / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, into], check=True)


def foreign_wheels(
    folder: Path,
    platforms: Sequence[str],
    python: str,
    *,
    packages: Sequence[str],
    markers: Mapping[str, str],
    options: Sequence[str] = (),
) -> list[Path]:
    """Fetches wheels of another platform.

    Args:
        folder: Where to.
        platforms: Tags that pip may take.
        python: Such as 3.11.
        packages: Requirements; versions are those of constraints.txt.
        markers: What the other platform says of itself.
        options: More options for pip.

    Returns:
        All wheels of the folder.

    Raises:
        NotHereError: pip finds none.
    """
    tags = [word for one in platforms for word in ("--platform", one)]
    command = [sys.executable, "-c", MARKERS, json.dumps(markers), "download", "-q", "-d", str(folder)]
    command += [
        "--disable-pip-version-check",
        "-c",
        str(CONSTRAINTS),
        *tags,
        "--python-version",
        python,
        "--only-binary=:all:",
        *options,
        *packages,
    ]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotHereError(
            f"pip fetches no {', '.join(packages)} for {platforms[0]} ({said[-1] if said else 'no reason'})"
        )
    return sorted(folder.glob("*.whl"))


def unpack(wheels: Sequence[Path], into: Path) -> None:
    """Unpacks wheels as an installation has them, scripts aside."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(into)


def kernel_wheels(out: Path, platform: str, *, twice: bool = False) -> list[Path]:
    """Builds the kernels for a platform, and the project's wheel.

    Args:
        out: Where to.
        platform: A name of native/pyproject.toml.
        twice: Whether to build the kernels again and to compare.

    Raises:
        CheckError: They do not build.
    """
    command = [sys.executable, str(ROOT / "tools/wheels.py"), "--out", str(out)]
    done = subprocess.run(
        [*command, "--only", platform, *(["--twice"] if twice else [])],
        stdout=subprocess.DEVNULL,
        check=False,
    )
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "-w",
        str(out),
    ]
    if done.returncode or subprocess.run([*pip, str(ROOT)], check=False).returncode:
        raise CheckError("the wheels do not build (see above)")
    return sorted(out.glob("*.whl"))


def tiny_voice(folder: Path) -> Path:
    """A folder with a tiny v2 voice, made where it is not there yet.

    Args:
        folder: Holds `files`, the checkpoints and recordings, `voice`, and the `shared` parts.

    Raises:
        CheckError: It cannot be built.
    """
    if (folder / "voice").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise CheckError(f"no tiny voice could be built: {done.stderr.strip()[-2000:]}")
    return folder


def settle(name: str, check: Callable[[Lines], None]) -> int:
    """Runs a check; returns the exit status, which is 0 where it was skipped."""
    lines, start = Lines(), time.perf_counter()
    try:
        check(lines)
    except NotHereError as reason:
        print(f"{name}: skipped{' from here on' if lines.failures else ''}: {reason}")
        if not lines.failures:
            return 0
    except CheckError as failure:
        lines.failures.append(str(failure))
    seconds = time.perf_counter() - start
    if lines.failures:
        print(f"{name}: FAILS after {seconds:.0f} s: " + "; ".join(lines.failures), file=sys.stderr)
        return 1
    print(f"{name}: good, {seconds:.0f} s")
    return 0


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """What the checks' command lines share."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, help="where everything is kept for the next time [a temporary one]"
    )
    return parser
