"""Where the installed command begins: Ctrl-C is answered in one word, also while Python imports what a command needs.

PyTorch runs Python code inside its C++ code while it is imported. An exception there, as Ctrl-C is one, ends the
process with a page of C++; so during imports the handler ends it itself.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import click

_SLOW = {"torch", "onnx", "onnxruntime"}
_COMMANDS = "sovits_exporter.cli."
_EXIT_CODE = 1
_commands_are_there = False


class _Start(click.Command):
    """The command line, imported when it is run; the commands themselves are those of `cli.main`."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs it; called without arguments, as the installed command is, it answers Ctrl-C from now on."""
        global _commands_are_there
        by_itself = not args and kwargs.get("args") is None
        if by_itself and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else: to be ignored
            signal.signal(signal.SIGINT, _interrupt)
        from sovits_exporter.cli.main import main as command
        from sovits_exporter.cli.output import write_utf8

        if by_itself:
            write_utf8()  # before anything is said, help included

        _commands_are_there = True
        return command.main(*args, **kwargs)


main = _Start("sovits-export")
"""What the installed command calls."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _commands_are_there and not _is_importing(frame):
        raise KeyboardInterrupt
    sys.stderr.write("\nAborted!\n")
    sys.stderr.flush()
    os._exit(_EXIT_CODE)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a command, or a package with C++ inside, is at the beginning of its import."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name == "<module>" and (name in _SLOW or name.startswith(_COMMANDS)):
            return True
        frame = frame.f_back
    return False
