"""The GPT's step as C++: step_kernel.cu with the emulator, for the fake device's streams."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
from pathlib import Path

from fake_device import view

from sovits_runtime.errors import BackendError
from sovits_runtime.t2s.step_compile import SOURCE

RUN = """
#include "{emulator}"
#include "{source}"
{offsets}
extern "C" int run_step(const request *r, unsigned grid, unsigned long long seed, int line, int barrier) {{
    return emulator::launch(grid, THREADS, seed, line, barrier, [&] {{ gpt_step(*r); }});
}}
extern "C" int bytes_of_weights() {{ return sizeof(weights); }}
extern "C" int bytes_of_scratch() {{ return sizeof(scratch_memory); }}
"""


def offsets(kernel):
    """That every field of the source's structures lies where the runtime puts it, as C++ that does not compile else."""
    layout, fields = kernel.weights_layout, kernel.request_fields
    structs = {"weights": layout, "matrices": layout["matrix"].base, "vectors": layout["vector"].base}
    places = [(struct, name, at) for struct, part in structs.items() for name, (_, at) in part.fields.items()]
    places += [("request", name, 8 * fields.index(name)) for name in dict.fromkeys(fields)]
    return [
        f'static_assert(__builtin_offsetof({s}, {name}) == {at}, "{s}.{name}");' for s, name, at in places
    ]


class Emulated:
    """Stands in for `cuda_kernels`: the kernel compiled as C++, run when the fake device's stream gets there."""

    def __init__(self, folder, grid=3):
        self.folder, self.grid, self.seed = folder, grid, 0
        self.without_line, self.without_grid_barrier = -1, -2

    def __call__(self, kernel):
        text = "\n".join(offsets(kernel))
        name = hashlib.sha256(f"{kernel.macros} {text}".encode()).hexdigest()[:16]
        target, cpp = self.folder / f"{name}.so", self.folder / f"{name}.cpp"
        if not target.exists():
            emulator = Path(__file__).with_name("cuda_emulator.h")
            cpp.write_text(RUN.format(emulator=emulator, source=SOURCE, offsets=text), encoding="utf-8")
            macros = [f"-D{key}={value}" for key, value in kernel.macros.items()]
            command = ["g++", "-std=c++17", "-O2", "-Wno-unknown-pragmas", *macros, "-shared", "-fPIC"]
            subprocess.run([*command, "-o", target, cpp], check=True)
        self.kernel = kernel
        self.library = ctypes.CDLL(str(target))
        return self.launch

    def launch(self, stream, arrays, rows):
        weights, _, arrivals = arrays[-3:]
        assert weights.nbytes == self.library.bytes_of_weights()
        assert self.kernel.scratch_bytes == self.library.bytes_of_scratch()
        assert arrivals.nbytes >= 8
        stream.push(lambda: self.run([view(a).ctypes.data for a in arrays], rows))

    def run(self, addresses, rows):
        request = (ctypes.c_uint64 * (len(addresses) + 1))(*addresses, rows)
        self.seed += 1
        seed = ctypes.c_ulonglong(self.seed)
        code = self.library.run_step(request, self.grid, seed, self.without_line, self.without_grid_barrier)
        if code:
            raise BackendError("threads wait for what never comes")
