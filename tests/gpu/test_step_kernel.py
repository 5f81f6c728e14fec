"""The GPT's step as a CUDA kernel: emulated on the CPU against the graph, and compiled for real GPUs."""

from __future__ import annotations

import ctypes
import faulthandler
import itertools
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from emulated_kernel import Emulated
from fake_device import FakeDevice, view

from sovits_exporter.precision.fp16_graphs import Fp32Graph, to_fp16
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.gpu.device import DeviceArray, Layout
from sovits_runtime.gpu.driver import driver_problem
from sovits_runtime.t2s import step_compile
from sovits_runtime.t2s.device_loop import DeviceTextToSemantic
from sovits_runtime.t2s.device_slot import GptEngines
from sovits_runtime.t2s.device_step import HISTORY, STOPPED
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.sampling import SamplingOptions
from sovits_runtime.t2s.step_compile import SOURCE, compile_step, kept_cubin
from sovits_runtime.t2s.step_kernel import StepKernel, open_kernel_steps

LENGTHS = (64, 96, 256)
LONG = SamplingOptions(min_tokens=10_000)
FULL = {"width": 512, "heads": 16, "layers": 24, "vocab": 1025}
CAPABILITIES = [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)]
FP32_LIMIT, FP16_LIMIT = 1e-4, 2e-2  # of the largest logit


@pytest.fixture(scope="module")
def folder(folder):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    return folder


@pytest.fixture(scope="module")
def half(tiny, folder):
    """What the kernel reads of a bundle in FP16."""
    path = folder / "half"
    path.mkdir()
    graph = Fp32Graph(tiny.graph_path("gpt_step"), tiny.graph_spec("gpt_step"), ())
    (halved,) = to_fp16([graph], path, "gpt")
    return SimpleNamespace(
        path=path,
        manifest={"graphs": {"gpt_step": {"precision": "fp16"}}},
        graph_spec=lambda name: halved.spec,
        graph_path=lambda name: path / f"{name}.onnx",
    )


@pytest.fixture(scope="module")
def request_(graph_voice):
    """Phones, BERT features and prompt: 20 + 30 rows of cache."""
    rng = np.random.default_rng(3)
    width = graph_voice.text_to_semantic.bert_width
    return rng.integers(0, 300, 20), rng.standard_normal((20, width), np.float32), rng.integers(0, 1024, 30)


@pytest.fixture
def t2s(tiny, gpt_engines, folder):
    """Makes the scheduler with ONNX Runtime's prefill and the emulated step."""

    def make(grid=3, policy=0, threads=64):
        device = FakeDevice(policy)
        steps = open_kernel_steps(device, tiny, LENGTHS, Emulated(folder, grid), threads=threads)
        return DeviceTextToSemantic(device, GptEngines(gpt_engines.prefill, steps))

    return make


def noise(voice, seed=5):
    return seeded_noise(np.random.default_rng(seed), voice.text_to_semantic.vocab)


@pytest.mark.parametrize(("grid", "threads"), [(1, 64), (3, 512), (7, 32), (33, 64)])
def test_whole_requests_say_what_the_host_loop_says(graph_voice, t2s, request_, grid, threads):
    """70 tokens cross both longer caches and two blocks of noise; the same slot serves one request after the other."""
    made = t2s(grid, policy=grid, threads=threads)
    for seed, count in ((5, 70), (6, 20)):
        args = {"options": LONG, "max_tokens": count}
        want = graph_voice.text_to_semantic.generate(*request_, **args, noise=noise(graph_voice, seed))
        got = made.generate(*request_, **args, noise=noise(graph_voice, seed))
        assert got.tokens.tolist() == want.tokens.tolist()


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(min_tokens=3),
        SamplingOptions(top_k=0, top_p=0.8, temperature=0.7, min_tokens=30),
        SamplingOptions(top_k=5, top_p=0.02, min_tokens=30),
        SamplingOptions(top_k=64, top_p=0.9, repetition_penalty=1.0, min_tokens=30),
        SamplingOptions(top_k=1, repetition_penalty=2.0, min_tokens=30),
        SamplingOptions(temperature=0.0, min_tokens=30),
        SamplingOptions(top_k=100_000, temperature=3.0, min_tokens=0),
    ],
)
def test_it_draws_as_the_graph_does(graph_voice, t2s, request_, options):
    made = t2s()
    for seed in range(3):
        args = {"options": options, "max_tokens": 30}
        want = graph_voice.text_to_semantic.generate(*request_, **args, noise=noise(graph_voice, seed))
        got = made.generate(*request_, **args, noise=noise(graph_voice, seed))
        assert (got.stop_reason, got.tokens.tolist()) == (want.stop_reason, want.tokens.tolist())


