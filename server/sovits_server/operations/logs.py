"""Logs: a line a request, with its number; as text, or as JSON for machines."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from contextvars import ContextVar

from sovits_runtime.errors import printable

request_id: ContextVar[str] = ContextVar("request_id", default="")
_GOOD_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def new_id(given: str | None) -> str:
    """The number of a request: the client's own where it is a proper one, else a new one."""
    return given if given and _GOOD_ID.fullmatch(given) else secrets.token_hex(8)


class WithId(logging.Filter):
    """Gives every record the number of the request that it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Adds it."""
        record.request_id = request_id.get()
        return True


class WithoutTheirTraces(logging.Filter):
    """Takes uvicorn's traceback out of what a client alone is to blame for: anybody could fill a disk with it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Takes it out."""
        if record.name.startswith("uvicorn") and str(record.msg).startswith("Invalid"):
            record.exc_info = record.exc_text = None
            record.msg = str(record.msg).strip()
        return True


class JsonLine(logging.Formatter):
    """A record as one line of JSON; what was logged with `extra` are fields of their own."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        fields.update({k: v for k, v in vars(record).items() if k not in _OWN and v not in ("", None)})
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


class TextLine(logging.Formatter):
    """A record as one line to read; a traceback follows where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        number = getattr(record, "request_id", "")
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower()}: {printable(record.getMessage())}"
        line += f" [{number}]" if number else ""
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up(kind: str, *, verbose: bool = False) -> None:
    """Sends all logs of this process to standard error.

    Args:
        kind: "text" or "json".
        verbose: Whether what is not a warning is told too, of other libraries also.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine() if kind == "json" else TextLine())
    handler.addFilter(WithId())
    handler.addFilter(WithoutTheirTraces())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("sovits_server").setLevel(logging.INFO)
