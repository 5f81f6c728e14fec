"""What a user writes in Japanese, and the words that it is read as."""

from __future__ import annotations

import random
import re
import time

import pytest

pytest.importorskip("pyopenjtalk")

from sovits_runtime.errors import NothingToSay
from sovits_runtime.text import phonemize
from sovits_runtime.text.ja import openjtalk
from sovits_runtime.text.ja.spelling import KINDS
from sovits_runtime.text.ja.variants import USUAL_FORMS
from sovits_runtime.text.pipeline import TextFrontend
from sovits_runtime.text.spell_out import spell_out
from sovits_runtime.text.spelling import spell
from sovits_runtime.text.word_list import word_list

MINUTES = 60.0
"""Processor time that a rule which looks back from every character would take, in seconds."""

needs_dictionary = pytest.mark.skipif(
    openjtalk.find_dictionary() is None, reason=f"the dictionary {openjtalk.DICTIONARY_NAME} is not installed"
)
WRITTEN_AND_READ = [
    # signs, units, money
    ("定価の20%引きで、税込¥3,980です。", "定価の二十パーセント引きで、税込三千九百八十円です。"),
    ("1ドル＝150円、1€は160円。", "一ドルイコール百五十円、一ユーロは百六十円。"),
    ("$19.99の本と$0.50の飴", "十九ドル九十九セントの本と五十セントの飴"),
    ("US$30と£10と₩500", "三十ドルと十ポンドと五百ウォン"),
    ("予算は$1.5Mだ。", "予算は百五十万ドルだ。"),
    ("3万円と1.5億円と10k円", "三万円と一点五億円と一万円"),
    ("￥500以下の商品", "五百円以下の商品"),
    (
        "面積は約3.5km²、幅は10cm×20cm。",
        "面積は約三点五平方キロメートル、幅は十センチメートルかける二十センチメートル。",
    ),
    ("最高気温は38.5℃、最低は-2.0℃。", "最高気温は三十八点五度、最低はマイナス二点ゼロ度。"),
    ("75°Fの部屋", "華氏七十五度の部屋"),
    ("60km/hで走り、秒速5mの風が吹く。", "時速六十キロメートルで走り、秒速五メートルの風が吹く。"),
    ("容量は512GB、重さ1.2kg、500ml。", "容量は五百十二ギガバイト、重さ一点二キログラム、五百ミリリットル。"),
    ("50Hz/60Hzと100Vと1500kcal", "五十ヘルツ、六十ヘルツと百ボルトと千五百キロカロリー"),
    ("㈱青空と(有)山田", "株式会社青空と有限会社山田"),
    ("株価は▲5%で、前日比+120円。", "株価はマイナス五パーセントで、前日比プラス百二十円。"),
    # fractions, arithmetic, comparison
    ("3/4の人が賛成した。", "四ぶんの三の人が賛成した。"),
    ("2と1/3、½カップ、三分の一", "二と三ぶんの一、二ぶんの一カップ、三ぶんの一"),
    (
        "3×4=12、12÷4=3、-5+3=-2です。",
        "三かける四イコール十二、十二わる四イコール三、マイナス五プラス三イコールマイナス二です。",
    ),
    ("7-3=4になる。", "七マイナス三イコール四になる。"),
    ("≥18歳で、誤差は±0.5だ。", "十八歳以上で、誤差はプラスマイナス零点五だ。"),
    ("a≠bで、円周率≒3.14だ。", "Aノットイコールbで、円周率約三点イチヨンだ。"),
    ("視力は0.5、確率は0.001です。", "視力は零点五、確率は零点ゼロゼロイチです。"),
    # dates, times, ranges
    ("5月3日（金）〜5日（日）まで。", "五月三日、金曜日から五日、日曜日まで。"),
    ("2024年4月1日(月) 9:00〜17:30。", "二千二十四年四月一日、月曜日 九時から十七時三十分。"),
    ("4/1から4/7まで。4/29（祝）は休み。", "四月一日から四月七日まで。四月二十九日、祝日は休み。"),
    ("期限：12/31", "期限、十二月三十一日"),
    ("7/20は海の日です。", "七月二十日は海の日です。"),
    ("4/1は入社式、11/3は文化の日。", "四月一日は入社式、十一月三日は文化の日。"),
    ("今年の12/24はクリスマスイブ。", "今年の十二月二十四日はクリスマスイブ。"),
    ("会議は6/3、給料日は4/25。", "会議は六月三日、給料日は四月二十五日。"),
    ("全体の3/4は男性、クラスの2/3は休み。", "全体の四ぶんの三は男性、クラスの三ぶんの二は休み。"),
    ("住所は港区4-5-6です。", "住所は港区ヨンの五の六です。"),
    ("ガソリンは1L170円、肉は1kg1,200円。", "ガソリンは一リットル百七十円、肉は一キログラム千二百円。"),
    ("2024-03-01と2024.3.1と2024/3", "二千二十四年三月一日と二千二十四年三月一日と二千二十四年三月"),
    ("R6.4.1とH30年と'24年", "令和六年四月一日と平成三十年と二十四年"),
    ("午後3:05の電車。0:00に。25:30から。", "午後三時五分の電車。零時に。二十五時三十分から。"),
    ("10:30amとPM 3時", "午前十時三十分と午後三時"),
    ("月〜金 10:00-19:00", "月曜から金曜 十時から十九時"),
    ("10時〜。〜20時。500円〜。", "十時から。二十時まで。五百円から。"),
    ("第10〜12章、10-20代、1〜2時間、¥100〜¥200", "第十から十二章、十から二十代、一から二時間、百から二百円"),
    ("東京〜大阪の切符", "東京から大阪の切符"),
    ("3〜4℃で20〜30%", "三から四度で二十から三十パーセント"),
    # counters
    ("1本、3本、6本、8本、10本", "一本、三本、六本、八本、十本"),
    ("2分待って、10分後、5分で、8時10分に。", "二フン待って、一〇分後、五フンで、八時十分に。"),
    ("0度と0点と0円", "零度と零点とゼロ円"),
    ("1行目と8頭", "イチギョー目とハットー"),
    ("2人で、1日3回", "二人で、一日三回"),
    # phone numbers, addresses, codes
    ("電話は03-1234-5678です。", "電話はゼロサン、イチニーサンヨン、ゴーロクナナハチです。"),
    ("0120-444-444までお電話ください。", "ゼロイチニーゼロ、ヨンヨンヨン、ヨンヨンヨンまでお電話ください。"),
    ("携帯は09012345678。", "携帯はゼロキューゼロ、イチニーサンヨン、ゴーロクナナハチ。"),
    ("〒150-0002 東京都渋谷区", "郵便番号、イチゴーゼロのゼロゼロゼロニー、東京都渋谷区"),
    ("110番に電話し、119に通報した。", "ヒャクトーバンに電話し、イチイチキューに通報した。"),
    ("新宿区西新宿2-8-1、3丁目4-5", "新宿区西新宿二の八の一、三丁目四の五"),
    ("暗証番号は0123です。", "暗証番号はゼロイチニーサンです。"),
    ("バージョン1.2.3", "バージョン一点二点三"),
    ("007とNo.5とp.12", "ゼロゼロナナとナンバー五と十二ページ"),
    # scores
    ("3-1で勝利し、2:2で引き分けた。", "三対一で勝利し、二対二で引き分けた。"),
    ("比率は7:3です。画面は16:9。", "比率は七対三です。画面は十六対九。"),
    # Roman numerals
    ("エリザベスⅡ世、ヘンリーVIII世、ルイ16世。", "エリザベス二世、ヘンリー八世、ルイ十六世。"),
    ("第Ⅱ部、第IV章、II型糖尿病、Ⅰ類", "第二部、第四章、二型糖尿病、一類"),
    ("ドラゴンクエストIII", "ドラゴンクエスト三"),
    # marks, odd characters
    ("「はい」と彼は言った。（笑）", "はい、と彼は言った。笑い"),
    ("え…まさか……。", "え…まさか…。"),
    ("本当ですか？！ すごい!! やった〜", "本当ですか？！すごい！！やったー"),
    ("A：はい。", "A、はい。"),
    ("①番の髙橋さんはﾊﾞｽ、東京は２３区", "一番の高橋さんはバス、東京は二十三区"),
    ("小鳥遊《たかなし》さんと〇〇さん", "たかなしさんとまるまるさん"),
    ("こゝろ、〇×クイズ、答えは〇。", "こころ、まるばつクイズ、答えはまる。"),
    ("犬&猫 #旅行", "犬アンド猫 ハッシュタグ旅行"),
    ("日経平均は39,098.68円。", "日経平均は三万九千九十八点ロクハチ円。"),
    ("打率.310とLv.99とver.2.1", "打率零点サンイチゼロとレベル九十九とバージョン二点一"),
    ("集合ね〜！(｀・ω・´)", "集合ねー！"),
    ("(^^)と(笑)と(-5)と1,000/80", "と、笑い、と、マイナス五、と千、八十"),
    ("日本vs韓国", "日本バーサス韓国"),
]
# Latin words stay for the English rules.
BESIDE_LATIN = [
    ("サイトはwww.hanami.jpです", "サイトは W W W ドット hanami ドット J P です"),
    ("info-1@hanami.co.jpへ", "info ハイフン イチ アット hanami ドット C O ドット J P へ"),
    ("https://example.com/aboutを開く", "example ドット com スラッシュ about を開く"),
    ("report_v2.pdfを送る", "report アンダーバー V ニー ドット P D F を送る"),
    ("MP3とA4と5Gと4Kと2LDK", "MP three とA ヨンとfive Gと四 Kと二 LDK"),
    ("RTX4090とGPT-4.5とB12", "RTX ヨンゼロキューゼロとGPT 四点五とB 十二"),
    ("R&DとUSB、Wi-Fi", "R&DとUSB、Wi-Fi"),
    ("テレビCMとドラマCDとビタミンD", "テレビCMとドラマCDとビタミンD"),
]
COUNTERS = word_list(
    "本 匹 個 人 回 枚 台 冊 杯 階 歳 分 秒 時 時間 日 日間 週間 ヶ月 か月 年 "
    "年間 円 度 番 番目 号 位 名 件 点 倍 種類 箱 皿 組 頭 羽 足 着 軒 通 話 "
    "巻 章 条 曲 試合 勝 敗 票 代 世紀 丁目 キロ メートル グラム パーセント ドル つ "
    "粒 口 校 社 カ国 か所 部 食 泊 問 行 行目 段 歩 名様 人前 人分 機 両 玉 畳 "
    "文字 語 ページ 割 分間 限目 学年 年生 年目 日目 人目 回目"
)
SIGNS = re.compile(r"[0-9０-９%$¥€£@#=+×÷<>≥±℃/:;()\[\]{}]")


