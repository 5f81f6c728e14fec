"""The references that a bundle carries: whose voice it is, ready to speak.

Each is a file of features that the manifest lists with its digests, so it is compared like any other. The first speaks
when none is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sovits_runtime.bundle.shape import Shape, fields, rows, text, that

FOLDER = "voice"
"""Where they lie in a bundle."""
DEFAULT = "default"
"""Name of the one that speaks when none is named, unless it has a name of its own."""
LONGEST_NAME = 64


def is_name(value: str) -> bool:
    """Whether something can be the name of a reference: a word or a few, in any script."""
    return 0 < len(value) <= LONGEST_NAME and value.isprintable() and value == value.strip()


NAME = that(is_name, f"a name of 1 to {LONGEST_NAME} printable characters")


@dataclass(frozen=True, kw_only=True)
class StoredReference:
    """A reference as the manifest describes it; paths begin in the bundle.

    Attributes:
        name: By which it is asked for, such as an emotion.
        file: The features, as `Reference.save` writes them.
        key: Digest of what it was made from; the file holds the same.
        text: What is said in the recording; "" where that was given as phones, or not at all.
        language: Of what is said, a language or mode; "" where that is not known.
        clip: The recording itself, where it was kept.
    """

    name: str
    file: str
    key: str
    text: str = ""
    language: str = ""
    clip: str | None = None

    def to_json(self) -> dict[str, str]:
        """The record as plain values."""
        return {name: value for name, value in vars(self).items() if value is not None}


def stored_references(manifest: Mapping[str, Any]) -> tuple[StoredReference, ...]:
    """Returns the references of a manifest; bundles of earlier releases have none."""
    known = StoredReference.__dataclass_fields__
    return tuple(
        StoredReference(**{name: value for name, value in record.items() if name in known})
        for record in manifest.get("references", ())
    )


def shape(file_name: Shape) -> Shape:
    """The shape of a manifest's list of references; `file_name` is that of a path within the bundle."""
    return rows(
        fields(
            {"name": NAME, "file": file_name, "key": text},
            {"text": text, "language": text, "clip": file_name},
        )
    )


def check_listed(manifest: Mapping[str, Any]) -> None:
    """Sees to it that each reference has a name of its own and files that are compared.

    Raises:
        ValueError: One has not.
    """
    names = set()
    for at, reference in enumerate(stored_references(manifest)):
        if reference.name in names:
            raise ValueError(f"references.{at}.name is that of another one")
        names.add(reference.name)
        for field in ("file", "clip"):
            file = getattr(reference, field)
            if file is not None and file not in manifest["files"]:
                raise ValueError(f"references.{at}.{field} is {file}, which is not among its files")
