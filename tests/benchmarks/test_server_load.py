"""The load measurement with few clients: it finds what is so, and what is not."""

import argparse
import importlib
import io
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")

FOLDER = Path(__file__).parents[2] / "benchmarks" / "server"


@pytest.fixture(scope="module")
def scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("clients"), importlib.import_module("load")


@pytest.mark.slow
def test_a_few_clients_are_answered_as_each_alone(tiny_bundle, demo_files, tmp_path):
    from sovits_server.voices import Voice, VoiceReference, write_profile

    phones = tuple(json.loads(demo_files.reference.read_text())["phones"])
    reference = VoiceReference(name="default", path=demo_files.reference_wav, phones=phones)
    voices = tmp_path / "voices"
    voices.mkdir()
    write_profile(Voice(name="a", bundle=tiny_bundle, references=(reference,)), voices / "a.toml")
    few = ["--requests", "30", "--clients", "6", "--restarts", "1", "--max-seconds", "0.5"]
    command = [sys.executable, FOLDER / "load.py", voices, *few, "-o", tmp_path / "result.json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    load = result["load"]
    assert load["whole"] == load["equal_to_alone"] == 30 - load["left_by_their_clients"]
    assert load["left_by_their_clients"] > 5
    assert result["limits"]["of_one_client"]["429"]
    assert result["limits"]["of_all"]["503"]


def test_an_answer_that_differs_is_found(scripts, monkeypatch):
    """Whoever leaves counts for nothing, and a refusal is a failure too."""
    clients, load = scripts
    kinds = [clients.Request(path="/tts", body={}, kind=kind) for kind in "ab"]
    answers = {
        kind: clients.Answer(status=200, first_s=1, whole_s=1, content=kind.encode() * 9, headers={})
        for kind in "ab"
    }
    asked = 0

    class Server:
        def usage(self):
            return importlib.import_module("server_process").Usage(10, 10, 5, 5)

    class Checks(load.Checks):
        def ask(self, requests, *, clients, keys=()):
            nonlocal asked
            asked += 1
            given = [answers[r.kind] for r in requests]
            if asked == 4:  # amid the load
                given[1:3] = [replace(given[1], content=b"x"), replace(given[2], status=503)]
            return given

    options = argparse.Namespace(requests=40, clients=2, bound_mb=1)
    checks = Checks(Server(), [])
    result = load.under_load(checks, kinds, options, random.Random(0))["load"]
    assert result["equal_to_alone"] == 38
    assert len(checks.failures) == 2
    assert "differ from those alone" in checks.failures[0]
    assert "{503: 1}" in checks.failures[1]


def test_vorbis_is_compared_by_what_is_heard(scripts):
    """Its streams have numbers by chance; an answer in chunks is several files behind each other."""
    soundfile = pytest.importorskip("soundfile")
    _, load = scripts

    def answer(*pitches):
        content = b""
        for pitch in pitches:
            file = io.BytesIO()
            sound = np.sin(np.arange(8000) * pitch).astype(np.float32)
            soundfile.write(file, sound, 32000, format="OGG", subtype="VORBIS")
            content += file.getvalue()
        return content

    said = answer(0.1, 0.2)
    assert load.same(said, answer(0.1, 0.2))
    assert not load.same(said, answer(0.1, 0.3))
    assert not load.same(said, answer(0.1))
