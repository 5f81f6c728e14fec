"""What a user writes in Korean, and the words that it is read as."""

from __future__ import annotations

import random
import re
import time

import pytest

pytest.importorskip("jamo")
pytest.importorskip("g2pk2")

from sovits_runtime.text.ko.numbers import native, sino
from sovits_runtime.text.ko.spelling import KINDS
from sovits_runtime.text.pipeline import TextFrontend
from sovits_runtime.text.spell_out import spell_out
from sovits_runtime.text.spelling import spell
from sovits_runtime.text.word_list import word_list

MINUTES = 60.0
"""Processor time that a rule which looks back from every character would take, in seconds."""

WRITTEN_AND_READ = [
    # months, dates, times
    ("6월 6일과 10월 9일, 6개월", "유월 육일과 시월 구일, 육개월"),
    ("5월 3일(금)~5일(일)까지.", "오월 삼일 금요일에서 오일 일요일까지."),
    ("2024년 4월 1일(월) 9:00~17:30.", "이천이십사년 사월 일일 월요일 아홉시에서 십칠시 삼십분."),
    ("4/1부터 4/7까지. 4/29(월)은 휴무.", "사월 일일부터 사월 칠일까지. 사월 이십구일 월요일은 휴무."),
    (
        "2024.03.01. 발표, 2024-03-01, 2024/3/1",
        "이천이십사년 삼월 일일 발표, 이천이십사년 삼월 일일, 이천이십사년 삼월 일일",
    ),
    ("4/5는 식목일이다. 5/8 어버이날.", "사월 오일은 식목일이다. 오월 팔일 어버이날."),
    ("마감은 11/30입니다. 생일은 5/6이야.", "마감은 십일월 삼십일입니다. 생일은 오월 육일이야."),
    ("6/6은 엄마 생일이야.", "유월 육일은 엄마 생일이야."),
    ("3/4은 찬성했다. 2/3가 회의에 참석.", "사분의 삼은 찬성했다. 삼분의 이가 회의에 참석."),
    ("5~6월, 10~11월, 3월~5월", "오월에서 유월, 시월에서 십일월, 삼월에서 오월"),
    ("오후 3:05 기차. 0:00에. 24:00까지.", "오후 세시 오분 기차. 영시에. 이십사시까지."),
    ("10:30 AM에, PM 3시에", "오전 열시 삼십분에, 오후 세시에"),
    ("1시간, 12시간, 24시간, 48시간, 30분", "한시간, 열두시간, 이십사시간, 사십팔시간, 삼십분"),
    ("오전 9시~오후 6시, 9~18시, 월~금", "오전 아홉시에서 오후 여섯시, 아홉시에서 십팔시, 월요일에서 금요일"),
    ("3.1절, 6.25 전쟁, 8·15, '88 올림픽, '24년", "삼일절, 육이오 전쟁, 팔일오, 팔팔 올림픽, 이십사년"),
    ("80년대와 1990년대, 21세기", "팔십년대와 천구백구십년대, 이십일세기"),
    # counters
    ("사과 1개, 배 2개, 귤 20개, 100개", "사과 한개, 배 두개, 귤 스무개, 백개"),
    ("학생 1명, 4명, 20명, 100명", "학생 한명, 네명, 스무명, 백명"),
    ("책 3권, 종이 5장, 신발 3켤레, 꽃 5송이", "책 세권, 종이 다섯장, 신발 세켤레, 꽃 다섯송이"),
    ("맥주 2병, 밥 1그릇, 집 1채, 나무 3그루", "맥주 두병, 밥 한그릇, 집 한채, 나무 세그루"),
    ("1살, 35살, 100살, 20세", "한살, 서른다섯살, 백살, 이십세"),
    ("3번 출구, 7번 버스, 3번 만났다. 10번 읽었다.", "삼번 출구, 칠번 버스, 세번 만났다. 열번 읽었다."),
    ("1번째, 2번째, 21번째", "첫번째, 두번째, 스물한번째"),
    ("자동차 3대를 샀다. 30대 여성. 세계 3대 도시", "자동차 세대를 샀다. 삼십대 여성. 세계 삼대 도시"),
    ("손님 3분이 3분 기다렸다.", "손님 세분이 삼분 기다렸다."),
    ("3개월, 3개국, 2주일, 5년, 2층, 1학년", "삼개월, 삼개국, 이주일, 오년, 이층, 일학년"),
    ("2배, 20배, 1.5배, 3가지, 4곳, 2달", "두배, 스무배, 일쩜오배, 세가지, 네곳, 두달"),
    ("1박 2일, 2인용, 3인분, 1등, 제3회", "일박 이일, 이인용, 삼인분, 일등, 제삼회"),
    ("5~6명, 1~2시간, 2~3번, 3~4일", "다섯명에서 여섯명, 한시간에서 두시간, 두번에서 세번, 삼에서 사일"),
    # signs, units, money, fractions
    ("정가에서 20% 할인된 ₩15,000입니다.", "정가에서 이십퍼센트 할인된 만오천원입니다."),
    ("$19.99와 £10와 ¥500과 €20", "십구달러 구십구센트와 십파운드와 오백엔과 이십유로"),
    ("3만 5천원, 1억 2,000만원, 1.5억 원, $1.5M", "삼만 오천원, 일억 이천만원, 일쩜오억 원, 백오십만달러"),
    ("면적은 84㎡, 폭 10cm×20cm.", "면적은 팔십사제곱미터, 폭 십센티미터 곱하기 이십센티미터."),
    ("최고 38.5℃, 최저 -2.5℃, 75°F", "최고 삼십팔쩜오도, 최저 영하 이쩜오도, 화씨 칠십오도"),
    ("60km/h로, 초속 5m로", "시속 육십킬로미터로, 초속 오미터로"),
    ("512GB, 65.5kg, 500㎖, 50Hz", "오백십이기가바이트, 육십오쩜오킬로그램, 오백밀리리터, 오십헤르츠"),
    ("금리가 0.25%p 올랐다.", "금리가 영쩜이오퍼센트포인트 올랐다."),
    ("3/4이 찬성했다. 1과 1/2, ½컵", "사분의 삼이 찬성했다. 일과 이분의 일, 이분의 일컵"),
    (
        "3×4=12, 12÷4=3, -5+3=-2, 7-3=4이다.",
        "삼 곱하기 사는 십이, 십이 나누기 사는 삼, 마이너스 오 더하기 삼은 마이너스 이, 칠 빼기 삼은 사이다.",
    ),
    (
        "5>3이다. ≥18세, 오차는 ±2, x ≥ 18",
        "오는 삼보다 큼이다. 십팔세 이상, 오차는 플러스마이너스 이, x는 십팔 이상",
    ),
    ("0.001초, 10000보, 2024", "영쩜영영일초, 만보, 이천이십사"),
    ("㈜한강, (주)서울, 5점 차", "주식회사 한강, 주식회사 서울, 오점 차"),
    # ranges, scores, phone numbers
    ("3-1로 승리, 2-2 무승부, 2:1로 앞서다", "삼대 일로 승리, 이대 이 무승부, 이대 일로 앞서다"),
    ("비율은 7:3입니다. 16:9 화면", "비율은 칠대 삼입니다. 십육대 구 화면"),
    ("전화번호는 02-123-4567입니다.", "전화번호는 공이, 일이삼, 사오육칠입니다."),
    (
        "01012345678, 1588-1234, +82-10-1234-5678",
        "공일공, 일이삼사, 오육칠팔, 일오팔팔, 일이삼사, 플러스 팔이, 일공, 일이삼사, 오육칠팔",
    ),
    ("119에 신고하세요.", "일일구에 신고하세요."),
    (
        "10~20%, -5~3℃, 100~200원, 2020-2023년",
        "십에서 이십퍼센트, 마이너스 오에서 삼도, 백에서 이백원, 이천이십에서 이천이십삼년",
    ),
    ("비밀번호는 0123, 버전 1.2.3", "비밀번호는 공일이삼, 버전 일 점 이 점 삼"),
    ("12-3번지, 코로나19, 007", "십이 다시 삼번지, 코로나일구, 공공칠"),
    # Roman numerals, jamo, hanja
    (
        "엘리자베스 Ⅱ세, 헨리 VIII세, 제IV장, 파이널 판타지 VII",
        "엘리자베스 이세, 헨리 팔세, 제사장, 파이널 판타지 칠",
    ),
    ("ㅋㅋㅋ ㅎㅎ ㅇㅇ, ㄱ과 ㄴ", "크크크 흐흐 응응, 기역과 니은"),
    ("대한민국(大韓民國), 與野 합의, 美 대통령", "대한민국, 여야 합의, 미 대통령"),
    # marks, odd characters
    ('"안녕"이라고 그가 말했다(웃음).', "안녕이라고 그가 말했다, 웃음."),
    ("정말요?! 음... 좋아~", "정말요?! 음… 좋아"),
    ("①번, １２월, 남/여, A: 네", "일번, 십이월, 남, 여, A, 네"),
    ("개 & 고양이, 한국 vs 일본", "개 앤드 고양이, 한국 대 일본"),
    ("지수는 2,734.56에 마감.", "지수는 이천칠백삼십사쩜오육에 마감."),
    ("5,6월에 3,4명이 2,3일", "오, 유월에 서너명이 이, 삼일"),
    ("월세 1,000/80, 설탕 1작은술", "월세 천, 팔십, 설탕 한작은술"),
    ("좋아요 ^^ #서울 ○○씨", "좋아요 해시태그 서울 땡땡씨"),
    ("서울→부산, 인천: 도시", "서울, 부산, 인천, 도시"),
]
# Latin words stay for the English rules.
BESIDE_LATIN = [
    ("주소는 www.hangang.kr입니다", "주소는 W W W 닷 hangang 닷 K R 입니다"),
    ("kim-1@naver.com으로", "kim 하이픈 일 골뱅이 naver 닷 com 으로"),
    ("https://example.com/about에", "example 닷 com 슬래시 about 에"),
    ("report_v2.pdf를 보내요", "report 언더바 V 이 닷 P D F 를 보내요"),
    ("MP3와 5G와 KF94", "MP three 와 five G와 KF 구십사"),
    ("RTX4090과 GPT-4.5", "RTX 사공구공과 GPT 사쩜오"),
    ("R&D와 USB, Wi-Fi", "R&D와 USB, Wi-Fi"),
    ("X세대와 비타민 C와 B형", "X세대와 비타민 C와 B형"),
]
SIGNS = re.compile(r"[0-9０-９%$¥€£₩@#=+×÷<>≥±℃/:;()\[\]{}~]")


