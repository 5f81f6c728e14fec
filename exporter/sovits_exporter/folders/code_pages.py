"""In which code page the names of an archive are, where it does not say: GBK in China, elsewhere Windows' own there.

All names of an archive are judged together, since one name alone is often good in several. A name that was read in the
wrong page would be taken for a transcript.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GBK, _JAPAN, _TAIWAN = "cp936", "cp932", "cp950"
_KANA, _HALF_KANA = range(0x3040, 0x3100), range(0xFF61, 0xFFA0)
_LAST_COMMON = 0xC6
"""Lead byte of the last common characters in Big5; rarer ones follow."""
_ODD_SHARE = 0.5


def code_page(names: Iterable[bytes]) -> str:
    """The code page of an archive's names, as Python calls it.

    Args:
        names: As they are stored, those that are ASCII or UTF-8 among them.
    """
    told = [name for name in names if not _is_good(name, "utf-8")]
    if _is_japanese(told):
        return _JAPAN
    return _TAIWAN if _is_big5(told) else GBK


def decoded(name: bytes, page: str) -> str | None:
    """A name as text, of UTF-8 or else the code page; None where it is neither."""
    return next((name.decode(encoding) for encoding in ("utf-8", page) if _is_good(name, encoding)), None)


def _is_good(name: bytes, encoding: str) -> bool:
    try:
        name.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_japanese(names: Sequence[bytes]) -> bool:
    """Read so, there is kana; bytes of GBK would be kana of half the width."""
    if not names or not all(_is_good(name, _JAPAN) for name in names):
        return False
    codes = {ord(char) for name in names for char in name.decode(_JAPAN)}
    return any(code in _KANA for code in codes) and not any(code in _HALF_KANA for code in codes)


def _is_big5(names: Sequence[bytes]) -> bool:
    """Read so, all characters are common; as GBK they cannot be read, or most are not written in China."""
    if not names or not all(_is_good(name, _TAIWAN) for name in names):
        return False
    common = all(
        char.encode(_TAIWAN)[0] <= _LAST_COMMON
        for name in names
        for char in name.decode(_TAIWAN)
        if ord(char) > 127
    )
    if not all(_is_good(name, GBK) for name in names):
        return common
    as_gbk = [char for name in names for char in name.decode(GBK) if ord(char) > 127]
    odd = [char for char in as_gbk if not _is_written_in_china(char)]
    return common and len(odd) > _ODD_SHARE * len(as_gbk)


def _is_written_in_china(char: str) -> bool:
    try:
        char.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True
