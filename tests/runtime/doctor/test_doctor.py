"""The doctor, on machines that are not here: other processors, containers, drivers, mixtures of packages."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from sovits_engines.cuda.driver import (
    Driver,
    Gpu,
    device_files,
    find_cuda_libraries,
    probe_driver,
    probe_driver_apart,
)
from sovits_engines.cuda.summary import gpu_summary
from sovits_exporter.cli.doctor import doctor
from sovits_runtime.doctor import diagnose
from sovits_runtime.doctor.environment import Environment, parse_requirements
from sovits_runtime.machine import Machine, cpu_quota, features_of, memory_limit, read_machine
from sovits_runtime.machine.cuda_packages import cuda_major_of_ort
from sovits_runtime.machine.onnx_runtime import LEAST_ONNXRUNTIME, PACKAGES, SCATTER_ONNXRUNTIME

MACHINE = Machine(
    system="Debian GNU/Linux 12 (Linux 6.1), x86_64",
    python="3.11.2 (CPython)",
    cpu="Some CPU",
    features=("AVX", "AVX2"),
    logical_cores=8,
    allowed_cores=8,
    physical_cores=4,
    quota_cores=None,
    memory_bytes=16 << 30,
    available_bytes=8 << 30,
    memory_limit_bytes=None,
)
REQUIREMENTS = {
    "": {"numpy": "1.26"},
    "cpu": {"onnxruntime": LEAST_ONNXRUNTIME},
    "export": {"torch": "2.9", "onnx": "1.20"},
    "xx": {"no-such-distribution": "1"},
}
VERSIONS = {"numpy": "2.0", "soundfile": "0.13", "soxr": "1.0", "onnxruntime": "1.31.1"}
H100 = Gpu("NVIDIA H100", (9, 0), 80 << 30)
EXTRA = 'pip install "sovits-export[cuda]"'
EXTRA_13 = 'pip install "sovits-export[cuda13]"'
CPU = f'pip install "onnxruntime>={LEAST_ONNXRUNTIME}"'
UPDATE = "update the NVIDIA driver to 525 (Windows 528) or later"


def load(broken: str = "", version: str = "1.31.1", providers: tuple[str, ...] = ("CPUExecutionProvider",)):
    def import_(name: str):
        if name == broken:
            raise ImportError(f"lib{name}.so: cannot open shared object file\nmore")
        return SimpleNamespace(__version__=version, get_available_providers=lambda: list(providers))

    return import_


def around(**changes) -> Environment:
    return Environment(
        **{"machine": MACHINE, "versions": VERSIONS, "requirements": REQUIREMENTS, "load": load(), **changes}
    )


def found(diagnosis, topic: str):
    return next(f for f in diagnosis.findings if f.topic == topic)


def test_healthy_machine_without_gpu_is_calm():
    diagnosis = diagnose(environment=around(), gpu=gpu_summary(probe_driver(no_library), {}, VERSIONS))
    assert diagnosis.can_speak
    assert (diagnosis.device, diagnosis.threads) == ("cpu", 4)
    assert diagnosis.reason == "cpu: no NVIDIA driver is installed; 4 threads: the physical cores"
    assert found(diagnosis, "GPU").level == "info"
    assert not [f for f in diagnosis.findings if f.level == "error"]
    assert [f.topic for f in diagnosis.findings if f.level == "warning"] == ["export"]


def test_missing_parts_come_with_their_pip_line():
    export = found(diagnose(environment=around()), "export")
    assert export.remedy == 'pip install "torch>=2.9" "onnx>=1.20"'
    assert not diagnose(environment=around()).can_export
    both = around(versions={**VERSIONS, "torch": "2.13.0+cpu", "onnx": "1.19.1"})
    assert found(diagnose(environment=both), "export").remedy == 'pip install "onnx>=1.20"'
    complete = around(versions={**VERSIONS, "torch": "2.13.0+cpu", "onnx": "1.20"})
    assert diagnose(environment=complete).can_export
    extra = found(diagnose(environment=around()), "extra xx")
    assert (extra.level, extra.remedy) == ("info", 'pip install "sovits-export[xx]"')


@pytest.mark.parametrize("extra", ["cuda", "tensorrt", "rtx"])
def test_extras_of_gpus_are_offered_by_what_knows_the_gpu_alone(extra):
    requirements = {**REQUIREMENTS, extra: {"no-such-distribution": "1"}}
    diagnosis = diagnose(environment=around(requirements=requirements))
    assert f"[{extra}]" not in " ".join(f.remedy for f in diagnosis.findings)


@pytest.mark.parametrize("name", ["numpy", "soundfile", "soxr", "onnxruntime"])
def test_library_that_does_not_load_stops_speech(name):
    diagnosis = diagnose(environment=around(load=load(broken=name)))
    finding = found(diagnosis, name)
    assert not diagnosis.can_speak
    assert finding.level == "error"
    assert f"lib{name}.so: cannot open shared object file" in finding.text
    assert "more" not in finding.text
    assert finding.remedy.startswith(f'pip install "{name}')


def test_old_onnxruntime_stops_speech():
    diagnosis = diagnose(environment=around(load=load(version="1.9.0")))
    assert not diagnosis.can_speak
    finding = found(diagnosis, "onnxruntime")
    assert finding.text == f"onnxruntime 1.9.0 is too old: speaking needs at least {LEAST_ONNXRUNTIME}"
    assert finding.remedy == CPU
    assert "speak on CPU" not in {f.topic for f in diagnosis.findings}


@pytest.mark.parametrize("other", ["onnxruntime", "onnxruntime-directml", "ort-nightly"])
def test_two_onnxruntimes_are_warned_of_and_never_called_ready(other):
    versions = {**VERSIONS, other: "1.31.1", "onnxruntime-gpu": "1.31.1"}
    gpu = gpu_summary(Driver("libcuda.so.1", "", (13, 0), "580.1", (H100,)), complete_libraries(13), versions)
    diagnosis = diagnose(environment=around(versions=versions), gpu=gpu)
    warning = next(f for f in diagnosis.findings if f.topic == "onnxruntime" and f.level == "warning")
    three = "onnxruntime 1.31.1 and onnxruntime-gpu 1.31.1"
    three += "" if other == "onnxruntime" else f" and {other} 1.31.1"
    assert f"{three} are installed together" in warning.text
    assert "The extras [cpu] and [export] bring the one for the CPU" in warning.text
    names = " ".join(name for name in PACKAGES if name in versions)
    assert warning.remedy == f"pip uninstall -y {names}, then {EXTRA_13} (for the CPU alone: {CPU})"
    told = next(f for f in gpu.findings if f.topic == "speak on CUDA")
    assert other in told.text
    assert told.remedy == f"pip uninstall -y {names}, then {EXTRA_13}"
    assert diagnosis.device == "cpu"


@pytest.mark.parametrize("name", [name for name in PACKAGES if name != "onnxruntime"])
def test_any_two_that_hold_onnxruntime_are_a_conflict(name):
    diagnosis = diagnose(environment=around(versions={**VERSIONS, name: "1.30.0"}))
    warning = next(f for f in diagnosis.findings if f.topic == "onnxruntime" and f.level == "warning")
    assert f"onnxruntime 1.31.1 and {name} 1.30.0 are installed together" in warning.text
    assert warning.remedy.startswith(f"pip uninstall -y onnxruntime {name}, then pip install ")


@pytest.mark.parametrize(
    ("name", "version"), [("onnxruntime-directml", "1.24.4"), ("onnxruntime-openvino", "1.24.1")]
)
def test_another_onnxruntime_alone_is_named_with_its_version(name, version):
    versions = {n: v for n, v in VERSIONS.items() if n != "onnxruntime"} | {name: version}
    diagnosis = diagnose(environment=around(versions=versions, load=load(version=version)))
    named, forms = (f for f in diagnosis.findings if f.topic == "onnxruntime")
    assert named.text.startswith(f"{name} {version}, runs on: ")
    assert forms.level == "info"
    assert f"no TensorScatter, which came with {SCATTER_ONNXRUNTIME}: voices speak in forms" in forms.text
    assert forms.remedy == f'pip uninstall -y {name}, then pip install "onnxruntime>={SCATTER_ONNXRUNTIME}"'
    assert diagnosis.can_speak
    old = around(versions={**versions, name: "1.22.0"}, load=load(version="1.22.0"))
    finding = found(diagnose(environment=old), "onnxruntime")
    assert finding.text == f"{name} 1.22.0 is too old: speaking needs at least {LEAST_ONNXRUNTIME}"
    assert finding.remedy == f"pip uninstall -y {name}, then {CPU}"
    new = around(versions={**versions, name: "1.27.0"}, load=load(version="1.27.0"))
    assert found(diagnose(environment=new), "onnxruntime").text.startswith(f"{name} 1.27.0, runs on: ")


def test_telemetry_is_said_to_be_off_and_how_it_comes_on(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    finding = found(diagnose(environment=around()), "telemetry")
    assert (finding.level, finding.remedy) == ("ok", "")
    assert "off: ONNX Runtime (ORT_DISABLE_TELEMETRY=0 turns it on)" in finding.text
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    finding = found(diagnose(environment=around()), "telemetry")
    assert finding.level == "info"
    assert finding.text == "on for ONNX Runtime, as you asked; off for all others"


@pytest.mark.parametrize(
    "load_",
    [load(broken="onnxruntime"), load(version="1.9.0"), lambda name: SimpleNamespace(__version__="1")],
)
def test_broken_onnxruntime_for_gpus_is_installed_anew_and_never_replaced_by_the_one_for_cpus(load_):
    """Of two, one uninstalled takes the other's files along: the module is there, and empty."""
    versions = {name: v for name, v in VERSIONS.items() if name != "onnxruntime"}
    broken = around(versions={**versions, "onnxruntime-gpu": "1.26.0"}, load=load_)
    finding = found(diagnose(environment=broken), "onnxruntime")
    assert finding.level == "error"
    assert finding.remedy.startswith(f"pip uninstall -y onnxruntime-gpu, then {EXTRA}")


