"""Where a G2PW folder of the user's lies; apart from what reads it, so that asking for one does not import Mandarin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from sovits_runtime.machine.data_folder import fetched_text

FOLDER_VARIABLE: Final = "SOVITS_G2PW_DIR"
FETCHED_NAME: Final = "G2PWModel"


def chosen_folder() -> Path | None:
    """The folder that `SOVITS_G2PW_DIR` names, else the one that was fetched or taken over."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else fetched_folder()


def fetched_folder() -> Path | None:
    """The folder `G2PWModel`, where it was fetched."""
    folder = fetched_text(FETCHED_NAME)
    return folder if folder.is_dir() else None
