"""The voice to clone: recording and transcript, turned into model input once, saved and reused."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import check_reference, hubert_wave, reference_wave, speaker_wave
from sovits_runtime.audio.fbank import fbank
from sovits_runtime.audio.files import read_audio
from sovits_runtime.audio.mel import reference_mel
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.feature_cache import reference_cache
from sovits_runtime.bundle.files import write_file
from sovits_runtime.bundle.model_spec import MODEL_SPECS, FlowSpec, ModelSpec
from sovits_runtime.bundle.names import HUBERT, PROMPT_TOKENS, REFERENCE_STYLE, SPEAKER
from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import AudioError, BundleError, ShapeError, TextError, first_line
from sovits_runtime.speech.array_file import ArrayLimit, read_arrays

FORMAT = 3
REMEMBERED = 32
"""References that are kept in memory."""
MAX_SYMBOLS = max(spec.n_symbols for spec in MODEL_SPECS.values())
ARRAYS = {
    "phones": ArrayLimit("int64", (1024,)),
    "bert": ArrayLimit("float32", (1024, 4096)),
    "prompt": ArrayLimit("int64", (512,)),
    "style": ArrayLimit("float32", (1, 8192, 1)),
    "mel": ArrayLimit("float32", (512, 4096)),
}
"""Of a reference: types, and sizes that no recording of 10 s comes near."""
LIMITS = {**ARRAYS, "format": ArrayLimit("int64", ()), "key": ArrayLimit("U", ())}
"""Of its file."""
NEEDS_TRANSCRIPT = (
    "v3 to v5 speak on from the words of the reference, but this reference has no transcript; give what is said in "
    "the recording, as text or phones"
)


@dataclass(frozen=True, eq=False)
class Reference:
    """Everything about a reference voice that synthesis needs.

    Attributes:
        key: Digest of what it was made from: recordings, transcript, and the graphs that read them.
        phones: int64 [T], of the transcript; empty when there is none.
        bert: float32 [T, 1024].
        prompt: int64 [P], semantic tokens of the recording; empty when there is no transcript.
        style: float32 [1, gin, 1], the global speaker embedding `ge`.
        mel: float32 [bands, frames], ln of magnitudes, where the version speaks from it; else None.
    """

    key: str
    phones: NDArray[np.int64]
    bert: NDArray[np.float32]
    prompt: NDArray[np.int64]
    style: NDArray[np.float32]
    mel: NDArray[np.float32] | None = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an `.npz` file, whole or not at all."""
        arrays = {name: getattr(self, name) for name in ("phones", "bert", "prompt", "style")}
        if self.mel is not None:
            arrays["mel"] = self.mel
        with write_file(Path(path)) as out:
            np.savez(out, allow_pickle=False, format=np.int64(FORMAT), key=np.array(self.key), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Reference:
        """Reads what `save` wrote.

        Raises:
            BundleError: The file is damaged or of another format.
        """
        try:
            arrays = read_arrays(Path(path), LIMITS, optional=frozenset({"mel"}))
            saved = int(arrays.pop("format"))
            reference = cls(str(arrays.pop("key")), **arrays) if saved == FORMAT else None
            if reference is not None:
                reference.check()
        except (OSError, ValueError) as error:
            raise BundleError(
                f"{path}: not a saved reference ({first_line(error)}); make it again with 'reference'"
            ) from error
        if reference is None:
            raise BundleError(f"{path}: reference format {saved}, expected {FORMAT}; make it again")
        return reference

    def check(self) -> None:
        """Looks at types, shapes and numbers, as far as they are the same for all voices.

        Raises:
            ShapeError: One is not what the attributes say, or holds NaN or infinity.
        """
        for name, limit in ARRAYS.items():
            array = getattr(self, name)
            if array is None and name == "mel":
                continue
            try:
                limit.check(name, array.dtype, array.shape)
            except (AttributeError, ValueError) as error:
                raise ShapeError(f"reference, {first_line(error)}") from error
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ShapeError(f"reference, {name}: got NaN or infinity, expected finite numbers")
        _check_ids("phones", self.phones, MAX_SYMBOLS)
        _check_ids("prompt", self.prompt, ModelSpec.codebook_size)
        if len(self.bert) != len(self.phones):
            raise ShapeError(f"reference, bert: got {len(self.bert)} rows for {len(self.phones)} phones")
        if self.style.shape[::2] != (1, 1):
            raise ShapeError(f"reference, style: got {list(self.style.shape)}, expected [1, width, 1]")

    def check_phones(self, n_symbols: int) -> None:
        """Raises ShapeError where a phone is none of `n_symbols`: the reference is of another version."""
        _check_ids("phones", self.phones, n_symbols)


def _check_ids(name: str, ids: NDArray[np.int64], count: int) -> None:
    if len(ids) and not (ids.min() >= 0 and ids.max() < count):
        raise ShapeError(
            f"reference, {name}: got ids {ids.min()} to {ids.max()}, expected 0 to {count - 1}; it is damaged or was "
            "made for another version: make it again with this bundle"
        )


@dataclass(frozen=True)
class Recording:
    """Content of an audio file, and what messages call it."""

    name: str
    content: bytes = field(repr=False)


def reference_key(
    recordings: Sequence[Recording], phones: NDArray[np.int64], bert: NDArray[np.float32], graphs: str
) -> str:
    """Digest of all that a reference depends on; `graphs` names the graphs by content, and how they are fed."""
    digest = hashlib.sha256(f"{FORMAT}:{graphs}:{len(recordings)}".encode())
    for part in (*(r.content for r in recordings), phones.tobytes(), bert.tobytes()):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:32]


