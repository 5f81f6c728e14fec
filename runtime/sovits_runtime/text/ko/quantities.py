"""Korean amounts: money, units, fractions, sums, ratios, ranges, and the numbers that are left."""

from __future__ import annotations

import re
from collections.abc import Iterable
from re import Match
from typing import Final

from sovits_runtime.text.ko.numbers import decimal, ends_in_consonant, number, sino, with_topic
from sovits_runtime.text.ko.units import SPEEDS, UNITS
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.written import VULGAR_FRACTIONS

_NUMBER: Final = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_RANGE: Final = r"\s?[-~∼〜～–]\s?"
_SCALE: Final = "[십백천만억조]{1,2}"
_STARTS: Final = r"(?<!\d)(?<!\d[.,])"  # also what keeps long numbers from being tried at every digit
_NOT_INSIDE: Final = rf"{_STARTS}(?<![A-Za-z])"

_CURRENCIES: Final = {
    "$": "달러", "US$": "달러", "USD": "달러", "￥": "엔", "¥": "엔", "JPY": "엔", "€": "유로", "EUR": "유로",
    "£": "파운드",
    "GBP": "파운드", "₩": "원", "￦": "원", "KRW": "원", "元": "위안", "CNY": "위안", "RMB": "위안",
    "HK$": "홍콩달러", "฿": "바트",
    "₫": "동", "₹": "루피", "₽": "루블", "A$": "호주달러", "C$": "캐나다달러", "NT$": "대만달러", "₿": "비트코인",
}  # fmt: skip
_CENTS: Final = {"달러": "센트", "유로": "센트", "파운드": "펜스"}
_SIGN: Final = "|".join(re.escape(sign) for sign in sorted(_CURRENCIES, key=len, reverse=True))
_ENGLISH_SCALES: Final = {
    "k": 10**3,
    "m": 10**6,
    "b": 10**9,
    "bn": 10**9,
    "million": 10**6,
    "billion": 10**9,
    "t": 10**12,
}
_MONEY_BEFORE: Final = re.compile(
    rf"(?<![A-Za-z])(?P<sign>{_SIGN})\s?(?P<low>(?:{_NUMBER})(?={_RANGE}(?:{_SIGN})?\s?\d))?(?(low){_RANGE}(?:{_SIGN})?\s?)"
    rf"(?P<amount>{_NUMBER})(?:(?P<scale>{_SCALE})|\s?(?P<english>million|billion|bn|[KkMBT])(?![A-Za-z]))?"
)
_MONEY_AFTER: Final = re.compile(
    rf"{_NOT_INSIDE}(?P<amount>{_NUMBER})(?P<scale>{_SCALE})?\s?(?P<sign>{_SIGN})(?![A-Za-z\d])"
)


