"""The container's image, built by buildah and heard: `make check-image`.

    sudo python tools/check_image.py [--folder FOLDER]

deploy/Dockerfile is built whole, on a Debian that debootstrap makes, so nothing comes from a registry of images. A tiny
voice that was built here speaks inside, as the image's user, and has to give this machine's samples. Skipped, with a
line, where there is no root, no buildah or no debootstrap. CERTIFICATES=FILE: a bundle for pip inside, where a proxy
signs with an authority of its own.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from container_steps import CERTIFICATES, DOCKERFILE, SUITE
from environment import ROOT
from foreign import MAIN, CheckError, Lines, NotHereError, need, parser_of, settle, tiny_voice

BASE = "docker.io/library/debian:{suite}-slim"
IMAGE = "sovits-export-check"
INSIDE_CERTIFICATES = "/etc/pip-certificates.pem"


class Buildah:
    """buildah with a store of its own, so that the machine's images are neither used nor changed.

    Args:
        folder: For the store.

    Raises:
        NotHereError: There is none, or this is not root.
    """

    def __init__(self, folder: Path) -> None:
        if not hasattr(os, "geteuid") or os.geteuid():
            raise NotHereError("building an image with a root of its own takes root")
        store = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]
        self._command = [need("buildah"), *store]

    def __call__(self, *words: object) -> str:
        """Runs a command of buildah; returns what it printed.

        Raises:
            CheckError: It failed.
        """
        done = subprocess.run(
            [*self._command, *map(str, words)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise CheckError(f"buildah {words[0]}: {(done.stderr or done.stdout).strip()[-3000:]}")
        return done.stdout.strip()

    def base(self, folder: Path) -> None:
        """Makes the image that the Dockerfile begins with."""
        suite = SUITE.search(DOCKERFILE.read_text(encoding="utf-8"))
        if suite is None:
            raise CheckError(f"{DOCKERFILE} begins with no Debian")
        name = BASE.format(suite=suite[1])
        if name in self("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
            return
        system = folder / "debian"
        made = subprocess.run(
            [need("debootstrap"), "--variant=minbase", suite[1], str(system)],
            capture_output=True,
            check=False,
        )
        if made.returncode:
            raise NotHereError(
                f"debootstrap makes no {suite[1]} ({str(made.stdout, 'utf-8')[-300:].strip()})"
            )
        container = self("from", "scratch")
        self("copy", container, system, "/")
        self("commit", "--rm", container, name)

    def image(self) -> None:
        """Builds the Dockerfile."""
        words: list[object] = ["bud", "--isolation", "chroot", "--pull-never", "--target", "cpu", "-t", IMAGE]
        if certificates := os.environ.get(CERTIFICATES):
            words += ["--env", f"PIP_CERT={INSIDE_CERTIFICATES}"]
            words += ["-v", f"{Path(certificates).resolve()}:{INSIDE_CERTIFICATES}:ro"]
        ignored = DOCKERFILE.with_name("Dockerfile.dockerignore")
        self(*words, "--ignorefile", ignored, "-f", DOCKERFILE, ROOT)


def speak_words(files: str, voice: str, out: str) -> list[str]:
    """Words of a command that speaks the tiny voice's sentence."""
    words = ["speak", "--phones", f"{files}/target.json", "--ref", f"{files}/reference.wav"]
    words += ["--ref-phones", f"{files}/reference.json", "--ref-lang", "en", "--seed", "7"]
    return [*words, "--gpt-steps", "native", "--threads", "1", voice, "-o", out]


def speaks_alike(lines: Lines, buildah: Buildah, made: Path, out: Path) -> None:
    """The same sentence here and in the image; its samples have to be the same."""
    here = out / "here.wav"
    command = [sys.executable, "-c", MAIN, *speak_words(f"{made}/files", f"{made}/voice", str(here))]
    lines.run("speak, on this machine", command)
    container = buildah("from", "--pull-never", IMAGE)
    inside = ["--isolation", "chroot", "-v", f"{made}:/made:ro", "-v", f"{out}:/out"]
    start = time.perf_counter()
    words = speak_words("/made/files", "/made/voice", "/out/image.wav")
    buildah("run", *inside, container, "--", "sovits-export", *words)
    same = here.exists() and filecmp.cmp(here, out / "image.wav", shallow=False)
    lines.say("speak, in the image: samples", start, "this machine's" if same else "DIFFERENT")
    lines.failures += [] if same else ["the image speaks with other samples than this machine"]
    buildah("rm", container)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    given = parser_of(__doc__).parse_args(arguments)

    def check(lines: Lines) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            folder, out = (given.folder or Path(temporary)).absolute(), Path(temporary) / "out"
            folder.mkdir(parents=True, exist_ok=True)
            out.mkdir()
            out.chmod(0o777)  # the image's user is nobody here
            Path(temporary).chmod(0o755)
            buildah, start = Buildah(folder), time.perf_counter()
            buildah.base(folder)
            lines.say("a Debian", start, "there")
            start = time.perf_counter()
            buildah.image()
            lines.say("the image", start, "built")
            start = time.perf_counter()
            made = tiny_voice(folder / "made")
            lines.say("a tiny voice, built on this machine", start, "there")
            speaks_alike(lines, buildah, made, out)

    return settle("check-image", check)


if __name__ == "__main__":
    sys.exit(main())
