"""Full stops that do not end a sentence: titles, initials, abbreviations, decimals, addresses, list numbers.

`ends_sentence` is asked by the cutting of text, and by the kinds that write abbreviations out, so both agree. It looks
at a few characters on either side, whatever the length of the text.
"""

from __future__ import annotations

import re
from typing import Final

from sovits_runtime.text.word_list import word_list

_REACH: Final = 48
_CLOSING: Final = "\"'’”»)]}*_"

STARTERS: Final = frozenset(
    word_list(
        "A About After All Also Although An And Any Are As At Because Before Both But By Can Could Did Do Does During"
        " Each Even Every Everyone Everything First For From Go Had Has Have He Her Here His How However I I'd I'll"
        " I'm I've If In Instead Is It It's Its Just Last Later Let's Let Look Many Maybe Meanwhile Most My Next No"
        " Nobody Not Nothing Now Of On Once One Only Or Other Our Over People Perhaps Please She She's Should Since"
        " So Some Someone Something Soon Still Such Suddenly Take Thank Thanks That That's The Their Then There"
        " There's Therefore These They They're This Those Though Thus To Today Tomorrow Tonight Two Under Until Was"
        " We We'll We're We've Well Were What What's When Where Which While Who Why With Without Would Yes Yesterday"
        " Yet You You're Your"
    )
)
WEEKDAYS: Final = {
    "mon": "Monday", "tue": "Tuesday", "tues": "Tuesday", "wed": "Wednesday", "weds": "Wednesday", "thu": "Thursday",
    "thur": "Thursday", "thurs": "Thursday", "fri": "Friday", "sat": "Saturday", "sun": "Sunday",
}  # fmt: skip
MONTHS: Final = {
    "jan": "January", "feb": "February", "febr": "February", "mar": "March", "apr": "April", "jun": "June",
    "jul": "July", "aug": "August", "sep": "September", "sept": "September", "oct": "October", "nov": "November",
    "dec": "December",
}  # fmt: skip

_TITLES: Final = frozenset(
    word_list(
        "mr mrs ms mx dr prof rev fr sr jr hon gen lt col capt cpt cmdr cdr maj sgt cpl pvt adm gov sen rep pres supt"
        " det insp sec st ste mt ft messrs mme mlle msgr ald amb atty assoc asst dir rt sra srta"
    )
)
_LOWER_TITLES: Final = frozenset(word_list("mr mrs ms mx dr prof messrs mme mlle"))
_AFTER_NAMES: Final = frozenset(word_list("st dr ft mt jr sr"))
_NEVER_LAST: Final = frozenset(word_list("vs approx ca cf viz resp incl excl e.g i.e eg ie"))
_BEFORE_NUMBERS: Final = frozenset(
    word_list(
        "no nos nr fig figs p pp pg pgs vol vols ch chap chaps sec sect art arts ver v vv eq eqs ex exs pt pts para"
        " paras par app appx apt rm ste tel ext est op bk l ll line tab sch cl max min rs rte lvl lv ep eps q"
        " ans prob thm flr fl ser"
    )
)
_MAY_BE_LAST: Final = frozenset(
    word_list(
        "etc in al cont inc ltd co corp bros llc plc dept univ assn intl natl ave av blvd rd ln hwy pkwy pl sq ct"
        " cir bldg apt"
        " min mins hr hrs sec secs oz lb lbs ft yd yds mi mph tsp tbsp gal qt pt wt ht misc est max avg temp"
        " ext tel yr yrs wk wks mo mos tbs gals qts pts doz pcs msec"
        " mgr mgrs mgmt asst assts assoc acct accts appt appts amt pkg attn qty depts exec execs secy treas supt mfg"
        " mfr hosp mtg mtgs reqd"
        " govt esp orig ed eds trans repr rev vol no nos"
    )
)
_MAY_START_NAMES: Final = frozenset(
    word_list("inc ltd co corp bros llc plc dept univ assn intl natl ave blvd rd ln hwy al")
)
_WORDS_TOO: Final = frozenset(
    word_list("no art ed max min trans sec par app ex line tab ch pl pt mi in l ll")
)
_LABELS: Final = frozenset(
    word_list(
        "plan vitamin section group grade class type option part appendix exhibit team room gate block hepatitis"
        " generation gen malcolm form figure table question answer letter column row point side wing unit zone level"
        " step series model mr ms line phase schedule annex category division hall lot building terminal"
    )
)
_ZONES: Final = frozenset(
    word_list(
        "est edt cst cdt mst mdt pst pdt gmt utc bst cet cest et ct mt pt eastern central mountain pacific"
    )
)
_ROMAN: Final = re.compile("[IVXL]{2,7}|[VX]")
_SAID: Final = re.compile(
    r"\b(?:said|say|says|saying|answered|replied|whispered|shouted|screamed|simply)\s+\Z"
)
_LETTERS: Final = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]|Ph\.D|M\.Sc|B\.Sc|M\.Ed|B\.Ed|Ed\.D|LL\.[BMD]|M\.B\.A")
_TOKEN: Final = re.compile(r"[^\s,;:!?()\[\]{}\"“”«»…]*\Z")
_WORD_BEFORE: Final = re.compile(r"([A-Za-z']+)[ \t]+\Z")
_NEXT: Final = re.compile(rf"[{re.escape(_CLOSING)}]*(\s*)[\"'“‘«(\[*_]*")
_NEXT_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_CJK: Final = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af]")
_LINE_START: Final = re.compile(r"(?:\A|[\n.!?…:;][\"'”’)]*)[ \t>*_(\[#-]*\Z")


