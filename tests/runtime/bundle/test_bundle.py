import json
import re
from pathlib import Path

import pytest

from sovits_runtime.bundle import Bundle, manifest_digest
from sovits_runtime.errors import BundleError


def change_byte(path, at=-1):
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))


def test_opens_what_was_built(tiny_bundle, built):
    bundle = Bundle.open(tiny_bundle, full=True)
    assert bundle.spec.version == "v2"
    assert {c.graph for c in built.checks} == set(bundle.graph_names)


@pytest.mark.parametrize("name", ["graphs/gpt_step.onnx", "graphs/gpt.weights", "golden/request.npz"])
def test_missing_file_is_named(copied_bundle, name):
    (copied_bundle / name).unlink()
    with pytest.raises(BundleError, match=rf"{re.escape(str(Path(name)))}: is missing"):
        Bundle.open(copied_bundle)


@pytest.mark.parametrize("name", ["graphs/gpt_step.onnx", "golden/request.npz"])
def test_changed_file_is_named(copied_bundle, name):
    change_byte(copied_bundle / name, 100)
    with pytest.raises(BundleError, match=rf"{re.escape(str(Path(name)))}: was changed since it was built"):
        Bundle.open(copied_bundle)


def test_cut_file_is_named(copied_bundle):
    path = copied_bundle / "graphs" / "sovits.weights"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BundleError, match=r"sovits.weights: has \d+ bytes, expected \d+"):
        Bundle.open(copied_bundle)


def test_full_check_finds_one_bit_in_a_large_file(copied_bundle):
    path = copied_bundle / "graphs" / "sovits.weights"
    assert path.stat().st_size > 4 << 20, "the file must be one that the quick check samples"
    change_byte(path, 300_001)
    Bundle.open(copied_bundle)  # between two samples: the quick check may miss it
    with pytest.raises(BundleError, match=r"sovits.weights: was changed since it was built"):
        Bundle.open(copied_bundle, full=True)


def test_manifest_changed_by_hand_is_refused(copied_bundle):
    path = copied_bundle / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["tolerances"]["logits"] = 1e9
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match="changed by hand"):
        Bundle.open(copied_bundle)


def test_other_schema_is_refused(copied_bundle):
    path = copied_bundle / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) | {"schema": 99}
    manifest["digest"] = manifest_digest(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match="schema 99"):
        Bundle.open(copied_bundle)


def test_not_a_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"manifest.json is missing"):
        Bundle.open(tmp_path)


def test_shared_parts_are_looked_for_and_named(copied_bundle, monkeypatch):
    shared = copied_bundle.parent / "shared"
    moved = shared.rename(copied_bundle.parent / "elsewhere")
    with pytest.raises(BundleError, match="hubert-"):
        Bundle.open(copied_bundle)
    assert Bundle.open(copied_bundle, shared=moved).shared == moved
    monkeypatch.setenv("SOVITS_EXPORT_SHARED", str(moved))
    assert Bundle.open(copied_bundle).shared == moved


def test_graph_specs_survive_the_manifest(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    spec = bundle.graph_spec("gpt_step")
    assert spec.aliases[0] == ("k_cache_0", "k_cache_0_out")
    assert type(spec).from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("precisions", "named", "cpu_only"),
    [
        (("fp32", "fp32"), "fp32", False),
        (("fp16", "fp16"), "fp16", False),
        (("fp32", "int8"), "fp32+int8", True),
        (("int8", "int4", "fp32"), "fp32+int4+int8", True),
    ],
)
def test_precisions_are_those_of_the_graphs(tmp_path, precisions, named, cpu_only):
    graphs = {f"graph {i}": {"precision": precision} for i, precision in enumerate(precisions)}
    bundle = Bundle(tmp_path, {"graphs": graphs}, None)
    assert bundle.precisions == frozenset(precisions)
    assert (bundle.precision, bundle.cpu_only) == (named, cpu_only)
