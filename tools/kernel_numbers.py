"""The numbers of the C kernels that run here, compared with ONNX Runtime's graphs: a JSON object.

    python tools/kernel_numbers.py BUNDLE        # SOVITS_NATIVE_KERNELS=NAME forces others

It needs the runtime and the kernels alone, so it runs where a test suite does not: on an emulated Arm, on Windows under
wine. In both precisions, with 1 to 3 threads and 1 to 17 rows:

- `errors`: the largest difference of logits from the graph's, over their scale;
- `errors` of the prefill likewise, and of the vocoder's sound, in float32, bfloat16 and int8;
- `rows`: whether each row of a batch is, bit for bit, what it is alone;
- `int8`: a digest of int8 logits somewhere in a sentence. Kernels of one architecture agree in it;
- `first`: digests of logits at the first position, fp32 and int8. Attention is over one row there, so that no order
  of sums is left open: every kind of kernel that has FMA agrees in them, on every processor and system.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sovits_runtime.backends import native, native_vocoder_packing
from sovits_runtime.backends.native_packing import BF16, F32, INT8, pack
from sovits_runtime.backends.native_prefill import open_prefill
from sovits_runtime.backends.native_structures import OUTPUTS
from sovits_runtime.backends.native_vocoder import open_vocoder
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle import CPU_FILE, Bundle
from sovits_runtime.bundle.gpt_weights import GptWeights
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.names import VOCODERS
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.t2s.sampling import SamplingOptions

SOMEWHERE, FIRST = (40, 20, 3), (0, 1, 0)
"""Phones, prompt tokens and steps that came before."""
CAPACITY, ROWS, FRAMES = 128, (1, 2, 3, 4, 6, 7, 16, 17), (1, 5)


def request(spec: GraphSpec, seed: int, *, at: tuple[int, int, int], scale: float = 1.0) -> dict[str, Any]:
    """Random inputs of a step and room for its outputs; each pair of caches is one array."""
    rng = np.random.default_rng(seed)
    vocab = int(spec.tensor("seen").shape[1])
    arrays: dict[str, Any] = {
        name: np.array([count], np.int64)
        for name, count in zip(("text_len", "prompt_len", "step"), at, strict=True)
    }
    arrays["token"] = rng.integers(0, vocab, 1, dtype=np.int64)
    arrays["seen"] = rng.random((1, vocab)) < 0.1
    arrays["noise"] = rng.standard_exponential((1, vocab), dtype=np.float32)
    arrays |= SamplingOptions().arrays(vocab)
    dims = {"batch": 1, "cache_size": CAPACITY}
    for name, out in spec.aliases:
        cache = scale * rng.standard_normal(spec.tensor(name).resolve(dims))
        arrays[name] = arrays[out] = cache.astype(spec.tensor(name).dtype)
    for t in spec.outputs:
        arrays.setdefault(t.name, np.empty(t.resolve(dims), t.dtype))
    return arrays


def logits(session: Any, arrays: dict[str, Any]) -> Any:
    """Runs a step; float32 [1, vocab]."""
    session.bind(arrays).run()
    return arrays["logits"]


def rows_are_alone(step: native.NativeStep) -> bool:
    """Whether every row of batches of several sizes gets what it gets alone, in all that a step writes."""
    batch, alone = [], []
    for seed in range(max(ROWS)):
        arrays = request(step.spec, seed, at=(40, 20, 1 + 7 * seed % 60))
        logits(step, arrays)
        batch.append(arrays)
        alone.append([arrays[name].tobytes() for name in step.spec.output_names])
    bound = [step.bind(arrays) for arrays in batch]
    for count in ROWS:
        for arrays in batch[:count]:
            for name in OUTPUTS:
                arrays[name][...] = 0
        step.run_together(bound[:count])
        got = [[arrays[name].tobytes() for name in step.spec.output_names] for arrays in batch[:count]]
        if got != alone[:count]:
            return False
    return True


def digest(array: Any) -> str:
    """Of an array's bytes."""
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def numbers(folder: Path) -> dict[str, Any]:
    """All of it, for a bundle."""
    lib = native.library()
    if lib is None:
        raise SystemExit(f"error: {native.PACKAGE} is not installed")
    bundle = Bundle.open(folder)
    spec = bundle.graph_spec("gpt_step")
    weights = GptWeights.read(bundle.graph_path("gpt_prefill"), spec)
    graph = open_session(
        bundle.graph_path("gpt_step", form=CPU_FILE), spec, options=SessionOptions(threads=1)
    )
    cases = [(seed, scale) for scale in (0.1, 1.0, 30.0) for seed in range(2)]
    expected = {
        case: logits(graph, request(spec, case[0], at=SOMEWHERE, scale=case[1])).copy() for case in cases
    }
    found: dict[str, Any] = {"kernels": native.kernels(lib), "errors": {}, "rows": {}, "first": {}}
    for precision in ("fp32", "int8"):
        packed = pack(lib, weights, precision)
        worst = 0.0
        for threads in (1, 2, 3):
            step = native.NativeStep(lib, spec, weights, packed, threads=threads)
            for seed, scale in cases:
                mine, theirs = (
                    logits(step, request(spec, seed, at=SOMEWHERE, scale=scale)),
                    expected[seed, scale],
                )
                worst = max(worst, float(np.abs(mine - theirs).max() / np.abs(theirs).max()))
            found["first"][precision] = digest(logits(step, request(spec, 5, at=FIRST)))
            found["rows"][precision] = found["rows"].get(precision, True) and rows_are_alone(step)
            if precision == "int8":
                found["int8"] = digest(logits(step, request(spec, 5, at=SOMEWHERE)))
            step.close()
        found["errors"][precision] = worst
    half = native.NativeStep(lib, native.with_half_caches(spec), weights, packed, threads=2)
    found["rows"]["float16 caches"] = rows_are_alone(half)
    half.close()
    found["errors"]["prefill"] = prefill_error(bundle, lib)
    errors, found["sound"] = vocoder_errors(bundle, lib)
    found["errors"] |= errors
    return found


