"""Optional packages: imported, or read as data, when a language is first used; named with the pip line when missing."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any, Final, Generic, TypeVar

from sovits_runtime.errors import TextError

NEWEST_PYTHON: Final = (3, 14)
_COMPILER: Final = (
    "pyopenjtalk is compiled, which takes a C++ compiler; Debian, Ubuntu: apt install g++ make python3-dev"
)
_ALSO_NEEDED: Final = {"ja": _COMPILER, "text": _COMPILER}
_Made = TypeVar("_Made")
# One for all: what is made needs other things made, and packages are imported meanwhile, so two locks could deadlock.
_FIRST_USE: Final = RLock()
_NOT_MADE: Final[Any] = object()


class once(Generic[_Made]):  # noqa: N801 - used as a decorator
    """Decorator: makes a thing when it is first asked for, in one thread, while the others wait for it.

    `functools.lru_cache` would let every thread make its own, several at a time.

    Args:
        make: Makes it; what it raises reaches the caller, and the next call tries again.
    """

    def __init__(self, make: Callable[[], _Made]) -> None:
        self._make = make
        self._made: _Made = _NOT_MADE
        update_wrapper(self, make)

    def __call__(self) -> _Made:
        """The thing."""
        made = self._made
        if made is not _NOT_MADE:
            return made
        with _FIRST_USE:
            if self._made is _NOT_MADE:
                self._made = self._make()
            return self._made

    def cache_clear(self) -> None:
        """Forget the thing, so that the next call makes it anew."""
        self._made = _NOT_MADE


def install_line(extra: str, python: tuple[int, int] = sys.version_info[:2]) -> str:
    """The pip line for an extra, with what pip does not bring and, where packages may lack, which Python has them.

    Args:
        extra: Name of the extra, for example `"zh"`.
        python: Version of the Python that it would be installed into.
    """
    remarks = [_ALSO_NEEDED[extra]] if extra in _ALSO_NEEDED else []
    if python > NEWEST_PYTHON:
        newest, this = (".".join(map(str, version)) for version in (NEWEST_PYTHON, python))
        remarks.append(f"tried with Python 3.11 to {newest}; if a package lacks for {this}, use one of those")
    line = f'pip install "sovits-export[{extra}]"'
    return f"{line} ({'; '.join(remarks)})" if remarks else line


def is_for_python(requirement: str, python: tuple[int, int] = sys.version_info[:2]) -> bool:
    """Whether a requirement is one for this Python, as a marker such as `python_version < '3.13'` tells.

    Args:
        requirement: A line of a distribution's requirements.
        python: Version of Python.
    """
    limit = re.search(r"python_version\s*(<|>=)\s*['\"](\d+)\.(\d+)['\"]", requirement)
    return limit is None or (python < (int(limit[2]), int(limit[3]))) == (limit[1] == "<")


def missing_package(package: str, extra: str) -> TextError:
    """The error for a package that is not installed.

    Args:
        package: Its name.
        extra: The extra that brings it.
    """
    return TextError(
        f"this text needs the Python package {package!r}, which is not installed: {install_line(extra)}"
    )


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a module that an extra of this project installs.

    Args:
        module: Dotted name, for example `"pypinyin"`.
        extra: Name of the extra, for example `"zh"`.

    Raises:
        TextError: The package is not installed.
    """
    try:
        if module in sys.modules:
            return import_module(module)  # waits where another thread is still importing it
        with _FIRST_USE, warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of old packages, at their first compilation
            return import_module(module)
    except ModuleNotFoundError as error:
        raise missing_package(error.name or module, extra) from error


def package_folders(package: str) -> tuple[Path, ...]:
    """Folders of an installed package, which is not imported; none where it is not installed."""
    spec = find_spec(package)
    return tuple(Path(folder) for folder in (spec.submodule_search_locations or ())) if spec else ()


def find_package_file(package: str, *parts: str) -> Path | None:
    """A data file of an installed package, or None.

    Args:
        package: Import name; the package is not imported.
        *parts: Path inside the package.
    """
    paths = (folder.joinpath(*parts) for folder in package_folders(package))
    return next((path for path in paths if path.is_file()), None)


def package_file(package: str, *parts: str, extra: str) -> Path:
    """A data file of an installed package.

    Args:
        package: Import name; the package is not imported.
        *parts: Path inside the package.
        extra: The extra that brings the package.

    Raises:
        TextError: The package is not installed, or holds no such file.
    """
    path = find_package_file(package, *parts)
    if path is not None:
        return path
    folders = package_folders(package)
    if not folders:
        raise missing_package(package, extra)
    raise TextError(
        f"{folders[0].joinpath(*parts)} is missing: the installed {package!r} is broken or of another release; "
        f"pip install --force-reinstall with the release that sovits-export[{extra}] asks for"
    )
