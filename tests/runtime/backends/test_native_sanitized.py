"""The C step, alone and in rows, on weights and counts that no honest voice has.

The compiler's checks of memory and arithmetic are on.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "native" / "c"
STEPS = Path(__file__).with_name("hostile_step.c")
FLAGS = ("-std=c11", "-O1", "-fno-math-errno", "-fno-trapping-math", "-pthread")
CHECKS = ("-fsanitize=undefined,address,float-cast-overflow", "-fno-sanitize-recover")
COMPILER = shutil.which("gcc") or shutil.which("clang")

pytestmark = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux", reason="needs a compiler with sanitizers"
)


@pytest.fixture(scope="module")
def program(folder):
    """The kernels and the hostile steps as one program."""
    path, sources = folder / "hostile_step", sorted(map(str, SOURCES.glob("*.c")))
    command = [COMPILER, *FLAGS, *CHECKS, "-I", str(SOURCES), "-o", str(path), str(STEPS), *sources, "-lm"]
    built = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if built.returncode and "lib" in built.stderr and "san" in built.stderr:
        pytest.skip("this compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    return path


@pytest.mark.parametrize("kind", ["generic", "AVX2", "AVX-VNNI", "AVX-512 VNNI", "AVX-512 BF16", "AMX"])
def test_no_number_makes_undefined_arithmetic(program, kind):
    env = {**os.environ, "SOVITS_NATIVE_KERNELS": kind}
    done = subprocess.run([program], env=env, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[:2000]
    assert done.stderr == ""
    steps = int(done.stdout.split(": ")[1].split(" steps")[0])
    assert steps > 500
    assert int(done.stdout.split("refused, ")[1].split(" prefills")[0]) > 200
