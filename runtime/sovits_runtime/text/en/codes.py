"""Phone numbers, and numbers that name something: versions, codes, rooms, flights, models, formulas."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list

_CALL: Final = re.compile(
    r"\b(?:call(?:ed|ing)?|dial(?:led|ed)?|phone[ds]?|tel(?:ephone)?|text(?:ed)?|ring|rang|fax|cell|mobile"
    r"|whatsapp|reach"
    r"(?:\s\w+){0,2}\sat|number(?:\s+(?:is|was))?|hotline|contact)[:.]?\s+(?:(?:is|at|on|us|me|him|her|them|now"
    r"|to)\s+){0,2}\Z",
    re.IGNORECASE,
)
_NORTH_AMERICAN: Final = re.compile(
    r"(?<![\w.,$£€/-])(?P<plus>\+)?(?P<country>1[ .-]?)?(?:\((?P<area>\d{3})\)\s?|(?P<area2>\d{3})[ .-])"
    r"(?P<office>\d{3})[ .-](?P<line>\d{4})(?![\w-]|[.,]\d)"
)
_INTERNATIONAL: Final = re.compile(r"(?<![\w.])\+\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,7}(?![\w]|[.,]\d)")
_TRUNK: Final = re.compile(r"(?<![\w.,$£€/-])\(?0\d{2,4}\)?(?:[ -]\d{3,8}){1,3}(?![\w-]|[.,]\d)")
_LOCAL: Final = re.compile(r"(?<![\w.,$£€/-])(\d{3})([-. ])(\d{4})(?![\w-]|[.,]\d)")
_FREE: Final = re.compile(r"(?<![\w-])1-8(00|88|77|66)(?![\w-]|[.,]\d)")
_LETTERED: Final = re.compile(r"(?<![\w-])(1-)?(8\d\d|900)-([A-Z]{3,10})(?![\w-])")
_LONG: Final = re.compile(r"(?<![\w.,$£€])\d{7,15}(?![\w]|[.,]\d)")
_SHORT_CALL: Final = re.compile(
    r"(?P<before>\b(?i:call(?:ed|ing)?|dial(?:led|ed)?|phoned?|ring|rang|text(?:ed)?"
    r"|press)\s+)(?P<digits>\d{3})(?![\w-]|[.,:]\d|\s[a-z]+s\b)"
    r"|(?<![\w.,$£€-])(?P<emergency>911|999|112)(?=\s+(?:call|calls|operator|dispatch))"
)

_CODE_WORDS: Final = (
    "zip|zip code|zipcode|postal code|postcode|area code|access code|promo code|security code|verification code"
    "|country code"
    "|code|passcode|pass code|password|pin|pin code|pin number|otp|id|id number|user id|serial|serial number|account"
    "|account number|tracking number|order number|order no|order id|order|invoice|invoice number|invoice no"
    "|ticket number"
    "|case number|case id|confirmation number|reference|reference number|ref|policy number|license number"
    "|licence number"
    "|badge number|phone number|cell number|fax number|card number|isbn|ssn|imei|vin|extension|combination"
    "|number|booking"
    "|booking number|bar code|barcode|tracking id|room code|door code|lock code|flight number|model number|part"
    " number"
)
_CODE: Final = re.compile(
    rf"\b(?P<before>(?P<word>(?i:{'|'.join(sorted(_CODE_WORDS.split('|'), key=len, reverse=True))}))"
    r"(?:\s+(?:is|was|are|reads))?[:#]?\s*(?:number\s+|no\.?\s+|#)?[:#=]?\s*)(?P<digits>\d[\d-]*\d|\d)(?![\w%]"
    r"|[.,:]\d)"
)
_LOOSE: Final = frozenset(
    word_list("order account invoice reference ref serial booking id extension number password combination")
)
_COUNTED: Final = re.compile(r"\s(?:more\s)?[a-z]+s\b")
_NAMED: Final = re.compile(
    r"\b(?P<word>(?i:room|rm|suite|flight|bus|highway|route|interstate|apartment|apt|gate|error|boeing|airbus"
    r"|channel|unit"
    r"|building|form|train|platform|locker|peugeot|porsche|hall|exit|studio|formula|bmw|nokia|area|section))\s+"
    r"(?P<digits>\d{3,4})(?P<several>s?)(?![\w%]|[.,:]\d)"
)
_SEAT: Final = re.compile(
    r"\b((?i:route|seat|gate|room|apartment|unit|row|flat|suite|hwy|highway|bus|platform|exit|hall))\s(\d{1,3})([A-Z])\b"
)
_SEVERAL: Final = re.compile(r"(?<![A-Za-z0-9'])([A-Z]{1,4})-?(\d{1,3})s(?!\w)")
_STATE_ZIP: Final = re.compile(r"(?<=[,\s])([A-Z]{2})\s+(\d{5}(?:-\d{4})?)(?![\w-]|[.,]\d)")
_STATUS: Final = re.compile(
    r"(?<![\w.,$£€-])(?P<digits>[45]0\d)(?=\s+(?:error|errors|page|status|response)\b)"
)
_VERSION: Final = re.compile(
    r"(?<![\w.'-])(?P<word>[vV](?:er|ersion)?\.?\s?|[Vv]ersion\s+)(?P<number>\d{1,4}(?:\.\d{1,6}){0,6})(?![\w]|\.\d)"
)
_RELEASE: Final = re.compile(
    r"\b(?P<word>(?:Python|Java|iOS|iPadOS|macOS|Android|Windows|Ubuntu|Debian|Fedora|CUDA|Node|PHP|Ruby|Go"
    r"|Rust|Chrome|Firefox"
    r"|Kotlin|Swift|Django|PyTorch|TensorFlow|Linux|version|release|Version|Release|Unity|Blender)\s+)"
    r"(?P<number>\d{1,3}\.\d{1,3})(?:(?P<to>\s?[-–]\s?|,?\s(?:to|and|or|through)\s)(?P<last>\d{1,3}\.\d{1,3}))?"
    r"(?![\w]|\.\d)"
)
_DOTTED_NUMBER: Final = re.compile(r"(?<![\w.,])\d+(?:\.\d+){2,}(?![\w]|\.\d)")
_GROUPS: Final = re.compile(r"(?<![\w.,$£€/-])\d{1,7}(?:-\d{1,8}){2,6}(?:-?X\b)?(?![\w-]|[.,/]\d)")
_MODEL: Final = re.compile(
    r"(?<![A-Za-z0-9'.,])(?P<letters>[A-Z]{1,3})(?P<sign>[- ]?)(?P<digits>\d{3,4})(?![\d%]|[.,:/-]\d|(?:st|nd"
    r"|rd|th)\b|\s?(?:km|kg|"
    r"m|cm|mm|GB|MB|ml|people|dollars)\b)"
)
_CHEMICAL: Final = re.compile(
    r"(?<![A-Za-z0-9'.-])(?=[A-Za-z]{1,3}\d)(?:(?:[A-Z][a-z]?\d{0,3}){2,8}|[A-Z][a-z]?\d{1,2})(?![A-Za-z0-9])"
)
_ELEMENTS: Final = frozenset(
    word_list(
        "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Fe Cu Zn Ag Au Hg Pb Mn Ni Ti Cr Br I Sn U Pu Kr Xe"
        " Ba Pt Co"
    )
)
_SALTS: Final = re.compile(
    r"(?<![A-Za-z0-9])(NaCl|KCl|HCl|NaOH|KOH|CaO|ZnO|MgO|NaBr|AgCl|LiCl|HBr|TiO)(?![a-z0-9])"
)
_LETTERS_DIGITS: Final = re.compile(r"(?<![A-Za-z0-9'])([A-Z]{1,3})(?=\d)")
_LINES: Final = re.compile(r"(?<![\w.,])(144|240|360|480|540|576|720|1080|1440|2160)([pi])\b")
_FORTY_K: Final = re.compile(r"(?<![\w.,$£€-])401\s?\(?k\)?(?!\w)")
_LEADING_ZEROS: Final = re.compile(r"(?<![\w.,:/$£€-])(?<!\d[ '])(?<!')0\d+(?![\w]|[.,:/]\d)")
_WORDS: Final = frozenset(
    word_list("TOP DAY AGE ONE TWO THE ALL FOR BIG NEW OLD MAY BY AT IN ON TO UP NO OF OR AN IS IT WE GO BOX")
)


def _groups(digits: str) -> str:
    """Groups of digits, with a short pause between them."""
    return ", ".join(say.one_by_one(group) for group in re.findall(r"\d+", digits))


def _north_american(match: Match[str]) -> str:
    area = match["area"] or match["area2"]
    first = "eight hundred" if area == "800" else say.one_by_one(area)
    country = "one " if match["country"] else ""
    plus = "plus " if match["plus"] else ""
    return f"{plus}{country}{first}, {say.one_by_one(match['office'])}, {say.one_by_one(match['line'])}"


def _called(match: Match[str]) -> bool:
    return _CALL.search(match.string, max(0, match.start() - 40), match.start()) is not None


def _local(match: Match[str]) -> str:
    joined = match[2] != " " and (match[1] == "555" or match[3][0] == "0" or match[1][0] == "0")
    if joined or _called(match):
        return f"{say.one_by_one(match[1])}, {say.one_by_one(match[3])}"
    return match[0]


def _lettered(match: Match[str]) -> str:
    number = "eight hundred" if match[2] == "800" else say.one_by_one(match[2])
    return f"{'one ' if match[1] else ''}{number} {match[3].lower()}"


def _long(match: Match[str]) -> str:
    return say.one_by_one(match[0]) if _called(match) else match[0]


def _short_call(match: Match[str]) -> str:
    return f"{match['before'] or ''}{say.one_by_one(match['digits'] or match['emergency'])}"


def _code(match: Match[str]) -> str:
    digits, word = match["digits"], match["word"].lower()
    count = len(digits.replace("-", ""))
    fewest = 3 if word not in _LOOSE else 4
    if word == "number" and "number" in match["before"][6:]:
        fewest = 3
    if word in ("number", "order", "reference", "combination") and count < 5 and digits[0] != "0":
        return match[0]
    if (
        count < fewest
        or ("-" in digits and count < 5)
        or (word == "order" and _COUNTED.match(match.string, match.end()))
    ):
        return match[0]
    return f"{match['before']}{_groups(digits)}"


def _version(match: Match[str]) -> str:
    word, number = match["word"], match["number"]
    if word[0] + word[1:].rstrip(". ") == "V" and (word != "V" or "." not in number):
        return match[0]
    if word.strip() == "v" and word != "v" and "." not in number:
        return match[0]
    return f"{'Version' if word[0] == 'V' else 'version'} {_points(number, 'point')}"


def _points(number: str, sign: str) -> str:
    return f" {sign} ".join(map(say.number, number.split(".")))


def _dotted_number(match: Match[str]) -> str:
    if re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3})+", match[0]):
        return say.whole(match[0].replace(".", ""))
    return _points(match[0], "point")


def _release(match: Match[str]) -> str:
    words = f"{match['word']}{_points(match['number'], 'point')}"
    if not match["last"]:
        return words
    joint = match["to"] if match["to"].strip(" -–") else " to "
    return f"{words}{joint}{_points(match['last'], 'point')}"


def _model(match: Match[str]) -> str:
    letters, digits, sign = match["letters"], match["digits"], match["sign"]
    if sign == " " and len(letters) != 2:
        return match[0]
    if letters in _WORDS:
        return match[0]
    if len(letters) == 2 and sign != "-":
        return f"{say.letters(letters)} {say.one_by_one(digits)}"
    return f"{say.letters(letters)} {say.in_pairs(digits)}"


def _chemical(match: Match[str]) -> str:
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", match[0])
    if not any(count for _, count in parts) or not all(element in _ELEMENTS for element, _ in parts):
        return match[0]
    words = (f"{say.letters(element)} {say.number(count) if count else ''}" for element, count in parts)
    return " ".join(" ".join(words).split())


def _letters_digits(match: Match[str]) -> str:
    return f"{match[1]} " if match[1] in _WORDS else f"{say.letters(match[1])} "


def _several(words: str, ending: str) -> str:
    if not ending:
        return words
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}es" if words.endswith("x") else f"{words}s"


def _isbn(match: Match[str]) -> str:
    digits = match[0]
    return _groups(digits) + (", X" if digits.endswith("X") else "")


KINDS: Final = (
    Kind(
        "phone-numbers",
        "(212) 555-0187, +44 20 7946 0958, 911: digit by digit",
        (
            (_LETTERED, _lettered),
            (_FREE, lambda match: f"one {say.in_pairs(f'8{match[1]}')}"),
            (_NORTH_AMERICAN, _north_american),
            (_INTERNATIONAL, lambda match: f"plus {_groups(match[0])}"),
            (_TRUNK, lambda match: _groups(match[0])),
            (_LOCAL, _local),
            (_LONG, _long),
            (_SHORT_CALL, _short_call),
        ),
    ),
    Kind(
        "identifiers",
        "v2.0.1, zip code 90210, Room 204, BA283, CO2, 007: names made of letters and digits",
        (
            (_FORTY_K, "four oh one K"),
            (_LINES, lambda match: f"{say.in_pairs(match[1])} {match[2].upper()}"),
            (_CODE, _code),
            (_RELEASE, _release),
            (_VERSION, _version),
            (_DOTTED_NUMBER, _dotted_number),
            (_GROUPS, _isbn),
            (
                _NAMED,
                lambda match: f"{match['word']} {_several(say.in_pairs(match['digits']), match['several'])}",
            ),
            (_SEAT, lambda match: f"{match[1]} {say.number(match[2])} {match[3]}"),
            (_SEVERAL, lambda match: f"{say.letters(match[1])} {_several(say.in_pairs(match[2]), 's')}"),
            (_STATE_ZIP, lambda match: f"{match[1]} {_groups(match[2])}"),
            (_STATUS, lambda match: say.in_pairs(match["digits"])),
            (re.compile(r"\bWW(?=[12]\b)"), "World War "),
            (re.compile(r"\bIPv(?=\d\b)"), "I P V "),
            (_SALTS, lambda match: say.letters(match[1])),
            (_CHEMICAL, _chemical),
            (_MODEL, _model),
            (_LETTERS_DIGITS, _letters_digits),
            (_LEADING_ZEROS, lambda match: say.one_by_one(match[0])),
        ),
    ),
)
