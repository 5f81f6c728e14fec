"""Names of functions and modules that only serve to run code, so that no checkpoint has a use for them.

Nothing depends on this list being whole: no name is ever looked up. It is there to tell a user that a file is dangerous
to open elsewhere.
"""

from __future__ import annotations

_CODE_MODULES = {
    *("os", "posix", "nt", "subprocess", "sys", "shutil", "importlib", "imp", "runpy", "pty", "ctypes"),
    *("_ctypes", "marshal"),
    *("socket", "webbrowser", "urllib", "http", "requests", "pdb", "bdb", "timeit", "cProfile"),
    *("pickle", "_pickle", "cPickle", "commands", "popen2", "pip"),
}
_CODE_INSIDE = {"os", "posix", "nt", "subprocess", "sys", "shutil", "importlib", "ctypes"}
"""Modules that other modules import, and that a name may reach through them."""
_CODE_BUILTINS = {"eval", "exec", "execfile", "compile", "open", "file", "input", "breakpoint", "__import__"}
_CODE_NAMES = {"types.FunctionType", "types.CodeType", "types.LambdaType"}
_CODE_PARTS = ("torch.hub.", "torch.utils.cpp_extension.")


def runs_code(module: str, name: str) -> bool:
    """Whether a name can only serve to run code; a name may reach through others, such as `serialization.os.system`."""
    full = f"{module}.{name}"
    root, *inner = full.split(".")[:-1]
    return (
        root in _CODE_MODULES
        or not _CODE_INSIDE.isdisjoint(inner)
        or (root in ("builtins", "__builtin__") and name in _CODE_BUILTINS)
        or full in _CODE_NAMES
        or full.startswith(_CODE_PARTS)
    )
