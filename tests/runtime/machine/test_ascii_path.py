"""Libraries in C get a name that they can open, whatever the user's profile is called."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from sovits_runtime.errors import TextError
from sovits_runtime.machine.ascii_path import ascii_path
from sovits_runtime.text.ja import openjtalk

PROFILE = r"C:\Users\胡桃\AppData\Local\dic"


@pytest.fixture
def short_names(monkeypatch):
    """Windows, which has short names for some folders."""
    names = {PROFILE: r"C:\Users\4F1C~1\AppData\Local\dic"}
    windows = ModuleType("sovits_runtime.machine.windows")
    windows.short_name = lambda path: names.get(path, path)
    monkeypatch.setitem(sys.modules, windows.__name__, windows)
    monkeypatch.setattr(sys, "platform", "win32")
    return names


def test_a_short_name_is_taken_only_where_it_is_needed(short_names):
    assert ascii_path(Path(PROFILE)) == short_names[PROFILE]
    assert ascii_path(Path(r"C:\dic")) == r"C:\dic"
    assert ascii_path(Path(r"D:\声音\dic")) == r"D:\声音\dic"  # a disk without short names


def test_other_systems_open_what_they_are_given(tmp_path):
    assert ascii_path(tmp_path / "声音") == str(tmp_path / "声音")


def test_open_jtalk_is_given_that_name(short_names, monkeypatch):
    opened = []

    class Engine(ModuleType):
        @staticmethod
        def OpenJTalk(dn_mecab):  # noqa: N802
            opened.append(dn_mecab)
            if not dn_mecab.isascii():
                raise RuntimeError("failed to initialize Mecab")
            return "engine"

    monkeypatch.setattr(openjtalk, "import_extra", lambda *_: Engine("pyopenjtalk.openjtalk"))
    make = getattr(openjtalk._engine, "__wrapped__", openjtalk._engine)
    monkeypatch.setattr(openjtalk, "find_dictionary", lambda: Path(PROFILE))
    assert make() == "engine"
    assert opened == [short_names[PROFILE].encode()]
    monkeypatch.setattr(openjtalk, "find_dictionary", lambda: Path(r"D:\声音\dic"))
    with pytest.raises(
        TextError, match=r"cannot be opened \(failed to initialize Mecab\), which Windows opens under"
    ):
        make()
