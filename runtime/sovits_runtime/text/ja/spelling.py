"""Written Japanese -> words and pause marks: the kinds of rewriting, in order."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from sovits_runtime.text.ja import dates, names, quantities
from sovits_runtime.text.ja.numbers import RANGE, from_low, kanji
from sovits_runtime.text.ja.variants import USUAL_FORMS
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.written import CIRCLED, EMOTICONS, circled_value, fold

_AS_WRITTEN: Final = re.compile("[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞™℠…]")
_ODD: Final = re.compile(r"[^\x00-\x7f\u3041-\u30fa\u30fc\u4e00-\u9fff]+")
_CIRCLED: Final = re.compile(CIRCLED)
_KANA: Final = "\u3041-\u3096\u30a1-\u30fa\u30fc"
_KANJI: Final = "\u3400-\u4dbf\u4e00-\u9fff々"

_COMPATIBILITY: Final = Kind(
    "compatibility-characters",
    "full-width letters, half-width kana, circled digits, ㈱ and the like in their plain form",
    (
        (_CIRCLED, lambda match: kanji(circled_value(match[0]))),
        (re.compile(r"[㈱㍿]|[(（]株[)）]"), "株式会社"),
        (re.compile(r"㈲|[(（]有[)）]"), "有限会社"),
        (_ODD, lambda match: fold(match[0], _AS_WRITTEN)),
        (re.compile(f"[{''.join(USUAL_FORMS)}]"), lambda match: USUAL_FORMS[match[0]]),
        (
            re.compile(
                "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
            ),
            "",
        ),
        (re.compile(r"[^\S\n]+"), " "),
    ),
)
_RUBY: Final = Kind(
    "ruby",
    "a reading in 《》 behind kanji is said in their place",
    (
        (
            re.compile(
                rf"(?:[｜|](?P<base>[^｜|《》\n]{{1,20}})|[{_KANJI}]{{1,12}})《(?P<ruby>[{_KANA}]{{1,20}})》"
            ),
            r"\g<ruby>",
        ),
    ),
)
_BEFORE_NUMBERS: Final = {
    "ver": "バージョン", "lv": "レベル", "ch": "チャンネル", "fig": "図", "ep": "エピソード",
}  # fmt: skip
_ABBREVIATIONS: Final = Kind(
    "abbreviations",
    "No.5 is ナンバー五, p.12 十二ページ, vs バーサス",
    (
        (re.compile(r"(?<![A-Za-z])N[Oo]\.?\s?1(?![\d.])"), "ナンバーワン"),
        (re.compile(r"(?<![A-Za-z])(?:N[Oo]|no)\.\s?(?=\d)|(?<![A-Za-z])N[Oo]\s?(?=\d)|№\s?"), "ナンバー"),
        (re.compile(r"(?<![A-Za-z])[Vv][Oo][Ll]\.\s?(?=\d)"), "ボリューム"),
        (
            re.compile(rf"(?<![A-Za-z])[Pp]{{1,2}}\.\s?(?:(?P<first>\d+){RANGE})?(?P<page>\d+)(?!\d)"),
            lambda match: f"{from_low(match['first'])}{kanji(match['page'])}ページ",
        ),
        (re.compile(r"(?<![A-Za-z])[Vv][Ss]\.?(?![A-Za-z])"), "バーサス"),
        (re.compile(r"(?<![A-Za-z])(?:TEL|Tel|tel|℡)\s?[.:：)]?\s?(?=[\d+(])"), "電話、"),
        (
            re.compile(r"(?<![A-Za-z])(?P<word>[Vv]er|[Ll]v|LV|[Cc]h|[Ff]ig|[Ee]p)\.\s?(?=\d)"),
            lambda match: _BEFORE_NUMBERS[match["word"].lower()],
        ),
        (re.compile(r"(?<![A-Za-z])etc\.?(?![A-Za-z])"), "エトセトラ"),
        (re.compile(rf"(?<=[{_KANA}{_KANJI}！？!?。、ー])[wW]{{1,}}(?![A-Za-z\d.'-])"), "、笑い"),
        (re.compile(r"[(（]笑[)）]"), "、笑い、"),
    ),
)
_ITERATION: Final = Kind(
    "iteration-marks",
    "ゝ and ゞ repeat the kana before them; 〇〇 is まるまる",
    (
        (
            re.compile(r"(?P<kana>[\u3041-\u3096])ゝ|(?P<kata>[\u30a1-\u30fa])ヽ"),
            lambda match: match[0][0] * 2,
        ),
        (
            re.compile(r"(?P<kana>[\u3041-\u3096])ゞ|(?P<kata>[\u30a1-\u30fa])ヾ"),
            lambda match: match[0][0] + _voiced(match[0][0]),
        ),
        (re.compile("[〇○◯](?=[×✕])|(?<=[×✕])[〇○◯]"), "まる"),
        (re.compile("(?<=まる)[×✕]|[×✕](?=まる)"), "ばつ"),
        (re.compile(r"[〇○◯]{2}(?=[さち様君氏くのにとはがを県市区町村駅店社大年月日時])"), "まるまる"),
        (re.compile("[×✕]{2}(?=[さち様君氏くのにとはがを県市区町村駅店社大年月日時])"), "ばつばつ"),
        (
            re.compile("(?<![〇一二三四五六七八九十])[〇◯](?![〇一二三四五六七八九])|(?<=[年月日])〇(?!.)"),
            "まる",
        ),
    ),
)
_SIGN_NAMES: Final = {
    "&": "アンド", "@": "アット", "#": "シャープ", "%": "パーセント", "+": "プラス", "=": "イコール",
    "×": "かける", "÷": "わる", "°": "度",
    "±": "プラスマイナス", "√": "ルート", "∞": "無限大", "$": "ドル", "€": "ユーロ", "£": "ポンド", "¥": "円",
    "￥": "円", "₩": "ウォン",
    "≠": "ノットイコール", "≒": "ニアリーイコール", "≈": "ニアリーイコール", "≥": "以上", "≤": "以下",
    "≧": "以上", "≦": "以下", "〒": "郵便番号",
    "∴": "ゆえに", "∵": "なぜならば", "α": "アルファ", "β": "ベータ", "γ": "ガンマ", "δ": "デルタ",
    "Δ": "デルタ", "ε": "イプシロン",
    "θ": "シータ", "λ": "ラムダ", "μ": "ミュー", "π": "パイ", "σ": "シグマ", "Σ": "シグマ", "φ": "ファイ",
    "ω": "オメガ", "Ω": "オメガ",
    "♂": "オス", "♀": "メス", "℡": "電話", "☎": "電話、", "☏": "電話、", "〓": "", "♯": "シャープ", "♭": "フラット",
}  # fmt: skip
_SIGNS: Final = Kind(
    "signs",
    "signs that are left get their names: & is アンド",
    (
        (re.compile(r"(?<=[A-Za-z])\s?&\s?(?=[A-Za-z])"), "&"),
        (re.compile(rf"#(?=[{_KANA}{_KANJI}A-Za-z])"), "ハッシュタグ"),
        (re.compile(rf"(?<![A-Za-z])&|&(?![A-Za-z])|[{re.escape(''.join(_SIGN_NAMES).replace('&', ''))}]"),
         lambda match: _SIGN_NAMES[match[0]]),
    ),
)  # fmt: skip
_OPENING: Final = re.escape("([{<〈《「『【〔（［｛＜")
_CLOSING: Final = re.escape(")]}>〉》」』】〕）］｝＞")
_QUOTES: Final = re.escape('"“”„«»‘`´〝〟')
_MARKS: Final = Kind(
    "marks",
    "brackets, colons and dashes become pauses, a wave behind kana draws it out",
    (
        (re.compile(rf"(?<=[{_KANA}])[〜～~∼]+(?![\d{_KANJI}])"), "ー"),
        (re.compile(rf"[{_QUOTES}]|(?<![A-Za-z])['’]|['’](?![A-Za-z])"), ""),
        (re.compile(r"[—–―─:;：；/\\|~∼〜～→←↔⇒➔▶►※•▪|]|(?<![A-Za-z])[-−‐]+|[-−‐]+(?![A-Za-z])|_+"), "、"),
        (re.compile(rf"[{_OPENING}{_CLOSING}]"), "、"),
        (re.compile("[,，､]"), "、"),
        (re.compile(r"(?:\.{2,}|・{2,}|‥|⋯|…)+|。{2,}(?=[^。])"), "…"),
        (re.compile(r"(?<![A-Za-z])\.|\.(?![A-Za-z\s])|[．｡]"), "。"),
        (re.compile("!"), "！"),
        (re.compile(r"\?"), "？"),
        (re.compile(r"[ \t]*(?P<mark>[、。！？…])[ \t]*"), r"\g<mark>"),
        (re.compile(r"(?P<mark>[。！？…])、+"), r"\g<mark>"),
        (re.compile(r"、+(?P<mark>[。！？…、])"), r"\g<mark>"),
        (re.compile(r"(?P<line>^|\n)[ 、]+"), r"\g<line>"),
        (re.compile(r"[ 、]+(?=\n|$)"), ""),
        (re.compile(rf"(?<=[{_KANA}{_KANJI}、。！？…]) +(?=[{_KANA}{_KANJI}、。！？…])"), " "),
    ),
)


def _voiced(kana: str) -> str:
    return unicodedata.normalize("NFC", f"{kana}\u3099")[:1]


KINDS: Final[tuple[Kind, ...]] = (
    EMOTICONS,
    _RUBY,
    _COMPATIBILITY,
    names.ADDRESSES,
    _ABBREVIATIONS,
    names.ROMAN_NUMERALS,
    _ITERATION,
    names.PHONE_NUMBERS,
    dates.DATES,
    dates.TIMES,
    quantities.SCORES,
    quantities.COMPARISONS,
    quantities.FRACTIONS,
    quantities.MONEY,
    quantities.TEMPERATURES,
    quantities.PERCENT,
    quantities.UNITS_KIND,
    names.IDENTIFIERS,
    quantities.RANGES,
    quantities.COUNTERS,
    quantities.ARITHMETIC,
    quantities.NUMBERS,
    _SIGNS,
    _MARKS,
)
