"""Whether a bundle opens here, what it lacks, and what it takes on the GPU."""

from __future__ import annotations

from pathlib import Path

from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import BERT, FP16, FP32, HUBERT, SPEAKER, STEP
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.doctor.finding import Finding
from sovits_runtime.doctor.gpu_memory import estimate_memory
from sovits_runtime.errors import SovitsError


def bundle_findings(path: Path, shared: Path | None = None, *, gpu_bytes: int = 0) -> tuple[Finding, ...]:
    """Opens a bundle and its decode graph, names the optional parts that it lacks, and estimates GPU memory.

    Args:
        path: The bundle's folder.
        shared: Folder of shared parts, when not beside it.
        gpu_bytes: Memory of the GPU; 0 when there is none.
    """
    try:
        bundle = Bundle.open(path, shared=shared)
        open_session(
            bundle.graph_path(STEP),
            bundle.graph_spec(STEP),
            options=SessionOptions(prepack=False),
        )
    except SovitsError as error:
        return (Finding("error", "bundle", str(error)),)
    findings = [Finding("ok", "bundle", f"{path}: GPT-SoVITS {bundle.spec.version}, opens and loads")]
    mute = "read reference recordings; it speaks from saved references only"
    parts = {
        HUBERT: (mute, "FOLDER (chinese-hubert-base)"),
        BERT: ("speak Chinese as well as the model could", "FOLDER (chinese-roberta-wwm-ext-large)"),
    }
    if bundle.spec.speaker_network:
        parts[SPEAKER] = (mute, "FILE (pretrained_eres2netv2w24s4ep4.ckpt)")
    for name, (use, value) in parts.items():
        if name not in bundle.graph_names:
            remedy = f"build it again with --{name} {value}; 'sovits-export fetch {bundle.spec.version}' fetches it"
            findings.append(Finding("info", f"bundle, {name}", f"not in it, so it cannot {use}", remedy))
    return (*findings, *(memory_finding(bundle, precision, gpu_bytes) for precision in (FP32, FP16)))


def memory_finding(bundle: Bundle, precision: str, gpu_bytes: int) -> Finding:
    """Estimates what a bundle takes on a GPU, and says where that is more than there is."""
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
