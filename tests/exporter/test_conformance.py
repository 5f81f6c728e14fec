"""The goldens kept in the repository, on both paths; `tests/conformance.py` replays any folder."""

import importlib
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
