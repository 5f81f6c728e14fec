"""`sovits-export lint`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from sovits_exporter.cli.options import AS_JSON, SHARED, takes
from sovits_exporter.cli.output import print_json, printable_values

_COLOURS = {"error": "red", "warning": "yellow"}


@dataclass(frozen=True, kw_only=True)
class LintOptions:
    """What to examine; the attributes are the options."""

    path: Path
    shared: Path | None
    as_json: bool


@click.command()
@click.argument("path", metavar="GRAPH|BUNDLE", type=click.Path(path_type=Path, exists=True))
@SHARED
@AS_JSON
@takes(LintOptions)
def lint(options: LintOptions) -> None:
    """Find what TensorRT would refuse or silently get wrong, in a .onnx file or in the graphs of a bundle.

    Needs no TensorRT and no GPU; where TensorRT for RTX is installed, its parser is asked too. Exit code 1 on errors.
    """
    from sovits_engines.lint import lint_bundle, lint_file
    from sovits_runtime.backends.trt_api import RTX, load_api
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.errors import BackendError

    try:
        parser, without = load_api(RTX), ""
    except BackendError as error:
        parser, without = None, str(error)
    if options.path.is_dir():
        findings = lint_bundle(Bundle.open(options.path, shared=options.shared), parser=parser)
    else:
        findings = lint_file(options.path, parser=parser)
    errors = sum(f.level == "error" for f in findings)
    if options.as_json:
        print_json({"parser": parser.title if parser else None, "findings": [f.to_json() for f in findings]})
    else:
        for f in map(printable_values, (f.to_json() for f in findings)):
            level = click.style(f["level"], fg=_COLOURS[f["level"]])
            click.echo(f"{level} {f['graph']}: {f['where']} [{f['rule']}] {f['message']}")
        if parser and any(f.rule == "weights-missing" for f in findings):
            parser, without = None, "weights are missing"
        coverage = f"{parser.title}'s parser was asked" if parser else f"rules only: {without}"
        click.echo(f"{errors} errors, {len(findings) - errors} warnings ({coverage})")
    if errors:
        sys.exit(1)
