"""Bundles of strangers, and of honest people whose download went wrong: named in one line, and nothing else touched."""

import copy
import json
import os
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime.bundle import Bundle, manifest_digest
from sovits_runtime.bundle.manifest import is_inside
from sovits_runtime.doctor.inspect_bundle import describe, describe_text
from sovits_runtime.errors import BundleError
from sovits_runtime.verify.recorded import Tolerances, recorded_options, recorded_request

sys.path.append(str(Path(__file__).parents[3] / "benchmarks" / "attacks"))
from bundles import (
    DEEP,
    answer_to,
    change,
    changed_golden,
    places_of,
    replace,
    ways_to_spoil,
    write_listed,
)

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 44324\n"
linux_links = pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")


@pytest.fixture
def voice(tiny_bundle, tmp_path) -> Path:
    """The tiny voice without the caches of other tests, its files linked: a test replaces what it changes."""
    shutil.copytree(tiny_bundle.parent / "shared", tmp_path / "shared", copy_function=os.link)
    caches = shutil.ignore_patterns("engines", "references", "prepacked", "tuned")
    return Path(shutil.copytree(tiny_bundle, tmp_path / "voice", copy_function=os.link, ignore=caches))


def refused(path, *arguments, command="inspect"):
    """What the command line says, in one line."""
    result = CliRunner().invoke(main, [command, str(path), *map(str, arguments)])
    assert result.exit_code == 1, result.output
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, result.output
    return lines[0]


def write_manifest(voice, manifest):
    manifest = {**manifest, "digest": manifest_digest(manifest)}
    replace(voice / "manifest.json", json.dumps(manifest).encode())


def manifest_of(voice):
    return json.loads((voice / "manifest.json").read_text(encoding="utf-8"))


# Downloads that went wrong


@pytest.mark.parametrize("name", ["graphs/gpt.weights", "manifest.json", "golden/request.npz"])
def test_a_clone_without_git_lfs_is_told_how(voice, name):
    replace(voice / name, POINTER)
    said = refused(voice)
    assert (
        f"{name}: is a Git LFS pointer, not the file itself; run 'git lfs install' and 'git lfs pull'" in said
    )


def test_who_downloaded_and_who_built_are_both_told_what_to_do(voice):
    replace(voice / "graphs" / "gpt.weights", (voice / "graphs" / "gpt.weights").read_bytes()[:-10])
    said = refused(voice)
    assert "Copy or download the voice again, or build it again if it was built here" in said
    replace(voice / "manifest.json", b"<!DOCTYPE html><html>")
    assert "not a manifest (it is a web page); copy or download the voice again" in refused(voice)


def test_a_folder_too_high_and_an_archive_are_named(voice, tmp_path):
    (tmp_path / "outer").mkdir()
    voice.rename(tmp_path / "outer" / "voice")
    assert "holds one; give " in refused(tmp_path / "outer")
    (tmp_path / "voice.zip").write_bytes(b"PK")
    assert "is a file, expected the folder of a bundle" in refused(tmp_path / "voice.zip")


def test_a_bundle_whose_replacement_was_killed_opens(voice):
    """Between two renames there is none: whoever opens it then brings the older one back."""
    voice.rename(voice.with_name(".voice.old"))
    assert Bundle.open(voice).path == voice


# Links


