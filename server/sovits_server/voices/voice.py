"""A voice as clients know it: a bundle, recordings to sound like, and how it speaks unless a client says otherwise."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from sovits_runtime import Reference, SpeechOptions, Synthesizer
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.stored_references import DEFAULT
from sovits_runtime.errors import SovitsError
from sovits_server.problems import BadRequestError, FailedError, NotThereError
from sovits_server.voices.names import folded

logger = logging.getLogger(__name__)

SAMPLING = ("top_k", "top_p", "temperature", "repetition_penalty")
DELIVERY = ("seed", "speed", "noise_scale", "pause_s", "flow_steps", "guidance")
Options = Mapping[str, float | int]


@dataclass(frozen=True, kw_only=True)
class VoiceReference:
    """A recording that a voice can sound like.

    Attributes:
        name: By which it is asked for.
        path: The recording.
        text: What is said in it; empty: that is unknown.
        language: Language or mode of the text.
        phones: What is said in it, in place of text.
        emotion: What it sounds like, such as "happy"; asked for like the name.
        gain_db: How much louder speech becomes that sounds like it.
        stored: Whether the bundle itself carries it, ready to speak; `path` is its file of features then.
    """

    name: str
    path: Path
    text: str = ""
    language: str = ""
    phones: tuple[str, ...] = ()
    emotion: str = ""
    gain_db: float = 0.0
    stored: bool = False

    def read(self, synthesizer: Synthesizer) -> Reference:
        """Prepares it, or takes what was prepared before.

        Args:
            synthesizer: The voice's bundle, loaded.

        Raises:
            TextError: There is no transcript and the version cannot do without, or it cannot be read.
            AudioError: The recording is none.
            FailedError: It is gone.
            BundleError: The bundle's own is damaged.
        """
        if self.stored:
            return synthesizer.stored.get(self.name)
        try:
            recording = self.path.read_bytes()  # so that no error names the path
        except OSError as error:
            logger.error("%s: cannot be read (%s)", self.path, error.strerror)
            raise FailedError(f"the recording {self.name!r} of this voice cannot be read") from error
        if self.text:
            return synthesizer.reference_from_text(recording, self.text, language=self.language or "auto")
        return synthesizer.reference(recording, self.phones)


@dataclass(frozen=True, kw_only=True)
class Voice:
    """A voice.

    Attributes:
        name: As it was written; compared without case.
        bundle: Its folder.
        references: The first is the one that is taken where none is asked for.
        language: Of text whose language a client does not say; empty: the client has to, or it is found out.
        gain_db: How much louder it becomes.
        options: What differs from the usual: `SAMPLING` and `DELIVERY`.
        picture: An image file.
        profile: The file that says all this; None: a bundle without one.
    """

    name: str
    bundle: Path
    references: tuple[VoiceReference, ...] = ()
    language: str = ""
    gain_db: float = 0.0
    options: Options = field(default_factory=lambda: MappingProxyType({}))
    picture: Path | None = None
    profile: Path | None = None

    @property
    def emotions(self) -> tuple[str, ...]:
        """Those of its references, each once."""
        return tuple(dict.fromkeys(r.emotion for r in self.references if r.emotion))

    def reference(self, wanted: str = "") -> VoiceReference:
        """The reference of a name or an emotion; without one, the first.

        Args:
            wanted: Compared without case.

        Raises:
            NotThereError: It has no such reference, or none at all.
        """
        if not self.references:
            raise NotThereError(
                f"voice {self.name!r} has no recording to sound like; give one with the request, or add one"
            )
        if not wanted:
            return self.references[0]
        by_emotion = {folded(r.emotion): r for r in reversed(self.references) if r.emotion}
        by_name = {folded(r.name): r for r in self.references}
        if found := (by_emotion | by_name).get(folded(wanted)):
            return found
        known = ", ".join(
            dict.fromkeys(word for r in self.references for word in (r.name, r.emotion) if word)
        )
        raise NotThereError(
            f"voice {self.name!r}: got the reference {wanted[:80]!r}, expected one of {known}"
        )

    def speech_options(self, base: SpeechOptions | None = None) -> SpeechOptions:
        """How it speaks, where a client says nothing.

        Args:
            base: What else applies; None: the usual.

        Raises:
            ShapeError: A value is out of range.
        """
        return with_options(base or SpeechOptions(), self.options)


def with_stored(voice: Voice) -> Voice:
    """Adds the references that the voice's bundle carries, behind those of its profile.

    One whose name the profile has for its own recording is left out. So are those of a bundle that cannot be opened,
    which is said when it is loaded.
    """
    try:
        bundle = Bundle.open(voice.bundle)
    except SovitsError:
        return voice
    taken = {folded(reference.name) for reference in voice.references}
    stored = tuple(
        VoiceReference(
            name=one.name,
            path=bundle.path / one.file,
            text=one.text,
            language=one.language,
            emotion="" if one.name == DEFAULT else one.name,
            stored=True,
        )
        for one in bundle.references
        if folded(one.name) not in taken
    )
    return replace(voice, references=(*voice.references, *stored))


def with_options(base: SpeechOptions, options: Options) -> SpeechOptions:
    """Options with some values of others.

    Args:
        base: What applies where `options` says nothing.
        options: Name -> value.

    Raises:
        BadRequestError: There is no option of that name.
        ShapeError: A value is out of range.
    """
    if unknown := sorted(set(options) - {*SAMPLING, *DELIVERY}):
        raise BadRequestError(
            f"options: got {unknown[0][:80]!r}, expected some of {', '.join((*SAMPLING, *DELIVERY))}"
        )
    sampling = {name: value for name, value in options.items() if name in SAMPLING}
    delivery = {name: value for name, value in options.items() if name in DELIVERY}
    return replace(base, sampling=replace(base.sampling, **sampling), **delivery)  # type: ignore[arg-type]