def test_old_python_and_old_processor():
    machine = dataclasses.replace(MACHINE, python="3.10.14 (CPython)", features=("AVX",))
    diagnosis = diagnose(environment=around(machine=machine))
    assert found(diagnosis, "Python").level == "error"
    assert not diagnosis.can_speak
    assert found(diagnosis, "processor").level == "warning"
    arm = dataclasses.replace(MACHINE, system="Debian (Linux 6.1), aarch64", features=("NEON",))
    assert found(diagnose(environment=around(machine=arm)), "processor").level == "ok"


def test_container_quota_sets_the_threads():
    machine = dataclasses.replace(MACHINE, quota_cores=1.5)
    diagnosis = diagnose(environment=around(machine=machine))
    assert diagnosis.threads == 1
    cores = found(diagnosis, "cores")
    assert cores.text == (
        "1 usable of 8 logical (the container allows 1.5); a voice takes 1 threads unless told otherwise (--threads)"
    )


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (("AVX", "AVX2"), "AVX2 for FP32 and AVX2 for int8"),
        (("AVX", "AVX2", "AVX-VNNI"), "AVX2 for FP32 and AVX-VNNI for int8"),
        (("AVX", "AVX2", "AVX512", "AVX512-VNNI"), "AVX512 for FP32 and AVX512-VNNI for int8"),
        (("AVX2", "AVX512", "AVX512-VNNI", "AMX"), "AVX512 for FP32 and AMX for int8"),
        (("NEON", "dot product"), "NEON for FP32 and dot product for int8"),
        (("AVX",), "AVX for FP32 and plain code for int8"),
        ((), "the system does not tell"),
    ],
)
def test_kernels_of_the_processor(features, words):
    machine = dataclasses.replace(MACHINE, features=features)
    assert words in found(diagnose(environment=around(machine=machine)), "CPU kernels").text


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 2), ("100000 100000", 1), ("50000 100000", 1), ("9900000 100000", 2)]
)
def test_sessions_take_as_many_threads_as_the_container_allows(tmp_path, monkeypatch, quota, cores):
    from sovits_runtime import machine

    monkeypatch.setattr(machine, "allowed_cores", lambda: (0, 1, 2, 3))
    for cpu in range(4):  # two physical cores of two threads each
        topology = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text("0,2\n" if cpu % 2 == 0 else "1,3\n", encoding="utf-8")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/box\n", encoding="utf-8")
    (tmp_path / "sys/fs/cgroup/box").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/box/cpu.max").write_text(quota + "\n", encoding="utf-8")
    assert machine.usable_cores(tmp_path) == cores


