"""The toy GPT's kernels as C++ for the CPU, run on the fake device's memory when a stream gets there."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from sovits_runtime.t2s.device_slot import GptEngines


def compile_toy(toy, folder: Path):
    """The library of the two kernels."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.cpp").write_text(toy.KERNELS)
    defines = ["-D__global__=", "-D__device__="]
    command = ["g++", "-O1", "-shared", "-fPIC", *defines, "-o", folder / "toy.so", folder / "toy.cpp"]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(folder / "toy.so"))


def cpu_context(toy, library, name):
    """A context that runs the kernel on the fake device's memory when the stream gets there."""

    class Context(toy.ToyContext):
        def enqueue(self, stream):
            arrays, engine = dict(self._arrays), self._engine
            assert set(arrays) >= {n for n in engine.arguments if n not in ("texts", "prompts")}

            def work():
                values = []
                for argument in engine.arguments:
                    size = {"texts": "phones", "prompts": "prompt"}.get(argument)
                    if size:
                        values.append(ctypes.c_longlong(arrays[size].shape[1]))
                    else:
                        array = arrays[argument]
                        base = array.memory.content.ctypes.data
                        values.append(ctypes.c_void_p(base + array.offset))
                getattr(library, name)(*values)

            stream.push(work)

    return Context


def engines(toy, library, lengths):
    class Engine(toy.ToyEngine):
        def context(self, scratch):
            return cpu_context(toy, library, self.function)(self)

    prefill = Engine(toy.prefill_spec(), "prefill", toy.PREFILL_ARGUMENTS)
    steps = tuple(Engine(toy.step_spec(n), "step", toy.STEP_ARGUMENTS) for n in lengths)
    return GptEngines(prefill, steps)
