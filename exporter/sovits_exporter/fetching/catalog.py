"""What may be fetched: `catalog.json` has each file with its pinned revision, size and sha256."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote

from sovits_exporter.fetching.errors import FetchError

CATALOG = Path(__file__).with_name("catalog.json")
EndpointKind = Literal["hub", "modelscope"]


@dataclass(frozen=True)
class Endpoint:
    """A server that has the repositories.

    Attributes:
        name: As messages call it.
        kind: How its addresses are made: "hub" as Hugging Face's, or "modelscope".
        url: Where they begin.
    """

    name: str
    kind: EndpointKind
    url: str


@dataclass(frozen=True)
class Repository:
    """Where files lie on hubs.

    Attributes:
        hub: Name at Hugging Face and its mirrors.
        revision: The commit there; "main" where none is known.
        modelscope: Name at ModelScope.
    """

    hub: str
    revision: str
    modelscope: str

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit."""
        return self.revision != "main"


@dataclass(frozen=True)
class Item:
    """A file that may be fetched.

    Attributes:
        part: The part that it belongs to.
        path: Where it lies within the folder of what was fetched.
        hub_path: Where it lies in its repository.
        repository: The repository; None: it has addresses of its own.
        urls: Those.
        bytes: Its size, where that is known.
        about_bytes: About its size.
        sha256: Its digest; empty: none is published, so it is recorded at the first fetch.
    """

    part: str
    path: str
    hub_path: str
    repository: Repository | None
    urls: tuple[str, ...]
    bytes: int | None
    about_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(self.path).name

    def addresses(self, endpoints: Sequence[Endpoint]) -> list[tuple[str, str]]:
        """Who has it, and where, in the order in which they are asked."""
        if self.repository is None:
            return [(url.split("/")[2], url) for url in self.urls]
        return [(endpoint.name, self._address(endpoint, self.repository)) for endpoint in endpoints]

    def _address(self, endpoint: Endpoint, repository: Repository) -> str:
        path = quote(self.hub_path)
        if endpoint.kind == "modelscope":
            return f"{endpoint.url}/models/{repository.modelscope}/resolve/master/{path}"
        return f"{endpoint.url}/{repository.hub}/resolve/{repository.revision}/{path}"


@dataclass(frozen=True)
class Part:
    """Files that are of use together.

    Attributes:
        name: As it is asked for.
        what: What it is, in a few words.
        licence: And whose.
        items: Its files.
        unpacks_to: Folder that the first file, an archive, is unpacked to, and that holds the others; or empty.
        unpacked_bytes: About how large that is.
    """

    name: str
    what: str
    licence: str
    items: tuple[Item, ...]
    unpacks_to: str
    unpacked_bytes: int

    @property
    def about_bytes(self) -> int:
        """About the size of what is fetched for it."""
        return sum(item.about_bytes for item in self.items)


@dataclass(frozen=True)
class Catalog:
    """All that may be fetched.

    Attributes:
        endpoints: Servers, in the order in which they are asked.
        parts: By name.
        sets: Names of several parts, such as those that a build of a version needs.
        voices: Version -> parts that are its pretrained voice.
    """

    endpoints: tuple[Endpoint, ...]
    parts: Mapping[str, Part]
    sets: Mapping[str, tuple[str, ...]]
    voices: Mapping[str, tuple[str, ...]]

    def knows(self, name: str) -> bool:
        """Whether something has this name, in any case of letters."""
        return name.lower() in {known.lower() for known in (*self.sets, *self.parts)}

    def chosen(self, names: Sequence[str], *, voice: bool = False) -> tuple[Part, ...]:
        """The parts of some names, each once.

        Args:
            names: Of sets and parts, in any case of letters.
            voice: With the pretrained voices of the versions among them.

        Raises:
            FetchError: Names what there is instead.
        """
        known = {name.lower(): name for name in (*self.sets, *self.parts)}
        found: dict[str, Part] = {}
        for asked in names:
            if asked.lower() not in known:
                raise FetchError(
                    f"{asked!r}: nothing has this name; expected one of {', '.join(self.sets)}, or a part of those "
                    f"({', '.join(self.parts)}), or the path of a voice pack"
                )
            name = known[asked.lower()]
            more = self.voices.get(name, ()) if voice else ()
            for part in (*self.sets.get(name, (name,)), *more):
                found[part] = self.parts[part]
        return tuple(found.values())


@lru_cache
def catalog() -> Catalog:
    """Reads `catalog.json`."""
    value = json.loads(CATALOG.read_text(encoding="utf-8"))
    repositories = {name: Repository(**entry) for name, entry in value["repositories"].items()}
    return Catalog(
        endpoints=tuple(Endpoint(**entry) for entry in value["endpoints"]),
        parts={name: _part(name, entry, repositories) for name, entry in value["parts"].items()},
        sets={name: tuple(parts) for name, parts in value["sets"].items()},
        voices={name: tuple(parts) for name, parts in value["voices"].items()},
    )


def _part(name: str, entry: Mapping[str, Any], repositories: Mapping[str, Repository]) -> Part:
    items = []
    for file in entry["files"]:
        repository = file.get("repository", entry.get("repository"))
        size = file.get("bytes")
        items.append(
            Item(
                part=name,
                path=f"{entry['into']}/{file['path']}",
                hub_path=file.get("hub_path", file["path"]),
                repository=None if "urls" in file else repositories[repository],
                urls=tuple(file.get("urls", ())),
                bytes=size,
                about_bytes=file["about_bytes"] if size is None else size,
                sha256=file.get("sha256", ""),
            )
        )
    folder = entry.get("unpacks_to", "")
    return Part(
        name=name,
        what=entry["what"],
        licence=entry["licence"],
        items=tuple(items),
        unpacks_to=f"{entry['into']}/{folder}" if folder else "",
        unpacked_bytes=entry.get("unpacked_bytes", 0),
    )
