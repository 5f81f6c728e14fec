"""Who imports whom: files, and the rooms they lie in. A room is a folder or a file at the top of a package.

Every import counts, also one for types alone or inside a function: where two files need each other, one of them holds
something that belongs elsewhere.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""Of this repository."""

FOLDERS = {
    "sovits_runtime": "runtime",
    "sovits_engines": "engines",
    "sovits_calibration": "calibration",
    "sovits_server": "server",
    "sovits_exporter": "exporter",
}
"""Package -> the folder that holds it."""

ROOMS: dict[str, list[set[str]]] = {
    "sovits_runtime": [
        {"errors"},
        {"machine"},
        {"bundle", "text"},
        {"audio", "gpu"},
        {"drawing", "t2s"},
        {"backends", "speech"},
        {"aio", "doctor", "synthesizer"},
        {"engine"},
        {"bench", "verify"},
        {"tuning"},
    ],
    "sovits_server": [
        {"problems"},
        {"config", "operations", "sound", "words"},
        {"security", "voices"},
        {"core"},
        {"dialects", "page", "wyoming"},
        {"app"},
        {"run"},
    ],
    "sovits_exporter": [
        {"modeling"},
        {"checkpoint", "fetching"},
        {"graphs"},
        {"building"},
        {"demo", "eager", "folders", "packing", "precision"},
        {"debugging"},
        {"cli"},
    ],
}
"""Of three packages, the rooms from the ground up: each imports only rooms below it."""

Graph = Mapping[str, Set[str]]
"""What imports -> what it imports."""


def files_of(package: str, root: Path) -> dict[str, Path]:
    """The files of a package, by the names of their modules.

    Args:
        package: Its name.
        root: Of the repository.
    """
    source = root / FOLDERS[package]
    found = {}
    for path in sorted((source / package).rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    assert found, f"no files of {package} in {source}"
    return found


def imports(path: Path) -> Iterator[str]:
    """Names that a file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(package: str, root: Path) -> dict[str, set[str]]:
    """Module -> modules of its package that it imports; without the package itself, which only hands on names."""
    files = files_of(package, root)
    result = {}
    for name, path in files.items():
        found = set()
        for imported in imports(path):
            while imported and imported not in files:
                imported = imported.rpartition(".")[0]
            found.add(imported)
        result[name] = {n for n in found if n not in ("", name, package)}
    del result[package]
    return result


def rooms_of(graph: Graph) -> dict[str, set[str]]:
    """The same graph between rooms."""
    result: dict[str, set[str]] = {}
    for name, targets in graph.items():
        room = name.split(".")[1]
        result.setdefault(room, set()).update(t.split(".")[1] for t in targets)
        result[room].discard(room)
    return result


def circle_in(graph: Graph) -> list[str]:
    """A circle of the graph, its first node once more at the end; or nothing."""
    done: set[str] = set()

    def walk(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph.get(node, ())):
            if circle := walk(target, [*way, node]):
                return circle
        done.add(node)
        return []

    return next((circle for node in sorted(graph) if (circle := walk(node, []))), [])


def upwards(graph: Graph, floors: list[set[str]]) -> set[tuple[str, str]]:
    """Imports between rooms that lead to the same floor or one above.

    Args:
        graph: Of rooms.
        floors: From the ground up; every room is in one.
    """
    floor_of = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    return {(a, b) for a, targets in graph.items() for b in targets if floor_of[b] >= floor_of[a]}
