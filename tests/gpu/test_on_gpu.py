"""What only a GPU can show, with a tiny voice: each part of the GPU report that shows a claim of docs/gpu.md.

Nothing is timed here; the report is for figures.
"""

from __future__ import annotations

import importlib
import shutil

import pytest
from gpu_claims import BENCHMARKS, SHOWN

from sovits_engines.cuda.driver import probe_driver_apart
from sovits_runtime.bundle import Bundle


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield {name: importlib.import_module(name) for name in ("parts", "process")}


@pytest.fixture(scope="module")
def driver():
    found = probe_driver_apart()
    if not found.gpus:
        pytest.skip(f"no NVIDIA GPU can be used here: {found.problem or 'the driver sees none'}")
    return found


@pytest.fixture(scope="module")
def run(modules, driver, tiny_bundle, folder):
    """What a part gets: a tiny voice of its own, which engines are built into."""
    shutil.copytree(tiny_bundle, folder / "voice")
    bundle = Bundle.open(folder / "voice", shared=tiny_bundle.parent / "shared")
    return modules["parts"].Run(driver, bundle, None, 3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", SHOWN)
def test_part(modules, run, name):
    try:
        found = modules["parts"].PARTS[name].run(run)
    except modules["process"].Skipped as reason:
        pytest.skip(str(reason))
    except ModuleNotFoundError as error:
        if str(error.name).startswith("sovits_"):
            raise
        pytest.skip(f"not installed: {error}")
    assert found["summary"]
