"""A plan: what runs each graph of a bundle on this machine, as `sovits-export tune` measured it.

It lies in `tuned/<key>/` of the bundle. The key holds everything that it depends on: processor, libraries, bundle, and
the user, whose seal (`sovits_runtime.bundle.seal`) it has. So a plan that was changed, or came with somebody else's
bundle, is not taken, and neither is one of another machine. It decides what runs a graph, and never what is in it.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from sovits_runtime.backends.machine_key import machine_fields
from sovits_runtime.backends.native import ABI, library
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import (
    FileRecord,
    difference,
    first_problem,
    json_text,
    key_of,
    nearest_difference,
    write_folder,
)
from sovits_runtime.bundle.manifest import is_one_name
from sovits_runtime.bundle.moving import remove_tree
from sovits_runtime.bundle.names import PREFILL, STEP, VOCODERS
from sovits_runtime.bundle.seal import is_sealed, make_key, sealed, user_mark
from sovits_runtime.bundle.shape import (
    anything,
    each,
    fields,
    nullable,
    number,
    one_of,
    rows,
    switch,
    text,
    that,
    whole,
)
from sovits_runtime.errors import BackendError, BundleError
from sovits_runtime.machine.json_file import read_json
from sovits_runtime.machine.openvino import installed_openvino

logger = logging.getLogger(__name__)

FOLDER, RECORD = "tuned", "plan.json"
FORMAT = 1
KEY_CHARACTERS = 16

PlanKind = Literal["tuned", "exact"]
"""The fastest within the limits of a conversion to int8, or the fastest that equals FP32 up to rounding."""
AUTO, NO_PLAN = "auto", "none"
PLAN_KINDS: tuple[str, ...] = get_args(PlanKind)

ONNX_RUNTIME = "onnxruntime"
OPENVINO_ENGINES = {"openvino-f32": "f32", "openvino-bf16": "bf16", "openvino-f16": "f16"}
NATIVE, NATIVE_INT8, NATIVE_BF16 = "native", "native-int8", "native-bf16"
ENGINES = (ONNX_RUNTIME, *OPENVINO_ENGINES, NATIVE, NATIVE_INT8, NATIVE_BF16)
"""What may run a graph. The native ones run the GPT, its prefill with the weights of its step, and a HiFi-GAN; in
bfloat16 the HiFi-GAN alone."""
LOSSY = frozenset({"openvino-bf16", "openvino-f16", NATIVE_INT8, NATIVE_BF16})
"""Those that compute in less than a graph of FP32 asks for."""

CHUNK_FIELDS = ("first_tokens", "growth", "most_tokens")
_MOST = 1 << 50
_CHOICE = fields(
    {"engines": each(one_of(ENGINES)), "chunks": nullable(fields(dict.fromkeys(CHUNK_FIELDS, number)))}
)
_SHAPE = fields(
    {
        "ingredients": fields(
            {
                **dict.fromkeys(("onnxruntime", "platform", "cpu", "bundle", "user"), text),
                "openvino": nullable(text),
                "features": rows(text),
                "native": nullable(whole(_MOST)),
                "format": whole(_MOST),
            }
        ),
        "active": one_of(PLAN_KINDS),
        "threads": whole(1 << 20, least=1),
        "choices": each(_CHOICE, names=one_of(PLAN_KINDS)),
        "table": rows(
            fields(
                {
                    **dict.fromkeys(("graph", "engine", "note"), text),
                    **dict.fromkeys(("exact", "within"), switch),
                    **dict.fromkeys(("seconds", "error", "snr_db"), anything),
                }
            )
        ),
        "files": each(
            fields({"bytes": whole(_MOST), "sampled": text}), names=that(is_one_name, "the name of a file")
        ),
        "seal": text,
    }
)


@dataclass(frozen=True)
class Choice:
    """What runs a voice.

    Attributes:
        engines: Graph -> one of `ENGINES`; a graph that is missing runs as it does without a plan.
        chunks: Fields of `ChunkOptions`, from the speeds measured; None: its defaults.
    """

    engines: Mapping[str, str] = field(default_factory=dict)
    chunks: Mapping[str, float] | None = None

    @property
    def exact(self) -> bool:
        """Whether everything equals FP32 up to rounding, as far as engines go."""
        return LOSSY.isdisjoint(self.engines.values())

    def engine(self, graph: str) -> str:
        """What is to run a graph; empty where that is not said."""
        return self.engines.get(graph, "")

    @property
    def native_prefill(self) -> bool:
        """Whether the native kernels run the prefill, with the weights of the step."""
        return self.engine(PREFILL) in (NATIVE, NATIVE_INT8) and self.engine(PREFILL) == self.engine(STEP)

    @property
    def gpt_steps(self) -> Literal["auto", "onnxruntime", "native"]:
        """What is to run the GPT's step, as `LoadOptions` has it."""
        engine = self.engine(STEP)
        if engine in (NATIVE, NATIVE_INT8):
            return "native"
        return "onnxruntime" if engine == ONNX_RUNTIME else "auto"

    @property
    def vocoder_engine(self) -> Literal["auto", "onnxruntime", "native"]:
        """What is to run the vocoder in the numbers of its graph, as `LoadOptions` has it."""
        engines = {self.engine(name) for name in VOCODERS}
        if NATIVE in engines:
            return "native"
        return "onnxruntime" if ONNX_RUNTIME in engines else "auto"