def _without_pitch(phones):
    return [symbol for symbol in phones.symbols if symbol not in ("[", "]", "UNK")]


@pytest.mark.parametrize(("written", "read"), WRITTEN_AND_READ)
def test_read_as(written, read):
    assert spell_out(written, "ja").text == read


@pytest.mark.parametrize(("written", "read"), BESIDE_LATIN)
def test_latin_words_are_left(written, read):
    assert re.sub(" +", " ", spell(written, KINDS).text) == read


@needs_dictionary
@pytest.mark.parametrize("counter", COUNTERS)
def test_numbers_with_counters_are_read_as_open_jtalk_reads_digits(counter):
    for value in (*range(1, 11 if counter == "つ" else 32), 50, 70, 99, 100, 300, 365, 500, 600, 800):
        if counter == "つ" and value > 9:
            continue
        written = f"{value}{counter}が"
        digits = [symbol for symbol in openjtalk.phones_with_pitch(written) if symbol not in "[]#"]
        assert _without_pitch(phonemize(written, "ja")) == digits, written


@needs_dictionary
@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        ("これは龘です", "龘"),
        ("東龘京です", "龘"),
        ("我们です", "们"),
        ("楽しい😊ね", "😊"),
        ("한国です", "한"),
    ],
)
def test_what_has_no_reading_is_named_and_silences_nothing_else(text, dropped):
    (piece,) = TextFrontend().pieces(text, "ja")
    assert piece.notes == (f"Japanese: dropped {dropped}",)
    wanted = phonemize(text.replace(dropped, " " if dropped in "😊한" else ""), "ja", spelled=True)
    assert [s for s in piece.symbols if s.isalpha()] == [s for s in wanted.symbols if s.isalpha()]


