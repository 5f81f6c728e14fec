"""Korean words that count things take native numbers; a few do or don't, by what stands around them."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.ko.numbers import native, sino
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list

_ALWAYS: Final = 109
# Counter -> the largest number that is usual in native words; above it Sino-Korean ones are.
_LARGEST: Final = {
    **dict.fromkeys(
        word_list(
            "마리 그루 송이 채 켤레 벌 자루 가지 군데 곳 달 끼 그릇 조각 쌍 줄 방울 모금 접시 봉지 묶음 "
            "다발 척 필 포기 상자"
            " 박스 바구니 갑 바퀴 걸음 발짝 마디 글자 차례 무더기 뭉치 컵 캔 통 톨 알 살 송이 숟가락 "
            "스푼 꼬집 가닥 꾸러미"
            " 움큼 줌 사람 식구 자매 나라 큰술 작은술 뼘 아름 번째 살배기"
        ),
        _ALWAYS,
    ),
    **dict.fromkeys(word_list("개 명 권 잔 병 장 칸 모"), 49),
    **dict.fromkeys(word_list("시간 분 대 건 편 곡 경기 골 판 팀 표 배"), 20),
    "번": 29,
}
_PARTICLES: Final = (
    "이(?!익|상형)|가(?!구|량)|은|는|을|를|의|에|도(?!국)|만|와|과(?!목)|로|으로|까지|부터|씩|쯤|정도|나"
    "|입|예요|였|짜리|째|당|뿐|밖"
    "|마다|보다|처럼|라|인(?!칭)|들|여|남짓|가량|이상|반|더|하고|조차|랑|면|고요|지만|동안|안에|전|후|중(?!학)|내(?!과)"
)
_WORDS: Final = "|".join(sorted(_LARGEST, key=len, reverse=True))
_ENDS: Final = rf"(?=$|[^가-힣]|{_PARTICLES})"
_COUNTED: Final = re.compile(
    rf"(?<![\d.,A-Za-z+/-])(?P<number>[1-9]\d?|10[1-9])(?P<space> ?)(?P<word>{_WORDS}){_ENDS}"
)
_RANGE: Final = re.compile(
    rf"(?<![\d.,A-Za-z+/-])(?P<low>[1-9]\d?)\s?[-~∼〜～–]\s?(?P<number>[1-9]\d?)(?P<space> ?)(?P<word>{_WORDS}){_ENDS}"
)
_FEW: Final = re.compile(
    rf"(?<![\d.,A-Za-z+/-])(?P<low>[1-8]),\s?(?P<number>[2-9])(?P<space> ?)(?P<word>{_WORDS}){_ENDS}"
)
_ABOUT: Final = word_list("한두 두세 서너 네다섯 대여섯 예닐곱 일고여덟 여덟아홉")
_REACH: Final = 10
_PEOPLE: Final = "손님|선생님?|어르신|회원|고객|어른|부모님|여러분|형제|스승|학부모"
_NAMED_BY_NUMBER: Final = re.compile(
    r"\s?(?:버스|출구|문제|문항|국도|고속|도로|지하철|노선|선수|타자|홈|승강장|플랫폼|트랙|채널|게이트|버튼|교향곡|창구"
    r"|테이블|탑승구|방(?!법|문)|답|정답|보기|후보|고객|손님|유전자|염색체|척추|요추|레인|열|칸|좌석|자리"
    r"|마(?!다)|아이언"
    r"|포트|주자|투수|포수|카드|엔진|활주로|부두|항목|유형|참가자|환자|학생|이(?=\s)|입|이다|이야|이에요|인가"
    r"|으로\s?(?:가|오|전화|연락|문의|갈아|나가|나오)|에서\s?(?:내|타|갈))"
)
_BEFORE_NAME: Final = re.compile(
    r"(?:제|기호|문제|버스|등번호|교향곡|채널|보기|선택지|출구|국도|내선|예제|좌석|테이블|트랙)\s?\Z"
)
_MACHINES: Final = re.compile(
    r"(?:차|버스|컴퓨터|노트북|택시|비행기|트럭|자전거|카메라|냉장고|에어컨|피아노|폰|드론|로봇|오토바이"
    r"|모니터|텔레비전|티비"
    r"|TV|프린터|서버|세탁기|헬기|기계|스쿠터|킥보드|헬리콥터|전투기|탱크|앰프|스피커)(?:이|가|은|는|을|를)?\s?\Z"
)
_OF_MACHINES: Final = re.compile(
    r"(?:를|가|는|도|만|씩|와|뿐|밖|정도|[.,!?]|\Z|\s?(?:있|없|샀|팔|빌|구입|보유|판매))"
)
_NUMBERED: Final = re.compile(r"제\s?\Z")


def _is_named(match: Match[str]) -> bool:
    """Whether a number names rather than counts, or is too large for native words."""
    value, word = int(match["number"]), match["word"]
    if value > _LARGEST[word]:
        return True
    before = match.string[max(0, match.start() - _REACH) : match.start()]
    after = match.string[match.end() : match.end() + _REACH]
    if word == "번":
        return bool(_NAMED_BY_NUMBER.match(after) or _BEFORE_NAME.search(before))
    if word == "분":  # a minute, unless people are spoken of
        return not (re.search(rf"(?:{_PEOPLE})\s?\Z", before) or re.match(rf"의?\s?(?:{_PEOPLE})", after))
    if word == "대":  # a generation or a rank, unless machines are spoken of
        return not (_MACHINES.search(before) or (value < 10 and _OF_MACHINES.match(after)))
    return _NUMBERED.search(before) is not None


def _count(match: Match[str]) -> str:
    spaced = match["space"] + match["word"]
    if match["word"] == "번째" and match["number"] == "1":
        return f"첫{spaced}"
    words = sino(match["number"]) if _is_named(match) else native(int(match["number"]))
    return words + spaced


def _count_range(match: Match[str]) -> str:
    spaced = match["space"] + match["word"]
    if _is_named(match):
        return f"{sino(match['low'])}에서 {sino(match['number'])}{spaced}"
    return f"{native(int(match['low']))}{spaced}에서 {native(int(match['number']))}{spaced}"


def _about(match: Match[str]) -> str:
    low, high = int(match["low"]), int(match["number"])
    if high != low + 1 or _is_named(match):
        return match[0]
    return f"{_ABOUT[low - 1]}{match['space']}{match['word']}"


KIND: Final = Kind(
    "counters",
    "native numbers before words that count things: 3마리 is 세마리, 20명 스무명",
    ((_FEW, _about), (_RANGE, _count_range), (_COUNTED, _count)),
)
