"""Word lists and tables read from installed packages, without running the packages' code.

- kokorog2p (Apache-2.0) carries PaddleSpeech's tone sandhi and erhua lists as Python literals.
- zh-normalization (Apache-2.0) carries PaddleSpeech's measure word and character lists in the same way.
- jieba (MIT) carries the word dictionary and the hidden Markov model tables.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from types import MappingProxyType
from typing import Any, Final

from sovits_runtime.errors import TextError
from sovits_runtime.text.extras import once, package_file

# PaddleSpeech's list changed after the front end that trained the weights was taken from it.
_ALSO_NEUTRAL: Final = frozenset({"老太", "不在", "情形", "打点", "老头", "学生"})
_NOT_NEUTRAL: Final = frozenset({"戏弄", "将军", "别人"})
_MORE_MEASURE_WORDS: Final = "处台架枚趟幅平方堵间床株批项例列篇栋注亩"
_MORE_UNITS: Final = "公[里引丈尺寸分釐]"


def _literal(package: str, file: str, name: str) -> Any:
    path = package_file(package, *file.split("/"), extra="zh")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Assign):
            continue
        target = node.targets[0]
        assigned = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", None)
        if assigned == name:
            return ast.literal_eval(node.value)
    raise TextError(
        f"{path} holds no list {name!r}: install the release of {package} that sovits-export[zh] asks for"
    )


@once
def neutral_words() -> frozenset[str]:
    """Words whose last syllable is unstressed."""
    words = frozenset(_literal("kokorog2p", "zh/tone_sandhi.py", "must_neural_tone_words"))
    return (words | _ALSO_NEUTRAL) - _NOT_NEUTRAL


@once
def stressed_words() -> frozenset[str]:
    """Words that look as if their last syllable were unstressed, but keep its tone."""
    return frozenset(_literal("kokorog2p", "zh/tone_sandhi.py", "must_not_neural_tone_words"))


@once
def erhua_words() -> frozenset[str]:
    """Words whose 儿 always joins the syllable before it."""
    return frozenset(_literal("kokorog2p", "zh/frontend.py", "must_erhua"))


@once
def plain_er_words() -> frozenset[str]:
    """Words whose 儿 stays a syllable of its own."""
    return frozenset(_literal("kokorog2p", "zh/frontend.py", "not_erhua"))


@once
def measure_word_pattern() -> str:
    """Regular expression, one capturing group, of the words that count things."""
    listed = _literal("zh_normalization", "num.py", "COM_QUANTIFIERS")
    return f"([{_MORE_MEASURE_WORDS}]|{listed.replace('(', '(?:')}|{_MORE_UNITS})"


@once
def simplified_characters() -> Mapping[int, str]:
    """Traditional character (code point) -> simplified one, for `str.translate`."""
    names = ("traditional_characters", "simplified_charcters")
    traditional, simplified = (_literal("zh_normalization", "char_convert.py", name) for name in names)
    return MappingProxyType({ord(old): new for old, new in zip(traditional, simplified, strict=True)})


def jieba_table(file: str) -> Any:
    """Model table `P` of one of jieba's data modules, such as `"posseg/prob_emit.py"`."""
    path = package_file("jieba", *file.split("/"), extra="zh")
    spec = spec_from_file_location(f"_jieba_table_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise TextError(f"{path} cannot be loaded: reinstall jieba 0.42.1")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.P
