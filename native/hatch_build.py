"""Compiles the kernels: a plain C library, opened by ctypes, so that one wheel serves every Python.

The compiler is Zig's, a package on PyPI, so that no system needs one of its own, and each can compile for all.
Variables:

- `SOVITS_NATIVE_PLATFORM`: for which of the platforms in pyproject.toml; this machine's, where it is not set.
- `CC`, with `CFLAGS`: another compiler (GCC or Clang), for this machine. Zig is not fetched then.
- `ZIG_GLOBAL_CACHE_DIR`: where Zig keeps what it compiled of its C libraries; else nothing is kept.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = (
    "-std=c11",
    "-O3",
    # None of them changes a result: nobody reads errno or the floating-point flags.
    "-fno-math-errno",
    "-fno-trapping-math",
    # Every compiler rounds each product, where the source does not ask for FMA: same numbers on all processors.
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-fPIC",
    "-shared",
    "-s",
)
SUFFIXES = {"win32": "dll", "darwin": "dylib"}


def own_platform() -> str:
    """This Python's name among the platforms; another word where it is none of them."""
    if sys.platform == "darwin":
        return f"macosx_{platform.machine()}"
    name = sysconfig.get_platform().replace("-", "_")
    if sys.platform == "linux" and (platform.libc_ver()[0] != "glibc" or sys.maxsize < 2**32):
        return f"{name} without glibc of 64 bits"
    return name


def own_tag() -> str:
    """Platform tag of what was compiled for this machine alone."""
    from packaging.tags import platform_tags

    tags = list(platform_tags())
    return (
        tags[-1] if sys.platform == "linux" else tags[0]
    )  # linux_x86_64 promises nothing about other systems


class KernelHook(BuildHookInterface):
    """Puts the library into the wheel, and gives the wheel its tag."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Zig, unless another compiler is named."""
        return [] if os.environ.get("CC") else [self.config["compiler"]]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles; an editable install gets the library beside the sources."""
        platforms, asked = self.config["platforms"], os.environ.get("SOVITS_NATIVE_PLATFORM")
        if asked and asked not in platforms:
            self.app.abort(f"SOVITS_NATIVE_PLATFORM={asked}: there are {', '.join(platforms)}")
        if asked and os.environ.get("CC"):
            self.app.abort("SOVITS_NATIVE_PLATFORM is for Zig: CC compiles for this machine")
        chosen = platforms.get(asked or own_platform())
        library = chosen["library"] if chosen else f"_gpt_step.{SUFFIXES.get(sys.platform, 'so')}"
        self._folder = Path(tempfile.mkdtemp(prefix="sovits-native-"))
        out = self._folder / library
        if os.environ.get("CC"):
            compiler = [*shlex.split(os.environ["CC"]), *shlex.split(os.environ.get("CFLAGS", ""))]
            windows, tag = sys.platform == "win32", own_tag()
        else:
            target = ("-target", chosen["zig"]) if chosen else ("-mcpu=baseline",)
            compiler = [sys.executable, "-m", "ziglang", "cc", *target]
            windows = library.endswith(".dll")
            tag = chosen["tag"] if chosen else own_tag()
        libraries = () if windows else ("-lm", "-pthread")
        if library.endswith(".dylib"):  # which else carries the path of this folder, by chance
            libraries += (f"-Wl,-install_name,@rpath/{library}",)
        self._compile([*compiler, *FLAGS], out, libraries)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"
        if version == "editable":
            shutil.copyfile(out, Path(self.root, "src", "sovits_native", library))
        else:
            build_data["force_include"][str(out)] = f"sovits_native/{library}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what was compiled; the wheel has it."""
        shutil.rmtree(self._folder)

    def _compile(self, compiler: list[str], out: Path, libraries: tuple[str, ...]) -> None:
        """Files of another processor compile to nothing. Their paths are relative: none of this machine gets in."""
        sources = sorted(f"c/{path.name}" for path in Path(self.root, "c").glob("*.c"))
        caches = {"ZIG_LOCAL_CACHE_DIR": str(self._folder / "cache")}
        caches["ZIG_GLOBAL_CACHE_DIR"] = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(self._folder / "cache")
        command = [*compiler, *sources, "-o", str(out), *libraries]
        try:
            done = subprocess.run(command, cwd=self.root, env={**os.environ, **caches}, check=False)
        except FileNotFoundError:
            self.app.abort(f"no compiler {compiler[0]!r}; without CC, Zig's from PyPI is taken")
        if done.returncode or not out.exists():
            shutil.rmtree(self._folder)
            self.app.abort(f"the kernels do not compile (see above): {shlex.join(command)}")
