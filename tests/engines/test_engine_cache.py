"""Engines are built once for all that they depend on, by one process, whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sovits_engines import build as build_module
from sovits_engines import cache
from sovits_engines.build import build_engines, engine_key_fields, list_engines, prune_engines
from sovits_engines.builder import BuildOptions
from sovits_engines.engine_graph import trt_graphs
from sovits_engines.targets import BuildTarget
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import engine_key, engine_names, find_engine, read_plan
from sovits_runtime.bundle.files import file_record
from sovits_runtime.errors import BackendError

FAKE = Path(__file__).with_name("fake_tensorrt.py")
STEP = ("gpt_step",)
PLAIN = BuildOptions()


@pytest.fixture
def builds(tmp_path, monkeypatch):
    """Names of the graphs that were built, in order."""
    log = tmp_path / "builds.txt"
    monkeypatch.setenv("FAKE_TENSORRT_LOG", str(log))
    return lambda: log.read_text(encoding="utf-8").split() if log.exists() else []


def build(bundle, target, **options):
    return build_engines(bundle, [target], graphs=STEP, cache_sizes=(512,), **options)[0]


def leftovers(bundle):
    return [p.name for p in bundle.path.glob("engines/*/.*") if p.name != ".lock"]


def test_second_build_finds_the_engine(engine_bundle, fake_target, builds):
    first, second = build(engine_bundle, fake_target), build(engine_bundle, fake_target)
    assert (first.built, second.built) == (True, False)
    assert builds() == ["gpt_step"]
    assert second.record == first.record
    assert first.record.plan.parent == engine_bundle.path / "engines" / "sm89-rtx1.7-cu12"
    assert len(read_plan(first.record)) == first.record.bytes == 1 << 16
    assert first.record.built["layers"] == {"CONVOLUTION": {"HALF": 1}}
    assert leftovers(engine_bundle) == []


def test_all_engines_are_found_again(engine_bundle, fake_target):
    build_engines(engine_bundle, [fake_target])
    results = build_engines(Bundle.open(engine_bundle.path), [fake_target])
    assert not any(r.built for r in results)
    assert {r.record.name for r in results} >= {"gpt_prefill", "gpt_step-512", "gpt_step-2048", "hubert"}


def _other_target(**changes):
    return lambda bundle, t, e: (bundle, BuildTarget(t.api, dataclasses.replace(t.target, **changes)), e)


def _other_spec(bundle, target, engine):
    dims = tuple(dataclasses.replace(d, max=d.max + 1) for d in engine.spec.dims)
    return bundle, target, dataclasses.replace(engine, spec=dataclasses.replace(engine.spec, dims=dims))


def _other_file(part):
    def change(bundle, target, engine):
        graph = bundle.manifest["graphs"][engine.graph]
        files = {**bundle.manifest["files"], graph[part]: {"sha256": "0" * 64}}
        return Bundle(bundle.path, {**bundle.manifest, "files": files}, bundle.shared), target, engine

    return change


@pytest.mark.parametrize(
    "change",
    [
        _other_target(flavour="trt"),
        _other_target(version="1.7.1.117"),
        _other_target(cuda=13),
        _other_target(capability=(8, 6)),
        _other_target(device="NVIDIA H100"),
        _other_target(platform="windows-amd64"),
        _other_spec,
        _other_file("file"),
        _other_file("weights"),
        lambda b, t, e: (b, t, dataclasses.replace(e, cache_size=7)),
    ],
    ids=[
        *("flavour", "version", "cuda", "capability", "device", "platform"),
        *("profile", "onnx", "weights", "cache_size"),
    ],
)
def test_each_ingredient_alone_changes_the_key(engine_bundle, fake_target, change):
    (engine,) = trt_graphs(engine_bundle, ("gpt_prefill",))
    before = engine_key(engine_key_fields(engine_bundle, fake_target, engine, PLAIN))
    assert engine_key(engine_key_fields(engine_bundle, fake_target, engine, PLAIN)) == before
    assert engine_key(engine_key_fields(*change(engine_bundle, fake_target, engine), PLAIN)) != before


@pytest.mark.parametrize("options", [BuildOptions(captured=True), BuildOptions(refittable=True)])
def test_each_flag_changes_the_key(engine_bundle, fake_target, options):
    (engine,) = trt_graphs(engine_bundle, ("gpt_prefill",))
    keys = {engine_key(engine_key_fields(engine_bundle, fake_target, engine, o)) for o in (PLAIN, options)}
    assert len(keys) == 2


@pytest.mark.parametrize("name", ["FORM", "version"])
def test_changed_program_changes_the_key(engine_bundle, fake_target, monkeypatch, name):
    (engine,) = trt_graphs(engine_bundle, ("gpt_prefill",))
    before = engine_key(engine_key_fields(engine_bundle, fake_target, engine, PLAIN))
    if name == "FORM":
        monkeypatch.setattr(build_module, "FORM", -1)
    else:
        monkeypatch.setattr(build_module, "own_version", lambda: "99")
    assert engine_key(engine_key_fields(engine_bundle, fake_target, engine, PLAIN)) != before


def _flip(record):
    content = bytearray(record.plan.read_bytes())
    content[len(content) // 2] ^= 1
    record.plan.write_bytes(content)


DAMAGE = {
    "changed": (_flip, "its plan was changed since it was built"),
    "cut": (
        lambda r: r.plan.write_bytes(r.plan.read_bytes()[:100]),
        "its plan has 100 bytes, expected 65536",
    ),
    "missing": (lambda r: r.plan.unlink(), "its plan is missing"),
    "record": (
        lambda r: r.plan.with_suffix(".json").write_text("{", encoding="utf-8"),
        "not an engine record",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_engine_is_built_again_or_refused(engine_bundle, fake_target, builds, damage):
    hurt, told = DAMAGE[damage]
    record = build(engine_bundle, fake_target).record
    hurt(record)
    with pytest.raises(BackendError, match=told):
        build(engine_bundle, fake_target, strict=True)
    assert builds() == ["gpt_step"]
    again = build(engine_bundle, fake_target)
    assert again.built
    assert told in again.reason
    assert read_plan(again.record)


def test_damaged_plan_is_never_given_out(engine_bundle, fake_target):
    record = build(engine_bundle, fake_target).record
    _flip(record)
    with pytest.raises(BackendError, match="damaged or changed since it was built"):
        read_plan(record)


def test_engine_of_another_version_is_named_and_replaced(engine_bundle, fake_target):
    build(engine_bundle, fake_target)
    newer = BuildTarget(fake_target.api, dataclasses.replace(fake_target.target, version="1.8.0.1"))
    told = "version is 1.8.0.1, it was built for 1.7.1.116"
    with pytest.raises(BackendError, match=told):
        build(engine_bundle, newer, strict=True)
    result = build(engine_bundle, newer)
    assert (result.built, result.reason) == (True, told)


def test_finding_an_engine_says_how_the_nearest_differs(engine_bundle, fake_target):
    target = fake_target.target
    with pytest.raises(BackendError, match=r"never built.*sovits-export engine build"):
        find_engine(engine_bundle, "gpt_step-512", target)
    record = build(engine_bundle, fake_target).record
    assert find_engine(engine_bundle, "gpt_step-512", target) == record
    ampere = dataclasses.replace(target, capability=(8, 6))
    with pytest.raises(BackendError, match="capability is sm86, it was built for sm89"):
        find_engine(engine_bundle, "gpt_step-512", ampere)
    with pytest.raises(BackendError, match="no graph for an engine 'gpt_leap-512'"):
        find_engine(engine_bundle, "gpt_leap-512", target)


def put(record, key_fields, **built):
    """A record beside another, as a build with these key_fields leaves it."""
    plan = record.plan.with_name(f"{record.name}-{engine_key(key_fields)}.plan")
    shutil.copy(record.plan, plan)
    made = dataclasses.replace(record, plan=plan, key_fields=key_fields, built={**record.built, **built})
    plan.with_suffix(".json").write_text(json.dumps(made.to_json()), encoding="utf-8")
    return made


def test_an_engine_that_cannot_be_refitted_is_preferred(engine_bundle, fake_target):
    plain = build(engine_bundle, fake_target).record
    flags = [*plain.key_fields["flags"], "REFIT"]
    record = put(plain, {**plain.key_fields, "flags": flags})
    assert find_engine(engine_bundle, "gpt_step-512", fake_target.target) == plain
    plain.plan.with_suffix(".json").unlink()
    assert find_engine(engine_bundle, "gpt_step-512", fake_target.target) == record


@pytest.mark.parametrize("content", ["{", "5", "null", '{"ingredients": 5}'])
def test_a_damaged_record_hides_no_other_engine(engine_bundle, fake_target, content):
    record = build(engine_bundle, fake_target).record
    folder = record.plan.parents[1] / "sm75-rtx1.7-cu12"
    folder.mkdir()
    (folder / "gpt_step-512-000000000000.json").write_text(content, encoding="utf-8")
    (folder / "notes.json").write_text(content, encoding="utf-8")
    assert find_engine(engine_bundle, "gpt_step-512", fake_target.target) == record
    assert engine_names(engine_bundle, "gpt_step") == ["gpt_step-512"]
    problems = sorted(problem for _, _, problem in list_engines(engine_bundle))
    assert problems[0] == ""
    assert all("not an engine record" in problem for problem in problems[1:])
    record.plan.with_suffix(".json").unlink()
    with pytest.raises(BackendError, match="not an engine record"):
        find_engine(engine_bundle, "gpt_step-512", fake_target.target)


def test_a_record_changed_by_hand_is_found_out(engine_bundle, fake_target):
    record = build(engine_bundle, fake_target).record
    path = record.plan.with_suffix(".json")
    path.write_text(
        path.read_text(encoding="utf-8").replace(record.key_fields["version"], "1.7.0.99"), encoding="utf-8"
    )
    with pytest.raises(BackendError, match=f"{path.name}: an engine record changed by hand"):
        find_engine(engine_bundle, "gpt_step-512", fake_target.target)
    assert "changed by hand" in build(engine_bundle, fake_target).reason


def test_an_engine_of_an_older_form_is_not_taken(engine_bundle, fake_target):
    record = build(engine_bundle, fake_target).record
    old = put(record, {**record.key_fields, "form": 1})
    assert find_engine(engine_bundle, "gpt_step-512", fake_target.target) == record
    record.plan.with_suffix(".json").unlink()
    with pytest.raises(BackendError, match=r"form is \d+, it was built for 1"):
        find_engine(engine_bundle, "gpt_step-512", fake_target.target)
    assert "another sovits-export than this one" in list_engines(engine_bundle)[0][2]
    assert {p.name for p in prune_engines(engine_bundle)} >= {old.plan.name}


@pytest.mark.parametrize("version", ["0.0.9", "99"])
def test_of_several_the_newest_is_taken(engine_bundle, fake_target, version):
    record = build(engine_bundle, fake_target).record
    newest = put(record, {**record.key_fields, "sovits-export": version}, at="9999-01-01T00:00:00+00:00")
    assert find_engine(engine_bundle, "gpt_step-512", fake_target.target) == newest


def test_a_bit_that_samples_miss_is_found_and_mended(engine_bundle, fake_target):
    record = build(engine_bundle, fake_target).record
    record.plan.write_bytes(bytes(5 << 20))
    record = dataclasses.replace(record, **file_record(record.plan))
    record.plan.with_suffix(".json").write_text(json.dumps(record.to_json()), encoding="utf-8")
    assert read_plan(record)
    _flip_unseen(record)
    assert record.problem() == ""
    assert not build(engine_bundle, fake_target, strict=True).built
    with pytest.raises(BackendError, match="sovits-export engine prune removes it, engine build"):
        read_plan(record)
    assert list_engines(engine_bundle)[0][2] == DAMAGE["changed"][1]
    assert len(prune_engines(engine_bundle)) == 2
    assert build(engine_bundle, fake_target).built


def _flip_unseen(record):
    for at in range(0, record.bytes, 4099):
        with record.plan.open("r+b") as f:
            f.seek(at)
            f.write(b"\1")
            f.flush()
            if record.problem() == "":
                return
            f.seek(at)
            f.write(b"\0")
    raise AssertionError("samples see all of the plan")


def test_plain_and_refittable_engines_stand_side_by_side(engine_bundle, fake_target):
    target = enterprise(fake_target)
    plain = build(engine_bundle, target)
    assert build(engine_bundle, target, strict=True, refittable=True).built
    plain.record.plan.with_suffix(".json").unlink()
    again = build(engine_bundle, target, strict=True)
    assert (again.built, again.reason) == (True, "")


def test_prune_removes_what_cannot_be_used(engine_bundle, fake_target):
    kept = build(engine_bundle, fake_target).record
    folder = kept.plan.parent
    (folder / "gpt_step-512-000000000000.plan").write_bytes(b"no record")
    damaged = build_engines(engine_bundle, [fake_target], graphs=("prompt_tokens",))[0].record
    _flip(damaged)
    assert [problem for _, _, problem in list_engines(engine_bundle)] == ["", DAMAGE["changed"][1]]
    removed = prune_engines(engine_bundle)
    assert {p.name.partition("-")[0] for p in removed} == {"gpt_step", "prompt_tokens"}
    assert len(removed) == 3
    assert [r for _, r, _ in list_engines(engine_bundle)] == [kept]
    assert len(prune_engines(engine_bundle, every=True)) == 2


def test_disk_full_leaves_nothing(engine_bundle, fake_target, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        build(engine_bundle, fake_target)
    assert "gpt_step-512" in caught.value.filename
    assert list_engines(engine_bundle) == []
    assert leftovers(engine_bundle) == []
    assert not list(engine_bundle.path.glob("engines/*/*.plan"))
    monkeypatch.undo()
    assert build(engine_bundle, fake_target).built


PROCESS = """
import importlib.util, os, resource, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("fake_tensorrt", {fake!r})
fake = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fake)
from sovits_engines.build import build_engines
from sovits_engines.targets import BuildTarget
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import EngineTarget
from sovits_runtime.backends.trt_api import TrtApi
target = BuildTarget(TrtApi("rtx", fake, fake.__version__, 12), EngineTarget("rtx", fake.__version__, 12, (8, 9)))
bundle = Bundle.open({bundle!r})
{prepare}
print(build_engines(bundle, [target], graphs=("gpt_step",), cache_sizes=(512,))[0].built)
"""


def start(bundle, prepare="", **environment):
    code = PROCESS.format(fake=str(FAKE), bundle=str(bundle.path), prepare=prepare)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, **environment},
    )


@pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are POSIX")
def test_write_that_fails_halfway_leaves_nothing(engine_bundle):
    limits = (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))",
    )
    process = start(engine_bundle, "\n".join(limits))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "File too large" in errors
    assert [p.name for p in engine_bundle.path.glob("engines/*/*")] == []


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
@pytest.mark.parametrize("moment", ["building", "writing"])
def test_killed_build_counts_for_nothing(engine_bundle, fake_target, builds, tmp_path, moment):
    marker = tmp_path / "builds.txt" if moment == "building" else tmp_path / "writing"
    prepare = (
        ""
        if moment == "building"
        else f"os.fsync = lambda _: (Path({str(marker)!r}).touch(), time.sleep(60))"
    )
    process = start(engine_bundle, prepare, FAKE_TENSORRT_SECONDS="60" if moment == "building" else "0")
    try:
        deadline = time.monotonic() + 60
        while not marker.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert marker.exists(), process.communicate()[1]
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert bool(leftovers(engine_bundle)) == (moment == "writing")
    assert list_engines(engine_bundle) == []
    result = build(engine_bundle, fake_target)
    assert (result.built, result.reason) == (True, "")
    assert leftovers(engine_bundle) == []


def test_two_processes_build_one_engine_once(engine_bundle, builds):
    pair = [start(engine_bundle, FAKE_TENSORRT_SECONDS="2") for _ in range(2)]
    said = [p.communicate(timeout=60) for p in pair]
    assert sorted(out.strip() for out, _ in said) == ["False", "True"], said
    assert builds() == ["gpt_step"]


def test_missing_fused_attention_is_written_out_and_told(
    engine_bundle, fake_target, monkeypatch, builds, caplog
):
    monkeypatch.setenv("FAKE_TENSORRT_FAILS", "Attention operation was not supported by a dedicated kernel.")
    record = build(engine_bundle, fake_target).record
    assert builds() == ["gpt_step", "gpt_step"]
    assert record.built["fused_attention_refused"] is True
    assert "no fused attention on this target; it is written out" in caplog.text


def test_other_refusals_are_errors(engine_bundle, fake_target, monkeypatch):
    monkeypatch.setenv("FAKE_TENSORRT_FAILS", "out of memory")
    with pytest.raises(BackendError, match=r"graph gpt_step: .*cannot build it: out of memory"):
        build(engine_bundle, fake_target)
    assert list_engines(engine_bundle) == []


def enterprise(fake_target, **changes):
    """TensorRT's own flavour, for the GPU at hand."""
    api = dataclasses.replace(fake_target.api, flavour="trt")
    return BuildTarget(
        api, dataclasses.replace(fake_target.target, **{"flavour": "trt", "device": "NVIDIA H100"} | changes)
    )


