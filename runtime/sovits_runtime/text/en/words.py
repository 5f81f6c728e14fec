"""Words in capitals: emphasis, acronyms that are spelled, acronyms that are words; names in mixed case."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.en.lexicon import knows
from sovits_runtime.text.en.modern import MODERN_WORDS
from sovits_runtime.text.en.short_words import SAID_AS_WORDS, SAID_OTHERWISE, SHORT_WORDS
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list

_CAPITALS: Final = re.compile(r"(?<![A-Za-z'])(?=[A-Z]+'?[A-Z])[A-Z]+(?:'[A-Z]+){0,3}(?![A-Za-z])")
_ACRONYM: Final = re.compile(r"(?<![A-Za-z'])([A-Z]{2,})(?='?s?(?![A-Za-z]))")
_PLURAL: Final = re.compile(r"(?<![A-Za-z'])([A-Z]{2,}|[A-Z])'?s(?![A-Za-z'])")
_AMPERSAND: Final = re.compile(r"(?<![A-Za-z'])[A-Z]{1,3}(?:\s?&\s?[A-Z]{1,3}){1,5}(?P<s>s?)(?![A-Za-z&])")
_ARTICLE: Final = re.compile(
    r"(?<![A-Za-z'-])(?<!PLAN )(?<!TYPE )(?<!TEAM )(?<!PART )(?<!GROUP )(?<!CLASS )(?<!GRADE )(?<!VITAMIN )"
    r"(?<!SECTION )"
    r"A(?=\s[A-Z]{2,}[A-Z' ]*(?![a-z]))(?!\s(?:IS|AND|OR|WAS|TO)\b)"
)
_ALIEN: Final = frozenset(word_list("it us am who led sat act ad or in"))
_IT_BEFORE: Final = re.compile(
    r"\b(?:in|the|of|an|our|your|their|for|my|his|her|with|from|into|and|an|new|local|corporate)\s\Z", re.I
)
_IT_AFTER: Final = re.compile(
    r"\s(?:support|department|dept|team|staff|guys?|manager|management|services?|industry|skills|jobs?|professionals?"
    r"|infrastructure|security|compan(?:y|ies)|systems?|sector|specialists?|admins?|people|workers?|help"
    r"|consultants?|projects?"
    r"|director|world|budget|equipment|experts?|engineers?|operations|degree|training|solutions|policy|costs|firm)\b"
)
_US_BEFORE: Final = re.compile(
    r"\b(?:for|to|with|of|let|tell|told|give|gave|gives|like|all|both|join|help|helped|about|against|at|between"
    r"|show|showed|made"
    r"|make|beat|saw|see|leave|left|than|among|save|love|loves|hate|hates)\s\Z",
    re.IGNORECASE,
)
_PRONOUN_BEFORE: Final = re.compile(
    r"\b(?:he|she|they|who|it|we|has|have|had|that|which|i|you|cat|dog|just)\s\Z", re.I
)
_TEST_BEFORE: Final = re.compile(
    r"\b(?:the|an|her|his|my|your|their|for|took|take|taking|pass(?:ed)?|on|and|or)\s\Z", re.I
)
_TEST_AFTER: Final = re.compile(
    r"\s(?:scores?|tests?|exams?|prep|math|verbal|and|or|is|was|in)\b|\s*[.,!?]|\s*$"
)
_VOWEL: Final = re.compile("[AEIOUY]")
_STRETCHED: Final = re.compile(r"(.)\1\1")
_SYLLABLES: Final = re.compile(r"[^AEIOUY]?[AEIOU](?:[^AEIOUY][AEIOU])+[^AEIOUY]?")
_SAYABLE: Final = re.compile(
    r"(?:[BCDFGHJKLMNPQRSTVWXYZ]|[BCFGKPST][LRHN]|[DTW][RHW]|S[CKLMNPQTW]|S[CPT]R|SCH|THR|SHR|SPL|QU|[KW]H|GN|WR|PH)?"
    r"[AEIOUY]{1,3}(?:[^AEIOUY]{1,3}[AEIOUY]{1,3}){1,6}[^AEIOUY]{0,3}|(?:[^AEIOUY]{1,2})[AEIOUY]{1,2}[^AEIOUY]{2,3}"
)
_NEIGHBOURS: Final = re.compile(r"([A-Z][A-Z']+)[,;:]?\s\Z")
_NEIGHBOUR_AFTER: Final = re.compile(r"[,;:]?\s([A-Z][A-Z']+)(?![A-Za-z])")
_CONTRACTION: Final = re.compile(r"[A-Z]+'(?:T|RE|LL|VE|M|D|CLOCK|ALL|EM)")

_DEGREES: Final = re.compile(
    r"(?<![A-Za-z])(PhD|MSc|BSc|MPhil|DPhil|EdD|PsyD|LLB|LLM|MBA|PharmD)(s?)(?![A-Za-z])"
)
_CAMEL: Final = re.compile(
    r"(?<![A-Za-z'])(?=[A-Za-z]*[a-z][A-Z]|[A-Z]{2,}[a-z]{2})[A-Za-z]{3,40}(?![A-Za-z])"
)
_CAMEL_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_HYPHENED: Final = re.compile(
    r"(?<![A-Za-z'-])[A-Za-z]+(?:'[A-Za-z]+)?(?:-[A-Za-z]+(?:'[A-Za-z]+)?){1,8}(?![A-Za-z-])"
)
_FI: Final = {"wi-fi": "wifi", "hi-fi": "hi-fi", "lo-fi": "low phi", "sci-fi": "sci-fi"}
# The dictionary has them with a reading of its own.
_MISREAD: Final = re.compile(r"(?<![A-Za-z'])(whatsapp|spacex)(?![A-Za-z])", re.IGNORECASE)
_SPECIAL: Final = {
    "whatsapp": "Whats App",
    "spacex": "Space X",
    "latex": "lay tech",
    "ios": "I O S",
    "macos": "mac O S",
    "ipados": "I pad O S",
    "mysql": "my S Q L",
}


def _near_words(match: Match[str]) -> list[str]:
    before = _NEIGHBOURS.search(match.string, max(0, match.start() - 24), match.start())
    after = _NEIGHBOUR_AFTER.match(match.string, match.end())
    return [found[1].lower() for found in (before, after) if found]


def _shouted(match: Match[str]) -> bool:
    """Whether a word beside this one is in capitals too, and a plain word."""
    return any(
        (word in SHORT_WORDS and word not in _ALIEN)
        or "'" in word
        or (len(word) > 3 and _is_long_word(word.upper()))
        for word in _near_words(match)
    )


def _is_long_word(word: str) -> bool:
    return _VOWEL.search(word) is not None and word.lower() not in SAID_OTHERWISE and knows(word)


def _context_word(lower: str, match: Match[str]) -> bool:
    """Whether a word that may be an acronym is a plain word here."""
    before = match.string[max(0, match.start() - 24) : match.start()]
    end = match.end()
    alone = not before.strip() and not match.string[end : end + 8].strip(" .!?")
    if lower in ("or", "in"):
        return True
    if alone or lower == "ad":
        return False
    if lower == "it":
        return not (_IT_BEFORE.search(before) or _IT_AFTER.match(match.string, end))
    if lower == "us":
        return (
            _US_BEFORE.search(before) is not None
            and re.match(r"\s*(?:[.!?,]|$)", match.string[end : end + 8]) is not None
        )
    if lower == "am":
        return re.search(r"\bI\s\Z", before) is not None
    if lower == "who":
        return re.search(r"\bthe\s\Z", before, re.IGNORECASE) is None and not match.string.startswith(
            "'s", end
        )
    if lower == "led":
        return _PRONOUN_BEFORE.search(before) is not None
    test = _TEST_BEFORE.search(before) is not None and _TEST_AFTER.match(match.string, end) is not None
    return not test


def _is_word(word: str, match: Match[str]) -> bool:
    """Whether a word in capitals is a plain word."""
    lower = word.lower()
    if lower in SAID_OTHERWISE:
        return False
    if lower in _ALIEN:
        return _shouted(match) or _context_word(lower, match)
    if lower in SHORT_WORDS or lower in SAID_AS_WORDS:
        return True
    if _STRETCHED.search(word) and len(word) > 3 and "WWW" not in word:
        return True
    if len(word) < 4:
        return False
    if _is_long_word(word):
        return True
    plain = _SYLLABLES.fullmatch(word) is not None or (len(word) > 5 and _SAYABLE.fullmatch(word) is not None)
    return plain or (_SAYABLE.fullmatch(word) is not None and _shouted(match))


def _capitals(match: Match[str]) -> str:
    word = match[0]
    if "'" in word:
        head, _, tail = word.rpartition("'")
        if _CONTRACTION.fullmatch(word) or knows(word) or len(head) == 1:
            return f"I'{tail.lower()}" if head == "I" else word.lower()
        if tail == "S" and "'" not in head:
            return f"{head.lower() if _is_word(head, match) else head}'s"
        return word.lower()
    if word == "OK":
        return word
    return word.lower() if _is_word(word, match) else word


def _acronym(match: Match[str]) -> str:
    lower = match[1].lower()
    return SAID_OTHERWISE.get(lower) or (lower if lower in SAID_AS_WORDS else say.letters(match[1]))


def _plural(match: Match[str]) -> str:
    word, lower = match[1], match[1].lower()
    if len(word) == 1:
        return match[0]
    if (
        (lower in SHORT_WORDS and lower not in _ALIEN)
        or lower in SAID_AS_WORDS
        or (len(word) > 3 and _is_long_word(word))
    ):
        return f"{lower}{match[0][len(word) :]}"
    return f"{SAID_OTHERWISE.get(lower) or say.letters(word)}'s"


def _ampersand(match: Match[str]) -> str:
    said = " and ".join(say.letters(part) for part in match[0].removesuffix("s").split("&"))
    return f"{said}'s" if match["s"] else said


def _camel(match: Match[str]) -> str:
    word, lower = match[0], match[0].lower()
    if lower in _SPECIAL:
        return _SPECIAL[lower]
    if knows(lower) or lower in MODERN_WORDS or word.startswith("Mc"):
        return word
    parts = _CAMEL_PARTS.findall(word)
    if any(len(part) < 4 and part != part.upper() and len(part) > 1 and not knows(part) for part in parts):
        return word
    return " ".join(part.upper() if len(part) == 1 else _camel_part(part) for part in parts)


def _camel_part(part: str) -> str:
    if part != part.upper():
        return part
    lower = part.lower()
    return lower if lower in SAID_AS_WORDS or (len(part) > 3 and _is_long_word(part)) else say.letters(part)


def _hyphened(match: Match[str]) -> str:
    word, lower = match[0], match[0].lower()
    if lower in _FI:
        return _FI[lower]
    parts = word.split("-")
    if knows(lower) and min(map(len, parts)) > 1:
        return lower if word == word.upper() else word
    letters = max(map(len, parts)) == 1
    return " ".join(
        part.upper() if len(part) == 1 and (letters or part.lower() != "a") else part for part in parts
    )


KINDS: Final = (
    Kind(
        "mixed-case",
        "getUserName, iPhone, K-POP, O'Brien, PhD: names in mixed case or with hyphens, in their parts",
        (
            (re.compile(r"(?<!\S)-{1,2}(?=[A-Za-z])"), ""),
            (re.compile(r"\bO'B(?=rien(?:'s)?\b)rien"), "O Brian"),
            (re.compile(r"(?<=[a-z]')(RE|LL|VE|T|S|D|M)(?![A-Za-z])"), lambda match: match[1].lower()),
            (re.compile(r"(?<=[a-z]')([A-Z])(?=[a-z])"), lambda match: match[1].lower()),
            (_DEGREES, lambda match: say.letters(match[1]) + ("'s" if match[2] else "")),
            (_HYPHENED, _hyphened),
            (_MISREAD, lambda match: _SPECIAL[match[1].lower()]),
            (_CAMEL, _camel),
        ),
    ),
    Kind(
        "capitals",
        "NOT, CAN'T, ARE YOU KIDDING: words in capitals are said as words",
        ((_AMPERSAND, _ampersand), (_ARTICLE, "a"), (_CAPITALS, _capitals)),
    ),
    Kind(
        "acronyms",
        "USB, HDMI, CEOs: spelled, unless they are said as words (NASA, PIN)",
        ((_PLURAL, _plural), (_ACRONYM, _acronym)),
    ),
)
