"""Optional packages: imported when a language is first used, named with the pip line when missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from sovits_runtime.errors import TextError


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a module that an extra of this project installs.

    Args:
        module: Dotted name, for example `"pypinyin"`.
        extra: Name of the extra, for example `"zh"`.

    Raises:
        TextError: The package is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise TextError(
            f"this text needs the Python package {error.name!r}, which is not installed: "
            f'pip install "sovits-export[{extra}]"'
        ) from error
