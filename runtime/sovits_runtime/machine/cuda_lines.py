"""The two CUDA lines that this project is installed for, 12 and 13: extras, packages, drivers, and which one is here.

One process holds the libraries of one. Facts: lowest drivers from the CUDA 12 and 13 release notes and the
prerequisites of TensorRT 11.4; onnxruntime-gpu 1.26 is the last on PyPI for CUDA 12, PyTorch 2.10 the last there (the
wheels' metadata).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sovits_runtime.machine.cuda_packages import CudaUser, cuda_users, installed_packages


@dataclass(frozen=True)
class CudaLine:
    """One major version of CUDA.

    Attributes:
        major: 12 or 13.
        suffix: Of the names of this project's extras: `cuda`, `rtx`, `rtx-build`, `tensorrt`.
        bindings: What pip installs as NVIDIA's Python bindings.
        nvrtc: What pip installs as NVIDIA's compiler of kernels.
        torch_index: Where PyTorch for it lies; empty: PyPI.
        driver: Lowest driver branch, on Linux and on Windows.
        tensorrt_driver: The same for TensorRT.
    """

    major: int
    suffix: str
    bindings: str
    nvrtc: str
    torch_index: str
    driver: tuple[int, int]
    tensorrt_driver: tuple[int, int]

    def extra(self, name: str) -> str:
        """Returns the pip line of an extra for GPUs, such as `cuda`."""
        return f'pip install "sovits-export[{name}{self.suffix}]"'

    @property
    def install_bindings(self) -> str:
        """The pip line for NVIDIA's Python bindings."""
        return f'pip install "{self.bindings}"'

    @property
    def install_nvrtc(self) -> str:
        """The pip line for NVIDIA's compiler of kernels."""
        return f'pip install "{self.nvrtc}"'

    @property
    def install_torch(self) -> str:
        """The pip line for a PyTorch that goes beside it."""
        return "pip install torch" + (f" --index-url {self.torch_index}" if self.torch_index else "")


LINES = {
    line.major: line
    for line in (
        CudaLine(
            12,
            suffix="",
            bindings="cuda-bindings>=12.6,<13",
            nvrtc="nvidia-cuda-nvrtc-cu12>=12.8",
            torch_index="https://download.pytorch.org/whl/cu128",
            driver=(525, 528),
            tensorrt_driver=(535, 537),
        ),
        CudaLine(
            13,
            suffix="13",
            bindings="cuda-bindings>=13,<14",
            nvrtc="nvidia-cuda-nvrtc>=13,<14",
            torch_index="",
            driver=(580, 580),
            tensorrt_driver=(580, 580),
        ),
    )
}
FIRST = LINES[12]
"""The line that documentation leads with, and that is meant where nothing here is of either."""


def line_of(users: Iterable[CudaUser]) -> CudaLine:
    """Returns the line that packages belong to; `FIRST` where there are none, or of both."""
    majors = {user.cuda[0] for user in users}
    return LINES[majors.pop()] if len(majors) == 1 and majors <= LINES.keys() else FIRST


def installed_line(versions: Mapping[str, str] | None = None) -> CudaLine:
    """Returns the line of this environment, as its packages tell.

    What speaks decides: onnxruntime-gpu, the bindings and TensorRT are asked before PyTorch, which may only build.

    Args:
        versions: Of `installed_packages`; None: asked now.
    """
    found = installed_packages() if versions is None else versions
    speaking = cuda_users({name: version for name, version in found.items() if name != "torch"})
    return line_of(speaking or cuda_users(found))
