"""Runs the steps of deploy/Dockerfile without Docker, in a bare Debian, and has the server in there speak.

    sudo python tools/container_steps.py VOICES [--target cpu] [--root /var/tmp/container-steps] [--keep]

VOICES is a folder as `sovits-export serve --voices` takes it. Wants debootstrap and root. The stages share one root, so
`COPY --from` has nothing to do. At the end the entry point is started as the user of the image, with its variables; the
health check has to pass, and a sentence has to come back as MP3. CERTIFICATES=FILE: a bundle for pip, where a proxy
signs with an authority of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "deploy/Dockerfile"
SUITE = re.compile(r"debian:(\w+)-slim")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PORT = 9880
KEY = "container-steps"
CERTIFICATES = "CERTIFICATES"
HEALTHY_S = 600


@dataclass(frozen=True)
class Step:
    """An instruction of a Dockerfile.

    Attributes:
        name: Such as RUN.
        words: What follows, continued lines joined.
    """

    name: str
    words: str


def stages(text: str) -> dict[str, list[Step]]:
    """Name of each stage -> its steps; the first is FROM.

    Args:
        text: Of a Dockerfile whose stages all have names.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    found: dict[str, list[Step]] = {}
    current: list[Step] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, words = line.partition(" ")
        if name == "FROM":
            current = found.setdefault(words.rpartition(" AS ")[2], [])
        current.append(Step(name, words.strip()))
    return found


def steps_of(target: str, found: dict[str, list[Step]]) -> Iterator[Step]:
    """All steps that a target needs, in order, each stage once.

    Args:
        target: Name of a stage.
        found: From `stages`.
    """
    done: set[str] = set()

    def visit(name: str) -> Iterator[Step]:
        if name in done or name not in found:
            return
        done.add(name)
        base, *rest = found[name]
        yield from visit(base.words.split(" AS ")[0])
        for step in rest:
            source = re.match(r"--from=(\S+)", step.words)
            if source:
                yield from visit(source[1])
        yield from rest

    yield from visit(target)


@dataclass
class Container:
    """A root folder in which steps are done.

    Attributes:
        root: The folder.
        environment: Variables so far.
        folder: Where commands run.
        user: Who runs them.
        entry: The entry point.
        health: The health check.
    """

    root: Path
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
    )
    folder: str = "/"
    user: str = "0:0"
    entry: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def do(self, step: Step) -> None:
        """Does a step.

        Raises:
            CalledProcessError: A command failed.
            ValueError: A step of a kind that is not known here.
        """
        if step.name == "RUN":
            self.run(["sh", "-c", step.words], DEBIAN_FRONTEND="noninteractive")
        elif step.name == "ENV":
            for name, value in (pair.split("=", 1) for pair in shlex.split(step.words)):
                self.environment[name] = value.replace("$PATH", self.environment["PATH"])
        elif step.name == "WORKDIR":
            self.folder = step.words
            (self.root / self.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.name == "COPY":
            self.copy(step.words.split())
        elif step.name == "USER":
            self.user = step.words
            self.environment["HOME"] = self.home_of(step.words.partition(":")[0])
        elif step.name == "ENTRYPOINT":
            self.entry = json.loads(step.words)
        elif step.name == "HEALTHCHECK":
            self.health = json.loads(step.words[step.words.index("[") :])
        elif step.name not in ("VOLUME", "EXPOSE"):
            raise ValueError(f"{step.name}: not known here")

    def copy(self, words: list[str]) -> None:
        """Copies from the checkout; from another stage there is nothing to copy."""
        if words[0].startswith("--from="):
            return
        *sources, target = words
        place = self.root / self.folder.lstrip("/") / target
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.so", "build", "*.egg-info")
                shutil.copytree(ROOT / source, place, ignore=ignored, dirs_exist_ok=True)
            else:
                shutil.copy(ROOT / source, place)

    def home_of(self, uid: str) -> str:
        """The home of a user, as Docker sets it by the root's own list of users; / where it is not in there."""
        users = self.root / "etc/passwd"
        lines = users.read_text(encoding="utf-8").splitlines() if users.exists() else []
        return next((fields[5] for fields in (line.split(":") for line in lines) if fields[2] == uid), "/")

    def command(self, words: list[str], **more: str) -> list[str]:
        """The words that run a command in here, with a /proc of its own that goes with it: ONNX Runtime wants one."""
        variables = [f"{name}={value}" for name, value in {**self.environment, **more}.items()]
        inside = f"cd {shlex.quote(self.folder)} && exec {shlex.join(words)}"
        shell = [
            "chroot",
            f"--userspec={self.user}",
            str(self.root),
            "env",
            "-i",
            *variables,
            "sh",
            "-c",
            inside,
        ]
        mounted = f"mount -t proc proc {shlex.quote(str(self.root / 'proc'))} && exec {shlex.join(shell)}"
        return ["unshare", "--mount", "sh", "-c", mounted]

    def run(self, words: list[str], **more: str) -> None:
        """Runs a command in here; its output goes to the terminal."""
        subprocess.run(self.command(words, **more), check=True, stdin=subprocess.DEVNULL)


def build(container: Container, target: str) -> None:
    """Makes a root and does all steps of a target in it."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    suite = SUITE.search(text)
    assert suite, f"{DOCKERFILE}: no Debian to begin with"
    subprocess.run(
        ["debootstrap", "--variant=minbase", suite[1], str(container.root)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.copy("/etc/resolv.conf", container.root / "etc/resolv.conf")
    if CERTIFICATES in os.environ:
        shutil.copy(os.environ[CERTIFICATES], container.root / "etc/pip-certificates.pem")
        container.environment["PIP_CERT"] = "/etc/pip-certificates.pem"
    for step in steps_of(target, stages(text)):
        print(f"==> {step.name} {step.words}"[:110], flush=True)
        container.do(step)


def speak(container: Container, voices: Path) -> int:
    """Starts the server in there, waits until it is healthy, and lets it speak; returns the size of the answer.

    Raises:
        TimeoutError: It does not get healthy.
    """
    shutil.copytree(voices, container.root / "voices", dirs_exist_ok=True)
    command = container.command(container.entry, SOVITS_SERVE_API_KEY=KEY)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + HEALTHY_S
        while subprocess.run(container.command(container.health), capture_output=True).returncode:
            if server.poll() is not None or time.monotonic() > end:
                raise TimeoutError("the server did not get healthy")
            time.sleep(2)
        body = json.dumps({"input": "Good morning."}).encode()
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        with urlopen(
            Request(f"http://127.0.0.1:{PORT}/v1/audio/speech", body, headers), timeout=300
        ) as answer:
            return len(answer.read())
    finally:
        server.terminate()
        server.wait(60)


def main() -> int:
    """Does it all, and says how it went."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("voices", type=Path)
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--root", type=Path, default=Path("/var/tmp/container-steps"))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        print("error: this wants root and debootstrap: apt install debootstrap", file=sys.stderr)
        return 2
    if options.root.exists():
        print(f"error: {options.root} is there already; remove it, or name another --root", file=sys.stderr)
        return 2
    try:
        container = Container(options.root)
        build(container, options.target)
        print(f"==> healthy; {speak(container, options.voices)} bytes of MP3")
    finally:
        if not options.keep:
            shutil.rmtree(options.root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
