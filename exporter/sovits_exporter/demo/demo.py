"""Writes demo voices, official files, so that the whole chain runs offline.

One has deterministic weights: what it says is not speech, but every file is laid out and as large as a real one. The
other is small and trained (`tools/demo_voice`): it speaks household English.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovits_exporter.checkpoint.speaker import OFFICIAL as SPEAKER
from sovits_exporter.checkpoint.vocoder import BIGVGAN_FOLDER, HIFIGAN_FILE
from sovits_exporter.demo.audio import speech_like
from sovits_exporter.demo.configs import vocoder_config
from sovits_exporter.demo.trained import unpack_voice
from sovits_exporter.demo.writers import (
    write_bert,
    write_gpt,
    write_hubert,
    write_json,
    write_lora,
    write_sovits,
    write_speaker,
    write_vocoder,
    write_wav,
)
from sovits_runtime.bundle.files import write_into
from sovits_runtime.bundle.model_spec import MODEL_SPECS, model_spec
from sovits_runtime.errors import CheckpointError
from sovits_runtime.machine.progress import Progress, no_progress

GPT, SOVITS, BASE = "demo-gpt.ckpt", "demo-sovits.pth", "demo-base.pth"
VOCODERS = {"bigvgan": BIGVGAN_FOLDER, "hifigan": HIFIGAN_FILE}
HUBERT, BERT = "chinese-hubert-base", "chinese-roberta-wwm-ext-large"
REFERENCE_WAV, REFERENCE, TARGET = "reference.wav", "reference.json", "target.json"

LANGUAGE = "en"
REFERENCE_TEXT = "The river runs slowly past the old stone mill, and the light is soft this evening."
REFERENCE_PHONES = (
    "DH AH0 R IH1 V ER0 R AH1 N Z S L OW1 L IY0 P AE1 S T DH AH0 OW1 L D S T OW1 N M IH1 L , "
    "AH0 N D DH AH0 L AY1 T IH1 Z S AO1 F T DH IH1 S IY1 V N IH0 NG ."
)
TARGET_TEXT = "Hello there. This voice was made on one small machine, and it speaks without a network."
TARGET_PHONES = (
    "HH AH0 L OW1 DH EH1 R . DH IH1 S V OY1 S W AA1 Z M EY1 D AA1 N W AH1 N S M AO1 L M AH0 SH IY1 N , "
    "AH0 N D IH1 T S P IY1 K S W IH0 TH AW1 T AH0 N EH1 T W ER2 K ."
)


@dataclass(frozen=True)
class DemoFiles:
    """Where the parts of a demo voice lie.

    Attributes:
        gpt: GPT checkpoint.
        sovits: SoVITS checkpoint.
        reference_wav: Reference recording: about 5 s, 32 kHz, mono, 16 bit.
        reference: JSON with language, text and phones of the recording.
        target: JSON with language, text and phones of something to say.
        hubert: Folder of the speech encoder, if it was requested.
        bert: Folder of the text encoder, if it was requested.
        speaker: File of the speaker network, if the version has one.
        vocoder: File or folder of the vocoder, if the version has one of its own.
        base: The complete model, if the SoVITS checkpoint is a LoRA fine-tune.
    """

    gpt: Path
    sovits: Path
    reference_wav: Path
    reference: Path
    target: Path
    hubert: Path | None = None
    bert: Path | None = None
    speaker: Path | None = None
    vocoder: Path | None = None
    base: Path | None = None


def write_demo_checkpoint(
    folder: str | Path,
    *,
    version: str = "v2",
    tiny: bool = False,
    seed: int = 0,
    hubert: bool = True,
    bert: bool = False,
    speaker: bool = True,
    lora: bool = False,
    progress: Progress = no_progress,
) -> DemoFiles:
    """Writes a demo voice; the same arguments give the same bytes.

    Args:
        folder: Where to; made if missing. None of the files may exist in it.
        version: Model version.
        tiny: Cuts all models down to a few layers; widths that the graphs' contract fixes stay.
        seed: Selects the weights.
        hubert: Whether to write the speech encoder.
        bert: Whether to write the text encoder, which only Chinese needs.
        speaker: Whether to write the speaker network, where the version has one.
        lora: Whether the SoVITS checkpoint is a LoRA fine-tune, with its base beside it; v3 to v5 only.
        progress: Called with the name of a file, how many of its weights are made, and how many it has.

    Raises:
        CheckpointError: The version has no demo, a file exists already, or the folder cannot be written.
    """
    folder = Path(folder)
    jobs = _jobs(version, tiny=tiny, seed=seed, hubert=hubert, bert=bert, progress=progress)
    if speaker and model_spec(version).speaker_network:
        jobs[SPEAKER] = _speaker_job(tiny=tiny, seed=seed, progress=progress)
    jobs |= _flow_jobs(version, tiny=tiny, seed=seed, lora=lora, progress=progress)
    with _partial(folder, list(jobs)) as partial:
        for name, write in jobs.items():
            write(partial / name)
    return DemoFiles(
        gpt=folder / GPT,
        sovits=folder / SOVITS,
        reference_wav=folder / REFERENCE_WAV,
        reference=folder / REFERENCE,
        target=folder / TARGET,
        hubert=folder / HUBERT if hubert else None,
        bert=folder / BERT if bert else None,
        speaker=folder / SPEAKER if SPEAKER in jobs else None,
        vocoder=next((folder / name for name in VOCODERS.values() if name in jobs), None),
        base=folder / BASE if lora else None,
    )


def write_demo_voice(folder: str | Path, *, progress: Progress = no_progress) -> DemoFiles:
    """Writes the small trained voice: a v2 pair, a speech encoder, a reference recording and something to say.

    Args:
        folder: Where to; made if missing. None of the files may exist in it.
        progress: Called with the name of a file, how many of its bytes are written, and how many it has.

    Raises:
        CheckpointError: A file exists already, the folder cannot be written, or the packed voice is damaged.
    """
    folder = Path(folder)
    names = [GPT, SOVITS, REFERENCE_WAV, REFERENCE, TARGET, HUBERT]
    with _partial(folder, names) as partial:
        unpack_voice(partial, progress)
    return DemoFiles(*(folder / name for name in names))


@contextmanager
def _partial(folder: Path, names: list[str]) -> Iterator[Path]:
    """Yields a folder to write `names` in; they move to `folder` when all are there, and none stays otherwise."""
    try:
        _refuse_existing(folder, names)
        with write_into(folder, names) as part:
            yield part
    except OSError as e:
        raise CheckpointError(f"{folder}: the demo cannot be written ({e}); choose another folder") from e


def _jobs(
    version: str, *, tiny: bool, seed: int, hubert: bool, bert: bool, progress: Progress
) -> dict[str, Callable[[Path], None]]:
    """Returns what is to be written, by name, and how."""

    def weights(name: str) -> dict[str, Any]:
        return {"tiny": tiny, "seed": seed, "report": _reporter(name, progress)}

    jobs: dict[str, Callable[[Path], None]] = {
        GPT: lambda path: write_gpt(path, version, **weights(GPT)),
        SOVITS: lambda path: write_sovits(path, version, **weights(SOVITS)),
        REFERENCE_WAV: lambda path: write_wav(path, speech_like(REFERENCE_PHONES.split(), seed=seed)),
        REFERENCE: lambda path: write_json(path, _sentence(REFERENCE_TEXT, REFERENCE_PHONES)),
        TARGET: lambda path: write_json(path, _sentence(TARGET_TEXT, TARGET_PHONES)),
    }
    if hubert:
        jobs[HUBERT] = lambda path: write_hubert(path, **weights(HUBERT))
    if bert:
        jobs[BERT] = lambda path: write_bert(path, **weights(BERT))
    return jobs


def _speaker_job(*, tiny: bool, seed: int, progress: Progress) -> Callable[[Path], None]:
    report = _reporter(SPEAKER, progress)
    return lambda path: write_speaker(path, tiny=tiny, seed=seed, report=report)


def _flow_jobs(
    version: str, *, tiny: bool, seed: int, lora: bool, progress: Progress
) -> dict[str, Callable[[Path], None]]:
    """Vocoder, and base and LoRA in place of the complete checkpoint, where the version has them."""
    flow = model_spec(version).flow
    if flow is None:
        if lora:
            works = " and ".join(v for v, spec in MODEL_SPECS.items() if spec.flow)
            raise CheckpointError(
                f"there is no LoRA of version {version}, expected {works}; leave --lora out"
            )
        return {}

    def weights(name: str) -> dict[str, Any]:
        return {"tiny": tiny, "seed": seed, "report": _reporter(name, progress)}

    name, config = VOCODERS[flow.vocoder], vocoder_config(flow.vocoder, tiny=tiny)
    report = _reporter(name, progress)
    jobs: dict[str, Callable[[Path], None]] = {
        name: lambda path: write_vocoder(path, config, seed=seed, report=report)
    }
    if lora:
        jobs[BASE] = lambda path: write_sovits(path, version, **weights(BASE))
        jobs[SOVITS] = lambda path: write_lora(path, version, **weights(SOVITS))
    return jobs


def _reporter(name: str, progress: Progress) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        progress(name, done, total)

    return report


def _sentence(text: str, phones: str) -> dict[str, Any]:
    return {"language": LANGUAGE, "text": text, "phones": phones.split()}


def _refuse_existing(folder: Path, names: list[str]) -> None:
    for name in names:
        if os.path.lexists(folder / name):
            raise CheckpointError(
                f"{folder / name} exists already, expected a folder without it; "
                "delete it or choose another folder"
            )
