"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path

import click

from sovits_runtime.bundle.session import BACKENDS

PATH = click.Path(path_type=Path)
BUNDLE = click.argument("bundle", type=PATH)
SHARED = click.option("--shared", type=PATH, help="Folder of the parts that voices share.")
DEVICE = click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
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
NATIVE = click.option(
    "--native/--no-native",
    default=None,
    help="Whether the GPT's steps run on own kernels [on the CPU where they are installed and fit, on a GPU not].",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
