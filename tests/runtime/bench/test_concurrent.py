"""Many listeners at once, through the command: figures of each number, the report, and what it refuses."""

import json

import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime.bench.concurrent import bench_concurrent
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import ShapeError


def bench(*arguments):
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def test_it_prints_what_each_number_of_listeners_heard(tiny_bundle, tmp_path):
    common = (tiny_bundle, "--concurrent", "1, 3", "--tokens", "26", "--repeats", "2", "--threads", "1")
    result = bench(*common, "--json", "--report", tmp_path / "report")
    assert result.exit_code == 0, result.output
    one, three = json.loads(result.stdout)["listeners"]
    assert (one["count"], three["count"]) == (1, 3)
    assert one["rows_per_step"] == pytest.approx(26 / 25)  # the first token is the prefill's
    assert three["rows_per_step"] > 1.5
    for each in (one, three):
        assert 0 < each["first_p50_s"] <= each["first_p95_s"]
        assert each["gap_p95_s"] >= 0
        assert each["audio_per_s"] == pytest.approx(each["tokens_per_s"] / 25, rel=0.2)
    written = json.loads((tmp_path / "report" / "concurrent.json").read_text(encoding="utf-8"))
    assert written == json.loads(result.stdout)
    assert "3 listeners" in (tmp_path / "report" / "concurrent.svg").read_text(encoding="utf-8")
    assert "Many listeners at once" in (tmp_path / "report" / "concurrent.html").read_text(encoding="utf-8")


def test_it_prints_lines(tiny_bundle):
    result = bench(tiny_bundle, "--concurrent", "2", "--tokens", "8", "--repeats", "1", "--threads", "1")
    assert result.exit_code == 0, result.output
    heads, figures = result.stdout.splitlines()[1:]
    assert heads.split()[0] == "Listeners"
    assert figures.split()[0] == "2"


def test_what_it_cannot_do_is_refused(tiny_bundle):
    for wrong in ("", "0", "1,x", "-1", "1,,2"):
        result = bench(tiny_bundle, "--concurrent", wrong)
        assert result.exit_code == 2
        assert f"got {wrong!r}, expected numbers of listeners, such as 1,2,4,8,16" in result.stderr
    assert (
        "leave --against-eager out" in bench(tiny_bundle, "--concurrent", "1", "--against-eager", "x").stderr
    )
    with pytest.raises(ShapeError, match=r"got \[65\] listeners"):
        bench_concurrent(Bundle.open(tiny_bundle), [65])
