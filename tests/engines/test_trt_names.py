"""Every name of TensorRT that the code uses exists in 10.16, in 11.4 and in TensorRT for RTX.

Names are found in the source by convention: `trt` and `.module` are the Python module, and a variable or attribute
called `builder`, `config`, `engine`, ... holds what TensorRT calls so, or an object of a class in the same file. Names
of one flavour alone may stand only in functions called `rtx_...` or `enterprise_...`.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINES = ROOT / "engines" / "sovits_engines"
RUNTIME = ROOT / "runtime" / "sovits_runtime"
FILES = [
    *sorted(ENGINES.glob("*.py")),
    *(path for room in ("cuda", "passes") for path in sorted((ENGINES / room).glob("*.py"))),
    *(path for room in ("gpu", "t2s") for path in sorted((RUNTIME / room).glob("*.py"))),
    RUNTIME / "backends" / "tensorrt.py",
    *sorted((RUNTIME / "backends").glob("trt_*.py")),
]
API = json.loads((ROOT / "tests" / "data" / "tensorrt_api.json").read_text(encoding="utf-8"))
VARIABLES = {
    "builder": ("Builder",),
    "config": ("IBuilderConfig", "IRuntimeConfig"),
    "network": ("INetworkDefinition",),
    "parser": ("OnnxParser",),
    "profile": ("IOptimizationProfile",),
    "runtime": ("Runtime",),
    "engine": ("ICudaEngine",),
    "raw": ("IExecutionContext",),
    "refitter": ("Refitter",),
    "serialization": ("ISerializationConfig",),
    "parser_refitter": ("OnnxParserRefitter",),
}
BASES = {"ILogger", "IProgressMonitor", "ComputeCapability", "__version__"}
"""Names of the module that the list does not cover: two bases of our own classes, an enum asked for its members."""
GUARDS = {"rtx_": {"rtx_1.7"}, "enterprise_": {"10.16", "11.4"}}
EVERYWHERE = set(API["versions"])


def versions(owners: tuple[str, ...], member: str) -> set[str]:
    """Versions in which one of these classes or enums has the member."""
    for owner in owners:
        for where, members in {**API["classes"], **API["enums"]}[owner].items():
            if member in members:
                return set(where.split())
    return set()


def own_names(tree: ast.Module) -> set[str]:
    """Attributes and methods of classes in the file."""
    stored = {
        n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "self"
    }
    methods = {
        f.name
        for c in ast.walk(tree)
        if isinstance(c, ast.ClassDef)
        for f in c.body
        if isinstance(f, ast.FunctionDef)
    }
    return stored | methods


def uses(tree: ast.Module):
    """Yields (name of the enclosing function, expression as text, possible classes or enum, member)."""

    def visit(node, function):
        if isinstance(node, ast.FunctionDef):
            function = node.name
        if isinstance(node, ast.Attribute):
            owner = root(node.value)
            if owner is not None:
                yield function, ast.unparse(node), owner, node.attr
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function)

    def root(node):
        if isinstance(node, ast.Attribute) and is_module(node.value):
            return (node.attr,) if node.attr in API["enums"] else None
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if is_module(node):
            return ()
        return VARIABLES.get(name.lstrip("_"))

    def is_module(node):
        return (isinstance(node, ast.Name) and node.id == "trt") or (
            isinstance(node, ast.Attribute) and node.attr == "module"
        )

    yield from visit(tree, "")


def complaints(source: str) -> list[str]:
    found = []
    tree = ast.parse(source)
    own = own_names(tree)
    for function, text, owners, member in uses(tree):
        if owners == ():
            known = EVERYWHERE if member in {*API["classes"], *API["enums"], *BASES} else set()
        elif member in own:
            continue
        else:
            known = versions(owners, member)
        needed = next((v for prefix, v in GUARDS.items() if function.startswith(prefix)), EVERYWHERE)
        if not needed <= known and member != "__members__":
            found.append(f"{text}: only in {sorted(known) or 'none'}")
    return found


def trt_files():
    """Files that hold TensorRT objects; elsewhere `engine` and the like mean our own."""
    return [p for p in FILES if p.is_file() and {"module", "trt"} & names_in(p)]


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    return attributes | {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


@pytest.mark.parametrize("path", trt_files(), ids=lambda p: p.name)
def test_every_name_exists_in_all_versions(path):
    assert complaints(path.read_text(encoding="utf-8")) == []


def test_the_adapter_is_among_the_files_checked():
    assert {"builder.py", "trt_api.py", "targets.py", "trt_engine.py"} <= {p.name for p in trt_files()}


@pytest.mark.parametrize(
    "source",
    [
        "config.set_flag(trt.BuilderFlag.FP16)",
        "network = builder.create_network(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)",
        "builder.build_engine_with_config(network, config)",
        "engine.device_memory_size",
        "api.module.IInt8Calibrator",
        "config.num_compute_capabilities = 1",
        "def enterprise_(): config.set_compute_capability(1, 0)",
        "def rtx_(): builder.platform_has_fast_fp16",
    ],
)
def test_a_wrong_name_is_found(source):
    assert complaints(source)


@pytest.mark.parametrize(
    "source",
    [
        "config.clear_flag(trt.BuilderFlag.TF32)",
        "def rtx_configure(): config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)",
        "self._raw.execute_async_v3(stream)",
    ],
)
def test_a_right_name_is_not(source):
    assert complaints(source) == []


def test_the_list_agrees_with_the_installed_tensorrt():
    trt = pytest.importorskip("tensorrt_rtx_bindings", exc_type=ImportError)
    if not trt.__version__.startswith("1.7."):
        pytest.skip("the list is of 1.7")
    assert all(hasattr(trt, name) for name in BASES)
    for kind in ("classes", "enums"):
        for owner in API[kind]:
            for where, members in API[kind][owner].items():
                for member in members:
                    there = hasattr(getattr(trt, owner, None), member)
                    assert there == ("rtx_1.7" in where.split()), f"{owner}.{member}"
