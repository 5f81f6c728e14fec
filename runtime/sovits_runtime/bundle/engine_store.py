"""Engines on disk: each plan has a record of what it was built from, which is checked before the plan is loaded.

A plan `engines/<target>/NAME-<key>.plan` counts only with its record `NAME-<key>.json`, which is written last. Engines
of parts that voices share lie beside those, in `<shared>/engines/<part>/<target>/`, so that voices share them too.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import FileRecord, difference, key_of
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.manifest import SPEC
from sovits_runtime.bundle.shape import each, fields, number, rows, switch, text, whole
from sovits_runtime.errors import BackendError, SovitsError
from sovits_runtime.machine.json_file import open_regular, read_json

ENGINES = "engines"
KEY_CHARACTERS = 12
PORTABILITY = ("flavour", "version", "cuda", "platform", "capability", "device")
"""Ingredients of a key without which a plan does not run."""
FORM = 5
"""Of the copies of graphs that engines are made of. Part of every engine's key: count it up when a copy changes."""
ROWS = "-rows"
"""What the name of a step has that is for a batch of rows: `gpt_step-rows-512`."""
_DAMAGED = "build the engine again"
_MOST = 1 << 50
_FIELDS = ("name", "graph", "cache_size", "bytes", "sha256", "sampled")
_SHAPE = fields(
    {
        **dict.fromkeys(("name", "graph", "sampled", "sha256"), text),
        **dict.fromkeys(("cache_size", "bytes"), whole(_MOST)),
        "ingredients": fields(
            {
                **dict.fromkeys(("flavour", "version", "platform", "capability", "device"), text),
                "cuda": whole(_MOST),
                "flags": rows(text),
            }
        ),
        "spec": SPEC,
        "built": fields(
            {},
            {
                "layers": each(each(number)),
                "seconds": number,
                **dict.fromkeys(("at", "weights", "refitted_from"), text),
                "fused_attention_refused": switch,
            },
        ),
    }
)


@dataclass(frozen=True)
class EngineTarget:
    """What a plan runs on.

    Attributes:
        flavour: `rtx` or `trt`.
        version: TensorRT's version, all four parts.
        cuda: Major version of CUDA; 0 when not known.
        capability: Compute capability, major and minor.
        device: Name of the GPU that the plan is tied to; empty where it runs on all of the capability.
        platform: System and processor.
    """

    flavour: str
    version: str
    cuda: int
    capability: tuple[int, int]
    device: str = ""
    platform: str = f"{platform.system().lower()}-{platform.machine().lower()}"

    @property
    def sm(self) -> str:
        """Such as `sm89`."""
        return f"sm{self.capability[0]}{self.capability[1]}"

    @property
    def folder(self) -> str:
        """Such as `sm89-rtx1.7-cu12`."""
        return f"{self.sm}-{self.flavour}{'.'.join(self.version.split('.')[:2])}-cu{self.cuda or ''}"

    def key_fields(self) -> dict[str, Any]:
        """Its part of an engine's key."""
        return {
            "flavour": self.flavour,
            "version": self.version,
            "cuda": self.cuda,
            "platform": self.platform,
            "capability": self.sm,
            "device": self.device,
        }


@dataclass(frozen=True)
class EngineRecord:
    """One engine on disk.

    Attributes:
        name: The graph's name; for the decode step, with the cache length: `gpt_step-512`; `gpt_step-rows-512` for
            a batch of rows.
        graph: The bundle's graph it was made of.
        cache_size: Positions in the caches it updates in place; 0 when it has none.
        plan: The plan's file.
        bytes: Size of the plan.
        sha256: Of the plan.
        sampled: Digest of samples of the plan.
        key_fields: What it was built from and for; their digest is the key.
        spec: Inputs and outputs of the engine: those of the graph, except for fixed sizes and the caches.
        built: When, how long it took, which precision its layers have, what was done to the graph.
    """

    name: str
    graph: str
    cache_size: int
    plan: Path
    bytes: int
    sha256: str
    sampled: str
    key_fields: Mapping[str, Any]
    spec: GraphSpec
    built: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The record's file, as data."""
        spec, key_fields = self.spec.to_json(), dict(self.key_fields)
        plain = {field: getattr(self, field) for field in _FIELDS}
        return {**plain, "ingredients": key_fields, "spec": spec, "built": dict(self.built)}

    def problem(self, *, whole: bool = False) -> str:
        """Says whether the plan is missing or damaged; empty when it is not. Reads samples, or all of it."""
        problem = FileRecord(self.bytes, self.sampled, self.sha256).problem(self.plan, whole=whole)
        return problem and f"its plan {problem}"


def engine_key(key_fields: Mapping[str, Any]) -> str:
    """The key of an engine: a digest of everything it depends on."""
    return key_of(key_fields, KEY_CHARACTERS)


