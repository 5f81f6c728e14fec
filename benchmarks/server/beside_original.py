"""The server beside the original's `api_v2.py`: the same voice, the same requests, the same clients, by turns.

    python benchmarks/server/beside_original.py BUNDLE --checkpoints FOLDER --bert FOLDER --original CHECKOUT \
        --original-python PYTHON [--clients 1 4 16] [--modes 0 3] [--each 4] [-o OUT.json]

BUNDLE was built of the checkpoints in FOLDER, as `make demo` and `sovits-export demo-checkpoint` write them. CHECKOUT
is of GPT-SoVITS, PYTHON one that has its requirements. Both servers speak English on this machine's CPU, the original
in FP32, and only one of them lives at a time, so that neither takes memory or cores from the other. Each number of
clients sends its requests as fast as they are answered, with POST /tts, `media_type` raw, and `streaming_mode` as
given: what comes first is sound then, no header. Sampling differs, so answers differ in length; what is compared is
seconds of sound a second. Voices that never end a sentence, as random weights do, need `--max-seconds`: both servers
end each sentence there, the original by the `max_sec` of a copy of its GPT. What the original reads English with has to
be there before, since it downloads: `NLTK_DATA` names a folder with nltk's `cmudict` and tagger. Threads of PyTorch's
OpenMP spin while they wait, so the original suffers from whatever else runs: measure on an idle machine. Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from clients import Answer, Request, percentile, speak_all
from server_process import START, ServerProcess, free_port

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.machine import installed_versions, read_machine

TEXTS = (
    "Good morning, it is seven o'clock, and the sun is out.",
    "The train to the coast leaves from platform four in ten minutes.",
    "I have put milk, bread and two lemons on your list.",
    "Nobody knew how the old clock had found its way into the garden.",
)
RATE = 32000
TOKENS_A_SECOND, ITS_TOKENS_A_SECOND = 25, 50
"""What v2 speaks, and what the original takes `max_sec` for."""
BYTES_A_SAMPLE = 2


def main() -> None:
    options = arguments()
    about, results = conditions(options), {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, start in (("ours", start_ours), ("original", start_original)):
            log = Path(scratch) / f"{name}.log"
            server = start(options, Path(scratch), log)
            try:
                results[name] = {"ready_s": round(server.wait(good=(200, 400, 404, 405)), 2)}
                results[name] |= measure(server, options, name)
            finally:
                server.kill()
    result: dict[str, Any] = about | {"servers": results, "ratios": ratios(results)}
    print(table(result))
    if options.output:
        options.output.write_text(json_text(result), encoding="utf-8")


def start_ours(options: argparse.Namespace, scratch: Path, log: Path) -> ServerProcess:
    reference = options.checkpoints / "reference.wav"
    port = free_port()
    words = ["serve", str(options.bundle), "--port", str(port), "--references", str(reference.parent)]
    words += ["--ref", str(reference), "--ref-text", reference_text(options.checkpoints), "--ref-lang", "en"]
    words += ["--cache-mb", "0", "--deadline-s", "3600"]
    words += ["--max-seconds", str(options.max_seconds)] if options.max_seconds else []
    return ServerProcess(
        [sys.executable, "-c", START, *words], f"http://127.0.0.1:{port}", ready="/ready", log=log
    )


def start_original(options: argparse.Namespace, scratch: Path, log: Path) -> ServerProcess:
    settings = {
        "bert_base_path": str(options.bert),
        "cnhuhbert_base_path": str(options.checkpoints / "chinese-hubert-base"),
        "device": "cpu",
        "is_half": False,
        "t2s_weights_path": str(gpt_of_original(options, scratch)),
        "vits_weights_path": str(options.checkpoints / "demo-sovits.pth"),
        "version": "v2",
    }
    config = scratch / "tts_infer.yaml"
    config.write_text(json.dumps({"custom": settings}), encoding="utf-8")  # JSON is YAML too
    port = free_port()
    command = [
        str(options.original_python),
        "api_v2.py",
        "-a",
        "127.0.0.1",
        "-p",
        str(port),
        "-c",
        str(config),
    ]
    base = f"http://127.0.0.1:{port}"
    environment = {"PYTHONPATH": options.original_path} if options.original_path else {"PYTHONPATH": ""}
    return ServerProcess(
        command, base, ready="/docs", log=log, folder=options.original, environment=environment
    )


def gpt_of_original(options: argparse.Namespace, scratch: Path) -> Path:
    """Its GPT, which says itself when it ends a sentence without an end."""
    official: Path = options.checkpoints / "demo-gpt.ckpt"
    if not options.max_seconds:
        return official
    import torch

    weights = torch.load(official, map_location="cpu", weights_only=True)
    weights["config"]["data"]["max_sec"] = options.max_seconds * TOKENS_A_SECOND / ITS_TOKENS_A_SECOND
    torch.save(weights, scratch / official.name)
    return scratch / official.name


def measure(server: ServerProcess, options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Each number of clients in each mode; one request before each mode, which nobody times."""
    found = []
    for mode in options.modes:
        warm_up = ask(server, options, clients=1, each=1, mode=mode)
        if warm_up[0].status != 200:
            raise SystemExit(f"{name}: {warm_up[0].status} {warm_up[0].content[:500]!r}")
        for clients in options.clients:
            start = time.perf_counter()
            answers = ask(server, options, clients=clients, each=options.each, mode=mode)
            found.append(row(answers, clients, mode, seconds=time.perf_counter() - start))
            found[-1]["private_bytes"] = server.usage().private_bytes
            found[-1]["resident_bytes"] = server.usage().resident_bytes
            print(f"{name}: {found[-1]}", flush=True)
    return {"runs": found}


