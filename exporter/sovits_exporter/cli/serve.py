"""`sovits-export serve`; its options are the settings of `sovits_server.config`, read when they are needed."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import click

from sovits_exporter.cli.options import PATH
from sovits_exporter.cli.sections import SectionedCommand

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


class _Serve(SectionedCommand):
    """Takes its options from the server's schema, so that file, environment and flags have one."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """All parameters."""
        if not any(isinstance(parameter, _Setting) for parameter in self.params):
            self.params += _settings()
        return super().get_params(ctx)


class _Setting(click.Option):
    """A setting of the server's, under its heading."""

    section = ""


@click.command(cls=_Serve)
@click.argument("bundles", nargs=-1, type=PATH)
@click.option("--config", "file", type=PATH, envvar="SOVITS_SERVE_CONFIG", help="Settings in TOML.")
@click.pass_context
def serve(ctx: click.Context, /, bundles: tuple[Path, ...], file: Path | None, **given: Any) -> None:
    """Serve voices to every client of GPT-SoVITS, of OpenAI's speech, and to browsers.

    \b
      sovits-export serve my-voice
      sovits-export serve my-voice --ref me.wav --ref-text "What is said in it." --ref-lang en
      sovits-export serve --voices FOLDER

    Each option can also be set by the environment, SOVITS_SERVE_PORT for example, or in the file of --config.
    """  # noqa: D301 (click reads the backspace, not its escape)
    from sovits_server.config import load_config
    from sovits_server.run.start import serve as run

    flags = {name: value for name, value in given.items() if value not in (None, ())}
    if bundles:
        flags["bundles"] = bundles
    verbose = bool(ctx.find_root().params.get("verbose"))
    run(load_config(flags, file=file), click.echo, verbose=verbose)


def _settings() -> list[_Setting]:
    from sovits_server.config import SECTIONS, Config

    made = []
    for title, names in SECTIONS.items():
        for name in names:
            made.append(_setting(name, Config.model_fields[name]))
            made[-1].section = title
    return made


def _setting(name: str, field: FieldInfo) -> _Setting:
    flag = f"--{name.replace('_', '-')}"
    kind, multiple = _kind(field.annotation)
    words = field.description or ""
    if kind is bool:
        return _Setting(
            [f"{flag}/--no{flag[1:]}" if field.default else flag], is_flag=True, default=None, help=words
        )
    if field.default not in (None, "", ()):
        words += f"  [default: {field.default}]"
    return _Setting([flag], type=_type(kind), multiple=multiple, default=None, help=words)


def _kind(annotation: Any) -> tuple[Any, bool]:
    """What one value of a field is, and whether there may be several."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        return arguments[0], True
    if origin in (Union, UnionType):
        return _kind(next(a for a in arguments if a is not type(None)))
    if hasattr(annotation, "__metadata__"):
        return _kind(arguments[0])
    return annotation, False


def _type(kind: Any) -> Any:
    """Click's type of a value; what it may be is left to the schema, whose errors are the same everywhere."""
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    return {int: int, float: float, Path: PATH}.get(kind, str)