def engine_folder(bundle: Bundle, graph: str) -> Path:
    """Where engines of a graph lie, one folder a target."""
    if bundle.manifest["graphs"][graph]["shared"] is None:
        return bundle.path / ENGINES
    part = bundle.graph_path(graph).parent
    return part.parent / ENGINES / part.name


def read_record(path: Path) -> EngineRecord:
    """Reads one record.

    Raises:
        BackendError: The file is damaged.
    """
    value = read_json(path, what="an engine record", error=BackendError, remedy=_DAMAGED)
    try:
        _SHAPE(value, "")
        spec, key_fields = GraphSpec.from_json(value.pop("spec")), value.pop("ingredients")
        known = {field: value[field] for field in _FIELDS}
        plan, built = path.with_suffix(".plan"), value["built"]
        record = EngineRecord(**known, key_fields=key_fields, spec=spec, plan=plan, built=built)
        name = f"{record.name}-{engine_key(record.key_fields)}"
    except (ValueError, RecursionError, SovitsError) as error:
        raise BackendError(f"{path}: not an engine record ({error}); {_DAMAGED}") from error
    if path.stem != name:
        raise BackendError(
            f"{path}: an engine record changed by hand, it is that of {name}; build the engine again"
        )
    return record


def engine_records(bundle: Bundle, graph: str | None = None) -> Iterator[Path]:
    """Lists the record files of a bundle's engines, or of those of one graph."""
    names = bundle.graph_names if graph is None else (graph,)
    paths: set[Path] = set()
    for folder in dict.fromkeys(engine_folder(bundle, name) for name in names):
        paths.update(folder.glob("*/*.json"))
    yield from sorted(paths)


def engine_names(bundle: Bundle, graph: str) -> list[str]:
    """Lists the engines of a graph that were ever built, for whatever target."""
    names = {_engine_name(path) for path in engine_records(bundle, graph)}
    return sorted(name for name in names if _graph_name(name) == graph)


def fitting_engines(bundle: Bundle, name: str, target: EngineTarget) -> tuple[list[EngineRecord], str]:
    """Lists the engines of one name for a bundle's graph as it is now.

    Args:
        name: The engine's name, `gpt_step-512` or a graph's name.
        target: What they have to run on.

    Returns:
        The engines, and how another one differs.
    """
    graph = graph_of(bundle, name)
    expected = {**target.key_fields(), "graph": bundle.graph_digest(graph), "form": FORM}
    fitting, reason = [], "it was never built"
    for path in engine_records(bundle, graph):
        if _engine_name(path) != name:
            continue
        try:
            record = read_record(path)
        except BackendError as error:
            reason = str(error)
            continue
        different = difference(record.key_fields, expected, (*PORTABILITY, "graph", "form"))
        if different:
            reason = different
        else:
            fitting.append(record)
    return fitting, reason


def find_engine(bundle: Bundle, name: str, target: EngineTarget) -> EngineRecord:
    """Finds an engine for a bundle's graph as it is now.

    Args:
        name: The engine's name, `gpt_step-512` or a graph's name.
        target: What it has to run on.

    Raises:
        BackendError: None fits; says how the nearest differs.
    """
    fitting, reason = fitting_engines(bundle, name, target)
    if not fitting:
        build = f"sovits-export engine build {bundle.path}"
        raise BackendError(f"{bundle.path}: no engine {name} for {target.folder} ({reason}); {build}")
    # One for refitting only if there is no other; of several, the newest.
    return max(fitting, key=lambda r: (-len(r.key_fields.get("flags", ())), r.built.get("at", "")))


def graph_of(bundle: Bundle, name: str) -> str:
    """The graph that an engine name belongs to.

    Raises:
        BackendError: There is none.
    """
    graph = _graph_name(name)
    if graph not in bundle.graph_names:
        raise BackendError(
            f"{bundle.path}: no graph for an engine {name!r}; it has {', '.join(bundle.graph_names)}"
        )
    return graph


def _engine_name(record: Path) -> str:
    return record.stem.rpartition("-")[0]


def _graph_name(engine: str) -> str:
    stem, _, size = engine.rpartition("-")
    return stem.removesuffix(ROWS) if size.isdigit() else engine


def read_plan(record: EngineRecord) -> bytes:
    """Reads a plan whole and compares its sha256: a plan is code, so only the one that was built is given out.

    Raises:
        BackendError: It is missing or damaged.
    """
    try:
        with open_regular(record.plan) as file:
            plan = file.read(record.bytes + 1)
    except OSError as error:
        raise BackendError(
            f"{record.plan}: cannot be read ({error.strerror}); build the engine again"
        ) from error
    if hashlib.sha256(plan).hexdigest() != record.sha256:
        raise BackendError(
            f"{record.plan}: damaged or changed since it was built; sovits-export engine prune removes it, "
            "engine build then builds it again"
        )
    return plan
