"""The environment of `make demo` and `make test`: which PyTorch is chosen, what is said, what goes beside it."""

import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import environment
import pytest
from environment import (
    CPU_INDEX,
    Environment,
    SetupError,
    Torch,
    announce,
    choose_torch,
    install_native,
    packages_of,
)

CUDA_13 = Torch(
    "2.13.0",
    "https://index.example/torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    ('cuda-bindings<14,>=13.0.3; platform_system == "Linux" and python_version < "3.15"', "sympy>=1.13.3"),
)
CUDA_12 = Torch("2.10.0", "https://index.example/torch.whl", ("cuda-bindings==12.9.4",))
CPU = Torch("2.13.0+cpu", f"{CPU_INDEX}/torch-2.13.0%2Bcpu.whl", ("sympy>=1.13.3",))


class Offers(Environment):
    """An environment whose pip finds what it is told; None is the index that pip looks at by itself."""

    def __init__(self, offers: dict[str | None, Torch], installed: Torch | None = None) -> None:
        super().__init__(Path("nowhere"))
        self.offers, self.installed = offers, installed

    def installed_torch(self) -> Torch | None:
        return self.installed

    def offered_torch(self, *source: str) -> Torch | str:
        index = source[source.index("--index-url") + 1] if "--index-url" in source else None
        return self.offers.get(index, "ERROR: No matching distribution found for torch")


@pytest.fixture
def no_driver(monkeypatch):
    monkeypatch.setattr(environment, "nvidia_driver", lambda: False)
    monkeypatch.setattr(sys, "platform", "linux")


def test_without_a_driver_the_cpu_build_is_taken_and_said(no_driver, capsys):
    torch, options = choose_torch(Offers({CPU_INDEX: CPU, None: CUDA_13}), "")
    assert torch == CPU
    assert options == ("--extra-index-url", CPU_INDEX)
    assert f"no NVIDIA driver here: PyTorch 2.13.0+cpu from {CPU_INDEX}" in capsys.readouterr().out


def test_an_index_that_cannot_be_reached_is_named_before_pypi_is_taken(no_driver, capsys):
    assert choose_torch(Offers({None: CUDA_13}), "") == (CUDA_13, ())
    said = capsys.readouterr().out
    assert f"{CPU_INDEX} cannot be reached" in said
    assert "PyTorch 2.13.0 from PyPI" in said


def test_a_cpu_build_on_the_machine_itself_needs_no_index(no_driver):
    local = Torch("2.13.0+cpu", "file:///wheels/torch-2.13.0+cpu.whl", ())
    assert choose_torch(Offers({CPU_INDEX: local, None: CUDA_13}), "") == (local, ())


def test_with_a_driver_pypis_is_taken(monkeypatch):
    monkeypatch.setattr(environment, "nvidia_driver", lambda: True)
    assert choose_torch(Offers({CPU_INDEX: CPU, None: CUDA_13}), "") == (CUDA_13, ())


def test_the_index_asked_for_goes_before_everything(no_driver):
    env = Offers({"https://own.example": CUDA_12, CPU_INDEX: CPU})
    assert choose_torch(env, "https://own.example") == (CUDA_12, ("--extra-index-url", "https://own.example"))


def test_an_index_asked_for_that_has_none_is_no_reason_to_take_another(no_driver):
    with pytest.raises(SetupError, match=r"TORCH_INDEX=https://own\.example offers no PyTorch"):
        choose_torch(Offers({CPU_INDEX: CPU, None: CUDA_13}), "https://own.example")


def test_an_installed_pytorch_stays(no_driver):
    assert choose_torch(Offers({CPU_INDEX: CPU}, installed=CUDA_12), "") == (CUDA_12, ())


@pytest.mark.parametrize(("torch", "extra"), [(CPU, "rtx"), (CUDA_12, "rtx"), (CUDA_13, "rtx-build")])
def test_bindings_of_cuda_12_are_not_put_beside_a_pytorch_for_13(torch, extra):
    extras = packages_of("tests", torch)[1].strip(".[]").split(",")
    assert [one for one in extras if one.startswith("rtx")] == [extra]
    assert "rtx" not in packages_of("demo", torch)[1]


class Recorded(Environment):
    """An environment whose pip only notes what it is told, and fails at what is named."""

    def __init__(self, fails: str = "") -> None:
        super().__init__(Path("nowhere"))
        self.fails, self.calls = fails, []

    def pip(self, *arguments: str) -> int:
        self.calls.append(arguments)
        return int(self.fails in arguments)


@pytest.mark.parametrize(("own", "said"), [("", "Zig's compiler"), ("gcc", "by gcc, as CC says")])
def test_the_kernels_are_compiled_whether_there_is_a_compiler_or_not(monkeypatch, capsys, own, said):
    monkeypatch.setenv("CC", own)
    env = Recorded()
    install_native(env)
    assert env.calls == [("install", "--quiet", "--no-deps", "./native")]
    assert said in capsys.readouterr().out


def test_kernels_that_do_not_compile_are_named_with_the_way_out(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(SetupError, match=r"C kernels could not be installed \(.*CC=gcc\)"):
        install_native(Recorded(fails="./native"))


def test_the_download_is_announced_with_its_size(tmp_path, capsys, monkeypatch):
    for name, size in (("torch.whl", 25_000_000), ("numpy.whl", 5_000_000)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = f"http://127.0.0.1:{server.server_port}"
        urls = {
            "torch": f"{at}/torch.whl", "numpy": f"{at}/numpy.whl", "gone": f"{at}/gone.whl", "own": "file:///own",
        }  # fmt: skip
        announce(
            {"install": [{"metadata": {"name": n}, "download_info": {"url": u}} for n, u in urls.items()]}
        )
        server.shutdown()
    assert "to download: 3 packages, 30 MB and 1 of unknown size" in capsys.readouterr().out


def test_a_python_that_is_too_old_is_named_before_anything_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    assert environment.main(["demo", "--venv", str(tmp_path / "venv")]) == 1
    assert "this is Python 3.10.13, 3.11 or newer is needed" in capsys.readouterr().err
    assert not (tmp_path / "venv").exists()


def test_a_python_without_venv_names_the_package(tmp_path):
    folder = tmp_path / "venv"
    code = (
        "import sys, types; sys.path.insert(0, 'tools'); import environment, pathlib; sys.executable = '/bin/false'; "
        f"sys.exit(environment.main(['demo', '--venv', {str(folder)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=environment.ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr
    assert not folder.exists()


def test_the_least_python_is_that_of_the_project():
    text = (environment.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'requires-python = ">={".".join(map(str, environment.LEAST_PYTHON))}"' in text
