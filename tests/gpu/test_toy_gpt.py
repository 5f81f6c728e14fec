"""The toy GPT: its kernels, compiled as C++ for the CPU, run by the scheduler on the fake device."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_device import FakeDevice
from toy_steps import compile_toy, engines

from sovits_runtime.t2s.device_loop import DeviceTextToSemantic
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.sampling import SamplingOptions

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def toy():
    import importlib

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
        yield importlib.import_module("toy_gpt")


@pytest.fixture(scope="module")
def library(toy, folder):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    return compile_toy(toy, folder)


@pytest.mark.parametrize("seed", range(6))
def test_the_scheduler_says_what_the_toy_says(toy, library, seed):
    """Ends at different places, crosses caches and blocks of noise; many requests in the same slot."""
    t2s = DeviceTextToSemantic(FakeDevice(seed), engines(toy, library, (64, 128, 512)))
    rng = np.random.default_rng(seed)
    ends = set()
    for _ in range(5):
        phones, prompt = rng.integers(0, 50, rng.integers(1, 40)), rng.integers(0, 60, rng.integers(0, 40))
        options = SamplingOptions(min_tokens=int(rng.integers(0, 100)))
        number = int(rng.integers(1 << 30))

        def noise(number=number):
            return seeded_noise(np.random.default_rng(number), toy.VOCAB)

        want = toy.expected_tokens(phones, prompt, options=options, noise=noise(), max_tokens=300)
        bert = np.zeros((len(phones), toy.BERT_WIDTH), np.float32)
        got = t2s.generate(phones, bert, prompt, options=options, noise=noise(), max_tokens=300)
        assert got.tokens.tolist() == want
        ends.add(got.stop_reason)
    assert "eos" in ends


@pytest.mark.parametrize("capability", [(7, 5), (9, 0), (12, 0)])
def test_the_kernels_compile_to_machine_code(toy, capability):
    """Not to PTX, which a driver that is older than NVRTC refuses."""
    pytest.importorskip("cuda.bindings.nvrtc")
    code = toy.compile_kernels(capability)
    assert code.startswith(b"\x7fELF")
    assert b".text.step\0" in code
    assert b".text.prefill\0" in code
