"""The goldens kept in the repository, on both paths; `tests/conformance.py` replays any folder."""

import importlib
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def conformance():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))  # it is run as a script and imports its neighbours
        yield importlib.import_module("conformance")


@pytest.fixture(scope="module")
def results(conformance):
    return list(conformance.replay(HERE / "data" / "golden_v2_tiny_0.npz"))


@pytest.mark.parametrize("path", ["torch", "onnx"])
def test_every_stage_is_within_its_limit(results, path):
    stages = [r for r in results if r.path == path]
    assert len(stages) >= 25
    assert [(r.stage, r.error, r.limit) for r in stages if not r.passed] == []


def test_whole_requests_give_the_official_samples(conformance):
    results = list(conformance.replay(HERE / "data" / "e2e_v2_tiny_0.npz"))
    assert [r.stage for r in results] == ["parallel, samples", "fragments, samples"]
    assert [(r.stage, r.error, r.limit) for r in results if not r.passed] == []


def test_a_difference_is_seen(conformance):
    expected = conformance.np.ones((2, 3), conformance.np.float32)
    assert conformance.absolute(expected + 2e-4, expected) > 1e-4
    assert conformance.absolute(expected[:1], expected) == float("inf")
    assert conformance.differing(expected, expected * 2) == 1.0


def test_a_file_of_another_kind_is_an_error(conformance, tmp_path, monkeypatch, capsys):
    (tmp_path / "strange_v2_tiny_0.npz").touch()
    monkeypatch.setattr("sys.argv", ["conformance.py", str(tmp_path)])
    assert conformance.main() == 1
    assert "strange_v2_tiny_0.npz" in capsys.readouterr().err


META = {"version": "v4", "dims": "tiny", "seed": 3}


def configs(conformance, **meta):
    """The configs of a file as its meta holds them."""
    sizes = conformance.sizes_of({**META, **meta})
    dit = {"dim": 128, "depth": 2, "heads": 2, "ff_mult": 2, "text_dim": 512, "conv_layers": 1}
    return sizes, {"s1_config": sizes.gpt, "s2_config": sizes.sovits, "dit": dit, "vocoder": sizes.vocoder}


def test_sizes_are_those_of_the_file_and_else_those_that_it_names(conformance):
    sizes, recorded = configs(conformance)
    assert conformance.sizes_of({**META, "dims": "odd", **recorded}) == sizes
    wider = {**recorded["dit"], "dim": 192, "heads": 3, "depth": 1}
    other = conformance.sizes_of({**META, **recorded, "dit": wider})
    assert (other.dit.width, other.dit.depth, other.dit.inner) == (192, 1, 384)
    assert conformance.sizes_of({**META, "dims": "full"}).dit.width == 1024


@pytest.mark.parametrize("missing", ["s1_config", "s2_config", "dit", "vocoder"])
def test_sizes_that_a_file_does_not_tell_are_not_guessed(conformance, missing):
    _, recorded = configs(conformance)
    meta = {**META, "dims": "odd", **recorded, missing: None}
    with pytest.raises(conformance.CannotReplayError, match=f"dims 'odd', and its meta has no {missing}"):
        conformance.sizes_of(meta)


def test_heads_of_another_width_are_refused(conformance):
    _, recorded = configs(conformance)
    meta = {**META, **recorded, "dit": {**recorded["dit"], "heads": 4}}
    with pytest.raises(conformance.CannotReplayError, match="4 heads in 128 channels, expected heads of 64"):
        conformance.sizes_of(meta)


def test_files_that_cannot_be_replayed_are_refused_by_name_and_the_rest_goes_on(
    conformance, tmp_path, monkeypatch, capsys
):
    np = conformance.np
    metas = {
        "golden_v2_odd_0": {"version": "v2", "dims": "odd", "seed": 0},
        "e2e_v2_odd_0": {"version": "v2", "dims": "odd", "seed": 0},
        "golden_v9_tiny_0": {"version": "v9", "dims": "tiny", "seed": 0},
    }
    for name, meta in metas.items():
        np.savez(tmp_path / f"{name}.npz", meta=np.frombuffer(json.dumps(meta).encode(), np.uint8))
    np.savez(tmp_path / "golden_v2_tiny_1.npz", a=np.zeros(1))
    (tmp_path / "golden_v2_tiny_2.npz").write_bytes(b"no archive")
    monkeypatch.setattr("sys.argv", ["conformance.py", str(tmp_path)])
    assert conformance.main() == 1
    said = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if ": " in line)
    for name in ("golden_v2_odd_0.npz", "e2e_v2_odd_0.npz"):
        assert said[name].startswith("REFUSED: dims 'odd', and its meta has no s1_config")
    assert said["golden_v9_tiny_0.npz"].startswith("REFUSED: version 'v9' is not known here")
    assert "no meta" in said["golden_v2_tiny_1.npz"]
    assert "cannot be read" in said["golden_v2_tiny_2.npz"]


def test_a_difference_is_printed_when_it_is_found(conformance, tmp_path, monkeypatch, capsys):
    """Not when the file is done; a file that breaks off later has shown it."""

    def replay(file):
        yield conformance.Result("torch", "style", 2e-3, 1e-3)
        assert "style" in capsys.readouterr().out
        raise conformance.SovitsError("its graph cannot be opened")

    (tmp_path / "golden_v2_tiny_0.npz").touch()
    monkeypatch.setattr(conformance, "replay", replay)
    monkeypatch.setattr("sys.argv", ["conformance.py", str(tmp_path)])
    assert conformance.main() == 1
    assert "REFUSED: its graph cannot be opened" in capsys.readouterr().out
