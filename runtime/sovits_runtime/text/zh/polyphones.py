"""Common characters with several readings, read by the words around them where pypinyin's phrases do not know them.

Used unless a G2PW model reads polyphones, or the original's readings are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from sovits_runtime.text.word_list import word_list
from sovits_runtime.text.zh.segmentation import Word

_COUNT: Final = "一两二三四五六七八九十百千万几每那这哪半数"
_ADVERBS: Final = "adilz"
# What stands in a row or is written in a line.
_IN_ROWS: Final = (
    "眼泪|[字白诗句代文泪树杨柳松桐竹雁鸟]|(?:小|大|热|清|长|绿|整齐的|长长的)[字诗树泪雁]|白[鹭杨鸽]|大雁|脚印|足迹|"
    "数据|命令|输入|注释|标题|空格|台阶|座位|桌椅|队伍|汉字|英文|中文|文字|日志"
)
# Surnames that are read otherwise than the common word of the same character.
_SURNAMES: Final = dict(
    (name[0], name[1:])
    for name in word_list(
        "单shan4 任ren2 解xie4 查zha1 仇qiu2 区ou1 朴piao2 盖ge3 乐yue4 华hua4 翟zhai2 缪miao4 盛sheng4 折she2 繁po2"
        " 覃qin2 葛ge3 燕yan1 尉wei4 车che1 卜bu3 藏zang1 宿su4 员yun4 召shao4 柏bai3 哈ha3 应ying1 过guo1 那na1"
        " 种chong2 相xiang4"
    )
)
# They go on as other words, so that the name must end there.
_DOUBTFUL: Final = "应过那种相"
_TITLES: Final = "先生|女士|小姐|老师|教授|医生|律师|经理|同学|阿姨|师傅|大夫|警官"
_SURNAME: Final = re.compile(
    rf"(?<=姓)(?<!百姓)(?<![同按]姓)(?:[{''.join(_SURNAMES)}](?<![{_DOUBTFUL}])|[{_DOUBTFUL}](?=[,.!?…]|$|名|的|{_TITLES}))"
    rf"|(?:^|(?<=[是找叫给和跟与请让问见,]))[单任解查仇朴盖翟缪](?={_TITLES})"
)
# Character -> patterns of places where it has a reading. A pattern stands around the character: `before@after`.
_READINGS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "长": (
        (
            "(?<=[很太么更较挺真最够过比][^大高胖])@|(?<=[很太么更较挺真最够细修漫])@(?![大高胖得出成满])",
            "chang2",
        ),
        (
            "@(?=[一二三四五六七八九十百千几两约]+(?:点[零一二三四五六七八九]+)?(?:多)?(?:米|厘|分|公|千|毫|"
            "尺|寸|里|英|丈))",
            "chang2",
        ),
        ("(?<=长)@(?=得[很好特真那这太])", "zhang3"),
        ("(?<=[发毛须子甲苗草藤尾牙])@(?=长了)", "zhang3"),
        ("(?<=[发毛须子甲苗草藤尾牙]长)@(?=了)", "chang2"),
        ("@(?=长的|达|宽高|不长)|(?<=长)@(?=的)|(?<=时间)@了?", "chang2"),
    ),
    "还": (
        (
            "@(?=[钱款债贷账清]|本付息|信用卡)|@(?=给(?:了|[你我他她它您]们?(?:[,.!?了吧]|$)))|(?<=[归偿退奉])@",
            "huan2",
        ),
        ("@(?=书[给了吧去时,.!?])|@(?=书$)|(?<=[借要去来该])@(?=书)", "huan2"),
    ),
    "得": (
        (
            "(?<=[我你他她咱们就也都还必总可非])@(?=[走去先赶想找看做把给多回说买吃等写学问听让注早]|好好)",
            "dei3",
        ),
        ("(?<=[我你他她们])@(?=了?(?:第|奖|满分|病|一百|高分|[零一二三四五六七八九十]+分))", "de2"),
        ("@(?=了第[一二三四五六七八九十]|了?[冠亚季]军|了?奖)", "de2"),
        ("(?<=[获取赢夺求难所心博])@", "de2"),
    ),
    "只": ((f"(?<=[{_COUNT}])@(?![有是能会要可不好怕])", "zhi1"),),
    "数": (
        (
            "@(?=一数|到[一二三四五六七八九十几]|星星|羊|钱|不清|不胜)|(?<=数一)@|(?<=数了)@|@(?=了数)|(?<=倒)@",
            "shu3",
        ),
    ),
    "曾": (("(?<=姓)@|@(?=国藩|(?:先生|女士|小姐|老师|教授|医生|同学|大哥|阿姨|总))", "zeng1"),),
    "血": (("(?<=[流出止贫充输验献抽心热鲜])@(?!淋)", "xue4"),),
    "背": (("@(?=[着了上起](?:书|包|孩|大|小|行|弟|妹|娃|背|一)|书包|黑锅|孩子)", "bei1"),),
    "削": (("@(?=[苹梨皮铅笔土果了])", "xiao1"),),
    "炸": (("@(?=[鸡鱼酱薯串虾糕丸肉豆]|油条|春卷|排骨)|(?<=[油香酥])@", "zha2"),),
    "嚼": (("(?<!咀)@(?!蜡)", "jiao2"),),
    "殷": (("@(?=红)", "yan1"),),
    "行": (
        ("(?<=行)@(?=长)", "hang2"),
        (f"(?<=[{_COUNT}])@(?={_IN_ROWS})", "hang2"),
        (
            "(?<=[成站排列]一|[成站排列]两)@|(?<=[首末尾隔逐空整每])@(?=[字,.!?的首末开缩输显数一两三四五六七八九十]|$)",
            "hang2",
        ),
        (
            "(?<=[这那]一)@(?=[,.!?的里是很太不]|$)|(?<=[干爱做]一)@(?=[,.!?爱怨]|$)|(?<=各)@(?!各|其)",
            "hang2",
        ),
        ("(?<=一)@(?=行)|(?<=一行)@(?=[字白诗代文泪地,.!?]|$)", "hang2"),
        ("(?<=第[一二两三四五六七八九十几]|十[一二三四五六七八九])@(?![人业])", "hang2"),
    ),
    "倒": (("(?<![摔跌打推病晕绊])@(?=[水茶酒车掉垃]|[了一]?杯|一下水|进|计时|着走|过来)", "dao4"),),
    "空": (("(?<=[有没抽得])@(?![气间调军虚洞难白]|荡荡)", "kong4"),),
    "盛": (("(?<![丰茂旺昌兴鼎])@(?=[饭汤菜满碗盘]|[了着一]+[碗盘勺])", "cheng2"),),
    "教": (
        (
            "(?<![佛道宗基督国主说执家请任助调受新旧管文])@(?=[我你他她它您咱书]|数学|语文|英语|历史|化学|"
            "物理|体育|音乐|美术|[了过]|孩子|小|大家|学生(?!楼)|什么|会[我你他她])",
            "jiao1",
        ),
    ),
    "种": (
        (
            f"(?<![{_COUNT}各某多此何物品人播])@(?=[花树菜地田草下植了满出着上瓜豆果]|水稻|玉米|庄稼|粮)",
            "zhong4",
        ),
    ),
    "转": (("@(?=[圈悠盘轮]|个圈|了[一两几]?圈|来转去|得快|个不停)", "zhuan4"),),
    "弹": (("@(?=[琴吉钢唱奏]|[了着过]?[一首]|得好)", "tan2"),),
    "假": (("(?<=[天周放请休病事婚产年寒暑度])@(?![装如设定的货借话使若])", "jia4"),),
    "划": (("(?<![计规策企筹刻区])@(?=[船水桨]|[伤破]|了一[道下])", "hua2"),),
    "幢": ((f"(?<=[{_COUNT}整栋多首末])@|@(?=楼|大楼|大厦|高楼|房|别墅|建筑|公寓|小楼)", "zhuang4"),),
    "重": (
        (
            "(?<![很太不最加沉体比么起载举负超失净毛])@(?=[做写看来读算拍听说学走唱画念]|启|置|试|装|新)",
            "chong2",
        ),
    ),
    "率": (("(?<=[效速频概比利税汇功几胜])@", "lv4"),),
    "的": (("(?<![项题栏节数曲面条科盲醒注瞩夺侧头])(?<=目)@", "di4"),),
    "奔": (("(?<=[投直])@(?=[亲主]|着)", "ben4"),),
}


@lru_cache(maxsize=64)
def _patterns(char: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern.replace("@", char)), reading) for pattern, reading in _READINGS[char])


def readings_around(clause: str) -> dict[int, str]:
    """Readings that the characters around decide: position -> syllable such as `"chang2"`.

    Args:
        clause: Normalised text up to a mark.
    """
    found = {match.start(): _SURNAMES[match[0]] for match in _SURNAME.finditer(clause)}
    for char in sorted(_READINGS.keys() & set(clause)):
        for pattern, reading in _patterns(char):
            for match in pattern.finditer(clause):
                found.setdefault(match.start(), reading)
    return found


def readings_by_words(words: Sequence[Word]) -> Iterator[tuple[int, str]]:
    """Readings that the words around decide: positions and syllables.

    Args:
        words: Of one clause, in order.
    """
    position = 0
    for index, word in enumerate(words):
        after = words[index + 1] if index + 1 < len(words) else None
        if word.text == "地" and index and after is not None:
            before = words[index - 1]
            doubled = len(before.text) > 1 and before.text[-1] == before.text[-2]
            if (doubled or before.tag[0] in _ADVERBS) and after.tag[0] in "vdpa":
                yield position, "de5"
        elif len(word.text) > 1 and word.text[-1] == "地":
            if word.text[-2] == word.text[-3:-2]:
                yield position + len(word.text) - 1, "de5"
            elif word.tag[0] in "ns":
                yield position + len(word.text) - 1, "di4"
        position += len(word.text)


def keeps_tone(reading: str, final: str) -> bool:
    """Whether the tone of a reading was weakened where it is certain.

    Args:
        reading: Such as `"di4"`.
        final: As the tone rules left it, such as `"i5"`.
    """
    return final.endswith("5") and not reading.endswith("5")
