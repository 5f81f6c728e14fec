"""What the doctor knows of GPUs, drivers and CUDA packages, on machines that are not here."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovits_engines.compatibility import (
    architecture,
    cuda_users,
    driver_findings,
    kernel_findings,
    mix_findings,
    tensorrt_findings,
)
from sovits_engines.device import Driver, Gpu, gpu_summary
from sovits_runtime.bundle import Bundle
from sovits_runtime.doctor import bundle_findings, memory_finding
from sovits_runtime.gpu.estimate import estimate_memory

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
    ],
)
def test_a_mix_is_named_with_its_packages(intruder):
    (finding,) = mix_findings(cuda_users({**TORCH_12, **intruder}))
    name, version = next(iter(intruder.items()))
    assert (finding.level, finding.topic) == ("warning", "CUDA mix")
    assert f"{name} {version}" in finding.text
    assert "nvidia-cudnn-cu12 9.10.2" in finding.text
    assert "keep one, best CUDA 12" in finding.remedy


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
    (volta,) = kernel_findings((7, 0), cuda_users({"torch": "2.9.0+cu130"}))
    assert "built for CUDA 13, which compiles nothing for compute capability 7.0" in volta.text


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
    assert tensorrt_findings([ada], {})[0].text == "not installed"
    no_bindings = {k: v for k, v in RTX.items() if k != "cuda-bindings"}
    assert "missing: cuda-bindings" in tensorrt_findings([ada], no_bindings)[1].text


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