@dataclass(frozen=True)
class Plan:
    """What a machine was found to do best with a bundle.

    Attributes:
        folder: Where it lies.
        key_fields: What it was made from and for; their digest is the folder's name.
        active: The choice that is taken where none is asked for.
        threads: With how many it was measured.
        choices: `PlanKind` -> choice.
        table: What was tried: graph, engine, seconds, error, within the limits, exact, and what is to be said.
        files: File of the folder -> size and sampled digest.
    """

    folder: Path
    key_fields: Mapping[str, Any]
    active: PlanKind
    threads: int
    choices: Mapping[str, Choice]
    table: tuple[Mapping[str, Any], ...] = ()
    files: Mapping[str, FileRecord] = field(default_factory=dict)

    def file(self, name: str) -> Path | None:
        """A file of the plan, or None where it has no such file."""
        return self.folder / name if name in self.files else None

    def problem(self) -> str:
        """Says which file is missing or visibly damaged; empty when all look whole. Reads samples only."""
        return first_problem(self.folder, self.files)


@dataclass(frozen=True)
class Taken:
    """The choice that a voice is loaded with.

    Attributes:
        choice: What runs it.
        kind: One of `PLAN_KINDS`, or "none".
        plan: Where the choice comes from; None: the defaults.
        ignored: Why a plan that is there was not taken; empty where there is none, or it was.
    """

    choice: Choice
    kind: str = NO_PLAN
    plan: Plan | None = None
    ignored: str = ""


def key_fields(bundle: Bundle) -> dict[str, Any]:
    """Everything that a plan depends on, here and now."""
    return {**_here(), "bundle": bundle.digest, "user": user_mark(), "format": FORMAT}


@lru_cache(maxsize=1)
def _here() -> Mapping[str, Any]:
    native = None if library() is None else ABI
    return {**machine_fields(), "openvino": installed_openvino(), "native": native}


def write_plan(plan: Plan, files: Path | None = None) -> Plan:
    """Writes a plan in its place; one that is there is replaced.

    Args:
        plan: `folder`, `key_fields` and `files` are made anew.
        files: A folder whose files become the plan's.

    Raises:
        BundleError: The bundle's folder cannot be written.
    """
    make_key()
    fields_now = {**plan.key_fields, "user": user_mark()}
    target = plan.folder.parent / key_of(fields_now, KEY_CHARACTERS)
    try:
        with write_folder(target) as folder:
            for path in sorted(files.iterdir()) if files else ():
                shutil.move(path, folder / path.name)
            records = {p.name: FileRecord.of(p, whole=False).to_json() for p in sorted(folder.iterdir())}
            value = {
                "ingredients": fields_now,
                "active": plan.active,
                "threads": plan.threads,
                "choices": {
                    kind: {"engines": dict(c.engines), "chunks": c.chunks and dict(c.chunks)}
                    for kind, c in plan.choices.items()
                },
                "table": [dict(row) for row in plan.table],
                "files": records,
            }
            as_read = json.loads(json_text(value))  # a number that JSON cannot hold becomes a word
            (folder / RECORD).write_text(json_text(sealed(as_read)), encoding="utf-8")
    except OSError as error:
        raise BundleError(
            f"{target}: cannot be written ({error}); free some space, or copy the bundle"
        ) from error
    return read_plan(target / RECORD)


def read_plan(path: Path) -> Plan:
    """Reads a plan, whoever made it; one that says to be this user's has to have their seal.

    Raises:
        BundleError: It is damaged.
    """
    value = read_json(path, what="a plan", error=BundleError, remedy="'sovits-export tune' makes one")
    try:
        _SHAPE(value, "")
        fields_then, key = value["ingredients"], key_of(value["ingredients"], KEY_CHARACTERS)
        if fields_then["user"] == user_mark() and not is_sealed(value):
            raise ValueError("it was changed since it was made")
        if path.parent.name != key:
            raise ValueError("it is that of another folder")
        if value["active"] not in value["choices"]:
            raise ValueError(f"it does not say what {value['active']} is")
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: is damaged ({error}); 'sovits-export tune' makes it anew") from error
    choices = {kind: Choice(c["engines"], c["chunks"]) for kind, c in value["choices"].items()}
    files = {name: FileRecord.from_json(record) for name, record in value["files"].items()}
    return Plan(
        path.parent, fields_then, value["active"], value["threads"], choices, tuple(value["table"]), files
    )


