"""Does this bundle, on this machine, give what PyTorch gave? Needs no torch.

In order: files, names and shapes of the graphs; every graph on the inputs PyTorch saw; teacher-forced decoding over all
recorded steps; a free run that must choose the same tokens; the whole chain's audio. Each check compares a measured
number with its limit from the manifest, and the verdict is the exit code.
"""

from __future__ import annotations

from collections.abc import Callable

from sovits_runtime.audio import Audio
from sovits_runtime.backends.voice import GptSteps, VocoderEngine
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.arrays import Arrays
from sovits_runtime.bundle.names import FP32
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.verify.check import Check, VerifyReport
from sovits_runtime.verify.exact import Verification
from sovits_runtime.verify.mixed import MixedVerification
from sovits_runtime.verify.recorded import Tolerances, recorded_options, recorded_request
from sovits_runtime.verify.tuned import TunedVerification, tuned_tolerances

__all__ = ["verification_of", "verify_bundle"]


def verify_bundle(
    bundle: Bundle,
    *,
    device: str = "cpu",
    backend: str = "onnxruntime",
    strict: bool = False,
    threads: int | None = None,
    gpt_steps: GptSteps = "auto",
    vocoder_engine: VocoderEngine = "auto",
    plan: str = "auto",
    on_check: Callable[[Check], None] = lambda _: None,
) -> VerifyReport:
    """Verifies a bundle.

    Args:
        bundle: An opened bundle.
        device: Device to verify on.
        backend: What runs the graphs.
        strict: Whether what cannot run as requested is an error.
        threads: Threads within one operator.
        gpt_steps: What runs the GPT's steps; see `LoadOptions`.
        vocoder_engine: What runs the vocoder; see `LoadOptions`.
        plan: What runs each graph; see `LoadOptions`. One that is not exact is judged as a conversion to int8 is.
        on_check: Called with each check as it is done.

    Raises:
        BackendError: The device cannot be used.
        BundleError: What the bundle recorded is damaged.
    """
    golden, options = recorded_request(bundle), recorded_options(bundle)
    checks: list[Check] = []
    with Synthesizer.load(
        bundle,
        device=device,
        backend=backend,
        threads=threads,
        gpt_steps=gpt_steps,
        vocoder_engine=vocoder_engine,
        plan=plan,
        strict=strict,
    ) as voice:
        run = verification_of(voice, golden)
        for check in run.checks(options):
            checks.append(check)
            on_check(check)
        provider = voice.text_to_semantic.step.provider
    rate = bundle.spec.sample_rate
    audio = (Audio(golden["waveform"], rate), Audio(run.waveform, rate))
    return VerifyReport(str(bundle.path), bundle.digest, provider, tuple(checks), *audio)


def verification_of(voice: Synthesizer, golden: Arrays) -> Verification:
    """The checks that suit what a voice computes in."""
    bundle = voice.bundle
    if not voice.describe().get("exact", True):
        return TunedVerification(voice, golden, tuned_tolerances(bundle))
    kind = Verification if bundle.precision == FP32 else MixedVerification
    return kind(voice, golden, Tolerances(bundle))
