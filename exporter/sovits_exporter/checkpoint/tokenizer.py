"""The tokenizer of a BERT folder travels with the graph: the runtime needs it and knows no BERT folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from sovits_runtime.errors import CheckpointError
from sovits_runtime.machine.json_file import LFS_POINTER
from sovits_runtime.speech.bert_features import TOKENIZER_FILES

_NOT_A_TOKENIZER = (LFS_POINTER, b"<")
_START = 64


def check_tokenizer(source: Path) -> None:
    """Looks for the tokenizer in a BERT folder.

    Raises:
        CheckpointError: The folder holds none, or only an empty file or a pointer in its place.
    """
    for name in _present(source):
        start = _start_of(source / name)
        if not start.strip() or start.startswith(_NOT_A_TOKENIZER):
            what = "a Git LFS pointer or a web page" if start.strip() else "empty"
            raise CheckpointError(
                f"{source / name} is {what}, expected a tokenizer; fetch the whole folder of "
                "chinese-roberta-wwm-ext-large"
            )


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copies what there is of `tokenizer.json` and `vocab.txt`.

    Args:
        source: Folder of chinese-roberta-wwm-ext-large.
        target: Folder of the exported graph.

    Raises:
        CheckpointError: The folder holds neither.
    """
    for name in _present(source):
        shutil.copyfile(source / name, target / name)


def _start_of(file: Path) -> bytes:
    with file.open("rb") as f:
        return f.read(_START)


def _present(source: Path) -> list[str]:
    present = [name for name in TOKENIZER_FILES if (source / name).is_file()]
    if not present:
        raise CheckpointError(
            f"{source}: holds neither {' nor '.join(TOKENIZER_FILES)}, without which Chinese text cannot be given "
            "to BERT; fetch the whole folder of chinese-roberta-wwm-ext-large"
        )
    return present


def lacks_tokenizer(source: Path, target: Path) -> bool:
    """Whether an exported graph lies there without the tokenizer, or with another one."""
    names = [name for name in TOKENIZER_FILES if (source / name).is_file()]
    return not names or any(
        not (target / name).is_file() or (target / name).read_bytes() != (source / name).read_bytes()
        for name in names
    )
