"""Kill -9 at random moments, and several writers at once: a bundle is there whole, or the older one, or none.

    python benchmarks/attacks/kill.py [--kills 1000] [--rounds 200] [-o benchmarks/results/NAME.json]
    python benchmarks/attacks/kill.py --files DEMO_FILES [--real-kills 60] [--real-rounds 10]

The first line uses tiny made-up bundles, references and sounds, written as real ones are. The second builds a real
voice from the files of `sovits-export demo-checkpoint --tiny`, which takes seconds each. After each kill, and each
round of writers, what lies there is opened and compared byte by byte. Anything half, a lost file of the user, a
leftover after the next write, and a writer that failed is a defect: it is printed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from results import write_results

from sovits_exporter.building.manifest import GraphRecord
from sovits_exporter.building.request import BundleRequest
from sovits_exporter.building.steps import Steps
from sovits_exporter.building.writer import check_output, write_bundle
from sovits_runtime.audio import Audio
from sovits_runtime.bundle import SCHEMA, Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec
from sovits_runtime.errors import SovitsError
from sovits_runtime.machine.progress import no_progress
from sovits_runtime.speech.reference import Reference

FILES, PARTS = 30, 6
SPEC = GraphSpec(
    "double",
    (TensorSpec("x", "float32", ("n",)),),
    (TensorSpec("y", "float32", ("n",)),),
    (DimRange("n", 1, 2, 4),),
)
MANIFEST = {
    "schema": SCHEMA,
    "golden": {},
    "made_by": {},
    "model": {"version": "v2", "sample_rate": 32000, "symbols": "v2"},
    "sources": {},
    "tolerances": {},
}
HIDDEN = (".part", ".lock", ".old")


def main() -> None:
    options = arguments()
    logging.disable(logging.WARNING)  # that builds wait for each other
    rng = random.Random(options.seed)
    results: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        folder = Path(scratch)
        if options.files is None:
            results["killed builds"] = killed_builds(folder / "a", options.kills, rng)
            results["killed saves"] = killed_saves(folder / "b", options.kills, rng)
            for writers in (2, 3, 5):
                results[f"{writers} builds at once"] = builds_at_once(
                    folder / f"c{writers}", options.rounds, writers
                )
            results["two voices, one new shared folder"] = builds_at_once(
                folder / "d", options.rounds, 2, own=True
            )
        else:
            results["killed real builds"] = killed_real(folder / "e", options.files, options.real_kills, rng)
            results["real builds at once"] = real_at_once(folder / "f", options.files, options.real_rounds)
    print(json_text(results), end="")
    if options.output is not None:
        write_results(options.output, results)
    sys.exit(any(kind.startswith("DEFECT") for counts in results.values() for kind in counts))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--files", type=Path, help="what demo-checkpoint wrote")
    parser.add_argument("--real-kills", type=int, default=60)
    parser.add_argument("--real-rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, help="folder on the disk to try")
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


def write_fake(output: Path, shared: Path, mark: int) -> None:
    """A bundle of `FILES` files that all hold its mark, and `PARTS` parts that voices share."""
    request = BundleRequest(output=output, shared=shared)
    check_output(request)
    with write_bundle(output, shared, Steps(no_progress)) as writer:
        for i in range(FILES):
            name = "double.onnx" if i == 0 else f"{i}.weights"
            (writer.graphs_folder / name).write_bytes(b"%d" % mark * 200)
        record = GraphRecord(file="graphs/double.onnx", weights="graphs/1.weights", spec=SPEC, check={})
        writer.add_graph(record)
        for i in range(PARTS):
            writer.add_shared(f"part{i}", f"part{i}-0123", write_part, source_sha256="")
            shared_graph = dataclasses.replace(SPEC, name=f"shared{i}")
            writer.add_graph(
                dataclasses.replace(record, file="0", weights="1", shared=f"part{i}", spec=shared_graph)
            )
        writer.finish(MANIFEST, None)


def write_part(folder: Path) -> dict[str, object]:
    for i in range(3):
        (folder / str(i)).write_bytes(b"part" * 200)
    return {}


def state_of(output: Path) -> str:
    """Whether a bundle is there, whole, and of one build."""
    if not output.exists() and not output.with_name(f".{output.name}.old").exists():
        return "none"
    try:
        bundle = Bundle.open(output, full=True)
    except SovitsError as error:
        return f"DEFECT: {error}"
    if len(bundle.manifest["files"]) != FILES:
        return f"DEFECT: {len(bundle.manifest['files'])} files"
    marks = {path.read_bytes() for path in (output / "graphs").iterdir()}
    return "whole" if len(marks) == 1 else "DEFECT: of several builds"


def forked(work: Callable[[], None]) -> int:
    """Runs work in a child; its process number."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(f"writer: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    return child


def killed_after(child: int, seconds: float) -> bool:
    """Kills a child at a moment; whether it was still at work."""
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def killed_builds(folder: Path, count: int, rng: random.Random) -> dict[str, int]:
    """Builds over an older bundle in which a user put a file, each killed at a random moment."""
    counts: Counter[str] = Counter()
    output, shared, notes = folder / "voice", folder / "shared", folder / "voice" / "notes.txt"
    start = time.perf_counter()
    write_fake(output, shared, 0)
    longest = 1.2 * (time.perf_counter() - start)
    notes.write_text("mine", encoding="utf-8")
    for mark in range(1, count + 1):
        if mark % 10 == 0:
            shutil.rmtree(shared, ignore_errors=True)
            write_fake(output, shared, mark)
            if left := leftovers(folder):
                counts[f"DEFECT: left {left}"] += 1
        child = forked(partial(write_fake, output, shared, mark))
        counts["killed" if killed_after(child, rng.uniform(0, longest)) else "done before"] += 1
        counts[state_of(output)] += 1
    write_fake(output, shared, 0)
    counts["whole after the next build"] += state_of(output) == "whole"
    counts["kept the user's file" if notes.is_file() else "DEFECT: the user's file is gone"] += 1
    if left := leftovers(folder):
        counts[f"DEFECT: left {left}"] += 1
    return dict(counts)


