"""What a release has: versions that fit together, libraries for the systems that they are named for, the same bits."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import library_format
import pytest
import wheels
import yaml
from environment import ROOT, SetupError

FILES = ("pyproject.toml", "native/pyproject.toml", *wheels.ABI_PLACES)


@pytest.fixture
def checkout(tmp_path):
    """Those files of the checkout that are compared, to be changed."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_two_packages_fit_together():
    version = wheels.check_release()
    assert wheels.check_release(tag=f"v{version}") == version


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "native/pyproject.toml",
            r'version = "[\d.]+"',
            'version = "9.9.9"',
            r"native/pyproject\.toml 9\.9\.9",
        ),
        ("pyproject.toml", r"native==[\d.]+", "native==9.9.9", r"expected sovits-export-native==\d"),
        ("pyproject.toml", r'    "sovits-export-native==.*\n', "", r"has \[\], expected"),
        ("native/c/gpt_step.h", r"SOVITS_ABI = \d+", "SOVITS_ABI = 99", "not the same on both sides .*: 99"),
        ("runtime/sovits_runtime/backends/native.py", r"(?m)^ABI = \d+", "ABI = None", "native.py: none"),
    ],
)
def test_what_does_not_fit_is_named(checkout, file, old, new, message):
    path = checkout / file
    changed, count = re.subn(old, new, path.read_text(encoding="utf-8"))
    assert count == 1
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(SetupError, match=message):
        wheels.check_release(checkout)


def test_a_release_of_another_name_is_refused():
    with pytest.raises(SetupError, match=r"called v9\.9\.9, expected v\d"):
        wheels.check_release(tag="v9.9.9")


def test_every_platform_has_a_tag_that_pip_knows():
    """As packaging makes them for a newest system of each kind."""
    from packaging.tags import mac_platforms
    from packaging.utils import parse_wheel_filename

    hooks = wheels.project(wheels.NATIVE)["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    assert len(hooks["platforms"]) == 6
    for name, platform in hooks["platforms"].items():
        *_, tags = parse_wheel_filename(f"x-1-py3-none-{platform['tag']}.whl")
        found = {tag.platform for tag in tags}
        if name.startswith("macosx"):
            assert found <= set(mac_platforms((15, 0), name.removeprefix("macosx_")))
        else:
            machine = name.removeprefix("linux_")
            assert found <= {name, f"manylinux_2_17_{machine}", f"manylinux2014_{machine}"}


def test_a_library_of_another_system_is_found():
    sovits_native = pytest.importorskip("sovits_native")
    library = Path(sovits_native.LIBRARY).read_bytes()
    judged = {name: library_format.faults(name, library) for name in wheels.platforms()}
    assert (
        sum(not wrong or "glibc" in wrong[0] for wrong in judged.values()) == 1
    )  # GCC asks for this system's glibc
    wrong_processor = [wrong for name, wrong in judged.items() if "for processor" in str(wrong)]
    assert len(wrong_processor) == 1


def test_the_workflows_run_what_is_there():
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        jobs = yaml.safe_load(text)["jobs"]
        assert jobs
        for script in re.findall(r"python (tools/\S+\.py)", text):
            assert (ROOT / script).is_file(), script
        for job in jobs.values():
            needs = job.get("needs", [])
            assert set([needs] if isinstance(needs, str) else needs) <= set(jobs)


@pytest.mark.slow
def test_built_twice_it_is_the_same_and_runs_here(tmp_path):
    """By another folder's tools and from empty caches; the kernels are loaded from what the wheel holds."""
    if sys.platform != "linux":
        pytest.skip("the wheel for this machine's system is built on Linux here")
    name = wheels.platforms()[0]
    command = [
        sys.executable,
        ROOT / "tools/wheels.py",
        "--only",
        name,
        "--twice",
        "--out",
        tmp_path / "dist",
    ]
    done = subprocess.run(
        [*command, "--tools", tmp_path / "tools"], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert "built twice, the same bit for bit" in done.stdout
    (wheel,) = (tmp_path / "dist").iterdir()
    assert wheel.name.endswith("-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "import ctypes, sovits_native; print(ctypes.CDLL(str(sovits_native.LIBRARY)).sovits_abi())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True, encoding="utf-8"
    )
    assert done.stdout.strip().isdigit(), done.stderr
