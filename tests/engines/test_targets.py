"""Which TensorRT builds for which GPU, and what is said when none does."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from sovits_engines.cuda.driver import Driver, Gpu
from sovits_engines.targets import build_targets, parse_target
from sovits_runtime.backends.trt_api import ENTERPRISE, RTX, TrtApi, load_api
from sovits_runtime.errors import BackendError
from sovits_runtime.gpu.driver import driver_problem

NO_GPU = Driver(problem="no NVIDIA driver is installed")
HOPPER = Driver(
    "libcuda.so.1", gpus=(Gpu("NVIDIA H200", (9, 0), 1 << 37), Gpu("NVIDIA H200", (9, 0), 1 << 37))
)
ADA = Driver("libcuda.so.1", gpus=(Gpu("NVIDIA GeForce RTX 4090", (8, 9), 1 << 34),))


@pytest.fixture
def load(fake_api):
    """Loads the flavours that are installed, of those named."""

    def installed(*flavours):
        apis = {RTX: fake_api, ENTERPRISE: TrtApi(ENTERPRISE, SimpleNamespace(), "11.4.0.106", 12)}

        def load(flavour):
            if flavour not in flavours:
                raise BackendError(f"{flavour} is not installed")
            return apis[flavour]

        return load

    return installed


@pytest.mark.parametrize(
    ("driver", "wanted", "flavour", "installed", "folders"),
    [
        (NO_GPU, ["sm89", "SM_120"], None, (RTX,), ["sm89-rtx1.7-cu12", "sm120-rtx1.7-cu12"]),
        (ADA, [], None, (RTX, ENTERPRISE), ["sm89-rtx1.7-cu12"]),
        (ADA, [], None, (ENTERPRISE,), ["sm89-trt11.4-cu12"]),
        (ADA, [], ENTERPRISE, (RTX, ENTERPRISE), ["sm89-trt11.4-cu12"]),
        (HOPPER, [], None, (RTX, ENTERPRISE), ["sm90-trt11.4-cu12"]),
        (HOPPER, ["sm90", "sm86"], None, (RTX, ENTERPRISE), ["sm90-trt11.4-cu12", "sm86-rtx1.7-cu12"]),
    ],
)
def test_flavour_follows_the_gpu(load, driver, wanted, flavour, installed, folders):
    targets = build_targets(wanted, flavour=flavour, driver=driver, load=load(*installed))
    assert [t.target.folder for t in targets] == folders
    for t in targets:  # plans of TensorRT itself are tied to the very GPU
        assert bool(t.target.device) == (t.target.flavour == ENTERPRISE)


@pytest.mark.parametrize(
    ("driver", "wanted", "flavour", "installed", "told"),
    [
        (NO_GPU, [], None, (RTX,), "no NVIDIA driver is installed.*--target sm89"),
        (
            NO_GPU,
            ["sm90"],
            None,
            (RTX,),
            "no engines for sm90 can be built here: TensorRT for RTX .* does not build",
        ),
        (NO_GPU, ["sm89"], None, (), r"no engines for sm89.*pip install \"sovits-export\[rtx\]\""),
        (HOPPER, [], None, (RTX,), "trt is not installed"),
        (HOPPER, [], RTX, (RTX,), "does not build for sm90; it builds for sm120, sm75, sm86, sm89"),
        (ADA, [], RTX, (), "rtx is not installed"),
        (ADA, ["ada"], None, (RTX,), "target 'ada': expected sm and a compute capability"),
        (ADA, ["sm61"], None, (RTX,), "7.5 .Turing. or later"),
    ],
)
def test_what_cannot_be_built_is_said(load, driver, wanted, flavour, installed, told):
    with pytest.raises(BackendError, match=told):
        build_targets(wanted, flavour=flavour, driver=driver, load=load(*installed))


def test_what_is_installed_is_not_offered(load):
    with pytest.raises(BackendError, match=r"a machine that has one$"):
        build_targets(["sm90"], driver=NO_GPU, load=load(RTX))


def test_names_are_read():
    assert parse_target("sm120") == (12, 0)
    assert parse_target("SM_75") == (7, 5)


def test_missing_tensorrt_comes_with_its_pip_line():
    def nothing(name):
        raise ImportError(f"No module named {name!r}")

    with pytest.raises(
        BackendError, match=r'TensorRT for RTX is not installed .*pip install "sovits-export\[rtx\]"'
    ):
        load_api(RTX, load=nothing)


def test_placeholder_package_is_seen_through():
    with pytest.raises(BackendError, match="tensorrt_bindings is a placeholder without libraries"):
        load_api(ENTERPRISE, load=lambda name: SimpleNamespace(__version__="11.4.0.106"))


def test_old_tensorrt_is_refused():
    module = SimpleNamespace(__version__="8.6.1.6", Builder=object)
    with pytest.raises(BackendError, match=r"TensorRT 8.6.1.6 is too old, 10.15 or later is needed"):
        load_api(ENTERPRISE, load=lambda name: module)


class Library(SimpleNamespace):
    """A driver that answers with a code, the newest CUDA that it runs, and a number of devices."""

    def cuInit(self, flags):  # noqa: N802 - the driver's name
        return self.code

    def cuDriverGetVersion(self, version):  # noqa: N802
        version._obj.value = self.cuda
        return 0

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = self.devices
        return 0


@pytest.mark.parametrize(
    ("library", "told"),
    [
        (None, "no NVIDIA driver is installed"),
        (Library(code=35, cuda=12090, devices=0), "the NVIDIA driver cannot be used (cuInit gives 35)"),
        (Library(code=0, cuda=12090, devices=0), "the NVIDIA driver sees no device"),
        (
            Library(code=0, cuda=11080, devices=1),
            "the NVIDIA driver runs CUDA up to 11.8, CUDA 12 is needed; update the driver",
        ),
        (Library(code=0, cuda=12000, devices=1), ""),
        (Library(code=0, cuda=13010, devices=1), ""),
    ],
)
def test_no_runtime_is_made_without_a_driver(library, told):
    def load(name):
        if library is None:
            raise OSError(name)
        return library

    assert driver_problem(load, cuda=12) == told
    made = []
    api = TrtApi(ENTERPRISE, SimpleNamespace(Runtime=made.append), "11.4.0.106", 12)
    if told:
        with pytest.raises(
            BackendError, match=rf"needs an NVIDIA GPU to run engines: {re.escape(told)}; see"
        ):
            api.runtime("logger", load=load)
        assert made == []
    else:
        api.runtime("logger", load=load)
        assert made == ["logger"]
