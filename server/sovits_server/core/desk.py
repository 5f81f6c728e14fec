"""The desk: takes a request from a dialect, lets it in or not, and gives back sound that has begun."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

from sovits_runtime import SpeechRequest, Synthesizer
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.speech.text_reader import TextReader
from sovits_runtime.text.split import STREAM
from sovits_server.config import Config
from sovits_server.core.admission import Admission
from sovits_server.core.ahead import known, speak_a_word
from sovits_server.core.ask import Ask, speech_options
from sovits_server.core.casting import Casting
from sovits_server.core.engine import Engine
from sovits_server.core.utterance import NOTHING, Clock, OwnUtterance, Script, Utterance
from sovits_server.operations.metrics import Meters
from sovits_server.operations.traces import span
from sovits_server.problems import BadRequestError, TooLargeError, TooLateError
from sovits_server.sound import FORMATS
from sovits_server.voices import Voice
from sovits_server.words import prepare

logger = logging.getLogger(__name__)

T = TypeVar("T")
PREPARING, ENCODING, LOOKING = 4, 2, 4
"""Threads that open voices and read recordings, that encode sound, and that look things up, which others wait for."""
DEFAULT_PAUSE_S = 0.3


class Desk:
    """Where requests of all dialects meet. Of one event loop.

    Args:
        engine: Speaks.
        casting: Finds voices and recordings.
        config: Of the operator.
        meters: What is counted.
        elsewhere: Requests that are spoken at once by other processes for this one.
    """

    def __init__(
        self, engine: Engine, casting: Casting, config: Config, meters: Meters, *, elsewhere: int = 0
    ) -> None:
        self.engine = engine
        self.casting = casting
        self.config = config
        self.meters = meters
        self.admission = Admission((elsewhere or config.at_once) + config.queue, config.client_requests)
        self._preparing = ThreadPoolExecutor(PREPARING, thread_name_prefix="prepare")
        self._encoding = ThreadPoolExecutor(ENCODING, thread_name_prefix="encode")
        self._looking = ThreadPoolExecutor(LOOKING, thread_name_prefix="look")
        meters.watch(self._now)

    def check(self, ask: Ask) -> None:
        """Looks at what can be told without a voice.

        Raises:
            BadRequestError: There is nothing to say, or no such format.
            TooLargeError: It is too long.
        """
        if not ask.text.strip():
            raise BadRequestError(NOTHING, param="input" if ask.dialect == "openai" else "text")
        if len(ask.text) > self.config.max_text:
            raise TooLargeError(
                f"text: got {len(ask.text)} characters, expected at most {self.config.max_text} in one request"
            )
        if ask.format not in FORMATS:
            raise BadRequestError(
                f"format: got {ask.format[:40]!r}, expected one of {', '.join(FORMATS)}",
                param="response_format",
            )

    async def begin(self, ask: Ask, client: str) -> Utterance:
        """Has a request spoken; returns when its first sound is there.

        Args:
            ask: What to say.
            client: Who asks.

        Raises:
            Problem: It is not let in, or too late.
            SovitsError: It cannot be spoken.
        """
        self.check(ask)
        start = time.perf_counter()
        if self.config.log_text:
            logger.info("%s is asked to say: %s", ask.dialect, ask.text)
        with ExitStack() as held:
            held.enter_context(self.admission.place(client))
            try:
                async with asyncio.timeout(self.config.deadline_s):
                    with span("prepare", dialect=ask.dialect):
                        utterance = await self._submitted(ask)
                    held.callback(utterance.close)
                    with span("first sound", dialect=ask.dialect):
                        await utterance.begin()
            except TimeoutError:
                raise TooLateError(f"no sound within {self.config.deadline_s:g} s; try again later") from None
            utterance.held = held.pop_all()
        self.meters.first_sound.labels(ask.dialect).observe(time.perf_counter() - start)
        return utterance

    async def _submitted(self, ask: Ask) -> Utterance:
        """`_submit` in a thread. Where nobody waits for it any more, its result is closed."""
        work = self._preparing.submit(self._submit, ask)
        try:
            return await asyncio.wrap_future(work)
        except BaseException:
            if not work.cancel():
                work.add_done_callback(_close_late)
            raise

    def _submit(self, ask: Ask) -> Utterance:
        """Everything before sound: voice, recording, text. In a thread."""
        voice = self.casting.voice_of(ask.whom)
        most = self.config.max_seconds
        pause_s = float(voice.options.get("pause_s", DEFAULT_PAUSE_S)) if ask.pause_s is None else ask.pause_s
        with ExitStack() as stack:
            synthesizer = stack.enter_context(self.engine.lease(self.known(voice)))
            limit = None if most is None else max(round(most * synthesizer.spec.token_rate_hz), 1)
            values = {**voice.options, **{k: v for k, v in ask.options.items() if v is not None}}
            ignored = unknown_to(synthesizer.spec, values)
            values = {name: value for name, value in values.items() if name not in ignored}
            options = speech_options(values, version=synthesizer.spec, max_tokens=limit)
            part = self.casting.cast(synthesizer, voice, ask.whom)
            script = Script(
                prepare(ask.text),
                reader_of(synthesizer, ask.cut),
                language=ask.language or voice.language or "auto",
                pause_s=pause_s,
                tail=ask.tail,
            )
            request = SpeechRequest(
                voice=self.known(voice),
                text=script.phrases(),
                reference=part.reference,
                options=options,
                chunks=ask.chunks if ask.delivery == "chunks" else None,
                deadline_s=self.config.deadline_s,
            )
            job = self.engine.submit(request)
            clock = Clock(self.meters.gap.observe, partial(self._made, voice.name))
            rate = synthesizer.spec.sample_rate
            return OwnUtterance(
                job,
                script,
                rate,
                gain_db=part.gain_db,
                lease=stack.pop_all(),
                clock=clock,
                told={"X-Reference": part.note, "X-Ignored": ", ".join(ignored)},
            )

    def speak_a_word(self) -> None:
        """Says a word with the default voice, for nobody to hear. In a thread.

        Raises:
            SovitsError: It cannot.
        """
        speak_a_word(self.engine, self.casting)

    def known(self, voice: Voice) -> str:
        """The engine's name of a voice; voices of one bundle share it."""
        return known(self.engine, voice)

    def _made(self, voice: str, seconds: float) -> None:
        self.meters.sound.labels(voice).inc(seconds)
        self.meters.tokens.inc(round(seconds * 25))

    async def in_thread(self, work: Callable[[], T], *, heavy: bool = False) -> T:
        """Does some work in one of the few threads for it; once begun it ends, whoever waits.

        Args:
            work: What to do.
            heavy: Whether it may take long, as a recording of a client's does.
        """
        pool = self._preparing if heavy else self._looking
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def encode(self, work: Callable[[], bytes]) -> bytes:
        """Encodes in a thread of those for it."""
        return await asyncio.get_running_loop().run_in_executor(self._encoding, work)

    def _now(self) -> list[tuple[str, str, float]]:
        from sovits_runtime.machine.process_memory import resident_bytes

        stats = self.engine.stats()
        return [
            ("running", "Requests being spoken", stats.running),
            ("queue", "Requests that wait", stats.waiting),
            ("rows", "Sentences whose tokens are made together now", stats.rows),
            ("admitted", "Requests let in and not over", self.admission.total),
            ("voices_loaded", "Voices in memory", len(stats.loaded)),
            ("voices_memory_bytes", "Files of the voices in memory", stats.memory_bytes),
            ("voices", "Voices that can be asked for", len(self.casting.voices.names())),
            ("memory_bytes", "Memory of the process", resident_bytes() or 0),
        ]

    async def close(self) -> None:
        """Lets nobody in any more, waits as long as the operator allows, then ends what is left."""
        self.admission.closed = True
        end = time.monotonic() + self.config.drain_s
        while self.admission.total and time.monotonic() < end:
            await asyncio.sleep(0.05)
        drained = not self.admission.total
        if not drained:
            logger.warning("%d requests are cut off at the end", self.admission.total)
        await asyncio.to_thread(self.engine.close, drain=drained)
        for pool in (self._preparing, self._encoding, self._looking):
            pool.shutdown(wait=False, cancel_futures=True)


def unknown_to(spec: ModelSpec, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Options that mean nothing to a version, of those that were asked for: many clients always send them.

    Guidance of v3 or v4 is not among them unless it is 0: it would change the sound, so it is refused.
    """
    foreign: tuple[str, ...] = ("super_sampling",)  # of v3 with a network that no bundle holds
    if spec.flow is None:
        foreign += ("flow_steps", "guidance")
    elif spec.flow.guidance is None and options.get("guidance") == 0:
        foreign += ("guidance",)
    return tuple(name for name in foreign if options.get(name) is not None and options[name] is not False)


def _close_late(work: Future[Utterance]) -> None:
    if not work.cancelled() and work.exception() is None:
        work.result().close()


def reader_of(synthesizer: Synthesizer, cut: str) -> TextReader:
    """A voice's reader of text that cuts it so."""
    return synthesizer.text if cut == STREAM else synthesizer.open_reader(method=cut)
