import json
import os
import signal
import subprocess
import sys
import time

import pytest

from sovits_exporter.building.build import build
from sovits_exporter.building.request import BuildRequest
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BundleError, CheckpointError


def test_every_graph_was_compared_with_pytorch(built):
    graphs = {c.graph: c for c in built.checks}
    assert set(graphs) == {
        "hubert", "bert", "gpt_prefill", "gpt_step", "prompt_tokens", "reference_style", "sovits_encoder",
        "sovits_flow", "sovits_vocoder",
    }  # fmt: skip
    assert all(c.passed and len(c.sizes) >= 3 for c in graphs.values())


def test_graphs_hold_no_trace_of_the_machine(tiny_bundle):
    for path in tiny_bundle.rglob("*.onnx"):
        assert b"site-packages" not in path.read_bytes()
        assert str(tiny_bundle).encode() not in path.read_bytes()


def test_step_graph_updates_the_cache_in_the_form_engines_alias(tiny_bundle):
    import onnx

    model = onnx.load(tiny_bundle / "graphs" / "gpt_step.onnx", load_external_data=False)
    inputs = {i.name for i in model.graph.input}
    outputs = {o.name for o in model.graph.output}
    scatters = [n for n in model.graph.node if n.op_type == "TensorScatter"]
    assert len(scatters) == 4
    assert all(n.input[0] in inputs and n.output[0] in outputs for n in scatters)
    assert not {n.domain for n in model.graph.node} - {""}
    assert not [
        n.op_type for n in model.graph.node if n.op_type.startswith(("Random", "If", "Loop", "NonZero"))
    ]


def test_shared_parts_are_stored_once(tiny_bundle, demo_files, tmp_path):
    shared = tiny_bundle.parent / "shared"
    names = sorted(p.name for p in shared.iterdir())
    before = {p: p.stat().st_mtime_ns for p in shared.rglob("*") if p.is_file()}
    assert [n.split("-")[0] for n in names] == ["bert", "hubert"]
    request = BuildRequest(
        gpt=demo_files.gpt,
        sovits=demo_files.sovits,
        output=tmp_path / "second",
        hubert=demo_files.hubert,
        shared=shared,
        verify=False,
    )
    build(request)
    assert {p: p.stat().st_mtime_ns for p in shared.rglob("*") if p.is_file()} == before
    assert not (tmp_path / "shared").exists()
    assert not list((tmp_path / "second").rglob("hubert*"))


def test_output_that_is_not_a_bundle_is_left_alone(demo_files, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(BundleError, match="is not a bundle"):
        build(BuildRequest(gpt=demo_files.gpt, sovits=demo_files.sovits, output=tmp_path / "precious"))
    assert (tmp_path / "precious" / "thesis.txt").exists()


def test_swapped_checkpoints_leave_nothing(demo_files, tmp_path):
    with pytest.raises(CheckpointError):
        build(BuildRequest(gpt=demo_files.sovits, sovits=demo_files.gpt, output=tmp_path / "voice"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX notion")
@pytest.mark.parametrize("until", ["export gpt_step", "export sovits_flow", "record golden"])
def test_kill_leaves_the_old_bundle_or_none(copied_bundle, demo_files, until):
    """A build onto an existing bundle is killed at some stage; the old bundle stays whole and is found again."""
    digest = Bundle.open(copied_bundle).digest
    code = (
        "import sys; from pathlib import Path; from sovits_exporter.building.build import build\n"
        "from sovits_exporter.building.request import BuildRequest\n"
        "gpt, sovits, output = map(Path, sys.argv[1:4])\n"
        "request = BuildRequest(gpt=gpt, sovits=sovits, output=output)\n"
        "build(request, lambda what, i, n: print(what, flush=True))"
    )
    command = [sys.executable, "-c", code, str(demo_files.gpt), str(demo_files.sovits), str(copied_bundle)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    for line in process.stdout:
        if line.startswith(until):
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    assert Bundle.open(copied_bundle, full=True).digest == digest


def test_kill_between_the_two_renames_is_undone(copied_bundle, demo_files):
    digest = Bundle.open(copied_bundle).digest
    copied_bundle.rename(copied_bundle.parent / ".voice.old")
    leftover = copied_bundle.parent / ".voice.999999999-00000000.part"
    leftover.mkdir()
    with pytest.raises(CheckpointError):  # the next build fails, and still repairs what the killed one left
        build(BuildRequest(gpt=demo_files.sovits, sovits=demo_files.gpt, output=copied_bundle))
    assert Bundle.open(copied_bundle).digest == digest


def test_a_rebuild_replaces_the_bundle_and_keeps_references(copied_bundle, demo_files):
    (copied_bundle / "references").mkdir(exist_ok=True)
    (copied_bundle / "references" / "kept.npz").write_bytes(b"x")
    made = json.loads((copied_bundle / "manifest.json").read_text(encoding="utf-8"))["sources"]
    time.sleep(0.01)
    build(BuildRequest(gpt=demo_files.gpt, sovits=demo_files.sovits, output=copied_bundle, verify=False))
    bundle = Bundle.open(copied_bundle)
    assert bundle.manifest["sources"] == made
    assert bundle.manifest["shared"] == {}
    assert (copied_bundle / "references" / "kept.npz").exists()
    assert [p.name for p in copied_bundle.parent.iterdir() if p.name.startswith(".")] == []
