"""A bundle on request, in a process of its own; a worker of `low_latency.py`."""

from __future__ import annotations

import time

STARTED = time.perf_counter()  # before the imports, which are part of what a user waits for

import argparse  # noqa: E402
import re  # noqa: E402
import threading  # noqa: E402
from collections.abc import Iterator, Mapping  # noqa: E402
from contextlib import closing  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from worker import Run, serve  # noqa: E402

from sovits_runtime import ChunkOptions, SpeechOptions  # noqa: E402
from sovits_runtime.audio import REFERENCE_RATE, Audio  # noqa: E402
from sovits_runtime.bench.runner import ENDLESS, BundleRunner, reference_of  # noqa: E402
from sovits_runtime.bench.workload import Workload  # noqa: E402
from sovits_runtime.bundle import Bundle  # noqa: E402
from sovits_runtime.machine.onnx_runtime import load_onnxruntime  # noqa: E402
from sovits_runtime.speech.reference import Recording  # noqa: E402
from sovits_runtime.speech.types import Phrase, TokenSequence  # noqa: E402

ORT = load_onnxruntime()
PHONES_PER_S = 10
TOKENS_PER_S = 25
SAMPLE_S = 0.01  # of the memory, once its peak is asked for


class BundleRuns:
    """What can be asked of a bundle."""

    def __init__(self, runner: BundleRunner, work: Workload) -> None:
        self.voice = runner.voice
        self.work = work
        self.reference = reference_of(work)
        self._sampled: list[int] = []
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while True:
            self._sampled.append(kilobytes(proc("smaps_rollup"), "Pss"))
            time.sleep(SAMPLE_S)

    def gpt(self, tokens: int) -> dict[str, Any]:
        """Prefill and steps of the workload, from the prepared reference."""
        bert = self.work.bert[len(self.work.prompt_phones) :]
        options = SpeechOptions(ENDLESS, max_tokens=tokens)
        generation = self.voice.tokens(self.work.phones, self.reference, bert=bert, options=options).finish()
        return {"tokens": len(generation.tokens)}

    def sovits(self) -> dict[str, Any]:
        """Encoder, flow and vocoder; the global speaker embedding is part of the prepared reference."""
        utterance = TokenSequence(self.work.tokens, self.work.phones)
        sentence = self.voice.decode(utterance, self.reference, options=SpeechOptions(pause_s=0.0))
        return {"samples": len(sentence.samples)}

    def stream(self, seconds: int) -> dict[str, Any]:
        """A sentence through `Synthesizer.stream`: when each chunk came, and how long it sounds."""
        options = SpeechOptions(ENDLESS, pause_s=0.0, max_tokens=seconds * TOKENS_PER_S)
        start, came_s, sound_s = time.perf_counter(), [], []
        with closing(self.voice.stream([self._phrase(seconds)], self.reference, options=options)) as chunks:
            for chunk in chunks:
                if len(chunk.samples):
                    came_s.append(time.perf_counter() - start)
                    sound_s.append(chunk.duration_s)
        return {"came_s": came_s, "sound_s": sound_s}

    def chunks(self, seconds: int, tokens: int) -> dict[str, Any]:
        """A sentence in chunks of equal length: wall and processor time of each, its tokens and its sound apart."""
        cut = ChunkOptions(first_tokens=tokens, growth=1.0, most_tokens=tokens)
        options = SpeechOptions(ENDLESS, max_tokens=seconds * TOKENS_PER_S)
        phrase = self._phrase(seconds)
        clocked = Clocked(
            iter(self.voice.tokens(phrase.phones, self.reference, bert=phrase.bert, options=options))
        )
        noise = self.voice.decoder_noise(options)
        spoken = self.voice.decoder.stream(
            clocked,
            phrase.phones,
            reference=self.reference,
            options=options,
            chunks=cut,
            noise=noise,
        )
        rows, before = [], clocks()
        for _ in spoken:
            whole = clocks() - before
            rows.append([*clocked.spent, *(whole - clocked.spent)])
            clocked.spent, before = np.zeros(2), clocks()
        names = ("tokens_s", "tokens_cpu_s", "sound_s", "sound_cpu_s")
        return {name: [float(row[i]) for row in rows] for i, name in enumerate(names)}

    def read_reference(self) -> None:
        """Reads a recording, as a first request does: opens HuBERT and the reference encoder and runs them."""
        recording = Recording("recording", Audio(self.work.wave, REFERENCE_RATE).encode())
        encoder = self.voice.reference_encoder
        encoder.encode([recording], self.work.prompt_phones, self.reference.bert, key="")

    def release(self) -> None:
        """Closes the graphs that only read recordings and text."""
        self.voice.release_feature_graphs()

    def memory(self, *, forget_peak: bool = False) -> dict[str, Any]:
        """Memory of this process in bytes; peaks are counted from the last call with `forget_peak`.

        A page that two graphs map counts twice as resident, once as proportional; the latter's peak is sampled.
        """
        status, maps = proc("status"), proc("smaps_rollup")
        kilobytes_by_name = {
            "peak": kilobytes(status, "VmHWM"),
            "resident": kilobytes(status, "VmRSS"),
            "private": kilobytes(maps, "Private_Clean") + kilobytes(maps, "Private_Dirty"),
            "proportional": kilobytes(maps, "Pss"),
            "peak_proportional": max(self._sampled or [kilobytes(maps, "Pss")]),
        }
        if forget_peak:
            self._sampled.clear()
            if not self._sampler.is_alive():
                self._sampler.start()
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return {name: 1024 * value for name, value in kilobytes_by_name.items()}

    def workload(self, path: str) -> None:
        """Writes what baselines read."""
        names = ("bert", "prompt", "prompt_phones", "phones", "tokens", "wave", "ssl")
        arrays = {name: getattr(self.work, name) for name in names} | {"all_phones": self.work.all_phones}
        np.savez(path, allow_pickle=False, **arrays)

    def _phrase(self, seconds: int) -> Phrase:
        count = seconds * PHONES_PER_S
        bert = self.work.bert[len(self.work.prompt_phones) :]
        return Phrase(np.resize(self.work.phones, count), np.resize(bert, (count, bert.shape[1])))