@linux_links
@pytest.mark.parametrize("name", ["graphs/gpt.weights", "graphs/gpt_step.onnx"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_file_that_lies_elsewhere_is_named_when_the_bundle_is_opened(voice, name, inside):
    """ONNX Runtime would say that its weights escape, and only when the graph is opened."""
    elsewhere = voice / "moved" if inside else voice.parent / "moved"
    (voice / name).rename(elsewhere)
    (voice / name).symlink_to(elsewhere)
    assert "cp -rL" in refused(voice)


@linux_links
@pytest.mark.parametrize("name", ["engines", "references", "prepacked", "engines/sm89-rtx1.7-cu12", "shared"])
def test_nothing_is_written_or_removed_through_a_link(voice, name):
    victim = voice.parent / "victim"
    (victim / "deep").mkdir(parents=True)
    files = [victim / "deep" / "package.json", victim / "a.plan", victim / f"{'0' * 32}.npz"]
    for file in files:
        file.write_bytes(b"mine")
    (voice / name).parent.mkdir(exist_ok=True)
    (voice / name).symlink_to("../victim" if "/" not in name else "../../victim")
    for command in (["engine", "prune"], ["engine", "list"], ["prepack", "--remove"], ["inspect"]):
        result = CliRunner().invoke(main, [*command[:2], str(voice), *command[2:]] if command[0] == "engine" else
                                    [command[0], str(voice), *command[1:]])  # fmt: skip
        assert result.exit_code == 1, result.output
        assert "is a link out of the bundle" in result.output
    assert [file.read_bytes() for file in files] == [b"mine"] * 3


@linux_links
def test_shared_parts_hold_no_links_out_either(voice):
    (voice.parent / "victim").mkdir()
    (voice.parent / "shared" / "engines").symlink_to("../victim")
    assert "is a link out of the bundle" in refused(voice)


@linux_links
def test_links_to_whole_folders_of_ones_own_are_no_matter(voice):
    (voice.parent / "link").symlink_to("voice")
    moved = voice.parent / "shared"
    moved.rename(voice.parent / "elsewhere")
    moved.symlink_to("elsewhere")
    assert Bundle.open(voice.parent / "link").digest == Bundle.open(voice).digest


# Manifests


@pytest.mark.parametrize(
    ("name", "good"),
    [("graphs/a.onnx", True), ("a", True), ("", False), (".", False), ("..", False), ("../a", False),
     ("a/../b", False), ("/a", False), ("C:a", False), ("C:/a", False), ("a\\b", False), ("a\0", False),
     ("//a/b", False), ("a//b", False)],
)  # fmt: skip
def test_which_names_a_manifest_may_hold(name, good):
    assert is_inside(name) is good


@pytest.mark.parametrize("name", ["../outside.onnx", "/outside.onnx", "graphs/unlisted.onnx"])
@pytest.mark.parametrize("field", ["file", "weights", "cpu_file"])
def test_graphs_lie_in_the_bundle_and_are_listed(voice, name, field):
    manifest = manifest_of(voice)
    shutil.copy(voice / manifest["graphs"]["gpt_step"]["file"], voice.parent / "outside.onnx")
    manifest["graphs"]["gpt_step"][field] = name
    write_manifest(voice, manifest)
    assert f"graphs.gpt_step.{field} is " in refused(voice)


def test_files_and_shared_folders_lie_where_they_belong(voice):
    manifest = manifest_of(voice)
    record = next(iter(manifest["files"].values()))
    write_manifest(voice, {**manifest, "files": {**manifest["files"], "../x": record}})
    assert "a name in files is " in refused(voice)
    for part in manifest["shared"].values():
        part["folder"] = "../voice"
    write_manifest(voice, manifest)
    assert "expected the name of a folder" in refused(voice)


def test_one_line_says_whatever_is_wrong_with_a_manifest(voice):
    """Those of the right digest and wrong structure, as another release may write them."""
    good, rng = manifest_of(voice), random.Random(1)
    places = list(places_of(good))
    counts = {"taken": 0, "refused": 0}
    for _ in range(200):
        manifest = copy.deepcopy(good)
        what = change(manifest, rng.choice(places), rng)
        try:
            write_manifest(voice, manifest)
        except ValueError:  # half characters have no digest
            continue
        answer = answer_to(open_and_describe, voice)
        assert answer in counts, f"{what}: {answer}"
        counts[answer] += 1
    assert counts["taken"] > 20
    assert counts["refused"] > 70


def open_and_describe(path):
    bundle = Bundle.open(path)
    return describe_text(describe(bundle)), Tolerances(bundle)


@pytest.mark.parametrize("way", ways_to_spoil())
@pytest.mark.parametrize(
    "name", ["manifest.json", "verification.json", "engines/x/a-0.json", "prepacked/0/prepacked.json"]
)
def test_whatever_lies_in_place_of_json_is_told_in_one_line(voice, name, way):
    if way == "folder" and name == "manifest.json":
        way = "empty"
    path = voice / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    ways_to_spoil()[way](path)
    result = CliRunner().invoke(main, ["inspect", str(voice)])
    assert result.exit_code in (0, 1)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if result.exit_code == 1:
        assert len(result.output.strip().splitlines()) == 1
    else:
        assert path.name.split(".")[0] in result.output or way in ("folder", "circle")


# Recorded values


def test_golden_values_of_strangers_are_refused_in_one_line(voice):
    answers = {}
    for name, path in changed_golden(voice, every=7):
        answers[name] = answer_to(lambda path: recorded_request(Bundle.open(path)), path)
    assert not {name: a for name, a in answers.items() if a.startswith("DEFECT")}
    assert sum(a == "refused" for a in answers.values()) > 12


def test_a_golden_file_that_is_larger_in_memory_is_not_read(voice, monkeypatch):
    file = voice.parent / "golden.npz"
    np.savez_compressed(file, wave=np.zeros(1 << 20, np.float32))
    assert file.stat().st_size < 10_000
    write_listed(voice, "golden/request.npz", file.read_bytes())
    monkeypatch.setattr("sovits_runtime.bundle.arrays.MOST_BYTES", 1 << 20)
    with pytest.raises(BundleError, match="take more than 1048576 bytes"):
        Bundle.open(voice).golden("request")


@pytest.mark.parametrize("what", ["tolerances", "request", "golden"])
def test_verify_says_what_is_missing(voice, what):
    manifest = manifest_of(voice)
    if what == "request":
        manifest["golden"] = {}
    elif what == "tolerances":
        del manifest["tolerances"]["logits"]
    else:
        with np.load(voice / "golden" / "request.npz") as file:
            arrays = {name: file[name] for name in file.files if name != "leads"}
        np.savez(voice.parent / "golden.npz", **arrays)
        write_listed(voice, "golden/request.npz", (voice.parent / "golden.npz").read_bytes())
    if what != "golden":
        write_manifest(voice, manifest)
    said = {
        "tolerances": "no tolerance 'logits'",
        "request": "no recorded request",
        "golden": "no array 'leads'",
    }
    with pytest.raises(BundleError, match=said[what]):
        read_recorded(Bundle.open(voice))


def read_recorded(bundle):
    return recorded_request(bundle), recorded_options(bundle), Tolerances(bundle)["logits"]


def test_deep_json_is_deeper_than_pythons_stack():
    with pytest.raises(RecursionError):
        json.loads(DEEP)
