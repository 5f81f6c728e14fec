"""What works on this machine, what is missing, and the exact line that mends it.

The GPU is looked at by `sovits_engines.cuda.driver`, which this package may not import: its summary is handed in.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sovits_runtime.machine import Machine, installed_versions, read_machine, version_numbers
from sovits_runtime.machine.cuda_packages import CUDA_PACKAGES, installed_packages
from sovits_runtime.machine.no_telemetry import SWITCHES, turned_on
from sovits_runtime.machine.onnx_runtime import (
    GPU_PACKAGE,
    NEW_ENOUGH,
    PACKAGES,
    import_quietly,
    installed_onnxruntimes,
    is_old,
    too_old,
    upgrade,
)

if TYPE_CHECKING:
    from sovits_runtime.bundle import Bundle

Level = Literal["ok", "info", "warning", "error"]
MIN_PYTHON = (3, 11)
LITTLE_MEMORY = 3 << 30
LIBRARIES = (
    "sovits-export", "numpy", "click", "soundfile", "soxr", "onnxruntime", "onnx", "onnxscript", "safetensors",
    "polygraphy", *CUDA_PACKAGES,
)  # fmt: skip
_DISTRIBUTION = "sovits-export"
_BACKEND_EXTRAS = {"cpu", "cuda", "tensorrt", "rtx", "rtx-build", "export", "dev"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: "error": speaking is impossible until it is mended; "warning": something will be slow or refused.
        topic: A word or two.
        text: What was found.
        remedy: What to do, where something can be done; a command wherever one mends it.
    """

    level: Level
    topic: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class GpuSummary:
    """What was found about GPUs.

    Attributes:
        cuda_ready: Whether driver, CUDA libraries and ONNX Runtime fit together.
        reason: Why, or why not.
        findings: Driver, devices, libraries.
        memory_bytes: Of the first device, which is the one that is used; 0 when there is none.
    """

    cuda_ready: bool = False
    reason: str = "no GPU was looked for"
    findings: tuple[Finding, ...] = ()
    memory_bytes: int = 0


@dataclass(frozen=True)
class Surroundings:
    """Where the doctor looks; tests replace it.

    Attributes:
        machine: This machine.
        versions: Installed distributions, of `library_versions`.
        requirements: Lowest versions by extra ("" is the base install) and distribution.
        load: Imports a module.
    """

    machine: Machine = field(default_factory=read_machine)
    versions: Mapping[str, str] = field(default_factory=lambda: library_versions())
    requirements: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: read_requirements())
    load: Callable[[str], Any] = lambda name: _load(name)


