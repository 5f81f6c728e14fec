"""G2PW as GPT-SoVITS keeps it, taken over among what is fetched, where the Chinese front end looks for it.

No digests of its single files are published, so what is taken is read as the front end will read it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sovits_exporter.fetching.records import WORK, Records
from sovits_runtime.bundle.file_lock import locked
from sovits_runtime.bundle.files import write_folder
from sovits_runtime.machine.data_folder import PRETRAINED, TEXT
from sovits_runtime.text.g2pw_place import FETCHED_NAME
from sovits_runtime.text.zh.g2pw_folder import CORRECTION_NAMES, MODEL_NAMES, read_g2pw_folder

_TABLES = (
    "POLYPHONIC_CHARS.txt",
    "MONOPHONIC_CHARS.txt",
    "bopomofo_to_pinyin_wo_tune_dict.json",
    "config.py",
)
_TOKENIZERS = ("vocab.txt", "tokenizer.json")
_BERT = "chinese-roberta-wwm-ext-large"
_INSTALLED = Path("GPT_SoVITS", "text", FETCHED_NAME)


def g2pw_in(folder: Path) -> Path | None:
    """The G2PW folder of an installation, or one that is it or holds it."""
    places = (folder / _INSTALLED, folder / "text" / FETCHED_NAME, folder / FETCHED_NAME, folder)
    return next(
        (place for place in places if any((place / name).is_file() for name in MODEL_NAMES)),
        None,
    )


def take_g2pw(source: Path, into: Path) -> Path:
    """Takes a G2PW folder over: by hard links, which take no room, or where that cannot be by a copy.

    Args:
        source: GPT-SoVITS's folder `G2PWModel`; its corrections in the folder `g2pw` beside it are taken too, and the
            tokenizer of BERT, where it has none.
        into: The folder of what is fetched.

    Returns:
        The folder that it is in now.

    Raises:
        TextError: It is no G2PW folder, or a file of it is damaged.
        OSError: The disk is full, or may not be written.
    """
    work = into / WORK
    work.mkdir(parents=True, exist_ok=True)
    with locked(work / "lock"):
        return put_g2pw(source, into)


def put_g2pw(source: Path, into: Path) -> Path:
    """As `take_g2pw`, for who holds the lock of `into`."""
    read_g2pw_folder(source)
    name = f"{TEXT}/{FETCHED_NAME}"
    (into / TEXT).mkdir(parents=True, exist_ok=True)
    with write_folder(into / name) as folder:
        for file in _files(source, into):
            link_or_copy(file, folder / file.name)
    Records(into).add_folder(name)
    return into / name


def link_or_copy(source: Path, target: Path) -> None:
    """Makes a hard link, or a copy where there can be none."""
    real = os.path.realpath(source)
    try:
        os.link(real, target)
    except OSError:  # another disk, or a file system without hard links
        shutil.copyfile(real, target)


def _files(source: Path, into: Path) -> Iterator[Path]:
    own = [source / name for name in (*MODEL_NAMES, *_TABLES, *CORRECTION_NAMES)]
    beside = [source.parent / "g2pw" / name for name in CORRECTION_NAMES if not (source / name).exists()]
    yield from (path for path in (*own, *beside) if path.is_file())
    places = [source, *(around / PRETRAINED / _BERT for around in (source.parent.parent, into))]
    yield from [p / name for p in places for name in _TOKENIZERS if (p / name).is_file()][:1]
