"""Japanese dates and times of day."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.ja.numbers import DASH, RANGE, WAVE, kanji
from sovits_runtime.text.spelling import Kind

_YEAR_DATE: Final = re.compile(
    rf"(?<![\d./])(?P<year>[12]\d{{3}})\s?(?P<mark>[/.]|{DASH})\s?0?(?P<month>1[0-2]"
    r"|[1-9])\s?(?P=mark)\s?0?(?P<day>[12]\d|3[01]|[1-9])"
    rf"(?![\d/]|{DASH}\d)"
)
_YEAR_MONTH: Final = re.compile(r"(?<![\d./])(?P<year>(?:19|20)\d{2})/0?(?P<month>1[0-2]|[1-9])(?![\d/])")
_ERAS: Final = {"R": "令和", "H": "平成", "S": "昭和", "T": "大正", "M": "明治"}
_ERA_DATE: Final = re.compile(
    r"(?<![A-Za-z\d])(?P<era>[RHSTM])\s?0?(?P<year>\d{1,2})[./]0?(?P<month>1[0-2]"
    r"|[1-9])[./]0?(?P<day>[12]\d|3[01]|[1-9])(?![\d.])"
)
_ERA_YEAR: Final = re.compile(r"(?<![A-Za-z\d])(?P<era>[RHSTM])\s?0?(?P<year>\d{1,2})(?=年)")
_DAY: Final = r"0?(?P<month>1[0-2]|[1-9])/0?(?P<day>[12]\d|3[01]|[1-9])(?![\d/])"
_WEEKDAY: Final = r"[月火水木金土日祝]"
_HOLIDAY: Final = (
    "海の日|山の日|文化の日|(?:こども|子ども|子供)の日|母の日|父の日|敬老の日|体育の日|スポーツの日|昭和の日|みどりの日|成人の日"
    "|勤労感謝の日|[春秋]分の日|憲法記念日|建国記念|天皇誕生日|元日|元旦|大晦日|クリスマス|バレンタイン|ホワイトデー"
    "|ハロウィン|七夕|節分|ひな祭り|ひなまつり|エイプリルフール|お盆|終戦記念日"
)
_DAY_OF: Final = (
    r"[^、。，,.\s\d]{0,10}?(?:の日(?!本)|祝日|休日|記念日|締切|締め切り|〆切|誕生日|命日|給料日|花火大会|運動会|文化祭|学園祭"
    r"|入社式|入学式|卒業式|結婚式|始業式|終業式|成人式|開会式|試験|会議|面接|発表会|飲み会|テスト|定休日|休業|休み)"
)
_BEFORE_HOLIDAY: Final = re.compile(rf"(?<![\d./]){_DAY}(?=\s?[はがも、]?\s?(?:{_HOLIDAY}))")
_BEFORE_DAY: Final = re.compile(rf"(?<![\d./の]){_DAY}(?=\s?[はも、]?\s?{_DAY_OF})")
# Improper: a day, unless something is measured by it.
_NO_FRACTION: Final = re.compile(
    r"(?<![\d./])0?(?P<month>1[0-2]|[1-9])/0?(?P<day>[12]\d|3[01]|[1-9])(?=[はにも]|、|。|が(?!分))(?![\d/])"
)
_SHORT_DATE: Final = re.compile(
    rf"(?<![\d./]){_DAY}(?=\s?[(（]{_WEEKDAY}|まで|から|より|〆|締|開催|発売|公開|開始|開店|オープン|付"
    r"|現在|時点|必着|以降|以前"
    rf"|午前|午後|朝|夜|昼|頃|ごろ|\s?\d{{1,2}}[:：]\d\d|\s?\d{{1,2}}時|の(?:朝|夜|午|昼|イベント|試合"
    r"|ライブ|予定|会議|天気|公演|授業)"
    rf"|に(?:発|開|公|行|配|実|放|出|会|届|始|終|予|入)|\s?{WAVE}\s?\d{{1,2}}/)"
)
_NAMED_DATE: Final = re.compile(
    r"(?P<name>(?:日時|日程|期間|期限|締切|締め切り|締切り|〆切|開催日?|発売日?|本日|今日|昨日|明日|会期"
    r"|納期|試験日?|日付|公開日?|初日|最終日|誕生日|結婚式|入学式|卒業式|入社式|試験|会議|面接|試合|ライブ|コンサート|飲み会|運動会|文化祭"
    r"|命日|記念日|給料日|イベント|テスト)"
    rf"(?:は|：|:|が|、)?\s?){_DAY}"
)
_SHORT_DATE_END: Final = re.compile(
    rf"(?P<before>日|日?[(（]{_WEEKDAY}[^)）]{{0,3}}[)）])(?P<range>{RANGE}){_DAY}"
)
_WEEKDAY_AFTER: Final = re.compile(
    r"(?<=日)\s?[(（](?P<day>[月火水木金土日])(?:曜日?)?(?:・?(?P<holiday>祝)日?)?[)）](?P<stop>[、。,.]?)"
)
_HOLIDAY_AFTER: Final = re.compile(r"(?<=日)\s?[(（]祝日?[)）]")
_WEEKDAYS: Final = re.compile(
    rf"(?<![\w日])(?P<low>{_WEEKDAY})(?:曜日?)?{RANGE}(?P<high>{_WEEKDAY})(?P<word>曜日?)?(?![\u4e00-\u9fff])"
)
_SHORT_YEAR: Final = re.compile(r"['’‘](?P<year>\d{2})(?=年)")

_CLOCK: Final = (
    r"(?<![\d:：.])(?:(?P<half>[AaPp]\.?[Mm]\.?)\s?)?0?(?P<hour>[12]\d"
    r"|\d)[:：](?P<minute>[0-5]\d)(?:[:：](?P<second>[0-5]\d))?"
    r"(?![\d:：])(?:\s?(?P<after>[AaPp]\.?[Mm](?![A-Za-z])\.?))?"
)
_NO_RATIO: Final = r"(?!\s?の?(?:割合|比率|比(?!べ)|スコア|アスペクト)|で(?:勝|負|敗|快勝|辛勝|逆転|引き分))"
_TIME: Final = re.compile(_CLOCK + _NO_RATIO)
_TIME_FROM: Final = re.compile(rf"{_CLOCK}{RANGE}(?=\d{{1,2}}(?:[:：]\d\d|時))")
_HOUR_HALF: Final = re.compile(
    r"(?<![A-Za-z\d])(?:(?P<half>[AaPp]\.?[Mm]\.?)\s?(?P<hour>1[0-2]|\d)(?=\s?時)|(?P<hour2>1[0-2]"
    r"|\d)\s?(?P<after>[AaPp]\.?[Mm])(?![A-Za-z])\.?)"
)
_ZERO_HOUR: Final = re.compile(r"(?<![\d.,:])0\s?(?=時(?!間))")
_HALVES: Final = {"a": "午前", "p": "午後"}


def _day(match: Match[str]) -> str:
    return f"{kanji(match['month'])}月{kanji(match['day'])}日"


def _improper(match: Match[str]) -> str:
    """A day where the number behind the slash is no larger, as no fraction is written."""
    return _day(match) if int(match["month"]) >= int(match["day"]) else match[0]


def _year_date(match: Match[str]) -> str:
    return f"{kanji(match['year'])}年{_day(match)}"


def _hour(value: str) -> str:
    return kanji(value) if int(value) else "零"


def _clock(match: Match[str]) -> str:
    half = match["half"] or match["after"] or ""
    words = [_HALVES[half[0].lower()] if half else "", f"{_hour(match['hour'])}時"]
    if int(match["minute"]) or match["second"]:
        words.append(f"{kanji(str(int(match['minute'])))}分")
    if match["second"]:
        words.append(f"{kanji(str(int(match['second'])))}秒")
    return "".join(words)


def _half_hour(match: Match[str]) -> str:
    half = _HALVES[(match["half"] or match["after"])[0].lower()]
    return f"{half}{_hour(match['hour'])}" if match["hour"] else f"{half}{_hour(match['hour2'])}時"


def _weekday(match: Match[str]) -> str:
    holiday = "、祝日" if match["holiday"] else ""
    return f"、{match['day']}曜日{holiday}{match['stop']}"


def _weekdays(match: Match[str]) -> str:
    low, high = (day if day == "祝" else f"{day}曜" for day in (match["low"], match["high"]))
    return f"{low}から{high}{'日' if match['word'] == '曜日' else ''}"


DATES: Final = Kind(
    "dates",
    "2023/07/08 is 二千二十三年七月八日, 5/3（土） 五月三日、土曜日, R6.4.1 令和六年四月一日",
    (
        (_YEAR_DATE, _year_date),
        (_ERA_DATE, lambda match: f"{_ERAS[match['era']]}{_year_date(match)}"),
        (_ERA_YEAR, lambda match: _ERAS[match["era"]] + kanji(match["year"])),
        (_YEAR_MONTH, lambda match: f"{kanji(match['year'])}年{kanji(match['month'])}月"),
        (_SHORT_DATE, _day),
        (_NAMED_DATE, lambda match: match["name"] + _day(match)),
        (_BEFORE_HOLIDAY, _day),
        (_BEFORE_DAY, _day),
        (_NO_FRACTION, _improper),
        (_SHORT_DATE_END, lambda match: f"{match['before']}から{_day(match)}"),
        (_WEEKDAY_AFTER, _weekday),
        (_HOLIDAY_AFTER, "、祝日"),
        (_WEEKDAYS, _weekdays),
        (_SHORT_YEAR, lambda match: kanji(match["year"])),
    ),
)
TIMES: Final = Kind(
    "times-of-day",
    "12:30 is 十二時三十分, 8:15〜9:45 八時十五分から九時四十五分",
    (
        (_TIME_FROM, lambda match: f"{_clock(match)}から"),
        (_TIME, _clock),
        (_HOUR_HALF, _half_hour),
        (_ZERO_HOUR, "零"),
    ),
)
