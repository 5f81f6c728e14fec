"""Ranges, list numbers, two of something, big numbers and all other numbers."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.zh.kinds.money import scaled
from sovits_runtime.text.zh.kinds.patterns import (
    FREE,
    HAN,
    MAGNITUDES,
    NUMBER,
    START,
    Late,
    after,
    before,
    number_rule,
    rule,
)
from sovits_runtime.text.zh.kinds.quantities import quantity
from sovits_runtime.text.zh.numbers import read_cardinal, read_digits

_DASH: Final = "(?:——|[-~–—―])"
# What stands between a number and the dash of a range.
_UNIT_BETWEEN: Final = (
    rf"(?: ?(?:[%‰℃°]|[a-zA-Z]{{1,3}}²?|[{MAGNITUDES}]{{1,2}}|[年月日号点时分秒天周岁元块个层楼页米斤克]|小时|"
    rf"分钟|公里|公斤|千克|厘米|毫米|平方米|万元|亿元|个月|周年|世纪))?"
)
# What begins the second half of a range of times.
_NEXT: Final = (
    "早上|晚上|上午|下午|中午|傍晚|凌晨|次日|第二天|翌日|当晚|今年|次年|明年|至今|今日|周[一二三四五六日]|"
    "星期|现在"
)
_LIANG: Final = (
    "个|本|位|只|条|张|件|支|枝|把|块|片|头|匹|辆|架|台|部|间|所|家|户|套|双|对|副|打|群|批|列|串|束|堆|摊|"
    "滩|滴|杯|瓶|碗|盘|碟|锅|壶|罐|桶|盒|箱|包|袋|筐|篮|捆|卷|册"
    "|页|章|篇|首|段|句|集|届|场|次|回|遍|趟|顿|阵|声|口|步|圈|发|颗|粒|枚|棵|株|朵|根|丝|缕|股|道|扇|面|幅|"
    "封|份|项|款|桩|笔|门|堂|种|类|样|则|名|人|天|周|年|秒|分|刻|时|点"
    "|岁|倍|元|块|角|毛|斤|克|吨|升|米|里|尺|寸|亩|公|厘|毫|千|百|万|亿|艘|节|盏|盆|尊|炷|剂|味|服|贴|帖|针|"
    "管|瓣|团|坨|抹|例|起|宗|票|局|轮|站|处|边|侧|旁|端|岸|国|省|市|县|村"
    "|地|校|方|者|派|族|小时|小|大|星期|礼拜|光年|平方|立方|平米|英|欧元|美|日元|港|韩元|人民币|卢布|组|层|"
    "室\\d厅|室[一两]厅|厅|卫|拍|宿|席|桌|床|屉|摞|叠|沓|扎|挂|记|下|番|通|代人|代会|折"
    "|帧|字|行|排|队人|撮|勺|匙|茶匙|汤匙|瓢|身|脚|拳|刀|枪|炮|箭|眼|嘴|顶|车|船|座|晚|夜|宵|季|期|版|吋|呎|"
    "磅|打|蚊|餐|餸|铺|孖|啲|樽|嚿|抽|梳|栋楼|栋房|栋大|栋建|栋别|幢楼|幢房|幢别|幢大"
)
_NOT_LIANG: Final = (
    "分之|次元|次方|次函|次曲|次方程|次型|人转|把手|元一次|元二次|元论|元次|元方程|年级|年[级纪]|级|楼|号|月|"
    "日|班|等|线|手|胎|进制|战|中|叉|极管|本院|本大|本线|层楼|层的[房]|排\\d|地址"
    "|期工|期临|季度[^，。]|里沟|分法|大爷|道贩|道沟|段落|类[^，。]{0,3}疫苗|季稻|方包"
)
_ORDINAL_BEFORE: Final = Late(
    "(?:第|周|星期|礼拜|初|农历|腊月|正月|民国|贞观|康熙|乾隆|雍正|光绪|洪武|永乐|昭和|平成|令和|[·.]|[A-Za-z])$"
)
_AT: Final = Late("(?:住|在|到|去|位于|上|下|喺|负|地下)$")
_NOT_TWO: Final = Late(f"(?:{_NOT_LIANG})")
_COUNTED: Final = Late(rf" ?(?:{_LIANG}|[A-Za-z%‰℃°¥$€£月日号级楼度成万亿千百])")
_FIGURES: Final = ("图", "圖", "表", "式", "题", "題", "例", "习题")
_MORE: Final = "多|余|来|几|餘|來|幾"
_LETTER_K: Final = Late(
    " ?(?:电视|屏|分辨率|显示|视频|画质|高清|超清|影像|蓝光|摄像|拍摄|录像|金|跑|花园|党)"
)
_POWERED: Final = Late("(?:充|快充|闪充|无线|超充|的?功率|的?灯|适配器|的?充电)")
_AMOUNT_BEFORE: Final = Late(
    "(?:阅读|粉丝|年薪|月薪|播放|点赞|存款|月入|收入|赚|销量|浏览|转发|收藏|下载|薪资|工资|预算|价格|卖|花了|"
    "花|了|近|约|超|破|过|买|[:：]|[¥$元])[^，。]{0,3}$"
)


def _range(match: Match[str]) -> str:
    """From one number to another; descending ones without a unit may be something else."""
    first, unit, second = match["first"], match["unit"] or "", match["second"]
    falling = float(first.replace(",", "")) >= float(second.replace(",", ""))
    if before(match).endswith(_FIGURES) or (falling and after(match).startswith(("号", "號"))):
        return f"{first}杠{second}"
    counted = unit.strip() or _COUNTED.match(after(match))
    if falling and not (counted or match["minus2"] or match["minus"]):
        return f"{first}比{second}" if max(len(first), len(second)) <= 3 else f"{first}，{second}"
    minus = "负" if match["minus"] else ""
    return f"{minus}{first}{unit}到{match['currency'] or ''}{'负' if match['minus2'] else ''}{second}"


def _two(match: Match[str]) -> str:
    left = before(match)
    if match.string.startswith(("层", "層"), match.end()) and _AT.search(left):
        return match[0]
    if _ORDINAL_BEFORE.search(left) or _NOT_TWO.match(match.string[match.end() : match.end() + 6]):
        return match[0]
    return "两"


def _letter_thousands(match: Match[str]) -> str:
    """15k and 10w; the letters of screens and lamps stay letters."""
    letter, left, right = match["letter"], before(match), after(match)
    if letter in "kK" and _LETTER_K.match(right):
        return match[0]
    if letter in "KW" and not (match["more"] or _AMOUNT_BEFORE.search(left)):
        return match[0]
    if letter == "w" and _POWERED.match(right):
        return f"{quantity(match['number'])}瓦"
    if letter in "wW":
        return f"{quantity(match['number'])}万{'多' if match['more'] else ''}"
    return scaled(match["number"], 1000) + ("多" if match["more"] else "")


def _folded_price(match: Match[str]) -> str:
    return read_digits(match[1] + (match[2] or "")) + "折"


def _more(match: Match[str]) -> str:
    return f"{quantity(match[1])}多"


LIST_NUMBERS: Final = Kind(
    "list-numbers",
    "numbers of list items, with a pause behind them: 1. 打开, (2)关闭",
    (
        number_rule(
            rf"(?m)^([ \t]*)[(（](\d{{1,2}})[)）][、.．]?[ ]*(?=[{HAN}A-Za-z“《「])",
            lambda m: f"{m[1]}{read_cardinal(m[2])}，",
        ),
        number_rule(
            rf"(?m)(^[ \t]*|(?<=[。；;！？] ))(\d{{1,2}})(?:[.．、)）][ \t]*|[.．、] )(?=[{HAN}A-Za-z“《「])",
            lambda m: f"{m[1]}{read_cardinal(m[2])}，",
        ),
        number_rule(
            rf"(?<=[。；;：:，,！？ ])(\d{{1,2}})[.．)）](?=[{HAN}])", lambda m: f"{read_cardinal(m[1])}，"
        ),
    ),
)
RANGES: Final = Kind(
    "ranges",
    "from one to another: 3-5天, 1月-3月, 周一-周五",
    (
        number_rule(
            rf"(?<![\dA-Za-z])(?<!\d[.,])(?P<minus>(?<![{HAN}\d])-)?(?P<first>{NUMBER})(?P<unit>{_UNIT_BETWEEN}) "
            rf"?{_DASH} ?(?P<currency>[¥$€£])?"
            rf"(?P<minus2>(?<=[-~–—― ])-)?(?P<second>{NUMBER})(?![\d.]*[-–—]\d)",
            _range,
        ),
        rule(rf"(?<=[点半分时月日号年]) ?{_DASH} ?(?={_NEXT})", "到"),
        rule(
            rf"(?<=[周星期礼拜][一二三四五六日天]){_DASH}(?=[周星礼])|"
            rf"(?<=[一二三四五六七八九十]月){_DASH}(?=[一二三四五六七八九十])",
            "到",
        ),
        rule(
            rf"(?<=初[一二三四五六七八九十]){_DASH}(?=初|十)|(?<=[点半分]){_DASH}(?=[一二三四五六七八九十两])",
            "到",
        ),
    ),
)
BIG_NUMBERS: Final = Kind(
    "big-numbers",
    "thousands and ten thousands in letters, and open numbers: 15k, 10w+, 100+",
    (
        number_rule(
            rf"{FREE}(?P<number>\d+(?:\.\d+)?) ?(?P<letter>[kKwW])(?P<more>\+(?!\d))?(?![A-Za-z\d])",
            _letter_thousands,
        ),
        number_rule(
            rf"{FREE}(1[268]|21)\+(?=[^{HAN}岁]|$|内容|游戏|禁|电影)", lambda m: f"{quantity(m[1])}加"
        ),
        number_rule(rf"{FREE}({NUMBER})\+(?!\d)", _more),
        number_rule(rf"{FREE}({NUMBER}[{MAGNITUDES}]{{1,2}})\+(?!\d)", r"\1多"),
    ),
)
COUNTERS: Final = Kind(
    "counters",
    "two of something: 2个, 2小时, yet not 第2 or 2月",
    (
        number_rule(rf"{FREE}(\d{{1,4}}) ?(?:st|nd|rd|th)(?![A-Za-z])", lambda m: f"第{read_cardinal(m[1])}"),
        number_rule(
            rf"{FREE}([1-9])、([2-9])(?=(?:{_LIANG}))(?!{_NOT_LIANG})",
            lambda m: f"{read_cardinal(m[1])}{'两' if m[2] == '2' else read_cardinal(m[2])}",
        ),
        number_rule(rf"(?<![\dA-Za-z])(?<!\d[.,])2(?= ?(?:{_MORE})?(?:{_LIANG}))(?![.,]\d)", _two),
        number_rule(
            rf"(?<![\dA-Za-z第])(?<!\d[.,])2(?=[到至](?:\d+|两) ?(?:{_LIANG}))(?!\d*[到至]\d* ?(?:{_NOT_LIANG}))",
            "两",
        ),
        number_rule(r"(?<!\d)([5-9])\.([1-9])折", _folded_price),
        number_rule(r"(?<!\d)([1-9])([1-9])折", _folded_price),
    ),
)
DECIMALS: Final = Kind(
    "decimals",
    "decimals: 3.14",
    (
        (
            re.compile(rf"{START}(?:[0-9]{{1,3}}(?:,[0-9]{{3}})+(?![0-9])|[0-9]+)\.[0-9]+"),
            lambda match: quantity(match[0]),
        ),
    ),
)
NUMBERS: Final = Kind(
    "numbers",
    "all other numbers, as quantities: 1,234",
    (
        (re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])"), lambda match: quantity(match[0])),
        (re.compile("[0-9]+"), lambda match: quantity(match[0])),
        (re.compile(r"\d"), lambda match: quantity(str(int(match[0])))),
    ),
)