def ask(
    server: ServerProcess, options: argparse.Namespace, *, clients: int, each: int, mode: int
) -> list[Answer]:
    common = {
        "text_lang": "en",
        "prompt_lang": "en",
        "prompt_text": reference_text(options.checkpoints),
        "ref_audio_path": str(options.checkpoints / "reference.wav"),
        "media_type": "raw",
        "streaming_mode": mode,
        "text_split_method": "cut0",
    }
    requests = [
        Request(path="/tts", body={**common, "text": TEXTS[n % len(TEXTS)]}, kind="")
        for n in range(clients * each)
    ]
    return asyncio.run(speak_all(server.base, requests, clients=clients))


def reference_text(checkpoints: Path) -> str:
    """What is said in the demo's recording."""
    text: str = json.loads((checkpoints / "reference.json").read_text(encoding="utf-8"))["text"]
    return text


def row(answers: Sequence[Answer], clients: int, mode: int, *, seconds: float) -> dict[str, Any]:
    good = [a for a in answers if a.status == 200 and a.content]
    sound_s = sum(len(a.content) for a in good) / BYTES_A_SAMPLE / RATE
    first = [a.first_s for a in good]
    return {
        "clients": clients,
        "streaming_mode": mode,
        "requests": len(answers),
        "failed": len(answers) - len(good),
        "first_byte_p50_s": round(percentile(first, 0.5), 4),
        "first_byte_p95_s": round(percentile(first, 0.95), 4),
        "sound_s": round(sound_s, 2),
        "seconds": round(seconds, 2),
        "sound_a_second": round(sound_s / seconds, 3),
    }


def ratios(results: dict[str, Any]) -> list[dict[str, Any]]:
    """How many times the original's throughput ours is, and how many times as long its first byte takes."""
    pairs = zip(results["ours"]["runs"], results["original"]["runs"], strict=True)
    return [
        {
            "clients": ours["clients"],
            "streaming_mode": ours["streaming_mode"],
            "throughput": round(ours["sound_a_second"] / max(other["sound_a_second"], 1e-9), 2),
            "first_byte_p50": round(other["first_byte_p50_s"] / max(ours["first_byte_p50_s"], 1e-9), 2),
            "first_byte_p95": round(other["first_byte_p95_s"] / max(ours["first_byte_p95_s"], 1e-9), 2),
            "private_memory": round(other["private_bytes"] / max(ours["private_bytes"], 1), 2),
            "resident_memory": round(other["resident_bytes"] / max(ours["resident_bytes"], 1), 2),
        }
        for ours, other in pairs
    ]


def table(result: dict[str, Any]) -> str:
    lines = [
        "| clients | mode | throughput | first byte, median | first byte, p95 | private memory | resident memory |",
        "|---|---|---|---|---|---|---|",
    ]
    figures = ("throughput", "first_byte_p50", "first_byte_p95", "private_memory", "resident_memory")
    for one in result["ratios"]:
        words = (f"{one[name]:g} x" for name in figures)
        lines.append(f"| {one['clients']} | {one['streaming_mode']} | {' | '.join(words)} |")
    return "\n".join(lines)


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    bundle = Bundle.open(options.bundle)
    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": read_machine().to_json(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "openmp": {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "GOMP_"))},
        "versions": installed_versions(("sovits-export", "numpy", "onnxruntime", "uvicorn", "starlette")),
        "bundle_digest": bundle.digest,
        "version": bundle.manifest["model"]["version"],
        "tuned": any((bundle.path / "tuned").glob("*")),
        "each": options.each,
        "max_seconds": options.max_seconds,
        "note": options.note,
        "original": commit_of(options.original),
    }


def commit_of(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--bert", type=Path, required=True, help="chinese-roberta-wwm-ext-large")
    parser.add_argument("--original", type=Path, required=True, help="checkout of GPT-SoVITS")
    parser.add_argument("--original-python", type=Path, required=True)
    parser.add_argument("--original-path", default="", help="PYTHONPATH of the original")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--modes", type=int, nargs="+", default=[0, 3])
    parser.add_argument("--each", type=int, default=4, help="requests of each client")
    parser.add_argument(
        "--max-seconds", type=float, help="end each sentence there, for voices without an end"
    )
    parser.add_argument("--note", help="kept with the result, such as what else ran on the machine")
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    options = parser.parse_args()
    for name in ("bundle", "checkpoints", "bert", "original"):
        setattr(options, name, getattr(options, name).resolve())
    return options


if __name__ == "__main__":
    main()
