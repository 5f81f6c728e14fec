"""Where files lie that a user had fetched: models that voices share, and the data of text front ends.

    pretrained_models/   as in GPT-SoVITS's folder of that name
    text/                open_jtalk_dic_utf_8-1.11/, G2PWModel/, nltk_data/, lid.176.bin

Nothing here fetches anything; the command `sovits-export fetch` does.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

FOLDER_VARIABLE = "SOVITS_EXPORT_DATA"
PRETRAINED, TEXT = "pretrained_models", "text"
_HOMES = {"win32": "LOCALAPPDATA", "darwin": ""}
_USUAL = {"win32": "AppData/Local", "darwin": "Library/Application Support"}


def user_data_folder() -> Path:
    """The folder of what this user had fetched: `$SOVITS_EXPORT_DATA`, or the platform's own place."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    place = os.environ.get(_HOMES.get(sys.platform, "XDG_DATA_HOME"))
    if place:
        base = Path(place)
    else:
        home = own_home()
        base = home / _USUAL.get(sys.platform, ".local/share") if home else Path(tempfile.gettempdir())
    return base / "sovits-export" / ("data" if sys.platform == "win32" else "")  # beside its caches there


def own_home() -> Path | None:
    """This user's; None for a container's user without one, or whose variable names that of another."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if not home.exists() or os.access(home, os.X_OK) else None


def fetched_text(name: str) -> Path:
    """Where a file or folder of the text front ends lies if it was fetched."""
    return user_data_folder() / TEXT / name


def fetched_pretrained() -> Path:
    """Where the models that voices share lie if they were fetched."""
    return user_data_folder() / PRETRAINED
