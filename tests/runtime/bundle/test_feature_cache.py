"""What is dear to compute is kept by content, within bounds, and damage or a read-only place is no error."""

import os

import numpy as np
import pytest

from sovits_runtime import Synthesizer
from sovits_runtime.bundle import feature_cache
from sovits_runtime.bundle.feature_cache import FeatureCache, reference_cache, user_cache_folder

KEYS = [letter * 32 for letter in "abc"]


def load(path):
    with np.load(path) as arrays:
        return arrays["x"]


def save(value, path):
    np.savez(path, x=value)


def fetched(cache, key, value=1):
    """The result of a key, and how often it had to be made."""
    made = []

    def make():
        made.append(key)
        return np.full(100, value)

    return int(cache.get(key, load=load, make=make, save=save)[0]), len(made)


def test_a_result_is_made_once(tmp_path):
    cache = FeatureCache(tmp_path / "new" / "folder", 1 << 20)
    assert [fetched(cache, KEYS[0], n) for n in (1, 2)] == [(1, 1), (1, 0)]
    assert fetched(FeatureCache(tmp_path / "new" / "folder", 1 << 20), KEYS[0]) == (1, 0)


@pytest.mark.parametrize("damage", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_damage_is_named_in_one_line_and_the_result_made_again(tmp_path, caplog, damage):
    cache = FeatureCache(tmp_path, 1 << 20)
    fetched(cache, KEYS[0])
    path = tmp_path / f"{KEYS[0]}.npz"
    path.write_bytes(damage)
    assert fetched(cache, KEYS[0], 2) == (2, 1)
    assert [str(path) in r.message and "\n" not in r.message for r in caplog.records] == [True]
    assert fetched(cache, KEYS[0], 3) == (2, 0)


def test_the_least_recently_used_go_and_other_files_stay(tmp_path):
    own = tmp_path / "mine.npz"
    own.write_bytes(bytes(1 << 16))
    fetched(FeatureCache(tmp_path, 1 << 20), KEYS[0])
    size = (tmp_path / f"{KEYS[0]}.npz").stat().st_size
    cache = FeatureCache(tmp_path, 2 * size)
    fetched(cache, KEYS[1])
    for age, key in ((200, KEYS[0]), (100, KEYS[1])):
        path = tmp_path / f"{key}.npz"
        stamp = path.stat().st_mtime - age
        os.utime(path, (stamp, stamp))
    fetched(cache, KEYS[0])
    fetched(cache, KEYS[2])
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{KEYS[0]}.npz", f"{KEYS[2]}.npz", own.name]


def test_a_place_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    cache = FeatureCache(tmp_path / "file", 1 << 20)
    assert [fetched(cache, KEYS[0], n) for n in (1, 2)] == [(1, 1), (2, 1)]
    assert "cannot keep" in caplog.text


@pytest.mark.parametrize("named", [False, True])
def test_a_home_that_cannot_be_written_is_told_quietly_unless_the_place_was_named(named, monkeypatch, caplog):
    monkeypatch.delenv("SOVITS_EXPORT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null/home")  # not even root can write there
    if named:
        monkeypatch.setenv("SOVITS_EXPORT_CACHE", "/dev/null/cache")
    with caplog.at_level("INFO"):
        assert fetched(FeatureCache(user_cache_folder(), 1 << 20), KEYS[0]) == (1, 1)
    levels = [record.levelname for record in caplog.records if "cannot keep" in record.message]
    assert levels == ["WARNING" if named else "INFO"]


def test_the_place_follows_variable_and_platform(monkeypatch, tmp_path):
    monkeypatch.setenv("SOVITS_EXPORT_CACHE", str(tmp_path / "given"))
    assert user_cache_folder() == tmp_path / "given"
    monkeypatch.delenv("SOVITS_EXPORT_CACHE")
    for platform, variable in (("linux", "XDG_CACHE_HOME"), ("win32", "LOCALAPPDATA")):
        monkeypatch.setattr(feature_cache.sys, "platform", platform)
        monkeypatch.setenv(variable, str(tmp_path / variable))
        assert user_cache_folder() == tmp_path / variable / "sovits-export"


def closed_to_files(dir):
    raise PermissionError(13, "Access is denied", str(dir))


def test_whether_a_bundle_can_be_written_leaves_nothing_in_it(copied_bundle):
    before = sorted(copied_bundle.rglob("*"))
    assert reference_cache(copied_bundle).folder == copied_bundle / "references"
    assert sorted(copied_bundle.rglob("*")) == before


def test_a_read_only_bundle_is_read_and_what_is_new_goes_to_the_users_folder(
    copied_bundle, demo_files, monkeypatch, tmp_path
):
    wav = demo_files.reference_wav
    with Synthesizer.load(copied_bundle, threads=1) as voice:
        shipped = voice.reference(wav, ["HH", "."])
    monkeypatch.setenv("SOVITS_EXPORT_CACHE", str(tmp_path / "user"))
    monkeypatch.setattr(feature_cache.tempfile, "TemporaryFile", closed_to_files)
    monkeypatch.setattr(
        feature_cache.os, "access", lambda path, mode: True
    )  # as Windows says of every folder
    assert reference_cache(copied_bundle).folder == tmp_path / "user" / "references"
    with Synthesizer.load(copied_bundle, threads=1) as voice:
        assert voice.reference(wav, ["HH", "."]).key == shipped.key
        assert voice._reference_encoder is None, "the reference that came with the bundle was not used"
        new = voice.reference(wav, ["HH", "AH0", "."])
    assert [p.stem for p in (tmp_path / "user" / "references").iterdir()] == [new.key]
    assert [p.stem for p in (copied_bundle / "references").iterdir() if p.stem == new.key] == []


def test_a_renamed_reference_is_not_taken_for_another(copied_bundle, demo_files, caplog):
    wav = demo_files.reference_wav
    with Synthesizer.load(copied_bundle, threads=1) as voice:
        first, second = voice.reference(wav, ["HH", "."]), voice.reference(wav, ["AH0", "."])
    folder = copied_bundle / "references"
    os.replace(folder / f"{first.key}.npz", folder / f"{second.key}.npz")
    with Synthesizer.load(copied_bundle, threads=1) as voice:
        again = voice.reference(wav, ["AH0", "."])
    assert again.phones.tolist() == second.phones.tolist()
    assert f"it holds the reference {first.key}" in caplog.text


def test_what_only_reads_recordings_is_released_and_opened_again(copied_bundle, demo_files):
    with Synthesizer.load(copied_bundle, threads=1) as voice:
        first = voice.reference(demo_files.reference_wav, ["HH", "."])
        assert voice._reference_encoder is not None
        voice.release_feature_graphs()
        assert voice._reference_encoder is None
        assert voice.reference(demo_files.reference_wav, ["HH", "."]).key == first.key
        assert voice._reference_encoder is None
        assert len(voice.reference(demo_files.reference_wav, ["AH0", "."]).prompt)