def reference_graphs(bundle: Bundle) -> str:
    """The graphs of a bundle that read recordings, by content, as `reference_key` wants them."""
    names = (PROMPT_TOKENS, REFERENCE_STYLE, HUBERT, SPEAKER)
    return "".join(bundle.graph_digest(name) for name in names if name in bundle.graph_names)


class ReferenceStore:
    """Prepared references of one bundle, by content.

    The latest are in memory. All of them are in the bundle's `references/` or, where that cannot be written, in the
    user's cache folder (`$SOVITS_EXPORT_CACHE`).
    """

    def __init__(self, bundle: Bundle) -> None:
        self._files = reference_cache(bundle.path)
        self._graphs = reference_graphs(bundle)
        self._remembered: dict[str, Reference] = {}
        self._lock = threading.Lock()  # of what is remembered, while nothing is computed

    def get(
        self,
        recordings: Sequence[Recording],
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        *,
        encoder: Callable[[], ReferenceEncoder],
        official: bool = False,
    ) -> Reference:
        """Returns the reference of a recording and its transcript, made where it is not there.

        Args:
            recordings: As in `ReferenceEncoder.encode`.
            phones: int64 [T] of the transcript.
            bert: float32 [T, 1024].
            encoder: Opens the graphs that make it.
            official: As in `ReferenceEncoder.encode`.

        Raises:
            AudioError: As `ReferenceEncoder.encode`.
            TextError: As `ReferenceEncoder.encode`.
        """
        key = reference_key(recordings, phones, bert, f"{self._graphs}{':official' if official else ''}")
        with self._lock:
            reference = self._remembered.pop(key, None)
        if reference is None:
            reference = self._files.get(
                key,
                load=lambda path: _load_keyed(path, key),
                make=lambda: encoder().encode(recordings, phones, bert, key=key, official=official),
                save=lambda reference, path: reference.save(path),
            )
        with self._lock:
            self._remembered[key] = reference  # now the most recent one
            while len(self._remembered) > REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
        return reference


def _load_keyed(path: Path, key: str) -> Reference:
    reference = Reference.load(path)
    if reference.key != key:
        raise BundleError(f"it holds the reference {reference.key}")
    return reference


