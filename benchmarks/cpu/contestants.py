"""Who takes part in `low_latency.py`: bundles and baselines, started with a given number of threads."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from contestant_process import Contestant

from sovits_runtime.bundle import Bundle

HERE = Path(__file__).parent
ORIGINAL, GENIE, LITE, EAGER = "original", "Genie-TTS", "GSV-TTS-Lite", "eager"
RIVALS = (ORIGINAL, GENIE, LITE)


class Contestants:
    """Bundles and baselines.

    Args:
        options: The command line of `low_latency.py`.
        folder: For logs, the workload and the baselines' own files.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.bundles = _labelled([Bundle.open(path) for path in options.bundles])
        self.plans = dict.fromkeys(self.bundles, "none")
        for plan in options.plans:
            self.plans |= {f"{name}, {plan}": plan for name in self.bundles}
        self.bundles |= {f"{name}, {plan}": b for plan in options.plans for name, b in self.bundles.items()}
        self.without_native = {}
        if options.compare_native:
            self.without_native = {
                f"{name}, no native kernels": b
                for name, b in self.bundles.items()
                if self.plans[name] == "none"
            }
            self.bundles |= self.without_native
            self.plans |= dict.fromkeys(self.without_native, "none")
        self.pair = _pair(str(options.checkpoints)) if options.checkpoints else ()
        self._versions: dict[str, Any] = {}

    def describe(self) -> dict[str, Any]:
        """Returns what each bundle is."""
        return {
            name: {
                "folder": b.path.name,
                "digest": b.digest,
                "model": dict(b.manifest["model"]),
                "precision": {graph: known["precision"] for graph, known in b.manifest["graphs"].items()},
            }
            for name, b in self.bundles.items()
        }

    def baselines(self) -> dict[str, Any]:
        """Returns what is known of the baselines that ran."""
        return self._versions

    def bundle(self, name: str, threads: int) -> Contestant:
        """Starts one bundle."""
        print(f"  starting {name}, {threads} thread{'s' if threads > 1 else ''}", flush=True)
        command = [sys.executable, HERE / "bundle_worker.py", self.bundles[name].path.resolve()]
        numbers = ["--threads", str(threads), "--tokens", str(self.options.tokens)]
        graphs = ["--gpt-steps", "onnxruntime", "--vocoder-engine", "onnxruntime"]
        kernels = graphs if name in self.without_native else []
        plan = ["--plan", self.plans[name]]
        return Contestant(name, [*command, *numbers, *kernels, *plan], folder=self.folder)

    @contextmanager
    def started(self, threads: int, *, baselines: bool = False) -> Iterator[list[Contestant]]:
        """Starts everybody, and ends them with the block."""
        with ExitStack() as stack:
            started: list[Contestant] = []
            for name in self.bundles:
                started.append(self.bundle(name, threads))
                stack.callback(started[-1].close)
            if baselines:
                workload = self.folder / "workload.npz"
                started[0].run("workload", path=str(workload))
                for name, command in self._baseline_commands(workload, threads):
                    print(f"  starting {name}, {threads} thread{'s' if threads > 1 else ''}", flush=True)
                    started.append(Contestant(name, command, folder=self.folder))
                    stack.callback(started[-1].close)
                    self._versions[name] = {**started[-1].ready["versions"], **self._commit(name)}
            yield started

    def _baseline_commands(self, workload: Path, threads: int) -> Iterator[tuple[str, list[str | Path]]]:
        o = self.options
        if not self.pair:
            return
        common = ["--gpt", self.pair[0], "--sovits", self.pair[1], "--threads", str(threads)]
        arguments = [*common, "--workload", workload]
        if o.original:
            worker = HERE / "original_worker.py"
            yield ORIGINAL, [o.original_python, worker, "--original", o.original, *arguments]
        if o.genie:
            model = o.genie_model or self.folder / "genie-model"
            worker = HERE / "genie_worker.py"
            yield GENIE, [o.genie_python, worker, "--genie", o.genie, "--converted", model, *arguments]
        if o.lite:
            yield LITE, [o.lite_python, HERE / "lite_worker.py", "--lite", o.lite, *arguments]
        if o.eager:
            yield EAGER, [sys.executable, HERE / "eager_worker.py", *common, "--tokens", str(o.tokens)]

    def _commit(self, name: str) -> dict[str, str]:
        o = self.options
        checkout = {ORIGINAL: o.original, GENIE: o.genie, LITE: o.lite}.get(name)
        if checkout is None:
            return {}
        command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
        return {"commit": done.stdout.strip() or "unknown"}


def _pair(place: str) -> tuple[Path, ...]:
    from sovits_exporter.eager.baseline import find_pair  # with PyTorch, which bundles alone need not

    return tuple(path.resolve() for path in find_pair(place))


def _labelled(bundles: list[Bundle]) -> dict[str, Bundle]:
    labels = [_label(bundle) for bundle in bundles]
    twice = {label for label, count in Counter(labels).items() if count > 1}
    return {
        f"{label} ({b.path.name})" if label in twice else label: b
        for label, b in zip(labels, bundles, strict=True)
    }


def _label(bundle: Bundle) -> str:
    graphs = bundle.manifest["graphs"]
    gpt, vocoder = graphs["gpt_step"]["precision"], graphs["sovits_vocoder"]["precision"]
    return f"ours {gpt}" if gpt == vocoder else f"ours {gpt}, vocoder {vocoder}"
