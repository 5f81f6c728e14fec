"""A folder of voices: profiles and bundles, read again when they change, changed from here whole or not at all."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sovits_runtime.bundle.file_lock import locked
from sovits_runtime.bundle.files import write_file
from sovits_runtime.errors import SovitsError
from sovits_server.problems import BadRequestError, ConfigError, NotThereError
from sovits_server.voices.names import check_name, folded
from sovits_server.voices.profile_file import MOST_REFERENCES, SUFFIXES, read_profile, write_profile
from sovits_server.voices.recording import choose_part, require_transcript, transcript_needed
from sovits_server.voices.voice import Voice, VoiceReference, with_stored

logger = logging.getLogger(__name__)

RECORDINGS = ".references"
"""What the name of the folder of a voice's recordings ends with."""
_LOCK = ".voices.lock"

Seen = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Added:
    """A reference that was added.

    Attributes:
        voice: As it is now.
        reference: What was added.
        said: In one line, which part was kept, why, and what a listener should know.
    """

    voice: Voice
    reference: VoiceReference
    said: str


class VoiceStore:
    """Voices by name. Safe to use from several threads; several processes may change one folder.

    `NAME.toml` is a profile, `NAME.references/` holds its recordings, and a bundle without a profile is a voice too.

    Args:
        folder: Holds profiles and bundles; None: there are only `bundles`.
        bundles: Further bundles, each a voice of the name of its folder.
    """

    def __init__(self, folder: Path | None, *, bundles: Sequence[Path] = ()) -> None:
        self.folder = folder
        self._bundles = tuple(bundles)
        self._lock = threading.RLock()
        self._seen: Seen | None = None
        self._voices: dict[str, Voice] = {}
        self._problems: dict[str, str] = {}
        self._generation = 0

    @property
    def generation(self) -> int:
        """Counts how often the voices have changed; the first reading makes it 1."""
        self._refresh()
        return self._generation

    def names(self) -> tuple[str, ...]:
        """Names of all voices that can be used, sorted without case."""
        return tuple(voice.name for voice in self.voices())

    def voices(self) -> tuple[Voice, ...]:
        """All voices that can be used, sorted by name."""
        voices = self._refresh()[0]
        return tuple(voices[key] for key in sorted(voices))

    def problems(self) -> Mapping[str, str]:
        """Name of a voice that cannot be used -> what is wrong with its profile; names files of this machine."""
        return dict(self._refresh()[1])

    def get(self, name: str) -> Voice:
        """Returns a voice.

        Args:
            name: Compared without case.

        Raises:
            NotThereError: There is no such voice, or its profile cannot be used.
        """
        voices, problems = self._refresh()
        found = voices.get(folded(name))
        if found is not None:
            return found
        if folded(name) in problems:
            raise NotThereError(
                f"the profile of voice {name[:80]!r} cannot be used; the server's log says why"
            )
        known = ", ".join(voice.name for _, voice in sorted(voices.items())[:20]) or "none"
        raise NotThereError(f"there is no voice {name[:80]!r}; there are: {known}", param="voice")

    def add(self, voice: Voice) -> Voice:
        """Writes the profile of a new voice, or of a bundle that had none.

        Args:
            voice: Without `profile`; its bundle exists.

        Returns:
            The voice as it is read back.

        Raises:
            BadRequestError: The name cannot be, or there is such a voice.
            ConfigError: The profile makes no sense.
        """
        folder, name = self._writable(), check_name(voice.name)
        with self._changing():
            there = self._voices.get(folded(name))
            if there is not None and there.profile is not None:
                raise BadRequestError(
                    f"name: there is a voice {there.name!r} already; choose another", param="name"
                )
            return self._write(replace(voice, name=name, profile=folder / f"{name}.toml"))

    def add_reference(
        self,
        name: str,
        recording: bytes,
        *,
        text: str = "",
        language: str = "",
        phones: Sequence[str] = (),
        emotion: str = "",
        reference_name: str = "",
        gain_db: float = 0.0,
        file_name: str = "recording",
    ) -> Added:
        """Adds a recording of any length to a voice; its best 3 to 10 s are kept.

        Args:
            name: The voice; one without a profile gets one.
            recording: An audio file.
            text: What is said in it.
            language: Language or mode of the text.
            phones: What is said in it, in place of text.
            emotion: What it sounds like.
            reference_name: What it is to be called; empty: the emotion, else "default".
            gain_db: How much louder speech becomes that sounds like it.
            file_name: What messages call the recording.

        Raises:
            NotThereError: There is no such voice.
            BadRequestError: There is such a reference, or the voice's version needs words that were not given.
            AudioError: The recording cannot serve.
        """
        folder, chosen = self._writable(), choose_part(recording, file_name)
        notes: tuple[str, ...] = (chosen.said,)
        if chosen.cut and (text or phones):
            text, phones = "", ()
            notes += (
                "the words given are those of the whole, so they were left out; give those of this part",
            )
        with self._changing():
            voice = self.get(name)
            if not text and not phones and (version := transcript_needed(voice.bundle)):
                raise require_transcript(version, chosen)
            called = self._free_name(voice, reference_name or emotion)
            path = folder / f"{voice.name}{RECORDINGS}" / f"{called}.wav"
            reference = VoiceReference(
                name=called,
                path=path,
                text=text.strip(),
                language=language,
                phones=tuple(phones),
                emotion=emotion.strip(),
                gain_db=gain_db,
            )
            path.parent.mkdir(exist_ok=True)
            with write_file(path, sync=True) as file:
                file.write(chosen.wav)
            profile = voice.profile or folder / f"{voice.name}.toml"
            try:
                written = self._write(
                    replace(voice, references=(*voice.references, reference), profile=profile)
                )
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return Added(voice=written, reference=written.reference(called), said="; ".join(notes))

    def remove_reference(self, name: str, reference_name: str) -> Voice:
        """Removes a reference, and its recording where that lies in the voice's own folder.

        Raises:
            NotThereError: There is no such voice or reference.
        """
        self._writable()
        with self._changing():
            voice = self.get(name)
            gone = voice.reference(reference_name)
            if gone.stored:
                raise BadRequestError(
                    f"reference: {gone.name!r} lies in the bundle of voice {voice.name!r}, which is not changed here; "
                    "build the bundle again without it",
                    param="reference",
                )
            left = tuple(r for r in voice.references if r is not gone)
            written = self._write(replace(voice, references=left))
            self._unlink_own(voice, (gone,))
            return written

    def remove(self, name: str) -> Voice:
        """Removes a voice's profile and recordings; its bundle stays.

        Returns:
            The voice as it was.

        Raises:
            NotThereError: There is no such voice.
            BadRequestError: It has no profile: it is a bundle, which is not removed here.
        """
        self._writable()
        with self._changing():
            voice = self.get(name)
            if voice.profile is None:
                raise BadRequestError(
                    f"name: {voice.name!r} is a bundle without a profile; remove its folder to be rid of it",
                    param="name",
                )
            voice.profile.unlink()
            self._unlink_own(voice, voice.references)
            return voice

    def _writable(self) -> Path:
        if self.folder is None:
            raise BadRequestError("there is no folder of voices here, so none can be added or removed")
        return self.folder

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds off other threads and processes, and reads what they wrote meanwhile."""
        folder = self._writable()
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock, locked(folder / _LOCK):
            self._refresh()
            yield
            self._refresh()

    def _write(self, voice: Voice) -> Voice:
        """Writes a profile and reads it back; what cannot be read is not left there."""
        assert voice.profile is not None
        before = voice.profile.read_bytes() if voice.profile.exists() else None
        write_profile(voice, voice.profile)
        try:
            return with_stored(read_profile(voice.profile))
        except ConfigError:
            if before is None:
                voice.profile.unlink()
            else:
                voice.profile.write_bytes(before)
            raise

    def _free_name(self, voice: Voice, wanted: str) -> str:
        taken = {folded(reference.name) for reference in voice.references}
        if len(taken) >= MOST_REFERENCES:
            raise BadRequestError(f"references: got one more than {MOST_REFERENCES}; remove some first")
        called = check_name(wanted.strip() or "default", what="reference")
        if folded(called) in taken:
            raise BadRequestError(
                f"reference: voice {voice.name!r} has one called {called!r} already; choose another name",
                param="reference",
            )
        return called

    def _unlink_own(self, voice: Voice, references: Sequence[VoiceReference]) -> None:
        own = self._writable() / f"{voice.name}{RECORDINGS}"
        for reference in references:
            if reference.path.parent.resolve() == own.resolve():
                reference.path.unlink(missing_ok=True)
        if own.is_dir() and not any(own.iterdir()):
            own.rmdir()

    def _refresh(self) -> tuple[dict[str, Voice], dict[str, str]]:
        with self._lock:
            seen = self._look()
            if seen != self._seen:
                self._voices, problems = self._read(seen)
                for name, problem in problems.items():
                    if self._problems.get(name) != problem:
                        logger.warning("%s", problem)
                self._problems, self._seen = problems, seen
                self._generation += 1
            return self._voices, self._problems

    def _look(self) -> Seen:
        """What lies in the folder, with all that tells whether it has changed."""
        if self.folder is None:
            return ()
        found = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    manifest = os.path.join(entry.path, "manifest.json") if entry.is_dir() else entry.path
                    if entry.is_dir() or entry.name.endswith(SUFFIXES):
                        found.append(_seen(entry.name, manifest))
        except FileNotFoundError:
            return ()
        return tuple(sorted(entry for entry in found if entry is not None))

    def _read(self, seen: Seen) -> tuple[dict[str, Voice], dict[str, str]]:
        voices: dict[str, Voice] = {}
        problems: dict[str, str] = {}
        profiles = [name for name, *_ in seen if name.endswith(SUFFIXES)]
        folder = self.folder or Path()
        for name in profiles:
            path = folder / name
            try:
                if not path.is_file():
                    continue
                voice = read_profile(path)
                if folded(voice.name) in voices:
                    raise ConfigError(
                        f"{path}: name: there is a voice {voice.name!r} already; change one of them"
                    )
                voices[folded(voice.name)] = voice
            except SovitsError as error:
                problems[folded(path.stem)] = str(error)
        used = {voice.bundle.resolve() for voice in voices.values()}
        plain = [folder / name for name, *_ in seen if (folder / name / "manifest.json").is_file()]
        for bundle in (*plain, *self._bundles):
            key = folded(bundle.name)
            if bundle.resolve() not in used and key not in voices and key not in problems:
                voices[key] = Voice(
                    name=bundle.resolve().name if not bundle.name else bundle.name, bundle=bundle
                )
        return {key: with_stored(voice) for key, voice in voices.items()}, problems


def _seen(name: str, path: str) -> tuple[str, int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return name, found.st_mtime_ns, found.st_size, found.st_ino