def test_onnxruntime_is_given_that_number_and_stops_spinning_after_a_graph(monkeypatch):
    import onnxruntime

    from sovits_runtime.backends import onnxruntime as backend
    from sovits_runtime.bundle.session import SessionOptions
    from sovits_runtime.machine import onnx_runtime

    monkeypatch.setattr(onnx_runtime, "usable_cores", lambda: 3)
    assert backend.ort_options(onnxruntime, SessionOptions()).intra_op_num_threads == 3
    assert backend.ort_options(onnxruntime, SessionOptions(threads=2)).intra_op_num_threads == 2
    entry = backend.ort_options(onnxruntime, SessionOptions()).get_session_config_entry
    assert entry("session.force_spinning_stop") == "1"
    assert entry("session.intra_op.spin_duration_us") == "200"
    assert entry("session.x64quantprecision") == "1"
    assert backend.ort_options(onnxruntime, SessionOptions("cuda")).intra_op_num_threads == 1


def test_little_memory_is_warned_of():
    machine = dataclasses.replace(MACHINE, memory_limit_bytes=1 << 30)
    assert found(diagnose(environment=around(machine=machine)), "memory").level == "warning"


def test_bundle_is_opened_and_its_missing_parts_named(copied_bundle, tmp_path):
    diagnosis = diagnose(environment=around(), bundle=copied_bundle)
    assert found(diagnosis, "bundle").level == "ok"
    assert diagnosis.can_speak
    weights = next((copied_bundle / "graphs").glob("*.weights"))
    weights.write_bytes(weights.read_bytes()[:-1])
    diagnosis = diagnose(environment=around(), bundle=copied_bundle)
    assert not diagnosis.can_speak
    assert weights.name in found(diagnosis, "bundle").text
    assert "not a bundle" in found(diagnose(environment=around(), bundle=tmp_path), "bundle").text


