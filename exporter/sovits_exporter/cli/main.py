"""The `sovits-export` command: its group, its exit codes, and how errors are printed."""

from __future__ import annotations

import errno
import logging
import sys
from importlib import import_module
from typing import Any

import click

from sovits_exporter.cli.output import LogLine, write_utf8
from sovits_runtime.bundle.moving import InUseError
from sovits_runtime.errors import SovitsError, printable

COMMANDS = (
    "bench",
    "build",
    "convert",
    "demo",
    "demo-checkpoint",
    "doctor",
    "engine",
    "fetch",
    "inspect",
    "lint",
    "pack",
    "phones",
    "prepack",
    "reference",
    "serve",
    "speak",
    "tune",
    "verify",
    "voice",
)
FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
EXPORT_MODULES = {"torch", "onnx", "onnx_ir", "onnxscript", "safetensors"}
SERVE_MODULES = {
    "pydantic",
    "starlette",
    "uvicorn",
    "httptools",
    "websockets",
    "prometheus_client",
}
WITHOUT_PYTORCH = {"convert", "engine", "lint"}
"""Commands that the extra [convert] is enough for, as far as `EXPORT_MODULES` go."""


class _Group(click.Group):
    """Imports a command when it is asked for; turns errors raised on purpose into one line and their exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all of them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The one of a name; its module has the same one."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"sovits_exporter.cli.{name}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SovitsError as error:
            if ctx.params.get("verbose"):
                raise
            click.secho(f"error: {error}", fg="red", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if ctx.params.get("verbose") or (error.filename is None and error.errno not in FULL):
                raise
            place = f"{error.filename}: " if error.filename else ""  # a write does not say to what
            then = "" if isinstance(error, InUseError) else "; check the path, its rights and the free space"
            line = f"{place}{error.strerror}{then}"
            click.secho(f"error: {printable(line)}", fg="red", err=True)
            ctx.exit(1)
        except ModuleNotFoundError as error:
            missing = (error.name or "").split(".")[0]
            if missing not in EXPORT_MODULES | SERVE_MODULES or ctx.params.get("verbose"):
                raise
            extra = "convert" if ctx.invoked_subcommand in WITHOUT_PYTORCH else "export"
            extra = "serve" if missing in SERVE_MODULES else extra
            line = f'this command needs {error.name}, which is not installed; pip install "sovits-export[{extra}]"'
            click.secho(f"error: {line}", fg="red", err=True)
            ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sovits-export")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, and show tracebacks.")
def main(verbose: bool) -> None:
    """Export GPT-SoVITS voices to ONNX, check them against PyTorch, and speak without PyTorch.

    All that there is to see, in a few minutes: sovits-export demo

    \b
    Your own voice, from GPT-SoVITS's folder or a voice pack:
      sovits-export build --from GPT-SoVITS -o my-voice
      sovits-export speak my-voice "Good morning."

    \b
    Start here, with a small voice that comes along:
      sovits-export demo-checkpoint demo --voice
      sovits-export build --from demo -o demo-voice
      sovits-export speak demo-voice "Good morning, the red lamp in the kitchen is on." -o hello.wav

    Exit codes: 0 good, 1 failure, 2 wrong use, 3 verification failed.
    """  # noqa: D301 (click reads the backspace, not its escape)
    level = logging.INFO if verbose else logging.WARNING
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLine("%(levelname)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    write_utf8()
