"""The references that a bundle carries, read when they are first asked for."""

from __future__ import annotations

import threading

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.manifest import FETCH_AGAIN
from sovits_runtime.errors import BundleError
from sovits_runtime.speech.reference import Reference


class StoredReferences:
    """Reads the references of a bundle by name. Safe to use from several threads.

    Args:
        bundle: The bundle; it need not carry any.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._read: dict[str, Reference] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Their names; the first speaks when none is named."""
        return tuple(reference.name for reference in self._bundle.references)

    def language(self, name: str | None = None) -> str:
        """Language or mode of what the reference says; "" where that is not known.

        Raises:
            BundleError: As `get`.
        """
        return self._bundle.stored_reference(name).language

    def get(self, name: str | None = None) -> Reference:
        """Returns the reference of a name, or the first.

        Raises:
            BundleError: There is none, its file is damaged, or it is not the one that the manifest means.
            ShapeError: It has phones that this version does not know.
        """
        stored = self._bundle.stored_reference(name)
        with self._lock:
            if stored.name not in self._read:
                path = self._bundle.path / stored.file
                reference = Reference.load(path)
                if reference.key != stored.key:
                    raise BundleError(
                        f"{path}: holds the reference {reference.key}, expected {stored.key}, which the manifest "
                        f"names; {FETCH_AGAIN}"
                    )
                reference.check_phones(self._bundle.spec.n_symbols)
                self._read[stored.name] = reference
            return self._read[stored.name]