@pytest.mark.parametrize("end", [1, 7, 8, 20])
def test_the_end_of_speech_sticks(graph_voice, t2s, request_, end):
    def biased():
        source = seeded_noise(np.random.default_rng(4), graph_voice.text_to_semantic.vocab)

        def row(step):
            numbers = source(step)
            numbers[0, -1] = 1e-20 if step == end else 1e20
            return numbers

        return row

    args = {"options": SamplingOptions(top_k=0, min_tokens=0), "max_tokens": 40}
    want = graph_voice.text_to_semantic.generate(*request_, **args, noise=biased())
    got = t2s().generate(*request_, **args, noise=biased())
    assert (got.stop_reason, len(got.tokens)) == ("eos", end)
    assert got.tokens.tolist() == want.tokens.tolist()


def test_logits_of_forced_and_of_free_steps(graph_voice, t2s, request_):
    made = t2s()
    for given in (np.random.default_rng(0).integers(0, 1024, 50), None):
        args = {"options": SamplingOptions(min_tokens=3), "forced": given}
        want = graph_voice.text_to_semantic.steps(*request_, **args, noise=noise(graph_voice))
        got = made.steps(*request_, **args, noise=noise(graph_voice))
        for a, b in itertools.islice(zip(want, got, strict=False), 51):
            assert (a.token, a.stop) == (b.token, b.stop)
            assert np.abs(a.logits - b.logits).max() <= FP32_LIMIT * np.abs(a.logits).max()
        got.close()


class OneStep:
    """A step of its own: the same random request in a cache of 96 rows, run again and again."""

    def __init__(self, bundle, emulated, threads=64, rows=(30, 40)):
        self.device, self.emulated = FakeDevice(), emulated
        (self.engine,) = open_kernel_steps(self.device, bundle, (96,), emulated, threads=threads)
        spec, rng = self.engine.spec, np.random.default_rng(1)
        layout, aliases = Layout(), {out: name for name, out in spec.aliases}
        for t in (*spec.inputs, *spec.outputs):
            if t.name not in aliases:
                layout.add(t.name, t.resolve({}), t.dtype)
        self.arrays = layout.place(self.device.memory(layout.nbytes))
        self.arrays |= {out: self.arrays[name] for out, name in aliases.items()}
        vocab = spec.tensor("seen").shape[1]
        inputs = {"text_len": rows[0], "prompt_len": rows[1], "step": 5, "token": 77, "stopped": False}
        inputs |= {"seen": rng.random((1, vocab)) < 0.1, "history": np.arange(HISTORY)}
        inputs |= {
            "noise_block": rng.standard_exponential((64, vocab)),
            **SamplingOptions(top_p=0.9).arrays(vocab),
        }
        inputs |= {name: rng.standard_normal(spec.tensor(name).shape) for name, _ in spec.aliases}
        self.inputs = inputs
        memory = self.device.memory(self.engine.scratch_bytes)
        self.scratch = DeviceArray(memory, 0, (memory.nbytes,), np.dtype(np.uint8))
        self.context = self.engine.context(self.scratch)
        self.context.bind(self.arrays)
        self.stream = self.device.stream()

    def run(self, **changed):
        """All arrays after a step."""
        for array in (*self.arrays.values(), self.scratch):
            view(array).reshape(-1).view(np.uint8)[...] = 0xFF  # NaN: nothing is left of the run before
        for name, value in {**self.inputs, **changed}.items():
            view(self.arrays[name])[...] = value
        self.given = {name: view(array).copy() for name, array in self.arrays.items()}
        self.context.enqueue(self.stream)
        self.stream.synchronize()
        return {name: view(array).copy() for name, array in self.arrays.items()}


def test_float16_weights_and_caches(graph_voice, half, gpt_engines, folder, request_):
    """An FP16 bundle's kernel, which computes in float32, stays near the FP32 graph over forced steps."""
    device, emulated = FakeDevice(1), Emulated(folder)
    steps = open_kernel_steps(device, half, LENGTHS, emulated, threads=64)
    assert emulated.kernel.half_caches
    assert emulated.kernel.half_layers
    made = DeviceTextToSemantic(device, GptEngines(gpt_engines.prefill, steps))
    args = {"options": LONG, "forced": np.random.default_rng(0).integers(0, 1024, 50)}
    want = graph_voice.text_to_semantic.steps(*request_, **args, noise=noise(graph_voice))
    got = made.steps(*request_, **args, noise=noise(graph_voice))
    for a, b in zip(want, got, strict=True):
        assert np.abs(a.logits - b.logits).max() <= FP16_LIMIT * np.abs(a.logits).max()


