"""Times of day, durations and scores: what a colon between numbers means."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.zh.kinds.patterns import DASH, FREE, Late, after, before, number_rule
from sovits_runtime.text.zh.kinds.quantities import count, quantity, sixtieths
from sovits_runtime.text.zh.numbers import read_cardinal, read_digits

_CLOCK: Final = (
    r"(?P<hour{0}>[01]?\d|"
    r"2[0-4]):(?P<minute{0}>[0-5]\d)(?::(?P<second{0}>[0-5]\d)(?:\.\d+)?)?(?:Z(?![A-Za-z]))?"
)
_HALF_DAY: Final = r"(?: ?(?P<half{0}>[AaPp])\.?[Mm](?:\.(?=[^。！？.!?\n]|$))?(?![A-Za-z]))"
_CLOCK_END: Final = r"(?![\d:.]*\d)"
_PART_OF_DAY: Final = Late(
    "(?:凌晨|清晨|早上|早晨|早|朝早|上午|上昼|中午|晏昼|下午|下昼|傍晚|晚上|晚|夜晚|夜里|半夜|深夜|今早|今晚|"
    "明早|明晚|昨晚|am|pm|AM|PM) ?$"
)
_RESULTS: Final = (
    "获胜|取胜|战胜|险胜|大胜|完胜|小胜|击败|打败|力克|轻取|横扫|领先|落后|逆转|战平|打平|战成|打成|握手言和|"
    "踢成|扳成|追成|负于|不敌|惜败|惨败|告负|落败"
    "|淘汰|赢了|赢下|赢得|赢|输给|输了|输掉|输|拿下|战罢|暂时领先|险负|的比分|的总比分|比分|平局|绝杀|晋级|"
    "夺冠|完败|屠杀|血洗|攞|落敗|打和|和波|胜出"
)
_SCORE_BEFORE: Final = Late(
    "(?:比分|比数|总分|局分|大比分|总比分|赛果|半场|全场|终场|点球|首局|次局|[一二三四五]局|首盘|次盘|战绩|"
    "以|打成|战成|踢成|扳成|变成|改写为|拉开|锁定|追到|追至)(?:[是为系:：]|定格在|变为|来到|最终为?|"
    "结果)?[^\\d]{0,3}$"
)
_SCORE_AFTER: Final = Late(rf"^[^\d]{{0,8}}?(?:{_RESULTS})")
_RATIO_BEFORE: Final = Late(
    "(?:比例|比率|之比|比值|配比|占比|混合比|长宽比|宽高比|纵横比|屏幕比|男女比|性别比|比例尺|赔率|"
    "杠杆)(?:大约|约|大概|近|接近|[是为系:：])?[^\\d]{0,2}$|(?:按|按照|照|用|成|以)$"
)
_RATIO_AFTER: Final = Late(
    "^(?:的)?(?:比例|比率|之比|配比|混合|混匀|兑|勾兑|稀释|调和|调配|屏|画面|画幅|宽屏|投票|票数|票)"
)
_LASTED: Final = Late(
    "(?:时长|用时|耗时|片长|全长|计时|成绩|总长|历时|长达|长|跑了|跑出|游出|播放到|视频|录音|音频|歌曲|"
    "倒计时|剩余|还剩|仅剩|只剩|净时间|用了|花了|耗费|只用)(?:[是为:：]|只有|大约|约|不到|超过|达到?|"
    "了)?[^\\d]{0,3}$"
)
_FINISHED: Final = Late("(?:的成绩|跑完|完成|完赛|冲线|夺冠|走完|骑完|游完)")


def _hour(hour: str) -> str:
    return "两" if hour.lstrip("0") == "2" else read_cardinal(hour)


def _clock(match: Match[str], part: int = 1) -> str:
    """A time of day; a full hour has no minutes, thirty without seconds is half."""
    hour, minute, second = (match[f"{name}{part}"] for name in ("hour", "minute", "second"))
    spoken = _hour(hour) + "点"
    seconds = bool(second) and bool(int(second))
    if int(minute) or seconds:
        spoken += "半" if minute == "30" and not seconds else sixtieths(minute) + "分"
    return spoken + (sixtieths(second) + "秒" if seconds else "")


def _half_of_day(half: str | None, hour: str, left: str) -> str:
    if not half or _PART_OF_DAY.search(left):
        return ""
    if half.lower() == "a":
        return "凌晨" if int(hour) in (12, 1, 2, 3, 4) else "上午"
    return "中午" if int(hour) == 12 else "晚上" if int(hour) >= 7 else "下午"


def _is_score(match: Match[str]) -> bool:
    left, right = before(match), after(match)
    if _PART_OF_DAY.search(left):
        return False
    return bool(_SCORE_BEFORE.search(left) or _SCORE_AFTER.match(right) or _is_ratio(left, right))


def _is_ratio(left: str, right: str) -> bool:
    return bool(_RATIO_BEFORE.search(left) or _RATIO_AFTER.match(right))


def _time(match: Match[str]) -> str:
    if not match["half1"] and not match["second1"] and _is_score(match):
        return match[0]
    return _half_of_day(match["half1"], match["hour1"], before(match)) + _clock(match)


def _time_range(match: Match[str]) -> str:
    left = before(match)
    first = _half_of_day(match["half1"], match["hour1"], left) + _clock(match, 1)
    return f"{first}到{_half_of_day(match['half2'], match['hour2'], left)}{_clock(match, 2)}"


def _full_hour(match: Match[str]) -> str:
    return f"{_half_of_day(match['half1'], match['hour1'], before(match))}{_hour(match['hour1'])}点"


def _duration(match: Match[str]) -> str:
    """Minutes and seconds, or hours too, behind a word that says so."""
    lasted = _LASTED.search(before(match)) or (match[0].count(":") == 2 and _FINISHED.match(after(match)))
    if not lasted or _SCORE_AFTER.match(after(match)):
        return match[0]
    *hours, minutes, seconds = match[0].split(":")
    spoken = f"{count(str(int(hours[0])))}小时" if hours else ""
    if int(minutes):
        spoken += f"{count(str(int(minutes)))}分"
    return spoken + (f"{quantity(str(int(seconds)))}秒" if int(seconds) or not spoken else "钟" * (not hours))


def _parts(match: Match[str]) -> str:
    """A duration in letters such as 1h30m."""
    words = (("h", "小时"), ("m", "分钟"), ("s", "秒"))
    spoken = [f"{count(match[letter])}{word}" for letter, word in words if match[letter]]
    if match["m"] and match["s"]:
        spoken[-2] = spoken[-2].removesuffix("钟")
    return "".join(spoken)


def _score(match: Match[str]) -> str:
    """A score with a hyphen, where the words around say so, or where the second number is smaller."""
    first, second = match[1], match[2]
    left, right = before(match), after(match)
    if max(len(first), len(second)) > 3:
        return match[0]
    if _SCORE_BEFORE.search(left) or _SCORE_AFTER.match(right):
        return f"{quantity(first)}比{quantity(second)}"
    return match[0]


def _chain(match: Match[str]) -> str:
    return "比".join(map(quantity, re.split(" ?: ?", match[0])))


TIMES_OF_DAY: Final = Kind(
    "times-of-day",
    "times of day, never a score or a ratio: 10:30, 9:00-18:00, 3pm",
    (
        number_rule(
            rf"{FREE}(?<!:){_CLOCK.format(1)}{_HALF_DAY.format(1)}? ?{DASH} "
            rf"?{_CLOCK.format(2)}{_HALF_DAY.format(2)}?{_CLOCK_END}",
            _time_range,
        ),
        number_rule(rf"{FREE}(?<!:){_CLOCK.format(1)}(?:{_HALF_DAY.format(1)}|{_CLOCK_END})(?!点)", _time),
        number_rule(rf"{FREE}(?<!:)(?P<hour1>1[0-2]|0?[1-9]){_HALF_DAY.format(1)}", _full_hour),
    ),
)
DURATIONS: Final = Kind(
    "durations",
    "minutes and seconds behind a word that says so, or in letters: 用时3:25, 1h30m",
    (
        number_rule(rf"{FREE}(?<!:)\d{{1,2}}:[0-5]\d(?::[0-5]\d)?{_CLOCK_END}", _duration),
        number_rule(
            rf"{FREE}(?:(?P<h>\d{{1,3}}) ?h ?(?P<m>[0-5]?\d) ?m(?:in)?(?: ?(?P<s>[0-5]?\d) ?s)?)(?![A-Za-z\d²³/])",
            _parts,
        ),
        number_rule(r"(?<=\d)秒(\d\d)(?!\d)", lambda m: "秒" + read_digits(m[1])),
        number_rule(rf"{FREE}(?P<h>)(?P<m>\d{{1,3}})m(?:in)? ?(?P<s>[0-5]?\d)s(?![A-Za-z\d])", _parts),
        number_rule(
            rf"{FREE}(?P<m>\d{{1,2}})['′](?P<s>[0-5]\d)(?:\"|″|'')",
            lambda m: f"{count(m['m'])}分{quantity(str(int(m['s'])))}秒",
        ),
    ),
)
SCORES: Final = Kind(
    "scores",
    "scores and ratios: 3:2, 2-1领先, 1:50000",
    (
        number_rule(rf"{FREE}(?<![-:])(\d{{1,3}}) ?[-–—] ?(\d{{1,3}})(?![\d:-]|\.\d)", _score),
        number_rule(rf"{FREE}(?<!:)\d+(?:\.\d+)?(?: ?: ?\d+(?:\.\d+)?)+", _chain),
    ),
)
