"""Open JTalk: found with its dictionary, asked for phones with pitch marks.

The dictionary (100 MB) is the user's to fetch once: `open_jtalk_dic_utf_8-1.11`, which Debian packages as
`open-jtalk-mecab-naist-jdic`. Nothing is downloaded here; pyopenjtalk's own download is never reached.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Final

from sovits_runtime.errors import TextError
from sovits_runtime.machine.ascii_path import ascii_path
from sovits_runtime.machine.data_folder import fetched_text
from sovits_runtime.text.extras import import_extra, once

DICTIONARY_VARIABLE: Final = "OPEN_JTALK_DICT_DIR"
DICTIONARY_NAME: Final = "open_jtalk_dic_utf_8-1.11"
OTHER_READING_NOTE: Final = (
    "Japanese: read by pyopenjtalk-plus, whose accents differ from those the models were trained on; "
    f"for those install pyopenjtalk 0.4.1 in its place, with {DICTIONARY_NAME}"
)
_SYSTEM_FOLDERS: Final = ("/var/lib/mecab/dic/open-jtalk/naist-jdic", "/usr/share/open_jtalk/dic")
_BUNDLED_FOLDER: Final = "dictionary"
# Open JTalk copies the text into a buffer of 8192 bytes, 3 a character, without looking at its length.
_LONGEST_CHUNK: Final = 800
_ABSENT: Final = -50
_ENGINE_LOCK: Final = Lock()

_PHONE: Final = re.compile(r"-(.*?)\+")
_NUMBERS: Final = tuple(
    re.compile(pattern) for pattern in (r"/A:([0-9\-]+)\+", r"\+(\d+)\+", r"\+(\d+)/", r"/F:(\d+)_")
)
_MORA_PHONES: Final = frozenset({*"aeiouAEIOUN", "cl"})
_DEVOICED: Final = frozenset("AEIOU")
_REPETITION: Final = re.compile("([\u3400-\u9fff])々")


def _package_folder() -> Path | None:
    spec = find_spec("pyopenjtalk")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0]) if folders else None


def find_dictionary() -> Path | None:
    """Folder of the dictionary: `OPEN_JTALK_DICT_DIR`, pyopenjtalk's own folder, Debian's, the fetched one, or None.

    Raises:
        TextError: The variable names a folder without a dictionary.
    """
    named = os.environ.get(DICTIONARY_VARIABLE)
    if named:
        if not Path(named, "sys.dic").is_file():
            raise TextError(
                f"{DICTIONARY_VARIABLE} names {named!r}, which holds no sys.dic: "
                f"name the folder of {DICTIONARY_NAME}, or unset it"
            )
        return Path(named)
    package = _package_folder()
    candidates = [package / DICTIONARY_NAME] if package else []
    candidates += [Path(folder) for folder in _SYSTEM_FOLDERS]
    candidates += [fetched_text(DICTIONARY_NAME)]
    candidates += [package / _BUNDLED_FOLDER] if package else []
    return next((folder for folder in candidates if (folder / "sys.dic").is_file()), None)


@once
def _engine() -> Any:
    module = import_extra("pyopenjtalk.openjtalk", "ja")
    folder = find_dictionary()
    if folder is None:
        raise TextError(
            f"Japanese needs the dictionary {DICTIONARY_NAME}, which was not found: 'sovits-export fetch "
            f"openjtalk', or install Debian's open-jtalk-mecab-naist-jdic, or name its folder in {DICTIONARY_VARIABLE}"
        )
    name = ascii_path(folder)
    try:
        return module.OpenJTalk(dn_mecab=name.encode())
    except RuntimeError as error:
        rest = "" if name.isascii() else ", which Windows opens under a name in ASCII letters alone"
        raise TextError(
            f"the dictionary {folder} cannot be opened ({error}){rest}; 'sovits-export fetch openjtalk' gets a whole "
            f"one, and {DICTIONARY_VARIABLE} names one elsewhere"
        ) from error


def reads_otherwise() -> bool:
    """Whether pyopenjtalk-plus stands in for pyopenjtalk; it is the one that brings a dictionary along."""
    package = _package_folder()
    return package is not None and (package / _BUNDLED_FOLDER).is_dir()


def _numbers(label: str) -> tuple[int, ...]:
    matches = (pattern.search(label) for pattern in _NUMBERS)
    return tuple(int(match[1]) if match else _ABSENT for match in matches)


def _phones_from_labels(labels: Sequence[str]) -> list[str]:
    phones: list[str] = []
    numbers = [_numbers(label) for label in labels]
    for index, label in enumerate(labels[1:-1], start=1):
        match = _PHONE.search(label)
        phone = match[1] if match else ""
        phone = phone.lower() if phone in _DEVOICED else phone
        if phone in ("pau", "sil"):
            phones.append("_")
            continue
        phones.append(phone)
        from_fall, mora, moras_left, mora_count = numbers[index]
        next_mora = numbers[index + 1][1]
        if moras_left == 1 and next_mora == 1 and phone in _MORA_PHONES:
            phones.append("#")
        elif from_fall == 0 and next_mora == mora + 1 and mora != mora_count:
            phones.append("]")
        elif mora == 1 and next_mora == 2:
            phones.append("[")
    return phones


def phones_with_pitch(chunk: str) -> list[str]:
    """Phones of one stretch of Japanese characters, with `[` rise, `]` fall, `#` phrase border, `_` pause.

    Args:
        chunk: Characters that Open JTalk reads; marks count as pauses.

    Raises:
        TextError: pyopenjtalk or a dictionary is missing.

    Source: ESPnet (Apache-2.0), espnet2/text/phoneme_tokenizer.py, pyopenjtalk_g2p_prosody, after Kurihara et al.
    """
    return _phones(_features(chunk))


def read_aloud(chunk: str) -> tuple[list[str], str, list[str]]:
    """Phones of one stretch, the stretch without the characters that have no reading, and those.

    Open JTalk says nothing for them, nor for what it takes for one word with them. 々 becomes what it repeats.

    Args:
        chunk: Characters that Open JTalk may read.

    Raises:
        TextError: pyopenjtalk or a dictionary is missing.
    """
    features = _features(chunk)
    unread = "".join(part["string"] for parts in features for part in parts if not part["mora_size"])
    silent = [char for char in dict.fromkeys(unread) if char.isalnum() and not _has_reading(char)]
    if not silent:
        return _phones(features), chunk, []
    repeated = _REPETITION.sub(r"\1\1", chunk) if "々" in silent else chunk
    dropped = [char for char in silent if char in repeated]
    readable = "".join(char for char in repeated if char not in dropped)
    return _phones(_features(readable)), readable, dropped


def _features(chunk: str) -> list[list[dict[str, Any]]]:
    """What Open JTalk finds in a stretch, part by part."""
    engine = _engine()
    found = []
    for start in range(0, len(chunk), _LONGEST_CHUNK):
        with _ENGINE_LOCK:
            found.append(engine.run_frontend(chunk[start : start + _LONGEST_CHUNK]))
    return found


def _phones(features: list[list[dict[str, Any]]]) -> list[str]:
    engine = _engine()
    phones: list[str] = []
    for parts in features:
        with _ENGINE_LOCK:
            labels = engine.make_label(parts) if any(part["mora_size"] for part in parts) else []
        phones += _phones_from_labels(labels)
    return phones


@lru_cache(maxsize=4096)
def _has_reading(char: str) -> bool:
    return any(part["mora_size"] for parts in _features(char) for part in parts)
