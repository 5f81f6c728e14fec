"""One request for sound, whatever dialect it came in; and how the words of dialects are read leniently."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from sovits_runtime import ChunkOptions, SamplingOptions, SpeechOptions
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.errors import ShapeError, shown
from sovits_runtime.text.split import STREAM
from sovits_server.problems import BadRequestError

Delivery = Literal["chunks", "sentences", "whole"]
"""As it is made, sentence by sentence, or in one piece at the end."""

SAMPLING = ("top_k", "top_p", "temperature", "repetition_penalty")
SPEAKING = ("seed", "speed", "noise_scale", "flow_steps", "guidance")
SMALL_CHUNKS = ChunkOptions(first_tokens=10)
"""For whom the first sound is worth more than the best sound."""


@dataclass(frozen=True, kw_only=True)
class Whom:
    """Whom a request wants to hear.

    Attributes:
        voice: Name; empty: the default voice.
        strict: Whether an unknown name is an error, and not the default voice.
        emotion: Name or emotion of one of the voice's references.
        insist: Whether it is an error where the voice has none such, and not the voice's usual one.
        path: A recording in the folders that are allowed, an address, or a name; empty: the voice's own.
        words: What is said in that recording.
        language: Language of those words.
        more: Further recordings, as `path`.
    """

    voice: str = ""
    strict: bool = False
    emotion: str = ""
    insist: bool = True
    path: str = ""
    words: str = ""
    language: str = ""
    more: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One thing to say.

    Attributes:
        dialect: Who asks; for logs and metrics.
        text: What; may hold pauses and SSML.
        whom: In whose voice.
        language: Of the text; empty: the voice's own, else found out.
        cut: How text is cut into sentences, see `TextFrontend`.
        options: Fields of `SpeechOptions` and `SamplingOptions` that were asked for; others are the voice's.
        delivery: When sound is given out.
        chunks: How it is cut, with "chunks".
        pause_s: Silence between sentences; None: the voice's own.
        tail: Whether that silence follows the last one too.
        format: Of the sound.
        separate: Whether each piece is a file of its own.
    """

    dialect: str
    text: str
    whom: Whom = field(default_factory=Whom)
    language: str = ""
    cut: str = STREAM
    options: Mapping[str, Any] = field(default_factory=dict)
    delivery: Delivery = "chunks"
    chunks: ChunkOptions = field(default_factory=ChunkOptions)
    pause_s: float | None = None
    tail: bool = False
    format: str = "wav"
    separate: bool = False


def speech_options(
    values: Mapping[str, Any], *, version: ModelSpec | None = None, max_tokens: int | None = None
) -> SpeechOptions:
    """Options of a request; silence between sentences is left to the server.

    Args:
        values: Fields of `SpeechOptions` and `SamplingOptions`.
        version: That of the voice, where it is known.
        max_tokens: The operator's limit of a sentence.

    Raises:
        BadRequestError: One is out of range, or the version does not take it.
    """
    try:
        sampling = SamplingOptions(**{name: values[name] for name in SAMPLING if name in values})
        speaking = {name: values[name] for name in SPEAKING if name in values}
        options = SpeechOptions(sampling, pause_s=0.0, max_tokens=max_tokens, **speaking)
        if version is not None:
            options.check_version(version)
        return options
    except ShapeError as error:
        raise BadRequestError(str(error), param=str(error).partition(":")[0]) from None


LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        **{mode: mode for mode in ("auto", "zh", "en", "ja", "ko", "yue", "auto_yue")},
        **{mode: mode for mode in ("all_zh", "all_ja", "all_ko", "all_yue")},
        "中文": "all_zh",
        "英文": "en",
        "日文": "all_ja",
        "粤语": "all_yue",
        "韩文": "all_ko",
        "中英混合": "zh",
        "日英混合": "ja",
        "粤英混合": "yue",
        "韩英混合": "ko",
        "多语种混合": "auto",
        "多语种混合(粤语)": "auto_yue",
        "多语种混合（粤语）": "auto_yue",
        "汉语": "zh",
        "普通话": "zh",
        "英语": "en",
        "日语": "ja",
        "韩语": "ko",
        "广东话": "yue",
        "自动": "auto",
        "chinese": "zh",
        "mandarin": "zh",
        "english": "en",
        "japanese": "ja",
        "korean": "ko",
        "cantonese": "yue",
        "jp": "ja",
        "jpn": "ja",
        "kr": "ko",
        "kor": "ko",
        "cn": "zh",
        "zho": "zh",
        "eng": "en",
        "audo": "auto",
        "multilingual": "auto",
        "none": "",
        "": "",
    }
)
"""What clients write -> the runtime's mode. `audo` is the default of a client that is in wide use."""