def find_plan(bundle: Bundle) -> tuple[Plan | None, str]:
    """Finds the plan for this machine, and says why those that are there are not for it.

    Raises:
        BundleError: It is damaged.
    """
    records = list(_records(bundle))
    if not records:
        return None, ""
    now = key_fields(bundle)
    own = bundle.path / FOLDER / key_of(now, KEY_CHARACTERS) / RECORD
    if own in records:
        plan = read_plan(own)
        if problem := plan.problem():
            raise BundleError(
                f"{plan.folder}: {problem}; 'sovits-export tune {bundle.path}' makes it anew, --plan none does without"
            )
        return plan, ""
    return None, _nearest(records, now)


def take_plan(bundle: Bundle, asked: str) -> Taken:
    """Takes the choice that a voice is loaded with.

    Args:
        bundle: The bundle.
        asked: "auto": what `tune` made active for this machine, where it did; "none"; a `PlanKind`; or a plan's file.

    Raises:
        BundleError: A plan is damaged.
        BackendError: What was asked for is not there, or not for this machine.
    """
    if asked == NO_PLAN:
        return Taken(Choice())
    if asked not in (AUTO, *PLAN_KINDS):
        return _from_file(bundle, Path(asked))
    plan, why_not = find_plan(bundle)
    if plan is None and asked == AUTO:
        if why_not:
            logger.warning(
                "%s: its plan is not of this user for this processor, these libraries and this bundle (%s); it is "
                "not used. 'sovits-export tune %s' makes one",
                bundle.path,
                why_not,
                bundle.path,
            )
        return Taken(Choice(), ignored=why_not)
    kind = plan.active if plan and asked == AUTO else asked
    if plan is None or kind not in plan.choices:
        raise BackendError(
            f"{bundle.path}: has no plan {kind!r} for this machine{why_not and f' ({why_not})'}; "
            f"'sovits-export tune {bundle.path}' makes one"
        )
    return Taken(plan.choices[kind], kind, plan)


def _from_file(bundle: Bundle, path: Path) -> Taken:
    plan = read_plan(path)
    if differs := difference(plan.key_fields, key_fields(bundle)):
        raise BackendError(
            f"{path}: is a plan for something else ({differs}); 'sovits-export tune {bundle.path}' makes one, "
            "--plan none does without"
        )
    if problem := plan.problem():
        raise BundleError(f"{plan.folder}: {problem}; 'sovits-export tune {bundle.path}' makes it anew")
    return Taken(plan.choices[plan.active], plan.active, plan)


def remove_plans(bundle: Bundle) -> int:
    """Deletes all plans of a bundle, those for other machines too; returns how many there were.

    Raises:
        BundleError: They cannot be deleted.
    """
    records, folder = list(_records(bundle)), bundle.path / FOLDER
    try:
        if folder.exists():
            for record in records:
                record.unlink()  # first: a plan without one is not taken
            remove_tree(folder)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be deleted ({error}); close what uses it") from error
    return len(records)


def describe_plans(bundle: Bundle) -> list[dict[str, Any]]:
    """Says for each plan what it is for, what it chose, what was tried, and whether it is taken here."""
    records, plans = list(_records(bundle)), []
    here = key_of(key_fields(bundle), KEY_CHARACTERS) if records else ""
    for path in records:
        entry: dict[str, Any] = {"folder": str(path.parent), "here": path.parent.name == here, "problem": ""}
        try:
            plan = read_plan(path)
        except BundleError as error:
            plans.append({**entry, "problem": str(error)})
            continue
        facts = {
            **plan.key_fields,
            "active": plan.active,
            "threads": plan.threads,
            "engines": {kind: dict(choice.engines) for kind, choice in plan.choices.items()},
            "chunks": {kind: choice.chunks for kind, choice in plan.choices.items()},
            "table": [dict(row) for row in plan.table],
        }
        plans.append({**entry, **facts, "problem": plan.problem() if entry["here"] else ""})
    return plans


def _records(bundle: Bundle) -> Iterator[Path]:
    yield from sorted((bundle.path / FOLDER).glob(f"[!.]*/{RECORD}"))


def _nearest(records: list[Path], now: Mapping[str, Any]) -> str:
    """How that one of some plans differs which differs least."""
    readable = []
    for path in records:
        with suppress(BundleError):
            readable.append(read_plan(path).key_fields)
    return nearest_difference(readable, now)
