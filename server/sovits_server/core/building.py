"""Voices that are built while the server runs: one at a time, by the command line, in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sovits_runtime.errors import printable
from sovits_server.problems import BadRequestError, BusyError, FailedError
from sovits_server.security.words import without_paths

logger = logging.getLogger(__name__)

COMMAND = (
    "import os; hasattr(os, 'nice') and os.nice(10); "
    "from sovits_exporter.cli.start import main; main(prog_name='sovits-export')"
)
"""Speech goes before builds."""
LONGEST_S = 3600.0
RETRY_AFTER_S = 30.0
_PROGRESS = re.compile(r"\[ *\d+ %\]")
_ERROR = re.compile(r"error: ", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """Weights of a voice.

    Attributes:
        gpt: The GPT's file.
        sovits: That of SoVITS.
        name: What the voice is to be called.
    """

    gpt: Path
    sovits: Path
    name: str


class VoiceBuilder:
    """Builds voices into a folder of voices.

    Args:
        folder: Of voices.
        pretrained: GPT-SoVITS's folder of pretrained models; None: what was fetched.
    """

    def __init__(self, folder: Path, pretrained: Path | None) -> None:
        self._folder = folder
        self._pretrained = pretrained
        self._turn = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="build")
        self._under_way: tuple[Pair, Future[None]] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    async def build(self, pair: Pair) -> None:
        """Returns once the voice is there. The build goes on where nobody waits for it any more.

        Raises:
            BusyError: Another one is being built.
            BadRequestError: The weights cannot be used.
            FailedError: It did not end well.
        """
        await asyncio.shield(asyncio.wrap_future(self._begin(pair)))

    def _begin(self, pair: Pair) -> Future[None]:
        with self._turn:
            if self._closed:
                raise BusyError("the server is going down", retry_after_s=RETRY_AFTER_S)
            if self._under_way is not None and not self._under_way[1].done():
                there, future = self._under_way
                if there == pair:
                    return future
                raise BusyError(
                    f"voice {there.name!r} is being built, one at a time; try again later",
                    retry_after_s=RETRY_AFTER_S,
                )
            future = self._thread.submit(self._run, pair)
            self._under_way = pair, future
            return future

    def _run(self, pair: Pair) -> None:
        output = self._folder / pair.name
        words = ["build", "--gpt", pair.gpt, "--sovits", pair.sovits, "-o", output]
        if self._pretrained is not None:
            words += ["--pretrained", self._pretrained]
        logger.info("voice %r: being built of %s and %s", pair.name, pair.gpt, pair.sovits)
        with self._turn:
            if self._closed:
                raise BusyError("the server is going down", retry_after_s=RETRY_AFTER_S)
            self._process = process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        too_long = threading.Timer(LONGEST_S, process.kill)
        too_long.daemon = True
        too_long.start()
        try:
            said = self._listen(process, pair.name)
            code = process.wait()
        finally:
            too_long.cancel()
        if code:
            raise _failure(pair.name, code, said)
        logger.info("voice %r: built", pair.name)

    def _listen(self, process: subprocess.Popen[str], name: str) -> str:
        """Logs what a build says; returns why it failed, where it did."""
        why = ""
        assert process.stderr is not None
        for line in process.stderr:
            line = printable(line.strip())
            if _ERROR.match(line):
                why = line.partition(": ")[2]
            if line:
                level = logging.INFO if _PROGRESS.match(line) else logging.WARNING
                logger.log(level, "voice %r: %s", name, line)
        return why

    def close(self) -> None:
        """Ends what is being built; nothing of it is left."""
        with self._turn:
            self._closed = True
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
        self._thread.shutdown(wait=True)


def _failure(name: str, code: int, why: str) -> BadRequestError | FailedError:
    """What a client is told; a build that ends without a line of its own was ended or has a defect."""
    if why and code > 0:
        return BadRequestError(without_paths(why), param="weights_path")
    return FailedError(f"voice {name!r} could not be built; the server's log says why")