@pytest.mark.parametrize(("written", "read"), WRITTEN_AND_READ)
def test_read_as(written, read):
    assert spell_out(written, "ko").text == read


@pytest.mark.parametrize(("written", "read"), BESIDE_LATIN)
def test_latin_words_are_left(written, read):
    assert spell(written, KINDS).text == read


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "영"), ("7", "칠"), ("10", "십"), ("11", "십일"), ("100", "백"), ("110", "백십"), ("1,000", "천"),
        ("10000", "만"), ("110000", "십일만"), ("1234567", "백이십삼만사천오백육십칠"), ("100000000", "일억"),
        ("100010000", "일억일만"),
        ("1000000000000", "일조"), ("007", "공공칠"), ("0" * 60, "공" * 60), ("1" * 60, "일" * 60),
    ],
)  # fmt: skip
def test_sino_korean_numbers(digits, words):
    assert sino(digits) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(1, "한"), (4, "네"), (20, "스무"), (21, "스물한"), (99, "아흔아홉"), (100, "백"), (101, "백한")],
)
def test_native_numbers(value, words):
    assert native(value) == words


@pytest.mark.parametrize(
    ("text", "dropped"), [("정말 좋아요😊 또 봐요.", "😊"), ("그는 龘 사람", "龘"), ("첫째 ★ 둘째", "★")]
)
def test_what_has_no_reading_is_named(text, dropped):
    (piece,) = TextFrontend().pieces(text, "ko")
    assert piece.notes == (f"Korean: dropped {dropped}",)


