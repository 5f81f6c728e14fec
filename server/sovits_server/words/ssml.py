"""The part of SSML that means something here: speak, p, s, sub, break. All else is refused, and never left out unsaid.

Read by expat, Python's own parser, which is told to refuse declarations: no entity is ever defined, so none grows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.parsers import expat

from sovits_server.problems import BadRequestError
from sovits_server.words.parts import Part, check_pause

STRENGTHS_MS = {"none": 0, "x-weak": 250, "weak": 500, "medium": 750, "strong": 1000, "x-strong": 1250}
PARAGRAPH_MS = 400
"""After a paragraph, beyond the silence after its last sentence."""
MOST_CHARACTERS = 200_000
_DEEPEST = 16
_START = re.compile(r"\ufeff?\s*<(speak[\s>/]|\?xml\s|!DOCTYPE\s)", re.IGNORECASE)
_TIME = re.compile(r"\s*\+?(\d{0,9}(?:\.\d{1,6})?)\s*(ms|s)\s*", re.IGNORECASE)
_WRITTEN = 40
_KNOWN = "expected speak, p, s, sub and break"
_ATTRIBUTES = {
    "speak": {"version", "xml:lang", "xml:base"},
    "p": set(),
    "s": set(),
    "sub": {"alias"},
    "break": {"time", "strength"},
}


def is_ssml(text: str) -> bool:
    """Whether a text says of itself that it is SSML."""
    return _START.match(text) is not None and "<speak" in text


def read_ssml(text: str) -> tuple[Part, ...]:
    """Reads a document.

    Raises:
        BadRequestError: It is damaged, declares something, or holds an element or attribute that is not known here.
    """
    if len(text) > MOST_CHARACTERS:
        raise _refusal(f"got {len(text)} characters, expected at most {MOST_CHARACTERS}")
    reader = _Reader()
    parser = expat.ParserCreate(encoding="utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = _declared
    parser.ProcessingInstructionHandler = _instruction
    try:
        parser.Parse(text.lstrip("\ufeff \t\r\n").encode("utf-8"), True)
    except UnicodeEncodeError as error:
        raise _refusal("got half of a pair of surrogates, expected text") from error
    except expat.ExpatError as error:
        where = f"line {error.lineno}, column {error.offset + 1}"
        raise _refusal(
            f"{expat.ErrorString(error.code)} at {where}; & and < are written &amp; and &lt;"
        ) from error
    return tuple(reader.parts)


def _refusal(reason: str) -> BadRequestError:
    return BadRequestError(f"SSML: {reason}")


def _declared(*_: object) -> None:
    raise _refusal("got a declaration of a document type or an entity, expected none; leave it out")


def _instruction(target: str, _: str) -> None:
    raise _refusal(f"got the instruction <?{target[:_WRITTEN]}, expected none; leave it out")


class _Reader:
    """Gathers parts while the parser reads; refuses what it does not know."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._open: list[str] = []
        self._alias: str | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = tag.lower()
        if name not in _ATTRIBUTES:
            raise _refusal(f"got <{tag[:_WRITTEN]}>, {_KNOWN}; leave it out, its text may stay")
        if (name == "speak") != (not self._open):
            raise _refusal(
                f"got <{name}> {'inside <speak>' if self._open else 'first'}, expected one <speak> around all"
            )
        if self._open and self._open[-1] in ("sub", "break"):
            raise _refusal(f"got <{name}> inside <{self._open[-1]}>, expected nothing but text there")
        if len(self._open) >= _DEEPEST:
            raise _refusal(f"got elements nested {_DEEPEST + 1} deep, expected at most {_DEEPEST}")
        self._check_attributes(name, attributes)
        self._open.append(name)
        if name == "break":
            self.parts.append(Part("", _break_ms(attributes)))
        elif name == "sub":
            self._alias = attributes.get("alias", "").strip()
            if not self._alias:
                raise _refusal('got <sub> without words, expected <sub alias="what is said">')

    def end(self, tag: str) -> None:
        name = self._open.pop()
        if name == "sub" and self._alias is not None:
            self.parts.append(Part(self._alias))
            self._alias = None
        elif name in ("p", "s"):
            self._close_sentence(PARAGRAPH_MS if name == "p" else 0)

    def characters(self, data: str) -> None:
        if self._open and self._open[-1] == "break" and data.strip():
            raise _refusal("got text inside <break>, expected <break/>")
        if self._alias is None:
            self.parts.append(Part(_SPACES.sub(" ", data)))

    def _close_sentence(self, pause_ms: int) -> None:
        """A sentence ends here, also where no full stop says so."""
        said = next((part.text.rstrip() for part in reversed(self.parts) if part.text.strip()), "")
        open_end = bool(said) and said[-1] not in _ENDS
        self.parts.append(Part("\n" if open_end else " ", pause_ms))

    def _check_attributes(self, name: str, attributes: Mapping[str, str]) -> None:
        for attribute in attributes:
            about_names = name == "speak" and attribute.startswith(("xmlns", "xsi:"))
            if attribute not in _ATTRIBUTES[name] and not about_names:
                known = ", ".join(sorted(_ATTRIBUTES[name])) or "none"
                raise _refusal(
                    f"got the attribute {attribute[:_WRITTEN]} of <{name}>, expected {known}; leave it out"
                )


_SPACES = re.compile(r"\s+")
_ENDS = ".!?;:。！？；：…，,、\"'”’」』)）"


def _break_ms(attributes: Mapping[str, str]) -> int:
    """The length of a break: its time, else its strength, else that of strength medium."""
    if "time" in attributes:
        written = attributes["time"]
        found = _TIME.fullmatch(written)
        if found is None or not found[1]:
            raise _refusal(f"got the time {written[:_WRITTEN]!r} of a break, expected such as 500ms or 1.5s")
        return check_pause(float(found[1]) * (1 if found[2].lower() == "ms" else 1000), written)
    strength = attributes.get("strength", "medium").strip().lower()
    if strength not in STRENGTHS_MS:
        known = ", ".join(STRENGTHS_MS)
        raise _refusal(f"got the strength {strength[:_WRITTEN]!r} of a break, expected one of {known}")
    return STRENGTHS_MS[strength]