class Clocked(Iterator[int]):
    """Tokens, and the wall and processor seconds that they took since `spent` was last set."""

    def __init__(self, tokens: Iterator[int]) -> None:
        self.tokens = tokens
        self.spent = np.zeros(2)

    def __next__(self) -> int:
        start = clocks()
        try:
            return next(self.tokens)
        finally:
            self.spent = self.spent + clocks() - start


def clocks() -> np.ndarray[Any, Any]:
    return np.array([time.perf_counter(), time.process_time()])


def proc(name: str) -> str:
    return Path("/proc/self", name).read_text(encoding="ascii")


def kilobytes(text: str, field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) if match else 0


def load(options: argparse.Namespace) -> tuple[Mapping[str, Run], Mapping[str, Any]]:
    start = time.perf_counter()
    bundle = Bundle.open(options.bundle)
    runner = BundleRunner(
        bundle,
        device="cpu",
        threads=options.threads,
        gpt_steps=options.gpt_steps,
        vocoder_engine=options.vocoder_engine,
        plan=options.plan,
    )
    loaded = time.perf_counter()
    if wait := getattr(getattr(runner.voice.decoder, "vocoder", None), "wait", None):
        wait()  # windows of OpenVINO open in a thread of their own
    ready = time.perf_counter()
    runs = BundleRuns(runner, runner.workload(options.tokens))
    names = ("gpt", "sovits", "stream", "chunks", "read_reference", "release", "memory", "workload")
    facts = {
        "import_s": start - STARTED,
        "load_s": loaded - start,
        "ready_s": ready - start,
        "runs_on": dict(runner.voice.runs_on),
        "versions": {"onnxruntime": ORT.__version__},
    }
    return {name: getattr(runs, name) for name in names}, facts


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--gpt-steps", choices=("auto", "onnxruntime", "native"), default="auto")
    parser.add_argument("--vocoder-engine", choices=("auto", "onnxruntime", "native"), default="auto")
    parser.add_argument("--plan", default="none")
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    serve(lambda: load(options))
