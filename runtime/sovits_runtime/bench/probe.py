"""Run as a program: loads a bundle in a fresh process, speaks once, and prints what that took as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import cast

from sovits_runtime.backends.voice import GptSteps, VocoderEngine
from sovits_runtime.bench.result import ProcessFacts
from sovits_runtime.bench.workload import TOKENS
from sovits_runtime.bundle import Bundle
from sovits_runtime.machine.process_memory import peak_memory_bytes, resident_bytes


def measure(started: float, load: Callable[[], Callable[[], object]]) -> ProcessFacts:
    """Times loading and the first utterance of this process; call it when everything is imported.

    Args:
        started: When the parent started this process, as `time.time()`.
        load: Makes the voice ready and returns the call that speaks.
    """
    imported = time.time() - started
    start = time.perf_counter()
    speak = load()
    loaded = time.perf_counter()
    speak()
    spoken = time.perf_counter()
    return ProcessFacts(
        import_s=imported,
        load_s=loaded - start,
        utterance_s=spoken - loaded,
        peak_bytes=peak_memory_bytes(),
        private_bytes=resident_bytes(private=True),
    )


def print_facts(facts: ProcessFacts) -> None:
    """Prints the facts as the last line of output, where `bench` reads them."""
    sys.stdout.write(json.dumps(asdict(facts)) + "\n")


def main(arguments: Sequence[str]) -> None:
    """Measures a bundle.

    Args:
        arguments: Folder, device, backend, threads, gpt_steps, vocoder_engine, plan, shared folder (or nothing), time
            of the start.
    """
    from sovits_runtime.bench.runner import BundleRunner, reference_of, speak
    from sovits_runtime.machine.onnx_runtime import load_onnxruntime

    load_onnxruntime()

    path, device, backend, threads, gpt_steps, vocoder_engine, plan, shared, started = arguments

    def load() -> Callable[[], object]:
        bundle = Bundle.open(path, shared=shared or None)
        runner = BundleRunner(
            bundle,
            device=device,
            backend=backend,
            threads=int(threads),
            gpt_steps=cast(GptSteps, gpt_steps),
            vocoder_engine=cast(VocoderEngine, vocoder_engine),
            plan=plan,
        )
        work = runner.workload(TOKENS)
        return lambda: speak(runner.voice, work, reference_of(work))

    print_facts(measure(float(started), load))


if __name__ == "__main__":
    main(sys.argv[1:])
