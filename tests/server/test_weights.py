"""Weights that are no known voice's: built while the server runs, in the folders and one at a time."""

import json
import logging
import shutil
import threading
from pathlib import Path

import pytest

pytest.importorskip("torch")

from live_server import running

from sovits_server.config import load_config
from sovits_server.problems import ConfigError

SPEAK = {
    "text": "Hello there.",
    "text_lang": "en",
    "ref_audio_path": "Reference One.wav",
    "prompt_lang": "en",
}


@pytest.fixture(scope="module")
def weights(demo_files, folder):
    """The demo's checkpoints under the names of two trainings, and a file that is none."""
    place = folder / "weights"
    (place / "GPT_weights_v2").mkdir(parents=True)
    (place / "SoVITS_weights_v2").mkdir()
    shutil.copy(demo_files.gpt, place / "GPT_weights_v2/Nova-e15.ckpt")
    shutil.copy(demo_files.sovits, place / "SoVITS_weights_v2/Nova_e8_s120.pth")
    for epoch in ("e4_s60", "e8_s120"):
        shutil.copy(demo_files.sovits, place / f"SoVITS_weights_v2/Vega_{epoch}.pth")
    shutil.copy(demo_files.gpt, place / "GPT_weights_v2/Vega-e10.ckpt")
    (place / "SoVITS_weights_v2/broken_e1_s1.pth").write_bytes(b"no checkpoint")
    return place


@pytest.fixture(scope="module")
def building(weights, voices_folder, demo_files, configure, folder):
    """A server that builds: its folder of voices is its own."""
    own = folder / "voices"
    shutil.copytree(voices_folder, own)
    settings = {"voices": own, "weights": (weights,), "cache_mb": 0}
    pretrained = folder / "pretrained"
    pretrained.mkdir()
    shutil.copytree(demo_files.hubert, pretrained / "chinese-hubert-base")
    with running(configure(**settings, pretrained=pretrained)) as live:
        live.until(lambda: live.server.readiness.ready, 60)
        yield live


def test_weights_are_built_heard_and_found_again(building, caplog):
    """As AstrBot does at its start: both addresses, one after the other, then speech."""
    caplog.set_level(logging.INFO)
    with building.client() as http:
        http.timeout = 300
        first = http.get("/set_gpt_weights", params={"weights_path": "gpt_weights_v2/nova-e15.ckpt"})
        assert first.status_code == 200, first.text
        assert first.json() == {"message": "success", "voice": "Nova_e8_s120"}
        lines = len(caplog.records)
        second = http.get(
            "/set_sovits_weights", params={"weights_path": "SoVITS_weights_v2\\Nova_e8_s120.pth"}
        )
        assert second.json() == {"message": "success", "voice": "Nova_e8_s120"}
        assert not any("being built" in record.message for record in caplog.records[lines:])
        assert "Nova_e8_s120" in http.get("/speakers_list").json()
        spoken = http.get("/tts", params=SPEAK)
        assert spoken.status_code == 200, spoken.text
        assert len(spoken.content) > 32000 * 0.2
    manifest = json.loads((building.server.config.voices / "Nova_e8_s120/manifest.json").read_text())
    assert manifest["sources"]["gpt"]["file"] == "Nova-e15.ckpt"
    progress = [record.message for record in caplog.records if "'Nova_e8_s120': [" in record.message]
    assert "[  0 %] read checkpoints" in progress[0]
    assert len(progress) > 10


@pytest.mark.slow
def test_one_is_built_at_a_time_and_whoever_wants_the_same_waits_for_it(building):
    """The second half of Vega is not told by its name, so the first is remembered."""
    answers = {}

    def ask(name, path):
        with building.client() as http:
            http.timeout = None  # a build takes as long as others leave it
            answers[name] = http.get("/set_sovits_weights", params={"weights_path": path})

    with building.client() as http:
        half = http.get("/set_gpt_weights", params={"weights_path": "Vega-e10.ckpt"})
        assert half.status_code == 200
        assert "name it too" in half.json()["note"]
        builder = building.server.weights._builder
        threads = [threading.Thread(target=ask, args=(n, "Vega_e8_s120.pth")) for n in ("one", "two")]
        for thread in threads:
            thread.start()
        building.until(lambda: builder._process is not None and builder._process.poll() is None)
        other = http.get("/set_sovits_weights", params={"weights_path": "Vega_e4_s60.pth"})
        assert other.status_code == 503
        assert other.json()["message"] == "change sovits weight failed"
        assert "'Vega_e8_s120' is being built" in other.json()["Exception"]
        assert int(other.headers["retry-after"]) > 0
        assert http.get("/health").json()["status"] == "ok"
        for thread in threads:
            thread.join()
    assert [answer.json().get("voice") for answer in answers.values()] == ["Vega_e8_s120"] * 2


@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        ("gpt", "Nobody-e1.ckpt", "no weights 'Nobody-e1.ckpt' in the folders"),
        ("gpt", "../../etc/Other-e1.ckpt", "leads upwards"),
        ("gpt", "SoVITS_weights_v2/Vega_e4_s60.pth", "expected a file of GPT, which ends in .ckpt"),
        ("sovits", "broken_e1_s1.pth", "broken_e1_s1.pth"),
    ],
    ids=["missing", "upwards", "other kind", "damaged"],
)
def test_what_cannot_be_built_is_answered_as_api_v2_does(building, kind, path, said):
    with building.client() as http:
        http.timeout = 300
        answer = http.get(f"/set_{kind}_weights", params={"weights_path": path})
    assert answer.status_code == 400
    assert answer.json()["message"] == f"change {kind} weight failed"
    assert said in answer.json()["Exception"]
    assert str(building.server.config.voices.parent) not in answer.text


def test_weights_that_were_trained_on_are_other_weights(building, weights, demo_files):
    path = weights / "SoVITS_weights_v2/Nova_e8_s120.pth"
    voice = building.server.store.get("Nova_e8_s120")
    has = building.server.weights._made_of
    assert has(voice, "sovits", path.name)
    path.write_bytes(demo_files.sovits.read_bytes() + b"0")
    assert not has(voice, "sovits", path.name)


def test_by_default_nothing_is_built(http):
    answer = http.get("/set_gpt_weights", params={"weights_path": "GPT_weights_v2/Nova-e15.ckpt"})
    assert answer.status_code == 400
    assert answer.json()["message"] == "change gpt weight failed"
    assert "no voice of this server was made of 'Nova-e15.ckpt'" in answer.json()["Exception"]


def test_the_operator_is_told_what_builds_want(tmp_path, tiny_bundle, monkeypatch):
    with pytest.raises(ConfigError, match=r"weights: what is built .* give --voices FOLDER too"):
        load_config({"bundles": (tiny_bundle,), "weights": (tmp_path,)}, environment={})
    with pytest.raises(ConfigError, match=r"weights: .* is no folder"):
        load_config({"voices": tmp_path, "weights": (Path("nowhere"),)}, environment={})
    monkeypatch.setattr("sovits_server.config.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"weights: .* pip install 'sovits-export\[export\]'"):
        load_config({"voices": tmp_path, "weights": (tmp_path,)}, environment={})
