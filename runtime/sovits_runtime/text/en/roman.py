"""Roman numerals, where what stands around them says that they are numbers."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list
from sovits_runtime.text.written import roman_value

_RULERS: Final = frozenset(
    word_list(
        "Charles Henry Louis Elizabeth George James Edward Richard William Paul Benedict Pius Leo Philip Ferdinand"
        " Frederick Napoleon Nicholas Alexander Catherine Peter Ivan Mary Ramses Ramesses Ptolemy Cleopatra Francis"
        " Gustav Gustavus Christian Harald Harold Carlos Juan Felipe Umberto Emmanuel Wilhelm Otto Constantine"
        " Innocent"
        " Gregory Clement Urban Sixtus Boniface Alfonso Haakon Olaf Margrethe Beatrix Albert Leopold Baudouin Rama"
        " Darius Xerxes Cyrus Thutmose Amenhotep Seti Malcolm Robert Alexander David Kenneth Donald Duncan"
        " Stephen Maria"
        " Joseph Franz Karl Friedrich Ludwig Maximilian Sigismund Rudolf Matthias Ferdinand Isabella Joanna"
        " Sancho Manuel"
        " Pedro Afonso Mehmed Murad Selim Suleiman Mahmud Abdul Hassan Mohammed Abdullah Hussein Faisal Farouk Fuad"
        " Haile Menelik Theodore Tewodros Celestine Adrian Eugene Nicholas Martin Julius Callixtus Anne Victoria"
        " Theodosius Justinian Valentinian Tiberius Leopold Rainier Honore Oscar Eric Erik Valdemar Canute"
        " Sweyn Magnus"
        " Casimir Sigismund Vladislaus Stephen Bela Ladislaus Andrew Michael Boris Simeon Artaxerxes Antiochus"
        " Seleucus"
        " Nebuchadnezzar Tutankhamun Mentuhotep Senusret Psamtik Nicholas Wladyslaw Zygmunt Willem Juliana"
        " Hussein Harry"
    )
)
_RANKS: Final = frozenset(
    word_list(
        "King Queen Pope Emperor Empress Tsar Czar Kaiser Prince Sultan Pharaoh Duke Earl Lord Count Shah Patriarch"
    )
)
_GIVEN: Final = frozenset(
    word_list(
        "John Robert William James Thomas George Henry Joseph Edward Michael David Richard Charles Daniel"
        " Walter Frank"
        " Harry Albert Samuel Arthur Harold Fred Ralph Roy Louis Carl Howard Earl Francis Lawrence Davis Hank"
        " Cal Ken Ted"
        " Peter Paul Mark Martin Alexander Andrew Anthony Benjamin Christopher Donald Douglas Eric Gregory"
        " Jeffrey Kevin"
        " Matthew Patrick Philip Raymond Ronald Scott Stephen Steven Timothy Victor Vincent Thurston Loudon"
        " Sammy Ed Rob"
    )
)
_LABELS: Final = (
    "act|scene|part|chapter|book|volume|vol|section|war|bowl|phase|type|class|title|article|appendix|figure"
    "|table|level"
    "|stage|step|lesson|unit|grade|mark|episode|season|round|case|group|category|factor|schedule|number|canto|psalm"
    "|page|verse|tier|division|generation|gen|series|version|exhibit|annex|question|problem|theorem|corps|legion"
    "|movement|sonata|symphony|concerto|quartet|trio|prelude|nocturne|opus|olympiad|games|apollo|mk|fantasy"
    "|quest|vatican"
    "|wrestlemania|saga|paper|theory|rule|law|option|plate|map|zone|region|district|league|world|dynasty|punic"
    "|crusade"
)
_UPPER_LABELS: Final = (
    "Act|Scene|Part|Chapter|Book|Volume|Vol|Section|War|Bowl|Phase|Stage|Step|Lesson|Unit|Episode|Season|Round|Canto"
    "|Article|Appendix|Title|Schedule|Annex|Mark|Apollo|Tier|Level|Division|Category|Olympiad|Fantasy|Vatican"
    "|Movement|Exhibit"
)
_NUMERAL: Final = r"[IVXLCDM]{1,15}"
_AFTER_LABEL: Final = re.compile(
    rf"\b(?P<label>(?i:{_LABELS})s?)(?P<gap>\.?\s+)(?P<first>{_NUMERAL})(?![A-Za-z'])"
    rf"(?P<more>(?:(?:,\s+(?:and\s+|or\s+)?|\s+(?:and|or|to|through)\s+|\s?[-–&]\s?){_NUMERAL}(?![A-Za-z'])){{0,8}})"
)
_LOWER_AFTER_LABEL: Final = re.compile(
    r"\b(?P<label>(?:chapter|page|pages|part|section|volume|book|act|scene|appendix|note|figure|table)\s+)"
    r"(?P<numeral>[ivxl]{2,8})(?![A-Za-z'])"
)
_RULER: Final = re.compile(
    rf"(?P<before>(?<![\w'])(?:[A-Z][\w']+\s+){{0,3}})(?P<name>[A-Z][a-z]+)\s+(?P<numeral>{_NUMERAL})(?![A-Za-z'])"
)
_OWNER: Final = re.compile(r"(?P<name>(?<![\w'])[A-Z][a-z]+)\s+(?P<numeral>[IVX]{2,7})'s\b")
_CENTURY: Final = re.compile(
    r"\b(?P<numeral>[IVX]{1,5})(?P<gap>(?:th|st|nd|rd)?[\s-]+)(?=[Cc]entur(?:y|ies)\b)"
)
_ALONE: Final = re.compile(r"(?<![\w.'&/-])(?P<numeral>[IVX]{2,8}|[MDCLXVI]{5,15})(?![\w'&])")
_LIST: Final = re.compile(r"(?m)^(?P<start>[ \t]*\(?)(?P<numeral>[IVX]{1,6})(?:\.|\))(?=\s+[A-Z])")
_SINGLE: Final = frozenset("IVX")
_GOES_ON: Final = re.compile(
    r"\s*(?:$|[,.:;!?)\]\"”—–-]|(?:is|was|of|and|or|to|in|covers|begins|began|ends|ended|has|had|will|starts"
    r"|started|shows"
    r"|ruled|reigned|died|became|at|by|for|from|with|who|as|on|the|opened|closed|introduces|describes|deals)\b)"
)


def value(numeral: str) -> int | None:
    """Value of a Roman numeral; None if it is none.

    Args:
        numeral: Letters of one case.
    """
    return roman_value(numeral.upper(), most_ones=4)


def _words(numeral: str) -> str:
    number = value(numeral)
    if number is None:
        return numeral
    return say.year(str(number)) if number > 1000 else say.whole(str(number))


def _is_number(numeral: str, string: str, end: int, *, label: str) -> bool:
    """Whether a numeral behind a label is one: of single letters only I, V and X, and "I" not where it is a pronoun."""
    if value(numeral) is None:
        return False
    if len(numeral) > 1:
        return numeral not in ("MIX", "DIM", "MILD")
    if numeral not in _SINGLE or not re.fullmatch(rf"(?:{_UPPER_LABELS})s?", label):
        return False
    return numeral != "I" or _GOES_ON.match(string, end) is not None


def _after_label(match: Match[str]) -> str:
    first, label = match["first"], match["label"]
    if not _is_number(first, match.string, match.end("first"), label=label):
        return match[0]
    more = re.sub(_NUMERAL, lambda numeral: _words(numeral[0]), match["more"])
    more = re.sub(r"\s?[-–]\s?", " to ", more)
    return f"{label}{match['gap'].replace('.', '')}{_words(first)}{more}"


def _ruler(match: Match[str]) -> str:
    name, numeral = match["name"], match["numeral"]
    number = value(numeral)
    if number is None or number > 99:
        return match[0]
    before = match["before"].split()
    ranked = any(word in _RANKS for word in before)
    family = len(numeral) > 1 and number < 7 and bool(before) and before[-1] in _GIVEN
    if len(numeral) == 1:
        follows = _GOES_ON.match(match.string, match.end()) is not None
        if numeral not in _SINGLE or name == "Malcolm" or not (ranked or name in _RULERS) or not follows:
            return match[0]
    elif not (ranked or name in _RULERS or family):
        return match[0]
    return f"{match['before']}{name} the {say.nth(str(number))}"


def _owner(match: Match[str]) -> str:
    number = value(match["numeral"])
    if number is None:
        return match[0]
    said = f"the {say.nth(str(number))}" if match["name"] in _RULERS else say.whole(str(number))
    return f"{match['name']} {said}'s"


def _century(match: Match[str]) -> str:
    number = value(match["numeral"])
    return match[0] if number is None else f"{say.nth(str(number))} "


def _alone(match: Match[str]) -> str:
    numeral = match["numeral"]
    if value(numeral) is None:
        return match[0]
    if len(numeral) == 2 or numeral == "XXX":
        before = re.search(r"(\w+)\s\Z", match.string[max(0, match.start() - 24) : match.start()])
        named = before is not None and before[1][0].isupper() and not before[1].isupper()
        if numeral not in ("II", "IX") and not (named and before is not None and len(before[1]) > 3):
            return match[0]
    return _words(numeral)


def _list(match: Match[str]) -> str:
    numeral = match["numeral"]
    if value(numeral) is None or (
        numeral == "I" and not re.search(r"(?m)^[ \t]*\(?II[.)]", match.string[:5000])
    ):
        return match[0]
    return f"{match['start']}{_words(numeral)},"


KINDS: Final = (
    Kind(
        "roman-numerals",
        "Charles III, World War II, Act I: as ordinals behind rulers, as numbers behind labels; Malcolm X stays X",
        (
            (_LIST, _list),
            (_CENTURY, _century),
            (_AFTER_LABEL, _after_label),
            (_LOWER_AFTER_LABEL, lambda match: match["label"] + _words(match["numeral"])),
            (_OWNER, _owner),
            (_RULER, _ruler),
            (_ALONE, _alone),
        ),
    ),
)