def timings(bundle):
    return {p.name: p.read_bytes() for p in sorted(bundle.path.glob("engines/*/*.timings"))}


def test_timings_grow_from_build_to_build(engine_bundle, fake_target):
    target = enterprise(fake_target)
    results = build_engines(engine_bundle, [target], graphs=STEP, cache_sizes=(512, 1024))
    assert list(timings(engine_bundle).values()) == [b"timings 2"]
    results[0].record.plan.unlink()
    build(engine_bundle, target)
    assert list(timings(engine_bundle).values()) == [b"timings 3"]
    assert leftovers(engine_bundle) == []
    assert prune_engines(engine_bundle) == []
    assert len(prune_engines(engine_bundle, every=True)) == 5
    assert timings(engine_bundle) == {}


@pytest.mark.parametrize(
    "change", [{"version": "10.16.2.0"}, {"cuda": 13}, {"device": "NVIDIA H200"}, {"capability": (9, 0)}]
)
def test_timings_of_another_gpu_or_version_are_others(engine_bundle, fake_target, change):
    build(engine_bundle, enterprise(fake_target))
    build(engine_bundle, enterprise(fake_target, **change))
    assert list(timings(engine_bundle).values()) == [b"timings 1"] * 2


def test_timings_that_tensorrt_refuses_are_measured_anew(engine_bundle, fake_target):
    target = enterprise(fake_target)
    build(engine_bundle, target).record.plan.unlink()
    (path,) = engine_bundle.path.glob("engines/*/*.timings")
    path.write_bytes(b"elsewhere")
    assert build(engine_bundle, target).built
    assert list(timings(engine_bundle).values()) == [b"timings 1"]


def test_timings_that_cannot_be_written_cost_no_engine(engine_bundle, fake_target, monkeypatch, caplog):
    write_file = cache.write_file

    @contextlib.contextmanager
    def refuse(target, **options):
        with write_file(target, **options) as file:
            if target.suffix == cache.TIMINGS:
                raise OSError(errno.ENOSPC, "No space left on device")
            yield file

    monkeypatch.setattr(cache, "write_file", refuse)
    assert build(engine_bundle, enterprise(fake_target)).built
    assert "measurements are not kept: [Errno 28] No space left" in caplog.text
    assert timings(engine_bundle) == {}
    assert leftovers(engine_bundle) == []


def test_rtx_measures_nothing(engine_bundle, fake_target):
    build(engine_bundle, fake_target)
    assert timings(engine_bundle) == {}
