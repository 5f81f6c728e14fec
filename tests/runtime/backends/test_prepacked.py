"""Graphs kept as this processor's kernels read them: the same samples, mapped from files, and never the wrong ones."""

import json
import os
import shutil
import stat
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.backends import onnxruntime as backend
from sovits_runtime.backends import prepacked
from sovits_runtime.backends.native import ABI, library
from sovits_runtime.backends.prepacked import find_prepacked, prepack, remove_prepacked
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BackendError, BundleError

PHONES = ["HH", "AH0", "L", "OW1", "."]
SHORT = SpeechOptions(max_tokens=30)


@pytest.fixture
def bundle(copied_bundle) -> Bundle:
    return Bundle.open(copied_bundle)


def speak(bundle, reference, gpt_steps="auto"):
    with Synthesizer.load(bundle, gpt_steps=gpt_steps) as voice:
        return voice.synthesize(PHONES, reference, options=SHORT).samples


def test_the_same_samples_come_out_of_mapped_files(bundle, reference):
    plain = speak(bundle, reference, gpt_steps="onnxruntime")
    steps = []
    made = prepack(bundle, gpt_steps="onnxruntime", progress=lambda *step: steps.append(step))
    own = [name for name in bundle.graph_names if bundle.manifest["graphs"][name]["shared"] is None]
    assert set(made.graphs) == set(own)
    sizes = {path.stem: path.stat().st_size for path in made.folder.glob("gpt_*.weights")}
    assert sizes["gpt_prefill"] < sizes["gpt_step"] / 2  # the rest is in the step's file
    assert [name for name, _, _ in steps] == [*made.graphs, "done"]
    samples, added = speak_and_look(bundle, reference, gpt_steps="onnxruntime")
    assert samples.tobytes() == plain.tobytes()
    if sys.platform == "linux":
        assert made.folder / "gpt_step.weights" in added
        assert not any(path.parent.name == "graphs" for path in added)


@pytest.mark.skipif(library() is None, reason="sovits-export-native is not installed")
def test_native_kernels_map_their_weights(bundle, reference, caplog):
    plain = speak(bundle, reference, gpt_steps="native")
    made = prepack(bundle, gpt_steps="native")
    assert made.graphs["gpt_step"] == "gpt_step.native"
    assert "gpt_prefill" not in made.graphs  # reads the bundle's own file
    samples, added = speak_and_look(bundle, reference, gpt_steps="native")
    assert samples.tobytes() == plain.tobytes()
    if sys.platform == "linux":
        assert made.folder / "gpt_step.native" in added
    assert not caplog.records
    assert find_prepacked(bundle, gpt_steps="onnxruntime") is None
    assert f"native is none, it was built for {ABI}" in caplog.text
    assert prepack(bundle, gpt_steps="onnxruntime").folder != made.folder


def speak_and_look(bundle, reference, *, gpt_steps):
    """What a voice says, and the bundle's files that it has mapped meanwhile."""
    before = mappings(bundle.path)
    with Synthesizer.load(bundle, gpt_steps=gpt_steps) as voice:
        samples = voice.synthesize(PHONES, reference, options=SHORT).samples
        return samples, mappings(bundle.path) - before


def mappings(folder: Path) -> Counter[Path]:
    """Files in a folder that this process has mapped into memory, and how often."""
    if sys.platform != "linux":
        return Counter()
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return Counter(Path(line.split(maxsplit=5)[5]) for line in lines if str(folder) in line)


def test_what_is_there_is_kept(bundle):
    first = prepack(bundle)
    (file,) = first.folder.glob("sovits_flow.onnx")
    written = file.stat().st_mtime_ns
    assert prepack(bundle) == first == find_prepacked(bundle)
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("what", "value"), [("cpu", "Another Processor 9000"), ("features", ["AVX"]), ("onnxruntime", "1.0.0")]
)
def test_another_machine_does_not_take_them_and_says_so(bundle, reference, monkeypatch, caplog, what, value):
    here = dict(prepacked.machine_fields())
    monkeypatch.setattr(prepacked, "machine_fields", lambda: {**here, what: value})
    elsewhere = prepack(bundle)
    monkeypatch.setattr(prepacked, "machine_fields", lambda: here)
    assert find_prepacked(bundle) is None
    made_for, is_here = (v if isinstance(v, str) else json.dumps(v) for v in (value, here[what]))
    assert f"{what} is {is_here}, it was built for {made_for}" in caplog.text
    assert f"sovits-export prepack {bundle.path}" in caplog.text
    opened = []
    monkeypatch.setattr(
        "sovits_runtime.backends.cpu.open_session",
        lambda path, spec, options: opened.append(path) or backend.open_session(path, spec, options),
    )
    assert len(speak(bundle, reference))
    assert all(prepacked.FOLDER not in path.parts for path in opened)
    assert prepack(bundle).folder != elsewhere.folder
    assert elsewhere.folder.is_dir()


