"""The tokenizer of a BERT folder travels with the graph: the runtime needs it and knows no BERT folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from sovits_runtime.errors import CheckpointError
from sovits_runtime.speech.bert_features import TOKENIZER_FILES


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copies what there is of `tokenizer.json` and `vocab.txt`.

    Args:
        source: Folder of chinese-roberta-wwm-ext-large.
        target: Folder of the exported graph.

    Raises:
        CheckpointError: The folder holds neither.
    """
    present = [name for name in TOKENIZER_FILES if (source / name).is_file()]
    if not present:
        raise CheckpointError(
            f"{source}: holds neither {' nor '.join(TOKENIZER_FILES)}, without which Chinese text cannot be given "
            "to BERT; fetch the whole folder of chinese-roberta-wwm-ext-large"
        )
    for name in present:
        shutil.copyfile(source / name, target / name)


def lacks_tokenizer(source: Path, target: Path) -> bool:
    """Whether an exported graph lies there without the tokenizer, or with another one."""
    names = [name for name in TOKENIZER_FILES if (source / name).is_file()]
    return not names or any(
        not (target / name).is_file() or (target / name).read_bytes() != (source / name).read_bytes()
        for name in names
    )