def test_command_prints_json_and_its_exit_code_is_the_verdict(tmp_path):
    result = CliRunner().invoke(doctor, ["--json"])
    value = json.loads(result.stdout)
    assert result.exit_code == 0
    assert value["can_speak"] is True
    assert {"Python", "processor", "GPU" if value["device"] == "cpu" else "GPU 0"} <= {
        f["topic"] for f in value["findings"]
    }
    result = CliRunner().invoke(doctor, [str(tmp_path)])
    assert result.exit_code == 1
    assert "can speak here:   no" in result.stdout


# --- the driver -----------------------------------------------------------------------------------------------------


def no_library(name: str):
    raise OSError(f"{name}: cannot open shared object file")


class FakeCuda:
    """A driver library with one device."""

    def __init__(self, init: int = 0, count: int = 1) -> None:
        self.init, self.count = init, count

    def cuDriverGetVersion(self, out):  # noqa: N802
        out._obj.value = 12080
        return 0

    def cuInit(self, flags):  # noqa: N802
        assert flags == 0
        return self.init

    def cuDeviceGetCount(self, out):  # noqa: N802
        out._obj.value = self.count
        return 0

    def cuDeviceGet(self, out, index):  # noqa: N802
        out._obj.value = 40 + index
        return 0

    def cuDeviceGetName(self, buffer, size, device):  # noqa: N802
        buffer.value = f"Fake GPU {device.value}".encode()[: size - 1]
        return 0

    def cuDeviceGetAttribute(self, out, attribute, device):  # noqa: N802
        out._obj.value = {75: 8, 76: 9}[attribute]
        return 0

    def cuDeviceTotalMem_v2(self, out, device):  # noqa: N802
        assert isinstance(out._obj, ctypes.c_size_t)
        out._obj.value = 24 << 30
        return 0


