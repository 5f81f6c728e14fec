"""Where files that are open or mapped cannot be moved, as on Windows: nothing of ours keeps open what it replaces."""

from __future__ import annotations

import shutil

import pytest

from sovits_runtime import Synthesizer
from sovits_runtime.backends import prepacked
from sovits_runtime.backends.native import library
from sovits_runtime.backends.prepacked import find_prepacked, prepack
from sovits_runtime.bundle import Bundle

needs_kernels = pytest.mark.skipif(library() is None, reason="sovits-export-native is not installed")


def leftovers(folder):
    return sorted(path.name for path in folder.rglob(".*"))


def build(run, files, output):
    result = run(
        "build", "--gpt", files.gpt, "--sovits", files.sovits, "--hubert", files.hubert, "-o", output
    )
    assert result.exit_code == 0, result.output


def test_a_build_replaces_a_bundle(run, like_windows, demo_files, copied_bundle):
    older = (copied_bundle / "manifest.json").read_bytes()
    build(run, demo_files, copied_bundle)
    assert (copied_bundle / "manifest.json").read_bytes() != older
    assert like_windows == []
    assert leftovers(copied_bundle.parent) == []


@pytest.mark.parametrize(
    "options", [["--precision", "gpt=int8"], pytest.param(["--fp16"], marks=pytest.mark.slow)]
)
def test_a_conversion_leaves_no_folder_behind(run, like_windows, copied_bundle, options):
    output = copied_bundle.parent / "converted"
    result = run("convert", copied_bundle, *options, "-o", output)
    assert result.exit_code == 0, result.output
    assert leftovers(copied_bundle.parent) == []


def test_what_fails_its_verification_goes_though_it_was_mapped(run, like_windows, copied_bundle, monkeypatch):
    write = prepacked.write_optimized

    def swap(path, target):  # a graph of the same shape with other weights
        write(path, target)
        if target.stem == "sovits_flow":
            weights = target.with_suffix(".weights")
            content = bytearray(weights.read_bytes())
            content[3::4] = bytes(len(content[3::4]))  # no exponents
            weights.write_bytes(content)

    monkeypatch.setattr(prepacked, "write_optimized", swap)
    result = run("prepack", copied_bundle)
    assert result.exit_code == 3, result.output
    assert not (copied_bundle / "prepacked").exists()
    assert like_windows == []


@pytest.mark.parametrize("steps", ["onnxruntime", pytest.param("native", marks=needs_kernels)])
def test_a_set_in_use_is_named_and_never_taken_again(run, like_windows, copied_bundle, steps):
    bundle = Bundle.open(copied_bundle)
    prepack(bundle, gpt_steps=steps)
    with Synthesizer.load(bundle, gpt_steps=steps, threads=1):
        result = run("prepack", copied_bundle, "--remove")
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"error: {copied_bundle / 'prepacked'}: cannot be deleted (")
    assert line.endswith("; close what uses it")
    assert find_prepacked(bundle, gpt_steps=steps) is None
    assert run("prepack", copied_bundle, "--remove").exit_code == 0
    assert not (copied_bundle / "prepacked").exists()


def test_a_bundle_that_speaks_stays_and_the_build_says_so(run, like_windows, copied_bundle):
    older = (copied_bundle / "manifest.json").read_bytes()
    options = ("--precision", "gpt=int8", "--no-verify", "-o")
    source = shutil.copytree(copied_bundle, copied_bundle.with_name("source"))
    with Synthesizer.load(copied_bundle, threads=1) as voice:
        result = run("convert", source, *options, copied_bundle)
        assert result.exit_code == 1, result.output
        assert like_windows
        error = result.output.splitlines()[-1]
        assert error == (
            f"error: {copied_bundle}: cannot be replaced or removed while a program has it open; "
            "close what uses it, then try again, or check your rights there"
        )
        assert voice.bundle.path == copied_bundle
    assert (copied_bundle / "manifest.json").read_bytes() == older
    assert run("convert", source, *options, copied_bundle).exit_code == 0
    assert (copied_bundle / "manifest.json").read_bytes() != older
    assert leftovers(copied_bundle.parent) == []
