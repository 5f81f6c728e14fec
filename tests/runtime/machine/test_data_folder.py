"""Where caches and fetched data lie, for users with and without a home."""

import os
import tempfile
from pathlib import Path

import pytest

from sovits_runtime.bundle.feature_cache import user_cache_folder
from sovits_runtime.machine.data_folder import user_data_folder

VARIABLES = ("SOVITS_EXPORT_DATA", "SOVITS_EXPORT_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


def test_both_lie_in_the_home(home):
    assert user_data_folder().is_relative_to(home)
    assert user_cache_folder().is_relative_to(home)


def test_a_home_that_is_another_users_is_none(home, monkeypatch):
    """As where a container's variable says /root, and its user is not root."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != home)
    place = Path(tempfile.gettempdir()) / "sovits-export"
    assert user_cache_folder() == place
    assert user_data_folder() in (place, place / "data")


def test_a_home_that_is_not_there_yet_is_one(home, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: home / "new")
    assert user_data_folder().is_relative_to(home / "new")