@dataclass(frozen=True)
class Diagnosis:
    """All findings, and what follows from them.

    Attributes:
        findings: In the order they were made.
        can_speak: Whether a bundle can speak here.
        can_export: Whether checkpoints can be built into bundles here.
        device: Device that the doctor would choose.
        threads: Threads that the doctor would choose.
        reason: Why this device and these threads.
    """

    findings: tuple[Finding, ...]
    can_speak: bool
    can_export: bool
    device: str
    threads: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form."""
        return {**asdict(self), "findings": [asdict(f) for f in self.findings]}


def diagnose(
    *,
    surroundings: Surroundings | None = None,
    gpu: GpuSummary | None = None,
    bundle: Path | None = None,
    shared: Path | None = None,
) -> Diagnosis:
    """Examines this machine, and a bundle on it.

    Args:
        surroundings: Where to look; None: here.
        gpu: What was found about GPUs.
        bundle: A bundle that should open here.
        shared: Folder of shared parts, when not beside the bundle.
    """
    from sovits_runtime.doctor.cpu import native_finding
    from sovits_runtime.doctor.text import text_data_findings

    around, gpu = surroundings or Surroundings(), gpu or GpuSummary()
    machine, base = machine_findings(around.machine), library_findings(around)
    backend, export = backend_findings(around), export_findings(around)
    # An error of the machine or of a library of the base install stops everything; one of a backend, only that.
    can_speak = not any(f.level == "error" for f in (*machine, *base, *backend))
    opened = (
        bundle_findings(bundle, shared, gpu_bytes=gpu.memory_bytes)
        if bundle is not None and can_speak
        else ()
    )
    text = (*language_findings(around), *text_data_findings())
    quiet = telemetry_finding()
    findings = (*machine, *base, *backend, quiet, native_finding(), *gpu.findings, *export, *text, *opened)
    device = "cuda" if gpu.cuda_ready and can_speak else "cpu"
    threads = around.machine.usable_cores
    return Diagnosis(
        findings=findings,
        can_speak=can_speak and not any(f.level == "error" for f in opened),
        can_export=can_speak and not any(f.level == "warning" for f in export),
        device=device,
        threads=threads,
        reason=f"{device}: {gpu.reason}; {_threads_reason(around.machine)}",
    )


def machine_findings(m: Machine) -> tuple[Finding, ...]:
    """Judges Python, processor, cores and memory."""
    from sovits_runtime.doctor.cpu import kernel_finding

    found = [_python_finding(m), Finding("ok", "system", m.system)]
    x86 = re.search(r"x86_64|amd64", m.system, re.IGNORECASE) is not None
    features = ", ".join(m.features) or "no vector features known"
    if x86 and "AVX2" not in m.features:
        found.append(
            Finding(
                "warning", "processor", f"{m.cpu}: {features}; without AVX2 speech is several times slower"
            )
        )
    else:
        found.append(Finding("ok", "processor", f"{m.cpu}: {features}"))
    found += [kernel_finding(m), _cores_finding(m)]
    memory = min((b for b in (m.memory_bytes, m.memory_limit_bytes) if b), default=None)
    if memory is None:
        found.append(Finding("info", "memory", "the system does not tell how much there is"))
    else:
        free = f", {m.available_bytes / 2**30:.1f} GiB available" if m.available_bytes else ""
        little = memory < LITTLE_MEMORY
        text = f"{memory / 2**30:.1f} GiB{free}" + ("; a full-size voice needs about 2 GiB" if little else "")
        found.append(Finding("warning" if little else "ok", "memory", text))
    return tuple(found)


def library_findings(around: Surroundings) -> tuple[Finding, ...]:
    """Imports what the base install needs, so that a library that is there but broken is found too."""
    found = []
    for name in ("numpy", "soundfile", "soxr"):
        try:
            module = around.load(name)
        except Exception as error:  # a shared library that does not load raises whatever it likes
            found.append(
                Finding("error", name, f"cannot be imported: {_line(error)}", _pip(around, "", name))
            )
            continue
        native = getattr(module, "__libsndfile_version__", "")
        version = around.versions.get(name, getattr(module, "__version__", "unknown version"))
        found.append(Finding("ok", name, version + (f", libsndfile {native}" if native else "")))
    return tuple(found)


def backend_findings(around: Surroundings) -> tuple[Finding, ...]:
    """Examines ONNX Runtime: which packages, whether it imports, and what it runs on."""
    packages = {n: around.versions[n] for n in PACKAGES if n in around.versions}
    named = " and ".join(f"{name} {version}" for name, version in packages.items())
    mend = _onnxruntime_remedy(packages)
    try:
        ort = around.load("onnxruntime")
        providers, version = list(ort.get_available_providers()), str(ort.__version__)
    except Exception as error:  # as above
        text = f"cannot be imported ({_line(error)}), so no bundle can speak"
        return (Finding("error", "onnxruntime", text, mend),)
    found = []
    if len(packages) > 1:
        text = (
            f"{named} are installed together; they overwrite each other's files, so which one runs is chance. "
            "The extras [cpu] and [export] bring the one for the CPU"
        )
        found.append(Finding("warning", "onnxruntime", text, mend))
    if is_old(version):
        found.append(Finding("error", "onnxruntime", too_old(version, packages), mend))
    else:
        found.append(Finding("ok", "onnxruntime", f"{named or version}, runs on: {', '.join(providers)}"))
    found.append(Finding("ok", "speak on CPU", "works, provided the bundle opens"))
    return tuple(found if found[-2].level != "error" else found[:-1])


def telemetry_finding() -> Finding:
    """Says which libraries could report home, and that they do not."""
    on = [switch.library for switch in turned_on()]
    if on:
        return Finding("info", "telemetry", f"on for {' and '.join(on)}, as you asked; off for all others")
    return Finding("ok", "telemetry", f"off: {', '.join(f'{s.library} ({s.how})' for s in SWITCHES)}")


def export_findings(around: Surroundings) -> tuple[Finding, ...]:
    """Says whether checkpoints can be exported, from versions alone: PyTorch takes seconds to import."""
    wanted = around.requirements.get("export", {})
    missing = [n for n in wanted if n not in around.versions and n != "onnxruntime"]
    old = [
        f"{n} {around.versions[n]} (at least {least})"
        for n, least in wanted.items()
        if n in around.versions and version_numbers(around.versions[n]) < version_numbers(least)
    ]
    if not missing and not old:
        have = ", ".join(f"{n} {around.versions[n]}" for n in wanted if n in around.versions)
        return (Finding("ok", "export", f"works: {have}" if have else "works"),)
    problems = ([f"missing: {', '.join(missing)}"] if missing else []) + (
        [f"too old: {', '.join(old)}"] if old else []
    )
    return (
        Finding(
            "warning",
            "export",
            f"checkpoints cannot be built into bundles here ({'; '.join(problems)}); speaking does not need it",
            _pip(around, "export", *missing, *(o.split()[0] for o in old)),
        ),
    )


def language_findings(around: Surroundings) -> tuple[Finding, ...]:
    """Lists the extras beside backends (languages, ...) with what they lack."""
    from sovits_runtime.text.extras import install_line

    found = []
    for extra, wanted in around.requirements.items():
        if not extra or extra in _BACKEND_EXTRAS or not wanted:
            continue
        missing = [n for n in wanted if not installed_versions((n,))]
        text = f"missing: {', '.join(missing)}" if missing else "installed"
        remedy = install_line(extra) if missing else ""
        found.append(Finding("info" if missing else "ok", f"extra {extra}", text, remedy))
    return tuple(found)


def bundle_findings(path: Path, shared: Path | None = None, *, gpu_bytes: int = 0) -> tuple[Finding, ...]:
    """Opens a bundle and its decode graph, names the optional parts that it lacks, and estimates GPU memory.

    Args:
        path: The bundle's folder.
        shared: Folder of shared parts, when not beside it.
        gpu_bytes: Memory of the GPU; 0 when there is none.
    """
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.bundle.session import SessionOptions, open_session
    from sovits_runtime.errors import SovitsError

    try:
        bundle = Bundle.open(path, shared=shared)
        open_session(
            bundle.graph_path("gpt_step"),
            bundle.graph_spec("gpt_step"),
            options=SessionOptions(prepack=False),
        )
    except SovitsError as error:
        return (Finding("error", "bundle", str(error)),)
    found = [Finding("ok", "bundle", f"{path}: GPT-SoVITS {bundle.spec.version}, opens and loads")]
    mute = "read reference recordings; it speaks from saved references only"
    parts = {
        "hubert": (mute, "FOLDER (chinese-hubert-base)"),
        "bert": ("speak Chinese as well as the model could", "FOLDER (chinese-roberta-wwm-ext-large)"),
    }
    if bundle.spec.speaker_network:
        parts["speaker"] = (mute, "FILE (pretrained_eres2netv2w24s4ep4.ckpt)")
    for name, (use, value) in parts.items():
        if name not in bundle.graph_names:
            remedy = f"build it again with --{name} {value}"
            found.append(Finding("info", f"bundle, {name}", f"not in it, so it cannot {use}", remedy))
    return (*found, *(memory_finding(bundle, precision, gpu_bytes) for precision in ("fp32", "fp16")))


def memory_finding(bundle: Bundle, precision: str, gpu_bytes: int) -> Finding:
    """Estimates what a bundle takes on a GPU, and says where that is more than there is."""
    from sovits_runtime.doctor.gpu_memory import estimate_memory

    estimate = estimate_memory(bundle, precision=precision)
    mib = 2**20
    caches = ", ".join(f"{n} rows {size / mib:.0f} MiB" for n, size in estimate.caches_bytes.items())
    text = (
        f"weights of all engines {estimate.weights_bytes / mib:.0f} MiB, caches of a request {caches}; working memory "
        "of the engines comes on top"
    )
    topic = f"GPU memory, {precision}"
    if gpu_bytes and estimate.total_bytes() > gpu_bytes:
        remedy = "build fewer cache lengths (engine build --cache-size), or use --fp16 or ONNX Runtime"
        return Finding("warning", topic, f"{text}: more than this GPU's {gpu_bytes / mib:.0f} MiB", remedy)
    return Finding("info", topic, text)


def library_versions() -> dict[str, str]:
    """Returns the versions of what is installed of `LIBRARIES` and of the packages that hold ONNX Runtime."""
    others = tuple(name for name in LIBRARIES if name not in PACKAGES)
    return {**installed_packages(others), **installed_onnxruntimes()}


def read_requirements() -> dict[str, dict[str, str]]:
    """Reads this project's own requirements: lowest versions by extra and distribution."""
    try:
        lines = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    return parse_requirements(lines)


