"""Recordings of the voice, stored in its bundle as features, so that whoever speaks needs nothing else."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sovits_exporter.building.request import ReferenceRequest
from sovits_runtime.audio import check_reference
from sovits_runtime.audio.files import read_audio, read_content
from sovits_runtime.audio.quality import best_part
from sovits_runtime.backends.open import open_voice
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import write_file
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.stored_references import FOLDER, StoredReference, is_name
from sovits_runtime.errors import AudioError, BundleError, TextError
from sovits_runtime.speech.plausible import transcript_warning
from sovits_runtime.speech.reference import Recording, Reference, reference_graphs, reference_key
from sovits_runtime.speech.types import Phrase
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.text.host import likely_language
from sovits_runtime.text.pipeline import TextFrontend

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadReference:
    """A recording that was read and found to be fit.

    Attributes:
        request: What was asked for.
        language: Of its transcript; "" where that is phones, or not there.
        recording: The recording; as a WAV file where silence at its ends was left out.
        suffix: Of its file.
    """

    request: ReferenceRequest
    language: str
    recording: Recording
    suffix: str


def read_references(requests: Sequence[ReferenceRequest], spec: ModelSpec) -> tuple[ReadReference, ...]:
    """Reads recordings and looks at their transcripts, before anything is built, which takes long.

    Raises:
        AudioError: A recording cannot be read, or cannot serve as a reference.
        TextError: A transcript is missing where the version needs one, or cannot be read.
        BundleError: Two references have one name, or a name cannot be one.
    """
    names = [request.name for request in requests]
    for name in names:
        if not is_name(name) or names.count(name) > 1:
            problem = "is given twice" if names.count(name) > 1 else "cannot be a name"
            raise BundleError(f"reference {name!r}: {problem}; expected a word or a few of its own")
    return tuple(_read(request, spec) for request in requests)


def store_references(bundle: Bundle, references: Sequence[ReadReference]) -> list[dict[str, str]]:
    """Writes the features of recordings into a bundle that is being made.

    Args:
        bundle: Whole but for this, in the folder where it is made.
        references: What to store; the first will speak when none is named.

    Returns:
        What its manifest says of them.

    Raises:
        AudioError: The voice cannot be taken from a recording.
        TextError: A transcript cannot be read.
        BundleError: The bundle lacks what reads recordings.
    """
    (bundle.path / FOLDER).mkdir()
    with Synthesizer(open_voice(bundle, LoadOptions())) as voice:
        return [_store(voice, reference, at).to_json() for at, reference in enumerate(references)]


def _read(request: ReferenceRequest, spec: ModelSpec) -> ReadReference:
    said, language = request.text, ""
    if spec.flow and not said and not request.phones:
        raise TextError(
            f"{request.recording}: has no transcript, without which {spec.version} cannot speak; give what is said in "
            "it (--ref-text)"
        )
    if said:
        language = request.language or likely_language(said)
        try:
            TextFrontend(spec.symbols).transcript(said, language)
        except TextError as error:
            raise TextError(f"the transcript of {request.recording}: {error}") from error
    return ReadReference(request, language or request.language or "", *_trimmed(request.recording))


def _trimmed(path: Path) -> tuple[Recording, str]:
    """The recording and its suffix; less silence at its ends where that is long: it would count, and be imitated."""
    name, content = read_content(path)
    samples, rate = read_audio(content, name)
    try:
        part = best_part(samples, rate, keep_words=True)
        spoken = part.of(samples, rate)
        check_reference(spoken, rate)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error
    for note in part.quality.notes:
        log.warning("%s: %s; another recording would make a better reference", path, note)
    if len(spoken) == len(samples):
        return Recording(name, content), path.suffix.lower()
    return Recording(name, _wav(spoken, rate)), ".wav"


def _wav(samples: NDArray[np.float32], rate: int) -> bytes:
    """The samples as a WAV file of 32-bit floats, which loses nothing."""
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="FLOAT")
    return content.getvalue()


def _store(voice: Synthesizer, reference: ReadReference, at: int) -> StoredReference:
    request, folder = reference.request, voice.bundle.path
    phrase = _phrase(voice, reference)
    made = _encode(voice, reference.recording, phrase)
    name = f"{FOLDER}/{at}"
    made.save(folder / f"{name}.npz")
    if request.keep_clip:
        with write_file(folder / f"{name}{reference.suffix}") as out:
            out.write(reference.recording.content)
    return StoredReference(
        name=request.name,
        file=f"{name}.npz",
        key=made.key,
        text=request.text or "",
        language=reference.language,
        clip=f"{name}{reference.suffix}" if request.keep_clip else None,
    )


def _phrase(voice: Synthesizer, reference: ReadReference) -> Phrase:
    request = reference.request
    if not request.text:
        return Phrase(request.phones)
    return voice.text.transcript(request.text, reference.language)


def _encode(voice: Synthesizer, recording: Recording, phrase: Phrase) -> Reference:
    ids = voice.phone_ids(phrase.phones) if len(phrase.phones) else np.zeros(0, np.int64)
    bert = voice.bert_or_zeros(ids, phrase.bert)
    key = reference_key([recording], ids, bert, reference_graphs(voice.bundle))
    made = voice.reference_encoder.encode([recording], ids, bert, key=key)
    if warning := transcript_warning(ids, len(made.prompt), voice.spec.symbols):
        log.warning("%s: %s", recording.name, warning)
    return made
