"""How builds and conversions write a bundle: whole or not at all, and in one order."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sovits_exporter.building.manifest import GraphRecord
from sovits_exporter.building.steps import Steps
from sovits_exporter.building.writer import MANIFEST_KEYS, write_bundle
from sovits_runtime.audio import Audio
from sovits_runtime.bundle import SCHEMA, Bundle
from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec
from sovits_runtime.errors import VerificationError
from sovits_runtime.machine.progress import no_progress
from sovits_runtime.verify.check import Check, VerifyReport

SPEC = GraphSpec(
    "double",
    (TensorSpec("x", "float32", ("n",)),),
    (TensorSpec("y", "float32", ("n",)),),
    (DimRange("n", 1, 2, 4),),
)
RECORD = GraphRecord(
    file="graphs/double.onnx", weights="graphs/double.weights", spec=SPEC, check={"error": 0.0, "limit": 1e-4}
)
PART = GraphRecord(
    file="part.onnx",
    weights="part.weights",
    shared="bert",
    spec=replace(SPEC, name="part"),
    check={"runs": 0},
)
MANIFEST = {
    "schema": SCHEMA,
    "golden": {},
    "made_by": {},
    "model": {"version": "v2", "sample_rate": 32000, "symbols": "v2"},
    "sources": {},
    "tolerances": {},
}


def fill(writer):
    """A graph of the voice, a shared part and recorded numbers."""
    for name in ("double.onnx", "double.weights"):
        (writer.graphs_folder / name).write_text(name, encoding="utf-8")
    writer.add_graph(RECORD)
    manifest = writer.add_shared("bert", "bert-1", write_part, source_sha256="1")
    assert manifest["about"] == "its own"
    writer.add_golden("request", {"tokens": np.arange(3)})


def write_part(folder):
    for name in ("part.onnx", "part.weights"):
        (folder / name).write_text("part", encoding="utf-8")
    return {"about": "its own"}


def verified(passed):
    silence = Audio(np.zeros(1, np.float32), 32000)
    check = Check("graph", 0.0 if passed else 1.0, 0.5, "of nothing")
    return lambda bundle: VerifyReport(str(bundle.path), bundle.digest, "CPU", (check,), silence, silence)


def write(folder, *, verify=None, progress=no_progress, **more):
    with write_bundle(folder / "voice", folder / "shared", Steps(progress)) as writer:
        fill(writer)
        return writer.finish({**MANIFEST, **more}, verify)


def test_a_bundle_is_written_and_read(tmp_path):
    report = write(tmp_path, verify=verified(True), precision={"from": "another digest"})
    bundle = Bundle.open(report.path, full=True)
    assert bundle.manifest == report.manifest
    assert list(bundle.manifest) == [key for key in MANIFEST_KEYS if key in bundle.manifest]
    assert list(bundle.manifest["files"]) == [
        "golden/request.npz",
        "graphs/double.onnx",
        "graphs/double.weights",
    ]
    assert bundle.golden("request")["tokens"].tolist() == [0, 1, 2]
    assert json.loads((report.path / "verification.json").read_text(encoding="utf-8"))["bundle"] == str(
        report.path
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shared", "voice"]


def break_off(folder):
    with write_bundle(folder / "voice", folder / "shared", Steps(no_progress)) as writer:
        (writer.graphs_folder / "double.onnx").write_text("half", encoding="utf-8")
        raise OSError("disk full")


@pytest.mark.parametrize("there", [False, True])
def test_a_step_that_fails_leaves_the_older_bundle_or_none(tmp_path, there):
    digest = write(tmp_path).manifest["digest"] if there else None
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match="disk"):
        break_off(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    assert not there or Bundle.open(tmp_path / "voice", full=True).digest == digest


def test_what_fails_its_verification_does_not_take_its_place(tmp_path):
    digest = write(tmp_path).manifest["digest"]
    with pytest.raises(
        VerificationError, match=r"the new bundle failed verification: graph: 1 .*nothing was written"
    ):
        write(tmp_path, verify=verified(False), precision={"from": "another digest"})
    assert Bundle.open(tmp_path / "voice", full=True).digest == digest
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("verify", [None, verified(True)])
def test_progress_tells_of_a_verification_only_where_there_is_one(tmp_path, verify):
    steps = []
    write(tmp_path, verify=verify, progress=lambda what, done, total: steps.append(what))
    assert steps == (["verify", "done"] if verify else ["done"])


def test_a_shared_part_that_is_whole_stays_and_a_damaged_one_is_written_again(tmp_path):
    write(tmp_path)
    part = tmp_path / "shared" / "bert-1" / "part.onnx"
    before = part.stat().st_mtime_ns
    write(tmp_path)
    assert part.stat().st_mtime_ns == before
    part.write_text("harm", encoding="utf-8")
    write(tmp_path)
    assert part.read_text(encoding="utf-8") == "part"


def test_what_a_conversion_leaves_as_it_is_is_copied(tmp_path):
    """The records keep the order of the source; files that were written, such as weights, are not overwritten."""
    with write_bundle(tmp_path / "voice", tmp_path / "shared", Steps(no_progress)) as writer:
        fill(writer)
        writer.add_graph(PART)
        writer.finish(MANIFEST, None)
    source = Bundle.open(tmp_path / "voice")
    with write_bundle(tmp_path / "int8", tmp_path / "other", Steps(no_progress)) as writer:
        (writer.graphs_folder / "double.weights").write_text("int8", encoding="utf-8")
        writer.copy_rest(source)
        writer.copy_golden(source)
        report = writer.finish(source.manifest, None)
    bundle = Bundle.open(report.path, shared=tmp_path / "other", full=True)
    assert bundle.manifest["graphs"] == source.manifest["graphs"]
    assert bundle.manifest["shared"] == source.manifest["shared"]
    assert (report.path / "graphs" / "double.onnx").read_text(encoding="utf-8") == "double.onnx"
    assert (report.path / "graphs" / "double.weights").read_text(encoding="utf-8") == "int8"
    manifests = [tmp_path / name / "bert-1" / "manifest.json" for name in ("shared", "other")]
    assert manifests[0].read_bytes() == manifests[1].read_bytes()


def test_references_and_engines_of_an_older_bundle_stay(tmp_path):
    write(tmp_path)
    for folder in ("references", "engines"):
        (tmp_path / "voice" / folder).mkdir()
        (tmp_path / "voice" / folder / "kept").write_text(folder, encoding="utf-8")
    write(tmp_path)
    for folder in ("references", "engines"):
        assert (tmp_path / "voice" / folder / "kept").read_text(encoding="utf-8") == folder


def test_a_record_leaves_out_what_a_graph_has_none_of():
    assert list(RECORD.to_json()) == ["file", "weights", "shared", "precision", "spec", "check"]
    whole = GraphRecord.from_json({**RECORD.to_json(), "cpu_file": "graphs/double.cpu.onnx"})
    assert GraphRecord.from_json(whole.to_json()) == whole
