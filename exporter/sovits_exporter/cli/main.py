"""The `sovits-export` command: its group, its exit codes, and how errors are printed."""

from __future__ import annotations

import errno
import logging
import sys
from typing import Any

import click

from sovits_exporter.cli.bench import bench
from sovits_exporter.cli.build import build
from sovits_exporter.cli.convert import convert
from sovits_exporter.cli.demo import demo
from sovits_exporter.cli.demo_checkpoint import demo_checkpoint
from sovits_exporter.cli.doctor import doctor
from sovits_exporter.cli.engine import engine
from sovits_exporter.cli.fetch import fetch
from sovits_exporter.cli.inspect import inspect
from sovits_exporter.cli.lint import lint
from sovits_exporter.cli.output import LogLine, write_utf8
from sovits_exporter.cli.pack import pack
from sovits_exporter.cli.phones import phones
from sovits_exporter.cli.prepack import prepack
from sovits_exporter.cli.reference import reference
from sovits_exporter.cli.serve import serve
from sovits_exporter.cli.speak import speak
from sovits_exporter.cli.tune import tune
from sovits_exporter.cli.verify import verify
from sovits_exporter.cli.voice import voice
from sovits_runtime.bundle.moving import InUseError
from sovits_runtime.errors import SovitsError, printable

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
    """Turns errors raised on purpose into one line and their exit code."""

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


for command in (
    bench,
    build,
    convert,
    demo,
    demo_checkpoint,
    doctor,
    engine,
    fetch,
    inspect,
    lint,
    pack,
    phones,
    prepack,
    reference,
    serve,
    speak,
    tune,
    verify,
    voice,
):
    main.add_command(command)
