"""How many prompt tokens of recordings depend on the resampler before HuBERT.

    python benchmarks/prompt_tokens.py BUNDLE RECORDING... -o RESULT.json

Each recording, its first 10 s, becomes prompt tokens by soxr HQ (what this project takes, as the original did before
v5) and by kaiser_best (`official=True`, the original's since v5). For scale, soxr's wave is also rounded to 16 bits.
Recordings of 16 kHz are left out: nothing resamples them.
"""

from __future__ import annotations

import argparse
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime import Synthesizer
from sovits_runtime.audio import HUBERT_RATE, REFERENCE_MAX_S, hubert_wave
from sovits_runtime.audio.files import read_audio
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.speech.reference import ReferenceEncoder


def main() -> None:
    """Counts and writes the result."""
    options = arguments()
    bundle = Bundle.open(options.bundle)
    with Synthesizer.load(bundle, threads=options.threads) as voice:
        counted = [counts(voice.reference_encoder, path) for path in options.recordings]
    rows = [row for row in counted if row]
    total = {key: sum(row[key] for row in rows) for key in ("tokens", "changed", "changed_by_16_bits")}
    result = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": read_machine().to_json(),
        "versions": installed_versions(("sovits-export", "numpy", "onnxruntime", "soxr")),
        "bundle": {"version": bundle.spec.version, "digest": bundle.digest, "hubert": options.hubert},
        "recordings": rows,
        "total": total,
    }
    options.output.write_text(json_text(result), encoding="utf-8")
    print(f"{total['changed']} of {total['tokens']} tokens; by 16 bits: {total['changed_by_16_bits']}")


def counts(encoder: ReferenceEncoder, path: Path) -> dict[str, Any] | None:
    """How many tokens of a recording differ; None where nothing resamples it."""
    content = path.read_bytes()
    samples, rate = read_audio(content, path.name)
    if rate == HUBERT_RATE:
        return None
    samples = samples[: int(REFERENCE_MAX_S * rate)]
    usual, official = (hubert_wave(samples, rate, official=told) for told in (False, True))
    rounded = np.rint(usual * 32767) / np.float32(32767)
    tokens, others, coarse = (tokens_of(encoder, wave) for wave in (usual, official, rounded))
    row = {
        "name": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "sample_rate": rate,
        "seconds": round(len(samples) / rate, 2),
        "tokens": len(tokens),
        "changed": differing(tokens, others),
        "changed_by_16_bits": differing(tokens, coarse),
    }
    print(*row.values(), sep="  ", flush=True)
    return row


def tokens_of(encoder: ReferenceEncoder, wave: NDArray[np.float32]) -> NDArray[np.int64]:
    """Tokens of a wave that is ready for HuBERT."""
    assert encoder.hubert is not None
    return encoder.tokens(encoder.hubert.run({"wave": wave[None]})["ssl"])


def differing(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """Where they differ; one may be a token longer."""
    both = min(len(one), len(other))
    return int((one[:both] != other[:both]).sum()) + abs(len(one) - len(other))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--hubert", default="not said", help="Which HuBERT the bundle has, for the result.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
