"""Traditional characters as simplified ones, where one stands for several words by the words around it."""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.extras import once
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list
from sovits_runtime.text.zh.kinds.patterns import rule
from sovits_runtime.text.zh.package_data import simplified_characters

# What the installed table leaves as it is.
_MORE: Final = {
    ord(pair[0]): pair[1]
    for pair in word_list(
        "於于 餘余 昇升 唸念 夥伙 姪侄 捱挨 揹背 摺折 暱昵 朮术 枴拐 樑梁 氾泛 汎泛 洩泄 淩凌 溼湿 濬浚 "
        "獃呆 痠酸 矇蒙 瞇眯 祕秘 簷檐 籐藤 絃弦 綵彩 羶膻 翫玩 脣唇 舖铺 荳豆 菸烟 蒐搜 託托 諮咨 谿溪 "
        "豔艳 貍狸 醣糖 鉆钻 鉅巨 鍾钟 鎚锤 鏽锈 閒闲 餚肴 麴曲 齧啮 麼么 麽么 妳你 牠它 祂他 喫吃 嚮向 "
        "徵征 乾干 讬托 锺钟 馀余 採采 彆别"
    )
}
# 著 is zhù in these words, and 着 everywhere else.
_WRITTEN: Final = (
    "(?<![顯显卓昭名原專专巨鉅論论編编合遺遗譯译土拙所新大撰彰])著(?![名作稱称述者書书錄录有譯译文])"
)


# Characters of simplified text that the installed table changes.
_SIMPLE: Final = "榜琊"


@once
def _table() -> dict[int, str]:
    table = {**simplified_characters(), **_MORE}
    return {char: simple for char, simple in table.items() if chr(char) not in _SIMPLE}


def simplified(text: str) -> str:
    """Traditional characters as simplified ones, one by one.

    Args:
        text: Any text.

    Raises:
        TextError: zh-normalization is not installed.
    """
    return text.translate(_table())


TRADITIONAL: Final = Kind(
    "traditional-characters",
    "traditional characters as simplified ones, by the words around them: 看著, 甚麼",
    (
        rule(_WRITTEN, "着"),
        rule("甚[麼麽么]", "什么"),
        rule("瞭(?!望)", "了"),
        rule("傢[俱具]", "家具"),
        rule("藉(?=口|由|助|機|机|此|著|着|以)", "借"),
        rule(
            "(?<=[宮宫]商角)徵(?=羽)|乾(?=[坤隆卦陵清元嘉安縣县州])",
            lambda match: {"徵": "止", "乾": "前"}[match[0]],
        ),
        rule("[\u4e00-\u9fff\uf900-\ufaff]+", lambda match: simplified(match[0])),
    ),
)
