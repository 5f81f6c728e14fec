"""An FP32 bundle in, one with int8 or int4 parts out: every choice is measured, and the fastest within limits is taken.

For ONNX Runtime on a CPU; GPUs and TensorRT want FP16. Needs onnx and ONNX Runtime, no torch.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sovits_calibration.observe import Feeds, observe
from sovits_engines.passes.cpu_step import STEP
from sovits_engines.passes.int8_linear import FORMS
from sovits_exporter.building.golden_steps import record_steps
from sovits_exporter.building.lora_base import share_weights
from sovits_exporter.building.manifest import file_records, is_complete, keep_verification, write_json
from sovits_exporter.building.staging import check_output, publish, staging
from sovits_exporter.graphs.device_step import DEVICE_GRAPHS
from sovits_exporter.graphs.files import BASE_SUFFIX
from sovits_exporter.precision.int8_gpt import FULL, GptChoice, gpt_choices
from sovits_exporter.precision.int8_search import ConvLimits
from sovits_exporter.precision.int8_vocoder import VOCODER, vocoder_choice, write_sovits
from sovits_runtime.bundle import (
    CPU_FILE,
    DEVICE_FILE,
    GRAPH_FORMS,
    MANIFEST,
    WEIGHT_FILES,
    Bundle,
    manifest_digest,
)
from sovits_runtime.errors import BundleError, VerificationError
from sovits_runtime.machine import read_machine
from sovits_runtime.speech.reference import Recording
from sovits_runtime.verify import VerifyReport, verify_bundle
from sovits_runtime.verify.mixed import FP16_TOLERANCES

AUTO = "auto"
PARTS: Mapping[str, tuple[str, ...]] = {"gpt": (FULL, *FORMS), "sovits": (FULL, "int8")}
"""Part -> what it can be."""
TOKEN_LEAD = 1.0  # in log p; a token of FP32 that leads by more must stay the best
COSINE_MARGIN = (
    1e-4  # the cosine of a waveform at the SNR's limit also depends on how error and waveform correlate
)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Limits:
    """What a choice may cost.

    Attributes:
        kl: Mean KL divergence of a token's distribution from FP32's, in nats.
        snr_db: Least ratio of the waveform to its error, with the same tokens and noise.
        log_mel_db: Largest mean difference of the log-mel spectrograms.
    """

    kl: float = 0.02
    snr_db: float = 25.0
    log_mel_db: float = 0.5


@dataclass(frozen=True)
class QuantizeRequest:
    """What to quantize.

    Attributes:
        source: An FP32 bundle.
        output: The new bundle's folder; an older bundle there is replaced when the new one is complete.
        precisions: Part -> a precision, or "auto": the fastest within the limits. Parts not named stay FP32.
        limits: What a choice may cost.
        shared: Where parts that voices share are kept; by default `shared` beside the new bundle.
        recordings: Audio files of 3 to 10 s that are spoken with, beside the built-in one.
        verify: Whether to run the whole verification before the bundle takes its place.
    """

    source: Bundle
    output: Path
    precisions: Mapping[str, str]
    limits: Limits = field(default_factory=Limits)
    shared: Path | None = None
    recordings: tuple[Path, ...] = ()
    verify: bool = True


@dataclass(frozen=True)
class QuantizeReport:
    """What was measured and chosen.

    Attributes:
        path: The bundle's folder.
        choices: One a choice that was measured, as in the manifest.
        verification: Of the whole, if it ran.
        seconds: How long it took.
    """

    path: Path
    choices: tuple[Mapping[str, Any], ...]
    verification: VerifyReport | None
    seconds: float


def parse_precisions(text: str) -> dict[str, str]:
    """Reads "int8" (every part that can be) or "gpt=int8,sovits=auto" (others stay FP32).

    Raises:
        ValueError: An unknown part or precision.
    """
    if "=" not in text:
        named = {part: text for part, known in PARTS.items() if text == AUTO or text in known}
        if not named:
            raise ValueError(f"precision {text!r} is unknown; expected {AUTO}, fp16, {_known()}")
        return named
    pairs = dict(item.partition("=")[::2] for item in text.split(","))
    for part, precision in pairs.items():
        if part not in PARTS or precision not in (AUTO, *PARTS[part]):
            raise ValueError(f"{part}={precision}: unknown; expected {AUTO} or {_known()}")
    return pairs


def _known() -> str:
    return "; ".join(f"{part}={'|'.join(known)}" for part, known in PARTS.items())


def quantize(request: QuantizeRequest, progress: Progress = lambda *_: None) -> QuantizeReport:
    """Measures the choices and writes a bundle. A kill at any moment leaves the old bundle, or none.

    Raises:
        BundleError: The source is not FP32, or the output exists and is not a bundle.
        AudioError: A recording cannot be read or has the wrong length.
        VerificationError: What was asked for costs more than the limits; nothing is written.
    """
    start = time.perf_counter()
    source = request.source
    check_output(request.output)
    if source.precision != FULL:
        raise BundleError(f"{source.path}: is {source.precision}; give the FP32 bundle that it was made of")
    recordings = [Recording(p.name, p.read_bytes()) for p in request.recordings]
    runs = observe(source, recordings, progress=progress)
    with staging(request.output) as folder:
        quantizer = _Quantizer(request, folder, progress)
        quantizer.gpt([*runs["gpt_prefill"], _golden_prefill(source)])
        quantizer.sovits(runs.get(VOCODER, ()))
        quantizer.others()
        shutil.copytree(source.path / "golden", folder / "golden")
        np.savez(folder / "golden" / "steps.npz", allow_pickle=False, **record_steps(source))
        quantizer.write_manifest()
        verification = _verify(request, folder) if request.verify else None
        publish(folder, request.output)
    return QuantizeReport(request.output, tuple(quantizer.rows), verification, time.perf_counter() - start)


def _golden_prefill(source: Bundle) -> Feeds:
    g = source.golden("request")
    phones = np.concatenate([g["prompt_phones"], g["phones"]])
    return {"phones": phones[None], "bert": g["bert"][None], "prompt": g["prompt"][None]}


def _verify(request: QuantizeRequest, folder: Path) -> VerifyReport:
    report = dataclasses.replace(
        verify_bundle(Bundle.open(folder, shared=_shared(request))), bundle=str(request.output)
    )
    keep_verification(report, folder)
    return report


def _shared(request: QuantizeRequest) -> Path:
    return request.shared or request.output.parent / "shared"


class _Quantizer:
    """Fills the new bundle's folder and keeps what the manifest needs."""

    def __init__(self, request: QuantizeRequest, folder: Path, progress: Progress) -> None:
        self.request = request
        self.source = request.source
        self.folder = folder
        self.progress = progress
        self.graphs: dict[str, Any] = {name: dict(g) for name, g in self.source.manifest["graphs"].items()}
        self.rows: list[dict[str, Any]] = []
        (folder / "graphs").mkdir()

    def gpt(self, prefills: Sequence[Feeds]) -> None:
        """Measures the GPT's choices and takes one."""
        asked = self.request.precisions.get("gpt", FULL)
        if asked == FULL:
            return
        self.progress("measure the GPT", 0, 3)
        tried = [p for p in PARTS["gpt"] if p != FULL and asked in (AUTO, p)]
        with staging(self.request.output.with_name(f"{self.request.output.name}-choices")) as folder:
            measured = gpt_choices(self.source, tried, prefills, folder)
            taken = choose([c for c, _ in measured], asked, self.request.limits)
            for choice, made in measured:
                self.rows.append(self._row(choice, chosen=choice is taken))
                if choice is taken and choice.precision != FULL:
                    shutil.copytree(made, self.folder / "graphs", dirs_exist_ok=True)
                    self._note_gpt(choice)

    def _row(self, choice: GptChoice, *, chosen: bool) -> dict[str, Any]:
        return {
            "part": "gpt",
            "precision": choice.precision,
            "error": dataclasses.asdict(choice.distance),
            "times": dataclasses.asdict(choice.times),
            "bytes": choice.bytes,
            "within": choice.distance.kl <= self.request.limits.kl,
            "chosen": chosen,
        }

    def _note_gpt(self, choice: GptChoice) -> None:
        for name in DEVICE_GRAPHS:
            self.graphs[name].pop(DEVICE_FILE, None)
        step = self.graphs[STEP]
        step.pop(CPU_FILE, None)
        check = {"kl": choice.distance.kl, "limit": self.request.limits.kl}
        self.graphs[STEP] = {**step, "precision": choice.precision, "check": check}

    def sovits(self, runs: Sequence[Feeds]) -> None:
        """Measures the vocoder's layers and takes those that pay."""
        asked = self.request.precisions.get("sovits", FULL)
        if asked == FULL or VOCODER not in self.graphs:
            return
        limits = ConvLimits(self.request.limits.snr_db, self.request.limits.log_mel_db)
        choice = vocoder_choice(self.source, runs, limits, progress=self.progress)
        chosen = bool(choice.chosen) and (asked != AUTO or choice.seconds_int8 < choice.seconds_fp32)
        self.rows.append({"part": "sovits", "precision": "int8", "chosen": chosen, **choice.to_json()})
        if asked != AUTO and not chosen:
            raise VerificationError(
                f"SoVITS in {asked}: no layer of the vocoder is faster in int8 within {limits.snr_db:g} dB and "
                f"{limits.log_mel_db:g} dB; leave it out, or allow more by --min-snr and --max-log-mel"
            )
        if not chosen:
            return
        write_sovits(self.source, choice, self.folder / "graphs")
        check = {"snr_db": choice.error.snr_db, "limit": limits.snr_db}
        self.graphs[VOCODER] |= {"precision": "int8", "check": check}

    def others(self) -> None:
        """Copies what stays as it is: graphs, and the parts that voices share where they are not there yet."""
        self.progress("copy the other graphs", 1, 3)
        for name in self._files():
            if not (self.folder / name).exists():
                shutil.copy2(self.source.path / name, self.folder / name)
            if name.endswith(BASE_SUFFIX):
                share_weights(self.folder / name, _shared(self.request))
        for part in self.source.manifest["shared"].values():
            target = _shared(self.request) / part["folder"]
            if not is_complete(target):
                assert self.source.shared is not None
                with staging(target) as folder:
                    shutil.copytree(self.source.shared / part["folder"], folder, dirs_exist_ok=True)
                    publish(folder, target)

    def _files(self) -> Iterator[str]:
        for graph in self.graphs.values():
            if graph["shared"] is None:
                yield from (str(graph[key]) for key in (*GRAPH_FORMS, *WEIGHT_FILES) if key in graph)

    def write_manifest(self) -> None:
        """Writes the manifest, the table of choices included."""
        request = self.request
        self.progress("verify", 2, 3)
        manifest = {
            **self.source.manifest,
            "graphs": self.graphs,
            "precision": {
                "from": self.source.digest,
                "recordings": [p.name for p in request.recordings],
                "machine": read_machine().cpu,
                "limits": dataclasses.asdict(request.limits),
                "choices": self.rows,
            },
            "tolerances": self._tolerances(),
            "files": file_records(self.folder),
        }
        manifest["digest"] = manifest_digest(manifest)
        write_json(self.folder / MANIFEST, manifest)

    def _tolerances(self) -> dict[str, float]:
        limits, full = self.request.limits, self.source.manifest["tolerances"]
        if all(graph["precision"] == FULL for graph in self.graphs.values()):
            return dict(full)
        tokens = {**FP16_TOLERANCES, "kl": limits.kl, "token_lead": TOKEN_LEAD}
        if self.graphs.get(VOCODER, {}).get("precision", FULL) == FULL:
            return {**tokens, **{k: full[k] for k in ("waveform", "snr_db", "log_mel_db")}}
        cosine = 1.0 / math.sqrt(1.0 + 10.0 ** (-limits.snr_db / 10.0))
        sound = {"waveform": 1.0, "snr_db": limits.snr_db, "log_mel_db": limits.log_mel_db}
        return {**tokens, "graph_cosine": cosine - COSINE_MARGIN, **sound}


def choose(choices: Sequence[GptChoice], asked: str, limits: Limits) -> GptChoice:
    """Takes the choice that was asked for, or of "auto" the fastest, within the limits.

    Raises:
        VerificationError: What was asked for costs more than the limits.
    """
    if asked == AUTO:
        return min((c for c in choices if c.distance.kl <= limits.kl), key=lambda c: c.times.step_ms)
    (choice,) = (c for c in choices if c.precision == asked)
    if not choice.distance.kl <= limits.kl:
        raise VerificationError(
            f"the GPT in {asked}: mean KL {choice.distance.kl:.3g} nats a token, allowed {limits.kl:g}; the best token "
            f"is the same in {choice.distance.agreement:.1%}. Choose another precision, or allow more by --max-kl"
        )
    return choice
