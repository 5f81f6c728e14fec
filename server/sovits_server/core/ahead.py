"""What a server needs before anybody asks: its voices, its engine, and a first word, which proves that it can speak.

None of it needs HTTP. So the word is spoken in a thread while the main thread imports all that does.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

from sovits_runtime import EngineLimits, Phrase, SpeechOptions, SpeechRequest
from sovits_runtime.backends.voice import LoadOptions
from sovits_server.config import Config
from sovits_server.core.ask import Whom
from sovits_server.core.casting import Casting
from sovits_server.core.engine import Engine
from sovits_server.problems import ConfigError
from sovits_server.security.places import Places
from sovits_server.voices import Voice, VoiceReference, VoiceStore

WORDS = ("HH", "AH0", "L", "OW1", ".")
"""Phones that every version knows."""
SHORT = SpeechOptions(max_tokens=12, pause_s=0.0, retries=5)


def store_of(config: Config) -> VoiceStore:
    """The voices of a server."""
    return VoiceStore(config.voices, bundles=config.bundles)


def casting_of(config: Config, store: VoiceStore) -> Casting:
    """Finds the voices of a server and its recordings.

    Args:
        config: Of the operator.
        store: From `store_of`.

    Raises:
        ConfigError: A voice is there twice, there is none, or the default voice is not there.
    """
    seen: dict[str, Path] = {}
    for bundle in config.bundles:
        name = bundle.resolve().name.casefold()
        if seen.setdefault(name, bundle) != bundle:
            raise ConfigError(f"bundles: {bundle} and {seen[name]} have one name; rename one of the folders")
    if not store.names():
        raise ConfigError(f"voices: got no voice in {config.voices}; expected folders of exported voices")
    first = config.bundles[0].resolve().name if config.bundles else ""
    fallback = None
    if config.ref is not None:
        fallback = VoiceReference(
            name="default", path=config.ref, text=config.ref_text, language=config.ref_lang
        )
    casting = Casting(
        store,
        Places(_folders(config), config.max_upload_mb << 20),
        default=config.default_voice or first,
        fallback=fallback,
        aliases=dict(alias.partition("=")[::2] for alias in config.alias),
        urls=config.allow_urls,
    )
    try:
        casting.default()
    except Exception as error:
        raise ConfigError(f"default_voice: {error}") from None
    return casting


def _folders(config: Config) -> list[Path]:
    """Where clients may name recordings: the folders allowed, and those of the voices."""
    own = [config.voices] if config.voices is not None else []
    beside = [config.ref.parent] if config.ref is not None and not config.references else []
    return [*config.references, *own, *beside, *config.bundles]


def engine_of(config: Config) -> Engine:
    """The engine of a server; it loads nothing yet."""
    load = LoadOptions(
        device=config.device, backend=config.backend, threads=config.threads, requests=config.at_once
    )
    most = None if config.memory_mb is None else round(config.memory_mb * 1e6)
    return Engine(load, EngineLimits(config.at_once, config.queue, most))


def known(engine: Engine, voice: Voice) -> str:
    """An engine's name of a voice; voices of one bundle share it."""
    name = str(voice.bundle.resolve())
    engine.add_voice(name, voice.bundle)
    return name


def speak_a_word(engine: Engine, casting: Casting) -> None:
    """Says a word with the default voice, for nobody to hear.

    Raises:
        SovitsError: It cannot.
    """
    voice = casting.default()
    name = known(engine, voice)
    with engine.lease(name) as synthesizer:
        part = casting.cast(synthesizer, voice, Whom())
        request = SpeechRequest(
            voice=name, text=[Phrase(WORDS)], reference=part.reference, options=SHORT, priority=1
        )
        for _ in engine.submit(request):
            pass


class Ahead:
    """A server's parts, which begin to speak at once; to be used as a context, which ends them.

    Args:
        config: Of the operator.

    Attributes:
        config: As given.
        store, casting, engine: The parts.
        word: Seconds that a first word took; fails with what it cannot be spoken for.

    Raises:
        ConfigError: A voice is there twice, there is none, or the default voice is not there.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = store_of(config)
        self.casting = casting_of(config, self.store)
        self.engine = engine_of(config)
        self.word: Future[float] = Future()
        self.word.set_running_or_notify_cancel()
        self._thread = threading.Thread(target=self._speak, name="first word")
        self._thread.start()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.close(drain=False)
        self._thread.join()

    def _speak(self) -> None:
        start = time.perf_counter()
        try:
            speak_a_word(self.engine, self.casting)
        except BaseException as error:  # raised again by whoever waits for the word
            self.word.set_exception(error)
        else:
            self.word.set_result(time.perf_counter() - start)