def test_another_bundle_does_not_take_them(bundle, tmp_path, caplog):
    prepack(bundle)
    manifest = bundle.path / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["made_by"]["note"] = "rebuilt"
    from sovits_runtime.bundle import manifest_digest

    content["digest"] = manifest_digest(content)
    manifest.write_text(json.dumps(content), encoding="utf-8")
    assert find_prepacked(Bundle.open(bundle.path)) is None
    assert f"bundle is {content['digest']}, it was built for {bundle.digest}" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "record"])
def test_damage_is_named_and_mended(bundle, reference, damage):
    made = prepack(bundle)
    file = made.folder / "sovits_flow.weights"
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-1])
    elif damage == "changed":
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "gone":
        file.unlink()
    else:
        (made.folder / prepacked.RECORD).write_text("{", encoding="utf-8")
    wanted = prepacked.RECORD if damage == "record" else file.name
    with pytest.raises(BundleError, match=rf"{wanted}.*sovits-export prepack"):
        Synthesizer.load(bundle)
    shown = CliRunner().invoke(main, ["inspect", str(bundle.path)])
    assert wanted in shown.output
    assert prepack(bundle).problem() == ""
    assert len(speak(bundle, reference))


def test_nothing_half_written_stays(bundle, monkeypatch):
    write = prepacked.write_optimized

    def fail(path, target):
        if target.stem == "sovits_flow":
            raise BackendError("no space")
        write(path, target)

    monkeypatch.setattr(prepacked, "write_optimized", fail)
    with pytest.raises(BackendError, match="no space"):
        prepack(bundle)
    assert list((bundle.path / prepacked.FOLDER).iterdir()) == []
    assert find_prepacked(bundle) is None


def test_a_bundle_without_any_is_described_without_a_backend(bundle, monkeypatch):
    def missing():
        raise BackendError("onnxruntime is not installed")

    monkeypatch.setattr(prepacked, "machine_fields", missing)
    assert prepacked.describe_prepacked(bundle) == []


def test_two_that_prepack_at_once_make_one(bundle, tmp_path, monkeypatch):
    made = prepack(bundle)
    shutil.move(made.folder, tmp_path / "of the faster one")
    inode = (tmp_path / "of the faster one").stat().st_ino
    write = prepacked.write_optimized

    def overtaken(path, target):
        write(path, target)
        if not made.folder.exists():
            shutil.move(tmp_path / "of the faster one", made.folder)

    monkeypatch.setattr(prepacked, "write_optimized", overtaken)
    assert prepack(bundle) == find_prepacked(bundle) == made
    assert made.folder.stat().st_ino == inode
    assert [path.name for path in made.folder.parent.iterdir()] == [made.folder.name]


def test_what_a_killed_process_left_is_not_taken_and_goes(bundle):
    made = prepack(bundle)
    leftover = made.folder.with_name(".0123.0123456789abcdef.part")  # of another key
    shutil.move(made.folder, leftover)
    leftover.with_suffix(".lock").touch()  # which nobody holds
    assert find_prepacked(bundle) is None
    assert prepacked.describe_prepacked(bundle) == []
    assert prepack(bundle).folder == made.folder
    assert find_prepacked(bundle).problem() == ""
    assert [path.name for path in made.folder.parent.iterdir()] == [made.folder.name]


def test_a_folder_that_cannot_be_written_is_named(bundle):
    (bundle.path / prepacked.FOLDER).write_text("in the way", encoding="utf-8")
    with pytest.raises(BundleError, match=r"prepacked.*cannot be written"):
        prepack(bundle)