def parse_requirements(lines: list[str]) -> dict[str, dict[str, str]]:
    """Parses lines such as `torch>=2.9; extra == "export"`; those for other Pythons are left out."""
    from sovits_runtime.text.extras import is_for_python

    found: dict[str, dict[str, str]] = {}
    for line in filter(is_for_python, lines):
        name = re.match(r"[A-Za-z0-9._-]+", line)
        least = re.search(r">=\s*([0-9][0-9.]*)", line.partition(";")[0])
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        if name and name[0] != _DISTRIBUTION:
            found.setdefault(extra[1] if extra else "", {})[name[0]] = least[1] if least else "0"
    return found


def _python_finding(m: Machine) -> Finding:
    old = version_numbers(m.python) < MIN_PYTHON
    remedy = f"install Python {'.'.join(map(str, MIN_PYTHON))} or newer" if old else ""
    return Finding("error" if old else "ok", "Python", m.python, remedy)


def _cores_finding(m: Machine) -> Finding:
    text = f"{m.usable_cores} usable of {m.logical_cores} logical"
    limits = [f"affinity allows {m.allowed_cores}"] if m.allowed_cores < m.logical_cores else []
    limits += [f"the container allows {m.quota_cores:g}"] if m.quota_cores else []
    text += f" ({', '.join(limits)})" if limits else ""
    text += f"; a voice takes {m.usable_cores} threads unless told otherwise (--threads)"
    return Finding("ok", "cores", text)


def _load(name: str) -> Any:
    return import_quietly() if name == "onnxruntime" else import_module(name)


def _onnxruntime_remedy(packages: Mapping[str, str]) -> str:
    line = upgrade(packages)
    return f"{line} (for the CPU alone: {NEW_ENOUGH})" if GPU_PACKAGE in packages else line


def _threads_reason(m: Machine) -> str:
    if m.quota_cores and m.usable_cores < (m.physical_cores or m.allowed_cores):
        return f"{m.usable_cores} threads: the container's limit"
    return f"{m.usable_cores} threads: the {'physical' if m.physical_cores else 'allowed'} cores"


def _pip(around: Surroundings, extra: str, *names: str) -> str:
    """The pip line for distributions, with the lowest versions that this project states."""
    least = around.requirements.get(extra, {})
    wanted = " ".join(f'"{n}>={least[n]}"' if least.get(n, "0") != "0" else f'"{n}"' for n in names)
    return f"pip install {wanted}"


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
