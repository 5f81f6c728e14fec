"""Dates, years and what people name by digits of a year or a day."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.zh.kinds.patterns import DASH, FREE, HAN, Late, after, before, number_rule
from sovits_runtime.text.zh.kinds.quantities import quantity
from sovits_runtime.text.zh.numbers import read_cardinal, read_digits

_MONTH: Final = "0?[1-9]|1[0-2]"
_DAY: Final = "0?[1-9]|[12]\\d|3[01]"
_YEAR: Final = "[12]\\d{3}"
_SPAN_BEFORE: Final = Late(
    "(?:建国|建立|成立|创立|创办|过|过了|近|约|大约|将近|接近|超过|超|用了|花了|经过|经历了|长达|达|历时|"
    "已有|已|有|至今|整整|足足|满|前|每|隔|第"
    "|上下|不到|不足|至少|最多|多|少|等了|活了|存了|工作|学习|生活|相隔|相距|判处|有期徒刑|使用|保修|质保|"
    "结婚|距今|咗|了) ?$"
)
_SPAN_AFTER: Final = Late(
    "(?:来|间|前|以来|历史|的?时间|的历史|的传统|的经验|之久|之前|以前|里|多|余|内|过去|左右|以上|以下|有期|"
    "工龄|之后|后的今|一遇|陈酿|不变|如一)"
)
_ERA: Final = Late(
    "(?:公元前?|西元前?|前|民国|光绪|康熙|乾隆|贞观|昭和|平成|令和|大正|明治|开元|万历|嘉庆|道光) ?$"
)
_DATE_BEFORE: Final = Late(
    "(?:在|于|至|到|从|自|截止|截至|日期|时间|生日|今年|去年|明年|每年|定于|定在|是|改到|推迟到|提前到|喺|系|"
    "由|[:：]) ?$"
)
_DATE_AFTER: Final = Late(
    " ?(?:[(（]?(?:周|星期|礼拜)|上午|下午|早上|晚上|晚|早|凌晨|中午|开|举|出发|截止|到期|之前|以前|前|之后|"
    "后|起|当天|那天|这天|生日|是|系|号|日|休|放"
    "|到|至|-|~|返|见|考|交|发|上映|上线|下架|结束|入|离|去|来|回|有|妇女|劳动|青年|儿童|建军|教师|国庆|圣诞|"
    "元旦|情人|愚人|植树|[,，。 ]|$)"
)
_PART_AFTER: Final = Late(
    " ?(?:的|嘅|以上|以下|以内|左右|概率|机会|杯|勺|匙|英寸|寸|磅|个|小时|天|圈|页|拍|量|强|弱|都|人|会员|学生|时间|价)"
)
_DAY_BEFORE: Final = Late(
    "日期|生日|(?:周|星期|礼拜)[一二三四五六日天] ?$|今年|去年|明年|每年|定于|截止|截至|"
    "(?:节|纪念日|考试|面试|比赛|会议|开会|婚礼|开学|放假|毕业|演出|"
    "上映|发售|交稿|提交|活动|报名|出发|到期)(?:时间|日)?(?:是|系|在|于|喺|为|[：:])* ?$"
)
_DAY_AFTER: Final = Late(
    " ?(?:[(（]?(?:周|星期)|出发|截止|开学|放假|上午|下午|早上|晚上|妇女节|劳动节|青年节|儿童节|国庆)"
    rf"|[是系]?[{HAN}]{{0,5}}?(?:节(?![省约奏目课])|纪念日|生日|诞辰|忌日|圣诞|元旦|清明|除夕|七夕|中秋|端午|元宵|腊八|立[春夏秋冬]|[夏冬]至|[春秋]分(?!之))"
    "|[(（]?[是系]?(?:礼拜|周|星期)[一二三四五六日天]|(?:高考|中考|考研|面试|上映|发售|开售|发布会|截止|到期)"
)
_NUMBERED: Final = Late("(?:[号码单编卡]|ID|id)(?:是|为|系|[：:])? ?$")
_HISTORY: Final = Late("(?:的?历史|多|余)")
_MEASURED: Final = Late(rf" ?(?:[A-Za-z%¥$元块人个名米克吨斤]|[{HAN}]?元)")
_EVENTS: Final = (
    "事件|事变|惨案|运动|晚会|恐怖|袭击|大地震|地震|起义|部队|工程|高校|院校|大学|工作制|大促|购物节|胶水|"
    "艺术区|会议|法案|政变|枪击"
)


def _date(match: Match[str]) -> str:
    """Year, month and day; a date in the American order has the year last."""
    year, month, day = match["year"], match["month"], match["day"]
    spoken = read_digits(year) + "年" + read_cardinal(month) + "月"
    return spoken + (read_cardinal(day) + "日" if day else "")


def _compact_date(match: Match[str]) -> str:
    return match[0] if _NUMBERED.search(before(match)) else _date(match)


def _american_date(match: Match[str]) -> str:
    first, second = int(match[1]), int(match[2])
    month, day = (first, second) if first <= 12 else (second, first)
    if month > 12:
        return match[0]
    return f"{read_digits(match[3])}年{read_cardinal(str(month))}月{read_cardinal(str(day))}日"


def _is_day(match: Match[str]) -> bool:
    """Whether 12/25 is a day; else it is a fraction or something else."""
    month, day = int(match["month"]), int(match["day"])
    left, right = before(match), after(match)
    if left.endswith(("第", "又", "1 ")) or _PART_AFTER.match(right):
        return False
    if month >= day or match["month"].startswith("0") or match["day"].startswith("0"):
        return True
    likely = day > 10 and (month > 1 or day not in (12, 16, 20))
    if likely:
        return True
    return bool(_DAY_BEFORE.search(left) or _DAY_AFTER.match(right))


def _month_and_day(match: Match[str]) -> str:
    if not _is_day(match):
        return match[0]
    return f"{read_cardinal(match['month'])}月{read_cardinal(match['day'])}日"


def _month_and_days(match: Match[str]) -> str:
    first, second = (f"{read_cardinal(match[n])}月{read_cardinal(match[n + 1])}日" for n in (1, 3))
    return f"{first}到{second}"


def _written_date(match: Match[str]) -> str:
    """Year, month and day with their words."""
    year, month, day = match["year"], match["month"], match["day"]
    if not month and not _is_year(match):
        return _span(year) + "年"
    spoken = read_digits(year) + "年"
    if month:
        spoken += f"{match['gap']}{read_cardinal(month)}月"
    return spoken + (f"{match['gap2']}{read_cardinal(day)}{match['mark'] or ''}" if day else "")


def _span(years: str) -> str:
    return "两" if years == "2" else quantity(years)


def _is_year(match: Match[str]) -> bool:
    """Whether digits before 年 name a year; else they count years."""
    year, left, right = match["year"], before(match), after(match)
    if _ERA.search(left):
        return len(year) > 2
    counts = _SPAN_BEFORE.search(left) or _SPAN_AFTER.match(right)
    if len(year) == 4:
        if "1500" <= year <= "2100" and year[2:] != "00":
            return not _HISTORY.match(right)
        return not (counts or year > "2100" or (year.endswith("000") and year != "2000"))
    if len(year) == 3:
        return not (counts or year.endswith("0"))
    return len(year) == 2 and not counts and (year >= "70" or year < "10")


def _bare_years(match: Match[str]) -> str:
    """Two years without a word behind them, only where they cannot be amounts."""
    first, second = match[1], match[2]
    enclosed = before(match).rstrip().endswith(("(", "（"))
    plausible = "1500" <= first < second <= "2099" and not (first.endswith("00") and second.endswith("00"))
    if _MEASURED.match(after(match)) or not (plausible or (enclosed and first < second)):
        return match[0]
    return _years(match)


def _years(match: Match[str]) -> str:
    return f"{read_digits(match[1])}到{read_digits(match[2])}"


_WRITTEN: Final = (
    rf"{FREE}(?P<year>\d{{1,4}}) ?年(?!级|代|级)(?:(?P<gap> ?)(?P<month>{_MONTH}) ?月"
    rf"(?:(?P<gap2> ?)(?P<day>{_DAY})(?!\d|[.:到至~-]\d) ?(?P<mark>日|号)?)?)?"
)


def _born(match: Match[str]) -> str:
    return "、".join(map(read_digits, re.findall(r"\d+", match[1])))


DATES: Final = Kind(
    "dates",
    "dates of digits, by month and day: 2024/5/6, 2024年5月6日, 12/25",
    (
        number_rule(r"(?<!\d)((?:19|20)\d0)'?s(?![A-Za-z])", lambda m: f"{read_digits(m[1])}年代"),
        number_rule(
            rf"{FREE}(?P<year>(?:19|20)\d\d)(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])(?![\d.]*\d|"
            rf"[{HAN}]*[元号])",
            _compact_date,
        ),
        number_rule(
            rf"{FREE}(?P<year>{_YEAR})(?P<sign>[-/.])(?P<month>{_MONTH})(?P=sign)(?P<day>{_DAY})(?:T(?=\d\d:)|"
            rf"(?![\d./]*\d))",
            _date,
        ),
        number_rule(rf"{FREE}(?P<year>{_YEAR}) (?P<month>{_MONTH}) (?P<day>{_DAY})(?![\d.]*\d)", _date),
        number_rule(rf"{FREE}({_DAY})/({_DAY})/({_YEAR})(?![\d/])", _american_date),
        number_rule(
            rf"{FREE}(?P<year>(?:19|20)\d\d)[-/.](?P<month>0[1-9]|1[0-2])(?P<day>)(?![\d./%-]| "
            rf"?(?:[A-Za-z¥$%元万亿米倍]|学年|赛季))",
            _date,
        ),
        number_rule(rf"{FREE}((?:19|20)\d\d)/((?:19|20)?\d\d)(?=学年|赛季|财年|年度|年)", _years),
        number_rule(
            rf"{FREE}(\d{{4}})年?{DASH}(\d{{4}}|\d\d)(?=年|学年|赛季|财年|年度|级|届)(?!年(?:前|后|历史))",
            _years,
        ),
        number_rule(rf"{FREE}(\d{{4}}){DASH}(\d{{4}})(?![\d.年-])", _bare_years),
        number_rule(rf"{FREE}(\d{{4}})(?=学年|年度|财年|赛季)", lambda m: read_digits(m[1])),
        number_rule(_WRITTEN, _written_date),
        number_rule(
            rf"{FREE}({_MONTH})[/.]({_DAY}){DASH}({_MONTH})[/.]({_DAY})(?=日|号|期间|放假|休|[，。,]|$)(?:日|号)?",
            _month_and_days,
        ),
        number_rule(
            rf"{FREE}(?<![-+×÷*=<>/])(?P<month>1[0-2]|0?[1-9])/(?P<day>{_DAY})(?![\d/.]*\d|%| ?[A-Za-z=+×÷*<>])",
            _month_and_day,
        ),
        number_rule(rf"{FREE}(\d{{1,2}})·(\d{{1,2}})(?!\d)", lambda m: read_digits(m[1] + m[2])),
        number_rule(
            rf"{FREE}(\d{{3}}|\d{{1,2}}[./]\d{{1,2}})(?=(?:{_EVENTS}))",
            lambda m: read_digits(re.sub("[./]", "", m[1])),
        ),
        number_rule(
            rf"{FREE}(618)(?=活动|大促|购物|促销|年中|期间|狂欢|预售|优惠|当天|那天|战报|打折|囤|来了?|快|前|后|买|"
            rf"的?价|[，。、！？,!?]|$)",
            lambda m: read_digits(m[1]),
        ),
        number_rule(
            rf"{FREE}(985|211)(?=[/、和或]|$)|(?<=[/、和或])(985|211)(?!\d)", lambda m: read_digits(m[0])
        ),
        number_rule(
            rf"{FREE}(996)(?=工作|加班|福报|制|模式|的公司|文化|[，。、！？,!?]|$)",
            lambda m: read_digits(m[1]),
        ),
        number_rule(r"(?<=双)(11|12)(?!\d)", lambda match: read_cardinal(match[0])),
    ),
)
YEARS: Final = Kind(
    "years",
    "years, decades and those born in them, digit by digit: 2024, 90后, 1990s",
    (
        number_rule(rf"{FREE}(\d\d)年代", lambda m: f"{read_cardinal(m[1]) if m[1] != '00' else '零零'}年代"),
        number_rule(rf"{FREE}(\d{{4}})年代", lambda m: f"{read_digits(m[1])}年代"),
        number_rule(rf"{FREE}((?:[05-9][05]|10)(?:[/、和](?:[05-9][05]|10))*)(?=后(?![退背面悔台]))", _born),
        number_rule(
            rf"{FREE}(\d{{4}}|\d\d)(?=[级届](?:学|毕|新|研|本|的|同|校))", lambda m: read_digits(m[1])
        ),
        number_rule(
            rf"{FREE}((?:19|20)(?!00)\d\d)(?![\d.,]*\d|[%‰A-Za-z]| "
            rf"?[{HAN}]?(?:[元块人个名米克吨斤条张件次种家户辆台套万亿倍度步平字本册份位分年]))",
            lambda m: read_digits(m[1]),
        ),
    ),
)