def _either(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_SPEED: Final = re.compile(
    rf"{_NOT_INSIDE}(?:(?:시속|초속)\s?)?(?P<number>{_NUMBER})\s?(?P<unit>{_either(SPEEDS)})(?![A-Za-z])"
)
_MEASURED: Final = re.compile(
    rf"{_NOT_INSIDE}(?P<low>(?:{_NUMBER})(?=\s?[-~∼〜～–]\s?\d))?(?(low){_RANGE})(?P<number>{_NUMBER})(?P<scale>{_SCALE})?\s?"
    rf"(?P<unit>{_either(UNITS)})(?:/(?P<per>{_either(UNITS)}))?(?![A-Za-z\d])"
)
_LOW: Final = rf"(?P<low>(?:{_NUMBER})(?=\s?[-~∼〜～–]\s?\d))?(?(low){_RANGE})"
_PER_UNIT: Final = re.compile(rf"(?<![A-Za-z\d])(?P<unit>{_either(UNITS)})(?=당)당")
_PERCENT: Final = re.compile(
    rf"(?:{_NOT_INSIDE}{_LOW}(?P<number>{_NUMBER}))?\s?(?P<sign>%\s?[pP](?![A-Za-z])|[%‰])"
)
_DEGREES: Final = re.compile(
    rf"(?:(?P<minus>[-−–])(?=\d))?{_STARTS}{_LOW}(?P<number>{_NUMBER})\s?°\s?(?P<scale>[CF](?![A-Za-z]))?"
)
_MINUS_SIGN: Final = r"(?:(?<=^)|(?<=[\s(\[,~∼〜～:=가-힣]))[-−–](?=(?:\d|[$￥¥€£₩]))"


def _from(low: str | None) -> str:
    return f"{number(low)}에서 " if low else ""


def _scaled(amount: str, scale: str) -> str:
    """An amount with a Korean scale behind it: 1.5억 is 일쩜오억."""
    spoken = number(amount)
    return ("" if spoken == "일" and scale[:1] in "십백천만" and scale else spoken) + scale


def _currency(match: Match[str]) -> str:
    name, amount = _CURRENCIES[match["sign"]], match["amount"]
    groups = match.groupdict()
    low = _from(groups.get("low"))
    english, scale = groups.get("english"), groups.get("scale") or ""
    if english:
        value = float(amount.replace(",", "")) * _ENGLISH_SCALES[english.lower()]
        return f"{low}{sino(str(round(value)))}{name}"
    whole, _, cents = amount.partition(".")
    if len(cents) == 2 and name in _CENTS and not scale:
        spoken = f"{sino(whole)}{name}" if whole.strip("0,") else ""
        return f"{low}{spoken}{' ' if spoken and int(cents) else ''}" + (
            f"{sino(str(int(cents)))}{_CENTS[name]}" if int(cents) else ""
        )
    return f"{low}{_scaled(amount, scale)}{name}"


def _measured(match: Match[str]) -> str:
    per = f" 퍼 {UNITS[match['per']]}" if match["per"] else ""
    return f"{_from(match['low'])}{_scaled(match['number'], match['scale'] or '')}{UNITS[match['unit']]}{per}"


def _percent(match: Match[str]) -> str:
    word = {"%": "퍼센트", "‰": "퍼밀"}.get(match["sign"], "퍼센트포인트")
    return _from(match["low"]) + (number(match["number"]) if match["number"] else "") + word


def _degrees(match: Match[str]) -> str:
    spoken = f"{_from(match['low'])}{number(match['number'])}도"
    if match["scale"] == "F":
        spoken = f"화씨 {spoken}"
    return f"{'영하 ' if match['scale'] == 'C' else '마이너스 '}{spoken}" if match["minus"] else spoken


_OPERANDS: Final = r"(?:\d|[A-Za-z가-힣)])"
_SUM: Final = {
    "+": "더하기",
    "×": "곱하기",
    "÷": "나누기",
    "−": "빼기",
    "-": "빼기",
    "*": "곱하기",
    "±": "플러스마이너스",
}
_COMPARED: Final = {
    ">": "보다 크다", "<": "보다 작다", "≠": "와 같지 않다", "!=": "와 같지 않다", "≈": "와 거의 같다",
    "≒": "와 거의 같다",
}  # fmt: skip
_BOUNDS: Final = frozenset("≥≤") | {">=", "<="}
_LIMITS: Final = {">": "초과", "<": "미만", "≥": "이상", "≤": "이하", ">=": "이상", "<=": "이하"}
_COMPARISON: Final = re.compile(
    rf"(?P<left>{_STARTS}(?:{_NUMBER})|[A-Za-z](?![A-Za-z]))\s?(?P<sign>>=|<=|!="
    rf"|[><≥≤≠≈≒])\s?(?P<right>{_NUMBER}|[A-Za-z](?![A-Za-z]))"
)
_LIMIT: Final = re.compile(
    rf"(?P<sign>>=|<=|[><≥≤])\s?(?P<right>(?:{_NUMBER})(?:[가-힣%]{{1,5}}(?![가-힣]))?)"
)
_EQUATION: Final = re.compile(
    r"[\d)A-Za-z가-힣]\s?[-−+×÷*]\s?[\d(A-Za-z][\d\s.,+×÷*()A-Za-z−-]{0,40}[=＝≈≒]"
    r"|[=＝]\s?[\d(][\d\s.,+×÷*()−-]{0,40}?\s?[-−+×÷*]\s?\d"
)
_MINUS_IN_SUM: Final = re.compile(rf"(?P<left>{_NUMBER}|\))\s?[-−]\s?(?=[\d(])")


def _comparison(match: Match[str]) -> str:
    left, right = (number(side) if side[0].isdigit() else side for side in (match["left"], match["right"]))
    if match["sign"] in _BOUNDS:
        return f"{with_topic(left)} {right} {_LIMITS[match['sign']]}"
    ending = _COMPARED[match["sign"]]
    if re.match("[가-힣]", match.string[match.end() :][:1]):
        ending = (
            ending.replace("크다", "큼")
            .replace("작다", "작음")
            .replace("같다", "같음")
            .replace("않다", "않음")
        )
    if ending.startswith("와") and ends_in_consonant(right):
        ending = "과" + ending[1:]
    return f"{with_topic(left)} {right}{ending}"


def _equals(match: Match[str]) -> str:
    left = match["left"]
    spoken = number(left) if left[0].isdigit() else left
    return f"{with_topic(spoken)} "


def _minuses(match: Match[str]) -> str:
    """A sum with its result: a hyphen between its numbers is a minus."""
    return _MINUS_IN_SUM.sub(r"\g<left> 빼기 ", match[0])


_FRACTION: Final = re.compile(
    r"(?<![\d/.A-Za-z])(?<!\d,)(?:(?P<whole>\d+)(?:\s"
    r"|[과와]\s?))?(?P<top>\d{1,4})[/⁄](?P<bottom>\d{1,5})(?![\d/.]\d?|[A-Za-z])"
)
_WON: Final = (
    r"\s?(?:으?로\s?(?:이기|이겼|이긴|졌|지고|진|승|패|비기|비겼|앞|뒤|역전|완승|리드|끝|마쳤|마감|꺾)"
    r"|\s?(?:승리|패배|무승부|역전승|완승|승|패)(?![가-힣]*[육])|의 (?:승리|스코어))"
)
_SCORE: Final = re.compile(rf"(?<![\d:.-])(?P<left>\d{{1,3}})\s?[-–:]\s?(?P<right>\d{{1,3}})(?={_WON})")
_RATIO: Final = re.compile(
    r"(?<![\d:.])(?P<left>\d{1,4}(?:\.\d+)?)\s?[:：∶]\s?(?P<right>\d{1,4}(?:\.\d+)?)(?:\s?[:：∶]\s?(?P<third>\d{1,4}))?(?![\d:])"
)


def _vulgar(match: Match[str]) -> str:
    top, bottom = VULGAR_FRACTIONS[match["sign"]]
    whole = f"{sino(match['whole'])}과 " if match["whole"] else ""
    return f"{whole}{sino(str(bottom))}분의 {sino(str(top))}"


def _fraction(match: Match[str]) -> str:
    whole = f"{_and(sino(match['whole']))} " if match["whole"] else ""
    return f"{whole}{sino(match['bottom'])}분의 {sino(match['top'])}"


def _and(word: str) -> str:
    return word + ("과" if ends_in_consonant(word) else "와")


def _ratio(match: Match[str]) -> str:
    third = match["third"] if "third" in match.re.groupindex else None
    return "대 ".join(number(part) for part in (match["left"], match["right"], third) if part)


FRACTIONS: Final = Kind(
    "fractions",
    "3/4 is 사분의 삼, ½ 이분의 일",
    (
        (re.compile(rf"(?:(?<!\d)(?P<whole>\d+)\s?)?(?P<sign>[{''.join(VULGAR_FRACTIONS)}])"), _vulgar),
        (_FRACTION, _fraction),
    ),
)
SCORES: Final = Kind("scores", "scores and ratios: 3:2 is 삼대 이", ((_SCORE, _ratio), (_RATIO, _ratio)))
MONEY: Final = Kind(
    "money",
    "¥ is 엔, ₩ 원; $3.50 is 삼달러 오십센트",
    ((_MONEY_BEFORE, _currency), (_MONEY_AFTER, _currency)),
)
UNITS_KIND: Final = Kind(
    "units",
    "175cm is 백칠십오센티미터, 80km/h 시속 팔십킬로미터",
    (
        (_SPEED, lambda match: "{0[0]}{1}{0[1]}".format(SPEEDS[match["unit"]], number(match["number"]))),
        (_MEASURED, _measured),
        (_PER_UNIT, lambda match: f"{UNITS[match['unit']]}당"),
    ),
)
PERCENT: Final = Kind("percent", "50% is 오십퍼센트, 2%p 이퍼센트포인트", ((_PERCENT, _percent),))
TEMPERATURES: Final = Kind("temperatures", "23℃ is 이십삼도, -5℃ 영하 오도", ((_DEGREES, _degrees),))
COMPARISONS: Final = Kind(
    "comparisons",
    "a minus before a number, ± and comparisons: -5 is 마이너스 오, 5>3 오는 삼보다 크다, ≥18 십팔 이상",
    (
        (_EQUATION, _minuses),
        (_COMPARISON, _comparison),
        (_LIMIT, lambda match: f"{match['right']} {_LIMITS[match['sign']]}"),
        (re.compile(r"[≈≒]\s?(?=\d)"), "약 "),
        (re.compile(r"(?:±|\+/-)\s?(?=\d)"), "플러스마이너스 "),
        (re.compile(rf"{_MINUS_SIGN}(?![\d.]+\s?°\s?C)"), "마이너스 "),
    ),
)
ARITHMETIC: Final = Kind(
    "arithmetic",
    "3+4=7 is 삼 더하기 사는 칠",
    (
        (re.compile(r"(?<=[\d)])\s?[x×*]\s?(?=[\d(])"), " 곱하기 "),
        (re.compile(r"(?<=[\d)])\s?÷\s?(?=[\d(])"), " 나누기 "),
        (re.compile(r"(?:^|(?<=\s))\+(?=\d)"), "플러스 "),
        (re.compile(r"(?<=[\d)A-Za-z가-힣])\s?[+]\s?(?=[\d(A-Za-z가-힣])"), " 더하기 "),
        (re.compile(r"(?<=\d)\+"), " 플러스"),
        (
            re.compile(rf"(?P<left>{_STARTS}(?:{_NUMBER})|[가-힣A-Za-z)])\s?[=≡]\s?(?=[\d(가-힣A-Za-z-])"),
            _equals,
        ),
        (re.compile(r"√\s?(?=\d)"), "루트 "),
        (re.compile(r"(?<=\d)\^\s?2(?!\d)"), "의 제곱"),
        (re.compile(r"(?<=\d)\^\s?(?P<power>\d+)"), lambda match: f"의 {sino(match['power'])}승"),
    ),
)
RANGES: Final = Kind(
    "ranges",
    "3~5일 is 삼에서 오일",
    (
        (
            re.compile(
                rf"{_NOT_INSIDE}(?<!-)(?P<low>{_NUMBER})(?P<unit>[년월일시분초층번회차개월원도만억천호세주]{{0,2}})"
                rf"(?:\s?[~∼〜～]\s?|\s?[-–]\s?(?=\d+(?:[,.]\d+)*\s?[가-힣%A-Za-z㎏℃°]))(?=\d)"
            ),
            lambda match: f"{number(match['low'])}{match['unit']}에서 ",
        ),
        (re.compile(r"(?<=[가-힣])\s?[~∼〜～]\s?(?=\d)"), "에서 "),
        (
            re.compile(
                r"(?<=[시분일월년])\s?[-~∼〜～–]\s?(?=오전|오후|새벽|저녁|밤|낮|아침|정오|자정|다음"
                r"|[가-힣]{1,3}(?:월|시)(?![가-힣]))"
            ),
            "에서 ",
        ),
        (
            re.compile(
                r"(?<![가-힣])(?P<from>[월화수목금토일])(?:요일)?\s?[-~∼〜～]\s?(?P<to>[월화수목금토일])(?:요일)?(?![가-힣]{2}"
                r"|요)"
            ),
            r"\g<from>요일에서 \g<to>요일",
        ),
    ),
)
NUMBERS: Final = Kind(
    "numbers",
    "numbers in words: 2024년 is 이천이십사년, 1.5억 일쩜오억",
    (
        (
            re.compile(
                rf"{_STARTS}(?P<amount>{_NUMBER})(?P<scale>{_SCALE})(?=$|[^가-힣]"
                r"|[원명개달엔유위건톤대여장년권이의에을은가도])"
            ),
            lambda match: _scaled(match["amount"], match["scale"]),
        ),
        (re.compile(rf"{_STARTS}\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?!\d)"), lambda match: number(match[0])),
        (re.compile(r"(?<![\d.])(\d+)\.(\d+)(?![.]?\d)"), lambda match: decimal(match[1], match[2])),
        (re.compile(r"(?<![\d\w.])\.(\d+)(?!\.?\d)"), lambda match: decimal("0", match[1])),
        (re.compile(r"\d+"), lambda match: sino(match[0])),
    ),
)
