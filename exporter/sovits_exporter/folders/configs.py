"""Reads the small files that packs and GPT-SoVITS keep beside weights: configs, annotation lists, transcripts.

They come from strangers, in several encodings. What cannot be read is as good as not there, and is said in a log line.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from sovits_runtime.text.segment import MODES

log = logging.getLogger(__name__)

_MOST_BYTES = 64 << 20
_YAML_PATH = re.compile(
    r"^\s*(?P<key>t2s_weights_path|vits_weights_path)\s*:\s*(?P<value>.+?)\s*$", re.MULTILINE
)
_YAML_CUSTOM = re.compile(r"^custom\s*:(?P<block>(?:\n[ \t]+.*|\n\s*)*)", re.MULTILINE)
LANGUAGES: Mapping[str, str] = {
    **{mode: mode for mode in MODES},
    "jp": "ja",
    "chinese": "zh",
    "english": "en",
    "japanese": "ja",
    "korean": "ko",
    "cantonese": "yue",
    "中文": "zh",
    "英文": "en",
    "英语": "en",
    "日文": "ja",
    "日语": "ja",
    "韩文": "ko",
    "韩语": "ko",
    "粤语": "yue",
    "中英混合": "zh",
    "日英混合": "ja",
    "韩英混合": "ko",
    "粤英混合": "yue",
}
"""What tools call a language -> ours. Their words for "any language" are left out: the script decides then."""
_ANY = {"auto", "auto_yue"}


@dataclass(frozen=True)
class Annotation:
    """A line of an annotation list.

    Attributes:
        wav: Name of the recording, without its folder.
        speaker: Whose it is.
        language: Ours; "" where the list's is none that we know.
        text: What is said.
    """

    wav: str
    speaker: str
    language: str
    text: str


def language_of(word: object) -> str:
    """Our name of a language that a config or a folder names; "" where it is none, or any."""
    found = LANGUAGES.get(str(word).strip().lower(), "")
    return "" if found in _ANY else found


def last_part(path: object) -> str:
    """The name of a file whose path another computer wrote, whatever its system."""
    return PureWindowsPath(str(path).strip().strip("\"'")).name


def read_words(path: Path) -> str | None:
    """The content of a text file, in UTF-8 or GBK; None where it cannot be read."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES >> 20} MiB")
        content = path.read_bytes()
        for encoding in ("utf-8-sig", "cp936"):
            try:
                return content.decode(encoding).replace("\r\n", "\n")
            except UnicodeDecodeError:
                continue
        raise ValueError("it is neither UTF-8 nor GBK")
    except (OSError, ValueError) as error:
        log.info("%s: left out (%s)", path, error)
        return None


def read_object(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where the file holds none."""
    words = read_words(path)
    try:
        value = json.loads(words) if words else {}
    except (ValueError, RecursionError) as error:
        log.info("%s: left out (%s)", path, error)
        return {}
    return value if isinstance(value, dict) else {}


def served_pair(path: Path) -> tuple[str, str] | None:
    """Names of the GPT and SoVITS files that a `tts_infer.yaml` serves: its `custom` section, else its first.

    The files are made by one program and hold plain lines, so no reader of all of YAML is needed.
    """
    words = read_words(path) or ""
    custom = _YAML_CUSTOM.search(words)
    paths: dict[str, str] = {}
    for found in _YAML_PATH.finditer(custom["block"] if custom else words):
        paths.setdefault(found["key"], last_part(found["value"]))
    gpt, sovits = paths.get("t2s_weights_path"), paths.get("vits_weights_path")
    return (gpt, sovits) if gpt and sovits else None


def read_list(path: Path) -> Iterator[Annotation]:
    """The lines of an annotation list: `wav|speaker|LANG|text`."""
    for line in (read_words(path) or "").splitlines():
        parts = line.split("|", 3)
        if len(parts) == 4 and parts[3].strip():
            wav, speaker, language, text = parts
            yield Annotation(last_part(wav), speaker.strip(), language_of(language), text.strip())


def names_to_text(path: Path) -> Mapping[str, str]:
    """Of `2-name2text.txt`: recording -> what is said. Its lines are name, phones, phones a word, text."""
    found = {}
    for line in (read_words(path) or "").splitlines():
        parts = line.split("\t")
        if len(parts) == 4 and parts[3].strip():
            found[parts[0]] = parts[3].strip()
    return found
