"""What goes wrong when something is fetched."""

from sovits_runtime.errors import SovitsError


class FetchError(SovitsError):
    """A file cannot be fetched, or is not the one that was expected."""


class UselessError(Exception):
    """An address does not give the file, so the next one is asked; says why in a few words."""


class BrokenError(Exception):
    """A connection broke off, so it is tried again; says why in a few words.

    Attributes:
        wait_s: How long to wait first; None: as usual.
    """

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s
