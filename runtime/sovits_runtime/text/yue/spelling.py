"""What is written otherwise than it is said in Cantonese: the kinds of Mandarin, in Cantonese words."""

from __future__ import annotations

from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind, Rule
from sovits_runtime.text.word_list import word_list
from sovits_runtime.text.zh.kinds.money import CURRENCIES, money_words
from sovits_runtime.text.zh.kinds.patterns import number_rule, rule
from sovits_runtime.text.zh.spelling import KINDS as MANDARIN_KINDS

# What the Mandarin kinds say -> the same in the characters that Cantonese is written with.
_TRADITIONAL: Final = str.maketrans(
    {
        pair[0]: pair[1]
        for pair in word_list(
            "幺一 两兩 点點 万萬 亿億 负負 号號 时時 钟鐘 间間 减減 于於 华華 摄攝 线線 网網 页頁 编編 邮郵 开開 "
            "圆圓 欧歐 镑鎊 韩韓 卢盧 铢銖 币幣 门門 岁歲 转轉 种種 气氣 压壓 节節 帧幀 顷頃 吨噸 纳納 兹茲 码碼 "
            "寻尋 颗顆 条條 张張 块塊 个個 层層 楼樓 双雙 组組 队隊 国國 县縣 员員 课課 针針 贝貝 库庫 冯馮 尔爾 "
            "极極 划劃 无無 穷窮 积積 为為 并並 属屬 电電 话話 当當 约約 远遠 数數 过過 达達 单單 类類 级級 东東 "
            "区區 图圖 书書 册冊 来來 后後 内內 会會 围圍 总總 终終 现現 规規 证證 账賬 学學 医醫 术術 动動 实實 "
            "众眾 马馬 龙龍 鸡雞 鱼魚 鸟鳥 载載 录錄 阅閱 读讀 视視 频頻 听聽 说說 请請 见見 评評 设設 备備 宽寬 "
            "没沒 够夠 从從 乐樂 亩畝 释釋 举舉 办辦 顿頓 际際 维維 伦倫 亚亞 兰蘭 玛瑪 缪繆 赛賽 叠疊"
        )
    }
)
_SPOKEN: Final = (("艾特", " at "), ("下劃線", "底線"))
_CURRENCIES: Final = {**CURRENCIES, "$": "蚊", "HK$": "港元"}


def _in_cantonese(kind: Kind) -> Kind:
    return Kind(kind.name, kind.about, tuple(map(_spoken, kind.rules)))


def _spoken(mandarin: Rule) -> Rule:
    pattern, replacement = mandarin

    def read(match: Match[str]) -> str:
        spoken = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
        if spoken == match[0]:
            return spoken
        spoken = spoken.translate(_TRADITIONAL)
        for word, said in _SPOKEN:
            spoken = spoken.replace(word, said)
        return spoken

    return pattern, read


_COUNTED: Final = "一二三四五六七八九十百千兩两幾几每這这那呢嗰哪半成多"
SIMPLIFIED: Final = Kind(
    "simplified-characters",
    "simplified characters that stand for several words, by the words around them: 一只, 手表",
    (
        rule(rf"(?<=[{_COUNTED}\d])只(?![有是要係喺系会會能可得])", "隻"),
        rule("(?<=[手怀懷钟鐘戴块隻只])表(?![示现現达達面明])", "錶"),
        rule("舍(?=得|弃|不得|唔得)", "捨"),
        rule("吓(?=死|亲|親|到|人|坏|壞|一跳|唔)|(?<=惊|驚|恐)吓", "嚇"),
        rule("(?<=[头長长剪洗理短金白染甩])发(?!生|现|展|表|達|达|射|布|言|音|挥|揮)", "髮"),
        rule("面(?=包|粉|条|團|团)|(?<=[食煮碗炒杯拉撈捞方便])面(?=[，。,.！？]|$)", "麵"),
        rule("(?<=[轻輕放宽寬稀])松", "鬆"),
        rule("(?<=[这這那哪心家手夜屋城村房水眼嘴车車店])里|里(?=面|边|頭|头)", "裡"),
        rule("斗(?=争|爭|志|牛|气|氣)|(?<=[打战戰奋奮搏])斗", "鬥"),
    ),
)

FLOORS: Final = Kind(
    "floors",
    "floors as they stand in addresses of Hong Kong: 3/F, G/F",
    (
        number_rule(r"(?<![\d/])(\d{1,3})/F(?![A-Za-z])", r"\1樓"),
        rule(r"(?<![A-Za-z])G/F(?![A-Za-z])", "地下"),
    ),
)
_OWN: Final = {"money": money_words(_CURRENCIES)}
_SHARED: Final = tuple(kind for kind in MANDARIN_KINDS if kind.name != "traditional-characters")

KINDS: Final[tuple[Kind, ...]] = (
    *map(_in_cantonese, _SHARED[:2]),
    SIMPLIFIED,
    FLOORS,
    *(_in_cantonese(_OWN.get(kind.name, kind)) for kind in _SHARED[2:]),
)