class FakeNvml:
    def nvmlInit_v2(self):  # noqa: N802
        return 0

    def nvmlSystemGetDriverVersion(self, buffer, size):  # noqa: N802
        buffer.value = b"570.86.10"
        return 0


def driver_with(cuda, nvml=None):
    def load_(name: str):
        if "ml" in name:
            return nvml or no_library(name)
        return cuda

    return probe_driver(load_)


def test_driver_tells_its_devices():
    driver = driver_with(FakeCuda(count=2), FakeNvml())
    assert driver.problem == ""
    assert (driver.cuda, driver.version) == ((12, 8), "570.86.10")
    assert driver.gpus == (
        Gpu("Fake GPU 40", (8, 9), 24 << 30),
        Gpu("Fake GPU 41", (8, 9), 24 << 30),
    )
    assert Driver.from_json(json.loads(json.dumps(dataclasses.asdict(driver)))) == driver


def test_driver_without_management_library():
    assert driver_with(FakeCuda()).version == ""


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (100, "no CUDA device (100)"),
        (803, "restart after the update (803)"),
        (34, "a stub"),
        (12345, "(12345)"),
    ],
)
def test_driver_that_does_not_start(code, text):
    driver = driver_with(FakeCuda(init=code))
    assert driver.gpus == ()
    assert driver.code == code
    assert text in driver.problem
    assert not gpu_summary(driver, {}, VERSIONS).cuda_ready


@pytest.mark.parametrize(
    ("cuda", "remedy"),
    [
        (FakeCuda(init=100), "--gpus all (NVIDIA Container Toolkit)"),
        (FakeCuda(count=0), "--gpus all (NVIDIA Container Toolkit)"),
        (FakeCuda(init=34), "the folder 'stubs'"),
        (FakeCuda(init=802), "nvidia-fabricmanager"),
        (FakeCuda(init=803), "restart the machine, and containers"),
        (FakeCuda(init=999), "restart the machine"),
        (SimpleNamespace(), "restart the machine"),
    ],
)
def test_driver_that_is_there_and_does_not_work_is_a_warning(cuda, remedy):
    finding = gpu_summary(driver_with(cuda), {}, VERSIONS).findings[0]
    assert (finding.level, finding.topic) == ("warning", "GPU")
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("versions", "files", "sign"),
    [
        ({"onnxruntime-gpu": "1.26.0"}, (), "onnxruntime-gpu 1.26.0"),
        ({"tensorrt-cu12": "11.4.0.106"}, (), "tensorrt-cu12 11.4.0.106"),
        ({}, ("/dev/nvidia0", "/dev/nvidiactl"), "/dev/nvidia0"),
        ({"tensorrt-rtx-cu12-libs": "1.7.1.116"}, (), ""),  # builds engines for other machines
        ({}, (), ""),
    ],
)
def test_container_without_its_driver_is_told_from_a_machine_without_gpu(versions, files, sign):
    finding = gpu_summary(probe_driver(no_library), {}, versions, files=files).findings[0]
    assert finding.level == ("warning" if sign else "info")
    assert not sign or f"no NVIDIA driver is installed, but here is {sign}; everything" in finding.text
    assert ("start it with --gpus all (NVIDIA Container Toolkit)" in finding.remedy) == bool(sign)


def test_files_of_the_kernel_module_are_found(tmp_path):
    for name in ("nvidiactl", "nvidia0", "null"):
        (tmp_path / name).touch()
    assert device_files(tmp_path) == (str(tmp_path / "nvidia0"), str(tmp_path / "nvidiactl"))


def test_library_that_is_no_driver():
    assert "does not answer as expected" in driver_with(SimpleNamespace()).problem


def test_no_devices_and_no_library():
    assert gpu_summary(driver_with(FakeCuda(count=0)), {}, {}).reason == "the driver sees no GPU"
    assert probe_driver(no_library) == Driver(problem="no NVIDIA driver is installed")


