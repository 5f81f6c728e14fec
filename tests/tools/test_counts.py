"""What `tools/counts.py` prints is so, on packages that are small enough to count by hand."""

import pytest
from counts import circles, fewest_back, layers, main, spread
from import_graph import FOLDERS

CHAIN = {"a": set(), "b": {"a"}, "c": {"b", "a"}}
CIRCLE = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}


@pytest.mark.parametrize(("graph", "expected"), [(CHAIN, (3, 0, 0)), (CIRCLE, (3, 1, 1))])
def test_layers_circles_and_what_closes_them(graph, expected):
    assert (layers(graph), circles(graph), fewest_back(graph)) == expected


def test_one_import_may_close_several_circles():
    assert fewest_back({"a": {"b", "c"}, "b": {"c"}, "c": {"a"}}) == 1
    assert fewest_back({"a": {"b"}, "b": {"a", "c"}, "c": {"b"}}) == 2


def test_sizes_are_spread():
    assert spread([3, 1, 2]) == "2 / 3 / 3"
    assert spread(range(1, 101)) == "50 / 90 / 100"


def test_a_checkout_of_other_rooms_is_counted(tmp_path, capsys):
    for package, folder in FOLDERS.items():
        place = tmp_path / folder / package
        place.mkdir(parents=True)
        (place / "__init__.py").write_text("", encoding="utf-8")
        (place / "low.py").write_text("def f():\n    return 1\n", encoding="utf-8")
        (place / "high.py").write_text(
            f"from {package}.low import f\n\n\ndef g():\n    x = f()\n    return x\n", encoding="utf-8"
        )
    (tmp_path / "runtime" / "sovits_runtime" / "low.py").write_text(
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from sovits_runtime.high import g\n",
        encoding="utf-8",
    )
    assert main([str(tmp_path)]) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert ["sovits_runtime", "2", "2", "1", "1", "1", "1"] in rows
    assert ["sovits_engines", "2", "1", "2", "0", "0", "0"] in rows
    assert ["sovits_engines", "3", "8", "2 / 6 / 6", "2", "2 / 3 / 3"] in rows


def test_this_checkout_is_counted(capsys):
    assert main([]) == 0
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line]
    assert rows.count("sovits_runtime") == 2
    assert set(FOLDERS) < set(rows)
