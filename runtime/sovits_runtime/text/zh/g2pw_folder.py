"""The files of a G2PW folder, read as data: nothing in it is executed or unpickled.

Expected: `g2pW.onnx`, `POLYPHONIC_CHARS.txt`, `MONOPHONIC_CHARS.txt`, `bopomofo_to_pinyin_wo_tune_dict.json`, and a
tokenizer (`vocab.txt` or `tokenizer.json`) there or in the BERT folder. Used where present: `config.py`, and the
corrections `polyphonic.rep` and `polyphonic-fix.rep` that GPT-SoVITS keeps in its folder `text/g2pw`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sovits_runtime.errors import TextError

MODEL_NAMES: Final = ("g2pW.onnx", "g2pw.onnx")
CORRECTION_NAMES: Final = ("polyphonic.rep", "polyphonic-fix.rep")
_POLYPHONIC, _MONOPHONIC = "POLYPHONIC_CHARS.txt", "MONOPHONIC_CHARS.txt"
_BOPOMOFO: Final = "bopomofo_to_pinyin_wo_tune_dict.json"
_CONFIG: Final = "config.py"
_DEFAULTS: Final[Mapping[str, bool]] = {"use_mask": True, "use_char_phoneme": False}


@dataclass(frozen=True)
class G2pwFolder:
    """What the folder says.

    Attributes:
        model: The ONNX file.
        labels: What the model chooses from: bopomofo with tone digit.
        readings: Character -> indices of its labels; the order of its keys is that of the model's character ids.
        single: Character -> its only reading, bopomofo with tone digit.
        pinyin: Bopomofo without tone -> pinyin without tone.
        corrections: Word or character -> pinyin with tone digits.
        masked: Whether the model may choose among a character's own readings only.
    """

    model: Path
    labels: Sequence[str]
    readings: Mapping[str, Sequence[int]]
    single: Mapping[str, str]
    pinyin: Mapping[str, str]
    corrections: Mapping[str, Sequence[str]]
    masked: bool

    def pinyin_of(self, bopomofo: str) -> str | None:
        """Pinyin with tone digit of bopomofo with tone digit; None if the folder has no spelling for it."""
        spelling = self.pinyin.get(bopomofo[:-1])
        return spelling + bopomofo[-1] if spelling and bopomofo[-1] in "12345" else None


def read_g2pw_folder(folder: Path) -> G2pwFolder:
    """Reads a G2PW folder.

    Args:
        folder: The folder `G2PWModel` of GPT-SoVITS.

    Raises:
        TextError: A file is missing or cannot be read.
    """
    model = next((folder / name for name in MODEL_NAMES if (folder / name).is_file()), None)
    if model is None:
        raise TextError(
            f"{str(folder)!r} holds no {MODEL_NAMES[0]}: name the folder G2PWModel of GPT-SoVITS, or unset "
            "SOVITS_G2PW_DIR"
        )
    config = _read_config(folder / _CONFIG)
    pairs = list(_pairs(folder / _POLYPHONIC))
    whole = config["use_char_phoneme"]
    names = [f"{char} {sound}" if whole else sound for char, sound in pairs]
    labels = sorted(set(names))
    place = {name: index for index, name in enumerate(labels)}
    readings: dict[str, list[int]] = {}
    for (char, _), name in zip(pairs, names, strict=True):
        readings.setdefault(char, []).append(place[name])
    return G2pwFolder(
        model=model,
        labels=[name.split(" ")[-1] for name in labels],
        readings={char: readings[char] for char in sorted(readings)},
        single=dict(_pairs(folder / _MONOPHONIC)),
        pinyin=_read_json(folder / _BOPOMOFO),
        corrections={key: value for name in CORRECTION_NAMES for key, value in _corrections(folder / name)},
        masked=config["use_mask"],
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(f"{path}: cannot be read ({error}); fetch the G2PW folder anew") from error


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_read_text(path).strip().split("\n"), start=1):
        parts = line.rstrip("\r").split("\t")
        if len(parts) != 2 or len(parts[0]) != 1 or len(parts[1]) < 2:
            raise TextError(
                f"{path}, line {number}: expected a character, a tab and its reading, got {line!r:.60}"
            )
        yield parts[0], parts[1]


def _read_json(path: Path) -> dict[str, str]:
    try:
        content = json.loads(_read_text(path))
    except ValueError as error:
        raise TextError(f"{path}: not JSON ({error}); fetch the G2PW folder anew") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise TextError(f"{path}: expected a map of bopomofo to pinyin; fetch the G2PW folder anew")
    return content


def _read_config(path: Path) -> dict[str, bool]:
    """The two settings that matter at run time, from assignments of literals."""
    config = dict(_DEFAULTS)
    if not path.is_file():
        return config
    try:
        body = ast.parse(_read_text(path)).body
    except (SyntaxError, ValueError) as error:
        raise TextError(f"{path}: not a Python file of settings ({error}); fetch it anew") from error
    for node in body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id in config:
                config[target.id] = bool(node.value.value)
    return config


def _corrections(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Lines such as `重庆: ['chong2', 'qing4']`."""
    if not path.is_file():
        return
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        word, _, listed = line.partition(":")
        try:
            sounds: Any = ast.literal_eval(listed.strip())
        except (SyntaxError, ValueError) as error:
            raise TextError(
                f"{path}, line {number}: expected word: ['pin1', ...], got {line!r:.60}"
            ) from error
        word = word.strip()
        if not isinstance(sounds, list) or len(sounds) != len(word):
            raise TextError(f"{path}, line {number}: expected one reading a character, got {line!r:.60}")
        yield word, sounds