def test_crash_of_the_asking_process_is_survived():
    crash = [sys.executable, "-c", "import os; os.abort()"]
    driver = probe_driver_apart(crash)
    assert driver.gpus == ()
    assert "asking the driver ended the process that asked (exit code" in driver.problem
    assert "could not be asked" in probe_driver_apart(["/no/such/program"]).problem
    assert isinstance(probe_driver_apart(), Driver)


# --- CUDA libraries -------------------------------------------------------------------------------------------------


def complete_libraries(major: int) -> dict[str, dict[int, Path]]:
    own = {"cudnn": 9, "cufft": 11 if major == 12 else 12, "curand": 10}
    names = ("cudart", "cublas", "cublasLt", "cudnn", "cufft", "curand")
    return {name: {own.get(name, major): Path(f"/lib/{name}")} for name in names}


def test_libraries_are_found_by_name_and_major_version(tmp_path):
    for name in (
        "libcudart.so.12",
        "libcudart.so.13.0.48",
        "libcublasLt.so.12.8.3",
        "libcudnn.so.9",
        "libcudnn_ops.so.9",
        "libcudart.so",
        "libcudart_static.a",
        "cublas64_12.dll",
    ):
        (tmp_path / name).touch()
    libraries = find_cuda_libraries([tmp_path, tmp_path / "none"])
    assert {name: sorted(majors) for name, majors in libraries.items()} == {
        "cudart": [12, 13],
        "cublasLt": [12],
        "cudnn": [9],
        "cublas": [12],
    }


def summary(*, cuda=(13, 0), libraries=None, gpu=H100, **versions):
    driver = Driver("libcuda.so.1", "", cuda, "580.1", (gpu,))
    named = {name.replace("_", "-"): version for name, version in versions.items()}
    return gpu_summary(driver, complete_libraries(13) if libraries is None else libraries, named)


def cuda_finding(found_summary):
    return next(f for f in found_summary.findings if f.topic == "speak on CUDA")


def test_everything_fits():
    fits = summary(onnxruntime_gpu="1.31.1", cuda_bindings="13.1.0")
    assert fits.cuda_ready
    assert fits.reason == "NVIDIA H100 with onnxruntime-gpu"
    assert diagnose(environment=around(), gpu=fits).device == "cuda"
    old = summary(
        cuda=(12, 4), libraries=complete_libraries(12), onnxruntime_gpu="1.26.0", cuda_bindings="12.9.1"
    )
    assert old.cuda_ready


def test_streams_want_cuda_bindings():
    without = summary(onnxruntime_gpu="1.26.0", libraries=complete_libraries(12))
    assert not without.cuda_ready
    assert "cuda-bindings, with which its streams are made, is not installed" in cuda_finding(without).text
    assert cuda_finding(without).remedy == EXTRA


@pytest.mark.parametrize(
    ("cuda", "ort", "remedy"),
    [
        (
            (12, 8),
            "1.31.1",
            f"{EXTRA}, which is for CUDA 12; or update the NVIDIA driver to 580 or later",
        ),
        ((12, 0), "1.31.1", f"{EXTRA}, which is for CUDA 12"),
        ((11, 8), "1.31.1", f"{UPDATE}, then {EXTRA}"),
        ((11, 4), "1.26.0", UPDATE),
        ((0, 0), "1.26.0", UPDATE),
    ],
)
def test_driver_too_old_for_the_wheel(cuda, ort, remedy):
    """The extra's wheel is offered to drivers of CUDA 12 alone."""
    finding = cuda_finding(summary(cuda=cuda, onnxruntime_gpu=ort))
    need = cuda_major_of_ort(ort)
    runs = f"{cuda[0]}.{cuda[1]}"
    assert finding.level == "warning"
    assert (
        finding.text == f"onnxruntime-gpu {ort} is built for CUDA {need}, the driver runs CUDA up to {runs}"
    )
    assert finding.remedy.startswith(remedy)
    assert (EXTRA in finding.remedy) == (EXTRA in remedy)


