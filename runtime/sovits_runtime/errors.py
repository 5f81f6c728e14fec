"""Errors that sovits-export raises on purpose.

Every message says in one line what was received, what was expected and what to do next. The command line prints that
line and exits with `exit_code`; anything that is not a `SovitsError` is a defect and shows its traceback.

Words of a file are often part of a message, and a stranger may have written that file. So a message is always one line
that a terminal can only show; see `printable`.
"""

import unicodedata
from itertools import islice

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of characters that move the cursor, turn text around, end a line, hide, or cannot be encoded."""
_LONGEST = 2000
_END = 400
_SHOWN_LENGTH, _SHOWN_ITEMS, _SHOWN_BITS = 100, 5, 64


class SovitsError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class CheckpointError(SovitsError, ValueError):
    """A checkpoint file or model folder is damaged, unsafe, of the wrong kind or of an unsupported version."""


class BundleError(SovitsError, ValueError):
    """A bundle is incomplete, changed, or of a schema this version cannot read."""


class ShapeError(SovitsError, ValueError):
    """An array has the wrong dtype, rank or size for the graph it is given to."""


class BackendError(SovitsError, RuntimeError):
    """A backend is not installed, cannot run on this machine, or failed."""


class AudioError(SovitsError, ValueError):
    """An audio file cannot be read, or its content cannot serve as a reference."""


class TextError(SovitsError, ValueError):
    """Text or phones cannot be turned into model input."""


class NothingToSay(TextError):  # noqa: N818 - reads better where it is caught
    """A text holds nothing that can be read aloud."""


class GenerationError(SovitsError, RuntimeError):
    """The model produced no usable speech (empty, ended at once, or ran away) within the allowed retries."""


class VerificationError(SovitsError):
    """A bundle's output differs from the recorded PyTorch values by more than the stated limit."""

    exit_code = 3


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def printable(text: str) -> str:
    """The same text as one line that a terminal can only show, whoever wrote it.

    Escape sequences, line ends and characters that turn text around become what Python writes for them. Of a very
    long text, beginning and end stay.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - _END]} ... {text[-_END:]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if unicodedata.category(char) not in _UNSEEN else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def shown(value: object, depth: int = 2) -> str:
    """A value of a stranger's file in a few words, whatever it is: long, deep, or inside itself."""
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= _SHOWN_LENGTH else f"{value[:_SHOWN_LENGTH]!r}..."
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, int | float):
        return repr(value)
    if not isinstance(value, list | tuple | dict) or not depth:
        return f"a {type(value).__name__}"
    first = list(islice(value, _SHOWN_ITEMS))
    words = [shown(item, depth - 1) for item in first]
    if isinstance(value, dict):
        words = [f"{word}: {shown(value[key], depth - 1)}" for word, key in zip(words, first, strict=True)]
    text = ", ".join(words + ["..."] * (len(value) > len(first)))
    return (
        f"{{{text}}}" if isinstance(value, dict) else f"[{text}]" if isinstance(value, list) else f"({text})"
    )
