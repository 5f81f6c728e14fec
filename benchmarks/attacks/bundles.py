"""Bundles of strangers: manifests of the right digest and wrong content, hostile files, records and links.

    python benchmarks/attacks/bundles.py BUNDLE [--manifests 700] [--seed 0] [-o benchmarks/results/NAME.json]

Every manifest is changed in one place, gets the digest that fits, and is opened, described, loaded, spoken and verified
as far as it is taken. Each answer has to be one of our errors, in one line, or a result; anything else is a defect and
makes the exit code 1. BUNDLE is best a tiny one (`sovits-export demo-checkpoint --tiny`); it is copied, not changed.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from results import write_results

from sovits_runtime import SamplingOptions, SpeechOptions, Synthesizer
from sovits_runtime.bundle import MANIFEST, Bundle, manifest_digest
from sovits_runtime.bundle.files import json_text
from sovits_runtime.doctor.inspect_bundle import describe, describe_text
from sovits_runtime.errors import SovitsError
from sovits_runtime.verify import verify_bundle

STRANGE: list[Any] = [
    None, True, 0, -1, 1.5, 1 << 40, 10**400, float("nan"), float("inf"), "", "x", "../x", "/etc/passwd",
    "a\x1b[31m\nb", [], {}, [[]], {"a": {}}, "\ud800", "x" * 100_000,
]  # fmt: skip
TOKENS = 12


def main() -> None:
    options = arguments()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        voice = copied(options.bundle, Path(scratch))
        results = {
            "manifests": tally(changed_manifests(voice, options.manifests, rng), use),
            "golden": tally(changed_golden(voice), lambda path: verify_bundle(Bundle.open(path))),
            "files": tally(hostile_files(voice), use),
        }
    print(json_text(results), end="")
    if options.output is not None:
        write_results(options.output, results)
    sys.exit(any(kind.startswith("DEFECT") for counts in results.values() for kind in counts))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--manifests", type=int, default=700)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


def copied(bundle: Path, folder: Path) -> Path:
    """A copy whose large files are the originals, linked; what is changed is written anew."""
    shutil.copytree(bundle.parent / "shared", folder / "shared", copy_function=os.link)
    return Path(shutil.copytree(bundle, folder / "voice", copy_function=os.link))


def tally(cases: Iterator[tuple[str, Path]], attempt: Callable[[Path], object]) -> dict[str, int]:
    """Counts the answers; prints what is a defect."""
    counts: Counter[str] = Counter()
    for name, path in cases:
        answer = answer_to(attempt, path)
        counts[answer] += 1
        if answer.startswith("DEFECT"):
            print(f"{name}: {answer}", file=sys.stderr)
    return dict(counts)


def answer_to(attempt: Callable[[Path], object], path: Path) -> str:
    """What became of an attempt: a result, one of our errors in one line, or a defect."""
    try:
        attempt(path)
    except SovitsError as error:
        shown = str(error)
        return "refused" if "\n" not in shown and "\x1b" not in shown else "DEFECT: more than a line"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"DEFECT: {type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
    return "taken"


def use(path: Path) -> None:
    """All that reads a bundle, as its user does it."""
    bundle = Bundle.open(path)
    describe_text(describe(bundle))
    with Synthesizer.load(bundle, threads=1) as voice:
        speak(voice)
    verify_bundle(bundle, threads=1)


def speak(voice: Synthesizer) -> None:
    golden = voice.bundle.golden("request")
    from sovits_runtime.speech.reference import Reference

    mel = golden.get("reference_mel")
    bert = golden["bert"][: len(golden["prompt_phones"])]
    reference = Reference("x", golden["prompt_phones"], bert, golden["prompt"], golden["style"], mel=mel)
    options = SpeechOptions(SamplingOptions(min_tokens=TOKENS), max_tokens=TOKENS)
    voice.synthesize(["AA1"], reference, options=options)


def changed_manifests(voice: Path, count: int, rng: random.Random) -> Iterator[tuple[str, Path]]:
    """Manifests with one value removed, replaced or moved, each with its digest."""
    path = voice / MANIFEST
    good = json.loads(path.read_text(encoding="utf-8"))
    places = list(places_of(good))
    for i in range(count):
        manifest = copy.deepcopy(good)
        name = change(manifest, rng.choice(places), rng)
        try:
            manifest["digest"] = manifest_digest(manifest)
            content = json.dumps(manifest)
        except (TypeError, ValueError, AttributeError):
            content = json.dumps(manifest)
        replace(path, content.encode())
        yield f"manifest {i}: {name}", voice
    replace(path, json.dumps(good).encode())


def places_of(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Ways to everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*way, key)
        yield from places_of(part, (*way, key))


def change(manifest: dict[str, Any], way: tuple[Any, ...], rng: random.Random) -> str:
    *before, last = way
    holder: Any = manifest
    for key in before:
        holder = holder[key]
    kind = rng.choice(("remove", "replace", "replace", "replace", "rename"))
    if kind == "remove":
        del holder[last]
    elif kind == "rename" and isinstance(holder, dict):
        holder[rng.choice(("x", "../x", "/x", "a\x1bb", ""))] = holder.pop(last)
    else:
        value = holder[last]
        near = (
            [value * 2, value + 1, -value]
            if isinstance(value, int | float) and not isinstance(value, bool)
            else []
        )
        holder[last] = copy.deepcopy(rng.choice([*STRANGE, *near, *near]))
    return f"{kind} {'.'.join(map(str, way))}"


def changed_golden(voice: Path, every: int = 1) -> Iterator[tuple[str, Path]]:
    """Recorded requests with one array removed, cut, of another type, or out of range; listed as they are.

    Args:
        voice: A bundle that may be changed; as it was at the end.
        every: Take one change of so many.
    """
    place = voice / "golden" / "request.npz"
    with np.load(place) as file:
        good = {name: file[name] for name in file.files}
    changes: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
        "cut": lambda a: a[:-1] if a.ndim else a[None],
        "empty": lambda a: a[:0] if a.ndim else a[None][:0],
        "text": lambda a: a.astype("U8"),
        "integers": lambda a: a.astype(np.int64),
        "doubles": lambda a: a.astype(np.float64),
        "more axes": lambda a: a[None],
        "large": lambda a: np.full_like(a, 5000),
        "negative": lambda a: np.full_like(a, -1) if a.dtype != bool else ~a,
        "NaN": lambda a: np.full(a.shape, np.nan, np.float32),
    }
    cases = [(name, what) for name in good for what in ("missing", *changes)]
    for name, what in cases[::every]:
        arrays = {key: value for key, value in good.items() if key != name}
        if what != "missing":
            arrays[name] = changes[what](good[name])
        write_golden(voice, arrays)
        yield f"golden {name}: {what}", voice
    for content in (b"", b"rubbish", b"PK\x03\x04" + bytes(100)):
        write_listed(voice, "golden/request.npz", content)
        yield f"golden of {content[:10]!r}", voice
    write_golden(voice, good)


def write_golden(voice: Path, arrays: dict[str, Any]) -> None:
    file = voice.parent / "golden.npz"
    np.savez(file, allow_pickle=False, **arrays)
    write_listed(voice, "golden/request.npz", file.read_bytes())


def write_listed(voice: Path, name: str, content: bytes) -> None:
    """Changes a file, and the manifest so that it lists the new one."""
    from sovits_runtime.bundle.files import file_record

    replace(voice / name, content)
    manifest = json.loads((voice / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][name] = file_record(voice / name)
    manifest["digest"] = manifest_digest(manifest)
    replace(voice / MANIFEST, json.dumps(manifest).encode())


def replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)  # a link to the original
    path.write_bytes(content)


DEEP = b"[" * 1_000_000 + b"]" * 1_000_000
RUBBISH: dict[str, bytes] = {
    "empty": b"",
    "rubbish": bytes(range(256)),
    "null": b"null",
    "list": b"[]",
    "number": b"1",
    "deep": DEEP,
    "page": b"<!DOCTYPE html><html></html>",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "digits": b'{"schema": ' + b"9" * 5000 + b"}",
    "half characters": b'{"schema": "\\ud800"}',
}


def hostile_files(voice: Path) -> Iterator[tuple[str, Path]]:
    """In the place of each file that is JSON or a recording: rubbish, a pipe, a folder, a link, and far too much."""
    names = [MANIFEST, "verification.json", "engines/sm89-rtx1.7-cu12/gpt_step-512-0.json"]
    names += ["prepacked/0123456789abcdef/prepacked.json", f"references/{'0' * 32}.npz", "golden/request.npz"]
    for name in names:
        path = voice / name
        older = path.read_bytes() if path.is_file() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        for what, put in ways_to_spoil().items():
            remove(path)
            put(path)
            yield f"{name}: {what}", voice
        remove(path)
        if older is not None:
            path.write_bytes(older)
    for name in ("engines", "references", "prepacked", "golden/x", "graphs/x", "engines/x"):
        path, victim = voice / name, voice.parent / "victim"
        remove(path)
        victim.mkdir(exist_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(victim)
        yield f"link {name}", voice
        path.unlink()


def ways_to_spoil() -> dict[str, Callable[[Path], object]]:
    def huge(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(3 << 30)

    def rubbish(content: bytes) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(content)

    return {
        **{name: rubbish(content) for name, content in RUBBISH.items()},
        "huge": huge,
        "pipe": os.mkfifo,
        "folder": Path.mkdir,
        "circle": lambda path: path.symlink_to(path.name),
        "device": lambda path: path.symlink_to("/dev/zero"),
    }


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