@needs_dictionary
def test_a_text_of_kanji_without_a_reading_says_so():
    with pytest.raises(NothingToSay):
        phonemize("龘", "ja")


@needs_dictionary
def test_usual_forms_stand_in_for_forms_that_the_dictionary_lacks():
    assert phonemize("營業を擴げる", "ja").symbols == phonemize("営業を拡げる", "ja").symbols
    for rare in USUAL_FORMS:
        assert not openjtalk._has_reading(rare)


@needs_dictionary
def test_repetition_is_read():
    assert _without_pitch(phonemize("誰々が", "ja")) == ["d", "a", "r", "e", "d", "a", "r", "e", "g", "a"]


def test_nothing_but_words_and_marks_is_left():
    rng = random.Random(6)
    parts = [
        *"0123456789.,:/-~+=×÷<>≥±%$¥€£@#*_()[]\"'!?…。、 \t℃㎡㎏½Ⅲ①１：はの東京本分年〜～ー々〇",
        *word_list(
            "10:30 3/4 2023/07/08 1,000 090-1234-5678 www.a.com a@b.co XIV MP3 km （土） で勝った 区 第 章 世"
        ),
    ]
    for _ in range(600):
        text = "".join(rng.choice(parts) for _ in range(rng.randint(1, 14)))
        assert not SIGNS.search(spell(text, KINDS).text), text


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_each_kind_can_be_left_out(kind):
    for written, _ in [*WRITTEN_AND_READ, *BESIDE_LATIN, ("１２３、٣٤", "")]:
        assert not [change for change in spell(written, KINDS, {kind}).changes if change.kind == kind]


@pytest.mark.parametrize(
    "unit", ["1", "1,", "1.", "-", "1/", "1:", "〜", "東", "「", "$1", "+", "a1", "5/3(土)", "漢《"]
)
def test_time_grows_with_the_text_only(unit):
    text = unit * (10_000 // len(unit))
    start = time.process_time()
    spell(text, KINDS)
    assert time.process_time() - start < MINUTES
