"""Ctrl-C while Python imports what a command needs: one word, as anywhere else."""

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points

import pytest
from click.testing import CliRunner

START = """
import signal
import sys, types
from sovits_exporter.cli import start

class Slow:
    '''In place of PyTorch: says that its import has begun, and takes long.'''
    def find_spec(self, name, path=None, target=None):
        if name == {blocked!r}:
            import importlib.machinery
            return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        code = "import time\\nprint('importing', flush=True)\\ntry: time.sleep(60)\\n"
        code += "except KeyboardInterrupt: raise SystemExit('C++')"
        exec(compile(code, "x", "exec"), module.__dict__)

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background inherit that it is ignored
sys.meta_path.insert(0, Slow())
sys.argv[1:] = {arguments!r}
start.main()
"""


def interrupted(blocked: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    code = START.format(blocked=blocked, arguments=arguments)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
    assert process.stdout.readline() == "importing\n"
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize(
    ("blocked", "arguments"),
    [
        ("torch", ["build", "--gpt", "a", "--sovits", "b", "-o", "c"]),
        ("sovits_exporter.cli.speak", ["--help"]),
    ],
)
def test_ctrl_c_during_an_import_is_one_word(blocked, arguments):
    done = interrupted(blocked, arguments)
    assert done.returncode == 1, done.stderr
    assert done.stderr.split() == ["Aborted!"]


def test_commands_run_through_the_start(tmp_path):
    code = "import sys; from sovits_exporter.cli.start import main; sys.argv[1:] = ['--version']; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert "version" in done.stdout


def test_the_installed_command_is_one_of_click():
    """Programs that load the entry point call it through click, for example its CliRunner."""
    (script,) = entry_points(group="console_scripts", name="sovits-export")
    handler = signal.getsignal(signal.SIGINT)
    result = CliRunner().invoke(script.load(), ["--version"])
    assert result.exit_code == 0
    assert "version" in result.output
    assert signal.getsignal(signal.SIGINT) is handler
