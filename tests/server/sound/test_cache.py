"""Lines by content: found again, changed by everything that changes the sound, bounded, never half."""

import os
import threading

import pytest

from sovits_runtime.errors import ShapeError
from sovits_server.sound import LineCache, line_key

LINE = {
    "text": "Good morning.",
    "voice": "alice",
    "bundle": "b" * 64,
    "reference": "r" * 32,
    "format": "mp3",
    "options": {"seed": 1, "speed": 1.0, "language": "en"},
}
KEY = line_key(**LINE)


def test_a_line_is_found_again_with_all_that_was_kept(tmp_path):
    kept = LineCache(tmp_path / "lines").put(
        KEY, b"sound\nand more", media_type="audio/mpeg", extra={"t": [0, 1]}
    )
    found = LineCache(tmp_path / "lines").get(KEY)
    assert found == kept
    assert (found.content, found.media_type, found.extra) == (b"sound\nand more", "audio/mpeg", {"t": [0, 1]})


@pytest.mark.parametrize(
    "change",
    [
        {"text": "Good morning!"},
        {"voice": "bob"},
        {"bundle": "c" * 64},
        {"reference": "s" * 32},
        {"format": "wav"},
        {"options": {"seed": 2, "speed": 1.0, "language": "en"}},
        {"options": {"seed": 1, "speed": 1.0}},
    ],
)
def test_whatever_changes_the_sound_changes_the_key(change):
    assert line_key(**{**LINE, **change}) != KEY


def test_the_order_of_options_does_not_matter():
    assert line_key(**{**LINE, "options": dict(reversed(LINE["options"].items()))}) == KEY


def test_the_least_recently_heard_go_first(tmp_path):
    cache = LineCache(tmp_path, most_bytes=4000)
    keys = [line_key(**{**LINE, "text": str(i)}) for i in range(4)]
    for age, key in enumerate(keys[:3]):
        cache.put(key, bytes(1000), media_type="audio/mpeg")
        os.utime(tmp_path / f"{key}.line", ns=(age, age))
    assert cache.get(keys[0]) is not None  # now the latest
    cache.put(keys[3], bytes(1000), media_type="audio/mpeg")
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True]


def test_a_line_longer_than_the_cache_is_not_kept(tmp_path):
    cache = LineCache(tmp_path, most_bytes=1000)
    assert cache.put(KEY, bytes(2000), media_type="audio/wav").content == bytes(2000)
    assert cache.get(KEY) is None


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"\xff\xfe\n", b"[1]\nx", b'{"form": 1}'])
def test_a_damaged_line_goes(damage, tmp_path):
    cache = LineCache(tmp_path)
    cache.put(KEY, b"sound", media_type="audio/wav")
    path = tmp_path / f"{KEY}.line"
    path.write_bytes(damage)
    assert cache.get(KEY) is None
    assert not path.exists()


def test_one_changed_byte_is_found(tmp_path):
    cache = LineCache(tmp_path)
    cache.put(KEY, b"sound", media_type="audio/wav")
    path = tmp_path / f"{KEY}.line"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert cache.get(KEY) is None


def test_etags_follow_the_content(tmp_path):
    cache = LineCache(tmp_path)
    line = cache.put(KEY, b"sound", media_type="audio/wav")
    other = cache.put(KEY, b"other", media_type="audio/wav")
    assert line.etag != other.etag
    assert line.matches(line.etag)
    assert line.matches(f'"x", W/{line.etag}')
    assert line.matches("*")
    assert not line.matches(None)
    assert not line.matches(other.etag)
    assert not line.matches("")


def test_names_of_others_stay(tmp_path):
    (tmp_path / "notes.line").write_bytes(bytes(9000))
    cache = LineCache(tmp_path, most_bytes=500)
    cache.put(KEY, b"sound", media_type="audio/wav")
    assert (tmp_path / "notes.line").exists()
    assert cache.get(KEY) is not None


def test_a_key_cannot_leave_the_folder(tmp_path):
    for key in ("../" + "a" * 61, "A" * 64, ""):
        with pytest.raises(ShapeError, match="expected one of line_key"):
            LineCache(tmp_path).get(key)


def test_a_folder_that_cannot_be_written_costs_only_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert LineCache(tmp_path / "file").put(KEY, b"sound", media_type="audio/wav").content == b"sound"
    assert "cannot be kept" in caplog.text


def test_many_threads_keep_within_the_limit(tmp_path):
    cache = LineCache(tmp_path, most_bytes=20000)

    def work(first):
        for i in range(first, first + 20):
            key = line_key(**{**LINE, "text": str(i)})
            cache.put(key, bytes(1500), media_type="audio/wav")
            cache.get(key)

    threads = [threading.Thread(target=work, args=(20 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(path.stat().st_size for path in tmp_path.glob("*.line")) <= 20000