def test_libraries_of_another_cuda_are_not_enough():
    mixed = summary(libraries=complete_libraries(13), onnxruntime_gpu="1.26.0")
    assert not mixed.cuda_ready
    finding = cuda_finding(mixed)
    assert "not found: cudart 12, cublas 12, cublasLt 12, cufft 11" in finding.text
    assert finding.remedy == EXTRA


@pytest.mark.parametrize(("ort", "right", "wrong"), [("1.26.0", 11, 12), ("1.31.1", 12, 11)])
def test_cufft_of_the_other_cuda_does_not_count(ort, right, wrong):
    """PyTorch for CUDA 13 brings libcufft.so.12, ONNX Runtime for CUDA 12 opens libcufft.so.11."""
    libraries = complete_libraries(cuda_major_of_ort(ort))
    assert summary(libraries=libraries, onnxruntime_gpu=ort, cuda_bindings="12.9.1").cuda_ready
    without = {**libraries, "cufft": {wrong: Path("/lib/cufft")}}
    finding = cuda_finding(summary(libraries=without, onnxruntime_gpu=ort, cuda_bindings="12.9.1"))
    assert finding.level == "warning"
    assert f"not found: cufft {right}" in finding.text


@pytest.mark.parametrize("cuda", [(12, 4), (13, 0)])
def test_gpu_without_its_onnxruntime_gets_that_of_the_projects_cuda(cuda):
    without = summary(cuda=cuda)
    assert not without.cuda_ready
    assert cuda_finding(without).remedy == EXTRA
    assert cuda_finding(summary(cuda=(11, 4))).remedy == f"{UPDATE}, then {EXTRA}"
    beside = summary(cuda=cuda, onnxruntime="1.31.1")
    assert cuda_finding(beside).remedy == f"pip uninstall -y onnxruntime, then {EXTRA}"


def test_onnxruntime_for_cuda_11_is_not_ready():
    finding = cuda_finding(summary(libraries=complete_libraries(12), onnxruntime_gpu="1.18.1"))
    assert (finding.level, finding.remedy) == ("warning", EXTRA)
    assert finding.text == "onnxruntime-gpu 1.18.1 is built for CUDA 11"


@pytest.mark.parametrize(
    ("capability", "cudnn", "level", "words"),
    [
        ((7, 5), "9.28.0.42", "ok", ""),
        ((6, 1), "9.10.2.21", "ok", ""),
        ((6, 1), "9.28.0.42", "warning", "cuDNN 9.28.0.42 holds no kernels for old (6.1); 9.10 is the last"),
        ((7, 0), "9.11.0.98", "warning", "cuDNN 9.11.0.98 holds no kernels for old (7.0); 9.10 is the last"),
        ((5, 2), "9.10.2.21", "warning", "Maxwell is too old for TensorRT and for onnxruntime-gpu"),
        ((3, 5), "9.10.2.21", "warning", "Kepler is too old for CUDA 12 and everything built for it"),
    ],
)
def test_old_gpus_are_ready_only_where_the_libraries_hold_kernels_for_them(capability, cudnn, level, words):
    gpu = Gpu("old", capability, 8 << 30)
    versions = {"onnxruntime_gpu": "1.26.0", "cuda_bindings": "12.9.1", "nvidia_cudnn_cu12": cudnn}
    told = summary(gpu=gpu, libraries=complete_libraries(12), **versions)
    assert told.cuda_ready == (level == "ok")
    assert cuda_finding(told).level == level
    assert words in cuda_finding(told).text
    if "holds no kernels" in words:
        assert cuda_finding(told).remedy == 'pip install "nvidia-cudnn-cu12<9.11"'


def test_the_gpu_that_is_used_counts_not_the_largest():
    gpus = (Gpu("RTX 3050", (8, 6), 8 << 30), H100)
    told = gpu_summary(Driver("libcuda.so.1", "", (12, 8), "570.1", gpus), {}, {})
    assert told.memory_bytes == 8 << 30