def language_of(given: str, param: str) -> str:
    """The mode of a language, however it is written; empty where none is named.

    Raises:
        BadRequestError: It is unknown.
    """
    word = given.strip().lower()
    base = word.replace("_", "-").split("-")[0]  # zh-CN, en_US
    if word in ("zh-hk", "zh_hk", "yue-hk"):
        return "yue"
    mode = LANGUAGES.get(word)
    if mode is None and len(base) in (2, 3):
        mode = LANGUAGES.get(base)
    if mode is None:
        known = ", ".join(name for name in ("auto", "zh", "en", "ja", "ko", "yue", "all_zh", "all_ja"))
        raise BadRequestError(
            f"{param}: got {shown(given)}, expected a language such as {known}", param=param
        )
    return mode


class Fields:
    """What a client sent, read as leniently as the original reads queries: numbers and booleans may be strings.

    Args:
        values: Name -> value, of JSON or a query; names may be in any case.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {str(name).lower(): value for name, value in values.items()}

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")

    def all(self) -> dict[str, Any]:
        """Everything that was sent."""
        return dict(self._values)

    def raw(self, *names: str) -> Any:
        """The first of some names that is there and not empty, as it came."""
        return next((self._values[name] for name in names if name in self), None)

    def text(self, *names: str, default: str = "") -> str:
        """Words.

        Raises:
            BadRequestError: It is something else.
        """
        value = self.raw(*names)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _wrong(names[0], value, "text")
        return str(value)

    def number(self, *names: str, default: float | None = None) -> float | None:
        """A finite number.

        Raises:
            BadRequestError: It is something else.
        """
        value = self.raw(*names)
        if value is None:
            return default
        try:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ValueError
            number = float(value)
            if not math.isfinite(number):
                raise ValueError
        except (ValueError, OverflowError):
            raise _wrong(names[0], value, "a number") from None
        return number

    def whole(self, *names: str, default: int | None = None) -> int | None:
        """A whole number.

        Raises:
            BadRequestError: It is something else.
        """
        value = self.raw(*names)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
            return value
        if isinstance(value, str) and len(value) < 24 and value.strip().lstrip("+-").isdecimal():
            return int(value)
        number = self.number(*names)
        if number is None:
            return default
        if not number.is_integer() or abs(number) >= 1 << 53:
            raise _wrong(names[0], value, "a whole number")
        return int(number)

    def flag(self, *names: str, default: bool = False) -> bool:
        """Yes or no.

        Raises:
            BadRequestError: It is something else.
        """
        value = self.raw(*names)
        if value is None:
            return default
        word = str(value).strip().lower()
        if word in ("true", "1", "1.0", "yes", "on", "t", "y", "ture"):  # the last is one client's default
            return True
        if word in ("false", "0", "0.0", "no", "off", "f", "n", "none", "null"):
            return False
        raise _wrong(names[0], value, "true or false")

    def texts(self, *names: str) -> tuple[str, ...]:
        """Several words, of a list or of one string.

        Raises:
            BadRequestError: It is something else.
        """
        value = self.raw(*names)
        if value is None:
            return ()
        items = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(item, str) for item in items):
            raise _wrong(names[0], value, "a list of texts")
        return tuple(item for item in items if item)


def _wrong(name: str, value: object, expected: str) -> BadRequestError:
    return BadRequestError(f"{name}: got {shown(value)}, expected {expected}", param=name)
