"""Time of the text front ends on sentences that were not read before: ms for 100 characters, and cold start.

    python benchmarks/text/speed.py FILE.jsonl      lines with "lang" and "text", as in tests/data/text

One process a language; half of the sentences warm it up, the other half is timed. Processor time counts, so that a
busy machine matters less.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

CODE = """
import json, sys, time
texts = json.load(sys.stdin)
start = time.process_time()
from sovits_runtime.text import phonemize
from sovits_runtime.errors import TextError
def read(text):
    begin = time.process_time()
    try:
        phonemize(text, sys.argv[1])
    except TextError:
        return None
    return time.process_time() - begin
read(texts[0])
cold = time.process_time() - start
for text in texts[: len(texts) // 2]:
    read(text)
rest = [(text, read(text)) for text in texts[len(texts) // 2 :]]
json.dump([cold, [1e5 * seconds / len(text) for text, seconds in rest if seconds and len(text) >= 10]], sys.stdout)
"""


def main() -> None:
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text("utf-8").splitlines()]
    for language in ("zh", "en", "ja", "ko", "yue"):
        texts = list(
            dict.fromkeys(row["text"] for row in rows if row.get("lang") == language and row["text"].strip())
        )
        if len(texts) < 4:
            continue
        start = time.perf_counter()
        out = subprocess.run(
            [sys.executable, "-c", CODE, language],
            input=json.dumps(texts),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
        ).stdout
        cold, speeds = json.loads(out)
        print(
            f"{language:4} cold start {cold:.2f} s; 100 characters: median {statistics.median(speeds):.1f} ms, "
            f"95th percentile {sorted(speeds)[int(0.95 * len(speeds))]:.1f} ms over {len(speeds)} sentences "
            f"(process {time.perf_counter() - start:.1f} s)"
        )


if __name__ == "__main__":
    main()