def _word_after(after: str) -> tuple[str, str, bool]:
    """First character and first word that follow a stop, and whether they are a name of a time."""
    word = _NEXT_WORD.match(after)
    text = word[0].replace("’", "'") if word else ""
    lower = text.lower()
    return after[:1], text, lower in _ZONES or lower[:3] in WEEKDAYS or lower[:3] in MONTHS


def _single_letter(letter: str, before: str, *, first: str, word: str) -> bool:
    """Whether the stop behind one letter ends a sentence; it does not behind an initial."""
    earlier = _WORD_BEFORE.search(before)
    label = earlier is not None and earlier[1].lower() in _LABELS
    if letter == "I" and earlier is not None and not earlier[1][0].isupper():
        return True
    if earlier is not None and len(earlier[1]) == 1 and earlier[1].isupper():  # an acronym that was spelled
        return first == "" or first.isupper()
    if letter.islower():
        return not first.isdigit() and not _LINE_START.search(before)
    if first == "":
        return label
    if letter in "XYZ" and earlier is not None and earlier[1].islower():
        return first.isupper()
    return not _LINE_START.search(before) and ((label and first.isupper()) or word in STARTERS)


def _dotted_letters(token: str, *, first: str, word: str, time_name: bool) -> bool:
    """Whether the last stop of `a.m.`, `U.S.` or `Ph.D.` ends a sentence too."""
    if token.lower() in _NEVER_LAST:
        return False
    if token.lower() in ("a.m", "p.m"):
        return first == "" or (first.isupper() and not time_name)
    return first == "" or word in STARTERS


def _abbreviation(token: str, before: str, *, first: str, word: str) -> bool | None:
    """Whether the stop of an abbreviation ends a sentence; None for other words."""
    lower = token.lower()
    capital = token[:1].isupper()
    if lower in _NEVER_LAST:
        return False
    if lower in _BEFORE_NUMBERS and lower != "no" and _ROMAN.fullmatch(word):
        return False
    if lower in _BEFORE_NUMBERS and first.isdigit():
        return token == "no" and _SAID.search(before) is not None
    if lower in _TITLES and (capital or lower in _LOWER_TITLES):
        earlier = _WORD_BEFORE.search(before)
        if lower in _AFTER_NAMES and earlier is not None and earlier[1][0].isupper():
            return first == "" or word in STARTERS
        return False
    if lower in MONTHS or lower in WEEKDAYS:
        return (first == "" or word in STARTERS) if capital else not first.isdigit()
    if lower in ("min", "max") and first.islower():
        return False
    if lower in _MAY_BE_LAST:
        if lower in _WORDS_TOO and not capital and not before.rstrip()[-1:].isdigit():
            return True
        return first == "" or (word in STARTERS if lower in _MAY_START_NAMES else first.isupper())
    return None


def ends_sentence(text: str, position: int) -> bool:
    """Whether a full stop of English text ends a sentence.

    At the end of the text the answer is no only behind what always goes on, such as `Dr.` or `e.g.`;
    `may_go_on` tells whether text that is still to come could change a yes.

    Args:
        text: What is there so far, as it was written, and what follows.
        position: Index of the full stop.
    """
    before = text[max(0, position - _REACH) : position]
    if position > _REACH:
        before = "x" + before
    after = text[position + 1 : position + 1 + _REACH]
    gap = _NEXT.match(after)
    rest = after[gap.end() :] if gap else after
    first, word, time_name = _word_after(rest)
    if after.startswith("."):
        return False
    if before.endswith("."):
        return not first.islower()
    if gap is not None and not gap[1] and first:
        return _without_space(before, after, first=first, word=word)
    if gap is not None and "\n" in gap[1] and (gap[1].count("\n") > 1 or not first.isalnum()):
        return True
    return _before_space(before, first=first, word=word, time_name=time_name)


def _without_space(before: str, after: str, *, first: str, word: str) -> bool:
    """Whether a stop ends a sentence although no space follows, as in `We sat.Then` or before an ideograph."""
    if _CJK.match(after):
        return True
    token = _TOKEN.search(before)
    plain = token is not None and token[0].isalpha() and token[0][1:].islower() and len(token[0]) > 1
    return plain and after[:1] == first and word in STARTERS and len(word) > 1


def _before_space(before: str, *, first: str, word: str, time_name: bool) -> bool:
    token_match = _TOKEN.search(before)
    token = re.split("[-–/]", token_match[0].lstrip("'‘*_#>-"))[-1] if token_match else ""
    earlier = before[: len(before) - len(token)]
    if token.isdigit():
        return first == "" or len(token) > 3 or _LINE_START.search(earlier) is None
    if len(token) == 1 and token.isalpha() and token.isascii():
        return _single_letter(token, earlier, first=first, word=word)
    if _LETTERS.fullmatch(token):
        return _dotted_letters(token, first=first, word=word, time_name=time_name)
    number = re.fullmatch(r"\d+([A-Za-z]+)", token)
    known = _abbreviation(number[1] if number else token, "0" if number else earlier, first=first, word=word)
    return True if known is None else known


def may_go_on(text: str, position: int) -> bool:
    """Whether the next word, which is not there yet, decides if a full stop ends the sentence.

    Args:
        text: What is there so far.
        position: Index of the full stop.
    """
    rest = text[position + 1 : position + 1 + _REACH]
    if rest.strip(_CLOSING + " \t"):
        return False
    return not all(
        ends_sentence(text[: position + 1] + probe, position) for probe in (" the", " 5", " Smith")
    )
