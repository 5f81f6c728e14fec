"""The engine of a server: the runtime's `SpeechEngine`, whose errors become what clients are told."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path

from sovits_runtime import Chunk, EngineLimits, SpeechEngine, SpeechJob, SpeechRequest, Synthesizer
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.engine import (
    DeadlinePassed,
    EngineClosed,
    EngineStats,
    JobCancelled,
    QueueFull,
    UnknownVoice,
)
from sovits_server.problems import BusyError, NotThereError, TooLateError

RETRY_AFTER_S = 2.0


@contextmanager
def _as_problems() -> Iterator[None]:
    """Raises what a client has to know of the engine as a `Problem`; other errors stay as they are."""
    try:
        yield
    except QueueFull as error:
        raise BusyError(str(error), retry_after_s=RETRY_AFTER_S) from None
    except (EngineClosed, JobCancelled):
        raise BusyError("the server is going down", retry_after_s=RETRY_AFTER_S) from None
    except DeadlinePassed as error:
        raise TooLateError(str(error)) from None
    except UnknownVoice:  # its message names all others, and the server's folders
        raise NotThereError("there is no such voice", param="voice") from None


class Job:
    """A request under way. Iterate it, or iterate it asynchronously, once.

    Args:
        job: Of the runtime.
    """

    def __init__(self, job: SpeechJob) -> None:
        self._job = job

    def __iter__(self) -> Iterator[Chunk]:
        """Yields the chunks; raises what went wrong."""
        with _as_problems():
            yield from self._job

    async def __aiter__(self) -> AsyncGenerator[Chunk, None]:
        """Yields the chunks without blocking the event loop; raises what went wrong."""
        with _as_problems():
            async with aclosing(aiter(self._job)) as chunks:
                async for chunk in chunks:
                    yield chunk

    def cancel(self) -> None:
        """Ends it at the next token; whoever iterates it finds its end. From any thread, and more than once."""
        self._job.cancel()

    @property
    def done(self) -> bool:
        """Whether nothing of it is left at work."""
        return self._job.done


class Engine:
    """Speaks requests of any of its voices at any time. Safe to use from several threads.

    Args:
        load: How voices are loaded.
        limits: How much it takes on.
    """

    def __init__(self, load: LoadOptions, limits: EngineLimits) -> None:
        self._speech = SpeechEngine(load=load, limits=limits)
        self._bundles: dict[str, Path] = {}
        self._adding = threading.Lock()

    def add_voice(self, name: str, bundle: Path) -> None:
        """Names a bundle; it is loaded when first needed. Under the name that it has, nothing changes.

        Raises:
            BundleError: There is no bundle.
        """
        with self._adding:
            if self._bundles.get(name) != bundle:
                self._speech.add_voice(name, bundle)
                self._bundles[name] = bundle

    def unload(self, name: str) -> None:
        """Closes a voice once nobody speaks with it; it is loaded again when it is needed next."""
        with self._adding:
            if name in self._bundles:
                self._speech.add_voice(name, self._bundles[name])  # whoever has the old one keeps it

    @contextmanager
    def lease(self, name: str) -> Iterator[Synthesizer]:
        """The voice, loaded now where it is not, and kept until the context is left.

        Raises:
            NotThereError: No such voice.
            SovitsError: It cannot be loaded.
        """
        held = ExitStack()
        with _as_problems():
            voice = held.enter_context(self._speech.using(name))
        try:
            yield voice
        finally:  # may close voices to make room, for which an event loop must not wait
            threading.Thread(target=held.close, name="give back").start()

    def submit(self, request: SpeechRequest) -> Job:
        """Takes a request, and returns at once.

        Raises:
            BusyError: The queue is full, or the engine is closing.
            NotThereError: No such voice.
        """
        with _as_problems():
            return Job(self._speech.submit(request))

    def stats(self) -> EngineStats:
        """What it is doing, and has done."""
        return self._speech.stats()

    def close(self, *, drain: bool = True) -> None:
        """Takes nothing more; waits for what is under way, or ends it. Then closes the voices."""
        self._speech.close(drain)
