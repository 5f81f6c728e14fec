"""CUDA's status codes as errors of ours: which code, what it means, and what to do."""

from __future__ import annotations

from sovits_runtime.errors import BackendError

_LOST = {
    214: "the GPU's memory has an uncorrectable error",
    220: "the link between GPUs failed",
    226: "the GPU's memory had an error, which was contained in this process",
    700: "a kernel reached memory that is not its own",
    702: "a kernel ran longer than the system allows for a GPU with a display",
    709: "its context was destroyed",
    710: "an assertion in a kernel failed",
    714: "a kernel's call stack overflowed or broke",
    715: "a kernel holds an instruction that this GPU does not know",
    716: "a kernel read from an address that is not aligned",
    717: "a kernel used an address of the wrong kind",
    718: "a kernel jumped to an invalid address",
    719: "a kernel failed",
    721: "a kernel ended without giving tensor memory back",
    999: "the driver does not say why",
}
"""Errors after which every call in this process fails as well."""

_REMEDIES = {
    2: "free GPU memory used by other programs, or load with fewer requests in flight or shorter caches",
    3: "the process is ending, or the driver was unloaded; start it again",
    35: "update the NVIDIA driver (525 or later for CUDA 12), or use device 'cpu'",
    46: "another program has the GPU for itself, or it is set to prohibited (nvidia-smi -q -d COMPUTE)",
    100: "no GPU is visible; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use device 'cpu'",
    101: "choose a device that exists; see nvidia-smi and CUDA_VISIBLE_DEVICES",
    209: "the code holds no kernel for this GPU's compute capability: its libraries are older than the GPU, or the "
    "engine was built for another one; see 'sovits-export doctor'",
    222: "the driver cannot compile this code for the GPU; update the NVIDIA driver",
    720: "the kernel needs a place on every multiprocessor at once, which this GPU or its sharing (MPS) does not give; "
    "load with gpt_steps='onnxruntime'",
    802: "the system is not ready yet (fabric manager of NVSwitch machines?)",
    803: "driver and its kernel module differ in version; restart after the update",
    804: "forward compatibility (the cuda-compat package) is not for this GPU; remove it or update the driver",
}


class CudaError(BackendError):
    """A CUDA call failed.

    Attributes:
        code: CUDA's number for it.
        lost: Whether the CUDA context of this process is lost with it.
    """

    def __init__(self, code: int, name: str, meaning: str, *, doing: str) -> None:
        self.code = code
        self.lost = code in _LOST
        text = f"CUDA could not {doing}: {name} ({code}), {meaning}"
        if self.lost:
            text += (
                f": {_LOST[code]}. The CUDA context of this process is lost; every request on the GPU will fail until "
                "the process is started again"
            )
        elif code in _REMEDIES:
            text += f"; {_REMEDIES[code]}"
        super().__init__(text)
