"""What an answer to a stranger may say of what went wrong in here."""

from __future__ import annotations

import re

from sovits_runtime.errors import (
    AudioError,
    GenerationError,
    ShapeError,
    SovitsError,
    TextError,
    first_line,
)
from sovits_server.problems import BadRequestError, FailedError, Problem

_PATH = re.compile(r"(?<![\w.:/<])(?:[A-Za-z]:)?[\\/](?:[^\s'\":;,()]+[\\/])+([^\s'\":;,()\\/]*)")
DEFECT = "the server failed; its log says why"


def without_paths(text: str) -> str:
    """The same text; of a path, only its last part stays."""
    return _PATH.sub(lambda found: found[1] or "...", text)


def problem_of(error: BaseException) -> Problem:
    """What a client is told of an error."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, TextError | ShapeError | AudioError):
        return BadRequestError(without_paths(first_line(error)))
    if isinstance(error, GenerationError):
        return FailedError(without_paths(first_line(error)))
    if isinstance(error, SovitsError):  # of bundles and backends: the operator's affair
        return FailedError("the voice cannot speak now; the server's log says why")
    return FailedError(DEFECT)
