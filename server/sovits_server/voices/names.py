"""Names of voices and references: any language, but nothing that a file or an address could take for more."""

from __future__ import annotations

import unicodedata

from sovits_runtime.errors import shown
from sovits_server.problems import BadRequestError

LONGEST_NAME = 64
_FORBIDDEN = set('/\\:*?"<>|')
_RESERVED = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}
"""What Windows takes for devices."""


def folded(name: str) -> str:
    """The name as it is compared: without case, and with letters and their accents in one form."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def check_name(name: object, *, what: str = "name") -> str:
    """Returns a name in the form in which it is kept.

    Args:
        name: As it was given.
        what: What it is the name of, as an error says it.

    Raises:
        BadRequestError: It is empty, too long, or holds what cannot be in the name of a file.
    """
    kept = unicodedata.normalize("NFC", name).strip() if isinstance(name, str) else ""
    bad = [char for char in kept if char in _FORBIDDEN or not (char.isprintable())]
    if not kept or len(kept) > LONGEST_NAME or bad or kept[0] == "." or kept[-1] == ".":
        raise BadRequestError(
            f'{what}: got {shown(name)}, expected 1 to {LONGEST_NAME} characters without / \\ : * ? " < > | and no dot '
            "at either end",
            param=what,
        )
    if folded(kept).partition(".")[0] in _RESERVED:
        raise BadRequestError(
            f"{what}: got {shown(name)}, which Windows keeps for itself; choose another", param=what
        )
    return kept