def prefill_error(bundle: Bundle, lib: Any) -> float:
    """Largest difference of logits of a prefill from the graph's, over their scale."""
    spec = bundle.graph_spec("gpt_prefill")
    step = native.open_step(lib, bundle, None, 2, precision="fp32")
    rng, (phones, prompt, _) = np.random.default_rng(0), SOMEWHERE
    given = {
        "phones": rng.integers(0, 300, (1, phones), dtype=np.int64),
        "bert": rng.standard_normal((1, phones, int(spec.tensor("bert").shape[2]))).astype(np.float32),
        "prompt": rng.integers(0, int(step.spec.tensor("seen").shape[1]), (1, prompt), dtype=np.int64),
    }
    graph = open_session(
        bundle.graph_path("gpt_prefill", form=CPU_FILE), spec, options=SessionOptions(threads=1)
    )
    made = []
    for session in (open_prefill(step, bundle), graph):
        arrays = {**request(step.spec, 0, at=(0, 0, 0)), **given}
        made.append(logits(session, {n: arrays[n] for n in (*spec.input_names, *spec.output_names)}).copy())
    step.close()
    return float(np.abs(made[0] - made[1]).max() / np.abs(made[1]).max())


def vocoder_errors(bundle: Bundle, lib: Any) -> tuple[dict[str, float], str]:
    """Largest difference of samples from the graph's, over their scale, by form; and the digest of those in int8."""
    native_vocoder_packing.LEAST_INT8 = 1  # the voice may be a small one
    (name,) = VOCODERS & set(bundle.graph_names)
    spec, rng = bundle.graph_spec(name), np.random.default_rng(0)
    graph = open_session(bundle.graph_path(name), spec, options=SessionOptions(threads=1))
    given = [{t.name: t.resolve({"frames": frames}) for t in spec.inputs} for frames in FRAMES]
    feeds = [{n: rng.standard_normal(size).astype(np.float32) for n, size in one.items()} for one in given]
    expected, errors, sounds = [graph.run(one)["waveform"] for one in feeds], {}, {}
    for what, form in (("vocoder", F32), ("vocoder bf16", BF16), ("vocoder int8", INT8)):
        errors[what] = 0.0
        for threads in (1, 2):
            own = open_vocoder(lib, bundle, name, packed=None, threads=threads, form=form)
            assert own is not None
            for one, theirs in zip(feeds, expected, strict=True):
                sounds[what] = own.run(one)["waveform"]
                difference = np.abs(sounds[what] - theirs).max() / np.abs(theirs).max()
                errors[what] = max(errors[what], float(difference))
            own.close()
    return errors, digest(sounds["vocoder int8"])


if __name__ == "__main__":
    print(json.dumps(numbers(Path(sys.argv[1]))))