def test_they_can_be_removed(bundle):
    made = prepack(bundle)
    assert remove_prepacked(bundle) > made.bytes  # the record comes on top
    assert not (bundle.path / prepacked.FOLDER).exists()
    assert remove_prepacked(bundle) == 0


def test_the_command_verifies_what_it_made(bundle):
    runner = CliRunner()
    result = runner.invoke(main, ["prepack", str(bundle.path)])
    assert result.exit_code == 0, result.output
    assert "free run" in result.output
    made = find_prepacked(bundle)
    assert str(made.folder) in result.output
    shown = runner.invoke(main, ["inspect", str(bundle.path)])
    assert f"{made.bytes / 1e6:.0f} MB for {prepacked.machine_fields()['cpu']}" in shown.output
    assert "used here" in shown.output
    gone = runner.invoke(main, ["prepack", str(bundle.path), "--remove"])
    assert gone.exit_code == 0
    assert find_prepacked(bundle) is None


def test_what_fails_its_verification_does_not_stay(bundle, monkeypatch):
    write = prepacked.write_optimized

    def swap(path, target):  # a graph of the same shape with other weights
        write(path, target)
        if target.stem == "sovits_flow":
            weights = target.with_suffix(".weights")
            content = bytearray(weights.read_bytes())
            content[3::4] = bytes(len(content[3::4]))  # no exponents
            weights.write_bytes(content)

    monkeypatch.setattr(prepacked, "write_optimized", swap)
    result = CliRunner().invoke(main, ["prepack", str(bundle.path)])
    assert result.exit_code == 3, result.output
    assert "removed" in result.output
    assert find_prepacked(bundle) is None


def test_a_set_that_came_with_the_bundle_is_not_taken(bundle, reference, tmp_path, monkeypatch, caplog):
    """Somebody else's, for this very processor: ONNX Runtime would run it as it is."""
    with monkeypatch.context() as stranger:
        stranger.setenv("SOVITS_EXPORT_CACHE", str(tmp_path / "of a stranger"))
        made = prepack(bundle)
        assert find_prepacked(bundle).folder == made.folder
    assert find_prepacked(bundle) is None
    assert "not of this user" in caplog.text
    assert "user is " in caplog.text
    opened = []
    monkeypatch.setattr(
        "sovits_runtime.backends.cpu.open_session",
        lambda path, spec, options: opened.append(path) or backend.open_session(path, spec, options),
    )
    assert len(speak(bundle, reference))
    assert all(prepacked.FOLDER not in path.parts for path in opened)
    (shown,) = prepacked.describe_prepacked(bundle)
    assert (shown["here"], shown["problem"]) == (False, "")


@pytest.mark.parametrize("change", ["shortened", "unlisted", "of another folder", "deep", "null"])
def test_a_record_that_was_changed_is_found_out(bundle, change):
    """A blob that is shorter than ONNX Runtime expects is read beyond its end."""
    made = prepack(bundle)
    path = made.folder / prepacked.RECORD
    record = json.loads(path.read_text(encoding="utf-8"))
    if change == "shortened":
        file = made.folder / "sovits_flow.weights"
        file.write_bytes(file.read_bytes()[:-4096])
        record["files"][file.name] = prepacked.FileRecord.of(file, whole=False).to_json()
    elif change == "unlisted":
        del record["files"]["sovits_flow.onnx"]
    elif change == "of another folder":
        record["ingredients"]["bundle"] = "0" * 64
    path.write_text({"deep": "[" * 200_000, "null": "null"}.get(change, json.dumps(record)), encoding="utf-8")
    with pytest.raises(BundleError, match=r"prepacked\.json.*sovits-export prepack"):
        find_prepacked(bundle)
    assert prepack(bundle).problem() == ""


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_the_users_key_is_theirs_alone(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("SOVITS_EXPORT_CACHE", str(tmp_path / "cache"))
    prepack(bundle)
    key = tmp_path / "cache" / "seal.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.stat().st_size == 32
    (tmp_path / "file").touch()
    monkeypatch.setenv("SOVITS_EXPORT_CACHE", str(tmp_path / "file"))
    with pytest.raises(BundleError, match=r"seal\.key: cannot be written .*SOVITS_EXPORT_CACHE"):
        prepack(bundle)
