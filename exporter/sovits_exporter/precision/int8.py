"""An FP32 bundle in, one with int8 or int4 parts out: every choice is measured, and the fastest within limits is taken.

For ONNX Runtime on a CPU; GPUs and TensorRT want FP16. Needs onnx and ONNX Runtime, no torch.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sovits_calibration.observe import Feeds, observe
from sovits_calibration.token_kl import TokenDistance, TokenTimes
from sovits_engines.passes.int8_linear import FORMS
from sovits_exporter.building.golden_steps import record_steps
from sovits_exporter.building.manifest import GraphRecord
from sovits_exporter.building.report import BuildReport
from sovits_exporter.building.request import ConversionRequest
from sovits_exporter.building.steps import Steps
from sovits_exporter.building.writer import GRAPHS as FOLDER
from sovits_exporter.building.writer import BundleWriter, check_output, write_bundle
from sovits_exporter.graphs.device_step import write_device_graph
from sovits_exporter.precision.int8_gpt import GRAPHS, GptChoice, gpt_choices
from sovits_exporter.precision.int8_search import ConvChoice
from sovits_exporter.precision.int8_vocoder import VOCODER, vocoder_choice, write_sovits
from sovits_exporter.precision.limits import Limits
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import temporary_folder
from sovits_runtime.bundle.names import FP32, INT8, PREFILL, STEP
from sovits_runtime.errors import BundleError, VerificationError
from sovits_runtime.machine import read_machine
from sovits_runtime.machine.progress import Progress, no_progress
from sovits_runtime.speech.reference import Recording
from sovits_runtime.verify import verify_bundle
from sovits_runtime.verify.mixed import FP16_TOLERANCES

logger = logging.getLogger(__name__)

AUTO = "auto"
PARTS: Mapping[str, tuple[str, ...]] = {"gpt": (FP32, *FORMS), "sovits": (FP32, INT8)}
"""Part -> what it can be."""
TOKEN_LEAD = 1.0
"""In log p; a token of FP32 that leads by more must stay the best."""
COSINE_MARGIN = 1e-4
"""The cosine of a waveform at the SNR's limit also depends on how error and waveform correlate."""


@dataclass(frozen=True)
class GptMeasurement:
    """A precision of the GPT as it was measured and judged; a row of the manifest.

    Attributes:
        part: "gpt".
        precision: Of the step.
        error: Distance from FP32.
        times: On this machine, all choices taking turns.
        bytes: Of the graphs and their weights.
        within: Whether the error keeps the limits.
        chosen: Whether the bundle has it.
    """

    part: Literal["gpt"]
    precision: str
    error: TokenDistance
    times: TokenTimes
    bytes: int
    within: bool
    chosen: bool

    @classmethod
    def of(cls, choice: GptChoice, limits: Limits, *, chosen: bool) -> GptMeasurement:
        """Judges a choice."""
        within = choice.distance.kl <= limits.kl
        return cls("gpt", choice.precision, choice.distance, choice.times, choice.bytes, within, chosen)

    def to_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class VocoderMeasurement:
    """The vocoder with its best layers in int8, as it was measured and judged; a row of the manifest.

    Attributes:
        layers: The layers, and what they cost and gain.
        chosen: Whether the bundle has it.
    """

    layers: ConvChoice
    chosen: bool

    def to_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return {"part": "sovits", "precision": "int8", "chosen": self.chosen, **self.layers.to_json()}


Measurement = GptMeasurement | VocoderMeasurement


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


def convert_to_int8(
    request: ConversionRequest,
    precisions: Mapping[str, str],
    *,
    limits: Limits | None = None,
    progress: Progress = no_progress,
) -> BuildReport:
    """Measures the choices and writes a bundle. A kill at any moment leaves the old bundle, or none.

    Args:
        request: What to convert.
        precisions: Part -> a precision, or "auto": the fastest within the limits. Parts not named stay FP32.
        limits: What a choice may cost; by default those of `Limits`.
        progress: Called as the work goes on.

    Raises:
        BundleError: The source is not FP32, or the output exists and is not a bundle.
        AudioError: A recording cannot be read or has the wrong length.
        VerificationError: What was asked for costs more than the limits; nothing is written.
    """
    source, limits = request.source, limits or Limits()
    check_output(request)
    if source.precision != FP32:
        raise BundleError(f"{source.path}: is {source.precision}; give the FP32 bundle that it was made of")
    steps = Steps(progress, 3)
    recordings = [Recording(p.name, p.read_bytes()) for p in request.recordings]
    runs = observe(source, recordings, progress=progress)
    with write_bundle(request.output, request.shared_folder, steps) as writer:
        rows: list[Measurement] = []
        if (gpt := precisions.get("gpt", FP32)) != FP32:
            steps.begin("measure the GPT")
            rows += _add_gpt(writer, source, gpt, limits, [*runs[PREFILL], _golden_prefill(source)])
        if (sovits := _vocoder_precision(source, precisions)) != FP32:
            rows += _add_sovits(writer, source, sovits, limits, runs.get(VOCODER, ()), progress)
        steps.begin("copy the other graphs")
        writer.copy_rest(source)
        writer.copy_golden(source)
        writer.add_golden("steps", record_steps(source))
        precision = {
            "from": source.digest,
            "recordings": [p.name for p in request.recordings],
            "machine": read_machine().cpu,
            "limits": dataclasses.asdict(limits),
            "choices": [row.to_json() for row in rows],
        }
        tolerances = _tolerances(source.manifest["tolerances"], limits, rows)
        return writer.finish(
            {**source.manifest, "precision": precision, "tolerances": tolerances},
            verify_bundle if request.verify else None,
        )


