"""Parts of `report.py` in processes of their own, so that a crash, a hang or a lost GPU costs one part."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from sovits_runtime.bundle.files import json_text

GRACE_S = 5
"""A process ends itself at its limit and says where it was; after this it is killed."""
OWN_MODULES = ("sovits_",)

PartRun = Callable[[Any], dict[str, Any]]


class Skipped(Exception):  # noqa: N818 - no error
    """A part cannot run here, for the reason given: something is not installed, not given or not for this machine."""


class Worker:
    """A process that runs parts, one after another; what it prints is shown.

    Args:
        run: What every part is given.

    Attributes:
        pid: Its process id.
    """

    def __init__(self, run: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, run), daemon=True)
        self._process.start()
        theirs.close()
        self.pid = int(self._process.pid or 0)

    def attempt(self, part: PartRun, limit_s: float) -> dict[str, Any]:
        """Runs a part. After one that failed the process is not fit for others: close it.

        Args:
            part: A function of a module, or the like, that the process can import.
            limit_s: Seconds after which it has failed.

        Returns:
            What the part gave, and its `status`: "passed", "skipped" or "failed", the latter two with a `reason`.
        """
        start = time.monotonic()
        with contextlib.suppress(OSError):  # it is gone, which is found out below
            self._connection.send((part, limit_s))
        wait([self._connection, self._process.sentinel], limit_s + GRACE_S)
        with contextlib.suppress(EOFError, OSError):
            if self._connection.poll():
                result: dict[str, Any] = self._connection.recv()
                return result
        late = time.monotonic() - start >= limit_s
        self._kill()
        code = self._process.exitcode
        if late:
            reason = f"ran over its limit of {limit_s:.0f} s"
        elif code is not None and code < 0:
            reason = f"its process was ended by signal {-code} ({signal.strsignal(-code)})"
        else:
            reason = f"its process ended with exit status {code}"
        return {"status": "failed", "reason": reason}

    def close(self) -> None:
        """Ends the process, by force where it does not end by itself in time."""
        self._connection.close()
        self._process.join(GRACE_S)
        if self._process.exitcode is None:
            self._kill()

    def _kill(self) -> None:
        """Kills what is left of the process and of those that it started; not reaped, its id is its own."""
        with contextlib.suppress(OSError, AttributeError):  # it has no group yet; not on Windows
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join(GRACE_S)  # what the driver holds may not even die


def _serve(connection: Connection, run: Any) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # a group of its own: killed together with what it started
    faulthandler.enable()
    with contextlib.suppress(EOFError):  # no more parts, or the report is gone
        while True:
            part, limit_s = connection.recv()
            faulthandler.dump_traceback_later(limit_s, exit=True)
            result = _outcome(part, run)
            faulthandler.cancel_dump_traceback_later()
            connection.send(result)


def _outcome(part: PartRun, run: Any) -> dict[str, Any]:
    try:
        result = {"status": "passed", **json.loads(json_text(part(run)))}
        if "openvino" in sys.modules:  # for CPUs; what it computed would be no figure of a GPU
            return {"status": "failed", "reason": "OpenVINO was loaded, which has no place beside a GPU"}
        _forget()
        return result
    except Skipped as reason:
        return {"status": "skipped", "reason": str(reason)}
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith(OWN_MODULES):
            return {"status": "skipped", "reason": f"not installed: {error}"}
        trace = traceback.format_exc(limit=-4)
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}", "trace": trace}


def _forget() -> None:
    """Gives back what a part left on the GPU, so that the next one's memory is its own; fails if the GPU is lost."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