# --- barriers -------------------------------------------------------------------------------------


FLAT = SamplingOptions(top_k=600, top_p=0.9, temperature=4.0).arrays(1025)
END_LEADS = {
    **SamplingOptions(top_k=0, min_tokens=0).arrays(1025),
    "seen": np.arange(1025)[None] == 1024,
    "repetition_penalty": -100.0,  # its logit is negative
}
CASES = [{}, *({**options, "step": step} for step in range(1, 6) for options in (FLAT, END_LEADS))]
"""Likely tokens, which one warp holds; such as any warp may hold; and the end, which is the last to be sorted."""


@pytest.fixture(scope="module")
def one_step(tiny, folder):
    """A grid so small that blocks take several splits and warps several rows, and what the whole kernel gives."""
    step = OneStep(tiny, Emulated(folder, grid=3), threads=128)
    return step, [step.run(**case) for case in CASES]


def check(step, want):
    for case, arrays in zip(CASES, want, strict=True):
        got = step.run(**case)
        for name, array in arrays.items():
            np.testing.assert_array_equal(got[name], array, err_msg=name)


def differs(step, want, **without):
    """Whether the kernel does something else with a barrier left out; in a process of its own, which it may destroy."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    faulthandler.disable()
    try:
        vars(step.emulated).update(without)
        for _ in range(4):
            check(step, want)
        os._exit(0)
    finally:
        os._exit(1)


def test_the_order_of_threads_does_not_matter(one_step):
    for _ in range(4):
        check(*one_step)
    drawn = [int(arrays["next_token"][0]) for arrays in one_step[1]]
    assert len(set(drawn)) > 3
    assert 1024 in drawn


LINES = [
    i
    for i, line in enumerate(SOURCE.read_text(encoding="utf-8").splitlines(), 1)
    if "__syncthreads();" in line
]


@pytest.mark.parametrize("line", LINES)
def test_every_barrier_of_a_block_is_needed(one_step, line):
    step, want = one_step
    assert differs(step, want, without_line=line)


def test_every_barrier_of_the_grid_is_needed(one_step):
    step, want = one_step
    for number in range(5 * step.emulated.kernel.layers + 1):
        assert differs(step, want, without_grid_barrier=number), number


def test_a_launch_leaves_the_counter_ready_for_the_next(one_step):
    step, want = one_step
    arrivals = view(step.context._arrivals).view(np.uint64)
    blocks, barriers = step.emulated.grid, 5 * step.emulated.kernel.layers + 1
    assert arrivals[0] % (blocks * barriers) == 0
    check(step, want)
    before = int(arrivals[0])
    check(step, want)
    assert arrivals[0] == before + len(CASES) * blocks * barriers


# --- the step by itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.1, 30.0])  # attention from even to one row alone
@pytest.mark.parametrize("rows", [(0, 1), (3, 0), (50, 41)])
@pytest.mark.parametrize("grid", [1, 13, 40])
def test_one_step_gives_the_numbers_of_the_graph(tiny, gpt_models, folder, grid, rows, scale):
    """One position in the cache, fewer positions than splits, and a full cache; all that the step writes."""
    path, spec = gpt_models["gpt_step-96"]
    step = OneStep(tiny, Emulated(folder, grid))
    caches = {name: scale * step.inputs[name] for name, _ in spec.aliases}
    got = step.run(text_len=rows[0], prompt_len=rows[1], step=min(rows[0], 5) or 1, **caches)
    given = {name: step.given[name] for name in spec.input_names}
    want = open_session(path, spec, options=SessionOptions(threads=1)).run(given)
    for name, array in want.items():
        if array.dtype == np.float32:
            assert np.abs(got[name] - array).max() <= FP32_LIMIT * np.abs(array).max()
        else:
            np.testing.assert_array_equal(got[name], array, err_msg=name)


def test_equal_logits_are_ordered_as_in_the_graph(tiny, folder):
    """All logits are 0: of equal ones the earlier token is the likelier, and all are above the pivot."""
    step = OneStep(tiny, Emulated(folder))
    weights, kernel = step.engine.shared.weights, step.emulated.kernel
    view(weights).view(kernel.weights_layout)["head"] = 0
    options = SamplingOptions(top_k=3, repetition_penalty=1.0, min_tokens=0).arrays(kernel.vocab)
    got = step.run(**options)
    assert not got["logits"].any()
    assert got["next_token"][0] == got["noise_block"][5].argmin()
    assert step.run(**options, noise_block=1.0)["next_token"][0] == 0


def test_logits_that_are_no_numbers_do_no_harm(tiny, folder):
    step = OneStep(tiny, Emulated(folder))
    for options in (SamplingOptions(top_k=0, top_p=0.9), SamplingOptions(top_k=1)):
        arrays = options.arrays(1025)
        got = step.run(**arrays, **{name: np.nan for name, _ in step.engine.spec.aliases})
        assert np.isnan(got["logits"]).all()
        assert 0 <= got["next_token"][0] < 1025


def test_positions_out_of_range_stay_within_the_caches(tiny, folder):
    step = OneStep(tiny, Emulated(folder))
    for changed in (
        {"text_len": 10_000},
        {"text_len": -10_000},
        {"token": 5000},
        {"token": -1},
        {"step": 2000},
    ):
        assert 0 <= step.run(**changed)["next_token"][0] < 1025


def test_history_says_stopped_from_the_end_on(tiny, folder):
    step = OneStep(tiny, Emulated(folder))
    for stopped in (False, True):
        got = step.run(stopped=stopped)
        history = np.arange(HISTORY)
        history[5] = STOPPED if stopped else got["next_token"][0]
        assert got["next_history"][0].tolist() == history.tolist()
        assert (got["next_step"][0], got["next_stopped"][0]) == (6, stopped)


# --- what is bound, refused and compiled ----------------------------------------------------------


def test_a_context_takes_what_its_spec_says(tiny, folder):
    step = OneStep(tiny, Emulated(folder))
    arrays = step.arrays
    with pytest.raises(ShapeError, match=r"token: expected int64\[1\], got bool\[1\]"):
        step.context.bind({"token": arrays["stopped"]})
    step.context.bind({"k_cache_0_out": arrays["v_cache_0"]})
    with pytest.raises(BackendError, match="k_cache_0 and k_cache_0_out must be the same array"):
        step.context.enqueue(step.stream)
    fresh = step.engine.context(step.scratch)
    with pytest.raises(ShapeError, match="nothing is bound to"):
        fresh.enqueue(step.stream)


def test_lengths_share_weights_and_give_them_back(tiny, folder):
    device = FakeDevice()
    steps = open_kernel_steps(device, tiny, LENGTHS, Emulated(folder), threads=64)
    weight_bytes = steps[0].shared.weight_bytes
    assert weight_bytes > 0
    assert [e.shared is steps[0].shared for e in steps] == [True, True, True]
    assert device.used == weight_bytes
    scratch = DeviceArray(device.memory(4096), 0, (4096,), np.dtype(np.uint8))
    context = steps[0].context(scratch)
    del context
    assert device.used == weight_bytes + 4096
    del steps
    assert device.used == 4096


def test_quantized_bundles_and_odd_sizes_are_refused(tiny):
    bundle = SimpleNamespace(path="voice", manifest={"graphs": {"gpt_step": {"precision": "int8"}}})
    with pytest.raises(BackendError, match="voice: its GPT is int8, CUDA kernels take fp32 and fp16"):
        open_kernel_steps(FakeDevice(), bundle, LENGTHS, None)
    with pytest.raises(BackendError, match="width 120 with 8 heads"):
        StepKernel(120, 8, 2, 1025, half_layers=True, half_head=True, half_caches=True)


def test_a_launch_gives_the_driver_all_addresses(monkeypatch):
    """One structure of 8-byte fields, on as many blocks as the GPU has multiprocessors; errors say what failed."""
    seen, status = [], 0

    def launch(*arguments):
        address = ctypes.c_void_p.from_address(arguments[-1]).value
        seen.append((arguments[:-1], list((ctypes.c_uint64 * 4).from_address(address))))
        return (status,)

    driver = SimpleNamespace(
        cuModuleLoadData=lambda code: (0, f"module of {code}"),
        cuModuleGetFunction=lambda module, name: (0, (module, name)),
        cuLaunchCooperativeKernel=launch,
    )
    monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(driver=driver))
    monkeypatch.setattr(step_compile, "compile_step", lambda kernel, capability: ("code", ""))

    def fail(code, doing):
        raise BackendError(f"CUDA could not {doing}: {code}")

    cudart = SimpleNamespace(
        cudaFree=lambda address: (0,),
        cudaGetDeviceProperties=lambda index: (0, SimpleNamespace(multiProcessorCount=132)),
    )
    device = SimpleNamespace(cudart=cudart, capability=(9, 0), call=lambda doing, f, *a: f(*a)[-1], fail=fail)
    kernel = StepKernel(**FULL, half_layers=True, half_head=True, half_caches=True)
    give = step_compile.cuda_kernels(device)(kernel)
    arrays = [SimpleNamespace(address=n) for n in (1 << 40, 5, 6)]
    give(SimpleNamespace(handle=77), arrays, 512)
    function = ("module of code", b"gpt_step")
    assert seen == [((function, 132, 1, 1, 512, 1, 1, 0, 77), [1 << 40, 5, 6, 512])]
    status = 720
    with pytest.raises(BackendError, match="could not launch the GPT's step: 720"):
        give(SimpleNamespace(handle=77), arrays, 512)


def test_the_real_bindings_take_the_launch():
    driver = pytest.importorskip("cuda.bindings.driver")
    runtime = pytest.importorskip("cuda.bindings.runtime")
    assert runtime.cudaDeviceProp().multiProcessorCount == 0
    if not driver_problem():
        pytest.skip("there is a driver, which would be given a kernel that is none")
    parameters = (ctypes.c_void_p * 1)(0)
    for function, arguments in (
        (driver.cuModuleLoadData, (b"code",)),
        (driver.cuModuleGetFunction, (driver.CUmodule(3), b"gpt_step")),
        (
            driver.cuLaunchCooperativeKernel,
            (driver.CUfunction(5), 132, 1, 1, 512, 1, 1, 0, 7, ctypes.addressof(parameters)),
        ),
    ):
        with pytest.raises(RuntimeError, match="driver"):  # not TypeError: the arguments were converted
            function(*arguments)


def test_without_nvrtc_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    kernel = StepKernel(**FULL, half_layers=True, half_head=True, half_caches=True)
    with pytest.raises(BackendError, match=r'pip install "nvidia-cuda-nvrtc-cu12>=12.8"'):
        compile_step(kernel, (9, 0))


def test_compiled_kernels_are_kept_and_checked(monkeypatch, tmp_path):
    made = []

    def compiled(kernel, capability):
        made.append(capability)
        return b"code", ""

    monkeypatch.setattr(step_compile, "compile_step", compiled)
    kernel = StepKernel(**FULL, half_layers=True, half_head=True, half_caches=True)
    for capability in ((9, 0), (9, 0), (8, 9)):
        assert kept_cubin(kernel, capability, tmp_path / "kernels") == b"code"
    assert made == [(9, 0), (8, 9)]
    for file in (tmp_path / "kernels").iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    assert kept_cubin(kernel, (9, 0), tmp_path / "kernels") == b"code"
    assert len(made) == 3


class OtherTable(StepKernel):
    """Puts the weights elsewhere than the source reads them."""

    def __init__(self, change):
        super().__init__(64, 2, 1, 33, half_layers=False, half_head=False, half_caches=False, threads=64)
        object.__setattr__(self, "change", change)

    @property
    def weights_layout(self):
        plain = super().weights_layout
        vectors = [(name, *plain["vector"].base[name].subdtype) for name in plain["vector"].base.names]
        parts = {name: (name, plain[name].base, plain[name].shape) for name in plain.names}
        parts["vector"] = ("vector", self.change(vectors), plain["vector"].shape)
        return np.dtype(list(parts.values()))


def test_fields_in_another_order_do_not_compile(folder, capfd):
    Emulated(folder)(OtherTable(lambda vectors: vectors))  # as it is, it compiles
    with pytest.raises(subprocess.CalledProcessError):
        Emulated(folder)(OtherTable(lambda vectors: [*vectors[:4], vectors[5], vectors[4], *vectors[6:]]))
    assert "vectors.norm1_weight" in capfd.readouterr().err


def test_weights_of_another_size_are_refused_by_nvrtc():
    pytest.importorskip("cuda.bindings.nvrtc")
    kernel = OtherTable(lambda vectors: vectors[:-1])
    with pytest.raises(BackendError, match=r"laid out by another table|is not installed"):
        compile_step(kernel, (9, 0))


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("capability", CAPABILITIES, ids=str)
def test_it_compiles_for_gpus(capability, half):
    """The full model's kernel, in registers and shared memory that every GPU has."""
    kernel = StepKernel(**FULL, half_layers=half, half_head=half, half_caches=half)
    try:
        cubin, log = compile_step(kernel, capability)
    except BackendError as error:
        if "is not installed" not in str(error):
            raise
        pytest.skip(str(error))
    assert cubin.startswith(b"\x7fELF")
    used = {what: int(n) for n, what in re.findall(r"(\d+) (registers|bytes smem|bytes spill \w+)", log)}
    assert used["bytes spill stores"] == used["bytes spill loads"] == 0
    assert used["registers"] <= 65536 // kernel.threads
    assert used["bytes smem"] <= 48 * 1024
