"""Which libraries are there, work and are new enough, and the pip line for those that are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sovits_runtime.doctor.environment import Environment
from sovits_runtime.doctor.finding import Finding
from sovits_runtime.errors import first_line
from sovits_runtime.machine import installed_versions, version_numbers
from sovits_runtime.machine.no_telemetry import SWITCHES, turned_on
from sovits_runtime.machine.onnx_runtime import (
    GPU_PACKAGE,
    NEW_ENOUGH,
    PACKAGES,
    SCATTER_ONNXRUNTIME,
    is_old,
    too_old,
    upgrade,
)
from sovits_runtime.text.extras import install_line

_BACKEND_EXTRAS = {
    "cpu",
    "openvino",
    "cuda",
    "tensorrt",
    "rtx",
    "rtx-build",
    "convert",
    "export",
    "play",
    "7z",
    "dev",
    "docs",
}


def library_findings(environment: Environment) -> tuple[Finding, ...]:
    """Imports what the base install needs, so that a library that is there but broken is found too."""
    findings = []
    for name in ("numpy", "soundfile", "soxr"):
        try:
            module = environment.load(name)
        except Exception as error:  # a shared library that does not load raises whatever it likes
            findings.append(
                Finding(
                    "error", name, f"cannot be imported: {first_line(error)}", _pip(environment, "", name)
                )
            )
            continue
        native = getattr(module, "__libsndfile_version__", "")
        version = environment.versions.get(name, getattr(module, "__version__", "unknown version"))
        findings.append(Finding("ok", name, version + (f", libsndfile {native}" if native else "")))
    return tuple(findings)


def backend_findings(environment: Environment) -> tuple[Finding, ...]:
    """Examines ONNX Runtime: which packages, whether it imports, and what it runs on."""
    packages = {n: environment.versions[n] for n in PACKAGES if n in environment.versions}
    named = " and ".join(f"{name} {version}" for name, version in packages.items())
    mend = _onnxruntime_remedy(packages)
    try:
        ort = environment.load("onnxruntime")
        providers, version = list(ort.get_available_providers()), str(ort.__version__)
    except Exception as error:  # as above
        text = f"cannot be imported ({first_line(error)}), so no bundle can speak"
        return (Finding("error", "onnxruntime", text, mend),)
    findings = []
    if len(packages) > 1:
        text = (
            f"{named} are installed together; they overwrite each other's files, so which one runs is chance. "
            "The extras [cpu] and [export] bring the one for the CPU"
        )
        findings.append(Finding("warning", "onnxruntime", text, mend))
    if is_old(version):
        return (*findings, Finding("error", "onnxruntime", too_old(version, packages), mend))
    return (
        *findings,
        Finding("ok", "onnxruntime", f"{named or version}, runs on: {', '.join(providers)}"),
        *_form_findings(version, packages),
        Finding("ok", "speak on CPU", "works, provided the bundle opens"),
    )


def _form_findings(version: str, packages: Mapping[str, str]) -> Iterator[Finding]:
    """Says which forms of graphs are taken where an operator of the portable ones is missing."""
    if is_old(version, SCATTER_ONNXRUNTIME):
        text = (
            f"has no TensorScatter, which came with {SCATTER_ONNXRUNTIME}: voices speak in forms of their graphs "
            "without it; to build or convert voices, and for CUDA, a newer one is needed"
        )
        yield Finding("info", "onnxruntime", text, upgrade(packages, SCATTER_ONNXRUNTIME))


def telemetry_finding() -> Finding:
    """Says which libraries could report home, and that they do not."""
    on = [switch.library for switch in turned_on()]
    if on:
        return Finding("info", "telemetry", f"on for {' and '.join(on)}, as you asked; off for all others")
    return Finding("ok", "telemetry", f"off: {', '.join(f'{s.library} ({s.how})' for s in SWITCHES)}")


def export_findings(environment: Environment) -> tuple[Finding, ...]:
    """Says whether checkpoints can be exported, from versions alone: PyTorch takes seconds to import."""
    required, versions = environment.requirements.get("export", {}), environment.versions
    missing = [n for n in required if n not in versions and n != "onnxruntime"]
    old = [
        n for n in required if n in versions and version_numbers(versions[n]) < version_numbers(required[n])
    ]
    if not missing and not old:
        have = ", ".join(f"{n} {versions[n]}" for n in required if n in versions)
        return (Finding("ok", "export", f"works: {have}" if have else "works"),)
    problems = [f"missing: {', '.join(missing)}"] if missing else []
    if old:
        problems.append("too old: " + ", ".join(f"{n} {versions[n]} (at least {required[n]})" for n in old))
    text = f"checkpoints cannot be built into bundles here ({'; '.join(problems)}); speaking does not need it"
    return (Finding("warning", "export", text, _pip(environment, "export", *missing, *old)),)


def language_findings(environment: Environment) -> tuple[Finding, ...]:
    """Lists the extras beside backends (languages, ...) with what they lack."""
    findings = []
    for extra, required in environment.requirements.items():
        if not extra or extra in _BACKEND_EXTRAS or not required:
            continue
        missing = [n for n in required if not installed_versions((n,))]
        text = f"missing: {', '.join(missing)}" if missing else "installed"
        remedy = install_line(extra) if missing else ""
        findings.append(Finding("info" if missing else "ok", f"extra {extra}", text, remedy))
    return tuple(findings)


def _onnxruntime_remedy(packages: Mapping[str, str]) -> str:
    line = upgrade(packages)
    return f"{line} (for the CPU alone: {NEW_ENOUGH})" if GPU_PACKAGE in packages else line


def _pip(environment: Environment, extra: str, *names: str) -> str:
    """The pip line for distributions, with the lowest versions that this project states."""
    least = environment.requirements.get(extra, {})
    requirements = " ".join(f'"{n}>={least[n]}"' if least.get(n, "0") != "0" else f'"{n}"' for n in names)
    return f"pip install {requirements}"
