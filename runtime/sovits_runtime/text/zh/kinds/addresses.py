"""Addresses, file names and handles: Latin parts stay, what stands between them is said in Chinese."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.written import ADDRESS, E_MAIL, FILE_NAME, HANDLE, AddressWords
from sovits_runtime.text.zh.kinds.patterns import HAN, rule
from sovits_runtime.text.zh.numbers import read_digits

_WORDS: Final = AddressWords(
    {
        ".": "点",
        "/": "斜杠",
        "\\": "反斜杠",
        "@": "艾特",
        "-": "杠",
        "_": "下划线",
        ":": "冒号",
        "?": "问号",
        "=": "等于",
        "&": "和",
        "#": "井号",
        "%": "百分号",
        "+": "加",
        "~": "波浪号",
    },
    dict(zip("0123456789", "零一二三四五六七八九", strict=True)),
)


_LOCAL: Final = re.compile(
    r"https?://[A-Za-z\d.-]{1,100}(?::\d{1,5})?(?:/[A-Za-z\d_./?%&=+#~-]{0,500})?", re.ASCII
)
_PATH: Final = re.compile(
    r"(?<![A-Za-z\d])(?:[A-Za-z]:\\[A-Za-z\d_. -]{1,80}(?:\\[A-Za-z\d_.-]{1,80}){0,20}"
    r"|~?(?:/[A-Za-z_.][A-Za-z\d_.-]{1,60}){2,20}/?)",
    re.ASCII,
)
_UNDERSCORED: Final = re.compile(r"(?<![A-Za-z\d_])[A-Za-z\d]{1,40}(?:_[A-Za-z\d]{1,40}){1,8}(?![A-Za-z\d_])")


def _ip_address(match: Match[str]) -> str:
    spoken = "点".join(map(read_digits, match["address"].split(".")))
    rest = f"斜杠{read_digits(match['mask'])}" if match["mask"] else ""
    return spoken + rest + (f"冒号{read_digits(match['port'])}" if match["port"] else "")


ADDRESSES: Final = Kind(
    "addresses",
    "web and mail addresses, file names and IP addresses, sign by sign: www.example.com, 10.0.0.5",
    (
        *_WORDS.rules(E_MAIL, ADDRESS, _LOCAL, _PATH, FILE_NAME, HANDLE, _UNDERSCORED),
        rule(
            r"(?<![\d.])(?P<address>(?:\d{1,3}\.){3}\d{1,3})(?:/(?P<mask>\d{1,2}))?(?::(?P<port>\d{1,5}))?(?![\d.]*\d)",
            _ip_address,
        ),
        rule(rf"@(?=[{HAN}])", "艾特"),
    ),
)
