"""What the doctor knows of GPUs, drivers and CUDA packages, on machines that are not here."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sovits_engines.cuda.compatibility import (
    architecture,
    driver_findings,
    kernel_findings,
    mix_findings,
    tensorrt_findings,
)
from sovits_engines.cuda.driver import Driver, Gpu
from sovits_engines.cuda.summary import gpu_summary
from sovits_exporter.cli.engine import run_build
from sovits_runtime.bundle import Bundle
from sovits_runtime.doctor.gpu_memory import estimate_memory
from sovits_runtime.doctor.voice import bundle_findings, memory_finding
from sovits_runtime.errors import BackendError
from sovits_runtime.machine.cuda_lines import LINES, installed_line
from sovits_runtime.machine.cuda_packages import cuda_users, installed_mix, torch_version

TORCH_12 = {"torch": "2.9.0+cu128", "nvidia-cudnn-cu12": "9.10.2", "nvidia-cublas-cu12": "12.8.4.1"}
RTX = {
    "tensorrt-rtx-cu12-libs": "1.7.1.116",
    "tensorrt-rtx-cu12-bindings": "1.7.1.116",
    "cuda-bindings": "12.9.4",
}
ENTERPRISE = {"tensorrt-cu12": "10.16.1.11", "tensorrt-cu12-libs": "10.16.1.11", "cuda-bindings": "12.9.4"}


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ((6, 1), "Pascal"),
        ((7, 0), "Volta"),
        ((7, 5), "Turing"),
        ((8, 0), "Ampere"),
        ((8, 6), "Ampere"),
        ((8, 9), "Ada Lovelace"),
        ((9, 0), "Hopper"),
        ((10, 0), "Blackwell"),
        ((12, 1), "Blackwell"),
        ((2, 0), ""),
    ],
)
def test_architectures_have_names(capability, name):
    assert architecture(capability) == name


def topics(findings):
    return [(f.level, f.topic) for f in findings]


def test_packages_of_one_cuda_are_no_mix():
    assert mix_findings(cuda_users({**TORCH_12, **ENTERPRISE, "onnxruntime-gpu": "1.26.0"})) == ()


@pytest.mark.parametrize(
    "intruder",
    [
        {"onnxruntime-gpu": "1.31.1"},
        {"torch": "2.9.0+cu130"},
        {"tensorrt-cu13": "11.4.0.106"},
        {"nvidia-cudnn-cu11": "8.9.5"},
        {"nvidia-cublas": "13.1.0"},
        {"cuda-bindings": "13.0.1"},
        {"cuda-python": "13"},
        {"cupy-cuda11x": "13.6.0"},
        {"onnxruntime-gpu": "1.18.1"},
    ],
)
def test_a_mix_is_named_with_its_packages(intruder):
    (finding,) = mix_findings(cuda_users({**TORCH_12, **intruder}))
    name, version = next(iter(intruder.items()))
    assert (finding.level, finding.topic) == ("warning", "CUDA mix")
    assert f"{name} {version}" in finding.text
    assert "nvidia-cudnn-cu12 9.10.2" in finding.text
    assert f"CUDA 12 (driver 525 or later): pip uninstall -y {name}" in finding.remedy


def test_how_to_keep_one_cuda_names_what_goes_and_what_comes():
    versions = {"torch": "2.9.0+cu128", "onnxruntime-gpu": "1.31.1", "cuda-bindings": "13.5.0"}
    (finding,) = mix_findings(cuda_users(versions))
    assert finding.remedy == (
        "keep one. CUDA 12 (driver 525 or later): pip uninstall -y cuda-bindings onnxruntime-gpu, then pip install "
        '"sovits-export[cuda]"; or CUDA 13 (driver 580 or later): pip uninstall -y torch, then pip install torch, '
        'then pip install "sovits-export[cuda13]"; or give each its own virtual environment'
    )


@pytest.mark.parametrize(
    ("versions", "major"),
    [
        ({}, 12),
        ({"torch": "2.13.0+cu130"}, 13),
        ({"torch": "2.13.0+cu130", "onnxruntime-gpu": "1.26.0"}, 12),
        ({"torch": "2.9.0+cu128", "tensorrt-rtx-cu13-libs": "1.7.1.116", "cuda-bindings": "13.5.0"}, 13),
        ({"onnxruntime-gpu": "1.31.1", "cuda-bindings": "12.9.4"}, 12),
        ({"onnxruntime-gpu": "1.18.1"}, 12),
    ],
)
def test_the_line_that_an_environment_is_on(versions, major):
    line = installed_line(versions)
    assert line.major == major
    assert (
        line.extra("rtx")
        == ('pip install "sovits-export[rtx]"', 'pip install "sovits-export[rtx13]"')[major - 12]
    )


def test_the_extras_of_both_lines_bring_what_the_lines_name():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    extras = project["optional-dependencies"]
    for line in LINES.values():
        for name in ("cuda", "rtx", "tensorrt", "rtx-build"):
            required = extras[name + line.suffix]
            assert line.bindings in required or name == "rtx-build"
            assert not [r for r in required if re.search(rf"-cu(?!{line.major})\d\d", r)]
        assert f"sovits-export[rtx-build{line.suffix}]" in extras["rtx" + line.suffix]


def test_no_kernel_image_is_explained_before_it_happens():
    old = cuda_users({"torch": "2.6.0+cu124"})
    (finding,) = kernel_findings((12, 0), old)
    assert (
        "torch 2.6.0+cu124 was compiled with CUDA 12.4, before compute capability 12.0 was known"
        in finding.text
    )
    assert "no kernel image is available" in finding.text
    assert finding.remedy == "install a build for CUDA 12.8 or later"
    assert kernel_findings((9, 0), old) == ()
    assert kernel_findings((12, 0), cuda_users({"torch": "2.9.0+cu128"})) == ()
    assert kernel_findings((12, 1), cuda_users({"torch": "2.9.0+cu128"})) == ()  # code for 12.0 runs there
    (volta,) = kernel_findings((7, 0), cuda_users({"torch": "2.9.0+cu130"}))
    assert "built for CUDA 13, which compiles nothing for compute capability 7.0" in volta.text


@pytest.mark.parametrize(
    ("torch", "capability", "told"),
    [
        ("2.8.0+cu128", (6, 1), True),
        ("2.8.0+cu129", (5, 2), True),
        ("2.7.1+cu128", (6, 1), False),
        ("2.13.0+cu126", (6, 1), False),
        ("2.10.0+cu128", (7, 0), False),
        ("2.11.0+cu128", (7, 0), True),
        ("2.13.0+cu129", (7, 0), True),
        ("2.11.0+cu130", (7, 0), True),
        ("2.13.0+cu128", (7, 5), False),
    ],
)
def test_architectures_that_builds_of_pytorch_leave_out(torch, capability, told):
    findings = kernel_findings(capability, cuda_users({"torch": torch}))
    assert bool(findings) == told
    for finding in findings:
        assert (finding.level, finding.topic) == ("warning", "kernels")
        assert "expect 'no kernel image is available for execution on the device'" in finding.text
        assert finding.remedy == "pip install torch --index-url https://download.pytorch.org/whl/cu126"


@pytest.mark.parametrize("name", ["cuda-bindings", "cuda-python", "nvidia-cuda-runtime", "nvidia-cuda-nvrtc"])
def test_packages_without_kernels_are_not_blamed(name):
    assert kernel_findings((6, 1), cuda_users({name: "13.0.1"})) == ()
    assert kernel_findings((12, 0), cuda_users({name: "12.6.1"})) == ()


def install(folder: Path, **versions: str) -> None:
    """Metadata of distributions, as pip leaves them."""
    for name, version in versions.items():
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
        )


@pytest.mark.parametrize(
    ("version", "file", "told"),
    [
        ("2.11.0", "__version__ = '2.11.0+cu130'\ncuda: Optional[str] = '13.0'\n", "2.11.0+cu130"),
        ("2.9.0+cu128", "cuda: Optional[str] = '12.8'\n", "2.9.0+cu128"),
        ("2.2.0", "cuda = '12.1'\n", "2.2.0+cu121"),
        ("2.13.0+cpu", "cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n", "2.13.0+cpu"),
        ("2.11.0", None, "2.11.0"),
    ],
)
def test_cuda_of_pytorch_is_read_from_its_file(tmp_path, monkeypatch, version, file, told):
    """Wheels from PyPI do not have it in their metadata."""
    install(tmp_path, torch=version)
    if file is not None:
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "version.py").write_text(file, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert torch_version() == told


@pytest.fixture
def mixed(tmp_path, monkeypatch):
    """TensorRT for CUDA 12 beside PyPI's PyTorch for CUDA 13."""
    install(tmp_path / "site", torch="2.11.0", tensorrt_cu12="11.4.0.106", cupy_cuda11x="13.6.0")
    (tmp_path / "site" / "torch").mkdir()
    (tmp_path / "site" / "torch" / "version.py").write_text(
        "cuda: Optional[str] = '13.0'\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def test_a_mix_that_is_installed_is_told_in_one_line(mixed):
    line = installed_mix()
    assert "packages of 3 CUDA versions" in line
    for cuda, package in (
        (11, "cupy-cuda11x 13.6.0"),
        (12, "tensorrt-cu12 11.4.0.106"),
        (13, "torch 2.11.0+cu130"),
    ):
        # The environment that runs this may have more of each.
        assert re.search(rf"CUDA {cuda}: ([^;]+, )?{re.escape(package)}(,|;|$)", line), line
    assert "\n" not in line


def test_a_mix_is_looked_for_without_importing_what_may_crash(mixed):
    code = (
        f"import sys; sys.path.insert(0, {str(mixed)!r}); "
        "from sovits_runtime.machine.cuda_packages import installed_mix; "
        "assert installed_mix(); assert not {'torch', 'tensorrt', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_engine_build_names_a_mix_before_anything_is_loaded(mixed, caplog):
    with pytest.raises(BackendError, match=r"needs compute capability 7\.5"):
        run_build(None, ["sm61"])
    assert "packages of 3 CUDA versions are installed together" in caplog.text
    assert caplog.records[0].levelname == "WARNING"


@pytest.mark.parametrize(
    ("driver", "packages", "windows", "text"),
    [
        (
            "530.41.03",
            ENTERPRISE,
            False,
            "this driver is 530.41.03; 535 or later is needed by tensorrt-cu12 10.16.1.11, tensorrt-",
        ),
        ("536.10", ENTERPRISE, True, "this driver is 536.10; 537 or later"),
        ("520.61.05", {"torch": "2.9.0+cu128"}, False, "525 or later is needed by torch"),
        (
            "570.86.10",
            {"onnxruntime-gpu": "1.31.1"},
            False,
            "580 or later is needed by onnxruntime-gpu 1.31.1",
        ),
        ("570.86.10", {**ENTERPRISE, **TORCH_12}, False, ""),
        ("", ENTERPRISE, False, ""),
    ],
)
def test_drivers_too_old_for_what_is_installed(driver, packages, windows, text):
    findings = driver_findings(driver, cuda_users(packages), windows=windows)
    assert bool(findings) == bool(text)
    assert not text or any(text in f.text for f in findings)


def test_the_flavour_of_tensorrt_that_would_serve_each_gpu():
    ada, hopper = (8, 9), (9, 0)
    (finding,) = tensorrt_findings([ada, ada], {**RTX, **ENTERPRISE})
    assert finding.text.endswith("engines for Ada Lovelace 8.9 by TensorRT for RTX 1.7.1.116")
    both = tensorrt_findings([ada, hopper], {**RTX, **ENTERPRISE})
    assert [f.text.rpartition(" by ")[2] for f in both] == [
        "TensorRT for RTX 1.7.1.116",
        "TensorRT 10.16.1.11",
    ]
    (alone,) = tensorrt_findings([hopper], RTX)
    assert (alone.level, alone.remedy) == ("warning", 'pip install "sovits-export[tensorrt]"')
    (pascal,) = tensorrt_findings([(6, 1)], ENTERPRISE)
    assert "Pascal 6.1 is too old for it" in pascal.text
    (nowhere,) = tensorrt_findings([], RTX)
    assert "engines for named GPUs can be built here" in nowhere.text
    no_bindings = {k: v for k, v in RTX.items() if k != "cuda-bindings"}
    assert "missing: cuda-bindings" in tensorrt_findings([ada], no_bindings)[1].text


RTX_LINE = 'pip install "sovits-export[rtx]"'
ENTERPRISE_LINE = 'pip install "sovits-export[tensorrt]"'


@pytest.mark.parametrize(
    ("gpus", "remedy"),
    [
        ([(8, 9)], RTX_LINE),
        ([(9, 0)], ENTERPRISE_LINE),
        ([(9, 0), (8, 6)], f"{ENTERPRISE_LINE}, {RTX_LINE}"),
        ([(6, 1)], ""),
        ([(7, 0)], ""),
        ([], f'{RTX_LINE} for GeForce and RTX cards, "sovits-export[tensorrt]" for others'),
    ],
)
def test_only_what_serves_the_gpu_is_offered(gpus, remedy):
    (finding,) = tensorrt_findings(gpus, {})
    assert (finding.level, finding.remedy) == ("info", remedy)
    assert finding.text.startswith("not installed")
    assert ("is too old for it" in finding.text) == (not remedy)


def test_tensorrt_that_would_be_refused_is_not_called_ok():
    (old,) = tensorrt_findings(
        [(8, 9)], {**ENTERPRISE, "tensorrt-cu12": "10.14.1.48", "tensorrt-cu12-libs": "10.14.1.48"}
    )
    assert (old.level, old.remedy) == ("warning", ENTERPRISE_LINE)
    assert old.text == "TensorRT 10.14.1.48 is too old, 10.15 or later is needed"
    both = {**RTX, "tensorrt-rtx-cu12-bindings": "1.6.1.120", **ENTERPRISE}
    first, second = tensorrt_findings([(8, 9)], both)
    assert (first.level, first.remedy) == ("warning", RTX_LINE)
    assert (second.level, second.text) == (
        "ok",
        "TensorRT 10.16.1.11; engines for Ada Lovelace 8.9 by TensorRT 10.16.1.11",
    )
    assert len(tensorrt_findings([], both)) == 2


def test_everything_at_once():
    """An old card, an old driver and a mixture: each is named, in the order in which one looks."""
    driver = Driver("libcuda.so.1", "", (12, 2), "520.61.05", (Gpu("Tesla V100", (7, 0), 16 << 30),))
    told = gpu_summary(driver, {"cudart": {12: Path("/lib/a")}}, {"torch": "2.9.0+cu130", **ENTERPRISE})
    assert topics(told.findings) == [
        ("ok", "GPU driver"),
        ("warning", "GPU driver"),  # 525 for CUDA 12
        ("warning", "GPU driver"),  # 535 for TensorRT
        ("warning", "GPU driver"),  # 580 for CUDA 13
        ("warning", "GPU 0"),
        ("warning", "kernels"),
        ("ok", "CUDA versions"),
        ("info", "speak on CUDA"),
        ("warning", "CUDA mix"),
        ("info", "TensorRT"),
    ]
    assert told.memory_bytes == 16 << 30


def test_memory_is_estimated_by_precision_and_cache_length(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    single = estimate_memory(bundle, precision="fp32", cache_lengths=(512,))
    half = estimate_memory(bundle, precision="fp16", cache_lengths=(512, 1024))
    spec = bundle.graph_spec("gpt_step")
    _, heads, _, width = spec.tensor(spec.aliases[0][0]).shape
    assert single.caches_bytes == {512: 4 * len(spec.aliases) * heads * 512 * width}
    assert half.caches_bytes[1024] == single.caches_bytes[512]
    gpt = (bundle.path / "graphs" / "gpt.weights").stat().st_size
    others = single.weights_bytes - 2 * gpt
    assert half.weights_bytes == pytest.approx((3 * gpt + others) / 2, rel=1e-3)
    assert half.total_bytes(3) == half.weights_bytes + 3 * sum(half.caches_bytes.values())


def test_too_little_gpu_memory_is_warned_of(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    needed = estimate_memory(bundle, precision="fp32").total_bytes()
    assert memory_finding(bundle, "fp32", needed).level == "info"
    finding = memory_finding(bundle, "fp32", needed - 1)
    assert finding.level == "warning"
    assert "engine build --cache-size" in finding.remedy
    found = bundle_findings(tiny_bundle, gpu_bytes=needed - 1)
    assert [f.topic for f in found if f.level == "warning"] == ["GPU memory, fp32"]