def _vocoder_precision(source: Bundle, precisions: Mapping[str, str]) -> str:
    """The precision asked for the vocoder; says where there is none that int8 is for."""
    requested = precisions.get("sovits", FP32)
    if requested != FP32 and VOCODER not in source.graph_names:
        logger.warning(
            "%s: int8 is for the vocoder of v1 to v2ProPlus, %s has another; its sound stays FP32",
            source.path,
            source.spec.version,
        )
        return FP32
    return requested


def _golden_prefill(source: Bundle) -> Feeds:
    g = source.golden("request")
    phones = np.concatenate([g["prompt_phones"], g["phones"]])
    return {"phones": phones[None], "bert": g["bert"][None], "prompt": g["prompt"][None]}


def _add_gpt(
    writer: BundleWriter, source: Bundle, requested: str, limits: Limits, prefills: Sequence[Feeds]
) -> list[GptMeasurement]:
    """Measures the GPT's precisions and adds the one that is taken, unless that is FP32."""
    candidates = [p for p in PARTS["gpt"] if p != FP32 and requested in (AUTO, p)]
    with temporary_folder(writer.output.with_name(f"{writer.output.name}-choices")) as folder:
        measured = gpt_choices(source, candidates, prefills, folder)
        best = choose([choice for choice, _ in measured], requested, limits)
        (written,) = (path for choice, path in measured if choice is best)
        if best.precision != FP32:
            shutil.copytree(written, writer.graphs_folder, dirs_exist_ok=True)
            _add_gpt_graphs(writer, source, best, limits)
    return [GptMeasurement.of(choice, limits, chosen=choice is best) for choice, _ in measured]


def _add_gpt_graphs(writer: BundleWriter, source: Bundle, choice: GptChoice, limits: Limits) -> None:
    """Adds the GPT's graphs; the step is itself the one for a CPU, the prefill has one without caches beside it."""
    for name in GRAPHS:
        record = GraphRecord.from_json(source.manifest["graphs"][name])
        record = dataclasses.replace(record, cpu_file=None, device_file=None, rows_file=None)
        if name == STEP:
            check = {"kl": choice.distance.kl, "limit": limits.kl}
            record = dataclasses.replace(record, precision=choice.precision, check=check)
        else:
            device = write_device_graph(writer.graphs_folder / f"{name}.onnx", record.spec)
            record = dataclasses.replace(record, device_file=f"{FOLDER}/{device.name}")
        writer.add_graph(record)


def _add_sovits(
    writer: BundleWriter,
    source: Bundle,
    requested: str,
    limits: Limits,
    runs: Sequence[Feeds],
    progress: Progress,
) -> list[VocoderMeasurement]:
    """Measures the vocoder's layers in int8 and adds the graphs of SoVITS where some of them pay."""
    choice = vocoder_choice(source, runs, limits, progress=progress)
    chosen = bool(choice.chosen) and (requested != AUTO or choice.seconds_int8 < choice.seconds_fp32)
    if requested != AUTO and not chosen:
        raise VerificationError(
            f"SoVITS in {requested}: no layer of the vocoder is faster in int8 within {limits.snr_db:g} dB and "
            f"{limits.log_mel_db:g} dB; leave it out, or allow more by --min-snr and --max-log-mel"
        )
    if chosen:
        write_sovits(source, choice, writer.graphs_folder)
        record = GraphRecord.from_json(source.manifest["graphs"][VOCODER])
        check = {"snr_db": choice.error.snr_db, "limit": limits.snr_db}
        writer.add_graph(dataclasses.replace(record, precision=INT8, check=check))
    return [VocoderMeasurement(choice, chosen)]


def _tolerances(fp32: Mapping[str, float], limits: Limits, rows: Sequence[Measurement]) -> dict[str, float]:
    """How far the bundle may be from what it is verified against: FP32's tolerances for parts that stay FP32."""
    gpt = any(isinstance(row, GptMeasurement) and row.chosen and row.precision != FP32 for row in rows)
    vocoder = any(isinstance(row, VocoderMeasurement) and row.chosen for row in rows)
    if not gpt and not vocoder:
        return dict(fp32)
    tokens = {**FP16_TOLERANCES, "kl": limits.kl, "token_lead": TOKEN_LEAD}
    if not vocoder:
        return {**tokens, **{k: fp32[k] for k in ("waveform", "snr_db", "log_mel_db")}}
    cosine = 1.0 / math.sqrt(1.0 + 10.0 ** (-limits.snr_db / 10.0))
    sound = {"waveform": 1.0, "snr_db": limits.snr_db, "log_mel_db": limits.log_mel_db}
    return {**tokens, "graph_cosine": cosine - COSINE_MARGIN, **sound}


def choose(choices: Sequence[GptChoice], requested: str, limits: Limits) -> GptChoice:
    """Takes the requested choice, or for "auto" the fastest, within the limits.

    Raises:
        VerificationError: What was asked for costs more than the limits.
    """
    if requested == AUTO:
        return min((c for c in choices if c.distance.kl <= limits.kl), key=lambda c: c.times.step_ms)
    (choice,) = (c for c in choices if c.precision == requested)
    if not choice.distance.kl <= limits.kl:
        raise VerificationError(
            f"the GPT in {requested}: mean KL {choice.distance.kl:.3g} nats a token, allowed {limits.kl:g}; the best "
            f"token is the same in {choice.distance.agreement:.1%}. Choose another precision, or allow more by --max-kl"
        )
    return choice
