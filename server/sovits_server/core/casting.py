"""Whose voice a request is spoken in, and from which recording."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from sovits_runtime import Reference, Synthesizer
from sovits_server.core.ask import Whom
from sovits_server.problems import BadRequestError, ForbiddenError, NotThereError
from sovits_server.security.fetching import fetch, is_address
from sovits_server.security.places import Places
from sovits_server.voices import Voice, VoiceReference
from sovits_server.voices.recording import choose_part

OPENAI_VOICES = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"),
    *("marin", "nova", "onyx", "sage", "shimmer", "verse"),
)
REMEMBERED = 64
NO_ADDRESSES = "recordings by address are not allowed here (the operator can allow it: --allow-urls)"
_MARKED = re.compile(r"^\s*[\[【(（][^\]】)）]*[\]】)）]\s*")
"""An emotion in front of a name, as clients write it."""
_SUFFIX = re.compile(r"\.(wav|mp3|flac|ogg|m4a)$", re.IGNORECASE)


class Voices(Protocol):
    """Where voices are found by name."""

    def names(self) -> tuple[str, ...]:
        """All of them."""

    def get(self, name: str) -> Voice:
        """The one of a name, whatever its case.

        Raises:
            NotThereError: There is none.
        """


@dataclass(frozen=True)
class Part:
    """What was cast.

    Attributes:
        voice: Who speaks.
        reference: As whom.
        key: What the reference is, for caches.
        gain_db: How much louder it becomes.
        note: What to tell about the recording, if anything.
    """

    voice: Voice
    reference: Reference
    key: str
    gain_db: float
    note: str = ""


class Casting:
    """Finds voices and recordings. Safe to use from several threads.

    Args:
        voices: All there are.
        default: Who speaks where nobody is named; empty: the first.
        places: Where clients may name recordings.
        fallback: For voices whose profile brings no recording.
        aliases: Other names of voices.
        urls: Whether recordings may be named by address.
    """

    def __init__(
        self,
        voices: Voices,
        places: Places,
        *,
        default: str = "",
        fallback: VoiceReference | None = None,
        aliases: Mapping[str, str] = MappingProxyType({}),
        urls: bool = False,
    ) -> None:
        self.voices = voices
        self.places = places
        self._default = default
        self._fallback = fallback
        self._aliases = {name.casefold(): voice for name, voice in aliases.items()}
        self._urls = urls
        self._lock = threading.Lock()
        self._prepared: OrderedDict[tuple[str, str], Reference] = OrderedDict()

    def default(self) -> Voice:
        """Who speaks where nobody is named.

        Raises:
            NotThereError: There is no voice at all.
        """
        names = self.voices.names()
        if not names:
            raise NotThereError("this server has no voice", param="voice")
        return self.voices.get(self._default or names[0])

    def voice_of(self, whom: Whom) -> Voice:
        """The voice that a request means.

        Raises:
            NotThereError: There is none of that name, where the request insists.
        """
        by_path = self._named_by_path(whom.path)
        if by_path is not None:
            return by_path
        name = whom.voice.strip()
        if not name:
            return self.default()
        found = self.find(name)
        if found is not None:
            return found
        if whom.strict:
            known = ", ".join(self.voices.names()[:20])
            raise NotThereError(f"there is no voice {name[:80]!r}; there are {known}", param="voice")
        return self.default()

    def find(self, name: str) -> Voice | None:
        """The voice of a name, or of another name that it has; None where there is none."""
        for candidate in (name, self._aliases.get(name.casefold(), ""), _MARKED.sub("", name)):
            if candidate:
                try:
                    return self.voices.get(candidate)
                except NotThereError:
                    continue
        return None

    def _named_by_path(self, path: str) -> Voice | None:
        """A voice whose name stands where a recording is asked for: `./somewhere/NAME.wav`, or NAME alone."""
        if not path or is_address(path):
            return None
        stem = _SUFFIX.sub("", re.split(r"[\\/]", path.strip())[-1])
        return self.find(stem) if stem else None

    def cast(self, synthesizer: Synthesizer, voice: Voice, whom: Whom) -> Part:
        """Prepares whom a voice sounds like.

        Args:
            synthesizer: The voice's bundle, open.
            voice: From `voice_of`.
            whom: What was asked for.

        Raises:
            SovitsError: There is no such recording, or it cannot be used.
        """
        if whom.path and self._named_by_path(whom.path) is None:
            return self._recording(synthesizer, voice, whom)
        own = self._own(voice, whom)
        key = reference_key(own)
        gain = voice.gain_db + own.gain_db
        return Part(voice, self._remember(synthesizer, key, lambda: own.read(synthesizer)), key, gain)

    def _own(self, voice: Voice, whom: Whom) -> VoiceReference:
        """A voice's own reference, or the operator's, which goes before those that the bundle carries."""
        emotion, insists = whom.emotion, bool(whom.emotion) and whom.insist
        if not emotion and whom.path and (marked := _MARKED.match(re.split(r"[\\/]", whom.path)[-1])):
            emotion = marked[0].strip()[1:-1]
        if emotion and voice.references:
            try:
                return voice.reference(emotion)
            except NotThereError:
                if insists:
                    raise
        given = next((r for r in voice.references if not r.stored), self._fallback)
        own = given or next(iter(voice.references), None)
        if own is None:
            raise BadRequestError(
                f"voice {voice.name!r} has no recording to sound like; the server's operator gives one with "
                "--ref WAV --ref-text TEXT --ref-lang LANG, or name one in the request",
                param="voice",
            )
        return own

    def own_key(self, voice: Voice, whom: Whom) -> str | None:
        """Of a voice's own reference, what it is, without opening the voice; None where it is a client's."""
        if whom.path and self._named_by_path(whom.path) is None:
            return None
        return reference_key(self._own(voice, whom))

    def _recording(self, synthesizer: Synthesizer, voice: Voice, whom: Whom) -> Part:
        """A recording that a client names, of any length."""
        first, *more = [self._content(path) for path in (whom.path, *whom.more)]
        needs_words = synthesizer.spec.flow is not None
        digest = hashlib.sha256(b"\0".join(hashlib.sha256(content).digest() for _, content in (first, *more)))
        digest.update(f"\0{whom.words}\0{whom.language}".encode())
        key = f"client:{digest.hexdigest()}"
        name, content = first
        chosen = choose_part(content, name)
        words, note = whom.words, chosen.said if chosen.cut else ""
        if chosen.cut and words:
            if needs_words:
                raise BadRequestError(
                    f"recording {name[:80]!r}: {chosen.of_s:.1f} s long; this voice needs one of 3 to 10 s with its "
                    "words, so cut it, and its words as well",
                    param="ref_audio_path",
                )
            words, note = "", f"{note}; its words are left out, as they are those of the whole"

        def read() -> Reference:
            others = [content for _, content in more]
            if words:
                return synthesizer.reference_from_text(
                    chosen.wav, words, language=whom.language or "auto", more_recordings=others
                )
            return synthesizer.reference(chosen.wav, more_recordings=others)

        return Part(voice, self._remember(synthesizer, key, read), key, voice.gain_db, note)

    def check_recording(self, asked: str) -> None:
        """Looks whether a recording that a client names can be had; what an address gives is not fetched yet.

        Raises:
            Problem: It cannot.
        """
        if not is_address(asked):
            self.places.find(asked)
        elif not self._urls:
            raise ForbiddenError(NO_ADDRESSES, param="ref_audio_path")

    def _content(self, asked: str) -> tuple[str, bytes]:
        """Name and bytes of a recording."""
        if is_address(asked):
            if not self._urls:
                raise ForbiddenError(NO_ADDRESSES, param="ref_audio_path")
            return asked.rsplit("/", 1)[-1][:80] or "recording", fetch(asked.strip(), self.places.most_bytes)
        path = self.places.find(asked)
        return path.name, path.read_bytes()

    def _remember(self, synthesizer: Synthesizer, key: str, read: Callable[[], Reference]) -> Reference:
        at = (str(synthesizer.bundle.path), key)
        with self._lock:
            found = self._prepared.get(at)
            if found is not None:
                self._prepared.move_to_end(at)
                return found
        made = read()
        with self._lock:
            self._prepared[at] = made
            while len(self._prepared) > REMEMBERED:
                self._prepared.popitem(last=False)
        return made


def reference_key(reference: VoiceReference) -> str:
    """What a voice's reference is, as long as its file does not change."""
    try:
        state = reference.path.stat()
        when = f"{state.st_mtime_ns}:{state.st_size}"
    except OSError:
        when = "gone"
    spoken = (reference.text, reference.language, *reference.phones)
    parts = (str(reference.path), when, str(reference.gain_db), *spoken)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def bundle_key(bundle: Path) -> str:
    """What a bundle is, by its manifest, which names every file with its digest."""
    try:
        return hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    except OSError:
        return ""
