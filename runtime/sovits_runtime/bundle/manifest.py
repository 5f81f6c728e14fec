"""The manifest of a bundle: what it has to hold, and which files it may name.

A bundle may come from anybody. Its manifest is compared with its shape before anything of it is used, and names files
within the bundle alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from sovits_runtime.bundle.files import content_digest
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.known_specs import check_spec
from sovits_runtime.bundle.names import FP16, FP32, INT4, INT8
from sovits_runtime.bundle.shape import (
    Shape,
    anything,
    each,
    either,
    fields,
    nullable,
    number,
    one_of,
    row,
    rows,
    switch,
    text,
    that,
    whole,
)
from sovits_runtime.bundle.stored_references import check_listed
from sovits_runtime.bundle.stored_references import shape as references_shape
from sovits_runtime.errors import BundleError, SovitsError
from sovits_runtime.machine.json_file import read_json

SCHEMA = 1
MANIFEST = "manifest.json"
GRAPH_FILES = ("file", "cpu_file", "device_file", "rows_file", "weights", "base_weights")
"""Fields of a graph that name files."""
FETCH_AGAIN = "copy or download the voice again, or build it again if it was built here"
"""What to do about a damaged bundle; who reads it may have built the voice, or only fetched it."""
_MOST_BYTES = 1 << 50
_MOST = 1 << 40  # of an axis; those that are fixed have at most
_MOST_FIXED = 1 << 20
_DTYPES = ("float32", "float16", "int64", "int32", "int8", "uint8", "bool")


def is_inside(name: str) -> bool:
    """Whether a name leads to a place within a folder, on whatever system reads it."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and name == "/".join(parts)
        and not any(part == ".." or "\\" in part or "\0" in part for part in parts)
        and not PurePosixPath(name).is_absolute()
        and not PureWindowsPath(name).drive
    )


def is_one_name(name: str) -> bool:
    """Whether a name is that of something in a folder itself."""
    return is_inside(name) and "/" not in name


_FILE_NAME = that(is_inside, "a path within its folder")
FILE_RECORD = fields({"bytes": whole(_MOST_BYTES), "sampled": text, "sha256": text})
FILES = each(FILE_RECORD, names=_FILE_NAME)
_TENSORS = rows(row(text, one_of(_DTYPES), rows(either(text, whole(_MOST_FIXED)))))
SPEC = fields(
    {
        "name": text,
        "inputs": _TENSORS,
        "outputs": _TENSORS,
        "dims": each(row(whole(_MOST), whole(_MOST), whole(_MOST))),
        "aliases": rows(row(text, text)),
    },
    {"context": nullable(whole(_MOST))},
)
ISLANDS = rows(fields(dict.fromkeys(("node", "op", "reason", "detail"), text)))
"""Nodes of a graph that stay in FP32."""
_GRAPH = fields(
    {
        "file": _FILE_NAME,
        "shared": nullable(text),
        "precision": one_of((FP32, FP16, INT8, INT4)),
        "spec": SPEC,
        "check": fields({}, dict.fromkeys(("error", "kl", "snr_db", "limit", "cosine"), nullable(number))),
    },
    dict.fromkeys(GRAPH_FILES[1:], _FILE_NAME),
)
_SHARED = fields({"folder": that(is_one_name, "the name of a folder"), "source_sha256": text, "files": FILES})
_REQUEST = fields(
    {},
    {
        "top_k": whole(_MOST_FIXED),
        "min_tokens": whole(_MOST_FIXED),
        **dict.fromkeys(("top_p", "temperature", "repetition_penalty"), number),
    },
)
_GPT_CHOICE = fields(
    {
        "precision": text,
        "bytes": whole(_MOST_BYTES),
        "error": fields({"kl": number, "agreement": number}),
        "times": fields({"step_ms": number}),
        "within": switch,
        "chosen": switch,
    }
)
_VOCODER_CHOICE = fields(
    {
        "error": fields({"snr_db": nullable(number), "log_mel_db": number}),
        "layers": rows(fields({"chosen": switch})),
        "seconds_fp32": number,
        "seconds_int8": number,
        "chosen": switch,
    }
)


def _choice(value: Any, at: str) -> None:
    fields({"part": one_of(("gpt", "sovits"))})(value, at)
    (_GPT_CHOICE if value["part"] == "gpt" else _VOCODER_CHOICE)(value, at)


_SHAPE: Shape = fields(
    {
        "made_by": each(text),
        "model": fields({"version": text, "sample_rate": whole(_MOST_FIXED), "symbols": text}),
        "sources": each(fields({"file": text, "sha256": text, "info": text})),
        "graphs": each(_GRAPH),
        "shared": each(_SHARED),
        "golden": fields({}, {"request": _REQUEST}),
        "tolerances": each(number),
        "files": FILES,
    },
    {
        "precision": fields(
            {"from": text},
            {
                "recordings": rows(text),
                "islands": each(ISLANDS),
                "choices": rows(_choice),
                "limits": anything,
            },
        ),
        "references": references_shape(_FILE_NAME),
    },
)


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Digest of a manifest without its own `digest` field: the identity of the bundle."""
    return content_digest({k: v for k, v in manifest.items() if k != "digest"})


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads a bundle's manifest.

    Raises:
        BundleError: It is none, of another schema, changed by hand, or not what a manifest has to be.
    """
    path = folder / MANIFEST
    manifest = read_json(path, what="a manifest", error=BundleError, remedy=FETCH_AGAIN)
    try:
        fields({"schema": anything, "digest": anything})(manifest, "")
        schema = manifest["schema"]
        if schema != SCHEMA:
            raise BundleError(
                f"{path}: bundle schema {schema}, this version reads {SCHEMA}; install a matching sovits-export, or "
                "build the bundle again"
            )
        if manifest["digest"] != manifest_digest(manifest):
            raise BundleError(f"{path}: was changed by hand (its digest does not match); {FETCH_AGAIN}")
        _SHAPE(manifest, "")
        _check_graphs(manifest)
        check_listed(manifest)
    except BundleError:
        raise
    except (ValueError, RecursionError, SovitsError) as error:
        raise BundleError(f"{path}: not a manifest ({error}); {FETCH_AGAIN}") from error
    return dict(manifest)


def _check_graphs(manifest: Mapping[str, Any]) -> None:
    """Each graph's spec is one, and its files are listed, so that they are compared."""
    for name, graph in manifest["graphs"].items():
        kind = graph["shared"]
        if kind is not None and kind not in manifest["shared"]:
            raise ValueError(
                f"graphs.{name}.shared is {kind}, expected one of {', '.join(manifest['shared'])}"
            )
        listed = manifest["files"] if kind is None else manifest["shared"][kind]["files"]
        for field in GRAPH_FILES:
            if field in graph and graph[field] not in listed:
                raise ValueError(f"graphs.{name}.{field} is {graph[field]}, which is not among its files")
        spec = GraphSpec.from_json(graph["spec"])
        if spec.name != name:
            raise ValueError(f"graphs.{name}.spec is that of {spec.name}")
        check_spec(spec)