def test_one_line_compares_cuda_of_everything():
    versions = {
        "onnxruntime_gpu": "1.26.0",
        "cuda_bindings": "12.9.1",
        "torch": "2.9.0+cu128",
        "nvidia_cudnn_cu12": "9.10.2",
    }
    healthy = summary(libraries=complete_libraries(12), **versions)
    finding = next(f for f in healthy.findings if f.topic == "CUDA versions")
    assert healthy.cuda_ready
    assert finding.level == "ok"
    assert finding.text.replace("\\", "/") == (
        "driver up to 13.0; PyTorch 2.9.0+cu128 with CUDA 12.8; onnxruntime-gpu 1.26.0 for CUDA 12; "
        "libraries of CUDA 12 in /lib; cuDNN 9.10.2"
    )
    two = {**complete_libraries(12), "cudart": {12: Path("/a/cudart"), 13: Path("/b/cudart")}}
    finding = next(f for f in summary(libraries=two).findings if f.topic == "CUDA versions")
    assert finding.level == "info"
    assert "no PyTorch; no onnxruntime-gpu; libraries of CUDA 12 in /a, CUDA 13 in /b; cuDNN 9;" in (
        finding.text.replace("\\", "/")
    )


def test_old_gpu_is_warned_of():
    finding = next(f for f in summary(gpu=Gpu("GTX 1080", (6, 1), 8 << 30)).findings if f.topic == "GPU 0")
    assert finding.level == "warning"
    assert "Pascal is too old for TensorRT 10 and 11, which start at Turing (7.5)" in finding.text
    assert "ONNX Runtime for CUDA 12 may still run on it" in finding.text
    kepler = next(f for f in summary(gpu=Gpu("Tesla K80", (3, 7), 8 << 30)).findings if f.topic == "GPU 0")
    assert "may still run" not in kepler.text


@pytest.mark.parametrize(
    ("version", "major"),
    [
        ("1.18.1", 11),
        ("1.9", 11),
        ("1.19.0", 12),
        ("1.26.0", 12),
        ("1.26.1", 12),
        ("1.27.0", 13),
        ("1.31.1", 13),
    ],
)
def test_cuda_of_the_wheels(version, major):
    assert cuda_major_of_ort(version) == major


# --- the machine ----------------------------------------------------------------------------------------------------


def test_features_of_listings():
    assert features_of("flags\t\t: fpu avx avx2 avx512f avx512_vnni amx_tile\n") == (
        "AVX",
        "AVX2",
        "AVX512",
        "AVX512-VNNI",
        "AMX",
    )
    assert features_of("Features\t: fp asimd asimddp sve\n") == ("NEON", "dot product", "SVE")
    assert features_of("machdep.cpu.leaf7_features: AVX2\nhw.optional.neon: 1\nhw.optional.avx2_0: 0\n") == (
        "AVX2",
        "NEON",
    )


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return root


def test_smallest_limit_of_all_groups_counts(tmp_path):
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/box/inner\n",
            "sys/fs/cgroup/box/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/box/inner/cpu.max": "max 100000\n",
            "sys/fs/cgroup/box/memory.max": "1073741824\n",
            "sys/fs/cgroup/box/inner/memory.max": "max\n",
        },
    )
    assert cpu_quota(root) == 1.5
    assert memory_limit(root) == 1 << 30


def test_older_control_groups(tmp_path):
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/box\n1:cpu,cpuacct:/box\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert cpu_quota(root) == 2.0
    assert memory_limit(root) is None


def test_this_machine_is_described():
    machine = read_machine()
    assert machine.cpu
    assert 1 <= machine.usable_cores <= machine.allowed_cores <= machine.logical_cores
    assert json.loads(json.dumps(machine.to_json()))["python"].startswith(f"{sys.version_info.major}.")
    assert read_machine(Path("/no/such/root")).memory_limit_bytes is None


def test_requirements_are_parsed():
    lines = [
        "numpy>=1.26",
        "torch>=2.9; extra == 'export'",
        'soxr<2,>=0.4 ; extra == "x"',
        "sovits-export[cpu]; extra == 'all'",
    ]
    assert parse_requirements(lines) == {
        "": {"numpy": "1.26"},
        "export": {"torch": "2.9"},
        "x": {"soxr": "0.4"},
    }
