"""Titles, initials and abbreviations, with the full stop that ends a sentence kept and any other dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.en.dotted import MONTHS, WEEKDAYS, ends_sentence
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list

_TITLES: Final[Mapping[str, str]] = {
    "Dr": "Doctor", "Mr": "Mister", "Mrs": "Missus", "Ms": "Ms", "Mx": "Mix", "Prof": "Professor", "Lt": "Lieutenant",
    "Sgt": "Sergeant", "Capt": "Captain", "Cpt": "Captain", "Col": "Colonel", "Gen": "General", "Gov": "Governor",
    "Sen": "Senator", "Rep": "Representative", "Rev": "Reverend", "Hon": "Honorable", "Pres": "President",
    "Maj": "Major", "Cpl": "Corporal", "Pvt": "Private", "Adm": "Admiral", "Cmdr": "Commander", "Fr": "Father",
    "Supt": "Superintendent", "Det": "Detective", "Insp": "Inspector", "Messrs": "Messieurs", "Mme": "Madame",
    "Mlle": "Mademoiselle", "Msgr": "Monsignor", "Amb": "Ambassador", "Atty": "Attorney", "Asst": "Assistant",
    "Assoc": "Associate", "St": "Saint", "Ste": "Saint", "Mt": "Mount", "Ft": "Fort", "Pt": "Point",
    "Dir": "Director", "Sra": "Senora", "Srta": "Senorita",
    "Sec": "Secretary", "Cdr": "Commander", "Ald": "Alderman", "Rt": "Right", "Br": "Brother",
}  # fmt: skip
_BARE_TITLES: Final = "Dr|Mr|Mrs|Ms|Prof|Lt|Sgt|Capt|Cpl|Cmdr|Mt|St|Msgr|Mme"
_TITLE: Final = re.compile(
    rf"(?<![\w.'])({'|'.join(_TITLES)}|dr|mr|mrs|ms|prof)\.(?=\s*[\"']?[A-Z][\w'.-]|\s+[a-z]+\b|\s+(?:&|[1-3](?:st|nd|rd)\b)|\s*$|[,;:?!)])"
)
_LETTER_TITLE: Final = re.compile(
    r"(?<![\w.'])(Dr|Mr|Mrs|Ms|Mx|Prof|Lt|Sgt|Capt|Gov|Sen|Rev|Fr|Maj|Cpl|Cmdr|Mme|Mlle)\.(?=\s[A-Z]\b(?!\.))"
)
_SENIOR: Final = re.compile(r"(?<![\w.'])Sr\.(?=\s[A-Z][a-z])")
_BARE_TITLE: Final = re.compile(rf"(?<![\w.'])({_BARE_TITLES})(?=\s+[A-Z][a-z'.-])")
_SUFFIX: Final = re.compile(r"(?<=[A-Za-z.])(,?\s+)(Jr|Sr|Esq)\b(?P<stop>\.?)")
_SUFFIXES: Final = {"Jr": "Junior", "Sr": "Senior", "Esq": "Esquire"}
_STREETS: Final = {
    "St": "Street", "Rd": "Road", "Ave": "Avenue", "Av": "Avenue", "Blvd": "Boulevard", "Ln": "Lane", "Dr": "Drive",
    "Hwy": "Highway", "Pkwy": "Parkway", "Pl": "Place", "Sq": "Square", "Ct": "Court", "Cir": "Circle",
    "Ter": "Terrace", "Expy": "Expressway", "Tpke": "Turnpike",
}  # fmt: skip
_STREET: Final = re.compile(
    rf"(?P<name>(?<![\w.'])(?:[A-Z][a-z']+|\d{{1,3}}(?:st|nd|rd|th)|[A-Z]))\s+(?P<kind>{'|'.join(_STREETS)})\b"
    r"(?P<stop>\.?)"
)
_NAMED_BY_SAINTS: Final = frozenset(
    word_list(
        "Mount Fort Lake Port Cape Doctor Mister Missus Father Sister Brother Saint Hello Dear Hi Thanks The And"
    )
)
_GREETINGS: Final = frozenset(
    word_list("Doctor Mister Hello Dear Hi Hey Thanks The And Professor Yes No Sorry Please")
)
_PLACE_BEFORE: Final = re.compile(
    r"(?:\d\s+(?:[A-Z][a-z]+\s+){0,2}|\b(?:on|at|of|to|from|along|down|off|up|near|and)\s+)\Z"
)
_DOTTED: Final = re.compile(r"(?<![\w.])([A-Za-z](?:\.[A-Za-z])+)(?P<stop>\.?)(?![\w]|\.\w)")
_DEGREE: Final = re.compile(
    r"(?<![\w.])(Ph\.?D|M\.Sc|B\.Sc|M\.Ed|B\.Ed|Ed\.D|LL\.[BMD]|M\.Phil)(?P<stop>\.?)(?![a-rt-z])"
)
_INITIAL: Final = re.compile(r"(?<![\w.'’-])([A-Z])\.(?=\s?[A-Z]|\s[a-z])")
_CLOSING: Final = " \"')]*_"

_WORDS: Final[Mapping[str, str]] = {
    "etc": "et cetera", "vs": "versus", "approx": "approximately", "dept": "department", "depts": "departments",
    "inc": "incorporated", "ltd": "limited", "co": "company", "corp": "corporation", "bros": "brothers",
    "govt": "government", "univ": "university", "assn": "association", "intl": "international", "natl": "national",
    "misc": "miscellaneous", "incl": "including", "excl": "excluding", "avg": "average", "qty": "quantity",
    "attn": "attention", "bldg": "building", "esp": "especially", "orig": "originally", "viz": "namely",
    "cf": "compare",
    "resp": "respectively", "min": "minimum", "max": "maximum", "temp": "temperature",
    "ext": "extension", "tel": "telephone", "apt": "apartment", "blvd": "boulevard",
    "ave": "avenue", "hwy": "highway", "acct": "account", "appt": "appointment", "amt": "amount", "pkg": "package",
    "mgr": "manager", "mgrs": "managers", "mgmt": "management", "asst": "assistant", "assts": "assistants",
    "assoc": "associate", "accts": "accounts", "appts": "appointments", "exec": "executive", "execs": "executives",
    "secy": "secretary", "treas": "treasurer", "supt": "superintendent", "mfg": "manufacturing",
    "mfr": "manufacturer", "hosp": "hospital", "mtg": "meeting", "mtgs": "meetings", "reqd": "required",
}  # fmt: skip
_PLAIN_WORD: Final = re.compile(
    r"(?<![\w.'])(etc|vs|approx|depts?|inc|ltd|co|corp|bros|govt|univ|assn|intl|natl|misc|incl|excl|avg|qty|attn|bldg"
    r"|esp|orig|viz|cf|resp|temp|ext|tel|apt|blvd|ave|hwy|acct|appt|amt|pkg|mgrs?|mgmt"
    r"|assts?|assoc|accts|appts|execs?|secy|treas|supt|mfg|mfr|hosp|mtgs?|reqd)\.(?!\w)",
    re.IGNORECASE,
)
_LEAST: Final = re.compile(r"(?<![\w.'-])(?<!\d\s)([Mm]in|[Mm]ax)\.(?=\s[a-z])")
_BARE_WORD: Final = re.compile(
    r"(?<![\w.'-])(etc|vs|approx|dept|govt|Ltd|Corp|Blvd|Hwy|Apt(?=\s\d)|blvd|qty|attn|bldg|incl)\b(?!['.])"
)
_NUMBERED: Final[Mapping[str, str]] = {
    "p": "page", "pg": "page", "pp": "pages", "pgs": "pages", "no": "number", "nr": "number", "nos": "numbers",
    "fig": "figure", "figs": "figures", "vol": "volume", "vols": "volumes", "ch": "chapter", "chap": "chapter",
    "chs": "chapters", "sec": "section", "sect": "section", "secs": "sections", "art": "article", "arts": "articles",
    "ver": "version", "v": "version", "eq": "equation", "eqs": "equations", "ex": "example", "pt": "part",
    "pts": "parts", "par": "paragraph", "para": "paragraph", "paras": "paragraphs", "app": "appendix",
    "appx": "appendix",
    "ext": "extension", "tel": "telephone", "rm": "room", "apt": "apartment", "ste": "suite", "op": "opus",
    "bk": "book",
    "tab": "table", "tbl": "table", "sch": "schedule", "cl": "clause", "max": "maximum", "min": "minimum",
    "ca": "circa",
    "c": "circa", "est": "established", "approx": "approximately", "lvl": "level", "lv": "level", "ep": "episode",
    "eps": "episodes", "q": "question", "ans": "answer", "int": "interstate", "rt": "route", "rte": "route",
    "hwy": "highway", "l": "line", "ll": "lines", "col": "column", "rev": "revision", "ref": "reference",
    "ser": "series",
    "prob": "problem", "thm": "theorem", "avg": "average", "temp": "temperature", "flr": "floor", "fl": "floor",
    "b": "born", "d": "died", "dec": "December", "nov": "November", "oct": "October", "sept": "September",
    "sep": "September", "aug": "August", "jul": "July", "jun": "June", "apr": "April", "mar": "March",
    "feb": "February", "jan": "January",
}  # fmt: skip
_NUMBERED_ROMAN: Final = re.compile(
    r"(?<![\w.'])(vols?|ch|chap|pt|bk|art|sec|fig)\.\s?(?=[IVXL]{1,6}\b)", re.IGNORECASE
)
_EDITED: Final = re.compile(r"(?<![\w.'])(ed|trans|cont|illus|rev)\.(?=\s(?:by|on|from|in)\b)", re.IGNORECASE)
_EDITED_WORDS: Final = {
    "ed": "edited", "trans": "translated", "cont": "continued", "illus": "illustrated", "rev": "revised",
}  # fmt: skip
_EDITION: Final = re.compile(r"(?<=\d(?:st|nd|rd|th)\s)ed\b(?P<stop>\.?)")
_WAY: Final = re.compile(r"(?<=\d\s)([NSEW]|[NS][EW])\.?(?=\s(?:[A-Z][a-z]|\d{1,3}(?:st|nd|rd|th)\b))")
_WAYS: Final = {"N": "North", "S": "South", "E": "East", "W": "West"}
_NUMBERED_WORD: Final = re.compile(rf"(?<![\w.'@/-])({'|'.join(_NUMBERED)})\.\s?(?=#?\d)", re.IGNORECASE)
_MONTHS_BEFORE: Final = re.compile(
    r"(?:&|\b(?:in|of|since|until|till|by|from|to|early|late|mid|last|next|this|and|or|between|through|every|each|on"
    r"|for))[\s-]+\Z",
    re.IGNORECASE,
)
_MONTH: Final = re.compile(
    r"(?<![\w.'])(Jan|Febr?|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)(?P<stop>\.)(?!\w)"
    r"|(?<![\w.'])(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)(?=\s\d{1,2}(?:st|nd|rd|th)?\b(?![:.]\d)|\s\d{4}\b)"
    r"|(?<=\d\s)(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b(?!['.])|(?<=(?:st|nd|rd|th)\s)"
    r"(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b(?!['.])"
)
_WEEKDAY: Final = re.compile(
    r"(?<![\w.'])(Mon|Tues?|Weds?|Thu(?:rs?)?|Fri|Sat|Sun)(?P<stop>\.)(?!\w)"
    r"|(?<![\w.'])(Mon|Tues?|Wed|Thu(?:rs?)?|Fri)(?=\s\d|,\s(?:[A-Z]|\d)|\s(?:at|from|morning|night|afternoon"
    r"|evening)\b)"
)
_DAY_AFTER: Final = re.compile(r"\d|,|&|(?:morning|night|afternoon|evening|at|and|or)\b")
_SPAN: Final = re.compile(
    r"\b(Mon|Tues?|Weds?|Thu(?:rs?)?|Fri|Sat|Sun|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?\s?[-–—]\s?"
    r"(Mon|Tues?|Weds?|Thu(?:rs?)?|Fri|Sat|Sun|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|May)\b(?P<stop>\.?)"
)
_NAMES: Final = {**MONTHS, **WEEKDAYS, "may": "May"}


def _stop(match: Match[str], words: str) -> str:
    """Words with the full stop that the match took, if it ends the sentence or nothing follows."""
    if not match["stop"]:
        return words
    position = match.start("stop")
    last = len(match.string) - position < 40 and not match.string[position + 1 :].strip(_CLOSING)
    return f"{words}." if last or ends_sentence(match.string, position) else words


def _before(match: Match[str], reach: int = 32) -> str:
    return match.string[max(0, match.start() - reach) : match.start()]


def _title(match: Match[str]) -> str:
    words = _TITLES[match[1].capitalize()]
    rest = match.string[match.end() : match.end() + 8].strip(" \"')")
    return words if rest else f"{words}."


def _senior(match: Match[str]) -> str:
    """Sr. before a name; behind one it is a suffix."""
    name = re.search(r"([A-Z][\w'.-]*|,)\s+\Z", _before(match))
    return match[0] if name and name[1] not in _GREETINGS | _NAMED_BY_SAINTS else "Senior"


def _street(match: Match[str]) -> str:
    name, kind = match["name"], match["kind"]
    follows = match.string[match.end() : match.end() + 24].lstrip()
    named_after = follows[:1].isupper() and not (
        match["stop"] and ends_sentence(match.string, match.start("stop"))
    )
    place = _PLACE_BEFORE.search(_before(match)) is not None
    if kind in ("St", "Dr", "Pl", "Ct", "Ter", "Av"):
        if (name in _NAMED_BY_SAINTS and kind != "Dr") or name in _GREETINGS or (named_after and not place):
            return match[0]
        if kind == "Dr" and not (place or name[0].isdigit() or follows[:1].islower()):
            return match[0]
    if len(name) == 1 and not place:
        return match[0]
    return _stop(match, f"{name} {_STREETS[kind]}")


def _suffix(match: Match[str]) -> str:
    return _stop(match, f"{match[1].replace(',', '')}{_SUFFIXES[match[2]]}")


def _dotted(match: Match[str]) -> str:
    plain = match[1].replace(".", "").lower()
    if plain == "eg":
        return "for example"
    if plain == "ie":
        return "that is"
    if not match["stop"] and match[1] != match[1].upper():
        return match[0]
    return _stop(match, say.letters(match[1]))


def _degree(match: Match[str]) -> str:
    return _stop(match, say.letters(match[1]))


def _initial(match: Match[str]) -> str:
    follows = match.string[match.end() : match.end() + 2].strip()
    if follows.islower() and not re.search(
        r"(?:^|[.!?]\s|\b[A-Z][A-Za-z]+\.?\s|\b[A-Z]\.\s)\Z", _before(match)
    ):
        return match[0]
    return match[0] if ends_sentence(match.string, match.end() - 1) else match[1]


def _expanded(match: Match[str]) -> str:
    position = match.end() - 1
    words = _WORDS[match[1].lower()]
    if match[1][0].isupper() and match[1].lower() not in ("etc", "vs"):
        words = words.capitalize()
    last = not match.string[match.end() : match.end() + 40].strip(_CLOSING)
    return f"{words}." if last or ends_sentence(match.string, position) else words


def _numbered(match: Match[str]) -> str:
    lower = match[1].lower()
    if ends_sentence(match.string, match.end(1)) or (lower in MONTHS and not match[1][0].isupper()):
        return match[0]
    if lower in ("c", "b", "d", "l", "q", "v") and match[1].isupper():
        return match[0] if lower != "q" else "question "
    words = _NUMBERED[lower]
    if lower == "est" and not re.match(r"\d{4}\b", match.string[match.end() : match.end() + 5]):
        words = "estimated"
    return f"{words.capitalize() if match[1][0].isupper() else words} "


def _month(match: Match[str]) -> str:
    short = match[1] or match[3] or match[4] or match[5]
    name = MONTHS[short.lower()]
    follows = match.string[match.end() : match.end() + 8].lstrip()
    named = follows[:1].isdigit() or follows[:1].islower() or _MONTHS_BEFORE.search(_before(match))
    if match["stop"] and not named:
        return match[0]
    return _stop(match, name)


def _weekday(match: Match[str]) -> str:
    short = match[1] or match[3]
    if short in ("Sat", "Sun"):
        follows = match.string[match.end() : match.end() + 8].lstrip()
        before = _before(match)
        lower = follows[:1].islower() and not re.search(r"\b(?:[Tt]he|[Aa])\s\Z", before)
        if not (lower or _DAY_AFTER.match(follows) or _MONTHS_BEFORE.search(before)):
            return match[0]
    return _stop(match, WEEKDAYS[short.lower()])


def _span(match: Match[str]) -> str:
    return _stop(match, f"{_NAMES[match[1].lower()]} to {_NAMES[match[2].lower()]}")


KINDS: Final = (
    Kind(
        "titles",
        "Dr. Patel, Lt. Gomez, Mt. Fuji, St. Mary, King Jr.: titles before names are read in full, without a pause",
        (
            (_WAY, lambda match: " ".join(_WAYS[way] for way in match[1])),
            (_STREET, _street),
            (_SENIOR, _senior),
            (_LETTER_TITLE, lambda match: _TITLES[match[1]]),
            (_TITLE, _title),
            (_BARE_TITLE, lambda match: _TITLES[match[1]]),
            (_SUFFIX, _suffix),
        ),
    ),
    Kind(
        "initials",
        "J. R. R. Hartley, U.S., Ph.D.: letters by their names; their stops are no pauses",
        ((_DEGREE, _degree), (_DOTTED, _dotted), (_INITIAL, _initial)),
    ),
    Kind(
        "abbreviations",
        "p.12, approx., etc., Mon., Sept. 9, w/o: what is shortened is read in full",
        (
            (re.compile(r"(?<![\w/])[wW]/o\b\s?"), "without "),
            (re.compile(r"(?<![\w/])[wW]/\s?(?=[A-Za-z\d$£€])"), "with "),
            (re.compile(r"(?<![\w/])[bB]/c\b"), "because"),
            (re.compile(r"(?<![\w/])(?:[cC]/o)\b"), "care of"),
            (re.compile(r"(?<![\w/])(?:[nN]/[aA])\b"), "N A"),
            (re.compile(r"\b(et)\s+(al)(?P<stop>\.)"), lambda match: _stop(match, f"{match[1]} {match[2]}")),
            (_SPAN, _span),
            (_NUMBERED_ROMAN, _numbered),
            (_NUMBERED_WORD, _numbered),
            (_EDITED, lambda match: _EDITED_WORDS[match[1].lower()]),
            (_EDITION, lambda match: _stop(match, "edition")),
            (_MONTH, _month),
            (_WEEKDAY, _weekday),
            (_PLAIN_WORD, _expanded),
            (_LEAST, lambda match: _WORDS[match[1].lower()]),
            (_BARE_WORD, lambda match: _WORDS[match[1].lower()]),
            (re.compile(r"(?<![\w.])#\s?(?=\d)|(?<=\s)#(?=\s)"), "number "),
        ),
    ),
)
