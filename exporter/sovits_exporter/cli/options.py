"""Options that several commands take, and how a command gets its parameters: as one frozen dataclass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import click

from sovits_runtime.backends.open import BACKENDS
from sovits_runtime.backends.voice import GptSteps, VocoderEngine
from sovits_runtime.bundle.places import refuse_source

Options = TypeVar("Options")
Command = Callable[..., None]
Declaration = Callable[[Command], Command]
"""What `click.option` and `click.argument` return."""


class _GivenPath(click.Path):
    """A path; an empty one, such as a variable that is not set, is not taken for the current folder."""

    def __init__(self, *, new: bool = False) -> None:
        super().__init__(path_type=Path)
        self.new = new

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("got an empty path; is a variable not set?", param, ctx)
        if self.new and not Path(value).name:
            self.fail(f"got {str(value)!r}, expected a name of its own for what is written", param, ctx)
        return super().convert(value, param, ctx)


PATH = _GivenPath()
NEW_PATH = _GivenPath(new=True)
"""Of what a command writes and then renames to its place, so `.` and `/` will not do."""
BUNDLE = click.argument("bundle", type=PATH)
SHARED = click.option("--shared", type=PATH, help="Folder of the parts that voices share.")
DEVICE = click.option(
    "--device", default="cpu", show_default=True, help="cpu, cuda, or webgpu (experimental)."
)
BACKEND = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=BACKENDS[0],
    show_default=True,
    help="What runs the graphs; tensorrt wants --device cuda and built engines.",
)
STRICT = click.option(
    "--strict", is_flag=True, help="What cannot run as asked is an error, never a fallback."
)
THREADS = click.option(
    "--threads", type=click.IntRange(1), help="Threads within one operator [all usable cores]."
)
GPT_STEPS = click.option(
    "--gpt-steps",
    type=click.Choice(get_args(GptSteps)),
    default="auto",
    show_default=True,
    help="What runs the GPT's steps. native: C kernels on a CPU, a CUDA kernel on a GPU; where there are none, that is "
    "an error. onnxruntime: the backend's own graphs. auto: on a CPU the C kernels where they are installed and fit, "
    "else the graphs.",
)
VOCODER_ENGINE = click.option(
    "--vocoder-engine",
    type=click.Choice(get_args(VocoderEngine)),
    default="auto",
    show_default=True,
    help="On a CPU: what runs the vocoder. native: the C kernels, exactly; where they cannot, that is an error. "
    "onnxruntime: the graph. auto: what the plan says; without one the C kernels where they are installed, fit and are "
    "known to be faster, else the graph.",
)
PLAN = click.option(
    "--plan",
    default="auto",
    show_default=True,
    metavar="auto|none|tuned|exact|FILE",
    help="On a CPU: what runs each graph. auto: what 'sovits-export tune' made active for this machine, else the "
    "defaults. none: the defaults. tuned, exact: that choice of its plan.",
)
BUNDLE_OUTPUT = click.option("-o", "--output", required=True, type=NEW_PATH, help="Bundle folder to write.")
VERIFY = click.option(
    "--verify/--no-verify", default=True, show_default=True, help="Check the whole before it counts."
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
OUTPUTS = ("output", "picture")
"""Parameters that name what a command writes in whole, and so replaces."""


def takes(kind: type[Options]) -> Callable[[Callable[[Options], None]], Command]:
    """Hands a command its parameters as one dataclass; see `read_options`."""

    def wrap(command: Callable[[Options], None]) -> Command:
        @functools.wraps(command)
        def with_options(**parameters: Any) -> None:
            _spare_sources(parameters)
            options = read_options(kind, parameters)
            assert not parameters, f"{kind.__name__} has no {', '.join(parameters)}"
            command(options)

        return with_options

    return wrap


def _spare_sources(parameters: Mapping[str, Any]) -> None:
    """Refuses to write over what the command reads.

    Raises:
        SovitsError: Names both.
    """
    read = [v for name, v in parameters.items() if name not in (*OUTPUTS, "shared", "report")]
    flat = [v for value in read for v in (value if isinstance(value, tuple) else (value,))]
    for name in OUTPUTS:
        if isinstance(parameters.get(name), Path):
            refuse_source(parameters[name], [v for v in flat if isinstance(v, Path)])


def read_options(kind: type[Options], parameters: dict[str, Any]) -> Options:
    """Takes the fields of a dataclass out of a command's parameters, by name.

    A field that is a dataclass itself is filled from its own fields. One that the command does not offer keeps its
    default.

    Args:
        parameters: Name -> value; what was taken is gone afterwards.
    """
    types = get_type_hints(kind)
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if is_dataclass(types[field.name]):
            values[field.name] = read_options(types[field.name], parameters)
        elif field.name in parameters:
            values[field.name] = parameters.pop(field.name)
    return kind(**values)