def test_an_english_word_inside_a_sentence_makes_no_full_stop():
    (piece,) = TextFrontend().pieces("그는 Yesterday라고 했다", "ko")
    assert [symbol for symbol in piece.symbols if symbol == "."] == ["."]


def test_nothing_but_words_and_marks_is_left():
    rng = random.Random(6)
    parts = [
        *"0123456789.,:/-~+=×÷<>≥±%$¥€£₩@#*_()[]\"'!?… \t℃㎡㎏½Ⅲ①１은가개명월일원시분년서울ㅋ",
        *word_list(
            "10:30 3/4 2023/07/08 1,000 010-1234-5678 www.a.com a@b.co XIV MP3 km (토) 로 이겼다 제 장 세"
        ),
    ]
    for _ in range(600):
        text = "".join(rng.choice(parts) for _ in range(rng.randint(1, 14)))
        assert not SIGNS.search(spell(text, KINDS).text), text


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_each_kind_can_be_left_out(kind):
    for written, _ in [*WRITTEN_AND_READ, *BESIDE_LATIN, ("１２３, ٣٤", "")]:
        assert not [change for change in spell(written, KINDS, {kind}).changes if change.kind == kind]


@pytest.mark.parametrize(
    "unit", ["1", "1,", "1.", "-", "1/", "1:", "~", "가", "(", "$1", "+", "a1", "5/3(토)", "ㅋ", "1개"]
)
def test_time_grows_with_the_text_only(unit):
    text = unit * (10_000 // len(unit))
    start = time.process_time()
    spell(text, KINDS)
    assert time.process_time() - start < MINUTES