def killed_saves(folder: Path, count: int, rng: random.Random) -> dict[str, int]:
    """Sounds and references saved over older ones, each killed at a random moment."""
    counts: Counter[str] = Counter()
    folder.mkdir()
    sounds = [Audio(np.full(200_000, value, np.float32), 32000) for value in (0.1, 0.2)]
    contents = {sound.encode() for sound in sounds}
    ids = np.zeros(50, np.int64)
    reference = Reference("x", ids, np.zeros((50, 1024), np.float32), ids, np.zeros((1, 512, 1), np.float32))

    def save(sound: Audio) -> None:
        sound.save(folder / "speech.wav")
        reference.save(folder / "voice.npz")

    start = time.perf_counter()
    save(sounds[0])
    longest = 1.5 * (time.perf_counter() - start)
    for i in range(count):
        child = forked(partial(save, sounds[i % 2]))
        counts["killed" if killed_after(child, rng.uniform(0, longest)) else "done before"] += 1
        good = (folder / "speech.wav").read_bytes() in contents
        try:
            good = good and Reference.load(folder / "voice.npz").key == "x"
        except SovitsError:
            good = False
        counts["whole" if good else "DEFECT: half a file"] += 1
    os.waitpid(forked(lambda: save(sounds[0])), 0)
    if left := leftovers(folder):
        counts[f"DEFECT: left {left}"] += 1
    return dict(counts)


def builds_at_once(folder: Path, rounds: int, writers: int, *, own: bool = False) -> dict[str, int]:
    """Several builds of one voice at once (`own`: of a voice each), all with a shared folder that is not there yet."""
    counts: Counter[str] = Counter()
    for i in range(rounds):
        place = folder / str(i)
        outputs = [place / (f"voice{k}" if own else "voice") for k in range(writers)]
        children = [forked(partial(write_fake, o, place / "shared", k)) for k, o in enumerate(outputs)]
        for child in children:
            counts["done" if os.waitpid(child, 0)[1] == 0 else "DEFECT: a writer failed"] += 1
        for output in set(outputs):
            counts[state_of(output)] += 1
        if left := leftovers(place):
            counts[f"DEFECT: left {left}"] += 1
        shutil.rmtree(place)
    return dict(counts)


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob(".*") if p.suffix in HIDDEN)


def real_build(files: Path, output: Path, *options: str) -> list[str]:
    code = "import sys; from sovits_exporter.cli.main import main; main(sys.argv[1:])"
    return [
        *(sys.executable, "-c", code, "build", "--gpt", str(files / "demo-gpt.ckpt")),
        *("--sovits", str(files / "demo-sovits.pth"), "--hubert", str(files / "chinese-hubert-base")),
        *("-o", str(output), *options),
    ]


def killed_real(folder: Path, files: Path, count: int, rng: random.Random) -> dict[str, int]:
    """Real builds over an older bundle, killed at random moments; every second one starts without shared parts."""
    counts: Counter[str] = Counter()
    output = folder / "voice"
    start = time.perf_counter()
    subprocess.run(
        real_build(files, output), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    longest = time.perf_counter() - start
    for i in range(count):
        options = ["--shared", str(folder / f"shared{i}")] if i % 2 else []
        process = subprocess.Popen(
            real_build(files, output, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0.2, 1.0) * longest)
        process.kill()
        counts["killed" if process.wait() < 0 else "done before"] += 1
        counts[real_state(output, folder)] += 1
    subprocess.run(
        real_build(files, output), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if left := leftovers(folder):
        counts[f"DEFECT: left {left}"] += 1
    return dict(counts)


def real_state(output: Path, folder: Path) -> str:
    places = [folder / "shared", *sorted(folder.glob("shared[0-9]*"))]
    for shared in places:
        try:
            Bundle.open(output, shared=shared, full=True)
        except SovitsError as error:
            problem = str(error)
        else:
            return "whole"
    return f"DEFECT: {problem}"


def real_at_once(folder: Path, files: Path, rounds: int) -> dict[str, int]:
    """Two real builds of one voice, and one of another, at once, with a shared folder that is not there yet."""
    counts: Counter[str] = Counter()
    for i in range(rounds):
        place = folder / str(i)
        outputs = [place / "voice", place / "voice", place / "other"]
        processes = [
            subprocess.Popen(
                real_build(files, o, "--no-verify"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            for o in outputs
        ]
        for process in processes:
            said = process.communicate()[1].decode(errors="replace").strip().splitlines()
            counts[
                "done" if process.returncode == 0 else f"DEFECT: {said[-1] if said else process.returncode}"
            ] += 1
        for output in set(outputs):
            counts[real_state(output, place)] += 1
        if left := leftovers(place):
            counts[f"DEFECT: left {left}"] += 1
        shutil.rmtree(place)
    return dict(counts)


if __name__ == "__main__":
    main()
