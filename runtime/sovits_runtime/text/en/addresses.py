"""URLs, e-mail addresses, names of files, handles and hashtags, and names that hold signs, such as C++."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.en.modern import MODERN_WORDS
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list

_ENDINGS: Final = (
    "com|org|net|edu|gov|mil|int|info|biz|name|io|ai|app|dev|co|tv|uk|us|ca|au|nz|de|fr|es|nl|be|ch|se|dk|fi|pl|cz|pt"
    "|ru|ua|jp|cn|kr|hk|tw|sg|br|mx|ar|ie|gr|tr|il|za|eu|ly|gl|xyz|online|site|store|shop|blog|news|cloud|tech"
    "|page|wiki"
    "|live|world|club|gg|fm|cc|museum|example|test|local"
)
_SHY_ENDINGS: Final = "in|is|it|me|to|so|no|at|am|my|as|do|be|us|or|he|go"
_FILES: Final = (
    "pdf|txt|docx?|xlsx?|pptx?|odt|ods|rtf|csv|tsv|json|ya?ml|toml|xml|jpe?g|png|gif|svg|bmp|webp|tiff?|heic"
    "|ico|mp[34]"
    "|wav|flac|ogg|opus|m4a|avi|mov|mkv|webm|zip|tar|gz|bz2|7z|rar|exe|dll|so|apk|msi|dmg|py|ipynb|js|jsx|ts"
    "|tsx|html?"
    "|css|scss|md|rst|tex|bib|c|h|cpp|hpp|cc|cu|rs|go|java|rb|php|pl|sh|bat|ps1|sql|db|onnx|ckpt|pth|pt|npz|npy"
    "|bin|iso"
    "|log|ini|cfg|conf|env|lock|psd|ttf|epub|srt|vtt|torrent|bak|tmp|dat"
)
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?"
_TAIL: Final = r"(?::\d{2,5}\b)?(?:/[\w./?%&=+#~:@!$,;*-]*[\w/=+-])?/?(?:\?[\w.%&=+~:-]*[\w=])?(?:#[\w-]+)?"
_URL: Final = re.compile(
    rf"(?<![\w@.-])(?:(?:[Hh]ttps?|HTTPS?|ftp|ws|wss)://(?:{_LABEL})(?:\.{_LABEL}){{0,8}}{_TAIL}"
    rf"|[Ww]{{3}}\.{_LABEL}(?:\.{_LABEL}){{1,8}}{_TAIL})",
    re.ASCII,
)
_MAIL: Final = re.compile(
    rf"(?<![\w.+%-])(?:mailto:)?([A-Za-z0-9_][\w.+%-]{{0,63}}@{_LABEL}(?:\.{_LABEL}){{0,6}}\.[A-Za-z]{{2,24}})(?![\w@])",
    re.ASCII,
)
_DOMAIN: Final = re.compile(
    rf"(?<![\w@.-])(?:(?:{_LABEL}\.){{1,6}}(?:{_ENDINGS})(?![\w@-])(?!\.\w)"
    rf"|(?:{_LABEL}\.){{1,6}}(?:{_SHY_ENDINGS})(?=/\w)){_TAIL}",
    re.ASCII,
)
_FILE: Final = re.compile(
    rf"(?<![\w.@-])(?:[A-Za-z]:)?(?:[\w.~$-]{{0,60}}[\\/]){{0,8}}[\w-]{{1,60}}(?:\.[\w-]{{1,30}}){{0,4}}\.(?:{_FILES})"
    r"(?![\w@-])(?!\.\w)",
    re.ASCII | re.IGNORECASE,
)
_PATH: Final = re.compile(
    r"(?<![\w./~<-])(?:[A-Za-z]:\\(?:[\w.-]{1,40}\\?){0,9}|~?(?:/[\w.-]{1,40}){2,9}/?(?=[\s,;:.!?)]|$))",
    re.ASCII,
)
_ENDING_ALONE: Final = re.compile(
    rf"(?<![\w.])\.({_FILES}|com|org|net|edu|gov|io|ai|dev|app)(?![\w.-]\w)(?!\w)"
)
_DOTTED_NAME: Final = re.compile(
    r"(?<![\w.])(Node|Vue|Next|React|Three|D3|Express|Nuxt|ASP|Socket)\.(js|NET|io)\b"
)
_HANDLE: Final = re.compile(r"(?<![\w@.])@([A-Za-z_]\w{0,30}(?:[.-]\w{1,30}){0,3})", re.ASCII)
_HASHTAG: Final = re.compile(r"(?<![\w#&/])#(?=[A-Za-z_])(\w{1,60})", re.ASCII)
_IPV4: Final = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{2,5}\b|/\d{1,2}\b)?(?![\w]|\.\d)")
_SIGN_NAMES: Final = {
    ".": "dot", "@": "at", "/": "slash", "\\": "backslash", "-": "dash", "_": "underscore", ":": "colon",
    "?": "question mark", "=": "equals", "&": "and", "%": "percent", "#": "hash", "+": "plus", "~": "tilde",
    "!": "exclamation mark", "$": "dollar", ",": "comma", ";": "semicolon", "*": "star",
}  # fmt: skip
_SPELLED: Final = frozenset(
    word_list(
        "www http https ftp html htm xml css csv tsv pdf txt doc docx xls xlsx ppt pptx odt ods rtf png jpg svg"
        " bmp ico"
        " avi mkv mp wav tsx jsx js ts py md rst sh exe dll apk msi dmg cpp hpp cu rs php sql db npz npy pth"
        " ckpt pt cfg"
        " psd ttf srt vtt gz bz rar so uk us de fr es nl be ch se dk fi pl cz jp cn kr hk tw sg br mx ar ie gr"
        " tr il za"
        " eu io ai tv au nz ca ru ua ly gl gg fm cc id xyz edu api faq url usb usr cd dvd tv pc ps"
    )
)
_SPELLED_ANYWHERE: Final = frozenset(
    word_list("www http https ftp usr api url html xml css csv pdf faq id ip usb cd dvd tv pc ps uk eu")
)
_KEPT_SHORT: Final = frozenset(
    word_list("me go my in on to we be he it is at up no by of or am an as do hi if so")
)
_SAID: Final = {
    "jpg": "J P G", "webp": "web P", "yml": "Y M L", "ipynb": "I P Y N B", "epub": "E pub", "localhost": "local host",
    "ini": "I N I", "heic": "H E I C",
}  # fmt: skip
_PARTS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^A-Za-z\d]")


def _word(word: str, before: str) -> str:
    lower = word.lower()
    if lower in _SAID or lower in MODERN_WORDS:
        return _SAID.get(lower, lower)
    if len(word) == 1 or lower in _SPELLED_ANYWHERE or (lower in _SPELLED and before == "."):
        return say.letters(word)
    if len(lower) <= 4 and not re.search("[aeiouy]", lower):
        return say.letters(word)
    return word if word != word.upper() else (lower if len(word) > 3 else say.letters(word))


def _digits(digits: str) -> str:
    return (
        say.number(digits)
        if len(digits) <= 2
        else say.in_pairs(digits)
        if len(digits) == 4
        else say.one_by_one(digits)
    )


def spoken(address: str) -> str:
    """An address in words.

    Args:
        address: Letters, digits and signs without spaces.
    """
    words: list[str] = []
    before = ""
    for part in _PARTS.findall(address):
        if part[0].isdigit():
            words.append(_digits(part))
        elif part[0].isalpha():
            words.append(_word(part, before))
        else:
            words.append(_SIGN_NAMES.get(part, " "))
        before = part
    return " ".join(" ".join(words).split())


def _url(match: Match[str]) -> str:
    address = re.sub(r"^(?:https?|ftp|wss?)://", "", match[0], flags=re.IGNORECASE)
    trimmed = address.rstrip(".,;:!?/")
    return spoken(trimmed) + address[len(trimmed) :].replace("/", "")


def _mail(match: Match[str]) -> str:
    return spoken(match[1])


def _file(match: Match[str]) -> str:
    name, _, ending = match[0].rpartition(".")
    if not name.strip("\\/"):
        return match[0]
    if len(ending) == 1 and (len(name) == 1 or ending.isupper()):
        return match[0]
    if len(ending) <= 2 and ending.lower() in _KEPT_SHORT and not ("/" in name or "\\" in name):
        return match[0]
    if ending != ending.lower() and ending != ending.upper():
        return match[0]
    return spoken(f"{name}.{ending.lower()}")


def _path(match: Match[str]) -> str:
    if re.fullmatch(r"(?:/[\d.]+)+/?", match[0]):
        return match[0]
    return spoken(match[0].rstrip("\\/") if len(match[0]) > 3 else match[0])


def _ip(match: Match[str]) -> str:
    parts = re.findall(r"\d+|\D", match[0])
    names = {".": "dot", ":": "port", "/": "slash"}
    return " ".join(names.get(part) or say.number(part) for part in parts)


def _hashtag(match: Match[str]) -> str:
    if re.match(r"[A-Z]{1,3}-?\d", match.string[match.start(1) : match.start(1) + 5]):
        return f"number {match[1]}"
    return f"hashtag {spoken(match[1])}"


KINDS: Final = (
    Kind(
        "addresses",
        "web and e-mail addresses, files, paths, handles and hashtags are read with their signs",
        (
            (re.compile(r"\bC\+\+"), "C plus plus"),
            (re.compile(r"(?<![A-Za-z])([CFJ])#(?!\w)"), r"\1 sharp"),
            (re.compile(r"(?<![\w.])\.NET\b"), "dot net"),
            (_MAIL, _mail),
            (_URL, _url),
            (_DOMAIN, _url),
            (_DOTTED_NAME, lambda match: spoken(match[0])),
            (_FILE, _file),
            (_PATH, _path),
            (_ENDING_ALONE, lambda match: spoken(match[0])),
            (_IPV4, _ip),
            (_HANDLE, lambda match: f"at {spoken(match[1])}"),
            (_HASHTAG, _hashtag),
        ),
    ),
)
