"""Profiles on disk: a small TOML file a voice, readable and written by people; JSON of the same shape is read too."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovits_runtime import SpeechOptions
from sovits_runtime.bundle.files import write_file
from sovits_runtime.errors import SovitsError, first_line, shown
from sovits_runtime.machine.json_file import open_regular, parse_json
from sovits_runtime.text.segment import MODES
from sovits_server.problems import ConfigError
from sovits_server.voices.names import check_name
from sovits_server.voices.voice import Voice, VoiceReference, with_options

SUFFIXES = (".toml", ".json")
MOST_BYTES = 1 << 20
MOST_REFERENCES = 1000
LOUDEST_DB = 24.0
_TEXT_LENGTH = 2000
_VOICE = ("name", "bundle", "language", "gain_db", "picture", "options", "references")
_REFERENCE = ("name", "file", "text", "language", "phones", "emotion", "gain_db")


def read_profile(path: Path) -> Voice:
    """Reads a profile. Paths in it are relative to its folder.

    Raises:
        ConfigError: It cannot be read, or says something that makes no sense; names what.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        table = parse_json(content) if path.suffix == ".json" else tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ConfigError(f"{path}: not a voice's profile ({reason})") from error
    fields = _Fields(path, "", table, _VOICE)
    listed = fields.take("references", list, [], "a list of [[references]]")
    if len(listed) > MOST_REFERENCES:
        raise fields.wrong("references", len(listed), f"at most {MOST_REFERENCES}")
    references = tuple(_reference(path, number, entry) for number, entry in enumerate(listed, 1))
    seen: set[str] = set()
    for reference in references:
        if reference.name.casefold() in seen:
            raise fields.wrong("references", reference.name, "each name once")
        seen.add(reference.name.casefold())
    picture = fields.text("picture")
    return Voice(
        name=fields.name(path.stem),
        bundle=_bundle(fields, path),
        references=references,
        language=fields.language(),
        gain_db=fields.gain(),
        options=_options(fields),
        picture=path.parent / picture if picture else None,
        profile=path,
    )


def _bundle(fields: _Fields, path: Path) -> Path:
    folder = path.parent / (fields.text("bundle") or path.stem)
    if not (folder / "manifest.json").is_file():
        raise fields.wrong("bundle", str(folder), "the folder of an exported voice, with its manifest.json")
    return folder


def _reference(path: Path, number: int, entry: object) -> VoiceReference:
    fields = _Fields(path, f"references, no. {number}: ", entry, _REFERENCE)
    file = fields.text("file")
    if not file or not (path.parent / file).is_file():
        raise fields.wrong("file", file, "a recording, relative to the profile")
    phones = fields.take("phones", list, [], "a list of phones")
    text = fields.text("text")
    if not all(isinstance(phone, str) for phone in phones) or (phones and text):
        raise fields.wrong("phones", phones, "phones as strings, and no text beside them")
    return VoiceReference(
        name=fields.name(Path(file).stem),
        path=path.parent / file,
        text=text,
        language=fields.language(),
        phones=tuple(phones),
        emotion=fields.text("emotion"),
        gain_db=fields.gain(),
    )


def _options(fields: _Fields) -> dict[str, float]:
    options: dict[str, Any] = fields.take("options", dict, {}, "a table [options]")
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise fields.wrong(f"options.{name}", value, "a number")
    try:
        with_options(SpeechOptions(), options)
    except SovitsError as error:
        raise fields.problem(str(error)) from error
    return options


@dataclass
class _Fields:
    """One table of a profile, read field by field.

    Attributes:
        path: The file.
        place: Which table of it, for messages.
        table: Its fields.
        known: Names that it may have.
    """

    path: Path
    place: str
    table: Any
    known: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.table, Mapping):
            raise self.problem(f"got {shown(self.table)}, expected a table with {', '.join(self.known)}")
        unknown = [name for name in self.table if name not in self.known]
        if unknown:
            raise self.problem(f"got {shown(unknown[0])}, expected some of {', '.join(self.known)}")

    def problem(self, reason: str) -> ConfigError:
        return ConfigError(f"{self.path}: {self.place}{reason}")

    def wrong(self, name: str, value: object, expected: str) -> ConfigError:
        return self.problem(f"{name}: got {shown(value)}, expected {expected}")

    def take(self, name: str, kind: type, default: Any, expected: str) -> Any:
        value = self.table.get(name, default)
        if not isinstance(value, kind):
            raise self.wrong(name, value, expected)
        return value

    def text(self, name: str) -> str:
        value: str = self.take(name, str, "", "text")
        if len(value) > _TEXT_LENGTH or "\x00" in value:
            raise self.wrong(name, value, f"at most {_TEXT_LENGTH} characters")
        return value.strip()

    def name(self, default: str) -> str:
        given = self.text("name") or default
        try:
            return check_name(given)
        except SovitsError as error:
            raise self.problem(str(error)) from error

    def language(self) -> str:
        value = self.text("language")
        if value and value not in MODES:
            raise self.wrong("language", value, f"one of {', '.join(MODES)}")
        return value

    def gain(self) -> float:
        value = self.table.get("gain_db", 0.0)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or abs(value) > LOUDEST_DB:
            raise self.wrong("gain_db", value, f"a number from -{LOUDEST_DB:g} to {LOUDEST_DB:g}")
        return float(value)


def write_profile(voice: Voice, path: Path) -> None:
    """Writes a profile, whole or not at all.

    Args:
        voice: What it says.
        path: A .toml or .json file.

    Raises:
        OSError: It cannot be written.
    """
    table: dict[str, Any] = {"name": voice.name, "bundle": _relative(voice.bundle, path)}
    table |= _given(language=voice.language, gain_db=voice.gain_db)
    if voice.picture is not None:
        table["picture"] = _relative(voice.picture, path)
    if voice.options:
        table["options"] = dict(voice.options)
    table["references"] = [
        {"name": r.name, "file": _relative(r.path, path)}
        | _given(
            text=r.text, language=r.language, phones=list(r.phones), emotion=r.emotion, gain_db=r.gain_db
        )
        for r in voice.references
        if not r.stored
    ]
    text = json.dumps(table, ensure_ascii=False, indent=2) + "\n" if path.suffix == ".json" else _toml(table)
    with write_file(path, sync=True) as file:
        file.write(text.encode("utf-8"))


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _relative(target: Path, profile: Path) -> str:
    """The path as a profile has it: relative where it lies in or beside the profile's folder, so both can move."""
    base, absolute = profile.parent.absolute(), target.absolute()
    for parent, up in ((base, ""), (base.parent, "../")):
        if absolute.is_relative_to(parent):
            return up + absolute.relative_to(parent).as_posix()
    return absolute.as_posix()


def _toml(table: Mapping[str, Any]) -> str:
    """The table as TOML: plain fields, then [options], then [[references]]."""
    write: Callable[[Mapping[str, Any]], list[str]] = lambda fields: [  # noqa: E731
        f"{name} = {_toml_value(value)}" for name, value in fields.items()
    ]
    plain = {name: value for name, value in table.items() if name not in ("options", "references")}
    lines = write(plain)
    if table.get("options"):
        lines += ["", "[options]", *write(table["options"])]
    for reference in table["references"]:
        lines += ["", "[[references]]", *write(reference)]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, str):  # JSON escapes all that TOML wants escaped, but for one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return repr(value)
