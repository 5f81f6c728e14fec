"""What is said about packages that are not installed, and what their import may say."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sovits_runtime.errors import TextError
from sovits_runtime.text import extras

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_pip_line_alone_where_it_brings_everything():
    for python in ((3, 11), (3, 12), (3, 13), (3, 14)):
        assert extras.install_line("zh", python) == 'pip install "sovits-export[zh]"'


def test_a_compiler_is_named_for_japanese():
    assert "g++ make python3-dev" in extras.install_line("ja", (3, 12))


def test_a_later_python_is_told_which_ones_have_the_packages():
    assert "Python 3.11 to 3.14; if a package lacks for 3.15" in extras.install_line("ko", (3, 15))
    assert extras.install_line("ja", (3, 15)).count("(") == 1


def test_pythons_are_those_that_the_project_states():
    stated = [c.rpartition(" :: ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert stated[-1] == ".".join(map(str, extras.NEWEST_PYTHON))
    assert PROJECT["requires-python"] == f">={stated[0]}"
    assert f"Python {stated[0]} to" in extras.install_line("zh", (3, 99))


@pytest.mark.parametrize(("python", "tagger"), [((3, 12), "python-mecab-ko"), ((3, 13), "mecab-ko")])
def test_one_tagger_of_korean_on_each_python(python, tagger):
    lines = PROJECT["optional-dependencies"]["ko"]
    named = [line.partition("==")[0] for line in lines if extras.is_for_python(line, python)]
    assert [name for name in named if "mecab" in name] == [tagger, "python-mecab-ko-dic"]


def test_a_missing_module_is_named():
    with pytest.raises(TextError, match=r"'no_such_module', which is not installed: pip install .*\[ko\]"):
        extras.import_extra("no_such_module", "ko")


def test_a_missing_file_of_a_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "half_a_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert extras.find_package_file("half_a_package", "words", "list.txt") is None
    with pytest.raises(TextError, match=r"list\.txt is missing: the installed 'half_a_package'"):
        extras.package_file("half_a_package", "words", "list.txt", extra="zh")


def test_old_packages_say_nothing_at_their_first_compilation(tmp_path):
    (tmp_path / "old_package.py").write_text('PATTERN = "\\w"\n', encoding="utf-8")
    code = "from sovits_runtime.text.extras import import_extra; import_extra('old_package', 'ko')"
    command = [sys.executable, "-c", f"import sys; sys.path.append({str(tmp_path)!r}); {code}"]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""
