"""Counts what the packages are like: rooms, imports between them, circles, and sizes of files and functions.

    python tools/counts.py [DIR]

DIR is a checkout of this repository, as it is or as it was; without it, this one. Two tables are printed, a line a
package. `import_graph` says what a room is and what counts as an import.

Layers are the rooms on the longest chain of imports, a circle counted as one. A circle is a group of files or rooms,
that import each other, directly or not. Upward imports lead to a room on the same floor or above it, by `ROOMS` of
`import_graph`. Where a package has other rooms than those, they are the fewest imports without which no circle is left.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from graphlib import TopologicalSorter
from itertools import combinations
from math import ceil
from pathlib import Path
from statistics import median

from import_graph import FOLDERS, ROOMS, ROOT, Graph, arrows, circle_in, files_of, rooms_of, upwards

ROOM_COLUMNS = ("package", "rooms", "imports", "layers", "circles of rooms", "circles of files", "upward")
SIZE_COLUMNS = ("package", "files", "lines", "file median / p90 / max", "functions", "median / p90 / max")


def reachable(graph: Graph, start: str) -> set[str]:
    """What a node imports, directly or not."""
    found: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph.get(node, ())
    return found


def groups(graph: Graph) -> set[frozenset[str]]:
    """Nodes that import each other, directly or not; a node in no circle is a group of its own."""
    reach = {node: reachable(graph, node) for node in graph}
    return {frozenset({a, *(b for b in reach[a] if a in reach.get(b, ()))}) for a in graph}


def circles(graph: Graph) -> int:
    """Groups of several nodes."""
    return sum(len(group) > 1 for group in groups(graph))


def layers(graph: Graph) -> int:
    """Groups on the longest chain of imports."""
    group_of = {node: group for group in groups(graph) for node in group}
    below = {
        group: {group_of[t] for node in group for t in graph[node]} - {group} for group in group_of.values()
    }
    height: dict[frozenset[str], int] = {}
    for group in TopologicalSorter(below).static_order():
        height[group] = 1 + max((height[b] for b in below[group]), default=0)
    return max(height.values(), default=0)


def fewest_back(graph: Graph) -> int:
    """The fewest imports without which no circle is left."""
    return sum(_fewest_back({a: graph[a] & group for a in group}) for group in groups(graph))


def _fewest_back(group: Graph) -> int:
    edges = [(a, b) for a, targets in group.items() for b in targets]
    for count in range(len(edges)):
        for removed in map(set, combinations(edges, count)):
            left = {a: {b for b in targets if (a, b) not in removed} for a, targets in group.items()}
            if not circle_in(left):
                return count
    return 0


def functions_of(path: Path) -> Iterator[int]:
    """Lines of every function of a file, its decorators aside."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield node.end_lineno - node.lineno + 1


def spread(sizes: Iterable[int]) -> str:
    """Median, 90th percentile and maximum."""
    ordered = sorted(sizes)
    return f"{median(ordered):.0f} / {ordered[ceil(0.9 * len(ordered)) - 1]} / {ordered[-1]}"


def room_row(package: str, root: Path) -> tuple[str, ...]:
    """A line of the table of rooms."""
    files = arrows(package, root)
    rooms = rooms_of(files)
    floors = ROOMS.get(package, [])
    declared = bool(floors) and set(rooms) == set().union(*floors)
    upward = len(upwards(rooms, floors)) if declared else fewest_back(rooms)
    numbers = (
        len(rooms),
        sum(map(len, rooms.values())),
        layers(rooms),
        circles(rooms),
        circles(files),
        upward,
    )
    return (package, *map(str, numbers))


def size_row(package: str, root: Path) -> tuple[str, ...]:
    """A line of the table of sizes."""
    paths = files_of(package, root).values()
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in paths]
    functions = [size for path in paths for size in functions_of(path)]
    return package, str(len(lines)), str(sum(lines)), spread(lines), str(len(functions)), spread(functions)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    cells = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkout", nargs="?", type=Path, default=ROOT, help="without it, this one")
    root = parser.parse_args(arguments).checkout
    print(table(ROOM_COLUMNS, [room_row(package, root) for package in FOLDERS]))
    print()
    print(table(SIZE_COLUMNS, [size_row(package, root) for package in FOLDERS]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
