"""A verification as one self-contained HTML page to read, to look at and to listen to."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import datetime
from html import escape
from pathlib import Path

import numpy as np

from sovits_runtime.audio import Audio
from sovits_runtime.bundle.files import json_text, write_files
from sovits_runtime.drawing.page import facts, machine_facts, page, table, versions_line
from sovits_runtime.drawing.spectrogram_image import spectrogram_svg
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.machine.onnx_runtime import PACKAGES
from sovits_runtime.verify.check import Check, VerifyReport

VERSIONS = ("sovits-export", "numpy", *PACKAGES, "tensorrt")

DESCRIPTIONS = {
    "hubert": "Reference recording to HuBERT features",
    "prompt_tokens": "HuBERT features to the reference's semantic tokens",
    "speaker": "Reference recording to its speaker embedding",
    "reference_style": "Reference recording to its style",
    "sovits_encoder": "Semantic tokens and phones to the state",
    "sovits_flow": "State and noise to the latent",
    "sovits_vocoder": "Latent to waveform",
    "reference mel": "Reference recording to its mel spectrogram",
    "cfm_features": "State to the features of the flow matching",
    "cfm_condition": "Features to the condition of every step",
    "mel_vocoder": "Mel to waveform",
    "teacher-forced logits": "Every step of the GPT, fed PyTorch's tokens",
    "teacher-forced draws": "The token sampled at each of those steps",
    "free run": "The GPT on its own, with PyTorch's noise",
    "waveform": "Tokens to waveform, nothing taken from PyTorch in between",
    "audio SNR": "The same waveform: level of speech over level of error",
    "audio log-mel distance": "The same waveform, as an ear would compare it",
}


def write_verify_report(report: VerifyReport, folder: Path) -> Path:
    """Writes report.html, report.json, expected.wav and actual.wav, whole or not at all.

    Args:
        report: Of `verify_bundle`, on this machine.
        folder: Made if missing; files of an older report are replaced.

    Returns:
        Path of report.html.

    Raises:
        SovitsError: The folder cannot be written.
    """
    machine, versions, written = read_machine(), installed_versions(VERSIONS), _now()
    sounds = {"expected.wav": _wav(report.expected), "actual.wav": _wav(report.actual)}
    values = {
        **report.to_json(),
        "written": written,
        "versions": {"python": machine.python, **versions},
        "machine": machine.to_json(),
    }
    about = {
        "Bundle": report.bundle,
        "Digest": report.digest,
        "Ran on": report.provider,
        **machine_facts(machine),
        "Versions": versions_line({"Python": machine.python, **versions}),
        "Written": written,
    }
    parts = [
        _verdict(report),
        "<h2>Checks</h2>",
        _checks(report),
        "<h2>Listen</h2>",
        _players(report, sounds),
        "<h2>Look</h2>",
        _pictures(report),
        "<h2>Where and with what</h2>",
        facts(about),
    ]
    html = page(f"Verification of {_name(report.bundle)}", "\n".join(parts))
    recordings = {name: sound for name, sound in sounds.items() if sound}
    write_files(
        folder, {**recordings, "report.json": json_text(values).encode(), "report.html": html.encode("utf-8")}
    )
    return folder / "report.html"


def _verdict(report: VerifyReport) -> str:
    passed = sum(c.passed for c in report.checks)
    counts = f"{passed} of {len(report.checks)} checks passed."
    text = (
        "On this machine the bundle gives what PyTorch gave when it was built."
        if report.passed
        else f"First failure: {report.failure()}."
    )
    title = "Verification passed" if report.passed else "Verification failed"
    return (
        f'<div class="verdict {"good" if report.passed else "bad"}"><h1>{title}</h1>'
        f"<p>{escape(_name(report.bundle))}: {escape(text)}</p>"
        f'<p class="soft">{counts}</p></div>'
    )


def _checks(report: VerifyReport) -> str:
    rows = [
        (
            f"{escape(c.name)}<small>{escape(_description(c.name))}</small>",
            _number(c.value),
            f"{'≥' if c.at_least else '≤'} {_number(c.limit)}",
            escape(c.unit),
            _pill(c.passed),
            escape(_headroom(c)) + f"<small>{escape(c.note)}</small>",
        )
        for c in report.checks
    ]
    return table(("Check", "Measured", "Limit", "Unit", "Verdict", "Note"), rows, numbers=(1, 2))


def _description(name: str) -> str:
    if name.startswith("cfm_step"):
        return "One Euler step from noise towards the mel"
    return DESCRIPTIONS.get(name, "")


def _headroom(c: Check) -> str:
    """Says how far a passed check lies from its limit."""
    if not c.passed or not math.isfinite(c.value) or c.limit == 0:
        return ""
    if c.at_least:
        return f"{c.value - c.limit:.0f} {c.unit} to spare"
    return f"{c.limit / c.value:,.0f} times below the limit" if c.value else "exactly equal"


def _players(report: VerifyReport, sounds: Mapping[str, bytes]) -> str:
    titles = {"expected.wav": "PyTorch, when the bundle was built", "actual.wav": "This machine, now"}
    cards = []
    for (name, title), audio in zip(titles.items(), (report.expected, report.actual), strict=True):
        sound = base64.b64encode(sounds[name]).decode()
        player = (
            f'<audio controls preload="metadata" src="data:audio/wav;base64,{sound}"></audio>'
            if sound
            else "<p>No audio was made.</p>"
        )
        length = f"{audio.duration_s:.2f} s, {audio.sample_rate} Hz"
        cards.append(
            f'<div class="card"><p><b>{escape(title)}</b> <span class="soft">{length}</span></p>{player}</div>'
        )
    return f'<div class="pair">{"".join(cards)}</div>'


def _pictures(report: VerifyReport) -> str:
    figures = [
        _spectrogram(report.expected, "PyTorch, when the bundle was built", ""),
        _spectrogram(report.actual, "This machine, now", ""),
    ]
    expected, actual = report.expected.samples, report.actual.samples
    if len(expected) and expected.shape == actual.shape:
        error = Audio(expected - actual, report.expected.sample_rate)
        peak = float(np.abs(error.samples).max())
        level = (
            f"{20 * math.log10(peak):.0f} dB below full scale".replace("-", "") if peak else "exactly zero"
        )
        note = (
            f"Largest difference: {level}. Colours of this picture start at its own strongest point or at -60 dB, "
            "whichever is louder, and span 70 dB."
        )
        figures.append(_spectrogram(error, "Difference of the two waveforms", note))
    return "\n".join(figures)


def _spectrogram(audio: Audio, title: str, note: str) -> str:
    if len(audio.samples) == 0:
        return f"<p>{escape(title)}: no audio was made.</p>"
    caption = f"<figcaption>{escape(note)}</figcaption>" if note else ""
    return f"<figure>{spectrogram_svg(audio, title=title, width=1000, height=260)}{caption}</figure>"


def _pill(passed: bool) -> str:
    return f'<span class="pill {"good" if passed else "bad"}">{"ok" if passed else "failed"}</span>'


def _number(x: float) -> str:
    if not math.isfinite(x):
        return "∞" if x == math.inf else str(x)
    return f"{x:.3g}"


def _name(path: str) -> str:
    return Path(path).name or path


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _wav(audio: Audio) -> bytes:
    return audio.encode("wav") if len(audio.samples) else b""