class ReferenceEncoder:
    """The graphs that read a recording, each callable alone."""

    def __init__(
        self,
        hubert: Session | None,
        prompt_tokens: Session,
        *,
        style: Session,
        speaker: Session | None,
        flow: FlowSpec | None = None,
    ) -> None:
        self.hubert = hubert
        self.prompt_tokens = prompt_tokens
        self.style = style
        self.speaker = speaker
        self.flow = flow

    def ssl(self, samples: NDArray[np.float32], rate: int, *, official: bool = False) -> NDArray[np.float32]:
        """Recording [n] or [n, channels] to HuBERT features float32 [1, frames, 768]; see `hubert_wave`.

        Raises:
            BundleError: The bundle has no HuBERT.
        """
        if self.hubert is None:
            raise BundleError(
                "this bundle holds no HuBERT graph, so it cannot read a recording; build it with --hubert FOLDER "
                "(chinese-hubert-base), or use a saved reference"
            )
        return self.hubert.run({"wave": hubert_wave(samples, rate, official=official)[None]})["ssl"]

    def tokens(self, ssl: NDArray[np.float32]) -> NDArray[np.int64]:
        """HuBERT features [1, frames, 768] to semantic tokens int64 [frames // 2]."""
        tokens: NDArray[np.int64] = self.prompt_tokens.run({"ssl": ssl})["tokens"][0]
        return tokens

    @property
    def needs_speaker(self) -> bool:
        """Whether the global speaker embedding depends on that of the speaker network."""
        return "speaker" in self.style.spec.input_names

    def speaker_of(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """Recording [n] or [n, channels] to its speaker embedding float32 [1, 20480].

        Raises:
            BundleError: The bundle has no speaker network.
        """
        if self.speaker is None:
            raise BundleError(
                "this bundle holds no speaker network, so it cannot read a recording; build it with --speaker FILE "
                "(pretrained_eres2netv2w24s4ep4.ckpt), or use a saved reference"
            )
        return self.speaker.run({"features": fbank(speaker_wave(samples, rate))[None]})["speaker"]

    def style_of(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """Recording [n] or [n, channels] to its global speaker embedding float32 [1, gin, 1].

        Raises:
            BundleError: The version needs a speaker network and the bundle has none.
        """
        feeds = {"wave": reference_wave(samples, rate)[None]}
        if self.needs_speaker:
            feeds["speaker"] = self.speaker_of(samples, rate)
        return self.style.run(feeds)["style"]

    def encode(
        self,
        recordings: Sequence[Recording],
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        *,
        key: str,
        official: bool = False,
    ) -> Reference:
        """Makes a reference.

        Args:
            recordings: Audio files; the first has the transcript, global speaker embeddings are averaged over all.
            phones: int64 [T] of the transcript; empty: no prompt, only the global speaker embedding.
            bert: float32 [T, 1024].
            key: From `reference_key`.
            official: Resample the recording for HuBERT as the original does, see `hubert_wave`.

        Raises:
            AudioError: A recording cannot be read or is too long, or the first is not 3 to 10 s long.
            TextError: No transcript, and the version cannot do without.
        """
        if self.flow is not None and len(phones) == 0:
            raise TextError(NEEDS_TRANSCRIPT)
        if not recordings:
            raise AudioError("no reference recording given; expected at least one audio file of 3 to 10 s")
        waves = [read_audio(r.content, r.name) for r in recordings]
        prompt = np.zeros(0, np.int64)
        if len(phones):
            check_reference(*waves[0])
            prompt = self.tokens(self.ssl(*waves[0], official=official))
        style: NDArray[np.float32] = np.stack([self.style_of(*w) for w in waves]).mean(axis=0)
        mel = None if self.flow is None else reference_mel(*waves[0], flow=self.flow)
        reference = Reference(key, phones, bert, prompt, style, mel)
        try:
            reference.check()
        except ShapeError as error:
            raise AudioError(
                f"{recordings[0].name}: the voice cannot be taken from it ({error}); use another recording"
            ) from error
        return reference
