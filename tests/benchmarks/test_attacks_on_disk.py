"""The attacks on what lies on the disk, in short: kills, several writers at once. The long run is in `benchmarks`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ATTACKS = Path(__file__).parents[2] / "benchmarks" / "attacks"


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and kills with -9")
def test_kills_and_several_writers_leave_whole_bundles(tmp_path):
    memory = Path("/dev/shm")  # no disk has to be waited for
    scratch = memory if os.access(memory, os.W_OK) else tmp_path
    command = [sys.executable, ATTACKS / "kill.py", "--kills", "12", "--rounds", "2", "--scratch", scratch]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    assert counts["killed builds"]["whole"] == 12
    assert counts["killed saves"]["whole"] == 12
    for writers in (2, 3, 5):
        assert counts[f"{writers} builds at once"] == {"done": 2 * writers, "whole": 2}
    assert counts["two voices, one new shared folder"] == {"done": 4, "whole": 4}
