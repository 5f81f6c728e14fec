"""Part-of-speech tags, which choose between two readings of words such as "read" or "record".

The tagger is nltk's averaged perceptron; its data (a few MB) is the user's to fetch once. Both layouts are read: the
folder or zip of JSON files of nltk 3.9 and later, and the older pickle, of which nothing but plain containers is
accepted. Without the data a look at the neighbouring words has to do.

Source: nltk (Apache-2.0), tag/perceptron.py, PerceptronTagger.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sovits_runtime.errors import TextError
from sovits_runtime.text.en.data import nltk_folders
from sovits_runtime.text.extras import once

_JSON_NAME: Final = "averaged_perceptron_tagger_eng"
_PICKLE_NAME: Final = "averaged_perceptron_tagger"
_Model = tuple[Mapping[str, Mapping[str, float]], Mapping[str, str], Sequence[str]]


class Tagger:
    """Averaged perceptron over the words around and the two tags before.

    Args:
        weights: Feature -> tag -> weight.
        fixed: Words with one tag only.
        classes: All tags.
    """

    def __init__(
        self, weights: Mapping[str, Mapping[str, float]], fixed: Mapping[str, str], classes: Sequence[str]
    ) -> None:
        self._weights, self._fixed, self._classes = weights, fixed, sorted(classes)

    def tag(self, words: Sequence[str]) -> list[str]:
        """Tags of the words of one text.

        Args:
            words: Tokens in their original case.
        """
        shapes = ["-START-", "-START2-", *map(_shape, words), "-END-", "-END2-"]
        before, before2 = "-START-", "-START2-"
        tags: list[str] = []
        for index, word in enumerate(words):
            tag = self._fixed.get(word) or self._best(_features(shapes, index + 2, word, (before, before2)))
            tags.append(tag)
            before, before2 = tag, before
        return tags

    def _best(self, features: Sequence[str]) -> str:
        scores = dict.fromkeys(self._classes, 0.0)
        for feature in features:
            for tag, weight in self._weights.get(feature, {}).items():
                scores[tag] += weight
        return max(self._classes, key=lambda tag: (scores[tag], tag))


def _shape(word: str) -> str:
    if "-" in word and word[0] != "-":
        return "!HYPHEN"
    if word.isdigit() and len(word) == 4:
        return "!YEAR"
    return "!DIGITS" if word[:1].isdigit() else word.lower()


def _features(shapes: Sequence[str], index: int, word: str, tags: tuple[str, str]) -> list[str]:
    before, before2 = tags
    left, left2, right, right2 = (shapes[index + step] for step in (-1, -2, 1, 2))
    return [
        "bias",
        f"i suffix {word[-3:]}",
        f"i pref1 {word[:1]}",
        f"i-1 tag {before}",
        f"i-2 tag {before2}",
        f"i tag+i-2 tag {before} {before2}",
        f"i word {shapes[index]}",
        f"i-1 tag+i word {before} {shapes[index]}",
        f"i-1 word {left}",
        f"i-1 suffix {left[-3:]}",
        f"i-2 word {left2}",
        f"i+1 word {right}",
        f"i+1 suffix {right[-3:]}",
        f"i+2 word {right2}",
    ]


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("__builtin__", "set"), ("builtins", "set")}:
            return set
        raise TextError(f"the nltk tagger pickle asks for {module}.{name}; only plain containers are read")


def _model_from_json(read: Mapping[str, bytes]) -> _Model:
    weights, fixed, classes = (
        json.loads(read[f"{_JSON_NAME}.{part}.json"]) for part in ("weights", "tagdict", "classes")
    )
    return weights, fixed, classes


def _model_from_pickle(content: bytes) -> _Model:
    weights, fixed, classes = _PlainUnpickler(io.BytesIO(content), encoding="latin-1").load()
    return weights, fixed, sorted(classes)


def _contents(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        return {
            file.name: file.read_bytes() for file in path.iterdir() if file.suffix in {".json", ".pickle"}
        }
    with zipfile.ZipFile(path) as archive:
        return {Path(name).name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def find_tagger_data() -> Path | None:
    """Folder or zip with the tagger's data, or None: `taggers/averaged_perceptron_tagger_eng` in nltk's folders."""
    for folder in nltk_folders():
        for name in (_JSON_NAME, f"{_JSON_NAME}.zip", _PICKLE_NAME, f"{_PICKLE_NAME}.zip"):
            path = folder / "taggers" / name
            if path.exists():
                return path
    return None


def load_tagger(path: Path) -> Tagger:
    """Read a tagger.

    Args:
        path: Folder or zip, as `find_tagger_data` gives it.

    Raises:
        TextError: The files are damaged, or a pickle holds more than plain containers.
    """
    try:
        files = _contents(path)
        pickled = files.get(f"{_PICKLE_NAME}.pickle")
        return Tagger(*(_model_from_json(files) if pickled is None else _model_from_pickle(pickled)))
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        if isinstance(error, TextError):
            raise
        raise TextError(
            f"nltk tagger data at {str(path)!r} cannot be read ({error}): fetch it anew"
        ) from error


@once
def installed_tagger() -> Tagger | None:
    """The tagger of nltk's data folders, or None."""
    path = find_tagger_data()
    return None if path is None else load_tagger(path)
