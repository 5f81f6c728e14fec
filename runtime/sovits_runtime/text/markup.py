"""Markdown and HTML that was left in a text: what is said of it, without its signs."""

from __future__ import annotations

import html
import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list

_TAG: Final = re.compile(
    r"</?(?P<name>[A-Za-z][A-Za-z0-9]{0,15})(?:\s[^<>]{0,500})?/?>|<!--.{0,2000}?-->", re.DOTALL
)
_BREAKING_TAGS: Final = frozenset(word_list("br p div li tr h1 h2 h3 h4 h5 h6 hr ul ol table blockquote"))
_ENTITY: Final = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")
_TABLE_ROW: Final = re.compile(r"(?m)^[ \t]*\|(?P<cells>.+)\|[ \t]*$")


def _tag(match: Match[str]) -> str:
    name = (match["name"] or "").lower()
    return "\n" if name in _BREAKING_TAGS else ""


def _entity(match: Match[str]) -> str:
    return html.unescape(match[0]).replace("\xa0", " ")


def _row(match: Match[str]) -> str:
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", match["cells"])]
    return "; ".join(cell for cell in cells if cell)


KINDS: Final = (
    Kind(
        "markup",
        "Markdown and HTML: signs are dropped, links are read by their text, table cells become a list",
        (
            (_TAG, _tag),
            (_ENTITY, _entity),
            (re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"), ""),
            (re.compile(r"(?m)^[ \t]*\|?(?:[ \t]*:?-{2,}:?[ \t]*\|)+(?:[ \t]*:?-{2,}:?)?[ \t]*$"), ""),
            (_TABLE_ROW, _row),
            (re.compile(r"(?m)^[ \t]*(?:[-=*_#~+·•—─━═＝*＊][ \t]*){3,}$"), ""),
            (re.compile(r"(?m)^[ \t]*(?:```|~~~)[ \t]*[\w+.-]*[ \t]*$"), ""),
            (re.compile(r"(?m)^(?:[ \t]*>)+[ \t]?"), ""),
            (re.compile(r"(?m)^[ \t]*#{1,6}[ \t]+(?P<head>[^\n]*?)[ \t]*#*[ \t]*$"), r"\g<head>"),
            (re.compile(r"(?m)^[ \t]*[-*+•‣▪●○◦・]{1,2}[ \t]+(?:\[[ xX]\][ \t]+)?(?=\S)"), ""),
            (re.compile(r"!\[([^\[\]\n]{0,300})\]\([^()\s]{0,2000}(?:\s+\"[^\"\n]{0,300}\")?\)"), r"\1"),
            (re.compile(r"\[([^\[\]\n]{1,300})\]\([^()\s]{0,2000}(?:\s+\"[^\"\n]{0,300}\")?\)"), r"\1"),
            (re.compile(r"\[([^\[\]\n]{1,300})\]\[[^\[\]\n]{0,100}\]"), r"\1"),
            (re.compile(r"\[\^[\w-]{1,30}\]"), ""),
            (re.compile(r"`{1,3}([^`\n]{1,500})`{1,3}"), r"\1"),
            (re.compile(r"(?<![\w*])\*{1,3}(?=[^\s*])([^*\n]{0,500}?[^\s*])\*{1,3}(?![\w*])"), r"\1"),
            (re.compile(r"\*\*(?=[^\s*])([^*\n]{0,500}?[^\s*])\*\*"), r"\1"),
            (re.compile(r"(?<!\w)_{1,3}(?=[^\s_])([^_\n]{0,500}?[^\s_])_{1,3}(?!\w)"), r"\1"),
            (re.compile(r"__(?=[^\s_])([^_\n]{0,500}?[^\s_])__"), r"\1"),
            (re.compile(r"~~(?=[^\s~])([^~\n]{0,500}?[^\s~])~~"), r"\1"),
            (
                re.compile(
                    r"\*{2,3}|(?<![\w*])\*(?=[^\W\d])|(?<=[^\W\d_])\*(?![\w*])|(?<=[.!?。！？])\*(?!\S)"
                ),
                "",
            ),
            (re.compile(r"\\([\\`*_{}\[\]()#+.!|>~-])"), r"\1"),
        ),
    ),
)
