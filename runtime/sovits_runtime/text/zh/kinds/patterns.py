"""Patterns of written Chinese that hold for both its scripts, and what several kinds share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Rule
from sovits_runtime.text.word_list import word_list

# Simplified character -> the traditional ones of the same word, for the characters that the patterns hold.
_BOTH_FORMS: Final = {
    pair[0]: pair
    for pair in word_list(
        "个個 号號 点點 时時 间間 栋棟 单單 层層 楼樓 车車 线線 级級 类類 种種 项項 样樣 条條 张張 块塊 两兩 "
        "岁歲 届屆 钟鐘鍾 万萬 亿億 几幾 余餘 为為爲 这這 来來 后後 内內 历歷曆 约約 长長 达達 过過 门門 户戶 "
        "颗顆 笔筆 顿頓 阵陣 场場 发發 头頭 辆輛 双雙 对對 组組 队隊 边邊 侧側 国國 县縣 钱錢 员員 页頁 节節 "
        "课課 枪槍 针針 贴貼 团團 摄攝 华華 温溫 气氣 负負 价價 胜勝 战戰 败敗 领領 赢贏 输輸 进進 总總 终終 "
        "电電 话話 热熱 机機 码碼 编編 邮郵 证證 账賬 帐帳 学學 拨撥 馆館 仓倉 规規 订訂 货貨 区區 汇匯 额額 "
        "绩績 视視 频頻 录錄 阅閱 读讀 开開 启啟啓 结結 营營 业業 动動 会會 现現 准準 礼禮 周週周 于於 从從 "
        "农農 阴陰 旧舊 赛賽 纪紀 圣聖 诞誕 妇婦 劳勞 庆慶 儿兒 币幣 镑鎊 欧歐 韩韓 卢盧 铢銖 圆圓 贵貴 卖賣 "
        "买買 费費 资資 丝絲 缕縷 盘盤 锅鍋 壶壺 盏盞 顶頂 栏欄 尔爾 维維 厅廳 卫衛 铺舖鋪 医醫 厂廠 范範 "
        "围圍 误誤 极極 压壓 称稱 质質 测測 谈談 论論 说說 请請 见見 评評 设設 备備 宽寬 没沒 够夠 东東 乐樂 "
        "亩畝 吨噸 厘釐 顷頃 寻尋 网網 艺藝 广廣 势勢 给給 许許 传傳 预預 报報 银銀 联聯 络絡 询詢 诉訴 确確 "
        "认認 协協 议議 题題 龄齡 宝寶 红紅 枭梟 鹰鷹 击擊 问問 宫宮 征徵 运運 轰轟 飞飛 舰艦 隐隱 马馬 丰豐 "
        "驰馳 将將 据據 实實 验驗 数數 参參 执執 须須 举舉 办辦 么麼 吗嗎 们們 还還 该該 当當 应應 着著 却卻 "
        "让讓 与與 并並 伦倫 亚亞 丽麗 叶葉 恺愷 听聽 写寫 讲講 园園 桥橋 湾灣 乡鄉 镇鎮 则則 径徑 环環 轮輪 "
        "续續 继繼 盐鹽 药藥 剂劑 龙龍 虾蝦 鱼魚 鸡雞 鸟鳥 猫貓 驴驢 谁誰 贯貫 担擔 阶階 跃躍 图圖 书書 册冊 "
        "只隻 关關 别別 获獲 夺奪 术術 轻輕 灯燈 转轉 调調 计計 记記 识識 购購 赔賠 赚賺 赞讚贊 财財 贩販 "
        "表錶 舍捨 销銷 错錯 闭閉 闪閃 递遞 适適 浏瀏 满滿 滩灘 画畫 离離 积積 纬緯 纵縱 经經 绝絕 统統 绪緒 "
        "胶膠 脚腳 腊臘 苏蘇 蓝藍 袭襲 观觀 览覽 档檔 桩樁 横橫 杠槓 状狀 无無 显顯 扫掃 护護 挥揮 挂掛 摊攤 "
        "敌敵 态態 恒恆 惨慘 戏戲 强強 寝寢 宁寧 属屬 帧幀 师師 台臺 叠疊 变變 占佔 厢廂 减減 净淨 制製 创創 "
        "划劃 义義 仅僅 党黨 兑兌 兰蘭 军軍 冲衝 匀勻 杀殺 歼殲 毕畢 汤湯 沟溝 沪滬 爷爺 琼瓊 纳納 罢罷 贝貝 "
        "贞貞 赣贛 辽遼 远遠 酿釀 释釋 里裡裏 铁鐵 险險 陕陝 际際 雳靂 面麵 鲁魯 骑騎 屉屜 昼晝 晋晉 暂暫 "
        "树樹 杆桿 系係 扎紮 捆綑 专專 习習 云雲 倾傾 处處 声聲 复復 归歸 阳陽 粤粵 闽閩 伤傷"
    )
}
NUMBER: Final = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
# Not in the middle of a number or of a name with letters.
FREE: Final = r"(?<![\dA-Za-z])(?<!\d[.,])"
# A number may follow letters, yet not other digits.
START: Final = r"(?<!\d)(?<!\d[.,])"
# Of a range; a hyphen behind it is a minus.
DASH: Final = "(?:——|[-~–—―至到])"
HAN: Final = "\u3400-\u9fff"
MAGNITUDES: Final = "十百千万亿"
_NEAR: Final = 8
_DIGIT: Final = re.compile("[0-9]")
_CLAUSE_MARKS: Final = re.compile("[，。！？；、,;!?…\n]")


class Late:
    """A pattern for both scripts that is compiled when it is first needed; its digits are 0 to 9 only.

    Args:
        pattern: Regular expression with simplified characters.
        digits: Whether it can only match a text that holds a digit.
    """

    def __init__(self, pattern: str, *, digits: bool = False) -> None:
        self._pattern = pattern
        self._digits = digits

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(both(self._pattern), re.ASCII)

    def search(self, text: str) -> Match[str] | None:
        """The first match anywhere."""
        return self._compiled.search(text)

    def match(self, text: str) -> Match[str] | None:
        """A match at the start."""
        return self._compiled.match(text)

    def sub(self, replacement: Callable[[Match[str]], str], text: str, /) -> str:
        """Text with every match replaced."""
        if self._digits and not _DIGIT.search(text):
            return text
        return self._compiled.sub(replacement, text)


def both(pattern: str) -> str:
    """A pattern whose Chinese characters also match their traditional forms.

    Args:
        pattern: Regular expression that holds simplified characters only.
    """
    parts, in_class, escaped = [], False, False
    for char in pattern:
        forms = _BOTH_FORMS.get(char, char)
        if not escaped and char in "[]":
            in_class = char == "["
        parts.append(forms if in_class or len(forms) == 1 else f"[{forms}]")
        escaped = char == "\\" and not escaped
    return "".join(parts)


def rule(pattern: str, replacement: str | Callable[[Match[str]], str]) -> Rule:
    """A rule for both scripts; digits are 0 to 9 only.

    Args:
        pattern: Regular expression with simplified characters.
        replacement: As `re.sub` takes it.
    """
    return Late(pattern), replacement


def number_rule(pattern: str, replacement: str | Callable[[Match[str]], str]) -> Rule:
    """A rule that is not tried on a text without digits.

    Args:
        pattern: Regular expression with simplified characters.
        replacement: As `re.sub` takes it.
    """
    return Late(pattern, digits=True), replacement


def any_of(words: Iterable[str]) -> str:
    """Alternatives, the longest first.

    Args:
        words: Plain words.
    """
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def looked_up(table: Mapping[str, str]) -> Callable[[Match[str]], str]:
    """What stands in a table for the whole of a match.

    Args:
        table: Match -> what is said.
    """
    return lambda match: table[match[0]]


def before(match: Match[str], count: int = 12) -> str:
    """What stands before a match in its clause, at most `count` characters.

    Args:
        match: Where to look.
        count: Most characters.
    """
    return _CLAUSE_MARKS.split(match.string[max(0, match.start() - count) : match.start()])[-1]


def neighbours(match: Match[str]) -> tuple[str, str]:
    """The characters on both sides of a match, white space left out; empty where the text ends.

    Args:
        match: Where to look.
    """
    left = match.string[max(0, match.start() - _NEAR) : match.start()].rstrip()
    right = match.string[match.end() : match.end() + _NEAR].lstrip()
    return left[-1:], right[:1]


def after(match: Match[str], count: int = 12) -> str:
    """What stands behind a match in its clause, at most `count` characters.

    Args:
        match: Where to look.
        count: Most characters.
    """
    return _CLAUSE_MARKS.split(match.string[match.end() : match.end() + count])[0]
