"""`sovits-export verify`."""

import json

import pytest

from sovits_runtime.bundle import manifest_digest


def test_it_passes_and_reports(run, tiny_bundle, tmp_path):
    result = run("verify", tiny_bundle, "--full", "--json", "--report", tmp_path / "r")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passed"] is True
    assert (tmp_path / "r" / "report.html").is_file()


def test_it_fails_with_exit_code_3(run, copied_bundle):
    path = copied_bundle / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["tolerances"]["waveform"] = 0.0
    manifest["digest"] = manifest_digest(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    result = run("verify", copied_bundle)
    assert result.exit_code == 3
    assert "waveform" in result.output


@pytest.mark.parametrize("steps", ["auto", "onnxruntime"])
def test_what_runs_the_steps_can_be_chosen(run, tiny_bundle, monkeypatch, steps):
    taken = []

    def verify_bundle(bundle, **options):
        taken.append(options["gpt_steps"])
        raise OSError(28, "enough")

    monkeypatch.setattr("sovits_runtime.verify.verify_bundle", verify_bundle)
    assert run("verify", tiny_bundle, "--gpt-steps", steps).exit_code == 1
    assert taken == [steps]


def test_a_device_without_its_provider_is_refused_not_replaced(run, tiny_bundle):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime offers CUDA")
    result = run("verify", tiny_bundle, "--device", "cuda")
    assert result.exit_code == 1
    assert "device 'cuda' cannot be used: no NVIDIA driver is installed" in result.output
