"""Reads the heads of compiled libraries, to see that each is for the system and the processor that its wheel names."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
PE_MACHINES = {"amd64": 0x8664, "arm64": 0xAA64}
MACHO_PROCESSORS = {"x86_64": 0x01000007, "arm64": 0x0100000C}
NEWEST_GLIBC = 17
"""Of 2.17, which the wheel's tag promises."""
LEAST_MACOS = {"x86_64": (10, 15), "arm64": (11, 0)}
WINDOWS_LIBRARIES = re.compile(rb"(kernel32|api-ms-win-crt-[\w-]+|_gpt_step)\.dll", re.IGNORECASE)
"""The system's own, and the library itself."""
LOAD_DYLIB, CODE_SIGNATURE, BUILD_VERSION, VERSION_MIN = 0xC, 0x1D, 0x32, 0x24


def faults(platform: str, library: bytes) -> list[str]:
    """What is wrong with a library.

    Args:
        platform: A name of native/pyproject.toml, such as linux_x86_64.
        library: Its bytes.

    Returns:
        A line each; none where it is as it should be.
    """
    system, _, machine = platform.partition("_")
    return {"linux": elf_faults, "win": pe_faults, "macosx": macho_faults}[system](machine, library)


def elf_faults(machine: str, library: bytes) -> list[str]:
    """Of a library for Linux."""
    if library[:5] != b"\x7fELF\x02":
        return ["no ELF library of 64 bits"]
    (found,) = struct.unpack_from("<H", library, 18)
    wrong = [] if found == ELF_MACHINES[machine] else [f"for processor {found}, expected {machine}"]
    newest = max((int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", library)), default=0)
    return wrong + ([f"asks for glibc 2.{newest}, at most 2.{NEWEST_GLIBC}"] if newest > NEWEST_GLIBC else [])


def pe_faults(machine: str, library: bytes) -> list[str]:
    """Of a library for Windows."""
    if library[:2] != b"MZ":
        return ["no Windows library"]
    (header,) = struct.unpack_from("<I", library, 0x3C)
    (found,) = struct.unpack_from("<H", library, header + 4)
    wrong = [] if found == PE_MACHINES[machine] else [f"for processor {found:#x}, expected {machine}"]
    names = set(re.findall(rb"[\w.-]+\.dll", library, re.IGNORECASE))
    others = sorted(name.decode() for name in names if not WINDOWS_LIBRARIES.fullmatch(name))
    return wrong + ([f"asks for {', '.join(others)}"] if others else [])


def macho_faults(machine: str, library: bytes) -> list[str]:
    """Of a library for macOS; Apple silicon loads signed ones alone."""
    if library[:4] != b"\xcf\xfa\xed\xfe":
        return ["no macOS library of 64 bits"]
    (found,) = struct.unpack_from("<I", library, 4)
    wrong = [] if found == MACHO_PROCESSORS[machine] else [f"for processor {found:#x}, expected {machine}"]
    commands = dict(load_commands(library))
    place = commands[BUILD_VERSION] + 12 if BUILD_VERSION in commands else commands[VERSION_MIN] + 8
    (least,) = struct.unpack_from("<I", library, place)
    if (least >> 16, least >> 8 & 255) != LEAST_MACOS[machine]:
        wrong.append(f"for macOS {least >> 16}.{least >> 8 & 255}, expected {LEAST_MACOS[machine]}")
    if machine == "arm64" and CODE_SIGNATURE not in commands:
        wrong.append("not signed")
    places = [place for kind, place in load_commands(library) if kind == LOAD_DYLIB]
    loaded = [
        library[at + struct.unpack_from("<I", library, at + 8)[0] :].split(b"\0", 1)[0] for at in places
    ]
    return wrong + [f"asks for {name.decode()}" for name in loaded if name != b"/usr/lib/libSystem.B.dylib"]


def load_commands(library: bytes) -> Iterator[tuple[int, int]]:
    """Kind and place of each load command of a Mach-O file."""
    (count,) = struct.unpack_from("<I", library, 16)
    place = 32
    for _ in range(count):
        kind, size = struct.unpack_from("<II", library, place)
        yield kind & 0x7FFFFFFF, place
        place += size
